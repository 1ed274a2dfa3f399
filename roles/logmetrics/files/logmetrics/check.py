"""`check`: lints rule packs and runs the rules' own tests with the code that counts on a host (controller's verb)."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import time
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Iterable, Iterator, Sequence

from . import lines, nearmiss, rulelint, rules, tally, values
from .compile import add_pack_arguments, document, folders, read_packs
from .errors import Fault
from .rulelint import CODES
from .rulespec import Finding, Ignore, Pack, Rule, Test, did_you_mean, pack_names

#: CPU seconds that one test may take.
TEST_BUDGET = 1.0


@dataclass(frozen=True)
class Outcome:
    """What the engine makes of one line: how often a rule counts it, the values it reads, the series it writes."""

    program: str | None
    message: bytes
    times: int
    values: tuple[float, ...]
    series: tuple[str, ...]


class _OverBudgetError(Exception):
    """The test's regex takes too long."""


def outcome(rule: Rule, test: Test) -> Outcome:
    """Run one test as the host would: cut the line, choose the rules of its program, match, read values and names."""
    line = test.line.encode("utf-8", "surrogateescape")
    _, program, start = lines.split(line, time.time())
    message = line[start:]
    known = None if test.accounts is None else {name.encode() for name in test.accounts}
    families = tally.Families({}, lambda name: known is None or name in known)
    times, read, series = 0, [], []
    for hit in rules.hits(_view(rule, test).rules_for(program), message):
        if hit.rule.metric != rule.metric:
            continue  # the parser's own rules
        if hit.rule.value:
            number = values.number(hit.found.group("value") or b"")
            if number is None:
                continue
            read.append(number / values.SCALE)
        times += hit.times
        series.append(families.series(hit.rule, hit.found, 0) if hit.rule.groups else rule.metric)
    name = None if program is None else program.decode("utf-8", "replace")
    return Outcome(name, message, times, tuple(read), tuple(series))


def _view(rule: Rule, test: Test) -> rules.View:
    """The rules that the engine reads the test's file with: this one, and the parser's own."""
    return rules.RuleSet.from_document(document([rule]), str(rule.place())).view(source_of(rule, test))


def source_of(rule: Rule, test: Test) -> str:
    """The file the test's line stands in: its own, or one that the rule's first glob names."""
    if test.source:
        return test.source
    return (rule.source or ("/var/log/syslog",))[0].replace("*", "x").replace("?", "x")


def run_tests(rule: Rule) -> Iterator[Finding]:
    """The tests of one rule that fail, each with the reason."""
    for test in rule.tests:
        try:
            with _Timer(TEST_BUDGET):
                got = outcome(rule, test)
        except _OverBudgetError:
            yield Finding(test.mark, "LM604", f"the test takes over {TEST_BUDGET:g} s", "make the regex simpler")
            continue
        if got.times != test.yields:
            why, todo = _reason(rule, test, got)
            yield Finding(test.mark, "LM604", f"{rule.metric} counts {got.times}, not {test.yields}: {why}", todo)
        elif test.values is not None and tuple(test.values) != got.values:
            yield Finding(
                test.mark,
                "LM604",
                f"{rule.metric} reads {_list(got.values)}, not {_list(test.values)}",
                "correct the group named value, or the test",
            )
        elif test.series is not None and tuple(test.series) != got.series:
            yield Finding(
                test.mark,
                "LM604",
                f"the series is {_list(got.series)}, not {_list(test.series)}",
                "correct the group in the path, or the test",
            )


def _list(items: Sequence[object]) -> str:
    return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in items) or "nothing"


def _reason(rule: Rule, test: Test, got: Outcome) -> tuple[str, str]:
    """Why a line counts otherwise than its test says, and what to do."""
    if got.times and not test.yields:
        return f'the regex matches "{_text(got.message, 60)}"', "make the regex stricter, or correct the test"
    if got.times:
        return "the line stands for another number of events", "correct yields"
    if rule.program is not None and got.program is None:
        return (
            "the line has no syslog header that tells its program",
            'begin it like "Nov 22 10:00:00 host tag[1]: " (stamp, host, tag)',
        )
    if rule.program is not None and got.program not in rule.program:
        return (
            f'the line was written by "{got.program}"',
            f"the rule reads {_list(rule.program)}; add the tag or correct the test",
        )
    _, message = rules.repeated(got.message)
    if rule.type != "counter" and _matches(rule, message):
        return "the group named value holds no number", "capture digits alone"
    reach = nearmiss.furthest(rule.match, message)
    if reach is None:
        return (
            f'the regex finds no beginning in "{_text(message, 60)}"',
            "compare it with the message, which begins after the tag",
        )
    return (
        f'the regex matches up to {reach.part} and then meets "{_text(message[reach.at :], 40)}"',
        "compare the two there",
    )


def _matches(rule: Rule, message: bytes) -> bool:
    return re.search(rule.match.encode(), message) is not None


def _text(data: bytes, limit: int) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return text if len(text) <= limit else text[:limit] + "..."


