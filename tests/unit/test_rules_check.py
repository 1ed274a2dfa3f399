"""`check` as a command: what it prints, in which form, and with which exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from logmetrics import cli
from logmetrics.check import main

RULE = """\
rules:
  - metric: logs.alpha.failed
    program: alpha
    match: '^Failed '
    tests:
      - line: 'Nov 22 10:00:00 h alpha[7]: Failed a'
        yields: 1
      - line: 'Nov 22 10:00:00 h alpha[7]: Done a'
        yields: 0
"""


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    (tmp_path / "alpha.yml").write_text(RULE)
    (tmp_path / "beta.yaml").write_text(RULE.replace("alpha", "beta"))
    return tmp_path


def test_all_packs_of_a_folder(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--packs-dir", str(packs)]) == 0
    assert capsys.readouterr().out == "2 packs, 2 rules, 4 tests: all well\n"


def test_one_pack_by_name_or_path(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["beta", "--packs-dir", str(packs)]) == 0
    assert main([str(packs / "beta.yaml")]) == 0
    assert capsys.readouterr().out == "1 pack, 1 rule, 2 tests: all well\n" * 2


def test_a_failing_test_is_1(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "alpha.yml"
    path.write_text(RULE.replace("yields: 0", "yields: 1"))
    assert main([str(path)]) == 1
    assert capsys.readouterr().out == (
        f"{path}:6:7: LM603 no test shows a near miss; add a similar line with yields: 0\n"
        f'{path}:8:15: LM604 logs.alpha.failed counts 0, not 1: the regex finds no beginning in "Done a"; '
        "compare it with the message, which begins after the tag\n"
        "1 pack, 1 rule, 2 tests: 2 findings\n"
    )


def test_json_has_place_code_and_words(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "alpha.yml"
    path.write_text(RULE.replace("'^Failed '", "'Failed '"))
    assert main([str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "packs": ["alpha"],
        "rules": 1,
        "tests": 2,
        "findings": [
            {
                "file": str(path),
                "line": 4,
                "column": 13,
                "code": "LM502",
                "what": "the regex is not anchored, so that text within another message can imitate the event",
                "todo": "begin it with ^ (or end it with $)",
            }
        ],
    }


def test_rules_of_an_inventory_are_checked_too(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "extra.json"
    path.write_text(json.dumps([{"metric": "logs.alpha.failed", "program": "app", "match": "^E"}]))
    assert main(["alpha", "--packs-dir", str(packs), "--extra", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in lines[:-1]] == ["LM601", "LM401"]
    assert main(["--extra", str(path)]) == 1
    assert "1 pack, 1 rule, 0 tests: 1 finding\n" in capsys.readouterr().out


def test_two_packs_against_each_other(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "beta.yaml"
    path.write_text(path.read_text().replace("logs.beta", "logs.alpha"))
    assert main([str(packs / "alpha.yml")]) == main([str(path)]) == 0
    assert main(["--packs-dir", str(packs)]) == 1
    assert f"{path}:2:13: LM401" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["no"], "logmetrics check: no: there is no such pack in {packs}; known are alpha, beta\n"),
        (["alfa"], 'logmetrics check: alfa: there is no such pack in {packs}; did you mean "alpha"?\n'),
        (["/no.yml"], "logmetrics check: /no.yml: there is no such file; give a pack's name or its path\n"),
    ],
)
def test_what_cannot_be_read_is_2(argv: list[str], told: str, packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--packs-dir", str(packs)]) == 2
    assert capsys.readouterr() == ("", told.replace("{packs}", str(packs)))


def test_an_empty_folder_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--packs-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"logmetrics check: no packs in {tmp_path}; name one, or another --packs-dir\n"


def test_it_is_a_verb_of_the_command(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "alpha", "--packs-dir", str(packs)]) == 0
    assert cli.main(["check", "--wrong"]) == 2
    assert "unrecognized arguments: --wrong" in capsys.readouterr().err
