"""What is wrong with a rule's regex, found without running it on real lines.

Rules are bytes patterns for Python's `re` (3.8 and later) on the hosts and, as LogQL, for Loki's RE2. Three questions:
does it keep to the syntax both share, what can it match (anchors, literals, widths, bytes of a group), and can a
stranger's line make it backtrack without end. The last is answered on the pattern's position automaton: a word that
leads from a state back to itself in two ways costs exponential time (Weideman et al., "Analyzing Matching Time Behavior
of Backtracking Regular Expression Matchers by Using Ambiguity of NFA", CIAA 2016), and a chain of loops that share
words costs a power of the line's length. Either comes with the line that shows it; `regextime` takes its time.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any, Iterator

_sre = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")

ALL = (1 << 256) - 1
NEWLINE = 1 << 10
#: RE2's own limit for {n,m} (Go regexp/syntax: maximum repeat count 1000).
RE2_REPEAT = 1000
#: Positions beyond which the automaton is not built.
MAX_POSITIONS = 1500
#: `{n,m}` with m from here on is looked at as a loop without an end; below, its body is written out m times.
LOOP_FROM = 8
#: Steps of a product search beyond which it is given up (the timed lines are tried all the same).
MAX_STEPS = 200_000


@dataclass(frozen=True)
class Fault:
    """A fault of syntax: index into the pattern, code, what it is, what to do."""

    index: int
    code: str
    what: str
    todo: str


def compile_fault(pattern: str) -> Fault | None:
    """Why Python cannot compile the pattern, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern.encode())
    except re.error as error:
        index = _char_index(pattern, error.pos or 0)
        return Fault(index, "LM201", f"the regex cannot be compiled: {error.msg}", _remedy(error.msg, pattern))
    except (OverflowError, RecursionError) as error:
        return Fault(0, "LM201", f"the regex cannot be compiled: {error}", "make it smaller")
    return None


def _char_index(pattern: str, at: int) -> int:
    return len(pattern.encode()[:at].decode("utf-8", "ignore"))


def _remedy(message: str, pattern: str) -> str:
    if "unterminated subpattern" in message:
        return r"close the group with ), or write \( for a bracket in the text"
    if "unbalanced parenthesis" in message:
        return r"write \) for a bracket in the text"
    if "unterminated character set" in message:
        return r"close the set with ], or write \[ for a bracket in the text"
    if "nothing to repeat" in message or "multiple repeat" in message:
        return r"write \* \+ \? for the sign itself"
    if "bad escape" in message:
        return "escape only signs, and the letters that stand for classes (d w s b)"
    if "redefinition of group name" in message:
        return "give each group a name of its own"
    if "global flags" in message:
        return "put the flags at the start of the regex"
    if "bad character range" in message:
        return "put - first or last in the set"
    return "see docs/rules.md, section Regex" if pattern else "write a regex"


_FLAGS = re.compile(r"\(\?(?P<on>[a-zA-Z]+)?(?:-(?P<off>[a-zA-Z]+))?(?P<end>[:)])")
_REPEAT = re.compile(r"\{(?P<low>\d*)(?P<comma>,?)(?P<high>\d*)\}")
_REF = re.compile(r"[1-9]\d?")


