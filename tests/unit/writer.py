"""A program that writes a log, its rotation, and the truth about both: what was written, by metric and minute."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from world import World

METRIC = "logs.test.event"
PACK = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}
ENDINGS = ("", *(f".{how}" for how in PACK))


def _rule(metric: str, match: str, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "type": "counter", "program": ["app"], "match": match, **more}


def rules(event: str = METRIC, plain: bool = False) -> dict[str, Any]:
    """A rule of each kind; `event` names the first one's metric. `plain`: one for lines of no program, too."""
    listed = [
        _rule(event, "^event"),
        _rule("logs.test.even", "^event [0-9]*[02468]$"),  # shares lines with the first
        _rule("logs.test.svc", "^event", source=["*/svc.log"]),
        _rule("logs.test.bytes", "^bytes=(?P<value>[0-9.]+)", type="sum"),
        _rule("logs.test.level", "^level=(?P<value>[-0-9]+)", type="gauge"),
        _rule("logs.test.took", "^took=(?P<value>[0-9]+)", type="timing"),
        _rule("logs.test.by.{who}", "^user (?P<who>.*?) from", max_series=4),
    ]
    if plain:
        listed.append({"metric": "logs.test.plain", "type": "counter", "match": "^plain "})
    return {"format": 1, "hash": event, "rules": listed}


