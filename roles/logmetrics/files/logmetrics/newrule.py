"""`new-rule`: from a line as it stands in a log to a rule with tests, checked, ready to be pasted (controller's verb).

What changes from line to line is generalised (numbers, addresses, names, quoted text, values behind `=`), what a
developer wrote stays, and the regex ends where the line goes into details. It is a proposal: read it, then keep it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from . import check, lines, rulelint, rules
from .compile import DEFAULT_PACKS_DIR, document, read_packs, write_atomically
from .errors import Fault
from .rulespec import NAME_PART, TYPES, Pack, Rule, find_pack, pack_names, parse_pack

#: Words that say little in a metric's name.
_LITTLE = """
a an and any are as at be been by can could did do does for from had has have if in into is it its no not of on or that
the their then there this to up was were when while will with
"""
_SMALL = frozenset(_LITTLE.split())
#: What a near miss says instead.
_OPPOSITES = {
    "failed": "finished",
    "failure": "success",
    "error": "notice",
    "warning": "notice",
    "refused": "accepted",
    "rejected": "accepted",
    "denied": "granted",
    "invalid": "valid",
    "lost": "kept",
    "down": "up",
    "stopped": "started",
    "started": "stopped",
    "closed": "opened",
    "opened": "closed",
    "timeout": "answer",
    "accepted": "refused",
    "finished": "failed",
    "completed": "failed",
    "succeeded": "failed",
}
_UNIT = r"(?:ms|s|sec|secs|seconds?|us|µs|min|minutes?|bytes?|B|kB|KB|MB|GB|KiB|MiB|GiB|%|rows?|records?|files?)"
_PIECES = re.compile(
    r"(?P<stamp>\d{1,2}/[A-Z][a-z]{2}/\d{4}:[\d:]+ [+-]\d{4})"
    r"|(?P<double>\"[^\"]*\")"
    r"|(?P<single>(?<!\w)'[^']*'(?!\w))"
    r"|(?P<address>\b\d{1,3}(?:\.\d{1,3}){3}(?:[:/#]\d+)?|(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]))"
    r"|(?P<uuid>\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b)"
    r"|(?P<mail>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<path>(?<![\w.])/[\w.+@%:/-]+)"
    r"|(?P<hex>\b0x[0-9A-Fa-f]+\b|\b(?=[0-9A-Fa-f]*\d)(?=[0-9A-Fa-f]*[A-Fa-f])[0-9A-Fa-f]{8,}\b)"
    r"|(?P<number>(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?![\w.]*[A-Za-z_]*\d))"
    r"|(?P<mixed>\b[A-Za-z_]+[\w.-]*\d[\w.-]*|\d+[\w.-]*[A-Za-z_][\w.-]*)"
    r"|(?P<blank>[ \t]+)"
    r"|(?P<word>[^\W\d_]+(?:[-_'][^\W\d_]+)*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_NAMED = ("user", "username", "account", "host", "client", "device", "interface", "container", "unit", "job", "file")
#: "for NAME from": a name stands between these.
_OF, _WHENCE = ("for", "by"), ("from", "on", "at", "via", "port")
#: Keys of logfmt whose values say what happened.
_TELLING = ("level", "lvl", "severity", "status", "result", "state", "action", "event", "type")
_TEXTS = ("msg", "message", "reason")
#: Read as a number by people and by YAML: not 3.7.8, not 00001.
_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:,\d+)*(?:\.\d+)?\Z")
_ACCESS = re.compile(r'(?:[^"\\]|\\.)*"(?:[^"\\]|\\.)*" (?P<status>[1-5]\d\d) ')
_VARIABLE = {
    "stamp": r"[^]]+",
    "double": '"[^"]*"',
    "single": "'[^']*'",
    "address": r"\S+",
    "uuid": r"[0-9A-Fa-f-]+",
    "mail": r"\S+",
    "path": r"\S+",
    "hex": r"[0-9A-Fa-fx]+",
    "number": r"\d+",
    "mixed": r"\S+",
    "value": r"\S+",
}


@dataclass
class Piece:
    """A part of the message: its kind (`word`, `sign`, `blank`, or one that changes) and its text."""

    kind: str
    text: str
    captured: bool = False
    ends_at: str = ""  # a sign that `\S+` must not pass over

    @property
    def fixed(self) -> bool:
        """Whether a developer wrote it."""
        return self.kind in ("word", "sign", "blank")

    @property
    def regex(self) -> str:
        """The piece as a regex."""
        if self.fixed:
            return re.sub(r"([\\.^$*+?()\[\]{}|])", r"\\\1", self.text)
        found = _VARIABLE[self.kind]
        if self.ends_at:
            found = rf"[^ \{self.ends_at}]+"
        if self.kind == "number" and not self.text.isdigit():
            found = r"[-+]?[\d.,]+" if self.text[:1] in "-+" else r"[\d.,]+" if "," in self.text else r"[\d.]+"
        return f"(?P<value>{found})" if self.captured else found


def pieces(message: str) -> list[Piece]:
    """The message cut into pieces; what follows `=` or stands where a name does is variable, too."""
    found: list[Piece] = []
    for match in _PIECES.finditer(message):
        kind, text = str(match.lastgroup), match.group()
        before = "".join(piece.text for piece in found[-2:])
        key = found[-2].text.lower() if before.endswith("=") and len(found) > 1 else ""
        if kind == "double" and key in _TEXTS:
            # Its text is what a developer wrote.
            found += [Piece("sign", '"'), *pieces(text[1:-1]), Piece("sign", '"')]
            continue
        if kind in ("word", "mixed") and ((key and key not in _TELLING) or before.rstrip(" ").lower() in _NAMED):
            kind = "value"
        if kind == "value" and found and found[-1].kind == "value":
            found[-1].text += text
        else:
            found.append(Piece(kind, text))
    for index, piece in enumerate(found):
        around = [one.text.lower() for one in (*found[max(0, index - 2) : index], *found[index + 1 : index + 3])]
        if piece.kind == "word" and around in [[before, " ", " ", after] for before in _OF for after in _WHENCE]:
            piece.kind = "value"
    return _merged(found)


def _merged(found: list[Piece]) -> list[Piece]:
    """Pieces that touch without a blank between, of which one is `\\S+`, are one: the regex would read them as one."""
    out: list[Piece] = []
    for piece in found:
        last = out[-1] if out else None
        if last is not None and not last.fixed and last.regex == r"\S+" and piece.kind in ("word", "number", "hex"):
            last.text += piece.text
        elif last is not None and not piece.fixed and piece.regex == r"\S+" and not last.fixed:
            last.kind, last.text = "value", last.text + piece.text
        else:
            out.append(piece)
    return out


def _told_apart(found: list[Piece]) -> list[Piece]:
    r"""Of two `\S+` in a word the first ends at the sign behind it, or both are one: they would match the same text."""
    out: list[Piece] = []
    first = -1  # index in `out` of the `\S+` that the word at hand began with
    for piece in found:
        if piece.kind == "blank":
            first = -1
        elif piece.regex == r"\S+":
            sign = out[first + 1].text[:1] if 0 <= first < len(out) - 1 and out[first + 1].kind == "sign" else ""
            if first >= 0 and sign and sign not in out[first].text:
                out[first].ends_at = sign
            elif first >= 0 and not any(one.captured for one in out[first:]):
                out[first:] = [Piece("value", "".join(one.text for one in [*out[first:], piece]))]
                continue
            first = len(out)
        out.append(piece)
    return out


def cut(found: list[Piece], keep: int) -> list[Piece]:
    """The beginning that says what happened: up to a colon behind two words, else all; no variable end.

    `keep` is the index of a piece that must stay (-1: none).
    """
    words = 0
    for index, piece in enumerate(found):
        words += piece.kind == "word" and len(piece.text) > 2
        follows = [one.kind for one in found[index + 1 : index + 2]]
        if words >= 2 and index > keep and piece.text == ":" and follows == ["blank"]:
            return found[: index + 2]
    end = len(found)
    while end > max(keep + 1, 1) and not _may_end(found, end - 1):
        end -= 1
    return found[:end]


def _may_end(found: list[Piece], at: int) -> bool:
    """Whether a regex may end behind this piece: with a word that is no key of a value, or a closing sign."""
    key = found[at + 1 : at + 2] and found[at + 1].text == "="
    return (found[at].kind == "word" and not key) or found[at].text in (":", ")", "]", '"')


@dataclass
class Draft:
    """A rule to be: its keys as YAML has them, and the lines of its tests."""

    metric: str
    help: str
    program: str | None
    source: str | None
    match: str
    kind: str
    line: str
    times: int
    value: str | None
    near_miss: str
    notes: list[str] = field(default_factory=list)

    def yaml(self) -> str:
        """The rule as an item of a pack's list."""
        out = [f"  - metric: {self.metric}", f"    help: {_quoted(self.help)}"]
        if self.kind != "counter":
            out.append(f"    type: {self.kind}")
        if self.program is not None:
            out.append(f"    program: {_plain(self.program)}")
        if self.source is not None:
            out.append(f"    source: {_plain(self.source)}")
        out += [f"    match: {_quoted(self.match)}", "    tests:", f"      - line: {_quoted(self.line)}"]
        out.append(f"        yields: {self.times}")
        if self.value is not None:
            out.append(f"        value: {self.value}")
        out += [f"      - line: {_quoted(self.near_miss)}", "        yields: 0"]
        return "\n".join(out) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _plain(text: str) -> str:
    return text if re.match(r"[A-Za-z/][\w./@-]*\Z", text) else _quoted(text)


