"""`ship` runs several times an interval; the store keeps the last point of a slot, so that point must be the total."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from logmetrics import config, ship

INTERVAL = 60
START = 1_795_000_020  # an interval's start


class Receiver(BaseHTTPRequestHandler):
    """Takes every push, as Loki does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """No words on stderr."""


@pytest.fixture
def loki() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_last_point_of_an_interval_is_its_total(tmp_path: Path, loki: str) -> None:
    log, state = tmp_path / "auth.log", tmp_path / "state"
    log.touch()
    state.mkdir()
    (tmp_path / "rules.json").write_text('{"format": 1, "hash": "", "rules": []}')
    settings = {
        "format": 1,
        "host": "test",
        "interval": INTERVAL,
        "state_dir": str(state),
        "rules": str(tmp_path / "rules.json"),
        "sources": [{"type": "file", "path": str(log)}],
        "loki": {"url": loki, "labels": {"job": "logmetrics", "host": "test"}},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    read = config.load(str(tmp_path / "config.json"))
    stored: dict[tuple[str, int], int] = {}

    def run(now: int, lines: int) -> None:
        with log.open("a") as file:
            file.write("Nov 22 10:00:00 h app: a line\n" * lines)
        printed: list[bytes] = []
        assert ship._run(read, printed.append, lambda: float(now)) == []
        for point in b"".join(printed).decode().splitlines():
            name, value, at = point.split()
            stored[name, int(at) // INTERVAL * INTERVAL] = int(value)  # whisper: the last write to a slot wins

    for now, lines in ((START + 1, 0), (START + 11, 3), (START + 21, 4), (START + 31, 0), (START + 61, 5)):
        run(now, lines)
    assert stored["logs.ship.lines", START] == 7
    assert stored["logs.ship.lines", START + INTERVAL] == 5
    assert stored["logs.ship.bytes", START] == 7 * len("Nov 22 10:00:00 h app: a line\n")
