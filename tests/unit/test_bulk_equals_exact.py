"""The fast way counts what the exact way counts, for whatever lines and rules."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logmetrics import regextree
from logmetrics import tally as tally_module
from logmetrics.rules import Rule, RuleSet
from logmetrics.tally import Families, Tally, Timeline

NOW = 1_795_452_017.5
PROGRAMS = ["sshd", "sshd-session", "sudo", "su", "systemd-journald", "a.b/c"]
PATTERNS = [
    r"^Failed \S+ for ",
    r"^Fail",
    r"^Accepted (?P<how>password|publickey) for .+ port \d+$",
    r"^Accepted ",
    r"^(?:error: )?Failed",
    r"password",
    r"(?i)^FAILED",
    r"(?i)accepted",
    r"(?:^|: )lost",
    r"^[FA]\w+ p",
    r"port \d+$",
    r"^$",
    r"^message",
    r"^\[x\] Failed|^Accepted x",
]
STAMPS: dict[str, Any] = {
    "3164": lambda at: time.strftime("%b %e %H:%M:%S", time.localtime(at)),
    "3164 zero": lambda at: time.strftime("%b %d %H:%M:%S", time.localtime(at)),
    "3339": lambda at: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}+00:00",
    "3339 east": lambda at: (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at + 5400)) + f".{int(at % 1 * 1e6):06d}+01:30"
    ),
    "3339 whole": lambda at: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
    "3339 milli": lambda at: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e3):03d}Z",
}

MESSAGES = st.one_of(
    st.sampled_from(
        [
            "Failed password for root from 192.0.2.1 port 22",
            "Accepted password for root from 192.0.2.1 port 22",
            "Accepted publickey for root port 7",
            "error: Failed none for x",
            "message repeated 3 times: [ Failed password for root port 22]",
            "message repeated 2 times: [ x",
            "imuxsock lost 12 messages from pid 3 due to rate-limiting",
            "x: lost",
            "[x] Failed",
            "Accepted x",
            "",
            "Suppressed 12 messages from x",
        ]
    ),
    st.text("Failedpsword: [x]1\t", max_size=20),
)
TAGS = st.one_of(
    st.builds(
        lambda program, end: program + end,
        st.sampled_from([*PROGRAMS, "cron", "systemd", "kernel", "sshd(pam)"]),
        st.sampled_from(["[17]: ", "[17]: ", "[99999]: ", ": ", "[x-1]: ", "[17] ", "[1 2]: ", ":", " ", "[17]:"]),
    ),
    st.text("sudhcron-[]: 12", max_size=12),
)
HOSTS = st.sampled_from(["web1", "web1", "web1", "web1.example.com", "10.0.0.1", "w", ""])
SECONDS = st.one_of(st.floats(-150, 0), st.floats(0, 120), st.sampled_from([59.0, 60.0, 61.0, -60.0]))
GOOD_TAGS = st.builds("{}{}".format, st.sampled_from(PROGRAMS), st.sampled_from(["[17]: ", "[4242]: ", ": ", ":"]))
GOOD_MESSAGES = st.sampled_from(
    [
        "Failed password for root from 192.0.2.1 port 22",
        "Accepted password for root from 192.0.2.1 port 22",
        "Accepted publickey for root port 7",
        "message repeated 3 times: [ Failed password for root port 22]",
    ]
)
USUAL = st.tuples(st.just(None), SECONDS, st.just("web1"), GOOD_TAGS, GOOD_MESSAGES)
OTHER = st.tuples(st.sampled_from([*STAMPS, "none", "broken"]), SECONDS, HOSTS, TAGS, MESSAGES)
LINES = st.one_of(
    st.lists(USUAL, min_size=1, max_size=40),
    st.lists(st.one_of(USUAL, USUAL, USUAL, USUAL, OTHER), min_size=1, max_size=40),
)


ORDERED = [
    {"metric": "level", "type": "gauge", "match": r"port (?P<value>\d+)"},
    {"metric": "first.{port}", "type": "counter", "max_series": 1, "match": r"port (?P<port>\d+)"},
]


@st.composite
def rule_documents(draw: st.DrawFn) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 8))):
        pattern = draw(st.sampled_from([*PATTERNS[:6], *PATTERNS]))
        family = "{how}" if "P<how>" in pattern and draw(st.booleans()) else "all"
        programs = draw(st.lists(st.sampled_from(PROGRAMS), min_size=1, max_size=5, unique=True))
        rules.append({"metric": f"m{number}.{family}", "type": "counter", "program": programs, "match": pattern})
    # What they say depends on the order of the lines.
    order = draw(st.lists(st.sampled_from(ORDERED), max_size=2))
    rules += [{"program": draw(st.sampled_from(PROGRAMS)), **one} for one in order]
    return {"format": 1, "hash": "x", "rules": rules}


def text_of(form: str, lines: list[tuple[Any, ...]]) -> bytes:
    out = []
    for own, ago, host, tag, message in lines:
        shape = own or form
        stamp = {"none": lambda _: "no stamp", "broken": lambda _: "Nov 31 99:00:00"}.get(shape) or STAMPS[shape]
        out.append(f"{stamp(NOW + ago)} {host} {tag}{message}\n".encode())
    return b"".join(out)


def tally(rules: RuleSet, interval: int, line_max: int, second: Any = None) -> Tally:
    sets = [(0, rules)] + ([(int(NOW) - 60, second)] if second else [])
    first = int(NOW) // interval * interval - (120 // interval + 1) * interval
    return Tally(interval, first, first + interval, Timeline(sets), Families({}, lambda _: True), lambda: NOW, line_max)


def assert_alike(fast: Tally, exact: Tally) -> None:
    """Both have counted the same."""
    assert (fast.open, fast.late) == (exact.open, exact.late)
    assert fast.families.saved == exact.families.saved
    for name in ("lines", "late_lines", "future_lines", "newest", "probes", "bad_values"):
        assert getattr(fast, name) == getattr(exact, name), name


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=rule_documents(),
    form=st.sampled_from(sorted(STAMPS)),
    lines=LINES,
    interval=st.sampled_from([60, 300, 30, 10, 7]),
    line_max=st.sampled_from([65536, 50]),
    other=st.one_of(st.none(), rule_documents()),
    stretch=st.sampled_from([1, tally_module.STRETCH]),
    dense=st.booleans(),
)
def test_both_ways_agree(
    document: dict[str, Any],
    form: str,
    lines: list[tuple[Any, ...]],
    interval: int,
    line_max: int,
    other: Any,
    stretch: int,
    dense: bool,
) -> None:
    data = text_of(form, lines)
    rules = RuleSet.from_document(document, "test")
    second = RuleSet.from_document(other, "test") if other else None
    fast, exact = (tally(rules, interval, line_max, second) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally_module, "STRETCH", stretch)
        fast._dense["/var/log/x"] = dense
        if fast._add_bulk("/var/log/x", data):
            exact.add_exactly("/var/log/x", data)
            assert_alike(fast, exact)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("ago", [[-3, -3, -3], [-3, -3, -70, -3]])
def test_of_lines_with_one_stamp_the_later_one_is_the_gauge(ago: list[int], dense: bool) -> None:
    """The same line twice, and another of that second between."""
    ports = [22, 7, 22, 22]
    lines = [(None, at, "web1", "sshd[17]: ", f"x port {port}") for at, port in zip(ago, ports)]
    document = {"format": 1, "hash": "x", "rules": [{**one, "program": "sshd"} for one in ORDERED]}
    fast, exact = (tally(RuleSet.from_document(document, "test"), 60, 65536) for _ in range(2))
    fast._dense["/var/log/x"] = dense
    assert fast._add_bulk("/var/log/x", text_of("3164", lines))
    exact.add_exactly("/var/log/x", text_of("3164", lines))
    assert_alike(fast, exact)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("stragglers", "last"), [(2, "port 22"), (1, "message repeated 2 times: [ Failed x]")])
def test_a_line_that_one_rule_set_reads_exactly_and_the_next_one_fast_counts_by_each(
    stragglers: int, last: str, dense: bool
) -> None:
    """It stands among the lines of the minute before, for whose rules it needs the exact way, and among its own."""
    programs = [{"program": "sshd", **one} for one in (*ORDERED, {"metric": "port", "match": "^port "})]
    old, new = (
        RuleSet.from_document({"format": 1, "hash": "x", "rules": rules}, "test")
        for rules in (programs[:2], programs[2:])
    )
    straggler = (None, -30, "web1", "sshd[17]: ", "port 22")
    before, after = ([(None, ago, "web1", "sshd[17]: ", "port 7")] * 600 for ago in (-90, -29))
    lines = [*before, *[straggler] * stragglers, *before, straggler, *after, (None, -28, "web1", "sshd[17]: ", last)]
    sets = [(0, old), (int(NOW) // 60 * 60 - 60, new)]
    fast, exact = tally(old, 60, 65536), tally(old, 60, 65536)
    for one in (fast, exact):
        one.timeline = Timeline(sets)
    fast._dense["/var/log/x"] = dense
    assert fast._add_bulk("/var/log/x", text_of("3164", lines))
    exact.add_exactly("/var/log/x", text_of("3164", lines))
    assert_alike(fast, exact)


EDITS = st.one_of(
    st.none(),
    st.tuples(
        st.integers(0, 48), st.integers(0, 12), st.sampled_from(["", "\n", " ", "7", ":", "Z", "Z h", "+00:00 ", "."])
    ),
)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=rule_documents(),
    form=st.sampled_from(sorted(STAMPS)),
    lines=st.lists(st.tuples(USUAL, EDITS), min_size=1, max_size=30),
    others=st.lists(
        st.sampled_from(["", "x: y", "Nov 23", "<34>Nov 23", "1795452000 w sshd: Failed", *STAMPS]), max_size=4
    ),
    interval=st.sampled_from([60, 300, 30, 10, 7]),
    dense=st.booleans(),
)
def test_torn_headers_are_read_alike(
    document: dict[str, Any],
    form: str,
    lines: list[tuple[Any, Any]],
    others: list[str],
    interval: int,
    dense: bool,
) -> None:
    """Headers that are cut off, run into each other, or have a byte too many, and what may stand behind such a one."""
    data = b""
    for number, (usual, edit) in enumerate(lines):
        line = text_of(form, [usual]).decode()
        if edit is not None:
            at, length, put = edit
            line = line[:at] + put + line[at + length :]
            other = others[number % len(others)] if others else ""
            line += text_of(other, [usual]).decode() if other in STAMPS else other + "\n"
        data += line.encode() if line.endswith("\n") else line.encode() + b"\n"
    rules = RuleSet.from_document(document, "test")
    fast, exact = (tally(rules, interval, 65536) for _ in range(2))
    fast._dense["/var/log/x"] = dense
    if fast._add_bulk("/var/log/x", data):
        exact.add_exactly("/var/log/x", data)
        assert_alike(fast, exact)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_tree_matches_what_its_regex_matches(pattern: str) -> None:
    try:
        text = regextree.text(regextree.parse(pattern.encode()))
    except regextree.Unfit:
        assert "(?:^" in pattern
        return
    for message in [
        "Failed password for x",
        "Accepted password for a port 1",
        "failed",
        "",
        "port 12",
        "message repeated",
    ]:
        raw = message.encode()
        line = b"before\nhead: " + raw + b"\nFailed Accepted password port 7\n"
        found = re.compile(b"head: " + text).search(line)
        assert bool(found) == bool(re.search(pattern.encode(), raw)), message
        assert found is None or b"\n" not in found.group()


@pytest.mark.parametrize(
    ("one", "two", "shared"),
    [
        ("^Failed x", "^Accepted", False),
        ("^Failed", "^Failed password", True),
        ("^F(?:ailed|oo)", "^Fail", True),
        ("^(?:a|b)c", "^[ab]d", False),
        ("^a?b", "^b", True),
        ("^a?b", "^c", False),
        ("^x*b", "^c", False),
        ("^x*b", "^xxxxb", True),
        (r"^\d{6}b", r"^\d+b", True),
        (r"^\S+: Failed", r"^\S+: Started", False),
        (r"^\S+ .*Failed", r"^\S+ .*Started", True),
        ("x", "^c", True),
        ("(?i)^x", "^c", False),
        ("(?i)^x", "^X", True),
        ("(?i)^[^x]", "^X", False),
    ],
)
def test_regexes_that_may_share_a_line(one: str, two: str, shared: bool) -> None:
    first, second = (regextree.Positions(regextree.parse(regex.encode())) for regex in (one, two))
    assert regextree.may_share_a_line(first, second) is shared
    assert regextree.may_share_a_line(second, first) is shared


@pytest.mark.parametrize(
    ("one", "two", "follows"),
    [
        ("^Accepted password for .+ port", r"^Accepted \S+ for ", True),
        (r"^Accepted \S+ for ", "^Accepted password for .+ port", False),
        ("^ab", "^a", True),
        ("^a", "^ab", False),
        ("^a$", "^a", True),
        ("^a", "^a$", False),
        ("^a$", "^a(?:$|: )", True),
        ("^xx*b", "^x+b", True),
        (r"^\d{6}b", r"^\d+b", True),
        (r"^\d+b", r"^\d{6}b", False),
        ("^aaaaaaa", "^a{7}", False),  # true, but the second is not kept exactly
        ("^foo bar", r"^foo\b", False),  # as here
        ("^[ab]c", "^(?:ac|bc+)", False),  # no single branch has all of the set
        ("^a.*b", "^a", True),
        ("^a.*b", ".*b", True),
    ],
)
def test_rules_that_follow_from_others(one: str, two: str, follows: bool) -> None:
    first, second = (regextree.Positions(regextree.parse(regex.encode())) for regex in (one, two))
    assert regextree.implies(first, second) is follows


FRAGMENTS = [
    "a",
    "b",
    " ",
    ": ",
    "m",
    "1",
    r"\d+",
    r"\S+",
    ".*",
    ".+",
    "[ab]+",
    "[^a]*",
    "(?:a|b )?",
    "(?:ab|a)",
    "a{2,3}",
]
REGEXES = st.builds(
    lambda start, parts, end: start + "".join(parts) + end,
    st.sampled_from(["^", "^", "^", ""]),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6),
    st.sampled_from(["", "", "$", r"\b"]),
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    regexes=st.lists(REGEXES, min_size=1, max_size=6),
    messages=st.lists(st.text("ab1m :", max_size=8), min_size=1, max_size=60),
    dense=st.booleans(),
)
def test_regexes_of_any_kind_count_the_same_by_both_ways(regexes: list[str], messages: list[str], dense: bool) -> None:
    """Rules of one program that begin alike, follow from one another, and share lines in any way."""
    rules = [
        {"metric": f"m{number}", "type": "counter", "program": ["app"], "match": regex}
        for number, regex in enumerate(regexes)
    ]
    loaded = RuleSet.from_document({"format": 1, "hash": "x", "rules": rules}, "test")
    data = text_of("3339", [(None, -70, "web1", "app[7]: ", message) for message in messages])
    fast, exact = (tally(loaded, 60, 65536) for _ in range(2))
    fast._dense["/var/log/x"] = dense
    assert fast._add_bulk("/var/log/x", data)
    exact.add_exactly("/var/log/x", data)
    assert (fast.open, fast.late, fast.lines, fast.newest) == (exact.open, exact.late, exact.lines, exact.newest)


def test_the_pieces_of_a_family() -> None:
    rule = Rule({"metric": "a.{x}.b.{y}", "match": "(?P<x>.)(?P<y>.)"}, 0)
    assert rule.pieces == ("a.", ".b.", "")
    assert rule.groups == ("x", "y")
