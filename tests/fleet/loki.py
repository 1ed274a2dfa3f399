"""A real Loki on this machine for the time of a test: one process, its data in a folder of the caller's."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet.progress import FleetError

CONFIG = """\
auth_enabled: false
analytics: {reporting_enabled: false}
server:
  {http_listen_address: %(address)s, http_listen_port: %(http)d,
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
   ingestion_burst_size_mb: 64, per_stream_rate_limit: 32MB, per_stream_rate_limit_burst: 64MB,
   max_entries_limit_per_query: 50000}
querier: {query_ingesters_within: 0s}
schema_config:
  configs:
    - {from: "2024-01-01", store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
"""
READY = 90  # seconds


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, body: bytes | None = None) -> bytes:
    """GET, or POST of JSON."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - our own Loki
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own Loki
        found: bytes = answer.read()
        return found


def instant(loki: str, query: str, at: float) -> list[float]:
    """The values of an instant query at a Unix time, one for each series."""
    parameters = urllib.parse.urlencode({"query": query, "time": f"{at:.0f}"})
    answer = json.loads(fetch(f"{loki}/loki/api/v1/query?{parameters}"))["data"]["result"]
    return [float(one["value"][1]) for one in answer]


def lines(loki: str, selector: str, begin: float, end: float) -> list[tuple[dict[str, Any], str, str]]:
    """All lines of a selector between two Unix times: (labels and structured metadata, time in ns, line), in order."""
    found: list[tuple[dict[str, Any], str, str]] = []
    parameters = {"query": selector, "start": f"{begin:.0f}", "end": f"{end:.0f}", "limit": "50000"}
    url = f"{loki}/loki/api/v1/query_range?{urllib.parse.urlencode({**parameters, 'direction': 'forward'})}"
    for stream in json.loads(fetch(url))["data"]["result"]:
        found += [(stream["stream"], at, line) for at, line in stream["values"]]
    return sorted(found, key=lambda one: int(one[1]))


@contextmanager
def running(binary: str, folder: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """The address of a Loki that runs until the end of the block; FleetError where it does not come up."""
    ports = {"http": free_port(address), "grpc": free_port(), "gossip": free_port()}
    (folder / "config.yaml").write_text(CONFIG % {**ports, "address": address, "data": folder / "data"})
    url = f"http://{address}:{ports['http']}"
    with (folder / "log").open("w") as log:
        command = [binary, f"-config.file={folder / 'config.yaml'}"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            end = time.monotonic() + READY
            while True:
                try:
                    fetch(url + "/ready")
                    break
                except (OSError, urllib.error.URLError):
                    if process.poll() is not None or time.monotonic() > end:
                        raise FleetError(f"Loki is not ready: {(folder / 'log').read_text()[-2000:]}") from None
                    time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(30)
