"""Packs mutated at random never end in a traceback: each fault is a finding of one line at a place in the file."""

from __future__ import annotations

import os
import random
import re

import pytest
from logmetrics import check, rulelint, rulespec
from logmetrics.compile import DEFAULT_PACKS_DIR

ROUNDS = int(os.environ.get("LOGMETRICS_MUTANTS", "500"))
# What people type, paste and mistype, and what YAML makes something special of.
_TYPED = """
' " { } [ ] : # & * ! | > % @ ` \\ ? , ++ *+ ^ $ ) ( null ~ yes 1e5 0x1f 1_000 1:30 .inf .nan -1 = !!binary &a *a ---
... (?P<a> (?P<value> {group} {1,3} {,3} \\1 [[:alpha:]] (?i) (?= (?> \\Z \\u00e4 2026-11-22 !!python/object:x '' []
{} [a,b] 99999999999999999999
"""
SNIPPETS = [*_TYPED.split(), "\ufeff", "\u2028", "\u00e4", "\x00", "\x85"]
SNIPPETS += ["\t", " ", "\n", "\r", ": ", "- ", "- - ", "<<: ", '"\\x"', "- x", "{a: b}"]
KEYS = [*rulespec.RULE_KEYS, *rulespec.TEST_KEYS, *rulespec.PACK_KEYS, "x"]


def single_rules() -> list[str]:
    """Every rule of every pack as a pack of its own."""
    found = []
    for path in sorted(DEFAULT_PACKS_DIR.glob("*.yml")):
        text = path.read_text()
        lines = text.split("\n")
        for first, last in rulespec.parse_pack(text, "p", "p").rule_lines:
            found.append("rules:\n" + "\n".join(lines[first - 1 : last]) + "\n")
    return found


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        kind, at = rng.randrange(9), rng.randrange(len(text) + 1)
        lines = text.split("\n")
        row = rng.randrange(len(lines))
        if kind == 0:
            text = text[:at] + rng.choice(SNIPPETS) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.choice([1, 1, 2, 5, 20]) :]
        elif kind == 2:
            text = text[:at]
        elif kind == 3:
            text = text.replace(rng.choice(KEYS) + ":", rng.choice(KEYS) + ":", 1)
        elif kind == 4:
            text = text.replace(rng.choice("'\"\\()[]{}^$.:-"), rng.choice(SNIPPETS), rng.randrange(1, 3))
        else:
            if kind == 5:
                lines.pop(row)
            elif kind == 6:
                lines.insert(rng.randrange(len(lines)), lines[row])
            elif kind == 7:
                lines[row] = (
                    rng.choice(["  ", " ", "    ", "\t"]) + lines[row] if rng.random() < 0.5 else lines[row][1:]
                )
            elif ":" in lines[row]:
                lines[row] = lines[row].partition(":")[0] + ": " + rng.choice(SNIPPETS)
            text = "\n".join(lines)
    return text


def test_a_mutated_pack_gives_findings_and_never_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    # Slow lines are tried by tests of their own, in seconds each.
    monkeypatch.setattr(rulelint, "_slow", lambda attacks: iter(()))
    monkeypatch.setattr(check, "TEST_BUDGET", 0.2)
    rng = random.Random(20261124)  # noqa: S311 - mutations, no secret
    rules = single_rules()
    codes = set()
    for _ in range(ROUNDS):
        text = mutated(rng.choice(rules), rng)
        pack = rulespec.parse_pack(text, "p.yml", "p")
        for finding in check.check([pack]):
            codes.add(finding.code)
            shown = str(finding)
            assert re.match(r"p\.yml:[1-9]\d*:[1-9]\d*: LM\d{3} \S", shown), text
            assert "\n" not in shown, text
            assert finding.todo, text
            assert finding.mark.line <= text.count("\n") + 2, text
    assert len(codes) >= 15
