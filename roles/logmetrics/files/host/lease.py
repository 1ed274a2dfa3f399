"""Take, keep or give back a host for one rollout: two operators at once would undo each other's work.

Sent to the host's python3 on stdin (before anything of the role is there). The one argument is a JSON object: verb
(take, give), run, who, controller (where from), pid and start of the play there, minutes until it expires, gone (runs
of the same controller that are known to have ended). The lease is /run/logmetrics-rollout.json: it ends with a reboot,
by its time, or by being given back. Prints one JSON object: holder (the lease that stands against it) or null.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, Optional

PLACE = Path("/run/logmetrics-rollout.json")


def read() -> Optional[Dict[str, Any]]:
    """The lease that is there, if it has not expired."""
    try:
        lease: Dict[str, Any] = json.loads(PLACE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return lease if lease.get("until", 0) > time.time() else None


def take(wish: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Take the lease, or prolong one's own; the lease of somebody else where that stands."""
    found = read()
    if found and found["run"] != wish["run"] and found["run"] not in wish["gone"]:
        return found
    now = time.time()
    since = found["since"] if found and found["run"] == wish["run"] else now
    keys = ("run", "who", "controller", "pid", "start")
    lease = {**{key: wish[key] for key in keys}, "since": since, "until": now + wish["minutes"] * 60}
    new = PLACE.with_suffix(".new")
    new.write_text(json.dumps(lease), encoding="utf-8")
    new.replace(PLACE)
    return None


def give(wish: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Give one's own lease back; nothing stands against that."""
    found = read()
    if found and found["run"] == wish["run"]:
        PLACE.unlink()
    return None


def settle(wish: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Take or give, one at a time on this host; the lease that stands against it."""
    with Path("/run/logmetrics-rollout.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return take(wish) if wish["verb"] == "take" else give(wish)


def main(argument: str) -> int:
    """See the module; always ends with 0."""
    os.umask(0o022)
    sys.stdout.write(json.dumps({"holder": settle(json.loads(argument))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
