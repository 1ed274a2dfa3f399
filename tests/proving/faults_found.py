"""`make faults`: each fault of tests/unit/faults.py planted in a copy of the parser; writes docs/proof/faults.md."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from faults import FAULTS
from fleet import proof
from fleet.progress import say

from proving import UNIT

AT_ONCE = 3


def plant(number: int) -> str:
    """The line that says whether the tests found it."""
    command = [sys.executable, str(UNIT / "faults.py"), str(number)]
    # A session of its own has its own share of the processors.
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    line = done.stdout.strip() or f"{number} ended with {done.returncode}"
    say(line)
    return line


def main() -> int:
    """0 where all are found."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lines = list(pool.map(plant, range(1, len(FAULTS) + 1)))
    missed = [line for line in lines if not line.endswith(": found")]
    text = [
        "Each fault is planted in a copy of the parser, and the tests of crashes, of hard sources and of random",
        "schedules are run on it until one fails (800 schedules; `make chaos` plays 10,000).",
        "",
        "```",
        *lines,
        "```",
    ]
    verdict = f"{len(lines) - len(missed)} of {len(lines)} found"
    proof.write("faults", "make faults", verdict, "\n".join(text))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
