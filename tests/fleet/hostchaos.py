"""`make proof-hosts`: real rsyslog, logrotate and journald under a thousand lines a second, and everything that kills.

Four hosts, a way of rotating logs each. On every one of them a writer sends numbered lines to /dev/log at the full rate
(so the fleet has four times that), half of them to auth.log and half to syslog, from the first counted minute to the
last. Meanwhile, at random moments (by `--seed`): logs are rotated every 6 to 35 s, Telegraf is killed with -9 twenty
times (its process alone, its whole group, its process while the parser runs) and the parser's own runs six times,
Telegraf is stopped for 75 s, the host is rebooted; one host's disk under /var/lib/logmetrics fills up and then turns
read-only, each for more than a run; the journal moves to /run and back.

Afterwards Graphite and Loki must say in every minute what `chaos/truth.py` says was written. There is one exception,
measured and shown as such: on host `copied` syslog is rotated by copytruncate under full load, and logrotate itself
loses what is written between its copy and its truncation (its manual, copytruncate); there the stores must lie between
what rotation has left and what was written. (auth.log of that host is rotated so while the writer holds its breath.)

At last come losses that no program can prevent, which must be reported to the line: entries that a vacuum removed
unread, and lines that journald's and rsyslog's rate limits suppressed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet import compare, demo, hosts, proof, readback
from fleet.fleets import FLEETS, Host
from fleet.podman import podman
from fleet.progress import FleetError, say
from fleet.readback import Minutes

HERE = Path(__file__).with_name("chaos")
INVENTORY = "tests/fleet/chaos/inventory"
CHAOS = FLEETS["chaos"]
GRAPHITE = f"http://{CHAOS.host('graphite').address}"
METRICS = ["logs.proof.auth", "logs.proof.daemon", "logs.proof.weight"]
ERROR, LOST, SUPPRESSED = "logs.script_error", "logs.parser.lost", "logs.parser.upstream_suppressed"
KILLS, RUN_KILLS = 20, 6
WHOLE, FULL_RATE = 600, 1000  # seconds, and lines a second on a host: with less no proof is written
ARRIVAL = 700  # the last resending of a point comes ten minutes after its interval
FULL, READ_ONLY = "No space left on device", "Read-only file system"
BROKEN_DISK = 75  # seconds: more than the interval, so that a run of `count` meets it

HUP = "postrotate\n    /usr/lib/rsyslog/rsyslog-rotate\n"
BOTH = "/var/log/syslog\n/var/log/auth.log\n"
DATED = "dateext\n  dateformat -%Y%m%d-%s\n"
# As Debian's rsyslog has it, but with so many copies kept that none is deleted before it could be read: no program
# would see that loss.
KEEP = "rotate 500\n  missingok\n  notifempty\n  compress\n"


@dataclass(frozen=True)
class Rotation:
    """One logrotate configuration; `quiet` means that the writer holds its breath while it runs."""

    name: str
    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Kind:
    """What a host is there for."""

    name: str
    how: str
    rotations: tuple[Rotation, ...] = ()
    banded: frozenset[str] = frozenset()  # metrics of a log from which logrotate itself loses lines
    small_disk: bool = False
    old_stamps: bool = False  # RFC 3164, as rsyslog wrote them up to Debian 11

    @property
    def host(self) -> Host:
        """The fleet's host of this name."""
        return CHAOS.host(self.name)

    @property
    def has_files(self) -> bool:
        """Whether rsyslog writes files."""
        return bool(self.rotations)


