"""The role's filters: a fault is one line with what, where and what to do; a plan names exactly what differs."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest

from role.scripts import load

NAMES = load("filter_plugins/names.py")
FAULTS = load("filter_plugins/faults.py")
ADOPT = load("filter_plugins/adopt.py")
GATE = load("filter_plugins/gate.py")
ARTIFACTS = load("filter_plugins/artifacts.py")
PLAN = load("filter_plugins/plan.py").plan
RELEASE = load("filter_plugins/plan.py").release

SETTINGS: dict[str, Any] = {
    "interval": 60,
    "exec_timeout": 15,
    "loki_version": "3.7.8",
    "telegraf_version": "1.39.3",
    "loki_retention_hours": 168,
    "sources": ["auto"],
    "outputs": ["graphite"],
    "ports": {
        "logmetrics_loki_port": 3100,
        "logmetrics_loki_grpc_port": 9096,
        "logmetrics_probe_port": "9273",
        "logmetrics_graphite_port": 2003,
    },
}
SERVICE = {"there": False, "ours": False, "version": "", "command": "", "program": "", "user": "root"}
SEEN: dict[str, Any] = {
    "root": True,
    "systemd": True,
    "machine": "x86_64",
    "python": [3, 9, 2],
    "clock": 1000.5,
    "asked": 1000.0,
    "listeners": {},
    "free_mb": {"/opt": 5000},
    "trees": {"/opt/loki": {"intact": False, "archive": None}},
    "services": {"telegraf.service": SERVICE, "loki.service": SERVICE},
    "schema": "",
    "foreign": {"loki": None, "execs": []},
    "sources": {
        "resolved": ["/var/log/auth.log", "/var/log/syslog"],
        "reader": "telegraf",
        "faults": {},
        "probes": {"auth": {"/var/log/auth.log": 1}, "cron": {"/var/log/syslog": 1}},
    },
}
CONDITIONS = {
    "machines": ["x86_64", "aarch64"],
    "clock_skew_max": 20,
    "now": 1003.0,
    "space_min_mb": 1024,
    "tree": "/opt/loki",
    "ports": {"3100": {"variable": "logmetrics_loki_port", "unit": "loki.service"}},
    "telegraf": "auto",
    "adopt": False,
}


HOWTO = """
common:
  storage:
    filesystem: {chunks_directory: /tmp/loki/chunks}
schema_config:
  configs:
    - from: 2024-01-01
      store: boltdb-shipper
      object_store: filesystem
      schema: v13
      index: {prefix: index_, period: 24h}
"""
FOREIGN = {"pid": 7, "started": 11, "unit": "", "config": "/etc/loki/loki-config.yaml", "text": HOWTO}


def changed(tree: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one leaf replaced; `path` is keys joined by |."""
    result = copy.deepcopy(tree)
    *way, last = path.split("|")
    spot = result
    for key in way:
        spot = spot[key]
    spot[last] = value
    return result


