"""Each program on the same files, one after the other on one core, round by round; the median round counts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleet.progress import say

from bench.corpus import Corpus, Style, Writer
from bench.measure import Spawner
from bench.peers.base import Job, Peer, Result
from bench.rules import Rule, compile_rules

SAMPLE = 5_000_000  # bytes; a program that would take too long for the whole file is measured on this much
TOO_LONG = 4.0  # seconds of CPU that one run may take
TOO_LONG_MARK = 60.0  # the same for the marks, by which ours are judged
ENOUGH = 15.0  # seconds of CPU after which a program needs no further round: it has averaged its own noise


@dataclass
class Measured:
    """One program on one file."""

    peer: Peer
    size: int
    results: list[Result] = field(default_factory=list)
    sampled: bool = False  # the file was too long for it
    trials: list[Result] = field(default_factory=list)  # on the sample: its very first run, of one that learns another

    @property
    def middle(self) -> float:
        """The median of the runs' CPU times, seconds: the best would favour programs of many short runs."""
        return statistics.median(result.usage.cpu for result in self.results)

    @property
    def rate(self) -> float:
        """MB (10^6 bytes) a second of CPU time."""
        return self.size / 1e6 / self.middle

    @property
    def spread(self) -> float:
        """By how much the slowest run took longer than the quickest, as a share."""
        times = [result.usage.cpu for result in self.results]
        return max(times) / min(times) - 1

    @property
    def peak(self) -> int:
        """The highest peak RSS of all runs, bytes."""
        return max(result.usage.peak for result in [*self.trials, *self.results])

    @property
    def learning(self) -> float | None:
        """Seconds of CPU that its very first run took for what later ones find on disk; None where that is unknown."""
        return self.trials[0].usage.cpu - self.trials[1].usage.cpu if len(self.trials) > 1 else None

    @property
    def equal(self) -> bool:
        """Whether every run counted what it must."""
        return all(result.equal for result in self.results)


@dataclass
class Cell:
    """All programs on one file with one rule set."""

    style: Style
    rules: int
    size: int
    lines: int
    counted: int  # what an exact counter counts in the file
    first_only: int  # what one counts that gives a line to its first rule alone
    measured: dict[str, Measured]

    def rate(self, key: str) -> float | None:
        """MB/s of a program, None where it was not measured."""
        return self.measured[key].rate if key in self.measured else None

    def ratio(self, key: str, other: str) -> float | None:
        """How many times as fast as another program."""
        one, two = self.rate(key), self.rate(other)
        return one / two if one and two else None

    def first_ratio(self, key: str, other: str) -> float | None:
        """The same for the very first run, which also makes what later ones find on disk."""
        one, two = self.measured.get(key), self.rate(other)
        if one is None or one.learning is None or not two:
            return None
        return one.size / 1e6 / (one.middle + one.learning) / two


@dataclass(frozen=True)
class Plan:
    """What to measure: bytes of a file, rounds, and the directory to work in."""

    size: int
    rounds: int
    scratch: Path


def write(plan: Plan, rules: list[Rule], style: Style, size: int, name: str) -> Corpus:
    """A new file of that size that ends an hour or two ago."""
    corpus = Writer(rules, style).write(plan.scratch / name, size)
    matching = f"{corpus.matching_lines(rules) / corpus.lines:.1%} match"
    extent = f"{corpus.size / 1e6:.0f} MB, {corpus.lines} lines"
    say(f"{name}: {extent}, {matching} ({style}, {len(rules)} rules)")
    return corpus


def measure(
    plan: Plan, spawner: Spawner, peers: Sequence[Peer], style: Style, count: int, marks: set[str] | None = None
) -> Cell:
    """All these programs on one new file, which is removed afterwards; `marks` get more time."""
    rules_json = plan.scratch / f"rules-{count}.json"
    rules = compile_rules(count, rules_json)
    corpus = write(plan, rules, style, plan.size, "bench.log")
    job = Job(corpus, rules, rules_json, plan.scratch)
    table = {peer.key: Measured(peer, corpus.size) for peer in peers}
    sample: Job | None = None
    if plan.size > 2 * SAMPLE:
        small = write(plan, rules, style, SAMPLE, "sample.log")
        sample = Job(small, rules, rules_json, plan.scratch)
        for measured in table.values():
            try_out(measured, spawner, sample, TOO_LONG_MARK if measured.peer.key in (marks or ()) else TOO_LONG)
    for number in range(plan.rounds):
        for measured in table.values():
            spent = sum(result.usage.cpu for result in measured.results)
            mark = measured.peer.key in (marks or ())
            if (number and spent > ENOUGH) or (measured.sampled and not mark):
                continue
            result = measured.peer.run(spawner, sample if sample and measured.sampled else job)
            measured.results.append(result)
            tell(measured, result, measured.size)
    if sample:
        sample.corpus.path.unlink()
    first_only = sum(corpus.first_match_totals(rules).values())
    corpus.path.unlink()
    counted = sum(corpus.totals(rules).values())
    return Cell(style, count, corpus.size, corpus.lines, counted, first_only, table)


def try_out(measured: Measured, spawner: Spawner, sample: Job, most: float) -> None:
    """A program's first run, on the sample; it stays at that where the file would take more than `most` s of CPU."""
    measured.trials = [measured.peer.run(spawner, sample) for _ in range(2 if measured.peer.learns else 1)]
    last = measured.trials[-1]
    tell(measured, last, sample.corpus.size)
    wrong = [result for result in measured.trials if not result.equal]
    if wrong or last.usage.cpu / sample.corpus.size * measured.size > most:
        measured.results, measured.size, measured.sampled = wrong or [last], sample.corpus.size, True


def tell(measured: Measured, result: Result, size: int) -> None:
    """One line of progress, with the difference where the counts are wrong."""
    verdict = "counts equal" if result.equal else f"COUNTS DIFFER: {result.differences()}"
    rate = size / 1e6 / result.usage.cpu
    say(f"  {measured.peer.key}: {rate:.1f} MB/s, {result.usage.cpu:.2f} s of CPU, {verdict}")
