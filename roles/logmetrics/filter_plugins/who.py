"""Filters on who is rolling out: this run's name, and whether the run that holds a host still goes on."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import time
from pathlib import Path
from typing import Any


def proc(pid: int, name: str) -> str:
    """A file of a process (proc(5)); empty where there is none."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def started(pid: int) -> str:
    """When a process began, in ticks since boot; empty where it is gone. With the pid it names a process for good."""
    fields = proc(pid, "stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] != "Z" else ""


def is_ansible(pid: int) -> bool:
    """Whether a process is a program of Ansible's, no shell or script that only names one."""
    words = proc(pid, "cmdline").split("\0")
    script = next((word for word in words[1:] if not word.startswith("-")), "")
    interpreted = Path(words[0]).name.startswith("python")
    return Path(script if interpreted else words[0]).name.startswith("ansible")


def playing() -> int:
    """The pid of the ansible-playbook that this runs in: filters run in its workers, which are its children.

    What began it (a shell, a nightly script) does not count: it may go on when the play has ended.
    """
    pid, found = os.getpid(), os.getpid()
    while pid > 1 and is_ansible(pid):
        found = pid
        fields = proc(pid, "stat").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return found


def controller() -> str:
    """This machine, this boot: pids mean nothing elsewhere."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    key = boot.read_text(encoding="ascii") if boot.exists() else platform.node()
    return f"{platform.node()}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def me(_: Any = None) -> dict[str, str]:
    """This run: run (its name), who, controller, pid, start."""
    pid = playing()
    return {
        "run": f"{time.strftime('%Y%m%dT%H%M%S')}-{pid}",
        "who": f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{platform.node()}",
        "controller": controller(),
        "pid": str(pid),
        "start": started(pid),
    }


def ended(lease: dict[str, Any] | None) -> list[str]:
    """The run that holds a lease, where it is one of this controller that goes on no more."""
    if not lease or lease["controller"] != controller() or started(int(lease["pid"])) == lease["start"]:
        return []
    return [str(lease["run"])]


def lease_faults(lease: dict[str, Any] | None, now: float) -> list[str]:
    """A line where another run that may still go on holds the host."""
    if not lease or lease["until"] <= now or ended(lease):
        return []
    since, until = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease[key])) for key in ("since", "until"))
    told = f"{lease['who']} is rolling out here since {since} (run {lease['run']})"
    return [f"{told}; wait for its end (at the latest {until})"]


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {"logmetrics_me": me, "logmetrics_ended": ended, "logmetrics_lease_faults": lease_faults}
