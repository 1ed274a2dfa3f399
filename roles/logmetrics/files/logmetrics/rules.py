"""Compiled rules (`rules.json`) and what one line means to them. Pure: no clock, no files but the one it is given."""

from __future__ import annotations

from zlib import crc32

from . import leanjson
from .codes import Codes
from .errors import Fault
from .watch import TooSlow, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any, Iterable, Iterator

FORMAT = 1
TYPES = ("counter", "sum", "gauge", "timing", "probe")
DEFAULT_MAX_SERIES = 100
PROBE = "logs.parser.probe"
SUPPRESSED = "logs.parser.upstream_suppressed"

# What the parser itself looks for, beside the operator's rules.
BUILT_IN: list[dict[str, Any]] = [
    # A forged probe harms nothing: it is a number at a name that nobody else uses.
    {"metric": PROBE, "type": "probe", "program": ["logmetrics-probe"], "match": r"^probe=(?P<value>\d{1,9})$"},
    # journald: "Suppressed %u messages from %s" (journald-rate-limit.c and its caller in journald-server.c).
    {
        "metric": SUPPRESSED,
        "type": "sum",
        "program": ["systemd-journald", "systemd-journal"],
        "match": r"^Suppressed (?P<value>\d{1,15}) messages from ",
    },
    # rsyslog: "imuxsock[pid]: %u messages lost due to rate-limiting" (runtime/ratelimit.c), before "imuxsock lost".
    {
        "metric": SUPPRESSED,
        "type": "sum",
        "program": ["rsyslogd", "rsyslogd-2177"],
        "match": r"^im[a-z]+(?:\[[^\]]*\])?: (?P<value>\d{1,15}) messages lost due to rate-limiting",
    },
    {
        "metric": SUPPRESSED,
        "type": "sum",
        "program": ["rsyslogd", "rsyslogd-2177"],
        "match": r"^imuxsock lost (?P<value>\d{1,15}) messages from ",
    },
]

_REPEATED = b"message repeated "


class Rule:
    """One rule; its regex is compiled when its program first occurs."""

    __slots__ = (
        "_codes",
        "_pattern",
        "groups",
        "help",
        "match",
        "max_series",
        "metric",
        "number",
        "only",
        "pieces",
        "programs",
        "sources",
        "type",
        "value",
    )

    def __init__(self, doc: dict[str, Any], number: int, codes: Codes | None = None) -> None:
        self.number = number
        self._codes = codes or Codes()
        self.metric: str = doc["metric"]
        self.type: str = doc.get("type") or "counter"
        self.match: str = doc["match"]
        self.programs: list[bytes] | None = _encoded(doc.get("program"))
        self.sources: list[str] | None = _listed(doc.get("source"))
        self.max_series: int = doc.get("max_series") or DEFAULT_MAX_SERIES
        self.only: str | None = doc.get("only")
        self.help: str = doc.get("help") or ""
        # "a.{x}.b" becomes pieces ("a.", ".b") and groups ("x",).
        self.pieces, self.groups = _family(self.metric)
        self.value = self.type in ("sum", "gauge", "timing", "probe")
        self._pattern: re.Pattern[bytes] | None = None

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """The regex, over bytes. Raises Fault where Python's `re` does not take it."""
        if self._pattern is None:
            try:
                self._pattern = self._codes.pattern(self.match.encode("utf-8"))
            except Exception as error:
                from re import error as re_error  # noqa: PLC0415 - only where one was raised

                if not isinstance(error, (re_error, OverflowError, RecursionError)):
                    raise
                raise Fault(
                    f"rule {self.metric}: its regex is unfit: {error}; run the check verb on its pack"
                ) from None
            missing = [
                name
                for name in (*self.groups, *(["value"] if self.value else []))
                if name not in self._pattern.groupindex
            ]
            if missing:
                raise Fault(
                    f"rule {self.metric}: its regex has no group named {missing[0]}; run the check verb on its pack"
                )
        return self._pattern

    def applies_to(self, source: str) -> bool:
        """Whether lines of this source (a path, or "journal") are this rule's business."""
        if self.sources is None:
            return True
        if source in self.sources:
            return True
        from fnmatch import fnmatchcase  # noqa: PLC0415 - rare

        return any(fnmatchcase(source, pattern) for pattern in self.sources)


