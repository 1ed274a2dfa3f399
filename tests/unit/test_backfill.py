"""`backfill`: old logs become the very points that a run would have sent, up to where the host's own begin."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import json
import lzma
import os
import random
import socket
import ssl
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from logmetrics import archives, backfill, carbon, cli, leanjson
from logmetrics.errors import Fault
from world import METRIC, RULES, World

MINUTE, HOUR, DAY = 60, 3600, 86_400
NOW = (int(time.time()) - 1000) // HOUR * HOUR + 1000  # never ahead of the clock, which also judges stamps


def line(at: float, message: str = "event", program: str = "app") -> str:
    return f"{time.strftime('%b %e %H:%M:%S', time.localtime(at))} host {program}[7]: {message}\n"


class Logs:
    """Days of rotated logs, and what is in them by minute."""

    def __init__(self, folder: Path, days: int = 9, seed: int = 5, every: int = 90) -> None:
        rng = random.Random(seed)  # noqa: S311 - lines, no secret
        self.truth: Counter[int] = Counter()
        self.begin = NOW - days * DAY + 30
        self.live = folder / "app.log"
        for day in range(days):
            lines = []
            for at in range(self.begin + day * DAY, min(self.begin + (day + 1) * DAY, NOW - 5), every):
                message = rng.choice(["event", "event", "noise", "message repeated 2 times: [ event]"])
                lines.append(line(at, message))
                self.truth[at // MINUTE * MINUTE] += {"event": 1, "noise": 0}.get(message, 2)
            self._write(folder, days - 1 - day, "".join(lines).encode())

    def _write(self, folder: Path, number: int, data: bytes) -> None:
        name = f"app.log.{number}" if number else "app.log"
        if number > 1:
            name, data = (f"{name}.xz", lzma.compress(data)) if number == 3 else (f"{name}.gz", gzip.compress(data))
        path = folder / name
        path.write_bytes(data)
        os.utime(path, (NOW - number * DAY, NOW - number * DAY))

    @property
    def paths(self) -> list[str]:
        return sorted(map(str, self.live.parent.glob("app.log*")))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    return Logs(tmp_path_factory.mktemp("logs"))


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rules.json"
    path.write_bytes(leanjson.dumps(RULES))
    return str(path)


def run(capfdbinary: pytest.CaptureFixture[bytes], *argv: str, status: int = 0) -> tuple[bytes, str]:
    got = cli.main(["backfill", *argv])
    out, err = capfdbinary.readouterr()
    assert got == status, err
    return out, err.decode()


def config_of(world: World, folder: Path) -> Path:
    """The host's settings, as a file."""
    path = folder / "config.json"
    settings = {
        "format": 1,
        "host": "h1",
        "state_dir": str(world.state),
        "rules": str(world.rules_path),
        "sources": [{"type": "file", "path": str(world.path)}],
    }
    path.write_text(json.dumps(settings))
    return path


def parsed(out: bytes) -> dict[tuple[str, int], float]:
    found = {}
    for one in out.decode().splitlines():
        name, value, at = one.split(" ")
        assert (name, int(at)) not in found
        found[name, int(at)] = float(value)
    return found


