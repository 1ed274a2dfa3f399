"""What `ship` has sent since its cursors were saved, so that a run that was cut off sends no batch twice.

Loki drops an exact duplicate only while the first one is in the open block of its chunk (pkg/chunkenc/unordered.go;
256 KiB by default). So each batch is noted, durably, before it is sent: where it begins, what it holds, and its last
entry. The next run begins at the same cursors and finds the same batches there: those that Loki took it passes over,
and of the one whose answer is not known it asks Loki.
"""

from __future__ import annotations

from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .loki import Value

_MOST = 1000  # batches of one source that are remembered


class Batch:
    """A batch that was to be sent: lines of a file, or entries of the journal."""

    __slots__ = ("at", "crc", "last", "length", "start", "taken", "tried")

    def __init__(self, start: int, length: int, crc: int, at: str, last: int, taken: bool = False) -> None:
        self.tried = True  # in an earlier run, or in this one
        self.start = start  # offset in the file; of the journal, entries since the cursor that is saved
        self.length = length  # bytes; entries
        self.crc = crc  # CRC-32 of all of it
        self.at = at  # Unix ns of its last entry, as text
        self.last = last  # CRC-32 of its last entry's line
        self.taken = taken  # Loki has said that it has it


class Sent:
    """Batches by source, in the order in which they were sent; `save` makes what was noted durable (raises Fault)."""

    def __init__(self, saved: dict[str, list[list[Any]]], save: Callable[[], None]) -> None:
        self._batches = {source: [Batch(*fields) for fields in some] for source, some in saved.items()}
        self._save = save

    def find(self, source: str, start: int, content: Callable[[int], bytes]) -> Batch | None:
        """The batch that begins here, if `content(length)` is what it held."""
        for batch in self._batches.get(source, ()):
            if batch.start == start and crc32(content(batch.length)) == batch.crc:
                return batch
        return None

    def note(self, source: str, start: int, length: int, content: bytes, values: list[Value]) -> Batch:
        """Remember a batch that will now be sent. Raises Fault where that cannot be saved: then it must not be sent."""
        last = values[-1]
        batch = Batch(start, length, crc32(content), last[0], crc32(last[1].encode("utf-8")))
        batch.tried = False
        # Several files of one log, rotated since, may each have a batch that begins here: `crc` tells them apart.
        self._batches[source] = [*self._batches.get(source, [])[-_MOST:], batch]
        self._save()
        return batch

    def saved(self) -> dict[str, list[list[Any]]]:
        """For the state while the run goes on."""
        return {
            source: [[one.start, one.length, one.crc, one.at, one.last, one.taken] for one in batches]
            for source, batches in self._batches.items()
        }

    def open(self, counted: set[str]) -> dict[str, list[list[Any]]]:
        """For the state once the cursors are saved: those whose answer is not known.

        In sources of `counted` entries are counted from the cursor, which stands before the batch.
        """
        found = {}
        for source, batches in self._batches.items():
            unknown = [one for one in batches if not one.taken][-1:]
            if unknown:
                start = 0 if source in counted else unknown[0].start
                found[source] = [[start, one.length, one.crc, one.at, one.last, one.taken] for one in unknown]
        return found
