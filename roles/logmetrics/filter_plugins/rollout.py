"""Filters of the rollout: who comes when, what became of each host, and whether the next batch may begin."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

GOOD = ("activated", "confirmed", "unchanged")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKLY = re.compile(r"(\w{3}) (\d\d:\d\d) ?- ?(\w{3}) (\d\d:\d\d)")
DATES = re.compile(r"(\d{4}-\d\d-\d\d(?: \d\d:\d\d)?) ?(?:\.\.|to) ?(\d{4}-\d\d-\d\d(?: \d\d:\d\d)?)")
SIZE = re.compile(r"([1-9]\d*)(%?)")
MINUTES_A_WEEK = 7 * 24 * 60


def batch_faults(batches: list[Any]) -> list[str]:
    """What is wrong with a list of batches."""
    bad = [str(one) for one in batches if not SIZE.fullmatch(str(one)) or percent(one) > 100]
    if bad or not batches:
        told = ", ".join(bad) or "it is empty"
        return [f"logmetrics_batches: {told}; write numbers of hosts or percents, as in [1, 5%, 100%]"]
    return []


def percent(size: Any) -> int:
    """The percents of a size; 0 where it is a number of hosts."""
    return int(str(size)[:-1]) if str(size).endswith("%") else 0


def batches(hosts: list[dict[str, Any]], sizes: list[Any]) -> dict[str, Any]:
    """The order in which hosts come, and how many a batch: {order: names, sizes: numbers, domains}.

    `hosts`: name, canary, domain, in the inventory's order. Canaries come first, then one failure domain after another;
    no batch holds hosts of two of them (but for the canaries), so that one wrong change hurts one domain at a time. The
    last size is repeated.
    """
    canaries = [host for host in hosts if host["canary"]]
    domains = list(dict.fromkeys(host["domain"] for host in hosts))
    groups = [canaries] + [[h for h in hosts if h["domain"] == domain and not h["canary"]] for domain in domains]
    if not canaries:
        groups = groups[1:]
    order: list[str] = []
    cut: list[int] = []
    for group in groups:
        left = [host["name"] for host in group]
        while left:
            size = sizes[min(len(cut), len(sizes) - 1)]
            many = max(1, len(hosts) * percent(size) // 100) if percent(size) else int(size)
            order += left[:many]
            cut.append(min(many, len(left)))
            left = left[many:]
    return {"order": order, "sizes": cut}


def outcome(result: dict[str, Any], what: str) -> dict[str, Any]:
    """What a host's script said, or why it said nothing; `what` names the step. Always has outcome and problem."""
    if result.get("unreachable"):
        reason = " ".join(str(result.get("msg", "")).split()).replace("Task failed: ", "")
        return {"outcome": "unreachable", "problem": f"unreachable while it was to {what}: {reason}"}
    try:
        said: dict[str, Any] = json.loads(result["stdout"])
    except (KeyError, ValueError):
        words = str(result.get("stderr") or result.get("module_stderr") or result.get("msg") or "no answer").strip()
        return {"outcome": "failed", "problem": f"could not {what}: {words.splitlines()[-1] if words else 'no answer'}"}
    return {
        "outcome": "failed" if said.get("problem") else "staged",
        "journal": "",
        "changed": [],
        "problem": "",
        **said,
    }


def bad(outcomes: dict[str, dict[str, Any] | None]) -> dict[str, str]:
    """Hosts that count as failed, with the reason; a host of which nothing is known does."""
    found = {}
    for host, one in outcomes.items():
        if one is None:
            found[host] = "was lost on the way; see its error above"
        elif one["outcome"] not in GOOD:
            found[host] = f"{one['outcome'].replace('_', ' ')}: {one['problem']}"
    return found


def batch_gate(outcomes: dict[str, dict[str, Any] | None], allowed: int) -> list[str]:
    """Why the next batch must not begin, a line a host; none where it may.

    `outcomes`: every host of all batches so far -> its outcome, None for one that was lost.
    """
    found = bad(outcomes)
    return [f"{host}: {why}" for host, why in found.items()] if len(found) > allowed else []


def so_far(order: list[str], batch: list[str]) -> list[str]:
    """Hosts of all batches up to this one; the batch may hold hosts that have nothing to do, too (repair.yml)."""
    places = [order.index(host) for host in batch if host in order]
    return order[: max(places) + 1] if places else []