KINDS = (
    Kind(
        "rename",
        "rsyslog; renamed, compressed one rotation later",
        (Rotation("both", f"{BOTH}{{\n  {KEEP}  delaycompress\n  sharedscripts\n  {HUP}  endscript\n}}\n"),),
    ),
    Kind(
        "dateext",
        "rsyslog; renamed with the date, compressed at once (1 s after rsyslog was told)",
        (Rotation("both", f"{BOTH}{{\n  {KEEP}  {DATED}  sharedscripts\n  {HUP}    sleep 1\n  endscript\n}}\n"),),
        small_disk=True,
    ),
    Kind(
        "copied",
        "rsyslog, RFC 3164 stamps; copied and truncated, auth.log while the writer waits, syslog under load",
        (
            Rotation("auth", f"/var/log/auth.log {{\n  {KEEP}  delaycompress\n  copytruncate\n}}\n", quiet=True),
            Rotation("syslog", f"/var/log/syslog {{\n  {KEEP}  copytruncate\n}}\n"),
        ),
        banded=frozenset({"logs.proof.daemon", "logs.proof.weight"}),
        old_stamps=True,
    ),
    Kind("journal", "journal alone; rotated, vacuumed, moved to /run and flushed back"),
)

# Waits until the line that was sent last is written, then rotates while the writer cannot send.
QUIET = """
exec 9>>/var/lib/chaos/hold; flock 9
while sleep 0.2; [ $(($(date +%s%N) - $(date +%s%N -r /var/log/proof/complete.log))) -lt 400000000 ]; do :; done
logrotate --force --state /var/lib/chaos/logrotate-"$1" /opt/chaos/"$1".conf
"""
LOUD = 'logrotate --force --state /var/lib/chaos/logrotate-"$1" /opt/chaos/"$1".conf'

KILL = r"""
running() { pid=$(systemctl show --property=MainPID --value telegraf); [ "$pid" != 0 ]; }
for _ in $(seq 1000); do
    sleep 0.1
    running || continue
    case $1 in during|run)
        for _ in $(seq 200); do run=$(pgrep -u telegraf -f parse_loki_metrics.py) && break; sleep 0.2; done
        running && [ "$run" ] || continue ;;
    esac
    case $1 in
        main|during) kill -9 "$pid" && exit 0 ;;
        group) systemctl kill --signal=KILL telegraf && exit 0 ;;
        run) kill -9 $run && exit 0 ;;
    esac
done
exit 1
"""

ASK_ALL = """
import json, sys, urllib.request
def ask(path):
    return urllib.request.urlopen("http://127.0.0.1:3100" + path, timeout=120).read().decode()
print(json.dumps({path: ask(path) for path in json.load(sys.stdin)}))
"""

KEEP_JOURNAL = """
journalctl --rotate
cd /var/log/journal; mkdir -p proof-kept
for file in */*@*.journal; do case $file in proof-kept/*) ;; *) ln -f "$file" proof-kept/;; esac; done
"""
# Vacuums what both cursors have passed half a minute ago: journald's names bear the time of the first entry in a file,
# and a vacuum goes by that.
VACUUM = (
    KEEP_JOURNAL
    + r"""
age=$(python3 - <<'EOF'
import json, re, subprocess, time
from pathlib import Path
status = json.loads(subprocess.check_output(["/etc/telegraf/parse_loki_metrics.py", "status", "--json"]))
cursors = [status[verb]["sources"][0]["cursor"] for verb in ("count", "ship")]
read = min(int(re.search(";t=([0-9a-f]+)", cursor)[1], 16) for cursor in cursors)
names = [path.name for path in Path("/var/log/journal").glob("[0-9a-f]*/system@*.journal")]
heads = [int(name[-24:-8], 16) for name in names]
print(int((time.time() + 30) * 1e6) - max([head for head in heads if head <= read], default=0))
EOF
)
journalctl --quiet --vacuum-time="${age}us"
"""
)
# As at a boot: without this flag journald writes to /run until it is told that /var is there.
TO_RUN = "rm /run/systemd/journal/flushed; systemctl restart systemd-journald"
TO_VAR = "journalctl --flush"