def draft(
    line: str, metric: str | None = None, kind: str = "counter", source: str | None = None, now: float | None = None
) -> Draft:
    """A rule for a line. Raises Fault where none can be made of it."""
    line = line.rstrip("\r\n")
    bad = next((char for char in line if ord(char) < 32 and char != "\t"), None)
    if not line.strip() or bad is not None or "\t" in line:
        what = "is empty" if not line.strip() else f"holds the control character {bad or chr(9)!r}"
        raise Fault(f"the line {what}; give it as it stands in the log")
    raw = line.encode("utf-8", "surrogateescape")
    stamp, program, start = lines.split(raw, time.time() if now is None else now)
    if program is None and source is None:
        what = "no tag behind its stamp and host" if stamp else "no stamp"
        raise Fault(f"the line has no syslog header ({what}); for a log of its own give --source, the path of that log")
    times, inner = rules.repeated(raw[start:])
    message = inner.decode("utf-8", "replace")
    if not message.strip():
        raise Fault("the line's message is empty; nothing in it could be counted")
    access = _ACCESS.match(message) if kind == "counter" and program is None and source else None
    if access is not None:
        return _of_access_log(line, access, metric, str(source))
    found = pieces(message)
    value = _capture(found, kind)
    kept = _told_apart(cut(found, value))
    match = "^" + "".join(piece.regex for piece in kept)
    if len(kept) == len(found) and not any(piece.fixed for piece in kept):
        match += "$"  # no word to tell it by: at least nothing may follow
    name = None if program is None else program.decode("utf-8", "replace")
    # A key of a value says less than the value.
    words = [a.text.lower() for a, b in zip(kept, [*kept[1:], Piece("sign", "")]) if a.kind == "word" and b.text != "="]
    shown = "".join(piece.text if piece.fixed else "..." for piece in kept).strip(" :")
    read = found[value].text.replace(",", "") if value >= 0 else None
    return Draft(
        metric=metric or _metric(name, source, words),
        help=f'Lines of {name or Path(source or "").name} that say "{shown}".',
        program=name,
        source=source if program is None else None,
        match=match,
        kind=kind,
        line=line,
        times=times,
        value=read,
        near_miss=_near_miss(line, message, kept),
    )


