"""The times that `ship` gives to lines without a stamp: when they were first seen, and the same at every try."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from logmetrics import config, ship

START = 1_795_452_000
HOUR = 3600


class Loki(HTTPServer):
    """Keeps what it is sent, and answers as it is told; what it was sent it has, or not."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.has_it = False
        self.may_be_asked = True
        self.pushes: list[list[list[str]]] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Loki)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.pushes.append(body["streams"][0]["values"])
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """A query for the stream's entries of one moment (query_range)."""
        assert isinstance(self.server, Loki)
        if not self.server.may_be_asked:
            self.send_error(403)
            return
        (start,) = parse_qs(urlsplit(self.path).query)["start"]
        there = [value for push in self.server.pushes for value in push if value[0] == start and self.server.has_it]
        body = json.dumps({"data": {"result": [{"stream": {}, "values": there}] if there else []}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No words on stderr."""


@pytest.fixture
def loki() -> Iterator[Loki]:
    server = Loki()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Host:
    def __init__(self, root: Path, loki: Loki) -> None:
        self.log = root / "app.log"
        self.log.touch()
        (root / "state").mkdir()
        settings = {
            "format": 1,
            "state_dir": str(root / "state"),
            "rules": str(root / "rules.json"),
            "sources": [{"type": "file", "path": str(self.log)}],
            "loki": {"url": f"http://127.0.0.1:{loki.server_port}", "labels": {"job": "x"}},
        }
        self.settings = config.parse(settings, "test")
        self.out: list[bytes] = []
        self.run(0)

    def write(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text)

    def run(self, after: float) -> list[str]:
        return ship._run(self.settings, self.out.append, lambda: START + after)


def seconds(values: list[list[str]]) -> list[int]:
    return [int(value[0]) // 10**9 - START for value in values]


def test_lines_without_a_stamp_have_the_time_at_which_they_were_seen(tmp_path: Path, loki: Loki) -> None:
    host = Host(tmp_path, loki)
    hours = (1, 24, 161, 200)
    for hour in hours:
        host.write("plain message\n")
        assert host.run(hour * HOUR) == []
    assert [seconds(values) for values in loki.pushes] == [[hour * HOUR] for hour in hours]


def test_one_stamp_is_not_carried_for_ever(tmp_path: Path, loki: Loki) -> None:
    host = Host(tmp_path, loki)
    host.write(f"{START + 60} begun\n  of the same moment\n")
    host.run(60)
    host.run(70)
    host.write("plain message\n")
    host.run(200 * HOUR)
    assert [seconds(values) for values in loki.pushes] == [[60, 60], [200 * HOUR]]


def test_a_batch_that_is_not_taken_is_sent_again_with_the_same_times(tmp_path: Path, loki: Loki) -> None:
    host = Host(tmp_path, loki)
    loki.status = 500
    host.write("one\ntwo\n")
    assert host.run(60)
    host.write("three\n")
    assert host.run(120)
    loki.status = 204
    assert host.run(180) == []
    first, second, third, fourth = loki.pushes
    assert first == second == third
    assert seconds(third) == [60, 60]
    assert seconds(fourth) == [120]
    # Nothing of it is remembered once it was taken.
    host.write("four\n")
    host.run(240)
    assert seconds(loki.pushes[-1]) == [240]


@pytest.mark.parametrize("has_it", [True, False])
def test_a_batch_of_a_run_that_was_killed_is_sent_again_with_the_same_times_if_loki_lacks_it(
    tmp_path: Path, loki: Loki, monkeypatch: pytest.MonkeyPatch, has_it: bool
) -> None:
    host = Host(tmp_path, loki)
    host.write("one\ntwo\n")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(ship, "_of_interval", killed)  # after the push, before the state is saved
        host.run(60)
    host.write("three\n")
    loki.has_it = has_it
    assert host.run(120) == []
    first, *again, last = loki.pushes
    assert again == ([] if has_it else [first])
    assert seconds(first) == [60, 60]
    assert seconds(last) == [120]
    host.run(130)
    assert len(loki.pushes) == 2 + len(again)


def test_a_push_only_gateway_is_sent_it_again_with_a_word(tmp_path: Path, loki: Loki) -> None:
    host = Host(tmp_path, loki)
    loki.status = 500
    host.write("one\n")
    assert host.run(60)
    loki.status = 204
    loki.may_be_asked = False
    (word,) = host.run(120)
    assert "lets nobody ask" in word
    assert len(loki.pushes) == 2
    assert host.run(130) == []
    assert len(loki.pushes) == 2