RSYSLOG = """
mkdir -p /var/log/proof
cat > /etc/rsyslog.d/00-proof.conf <<'EOF'
template(name="proof" type="string" string="%timestamp:::date-unixtimestamp% %syslogtag%%msg%\\n")
:programname, startswith, "proof-" action(type="omfile" file="/var/log/proof/complete.log" template="proof")
EOF
[ "$1" = no ] || echo '$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat' > /etc/rsyslog.d/01-format.conf
rm /etc/logrotate.d/rsyslog
systemctl restart rsyslog
"""
# Room for all of the run; no limit of messages.
JOURNALD = """
mkdir -p /etc/systemd/journald.conf.d
cat > /etc/systemd/journald.conf.d/proof.conf <<'EOF'
[Journal]
RateLimitIntervalSec=0
SystemMaxUse=4G
SystemKeepFree=100M
RuntimeMaxUse=1G
EOF
systemctl restart systemd-journald
"""
SMALL_DISK = """
dd if=/dev/zero of=/srv/state.img bs=1M count=8 status=none
mkfs.ext4 -q /srv/state.img
mkdir -p /var/lib/logmetrics
echo '/srv/state.img /var/lib/logmetrics ext4 loop 0 0' >> /etc/fstab
systemctl daemon-reload
systemctl start var-lib-logmetrics.mount
"""
# fspick(2) and fsconfig(2) by their numbers, which are the same on all architectures.
FORBID = """python3 - <<'EOF'
import ctypes, os, time
call = ctypes.CDLL(None, use_errno=True).syscall
call.restype = ctypes.c_long
def done(*words):
    found = call(*words)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
AT_FDCWD, SET_FLAG, RECONFIGURE = -100, 0, 7
for left in reversed(range(200)):
    handle = done(433, AT_FDCWD, b"/var/lib/logmetrics", 0)
    done(431, handle, SET_FLAG, b"ro", None, 0)
    try:
        done(431, handle, RECONFIGURE, None, None, 0)
        break
    except OSError:
        if not left:
            raise
    os.close(handle)
    time.sleep(0.1)
EOF
"""
FILL = "cat /dev/zero > /var/lib/logmetrics/filler 2>/dev/null || sync"
UNIT = """
mkdir -p /opt/chaos /var/lib/chaos
cat > /etc/systemd/system/chaos-writer.service <<EOF
[Unit]
After=rsyslog.service systemd-journald.service
[Service]
ExecStart=/usr/bin/python3 /opt/chaos/writer.py --rate $1 --begin $2 --until $3
[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload
systemctl enable --quiet --now chaos-writer
"""


def sh(host: Host, script: str, *arguments: str) -> str:
    """Run a shell script on a host as root."""
    return hosts.execute(host, "bash", "-euc", script, "chaos", *arguments)


def put(host: Host, path: str, text: str) -> None:
    """Write a file on a host."""
    hosts.execute(host, "sh", "-c", 'mkdir -p "$(dirname "$0")"; cat > "$0"', path, stdin=text)


def on_all(function: Callable[[Kind], object]) -> None:
    """Do something on every host at once."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(function, KINDS))


# The way there.


def prepare(kind: Kind) -> None:
    """Make a virgin host what this proof needs: loggers, rotation, the copy that tells the truth."""
    for rotation in kind.rotations:
        put(kind.host, f"/opt/chaos/{rotation.name}.conf", rotation.text)
    put(kind.host, "/opt/chaos/writer.py", (HERE / "writer.py").read_text())
    if kind.small_disk:
        sh(kind.host, SMALL_DISK)
    if kind.has_files:
        sh(kind.host, RSYSLOG, "yes" if kind.old_stamps else "no")
    else:
        sh(kind.host, JOURNALD)


# What happens meanwhile.


@dataclass(order=True)
class Step:
    """Something that is done to a host so many seconds after the first minute began."""

    after: float
    text: str
    do: Callable[[Host], object] = field(compare=False)
    lane: str = "break"


def reboot(host: Host) -> None:
    """Stop the host as its init does it, and start it again."""
    podman("restart", "--time", "90", host.container)
    hosts.wait_running(host)


def pause_telegraf(host: Host) -> None:
    """Stop Telegraf, and with it the parser's runs, for longer than an interval."""
    sh(host, "systemctl stop telegraf")
    time.sleep(75)
    sh(host, "systemctl start telegraf")


def break_disk(host: Host, begin: str, end: str) -> None:
    """Make the state's disk unfit for longer than an interval."""
    sh(host, begin)
    time.sleep(BROKEN_DISK)
    sh(host, end)


