"""`make proof-rules HOSTS=20`: rules on real hosts: three calls a host, no line lost or doubled, bad sets caught.

Every host runs a program that logs five lines a second; 100 rules count them. From each host's own history and from its
log it is read, for every interval, which set counted how many lines of how many that were written.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import hosts, proof
from fleet.fleets import FLEETS, Host
from fleet.operator import Ended, Operator, on_all
from fleet.progress import FleetError, say

HERE = Path(__file__).with_name("rules")
INTERVAL = 20
BOX = (1, 5, "100%")
RETURN_MINUTES = 4
WINDOW = 300  # s of history that are looked at


@dataclass
class Row:
    """One line of the proof: what was shown, whether it held, and the commit that was run."""

    what: str
    seen: str
    holds: bool
    commit: str

    def text(self) -> str:
        """As a line of the table."""
        seen = self.seen.replace("|", " ").replace("\n", " ")
        return f"| {self.what} | {seen} | {self.commit} | {HOLDS if self.holds else HOLDS_NOT} |"


HOLDS, HOLDS_NOT = "holds", "**does not hold**"


def rule_set(name: str) -> list[dict[str, Any]]:
    """100 rules, each for its own hundredth of the program's lines."""
    return [
        {
            "metric": f"logs.{name}.r{number:02}",
            "help": f"Events of kind {number:02}.",
            "program": "proof",
            "match": f"^event {number:02} of run ",
            "tests": [
                {"line": f"Nov 22 10:00:00 h proof[7]: event {number:02} of run 4", "yields": 1},
                {"line": f"Nov 22 10:00:00 h proof[7]: event {(number + 1) % 100:02} of run 4", "yields": 0},
            ],
        }
        for number in range(100)
    ]


def bad_rule(metric: str, match: str, good: str, **more: Any) -> dict[str, Any]:
    """A rule that is fine in its own tests, and silenced where the lint knows better."""
    tests = [
        {"line": f"Nov 22 10:00:00 h proof[7]: {good}", "yields": 1},
        {"line": "Nov 22 10:00:00 h proof[7]: nothing", "yields": 0},
    ]
    return {
        "metric": metric,
        "help": "A rule that looks harmless.",
        "program": "proof",
        "match": match,
        "tests": tests,
        **more,
    }


ENDLESS, SLOW = ({code: "seen, and thought to be harmless"} for code in ("LM205", "LM206"))
# Its 100,000 points are sent again ten minutes later: until then runs are slow by any rules, so it comes last.
MANY_SERIES = "100,000 series"
BAD: dict[str, tuple[list[dict[str, Any]], str, int, str, str]] = {
    # name: rules, kind of burst, lines, kind of finding, metric that is blamed
    "a line on which a regex backtracks for ever": (
        [bad_rule("logs.bad.burst", "^burst: (?:a+)+$", "burst: aaaa", ignore=ENDLESS)],
        "trap",
        1,
        "timeout",
        "logs.bad.burst",
    ),
    "a hundred times the run time": (
        [
            bad_rule(f"logs.bad.slow{number}", rf"^report .*;.*;.*{number}$", f"report k=v;k=v;{number}", ignore=SLOW)
            for number in range(12)  # so many that none of them is over its own budget
        ],
        "slow",
        500,
        "run_ms",
        "logs.bad.slow",
    ),
    MANY_SERIES: (
        [bad_rule("logs.bad.by.{who}", r"^login of (?P<who>\w{1,40})$", "login of ann", max_series=100_000)],
        "names",
        100_000,
        "series",
        "logs.bad.by.{who}",
    ),
}


