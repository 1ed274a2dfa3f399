"""Many lines at a time: the way of all lines whose form is the usual one; the others take the exact way in `tally`.

A buffer's lines are put apart by bytes at fixed places: the part of the header from the host on, cut after the tag's
first bytes, tells which programs a line can be of. That look costs the same whatever the number of rules is. Only lines
of programs that rules name are looked at again: by minute, then one regex per program with its rules as alternatives.
Everything per line is done by functions written in C (map, compress, set). What does not fit goes to `tally`, line by line.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import compress, repeat
from operator import attrgetter, eq, itemgetter

from . import regexes, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

    from .rules import Rule

TAG_BYTES = 5  # of the tag in the key: enough to tell most programs, too few to take process ids in
_KEYS_MOST = 20_000
_SECONDS = rb":[0-6]\d"
_REPEATED = b"message repeated "
_INDEX = attrgetter("lastindex")


class Form:
    """Where the parts of a header stand in one form of stamp, and how its rest looks from the seconds on."""

    __slots__ = ("header_at", "minute_end", "offset", "seconds_at", "unit")

    def __init__(self, seconds_at: int, header_at: int, offset: bool, interval: int) -> None:
        # Bytes up to here settle the interval.
        self.unit = 60 if interval % 60 == 0 else 10 if interval % 10 == 0 else 1  # seconds that these bytes tell apart
        self.minute_end = seconds_at + {60: 0, 10: 2, 1: 3}[self.unit]
        self.seconds_at = seconds_at
        self.header_at = header_at  # first byte after seconds and fraction
        self.offset = offset  # whether a UTC offset stands there

    def pattern(self, tag_end: int) -> bytes:
        """A regex from `seconds_at` up to `tag_end`; what stands between, the key has settled."""
        fraction = self.header_at - self.seconds_at - 3
        between = rb"[.,]\d{%d}" % (fraction - 1) if fraction else b""
        return _SECONDS + between + rb"[\s\S]{%d}" % (tag_end - self.header_at)


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

    def __init__(self, rules: list[Rule], form: Form, tag_end: int) -> None:
        self.match: Callable[..., Any] | None = None
        self.by_index: dict[int, tuple[Rule, list[tuple[Rule, Callable[..., Any]]]]] = {}
        pairs = [(rule, regexes.alternative(rule.match.encode("utf-8"))) for rule in rules]
        if any(found is None for _, found in pairs):
            return
        known = [(rule, found) for rule, found in pairs if found is not None]
        known.sort(key=lambda pair: not pair[1].anchored)
        # The usual ends of a tag; a line with another one does not match, and takes the exact way.
        head = form.pattern(tag_end) + rb"(?:\[\d+\]: |: )"
        # An empty group at the end of each alternative says which one it was, and lets `re` skip those whose first byte
        # is another.
        text = b"|".join(b"%s(?P<r%d>)" % (found.text, number) for number, (_, found) in enumerate(known))
        try:
            pattern = re.compile(head + b"(?:" + _REPEATED + b"(?P<repeated>)|" + text + b"|)")
            singles = [re.compile(head + found.text) for _, found in known]
        except (re.error, OverflowError, RecursionError):
            return
        for number, (rule, found) in enumerate(known):
            shared = [
                (other, singles[later].match)
                for later, (other, theirs) in enumerate(known)
                if later > number and found.may_share_a_line(theirs)
            ]
            self.by_index[pattern.groupindex[f"r{number}"]] = (rule, shared)
        self.match = pattern.match

    @staticmethod
    def is_plain(rule: Rule) -> bool:
        """Whether a match of the rule is a count and nothing more."""
        return rule.type == "counter" and not rule.groups


class Sorter:
    """Lines of one source in one form, put apart by program. `programs` are those that rules name."""

    def __init__(self, programs: Iterable[bytes], form: Form, first: bytes) -> None:
        self.form = form
        self.programs = sorted(programs)
        start = form.header_at
        host_at = first.find(b" ", start) + 1
        host_end = first.find(b" ", host_at)
        end = (host_end if host_end > 0 else start + 20) + 1 + TAG_BYTES
        self.key = itemgetter(slice(start, end))
        self.minute = itemgetter(slice(0, form.minute_end))
        self._found: dict[bytes, Any] = {}

    def choose(self, lines: list[bytes]) -> tuple[list[tuple[bytes, int, list[bytes]]], list[bytes]]:
        """(program, where its tag ends, its lines; lines for the exact way); the others are no rule's business."""
        keys = list(map(self.key, lines))
        distinct = set(keys)
        found = self._found
        if len(found) > _KEYS_MOST:
            found.clear()
        for key in distinct.difference(found):
            found[key] = self._classify(key)
        wanted = [key for key in distinct if found[key] is not None]
        chosen: list[tuple[bytes, int, list[bytes]]] = []
        odd: list[bytes] = []
        if not wanted:
            return chosen, odd
        if len(distinct) == 1:
            groups = {keys[0]: lines}
        elif len(wanted) <= 3:
            groups = {key: list(compress(lines, map(key.__eq__, keys))) for key in wanted}
        else:
            groups = {key: [] for key in wanted}
            take = set(wanted)
            for key, line in compress(zip(keys, lines), map(take.__contains__, keys)):
                groups[key].append(line)
        for key, own in groups.items():
            tags = found[key]
            if tags == "odd":
                odd += own
                continue
            for starts, place, name in tags:
                mine = own if starts is None else [line for line in own if line.startswith(starts, place)]
                if mine:
                    chosen.append((name, place + len(name), mine))
        return chosen, odd

    def _classify(self, key: bytes) -> Any:
        """None, "odd", or [(what must stand where the tag begins or None, where that is, program)]."""
        at = 0
        if self.form.offset:
            length = 1 if key[:1] in (b"Z", b"z") else 6 if key[3:4] == b":" else 5
            shown = stamp.offset(key, 0)
            if shown is None or shown[1] != length:
                return "odd"
            at = length
        host_end = key.find(b" ", at + 1)
        if key[at : at + 1] != b" " or host_end <= at + 1:
            return "odd"
        tag = key[host_end + 1 :]
        place = self.form.header_at + host_end + 1
        ends = [end for end in (tag.find(b"["), tag.find(b":"), tag.find(b" ")) if end >= 0]
        if ends:
            end = min(ends)
            name = tag[:end]
            return [(None, place, name)] if tag[end : end + 1] != b" " and name in self.programs else None
        tags = [((name + b"[", name + b":"), place, name) for name in self.programs if name.startswith(tag)]
        return tags or None


