"""Random schedules of writing, rotating, running and dying: what the store holds is what was written, by minute."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import World

Step = tuple[Any, ...]

WRITES = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 12)),
    st.tuples(st.just("write"), st.sampled_from([40, 90])),
    st.tuples(st.just("late"), st.integers(1, 4), st.sampled_from([30, 70, 200, 900])),
    st.tuples(st.just("half")),
)
ROTATIONS = st.one_of(
    st.tuples(st.just("rotate"), st.sampled_from(["number", "date"]), st.booleans(), st.booleans()),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("copytruncate")),
    st.tuples(st.just("delete_oldest")),
    st.tuples(st.just("compress"), st.integers(0, 3), st.sampled_from(["gz", "xz", "bz2"])),
)
RUNS = st.one_of(
    st.tuples(st.just("run")),
    st.tuples(st.just("run")),
    st.tuples(st.just("kill"), st.integers(1, 60), st.booleans()),
    st.tuples(st.just("lose")),
    st.tuples(st.just("disk_full"), st.booleans()),
    st.tuples(st.just("power_cut"), st.sampled_from([0, 100, 1800])),
    st.tuples(st.just("telegraf_dies"), st.sampled_from([0, 100, 1800])),
)
TIME = st.tuples(st.just("advance"), st.sampled_from([0.5, 5, 30, 61, 61, 125, 700]))
STEPS = st.lists(st.one_of(WRITES, ROTATIONS, RUNS, TIME, TIME), min_size=1, max_size=40)


def play(world: World, steps: list[Step]) -> None:
    world.path.touch()
    world.touch(world.path)
    world.run()
    world.advance(61)
    for step in steps:
        name, *rest = step
        if name == "write":
            world.write(rest[0])
        elif name == "late":
            # Never before the first whole interval, which is not sent.
            world.write(rest[0], min(rest[1], world.now - 60 - 1_795_452_000))
        elif name == "half":
            world.write_half()
        elif name == "rotate":
            world.rotate(*rest)
        elif name == "reopen":
            world.reopen()
        elif name == "compress":
            world.compress(*rest)
        elif name == "copytruncate":
            world.copytruncate()
        elif name == "delete_oldest":
            world.delete_oldest()
        elif name == "disk_full":
            world.disk.full = rest[0]
        elif name == "run":
            world.run()
        elif name == "lose":
            world.lose()
        elif name == "power_cut":
            world.disk.power_cut()
            world.telegraf_dies(rest[0])
        elif name == "telegraf_dies":
            world.telegraf_dies(rest[0])
        elif name == "kill":
            world.run(kill_at=rest[0], power=rest[1])
        elif name == "advance":
            # A writer does not stop for minutes in the middle of a line.
            if rest[0] > 60:
                world.end_line()
            world.advance(rest[0])
        # Mtimes differ between any two steps, as on a real disk.
        world.advance(0.05)
    world.disk.full = False
    world.settle()


# A run of the tests plays the same schedules each time; `make chaos SCHEDULES=10000` plays as many new ones.
SCHEDULES = int(os.environ.get("LOGMETRICS_SCHEDULES", "0"))


@pytest.mark.parametrize("late", ["correct", "next"])
@settings(
    max_examples=SCHEDULES or 250,
    derandomize=not SCHEDULES,
    print_blob=True,
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_what_is_stored_is_what_was_written(late: str, steps: list[Step]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        world = World(root / "w", late=late)
        play(world, steps)
        if late == "correct":
            assert world.stored() == world.expected()
        else:
            assert sum(world.stored().values()) == sum(world.expected().values())
        assert world.lost == 0
    finally:
        shutil.rmtree(root)
