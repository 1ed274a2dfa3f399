"""Where things are kept between runs, and under which key: always a hash of what they are made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet.progress import say


def cache_dir() -> Path:
    """The project's folder in the user's cache (XDG Base Directory: $XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "logmetrics"


def key_of(*parts: bytes) -> str:
    """12 hex digits that stand for these parts in this order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock of this name over all processes of this user; a second one waits and says so."""
    path = cache_dir() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another process holds {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
