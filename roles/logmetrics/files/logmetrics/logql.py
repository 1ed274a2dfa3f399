"""Each rule as a LogQL query, for Grafana and for Loki's ruler (`compile --logql`).

The query cuts the message out of the raw line first and then asks what the rule asks, so that the rule's anchors mean
in Loki what they mean on the host. The program is compared exactly; `ship` sends it with each line as structured
metadata. "message repeated N times" is not counted here (LogQL cannot multiply), and families are totals over their
names.
"""

from __future__ import annotations

import re

from . import regexlint
from .rulespec import Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

#: What `lines.split` takes as a header, stamps as rsyslog (RFC 3164, RFC 3339) and `ship` (the journal) write them.
_STAMP = r"(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+)"
_HEADER = rf"{_STAMP} [^ ]+ [^\[: ]+(?:\[[^\] ]*\]:?|:) ?"
#: Which aggregation over a window makes each part of a timing.
_TIMING = {
    "min": ("min", "min_over_time"),
    "max": ("max", "max_over_time"),
    "mean": ("", "avg_over_time"),
    "p50": ("", "quantile_over_time(0.5, "),
    "p95": ("", "quantile_over_time(0.95, "),
    "p99": ("", "quantile_over_time(0.99, "),
}
_MIN_LITERAL = 3


def queries(rule: Rule, host: str = "", window: str = "1m") -> dict[str, str]:
    """The rule's series, each with the query that gives its value for one window; of a family, the total.

    `host` is the host's label, or a Grafana variable ($host); "" asks for all hosts that this Loki has.
    """
    lines = f"{_selector(rule, host)} {_pipeline(rule)}"
    if rule.type == "counter":
        return {rule.metric: f"sum(count_over_time({lines} [{window}]))"}
    numbers = f"{lines} | regexp {quote(rule.match)} | unwrap value | __error__=``"
    if rule.type == "sum":
        return {rule.metric: f"sum(sum_over_time({numbers} [{window}]))"}
    if rule.type == "gauge":
        return {rule.metric: f"max(last_over_time({numbers} [{window}]))"}
    found = {f"{rule.metric}.count": f"sum(count_over_time({lines} [{window}]))"}
    for part, (outer, inner) in _TIMING.items():
        call = inner if inner.endswith(", ") else inner + "("
        query = f"{call}{numbers} [{window}]) by ()"
        found[f"{rule.metric}.{part}"] = f"{outer}({query})" if outer else query
    return found


def document(rules: Iterable[Rule], host: str = "", window: str = "1m") -> dict[str, str]:
    """All queries by series, sorted; rules that write one series are added up."""
    found: dict[str, list[str]] = {}
    for rule in rules:
        for series, query in queries(rule, host, window).items():
            found.setdefault(series, []).append(query)
    # A sum over no line is no number in LogQL, and nothing can be added to it.
    return {
        series: own[0] if len(own) == 1 else " + ".join(f"({query} or vector(0))" for query in own)
        for series, own in sorted(found.items())
    }


def quote(text: str) -> str:
    """A LogQL string: in backquotes, where nothing needs escaping, or in double quotes where it holds a backquote."""
    if "`" not in text:
        return f"`{text}`"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _selector(rule: Rule, host: str) -> str:
    labels = ['job="logmetrics"'] + ([f'host="{host}"'] if host else [])
    if rule.source:
        labels.append("source=~" + quote("|".join(_glob(path) for path in rule.source)))
    return "{" + ", ".join(labels) + "}"


def _glob(path: str) -> str:
    """A path or glob of the rule as a regex (a label's regex is anchored at both ends)."""
    return re.escape(path).replace(r"\*", ".*").replace(r"\?", ".").replace(r"\-", "-").replace(r"\_", "_")


def _pipeline(rule: Rule) -> str:
    """The line's literal first (Loki is fastest at it), then the program, then the message cut out and matched."""
    stages = []
    literal = regexlint.required_literal(rule.match)
    if len(literal) >= _MIN_LITERAL:
        stages.append("|= " + quote(literal))
    if rule.program:
        stages.append("| program=~" + quote("|".join(re.escape(name).replace(r"\-", "-") for name in rule.program)))
    header = _HEADER if rule.program else f"(?:{_HEADER})?"
    stages.append("| regexp " + quote(rf"(?s)^{header}(?P<message>.*)$"))
    stages.append("| line_format `{{.message}}`")
    stages.append("|~ " + quote(rule.match))
    return " ".join(stages)
