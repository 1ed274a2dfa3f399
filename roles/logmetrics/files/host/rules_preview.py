"""What a rule set to come would count on this host's own last hours, beside the one in force. Changes nothing."""

import tempfile
from pathlib import Path
from typing import Any, Dict

from . import health
from .store import Fault, Store

SHOWN_COSTS = 10
METRIC_KEYS = ("metric", "type", "rule", "old", "new", "verdict", "old_series", "new_series", "gained", "lost")


def preview(store: Store, wish: Dict[str, Any]) -> Dict[str, Any]:
    """The parser's `preview --json`, slimmed to what differs. Raises Fault.

    `wish`: content (the compiled rules), hours, max_bytes, max_seconds: no more is read, the newest first.
    """
    state = store.load()
    if state["release"] is None:
        raise Fault("no release is in force on this host; run site.yml first")
    with tempfile.TemporaryDirectory(prefix="logmetrics-preview-") as scratch:
        old, new = Path(scratch) / "old.json", Path(scratch) / "new.json"
        old.write_bytes(store.rules(state["rules"]))
        new.write_text(wish["content"], encoding="utf-8")
        bounds = [f"--{name.replace('_', '-')}={wish[name]}" for name in ("hours", "max_bytes", "max_seconds")]
        found = health.parser(["preview", str(old), str(new), "--json", *bounds], (0, 1))
    return {"preview": slim(found), "problem": ""}


def slim(found: Dict[str, Any]) -> Dict[str, Any]:
    """Without hours, files, programs, and the metrics that count as before."""
    kept = [one for one in found["metrics"] if one["verdict"] != "same" or one["rule"] != "same"]
    return {
        **{key: found[key] for key in ("findings", "series", "first_hour", "last_hour")},
        "read": {key: found["read"][key] for key in ("lines", "bytes", "seconds", "complete", "stopped_by", "faults")},
        "same": len(found["metrics"]) - len(kept),
        "metrics": [{key: one[key] for key in METRIC_KEYS} for one in kept],
        "costs": [one for one in found["costs"] if one["set"] != "old" and one["lines"]][:SHOWN_COSTS],
    }
