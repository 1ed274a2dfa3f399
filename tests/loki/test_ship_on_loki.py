"""Each line stands in a real Loki once, wherever a run of `ship` is cut off, and whatever answers are lost.

Loki itself drops an exact duplicate only while the first one is in the open block of its chunk (256 KiB); the batches
here are larger.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import fetch
from logmetrics import config, loki, ship, state
from logmetrics.errors import Fault

SECOND = 1_000_000_000
LINES = 9000  # of 300 bytes: three batches


class Killed(BaseException):
    """The run ends here, as by kill -9: what follows, `finally` aside, does not happen."""


class Host:
    """One log, and runs of `ship`."""

    def __init__(self, root: Path, address: str, name: str, log: str = "app.log") -> None:
        self.address, self.name = address, name
        self.log = root / log
        self.log.touch()
        (root / "state").mkdir()
        settings = {
            "format": 1,
            "state_dir": str(root / "state"),
            "rules": str(root / "rules.json"),
            "sources": [{"type": "file", "path": str(self.log)}],
            "loki": {"url": address, "labels": {"job": "logmetrics", "host": name}},
        }
        self.settings = config.parse(settings, "test")
        self.written = 0
        self.run()

    def write(self, lines: int, stamped: bool = True) -> None:
        with self.log.open("a") as file:
            for number in range(self.written, self.written + lines):
                head = f"{time.time():.6f} " if stamped else ""
                file.write(f"{head}app: line {number} {'x' * 280}\n")
        self.written += lines

    def run(self) -> list[str]:
        return ship._run(self.settings, lambda _: None, time.time)

    def stored(self) -> float:
        query = f'sum(count_over_time({{host="{self.name}"}}[1h]))'
        parameters = urllib.parse.urlencode({"query": query, "time": str(int((time.time() + 120) * SECOND))})
        (found,) = json.loads(fetch(f"{self.address}/loki/api/v1/query?{parameters}"))["data"]["result"]
        return float(found["value"][1])


def at_push(number: int, before: bool, what: type[BaseException]) -> Callable[[pytest.MonkeyPatch], None]:
    """Something happens before or after a push of this number, while the connection is open."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real, pushes = loki.Client._request, [0]

        def request(self: loki.Client, method: str, *rest: Any) -> tuple[int, str]:
            pushes[0] += method == "POST"
            hit = method == "POST" and pushes[0] == number
            if hit and before:
                raise what("planted")
            answer = real(self, method, *rest)
            if hit:
                raise what("planted")
            return answer

        patch.setattr(loki.Client, "_request", request)

    return plant


def at_save(number: int, what: type[BaseException]) -> Callable[[pytest.MonkeyPatch], None]:
    """The state cannot be saved from the save of this number on."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real, saves = state.Store.prepare, [0]

        def prepare(self: state.Store, content: dict[str, Any]) -> None:
            saves[0] += 1
            if saves[0] >= number:
                raise what("planted")
            real(self, content)

        patch.setattr(state.Store, "prepare", prepare)

    return plant


CUTS = {
    **{f"killed before push {number}": at_push(number, True, Killed) for number in (1, 2, 3)},
    **{f"killed after push {number}": at_push(number, False, Killed) for number in (1, 2, 3)},
    **{f"the answer to push {number} is lost": at_push(number, False, OSError) for number in (1, 2, 3)},
    **{f"the disk is full from save {number} on": at_save(number, Fault) for number in (1, 2, 3, 4)},
}


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "without stamps"])
@pytest.mark.parametrize("cut", CUTS)
def test_each_line_once(
    tmp_path: Path, loki: str, monkeypatch: pytest.MonkeyPatch, cut: str, stamped: bool, request: pytest.FixtureRequest
) -> None:
    host = Host(tmp_path, loki, f"cut-{abs(hash(request.node.name))}")
    host.write(LINES, stamped)
    for _ in range(2):
        with monkeypatch.context() as patch:
            CUTS[cut](patch)
            with contextlib.suppress(Killed, Fault):
                host.run()
        host.write(100, stamped)
    assert host.run() == []
    assert host.run() == []
    assert host.stored() == host.written


@pytest.mark.parametrize("number", [1, 2, 3])
def test_files_that_were_rotated_meanwhile_once(
    tmp_path: Path, loki: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Each has a batch that begins at its first byte."""
    host = Host(tmp_path, loki, f"rotated-{number}")
    for older in (3, 2, 1):
        host.write(1500)
        if older > 1:
            host.log.rename(host.log.with_name(f"app.log.{older}"))
            host.log.touch()
            time.sleep(0.05)  # times of files are what orders them
    for before in (True, False):
        with monkeypatch.context() as patch:
            at_push(number, before, Killed)(patch)
            with contextlib.suppress(Killed):
                host.run()
    assert host.run() == []
    assert host.stored() == host.written


def test_a_log_of_any_name_is_asked_for(tmp_path: Path, loki: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, loki, "names", 'a"b\\c \U0001f600.log')
    host.write(1500)
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        at_push(1, False, Killed)(patch)
        host.run()
    assert host.run() == []
    assert host.stored() == host.written


@pytest.mark.parametrize("byte", [b"x", b"\xff", b"\0", "\u20ac".encode()])
def test_a_long_line_of_any_bytes_is_taken(tmp_path: Path, loki: str, byte: bytes) -> None:
    host = Host(tmp_path, loki, f"bytes-{byte.hex()}")
    with host.log.open("ab") as file:
        for length in (80_000, 240_000, 400_000):
            file.write(byte * (length // len(byte)) + b"\n")
    assert host.run() == []
    assert host.stored() == 3
