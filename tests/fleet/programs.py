"""`make proof-programs`: every pack on the lines of the real programs of Debian 11, 12 and 13, caused on purpose.

On each host of the fleet `programs` the parser reads the host's own logs twice, once the files (what rsyslog and the
programs write), once the journal and the programs' own files. Before anything is caused it is made to stand at their
ends; afterwards each metric of all packs must have counted what was caused, also where that is nothing. The same
parser ships the same lines to a real Loki, of which every rule's query is asked.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import io
import json
import platform
import shlex
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from logmetrics import logql
from logmetrics.compile import DEFAULT_PACKS_DIR, document, read_packs
from logmetrics.rules import RuleSet
from logmetrics.rulespec import Rule, pack_names

from fleet import artifacts, hosts, loki, network, programs_report, proof
from fleet.fleets import FLEETS, Fleet, Host
from fleet.podman import unpack
from fleet.progress import FleetError, say

PROGRAMS = FLEETS["programs"]
HOME = "/opt/proof"
PARSER = Path(__file__).resolve().parents[2] / "roles/logmetrics/files"
CAUSES = Path(__file__).resolve().parents[1] / "causes"
GROUPS = ("sshd", "accounts", "crond", "units", "web", "mail", "databases", "jails", "clock", "packages", "containers")
SHARED = "kernel"  # caused on one host, read by all: they have one kernel
NF_LOG = Path("/proc/sys/net/netfilter/nf_log_all_netns")
INTERVAL = 10  # seconds
OWN_FILES = (
    *("/var/log/nginx/access.log", "/var/log/nginx/error.log", "/var/log/apache2/access.log"),
    *("/var/log/apache2/error.log", "/var/log/postgresql/*.log", "/var/log/fail2ban.log", "/var/log/dpkg.log"),
    *("/var/log/php*-fpm.log", "/var/log/mysql/error.log", "/var/log/mysql/mariadb-slow.log"),
    "/var/log/unattended-upgrades/unattended-upgrades.log",
)
SYSLOG_FILES = ("/var/log/auth.log", "/var/log/syslog", "/var/log/haproxy.log")
SOURCES = {"files": (*SYSLOG_FILES, *OWN_FILES), "journal": ("journal", *OWN_FILES)}
PACKAGES = (
    *("openssh-server", "sudo", "login", "passwd", "util-linux", "cron", "systemd", "rsyslog", "nginx", "apache2"),
    *("haproxy", "php-fpm", "postfix", "dovecot-core", "postgresql", "mariadb-server", "fail2ban", "chrony", "dpkg"),
    *("unattended-upgrades", "docker.io", "containerd", "nftables"),
)
SELF = ("logs.parser.", "logs.ship.", "logs.script_error")


def all_rules() -> list[Rule]:
    """Every rule of every pack."""
    packs = read_packs(pack_names([DEFAULT_PACKS_DIR]), [DEFAULT_PACKS_DIR])
    return [rule for pack in packs for rule in pack.rules]


def series_of(rules: Sequence[Rule]) -> dict[str, Rule]:
    """The name under which a metric is compared (a timing by its count), and a rule of it."""
    return {f"{rule.metric}.count" if rule.type == "timing" else rule.metric: rule for rule in rules}


def ruleset(rules: Sequence[Rule]) -> RuleSet:
    """The rules as the host has them."""
    return RuleSet.from_document(document(list(rules)), "packs")


def payload(rules: Sequence[Rule], loki_url: str, host: str) -> bytes:
    """A tar of all that a host is given: the parser, its rules and settings, and what causes the events."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(f"{HOME[1:]}/{name}")
            info.mode, info.size, info.mtime = 0o644, len(content), int(time.time())
            archive.addfile(info, io.BytesIO(content))

        for top, folder in ((PARSER, "parser"), (CAUSES.parent, "")):
            for path in sorted((top if folder else CAUSES).rglob("*.py")):
                add(f"{folder}/{path.relative_to(top)}".lstrip("/"), path.read_bytes())
        add("rules.json", json.dumps(document(list(rules))).encode())
        for name, sources in SOURCES.items():
            config = {
                "format": 1,
                "host": f"{host}-{name}",
                "interval": INTERVAL,
                "run_budget": 60.0,
                "rule_budget": 5.0,
                "state_dir": f"{HOME}/state-{name}",
                "rules": f"{HOME}/rules.json",
                "sources": [
                    {"type": "journal"} if one == "journal" else {"type": "file", "path": one} for one in sources
                ],
                "loki": {"url": loki_url, "labels": {"job": "logmetrics", "host": f"{host}-{name}"}},
            }
            add(f"{name}.json", json.dumps(config).encode())
            add(f"state-{name}/.made", b"")
    return buffer.getvalue()