def fill_disk(host: Host) -> None:
    """No byte is free where the state is written."""
    break_disk(host, FILL, "rm /var/lib/logmetrics/filler")


def forbid_writing(host: Host) -> None:
    """The state's file system becomes read-only, as the kernel does after an error."""
    # The file system itself, not its mount as mount(8) would, too: a service that starts meanwhile gets a mount of its
    # own, which would stay read-only. It cannot while a run has a file open for writing (mount(2), EBUSY).
    break_disk(host, FORBID, "mount -o remount,rw /var/lib/logmetrics")


def steps(kind: Kind, duration: int, seed: str) -> list[Step]:
    """The host's schedule; equal seeds, equal schedules."""
    chance = random.Random(f"{seed} {kind.name}")  # noqa: S311 - a schedule
    number = KINDS.index(kind)
    scale = duration / 600
    found = [
        Step((150 + 10 * number) * scale, "Telegraf stopped for 75 s", pause_telegraf),
        Step((300 + 20 * number) * scale, "rebooted", reboot, "boot"),
    ]
    if kind.small_disk:
        found.append(Step(385 * scale, f"state's disk full for {BROKEN_DISK} s", fill_disk))
        found.append(Step(480 * scale, f"state's disk read-only for {BROKEN_DISK} s", forbid_writing))
    if not kind.has_files:
        found.append(Step(60 * scale, "journal to /run", _running(TO_RUN), "rotate"))
        found.append(Step(130 * scale, "journal flushed to /var", _running(TO_VAR), "rotate"))
        at = 15.0
        while at < duration - 10:
            found.append(Step(at, "journal rotated and vacuumed", _running(VACUUM), "rotate"))
            at += chance.uniform(10, 35)
    for rotation in kind.rotations:
        at = chance.uniform(5, 15)
        while at < duration - 5:
            script = QUIET if rotation.quiet else LOUD
            rotate = _running(script, rotation.name)
            found.append(Step(at, f"logs rotated ({rotation.name})", rotate, "rotate"))
            at += chance.uniform(6, 35)

    def any_time() -> float:
        return chance.uniform(5, duration - 15)

    for index in range(KILLS):
        way = ("main", "during", "group", "during")[index % 4]
        found.append(
            Step(chance.uniform(5, duration - 15), f"Telegraf killed with -9 ({way})", _running(KILL, way), "kill")
        )
    for _ in range(RUN_KILLS):
        found.append(
            Step(chance.uniform(5, duration - 15), "parser's run killed with -9", _running(KILL, "run"), "kill")
        )
    return sorted(found)


def _running(script: str, *arguments: str) -> Callable[[Host], object]:
    return lambda host: sh(host, script, *arguments)


