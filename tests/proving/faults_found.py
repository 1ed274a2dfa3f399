"""`make faults`: each fault of tests/unit/faults.py planted in a copy of the parser; writes docs/proof/faults.md."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import faults
from fleet import proof
from fleet.progress import say

AT_ONCE = 3


def told(line: str) -> str:
    """Said at once, too."""
    say(line)
    return line


def main() -> int:
    """0 where all are found, and nothing is where nothing is planted."""
    first = told(faults.control(faults.NUMBERS))
    if not first.endswith(faults.SOUND):
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lines = list(pool.map(lambda number: told(faults.plant(number)), faults.NUMBERS))
    missed = [line for line in lines if not line.endswith(f": {faults.FOUND}")]
    text = [
        "Each fault is planted in a copy of the parser, and the tests of crashes, of hard sources and of random",
        "schedules (800; `make chaos` plays 10,000), or those made for it, are run on it until one fails.",
        "",
        "```",
        first,
        *lines,
        "```",
    ]
    verdict = f"{len(lines) - len(missed)} of {len(lines)} found"
    proof.write("faults", "make faults", verdict, "\n".join(text))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
