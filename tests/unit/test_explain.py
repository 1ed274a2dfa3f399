"""`explain` tells what a run counts: held against the tally on random lines; and what it shows people."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from logmetrics import cli
from logmetrics.explain import Explainer
from logmetrics.rules import RuleSet
from logmetrics.tally import Families, Tally, Timeline

DOC = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
RULES = [
    {"metric": "logs.sshd.failure", "program": ["sshd", "sshd-session"], "match": r"^Failed \S+ for "},
    {
        "metric": "logs.sshd.by.{user}",
        "program": ["sshd"],
        "match": r"^Failed \S+ for (?:invalid user )?(?P<user>\S{1,20}) from",
        "max_series": 2,
        "only": "accounts",
    },
    {"metric": "logs.app.ms", "program": ["app"], "type": "timing", "match": r"^took (?P<value>\S+) ms"},
    {"metric": "logs.app.bytes", "program": ["app"], "type": "sum", "match": r"bytes=(?P<value>\d+)"},
    {"metric": "logs.web", "source": ["/var/log/web.log"], "match": r"^GET "},
    {"metric": "logs.app.evil", "program": ["evil"], "match": r"^(\d+\d+)+x"},
]
ACCOUNTS = (b"root", b"bob", b"ann")
FAILED = "Nov 22 10:00:00 h sshd[7]: Failed password for root from 192.0.2.1 port 22 ssh2"


def explainer(**more: Any) -> Explainer:
    rules = RuleSet.from_document({"format": 1, "rules": RULES}, "x")
    return Explainer(rules, account=lambda name: name in ACCOUNTS, **more)


def explain(line: str, source: str | None = "/var/log/syslog", **more: Any) -> dict[str, Any]:
    one = explainer(**more)
    try:
        return one.explanation(line.encode(), source, time.time())
    finally:
        one.close()


def test_what_it_says_counts_is_what_a_run_counts() -> None:
    rng = random.Random(11)  # noqa: S311 - lines, no secret
    now = time.time()
    bodies = [
        "Failed password for {0} from 192.0.2.1",
        "Failed password for invalid user {0} from 192.0.2.1",
        "took {1} ms",
        "took many ms",
        "x bytes={1}",
        "message repeated 3 times: [ Failed password for {0} from 192.0.2.1]",
        "GET / {1}",
        "nothing",
    ]
    lines = []
    for _ in range(600):
        body = rng.choice(bodies).format(rng.choice(["root", "bob", "ann", "eve", "x.y"]), rng.randrange(5000))
        at = now - rng.randrange(7200) + rng.choice([0, 0, 0, 9000])
        stamp = time.strftime(rng.choice(["%b %e %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]), time.localtime(at))
        program = rng.choice(["sshd", "sshd-session", "app", "other"])
        lines.append(rng.choice([f"{stamp} h {program}[7]: {body}", f"{stamp} h {program}[7]: {body}", body]))
    for source in ("/var/log/syslog", "/var/log/web.log"):
        families: dict[str, dict[str, int]] = {}
        rules = RuleSet.from_document({"format": 1, "rules": RULES}, "x")
        tally = Tally(
            60,
            0,
            0,
            Timeline([(0, rules)]),
            Families(families, lambda name: name in ACCOUNTS),
            lambda: now,
            65_536,
        )
        tally.add_exactly(source, "".join(f"{line}\n" for line in lines).encode())
        counted: dict[tuple[int, str], float] = {}
        for at, bucket in tally.open.items():
            for name, value in bucket.items():
                counted[at, name] = value if isinstance(value, int) else value[1] / (1e9 if value[0] == "s" else 1)
        told: dict[tuple[int, str], float] = {}
        one = explainer()
        for line in lines:
            found = one.explanation(line.encode(), source, now)
            for count in found["counts"]:
                if count["times"]:
                    key = (found["interval"], count["series"])
                    told[key] = told.get(key, 0) + count["times"] * (count["value"] if count["type"] == "sum" else 1)
        one.close()
        assert told == counted
        assert {name.split(".")[1] for _, name in counted} >= {"sshd", "app"}
        assert any(name.endswith("_other") for _, name in counted)
        assert any(name.endswith("_invalid") for _, name in counted)


def test_the_parts_of_a_line_as_the_parser_sees_them() -> None:
    found = explain("Nov 22 10:00:41 h sshd[7]: message repeated 5 times: [ Failed password for root from x]")
    assert (found["program"], found["message"]) == ("sshd", "Failed password for root from x")
    assert (found["repeated"], found["time_from"]) == (5, "line")
    assert time.strftime("%m-%d %H:%M:%S", time.localtime(found["time"])) == "11-22 10:00:41"
    assert found["interval"] == found["time"] - 41
    failure, family = found["counts"]
    assert (failure["series"], failure["times"], failure["from"], failure["to"]) == ("logs.sshd.failure", 5, 0, 20)
    assert (family["series"], family["captured"]) == ("logs.sshd.by.root", {"user": "root"})


@pytest.mark.parametrize(
    ("line", "program", "time_from"),
    [
        ("no header at all", None, "reading"),
        ("2026-11-22 10:00:00 application text", None, "line"),
        ("<34>1 2026-11-22T10:00:00Z h app 7 - - text", "app", "line"),
        (time.strftime("%b %e %H:%M:%S", time.localtime(time.time() + 9000)) + " h app: x", "app", "reading, as the"),
    ],
)
def test_lines_of_other_forms(line: str, program: str | None, time_from: str) -> None:
    found = explain(line)
    assert found["program"] == program
    assert found["time_from"].startswith(time_from)


def test_a_line_without_a_stamp_takes_that_of_the_line_before() -> None:
    one = explainer()
    first = one.explanation(FAILED.encode(), "/a", time.time())
    second = one.explanation(b"  at Foo.java:7", "/a", time.time())
    assert (second["time_from"], second["time"]) == ("line before", first["time"])
    assert one.explanation(b"  at Foo.java:7", "/b", time.time())["time_from"] == "reading"
    one.close()


def test_names_are_escaped_capped_and_checked() -> None:
    families = {"logs.sshd.by.{user}": {"logs.sshd.by.root": 1, "logs.sshd.by.bob": 1}}
    line = FAILED.replace("root", "ann")
    count = explain(line, families=families)["counts"][1]
    assert count["series"] == "logs.sshd.by._other"
    assert count["note"] == "max_series (2) is reached, and this name is not among those admitted"
    count = explain(line.replace("ann", "hunter2"))["counts"][1]
    assert (count["series"], count["note"]) == ("logs.sshd.by._invalid", "there is no account of this name here")


def test_a_value_that_is_no_number_does_not_count() -> None:
    count = explain("Nov 22 10:00:00 h app[7]: took many ms")["counts"][0]
    assert (count["times"], count["series"]) == (0, None)
    assert "holds no number" in count["note"]


def test_near_misses_say_why() -> None:
    other = explain(FAILED.replace("sshd[", "ssshd["))["near"]
    assert [(one["metric"], one["why"]) for one in other] == [
        ("logs.sshd.by.{user}", "program"),
        ("logs.sshd.failure", "program"),
    ]
    regex = explain(FAILED.replace(" for ", " fro "))["near"][0]
    assert (regex["metric"], regex["why"], regex["regex_matched"]) == ("logs.sshd.failure", "regex", r"^Failed \S+ f")
    assert (regex["regex_wanted"], regex["regex_at"], regex["to"]) == ("or ", 13, len("Failed password f"))
    source = explain("GET / 1")["near"]
    assert [(one["metric"], one["why"]) for one in source] == [("logs.web", "source")]
    assert explain("GET / 1", None)["near"] == []
    assert explain("GET / 1", None)["counts"][0]["note"] == "where the line stands in /var/log/web.log"


def test_a_rule_that_backtracks_ends_and_is_told() -> None:
    found = explain("Nov 22 10:00:00 h evil: " + "1" * 40, rule_budget=0.1)
    assert [(one["metric"], one["why"]) for one in found["near"]] == [("logs.app.evil", "slow")]


# The verb.


@pytest.fixture
def host(tmp_path: Path) -> list[str]:
    """A host's configuration, rules and no state."""
    (tmp_path / "rules.json").write_text(json.dumps({"format": 1, "hash": "", "rules": RULES}))
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "format": 1,
                "rules": str(tmp_path / "rules.json"),
                "state_dir": str(tmp_path),
                "sources": [{"type": "file", "path": "/var/log/syslog"}],
            }
        )
    )
    return ["--config", str(tmp_path / "config.json")]


