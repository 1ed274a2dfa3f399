"""What a host sees besides throughput: idle runs, typical minutes, a long backlog, many rules, one endless line."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from fleet.progress import say

from bench.corpus import BUSY, HOST, Corpus, Style, Writer, stamp
from bench.engine import Host, Ours, Parser
from bench.measure import HOST_PYTHON, Spawner
from bench.peers.base import Job, Result
from bench.peers.plain import PROGRAMS
from bench.rules import compile_rules
from bench.throughput import Plan, write

INTERVAL = 60  # the default of the parser's config
AFTER = 5  # seconds after the interval's end, as Telegraf's collection_offset has it
REPLICAS = 5  # hosts of each kind, so that one minute gives several samples
WARM = 11  # minutes after which a run also prints what is sent again ten minutes later, as all later runs do
RULES = 100
MANY = 1000
PASS = [HOST_PYTHON, "-I", "-S", "-c", "pass"]


@dataclass
class Minutes:
    """CPU seconds of single runs, by what happened since the run before."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    peak: int = 0
    bytes_a_minute: dict[str, int] = field(default_factory=dict)
    right: bool = True  # the last minutes' counts are what was written

    def median(self, kind: str) -> float:
        """Seconds."""
        return statistics.median(self.samples[kind])

    def ratio(self, kind: str) -> float:
        """Times the CPU time of `python3 -I -S -c pass`."""
        return self.median(kind) / self.median("pass")


class LiveHost:
    """A host whose log grows by a minute's lines each minute; density None: it stays as it is."""

    def __init__(self, plan: Plan, parser: Parser, kind: str, number: int) -> None:
        self.rules_json = plan.scratch / f"rules-{RULES}.json"
        self.rules = compile_rules(RULES, self.rules_json)
        self.kind = kind
        work = plan.scratch / f"live-{kind}-{number}"
        self.log = plan.scratch / f"live-{kind}-{number}.log"
        before = 2_000_000
        self.writer = Writer(self.rules, Style("dense" if kind == "dense" else "sparse"), seed=number)
        self.writer.write(self.log, before)
        self.host = Host(parser, work, self.rules_json, self.log)
        self.host.drain({rule.metric for rule in self.rules})
        self.written: dict[int, Counter[str]] = {}
        self.seen: dict[tuple[str, int], float] = {}

    def grow(self, minute: int) -> int:
        """Append the lines of the minute that began at this Unix time; how many bytes they are."""
        lines, kinds = self.writer.minute(minute)
        counts: Counter[str] = Counter()
        for kind, times in kinds.items():
            for metric in self.writer.kinds[kind].metrics:
                counts[metric] += times
        self.written[minute] = counts
        with self.log.open("ab") as file:
            return file.write(b"".join(lines))

    def right(self) -> bool:
        """Whether the points of all minutes but the last are what was written."""
        finished = sorted(self.written)[:-1]
        return all(
            self.seen.get((rule.metric, minute)) == self.written[minute][rule.metric]
            for rule in self.rules
            for minute in finished
        )


def minutes(plan: Plan, parser: Parser, count: int) -> Minutes:
    """Real minutes: single runs on idle hosts and on hosts with 200 KB of new lines, beside Python's own start."""
    kinds = ("idle", "sparse", "dense")
    hosts = [LiveHost(plan, parser, kind, number) for number in range(REPLICAS) for kind in kinds]
    found = Minutes({"pass": [], **{kind: [] for kind in kinds}})
    warm = min(WARM, count - 1)
    say(f"{count} real minutes ({warm} to warm up), {len(hosts)} hosts")
    with Spawner(plan.scratch) as spawner:
        for number in range(count):
            minute = int(time.time()) // INTERVAL * INTERVAL
            time.sleep(max(0.0, minute + INTERVAL - time.time()))
            for host in hosts:
                if host.kind != "idle":
                    found.bytes_a_minute[host.kind] = host.grow(minute)
            time.sleep(max(0.0, minute + INTERVAL + AFTER - time.time()))
            for host in hosts:
                start, _ = spawner.run(PASS)
                one = host.host.run()
                host.seen.update(one.points)
                found.peak = max(found.peak, one.usage.peak)
                if number >= warm:
                    found.samples["pass"].append(start.cpu)
                    found.samples[host.kind].append(one.usage.cpu)
    found.right = all(host.right() for host in hosts)
    for host in hosts:
        host.host.close()
        host.log.unlink()
    for kind in kinds:
        say(f"  {kind}: {found.median(kind) * 1000:.1f} ms, {found.ratio(kind):.2f} times pass")
    return found


@dataclass(frozen=True)
class Backlog:
    """One way to grow the parser's memory, and what it took."""

    what: str
    size: int
    result: Result

    @property
    def rate(self) -> float:
        """MB a second of CPU time."""
        return self.size / 1e6 / self.result.usage.cpu