def syntax_faults(pattern: str) -> list[Fault]:
    """Constructs that Python takes and RE2 or an older Python does not, or that the two read differently, by index."""
    faults: list[Fault] = []
    at, end = 0, len(pattern)
    quantified = False

    def note(index: int, code: str, what: str, todo: str) -> None:
        faults.append(Fault(index, code, what, todo))

    while at < end:
        char = pattern[at]
        if char == "\\":
            at += _escape(pattern, at, note, in_set=False)
            quantified = False
        elif char == "[":
            at = _set(pattern, at, note)
            quantified = False
        elif char == "(":
            at += _group(pattern, at, note)
            quantified = False
        elif char in "*+?" or (char == "{" and _REPEAT.match(pattern, at)):
            repeat = _REPEAT.match(pattern, at) if char == "{" else None
            if repeat is not None:
                if not repeat.group("low") and not repeat.group("high"):
                    at = repeat.end()
                    quantified = False
                    continue
                if not repeat.group("low"):
                    note(
                        at,
                        "LM204",
                        f"{repeat.group()} repeats in Python and is plain text in RE2",
                        f"write {{0,{repeat.group('high')}}}",
                    )
                if max(int(repeat.group("low") or 0), int(repeat.group("high") or 0)) > RE2_REPEAT:
                    note(
                        at,
                        "LM203",
                        f"{repeat.group()} repeats more often than RE2 allows",
                        f"at most {RE2_REPEAT} times",
                    )
            if char == "+" and quantified:
                note(
                    at,
                    "LM202",
                    "a possessive quantifier needs Python 3.11, and RE2 has none",
                    "write the quantifier without its second +",
                )
            width = len(repeat.group()) if repeat else 1
            # A lazy ? after a quantifier belongs to it, and nothing may follow it.
            lazy = not quantified and pattern[at + width : at + width + 1] == "?"
            at += width + (1 if lazy else 0)
            quantified = not quantified and not lazy
        else:
            at += 1
            quantified = False
    return faults


def _escape(pattern: str, at: int, note: Any, in_set: bool) -> int:
    """Judge the escape at `at`; returns its length."""
    following = pattern[at + 1 : at + 2]
    if following == "Z" and not in_set:
        note(at, "LM203", r"\Z is unknown to RE2", "write $ (a message holds no line feed)")
    elif following == "z" and not in_set:
        note(at, "LM202", r"\z needs Python 3.14", "write $ (a message holds no line feed)")
    elif following in ("u", "U", "N"):
        note(at, "LM201", rf"the regex cannot be compiled: bad escape \{following}", "write the character itself")
    elif following and following in "123456789":
        reference = _REF.match(pattern, at + 1)
        digits = reference.group() if reference else following
        if not in_set and not re.match(r"[0-3][0-7][0-7]", pattern[at + 1 : at + 4]):
            note(at, "LM203", f"the back reference \\{digits} is unknown to RE2", "write out what it repeats")
        return 1 + len(digits)
    return 2


def _set(pattern: str, at: int, note: Any) -> int:
    """Judge the character set at `at`; returns the index after it."""
    start = at
    at += 1
    if pattern[at : at + 1] == "^":
        at += 1
    first = at
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        char = pattern[at]
        if char == "\\":
            at += _escape(pattern, at, note, in_set=True)
            continue
        if pattern.startswith("[:", at) and ":]" in pattern[at + 2 :]:
            name = pattern[at : pattern.index(":]", at + 2) + 2]
            note(at, "LM204", f"{name} is a class in RE2 and single characters in Python", "write the range, as a-z")
            at += len(name)
            continue
        if ord(char) > 127:
            note(
                at,
                "LM204",
                f"{char!r} in a set: Python matches its bytes one by one, RE2 the character",
                f"use (?:{char}|...) instead of a set",
            )
        if pattern[at : at + 2] in ("--", "&&", "~~", "||") and at > first:
            note(
                at,
                "LM204",
                f"{pattern[at : at + 2]!r} in a set will get a meaning of its own in Python",
                r"put a backslash before the second sign",
            )
            at += 1
        at += 1
    return max(at + 1, start + 1)


_LOOKAROUND = {
    "(?=": "lookahead",
    "(?!": "negative lookahead",
    "(?<=": "lookbehind",
    "(?<!": "negative lookbehind",
}


