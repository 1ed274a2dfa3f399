"""The journal by the real journalctl, on journal files that systemd-journal-remote made from export streams."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fleet import packages
from hypothesis import given
from hypothesis import strategies as st
from logmetrics import cli
from logmetrics.sources import journal
from logmetrics.sources.base import Budget, Report, Sink
from replayed import Journal
from world import START

if TYPE_CHECKING:
    from logmetrics.sources.base import Entry

BOOT = "b" * 32


def remote() -> tuple[str, dict[str, str]]:
    """systemd-journal-remote, which makes journal files, and the environment to run it in."""
    top = systemd()
    (program,) = top.glob("**/systemd/systemd-journal-remote")
    return str(program), {**os.environ, "LD_LIBRARY_PATH": libraries(top)}


def systemd() -> Path:
    """What the tests need of systemd, below a folder of the cache."""
    http = next(iter(packages.known("libmicrohttpd12t64", "libmicrohttpd12")))  # its name from Debian 13 on; in 12
    return packages.unpacked("systemd", "systemd-journal-remote", "libsystemd-shared", http)


def libraries(top: Path) -> str:
    return ":".join(sorted({str(path.parent) for path in top.rglob("*.so*")}))


@pytest.fixture(autouse=True)
def journalctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own journalctl, or that of the package."""
    if not shutil.which("journalctl"):
        (program,) = systemd().glob("**/bin/journalctl")
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setenv("LD_LIBRARY_PATH", libraries(systemd()))


class Kept(Sink):
    """Keeps what it is given; takes no more than `most` entries."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.most = most
        self.entries_: list[Entry] = []
        self.sizes: list[int] = []  # bytes of each batch

    def entries(self, source: str, entries: list[Entry]) -> int:
        assert source == "journal"
        self.sizes.append(sum(len(line) for _, _, _, line in entries))
        taken = entries[: max(0, self.most - len(self.entries_))]
        self.entries_ += taken
        return len(taken)


def export(number: int, at: float, fields: dict[str, bytes]) -> bytes:
    """One entry in journald's export format."""
    micros = int(at * 1e6)
    head = (
        f"__CURSOR=s={'a' * 32};i={number:x};b={BOOT};m={micros - 10**15:x};t={micros:x};x={number:x}\n"
        f"__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={micros - 10**15}\n_BOOT_ID={BOOT}\n"
    ).encode()
    body = b""
    for name, value in fields.items():
        plain = b"\n" not in value and value.isascii()
        length = struct.pack("<Q", len(value))
        body += name.encode() + (b"=" + value if plain else b"\n" + length + value) + b"\n"
    return head + body + b"\n"


def make(folder: Path, entries: list[tuple[float, dict[str, bytes]]], name: str = "test.journal") -> None:
    """A journal file with these entries."""
    folder.mkdir(exist_ok=True)
    stream = folder.parent / f"{name}.export"
    stream.write_bytes(b"".join(export(number, at, fields) for number, (at, fields) in enumerate(entries, 1)))
    made = folder.parent / name
    program, environment = remote()
    subprocess.run([program, "-o", made, stream], check=True, capture_output=True, env=environment)
    made.rename(folder / name)


def read(folder: Path, cursor: dict[str, Any], most: int = 1 << 30, line_max: int = 65_536) -> tuple[Kept, Report]:
    sink = Kept(most)
    source = journal.JournalSource(str(folder), line_max)
    return sink, source.read(cursor, sink, Budget(30))


SSHD = {"SYSLOG_IDENTIFIER": b"sshd", "_COMM": b"x", "_PID": b"17", "_HOSTNAME": b"web1", "MESSAGE": b"Failed a for b"}


def test_time_program_and_line(tmp_path: Path) -> None:
    at = START + 0.25
    source = {**SSHD, "_SOURCE_REALTIME_TIMESTAMP": str(int((at - 0.125) * 1e6)).encode()}
    comm = {"_COMM": b"backup", "MESSAGE": b"done", "_HOSTNAME": b"web1"}
    make(tmp_path / "j", [(at, source), (at + 1, comm), (at + 2, {"_COMM": b"x", "PRIORITY": b"6"})])
    sink, report = read(tmp_path / "j", {"cursor": None})
    (one, two) = sink.entries_
    assert one[1:3] == (b"sshd", b"Failed a for b")
    assert one[0] // 1000 == int((at - 0.125) * 1e6)  # when journald's socket took it, not when it was stored
    assert one[3].endswith(b" web1 sshd[17]: Failed a for b")
    assert len(one[3].split(b" ")[0]) == len("2026-11-23T16:40:00.125000+00:00")
    assert two[1:3] == (b"backup", b"done")
    assert two[0] // 1000 == int((at + 1) * 1e6)
    assert two[3].endswith(b" web1 backup: done")
    assert (report.at_end, report.lost, report.faults) == (True, 0, [])


