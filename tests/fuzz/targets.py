"""What must hold whatever the bytes are: no exception gets out, every printed line is one, exit codes as documented."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from logmetrics import cli, count, diag, leanjson, state, tally
from logmetrics.rules import RuleSet
from logmetrics.sources import file as file_source
from logmetrics.sources import journal

POINT = re.compile(rb"[^\s\x00-\x1f\x7f]+ -?[0-9]+(\.[0-9]+)? [0-9]+\n")
RULES = {
    "format": 1,
    "hash": "fuzz",
    "rules": [
        {"metric": "logs.a.event", "type": "counter", "program": ["app", "sshd"], "match": "^(?:event|Failed) "},
        {"metric": "logs.a.any", "type": "counter", "program": ["app"], "match": "[0-9]+"},
        {"metric": "logs.a.bytes", "type": "sum", "program": ["app"], "match": "bytes=(?P<value>[-+0-9.e]+)"},
        {"metric": "logs.a.level", "type": "gauge", "program": ["app"], "match": "level=(?P<value>\\S+)"},
        {"metric": "logs.a.time", "type": "timing", "program": ["app"], "match": "t=(?P<value>[0-9.]+)"},
        {"metric": "logs.a.by.{who}", "max_series": 3, "program": ["app"], "match": "user (?P<who>.*?) from"},
    ],
}
ANY_PROGRAM = {"metric": "logs.a.plain", "type": "counter", "match": "error|GET"}


class FuzzError(Exception):
    """The parser did what it must never do."""


class Sandbox:
    """One folder with everything that a run reads and writes; `clean` makes it as new."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "app.log"
        self.state = folder / "state"
        self.rules = folder / "rules.json"
        self.config = folder / "config.json"
        self.said: list[str] = []
        diag.say = self._say  # type: ignore[assignment]  # kept here, not in syslog
        diag.stderr = self._say  # type: ignore[assignment]  # the same
        count.where = _unforeseen  # type: ignore[assignment]  # what is unforeseen ends the fuzzing
        self.out = journal.nameless_file()
        now = time.time()  # the same for all runs
        count.Run.__init__.__defaults__ = (lambda: now,)  # type: ignore[attr-defined]  # the clock; mypy takes __init__ for no function

    def _say(self, messages: list[str], level: str = "err") -> None:
        self.said += map(diag.one_line, messages)

    def clean(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        for path in self.folder.iterdir():
            path.unlink()
        self.state.mkdir()
        self.rules.write_bytes(leanjson.dumps(RULES))
        self.config.write_bytes(leanjson.dumps(self.settings()))

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {
            "format": 1,
            "start": "beginning",
            "keep_days": 0.01,
            "rule_budget": 0.05,
            "state_dir": str(self.state),
            "rules": str(self.rules),
            "sources": [{"type": "file", "path": str(self.log)}],
            **changes,
        }

    def command(self, *argv: str, codes: tuple[int, ...] = (0,)) -> bytes:
        """Run a verb in this process; what it printed. Raises FuzzError."""
        self.said.clear()
        os.ftruncate(self.out, 0)
        os.lseek(self.out, 0, os.SEEK_SET)
        stdout, stderr = os.dup(1), os.dup(2)
        before = set(Path("/proc/self/fd").iterdir())
        os.dup2(self.out, 1)
        os.dup2(self.out, 2)
        try:
            code = cli.main([*argv, "--config", str(self.config)])
        finally:
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
            for left in set(Path("/proc/self/fd").iterdir()) - before:
                with contextlib.suppress(OSError):
                    os.close(int(left.name))  # the end of a process gives its lock back
        printed = os.pread(self.out, 1 << 26, 0)
        if code not in codes:
            raise FuzzError(f"{argv}: exit {code}, documented are {codes}")
        for message in self.said:
            if "\n" in message or not message:
                raise FuzzError(f"{argv}: a word that is not one line: {message!r}")
        return printed

    def count(self) -> bytes:
        """One run of count; its points. Raises FuzzError."""
        printed = self.command("count")
        rest = POINT.sub(b"", printed)
        if rest:
            raise FuzzError(f"count printed no point: {rest[:200]!r}")
        for line in printed.split(b"\n")[:-1]:
            line.decode("utf-8")
        if b"logs.script_error 1" in printed and not self.said:
            raise FuzzError("logs.script_error is 1, and no word says why")
        return printed


def _unforeseen(error: Exception) -> str:
    raise error


def points(printed: bytes) -> list[bytes]:
    """Without what the parser says about itself."""
    own = (b"logs.parser.", b"logs.script_error ")
    return sorted(line for line in printed.split(b"\n") if line and not line.startswith(own))


def _differ(one: list[bytes], other: list[bytes]) -> list[tuple[str, bytes]]:
    return [("-", line) for line in one if line not in other] + [("+", line) for line in other if line not in one]


def logs(box: Sandbox, data: bytes) -> None:
    """Bytes as a log, in two pieces; the fast lane and the exact one say the same."""
    found = []
    options, data = data[:1] or b"\0", data[1:]
    rules = RULES if options[0] & 1 else {**RULES, "rules": [*RULES["rules"], ANY_PROGRAM]}
    cut = len(data) // 2
    bulk_from = tally.BULK_FROM
    for least in (0, 1 << 40):
        box.clean()
        box.rules.write_bytes(leanjson.dumps(rules))
        tally.BULK_FROM = least
        try:
            box.log.write_bytes(data[:cut])
            first = box.count()
            if options[0] & 2:
                box.log.rename(box.folder / "app.log.1")
                box.log.write_bytes(data[cut:])
            else:
                with box.log.open("ab") as file:
                    file.write(data[cut:])
            found.append((points(first), points(box.count())))
        finally:
            tally.BULK_FROM = bulk_from
    if found[0] != found[1]:
        raise FuzzError(f"the lanes differ: {[_differ(found[0][n], found[1][n]) for n in (0, 1)]}")


def in_pieces(box: Sandbox, data: bytes) -> None:
    """Bytes as a log that is read in pieces of a few bytes: the same as at once."""
    size, data = 16 + (data[0] if data else 0), data[1:]
    found = []
    chunk = file_source.CHUNK
    for piece in (size, 1 << 20):
        box.clean()
        box.config.write_bytes(leanjson.dumps(box.settings(line_max=256)))
        box.log.write_bytes(data)
        file_source.CHUNK = piece
        try:
            found.append(points(box.count()))
        finally:
            file_source.CHUNK = chunk
    if found[0] != found[1]:
        raise FuzzError(f"pieces of {size} bytes count otherwise: {_differ(*found)}")


def states(box: Sandbox, data: bytes) -> None:
    """Bytes as a state, bare or under a right checksum, or as the points of the last days."""
    box.clean()
    box.log.write_bytes(SAMPLE)
    box.count()
    kind, data = data[:1], data[1:]
    if kind < b"\x40":
        (box.state / "count.state").write_bytes(data)
    elif kind < b"\xe0":
        body = data.replace(b"@FOLDER@", str(box.folder).encode())
        head = b"logmetrics-state 1 %08x %d\n" % (state.crc32(body), len(body))
        (box.state / "count.state").write_bytes(head + body + b"\n")
        if kind >= b"\x80":
            (box.state / "count.state.old").unlink(missing_ok=True)
    else:
        for path in box.state.glob("points-*"):
            path.write_bytes(data[: path.stat().st_size].ljust(path.stat().st_size, b" "))
    for _ in range(2):
        with box.log.open("ab") as file:
            file.write(SAMPLE)
        box.count()
    box.command("status", codes=(0, 2))
    box.command("status", "--json", codes=(0, 2))
    box.command("replay", "--since", "3000d", codes=(0, 1, 2))


def ship_states(box: Sandbox, data: bytes) -> None:
    """Bytes as ship's state."""
    box.clean()
    loki = {"url": "http://127.0.0.1:9", "labels": {"host": "h"}}
    box.config.write_bytes(leanjson.dumps(box.settings(loki=loki)))
    box.log.write_bytes(SAMPLE)
    body = data[1:].replace(b"@FOLDER@", str(box.folder).encode())
    head = b"logmetrics-state 1 %08x %d\n" % (state.crc32(body), len(body))
    (box.state / "ship.state").write_bytes(body if data[:1] < b"\x40" else head + body + b"\n")
    printed = box.command("ship")
    if POINT.sub(b"", printed):
        raise FuzzError(f"ship printed no point: {printed[:200]!r}")
    box.command("status", codes=(0, 2))


def rules(box: Sandbox, data: bytes) -> None:
    """Bytes as rules.json: at a first run, and as a new set."""
    for known in (False, True):
        box.clean()
        if known:
            box.log.write_bytes(SAMPLE)
            box.count()
        box.rules.write_bytes(data)
        box.log.write_bytes(SAMPLE * 2)
        box.count()
        if known:
            box.command("status", codes=(0, 2))


def configuration(box: Sandbox, data: bytes) -> None:
    """Bytes as config.json."""
    box.clean()
    box.log.write_bytes(SAMPLE)
    text = data.replace(b"@FOLDER@", str(box.folder).encode())
    doc = None
    with contextlib.suppress(ValueError):
        doc = leanjson.loads(text)
    if isinstance(doc, dict):
        # Nothing is written elsewhere, and nothing else is read.
        inside = str(box.folder)
        paths = [doc.get("state_dir", "/"), doc.get("rules", "/")]  # their defaults are not inside
        if isinstance(doc.get("sources"), list):
            paths += [one.get("path", inside) for one in doc["sources"] if isinstance(one, dict)]
            if any(isinstance(one, dict) and one.get("type") == "journal" for one in doc["sources"]):
                return
        if any(isinstance(path, str) and (".." in path or not path.startswith(inside)) for path in paths):
            return
    box.config.write_bytes(text)
    box.count()
    box.command("status", codes=(0, 2))


def export(box: Sandbox, data: bytes) -> None:
    """Bytes as journalctl's output."""
    handle = journal.nameless_file()
    os.write(handle, data)
    os.lseek(handle, 0, os.SEEK_SET)
    run = journal._Journalctl([])
    run._out = handle
    counted = tally.Tally(60, 0, 0, _timeline(), tally.Families({}, lambda _: True), time.time, 1000)
    for fields in run.entries(1000):
        entry = journal._entry(fields, 1000)
        if entry is not None:
            if b"\n" in entry[3]:
                raise FuzzError("an entry became more than one line")
            counted.add_entries("journal", [entry])
    os.close(handle)


def _timeline() -> tally.Timeline:
    return tally.Timeline([(0, RuleSet.from_document(RULES, "fuzz"))])


SAMPLE = b"".join(
    time.strftime("%b %e %H:%M:%S", time.localtime(time.time() - ago)).encode() + b" host app[7]: " + message + b"\n"
    for ago in (500, 200, 80)
    for message in (
        b"event 1",
        b"bytes=12.5",
        b"level=-3",
        b"t=0.25",
        b"user root from here",
        b"message repeated 3 times: [ event 2]",
    )
)
TARGETS: dict[str, Callable[[Sandbox, bytes], None]] = {
    "logs": logs,
    "pieces": in_pieces,
    "state": states,
    "ship-state": ship_states,
    "rules": rules,
    "config": configuration,
    "journal": export,
}