def _of_access_log(line: str, found: re.Match[str], metric: str | None, source: str) -> Draft:
    """Requests of the line's status; the request's text is anybody's, so it is passed over with care for quotes."""
    status = found.group("status")
    begin, end = found.span("status")
    base = re.sub(r"[^A-Za-z0-9]+", "_", Path(source).stem).strip("_").lower() or "web"
    return Draft(
        metric=metric or f"logs.{base}.status_{status}",
        help=f"Requests answered with {status}.",
        program=None,
        source=source,
        match=r'^(?:[^"\\]|\\.)*"(?:[^"\\]|\\.)*" ' + status + " ",
        kind="counter",
        line=line,
        times=1,
        value=None,
        near_miss=line[:begin] + ("500" if status == "200" else "200") + line[end:],
    )


def _capture(found: list[Piece], kind: str) -> int:
    """Mark the number that a sum, gauge or timing reads: one with a unit behind it, else the last; its index or -1."""
    if kind == "counter":
        return -1
    numbers = [index for index, piece in enumerate(found) if piece.kind == "number" and _NUMBER.match(piece.text)]
    if not numbers:
        raise Fault(f"a {kind} reads a number, and the line's message holds none that stands alone")
    with_unit = [
        n for n in numbers if re.match(rf"\s?{_UNIT}\b", "".join(piece.text for piece in found[n + 1 : n + 3]))
    ]
    chosen = (with_unit or numbers)[-1]
    if "," in found[chosen].text:
        raise Fault(f"a {kind} reads a number, and {found[chosen].text} has a comma in it, which no rule can read")
    found[chosen].captured = True
    return chosen


