"""Starts programs and measures them; run by measure.py as `python3 -I -S spawn.py`, so that it stays small.

The kernel's peak RSS of a program begins at that of the process which started it (getrusage(2): the figure survives
fork and exec), so a large Python process must not be the starter. And one starter lives as long as its programs' state:
to the parser, another parent process means that Telegraf was restarted.

Reads one JSON object a line: argv, env, cpu, stdout, stderr (paths). Answers {"pid": ...} when it is started and
{"status", "user", "system", "peak", "wall", "queued"} (seconds, bytes) when it has ended; `queued` is for how long it
could have run and did not, as others had its core (the kernel's Documentation/scheduler/sched-stats.rst).
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def start(job: dict[str, Any]) -> int:
    """Fork and exec the job on its one core; the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.sched_setaffinity(0, {job["cpu"]})
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for path, number in ((job["stdout"], 1), (job["stderr"], 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        os.execve(job["argv"][0], job["argv"], job["env"])  # noqa: S606 - a fixed list, and no shell is wanted
    finally:
        os._exit(127)


def queued(pid: int) -> float:
    """Seconds for which an ended process, not reaped yet, waited for its core."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
    nanoseconds = int(os.read(file, 100).split()[1])
    os.close(file)
    return nanoseconds / 1e9


def say(answer: dict[str, float]) -> None:
    """One JSON object on a line of its own."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Until the end of the input."""
    for line in sys.stdin:
        began = time.monotonic()
        pid = start(json.loads(line))
        say({"pid": pid})
        waited = queued(pid)
        _, status, used = os.wait4(pid, 0)
        say(
            {
                "status": os.waitstatus_to_exitcode(status),
                "user": used.ru_utime,
                "system": used.ru_stime,
                "peak": used.ru_maxrss * 1024,
                "wall": time.monotonic() - began,
                "queued": waited,
            }
        )


if __name__ == "__main__":
    main()
