"""Finished intervals of the last days, one small file a day, for corrections, for sending again and for `replay`.

A line is a JSON list: ["names", id, [names that send zeros]] or [start of the interval, id, bucket, when it was
finished]. Of several records of one interval the last counts. The state
holds each file's length: what stands beyond it is of a run that was cut off
before its state was saved, and is cut away by the next.
"""

from __future__ import annotations

import os
import time
from zlib import crc32

from . import leanjson, shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Tuple

    from .buckets import Bucket

    # (start of the interval, names that send zeros, bucket)
    Record = Tuple[int, List[str], Bucket]

_PREFIX = "points-"
_NAMES = b'["names"'


class History:
    """The files below `folder`; `sizes` is the state's {day: bytes}, changed in place."""

    def __init__(self, folder: str, sizes: dict[str, int]) -> None:
        self.folder = folder
        self.sizes = sizes
        self._pending: dict[str, list[bytes]] = {}
        self._days: dict[str, _Day] = {}  # those that `find` was asked for
        self.faults: list[str] = []  # files that could not be read

    def append(self, at: int, catalog: str, names: list[str], bucket: Bucket, finished: int) -> None:
        """Note an interval that was finished, or corrected, at the Unix time `finished`; `catalog` names `names`."""
        day = _day(at)
        lines = self._pending.setdefault(day, [])
        lines.append(leanjson.dumps(["names", catalog, names]))
        lines.append(leanjson.dumps([at, catalog, bucket, finished]))

    def save(self) -> None:
        """Write what was noted, durably. Raises OSError."""
        for day, lines in self._pending.items():
            # The names once a write is enough; a reader has them before the record that needs them.
            unique = list(dict.fromkeys(lines))
            data = b"\n".join(unique) + b"\n"
            handle = os.open(self._path(day), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                size = min(self.sizes.get(day, 0), os.fstat(handle).st_size)
                os.ftruncate(handle, size)
                view = memoryview(data)
                at = size
                while view:
                    written = os.pwrite(handle, view, at)
                    view, at = view[written:], at + written
                os.fsync(handle)
            finally:
                os.close(handle)
            self.sizes[day] = at
        self._pending = {}

    def forget(self, before: int) -> None:
        """Remove the files of days that ended before this Unix time."""
        oldest = _day(before)
        for day in [day for day in self.sizes if day < oldest]:
            try:
                os.unlink(self._path(day))
            except FileNotFoundError:
                pass
            except OSError:
                continue
            del self.sizes[day]

    def between(self, since: int, until: int | None) -> Iterator[Record]:
        """The last record of each interval that begins in since <= start < until (None: without end), in order."""
        for day in sorted(self.sizes):
            if day < _day(since) or (until is not None and day > _day(max(since, until - 1))):
                continue
            found = {
                at: (names, bucket)
                for at, names, bucket, _ in self._records(day)
                if since <= at and (until is None or at < until)
            }
            for at in sorted(found):
                yield (at, *found[at])

    def finished(self, since: int) -> set[int]:
        """Intervals that were finished or corrected since a Unix time, by the clock of then (it may be set back)."""
        return {at for day in self.sizes for at, _, _, finished in self._records(day) if since <= finished}

    def find(self, at: int) -> tuple[list[str], Bucket] | None:
        """The last record of one interval, or None. A file is read once; what a caller adds to a record stays in it.

        Where `faults` grows, it is not known whether there is one.
        """
        day = _day(at)
        if day not in self._days:
            before = len(self.faults)
            index = _Day(self._path(day), self._lines(day))
            if len(self.faults) > before:
                return None
            self._days[day] = index
        try:
            return self._days[day].find(at)
        except OSError as error:
            self._note(error)
            return None

    def _records(self, day: str) -> Iterator[tuple[int, list[str], Bucket, int]]:
        names: dict[str, list[str]] = {}
        for line in self._lines(day):
            if line.startswith(_NAMES):
                _note_names(names, line)
                continue
            record = _parsed(line)
            if shape.is_interval(record):
                yield record[0], names.get(record[1], []), record[2], record[3]

    def _lines(self, day: str) -> Iterator[bytes]:
        """The lines of a day's file, up to the length that the state holds."""
        left = self.sizes.get(day, 0)
        try:
            with open(self._path(day), "rb") as file:
                for line in file:
                    left -= len(line)
                    if left < 0:
                        return
                    yield line
        except FileNotFoundError:
            return
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        self.faults.append(f"{error.filename or self.folder}: cannot be read: {error.strerror}; check the disk")

    def _path(self, day: str) -> str:
        return f"{self.folder}/{_PREFIX}{day}"


class _Day:
    """Where a day's records are in its file, by interval; each is read when it is asked for."""

    def __init__(self, path: str, lines: Iterator[bytes]) -> None:
        self._path = path
        self._places: dict[int, list[tuple[int, int]]] = {}  # (offset, length)
        self._names: dict[str, list[str]] = {}
        self._found: dict[int, tuple[list[str], Bucket]] = {}
        offset = 0
        for line in lines:
            if line.startswith(_NAMES):
                _note_names(self._names, line)
            else:
                begin = line[1 : line.find(b",")]
                if begin.isdigit():
                    self._places.setdefault(int(begin), []).append((offset, len(line)))
            offset += len(line)

    def find(self, at: int) -> tuple[list[str], Bucket] | None:
        """As in History. Raises OSError."""
        for offset, length in reversed(self._places.get(at, ()) if at not in self._found else ()):
            with open(self._path, "rb") as file:
                file.seek(offset)
                record = _parsed(file.read(length))
            if shape.is_interval(record):  # a damaged line costs itself alone
                self._found[at] = self._names.get(record[1], []), record[2]
                break
        return self._found.get(at)


def _note_names(names: dict[str, list[str]], line: bytes) -> None:
    """Note what a line names, once: an id is made from the names."""
    begin = len(_NAMES) + 2
    if line[begin : line.find(b'"', begin)].decode("ascii", "replace") not in names:
        record = _parsed(line)
        if shape.is_names(record):
            names[record[1]] = record[2]


def _parsed(line: bytes) -> Any:
    """The line's JSON, or None."""
    try:
        return leanjson.loads(line)
    except ValueError:
        return None


def catalog_id(names: list[str]) -> str:
    """A short name of a list of names."""
    return f"{crc32(' '.join(names).encode()):08x}"


def _day(at: int) -> str:
    return time.strftime("%Y%m%d", time.gmtime(at))
