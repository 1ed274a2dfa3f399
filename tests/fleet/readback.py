"""Read points back from graphite-web and counts from Loki, through the interfaces that users have.

A `Minutes` is {metric: {Unix time of the minute: count}}.
"""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable

Minutes = dict[str, dict[int, float]]


def graphite_points(base: str, host: str, metrics: Iterable[str], first: int, last: int) -> Minutes:
    """Points of a host's metrics for the minutes first..last (Unix times of slots), from graphite-web's render API.

    Render API (graphite-web docs/render_api.rst): `from` is exclusive at the edge, so the slot before it is asked for
    too and dropped here; a slot without a point is null and is left out.
    """
    prefix = f"telegraf.{host}.syslog-metrics."
    query = [("target", prefix + metric) for metric in metrics]
    query += [("from", str(first - 60)), ("until", str(last + 60)), ("format", "json"), ("noCache", "1")]
    with urllib.request.urlopen(f"{base}/render?{urllib.parse.urlencode(query)}", timeout=20) as answer:  # noqa: S310 - the demo's own http address
        series = json.load(answer)
    found: Minutes = {}
    for one in series:
        name = one["target"].removeprefix(prefix)
        points = {stamp: value for value, stamp in one["datapoints"] if value is not None and first <= stamp <= last}
        found[name] = points
    return found


def loki_counts(query: Callable[[str], str], queries: dict[str, str], first: int, last: int) -> Minutes:
    """Counts per minute of each metric's LogQL query (with a 1m range), from a host's Loki.

    query is called with a path of Loki's HTTP API and returns the answer's body. A range selector covers (t-1m, t]
    (Loki docs, "Log range aggregations"), our minute [T, T+1m): so each minute is asked at its last nanosecond.
    """
    found: Minutes = {}
    for metric, logql in queries.items():
        for start in range(first, last + 60, 60):
            at = (start + 60) * 1_000_000_000 - 1
            parameters = urllib.parse.urlencode({"query": logql, "time": str(at)})
            result = json.loads(query(f"/loki/api/v1/query?{parameters}"))["data"]["result"]
            value = sum(float(one["value"][1]) for one in result)
            found.setdefault(metric, {})[start] = value
    return found


def wait_until(check: Callable[[], str], deadline: float, progress: Callable[[str], None]) -> bool:
    """Call check until it returns "" (all there) or the Unix time `deadline` is past; its text says what is missing."""
    told = 0.0
    while True:
        missing = check()
        if not missing:
            return True
        if time.time() > deadline:
            progress(f"gave up waiting: {missing}")
            return False
        if time.time() - told > 15:
            progress(f"waiting: {missing}")
            told = time.time()
        time.sleep(2)
