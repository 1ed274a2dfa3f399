"""`make proof-outages`: parts of the way fail in turn while real events go on; afterwards every count is there.

On a running demo fleet. One line of time for all three hosts, in seconds after the first counted minute began:

     60  Telegraf is killed with -9 and stays down until 240
    120  Loki is stopped until 270
    300  carbon (the Graphite server's store) is stopped until 600
    450  Telegraf is restarted in the middle of that
    690  the events end
"""

from __future__ import annotations

import concurrent.futures
import sys
import time
from collections.abc import Callable

from fleet import compare, demo, hosts, proof
from fleet.fleets import Host
from fleet.progress import FleetError, say

DURATION = 690
ARRIVAL = 700  # the last resending of a point comes ten minutes after its interval


def on_each(*words: str) -> None:
    """Run a command on every host that logs, at the same time."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: hosts.execute(host, *words), demo.LOGGED))


def kill_telegraf() -> None:
    """kill -9, then keep systemd from starting it again."""
    on_each("systemctl", "kill", "--signal=KILL", "telegraf")
    on_each("systemctl", "stop", "telegraf")


def on_graphite(*words: str) -> None:
    """Run a command on the Graphite host."""
    hosts.execute(demo.DEMO.host("graphite"), *words)


STEPS: list[tuple[int, str, Callable[[], None]]] = [
    (60, "Telegraf: kill -9, down for three minutes", kill_telegraf),
    (120, "Loki: stopped for two and a half minutes", lambda: on_each("systemctl", "stop", "loki")),
    (240, "Telegraf: started", lambda: on_each("systemctl", "start", "telegraf")),
    (270, "Loki: started", lambda: on_each("systemctl", "start", "loki")),
    (300, "carbon: stopped for five minutes", lambda: on_graphite("systemctl", "stop", "carbon-cache")),
    (450, "Telegraf: restarted while carbon is away", lambda: on_each("systemctl", "restart", "telegraf")),
    (600, "carbon: started", lambda: on_graphite("systemctl", "start", "carbon-cache")),
]


def disturb(begin: int) -> None:
    """Carry out the steps at their times."""
    for after, text, step in STEPS:
        time.sleep(max(0, begin + after - time.time()))
        say(f"{after:3} s: {text}")
        step()


def services(host: Host) -> str:
    """States of the host's two services, to show that they are as they should be at the end."""
    return hosts.execute(host, "systemctl", "is-active", "loki", "telegraf").replace("\n", " ").strip()


def main() -> int:
    """Run the proof on a demo fleet that is up; 0 only where every minute is equal in both stores."""
    hosts.up(demo.DEMO)
    demo.play("-e", f"logmetrics_mirror={demo.DEMO.mirror_url} logmetrics_lock=")
    begin = demo.next_minute(demo.SET_UP)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        disturbance = pool.submit(disturb, begin)
        happened, first, last = demo.events_on_all(paced=DURATION)
        disturbance.result()
    if first != begin:
        raise FleetError("the events began a minute late; run it again")
    rows = demo.settle(happened, first, last, ARRIVAL)
    table = compare.table(rows)
    states = {host.name: services(host) for host in demo.LOGGED}
    equal = all(row.equal for row in rows) and all(state == "active active" for state in states.values())
    print("\n" + table)
    steps = "\n".join(f"| {after} s | {text} |" for after, text, _ in STEPS)
    proof.write(
        "outages",
        "make proof-outages",
        "all equal, in every minute" if equal else "NOT equal",
        f"| after | what |\n|---|---|\n{steps}\n\n```\n{table}\n```",
    )
    return 0 if equal else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FleetError as problem:
        sys.exit(f"outages: {problem}")
