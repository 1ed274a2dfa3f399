"""Filters of playbooks/status.yml: the whole fleet as one document, and as one table."""

from __future__ import annotations

import time
from typing import Any

FORMAT = 1
STALE = 3  # intervals without a run after which the parser counts as standing still
SHOWN = 20
HEAD = ["host", "release", "rules", "drift", "ran", "lag", "late", "lost", "state"]


def document(answers: dict[str, Any], at: float) -> dict[str, Any]:
    """The fleet's status as plain data. `answers`: host -> its answer to `health`, or what stood in the way."""
    hosts = {host: of_host(said) for host, said in sorted(answers.items())}
    there = [one for one in hosts.values() if one["parser"]]
    matched: dict[str, bool] = {}  # of the operator's rules
    for one in there:
        for metric, last in own(one["parser"].get("rules", {})).items():
            matched[metric] = matched.get(metric, False) or last is not None
    shares: dict[str, list[float]] = {}
    for one in there:
        for cost in one["parser"].get("costs", []):
            shares.setdefault(cost["metric"], []).append(cost["share"] or 0.0)
    sets: dict[str, list[str]] = {}
    for host, one in hosts.items():
        if one["rules"]:
            sets.setdefault(one["rules"], []).append(host)
    return {
        "format": FORMAT,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        "hosts": hosts,
        "rule_sets": sets,
        "never_matched": sorted(metric for metric, ever in matched.items() if not ever),
        "costliest": [
            {"metric": metric, "share": round(sum(shares[metric]) / len(there), 4), "hosts": len(shares[metric])}
            for metric in sorted(shares, key=lambda name: (-sum(shares[name]), name))[:SHOWN]
        ],
        "aside": [
            {"host": host, **rule} for host, one in hosts.items() for rule in (one["parser"] or {}).get("aside", [])
        ],
    }


def own(rules: dict[str, Any]) -> dict[str, Any]:
    """The operator's rules among all."""
    return {metric: last for metric, last in rules.items() if not metric.startswith("logs.parser.")}


def of_host(said: dict[str, Any] | None) -> dict[str, Any]:
    """One host: its health with a `state` in a word, and `faults` in lines."""
    empty = {"release": None, "rules": None, "drift": [], "parser": None, "units": {}, "pending": None, "versions": {}}
    if not said or "health" not in said:
        problem = (said or {}).get("problem") or "gave no answer"
        state = "unreachable" if (said or {}).get("outcome") == "unreachable" else "no answer"
        return {**empty, "state": state, "faults": [problem]}
    one = {**empty, **said["health"], "faults": list(said["health"]["faults"])}
    one["faults"] += [f"{unit} is {state}" for unit, state in one["units"].items() if state != "active"]
    last = one["last"] or {}
    if one["pending"]:
        one["faults"].append(f"a change is {one['pending']['phase']} and not confirmed yet")
    elif last.get("outcome") in ("returned", "rolled_back", "failed"):
        one["faults"].append(f"the last change {last['outcome'].replace('_', ' ')}: {last.get('problem', '')}")
    if one["parser"]:
        one["faults"] += parser_faults(one["parser"])
    one["state"] = "not installed" if one["release"] is None else "look" if one["faults"] or one["drift"] else "ok"
    return one


def parser_faults(parser: dict[str, Any]) -> list[str]:
    """What the parser's own status speaks of."""
    lines = []
    count = parser["count"]
    since = count["seconds_since_run"]
    if since is None or since > STALE * 60:
        lines.append("the parser never ran" if since is None else f"the parser has not run for {since} s")
    if count.get("last_run", {}).get("script_error"):
        lines.append("the parser's last run met an error; see journalctl -t logmetrics")
    lines += [
        f'rule {rule["metric"]} ran out of its time budget on the line "{rule["line"]}"' for rule in parser["aside"]
    ]
    return lines


def table(found: dict[str, Any]) -> list[str]:
    """The document for people: a row a host, then what is to be looked at."""
    rows = [HEAD] + [row(host, one) for host, one in found["hosts"].items()]
    widths = [max(len(line[at]) for line in rows) for at in range(len(HEAD))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in rows]
    for host, one in found["hosts"].items():
        out += [f"{host}: {line}" for line in [*one["faults"], *(f"drift: {item}" for item in one["drift"])]]
    if len(found["rule_sets"]) > 1:
        told = [f"{name} on {len(hosts)} hosts" for name, hosts in sorted(found["rule_sets"].items())]
        out.append(f"rule sets: {', '.join(told)}")
    if found["never_matched"]:
        names = found["never_matched"]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        out.append(f"never matched on any host: {', '.join(names[:SHOWN])}{more}")
    if found["costliest"]:
        told = [f"{one['metric']} {one['share']:.0%}" for one in found["costliest"][:5]]
        out.append(f"costliest rules (share of the rules' time): {', '.join(told)}")
    return out


def row(host: str, one: dict[str, Any]) -> list[str]:
    """A host's cells."""
    parser = one["parser"]
    if not parser:
        return [
            host,
            one["release"] or "-",
            one["rules"] or "-",
            str(len(one["drift"]) or "-"),
            *["-"] * 4,
            one["state"],
        ]
    count = parser["count"]
    since = count["seconds_since_run"]
    lag = sum(source.get("lag_bytes", 0) for source in count["sources"])
    return [
        *(host, one["release"] or "-", one["rules"] or "-", str(len(one["drift"]) or "-")),
        "never" if since is None else f"{since} s",
        size(lag),
        str(count.get("late_lines", 0)),
        str(count["lost"]),
        one["state"],
    ]


def size(number: int) -> str:
    """Bytes as people read them."""
    return (
        f"{number} B"
        if number < 10_000
        else f"{number / 1e3:.0f} kB"
        if number < 10_000_000
        else f"{number / 1e6:.0f} MB"
    )


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {"logmetrics_fleet_status": document, "logmetrics_fleet_table": table}
