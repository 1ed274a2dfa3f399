"""The tables, in Markdown. Every number in them was measured in this run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.corpus import BUSY, Style
from bench.peers.base import Peer
from bench.scenarios import Backlog, Growth, Hour, Minutes
from bench.throughput import ENOUGH, SAMPLE, TOO_LONG, TOO_LONG_MARK, Cell, Measured

# Floors and aims of the project: times as fast as mtail, by density and number of rules.
FLOORS = {
    ("sparse", 4): 12,
    ("sparse", 20): 30,
    ("sparse", 100): 100,
    ("dense", 4): 7,
    ("dense", 20): 15,
    ("dense", 100): 45,
}
AIM = 2  # times the floor
RIPGREP_AIM = 0.8  # of ripgrep's rate, at 100 rules
GROWTH_LIMIT = 1.5
IDLE, IDLE_AIM = 3.0, 2.0
MINUTE, MINUTE_AIM = 6.0, 4.0
PEAK_LIMIT = 40e6
OURS, MTAIL = "logmetrics", "mtail"


@dataclass
class Report:
    """Everything that a run found out."""

    peers: Sequence[Peer]
    versions: dict[str, str]
    cells: list[Cell] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    minutes: Minutes | None = None
    backlogs: list[Backlog] = field(default_factory=list)
    hours: list[Hour] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # peers that were not measured
    counts_alone: bool = False  # on small files rates are of starting, not of counting: they are shown, not judged

    def join(self, other: Report) -> None:
        """Take the scenarios of a run of other ones in."""
        self.peers = [*self.peers, *(peer for peer in other.peers if peer.key not in self.versions)]
        for key, version in other.versions.items():
            mine = self.versions.setdefault(key, version)
            if version not in mine:
                self.versions[key] = f"{mine} (another part of this table: {version})"
        self.cells += other.cells
        self.growths += other.growths
        self.minutes = self.minutes or other.minutes
        self.backlogs += other.backlogs
        self.hours += other.hours
        self.loads += other.loads

    def is_whole(self) -> bool:
        """Whether every scenario is in it."""
        return all((self.cells, self.growths, self.minutes, self.backlogs, self.hours))

    def wrong_counts(self) -> list[str]:
        """Every measurement whose counts are not what they must be."""
        found = [
            f"{measured.peer.key}, {cell.style}, {cell.rules} rules: {result.differences()}"
            for cell in self.cells
            for measured in cell.measured.values()
            for result in measured.results
            if not result.equal
        ]
        found += [f"backlog, {one.what}: {one.result.differences()}" for one in self.backlogs if not one.result.equal]
        for one in self.growths:
            found += [f"growth, {one.density}: {two.differences()}" for two in (one.few, one.many) if not two.equal]
        if self.minutes and not self.minutes.right:
            found.append("typical minutes: a minute's point is not what was written")
        return found

    def goals(self) -> list[tuple[str, str, str, str]]:
        """(what, measured, floor, aim) of each of the project's numbers that this run covers."""
        rows: list[tuple[str, str, str, str]] = []
        if self.counts_alone:
            return rows
        for cell in self.cells:
            ratio = cell.ratio(OURS, MTAIL)
            if ratio:
                floor = FLOORS[cell.style.density, cell.rules] if cell.style.pace == BUSY else None
                what = f"times mtail's rate, {cell.rules} rules, {cell.style}"
                rows.append(_at_least(what, ratio, floor, AIM * floor if floor else None))
            first = cell.first_ratio(OURS, MTAIL)
            learned = cell.measured[OURS].learning
            if first and learned and cell.rules == 100 and cell.style.pace == BUSY:
                learning = f"{learned * 1000:.0f} ms of compiling"
                rows.append(_at_least(f"the same of the first run of these rules, with {learning}", first, None, None))
            ratio = cell.ratio(OURS, "ripgrep")
            if ratio and cell.rules == 100:
                rows.append(_at_least(f"times ripgrep's rate, 100 rules, {cell.style}", ratio, None, RIPGREP_AIM))
        rows += [
            _at_most(f"cost of 100 rules by that of 4, same file, {one.density}", one.ratio, GROWTH_LIMIT, None)
            for one in self.growths
        ]
        if self.minutes:
            rows.append(_at_most("idle run, times `pass`", self.minutes.ratio("idle"), IDLE, IDLE_AIM))
            for kind in ("sparse", "dense"):
                rows.append(
                    _at_most(f"typical minute, {kind}, times `pass`", self.minutes.ratio(kind), MINUTE, MINUTE_AIM)
                )
        peaks = [one.result.usage.peak for one in self.backlogs]
        peaks += [cell.measured[OURS].peak for cell in self.cells if OURS in cell.measured]
        if peaks:
            rows.append(_at_most("highest peak RSS, MB", max(peaks) / 1e6, PEAK_LIMIT / 1e6, None))
        return rows

    def verdict(self) -> str:
        """Counts and floors in one line."""
        wrong = self.wrong_counts()
        counts = "all counts as they must be" if not wrong else f"{len(wrong)} counts WRONG"
        judged = [row for row in self.goals() if row[2]]
        missed = [row for row in judged if row[2].endswith("missed")]
        return f"{counts}; {len(judged) - len(missed)} of {len(judged)} floors met" if judged else counts

    def text(self) -> str:
        """The whole report."""
        parts = [
            self._machine(),
            self._goals(),
            *self._throughput(),
            self._howto(),
            self._growth(),
            self._minutes(),
            self._backlogs(),
        ]
        wrong = self.wrong_counts()
        if wrong:
            parts.insert(0, "## Wrong counts\n\n" + "\n".join(f"- {one}" for one in wrong))
        return "\n\n".join(part for part in parts if part) + "\n"

    def _machine(self) -> str:
        loads = ", ".join(f"{load:.1f}" for load in self.loads)
        lines = [
            f"- machine: {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}; shared with others "
            f"(load as the stages began: {loads})",
            "- every program runs on one core (sched_setaffinity), one at a time; CPU time is user and system of the "
            "process as wait4 reports it, peak its maximum RSS (at least the 9 MB of the process that starts it); "
            "MB are 10^6 bytes, rates are by CPU time",
            "- rounds are interleaved, and the median counts; spread: by how much the slowest was slower than the "
            f"quickest; after {ENOUGH:.0f} s of CPU a program gets no further round; one that would take more than "
            f"{TOO_LONG:.0f} s (mtail and ripgrep: {TOO_LONG_MARK:.0f} s) is measured on a sample of "
            f"{SAMPLE / 1e6:.0f} MB in the same style (marked *)",
            "- ours: all runs of the command are in it, with their starts, the points printed and the state saved; the "
            "rules are compiled once, by the very first run, and all others read that from disk, as on a host; what it "
            "took is given by itself",
        ]
        if self.left_out:
            lines.append(f"- left out of this run: {', '.join(self.left_out)}")
        return "\n".join(
            [*lines, *(f"- {self.versions[peer.key]}: {peer.how}" for peer in self.peers if peer.key in self.versions)]
        )

    def _goals(self) -> str:
        rows = self.goals()
        if not rows:
            return ""
        head = ("what", "measured", "floor", "aim")
        text = (
            "The floors are for reading lines, at 5 MB a minute. At 0.2 MB a minute, as on small hosts, a point for "
            "each rule and minute is printed, kept and sent again, which no other program does: there the ratio stands "
            "alone."
        )
        return f"## The project's numbers\n\n{text}\n\n{table(head, rows, 'lrll')}"

    def _throughput(self) -> list[str]:
        found = []
        for style in dict.fromkeys(cell.style for cell in self.cells):
            found.append(self._one_table(style, [cell for cell in self.cells if cell.style == style]))
        return found

    def _one_table(self, style: Style, cells: list[Cell]) -> str:
        head = ["program", *(f"{cell.rules} rules: MB/s, times mtail" for cell in cells), "spread", "peak MB", "counts"]
        rows = []
        for peer in self.peers:
            found = [cell.measured.get(peer.key) for cell in cells]
            if not any(found):
                continue
            row = [peer.title]
            for cell, measured in zip(cells, found, strict=True):
                ratio = cell.ratio(peer.key, MTAIL)
                rate = f"{measured.rate:.3g}{'*' if measured.sampled else ''}" if measured else "-"
                row.append(rate + (f" ({ratio:.3g}x)" if ratio else ""))
            known = [measured for measured in found if measured]
            row.append(f"{max(measured.spread for measured in known):.0%}")
            row.append(f"{max(measured.peak for measured in known) / 1e6:.1f}")
            row.append(counts_word(peer, known))
            rows.append(row)
        share = {"sparse": "1 %", "dense": "90 %"}[style.density]
        size = "; ".join(
            f"{cell.rules} rules: {cell.size / 1e6:.0f} MB, {cell.lines} lines, {cell.counted} counts" for cell in cells
        )
        shared = "; ".join(
            f"{cell.rules} rules: {cell.counted - cell.first_only} of {cell.counted}"
            for cell in cells
            if cell.first_only != cell.counted and "telegraf" in cell.measured
        )
        note = f"\n\nCounts that Telegraf's first match leaves out: {shared}." if shared else ""
        title = f"## Throughput, {style} ({share} of the lines match)"
        return f"{title}\n\n{size}\n\n{table(head, rows, 'l' + 'r' * len(cells) + 'rrl')}{note}"

    def _howto(self) -> str:
        if not self.hours:
            return ""
        rows = [
            [
                f"{one.bytes_a_minute / 1000:.0f} KB",
                str(one.written),
                str(one.printed),
                f"{one.printed / one.written:.0%}",
            ]
            for one in self.hours
        ]
        head = ("lines a minute", "events written in an hour", "sum of what it printed", "share")
        text = (
            "Run every minute for an hour over a growing file (four rules, 90 % of the lines match), it counts in the "
            "last 500 lines each time."
        )
        return f"## What the how-to's script counts\n\n{text}\n\n{table(head, rows, 'rrrr')}"

    def _growth(self) -> str:
        if not self.growths:
            return ""
        rows = [
            [one.density, f"{one.few.usage.cpu:.2f}", f"{one.many.usage.cpu:.2f}", f"{one.ratio:.2f}"]
            for one in self.growths
        ]
        head = ("file", "4 rules, s of CPU", "100 rules, s of CPU", "ratio")
        text = f"{BUSY / 1e6:g} MB a minute; the best of the rounds."
        return f"## Cost of rules, on one and the same file\n\n{text}\n\n{table(head, rows, 'lrrr')}"

    def _minutes(self) -> str:
        found = self.minutes
        if not found:
            return ""
        rows = []
        for kind, samples in found.samples.items():
            size = f"{found.bytes_a_minute[kind] / 1000:.0f} KB" if kind in found.bytes_a_minute else "-"
            quickest = f"{min(samples) * 1000:.1f}"
            rows.append(
                [
                    kind,
                    size,
                    f"{found.median(kind) * 1000:.1f}",
                    quickest,
                    f"{found.ratio(kind):.2f}",
                    str(len(samples)),
                ]
            )
        head = ("run", "new lines", "median, ms of CPU", "quickest", "times `pass`", "samples")
        text = (
            "100 rules, real minutes at the default interval of 60 s, each run 5 s after the minute: it closes the "
            "interval, prints its 100 points and whatever is due to be sent again. `pass` is `python3 -I -S -c pass`, "
            f"taken in turn with the runs. Highest peak RSS: {found.peak / 1e6:.1f} MB."
        )
        return f"## Single runs\n\n{text}\n\n{table(head, rows, 'lrrrrr')}"

    def _backlogs(self) -> str:
        if not self.backlogs:
            return ""
        rows = [
            [
                one.what,
                f"{one.size / 1e6:.0f}",
                str(one.result.runs),
                f"{one.rate:.3g}",
                f"{one.result.usage.peak / 1e6:.1f}",
            ]
            for one in self.backlogs
        ]
        head = ("backlog", "MB", "runs", "MB/s", "peak MB")
        return "## Backlog and memory\n\nsparse, run after run until the lag is 0.\n\n" + table(head, rows, "lrrrr")


def counts_word(peer: Peer, found: Iterable[Measured]) -> str:
    """What to say of a program's counts."""
    if not all(measured.equal for measured in found):
        return "**wrong**"
    return peer.deviation or "equal"


def _at_least(what: str, value: float, floor: float | None, aim: float | None) -> tuple[str, str, str, str]:
    judged = [(f"{bound:g}: " + ("met" if value >= bound else "missed")) if bound else "" for bound in (floor, aim)]
    return what, f"{value:.3g}", judged[0], judged[1]


def _at_most(what: str, value: float, floor: float | None, aim: float | None) -> tuple[str, str, str, str]:
    judged = [(f"{bound:g}: " + ("met" if value <= bound else "missed")) if bound else "" for bound in (floor, aim)]
    return what, f"{value:.3g}", judged[0], judged[1]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A Markdown table; `sides` has l or r for each column."""
    rule = ["---" if side == "l" else "--:" for side in sides]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def cpu_model() -> str:
    """The processor's name (proc(5), cpuinfo)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
