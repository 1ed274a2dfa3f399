"""What is unwise or impossible in rules: findings from the rules alone, no line is matched here.

Codes are grouped by their hundred: 1 form (rulespec), 2 regex, 3 families and values, 4 rules against each other,
5 imitation, 6 tests, 7 the comments that silence. docs/rules.md explains each; a test compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Sequence

from . import regexlint, regextime
from .regexlint import Shape
from .rulespec import PLACEHOLDER, VALUE_GROUP, Finding, Rule, did_you_mean


@dataclass(frozen=True)
class Code:
    """A finding's code: what it is about, and whether a comment may silence it (no, where the rule could not work)."""

    about: str
    fatal: bool = False


CODES = {
    "LM002": Code("The file is no YAML", fatal=True),
    "LM003": Code("A tab indents", fatal=True),
    "LM004": Code("A backslash in double quotes that YAML cannot read", fatal=True),
    "LM005": Code("A key or a name is given twice", fatal=True),
    "LM007": Code("An empty pack", fatal=True),
    "LM101": Code("An unknown key", fatal=True),
    "LM102": Code("A key is missing", fatal=True),
    "LM103": Code("A value of the wrong type", fatal=True),
    "LM104": Code("A value that is not allowed", fatal=True),
    "LM105": Code("A metric's name that Graphite would refuse or rewrite", fatal=True),
    "LM106": Code("A control character (often a backslash eaten by double quotes)", fatal=True),
    "LM107": Code("An empty value", fatal=True),
    "LM108": Code("A key that does not belong to this type of rule", fatal=True),
    "LM201": Code("The regex cannot be compiled", fatal=True),
    "LM202": Code("The regex does not compile on every Python from 3.8 on", fatal=True),
    "LM203": Code("Syntax that RE2 (Loki) does not have"),
    "LM204": Code("Syntax that Python and RE2 read differently"),
    "LM205": Code("Exponential backtracking"),
    "LM206": Code("A line makes the regex too slow"),
    "LM207": Code("The regex can never match"),
    "LM208": Code("The regex matches every line"),
    "LM209": Code("The regex looks for the header, which is no part of the message"),
    "LM301": Code("The path names a group that the regex does not have", fatal=True),
    "LM302": Code("A sum, gauge or timing without a group named value", fatal=True),
    "LM303": Code("A family without max_series"),
    "LM304": Code("A family named by what a stranger types"),
    "LM305": Code("A captured name without a limit of length"),
    "LM306": Code("A group in the path that a match may leave unset"),
    "LM307": Code("The value can be no number"),
    "LM308": Code("A named group that nothing uses"),
    "LM401": Code("Two rules write one series"),
    "LM402": Code("A family can write another rule's series"),
    "LM403": Code("A metric among the parser's own"),
    "LM404": Code("Two rules of different types write one series", fatal=True),
    "LM501": Code("Any program can write the line (no program)"),
    "LM502": Code("The regex is not anchored"),
    "LM503": Code("A program that is no syslog tag"),
    "LM504": Code("A program that nothing writes as"),
    "LM601": Code("A rule without tests"),
    "LM602": Code("No test in which the rule counts"),
    "LM603": Code("No test in which it does not"),
    "LM604": Code("A test fails", fatal=True),
    "LM701": Code("A silencing comment without a reason", fatal=True),
    "LM702": Code("A silencing comment with a code that does not exist or cannot be silenced", fatal=True),
    "LM703": Code("A silencing comment that silences nothing"),
}

