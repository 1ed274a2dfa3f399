"""Lines of one kind, appended to syslog at once as a program would that writes there: burst.py KIND COUNT."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

TEXTS = {
    "trap": "burst: " + "a" * 40 + "!",
    "names": "login of visitor{:06}",
    "slow": "report " + "k=v;" * 100 + " end",
}


def main(kind: str, count: int) -> None:
    """Append them, all with the time of now, in the form of the lines that are there."""
    log = Path("/var/log/syslog")
    with log.open("rb") as tail:
        tail.seek(-4096, 2)
        last = tail.read().splitlines()[-1]
    new = last[:4].isdigit()
    stamp = datetime.datetime.now().astimezone().isoformat() if new else time.strftime("%b %e %H:%M:%S")
    with log.open("a") as file:
        for number in range(count):
            file.write(f"{stamp} h proof[1]: {TEXTS[kind].format(number)}\n")


main(sys.argv[1], int(sys.argv[2]))
