"""The archives of a whisper store, and which of them keeps a point of a given age.

whisper writes a point into the finest archive that is long enough for its age, and of several points in one slot keeps
the last (whisper.py, file_update_many). From there it passes on to the coarser archives what falls into one of their
slots, aggregated. So history that is older than the finest archive must come as one point a slot of the archive that
holds it.
"""

from __future__ import annotations

import re

from .errors import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

HOUR = 3600
_PART = re.compile(r"(?P<number>\d+)(?P<unit>[a-z]*)\Z")


class Archive:
    """Seconds of a slot, and seconds that the archive goes back."""

    __slots__ = ("retention", "step")

    def __init__(self, step: int, retention: int) -> None:
        self.step = step
        self.retention = retention


if TYPE_CHECKING:
    # (seconds of the slot, its first second)
    Slot = Tuple[int, int]


def parse(text: str, where: str = "--retentions") -> list[Archive]:
    """`60s:7d,5m:90d` as in storage-schemas.conf: finest first. A number without a unit is seconds, or points.

    Raises Fault.
    """
    found = []
    for part in text.split(","):
        step_text, _, length_text = part.strip().partition(":")
        step = _seconds(step_text)
        length = _seconds(length_text)
        if not step or not length:
            raise Fault(f"{where}: {part.strip()!r} is no archive; write step:length, as 60s:7d")
        found.append(Archive(step, length * step if length_text.strip().isdigit() else length))
    found.sort(key=lambda archive: archive.step)
    for fine, coarse in zip(found, found[1:]):
        if coarse.step % fine.step or coarse.step == fine.step or coarse.retention <= fine.retention:
            raise Fault(
                f"{where}: {text!r} is no store's: each slot is a multiple of the one before, each archive longer"
            )
    return found


def _seconds(text: str) -> int:
    found = _PART.match(text.strip().lower())
    if found is None:
        return 0
    unit = found.group("unit")
    # whisper takes any beginning of seconds, minutes, hours, days, weeks, years.
    scale = next((value for name, value in _NAMES.items() if unit and name.startswith(unit)), 0) if unit else 1
    return int(found.group("number")) * scale


_NAMES = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800, "years": 31_536_000}


class Schemas:
    """A storage-schemas.conf: sections with a pattern and retentions, of which the first that matches holds."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._sections: list[tuple[re.Pattern[str], str]] = []
        pattern: str | None = None
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            key, value = key.strip().lower(), value.strip()
            if not equals or key.startswith(("#", ";")):
                continue
            if key == "pattern":
                pattern = value
            elif key == "retentions" and pattern is not None:
                try:
                    self._sections.append((re.compile(pattern), value))
                except re.error as error:
                    raise Fault(f"{where}: the pattern {pattern!r} is no regex: {error}") from None
                pattern = None
        if not self._sections:
            raise Fault(f"{where}: holds no section with pattern and retentions; name a storage-schemas.conf")

    def archives(self, series: str) -> list[Archive]:
        """The archives of a series by its full name. Raises Fault where no section matches."""
        for pattern, retentions in self._sections:
            if pattern.search(series):
                return parse(retentions, self._where)
        raise Fault(f"{self._where}: no pattern matches {series}; give --retentions")


def slot(archives: list[Archive], at: int, now: int) -> Slot | None:
    """The slot in which a store keeps an interval that began at `at`, or None where it is too old for every archive.

    `now` is when the points reach the store; its hour alone counts, so that two runs within an hour give the same. A
    slot of the next archive goes there as a whole, for whisper would write its parts one over the other.
    """
    latest = -(-now // HOUR) * HOUR
    for number, archive in enumerate(archives):
        coarse = archives[number + 1] if number + 1 < len(archives) else archive
        if latest - at // coarse.step * coarse.step <= archive.retention:
            return archive.step, at // archive.step * archive.step
    return None


def stamp(archives: list[Archive], kept: Slot) -> int:
    """The time with which a slot's point is sent: that of the last of the finest slots in it.

    So it is right in either of two archives between which the slot's age lies: in the finer one it stands alone and is
    passed on as it is (where the store's xFilesFactor is 0, see docs/rules.md), in the coarser one it is the slot.
    """
    step, start = kept
    return start + step - archives[0].step
