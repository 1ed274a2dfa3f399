"""Points sent to a carbon's plaintext port at a bounded rate."""

from __future__ import annotations

import socket
import time

from .errors import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

TIMEOUT = 20.0  # seconds that the store may keep us waiting
_BATCHES = 10  # a second


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [IPv6]:PORT; without a port carbon's 2003. Raises Fault."""
    host, colon, port = text.rpartition(":")
    if not colon or (host.count(":") and not host.endswith("]")):
        host, port = text, "2003"
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise Fault(f"--to: {text!r} is no address; write HOST:PORT, as graphite.example.org:2003")
    return host.strip("[]"), int(port)


def send(
    lines: Sequence[str], to: tuple[str, int], rate: float, show: Callable[[str], object], tls: bool = False
) -> None:
    """Send the lines in their order, at most `rate` a second, and wait until the other side has read the last.

    Raises Fault, with how many had been handed over; sending all of them again is safe.
    """
    sent = 0
    try:
        with _connect(to, tls) as connection:
            batch = max(1, int(rate / _BATCHES))
            began = time.monotonic()
            while sent < len(lines):
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
                connection.sendall("".join(lines[sent : sent + batch]).encode())
                sent += len(lines[sent : sent + batch])
                show(f"{sent} of {len(lines)} points sent")
            _end(connection)
    except OSError as error:
        what = error.strerror or str(error) or type(error).__name__
        raise Fault(
            f"{to[0]}:{to[1]}: {what}, after {sent} of {len(lines)} points; run it again when the store is back"
        ) from None


def _end(connection: socket.socket) -> None:
    """Tell the other side that nothing more comes, and wait until it has closed: then it has read all.

    A store answers nothing; but what TLS itself has sent must be read, or closing would reset the connection.
    """
    unwrap = getattr(connection, "unwrap", None)
    if unwrap is not None:
        try:
            connection = unwrap()
        except OSError:
            return  # it closed without TLS's own goodbye, as many do
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def _connect(to: tuple[str, int], tls: bool) -> socket.socket:
    plain = socket.create_connection(to, timeout=TIMEOUT)
    if not tls:
        return plain
    import ssl  # noqa: PLC0415 - for hosted stores alone

    return ssl.create_default_context().wrap_socket(plain, server_hostname=to[0])