#: Names of groups that hold what a person typed at a login.
USER_GROUPS = ("user", "username", "login", "account", "ruser", "logname", "name")
#: Tags of programs that Debian and Red Hat systems write; a program one letter off is a slip, an unknown one is not.
COMMON_TAGS = (
    "CRON",
    "CROND",
    "anacron",
    "apache2",
    "apt",
    "auditd",
    "chpasswd",
    "chronyd",
    "containerd",
    "cron",
    "crond",
    "crontab",
    "dbus-daemon",
    "dhclient",
    "dnsmasq",
    "dockerd",
    "dovecot",
    "fail2ban.filter",
    "fail2ban.actions",
    "gpasswd",
    "groupadd",
    "groupdel",
    "haproxy",
    "httpd",
    "kernel",
    "kubelet",
    "login",
    "mariadbd",
    "mdadm",
    "mysqld",
    "named",
    "nginx",
    "ntpd",
    "php-fpm",
    "polkitd",
    "postfix/smtp",
    "postfix/smtpd",
    "postfix/qmgr",
    "postgres",
    "rsyslogd",
    "slapd",
    "smartd",
    "smbd",
    "snmpd",
    "sshd",
    "sshd-session",
    "sshd-auth",
    "su",
    "sudo",
    "systemd",
    "systemd-logind",
    "systemd-networkd",
    "systemd-resolved",
    "systemd-timesyncd",
    "systemd-udevd",
    "useradd",
    "userdel",
    "usermod",
    "passwd",
    "unattended-upgrade",
    "vsftpd",
    "xinetd",
)
_LONG_NAME = 1000
_OWN = ("logs.parser", "logs.ship", "logs.script_error")
_NUMBER = sum(1 << byte for byte in b"0123456789.+-eE_,")
_TAG_END = re.compile(r"[][:\s]")
_TAG_FORM = re.compile(r"[^\s:\[\]]+\Z")
_SHARED_FILES = re.compile(r"/var/log/(?:syslog|messages|auth\.log|secure|daemon\.log|user\.log|\*)")


def lint(rules: Sequence[Rule]) -> list[Finding]:
    """All findings of these rules, of the rules against each other too; slow lines are tried in a process apart."""
    findings: list[Finding] = []
    attacks: list[tuple[Rule, regexlint.Ambiguity]] = []
    for rule in rules:
        found = list(_regex(rule))
        findings.extend(found)
        findings.extend(_program(rule))
        findings.extend(_coverage(rule))
        if not usable(rule):
            continue
        shape = regexlint.shape(rule.match)
        findings.extend(_shape(rule, shape))
        findings.extend(_groups(rule, shape))
        findings.extend(_imitation(rule, shape))
        attacks.extend((rule, attack) for attack in regexlint.ambiguities(rule.match))
    findings.extend(_slow(attacks))
    findings.extend(_between(rules))
    return findings


def fatal(rules: Sequence[Rule]) -> list[Finding]:
    """The findings among these with which a rule could not work at all; `compile` refuses them."""
    findings: list[Finding] = []
    for rule in rules:
        found = list(_regex(rule))
        findings.extend(found)
        if usable(rule):
            findings.extend(_groups(rule, regexlint.shape(rule.match)))
    findings.extend(_between(rules))
    return [finding for finding in findings if CODES[finding.code].fatal]


def usable(rule: Rule) -> bool:
    """Whether the rule's regex compiles here and keeps to what every Python from 3.8 on has."""
    return not any(finding.code in ("LM201", "LM202") for finding in _regex(rule))


# Regex.


def _regex(rule: Rule) -> Iterator[Finding]:
    faults = regexlint.syntax_faults(rule.match)
    fault = regexlint.compile_fault(rule.match)
    # What a construct is (an older Python's limit) says more than the compiler's words about it.
    if fault is not None and not any(other.code in ("LM201", "LM202") for other in faults):
        faults = [fault]
    for item in faults:
        yield Finding(rule.match_at(item.index), item.code, item.what, item.todo)