def test_a_misspelt_variable_is_told_with_the_name_that_was_meant() -> None:
    assert NAMES.misspelt(["logmetrics_intervall", "logmetrics_late"], ["logmetrics_interval", "logmetrics_late"]) == [
        "logmetrics_intervall: there is no such variable; did you mean logmetrics_interval?"
    ]
    assert "see the README" in NAMES.misspelt(["logmetrics_zzz"], ["logmetrics_interval"])[0]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"a": "web1", "b": "web2"}, None),
        ({"a": "web.1", "b": ""}, "no single node"),
        ({"a": "", "b": ""}, None),
        ({"a": "web1", "b": "web1"}, "also that of b"),
        ({"a": "b_c", "b.c": ""}, "also that of b.c"),
    ],
)
def test_host_names_are_unique_nodes_of_a_graphite_path(names: dict[str, str], says: str | None) -> None:
    faults = NAMES.host_name_faults(names, "a")
    assert (faults == []) if says is None else (says in faults[0] and len(faults) == 1)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("interval", 60, None),
        ("interval", "30", None),
        ("interval", 10, "logmetrics_exec_timeout 15"),
        ("interval", 70, "logmetrics_interval 70"),
        ("interval", 5, "logmetrics_interval 5"),
        ("interval", 7200, "logmetrics_interval 7200"),
        ("interval", 0, "logmetrics_interval 0"),
        ("interval", -60, "logmetrics_interval -60"),
        ("exec_timeout", 60, "logmetrics_exec_timeout 60"),
        ("exec_timeout", 0, "logmetrics_exec_timeout 0"),
        ("loki_version", "latest", "logmetrics_loki_version 'latest' is not exact"),
        ("telegraf_version", "1.39", "logmetrics_telegraf_version '1.39' is not exact"),
        ("loki_retention_hours", 23, "below 24"),
        ("outputs", [], "the numbers go nowhere"),
        ("ports", {**SETTINGS["ports"], "logmetrics_loki_port": 99999}, "logmetrics_loki_port 99999 is no port"),
        ("ports", {**SETTINGS["ports"], "logmetrics_loki_port": 9273}, "each must be a port of its own"),
        ("ports", {**SETTINGS["ports"], "logmetrics_graphite_port": 9273}, None),
        ("sources", [], "logmetrics_sources must be"),
        ("sources", ["auto", "journal"], "logmetrics_sources must be"),
        ("sources", ["var/log/syslog"], "logmetrics_sources must be"),
        ("sources", ["/var/log/*.log", "journal"], None),
    ],
)
def test_settings_that_do_not_fit_are_told(key: str, value: Any, says: str | None) -> None:
    faults = FAULTS.setting_faults({**SETTINGS, key: value})
    assert (faults == []) if says is None else (len(faults) == 1 and says in faults[0])


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("root", False, "not root on the host"),
        ("systemd", False, "systemd is not its init"),
        ("machine", "riscv64", "architecture riscv64 is not known here (only aarch64, x86_64)"),
        ("python", [3, 7, 9], "/usr/bin/python3 is 3.7.9"),
        ("clock", 1064.2, "its clock is 61 s ahead of the controller's"),
        ("clock", 600.0, "its clock is 400 s behind the controller's"),
        ("clock", 1022.9, None),
        ("asked", 900.0, None),  # what ssh and the queue took is no skew
        (
            "listeners",
            {"3100": "nginx (pid 7)"},
            "port 3100 is in use by nginx (pid 7); stop that or set logmetrics_loki_port",
        ),
        ("listeners", {"3100": "loki.service"}, None),
        ("free_mb", {"/opt": 200}, "/opt has 200 MB free, 1024 are needed"),
        ("foreign|loki", FOREIGN, "a Loki that is not the role's is here (pid 7); set logmetrics_adopt: true"),
        ("foreign|loki", {**FOREIGN, "unit": "loki.service"}, "is here (loki.service)"),
        ("foreign|loki", {**FOREIGN, "pid": 0}, "is here (/etc/loki/loki-config.yaml)"),
        ("foreign|execs", ["/etc/telegraf/telegraf.conf"], "/etc/telegraf/telegraf.conf runs the log parser already"),
        ("sources|faults", {"/var/log/auth.log": "Permission denied"}, "Permission denied (as user telegraf)"),
        ("sources|probes|auth", {}, "lines of facility auth do not arrive in /var/log/auth.log, /var/log/syslog"),
        ("sources|probes|cron", {"/var/log/syslog": 1, "journal": 1}, "arrive in /var/log/syslog and journal"),
        ("sources|probes|cron", {"/var/log/syslog": 2}, "arrive in /var/log/syslog (2 times)"),
    ],
)
def test_what_is_in_the_way_on_a_host_is_told_in_one_line(path: str, value: Any, says: str | None) -> None:
    faults = FAULTS.host_faults(changed(SEEN, path, value), CONDITIONS)
    assert (faults == []) if says is None else (len(faults) == 1 and says in faults[0]), faults


def test_space_is_asked_for_where_something_is_to_be_installed() -> None:
    full = changed(SEEN, "free_mb", {"/opt": 200})
    assert FAULTS.host_faults(changed(full, "trees|/opt/loki|intact", True), CONDITIONS) == []