def run_parser(host: Host, name: str, verb: str) -> dict[tuple[str, int], float]:
    """One run of the parser on the host; what it printed as {(series, Unix time): value}."""
    command = ["python3", "-IS", f"{HOME}/parser/parse_loki_metrics.py", verb, "--config", f"{HOME}/{name}.json"]
    points = {}
    for line in hosts.execute(host, *command).splitlines():
        series, value, at = line.split(" ")
        points[series, int(at)] = float(value)
    if any(value for (series, _), value in points.items() if series == "logs.script_error"):
        raise FleetError(f"{host.name}: {verb} of {name} met an error; its own words: journalctl -t logmetrics")
    return points


def causes(host: Host, verb: str, groups: Sequence[str]) -> dict[str, Any]:
    """Run the causes of events on the host."""
    words = ["env", f"PYTHONPATH={HOME}", "python3", "-m", "causes", verb, *groups]
    printed = hosts.execute(host, *words)
    made: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return made


class Run:
    """One host's way through the proof."""

    def __init__(self, host: Host, rules: Sequence[Rule], loki_url: str) -> None:
        self.host = host
        self.rules = rules
        self.loki_url = loki_url
        self.events: list[dict[str, Any]] = []
        self.not_caused: dict[str, str] = {}
        self.open: dict[str, str] = {}
        self.begin = 0
        self.end = 0
        self.counted: dict[str, dict[str, float]] = {}  # by kind of source, then series
        self.asked: dict[str, dict[str, float]] = {}  # the same, as Loki answers
        self.versions: dict[str, str] = {}

    def set_up(self, groups: Sequence[str]) -> None:
        """Give the host the parser and what causes the events; start its programs."""
        unpack(self.host.container, payload(self.rules, self.loki_url, self.host.name))
        say(f"{self.host.name}: setting up {', '.join(groups)}")
        causes(self.host, "set-up", ["logger", "users", *groups])
        self.versions = versions(self.host)

    def stand_at_the_ends(self) -> None:
        """Let the parser take the logs' ends for their beginnings, and wait for the next interval."""
        settle()
        for name in SOURCES:
            run_parser(self.host, name, "count")
            run_parser(self.host, name, "ship")
        settle()
        self.begin = int(time.time())

    def cause(self, groups: Sequence[str]) -> None:
        """Cause the events."""
        say(f"{self.host.name}: causing events")
        made = causes(self.host, "cause", groups)
        self.events += made["events"]
        self.not_caused.update(made["not_caused"])
        self.open.update(made["open"])

    def count(self) -> None:
        """Let the parser count and ship what has been written."""
        hosts.execute(self.host, "journalctl", "--sync")
        points: dict[tuple[str, str, int], float] = {}
        for _ in range(3):  # lines without a stamp that the parser knows belong to the interval in which they are read
            settle()
            for name in SOURCES:
                points.update({(name, *key): value for key, value in run_parser(self.host, name, "count").items()})
        for name in SOURCES:
            totals: dict[str, float] = defaultdict(float)
            for (kind, series, _), value in points.items():
                if kind == name and not series.startswith(SELF):
                    totals[series] += value
            self.counted[name] = totals
            while any(
                value
                for (series, _), value in run_parser(self.host, name, "ship").items()
                if series == "logs.ship.lines"
            ):
                pass
        self.end = int(time.time())

    def expected(self) -> dict[str, float]:
        """By series, what the events must count."""
        total: dict[str, float] = defaultdict(float)
        for event in self.events:
            for metric, number in event["counts"].items():
                total[metric] += number
        return total


def versions(host: Host) -> dict[str, str]:
    """The versions of the programs on the host, and of its kernel, which is the machine's."""
    words = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${Version}\\n", *PACKAGES]
    shown = hosts.execute(host, "sh", "-c", " ".join(map(shlex.quote, words)) + " || true")
    found = dict(line.split(" ", 1) for line in shown.splitlines() if not line.endswith(" "))
    found["(kernel)"] = ".".join(platform.release().split("-")[0].split(".")[:2])
    return {name.partition(":")[0]: version for name, version in found.items()}