def test_marks_stand_under_the_part_they_speak_of(host: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = FAILED.replace(" for ", " fro ")
    assert cli.main(["explain", "--line", line, "--source", "/var/log/auth.log", *host]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == line
    assert out[1] == "  source   /var/log/auth.log"
    assert re.match(r"  time     \d{4}-11-22 10:00:00 \(of the line\), interval \d{4}-11-22 10:00:00$", out[2])
    assert out[3] == "  program  sshd"
    assert out[4] == "  message  Failed password fro root from 192.0.2.1 port 22 ssh2"
    assert out[5] == (
        '           -----------------^  logs.sshd.failure stops here: "^Failed \\S+ f" matched, and then it wants "or "'
    )
    assert cli.main(["explain", "--line", "Nov 22 10:00:00 h app: ß bytes=12", *host]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[4:6] == ["  message  ß bytes=12", "             ========  counts logs.app.bytes value 12"]
    assert cli.main(["explain", "--line", "Nov 22 10:00:00 h other: x", *host]) == 0
    assert "no rule counts it: no rule is for this program" in capsys.readouterr().out


def test_files_also_compressed_ones_and_stdin(
    host: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "web.log.2.gz"
    path.write_bytes(gzip.compress(f"{FAILED}\nGET / 1\n".encode()))
    assert cli.main(["explain", str(path), "--json", *host]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["source"] for one in found] == [str(tmp_path / "web.log")] * 2
    assert [one["program"] for one in found] == ["sshd", None]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"GET / \xff\n")))
    assert cli.main(["explain", "--source", "/var/log/web.log", "--json", *host]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["line"], one["counts"][0]["series"]) == ("GET / \\xff", "logs.web")


def test_packs_and_one_metric_alone(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["explain", "--line", FAILED, "--rules", "sshd,sudo", "--json", "--config", "/no"]
    assert cli.main(argv) == 0
    assert [one["series"] for one in json.loads(capsys.readouterr().out)["counts"]] == ["logs.sshd.failure"]
    assert cli.main([*argv, "--metric", "logs.sudo"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == []
    # All packs of the checkout, where nothing is said.
    assert cli.main(["explain", "--line", FAILED, "--json", "--config", "/no"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["/no/log"], "/no/log: cannot be read: No such file or directory; name a log file"),
        (["--line", "x", "--rules", "/no.json"], "/no.json: cannot be read: No such file or directory; give"),
        (["--line", "x", "--rules", "sshdd"], "sshdd: there is no such pack in "),
        (["--line", "x", "--metric", "logs.no"], "no metric begins with logs.no; give another --metric"),
    ],
)
def test_wrong_use_is_one_line(argv: list[str], told: str, capsys: pytest.CaptureFixture[str], host: list[str]) -> None:
    assert cli.main(["explain", *argv, *host]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("logmetrics explain: ")
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_every_key_of_the_report_is_documented(host: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    section = DOC.read_text().partition("### Why a line counts, or not: explain")[2].partition("\n### ")[0]
    known = set(re.findall(r"`([a-z_]+)`", section))
    keys = set()
    for line in (FAILED, FAILED.replace(" for ", " fro ")):
        assert cli.main(["explain", "--json", "--line", line, *host]) == 0
        one = json.loads(capsys.readouterr().out)
        keys |= set(one) | {key for part in ("counts", "near") for entry in one[part] for key in entry}
    assert keys - known == set()
