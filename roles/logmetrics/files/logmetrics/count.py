"""`count`: one run. Reads on, counts, prints the finished intervals, saves cursors and open intervals.

Order of a run: lock, load the state, read, finish intervals, write the next state beside the old one, print everything
in one write, take the next state into use. A run that is cut off anywhere is repeated from the old state.
"""

from __future__ import annotations

import time

from . import buckets, config, diag, output, rulebook, runtime
from .accounts import Accounts
from .codes import Codes
from .errors import Busy, Fault
from .history import History, catalog_id
from .output import write_stdout
from .sources.base import Budget, Sink
from .state import DAMAGED, FRESH, PREVIOUS, Store
from .tally import AHEAD, SECOND, Families, Tally, Timeline
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .buckets import Bucket
    from .config import Config
    from .sources.base import Entry, Source

VERB = "count"
PROBE_FILE = "probe"  # in the state directory: numbers of the probe lines that the role waits for
SECOND_TIME = 600  # seconds after which a finished interval is sent for the last time
LAST_HOUR = 3600
PAUSE = 600  # seconds between two runs that are no part of an hour of running
MOST_PAUSES = 10  # that can be in an hour of running, each followed by a run or more
MAX_POINTS = 4000  # a run finishes no more points than this, for Telegraf's buffers
KEPT_POINTS = 30_000  # that wait in the state to be sent again; of a backlog's the history alone has the older
ACCOUNTS_PART = 5  # part of the run's budget that user databases may take to answer
MOST_OPEN = 50_000  # numbers of intervals that are over and not sent yet, before no more is read
LEAST = 3  # intervals that a run may finish whatever they hold, so that a backlog shrinks
DAY = 86_400
LEAP = DAY  # seconds between two runs; after more, or less than none, the clock may be wrong
STEADY = 3600  # seconds that the clock must have gone on without a leap before anything old is deleted
IDLE_NAME_DAYS = 7  # a captured name that has not occurred for so long is forgotten


class Counter(Sink):
    """Feeds what sources read into the tally; stops a source behind which too much waits to be sent.

    `waiting`: {interval: numbers} of the state. `passed`: up to which time each source had been read before this run.
    """

    def __init__(self, tally: Tally, waiting: dict[int, int], passed: dict[str, int]) -> None:
        self.tally, self.waiting, self.passed = tally, waiting, passed

    def lines(self, source: str, data: bytes | memoryview, offset: int) -> int:
        """See Sink."""
        if self._is_full(source):
            return 0
        self.tally.add_lines(source, data)
        return len(data)

    def entries(self, source: str, entries: list[Entry]) -> int:
        """See Sink."""
        if self._is_full(source):
            return 0
        self.tally.add_entries(source, entries)
        return len(entries)

    def _is_full(self, source: str) -> bool:
        """Whether intervals that this source has passed hold more than is to be kept in memory.

        Nothing waits for ever: of the source that is the furthest behind they are over, and are sent.
        """
        at = self.tally.slot(max(self.passed.get(source, 0), self.tally.passed.get(source, 0)))
        numbers = sum(number for slot, number in self.waiting.items() if slot < at)
        return numbers + sum(len(bucket) for slot, bucket in self.tally.open.items() if slot < at) > MOST_OPEN


