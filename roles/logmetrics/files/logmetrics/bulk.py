"""Many lines at a time: the way of all lines whose form is the usual one; the others take the exact way in `tally`.

A buffer's lines are put apart by bytes at fixed places: the part of the header from the host on, cut after the tag's
first bytes, tells which programs a line can be of. That look costs the same whatever the number of rules is. Only lines
of programs that rules name are looked at again: one regex per program, its rules as alternatives, from the tag's end
on; then by minute. Of a stamp in the usual form the seconds and their fraction are not looked at.
What is done per line is done by functions written in C (map, compress). What does not fit goes to `tally`.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from itertools import compress, repeat
from operator import attrgetter, eq, itemgetter

from . import regexes, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable

    from .rules import Rule

    Matcher = Callable[..., re.Match[bytes] | None]

TAG_BYTES = 8  # of the tag in the key: enough to tell most programs, with few digits of a process id
_KEYS_MOST = 20_000
_REPEATED = b"message repeated "
_INDEX = attrgetter("lastindex")


class Form:
    """Where the parts of a header stand in one form of stamp, and how its rest looks from the seconds on."""

    __slots__ = ("header_at", "minute_end", "offset", "rest_of_stamp", "seconds_at", "unit")

    def __init__(self, seconds_at: int, header_at: int, offset: bool, interval: int) -> None:
        # Bytes up to here settle the interval.
        self.unit = 60 if interval % 60 == 0 else 10 if interval % 10 == 0 else 1  # seconds that these bytes tell apart
        self.minute_end = seconds_at + {60: 0, 10: 2, 1: 3}[self.unit]
        self.rest_of_stamp = b":00"[self.minute_end - seconds_at :]
        self.seconds_at = seconds_at
        self.header_at = header_at  # first byte after seconds and fraction
        self.offset = offset  # whether a UTC offset stands there


def form_of(line: bytes, interval: int) -> Form | None:
    """The form of a line's header, or None for one that has no fixed places."""
    if stamp.rfc3164(line, 0) is not None:
        return Form(12, 15, False, interval)
    if line[10:11] == b"T" and line[4:5] == b"-":
        found = stamp.iso(line, 0, 0)
        at = 19
        if line[19:20] in (b".", b","):
            at = 20
            while line[at : at + 1].isdigit():
                at += 1
        if found is not None and line[at : at + 1] in (b"+", b"-", b"Z", b"z") and found[3] > at and at != 20:
            return Form(16, at, True, interval)
    return None


class Program:
    """A program's rules as alternatives of one regex, from the seconds of the stamp on."""

    def __init__(self, rules: list[Rule], tag_end: int) -> None:
        self.tag_end = tag_end  # where a line is matched from; what stands before, its key has settled
        self.match: Matcher | None = None  # None: these rules take the exact way
        self._by_index: dict[int, int] = {}
        pairs = [(rule, regexes.alternative(rule.match.encode("utf-8"))) for rule in rules]
        self._known = [(rule, found) for rule, found in pairs if found is not None]
        if len(self._known) < len(pairs):
            return
        self._known.sort(key=lambda pair: not pair[1].anchored)
        self._head = rb"(?:\[\d+\]: |: )"
        # An empty group at the end of each alternative says which one it was, and lets `re` skip those whose first byte
        # is another. Lines whose tag ends in another way than the usual ones are told, too: they take the exact way.
        text = b"|".join(b"%s(?P<r%d>)" % (found.text, number) for number, (_, found) in enumerate(self._known))
        usual = self._head + b"(?:" + _REPEATED + b"(?P<repeated>)|" + text + b")"
        try:
            pattern = re.compile(b"(?:" + usual + b"|(?!" + self._head + b")(?P<odd>))")
        except (re.error, OverflowError, RecursionError):
            return
        self._by_index = {pattern.groupindex[f"r{number}"]: number for number in range(len(self._known))}
        self._shared: dict[int, list[tuple[Rule, Matcher]]] = {}
        self._rules: dict[int, Rule | None] = {}
        self.match = pattern.match

    def rule(self, index: int) -> Rule | None:
        """The rule of an alternative; None where its lines take the exact way (repeated messages, values, names)."""
        if index not in self._rules:
            self._rules[index] = self._plain(index)
        return self._rules[index]

    def _plain(self, index: int) -> Rule | None:
        number = self._by_index.get(index)
        if number is None:
            return None
        rule = self._known[number][0]
        plain = all(
            one.type == "counter" and not one.groups for one in (rule, *(other for other, _ in self.shared(index)))
        )
        return rule if plain else None

    def shared(self, index: int) -> list[tuple[Rule, Matcher]]:
        """Later rules that may match a line of this alternative, too, each with its own regex."""
        found = self._shared.get(index)
        if found is None:
            number = self._by_index[index]
            mine = self._known[number][1]
            found = self._shared[index] = [
                (other, re.compile(self._head + theirs.text).match)
                for other, theirs in self._known[number + 1 :]
                if mine.may_share_a_line(theirs)
            ]
        return found


class Pile:
    """Lines of a buffer whose headers tell the same: program, where its tag begins, UTC offset."""

    __slots__ = ("lines", "name", "offset", "tag_at")

    def __init__(self, name: bytes, tag_at: int, offset: bytes) -> None:
        self.lines: list[bytes] = []
        self.name = name
        self.tag_at = tag_at
        self.offset = offset


