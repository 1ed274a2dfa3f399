"""Filters that turn what the controller's tasks found into lines, and all lines into one verdict."""

from __future__ import annotations

import re
from typing import Any

NAMED = 10  # hosts that a line names
TOTALS = re.compile(r"\d+ packs?, ")  # the last line of `logmetrics check`


def rule_faults(results: list[dict[str, Any]]) -> list[str]:
    """Lines of `logmetrics check`, each once; of `compile` where all have passed the check."""
    lines: dict[str, dict[str, None]] = {"check": {}, "compile": {}}
    for result in results:
        if result.get("rc") != 0:
            text = str(result.get("stderr") or result.get("stdout") or result.get("msg"))
            told = [line for line in text.splitlines() if line.strip() and not TOTALS.match(line)]
            lines[result["item"][1]].update(dict.fromkeys(told))
    return list(lines["check"] or lines["compile"])


def together(plans: dict[str, dict[str, Any] | None], arch: dict[str, str]) -> list[dict[str, Any]]:
    """The configs that the controller is to try, equal ones once, each with the hosts that it is for."""
    found: dict[str, dict[str, Any]] = {}
    for host, plan in plans.items():
        for check in (plan or {}).get("checks", []):
            key = repr(sorted(check.items()))
            found.setdefault(key, {**check, "arch": arch[host], "hosts": []})["hosts"].append(host)
    return list(found.values())


def config_faults(verdicts: list[dict[str, Any]]) -> list[str]:
    """A line for each config that its program refuses."""
    return [f"{few(one['hosts'])}: {one['path']}: {one['fault']}" for one in verdicts if one["tried"] and one["fault"]]


def config_notes(verdicts: list[dict[str, Any]], plans: dict[str, dict[str, Any] | None]) -> list[str]:
    """A line for each config that the controller could not try."""
    untried: dict[str, list[str]] = {}
    for one in verdicts:
        if not one["tried"]:
            untried.setdefault(f"{one['path']} ({one['fault']})", []).extend(one["hosts"])
    for host, plan in plans.items():
        for path in (plan or {}).get("unchecked", []):
            untried.setdefault(f"{path} (it holds a secret, or its program is the host's)", []).append(host)
    told = "not verified on the controller, each host does it before the switch"
    return [f"{told}: {what}: {few(hosts)}" for what, hosts in untried.items()]


def gate(faults: dict[str, list[str] | None], controller: list[str]) -> list[str]:
    """The verdict as lines, one a fault; none where all may go on.

    `faults` is host -> its lines, None for a host that was lost on the way. A fault of several hosts is told once.
    """
    lost = ["was lost before it could be judged; see its error above"]
    hosts_of: dict[str, list[str]] = {}
    for host in sorted(faults):
        for line in lost if faults[host] is None else faults[host] or []:
            hosts_of.setdefault(line, []).append(host)
    lines = [f"controller: {line}" for line in controller]
    lines += [f"{few(hosts)}: {line}" for line, hosts in sorted(hosts_of.items(), key=lambda item: item[1])]
    bad = sum(1 for its in faults.values() if its is None or its)
    if lines:
        lines.insert(0, f"Nothing was changed on any host. Not ready: {bad} of {len(faults)} hosts.")
    return lines


def few(hosts: list[str]) -> str:
    """Some hosts by name, many by their first names and their number."""
    return ", ".join(hosts if len(hosts) <= NAMED else [*hosts[:NAMED], f"and {len(hosts) - NAMED} more"])


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_rule_faults": rule_faults,
            "logmetrics_gate": gate,
            "logmetrics_together": together,
            "logmetrics_config_faults": config_faults,
            "logmetrics_config_notes": config_notes,
        }
