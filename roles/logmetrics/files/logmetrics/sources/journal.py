"""systemd's journal, read with journalctl in its export format from a cursor on.

The time of an entry is `_SOURCE_REALTIME_TIMESTAMP`, when journald's socket took the message (set by journald, a sender
cannot forge it), so that a message that waited in the queue counts in the minute in which it was written; entries
without it (stdout of services, the kernel) have `__REALTIME_TIMESTAMP`, when journald stored them. The program is
`SYSLOG_IDENTIFIER`, else `_COMM`. Format: https://systemd.io/JOURNAL_EXPORT_FORMATS/; fields:
systemd.journal-fields(7).
"""

from __future__ import annotations

import os
import select
import signal
import time

from ..errors import Fault
from .base import Budget, Report, Sink, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator

    from .base import Entry

    Fields = Dict[bytes, bytes]

NAME = "journal"
_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_COMM,_HOSTNAME,_SOURCE_REALTIME_TIMESTAMP"
_READ = 1 << 18
_BATCH = 2000  # entries handed on at once
_BATCH_BYTES = 1 << 20  # or so many of their lines
_STALLED = 0.2  # seconds that journalctl is waited for at the least, however little time is left
_SECOND = 1_000_000_000
_STAMP_DIGITS = 17  # microseconds: up to the year 5138
# journalctl says this where it may not read the system's journal, and then shows the user's own entries alone.
_NO_RIGHT = b"not seeing messages from other users"


class JournalSource(Source):
    """The journal of this host, or the journal files of one directory; entries since a Unix time, if one is given."""

    name = NAME

    def __init__(self, directory: str, line_max: int, since: int = 0) -> None:
        self._where = ["-D", directory] if directory else []
        self._where += [f"--since=@{since}"] if since else []
        self.line_max = line_max

    def start(self, cursor: dict[str, Any], beginning: bool) -> None:
        """At the newest entry, or before the oldest. Raises Fault where the journal cannot be read."""
        cursor["cursor"] = None
        if beginning:
            return
        report = Report()
        with _Journalctl([*self._where, "-n", "1", "--output-fields=_PID"]) as run:
            for fields in run.entries(self.line_max):
                cursor["cursor"] = fields[b"__CURSOR"].decode("ascii", "replace")
        run.complain(report)
        if report.faults:
            raise Fault(report.faults[0])

    def read(self, cursor: dict[str, Any], sink: Sink, budget: Budget) -> Report:
        """See Source."""
        report = Report()
        report.at_end = True
        after = cursor.get("cursor")
        # --after-cursor skips one entry too many where the cursor's own entry was vacuumed; so it is asked for, too.
        options = [*self._where, f"--output-fields={_FIELDS}", *([f"--cursor={after}"] if after else [])]
        with _Journalctl(options) as run:
            first = bool(after)
            batch: list[Entry] = []
            places: list[str] = []
            size = 0
            for fields in run.entries(self.line_max, budget):
                place = fields[b"__CURSOR"].decode("ascii", "replace")
                if first:
                    first = False
                    if _same_entry(place, str(after)):
                        continue
                    _gap(str(after), place, report)
                entry = _entry(fields, self.line_max)
                if entry is None:
                    continue
                batch.append(entry)
                places.append(place)
                report.bytes += len(entry[3]) + 1
                size += len(entry[3])
                over = budget.over
                if len(batch) >= _BATCH or size >= _BATCH_BYTES or over:
                    taken = _hand_on(cursor, sink, batch, places)
                    batch, places, size = [], [], 0
                    if over or not taken:
                        report.at_end = False
                        run.stop()
                        break
            if batch and not _hand_on(cursor, sink, batch, places):
                report.at_end = False
            if run.late:
                report.at_end = False
                run.stop()
        run.complain(report)
        if not report.faults:
            (report.ended if report.at_end else report.unfinished).add(NAME)
        return report


def _hand_on(cursor: dict[str, Any], sink: Sink, batch: list[Entry], places: list[str]) -> bool:
    taken = sink.entries(NAME, batch)
    if taken:
        cursor["cursor"] = places[taken - 1]
    return taken == len(batch)


