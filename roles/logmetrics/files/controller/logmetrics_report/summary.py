"""The report in a few lines at the end of a run, for a reader who is tired."""

from __future__ import annotations

from typing import Any

NAMED = 5  # hosts that a line names
WORDS = {
    "failed": "FAILED",
    "rolled_back": "went back",
    "unreachable": "unreachable",
    "not_ready": "not ready",
    "untouched": "not touched (the run stopped)",
    "changed": "changed",
    "would_change": "would change",
    "unchanged": "as wanted",
}


def verdict(document: dict[str, Any]) -> str:
    """One word or two."""
    if document["state"] == "interrupted":
        return "CUT OFF"
    if document["state"] == "running":
        return "NOT ENDED"  # still at work, or its controller was killed
    return "ok" if document["ok"] else "FAILED"


def sentence(document: dict[str, Any]) -> str:
    """How many hosts are in which state."""
    counts = document["counts"]
    told = [f"{counts[state]} {WORDS[state]}" for state in WORDS if counts[state]]
    return f"{len(document['hosts'])} hosts: {', '.join(told)}" if told else "no host was in it"


def lines(document: dict[str, Any], page: str) -> list[str]:
    """The summary: verdict, what went wrong where (each problem once), where the page is."""
    out = [f"{verdict(document)}: {document['playbook']}, {sentence(document)}, in {duration(document['seconds'])}."]
    out += [f"  {line}" for line in document["controller"] if line.startswith("controller: ")]
    problems: dict[str, list[str]] = {}
    for name, host in document["hosts"].items():
        if host["problem"]:
            problems.setdefault(host["problem"].splitlines()[0], []).append(name)
    out += [f"  {few(names)}: {problem}" for problem, names in problems.items()]
    out.append(f"  report: {page}")
    return out


def few(names: list[str]) -> str:
    """Some names, and how many more."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
