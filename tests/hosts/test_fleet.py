"""The fleet of the tests itself, where it is not left as it was started. Started by the run, as for the refusals."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from fleet import hosts, processes
from fleet.fleets import FLEETS
from fleet.podman import podman, unpack

TEST = FLEETS["test"]


def test_a_host_that_ended_without_podmans_knowledge_is_made_anew() -> None:
    """As where the machine was switched off: nobody was left to note that it ended."""
    host = TEST.host("trixie")
    before = hosts.execute(host, "cat", "/etc/machine-id")
    show = "{{.State.ConmonPid}} {{.State.Pid}}"  # the process that would note it, and the host's init
    for process in podman("inspect", "--format", show, host.container).split():
        os.kill(int(process), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while hosts.containers(TEST)[host.container]["state"] != hosts.LOST:  # its last process has still to be reaped
        assert time.monotonic() < deadline
        time.sleep(0.2)
    hosts.up(TEST)
    assert hosts.containers(TEST)[host.container]["state"] == hosts.RUNNING
    assert hosts.system_state(host) == hosts.RUNNING
    assert hosts.execute(host, "cat", "/etc/machine-id") != before


def test_a_mount_namespace_is_kept_whichever_processor_made_the_one_around_it(tmp_path: Path) -> None:
    """Made by the last processor and entered by the first: there Linux 6.18 refuses what was numbered too low."""
    code = (
        "from pathlib import Path; from fleet import namespace; "
        f"namespace.keep(Path('{tmp_path}/mnt'), 'true'); print(namespace.mounted(Path('{tmp_path}/mnt')))"
    )
    script = f"mount -t tmpfs tmpfs {tmp_path} && touch {tmp_path}/mnt && taskset -c 0 '{sys.executable}' -c \"{code}\""
    last = str((os.cpu_count() or 1) - 1)
    around = ["taskset", "-c", last, "unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(around, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr[-1000:]


def test_a_tar_is_unpacked_whatever_fills_its_last_record() -> None:
    """podman has failed where those zeros reached into the next 32 KiB."""
    host = TEST.host("bookworm")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("root/unpacked")
        info.size = 32768 - 4 * tarfile.BLOCKSIZE
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    assert len(buffer.getvalue()) == 4 * tarfile.RECORDSIZE
    unpack(host.container, buffer.getvalue())
    assert int(hosts.execute(host, "stat", "-c", "%s", "/root/unpacked")) == info.size
    hosts.execute(host, "rm", "/root/unpacked")


def test_a_play_that_is_killed_leaves_none_of_its_workers_though_each_has_a_session_of_its_own() -> None:
    play = subprocess.Popen(["sh", "-c", "setsid sh -c 'sleep 600; :' & wait"])
    deadline = time.monotonic() + 20
    while len(processes.family(play.pid)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = processes.family(play.pid)
    processes.kill(play.pid)
    play.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)
