"""Points on stdout: one buffered write of whole lines, so that Telegraf never reads half of one."""

from __future__ import annotations

import os

from . import leanjson


def write_stdout(data: bytes) -> None:
    """All of it, in as few writes as the pipe takes. Raises OSError where nobody reads."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def as_json(data: bytes) -> bytes:
    """Graphite lines as one JSON object: {"points": [[name, value, Unix time], ...]}."""
    points = []
    for line in data.decode("utf-8").splitlines():
        name, value, at = line.split(" ")
        points.append([name, float(value) if "." in value else int(value), int(at)])
    return leanjson.dumps({"points": points}) + b"\n"
