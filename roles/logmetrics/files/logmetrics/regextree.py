"""A rule's regex as a tree that is safe in a text of many lines, and whether two of them can match one line.

Nodes are tuples: ("b", mask) one byte of a set (bit n of the mask stands for byte n), ("|", sequences), ("*", least,
most or None, sequence), ("$",) the line's end, ("B", text) a word boundary, ("=", sequence) what must stand ahead. A
sequence is a tuple of nodes. All repeats are greedy: what matters is whether there is a match, not how far it goes. No
set holds the newline, so that nothing made of a tree goes beyond its line. Where anything here does not understand a
regex it raises Unfit, and the rule is matched line by line instead.
"""

from __future__ import annotations

import re
import sys

try:
    from re import _constants as _codes  # type: ignore[attr-defined]  # Python 3.11 and later
    from re import _parser  # type: ignore[attr-defined]  # Python 3.11 and later; typeshed does not have it
except ImportError:
    import sre_constants as _codes
    import sre_parse as _parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Tuple

    Node = Tuple[Any, ...]
    Sequence = Tuple[Node, ...]

_ALL = (1 << 256) - 1
_NEWLINE = 1 << 10
NO_NEWLINE = _ALL ^ _NEWLINE
_IGNORECASE, _OTHERWISE = int(re.IGNORECASE), int(re.LOCALE | re.VERBOSE)
_MOST_PAIRS = 20_000
_MOST_STATES = 2_000
_MOST_COPIES = 4
# What was matched is not tried in other ways: it saves the engine its book-keeping.
POSSESSIVE = sys.version_info >= (3, 11)


class Unfit(Exception):  # noqa: N818 - what the regex is
    """The regex has something that a tree does not show."""


def _mask(values: Iterable[int]) -> int:
    found = 0
    for value in values:
        found |= 1 << value
    return found


DIGITS = _mask(range(48, 58))
_SPACES = _mask((9, 10, 11, 12, 13, 32))
NO_SPACE = _ALL ^ _SPACES
_WORDS = DIGITS | _mask(range(65, 91)) | _mask(range(97, 123)) | 1 << 95
_CATEGORIES = {
    _codes.CATEGORY_DIGIT: DIGITS,
    _codes.CATEGORY_NOT_DIGIT: _ALL ^ DIGITS,
    _codes.CATEGORY_SPACE: _SPACES,
    _codes.CATEGORY_NOT_SPACE: NO_SPACE,
    _codes.CATEGORY_WORD: _WORDS,
    _codes.CATEGORY_NOT_WORD: _ALL ^ _WORDS,
}
# One step each in the regex engine.
_SHORT = {NO_NEWLINE: b".", NO_SPACE: b"\\S"}
_ABSENT = (1 << 0, 1 << 0 | 1 << 13)  # bytes that no text which is swept has: a set may hold them or not
ANYTHING: Node = ("*", 0, None, (("b", NO_NEWLINE),))


def parse(pattern: bytes) -> Sequence:
    """The regex as it stands at a message's first byte (an unanchored one begins with ANYTHING). Raises Unfit."""
    try:
        parsed = _parser.parse(pattern)
        flags = int(parsed.state.flags)
    except (re.error, OverflowError, RecursionError, AttributeError) as error:
        raise Unfit(str(error)) from None
    if flags & _OTHERWISE:
        raise Unfit("its flags")
    return _trimmed(_whole(list(parsed), flags))


def _trimmed(sequence: Sequence) -> Sequence:
    """Without what may be at its end, but need not: it is all one how far a match goes."""
    while sequence and sequence[-1][0] == "*":
        _, least, most, inner = sequence[-1]
        if (least, most) == (1, 1):
            break
        sequence = sequence[:-1] + ((("*", least, least, inner),) if least > 1 else inner * least)
        if least > 1:
            break
    return sequence


def _whole(tree: list[Any], flags: int) -> Sequence:
    # `^` matches the message's first byte alone, also with the flag m: a message has no newline.
    if tree and _is_start(tree[0]):
        return _sequence(tree[1:], flags)
    if len(tree) == 1 and tree[0][0] is _codes.BRANCH:
        branches = [list(one) for one in tree[0][1][1]]
        if any(_is_start(one[0]) for one in branches if one):
            return (
                (
                    "|",
                    tuple(
                        _sequence(one[1:], flags) if one and _is_start(one[0]) else (ANYTHING, *_sequence(one, flags))
                        for one in branches
                    ),
                ),
            )
    return (ANYTHING, *_sequence(tree, flags))


def literal(text: bytes) -> Sequence:
    """A text as it stands."""
    return tuple(("b", 1 << byte) for byte in text)


def byte_of(node: Node) -> int:
    """The byte that a node stands for, -1 where it is not one byte."""
    if node[0] != "b" or node[1] & (node[1] - 1):
        return -1
    return int(node[1]).bit_length() - 1


def _is_start(item: Any) -> bool:
    return item[0] is _codes.AT and item[1] in (_codes.AT_BEGINNING, _codes.AT_BEGINNING_STRING)


