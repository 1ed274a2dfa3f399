"""`preview`: what new rules would have counted on real logs beside the old ones, and what they cost. Changes nothing.

The report is plain data (`report`, docs/rules.md describes its keys); `text` puts it into lines for people.
"""

from __future__ import annotations

import argparse
import sys
import time

from . import config, leanjson, oldlogs, ruleinput, runtime
from .accounts import account
from .comparing import BOTH, HOUR, NEW, OLD, SAMPLED_WHOLE, STRIDE, Comparison
from .errors import Fault
from .masking import Mask
from .replay import moment
from .rules import BUILT_IN
from .sources.base import Budget, Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    from .comparing import Document
    from .oldlogs import Log, Progress
    from .rules import Rule
    from .sources.base import Entry

FORMAT = 1
FACTOR = 10  # by which a count explodes or collapses
MANY_SERIES = 1000
HOURS = 24  # that are looked at where the logs are those of the host's configuration
SHOWN_PROGRAMS = 20
SHOWN_COSTS = 10


class Reading:
    """What was read, and why reading ended."""

    def __init__(self, max_bytes: int, max_seconds: float) -> None:
        self.began = time.monotonic()
        self.max_bytes, self.max_seconds = max_bytes, max_seconds
        self.stopped = ""
        self.faults: list[str] = []
        self.files: list[dict[str, Any]] = []
        self.bytes = 0

    @property
    def left(self) -> int:
        """Bytes that may still be read."""
        return max(0, self.max_bytes - self.bytes) if self.max_bytes else 1 << 62

    def over(self) -> bool:
        """Whether a bound is reached."""
        if self.max_bytes and self.bytes >= self.max_bytes:
            self.stopped = "max_bytes"
        elif self.max_seconds and time.monotonic() - self.began >= self.max_seconds:
            self.stopped = "max_seconds"
        return bool(self.stopped)


class _Entries(Sink):
    """Feeds journal entries into the comparison until a bound is reached."""

    def __init__(self, comparison: Comparison, reading: Reading) -> None:
        self.comparison, self.reading = comparison, reading

    def entries(self, source: str, entries: list[Entry]) -> int:
        """See Sink."""
        self.comparison.add_entries(source, entries)
        self.reading.bytes += sum(len(line) + 1 for _, _, _, line in entries)
        return 0 if self.reading.over() else len(entries)


def read_logs(comparison: Comparison, logs: Sequence[Log], since: int, reading: Reading, show: Progress) -> None:
    """Read files, the newest first, until a bound is reached. A file that cannot be read is a fault of the reading."""
    now = time.time()
    total = min(sum(log.size for log in logs), reading.left)
    for log in logs:
        if reading.over():
            return
        before = reading.bytes
        try:
            for piece in oldlogs.pieces(log, since, 0 if log.packed else reading.left):
                comparison.add(log.source, piece.data, log.reference(now))
                reading.bytes += len(piece.data)
                show(f"{reading.bytes >> 20} of {max(total, reading.bytes) >> 20} MiB, {log.path}")
                if reading.over():
                    break
        except Fault as fault:
            reading.faults.append(str(fault))
        reading.files.append({"path": log.path, "source": log.source, "bytes": reading.bytes - before})


def read_journal(comparison: Comparison, directory: str, since: int, reading: Reading) -> None:
    """Read the journal's entries since a Unix time until a bound is reached."""
    from .sources.journal import NAME, JournalSource  # noqa: PLC0415 - where files are read it is not needed

    before = reading.bytes
    source = JournalSource(directory, comparison.tally.line_max, since)
    budget = Budget(reading.max_seconds or 1e9)
    found = source.read({}, _Entries(comparison, reading), budget)
    reading.faults += found.faults
    reading.files.append({"path": NAME, "source": NAME, "bytes": reading.bytes - before})


# The report.


def report(comparison: Comparison, old: Document, new: Document, reading: Reading, since: int) -> dict[str, Any]:
    """Everything as plain data; see docs/rules.md for its keys."""
    metrics = _metrics(comparison, old, new)
    costs = _costs(comparison)
    hours = [hour for one in metrics for hour, _, _ in one["hours"]]
    return {
        "format": FORMAT,
        "since": since or None,
        "first_hour": min(hours) if hours else None,
        "last_hour": max(hours) if hours else None,
        "old": {"hash": old.get("hash", ""), "rules": len(old["rules"])},
        "new": {"hash": new.get("hash", ""), "rules": len(new["rules"])},
        "read": {
            "lines": comparison.lines,
            "bytes": reading.bytes,
            "seconds": round(time.monotonic() - reading.began, 3),
            "complete": not reading.stopped and not reading.faults,
            "stopped_by": reading.stopped,
            "faults": reading.faults,
            "files": reading.files,
        },
        "findings": _findings(metrics, costs),
        "metrics": metrics,
        "series": {
            "old": sum(one["old_series"] for one in metrics),
            "new": sum(one["new_series"] for one in metrics),
        },
        "programs": _programs(comparison),
        "costs": costs,
        "sampled": {"lines": comparison.sampled, "whole_up_to_bytes": SAMPLED_WHOLE, "then_every": STRIDE},
    }