class Proof:
    """The hosts, the operator, and what has been shown so far."""

    def __init__(self, count: int, after: int, home: Path) -> None:
        self.fleet = FLEETS["rules"].first(count, after)
        self.targets = [host for host in self.fleet.hosts if not host.overlay]
        self.canary = self.targets[0]
        half = [host.name for host in self.targets[: count // 2]]
        rest = [host.name for host in self.targets[count // 2 :]]
        settings = {
            "logmetrics_interval": INTERVAL,
            "logmetrics_exec_timeout": 15,
            "logmetrics_graphite_host": "127.0.0.1",
            "logmetrics_batches": list(BOX),
            "logmetrics_soak_intervals": 3,
            "logmetrics_confirm_minutes": RETURN_MINUTES,
            "logmetrics_rules_extra": rule_set("seta"),
        }
        self.operator = Operator(self.fleet, home, settings, {"web": {"hosts": half}, "db": {"hosts": rest}})
        self.rows: list[Row] = []

    def show(self, what: str, seen: str, holds: bool) -> None:
        """Note one thing."""
        self.rows.append(Row(what, seen, holds, proof.commit()))
        say(f"{'holds' if holds else 'DOES NOT HOLD'}: {what}: {seen}")

    def look(self, seconds: int = WINDOW) -> dict[str, dict[str, Any]]:
        """look.py on every host."""
        code = (HERE / "look.py").read_text()
        told = on_all(self.targets, "python3", "-c", code, str(seconds), str(INTERVAL))
        return {name: json.loads(text) for name, text in told.items()}

    def rules(self, name: str, *more: dict[str, Any], host: Host | None = None) -> None:
        """What all hosts (or one) are to count by from the next run on."""
        self.operator.settings["logmetrics_rules_extra"] = [*rule_set(name), *more]

    # What is shown.

    def begin(self) -> None:
        """The hosts as site.yml makes them, with their program."""
        hosts.up(self.fleet)
        self.operator.good("site")
        code = (HERE / "writer.py").read_text()
        for host in self.targets:
            hosts.execute(host, "tee", "/usr/local/bin/proof-writer", stdin=code)
        start = ["systemd-run", "--quiet", "--collect", "--unit=proof-writer", "python3", "/usr/local/bin/proof-writer"]
        on_all(self.targets, "sh", "-c", "systemctl is-active -q proof-writer || exec " + " ".join(start))
        time.sleep(6 * INTERVAL)

    def nothing_to_do(self) -> None:
        """The same rules again."""
        ended = self.operator.good("rules")
        self.show("nothing to do: one remote call a host", calls(ended), set(ended.calls.values()) == {1})

    def preview(self) -> None:
        """--check --diff: every host's own logs."""
        before = self.states()
        ended = self.operator.good("rules", "--check", "--diff")
        notes = ended.report.get("notes", [])
        groups = [note for note in notes if note["title"] in ("Group web", "Group db")]
        named = all(any(row[0] == "logs.seta.r07" and "REMOVED" in row[4] for row in note["rows"]) for note in groups)
        self.show(
            "check mode: two calls a host, nothing changed",
            calls(ended),
            set(ended.calls.values()) == {2} and self.states() == before,
        )
        self.show(
            "the preview says by group what is removed and what is new",
            "; ".join(f"{note['title']}: {note['lines'][0]}" for note in groups),
            len(groups) == 2 and named,
        )

    def states(self) -> dict[str, str]:
        """Every host's state.json, to see who was touched."""
        return on_all(self.targets, "stat", "--format=%y %i", "/opt/logmetrics/state.json")

    def change(self) -> None:
        """All 100 rules are others: the whole rollout."""
        before = self.look()
        began = time.time()
        ended = self.operator.good("rules")
        seconds = time.time() - began
        time.sleep(5 * INTERVAL)
        after = self.look(int(seconds) + 12 * INTERVAL)
        others = {name: number for name, number in ended.calls.items() if name != self.canary.name}
        self.show(
            f"100 other rules on {len(self.targets)} hosts: at most 3 remote calls a host (the canary's watch aside)",
            f"{calls(ended)}; {seconds:.0f} s",
            max(others.values(), default=0) <= 3 and ended.calls[self.canary.name] <= 4,
        )
        same = all(before[name]["services"] == after[name]["services"] for name in after)
        self.show("no service was restarted", "main processes and starts compared", same)
        self.first_point(after)
        self.exact("after the change", after)

    def first_point(self, found: dict[str, dict[str, Any]]) -> None:
        """How long after its activation a host's first point of the new set was printed."""
        waits = {}
        for name, one in found.items():
            first = next((at[2] for at in one["intervals"] if self.current in at[1]), None)
            waits[name] = (first or 1e12) - self.activated(name)
        worst = max(waits.values())
        self.show(
            "the first point of the new set within three intervals",
            f"after {worst:.0f} s at most",
            worst <= 3 * INTERVAL,
        )

    def activated(self, name: str) -> float:
        """When a host's rules.json was written."""
        return float(hosts.execute(self.fleet.host(name), "stat", "--format=%Y", "/etc/logmetrics/rules.json"))

    def exact(self, when: str, found: dict[str, dict[str, Any]]) -> None:
        """Each interval was counted by exactly one set, and to the line."""
        wrong, intervals, lines = [], 0, 0
        for name, one in found.items():
            # The oldest that was asked for may be cut; the first of a file is.
            for at, counts, _ in one["intervals"][1:]:
                by = {key: count for key, count in counts.items() if count}
                written = one["truth"].get(str(at), 0)
                intervals, lines = intervals + 1, lines + written
                if len(counts) != 1 or sum(by.values()) != written:
                    wrong.append(f"{name} {at}: {counts}, written {written}")
        self.show(
            f"{when}: every line counted by one set, none by both or neither",
            f"{lines} lines in {intervals} intervals of {len(found)} hosts; wrong: {wrong[:3] or 'none'}",
            not wrong and intervals > 0,
        )

    def kill_in_the_middle(self, wait: bool) -> None:
        """The controller is killed while the second batch is at work; then run again, at once or after the return."""
        began = time.time()
        self.operator.last_report()
        reports = set((self.operator.home / "reports").glob("*"))
        running = self.operator.start("rules")
        self.until(lambda: self.second_batch_began(reports), 240)
        self.operator.kill(running)
        waiting = {name: one["pending"] for name, one in self.states_read().items() if one["pending"]}
        pending = list(waiting)
        what = "killed in the second batch"
        if wait:
            # Each host itself knows until when it waits.
            end = max((one["deadline"] for one in waiting.values()), default=0)
            time.sleep(max(0, end - time.time()) + 2 * INTERVAL)
            read = self.states_read()
            back = [name for name in pending if (read[name]["last"] or {}).get("outcome") == "returned"]
            confirmed = {one["rules"] for name, one in read.items() if name in pending}
            self.show(
                f"{what}, nobody comes back: the unconfirmed hosts go back to their old rules by themselves",
                f"{len(back)} of {len(pending)} returned",
                bool(pending) and back == pending and len(confirmed) == 1,
            )
        ended = self.operator.good("rules")
        read = self.states_read()
        even = {(one["rules"], str(one["pending"])) for one in read.values()}
        self.show(
            f"{what}{', and after their return' if wait else ''}: run again, it finishes",
            f"{len(pending)} hosts were unconfirmed at the kill; {calls(ended)}; rule sets now: {len(even)}",
            len(even) == 1 and bool(pending),
        )
        time.sleep(5 * INTERVAL)
        self.exact(f"{what}{', waited' if wait else ''}", self.look(int(time.time() - began) + 4 * INTERVAL))

    def second_batch_began(self, before: set[Path]) -> bool:
        """Whether a host of the second batch has new rules and is not confirmed."""
        new = set((self.operator.home / "reports").glob("*/report.json"))
        for path in new:
            if path.parent in before:
                continue
            report = json.loads(path.read_text())
            if any(one["batch"] == 2 and one["state"] == "changed" for one in report["hosts"].values()):
                return True
        return False

    def states_read(self) -> dict[str, dict[str, Any]]:
        """Every host's state.json."""
        return {
            name: json.loads(text) for name, text in on_all(self.targets, "cat", "/opt/logmetrics/state.json").items()
        }

    @staticmethod
    def until(look: Callable[[], bool], seconds: float) -> None:
        """Wait for something; FleetError where it does not come."""
        deadline = time.monotonic() + seconds
        while not look():
            if time.monotonic() > deadline:
                raise FleetError("what was waited for did not happen")
            time.sleep(0.1)

    def bad_set(self, name: str) -> None:
        """A set that is fine in its own tests and explodes on one host's real logs."""
        rules, kind, lines, finding, metric = BAD[name]
        before, touched = self.states_read(), self.states()
        self.rules(self.current, *rules)
        reports = set((self.operator.home / "reports").glob("*"))
        running = self.operator.start("rules")
        # Look, activate, watch; or the play has ended before.
        self.until(lambda: self.operator.counted()[self.canary.name] >= 3 or running.poll() is not None, 240)
        time.sleep(2 * INTERVAL + 2)
        code = (HERE / "burst.py").read_text()
        hosts.execute(self.canary, "python3", "-c", code, kind, str(lines))
        code_ = running.wait(300)
        counted = self.operator.counted()
        new = next(path for path in (self.operator.home / "reports").glob("*") if path not in reports)
        report = json.loads((new / "report.json").read_text())
        one = report["hosts"][self.canary.name]
        after = self.states_read()
        found = [entry for entry in one["findings"] if entry["kind"] == finding and entry["metric"].startswith(metric)]
        back = after[self.canary.name]["last"]["at"] - one["found"]
        others = {n: s for n, s in self.states().items() if n != self.canary.name}
        self.show(f"{name}: the canary finds it", one["problem"][:300], bool(found))
        self.show(
            f"{name}: the report names the rule, the line, what to do",
            f"{[e['metric'] for e in found]}, line {found[0]['line'] if found else None!r}",
            bool(found) and bool(found[0]["line"]) and "leave" in found[0]["text"] + "leave" * (finding == "series"),
        )
        self.show(
            f"{name}: the canary is back on its old rules within two intervals of the finding",
            f"{back:.1f} s",
            after[self.canary.name]["rules"] == before[self.canary.name]["rules"]
            and not after[self.canary.name]["pending"]
            and 0 <= back <= 2 * INTERVAL,
        )
        untouched = others == {n: s for n, s in touched.items() if n != self.canary.name}
        self.show(
            f"{name}: no other host was touched, exit code not 0",
            f"exit {code_}; calls of the others: {sorted({n for h, n in counted.items() if h != self.canary.name})}",
            untouched and code_ != 0,
        )
        self.rules(self.current)
        time.sleep(4 * INTERVAL)
        self.until(self.canary_counts, 400)

    def canary_counts(self) -> bool:
        """Whether the canary has finished intervals again by its old rules alone, to the line."""
        code, seconds = (HERE / "look.py").read_text(), str(6 * INTERVAL)
        found = json.loads(hosts.execute(self.canary, "python3", "-c", code, seconds, str(INTERVAL)))
        last = found["intervals"][-3:]
        time.sleep(2)
        return len(last) == 3 and all(sum(counts.values()) == found["truth"].get(str(at), 0) for at, counts, _ in last)

    current = "seta"

    def run(self, minutes: float, only: list[str]) -> list[str]:
        """One part after the other as long as no more than `minutes` are over; the parts that were not reached."""
        began = time.monotonic()
        self.begin()
        parts: list[tuple[str, Callable[[], None]]] = [
            ("nothing to do", self.nothing_to_do),
            ("preview", self.preview_and_change),
            ("killed in the middle", lambda: self.killed("setc", wait=False)),
            *((name, lambda name=name: self.bad_set(name)) for name in BAD if name != MANY_SERIES),
            ("killed in the middle, nobody comes back", lambda: self.killed("setd", wait=True)),
            (MANY_SERIES, lambda: self.bad_set(MANY_SERIES)),
        ]
        parts = [one for one in parts if not only or one[0] in only]
        while parts and time.monotonic() - began < minutes * 60:
            name, part = parts.pop(0)
            try:
                part()
            except FleetError as problem:  # the others are tried all the same
                self.show(name, str(problem)[-400:].replace("\n", " "), False)
        return [name for name, _ in parts]

    def preview_and_change(self) -> None:
        """Other rules, looked at and rolled out."""
        self.current = "setb"
        self.rules(self.current)
        self.preview()
        self.change()

    def killed(self, name: str, wait: bool) -> None:
        """Other rules again, and the controller dies."""
        self.current = name
        self.rules(name)
        self.kill_in_the_middle(wait)


def joined(again: list[Row]) -> list[Row]:
    """The rows of the record, those that were played again replaced; FleetError where it has none of that name."""
    rows = {}
    for line in (proof.PROOFS / "rules.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 4 and cells[3] in (HOLDS, HOLDS_NOT):
            rows[cells[0]] = Row(cells[0], cells[1], cells[3] == HOLDS, cells[2])
    for row in again:
        if row.what not in rows:
            raise FleetError(f'docs/proof/rules.md has no row "{row.what}": play all of it once')
        rows[row.what] = row
    return list(rows.values())


def calls(ended: Ended) -> str:
    """Remote calls in words: how many hosts had how many."""
    return ", ".join(f"{hosts_} hosts {number}" for number, hosts_ in sorted(Counter(ended.calls.values()).items()))


def main(arguments: list[str]) -> int:
    """Run it and write docs/proof/rules.md; 0 only where all of it holds."""
    parser = argparse.ArgumentParser(prog="fleet.rules_proof", description=__doc__)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--after", type=int, default=0, metavar="N", help="leave the fleet's first N hosts to others")
    parser.add_argument("--minutes", type=float, default=240, help="begin no further part after this time")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help="these parts alone, in the record of the others"
    )
    parser.add_argument("--dry", action="store_true", help="do not write the proof")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="logmetrics-rules-") as home:
        shown = Proof(options.hosts, options.after, Path(home))
        left: list[str] = []
        try:
            left = shown.run(options.minutes, options.only)
        finally:
            for row in shown.rows:
                print(f"{'holds' if row.holds else 'DOES NOT HOLD':14} {row.what}: {row.seen}")
    holds = all(row.holds for row in shown.rows)
    if not options.dry:
        rows = joined(shown.rows) if options.only else shown.rows
        verdict = "all of it holds" if all(row.holds for row in rows) else "NOT all of it holds"
        verdict += f"; not tried: {', '.join(left)}" if left else ""
        about = f"{options.hosts} hosts, interval {INTERVAL} s, batches {list(BOX)}, watch of 3 intervals."
        table = ["| what | seen | commit | |", "|---|---|---|---|", *(row.text() for row in rows)]
        proof.write("rules", f"make proof-rules HOSTS={options.hosts}", verdict, "\n".join([about, "", *table]))
    return 0 if holds and not left else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"rules_proof: {problem}")