def _shape(rule: Rule, shape: Shape) -> Iterator[Finding]:
    if shape.never:
        yield Finding(rule.match_at(0), "LM207", f"the regex can never match: {shape.never}", "remove the anchor")
    elif shape.dead:
        yield Finding(
            rule.match_at(0), "LM207", f"an alternative of the regex can never match: {shape.dead}", "remove it"
        )
    elif shape.widths[0] == 0 and not (shape.start and shape.end) and re.search(rule.match.encode(), b""):
        yield Finding(
            rule.match_at(0),
            "LM208",
            "the regex matches every line, as it also matches nothing",
            "name what the line must hold",
        )
    for program in rule.program or ():
        rest = shape.literal[len(program) :]
        if shape.literal.startswith(program) and (rest[:1] in ("[", ":") or (not rest and _any_follows(rule, program))):
            yield Finding(
                rule.match_at(0),
                "LM209",
                f'the regex begins with the tag "{program}", but a message begins after "tag[pid]: "',
                "remove the tag from the regex, program: has compared it already",
            )


def _any_follows(rule: Rule, program: str) -> bool:
    after = rule.match.lstrip("^(?:")[len(program) :]
    return after.startswith((".*", ".+", r"\["))


def _slow(attacks: Sequence[tuple[Rule, regexlint.Ambiguity]]) -> Iterator[Finding]:
    """Exponential ones in any case; the others where a line really takes too long. One finding a rule."""
    lines = [regextime.attack_lines(attack) for _, attack in attacks]
    slow = regextime.slow_lines([(rule.match, tries) for (rule, _), tries in zip(attacks, lines)])
    told: set[int] = set()
    for (rule, attack), verdict in zip(attacks, slow):
        if id(rule) in told or (verdict is None and (attack.degree or attack.bounded)):
            continue
        told.add(id(rule))
        shown = _shown(attack)
        anchor = "" if regexlint.shape(rule.match).start else "anchor it with ^, and "
        if attack.degree == 0:
            yield Finding(
                rule.match_at(0),
                "LM205",
                f"the regex backtracks without end on a line of {shown}",
                "let no repetition hold another that can match the same text, as (a+)+ does",
            )
        else:
            yield Finding(
                rule.match_at(0),
                "LM206",
                f"the regex takes over {regextime.BUDGET:g} s for a line of {regextime.LINE_BYTES} bytes of {shown}",
                anchor + "use [^ ]+ or {1,64} instead of one of the .* that can match the same text",
            )


def _shown(attack: regexlint.Ambiguity) -> str:
    def text(part: bytes) -> str:
        return ascii(part.decode("latin-1"))

    return (f"{text(attack.prefix)} and then " if attack.prefix else "") + f"{text(attack.pump)} over and over"


# Families and values.


def _groups(rule: Rule, shape: Shape) -> Iterator[Finding]:
    for name in dict.fromkeys(rule.groups):
        yield from _path_group(rule, shape, name)
    if rule.groups and rule.max_series is None:
        yield Finding(
            rule.place("metric"), "LM303", "the family has no limit", "add max_series: 50 (beyond it _other counts)"
        )
    for key in ("max_series", "only"):
        if not rule.groups and getattr(rule, key) is not None:
            yield Finding(
                rule.place(key), "LM108", f"{key} is for families, and the metric has no {{group}}", f"remove {key}"
            )
    if rule.only == "accounts" and len(rule.groups) > 1:
        yield Finding(
            rule.place("only"), "LM108", "only: accounts is for families with one group", "write one rule a group"
        )
    yield from _value_group(rule, shape)
    told = any(name not in shape.groups for name in rule.groups) or (rule.type != "counter" and not _has_value(shape))
    for name in () if told else shape.groups:
        if name != VALUE_GROUP and name not in rule.groups and f"(?P={name})" not in rule.match:
            yield Finding(
                rule.place("match"),
                "LM308",
                f"nothing uses the group {name}",
                f"write (?:...), or {{{name}}} in metric",
            )


def _has_value(shape: Shape) -> bool:
    return VALUE_GROUP in shape.groups


