"""Watch a canary whose rules were changed: what the parser says of itself, until the new set has counted for a while.

The finding names the rule, the line (masked) where one is to blame, and what to do. It does not go back by itself: the
rollout's gate does that at once, and the armed return where the controller is gone.
"""

import time
from typing import Any, Dict, List, Optional

from . import health
from .store import Fault, Store

BEFORE = 30  # intervals of the old set that counts are held against
FACTOR = 10  # by which a count explodes
ALIKE = 5  # a count below this an interval proves nothing
SLOWER = 20  # times the run time of before, where that is more than SLOW_MS
SLOW_MS = 1000
TAKEOVER = 3  # intervals within which the new set must be in force

Status = Dict[str, Any]
Finding = Dict[str, str]


def soak(store: Store, wish: Dict[str, Any]) -> Dict[str, Any]:
    """Look a few times an interval until the new set has finished `intervals` ones.

    `wish`: document (the hash inside the compiled rules), interval (s), intervals, limits {run_ms, series}.
    Returns problem (empty where nothing speaks against the set), findings (kind, metric, line, text), at, seconds.
    """
    began = time.time()
    deadline = began + (TAKEOVER + wish["intervals"] + 2) * wish["interval"]
    findings: List[Finding] = []
    status: Optional[Status] = None
    first: Optional[Status] = None
    fault = ""
    while time.time() < deadline:
        try:
            status = health.ask(BEFORE + wish["intervals"] + TAKEOVER)
            first = first or status
            fault = ""
        except Fault as error:  # a run may be at work just now
            fault = str(error)
        if status and first and not fault:
            since = in_force(status, wish["document"])
            findings = judge(first, status, since, began, wish["limits"])
            if findings or (since and done(status, since, wish)):
                break
        time.sleep(max(0.5, min(5.0, wish["interval"] / 6)))
    else:
        text = fault or late(status, wish["document"])
        findings = [{"kind": "takeover", "metric": "", "line": "", "text": text}]
    if first and status:
        explain(store, findings)
    return {
        "problem": "; ".join(one["text"] for one in findings),
        "findings": findings,
        "at": time.time(),
        "seconds": round(time.time() - began, 1),
    }


def in_force(status: Status, document: str) -> int:
    """The interval from which the new set counts; 0 where the parser has not read it yet."""
    newest = status.get("rule_sets", [{}])[-1]
    return max(1, int(newest["from"])) if newest.get("hash") == document else 0


def done(status: Status, since: int, wish: Dict[str, Any]) -> bool:
    """Whether enough intervals of the new set are finished."""
    return len([one for one in status["intervals"] if one["at"] >= since]) >= int(wish["intervals"])


def late(status: Optional[Status], document: str) -> str:
    """Why the new set has not counted in time."""
    if status is None or not in_force(status, document):
        return "the parser has not taken the new rules over; see journalctl -t logmetrics and whether Telegraf runs it"
    return (
        "no interval of the new rules was finished in time; the parser waits for a source, or Telegraf does not run it"
    )


def judge(first: Status, status: Status, since: int, began: float, limits: Dict[str, float]) -> List[Finding]:
    """What speaks against the new set so far."""
    findings: List[Finding] = []

    def note(kind: str, metric: str, text: str, line: str = "") -> None:
        findings.append({"kind": kind, "metric": metric, "line": line, "text": text})

    for one in status.get("aside", []):
        if one["at"] >= int(began) - 1:
            note(
                "timeout",
                one["metric"],
                f'rule {one["metric"]} ran out of its time budget on the line "{one["line"]}"; mend its regex '
                "(the check verb says how), or leave the rule out",
                one["line"],
            )
    run, before = status["count"]["last_run"], first["count"]["last_run"]
    new_run = status["count"].get("seconds_since_run") is not None and since
    slow = run.get("run_ms", 0) > limits["run_ms"] or run.get("run_ms", 0) > max(
        SLOW_MS, SLOWER * before.get("run_ms", 0)
    )
    if new_run and slow and not findings:
        note(
            "run_ms",
            "",
            f"a run took {run['run_ms']} ms, before it took {before.get('run_ms', 0)}; "
            "see the costliest rule, anchor its regex, or leave it out",
        )
    series, were = run.get("series", 0), before.get("series", 0)
    if new_run and series > max(limits["series"], 3 * were):
        families = status.get("families", {})
        metric = max(families, key=lambda name: families[name], default="")
        note(
            "series",
            metric,
            f"{series} series, before there were {were}; rule {metric} makes {families.get(metric, 0)} of them: "
            "lower its max_series, or name fewer things by it",
        )
    if new_run and run.get("script_error", 0) and not findings:
        note("script_error", "", "the parser met an error; see journalctl -t logmetrics")
    if since:
        counts(status, since, note)
    return findings


def counts(status: Status, since: int, note: Any) -> None:
    """Counts that collapse or explode: the new set's finished intervals against the old one's."""
    old = [one["counts"] for one in status["intervals"] if one["at"] < since][-BEFORE:]
    new = [one["counts"] for one in status["intervals"] if one["at"] >= since]
    if len(old) < 3 or len(new) < 2:
        return
    for metric in sorted(set(old[-1]) & set(new[-1])):
        were = [one.get(metric, 0) for one in old]
        are = [one.get(metric, 0) for one in new]
        if min(are) > FACTOR * max(*were, ALIKE):
            note(
                "explodes",
                metric,
                f"{metric} counts {min(are):g} an interval, at most {max(were):g} before; "
                "see by preview which lines it takes, and narrow its regex",
            )
        elif max(are) == 0 and min(were) >= ALIKE:
            note(
                "collapses",
                metric,
                f"{metric} counts nothing any more, at least {min(were):g} an interval before; "
                "see by preview which lines are lost",
            )


def explain(store: Store, findings: List[Finding]) -> None:
    """Add rule and line to findings that lack them, from a short preview on this host's last hour."""
    if all(one["line"] and one["metric"] for one in findings):
        return
    state = store.load()
    base = state["pending"]["from"]["rules"] if state["pending"] else None
    if not base:
        return
    files = [str(store.root / "rules" / f"{name}.json") for name in (base, state["rules"])]
    try:
        words = ["preview", *files, "--json", "--hours=1", "--max-bytes=2000000", "--max-seconds=10"]
        found = health.parser(words, (0, 1))
    except Fault:
        return  # the finding stands without its example
    costs = [one for one in found["costs"] if one["set"] != "old"]
    samples = {one["metric"]: (one["gained"] or one["lost"] or [""])[0] for one in found["metrics"]}
    slow = [one for one in costs if one["timeout"]]
    for one in findings:
        # Runs that Telegraf ends before a rule's own budget does leave no word of it.
        if one["kind"] == "takeover" and slow:
            one.update(metric=slow[0]["metric"], line=slow[0]["slow_line"] or "")
            one["text"] += f"; rule {slow[0]['metric']} runs out of its time budget: mend its regex, or leave it out"
        if one["kind"] in ("run_ms", "script_error") and costs:
            worst = costs[0]
            one["metric"] = worst["metric"]
            one["line"] = worst["slow_line"] or samples.get(worst["metric"], "")
            # What ran out of its budget has no share: its time was not taken.
            took = "over its time budget" if worst["timeout"] else f"{(worst['share'] or 0):.0%} of the time"
            one["text"] += f"; the costliest is rule {worst['metric']} ({took})"
        one["line"] = one["line"] or samples.get(one["metric"], "")
        if one["line"] and one["line"] not in one["text"]:
            one["text"] += f', as on the line "{one["line"]}"'
