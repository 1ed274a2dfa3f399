"""A regex that backtracks for ever is stopped and set aside; everything else is exact."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from logmetrics import leanjson
from logmetrics.rules import RuleSet, hits
from logmetrics.watch import Watch
from world import METRIC, RULES, START, World

EVIL = {"metric": "logs.test.evil", "type": "counter", "program": ["app"], "match": r"^event (\d+\d+)+x"}
TRAP = "event " + "1" * 40


@pytest.mark.parametrize("lines", [3, 400])
def test_a_backtracking_rule_is_set_aside_and_the_others_are_exact(tmp_path: Path, lines: int) -> None:
    world = World(tmp_path / "w", chunk=1 << 20)
    world.rules_path.write_bytes(leanjson.dumps({**RULES, "rules": [EVIL, *RULES["rules"]]}))
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


def test_a_rule_is_set_aside_once_for_all_files_of_a_run(tmp_path: Path) -> None:
    world = World(tmp_path / "w", pattern="*.log")
    world.rules_path.write_bytes(leanjson.dumps({**RULES, "rules": [EVIL, *RULES["rules"]]}))
    world.settings.rule_budget = 0.1
    paths = [world.logs / f"{name}.log" for name in "abc"]
    for path in paths:
        path.touch()
    world.run()
    world.advance(65)
    for path in paths:
        world.append(path, world.line(world.now, TRAP))
    world.run()
    assert "logs.parser.rule_timeouts 1 " in world.outputs[-1]
    assert len([fault for fault in world.faults if "set aside" in fault]) == 1


def test_what_is_made_of_a_match_is_not_charged_to_its_rule() -> None:
    """Names of families and accounts that take long to look up."""
    watch = Watch(1.0)
    rule = RuleSet.from_document(RULES, "test").rules[-1]
    working = [watch.working for _ in hits([rule], b"event 1", watch)]
    assert working == [None]
