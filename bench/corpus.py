"""Seeded log files with their ground truth: per kind of message and minute, how many lines were written.

A file of one seed, style and rule set is a prefix of the larger one, but for its stamps.
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.messages import Message, counted, fill, noise
from bench.rules import Rule

TYPICAL = 200_000  # bytes a minute; 300 MB are a day of it
BUSY = 5_000_000  # 300 MB are an hour
VARIANTS = 200  # different texts of one kind of message
HOST = "web1"
SEED = 20261122
DENSITIES = {"sparse": 0.01, "dense": 0.9}
# A regex for the stamp and the host of each form, as one who knows his logs would write it.
# (A fixed width is what the peers' regex engines are fastest at.)
HEADERS = {"rfc3164": r"^.{15} \S+ ", "rfc3339": r"^.{32} \S+ "}


@dataclass(frozen=True)
class Style:
    """How many of the lines match, the form of their stamps, and bytes a minute."""

    density: str = "sparse"
    form: str = "rfc3339"
    pace: int = TYPICAL

    def __str__(self) -> str:
        """For tables and progress."""
        return f"{self.density}, {self.form}, {self.pace / 1e6:g} MB a minute"

    @property
    def header(self) -> str:
        """Regex for what stands before the tag."""
        return HEADERS[self.form]

    def start_for(self, size: int) -> int:
        """The minute (Unix time) at which a file of this size must begin in order to end some minutes ago.

        A backlog ends in the recent past; and a stamp without a year is read as of the year nearest to now.
        """
        minutes = size // self.pace
        return (int(time.time()) // 60 - 5) * 60 - 60 * (minutes + minutes // 50 + 2)


@dataclass
class Corpus:
    """A log file and what is in it. `counts` is by kind of message and minute (Unix time of its start)."""

    path: Path
    style: Style
    kinds: list[Message]
    size: int = 0
    lines: int = 0
    counts: dict[tuple[int, int], int] = field(default_factory=dict)

    def truth(self, rules: list[Rule]) -> dict[tuple[str, int], int]:
        """How often each metric counts in each minute: what an exact counter must give."""
        known = {rule.metric for rule in rules}
        found: Counter[tuple[str, int]] = Counter()
        for (kind, minute), count in self.counts.items():
            for metric in self.kinds[kind].metrics:
                if metric in known:
                    found[metric, minute] += count
        return dict(found)

    def totals(self, rules: list[Rule]) -> dict[str, int]:
        """How often each metric counts in the whole file, zeros left out."""
        found: Counter[str] = Counter()
        for (metric, _), count in self.truth(rules).items():
            found[metric] += count
        return dict(found)

    def matching_lines(self, rules: list[Rule]) -> int:
        """Lines that count for at least one rule."""
        known = {rule.metric for rule in rules}
        return sum(count for (kind, _), count in self.counts.items() if known & set(self.kinds[kind].metrics))

    def first_match_totals(self, rules: list[Rule]) -> dict[str, int]:
        """Counts of a program that gives each line to the first rule that matches, in the rules' order."""
        found: Counter[str] = Counter()
        for (kind, _), count in self.counts.items():
            first = next((rule.metric for rule in rules if rule.metric in self.kinds[kind].metrics), None)
            if first:
                found[first] += count
        return dict(found)


