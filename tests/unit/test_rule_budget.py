"""A regex that backtracks for ever is stopped and set aside; everything else is exact."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from logmetrics import leanjson
from world import METRIC, RULES, START, World

EVIL = {"metric": "logs.test.evil", "type": "counter", "program": ["app"], "match": r"^event (\d+\d+)+x"}
TRAP = "event " + "1" * 40


@pytest.mark.parametrize("lines", [3, 400])
def test_a_backtracking_rule_is_set_aside_and_the_others_are_exact(tmp_path: Path, lines: int) -> None:
    world = World(tmp_path / "w", chunk=1 << 20)
    world.rules_path.write_bytes(leanjson.dumps({**RULES, "rules": [EVIL, *RULES["rules"]]}))  # type: ignore[misc]
    world.settings.rule_budget = 0.2
    world.path.touch()
    world.run()
    world.advance(65)
    world.write(lines)
    for _ in range(2):
        world.append(world.path, world.line(world.now, TRAP))
        world.written[START + 60] += 1
        world.write(lines)
    world.settle()
    assert world.stored() == world.expected()
    runs = [text for text in world.outputs if "logs.parser.rule_timeouts 1 " in text]
    assert len(runs) == 1 + 1  # the run itself, and once more with the next one's output
    assert "logs.script_error 1" in runs[0]
    assert ["logs.test.evil" in fault and "set aside" in fault for fault in world.faults] == [True]
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_sound_rule_is_never_set_aside_for_its_work_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "w", chunk=1 << 20)
    world.settings.rule_budget = 0.01
    world.path.touch()
    world.run()
    world.advance(65)
    for _ in range(20):
        world.write(500)
    world.settle()
    assert world.stored() == world.expected() == {START + 60: 8000}
    assert METRIC in world.outputs[-1]
    assert not [text for text in world.outputs if "rule_timeouts 1" in text]
