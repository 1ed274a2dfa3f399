"""`make fuzz`: every target under atheris, coverage-guided, half an hour of fuzzing in all; writes docs/proof/fuzz.md.

python3 -m fuzz [MINUTES]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet import proof
from fleet.cache import cache_dir
from fleet.progress import run_long, say

from fuzz import inputs, targets

ATHERIS = "atheris==3.0.0"  # from PyPI; in an environment of its own, as there is no build of it for each machine
TOP = Path(__file__).resolve().parents[2]
# Parts of the time; the longest first, as several run at once.
SHARES = {"state": 8, "rules": 7, "logs": 6, "pieces": 3, "ship-state": 2, "config": 2, "journal": 2}


def interpreter() -> Path:
    """A Python with atheris."""
    home = cache_dir() / "fuzz" / f"{ATHERIS.replace('==', '-')}-{sys.version_info[0]}.{sys.version_info[1]}"
    python = home / "bin" / "python"
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        run_long([str(python), "-m", "pip", "install", "--quiet", ATHERIS], f"installing {ATHERIS}")
        (home / ".complete").touch()
    return python


def fuzz(python: Path, name: str, seconds: int, corpus: Path) -> tuple[str, bool]:
    """(a row of the table, whether nothing was found)."""
    command = [str(python), "-m", "fuzz.one", name, f"-max_total_time={seconds}", "-max_len=8192", "-timeout=30"]
    command += ["-rss_limit_mb=2048", f"-artifact_prefix={corpus.parent}/{name}-", "-print_final_stats=1", str(corpus)]
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, cwd=TOP,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{TOP}/tests:{TOP}/roles/logmetrics/files"},
    )  # fmt: skip
    log = done.stderr + done.stdout
    (corpus.parent / f"{name}.log").write_text(log)
    runs = re.findall(r"number_of_executed_units: (\d+)", log)
    coverage = re.findall(r"cov: (\d+)", log)
    # libFuzzer's exit code is 0 where it came to the end of its time.
    good = done.returncode == 0 and bool(runs)
    verdict = "nothing found" if good else f"FOUND (exit {done.returncode}), see {corpus.parent}/{name}.log"
    row = (
        f"| {name} | {(targets.TARGETS[name].__doc__ or '').strip()} | {runs[-1] if runs else '?'} | "
        f"{coverage[-1] if coverage else '?'} | {time.monotonic() - began:.0f} s | {verdict} |"
    )
    say(row)
    return row, good


def main(argv: list[str]) -> int:
    """0 where nothing was found."""
    minutes = float(argv[0]) if argv else 30.0
    folder = cache_dir() / "fuzz" / "corpora"
    python = interpreter()
    for name in SHARES:
        box = folder / f"{name}-box"
        box.mkdir(parents=True, exist_ok=True)
        inputs.corpus(name, folder / name, targets.Sandbox(box))

    def one(name: str) -> tuple[str, bool]:
        return fuzz(python, name, int(minutes * 60 * SHARES[name] / sum(SHARES.values())), folder / name)

    processes = os.cpu_count() or 1
    with ThreadPoolExecutor(processes) as pool:
        found = dict(zip(SHARES, pool.map(one, SHARES), strict=True))
    rows, good = [row for row, _ in found.values()], all(clean for _, clean in found.values())
    if minutes < 30:  # the proof is of half an hour
        return 0 if good else 1
    text = "\n".join(
        [
            f"{ATHERIS.replace('==', ' ')} (libFuzzer), the parser's modules instrumented, {minutes:g} minutes in all,",
            f"{processes} processes at once. Any exception, any printed line that is no point, any undocumented exit",
            "code, any word of more than one line, and `logs.script_error 1` without a word end a target at once.",
            "",
            "| target | what | inputs | branches covered | time | verdict |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    )
    proof.write("fuzz", "make fuzz", "nothing found" if good else "FOUND", text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
