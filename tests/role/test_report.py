"""The report of a run: written by Ansible's real events, whatever end the run comes to; secrets are not in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from fleet import processes
from logmetrics_report import model, page, secrets, summary

from role.scripts import TOP

HERE = Path(__file__).with_name("report")
SECRET = "0dd0c0de-7e57-4b1d-9a3f-5ec2e7c0ffee"  # noqa: S105 - a test's own, also in report/inventory.yml


def command(folder: Path, *words: str, **settings: object) -> tuple[list[str], dict[str, str]]:
    """ansible-playbook on the small rollout, and its environment."""
    line = ["ansible-playbook", "-i", str(HERE / "inventory.yml"), str(HERE / "rollout.yml"), *words]
    environment = dict(
        os.environ,
        ANSIBLE_CONFIG=str(TOP / "ansible.cfg"),
        ANSIBLE_CALLBACK_PLUGINS=str(TOP / "playbooks" / "callback_plugins"),
        ANSIBLE_FORCE_COLOR="0",
        LOGMETRICS_REPORTS=str(folder),
    )
    return [*line, "-e", json.dumps(settings)], environment


def run(folder: Path, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """A whole run."""
    line, environment = command(folder, *words, **settings)
    return subprocess.run(line, check=False, env=environment, cwd=TOP, capture_output=True, text=True)


def report(folder: Path) -> dict[str, Any]:
    """The one report in a folder."""
    (path,) = folder.glob("*/report.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {name: host["state"] for name, host in found["hosts"].items()}


def test_a_rollout_that_stops_says_where_why_and_who_was_not_touched(tmp_path: Path) -> None:
    done = run(tmp_path, "-vvv")
    found = report(tmp_path)
    assert states(found) == {"web2": "rolled_back", "web1": "changed", "web3": "changed", "web4": "unchanged"}
    assert (found["ok"], found["state"], found["batches"]) == (False, "finished", 2)
    web2 = found["hosts"]["web2"]
    assert web2["problem"] == "telegraf.service does not start: its state is failed"
    assert web2["journal"].splitlines() == ["<script>alert(1)</script>", "E! cannot send to ********.telegraf"]
    assert web2["from"]["release"], web2["to"]["release"] == ("old1", "new2")
    assert (web2["batch"], found["hosts"]["web1"]["batch"]) == (2, 1)
    assert web2["changes"] == ["file /etc/x", "restart telegraf.service: /etc/x changes"]
    last = done.stdout.strip().splitlines()[-3:]
    assert last[0].startswith("FAILED: rollout.yml, 4 hosts: 1 went back, 2 changed, 1 as wanted, in ")
    assert last[1] == "  web2: telegraf.service does not start: its state is failed"
    (html,) = tmp_path.glob("*/report.html")
    assert last[2] == f"  report: {html}"
    for path in html.parent.iterdir():
        assert SECRET not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0
    assert "<script>alert(1)</script>" not in html.read_text()


def test_what_was_to_change_and_was_not_reached_is_told_apart_from_what_is_as_it_should_be(tmp_path: Path) -> None:
    run(tmp_path, broken="web1")
    assert states(report(tmp_path)) == {
        "web1": "rolled_back",
        "web2": "untouched",
        "web3": "untouched",
        "web4": "unchanged",
    }


def test_a_good_run_is_told_as_one(tmp_path: Path) -> None:
    done = run(tmp_path, broken="none")
    found = report(tmp_path)
    assert found["ok"]
    assert "ok: rollout.yml, 4 hosts: 4 changed, in" in done.stdout


def test_check_mode_says_what_would_change(tmp_path: Path) -> None:
    run(tmp_path, "--check", "-e", "seconds=0", broken="none")
    found = report(tmp_path)
    assert found["check"]
    assert states(found)["web1"] in ("would_change", "not_ready")


def test_an_unreachable_host_is_in_it(tmp_path: Path) -> None:
    run(tmp_path, ansible_connection="ssh", ansible_port=1, ansible_host="127.0.0.1", broken="none")
    found = report(tmp_path)
    assert not found["ok"]
    assert states(found)["web1"] == "unreachable"
    assert "Connection refused" in found["hosts"]["web1"]["problem"]


@pytest.mark.parametrize(("by", "state"), [(signal.SIGINT, "interrupted"), (signal.SIGKILL, "running")])
def test_a_run_that_is_cut_off_leaves_what_was_known(tmp_path: Path, by: signal.Signals, state: str) -> None:
    line, environment = command(tmp_path, broken="none", seconds=60)
    running = subprocess.Popen(
        line, env=environment, cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60
        while not any(host["to"] for host in written(tmp_path).get("hosts", {}).values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        workers = processes.family(running.pid)[1:]
        running.send_signal(by)
        running.wait(60)
        for worker in workers:
            processes.kill(worker)
    finally:
        if running.poll() is None:
            processes.kill(running.pid)
    found = report(tmp_path)
    assert found["state"] == state
    assert not found["ok"]
    assert states(found)["web1"] == "changed"
    assert summary.verdict(found) == {"interrupted": "CUT OFF", "running": "NOT ENDED"}[state]


@pytest.mark.parametrize("check", [True, False])
def test_where_the_controller_is_not_ready_no_host_is_said_to_be_as_wanted(check: bool) -> None:
    host = model.Host()
    assert host.state(check, running=False, refused=True) == "untouched"
    host.planned = True
    assert host.state(check, running=False, refused=True) == "unchanged"
    host.due = True
    assert host.state(check, running=False, refused=True) == "untouched"


def written(folder: Path) -> dict[str, Any]:
    """The report so far; empty before its first version."""
    return report(folder) if list(folder.glob("*/report.json")) else {}


def test_old_reports_go(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"2020010{number}").mkdir()
        (tmp_path / f"2020010{number}" / "report.json").write_text("{}")
    (tmp_path / "somebody-elses").mkdir()
    line, environment = command(tmp_path, "--tags", "none")
    subprocess.run(line, check=True, env=dict(environment, LOGMETRICS_REPORTS_KEEP="3"), cwd=TOP, capture_output=True)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept[:2] == ["20200103", "20200104"]
    assert len(kept) == 4
    assert "somebody-elses" in kept


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    done = run(tmp_path / "file", broken="none")
    assert done.returncode == 0
    assert "no report can be written" in done.stdout + done.stderr


def test_the_gates_lines_stand_in_it_and_its_hosts_are_not_ready() -> None:
    made = model.Report("site.yml", check=False)
    made.batch("Look", ["a", "b"])
    made.ended("a", "1", {"ansible_facts": {"__logmetrics_faults": ["port 3100 is in use"]}})
    made.ended("b", "1", {"ansible_facts": {"__logmetrics_plan": {"due": True, "lines": ["files: /etc/x"]}}})
    made.stopped(["Nothing was changed on any host. Not ready: 1 of 2 hosts.", "a: port 3100 is in use"])
    made.finish(model.FINISHED)
    found = made.document()
    assert states(found) == {"a": "not_ready", "b": "untouched"}
    assert "Nothing was changed" in page.html(found)


def test_what_the_gates_and_the_confirmation_say_is_what_counts() -> None:
    """As tasks/batch.yml goes: the verb's own answer, then the fact that the gate and the confirmation leave."""
    made = model.Report("site.yml", check=False)
    made.batch("Activate", ["a", "b", "c", "d", "e"], serial=True)
    went = {"outcome": "activated", "from": {"release": "r1"}, "to": {"release": "r2"}, "changed": ["file /x"]}
    for name, fact in (
        ("a", {**went, "outcome": "confirmed"}),
        ("b", {**went, "outcome": "rolled_back", "problem": "it worked, but the rollout was stopped"}),
        ("c", {"outcome": "staged", "problem": ""}),
        ("d", {"outcome": "unreachable", "problem": "unreachable while it was to confirm"}),
        ("e", {**went, "outcome": "not well", "problem": "9 rules ran out of their time budget"}),
    ):
        if name != "c":
            made.ended(name, "1", {"stdout": json.dumps(went), "changed": True})
        made.ended(name, "2", {"stdout": json.dumps({"outcome": "confirmed", "problem": "", "pruned": []})})
        made.ended(name, "3", {"ansible_facts": {"__logmetrics_outcome": fact}})
    made.ended("localhost", "4", {"ansible_facts": {"__logmetrics_report_notes": [{"title": "t", "rows": []}]}})
    made.finish(model.FINISHED)
    found = made.document()
    assert states(found) == {
        "e": "failed",
        "b": "rolled_back",
        "d": "unreachable",
        "c": "untouched",
        "a": "changed",
    }
    assert found["hosts"]["a"]["changes"] == ["file /x"]
    assert found["hosts"]["a"]["to"] == {"release": "r2", "rules": ""}
    assert found["notes"] == [{"title": "t", "rows": []}]
    assert {host["batch"] for host in found["hosts"].values()} == {1}


