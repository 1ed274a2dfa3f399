"""Filters on artifacts: their sha256 as published beside them, and why one could not be had."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINE = re.compile(r"^([0-9a-fA-F]{64})[ \t]+\*?(?:\S*/)?(\S+)$", re.MULTILINE)
GOOD_ENDS = ("OK", "file already exists", "HTTP Error 304")  # ansible-core's modules/get_url.py, exit_json
MISMATCH = re.compile(r"did not match ([0-9a-f]{64}); it was ([0-9a-f]{64})")


def sums_file(artifact: dict[str, str]) -> str:
    """Where the controller keeps an artifact's sums: beside the artifact."""
    return str(Path(artifact["cached"]).with_name("SHA256SUMS"))


def published_sum(artifact: dict[str, str]) -> str:
    """The sha256 that the kept sums file gives for an artifact; empty where it gives none, or there is no such file."""
    try:
        text = Path(sums_file(artifact)).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    sums = {name: total.lower() for total, name in LINE.findall(text)}
    return sums.get(Path(artifact["cached"]).name, "")


def failed(result: dict[str, Any]) -> bool:
    """Whether a get_url that must not stop the play came to nothing: anything but the words of its good ends."""
    return not result.get("skipped") and not str(result.get("msg", "")).startswith(GOOD_ENDS)


def why(result: dict[str, Any]) -> str:
    """A get_url's message in one line."""
    words = " ".join(str(result.get("msg", "no reason given")).split())
    mismatch = MISMATCH.search(words)
    if mismatch:
        return f"its sha256 is {mismatch.group(2)}, not {mismatch.group(1)}"
    return f"{words} ({result['response']})" if result.get("response") else words


def sum_faults(artifacts: list[dict[str, str]], results: list[dict[str, Any]]) -> list[str]:
    """A line for each artifact of which no sha256 is known. `results` are those of reading the published sums."""
    reasons = {result["item"]["sums"]: why(result) for result in results if failed(result)}
    return [
        f"no sha256 is known for {artifact['url']}: "
        f"{artifact['sums']}: {reasons.get(artifact['sums'], 'does not name it')}; "
        "check logmetrics_mirror and the version, or give the sum in logmetrics_checksums"
        for artifact in artifacts
        if not artifact["pin"] and not published_sum(artifact)
    ]


def download_faults(results: list[dict[str, Any]]) -> list[str]:
    """A line for each artifact that could not be downloaded, or whose content is not what its sum says."""
    return [
        f"{result['item']['url']}: {why(result)}; "
        "check logmetrics_mirror, the version, logmetrics_checksums and logmetrics_lock"
        for result in results
        if failed(result)
    ]


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_sums_file": sums_file,
            "logmetrics_published_sum": published_sum,
            "logmetrics_sum_faults": sum_faults,
            "logmetrics_download_faults": download_faults,
        }
