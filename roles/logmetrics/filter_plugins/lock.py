"""Filters on the lock file (tools/lock.py): sha256 of upstream's artifacts by component, version and architecture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

COMPONENTS = ("loki", "telegraf")
SUM = re.compile(r"[0-9a-f]{64}")
ARCHITECTURES = ("amd64", "arm64")


def read(path: str) -> tuple[dict[str, dict[str, dict[str, str]]], str]:
    """(the lock's content, what is wrong with it): an empty path is an empty lock."""
    if not path:
        return {}, ""
    try:
        content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        return {}, f"{path}: cannot be read: {error.strerror}; correct logmetrics_lock, or empty it to go without"
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, f"{path}: is no YAML: {' '.join(str(error).split())}; make it anew by `make lock`"
    wrong = fault_in(content)
    return ({}, f"{path}: {wrong}; make it anew by `make lock`") if wrong else (content, "")


def fault_in(content: Any) -> str:
    """What in a lock's content is not as tools/lock.py writes it; empty where all is well."""
    if not isinstance(content, dict) or set(content) != set(COMPONENTS):
        return f"holds other keys than {' and '.join(COMPONENTS)}"
    for component, versions in content.items():
        if not isinstance(versions, dict):
            return f"{component} is no mapping of versions"
        for version, entry in versions.items():
            if not isinstance(version, str) or not isinstance(entry, dict):
                return f"{component} {version!r} is no quoted version with its sums"
            for arch in ARCHITECTURES:
                if arch in entry and not SUM.fullmatch(str(entry[arch])):
                    return f"{component} {version} {arch} is no sha256"
    return ""


def locked(path: str, component: str, version: str, arch: str) -> str:
    """The sum that the lock holds for an artifact; empty where it holds none."""
    return read(path)[0].get(component, {}).get(version, {}).get(arch, "")


def lock_faults(paths: list[str]) -> list[str]:
    """A line for each lock file that cannot be used."""
    return [fault for fault in (read(path)[1] for path in dict.fromkeys(paths)) if fault]


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {"logmetrics_locked": locked, "logmetrics_lock_faults": lock_faults}
