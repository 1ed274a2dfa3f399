"""`explain`: for a line, what the parser sees in it, what counts and where, and how near the other rules came.

The parts are the engine's own (`lines`, `stamp`, `rules`, the admission of names in `tally`); a test holds what is told
here against what a run counts. `explanation` is plain data, `text` puts it under the line for people.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from . import config, nearmiss, oldlogs, ruleinput, values
from .accounts import account
from .errors import Fault
from .lines import split
from .rules import BUILT_IN, RuleSet, View, hits, repeated
from .state import admitted
from .tally import AHEAD, SECOND, Families
from .watch import TooSlow, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Sequence

    from .rules import Hit, Rule

NEAR = 3  # near misses that are shown
LEAST_PLAIN = 3  # characters of a regex, standing for themselves, that a near miss has in common with the message
STDIN = "-"
_WIDTH = 160  # characters of a message that are shown
_INDENT = " " * 11


class Explainer:
    """Explains lines by one rule set. `families` are the names admitted so far, {metric: {name: interval}}."""

    def __init__(
        self,
        rules: RuleSet,
        interval: int = 60,
        line_max: int = 65_536,
        families: dict[str, dict[str, int]] | None = None,
        account: Callable[[bytes], bool] = account,
        rule_budget: float = 1.0,
    ) -> None:
        self.rules = rules
        self.interval, self.line_max = interval, line_max
        self._families = Families(families if families is not None else {}, account)
        self._watch = Watch(rule_budget)
        self._views: dict[str | None, View] = {}
        self.carried: dict[str | None, int] = {}  # ns of the last stamp, by source

    def close(self) -> None:
        """Nothing more comes."""
        self._watch.stop()

    def explanation(self, raw: bytes, source: str | None, now: float, near: int = NEAR) -> dict[str, Any]:
        """A line (without its newline) of a source, or of one that is not known (None), read at the time `now`.

        Offsets are bytes of the message; docs/rules.md describes the keys.
        """
        line = raw[: self.line_max].rstrip(b"\r").lstrip(b"\0")
        stamp, program, start = split(line, now)
        when, told = self._time(stamp, source, now)
        times, message = repeated(line[start:])
        slot = when // SECOND // self.interval * self.interval
        self._watch.begin(1)
        counts: list[dict[str, Any]] = []
        matched: list[Rule] = []
        for hit in hits(self._view(source).rules_for(program), line[start:], self._watch):
            matched.append(hit.rule)
            counts.append(self._count(hit, slot, source))
        return {
            "line": _shown(line),
            "source": source,
            "cut_bytes": len(raw) - len(raw[: self.line_max]),
            "time": when / SECOND,
            "time_from": told,
            "interval": slot,
            "program": None if program is None else _shown(program),
            "message": _shown(message),
            "repeated": times,
            "counts": counts,
            "near": self._near(matched, program, message, source)[:near],
            "rules_of_program": sum(
                1 for rule in self._operators() if _names(rule, program) and _reads(rule, program, source)
            ),
        }

    def _time(self, stamp: Any, source: str | None, now: float) -> tuple[int, str]:
        """(nanoseconds, where they come from) as `Tally.add_exactly` takes them."""
        if stamp is None:
            carried = self.carried.get(source)
            return (int(now * SECOND), "reading") if carried is None else (carried, "line before")
        when: int = stamp[0] * SECOND + stamp[1]
        if stamp[0] > int(now) + AHEAD:
            when = int(now * SECOND)
            self.carried[source] = when
            return when, "reading, as the stamp is ahead of the clock"
        self.carried[source] = when
        return when, "line"

    def _view(self, source: str | None) -> View:
        view = self._views.get(source)
        if view is None:
            # Without a source every rule might apply; those of certain files say so.
            view = View(self.rules.rules, self.rules.unfit) if source is None else self.rules.view(source)
            self._views[source] = view
        return view

    def _operators(self) -> list[Rule]:
        return self.rules.rules[len(BUILT_IN) :]

    def _count(self, hit: Hit, slot: int, source: str | None) -> dict[str, Any]:
        rule, found = hit.rule, hit.found
        number = values.number(found.group("value") or b"") if rule.value else None
        bad = rule.value and number is None
        series = None
        if not bad and rule.type != "probe":
            series = self._families.series(rule, found, slot) if rule.groups else rule.metric
        return {
            "metric": rule.metric,
            "type": rule.type,
            "series": series,
            "times": 0 if bad else hit.times,
            "value": None if number is None else number / values.SCALE,
            "from": found.start(),
            "to": found.end(),
            "captured": {name: _shown(text) for name, text in found.groupdict().items() if text is not None},
            "note": self._note(rule, series, bad, source),
        }

    def _note(self, rule: Rule, series: str | None, bad: bool, source: str | None) -> str:
        if bad:
            return "the group value holds no number, so the line does not count"
        if rule.type == "probe":
            return "the role's own probe: printed at once, counted nowhere"
        parts = series.split(".") if series and rule.groups else []
        if "_invalid" in parts and rule.only == "accounts":
            return "there is no account of this name here"
        if "_other" in parts:
            return f"max_series ({rule.max_series}) is reached, and this name is not among those admitted"
        if source is None and rule.sources:
            return f"where the line stands in {', '.join(rule.sources)}"
        return ""

    # Near misses.

    def _near(
        self, matched: list[Rule], program: bytes | None, message: bytes, source: str | None
    ) -> list[dict[str, Any]]:
        """Rules that did not count, those that came nearest first."""
        found: list[tuple[tuple[int, int], dict[str, Any]]] = []
        for rule in self._operators():
            if rule in matched:
                continue
            own = _names(rule, program)
            here = _reads(rule, program, source)
            self._watch.begin(1)
            self._watch.working = rule
            try:
                match = rule.pattern.search(message)
                reach = nearmiss.furthest(rule.match, message) if match is None and own and here else None
                self._watch.working = None
            except TooSlow:
                self._watch.working = None
                found.append(((0, 0), _miss(rule, "slow")))
                continue
            except Fault as fault:
                found.append(((1, 0), {**_miss(rule, "unfit"), "fault": str(fault)}))
                continue
            if match is not None:
                if own and source is None:
                    continue  # it is only unlikely, for want of the source's name
                why = "source" if own else "program"
                found.append(((1, -match.end()), {**_miss(rule, why), "from": match.start(), "to": match.end()}))
            elif reach is not None and reach.plain >= LEAST_PLAIN:
                found.append(
                    (
                        (2, -reach.plain),
                        {
                            **_miss(rule, "regex"),
                            "from": reach.begin,
                            "to": reach.at,
                            "regex_matched": reach.part,
                            "regex_at": reach.stop,
                            "regex_wanted": reach.wanted,
                        },
                    )
                )
        found.sort(key=lambda one: one[0])
        return [one for _, one in found]


def _miss(rule: Rule, why: str) -> dict[str, Any]:
    return {
        "metric": rule.metric,
        "why": why,
        "match": rule.match,
        "program": None if rule.programs is None else [_shown(name) for name in rule.programs],
        "source_of_rule": rule.sources,
        "from": None,
        "to": None,
        "regex_matched": "",
        "regex_at": None,
        "regex_wanted": "",
        "fault": "",
    }


def _names(rule: Rule, program: bytes | None) -> bool:
    return rule.programs is None or program in rule.programs


def _reads(rule: Rule, program: bytes | None, source: str | None) -> bool:
    """Whether the rule reads the source; of one that is not known, lines with a syslog header are no certain file's."""
    return rule.applies_to(source) if source is not None else rule.sources is None or program is None


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


