"""Progress lines, one-line errors, and running other programs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

_BEGAN = time.monotonic()
HEARTBEAT = 30  # seconds between two signs of life of a long step


class FleetError(Exception):
    """Something that the user must know or mend: one line that says what, where and what to do."""


def say(text: str) -> None:
    """One line of progress on stderr with the seconds since the start; stdout carries only results."""
    print(f"fleet [{time.monotonic() - _BEGAN:4.0f} s] {text}", file=sys.stderr, flush=True)


def reason_in(output: str, count: int = 1) -> str:
    """The first lines that call themselves errors, else the last ones with text in them: at most `count`."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e: "))]
    return "; ".join(errors[:count] or lines[-count:]) or "it printed nothing"


def run(command: Sequence[str], what: str, stdin: bytes | None = None) -> str:
    """Run a short command and return its stdout; FleetError with the last line of stderr where it fails."""
    try:
        done = subprocess.run(
            command,
            check=False,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
        )
    except OSError as error:
        raise FleetError(f"{what}: {command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        reason = reason_in((done.stderr or done.stdout).decode(errors="replace"))
        raise FleetError(f"{what}: {reason} (exit {done.returncode} of: {' '.join(command[:6])})")
    return done.stdout.decode(errors="replace")


def run_long(command: Sequence[str], what: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command that takes a while, with a sign of life; where it fails its whole output is kept in a file."""
    began = time.monotonic()
    over = threading.Event()

    def heartbeat() -> None:
        while not over.wait(HEARTBEAT):
            say(f"{what}: {time.monotonic() - began:.0f} s so far")

    say(f"{what} ...")
    watcher = threading.Thread(target=heartbeat, daemon=True)
    watcher.start()
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise FleetError(f"{what}: {command[0]} cannot be run: {error.strerror}") from error
    finally:
        over.set()
        watcher.join()
    if done.returncode:
        with tempfile.NamedTemporaryFile("w", prefix="logmetrics-fleet-", suffix=".log", delete=False) as log:
            log.write(done.stdout)
        raise FleetError(f"{what} failed (exit {done.returncode}): {reason_in(done.stdout)}; all of it: {log.name}")
    say(f"{what}: done in {time.monotonic() - began:.0f} s")
