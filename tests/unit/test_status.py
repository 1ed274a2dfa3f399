"""`status`: what a rollout of rules and playbooks/status.yml are told of a host, after real runs of the parser."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from logmetrics import cli, leanjson, status
from world import METRIC, RULES, START, World

EVIL = {"metric": "logs.test.evil", "type": "counter", "program": ["app"], "match": r"^event (\d+\d+)+x"}
FAMILY = {
    "metric": "logs.test.by.{who}",
    "type": "counter",
    "program": ["app"],
    "match": r"^by (?P<who>\w+)",
    "max_series": 50,
}


def rules(*more: dict[str, Any], name: str = "two") -> bytes:
    return leanjson.dumps({**RULES, "hash": name, "rules": [*RULES["rules"], *more]})


def found(world: World, intervals: int = 0) -> dict[str, Any]:
    return status.collect(world.settings, world.now, intervals)


def test_late_lines_and_the_last_runs_self_metrics_are_told(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(185)
    world.write(3)
    world.run()
    world.write(2, ago=120)
    world.run()
    world.advance(60)
    world.run()
    told = found(world)["count"]
    assert told["late_lines"] == 2
    assert told["last_run"]["late_lines"] == 0
    assert {"run_ms", "rule_timeouts", "series", "script_error", "lost", "lag_bytes"} <= set(told["last_run"])


def test_each_interval_is_told_with_what_its_rules_counted(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.rules_path.write_bytes(rules(FAMILY))
    world.path.touch()
    world.run()
    world.advance(65)
    world.write(4)
    for who in ("ann", "bob", "ann"):
        world.append(world.path, world.line(world.now, f"by {who}"))
    world.settle()
    last = found(world, 3)["intervals"]
    assert [one["at"] for one in last] == [last[0]["at"] + 60 * number for number in range(3)]
    (one,) = [one for one in found(world, 60)["intervals"] if one["at"] == START + 60]
    assert one["counts"] == {METRIC: world.written[START + 60], "logs.test.by.{who}": 3}
    assert one["series"] == 3


def test_a_rule_that_was_set_aside_is_told_with_its_line_masked(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.rules_path.write_bytes(rules(EVIL))
    world.settings.rule_budget = 0.2
    world.path.touch()
    world.run()
    world.advance(65)
    world.append(world.path, world.line(world.now, "event " + "1" * 40))
    world.settle()
    (aside,) = found(world)["aside"]
    assert (aside["metric"], aside["line"]) == ("logs.test.evil", "event 0 0")
    assert START < aside["at"] <= world.now


def test_both_rule_sets_are_told_with_the_time_from_which_they_count(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(30)
    world.rules_path.write_bytes(rules(FAMILY, name="new"))
    world.run()
    sets = found(world)["rule_sets"]
    assert [(one["from"], one["hash"]) for one in sets] == [(0, "one"), (START + 60, "new")]
    assert found(world)["rules_hash"] == "new"


def test_the_costliest_rule_of_the_hosts_own_logs_comes_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path / "w")
    slow = {
        "metric": "logs.test.slow",
        "type": "counter",
        "program": ["app"],
        "match": r"(?:e|v|n|.)*(?:t|.)*(?: |.)*#$",
    }
    world.rules_path.write_bytes(rules(slow))
    world.path.touch()
    world.run()
    world.write(50)
    world.run()
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "format": 1,
                "host": "h",
                "sources": [{"type": "file", "path": str(world.path)}],
                "state_dir": str(world.state),
                "rules": str(world.rules_path),
            }
        )
    )
    os.utime(world.path)
    assert cli.main(["status", "--config", str(config), "--json", "--costs", "--intervals", "2"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [cost["metric"] for cost in told["costs"]] == ["logs.test.slow", METRIC]
    assert told["costs"][0]["share"] > 0.5
    assert cli.main(["status", "--config", str(config), "--costs", "--intervals", "2"]) == 0
    assert "us a line  logs.test.slow" in capfd.readouterr().out
