"""Many lines at a time: the way of all lines whose header is the usual one; the others take the exact way in `tally`.

One regex goes over a whole buffer (see `sweepregex`), in one call of C code, and gives for each line a piece of text
that tells which rules count it. Python's own steps are per buffer, not per line. Which interval the lines belong to is
settled by the bytes of the stamp up to the minute. There are two such regexes: by one a match goes over many lines of
one minute, up to one that counts; the other matches each line, and that all lines are of the same minute is known from
how often the minute's text occurs. The first is quicker where few lines count, the second where many do.
"""

from __future__ import annotations

from . import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any, Iterable

    from .codes import Codes
    from .rules import Rule, View
    from .sweepregex import Script

try:
    from _collections import _count_elements  # type: ignore[import-not-found]  # CPython's own: typeshed does not have it
except ImportError:

    def _count_elements(mapping: dict[Any, int], iterable: Iterable[Any]) -> None:
        for one in iterable:
            mapping[one] = mapping.get(one, 0) + 1


class Form:
    """Where the parts of a header stand in one form of stamp."""

    __slots__ = ("fraction", "minute_end", "offset", "rest_of_stamp", "seconds_at", "unit")

    def __init__(self, seconds_at: int, fraction: bytes, offset: bytes, interval: int) -> None:
        self.seconds_at = seconds_at  # of the colon before them
        self.fraction = fraction  # with its point, as in the first line
        self.offset = offset  # from UTC, as it stands there
        self.unit = 60 if interval % 60 == 0 else 10 if interval % 10 == 0 else 1  # seconds that these bytes tell apart
        self.minute_end = seconds_at + {60: 0, 10: 2, 1: 3}[self.unit]  # the bytes before settle the interval
        self.rest_of_stamp = b":00"[self.minute_end - seconds_at :] + offset + b" "

    @property
    def key(self) -> str:
        """Two forms with the same key have the same header."""
        point = self.fraction[:1].decode("latin-1")
        return f"{self.minute_end} {self.seconds_at} {point}{len(self.fraction)} {self.offset.decode('latin-1')}"

    def header(self) -> tuple[bytes, bytes]:
        """The regexes of the bytes that settle the interval, and of what follows them: rest of the stamp, host."""
        from . import regextree  # noqa: PLC0415 - once for a rule set

        digit: Any = ("b", regextree.DIGITS)
        sixty = (("b", sum(1 << byte for byte in b"012345")), digit)
        rest = {0: (*regextree.literal(b":"), *sixty), 2: (digit,), 3: ()}[self.minute_end - self.seconds_at]
        if self.fraction:
            number = len(self.fraction) - 1
            rest += (*regextree.literal(self.fraction[:1]), ("*", number, number, (digit,)))
        rest += (*regextree.literal(self.offset + b" "), ("*", 1, None, (("b", regextree.NO_SPACE),)))
        minute: Any = ("*", self.minute_end, self.minute_end, (("b", regextree.NO_NEWLINE),))
        return regextree.text((minute,)), regextree.text((*rest, *regextree.literal(b" ")))


def form_of(line: bytes, interval: int) -> Form | None:
    """The form of a line's header, or None for one that has no fixed places."""
    if stamp.rfc3164(line, 0) is not None:
        return Form(12, b"", b"", interval) if line[15:16] == b" " else None
    if line[10:11] == b"T" and line[4:5] == b"-":
        found = stamp.iso(line, 0, 0)
        at = 19
        if line[19:20] in (b".", b","):
            at = 20
            while line[at : at + 1].isdigit():
                at += 1
        if found is not None and line[at : at + 1] in (b"+", b"-", b"Z", b"z") and found[3] > at and at != 20:
            return Form(16, line[19:at], line[at : found[3]], interval)
    return None


class Sweep:
    """A source's rules of one rule set, for lines of one form."""

    def __init__(self, view: View, form: Form, codes: Codes, name: str) -> None:
        """`name` tells the rule set; "" where nothing is to be kept."""
        self.form = form
        self._view = view
        self._codes = codes
        self._name = name
        self._script: Script | None = None
        self._made: dict[bool, tuple[re.Pattern[bytes], dict[bytes, list[Rule]]] | None] = {}

    def _regex(self, minutes: bool) -> tuple[re.Pattern[bytes], dict[bytes, list[Rule]]] | None:
        if minutes not in self._made:
            self._made[minutes] = self._make(minutes)
        return self._made[minutes]

    def _make(self, minutes: bool) -> tuple[re.Pattern[bytes], dict[bytes, list[Rule]]] | None:
        view = self._view
        rules = view.by_number()
        key = f"sweep {self._name} {view.signature} {self.form.key} {int(minutes)}"
        kept = self._codes.find(key) if self._name and not view.left_out else None
        if kept is not None:
            pattern, pieces = kept
        else:
            from .sweepregex import LOOP_GROUPS, Script  # noqa: PLC0415 - once for a rule set

            if self._script is None:
                self._script = Script({name: view.named(name) for name in view.programs()})
            script = self._script
            pieces = {piece.decode("latin-1"): sorted(numbers) for piece, numbers in script.outcomes.items()}
            text = (script.loop if minutes else script.text)(*self.form.header())
            made = self._codes.numbered(key, text, LOOP_GROUPS if minutes else (1,), pieces)
            if made is None:
                return None
            pattern = made
            if not self._name or view.left_out:
                self._codes.forget(key)
        return pattern, {
            piece.encode("latin-1"): [rules[number] for number in numbers] for piece, numbers in pieces.items()
        }

    def of_one_minute(self, text: bytes, start: int, end: int) -> tuple[dict[bytes, int], int] | None:
        """({piece or line: how often}, lines) of a stretch of one minute; a line has its newline, and no piece has one.

        `text[start]` is the newline before its first line, `text[end]` its last one. None where its lines are not all
        of the minute of the first.
        """
        made = self._regex(False)
        if made is None:
            return None
        pattern, pieces = made
        minute = text[start : start + 1 + self.form.minute_end]
        counts: dict[bytes, int] = {}
        found = pattern.findall(text, start, end + 1)
        _count_elements(counts, filter(None, found))  # many lines count for nothing
        odd = of_minute = 0
        for one, number in counts.items():
            if one not in pieces:
                odd += number
                of_minute += number if one.startswith(minute[1:]) else 0
        if text.count(minute, start, end) != len(found) - odd + of_minute:
            return None
        return counts, len(found)

    def of_any_minute(self, text: bytes, start: int) -> tuple[dict[tuple[bytes, bytes], int], int] | None:
        """({(minute, piece or line): how often}, lines) from the newline at `start` on to the end, which is one, too.

        Of a line for the exact way the minute is empty. Lines that count for nothing have no part in the numbers: one
        match goes over many of them.
        """
        made = self._regex(True)
        if made is None:
            return None
        counts: dict[tuple[bytes, bytes], int] = {}
        _count_elements(counts, made[0].findall(text, start))
        stretch = text[start:] if start else text
        # CPython removes bytes twice as fast as it counts them. The first newline stands before a line.
        return counts, len(stretch) - len(stretch.replace(b"\n", b"")) - 1

    def pieces(self) -> dict[bytes, list[Rule]]:
        """{piece: the rules that count a line with it}; a line that needs the exact way is none of them."""
        made = self._made.get(False) or self._made.get(True)
        return made[1] if made else {}
