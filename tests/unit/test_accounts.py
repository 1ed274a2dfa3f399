"""`only: accounts` on a host whose user databases hang: the run ends in time, and nobody who was known is forgotten."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from logmetrics import leanjson
from world import RULES, World

FAMILY = {"metric": "logs.test.by.{user}", "program": ["app"], "match": r"^user (?P<user>\S+)", "only": "accounts"}
ROOT = pwd.getpwuid(0).pw_name


def by_user(world: World, *names: str) -> None:
    for name in names:
        world.append(world.path, world.line(world.now, f"user {name}"))


def family(world: World) -> dict[str, int]:
    """Sums over all minutes, by name."""
    found: dict[str, int] = {}
    for (name, _), value in world.store().items():
        if name.startswith("logs.test.by."):
            found[name[13:]] = found.get(name[13:], 0) + int(value)
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.rules_path.write_bytes(leanjson.dumps({**RULES, "rules": [FAMILY]}))
    world.settings.run_budget = 2.0
    world.path.touch()
    world.run()
    world.advance(61)
    return world


def test_a_user_database_that_hangs_holds_no_run_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    by_user(world, ROOT, ROOT, "nobody-of-that-name")
    world.advance(60)
    world.run()
    assert not world.faults
    never = threading.Event()
    asked: list[str] = []

    def hang(name: str) -> None:
        asked.append(name)
        never.wait(30)

    monkeypatch.setattr(pwd, "getpwnam", hang)
    world.advance(4000)  # the last yes is older than an hour
    by_user(world, ROOT, "newcomer", ROOT)
    world.advance(60)
    began = time.monotonic()
    world.run()
    assert time.monotonic() - began < 20  # far below the 60 s that two questions would take
    assert len(asked) == 1  # after the first nobody is asked any more
    assert "logs.script_error 1" in world.outputs[-1]
    assert [fault for fault in world.faults if "did not answer in time for 2 names" in fault]
    never.set()
    monkeypatch.undo()
    world.settle()
    assert family(world) == {ROOT: 4, "_invalid": 2}
    assert "logs.script_error 0" in world.outputs[-1]


def test_who_was_an_account_is_not_asked_for_again_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = pwd.getpwnam

    def count(name: str) -> pwd.struct_passwd:
        asked.append(name)
        return real(name)

    monkeypatch.setattr(pwd, "getpwnam", count)
    for _ in range(5):
        by_user(world, ROOT, ROOT, "nobody-of-that-name")
        world.advance(60)
        world.run()
    assert asked.count(ROOT) == 1
    world.settle()
    assert family(world) == {ROOT: 10, "_invalid": 5}


def test_a_process_ends_while_a_question_is_still_open(tmp_path: Path) -> None:
    code = (
        "import pwd, time; pwd.getpwnam = lambda name: time.sleep(60)\n"
        "from logmetrics.accounts import Accounts\n"
        "one = Accounts({}, 1_800_000_000, 0.2); print(one(b'somebody'), one.unanswered)"
    )
    folder = Path(leanjson.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=40,
        check=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.stdout == b"False 1\n"
