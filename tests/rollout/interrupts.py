"""`make interrupts`: the controller is killed before and during every task of a rollout, and the next run finishes it.

    python3 -m rollout.interrupts [--only N ...]     writes docs/proof/interrupts.md

Three hosts, each with a controller of its own, share the cases. A case changes its host from one inventory to the other
(another Telegraf, sent anew, Loki's and Telegraf's configuration, rules, a group membership), is killed with -9 at its
place, and run again. Then what is on the host is held against an undisturbed run to the same inventory: every managed
file with owner and mode, links, release, rules, nothing pending, no unit with a reason to restart, no lease left.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import queue
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fleet import hosts, proof
from fleet.fleets import Host
from fleet.progress import say

from rollout.common import ROLLOUT, TARGETS, TOP, command, environment, files

PLUGINS = str(Path(__file__).with_name("plugins"))
LONG = {"Switch, prove, or go back": (0.3, 1.0, 2.0, 4.0, 8.0, 16.0)}  # seconds at which a long task is cut off
SHORT = (0.25,)
SIDES: list[dict[str, object]] = [
    {},
    {
        "logmetrics_telegraf_version": "1.37.2",
        "logmetrics_loki_log_level": "error",
        "logmetrics_outage_hours": 23,
        "logmetrics_rule_packs": ["sshd", "sudo", "cron", "kernel"],
    },
]
LOOK = """
import json, sys
sys.path.insert(0, "/opt/logmetrics/host/current")
from pathlib import Path
from host import differences, look, store
s = store.Store()
state = s.load()
manifest = s.manifest(state["release"])
reasons = {}
for service in manifest["services"]:
    paths = {path: look.look_at_path(Path(path)) for path in service["reads"]}
    reasons[service["unit"]] = differences.reasons_to_restart(service, look.look_at_service(service["unit"]), paths)
left = [*map(str, Path("/etc/systemd/system").glob("logmetrics-*")), *map(str, Path("/run").glob("logmetrics-*.json"))]
print(json.dumps({"point": [state["release"], state["rules"]], "pending": state["pending"], "proven": state["proven"],
                  "reasons": {u: r for u, r in reasons.items() if r}, "left": left}))
"""


@dataclass(frozen=True)
class Case:
    """One interruption: the number of the task (from 1), its name, seconds after its start (0: before it)."""

    number: int
    task: str
    after: float


def run(host: Host, side: int, case: Case | None = None, tasks: str = "") -> int:
    """One play on one host, killed as the case says; its exit code (-9 where it was killed)."""
    words = command("site", "--limit", host.name, **SIDES[side])
    plugins = {"ANSIBLE_CALLBACK_PLUGINS": PLUGINS, "ANSIBLE_CALLBACKS_ENABLED": "kill_at", "LOGMETRICS_TASKS": tasks}
    kill = {"LOGMETRICS_KILL_AT": str(case.number), "LOGMETRICS_KILL_AFTER": str(case.after)} if case else {}
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            words,
            check=False,
            cwd=TOP,
            env=environment(**plugins, **kill),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        if done.returncode not in (0, -9):
            out.seek(0)
            say(f"{host.name}: {case}: {out.read()[-1500:]}")
    return done.returncode


def picture(host: Host) -> str:
    """What is on the host, as text that is equal for equal hosts."""
    return hosts.execute(host, "python3", "-c", LOOK) + files(host)


def prepare(host: Host, side: int) -> None:
    """Take from a host what the change to a side will send, so that it is sent, unpacked and given each time."""
    version = SIDES[side].get("logmetrics_telegraf_version", "1.39.3")
    script = f"rm -rf /opt/logmetrics/artifacts/telegraf-{version}; gpasswd -d telegraf adm >/dev/null || true"
    hosts.execute(host, "sh", "-c", script)


def cases_of(names: list[str]) -> list[Case]:
    """Every task, before it and during it."""
    found = []
    for number, name in enumerate(names, 1):
        found.append(Case(number, name, 0))
        found += [Case(number, name, after) for after in LONG.get(name, SHORT)]
    return found


def work(host: Host, cases: queue.Queue[Case], wanted: list[str], rows: list[tuple[Case, str]]) -> None:
    """Take cases until there are none."""
    for side in itertools.cycle((1, 0)):
        try:
            case = cases.get_nowait()
        except queue.Empty:
            return
        prepare(host, side)
        killed = run(host, side, case)
        again = run(host, side)
        verdict = "equal" if picture(host) == wanted[side] else "DIFFERENT"
        if again != 0:
            verdict = f"the next run ended with {again}"
        if verdict != "equal":
            say(f"{host.name}: {case}: {verdict}: {picture(host)[:600]}")
            run(host, side)
        rows.append((case, verdict if killed == -9 else f"{verdict} (it had ended before)"))


def undisturbed(host: Host) -> tuple[list[str], list[str]]:
    """Pictures of both sides after undisturbed runs, and the tasks of such a run."""
    wanted = ["", ""]
    run(host, 0)
    for side in (1, 0):
        prepare(host, side)
        with tempfile.NamedTemporaryFile("r") as tasks:
            run(host, side, tasks=tasks.name)
            names = tasks.read().splitlines()
        wanted[side] = picture(host)
    return wanted, names


def main(argv: list[str]) -> int:
    """Run all cases; 0 only where each ends equal."""
    parser = argparse.ArgumentParser(description="Kill the controller at every task.")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of tasks")
    options = parser.parse_args(argv)
    hosts.up(ROLLOUT)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        known = dict(zip(TARGETS, pool.map(undisturbed, TARGETS), strict=True))
        names = known[TARGETS[0]][1]
        cases: queue.Queue[Case] = queue.Queue()
        for case in cases_of(names):
            if not options.only or case.number in options.only:
                cases.put(case)
        say(f"{cases.qsize()} interruptions of {len(names)} tasks")
        rows: list[tuple[Case, str]] = []
        list(pool.map(lambda host: work(host, cases, known[host][0], rows), TARGETS))
    rows.sort(key=lambda row: (row[0].number, row[0].after))
    good = all(verdict.startswith("equal") for _, verdict in rows)
    table = "\n".join(
        f"| {case.number} | {case.task} | {'before it' if not case.after else f'{case.after} s into it'} | {verdict} |"
        for case, verdict in rows
    )
    print(table)
    if not options.only:
        text = f"| task | name | killed | after the next run |\n|---|---|---|---|\n{table}\n"
        verdict = f"{len(rows)} interruptions of {len(names)} tasks in {time.monotonic() - began:.0f} s: "
        proof.write("interrupts", "make interrupts", verdict + ("all equal" if good else "NOT all equal"), text)
    return 0 if good and rows else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
