"""What a run did to each host, gathered event by event; `document()` is the report as plain data.

A host's state is one of STATES, the worst first. What is read out of a task's result: the plan and the faults that
preflight notes as facts, and the answers of the host's verbs (JSON on stdout with `outcome`: see docs/rollout.md).
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Iterator

FORMAT = 1
STATES = (
    "failed",  # something went wrong, and the host is not proven to work
    "rolled_back",  # something went wrong, the host is back on what it had
    "unreachable",
    "not_ready",  # preflight found a fault; nothing was touched
    "untouched",  # it was to be changed, but the run stopped before it
    "changed",
    "would_change",  # check mode
    "unchanged",
)
BAD = STATES[:5]
# What a host's verbs and the gates say became of it (docs/rollout.md); `activated` and `confirmed` are changes.
ENDS = {
    "failed": "failed",
    "not well": "failed",
    "rolled_back": "rolled_back",
    "returned": "rolled_back",
    "unreachable": "unreachable",
    "staged": "untouched",
    "unchanged": "unchanged",
}
VERBS_ENDS = ("activated", "rolled_back", "failed", "unchanged")  # answers of verbs that change something
RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"
JOURNAL_LINES = 25
PROBLEM_LETTERS = 2000


class Host:
    """What is known of one host so far."""

    def __init__(self) -> None:
        self.member = False  # of a play of the rollout; what else ran on the controller is no host's
        self.batch = 0
        self.seconds = 0.0
        self.tasks = 0
        self.planned = False  # preflight knows what is to be done on it
        self.due = False  # preflight's plan holds something for it
        self.plan: list[str] = []
        self.changes: list[str] = []
        self.faults: list[str] = []
        self.problem = ""
        self.task = ""
        self.journal = ""
        self.findings: list[dict[str, str]] = []  # of a canary's watch: kind, metric, line, text
        self.found = 0.0  # when, Unix time
        self.outcome = ""  # of the last verb that changed something
        self.old = ""  # what is wrong with the old release, where going back did not help
        self.begun: dict[str, Any] = {}
        self.wanted: dict[str, Any] = {}
        self.unreachable = False
        self.touched = False

    def state(self, check: bool, running: bool, refused: bool = False) -> str:
        """One of STATES. `refused`: the run stopped at the controller itself, before any host."""
        if self.outcome in ENDS:
            return ENDS[self.outcome]
        if self.unreachable:
            return "unreachable"
        if self.problem and self.touched:
            return "failed"
        if self.faults or self.problem:
            return "not_ready"
        if refused and (self.due or not self.planned):
            return "untouched"
        if check:
            return "would_change" if self.due or self.changes else "unchanged"
        if self.touched:
            return "changed"
        return "untouched" if self.due and not running else "unchanged"

    def document(self, check: bool, running: bool, refused: bool) -> dict[str, Any]:
        """The host's part of the report."""
        return {
            "state": self.state(check, running, refused),
            "from": self.begun,
            "to": self.wanted,
            "batch": self.batch,
            "seconds": round(self.seconds, 1),
            "tasks": self.tasks,
            "changes": self.changes or self.plan,
            "problem": self.problem or "; ".join(self.faults),
            "task": self.task,
            "went_back": ENDS.get(self.outcome) == "rolled_back",
            "old_release_problem": self.old,
            "journal": self.journal,
            "findings": self.findings,
            "found": self.found,
        }


