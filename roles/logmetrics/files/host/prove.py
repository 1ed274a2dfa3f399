"""Prove that a host works: Loki answers with the wanted version, and a probe line's point comes out of Telegraf.

No store is asked: what is proven is this host alone. A service that ends and is started again meanwhile has failed.
"""

import http.client
import json
import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List

PAUSE = 0.5  # s between two looks
AGAIN = 10.0  # s between two probe lines
UP = 20.0  # s that a unit is given to start
STEADY = 12.0  # s that a process must have lived
# No proxy: what is asked is on loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Unproven(Exception):  # noqa: N818 - it is no error of the program
    """What does not work, as one line."""


def get(url: str) -> str:
    """Body of a page. Raises OSError or HTTPException where there is none."""
    with OPENER.open(url, timeout=5) as answer:
        return str(answer.read().decode("utf-8", "replace"))


def shown(unit: str) -> Dict[str, str]:
    """State, main process and start of a unit (systemctl(1), show)."""
    keys = "ActiveState,MainPID,ActiveEnterTimestampMonotonic,Result"
    done = subprocess.run(["systemctl", "show", unit, "-p", keys], check=False, stdout=subprocess.PIPE, timeout=20)
    return dict(line.split("=", 1) for line in done.stdout.decode("utf-8", "replace").splitlines() if "=" in line)


class Watch:
    """The units' processes: none may end while the proof goes on."""

    def __init__(self, names: List[str]) -> None:
        """Wait until all are active. Raises Unproven."""
        self.pids = {}
        deadline = time.monotonic() + UP
        for name in names:
            while shown(name).get("ActiveState") != "active":
                if time.monotonic() >= deadline:
                    raise Unproven(f"{name} does not start: its state is {shown(name).get('ActiveState')}")
                time.sleep(PAUSE)
            self.pids[name] = shown(name)["MainPID"]

    def look(self) -> float:
        """Seconds that the youngest process has lived. Raises Unproven where one has ended."""
        ages = []
        for name, pid in self.pids.items():
            now = shown(name)
            if now.get("ActiveState") != "active" or now["MainPID"] != pid:
                raise Unproven(f"{name} ended again shortly after its start (its state is {now.get('ActiveState')})")
            ages.append(time.monotonic() - int(now["ActiveEnterTimestampMonotonic"]) / 1e6)
        return min(ages, default=STEADY)

    def until(self, deadline: float, fault_of: Callable[[], str]) -> str:
        """Look again and again; empty as soon as `fault_of` finds none, else the last fault. Raises Unproven."""
        while True:
            try:
                fault = fault_of()
            except (OSError, http.client.HTTPException, ValueError) as error:
                fault = str(error)
            if not fault:
                return ""
            self.look()
            if time.monotonic() >= deadline:
                return fault
            time.sleep(PAUSE)


def loki_ready(loki: Dict[str, str], watch: Watch, deadline: float) -> None:
    """Loki is ready, in the wanted version. Raises Unproven."""
    fault = watch.until(deadline, lambda: "" if get(loki["url"] + "/ready") is not None else "no answer")
    if fault:
        raise Unproven(f"Loki is not ready at {loki['url']}: {fault}")
    version = json.loads(get(loki["url"] + "/loki/api/v1/status/buildinfo"))["version"].lstrip("v")
    if version != loki["version"]:
        raise Unproven(f"Loki says that it is {version}, not {loki['version']}")


def expect(folder: Path, numbers: Iterable[int]) -> None:
    """Tell the parser which probe lines are ours: anybody can write such lines, but only its user can read this."""
    path = folder / "probe"
    new = folder / "probe.new"
    new.unlink(missing_ok=True)
    handle = os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        owner = folder.stat()
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write("".join(f"{number}\n" for number in numbers))
    new.rename(path)


def probe_arrives(metrics: str, series: str, state: Path, watch: Watch, deadline: float) -> None:
    """A point of a probe line, written from now on, shows. Raises Unproven.

    Lines are written again and again: a source that is new to the parser is read from its end on, at the next run.
    """
    pattern = re.compile(r"^" + re.escape(series) + r"(?:\{[^}]*\})? (\S+)", re.MULTILINE)
    sent: Dict[int, float] = {}

    def fault_of() -> str:
        if not sent or time.monotonic() - max(sent.values()) > AGAIN:
            number = 10**8 + secrets.randbelow(9 * 10**8)
            expect(state, [*sent, number])
            # Not as an argument, which every user could see.
            line = f"probe={number}\n".encode()
            subprocess.run(["logger", "-t", "logmetrics-probe"], input=line, check=True, timeout=20)
            sent[number] = time.monotonic()
        seen = [int(float(value)) for value in pattern.findall(get(metrics))]
        return "" if set(seen) & set(sent) else f"it shows {seen or 'no probe at all'}"

    try:
        fault = watch.until(deadline, fault_of)
    finally:
        (state / "probe").unlink(missing_ok=True)
    if fault:
        raise Unproven(f"of {len(sent)} probe lines none came out at {metrics}: {fault}")


def prove(wanted: Dict[str, Any]) -> str:
    """Why a host does not work, empty where it does.

    `wanted`: loki {url, version}, metrics (URL of Telegraf's loopback output), series (the probe's name there), state
    (the parser's directory), units, patience (s).
    """
    deadline = time.monotonic() + wanted["patience"]
    try:
        watch = Watch(wanted["units"])
        loki_ready(wanted["loki"], watch, deadline)
        state = Path(wanted.get("state", "/var/lib/logmetrics"))  # releases from before it was told have none
        probe_arrives(wanted["metrics"], wanted["series"], state, watch, deadline)
        while watch.look() < STEADY:
            time.sleep(PAUSE)
    except Unproven as fault:
        return str(fault)
    except (OSError, http.client.HTTPException, ValueError, subprocess.SubprocessError) as error:
        return f"the proof was cut off: {error}"
    return ""
