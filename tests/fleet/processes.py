"""Ending a program that was started here together with all that it started: Ansible's workers leave its group."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def family(pid: int, stop: bool = False) -> list[int]:
    """A process and all its descendants, the eldest first (proc(5), children); `stop` lets none of them go on."""
    found = [pid]
    for one in found:
        if stop and one != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGSTOP)
        for file in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it has ended
                found += map(int, file.read_text().split())
    return found


def kill(pid: int) -> None:
    """End a family with -9 as a power cut would, before any can react; the eldest last: it may be the caller."""
    for one in reversed(family(pid, stop=True)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