class _Keys(dict):  # type: ignore[type-arg]  # generic from Python 3.9 on alone
    """Key -> the list for its lines; a key that is new is looked at once."""

    def __init__(self, place: Callable[[bytes], list[bytes]]) -> None:
        super().__init__()
        self._place = place

    def __missing__(self, key: bytes) -> list[bytes]:
        found = self[key] = self._place(key)
        return found


class Sorter:
    """Lines of one source in one form, put apart by program. `programs` are those that rules name."""

    def __init__(self, programs: Iterable[bytes], form: Form, first: bytes) -> None:
        self.form = form
        self.programs = set(programs)
        start = form.header_at
        host_end = first.find(b" ", first.find(b" ", start) + 1)
        end = (host_end if host_end > 0 else start + 20) + 1
        self._key = itemgetter(slice(start, end + TAG_BYTES))
        self._usual = first[start:end]  # offset and host of the first line, most likely those of all
        self.minute = itemgetter(slice(0, form.minute_end))
        self._piles: dict[tuple[bytes, int, bytes], Pile] = {}
        self._unsure: dict[tuple[bytes, int, bytes], list[bytes]] = {}  # by what is known of the tag
        self._odd: list[bytes] = []
        self._no_rules: list[bytes] = []
        self._lists = _Keys(self._place)

    def choose(self, lines: list[bytes]) -> tuple[list[Pile], list[bytes]]:
        """(lines by what their headers tell, lines for the exact way); all others are no rule's business."""
        if len(self._lists) > _KEYS_MOST:
            self._lists.clear()
        for used in (self._odd, self._no_rules, *self._unsure.values()):
            used.clear()
        for pile in self._piles.values():
            pile.lines.clear()
        # Append each line to the list of its key, without a step of Python's own per line.
        deque(map(list.append, map(self._lists.__getitem__, map(self._key, lines)), lines), maxlen=0)
        for (tag, tag_at, offset), own in self._unsure.items():
            for name in self._beginning_with(tag) if own else ():
                starts = (name + b"[", name + b":")
                self._pile(name, tag_at, offset).extend([line for line in own if line.startswith(starts, tag_at)])
        return [pile for pile in self._piles.values() if pile.lines], list(self._odd)

    def _place(self, key: bytes) -> list[bytes]:
        """The list for lines with this key."""
        if key.startswith(self._usual):
            host_end = len(self._usual) - 1
            at = self._usual.rfind(b" ", 0, -1)
        else:
            at = 0
            if self.form.offset:
                shown = stamp.offset(key, 0)
                at = shown[1] if shown else -1
            host_end = key.find(b" ", at + 1)
        if at < 0 or key[at : at + 1] != b" " or host_end <= at + 1:
            return self._odd
        tag = key[host_end + 1 :]
        tag_at = self.form.header_at + host_end + 1
        bracket, colon, blank = tag.find(b"["), tag.find(b":"), tag.find(b" ")
        end = bracket if bracket >= 0 and not 0 <= colon < bracket else colon
        if blank >= 0 and not 0 <= end < blank:
            return self._no_rules
        if end >= 0:
            return self._pile(tag[:end], tag_at, key[:at]) if tag[:end] in self.programs else self._no_rules
        if not self._beginning_with(tag):
            return self._no_rules
        return self._unsure.setdefault((tag, tag_at, key[:at]), [])

    def _beginning_with(self, tag: bytes) -> list[bytes]:
        return [name for name in self.programs if name.startswith(tag)]

    def _pile(self, name: bytes, tag_at: int, offset: bytes) -> list[bytes]:
        found = self._piles.get((name, tag_at, offset))
        if found is None:
            found = self._piles[name, tag_at, offset] = Pile(name, tag_at, offset)
        return found.lines


class Counts:
    """What a pile comes to: how often each rule counted, by the bytes that settle the interval."""

    __slots__ = ("by_minute", "exact", "matched")

    def __init__(self) -> None:
        self.by_minute: dict[bytes, dict[Rule, int]] = {}
        self.matched: dict[bytes, int] = {}  # lines that counted here
        self.exact: list[bytes] = []  # lines for the exact way

    def _add(self, minute: bytes, rule: Rule, number: int) -> None:
        own = self.by_minute.setdefault(minute, {})
        own[rule] = own.get(rule, 0) + number


def count(
    program: Program, lines: list[bytes], sorter: Sorter, line_max: int, not_these: Callable[[bytes], bool]
) -> Counts:
    """Match lines of one program against its rules; those of minutes that are `not_these` take the exact way.

    Raises TooSlow out of a signal handler (see `watch`); nothing has been counted then.
    """
    counts = Counts()
    if program.match is None:
        counts.exact = lines
        return counts
    at = repeat(program.tag_end)
    matches = list(map(program.match, lines, at, repeat(line_max)))
    lines = list(compress(lines, matches))
    if not lines:
        return counts
    indexes = list(map(_INDEX, filter(None, matches)))
    minutes = list(map(sorter.minute, lines))
    pairs = list(zip(minutes, indexes))
    for pair, number in Counter(pairs).items():
        minute, index = pair
        rule = program.rule(index)
        if rule is None or not_these(minute):
            counts.exact += compress(lines, map(eq, pairs, repeat(pair)))
            continue
        counts._add(minute, rule, number)
        counts.matched[minute] = counts.matched.get(minute, 0) + number
        shared = program.shared(index)
        if shared:
            own = list(compress(lines, map(eq, pairs, repeat(pair))))
            for other, match in shared:
                also = number - list(map(match, own, at, repeat(line_max))).count(None)
                if also:
                    counts._add(minute, other, also)
    return counts
