"""The regex that goes over a whole buffer: real rules and lines, what the exact way gets, what is kept on disk."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from logmetrics import codes, lines, regextree, sweep, sweepguard, tally
from logmetrics.compile import DEFAULT_PACKS_DIR, document, read_packs
from logmetrics.rules import RuleSet
from logmetrics.rulespec import pack_names
from logmetrics.tally import Families, Tally, Timeline

NOW = 1_795_452_017.5
SOURCE = "/var/log/syslog"
PACKS = read_packs(pack_names([DEFAULT_PACKS_DIR]), [DEFAULT_PACKS_DIR])
RULES = [rule for pack in PACKS for rule in pack.rules if rule.program is not None]


def rule_set(kept: codes.Codes | None = None, name: str = "") -> RuleSet:
    return RuleSet.from_document(document(RULES), "packs", kept, name)


def tally_of(rules: RuleSet) -> Tally:
    return Tally(60, 0, 0, Timeline([(0, rules)]), Families({}, lambda _: True), lambda: NOW, 65536)


def messages() -> list[tuple[bytes, bytes]]:
    """(program, message) of every test line of the packs."""
    found = []
    for rule in RULES:
        for test in rule.tests:
            line = test.line.encode()
            _, program, start = lines.split(line, NOW)
            if program is not None:
                found.append((program, line[start:]))
    return found


def log(shape: str, number: int, seed: int) -> bytes:
    """Lines of all programs with their own and with others' messages, whole and cut, over some minutes."""
    rng = random.Random(seed)  # noqa: S311 - lines, no secret
    pairs = messages()
    programs = sorted({program for program, _ in pairs})
    out = []
    for at in sorted(rng.uniform(NOW - 200, NOW) for _ in range(number)):
        program, message = rng.choice(pairs)
        if rng.random() < 0.2:
            program = rng.choice(programs)
        if rng.random() < 0.2:
            message = message[: rng.randrange(len(message) + 1)]
        if rng.random() < 0.1:
            message = message + b" " + rng.choice(pairs)[1]
        if shape == "3164":
            stamp = time.strftime("%b %e %H:%M:%S", time.localtime(at)).encode()
        else:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)).encode() + b".%06d+00:00" % (at % 1 * 1e6)
        tag = rng.choice([b"[17]: ", b"[4242]: ", b": "])
        out.append(b"%b web%d %b%b%b\n" % (stamp, rng.randrange(3), program, tag, message))
    return b"".join(out)


