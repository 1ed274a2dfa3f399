"""playbooks/rules.yml and status.yml, the parts that judge: what a canary is sent back for, what a fleet is told."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from host import health, rules_soak
from host.store import NOTHING, Store

from role.scripts import load

RULES = load("filter_plugins/rules.py")
FLEET = load("filter_plugins/status.py")
LIMITS = {"run_ms": 4000, "series": 512}
BEGAN = 1_795_452_000.0
SINCE = int(BEGAN) + 60


def status(**changes: Any) -> dict[str, Any]:
    """What the parser of a host that is well says, ten old intervals and two new ones."""
    counts = {"logs.sshd.failure": 40, "logs.cron.job": 2}
    found: dict[str, Any] = {
        "count": {
            "seconds_since_run": 9,
            "lost": 0,
            "late_lines": 3,
            "sources": [{"source": "/var/log/syslog", "lag_bytes": 1200}],
            "last_run": {"run_ms": 40, "series": 30, "rule_timeouts": 0, "script_error": 0},
        },
        "rule_sets": [{"from": 0, "hash": "old", "id": "1"}, {"from": SINCE, "hash": "new", "id": "2"}],
        "aside": [],
        "families": {"logs.by.{user}": 4},
        "rules": {"logs.sshd.failure": SINCE, "logs.cron.job": None},
        "intervals": [{"at": SINCE + 60 * number, "series": 30, "counts": dict(counts)} for number in range(-10, 2)],
    }
    for path, value in changes.items():
        place: Any = found
        *way, last = path.split("__")
        for step in way:
            place = place[step]
        place[last] = value
    return found


def judged(now: dict[str, Any], since: int = SINCE) -> list[tuple[str, str]]:
    """(kind, metric) of what is found against a host that was well before."""
    return [(one["kind"], one["metric"]) for one in rules_soak.judge(status(), now, since, BEGAN, LIMITS)]


def test_a_host_that_is_well_is_left_alone() -> None:
    assert judged(status()) == []
    assert rules_soak.in_force(status(), "new") == SINCE
    assert rules_soak.in_force(status(), "other") == 0
    assert rules_soak.done(status(), SINCE, {"intervals": 2})
    assert not rules_soak.done(status(), SINCE, {"intervals": 3})


def test_a_rule_that_ran_out_of_time_is_named_with_its_line_and_what_to_do() -> None:
    aside = [{"metric": "logs.evil", "at": int(BEGAN) + 70, "line": "event 0 x"}]
    (one,) = rules_soak.judge(status(), status(aside=aside), SINCE, BEGAN, LIMITS)
    assert (one["kind"], one["metric"], one["line"]) == ("timeout", "logs.evil", "event 0 x")
    assert 'rule logs.evil ran out of its time budget on the line "event 0 x"; mend its regex' in one["text"]


def test_a_rule_that_was_set_aside_before_is_not_held_against_the_new_set() -> None:
    assert judged(status(aside=[{"metric": "logs.evil", "at": int(BEGAN) - 500, "line": "x"}])) == []


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("run_ms", 4001, [("run_ms", "")]),
        ("run_ms", 1001, [("run_ms", "")]),  # more than twenty times what it was, and more than a second
        ("run_ms", 790, []),
        ("series", 100_030, [("series", "logs.by.{user}")]),
        ("series", 512, []),
        ("script_error", 1, [("script_error", "")]),
    ],
)
def test_what_a_run_costs(name: str, value: int, found: list[tuple[str, str]]) -> None:
    now = status(**{f"count__last_run__{name}": value})
    assert judged(now) == found
    assert judged(now, since=0) == []  # the old rules' last run is not the new ones' fault


def with_counts(metric: str, *values: int) -> dict[str, Any]:
    now = copy.deepcopy(status())
    for one, value in zip(now["intervals"][-len(values) :], values, strict=True):
        one["counts"][metric] = value
    return now


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (with_counts("logs.sshd.failure", 401, 450), [("explodes", "logs.sshd.failure")]),
        (with_counts("logs.sshd.failure", 450, 400), []),
        (with_counts("logs.sshd.failure", 0, 0), [("collapses", "logs.sshd.failure")]),
        (with_counts("logs.sshd.failure", 0, 1), []),
        (with_counts("logs.cron.job", 0, 0), []),  # two an interval prove nothing
        (with_counts("logs.cron.job", 50, 51), [("explodes", "logs.cron.job")][:0]),
        (with_counts("logs.cron.job", 51, 51), [("explodes", "logs.cron.job")]),
        (with_counts("logs.new.rule", 9000, 9000), []),  # it has no before
    ],
)
def test_counts_that_explode_or_collapse(now: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert judged(now) == found


def test_a_set_that_is_not_taken_over_is_told_so() -> None:
    assert "has not taken the new rules over" in rules_soak.late(status(rule_sets=[{"from": 0, "hash": "old"}]), "new")
    assert "no interval of the new rules was finished in time" in rules_soak.late(status(), "new")


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        ({"share": 0.42, "timeout": False}, "the costliest is rule logs.slow (42% of the time)"),
        ({"share": 0.0, "timeout": True}, "the costliest is rule logs.slow (over its time budget)"),
    ],
)
def test_the_costliest_rule_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: dict[str, Any], words: str
) -> None:
    store = Store(tmp_path)
    store.state_path.write_text(json.dumps({**store.load(), "rules": "new", "pending": {"from": {"rules": "old"}}}))
    preview = {"costs": [{"metric": "logs.slow", "set": "new", "slow_line": "app: a *", **cost}], "metrics": []}
    monkeypatch.setattr(health, "parser", lambda *_: preview)
    finding = {"kind": "run_ms", "metric": "", "line": "", "text": "a run took 9000 ms"}
    rules_soak.explain(store, [finding])
    assert (finding["metric"], finding["line"]) == ("logs.slow", "app: a *")
    assert finding["text"] == f'a run took 9000 ms; {words}, as on the line "app: a *"'


def said(**changes: Any) -> dict[str, Any]:
    """A host's answer to `health`."""
    state = {"release": "r1", "rules": "aaa", "pending": None, "last": None, "proven": True, "lease": None}
    rest = {"drift": [], "units": {"loki.service": "active"}, "versions": {}, "parser": status(), "faults": []}
    return {"outcome": "staged", "problem": "", "health": {**state, **rest, **changes}}


