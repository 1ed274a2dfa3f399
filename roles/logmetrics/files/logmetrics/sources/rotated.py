"""Files that a log's rotation leaves beside it: which they are, and their content, compressed or not."""

from __future__ import annotations

import errno
import os
from stat import S_ISREG
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Iterable, Union

    from .base import Budget

PACKED = (".gz", ".xz", ".zst", ".bz2")
_STEP = 1 << 18
_FIRST = 256  # bytes that tell one content from another
_LISTINGS = 5  # of a folder whose files are being renamed; where numbers of inodes never fit (overlays), in vain
_BEHIND = 256  # bytes before the wanted range that stay: to go back would be to unpack it all again
_FREE = 1 << 20  # bytes that may be unpacked whatever the time: enough for what the signatures of most logs need


class Unfinished(Exception):  # noqa: N818 - a state, not a fault: look again at the next run
    """A file that cannot be read at present: a compressed copy that is still being written, or a disk that fails.

    `before` is what could be read of what was asked for.
    """

    def __init__(self, text: str, before: bytes = b"") -> None:
        super().__init__(text)
        self.before = before


class OutOfTime(Unfinished):
    """A compressed copy is larger than what can be unpacked in the rest of the run's time."""


class Unreadable(Unfinished):
    """A form that this Python cannot read, at the next run neither."""


class Truncated(Unfinished):
    """The file's first bytes are others than a moment ago: what is read now may be of another content."""


class Moved(Unfinished):
    """The name that was listed is another file's now, or nobody's: files were renamed meanwhile. List them again."""