def _group(pattern: str, at: int, note: Any) -> int:
    """Judge the group that opens at `at`; returns the length of its opening."""
    for opening, name in (
        ("(?=", "lookahead"),
        ("(?!", "negative lookahead"),
        ("(?<=", "lookbehind"),
        ("(?<!", "negative lookbehind"),
    ):
        if pattern.startswith(opening, at):
            note(at, "LM203", f"RE2 has no {name}", "say what must be there, and write a second test for what must not")
            return len(opening)
    if pattern.startswith("(?>", at):
        note(at, "LM202", "an atomic group needs Python 3.11, and RE2 has none", "write (?:...)")
        return 3
    if pattern.startswith("(?P=", at):
        note(at, "LM203", "RE2 has no back references", "write out what it repeats")
        return 4
    if pattern.startswith("(?(", at):
        note(at, "LM203", "RE2 has no conditionals", "write both cases as alternatives: (?:a|b)")
        return 3
    if pattern.startswith("(?#", at):
        note(at, "LM203", "RE2 has no comments", "put it into a YAML comment")
        close = pattern.find(")", at)
        return (close - at + 1) if close > 0 else 3
    flags = _FLAGS.match(pattern, at)
    if flags is None or pattern.startswith("(?:", at):
        return 1
    letters = (flags.group("on") or "") + (flags.group("off") or "")
    if flags.group("end") == ")" and (at > 0 or flags.group("off")):
        note(at, "LM202", f"Python 3.11 refuses the flags {flags.group()} here", "put them first, or write (?i:...)")
    for letter in letters:
        if letter not in "ims":
            note(at, "LM203", f"RE2 has no flag {letter!r}", "leave it out (rules are bytes patterns, spaces count)")
    return len(flags.group())


# The pattern as a tree.


@dataclass(frozen=True)
class Shape:
    """What can be said of a pattern's parse tree; shape() makes it.

    `start` and `end` say whether every match is anchored there; `loose` is the number of top-level alternatives that
    are not anchored at the start, `alternatives` how many there are; `widths` are the least and greatest length of a
    match; `never` names an anchor that contradicts what stands before or after it, `dead` one of an alternative.
    """

    start: bool
    end: bool
    alternatives: int
    loose: int
    widths: tuple[int, int]
    never: str | None
    dead: str | None
    groups: dict[str, GroupShape]
    literal: str


@dataclass(frozen=True)
class GroupShape:
    """A named group: whether a match may leave it unset, the bytes it can hold (a set of 256 bits) and its widths."""

    optional: bool
    mask: int
    widths: tuple[int, int]


