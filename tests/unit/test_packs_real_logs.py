"""Every default metric on the two real logs equals the number derived from the events that people gave to each line.

The logs are Loghub's (see their README for source and licence); they are no part of the repository. They are found by
LOGMETRICS_SHARED_LOGS, or in ../shared/logs beside it.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from logmetrics.compile import DEFAULT_PACKS_DIR, read_packs
from logmetrics.compile import main as compile_packs
from logmetrics.rulespec import pack_names

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "roles/logmetrics/files/parse_loki_metrics.py"
PACKS = ("sshd", "sudo", "cron")
ALL_PACKS = tuple(pack_names([DEFAULT_PACKS_DIR]))
DAY = 86400


def folder() -> Path:
    named = os.environ.get("LOGMETRICS_SHARED_LOGS")
    path = Path(named) if named else REPOSITORY.parent / "shared" / "logs"
    if not (path / "OpenSSH_2k.log").is_file():
        pytest.fail(
            f"the real logs are not in {path}: set LOGMETRICS_SHARED_LOGS to the folder that holds OpenSSH_2k.log"
        )
    return path


def of_late(data: bytes) -> bytes:
    """The log with its days moved, in their order, to the last days: a stamp without a year means the nearest."""
    days = list(dict.fromkeys(line[:6] for line in data.splitlines()))
    today = datetime.now()
    moved = {}
    for back, day in enumerate(reversed(days), 1):
        then = today - timedelta(days=back)
        moved[day] = f"{then:%b} {then.day:2d}".encode()
    return b"".join(moved[line[:6]] + line[6:] + b"\n" for line in data.splitlines())


def counted(log: str, tmp_path: Path, packs: tuple[str, ...] = PACKS, interval: int = 60) -> dict[str, int]:
    """What the host's program prints for a log, summed over its intervals, by metric."""
    source = tmp_path / "auth.log"
    source.write_bytes(of_late((folder() / log).read_bytes()))
    assert compile_packs([*packs, "-o", str(tmp_path / "rules.json")]) == 0
    state = tmp_path / "state"
    state.mkdir()
    config = {
        "format": 1,
        "host": "test",
        "interval": interval,
        "start": "beginning",
        "run_budget": 60.0,
        "rule_budget": 5.0,
        "state_dir": str(state),
        "rules": str(tmp_path / "rules.json"),
        "sources": [{"type": "file", "path": str(source)}],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    points: dict[tuple[str, str], int] = {}
    lines = 0
    for _ in range(2):  # the second run prints what the first may have had to leave open
        command = [sys.executable, "-IS", str(PROGRAM), "count", "--config", str(tmp_path / "config.json")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stderr == ""
        for point in done.stdout.splitlines():
            name, value, at = point.split(" ")
            points[name, at] = int(float(value))
            lines = max(lines, int(value) if name == "logs.parser.lines" else 0)
    assert lines == len(source.read_bytes().splitlines())
    assert not any(times for (name, _), times in points.items() if name == "logs.script_error")
    total: dict[str, int] = {}
    for (name, _), times in points.items():
        if not name.startswith(("logs.parser.", "logs.script_error")):
            total[name] = total.get(name, 0) + times
    return total


def events(log: str) -> list[dict[str, str]]:
    """The rows of the log's table: EventId and EventTemplate are what people assigned, Content is the message."""
    with (folder() / f"{log}_structured.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def truth(rows: list[dict[str, str]], wanted: Callable[[str], bool]) -> int:
    """How many events have a template of this kind; "message repeated N times" stands for N."""
    total = 0
    for row in rows:
        repeated = re.fullmatch(r"message repeated <\*> times: \[ (.*)\]", row["EventTemplate"])
        times = int(row["Content"].split()[2]) if repeated else 1
        template = repeated.group(1) if repeated else row["EventTemplate"]
        total += times if wanted(template) else 0
    return total


def test_openssh_counts_equal_the_labels(tmp_path: Path) -> None:
    rows = events("OpenSSH_2k.log")

    def starting(*starts: str) -> int:
        return truth(rows, lambda template: template.startswith(starts))

    derived = {
        # E1
        "logs.sshd.success": starting("Accepted "),
        "logs.sshd.accepted.password": starting("Accepted password "),
        "logs.sshd.accepted.publickey": starting("Accepted publickey "),
        # E8 (none), E9 (password), E10 (of an invalid user), E14 (repeated)
        "logs.sshd.failure": starting("Failed "),
        # E13; E12 is the same attempt's second line
        "logs.sshd.invalid_user": starting("Invalid user "),
        # E4, E5
        "logs.sshd.max_tries": starting("Disconnecting: Too many authentication failures"),
        # E2, E4, E5, E6, E7, E24, E25: what ended before a login; not E26, which ended a session, nor E11, a crash
        "logs.sshd.preauth_closed": truth(
            rows,
            lambda template: (
                template.endswith("[preauth]")
                and template.removeprefix("error: ").startswith(
                    ("Connection closed", "Received disconnect", "Disconnecting")
                )
            ),
        ),
        # E3
        "logs.sshd.no_handshake": starting("Did not receive identification string"),
        # E23
        "logs.sshd.session": starting("pam_unix(sshd:session): session opened"),
        "logs.sshd.not_allowed": truth(rows, lambda template: " not allowed because " in template),
        "logs.sshd.timeout": truth(rows, lambda template: "Timeout before authentication" in template),
        "logs.sshd.dropped": truth(rows, lambda template: "drop connection" in template),
    }
    got = counted("OpenSSH_2k.log", tmp_path)
    # Every line of this log is sshd's.
    others = {metric: 0 for metric in got if not metric.startswith("logs.sshd.")}
    assert got == {**derived, **others}
    assert {"logs.sudo.command", "logs.cron.job"} <= set(others)
    # The sum by hand, so that an empty table cannot pass: 383 + 135 + 4, and two lines that stand for 5 each.
    assert derived["logs.sshd.failure"] == 532


def test_linux_counts_equal_the_labels(tmp_path: Path) -> None:
    rows = events("Linux_2k.log")
    # The log is of 2005: PAM wrote under a tag of its own, sshd(pam_unix); sshd, sudo and cron wrote nothing.
    programs = Counter(row["Component"] for row in rows)
    derived = {
        metric: sum(count for program, count in programs.items() if program in tags)
        for metric, tags in (
            ("logs.sshd.success", ("sshd",)),
            ("logs.sshd.failure", ("sshd",)),
            ("logs.sudo.command", ("sudo",)),
            ("logs.cron.job", ("CRON", "CROND", "cron", "crond")),
        )
    }
    assert programs["sshd(pam_unix)"] > 0
    got = counted("Linux_2k.log", tmp_path)
    assert {metric: got.get(metric, 0) for metric in derived} == derived
    assert not any(got.values())


def programs_of_all_packs() -> set[str]:
    """The syslog tags that any rule of any pack reads."""
    return {
        tag for pack in read_packs(ALL_PACKS, [DEFAULT_PACKS_DIR]) for rule in pack.rules for tag in rule.program or []
    }


def test_all_packs_together_count_the_same_on_openssh(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    own = counted("OpenSSH_2k.log", tmp_path / "own")
    assert {row["Component"] for row in events("OpenSSH_2k.log")} == {"LabSZ"}  # the table has the host's name there
    got = counted("OpenSSH_2k.log", tmp_path, ALL_PACKS, DAY)
    assert len(got) > 150
    assert got == {**dict.fromkeys(got, 0), **own}


def test_all_packs_together_count_nothing_on_linux(tmp_path: Path) -> None:
    rows = events("Linux_2k.log")
    assert programs_of_all_packs() & {row["Component"] for row in rows} == {"kernel"}
    # The kernel's lines are those of starts of the machine: nothing was killed, broken, lost or refused.
    kernel = [row["EventTemplate"] for row in rows if row["Component"] == "kernel"]
    trouble = re.compile(r"Out of memory|segfault|trap|I/O error|-fs |ata\d|Link is|Hardware Error|BUG|Oops|IN=|flood")
    assert len(kernel) > 50
    assert [template for template in kernel if trouble.search(template)] == []
    got = counted("Linux_2k.log", tmp_path, ALL_PACKS, DAY)
    assert not any(got.values())
