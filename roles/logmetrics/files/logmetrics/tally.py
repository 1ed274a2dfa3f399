"""Counts lines into intervals: the pure middle between what sources read and what is printed and saved."""

from __future__ import annotations

from . import buckets, values
from .lines import split
from .rules import hits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .buckets import Bucket
    from .rules import Hit, Rule, RuleSet, View
    from .sources.base import Entry

AHEAD = 60  # seconds by which a stamp may be ahead of the clock
SECOND = 1_000_000_000
OTHER, INVALID = "_other", "_invalid"


class Timeline:
    """Rule sets by the interval from which each is in force, oldest first."""

    def __init__(self, sets: list[tuple[int, RuleSet]]) -> None:
        self.sets = sets

    def at(self, slot: int) -> RuleSet:
        """The rule set for an interval; one before all of them goes to the oldest."""
        found = self.sets[0][1]
        for start, rules in self.sets:
            if start <= slot:
                found = rules
        return found


class Families:
    """Names that captures made: admitted ones are saved, so that the cap does not depend on the order of runs.

    `saved` is {metric as in the rule: {name: newest interval in which it occurred}}.
    """

    def __init__(self, saved: dict[str, dict[str, int]], account: Callable[[bytes], bool]) -> None:
        self.saved = saved
        self._account = account

    def series(self, rule: Rule, found: Any, slot: int) -> str:
        """The series that a match of a family's rule counts for."""
        raw = [found.group(name) or b"" for name in rule.groups]
        admitted = self.saved.setdefault(rule.metric, {})
        if rule.only == "accounts" and not all(self._account(name) for name in raw):
            name = _fill(rule, [INVALID] * len(raw))
        else:
            name = _fill(rule, [values.escape(one) for one in raw])
            others = _fill(rule, [OTHER] * len(raw))
            own = sum(1 for one in admitted if one != others and INVALID not in one.split("."))
            if name not in admitted and own >= rule.max_series:
                name = others
        admitted[name] = max(slot, admitted.get(name, slot))
        return name

    def names(self, rules: RuleSet) -> list[str]:
        """Series of counting families that send zeros."""
        found = []
        for rule in rules.rules:
            if rule.groups and rule.type in ("counter", "sum", "timing"):
                tail = ".count" if rule.type == "timing" else ""
                found += [name + tail for name in self.saved.get(rule.metric, ())]
        return found

    def free(self, before: int) -> None:
        """Forget names that have not occurred since this Unix time, so that others may be admitted."""
        for metric in list(self.saved):
            kept = {name: slot for name, slot in self.saved[metric].items() if slot >= before}
            if kept:
                self.saved[metric] = kept
            else:
                del self.saved[metric]


class Tally:
    """One run's counting. Not yet merged with the state's open intervals; `late` holds what came after its interval was sent."""

    def __init__(
        self,
        interval: int,
        first: int,
        closed: int,
        timeline: Timeline,
        families: Families,
        clock: Callable[[], float],
        line_max: int,
    ) -> None:
        self.interval, self.first, self.closed = interval, first, closed
        self.timeline, self.families, self.clock, self.line_max = timeline, families, clock, line_max
        self.open: dict[int, Bucket] = {}
        self.late: dict[int, Bucket] = {}
        self.lines = 0
        self.late_lines = 0
        self.future_lines = 0
        self.probes: list[int] = []
        self.newest: dict[str, int] = {}  # rule's metric: newest interval in which it matched
        self.bad_values: dict[str, int] = {}
        self.passed: dict[str, int] = {}  # source: newest stamp seen, seconds (never one from the future)
        self.carried: dict[str, int] = {}  # source: ns of the last stamp, for lines without one
        self._views: dict[tuple[int, str], View] = {}

    def view(self, rules: RuleSet, source: str) -> View:
        """The source's rules, looked up once a run."""
        key = (id(rules), source)
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = rules.view(source)
        return found

    def add_lines(self, source: str, data: bytes) -> None:
        """Count whole lines of a file."""
        now = self.clock()
        horizon = int(now) + AHEAD
        carried = self.carried.get(source)
        passed = self.passed.get(source, 0)
        for raw in data.split(b"\n")[:-1]:
            self.lines += 1
            line = raw[: self.line_max].rstrip(b"\r").lstrip(b"\0")
            stamp, program, start = split(line, now)
            ahead = False
            if stamp is not None:
                when = stamp[0] * SECOND + stamp[1]
                if stamp[0] > horizon:
                    ahead, when = True, int(now * SECOND)
                elif stamp[0] > passed:
                    passed = stamp[0]
                carried = when
            else:
                when = carried if carried is not None else int(now * SECOND)
            self._count(source, when, ahead, program, line[start:])
        if carried is not None:
            self.carried[source] = carried
        self.passed[source] = passed

    def add_entries(self, source: str, entries: list[Entry]) -> None:
        """Count journal entries."""
        now = self.clock()
        horizon = (int(now) + AHEAD) * SECOND
        passed = self.passed.get(source, 0)
        for when, program, message, _ in entries:
            self.lines += 1
            ahead = when > horizon
            passed = passed if ahead else max(passed, when // SECOND)
            self._count(source, int(now * SECOND) if ahead else when, ahead, program, message)
        self.passed[source] = passed

    def _count(self, source: str, when: int, ahead: bool, program: bytes | None, message: bytes) -> None:
        slot = when // SECOND // self.interval * self.interval
        rules = self.view(self.timeline.at(slot), source).rules_for(program)
        if not rules:
            return
        counted = False
        for hit in hits(rules, message):
            counted = self._take(hit, slot, when) or counted
        if counted:
            self.future_lines += ahead
            self.late_lines += slot < self.closed

    def _take(self, hit: Hit, slot: int, when: int) -> bool:
        """Count one match; whether it counts for an interval."""
        rule = hit.rule
        number = 0
        if rule.value:
            got = values.number(hit.found.group("value") or b"")
            if got is None:
                self.bad_values[rule.metric] = self.bad_values.get(rule.metric, 0) + 1
                return False
            number = got
        if rule.type == "probe":
            self.probes.append(number // values.SCALE)
            return False
        if slot < self.first:
            return False  # of before the first whole interval
        name = self.families.series(rule, hit.found, slot) if rule.groups else rule.metric
        place = self.late if slot < self.closed else self.open
        buckets.add(place.setdefault(slot, {}), name, rule.type, hit.times, number, when)
        if self.newest.get(rule.metric, 0) < slot:
            self.newest[rule.metric] = slot
        return True


def _fill(rule: Rule, names: list[str]) -> str:
    parts = [rule.pieces[0]]
    for name, piece in zip(names, rule.pieces[1:]):
        parts += [name, piece]
    return "".join(parts)
