"""`preview`: both sets' counts are those that each alone would have, and what differs is shown without secrets."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import os
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from logmetrics import cli, comparing, masking, oldlogs, preview
from logmetrics.rules import RuleSet
from logmetrics.tally import Families, Tally, Timeline

HOUR = 3600
NOW = int(time.time())
START = NOW // HOUR * HOUR - 5 * HOUR
DOC = Path(__file__).resolve().parents[2] / "docs" / "rules.md"


def doc(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"format": 1, "hash": "x", "rules": [dict(rule) for rule in rules]}


def counter(metric: str, match: str, program: str = "app", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "match": match, "program": [program], "type": "counter", **more}


def line(at: float, message: str, program: str = "app") -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return f"{stamp}.000000+00:00 host {program}[7]: {message}\n"


def written(count: int = 12_000, seed: int = 1) -> str:
    """Five hours of lines of some programs, with values, names and repeated messages."""
    rng = random.Random(seed)  # noqa: S311 - lines, no secret
    lines = []
    for number in range(count):
        at = START + number * 5 * HOUR // count
        kind = rng.randrange(8)
        if kind == 0:
            lines.append(line(at, f"event {number} for user{rng.randrange(5)}"))
        elif kind == 1:
            lines.append(line(at, f"took {rng.randrange(900)} ms"))
        elif kind == 2:
            lines.append(line(at, f"message repeated {rng.randrange(2, 5)} times: [ event again for user1]"))
        elif kind == 3:
            lines.append(line(at, "Event with a capital"))
        else:
            lines.append(line(at, f"noise {number}", f"prog{rng.randrange(3)}"))
    return "".join(lines)


OLD = doc(
    counter("logs.same", "^event "),
    counter("logs.changed", "^event "),
    counter("logs.gone", "^took "),
    {**counter("logs.ms", r"^took (?P<value>\d+) ms"), "type": "sum"},
    counter("logs.by.{user}", "for (?P<user>user[0-9])$", max_series=3),
)
NEW = doc(
    counter("logs.same", "^event "),
    counter("logs.changed", "^(?i:event) "),
    {**counter("logs.ms", r"^took (?P<value>\d)"), "type": "sum"},
    counter("logs.by.{user}", "for (?P<user>user[0-9])$", max_series=9),
    {**counter("logs.time", r"^took (?P<value>\d+) ms"), "type": "timing"},
)


def alone(rules: dict[str, Any], data: str) -> dict[str, dict[int, float]]:
    """What one set counts by hour, from the exact way of counting."""
    families: dict[str, dict[str, int]] = {}
    tally = Tally(
        HOUR,
        0,
        0,
        Timeline([(0, RuleSet.from_document(rules, "x"))]),
        Families(families, lambda _: True),
        time.time,
        65_536,
    )
    tally.add_exactly("/var/log/app.log", data.encode())
    found: dict[str, dict[int, float]] = {}
    templates = {name: metric for metric, names in families.items() for name in names}
    for at, bucket in tally.open.items():
        for name, value in bucket.items():
            number = value if isinstance(value, int) else value[1] / 1e9 if value[0] == "s" else value[1]
            by_hour = found.setdefault(templates.get(name, name), {})
            by_hour[at] = by_hour.get(at, 0) + number
    return found


def run(tmp_path: Path, old: dict[str, Any], new: dict[str, Any], *argv: str) -> tuple[int, dict[str, Any]]:
    (tmp_path / "old.json").write_text(json.dumps(old))
    (tmp_path / "new.json").write_text(json.dumps(new))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main(["preview", str(tmp_path / "old.json"), str(tmp_path / "new.json"), "--json", *argv])
    return status, json.loads(out.getvalue())


def by_metric(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["metric"]: one for one in report["metrics"]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text(written())
    return path


def test_both_sets_count_what_each_alone_counts(tmp_path: Path, log: Path) -> None:
    _, report = run(tmp_path, OLD, NEW, str(log))
    for number, rules in ((1, OLD), (2, NEW)):
        expected = alone(rules, log.read_text())
        assert expected["logs.same"]
        found = {
            one["metric"]: {row[0]: row[number] for row in one["hours"] if row[number]} for one in report["metrics"]
        }
        assert {metric: hours for metric, hours in found.items() if hours} == expected
    assert report["read"]["lines"] == 12_000
    assert report["read"]["complete"]


def test_what_becomes_of_each_metric_is_said_in_a_word(tmp_path: Path, log: Path) -> None:
    status, report = run(tmp_path, OLD, NEW, str(log))
    metrics = by_metric(report)
    assert {name: (one["rule"], one["verdict"]) for name, one in metrics.items()} == {
        "logs.by.{user}": ("changed", "same"),
        "logs.changed": ("changed", "differs"),
        "logs.gone": ("removed", "removed"),
        "logs.ms": ("changed", "collapses"),
        "logs.same": ("same", "same"),
        "logs.time": ("added", "appears"),
    }
    assert (metrics["logs.by.{user}"]["old_series"], metrics["logs.by.{user}"]["new_series"]) == (4, 5)
    assert [one["kind"] for one in report["findings"]] == ["removed", "collapses"]
    assert status == 1
    assert run(tmp_path, OLD, OLD, str(log))[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("^(?:event|Event|took) ", "^event with", "zero"),
        ("^took 1 ms", "^took ", "explodes"),
        ("^took ", "^took 12 ms", "collapses"),
        ("^nothing", "^took ", "appears"),
    ],
)
def test_a_count_that_runs_away_is_a_finding(tmp_path: Path, log: Path, old: str, new: str, verdict: str) -> None:
    status, report = run(tmp_path, doc(counter("logs.x", old)), doc(counter("logs.x", new)), str(log))
    assert report["metrics"][0]["verdict"] == verdict
    assert [one["kind"] for one in report["findings"]] == ([] if verdict == "appears" else [verdict])
    assert status == (0 if verdict == "appears" else 1)


def test_lines_gained_and_lost_are_shown_masked(tmp_path: Path, log: Path) -> None:
    metrics = by_metric(run(tmp_path, OLD, NEW, str(log))[1])
    assert metrics["logs.changed"]["gained"] == ["app: Event with a *"]
    assert metrics["logs.changed"]["lost"] == []
    assert metrics["logs.gone"]["lost"] == ["app: took 0 ms"]
    assert metrics["logs.same"]["gained"] == metrics["logs.same"]["lost"] == []


def test_equal_counts_of_different_lines_are_seen_too(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(line(START, f"event {'one' if number % 2 else 'two'}") for number in range(100)))
    one, two = (doc(counter("logs.x", f"^event {word}")) for word in ("one", "two"))
    metric = run(tmp_path, one, two, str(path))[1]["metrics"][0]
    assert (metric["old"], metric["new"]) == (50, 50)
    assert (metric["gained"], metric["lost"]) == (["app: event two"], ["app: event one"])


def test_programs_without_a_rule_come_by_volume(tmp_path: Path, log: Path) -> None:
    programs = run(tmp_path, OLD, NEW, str(log))[1]["programs"]
    text = log.read_text()
    for name in ("prog0", "prog1", "prog2"):
        one = next(one for one in programs if one["program"] == name)
        assert one["lines"] == one["unmatched"] == len(re.findall(f" {name}\\[", text))
        assert (one["has_rules"], one["example"]) == (False, "* 0")
    # Lines of a program with rules of which none matches.
    app = doc(counter("logs.x", "^event "))
    one = next(one for one in run(tmp_path, app, app, str(log))[1]["programs"] if one["program"] == "app")
    assert one["unmatched"] == len(re.findall(r"app\[7\]: (?:took|Event)", text))
    assert one["has_rules"]


def test_of_much_programs_are_estimated_from_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "SAMPLED_WHOLE", 0)
    path = tmp_path / "app.log"
    path.write_text(written(24_000))
    report = run(tmp_path, OLD, NEW, str(path))[1]
    assert 24_000 / 16 - 10 <= report["sampled"]["lines"] <= 24_000 / 16 + 10
    one = next(one for one in report["programs"] if one["program"] == "prog0")
    assert one["unmatched"] == pytest.approx(len(re.findall(r" prog0\[", path.read_text())), rel=0.2)


@pytest.mark.parametrize(("limit", "kind", "series"), [(100_000, "series", 3000), (50, "limit", 51)])
def test_a_family_that_explodes_is_a_finding(tmp_path: Path, limit: int, kind: str, series: int) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(line(START, f"event of {number}") for number in range(3000)))
    new = doc(counter("logs.by.{id}", r"^event of (?P<id>\d{1,9})$", max_series=limit))
    status, report = run(tmp_path, doc(), new, str(path))
    assert (status, [one["kind"] for one in report["findings"]]) == (1, [kind])
    assert report["metrics"][0]["new_series"] == report["series"]["new"] == series
    assert report["metrics"][0]["new"] == 3000


EVIL = r"^event (\d+\d+)+x"


@pytest.mark.parametrize("lines", [100, 6_000])
def test_a_rule_that_backtracks_is_named_with_its_line(tmp_path: Path, lines: int) -> None:
    """Also in the fast lane. The other rules stay exact."""
    path = tmp_path / "app.log"
    calm = "".join(line(START, f"event {number}") for number in range(lines))
    path.write_text(calm + line(START, "event " + "1" * 40) + calm)
    good, evil = counter("logs.good", "^event "), counter("logs.evil", EVIL)
    comparison = comparing.Comparison(doc(good), doc(good, evil), masking.Mask([EVIL]), lambda _: True, rule_budget=0.2)
    reading = preview.Reading(0, 0)
    preview.read_logs(comparison, oldlogs.named([str(path)]), 0, reading, oldlogs.Progress("x", False))
    comparison.close()
    report = preview.report(comparison, doc(good), doc(good, evil), reading, 0)
    cost = next(one for one in report["costs"] if one["metric"] == "logs.evil")
    assert (cost["timeout"], cost["slow_line"]) == (True, "app: event 0")
    assert [one["kind"] for one in report["findings"]] == ["timeout"]
    assert 'on the line "app: event 0"' in report["findings"][0]["text"]
    assert by_metric(report)["logs.good"]["new"] == 2 * lines + 1


def test_a_costly_rule_is_shown_with_a_line(tmp_path: Path) -> None:
    """It matches nothing and stays within its budget: no other line would tell what it is slow on."""
    path = tmp_path / "app.log"
    calm = [f"event {number}" for number in range(500)]
    path.write_text("".join(line(START, text) for text in (*calm, "report " + "k=v;" * 1000 + " end", *calm)))
    good, slow = counter("logs.good", "^event "), counter("logs.slow", "^report .*;.*;.*9$")
    comparison = comparing.Comparison(doc(good), doc(good, slow), masking.Mask([]), lambda _: True, rule_budget=60)
    reading = preview.Reading(0, 0)
    preview.read_logs(comparison, oldlogs.named([str(path)]), 0, reading, oldlogs.Progress("x", False))
    comparison.close()
    costs = {one["metric"]: one for one in preview.report(comparison, doc(good), doc(good, slow), reading, 0)["costs"]}
    assert str(costs["logs.slow"]["slow_line"]).startswith("app: report ")
    assert not costs["logs.slow"]["timeout"] and costs["logs.good"]["slow_line"] is None


def test_what_is_done_to_show_a_line_is_not_charged_to_its_rule(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(line(START, text) for text in ["event 1", "report " + "k=v;" * 1000 + " end"]))
    rules = doc(counter("logs.slow", "^report .*;.*;.*9$"))
    working = []

    class Mask(masking.Mask):
        def line(self, program: bytes | None, message: bytes) -> str:
            working.append(comparison.tally.watch.working)
            return super().line(program, message)

    comparison = comparing.Comparison(doc(), rules, Mask([]), lambda _: True, rule_budget=60)
    preview.read_logs(comparison, oldlogs.named([str(path)]), 0, preview.Reading(0, 0), oldlogs.Progress("x", False))
    comparison.close()
    assert working == [None]


def test_the_costs_are_shares_of_the_new_set(tmp_path: Path, log: Path) -> None:
    costs = run(tmp_path, OLD, NEW, str(log))[1]["costs"]
    assert {(one["metric"], one["set"]) for one in costs if one["set"] != "new"} == {
        ("logs.same", "same"),
        *((name, "old") for name in ("logs.changed", "logs.gone", "logs.ms", "logs.by.{user}")),
    }
    assert sum(one["share"] for one in costs if one["share"] is not None) == pytest.approx(1, abs=0.01)
    assert all(one["us_per_line"] > 0 and one["lines"] > 1_000 for one in costs)


def test_compressed_and_rotated_logs_belong_to_their_live_log(tmp_path: Path, log: Path) -> None:
    data = log.read_bytes()
    (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(data))
    (tmp_path / "app.log-20261101.xz").write_bytes(lzma.compress(data))
    rules = doc({**counter("logs.x", "^event "), "source": [str(log)]})
    files = [str(log), str(tmp_path / "app.log.2.gz"), str(tmp_path / "app.log-20261101.xz")]
    once = by_metric(run(tmp_path, rules, rules, str(log))[1])["logs.x"]["new"]
    three = run(tmp_path, rules, rules, *files)[1]
    assert by_metric(three)["logs.x"]["new"] == 3 * once > 0
    assert {one["source"] for one in three["read"]["files"]} == {str(log)}
    # As if it stood elsewhere.
    assert by_metric(run(tmp_path, rules, rules, str(log), "--source", "/x")[1])["logs.x"]["new"] == 0


def test_hours_leaves_out_what_is_older_and_does_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with path.open("w") as file:
        for at in range(START - 50 * HOUR, NOW, 4):
            file.write(line(at, f"event {at} {'x' * 100}"))
    rules = doc(counter("logs.x", "^event "))
    report = run(tmp_path, rules, rules, str(path), "--hours", "2")[1]
    first = NOW // HOUR * HOUR - 2 * HOUR
    hours = {row[0]: row[1] for row in report["metrics"][0]["hours"]}
    assert min(hours) == first
    assert hours[first] == hours[first + HOUR] == 900
    assert report["read"]["bytes"] < path.stat().st_size / 3
    # A file that was not written to since is not opened.
    os.utime(path, (START - 40 * HOUR, START - 40 * HOUR))
    settings = config(tmp_path, path)
    assert run(tmp_path, rules, rules, "--config", settings)[1]["read"]["files"] == []


def config(tmp_path: Path, *logs: Path) -> str:
    path = tmp_path / "config.json"
    sources = [{"type": "file", "path": str(log)} for log in logs]
    path.write_text(json.dumps({"format": 1, "sources": sources, "rule_budget": 0.2}))
    return str(path)


def test_without_logs_the_hosts_own_sources_are_read(tmp_path: Path, log: Path) -> None:
    (tmp_path / "app.log.1").write_text(log.read_text())
    rules = doc(counter("logs.x", "^event "))
    once = by_metric(run(tmp_path, rules, rules, str(log))[1])["logs.x"]["new"]
    report = run(tmp_path, rules, rules, "--config", config(tmp_path, log))[1]
    assert by_metric(report)["logs.x"]["new"] == 2 * once
    assert report["since"] == NOW // HOUR * HOUR - 24 * HOUR or report["since"] == NOW // HOUR * HOUR - 23 * HOUR


def test_bounds_stop_the_reading_and_say_so(tmp_path: Path, log: Path) -> None:
    rules = doc(counter("logs.x", "^event "))
    report = run(tmp_path, rules, rules, str(log), "--max-bytes", "100000")[1]
    assert (report["read"]["stopped_by"], report["read"]["complete"]) == ("", True) or report["read"][
        "stopped_by"
    ] == "max_bytes"
    assert 90_000 < report["read"]["bytes"] <= 100_000
    assert report["last_hour"] == START + 4 * HOUR == report["first_hour"]  # the newest bytes
    report = run(tmp_path, rules, rules, str(log), "--max-seconds", "0.0001")[1]
    assert (report["read"]["stopped_by"], report["read"]["complete"]) == ("max_seconds", False)


def test_a_log_that_cannot_be_read_is_said_and_the_others_are_compared(tmp_path: Path, log: Path) -> None:
    broken = tmp_path / "app.log.3.gz"
    broken.write_bytes(gzip.compress(log.read_bytes())[:-2000])
    rules = doc(counter("logs.x", "^event "))
    report = run(tmp_path, rules, rules, str(log), str(broken))[1]
    assert [fault.partition(": ")[0] for fault in report["read"]["faults"]] == [str(broken)]
    assert not report["read"]["complete"]
    assert by_metric(report)["logs.x"]["new"] > 0


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["{no}", "none", "{log}"], "{no}: cannot be read: No such file or directory; give a rules.json, or packs"),
        (["none", "none", "{no}"], "{no}: cannot be read: No such file or directory; name a log file"),
        (["none", "{log}.json", "{log}"], "{log}.json: is no JSON:"),
        (["none", "sshd", "--packs-dir", "/no", "{log}"], "sshd: there is no such pack in /no; that folder holds"),
        (["none", "none", "{log}", "--since", "soon"], "'soon' is no time;"),
        (["none", "none", "{dir}"], "{dir}: is a folder; name log files"),
        (["none", "none", "--config", "{no}"], "{no}: cannot be read: No such file or directory; give another"),
    ],
)
def test_wrong_use_is_one_line(
    argv: list[str], told: str, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app.log.json").write_text("{")
    names = {"{no}": str(tmp_path / "no.json"), "{log}": str(log), "{dir}": str(tmp_path)}

    def filled(text: str) -> str:
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    assert cli.main(["preview", *map(filled, argv)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith(f"logmetrics preview: {filled(told)}")
    assert out.err.count("\n") == 1


def test_packs_and_text_for_people(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = tmp_path / "app.yml"
    pack.write_text("rules:\n  - metric: logs.app.event\n    program: app\n    match: '^event '\n")
    assert cli.main(["preview", "none", str(pack), str(log), "--progress"]) == 0
    captured = capsys.readouterr()
    again = sum(map(int, re.findall(r"app\[7\]: message repeated (\d)", log.read_text())))
    events = len(re.findall(r"app\[7\]: event", log.read_text())) + again
    assert f"logs.app.event           -  {events:>10}" in captured.out
    assert "+ app: event 0 for *" in captured.out
    assert "lines that no rule counts, by program" in captured.out


def test_every_key_of_the_report_is_documented(tmp_path: Path, log: Path) -> None:
    """docs/rules.md is the contract of what reads this report (playbooks/rules.yml)."""
    report = run(tmp_path, OLD, NEW, str(log))[1]
    section = DOC.read_text().partition("### What preview --json says")[2].partition("\n## ")[0]
    known = set(re.findall(r"`([a-z_]+)`", section))
    keys = set(report) | {key for part in ("read", "old", "sampled", "series") for key in report[part]}
    for part in ("metrics", "costs", "programs", "findings"):
        keys |= set(report[part][0])
    assert keys - known == set()


def test_joined_rules_share_nothing_between_the_sets() -> None:
    one, two = counter("logs.x", "^a"), counter("logs.x", "^b")
    marked = comparing.joined(doc(one, two), doc(two))["rules"]
    assert [(rule["metric"], rule["match"]) for rule in marked] == [
        ("-logs.x", "^a"),
        ("-logs.x", "^b"),
        ("+logs.x", "^b"),
    ]
    assert [rule["metric"] for rule in comparing.joined(doc(one, two), doc(one, two))["rules"]] == ["=logs.x"] * 2
