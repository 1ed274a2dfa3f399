"""`compile`: packs in, deterministic rules.json out, and one line for each way to use it wrongly."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from logmetrics import cli, rules
from logmetrics.compile import DEFAULT_PACKS_DIR, main

GOOD = """\
rules:
  - metric: logs.{name}.failed
    help: Failed things.
    program: {name}
    match: '^Failed '
    tests:
      - line: 'Nov 22 10:00:00 h {name}[7]: Failed a'
        yields: 1
"""


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    folder = tmp_path / "packs"
    folder.mkdir()
    for name in ("alpha", "beta"):
        (folder / f"{name}.yml").write_text(GOOD.replace("{name}", name))
    return folder


def test_the_document_is_the_contract(packs: Path, tmp_path: Path) -> None:
    out = tmp_path / "rules.json"
    assert main(["alpha", "--packs-dir", str(packs), "-o", str(out)]) == 0
    doc = json.loads(out.read_bytes())
    assert doc["format"] == 1
    assert doc["rules"] == [
        {
            "metric": "logs.alpha.failed",
            "type": "counter",
            "program": ["alpha"],
            "source": None,
            "match": "^Failed ",
            "max_series": None,
            "only": None,
            "pack": "alpha",
            "help": "Failed things.",
        }
    ]
    canonical = json.dumps(doc["rules"], sort_keys=True, separators=(",", ":")).encode()
    assert doc["hash"] == hashlib.sha256(canonical).hexdigest()


def test_the_host_reads_it(packs: Path, tmp_path: Path) -> None:
    out = tmp_path / "rules.json"
    assert main(["alpha", "beta", "--packs-dir", str(packs), "-o", str(out)]) == 0
    read = rules.RuleSet.from_bytes(out.read_bytes(), "rules.json")
    assert {"logs.alpha.failed", "logs.beta.failed"} < {rule.metric for rule in read.rules}
    assert read.digest == json.loads(out.read_bytes())["hash"]


def test_order_and_repetition_of_packs_change_nothing(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = set()
    for names in (["alpha", "beta"], ["beta", "alpha"], ["alpha", "beta", "alpha", str(packs / "beta.yml")]):
        assert main([*names, "--packs-dir", str(packs)]) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1


def test_a_changed_rule_changes_the_hash(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alpha", "--packs-dir", str(packs)]) == 0
    before = json.loads(capsys.readouterr().out)["hash"]
    path = packs / "alpha.yml"
    path.write_text(path.read_text() + "      # a comment changes nothing\n")
    assert main(["alpha", "--packs-dir", str(packs)]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == before
    path.write_text(path.read_text().replace("'^Failed '", "'^Failed'"))
    assert main(["alpha", "--packs-dir", str(packs)]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] != before


def test_the_first_folder_that_has_a_pack_wins(packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "alpha.yml").write_text(GOOD.replace("{name}", "own"))
    assert main(["alpha", "beta", "--packs-dir", str(own), "--packs-dir", str(packs)]) == 0
    metrics = [rule["metric"] for rule in json.loads(capsys.readouterr().out)["rules"]]
    assert metrics == ["logs.beta.failed", "logs.own.failed"]


@pytest.mark.parametrize("bare", [True, False])
def test_extra_rules_come_from_an_inventory_as_list_or_pack(
    bare: bool, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = [{"metric": "logs.app.error", "program": "app", "match": "^ERROR "}]
    path = tmp_path / "extra.json"
    path.write_text(json.dumps(extra if bare else {"rules": extra}))
    assert main(["alpha", "--packs-dir", str(packs), "--extra", str(path)]) == 0
    found = {rule["metric"]: rule for rule in json.loads(capsys.readouterr().out)["rules"]}
    assert found["logs.app.error"]["pack"] == "extra"
    assert found["logs.app.error"]["program"] == ["app"]


def test_an_empty_list_of_extra_rules_is_none(packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "extra.yml"
    path.write_text("[]\n")
    assert main(["alpha", "--packs-dir", str(packs), "--extra", str(path)]) == 0
    assert len(json.loads(capsys.readouterr().out)["rules"]) == 1


def test_an_unknown_pack_stops_with_a_proposal(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alpa", "--packs-dir", str(packs)]) == 2
    assert capsys.readouterr().err == (
        f'logmetrics compile: alpa: there is no such pack in {packs}; did you mean "alpha"?\n'
    )


def test_a_missing_file_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.yml"
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == (
        f"logmetrics compile: {path}: there is no such file; give a pack's name or its path\n"
    )


def test_a_file_that_is_no_text_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latin.yml"
    path.write_bytes(b"rules:\n  - help: \xe4\n")
    assert main([str(path)]) == 2
    assert capsys.readouterr().err == f"logmetrics compile: {path}: byte 17 is not UTF-8; save the pack as UTF-8\n"


def test_a_folder_as_pack_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{tmp_path}/"]) == 2
    assert capsys.readouterr().err == (
        f"logmetrics compile: {tmp_path}: cannot be read: Is a directory; check its path and mode\n"
    )


def test_an_output_that_cannot_be_written_stops(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alpha", "--packs-dir", str(packs), "-o", f"{packs}/no/rules.json"]) == 2
    assert capsys.readouterr().err == (
        f"logmetrics compile: {packs}/no/rules.json: cannot be written: No such file or directory; check the path\n"
    )


@pytest.mark.parametrize("argv", [[], ["--wrong"]])
def test_wrong_use_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err


def test_nothing_is_written_where_a_rule_could_not_work(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "alpha.yml"
    out = packs / "rules.json"
    out.write_text("before")
    path.write_text(path.read_text().replace("'^Failed '", "'^Failed ('"))
    assert main(["alpha", "--packs-dir", str(packs), "-o", str(out)]) == 1
    assert capsys.readouterr().err == (
        f"{path}:5:21: LM201 the regex cannot be compiled: missing ), unterminated subpattern; "
        "close the group with ), or write \\( for a bracket in the text\n"
    )
    assert out.read_text() == "before"
    assert sorted(file.name for file in packs.iterdir()) == ["alpha.yml", "beta.yml", "rules.json"]


def test_two_types_in_one_series_are_refused(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "beta.yml"
    path.write_text(
        path.read_text().replace("logs.beta", "logs.alpha").replace("'^Failed '", "'^F(?P<value>[0-9])'\n    type: sum")
    )
    assert main(["alpha", "beta", "--packs-dir", str(packs)]) == 1
    assert capsys.readouterr().err == (
        f"{path}:2:13: LM404 logs.alpha.failed is also written by the rule at {packs}/alpha.yml:2:13, "
        "and a counter and a sum cannot be one series; give it another path\n"
    )


def test_what_is_unwise_does_not_stop_it(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "alpha.yml"
    path.write_text(path.read_text().replace("'^Failed '", "'Failed '"))
    assert main(["alpha", "--packs-dir", str(packs)]) == 0
    assert capsys.readouterr().err == ""


def test_it_is_a_verb_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "cron", "--packs-dir", str(DEFAULT_PACKS_DIR)]) == 0
    assert '"logs.cron.job"' in capsys.readouterr().out


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--packs-dir" in capsys.readouterr().out


def test_logql_is_one_query_a_series(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alpha", "--packs-dir", str(packs), "--logql"]) == 0
    header = (
        r"(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+) "
        r"[^ ]+ [^\[: ]+(?:\[[^\] ]*\]:?|:) ?"
    )
    assert json.loads(capsys.readouterr().out) == {
        "logs.alpha.failed": 'sum(count_over_time({job="logmetrics"} |= `Failed ` | program=~`alpha` '
        rf"| regexp `(?s)^{header}(?P<message>.*)$` | line_format `{{{{.message}}}}` |~ `^Failed ` [1m]))"
    }


def test_logql_for_grafana_names_host_and_interval(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alpha", "--packs-dir", str(packs), "--logql", "--host", "$host", "--window", "30s"]) == 0
    (query,) = json.loads(capsys.readouterr().out).values()
    assert query.startswith('sum(count_over_time({job="logmetrics", host="$host"} ')
    assert query.endswith(" [30s]))")


def test_rules_of_one_series_are_added_up_in_logql(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "beta.yml"
    path.write_text(path.read_text().replace("logs.beta", "logs.alpha"))
    assert main(["alpha", "beta", "--packs-dir", str(packs), "--logql"]) == 0
    (query,) = json.loads(capsys.readouterr().out).values()
    first, second = query.split(" + ")
    assert "program=~`alpha`" in first
    assert "program=~`beta`" in second
    assert first.endswith(" or vector(0))")


def test_a_timing_has_a_query_for_each_part(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packs / "alpha.yml"
    path.write_text(path.read_text().replace("'^Failed '", "'^took (?P<value>[0-9.]+) '\n    type: timing"))
    assert main(["alpha", "--packs-dir", str(packs), "--logql"]) == 0
    queries = json.loads(capsys.readouterr().out)
    assert sorted(queries) == [
        f"logs.alpha.failed.{part}" for part in ("count", "max", "mean", "min", "p50", "p95", "p99")
    ]
    assert "unwrap" not in queries["logs.alpha.failed.count"]
    assert queries["logs.alpha.failed.p95"].startswith("quantile_over_time(0.95, {")
