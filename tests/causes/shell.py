"""Run programs on this host; what was not expected ends the run with the program's own words."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

ENV = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
PATIENCE = 90.0  # seconds for what a program is to reach by itself


def sh(*command: str, fails: bool = False, text: str | None = None, says: str = "", timeout: float = 120) -> str:
    """Run a program and return what it printed; it must succeed, or fail where `fails`, and print `says`."""
    done = subprocess.run(
        command,
        check=False,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENV,
        timeout=timeout,
    )
    if bool(done.returncode) != fails or says not in done.stdout:
        sys.exit(
            f"causes: {' '.join(command)}: exit {done.returncode}: {' | '.join(done.stdout.split(chr(10)))[-800:]}"
        )
    return done.stdout


def quietly(*command: str, text: str | None = None, timeout: float = 120) -> int:
    """Run a program whose outcome is the caller's to judge; its exit code."""
    out = subprocess.DEVNULL
    return subprocess.run(
        command, check=False, input=text, stdout=out, stderr=out, text=True, env=ENV, timeout=timeout
    ).returncode


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Write a file, its folder too."""
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def wait_for(what: str, ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until something is so; ends the run where it takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"causes: waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.1)


def release() -> int:
    """This host's Debian release."""
    words = pathlib.Path("/etc/os-release").read_text()
    return int(words.partition('VERSION_ID="')[2].partition('"')[0])


def version(package: str) -> str:
    """A package's version without epoch and Debian's revision, "" where it is not there."""
    if not shutil.which("dpkg-query"):
        return ""
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Version}", package], check=False, capture_output=True, text=True
    )
    return done.stdout.partition(":")[2] or done.stdout
