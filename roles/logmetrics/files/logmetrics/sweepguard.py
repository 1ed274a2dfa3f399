"""What each line that a program's rules count must have, as one quick regex: a line without it counts for nothing.

It is looked at right behind the program's name, before any rule is. It asks for less than the rules do: words that a
rule describes by sets of bytes are stepped over up to their blank, all rules at once; of what may stand anywhere in a
line one byte is sought that all of them have. It stands in a look-ahead, and is never what a match consists of, so
that it may go beyond its line (up to the next blank): it then finds too much, which the rules themselves put right.
"""

from __future__ import annotations

from . import regextree
from .regextree import ANYTHING, byte_of, literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    from .regextree import Sequence

_MOST_WAYS = 16  # of one rule
_LONGEST = 48  # nodes of one way
_BLANK = literal(b" ")[0]
_NO_BLANK = ("b", ((1 << 256) - 1) ^ _BLANK[1])
_BLANKS = ("*", 0, None, (_BLANK,))
_WORD = (("*", 0, None, (_NO_BLANK,)), _BLANK)  # the engine is quick at a set that lacks one byte
# Bytes of logs, the most frequent first (letters by English text, the rest by samples of syslog); others are rare.
_FREQUENT = b" eta=0o1in2srdl35c:4u6mp798.-/hgfkybv_w[]"


def guard(sequences: Iterable[Sequence]) -> bytes | None:
    """The regex, to be looked ahead for at a message's first byte; None where it would tell nothing."""
    ways = [_weaker(way) for sequence in sequences for way in _spread(sequence)]
    return _any_of(list(dict.fromkeys(ways))) or None


def _spread(sequence: Sequence) -> list[Sequence]:
    """The sequence by its alternatives, cut where there are too many."""
    done: list[Sequence] = []
    todo: list[tuple[Sequence, Sequence]] = [((), sequence)]
    while todo:
        begin, rest = todo.pop(0)
        for at, node in enumerate(rest):
            ways = _ways(node)
            if ways is None:
                continue
            begin += rest[:at]
            if len(done) + len(todo) + len(ways) > _MOST_WAYS:
                done.append(begin)
            else:
                todo += [(begin, way + rest[at + 1 :]) for way in ways]
            break
        else:
            done.append(begin + rest)
    return done


def _ways(node: Any) -> tuple[Sequence, ...] | None:
    """What a node stands for, where it is a choice of several things."""
    if node[0] == "|":
        ways: tuple[Sequence, ...] = node[1]
        return ways
    if node[0] == "*" and node[1:3] == (0, 1):
        return node[3], ()
    return None


def _weaker(sequence: Sequence) -> Sequence:
    """What a match of the sequence begins with, in simpler terms."""
    found: list[Any] = []
    at = 0
    tried = False  # in several ways: by one repeat alone, so that the time stays in proportion to the line
    while at < len(sequence) and len(found) < _LONGEST:
        node = sequence[at]
        if node[0] in ("B", "="):
            at += 1
            continue
        end = _word_end(sequence, at)
        if end:
            before, blank, behind = sequence[end - 2], sequence[end - 1], sequence[end : end + 1]
            found += _WORD if blank == _BLANK else (*_WORD, _BLANKS)
            if blank == _BLANK and byte_of(before) >= 0 and not (behind and byte_of(behind[0]) >= 0):
                # Where no literal follows, that before the blank tells more.
                found.append(("B", b"(?<=" + regextree.text((before, blank)) + b")"))
            at = end
            continue
        if node[0] == "$":
            break
        if node[0] == "*":
            following, empty = regextree.first_bytes(sequence[at + 1 :])
            if len(node[3]) != 1 or node[3][0][0] != "b":
                break
            again = empty or bool(following & node[3][0][1])
            if again and tried:
                break
            tried = tried or again
        found.append(node)
        at += 1
    # A repeat at the end tells next to nothing.
    while found and found[-1][0] == "*":
        found.pop()
    return tuple(found)


def _word_end(sequence: Sequence, at: int) -> int:
    """Where what begins here with a set or a repeat is over with a blank, the index behind that; 0 elsewhere."""
    if byte_of(sequence[at]) >= 0:
        return 0
    repeats = False
    for index in range(at, len(sequence)):
        node = sequence[index]
        if node in (_BLANK, ("*", 1, None, (_BLANK,))):
            return index + 1 if repeats else 0
        inner = node[3] if node[0] == "*" else (node,)
        if any(one[0] != "b" or one[1] & _BLANK[1] for one in inner):
            return 0
        repeats = repeats or node[0] == "*"
    return 0


