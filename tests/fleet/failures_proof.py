"""`make proof-rollout HOSTS=4`: twelve ways in which a rollout goes wrong, on real hosts.

For each: which hosts were touched (a managed file, a link, a service's process: all is compared), in what state every
host is, whether it works (a probe line's point), the exit code, and whether the report names the cause.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import hosts, proof
from fleet.fleets import FLEETS, Host
from fleet.operator import Operator, on_all
from fleet.progress import FleetError, say

HERE = Path(__file__).with_name("failures")
RETURN_MINUTES = 3  # the least that the role takes; a batch of many hosts is given more
RETURNED = 1200  # s after which nobody waits any more for a return
FEW = 10  # hosts on one machine that can run the parser every ten seconds


@dataclass
class Scenario:
    """One failure: what it takes, what the report must say, who alone may be touched."""

    name: str
    cause: str  # what the report says, a text in it
    settings: dict[str, object]
    touched: list[str]  # hosts whose files or processes may differ afterwards
    prepare: Callable[[], object] = lambda: None
    repair: Callable[[], object] = lambda: None
    waits: bool = False  # for the return by itself


@dataclass
class Row:
    """What came of one."""

    name: str
    exit: str
    touched: str
    states: str
    cause: str
    holds: bool
    why: str


class Proof:
    """The hosts, all on one confirmed release, and the scenarios."""

    def __init__(self, count: int, home: Path) -> None:
        self.fleet = FLEETS["failures"].first(count)
        self.targets = [host for host in self.fleet.hosts if not host.overlay]
        self.names = [host.name for host in self.targets]
        self.base: dict[str, object] = {
            "logmetrics_interval": 10 if count <= FEW else 60,
            "logmetrics_exec_timeout": 8 if count <= FEW else 30,
            "logmetrics_graphite_host": "127.0.0.1",
            "logmetrics_batches": [1, "50%", "100%"],
            "logmetrics_soak_intervals": 0,
            "logmetrics_confirm_minutes": RETURN_MINUTES,
            "logmetrics_loki_log_level": "warn",
        }
        self.operator = Operator(self.fleet, home, self.base, {})
        self.rows: list[Row] = []
        self.level = "warn"

    @property
    def canary(self) -> Host:
        """The first of the first batch."""
        return self.targets[0]

    @property
    def last(self) -> Host:
        """One of the last batch."""
        return self.targets[-1]

    def other(self) -> dict[str, object]:
        """Settings that make another release."""
        return {"logmetrics_loki_log_level": "error" if self.level == "warn" else "warn"}

    # Faults.

    def sh(self, host: Host, script: str) -> str:
        """A shell script on a host."""
        return hosts.execute(host, "sh", "-euc", script)

    def small_disk(self, host: Host, folder: str, spare_kb: int) -> None:
        """Lay a full little disk over a folder, with the same content."""
        self.sh(
            host,
            f"size=$(($(du -sk --apparent-size {folder} | cut -f1) * 2 + 64)); cp -a {folder} /run/kept; "
            f"mount -t tmpfs -o size=${{size}}k,mode=0755 tmpfs {folder}; cp -a /run/kept/. {folder}/; "
            f"chown --reference=/run/kept {folder}; chmod --reference=/run/kept {folder}; "
            f"head -c {spare_kb * 1024} /dev/zero > {folder}/.spare; cat /dev/zero > {folder}/.full 2>&- || true; "
            f"rm -f {folder}/.spare",
        )

    def own_disk(self, host: Host, folder: str) -> None:
        """Take the little disk away, keeping what was written to it."""
        self.sh(
            host,
            f"rm -f {folder}/.full; cp -a {folder}/. /run/kept/; umount {folder}; cp -a /run/kept/. {folder}/; "
            "rm -rf /run/kept",
        )

    def trap(self, host: Host, phase: str, command: str) -> None:
        """Run a command on the host as soon as a change has reached a phase."""
        hosts.execute(host, "tee", "/usr/local/bin/proof-trap", stdin=(HERE / "trap.py").read_text())
        unit = "systemd-run --quiet --collect --unit=proof-trap python3 /usr/local/bin/proof-trap"
        self.sh(host, f"systemctl stop proof-trap 2>/dev/null || true; {unit} {phase} sh -c '{command}'")

    NO_SSH = "systemctl stop ssh; pkill -x sshd"

    def ssh_back(self, *some: Host) -> None:
        """sshd as it was."""
        on_all(some, "systemctl", "start", "ssh")
        hosts.close_connections(self.fleet)

    def scenarios(self) -> list[Scenario]:
        """The twelve."""
        canary, last = self.canary, self.last
        tenth = self.targets[-max(1, len(self.targets) // 10) :]
        first = [canary.name]
        squat = "systemd-run --quiet --collect --unit=squatter python3 -m http.server --bind 127.0.0.1 3199"
        broken_rule = [
            {
                "metric": "logs.x",
                "help": "x",
                "program": "x",
                "match": "^a$",
                "tests": [{"line": "Nov 22 10:00:00 h x[1]: b", "yields": 1}],
            }
        ]
        zeros = "0" * 64
        downloads = (("loki-linux-", "zip"), ("telegraf-1.39.3_linux_", "tar.gz"))
        return [
            Scenario("bad binary", "loki.service", {"logmetrics_loki_version": "9.0.1"}, first),
            Scenario("binary that dies after 5 s", "loki.service", {"logmetrics_loki_version": "9.0.2"}, first),
            Scenario(
                "bad config",
                "telegraf",
                {"logmetrics_outputs": ['[[outputs.nothing_like_this]]\n  namepass = ["x"]']},
                [],
            ),
            Scenario("bad rules", "LM604", {"logmetrics_rules_extra": broken_rule}, []),
            Scenario(
                "port taken",
                "port 3199 is in use by squatter.service",
                {"logmetrics_loki_port": 3199},
                [],
                lambda: self.sh(last, squat),
                lambda: self.sh(last, "systemctl stop squatter"),
            ),
            Scenario(
                "disk full while staging",
                "No space left on device",
                self.other(),
                [],
                lambda: self.small_disk(last, "/opt/logmetrics/releases", 4),
                lambda: self.own_disk(last, "/opt/logmetrics/releases"),
            ),
            Scenario(
                "disk full while activating",
                "No space left on device",
                self.other(),
                first,
                lambda: self.small_disk(canary, "/etc/loki", 0),
                lambda: self.own_disk(canary, "/etc/loki"),
            ),
            Scenario(
                "no DNS",
                "mirror.invalid",
                {
                    "logmetrics_download": "host",
                    "logmetrics_mirror": "http://mirror.invalid:8080",
                    "logmetrics_loki_version": "9.0.3",
                    # Both are known, so that it is the hosts who ask for the name.
                    "logmetrics_checksums": dict.fromkeys(
                        (f"{name}{arch}.{ending}" for name, ending in downloads for arch in ("amd64", "arm64")), zeros
                    ),
                },
                [],
            ),
            Scenario(
                "ssh gone in the middle",
                "unreachable",
                self.other(),
                first,
                lambda: self.trap(canary, "switching", self.NO_SSH),
                lambda: self.ssh_back(canary),
                waits=True,
            ),
            Scenario(
                "10 % unreachable",
                "unreachable",
                self.other(),
                [],
                lambda: on_all(tenth, "sh", "-uc", self.NO_SSH + " || true"),
                lambda: self.ssh_back(*tenth),
            ),
            Scenario(
                "host rebooting",
                "unreachable",
                self.other(),
                first,
                lambda: self.trap(canary, "switching", "systemctl --force --force poweroff"),
                lambda: hosts.up(self.fleet),
                waits=True,
            ),
        ]

    # Looking.

    def look(self, prove: bool = False) -> dict[str, dict[str, Any]]:
        """look.py on every host."""
        code = (HERE / "look.py").read_text()
        return {
            name: json.loads(text)
            for name, text in on_all(self.targets, "python3", "-c", code, "prove" if prove else "look").items()
        }

    def play(self, settings: Mapping[str, object]) -> Any:
        """site.yml with these settings on top of the base."""
        self.operator.settings = {**self.base, "logmetrics_loki_log_level": self.level, **settings}
        return self.operator.play("site")

    def await_return(self) -> None:
        """Until no host that is up has an unconfirmed change; what stays so is judged afterwards."""
        say("waiting for the return by itself")
        deadline = time.monotonic() + RETURNED
        while time.monotonic() < deadline:
            states = []
            for host in self.targets:
                with contextlib.suppress(FleetError):  # it is down
                    states.append(json.loads(self.sh(host, "cat /opt/logmetrics/state.json")))
            if not any(state["pending"] for state in states):
                return
            time.sleep(5)

    def one(self, scenario: Scenario) -> None:
        """Carry one out and judge it."""
        say(f"--- {scenario.name}")
        before = self.look()
        scenario.prepare()
        hosts.close_connections(self.fleet)
        try:
            ended = self.play(scenario.settings)
            if scenario.waits:
                self.await_return()
        finally:
            scenario.repair()
        if scenario.waits:
            self.await_return()  # of what has booted only now
        after = self.look(prove=True)
        touched = sorted(name for name in self.names if after[name]["print"] != before[name]["print"])
        text = json.dumps(ended.report)
        faults = []
        if ended.code == 0:
            faults.append("exit 0")
        if not set(touched) <= set(scenario.touched):
            faults.append(f"touched {', '.join(set(touched) - set(scenario.touched))}")
        for name in self.names:
            if after[name]["release"] != before[name]["release"] or after[name]["pending"]:
                faults.append(f"{name} is on {after[name]['release']}, {after[name]['pending']}")
            if after[name]["fault"]:
                faults.append(f"{name} does not work: {after[name]['fault']}")
        if scenario.cause not in text:
            faults.append("the report does not name the cause")
        problem = next(
            (one["problem"] for one in ended.report["hosts"].values() if scenario.cause in one["problem"]), ""
        )
        problem = problem or next((line for line in ended.report["controller"] if scenario.cause in line), "")
        problem = problem or next(
            (f"{n}: {one['state']}" for n, one in ended.report["hosts"].items() if one["problem"]), "-"
        )
        states = [f"{name} {after[name]['last'].replace('_', ' ')}" for name in touched]
        states += [f"{len(self.names) - len(touched)} as before", "all on the old release, all proven"]
        self.note(scenario.name, ended.code, touched, "; ".join(states), problem, faults)

    def killed(self) -> None:
        """The twelfth: the controller is killed in the second batch, then the same command again."""
        say("--- controller killed, then resumed")
        before = self.look()
        self.operator.settings = {**self.base, **self.other()}
        known = set((self.operator.home / "reports").glob("*"))
        running = self.operator.start("site")
        deadline = time.monotonic() + 600
        while not self.second_batch(known):
            if time.monotonic() > deadline or running.poll() is not None:
                said = (self.operator.home / "output").read_text()[-1500:]
                raise FleetError(f"the second batch never began: {said}")
            time.sleep(0.1)
        self.operator.kill(running)
        middle = self.look()
        moved = [name for name in self.names if middle[name]["release"] != before[name]["release"]]
        ended = self.operator.play("site")
        after = self.look(prove=True)
        faults = [] if ended.code == 0 else [f"exit {ended.code} at the second run"]
        faults += [f"{n} does not work: {after[n]['fault']}" for n in self.names if after[n]["fault"]]
        faults += [f"{n} is {after[n]['pending']}" for n in self.names if after[n]["pending"]]
        faults += [f"{n} stays on the old release" for n in self.names if after[n]["release"] == before[n]["release"]]
        if not 0 < len(moved) < len(self.names):
            faults.append(f"the kill came at no good moment: {moved}")
        self.level = str(self.operator.settings["logmetrics_loki_log_level"])
        self.note(
            "controller killed, then resumed",
            ended.code,
            moved,
            "after the second run: all on the new release, all proven",
            f"{len(moved)} of {len(self.names)} hosts had moved when it was killed",
            faults,
        )

    def second_batch(self, known: set[Path]) -> bool:
        """Whether a host of the second batch has been activated in the run that is on."""
        for path in set((self.operator.home / "reports").glob("*/report.json")):
            if path.parent not in known:
                found = json.loads(path.read_text())["hosts"].values()
                return any(one["batch"] == 2 and one["state"] == "changed" for one in found)
        return False

    def note(self, name: str, code: int, touched: list[str], states: str, cause: str, faults: list[str]) -> None:
        """One row."""
        row = Row(
            name, str(code), ", ".join(touched) or "none", states, cause.splitlines()[0], not faults, "; ".join(faults)
        )
        self.rows.append(row)
        say(
            f"{'holds' if row.holds else 'DOES NOT HOLD: ' + row.why}: {name}: touched {row.touched}; {row.cause[:150]}"
        )

    def run(self, only: str) -> bool:
        """All of them."""
        hosts.up(self.fleet)
        self.operator.settings = dict(self.base)
        self.operator.good("site")
        for scenario in self.scenarios():
            if any(word in scenario.name for word in only.split(",")):
                self.one(scenario)
        if any(word in "controller killed, then resumed" for word in only.split(",")):
            self.killed()
        return all(row.holds for row in self.rows)


def main(arguments: list[str]) -> int:
    """Run them and write docs/proof/rollout.md; 0 only where all hold."""
    parser = argparse.ArgumentParser(prog="fleet.failures_proof", description=__doc__)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="scenarios with one of these words (commas between); no proof"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="logmetrics-failures-") as home:
        shown = Proof(options.hosts, Path(home))
        holds = shown.run(options.only)
    table = ["| scenario | exit | touched | states afterwards | the report says | |", "|---|---|---|---|---|---|"]
    for row in shown.rows:
        verdict = "holds" if row.holds else f"**does not hold**: {row.why}"
        cells = [row.name, row.exit, row.touched, row.states, row.cause, verdict]
        table.append("| " + " | ".join(cell.replace("|", " ") for cell in cells) + " |")
    print("\n".join(table))
    if not options.only:
        text = f"{options.hosts} hosts, batches {shown.base['logmetrics_batches']}.\n\n" + "\n".join(table)
        proof.write(
            "rollout", f"make proof-rollout HOSTS={options.hosts}", "all hold" if holds else "NOT all hold", text
        )
    return 0 if holds else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"failures_proof: {problem}")