def backlogs(plan: Plan, parser: Parser, spawner: Spawner, large: int) -> list[Backlog]:
    """Memory must not depend on the backlog, the number of rules or the length of a line."""
    ours = Ours(parser)
    usual_json, many_json = plan.scratch / f"rules-{RULES}.json", plan.scratch / f"rules-{MANY}.json"
    usual, many = compile_rules(RULES, usual_json), compile_rules(MANY, many_json)
    length = max(large // 20, 1_000_000)
    found = []
    for size in (large // 100, large):
        corpus = write(plan, usual, Style(), size, "backlog.log")
        found.append(_backlog(ours, spawner, f"{RULES} rules", Job(corpus, usual, usual_json, plan.scratch)))
    corpus = write(plan, usual, Style(), large // 10, "backlog.log")
    found.append(_backlog(ours, spawner, f"{MANY} rules", Job(corpus, many, many_json, plan.scratch)))
    corpus = write(plan, usual, Style(), length, "backlog.log")
    add_long_line(corpus, length)
    what = f"{RULES} rules, one line of {length / 1e6:.0f} MB"
    found.append(_backlog(ours, spawner, what, Job(corpus, usual, usual_json, plan.scratch)))
    return found


def _backlog(ours: Ours, spawner: Spawner, what: str, job: Job) -> Backlog:
    one = Backlog(what, job.corpus.size, ours.run(spawner, job))
    verdict = "counts equal" if one.result.equal else f"COUNTS DIFFER: {one.result.differences()}"
    peak = one.result.usage.peak / 1e6
    runs = f"{one.size / 1e6:.0f} MB in {one.result.runs} runs"
    say(f"  {what}: {runs}, {one.rate:.1f} MB/s, peak {peak:.1f} MB, {verdict}")
    job.corpus.path.unlink()
    return one


def add_long_line(corpus: Corpus, length: int) -> None:
    """One line of so many bytes behind the others; it counts once, as a job of cron."""
    last = max(minute for _, minute in corpus.counts)
    kind = next(number for number, message in enumerate(corpus.kinds) if "logs.cron.job" in message.metrics)
    with corpus.path.open("ab") as file:
        size = file.write(f"{stamp(corpus.style.form, last + 59, 999999)} {HOST} CRON[7]: (root) CMD (".encode())
        while size < length:
            size += file.write(b"x" * 1_000_000)
        size += file.write(b")\n")
    corpus.size += size
    corpus.lines += 1
    corpus.counts[kind, last] = corpus.counts.get((kind, last), 0) + 1


@dataclass(frozen=True)
class Growth:
    """What 100 rules cost on the file in which 4 of them match, beside the 4 alone."""

    density: str
    few: Result
    many: Result

    @property
    def ratio(self) -> float:
        """CPU time of many by that of few."""
        return self.many.usage.cpu / self.few.usage.cpu


def growth(plan: Plan, parser: Parser, spawner: Spawner, density: str) -> Growth:
    """The same file with 4 rules and with 100, in turn; the best of the rounds.

    After the first round the regexes are there already, as on any host but in its first minute with new rules.
    """
    ours = Ours(parser)
    jobs = {}
    corpus: Corpus | None = None
    for count in (4, RULES):
        rules_json = plan.scratch / f"rules-{count}.json"
        rules = compile_rules(count, rules_json)
        corpus = corpus or write(plan, rules, Style(density, pace=BUSY), plan.size, "growth.log")
        jobs[count] = Job(corpus, rules, rules_json, plan.scratch)
    results: dict[int, list[Result]] = {count: [] for count in jobs}
    for _ in range(plan.rounds):
        for count, job in jobs.items():
            results[count].append(ours.run(spawner, job))
    if corpus:
        corpus.path.unlink()
    best = {count: min(found, key=lambda result: result.usage.cpu) for count, found in results.items()}
    one = Growth(density, best[4], best[RULES])
    say(f"  {density}: 100 rules take {one.ratio:.2f} times what 4 take on the same file")
    return one


@dataclass(frozen=True)
class Hour:
    """An hour of minutely runs of the how-to's script: what it prints summed up, and what was written."""

    bytes_a_minute: int
    printed: int
    written: int


def howto_hour(plan: Plan, spawner: Spawner, share: float) -> Hour:
    """Sixty minutes at a share of the typical rate, four rules, the script run after each."""
    rules = compile_rules(4, plan.scratch / "rules-4.json")
    style = Style("dense")
    writer = Writer(rules, style)
    regexes, log = plan.scratch / "regexes.json", plan.scratch / "howto.log"
    log.write_bytes(b"")
    corpus = Corpus(log, style, writer.kinds)
    regexes.write_text(json.dumps([rule.line_regex(style.header) for rule in rules]))
    printed = 0
    for number in range(60):
        lines, kinds = writer.minute(style.start_for(60 * style.pace) + 60 * number, lines=int(writer.rate * share))
        with log.open("ab") as file:
            corpus.size += file.write(b"".join(lines))
        corpus.counts.update({(kind, number): count for kind, count in kinds.items()})
        _, out = spawner.run([sys.executable, str(PROGRAMS / "howto.py"), str(regexes), str(log)])
        printed += sum(json.loads(out))
    log.unlink()
    return Hour(corpus.size // 60, printed, sum(corpus.totals(rules).values()))
