"""Two operators at once: the second is told who is rolling out, since when, and stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from fleet import hosts, processes

from rollout.common import ONE, TARGETS, TOP, command, environment, files, play, site

LEASE = "/run/logmetrics-rollout.json"


def hold(**more: object) -> None:
    """Let somebody else hold host one."""
    now = time.time()
    lease = {"run": "other", "who": "mallory@elsewhere", "controller": "elsewhere", "pid": "1", "start": "1"}
    hosts.execute(ONE, "tee", LEASE, stdin=json.dumps({**lease, "since": now, "until": now + 600, **more}))


def test_the_second_operator_is_told_and_stops_and_a_lease_that_is_over_stops_nobody() -> None:
    before = [files(host) for host in TARGETS]
    hold()
    done = play("site", logmetrics_outage_hours=22)
    assert done.code != 0
    assert done.lines(r"one: mallory@elsewhere is rolling out here since 20\d\d-\d\d-\d\d .*; wait for its end"), (
        done.text[-2000:]
    )
    assert [files(host) for host in TARGETS] == before
    hold(until=time.time() - 1)
    site()
    assert hosts.execute(ONE, "sh", "-c", f"test -e {LEASE} && echo there || true") in ("", "there\n")


def test_changes_are_refused_in_a_freeze_window() -> None:
    before = [files(host) for host in TARGETS]
    done = play("site", logmetrics_outage_hours=22, logmetrics_freeze=["2020-01-01 .. 2099-01-01"])
    assert done.code != 0
    assert done.lines("changes are frozen now")
    assert [files(host) for host in TARGETS] == before
    site(logmetrics_freeze=["2020-01-01 .. 2099-01-01"])  # nothing to change: nothing to refuse


def checkout(folder: Path) -> Path:
    """Another working copy of all that a play reads."""
    for name in ("roles", "playbooks", "files", "tests/rollout/inventory"):
        shutil.copytree(TOP / name, folder / name)
    return folder


def begin(*words: str) -> subprocess.Popen[bytes]:
    """A rollout that goes on by itself, once it holds host one; in a process group of its own."""
    running = subprocess.Popen(
        words, cwd=TOP, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    )
    deadline = time.monotonic() + 180
    while "there" not in hosts.execute(ONE, "sh", "-c", f"test -e {LEASE} && echo there || true"):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    return running


@pytest.mark.parametrize("elsewhere", [False, True], ids=["the same controller", "another controller"])
def test_two_operators_at_once_from_two_checkouts(tmp_path: Path, elsewhere: bool) -> None:
    """The first goes on undisturbed; the second has changed nothing, and knows whom to ask."""
    first = begin(*command("site", logmetrics_outage_hours=22))
    try:
        words = command("site", logmetrics_outage_hours=21, logmetrics_cache_dir=str(tmp_path / "cache"))
        if elsewhere:
            words = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh", *words]
        done = subprocess.run(
            words, cwd=checkout(tmp_path / "copy"), env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode not in (0, -9)
        assert "Nothing was changed on any host" in done.stdout
        assert f"@{os.uname().nodename} is rolling out here since 20" in done.stdout, done.stdout[-3000:]
        assert first.poll() is None, "the first was over before the second was told"
        assert first.wait(timeout=300) == 0
    finally:
        if first.poll() is None:
            processes.kill(first.pid)
    assert play("site", logmetrics_outage_hours=22).lines("Done: nothing to change on any host")
    site()


def test_a_run_that_was_killed_holds_nobody_though_the_script_that_began_it_goes_on() -> None:
    words = command("site", logmetrics_outage_hours=22)
    script = begin("sh", "-c", '"$@"; sleep 600 # ansible', "ansible-nightly", *words)
    try:
        for child in Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        site()
        assert script.poll() is None
    finally:
        processes.kill(script.pid)
        script.wait()
