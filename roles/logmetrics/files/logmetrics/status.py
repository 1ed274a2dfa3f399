"""`status`: how far each source is read, what was lost, which rules are in force, when they matched, what they cost.

docs/rules.md describes the keys of `--json`, by which playbooks/status.yml and the rollout of rules judge a host.
"""

from __future__ import annotations

import os
import time

from . import config, diag, leanjson, rulebook, values
from .errors import Fault
from .history import History
from .state import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


COSTS_BYTES, COSTS_SECONDS, COSTS_HOURS = 2_000_000, 2.0, 24  # of recent log on which rules are timed
COSTLIEST = 10
OWN = "logs.parser."  # what the parser counts of itself


def collect(settings: config.Config, now: float, intervals: int = 0, costs: bool = False) -> dict[str, Any]:
    """The status as plain data; with the last so many finished `intervals`, and `costs` of the rules. Raises Fault."""
    count, count_generation = Store(settings.state_dir, "count").load()
    ship, ship_generation = Store(settings.state_dir, "ship").load()
    found: dict[str, Any] = {
        "host": settings.host,
        "release": os.path.basename(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))),
        "count": {"state": count_generation, **_progress(count, now)},
        "ship": {"state": ship_generation, **_progress(ship, now)},
    }
    if "timeline" not in count:
        return found
    found["count"]["sent_until"] = count["closed"]
    found["count"]["open_intervals"] = len(count["open"])
    found["count"]["late_lines"] = count.get("late_lines", 0)
    found["count"]["last_run"] = _last_run(count.get("self", ""))
    sets = rulebook.load(count, settings.state_dir).sets
    found["rule_sets"] = [
        {"from": start, "id": digest, "hash": rules.digest}
        for (start, digest), (_, rules) in zip(count["timeline"], sets)
    ]
    rules = sets[-1][1]
    found["rules_hash"] = rules.digest
    found["aside"] = [
        {"metric": metric, "at": at, "line": line} for metric, (at, line) in sorted(count.get("aside", {}).items())
    ]
    found["rules"] = {rule.metric: count["matched"].get(rule.metric) for rule in rules.rules if rule.type != "probe"}
    found["families"] = {metric: len(names) for metric, names in count["families"].items()}
    if intervals:
        found["intervals"] = _intervals(count, settings.state_dir, intervals)
    if costs:
        found["costs"] = _costs(settings)
    return found


def _last_run(text: str) -> dict[str, int]:
    """The self-metrics that the last run printed, by their last name."""
    found = {}
    for line in text.splitlines():
        name, value, _ = line.split(" ")
        found[name.rpartition(".")[2]] = int(value)
    return found


def _intervals(state: dict[str, Any], folder: str, number: int) -> list[dict[str, Any]]:
    """The last finished intervals: what each rule counted (a family in one, a gauge left out), how many series."""
    metric_of = {name: metric for metric, names in state["families"].items() for name in names}
    until: int = state["closed"]
    found = []
    for at, zeros, bucket in History(folder, state["points"]).between(until - number * state["interval"], until):
        own = {name: bucket.get(name, 0) for name in [*zeros, *bucket] if not name.startswith(OWN)}
        counts: dict[str, float] = {}
        for name, value in own.items():
            amount = _amount(value)
            if amount is not None:
                metric = metric_of.get(name, name)
                counts[metric] = counts.get(metric, 0) + amount
        found.append({"at": at, "series": len(own), "counts": counts})
    return found


def _amount(value: Any) -> float | None:
    """What of a bucket's value adds up: times of a counter or timing, billionths of a sum; None of a gauge."""
    if isinstance(value, int):
        return value
    return None if value[0] == "g" else value[1] / (values.SCALE if value[0] == "s" else 1)


