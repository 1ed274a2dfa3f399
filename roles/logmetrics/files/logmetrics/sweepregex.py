"""All rules of a source as one regex over a whole buffer of lines: how `sweep` counts.

The regex matches once for each newline, with what stands behind it: header, tag, message. Its one group that tells the
outcome captures a short literal piece of the rule's own text, which no other outcome has, or nothing where no rule
counts the line, or the whole line with its newline where it needs the exact way: an unusual header or tag, `message
repeated`, rules that need more than to be counted. Tags and messages are tries: what several rules begin with is looked
at once, so that a line costs about the same whatever the number of rules is.

Where two rules may count one line, that both do is an outcome of its own, tried before each alone.
"""

from __future__ import annotations

from itertools import combinations

from . import regextree, sweepguard
from .regextree import POSSESSIVE, Positions, Unfit, byte_of, first_bytes, implies, literal, may_share_a_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, FrozenSet, Iterable, Tuple

    from .regextree import Sequence
    from .rules import Rule

    Outcome = FrozenSet[int]  # numbers of the rules that count a line
    Choice = Tuple[Sequence, Outcome]
    Body = Tuple[bytes, bytes]  # a program's guard, and the regex of its messages

LOOP_GROUPS = (1, 1, 2)  # the first is there for those that refer to it
_REPEATED = b"message repeated "
_MOST_OUTCOMES = 24  # of rules that may share a line, before they take the exact way
_MOST_OTHERS = 4  # rules after one that may share a line with it
_MOST_UNFOLDED = 8  # beginnings of one rule
_WIDE = 100  # bytes in a set
_MOST_NAME = 100  # bytes of a program's name
_LONGEST = 32  # bytes of a piece
_EXACT = b"(?!)"  # matches nothing
# The end of a tag.
_PID = regextree.text((*literal(b"["), ("*", 1, 20, (("b", regextree.DIGITS),)), *literal(b"]: ")))
_END = b"(?:" + _PID + b"|: )"
_NOT_THE_END = regextree.NO_NEWLINE & ~(1 << 32 | 1 << 58)  # no blank, no colon
_ANY_TAG = regextree.text((("*", 0, None, (("b", _NOT_THE_END),)), *literal(b": ")))