def _path_group(rule: Rule, shape: Shape, name: str) -> Iterator[Finding]:
    group = shape.groups.get(name)
    if group is None:
        known = [other for other in shape.groups if other != VALUE_GROUP]
        hint = did_you_mean(name, known) if known else f"add (?P<{name}>...) to match"
        what = f"the path names the group {{{name}}}, which match does not have"
        yield Finding(rule.place("metric"), "LM301", what, hint)
        return
    if group.optional or group.widths[0] == 0:
        yield Finding(
            rule.place("match"),
            "LM306",
            f"the group {name} can be empty or unset on a match, which then counts as _empty",
            "let it take at least one character in every alternative",
        )
    if group.widths[1] > _LONG_NAME:
        yield Finding(
            rule.place("match"),
            "LM305",
            f"the group {name} names a series by text of any length",
            f"limit it, as (?P<{name}>[^ ]{{1,64}})",
        )
    if name in USER_GROUPS and rule.only is None:
        yield Finding(
            rule.place("metric"),
            "LM304",
            f"the family is named by {{{name}}}, and people type passwords as names",
            "add only: accounts, which counts other names as _invalid",
        )


def _value_group(rule: Rule, shape: Shape) -> Iterator[Finding]:
    value = shape.groups.get(VALUE_GROUP)
    if rule.type == "counter":
        if value is not None and VALUE_GROUP not in rule.groups:
            yield Finding(
                rule.place("type" if "type" in rule.marks else "match"),
                "LM108",
                "a counter counts lines and does not read the group named value",
                "add type: sum, gauge or timing, or remove the group's name",
            )
    elif value is None:
        known = [name for name in shape.groups if name not in rule.groups]
        hint = f'rename the group "{known[0]}" to value' if known else "put (?P<value>...) around the number"
        what = f"a {rule.type} reads the group named value, which match does not have"
        yield Finding(rule.place("match"), "LM302", what, hint)
    elif value.mask & ~_NUMBER or value.optional or value.widths[0] == 0:
        yield Finding(
            rule.place("match"),
            "LM307",
            "the group named value can be unset or hold text that is no number",
            r"write (?P<value>\d+) or (?P<value>[\d.]+)",
        )


# Rules against each other.


def _between(rules: Sequence[Rule]) -> Iterator[Finding]:
    first: dict[str, Rule] = {}
    for rule in rules:
        for series in rule.series():
            skeleton = PLACEHOLDER.sub("{}", series)
            earlier = first.setdefault(skeleton, rule)
            if earlier is rule:
                continue
            also = f"{series} is also written by the rule at {earlier.place('metric')}"
            if earlier.type != rule.type or rule.type == "gauge":
                what = f"{also}, and a {earlier.type} and a {rule.type} cannot be one series"
                yield Finding(rule.place("metric"), "LM404", what, "give it another path")
            else:
                yield Finding(
                    rule.place("metric"),
                    "LM401",
                    f"{also}, so that a line that both match counts twice",
                    "give it another path, or join both regexes with a|b in one rule",
                )
            break
        if any(rule.metric == own or rule.metric.startswith(own + ".") for own in _OWN):
            yield Finding(
                rule.place("metric"),
                "LM403",
                f"{rule.metric} is a name of the parser's own metrics",
                "choose another path",
            )
    yield from _families(rules)


def _families(rules: Sequence[Rule]) -> Iterator[Finding]:
    for family in rules:
        if not family.groups:
            continue
        templates = [_template(series) for series in family.series()]
        for rule in rules:
            if rule is family:
                continue
            hit = next(
                (
                    name
                    for name in rule.series()
                    if any(template.match(PLACEHOLDER.sub("x", name)) for template in templates)
                ),
                "",
            )
            if hit and not (rule.groups and PLACEHOLDER.sub("{}", rule.metric) == PLACEHOLDER.sub("{}", family.metric)):
                yield Finding(
                    family.place("metric"),
                    "LM402",
                    f"the family can write {hit} of the rule at {rule.place('metric')}",
                    "give the family a level of its own, as logs.x.by_user.{user}",
                )
                break


