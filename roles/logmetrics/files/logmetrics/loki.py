"""Loki's push API (POST /loki/api/v1/push, JSON; grafana/loki docs/sources/reference/loki-http-api.md)."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from . import leanjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from .config import Loki

    # [Unix ns as text, line] or [Unix ns as text, line, {structured metadata}]
    Value = List[Any]

TIMEOUT = 5.0


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
        self._path = parts.path.rstrip("/") + "/loki/api/v1/push"

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
            status, text = self._post(body, headers)
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

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=TIMEOUT)
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        text = response.read(65_536).decode("utf-8", "replace")
        if response.will_close or response.read(1):
            self._drop()
        return response.status, text

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _ignored(said: str, sent: int) -> int:
    """How many entries Loki left out, from `total ignored: N out of M` (pkg/ingester/stream.go); at least one."""
    _, found, rest = said.rpartition("total ignored: ")
    number = rest.split(" ", 1)[0] if found else ""
    return min(int(number), sent) if number.isdigit() else 1