def _metric(program: str | None, source: str | None, words: Sequence[str]) -> str:
    base = program if program is not None else Path(source or "log").stem
    part = re.sub(r"[^A-Za-z0-9]+", "_", base).strip("_").lower() or "program"
    telling = [re.sub(r"[^a-z0-9]+", "_", word).strip("_") for word in words if word not in _SMALL and len(word) > 2]
    name = "_".join(list(dict.fromkeys(word for word in telling if word and word != part))[:3]) or "lines"
    return f"logs.{part}.{name}"


def _near_miss(line: str, message: str, kept: Sequence[Piece]) -> str:
    """The line with one telling word changed, so that the rule must not count it."""
    at = line.rindex(message) if message in line else len(line)
    places: list[tuple[int, int, str]] = []
    for piece in kept:
        if piece.kind == "word":
            places.append((at, at + len(piece.text), piece.text))
        at += len(piece.text)
    for begin, end, word in reversed(places):
        other = _OPPOSITES.get(word.lower())
        if other is not None:
            return line[:begin] + (other.capitalize() if word[:1].isupper() else other) + line[end:]
    if places:
        begin, end, word = max(places, key=lambda place: (len(place[2]), place[0]))
        return line[:begin] + ("Something" if word[:1].isupper() else "something") + line[end:]
    return line.replace(message, "something else")


# The verb.


def judged(made: Draft, packs: Sequence[Pack]) -> list[str]:
    """What `check` finds in the draft alone and beside the packs, and which of their rules count its line already."""
    alone = parse_pack("rules:\n" + made.yaml(), "the new rule", "new")
    found = [f"{finding.code} {finding.what}; {finding.todo}" for finding in check.check([alone])]
    known = [rule for pack in packs for rule in pack.rules]
    if alone.rules:
        series = {name: rule for rule in known for name in rule.series()}
        found += [
            f"LM401 {name} is also written by the rule at {series[name].place('metric')}; give another --metric"
            for name in alone.rules[0].series()
            if name in series
        ]
    counted = _already(made, [rule for rule in known if rulelint.usable(rule)])
    return found + [f"note: {metric} counts this line already" for metric in counted]


