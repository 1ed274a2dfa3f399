"""Logs that are read from one end to the other, live, rotated or compressed: for what looks back (preview, backfill).

Nothing is remembered between two readings and nothing is written. A file's lines come in pieces of whole lines, in
constant memory; of a plain file, lines before a given time are jumped over by bisection.
"""

from __future__ import annotations

import os
import time

from .errors import Fault
from .lines import split
from .sources.rotated import PACKED, Plain, Unfinished, live_name, open_reader, siblings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Sequence

    from .config import Config
    from .sources.rotated import Reader

CHUNK = 1 << 20
DAY = 86_400
HALF_A_YEAR = 183 * DAY
DISORDER = 600  # seconds by which a line may be older than one before it
_STAMP_REACH = 65_536  # bytes after an offset within which a line with a stamp must begin
_SAMPLE = 100  # lines at a piece's end of which one must have a stamp


class Log:
    """One file: its path, and the name of the log that its lines belong to, which rules compare `source` with."""

    __slots__ = ("_reference", "mtime", "path", "size", "source")

    def __init__(self, path: str, source: str, stat: os.stat_result) -> None:
        self.path = path
        self.source = source
        self.size = stat.st_size  # bytes on disk
        self.mtime = stat.st_mtime
        self._reference: float | None = None

    @property
    def packed(self) -> bool:
        """Whether it is compressed, and so read from its beginning alone."""
        return self.path.endswith(PACKED)

    def reference(self, now: float) -> float:
        """The time as of which its stamps are read (the year that a stamp does not tell): that of its last change.

        Where its first line would then be of the future, the file was copied later, and the stamps are of the year
        before.
        """
        if self._reference is None:
            reference = min(now, self.mtime + DAY)
            first = _first_stamp(_beginning(self.path), reference)
            self._reference = reference - HALF_A_YEAR if first is not None and first > reference + DAY else reference
        return self._reference


def _beginning(path: str) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        reader = open_reader(path)
    except (OSError, Unfinished):
        return b""
    try:
        return reader.pread(_STAMP_REACH, 0)
    except Unfinished as error:
        return error.before
    finally:
        reader.close()


def named(paths: Sequence[str], source: str | None = None) -> list[Log]:
    """The files of these names, newest first, each once. Raises Fault for one that is not there."""
    found: dict[str, Log] = {}
    for path in paths:
        real = os.path.realpath(path)
        try:
            stat = os.stat(path)
        except OSError as error:
            raise Fault(f"{path}: cannot be read: {error.strerror}; name a log file") from None
        if os.path.isdir(path):
            raise Fault(f"{path}: is a folder; name log files, as {path.rstrip('/')}/*.log*")
        found.setdefault(real, Log(path, source or live_name(os.path.abspath(path)), stat))
    return newest_first(found.values())


def configured(settings: Config, since: float) -> list[Log]:
    """The configured log files and what their rotation left, as far as they were written to after `since`."""
    from .sources.file import FileSource  # noqa: PLC0415 - a caller with names of its own does not need it

    found: dict[str, Log] = {}
    for one in settings.sources:
        if one["type"] != "file":
            continue
        for live in FileSource(one["path"], settings.line_max, time.time, {}).paths():
            there = [(live, os.stat(live))] if os.path.exists(live) else []
            for path, stat in [*siblings(live), *there]:
                if stat.st_mtime >= since:
                    found.setdefault(os.path.realpath(path), Log(path, live, stat))
    return newest_first(found.values())


def newest_first(logs: Iterable[Log]) -> list[Log]:
    """Logs by their last change."""
    return sorted(logs, key=lambda log: (-log.mtime, log.path))


class Piece:
    """Whole lines of a log, and where the file stands after them (bytes of its content)."""

    __slots__ = ("data", "end")

    def __init__(self, data: bytes, end: int) -> None:
        self.data = data
        self.end = end


def pieces(log: Log, since: float = 0.0, last_bytes: int = 0) -> Iterator[Piece]:
    """Whole lines from the file's beginning on, each piece about 1 MiB.

    With `since` lines that are older are left out as far as that is cheap. With `last_bytes` a plain file is read from
    so many bytes before its end. Raises Fault where it cannot be read.
    """
    try:
        reader = open_reader(log.path)
    except OSError as error:
        raise Fault(
            f"{log.path}: cannot be read: {error.strerror}; let this user read it (group adm, or an ACL)"
        ) from None
    except Unfinished as error:
        raise Fault(str(error)) from None
    reference = log.reference(time.time())
    try:
        start = 0
        if isinstance(reader, Plain):
            if since:
                start = _first_since(reader, since - DISORDER, reference)
            if last_bytes and reader.size - start > last_bytes:
                start = _line_after(reader, reader.size - last_bytes)
        for piece in _whole_lines(reader, start):
            if since and log.packed and _ends_before(piece.data, since - DISORDER, reference):
                continue
            yield piece
    except Unfinished as error:
        raise Fault(str(error)) from None
    finally:
        reader.close()


def _whole_lines(reader: Reader, at: int) -> Iterator[Piece]:
    while True:
        data = reader.pread(CHUNK, at)
        end = data.rfind(b"\n") + 1
        if end:
            at += end
            yield Piece(data[:end], at)
        elif len(data) < CHUNK:
            if data:
                yield Piece(data + b"\n", at + len(data))
            return
        else:
            # A line longer than a piece counts by its beginning, as on the host.
            at = _line_after(reader, at + CHUNK)
            yield Piece(data + b"\n", at)


def _line_after(reader: Reader, at: int) -> int:
    """Where the first line begins that begins at `at` or after it."""
    if at == 0:
        return 0
    at -= 1
    while True:
        data = reader.pread(_STAMP_REACH, at)
        newline = data.find(b"\n")
        if newline >= 0:
            return at + newline + 1
        at += len(data)
        if len(data) < _STAMP_REACH:
            return at


def _first_since(reader: Plain, since: float, reference: float) -> int:
    """Offset of a line before which all are older than `since`, found by bisection (a log is written in order)."""
    low, high = 0, reader.size
    while high - low > CHUNK:
        middle = (low + high) // 2
        at = _line_after(reader, middle)
        stamp = _first_stamp(reader.pread(_STAMP_REACH, at), reference)
        if stamp is not None and stamp < since:
            low = at
        else:
            high = middle
    return low


def _first_stamp(data: bytes, reference: float) -> int | None:
    for line in data.split(b"\n")[:_SAMPLE]:
        found = split(line[:4096], reference)[0]
        if found is not None:
            return found[0]
    return None


def _ends_before(data: bytes, since: float, reference: float) -> bool:
    for line in reversed(data.rsplit(b"\n", _SAMPLE)[1:]):
        found = split(line[:4096], reference)[0]
        if found is not None:
            return found[0] < since
    return False


class Progress:
    """A line of progress on stderr, at most twice a second, where it is wanted or stderr is a terminal."""

    def __init__(self, verb: str, wanted: bool) -> None:
        self._verb = verb
        self._terminal = os.isatty(2)
        self._shows = wanted or self._terminal
        self._shown = 0.0

    def __call__(self, text: str, last: bool = False) -> None:
        """Show it now, or not yet; the last one in any case."""
        if not self._shows or (not last and time.monotonic() - self._shown < 0.5):
            return
        self._shown = time.monotonic()
        end = "\n" if last or not self._terminal else ""
        os.write(2, f"{chr(13) if self._terminal else ''}logmetrics {self._verb}: {text}{end}".encode())
