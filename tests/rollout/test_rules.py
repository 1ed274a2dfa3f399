"""playbooks/rules.yml on real hosts, from the look to the way back. At length: `make proof-rules`."""

from __future__ import annotations

from rollout.common import TARGETS, Run, play, point, processes, state

RULE = {
    "metric": "logs.sshd.closed",
    "help": "Connections that ended.",
    "program": ["sshd", "sshd-session"],
    "match": "^Connection closed by ",
    "tests": [
        {"line": "Nov 22 10:00:00 h sshd[7]: Connection closed by 192.0.2.1 port 22", "yields": 1},
        {"line": "Nov 22 10:00:00 h sshd[7]: Connection from 192.0.2.1 port 22", "yields": 0},
    ],
}


def rules(*arguments: str) -> Run:
    """rules.yml with one rule more; an AssertionError with its output's end where it fails."""
    done = play("rules", *arguments, logmetrics_rules_extra=[RULE])
    assert done.code == 0, done.text[-6000:]
    return done


def test_rules_yml_looks_changes_the_rules_alone_finds_nothing_more_to_do_and_goes_back() -> None:
    old = {host.name: point(host) for host in TARGETS}
    before = {host.name: processes(host) for host in TARGETS}
    looked = rules("--check", "--diff")
    assert "logs.sshd.closed" in looked.text
    assert {host.name: point(host) for host in TARGETS} == old
    rules()
    new = {host.name: point(host) for host in TARGETS}
    assert all(new[name][0] == old[name][0] and new[name][1] != old[name][1] for name in old)
    assert not any(state(host)["pending"] for host in TARGETS)
    again = rules()
    assert "changed=0" in again.text and not again.lines(r"changed=[1-9]")
    back = play("rollback", what="rules")
    assert back.code == 0, back.text[-6000:]
    assert {host.name: point(host) for host in TARGETS} == old
    assert {host.name: processes(host) for host in TARGETS} == before
