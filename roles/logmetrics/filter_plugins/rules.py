"""Filters of playbooks/rules.yml: a host's rules, whether they may be changed, what previews say of a fleet."""

from __future__ import annotations

from typing import Any

UNGROUPED = ("all", "ungrouped")
SHOWN_COSTS = 5
SHOWN_METRICS = 200
WORDS = {
    "same": "counts as before",
    "zero": "GOES TO ZERO",
    "removed": "REMOVED",
    "appears": "new",
    "explodes": "MORE THAN TEN TIMES",
    "collapses": "LESS THAN A TENTH",
    "differs": "differs",
}


def rules_faults(said: dict[str, Any], run: str) -> list[str]:
    """Why a host's rules cannot be changed now. `said` is its answer to `health`, `run` this run's name.

    Who else is at work there is told by lease_faults (who.py), which knows whether that run still goes on.
    """
    if "health" not in said:
        problem = str(said.get("problem", ""))
        if said.get("outcome") == "unreachable":
            return [problem.replace("while it was to look at its rules", "").replace(" :", ":")]
        return [f"no release of logmetrics answers here ({problem}); run site.yml first"]
    health = said["health"]
    if health["release"] is None:
        return ["no release of logmetrics is in force here; run site.yml first"]
    lines = []
    pending = health["pending"]
    if pending and pending.get("run") != run and pending.get("phase") != "unconfirmed":
        lines.append(f"a change by {pending['who']} is {pending['phase']} here; wait for its end, then run this again")
    elif pending and not pending.get("alone"):
        lines.append(f"a rollout by {pending['who']} is not confirmed here; finish it by site.yml, or let it go back")
    return lines


def rules_plan(said: dict[str, Any], rules: str) -> dict[str, Any]:
    """What is to be done on a host: the plan that tasks/order.yml knows. `rules` is the hash of the wanted set."""
    health = said["health"]
    here, pending = health["rules"], health["pending"]
    lines = [f"rules: {rules} instead of {here or 'none'}"] if here != rules else []
    if not lines and pending:
        lines = [f"rules: {rules} are in force and yet to be confirmed (an earlier run was cut off)"]
    drift = [line for line in health["drift"] if "/etc/logmetrics/rules.json" in line]
    notes = [f"{line}: changed by hand; run site.yml to repair it" for line in drift if not lines]
    return {
        "due": bool(lines),
        "lines": lines,
        "notes": notes,
        "release": health["release"],
        "rules": rules,
        "from": {"release": health["release"], "rules": here},
        "fetch": [],
        "checks": [],
        "unchecked": [],
    }


