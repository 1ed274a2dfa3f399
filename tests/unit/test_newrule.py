"""`new-rule`: what it proposes passes `check`, for every line of every pack; and it appends only what fits."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import pytest
import yaml
from logmetrics import check, cli, lines, newrule
from logmetrics.compile import DEFAULT_PACKS_DIR, read_packs
from logmetrics.errors import Fault
from logmetrics.rulespec import pack_names, parse_pack

DOC = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
REAL = Path(__file__).resolve().parents[1] / "loki" / "lines"
BACKUP = "Nov 22 10:00:00 web1 backupd[812]: run 7 failed: disk full (exit 28)"
FINISHED = "Nov 22 10:05:00 web1 backupd[813]: run 8 finished in 41.5 s"
HEAD = "Nov 22 10:00:00 h app[1]: "


def test_every_line_that_a_pack_counts_becomes_a_rule_that_check_finds_nothing_in() -> None:
    drafted = 0
    for pack in read_packs(pack_names([DEFAULT_PACKS_DIR]), [DEFAULT_PACKS_DIR]):
        for rule in pack.rules:
            for test in rule.tests:
                if test.yields:
                    made = newrule.draft(test.line, kind=rule.type, source=check.source_of(rule, test))
                    found = check.check([parse_pack("rules:\n" + made.yaml(), "new", "new")])
                    assert not found, f"{found[0]}\n{made.yaml()}"
                    drafted += 1
    assert drafted > 200


def test_every_line_of_the_real_programs_becomes_such_a_rule_as_a_counter_and_by_its_number() -> None:
    made: dict[str, newrule.Draft] = {}
    for path in sorted(REAL.glob("*.jsonl")):
        for one in map(json.loads, path.read_text().splitlines()):
            program = lines.split(one["line"].encode(), 0)[1]
            for kind in ("counter", "timing") if "\t" not in one["line"] else ():
                try:
                    rule = newrule.draft(one["line"], kind=kind, source=None if program else one["source"])
                except Fault as fault:
                    assert kind == "timing" and "reads a number" in str(fault)
                    continue
                made.setdefault(rule.match, rule)
    assert len(made) > 300
    rules = []
    for number, rule in enumerate(made.values()):
        rule.metric = f"logs.drafts.d{number}"
        rules.append(rule.yaml())
    found = check.check([parse_pack("rules:\n" + "".join(rules), "new", "new")])
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("line", "match", "metric"),
    [
        (HEAD + "connect to 192.0.2.1[192.0.2.1]:25: refused", r"^connect to [^ \[]+\[[^ \]]+\]\S+ refused", None),
        (BACKUP, r"^run \d+ failed: ", "logs.backupd.run_failed"),
        (FINISHED, r"^run \d+ finished in [\d.]+ s", "logs.backupd.run_finished"),
        (
            HEAD + 'user bob can\'t log in from 192.0.2.1:22 via "ssh"',
            r"^user \S+ can't log in from \S+ via",
            "logs.app.user_can_t_log",
        ),
        (
            HEAD + "Failed password for root from 192.0.2.1 port 22 ssh2",
            r"^Failed password for \S+ from \S+ port",
            "logs.app.failed_password_port",
        ),
        (
            HEAD + 'time="2026-11-22T10:00:00Z" level=error msg="Handler for POST failed" error="no space"',
            r'^time="[^"]*" level=error msg="Handler for POST failed"',
            "logs.app.error_handler_post",
        ),
        (
            HEAD + "job 9f8e7d6c5b4a ended (code=1, user=alice) at /srv/data/x",
            r"^job [0-9A-Fa-fx]+ ended \(code=\d+, user=\S+\) at",
            "logs.app.job_ended",
        ),
        (HEAD + "[12.5] temperature above threshold", r"^\[[\d.]+\] temperature above threshold", None),
    ],
)
def test_what_changes_is_generalised_and_what_is_written_stays(line: str, match: str, metric: str | None) -> None:
    made = newrule.draft(line)
    assert made.match == match
    assert metric is None or made.metric == metric
    assert re.search(match.encode(), line.partition("]: ")[2].encode())


def test_values_are_the_number_with_a_unit_else_the_last() -> None:
    made = newrule.draft(FINISHED, kind="timing")
    assert (made.match, made.value) == (r"^run \d+ finished in (?P<value>[\d.]+) s", "41.5")
    made = newrule.draft(HEAD + "sent 1024 bytes to 192.0.2.1 in 3 tries by agent 3.7.8", kind="sum")
    assert (made.match, made.value) == (r"^sent (?P<value>\d+) bytes to \S+ in \d+ tries by agent", "1024")
    with pytest.raises(Fault, match="1,024 has a comma in it, which no rule can read"):
        newrule.draft(HEAD + "sent 1,024 bytes in 3 tries", kind="sum")
    with pytest.raises(Fault, match="a sum reads a number, and the line's message holds none"):
        newrule.draft(HEAD + "nothing to read", kind="sum")


def test_a_repeated_message_yields_as_often_and_an_access_log_by_its_status() -> None:
    made = newrule.draft(HEAD + "message repeated 5 times: [ run 7 failed: x]")
    assert (made.times, made.match) == (5, r"^run \d+ failed: ")
    made = newrule.draft(
        '192.0.2.7 - - [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 404 5 "-" "-"', source="/var/log/nginx/access.log"
    )
    assert (made.metric, made.program, made.source) == ("logs.access.status_404", None, "/var/log/nginx/access.log")
    assert '" 404 ' in made.match


def test_it_never_falls_over_and_what_it_proposes_can_be_read() -> None:
    rng = random.Random(5)  # noqa: S311 - lines, no secret
    signs = "aB9 ._-:;=\"'/\\()[]{}<>*+?|^$%#@!~`,\u00e4\u20ac"
    proposed = 0
    for _ in range(400):
        line = HEAD + "".join(rng.choice(signs) for _ in range(rng.randrange(40)))
        try:
            made = newrule.draft(line)
        except Fault:
            continue
        pack = parse_pack("rules:\n" + made.yaml(), "new", "new")
        assert not pack.findings, (line, pack.findings[0])
        assert yaml.safe_load(made.yaml())[0]["tests"][0]["line"] == line
        proposed += 1
    assert proposed > 300


# The verb.


def run(*argv: str) -> int:
    return cli.main(["new-rule", *argv])


def test_it_prints_yaml_and_says_what_counts_the_line_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BACKUP) == 0
    captured = capsys.readouterr()
    assert yaml.safe_load(captured.out)[0]["metric"] == "logs.backupd.run_failed"
    assert captured.err == ""
    assert run(HEAD.replace("app", "sshd") + "Failed password for root from 192.0.2.1 port 22 ssh2") == 0
    assert "note: logs.sshd.failure counts this line already" in capsys.readouterr().err
    assert run(BACKUP, "--metric", "logs.sshd.failure") == 1
    assert "LM401 logs.sshd.failure is also written by the rule at " in capsys.readouterr().err


def test_a_new_pack_is_begun_and_the_next_rule_joins_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--pack", "backup", "--packs-dir", str(tmp_path), "--yes"]
    assert run(BACKUP, *argv) == 0
    assert run(FINISHED, "--type", "timing", "--metric", "logs.backupd.seconds", *argv) == 0
    capsys.readouterr()
    assert cli.main(["check", "--packs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 pack, 2 rules, 4 tests: all well\n"
    # The same once more is found, and not appended.
    before = (tmp_path / "backup.yml").read_text()
    assert run(BACKUP, *argv) == 1
    assert "not appended" in capsys.readouterr().err
    assert (tmp_path / "backup.yml").read_text() == before


def test_it_asks_first(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    argv = [BACKUP, "--pack", "backup", "--packs-dir", str(tmp_path)]
    assert run(*argv) == 2  # nobody is there
    assert "there is nobody to ask; add --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert run(*argv) == 0
    assert "Append it to " in capsys.readouterr().err
    assert not (tmp_path / "backup.yml").exists()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run(*argv) == 0
    assert (tmp_path / "backup.yml").exists()
    monkeypatch.setattr("sys.stdin", Terminal(BACKUP + "\n"))
    assert run("--packs-dir", str(tmp_path / "none")) == 0
    assert "Paste a line" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["no header"], "the line has no syslog header (no stamp); for a log of its own give --source"),
        (["2026-11-22 10:00:00 x"], "the line has no syslog header (no tag behind its stamp and host); for a log"),
        ([""], "the line is empty; give it as it stands in the log"),
        ([HEAD], "the line's message is empty; nothing in it could be counted"),
        ([HEAD + "a\tb"], "the line holds the control character '\\t'"),
        ([BACKUP, "--metric", "logs/x"], "--metric: 'logs/x' is no path of letters, digits, _ and -"),
        ([BACKUP, "--pack", "/no/such/dir/x.yml", "--yes"], "/no/such/dir/x.yml: cannot be written: No such file"),
    ],
)
def test_wrong_use_is_one_line(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"logmetrics new-rule: {told}")
    assert err.count("\n") == 1


def test_a_pack_that_ends_with_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.yml"
    path.write_text("rules: []\n")
    assert run(BACKUP, "--pack", str(path), "--yes") == 2
    assert "the rule cannot be appended there, paste it" in capsys.readouterr().err
    assert path.read_text() == "rules: []\n"


def test_the_walk_through_shows_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(BACKUP) == 0
    shown = re.findall(r"```yaml\n(.*?)```", DOC.read_text(), re.S)[0]
    assert capsys.readouterr().out == "".join(f"{line[3:]}\n" for line in shown.splitlines()[2:] if line.strip())