class Disturbance:
    """Carries out one host's schedule, each kind of step in a lane of its own; `done` is what was done when."""

    def __init__(self, kind: Kind, begin: int) -> None:
        self.kind, self.begin = kind, begin
        self.done: list[tuple[float, str]] = []
        self._settled = threading.Lock()  # held by what a reboot must not cut off

    def run(self, schedule: list[Step]) -> list[tuple[float, str]]:
        """All steps at their times, or as soon as those before them in their lane are over."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            lanes = {step.lane: [one for one in schedule if one.lane == step.lane] for step in schedule}
            list(pool.map(self._lane, lanes.values()))
        say(f"{self.kind.name}: {len(self.done)} steps done")
        return sorted(self.done)

    def _lane(self, some: list[Step]) -> None:
        for step in some:
            time.sleep(max(0.0, self.begin + step.after - time.time()))
            if step.lane in ("boot", "rotate"):
                with self._settled:
                    self._step(step)
            else:
                self._step(step)

    def _step(self, step: Step) -> None:
        at = time.time() - self.begin
        for more in (2, 1, 0):
            try:
                step.do(self.kind.host)
                break
            except FleetError:
                if not more or step.do is reboot:
                    raise
            if step.lane != "rotate":
                with self._settled:  # a reboot may have come between
                    pass
            time.sleep(2)
        self.done.append((at, step.text))


# What came of it.


@dataclass
class Outcome:
    """What was written on a host, and what the stores say."""

    kind: Kind
    truth: dict[str, Any]
    written: Minutes
    kept: Minutes
    graphite: Minutes
    loki: Minutes
    minutes: range

    def differing(self, metric: str) -> list[int]:
        """Minutes in which a store has another number than was written; of a banded log, one that cannot be."""
        return [at for at in self.minutes if not all(self._fits(metric, at, one) for one in (self.graphite, self.loki))]

    def _fits(self, metric: str, at: int, store: Minutes) -> bool:
        value = store.get(metric, {}).get(at)
        most = self.written.get(metric, {}).get(at, 0)
        least = self.kept.get(metric, {}).get(at, 0) if metric in self.kind.banded else most
        return value is not None and least <= value <= most

    @property
    def whole(self) -> bool:
        """Whether the truth is whole: the daemon wrote each line that it was given once, rotation left what it must."""
        exact = [metric for metric in METRICS if metric not in self.kind.banded]
        left = all(self.kept.get(metric) == self.written.get(metric) for metric in exact)
        return left and not self.truth["missing"] and not self.truth["twice"]

    @property
    def equal(self) -> bool:
        """Whether every minute is as it must be."""
        return self.whole and not any(self.differing(metric) for metric in METRICS)


def _minutes(counts: object) -> Minutes:
    assert isinstance(counts, dict)
    return {metric: {int(at): float(n) for at, n in minutes.items()} for metric, minutes in counts.items()}


def truth_of(kind: Kind) -> dict[str, Any]:
    """See chaos/truth.py."""
    if not kind.has_files:
        sh(kind.host, KEEP_JOURNAL)
    words = ["python3", "-", "files" if kind.has_files else "journal"]
    found: dict[str, Any] = json.loads(hosts.execute(kind.host, *words, stdin=(HERE / "truth.py").read_text()))
    return found


def points_of(host: str, metrics: list[str], first: int, last: int) -> Minutes:
    """As readback.graphite_points; a busy machine's graphite-web is asked again."""
    for _ in range(10):
        try:
            return readback.graphite_points(GRAPHITE, host, metrics, first, last)
        except OSError as error:
            reason = error
            time.sleep(5)
    raise FleetError(f"graphite-web does not answer: {reason}")


def loki_counts(host: Host, queries: dict[str, str], first: int, last: int) -> Minutes:
    """As readback.loki_counts, by one call of the host for all questions."""
    questions: list[str] = []

    def note(path: str) -> str:
        questions.append(path)
        return '{"data": {"result": []}}'

    readback.loki_counts(note, queries, first, last)
    answers: dict[str, str] = json.loads(hosts.execute(host, "python3", "-c", ASK_ALL, stdin=json.dumps(questions)))
    return readback.loki_counts(answers.__getitem__, queries, first, last)


def outcome(kind: Kind, truth: dict[str, Any], minutes: range) -> Outcome:
    """Read both stores."""
    first, last = minutes[0], minutes[-1]
    graphite = points_of(kind.name, METRICS, first, last)
    queries = demo.loki_queries(kind.host, METRICS, [HERE / "proof.yml"])
    loki = loki_counts(kind.host, queries, first, last)
    return Outcome(kind, truth, _minutes(truth["written"]), _minutes(truth["kept"]), graphite, loki, minutes)


def settle(truths: dict[str, dict[str, Any]], minutes: range) -> list[Outcome]:
    """Read back until all is as it must be, or the last resending is over."""
    found: dict[str, Outcome] = {}

    def missing() -> str:
        again = [kind for kind in KINDS if kind.name not in found or not found[kind.name].equal]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            try:
                for one in pool.map(lambda kind: outcome(kind, truths[kind.name], minutes), again):
                    found[one.kind.name] = one
            except FleetError as error:
                return str(error)  # a busy machine: asked again
        late = [f"{name}: {metric}" for name, one in found.items() for metric in METRICS if one.differing(metric)]
        return f"not as it must be yet: {', '.join(late)}" if late else ""

    readback.wait_until(missing, minutes[-1] + 60 + ARRIVAL, say)
    if len(found) < len(KINDS):
        raise FleetError("a host's stores could not be read; run it again on a machine that is less busy")
    return [found[kind.name] for kind in KINDS]