def test_a_host_whose_rules_are_the_wanted_ones_has_nothing_to_do() -> None:
    plan = RULES.rules_plan(said(), "aaa")
    assert (plan["due"], plan["lines"], plan["release"]) == (False, [], "r1")


def test_a_change_and_one_that_was_cut_off_are_due() -> None:
    assert RULES.rules_plan(said(), "bbb")["lines"] == ["rules: bbb instead of aaa"]
    pending = {"who": "ann@desk", "run": "r", "phase": "unconfirmed"}
    assert RULES.rules_plan(said(pending=pending), "aaa")["due"]


def test_a_rules_file_changed_by_hand_is_noted() -> None:
    plan = RULES.rules_plan(said(drift=["/etc/logmetrics/rules.json: content differ"]), "aaa")
    assert plan["notes"] == ["/etc/logmetrics/rules.json: content differ: changed by hand; run site.yml to repair it"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (said(release=None), "no release of logmetrics is in force here; run site.yml first"),
        ({"outcome": "failed", "problem": "No such file"}, "no release of logmetrics answers here (No such file)"),
        (
            {"outcome": "unreachable", "problem": "unreachable while it was to look at its rules: refused"},
            "unreachable: ",
        ),
        (said(pending={"who": "bob", "run": "x", "phase": "switching"}), "a change by bob is switching here"),
        (said(pending={"who": "bob", "run": "x", "phase": "unconfirmed"}), "a rollout by bob is not confirmed here"),
        # Whether that run still goes on, lease_faults says: the next from the same controller finishes its work.
        (said(lease={"who": "root@vm", "run": "killed"}), ""),
        (said(), ""),
    ],
)
def test_what_stands_in_the_way(answer: dict[str, Any], told: str) -> None:
    lines = RULES.rules_faults(answer, "mine")
    assert [told in line for line in lines] == ([True] if told else [])


def preview(verdict: str, old: int, new: int, **changes: Any) -> dict[str, Any]:
    """A host's answer to `rules-preview`."""
    metric = {"metric": "logs.a", "rule": "changed", "old": old, "new": new, "verdict": verdict}
    cost = {"metric": "logs.a", "share": 0.5, "us_per_line": 2.0}
    read = {"lines": 100, "bytes": 9000, "seconds": 0.1, "complete": True}
    return {"preview": {"findings": [], "metrics": [metric], "same": 3, "costs": [cost], "read": read, **changes}}


