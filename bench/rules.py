"""The benchmark's rule sets: 4, 20 and 100 counters, compiled by the project's own verb into one rules.json each.

Every peer's rules are made from that file: `Rule.line_regex` is a rule as one regex on the whole line, which is what a
program without a notion of tag and message needs in order to count the same.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from fleet.progress import run

from bench import messages

TOP = Path(__file__).resolve().parents[1]
PACKS = TOP / "files" / "rules"
PARSER = TOP / "roles" / "logmetrics" / "files"
COUNTS = (4, 20, 100)


@dataclass(frozen=True)
class Rule:
    """One counter of rules.json."""

    metric: str
    programs: tuple[str, ...]
    match: str

    @property
    def name(self) -> str:
        """The metric as an identifier (mtail, promtail and Telegraf allow no dots)."""
        return re.sub(r"[^A-Za-z0-9]", "_", self.metric)

    @property
    def tag_names(self) -> str:
        """The programs as a regex."""
        names = [re.sub(r"([.+*?()|^$\[\]{}\\])", r"\\\1", name) for name in self.programs]
        return names[0] if len(names) == 1 else f"(?:{'|'.join(names)})"

    @property
    def after_tag(self) -> str:
        """What stands between program and message."""
        return r"(?:\[\d+\])?: "

    @property
    def tag_regex(self) -> str:
        """The tag up to where the message begins."""
        return self.tag_names + self.after_tag

    @property
    def body_regex(self) -> str:
        """The rule's regex without its anchor, to stand where the message begins; groups do not capture."""
        body = re.sub(r"\(\?P<\w+>", "(?:", self.match)
        if body.startswith("^"):
            body = body[1:]
            if has_top_level_bar(body):
                raise ValueError(f"{self.metric}: an anchor on one of several alternatives; write ^(?:...)")
            return body
        return f".*(?:{body})"

    def line_regex(self, header: str) -> str:
        """The rule as a regex on a line whose stamp and host `header` matches."""
        return header + self.tag_regex + self.body_regex


def has_top_level_bar(regex: str) -> bool:
    """Whether the regex is a list of alternatives outside of any group."""
    depth, in_set, at = 0, False, 0
    while at < len(regex):
        char = regex[at]
        if char == "\\":
            at += 1
        elif in_set:
            in_set = char != "]"
        elif char == "[":
            in_set = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "|" and depth == 0:
            return True
        at += 1
    return False


def pack(count: int) -> list[dict[str, object]]:
    """The rules as operators write them: those of the project's packs as they stand, then the services'.

    Beyond a hundred the services come again under other programs' names, of which no log holds a line.
    """
    own = {}
    for path in sorted(PACKS.glob("*.yml")):
        for rule in yaml.safe_load(path.read_text())["rules"]:
            own[rule["metric"]] = {key: rule[key] for key in ("metric", "help", "program", "match") if key in rule}
    chosen: list[dict[str, object]] = [own[metric] for metric in messages.TWENTY[:count]]
    for copy in itertools.count():
        mark = f"-{copy}" if copy else ""
        for service in messages.TABLE["services"]:
            for part, rule in service["rules"].items():
                if len(chosen) == count:
                    return chosen
                name = messages.metric(service["program"], part) + mark
                program = service["program"] + mark
                chosen.append({"metric": name, "help": part, "program": program, "match": rule["match"]})
    raise AssertionError("unreachable")


def compile_rules(count: int, target: Path) -> list[Rule]:
    """Write rules.json by the `compile` verb, and read from it what the peers' rules are made of."""
    source = target.with_suffix(".yml")
    source.write_text(yaml.safe_dump({"rules": pack(count)}, sort_keys=False))
    entry = PARSER / "parse_loki_metrics.py"
    run([sys.executable, str(entry), "compile", str(source), "-o", str(target)], f"compiling {count} rules")
    return [
        Rule(rule["metric"], tuple(rule["program"]), rule["match"]) for rule in json.loads(target.read_bytes())["rules"]
    ]