def _metrics(comparison: Comparison, old: Document, new: Document) -> list[dict[str, Any]]:
    types = [{rule["metric"]: rule.get("type") or "counter" for rule in doc["rules"]} for doc in (old, new)]
    marked = {rule.metric for rule in comparison.rules.rules[len(BUILT_IN) :]}
    found = []
    for metric in sorted({*types[0], *types[1]}):
        both = BOTH + metric in marked
        sides = [BOTH + metric if both else mark + metric for mark in (OLD, NEW)]
        by_hour = [comparison.hours.get(side, {}) if metric in own else {} for side, own in zip(sides, types)]
        kind = types[1].get(metric) or types[0][metric]
        totals = [_total(hours, kind) if metric in own else None for hours, own in zip(by_hour, types)]
        series = [_series(comparison, side, metric) if metric in own else 0 for side, own in zip(sides, types)]
        rule = "same" if both else "changed" if all(metric in own for own in types) else ""
        differences = comparison.differences.get(metric)
        found.append(
            {
                "metric": metric,
                "type": kind,
                "rule": rule or ("added" if metric in types[1] else "removed"),
                "old": totals[0],
                "new": totals[1],
                "difference": _plain((totals[1] or 0) - (totals[0] or 0)),
                "verdict": _verdict(totals[0], totals[1], kind),
                "old_series": series[0],
                "new_series": series[1],
                "limit": _limit(comparison, sides[1]) if metric in types[1] else None,
                "over_limit": _over_limit(comparison, sides[1], metric) if metric in types[1] else 0,
                "hours": [
                    [at, _plain(by_hour[0].get(at, 0)), _plain(by_hour[1].get(at, 0))]
                    for at in sorted({*by_hour[0], *by_hour[1]})
                ],
                "gained": differences.gained if differences else [],
                "lost": differences.lost if differences else [],
            }
        )
    return found


def _plain(number: float) -> float:
    return int(number) if number == int(number) else round(number, 9)


def _total(hours: dict[int, float], kind: str) -> float:
    """The sum of all hours; of a gauge the newest value."""
    if kind == "gauge":
        return _plain(hours[max(hours)]) if hours else 0
    return _plain(sum(hours.values()))


def _series(comparison: Comparison, marked: str, metric: str) -> int:
    """Series that a metric writes: 1, or of a family as many as there are names."""
    return len(comparison.families.get(marked, ())) if "{" in metric else 1


def _rule(comparison: Comparison, marked: str) -> Rule | None:
    return next((rule for rule in comparison.rules.rules if rule.metric == marked), None)


def _limit(comparison: Comparison, marked: str) -> int | None:
    rule = _rule(comparison, marked)
    return rule.max_series if rule is not None and rule.groups else None


def _over_limit(comparison: Comparison, marked: str, metric: str) -> int:
    """1 where a family has more names than it may have, so that `_other` counts."""
    return int("{" in metric and any("_other" in name.split(".") for name in comparison.families.get(marked, ())))


def _verdict(old: float | None, new: float | None, kind: str) -> str:
    """In a word what becomes of a metric."""
    before, after = old or 0, new or 0
    if old == new or (not before and not after):
        return "same" if new is not None else "removed"
    if new is None:
        return "removed"
    if kind == "gauge":
        return "differs"
    if not before:
        return "appears"
    if not after:
        return "zero"
    if before > 0 and after > before * FACTOR:
        return "explodes"
    return "collapses" if before > 0 and after * FACTOR < before else "differs"