def confirm_minutes(least: int, hosts: int, forks: int, interval: int, intervals: int) -> int:
    """Minutes after which a host goes back by itself: `least`, or as long as its whole batch takes.

    A batch of `hosts` is confirmed together: when the last of them, `forks` at a time, has been switched and proven
    (two intervals and half a minute at the most), and has been watched for some `intervals`. Interval in seconds.
    """
    rounds = -(-hosts // max(1, forks))
    seconds = rounds * (2 * interval + 30) + intervals * interval + 60
    return max(least, -(-seconds // 60))


def staging(outcomes: dict[str, dict[str, Any] | None]) -> list[str]:
    """Hosts that could not be staged, a line each; nobody's release is switched then."""
    lost = {"outcome": "lost", "problem": "see its error above"}
    found = {host: one or lost for host, one in outcomes.items()}
    return [f"{host}: {one['outcome']}: {one['problem']}" for host, one in found.items() if one["outcome"] != "staged"]


def stage_fault(result: dict[str, Any], task: str) -> str:
    """Why a task of the staging failed, in one line."""
    if "stdout" in result and '"holder": {' in result["stdout"]:
        holder = json.loads(result["stdout"])["holder"]
        return f"{holder['who']} has begun to roll out here meanwhile (run {holder['run']})"
    results = [one for one in result.get("results", []) if one.get("failed")] or [result]
    words = str(
        results[0].get("stderr") or results[0].get("module_stderr") or results[0].get("msg") or "no reason given"
    )
    return f"{task}: {words.strip().splitlines()[-1]}"


def end(first: dict[str, Any], result: dict[str, Any], stopped: bool) -> dict[str, Any]:
    """A host's outcome after it was told to confirm, or (`stopped`) to go back."""
    said = outcome(result, "go back" if stopped else "confirm")
    if not stopped:
        return {**first, "outcome": said["outcome"], "problem": said["problem"]}
    if said["outcome"] != "confirmed":
        return {**first, "outcome": said["outcome"], "problem": said["problem"]}
    why = first["problem"] or "it worked, but the rollout was stopped before it was confirmed"
    return {**first, "outcome": "rolled_back", "problem": why}


def went_back(one: dict[str, Any]) -> str:
    """From where to where a host went, in words."""
    old, new = one["from"], one["to"]
    return " and ".join(
        f"{what} {new[what]}" + (f" (was {old[what]})" if old[what] != new[what] else "")
        for what in ("release", "rules")
    )


def summary(hosts: dict[str, dict[str, Any] | None], waiting: list[str], stopped: bool) -> str:
    """One line for a tired person. `waiting`: hosts whose turn did not come."""
    counts: dict[str, int] = {}
    for one in hosts.values():
        name = "lost" if one is None else str(one["outcome"])
        counts[name] = counts.get(name, 0) + 1
    parts = [f"{number} {name.replace('_', ' ')}" for name, number in sorted(counts.items())]
    if waiting:
        parts.append(f"{len(waiting)} not touched")
    return ("STOPPED: " if stopped else "Done: ") + (", ".join(parts) or "nothing to change on any host")


def minute_of_week(day: str, clock: str) -> int:
    """Minutes since Monday 00:00."""
    hours, minutes = map(int, clock.split(":"))
    return DAYS.index(day.lower()) * 24 * 60 + hours * 60 + minutes


def freeze_faults(windows: list[str], now: str) -> list[str]:
    """A line where `now` (ISO 8601, the controller's own clock) lies in a freeze window, or one cannot be read.

    A window is `Fri 16:00 - Mon 08:00`, each week, or `2026-12-20 .. 2027-01-05`, days or times, the end excluded.
    """
    moment = datetime.datetime.fromisoformat(now)
    lines = []
    for window in windows:
        weekly, dates = WEEKLY.fullmatch(window.strip()), DATES.fullmatch(window.strip())
        try:
            if weekly:
                begin, end = minute_of_week(*weekly.group(1, 2)), minute_of_week(*weekly.group(3, 4))
                here = moment.weekday() * 24 * 60 + moment.hour * 60 + moment.minute
                inside = (here - begin) % MINUTES_A_WEEK < (end - begin) % MINUTES_A_WEEK
            elif dates:
                inside = datetime.datetime.fromisoformat(dates[1]) <= moment < datetime.datetime.fromisoformat(dates[2])
            else:
                raise ValueError
        except ValueError:
            known = "'Fri 16:00 - Mon 08:00' or '2026-12-20 .. 2027-01-05'"
            lines.append(f"logmetrics_freeze: {window!r} cannot be read; write {known}")
            continue
        if inside:
            lines.append(f"changes are frozen now ({window}); wait, or give -e logmetrics_freeze=[]")
    return lines


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_batch_faults": batch_faults,
            "logmetrics_seating": batches,
            "logmetrics_outcome": outcome,
            "logmetrics_bad": bad,
            "logmetrics_batch_gate": batch_gate,
            "logmetrics_so_far": so_far,
            "logmetrics_confirm_within": confirm_minutes,
            "logmetrics_staging": staging,
            "logmetrics_stage_fault": stage_fault,
            "logmetrics_end": end,
            "logmetrics_went_back": went_back,
            "logmetrics_summary": summary,
            "logmetrics_freeze_faults": freeze_faults,
        }