def _same_entry(one: str, other: str) -> bool:
    """Whether two cursors are of one entry. What journald moves from /run to /var (`journalctl --flush`) gets other
    sequence numbers (s, i); its boot, times and hash (b, m, t, x; sd_journal_get_cursor(3)) stay.
    """
    if one == other:
        return True
    parts = [[part for part in cursor.split(";") if part[:2] not in ("s=", "i=")] for cursor in (one, other)]
    return parts[0] == parts[1] and any(part.startswith("x=") for part in parts[0])


def _gap(before: str, now: str, report: Report) -> None:
    """The entry of the cursor is gone: how many with it, by the sequence numbers in both cursors (s=ID;i=HEX;...)."""
    old, new = (dict(part.partition("=")[::2] for part in cursor.split(";")) for cursor in (before, now))
    missing = 1
    if old.get("s") == new.get("s"):
        try:
            missing = int(new["i"], 16) - int(old["i"], 16) - 1
        except (KeyError, ValueError):
            missing = 1
    if missing > 0:
        report.lost += missing
        report.notes.append(f"journal: at least {missing} entries were removed before they were read")


def _entry(fields: Fields, line_max: int) -> Entry | None:
    """What counts and ships an entry, or None where it has no message."""
    message = fields.get(b"MESSAGE")
    stamp = fields.get(b"_SOURCE_REALTIME_TIMESTAMP") or fields.get(b"__REALTIME_TIMESTAMP") or b""
    if message is None or not (stamp.isdigit() and len(stamp) <= _STAMP_DIGITS):
        return None
    # As rsyslog writes it to files; a newline would end the line, and let a sender begin another.
    message = message[:line_max].replace(b"\n", b"#012")
    program = fields.get(b"SYSLOG_IDENTIFIER") or fields.get(b"_COMM") or b"unknown"
    program = program[:256].replace(b"\n", b"#012")
    pid = fields.get(b"SYSLOG_PID") or fields.get(b"_PID") or b""
    micros = int(stamp)
    head = _rfc3339(micros).encode("ascii") + b" " + (fields.get(b"_HOSTNAME") or b"-") + b" " + program
    line = head + (b"[" + pid[:32].replace(b"\n", b"#012") + b"]: " if pid else b": ") + message
    # The sequence number keeps two equal messages of one microsecond apart.
    sequence = fields[b"__CURSOR"].partition(b";i=")[2].partition(b";")[0]
    try:
        apart = int(sequence, 16) % 1000
    except ValueError:
        apart = 0
    return micros * 1000 + apart, program, message, line


_zone_of_hour: dict[int, str] = {}


def _rfc3339(micros: int) -> str:
    """Local time with microseconds and offset, as rsyslog's default file format in Debian 12."""
    seconds, rest = divmod(micros, 1_000_000)
    now = time.localtime(seconds)
    hour = seconds // 900
    zone = _zone_of_hour.get(hour)
    if zone is None:
        east = now.tm_gmtoff
        sign = "-" if east < 0 else "+"
        zone = _zone_of_hour[hour] = f"{sign}{abs(east) // 3600:02d}:{abs(east) // 60 % 60:02d}"
    return f"{now[0]:04d}-{now[1]:02d}-{now[2]:02d}T{now[3]:02d}:{now[4]:02d}:{now[5]:02d}.{rest:06d}{zone}"