def table(outcomes: list[Outcome]) -> str:
    """A row for each host and metric, and every minute that is not as it must be."""
    lines = [f"{'host':<9}{'metric':<19}{'written':>11}{'kept':>11}{'Graphite':>11}{'Loki':>11}   every minute"]
    for one in outcomes:
        for metric in METRICS:
            places = [place.get(metric, {}) for place in (one.written, one.kept, one.graphite, one.loki)]
            differing = one.differing(metric)
            word = "within" if metric in one.kind.banded else "equal"
            count = len(one.minutes)
            verdict = f"DIFFERENT ({len(differing)} of {count})" if differing else f"{word} ({count} of {count})"
            cells = "".join(f"{sum(place.values()):>11.0f}" for place in places)
            lines.append(f"{one.kind.name:<9}{metric:<19}{cells}   {verdict}")
            for at in differing:
                clock = time.strftime("%H:%M", time.localtime(at))
                words = zip(("written", "kept", "Graphite", "Loki"), places, strict=True)
                lines.append(f"           {clock}: " + ", ".join(f"{w} {compare.number(p.get(at))}" for w, p in words))
    return "\n".join(lines)


def writers(outcomes: list[Outcome]) -> str:
    """How the truth fits what the writers themselves have noted."""
    lines = [
        f"{'host':<9}{'lines sent':>11}{'not written':>12}{'written twice':>14}   daemon's time after the writer's"
    ]
    for one in outcomes:
        least, most = one.truth["delay"]
        numbers = f"{one.truth['sent']:>11}{one.truth['missing']:>12}{one.truth['twice']:>14}"
        lines.append(f"{one.kind.name:<9}{numbers}   {least} to {most} s")
    return "\n".join(lines)


# Losses that no program can prevent: reported to the line.


@dataclass(frozen=True)
class Finding:
    """Something beside the table that must hold."""

    host: str
    what: str
    must: str
    found: str
    holds: bool


BURST = """
import socket, sys, time
first, last, pause = map(int, sys.argv[1:4])
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.connect("/dev/log")
def send(number):
    log.send(f"<30>Nov 24 00:00:00 proof-daemon[7]: event {number} weight 0 at 0.0".encode())
for number in range(first, last):
    send(number)
time.sleep(pause)
send(last)  # the first line after the limit's interval brings the word of those that were dropped
"""
# journald's limit for one unit alone; rsyslog's for the socket on which journald hands lines on.
JOURNALD_LIMIT = (
    'systemd-run --quiet --wait --pipe -p LogRateLimitIntervalSec=3s -p LogRateLimitBurst=100 python3 -c "$@"'
)
RSYSLOG_LIMIT = r"""
limit='SysSock.RateLimit.Interval="3" SysSock.RateLimit.Burst="100"'
sed -i "s/^module(load=\"imuxsock\".*/module(load=\"imuxsock\" $limit)/" /etc/rsyslog.conf
grep -q RateLimit.Burst /etc/rsyslog.conf
systemctl restart rsyslog
python3 -c "$@"
"""
UNREAD = """
systemctl stop telegraf
python3 -c "$@"
sleep 0.5; journalctl --sync; journalctl --rotate; sleep 2
after=$(/etc/telegraf/parse_loki_metrics.py status --json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["count"]["sources"][0]["cursor"])')
now=$(date +%s)
count() { journalctl --quiet --output=export --output-fields=_PID --until="@$now" "$@" | grep -ac ^__CURSOR=; }
before=$(count --after-cursor="$after")
journalctl --quiet --vacuum-time=1s
left=$(count || true)
echo $((before - left))
systemctl start telegraf
"""


def total(host: str, metric: str, first: int) -> float:
    """The sum of a metric's points since `first`."""
    last = int(time.time()) // 60 * 60
    return sum(points_of(host, [metric], first, last).get(metric, {}).values())


