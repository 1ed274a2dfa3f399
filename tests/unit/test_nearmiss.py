"""How far a regex got: where it stopped, what it wanted there, and which part of the message it had matched."""

from __future__ import annotations

import random
import re

import pytest
from logmetrics.nearmiss import furthest

FAILED = r"^Failed \S+ for (?:invalid user )?(?P<user>.{1,64}?) from \S+ port "


@pytest.mark.parametrize(
    ("pattern", "message", "part", "wanted", "matched"),
    [
        (r"^Failed \S+ for root", "Failed password for admin", r"^Failed \S+ for ", "root", "Failed password for "),
        (r"^(?:error: )?Failed", "error: failed", "^(?:error: )?", "Failed", "error: "),
        (r"^Failed (?:a|b)c", "Failed bx", "^Failed (?:a|b)", "c", "Failed b"),
        (r"^run \d+ faild: ", "run 7 failed: x", r"^run \d+ fail", "d: ", "run 7 fail"),
        (r"^(?:Failed|Invalid) x", "Inval", "^Inval", "id", "Inval"),
        (r"^(?:ab){3}c", "abab", r"^(?:ab){0,3}", "(?:ab){3}", "abab"),
        (r"^\d{4}-x", "12-x", r"^\d{0,4}", r"\d{4}", "12"),
        (r"^\d{3,}-x", "12-x", r"^\d{0,}", r"\d{3,}", "12"),
        (r"^a(?:b|c(?:d|e)f)g", "acex", "^ac(?:d|e)", "f", "ace"),
        (r"(?i)^FAIL over", "fail under", "(?i)^FAIL ", "over", "fail "),
        (r"^error: (?P<w>[a-z]+)\[\d+\]$", "error: foo[12] bar", r"^error: (?:[a-z]+)\[\d+\]", "$", "error: foo[12]"),
        (r"^a[]x]b", "a]c", "^a[]x]", "b", "a]"),
        (r"^a\x41\.b", "aA.c", r"^a\x41\.", "b", "aA."),
        (r"one|^two three", "two four", "^two ", "three", "two "),
        (r"Failed now", "it Failed then", "Failed ", "now", "Failed "),
        (r"^(?P<a>x+)-(?P<b>(?:y|z)+)-end", "xx-yz-", "^(?:x+)-(?:(?:y|z)+)-", "end", "xx-yz-"),
    ],
)
def test_it_stops_where_the_engine_does(pattern: str, message: str, part: str, wanted: str, matched: str) -> None:
    reach = furthest(pattern, message.encode())
    assert reach is not None
    assert (reach.part, reach.wanted, message[reach.begin : reach.at]) == (part, wanted, matched)
    # Where the pattern goes on.
    if "{0" not in part:
        assert pattern[reach.stop :].startswith(wanted)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"^Failed", "nothing"),
        (r"^\bx", "y"),
        (r"(?=a)b", "a"),  # no RE2
        (r"(", "a"),
        (r"a)", "a"),
        ("[", "a"),
        ("*", "a"),
        ("", "a"),
    ],
)
def test_nothing_matched_or_nothing_understood_is_none(pattern: str, message: str) -> None:
    assert furthest(pattern, message.encode()) is None


def test_what_it_says_matched_does_match_and_more_does_not() -> None:
    """Sound patterns cut, with a letter of the message changed: the part is found again by trying every longer one."""
    rng = random.Random(3)  # noqa: S311 - a choice, no secret
    message = b"Failed password for invalid user bob from 192.0.2.1 port 22 ssh2"
    assert re.search(FAILED.encode(), message)
    checked = 0
    for _ in range(300):
        at = rng.randrange(len(message))
        broken = message[:at] + bytes([rng.choice(b"#~Q")]) + message[at + 1 :]
        if re.search(FAILED.encode(), broken):
            continue
        checked += 1
        reach = furthest(FAILED, broken)
        if at == 0:
            assert reach is None
            continue
        assert reach is not None
        assert re.search(reach.part.encode(), broken)
        assert reach.at >= min(at, 7)
    assert checked > 100
