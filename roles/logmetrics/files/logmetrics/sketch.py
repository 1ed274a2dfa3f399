"""The values of a timing: exact up to 1,000, beyond that a histogram whose percentiles are within 1 %.

Percentile p of n values is the value at rank ceil(p / 100 * n) in ascending order (nearest rank: always one that
occurred). The histogram's classes are logarithmic (each 2 % wide), so the result does not depend on the order in which
values came. Values are in billionths (see `values`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXACT = 1000
_ACCURACY = 0.01
_GAMMA = (1 + _ACCURACY) / (1 - _ACCURACY)
PERCENTILES = (50, 95, 99)


def new() -> list[Any]:
    """An empty timing: ["t", count, sum, min, max, values or None, classes or None]."""
    return ["t", 0, 0, 0, 0, [], None]


def add(timing: list[Any], value: int, times: int) -> None:
    """Take `value` in, `times` times."""
    timing[3] = value if not timing[1] else min(timing[3], value)
    timing[4] = value if not timing[1] else max(timing[4], value)
    timing[1] += times
    timing[2] += value * times
    if timing[6] is None:
        if timing[1] <= EXACT:
            timing[5].extend([value] * times)
            return
        _to_classes(timing)
    _put(timing[6], value, times)


def merge(timing: list[Any], other: list[Any]) -> None:
    """Take all of `other`'s values in."""
    if not other[1]:
        return
    if other[6] is None:
        for one in other[5]:
            add(timing, one, 1)
        return
    if timing[6] is None:
        _to_classes(timing)
    for key, number in other[6].items():
        timing[6][key] = timing[6].get(key, 0) + number
    timing[3] = min(timing[3], other[3]) if timing[1] else other[3]
    timing[4] = max(timing[4], other[4]) if timing[1] else other[4]
    timing[1] += other[1]
    timing[2] += other[2]


def percentiles(timing: list[Any]) -> list[int]:
    """The values at PERCENTILES; the timing must not be empty."""
    count = timing[1]
    ranks = [-(-p * count // 100) for p in PERCENTILES]
    if timing[6] is None:
        ordered = sorted(timing[5])
        return [ordered[rank - 1] for rank in ranks]
    classes = sorted((_middle(key), number) for key, number in timing[6].items())
    found = []
    for rank in ranks:
        seen = 0
        for middle, number in classes:
            seen += number
            if seen >= rank:
                found.append(min(max(middle, timing[3]), timing[4]))
                break
    return found


def _to_classes(timing: list[Any]) -> None:
    classes: dict[str, int] = {}
    for one in timing[5]:
        _put(classes, one, 1)
    timing[5], timing[6] = None, classes


def _put(classes: dict[str, int], value: int, times: int) -> None:
    key = _class(value)
    classes[key] = classes.get(key, 0) + times


def _class(value: int) -> str:
    """The class's name; a string, as JSON's keys are."""
    if value == 0:
        return "0"
    from math import ceil, log  # noqa: PLC0415 - only where there are timings

    number = ceil(log(abs(value)) / log(_GAMMA))
    return f"{'-' if value < 0 else '+'}{number}"


def _middle(key: str) -> int:
    """A value within 1 % of all values of the class."""
    if key == "0":
        return 0
    middle = round(2 * _GAMMA ** int(key[1:]) / (_GAMMA + 1))
    return -middle if key[0] == "-" else middle