def settled(host: str, metric: str, first: int, wanted: float) -> float:
    """The sum once it is as wanted, or after three minutes."""
    readback.wait_until(
        lambda: "" if total(host, metric, first) == wanted else f"{host}: {metric} is not {wanted:g} yet",
        time.time() + 180,
        say,
    )
    return total(host, metric, first)


def suppressed(kind: Kind, script: str, who: str) -> Finding:
    """Twenty thousand lines at once against a rate limit: what was counted and what was suppressed are all of them."""
    first, lines = demo.next_minute(0), 20_000
    time.sleep(first - time.time())
    sh(kind.host, script, BURST, "10000001", str(10_000_000 + lines), "4")
    metric = "logs.proof.daemon"
    deadline = time.time() + 180
    counted = dropped = 0.0
    while counted + dropped != lines and time.time() < deadline:
        time.sleep(5)
        counted, dropped = total(kind.name, metric, first), total(kind.name, SUPPRESSED, first)
    return Finding(
        kind.name,
        f"{lines} lines against {who}'s rate limit",
        f"counted + suppressed = {lines}",
        f"{counted:.0f} + {dropped:.0f}",
        counted + dropped == lines and dropped > 0,
    )


def vacuumed(kind: Kind) -> Finding:
    """Entries that a vacuum removes unread are `lost`, each of them."""
    first = int(time.time()) // 60 * 60
    removed = int(sh(kind.host, UNREAD, BURST, "20000001", "20005000", "0").split()[-1])
    lost = settled(kind.name, LOST, first, removed)
    words = sh(
        kind.host, "journalctl --quiet -t logmetrics --output=cat | grep -c 'removed before they were read' || true"
    )
    return Finding(
        kind.name,
        "a vacuum removes entries before they were read",
        f"lost = {removed}, and a word in syslog",
        f"{lost:.0f}, {int(words)} lines in syslog",
        lost == removed > 0 and int(words) > 0,
    )


