"""A time budget for each rule: a regex that backtracks without end is stopped, and the rule set aside for the run.

`setitimer(2)` with ITIMER_VIRTUAL sends SIGVTALRM by the CPU time that this process spends, and CPython's `re` looks
for signals while it matches. So the watch samples: each tick is charged to the rule at work, and a rule that has used
more than the budget, and more than any sound rule takes for so many lines, is stopped by an exception out of the
handler.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .rules import Rule

_TICKS = 10  # samples in a budget
PER_LINE = 0.000_05  # seconds that a rule may take for a line on top of its budget: far more than sound ones do


class TooSlow(Exception):  # noqa: N818 - what the rule is, where it is raised
    """The rule at work has used up its budget."""


class Watch:
    """Samples which rule is at work from the first `begin` to `stop`; `budget` in seconds of CPU time, 0 for none."""

    def __init__(self, budget: float = 0.0) -> None:
        self.budget = budget
        self.working: object = None  # the rule, or the group of rules, that is matching now
        self.aside: list[Rule] = []
        self.slow: dict[Rule, bytes] = {}  # the message on which a rule was set aside, where it is known
        self._lines = 0  # lines that each rule may be tried on
        self._spent: dict[object, float] = {}
        self._undo: Callable[[], object] | None = None

    def begin(self, lines: int) -> None:
        """So many lines come now, and each rule's budget begins anew."""
        self._lines = lines
        self._spent.clear()
        if self._undo is None and self.budget > 0:
            self._start()

    def _start(self) -> None:
        # The C module itself: its wrapper's enums take longer to import than a typical minute takes to count.
        import _signal as signal  # type: ignore[import-not-found]  # noqa: PLC0415

        try:
            before = signal.signal(signal.SIGVTALRM, lambda *_: self._tick())
        except ValueError:
            return  # not in the main thread: nothing is watched
        every = self.budget / _TICKS
        signal.setitimer(signal.ITIMER_VIRTUAL, every, every)

        def undo() -> None:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

        self._undo = undo

    def stop(self) -> None:
        """End the samples."""
        self.working = None
        if self._undo is not None:
            self._undo()
            self._undo = None

    def set_aside(self, rule: Rule, message: bytes | None = None) -> None:
        """This rule is not tried again in this run; `message` is what it was too slow on."""
        self.working = None
        if rule not in self.aside:
            self.aside.append(rule)
        if message is not None:
            self.slow[rule] = message

    def _tick(self) -> None:
        working = self.working
        if working is None:
            return
        spent = self._spent.get(working, 0.0) + self.budget / _TICKS
        self._spent[working] = spent
        if spent > self.budget + self._lines * PER_LINE:
            raise TooSlow
