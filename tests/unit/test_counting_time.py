"""Times and backlogs as hosts have them: odd stamps, clocks that jump, late lines and many series at once."""

from __future__ import annotations

import builtins
import errno
import json
import time
from pathlib import Path
from typing import Any

import pytest
from logmetrics import count
from logmetrics.history import History
from logmetrics.lines import split
from logmetrics.rules import RuleSet
from logmetrics.state import decode
from logmetrics.tally import Families, Tally, Timeline
from world import METRIC, START, World

ACCESS = b'[22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200'
ACCESS_AT = 1_795_341_600


def test_an_access_log_may_begin_with_a_letter() -> None:
    for host in (b"1.2.3.4", b"::1", b"fd00::7", b"2001:db8::1", b"example.com:443 1.2.3.4"):
        assert split(host + b" - - " + ACCESS, START) == ((ACCESS_AT, 0, 1_000_000_000, 0), None, 0), host


def test_an_access_log_stamp_makes_no_syslog_header() -> None:
    rules = RuleSet.from_document(
        {"rules": [{"metric": METRIC, "type": "counter", "program": ["app"], "match": "^event"}], "format": 1}, "test"
    )
    good = time.strftime("%b %e %H:%M:%S", time.localtime(START - 30)).encode() + b" host app[1]: event\n"
    data = good * 300 + b"Xxx 21 09:00:00 host app[1]: event " + ACCESS + b"\n" + good
    counts = []
    for bulk in (True, False):
        tally = Tally(60, 0, 0, Timeline([(0, rules)]), Families({}, lambda _: True), lambda: float(START), 65536)
        if bulk:
            assert tally._add_bulk("/x", data)
        else:
            tally.add_exactly("/x", data)
        counts.append(tally.open)
    assert counts[0] == counts[1] == {START - 60: {METRIC: 301}}


def test_a_number_ends_no_counting_in_a_log_without_stamps(tmp_path: Path) -> None:
    rules = {"format": 1, "hash": "x", "rules": [{"metric": METRIC, "type": "counter", "match": "^event"}]}
    # One of another decade, and one of two months ago.
    for number in (1_000_000_000, START - 60 * 86_400, 9_999_999_999):
        world = World(tmp_path / str(number))
        world.rules_path.write_text(json.dumps(rules))
        world.path.touch()
        world.run()
        world.advance(60)
        for _ in range(3):
            world.append(world.path, b"event\n" * 5)
            world.run()
            world.append(world.path, f"{number} what somebody typed\n".encode() + b"event\n" * 5)
            world.advance(60)
            world.run()
        world.settle()
        assert sum(world.stored().values()) == 30


def counts_what_has_no_stamp(world: World) -> None:
    rules = {"format": 1, "hash": "x", "rules": [{"metric": METRIC, "type": "counter", "match": "^ +event"}]}
    world.rules_path.write_text(json.dumps(rules))
    world.path.touch()
    world.run()


