"""Two rule sets on the same lines in one reading: what each counts by hour, what each rule costs, what no rule counts.

The sets are joined into one whose metrics are marked: `=` rules that both have, `-` those of the old set, `+` those of
the new one. So each line is put apart and counted once, by the very code that counts on a host (`tally`), and both
sets' counts fall out of it. What cannot be had from counts alone is sampled: differing lines, programs, times.

Times are this thread's of the CPU: the process's own goes on in ticks of the kernel while `watch` has its timer.
"""

from __future__ import annotations

import time

from .lines import split
from .rules import BUILT_IN, RuleSet, repeated
from .tally import Families, Tally, Timeline
from .values import SCALE
from .watch import TooSlow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator

    from .masking import Mask
    from .rules import Rule
    from .sources.base import Entry

    Document = dict[str, Any]
    # (program, message)
    Text = tuple[bytes | None, bytes]

HOUR = 3600
BOTH, OLD, NEW = "=", "-", "+"
SAMPLES = 3  # differing lines that are shown for a metric and direction
SAMPLES_SEEN = 200  # differing lines after which no further form is looked for
LOOKS = 20  # pieces with equal counts in which differing lines are looked for all the same
SAMPLED_WHOLE = 8 << 20  # bytes at the beginning of which each line is surveyed
STRIDE = 16  # of what follows, every so many lines
PROGRAMS_MOST = 2000  # names of programs that are kept; the rest is one
OTHERS = b"(others)"
COSTLY = 5e-5  # seconds of CPU a line, on a piece's average, from which on the line that took longest is shown
EXAMPLES = 20  # unmatched lines of a program that are masked to find the most frequent form
_SAME = ("metric", "type", "program", "source", "match", "max_series", "only")


def joined(old: Document, new: Document) -> Document:
    """Both sets as one, marked. Rules that write one metric stay together: they are `=` only where all of them are."""
    sides = [_by_metric(doc) for doc in (old, new)]
    rules: list[dict[str, Any]] = []
    for metric in dict.fromkeys([*sides[0], *sides[1]]):
        ours, theirs = (side.get(metric, []) for side in sides)
        if _same(ours) == _same(theirs):
            rules += [{**rule, "metric": BOTH + metric} for rule in ours]
        else:
            rules += [{**rule, "metric": OLD + metric} for rule in ours]
            rules += [{**rule, "metric": NEW + metric} for rule in theirs]
    return {"format": 1, "hash": "", "rules": rules}


def _by_metric(doc: Document) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for rule in doc["rules"]:
        found.setdefault(str(rule.get("metric")), []).append(rule)
    return found


def _same(rules: list[dict[str, Any]]) -> list[list[Any]]:
    return [[rule.get(key) for key in _SAME] for rule in rules]


class Cost:
    """What a rule's regex took on sampled lines: seconds of CPU, and lines it was tried on."""

    __slots__ = ("lines", "seconds", "slow_line", "slow_source", "slowest")

    def __init__(self) -> None:
        self.lines = 0
        self.seconds = 0.0
        self.slow_line: str | None = None  # masked; the line on which it went over its budget, or took very long
        self.slowest = COSTLY  # seconds of CPU a line that it took on the piece of that line
        self.slow_source = ""


class Program:
    """Lines of one program among the sampled ones."""

    __slots__ = ("bytes", "examples", "lines", "unmatched")

    def __init__(self) -> None:
        self.lines = self.bytes = self.unmatched = 0
        self.examples: dict[str, int] = {}


class Differences:
    """Masked lines that only one of a metric's two rules matches."""

    __slots__ = ("gained", "looks", "lost", "seen")

    def __init__(self) -> None:
        self.gained: list[str] = []
        self.lost: list[str] = []
        self.seen = {OLD: 0, NEW: 0}
        self.looks = 0

    def wanted(self, side: str) -> bool:
        """Whether one more line that only this side matches is of use."""
        return len(self.lost if side == OLD else self.gained) < SAMPLES and self.seen[side] < SAMPLES_SEEN


