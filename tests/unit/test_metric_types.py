"""Sums, gauges, timings and families: exact, whatever the order, and no two names become one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logmetrics import buckets, leanjson, sketch, values
from logmetrics.errors import Fault
from logmetrics.rules import Rule, RuleSet, repeated
from logmetrics.tally import Families, Tally, Timeline
from world import World

NOW = 1_795_452_000
SLOT = NOW - 60
HEAD = b"2026-11-23T16:39:30Z h app[1]: "


def tally(*rules: dict[str, Any], accounts: tuple[bytes, ...] = (), saved: Any = None) -> Tally:
    document = {"format": 1, "hash": "x", "rules": [{"program": ["app"], **rule} for rule in rules]}
    families = Families(saved if saved is not None else {}, lambda name: name in accounts)
    timeline = Timeline([(0, RuleSet.from_document(document, "test"))])
    return Tally(60, 0, 0, timeline, families, lambda: float(NOW), 65_536)


def count(found: Tally, *messages: bytes) -> list[str]:
    found.add_lines("/var/log/x", b"".join(HEAD + message + b"\n" for message in messages))
    return buckets.points(found.open.get(SLOT, {}), [], SLOT)


# Numbers.


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12))
def test_a_decimal_is_read_and_written_exactly(number: Any) -> None:
    text = f"{number:f}"
    scaled = values.number(text.encode())
    assert scaled is not None
    assert Fraction(scaled, values.SCALE) == Fraction(text)
    assert Fraction(values.text(scaled)) == Fraction(text)


@pytest.mark.parametrize(
    ("text", "billionths"),
    [
        (b"1", 10**9),
        (b"-0.5", -5 * 10**8),
        (b".25", 250_000_000),
        (b"5.", 5 * 10**9),
        (b"+3", 3 * 10**9),
        (b"1e3", 10**12),
        (b"0.0000000014", 1),
        (b"0.0000000015", 2),
        (b" 7 ", 7 * 10**9),
    ],
)
def test_numbers(text: bytes, billionths: int) -> None:
    assert values.number(text) == billionths


@pytest.mark.parametrize("text", [b"", b".", b"-", b"x", b"1e999", b"nan", b"inf", b"1,5", b"1" * 65, b"0x1"])
def test_what_is_no_number(text: bytes) -> None:
    assert values.number(text) is None


# Names.


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_two_names_never_become_one(one: bytes, two: bytes) -> None:
    first, second = values.escape(one), values.escape(two)
    assert (first == second) == (one == two)
    for name in (first, second):
        assert name
        assert len(name) <= 130
        assert all(char.isascii() and (char.isalnum() or char in "-_") for char in name)
        assert name not in ("_other", "_invalid")


@pytest.mark.parametrize(
    ("name", "part"),
    [(b"root", "root"), (b"www_data", "www__data"), (b"john.doe", "john_2edoe"), (b"", "_empty"), (b"_", "__")],
)
def test_names(name: bytes, part: str) -> None:
    assert values.escape(name) == part


# Types.


def test_a_sum_is_exact_in_any_order() -> None:
    rule = {"metric": "m", "type": "sum", "match": r"^v=(?P<value>\S+)"}
    texts = [b"v=0.1"] * 10 + [b"v=1e9", b"v=-3.25", b"v=0.000000001"]
    random.Random(1).shuffle(texts)  # noqa: S311 - no secret
    assert count(tally(rule), *texts) == [f"m 999999997.750000001 {SLOT}\n"]


def test_a_gauge_is_its_newest_value_by_the_lines_own_time() -> None:
    rule = {"metric": "m", "type": "gauge", "match": r"^v=(?P<value>\S+)"}
    found = tally(rule)
    for second, value in ((30, 5), (45, 7), (31, 6)):
        found.add_lines("x", b"2026-11-23T16:39:%02dZ h app[1]: v=%d\n" % (second, value))
    assert buckets.points(found.open[SLOT], [], SLOT) == [f"m 7 {SLOT}\n"]


def test_a_timing_up_to_a_thousand_values_is_exact() -> None:
    rule = {"metric": "m", "type": "timing", "match": r"^t=(?P<value>\S+)"}
    order = list(range(1, 1001))
    random.Random(2).shuffle(order)  # noqa: S311 - no secret
    lines = count(tally(rule), *(b"t=%d" % value for value in order))
    assert [line.split()[:2] for line in lines] == [
        ["m.count", "1000"],
        ["m.min", "1"],
        ["m.max", "1000"],
        ["m.mean", "500.5"],
        ["m.p50", "500"],
        ["m.p95", "950"],
        ["m.p99", "990"],
    ]


@pytest.mark.parametrize("count_", [1, 2, 3, 19, 20, 21, 99, 100, 101])
def test_a_percentile_is_the_value_at_the_nearest_rank(count_: int) -> None:
    timing = sketch.new()
    for value in range(1, count_ + 1):
        sketch.add(timing, value, 1)
    assert sketch.percentiles(timing) == [math.ceil(p * count_ / 100) for p in (50, 95, 99)]


@given(st.lists(st.integers(-(10**12), 10**15), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_more_values_are_within_one_percent_in_any_order_and_any_parts(numbers: list[int], rng: random.Random) -> None:
    with patch.object(sketch, "EXACT", 20):
        check_parts(numbers, rng)


def check_parts(numbers: list[int], rng: random.Random) -> None:
    one = sketch.new()
    for number in numbers:
        sketch.add(one, number, 1)
    shuffled = numbers[:]
    rng.shuffle(shuffled)
    at = rng.randrange(len(numbers))
    left, right = sketch.new(), sketch.new()
    for part, own in ((left, shuffled[:at]), (right, shuffled[at:])):
        for number in own:
            sketch.add(part, number, 1)
    sketch.merge(left, right)
    if one[5] is not None:
        left[5].sort()
        one[5].sort()
    assert left == one
    ordered = sorted(numbers)
    assert one[1:5] == [len(numbers), sum(numbers), ordered[0], ordered[-1]]
    for p, found in zip((50, 95, 99), sketch.percentiles(one)):
        exact = ordered[math.ceil(p * len(numbers) / 100) - 1]
        assert abs(found - exact) <= abs(exact) * 0.0100001 + 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40), st.integers(0, 40))
def test_buckets_of_two_runs_make_that_of_one(events: list[tuple[str, int]], at: int) -> None:
    kinds = {"a": "counter", "b": "sum", "c": "timing"}

    def bucket(own: list[tuple[str, int]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in own:
            buckets.add(made, name, kinds[name], 1, value, value)
        return made

    # Through JSON, as the state keeps it.
    merged = leanjson.loads(leanjson.dumps(bucket(events[:at])))
    buckets.merge(merged, leanjson.loads(leanjson.dumps(bucket(events[at:]))))
    assert sorted(buckets.points(merged, ["z"], 60)) == sorted(buckets.points(bucket(events), ["z"], 60))


def test_a_value_that_is_no_number_is_said_and_does_not_count() -> None:
    found = tally({"metric": "m", "type": "sum", "match": r"^v=(?P<value>\S+)"})
    assert count(found, b"v=x", b"v=2") == [f"m 2 {SLOT}\n"]
    assert found.bad_values == {"m": 1}


# Families.

FAMILY = {"metric": "f.{user}", "match": r"^login (?P<user>.*)$", "max_series": 2}


def test_one_name_of_two_types_is_refused_at_once() -> None:
    """The check verb forbids it; a run must not fail each time such a line comes."""
    with pytest.raises(
        Fault, match=r"test: rule 2 \(logs.level\) is a counter, and an earlier one of that name a gauge"
    ):
        tally(
            {"metric": "logs.level", "type": "gauge", "match": "l=(?P<value>.+)"},
            {"metric": "logs.level", "match": "x"},
        )


@pytest.mark.parametrize("kind", ["sum", "gauge", "timing"])
@pytest.mark.parametrize("bulk_from", [0, 1 << 40])
def test_a_familys_name_that_another_type_has_leaves_the_interval_what_it_began_with(kind: str, bulk_from: int) -> None:
    plain = {"metric": "logs.x", "type": "counter", "match": "^x$"}
    family = {"metric": "logs.{name}", "type": kind, "match": "^(?P<name>[a-z])=(?P<value>[0-9]+)$"}
    with patch("logmetrics.tally.BULK_FROM", bulk_from):
        assert count(tally(plain, family), b"x", b"x=7", b"x") == [f"logs.x 2 {SLOT}\n"]
        found = tally(plain, family)
        count(found, b"x=7")
        first = count(found)
        assert count(found, b"x") == first != []


def test_names_beyond_the_cap_count_as_other_and_the_sum_stays_right() -> None:
    saved: dict[str, dict[str, int]] = {}
    lines = count(tally(FAMILY, saved=saved), b"login a", b"login b", b"login c", b"login a", b"login d")
    assert sorted(lines) == [f"f._other 2 {SLOT}\n", f"f.a 2 {SLOT}\n", f"f.b 1 {SLOT}\n"]
    # The next run knows who was admitted.
    again = count(tally(FAMILY, saved=saved), b"login d", b"login b")
    assert sorted(again) == [f"f._other 1 {SLOT}\n", f"f.b 1 {SLOT}\n"]


def test_admitted_names_send_zeros_and_are_freed_when_idle() -> None:
    saved: dict[str, dict[str, int]] = {}
    found = tally(FAMILY, saved=saved)
    count(found, b"login a", b"login b")
    rules = found.timeline.sets[0][1]
    assert found.families.names(rules) == ["f.a", "f.b"]
    found.families.free(SLOT + 1)
    assert found.families.names(rules) == []
    assert count(tally(FAMILY, saved=saved), b"login c") == [f"f.c 1 {SLOT}\n"]


def test_names_that_are_no_account_are_invalid_and_take_no_place() -> None:
    rule = {**FAMILY, "only": "accounts"}
    found = tally(rule, accounts=(b"root", b"web", b"db"))
    lines = count(found, b"login hunter2", b"login root", b"login x", b"login web", b"login db")
    assert sorted(lines) == [
        f"f._invalid 2 {SLOT}\n",
        f"f._other 1 {SLOT}\n",
        f"f.root 1 {SLOT}\n",
        f"f.web 1 {SLOT}\n",
    ]


def test_an_account_named_like_other_is_itself() -> None:
    assert sorted(count(tally(FAMILY), b"login _other", b"login _invalid")) == [
        f"f.__invalid 1 {SLOT}\n",
        f"f.__other 1 {SLOT}\n",
    ]


# Repeated messages.


def test_a_repeated_message_counts_as_often_for_every_rule() -> None:
    found = tally(
        {"metric": "c", "match": "^Failed"},
        {"metric": "s", "type": "sum", "match": r"v=(?P<value>\d+)$"},
        {"metric": "t", "type": "timing", "match": r"v=(?P<value>\d+)$"},
        {"metric": "f.{u}", "match": r"^(?P<u>\w+)"},
    )
    lines = count(found, b"message repeated 5 times: [ Failed v=3]")
    assert f"c 5 {SLOT}\n" in lines
    assert f"s 15 {SLOT}\n" in lines
    assert f"t.count 5 {SLOT}\n" in lines
    assert f"f.Failed 5 {SLOT}\n" in lines


@pytest.mark.parametrize(
    ("message", "times", "inner"),
    [
        (b"message repeated 5 times: [ a]", 5, b"a"),
        (b"message repeated 5 times: [ a", 5, b"a"),
        (b"message repeated 5 times: [ [a]]", 5, b"[a]"),
        (b"message repeated x times: [ a]", 1, None),
        (b"message repeated 9999999999 times: [ a]", 1, None),
        (b"message repeated 5 times: a", 1, None),
        (b"a message repeated 5 times: [ a]", 1, None),
    ],
)
def test_the_form_of_repeated_messages(message: bytes, times: int, inner: bytes | None) -> None:
    assert repeated(message) == (times, message if inner is None else inner)


def test_what_upstream_says_it_dropped_is_summed() -> None:
    found = tally({"metric": "c", "match": "^x"})
    for line in (
        b"2026-11-23T16:39:30Z h systemd-journald[1]: Suppressed 12 messages from ssh.service\n",
        b"2026-11-23T16:39:30Z h rsyslogd: imuxsock[pid 7]: 30 messages lost due to rate-limiting\n",
        b"2026-11-23T16:39:30Z h rsyslogd: imuxsock[pid 7]: begin to drop messages due to rate-limiting\n",
        b"2026-11-23T16:39:30Z h app[1]: Suppressed 1000 messages from me\n",
    ):
        found.add_lines("x", line)
    assert buckets.points(found.open[SLOT], [], SLOT) == [f"logs.parser.upstream_suppressed 42 {SLOT}\n"]


def test_a_probe_is_seen_at_once_and_counts_nowhere() -> None:
    found = tally({"metric": "c", "match": "^x"})
    found.add_lines("x", b"2026-11-23T16:39:30Z h logmetrics-probe: probe=123456\n")
    found.add_lines("x", b"2026-11-23T16:39:30Z h logmetrics-probe[7]: probe=1234567890\n")
    found.add_lines("x", b"2026-11-23T16:39:30Z h other: probe=5\n")
    assert found.probes == [123456]
    assert found.open == {}


def test_a_family_of_many_names_costs_no_more_a_line_than_one_of_few() -> None:
    """Counted, not timed: how often the admitted names are gone through."""

    class Names(dict):  # type: ignore[type-arg]  # Python 3.8 has no dict[str, int]
        looks = 0

        def __iter__(self) -> Iterator[str]:
            Names.looks += 1
            return super().__iter__()

    rule = Rule({"metric": "logs.x.{who}", "match": r"^by (?P<who>\w+)", "max_series": 5000}, 9)
    names = Names()
    families = Families({rule.metric: names}, lambda _: True)
    for number in range(6000):
        families.series(rule, rule.pattern.search(b"by n%d" % number), SLOT)
    assert len(names) == 5001  # and _other
    assert Names.looks <= 1


def test_a_flood_of_forged_probe_lines_hides_no_awaited_one(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    (world.state / "probe").write_text("111\n222\n")

    def probes(*numbers: int) -> list[str]:
        stamp = world.stamp(world.now)
        world.append(world.path, b"".join(f"{stamp} h logmetrics-probe: probe={n}\n".encode() for n in numbers))
        world.advance(60)
        world.run()
        return [line.split(" ")[1] for line in world.outputs[-1].splitlines() if "parser.probe" in line]

    assert probes(*range(1000, 2000), 222, *range(2000, 3000)) == ["222"]
    assert len(probes(*range(1000, 2000))) == 1  # and no flood of points either
    (world.state / "probe").unlink()
    assert probes(7) == ["7"]
