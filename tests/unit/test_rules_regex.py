"""The analysis of regexes: what it says of syntax is what RE2 says, and what it calls slow is slow."""

from __future__ import annotations

import re
import warnings

import pytest
import re2  # type: ignore[import-untyped]  # google-re2 comes without types
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from logmetrics import regexlint, regextime

ATOMS = [
    "a",
    "b",
    " ",
    "é",
    ".",
    r"\d",
    r"\S",
    r"\w",
    r"\.",
    "[ab]",
    "[^a ]",
    r"[\d-]",
    "x",
    "from ",
    r"\b",
    "^",
    "$",
    ":",
]
ODD = [
    *[
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?>a)",
        "(?#c)",
        r"\Z",
        r"\z",
        r"\1",
        "(?P=n)",
        "(?(1)a|b)",
        "(?i)",
        "(?x:a)",
    ],
    *["(?i:a)", r"\x41", r"\u0041", r"\A", r"\B", "{,3}", "{2,}", "[[:alpha:]]", "[é]", r"\_", r"\/", "{", "}", "]"],
    *[r"\0", r"\07", r"\141"],
]
REPEATS = ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{1,1001}"]


def patterns(odd: bool) -> st.SearchStrategy[str]:
    atom = st.sampled_from(ATOMS + ODD if odd else ATOMS)
    return st.recursive(
        atom,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            inner.map(lambda body: f"({body})"),
            inner.map(lambda body: f"(?P<n>{body})"),
            st.tuples(inner, st.sampled_from(REPEATS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
            st.tuples(atom, st.sampled_from([*REPEATS, "++", "*+", "?+"] if odd else REPEATS)).map("".join),
        ),
        max_leaves=8,
    )


def compiled(pattern: str) -> re.Pattern[bytes] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern.encode())
    except (re.error, OverflowError):
        return None


def in_re2(pattern: str) -> re.Pattern[bytes] | None:
    """The pattern in RE2, whose Python binding has the interface of re."""
    options = re2.Options()
    options.log_errors = False
    try:
        found: re.Pattern[bytes] = re2.compile(pattern.encode(), options=options)
    except re2.error:
        return None
    return found


def codes(pattern: str) -> set[str]:
    return {fault.code for fault in regexlint.syntax_faults(pattern)}


@settings(max_examples=600, deadline=None)
@given(patterns(odd=True))
def test_what_re2_refuses_is_told(pattern: str) -> None:
    assume(compiled(pattern) is not None)
    assert in_re2(pattern) is not None or codes(pattern) & {"LM202", "LM203"}


@settings(max_examples=400, deadline=None)
@given(patterns(odd=True), st.text("ab x:.-_/0A", min_size=1, max_size=12))
def test_what_is_not_told_matches_alike_in_both(pattern: str, text: str) -> None:
    ours = compiled(pattern)
    assume(ours is not None and not codes(pattern))
    theirs = in_re2(pattern)
    # RE2 counts characters where Python counts bytes: the same but for how many dots a letter takes. On the empty text
    # alone \\B is another thing before Python 3.14.
    assume(theirs is not None and "é" not in pattern)
    assert ours is not None
    assert theirs is not None
    assert bool(ours.search(text.encode())) == bool(theirs.search(text.encode()))


@pytest.mark.parametrize(
    "pattern",
    [
        *["(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(?>a)", r"(a)\1", r"(?P<n>a)(?P=n)", "(a)?(?(1)a|b)", "a++", "a*+"],
        *["a?+", "a{2}+", "(?#c)a", r"a\Z", "(?x)a", "(?L)a", "a{1,1001}", "(?a)a"],
    ],
)
def test_each_construct_that_re2_lacks_is_told(pattern: str) -> None:
    assert in_re2(pattern) is None
    assert codes(pattern) & {"LM202", "LM203"}


@pytest.mark.parametrize(
    "pattern",
    [
        *[
            r"\(\?=a",
            "[(?=a)]",
            r"\\Z",
            "a+?",
            "a{2,3}?",
            "(?i)a",
            "(?i:a)b",
            "(?s:.)",
            r"[\]]",
            "[]a]",
            "[^]a]",
            "a{x}",
        ],
        *["{a}", r"\d{1,3}", r"[\w.-]+", r"\[a\]", r"(?P<n>a)b", r"\+\+", "[+]+", r"a\?+", "[a-z]+,", r"\x41", r"\0"],
    ],
)
def test_what_both_know_is_not_told(pattern: str) -> None:
    assert compiled(pattern) is not None
    assert in_re2(pattern) is not None
    assert codes(pattern) == set()


SLOW = [
    "^(a+)+$",
    "^(a|a?)+$",
    r"^(?:\w+\s?)+$",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"^(?:.*,){11}P",
    "(x+x+)+y",
    r"^(\w{1,20}){1,20};",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_a_slow_pattern_is_found_and_its_line_is_slow(pattern: str) -> None:
    attacks = regexlint.ambiguities(pattern)
    assert attacks
    assert any(
        slow is not None for slow in regextime.slow_lines([(pattern, regextime.attack_lines(a)) for a in attacks])
    )


@pytest.mark.parametrize(
    "pattern",
    [
        r"^Failed \S+ for .* from \S+ port \d+ ssh2$",
        r"^(?:[a-z]+,)*[a-z]+$",
        r"^(?:\S+ )+x$",
        r"^(?:\d{1,3}\.){3}\d{1,3}$",
        r"^(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}$",
        r'^[^"]*"(?:[^"\\]|\\.)*" \d+$',
        r"^a{1,64}b",
        "^(a+)+",
        "^(?:ab|cd)*e",
    ],
)
def test_a_fast_pattern_is_not_called_slow(pattern: str) -> None:
    attacks = [attack for attack in regexlint.ambiguities(pattern) if attack.degree == 0 and not attack.bounded]
    assert attacks == []


@settings(max_examples=300, deadline=None)
@given(patterns(odd=False))
def test_analysis_never_fails_and_its_automaton_accepts_what_matches(pattern: str) -> None:
    ours = compiled(pattern)
    assume(ours is not None and not codes(pattern))
    regexlint.shape(pattern)
    regexlint.ambiguities(pattern)
    machine = regexlint.automaton(pattern)
    assert machine is not None
    assert all(0 <= state < len(machine.masks) for follow in machine.follow for state in follow)


@settings(max_examples=300, deadline=None)
@given(patterns(odd=False), st.text("ab x:.-0from", max_size=14))
def test_every_match_holds_the_required_literal(pattern: str, text: str) -> None:
    ours = compiled(pattern)
    assume(ours is not None and not codes(pattern))
    assert ours is not None
    found = ours.search(text.encode())
    assume(found is not None)
    assert regexlint.required_literal(pattern).encode() in text.encode()


@settings(max_examples=300, deadline=None)
@given(patterns(odd=False), st.text("ab x:.-0from", max_size=14))
def test_anchors_and_widths_hold_for_every_match(pattern: str, text: str) -> None:
    ours = compiled(pattern)
    assume(ours is not None and not codes(pattern))
    assert ours is not None
    shape = regexlint.shape(pattern)
    for found in ours.finditer(text.encode()):
        assert not shape.never
        assert not shape.start or found.start() == 0
        assert not shape.end or found.end() == len(text.encode())
        assert shape.widths[0] <= found.end() - found.start() <= shape.widths[1]