def test_a_line_without_a_stamp_belongs_to_the_one_before_it_in_a_backlog(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    counts_what_has_no_stamp(world)
    world.advance(60)
    world.run()
    world.advance(5)
    world.append(world.path, world.line(world.now, "noise") + b"  event\n")
    world.advance(1800)
    world.settle()
    assert world.stored() == {START + 60: 1}


@pytest.mark.parametrize("late", ["correct", "next"])
@pytest.mark.parametrize("days", [1, 30])
def test_a_clock_that_was_ahead_stops_no_counting(tmp_path: Path, late: str, days: int) -> None:
    world = World(tmp_path / "w", late=late)
    world.path.touch()
    world.run()
    world.advance(60)
    for _ in range(3):
        world.write(10)
        world.advance(60)
        world.run()
    world.advance(days * 86_400)
    world.run()
    world.run()
    # Then three minutes are gone through a second time: nothing of the first time may go.
    world.advance(-days * 86_400)
    for _ in range(5):
        world.write(10)
        world.advance(60)
        world.run()
    world.advance(-180)
    for _ in range(10):
        world.write(10)
        world.advance(60)
        world.run()
    world.settle()
    assert sum(world.stored().values()) == sum(world.expected().values())
    if late == "correct":
        assert world.stored() == world.expected()


def test_a_state_begun_by_a_clock_that_was_ahead_counts(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.advance(30 * 86_400)
    world.run()
    world.advance(-30 * 86_400)
    world.run()
    world.advance(60)
    world.write(10)
    world.settle()
    assert world.stored() == world.expected()


def test_a_new_rule_set_of_a_clock_that_was_ahead_comes_into_force(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(30 * 86_400)
    world.rules_path.write_text(
        json.dumps({"format": 1, "hash": "x", "rules": [{"metric": METRIC, "type": "counter", "match": "event"}]})
    )
    world.run()
    world.advance(-30 * 86_400)
    world.run()
    world.advance(120)
    world.append(world.path, world.stamp(world.now).encode() + b" host other: event\n")
    world.settle()
    assert sum(world.stored().values()) == 1


def test_a_clock_that_leaps_deletes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(10)
    world.advance(61)
    world.run()
    kept = sorted(world.state.glob("points-*"))
    assert kept
    world.advance(30 * 86_400)
    world.run()
    world.advance(600)
    world.run()
    assert set(kept) <= set(world.state.glob("points-*"))
    # It was right: an hour later the old days go.
    world.advance(3600)
    world.run()
    assert not set(kept) & set(world.state.glob("points-*"))


def with_a_long_past(root: Path) -> World:
    """Three hours of finished intervals."""
    world = World(root)
    world.path.touch()
    world.run()
    for _ in range(180):
        world.advance(60)
        world.write(1)
        world.run()
    return world


def test_late_lines_of_many_intervals_cost_one_look_at_each_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_a_long_past(tmp_path / "w")
    looks: list[str] = []
    lines = History._lines
    monkeypatch.setattr(History, "_lines", lambda self, day: looks.append(day) or lines(self, day))
    for minute in range(20, 170):
        world.write(2, ago=minute * 60)
    world.run()
    assert looks
    assert len(looks) == len(set(looks))
    world.settle()
    assert world.stored() == world.expected()


def test_more_late_lines_than_a_run_may_print_wait_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_a_long_past(tmp_path / "w")
    monkeypatch.setattr(count, "MAX_POINTS", 50)
    for minute in range(20, 170):
        world.write(2, ago=minute * 60)
    for _ in range(6):
        world.run()
        corrected = {line.split()[2] for line in world.outputs[-1].splitlines() if line.startswith(METRIC)}
        assert len(corrected) <= 2 * 50 + 10  # those of this run and, again, those of the one before
        world.advance(10)
    world.settle()
    assert world.stored() == world.expected()


def test_a_backlog_of_many_series_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "MAX_POINTS", 40)
    world = World(tmp_path / "w")
    series = [{"metric": f"logs.many.m{number}", "type": "counter", "match": f"^x{number}"} for number in range(21)]
    world.rules_path.write_text(json.dumps({"format": 1, "hash": "x", "rules": series}))
    world.path.touch()
    world.run()
    world.advance(1200)
    for _ in range(12):
        world.advance(60)
        world.run()
    newest = max(int(line.split()[2]) for line in world.outputs[-1].splitlines() if line.startswith("logs.many"))
    assert newest == world.now // 60 * 60 - 120


def decoded(world: World) -> dict[str, Any]:
    found: dict[str, Any] = decode((world.state / "count.state").read_bytes())
    return found


def points_of(output: str) -> list[int]:
    return [int(line.split()[2]) for line in output.splitlines() if line.startswith(METRIC)]


def test_a_clock_that_is_behind_at_a_restart_sends_the_last_hour_alone(tmp_path: Path) -> None:
    world = with_a_long_past(tmp_path / "w")
    world.telegraf_dies(1800)
    world.advance(-86_400)
    world.run()
    assert 60 <= len(points_of(world.outputs[-1])) <= 65
    world.advance(86_400)
    world.settle()
    # What was open went to the interval that the wrong clock showed; all the rest is where it was.
    moved = dict(world.expected().items() - world.stored().items())
    assert sum(world.stored().values()) == sum(world.expected().values())
    assert len(moved) <= 2


def test_what_was_finished_before_the_clock_was_set_back_is_sent_again_after_a_restart(tmp_path: Path) -> None:
    world = with_a_long_past(tmp_path / "w")
    world.advance(-90)
    for _ in range(3):
        world.run()
        world.advance(1)
    world.telegraf_dies(1800)
    world.settle()
    assert sum(world.stored().values()) == sum(world.expected().values())


def test_after_a_restart_no_more_is_sent_at_once_than_a_run_may_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_a_long_past(tmp_path / "w")
    monkeypatch.setattr(count, "MAX_POINTS", 20)
    world.telegraf_dies(1800)
    for _ in range(8):
        world.advance(10)
        world.run()
        assert len(points_of(world.outputs[-1])) <= 20
    world.settle()
    assert world.stored() == world.expected()


def test_an_interval_is_sent_once_it_is_over_and_not_before(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(5)
    for seconds in (10, 50, world.settings.grace):  # the last lines of an interval may be a moment late
        assert START + 60 not in points_of(world.outputs[-1])
        world.advance(seconds)
        world.run()
    assert START + 60 in points_of(world.outputs[-1])


@pytest.mark.parametrize("kept", [count.KEPT_POINTS, 0])
def test_a_point_is_sent_by_the_next_run_and_after_ten_minutes_again_and_then_no_more(
    tmp_path: Path, kept: int
) -> None:
    """A store takes each as the same write to the same slot; what Telegraf lost in between is made good."""
    world = World(tmp_path / "w")
    world.kept = kept  # of a backlog, what is to be sent again is in the history alone
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(5)
    sent = []
    for run in range(16):
        world.advance(60)
        world.run()
        if START + 60 in points_of(world.outputs[-1]):
            sent.append(run)
    assert sent == [1, 2, 11]  # run 0 comes within the moment that is waited for late lines


def test_a_line_without_a_stamp_belongs_to_the_line_before_it_of_the_run_before(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    counts_what_has_no_stamp(world)
    world.advance(119)
    world.append(world.path, world.line(world.now, "noise"))
    world.run()
    world.advance(3)
    world.append(world.path, b"  event\n")
    world.settle()
    assert world.stored() == {START + 60: 1}


def test_what_a_backlog_sends_again_is_bounded_in_the_state_and_in_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intervals of five days, some older than the history is kept otherwise."""
    world = World(tmp_path / "w")
    monkeypatch.setattr(count, "MAX_POINTS", 40)
    world.kept = 100
    world.path.touch()
    world.run()
    before = world.now
    for _ in range(300):
        world.write(5)
        world.advance(1440)
    while decoded(world)["closed"] < before + 5 * 86_400:
        world.run()
        world.advance(1)
    state = decoded(world)
    assert sum(len(one[3]) + 1 for one in state["recent"]) <= 100
    assert len(state["recent"]) + len(state["waiting"]) > 3 * 1440
    world.advance(700)
    again: set[int] = set()
    for _ in range(400):
        world.run()
        points = [at for at in points_of(world.outputs[-1]) if at >= before]
        assert len(points) <= 40 + 10
        again.update(points)
        world.advance(1)
    assert again >= {at for at, number in world.expected().items() if number}
    assert not decoded(world)["waiting"]
    world.settle()
    assert world.stored() == world.expected()


@pytest.mark.parametrize("files", [1, 2])
def test_a_backlog_is_read_no_further_than_what_waits_to_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Else all of it would be in memory, and in the state; no file waits for another for ever."""
    monkeypatch.setattr(count, "MAX_POINTS", 20)
    monkeypatch.setattr(count, "MOST_OPEN", 30)
    world = World(tmp_path / "w", chunk=400, pattern="*.log")
    paths = [world.logs / f"{name}.log" for name in "ab"[:files]]
    for path in paths:
        path.touch()
    world.run()
    for _ in range(200):
        world.advance(60)
        for path in paths:
            world.append(path, world.log.line(world.now) + world.log.line(world.now))
    most = runs = 0
    while runs < 400:
        world.run()
        most = max(most, len(decoded(world)["open"]))
        world.advance(1)
        runs += 1
        if "logs.parser.lag_bytes 0 " in world.outputs[-1] and len(decoded(world)["open"]) < 3:
            break
    assert runs < 300
    assert most < 30 + 20  # and a piece of the log
    world.settle()
    assert world.stored() == world.expected()


def test_a_correction_waits_for_a_history_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails for a moment: said, and put right by the next run."""
    world = with_a_long_past(tmp_path / "w")
    world.write(5, ago=world.now - START - 70)
    real = builtins.open

    def failing(path: Any, *arguments: Any, **named: Any) -> Any:
        if "/points-" in str(path):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(builtins, "open", failing)
    world.telegraf += 1
    world.run()
    monkeypatch.setattr(builtins, "open", real)
    assert "logs.script_error 1" in world.outputs[-1]
    assert any("points-" in fault and "check the disk" in fault for fault in world.faults)
    world.settle()
    assert world.stored() == world.expected()
