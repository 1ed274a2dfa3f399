"""Run on a host, as root: write numbered lines to /dev/log at a steady rate, and note what was sent.

    python3 writer.py --rate LINES_PER_SECOND --until UNIX_TIME

Odd numbers go to facility auth as `proof-auth`, even ones to daemon as `proof-daemon`. Each line bears its number and
the time by this program's clock. A line counts as sent when the kernel took the datagram; while nobody listens (the
logger restarts) it waits. Started again, after a boot too, it goes on a thousand numbers later. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import time
from pathlib import Path

FOLDER = Path("/var/lib/chaos")
RECORD = FOLDER / "record"  # a line for each batch: first number, last number
HOLD = FOLDER / "hold"  # who locks it keeps the writer waiting
BATCH = 0.02  # seconds
SKIP = 1000  # numbers left out at a start: what was sent but not noted stands out
AUTH, DAEMON = 4 * 8 + 6, 3 * 8 + 6  # priority values of auth.info and daemon.info (RFC 3164, 4.1.1)


class Writer:
    """Sends lines, one datagram each, as syslog(3) does."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.over = False

    def send(self, line: bytes) -> None:
        """Send one line; waits where the logger does not take it."""
        while True:
            try:
                if self.socket is None:
                    self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    self.socket.connect("/dev/log")
                self.socket.send(line)
                return
            except OSError:
                if self.socket is not None:
                    self.socket.close()
                    self.socket = None
                time.sleep(0.05)

    def batch(self, first: int, last: int) -> None:
        """Send the lines of these numbers."""
        for number in range(first, last + 1):
            now = time.time()
            priority, tag = (AUTH, "proof-auth") if number % 2 else (DAEMON, "proof-daemon")
            stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now))
            text = f"event {number} weight {number % 997} at {now:.6f}"
            self.send(f"<{priority}>{stamp} {tag}[{os.getpid()}]: {text}".encode())

    def stop(self, *_: object) -> None:
        """End after the present batch."""
        self.over = True


def main() -> None:
    """Write until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--begin", type=float, required=True)
    parser.add_argument("--until", type=float, required=True)
    options = parser.parse_args()
    writer = Writer()
    signal.signal(signal.SIGTERM, writer.stop)
    noted = RECORD.read_text().split() if RECORD.exists() else []
    following = int(noted[-1]) + 1 + SKIP if noted else 1
    time.sleep(max(0.0, options.begin - time.time()))
    begun, sent = time.monotonic(), 0
    hold = os.open(HOLD, os.O_RDWR | os.O_CREAT, 0o600)
    with RECORD.open("ab", buffering=0) as record:
        while not writer.over and time.time() < options.until:
            due = int((time.monotonic() - begun) * options.rate) - sent
            # What was not written in time (the logger was away, the writer was held) is made up for, thrice as fast.
            due = min(due, int(3 * BATCH * options.rate) + 1)
            if due > 0:
                fcntl.flock(hold, fcntl.LOCK_SH)
                writer.batch(following, following + due - 1)
                record.write(b"%d %d\n" % (following, following + due - 1))
                fcntl.flock(hold, fcntl.LOCK_UN)
                following += due
                sent += due
            time.sleep(BATCH)


if __name__ == "__main__":
    main()
