"""Counts lines into intervals: the pure middle between what sources read and what is printed and saved."""

from __future__ import annotations

from . import buckets, values
from .lines import split
from .rules import hits
from .watch import TooSlow, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .buckets import Bucket
    from .bulk import Pile, Program, Sorter
    from .rules import Hit, Rule, RuleSet, View
    from .sources.base import Entry
    from .stamp import Stamp

AHEAD = 60  # seconds by which a stamp may be ahead of the clock
SECOND = 1_000_000_000
SHORT_LINE = 32  # bytes
BULK_FROM = 8192  # bytes; for fewer the exact way is quicker
LOOK_BACK = 100  # lines without a stamp at a buffer's end, before the exact way is taken
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
        self._own: dict[str, int] = {}  # names that count against max_series, so far as that was asked

    def series(self, rule: Rule, found: Any, slot: int) -> str:
        """The series that a match of a family's rule counts for."""
        raw = [found.group(name) or b"" for name in rule.groups]
        admitted = self.saved.setdefault(rule.metric, {})
        if rule.only == "accounts" and not all(self._account(name) for name in raw):
            name = _fill(rule, [INVALID] * len(raw))
        else:
            name = _fill(rule, [values.escape(one) for one in raw])
            others = _fill(rule, [OTHER] * len(raw))
            if name not in admitted and name != others:
                own = self._own.get(rule.metric)
                if own is None:
                    own = sum(1 for one in admitted if one != others and INVALID not in one.split("."))
                if own >= rule.max_series:
                    name = others
                elif INVALID not in name.split("."):
                    own += 1
                self._own[rule.metric] = own
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
    """One run's counting, not yet merged with the state's; `late` holds what came after its interval was sent."""

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
        self.carry_from = first * SECOND  # ns; an older stamp (a number that looks like one) is not carried
        self.since = 0  # Unix time from which on the interval is this one
        self.intervals: list[list[int]] = []  # [until, seconds] of those before it, oldest first
        self.watch = Watch()
        self._aside = 0  # rules set aside that are known of here
        self._sorters: dict[str, Sorter | None] = {}
        self._programs: dict[tuple[int, str, bytes, int], Program] = {}
        self._views: dict[tuple[int, str], View] = {}

    def slot(self, second: int) -> int:
        """The start of the interval in which a Unix time lies."""
        if second < self.since:
            for until, interval in self.intervals:
                if second < until:
                    return second // interval * interval
        return second // self.interval * self.interval

    def view(self, rules: RuleSet, source: str) -> View:
        """The source's rules, looked up once a run."""
        key = (id(rules), source)
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = rules.view(source)
        return found

    def add_lines(self, source: str, data: bytes) -> None:
        """Count whole lines of a file."""
        self.watch.begin(len(data) // SHORT_LINE)
        if len(data) < BULK_FROM or not self._add_bulk(source, data):
            self.add_exactly(source, data)

    def _add_bulk(self, source: str, data: bytes) -> bool:
        """Count by the fast way; False where the buffer or the rules do not fit it, and nothing was counted."""
        # Bytes that the exact way takes off a line.
        if b"\r" in data or b"\0" in data:
            return False
        sorter = self._sorter(source, data)
        if sorter is None:
            return False
        now = self.clock()
        lines = data.split(b"\n")
        lines.pop()
        last = self._last_stamp(lines, now)
        if last is None:
            return False
        piles, odd = sorter.choose(lines)
        if len(odd) > len(lines) // 2:
            del self._sorters[source]  # another form: the next buffer's first line tells which
        slots: dict[bytes, int] = {}
        for pile in piles:
            odd += self._add_pile(source, pile, sorter, now, slots)
        self.lines += len(lines)
        for line in odd:
            self._add_odd(source, line, now)
        if last[0] <= int(now) + AHEAD:
            self.passed[source] = max(self.passed.get(source, 0), last[0])
            if last[0] * SECOND + last[1] >= self.carry_from:
                self.carried[source] = last[0] * SECOND + last[1]
        else:
            self.carried[source] = int(now * SECOND)
        return True

    def _sorter(self, source: str, data: bytes) -> Sorter | None:
        """How the source's lines are put apart, or None where they must be taken one by one."""
        from . import bulk  # noqa: PLC0415 - a run without new lines needs no regex

        if source not in self._sorters:
            views = [self.view(rules, source) for _, rules in self.timeline.sets]
            first = data[: data.find(b"\n")]
            form = None if any(view.for_any_program for view in views) else bulk.form_of(first, self.interval)
            programs = {program for view in views for program in view.programs()}
            self._sorters[source] = None if form is None else bulk.Sorter(programs, form, first)
        return self._sorters[source]

    def _last_stamp(self, lines: list[bytes], now: float) -> Stamp | None:
        """The stamp of the last line that has one."""
        for line in reversed(lines[-LOOK_BACK:]):
            found = split(line[: self.line_max], now)[0]
            if found is not None:
                return found
        return None

    def _add_pile(self, source: str, pile: Pile, sorter: Sorter, now: float, slots: dict[bytes, int]) -> list[bytes]:
        """Count lines of one program; those that the exact way must take. `slots` are the buffer's stamps so far."""
        from . import bulk  # noqa: PLC0415 - as above

        unit = sorter.form.unit
        rest = sorter.form.rest_of_stamp + pile.offset + b" "

        def slot_of(minute: bytes) -> int:
            """The interval of a minute; -1 of one that is none, or that may be too far ahead of the clock."""
            stamp = minute + rest
            slot = slots.get(stamp)
            if slot is None:
                found = split(stamp, now)[0]
                unfit = (
                    found is None
                    or found[0] // unit * unit + unit > int(now) + AHEAD
                    or found[0] // unit * unit < self.since
                )
                slot = slots[stamp] = -1 if found is None or unfit else found[0] // self.interval * self.interval
            return slot

        rules = self.timeline.sets[-1][1]
        if len(self.timeline.sets) > 1:
            in_force = {id(self.timeline.at(slot_of(minute))) for minute in set(map(sorter.minute, pile.lines))}
            if in_force != {id(rules)}:
                return list(pile.lines)  # about a change of the rules
        tag_end = pile.tag_at + len(pile.name)
        key = (id(rules), source, pile.name, tag_end)
        program = self._programs.get(key)
        if program is None:
            own = self.view(rules, source).rules_for(pile.name)
            program = self._programs[key] = bulk.Program(own, tag_end)
        self.watch.working = program
        try:
            counts = bulk.count(program, pile.lines, sorter, self.line_max, lambda minute: slot_of(minute) < 0)
        except TooSlow:
            return list(pile.lines)  # one by one it shows which rule it was
        finally:
            self.watch.working = None
        for minute, by_rule in counts.by_minute.items():
            slot = slot_of(minute)
            if slot < self.first:
                continue
            late = slot < self.closed
            bucket = (self.late if late else self.open).setdefault(slot, {})
            for rule, number in by_rule.items():
                bucket[rule.metric] = bucket.get(rule.metric, 0) + number
                if self.newest.get(rule.metric, 0) < slot:
                    self.newest[rule.metric] = slot
            self.late_lines += counts.matched[minute] if late else 0
        return counts.exact

    def _add_odd(self, source: str, raw: bytes, now: float) -> None:
        """Count one line of which the fast way knows that rules may be for it; it has a header, and so a stamp."""
        line = raw[: self.line_max]
        found, program, start = split(line, now)
        if found is None or program is None:
            return  # without a header no program, and no rule is for all programs
        when = found[0] * SECOND + found[1]
        ahead = found[0] > int(now) + AHEAD
        self._count(source, int(now * SECOND) if ahead else when, ahead, program, line[start:])

    def add_exactly(self, source: str, data: bytes) -> None:
        """Count whole lines of a file one by one."""
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
                if when >= self.carry_from:
                    carried = when
            else:
                when = carried if carried is not None else int(now * SECOND)
            self._count(source, when, ahead, program, line[start:])
        if carried is not None:
            self.carried[source] = carried
        self.passed[source] = passed

    def add_entries(self, source: str, entries: list[Entry]) -> None:
        """Count journal entries."""
        self.watch.begin(len(entries))
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
        slot = self.slot(when // SECOND)
        rules = self.view(self.timeline.at(slot), source).rules_for(program)
        if not rules:
            return
        counted = False
        for hit in hits(rules, message, self.watch):
            counted = self._take(hit, slot, when) or counted
        if len(self.watch.aside) > self._aside:
            self._set_aside()
        if counted:
            self.future_lines += ahead
            self.late_lines += slot < self.closed

    def _set_aside(self) -> None:
        """Rules took too long: go on without them."""
        self._aside = len(self.watch.aside)
        self._programs.clear()
        for view in self._views.values():
            view.without(self.watch.aside)

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
