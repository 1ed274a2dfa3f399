"""A host in miniature for the parser's tests: a writer, its rotation, a disk that can crash, Telegraf, and the store.

Real files and the parser's real code; what is simulated is time, the disk's cache (what was not fsynced may be gone
after a power cut), a process killed between any two system calls, and a store in which the last write to a slot wins,
as in whisper. The world counts what it writes, by minute, and never looks into a log for that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from logmetrics import config, count, leanjson, runtime, tally
from logmetrics.errors import Fault
from logmetrics.sources import file as file_source
from writer import METRIC, Log, Truth

START = 1_795_452_000  # a whole minute
RULES: dict[str, Any] = {
    "format": 1,
    "hash": "one",
    "rules": [{"metric": METRIC, "type": "counter", "program": ["app"], "match": "^event"}],
}


class Killed(BaseException):
    """The process is gone: nothing after this runs, as after SIGKILL."""


class Disk:
    """Stands in for `os` in the modules of the parser: counts calls, kills at one, remembers what is durable."""

    CALLS = (
        *("open", "write", "pwrite", "fsync", "rename", "unlink", "truncate", "ftruncate"),
        *("stat", "fstat", "pread", "read", "scandir", "listdir", "close"),
    )

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.calls = 0
        self.kill_at: int | None = None
        self.full = False
        self.readonly = False
        self.meanwhile: tuple[int, Callable[[], None]] | None = None  # what happens at a call of this number
        self.content: dict[int, bytes] = {}  # durable content by inode
        self.entries: dict[str, int] = {}  # durable names
        self.real: dict[str, Callable[..., Any]] = {}

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        self.real = {name: getattr(os, name) for name in self.CALLS}
        for name in self.CALLS:
            setattr(os, name, self._wrap(name))
        try:
            yield
        finally:
            for name, function in self.real.items():
                setattr(os, name, function)

    def _wrap(self, name: str) -> Callable[..., Any]:
        real = self.real[name]

        def call(*args: Any, **keywords: Any) -> Any:
            self.calls += 1
            writes = name in ("write", "pwrite") and self._is_state(args[0])
            if self.calls == self.kill_at:
                if name == "close":
                    real(*args)
                if writes:
                    real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])  # half of it reached the kernel
                raise Killed
            if self.meanwhile is not None and self.calls == self.meanwhile[0]:
                self.meanwhile[1]()
            if name == "open" and self.readonly and args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                raise OSError(30, "Read-only file system")
            if writes and self.full:
                raise OSError(28, "No space left on device")
            result = real(*args, **keywords)
            if name == "fsync":
                self._note(args[0])
            return result

        return call

    def _is_state(self, handle: int) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/self/fd/{handle}").startswith(self.folder)
        return False

    def _note(self, handle: int) -> None:
        stat = os.fstat(handle)
        path = os.readlink(f"/proc/self/fd/{handle}")
        if os.path.isdir(path):
            self.entries = {name: os.stat(f"{path}/{name}").st_ino for name in os.listdir(path)}
        else:
            self.content[stat.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def power_cut(self) -> None:
        """What was not fsynced is gone: file contents, and names in the folder."""
        for name in os.listdir(self.folder):
            os.unlink(f"{self.folder}/{name}")
        for name, inode in self.entries.items():
            Path(self.folder, name).write_bytes(self.content.get(inode, b""))
        # New inodes hold what was durable.
        self.entries = {name: os.stat(f"{self.folder}/{name}").st_ino for name in self.entries}
        self.content = {inode: Path(self.folder, name).read_bytes() for name, inode in self.entries.items()}


class World:
    """See the module's docstring. Sizes in lines, times in seconds of simulated time."""

    def __init__(
        self, root: Path, late: str = "correct", resend: bool = True, chunk: int = 4096, pattern: str = "app.log"
    ) -> None:
        self.root = root
        self.logs = root / "log"
        self.state = root / "state"
        for folder in (self.logs, self.state):
            folder.mkdir(parents=True)
        self.now = float(START)
        self.form = "3164"
        self.rich = False  # lines for each kind of rule
        self.plain = False  # and some without a header
        self.truth = Truth()
        self.written: dict[int, int] = self.truth.counts.setdefault(METRIC, {})  # events by minute
        self.log = Log(self, "app.log")
        self.rules_path = root / "rules.json"
        self.rules_path.write_bytes(leanjson.dumps(RULES))
        self.settings = config.parse(
            {
                "format": 1,
                "late": late,
                "resend": resend,
                "state_dir": str(self.state),
                "rules": str(self.rules_path),
                "sources": [{"type": "file", "path": str(self.logs / pattern)}],
                "run_budget": 60,
            },
            "test",
        )
        self.chunk = chunk  # bytes that a run reads at once
        self.bulk_from = 1000  # bytes from which on lines are counted the fast way
        self.kept = count.KEPT_POINTS  # that wait in the state itself to be sent again
        self.disk = Disk(self.state)
        self.serial = 0
        self.outputs: list[str] = []
        self.lost = 0
        self.faults: list[str] = []
        self.telegraf = 1
        self.losses = 0
        self.repeated = False  # a run printed whose state was not saved
        self.deliveries: list[tuple[float, str]] = []

    # The writer.

    @property
    def path(self) -> Path:
        return self.log.path

    @property
    def handle_path(self) -> Path | None:
        return self.log.handle_path

    def stamp(self, at: float) -> str:
        """As syslog daemons write it: `3164`, `3339` with the offset, `5424`."""
        local = time.localtime(at)
        if self.form == "3164":
            return time.strftime("%b %e %H:%M:%S", local)
        east = local.tm_gmtoff
        offset = f"{'-' if east < 0 else '+'}{abs(east) // 3600:02d}:{abs(east) // 60 % 60:02d}"
        return time.strftime("%Y-%m-%dT%H:%M:%S", local) + f".{int(at * 1e6) % 1_000_000:06d}{offset}"

    def line(self, at: float, message: str = "event") -> bytes:
        self.serial += 1
        if not self.rich:
            message = f"{message} {self.serial}"
        if self.form == "5424":
            return f"<34>1 {self.stamp(at)} host app {self.serial} - - {message}\n".encode()
        return f"{self.stamp(at)} host app[{self.serial}]: {message}\n".encode()

    def append(self, path: Path, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)
        self.touch(path)

    def touch(self, path: Path) -> None:
        os.utime(path, ns=(int(self.now * 1e9), int(self.now * 1e9)))

    def write(self, lines: int, ago: float = 0, to: Path | None = None) -> None:
        """Lines stamped `ago` seconds before now; one of each five is no event."""
        if to is None:
            self.log.write(lines, ago)
        else:
            self.append(to, b"".join(self.log.line(self.now - ago, number) for number in range(lines)))

    def write_half(self) -> None:
        self.log.write_half()

    def rotate(self, kind: str = "number", create: bool = True, hold: bool = False) -> None:
        self.log.rotate(kind, create, hold)

    def reopen(self) -> None:
        self.log.reopen()

    def copytruncate(self) -> None:
        self.log.copytruncate()

    def compress(self, which: int, how: str) -> None:
        self.log.compress(which, how)

    def delete_oldest(self) -> None:
        self.log.delete_oldest()

    # Time.

    @property
    def uptime(self) -> float:
        """Seconds that have passed, whatever the clock says."""
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    # Runs.

    def run(self, kill_at: int | None = None, power: bool = False, lose_output: bool = False) -> bool:
        """One run of count; whether it came to its end. `kill_at` numbers the system call at which it is killed."""
        out: list[bytes] = []
        run = count.Run(self.settings, lambda: self.now)
        self.disk.calls = 0
        self.disk.kill_at = kill_at
        chunk, bulk_from, kept = file_source.CHUNK, tally.BULK_FROM, count.KEPT_POINTS
        file_source.CHUNK, tally.BULK_FROM, count.KEPT_POINTS = self.chunk, self.bulk_from, self.kept
        done = True
        identity = runtime.identity
        runtime.identity = lambda: ["boot", "parent", str(self.telegraf)]
        open_before = set(os.listdir("/proc/self/fd"))
        try:
            with self.disk.installed():
                run.go(out.append)
        except Killed:
            done = False
            self._close_since(open_before)
            if power:
                self.disk.power_cut()
        finally:
            self.disk.kill_at = None
            file_source.CHUNK, tally.BULK_FROM, count.KEPT_POINTS = chunk, bulk_from, kept
            runtime.identity = identity
            with contextlib.suppress(OSError):
                run.store.unlock()
        if done:
            self.lost += run.lost
        else:
            self._wait_for_lock()
        self.faults += run.faults
        self.repeated = self.repeated or (bool(out) and (not done or self.disk.full or self.disk.readonly))
        # What a killed run printed may or may not have reached Telegraf: here it has.
        if not lose_output:
            self.deliveries.append((self.uptime, b"".join(out).decode()))
        self.outputs.append(b"".join(out).decode())
        return done

    def _close_since(self, before: set[str]) -> None:
        for name in set(os.listdir("/proc/self/fd")) - before:
            with contextlib.suppress(OSError):
                os.close(int(name))

    def _wait_for_lock(self) -> None:
        """A child holds its parent's handles for a moment longer than posix_spawn takes, until its exec is done."""
        with contextlib.suppress(FileNotFoundError), (self.state / "count.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    def run_while(self, at: int, gap: int, stages: list[Callable[[], None]]) -> None:
        """A run in whose middle something happens: the first stage at its at-th call, each other `gap` calls later."""
        rest = list(stages)

        def next_stage() -> None:
            self.disk.meanwhile = None
            calls = self.disk.calls
            rest.pop(0)()
            self.now += 0.01  # times differ, as on a real disk
            self.disk.calls = calls
            if rest:
                self.disk.meanwhile = (calls + gap, next_stage)

        self.disk.meanwhile = (at, next_stage)
        try:
            self.run()
        finally:
            self.disk.meanwhile = None
        while rest:
            next_stage()
            self.disk.meanwhile = None

    def lose(self) -> None:
        """A run whose output is lost, as where Telegraf stops it. A point is sent in three runs: so twice at most."""
        self.losses += 1
        self.run(lose_output=self.losses <= 2)

    def telegraf_dies(self, held: float) -> None:
        """Telegraf is killed, and what it held of the last `held` seconds with it."""
        self.telegraf += 1
        self.deliveries = [one for one in self.deliveries if one[0] < self.uptime - held]

    def store(self) -> dict[tuple[str, int], str]:
        """What the store holds: the last write to a slot wins."""
        found: dict[tuple[str, int], str] = {}
        for _, text in self.deliveries:
            for line in text.splitlines():
                name, value, at = line.split(" ")
                found[name, int(at) // 60 * 60] = value
        return found

    def settle(self) -> None:
        """Let the writer end, and minutes pass until everything was sent a second time."""
        self.log.reopen()
        for _ in range(4):
            self.advance(61)
            self.run()
        self.advance(700)
        self.run()
        self.run()

    # Judgement.

    def stored(self) -> dict[int, int]:
        """Points of the metric that are not 0."""
        return {at: int(value) for (name, at), value in self.store().items() if name == METRIC and value != "0"}

    def expected(self) -> dict[int, int]:
        return {at: number for at, number in self.written.items() if number}


__all__ = ["METRIC", "RULES", "START", "Disk", "Fault", "Killed", "World"]
