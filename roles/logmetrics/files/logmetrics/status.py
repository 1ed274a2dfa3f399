"""`status`: how far each source is read, what was lost, which rules are in force and when each last matched."""

from __future__ import annotations

import os
import time

from . import config, diag, leanjson, rulebook
from .errors import Fault
from .state import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def collect(settings: config.Config, now: float) -> dict[str, Any]:
    """The status as plain data. Raises Fault."""
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
    found["rule_sets"] = [{"from": start, "id": digest} for start, digest in count["timeline"]]
    rules = rulebook.load(count, settings.state_dir).sets[-1][1]
    found["rules_hash"] = rules.digest
    found["rules"] = {rule.metric: count["matched"].get(rule.metric) for rule in rules.rules if rule.type != "probe"}
    return found


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
        out.append(f"{verb}: {ran}, state {part['state']}, lost {part['lost']}")
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
    return out


def _clock(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"


def main(path: str, as_json: bool) -> int:
    """`status`: 0; 2 where the configuration or the state cannot be read."""
    try:
        found = collect(config.load(path), time.time())
    except Fault as fault:
        diag.stderr([str(fault)])
        return 2
    text = leanjson.dumps(found).decode("ascii") if as_json else "\n".join(lines(found))
    os.write(1, (text + "\n").encode("utf-8"))
    return 0