class Truth:
    """What was written; values by metric and minute."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[int, Any]] = {}
        self.levels: dict[int, list[tuple[float, int]]] = {}
        self.took: dict[int, list[int]] = {}
        self.users: dict[int, dict[str, int]] = {}

    def add(self, metric: str, minute: int, number: Fraction | int) -> None:
        own = self.counts.setdefault(metric, {})
        own[minute] = own.get(minute, 0) + number

    def event(self, serial: int, minute: int, times: int, svc: bool) -> None:
        self.add(METRIC, minute, times)
        if serial % 2 == 0:
            self.add("logs.test.even", minute, times)
        if svc:
            self.add("logs.test.svc", minute, times)


class Log:
    """One log of a world; times in seconds of simulated time."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.path = world.logs / name
        self.handle_path: Path | None = None  # the writer's open file, where it is not the live one
        self.partial = b""
        self.spawned = 0

    # The writer.

    def line(self, at: float, number: int = 0) -> bytes:
        """One line, the number-th of its write, and the truth about it; in a rich world for every kind of rule."""
        world = self.world
        serial, minute = world.serial + 1, int(at) // 60 * 60
        truth = world.truth
        kind = serial % 10 if world.rich else 4 if number % 5 == 4 else 0
        svc = self.path.name == "svc.log"
        if not world.rich:
            if kind == 0:
                truth.add(METRIC, minute, 1)
            return world.line(at, "noise" if kind else "event")
        if kind == 4:
            message = f"noise {serial}"
        elif kind == 5:
            message = f"took={serial * 37 % 1000}"
            truth.took.setdefault(minute, []).append(serial * 37 % 1000)
        elif kind == 6:
            message = f"bytes={serial % 97}.25"
            truth.add("logs.test.bytes", minute, serial % 97 + Fraction(1, 4))
        elif kind == 7:
            message = f"level={serial % 50 - 25}"
            resolution = 1 if world.form == "3164" else 1e-6
            truth.levels.setdefault(minute, []).append((int(at / resolution) * resolution, serial % 50 - 25))
        elif kind == 8:
            name = "abcdef"[serial // 10 % 6]
            message = f"user {name} from"
            own = truth.users.setdefault(minute, {})
            own[name] = own.get(name, 0) + 1
        elif kind == 9:
            message = f"message repeated 3 times: [ event {serial}]"
            truth.event(serial, minute, 3, svc)
        else:
            message = f"event {serial}"
            truth.event(serial, minute, 1, svc)
        line = world.line(at, message)
        if world.plain and serial % 3 == 0 and at == world.now:
            line += f"plain {serial}\n".encode()  # of no time of its own: that of the line before
            truth.add("logs.test.plain", minute, 1)
        return line

    def append(self, data: bytes) -> None:
        self.world.append(self.handle_path or self.path, data)

    def write(self, lines: int, ago: float = 0) -> None:
        """Lines stamped `ago` seconds before now."""
        data = self.partial
        self.partial = b""
        for number in range(lines):
            data += self.line(self.world.now - ago, number)
        self.append(data)

    def write_half(self) -> None:
        """The first part of a line; the next write ends it."""
        if self.partial:
            return
        plain, self.world.plain = self.world.plain, False
        line = self.line(self.world.now)
        self.world.plain = plain
        # Buffered writers cut anywhere, but a file's very first bytes come at once: with less than a process id no
        # program could tell two files of one second apart.
        half = line.index(b"app") + 9
        self.append(line[:half])
        self.partial = line[half:]

    def reopen(self) -> None:
        """HUP: the writer opens the live file again."""
        self.end_line()
        self.handle_path = None

    def end_line(self) -> None:
        if self.partial:
            self.append(self.partial)
            self.partial = b""

    # Rotation.

    def rotated(self) -> list[Path]:
        """This log's older files, newest first."""
        stem = self.path.name
        found = [path for path in self.world.logs.iterdir() if path.name.startswith(stem) and path != self.path]
        return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))

    def _shift(self) -> Path:
        name = self.path.name
        for number in range(12, 0, -1):
            for ending in ENDINGS:
                old = self.world.logs / f"{name}.{number}{ending}"
                if old.exists():
                    old.rename(self.world.logs / f"{name}.{number + 1}{ending}")
        return self.world.logs / f"{name}.1"

    def rotate(self, kind: str = "number", create: bool = True, hold: bool = False, pack: str = "") -> None:
        """By rename: `number` (app.log.1, .2, ...) or `date`. `hold`: the writer keeps the old file until `reopen`.

        `pack`: compressed at once.
        """
        if not self.path.exists():
            return
        self.end_line()
        self.reopen()
        if kind == "number":
            target = self._shift()
        else:
            day = time.strftime("%Y%m%d", time.gmtime(self.world.now))
            target = self.world.logs / f"{self.path.name}-{day}-{self.world.serial}{self.spawned}"
            self.spawned += 1
        self.path.rename(target)
        if create:
            self.path.touch()
            self.world.touch(self.path)
        if hold:
            self.handle_path = target
        elif pack:
            self._pack(target, pack)

    def copytruncate(self) -> None:
        if not self.path.exists():
            return
        self.end_line()
        copy = self._shift()
        shutil.copyfile(self.path, copy)
        self.world.touch(copy)
        os.truncate(self.path, 0)
        self.world.touch(self.path)

    def compress(self, which: int, how: str) -> None:
        """The which-th rotated file that is not compressed yet (newest first); its mtime is kept, as gzip keeps it."""
        plain = [path for path in self.rotated() if path.suffix[1:] not in PACK and path != self.handle_path]
        if plain:
            self._pack(plain[which % len(plain)], how)

    def _pack(self, path: Path, how: str, keep: bool = False) -> None:
        stat = path.stat()
        target = path.with_name(f"{path.name}.{how}")
        target.write_bytes(PACK[how](path.read_bytes()))
        os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if not keep:
            path.unlink()

    def compress_slowly(self, which: int, how: str) -> list[Callable[[], None]]:
        """As `compress`, in the steps in which logrotate does it: an empty copy, half of it, all of it, no original."""
        plain = [path for path in self.rotated() if path.suffix[1:] not in PACK and path != self.handle_path]
        if not plain:
            return []
        path = plain[which % len(plain)]
        target = path.with_name(f"{path.name}.{how}")
        data, stat = PACK[how](path.read_bytes()), path.stat()

        def whole() -> None:
            target.write_bytes(data)
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))

        return [target.touch, lambda: self.world.append(target, data[: len(data) // 2]), whole, path.unlink]

    def reuse_inode(self, donor: Log) -> None:
        """Rotated, and the new live file gets the inode of an old file of `donor` that is compressed and removed."""
        plain = [path for path in donor.rotated() if path.suffix[1:] not in PACK and path != donor.handle_path]
        if not plain or not self.path.exists():
            return
        old = plain[-1]
        inode = old.stat().st_ino
        donor._pack(old, "gz", keep=True)
        self.rotate(create=False)
        old = next(path for path in self.world.logs.iterdir() if path.stat().st_ino == inode)
        os.truncate(old, 0)
        old.rename(self.path)
        self.world.touch(self.path)

    def become_link(self) -> None:
        """The log is moved elsewhere, and a link to it takes its name."""
        if not self.path.exists() or self.path.is_symlink():
            return
        target = self.world.logs / f"moved-{self.path.name}.dat"
        if target.exists():
            return
        self.path.rename(target)
        self.path.symlink_to(target.name)

    def delete_oldest(self) -> None:
        """The oldest of more than three rotated files goes, after the parser has seen it: the end of its days."""
        rotated = self.rotated()[::-1]
        if len(rotated) > 3 and rotated[0] != self.handle_path and self.world.run() and not self.world.disk.full:
            rotated[0].unlink()

    # What destroys lines.

    def destroy(self, how: str) -> None:
        """`truncate` the live file, `remove` it, or remove the newest `rotated` one, whatever was read of it."""
        path = self.path
        if how == "rotated":
            plain = [one for one in self.rotated() if one != self.handle_path]
            if not plain:
                return
            path = plain[0]
        if not path.exists() or path.is_symlink():
            return
        self.end_line()
        self.world.will_lose(path)
        if how == "truncate":
            os.truncate(path, 0)
            self.world.touch(path)
        else:
            path.unlink()
            if self.handle_path == path:
                self.handle_path = None
