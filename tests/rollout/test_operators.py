"""Two operators at once: the second is told who is rolling out, since when, and stops."""

from __future__ import annotations

import json
import time

from fleet import hosts

from rollout.common import ONE, TARGETS, files, play, site

LEASE = "/run/logmetrics-rollout.json"


def hold(**more: object) -> None:
    """Let somebody else hold host one."""
    now = time.time()
    lease = {"run": "other", "who": "mallory@elsewhere", "controller": "elsewhere", "pid": "1", "start": "1"}
    hosts.execute(ONE, "tee", LEASE, stdin=json.dumps({**lease, "since": now, "until": now + 600, **more}))


def test_the_second_operator_is_told_and_stops_and_a_lease_that_is_over_stops_nobody() -> None:
    before = [files(host) for host in TARGETS]
    hold()
    done = play("site", logmetrics_outage_hours=22)
    assert done.code != 0
    assert done.lines(r"one: mallory@elsewhere is rolling out here since 20\d\d-\d\d-\d\d .*; wait for its end"), (
        done.text[-2000:]
    )
    assert [files(host) for host in TARGETS] == before
    hold(until=time.time() - 1)
    site()
    assert hosts.execute(ONE, "sh", "-c", f"test -e {LEASE} && echo there || true") in ("", "there\n")


def test_changes_are_refused_in_a_freeze_window() -> None:
    before = [files(host) for host in TARGETS]
    done = play("site", logmetrics_outage_hours=22, logmetrics_freeze=["2020-01-01 .. 2099-01-01"])
    assert done.code != 0
    assert done.lines("changes are frozen now")
    assert [files(host) for host in TARGETS] == before
    site(logmetrics_freeze=["2020-01-01 .. 2099-01-01"])  # nothing to change: nothing to refuse
