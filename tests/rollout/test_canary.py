"""A release that does not work stops at the canary: nobody else is touched, the canary works on what it had before."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.common import ONE, TARGETS, TWO, files, play, point, processes, site, state, works

# A configuration that every check takes, and with which Telegraf does not start: its folder is not there.
NO_FOLDER = '[[outputs.file]]\n  files = ["/nonexistent/folder/points"]\n'


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"logmetrics_loki_version": "9.0.1"}, "loki.service does not start", id="9.0.1"),
        pytest.param({"logmetrics_loki_version": "9.0.2"}, "loki.service ended again", id="9.0.2"),
        ({"logmetrics_outputs": [NO_FOLDER]}, "telegraf.service (does not start|ended again)"),
    ],
)
def test_a_broken_canary_goes_back_and_nobody_follows(settings: dict[str, Any], says: str) -> None:
    points = {host.name: point(host) for host in TARGETS}
    before = {host.name: (files(host), processes(host)) for host in TARGETS}
    done = play("site", **settings)
    assert done.code != 0
    assert done.lines(rf"one: rolled back: .*{says}"), done.text[-3000:]
    assert done.lines(r"STOPPED: 1 rolled back, 2 not touched")
    for host in TARGETS[1:]:
        assert (files(host), processes(host)) == before[host.name]
    assert {host.name: point(host) for host in TARGETS} == points
    assert files(ONE) == before["one"][0]
    assert state(ONE)["last"]["outcome"] == "rolled_back" and state(ONE)["pending"] is None
    assert works(ONE) == ""


def test_a_config_that_its_program_refuses_stops_before_anything_is_switched() -> None:
    before = [(files(host), processes(host)) for host in TARGETS]
    done = play("site", logmetrics_outputs=['[[outputs.nothing_like_this]]\n  namepass = ["x"]'])
    assert done.code != 0
    said = "/etc/telegraf/telegraf.d/logmetrics.conf is refused by /opt/logmetrics/artifacts/telegraf-1.39.3/telegraf: "
    assert done.lines(f"one, three, two: {said}loading config file .*nothing_like_this"), done.text[-2000:]
    assert [(files(host), processes(host)) for host in TARGETS] == before


def test_a_second_batch_that_fails_goes_back_and_the_canary_stays_on_the_new_release() -> None:
    """One host of two fails in the second batch: its fellow goes back too, and the canary, confirmed, stays."""
    old = {host.name: point(host) for host in TARGETS}
    bad = {"logmetrics_outage_hours": 23}
    # A folder in the way of Telegraf's buffer on host two alone.
    done = play(
        "site",
        **bad,
        logmetrics_outputs="{{ [no_folder] if inventory_hostname == 'two' else [] }}",
        no_folder=NO_FOLDER,
    )
    assert done.code != 0
    assert done.lines("two: rolled back: .*telegraf.service")
    assert point(ONE) != old["one"] and state(ONE)["pending"] is None
    assert {host.name: point(host) for host in TARGETS[1:]} == {name: old[name] for name in ("two", "three")}
    assert [works(host) for host in TARGETS] == ["", "", ""]
    site()
    assert point(ONE) == old["one"] and point(TWO) == old["two"]
