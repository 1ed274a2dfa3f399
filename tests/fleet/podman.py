"""podman, called in the right namespace."""

from __future__ import annotations

import io
import json
import tarfile
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


def unpack(container: str, archive: bytes) -> None:
    """Unpack a tar at the container's root; the container need not run.

    podman 4.3 reads by 32 KiB, stops at the archive's end, and fails ("read/write on closed pipe") where what comes
    behind that reaches into the next 32 KiB: tar and Python's tarfile fill the last record of 10,240 bytes with zeros.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.getmembers()
        end = opened.offset
    podman("cp", "-", f"{container}:/", stdin=archive[:end] + bytes(2 * tarfile.BLOCKSIZE))


def query(*args: str) -> list[dict[str, Any]]:
    """What a podman command prints with --format json, as a list of objects."""
    found: list[dict[str, Any]] | None = json.loads(podman(*args, "--format", "json") or "[]")
    return found or []