@pytest.mark.parametrize(
    ("wish", "service", "says"),
    [
        ("own", {"there": True}, "set logmetrics_telegraf: found"),
        ("own", {"there": True, "ours": True}, None),
        ("found", {}, "there is no telegraf.service"),
        ("found", {"there": True, "ours": True}, "there is no telegraf.service"),
        ("auto", {"there": True, "program": "/usr/bin/telegraf"}, "/usr/bin/telegraf does not say its version"),
        ("auto", {"there": True, "version": "1.37.2"}, "does not read /etc/telegraf/telegraf.d"),
        ("auto", {"there": True, "version": "1.37.2", "command": "-config-directory /etc/telegraf/telegraf.d"}, None),
    ],
)
def test_the_wish_for_a_telegraf_is_held_against_what_is_there(
    wish: str, service: dict[str, Any], says: str | None
) -> None:
    seen = changed(SEEN, "services|telegraf.service", {**SERVICE, **service})
    faults = FAULTS.host_faults(seen, {**CONDITIONS, "telegraf": wish})
    assert (faults == []) if says is None else (len(faults) == 1 and says in faults[0])


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"rc": 0, "stdout": "{}"}, None),
        ({"unreachable": True, "msg": "Task failed: Data could\nnot be sent"}, "unreachable: Data could not be sent;"),
        ({"rc": 1, "stdout": "", "stderr": "Traceback\nValueError: no"}, "could not look around: ValueError: no"),
        ({"rc": 127, "module_stderr": "/bin/sh: python3: not found"}, "python3: not found"),
        ({"msg": "Missing sudo password"}, "Missing sudo password"),
    ],
)
def test_a_host_that_cannot_be_looked_at_is_told(result: dict[str, Any], says: str | None) -> None:
    faults = FAULTS.result_faults(result)
    assert (faults == []) if says is None else (len(faults) == 1 and says in faults[0])


def test_a_loki_of_somebody_else_may_be_taken_over_with_its_data() -> None:
    seen = changed(changed(SEEN, "foreign|loki", FOREIGN), "listeners", {"3100": "loki (pid 7)"})
    wanted = {**CONDITIONS, "adopt": True}
    assert FAULTS.host_faults(seen, wanted) == []
    assert ADOPT.wish(SEEN, 3100) is None
    wish = ADOPT.wish(seen, 3100)
    assert wish == {
        "execs": [],
        "loki": {"pid": 7, "started": 11, "unit": "", "port": 3100, "chunks": "/tmp/loki/chunks"},  # noqa: S108 - the how-to's
    }
    assert ADOPT.lines(wish)[0].startswith("adopt: the Loki that is here is stopped")
    old, new = ADOPT.schema(FOREIGN, "2026-11-24")
    assert (old["from"], old["store"], new["from"], new["store"]) == (
        "2024-01-01",
        "boltdb-shipper",
        "2026-11-24",
        "tsdb",
    )
    tsdb = {**FOREIGN, "text": HOWTO.replace("boltdb-shipper", "tsdb")}
    assert [one["store"] for one in ADOPT.schema(tsdb, "2026-11-24")] == ["tsdb"]
    assert [one["from"] for one in ADOPT.schema({**FOREIGN, "text": ""}, "2026-11-24")] == ["2024-01-01"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no configuration that can be read"),
        (HOWTO.replace(": filesystem", ": s3"), "keeps its data in files"),
    ],
)
def test_a_loki_that_cannot_be_taken_over_is_told(text: str, says: str) -> None:
    (line,) = ADOPT.faults(changed(SEEN, "foreign|loki", {**FOREIGN, "text": text}), True)
    assert says in line


def test_the_gate_counts_failed_and_lost_hosts_and_tells_a_common_fault_once() -> None:
    assert GATE.gate({"a": [], "b": []}, []) == []
    lines = GATE.gate({"a": [], "b": ["x"], "c": None, "d": ["x", "y"]}, ["z"])
    assert lines[0] == "Nothing was changed on any host. Not ready: 3 of 4 hosts."
    assert lines[1:] == [
        "controller: z",
        "b, d: x",
        "c: was lost before it could be judged; see its error above",
        "d: y",
    ]
    many = GATE.gate({f"h{n:02}": ["x"] for n in range(14)}, [])
    assert many[1].startswith("h00, ") and many[1].endswith("h09, and 4 more: x")