class Hit:
    """A rule that a line matched: how often it counts, and the regex's match on the message."""

    __slots__ = ("found", "rule", "times")

    def __init__(self, rule: Rule, times: int, found: re.Match[bytes]) -> None:
        self.rule = rule
        self.times = times
        self.found = found


class RuleSet:
    """All rules of one `rules.json`, by program."""

    def __init__(self, rules: Iterable[Rule], digest: str, codes: Codes | None = None, name: str = "") -> None:
        self.rules = list(rules)
        self.digest = digest
        self.codes = codes or Codes()  # where their regexes are kept compiled
        self.name = name  # under which they are; "" for none
        self.unfit: list[Fault] = []  # rules that were set aside, as their regex cannot be used

    @classmethod
    def from_document(cls, doc: Any, where: str, codes: Codes | None = None, name: str = "") -> RuleSet:
        """Rules from the content of rules.json, and the built-in ones. Raises Fault."""
        codes = codes or Codes()
        if not isinstance(doc, dict) or not isinstance(doc.get("rules"), list):
            raise Fault(f"{where}: is no compiled rule set; make it with the compile verb")
        form = doc.get("format")
        if form != FORMAT:
            raise Fault(
                f"{where}: has format {form!r}, this parser reads {FORMAT}; install the parser that belongs to it"
            )
        rules: list[Rule] = []
        kinds: dict[str, str] = {}
        for number, one in enumerate([*BUILT_IN, *doc["rules"]]):
            unfit = _unfit(one)
            if unfit:
                raise Fault(f"{where}: rule {number - len(BUILT_IN) + 1} {unfit}")
            rules.append(Rule(one, number, codes))
            kind = kinds.setdefault(rules[-1].metric, rules[-1].type)
            if kind != rules[-1].type:
                raise Fault(
                    f"{where}: rule {number - len(BUILT_IN) + 1} ({rules[-1].metric}) is a {rules[-1].type}, and an "
                    f"earlier one of that name a {kind}; give it another path and compile it again"
                )
        return cls(rules, str(doc.get("hash") or ""), codes, name)

    @classmethod
    def from_bytes(cls, data: bytes, where: str, codes: Codes | None = None, name: str = "") -> RuleSet:
        """Rules from the bytes of rules.json. Raises Fault."""
        try:
            return cls.from_document(leanjson.loads(data), where, codes, name)
        except ValueError as error:
            raise Fault(f"{where}: is no JSON: {error}; compile it again") from None

    def view(self, source: str) -> View:
        """The rules that apply to one source."""
        return View([rule for rule in self.rules if rule.applies_to(source)], self.unfit)

    def names(self) -> list[str]:
        """Series that send a zero where nothing happened: counters, sums, counts of timings; without families."""
        found = []
        for rule in self.rules:
            if not rule.groups and rule.type in ("counter", "sum", "timing"):
                name = rule.metric + ".count" if rule.type == "timing" else rule.metric
                if name not in found:
                    found.append(name)
        return found


