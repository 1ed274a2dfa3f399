"""Commit or return: what is not confirmed goes back by itself; a power cut at any moment ends in a state that works."""

from __future__ import annotations

import json
import subprocess
import time

from fleet import hosts
from fleet.fleets import Host
from fleet.podman import podman

from rollout.common import HOST_SCRIPT, ONE, ROLLOUT, files, point, processes, script, site, state, works


def another(host: Host) -> dict[str, object]:
    """Stage a release with another Loki configuration, as the role would; the wish to activate it."""
    here = f"/opt/logmetrics/releases/{state(host)['release']}"
    manifest = json.loads(hosts.execute(host, "cat", f"{here}/manifest.json"))
    contents = {}
    for item in manifest["files"]:
        contents[item["path"]] = hosts.execute(host, "cat", f"{here}/files{item['path']}")
    config = "/etc/loki/loki-config.yaml"
    contents[config] = contents[config].replace("log_level: warn", "log_level: error")
    for item in manifest["files"]:
        if item["path"] == config:
            item["sha256"] = hosts.execute(host, "sha256sum", "-", stdin=contents[config]).split()[0]
    rules = str(state(host)["rules"])
    content = hosts.execute(host, "cat", "/etc/logmetrics/rules.json")
    done = script(
        host, "stage", id="another", manifest=manifest, contents=contents, rules={"hash": rules, "content": content}
    )
    assert done.get("staged") == "another", done
    return {"release": "another", "rules": rules, "run": "test", "who": "test", "minutes": 5}


def wait_until_back(host: Host, old: tuple[str | None, str | None], seconds: float) -> None:
    """Until nothing is pending and the old point is in force."""
    deadline = time.monotonic() + seconds
    while state(host)["pending"] or point(host) != old:
        assert time.monotonic() < deadline, state(host)
        time.sleep(1)


def cut_power(host: Host) -> None:
    """End a host as a power cut does, and start it again."""
    podman("kill", "--signal", "KILL", host.container)
    hosts.close_connections(ROLLOUT)
    podman("start", host.container)
    hosts.wait_running(host)


def test_what_is_not_confirmed_goes_back_by_itself() -> None:
    old, before = point(ONE), files(ONE)
    wish = another(ONE)
    done = script(ONE, "activate", **{**wish, "minutes": 0.75})
    assert done["outcome"] == "activated", done
    assert point(ONE)[0] == "another"
    assert "logmetrics-return.timer" in hosts.execute(ONE, "systemctl", "list-timers")
    wait_until_back(ONE, old, 120)
    assert files(ONE) == before
    assert state(ONE)["last"]["outcome"] == "returned"
    assert "not confirmed within 1 minutes; went back" in hosts.execute(
        ONE, "journalctl", "-q", "-t", "logmetrics-rollout"
    )
    assert works(ONE) == ""
    late = script(ONE, "confirm", run=wish["run"], release="another", rules=wish["rules"], keep=3, budget_mb=4096)
    assert "does not run what is to be confirmed: returned: not confirmed within" in late["problem"]


def test_a_host_that_was_off_when_its_time_was_over_goes_back_at_boot() -> None:
    old, before = point(ONE), files(ONE)
    done = script(ONE, "activate", **{**another(ONE), "minutes": 0.75})
    assert done["outcome"] == "activated", done
    podman("kill", "--signal", "KILL", ONE.container)
    hosts.close_connections(ROLLOUT)
    time.sleep(30)
    podman("start", ONE.container)
    hosts.wait_running(ONE)
    wait_until_back(ONE, old, 60)
    assert files(ONE) == before
    assert works(ONE) == ""


def test_a_confirmed_release_survives_its_time_and_a_reboot() -> None:
    old = point(ONE)
    wish = another(ONE)
    assert script(ONE, "activate", **wish)["outcome"] == "activated"
    assert (
        script(ONE, "confirm", run=wish["run"], release="another", rules=wish["rules"], keep=3, budget_mb=4096)[
            "outcome"
        ]
        == "confirmed"
    )
    cut_power(ONE)
    assert point(ONE)[0] == "another" and works(ONE) == ""
    assert script(ONE, "rollback", what="release", minutes=5, run="test", who="test")["outcome"] == "confirmed"
    assert point(ONE) == old and works(ONE) == ""


def test_a_power_cut_at_any_moment_of_a_switch_ends_in_a_state_that_the_boot_or_the_next_run_repairs() -> None:
    old, before = point(ONE), files(ONE)
    for delay in (0.3, 0.8, 1.5, 3.0):
        wish = json.dumps(another(ONE))
        call = f"{' '.join(HOST_SCRIPT)} activate '{wish}'"
        hosts.execute(ONE, "systemd-run", "--quiet", "sh", "-c", call)
        time.sleep(delay)
        cut_power(ONE)
        now = state(ONE)
        # Either the boot has put the old point back, or the new one waits, proven, for its confirmation.
        assert now["pending"] is None or now["pending"]["phase"] == "unconfirmed", now
        site("--limit", "one")
        assert point(ONE) == old and state(ONE)["proven"] and state(ONE)["pending"] is None
        assert files(ONE) == before, delay
        assert works(ONE) == ""


def test_rules_alone_change_without_a_restart_and_go_back() -> None:
    old, before = point(ONE), processes(ONE)
    rules = json.loads(hosts.execute(ONE, "cat", "/etc/logmetrics/rules.json"))
    rules["rules"] = rules["rules"][1:]
    content = json.dumps(rules)
    total = subprocess.run(["sha256sum"], input=content, capture_output=True, text=True, check=True).stdout[:12]
    done = script(ONE, "rules-activate", hash=total, content=content, minutes=5, run="test", who="test")
    assert done["outcome"] == "activated" and done["changed"] == ["file /etc/logmetrics/rules.json"], done
    assert point(ONE) == (old[0], total)
    confirmed = script(ONE, "confirm", run="test", release=old[0], rules=total, keep=3, budget_mb=4096)
    assert confirmed["outcome"] == "confirmed"
    back = script(ONE, "rollback", what="rules", minutes=5, run="test", who="test")
    assert back["outcome"] == "confirmed", back
    assert point(ONE) == old and processes(ONE) == before
    bad = script(ONE, "rules-activate", hash="0" * 12, content="{}", minutes=5, run="test", who="test")
    assert "another sum" in bad["problem"] and point(ONE) == old
