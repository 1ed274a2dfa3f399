"""The state of one verb: one JSON object in one file, replaced atomically, the generation before it kept.

`prepare` writes and fsyncs the new file beside the old one (so a full disk shows before anything is printed), `commit`
renames. Until then the old state holds, and the run can be repeated from it to the same points.
"""

from __future__ import annotations

import fcntl
import os
from zlib import crc32

from . import leanjson
from .errors import Busy, Fault, StateTooNew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
_MAGIC = b"logmetrics-state"
CURRENT, PREVIOUS, FRESH, DAMAGED = "current", "previous", "fresh", "damaged"


def encode(content: dict[str, Any], form: int = FORMAT) -> list[bytes]:
    """The file's bytes, a large state's in pieces: a line `logmetrics-state FORMAT CRC32 LENGTH`, then JSON."""
    parts = list(leanjson.parts(content))
    crc = 0
    for part in parts:
        crc = crc32(part, crc)
    head = b"%s %d %08x %d\n" % (_MAGIC, form, crc, sum(map(len, parts)))
    parts[0] = head + parts[0]
    parts[-1] += b"\n"
    return parts


def decode(data: bytes) -> dict[str, Any] | None:
    """The content, or None where the bytes are damaged. Raises StateTooNew."""
    head, _, body = data.partition(b"\n")
    fields = head.split(b" ")
    if len(fields) != 4 or fields[0] != _MAGIC or not all(field.isalnum() for field in fields[1:]):
        return None
    try:
        form, crc, length = int(fields[1]), int(fields[2], 16), int(fields[3])
    except ValueError:
        return None
    if form > FORMAT:
        raise StateTooNew(f"format {form} is newer than this parser's ({FORMAT})")
    body = body[:length]
    if len(body) != length or crc32(body) != crc:
        return None
    try:
        content = leanjson.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


class Store:
    """State files of one verb in `folder`: VERB.state, VERB.state.old, VERB.lock."""

    def __init__(self, folder: str, verb: str) -> None:
        self.folder = folder
        self._verb = verb
        self.path = f"{folder}/{verb}.state"
        self.old = self.path + ".old"
        self._new = self.path + ".new"
        self._lock_path = f"{folder}/{verb}.lock"
        self._lock: int | None = None
        self._current_is_good = False

    def lock(self) -> None:
        """Keep other runs of the verb out until this process ends. Raises Busy, Fault."""
        try:
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Fault(
                f"{self._lock_path}: cannot be opened: {error.strerror}; "
                "the state directory must exist and belong to the user of the run"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.unlock()
            raise Busy(f"{self._lock_path}: another run is still at work; it goes on, this one ends") from None

    def unlock(self) -> None:
        """Let others run; done by the end of the process, too."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> tuple[dict[str, Any], str]:
        """(content, CURRENT | PREVIOUS | FRESH | DAMAGED); the content is empty for the last two.

        Raises StateTooNew, and Fault where a file is there but cannot be read.
        """
        there = False
        for path, which in ((self.path, CURRENT), (self.old, PREVIOUS)):
            data = self._read(path)
            if data is None:
                continue
            there = True
            try:
                content = decode(data)
            except StateTooNew as error:
                raise StateTooNew(f"{path}: {error}; install the release that wrote it, or a newer one") from None
            if content is not None and self._fits(content):
                self._current_is_good = which == CURRENT
                return content, which
        return {}, DAMAGED if there else FRESH

    def _fits(self, content: dict[str, Any]) -> bool:
        from . import shape  # noqa: PLC0415 - a first run has nothing to look at

        return shape.fits(content, shape.SHIP) if self._verb == "ship" else shape.is_count(content)

    def _read(self, path: str) -> bytes | None:
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Fault(f"{path}: cannot be read: {error.strerror}; give it to the user of the run") from None

    def prepare(self, content: dict[str, Any]) -> None:
        """Write the next generation durably, without taking it into use. Raises Fault (disk full, read-only ...)."""
        try:
            write_durably(self._new, *encode(content))
        except OSError as error:
            raise Fault(
                f"{self._new}: cannot be written: {error.strerror}; counting goes on from the last state that was saved"
            ) from None

    def commit(self) -> None:
        """Take what was prepared into use. Raises Fault."""
        try:
            # A damaged current file must not push out the good generation before it.
            if self._current_is_good:
                os.rename(self.path, self.old)
            os.rename(self._new, self.path)
            sync_folder(self.folder)
        except OSError as error:
            raise Fault(f"{self.path}: cannot be replaced: {error.strerror}; check the disk") from None
        self._current_is_good = True


def admitted(folder: str) -> dict[str, dict[str, int]]:
    """The names of families that the host has admitted, {metric: {name: newest interval}}, as far as it may be read."""
    try:
        families: dict[str, dict[str, int]] = Store(folder, "count").load()[0].get("families", {})
    except Fault:
        return {}
    return families


def write_durably(path: str, *parts: bytes) -> None:
    """Write a file, one part behind the other, and wait until the disk has it. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: str) -> None:
    """Wait until the disk has a folder's entries (a rename is durable only then). Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