def _any_of(ways: list[Sequence]) -> bytes:
    """A regex that finds each of them; empty where one of them is."""
    if not all(ways):
        return b""
    groups: dict[Any, list[Sequence]] = {}
    for way in ways:
        groups.setdefault(way[0], []).append(way)
    anywhere = groups.pop(ANYTHING, None)
    out = [_group(group) for group in groups.values()]
    if anywhere is not None:
        out.append(_anywhere([way[1:] for way in anywhere]))
    return b"|".join(out) if all(out) else b""


def _group(group: list[Sequence]) -> bytes:
    """Ways with the same first node."""
    first = group[0]
    shared = 0
    while all(len(way) > shared and way[shared] == first[shared] for way in group):
        shared += 1
    while shared and not _over(first[shared - 1], [way[shared:] for way in group]):
        shared -= 1
    if len(group) == 1 or not shared:
        return b"|".join(_one(way) for way in group)
    rests = tuple(way[shared:] for way in group)
    rest = _any_of(list(rests))
    return regextree.text(first[:shared], (("|", rests),)) + (b"(?:" + rest + b")" if rest else b"")


def _over(node: Any, rests: list[Sequence]) -> bool:
    """Whether a node ends in one place alone, whatever of the rests follows."""
    if node[0] != "*":
        return True
    following, empty = regextree.first_bytes((("|", tuple(rests)),))
    return not empty and not following & int(node[3][0][1])


def _one(way: Sequence) -> bytes:
    """A way by itself."""
    if ANYTHING not in way:
        return regextree.text(way)
    at = way.index(ANYTHING)
    return regextree.text(way[:at], way[at:]) + _anywhere([way[at + 1 :]])


def _anywhere(rests: list[Sequence]) -> bytes:
    """Ways that may begin at any place: by the rarest byte that all of them have; empty where there is none."""
    if not all(rests):
        return b""
    places = [_first_places(rest) for rest in rests]
    common = set(places[0]).intersection(*places[1:])
    if not common:
        each = [_anywhere([rest]) if found else b"" for rest, found in zip(rests, places)]
        return b"|".join(each) if all(each) else b""
    # Rather one behind which something follows.
    byte = min(
        sorted(common),
        key=lambda byte: (any(found[byte] + 1 == len(rest) for rest, found in zip(rests, places)), _rarity(byte)),
    )
    after = [rest[found[byte] + 1 :] for rest, found in zip(rests, places)]
    before = {rest[: found[byte]] for rest, found in zip(rests, places)}
    behind = b""
    if len(before) == 1:
        (begin,) = before
        if begin and all(byte_of(node) >= 0 for node in begin):
            behind = b"(?<=" + regextree.text(begin) + regextree.text(literal(bytes([byte]))) + b")"
    if not behind:
        after = [_by_the_last(rest, byte) for rest in after]
    rest = _any_of(after)
    return b".*" + regextree.text(literal(bytes([byte]))) + behind + (b"(?:" + rest + b")" if rest else b"")


def _by_the_last(rest: Sequence, byte: int) -> Sequence:
    """What follows the byte, where a repeat comes next that may hold the byte, too: seen from the last one in it.

    Else each of many such bytes would look at all that follows, again and again.
    """
    if rest and rest[0][0] == "*" and len(rest[0][3]) == 1 and rest[0][3][0][0] == "b":
        mask = rest[0][3][0][1]
        if mask >> byte & 1:
            return (("*", 0, rest[0][2], (("b", mask & ~(1 << byte)),)), *rest[1:])
    return rest


def _first_places(rest: Sequence) -> dict[int, int]:
    """{byte: the index at which it first stands by itself}."""
    found: dict[int, int] = {}
    for at, node in enumerate(rest):
        byte = byte_of(node)
        if byte >= 0:
            found.setdefault(byte, at)
    return found


def _rarity(byte: int) -> int:
    """The lower, the rarer."""
    at = _FREQUENT.find(byte)
    return len(_FREQUENT) - at if at >= 0 else 0