def parse(pattern: str) -> Any:
    """The pattern's parse tree (of Python's own parser)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _sre.parse(pattern.encode())


def _widths(tree: Any) -> tuple[int, int]:
    """Least and greatest length of a match."""
    least, most = tree.getwidth()
    return int(least), int(most)


def shape(pattern: str) -> Shape:
    """Anchors, widths and groups of a pattern that compiles."""
    tree = parse(pattern)
    branches = _alternatives(list(tree))
    anchored = [_anchored(list(branch), "AT_BEGINNING") for branch in branches]
    groups: dict[str, GroupShape] = {}
    dead: list[str] = []
    never = _contradiction(list(tree), 0, 0, dead)
    names = {number: name for name, number in tree.state.groupdict.items()}
    _collect_groups(list(tree), names, groups, False, _ignorecase(tree))
    return Shape(
        start=all(anchored),
        end=all(_anchored(list(branch)[::-1], "AT_END") for branch in branches),
        alternatives=len(branches),
        loose=anchored.count(False),
        widths=_widths(tree),
        never=never,
        dead=dead[0] if dead else None,
        groups=groups,
        literal=_first_literal(list(tree)),
    )


def _ignorecase(tree: Any) -> bool:
    return bool(tree.state.flags & re.IGNORECASE)


def _alternatives(items: list[Any]) -> list[list[Any]]:
    """The top-level alternatives; common prefixes that the parser has drawn out are part of none of them."""
    if len(items) == 1 and str(items[0][0]) == "BRANCH":
        return [list(branch) for branch in items[0][1][1]]
    return [items]


def _anchored(items: list[Any], anchor: str) -> bool:
    """Whether the sequence, read from its near end, must begin at the anchor."""
    forward = anchor == "AT_BEGINNING"
    for op, value in items:
        name = str(op)
        if name == "AT":
            if str(value) in (anchor, anchor + "_STRING"):
                return True
            continue
        if name == "SUBPATTERN":
            return _anchored(_near(value[-1], forward), anchor)
        if name == "BRANCH":
            return all(_anchored(_near(branch, forward), anchor) for branch in value[1])
        return False
    return False


def _near(items: Any, forward: bool) -> list[Any]:
    return list(items) if forward else list(items)[::-1]


def _first_literal(items: list[Any]) -> str:
    """The literal text that every match begins with, after anchors; "" where there is none."""
    text = ""
    for op, value in items:
        name = str(op)
        if name == "LITERAL":
            text += chr(value)
        elif name != "AT":
            break
    return text


def _width(items: list[Any]) -> int:
    """Least number of bytes the sequence consumes."""
    total = 0
    for op, value in items:
        name = str(op)
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            total += 1
        elif name == "BRANCH":
            total += min(_width(list(branch)) for branch in value[1])
        elif name == "SUBPATTERN":
            total += _width(list(value[-1]))
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            total += int(value[0]) * _width(list(value[2]))
        elif name == "ATOMIC_GROUP":
            total += _width(list(value))
    return total


def _contradiction(items: list[Any], before: int, after: int, dead: list[str]) -> str | None:
    """An anchor that can never hold: ^ behind something, or $ before something, that takes a character.

    One in an alternative beside sound ones goes to `dead`.
    """
    for index, (op, value) in enumerate(items):
        left = before + _width(items[:index])
        right = after + _width(items[index + 1 :])
        name = str(op)
        found = None
        if name == "AT":
            if str(value) in ("AT_BEGINNING", "AT_BEGINNING_STRING") and left:
                found = "^ stands behind text that must come first"
            elif str(value) in ("AT_END", "AT_END_STRING") and right:
                found = "$ stands before text that must follow"
        elif name == "BRANCH":
            faults = [_contradiction(list(branch), left, right, dead) for branch in value[1]]
            told = [fault for fault in faults if fault]
            found = told[0] if len(told) == len(faults) else None
            dead.extend(told if not found else [])
        elif name == "SUBPATTERN":
            found = _contradiction(list(value[-1]), left, right, dead)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and int(value[0]) > 0:
            found = _contradiction(list(value[2]), left, right, dead)
        if found:
            return found
    return None


def _collect_groups(
    items: list[Any], names: dict[int, str], groups: dict[str, GroupShape], optional: bool, fold: bool
) -> None:
    for op, value in items:
        name = str(op)
        if name == "SUBPATTERN":
            number, body = value[0], value[-1]
            if number in names:
                mask = 0
                for part in _masks(list(body), fold):
                    mask |= part
                groups[names[number]] = GroupShape(optional, mask, _widths(body))
            _collect_groups(list(body), names, groups, optional, fold)
        elif name == "BRANCH":
            for branch in value[1]:
                _collect_groups(list(branch), names, groups, optional or len(value[1]) > 1, fold)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _collect_groups(list(value[2]), names, groups, optional or int(value[0]) == 0, fold)
        elif name == "ATOMIC_GROUP":
            _collect_groups(list(value), names, groups, optional, fold)


def _masks(items: list[Any], fold: bool) -> Iterator[int]:
    """The byte sets of all positions below these nodes."""
    for op, value in items:
        name = str(op)
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            yield _mask(name, value, fold)
        elif name == "BRANCH":
            for branch in value[1]:
                yield from _masks(list(branch), fold)
        elif name == "SUBPATTERN":
            yield from _masks(list(value[-1]), fold)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from _masks(list(value[2]), fold)


def _bits(values: Any) -> int:
    mask = 0
    for value in values:
        mask |= 1 << value
    return mask


_WORD = _bits(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_DIGIT = _bits(b"0123456789")
_SPACE = _bits(b" \t\n\r\f\v")
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGIT,
    "CATEGORY_NOT_DIGIT": ALL ^ _DIGIT,
    "CATEGORY_SPACE": _SPACE,
    "CATEGORY_NOT_SPACE": ALL ^ _SPACE,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": ALL ^ _WORD,
}


def _mask(name: str, value: Any, fold: bool) -> int:
    """The bytes one position can take, as a set of 256 bits."""
    if name == "LITERAL":
        mask = 1 << value
    elif name == "NOT_LITERAL":
        return ALL ^ _fold(1 << value, fold)
    elif name == "ANY":
        return ALL ^ NEWLINE
    else:
        mask, negate = 0, False
        for op, item in value:
            kind = str(op)
            if kind == "NEGATE":
                negate = True
            elif kind == "LITERAL":
                mask |= 1 << item
            elif kind == "RANGE":
                mask |= _bits(range(item[0], item[1] + 1))
            elif kind == "CATEGORY":
                mask |= _CATEGORIES[str(item)]
        mask = _fold(mask, fold)
        return ALL ^ mask if negate else mask
    return _fold(mask, fold)


def _fold(mask: int, fold: bool) -> int:
    if fold:
        for low in range(ord("a"), ord("z") + 1):
            pair = (1 << low) | (1 << (low - 32))
            if mask & pair:
                mask |= pair
    return mask


# The pattern as an automaton, and its ambiguity.


class _TooLargeError(Exception):
    """The automaton would be too large to look at."""


@dataclass
class _Part:
    """A sub-pattern in Glushkov's construction: ways to be empty, and how often each position comes first or last."""

    empty: int
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)


