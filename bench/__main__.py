"""`make bench`: the engine beside its peers; writes docs/proof/bench.md when everything was run at full size."""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import sys
import tempfile
import time
from pathlib import Path

from fleet import proof
from fleet.cache import cache_dir
from fleet.progress import FleetError, say

from bench import scenarios, throughput
from bench.corpus import BUSY, DENSITIES, TYPICAL, Style
from bench.engine import Ours, Parser
from bench.measure import Spawner
from bench.peers import agents, plain
from bench.peers.base import Peer
from bench.report import Report
from bench.rules import COUNTS

SIZE = 300  # MB a file
LARGE = 20 / 3  # the long backlog by that size: 2 GB
ROUNDS = 5
MINUTES = 14
SCENARIOS = ("throughput", "growth", "minutes", "backlog", "howto")
PEERS: tuple[type[Peer], ...] = (
    *(plain.Mtail, plain.NestedMtail, agents.Promtail, agents.Telegraf, plain.Pygtail, plain.Re2Set, plain.Ripgrep),
    plain.HowTo,
)
# All programs on an hour of a busy host; the marks alone on Debian 11's stamps and on a whole day of minutes: neither
# changes what the peers do, but a counter by event time has other keys, or a point a minute.
MARKS = {"mtail", "ripgrep"}
GRID = (
    ("rfc3339", BUSY, {peer.key for peer in PEERS}),
    ("rfc3164", BUSY, MARKS),
    ("rfc3339", TYPICAL, MARKS),
)
QUICK = ((Style("sparse", "rfc3339"), 100), (Style("dense", "rfc3164"), 4))
QUICK_PEERS = {"mtail", "re2-set"}
QUICK_SIZE = 10


def arguments(argv: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 MB, two peers, counts alone are judged (make test)")
    parser.add_argument("--size", type=int, default=SIZE, metavar="MB", help="size of a file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=int, default=MINUTES, help="real minutes of single runs (default: %(default)s)"
    )
    known = [peer.key for peer in PEERS]
    parser.add_argument(
        "--peers", nargs="*", default=known, choices=known, metavar="PEER", help=f"of {', '.join(known)}"
    )
    parser.add_argument("--only", nargs="+", default=SCENARIOS, choices=SCENARIOS, help="these scenarios alone")
    parser.add_argument("--rules", nargs="+", type=int, default=COUNTS, choices=COUNTS, help="these rule sets alone")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep what was measured, to be joined later")
    parser.add_argument(
        "--join",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="join kept parts of a run at full size, and write the table",
    )
    return parser.parse_args(argv)


class Bench:
    """One run of the benchmark in a scratch directory."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self.args = args
        self.plan = throughput.Plan(args.size * 1_000_000, args.rounds, scratch)
        self.parser = Parser(scratch)
        self.peers: list[Peer] = [Ours(self.parser), *(peer() for peer in PEERS if peer.key in args.peers)]
        self.report = Report(self.peers, {peer.key: peer.version() for peer in self.peers})

    def stage(self, name: str) -> bool:
        """Whether the scenario is wanted; notes the machine's load as it begins."""
        if name in self.args.only:
            self.report.loads.append(os.getloadavg()[0])
            say(f"{name} (load {self.report.loads[-1]:.1f})")
        return name in self.args.only

    def throughput(self, spawner: Spawner, style: Style, count: int, keys: set[str]) -> None:
        """One file, and these programs beside ours."""
        chosen = [peer for peer in self.peers if isinstance(peer, Ours) or peer.key in keys]
        marks = {Ours.key, *MARKS}
        self.report.cells.append(throughput.measure(self.plan, spawner, chosen, style, count, marks))

    def run(self) -> Report:
        """All that is wanted."""
        args, plan, report = self.args, self.plan, self.report
        need = int(plan.size * LARGE) + 4 * plan.size
        free = shutil.disk_usage(plan.scratch).free
        if free < need:
            raise FleetError(
                f"{plan.scratch}: {free / 1e9:.1f} GB free, {need / 1e9:.1f} needed; choose a smaller --size"
            )
        with Spawner(plan.scratch) as spawner:
            if self.stage("throughput"):
                for form, pace, keys in GRID:
                    for density in DENSITIES:
                        for count in args.rules:
                            self.throughput(spawner, Style(density, form, pace), count, keys)
            if self.stage("growth"):
                report.growths = [scenarios.growth(plan, self.parser, spawner, one) for one in ("sparse", "dense")]
            if self.stage("minutes"):
                report.minutes = scenarios.minutes(plan, self.parser, args.minutes)
            if self.stage("backlog"):
                report.backlogs = scenarios.backlogs(plan, self.parser, spawner, int(plan.size * LARGE))
            if self.stage("howto"):
                report.hours = [scenarios.howto_hour(plan, spawner, share) for share in (1.0, 0.1)]
        return report

    def quick(self) -> Report:
        """Two small files."""
        self.report.counts_alone = True
        with Spawner(self.plan.scratch) as spawner:
            self.report.loads.append(os.getloadavg()[0])
            for style, count in QUICK:
                self.throughput(spawner, style, count, QUICK_PEERS)
        return self.report


def home() -> Path:
    """Where runs have their scratch directories; what killed ones left a day ago is removed."""
    folder = cache_dir() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("run-*"):
        if time.time() - left.stat().st_mtime > 86400:
            shutil.rmtree(left)
    return folder


def main(argv: list[str]) -> int:
    """0 where all counts are right, 1 where they are not; how fast it was decides nothing."""
    args = arguments(argv)
    if args.join:
        return tell(joined(args.join), write=True)
    parts = {"peers": None, "only": None, "keep": None}
    # The marks must be there; a peer that is left out is missing from the tables.
    full = {**vars(args), **parts} == {**vars(arguments([])), **parts} and set(args.peers) >= MARKS
    if args.quick:
        args.size, args.rounds, args.peers = QUICK_SIZE, 1, QUICK_PEERS
    with tempfile.TemporaryDirectory(dir=home(), prefix="run-") as scratch:
        bench = Bench(args, Path(scratch))
        report = bench.quick() if args.quick else bench.run()
    if args.keep and full:
        args.keep.write_bytes(pickle.dumps(report))
    return tell(report, write=full and report.is_whole())


def joined(paths: list[Path]) -> Report:
    """One report of several runs' parts."""
    reports: list[Report] = [pickle.loads(path.read_bytes()) for path in paths]  # noqa: S301 - our own files
    for other in reports[1:]:
        reports[0].join(other)
    reports[0].left_out = [peer.key for peer in PEERS if peer.key not in reports[0].versions]
    if not reports[0].is_whole():
        raise FleetError("the parts are not all scenarios; see --only")
    return reports[0]


def tell(report: Report, write: bool) -> int:
    """Print it, write the table; 1 where counts are wrong."""
    print(f"{report.verdict()}\n\n{report.text()}")
    if write:
        proof.write("bench", "make bench", report.verdict(), report.text())
    return 1 if report.wrong_counts() else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"bench: {problem}")
