"""What `make proof-programs` writes: the table of docs/proof/programs.md, and the lines that tests go on using."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from logmetrics import lines, rules
from logmetrics.rulespec import Rule

LINES = Path(__file__).resolve().parents[1] / "loki" / "lines"
LONGEST = 700  # bytes of a line that is kept
# What stands for something that differs from run to run; lines of one shape are kept once.
CHANGING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,64}\b|<[^>]*>|[A-Z0-9]{10,12}:|\d+")


def elsewhere(rule: Rule) -> str:
    """Why a metric was caused on no host and no cause says so: its program is not there."""
    return f"its program ({(rule.program or rule.source or ['?'])[0]}) is not on these hosts"


def versions_table(versions: Mapping[str, Mapping[str, str]]) -> str:
    """Which version of what wrote the lines, by host."""
    names = sorted({name for own in versions.values() for name in own})
    rows = [f"| {name} | {' | '.join(own.get(name, '') for own in versions.values())} |" for name in names]
    return "\n".join([f"| package | {' | '.join(versions)} |", "|---" * (len(versions) + 1) + "|", *rows])


def events_table(events: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What was done, how often on each host."""
    times: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for host, own in events.items():
        for event in own:
            key = (re.sub(r"^php[\d.]+-fpm$", "php-fpm", event["program"]), event["what"])
            times[key][host] = times[key].get(host, 0) + event["times"]
    rows = [
        f"| {program} | {what} | {' | '.join(str(by.get(host, '')) for host in events)} |"
        for (program, what), by in times.items()
    ]
    return "\n".join([f"| program | event | {' | '.join(events)} |", "|---" * (len(events) + 2) + "|", *rows])


def counts_table(rows: Iterable[tuple[str, Sequence[str]]], columns: Sequence[str]) -> str:
    """Each metric that was caused, with a cell for each host."""
    table = [f"| `{series}` | {' | '.join(cells)} |" for series, cells in rows]
    return "\n".join([f"| metric | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|", *table])


def reasons_table(reasons: Mapping[str, str]) -> str:
    """Each metric that was not caused, and why."""
    rows = [f"| `{metric}` | {why} |" for metric, why in sorted(reasons.items())]
    return "\n".join(["| metric | why not |", "|---|---|", *rows])


def hits(ruleset: rules.RuleSet, source: str, line: bytes) -> list[str]:
    """The metrics that a line counts for."""
    _, program, start = lines.split(line, 0)
    return sorted(hit.rule.metric for hit in rules.hits(ruleset.view(source).rules_for(program), line[start:]))


def samples(ruleset: rules.RuleSet, found: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """One of each shape of the lines (source, line) that a rule might have to do with, and what it counts for."""
    kept: dict[str, dict[str, Any]] = {}
    for source, line in found:
        if len(line) > LONGEST:
            continue
        data = line.encode()
        _, program, start = lines.split(data, 0)
        view = ruleset.view(source)
        if not view.rules_for(program):
            continue
        metrics = hits(ruleset, source, data)
        if not metrics and program in (b"kernel", b"containerd", b"dockerd"):
            continue  # what a machine's kernel says otherwise is its own affair
        shape = f"{source} {program!r} {CHANGING.sub('#', line[start:])} {metrics}"
        kept.setdefault(shape, {"source": source, "line": line, "counts": metrics})
    return sorted(kept.values(), key=lambda one: (one["source"], one["line"]))


def keep(host: str, kept: Sequence[Mapping[str, Any]]) -> None:
    """Write a host's lines to tests/loki/lines."""
    LINES.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n" for one in kept)
    (LINES / f"{host}.jsonl").write_text(text)