def _sequence(tree: Any, flags: int) -> Sequence:
    found: list[Node] = []
    for operation, argument in tree:
        if operation is _codes.SUBPATTERN:
            _, added, removed, inner = argument
            found += _sequence(inner, (flags | added) & ~removed)
        else:
            found.append(_node(operation, argument, flags))
    return tuple(found)


def _node(operation: Any, argument: Any, flags: int) -> Node:
    if operation in (_codes.LITERAL, _codes.NOT_LITERAL, _codes.ANY, _codes.IN):
        mask = _set(operation, argument, flags) & NO_NEWLINE
        if not mask:
            raise Unfit("it matches a newline alone")
        return ("b", mask)
    if operation is _codes.BRANCH:
        return ("|", tuple(_sequence(one, flags) for one in argument[1]))
    if operation in (_codes.MAX_REPEAT, _codes.MIN_REPEAT):
        least, most, inner = argument
        unlimited = most is _codes.MAXREPEAT or most >= _codes.MAXREPEAT
        return ("*", least, None if unlimited else most, _sequence(inner, flags))
    if operation is _codes.AT:
        if argument in (_codes.AT_END, _codes.AT_END_STRING):
            return ("$",)
        if argument is _codes.AT_BOUNDARY:
            return ("B", b"\\b")
        if argument is _codes.AT_NON_BOUNDARY:
            return ("B", b"\\B")
    raise Unfit(f"{operation} {argument}")


def _set(operation: Any, argument: Any, flags: int) -> int:
    """The bytes that an item matches; those of a negated set, too, are case-folded before they are negated."""
    if operation is _codes.ANY:
        return _ALL
    if operation in (_codes.LITERAL, _codes.NOT_LITERAL):
        mask = _folded(1 << argument, flags)
        return _ALL ^ mask if operation is _codes.NOT_LITERAL else mask
    mask, negated = 0, False
    for kind, value in argument:
        if kind is _codes.NEGATE:
            negated = True
        elif kind is _codes.LITERAL:
            mask |= _folded(1 << value, flags)
        elif kind is _codes.RANGE:
            mask |= _folded(_mask(range(value[0], value[1] + 1)), flags)
        elif kind is _codes.CATEGORY and value in _CATEGORIES:
            mask |= _CATEGORIES[value]
        else:
            raise Unfit(f"{kind} {value}")
    return _ALL ^ mask if negated else mask


def _folded(mask: int, flags: int) -> int:
    if not flags & _IGNORECASE:
        return mask
    small, large = mask & _mask(range(97, 123)), mask & _mask(range(65, 91))
    return mask | small >> 32 | large << 32


def text(sequence: Sequence, then: Sequence = ()) -> bytes:
    """A sequence as a regex for Python's `re`, in which line ends are newlines; without groups that capture.

    `then` is what the caller puts behind it.
    """
    out = b""
    for at, node in enumerate(sequence):
        out += _text(node)
        if POSSESSIVE and node[0] == "*" and node[1:3] != (0, 1) and len(node[3]) == 1 and node[3][0][0] == "b":
            # One set repeated ends where it must, if what follows is none of it: nothing is to be tried again.
            following, empty = first_bytes((*sequence[at + 1 :], *then))
            if node[1] == node[2] or (not empty and not following & node[3][0][1]):
                out += b"+"
    return out


def _text(node: Node) -> bytes:
    kind = node[0]
    if kind == "b":
        return _class(node[1])
    if kind == "|":
        return b"(?:" + b"|".join(text(one) for one in node[1]) + b")"
    if kind == "*":
        _, least, most, inner = node
        body = text(inner)
        if not (len(inner) == 1 and inner[0][0] == "b"):
            body = b"(?:" + body + b")"
        if (least, most) == (0, 1) and body[:3] == b"(?:":
            # A branch with nothing in it: the engine is quicker at that than at a repeat.
            return b"(?:" + text(inner) + b"|)"
        if (least, most) == (0, 1):
            times = b"?"
        elif most is None:
            times = b"*" if least == 0 else b"+" if least == 1 else b"{%d,}" % least
        else:
            times = b"{%d,%d}" % (least, most)
        return body + times
    if kind == "$":
        return b"(?=\\n)"
    if kind == "=":
        return b"(?=" + text(node[1]) + b")"
    found: bytes = node[1]
    return found


def _class(mask: int) -> bytes:
    found = _CLASSES.get(mask)
    if found is None:
        found = _CLASSES[mask] = _made_class(mask)
    return found


_CLASSES: dict[int, bytes] = {}


def _made_class(mask: int) -> bytes:
    """A set: the engine tests one of three or more ranges by a table, in one step; others take several."""
    if mask & (mask - 1) == 0:
        return _byte(mask.bit_length() - 1)
    if mask in _SHORT:
        return _SHORT[mask]
    absent = mask ^ _ALL
    if absent & (absent - 1) == 0:
        return b"[^" + _byte(absent.bit_length() - 1) + b"]"
    ranges = _ranges(mask)
    for absent in _ABSENT:
        if len(ranges) < 3:
            ranges = _ranges(mask | absent)
    return b"[" + b"".join(_byte(a) if a == b else _byte(a) + b"-" + _byte(b) for a, b in ranges) + b"]"


