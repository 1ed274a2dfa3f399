"""systemd on this host: units are read anew, enabled, started, stopped (systemctl(1))."""

import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List

from . import look
from .differences import reasons_to_restart

PATIENCE = 300.0  # s that systemctl is given; Loki may take two minutes to stop


def systemctl(*words: str) -> str:
    """Run systemctl; empty where it did what it was told, else its words."""
    try:
        done = subprocess.run(
            ["systemctl", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode else ""


def state(unit: str) -> Dict[str, bool]:
    """Whether a unit that is not the role's is there, enabled and active."""
    found = look.look_at_service(unit)
    foreign = found["there"] and not found["ours"]
    return {"there": foreign, "enabled": foreign and found["enabled"], "active": foreign and found["active"]}


def reload_if_needed(names: List[str], changed: bool) -> None:
    """Let systemd read its files anew where one of them has changed."""
    if changed or any(look.look_at_service(name)["reload"] for name in names):
        systemctl("daemon-reload")


def bring_up(services: List[Dict[str, Any]]) -> Dict[str, List[str]]:
    """Enable and restart the services whose process is not the wanted one: unit -> why."""
    restarted: Dict[str, List[str]] = {}
    for service in services:
        unit = service["unit"]
        paths = {path: look.look_at_path(Path(path)) for path in service["reads"]}
        reasons = reasons_to_restart(service, look.look_at_service(unit), paths)
        if reasons:
            restarted[unit] = reasons
            systemctl("enable", unit)
            systemctl("reset-failed", unit)
            fresh(paths)
            systemctl("restart", unit)
    return restarted


def fresh(paths: Dict[str, Dict[str, Any]]) -> None:
    """A process that starts in the same clock tick (10 ms) as its file changed would look older than that."""
    newest = max([found.get("changed", 0.0) for found in paths.values()], default=0.0)
    if 0 <= time.time() - newest < 0.05:
        time.sleep(0.05)


def take_down(names: List[str]) -> None:
    """Stop and disable units, and let systemd forget how they ended."""
    for name in names:
        systemctl("disable", "--now", name)
        systemctl("reset-failed", name)


def journal(names: List[str], since: float, lines: int = 25) -> str:
    """The last lines of some units since a Unix time."""
    command = ["journalctl", "-q", "--no-pager", "-n", str(lines), "-o", "short", f"--since=@{since:.0f}"]
    for name in names:
        command += ["-u", name]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.stdout.decode("utf-8", "replace")
