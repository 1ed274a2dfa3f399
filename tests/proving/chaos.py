"""`make chaos`: 10,000 random schedules, a crash at every call; writes docs/proof/chaos.md.

    python3 -m proving.chaos [SCHEDULES [FIRST SEED]]

Fewer than 10,000 schedules are played alone, and nothing is written.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from fleet import proof
from fleet.progress import say

from proving import UNIT, every_call

TOP = UNIT.parents[1]
BATCH = 250
AT_ONCE = 4
WHOLE = 10_000
JUDGED = ("written", "said")  # tests: nothing is destroyed; lines are destroyed, too
# In which order the table names the steps; what is not named is counted among the others.
STEPS = {
    "writes": ("write", "late", "half"),
    "rotations by rename, date or copytruncate": ("rotate", "rotate_pack", "copytruncate"),
    "compressions": ("compress",),
    "inodes used again, logs that became links": ("reuse_inode", "become_link"),
    "old files deleted, journals vacuumed": ("delete_oldest", "vacuum"),
    "lines destroyed unread": ("destroy", "vacuum_blind"),
    "runs killed": ("kill",),
    "power cuts": ("power_cut",),
    "two runs at once": ("two",),
    "runs out of time in a backlog": ("brief",),
    "full and read-only disks": ("disk_full", "readonly"),
    "outputs lost, Telegraf killed": ("lose", "telegraf_dies"),
    "replays": ("replay",),
    "rule sets switched": ("rules",),
    "clocks set": ("jump",),
}


def play(test: str, seeds: list[int], folder: Path) -> tuple[Counter[str], str]:
    """Batches of schedules with these seeds, in two processes; what was played, by name, and what went wrong."""

    def some(part: int) -> tuple[Counter[str], str]:
        report = folder / f"{test}-{part}.xml"
        env = {
            **os.environ,
            "LOGMETRICS_SEEDS": ",".join(map(str, seeds[part::AT_ONCE])),
            "LOGMETRICS_BATCH": str(BATCH),
        }
        command = ["pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        # A session of its own has its own share of the processors.
        done = subprocess.run(
            [*command, "-k", test, str(UNIT / "test_counting_chaos.py")],
            env=env, cwd=TOP, capture_output=True, text=True, check=False, start_new_session=True,
        )  # fmt: skip
        played: Counter[str] = Counter()
        for one in ElementTree.parse(report).getroot().iter("property"):  # noqa: S314 - pytest wrote it
            played[one.attrib["name"]] += int(one.attrib["value"])
        return played, "" if done.returncode == 0 else done.stdout[-6000:]

    total: Counter[str] = Counter()
    problems = ""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for played, wrong in pool.map(some, range(min(AT_ONCE, len(seeds)))):
            total += played
            problems += wrong
    return total, problems


def steps_table(played: Counter[str]) -> list[str]:
    """Rows: what, and how often it was played."""
    rows = [f"| {what} | {sum(played[name] for name in names):,} |" for what, names in STEPS.items()]
    return ["| step | played |", "|---|---|", *rows]


def main(argv: list[str]) -> int:
    """0 where all was exact."""
    schedules = int(argv[0]) if argv else WHOLE
    first = int(argv[1]) if len(argv) > 1 else int(time.time()) % 1_000_000 * 1000
    batches = max(1, schedules // (2 * BATCH))
    some = {"written": batches - batches // 5, "said": batches // 5}
    total: Counter[str] = Counter()
    problems = []
    lines = []
    whole = schedules >= WHOLE
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        rest = beside.submit(every_call.main) if whole else None
        for test, number in some.items():
            seeds = list(range(first, first + number))
            say(f"{test}: seeds {first} to {first + number - 1}, {BATCH} schedules each with correct and with next")
            played, wrong = play(test, seeds, Path(folder)) if seeds else (Counter[str](), "")
            total += played
            problems += [wrong] if wrong else []
            lines.append(
                f"- {played['schedules']:,} schedules {_WHAT[test]}: seeds {first} to {first + number - 1}, "
                f"{BATCH} each with `correct` and with `next`: {'FAILED' if wrong else 'all exact'}"
            )
            lines.append(f"  - in {played['set_back']:,} of them the clock was set back: there the totals are compared")
            say(lines[-2])
            first += number
    for wrong in problems:
        print(wrong)
    if rest is None:
        print(*lines, *steps_table(total), sep="\n")
        return 1 if problems else 0
    kills, errors, said, wrong_calls = rest.result()
    unsaid = [one for one in wrong_calls if "EIO" in one]
    killed = [one for one in wrong_calls if one not in unsaid]
    bad = bool(problems or killed or total["schedules"] < WHOLE)
    text = [
        f"Python {platform.python_version()}, Hypothesis {version('hypothesis')}, four processes. A schedule is up to",
        "40 random steps on one host (a log, several, a glob, a journal), in one of five zones and moments (clock",
        "changes, a year's end), with stamps of one of three forms and a rule of each type; a failing one is shrunk.",
        "`make chaos SCHEDULES=500 SEED=...` plays a batch again.",
        "",
        *lines,
        f"- a real run of the command, killed by strace at each of its {kills:,} system calls from the one that opens",
        f"  its lock (those for memory and signals aside): {f'{len(killed)} FAILED' if killed else 'all exact'}",
        *(f"  - {one}" for one in killed),
        f"- the same run with each of {errors:,} calls answered once with EIO: {errors - said - len(unsaid):,} exact, "
        f"{said:,} not, and said so, {len(unsaid):,} not, and not said",
        *(f"  - {one}" for one in unsaid),
        "",
        *steps_table(total),
    ]
    proof.write("chaos", "make chaos", "FAILED" if bad else "schedules and crashes all exact", "\n".join(text))
    return 1 if bad else 0


_WHAT = {
    "written": "in which every line can be read",
    "said": "that destroy lines, too (never more than was written; what left a trace is in `lost`)",
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
