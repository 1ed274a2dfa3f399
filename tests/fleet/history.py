"""Days of rotated logs with a known history, and what a real whisper store holds of it, archive by archive."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fleet import hosts
from fleet.fleets import Host

DAY, MINUTE = 86_400, 60
RULES = Path(__file__).with_name("past") / "events.yml"
FAILED, SECONDS = "logs.proof.failed", "logs.proof.seconds"
METRICS = (FAILED, SECONDS)
# storage-schemas.conf of the image `graphite`.
RETENTIONS = "60s:14d,10m:90d,1h:2y"

# Prints {metric: {step: {time: value}}} of whisper files, without what is null.
_READ = """
import json, sys, time, whisper
found = {}
until = int(time.time())
for metric in sys.argv[2:]:
    path = "/var/lib/graphite/whisper/" + (sys.argv[1] + metric).replace(".", "/") + ".wsp"
    try:
        archives = whisper.info(path)["archives"]
    except (TypeError, FileNotFoundError):
        continue
    for archive in archives:
        step = archive["secondsPerPoint"]
        (first, _, step), values = whisper.fetch(path, until - archive["retention"], until, archiveToSelect=step)
        points = {first + n * step: value for n, value in enumerate(values) if value is not None}
        found.setdefault(metric, {})[step] = points
print(json.dumps(found))
"""


@dataclass
class Written:
    """The logs' content by file name (newest first), and what is in them by metric and minute."""

    begin: int
    end: int
    files: dict[str, bytes] = field(default_factory=dict)
    mtimes: dict[str, int] = field(default_factory=dict)
    truth: dict[str, Counter[int]] = field(default_factory=lambda: {metric: Counter() for metric in METRICS})


def write(days: int, end: int, host: str, seed: int = 1) -> Written:
    """`days` days of lines up to `end` (Unix time), one file a day, rotated as by logrotate: .1, .2.gz, .3.xz, ..."""
    rng = random.Random(seed)  # noqa: S311 - lines, no secret
    found = Written(end - days * DAY, end)
    run = 0
    for day in range(days):
        lines = []
        at = float(found.begin + day * DAY)
        while at < found.begin + (day + 1) * DAY:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{rng.randrange(1_000_000):06d}+00:00"
            minute = int(at) // MINUTE * MINUTE
            run += 1
            kind = rng.randrange(4)
            if kind == 0:
                found.truth[FAILED][minute] += 1
                lines.append(f"{stamp} {host} proof-backup[{run}]: run {run} failed: disk full\n")
            elif kind == 1:
                tenths = rng.randrange(1, 900)
                found.truth[SECONDS][minute] += tenths  # in tenths, so that sums are exact
                lines.append(f"{stamp} {host} proof-backup[{run}]: run {run} finished in {tenths / 10} s\n")
            else:
                lines.append(f"{stamp} {host} other[{run}]: run {run} failed: not ours\n")
            at += rng.random() * 60
        number = days - day
        data = "".join(lines).encode()
        name = f"syslog.{number}"
        if number > 1:
            name, data = (f"{name}.xz", lzma.compress(data)) if number % 3 == 0 else (f"{name}.gz", gzip.compress(data))
        found.files[name] = data
        found.mtimes[name] = int(found.begin + (day + 1) * DAY)
    return found


Store = dict[str, dict[int, dict[int, float]]]


def read(graphite: Host, prefix: str) -> Store:
    """What the store holds: {metric: {step of the archive: {time: value}}}."""
    text = hosts.execute(graphite, "python3", "-c", _READ, prefix, *METRICS)
    return {
        metric: {int(step): {int(at): value for at, value in points.items()} for step, points in archives.items()}
        for metric, archives in json.loads(text).items()
    }


def settled(graphite: Host, prefix: str, patience: float = 60) -> Store:
    """The store's content when carbon has written all it has got: no change for three seconds."""
    deadline = time.monotonic() + patience
    last: Store = {}
    while time.monotonic() < deadline:
        now = read(graphite, prefix)
        if now and now == last:
            return now
        last = now
        time.sleep(3)
    return last


def faults(written: Written, store: Store, first: int, until: int) -> list[str]:
    """Where the store differs from the truth between two Unix times; up to ten.

    The finest archive holds single minutes, but for the hour before its end, which is summed already; the next one
    holds sums over all that time, for whisper passes on to it what the finest gets.
    """
    found = []
    now = time.time()
    for metric, truth in written.truth.items():
        scale = 10 if metric == SECONDS else 1
        archives = store.get(metric, {})
        for step, oldest in ((60, max(first, int(now) - 14 * DAY + 3600 + 600)), (600, first)):
            points = archives.get(step, {})
            for at in range(-(-oldest // step) * step, until - step + 1, step):
                wanted = sum(truth[minute] for minute in range(at, at + step, MINUTE)) / scale
                got = points.get(at)
                if got is None or abs(got - wanted) > 1e-6:
                    found.append(f"{metric} {step} s at {at}: {got}, not {wanted}")
    return found[:10]