class Comparison:
    """Feed it lines; then read its fields. `since` (Unix time) leaves out lines of earlier hours."""

    def __init__(
        self,
        old: Document,
        new: Document,
        mask: Mask,
        account: Callable[[bytes], bool],
        since: int = 0,
        line_max: int = 65_536,
        rule_budget: float = 1.0,
    ) -> None:
        self.rules = RuleSet.from_document(joined(old, new), "joined rules")
        self.reference = time.time()  # as of which stamps are read
        self.mask = mask
        self.account = account
        self.families: dict[str, dict[str, int]] = {}
        self.tally = Tally(
            HOUR,
            since // HOUR * HOUR,
            0,
            Timeline([(0, self.rules)]),
            Families(self.families, account),
            lambda: self.reference,
            line_max,
        )
        self.tally.watch.budget = rule_budget
        self.hours: dict[str, dict[int, float]] = {}  # marked metric: {hour: count, or value of a gauge or sum}
        self.bytes = 0
        self.costs: dict[Rule, Cost] = {}
        self.programs: dict[bytes | None, Program] = {}
        self.differences: dict[str, Differences] = {}
        self.sampled = 0
        self._slow: list[Rule] = []
        self._looking = 0.0  # seconds of CPU spent on differing lines: a busy host shows no fewer
        self._began = time.thread_time()
        self._plain = {rule.metric: rule for rule in self.rules.rules[len(BUILT_IN) :]}
        self._changed: dict[str, list[Rule]] = {}
        self._metric_of: dict[str, str] = {}
        for rule in self.rules.rules[len(BUILT_IN) :]:
            if rule.metric[0] != BOTH:
                self._changed.setdefault(rule.metric[1:], []).append(rule)

    @property
    def lines(self) -> int:
        """Lines read."""
        return self.tally.lines

    def add(self, source: str, data: bytes, reference: float) -> None:
        """Count whole lines of a file; `reference` is the time as of which their stamps are read."""
        self.reference = reference
        self.tally.add_lines(source, data)
        self._after(source, len(data), _Once(lambda: self._texts(data)), lambda stride: self._texts(data, stride))

    def add_entries(self, source: str, entries: list[Entry]) -> None:
        """Count journal entries."""
        self.reference = time.time()
        self.tally.add_entries(source, entries)
        size = sum(len(line) + 1 for _, _, _, line in entries)
        texts: list[Text] = [(program, message) for _, program, message, _ in entries]
        self._after(source, size, lambda: texts, lambda stride: texts[::stride])

    def close(self) -> None:
        """Nothing more comes."""
        self.tally.watch.stop()

    def _after(
        self, source: str, size: int, texts: Callable[[], Iterable[Text]], some: Callable[[int], Iterable[Text]]
    ) -> None:
        self._name_slow(source, texts)
        chunk = self._take()
        for metric, rules in self._changed.items():
            self._look(source, metric, rules, chunk, texts)
        whole = self.bytes < SAMPLED_WHOLE
        self._survey(source, texts() if whole else some(STRIDE), whole)
        self._name_slow(source, texts)
        self.bytes += size

    def _texts(self, data: bytes, stride: int = 1) -> Iterator[Text]:
        for raw in data.split(b"\n")[:-1:stride]:
            line = raw[: self.tally.line_max].rstrip(b"\r").lstrip(b"\0")
            _, program, start = split(line, self.reference)
            yield program, line[start:]

    # What was counted.

    def _take(self) -> dict[str, float]:
        """Move what was counted of the last piece into `hours`; its sums by marked metric."""
        sums: dict[str, float] = {}
        for at, bucket in self.tally.open.items():
            for name, value in bucket.items():
                metric = self._metric(name)
                if metric is None:
                    continue
                number, adds = _number(value)
                by_hour = self.hours.setdefault(metric, {})
                by_hour[at] = (by_hour.get(at, 0) if adds else 0) + number
                sums[metric] = sums.get(metric, 0) + number
        self.tally.open = {}
        return sums

    def _metric(self, name: str) -> str | None:
        """The marked metric of a series; None of the parser's own."""
        if name in self._plain:
            return name
        found = self._metric_of.get(name)
        if found is None and name[0] in (BOTH, OLD, NEW):
            for metric, names in self.families.items():
                if name in names:
                    found = self._metric_of[name] = metric
        return found

    # Lines that differ.

    def _look(
        self, source: str, metric: str, rules: list[Rule], chunk: dict[str, float], texts: Callable[[], Iterable[Text]]
    ) -> None:
        old, new = chunk.get(OLD + metric, 0), chunk.get(NEW + metric, 0)
        found = self.differences.setdefault(metric, Differences())
        if old == new:
            found.looks += 1 if old else 0
            if not old or found.looks > LOOKS:
                return
        sides = [
            side for side, more in ((OLD, old > new), (NEW, new > old)) if (more or old == new) and found.wanted(side)
        ]
        began = time.thread_time()
        if not sides or self._looking > 0.2 * (began - self._began) + 0.5:
            return
        own = [rule for rule in rules if rule.applies_to(source)]
        programs = None if any(rule.programs is None for rule in own) else {p for r in own for p in r.programs or ()}
        self.tally.watch.begin(0)
        for program, message in texts():
            if programs is None or program in programs:
                side = self._only(own, program, message)
                if side in sides and found.wanted(side):
                    found.seen[side] += 1
                    shown = self.mask.line(program, message)
                    into = found.lost if side == OLD else found.gained
                    if shown not in into:
                        into.append(shown)
        self._looking += time.thread_time() - began

    def _only(self, rules: list[Rule], program: bytes | None, message: bytes) -> str:
        """The side of which alone a rule matches, or ""."""
        _, inner = repeated(message)
        matched = set()
        for rule in rules:
            if (rule.programs is None or program in rule.programs) and rule not in self.tally.watch.aside:
                self.tally.watch.working = rule
                try:
                    if rule.pattern.search(inner):
                        matched.add(rule.metric[0])
                    self.tally.watch.working = None
                except TooSlow:
                    self.tally.watch.set_aside(rule)
        return matched.pop() if len(matched) == 1 else ""

    # Sampled: programs and costs.

    def _survey(self, source: str, texts: Iterable[Text], whole: bool) -> None:
        weight = 1 if whole else STRIDE
        by_program: dict[bytes | None, list[bytes]] = {}
        for program, message in texts:
            by_program.setdefault(program, []).append(message)
        view = self.tally.view(self.rules, source)
        watch = self.tally.watch
        for program, messages in by_program.items():
            self.sampled += len(messages)
            rules = [
                rule for rule in view.rules_for(program) if rule.number >= len(BUILT_IN) and rule not in watch.aside
            ]
            left = self._time(source, program, rules, [repeated(message)[1] for message in messages])
            known = self.programs.get(program)
            if known is None:
                name = program if len(self.programs) < PROGRAMS_MOST else OTHERS
                known = self.programs.setdefault(name, Program())
            known.lines += weight * len(messages)
            known.bytes += weight * sum(map(len, messages))
            known.unmatched += weight * len(left)
            for message in left[: EXAMPLES - sum(known.examples.values())]:
                shown = self.mask.text(message)
                known.examples[shown] = known.examples.get(shown, 0) + 1

    def _time(self, source: str, program: bytes | None, rules: list[Rule], messages: list[bytes]) -> list[bytes]:
        """Take the time of each rule on these messages; those that none matched."""
        watch = self.tally.watch
        watch.begin(len(messages))
        matched = bytearray(len(messages))
        for rule in rules:
            cost = self.costs.setdefault(rule, Cost())
            search = rule.pattern.search
            watch.working = rule
            began = time.thread_time()
            try:
                found = list(map(search, messages))
                took = time.thread_time() - began
                watch.working = None  # what follows is not the rule's doing
                if took > cost.slowest * len(messages):
                    cost.slowest, cost.slow_source = took / len(messages), source
                    cost.slow_line = self.mask.line(program, _slowest(search, messages))
            except TooSlow:
                watch.set_aside(rule)
                continue
            cost.seconds += took
            cost.lines += len(messages)
            for at, match in enumerate(found):
                if match is not None:
                    matched[at] = 1
        return [message for message, done in zip(messages, matched) if not done]

    def _name_slow(self, source: str, texts: Callable[[], Iterable[Text]]) -> None:
        """Find the line for which a rule was set aside."""
        watch = self.tally.watch
        for rule in [rule for rule in watch.aside if rule not in self._slow]:
            self._slow.append(rule)
            cost = self.costs.setdefault(rule, Cost())
            cost.slow_source = source
            slowest = 0.0
            for program, message in texts():
                if rule.programs is not None and program not in rule.programs:
                    continue
                watch.begin(0)
                watch.working = rule
                began = time.thread_time()
                over = False
                try:
                    rule.pattern.search(repeated(message)[1])
                    watch.working = None
                except TooSlow:
                    watch.working = None
                    over = True
                took = time.thread_time() - began
                if took > slowest:
                    slowest = took
                    cost.slow_line = self.mask.line(program, message)
                if over:
                    break


def _slowest(search: Callable[[bytes], object], messages: list[bytes]) -> bytes:
    """A message on which it takes long, found by halves."""
    while len(messages) > 1:
        took = []
        halves = messages[: len(messages) // 2], messages[len(messages) // 2 :]
        for half in halves:
            began = time.thread_time()
            for message in half:
                search(message)
            took.append((time.thread_time() - began) / len(half))
        messages = halves[took[1] > took[0]]
    return messages[0]


class _Once:
    """Makes a list when it is asked for, and only once."""

    def __init__(self, make: Callable[[], Iterator[Text]]) -> None:
        self._make = make
        self._made: list[Text] | None = None

    def __call__(self) -> list[Text]:
        if self._made is None:
            self._made = list(self._make())
        return self._made


def _number(value: Any) -> tuple[float, bool]:
    """(what is compared of a bucket's value, whether such numbers add up)."""
    if isinstance(value, int):
        return value, True
    if value[0] == "s":
        return value[1] / SCALE, True
    if value[0] == "g":
        return value[2] / SCALE, False
    return value[1], True
