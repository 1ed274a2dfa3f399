"""Prove that a host works: Loki answers with the wanted version, and a probe line's point comes out of Telegraf.

Sent to the host's python3 on stdin. The one argument is a JSON object: loki {url, version}, metrics (URL of Telegraf's
loopback output), series (name of the probe's series there), units, patience (seconds), unproven (a mark that is taken
away when all is well, so that a run that ended before this point is seen by the next). Prints one JSON object:
problem (empty where all is well) and journal (the last lines of the units, where there is a problem).
No store is asked: what is proven is this host alone.
"""

import http.client
import json
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable, Dict, List

PAUSE = 0.5  # s between two looks
AGAIN = 10.0  # s between two probe lines
UP = 20.0  # s that a unit is given to start
# No proxy: what is asked is on loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str) -> str:
    """Body of a page. Raises OSError or HTTPException where there is none."""
    with OPENER.open(url, timeout=5) as answer:
        return str(answer.read().decode("utf-8", "replace"))


def until(deadline: float, look: Callable[[], str]) -> str:
    """Look again and again; empty as soon as `look` finds no fault, else the last fault."""
    while True:
        try:
            fault = look()
        except (OSError, http.client.HTTPException, ValueError) as error:
            fault = str(error)
        if not fault or time.monotonic() >= deadline:
            return fault
        time.sleep(PAUSE)


def unit_fault(unit: str) -> str:
    """What a unit's state is, where it is not the active one (systemctl(1), is-active)."""
    done = subprocess.run(["systemctl", "is-active", unit], check=False, stdout=subprocess.PIPE, timeout=20)
    state = done.stdout.decode("ascii", "replace").strip()
    return "" if state == "active" else f"{unit} does not start: its state is {state}"


def units_fault(units: List[str], patience: float) -> str:
    """The first unit that is not active after a while; later waiting would be in vain."""
    deadline = time.monotonic() + patience
    return next(filter(None, (until(deadline, lambda unit=unit: unit_fault(unit)) for unit in units)), "")  # type: ignore[misc]


def loki_fault(loki: Dict[str, str], deadline: float) -> str:
    """Why Loki is not ready in the wanted version."""
    fault = until(deadline, lambda: "" if get(loki["url"] + "/ready") is not None else "no answer")
    if fault:
        return f"Loki is not ready at {loki['url']}: {fault}"
    version = json.loads(get(loki["url"] + "/loki/api/v1/status/buildinfo"))["version"].lstrip("v")
    return "" if version == loki["version"] else f"Loki says that it is {version}, not {loki['version']}"


def probe_fault(metrics: str, series: str, deadline: float) -> str:
    """Why no point of a probe line, written from now on, does show.

    Lines are written again and again: a source that is new to the parser is read from its end on, at the next run.
    """
    pattern = re.compile(r"^" + re.escape(series) + r"(?:\{[^}]*\})? (\S+)", re.MULTILINE)
    sent: Dict[int, float] = {}

    def look() -> str:
        if not sent or time.monotonic() - max(sent.values()) > AGAIN:
            number = 10**8 + secrets.randbelow(9 * 10**8)
            subprocess.run(["logger", "-t", "logmetrics-probe", f"probe={number}"], check=True, timeout=20)
            sent[number] = time.monotonic()
        seen = [int(float(value)) for value in pattern.findall(get(metrics))]
        return "" if set(seen) & set(sent) else f"it shows {seen or 'no probe at all'}"

    fault = until(deadline, look)
    return fault and f"of {len(sent)} probe lines none came out at {metrics}: {fault}"


def journal(units: List[str]) -> str:
    """The last lines of some units."""
    command = ["journalctl", "-q", "--no-pager", "-n", "25", "-o", "short"]
    for unit in units:
        command += ["-u", unit]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    return done.stdout.decode("utf-8", "replace")


def main(argument: str) -> int:
    """Print the verdict; always ends with 0."""
    wanted = json.loads(argument)
    deadline = time.monotonic() + wanted["patience"]
    problem = (
        units_fault(wanted["units"], UP)
        or loki_fault(wanted["loki"], deadline)
        or probe_fault(wanted["metrics"], wanted["series"], deadline)
    )
    if not problem:
        Path(wanted["unproven"]).unlink(missing_ok=True)
    verdict = {"problem": problem, "journal": journal(wanted["units"]) if problem else ""}
    sys.stdout.write(json.dumps(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
