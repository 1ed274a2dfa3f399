"""Logs that are rotated and compressed while a run reads: at each of its calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_sources_hard import counting
from world import World

if TYPE_CHECKING:  # Python 3.8 has no such lists
    Stages = list[Callable[[], None]]


def rotated(world: World, kind: str) -> None:
    """Something is written and rotated."""
    world.write(6)
    world.advance(0.05)
    if kind in ("copied", "grown"):
        world.copytruncate()
        if kind == "grown":  # beyond what was read of it before
            world.write(30)
    else:
        world.rotate("number" if kind == "number" else "date")
    world.advance(0.05)


def stages(world: World, kind: str, pack: bool) -> Stages:
    """A rotation, and then the compression of what it made, as logrotate does it; the writer goes on."""

    def rotate() -> None:
        rotated(world, kind)
        if pack:
            world.now += 0.01
            rest.extend(world.log.compress_slowly(0, "gz"))

    rest: Stages = []

    def step() -> None:
        if rest:
            rest.pop(0)()
        else:
            world.write(3)

    return [rotate, *[step] * 6]


@pytest.mark.parametrize(
    ("kind", "pack", "unseen"),
    [
        *(("number", False, 1), ("number", True, 0), ("date", True, 3)),
        *(("copied", False, 0), ("copied", True, 1), ("grown", False, 0)),
    ],
)
def test_a_rotation_at_each_call_of_a_run(tmp_path: Path, kind: str, pack: bool, unseen: int) -> None:
    """`unseen` files were live and rotated between the run before and this one; all lines count once."""
    wrong = []
    at = gap = 1
    while True:
        world = counting(World(tmp_path / f"{at}"), 1)
        for _ in range(3):
            rotated(world, kind)
            world.compress(1, "gz")
            world.advance(60)
            world.run()
        for number in range(unseen):
            rotated(world, kind)
            if number != 1 and pack:
                world.compress(0, "gz")
        world.write(4)
        world.advance(20)
        world.run_while(at, gap, stages(world, kind, pack))
        ended = world.disk.calls < at
        for _ in range(3):
            world.write(2)
            world.advance(30)
            world.run()
        world.settle()
        if world.stored() != world.expected() or world.lost:
            more = sum(world.stored().values()) - sum(world.expected().values())
            wrong.append((at, more, world.lost))
        if ended:
            break
        at, gap = at + 1, gap % 5 + 1
    assert at > 20
    assert not wrong, str(wrong)
