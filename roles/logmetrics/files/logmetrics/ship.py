"""`ship`: one run. Sends what is new in the sources to Loki, with a cursor of its own, and prints its own metrics.

A batch is one push of one source. 204: the cursor moves on. 400: Loki kept the good lines; it moves on, and what was
rejected is counted. Anything else (429, 5xx, no answer): nothing moves, the next run tries again. What is sent is noted
before (`sent` module), so that a run that was cut off, or got no answer, sends nothing twice; so is the time of the
first try, which lines without any stamp have.
"""

from __future__ import annotations

import time

from . import config, diag, leanjson, runtime
from .errors import Busy, Fault
from .lines import split
from .output import write_stdout
from .sent import Sent
from .sources.base import Budget, Sink
from .state import DAMAGED, FRESH, Store
from .tally import AHEAD, SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .config import Config
    from .config import Loki as LokiSettings
    from .loki import Client, Value
    from .sent import Batch
    from .sources.base import Entry, Source

VERB = "ship"
LONGEST = 8.0  # seconds of reading and sending; the exec's interval is 10 s


class Shipper(Sink):
    """Pushes what it is given; stops the reading where Loki does not take it."""

    def __init__(
        self,
        settings: Config,
        now: float,
        carried: dict[str, int],
        times: dict[str, list[list[int]]],
        sent: Sent,
    ) -> None:
        self.settings = settings
        self.now = now
        self.carried = carried  # source: ns of the last stamp, for lines without one
        self.carry_from = 0  # ns; an older stamp is not carried
        self.times = times
        self.sent = sent
        self.taken_to: dict[str, int] = {}  # source: end of what Loki took
        self.counted: dict[str, int] = {}  # source of entries: how many Loki took
        self.refused_of = ""  # the source that it did not take
        self.lines_sent = 0
        self.bytes_sent = 0
        self.rejected = 0
        self.faults: list[str] = []
        self.refused = False  # Loki does not take anything now
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The connection to Loki, made when there is something to send."""
        if self._client is None:
            from .loki import Client  # noqa: PLC0415 - an idle run needs no HTTP

            assert self.settings.loki is not None
            self._client = Client(self.settings.loki)
        return self._client

    def lines(self, source: str, data: bytes | memoryview, offset: int) -> int:
        """See Sink."""
        data = bytes(data)
        assert self.settings.loki is not None
        batch = self.settings.loki.batch_bytes

        def content(length: int) -> bytes:
            return data[taken : taken + length]

        taken = 0
        while taken < len(data) and not self.refused:
            start = offset + taken
            noted = self.sent.find(source, start, content)
            end = taken + noted.length if noted else len(data)
            if end - taken > batch and noted is None:
                end = data.rfind(b"\n", taken, taken + batch) + 1
                if end <= taken:
                    end = data.find(b"\n", taken) + 1
            values, last, bare = self._values(source, data[taken:end], start)
            if bare:
                self._first_tried(source, start, offset + end)
            if noted is None and values:
                noted = self.sent.note(source, start, end - taken, content(end - taken), values)
            if not self._push(source, values, end - taken, noted):
                self.refused_of = source
                if bare:
                    self._first_tried(source, start, offset + len(data))  # what follows was seen now, too
                break
            taken = end
            self.taken_to[source] = offset + end
            if last is not None:
                self.carried[source] = last
        return taken

    def entries(self, source: str, entries: list[Entry]) -> int:
        """See Sink."""
        assert self.settings.loki is not None

        def content(length: int) -> bytes:
            return b"\n".join(line for _, _, _, line in entries[taken : taken + length])

        taken = 0
        while taken < len(entries) and not self.refused:
            start = self.counted.get(source, 0)
            noted = self.sent.find(source, start, content)
            end = taken + noted.length if noted else taken
            size = 0
            while noted is None and end < len(entries) and (end == taken or size < self.settings.loki.batch_bytes):
                size += len(entries[end][3])
                end += 1
            found = [self._value(line, when, program) for when, program, _, line in entries[taken:end]]
            values = [value for value in found if value is not None]
            if noted is None and values:
                noted = self.sent.note(source, start, end - taken, content(end - taken), values)
            if not self._push(source, values, sum(len(line) for _, _, _, line in entries[taken:end]), noted):
                break
            self.counted[source] = start + end - taken
            taken = end
        return taken

    def _first_tried(self, source: str, start: int, end: int) -> None:
        """Lines without a stamp have this time, also at later tries; it is saved with the batch."""
        known = self.times.setdefault(source, [])
        begin = max([start, *(one[1] for one in known if one[0] <= start)])
        if begin < end:
            known.append([begin, end, int(self.now)])

    def _first_try(self, source: str, offset: int) -> int:
        """Nanoseconds of the first try to send what stands there."""
        for start, end, at in self.times.get(source, ()):
            if start <= offset < end:
                return at * SECOND
        return int(self.now) * SECOND

    def open_times(self) -> dict[str, list[list[int]]]:
        """What must be known of first tries by the next run: those of lines that were not taken."""
        kept = {}
        for source, known in self.times.items():
            if source not in self.taken_to:
                kept[source] = known
            elif source == self.refused_of:
                kept[source] = [one for one in known if one[1] > self.taken_to[source]]
        return kept

    def _values(self, source: str, data: bytes, offset: int) -> tuple[list[Value], int | None, bool]:
        """(lines with their times, ns of the last stamp, whether lines had none at all to go by).

        A time is the line's own, and within its resolution its offset, so that equal lines differ.
        """
        found: list[Value] = []
        last = self.carried.get(source)
        bare = False
        for line in data.split(b"\n")[:-1]:
            stamp, program, _ = split(line[:4096], self.now)
            if stamp is None:
                bare = bare or last is None
                base = self._first_try(source, offset) if last is None else last
                when = base + offset % SECOND if base % SECOND == 0 else base + offset % 1000
            else:
                own = stamp[0] * SECOND + stamp[1]
                when = own + offset % stamp[2]
                if own >= self.carry_from:
                    last = own
            value = self._value(line.rstrip(b"\r"), when, program) if line else None
            if value is not None:
                found.append(value)
            offset += len(line) + 1
        return found, last, bare

    def _value(self, line: bytes, when: int, program: bytes | None) -> Value | None:
        """One entry as Loki takes it; None (and counted as rejected) where it is too old for the store."""
        loki = self.settings.loki
        assert loki is not None
        if when > (self.now + AHEAD) * SECOND:
            when = int(self.now) * SECOND + when % SECOND
        elif when < (self.now - loki.max_age_hours * 3600) * SECOND:
            self.rejected += 1
            return None
        if len(line) > loki.max_line:
            line = line[: loki.max_line]
            self.rejected += 1
        text = line.decode("utf-8", "replace")
        if 3 * len(line) > loki.max_line:
            # A byte that is no UTF-8 becomes three.
            data = text.encode("utf-8")
            if len(data) > loki.max_line:
                text = data[: loki.max_line].decode("utf-8", "ignore")
        if program is None:
            return [str(when), text]
        return [str(when), text, {"program": program.decode("utf-8", "replace")}]

    def _push(self, source: str, values: list[Value], size: int, noted: Batch | None) -> bool:
        """Whether Loki has the batch now; one without values there is nothing to do for."""
        if noted is not None and not noted.taken:
            if not (noted.tried and self._has_arrived(source, noted)):
                if self.refused:
                    return False
                noted.tried = True
                answer = self.client.push(source, values)
                self.rejected += answer.rejected
                if answer.fault:
                    self.faults.append(answer.fault)
                if not answer.taken:
                    self.refused = True
                    return False
            noted.taken = True
        self.lines_sent += len(values)
        self.bytes_sent += size
        return True

    def _has_arrived(self, source: str, noted: Batch) -> bool:
        """Ask Loki for a batch whose answer is not known; where it does not answer, nothing is sent now."""
        found, fault = self.client.holds(source, noted.at, noted.last)
        if fault:
            self.faults.append(fault)
            self.refused = found is None
        return bool(found)


def _run(settings: Config, write: Callable[[bytes], None], clock: Callable[[], float]) -> list[str]:
    if settings.loki is None:
        raise Fault(
            f'{settings.path}: has no "loki", so there is nowhere to ship to; set it, or remove the ship command'
        )
    store = Store(settings.state_dir, VERB)
    store.lock()
    try:
        return _ship(settings, settings.loki, store, write, clock)
    finally:
        store.unlock()


def _ship(
    settings: Config, loki: LokiSettings, store: Store, write: Callable[[bytes], None], clock: Callable[[], float]
) -> list[str]:
    now = clock()
    state, which = store.load()
    lost = lost_bytes = lag = 0
    faults: list[str] = []
    if which in (FRESH, DAMAGED):
        lost += which == DAMAGED
        state = _begin(settings, faults, beginning=which == FRESH and settings.start == "beginning")
    budget = Budget(min(settings.run_budget, LONGEST))
    all_sources = runtime.sources(settings, loki.max_line, clock)
    carried: dict[str, int] = {}
    runtime.settle(state["sources"], all_sources, lambda source: _start(source, state, faults, beginning=False))
    # What is saved on the way is the state of the run's begin: sources change theirs while they read.
    begun = leanjson.loads(leanjson.dumps(state))
    times: dict[str, list[list[int]]] = leanjson.loads(leanjson.dumps(state.get("times", {})))

    def save() -> None:
        store.prepare({**begun, "times": times, "sent": sent.saved()})
        store.commit()

    sent = Sent(state.get("sent", {}), save)
    shipper = Shipper(settings, now, carried, times, sent)
    for number, source in enumerate(all_sources):
        cursor = state["sources"].get(source.name)
        if cursor is None:
            continue  # it could not be started, and is reported
        # What is read now was written since the source was last read to its end.
        looked = clock()
        shipper.carry_from = min(cursor.get("read_to", 0), int(now)) * SECOND
        known: dict[str, int] = cursor.get("carried", {})
        carried.update({path: at for path, at in known.items() if at >= shipper.carry_from})
        report = source.read(cursor, shipper, budget.share(len(all_sources) - number))
        if report.at_end and not shipper.refused:
            cursor["read_to"] = int(looked - settings.grace)
        names = cursor.get("paths", {source.name: None})
        cursor["carried"] = {path: at for path, at in carried.items() if path in names}
        faults += report.faults + report.notes
        lost += report.lost
        lost_bytes += report.lost_bytes
        lag += report.lag
    faults += shipper.faults
    for key, value in (("lost", lost), ("lost_bytes", lost_bytes), ("rejected", shipper.rejected)):
        state[key] = state.get(key, 0) + value
    measured = {
        "lines": shipper.lines_sent,
        "bytes": shipper.bytes_sent,
        "rejected": shipper.rejected,
        "errors": len(faults),
        "lag_bytes": lag,
        "lost": lost,
    }
    at, totals = _of_interval(state, measured, int(now), settings.interval)
    state["ran"] = int(now)
    state["times"] = shipper.open_times()
    state["sent"] = sent.open({source.name for source in all_sources if source.name in shipper.counted})
    store.prepare(state)
    store.commit()
    write("".join(f"logs.ship.{name} {value} {at}\n" for name, value in totals.items()).encode())
    return faults


def _of_interval(
    state: dict[str, Any], measured: dict[str, int], now: int, interval: int
) -> tuple[int, dict[str, int]]:
    """(start of the present interval, its numbers so far): runs share a slot of the store, which keeps the last.

    What a run measured is added to what the runs before it in this interval did; how far it lags is a state, not a sum.
    """
    at = now // interval * interval
    before = state.get("totals", {}) if state.get("totals_at") == at else {}
    totals = {name: value + (before.get(name, 0) if name != "lag_bytes" else 0) for name, value in measured.items()}
    state["totals_at"], state["totals"] = at, totals
    return at, totals


def _begin(settings: Config, faults: list[str], beginning: bool) -> dict[str, Any]:
    state: dict[str, Any] = {"sources": {}}
    for source in runtime.sources(settings, settings.line_max, time.time):
        _start(source, state, faults, beginning)
    return state


def _start(source: Source, state: dict[str, Any], faults: list[str], beginning: bool) -> None:
    cursor: dict[str, Any] = {}
    try:
        source.start(cursor, beginning)
    except Fault as fault:
        faults.append(str(fault))
    else:
        state["sources"][source.name] = cursor


def init(settings: Config) -> None:
    """Make the state where there is none. Raises Fault, Busy."""
    if settings.loki is None:
        return
    store = Store(settings.state_dir, VERB)
    store.lock()
    try:
        _, which = store.load()
        if which in (FRESH, DAMAGED):
            faults: list[str] = []
            store.prepare(_begin(settings, faults, settings.start == "beginning"))
            store.commit()
            if faults:
                raise Fault(faults[0])
    finally:
        store.unlock()


def main(path: str) -> int:
    """`ship`: always 0, as Telegraf drops the output of a run that fails; errors are in syslog and logs.ship.errors."""
    messages: list[str] = []
    try:
        settings = config.load(path)
        runtime.become_owner(settings.state_dir)
        messages = _run(settings, write_stdout, time.time)
    except BrokenPipeError:
        return 0
    except Busy:
        return 0  # the run before is still sending
    except Fault as fault:
        messages = [str(fault)]
        _only_error()
    except Exception as error:
        from .count import where  # noqa: PLC0415

        messages = [where(error)]
        _only_error()
    diag.say(messages)
    return 0


def _only_error() -> None:
    try:
        write_stdout(f"logs.ship.errors 1 {int(time.time())}\n".encode())
    except OSError:
        pass
