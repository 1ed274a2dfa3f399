"""Commit or return: a host that is not confirmed in time goes back by itself.

While a change is not confirmed, three units stand in /etc/systemd/system: a timer and its service, which goes back
when the time is over (also after a reboot, and where the host was off at that moment: systemd.timer(5), Persistent=),
and a service that at boot mends a switch that a power cut has left half way, before Loki and Telegraf start.
"""

import contextlib
import time
from pathlib import Path

from . import disk, units

FOLDER = Path("/etc/systemd/system")
TIMER = "logmetrics-return.timer"
RETURN = "logmetrics-return.service"
REPAIR = "logmetrics-repair.service"
STAMP = Path("/var/lib/systemd/timers") / f"stamp-{TIMER}"  # systemd.timer(5), Persistent=
COMMAND = f"/usr/bin/python3 -I {Path(__file__).resolve().parent}"


def texts(deadline: float) -> "dict[str, str]":
    """The units' texts; `deadline` is Unix time."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(deadline))
    wait = max(1, int(deadline - time.time()))
    head = "[Unit]\nDescription=logmetrics: {}\n"
    return {
        RETURN: head.format("go back, as the new release was not confirmed")
        + f"\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart={COMMAND} return\n",
        TIMER: head.format("the new release must be confirmed before this runs out")
        + f"\n[Timer]\nOnCalendar={at}\nOnActiveSec={wait}\nPersistent=true\nAccuracySec=1s\n"
        + f"Unit={RETURN}\n\n[Install]\nWantedBy=timers.target\n",
        REPAIR: head.format("mend a switch that was cut off")
        + "DefaultDependencies=no\nAfter=local-fs.target\nBefore=loki.service telegraf.service\n"
        + f"\n[Service]\nType=oneshot\nExecStart={COMMAND} repair\n\n[Install]\nWantedBy=sysinit.target\n",
    }


def wanted_by() -> "dict[str, Path]":
    """The links that `systemctl enable` would make; made by hand, they cost no reload of systemd each."""
    return {TIMER: FOLDER / "timers.target.wants" / TIMER, REPAIR: FOLDER / "sysinit.target.wants" / REPAIR}


def arm(deadline: float) -> str:
    """Write and start the units; what systemd has to say against it, empty where all is well."""
    for name, text in texts(deadline).items():
        disk.write(FOLDER / name, text.encode(), 0o644)
    for name, path in wanted_by().items():
        path.parent.mkdir(mode=0o755, exist_ok=True)
        disk.link(path, str(FOLDER / name))
    return units.systemctl("daemon-reload") or units.systemctl("restart", TIMER)


def disarm() -> None:
    """Take the units away."""
    if not any((FOLDER / name).exists() for name in (TIMER, RETURN, REPAIR)):
        return
    units.systemctl("stop", TIMER)
    for path in [*wanted_by().values(), *(FOLDER / name for name in (TIMER, RETURN, REPAIR))]:
        disk.clear(path)
    for path in wanted_by().values():
        with contextlib.suppress(OSError):  # others may have something there
            path.parent.rmdir()
    disk.clear(STAMP)
    units.systemctl("daemon-reload")
