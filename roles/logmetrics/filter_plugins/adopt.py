"""Filters on what somebody set up before: may it be taken over, what is to be done, Loki's schema afterwards."""

from __future__ import annotations

import datetime
from typing import Any

import yaml

NEW_PERIOD = {
    "store": "tsdb",
    "object_store": "filesystem",
    "schema": "v13",
    "index": {"prefix": "index_", "period": "24h"},
}
LEAVE = "set logmetrics_adopt: true to take it over (docs/rollout.md), remove it, or leave this host out"


def config_of(loki: dict[str, Any]) -> dict[str, Any]:
    """A Loki's configuration; empty where it cannot be read as YAML."""
    try:
        found = yaml.safe_load(loki["text"])
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def periods_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The periods of its schema, dates as texts."""
    found = (config.get("schema_config") or {}).get("configs") or []
    return [{**one, "from": str(one.get("from", ""))[:10]} for one in found]


def chunks_of(config: dict[str, Any]) -> str:
    """The folder of its chunks; empty where it names none."""
    common = ((config.get("common") or {}).get("storage") or {}).get("filesystem") or {}
    storage = (config.get("storage_config") or {}).get("filesystem") or {}
    return str(storage.get("directory") or common.get("chunks_directory") or "")


def schema(loki: dict[str, Any], today: str) -> list[dict[str, Any]]:
    """Loki's own periods, and from today (ISO, UTC) on one of tsdb where they end with another kind.

    Structured metadata needs tsdb, so the new period cannot wait for tomorrow: lines that the old Loki got since
    00:00 UTC stay on disk, and are not shown.
    """
    periods = [one for one in periods_of(config_of(loki)) if one["from"] <= today]
    if periods and (periods[-1].get("store"), periods[-1].get("schema")) == ("tsdb", "v13"):
        return periods
    kept = [one for one in periods if one["from"] < today]
    return [*kept, {"from": today if kept else min(today, "2024-01-01"), **NEW_PERIOD}]


def faults(seen: dict[str, Any], allowed: bool) -> list[str]:
    """Why what was there before is in the way."""
    loki, execs = seen["foreign"]["loki"], seen["foreign"]["execs"]
    lines = []
    if loki and not allowed:
        what = loki["unit"] or (f"pid {loki['pid']}" if loki["pid"] else loki["config"])
        lines.append(f"a Loki that is not the role's is here ({what}); {LEAVE}")
    if execs and not allowed:
        lines.append(f"{', '.join(execs)} runs the log parser already, its metrics would come out twice; {LEAVE}")
    if loki and allowed:
        stores = {str(one.get("object_store")) for one in periods_of(config_of(loki))} - {"filesystem"}
        if not loki["text"] or not config_of(loki):
            lines.append(f"{loki['config']}: the Loki to be taken over has no configuration that can be read; mend it")
        elif stores:
            lines.append(f"{loki['config']}: only a Loki that keeps its data in files can be taken over")
    return lines


def wish(seen: dict[str, Any], port: int) -> dict[str, Any] | None:
    """What the host is to take over (files/host/adopt.py); None where there is nothing."""
    loki, execs = seen["foreign"]["loki"], seen["foreign"]["execs"]
    if not loki and not execs:
        return None
    its = config_of(loki) if loki else {}
    own = (its.get("server") or {}).get("http_listen_port") or port
    known = {key: loki[key] for key in ("pid", "started", "unit")} if loki else {}
    taken = {**known, "port": int(own), "chunks": chunks_of(its)}
    return {"execs": execs, "loki": taken if loki else None}


def lines(one: dict[str, Any] | None) -> list[str]:
    """The plan's lines on it."""
    if not one:
        return []
    told = [f"adopt: the exec of the log parser in {path} is switched off" for path in one["execs"]]
    if one["loki"]:
        told.append(f"adopt: the Loki that is here is stopped, its data copied from {one['loki']['chunks'] or '-'}")
    return told


def today(_: Any = None) -> str:
    """The date in UTC, by which Loki's periods begin."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {"logmetrics_adopt_schema": schema, "logmetrics_adopt_wish": wish, "logmetrics_today": today}
