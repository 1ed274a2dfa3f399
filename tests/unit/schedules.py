"""Random schedules for one host, how they are played, and how the store is judged at the end.

A host is a `World` with several logs, or a journal, lines for every kind of rule, a zone, and clocks that jump. What
the store holds for a metric and minute (the last write wins, as in whisper) must be what was written in that minute.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Tuple
from zlib import crc32

from hypothesis import strategies as st
from logmetrics import count, leanjson, replay, stamp, state, values
from logmetrics.errors import Busy, Fault
from logmetrics.rulebook import digest_of
from logmetrics.sources import journal as journal_source
from logmetrics.sources.base import Budget
from logmetrics.sources.file import SETTLED, SIGNED
from replayed import Journal
from world import START, World
from writer import METRIC, Log, rules

Step = Tuple[Any, ...]
Stored = Dict[str, Dict[int, Fraction]]  # by metric and minute
NEW_METRIC = "logs.test.event2"

# Sources by name: patterns in the configuration, and the logs that are written.
SOURCES: dict[str, tuple[list[str], list[str]]] = {
    "one": (["app.log"], ["app.log"]),
    "two": (["app.log", "svc.log"], ["app.log", "svc.log"]),
    "glob": (["*.log"], ["app.log", "svc.log"]),
    "both": (["app.log", "*.log"], ["app.log", "svc.log"]),
    "journal": ([], []),
    "mixed": (["app.log"], ["app.log"]),
}
# Zones and the moment at which a schedule begins there, some minutes before the clocks or the year change.
PLACES = {
    "plain": ("UTC", START),
    "spring": ("Europe/Berlin", 1_806_195_600 - 420),  # 2027-03-28 02:00 becomes 03:00
    "autumn": ("Europe/Berlin", 1_792_890_000 - 420),  # 2026-10-25 03:00 becomes 02:00
    "half hour": ("Australia/Lord_Howe", 1_806_764_400 - 420),  # 2027-04-04, back by half an hour
    "new year": ("America/St_Johns", 1_798_774_200 - 420),  # 2027-01-01 00:00 by local time
}


class Looks(Budget):
    """A budget in looks at it, not in seconds: the same on every machine."""

    def __init__(self, looks: int) -> None:
        super().__init__(0)
        self.looks = looks

    @property
    def over(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def share(self, parts: int) -> Budget:
        return self


class Host(World):
    """See the module's docstring."""

    def __init__(self, root: Path, late: str, setup: dict[str, Any]) -> None:
        super().__init__(root, late=late, resend=True, chunk=setup["chunk"])
        self.zone, self.now = PLACES[setup["place"]]
        self.now = float(self.now)
        self.start = int(self.now)
        # In a repeated hour a stamp without a zone says nothing certain.
        self.form = "3339" if setup["form"] == "3164" and setup["place"] in ("autumn", "half hour") else setup["form"]
        self.rich = True
        self.plain = setup["plain"]
        self.kept = setup["kept"]
        patterns, names = SOURCES[setup["sources"]]
        self.files = [Log(self, name) for name in names]
        self.settings.sources = [{"type": "file", "path": str(self.logs / pattern)} for pattern in patterns]
        self.journal: Journal | None = None
        if setup["sources"] in ("journal", "mixed"):
            self.journal = Journal(root / "journal")
            self.settings.sources.append({"type": "journal"})
        self.plain = self.plain and bool(self.files)
        self.sets = {METRIC: leanjson.dumps(rules(METRIC, self.plain))}
        self.sets[NEW_METRIC] = leanjson.dumps(rules(NEW_METRIC, self.plain))
        self.rules_path.write_bytes(self.sets[METRIC])
        self.first = -(-self.start // 60) * 60  # the first whole interval
        self._uptime = 0.0
        self.jumped = False
        self.set_back = False  # what was open then counts at the new present
        self.held = 0.0
        self.may_miss = False  # lines were destroyed, by the schedule
        self.unseen = False  # and of some the parser never knew, so that nothing can tell
        self.destroyed_bytes = 0
        self.busy = 0
        self.played: Counter[str] = Counter()

    @contextlib.contextmanager
    def lives(self) -> Iterator[None]:
        """In its zone, with its journalctl."""
        before = {name: os.environ.get(name) for name in ("TZ", "PATH")}
        os.environ["TZ"] = self.zone
        if self.journal is not None:
            os.environ["PATH"] = f"{self.journal.folder}:{before['PATH']}"
        _new_zone()
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            _new_zone()

    # Steps.

    @property
    def uptime(self) -> float:
        return self._uptime

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._uptime += seconds

    def write_entries(self, number: int, ago: float = 0) -> None:
        """The same lines as entries of the journal."""
        assert self.journal is not None
        at = self.now - ago
        log, plain, self.plain = Log(self, "journal"), self.plain, False
        lines = [log.line(at, n).rstrip(b"\n") for n in range(number)]
        self.plain = plain
        cut = b" - - " if self.form == "5424" else b"]: "
        self.journal.write([(at, line.partition(cut)[2]) for line in lines])

    def vacuum(self, keep: int, blind: bool) -> None:
        """journald removes old entries: those that were read, or all beyond `keep` whether they were read or not."""
        if self.journal is None:
            return
        if blind:
            self.may_miss = True
            # Of an emptied journal the next entry tells that something is missing.
            self.unseen = self.unseen or self._cursor() is None or not keep
        elif not self.run() or self.disk.full:
            return
        self.journal.vacuum(keep)

    def _cursor(self) -> str | None:
        found: str | None = self._state()["sources"].get("journal", {}).get("cursor")
        return found

    def _state(self) -> dict[str, Any]:
        content = state.decode((self.state / "count.state").read_bytes())
        assert content is not None
        return content

    def will_lose(self, path: Path) -> None:
        """Lines of this file may now be lost. Whether the parser knows of it stands in its own cursors."""
        stat = path.stat()
        self.may_miss = True
        self.destroyed_bytes += stat.st_size
        places = [place for one in self._state()["sources"].values() for place in one.get("paths", {}).values()]
        tracks = [track for place in places for track in [place["live"], *place["old"]] if track]
        with path.open("rb") as file:
            head = file.read(SIGNED)
        known = any(
            track["ino"] == stat.st_ino
            and track["head_length"]
            and crc32(head[: track["head_length"]]) == track["head"]
            for track in tracks
        )
        if stat.st_size and not known:
            self.unseen = True

    def jump(self, seconds: float) -> None:
        """The clock is set. Back only when everything is read, so that no unread line is of the future."""
        if seconds < 0:
            seconds = max(seconds, self.first + 61 - self.now)
            for log in self.files:
                log.end_line()
            if self.disk.full or not self.run() or seconds >= 0:
                return
            self.set_back = True
        elif seconds >= SETTLED:
            # By that clock a line in a rotated file has waited for its end for so long that it counts without it.
            for log in self.files:
                log.end_line()
        self.jumped = True
        # The run after it sends for the last time what ten minutes seem to have passed over: that one is not lost.
        self.losses = 2
        # Never by a multiple of the steps in which files are written here: a file that is written again with the very
        # time and size that it had is one that no program can tell from an untouched one (docs/counting.md).
        self.now += seconds + 0.013
        self.run()

    def switch_rules(self, metric: str) -> None:
        """The role writes another rule set."""
        new = self.rules_path.with_suffix(".new")
        new.write_bytes(self.sets[metric])
        new.replace(self.rules_path)

    def run_two(self, at: int) -> None:
        """A second run begins while the first is at its at-th call."""

        def second() -> None:
            other, out = count.Run(self.settings, lambda: self.now), []
            try:
                other.go(out.append)
            except Busy:
                self.busy += 1
            finally:
                other.store.unlock()
            # Before the first one has the lock, it is a run like any other.
            self.deliveries.append((self.uptime, b"".join(out).decode()))

        self.disk.meanwhile = (at, second)
        try:
            self.run()
        finally:
            self.disk.meanwhile = None

    def run_briefly(self, looks: int) -> None:
        """A run whose time is used up in the middle of what is new."""
        real = count.Budget
        count.Budget = lambda _: Looks(looks)  # type: ignore[assignment,misc]  # stands in for the class
        try:
            self.run()
        finally:
            count.Budget = real  # type: ignore[misc]  # the class itself again

    def replay(self, ago: float) -> None:
        """Graphite was away for long, everything sent is gone; then the operator has the finished points sent again."""
        if self.disk.full or not self.run():
            return
        since = self.now - ago
        kept = [line for _, text in self.deliveries for line in text.splitlines(True) if int(line.split()[2]) < since]
        again = "".join(replay.points(self.settings, int(since) // 60 * 60, None, ""))
        self.deliveries = [(self.uptime, "".join(kept)), (self.uptime, again)]

    def readonly(self) -> None:
        """The state's disk is read-only for one run."""
        self.disk.readonly = True
        with contextlib.suppress(Fault):
            self.run()
        self.disk.readonly = False

    def settle(self) -> None:
        for log in self.files:
            log.reopen()
        for _ in range(3):
            self.advance(61)
            self.run()
        self.advance(700)
        # What these finish is sent again by the next one.
        for _ in range(2):
            self.run()

    # Judgement.

    @property
    def inexact(self) -> bool:
        """Whether a minute may lack what was written in it: destroyed, or counted in another."""
        return self.may_miss or self.set_back or self.settings.late == "next"

    def judge(self) -> None:
        """Raises AssertionError where the store holds anything else than it must."""
        found = self._found()
        wanted = self._wanted()
        metrics = sorted(set(found) | set(wanted))
        if self.repeated:
            # What was printed and not saved is counted again, and then others may be the first names of a full family.
            extra = found.pop("logs.test.by", {})
            assert all(extra.get(at, 0) >= n for at, n in wanted["logs.test.by"].items()) or self.inexact, "by"
            del wanted["logs.test.by"]
            metrics = sorted(set(found) | set(wanted))
        lost = self._state().get("lost", 0)
        if self.set_back and not self.may_miss:
            # A small log that is rotated and compressed at once, its time then before that of the last look, is
            # not recognised: that is said.
            for metric in metrics:
                own, written = sum(found.get(metric, {}).values()), sum(wanted.get(metric, {}).values())
                assert own <= written if lost else own == written, metric
            return
        if self.may_miss:
            # After a clock was set back what was open counts at the new present: then the totals tell.
            missing = [
                metric
                for metric in metrics
                if any(number < 0 for number in _differences(found, wanted, metric, by_minute=not self.set_back))
            ]
            if self.settings.late == "correct" and not self.jumped:
                more = {
                    (metric, at): number
                    for metric in metrics
                    for at, number in found.get(metric, {}).items()
                    if number > wanted.get(metric, {}).get(at, 0)
                }
                assert more == {}, "more than was written"
            for metric in metrics:
                assert sum(found.get(metric, {}).values()) <= sum(wanted.get(metric, {}).values()), metric
            assert not missing or lost or self.unseen or self.settings.late == "next", "a loss that nobody was told of"
            return
        assert lost == 0, self.faults
        # Of the state: what a run counted that was killed after it was saved is in no other place.
        late_lines = self._state().get("late_lines", 0)
        if self.settings.late == "correct" or not late_lines:
            for metric in metrics:
                assert found.get(metric, {}) == wanted.get(metric, {}), metric
            self._judge_levels()
        else:
            for metric in metrics:
                assert sum(found.get(metric, {}).values()) == sum(wanted.get(metric, {}).values()), metric
            own, written = found.get(METRIC, {}), wanted.get(METRIC, {})
            moved = sum(max(0, number - own.get(at, 0)) for at, number in written.items())
            # A line that says "repeated 3 times" is one late line.
            assert moved <= 3 * late_lines, "differences that late_lines does not explain"
        if not self.jumped:
            self._judge_zeros()
            self._judge_switch()

    def _found(self) -> Stored:
        """What the store holds, by metric and minute, without zeros; families and both names of the event summed."""
        found: dict[str, dict[int, Fraction]] = {}
        users: dict[int, dict[str, Fraction]] = {}
        for (series, at), text in self.store().items():
            name, value = series, Fraction(text)
            if not value:
                continue
            if name.startswith("logs.test.by."):
                users.setdefault(at, {})[name[13:]] = value
                name = "logs.test.by"
            elif name == NEW_METRIC:
                name = METRIC
            elif name == "logs.test.took.count":
                name = "logs.test.took"
            elif name.startswith(("logs.test.level", "logs.test.took.")):
                continue
            if name.startswith("logs.test."):
                own = found.setdefault(name, {})
                own[at] = own.get(at, Fraction(0)) + value
        self.users = users
        return found

    def _wanted(self) -> Stored:
        truth = self.truth
        wanted = {metric: {at: Fraction(n) for at, n in own.items() if n} for metric, own in truth.counts.items()}
        wanted["logs.test.took"] = {at: Fraction(len(all_)) for at, all_ in truth.took.items()}
        wanted["logs.test.by"] = {at: Fraction(sum(own.values())) for at, own in truth.users.items()}
        return wanted

    def _judge_levels(self) -> None:
        """Gauges: a newest value of the minute. Timings: all of their numbers. Families: no name has too much."""
        store = self.store()
        for at, some in self.truth.levels.items():
            newest = max(when for when, _ in some)
            assert int(store["logs.test.level", at]) in {value for when, value in some if when == newest}, at
        for at, times in self.truth.took.items():
            ordered, number = sorted(times), len(times)
            expected = {
                "min": ordered[0],
                "max": ordered[-1],
                **{f"p{p}": ordered[-(-p * number // 100) - 1] for p in (50, 95, 99)},
            }
            mean = Fraction(sum(times), number)
            assert {part: int(store[f"logs.test.took.{part}", at]) for part in expected} == expected, at
            assert abs(Fraction(store["logs.test.took.mean", at]) - mean) <= Fraction(1, values.SCALE), at
        for at, own in self.users.items():
            for name, number in own.items():
                assert name == "_other" or number == self.truth.users[at][name], (at, name)

    def _judge_zeros(self) -> None:
        """No holes: every minute from the first whole one has a point, where nothing happened a zero."""
        at = [at for name, at in self.store() if name == "logs.test.even"]
        assert sorted(at) == list(range(self.first, max(at) + 60, 60)), "holes"

    def _judge_switch(self) -> None:
        """Each minute's events are under the metric of the rule set that was in force."""
        if self.settings.late == "next":
            return
        names = {digest_of(data): metric for metric, data in self.sets.items()}
        timeline = [(start, names[digest]) for start, digest in self._state()["timeline"]]
        for (name, at), text in self.store().items():
            if name in (METRIC, NEW_METRIC) and text != "0":
                assert name == [metric for start, metric in timeline if start <= at][-1], (name, at)


def _differences(found: Stored, wanted: Stored, metric: str, by_minute: bool) -> list[Fraction]:
    """How much more the store holds of a metric than was written, for each minute or in all."""
    own, written = found.get(metric, {}), wanted.get(metric, {})
    if not by_minute:
        return [sum(own.values(), Fraction(0)) - sum(written.values(), Fraction(0))]
    return [own.get(at, Fraction(0)) - written.get(at, Fraction(0)) for at in sorted({*own, *written})]


def _new_zone() -> None:
    time.tzset()
    stamp._settled.clear()
    stamp._settled_for[0] = -1
    journal_source._zone_of_hour.clear()


# Schedules.

SETUPS = st.fixed_dictionaries(
    {
        "sources": st.sampled_from(["one", "one", "one", "two", "two", "glob", "glob", "both", "mixed", "journal"]),
        "place": st.sampled_from(["plain", "plain", *PLACES]),
        "form": st.sampled_from(["3164", "3164", "3339", "5424"]),
        "plain": st.sampled_from([False, False, False, True]),
        "chunk": st.sampled_from([4096, 400]),
        "kept": st.sampled_from([count.KEPT_POINTS, count.KEPT_POINTS, 9, 0]),
    }
)
WHICH = st.integers(0, 1)
PACKS = st.sampled_from(["gz", "xz", "bz2"])


def _step(name: str, *arguments: Any) -> Any:
    return st.tuples(st.just(name), *arguments)


WRITES = st.one_of(
    _step("write", WHICH, st.integers(1, 12)),
    _step("write", WHICH, st.sampled_from([40, 90])),
    _step("late", WHICH, st.integers(1, 4), st.sampled_from([30, 70, 200, 900])),
    _step("half", WHICH),
)
ROTATIONS = st.one_of(
    _step("rotate", WHICH, st.sampled_from(["number", "date"]), st.booleans(), st.booleans()),
    _step("rotate_pack", WHICH, PACKS),
    _step("reopen", WHICH),
    _step("copytruncate", WHICH),
    _step("reuse_inode", WHICH, WHICH),
    _step("become_link", WHICH),
    _step("delete_oldest", WHICH),
    _step("compress", WHICH, st.integers(0, 3), PACKS),
    _step("vacuum", st.integers(0, 5)),
)
RUNS = st.one_of(
    _step("run"),
    _step("run"),
    _step("kill", st.integers(1, 160), st.booleans()),
    _step("two", st.integers(1, 160)),
    _step("brief", st.integers(1, 6)),
    _step("lose"),
    _step("disk_full", st.booleans()),
    _step("readonly"),
    _step("power_cut", st.sampled_from([0, 100, 1800])),
    _step("telegraf_dies", st.sampled_from([0, 100, 1800])),
    _step("replay", st.sampled_from([300, 7200])),
    _step("rules", st.sampled_from([METRIC, NEW_METRIC])),
)
TIME = st.one_of(
    _step("advance", st.sampled_from([0.5, 5, 30, 61, 61, 125, 700])),
    _step("advance", st.sampled_from([0.5, 5, 30, 61, 61, 125])),
    _step("jump", st.sampled_from([70, 1900, 4000, -40, -90, -1900, -5000])),
)
LOSSES = st.one_of(
    _step("destroy", WHICH, st.sampled_from(["truncate", "remove", "rotated"])),
    _step("vacuum_blind", st.integers(0, 9)),
)
STEPS = st.lists(st.one_of(WRITES, ROTATIONS, RUNS, TIME, TIME), min_size=1, max_size=40)
LOSSY_STEPS = st.lists(st.one_of(WRITES, ROTATIONS, RUNS, TIME, LOSSES), min_size=1, max_size=40)


def play(host: Host, steps: list[Step]) -> None:
    for log in host.files:
        log.path.touch()
        host.touch(log.path)
    host.run()
    host.advance(61)
    for step in steps:
        host.played[step[0]] += 1
        take(host, *step)
        # Mtimes differ between any two steps, as on a real disk.
        host.advance(0.05)
    host.disk.full = False
    host.settle()


def take(host: Host, name: str, *rest: Any) -> None:
    if name in ("write", "late"):
        # Never before the first whole interval, which is not sent.
        ago = min(rest[2], host.now - host.first) if name == "late" else 0
        if host.journal is not None and (not host.files or rest[0]):
            host.write_entries(rest[1], ago)
        else:
            host.files[rest[0] % len(host.files)].write(rest[1], ago)
    elif name == "reuse_inode":
        if host.files:
            host.files[rest[0] % len(host.files)].reuse_inode(host.files[rest[1] % len(host.files)])
    elif name in FILE_STEPS:
        if host.files:
            log = host.files[rest[0] % len(host.files)]
            FILE_STEPS[name](log, *rest[1:])
    elif name == "vacuum":
        host.vacuum(rest[0], blind=False)
    elif name == "vacuum_blind":
        host.vacuum(rest[0], blind=True)
    elif name == "disk_full":
        host.disk.full = rest[0]
    elif name == "run":
        host.run()
    elif name == "lose":
        host.lose()
    elif name == "kill":
        host.run(kill_at=rest[0], power=rest[1])
    elif name == "two":
        host.run_two(rest[0])
    elif name == "brief":
        host.run_briefly(rest[0])
    elif name == "readonly":
        host.readonly()
    elif name == "power_cut":
        host.disk.power_cut()
        host.telegraf_dies(rest[0])
    elif name == "telegraf_dies":
        host.telegraf_dies(rest[0])
    elif name == "replay":
        host.replay(rest[0])
    elif name == "rules":
        host.switch_rules(rest[0])
    elif name == "jump":
        host.jump(rest[0])
    elif name == "advance":
        # A writer does not stop for minutes in the middle of a line.
        for log in host.files if rest[0] > 60 else ():
            log.end_line()
        host.advance(rest[0])
    else:
        raise AssertionError(name)


FILE_STEPS: dict[str, Any] = {
    "half": Log.write_half,
    "rotate": Log.rotate,
    "rotate_pack": lambda log, how: log.rotate(pack=how),
    "reopen": Log.reopen,
    "copytruncate": Log.copytruncate,
    "become_link": Log.become_link,
    "delete_oldest": Log.delete_oldest,
    "compress": Log.compress,
    "destroy": Log.destroy,
}
