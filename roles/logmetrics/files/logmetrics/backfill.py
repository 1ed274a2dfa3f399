"""`backfill`: history for a rule from old logs, as points with their own times, on stdout or sent to a carbon.

The points are absolute, so that doing it twice changes nothing; they end before the first interval that the host itself
counts the metric for, and each has the slot of the store's archive that keeps its age (`archives`).
"""

from __future__ import annotations

import argparse
import os
import string
import sys
import time

from . import archives, buckets, carbon, config, oldlogs, rulebook, ruleinput, runtime, values
from .accounts import account
from .errors import Fault
from .lines import split
from .output import as_json, write_stdout
from .replay import moment
from .rules import RuleSet
from .sources.base import Budget, Sink
from .state import Store, admitted
from .tally import SECOND, Families, Tally, Timeline
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Sequence

    from .archives import Archive, Schemas, Slot
    from .buckets import Bucket
    from .config import Config
    from .oldlogs import Log, Progress
    from .rules import Rule
    from .sources.base import Entry

HOUR = 3600
RATE = 500.0  # points a second
PREFIX = "telegraf.{host}.syslog-metrics."  # as the role's Telegraf names them


class Series:
    """What one source's lines come to: intervals, the time of its first line, and the hours in which it has lines."""

    def __init__(self) -> None:
        self.intervals: dict[int, Bucket] = {}
        self.first: int | None = None
        self.hours: set[int] = set()
        self.names: set[str] = set()  # series that occurred

    def take(self, tally: Tally) -> None:
        """Move what was counted here."""
        for at, bucket in tally.open.items():
            self.names.update(bucket)
            buckets.merge(self.intervals.setdefault(at, {}), bucket)
        tally.open = {}

    def cover(self, times: Iterable[int]) -> None:
        """Note that lines of these Unix times were read."""
        for at in times:
            self.first = at if self.first is None else min(self.first, at)
            self.hours.add(at // HOUR)


class Past:
    """Counts old lines by one rule set. `families`: names that are admitted already; others, in the lines' order."""

    def __init__(
        self,
        rules: RuleSet,
        interval: int,
        line_max: int = 65_536,
        rule_budget: float = 1.0,
        families: dict[str, dict[str, int]] | None = None,
    ) -> None:
        self.rules, self.interval, self.line_max = rules, interval, line_max
        self.families = families or {}
        self.sources: dict[str, Series] = {}
        self._tallies: dict[str, Tally] = {}
        self.watch = Watch(rule_budget)
        self.reference = time.time()

    def tally(self, source: str) -> Tally:
        """The tally of a source."""
        if source in self._tallies:
            return self._tallies[source]
        tally = self._tallies[source] = Tally(
            self.interval,
            0,
            0,
            Timeline([(0, self.rules)]),
            Families(self.families, account),
            lambda: self.reference,
            self.line_max,
        )
        tally.watch = self.watch
        return tally

    def read(self, log: Log, since: int, show: Progress) -> None:
        """Count a file's lines. Raises Fault where it cannot be read."""
        self.reference = log.reference(time.time())
        series = self.sources.setdefault(log.source, Series())
        tally = self.tally(log.source)
        for piece in oldlogs.pieces(log, since):
            tally.add_lines(log.source, piece.data)
            # What has no time of its own counts as of now: no history.
            tally.open.pop(int(self.reference) // self.interval * self.interval, None)
            series.take(tally)
            series.cover(self._times(piece.data))
            show(f"{log.path}, {piece.end >> 20} MiB")

    def _times(self, data: bytes) -> list[int]:
        """The time of the first line, and of a line of each hour in which lines were written."""
        lines = data.split(b"\n")[:-1]
        one_an_hour = {_hour(line): line for line in lines}
        found = [split(line[:4096], self.reference)[0] for line in [lines[0], *one_an_hour.values()]]
        return [stamp[0] for stamp in found if stamp is not None and stamp[0] <= self.reference]

    def read_journal(self, directory: str, since: int, show: Progress) -> list[str]:
        """Count the journal's entries; what could not be read."""
        from .sources.journal import NAME, JournalSource  # noqa: PLC0415 - where files are read it is not needed

        self.reference = time.time()
        sink = _Entries(self.tally(NAME), self.sources.setdefault(NAME, Series()), show)
        return JournalSource(directory, self.line_max, since).read({}, sink, Budget(1e9)).faults


def _hour(line: bytes) -> bytes:
    """What a line begins with up to the hour of its stamp; of a form without a stamp there, all of it."""
    if line[:1].isalpha() and line[3:4] == b" ":
        return line[:9]  # Nov 22 10
    return line[:13] if line[4:5] == b"-" else line  # 2026-11-22T10


class _Entries(Sink):
    def __init__(self, tally: Tally, series: Series, show: Progress) -> None:
        self.tally, self.series, self.show = tally, series, show

    def entries(self, source: str, entries: list[Entry]) -> int:
        """See Sink."""
        self.tally.add_entries(source, entries)
        self.series.take(self.tally)
        self.series.cover(when // SECOND for when, _, _, _ in entries)
        self.show(f"journal, {self.tally.lines} entries")
        return len(entries)


class Plan:
    """How points are named, summed and bounded. `until` gives for each metric the end of its history (Unix time)."""

    def __init__(
        self, prefix: str, store: Schemas | list[Archive] | None, until: dict[str, int], now: int, average: bool = False
    ) -> None:
        self.prefix, self.until, self.now, self.average = prefix, until, now, average
        self._store = store

    def archives(self, series: str, interval: int) -> list[Archive]:
        """The archives of a series, the first no finer than the interval. Raises Fault."""
        if self._store is None:
            return [archives.Archive(interval, 1 << 40)]
        found = self._store if isinstance(self._store, list) else self._store.archives(self.prefix + series)
        if found[0].step % interval:
            raise Fault(
                f"the store's finest slot for {series}, {found[0].step} s, is no multiple of the interval, {interval} s"
            )
        return found


class Points:
    """The result: Graphite lines by series and time, and what was left out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.series: set[str] = set()
        self.too_old = 0  # slots
        self.first: int | None = None
        self.last: int | None = None


def points(past: Past, plan: Plan) -> Points:
    """All points of the history, sorted by series and time. Raises Fault."""
    result = Points()
    rows: list[tuple[str, int, str]] = []
    for metric in dict.fromkeys(rule.metric for rule in _operators(past.rules)):
        rules = [rule for rule in _operators(past.rules) if rule.metric == metric]
        for name in _names(past, rules[0]):
            for at, text in _of_series(past, plan, name, rules[0], result):
                rows += [(series, at, value) for series, value in _rendered(text)]
    rows.sort(key=lambda row: (row[0], row[1]))
    for name, at, value in rows:
        result.series.add(name)
        result.first = at if result.first is None else min(result.first, at)
        result.last = at if result.last is None else max(result.last, at)
        result.lines.append(f"{plan.prefix}{name} {value} {at}\n")
    return result


def _operators(rules: RuleSet) -> list[Rule]:
    return [rule for rule in rules.rules if not rule.metric.startswith("logs.parser.")]


def _names(past: Past, rule: Rule) -> list[str]:
    if not rule.groups:
        return [rule.metric]
    occurred = set().union(*(one.names for one in past.sources.values()))
    return sorted(occurred.intersection(past.families.get(rule.metric, ())))


def _rendered(lines: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value, _ in (line.split(" ") for line in lines)]


def _of_series(past: Past, plan: Plan, name: str, rule: Rule, result: Points) -> list[tuple[int, list[str]]]:
    """(time, Graphite lines) of one series."""
    tiers = plan.archives(name, past.interval)
    # A series comes from the sources in which it occurred; one that never did might have come from any.
    sources = [one for one in past.sources.values() if name in one.names] or list(past.sources.values())
    if not sources or any(one.first is None for one in sources):
        return []
    began = max(one.first for one in sources if one.first is not None)
    hours = set.intersection(*(one.hours for one in sources))
    until = plan.until[rule.metric]
    kept: dict[Slot, Bucket] = {}

    def place(at: int, counts: bool = True) -> Bucket | None:
        """The bucket of the slot that keeps an interval, or None where there is none."""
        slot = archives.slot(tiers, at, plan.now)
        if slot is None:
            result.too_old += counts
            return None
        # Not whole: the log begins within it, or live points do.
        if slot[1] < began or slot[1] + slot[0] > until:
            return None
        return kept.setdefault(slot, {})

    for one in sources:
        for at, bucket in one.intervals.items():
            if name in bucket:
                into = place(at)
                if into is not None:
                    buckets.merge(into, {name: bucket[name]})
    zeros = [name + ".count" if rule.type == "timing" else name] if rule.type != "gauge" else []
    if zeros:
        for hour in hours:
            for at in range(hour * HOUR, (hour + 1) * HOUR, min(past.interval, HOUR)):
                if at >= began:
                    place(at, counts=False)
    return [
        (archives.stamp(tiers, slot), _lines(bucket, zeros, slot[0] // past.interval if plan.average else 1))
        for slot, bucket in kept.items()
    ]


def _lines(bucket: Bucket, zeros: list[str], parts: int) -> list[str]:
    """A slot's Graphite lines; counts and sums as the mean of `parts` intervals, for a store that averages."""
    lines = buckets.points(bucket, zeros, 0)
    if parts == 1:
        return lines
    found = []
    for line in lines:
        name, value, at = line.split(" ")
        if name in zeros:
            scaled = values.number(value.encode()) or 0
            value = values.text(scaled // parts)
        found.append(f"{name} {value} {at}")
    return found


# What the host itself counts.


def live_since(settings: Config, metrics: Iterable[str], now: int) -> tuple[dict[str, int], list[str]]:
    """For each metric the first interval that the host's own runs count it for, and notes for the operator.

    Raises Fault where the state cannot be read.
    """
    state, _ = Store(settings.state_dir, "count").load()
    present = now // settings.interval * settings.interval
    if "timeline" not in state:
        return dict.fromkeys(metrics, present), []
    sets = rulebook.load(state, settings.state_dir).sets
    found, notes = {}, []
    for metric in metrics:
        holds = [any(rule.metric == metric for rule in rules.rules) for _, rules in sets]
        if not holds[-1]:
            found[metric] = min(present, state["closed"])
            continue
        first = len(holds) - 1
        while first > 0 and holds[first - 1]:
            first -= 1
        if first > 0:
            found[metric] = max(sets[first][0], state["first"])
            continue
        found[metric] = state["first"]
        if sets[0][0] > state["first"]:
            when = time.strftime("%Y-%m-%dT%H:%M", time.localtime(sets[0][0]))
            notes.append(
                f"{metric}: it is not known whether rules before {when} counted it, so the history ends where this "
                f"host began to count; if they did not, add --until {when}"
            )
    return found, notes


# The verb.


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logmetrics backfill",
        description="Count old logs by a rule, and print the points with their own times or send them to a carbon.",
        epilog="Without LOG the configured sources of this host are read, with what their rotation left. On a host the "
        "history ends where its own counting begins.",
    )
    parser.add_argument("rules", metavar="RULES", help="a rules.json, or packs (controller)")
    parser.add_argument("logs", metavar="LOG", nargs="*", help="plain, rotated or compressed logs")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME", help="this metric, as in its rule")
    parser.add_argument("--config", default=config.DEFAULT_PATH, metavar="FILE", help="settings (default: %(default)s)")
    parser.add_argument("--packs-dir", action="append", default=[], metavar="DIR", help="where packs are")
    parser.add_argument("--source", metavar="PATH", help="read the logs as if this were the file they stand in")
    parser.add_argument("--since", metavar="TIME", help="no older lines: 2026-11-22T10:00, 12h, 2d")
    parser.add_argument("--until", metavar="TIME", help="end of the history (default on a host: where its own begins)")
    parser.add_argument("--interval", type=int, metavar="SECONDS", help="(default: the host's, or 60)")
    parser.add_argument("--retentions", metavar="TEXT", help="the store's archives, as 60s:7d,5m:90d")
    parser.add_argument("--schemas", metavar="FILE", help="the store's storage-schemas.conf, instead of --retentions")
    parser.add_argument(
        "--aggregation", choices=("sum", "average"), default="sum", help="how the store makes coarse slots of counts"
    )
    parser.add_argument("--prefix", metavar="TEXT", help="of names; ${NAME} is taken from the environment")
    parser.add_argument("--to", metavar="HOST:PORT", help="send to this carbon (plaintext) instead of printing")
    parser.add_argument("--tls", action="store_true", help="speak TLS to it")
    parser.add_argument("--rate", type=float, default=RATE, metavar="N", help="points a second (default: %(default)g)")
    parser.add_argument("--now", metavar="TIME", help="reckon the age of points as of this time")
    parser.add_argument("--progress", action="store_true", help="a line of progress on stderr (on a terminal always)")
    parser.add_argument("--json", action="store_true", help="print the points as one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb; 0, 1 where there was nothing to fill in, 2 for wrong use, unreadable input or a store away."""
    try:
        args = _arguments().parse_intermixed_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return run(args)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Fault as fault:
        _say(str(fault))
        return 2


def run(args: argparse.Namespace) -> int:
    """Count, then print or send. Raises Fault."""
    to = carbon.address(args.to) if args.to else None
    if not args.rate > 0:
        raise Fault("--rate: must be more than 0 points a second")
    settings = config.load(args.config) if not args.logs or os.path.exists(args.config) else None
    now = time.time() if args.now is None else float(moment(args.now, time.time()))
    rules = _chosen(args)
    interval = args.interval or (settings.interval if settings else 60)
    metrics = list(dict.fromkeys(rule.metric for rule in _operators(rules)))
    until, notes = _until(args, settings, metrics, now)
    plan = Plan(_prefix(args, settings), _store(args), until, int(now), args.aggregation == "average")
    for metric in metrics:
        plan.archives(metric, interval)  # what is wrong with them is told before the logs are read
    since = moment(args.since, now) if args.since else 0
    runtime.as_runs_do(settings, args.logs)
    show = oldlogs.Progress("backfill", args.progress)
    of_host = (settings.line_max, settings.rule_budget, admitted(settings.state_dir)) if settings else ()
    past = Past(rules, interval, *of_host)
    try:
        faults = _read(past, args, settings, since, show)
    finally:
        past.watch.stop()
    if faults:
        for fault in faults:
            _say(fault)
        raise Fault(
            f"{len(faults)} of the logs cannot be read, so there would be minutes that are not whole, and nothing was "
            "sent; make them readable, or name those to read"
        )
    notes += [
        f"rule {rule.metric} took more than its time budget on a line and was set aside: its history is not whole"
        for rule in past.watch.aside
    ]
    result = points(past, plan)
    for note in notes:
        _say(note)
    if to is not None:
        carbon.send(result.lines, to, args.rate, show, args.tls)
    else:
        data = "".join(result.lines).encode("utf-8")
        write_stdout(as_json(data) if args.json else data)
    _say(_summary(result, args.to))
    return 0 if result.lines and not past.watch.aside else 1


def _chosen(args: argparse.Namespace) -> RuleSet:
    doc = ruleinput.documents(args.rules, args.packs_dir)
    known = [str(rule.get("metric")) for rule in doc["rules"]]
    for metric in args.metric:
        if metric not in known:
            raise Fault(f"{args.rules}: has no metric {metric}; give it as its rule does, {{group}} too")
    chosen: list[dict[str, Any]] = [rule for rule in doc["rules"] if not args.metric or rule["metric"] in args.metric]
    rules = RuleSet.from_document({**doc, "rules": chosen}, args.rules)
    for rule in rules.rules:
        rule.pattern  # noqa: B018 - a fault of it is told now
    return rules


def _until(
    args: argparse.Namespace, settings: Config | None, metrics: Sequence[str], now: float
) -> tuple[dict[str, int], list[str]]:
    if args.until:
        end = moment(args.until, now)
        return {metric: min(end, int(now)) for metric in metrics}, []
    if settings is None:
        raise Fault("where does the live history begin? This is no host that counts, so give --until TIME")
    return live_since(settings, metrics, int(now))


def _prefix(args: argparse.Namespace, settings: Config | None) -> str:
    if args.prefix is not None:
        try:
            return string.Template(args.prefix).substitute(os.environ)
        except (KeyError, ValueError) as error:
            raise Fault(f"--prefix: {error} is no variable of the environment") from None
    return PREFIX.format(host=settings.host) if settings and settings.host else ""


def _store(args: argparse.Namespace) -> Schemas | list[Archive] | None:
    if args.retentions:
        return archives.parse(args.retentions)
    if not args.schemas:
        return None
    try:
        with open(args.schemas, encoding="utf-8", errors="replace") as file:
            return archives.Schemas(file.read(), args.schemas)
    except OSError as error:
        raise Fault(f"{args.schemas}: cannot be read: {error.strerror}; copy it here, or give --retentions") from None


def _read(past: Past, args: argparse.Namespace, settings: Config | None, since: int, show: Progress) -> list[str]:
    """Read everything, each source's files from the oldest on; what could not be read."""
    logs = oldlogs.named(args.logs, args.source)
    if not args.logs and settings is not None:
        logs = oldlogs.configured(settings, since)
    faults = []
    for log in sorted(logs, key=lambda log: (log.source, log.mtime, log.path)):
        if log.mtime < since:
            continue
        try:
            past.read(log, since, show)
        except Fault as fault:
            faults.append(str(fault))
    for one in settings.sources if settings and not args.logs else ():
        if one["type"] == "journal":
            faults += past.read_journal(one.get("directory", ""), since, show)
    return faults


def _summary(result: Points, to: str | None) -> str:
    if result.first is None or result.last is None:
        text = "no points: nothing in these logs is older than what the host counts itself"
    else:
        begin, end = (time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) for at in (result.first, result.last))
        done = f"sent to {to}" if to else "printed"
        text = f"{len(result.lines)} points of {len(result.series)} series {done}, from {begin} to {end}"
    return text + (
        f"; {result.too_old} intervals with a count are older than the store keeps" if result.too_old else ""
    )


def _say(text: str) -> None:
    sys.stderr.write(f"logmetrics backfill: {text}\n")