def test_an_old_release_that_does_not_work_either_is_a_failure_and_told() -> None:
    made = model.Report("site.yml", check=False)
    made.batch("Activate", ["a"])
    answer = {"outcome": "failed", "problem": "no point came out", "old": "Loki is not ready", "from": {}, "to": {}}
    made.ended("a", "1", {"stdout": json.dumps(answer)})
    made.finish(model.FINISHED)
    found = made.document()
    assert states(found) == {"a": "failed"}
    assert "What it had before does not work either: Loki is not ready" in page.html(found)


@pytest.mark.parametrize(
    ("variables", "text", "clean"),
    [
        ({"logmetrics_hosted_graphite_key": "abcd-1"}, "send to abcd-1.telegraf", "send to ********.telegraf"),
        ({"ansible_become_password": "opensesame"}, "sudo: opensesame", "sudo: ********"),
        ({"logmetrics_outputs": ['[[outputs.influxdb_v2]]\n token = "t0k3n"']}, "401 for t0k3n", "401 for ********"),
        ({}, "http://me:hunter2@store/x failed", "http://me:********@store/x failed"),
        ({"logmetrics_host": "web1"}, "web1 went back", "web1 went back"),
    ],
)
def test_secrets_are_blacked_out(variables: dict[str, Any], text: str, clean: str) -> None:
    assert secrets.black_out(text, secrets.secrets_in(variables)) == clean