class Report:
    """One run. `clock` gives Unix time; `clean` takes secrets out of a text."""

    def __init__(
        self,
        playbook: str,
        check: bool,
        who: str = "",
        clock: Callable[[], float] = time.time,
        clean: Callable[[str], str] = str,
    ) -> None:
        self.playbook = playbook
        self.check = check
        self.who = who
        self.clock = clock
        self.clean = clean
        self.began = clock()
        self.state = RUNNING
        self.play = ""
        self.batches = 0
        self.hosts: dict[str, Host] = {}
        self.controller: list[str] = []
        self.sections: dict[str, Any] = {}
        self._started: dict[tuple[str, str], float] = {}
        self._batches_of: dict[str, int] = {}

    # Events.

    def batch(self, play: str, hosts: list[str], serial: bool = False) -> None:
        """A play begins on these hosts; with `serial` they are its next batch."""
        self.play = play
        for name in hosts:
            self.hosts.setdefault(name, Host()).member = True
        if serial and hosts:
            number = self._batches_of[play] = self._batches_of.get(play, 0) + 1
            for name in hosts:
                self.hosts[name].batch = number
            self.batches = max(self.batches, number)

    def started(self, host: str, task: str) -> None:
        """A task begins on a host."""
        self._started[host, task] = self.clock()

    def ended(self, host: str, task: str, result: dict[str, Any], ran: bool = True) -> bool:
        """A task came to a good end on a host (`ran`: it was not skipped); whether a verb changed something by it."""
        it = self._time(host, task, ran)
        before = it.outcome
        for one in parts(result):
            self._read(it, one)
            if one.get("changed") and not one.get("skipped"):
                it.touched = it.touched or not self.check
        return it.outcome != before

    def failed(self, host: str, task: str, name: str, result: dict[str, Any]) -> None:
        """A task failed on a host; `name` is what people call it."""
        it = self._time(host, task, True)
        for one in parts(result):
            self._read(it, one)
        it.task = it.task or name
        if not it.problem:
            it.problem = self.clean(why(result))[:PROBLEM_LETTERS]

    def stopped(self, lines: list[str]) -> None:
        """The gate stopped the run, for all hosts."""
        self.controller = [self.clean(line) for line in lines]

    def lost(self, host: str, task: str, name: str, result: dict[str, Any]) -> None:
        """A host cannot be reached."""
        it = self._time(host, task, True)
        it.unreachable, it.task = True, name
        it.problem = self.clean(" ".join(str(result.get("msg", "no answer")).split()))[:PROBLEM_LETTERS]

    def finish(self, state: str) -> None:
        """The run is over."""
        self.state = state

    # Reading results.

    def _time(self, host: str, task: str, ran: bool) -> Host:
        it = self.hosts.setdefault(host, Host())
        began = self._started.pop((host, task), None)
        if ran:
            it.tasks += 1
            it.seconds += self.clock() - began if began is not None else 0.0
        return it

    def _read(self, it: Host, result: dict[str, Any]) -> None:
        facts = result.get("ansible_facts")
        if isinstance(facts, dict):
            self._read_facts(it, facts)
        answer = answer_in(result)
        if answer.get("outcome") in VERBS_ENDS or (answer.get("problem") and "outcome" not in answer):
            self._read_outcome(it, answer)

    def _read_facts(self, it: Host, facts: dict[str, Any]) -> None:
        plan = facts.get("__logmetrics_plan")
        if isinstance(plan, dict):
            it.planned, it.due = True, bool(plan.get("due"))
            it.plan = [self.clean(str(line)) for line in plan.get("lines", [])]
            if it.due:
                it.begun, it.wanted = point(plan.get("from")), point(plan)
        if isinstance(facts.get("__logmetrics_faults"), list):
            it.faults = [self.clean(str(line)) for line in facts["__logmetrics_faults"]]
        if isinstance(facts.get("__logmetrics_outcome"), dict):
            self._read_outcome(it, facts["__logmetrics_outcome"])
        if facts.get("__logmetrics_refused"):
            self.stopped(facts["__logmetrics_refused"])
        if facts.get("__logmetrics_report_notes"):
            self.sections["notes"] = facts["__logmetrics_report_notes"]

    def _read_outcome(self, it: Host, answer: dict[str, Any]) -> None:
        it.outcome = str(answer.get("outcome", it.outcome))
        it.touched = it.touched or it.outcome not in ("", "staged", "unchanged", "unreachable")
        if answer.get("changed"):
            it.changes = [self.clean(str(line)) for line in answer["changed"]]
        it.old = self.clean(str(answer.get("old") or it.old))
        if answer.get("findings"):
            it.found = float(answer.get("found", 0))
            it.findings = [{key: self.clean(str(value)) for key, value in one.items()} for one in answer["findings"]]
        if point(answer.get("to")):
            it.begun, it.wanted = point(answer.get("from")), point(answer["to"])
        if answer.get("problem"):
            it.problem = self.clean(str(answer["problem"]))[:PROBLEM_LETTERS]
            lines = self.clean(str(answer.get("journal") or "")).splitlines()
            it.journal = "\n".join(lines[-JOURNAL_LINES:])

    # The result.

    def document(self) -> dict[str, Any]:
        """The report as plain data, hosts sorted by how badly they fared, then by name."""
        running = self.state == RUNNING
        refused = any(line.startswith("controller: ") for line in self.controller)
        hosts = {name: host.document(self.check, running, refused) for name, host in self.hosts.items() if host.member}
        order = sorted(hosts, key=lambda name: (STATES.index(hosts[name]["state"]), name))
        counts = {state: sum(1 for one in hosts.values() if one["state"] == state) for state in STATES}
        now = self.clock()
        return {
            "format": FORMAT,
            "playbook": self.playbook,
            "check": self.check,
            "who": self.who,
            "began": stamp(self.began),
            "seconds": round(now - self.began, 1),
            "written": stamp(now),
            "state": self.state,
            "ok": self.state == FINISHED and not self.controller and not any(counts[state] for state in BAD),
            "counts": counts,
            "batches": self.batches,
            "controller": self.controller,
            "hosts": {name: hosts[name] for name in order},
            **self.sections,
        }


def stamp(at: float) -> str:
    """Local time with its offset (RFC 3339)."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(at))
    return f"{text[:-2]}:{text[-2:]}"


def parts(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A result, or its items' where it is that of a loop."""
    items = result.get("results")
    if isinstance(items, list) and items:
        yield from (item for item in items if isinstance(item, dict))
    else:
        yield result


def answer_in(result: dict[str, Any]) -> dict[str, Any]:
    """What a verb on the host printed: one JSON object on stdout; empty where the task was no verb's."""
    text = str(result.get("stdout", ""))
    if not text.startswith("{"):
        return {}
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def point(value: Any) -> dict[str, Any]:
    """A release and a rule set together, as the host's verbs name them; empty where there was nothing."""
    if not isinstance(value, dict) or not any(value.get(key) for key in ("release", "rules")):
        return {}
    return {key: str(value.get(key) or "") for key in ("release", "rules")}


def why(result: dict[str, Any]) -> str:
    """Why a task failed: its own words, of a loop those of its failed items."""
    failed = [one for one in parts(result) if one.get("failed")] or [result]
    words = []
    for one in failed:
        text = one.get("msg") or one.get("stderr") or one.get("module_stderr") or one.get("censored") or ""
        if one.get("stderr") and str(one.get("msg", "")).startswith("non-zero return code"):
            text = str(one["stderr"]).strip().splitlines()[-1]
        words.append(str(text).strip())
    return "\n".join(dict.fromkeys(word for word in words if word)) or "it gave no reason"
