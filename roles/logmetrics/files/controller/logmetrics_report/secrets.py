"""Black out secrets in texts that come from hosts: a journal may hold what a program was configured with."""

from __future__ import annotations

import re
from typing import Any, Iterable

NAME = re.compile(r"^(?:logmetrics_\w*(?:key|password|token|secret)|ansible_\w*pass(?:word)?)$")
# An assignment in a Telegraf TOML block or a URL's user part.
ASSIGNED = re.compile(r"(?:key|password|token|secret|auth\w*)\"?\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
IN_URL = re.compile(r"://[^/\s:@]+:([^/\s@]+)@")
SHORTEST = 4  # a shorter text is found in too many words to be blacked out
BLACK = "********"


def secrets_in(variables: dict[str, Any]) -> set[str]:
    """Values of a host's variables that no report may hold."""
    found = {str(value) for name, value in variables.items() if NAME.match(name) and isinstance(value, str)}
    outputs = variables.get("logmetrics_outputs")
    for block in outputs if isinstance(outputs, list) else []:
        found |= set(ASSIGNED.findall(str(block))) | set(IN_URL.findall(str(block)))
    return {value for value in found if len(value) >= SHORTEST and "{{" not in value}


def black_out(text: str, secrets: Iterable[str]) -> str:
    """The text without these values and without passwords in URLs, the longest first."""
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, BLACK)
    return IN_URL.sub(lambda found: found.group(0).replace(found.group(1), BLACK), text)