def repair_alone(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan that does nothing where it would bring another release or other rules: that is a rollout's to do."""
    ahead = [what for what in ("release", "rules") if plan[what] != plan["from"].get(what)]
    if not plan["due"] or not ahead:
        return plan
    note = f"left alone: other {' and '.join(ahead)} would come; run site.yml"
    return {**plan, "due": False, "lines": [], "notes": [*plan["notes"], note]}


def groups_of(names: list[str]) -> list[str]:
    """The groups that tell hosts apart: the most general one only where there is no other."""
    own = [name for name in names if name not in (*UNGROUPED, "logmetrics")]
    return own or ["logmetrics"]


def preview_notes(previews: dict[str, Any], groups: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The previews of many hosts as a few tables: findings, by group what each metric would count, costs.

    `previews`: host -> the host's answer (`preview`, or a problem); `groups`: host -> its groups.
    """
    good = {host: said["preview"] for host, said in previews.items() if said and "preview" in said}
    notes = []
    missing = [f"{host}: {(said or {}).get('problem') or 'gave no preview'}" for host, said in previews.items()]
    missing = [line for line in missing if line.split(":", 1)[0] not in good]
    if missing:
        notes.append({"title": "No preview", "head": [], "rows": [], "lines": missing})
    findings: dict[str, list[str]] = {}
    for host, found in good.items():
        for one in found["findings"]:
            findings.setdefault(f"{one['metric']}: {one['text']}", []).append(host)
    if findings:
        lines = [f"{', '.join(sorted(hosts))}: {text}" for text, hosts in sorted(findings.items())]
        notes.append({"title": "Look at these before you go on", "head": [], "rows": [], "lines": lines})
    for group in sorted({name for host in good for name in groups_of(groups[host])}):
        members = [host for host in good if group in groups_of(groups[host])]
        notes.append(group_note(group, {host: good[host] for host in members}))
    return notes


def group_note(group: str, found: dict[str, Any]) -> dict[str, Any]:
    """One group: metric by metric what would change, summed over its hosts; what was read; the costliest rules."""
    sums: dict[str, list[Any]] = {}
    for host, one in found.items():
        for metric in one["metrics"]:
            row = sums.setdefault(metric["metric"], [metric["rule"], 0, 0, {}])
            row[1] += metric["old"] or 0
            row[2] += metric["new"] or 0
            empty = metric["rule"] == "added" and metric["verdict"] == "same"
            row[3].setdefault("new, counts nothing" if empty else WORDS[metric["verdict"]], []).append(host)
    rows = [
        [metric, rule, plain(old), plain(new), verdicts(words, len(found))]
        for metric, (rule, old, new, words) in sorted(sums.items())
    ]
    lines = []
    read = [one["read"] for one in found.values()]
    total, seconds = sum(one["bytes"] for one in read), sum(one["seconds"] for one in read)
    partial = sum(1 for one in read if not one["complete"])
    lines.append(
        f"counted on {sum(one['lines'] for one in read)} lines ({total / 1e6:.1f} MB) of {len(found)} hosts in "
        f"{seconds:.1f} s of their time" + (f"; {partial} hosts not to the end" if partial else "")
    )
    same = max((one["same"] for one in found.values()), default=0)
    if same:
        lines.append(f"{same} metrics count as before")
    lines += cost_lines(found)
    head = ["metric", "rule", "old", "new", "what becomes of it"]
    if len(rows) > SHOWN_METRICS:
        lines.append(f"{len(rows) - SHOWN_METRICS} more metrics are in the hosts' own previews")
    return {"title": f"Group {group}", "head": head if rows else [], "rows": rows[:SHOWN_METRICS], "lines": lines}


def plain(number: float) -> str:
    """A whole number without its point."""
    return str(int(number)) if number == int(number) else f"{number:.3f}"


def verdicts(words: dict[str, list[str]], hosts: int) -> str:
    """What becomes of a metric, and on how many hosts where they differ."""
    if len(words) == 1 and hosts == len(next(iter(words.values()))):
        return next(iter(words))
    return ", ".join(f"{word} ({len(names)} of {hosts} hosts)" for word, names in sorted(words.items()))


def cost_lines(found: dict[str, Any]) -> list[str]:
    """The rules that take most of the time, by their mean share."""
    shares: dict[str, list[tuple[float, float]]] = {}
    for one in found.values():
        for cost in one["costs"]:
            shares.setdefault(cost["metric"], []).append((cost["share"] or 0.0, cost["us_per_line"] or 0.0))
    order = sorted(shares, key=lambda metric: -sum(share for share, _ in shares[metric]))
    return [
        f"cost: {metric}: {sum(s for s, _ in shares[metric]) / len(found):.0%} of the rules' time, "
        f"{max(us for _, us in shares[metric]):.1f} us a line of its programs"
        for metric in order[:SHOWN_COSTS]
    ]


def note_lines(notes: list[dict[str, Any]]) -> list[str]:
    """The notes as text for a terminal."""
    out = []
    for note in notes:
        out += ["", note["title"]]
        if note["rows"]:
            table = [note["head"], *note["rows"]]
            widths = [max(len(str(row[at])) for row in table) for at in range(len(note["head"]))]
            out += [
                "  " + "  ".join(str(c).ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table
            ]
        out += [f"  {line}" for line in note["lines"]]
    return out[1:]


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_rules_faults": rules_faults,
            "logmetrics_rules_plan": rules_plan,
            "logmetrics_repair_alone": repair_alone,
            "logmetrics_preview_notes": preview_notes,
            "logmetrics_note_lines": note_lines,
        }
