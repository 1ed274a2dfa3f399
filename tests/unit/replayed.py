"""A journal that is replayed: entries in journald's export format, and a `journalctl` that prints them from a cursor.

What it prints is held against the real journalctl in test_journal.py.
"""

from __future__ import annotations

from pathlib import Path

SCRIPT = """#!/bin/sh
# journalctl -o export [-n 1] [--cursor=...]: a cursor's x is a place in the stream; before it all may be vacuumed
cd "$(dirname "$0")" || exit 1
read -r base < base
at=$base
for argument; do
    case $argument in
        --cursor=*) at=${argument##*;x=}; [ "$at" -lt "$base" ] && at=$base ;;
        -n) read -r at < last ;;
    esac
done
exec tail -c +$((at - base + 1)) entries
"""


class Journal:
    """In `folder`, which is to stand first in PATH. Times in Unix seconds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.program = folder / "journalctl"
        self.program.write_text(SCRIPT)
        self.program.chmod(0o755)
        self.base = 0  # place in the stream at which the file begins
        self.starts: list[int] = []  # places of the entries that are there
        self.count = 0  # entries ever written
        self.entries = folder / "entries"
        self.entries.write_bytes(b"")
        self._note(0)

    def _note(self, last: int) -> None:
        (self.folder / "base").write_text(f"{self.base}\n")
        (self.folder / "last").write_text(f"{last}\n")

    def write(self, entries: list[tuple[float, bytes]]) -> None:
        """Entries of the program `app`, with the times at which journald took them."""
        data = b""
        size = self.entries.stat().st_size
        for at, message in entries:
            place = self.base + size + len(data)
            self.starts.append(place)
            self.count += 1
            data += (
                b"__CURSOR=s=aa;i=%x;b=bb;m=1;t=%x;x=%d\n__REALTIME_TIMESTAMP=%d\n"
                b"_SOURCE_REALTIME_TIMESTAMP=%d\nSYSLOG_IDENTIFIER=app\n_PID=7\n_HOSTNAME=host\nMESSAGE=%s\n\n"
            ) % (self.count, int(at * 1e6), place, int(at * 1e6), int(at * 1e6), message)
        with self.entries.open("ab") as file:
            file.write(data)
        self._note(self.starts[-1] if self.starts else self.base)

    def vacuum(self, keep: int) -> None:
        """Remove all but the newest `keep` entries."""
        gone = self.starts[: max(0, len(self.starts) - keep)]
        self.starts = self.starts[len(gone) :]
        end = self.base + self.entries.stat().st_size
        base = self.starts[0] if self.starts else end
        self.entries.write_bytes(self.entries.read_bytes()[base - self.base :])
        self.base = base
        self._note(self.starts[-1] if self.starts else base)
