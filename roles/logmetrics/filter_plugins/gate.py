"""Filters that turn what the controller's tasks found into lines, and all lines into one verdict."""

from __future__ import annotations

from typing import Any


def rule_faults(results: list[dict[str, Any]]) -> list[str]:
    """Lines of `logmetrics check` and `compile`, each once."""
    lines: dict[str, None] = {}
    for result in results:
        if result.get("rc") != 0:
            text = result.get("stderr") or result.get("stdout") or result.get("msg") or "ended without a word"
            lines.update(dict.fromkeys(filter(str.strip, str(text).splitlines())))
    return list(lines)


def gate(faults: dict[str, list[str] | None], controller: list[str]) -> list[str]:
    """The verdict as lines; none where all may go on. `faults` is host -> its lines, None for a host lost on the way."""
    lost = ["was lost before it could be judged; see its error above"]
    lines = [f"{host}: {line}" for host in sorted(faults) for line in (lost if faults[host] is None else faults[host])]
    lines = [f"controller: {line}" for line in controller] + lines
    bad = sum(1 for its in faults.values() if its is None or its)
    if lines:
        lines.insert(0, f"Nothing was changed on any host. Not ready: {bad} of {len(faults)} hosts.")
    return lines


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_rule_faults": rule_faults,
            "logmetrics_gate": gate,
        }
