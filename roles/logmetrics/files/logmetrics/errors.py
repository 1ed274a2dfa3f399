"""What can go wrong in a way that an operator can mend: each message says what, where and what to do."""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 - it is what happened, and reads so where it is raised
    """Unusable input or environment; its text is one line for the operator."""


class StateTooNew(Fault):
    """The state was written by a newer release; it is left alone."""


class Busy(Fault):
    """Another run of the same verb holds the lock."""
