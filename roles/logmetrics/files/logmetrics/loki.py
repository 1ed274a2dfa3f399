"""Loki's push API (POST /loki/api/v1/push, JSON; grafana/loki docs/sources/reference/loki-http-api.md)."""

from __future__ import annotations

import http.client
from urllib.parse import urlencode, urlsplit
from zlib import crc32

from . import leanjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from .config import Loki

    # [Unix ns as text, line] or [Unix ns as text, line, {structured metadata}]
    Value = List[Any]

TIMEOUT = 5.0
_ANSWER = 1 << 24  # bytes of an answer that are read: one entry of the longest line, in JSON, and some words


class Answer:
    """What Loki made of a push."""

    __slots__ = ("fault", "rejected", "taken")

    def __init__(self, taken: bool, rejected: int = 0, fault: str = "") -> None:
        self.taken = taken  # False: send it again later
        self.rejected = rejected
        self.fault = fault


class Client:
    """One connection for one run."""

    def __init__(self, settings: Loki) -> None:
        self._settings = settings
        self._connection: http.client.HTTPConnection | None = None
        parts = urlsplit(settings.url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port
        self._path = parts.path.rstrip("/") + "/loki/api/v1/"

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "logmetrics"}
        if self._settings.tenant is not None:
            headers["X-Scope-OrgID"] = self._settings.tenant
        if self._settings.auth_file is not None:
            from base64 import b64encode  # noqa: PLC0415

            with open(self._settings.auth_file, "rb") as file:
                headers["Authorization"] = "Basic " + b64encode(file.read().strip()).decode("ascii")
        return headers

    def push(self, source: str, values: list[Value]) -> Answer:
        """Send one stream's entries. Never raises for what the network or Loki does."""
        where = self._settings.url
        try:
            headers = self._headers()
        except OSError as error:
            return Answer(
                False, fault=f"{self._settings.auth_file}: cannot be read: {error.strerror}; nothing is shipped"
            )
        labels = {**self._settings.labels, "source": source}
        body = leanjson.dumps({"streams": [{"stream": labels, "values": values}]})
        try:
            status, text = self._request("POST", "push", headers, body)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            return Answer(
                False, fault=f"{where}: no answer ({error or type(error).__name__}); tried again at the next run"
            )
        if status in (200, 204):
            return Answer(True)
        said = " ".join(text.split())[:300]
        if status == 400:
            return Answer(True, _ignored(said, len(values)), f"{where}: rejected lines of {source}: {said}")
        if status == 413 and len(values) > 1:
            half = len(values) // 2
            first = self.push(source, values[:half])
            if not first.taken:
                return first
            second = self.push(source, values[half:])
            return Answer(second.taken, first.rejected + second.rejected, second.fault or first.fault)
        if status == 413:
            return Answer(True, 1, f"{where}: a line of {source} is too large for it: {said}")
        return Answer(False, fault=f"{where}: answered {status}: {said or 'nothing'}; tried again at the next run")

    def holds(self, source: str, at: str, crc: int) -> tuple[bool | None, str]:
        """(whether the stream has an entry of this time whose line has this CRC-32, a fault).

        None where Loki does not answer now. Where nobody may ask (a gateway for pushes), it is taken to have none.
        """
        where = self._settings.url
        labels = {**self._settings.labels, "source": source}
        selector = ",".join(f"{name}={_quoted(value)}" for name, value in labels.items())
        query = {"query": "{" + selector + "}", "start": at, "end": str(int(at) + 1), "limit": "1000"}
        try:
            status, text = self._request("GET", f"query_range?{urlencode(query)}", self._headers())
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            return None, f"{where}: no answer ({error or type(error).__name__}); tried again at the next run"
        if status == 200:
            try:
                streams = leanjson.loads(text.encode("utf-8"))["data"]["result"]
                return crc in [crc32(line.encode("utf-8")) for one in streams for _, line, *_ in one["values"]], ""
            except (ValueError, KeyError, TypeError):
                pass  # no answer of Loki's
        said = " ".join(text.split())[:300] or "nothing"
        if status == 429 or status >= 500:
            return None, f"{where}: answered {status}: {said}; tried again at the next run"
        return False, (
            f"{where}: lets nobody ask whether lines have arrived (it answered {status}: {said}); "
            "after an answer that was lost they are sent again, and may be there twice"
        )

    def _request(self, method: str, what: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, str]:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=TIMEOUT)
        self._connection.request(method, self._path + what, body, headers)
        response = self._connection.getresponse()
        text = response.read(_ANSWER).decode("utf-8", "replace")
        if response.will_close or response.read(1):
            self._drop()
        return response.status, text

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _quoted(value: str) -> str:
    """A string of LogQL: as in Go, where JSON's surrogate pairs are none."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _ignored(said: str, sent: int) -> int:
    """How many entries Loki left out, from `total ignored: N out of M` (pkg/ingester/stream.go); at least one."""
    _, found, rest = said.rpartition("total ignored: ")
    number = rest.split(" ", 1)[0] if found else ""
    return min(int(number), sent) if number.isdigit() else 1