class _Timer:
    """Stops what runs inside after some CPU seconds (Python's re looks for signals while it backtracks)."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.before = signal.signal(signal.SIGVTALRM, self._over)
        signal.setitimer(signal.ITIMER_VIRTUAL, self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self.before)

    @staticmethod
    def _over(_signal: int, _frame: FrameType | None) -> None:
        raise _OverBudgetError


#: Findings that explain by themselves why a rule's tests fail.
_REASONS = ("LM207", "LM208", "LM209", "LM503")


def check(packs: Sequence[Pack]) -> list[Finding]:
    """All findings of these packs that no comment silences, in the order of their places."""
    sound = [rule for pack in packs for rule in pack.rules]
    linted = rulelint.lint(sound)
    found = [finding for pack in packs for finding in pack.findings] + linted
    failed: dict[Finding, Rule] = {}
    for rule in sound:
        if rulelint.usable(rule) and not _codes(rule, linted) & {"LM301", "LM302"}:
            failed.update((finding, rule) for finding in run_tests(rule))
    kept = set(_silence(packs, [*found, *failed]))
    explained = [finding for finding, rule in failed.items() if _codes(rule, kept) & set(_REASONS)]
    return sorted(kept.difference(explained))


def _codes(rule: Rule, findings: Iterable[Finding]) -> set[str]:
    """The codes of the findings at this rule's keys."""
    places = {(mark.file, mark.line) for mark in rule.marks.values()}
    return {finding.code for finding in findings if (finding.mark.file, finding.mark.line) in places}


def _silence(packs: Sequence[Pack], findings: Sequence[Finding]) -> Iterator[Finding]:
    """The findings that stay, and what is wrong with the comments that silence."""
    silenced: set[Finding] = set()
    for pack in packs:
        for ignore in pack.ignores:
            faults = list(_ignore_faults(ignore))
            yield from faults
            if faults:
                continue
            first, last = _reach(pack, ignore)
            for code in ignore.codes:
                hit = [
                    f for f in findings if f.code == code and f.mark.file == pack.file and first <= f.mark.line <= last
                ]
                silenced.update(hit)
                if not hit:
                    yield Finding(ignore.mark, "LM703", f"nothing here is {code}", "remove the comment")
    yield from (finding for finding in findings if finding not in silenced)


def _ignore_faults(ignore: Ignore) -> Iterator[Finding]:
    if not ignore.codes:
        yield Finding(
            ignore.mark,
            "LM702",
            "the comment names no code",
            "write # logmetrics: ignore LM502 and the reason",
        )
        return
    for code in ignore.codes:
        if code not in CODES:
            yield Finding(ignore.mark, "LM702", f"there is no code {code}", did_you_mean(code, CODES))
        elif CODES[code].fatal:
            yield Finding(ignore.mark, "LM702", f"{code} cannot be silenced: the rule could not work", "mend the rule")
    if not ignore.reason:
        yield Finding(ignore.mark, "LM701", "the comment gives no reason", "say behind the code why it is right here")


def _reach(pack: Pack, ignore: Ignore) -> tuple[int, int]:
    """The lines a comment speaks for: its own; standing alone, the next one, or the whole rule that begins there."""
    if ignore.rule is not None:
        return ignore.rule
    if not ignore.whole_line:
        return ignore.mark.line, ignore.mark.line
    following = pack.next_line(ignore.mark.line)
    for first, last in pack.rule_lines:
        if first == following:
            return first, last
    return following, following


def report(packs: Sequence[Pack], findings: Sequence[Finding], as_json: bool) -> str:
    """The findings as text, one line each and a sum, or as one JSON document."""
    count = sum(len(pack.rules) for pack in packs)
    tests = sum(len(rule.tests) for pack in packs for rule in pack.rules)
    if as_json:
        listed = [
            {**asdict(finding.mark), "code": finding.code, "what": finding.what, "todo": finding.todo}
            for finding in findings
        ]
        names = [pack.name for pack in packs]
        return json.dumps({"packs": names, "rules": count, "tests": tests, "findings": listed}, indent=1) + "\n"
    sums = f"{_plural(len(packs), 'pack')}, {_plural(count, 'rule')}, {_plural(tests, 'test')}"
    verdict = _plural(len(findings), "finding") if findings else "all well"
    return "".join(f"{finding}\n" for finding in findings) + f"{sums}: {verdict}\n"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def main(argv: Sequence[str]) -> int:
    """Run the verb; 0 all well, 1 findings (each on a line of stdout), 2 wrong use or unreadable input."""
    parser = argparse.ArgumentParser(
        prog="logmetrics check",
        description="Lint rule packs and run their tests; without a name, all packs of the folder.",
    )
    add_pack_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        names = args.packs or ([] if args.extra else pack_names(folders(args)))
        if not names and not args.extra:
            raise Fault(f"no packs in {', '.join(map(str, folders(args)))}; name one, or another --packs-dir")
        packs = read_packs(names, folders(args), args.extra)
    except Fault as fault:
        sys.stderr.write(f"logmetrics check: {fault}\n")
        return 2
    findings = check(packs)
    sys.stdout.write(report(packs, findings, args.json))
    return 1 if findings else 0
