"""Sources in hard places: files that change their identity, that cannot be read, that have two names."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from logmetrics import count
from logmetrics.sources import file as file_source
from logmetrics.sources.base import Budget
from logmetrics.state import decode, encode
from world import METRIC, World
from writer import Log


def counting(world: World, minutes: int = 3) -> World:
    """Past the first, partial interval, with some minutes counted."""
    world.path.touch()
    world.touch(world.path)
    world.run()
    world.advance(60)
    for _ in range(minutes):
        world.write(10)
        world.advance(60)
        world.run()
    return world


def changed_device(world: World) -> None:
    """As after a boot at which the file system got another device number."""
    path = world.state / "count.state"
    content = decode(path.read_bytes())
    assert content is not None
    for cursor in content["sources"].values():
        for place in cursor["paths"].values():
            for track in [place["live"], *place["old"]]:
                track["dev"] += 1
    path.write_bytes(b"".join(encode(content)))


def restored(world: World) -> None:
    """As after a move to another disk: the content and its times are the same, the inode is not."""
    copy = world.logs / "restore.tmp"
    shutil.copy2(world.path, copy)
    copy.rename(world.path)


@pytest.mark.parametrize("event", [changed_device, restored])
@pytest.mark.parametrize("backup", [False, True])
def test_the_same_content_under_another_identity_is_not_counted_again(
    tmp_path: Path, event: object, backup: bool
) -> None:
    world = counting(World(tmp_path / "w"))
    if backup:
        shutil.copy2(world.path, world.logs / "app.log.bak")
    assert callable(event)
    event(world)
    world.run()
    world.write(5)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_a_few_first_bytes_are_known_under_another_identity(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(1)
    world.advance(60)
    world.run()
    assert world.path.stat().st_size < 256
    restored(world)
    world.write(5)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize("old, new", [(30, 60), (60, 30), (60, 90), (60, 420)])
def test_a_new_interval_takes_over_at_a_boundary_of_both(tmp_path: Path, old: int, new: int) -> None:
    world = World(tmp_path / "w")
    world.settings.interval = old
    counting(world)
    world.advance(old)
    world.run()
    world.settings.interval = new
    for _ in range(30):
        world.write(5)
        world.advance(30)
        world.run()
    # Late ones, of before the change and of after it.
    world.write(5, ago=900)
    world.write(5, ago=120)
    for _ in range(3):
        world.advance(new)
        world.run()
    points: dict[int, int] = {}
    for text in world.outputs:
        for line in text.splitlines():
            name, value, at = line.split(" ")
            if name == METRIC:
                points[int(at)] = int(value)
    assert sum(points.values()) == sum(world.expected().values())
    assert {at % new for at in points if at >= world.now - 3 * new} == {0}
    ordered = sorted(points)
    steps = {ordered[n + 1] - ordered[n] for n in range(len(ordered) - 1)}
    assert steps == {old, new}  # no interval is left out, none overlaps another


def test_an_interval_that_changed_while_the_host_was_off_for_long_takes_over(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w"))
    world.settings.interval = 420
    world.advance(5 * 86_400)
    world.run()
    world.write(5)
    for _ in range(20):
        world.advance(60)
        world.run()
    slots = {int(line.split(" ")[2]) for text in world.outputs[-5:] for line in text.splitlines() if METRIC in line}
    assert slots and {at % 420 for at in slots} == {0}


class BadDisk:
    """Lets pread fail with EIO for some files from an offset on, as a disk with a bad sector does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bad: dict[str, int] = {}
        self.times = 1_000_000  # that it still fails
        self._real = os.pread
        monkeypatch.setattr(os, "pread", self._pread)

    def _pread(self, handle: int, length: int, offset: int) -> bytes:
        at = self.bad.get(Path(f"/proc/self/fd/{handle}").resolve().name)
        if at is not None and offset + length > at and self.times:
            if offset >= at:
                self.times -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            length = at - offset
        return self._real(handle, length, offset)


