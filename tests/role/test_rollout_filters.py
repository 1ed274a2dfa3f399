"""The rollout's filters: batches, gates that count everybody, freeze windows, who holds a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fleet import artifacts

from role.scripts import ROLE, load

ROLLOUT = load("filter_plugins/rollout.py")
WHO = load("filter_plugins/who.py")
GATE = load("filter_plugins/gate.py")
PLAN = load("filter_plugins/plan.py")


def seats(*hosts: str) -> list[dict[str, Any]]:
    """`name`, `name@domain`, a canary by `!name`."""
    return [
        {"name": one.strip("!").partition("@")[0], "canary": one[0] == "!", "domain": one.partition("@")[2]}
        for one in hosts
    ]


@pytest.mark.parametrize(
    ("hosts", "sizes", "order", "cut"),
    [
        (["a", "b", "c"], [1, "100%"], "abc", [1, 2]),
        (["a", "b", "!c"], [1, "100%"], "cab", [1, 2]),
        (["!a", "b", "c", "!d"], [1, 5], "adbc", [1, 1, 2]),
        (["a@x", "b@y", "c@x", "d@y"], [1, "100%"], "acbd", [1, 1, 2]),
        (["a@x", "b@y", "c@x"], ["100%"], "acb", [2, 1]),
        (["a"], [5], "a", [1]),
        ([], [1], "", []),
    ],
)
def test_hosts_come_by_canary_then_domain_and_no_batch_holds_two_domains(
    hosts: list[str], sizes: list[Any], order: str, cut: list[int]
) -> None:
    made = ROLLOUT.batches(seats(*hosts), sizes)
    assert ("".join(made["order"]), made["sizes"]) == (order, cut)


def test_percents_are_of_all_hosts_and_the_last_size_is_repeated() -> None:
    hundred = [f"h{n:03}" for n in range(100)]
    assert ROLLOUT.batches(seats(*hundred), [1, "5%", "25%"])["sizes"] == [1, 5, 25, 25, 25, 19]
    assert ROLLOUT.batches(seats("a", "b", "c"), [1, "5%"])["sizes"] == [1, 1, 1]


@pytest.mark.parametrize("batches", [[], [0], ["x"], ["120%"], [-1], ["5 %"]])
def test_batches_that_make_no_sense_are_told(batches: list[Any]) -> None:
    (line,) = ROLLOUT.batch_faults(batches)
    assert line.startswith("logmetrics_batches: ")
    assert ROLLOUT.batch_faults(["1", "5%", 100]) == []


GOOD = {"outcome": "confirmed", "problem": ""}


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (GOOD, False),
        ({"outcome": "activated", "problem": ""}, False),
        ({"outcome": "rolled_back", "problem": "p"}, True),
        ({"outcome": "failed", "problem": "p"}, True),
        ({"outcome": "unreachable", "problem": "p"}, True),
        ({"outcome": "not well", "problem": "p"}, True),
        ({"outcome": "staged", "problem": ""}, True),
        (None, True),
    ],
)
def test_every_bad_end_counts_over_all_batches_so_far(outcome: Any, counts: bool) -> None:
    outcomes = {"a": GOOD, "b": outcome, "c": GOOD}
    assert bool(ROLLOUT.batch_gate(outcomes, 0)) is counts
    assert ROLLOUT.batch_gate(outcomes, 1) == []
    if counts:
        assert ROLLOUT.batch_gate(outcomes, 0)[0].startswith("b: ")


@pytest.mark.parametrize(
    ("result", "outcome", "problem"),
    [
        ({"unreachable": True, "msg": "Task failed: Data could\nnot be sent"}, "unreachable", "Data could not be sent"),
        ({"stdout": "", "stderr": "Traceback\nOSError: full", "rc": 1}, "failed", "could not act: OSError: full"),
        ({"msg": "Missing sudo password"}, "failed", "Missing sudo password"),
        ({}, "failed", "no answer"),
        ({"stdout": json.dumps({"outcome": "rolled_back", "problem": "p"})}, "rolled_back", "p"),
        ({"stdout": json.dumps({"staged": "x"})}, "staged", ""),
    ],
)
def test_an_answer_is_read_and_none_is_an_answer_too(result: dict[str, Any], outcome: str, problem: str) -> None:
    said = ROLLOUT.outcome(result, "act")
    assert said["outcome"] == outcome and problem in said["problem"]
    assert bool(said["problem"]) is (outcome not in ("staged",))


def test_the_end_of_a_host_that_is_confirmed_or_goes_back() -> None:
    first = {"outcome": "activated", "problem": "", "seconds": 3}
    yes = {"stdout": json.dumps({"outcome": "confirmed", "problem": ""})}
    no = {"stdout": json.dumps({"outcome": "failed", "problem": "it went back"})}
    assert ROLLOUT.end(first, yes, False) == {**first, "outcome": "confirmed"}
    assert ROLLOUT.end(first, no, False)["problem"] == "it went back"
    assert ROLLOUT.end(first, yes, True)["outcome"] == "rolled_back"
    assert "rollout was stopped" in ROLLOUT.end(first, yes, True)["problem"]
    ill = ROLLOUT.end({**first, "outcome": "not well", "problem": "slow"}, yes, True)
    assert (ill["outcome"], ill["problem"]) == ("rolled_back", "slow")
    assert ROLLOUT.batch_gate({"a": ill}, 0)  # it goes on counting
    assert ROLLOUT.end(first, {"unreachable": True, "msg": "x"}, False)["outcome"] == "unreachable"


def test_the_batches_so_far_hold_no_host_that_has_nothing_to_do() -> None:
    assert ROLLOUT.so_far(["a", "b", "c"], ["idle", "b"]) == ["a", "b"]
    assert ROLLOUT.so_far(["a"], ["idle"]) == []


@pytest.mark.parametrize(
    ("hosts", "forks", "interval", "intervals", "minutes"),
    [
        (1, 25, 60, 6, 10),  # the least
        (690, 25, 60, 0, 71),  # 28 rounds of 150 s
        (1, 25, 300, 6, 42),  # the watch is longer than the least
    ],
)
def test_a_host_waits_for_its_whole_batch_before_it_goes_back(
    hosts: int, forks: int, interval: int, intervals: int, minutes: int
) -> None:
    assert ROLLOUT.confirm_minutes(10, hosts, forks, interval, intervals) == minutes


def test_staging_names_each_host_that_is_not_ready() -> None:
    staged = {"outcome": "staged", "problem": ""}
    assert ROLLOUT.staging({"a": staged}) == []
    lines = ROLLOUT.staging({"a": staged, "b": {"outcome": "failed", "problem": "disk full"}, "c": None})
    assert lines == ["b: failed: disk full", "c: lost: see its error above"]
    assert ROLLOUT.stage_fault({"results": [{"failed": False}, {"failed": True, "stderr": "x\nno room"}]}, "Push") == (
        "Push: no room"
    )
    held = {"stdout": json.dumps({"holder": {"who": "eve", "run": "r1"}})}
    assert ROLLOUT.stage_fault(held, "Take") == "eve has begun to roll out here meanwhile (run r1)"


def test_the_summary_is_one_line() -> None:
    back = {"outcome": "rolled_back", "problem": "p"}
    assert ROLLOUT.summary({"a": GOOD, "b": back}, ["c", "d"], True) == (
        "STOPPED: 1 confirmed, 1 rolled back, 2 not touched"
    )
    assert ROLLOUT.summary({}, [], False) == "Done: nothing to change on any host"


@pytest.mark.parametrize(
    ("window", "now", "inside"),
    [
        ("Fri 16:00 - Mon 08:00", "2026-11-27T16:00:00", True),  # a Friday
        ("Fri 16:00 - Mon 08:00", "2026-11-29T03:00:00", True),
        ("Fri 16:00 - Mon 08:00", "2026-11-30T08:00:00", False),
        ("Fri 16:00-Mon 08:00", "2026-11-27T15:59:00", False),
        ("2026-12-20 .. 2027-01-05", "2026-12-20T00:00:00", True),
        ("2026-12-20 .. 2027-01-05", "2027-01-05T00:00:00", False),
        ("2026-12-20 12:00 .. 2026-12-20 13:00", "2026-12-20T12:30:00", True),
        ("2026-12-20 12:00 .. 2026-12-20 13:00", "2026-12-20T11:59:00", False),
    ],
)
def test_a_freeze_window_refuses_changes_while_it_lasts(window: str, now: str, inside: bool) -> None:
    lines = ROLLOUT.freeze_faults([window], now)
    assert [line[:26] for line in lines] == (["changes are frozen now (" + window[:2]] if inside else [])


@pytest.mark.parametrize("window", ["weekend", "Fry 16:00 - Mon 08:00", "2026-13-01 .. 2026-14-01"])
def test_a_freeze_window_that_cannot_be_read_is_told(window: str) -> None:
    (line,) = ROLLOUT.freeze_faults([window], "2026-11-27T16:00:00")
    assert line.startswith(f"logmetrics_freeze: {window!r} cannot be read; write ")


def lease(**more: Any) -> dict[str, Any]:
    """A lease that another run of this controller holds."""
    mine = WHO.me()
    return {**mine, "run": "r", "since": time.time(), "until": time.time() + 60, **more}


def test_a_run_that_goes_on_holds_its_host_and_one_that_ended_does_not() -> None:
    (line,) = WHO.lease_faults(lease(), time.time())
    assert " is rolling out here since 20" in line and "run r" in line
    assert WHO.ended(lease()) == []
    assert WHO.lease_faults(None, time.time()) == []
    assert WHO.lease_faults(lease(until=time.time() - 1), time.time()) == []
    assert WHO.ended(lease(start="1")) == ["r"]  # the pid has been taken by another process
    assert WHO.lease_faults(lease(start="1"), time.time()) == []
    assert WHO.lease_faults(lease(start="1", controller="elsewhere"), time.time()) != []
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert WHO.ended(lease(pid=str(child.pid))) == ["r"]


def test_this_run_is_named_by_the_process_that_plays() -> None:
    mine = WHO.me()
    assert mine["start"] == WHO.started(int(mine["pid"]))
    assert os.path.exists(f"/proc/{mine['pid']}")  # noqa: PTH110 - a process, not a file
    assert "@" in mine["who"]


def run_lease(folder: Path, **wish: Any) -> Any:
    """lease.py as a host runs it, with its place in a folder."""
    text = (ROLE / "files/host/lease.py").read_text().replace("/run/", f"{folder}/")
    whole = {"run": "a", "who": "w", "controller": "c", "pid": "1", "start": "1", "minutes": 1, "gone": [], **wish}
    done = subprocess.run(
        [sys.executable, "-", json.dumps(whole)], input=text, text=True, capture_output=True, check=True
    )
    return json.loads(done.stdout)["holder"]


def test_a_host_is_taken_by_one_run_at_a_time(tmp_path: Path) -> None:
    assert run_lease(tmp_path, verb="take") is None
    assert run_lease(tmp_path, verb="take") is None  # once more by the same run
    assert run_lease(tmp_path, verb="take", run="b")["run"] == "a"
    assert run_lease(tmp_path, verb="give", run="b") is None
    assert run_lease(tmp_path, verb="take", run="b")["run"] == "a"
    assert run_lease(tmp_path, verb="take", run="b", gone=["a"]) is None
    assert run_lease(tmp_path, verb="give", run="b") is None
    assert run_lease(tmp_path, verb="take", run="c", minutes=0) is None
    assert run_lease(tmp_path, verb="take", run="d") is None  # c's time was over at once


def test_configs_are_tried_once_for_all_hosts_that_share_them(tmp_path: Path) -> None:
    check = {"archive": "/a", "sha256": "s", "member": "m", "path": "/etc/x", "content": "c", "arguments": ["%s"]}
    plans = {"a": {"checks": [check], "unchecked": []}, "b": {"checks": [check], "unchecked": ["/etc/s"]}, "c": None}
    (one,) = GATE.together(plans, {"a": "amd64", "b": "amd64", "c": ""})
    assert one["hosts"] == ["a", "b"]
    verdicts = [
        {"path": "/etc/x", "hosts": ["a", "b"], "tried": True, "fault": "no good"},
        {"path": "/etc/y", "hosts": ["a"], "tried": False, "fault": "its program is for linux/arm64"},
    ]
    assert GATE.config_faults(verdicts) == ["a, b: /etc/x: no good"]
    first, second = GATE.config_notes(verdicts, plans)
    assert "/etc/y (its program is for linux/arm64): a" in first and "/etc/s (it holds a secret" in second


def test_the_controller_tries_a_config_with_the_program_of_the_archive(tmp_path: Path) -> None:
    fleet = artifacts
    script = '#!/bin/sh\ngrep -q good "$2" || { echo "$2: bad line" >&2; exit 1; }\n'
    (tmp_path / "p").write_text(script)
    fleet.write_zip(tmp_path / "a.zip", "prog", tmp_path / "p")
    base = {"archive": str(tmp_path / "a.zip"), "sha256": fleet.sha256(tmp_path / "a.zip"), "member": "prog"}
    base.update(path="/etc/x.conf", arguments=["-config", "%s"], arch=fleet.architecture(), hosts=["h"])
    checks = [{**base, "content": "good"}, {**base, "content": "else"}, {**base, "content": "", "arch": "sparc"}]
    command = [sys.executable, str(ROLE / "files/controller/try_configs.py"), str(tmp_path / "cache")]
    done = subprocess.run(command, input=json.dumps(checks), text=True, capture_output=True, check=True)
    found = [(one["tried"], one["fault"]) for one in json.loads(done.stdout)]
    assert found == [(True, ""), (True, "/etc/x.conf: bad line"), (False, "its program is for linux/sparc")]
