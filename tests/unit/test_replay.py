"""`replay` prints what was finished, as it was sent last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from logmetrics import cli, leanjson, replay
from logmetrics.errors import Fault
from world import METRIC, START, World


@pytest.fixture
def counted(tmp_path: Path) -> tuple[World, str]:
    """Three minutes: 8 events, then 4 and 4 more that came late, then none; and a configuration file."""
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(61)
    world.write(10)
    world.advance(60)
    world.write(5)
    world.advance(61)
    world.run()
    world.write(5, ago=61)
    world.settle()
    path = tmp_path / "config.json"
    settings = world.settings
    path.write_bytes(
        leanjson.dumps(
            {
                "format": 1,
                "state_dir": settings.state_dir,
                "rules": settings.rules,
                "sources": settings.sources,
            }
        )
    )
    return world, str(path)


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["replay", *arguments])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_a_range_is_printed_as_it_was_sent_last(counted: tuple[World, str], capfd: pytest.CaptureFixture[str]) -> None:
    world, path = counted
    since, until = str(START + 60), str(START + 240)
    code, out, _ = run(capfd, "--config", path, "--since", since, "--until", until, "--metric", METRIC)
    assert code == 0
    assert out == f"{METRIC} 8 {START + 60}\n{METRIC} 8 {START + 120}\n{METRIC} 0 {START + 180}\n"
    assert world.expected() == {START + 60: 8, START + 120: 8}


def test_it_changes_nothing_and_speaks_json(counted: tuple[World, str], capfd: pytest.CaptureFixture[str]) -> None:
    world, path = counted
    before = {file: (world.state / file).read_bytes() for file in ("count.state", "points-20261123")}
    code, out, _ = run(capfd, "--config", path, "--since", str(START), "--json", "--metric", METRIC)
    assert code == 0
    assert json.loads(out)["points"][1:3] == [[METRIC, 8, START + 60], [METRIC, 8, START + 120]]
    assert {file: (world.state / file).read_bytes() for file in before} == before


def test_without_an_end_it_also_prints_what_a_clock_that_was_ahead_has_sent(
    counted: tuple[World, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay.time, "time", lambda: START + 90)
    _, out, _ = run(capfd, "--config", counted[1], "--since", "30", "--metric", METRIC)
    assert f"{METRIC} 8 {START + 120}\n" in out


def test_a_time_without_points_is_a_finding(counted: tuple[World, str], capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "--config", counted[1], "--since", "0", "--until", "60")
    assert (code, out) == (1, "")
    assert "no points between 0 and 60" in err


def test_what_is_no_time_is_wrong_use(counted: tuple[World, str], capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "--config", counted[1], "--since", "yesterday")
    assert (code, out) == (2, "")
    assert "'yesterday' is no time" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "back"), [("90m", 5400), ("2d", 172_800), ("12h", 43_200), ("30s", 30), (str(START), 0)]
)
def test_times(text: str, back: int) -> None:
    assert replay.moment(text, START) == START - back


def test_a_local_time() -> None:
    assert replay.moment("2026-11-22T10:00:30", START) == replay.moment("2026-11-22 10:00", START) + 30
    with pytest.raises(Fault):
        replay.moment("10:00", START)
