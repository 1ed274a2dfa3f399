"""A real run of `count`, killed at each of its system calls, and each of them failing: exact, or said.

strace(1) numbers the calls of one run, then repeats that run for each of them and injects SIGKILL, or the error EIO,
there (`--inject`, by name and occurrence). Before and after it the host's runs are played as in the chaos tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fleet.progress import FleetError, run_long
from logmetrics import leanjson
from schedules import Host

COMMAND = Path(__file__).resolve().parents[2] / "roles" / "logmetrics" / "files" / "parse_loki_metrics.py"
SETUP: dict[str, Any] = {"sources": "two", "place": "plain", "form": "3339", "plain": True, "chunk": 4096, "kept": 9}
# Not repeated at each try: how memory is given and how signals are set up changes nothing that lasts.
NOTHING_LASTS = {
    *(
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "mremap",
        "madvise",
        "rt_sigaction",
        "rt_sigprocmask",
        "execve",
        "exit_group",
    ),
    *("arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "getrandom", "futex", "gettid"),
}
# Where nothing is written, read or looked at, no error comes back either.
AT_ONCE = 2
FAILING = (
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "fsync",
    "rename",
    "ftruncate",
    "newfstatat",
    "fstat",
    "flock",
)


def ensure_strace() -> None:
    """Install strace where it is missing."""
    if not shutil.which("strace"):
        if not shutil.which("apt-get") or os.geteuid() != 0:
            raise FleetError("this proof needs strace: install it")
        run_long(["apt-get", "-q", "install", "-y", "--no-install-recommends", "strace"], "installing strace")


class Try:
    """One host up to the run that is cut off, that run as a process of its own, and what comes after it."""

    def __init__(self, root: Path) -> None:
        self.host = host = Host(root / "w", "correct", SETUP)
        now = int(time.time()) // 60 * 60 - 480
        host.now, host.start, host.first = float(now), now, now
        config = {
            "format": 1,
            "state_dir": str(host.state),
            "rules": str(host.rules_path),
            "sources": host.settings.sources,
        }
        self.config = root / "config.json"
        self.config.write_bytes(leanjson.dumps(config))
        with host.lives():
            self._before()

    def _before(self) -> None:
        """A rotated and compressed file, one that its writer still holds, late lines, finished and open intervals."""
        host = self.host
        app, svc = host.files
        for log in host.files:
            log.path.touch()
            host.touch(log.path)
        host.run()
        for _ in range(3):
            host.advance(61)
            app.write(12)
            svc.write(7)
            host.run()
        host.switch_rules("logs.test.event2")
        app.write(9)
        app.rotate(pack="gz")
        app.write(5)
        svc.rotate(hold=True)
        svc.write(6)
        host.advance(61)
        app.write(3, ago=130)
        app.write(8)
        svc.write_half()

    def run(self, *strace: str) -> subprocess.CompletedProcess[str]:
        """The run, under strace with these options."""
        host = self.host
        host.now = max(host.now, time.time())
        command = ["strace", "-qq", "-o", str(host.root / "trace"), *strace, sys.executable, "-I", "-S", str(COMMAND)]
        env = {"TZ": "UTC", "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*command, "--config", str(self.config)], env=env, capture_output=True, text=True, check=False
        )
        # What a killed run printed may or may not have reached Telegraf: here it has, if it was whole lines.
        if done.stdout.endswith("\n"):
            host.deliveries.append((host.uptime, done.stdout))
        return done

    def after(self) -> str:
        """ "" where the store is exact after some more runs, else what is wrong."""
        host = self.host
        with host.lives():
            host.now = time.time() + 1
            host.settle()
            try:
                host.judge()
            except (AssertionError, KeyError) as error:
                return f"{type(error).__name__}: {str(error)[:300]}"
        return ""


def calls() -> list[tuple[str, int]]:
    """(name, occurrence) of each system call of an undisturbed run, from the one on that opens its lock."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        attempt = Try(Path(folder))
        done = attempt.run()
        trace = (attempt.host.root / "trace").read_text(errors="replace")
        if done.returncode or "logs.script_error 0" not in done.stdout:
            raise FleetError(f"the undisturbed run failed: {done.stdout[-300:]} {done.stderr[-300:]}")
        wrong = attempt.after()
        if wrong:
            raise FleetError(f"the undisturbed run is not exact: {wrong}")
    seen: Counter[str] = Counter()
    found = []
    locked = False
    for line in trace.splitlines():
        called = re.match(r"(\w+)\(", line)
        if called:
            seen[called.group(1)] += 1
            # Until it opens its lock, a run has done nothing but start Python.
            locked = locked or "/count.lock" in line
            if locked and called.group(1) not in NOTHING_LASTS:
                found.append((called.group(1), seen[called.group(1)]))
    return found


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the order of calls is tested, not the disk


def attempt(name: str, number: int, what: str) -> tuple[str, bool]:
    """("" where the store is exact after the run met `what` at this call, else what is wrong; whether that was said).

    Said: the run's logs.script_error is 1, or `lost` is not 0.
    """
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        one = Try(Path(folder))
        done = one.run("-e", f"trace={name}", "-e", f"inject={name}:{what}:when={number}")
        wrong = one.after()
        said = "logs.script_error 1" in done.stdout or one.host._state().get("lost", 0) > 0
        return (f"{what} at {name} number {number}: {wrong}" if wrong else "", said)


def part(number: int) -> tuple[int, int, int, list[str]]:
    """Of this one of AT_ONCE parts: calls at which a run was killed, calls that failed, how many of these ended in a
    difference that was said, and what went wrong.
    """
    every = calls()
    kills = every[number::AT_ONCE]
    errors = [one for one in every if one[0] in FAILING][number::AT_ONCE]
    wrong = [text for text, _ in (attempt(name, at, "signal=KILL") for name, at in kills) if text]
    said = 0
    for name, at in errors:
        text, told = attempt(name, at, "error=EIO")
        if text and told:
            said += 1
        elif text:
            wrong.append(text)
    return len(kills), len(errors), said, wrong


def main() -> tuple[int, int, int, list[str]]:
    """All parts, each in a process of its own: a host changes the zone and the calls of the process that plays it."""
    ensure_strace()
    command = [sys.executable, "-m", "proving.every_call"]
    parts = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        for number in range(AT_ONCE)
    ]
    kills, errors, said, wrong = 0, 0, 0, []
    for one in parts:
        text = one.communicate()[0]
        found = json.loads(text) if one.returncode == 0 else [0, 0, 0, [f"a part ended with {one.returncode}"]]
        kills, errors, said, wrong = kills + found[0], errors + found[1], said + found[2], wrong + found[3]
    return kills, errors, said, wrong


if __name__ == "__main__":
    print(json.dumps(part(int(sys.argv[1]))))
