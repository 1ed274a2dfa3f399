"""Watch a host for some intervals and judge it by what the parser says about itself.

The page is Telegraf's own on loopback (logmetrics_probe_port), so what is judged has gone through the whole way.
"""

import http.client
import re
import time
from typing import Any, Dict, List, Optional

from . import prove

PREFIX = "syslog_metrics_logs_parser_"
LINE = re.compile(r"^" + PREFIX + r"(\w+)(?:\{[^}]*\})? (\S+)", re.MULTILINE)


def read(url: str) -> Dict[str, float]:
    """The self-metrics by their last name; none where the page cannot be had."""
    try:
        return {name: float(value) for name, value in LINE.findall(prove.get(url))}
    except (OSError, ValueError, http.client.HTTPException):
        return {}


def faults(first: Dict[str, float], seen: List[Dict[str, float]], limits: Dict[str, float]) -> List[str]:
    """What speaks against a host, a line each. `first` is from before the change, empty on a new host."""
    if not seen or not seen[-1]:
        return ["Telegraf shows none of the parser's self-metrics"]
    last = seen[-1]
    worst = {name: max(one.get(name, 0.0) for one in seen) for name in last}
    lines = []
    if worst.get("rule_timeouts", 0) > 0:
        lines.append(f"{worst['rule_timeouts']:.0f} rules ran out of their time budget; see journalctl -t logmetrics")
    if worst.get("run_ms", 0) > limits["run_ms"]:
        lines.append(f"a run took {worst['run_ms']:.0f} ms; {limits['run_ms']:.0f} are allowed")
    series, before = worst.get("series", 0.0), first.get("series", 0.0)
    if series > max(limits["series"], 3 * before):
        lines.append(f"{series:.0f} series; {limits['series']:.0f} are allowed, before there were {before:.0f}")
    if worst.get("lost", 0) > first.get("lost", 0.0):
        lines.append(f"{worst['lost'] - first.get('lost', 0):.0f} losses of lines were noted")
    if len(seen) > 1 and worst.get("lag_bytes", 0) > 0 and seen[0].get("lag_bytes", 0) < last.get("lag_bytes", 0):
        lines.append(f"the parser falls behind: {last['lag_bytes']:.0f} bytes wait to be read, more than before")
    return lines


def soak(wanted: Dict[str, Any], before: Optional[Dict[str, float]] = None) -> Dict[str, Any]:
    """Look once an interval, for some; `problem` is empty where nothing speaks against the host.

    `wanted`: metrics (URL), interval (s), intervals, limits (run_ms, series), units.
    """
    seen: List[Dict[str, float]] = []
    began = time.time()
    problem = ""
    for _ in range(int(wanted["intervals"])):
        time.sleep(wanted["interval"])
        seen.append(read(wanted["metrics"]))
        problem = "; ".join(faults(before or {}, seen, wanted["limits"]))
        stopped = [unit for unit in wanted["units"] if prove.shown(unit).get("ActiveState") != "active"]
        if stopped:
            problem = f"{', '.join(stopped)} does not run any more"
        if problem:
            break
    return {"problem": problem, "seen": seen[-1:], "seconds": round(time.time() - began, 1)}
