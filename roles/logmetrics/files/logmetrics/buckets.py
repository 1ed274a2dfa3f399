"""What was counted, by interval: a bucket is one interval's series, {name: value}, as it stands in the state.

Values: a counter is a whole number; a sum ["s", billionths]; a gauge ["g", stamp in ns, billionths], the newest stamp
wins; a timing ["t", ...] (see `sketch`). Buckets of two runs can be merged in any order with the same result.
"""

from __future__ import annotations

from . import sketch, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable

    Bucket = Dict[str, Any]


_MARKS = {"sum": "s", "gauge": "g", "timing": "t"}


def count(bucket: Bucket, name: str, times: int) -> None:
    """Count matches of a counter's rule."""
    entry = bucket.get(name, 0)
    if isinstance(entry, int):  # else as in `merge`
        bucket[name] = entry + times


def add(bucket: Bucket, name: str, kind: str, times: int, value: int, stamp: int) -> None:
    """Count one match: `value` in billionths (sum, gauge, timing), `stamp` in ns (gauge)."""
    if kind == "counter":
        count(bucket, name, times)
        return
    entry = bucket.get(name)
    if entry is not None and (isinstance(entry, int) or entry[0] != _MARKS[kind]):
        return  # as in `merge`
    if kind == "sum":
        bucket[name] = ["s", (entry[1] if entry else 0) + value * times]
    elif kind == "gauge":
        if entry is None or stamp >= entry[1]:
            bucket[name] = ["g", stamp, value]
    else:
        if entry is None:
            entry = bucket[name] = sketch.new()
        sketch.add(entry, value, times)


def merge(bucket: Bucket, other: Bucket) -> None:
    """Take another bucket of the same interval in."""
    for name, value in other.items():
        mine = bucket.get(name)
        if mine is None:
            bucket[name] = list(value) if isinstance(value, list) else value
        elif isinstance(value, int) and isinstance(mine, int):
            bucket[name] = mine + value
        elif isinstance(value, list) and isinstance(mine, list) and value[0] == mine[0]:
            if value[0] == "s":
                bucket[name] = ["s", mine[1] + value[1]]
            elif value[0] == "g":
                if value[1] >= mine[1]:
                    bucket[name] = list(value)
            else:
                sketch.merge(mine, value)
        # Otherwise rules of two types have one name (the check verb forbids it): the interval keeps what it began with.


def points(bucket: Bucket, zeros: Iterable[str], at: int) -> list[str]:
    """Graphite lines of one finished interval that began at `at`, with a zero for each of `zeros` that is missing."""
    lines = []
    seen = set()
    for name, value in bucket.items():
        if isinstance(value, int):
            seen.add(name)
            lines.append(f"{name} {value} {at}\n")
        elif value[0] == "s":
            seen.add(name)
            lines.append(f"{name} {values.text(value[1])} {at}\n")
        elif value[0] == "g":
            lines.append(f"{name} {values.text(value[2])} {at}\n")
        elif value[1]:
            seen.add(name + ".count")
            p50, p95, p99 = sketch.percentiles(value)
            mean = _divide(value[2], value[1])
            parts = (("min", value[3]), ("max", value[4]), ("mean", mean), ("p50", p50), ("p95", p95), ("p99", p99))
            lines.append(f"{name}.count {value[1]} {at}\n")
            lines += [f"{name}.{part} {values.text(number)} {at}\n" for part, number in parts]
    lines += [f"{name} 0 {at}\n" for name in zeros if name not in seen]
    return lines


def _divide(total: int, count: int) -> int:
    """Rounded to the nearest billionth, halves away from zero."""
    sign = -1 if total < 0 else 1
    return sign * ((2 * abs(total) + count) // (2 * count))
