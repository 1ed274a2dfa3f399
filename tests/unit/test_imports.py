"""A run that counts imports what counting needs: not the verbs that people and playbooks call, nor what those need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PARSER = Path(__file__).resolve().parents[2] / "roles" / "logmetrics" / "files"
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from logmetrics.cli import main
main(sys.argv[2:])
print(*sys.modules, file=sys.stderr)
"""
BY_HAND = {
    *("check", "compile", "logql", "newrule", "regexlint", "regextime", "rulelint", "rulespec"),
    *("explain", "nearmiss", "preview", "comparing", "masking", "backfill", "archives", "carbon"),
    *("oldlogs", "ruleinput", "replay", "status", "ship", "loki"),
}
# Each costs more than an idle run: a millisecond and more.
NEVER = {"argparse", "dataclasses", "difflib", "glob", "json", "logging", "pathlib", "socket", "subprocess", "typing"}


def modules(tmp_path: Path, text: str) -> set[str]:
    """Modules of a second run, which finds this text as new."""
    log = tmp_path / "app.log"
    log.touch()
    rules = {"format": 1, "rules": [{"metric": "logs.x", "program": ["app"], "match": "^event"}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    (tmp_path / "state").mkdir()
    settings = {
        "format": 1,
        "state_dir": str(tmp_path / "state"),
        "rules": str(tmp_path / "rules.json"),
        "sources": [{"type": "file", "path": str(log)}],
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    # -S: site's own .pth files import what they like.
    argv = [sys.executable, "-I", "-S", "-c", PROGRAM, str(PARSER), "--config", str(tmp_path / "config.json")]
    subprocess.run(argv, check=True, capture_output=True)
    log.write_text(text)
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return set(done.stderr.splitlines()[-1].split())


def test_an_idle_run_needs_no_more_than_before(tmp_path: Path) -> None:
    found = modules(tmp_path, "")
    own = {name.partition(".")[2] for name in found if name.startswith("logmetrics.")}
    assert "count" in own
    assert own & BY_HAND == set()
    assert found & (NEVER | {"re"}) == set()


def test_nor_does_a_run_with_many_lines(tmp_path: Path) -> None:
    found = modules(tmp_path, "Nov 22 10:00:00 h app[7]: event\n" * 1000)
    own = {name.partition(".")[2] for name in found if name.startswith("logmetrics.")}
    assert "count" in own
    assert own & BY_HAND == set()
    assert found & NEVER == set()
