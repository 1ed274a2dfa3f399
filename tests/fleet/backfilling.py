"""`make proof-backfill`: new rules on a real host get their history from three weeks of its logs, twice.

One host with the role as users have it (rsyslog, Telegraf), one with carbon and graphite-web. In order: the role with
its usual rules; old logs come to lie beside the live one, rotated and compressed; lines are written live while no rule
counts them; the role again with rules that count them; lines are written live while they are counted; then
playbooks/backfill.yml, two times. Afterwards each of whisper's archives must hold what was written, from the oldest log
up to now: history up to the minute in which the new rules came into force, and from there on what the host itself sent,
untouched.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fleet import history, hosts, proof
from fleet.fleets import FLEETS
from fleet.history import FAILED, METRICS, SECONDS, Store, Written
from fleet.podman import unpack
from fleet.progress import FleetError, say

TOP = Path(__file__).resolve().parents[2]
VERBS = FLEETS["verbs"]
HOST, GRAPHITE = VERBS.host("deb12"), VERBS.host("graphite")
PREFIX = f"telegraf.{HOST.name}.syslog-metrics."
DAYS = 20
LIVE = 3  # minutes of live lines before and after the rules come into force
ARRIVAL = 240  # seconds for points to arrive

# Writes a line a second for some seconds; prints the minute of each, for logger's line has the time at which it was
# taken by rsyslog: the writer stays away from the last and first seconds of a minute.
_WRITER = """
import json, subprocess, sys, time
counts = {}
until = time.time() + int(sys.argv[1])
run = 0
while time.time() < until:
    now = time.time()
    if 2 < now % 60 < 57:
        run += 1
        minute = str(int(now) // 60 * 60)
        failed = run % 3 == 0
        text = f"run {run} failed: live" if failed else f"run {run} finished in {run % 7 + 0.5} s"
        subprocess.run(["logger", "-t", "proof-backup", text], check=True)
        metric = "logs.proof.failed" if failed else "logs.proof.seconds"
        own = counts.setdefault(metric, {})
        own[minute] = own.get(minute, 0) + (1 if failed else 10 * (run % 7) + 5)
    time.sleep(1)
print(json.dumps(counts))
"""


def play(playbook: str, **settings: object) -> str:
    """Run a playbook on the host as a user would; its output. FleetError where it fails."""
    extra = {"logmetrics_mirror": VERBS.mirror_url, "logmetrics_lock": "", **settings}
    command = ["ansible-playbook", "-i", "tests/fleet/past/inventory", f"playbooks/{playbook}", "-e", json.dumps(extra)]
    say(f"{playbook} {' '.join(settings)}")
    reports = {"LOGMETRICS_REPORTS": str(VERBS.home / "reports")}
    done = subprocess.run(
        command, check=False, cwd=TOP, capture_output=True, text=True, env=dict(os.environ, **reports)
    )
    if done.returncode:
        raise FleetError(f"{playbook} ended with exit {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")
    return done.stdout


def put_old_logs(written: Written) -> None:
    """Beside the host's live syslog, with the times that rotation leaves."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in written.files.items():
            info = tarfile.TarInfo(f"var/log/{name}")
            info.size, info.mode, info.mtime = len(data), 0o640, written.mtimes[name]
            archive.addfile(info, io.BytesIO(data))
    unpack(HOST.container, buffer.getvalue())
    # podman gives them to root's group.
    hosts.execute(HOST, "sh", "-c", "chgrp adm /var/log/syslog.*")


def write_live(seconds: int, truth: dict[str, Counter[int]]) -> None:
    """Real lines by logger(1) through the host's own rsyslog."""
    made = json.loads(hosts.execute(HOST, "python3", "-", str(seconds), stdin=_WRITER))
    for metric, minutes in made.items():
        truth[metric].update({int(at): number for at, number in minutes.items()})


def wait_for(what: str, holds: Callable[[], bool], deadline: float) -> None:
    """Wait until holds() is true; FleetError where that takes too long."""
    while not holds():
        if time.time() > deadline:
            raise FleetError(f"{what}: not within {ARRIVAL} s")
        time.sleep(5)


def in_force() -> int:
    """The Unix time from which the host counts by the new rules, from its own status."""
    found = json.loads(hosts.execute(HOST, "/etc/telegraf/parse_loki_metrics.py", "status", "--json"))
    newest: int = found["rule_sets"][-1]["from"]
    return newest


def minutes_of(store: Store, first: int, last: int) -> dict[str, dict[int, float | None]]:
    """The finest archive between two minutes."""
    return {
        metric: {at: store.get(metric, {}).get(60, {}).get(at) for at in range(first, last + 60, 60)}
        for metric in METRICS
    }


def sent_by(output: str) -> str:
    """What backfill.yml says that it sent."""
    found = re.search(
        r"(\d+ points of \d+ series) sent to \S+, (from \S+ \S+ to \S+ \d\d:\d\d)", " ".join(output.split())
    )
    return ", ".join(found.groups()) if found else "nothing was said of points"


def main() -> int:
    """Run the proof; 0 only where every archive holds what was written and no live minute changed."""
    hosts.down(VERBS)  # the live log of an earlier run holds lines that this one would not know of
    hosts.up(VERBS)
    play("site.yml", logmetrics_graphite_host=GRAPHITE.address)
    written = history.write(DAYS, int(time.time()) - 60, HOST.name)
    put_old_logs(written)
    say("lines that no rule counts yet")
    write_live(LIVE * 60, written.truth)
    rules = {"logmetrics_rule_packs": ["sshd", "sudo", "cron", str(history.RULES)]}
    play("site.yml", logmetrics_graphite_host=GRAPHITE.address, **rules)
    say("lines that the new rules count")
    write_live((LIVE + 2) * 60, written.truth)
    since = in_force()
    last = max(max(minutes) for minutes in written.truth.values()) // 60 * 60
    say(f"new rules in force since {time.strftime('%H:%M', time.localtime(since))}")
    wait_for(
        "live points",
        lambda: history.read(GRAPHITE, PREFIX).get(FAILED, {}).get(60, {}).get(last) is not None,
        last + ARRIVAL,
    )
    before = minutes_of(history.settled(GRAPHITE, PREFIX), since, last)
    settings = {
        "logmetrics_backfill_metrics": list(METRICS),
        "logmetrics_backfill_retentions": history.RETENTIONS,
        "logmetrics_backfill_rate": 2000,
    }
    stores, said = [], []
    for _ in range(2):
        said.append(sent_by(play("backfill.yml", logmetrics_graphite_host=GRAPHITE.address, **settings)))
        stores.append(history.settled(GRAPHITE, PREFIX))
    found = history.faults(written, stores[1], written.begin + 600, last)
    kept = all(minutes_of(store, since, last) == before for store in stores)
    same = all(
        {at: value for at, value in points.items() if at < since}
        == {at: value for at, value in stores[1][metric][step].items() if at < since}
        for metric, archives in stores[0].items()
        for step, points in archives.items()
        if step == 60
    )
    live = sum(1 for minutes in before.values() for value in minutes.values() if value is not None)
    points = sum(len(archives[60]) + len(archives[600]) for archives in stores[1].values())
    text = report(written, since, live, points, kept, same, found, said)
    print("\n" + text)
    good = not found and kept and same and live >= 2 * LIVE
    verdict = "every archive holds what was written, live minutes untouched" if good else "NOT as it must be"
    proof.write("backfill", "make proof-backfill", verdict, text)
    return 0 if good else 1


def report(
    written: Written, since: int, live: int, points: int, kept: bool, same: bool, found: list[str], said: list[str]
) -> str:
    """The proof's table."""
    size = sum(map(len, written.files.values()))
    events = {metric: sum(minutes.values()) for metric, minutes in written.truth.items()}
    rows = [
        ("old logs", f"{DAYS} days in {len(written.files)} files (plain, .gz, .xz), {size} bytes as they lie there"),
        (
            "what they and the live log hold",
            f"{events[FAILED]} failed runs, {events[SECONDS] / 10:g} s of finished ones",
        ),
        ("the store's archives", history.RETENTIONS),
        ("first run", said[0]),
        ("second run", said[1]),
        ("slots compared in the store, after both", f"{points} in the archives of 60 s and 600 s"),
        ("slots that differ from what was written", "none" if not found else "<br>".join(found)),
        ("history after the second run as after the first", "yes" if same else "NO"),
        (
            f"minutes that the host counted itself, since {time.strftime('%H:%M', time.localtime(since))}",
            f"{live} points, " + ("as they were before the first run" if kept else "CHANGED"),
        ),
    ]
    return "| what | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FleetError as problem:
        sys.exit(f"backfilling: {problem}")
