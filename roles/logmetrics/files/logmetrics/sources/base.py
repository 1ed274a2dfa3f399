"""What the sources and their readers (count, ship) have in common."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Tuple

    # A journal entry: (Unix nanoseconds, program, message, the line as a file would hold it)
    Entry = Tuple[int, bytes, bytes, bytes]


class Budget:
    """How long a run may still read; monotonic, so that a clock that jumps changes nothing."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether it is used up."""
        return time.monotonic() >= self._end

    def share(self, parts: int) -> Budget:
        """An equal part of what is left, so that one source's backlog starves no other."""
        return Budget(self.left / max(1, parts))


class Sink:
    """Takes what a source reads."""

    def lines(self, source: str, data: bytes | memoryview, offset: int) -> int:
        """Whole lines (each ends in a newline), the first at `offset` in its file; returns how many bytes were taken.

        Fewer than all means that reading must stop here for this run.
        """
        raise NotImplementedError

    def entries(self, source: str, entries: list[Entry]) -> int:
        """Journal entries; returns how many were taken."""
        raise NotImplementedError


class Report:
    """What a source has to say about one run of reading."""

    def __init__(self) -> None:
        self.at_end = False  # everything written before the run began has been read
        # Names under which the sink got lines; those in neither cannot be read.
        self.ended: set[str] = set()  # read to the end
        self.unfinished: set[str] = set()  # the budget or the sink stopped it
        self.lag = 0  # bytes not read yet
        self.bytes = 0
        self.lost = 0  # pieces of log, or journal entries, that were gone before they could be read
        self.lost_bytes = 0
        self.faults: list[str] = []  # lines for the operator: the source cannot be read
        self.notes: list[str] = []  # lines for the operator: what was lost, and where


class Source:
    """One configured source. `cursor` is its part of the state (JSON), changed in place by `read`."""

    name: str

    def start(self, cursor: dict[str, Any], beginning: bool) -> None:
        """Fill an empty cursor: at the source's end, or at its beginning."""
        raise NotImplementedError

    def read(self, cursor: dict[str, Any], sink: Sink, budget: Budget) -> Report:
        """Read on until the end, the budget or the sink stops it."""
        raise NotImplementedError
