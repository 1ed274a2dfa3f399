"""Run on a host, as root: what was written, by minute, from a copy of the log that no rotation touches.

    python3 truth.py files|journal

`files`: rsyslog writes each line of the proof to /var/log/proof/complete.log first, with the line's own time as the
Unix seconds that rsyslog makes of it, and then to auth.log or syslog with the same time as text. `journal`: each
journal file is kept by a hard link before a vacuum can delete it, and read by `journalctl -o json` for the time at
which journald's socket took the message. So the truth comes from the daemon's own output of numbers; no stamp, no
header and no rotated name is taken apart here, which is what the parser under test does.

Prints one JSON object:
    written   {metric: {Unix time of the minute: value}}: every line that the daemon wrote
    kept      the same of those that rotation has left to be found: what is missing here, logrotate has destroyed itself
    sent, missing   lines that the writer has noted as sent; of them not written
    unnoted, twice  lines that were written, but not noted; that were written twice
    delay     [least, most] seconds from the writer's clock to the daemon's time
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

COMPLETE = Path("/var/log/proof/complete.log")
JOURNAL = Path("/var/log/journal/proof-kept")
RECORD = Path("/var/lib/chaos/record")
EVENT = re.compile(r"event (\d+) weight (\d+) at (\d+\.\d+)$")
TAGGED = re.compile(rb"proof-(?:auth|daemon)\[\d+\]: event (\d+) ")
Line = tuple[float, int, int, float]  # the daemon's time, number, weight, the writer's time


def of_rsyslog() -> Iterator[Line]:
    """Lines of the complete copy: "UNIX_SECONDS TAG MESSAGE"."""
    with COMPLETE.open(encoding="ascii") as file:
        for line in file:
            found = EVENT.search(line)
            if found is None:
                sys.exit(f"truth: {COMPLETE}: an unforeseen line: {line!r}")
            yield float(line.partition(" ")[0]), int(found[1]), int(found[2]), float(found[3])


def of_journald() -> Iterator[Line]:
    """Entries of all journal files that were kept."""
    command = ["journalctl", "--directory", str(JOURNAL), "--output=json", "--quiet", "-t", "proof-auth"]
    command += ["-t", "proof-daemon", "--output-fields=MESSAGE,_SOURCE_REALTIME_TIMESTAMP"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        for line in run.stdout:
            entry = json.loads(line)
            found = EVENT.search(entry["MESSAGE"])
            if found is None:
                sys.exit(f"truth: an unforeseen entry: {line!r}")
            yield int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6, int(found[1]), int(found[2]), float(found[3])
    if run.returncode:
        sys.exit(f"truth: journalctl ended with {run.returncode}")


def left_by_rotation() -> Counter[int]:
    """How often each number stands in the logs and their rotated copies."""
    found: Counter[int] = Counter()
    logs = Path("/var/log")
    for path in [*logs.glob("auth.log*"), *logs.glob("syslog*")]:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            found.update(map(int, TAGGED.findall(file.read())))
    return found


def by_minute(lines: dict[int, Line]) -> dict[str, dict[int, int]]:
    """What the rules of proof.yml count."""
    counts: dict[str, Counter[int]] = {name: Counter() for name in ("auth", "daemon", "weight")}
    for at, number, weight, _ in lines.values():
        minute = int(at) // 60 * 60
        counts["auth" if number % 2 else "daemon"][minute] += 1
        if number % 2 == 0:
            counts["weight"][minute] += weight
    return {f"logs.proof.{name}": dict(minutes) for name, minutes in counts.items()}


def main(kind: str) -> None:
    """Print the truth."""
    written: dict[int, Line] = {}
    twice = 0
    for line in of_rsyslog() if kind == "files" else of_journald():
        twice += line[1] in written
        written[line[1]] = line
    kept = written
    if kind == "files":
        left = left_by_rotation()
        twice += sum(times - 1 for times in left.values())
        kept = {number: line for number, line in written.items() if number in left}
        if strange := len(left.keys() - written.keys()):
            sys.exit(f"truth: {strange} lines are in the logs, but not in {COMPLETE}")
    noted = {
        number
        for first, last in (line.split() for line in RECORD.read_text().splitlines())
        for number in range(int(first), int(last) + 1)
    }
    delays = [line[0] - (int(line[3]) if kind == "files" else line[3]) for line in written.values()]
    found = {
        "written": by_minute(written),
        "kept": by_minute(kept),
        "sent": len(noted),
        "missing": len(noted - written.keys()),
        "unnoted": len(written.keys() - noted),
        "twice": twice,
        "delay": [round(min(delays), 6), round(max(delays), 6)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
