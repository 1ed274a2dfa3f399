"""`make bench-fleet HOSTS=20`: what a first install and a run without a change cost, on real hosts.

Seconds, executed tasks, remote calls (ssh, sftp) and bytes over the network per host; beside it a playbook that
installs Loki and Telegraf as public roles do, a task a thing (plain/site.yml, which does less: no parser, no proof).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fleet import hosts, proof
from fleet.fleets import FLEETS, Fleet
from fleet.operator import Operator, on_all
from fleet.progress import FleetError, say

PLAIN = "../tests/fleet/plain/site"
TASKS_MOST = 15  # of a run without a change, a host
NET = [f"/sys/class/net/eth0/statistics/{way}_bytes" for way in ("rx", "tx")]


@dataclass(frozen=True)
class Cost:
    """One run; tasks, calls and bytes are the most of a host."""

    what: str
    seconds: float
    tasks: int
    calls: int
    bytes: int

    def row(self) -> str:
        """As a row of the table."""
        return f"| {self.what} | {self.seconds:.0f} | {self.tasks} | {self.calls} | {self.bytes / 1e6:.2f} |"


def measure(operator: Operator, what: str, playbook: str) -> Cost:
    """One run that must end well."""
    before = traffic(operator)
    began = time.monotonic()
    ended = operator.good(playbook)
    seconds = time.monotonic() - began
    after = traffic(operator)
    recap = {
        name: int(ok) for name, ok in re.findall(r"^(\S+)\s+: ok=(\d+) .*unreachable=0", ended.output, re.MULTILINE)
    }
    if set(recap) != {host.name for host in operator.targets}:
        raise FleetError(f"{what}: the recap names {sorted(recap)}")
    cost = Cost(
        what, seconds, max(recap.values()), max(ended.calls.values()), max(after[name] - before[name] for name in after)
    )
    say(cost.row())
    return cost


def traffic(operator: Operator) -> dict[str, int]:
    """Bytes over each host's network interface so far, both ways."""
    return {name: sum(map(int, text.split())) for name, text in on_all(operator.targets, "cat", *NET).items()}


def fresh(fleet: Fleet) -> None:
    """Hosts on which nothing was ever installed."""
    hosts.down(fleet)
    hosts.up(fleet)


def main(arguments: list[str]) -> int:
    """Measure and write docs/proof/fleet.md; 0 where a run without a change keeps to its budget of tasks."""
    parser = argparse.ArgumentParser(prog="fleet.cost", description=__doc__)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--dry", action="store_true", help="write no proof")
    options = parser.parse_args(arguments)
    fleet = FLEETS["failures"].first(options.hosts)
    settings: dict[str, object] = {
        "logmetrics_interval": 10,
        "logmetrics_exec_timeout": 8,
        "logmetrics_graphite_host": "127.0.0.1",
        "logmetrics_batches": ["100%"],
        "logmetrics_soak_intervals": 0,
    }
    costs = []
    try:
        with tempfile.TemporaryDirectory(prefix="logmetrics-cost-") as home:
            for name, playbook in (("plain tasks", PLAIN), ("site.yml", "site")):
                fresh(fleet)
                operator = Operator(fleet, Path(home) / playbook.rpartition("/")[2] / name.split()[0], settings, {})
                costs.append(measure(operator, f"{name}: first install", playbook))
                costs.append(measure(operator, f"{name}: no change", playbook))
    finally:
        hosts.down(fleet)
    good = costs[-1].tasks <= TASKS_MOST
    table = "\n".join(
        [
            "| run | seconds | tasks a host | remote calls a host | MB a host |",
            "|---|---|---|---|---|",
            *(c.row() for c in costs),
        ]
    )
    print(table)
    cores = subprocess.run(["nproc"], check=True, capture_output=True, text=True).stdout.strip()
    text = (
        f"{options.hosts} real hosts on one machine of {cores} cores, shared with the controller; one batch, no soak.\n"
        f"The plain tasks install Loki and Telegraf alone: no parser, no proof, no way back.\n\n{table}"
    )
    if not options.dry:
        verdict = f"a run without a change executes {costs[-1].tasks} tasks a host, {TASKS_MOST} at most are allowed"
        proof.write("fleet", f"make bench-fleet HOSTS={options.hosts}", verdict, text)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"cost: {problem}")
