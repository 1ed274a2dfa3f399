"""Rule packs as operators write them: YAML in, typed rules with the place of every part out.

Runs on the controller alone (it needs PyYAML); a host reads the `rules.json` that `compile` makes of these rules.
Nothing here judges a rule's regex: this module knows the format, `check` knows what is wise.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import yaml

TYPES = ("counter", "sum", "gauge", "timing")
ONLY = ("accounts",)
VALUE_GROUP = "value"
#: What a timing's one rule writes below its metric (docs/counting.md).
TIMING_PARTS = ("count", "min", "max", "mean", "p50", "p95", "p99")

RULE_KEYS = ("metric", "help", "type", "program", "source", "match", "max_series", "only", "ignore", "tests")
TEST_KEYS = ("line", "yields", "value", "series", "accounts", "source", "note")
PACK_KEYS = ("rules",)

#: `{group}` in a metric's path.
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
#: carbon takes any byte but a blank in a name; graphite-web reads these alone without quoting, so the rest is refused.
NAME_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
GROUP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

#: A value that begins with a quote, and how such a value must go on: to its end, perhaps with a comment behind it.
_QUOTED = re.compile(r"""\s*(?:- +)?(?:[A-Za-z_]+: +)?(?P<quote>['"])""")
_CLOSED = {
    "'": re.compile(r"""'(?:[^']|'')*'\s*(?:#.*)?$"""),
    '"': re.compile(r""""(?:[^"\\]|\\.)*"\s*(?:#.*)?$"""),
}
_IGNORE = re.compile(r"#\s*logmetrics:\s*ignore\b[ \t]*(?P<rest>.*)")
_EXAMPLES = {"max_series": 50, "yields": 1}
_CODE = re.compile(r"LM\d{3}\Z")


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a pack: file as it was named, line and column counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """`file:line:column`."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Finding:
    """One fault: where, its code (docs/rules.md lists them), what it is and what to do about it."""

    mark: Mark
    code: str
    what: str
    todo: str

    def __str__(self) -> str:
        """The one line that an operator reads."""
        return f"{self.mark}: {self.code} {self.what}; {self.todo}"


@dataclass(frozen=True)
class Test:
    """A sample line and what the rule must make of it.

    `yields` is how often the line counts (a "message repeated N times" counts N times). `values` are what a sum, gauge
    or timing reads from it, `series` the full names a family writes, both only where the pack states them; `accounts`
    are the accounts that exist in this test, for rules with `only: accounts`.
    """

    __test__ = False  # not a pytest class

    line: str
    yields: int
    mark: Mark
    values: tuple[float, ...] | None = None
    series: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    source: str | None = None


@dataclass(frozen=True)
class Rule:
    """One rule of a pack; `marks` holds the place of each of its keys' values, and under "" that of the rule."""

    metric: str
    match: str
    pack: str
    type: str = "counter"
    help: str = ""
    program: tuple[str, ...] | None = None
    source: tuple[str, ...] | None = None
    max_series: int | None = None
    only: str | None = None
    tests: tuple[Test, ...] = ()
    marks: Mapping[str, Mark] = field(default_factory=dict, compare=False, repr=False)
    match_at: Callable[[int], Mark] = field(default=lambda _: Mark("?", 0, 0), compare=False, repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups in the metric's path, in order; empty for a rule that is no family."""
        return tuple(PLACEHOLDER.findall(self.metric))

    def place(self, key: str = "") -> Mark:
        """Where `key` stands, or the rule's first line where the pack does not have it."""
        return self.marks.get(key) or self.marks[""]

    def series(self) -> tuple[str, ...]:
        """The paths this rule writes, with `{group}` as it stands in the metric."""
        if self.type == "timing":
            return tuple(f"{self.metric}.{part}" for part in TIMING_PARTS)
        return (self.metric,)

    def to_json(self) -> dict[str, Any]:
        """The rule as it stands in rules.json (its tests stay on the controller)."""
        return {
            "metric": self.metric,
            "type": self.type,
            "program": None if self.program is None else list(self.program),
            "source": None if self.source is None else list(self.source),
            "match": self.match,
            "max_series": self.max_series,
            "only": self.only,
            "pack": self.pack,
            "help": self.help,
        }


@dataclass(frozen=True)
class Ignore:
    """What silences findings: a comment (`# logmetrics: ignore LM502 reason`), or a rule's key `ignore`.

    A comment speaks for its own line or, standing alone, for the line or rule below it; `rule` are the first and last
    line of the rule whose key it is (rules in an inventory have no comments that would reach `check`).
    """

    mark: Mark
    codes: tuple[str, ...]
    reason: str
    whole_line: bool = False
    rule: tuple[int, int] | None = None


@dataclass(frozen=True)
class Pack:
    """What one file holds: its rules, the faults of its form, and its comments that silence findings."""

    name: str
    file: str
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    ignores: tuple[Ignore, ...]
    rule_lines: tuple[tuple[int, int], ...]
    text: str = field(default="", repr=False)

    def next_line(self, line: int) -> int:
        """The number of the next line after `line` that holds more than blanks and a comment; 0 where there is none."""
        for number, text in enumerate(self.text.split("\n")[line:], line + 1):
            if text.strip() and not text.lstrip().startswith("#"):
                return number
        return 0


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' did you mean "x"?'-like half sentence for a misspelt word, or the list of what there is."""
    names = list(known)
    if len(names) == 1:
        return f'did you mean "{names[0]}"?'
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if close:
        return f'did you mean "{next(name for name in names if name.lower() == close[0])}"?'
    return "known are " + ", ".join(names)


def load_pack(path: Path, name: str | None = None, shown: str | None = None) -> Pack:
    """Read one pack; faults of its form are in `findings`, and a rule with such a fault is left out of `rules`.

    Raises OSError where the file cannot be read and UnicodeDecodeError where it is not UTF-8.
    """
    file = shown or str(path)
    text = path.read_bytes().decode("utf-8-sig")
    return parse_pack(text, file, name or path.stem)


def parse_pack(text: str, file: str, name: str) -> Pack:
    """A pack from its text. Shape: a mapping with the one key `rules`, a list of rules; a bare list is taken too."""
    return _Reader(text, file, name).pack()


class _StopError(Exception):
    """This rule or test cannot be read on; its finding is noted."""


class _Reader:
    """Walks the YAML nodes of one file and notes every fault on its way."""

    def __init__(self, text: str, file: str, name: str) -> None:
        self.text, self.file, self.name = text, file, name
        self.lines = text.split("\n")
        self.findings: list[Finding] = []
        self.rule_lines: list[tuple[int, int]] = []
        self.ignores: list[Ignore] = []

    def pack(self) -> Pack:
        rules: list[Rule] = []
        root = self._compose()
        if root is not None:
            for node in self._rule_nodes(root):
                self.rule_lines.append(
                    (node.start_mark.line + 1, max(node.start_mark.line, node.end_mark.line - 1) + 1)
                )
                rule = self._rule(node)
                if rule is not None:
                    rules.append(rule)
        ignores = (*_ignores(self.text, self.file), *self.ignores)
        return Pack(
            self.name, self.file, tuple(rules), tuple(self.findings), ignores, tuple(self.rule_lines), self.text
        )

    # Notes.

    def mark(self, node: yaml.Node) -> Mark:
        return Mark(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def note(self, where: Any, code: str, what: str, todo: str) -> None:
        mark = where if isinstance(where, Mark) else self.mark(where)
        self.findings.append(Finding(mark, code, _one_line(what), todo))

    # YAML.

    def _compose(self) -> yaml.Node | None:
        try:
            loader = yaml.SafeLoader(self.text)
            try:
                root = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            self._yaml_fault(error)
            return None
        except yaml.reader.ReaderError as error:
            before = self.text[: error.position]
            mark = Mark(self.file, before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
            char = error.character if isinstance(error.character, str) else chr(error.character)
            self.note(mark, "LM002", f"the character {char!r} may not stand in YAML", "remove it")
            return None
        if root is None:
            self.note(Mark(self.file, 1, 1), "LM007", "the pack is empty", 'begin it with "rules:" and a list of rules')
        return root

    def _yaml_fault(self, error: yaml.MarkedYAMLError) -> None:
        at = error.problem_mark or error.context_mark
        mark = Mark(self.file, at.line + 1, at.column + 1) if at else Mark(self.file, 1, 1)
        line = self.lines[mark.line - 1] if mark.line <= len(self.lines) else ""
        problem = (error.problem or str(error)).strip()
        if "'\\t'" in problem or "\t" in line[: max(0, mark.column)]:
            tab = line.index("\t") + 1 if "\t" in line else mark.column
            self.note(
                Mark(self.file, mark.line, tab),
                "LM003",
                "a tab stands where YAML takes blanks alone",
                "indent with blanks",
            )
        elif "unknown escape character" in problem:
            self.note(
                mark,
                "LM004",
                f"YAML reads backslashes in double quotes itself ({problem.replace('found ', '')})",
                "put the regex in single quotes",
            )
        elif "document" in problem and "expected a single document" in (error.context or ""):
            self.note(mark, "LM002", "a second document begins here", "keep all rules of a file under one rules: list")
        else:
            quote = self._open_quote(mark.line)
            if quote is not None:
                self.note(
                    quote,
                    "LM002",
                    "the text that this quote opens does not end with its line",
                    "close it at the end, and write a quote inside single quotes twice ('')",
                )
            else:
                self.note(mark, "LM002", f"this is no YAML: {_plain(error, problem)}", _yaml_remedy(problem))

    def _open_quote(self, until: int) -> Mark | None:
        """The quote, up to a line, that opens a value and is not closed as the last thing in it."""
        for number, line in enumerate(self.lines[:until], 1):
            opened = _QUOTED.match(line)
            if opened and not _CLOSED[opened.group("quote")].match(line[opened.start("quote") :]):
                return Mark(self.file, number, opened.start("quote") + 1)
        return None

    def _rule_nodes(self, root: yaml.Node) -> list[yaml.Node]:
        if isinstance(root, yaml.SequenceNode):
            return list(root.value)
        if not isinstance(root, yaml.MappingNode):
            self.note(
                root, "LM103", f"a pack is a mapping with the key rules, not {_kind(root)}", 'begin it with "rules:"'
            )
            return []
        before = len(self.findings)
        found = self._mapping(root, PACK_KEYS, "a pack")
        if "rules" not in found:
            if len(self.findings) > before:
                return []  # the misspelt key is told
            self.note(root, "LM102", 'the pack has no "rules"', "put the list of rules under rules:")
            return []
        rules = found["rules"]
        if not isinstance(rules, yaml.SequenceNode):
            self.note(
                rules,
                "LM103",
                f"rules must be a list, not {_kind(rules)}",
                'begin each rule with "- metric:"'
                if isinstance(rules, yaml.MappingNode)
                else "list the rules below it",
            )
            return []
        if not rules.value:
            self.note(rules, "LM007", "the list of rules is empty", "write a rule or remove the pack")
        return list(rules.value)

    def _mapping(self, node: yaml.MappingNode, known: Sequence[str], what: str) -> dict[str, yaml.Node]:
        """The node's values by key; unknown and repeated keys are noted and left out."""
        found: dict[str, yaml.Node] = {}
        first: dict[str, Mark] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.note(
                    key, "LM103", f"a key of {what} must be a word, not {_kind(key)}", "known are " + ", ".join(known)
                )
                continue
            name = str(key.value)
            if name == "<<":
                self.note(key, "LM101", f'{what} cannot be merged with "<<"', "write its keys out")
            elif name not in known:
                self.note(key, "LM101", f'{what} has no key "{name}"', did_you_mean(name, known))
            elif name in found:
                self.note(
                    key,
                    "LM005",
                    f'"{name}" is given twice (first in line {first[name].line})',
                    "keep one; YAML would silently take the last",
                )
            else:
                found[name], first[name] = value, self.mark(key)
        return found

    # Rules.

    def _rule(self, node: yaml.Node) -> Rule | None:
        if not isinstance(node, yaml.MappingNode):
            self.note(node, "LM103", f"a rule is a mapping, not {_kind(node)}", 'begin it with "- metric: logs."')
            return None
        before = len(self.findings)
        keys = self._mapping(node, RULE_KEYS, "a rule")
        marks = {name: self.mark(value) for name, value in keys.items()}
        marks[""] = self.mark(node)
        if "ignore" in keys:
            self._ignore(keys["ignore"])
        told = "".join(f"{finding.what} {finding.todo}" for finding in self.findings[before:])
        missing = [name for name in ("metric", "match") if name not in keys and f'"{name}"' not in told]
        missing = [] if '"<<"' in told else missing
        for name in missing:
            self.note(node, "LM102", f'the rule has no "{name}"', f"add {name}:")
        metric = self._metric(keys["metric"]) if "metric" in keys else ""
        match = self._text(keys["match"], "match") if "match" in keys else ""
        rule = Rule(
            metric=metric,
            match=match,
            pack=self.name,
            type=self._choice(keys.get("type"), "type", TYPES) or "counter",
            help=self._text(keys["help"], "help", numbers=True) if "help" in keys else "",
            program=self._names(keys.get("program"), "program"),
            source=self._names(keys.get("source"), "source"),
            max_series=self._count(keys.get("max_series"), "max_series", least=1),
            only=self._choice(keys.get("only"), "only", ONLY),
            tests=tuple(self._tests(keys.get("tests"))),
            marks=marks,
            match_at=self._locator(keys["match"]) if "match" in keys else (lambda _: marks[""]),
        )
        for path in rule.source or ():
            if not path.startswith("/"):
                self.note(marks["source"], "LM104", f'the source "{path}" is no absolute path', "begin it with /")
        return rule if len(self.findings) == before else None

    def _ignore(self, node: yaml.Node) -> None:
        """`ignore: {LM502: reason}`, for the whole rule."""
        if not isinstance(node, yaml.MappingNode):
            self.note(node, "LM103", f"ignore is a mapping, not {_kind(node)}", "write ignore: {LM502: the reason}")
            return
        for key, value in node.value:
            reason = self._text(value, "ignore", numbers=True)
            self.ignores.append(Ignore(self.mark(key), (str(key.value),), reason.strip(), rule=self.rule_lines[-1]))

    def _metric(self, node: yaml.Node) -> str:
        name = self._text(node, "metric")
        if not name:
            return name
        if name != name.strip() or " " in name:
            self.note(
                node, "LM105", f'the metric "{name}" holds a blank, which ends a name in Graphite', "use _ instead"
            )
            return name
        for placeholder in PLACEHOLDER.findall(name):
            if not GROUP_NAME.match(placeholder):
                self.note(
                    node,
                    "LM105",
                    f'"{{{placeholder}}}" is no group\'s name',
                    "letters, digits and _ as in (?P<name>...)",
                )
                return name
        rest = PLACEHOLDER.sub("x", name)
        if "{" in rest or "}" in rest:
            self.note(
                node,
                "LM105",
                f'the metric "{name}" has a brace without its other half',
                "write a family as path.{group}",
            )
            return name
        for part in rest.split("."):
            if not part:
                self.note(
                    node,
                    "LM105",
                    f'the metric "{name}" has an empty part, which Graphite would drop',
                    "no dot at its ends and no two dots in a row",
                )
                return name
            if not NAME_PART.match(part):
                bad = next(char for char in part if not NAME_PART.match(char))
                self.note(
                    node,
                    "LM105",
                    f'the metric "{name}" holds {bad!r}, which Graphite or Telegraf would rewrite',
                    "use letters, digits, _ and - with dots between",
                )
                return name
        return name

    def _tests(self, node: yaml.Node | None) -> Iterator[Test]:
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self.note(node, "LM103", f"tests must be a list, not {_kind(node)}", 'begin each test with "- line:"')
            return
        for item in node.value:
            try:
                yield self._test(item)
            except _StopError:
                continue

    def _test(self, node: yaml.Node) -> Test:
        if not isinstance(node, yaml.MappingNode):
            self.note(node, "LM103", f"a test is a mapping, not {_kind(node)}", "give it line: and yields:")
            raise _StopError
        before = len(self.findings)
        keys = self._mapping(node, TEST_KEYS, "a test")
        told = "".join(finding.todo for finding in self.findings[before:])
        for name in ("line", "yields"):
            if name not in keys and f'"{name}"' not in told:
                self.note(node, "LM102", f'the test has no "{name}"', f"add {name}:")
        if "line" not in keys or "yields" not in keys:
            raise _StopError
        line = self._text(keys["line"], "line")
        if "\n" in line.rstrip("\n"):
            self.note(keys["line"], "LM106", "the sample holds more than one line", "give each line a test of its own")
        yields = self._count(keys["yields"], "yields", least=0)
        if "note" in keys:
            self._text(keys["note"], "note", numbers=True)
        return Test(
            line=line.rstrip("\n"),
            yields=0 if yields is None else yields,
            mark=self.mark(keys["line"]),
            values=self._numbers(keys.get("value"), "value"),
            series=self._names(keys.get("series"), "series"),
            accounts=self._names(keys.get("accounts"), "accounts", empty=True),
            source=self._text(keys["source"], "source") if "source" in keys else None,
        )

    # Scalars.

    def _text(self, node: yaml.Node, key: str, numbers: bool = False) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.note(node, "LM103", f"{key} must be text, not {_kind(node)}", _text_remedy(node, key))
            return ""
        if node.tag != "tag:yaml.org,2002:str" and not numbers:
            self.note(node, "LM103", f"{key} must be text, not {_kind(node)}", "put it in single quotes")
            return ""
        value = str(node.value)
        if not value.strip() and not numbers:
            self.note(node, "LM107", f"{key} is empty", f"write what it stands for or remove {key}")
            return ""
        if key != "line":
            bad = next((char for char in value if ord(char) < 32 or ord(char) == 127), None)
            if bad is not None:
                double = getattr(node, "style", None) == '"'
                remedy = "put it in single quotes, YAML reads backslashes in double quotes" if double else "remove it"
                if bad == "\n":
                    remedy = "write it on one line"
                self.note(node, "LM106", f"{key} holds the control character {bad!r}", remedy)
                return ""
        return value

    def _choice(self, node: yaml.Node | None, key: str, known: Sequence[str]) -> str | None:
        if node is None:
            return None
        value = self._text(node, key)
        if value and value not in known:
            self.note(node, "LM104", f'{key} cannot be "{value}"', did_you_mean(value, known))
            return None
        return value or None

    def _names(self, node: yaml.Node | None, key: str, empty: bool = False) -> tuple[str, ...] | None:
        """Text or a list of texts."""
        if node is None:
            return None
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not items and not empty:
            self.note(node, "LM107", f"the list {key} is empty", f"name one or remove {key}")
        names: list[str] = []
        for item in items:
            name = self._text(item, key)
            if name in names:
                self.note(item, "LM005", f'{key} names "{name}" twice', "keep one")
            names.append(name)
        return tuple(names)

    def _count(self, node: yaml.Node | None, key: str, least: int) -> int | None:
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:int":
            self.note(
                node,
                "LM103",
                f"{key} must be a whole number, not {_kind(node)}",
                f"for example {key}: {_EXAMPLES[key]}",
            )
            return None
        try:
            value = int(yaml.SafeLoader.construct_yaml_int(yaml.SafeLoader(""), node))
        except ValueError:
            self.note(
                node,
                "LM103",
                f"{key} must be a whole number, not {node.value!r}",
                f"for example {key}: {_EXAMPLES[key]}",
            )
            return None
        if value < least:
            self.note(node, "LM104", f"{key} cannot be {value}", f"it is {least} or more")
            return None
        return value

    def _numbers(self, node: yaml.Node | None, key: str) -> tuple[float, ...] | None:
        if node is None:
            return None
        numbers: list[float] = []
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            number = isinstance(item, yaml.ScalarNode) and item.tag in (
                "tag:yaml.org,2002:int",
                "tag:yaml.org,2002:float",
            )
            if not number:
                self.note(item, "LM103", f"{key} must be a number, not {_kind(item)}", f"for example {key}: 0.25")
                continue
            numbers.append(float(str(item.value).replace("_", "")))
        return tuple(numbers)

    def _locator(self, node: yaml.Node) -> Callable[[int], Mark]:
        """A function from an index in the scalar's value to its place in the file."""
        start = self.mark(node)
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") and "\n" not in str(node.value).rstrip("\n"):
            # A block of one line: its text stands in the next line.
            below = self.lines[start.line] if start.line < len(self.lines) else ""
            indent = len(below) - len(below.lstrip(" "))
            return lambda index: Mark(start.file, start.line + 1, indent + index + 1)
        if not isinstance(node, yaml.ScalarNode) or node.start_mark.line != node.end_mark.line:
            return lambda _: start
        raw = self.lines[node.start_mark.line][node.start_mark.column : node.end_mark.column]
        steps = list(_raw_offsets(raw, node.style))
        return lambda index: Mark(start.file, start.line, start.column + steps[min(max(index, 0), len(steps) - 1)])


def _raw_offsets(raw: str, style: str | None) -> Iterator[int]:
    """For each character of a scalar's value, and for its end, the offset in its raw text."""
    if style not in ("'", '"'):
        yield from range(len(raw) + 1)
        return
    at = 1
    end = len(raw) - 1
    while at < end:
        yield at
        if style == "'":
            at += 2 if raw[at] == "'" else 1
        elif raw[at] == "\\":
            at += 2 + {"x": 2, "u": 4, "U": 8}.get(raw[at + 1], 0)
        else:
            at += 1
    yield end


def _ignores(text: str, file: str) -> Iterator[Ignore]:
    for number, line in enumerate(text.split("\n"), 1):
        found = _IGNORE.search(line)
        if not found or _in_quotes(line, found.start()):
            continue
        words = found.group("rest").replace(",", " ").split()
        codes: list[str] = []
        while words and _CODE.match(words[0]):
            codes.append(words.pop(0))
        whole = not line[: found.start()].strip()
        yield Ignore(Mark(file, number, found.start() + 1), tuple(codes), " ".join(words), whole)


def _in_quotes(line: str, at: int) -> bool:
    """Whether a # at `at` stands inside a quoted scalar of this line (a sample line may hold one)."""
    quote = ""
    for char in line[:at]:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return bool(quote)


def _plain(error: yaml.MarkedYAMLError, problem: str) -> str:
    context = (error.context or "").strip()
    return f"{problem} ({context})" if context else problem


def _yaml_remedy(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "put text that holds a colon and a blank in single quotes, or align the key with its neighbours"
    if "expected <block end>" in problem or "could not find expected ':'" in problem:
        return "align the keys of one rule under each other, and begin each rule and test with a dash"
    if "cannot start any token" in problem:
        return "put the text in single quotes"
    if "alias" in problem or "anchor" in problem or "tag" in problem:
        return "put text that begins with *, & or ! in single quotes"
    return "align the keys of one rule under each other and quote the regex in single quotes"


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    tag = str(node.tag).rsplit(":", 1)[-1]
    if tag == "null":
        return "nothing"
    names = {
        "int": "the number",
        "float": "the number",
        "bool": "the truth value",
        "timestamp": "the date",
        "str": "the text",
    }
    return f"{names.get(tag, tag)} {_one_line(str(node.value), 60)}"


def _one_line(text: str, most: int = 400) -> str:
    """Text of a pack within a message: no line ends and control characters, and not too long."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def _text_remedy(node: yaml.Node, key: str) -> str:
    if isinstance(node, yaml.SequenceNode) and key == "match":
        return "put the regex in single quotes (a bare [ begins a list), and use a|b for several"
    if isinstance(node, yaml.MappingNode):
        return "put text that holds a colon or begins with { in single quotes"
    return "give it one text, in single quotes"


def find_pack(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of a pack named on the command line: a path as it is, a bare name in the first folder that has it."""
    if "/" in name or name.endswith((".yml", ".yaml")):
        path = Path(name)
        return path if path.exists() else None
    for folder in folders:
        for ending in (".yml", ".yaml"):
            if (folder / (name + ending)).is_file():
                return folder / (name + ending)
    return None


def pack_names(folders: Sequence[Path]) -> list[str]:
    """The bare names of all packs in these folders, sorted."""
    names: set[str] = set()
    for folder in folders:
        if folder.is_dir():
            names.update(path.stem for path in folder.iterdir() if path.suffix in (".yml", ".yaml"))
    return sorted(names)
