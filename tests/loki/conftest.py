"""A real Loki for the tests of this folder; LOGMETRICS_LOKI is the path of a binary (3.x)."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

CONFIG = """\
auth_enabled: false
analytics: {reporting_enabled: false}
server:
  {http_listen_address: 127.0.0.1, http_listen_port: %(http)d,
   grpc_listen_address: 127.0.0.1, grpc_listen_port: %(grpc)d}
common:
  instance_addr: 127.0.0.1
  path_prefix: %(data)s
  replication_factor: 1
  ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: %(data)s/chunks, rules_directory: %(data)s/rules}}
memberlist: {bind_addr: [127.0.0.1], bind_port: %(gossip)d}
ingester: {lifecycler: {min_ready_duration: 0s}}
frontend: {encoding: protobuf}
limits_config:
  {allow_structured_metadata: true, discover_service_name: [], discover_log_levels: false, ingestion_rate_mb: 32,
   ingestion_burst_size_mb: 64, per_stream_rate_limit: 32MB, per_stream_rate_limit_burst: 64MB}
querier: {query_ingesters_within: 0s}
schema_config:
  configs:
    - {from: "2024-01-01", store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
"""
READY = 90  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
        found: bytes = answer.read()
        return found


@pytest.fixture(scope="session")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Loki that runs for these tests."""
    binary = os.environ.get("LOGMETRICS_LOKI")
    if not binary:
        pytest.fail("set LOGMETRICS_LOKI to the path of a Loki binary")
    folder = tmp_path_factory.mktemp("loki")
    ports = {"http": free_port(), "grpc": free_port(), "gossip": free_port()}
    (folder / "config.yaml").write_text(CONFIG % {**ports, "data": folder / "data"})
    address = f"http://127.0.0.1:{ports['http']}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [binary, f"-config.file={folder / 'config.yaml'}"], stdout=log, stderr=log, cwd=folder
        )
        try:
            end = time.monotonic() + READY
            while True:
                try:
                    fetch(address + "/ready")
                    break
                except (OSError, urllib.error.URLError):
                    if process.poll() is not None or time.monotonic() > end:
                        pytest.fail(f"Loki is not ready: {(folder / 'log').read_text()[-2000:]}")
                    time.sleep(0.5)
            yield address
        finally:
            process.terminate()
            process.wait(30)
