"""Every rule of every pack, asked of a real Loki, answers what the engine counts: on the packs' own sample lines and on
lines that the real programs wrote.

Lines that stand for repeated ones are left out: LogQL cannot multiply.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet.loki import fetch, instant
from logmetrics import check, lines, logql, rules, values
from logmetrics.compile import DEFAULT_PACKS_DIR, document, read_packs
from logmetrics.rulespec import Rule, pack_names

REAL_LINES = Path(__file__).with_name("lines")
PARTS: dict[str, Callable[[list[float]], float]] = {
    "count": len,
    "min": min,
    "max": max,
    "mean": lambda read: sum(read) / len(read),
}


def all_rules() -> list[Rule]:
    packs = read_packs(pack_names([DEFAULT_PACKS_DIR]), [DEFAULT_PACKS_DIR])
    return [rule for pack in packs for rule in pack.rules]


def real_lines() -> set[tuple[str, str]]:
    """(source, line) of what the real programs of three Debian releases wrote (`make proof-programs`)."""
    return {
        (one["source"], one["line"])
        for file in REAL_LINES.glob("*.jsonl")
        for one in map(json.loads, file.read_text().splitlines())
    }


def samples() -> set[tuple[str, str]]:
    """(source, line) of all real lines and of all tests but those of repeated lines."""
    found = real_lines()
    for rule in all_rules():
        for test in rule.tests:
            line = test.line.encode()
            if rules.repeated(line[lines.split(line, time.time())[2] :])[0] == 1:
                found.add((check.source_of(rule, test), test.line))
    return found


def push(address: str, host: str, at: int) -> None:
    """The samples as `ship` sends them: one stream a source, the program as structured metadata."""
    streams: dict[str, list[list[object]]] = defaultdict(list)
    for number, (source, line) in enumerate(sorted(samples())):
        program = lines.split(line.encode(), time.time())[1]
        value: list[object] = [str(at * 1_000_000_000 + number), line]
        streams[source].append(value if program is None else [*value, {"program": program.decode()}])
    body = [
        {"stream": {"job": "logmetrics", "host": host, "source": source}, "values": own}
        for source, own in streams.items()
    ]
    fetch(address + "/loki/api/v1/push", json.dumps({"streams": body}).encode())


def counted() -> tuple[dict[str, int], dict[str, list[float]]]:
    """Matches and values by metric, by the engine."""
    ruleset = rules.RuleSet.from_document(document(all_rules()), "packs")
    hits: dict[str, int] = defaultdict(int)
    read: dict[str, list[float]] = defaultdict(list)
    for source, text in samples():
        line = text.encode()
        _, program, start = lines.split(line, time.time())
        for hit in rules.hits(ruleset.view(source).rules_for(program), line[start:]):
            hits[hit.rule.metric] += 1
            if hit.rule.value:
                number = values.number(hit.found.group("value"))
                assert number is not None
                read[hit.rule.metric].append(number / values.SCALE)
    return hits, read


def expected(series: str, kinds: dict[str, str], hits: dict[str, int], read: dict[str, list[float]]) -> float | None:
    """What Loki must answer for a series; None for a percentile, which Loki reckons in its own way."""
    if series in kinds:
        return sum(read[series]) if kinds[series] == "sum" else float(hits[series])
    metric, _, part = series.rpartition(".")
    return float(PARTS[part](read[metric])) if part in PARTS else None


def test_loki_answers_what_the_engine_counts(loki: str) -> None:
    now = int(time.time())
    push(loki, "test", now - 30)
    hits, read = counted()
    kinds = {rule.metric: rule.type for rule in all_rules() if rule.type != "timing"}
    differing = {}
    for series, query in logql.document(all_rules(), "test", "5m").items():
        got = instant(loki, query, now + 30)
        want = expected(series, kinds, hits, read)
        if len(got) != 1 or (want is not None and got[0] != pytest.approx(want)):
            differing[series] = (got, want)
    assert differing == {}


def test_every_rule_has_a_sample_that_counts() -> None:
    """Without this, equal zeros would pass for agreement."""
    hits, _ = counted()
    assert {rule.metric for rule in all_rules()} == {metric for metric, number in hits.items() if number}


def test_real_lines_are_among_the_samples() -> None:
    assert len(real_lines()) > 300


def test_the_samples_come_from_the_repository() -> None:
    assert Path(__file__).resolve().parents[2] / "files" / "rules" == DEFAULT_PACKS_DIR