def _findings(metrics: list[dict[str, Any]], costs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []

    def note(kind: str, metric: str, text: str) -> None:
        found.append({"kind": kind, "metric": metric, "text": text})

    for cost in costs:
        if cost["timeout"]:
            line = f'the line "{cost["slow_line"]}"' if cost["slow_line"] else "many lines together"
            note(
                "timeout" if cost["set"] != "old" else "old_timeout",
                cost["metric"],
                f"the {cost['set']} rule took more than its budget on {line} of {cost['slow_source']} and was set "
                "aside; mend its regex (check says how)",
            )
    for one in metrics:
        name, old, new = one["metric"], one["old"], one["new"]
        if one["verdict"] == "zero":
            note("zero", name, f"goes to zero (it was {old}); see the lines that are lost")
        elif one["verdict"] == "removed" and old:
            note("removed", name, f"is no longer written (it was {old}); its graphs end")
        elif one["verdict"] == "explodes":
            note("explodes", name, f"counts {new}, more than {FACTOR} times the {old} of before; see the lines gained")
        elif one["verdict"] == "collapses":
            note("collapses", name, f"counts {new}, less than a tenth of the {old} of before; see the lines lost")
        if one["new_series"] > MANY_SERIES and one["new_series"] > one["old_series"]:
            note("series", name, f"makes {one['new_series']} series; lower max_series, or name fewer things by it")
        elif one["over_limit"] and one["rule"] != "same":
            note(
                "limit",
                name,
                f"has more names than max_series ({one['limit']}); the rest counts as _other",
            )
    return found


def _programs(comparison: Comparison) -> list[dict[str, Any]]:
    """Programs with lines that no rule matches, the most such lines first; numbers are scaled up from the sample."""
    known = {program for rule in comparison.rules.rules[len(BUILT_IN) :] for program in rule.programs or ()}
    found: list[dict[str, Any]] = [
        {
            "program": None if name is None else name.decode("utf-8", "replace"),
            "lines": one.lines,
            "unmatched": one.unmatched,
            "bytes": one.bytes,
            "has_rules": name in known,
            "example": max(one.examples, key=lambda text: one.examples[text]) if one.examples else "",
        }
        for name, one in comparison.programs.items()
        if one.unmatched
    ]
    found.sort(key=lambda one: (-one["unmatched"], str(one["program"])))
    return found[:SHOWN_PROGRAMS]


def _costs(comparison: Comparison) -> list[dict[str, Any]]:
    """What each rule's regex took on sampled lines of its programs, the costliest of the new set first."""
    total = sum(cost.seconds for rule, cost in comparison.costs.items() if rule.metric[0] != OLD) or 1.0
    found: list[dict[str, Any]] = []
    for rule, cost in comparison.costs.items():
        aside = rule in comparison.tally.watch.aside
        if rule.metric[0] not in (BOTH, OLD, NEW):
            continue
        found.append(
            {
                "metric": rule.metric[1:],
                "set": {BOTH: "same", OLD: "old", NEW: "new"}[rule.metric[0]],
                "lines": cost.lines,
                "us_per_line": round(cost.seconds / cost.lines * 1e6, 3) if cost.lines else None,
                "share": round(cost.seconds / total, 4) if rule.metric[0] != OLD else None,
                "timeout": aside,
                "slow_line": cost.slow_line,
                "slow_source": cost.slow_source,
            }
        )
    found.sort(key=lambda one: (not one["timeout"], -float(one["share"] or 0), str(one["metric"])))
    return found


# For people.


def text(doc: dict[str, Any]) -> str:
    """The report as lines: findings first, then what differs, by hour, samples, gaps and costs."""
    read, out = doc["read"], []
    size = f"{read['bytes'] / 1e6:.1f} MB" if read["bytes"] >= 100_000 else f"{read['bytes']} bytes"
    out.append(
        f"{read['lines']} lines, {size} of {len(read['files'])} files in {read['seconds']:.1f} s; "
        f"{doc['old']['rules']} old rules, {doc['new']['rules']} new ones"
    )
    if doc["first_hour"] is not None:
        out.append(f"counts from {_clock(doc['first_hour'])} to the end of the hour {_clock(doc['last_hour'])}")
    if read["stopped_by"]:
        out.append(f"stopped early by --{read['stopped_by'].replace('_', '-')}; what was read is compared")
    out += [f"not read: {fault}" for fault in read["faults"]]
    out += [f"finding: {one['metric']}: {one['text']}" for one in doc["findings"]]
    rows = [one for one in doc["metrics"] if one["verdict"] != "same" or one["rule"] != "same"]
    if rows:
        width = max(len(one["metric"]) for one in rows)
        out.append(f"\n{'metric':{width}}  {'old':>10}  {'new':>10}  {'difference':>10}")
        out += [
            f"{one['metric']:{width}}  {_cell(one['old']):>10}  {_cell(one['new']):>10}  {one['difference']:>+10}"
            f"  {_remark(one)}".rstrip()
            for one in rows
        ]
    same = len(doc["metrics"]) - len(rows)
    if same:
        out.append(f"{same} metrics count as before")
    for one in rows:
        out += _by_hour(one)
        out += [f"  + {line}" for line in one["gained"]] + [f"  - {line}" for line in one["lost"]]
    if doc["programs"]:
        out.append("\nlines that no rule counts, by program (a missing rule?)")
        for one in doc["programs"]:
            of = "" if one["lines"] == one["unmatched"] else f" of {one['lines']}"
            out.append(f"{one['unmatched']:>10}{of}  {one['program'] or '(no header)'}: {one['example']}")
    timed = [one for one in doc["costs"] if one["share"] is not None and one["lines"]][:SHOWN_COSTS]
    if timed:
        out.append("\ncostliest rules (share of the time of all, microseconds for a line of their programs)")
        out += [f"{one['share']:>9.1%}  {one['us_per_line']:>8.2f}  {one['metric']}" for one in timed]
    return "\n".join(out) + "\n"


def _cell(number: float | None) -> str:
    return "-" if number is None else str(number)


def _remark(one: dict[str, Any]) -> str:
    words = {
        "same": "" if one["rule"] != "changed" else "rule changed",
        "zero": "goes to zero",
        "removed": "removed",
        "appears": "new" if one["rule"] == "added" else "appears",
        "explodes": f"more than {FACTOR} times",
        "collapses": "less than a tenth",
        "differs": "",
    }
    families = f"{one['old_series']} -> {one['new_series']} series" if "{" in one["metric"] else ""
    return ", ".join(word for word in (words[one["verdict"]], families) if word)


def _by_hour(one: dict[str, Any]) -> list[str]:
    differing = [row for row in one["hours"] if row[1] != row[2]]
    lines = [f"\n{one['metric']}"] if differing or one["gained"] or one["lost"] else []
    shown = differing[-HOURS:]
    if len(differing) > len(shown):
        lines.append(f"  ... {len(differing) - len(shown)} earlier hours that differ")
    return lines + [f"  {_clock(at)}  {old:>10}  {new:>10}  {_plain(new - old):>+10}" for at, old, new in shown]


def _clock(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


# The verb.


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logmetrics preview",
        description="Compare what an old and a new rule set count on the same logs, and what they cost.",
        epilog="A rule set is a rules.json; or packs (controller), with commas between; or none. Without LOG the "
        "configured sources of this host are read. Exit status: 0 no finding, 1 findings, 2 wrong use.",
    )
    parser.add_argument("old", metavar="OLD", help="the rules in force, e.g. /etc/logmetrics/rules.json")
    parser.add_argument("new", metavar="NEW", help="the rules to come")
    parser.add_argument("logs", metavar="LOG", nargs="*", help="plain, rotated or compressed logs")
    parser.add_argument("--config", default=config.DEFAULT_PATH, metavar="FILE", help="settings (default: %(default)s)")
    parser.add_argument("--packs-dir", action="append", default=[], metavar="DIR", help="where packs are")
    parser.add_argument("--source", metavar="PATH", help="read the logs as if this were the file they stand in")
    parser.add_argument("--hours", type=float, metavar="N", help="only lines of the last N hours and the present one")
    parser.add_argument("--since", metavar="TIME", help="only lines since then: 2026-11-22T10:00, 12h, 2d")
    parser.add_argument("--max-bytes", type=int, default=0, metavar="N", help="read no more than this, the newest")
    parser.add_argument("--max-seconds", type=float, default=0, metavar="N", help="read no longer than this")
    parser.add_argument("--progress", action="store_true", help="a line of progress on stderr (on a terminal always)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb; 0 no finding, 1 findings, 2 wrong use or unreadable input."""
    try:
        args = _arguments().parse_intermixed_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        doc = run(args)
    except Fault as fault:
        sys.stderr.write(f"logmetrics preview: {fault}\n")
        return 2
    sys.stdout.write(leanjson.dumps(doc).decode("ascii") + "\n" if args.json else text(doc))
    return 1 if doc["findings"] else 0


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The report for these arguments. Raises Fault."""
    old, new = (ruleinput.documents(spec, args.packs_dir) for spec in (args.old, args.new))
    settings = None if args.logs else config.load(args.config)
    now = time.time()
    since = moment(args.since, now) if args.since else 0
    hours = args.hours if args.hours is not None or args.since or args.logs else HOURS
    if hours is not None:
        since = max(since, int(now) // HOUR * HOUR - int(hours * HOUR))
    mask = Mask(rule["match"] for doc in (old, new) for rule in doc["rules"] if isinstance(rule.get("match"), str))
    line_max, budget = (settings.line_max, settings.rule_budget) if settings else (65_536, 1.0)
    comparison = Comparison(old, new, mask, account, since, line_max, budget)
    runtime.as_runs_do(settings, args.logs)
    reading = Reading(args.max_bytes, args.max_seconds)
    show = oldlogs.Progress("preview", args.progress)
    logs = oldlogs.named(args.logs, args.source) if settings is None else oldlogs.configured(settings, since)
    try:
        read_logs(comparison, logs, since, reading, show)
        for one in settings.sources if settings else ():
            if one["type"] == "journal" and not reading.over():
                read_journal(comparison, one.get("directory", ""), since, reading)
    finally:
        comparison.close()
    show(f"{reading.bytes >> 20} MiB, done", True)
    return report(comparison, old, new, reading, since)