class _Journalctl:
    """One run of journalctl; subprocess is not imported, it costs more than the run."""

    def __init__(self, options: list[str]) -> None:
        self._arguments = ["journalctl", "--no-pager", "-o", "export", *options]
        self._pid = 0
        self._out = -1
        self._err = -1
        self._stopped = False
        self.late = False  # there was no time to wait for more of it
        self._status: int = 0
        self._message = b""

    def __enter__(self) -> _Journalctl:
        read, write = os.pipe()
        self._err = nameless_file()
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            (os.POSIX_SPAWN_DUP2, self._err, 2),
        ]
        environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
        try:
            self._pid = os.posix_spawnp("journalctl", self._arguments, environment, file_actions=actions)
        except OSError as error:
            self._status = 127
            self._message = f"journalctl cannot be started: {error.strerror}".encode()
        os.close(write)
        self._out = read
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._out)
        if self._pid:
            self._status = os.waitpid(self._pid, 0)[1]
            self._message = os.pread(self._err, 4096, 0)
        os.close(self._err)

    def stop(self) -> None:
        """End it early: the run's budget is used up."""
        self._stopped = True
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)

    def complain(self, report: Report) -> None:
        """Put what went wrong into the report."""
        said = b" ".join(self._message.split()).decode("utf-8", "replace")
        if _NO_RIGHT in self._message:
            report.faults.append(
                "journal: this user may not read the system's journal; add it to the group systemd-journal"
            )
        elif self._status and not self._stopped and "No journal files were" not in said:
            report.faults.append(f"journal: {said or 'journalctl failed'}; try journalctl as the user of the run")

    def entries(self, value_max: int, budget: Budget | None = None) -> Iterator[Fields]:
        """Each entry's fields; a value is cut after `value_max` bytes. Ends early, and `late`, where it is too slow."""
        stream = _Stream(self._out, budget)
        yield from self._entries(stream, value_max)
        self.late = stream.late

    @staticmethod
    def _entries(stream: _Stream, value_max: int) -> Iterator[Fields]:
        fields: Fields = {}
        while True:
            line = stream.line(value_max + 256)
            if line is None:
                return  # an entry without its empty line at the end was cut off: not read
            if not line:
                if b"__CURSOR" in fields:
                    yield fields
                fields = {}
                continue
            if line.startswith(b"-- "):
                continue  # "-- No entries --" and its like; --quiet would also hide that rights are missing
            name, equals, value = line.partition(b"=")
            if not equals:
                size = stream.exactly(8)
                if size is None:
                    return
                value_or_none = stream.value(int.from_bytes(size, "little"), value_max)
                if value_or_none is None:
                    return
                value = value_or_none
            # A field may occur more than once; the first is the one that journald shows, too.
            fields.setdefault(name, value)


class _Stream:
    """Lines and counted bytes from a pipe, in constant memory."""

    def __init__(self, handle: int, budget: Budget | None = None) -> None:
        self._handle = handle
        self._budget = budget
        self.late = False
        self._buffer = b""
        self._at = 0

    def _more(self) -> bool:
        # A journal on a slow disk must not make the run outlast its time.
        if self._budget is not None and not select.select([self._handle], [], [], max(_STALLED, self._budget.left))[0]:
            self.late = True
            return False
        data = os.read(self._handle, _READ)
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        return bool(data)

    def line(self, most: int) -> bytes | None:
        """The next line without its newline, cut after `most` bytes; None at the end."""
        kept: bytes | None = None
        while True:
            end = self._buffer.find(b"\n", self._at)
            if end >= 0:
                line = self._buffer[self._at : end]
                self._at = end + 1
                return line[:most] if kept is None else kept
            if len(self._buffer) - self._at > most + _READ:
                # Far too long: keep its beginning, drop the rest up to the newline.
                kept = kept if kept is not None else self._buffer[self._at : self._at + most]
                self._at = len(self._buffer)
            if not self._more():
                return None

    def exactly(self, length: int) -> bytes | None:
        """This many bytes, or None at the end."""
        while len(self._buffer) - self._at < length:
            if not self._more():
                return None
        data = self._buffer[self._at : self._at + length]
        self._at += length
        return data

    def value(self, length: int, most: int) -> bytes | None:
        """A counted value and the newline after it; what is longer than `most` is read and dropped."""
        kept = self.exactly(min(length, most))
        rest = length - min(length, most)
        while kept is not None and rest:
            step = self.exactly(min(rest, _READ))
            if step is None:
                return None
            rest -= len(step)
        return None if kept is None or self.exactly(1) is None else kept


def nameless_file() -> int:
    """A handle of a file in memory; a Python that was built for old kernels lacks memfd_create(2)."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("journalctl-errors", os.MFD_CLOEXEC)
    return os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)  # noqa: S108 - it has no name there