class Plain:
    """Random access to a regular file as it is. Raises OSError, EINVAL for what is no regular file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        self.stat = os.fstat(self.fd)
        self.size = self.stat.st_size
        if not S_ISREG(self.stat.st_mode):
            os.close(self.fd)
            raise OSError(errno.EINVAL, "it is no regular file", path)
        self.first = b""
        self._looked = False

    def look(self) -> None:
        """Note the first bytes, for `check`. Raises Unfinished."""
        self.first = self.pread(_FIRST, 0)
        self._looked = True

    def check(self) -> None:
        """Raises Truncated where the content was replaced since `look`: what was read since may be of the new one."""
        if not self._looked:
            self.look()
        elif self.pread(len(self.first), 0) != self.first:
            raise Truncated(f"{self.path}: was truncated or written anew while it was read")

    def pread(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer only at the end. Raises Unfinished."""
        data = b""
        try:
            while len(data) < length:
                more = os.pread(self.fd, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise Unfinished(f"{self.path}: cannot be read: {error.strerror}; check the disk", data) from None
        return data

    def close(self) -> None:
        """Give the handle back."""
        os.close(self.fd)


class Packed:
    """Forward access to the content of a compressed file, in constant memory."""

    def __init__(self, path: str, budget: Budget | None = None) -> None:
        self.path = path
        self.budget = budget
        # By its handle alone: rotation may give the name to another file at any moment.
        self._raw = open(path, "rb")  # noqa: SIM115 - `close` closes it
        self.stat = os.fstat(self._raw.fileno())
        self.size = -1  # unknown before the end was seen
        try:
            self._open()
        except BaseException:
            self._raw.close()
            raise

    def check(self) -> None:
        """As Plain.check; a compressed copy is not written anew."""

    def _open(self) -> None:
        self._raw.seek(0)
        self._file = _unpack(self.path, self._raw)
        self._at = 0  # offset of _buffer
        self._buffer = b""

    def pread(self, length: int, offset: int) -> bytes:
        """As Plain.pread; going back starts the decompression anew. Raises Unfinished."""
        if not self.stat.st_size:
            raise Unfinished(f"{self.path}: is empty, as one that is about to be written")
        if offset < self._at:
            self._file.close()
            self._open()
        try:
            while self._at + len(self._buffer) < offset + length:
                # Drop what lies before the wanted range and what its reader may sign.
                drop = min(len(self._buffer), offset - _BEHIND - self._at)
                if drop > 0:
                    self._buffer = self._buffer[drop:]
                    self._at += drop
                if self.budget is not None and self._at > _FREE and self.budget.over:
                    raise OutOfTime(
                        f"{self.path}: is not unpacked up to the place that was read last within the time of this run; "
                        "the next one tries again (unpack it there, or raise run_budget and the exec's timeout)"
                    )
                more = self._file.read(_STEP)
                if not more:
                    self.size = self._at + len(self._buffer)
                    break
                self._buffer += more
        except Unfinished:
            raise
        except (EOFError, OSError, ValueError) as error:
            raise Unfinished(f"{self.path}: {error}") from None
        except Exception as error:
            # lzma.LZMAError, zlib.error and zstd's have no base of their own but Exception.
            if type(error).__name__ not in ("LZMAError", "error", "ZstdError"):
                raise
            raise Unfinished(f"{self.path}: {error}") from None
        start = offset - self._at
        return self._buffer[start : start + length] if start >= 0 else b""

    def close(self) -> None:
        """Give the handle back."""
        self._file.close()
        self._raw.close()


if TYPE_CHECKING:
    Reader = Union[Plain, Packed]


def open_reader(path: str, budget: Budget | None = None, listed: os.stat_result | None = None) -> Reader:
    """A reader for a file by its name; `budget` (if any) bounds its unpacking. Raises OSError, Unfinished.

    With `listed`, what `siblings` said of it, Moved where the name is another file's by now.
    """
    try:
        reader: Reader = Packed(path, budget) if path.endswith(PACKED) else Plain(path)
    except FileNotFoundError:
        if listed is None:
            raise
        raise Moved(f"{path}: is renamed or removed just now") from None
    if listed is not None and (reader.stat.st_ino, reader.stat.st_dev) != (listed.st_ino, listed.st_dev):
        reader.close()
        raise Moved(f"{path}: is renamed just now")
    return reader


def _unpack(path: str, raw: IO[bytes]) -> IO[bytes]:
    # Imported here: a run without a rotation needs none of them.
    if path.endswith(".gz"):
        import gzip  # noqa: PLC0415

        return gzip.open(raw, "rb")  # type: ignore[return-value]  # GzipFile reads bytes as IO[bytes] does
    if path.endswith(".bz2"):
        import bz2  # noqa: PLC0415

        return bz2.open(raw, "rb")
    if path.endswith(".xz"):
        import lzma  # noqa: PLC0415

        return lzma.open(raw, "rb")
    try:
        from importlib import import_module  # noqa: PLC0415

        return import_module("compression.zstd").open(raw, "rb")  # type: ignore[no-any-return]  # Python 3.14
    except ImportError:
        raise Unreadable(f"{path}: this Python cannot read zstd; 3.14 and later can") from None


def signature(reader: Reader, length: int, offset: int) -> int | None:
    """CRC-32 of `length` bytes at `offset`, or None where the file is too short."""
    data = reader.pread(length, offset) if length else b""
    return crc32(data) if len(data) == length else None


def siblings(base: str, others: Iterable[str] = ()) -> list[tuple[str, os.stat_result]]:
    """Files that the rotation of `base` may have made, beside it and in `others`, oldest content first (by mtime).

    logrotate's names: base.1, base-20261122, base.1.gz, and with `extension .log` stem-20261122.log.
    """
    found: list[tuple[str, os.stat_result]] = []
    for place in ((base.rpartition("/")[0] or "/"), *others):
        for _ in range(_LISTINGS):
            listed, moved = _siblings_in(place, base.rpartition("/")[2])
            if not moved:
                break
        found += listed
    found.sort(key=lambda one: (one[1].st_mtime_ns, one[0]))
    return found


def _siblings_in(place: str, name: str) -> tuple[list[tuple[str, os.stat_result]], bool]:
    """(files, whether any was renamed between the listing, which is of one moment, and the look at it)."""
    stem, dot, ending = name.rpartition(".")
    found = []
    moved = False
    for entry in _entries(place):
        if entry.name == name:
            continue
        if not (_is_rotated(entry.name, name) or (dot and stem and _is_rotated_inside(entry.name, stem, ending))):
            continue
        try:
            stat = entry.stat()
            if not entry.is_symlink() and entry.inode() != stat.st_ino:
                moved = True
        except OSError:
            moved = True
            continue
        if S_ISREG(stat.st_mode):
            found.append((entry.path, stat))
    return found, moved


def folders_beside(base: str) -> list[str]:
    """Folders in the folder of `base`, where logrotate's `olddir` may have put old files."""
    return sorted(entry.path for entry in _entries(base.rpartition("/")[0] or "/") if entry.is_dir())


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def rotated_name(path: str, names: list[str]) -> bool:
    """Whether a glob's hit is the rotated form of another of its hits, or compressed: never a live log."""
    if path.endswith(PACKED):
        return True
    folder, _, name = path.rpartition("/")
    for other in names:
        above, _, live = other.rpartition("/")
        if above != folder or other == path:
            continue
        stem, dot, ending = live.rpartition(".")
        if _is_rotated(name, live) or (dot and stem and _is_rotated_inside(name, stem, ending)):
            return True
    return False


def live_name(path: str) -> str:
    """The path of the log that a rotated file was, by its name alone; a path that looks like none is given back."""
    folder, slash, name = path.rpartition("/")
    name = _unpacked(name)
    for at in range(1, len(name)):
        if name[at] in ".-_~" and _is_suffix(name[at:], "."):
            return folder + slash + name[:at]
    stem, dot, ending = name.rpartition(".")
    for at in range(1, len(stem)):
        if stem[at] in ".-_" and ending.isalpha() and _is_suffix(stem[at:], "."):
            return folder + slash + stem[:at] + dot + ending
    return folder + slash + name


def _is_rotated(name: str, live: str) -> bool:
    return name.startswith(live) and _is_suffix(_unpacked(name[len(live) :]), ".-_~")


def _is_rotated_inside(name: str, stem: str, ending: str) -> bool:
    name = _unpacked(name)
    tail = "." + ending
    if not (name.startswith(stem) and name.endswith(tail) and len(name) > len(stem) + len(tail)):
        return False
    return _is_suffix(name[len(stem) : -len(tail)], ".")


def _unpacked(name: str) -> str:
    for packed in PACKED:
        if name.endswith(packed):
            return name[: -len(packed)]
    return name


def _is_suffix(text: str, before_number: str) -> bool:
    """`.1`, `-20261122`, `.2026-11-22_10`, `.old`: what rotation appends, not another live log (`-2`, `.errors`).

    A short number counts after one of `before_number` alone; a date has six digits or more and no letters.
    """
    if not text:
        return True
    if text[0] not in ".-_~":
        return False
    body = text[1:]
    if body in ("old", "bak", "prev"):
        return True
    if body.isdigit() and len(body) <= 3:
        return text[0] in before_number
    digits = sum(char.isdigit() for char in body)
    return digits >= 6 and all(char.isdigit() or char in "-_.:T" for char in body)
