"""The packs of files/rules: they carry the metrics that dashboards are built on, and pass their own tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from logmetrics import check, rulelint
from logmetrics import compile as compiler
from logmetrics.compile import DEFAULT_PACKS_DIR, read_packs
from logmetrics.rulespec import Pack, pack_names

NAMES = pack_names([DEFAULT_PACKS_DIR])


def load(name: str) -> Pack:
    return read_packs([name], [DEFAULT_PACKS_DIR])[0]


def test_there_are_packs() -> None:
    assert {"sshd", "sudo", "cron"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_pack_has_no_findings_and_its_tests_pass(name: str) -> None:
    assert [str(finding) for finding in check.check([load(name)])] == []


def test_all_packs_together_have_no_findings() -> None:
    assert [str(finding) for finding in check.check(read_packs(NAMES, [DEFAULT_PACKS_DIR]))] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_has_help_a_positive_and_a_negative(name: str) -> None:
    for rule in load(name).rules:
        assert rule.help.endswith("."), rule.metric
        assert any(test.yields for test in rule.tests), rule.metric
        assert any(not test.yields for test in rule.tests), rule.metric


@pytest.mark.parametrize("name", NAMES)
def test_every_test_can_fail(name: str) -> None:
    """A rule whose regex is turned off fails each positive test, one that takes everything fails each negative test."""
    for rule in load(name).rules:
        never = rule.__class__(**{**rule.__dict__, "match": r"^\x00never"})
        failed = {finding.mark for finding in check.run_tests(never)}
        assert failed == {test.mark for test in rule.tests if test.yields}, rule.metric
        if rule.type == "counter" and not rule.groups:
            always = rule.__class__(**{**rule.__dict__, "match": "", "program": None})
            failed = {finding.mark for finding in check.run_tests(always)}
            assert failed >= {test.mark for test in rule.tests if not test.yields}, rule.metric


@pytest.mark.parametrize(
    ("pack", "metric"),
    [
        ("sshd", "logs.sshd.success"),
        ("sshd", "logs.sshd.failure"),
        ("sudo", "logs.sudo.command"),
        ("cron", "logs.cron.job"),
    ],
)
def test_the_metrics_of_the_how_to_are_there(pack: str, metric: str) -> None:
    rule = next(rule for rule in load(pack).rules if rule.metric == metric)
    assert rule.type == "counter"
    assert rule.program is not None


def test_default_packs_compile_to_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert compiler.main(["sshd", "sudo", "cron", "-o", str(one)]) == 0
    assert compiler.main(["cron", "sshd", "sudo", "sshd", "-o", str(two)]) == 0
    assert one.read_bytes() == two.read_bytes()
    doc = json.loads(one.read_bytes())
    assert doc["hash"] == __import__("hashlib").sha256(compiler.canonical(doc["rules"])).hexdigest()
    assert one.stat().st_mode & 0o777 == 0o644


def test_no_pack_needs_a_silenced_finding_without_reason() -> None:
    for name in NAMES:
        for ignore in load(name).ignores:
            assert len(ignore.reason) > 10, ignore
            assert not any(rulelint.CODES[code].fatal for code in ignore.codes)
