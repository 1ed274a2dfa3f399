"""Whether a name is an account of this host, asked of its user databases without waiting for them for ever.

A database may be a directory service (LDAP, SSSD) that hangs, and a call into the C library cannot be interrupted: so
another thread asks, and a run waits a bounded time for all its questions together. Who was an account within the last
hour is not asked for again; who was one within the last week is still one while nobody answers.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FRESH = 3600  # seconds for which a yes holds without asking
KEPT = 7 * 86_400  # seconds for which it holds where nobody answers
_MOST = 1000  # names that are kept


def exists(name: bytes) -> bool:
    """Ask, however long it takes."""
    import pwd  # noqa: PLC0415 - needed by rules with `only: accounts` alone

    try:
        pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        return False
    return True


_known: dict[bytes, bool] = {}


def account(name: bytes) -> bool:
    """The same for verbs that a person waits for; each name is asked for once."""
    if name not in _known:
        _known[name] = exists(name)
    return _known[name]


class Accounts:
    """Answers of one run; `saved` is the state's {name: Unix time of the last yes}, changed in place."""

    def __init__(self, saved: dict[str, int], now: int, patience: float) -> None:
        self.saved = saved
        self.now = now
        self.left = patience  # seconds
        self.unanswered = 0  # names that nobody answered for
        self._answers: dict[bytes, bool] = {}

    def __call__(self, name: bytes) -> bool:
        """Whether an account of this name exists."""
        answer = self._answers.get(name)
        if answer is None:
            answer = self._answers[name] = self._find(name)
        return answer

    def _find(self, name: bytes) -> bool:
        key = name.decode("latin-1")
        age = self.now - self.saved.get(key, -KEPT)
        if 0 <= age < FRESH:
            return True
        answer = self._ask(name)
        if answer is None:
            self.unanswered += 1
            return age < KEPT
        self.saved.pop(key, None)
        if answer:
            self.saved[key] = self.now
        return answer

    def _ask(self, name: bytes) -> bool | None:
        if self.left <= 0:
            return None
        import _thread  # noqa: PLC0415 - as above; threading costs more

        done: list[Any] = []
        lock = _thread.allocate_lock()
        lock.acquire()

        def ask() -> None:
            try:
                done.append(exists(name))
            except OSError:
                pass  # it could not be asked: no answer
            finally:
                lock.release()

        began = time.monotonic()
        _thread.start_new_thread(ask, ())
        lock.acquire(timeout=self.left)
        self.left -= time.monotonic() - began
        return done[0] if done else None

    def forget(self) -> None:
        """Drop names whose last yes is too long ago, and the oldest of very many."""
        kept = sorted(self.saved, key=lambda name: self.saved[name])[-_MOST:]
        for name in list(self.saved):
            if self.saved[name] <= self.now - KEPT or (len(self.saved) > _MOST and name not in kept):
                del self.saved[name]
