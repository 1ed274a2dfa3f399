"""Three weeks of rotated logs into a real carbon, twice: every archive of whisper holds what was written.

The fleet "verbs" is started by the run (tools/test) before and removed after it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fleet import history, hosts
from fleet.fleets import FLEETS
from logmetrics import cli

GRAPHITE = FLEETS["verbs"].host("graphite")
TO = f"{GRAPHITE.address}:2003"
MARK = 0.125  # a live value that no history could have


def send_live(prefix: str, minutes: range) -> None:
    """Points of a host's own counting, sent as Telegraf sends them."""
    lines = [f"{prefix}{metric} {MARK} {at}\n" for metric in history.METRICS for at in minutes]
    script = "import socket, sys; socket.create_connection(('127.0.0.1', 2003)).sendall(sys.stdin.buffer.read())"
    hosts.execute(GRAPHITE, "python3", "-c", script, stdin="".join(lines))


def test_history_goes_into_every_archive_twice_the_same_and_leaves_live_minutes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    now = int(time.time())
    prefix = f"telegraf.h{now}.syslog-metrics."
    live = range(now // 60 * 60 - 30 * 60, now // 60 * 60, 60)
    written = history.write(20, now - 60, "h")
    for name, data in written.files.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (written.mtimes[name], written.mtimes[name]))
    send_live(prefix, live)
    before = history.settled(GRAPHITE, prefix)
    argv = ["backfill", str(history.RULES), *map(str, sorted(tmp_path.glob("syslog.*"))), "--until", str(live[0])]
    argv += ["--prefix", prefix, "--to", TO, "--rate", "20000", "--retentions", history.RETENTIONS]
    assert cli.main(argv) == 0, capfd.readouterr().err
    first = history.settled(GRAPHITE, prefix)
    assert history.faults(written, first, written.begin + 600, live[0]) == []
    for metric in history.METRICS:
        assert {at: first[metric][60][at] for at in live} == dict.fromkeys(live, MARK)
        assert before[metric][60].items() <= first[metric][60].items()
    # The second time.
    assert cli.main(argv) == 0, capfd.readouterr().err
    assert history.settled(GRAPHITE, prefix) == first


def test_without_the_archives_whisper_would_keep_one_of_many(tmp_path: Path) -> None:
    """Shows that the test above can fail: sent minute by minute, what is older than the finest archive is wrong."""
    now = int(time.time())
    prefix = f"telegraf.raw{now}.syslog-metrics."
    written = history.write(16, now - 60, "h")
    for name, data in written.files.items():
        if name.partition(".")[2].partition(".")[0] in ("15", "16"):
            (tmp_path / name).write_bytes(data)
    argv = ["backfill", str(history.RULES), *map(str, tmp_path.glob("syslog.*")), "--until", str(now - 14 * 86_400)]
    assert cli.main([*argv, "--prefix", prefix, "--to", TO, "--rate", "20000"]) == 0
    store = history.settled(GRAPHITE, prefix)
    found = history.faults(written, store, written.begin + 600, written.begin + 86_400)
    assert len(found) == 10
    assert all(" 600 s at " in one for one in found)
