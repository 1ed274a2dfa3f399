"""What was done on this host, and what it must count."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass
class Event:
    """One kind of event: what was done, with which program, how often, and what it must count in all."""

    program: str
    what: str
    times: int
    counts: dict[str, float] = field(default_factory=dict)


class Ledger:
    """The events of this host in the order in which they were caused."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.not_caused: dict[str, str] = {}
        self.open: dict[str, str] = {}

    def add(self, program: str, what: str, times: int = 1, **each: float) -> None:
        """`times` events of which each counts `each`, metrics written with `__` for a dot and without `logs.`."""
        counts = {"logs." + name.replace("__", "."): number * times for name, number in each.items()}
        self.events.append(Event(program, what, times, counts))

    def cannot(self, metric: str, why: str) -> None:
        """This metric's event cannot be caused here."""
        self.not_caused[metric] = why

    def leave_open(self, metric: str, why: str) -> None:
        """This metric counts more than what is caused here; only the parser and Loki are compared."""
        self.open[metric] = why

    def document(self) -> dict[str, object]:
        """For the controller, as JSON."""
        return {"events": [asdict(event) for event in self.events], "not_caused": self.not_caused, "open": self.open}