def test_compile_is_silent_where_check_has_spoken() -> None:
    results = [
        {
            "rc": 1,
            "item": [{}, "check"],
            "stderr": "p.yml:3: bad\np.yml:3: bad\n1 pack, 2 rules, 3 tests: 1 finding\n",
            "stdout": "",
        },
        {"rc": 1, "item": [{}, "compile"], "stderr": "p.yml:3: worse\n", "stdout": ""},
    ]
    assert GATE.rule_faults(results) == ["p.yml:3: bad"]
    results[0]["rc"] = 0
    assert GATE.rule_faults(results) == ["p.yml:3: worse"]


@pytest.mark.parametrize(
    "text",
    ["{sum}  a.zip\n", "{sum} *a.zip\n", "{sum}  ./dist/a.zip\n", "{other}  b.zip\n{sum}  a.zip\n"],
)
def test_a_published_sum_is_found(tmp_path: Path, text: str) -> None:
    total, other = "a" * 64, "b" * 64
    (tmp_path / "SHA256SUMS").write_text(text.format(sum=total.upper(), other=other))
    assert ARTIFACTS.published_sum({"cached": str(tmp_path / "a.zip")}) == total
    assert ARTIFACTS.published_sum({"cached": str(tmp_path / "c.zip")}) == ""


def test_an_artifact_without_a_sum_is_told_with_the_reason(tmp_path: Path) -> None:
    artifact = {"url": "http://m/a.zip", "sums": "http://m/SUMS", "pin": "", "cached": str(tmp_path / "a.zip")}
    result = {"item": artifact, "msg": "Request failed", "response": "HTTP Error 404"}
    (fault,) = ARTIFACTS.sum_faults([artifact], [result])
    assert fault.startswith("no sha256 is known for http://m/a.zip: http://m/SUMS: Request failed (HTTP Error 404);")
    assert ARTIFACTS.sum_faults([{**artifact, "pin": "a" * 64}], [result]) == []


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"msg": "OK (87 bytes)"}, None),
        ({"msg": "file already exists"}, None),
        ({"skipped": True}, None),
        ({"msg": "Request failed: timed out", "state": "file"}, "Request failed: timed out"),
        ({"msg": f"The checksum for /tmp/x did not match {'0' * 64}; it was {'1' * 64}."}, f"its sha256 is {'1' * 64}"),
        ({}, "no reason given"),
    ],
)
def test_a_download_that_came_to_nothing_is_told(result: dict[str, Any], says: str | None) -> None:
    faults = ARTIFACTS.download_faults([{"item": {"url": "http://m/a"}, **result}])
    assert (faults == []) if says is None else (len(faults) == 1 and says in faults[0])


def file_seen(content: str, **other: Any) -> dict[str, Any]:
    total = hashlib.sha256(content.encode()).hexdigest()
    return {
        "kind": "file",
        "owner": "root",
        "group": "root",
        "mode": "0644",
        "sha256": total,
        "changed": 100.0,
        **other,
    }


WANTED: dict[str, Any] = {
    "download": "controller",
    "found": False,
    "users": [{"name": "loki", "groups": []}, {"name": "telegraf", "groups": ["adm"]}],
    "directories": [{"path": "/d", "owner": "root", "group": "root", "mode": "0755"}],
    "files": [{"path": "/f", "owner": "root", "group": "root", "mode": "0644", "content": "new\n", "secret": False}],
    "rules": {"path": "/r", "owner": "root", "group": "root", "mode": "0640", "content": "{}\n"},
    "versions": {"loki": "3.7.8"},
    "begin": None,
    "adopt": None,
    "proof": {"units": ["s"]},
    "links": [{"path": "/l", "target": "/t/p"}],
    "trees": [{"dest": "/t", "url": "http://m/t", "source": "/cache/t", "sha256": "abc", "members": {"x/p": "p"}}],
    "services": [{"unit": "s", "program": "/t/p", "user": "telegraf", "groups": ["adm"], "reads": ["/f"]}],
}
RUNNING = {"exe": "/t/p", "start": 200.0, "groups": ["telegraf", "adm"]}
HOST: dict[str, Any] = {
    "users": {"loki": {"groups": ["loki"]}, "telegraf": {"groups": ["telegraf", "adm"]}},
    "paths": {
        "/d": {"kind": "directory", "owner": "root", "group": "root", "mode": "0755", "changed": 1.0},
        "/f": file_seen("new\n"),
        "/l": {"kind": "link", "target": "/t/p"},
        "/r": file_seen("{}\n", mode="0640"),
    },
    "state": {
        "release": RELEASE(WANTED)["id"],
        "rules": RELEASE(WANTED)["rules"]["hash"],
        "pending": None,
        "proven": True,
    },
    "trees": {"/t": {"intact": True, "archive": "abc"}},
    "services": {"s": {"there": True, "active": True, "enabled": True, "reload": False, "process": RUNNING}},
}