def test_a_disk_that_fails_in_one_file_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "w", pattern="*.log")
    other = world.logs / "other.log"
    other.touch()
    counting(world)
    disk = BadDisk(monkeypatch)
    world.write(50)
    disk.bad = {"app.log": world.path.stat().st_size - 1000}  # in the middle of what is new
    for _ in range(3):
        world.write(5, to=other)
        world.advance(60)
        world.run()
    assert world.stored()[int(world.now) - 120] == 4
    assert [fault for fault in world.faults if "app.log: cannot be read: Input/output error" in fault]
    assert "logs.script_error 1" in world.outputs[-1]
    disk.bad = {}
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_a_rotated_file_that_cannot_be_read_is_read_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = counting(World(tmp_path / "w"))
    disk = BadDisk(monkeypatch)
    world.write(5)
    world.rotate()
    world.write(5)
    disk.bad = {"app.log.1": 0}
    world.advance(60)
    world.run()
    assert [fault for fault in world.faults if "app.log.1: cannot be read: Input/output error" in fault]
    disk.bad = {}
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_a_new_live_file_that_cannot_be_read_once_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = counting(World(tmp_path / "w"))
    world.write(20)
    world.run()
    disk = BadDisk(monkeypatch)
    world.write(5)
    world.rotate()
    world.compress(0, "gz")
    world.write(5)
    disk.bad, disk.times = {"app.log": 0}, 1
    world.advance(60)
    world.run()
    # What is behind it is read later than it would have been: a family may have got other names.
    assert disk.times == 0
    assert [fault for fault in world.faults if "app.log: cannot be read: Input/output error" in fault]
    assert "logs.script_error 1" in world.outputs[-1]
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_what_is_no_regular_file_stops_no_run(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w", pattern="*.log"))
    os.mkfifo(world.logs / "pipe.log")
    (world.logs / "folder.log").mkdir()
    world.write(5)
    world.advance(60)
    world.run()
    assert world.faults == []  # what a glob takes in by chance is no fault
    world.settings.sources += [
        {"type": "file", "path": str(world.logs)},
        {"type": "file", "path": str(world.logs / "pipe.log")},
    ]
    world.write(5)
    world.settle()
    assert world.stored() == world.expected()
    for path in (world.logs, world.logs / "pipe.log"):
        assert f"{path}: cannot be read: it is no regular file; name a log file" in world.faults


def sources(world: World, *patterns: str) -> None:
    world.settings.sources = [{"type": "file", "path": str(world.logs / pattern)} for pattern in patterns]


def lines(world: World, minutes: int) -> None:
    for _ in range(minutes):
        world.write(10)
        world.advance(60)
        world.run()


@pytest.mark.parametrize("link", ["current.log", "a-current.log"])
@pytest.mark.parametrize("hard", [False, True])
def test_two_names_of_one_file_count_once(tmp_path: Path, link: str, hard: bool) -> None:
    world = World(tmp_path / "w", pattern="*.log")
    world.path.touch()
    if hard:
        os.link(world.path, world.logs / link)
    else:
        (world.logs / link).symlink_to("app.log")
    counting(world)
    if not hard:
        world.rotate()
        lines(world, 2)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_a_file_that_gives_its_name_to_a_link_is_read_on(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w", pattern="*.log"))
    moved = world.logs / "service.log"
    world.path.rename(moved)
    world.path.symlink_to("service.log")
    lines(world, 3)
    world.settle()
    assert world.stored() == world.expected()


@pytest.mark.parametrize(
    "patterns",
    [("app.log", "*.log"), ("*.log", "app.log"), ("*.log", "app*"), ("app.log", "link"), ("app.log", "app*")],
)
def test_a_file_that_two_sources_name_counts_once(tmp_path: Path, patterns: tuple[str, str]) -> None:
    world = World(tmp_path / "w")
    sources(world, *patterns)
    (world.logs / "link").symlink_to("app.log")
    counting(world)
    world.rotate(create=False)
    world.run()
    lines(world, 3)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize(
    "change",
    [
        (["app.log"], ["*.log"]),
        (["*.log"], ["app.log"]),
        (["*.log"], ["app.log", "*.log"]),
        (["app.log", "*.log"], ["*.log"]),
        (["app.log", "*.log"], ["*.log", "app.log"]),
    ],
)
def test_another_source_reads_on_where_the_one_before_it_ended(
    tmp_path: Path, change: tuple[list[str], list[str]]
) -> None:
    before, after = change
    world = World(tmp_path / "w")
    sources(world, *before)
    counting(world)
    world.write(7)
    sources(world, *after)
    lines(world, 3)
    world.settle()
    assert world.stored() == world.expected()


def test_a_source_that_was_taken_out_and_put_back_begins_at_its_end(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w"))
    world.settle()
    before = sum(world.stored().values())
    sources(world, "other.log")
    lines(world, 3)
    sources(world, "app.log")
    world.run()
    world.settle()
    assert sum(world.stored().values()) == before
    lines(world, 3)
    world.settle()
    assert sum(world.stored().values()) == before + 3 * 8


class Steps(Budget):
    """A budget in looks at it, not in seconds: the same on every machine."""

    def __init__(self, looks: int) -> None:
        super().__init__(0)
        self.looks = looks

    @property
    def over(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def share(self, parts: int) -> Budget:
        return self


@pytest.mark.parametrize("late", ["next", "correct"])
@pytest.mark.parametrize("unreadable", [False, True])
def test_a_finished_file_does_not_vouch_for_one_with_a_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, unreadable: bool
) -> None:
    world = World(tmp_path / "w", late=late, pattern="*.log")
    small = world.logs / "a.log"
    small.touch()
    if unreadable:
        # Of no regular file anything more than its name is known.
        (world.logs / "b.log").symlink_to("b.log")
    counting(world, minutes=1)
    for _ in range(20):
        world.write(40)
        world.write(2, to=small)
        world.advance(60)
    for _ in range(3):
        monkeypatch.setattr(count, "Budget", lambda seconds: Steps(4))
        world.run()
    monkeypatch.undo()
    world.settle()
    assert bool(world.faults) == unreadable
    assert world.stored() == world.expected()
    printed: dict[str, set[str]] = {}
    for text in world.outputs:
        for line in text.splitlines():
            name, value, at = line.split(" ")
            if name == METRIC:
                printed.setdefault(at, set()).add(value)
    assert {at: values for at, values in printed.items() if len(values) > 1} == {}


def test_a_copy_that_got_the_inode_of_an_empty_rotated_file_counts_once(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(61)
    world.rotate(create=False)
    world.write(1)
    world.run()
    empty = world.logs / "app.log.1"
    empty.write_bytes(world.path.read_bytes())  # the same inode
    world.touch(empty)
    world.path.write_bytes(b"")
    world.advance(1)
    world.touch(world.path)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize("between", [False, True])
def test_a_copy_of_what_was_read_is_not_decompressed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    world = World(tmp_path / "w", chunk=1 << 20)
    world.path.touch()
    world.run()
    world.advance(60)
    world.append(world.path, b"".join(world.line(world.now, "noise " + "x" * 1000) for _ in range(3000)))
    world.write(5)
    world.advance(60)
    world.run()
    world.advance(1)
    world.run()
    world.rotate()
    if between:
        world.run()
    world.advance(60)
    world.compress(0, "gz")
    steps: list[int] = []
    real = gzip.GzipFile.read

    def read(file: gzip.GzipFile, size: int = -1) -> bytes:
        steps.append(size)
        return real(file, size)

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    world.write(5)
    world.settle()
    assert steps and sum(steps) <= 1 << 20  # of 3 MB
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_a_line_longer_than_a_chunk_and_shorter_than_the_most_takes_no_other_along(tmp_path: Path) -> None:
    world = World(tmp_path / "w", chunk=1000)
    world.settings.line_max = 65_536
    counting(world)
    world.append(world.path, world.line(world.now, "event " + "x" * 3000))
    world.written[int(world.now)] = 1
    world.write(10)
    world.settle()
    assert world.stored() == world.expected()


@pytest.mark.parametrize("seen", [False, True])
def test_a_large_compressed_copy_is_unpacked_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    world = counting(World(tmp_path / "w", chunk=1 << 18))
    world.append(world.path, b"".join(world.line(world.now, "noise " + "x" * 1000) for _ in range(6000)))
    world.write(5)
    world.run()
    world.write(5)
    world.rotate()
    if seen:
        monkeypatch.setattr(count, "Budget", lambda seconds: Steps(0))
        world.run()
        monkeypatch.undo()
    world.compress(0, "gz")
    read: list[int] = []
    real = gzip.GzipFile.read

    def counted(file: gzip.GzipFile, size: int = -1) -> bytes:
        read.append(size)
        return real(file, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    for looks in (3, 6, 9):
        monkeypatch.setattr(count, "Budget", lambda seconds, looks=looks: Steps(looks))
        read.clear()
        world.write(5)
        world.advance(60)
        world.run()
        assert sum(read) < 4 << 20  # of 6 MB
        assert any("app.log.1.gz: is not unpacked up to the place" in fault for fault in world.faults)
        assert world.lost == 0
        # Nothing of later minutes is finished before it.
        assert max(world.stored()) < world.now - 60
    monkeypatch.undo()
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def into_olddir(world: World, number: int, how: str) -> None:
    """logrotate with `olddir old`: by rename, or compressed at once, or copied and truncated."""
    old = world.logs / "old"
    old.mkdir(exist_ok=True)
    target = old / f"app.log.{number}"
    if how == "copytruncate":
        shutil.copyfile(world.path, target)
        os.truncate(world.path, 0)
    else:
        world.path.rename(target)
        world.path.touch()
    world.touch(target)
    if how == "compressed":
        (old / f"{target.name}.gz").write_bytes(gzip.compress(target.read_bytes()))
        world.touch(old / f"{target.name}.gz")
        target.unlink()


def test_a_log_of_a_glob_that_comes_back_and_is_rotated_between_two_runs_counts(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w", pattern="*.log"))
    world.path.unlink()
    world.advance(60)
    world.run()
    world.write(5)
    world.path.rename(world.logs / "app.log.1")
    world.advance(60)
    world.run()
    world.settle()
    assert world.stored() == world.expected()


def test_a_name_that_a_glob_does_not_find_any_more_is_forgotten_after_a_day(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w", pattern="*.log"))
    world.path.unlink()
    world.run()
    world.advance(86_500)
    world.run()
    content = decode((world.state / "count.state").read_bytes())
    assert content is not None
    assert [cursor["paths"] for cursor in content["sources"].values()] == [{}]


def test_a_log_that_was_empty_when_the_clock_was_set_back_is_copied_and_truncated(tmp_path: Path) -> None:
    world = counting(World(tmp_path / "w"))
    world.path.rename(world.logs / "app.log.1")
    world.path.touch()
    world.touch(world.path)
    world.advance(60)
    world.run()
    # The log's time is ahead of the clock now, and that of the copy is before it.
    os.utime(world.path, (world.now, world.now))
    world.run()
    world.advance(-40)
    world.run()
    world.advance(1)
    world.write(5)
    copy = world.logs / "app.log.2"
    shutil.copyfile(world.path, copy)
    world.touch(copy)
    os.truncate(world.path, 0)
    world.touch(world.path)
    world.settle()
    assert sum(world.stored().values()) == sum(world.expected().values())
    assert world.lost == 0


@pytest.mark.parametrize("how", ["renamed", "compressed", "copytruncate"])
@pytest.mark.parametrize("between", [1, 2])
def test_a_folder_for_old_logs_is_found(tmp_path: Path, how: str, between: int) -> None:
    world = counting(World(tmp_path / "w"))
    # Another service's folder, whose rotated files are none of ours.
    other = world.logs / "service"
    other.mkdir()
    for number in range(6):
        for part in range(between):
            world.write(7)
            world.advance(5)
            foreign = other / "app.log.1"
            foreign.write_bytes(b"".join(world.line(world.now) for _ in range(9)))
            world.touch(foreign)
            into_olddir(world, 2 * number + part, how)
            world.advance(5)
            world.write(3)
        world.advance(50)
        world.run()
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize("new", [30, 120, 600])
@pytest.mark.parametrize("bulk", [0, 1 << 20])
def test_late_lines_of_before_a_change_of_the_interval_correct_their_own(tmp_path: Path, new: int, bulk: int) -> None:
    world = World(tmp_path / "w", chunk=1 << 20)
    world.bulk_from = bulk
    counting(world, minutes=5)
    before = dict(world.written)
    world.settings.interval = new
    for _ in range(25):
        world.advance(60)
        world.run()
    for minute in sorted(before)[1:4]:
        world.write(5, ago=world.now - minute - 20)
        world.write(5, ago=world.now - minute - 40)
    for _ in range(3):
        world.advance(new)
        world.run()
    points = {}
    for text in world.outputs:
        for line in text.splitlines():
            name, value, at = line.split(" ")
            if name == METRIC:
                points[int(at)] = int(value)
    assert {at: number for at, number in points.items() if number} == world.expected()


@pytest.mark.parametrize("order", [("other.log", "app.log"), ("app.log", "other.log"), ("*.log",)])
def test_the_inode_of_another_logs_old_file_is_used_again(tmp_path: Path, order: tuple[str, ...]) -> None:
    """As logrotate does it to auth.log and syslog: one's old file is compressed, the other's new one gets its inode."""
    world = World(tmp_path / "w")
    sources(world, *order)
    other, old = world.logs / "other.log", world.logs / "other.log.1"
    other.touch()
    world.touch(other)
    counting(world)
    world.write(20, to=other)
    other.rename(old)
    other.touch()
    world.touch(other)
    world.advance(60)
    world.run()
    world.write(5)
    world.write(5, to=other)
    for path in (world.path, other):  # both are rotated and compressed, and each gets an inode of the other's
        pack(path, world.logs / f"{path.name}.2.gz")
    pack(old, world.logs / "other.log.3.gz")
    world.path.rename(world.logs / "inode")
    old.rename(world.path)
    (world.logs / "inode").rename(other)
    for path in (world.path, other):
        os.truncate(path, 0)
        world.touch(path)
    lines(world, 2)
    world.rotate()  # before a run has seen that it is another's
    world.write(5)
    lines(world, 2)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0
    assert not any("is read as" in fault for fault in world.faults)


def pack(path: Path, target: Path) -> None:
    """What gzip makes of a file, with its time."""
    target.write_bytes(gzip.compress(path.read_bytes()))
    stat = path.stat()
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("patterns", [("app.log", "svc.log"), ("svc.log", "app.log"), ("*.log",)])
@pytest.mark.parametrize("rotations", [1, 2])
def test_an_inode_that_another_log_gave_back_is_no_second_name_of_it(
    tmp_path: Path, patterns: tuple[str, ...], rotations: int
) -> None:
    world = World(tmp_path / "w")
    sources(world, *patterns)
    svc = Log(world, "svc.log")
    svc.path.touch()
    world.touch(svc.path)
    counting(world)
    for _ in range(rotations):
        svc.write(9)
        world.write(9)
        world.advance(1)
        world.rotate()
        world.write(3)
        # app.log.1 is compressed, and svc.log's next file gets the inode that this gives back.
        old = world.logs / "app.log.1"
        (world.logs / "app.log.1.gz").write_bytes(gzip.compress(old.read_bytes()))
        world.touch(world.logs / "app.log.1.gz")
        svc.rotate(create=False)
        os.truncate(old, 0)
        old.rename(svc.path)
        world.advance(1)
        svc.write(6)
        world.advance(1)
    svc.write(5)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize("boot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("looks", [0, 1, 2, 3, 5])
def test_old_files_that_wait_are_followed_through_rotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boot: bool, packed: bool, looks: int
) -> None:
    """Each takes the name that another one had; and after a boot the file system has another device number."""
    world = counting(World(tmp_path / "w"))

    def rotate() -> None:
        world.write(5)
        world.advance(1)
        world.rotate()
        if packed:
            world.compress(0, "gz")

    for _ in range(3):
        rotate()
    world.advance(60)
    monkeypatch.setattr(count, "Budget", lambda seconds: Steps(looks))
    world.run()
    monkeypatch.undo()
    if boot:
        changed_device(world)
    rotate()
    world.advance(60)
    world.run()
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


@pytest.mark.parametrize("looks", [4, 7, 12])
def test_a_large_compressed_copy_is_read_over_several_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    world = counting(World(tmp_path / "w", chunk=1 << 18))
    for _ in range(4):
        world.append(world.path, b"".join(world.line(world.now, "noise " + "x" * 1000) for _ in range(1500)))
        world.write(5)
    world.advance(1)
    world.rotate()
    world.compress(0, "gz")
    for _ in range(12):
        monkeypatch.setattr(count, "Budget", lambda seconds: Steps(looks))
        world.write(5)
        world.advance(60)
        world.run()
        assert world.lost == 0
    monkeypatch.undo()
    world.settle()
    assert world.stored() == world.expected()


def test_a_rotation_in_the_middle_of_a_run_makes_nothing_old_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the new live file and its opening; older files were read, compressed and forgotten."""
    world = counting(World(tmp_path / "w"))
    for _ in range(4):
        world.rotate()
        lines(world, 1)
        world.compress(0, "gz")
        lines(world, 2)
    world.rotate()
    world.write(5)
    real = file_source._Follower._live_one
    rotated: list[int] = []

    def live_one(*args: Any) -> None:
        if not rotated:
            rotated.append(1)
            world.rotate()
            world.write(5)
        real(*args)

    monkeypatch.setattr(file_source._Follower, "_live_one", live_one)
    world.advance(60)
    world.run()
    assert rotated
    lines(world, 2)
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0


def test_a_short_log_that_is_truncated_after_the_clock_was_set_back_counts_once(tmp_path: Path) -> None:
    """The copy is older than what was read of it last, by its time."""
    world = counting(World(tmp_path / "w"))
    world.copytruncate()
    world.advance(60)
    world.run()
    world.advance(60)
    world.write(1)
    world.run()
    world.now -= 30
    world.copytruncate()
    world.advance(0.05)
    world.run()
    world.write(1)
    world.settle()
    assert world.lost == 0
    assert sum(world.stored().values()) == sum(world.expected().values())


def test_a_log_that_was_deleted_with_lines_that_nobody_read_is_said(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(5)
    world.run()
    world.write(5)
    world.path.unlink()
    world.write(5)
    world.settle()
    assert world.lost == 1
    assert any("logs.parser.lost 1 " in output for output in world.outputs)
    assert sum(world.stored().values()) == 8


def never_seen_live(world: World) -> Path:
    """A log that was live and rotated between two runs; where it is now."""
    world.path.touch()
    world.run()
    world.advance(60)
    world.write(5)
    world.rotate()
    world.write(10)
    world.advance(1)
    world.rotate()
    return world.logs / "app.log.1"


def test_a_copy_that_stands_beside_its_original_counts_once(tmp_path: Path) -> None:
    """As gzip leaves them for a moment, and `gzip -k` for good."""
    world = World(tmp_path / "w")
    old = never_seen_live(world)
    packed = old.with_name("app.log.1.gz")
    packed.write_bytes(gzip.compress(old.read_bytes()))
    shutil.copystat(old, packed)
    world.settle()
    assert world.stored() == world.expected()


def test_a_copy_that_is_not_complete_yet_is_read_when_it_is(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    old = never_seen_live(world)
    times = old.stat()
    whole = gzip.compress(old.read_bytes())
    old.unlink()
    packed = old.with_name("app.log.1.gz")
    packed.write_bytes(whole[: len(whole) // 2])
    world.touch(packed)
    world.run()
    world.advance(10)
    packed.write_bytes(whole)
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))  # gzip gives it the time of its original
    world.settle()
    assert world.stored() == world.expected()
    assert world.lost == 0