class Writer:
    """Writes lines of a style: kinds that the rules count with their share, all others from the noise."""

    def __init__(self, rules: list[Rule], style: Style, seed: int = SEED) -> None:
        known = {rule.metric for rule in rules}
        oracle = {rule.metric: re.compile(rule.line_regex(style.header)) for rule in rules}
        matching = [message for message in counted() if known & set(message.metrics)]
        self.kinds = [*matching, *noise()]
        self.style = style
        self.rng = random.Random(f"{seed} {style} {len(rules)}")  # noqa: S311 - a corpus, no secret
        share = DENSITIES[style.density]
        self.tails: list[tuple[bytes, bytes, bool]] = []  # before the process id, after it, whether it changes
        self.kind_of: list[int] = []
        weights: list[float] = []
        for kind, message in enumerate(self.kinds):
            own = share / len(matching) if message.metrics else (1 - share) / (len(self.kinds) - len(matching))
            daemon = self.rng.randrange(300, 3000)
            for _ in range(VARIANTS):
                text = fill(message.text, self.rng)
                forks = message.forks
                tag = message.program if forks or message.program == "kernel" else f"{message.program}[{daemon}]"
                head, rest = f" {HOST} {tag}" + ("[" if forks else ""), ("]" if forks else "") + f": {text}\n"
                self._check(message, head + ("4711" if forks else "") + rest, oracle)
                self.tails.append((head.encode(), rest.encode(), forks))
                self.kind_of.append(kind)
                weights.append(own / VARIANTS)
        self.cumulated = list(itertools.accumulate(weights))
        self.indices = range(len(self.tails))
        self.pids = [b"%d" % pid for pid in range(3001, 32768)]
        self.next_pid = 0
        mean = sum(
            (len(head) + len(rest)) * weight for (head, rest, _), weight in zip(self.tails, weights, strict=True)
        )
        self.rate = int(style.pace / (mean + len(stamp(style.form, 0, 0)) + 3))

    def _check(self, message: Message, tail: str, oracle: dict[str, re.Pattern[str]]) -> None:
        """The table of messages says what counts each; plain `re` must say the same of every variant."""
        line = stamp(self.style.form, 0, 0) + tail.rstrip("\n")
        found = {metric for metric, regex in oracle.items() if regex.search(line)}
        wanted = set(message.metrics) & set(oracle)
        if found != wanted:
            raise ValueError(f"messages.py says {sorted(wanted)} of a line that matches {sorted(found)}: {tail!r}")

    def minute(self, start: int, seconds: int = 60, lines: int = 0) -> tuple[list[bytes], Counter[int]]:
        """The lines of the minute that begins at `start` (Unix time), and how many there are of each kind."""
        lines = lines or self.rate
        rng, pids, tails = self.rng, self.pids, self.tails
        chosen = rng.choices(self.indices, cum_weights=self.cumulated, k=lines)
        at = sorted(rng.choices(range(seconds * 1_000_000), k=lines))
        stamps = [stamp(self.style.form, start + second, 0).encode() for second in range(seconds)]
        written = []
        pid = self.next_pid
        precise = self.style.form == "rfc3339"
        for index, micro in zip(chosen, at, strict=True):
            when = stamps[micro // 1_000_000]
            if precise:
                when = b"%b%06d%b" % (when[:20], micro % 1_000_000, when[26:])
            head, rest, forks = tails[index]
            if forks:
                pid = (pid + 7) % len(pids)
                written.append(when + head + pids[pid] + rest)
            else:
                written.append(when + head + rest)
        self.next_pid = pid
        return written, Counter(map(self.kind_of.__getitem__, chosen))

    def write(self, path: Path, size: int) -> Corpus:
        """Write whole minutes until the file has at least `size` bytes; it ends in the recent past."""
        corpus = Corpus(path, self.style, self.kinds)
        start = self.style.start_for(size)
        with path.open("wb") as file:
            while corpus.size < size:
                written, kinds = self.minute(start)
                corpus.size += file.write(b"".join(written))
                corpus.lines += len(written)
                corpus.counts.update({(kind, start): count for kind, count in kinds.items()})
                start += 60
        return corpus


def stamp(form: str, second: int, micro: int) -> str:
    """A stamp in UTC: `Nov 22 10:00:00`, or `2026-11-22T10:00:00.123456+00:00`."""
    when = time.gmtime(second)
    if form == "rfc3164":
        return f"{time.strftime('%b', when)} {when.tm_mday:2} {time.strftime('%H:%M:%S', when)}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', when)}.{micro:06}+00:00"