UNCONFIRMED = "prove: the last change ended before it was confirmed (unconfirmed)"


def test_nothing_is_planned_where_all_is_as_wanted() -> None:
    plan = PLAN(WANTED, HOST)
    assert plan["due"] is False
    assert plan["lines"] == [] and plan["services"] == {} and plan["fetch"] == []


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        ("users|loki", None, ["users: loki"]),
        ("users|telegraf|groups", ["telegraf"], ["users: telegraf"]),
        ("paths|/d|mode", "0700", ["directories: /d"]),
        ("paths|/d|kind", "link", ["directories: /d"]),
        ("paths|/l|target", "/old", ["links: /l"]),
        ("paths|/l", {"kind": "absent"}, ["links: /l"]),
        ("paths|/f", file_seen("old\n"), ["files: /f", "restart s: /f changes"]),
        ("paths|/f", {"kind": "absent"}, ["files: /f", "restart s: /f changes"]),
        ("paths|/f|owner", "daemon", ["files: /f", "restart s: /f changes"]),
        ("paths|/f|changed", 201.0, ["restart s: /f changed after its start"]),
        ("paths|/r", file_seen("{ }\n", mode="0640"), ["files: /r"]),
        ("paths|/r|mode", "0644", ["files: /r"]),
        ("state|proven", False, ["prove: the last run ended before this host was proven to work"]),
        ("state|pending", {"phase": "unconfirmed"}, [UNCONFIRMED]),
        ("state|release", "old", [f"release: {RELEASE(WANTED)['id']} instead of old"]),
        ("state|rules", None, [f"rules: {RELEASE(WANTED)['rules']['hash']} instead of none"]),
        ("trees|/t|intact", False, ["trees: /t", "restart s: /t/p changes"]),
        ("trees|/t|archive", "other", ["trees: /t", "restart s: /t/p changes"]),
        ("services|s|active", False, ["restart s: not running"]),
        ("services|s|there", False, ["restart s: not running"]),
        ("services|s|enabled", False, ["restart s: not enabled at boot"]),
        ("services|s|reload", True, ["restart s: systemd has not read its unit file as it is now"]),
        ("services|s|process", {}, ["restart s: not running"]),
        ("services|s|process|exe", "/t/p (deleted)", ["restart s: runs /t/p (deleted)"]),
        ("services|s|process|exe", "/old/p", ["restart s: runs /old/p"]),
        ("services|s|process|groups", ["telegraf"], ["restart s: its process lacks the group adm"]),
    ],
)
def test_each_thing_altered_singly_is_planned_and_nothing_else(path: str, value: Any, lines: list[str]) -> None:
    plan = PLAN(WANTED, changed(HOST, path, value))
    assert plan["lines"] == lines
    assert plan["due"] is True


def test_what_the_controller_must_fetch_is_what_hosts_lack() -> None:
    host = changed(HOST, "trees|/t|archive", None)
    assert PLAN(WANTED, host)["fetch"] == [{"url": "http://m/t", "source": "/cache/t", "sha256": "abc"}]
    assert PLAN({**WANTED, "download": "host"}, host)["fetch"] == []


@pytest.mark.parametrize(("found", "disk", "noted"), [(True, False, True), (True, True, False), (False, False, False)])
def test_what_a_found_telegraf_lacks_is_noted_where_something_changes(found: bool, disk: bool, noted: bool) -> None:
    wanted = {**WANTED, "found": found}
    services = {**HOST["services"], "telegraf.service": {"disk": disk}}
    assert PLAN(wanted, {**HOST, "services": services})["notes"] == []
    plan = PLAN(wanted, changed({**HOST, "services": services}, "paths|/d|mode", "0700"))
    assert plan["lines"] == ["directories: /d"]
    assert [note[:30] for note in plan["notes"]] == (["note: the Telegraf found here "] if noted else [])