# For people.


def text(one: dict[str, Any], message: bytes) -> str:
    """The explanation under its line; `message` are the bytes that the offsets are of."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["time"]))
    interval = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["interval"]))
    out = [
        _clean(one["line"]),
        f"  source   {one['source'] or 'not known (give --source)'}",
        f"  time     {at} (of the {one['time_from']}), interval {interval}",
        f"  program  {one['program'] or 'none: the line has no syslog header, so it is all message'}",
    ]
    if one["cut_bytes"]:
        out.append(f"  cut      {one['cut_bytes']} bytes at its end are not looked at (line_max)")
    if one["repeated"] > 1:
        out.append(f"  repeated {one['repeated']} times, as rsyslog says; what follows is the message inside")
    shown = _columns(message)
    out.append("  message  " + (shown if len(shown) <= _WIDTH else shown[:_WIDTH] + "..."))
    for count in one["counts"]:
        words = [f"{count['series'] or count['metric']}"]
        words.append(f"+{count['times']}" if count["value"] is None else f"value {count['value']:.9g}")
        words += [f"{name}={_clean(value)}" for name, value in count["captured"].items() if name != "value"]
        note = f" ({count['note']})" if count["note"] else ""
        out.append(_mark(message, count["from"], count["to"], "=", "counts ") + " ".join(words) + note)
    out += [_near_line(miss, message) for miss in one["near"]]
    if not one["counts"] and not one["near"]:
        rules = one["rules_of_program"]
        out.append(
            f"{_INDENT}no rule counts it: "
            + (
                f"none of the rules for its program ({rules}) begins like it"
                if rules
                else "no rule is for this program"
            )
        )
    return "\n".join(out) + "\n"


def _near_line(miss: dict[str, Any], message: bytes) -> str:
    name = miss["metric"]
    if miss["why"] == "program":
        words = f"{name} would match, but is for {', '.join(miss['program'] or ())}"
    elif miss["why"] == "source":
        words = f"{name} would match, but reads {', '.join(miss['source_of_rule'] or ())}"
    elif miss["why"] == "slow":
        return f"{_INDENT}{name} took more than its time budget and was given up; run check on its pack"
    elif miss["why"] == "unfit":
        return f"{_INDENT}{miss['fault']}"
    else:
        words = f'{name} stops here: "{miss["regex_matched"]}" matched, and then it wants "{miss["regex_wanted"]}"'
        return _mark(message, miss["from"], miss["to"], "-", "", caret=True) + words
    return _mark(message, miss["from"], miss["to"], "-", "") + words


def _mark(message: bytes, begin: int, end: int, sign: str, word: str, caret: bool = False) -> str:
    """Signs under a part of the message, and room for words behind them."""
    left, right = (min(len(_columns(message[:at])), _WIDTH) for at in (begin, end))
    row = " " * left + sign * (right - left) + ("^" if caret else "")
    return f"{_INDENT}{row}  {word}"


def _columns(data: bytes) -> str:
    """Bytes as text in which every character takes one column."""
    return _clean(data.decode("utf-8", "replace"))


def _clean(shown: str) -> str:
    return "".join(char if char.isprintable() else "." for char in shown)


# The verb.


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logmetrics explain",
        description="For each line of a file or of stdin: what the parser sees in it, which rules count it, and how "
        "near the others came.",
    )
    parser.add_argument("file", metavar="FILE", nargs="?", default=STDIN, help="a log, also compressed; - for stdin")
    parser.add_argument("--line", metavar="TEXT", help="explain this line")
    parser.add_argument("--rules", metavar="RULES", help="a rules.json, or packs (default: the host's, or all packs)")
    parser.add_argument("--packs-dir", action="append", default=[], metavar="DIR", help="where packs are")
    parser.add_argument("--config", default=config.DEFAULT_PATH, metavar="FILE", help="settings (default: %(default)s)")
    parser.add_argument("--source", metavar="PATH", help="the file in which the lines stand")
    parser.add_argument("--metric", default="", metavar="NAME", help="only rules whose metric begins with this")
    parser.add_argument(
        "--near", type=int, default=NEAR, metavar="N", help="near misses to show (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb; 0, or 2 for wrong use or unreadable input."""
    try:
        args = _arguments().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        explainer = _explainer(args)
        try:
            for raw, source, now in _lines(args):
                one = explainer.explanation(raw, source, now, args.near)
                if args.json:
                    sys.stdout.write(json.dumps(one) + "\n")
                else:
                    line = raw[: explainer.line_max].rstrip(b"\r").lstrip(b"\0")
                    message = repeated(line[split(line, now)[2] :])[1]
                    sys.stdout.write(text(one, message) + "\n")
            sys.stdout.flush()
        finally:
            explainer.close()
    except BrokenPipeError:
        # Its reader has seen enough (head, less).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Fault as fault:
        sys.stderr.write(f"logmetrics explain: {fault}\n")
        return 2
    return 0


