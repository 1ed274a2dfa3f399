"""Loads the role's own Python by path: host scripts, controller scripts, filter plugins are no packages."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parents[2]
ROLE = TOP / "roles" / "logmetrics"


@cache
def load(path: str) -> ModuleType:
    """A module of the role, `files/host/look.py` for example."""
    source = ROLE / path
    spec = importlib.util.spec_from_file_location(source.stem + "_under_test", source)
    assert spec and spec.loader, path
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
