"""`make proof-preview`: 100 rules beside 100 that all differ from them, over 1 GB of logs on one core.

The file is the benchmark's own corpus, whose counts are known: both sets must count exactly what was written. The
program is a host's copy of the parser with a host's Python; its CPU time, its peak memory and how long it waited for
its core (as other programs had it) are the kernel's own figures. Wall time less that waiting is held to the bound.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from fleet import proof
from fleet.progress import FleetError, say

from bench.corpus import BUSY, DENSITIES, Style, Writer
from bench.engine import Parser
from bench.measure import Spawner
from bench.rules import compile_rules

SIZE = 1_000_000_000  # bytes
RULES = 100
MOST_SECONDS, MOST_BYTES = 60, 60_000_000


def rewritten(source: Path, target: Path) -> None:
    """The same rules in other words: each regex differs, and matches the same lines."""
    doc = json.loads(source.read_bytes())
    for rule in doc["rules"]:
        rule["match"] = rule["match"].replace("^", "^(?:)", 1)
    target.write_text(json.dumps(doc))


def measure(spawner: Spawner, parser: Parser, work: Path, density: str, form: str, size: int) -> tuple[str, bool]:
    """A row of the table, and whether counts and bounds hold."""
    old, new = work / "old.json", work / "new.json"
    rules = compile_rules(RULES, old)
    rewritten(old, new)
    style = Style(density, form, BUSY)
    say(f"writing {size / 1e6:.0f} MB, {style}")
    corpus = Writer(rules, style).write(work / "log", size)
    argv = [parser.entry, "preview", str(old), str(new), str(corpus.path), "--json", "--progress"]
    # The counts of two sets that count alike are no finding.
    usage, text = spawner.run(argv)
    shown = (spawner.scratch / "stderr").read_text().count("MiB")
    report = json.loads(text)
    truth = corpus.totals(rules)
    exact = all(
        {one["metric"]: one[side] for one in report["metrics"] if one[side]} == truth for side in ("old", "new")
    )
    changed = sum(1 for one in report["metrics"] if one["rule"] == "changed")
    alone = usage.wall - usage.queued
    holds = exact and changed == RULES and alone < MOST_SECONDS and usage.peak < MOST_BYTES and shown > 2
    corpus.path.unlink()
    return (
        f"| {density}, {form} | {corpus.size / 1e6:.0f} MB, {corpus.lines} lines, {sum(truth.values())} counted | "
        f"{usage.cpu:.1f} s | {usage.wall:.1f} s | {usage.queued:.1f} s | {alone:.1f} s "
        f"| {usage.peak / 1e6:.0f} MB | {'exact' if exact else 'WRONG'} "
        f"| {shown} |",
        holds,
    )


def main() -> int:
    """Run the proof; 0 only where counts are exact and both bounds hold."""
    size = int(sys.argv[1]) * 1_000_000 if len(sys.argv) > 1 else SIZE
    work = Path(tempfile.mkdtemp(prefix="logmetrics-preview-"))
    try:
        parser = Parser(work)
        with Spawner(work) as spawner:
            cases = [(density, "rfc3339") for density in DENSITIES] + [("dense", "rfc3164")]
            rows = [measure(spawner, parser, work, density, form, size) for density, form in cases]
    finally:
        shutil.rmtree(work)
    table = (
        f"{RULES} rules beside {RULES} others that match the same lines; one core.\n\n"
        "| logs | size | CPU time | wall time | of it waiting for the core | without | peak memory "
        "| both sets' counts | lines of progress |\n"
        "|---|---|---|---|---|---|---|---|---|\n" + "\n".join(row for row, _ in rows)
    )
    print(f"\n{table}")
    good = all(holds for _, holds in rows)
    bounds = f"under {MOST_SECONDS} s and {MOST_BYTES // 1_000_000} MB"
    if size == SIZE:
        verdict = f"exact, {bounds} on a core of its own" if good else f"NOT exact and {bounds}"
        proof.write("preview", "make proof-preview", verdict, table)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FleetError as problem:
        sys.exit(f"preview: {problem}")