def test_bytes_newlines_and_long_values(tmp_path: Path) -> None:
    long = b"x" * 300_000 + b"\nend"
    messages = [b"a\nsshd[1]: Accepted x", b"\xff\xfe\x00b", long, b"=", b"after"]
    make(tmp_path / "j", [(START + n, {**SSHD, "MESSAGE": message}) for n, message in enumerate(messages)])
    sink, _ = read(tmp_path / "j", {"cursor": None}, line_max=1000)
    found = [message for _, _, message, _ in sink.entries_]
    assert found == [b"a#012sshd[1]: Accepted x", b"\xff\xfe\x00b", b"x" * 1000, b"=", b"after"]
    assert all(b"\n" not in line for _, _, _, line in sink.entries_)


def test_long_entries_come_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_BATCH_BYTES", 2500)
    make(tmp_path / "j", [(START + n, {**SSHD, "MESSAGE": b"x" * 1000}) for n in range(20)])
    sink, report = read(tmp_path / "j", {"cursor": None})
    assert len(sink.entries_) == 20 and report.at_end
    assert max(sink.sizes) < 2500 + 1100


def test_a_journal_that_is_slower_than_the_run_s_time_is_read_on_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_bytes(export(1, START, SSHD))
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/one; exec sleep 60\n")  # as on a disk that hangs
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    began = time.monotonic()
    cursor: dict[str, Any] = {"cursor": None}
    sink = Kept()
    report = journal.JournalSource("", 65_536).read(cursor, sink, Budget(0.5))
    assert time.monotonic() - began < 30
    assert (len(sink.entries_), report.at_end, report.faults) == (1, False, [])
    assert cursor["cursor"]


def test_each_entry_once_over_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_BATCH", 7)
    make(tmp_path / "j", [(START + n, {**SSHD, "MESSAGE": b"%d" % n}) for n in range(50)])
    cursor: dict[str, Any] = {"cursor": None}
    found = []
    for most in (1, 0, 20, 9, 100, 100):
        sink, report = read(tmp_path / "j", cursor, most)
        found += [int(message) for _, _, message, _ in sink.entries_]
        assert report.at_end == (len(found) == 50)
    assert found == list(range(50))
    assert read(tmp_path / "j", cursor)[1].lost == 0


def test_from_now_on(tmp_path: Path) -> None:
    make(tmp_path / "j", [(START + n, SSHD) for n in range(5)])
    cursor: dict[str, Any] = {}
    journal.JournalSource(str(tmp_path / "j"), 1000).start(cursor, beginning=False)
    assert read(tmp_path / "j", cursor)[0].entries_ == []
    make(tmp_path / "j", [(START + 10 + n, {**SSHD, "MESSAGE": b"new"}) for n in range(2)], "later.journal")
    assert [message for _, _, message, _ in read(tmp_path / "j", cursor)[0].entries_] == [b"new", b"new"]


def test_entries_that_were_removed_before_they_were_read_are_said(tmp_path: Path) -> None:
    make(tmp_path / "j", [(START + n, SSHD) for n in range(5)])
    cursor: dict[str, Any] = {"cursor": None}
    read(tmp_path / "j", cursor, most=2)
    make(tmp_path / "j", [(START + 60 + n, {**SSHD, "MESSAGE": b"new"}) for n in range(3)], "later.journal")
    (tmp_path / "j" / "test.journal").unlink()
    sink, report = read(tmp_path / "j", cursor)
    # Not one of those that are there is skipped.
    assert [message for _, _, message, _ in sink.entries_] == [b"new"] * 3
    assert report.lost >= 1
    assert report.notes


def test_entries_that_were_given_other_numbers_count_once(tmp_path: Path) -> None:
    """As when journald moves what it holds in /run to /var (journalctl --flush): another file, other numbers."""
    entries = [(START + n, {**SSHD, "MESSAGE": b"%d" % n}) for n in range(5)]
    make(tmp_path / "j", entries, "run.journal")
    cursor: dict[str, Any] = {"cursor": None}
    read(tmp_path / "j", cursor, most=2)
    (tmp_path / "j" / "run.journal").unlink()
    make(tmp_path / "j", [(START - 9, SSHD), (START - 8, SSHD), *entries], "var.journal")
    sink, report = read(tmp_path / "j", cursor)
    assert [message for _, _, message, _ in sink.entries_] == [b"2", b"3", b"4"]
    assert (report.lost, report.notes) == (0, [])


def test_an_empty_journal_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    cursor: dict[str, Any] = {}
    journal.JournalSource(str(tmp_path / "j"), 1000).start(cursor, beginning=False)
    sink, report = read(tmp_path / "j", cursor)
    assert (sink.entries_, report.at_end, report.faults) == ([], True, [])