class Counts:
    """What a chunk of lines of one program comes to: per rule how many, and the lines that need the exact way."""

    __slots__ = ("by_rule", "exact", "lines")

    def __init__(self) -> None:
        self.by_rule: list[tuple[Rule, int]] = []
        self.lines = 0  # lines that counted here
        self.exact: list[bytes] = []


def count(program: Program, lines: list[bytes], form: Form, line_max: int) -> Counts:
    """Match all lines (of one program, in one interval) against the program's rules."""
    counts = Counts()
    if program.match is None:
        counts.exact = lines
        return counts
    matches = list(map(program.match, lines, repeat(form.seconds_at), repeat(line_max)))
    if None in matches:
        counts.exact += [line for line, one in zip(lines, matches) if one is None]
        lines = [line for line, one in zip(lines, matches) if one is not None]
        matches = [one for one in matches if one is not None]
    indexes = list(map(_INDEX, matches))
    for index, number in Counter(indexes).items():
        if index is None:
            continue
        rule_and_shared = program.by_index.get(index)
        if rule_and_shared is None or not all(
            program.is_plain(rule) for rule in (rule_and_shared[0], *(other for other, _ in rule_and_shared[1]))
        ):
            # A repeated message, a value or a captured name.
            counts.exact += compress(lines, map(eq, indexes, repeat(index)))
            continue
        rule, shared = rule_and_shared
        counts.by_rule.append((rule, number))
        counts.lines += number
        if shared:
            own = lines if number == len(lines) else list(compress(lines, map(eq, indexes, repeat(index))))
            for other, match in shared:
                also = number - list(map(match, own, repeat(form.seconds_at), repeat(line_max))).count(None)
                if also:
                    counts.by_rule.append((other, also))
    return counts