def test_every_minute_is_what_was_written_and_zero_where_nothing_was(
    logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    until = NOW // MINUTE * MINUTE - 2 * HOUR
    out, told = run(capfdbinary, rules, *logs.paths, "--until", str(until), "--prefix", "p.")
    points = parsed(out)
    # The first minute is partial.
    minutes = range(logs.begin // MINUTE * MINUTE + MINUTE, until, MINUTE)
    assert points == {(f"p.{METRIC}", at): logs.truth[at] for at in minutes}
    assert f"{len(points)} points of 1 series printed" in told


def test_twice_gives_the_same_bytes(logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    argv = [rules, *logs.paths, "--until", str(NOW - HOUR), "--retentions", "60s:7d,10m:90d"]
    first, _ = run(capfdbinary, *argv, "--now", str(NOW))
    assert run(capfdbinary, *argv, "--now", str(NOW))[0] == first
    assert run(capfdbinary, *argv, "--now", str(NOW + 1500))[0] == first  # within the hour
    # In any order of the files.
    assert run(capfdbinary, rules, *logs.paths[::-1], *argv[-4:], "--now", str(NOW))[0] == first


def test_older_than_the_finest_archive_is_summed_to_the_next_ones_slot(
    logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    until = NOW // MINUTE * MINUTE
    out, _ = run(
        capfdbinary, rules, *logs.paths, "--until", str(until), "--retentions", "60s:2d,10m:90d", "--now", str(NOW)
    )
    points = {at: value for (_, at), value in parsed(out).items()}
    limit = (NOW // HOUR + 1) * HOUR - 2 * DAY
    edge = -(-limit // 600) * 600  # the first coarse slot that is whole in the finest archive
    fine = {at: value for at, value in points.items() if at >= edge}
    assert fine == {at: logs.truth[at] for at in range(edge, until, MINUTE)}
    coarse = {at: value for at, value in points.items() if at < edge}
    first = -(-logs.begin // 600) * 600
    assert coarse == {
        at + 540: sum(logs.truth[minute] for minute in range(at, at + 600, MINUTE)) for at in range(first, edge, 600)
    }
    assert sum(points.values()) == sum(n for at, n in logs.truth.items() if first <= at < until)


def test_a_slot_that_live_points_share_is_left_alone(
    logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    until = NOW - 5 * DAY
    out, _ = run(
        capfdbinary, rules, *logs.paths, "--until", str(until), "--retentions", "60s:2d,1h:90d", "--now", str(NOW)
    )
    assert max(at for _, at in parsed(out)) == until // HOUR * HOUR - HOUR + 59 * MINUTE


def test_what_no_archive_keeps_is_left_out_and_told(
    logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out, told = run(capfdbinary, rules, *logs.paths, "--until", str(NOW), "--retentions", "60s:1d,5m:3d")
    assert min(at for _, at in parsed(out)) >= NOW - 3 * DAY - HOUR
    assert "intervals with a count are older than the store keeps" in told


def test_a_store_that_averages_gets_means(logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    argv = [rules, *logs.paths, "--until", str(NOW), "--retentions", "10m:90d", "--now", str(NOW)]
    sums = parsed(run(capfdbinary, *argv)[0])
    means = parsed(run(capfdbinary, *argv, "--aggregation", "average")[0])
    assert means == {key: pytest.approx(value / 10) for key, value in sums.items()}


def test_hours_without_any_line_get_no_zeros(
    tmp_path: Path, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """As where a host was off, or a rotated log is missing."""
    path = tmp_path / "app.log"
    begin = NOW // HOUR * HOUR - 20 * HOUR
    times = [begin + n * 300 for n in range(24)] + [begin + 10 * HOUR + n * 300 for n in range(24)]
    path.write_text("".join(line(at, "event" if at % 900 == 0 else "noise") for at in times))
    points = parsed(run(capfdbinary, rules, str(path), "--until", str(NOW))[0])
    assert {at // HOUR for _, at in points} == {(begin + n * HOUR) // HOUR for n in (0, 1, 10, 11)}
    assert len(points) == 4 * 60


def test_families_timings_and_one_metric_alone(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    begin = NOW // HOUR * HOUR - 5 * HOUR
    (tmp_path / "app.log").write_text(
        line(begin - 1, "x") + "".join(line(begin + n * 20, f"took {n} ms for u{n % 3}") for n in range(30))
    )
    doc = {
        "format": 1,
        "rules": [
            {"metric": "logs.by.{u}", "program": ["app"], "match": r"for (?P<u>u\d)$", "max_series": 2},
            {"metric": "logs.ms", "type": "timing", "program": ["app"], "match": r"^took (?P<value>\d+) ms"},
            {"metric": "logs.last", "type": "gauge", "program": ["app"], "match": r"^took (?P<value>\d+) ms"},
        ],
    }
    (tmp_path / "r.json").write_text(json.dumps(doc))
    argv = [str(tmp_path / "r.json"), str(tmp_path / "app.log"), "--until", str(NOW)]
    points = parsed(run(capfdbinary, *argv)[0])
    assert {name for name, _ in points} == {
        "logs.last",
        *(f"logs.by.{name}" for name in ("u0", "u1", "_other")),
        *(f"logs.ms.{part}" for part in ("count", "min", "max", "mean", "p50", "p95", "p99")),
    }
    assert points["logs.by._other", begin] == 1
    assert (points["logs.ms.count", begin], points["logs.ms.mean", begin], points["logs.last", begin]) == (3, 1, 2)
    # Zeros where nothing was, of counts alone.
    assert points["logs.ms.count", begin + 30 * MINUTE] == points["logs.by.u0", begin + 30 * MINUTE] == 0
    assert ("logs.last", begin + 30 * MINUTE) not in points
    one = parsed(run(capfdbinary, *argv, "--metric", "logs.by.{u}")[0])
    assert {name for name, _ in one} == {f"logs.by.{name}" for name in ("u0", "u1", "_other")}


def test_history_and_live_points_are_all_of_it_and_nothing_twice(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A host counts, then a new rule comes into force; its history ends where its own points begin."""
    world = World(tmp_path / "w")
    world.now = float(int(time.time()) // MINUTE * MINUTE - 3 * HOUR)
    world.path.touch()
    world.run()
    new = {"metric": "logs.test.new", "type": "counter", "program": ["app"], "match": "^event"}
    for minute in range(90):
        if minute == 40:
            world.rotate()
        if minute == 50:
            world.compress(0, "gz")
        if minute == 60:
            world.rules_path.write_bytes(leanjson.dumps({**RULES, "rules": [*RULES["rules"], new]}))
        world.write(5)
        world.advance(60)
        world.run()
    world.settle()
    live = {at: int(value) for (name, at), value in world.store().items() if name == "logs.test.new"}
    config = config_of(world, tmp_path)
    argv = [str(world.rules_path), "--config", str(config), "--metric", "logs.test.new"]
    out, _ = run(capfdbinary, *argv)
    history = {}
    for (name, at), value in parsed(out).items():
        assert name == "telegraf.h1.syslog-metrics.logs.test.new"
        history[at] = int(value)
    assert not history.keys() & live.keys()
    both = {at: n for at, n in {**history, **live}.items() if n}
    first = min(world.written)
    assert {at: n for at, n in both.items() if at > first} == {
        at: n for at, n in world.expected().items() if at > first
    }
    # The old rule was counted from the host's beginning on: nothing is left to fill in.
    assert run(capfdbinary, *argv[:3], "--metric", METRIC, status=1)[0] == b""
    # A rule that is not in force yet may have all of it.
    (tmp_path / "next.json").write_bytes(leanjson.dumps({"format": 1, "rules": [{**new, "metric": "logs.test.next"}]}))
    out, _ = run(capfdbinary, str(tmp_path / "next.json"), "--config", str(config))
    assert {at for (_, at), n in parsed(out).items() if n} == set(world.expected())


def test_names_that_the_host_has_admitted_come_before_those_of_old_lines(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    world = World(tmp_path / "w")
    family = {
        "metric": "logs.by.{u}",
        "type": "counter",
        "program": ["app"],
        "match": r"for (?P<u>u\d)$",
        "max_series": 2,
    }
    world.rules_path.write_bytes(leanjson.dumps({"format": 1, "rules": [family]}))
    world.now = float(int(time.time()) // MINUTE * MINUTE - 3 * HOUR)
    world.path.write_text(line(world.now - 1, "before"))
    world.run()
    for name in ("u7", "u8", "u9"):
        with world.path.open("a") as file:
            file.write(line(world.now, f"took 1 ms for {name}"))
        world.advance(60)
        world.run()
    world.settle()
    live = {name for name, _ in world.store() if name.startswith("logs.by.")}
    assert live == {"logs.by.u7", "logs.by.u8", "logs.by._other"}
    old = tmp_path / "app.log"
    begin = int(world.now) - 5 * HOUR
    old.write_text(line(begin - 60, "x") + "".join(line(begin + n, f"for u{n}") for n in range(10)))
    config = config_of(world, tmp_path)
    argv = [str(world.rules_path), str(old), "--source", str(world.path), "--until", str(begin + HOUR), "--prefix", ""]
    points = parsed(run(capfdbinary, *argv, "--config", str(config))[0])
    assert {name: n for (name, _), n in points.items() if n} == {"logs.by.u7": 1, "logs.by.u8": 1, "logs.by._other": 8}
    # Without a host's state the first lines' names are admitted.
    points = parsed(run(capfdbinary, *argv)[0])
    assert {name: n for (name, _), n in points.items() if n} == {"logs.by.u0": 1, "logs.by.u1": 1, "logs.by._other": 8}


def test_a_log_that_cannot_be_read_stops_it_before_anything_is_sent(
    tmp_path: Path, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The minutes at its edges would not be whole."""
    path = tmp_path / "app.log"
    path.write_text("".join(line(NOW - 9000 + n) for n in range(3000)))
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(path.read_bytes())[:-99])
    sink = "127.0.0.1:9"  # nobody is there, and nobody is asked
    argv = [rules, str(path), str(tmp_path / "app.log.1.gz"), "--until", str(NOW), "--to", sink]
    out, told = run(capfdbinary, *argv, status=2)
    assert out == b""
    first, second = told.splitlines()
    assert first.startswith(f"logmetrics backfill: {tmp_path}/app.log.1.gz: Compressed file ended before")
    assert "1 of the logs cannot be read, so there would be minutes that are not whole" in second


class Sink:
    """Takes what is sent, as carbon does; `most` bytes, then it goes away."""

    def __init__(self, most: int = 1 << 40, tls: tuple[Path, Path] | None = None) -> None:
        self.tls = tls
        self.server = socket.create_server(("127.0.0.1", 0))
        self.data = b""
        self.most = most
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    @property
    def to(self) -> str:
        return f"127.0.0.1:{self.server.getsockname()[1]}"

    def _serve(self) -> None:
        connection, _ = self.server.accept()
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            try:
                connection = context.wrap_socket(connection, server_side=True)
            except ssl.SSLError:
                return
        with connection:
            if self.most < 1 << 40:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            while len(self.data) < self.most and (more := connection.recv(4096)):
                self.data += more

    def close(self) -> bytes:
        self.thread.join(20)
        self.server.close()
        return self.data


def test_points_are_sent_throttled_and_whole(logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    argv = [rules, logs.paths[0], "--until", str(NOW), "--since", str(NOW - 2 * HOUR)]
    printed, _ = run(capfdbinary, *argv)
    count = printed.count(b"\n")
    sink = Sink()
    began = time.monotonic()
    _, told = run(capfdbinary, *argv, "--to", sink.to, "--rate", str(count))
    assert time.monotonic() - began > 0.8  # a second's worth, but for the first tenth
    assert sink.close() == printed
    assert f"{count} points of 1 series sent to 127.0.0.1:" in told


def test_points_reach_a_store_that_speaks_tls_whole(
    tmp_path: Path, logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    argv = [rules, *logs.paths, "--until", str(NOW), "--rate", "1000000"]
    printed, _ = run(capfdbinary, *argv)
    sink = Sink(tls=(certificate, key))
    # Nobody has signed it: refused before a point is sent.
    _, told = run(capfdbinary, *argv, "--to", sink.to, "--tls", status=2)
    assert "certificate verify failed" in told
    assert sink.close() == b""
    sink = Sink(tls=(certificate, key))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    run(capfdbinary, *argv, "--to", sink.to, "--tls")
    assert sink.close() == printed


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "store.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "store.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "store.pem", folder / "store.key"


def test_a_store_that_goes_away_is_one_line(logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    argv = [rules, *logs.paths, "--until", str(NOW), "--rate", "100000"]
    sink = Sink(most=1)
    to = sink.to
    _, told = run(capfdbinary, *argv, "--to", to, status=2)
    sink.close()
    assert "points; run it again when the store is back" in told
    _, told = run(capfdbinary, *argv, "--to", to, status=2)
    assert "Connection refused, after 0 of " in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "where does the live history begin? This is no host that counts, so give --until TIME"),
        (["--until", "1", "--metric", "logs.no"], "has no metric logs.no; give it as its rule does"),
        (["--until", "1", "--retentions", "60s"], "--retentions: '60s' is no archive; write step:length, as 60s:7d"),
        (["--until", "1", "--retentions", "60s:7d,90s:9d"], "is no store's: each slot is a multiple"),
        (["--until", "1", "--retentions", "30s:7d"], "30 s, is no multiple of the interval, 60 s"),
        (["--until", "1", "--schemas", "/no"], "/no: cannot be read: No such file or directory; copy it here"),
        (["--until", "1", "--to", "x:y"], "--to: 'x:y' is no address; write HOST:PORT"),
        (["--until", "1", "--rate", "0"], "--rate: must be more than 0"),
        (["--until", "1", "--prefix", "${NO_SUCH}."], "--prefix: 'NO_SUCH' is no variable"),
        (["--until", "1", "/no/log"], "/no/log: cannot be read: No such file or directory; name a log file"),
    ],
)
def test_wrong_use_is_one_line(
    argv: list[str], told: str, logs: Logs, rules: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out, err = run(capfdbinary, rules, logs.paths[0], *argv, status=2)
    assert out == b""
    assert told in err
    assert err.startswith("logmetrics backfill: ")
    assert err.count("\n") == 1


# The store's archives.


def test_schemas_of_carbon_the_first_that_matches() -> None:
    text = """
[carbon]
pattern = ^carbon\\.
retentions = 60:90d
[logs]
pattern = \\.syslog-metrics\\.
retentions = 60s:14d, 10m:90d ,1h:2y
[default]
PATTERN = .*
retentions = 60s:1d
"""
    schemas = archives.Schemas(text, "x")
    found = [(one.step, one.retention) for one in schemas.archives("telegraf.h.syslog-metrics.logs.x")]
    assert found == [(60, 14 * DAY), (600, 90 * DAY), (HOUR, 730 * DAY)]
    assert [(one.step, one.retention) for one in schemas.archives("other")] == [(60, DAY)]
    assert [(one.step, one.retention) for one in archives.parse("60:1440,5min:30days")] == [
        (60, DAY),
        (300, 30 * DAY),
    ]
    with pytest.raises(Fault, match="no pattern matches other"):
        archives.Schemas("[a]\npattern = ^x\nretentions = 60:1d", "x").archives("other")


@pytest.mark.parametrize("text", ["60s:2d,10m:90d", "60s:6h,5m:2d,1h:30d", "60s:1d"])
def test_a_slot_of_an_archive_is_filled_from_one_archive_alone(text: str) -> None:
    tiers = archives.parse(text)
    now = NOW + 17
    by_slot: dict[tuple[int, int], set[int]] = {}
    for at in range(now // MINUTE * MINUTE - 5 * DAY, now, MINUTE):
        kept = archives.slot(tiers, at, now)
        if kept is None:
            assert now + HOUR - at > tiers[-1].retention - tiers[-1].step
            continue
        assert kept[1] <= at < kept[1] + kept[0]
        # What whisper does with the point: it must not be finer than the archive that takes it.
        for moment in (now, -(-now // HOUR) * HOUR):
            age = moment - archives.stamp(tiers, kept)
            taken = next(one for one in tiers if one.retention >= age)
            assert taken.step <= kept[0]
        for coarse in tiers:
            by_slot.setdefault((coarse.step, at // coarse.step * coarse.step), set()).add(kept[0])
    for (step, _), steps in by_slot.items():
        assert len({one for one in steps if one <= step}) <= 1 or step == max(one.step for one in tiers)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("graphite:2003", ("graphite", 2003)),
        ("graphite", ("graphite", 2003)),
        ("[::1]:99", ("::1", 99)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    assert carbon.address(text) == found


def test_what_is_not_known_of_older_rules_is_told(tmp_path: Path) -> None:
    """Rule sets of long ago are forgotten: whether they counted the metric is not known, so history ends earlier."""
    world = World(tmp_path / "w")
    world.path.touch()
    world.run()
    run_ = __import__("logmetrics.count", fromlist=["Run"]).Run(world.settings, lambda: world.now)
    state: dict[str, Any] = run_.store.load()[0]
    state["timeline"][0][0] = state["first"] + 6000
    run_.store.prepare(state)
    run_.store.commit()
    until, notes = backfill.live_since(world.settings, [METRIC], int(world.now) + 90_000)
    assert until == {METRIC: state["first"]}
    assert len(notes) == 1
    assert "add --until" in notes[0]
