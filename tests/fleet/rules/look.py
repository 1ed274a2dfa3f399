"""What a host's rules did, as one JSON object: read from the parser's own history, and from the log itself.

intervals: [start, {set: count}, when it was finished] of each finished interval of the last minutes; truth: {start:
lines that the program wrote in it}, counted here by another way than the parser's; state.json; services' processes.
"""

from __future__ import annotations

import datetime
import gzip
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INTERVAL = int(sys.argv[2])
SINCE = time.time() - float(sys.argv[1])
LINE = re.compile(r"^(\S+T\S+|\w{3} [ \d]\d [\d:]{8}) \S+ proof: event \d\d of run ")
METRIC = re.compile(r"logs\.(set\w+)\.r\d\d$")


def history() -> list[list[Any]]:
    """Counts by the first node of the proof's metrics (`logs.SET.rNN`), and when each interval was first finished."""
    sys.path.insert(0, "/opt/logmetrics/parser/current")
    from logmetrics import state  # noqa: PLC0415 - the host's own
    from logmetrics.history import History  # noqa: PLC0415 - as above

    content, _ = state.Store("/var/lib/logmetrics", "count").load()
    reader = History("/var/lib/logmetrics", content["points"])
    found: dict[int, tuple[dict[str, int], int]] = {}
    for day in sorted(content["points"]):
        for at, names, bucket, finished in reader._records(day):
            if at < SINCE:
                continue
            counts: dict[str, int] = {}
            for name in names:
                part = METRIC.match(name)
                if part:
                    counts[part.group(1)] = counts.get(part.group(1), 0) + bucket.get(name, 0)
            found[at] = (counts, found[at][1] if at in found else finished)
    return [[at, *found[at]] for at in sorted(found)]


def truth() -> dict[int, int]:
    """Lines by interval, from all of the log that is left."""
    found: dict[int, int] = {}
    for path in sorted(Path("/var/log").glob("syslog*")):
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", errors="replace") as file:
            for line in file:
                match = LINE.match(str(line))
                if match:
                    at = moment(match.group(1))
                    if at >= SINCE:
                        slot = int(at) // INTERVAL * INTERVAL
                        found[slot] = found.get(slot, 0) + 1
    return found


def moment(stamp: str) -> float:
    """Unix time of a stamp, RFC 3339 or as syslog's files have them (of this year, in the host's zone)."""
    if "T" in stamp:
        return datetime.datetime.fromisoformat(stamp).timestamp()
    return time.mktime(time.strptime(f"{time.localtime().tm_year} {stamp}", "%Y %b %d %H:%M:%S"))


def services() -> dict[str, str]:
    """Main process and start of both."""
    keys = "MainPID,ActiveEnterTimestampMonotonic,NRestarts"
    units = ("loki", "telegraf")
    return {unit: subprocess.check_output(["systemctl", "show", unit, "-p", keys]).decode() for unit in units}


STATE = json.loads(Path("/opt/logmetrics/state.json").read_text())
print(
    json.dumps({"intervals": history(), "truth": truth(), "services": services(), "state": STATE, "now": time.time()})
)
