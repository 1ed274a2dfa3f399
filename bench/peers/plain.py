"""Peers that read a file once and end: mtail, ripgrep, and short Python scripts."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bench import packages
from bench.measure import Spawner
from bench.peers.base import Job, Peer, Result, first_line, prometheus
from bench.rules import Rule

PROGRAMS = Path(__file__).with_name("programs")


def slashed(regex: str) -> str:
    """A regex between mtail's slashes."""
    return re.sub(r"(?<!\\)/", r"\/", regex)


class Mtail(Peer):
    """One pattern a rule, anchored at the line's start: how mtail's own examples and guide put it."""

    key = "mtail"
    title = "mtail"
    how = "-one_shot, one pattern a rule, anchored at the line's start; no timestamps parsed, totals alone"

    def version(self) -> str:
        """Debian's package."""
        text = first_line([str(self._program()), "-version"])
        return " ".join(text.replace("mtail version", "mtail").split(" git ")[0].split()) + " (Debian)"

    def _program(self) -> Path:
        return packages.debian("mtail") / "usr" / "bin" / "mtail"

    def clauses(self, job: Job) -> Iterator[str]:
        """The program's text behind the declarations."""
        for rule, regex in zip(job.rules, job.regexes(), strict=True):
            yield f"/{slashed(regex)}/ {{\n  {rule.name}++\n}}\n"

    def run(self, spawner: Spawner, job: Job) -> Result:
        """-one_shot: the file from its start to its end, then the metrics."""
        progs = job.work / f"{self.key}-progs"
        progs.mkdir(exist_ok=True)
        text = "".join(f"counter {rule.name}\n" for rule in job.rules) + "".join(self.clauses(job))
        (progs / "bench.mtail").write_text(text)
        command = [str(self._program()), "-one_shot", "-one_shot_format", "prometheus", "-logtostderr"]
        command += ["-address", "127.0.0.1", "-port", "0"]  # it listens even so; two at a time must not collide
        command += ["-max_recursion_depth", "1000", "-progs", str(progs), "-logs", str(job.corpus.path)]
        usage, out = spawner.run(command)
        counts = prometheus(out)
        return Result(
            usage, {r.metric: counts[r.name] for r in job.rules if r.name in counts}, job.corpus.totals(job.rules)
        )


class NestedMtail(Mtail):
    """Tuned by hand: a pattern a program cuts out the message, and only inside it its rules are tried."""

    key = "mtail-nested"
    title = "mtail, rules nested by program"
    how = "tuned by hand: one pattern a program captures the message, its rules are tried inside"

    def clauses(self, job: Job) -> Iterator[str]:
        """See the class."""
        by_program: dict[tuple[str, ...], list[Rule]] = {}
        for rule in job.rules:
            by_program.setdefault(rule.programs, []).append(rule)
        for own in by_program.values():
            yield f"/{slashed(job.corpus.style.header + own[0].tag_regex)}(?P<msg>.*)$/ {{\n"
            for rule in own:
                yield f"  $msg =~ /{slashed(rule.match)}/ {{\n    {rule.name}++\n  }}\n"
            yield "}\n"


class Ripgrep(Peer):
    """Not a counter by rule: how many lines match any of them. The mark for pure searching."""

    key = "ripgrep"
    title = "ripgrep -j1 -c (one sum)"
    how = "--no-unicode, all regexes by -f"
    deviation = "one number: lines that match any rule"

    def version(self) -> str:
        """Debian's package."""
        return first_line([str(self._program()), "--version"]) + " (Debian)"

    def _program(self) -> Path:
        return packages.debian("ripgrep") / "usr" / "bin" / "rg"

    def run(self, spawner: Spawner, job: Job) -> Result:
        """All regexes of the rules at once, as bytes."""
        patterns = job.work / "patterns"
        patterns.write_text("".join(f"{regex}\n" for regex in job.regexes()))
        command = [
            str(self._program()),
            "--no-config",
            "--no-unicode",
            "-j1",
            "-c",
            "-f",
            str(patterns),
            str(job.corpus.path),
        ]
        usage, out = spawner.run(command)
        return Result(usage, {"lines": int(out)}, {"lines": job.corpus.matching_lines(job.rules)})


class Script(Peer):
    """A short Python script below programs/."""

    script: str

    def run(self, spawner: Spawner, job: Job) -> Result:
        """The script gets the regexes on whole lines and prints a list of counts."""
        regexes = job.work / "regexes.json"
        regexes.write_text(json.dumps(job.regexes()))
        Path(f"{job.corpus.path}.offset").unlink(missing_ok=True)  # pygtail's
        command = [sys.executable, str(PROGRAMS / self.script), str(regexes), str(job.corpus.path)]
        usage, out = spawner.run(command, env={"PYTHONPATH": str(packages.pypi())})
        return Result(usage, job.named(json.loads(out)), self.expected(job))

    def expected(self, job: Job) -> dict[str, int]:
        """What the script must count."""
        return job.corpus.totals(job.rules)


class Pygtail(Script):
    """The usual script of one's own."""

    key = "pygtail"
    title = "pygtail and a loop over the regexes"
    how = "each line, each regex, re.search"
    script = "pygtail_loop.py"

    def version(self) -> str:
        """PyPI's package and the interpreter."""
        packages.pypi()
        pinned = re.search(r"pygtail==(\S+)", packages.REQUIREMENTS.read_text())
        return f"pygtail {pinned.group(1) if pinned else '?'}, Python {sys.version.split()[0]}"


class Re2Set(Script):
    """All regexes in one automaton, one call a line."""

    key = "re2-set"
    title = "google-re2's Set in a loop"
    how = "each line, one Set.Match for all regexes, 64 MB for its automaton"
    script = "re2_set.py"

    def version(self) -> str:
        """PyPI's package, which wraps RE2."""
        return f"google-re2 {version('google-re2')}, Python {sys.version.split()[0]}"


class HowTo(Script):
    """What the project started from, with equivalent regexes instead of its own four."""

    key = "howto"
    title = "the how-to's script (last 500 lines)"
    how = "its way of reading with equivalent regexes; it reads the whole file and matches 500 lines of it"
    script = "howto.py"
    deviation = "only what stands in the last 500 lines, at each run again"
    LAST = 500

    def version(self) -> str:
        """Its interpreter; the script has no version."""
        return f"the how-to's algorithm, Python {sys.version.split()[0]}"

    def expected(self, job: Job) -> dict[str, int]:
        """Counts among the last lines alone."""
        with job.corpus.path.open() as file:
            lines = deque(file, maxlen=self.LAST)
        return job.named([sum(1 for line in lines if re.search(regex, line)) for regex in job.regexes()])
