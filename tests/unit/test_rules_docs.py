"""docs/rules.md is complete: every code, every key, and the packs' metrics as the packs have them.

Run as a program it writes the table of the packs anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from logmetrics import check, rulespec
from logmetrics.compile import DEFAULT_PACKS_DIR, read_packs
from logmetrics.rulelint import CODES

DOC = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
BEGIN = "<!-- packs: written by `python3 tests/unit/test_rules_docs.py`, do not edit by hand -->\n"
END = "<!-- end of packs -->\n"


def table() -> str:
    """The packs and their metrics as Markdown."""
    lines = []
    for pack in read_packs(rulespec.pack_names([DEFAULT_PACKS_DIR]), [DEFAULT_PACKS_DIR]):
        about = re.match(r"(?:---\n)?# (.*)", pack.text)
        assert about, f"{pack.file} does not begin with a comment that says what it is for"
        lines += [f"\n### {pack.name}\n", f"{about.group(1)}\n", "| metric | counts |", "|---|---|"]
        for rule in pack.rules:
            kind = "" if rule.type == "counter" else f" ({rule.type})"
            lines.append(f"| `{rule.metric}`{kind} | {rule.help} |")
    return "\n".join(lines).strip("\n") + "\n"


def parts() -> tuple[str, str, str]:
    before, _, rest = DOC.read_text().partition(BEGIN)
    found, _, after = rest.partition(END)
    return before, found, after


def test_every_code_is_explained_in_the_words_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (LM\d{3}) \| (.*?) \| .*\|$", DOC.read_text(), re.M))
    assert rows == {code: about.about for code, about in CODES.items()}


def test_every_key_is_explained() -> None:
    text = DOC.read_text()
    for key in rulespec.RULE_KEYS:
        assert f"| `{key}` |" in text
    for key in rulespec.TEST_KEYS:
        assert f"`{key}`" in text
    for kind in rulespec.TYPES:
        assert f"`{kind}`" in text


def test_the_walk_through_passes_check_as_printed() -> None:
    text = DOC.read_text()
    pack = "\n".join(line[3:] for line in re.findall(r"```yaml\n(.*?)```", text, re.S)[0].splitlines())
    assert yaml.safe_load(pack)["rules"][0]["metric"] == "logs.backupd.run_failed"
    assert check.check([rulespec.parse_pack(pack, "files/rules/backup.yml", "backup")]) == []
    assert check.report([rulespec.parse_pack(pack, "b", "b")], [], False).strip() in text
    # The fault it shows: the word misspelt.
    broken = check.check(
        [rulespec.parse_pack(pack.replace("failed: '", "faild: '"), "files/rules/backup.yml", "backup")]
    )
    assert str(broken[0]) in " ".join(text.split())


def test_the_packs_stand_as_they_are() -> None:
    assert parts()[1] == table(), "run python3 tests/unit/test_rules_docs.py"


if __name__ == "__main__":
    head, _, tail = parts()
    DOC.write_text(head + BEGIN + table() + END + tail)