def test_previews_are_told_by_group_with_what_goes_to_zero_and_what_it_costs() -> None:
    finding = {"kind": "zero", "metric": "logs.a", "text": "goes to zero (it was 7)"}
    answers = {
        "w1": preview("differs", 5, 6),
        "w2": preview("zero", 7, 0, findings=[finding]),
        "d1": preview("same", 1, 1),
        "d2": {"outcome": "failed", "problem": "no space"},
        "d3": None,
    }
    groups = {"w1": ["logmetrics", "web"], "w2": ["web"], "d1": ["logmetrics"], "d2": ["db"], "d3": ["db"]}
    notes = RULES.preview_notes(answers, groups)
    assert [note["title"] for note in notes] == [
        "No preview",
        "Look at these before you go on",
        "Group logmetrics",
        "Group web",
    ]
    assert notes[0]["lines"] == ["d2: no space", "d3: gave no preview"]
    assert notes[1]["lines"] == ["w2: logs.a: goes to zero (it was 7)"]
    web = notes[3]
    assert web["rows"] == [["logs.a", "changed", "12", "6", "GOES TO ZERO (1 of 2 hosts), differs (1 of 2 hosts)"]]
    assert "cost: logs.a: 50% of the rules' time, 2.0 us a line of its programs" in web["lines"]
    text = RULES.note_lines(notes)
    assert "  w2: logs.a: goes to zero (it was 7)" in text


def test_the_fleet_is_one_document_and_one_table() -> None:
    sick = status(aside=[{"metric": "logs.evil", "at": 1, "line": "event 0"}], count__seconds_since_run=400)
    sick["costs"] = [{"metric": "logs.evil", "share": 0.9}]
    sick["rules"] = {"logs.sshd.failure": None, "logs.never": None, "logs.parser.x": None}
    answers = {
        "a": said(),
        "b": said(rules="bbb", drift=["/etc/loki/loki-config.yaml: content differ"], parser=sick),
        "c": {"outcome": "unreachable", "problem": "unreachable: no route"},
        "d": said(release=None, parser=None, faults=["no release of logmetrics is in force here; run site.yml"]),
        "e": said(last={"outcome": "returned", "problem": "not confirmed within 10 minutes"}),
    }
    found = FLEET.document(answers, BEGAN)
    assert {host: one["state"] for host, one in found["hosts"].items()} == {
        "a": "ok",
        "b": "look",
        "c": "unreachable",
        "d": "not installed",
        "e": "look",
    }
    assert found["never_matched"] == ["logs.cron.job", "logs.never"]
    assert found["rule_sets"] == {"aaa": ["a", "d", "e"], "bbb": ["b"]}
    assert found["costliest"] == [{"metric": "logs.evil", "share": 0.3, "hosts": 1}]
    table = FLEET.table(found)
    assert table[0].split() == FLEET.HEAD
    assert table[1].split() == ["a", "r1", "aaa", "-", "9", "s", "1200", "B", "3", "0", "ok"]
    for line in (
        "b: drift: /etc/loki/loki-config.yaml: content differ",
        "b: the parser has not run for 400 s",
        'b: rule logs.evil ran out of its time budget on the line "event 0"',
        "e: the last change returned: not confirmed within 10 minutes",
        "never matched on any host: logs.cron.job, logs.never",
    ):
        assert line in table, table


def test_health_of_a_host_without_the_role_says_so(tmp_path: Any) -> None:
    found = health.health(Store(tmp_path), {})["health"]
    assert {key: found[key] for key in NOTHING} == NOTHING
    assert found["faults"] == ["no release of logmetrics is in force here; run site.yml"]
    assert found["drift"] == []


@pytest.mark.parametrize(
    ("here", "due"),
    [
        ({"release": "r2", "rules": "bbb"}, True),
        ({"release": "r1", "rules": "bbb"}, False),
        ({"release": "r2", "rules": "aaa"}, False),
        ({"release": None, "rules": None}, False),
    ],
)
def test_a_repair_is_never_ahead_of_the_gate(here: dict[str, Any], due: bool) -> None:
    plan = {"due": True, "lines": ["files: /etc/x"], "notes": [], "release": "r2", "rules": "bbb", "from": here}
    found = RULES.repair_alone(plan)
    assert (found["due"], bool(found["notes"])) == (due, not due)
