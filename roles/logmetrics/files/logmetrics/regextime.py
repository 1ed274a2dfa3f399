"""Times a regex on hostile lines, in a process of its own that a runaway regex cannot take along.

The host's engine gives each rule a time budget and sets it aside beyond it (docs/counting.md); here the same happens
before the rule reaches a host.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Sequence

from .regexlint import Ambiguity

#: CPU seconds for one line, as a host's rule_budget is for one run.
BUDGET = 1.0
#: Longest attack line: twice the longest message rsyslog passes on by default (maxMessageSize 8k).
LINE_BYTES = 16384

# Reads [[pattern, [line, ...]], ...] as JSON (bytes as Latin-1); prints for each pattern its first line over budget.
_CHILD = """
import json, re, signal, sys, warnings
warnings.simplefilter("ignore")
budget = float(sys.argv[1])
class Over(Exception): pass
def over(*_): raise Over
signal.signal(signal.SIGVTALRM, over)
for pattern, lines in json.load(sys.stdin):
    search = re.compile(pattern.encode("latin-1")).search
    slow = None
    for number, line in enumerate(lines):
        data = line.encode("latin-1")
        signal.setitimer(signal.ITIMER_VIRTUAL, budget)
        try:
            search(data)
        except Over:
            slow = number
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if slow is not None:
            break
    print(json.dumps(slow), flush=True)
"""


def attack_lines(attack: Ambiguity) -> list[bytes]:
    """Lines that show the ambiguity, the shortest first."""
    lengths = (40, 80, 160, 640) if attack.degree == 0 else (LINE_BYTES,)
    return [attack.line(length, suffix) for length in lengths for suffix in attack.suffixes]


def slow_lines(work: Sequence[tuple[str, Sequence[bytes]]]) -> list[int | None]:
    """For each (pattern, lines): the index of the first line that takes longer than BUDGET, or None.

    One line over budget ends its pattern; the whole is bounded by BUDGET times the number of lines.
    """
    if not work:
        return []
    task = json.dumps([[p.encode().decode("latin-1"), [line.decode("latin-1") for line in lines]] for p, lines in work])
    limit = 30 + BUDGET * 20 * sum(len(lines) for _, lines in work)
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _CHILD, str(BUDGET)],
        input=task,
        capture_output=True,
        text=True,
        timeout=limit,
        check=True,
    )
    return [json.loads(answer) for answer in done.stdout.splitlines()]