def broken_disk(kind: Kind, minutes: range) -> list[Finding]:
    """What a full and a read-only disk of the state made the parser say; that nothing was lost stands in the table."""
    logs = "zcat --force /var/log/syslog* | grep -F ' logmetrics[' | grep -F {!r} | grep -c /var/lib/logmetrics || true"
    points = points_of(kind.name, [ERROR], minutes[0], int(time.time()) // 60 * 60).get(ERROR, {})
    raised = sum(1 for value in points.values() if value)
    found = []
    for what in (FULL, READ_ONLY):
        words = int(sh(kind.host, logs.format(what)))
        found.append(Finding(kind.name, f"state's disk: {what}", "said in syslog", f"{words} lines", words > 0))
    newest = points[max(points)] if points else None
    text = f"1 in {raised} minutes, {compare.number(newest)} in the newest"
    return [*found, Finding(kind.name, f"{ERROR} meanwhile", "1, then 0 again", text, raised > 0 and newest == 0)]


def nothing_lost(kind: Kind, minutes: range) -> Finding:
    """Nothing was destroyed unread, so nothing may be called lost."""
    points = points_of(kind.name, [LOST], minutes[0], minutes[-1]).get(LOST, {})
    lost = sum(points.values())
    return Finding(kind.name, f"{LOST} over the whole run", "0", f"{lost:g}", lost == 0)


def findings(minutes: range) -> list[Finding]:
    """All of them, on their hosts at the same time."""
    by_name = {kind.name: kind for kind in KINDS}
    found = [nothing_lost(kind, minutes) for kind in KINDS]
    for kind in KINDS:
        if kind.small_disk:
            found += broken_disk(kind, minutes)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        rsyslog = pool.submit(suppressed, by_name["rename"], RSYSLOG_LIMIT, "rsyslog")
        found.append(suppressed(by_name["journal"], JOURNALD_LIMIT, "journald"))
        found.append(rsyslog.result())
        found.append(vacuumed(by_name["journal"]))
    return found


def findings_table(found: list[Finding]) -> str:
    """A row for each."""
    lines = ["| host | what | must be | was |", "|---|---|---|---|"]
    for one in found:
        verdict = one.found if one.holds else f"**NOT**: {one.found}"
        lines.append(f"| {one.host} | {one.what} | {one.must} | {verdict} |")
    return "\n".join(lines)


def steps_table(done: dict[str, list[tuple[float, str]]]) -> str:
    """How often each thing was done to each host."""
    counts = {name: Counter(text for _, text in some) for name, some in done.items()}
    texts = sorted({text for some in counts.values() for text in some})
    lines = ["| what | " + " | ".join(counts) + " |", "|---|" + "---|" * len(counts)]
    for text in texts:
        lines.append(f"| {text} | " + " | ".join(str(some[text] or "") for some in counts.values()) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fleet.hostchaos", description="see make proof-hosts")
    parser.add_argument("--rate", type=int, default=1000, help="lines a second on each host (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=600, help="how long they are written (default: %(default)s)")
    parser.add_argument("--seed", default=str(int(time.time())), help="of the schedule (default: the time)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts there")
    return parser.parse_args()


def report(
    options: argparse.Namespace, outcomes: list[Outcome], found: list[Finding], done: dict[str, list[tuple[float, str]]]
) -> str:
    """The proof's text."""
    seconds = f"{options.rate} lines a second on each host for {options.seconds} s, half to auth.log, half to syslog."
    kinds = "\n".join(f"| {kind.name} | {kind.how} |" for kind in KINDS)
    return f"""{seconds}

| host | logs |
|---|---|
{kinds}

`written` is what the daemon wrote, read from a copy that nothing rotates (tests/fleet/chaos/truth.py says why it is the
truth), `kept` what rotation left of it. `equal`: both stores have what was written, in every minute; `within`: syslog
of host `copied` is truncated under load, where logrotate itself loses what is written between its copy and its
truncation; the stores are between kept and written, in every minute.

```
{table(outcomes)}
```

The writers' own account:

```
{writers(outcomes)}
```

What was done to the hosts meanwhile:

{steps_table(done)}

What had to be said:

{findings_table(found)}
"""


def main() -> int:
    """The whole proof; 0 only where all is as it must be."""
    options = _arguments()
    say(f"seed {options.seed}")
    hosts.down(CHAOS)  # virgin hosts
    hosts.up(CHAOS)
    on_all(prepare)
    demo.play(inventory=INVENTORY)
    begin = demo.next_minute(15)
    until = begin + options.seconds
    on_all(lambda kind: sh(kind.host, UNIT, str(options.rate), str(begin), str(until - 2)))
    schedules = {kind.name: steps(kind, options.seconds, options.seed) for kind in KINDS}
    clock = time.strftime("%H:%M", time.localtime(begin))
    say(f"{options.rate} lines a second on each of {len(KINDS)} hosts from {clock} on")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {kind.name: pool.submit(Disturbance(kind, begin).run, schedules[kind.name]) for kind in KINDS}
        done = {name: run.result() for name, run in runs.items()}
    time.sleep(max(0.0, until + 20 - time.time()))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        truths = dict(zip((kind.name for kind in KINDS), pool.map(truth_of, KINDS), strict=True))
    minutes = range(begin, until, 60)
    outcomes = settle(truths, minutes)
    print("\n" + table(outcomes) + "\n\n" + writers(outcomes) + "\n", flush=True)
    found = findings(minutes)
    text = report(options, outcomes, found, done)
    print(text)
    holds = all(one.equal for one in outcomes) and all(one.holds for one in found)
    if options.seconds >= WHOLE and options.rate >= FULL_RATE:
        verdict = "all equal, in every minute; each loss reported to the line" if holds else "NOT as it must be"
        proof.write("hosts", f"make proof-hosts (seed {options.seed})", verdict, text)
    else:
        say("a short run: docs/proof/hosts.md is left alone")
    if not options.keep:
        hosts.down(CHAOS)
    return 0 if holds else 1


if __name__ == "__main__":
    os.environ.setdefault("ANSIBLE_CONFIG", str(demo.TOP / "ansible.cfg"))
    try:
        sys.exit(main())
    except FleetError as problem:
        sys.exit(f"hostchaos: {problem}")