@dataclass
class Automaton:
    """Position automaton: state 0 is the start, state i > 0 has taken a byte of masks[i].

    `follow[i][j]` is in how many ways j can come after i (1, or 2 for "more than one"); `accept` are the states in
    which a match may be complete, `ends` says that it must be at the message's end, and `bounded` are states whose loop
    has an end, if a far one ({1,64}).
    """

    masks: list[int]
    follow: list[dict[int, int]]
    accept: set[int]
    ends: bool
    bounded: set[int]


class _Builder:
    """Builds the automaton of a parse tree; `{n,m}` is written out, which keeps its bounds."""

    def __init__(self, fold: bool) -> None:
        self.fold = fold
        self.masks = [0]
        self.follow: list[dict[int, int]] = [{}]
        self.bounded: set[int] = set()

    def build(self, tree: Any) -> Automaton:
        anchored = shape_start(tree)
        whole = self.sequence(list(tree))
        ends = all(_anchored(list(branch)[::-1], "AT_END") for branch in _alternatives(list(tree)))
        self.follow[0] = dict(whole.first)
        if not anchored:
            # re.search begins anew at each byte: a loop over anything in front of the pattern.
            self.masks.append(ALL)
            self.follow.append({})
            loop = len(self.masks) - 1
            self.follow[loop] = {loop: 1, **whole.first}
            self.follow[0] = {loop: 1, **whole.first}
        accept = set(whole.last) | ({0} if whole.empty else set())
        return Automaton(self.masks, self.follow, accept, ends, self.bounded)

    def position(self, mask: int) -> _Part:
        if len(self.masks) > MAX_POSITIONS:
            raise _TooLargeError
        self.masks.append(mask)
        self.follow.append({})
        state = len(self.masks) - 1
        return _Part(0, {state: 1}, {state: 1})

    def sequence(self, items: list[Any]) -> _Part:
        part = _Part(1)
        for item in items:
            part = self.concat(part, self.node(item))
        return part

    def node(self, item: Any) -> _Part:
        op, value = item
        name = str(op)
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self.position(_mask(name, value, self.fold))
        if name == "BRANCH":
            parts = [self.sequence(list(branch)) for branch in value[1]]
            return _Part(
                _cap(sum(part.empty for part in parts)), _sum(p.first for p in parts), _sum(p.last for p in parts)
            )
        if name == "SUBPATTERN":
            return self.sequence(list(value[-1]))
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            return self.repeat(int(value[0]), value[1], list(value[2]))
        return _Part(1)

    def repeat(self, low: int, high: Any, body: list[Any]) -> _Part:
        unbounded = str(high) == "MAXREPEAT"
        endless = unbounded or int(high) >= LOOP_FROM
        copies = low if low < LOOP_FROM else 1
        part = _Part(1)
        for _ in range(copies - 1 if endless and copies else copies):
            part = self.concat(part, self.sequence(body))
        if endless:
            before = len(self.masks)
            loop = self.sequence(body)
            # A counted loop may pass over a body that can be empty in any of its rounds; an endless one is left by it.
            rounds = 2 if loop.empty and not unbounded else 1
            for state in loop.last:
                for following in loop.first:
                    self.link(state, following, loop.last[state] * loop.first[following] * rounds)
            if not unbounded:
                self.bounded.update(range(before, len(self.masks)))
            return self.concat(part, _Part(1 if loop.empty or not low else 0, loop.first, loop.last))
        tail = _Part(1)
        for _ in range(int(high) - low):
            # Built from the inside out: (body(body(...)?)?)?
            inner = self.concat(self.sequence(body), tail)
            tail = _Part(1, inner.first, inner.last)
        return self.concat(part, tail)

    def concat(self, left: _Part, right: _Part) -> _Part:
        for state, ways in left.last.items():
            for following, more in right.first.items():
                self.link(state, following, ways * more)
        first = _sum([left.first, {state: ways * left.empty for state, ways in right.first.items() if left.empty}])
        last = _sum([right.last, {state: ways * right.empty for state, ways in left.last.items() if right.empty}])
        return _Part(_cap(left.empty * right.empty), first, last)

    def link(self, state: int, following: int, ways: int) -> None:
        self.follow[state][following] = _cap(self.follow[state].get(following, 0) + ways)