class View:
    """Rules of one source, looked up by program."""

    def __init__(self, rules: list[Rule], unfit: list[Fault]) -> None:
        self._unfit = unfit
        self._rules = rules
        self.left_out: list[Rule] = []
        self._ready: dict[bytes | None, list[Rule]] = {}
        self._by_program: dict[bytes, list[Rule]] = {}
        self._any = [rule for rule in rules if rule.programs is None]
        for rule in rules:
            for program in rule.programs or ():
                self._by_program.setdefault(program, []).append(rule)
        for own in self._by_program.values():
            own.extend(self._any)
            own.sort(key=lambda rule: rule.number)

    @property
    def empty(self) -> bool:
        """Whether no operator's rule reads this source."""
        return all(rule.number < len(BUILT_IN) for own in (self._any, *self._by_program.values()) for rule in own)

    @property
    def for_any_program(self) -> bool:
        """Whether a rule is for lines of whatever program, or of none."""
        return bool(self._any)

    def programs(self) -> list[bytes]:
        """Programs that rules name."""
        return list(self._by_program)

    def by_number(self) -> dict[int, Rule]:
        """The rules by their numbers in the set."""
        return {rule.number: rule for rule in self._rules}

    @property
    def signature(self) -> str:
        """Tells which rules of a set these are."""
        return f"{crc32(' '.join(str(rule.number) for rule in self._rules).encode()):08x}"

    def named(self, program: bytes) -> list[Rule]:
        """Rules for a program that they name, whether their regexes are fit or not."""
        return [rule for rule in self._by_program[program] if rule not in self.left_out]

    def rules_for(self, program: bytes | None) -> list[Rule]:
        """Rules to try on a line of this program (None: a line without a syslog header)."""
        key = program if program in self._by_program else None
        ready = self._ready.get(key)
        if ready is None:
            ready = self._ready[key] = self._usable(self._any if key is None else self._by_program[key])
        return ready

    def without(self, rules: list[Rule]) -> None:
        """Leave these rules out from now on."""
        self.left_out = rules
        for key, ready in self._ready.items():
            self._ready[key] = [rule for rule in ready if rule not in rules]

    def _usable(self, rules: list[Rule]) -> list[Rule]:
        usable = []
        for rule in rules:
            if rule in self.left_out:
                continue
            try:
                rule.pattern  # noqa: B018 - compiles it
            except Fault as fault:
                if all(str(fault) != str(one) for one in self._unfit):
                    self._unfit.append(fault)
            else:
                usable.append(rule)
        return usable


def repeated(message: bytes) -> tuple[int, bytes]:
    """(N, inner message) of rsyslog's `message repeated N times: [ ... ]`; (1, message) for any other."""
    if not message.startswith(_REPEATED):
        return 1, message
    number, _, inner = message[len(_REPEATED) :].partition(b" times: [ ")
    if not inner or not number.isdigit() or len(number) > 9:
        return 1, message
    return int(number), inner[:-1] if inner.endswith(b"]") else inner


def hits(rules: list[Rule], message: bytes, watch: Watch | None = None) -> Iterator[Hit]:
    """Every rule that this message matches (each once, however often its regex would); `watch` holds its budget."""
    watch = watch or Watch()
    times, message = repeated(message)
    for rule in rules:
        watch.working = rule
        try:
            found = rule.pattern.search(message)
        except TooSlow:
            watch.set_aside(rule, message)
            continue
        watch.working = None  # what is made of a match is not the regex's doing
        if found is not None:
            yield Hit(rule, times, found)


def _unfit(doc: Any) -> str:
    """What is wrong with a compiled rule, or "". The check verb says more; this keeps a run from failing."""
    if not isinstance(doc, dict) or not isinstance(doc.get("metric"), str) or not isinstance(doc.get("match"), str):
        return "has no metric and match; compile it again"
    metric = doc["metric"]
    if not metric or " " in metric or not metric.isprintable():
        return f"has a metric that is no Graphite path: {metric!r}; compile it again"
    if (doc.get("type") or "counter") not in TYPES:
        return f"({metric}) has the unknown type {doc['type']!r}; install the newer parser"
    lists = (doc.get("program"), doc.get("source"))
    texts = [
        doc["match"],
        *(one for names in lists if names for one in (names if isinstance(names, list) else [names])),
    ]
    if not all(isinstance(text, str) and _is_utf8(text) for text in texts):
        return f"({metric}) has a match, program or source that is no text; compile it again"
    most = doc.get("max_series")
    if most is not None and (not isinstance(most, int) or most < 0):
        return f"({metric}) has max_series {most!r}, which is no number; compile it again"
    if doc.get("only") not in (None, "", "accounts"):
        return f"({metric}) has only: {doc['only']!r}, which this parser does not know; install the newer parser"
    return ""


def _is_utf8(text: str) -> bool:
    """JSON may hold half of a surrogate pair, which no bytes stand for."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _encoded(names: Any) -> list[bytes] | None:
    found = _listed(names)
    return None if found is None else [name.encode("utf-8") for name in found]


def _listed(names: Any) -> list[str] | None:
    if names is None:
        return None
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _family(metric: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pieces: list[str] = []
    groups: list[str] = []
    rest = metric
    while True:
        before, brace, after = rest.partition("{")
        name, close, tail = after.partition("}")
        if not brace or not close:
            pieces.append(rest)
            return tuple(pieces), tuple(groups)
        pieces.append(before)
        groups.append(name)
        rest = tail