def _template(series: str) -> re.Pattern[str]:
    """What names a family can write: a captured name is one part of a path, dots in it are escaped."""
    parts = PLACEHOLDER.split(series)
    return re.compile("[^.]+".join(re.escape(part) for part in parts[::2]) + r"\Z")


# Imitation.


def _imitation(rule: Rule, shape: Shape) -> Iterator[Finding]:
    shared = [path for path in rule.source or () if _SHARED_FILES.match(path)]
    if rule.program is None and (rule.source is None or shared):
        yield Finding(
            rule.place(),
            "LM501",
            "any program's line counts, so that any user name or logger call can imitate the event",
            "add program:, or source: with a file of this program alone",
        )
    if shape.start or shape.end or shape.never or shape.widths[0] == 0:
        return
    if shape.alternatives > 1 and 0 < shape.loose < shape.alternatives:
        yield Finding(
            rule.match_at(0),
            "LM502",
            f"^ binds its own alternative alone, {shape.loose} of {shape.alternatives} are not anchored",
            "write ^(?:a|b)",
        )
        return
    yield Finding(
        rule.match_at(0),
        "LM502",
        "the regex is not anchored, so that text within another message can imitate the event",
        "begin it with ^ (or end it with $)",
    )


def _program(rule: Rule) -> Iterator[Finding]:
    for program in rule.program or ():
        if not _TAG_FORM.match(program):
            yield Finding(
                rule.place("program"),
                "LM503",
                f'the program "{program}" is no syslog tag: a tag ends before "[" and ":" and holds no blank',
                f'write "{_TAG_END.split(program)[0] or "name"}"',
            )
        elif re.search(r"[*+?|()\\^$]", program) and program not in ("(sd-pam)",) and not program.startswith("("):
            yield Finding(
                rule.place("program"),
                "LM503",
                f'the program "{program}" looks like a regex, but tags are compared exactly',
                "list them: [" + ", ".join(program.split("|")) + "]"
                if "|" in program
                else "write the tags out, [a, b]",
            )
        elif program.endswith((".service", ".timer", ".socket")):
            yield Finding(
                rule.place("program"),
                "LM504",
                f'"{program}" is a unit; lines carry the program\'s tag (journald: SYSLOG_IDENTIFIER)',
                f'write "{program.rsplit(".", 1)[0]}"',
            )
        elif program not in COMMON_TAGS:
            slip = _slip(program)
            if slip and slip not in (rule.program or ()):
                yield Finding(
                    rule.place("program"), "LM504", f'no known program writes as "{program}"', f'did you mean "{slip}"?'
                )


def _slip(program: str) -> str | None:
    """The common tag that this is a slip of: other case, or one letter added, left out or changed."""
    for tag in COMMON_TAGS:
        if program.lower() == tag.lower():
            return tag
    near = [tag for tag in COMMON_TAGS if len(tag) > 3 and _one_edit(program, tag)]
    return near[0] if near else None


def _one_edit(left: str, right: str) -> bool:
    if abs(len(left) - len(right)) > 1 or left == right:
        return False
    if len(left) > len(right):
        left, right = right, left
    at = 0
    while at < len(left) and left[at] == right[at]:
        at += 1
    rest = left[at + 1 :] if len(left) == len(right) else left[at:]
    return rest == right[at + 1 :]


# Tests.


def _coverage(rule: Rule) -> Iterator[Finding]:
    if not rule.tests:
        yield Finding(
            rule.place(),
            "LM601",
            f"the rule {rule.metric} has no tests",
            "add a line that it must count and one that it must not",
        )
        return
    if not any(test.yields for test in rule.tests):
        yield Finding(
            rule.place("tests"), "LM602", "no test shows a line that the rule counts", "add one with yields: 1"
        )
    if all(test.yields for test in rule.tests):
        yield Finding(rule.place("tests"), "LM603", "no test shows a near miss", "add a similar line with yields: 0")
