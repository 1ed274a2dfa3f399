"""The tests are tested: faults are planted in a copy of the parser, one at a time, and each must be found.

    python3 tests/unit/faults.py [NUMBER...]

First the tests are run with nothing planted, as one that fails by itself would find everything. Then a line for each
fault; exits 1 where one is not found, or where the text it replaces is no longer there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
PARSER = Path("roles", "logmetrics", "files", "logmetrics")


SEEDS = "1,2,3,4,5,6,7,8"  # of batches of random schedules; a hundred find not every fault


class Fault(NamedTuple):
    """What is planted: in `file`, `old` becomes `new` (where it first stands)."""

    what: str
    file: str
    old: str
    new: str
    tests: str = "test_crashes.py test_counting_chaos.py"


RUN_END = """        write("".join([again, *lines, self._self_text()]).encode("utf-8"))
        if prepared:
            self.store.commit()
"""

FAULTS = [
    Fault(
        "state saved before the output",
        "count.py",
        RUN_END,
        RUN_END.replace(RUN_END.splitlines()[0] + "\n", "", 1) + RUN_END.splitlines()[0] + "\n",
    ),
    Fault("state's file not fsynced", "state.py", "        os.fsync(handle)\n    finally", "        pass\n    finally"),
    Fault("folder not fsynced", "state.py", "            sync_folder(self.folder)\n", ""),
    Fault("history not fsynced", "history.py", "                os.fsync(handle)\n", ""),
    Fault("history of a cut off run read", "history.py", "if left < 0:", "if False:"),
    Fault(
        "damaged state pushes out the good one",
        "state.py",
        "if self._current_is_good:",
        "if os.path.exists(self.path):",
    ),
    Fault("no checksum", "state.py", "or crc32(body) != crc", ""),
    Fault(
        "signatures ignored",
        "sources/file.py",
        "return not length or signature(",
        "return True or signature(",
        "test_sources_hard.py",
    ),
    Fault(
        "first bytes ignored",
        "sources/file.py",
        "if self.head_length and signature(reader, self.head_length, 0)",
        "if 0 and (",
    ),
    Fault(
        "cursor one byte too far",
        "sources/file.py",
        "        track.offset += taken\n",
        "        track.offset += taken + 1\n",
    ),
    Fault("half a line taken for a line", "sources/file.py", "if chunk and final and not", "if chunk and not"),
    Fault(
        "renamed file not followed",
        "sources/file.py",
        "            track.path = moved\n            self.old.append(track)",
        "            pass",
    ),
    Fault(
        "files between two runs not seen",
        "sources/file.py",
        "            self.old.append(track)\n            tracks.append(track)\n",
        "",
    ),
    Fault("late writers not read", "sources/file.py", "            kept.append(current)", "            pass"),
    Fault("compressed copies not read", "sources/rotated.py", 'PACKED = (".gz", ".xz",', 'PACKED = (".gzz", ".xzz",'),
    Fault(
        "copies not recognised",
        "sources/file.py",
        "        if not track.head_length:\n            return None",
        "        return None",
    ),
    Fault(
        "interval one too late",
        "tally.py",
        "slot = self.slot(when // SECOND)",
        "slot = self.slot(when // SECOND) + self.interval",
    ),
    Fault(
        "interval closed before it is over",
        "count.py",
        "horizon = self.now - settings.grace",
        "horizon = self.now + 60",
        "test_counting_time.py",
    ),
    Fault(
        "open intervals forgotten",
        "count.py",
        "                buckets.merge(still_open[at], bucket)\n",
        "                still_open[at] = bucket\n",
    ),
    Fault("late lines dropped", "count.py", "            buckets.merge(bucket, late[at])\n", ""),
    Fault(
        "late lines put to the open interval",
        "count.py",
        'can = self.settings.late == "correct" and',
        "can = False and",
    ),
    Fault("the next run sends nothing again", "count.py", "if not stage or last:", "if last:", "test_counting_time.py"),
    Fault(
        "ten minutes later nothing is sent again",
        "count.py",
        "if not stage or last:",
        "if not stage:",
        "test_counting_time.py",
    ),
    Fault("nothing is sent again after a restart", "count.py", 'if me != state["identity"]:', "if False:"),
    Fault("two runs at once", "state.py", "fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass"),
    Fault(
        "new rules at once",
        "rulebook.py",
        "start = 0 if not timeline else (int(now) // interval + 1) * interval",
        "start = 0",
    ),
    Fault(
        "a full disk is not said",
        "count.py",
        "        except OSError as error:\n            self.faults.append(\n",
        "        except OSError as error:\n            [].append(\n",
    ),
    Fault(
        "the journal's entry of the cursor counts again",
        "sources/journal.py",
        "if _same_entry(place, str(after)):",
        "if False:",
    ),
    Fault(
        "a gap in the journal is not said",
        "sources/journal.py",
        "        report.lost += missing\n",
        "",
        "test_journal.py",
    ),
    Fault(
        "a file of two names counts twice",
        "sources/file.py",
        "if claimed != me and _has_inode(claimed[1], inode):",
        "if False:",
        "test_sources_hard.py",
    ),
    Fault(
        "a copy beside its original counts, too",
        "sources/file.py",
        "            tracks.append(track)\n",
        "",
        "test_sources_hard.py",
    ),
    Fault(
        "what cannot be looked into is skipped for good",
        "sources/file.py",
        '            self.place["again"] = min(since, self.place.get("again", since))\n            self.stopped',
        "            self.stopped",
        "test_sources_hard.py",
    ),
    Fault(
        "truncated while it is read",
        "sources/file.py",
        "                reader.check()\n",
        "",
        "test_rotation_meanwhile.py",
    ),
    Fault("lost lines are not said", "sources/file.py", "        self.report.lost += 1\n", "", "test_sources_hard.py"),
    Fault(
        "a year that ends",
        "stamp.py",
        "for candidate in (year, year - 1, year + 1):",
        "for candidate in (year,):",
        "test_stamps.py",
    ),
    Fault("summer time", "stamp.py", "for dst in (0, 1):", "for dst in (0,):", "test_stamps.py"),
    Fault(
        "message repeated N times counts once",
        "rules.py",
        "    times, message = repeated(message)\n    for",
        "    times, message = 1, repeated(message)[1]\n    for",
    ),
    Fault(
        "the time of the line before is not saved",
        "count.py",
        'carried: dict[str, int] = cursor.get("carried", {})',
        "carried: dict[str, int] = {}",
        "test_counting_time.py",
    ),
    Fault(
        "late lines are no late lines",
        "count.py",
        "late_lines=tally.late_lines,",
        "late_lines=0,",
    ),
    Fault("a timing's largest value", "sketch.py", "    timing[4] = value if not", "    timing[4] = 0 if not"),
    Fault(
        "the inode alone tells a file",
        "sources/file.py",
        "    def holds(self, reader: Reader) -> bool:",
        "    def holds(self, reader: Reader) -> bool:\n        return True\n\n"
        "    def _held(self, reader: Reader) -> bool:",
        "test_sources_hard.py",
    ),
    Fault(
        "old logs in their own folder are not looked for",
        "sources/rotated.py",
        'return sorted(entry.path for entry in _entries(base.rpartition("/")[0] or "/") if entry.is_dir())',
        "return []",
        "test_sources_hard.py",
    ),
    Fault(
        "a copy of a rule set goes too early",
        "rulebook.py",
        '    if "dropped" in state:\n        state["dropped"] = names\n    return names',
        '    return list(state.get("dropped", ())) + _strays(folder)',
        "test_crashes.py",
    ),
    Fault(
        "user databases are waited for without a bound",
        "accounts.py",
        "lock.acquire(timeout=self.left)",
        "lock.acquire()",
        "test_accounts.py",
    ),
    Fault(
        "a backlog's file closes intervals",
        "count.py",
        "if path in report.unfinished and",
        "if False and",
        "test_sources_hard.py",
    ),
    Fault(
        "a guard looks behind a word for what need not be there",
        "sweepguard.py",
        "            if blank == _BLANK and byte_of(before) >= 0 and",
        "            if blank == _BLANK and",
        "test_sweep.py test_bulk_equals_exact.py",
    ),
    Fault(
        "a guard takes another program's line for its own",
        "sweepregex.py",
        'b"\\\\[" if len(bodies) > 1 else b""',
        'b""',
        "test_sweep.py test_bulk_equals_exact.py",
    ),
    Fault(
        "a large state's pieces are put together wrongly",
        "leanjson.py",
        '                lead = ","\n',
        '                lead = ""\n',
        "test_leanjson.py",
    ),
]


NUMBERS = list(range(1, len(FAULTS) + 1))
SOUND = "nothing planted: all tests pass"
FOUND = "found"


def found(fault: Fault, folder: Path) -> str:
    """ "" where a test fails with the fault planted; else what is wrong."""
    copied(folder)
    path = folder / PARSER / fault.file
    text = path.read_text()
    if fault.old not in text:
        return "the text it replaces is no longer there"
    path.write_text(text.replace(fault.old, fault.new, 1))
    code, _ = tested(fault.tests, folder)
    return "" if code == 1 else f"NOT FOUND (pytest: exit {code})"


def copied(folder: Path) -> None:
    """The parser and its tests, where they are in the repository, and what they read of it."""
    for part in (PARSER, HERE.relative_to(TOP)):
        shutil.copytree(TOP / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("files", "docs"):
        (folder / part).symlink_to(TOP / part)


def tested(tests: str, folder: Path) -> tuple[int, str]:
    """The exit code of pytest, 0 where all pass and 1 where one fails, and the line that says which."""
    unit = folder / HERE.relative_to(TOP)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            f"--rootdir={folder}",
            *tests.split(),
        ],
        cwd=unit,
        env={
            **os.environ,
            "PYTHONPATH": f"{(folder / PARSER).parent}:{unit}:{HERE.parent}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LOGMETRICS_SHRINK": "0",
            "LOGMETRICS_SEEDS": os.environ.get("LOGMETRICS_SEEDS", SEEDS),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout.splitlines() or [""])[-2:][0]


def control(numbers: list[int]) -> str:
    """The line that says whether the tests of these faults pass where nothing is planted."""
    tests = dict.fromkeys(" ".join(FAULTS[number - 1].tests for number in numbers).split())
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder))
        code, line = tested(" ".join(tests), Path(folder))
    return f"  0 {f'nothing planted: A TEST FAILS (pytest: exit {code}): {line}' if code else SOUND}"


def plant(number: int) -> str:
    """The line that says whether the tests find it."""
    fault = FAULTS[number - 1]
    with tempfile.TemporaryDirectory() as folder:
        return f"{number:3} {fault.what}: {found(fault, Path(folder)) or FOUND}"


def main(numbers: list[int]) -> int:
    """Plant them all, or those."""
    numbers = numbers or NUMBERS
    print(first := control(numbers), flush=True)
    missed = not first.endswith(SOUND)
    for number in [] if missed else numbers:
        print(line := plant(number), flush=True)
        missed |= not line.endswith(FOUND)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main([int(argument) for argument in sys.argv[1:]]))
