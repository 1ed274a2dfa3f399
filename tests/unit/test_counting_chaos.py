"""Random schedules of writing, rotating, running and dying: what the store holds is what was written, by minute."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from schedules import LOSSY_STEPS, SETUPS, STEPS, Host, Step, play

# A run of the tests plays the same schedules each time; `make chaos` plays new ones, in batches with a seed each.
BATCH = int(os.environ.get("LOGMETRICS_BATCH", "100"))
SEEDS = [int(one) for one in os.environ.get("LOGMETRICS_SEEDS", "1").split(",")]


def played(steps: Any, number: int) -> Callable[[Any], Any]:
    def decorate(test: Any) -> Any:
        return settings(
            max_examples=number,
            database=None,
            print_blob=True,
            report_multiple_bugs=False,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if os.environ.get("LOGMETRICS_SHRINK") != "0" else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(given(setup=SETUPS, steps=steps)(test))

    return decorate


def one(late: str, setup: dict[str, Any], steps: list[Step], record: dict[str, int]) -> None:
    memory = Path("/dev/shm")  # noqa: S108 - what is tested is the order of calls, not the disk
    root = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        host = Host(root / "w", late, setup)
        with host.lives():
            play(host, steps)
            host.judge()
        record["schedules"] = record.get("schedules", 0) + 1
        record["set_back"] = record.get("set_back", 0) + host.set_back
        for name, number in host.played.items():
            record[name] = record.get(name, 0) + number
    finally:
        shutil.rmtree(root)


def batch(late: str, number: int, steps: Any, record_property: Callable[[str, object], None]) -> None:
    record: dict[str, int] = {}

    @seed(number)
    @played(steps, BATCH)
    def schedules(setup: dict[str, Any], steps: list[Step]) -> None:
        one(late, setup, steps, record)

    try:
        schedules()
    finally:
        for name, times in record.items():
            record_property(name, times)
        print(f"seed {number}, late: {late}: {record.get('schedules', 0)} schedules")


@pytest.mark.parametrize("late", ["correct", "next"])
@pytest.mark.parametrize("number", SEEDS)
def test_what_is_stored_is_what_was_written(
    late: str, number: int, record_property: Callable[[str, object], None]
) -> None:
    batch(late, number, STEPS, record_property)


@pytest.mark.parametrize("late", ["correct", "next"])
@pytest.mark.parametrize("number", SEEDS)
def test_what_is_lost_is_said(late: str, number: int, record_property: Callable[[str, object], None]) -> None:
    batch(late, number, LOSSY_STEPS, record_property)


SHORT = {"sources": "one", "place": "plain", "form": "3164", "plain": False, "chunk": 4096, "kept": 9}
FOUND: dict[str, list[Step]] = {
    # A copy that was read long ago was new again by the time of the last look, which was set back.
    "new again": [
        ("half", 0),
        ("rotate_pack", 0, "gz"),
        ("write", 0, 1),
        ("two", 1),
        ("rotate", 0, "number", False, False),
        ("jump", -40),
    ],
    # A line after the clock was set back, in a file that is then older than the empty one of before: it was missed.
    "missed": [
        ("half", 0),
        ("write", 0, 1),
        ("rotate_pack", 0, "gz"),
        ("jump", -40),
        ("write", 0, 1),
        ("rotate_pack", 0, "gz"),
    ],
    # The copy of before was forgotten by the empty file's time of before, and counted again.
    "again": [
        ("advance", 0.5),
        ("write", 0, 1),
        ("rotate_pack", 0, "gz"),
        ("jump", -40),
        ("write", 0, 1),
        ("run",),
        ("rotate_pack", 0, "gz"),
    ],
    # What was sent by a clock that was ahead, and is put back since, was not printed again.
    "ahead": [("advance", 61), ("half", 0), ("advance", 61), ("jump", -90), ("replay", 300)],
}


@pytest.mark.parametrize("late", ["correct", "next"])
@pytest.mark.parametrize("name", FOUND)
def test_schedules_that_once_were_not_exact(late: str, name: str) -> None:
    one(late, SHORT, FOUND[name], {})
