"""`make demo`: the fleet, the role, real events, and one table that holds Graphite and Loki against what happened."""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet import artifacts, compare, hosts, readback
from fleet.fleets import FLEETS, Host
from fleet.progress import FleetError, say
from fleet.readback import Minutes

TOP = Path(__file__).resolve().parents[2]
EVENTS = Path(__file__).with_name("make_events.py")
PACKS = [TOP / "files" / "rules" / f"{name}.yml" for name in ("sshd", "sudo", "cron")]
METRICS = ["logs.sshd.success", "logs.sshd.failure", "logs.sudo.command", "logs.sudo.refused", "logs.cron.job"]
DEMO = FLEETS["demo"]
LOGGED = [DEMO.host(name) for name in ("deb13", "deb12", "deb12j")]
GRAPHITE = f"http://{DEMO.host('graphite').address}"
UPSTREAM = f"https://github.com/grafana/loki/releases/download/v{artifacts.LOKI_VERSIONS[0]}/SHA256SUMS"
SET_UP = 12  # seconds that a host gets to make users and keys before its events begin
ARRIVAL = 150  # seconds after the last minute's end within which its points and lines must have arrived


def upstream_answers() -> bool:
    """One quick probe: whether this machine reaches upstream's release page."""
    try:
        with urllib.request.urlopen(UPSTREAM, timeout=4):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def play(*arguments: str, inventory: str = "inventories/demo") -> None:
    """Run site.yml on an inventory as a user would; FleetError where it fails."""
    command = ["ansible-playbook", "-i", inventory, "playbooks/site.yml", *arguments]
    say(" ".join(command))
    code = subprocess.run(command, check=False, cwd=TOP).returncode
    if code:
        raise FleetError(f"ansible-playbook ended with exit {code}; the reason stands above")


def loki_queries(host: Host, metrics: Sequence[str] = METRICS, packs: Sequence[Path] = PACKS) -> dict[str, str]:
    """The LogQL of each of these metrics for one host, as `compile --logql` makes it from the rule packs."""
    command = [sys.executable, "-m", "logmetrics", "compile", "--logql", "--host", host.name, *map(str, packs)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise FleetError(f"compile --logql: exit {done.returncode}: {done.stderr.strip()}")
    queries: dict[str, str] = json.loads(done.stdout)
    return {metric: queries[metric] for metric in metrics}


def next_minute(room: int) -> int:
    """Unix time of the first minute that begins at least `room` seconds from now."""
    return (int(time.time()) + room + 59) // 60 * 60


def make_events(host: Host, begin: int, paced: int = 0) -> tuple[int, Minutes]:
    """Cause real events on one host; returns the last minute's start and what the maker counted."""
    words = [
        "python3",
        "-",
        "--begin",
        str(begin),
        "--address",
        host.address,
        *(["--paced", str(paced)] if paced else []),
    ]
    made = json.loads(hosts.execute(host, *words, stdin=EVENTS.read_text()))
    counts = {metric: {int(at): n for at, n in minutes.items()} for metric, minutes in made["counts"].items()}
    return made["last"], counts


def ask_loki(host: Host) -> Callable[[str], str]:
    """A function that asks the host's own Loki, which listens on the host's loopback alone."""
    fetch = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).read().decode())"
    return lambda path: hosts.execute(host, "python3", "-c", fetch, f"http://127.0.0.1:3100{path}")


def read_back(happened: dict[str, Minutes], first: int, last: int) -> list[compare.Row]:
    """Both stores' counts for the minutes first..last beside what happened, for every host."""
    minutes = range(first, last + 60, 60)

    def of(host: Host) -> list[compare.Row]:
        graphite = readback.graphite_points(GRAPHITE, host.name, METRICS, first, last)
        loki = readback.loki_counts(ask_loki(host), loki_queries(host), first, last)
        return compare.rows(host.name, METRICS, minutes, happened[host.name], graphite, loki)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [row for some in pool.map(of, LOGGED) for row in some]


def settle(happened: dict[str, Minutes], first: int, last: int, arrival: int = ARRIVAL) -> list[compare.Row]:
    """Read back until all is equal, or until `arrival` seconds after the last minute's end are over."""
    time.sleep(max(0, last + 60 + 8 - time.time()))
    rows: list[compare.Row] = []

    def missing() -> str:
        nonlocal rows
        rows = read_back(happened, first, last)
        open_rows = [row for row in rows if not row.equal]
        return f"{len(open_rows)} of {len(rows)} rows not equal yet" if open_rows else ""

    readback.wait_until(missing, last + 60 + arrival, say)
    return rows


def events_on_all(paced: int = 0) -> tuple[dict[str, Minutes], int, int]:
    """Cause events on all hosts at once; returns what happened by host, and the first and last minute."""
    begin = next_minute(SET_UP)
    say(f"real events begin at {time.strftime('%H:%M:%S', time.localtime(begin))}, in {begin - time.time():.0f} s")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        made = dict(zip(LOGGED, pool.map(lambda host: make_events(host, begin, paced), LOGGED), strict=True))
    last = max(end for end, _ in made.values())
    return {host.name: counts for host, (_, counts) in made.items()}, begin, last


def epilogue() -> str:
    """What to open and what to try next."""
    address = DEMO.host("deb12").address
    key, known = DEMO.home / "id_ed25519", DEMO.home / "known_hosts"
    return f"""
The fleet is up. To look around:
  graphs   {GRAPHITE}  (series telegraf.<host>.syslog-metrics.logs.*; a curve of failed logins:
           {GRAPHITE}/render?target=telegraf.*.syslog-metrics.logs.sshd.failure&from=-15min&width=900)
  a host   tools/with-venv python3 -m fleet exec demo deb12
  lines    ssh -i {key} -o UserKnownHostsFile={known} -L 3100:127.0.0.1:3100 root@{address}
           then http://127.0.0.1:3100 is that host's Loki, for logcli or a Grafana data source
To try next:
  run the role again (changes nothing)   tools/with-venv ansible-playbook -i inventories/demo playbooks/site.yml
  change a rule in files/rules/sshd.yml and run it again
  make demo-down                         removes all of it"""


def main() -> int:
    """The whole demo; 0 only where Graphite and Loki agree with what happened in every minute."""
    from_upstream = upstream_answers()
    say("artifacts come from " + ("upstream's release pages" if from_upstream else "a mirror that is built here"))
    hosts.up(DEMO, mirror=not from_upstream)
    # Builds made here are not upstream's bytes, so the lock does not know them.
    play("-e", "logmetrics_mirror=" if from_upstream else f"logmetrics_mirror={DEMO.mirror_url} logmetrics_lock=")
    happened, first, last = events_on_all()
    say("events made; waiting for the minute to end and its points to arrive")
    rows = settle(happened, first, last)
    print("\n" + compare.table(rows))
    equal = all(row.equal for row in rows)
    print(
        "\nall equal, in every minute"
        if equal
        else "\nNOT equal: see docs/troubleshooting.md, 'A number is not what I expect'"
    )
    print(epilogue())
    say("done")
    return 0 if equal else 1


if __name__ == "__main__":
    os.environ.setdefault("ANSIBLE_CONFIG", str(TOP / "ansible.cfg"))
    try:
        sys.exit(main())
    except FleetError as problem:
        sys.exit(f"demo: {problem}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; `make demo` goes on where it was, `make demo-down` removes the fleet")
