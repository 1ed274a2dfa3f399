"""Hold what happened against what the stores say, in every minute, and print it as one table."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from fleet.readback import Minutes


@dataclass(frozen=True)
class Row:
    """One metric of one host: its counts per minute in each place; equal only where every minute is."""

    host: str
    metric: str
    happened: dict[int, float]
    graphite: dict[int, float]
    loki: dict[int, float]

    @property
    def differing(self) -> list[int]:
        """Minutes in which a place has another number, or no point at all where Graphite must have one."""
        return [
            at
            for at, number in sorted(self.happened.items())
            if self.graphite.get(at) != number or self.loki.get(at) != number
        ]

    @property
    def equal(self) -> bool:
        """Whether all three agree in every minute."""
        return not self.differing


def rows(
    host: str, metrics: Iterable[str], minutes: range, happened: Minutes, graphite: Minutes, loki: Minutes
) -> list[Row]:
    """One row a metric; a minute in which nothing happened must read 0 in both stores."""
    return [
        Row(
            host,
            metric,
            {at: happened.get(metric, {}).get(at, 0) for at in minutes},
            graphite.get(metric, {}),
            loki.get(metric, {}),
        )
        for metric in metrics
    ]


def number(value: float | None) -> str:
    """A count as people write it; a missing point as a dash."""
    return "-" if value is None else f"{value:g}"


def table(all_rows: list[Row]) -> str:
    """The table, with every differing minute spelled out beneath its row."""
    lines = [f"{'host':<9}{'metric':<21}{'happened':>9}{'Graphite':>9}{'Loki':>6}   every minute"]
    for row in all_rows:
        totals = [sum(place.values()) for place in (row.happened, row.graphite, row.loki)]
        minutes = len(row.happened)
        verdict = f"equal ({minutes} of {minutes})" if row.equal else f"DIFFERENT ({len(row.differing)} of {minutes})"
        lines.append(f"{row.host:<9}{row.metric:<21}{totals[0]:>9g}{totals[1]:>9g}{totals[2]:>6g}   {verdict}")
        for at in row.differing:
            clock = time.strftime("%H:%M", time.localtime(at))
            cells = [number(place.get(at)) for place in (row.happened, row.graphite, row.loki)]
            lines.append(f"{'':<9}  {clock}: happened {cells[0]}, Graphite {cells[1]}, Loki {cells[2]}")
    return "\n".join(lines)