def _ranges(mask: int) -> list[tuple[int, int]]:
    """The first and last byte of each run of bytes in a set."""
    found = []
    at = 0
    while mask >> at:
        if mask >> at & 1:
            end = at
            while mask >> (end + 1) & 1:
                end += 1
            found.append((at, end))
            at = end
        at += 1
    return found


def _byte(value: int) -> bytes:
    return _BYTES[value]


_BYTES = [
    char if char.isalnum() or char in b" :_/=,;'\"<>@%!&`~" else b"\\x%02x" % value
    for value, char in enumerate(bytes([value]) for value in range(256))
]


def first_bytes(sequence: Sequence) -> tuple[int, bool]:
    """(the set of bytes with which a match may begin, whether it may be empty)."""
    found = 0
    for node in sequence:
        kind = node[0]
        empty = True
        if kind in ("b", "$"):
            found |= node[1] if kind == "b" else _NEWLINE
            empty = False
        elif kind == "|":
            ways = [first_bytes(one) for one in node[1]]
            for mask, _ in ways:
                found |= mask
            empty = any(one for _, one in ways)
        elif kind == "*" and node[2] != 0:
            mask, empty = first_bytes(node[3])
            found |= mask
            empty = empty or node[1] == 0
        if not empty:
            return found, False
    return found, True


class Positions:
    """A sequence as positions (its sets of bytes) and what may follow what: the automaton of Glushkov.

    The line's end is a newline. It accepts all that the sequence matches, and somewhat more where it is not `exact`:
    counts above a few are not kept, nor are boundaries.
    """

    def __init__(self, sequence: Sequence) -> None:
        self.exact = True
        self.masks: list[int] = []
        self.follow: list[set[int]] = []
        self.empty, self.first, self.last = self._walk(sequence)

    def _walk(self, sequence: Sequence) -> tuple[bool, set[int], set[int]]:
        empty = True
        first: set[int] = set()
        last: set[int] = set()
        for node in sequence:
            one_empty, one_first, one_last = self._one(node)
            self._link(last, one_first)
            if empty:
                first = first | one_first
            last = (last | one_last) if one_empty else one_last
            empty = empty and one_empty
        return empty, first, last

    def _one(self, node: Node) -> tuple[bool, set[int], set[int]]:
        kind = node[0]
        if kind in ("b", "$"):
            self.masks.append(node[1] if kind == "b" else _NEWLINE)
            self.follow.append(set())
            return False, {len(self.masks) - 1}, {len(self.masks) - 1}
        if kind == "|":
            parts = [self._walk(one) for one in node[1]]
            return (
                any(part[0] for part in parts),
                set().union(*(part[1] for part in parts)),
                set().union(*(part[2] for part in parts)),
            )
        if kind == "*":
            _, least, most, inner = node
            if most == 0:
                return True, set(), set()
            copies = max(1, min(least, _MOST_COPIES))
            empty, first, last = self._walk(inner * copies)
            self.exact &= least in (0, copies) and most in (None, copies)
            if most is None or most > copies:
                # More of it: once more at the end, as often as you like.
                more_empty, more_first, more_last = self._walk(inner)
                self._link(more_last, more_first)
                self._link(last, more_first)
                first = first | more_first if empty else first
                last = last | more_last
                empty = empty or more_empty
            return empty or least == 0, first, last
        self.exact = False
        return True, set(), set()

    def _link(self, before: set[int], after: set[int]) -> None:
        for position in before:
            self.follow[position] |= after


def may_share_a_line(one: Positions, two: Positions) -> bool:
    """Whether one line might match both (each from the message's first byte on, whatever comes after its match)."""
    if one.empty or two.empty:
        return True
    todo = [(mine, theirs) for mine in one.first for theirs in two.first if one.masks[mine] & two.masks[theirs]]
    seen: dict[tuple[int, int], bool] = dict.fromkeys(todo, True)
    while todo:
        mine, theirs = todo.pop()
        if mine in one.last or theirs in two.last:
            return True
        for after in one.follow[mine]:
            mask = one.masks[after]
            for other in two.follow[theirs]:
                if mask & two.masks[other] and (after, other) not in seen:
                    seen[after, other] = True
                    todo.append((after, other))
        if len(seen) > _MOST_PAIRS:
            return True
    return False


def implies(one: Positions, two: Positions) -> bool:
    """Whether it is certain that a line which the one matches is matched by the other, too."""
    if not two.exact or one.empty:
        return False

    def within(position: int, others: Iterable[int]) -> frozenset[int]:
        return frozenset(other for other in others if not one.masks[position] & ~two.masks[other])

    # With each position of the one, all of the other's that the same bytes can lead to.
    todo = [(mine, within(mine, two.first)) for mine in one.first]
    seen = set(todo)
    while todo:
        mine, theirs = todo.pop()
        if theirs & two.last:
            continue
        if not theirs or mine in one.last or len(seen) > _MOST_STATES:
            return False
        following = set().union(*(two.follow[other] for other in theirs))
        for after in one.follow[mine]:
            state = (after, within(after, following))
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return True