def shape_start(tree: Any) -> bool:
    """Whether every match of the tree begins at the start of the message."""
    return all(_anchored(list(branch), "AT_BEGINNING") for branch in _alternatives(list(tree)))


def _cap(ways: int) -> int:
    return min(ways, 2)


def _sum(maps: Any) -> dict[int, int]:
    total: dict[int, int] = {}
    for part in maps:
        for state, ways in part.items():
            total[state] = _cap(total.get(state, 0) + ways)
    return total


@dataclass(frozen=True)
class Ambiguity:
    """A way to make the pattern slow: `degree` 0 is exponential, else the power of the line's length; lines to try.

    An attack line is prefix + pump x n + suffix. `bounded` says that a counted loop is part of it, so that only a
    measurement can tell how slow it gets.
    """

    degree: int
    bounded: bool
    prefix: bytes
    pump: bytes
    suffixes: tuple[bytes, ...]

    def line(self, length: int, suffix: bytes) -> bytes:
        """An attack line of about `length` bytes."""
        times = max(1, (length - len(self.prefix) - len(suffix)) // max(1, len(self.pump)))
        return self.prefix + self.pump * times + suffix


def automaton(pattern: str) -> Automaton | None:
    """The pattern's position automaton, or None where it is too large or uses syntax outside RE2's."""
    tree = parse(pattern)
    if _outside(list(tree)):
        return None
    try:
        return _Builder(_ignorecase(tree)).build(tree)
    except _TooLargeError:
        return None


def _outside(items: list[Any]) -> bool:
    for op, value in items:
        name = str(op)
        if name in ("ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "ATOMIC_GROUP", "POSSESSIVE_REPEAT"):
            return True
        parts: list[Any] = []
        if name == "BRANCH":
            parts = list(value[1])
        elif name == "SUBPATTERN":
            parts = [value[-1]]
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            parts = [value[2]]
        if any(_outside(list(part)) for part in parts):
            return True
    return False


def ambiguities(pattern: str) -> list[Ambiguity]:
    """Ways to make the pattern slow, worst first; empty where its time grows with the line's length alone."""
    machine = automaton(pattern)
    if machine is None:
        return []
    loops = _loops(machine)
    found = [attack for attack in (_exponential(machine, loop) for loop in loops) if attack is not None]
    if found:
        return found
    worst = _polynomial(machine, loops)
    return [worst] if worst is not None else []


def _loops(machine: Automaton) -> list[list[int]]:
    """The strongly connected components that hold a cycle (Tarjan, without recursion), in topological order."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    result: list[list[int]] = []
    work: list[tuple[int, Iterator[int]]] = [(0, iter(machine.follow[0]))]
    index[0] = low[0] = 0
    stack.append(0)
    on_stack.add(0)
    while work:
        state, successors = work[-1]
        advanced = False
        for following in successors:
            if following not in index:
                index[following] = low[following] = len(index)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(machine.follow[following])))
                advanced = True
                break
            if following in on_stack:
                low[state] = min(low[state], index[following])
        if advanced:
            continue
        work.pop()
        if work:
            low[work[-1][0]] = min(low[work[-1][0]], low[state])
        if low[state] == index[state]:
            component: list[int] = []
            while True:
                member = stack.pop()
                on_stack.discard(member)
                component.append(member)
                if member == state:
                    break
            if len(component) > 1 or state in machine.follow[state]:
                result.append(sorted(component))
    result.reverse()
    return result


def _pick(mask: int) -> int:
    """A byte of the set, a readable one where there is one."""
    for preferred in b"a0 -.:=x/(":
        if mask >> preferred & 1:
            return preferred
    for byte in range(33, 127):
        if mask >> byte & 1:
            return byte
    return (mask & -mask).bit_length() - 1


def _word_to(machine: Automaton, target: int) -> bytes:
    """A shortest word from the start to `target`."""
    if target == 0:
        return b""
    words = {0: b""}
    queue = [0]
    for state in queue:
        for following in machine.follow[state]:
            if following not in words and machine.masks[following]:
                words[following] = words[state] + bytes([_pick(machine.masks[following])])
                if following == target:
                    return words[following]
                queue.append(following)
    return words.get(target, b"")


def _exponential(machine: Automaton, loop: list[int]) -> Ambiguity | None:
    """A state of this loop that a word leads back to in two ways."""
    if not machine.ends and all(state in machine.accept for state in loop) and _first_wins(machine, loop):
        return None
    inside = set(loop)
    steps = 0
    for start in loop:
        # Pairs of states that the same word reaches from (start, start), and whether the two ways have parted.
        seen: dict[tuple[int, int, bool], tuple[tuple[int, int, bool] | None, int]] = {(start, start, False): (None, 0)}
        queue = [(start, start, False)]
        for left, right, parted in queue:
            for a, ways in machine.follow[left].items():
                if a not in inside:
                    continue
                for b in machine.follow[right]:
                    steps += 1
                    if steps > MAX_STEPS:
                        return None
                    if b not in inside or not machine.masks[a] & machine.masks[b]:
                        continue
                    twice = left == right and a == b and ways > 1
                    following = (a, b, parted or a != b or twice)
                    if following in seen:
                        continue
                    seen[following] = ((left, right, parted), _pick(machine.masks[a] & machine.masks[b]))
                    if following == (start, start, True):
                        return _attack(machine, 0, _word_to(machine, start), _trace(seen, following), loop)
                    queue.append(following)
    return None


def _first_wins(machine: Automaton, loop: list[int]) -> bool:
    """Whether the search is over as soon as the loop ends, as nothing must follow it."""
    inside = set(loop)
    return all(
        following in inside or following in machine.accept for state in loop for following in machine.follow[state]
    )


def _trace(seen: dict[Any, tuple[Any, int]], state: Any) -> bytes:
    word = bytearray()
    while True:
        previous, byte = seen[state]
        if previous is None:
            return bytes(reversed(word))
        word.append(byte)
        state = previous


def _attack(machine: Automaton, degree: int, prefix: bytes, pump: bytes, loop: list[int]) -> Ambiguity:
    """Suffixes that make the match fail: nothing, and bytes that the loop does not take."""
    taken = 0
    for state in loop:
        taken |= machine.masks[state]
    free = ALL & ~taken & ~NEWLINE
    suffixes = [b"", b"!", b"\x00", b" ", b"\xff"]
    if free:
        suffixes.insert(1, bytes([_pick(free)]))
    return Ambiguity(degree, not machine.bounded.isdisjoint(loop), prefix, pump, tuple(dict.fromkeys(suffixes)))


def _polynomial(machine: Automaton, loops: list[list[int]]) -> Ambiguity | None:
    """The longest chain of loops in which one word keeps each loop running and also leads from it to the next."""
    count = len(loops)
    shared: dict[tuple[int, int], bytes] = {}
    for left in range(count):
        for right in range(left + 1, count):
            word = _between(machine, loops[left], loops[right])
            if word is not None:
                shared[left, right] = word
    best: list[int] = [1] * count
    came: list[int | None] = [None] * count
    for right in range(count):
        for left in range(right):
            if (left, right) in shared and best[left] + 1 > best[right]:
                best[right], came[right] = best[left] + 1, left
    if not count or max(best) < 2:
        return None
    last = max(range(count), key=lambda number: best[number])
    chain = [last]
    while came[chain[-1]] is not None:
        chain.append(came[chain[-1]] or 0)
    chain.reverse()
    # What leads through every step of the chain leads through all of it.
    pump = b"".join(shared[left, right] for left, right in zip(chain, chain[1:]))
    return _attack(machine, best[last], _word_to(machine, loops[chain[0]][0]), pump, loops[last])


def _between(machine: Automaton, left: list[int], right: list[int]) -> bytes | None:
    """A word that runs from p to p, from p to q and from q to q, p being in the left loop and q in the right."""
    inside_left, inside_right = set(left), set(right)
    steps = 0
    for p in left:
        for q in right:
            start = (p, p, q)
            seen: dict[tuple[int, int, int], tuple[tuple[int, int, int] | None, int]] = {start: (None, 0)}
            queue = [start]
            for x, y, z in queue:
                for b in machine.follow[y]:
                    for a in machine.follow[x]:
                        if a not in inside_left:
                            continue
                        both = machine.masks[a] & machine.masks[b]
                        if not both:
                            continue
                        for c in machine.follow[z]:
                            steps += 1
                            if steps > MAX_STEPS:
                                return None
                            if c not in inside_right or not both & machine.masks[c]:
                                continue
                            following = (a, b, c)
                            if following in seen:
                                continue
                            seen[following] = ((x, y, z), _pick(both & machine.masks[c]))
                            if following == (p, q, q):
                                return _trace(seen, following)
                            queue.append(following)
    return None


def required_literal(pattern: str) -> str:
    """The longest text that every match must hold, as far as the pattern's outermost sequence shows it; "" for none."""
    tree = parse(pattern)
    if _ignorecase(tree):
        return ""
    best, run = b"", b""
    for op, value in _flat(list(tree)):
        run = run + bytes([value]) if str(op) == "LITERAL" else b""
        if len(run) > len(best):
            best = run
    return best.decode("utf-8", "ignore")


def _flat(items: list[Any]) -> Iterator[Any]:
    """The outermost sequence, with groups that are neither optional nor repeated opened up."""
    for op, value in items:
        if str(op) == "SUBPATTERN" and not value[1] and not value[2]:
            yield from _flat(list(value[-1]))
        else:
            yield op, value