class Script:
    """The regex's text, and what its pieces mean. `programs` are those that rules name, with their rules."""

    def __init__(self, programs: dict[bytes, list[Rule]]) -> None:
        self.outcomes: dict[bytes, Outcome] = {}
        bodies: dict[bytes, Body] = {}
        known: dict[tuple[int, ...], Body] = {}
        for name, rules in programs.items():
            key = tuple(rule.number for rule in rules)
            if key not in known:
                known[key] = self._body(rules)
            bodies[name] = known[key] if 0 < len(name) <= _MOST_NAME else (b"", _EXACT)
        self._guarded_tags = _names(bodies)
        self._tags = _names({name: (b"", body) for name, (_, body) in bodies.items()})

    def text(self, minute: bytes, rest: bytes) -> bytes:
        """The regex for lines whose header `minute` and `rest` match; its groups are all for the outcome."""
        return b"\\n(?:" + minute + rest + self._tags + b"|(?=(.*\\n)))"

    def loop(self, minute: bytes, rest: bytes) -> bytes:
        """The same, but one match goes over lines that count for nothing up to one that counts for something.

        All are of one minute, and its bytes are the first group; LOOP_GROUPS numbers the groups. Where lines that count
        are few, it is quicker.
        """
        line = b"(?(2)(?!)|)\\n(?(1)\\1|(" + minute + b"))" + rest + self._guarded_tags + b".*"
        # Possessive, and a way that always matches: before 3.11.5 the engine goes on from where the last, failed try
        # ended (https://github.com/python/cpython/issues/106052).
        lines = b"(?:" + line + b"+|)++(?(1)|(?!))" if POSSESSIVE else b"(?:" + line + b"){1,100}"
        return b"(?:(?!)()|" + lines + b"|\\n(?=(.*\\n)).*)"

    def _body(self, rules: list[Rule]) -> Body:
        """What stands behind the tag of a program with these rules; _EXACT where all its lines take the exact way."""
        try:
            trees = {rule.number: regextree.parse(rule.match.encode("utf-8")) for rule in rules}
        except Unfit:
            return b"", _EXACT
        return sweepguard.guard([*trees.values(), literal(_REPEATED)]) or b"", self._messages(rules, trees)

    def _messages(self, rules: list[Rule], trees: dict[int, Sequence]) -> bytes:
        """The regex of the messages that the rules count, by their parse trees."""
        positions = _Automata(trees)
        exact = {rule.number for rule in rules if rule.type != "counter" or rule.groups}
        exact |= {number for number, tree in trees.items() if first_bytes(tree)[1]}
        while True:
            clusters = _clusters(positions, [number for number in trees if number not in exact])
            try:
                # Rules that share a line with another stand by themselves, as their order matters.
                alone = [(trees[number], frozenset((number,))) for one in clusters if len(one) == 1 for number in one]
                parts = [self._merged(alone)] if alone else []
                parts += [self._together(one, trees, positions) for one in clusters if len(one) > 1]
            except _NoPiece as missing:
                exact |= missing.outcome
                continue
            break
        repeated = b"(?!" + regextree.text(literal(_REPEATED)) + b")"
        guards = [regextree.text(trees[number]) for number in sorted(exact)]
        ahead = repeated if guards or _first_of(trees.values()) >> _REPEATED[0] & 1 else b""
        if guards:
            ahead += b"(?!" + b"|".join(guards) + b")"
        parts += [b""] if ahead else [_other(_REPEATED[:1]), repeated]
        return ahead + b"(?:" + b"|".join(parts) + b")"

    def _merged(self, choices: list[Choice], in_order: bool = False) -> bytes:
        """The choices as alternatives; what several begin with stands once (`in_order`: of neighbours alone)."""
        groups: list[list[Choice]] = []
        by_lead: dict[Any, list[Choice]] = {}
        for choice in [(unfolded, outcome) for sequence, outcome in choices for unfolded in _unfolded(sequence)]:
            sequence, outcome = choice
            if not sequence:
                raise _NoPiece(outcome)
            own = by_lead.get(_lead(sequence))
            if own is None or (in_order and own is not groups[-1]):
                own = by_lead[_lead(sequence)] = []
                groups.append(own)
            own.append(choice)
        out = []
        for group in groups:
            if len(group) == 1:
                out.append(self._with_piece(*group[0]))
                continue
            first = group[0][0]
            shared = _shared(sequence for sequence, _ in group)
            if in_order:
                # Which comes first is for the order to say, never for a place further ahead in the line.
                shared = _settled(first, shared)
            while shared and first[shared - 1][0] == "*":
                shared -= 1  # the engine is quick at finding one byte after it, not at several
            if not shared:
                out += [self._with_piece(*choice) for choice in group]
                continue
            rest = self._merged([(sequence[shared:], outcome) for sequence, outcome in group], in_order)
            out.append(regextree.text(first[:shared]) + b"(?:" + rest + b")")
        return b"|".join(out)

    def _together(self, cluster: list[int], trees: dict[int, Sequence], positions: _Automata) -> bytes:
        """Rules of which several may count one line: for each, if it matches, which of those after it match, too."""
        # Where what all begin with can match in one way alone, the rest can be looked at from there.
        start = _settled(trees[cluster[0]], _shared(trees[number] for number in cluster))
        begin = regextree.text(trees[cluster[0]][:start])
        rest = {number: trees[number][start:] for number in cluster}
        implied = {
            number: {two for two in cluster if two != number and implies(positions[number], positions[two])}
            for number in cluster
        }
        choices: list[Choice] = []
        left = list(cluster)
        while left:
            number = left.pop(0)
            others = [one for one in left if positions.may_share(number, one)]
            ways = []
            for size in range(min(len(others), _MOST_OTHERS), -1, -1):
                for some in combinations(others, size):
                    outcome = frozenset((number, *some))
                    if all(implied[one] <= outcome for one in outcome):
                        ways.append(
                            (sorted(_needed((number, *some), implied), key=lambda one: _cost(rest[one])), outcome)
                        )
            # What is hard to rule out is looked at once for all ways.
            once = any(number in needed and _cost(rest[needed[0]]) for needed, _ in ways[:-1])
            for needed, outcome in ways:
                order = needed
                if once and number in needed:
                    order = [number, *([one for one in needed if one != number] or needed)]
                ahead = tuple(("=", rest[one]) for one in order[:-1])
                choices.append(((*ahead, *rest[order[-1]]), outcome))
            if len(choices) > _MOST_OUTCOMES or len(others) > _MOST_OTHERS:
                raise _NoPiece(frozenset((number,)))
        merged = self._merged(choices, in_order=True)
        return begin + b"(?:" + merged + b")" if begin else merged

    def _with_piece(self, sequence: Sequence, outcome: Outcome) -> bytes:
        """The sequence with the one group about a piece of its literal text that is this outcome's alone."""
        found = self._piece(sequence, outcome)
        if found is not None:
            start, length = found
            piece = b"(" + regextree.text(sequence[start : start + length]) + b")"
            return (
                regextree.text(sequence[:start], sequence[start:]) + piece + regextree.text(sequence[start + length :])
            )
        for at, node in enumerate(sequence):
            if node[0] == "|":
                inside = b"|".join(self._with_piece(one, outcome) for one in node[1])
                return regextree.text(sequence[:at]) + b"(?:" + inside + b")" + regextree.text(sequence[at + 1 :])
        raise _NoPiece(outcome)

    def _piece(self, sequence: Sequence, outcome: Outcome) -> tuple[int, int] | None:
        """(index, length) of it among the sequence's own nodes."""
        values = [byte_of(node) for node in sequence]
        for length in range(1, _LONGEST):
            # Not the first byte, if it can be helped: `re` skips an alternative by that.
            for start in [*range(1, len(values) - length + 1), 0]:
                chosen = values[start : start + length]
                if len(chosen) < length or -1 in chosen:
                    continue
                piece = bytes(chosen)
                if self.outcomes.setdefault(piece, outcome) == outcome:
                    return start, length
        return None


