"""How far a regex gets on a message that it does not match: its longest part, in its own order, that still matches.

The parts are beginnings of the regex: of a sequence its first items, within a group of alternatives the beginning of
one of them, within a repetition fewer rounds than it asks for. Each is tried by Python's `re`, so what is told is what
the engine does. Regexes are RE2's subset (`check` holds rules to it); what stands outside of it is taken as one item.
"""

from __future__ import annotations

import re
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

    Sequence = List["Item"]

_QUANTIFIER = re.compile(r"(?:[*+?]|\{(?P<low>\d*)(?P<comma>,?)(?P<high>\d*)\})\??")
_GROUP = re.compile(r"\((?:\?P<\w+>|\?[aims]*(?:-[ims]+)?:)?")
_FLAGS = re.compile(r"\(\?[aimsx]+\)")
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)
_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_NOT_PLAIN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?|\(\?P<\w+>|\(\?[aims:-]*|\{\d*,?\d*\}|[()|*+?.^$]", re.DOTALL)
_LONGEST_WANTED = 40


class Item:
    """One item of a regex: a character, a set, an escape or a group, with its quantifier. Spans are of the pattern."""

    __slots__ = ("atom_end", "branches", "end", "high", "low", "opening", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.atom_end = self.end = start  # before and after its quantifier
        self.low = 1
        self.high: int | None = 1
        self.opening = ""  # of a group; its name is left out, for a part may hold it twice
        self.branches: list[Sequence] = []


class Reach:
    """Where a regex stopped: index into the pattern, what it wanted there, and the part of the message it matched."""

    __slots__ = ("at", "begin", "part", "plain", "stop", "wanted")

    def __init__(self, part: str, stop: int, wanted: str, begin: int, at: int) -> None:
        self.part = part  # what matched: a regex of its own, without names of groups and untried alternatives
        self.stop = stop
        self.wanted = wanted
        self.begin = begin  # bytes of the message
        self.at = at
        self.plain = len(_NOT_PLAIN.sub("", part))  # characters of the part that stand for themselves


class Unreadable(Exception):  # noqa: N818 - what the pattern is
    """A pattern whose form is not understood here."""


def furthest(pattern: str, message: bytes) -> Reach | None:
    """How far the regex gets; None where not even its first item matches, or where its form is not understood."""
    try:
        branches, end = _branches(pattern, 0)
        if end < len(pattern):
            return None
        reach = _best(pattern, "", branches, message)
    except (Unreadable, RecursionError):
        return None
    # Where no byte was matched (an anchor alone), there is no beginning.
    return None if reach is None or reach.at == reach.begin else reach


# The pattern's items.


def _branches(pattern: str, at: int) -> tuple[list[Sequence], int]:
    """Alternatives from `at` on, and where they end: at a closing bracket or the pattern's end."""
    branches: list[Sequence] = [[]]
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            branches.append([])
            at += 1
            continue
        item = _item(pattern, at)
        branches[-1].append(item)
        at = item.end
    return branches, at


def _item(pattern: str, at: int) -> Item:
    item = Item(at)
    char = pattern[at]
    flags = _FLAGS.match(pattern, at)
    if flags is not None:
        item.atom_end = item.end = flags.end()
        return item
    if char == "(":
        opening = _GROUP.match(pattern, at)
        if opening is None or (pattern.startswith("(?", at) and opening.end() == at + 1):
            raise Unreadable  # look-around and its like
        item.opening = "(?:" if opening.group() == "(" or "<" in opening.group() else opening.group()
        item.branches, end = _branches(pattern, opening.end())
        if end >= len(pattern):
            raise Unreadable
        item.atom_end = end + 1
    else:
        token = (_ESCAPE if char == "\\" else _SET).match(pattern, at) if char in "\\[" else None
        item.atom_end = token.end() if token else at + 1
    item.end = item.atom_end
    found = _QUANTIFIER.match(pattern, at) if char in "*+?" else _QUANTIFIER.match(pattern, item.atom_end)
    if found is not None and found.start() == item.atom_end and found.group() != "{}":
        item.end = found.end()
        item.low, item.high = _bounds(found)
    return item


def _bounds(found: re.Match[str]) -> tuple[int, int | None]:
    sign = found.group()[0]
    if sign != "{":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
    low = int(found.group("low") or 0)
    if not found.group("comma"):
        return low, low
    return low, int(found.group("high")) if found.group("high") else None


def _text(pattern: str, items: Sequence) -> str:
    """The items as a regex, without the names of groups."""
    return "".join(_atom(pattern, item) + pattern[item.atom_end : item.end] for item in items)


def _atom(pattern: str, item: Item) -> str:
    if not item.branches:
        return pattern[item.start : item.atom_end]
    return item.opening + "|".join(_text(pattern, branch) for branch in item.branches) + ")"


# Trying parts.


def _search(part: str, message: bytes) -> re.Match[bytes] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(part.encode()).search(message)
    except (re.error, OverflowError):
        raise Unreadable from None


def _best(pattern: str, before: str, branches: list[Sequence], message: bytes) -> Reach | None:
    """The alternative that gets furthest into the message, and of equal ones furthest into the pattern."""
    return _furthest([_into(pattern, before, branch, message) for branch in branches])


def _into(pattern: str, before: str, items: Sequence, message: bytes) -> Reach | None:
    """How far a sequence gets behind a part that matches; None where its first item gets nowhere."""
    # Where a part matches, every shorter one does, so the longest is found by halving.
    low, high = 0, len(items)
    while low < high:
        middle = (low + high + 1) // 2
        if _search(before + _text(pattern, items[:middle]), message):
            low = middle
        else:
            high = middle - 1
    if low == len(items):
        return None  # all of it, as where one more round of a repetition is tried: the rounds tell
    item, part = items[low], before + _text(pattern, items[:low])
    found = [_reach(pattern, part, item.start, items, low, message)] if low else []
    if item.high != 1 and item.low > 0:
        part += f"{_atom(pattern, item)}{{0,{item.high or ''}}}"
        found.append(_reach(pattern, part, item.start, items, low, message))
    if item.branches:
        found.append(_best(pattern, part, item.branches, message))
    return _furthest(found)


def _furthest(found: list[Reach | None]) -> Reach | None:
    return max((one for one in found if one is not None), key=lambda one: (one.at, one.stop), default=None)


def _reach(pattern: str, part: str, stop: int, items: Sequence, index: int, message: bytes) -> Reach | None:
    match = _search(part, message)
    return None if match is None else Reach(part, stop, _wanted(pattern, items, index), match.start(), match.end())


def _wanted(pattern: str, items: Sequence, index: int) -> str:
    """The item that did not match, with the plain characters that follow a plain one."""
    if index >= len(items):
        return ""
    start, end = items[index].start, items[index].end
    if _plain(pattern, items[index]):
        for item in items[index:]:
            if not _plain(pattern, item):
                break
            end = item.end
    shown = pattern[start:end]
    return shown if len(shown) <= _LONGEST_WANTED else shown[: _LONGEST_WANTED - 3] + "..."


def _plain(pattern: str, item: Item) -> bool:
    """Whether it stands for one character, once."""
    return item.end == item.atom_end and pattern[item.start] not in "([.^$\\"
