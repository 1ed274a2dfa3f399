"""playbooks/rules.yml as it plays: who is called for what, where a canary is well and where it is not.

The plays are the real ones; a host's part is a program on this machine that notes each call and answers as a host would
(`make proof-rules` does the same on real hosts).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from role.scripts import TOP

HOST = """\
#!/usr/bin/env python3
import json, sys
from pathlib import Path
here, name, verb = Path(__file__).parent, sys.argv[1], sys.argv[2]
with (here / "calls").open("a") as file:
    file.write(f"{name} {verb}\\n")
wish = json.loads(sys.argv[3] if len(sys.argv) > 3 else sys.stdin.read())
point = lambda rules: {"release": "r1", "rules": rules}
answers = {
    "health": lambda: {"health": {"release": "r1", "rules": "old", "pending": None, "last": None, "lease": None,
                                  "drift": [], "units": {}, "versions": {}, "parser": None, "faults": []}},
    "rules-activate": lambda: {"outcome": "activated", "problem": "", "journal": "", "changed": ["file rules.json"],
                               "from": point("old"), "to": point(wish["hash"])},
    "rules-soak": lambda: json.loads((here / "soak").read_text()),
    "rules-preview": lambda: {"outcome": "failed", "problem": "preview took too long", "journal": "", "changed": []},
    "confirm": lambda: {"outcome": "confirmed", "problem": "", "pruned": []},
    "rollback": lambda: {"outcome": "confirmed", "problem": "", "journal": "", "changed": [],
                         "from": point("new"), "to": point("old")} if wish["what"] == "rules" else
                        {"outcome": "failed", "problem": "no earlier release", "journal": "", "changed": []},
}
print(json.dumps(answers[verb]()))
"""
WELL = {"problem": "", "findings": [], "at": 1.0}
FINDING = {"kind": "timeout", "metric": "logs.evil", "line": "event 0", "text": "rule logs.evil ran out of its budget"}
NOT_WELL = {"problem": FINDING["text"], "findings": [FINDING], "at": 1_800_000_000.0}


def run(folder: Path, playbook: str, soak: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    """A playbook on three hosts, each of them the script above; the first is the canary."""
    (folder / "host").write_text(HOST)
    (folder / "host").chmod(0o755)
    (folder / "soak").write_text(json.dumps(soak))
    settings = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "logmetrics_graphite_host": "127.0.0.1",
        "logmetrics_batches": [1, "100%"],
        "logmetrics_cache_dir": str(folder / "cache"),
    }
    hosts = {"logmetrics": {"hosts": dict.fromkeys(("a", "b", "c")), "vars": settings}}
    (folder / "hosts.json").write_text(json.dumps(hosts))
    extra = {
        "__logmetrics_host_installed": [str(folder / "host"), "{{ inventory_hostname }}"],
        "ansible_become": False,
    }
    line = ["ansible-playbook", "-i", str(folder / "hosts.json"), f"playbooks/{playbook}.yml", "-e", json.dumps(extra)]
    return subprocess.run(
        [*line, *words],
        check=False,
        cwd=TOP,
        env=dict(os.environ, ANSIBLE_CONFIG=str(TOP / "ansible.cfg"), LOGMETRICS_REPORTS=str(folder / "reports")),
        capture_output=True,
        text=True,
    )


def play(folder: Path, soak: dict[str, Any], *words: str) -> tuple[int, list[str], dict[str, Any], str]:
    """(exit code, calls in order, the report, output) of a change of rules."""
    done = run(folder, "rules", soak, *words)
    (report,) = (folder / "reports").glob("*/report.json")
    calls = (folder / "calls").read_text().splitlines()
    return done.returncode, calls, json.loads(report.read_text()), done.stdout + done.stderr


@pytest.fixture(scope="module")
def sent_back(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return play(tmp_path_factory.mktemp("back"), NOT_WELL)


def test_a_canary_that_is_not_well_is_sent_back_and_nobody_else_is_touched(sent_back: Any) -> None:
    code, calls, report, output = sent_back
    assert code != 0
    assert [call for call in calls if not call.endswith(" health")] == [
        "a rules-activate",
        "a rules-soak",
        "a rollback",
    ], output
    assert {name: one["state"] for name, one in report["hosts"].items()} == {
        "a": "rolled_back",
        "b": "untouched",
        "c": "untouched",
    }


def test_the_report_names_rule_and_line(sent_back: Any) -> None:
    one = sent_back[2]["hosts"]["a"]
    assert (one["problem"], one["findings"], one["found"]) == (FINDING["text"], [FINDING], NOT_WELL["at"])


def test_a_good_change_takes_three_calls_a_host_and_the_canarys_watch(tmp_path: Path) -> None:
    code, calls, report, output = play(tmp_path, WELL)
    assert code == 0, output
    by_host = {name: [call.split()[1] for call in calls if call.split()[0] == name] for name in "abc"}
    assert by_host == {
        "a": ["health", "rules-activate", "rules-soak", "confirm"],
        "b": ["health", "rules-activate", "confirm"],
        "c": ["health", "rules-activate", "confirm"],
    }
    assert report["counts"]["changed"] == 3


def test_hosts_that_could_not_preview_are_told_and_the_exit_code_is_not_0(tmp_path: Path) -> None:
    code, calls, report, output = play(tmp_path, WELL, "--check", "--diff")
    assert code != 0, output
    assert {call.split()[1] for call in calls} == {"health", "rules-preview"}
    assert {one["problem"] for one in report["hosts"].values()} == {"preview took too long"}
    assert "a: preview took too long" in output


@pytest.mark.parametrize(("what", "changed", "failed"), [("rules", 1, 0), ("release", 0, 1)])
def test_a_host_that_had_nothing_to_go_back_to_does_not_count_as_changed(
    tmp_path: Path, what: str, changed: int, failed: int
) -> None:
    done = run(tmp_path, "rollback", WELL, "-e", f"what={what}")
    found = re.findall(r"changed=(\d+) .*failed=(\d+)", done.stdout)
    assert found == [(str(changed), str(failed))] * 3, done.stdout + done.stderr
