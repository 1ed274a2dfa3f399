"""CPU time (user and system), peak memory and wall time of a program on one core, as the kernel accounts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.progress import FleetError, reason_in

HOST_PYTHON = "/usr/bin/python3"  # the interpreter that hosts have, and the entry point's own first line
SPAWN = Path(__file__).with_name("spawn.py")
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent"}
QUIET = 0.6  # seconds without CPU time after which a program that follows a file has nothing left to do
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What one program took: seconds of CPU, of wall time, of waiting for its core; bytes of peak RSS."""

    cpu: float
    peak: int
    wall: float
    queued: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Several runs of one job: times add up, the peak is the highest."""
        peak = max(self.peak, other.peak)
        return Usage(self.cpu + other.cpu, peak, self.wall + other.wall, self.queued + other.queued)


NOTHING = Usage(0.0, 0, 0.0)


class Spawner:
    """Runs programs one after the other on one core, all as children of one small process.

    `etc` is laid over /etc in a mount namespace of their own: so the parser finds /etc/logmetrics/config.json, and the
    machine's own /etc stays as it is.
    """

    def __init__(self, scratch: Path, etc: Path | None = None) -> None:
        self.scratch = scratch
        self.cpu = max(os.sched_getaffinity(0))
        command = [HOST_PYTHON, "-I", "-S", str(SPAWN)]
        if etc is not None:
            script = 'mount -t overlay -o "lowerdir=$1:/etc" overlay /etc && shift && exec "$@"'
            private = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
            command = [*private, "sh", "-c", script, "sh", str(etc), *command]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        """End the starter."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Spawner:
        """Closed at the end of a with block."""
        return self

    def __exit__(self, *_: object) -> None:
        """See close."""
        self.close()

    def _answer(self) -> dict[str, float]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise FleetError(
                "the measuring process ended: its namespace needs root, and overlay file systems in the kernel"
            )
        answer: dict[str, float] = json.loads(line)
        return answer

    def run(
        self,
        argv: Sequence[str],
        until: Callable[[int], None] | None = None,
        env: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (0,),
    ) -> tuple[Usage, str]:
        """Run to the end, what it took and its stdout. FleetError where it fails.

        `until` is for a program that does not end by itself: when it returns, the program is told to stop (SIGTERM).
        """
        out, err = self.scratch / "stdout", self.scratch / "stderr"
        job = {
            "argv": list(argv),
            "env": {**ENV, **(env or {})},
            "cpu": self.cpu,
            "stdout": str(out),
            "stderr": str(err),
        }
        if self.process.stdin is None:
            raise FleetError("the measuring process has no input")
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        pid = int(self._answer()["pid"])
        if until:
            _stop_after(until, pid)
        used = self._answer()
        text = out.read_text(errors="replace")
        if used["status"] not in allowed:
            reason = reason_in(err.read_text(errors="replace") or text, 3)
            raise FleetError(f"{argv[0]} failed (exit {used['status']:.0f}): {reason}")
        return Usage(used["user"] + used["system"], int(used["peak"]), used["wall"], used["queued"]), text


def _stop_after(until: Callable[[int], None], pid: int) -> None:
    try:
        until(pid)
    except EndedError:
        return  # its own message says why
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class EndedError(Exception):
    """The program ended before it was told to."""


def cpu_ticks(pid: int) -> int:
    """CPU time so far of a process, in clock ticks (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def position(pid: int, path: Path) -> int:
    """The furthest file offset at which the process reads this file, -1 where it has not opened it."""
    found = -1
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if link.readlink() == path:
                info = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
                found = max(found, int(info.split()[1]))
        except OSError:
            continue  # closed meanwhile
    return found


def wait_until_read(pid: int, path: Path, timeout: float) -> None:
    """Until the process has read the file to its end and rests. EndedError; FleetError where it takes too long."""
    end = time.monotonic() + timeout
    size = path.stat().st_size
    ticks, since = -1, time.monotonic()
    while time.monotonic() < end:
        time.sleep(0.1)
        try:
            now, at = cpu_ticks(pid), position(pid, path)
        except OSError as error:
            raise EndedError from error
        if now > ticks + 1 or at < size:
            ticks, since = now, time.monotonic()
        elif time.monotonic() - since > QUIET:
            return
    raise FleetError(f"process {pid} has not read {path.name} to its end within {timeout:.0f} s")
