"""What a peer is: it reads a file by rules, and gives its counts together with what they should be."""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from fleet.progress import FleetError

from bench.corpus import Corpus
from bench.measure import Spawner, Usage
from bench.rules import Rule

TIMEOUT = 3600.0


@dataclass(frozen=True)
class Job:
    """A file to count in, the rules, the compiled rules.json that they come from, and a directory to work in."""

    corpus: Corpus
    rules: list[Rule]
    rules_json: Path
    work: Path

    def regexes(self) -> list[str]:
        """Each rule as a regex on the whole line."""
        return [rule.line_regex(self.corpus.style.header) for rule in self.rules]

    def named(self, counts: list[int]) -> dict[str, int]:
        """Counts in the rules' order by metric, zeros left out."""
        return {rule.metric: count for rule, count in zip(self.rules, counts, strict=True) if count}


@dataclass(frozen=True)
class Result:
    """What a run took, what it counted, and what it must count by its own rules of the game."""

    usage: Usage
    counts: dict[str, int]
    expected: dict[str, int]
    runs: int = 1

    @property
    def equal(self) -> bool:
        """Whether the counts are what they must be."""
        return self.counts == self.expected

    def differences(self) -> str:
        """The first metrics that differ: counted of expected."""
        names = sorted(set(self.counts) | set(self.expected))
        wrong = [
            f"{name} {self.counts.get(name, 0)} of {self.expected.get(name, 0)}"
            for name in names
            if self.counts.get(name) != self.expected.get(name)
        ]
        return "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")


class Peer(ABC):
    """A program to be measured.

    `how` says how it is used; `deviation` how its counts differ from the truth by design (empty: they are it).
    """

    key: str
    title: str
    how: str
    deviation = ""
    learns = False  # its first run keeps something that later ones use

    @abstractmethod
    def version(self) -> str:
        """What is measured, with its version; gets the program where it is missing."""

    @abstractmethod
    def run(self, spawner: Spawner, job: Job) -> Result:
        """Count the job's file."""


def first_line(command: list[str]) -> str:
    """The first line that a program prints, for its version."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise FleetError(f"{command[0]} does not run: {error}") from error
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def prometheus(text: str, prefix: str = "") -> dict[str, int]:
    """Values of a Prometheus text exposition, by name without the prefix; labels dropped, zeros left out."""
    found: dict[str, int] = {}
    for name, value in re.findall(rf"^{prefix}(\w+)(?:{{[^}}]*}})? (\S+)", text, re.M):
        if float(value):
            found[name] = found.get(name, 0) + int(float(value))
    return found
