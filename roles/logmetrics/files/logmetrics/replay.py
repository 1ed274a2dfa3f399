"""`replay`: prints finished points of a time range again, as they were sent last. Changes nothing."""

from __future__ import annotations

import time

from . import buckets, config, diag
from .count import VERB
from .errors import Fault
from .history import History
from .output import as_json, write_stdout
from .state import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment(text: str, now: float) -> int:
    """Unix time of `1764000000`, `2026-11-22`, `2026-11-22T10:00[:00]` (local time), or `90m` (that long ago).

    Raises Fault.
    """
    if text[-1:] in _UNITS and text[:-1].isdigit():
        return int(now) - int(text[:-1]) * _UNITS[text[-1]]
    if text.isdigit():
        return int(text)
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"):
        try:
            return int(time.mktime(time.strptime(text, form)))
        except ValueError:
            continue
    raise Fault(f"{text!r} is no time; give Unix seconds, 2026-11-22T10:00, or how long ago: 90m, 12h, 2d")


def points(settings: config.Config, since: int, until: int | None, metric: str) -> Iterator[str]:
    """Graphite lines of the intervals that began in since <= start < until; `metric` picks those that begin with it.

    Without `until` up to the last one, also where that lies ahead: the clock may have been put back. Raises Fault.
    """
    state, _ = Store(settings.state_dir, VERB).load()
    if not state:
        raise Fault(f"{settings.state_dir}: holds no state; nothing was counted here yet")
    history = History(settings.state_dir, state["points"])
    for at, zeros, bucket in history.between(since, until):
        for line in buckets.points(bucket, zeros, at):
            if line.startswith(metric):
                yield line
    if history.faults:
        raise Fault(history.faults[0])


def main(path: str, since: str, until: str, metric: str, json: bool) -> int:
    """`replay`: 0; 1 where that time has no points; 2 where something cannot be read or a time is none."""
    try:
        settings = config.load(path)
        now = time.time()
        first, end = moment(since, now), moment(until, now) if until else None
        data = "".join(points(settings, first, end, metric)).encode("utf-8")
    except Fault as fault:
        diag.stderr([str(fault)])
        return 2
    if not data:
        kept = f"{settings.keep_days:g} days are kept"
        between = f"since {first}" if end is None else f"between {first} and {end}"
        diag.stderr([f"no points {between} (Unix time); {kept} in {settings.state_dir}"])
        return 1
    write_stdout(as_json(data) if json else data)
    return 0
