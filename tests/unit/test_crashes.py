"""A run killed at each of its calls, a power cut there, a full disk, damaged and foreign states: exact, or said."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from logmetrics import cli, config, count, diag, leanjson, shape, state
from logmetrics.errors import Busy, Fault, StateTooNew
from world import METRIC, RULES, START, World


def eventful(world: World) -> None:
    """Up to a run that reads a rotated file and a new one, finishes an interval, corrects another and resends."""
    world.path.touch()
    world.touch(world.path)
    world.run()
    world.advance(61)
    world.write(10)
    world.advance(61)
    world.run()
    world.write(7)
    world.advance(30)
    world.rotate("number", True, False)
    world.write(6)
    world.write(3, ago=70)
    world.advance(45)


def calls_of_a_run(tmp_path: Path) -> int:
    world = World(tmp_path / "count")
    eventful(world)
    world.run()
    return world.disk.calls


@pytest.mark.parametrize("power", [False, True])
def test_a_run_killed_at_any_call_is_repeated_exactly(tmp_path: Path, power: bool) -> None:
    calls = calls_of_a_run(tmp_path)
    assert calls > 15
    for at in range(1, calls + 1):
        world = World(tmp_path / f"{power}-{at}")
        eventful(world)
        assert not world.run(kill_at=at, power=power), at
        world.advance(3)
        world.settle()
        assert world.stored() == world.expected(), at
        assert world.lost == 0, at


@pytest.mark.parametrize("power", [False, True])
def test_killed_twice_in_a_row_at_any_call(tmp_path: Path, power: bool) -> None:
    calls = calls_of_a_run(tmp_path)
    for at in range(1, calls + 1, 3):
        for again in range(2, calls + 1, 4):
            world = World(tmp_path / f"{power}-{at}-{again}")
            eventful(world)
            world.run(kill_at=at, power=power)
            world.advance(3)
            world.run(kill_at=again, power=power)
            world.settle()
            assert world.stored() == world.expected(), (at, again)


def long_ago(world: World) -> None:
    """An interval that is known from the history alone, as it was sent for the last time."""
    eventful(world)
    for _ in range(14):
        world.run()
        world.advance(61)


def test_an_old_interval_is_corrected_after_a_power_cut(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    long_ago(world)
    world.disk.power_cut()
    world.write(5, ago=world.now - START - 70)
    world.settle()
    assert world.stored() == world.expected()


def test_a_correction_killed_at_any_call_is_made_once(tmp_path: Path) -> None:
    calls = calls_of_a_run(tmp_path) + 5
    for at in range(1, calls + 1):
        world = World(tmp_path / str(at))
        long_ago(world)
        world.write(5, ago=world.now - START - 70)
        world.run(kill_at=at)
        world.settle()
        assert world.stored() == world.expected(), at


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    world.disk.full = True
    for _ in range(3):
        world.run()
        assert "logs.script_error 1" in world.outputs[-1]
        world.write(4)
        world.advance(61)
    assert any("No space left" in fault for fault in world.faults)
    world.disk.full = False
    world.settle()
    assert world.stored() == world.expected()
    assert "logs.script_error 0" in world.outputs[-1]


# Generations of the state.


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "bit":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    elif how == "zeros":
        path.write_bytes(bytes(len(data)))
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["empty", "cut", "bit", "zeros", "gone"])
def test_one_damaged_generation_costs_nothing(tmp_path: Path, how: str) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    world.run()
    damage(world.state / "count.state", how)
    world.write(3)
    world.advance(61)
    world.run()
    # The good generation was not pushed out by the damaged one.
    damage(world.state / "count.state", "bit")
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize("word", ["/a\0b", "/a\ud800"])
def test_what_no_system_takes_as_a_path_is_no_state(tmp_path: Path, word: str) -> None:
    """Under a right checksum it would end every run from then on."""
    world = World(tmp_path / "w")
    eventful(world)
    world.run()
    content = state.Store(str(world.state), "count").load()[0]
    assert content is not None and shape.is_count(content)
    cursor = content["sources"][str(world.path)]
    place = cursor["paths"][str(world.path)]
    for changed in (
        {**cursor, "paths": {word: place}},
        {**cursor, "paths": {str(world.path): {**place, "live": {**place["live"], "path": word}}}},
        {**cursor, "paths": {str(world.path): {**place, "olddirs": [word]}}},
        {**cursor, "twins": [word]},
        {**cursor, "carried": {word: 0}},
        {**cursor, "cursor": word},
    ):
        assert not shape.is_count({**content, "sources": {str(world.path): changed}})


def test_both_damaged_is_said_and_counting_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    world.run()
    damage(world.state / "count.state", "bit")
    damage(world.state / "count.state.old", "zeros")
    world.run()
    assert world.lost == 1
    assert "logs.parser.lost 1" in world.outputs[-1]
    world.advance(61)
    world.write(5)
    minute = int(world.now) // 60 * 60
    world.settle()
    assert world.stored()[minute] == world.expected()[minute] == 4


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    newer = b"".join(state.encode({"anything": 1}, form=state.FORMAT + 1))
    (world.state / "count.state").write_bytes(newer)
    with pytest.raises(StateTooNew, match="newer"):
        count.Run(world.settings, lambda: world.now).go(lambda _: None)
    path = tmp_path / "config.json"
    path.write_bytes(
        leanjson.dumps(
            {
                "format": 1,
                "state_dir": str(world.state),
                "rules": str(world.rules_path),
                "sources": world.settings.sources,
            }
        )
    )
    assert cli.main(["count", "--config", str(path)]) == 0
    out = capfd.readouterr().out
    assert out.startswith("logs.script_error 1 ")
    assert out.count("\n") == 1
    assert (world.state / "count.state").read_bytes() == newer


def test_two_runs_at_once(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    handle = os.open(world.state / "count.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Busy, match="another run"):
        count.Run(world.settings, lambda: world.now).go(lambda _: None)
    os.close(handle)
    world.settle()
    assert world.stored() == world.expected()


def test_nobody_reads_the_output(tmp_path: Path) -> None:
    """Telegraf stopped the run: the state is not saved, and the next run prints the points."""
    world = World(tmp_path / "w")
    eventful(world)

    def broken(_: bytes) -> None:
        raise BrokenPipeError

    run = count.Run(world.settings, lambda: world.now)
    with pytest.raises(BrokenPipeError):
        run.go(broken)
    run.store.unlock()
    world.settle()
    assert world.stored() == world.expected()


# Rules.


def rules(metric: str) -> bytes:
    return leanjson.dumps({"format": 1, "hash": metric, "rules": [{**RULES["rules"][0], "metric": metric}]})


def test_new_rules_take_over_at_an_intervals_start_and_late_lines_go_to_the_old(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(61)
    world.write(5)
    world.rules_path.write_bytes(rules("logs.test.new"))
    world.write(5)
    world.run()
    world.write(5)  # the same minute still
    world.advance(61)
    world.write(5)
    world.advance(61)
    world.run()
    world.write(5, ago=122)
    world.settle()
    new = {at: int(value) for (name, at), value in world.store().items() if name == "logs.test.new" and value != "0"}
    assert world.stored() == {START + 60: 16}
    assert new == {START + 120: 4}


def test_broken_rules_stop_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    for broken in (
        b"{",
        b"[]",
        leanjson.dumps({"format": 2, "rules": []}),
        leanjson.dumps({"format": 1, "rules": [{}]}),
    ):
        world.rules_path.write_bytes(broken)
        world.write(2)
        world.run()
        assert "last good rules" in world.faults[-1]
        assert "logs.script_error 1" in world.outputs[-1]
    world.rules_path.unlink()
    world.settle()
    assert world.stored() == world.expected()


def test_a_regex_that_python_does_not_take_is_set_aside(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    bad = {"metric": "logs.test.bad", "type": "counter", "program": ["app"], "match": "(unclosed"}
    world.rules_path.write_bytes(leanjson.dumps({**RULES, "rules": [bad, *RULES["rules"]]}))
    eventful(world)
    world.settle()
    assert world.stored() == world.expected()
    assert any("logs.test.bad" in fault for fault in world.faults)


def test_without_rules_and_without_state_there_is_one_clear_line(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.rules_path.unlink()
    with pytest.raises(Fault, match=r"rules\.json: cannot be read: .*; run the role"):
        count.Run(world.settings, lambda: world.now).go(lambda _: None)


# Configuration.

GOOD = {"format": 1, "sources": [{"type": "journal"}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"intervall": 60}, 'has no key "intervall"'),
        ({"interval": "60"}, '"interval" must be a whole number from 1'),
        ({"interval": True}, '"interval" must be a whole number'),
        ({"late": "never"}, '"late" must be correct or next'),
        ({"state_dir": "state"}, '"state_dir" must be an absolute path'),
        ({"sources": []}, '"sources" must be a list such as'),
        ({"sources": [{"type": "pipe"}]}, "must have"),
        ({"sources": [{"type": {}}]}, "must have"),
        ({"sources": [{"type": "file", "path": "x"}]}, "needs an absolute path"),
        ({"sources": [{"type": "file", "path": "/x\ud800"}]}, "needs an absolute path"),
        ({"state_dir": "/x\ud800"}, '"state_dir" must be an absolute path'),
        ({"sources": [{"type": "file", "path": "/x", "pth": "/y"}]}, 'no key "pth"'),
        ({"sources": [{"type": "journal"}, {"type": "journal"}]}, "named twice"),
        ({"format": 2}, "format 2 is newer"),
        ({"loki": {"url": "ftp://x", "labels": {"a": "b"}}}, '"loki.url" must be a URL'),
        ({"loki": {}}, '"loki.labels" is missing'),
    ],
)
def test_each_fault_of_the_configuration_is_one_line(change: dict[str, object], words: str) -> None:
    with pytest.raises(Fault) as caught:
        config.parse({**GOOD, **change}, "/etc/logmetrics/config.json")
    assert words in str(caught.value)
    assert str(caught.value).startswith("/etc/logmetrics/config.json: ")
    assert "\n" not in str(caught.value)


def test_a_good_configuration_has_the_documented_defaults() -> None:
    found = config.parse(GOOD, "x")
    assert (found.interval, found.late, found.grace, found.resend, found.keep_days) == (60, "correct", 2, True, 3)
    assert METRIC


def copies(world: World) -> set[str]:
    return {path.name for path in world.state.glob("rules-*")}


def test_copies_of_rule_sets_go_when_no_generation_needs_them(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    world.run()
    (first,) = copies(world)
    (world.state / "rules-0000.json.new").write_bytes(b"left by a run that was cut off")
    for name in ("logs.test.a", "logs.test.b", "logs.test.c"):
        # Replaced before its first interval.
        world.rules_path.write_bytes(rules(name))
        world.run()
    # What the generation before needs is there: one damaged generation costs nothing.
    damage(world.state / "count.state", "bit")
    world.write(5)
    world.run()
    for _ in range(3):
        world.advance(61)
        world.run()
    kept = copies(world)
    assert len(kept) == 2
    assert first in kept
    assert not [fault for fault in world.faults if "rules" in fault]


def test_a_forgotten_rule_set_is_kept_for_the_generation_before(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    eventful(world)
    world.settings.keep_days = 0.05
    world.run()
    world.rules_path.write_bytes(rules("logs.test.new"))
    world.run()
    for _ in range(120):
        damaged = (world.state / "count.state").read_bytes()
        damage(world.state / "count.state", "bit")
        world.run()  # from the generation before
        (world.state / "count.state").write_bytes(damaged)
        world.advance(61)
        world.run()
    assert world.faults == []
    assert len(copies(world)) == 1


def test_a_word_for_the_operator_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    diag.stderr(["a\nb\x1b[2J\u2028: gone", "plain é"])
    assert capfd.readouterr().err == "logmetrics: a\\nb\\x1b[2J\\u2028: gone\nlogmetrics: plain é\n"


def test_an_hour_that_a_clock_leapt_over_is_no_part_of_the_last_hour(tmp_path: Path) -> None:
    """What was finished before the leap is sent again after Telegraf died with it."""
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(5)
    for _ in range(2):
        world.advance(60)
        world.run()
    uptime = world.uptime
    world.now += 4000
    world.run()
    for _ in range(2):
        world.advance(60)
        world.run()
    world.telegraf_dies(uptime)
    assert not world.stored()
    world.settle()
    assert world.stored() == world.expected()
