"""Counts lines into intervals: the pure middle between what sources read and what is printed and saved."""

from __future__ import annotations

from io import BytesIO

from . import buckets, values
from .lines import split
from .rules import hits
from .watch import TooSlow, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Tuple

    from .buckets import Bucket
    from .rules import Hit, Rule, RuleSet, View
    from .sources.base import Entry
    from .stamp import Stamp
    from .sweep import Form, Sweep

    # The newlines before its first line and at its last line's end
    Extent = Tuple[int, int]
    # (start of the interval, {piece or line: how often}, lines, by what they were counted, where they stand)
    Stretch = Tuple[int, Dict[bytes, int], int, Sweep, Extent]

AHEAD = 60  # seconds by which a stamp may be ahead of the clock
SECOND = 1_000_000_000
SHORT_LINE = 32  # bytes
BULK_FROM = 8192  # bytes; for fewer the exact way is quicker
DENSE = 0.2  # share of lines that count for something, from which on one match a line is quicker than one over many
STRETCH = 16_384  # bytes of one minute, from which on they are counted by themselves
FIRST_LINES = 20  # in which one must have a header
NO_SLOT = -1  # lines of which only the exact way can say it
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
        self._forms: dict[str, Form | None] = {}  # by source
        self._dense: dict[str, bool] = {}  # by source, as its last buffer was
        self._sweeps: dict[tuple[int, str, str], Sweep] = {}  # by rule set, source and form
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
            found.without(self.watch.aside)
        return found

    def add_lines(self, source: str, data: bytes | memoryview) -> None:
        """Count whole lines of a file."""
        self.watch.begin(len(data) // SHORT_LINE)
        if len(data) < BULK_FROM or not self._add_bulk(source, data):
            self.add_exactly(source, bytes(data))

    def _add_bulk(self, source: str, data: bytes | memoryview) -> bool:
        """Count by the fast way; False where the buffer or the rules do not fit it, and nothing was counted."""
        text = b"".join((b"\n", data))  # so that each line has a newline before it
        # Bytes that the exact way takes off a line.
        if b"\r" in text or b"\0" in text or _has_longer_line(text, self.line_max):
            return False
        form = self._form(source, text)
        if form is None:
            return False
        now = self.clock()
        last = self._last_stamp(text, now)
        if last is None:
            return False
        try:
            stretches = self._stretches(source, text, form, now)
        except TooSlow:
            return False  # one by one it shows which rule it was
        finally:
            self.watch.working = None
        if stretches is None:
            return False
        odd: dict[Extent, dict[bytes, int]] = {}
        counted = lines = 0
        for stretch in stretches:
            counted += self._add_stretch(stretch, odd.setdefault(stretch[4], {}))
            lines += stretch[2]
        odd_lines = [line for extent, own in odd.items() for line in _in_order(own, text, extent)]
        self.lines += lines
        self._dense[source] = counted > lines * DENSE
        if len(odd_lines) > lines // 2:
            del self._forms[source]  # another form: the next buffer's first lines tell which
        for line in odd_lines:
            self._add_odd(source, line[:-1], now)
        if last[0] <= int(now) + AHEAD:
            self.passed[source] = max(self.passed.get(source, 0), last[0])
            if last[0] * SECOND + last[1] >= self.carry_from:
                self.carried[source] = last[0] * SECOND + last[1]
        else:
            self.carried[source] = int(now * SECOND)
        return True

    def _form(self, source: str, text: bytes) -> Form | None:
        """The form of the lines' headers, or None where they must be taken one by one."""
        from . import sweep  # noqa: PLC0415 - not needed by a run without new lines

        if source not in self._forms:
            if any(self.view(rules, source).for_any_program for _, rules in self.timeline.sets):
                self._forms[source] = None
                return None
            at = 1
            for _ in range(FIRST_LINES):
                end = text.find(b"\n", at)
                if end < 0:
                    return None
                form = sweep.form_of(text[at:end], self.interval)
                if form is not None:
                    self._forms[source] = form
                    break
                at = end + 1
            else:
                return None
        return self._forms[source]

    def _last_stamp(self, text: bytes, now: float) -> Stamp | None:
        """The stamp of the last line that has one."""
        end = len(text) - 1
        for _ in range(LOOK_BACK):
            at = text.rfind(b"\n", 0, max(0, end)) + 1
            found = split(text[at : min(end, at + self.line_max)], now)[0]
            if found is not None or not at:
                return found
            end = at - 1
        return None

    def _stretches(self, source: str, text: bytes, form: Form, now: float) -> list[Stretch] | None:
        """What the lines come to, by intervals; None where they must be taken one by one."""
        slots: dict[bytes, int] = {}

        def slot_of(minute: bytes) -> int:
            """The interval of a minute; -1 of one that is none, or that may be too far ahead of the clock."""
            slot = slots.get(minute)
            if slot is None:
                stamp = split(minute + form.rest_of_stamp, now)[0]
                begin = 0 if stamp is None else stamp[0] // form.unit * form.unit
                unfit = stamp is None or begin + form.unit > int(now) + AHEAD or begin < self.since
                slot = slots[minute] = -1 if stamp is None or unfit else stamp[0] // self.interval * self.interval
            return slot

        found: list[Stretch] = []
        start, end = 0, len(text) - 1
        if not self._dense.get(source):
            return self._of_any_minute(source, form, text, start, slot_of, found)
        at = text.rfind(b"\n", 0, end) + 1
        last_minute = text[at : at + form.minute_end]
        while start < end:
            minute = text[start + 1 : start + 1 + form.minute_end]
            stop = end
            if minute != last_minute:
                stop = text.find(b"\n", text.rfind(b"\n" + minute, start, end) + 1)
            slot = slot_of(minute)
            counted = None
            if slot >= 0 and (stop == end or stop - start >= STRETCH):
                sweep = self._sweep(self.timeline.at(slot), source, form)
                self.watch.working = sweep
                counted = sweep.of_one_minute(text, start, stop)
            if counted is None:
                return self._of_any_minute(source, form, text, start, slot_of, found)
            found.append((slot, *counted, sweep, (start, stop)))
            start = stop
        return found

    def _of_any_minute(
        self,
        source: str,
        form: Form,
        text: bytes,
        start: int,
        slot_of: Callable[[bytes], int],
        found: list[Stretch],
    ) -> list[Stretch] | None:
        """The rest of a buffer: one in which few lines count, or minutes are mixed or short."""
        first = slot_of(text[start + 1 : start + 1 + form.minute_end])
        rules = self.timeline.at(first) if first >= 0 else self.timeline.sets[-1][1]
        sweep = self._sweep(rules, source, form)
        self.watch.working = sweep
        counted = sweep.of_any_minute(text, start)
        if counted is None:
            return None
        counts, lines = counted
        by_slot: dict[int, dict[bytes, int]] = {}
        by_minute: dict[bytes, dict[bytes, int]] = {}
        apart = set()  # minutes that are none, lie ahead of the clock, or have other rules
        for minute in {minute for minute, _ in counts}:
            slot = slot_of(minute) if minute else NO_SLOT
            if minute and (slot < 0 or self.timeline.at(slot) is not rules):
                apart.add(minute)
            by_minute[minute] = {} if minute in apart else by_slot.setdefault(slot, {})
        for (minute, piece), number in counts.items():
            own = by_minute[minute]
            own[piece] = own.get(piece, 0) + number
        if apart:
            one_by_one = by_slot[NO_SLOT] = {}
            for line in BytesIO(text[start + 1 :]):
                if line[: form.minute_end] in apart or (b"", line) in counts:
                    one_by_one[line] = one_by_one.get(line, 0) + 1
        extent = (start, len(text) - 1)
        found += [(slot, own, 0, sweep, extent) for slot, own in by_slot.items()]
        found.append((NO_SLOT, {}, lines, sweep, extent))
        return found

    def _sweep(self, rules: RuleSet, source: str, form: Form) -> Sweep:
        from . import sweep  # noqa: PLC0415 - as above

        key = (id(rules), source, form.key)
        found = self._sweeps.get(key)
        if found is None:
            found = self._sweeps[key] = sweep.Sweep(self.view(rules, source), form, rules.codes, rules.name)
        return found

    def _add_stretch(self, stretch: Stretch, odd: dict[bytes, int]) -> int:
        """Count what a stretch's lines came to; those for the exact way go to `odd`. The number of lines for rules."""
        slot, counts, _, sweep, _ = stretch
        pieces = sweep.pieces()
        matched = 0
        late = slot < self.closed
        for piece, number in counts.items():
            if not piece:
                continue
            matched += number
            rules = pieces.get(piece)
            if rules is None:
                odd[piece] = number
                continue
            if slot < self.first:
                continue
            bucket = (self.late if late else self.open).setdefault(slot, {})
            for rule in rules:
                buckets.count(bucket, rule.metric, number)
                if self.newest.get(rule.metric, 0) < slot:
                    self.newest[rule.metric] = slot
            self.late_lines += number if late else 0
        return matched

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
        self._sweeps.clear()
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


def _in_order(lines: dict[bytes, int], text: bytes, extent: Extent) -> list[bytes]:
    """Lines ({line with its newline: how often}, by their first occurrence) one by one as they stand in the text.

    Of two with one stamp the later one is a gauge's value.
    """
    if all(number == 1 for number in lines.values()):
        return list(lines)
    return [line for line in BytesIO(text[extent[0] + 1 : extent[1] + 1]) if line in lines]


def _has_longer_line(data: bytes, most: int) -> bool:
    """Whether a line is longer than `most` bytes: by steps as long as may be."""
    at = 0
    while len(data) - at > most:
        at = data.rfind(b"\n", at, at + most + 1) + 1
        if not at:
            return True
    return False


def _fill(rule: Rule, names: list[str]) -> str:
    parts = [rule.pieces[0]]
    for name, piece in zip(names, rule.pieces[1:]):
        parts += [name, piece]
    return "".join(parts)
