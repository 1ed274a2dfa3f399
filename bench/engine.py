"""The engine as hosts run it: a byte-compiled copy, its entry point without arguments, config and state of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from fleet.progress import FleetError, run

from bench.measure import HOST_PYTHON, NOTHING, Spawner, Usage
from bench.peers.base import Job, Peer, Result
from bench.rules import PARSER

ENTRY = "parse_loki_metrics.py"
MOST_RUNS = 5000
Points = dict[tuple[str, int], float]


class Parser:
    """A copy of the parser, so that an edit meanwhile changes nothing; byte-compiled, as the role installs it."""

    def __init__(self, scratch: Path) -> None:
        self.home = scratch / "parser"
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(PARSER / "logmetrics", self.home / "logmetrics", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PARSER / ENTRY, self.home / ENTRY)
        run([HOST_PYTHON, "-I", "-m", "compileall", "-q", str(self.home / "logmetrics")], "compiling the parser")
        digest = hashlib.sha256()
        for path in sorted(self.home.rglob("*.py")):
            digest.update(path.read_bytes())
        self.digest = digest.hexdigest()[:12]

    @property
    def entry(self) -> str:
        """The executable."""
        return str(self.home / ENTRY)


@dataclass
class Run:
    """One run: what it took, the points that it printed (by name and Unix time), bytes that it has still to read."""

    usage: Usage
    points: Points
    lag: int


@dataclass
class Drained:
    """All runs until nothing is left: their sum, how many, the points as a store holds them (the last write wins)."""

    usage: Usage = NOTHING
    runs: int = 0
    points: Points = field(default_factory=dict)

    def counts(self, metrics: set[str]) -> dict[str, int]:
        """What was counted, by metric and minute; zeros left out."""
        return {f"{name} {at}": int(value) for (name, at), value in self.points.items() if value and name in metrics}


class Host:
    """One host: its /etc/logmetrics/config.json (defaults but for paths), its state, its Telegraf (the spawner)."""

    def __init__(
        self, parser: Parser, work: Path, rules_json: Path, log: Path, start: str = "beginning", codes: bytes = b""
    ) -> None:
        """`codes` is what an earlier host with these rules kept of its compiled regexes."""
        shutil.rmtree(work, ignore_errors=True)
        (work / "etc" / "logmetrics").mkdir(parents=True)
        (work / "state").mkdir()
        self.codes = work / "state" / "regexes.cache"
        if codes:
            self.codes.write_bytes(codes)
        config = {
            "format": 1,
            "host": "bench",
            "start": start,
            "state_dir": str(work / "state"),
            "rules": str(rules_json),
            "sources": [{"type": "file", "path": str(log)}],
        }
        (work / "etc" / "logmetrics" / "config.json").write_text(json.dumps(config))
        self.parser = parser
        self.spawner = Spawner(work, work / "etc")
        self.spawner.run([parser.entry, "count", "--init"])

    def close(self) -> None:
        """End the host's spawner."""
        self.spawner.close()

    def run(self) -> Run:
        """One run, as Telegraf starts it. FleetError where it reports an error."""
        usage, text = self.spawner.run([self.parser.entry])
        points: Points = {}
        for line in text.splitlines():
            name, value, at = line.split(" ")
            points[name, int(at)] = float(value)
        newest = {name: value for (name, _), value in sorted(points.items(), key=lambda item: item[0][1])}
        if newest.get("logs.script_error") != 0:
            raise FleetError(f"the parser reports an error: {(self.spawner.scratch / 'stderr').read_text().strip()}")
        return Run(usage, points, int(newest["logs.parser.lag_bytes"]))

    def drain(self, metrics: set[str]) -> Drained:
        """Runs until nothing is left to read and a further run prints nothing new; that last one is not counted."""
        drained = Drained()
        for _ in range(MOST_RUNS):
            one = self.run()
            new = {key: value for key, value in one.points.items() if key[0] in metrics and key not in drained.points}
            if not new and not one.lag and drained.runs:
                return drained
            drained.usage += one.usage
            drained.runs += 1
            drained.points.update((key, value) for key, value in one.points.items() if key[0] in metrics)
        raise FleetError(f"the parser has not worked off its backlog after {MOST_RUNS} runs")


class Ours(Peer):
    """The `count` verb, run after run until its lag is 0. Its counts are compared by metric and minute."""

    key = "logmetrics"
    title = "**logmetrics** (counts by event time)"
    how = "the count verb with its defaults, run after run until lag_bytes is 0; compared by metric and minute"
    learns = True

    def __init__(self, parser: Parser) -> None:
        """As on a host that has run these rules before, the compiled regexes are those of the run before."""
        self.parser = parser
        self.codes: dict[Path, bytes] = {}

    def version(self) -> str:
        """The copy that is measured."""
        python = run([HOST_PYTHON, "--version"], "version of the hosts' Python").strip()
        return f"logmetrics, sha256 of its sources {self.parser.digest}, {python}"

    def run(self, spawner: Spawner, job: Job) -> Result:
        """From the beginning of the file, with a new state. (The spawner is the host's own.)"""
        codes = self.codes.get(job.rules_json, b"")
        host = Host(self.parser, job.work / "host", job.rules_json, job.corpus.path, codes=codes)
        try:
            drained = host.drain({rule.metric for rule in job.rules})
            self.codes[job.rules_json] = host.codes.read_bytes()
        finally:
            host.close()
        truth = {f"{metric} {minute}": count for (metric, minute), count in job.corpus.truth(job.rules).items()}
        counts = drained.counts({rule.metric for rule in job.rules})
        return Result(drained.usage, counts, truth, drained.runs)