def test_journalctl_that_is_not_there_is_one_clear_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _, report = read(tmp_path, {"cursor": None})
    assert len(report.faults) == 1
    assert "journalctl" in report.faults[0]
    assert report.ended == set()


@pytest.mark.parametrize(
    ("before", "now", "lost"),
    [("s=a;i=1f;b=1", "s=a;i=2a;b=1", 10), ("s=a;i=1f;b=1", "s=a;i=20;b=1", 0), ("s=a;i=1f;b=1", "s=b;i=1;b=2", 1)],
)
def test_a_gap_is_counted_by_sequence_numbers(before: str, now: str, lost: int) -> None:
    report = Report()
    journal._gap(before, now, report)
    assert report.lost == lost
    assert bool(report.notes) == bool(lost)


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 7))
def test_the_stream_is_cut_as_it_was_written(values: list[bytes], piece: int) -> None:
    """Whatever pieces a pipe delivers, counted values come out whole."""
    data = b"".join(struct.pack("<Q", len(value)) + value + b"\n" for value in values) + b"line\n"
    stream = journal._Stream(-1)
    left = [data[at : at + piece] for at in range(0, len(data), piece)]

    def more() -> bool:
        stream._buffer = stream._buffer[stream._at :] + (left.pop(0) if left else b"")
        stream._at = 0
        return bool(left) or bool(stream._buffer)

    stream._more = more  # type: ignore[method-assign]  # the pipe
    for value in values:
        size = stream.exactly(8)
        assert size is not None
        assert stream.value(int.from_bytes(size, "little"), 1000) == value
    assert stream.line(100) == b"line"


def test_what_looks_back_reads_the_journal_too(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """`preview` and `backfill` with a journal among the host's sources, and only since the time asked for."""
    now = int(time.time())
    ago = [5 * 3600, 4 * 3600, 1500, 900, 60]
    entries = [(now - seconds, {"MESSAGE": b"event", "SYSLOG_IDENTIFIER": b"app"}) for seconds in ago]
    make(tmp_path / "journal", entries)
    rules = {"format": 1, "rules": [{"metric": "logs.x", "program": ["app"], "match": "^event"}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    settings = {
        "format": 1,
        "rules": str(tmp_path / "rules.json"),
        "state_dir": str(tmp_path),
        "sources": [{"type": "journal", "directory": str(tmp_path / "journal")}],
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    config = ["--config", str(tmp_path / "config.json")]
    assert cli.main(["preview", "none", str(tmp_path / "rules.json"), "--hours", "2", "--json", *config]) == 0
    report = json.loads(capfdbinary.readouterr().out)
    assert report["metrics"][0]["new"] == 3
    assert report["read"]["lines"] == 3
    assert cli.main(["backfill", str(tmp_path / "rules.json"), *config]) == 0
    points = [line.split() for line in capfdbinary.readouterr().out.decode().splitlines()]
    counted = {int(at): int(value) for _, value, at in points if value != "0"}
    # The first minute is partial, and so is the present one.
    assert counted.keys() == {(now - seconds) // 60 * 60 for seconds in ago[1:]} - {now // 60 * 60}


@pytest.mark.parametrize("stop", [0, 1, 3, 6])
@pytest.mark.parametrize("removed", [0, 4])
def test_the_replayed_journal_of_the_chaos_tests_says_what_the_real_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, removed: int
) -> None:
    first = [(START + n, b"first %d" % n) for n in range(4)]
    second = [(START + 10 + n, b"second %d" % n) for n in range(3)]
    app = {**SSHD, "SYSLOG_IDENTIFIER": b"app"}
    found = []
    for replayed in (False, True):
        folder = tmp_path / ("replayed" if replayed else "real")
        if replayed:
            stream = Journal(folder)
            stream.write([(float(at), message) for at, message in first + second])
            monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        else:
            make(folder, [(at, {**app, "MESSAGE": message}) for at, message in first])
            make(folder, [(at, {**app, "MESSAGE": message}) for at, message in second], "later.journal")
        cursor: dict[str, Any] = {"cursor": None}
        before, _ = read(folder, cursor, most=stop)
        if removed and replayed:
            stream.vacuum(len(second))
        elif removed:
            (folder / "test.journal").unlink()
        after, report = read(folder, cursor)
        newest: dict[str, Any] = {}
        journal.JournalSource(str(folder), 1000).start(newest, beginning=False)
        nothing, _ = read(folder, newest)
        messages = [[(entry[0] // 1000, *entry[1:3]) for entry in sink.entries_] for sink in (before, after, nothing)]
        found.append((messages, report.lost > 0))
    assert found[0] == found[1]
    assert len(found[0][0][0]) == stop
