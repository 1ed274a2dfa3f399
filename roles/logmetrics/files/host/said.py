"""What a program that refused its configuration said, as one line."""

import re

# Telegraf's lines: 2026-11-24T13:40:33Z E! text; D, I and W are no reasons.
CHATTER = re.compile(r"^\d{4}-\d\d-\d\dT\S+ [DIW]! ")
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ E! ")
LAST = 3  # lines


def reason(output: str) -> str:
    """The last lines of what it printed, without stamps and chatter; empty where it was silent."""
    lines = output.strip().splitlines()
    errors = [STAMP.sub("", line) for line in lines if not CHATTER.match(line)] or lines
    return " ".join(errors[-LAST:])