class _NoPiece(Exception):  # noqa: N818 - not an error
    """An outcome cannot be told by a piece of its text."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def _first_of(sequences: Iterable[Sequence]) -> int:
    """The set of bytes with which a match of any of them may begin."""
    found = 0
    for sequence in sequences:
        mask, empty = first_bytes(sequence)
        found |= regextree.NO_NEWLINE if empty else mask
    return found


class _Automata:
    """Of each rule, made when it is first wanted: most rules are told apart by their first bytes."""

    def __init__(self, trees: dict[int, Sequence]) -> None:
        self._trees = trees
        self._firsts = {number: first_bytes(tree) for number, tree in trees.items()}
        self._made: dict[int, Positions] = {}

    def __getitem__(self, number: int) -> Positions:
        if number not in self._made:
            self._made[number] = Positions(self._trees[number])
        return self._made[number]

    def may_share(self, one: int, two: int) -> bool:
        """Whether a line might match both rules."""
        (first, empty), (other, other_empty) = self._firsts[one], self._firsts[two]
        if not (empty or other_empty or first & other):
            return False
        return may_share_a_line(self[one], self[two])


def _clusters(positions: _Automata, left: list[int]) -> list[list[int]]:
    """The rules of `left`; those of which one may share a line with another are in one list. Takes all from `left`."""
    found = []
    while left:
        cluster: list[int] = []
        todo = [left[0]]
        while todo:
            number = todo.pop()
            if number in left:
                left.remove(number)
                cluster.append(number)
                todo += [one for one in left if positions.may_share(number, one)]
        found.append(sorted(cluster))
    return found


def _shared(sequences: Iterable[Sequence | bytes]) -> int:
    """With how many equal nodes, or bytes, all of them begin."""
    number = 0
    for nodes in zip(*sequences):
        if any(node != nodes[0] for node in nodes):
            break
        number += 1
    return number


def _lead(sequence: Sequence) -> Sequence:
    """What it begins with: up to its first node that is no repeat."""
    for at, node in enumerate(sequence):
        if node[0] != "*":
            return sequence[: at + 1]
    return sequence


def _unfolded(sequence: Sequence) -> list[Sequence]:
    """The sequence by what it may begin with, so that the first byte tells them apart; without what cannot match."""
    ahead = []
    while sequence and sequence[0][0] == "=":
        ahead.append(sequence[0][1])
        sequence = sequence[1:]
    found: list[Sequence] = []
    todo = [sequence]
    while todo:
        one = todo.pop(0)
        node = one[0] if one else ("$",)
        if len(todo) + len(found) < _MOST_UNFOLDED:
            if node[0] == "|":
                todo[:0] = [branch + one[1:] for branch in node[1]]
                continue
            if node[0] == "*" and node[1:3] == (0, 1) and len(node[3]) > 1:
                todo[:0] = [node[3] + one[1:], one[1:]]
                continue
        way = _hoisted(ahead, one) if ahead else one
        if way is not None:
            found.append(way)
    return found


def _needed(numbers: tuple[int, ...], implied: dict[int, set[int]]) -> list[int]:
    """Those of the rules from which all others follow."""
    found: list[int] = []
    for number in numbers:
        if not any(number in implied[one] for one in found):
            found = [one for one in found if one not in implied[number]] + [number]
    return found


def _cost(sequence: Sequence) -> int:
    """An order of what is ruled out soonest: what begins with a certain byte, then what has the fewest wide repeats."""
    if sequence and byte_of(sequence[0]) >= 0:
        return 0
    return 1 + sum(_wide(node) for node in sequence)


def _wide(node: Any) -> bool:
    """Whether a repeat is one of most bytes."""
    return node[0] == "*" and any(bin(one[1]).count("1") > _WIDE for one in node[3] if one[0] == "b")


def _hoisted(ahead: list[Sequence], sequence: Sequence) -> Sequence | None:
    """What must stand ahead, then the sequence; the bytes with which all begin stand first. None: it never matches."""
    begin, empty = first_bytes(sequence)
    for one in ahead:
        other, other_empty = first_bytes(one)
        if not (empty or other_empty or begin & other):
            return None
    mine = Positions(sequence)
    if not all(may_share_a_line(Positions(one), mine) for one in ahead):
        return None
    shared = 0
    for node in sequence:
        if node[0] != "b" or any(one[shared : shared + 1] != (node,) for one in ahead):
            break
        shared += 1
    rest = [one[shared:] for one in ahead]
    return (*sequence[:shared], *(("=", one) for one in rest if one), *sequence[shared:])


def _settled(sequence: Sequence, most: int) -> int:
    """How many of the first `most` nodes can match in one way alone, wherever they match."""
    for at in range(most):
        node = sequence[at]
        if node[0] in ("b", "="):
            continue
        # One set repeated ends where it must, if what follows is none of it.
        if node[0] == "*" and len(node[3]) == 1 and node[3][0][0] == "b" and at + 1 < most:
            following, empty = first_bytes(sequence[at + 1 : at + 2])
            if not empty and not following & node[3][0][1]:
                continue
        return at
    return most


def _behind(body: Body, begin: bytes = b"") -> bytes:
    """The alternatives behind a name, of which the first are lines that its rules do not count.

    That is seen behind any tag that begins with `begin`: if it is none that the exact way knows, or another program's
    without rules, the line counts for nothing, either.
    """
    guard, rules = body
    unguarded = _END + rules
    return begin + _ANY_TAG + b"(?!" + guard + b")|" + unguarded if guard else unguarded


def _names(bodies: dict[bytes, Body]) -> bytes:
    """Names, each with the end of its tag and what is to follow that, as a trie that also matches any other name.

    A name's end is where the usual end of a tag begins; with anything else behind it, it is another program's.
    """
    if len(bodies) > 1 and len(set(bodies.values())) == 1:
        # All go on alike: that stands once.
        ends = _suffixes(list(bodies))
        return b"(?:" + ends + b"(?:" + _behind(next(iter(bodies.values()))) + b")|(?!" + ends + b"[\\[:]))"
    groups: dict[bytes, list[bytes]] = {}
    for name in bodies:
        groups.setdefault(name[:1], []).append(name)
    firsts, begins, ways = b"", [], []
    for first, names in groups.items():
        if first:
            length = _shared(names)
            begins.append(regextree.text(literal(names[0][:length])))
            ways.append(begins[-1] + _names({name[length:]: bodies[name] for name in names}))
            firsts += first
        else:
            begins.append(b"[\\[:]")
            ways.insert(0, _behind(bodies[b""], b"\\[" if len(bodies) > 1 else b""))
            firsts += b"[:"
    return b"(?:" + b"|".join([*ways, _other(firsts), b"(?!" + b"|".join(begins) + b")"]) + b")"


def _other(firsts: bytes) -> bytes:
    """Any byte of a line but these."""
    mask = regextree.NO_NEWLINE
    for first in firsts:
        mask &= ~(1 << first)
    return regextree.text((("b", mask),))


def _suffixes(names: list[bytes]) -> bytes:
    if names == [b""]:
        return b""
    groups: dict[bytes, list[bytes]] = {}
    for name in names:
        groups.setdefault(name[:1], []).append(name[1:])
    out = [regextree.text(literal(first)) + _suffixes(rest) if first else b"" for first, rest in groups.items()]
    return out[0] if len(out) == 1 else b"(?:" + b"|".join(out) + b")"