class Run:
    """One run of `count`; `clock` gives Unix time."""

    def __init__(self, settings: Config, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self.began = time.monotonic()
        self.now = clock()
        self.store = Store(settings.state_dir, VERB)
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.done: dict[int, list[Any]] = {}  # intervals finished or corrected by this run, as in `recent`
        self.dropped: list[str] = []  # copies of rule sets that are to go at the end
        self.state: dict[str, Any] = {}
        self.self_metrics: dict[str, int] = {}
        self.lost = 0
        self.lost_bytes = 0
        self.watch = Watch(settings.rule_budget)
        self.codes = Codes(settings.state_dir)

    # The state.

    def open_state(self) -> bool:
        """Lock and load; whether the state was there. Raises Fault."""
        self.store.lock()
        self.state, which = self.store.load()
        self.accounts = Accounts(
            self.state.setdefault("accounts", {}), int(self.now), self.settings.run_budget / ACCOUNTS_PART
        )
        self.history = History(self.settings.state_dir, self.state.setdefault("points", {}))
        if which == PREVIOUS:
            self.notes.append(
                f"{self.store.path}: missing or damaged; the run is repeated from the generation before it"
            )
        elif which == DAMAGED:
            self.lost += 1
            self.notes.append(
                f"{self.store.path}: both generations are damaged; reading starts at the ends of the logs"
            )
        if which in (FRESH, DAMAGED):
            self.begin(beginning=which == FRESH and self.settings.start == "beginning")
            return False
        self.dropped = rulebook.pending(self.state, self.settings.state_dir)
        self._unleap()
        if self.settings.interval != self.state["interval"] and self.state["closed"] == self._takeover():
            self._take_interval()
        return True

    def _takeover(self) -> int:
        """Where a new interval may take over: the next end of an interval that is one of the old and of the new."""
        from math import gcd  # noqa: PLC0415 - no run but the first after a change needs it

        old, new = self.state["interval"], self.settings.interval
        common = old * new // gcd(old, new)
        return int(-(-self.state["closed"] // common) * common)

    def _take_interval(self) -> None:
        """Everything up to here was sent by the old interval; what is open goes on by the new one."""
        state, new = self.state, self.settings.interval
        still_open: dict[str, Bucket] = {}
        for at, bucket in sorted((int(at), bucket) for at, bucket in state["open"].items()):
            buckets.merge(still_open.setdefault(str(at // new * new), {}), bucket)
        self.notes.append(
            f"the interval is {new} s from {state['closed']} (Unix time) on, {state['interval']} s before"
        )
        state.setdefault("intervals", []).append([state["closed"], state["interval"]])
        state.update({"open": still_open, "interval": new, "interval_since": state["closed"]})

    def _unleap(self) -> None:
        """Where intervals were finished by a clock that was ahead, go on an hour before the present one.

        What was sent of that time and of the time to come is kept, and added to when its interval is over (`sent` is
        where that ends).
        """
        state, interval = self.state, self.state["interval"]
        if state["closed"] <= self.now + AHEAD + interval:
            return
        self.notes.append(
            f"the clock is {state['closed'] - int(self.now)} s behind what was counted last: it was ahead, or was put "
            "back; counting goes on at the present time"
        )
        present = int(self.now) // interval * interval
        state["sent"] = max(state["closed"], state.get("sent", 0))
        state["first"] = min(state["first"], present + interval)
        state["closed"] = max(present - LAST_HOUR // interval * interval, state["first"])
        if state.get("interval_since", 0) > state["closed"]:
            # What is open is of the present interval.
            state["interval_since"] = state["closed"]
            state["intervals"] = [
                [min(until, state["closed"]), seconds] for until, seconds in state.get("intervals", ())
            ]
        moved: Bucket = {}
        for bucket in state["open"].values():
            buckets.merge(moved, bucket)
        state["open"] = {str(max(present, state["first"])): moved} if moved else {}
        # A rule set that was to come into force then does so at the next interval.
        timeline, soon = state["timeline"], present + interval
        state["timeline"] = [one for one in timeline if one[0] <= soon]
        if timeline[-1][0] > soon:
            state["timeline"].append([soon, timeline[-1][1]])

    def begin(self, beginning: bool) -> None:
        """A state for a first run. Its interval is partial, so the next one is the first that is sent."""
        interval = self.settings.interval
        first = 0 if beginning else -(-int(self.now) // interval) * interval
        self.state.update(
            {
                "seq": 0,
                "interval": interval,
                "first": first,
                "closed": first,
                "open": {},
                "recent": [],
                "catalogs": {},
                "families": {},
                "sources": {},
                "identity": runtime.identity(),
                "matched": {},
            }
        )
        rulebook.update(self.state, self.settings.rules, self.settings.state_dir, self.now, interval, self.faults)
        for source in runtime.sources(self.settings, self.settings.line_max, self.clock):
            self._start(source, beginning)

    def _start(self, source: Source, beginning: bool) -> None:
        cursor: dict[str, Any] = {}
        try:
            source.start(cursor, beginning)
        except Fault as fault:
            self.faults.append(str(fault))
        else:
            self.state["sources"][source.name] = cursor

    # Reading.

    def read(self) -> tuple[Tally, float]:
        """Read all sources; what was counted, and the Unix time up to which every source has been read."""
        settings, state = self.settings, self.state
        rulebook.update(state, settings.rules, settings.state_dir, self.now, state["interval"], self.faults)
        timeline = rulebook.load(state, settings.state_dir, self.codes)
        tally = Tally(
            state["interval"],
            state["first"],
            state["closed"],
            timeline,
            Families(state["families"], self.accounts),
            self.clock,
            settings.line_max,
        )
        tally.since, tally.intervals = state.get("interval_since", 0), state.get("intervals", [])
        budget = Budget(settings.run_budget)
        all_sources = runtime.sources(settings, settings.line_max, self.clock)
        horizon = self.now - settings.grace
        lag = read_bytes = 0
        # What is new in the configuration is read from now on, as at a first run.
        runtime.settle(state["sources"], all_sources, lambda source: self._start(source, beginning=False))
        waiting = {int(at): len(bucket) for at, bucket in state["open"].items()}
        for number, source in enumerate(all_sources):
            cursor = state["sources"].get(source.name)
            if cursor is None:
                continue  # it could not be started, and is reported
            # What is read now was written since the source was last read to its end.
            tally.carry_from = max(state["first"], min(cursor.get("read_to", 0), int(self.now))) * SECOND
            carried: dict[str, int] = cursor.get("carried", {})
            tally.carried.update({path: at for path, at in carried.items() if at >= tally.carry_from})
            tally.watch = self.watch
            looked = self.clock()
            before = {
                path: place.get("passed", 0) for path, place in cursor.get("paths", {source.name: cursor}).items()
            }
            counter = Counter(tally, waiting, before)
            report = source.read(cursor, counter, budget.share(len(all_sources) - number))
            cursor["carried"] = {path: at for path, at in tally.carried.items() if _belongs(path, cursor, source.name)}
            self.faults += report.faults
            self.notes += report.notes
            self.lost += report.lost
            self.lost_bytes += report.lost_bytes
            lag += report.lag
            read_bytes += report.bytes
            reached = int(looked - settings.grace)
            if report.at_end:
                cursor["read_to"] = reached
            # Each file by itself: a finished one says nothing of the others.
            places: dict[str, dict[str, Any]] = cursor.get("paths", {source.name: cursor})
            for path, place in places.items():
                passed = max(place.get("passed", 0), tally.passed.get(path, 0), reached if path in report.ended else 0)
                place["passed"] = min(passed, int(self.clock()) + AHEAD)
                # What could not be read is reported, not waited for.
                if path in report.unfinished and _is_read(tally, path):
                    horizon = min(horizon, place["passed"])
        for metric, times in tally.bad_values.items():
            self.notes.append(f"rule {metric}: {times} matches held no number in their group value; they do not count")
        self.faults += [str(fault) for _, rules in timeline.sets for fault in rules.unfit]
        self.faults += [
            f"rule {rule.metric}: took more than {settings.rule_budget:g} s on a line and was set aside for this run, "
            "so it counts too little in this interval; mend its regex (the check verb says how)"
            for rule in self.watch.aside
        ]
        self._note_aside(timeline)
        if self.accounts.unanswered:
            self.faults.append(
                f"the host's user databases (getent passwd) did not answer in time for {self.accounts.unanswered} "
                "names; those that were no accounts before count as _invalid"
            )
        self.self_metrics.update(lines=tally.lines, bytes=read_bytes, lag_bytes=lag)
        self.self_metrics.update(late_lines=tally.late_lines, future_lines=tally.future_lines)
        return tally, horizon

    def _note_aside(self, timeline: Timeline) -> None:
        """Keep for `status` which rules were set aside, and on which line (masked: it may leave the host)."""
        if not self.watch.aside:
            return
        from .masking import Mask  # noqa: PLC0415 - no sound rule set needs it

        mask = Mask(rule.match for _, rules in timeline.sets for rule in rules.rules)
        for rule in self.watch.aside:
            line = self.watch.slow.get(rule)
            self.state.setdefault("aside", {})[rule.metric] = [int(self.now), "" if line is None else mask.text(line)]

    # Finishing intervals.

    def finish(self, tally: Tally, horizon: float) -> list[str]:
        """Merge what was counted, close intervals that are over; the Graphite lines to print, by interval."""
        state, interval = self.state, self.state["interval"]
        due: dict[int, tuple[list[str], Bucket]] = self._again()
        still_open: dict[int, Bucket] = {int(at): bucket for at, bucket in state["open"].items()}
        for at, bucket in tally.open.items():
            if at in still_open:
                buckets.merge(still_open[at], bucket)
            else:
                still_open[at] = bucket
        self._late(tally, still_open, due)
        names = self._names(tally)
        points = 0
        until = int(horizon) // interval * interval
        changes = self.settings.interval != interval
        if changes:
            until = min(until, self._takeover())
        for number, at in enumerate(self._over(until, still_open)):
            bucket = still_open.pop(at, {})
            zeros = names(at)
            points += len(bucket.keys() | zeros)
            if points > MAX_POINTS and number >= LEAST:
                still_open[at] = bucket
                break
            sent = self._sent(at) if at < state.get("sent", 0) else None
            if sent is not None:
                zeros, bucket = list(dict.fromkeys(sent[0] + zeros)), _sum(sent[1], bucket)
            self._done(at, zeros, bucket, due)
            state["closed"] = at + interval
        else:
            if changes:
                state["closed"] = max(state["closed"], until)  # of long ago not every interval is sent
        self._note_done()
        state["open"] = {str(at): bucket for at, bucket in still_open.items() if bucket}
        for metric, at in tally.newest.items():
            state["matched"][metric] = max(at, state["matched"].get(metric, 0))
        lines: list[str] = []
        for at in sorted(due):
            lines += buckets.points(due[at][1], due[at][0], at)
        self.self_metrics["series"] = len(names(state["closed"]))
        return self._probe(tally.probes) + lines

    def _probe(self, numbers: list[int]) -> list[str]:
        """The point of the probe line that the role waits for; of others at most one, as anybody can write them."""
        if not numbers:
            return []
        try:
            with open(f"{self.settings.state_dir}/{PROBE_FILE}", "rb") as file:
                awaited = file.read(4096).split()
        except OSError:
            awaited = []
        known = [number for number in numbers if b"%d" % number in awaited]
        return [f"logs.parser.probe {number} {int(self.now)}\n" for number in (known or numbers)[-1:]]

    def _names(self, tally: Tally) -> Callable[[int], list[str]]:
        """Names that send zeros for an interval, by the rule set that was in force."""
        cache: dict[int, list[str]] = {}

        def names(at: int) -> list[str]:
            rules = tally.timeline.at(at)
            if id(rules) not in cache:
                cache[id(rules)] = list(dict.fromkeys(rules.names() + tally.families.names(rules)))
            return cache[id(rules)]

        return names

    def _over(self, until: int, still_open: dict[int, Bucket]) -> list[int]:
        """Intervals that are over, oldest first: all of the last days, older ones where something was counted."""
        interval, closed = self.state["interval"], self.state["closed"]
        if not closed:
            closed = min([*still_open, until])
        filled = max(closed, (int(self.now - self.settings.keep_days * DAY) // interval) * interval)
        older = sorted(at for at in still_open if closed <= at < min(filled, until))
        return older + list(range(filled, until, interval))

    def _late(self, tally: Tally, still_open: dict[int, Bucket], due: dict[int, tuple[list[str], Bucket]]) -> None:
        """Correct what was sent; a run corrects no more than it may print, the rest waits in the state."""
        state, interval = self.state, self.state["interval"]
        late: dict[int, Bucket] = {int(at): bucket for at, bucket in state.pop("late", {}).items()}
        for at, bucket in tally.late.items():
            buckets.merge(late.setdefault(at, {}), bucket)
        points = 0
        for at in sorted(late):
            can = self.settings.late == "correct" and at < state["closed"]
            if can and points > MAX_POINTS:
                state.setdefault("late", {})[str(at)] = late[at]
                continue
            sent = self._sent(at) if can else None
            if can and sent is None and self.history.faults:
                state.setdefault("late", {})[str(at)] = late[at]  # until the history can be read
                continue
            if sent is None:
                # Not to be corrected, or too old for it: the oldest interval that is not sent yet.
                buckets.merge(still_open.setdefault(max(at // interval * interval, state["closed"]), {}), late[at])
                continue
            zeros, bucket = sent
            buckets.merge(bucket, late[at])
            points += len(bucket.keys() | zeros)
            self._done(at, zeros, bucket, due)

    def _sent(self, at: int) -> tuple[list[str], Bucket] | None:
        for one in [self.done[at]] if at in self.done else self.state["recent"]:
            if one[0] == at:
                return self.state["catalogs"][one[2]], one[3]
        return self.history.find(at)

    def _done(self, at: int, zeros: list[str], bucket: Bucket, due: dict[int, tuple[list[str], Bucket]]) -> None:
        """An interval is finished or corrected: print it now, keep it to print it again."""
        catalog = catalog_id(zeros)
        due[at] = (zeros, bucket)
        self.history.append(at, catalog, zeros, bucket, int(self.now))
        if self.settings.resend:
            self.state["catalogs"][catalog] = zeros
            self.done[at] = [at, int(self.now), catalog, bucket, 0]

    def _note_done(self) -> None:
        """What waits to be sent again, with what was done now; of a backlog the older ones without their numbers."""
        state = self.state
        recent: list[list[Any]] = [one for one in state["recent"] if one[0] not in self.done]
        recent += self.done.values()
        waiting: list[list[int]] = [one for one in state.get("waiting", ()) if one[0] not in self.done]
        points = 0
        for number in range(len(recent) - 1, -1, -1):
            points += len(recent[number][3]) + 1
            if points > KEPT_POINTS:
                waiting += [[at, finished, stage] for at, finished, _, _, stage in recent[: number + 1]]
                recent = recent[number + 1 :]
                break
        state["recent"], state["waiting"] = recent, waiting

    def _again(self) -> dict[int, tuple[list[str], Bucket]]:
        """What is printed again: by the next run, ten minutes later, and after a restart the last hour."""
        state = self.state
        due: dict[int, tuple[list[str], Bucket]] = {}
        if not self.settings.resend:
            state["recent"] = state["waiting"] = []
            return due
        self._note_pause()
        me = runtime.identity()
        if me != state["identity"]:
            state["again"] = sorted(self.history.finished(self._hour_ago()).union(state.get("again", ())))
            if not self.history.faults:
                state["identity"] = me
        again: list[int] = state.get("again", [])
        points = number = 0
        while number < len(again) and (points <= MAX_POINTS or number < LEAST):
            sent = self._sent(again[number])
            if self.history.faults:
                break  # it is tried again by the next run
            if sent is not None:
                due[again[number]] = sent
                points += len(sent[0]) + len(sent[1])
            number += 1
        state["again"] = again[number:]
        kept: list[list[Any]] = []
        waiting: list[list[int]] = []
        points = 0
        # Those in the history alone are the older ones.
        for one in state.get("waiting", []) + state["recent"]:
            at, finished, stage = one[0], one[1], one[-1]
            last = stage and not finished <= self.now < finished + SECOND_TIME and points <= MAX_POINTS
            if not stage or last:
                sent = (state["catalogs"][one[2]], one[3]) if len(one) > 3 else self._sent(at)
                if sent is None and self.history.faults:
                    waiting.append(one)
                    continue
                if sent is not None:
                    due[at] = sent
                    points += len(sent[0]) + len(sent[1]) if last else 0
            if not last:
                (kept if len(one) > 3 else waiting).append([*one[:-1], 1])
        state["recent"], state["waiting"] = kept, waiting
        return due

    def _hour_ago(self) -> int:
        """Where the last hour of running begins: pauses between runs, and leaps of the clock, are no part of it."""
        # The clock of the last run, where that of a host that has just started is behind it.
        since: int = max(int(self.now), self.state.get("ran", 0)) - LAST_HOUR
        for at, seconds in reversed(self.state.get("pauses", ())):
            if at >= since:
                since -= seconds
        return since

    def _note_pause(self) -> None:
        pause = int(self.now) - self.state.get("ran", int(self.now))
        if pause > PAUSE:
            self.state["pauses"] = [*self.state.get("pauses", ())[-MOST_PAUSES:], [int(self.now), pause]]

    # The end of a run.

    def save_and_print(self, lines: list[str], write: Callable[[bytes], None]) -> None:
        """Write the next state, print, take the next state into use. A fault on the way is printed, too."""
        state = self.state
        used = {one[2] for one in state["recent"]}
        state["catalogs"] = {name: names for name, names in state["catalogs"].items() if name in used}
        oldest = int(self.now - self.settings.keep_days * DAY)
        steady = self._is_steady()
        if steady:
            rulebook.forget(state, oldest)
            if "intervals" in state:
                state["intervals"] = [one for one in state["intervals"] if one[0] > oldest]
            Families(state["families"], self.accounts).free(int(self.now) - IDLE_NAME_DAYS * DAY)
        before = state.get("self", "")
        state["seq"] += 1
        state["lost"] = state.get("lost", 0) + self.lost
        state["lost_bytes"] = state.get("lost_bytes", 0) + self.lost_bytes
        state["late_lines"] = state.get("late_lines", 0) + self.self_metrics.get("late_lines", 0)
        if state.get("aside"):
            state["aside"] = {metric: one for metric, one in state["aside"].items() if one[0] >= oldest}
        state["ran"] = int(self.now)
        self.accounts.forget()
        self._measure()
        prepared = False
        try:
            state["self"] = self._self_text()
            self.history.save()
            if steady:
                # What is to be sent again, however old it is, is needed for some minutes.
                self.history.forget(min([oldest, *(one[0] for one in state.get("waiting", ()))]))
            self.store.prepare(state)
            prepared = True
        except Fault as fault:
            self.faults.append(str(fault))
        except OSError as error:
            self.faults.append(
                f"{self.settings.state_dir}: cannot be written: {error.strerror}; counting goes on from the last state"
            )
        again = before if self.settings.resend else ""
        write("".join([again, *lines, self._self_text()]).encode("utf-8"))
        if prepared:
            self.store.commit()
            self.codes.save()
            rulebook.remove(self.dropped, state, self.settings.state_dir)

    def _is_steady(self) -> bool:
        """Whether the clock has gone on evenly for a while, so that what is old by it is old."""
        state = self.state
        if not 0 <= int(self.now) - state.get("ran", int(self.now)) <= LEAP:
            state["leapt"] = int(self.now)
        leapt: int = state.get("leapt", 0)
        return int(self.now) >= leapt + STEADY

    def _measure(self) -> None:
        self.self_metrics.update(
            lost=self.lost,
            lost_bytes=self.lost_bytes,
            rule_timeouts=len(self.watch.aside),
            rules_age=max(0, int(self.now) - self.state.get("rules_since", int(self.now))),
            run_ms=int((time.monotonic() - self.began) * 1000),
        )

    def _self_text(self) -> str:
        at = int(self.now)
        lines = [f"logs.parser.{name} {value} {at}\n" for name, value in sorted(self.self_metrics.items())]
        return "".join(lines) + f"logs.script_error {int(bool(self.faults))} {at}\n"

    def go(self, write: Callable[[bytes], None]) -> None:
        """The whole run. Raises Fault where nothing could be counted."""
        self.open_state()
        try:
            tally, horizon = self.read()
        finally:
            self.watch.stop()
        lines = self.finish(tally, horizon)
        self.faults += self.history.faults
        self.save_and_print(lines, write)


def _sum(one: Bucket, other: Bucket) -> Bucket:
    buckets.merge(one, other)
    return one


def _belongs(path: str, cursor: dict[str, Any], source: str) -> bool:
    return path == source or path in cursor.get("paths", ())


def _is_read(tally: Tally, path: str) -> bool:
    """Whether an operator's rule reads the source; others hold back no interval."""
    return any(not tally.view(rules, path).empty for _, rules in tally.timeline.sets)


def init(path: str) -> int:
    """`count --init`: make the states of count and ship where there are none. Prints nothing; 0, or 2 with a line."""
    from . import ship  # noqa: PLC0415 - a run that counts does not need it

    try:
        settings = config.load(path)
        runtime.become_owner(settings.state_dir)
        run = Run(settings)
        if not run.open_state():
            run.store.prepare(run.state)
            run.store.commit()
        ship.init(settings)
    except Busy:
        return 0  # a run is at work, so there is a state
    except Fault as fault:
        diag.stderr([str(fault)])
        return 2
    if run.faults:
        diag.stderr(run.faults)
        return 2
    return 0


def main(path: str, as_json: bool = False) -> int:
    """`count`: always 0, as Telegraf drops the output of a run that fails; errors are in syslog and in script_error."""
    write = (lambda data: write_stdout(output.as_json(data))) if as_json else write_stdout
    messages: list[str] = []
    run: Run | None = None
    try:
        settings = config.load(path)
        runtime.become_owner(settings.state_dir)
        run = Run(settings)
        run.go(write)
    except BrokenPipeError:
        return 0  # nobody read it: the next run prints it again, as the state was not saved
    except Fault as fault:
        messages.append(str(fault))
        _only_error(write)
    except Exception as error:
        messages.append(where(error))
        _only_error(write)
    if run is not None:
        diag.say(run.faults + messages)
        diag.say(run.notes, "warning")
    else:
        diag.say(messages)
    return 0


def _only_error(write: Callable[[bytes], None]) -> None:
    try:
        write(f"logs.script_error 1 {int(time.time())}\n".encode())
    except OSError:
        pass


def where(error: Exception) -> str:
    """An unforeseen error in one line: what, and where it was raised."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "?"
    return f"{type(error).__name__}: {error} at {place}; nothing was saved, the next run repeats this one"