def _already(made: Draft, known: Sequence[Rule]) -> list[str]:
    ruleset = rules.RuleSet.from_document(document(known), "packs")
    view = ruleset.view(made.source or "/var/log/syslog")
    raw = made.line.encode("utf-8", "surrogateescape")
    _, program, start = lines.split(raw, time.time())
    return list(dict.fromkeys(hit.rule.metric for hit in rules.hits(view.rules_for(program), raw[start:])))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logmetrics new-rule",
        description="Propose a rule with tests for a line, checked, as YAML on stdout or appended to a pack.",
        epilog="Exit status: 0 proposed (or appended), 1 check finds something in it, 2 wrong use.",
    )
    parser.add_argument("line", metavar="LINE", nargs="?", help="as it stands in the log (default: the first of stdin)")
    parser.add_argument("--metric", metavar="NAME", help="(default: logs.PROGRAM. and telling words)")
    parser.add_argument("--type", choices=TYPES, default="counter", help="(default: %(default)s)")
    parser.add_argument(
        "--source", metavar="PATH", help="the log that the line stands in, where it has no syslog header"
    )
    parser.add_argument("--pack", metavar="PACK", help="append it to this pack, or begin the pack, after asking")
    parser.add_argument("--packs-dir", type=Path, default=DEFAULT_PACKS_DIR, metavar="DIR", help="where packs are")
    parser.add_argument("--yes", action="store_true", help="append without asking")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb; 0, 1 where check finds something in the rule, 2 for wrong use."""
    try:
        args = _arguments().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return run(args)
    except Fault as fault:
        sys.stderr.write(f"logmetrics new-rule: {fault}\n")
        return 2


def run(args: argparse.Namespace) -> int:
    """Propose, judge, and append where asked to. Raises Fault."""
    line = args.line
    if line is None:
        if sys.stdin.isatty():
            sys.stderr.write("Paste a line as it stands in the log, and press Enter:\n")
        line = sys.stdin.readline()
    if args.metric is not None and not all(NAME_PART.match(part) for part in args.metric.split(".")):
        raise Fault(f"--metric: {args.metric!r} is no path of letters, digits, _ and - with dots between")
    made = draft(line, args.metric, args.type, args.source)
    names = pack_names([args.packs_dir])
    packs = read_packs(names, [args.packs_dir]) if names else []
    remarks = judged(made, packs)
    sys.stdout.write(made.yaml())
    sys.stdout.flush()
    for remark in remarks:
        sys.stderr.write(f"logmetrics new-rule: {remark}\n")
    faults = [remark for remark in remarks if not remark.startswith("note: ")]
    if args.pack is None or faults:
        if faults and args.pack is not None:
            sys.stderr.write("logmetrics new-rule: not appended; paste it and mend that by hand\n")
        return 1 if faults else 0
    return _append(made, args.pack, args.packs_dir, args.yes)


def _append(made: Draft, name: str, packs_dir: Path, sure: bool) -> int:
    path = find_pack(name, [packs_dir]) or (
        Path(name) if name.endswith((".yml", ".yaml")) else packs_dir / f"{name}.yml"
    )
    try:
        before = (
            path.read_text(encoding="utf-8")
            if path.exists()
            else f"# {path.stem}: say here what this pack is for.\nrules:\n"
        )
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{path}: cannot be read: {error}") from None
    text = before.rstrip("\n") + "\n" + made.yaml()
    pack = parse_pack(text, str(path), path.stem)
    if pack.findings or not pack.rules or pack.rules[-1].metric != made.metric:
        what = str(pack.findings[0]) if pack.findings else f"{path}: its last key is not rules"
        raise Fault(f"{what}; the rule cannot be appended there, paste it")
    if not sure:
        if not sys.stdin.isatty():
            raise Fault(f"{path}: there is nobody to ask; add --yes to append to it")
        sys.stderr.write(f"Append it to {os.path.relpath(path)}? [y/N] ")
        if not sys.stdin.readline().strip().lower().startswith("y"):
            sys.stderr.write("Nothing was changed.\n")
            return 0
    try:
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise Fault(f"{path}: cannot be written: {error.strerror}") from None
    sys.stderr.write(
        f"logmetrics new-rule: {os.path.relpath(path)} has it; next: check {path.stem}, then choose it for hosts\n"
    )
    return 0
