"""What can be known of a rule's regex before it is used: its anchor, the texts it begins with, its form as one of many.

Regexes are RE2's subset (the check verb holds rules to it): no backreferences, no look-around. Where anything here does
not understand a regex it says so, and the rule is matched line by line instead.
"""

from __future__ import annotations

import re

try:
    from re import _constants as _codes  # type: ignore[attr-defined]  # Python 3.11 and later
    from re import _parser  # type: ignore[attr-defined]
except ImportError:
    import sre_constants as _codes
    import sre_parse as _parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_BEGINNINGS = 64
_LONGEST = 40


class Alternative:
    """One regex as an alternative at the message's first byte: `text` without `^` and group names."""

    __slots__ = ("anchored", "beginnings", "text")

    def __init__(self, text: bytes, anchored: bool, beginnings: list[bytes]) -> None:
        self.text = text
        self.anchored = anchored
        self.beginnings = beginnings  # every match begins with one of these; [b""] where nothing is known

    def may_share_a_line(self, other: Alternative) -> bool:
        """Whether one message might match both."""
        return any(
            mine.startswith(theirs) or theirs.startswith(mine)
            for mine in self.beginnings
            for theirs in other.beginnings
        )


def alternative(pattern: bytes) -> Alternative | None:
    """The regex in that form, or None where it has no such form."""
    flags = re.match(rb"\(\?([aims]+)\)", pattern)
    body = pattern[flags.end() :] if flags else pattern
    unnamed = _unnamed(body)
    if unnamed is None:
        return None
    text, bar = unnamed
    anchored = text[:1] == b"^" and not bar
    text = text[1:] if anchored else text
    try:
        tree = list(_parser.parse(text))
    except (re.error, OverflowError, RecursionError):
        return None
    # `^` elsewhere means the message's first byte, which is not the line's.
    if _has_start(tree):
        return None
    folds = flags is not None and b"i" in flags.group(1)
    beginnings = _beginnings(tree) if anchored and not folds else [b""]
    scope = b"(?" + flags.group(1) + b":" if flags else b"(?:"
    free = b"" if anchored else rb"[\s\S]*?"
    return Alternative(free + scope + text + b")", anchored, beginnings)


def _unnamed(pattern: bytes) -> tuple[bytes, bool] | None:
    """(the regex with `(?P<name>` as `(`, whether a `|` stands outside groups); None where it refers to a group."""
    out = bytearray()
    at = depth = 0
    bar = in_class = False
    while at < len(pattern):
        step = 1
        char = pattern[at : at + 1]
        if char == b"\\":
            following = pattern[at + 1 : at + 2]
            if not in_class and following.isdigit() and following != b"0":
                return None
            step = 2
        elif in_class:
            in_class = char != b"]"
        elif char == b"[":
            in_class = True
            # A bracket that comes first is an ordinary member.
            step += pattern[at + 1 : at + 2] == b"^"
            step += pattern[at + step : at + step + 1] == b"]"
        elif char == b"(":
            depth += 1
            if pattern[at + 1 : at + 3] == b"?P":
                close = pattern.find(b">", at)
                if pattern[at + 3 : at + 4] != b"<" or close < 0:
                    return None
                out += b"("
                at = close + 1
                continue
        elif char == b")":
            depth -= 1
        elif char == b"|":
            bar = bar or not depth
        out += pattern[at : at + step]
        at += step
    return bytes(out), bar


def _has_start(tree: Any) -> bool:
    """Whether `^` or `\\A` stands anywhere in the tree."""
    for operation, argument in tree:
        if operation is _codes.AT and argument in (_codes.AT_BEGINNING, _codes.AT_BEGINNING_STRING):
            return True
        if any(_has_start(part) for part in _parts(operation, argument)):
            return True
    return False


def _parts(operation: Any, argument: Any) -> list[Any]:
    """The sub-trees of a node; of an operation that is not known here, none."""
    if operation is _codes.BRANCH:
        return list(argument[1])
    if operation is _codes.SUBPATTERN:
        return [argument[3]]
    if operation in (_codes.MAX_REPEAT, _codes.MIN_REPEAT):
        return [argument[2]]
    if operation in (_codes.ASSERT, _codes.ASSERT_NOT):
        return [argument[1]]
    return []


def _beginnings(tree: Any) -> list[bytes]:
    """Texts of which every match of the tree begins with one."""
    found, _ = _walk(list(tree))
    return found


def _walk(tree: list[Any]) -> tuple[list[bytes], bool]:
    """(beginnings, whether each is the whole match)."""
    found = [b""]
    for operation, argument in tree:
        whole = True
        if operation is _codes.LITERAL:
            tails = [bytes([argument])]
        elif operation is _codes.SUBPATTERN and not argument[1]:
            tails, whole = _walk(list(argument[3]))
        elif operation is _codes.BRANCH:
            pairs = [_walk(list(branch)) for branch in argument[1]]
            tails = [tail for some, _ in pairs for tail in some]
            whole = all(one for _, one in pairs)
        elif operation is _codes.IN and all(kind is _codes.LITERAL for kind, _ in argument):
            tails = [bytes([value]) for _, value in argument]
        elif operation in (_codes.MAX_REPEAT, _codes.MIN_REPEAT) and argument[0] == 0 and argument[1] == 1:
            tails, whole = _walk(list(argument[2]))
            tails = [*tails, b""]
        elif operation in (_codes.MAX_REPEAT, _codes.MIN_REPEAT) and argument[0] >= 1:
            tails, _ = _walk(list(argument[2]))
            whole = False
        else:
            return found, False
        longer = [head + tail for head in found for tail in tails]
        if len(longer) > _MOST_BEGINNINGS:
            return found, False
        found = longer
        if not whole or max(len(one) for one in found) > _LONGEST:
            return found, False
    return found, True
