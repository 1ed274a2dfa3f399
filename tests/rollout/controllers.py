"""The controllers that the lifecycle is run from: the project's own ansible-core, and the newest with its Python."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fleet.cache import cache_dir, lock
from fleet.progress import FleetError, run_long
from proving.pythons import embedded, own

NEWEST = "2.21.5"  # of ansible-core; it takes Python 3.12 and later
PYTHON = "3.13"


@dataclass(frozen=True)
class Controller:
    """An ansible-core by its version, and the folder of its commands."""

    version: str
    bin: Path


def controllers() -> list[Controller]:
    """Both; FleetError where this machine has no Python for the newest."""
    return [Controller(version("ansible-core"), Path(sys.executable).parent), Controller(NEWEST, newest())]


def newest() -> Path:
    """Commands of the newest ansible-core, from the user's cache; installed where they are missing."""
    home = cache_dir() / f"ansible-core-{NEWEST}"
    with lock(f"ansible-core-{NEWEST}"):
        if not (home / ".complete").exists():
            python = own(PYTHON) or embedded(PYTHON)
            if python is None:
                raise FleetError(f"ansible-core {NEWEST} needs Python {PYTHON}, and this machine has none")
            subprocess.run([python, "-m", "venv", "--clear", home], check=True)
            pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            run_long([*pip, f"ansible-core=={NEWEST}"], f"installing ansible-core {NEWEST}")
            (home / ".complete").touch()
    return home / "bin"