def settle() -> None:
    """Wait until an interval is over and the parser's grace with it."""
    now = time.time()
    time.sleep((int(now) // INTERVAL + 1) * INTERVAL + 3 - now)


def ask_loki(run: Run) -> None:
    """Ask every rule's query for the time of the events."""
    window = f"{run.end - run.begin + 60}s"
    for name in SOURCES:
        run.asked[name] = {}
        for series, query in logql.document(list(run.rules), f"{run.host.name}-{name}", window).items():
            run.asked[name][series] = sum(loki.instant(run.loki_url, query, run.end + 30))


def differences(run: Run) -> list[str]:
    """One line for each series that did not count what was caused, or of which Loki says something else."""
    expected = run.expected()
    found = []
    for series in sorted(series_of(run.rules)):
        wanted = expected.pop(series, 0.0)
        for name in SOURCES:
            counted, asked = run.counted[name].get(series, 0.0), run.asked[name].get(series)
            if asked != counted or (counted != wanted and series not in run.open):
                found.append(
                    f"{run.host.name} {name}: {series}: caused {wanted:g}, counted {counted:g}, Loki {asked:g}"
                )
    return found + [f"{run.host.name}: {series} is no metric of a pack" for series in expected]


def sent_lines(run: Run, name: str) -> list[tuple[str, str]]:
    """(source, line) of all that was shipped from one kind of source during the events."""
    selector = f'{{host="{run.host.name}-{name}"}}'
    found = loki.lines(run.loki_url, selector, run.begin - 20, run.end + 30)
    return [(labels.get("source", ""), line) for labels, _, line in found]


def write_lines(run: Run, folder: Path) -> None:
    """Write all the lines to a folder, for a look at them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        text = "".join(f"{source}\t{line}\n" for source, line in sent_lines(run, name))
        (folder / f"{run.host.name}-{name}.log").write_text(text)


def report(runs: Sequence[Run], differing: Sequence[str]) -> str:
    """The proof's text."""
    names = [run.host.name for run in runs]
    rows, reasons = [], {}
    for series, rule in series_of(runs[0].rules).items():
        wanted = [run.expected().get(series, 0.0) for run in runs]
        left = next((run.open[rule.metric] for run in runs if rule.metric in run.open), "")
        if any(wanted):
            rows.append((series, [cell(run, series) for run in runs]))
        else:
            stated = next((run.not_caused[rule.metric] for run in runs if rule.metric in run.not_caused), "")
            reasons[rule.metric] = left or stated or programs_report.elsewhere(rule)
    verdict = "\n".join(f"- {line}" for line in differing)
    return f"""\
Each host's own logs are read twice, as files and by the journal (the programs' own files in both); each cell is
`caused: counted of the files / counted by the journal / Loki's answer for both`, one number where all are equal.
All other metrics of all packs counted 0 on every host, and Loki answers 0.
{verdict}

## What was counted

{programs_report.counts_table(rows, names)}

## What was done

{programs_report.events_table({run.host.name: run.events for run in runs})}

## Not caused

Their rules are tested with the format of the program's source, which stands beside the test.

{programs_report.reasons_table(reasons)}

## Versions

{programs_report.versions_table({run.host.name: run.versions for run in runs})}
"""


def cell(run: Run, series: str) -> str:
    """What one host says of one metric."""
    wanted = run.expected().get(series, 0.0)
    seen = [run.counted[name].get(series, 0.0) for name in SOURCES] + [run.asked[name][series] for name in SOURCES]
    if all(number == wanted for number in seen):
        return f"{wanted:.0f}"
    files, journal, *asked = (f"{number:.0f}" for number in seen)
    return f"{wanted:.0f}: {files} / {journal} / {', '.join(asked)}"


@contextmanager
def packets_logged() -> Iterator[None]:
    """Let the kernel log packets of other network namespaces than the machine's, as long as the block runs."""
    before = NF_LOG.read_text()
    NF_LOG.write_text("1")
    try:
        yield
    finally:
        NF_LOG.write_text(before)


def main(argv: Sequence[str]) -> int:
    """Run the proof; 0 only where every metric of every host counted what was caused, and Loki agrees."""
    parser = argparse.ArgumentParser(prog="fleet.programs")
    parser.add_argument("--hosts", nargs="+", default=[host.name for host in PROGRAMS.hosts])
    parser.add_argument("--groups", nargs="+", default=[*GROUPS, SHARED])
    parser.add_argument("--keep", type=Path, help="write the lines to this folder")
    options = parser.parse_args(argv)
    chosen = [PROGRAMS.host(name) for name in options.hosts]
    binary = str(artifacts.loki_binary())
    hosts.down(PROGRAMS)  # what an earlier run has caused there is no beginning
    hosts.up(Fleet(PROGRAMS.name, PROGRAMS.subnet, tuple(chosen)), mirror=False)
    rules = all_rules()
    with (
        tempfile.TemporaryDirectory() as scratch,
        loki.running(binary, Path(scratch), network.gateway(PROGRAMS)) as url,
        packets_logged(),
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        runs = [Run(host, rules, url) for host in chosen]
        own = [group for group in options.groups if group != SHARED]
        list(pool.map(lambda run: run.set_up(options.groups), runs))
        list(pool.map(Run.stand_at_the_ends, runs))
        list(pool.map(lambda run: run.cause(own), runs) if own else ())
        if SHARED in options.groups:
            runs[-1].cause([SHARED])
            for run in runs[:-1]:
                run.events += [event for event in runs[-1].events if event["program"] == SHARED]
        list(pool.map(Run.count, runs))
        list(pool.map(ask_loki, runs))
        differing = [line for run in runs for line in differences(run)]
        if options.keep:
            for run in runs:
                write_lines(run, options.keep)
        if options.groups == [*GROUPS, SHARED] and runs[1:]:
            text = report(runs, differing)
            verdict = (
                f"{len(differing)} differ" if differing else "each metric counted what was caused, and Loki agrees"
            )
            proof.write("programs", "make proof-programs", verdict, text)
            for run in () if differing else runs:
                kept = programs_report.samples(ruleset(rules), sent_lines(run, "files"))
                programs_report.keep(run.host.name, kept)
    hosts.down(PROGRAMS)
    for line in differing:
        print(line)
    say("all equal" if not differing else f"{len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"programs: {problem}")
