"""Filters on names: variables that operators misspell, hosts that meet in one Graphite path."""

from __future__ import annotations

import difflib
import re

PREFIX = "logmetrics_"  # common to all, so it says nothing on how near two names are
GRAPHITE_NODE = re.compile(r"[A-Za-z0-9_-]+")


def misspelt(names: list[str], known: list[str]) -> list[str]:
    """One line for each name that is no variable of the role."""
    lines = []
    tails = [name[len(PREFIX) :] for name in known]
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name[len(PREFIX) :], tails, n=1)
        advice = f"did you mean {PREFIX}{near[0]}?" if near else "see the README's table, or remove it"
        lines.append(f"{name}: there is no such variable; {advice}")
    return lines


def config_source(source: str) -> dict[str, str]:
    """A source as config.json has it: {type: journal}, or {type: file, path}."""
    return {"type": "journal"} if source == "journal" else {"type": "file", "path": source}


def host_name_faults(names: dict[str, str], host: str) -> list[str]:
    """Lines on one host's name in Graphite.

    `names` is inventory host -> logmetrics_host over the whole inventory, empty where the role's default applies.
    """
    names = {host: name or host.replace(".", "_") for host, name in names.items()}
    name = names[host]
    if not GRAPHITE_NODE.fullmatch(name):
        return [f"logmetrics_host {name!r} is no single node of a Graphite path; use letters, digits, _ and -"]
    others = sorted(other for other, its in names.items() if its == name and other != host)
    if others:
        return [f"logmetrics_host {name!r} is also that of {', '.join(others)}; give each a name of its own"]
    return []


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_misspelt": misspelt,
            "logmetrics_host_name_faults": host_name_faults,
            "logmetrics_config_source": config_source,
        }