def _explainer(args: argparse.Namespace) -> Explainer:
    settings = config.load(args.config) if os.path.exists(args.config) else None
    spec = args.rules or (settings.rules if settings else "") or _all_packs(args.packs_dir)
    doc = ruleinput.documents(spec, args.packs_dir)
    chosen = [rule for rule in doc["rules"] if str(rule.get("metric")).startswith(args.metric)]
    if args.metric and not chosen:
        raise Fault(f"{spec}: no metric begins with {args.metric}; give another --metric")
    rules = RuleSet.from_document({**doc, "rules": chosen}, spec)
    if settings is None:
        return Explainer(rules)
    return Explainer(
        rules, settings.interval, settings.line_max, admitted(settings.state_dir), account, settings.rule_budget
    )


def _all_packs(packs_dirs: Sequence[str]) -> str:
    if packs_dirs:
        return ",".join(packs_dirs)
    from .compile import DEFAULT_PACKS_DIR  # noqa: PLC0415 - on the controller alone

    return str(DEFAULT_PACKS_DIR)


def _lines(args: argparse.Namespace) -> Iterator[tuple[bytes, str | None, float]]:
    """(line, source, time as of which its stamp is read)."""
    now = time.time()
    if args.line is not None:
        for line in args.line.split("\n"):
            yield os.fsencode(line), args.source, now
    elif args.file == STDIN:
        for raw in sys.stdin.buffer:
            yield raw.rstrip(b"\n"), args.source, time.time()
    else:
        log = oldlogs.named([args.file], args.source)[0]
        for piece in oldlogs.pieces(log):
            for raw in piece.data.split(b"\n")[:-1]:
                yield raw, log.source, log.reference(now)