@pytest.mark.parametrize("shape", ["3164", "3339"])
@pytest.mark.parametrize("stretch", [0, 1, tally.STRETCH])
def test_packs_count_the_same_by_both_ways(shape: str, stretch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one match over many lines (stretch 0), and by one a line."""
    monkeypatch.setattr(tally, "STRETCH", stretch)
    monkeypatch.setattr(tally, "DENSE", 0 if stretch else 1)
    rules = rule_set()
    fast, exact = tally_of(rules), tally_of(rules)
    for seed in range(4):
        data = log(shape, 3000, seed)
        assert fast._add_bulk(SOURCE, data)
        exact.add_exactly(SOURCE, data)
    assert fast.open == exact.open
    assert sum(len(bucket) for bucket in exact.open.values()) > 200
    assert (fast.lines, fast.newest) == (exact.lines, exact.newest)


def test_plain_counters_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that only plain counters count, in the usual form, are not matched one by one."""
    rules = rule_set()
    plain = {rule.number for rule in rules.rules if rule.type == "counter" and not rule.groups}
    view = rules.view(SOURCE)
    slow: list[bytes] = []
    monkeypatch.setattr(Tally, "_add_odd", lambda _, source, line, now: slow.append(line))
    tally_of(rules)._add_bulk(SOURCE, log("3339", 3000, 9))
    assert slow
    plainly: Counter[bytes | None] = Counter()
    for line in slow:
        _, program, start = lines.split(line, NOW)
        hit = {rule.number for rule in view.rules_for(program) if rule.pattern.search(line[start:])}
        repeated = line[start:].startswith(b"message repeated ")
        plainly[program] += bool(hit and not hit - plain and not repeated)
    # Only where a rule may share a line with many others (any error, any oops) are some matched one by one.
    assert {program for program, number in plainly.items() if number} <= {
        b"kernel",
        b"kubelet",
        b"dockerd",
        b"containerd",
    }
    assert sum(plainly.values()) < 3000 * 0.08


def test_a_guard_looks_once_at_what_follows_many_equal_bytes() -> None:
    """From the last of them alone: from each, a line of 64 KiB of them would take minutes."""
    guard = sweepguard.guard([regextree.parse(rb"^a .*;[^ ]* end")])
    assert guard is not None and re.match(guard, b"a b;c;d end")
    begin, _, behind = guard.partition(b";")
    assert begin == b"a .*"
    assert re.match(behind, b"d end") and not re.match(behind, b"c;d end")


def test_no_regex_goes_beyond_its_line() -> None:
    """A rule that would swallow line ends in a text of many lines."""
    document = {
        "format": 1,
        "rules": [
            {"metric": "m.a", "program": ["app"], "match": r"^\[[^]]+\] \D+end"},
            {"metric": "m.b", "program": ["app"], "match": r"(?s)start.*\s+stop"},
            {"metric": "m.c", "program": ["app"], "match": r"^x\W*y$"},
        ],
    }
    rules = RuleSet.from_document(document, "test")
    bodies = [b"[open", b"x] end", b"start", b"stop", b"x", b"y", b"[a] b end", b"start  stop", b"x--y", b"xy", b"xy "]
    data = b"".join(
        b"2026-11-23T12:00:0%d.000000+00:00 w app[1]: %b\n" % (at % 10, body) for at, body in enumerate(bodies)
    )
    fast, exact = tally_of(rules), tally_of(rules)
    assert fast._add_bulk("/x", data)
    exact.add_exactly("/x", data)
    assert fast.open == exact.open
    assert next(iter(exact.open.values())) == {"m.a": 1, "m.b": 1, "m.c": 2}


HEADER = b"2026-11-23T12:00:00.000000+00:00 w "


@pytest.mark.parametrize(
    ("lines_before", "counted"),
    [
        # An offset in the host's name: the stamp is the shorter one.
        (b"2026-11-23T12:00:00Z abcde+00:00 app[1]: Failed\n", 1),
        (b"2026-11-23T12:00:00,000000+00:00 w app[1]: Failed\n", 1),
        (b"2026-11-23T12:00:xx.000000+00:00 w app[1]: Failed\n", 0),
        (b"2026-11-23T12:00:0000000000+00:00 w app[1]: Failed\n", 0),
        # Cut off in the header, at any place.
        *((HEADER[:at] + b"\n", 0) for at in range(len(HEADER))),
        *((HEADER[:at] + b"\n" + HEADER[at:] + b"app[1]: Failed\n", 0) for at in range(1, len(HEADER))),
        *((HEADER[:at] + b"\n" + HEADER + b"app[1]: Failed\n", 1) for at in range(len(HEADER))),
        *((HEADER + b"app[1]: "[:at] + b"\n" + HEADER + b"app[1]: Failed\n", 1) for at in range(8)),
        (HEADER + b"app\nx: Failed\n", 0),
        (HEADER + b"app\n1795452000 w app: Failed\n", 0),
        (HEADER + b"app[1]\nNov 23 12:00:00 w app: Failed\n", 1),
        (HEADER + b"app[1]: other\n", 0),
    ],
)
def test_torn_headers(lines_before: bytes, counted: int) -> None:
    """What is passed over for its message has no looser header than the exact way finds."""
    rules = RuleSet.from_document(
        {"format": 1, "rules": [{"metric": "m", "program": ["app"], "match": "^Failed"}]}, "test"
    )
    usual = HEADER + b"app[1]: Failed\n"
    data = usual + lines_before + usual + lines_before
    fast, exact = tally_of(rules), tally_of(rules)
    assert fast._add_bulk("/x", data)
    exact.add_exactly("/x", data)
    assert fast.open == exact.open and fast.late == exact.late
    assert sum(one["m"] for one in fast.open.values()) == 2 + 2 * counted
    assert fast.lines == exact.lines == data.count(b"\n")


def test_a_line_that_reads_like_a_piece_is_none() -> None:
    rules = RuleSet.from_document(
        {"format": 1, "rules": [{"metric": "m", "program": ["app"], "match": "^Failed"}]}, "test"
    )
    first = b"2026-11-23T12:00:00.000000+00:00 w app[1]: Failed\n"
    form = sweep.form_of(first[:-1], 60)
    assert form is not None
    one = sweep.Sweep(rules.view("/x"), form, rules.codes, "")
    counted = one.of_any_minute(b"\n" + first, 0)
    assert counted is not None
    piece = next(iter(counted[0]))[1]
    assert piece in b"Failed"
    fast = tally_of(rules)
    assert fast._add_bulk("/x", first + piece + b"\n\n" + piece + b"\n" + first)
    assert list(fast.open.values()) == [{"m": 2}]
    assert fast.lines == 5


@pytest.mark.parametrize(("length", "most", "longer"), [(50, 50, False), (51, 50, True), (10, 50, False)])
def test_longer_lines_are_seen(length: int, most: int, longer: bool) -> None:
    short = b"a" * 20 + b"\n"
    for before in range(6):
        for after in range(6):
            assert tally._has_longer_line(short * before + b"b" * length + b"\n" + short * after, most) is longer


def test_compiled_regexes_are_kept(tmp_path: Path) -> None:
    data = log("3339", 300, 1)

    def run() -> tuple[int, object]:
        kept = codes.Codes(str(tmp_path))
        rules = rule_set(kept, "x")
        one = tally_of(rules)
        assert one._add_bulk(SOURCE, data)
        kept.save()
        return kept.compiled, one.open

    compiled, counts = run()
    assert compiled > 1
    assert run() == (0, counts)
    path = tmp_path / codes.NAME
    good = path.read_bytes()
    for spoilt in (
        b"",
        good[:-1],
        good[:200] + b"x" + good[201:],
        good.replace(b" cpython ", b" other ", 1),
        b"\n" * 9,
    ):
        path.write_bytes(spoilt)
        assert run() == (compiled, counts)
        assert path.read_bytes() == good


def test_kept_regexes_are_those_of_re(tmp_path: Path) -> None:
    for text in (rb"^(?P<a>x+)(?:y|z)$", rb"(?i)[a-f]+\d", rb"\bend\Z"):
        kept = codes.Codes(str(tmp_path))
        kept.pattern(text)
        kept.save()
        again = codes.Codes(str(tmp_path))
        found, plain = again.pattern(text), re.compile(text)
        assert again.compiled == 0
        assert (found.groupindex, found.flags, found.groups) == (plain.groupindex, plain.flags, plain.groups)
        for sample in (b"xxy", b"xz", b"ABC7", b"the end", b"ends", b""):
            mine, theirs = found.search(sample), plain.search(sample)
            assert (mine and (mine.span(), mine.groups())) == (theirs and (theirs.span(), theirs.groups()))