def _costs(settings: config.Config) -> list[dict[str, Any]]:
    """The costliest rules by their share of the time of all, taken on the end of this host's own logs."""
    from argparse import Namespace  # noqa: PLC0415 - asked for seldom

    from . import preview  # noqa: PLC0415 - as above

    bounds = {"hours": COSTS_HOURS, "since": None, "max_bytes": COSTS_BYTES, "max_seconds": COSTS_SECONDS}
    names: dict[str, Any] = {"old": settings.rules, "new": settings.rules, "packs_dir": [], "source": None, "logs": []}
    report = preview.run(Namespace(config=settings.path, progress=False, **bounds, **names))
    keys = ("metric", "share", "us_per_line", "lines", "timeout")
    return [{key: cost[key] for key in keys} for cost in report["costs"] if cost["lines"]][:COSTLIEST]


def _progress(state: dict[str, Any], now: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seconds_since_run": int(now) - state["ran"] if "ran" in state else None,
        "lost": state.get("lost", 0),
        "lost_bytes": state.get("lost_bytes", 0),
        "sources": [],
    }
    for name, cursor in state.get("sources", {}).items():
        if "paths" not in cursor:
            found["sources"].append({"source": name, "cursor": cursor.get("cursor")})
        for path, place in cursor.get("paths", {}).items():
            live = place["live"]
            one: dict[str, Any] = {"source": path, "there": live is not None, "older_files": len(place["old"])}
            if live is not None:
                one["offset"] = live["offset"]
                one["lag_bytes"] = _lag(path, live) + sum(old["size"] - old["offset"] for old in place["old"])
            found["sources"].append(one)
    return found


def _lag(path: str, live: dict[str, Any]) -> int:
    try:
        stat = os.stat(path)
    except OSError:
        return 0
    return max(0, stat.st_size - (live["offset"] if stat.st_ino == live["ino"] else 0))


def lines(found: dict[str, Any]) -> list[str]:
    """The status for people."""
    out = [f"host {found['host']}, release {found['release']}, rules {found.get('rules_hash', 'none yet')[:12]}"]
    for verb in ("count", "ship"):
        part = found[verb]
        since = part["seconds_since_run"]
        ran = "never ran" if since is None else f"ran {since} s ago"
        late = f", late {part['late_lines']}" if "late_lines" in part else ""
        out.append(f"{verb}: {ran}, state {part['state']}, lost {part['lost']}{late}")
        if "sent_until" in part:
            out.append(f"  sent until {_clock(part['sent_until'])}, {part['open_intervals']} open intervals")
        for one in part["sources"]:
            if "cursor" in one:
                out.append(f"  {one['source']}: cursor {one['cursor'] or 'at the beginning'}")
            elif one["there"]:
                out.append(
                    f"  {one['source']}: offset {one['offset']}, {one['lag_bytes']} bytes to read, "
                    f"{one['older_files']} older files"
                )
            else:
                out.append(f"  {one['source']}: not there")
    for metric, at in sorted(found.get("rules", {}).items()):
        out.append(f"{metric}: {'last match ' + _clock(at) if at else 'no match yet'}")
    out += [
        f"set aside: {one['metric']}, at {_clock(one['at'])}, on: {one['line'] or '?'}"
        for one in found.get("aside", ())
    ]
    out += [
        f"cost: {one['share']:7.1%}  {one['us_per_line']:8.2f} us a line  {one['metric']}"
        for one in found.get("costs", ())
    ]
    for one in found.get("intervals", ()):
        told = ", ".join(f"{metric} {count}" for metric, count in sorted(one["counts"].items()) if count)
        out.append(f"{_clock(one['at'])}: {one['series']} series; {told or 'nothing counted'}")
    return out


def _clock(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"


def main(path: str, as_json: bool, intervals: int = 0, costs: bool = False) -> int:
    """`status`: 0; 2 where the configuration or the state cannot be read."""
    try:
        found = collect(config.load(path), time.time(), intervals, costs)
    except Fault as fault:
        diag.stderr([str(fault)])
        return 2
    text = leanjson.dumps(found).decode("ascii") if as_json else "\n".join(lines(found))
    os.write(1, (text + "\n").encode("utf-8"))
    return 0
