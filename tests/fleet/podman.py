"""podman, called in the right namespace."""

from __future__ import annotations

import json
from typing import Any

from fleet import namespace
from fleet.progress import run

PODMAN = "/usr/bin/podman"  # by its full path: nsenter starts it in another root of mounts


def command(*args: str) -> list[str]:
    """The whole command line for `podman args...`."""
    return [*namespace.prefix(), PODMAN, *args]


def podman(*args: str, stdin: bytes | None = None) -> str:
    """Run podman and return its stdout; FleetError with podman's own last line where it fails."""
    return run(command(*args), f"podman {args[0]}", stdin)


def query(*args: str) -> list[dict[str, Any]]:
    """What a podman command prints with --format json, as a list of objects."""
    found: list[dict[str, Any]] | None = json.loads(podman(*args, "--format", "json") or "[]")
    return found or []
