"""Every mistake in a rule pack gets its one clear message, at its place.

A case is a pack and the lines that `check` prints for it. The last test holds that each code of the table has a case.
"""

from __future__ import annotations

import re

import pytest
from logmetrics import check, rulelint, rulespec

FAILED = "Nov 22 10:00:00 h sshd[7]: Failed password for root from 192.0.2.1 port 22 ssh2"
ACCEPTED = "Nov 22 10:00:00 h sshd[7]: Accepted password for root from 192.0.2.1 port 22 ssh2"


def samples(*lines: tuple[str, int]) -> str:
    return "    tests:\n" + "".join(f"      - line: '{line}'\n        yields: {yields}\n" for line, yields in lines)


def rule(body: str, tests: str = samples((FAILED, 1), (ACCEPTED, 0))) -> str:
    """A rule from the lines of its body, its tests in line 6 (of a body of three lines) and later."""
    return "  - " + "".join(f"    {line}\n" for line in body.split("\n"))[4:] + tests


def pack(body: str, tests: str = samples((FAILED, 1), (ACCEPTED, 0))) -> str:
    return "rules:\n" + rule(body, tests)


def match(regex: str, tests: str = samples((FAILED, 1), (ACCEPTED, 0))) -> str:
    """A sound rule but for its regex (a YAML scalar), which stands in line 4, column 12."""
    return pack(f"metric: logs.x\nprogram: sshd\nmatch: {regex}", tests)


def family(metric: str, regex: str, more: str) -> str:
    return pack(
        f"metric: {metric}\nprogram: sshd\nmatch: {regex}" + "".join(f"\n{line}" for line in more.split("; ") if line)
    )


def program(name: str) -> str:
    line = f"Nov 22 10:00:00 h {name}[7]: "
    return pack(f"metric: logs.x\nprogram: {name}\nmatch: '^Failed '", samples((line + "Failed x", 1), (line + "x", 0)))


UNANCHORED = (
    "p.yml:4:13: LM502 the regex is not anchored, so that text within another message can imitate the event; "
    "begin it with ^ (or end it with $)"
)
OPEN_QUOTE = (
    "LM002 the text that this quote opens does not end with its line; "
    "close it at the end, and write a quote inside single quotes twice ('')"
)
NO_LOOK = "say what must be there, and write a second test for what must not"
ENDLESS = "let no repetition hold another that can match the same text, as (a+)+ does"
SLOW = "use [^ ]+ or {1,64} instead of one of the .* that can match the same text"

YAML_CASES = {
    "an empty file": (
        "# nothing\n",
        ['p.yml:1:1: LM007 the pack is empty; begin it with "rules:" and a list of rules'],
    ),
    "an empty list": ("rules: []\n", ["p.yml:1:8: LM007 the list of rules is empty; write a rule or remove the pack"]),
    "an open list": (
        "rules: [\n",
        [
            "p.yml:2:1: LM002 this is no YAML: expected the node content, but found '<stream end>' "
            "(while parsing a flow node); "
            ""
            "align the keys of one rule under each other and quote the regex in single quotes"
        ],
    ),
    "a block of text instead of rules": (
        "rules: |\n  - metric: logs.x\n    match: '^a'\n",
        [
            "p.yml:1:8: LM103 rules must be a list, not the text - metric: logs.x   match: '^a' ; "
            "list the rules below it",
        ],
    ),
    "text instead of rules": (
        "logs.sshd.failure\n",
        [
            "p.yml:1:1: LM103 a pack is a mapping with the key rules, not the text logs.sshd.failure; "
            'begin it with "rules:"'
        ],
    ),
    "rules misspelt": (
        "rule:\n  - metric: logs.x\n",
        ['p.yml:1:1: LM101 a pack has no key "rule"; did you mean "rules"?'],
    ),
    "no rules at all": (
        "{}\n",
        ['p.yml:1:1: LM102 the pack has no "rules"; put the list of rules under rules:'],
    ),
    "rules without dashes": (
        "rules:\n  metric: logs.x\n  match: '^a'\n",
        ['p.yml:2:3: LM103 rules must be a list, not a mapping; begin each rule with "- metric:"'],
    ),
    "a tab indents": (
        "rules:\n\t- metric: logs.x\n",
        ["p.yml:2:1: LM003 a tab stands where YAML takes blanks alone; indent with blanks"],
    ),
    "a tab indents a key": (
        "rules:\n  - metric: logs.x\n\t  match: '^a'\n",
        ["p.yml:3:1: LM003 a tab stands where YAML takes blanks alone; indent with blanks"],
    ),
    "a wrong indent": (
        "rules:\n  - metric: logs.x\n   match: '^Failed '\n",
        [
            "p.yml:3:4: LM002 this is no YAML: expected <block end>, but found '<block mapping start>' "
            "(while parsing a block collection); "
            "align the keys of one rule under each other, and begin each rule and test with a dash"
        ],
    ),
    "a missing quote": (match("'^Failed "), [f"p.yml:4:12: {OPEN_QUOTE}"]),
    "a quote within quotes": (match("'^Can't '"), [f"p.yml:4:12: {OPEN_QUOTE}"]),
    "an unquoted colon": (
        match("^error: Failed"),
        [
            "p.yml:4:18: LM002 this is no YAML: mapping values are not allowed here; "
            "put text that holds a colon and a blank in single quotes, or align the key with its neighbours"
        ],
    ),
    "an unquoted star": (
        match("*Failed"),
        [
            "p.yml:4:12: LM002 this is no YAML: found undefined alias 'Failed'; "
            "put text that begins with *, & or ! in single quotes"
        ],
    ),
    "an unquoted percent sign": (
        match("%Failed"),
        [
            "p.yml:4:12: LM002 this is no YAML: found character '%' that cannot start any token "
            "(while scanning for the next token); put the text in single quotes"
        ],
    ),
    "an unquoted set": (
        match("[Ff]ailed"),
        [
            "p.yml:4:16: LM002 this is no YAML: expected <block end>, but found '<scalar>' "
            "(while parsing a block mapping); "
            ""
            "align the keys of one rule under each other, and begin each rule and test with a dash"
        ],
    ),
    "a list as regex": (
        match("[Failed, Accepted]"),
        [
            "p.yml:4:12: LM103 match must be text, not a list; "
            "put the regex in single quotes (a bare [ begins a list), and use a|b for several"
        ],
    ),
    "an unquoted brace": (
        match("{Failed}"),
        [
            "p.yml:4:12: LM103 match must be text, not a mapping; "
            "put text that holds a colon or begins with { in single quotes"
        ],
    ),
    "a backslash that YAML refuses": (
        match(r'"^Failed \S+ for"'),
        [
            "p.yml:4:22: LM004 YAML reads backslashes in double quotes itself (unknown escape character 'S'); "
            "put the regex in single quotes"
        ],
    ),
    "a backslash that YAML eats": (
        match(r'"^Failed\b"'),
        [
            r"p.yml:4:12: LM106 match holds the control character '\x08'; "
            "put it in single quotes, YAML reads backslashes in double quotes"
        ],
    ),
    "a regex over two lines": (
        match("|\n  ^Failed\n  password"),
        [r"p.yml:4:12: LM106 match holds the control character '\n'; write it on one line"],
    ),
    "a NUL": (
        pack("metric: logs.x\nhelp: a\0b\nmatch: '^a'"),
        [r"p.yml:3:12: LM002 the character '\x00' may not stand in YAML; remove it"],
    ),
    "a key twice": (
        pack("metric: logs.x\nprogram: sshd\nmatch: '^Failed '\nmatch: '^Accepted '"),
        ['p.yml:5:5: LM005 "match" is given twice (first in line 4); keep one; YAML would silently take the last'],
    ),
    "a program twice": (
        pack("metric: logs.x\nprogram: [sshd, sshd]\nmatch: '^Failed '"),
        ['p.yml:3:21: LM005 program names "sshd" twice; keep one'],
    ),
    "a second document": (
        match("'^Failed '") + "---\nrules: []\n",
        ["p.yml:10:1: LM002 a second document begins here; keep all rules of a file under one rules: list"],
    ),
    "a merge key": (
        "rules:\n"
        + rule("metric: logs.x\nprogram: sshd\nmatch: '^Failed '").replace("  - ", "  - &a\n    ", 1)
        + "  - <<: *a\n",
        [
            'p.yml:11:5: LM101 a rule cannot be merged with "<<"; write its keys out',
        ],
    ),
}

FORM_CASES = {
    "a key misspelt": (
        pack("metric: logs.x\nprograms: sshd\nmatch: '^Failed '"),
        ['p.yml:3:5: LM101 a rule has no key "programs"; did you mean "program"?'],
    ),
    "an unknown key": (
        pack("metric: logs.x\ncolour: red\nmatch: '^Failed '"),
        [
            'p.yml:3:5: LM101 a rule has no key "colour"; '
            "known are metric, help, type, program, source, match, max_series, only, ignore, tests"
        ],
    ),
    "a test's key misspelt": (
        match("'^Failed '", "    tests:\n      - lines: 'x'\n        yields: 1\n"),
        ['p.yml:6:9: LM101 a test has no key "lines"; did you mean "line"?'],
    ),
    "no metric": (pack("program: sshd\nmatch: '^Failed '"), ['p.yml:2:5: LM102 the rule has no "metric"; add metric:']),
    "no regex": (pack("metric: logs.x\nprogram: sshd"), ['p.yml:2:5: LM102 the rule has no "match"; add match:']),
    "a rule that is text": (
        "rules:\n  - logs.x\n",
        ['p.yml:2:5: LM103 a rule is a mapping, not the text logs.x; begin it with "- metric: logs."'],
    ),
    "a number as metric": (
        pack("metric: 12\nprogram: sshd\nmatch: '^Failed '"),
        ["p.yml:2:13: LM103 metric must be text, not the number 12; put it in single quotes"],
    ),
    "a number as regex": (
        match("404"),
        ["p.yml:4:12: LM103 match must be text, not the number 404; put it in single quotes"],
    ),
    "a truth value as regex": (
        match("yes"),
        ["p.yml:4:12: LM103 match must be text, not the truth value yes; put it in single quotes"],
    ),
    "nothing as regex": (match("~"), ["p.yml:4:12: LM103 match must be text, not nothing; put it in single quotes"]),
    "an empty regex": (match("''"), ["p.yml:4:12: LM107 match is empty; write what it stands for or remove match"]),
    "an empty list of programs": (
        pack("metric: logs.x\nprogram: []\nmatch: '^Failed '"),
        ["p.yml:3:14: LM107 the list program is empty; name one or remove program"],
    ),
    "a type misspelt": (
        family("logs.x", "'^Failed '", "type: timeing"),
        ['p.yml:5:11: LM104 type cannot be "timeing"; did you mean "timing"?'],
    ),
    "an unknown only": (
        family("logs.x.{user}", r"'^Failed \S+ for (?P<user>\S{1,64}) '", "max_series: 5; only: users"),
        ['p.yml:6:11: LM104 only cannot be "users"; did you mean "accounts"?'],
    ),
    "a cap that is text": (
        family("logs.x.{m}", "'^Failed (?P<m>[a-z]{1,20}) '", "max_series: many"),
        ["p.yml:5:17: LM103 max_series must be a whole number, not the text many; for example max_series: 50"],
    ),
    "a cap of zero": (
        family("logs.x.{m}", "'^Failed (?P<m>[a-z]{1,20}) '", "max_series: 0"),
        ["p.yml:5:17: LM104 max_series cannot be 0; it is 1 or more"],
    ),
    "a relative source": (
        family("logs.x", "'^Failed '", "source: auth.log"),
        ['p.yml:5:13: LM104 the source "auth.log" is no absolute path; begin it with /'],
    ),
    "a blank in the metric": (
        family("logs.failed logins", "'^Failed '", ""),
        [
            'p.yml:2:13: LM105 the metric "logs.failed logins" holds a blank, which ends a name in Graphite; '
            "use _ instead"
        ],
    ),
    "a slash in the metric": (
        family("logs/x", "'^Failed '", ""),
        [
            "p.yml:2:13: LM105 the metric \"logs/x\" holds '/', which Graphite or Telegraf would rewrite; "
            "use letters, digits, _ and - with dots between"
        ],
    ),
    "an umlaut in the metric": (
        family("logs.zugänge", "'^Failed '", ""),
        [
            "p.yml:2:13: LM105 the metric \"logs.zugänge\" holds 'ä', which Graphite or Telegraf would rewrite; "
            "use letters, digits, _ and - with dots between"
        ],
    ),
    "two dots in the metric": (
        family("logs..x", "'^Failed '", ""),
        [
            'p.yml:2:13: LM105 the metric "logs..x" has an empty part, which Graphite would drop; '
            "no dot at its ends and no two dots in a row"
        ],
    ),
    "a brace alone in the metric": (
        family("logs.{user", "'^Failed '", ""),
        [
            'p.yml:2:13: LM105 the metric "logs.{user" has a brace without its other half; '
            "write a family as path.{group}"
        ],
    ),
    "a group that is no name": (
        family("logs.{1st}", "'^Failed '", ""),
        ['p.yml:2:13: LM105 "{1st}" is no group\'s name; letters, digits and _ as in (?P<name>...)'],
    ),
    "a cap without a family": (
        family("logs.x", "'^Failed '", "max_series: 5"),
        ["p.yml:5:17: LM108 max_series is for families, and the metric has no {group}; remove max_series"],
    ),
    "accounts of two groups": (
        family(
            "logs.x.{user}.{m}",
            r"'^Failed (?P<m>[a-z]{1,20}) for (?P<user>\S{1,64}) '",
            "max_series: 5; only: accounts",
        ),
        ["p.yml:6:11: LM108 only: accounts is for families with one group; write one rule a group"],
    ),
    "a value in a counter": (
        match(r"'^Failed .* port (?P<value>\d+)'"),
        [
            "p.yml:4:12: LM108 a counter counts lines and does not read the group named value; "
            "add type: sum, gauge or timing, or remove the group's name"
        ],
    ),
    "tests without dashes": (
        match("'^Failed '", "    tests:\n      line: 'x'\n      yields: 1\n"),
        ['p.yml:6:7: LM103 tests must be a list, not a mapping; begin each test with "- line:"'],
    ),
    "a test that is text": (
        match("'^Failed '", "    tests:\n      - 'Failed'\n"),
        ["p.yml:6:9: LM103 a test is a mapping, not the text Failed; give it line: and yields:"],
    ),
    "a test without yields": (
        match("'^Failed '", f"    tests:\n      - line: '{FAILED}'\n"),
        ['p.yml:6:9: LM102 the test has no "yields"; add yields:'],
    ),
    "yields as a truth value": (
        match("'^Failed '", f"    tests:\n      - line: '{FAILED}'\n        yields: true\n"),
        ["p.yml:7:17: LM103 yields must be a whole number, not the truth value true; for example yields: 1"],
    ),
    "yields below zero": (
        match("'^Failed '", samples((FAILED, -1))),
        ["p.yml:7:17: LM104 yields cannot be -1; it is 0 or more"],
    ),
    "a value that is text": (
        match("'^Failed '", samples((FAILED, 1)) + "        value: fast\n"),
        ["p.yml:8:16: LM103 value must be a number, not the text fast; for example value: 0.25"],
    ),
    "two lines in a test": (
        match("'^Failed '", "    tests:\n      - line: |\n          a\n          b\n        yields: 1\n"),
        ["p.yml:6:15: LM106 the sample holds more than one line; give each line a test of its own"],
    ),
}

BRACKET = r"close the group with ), or write \( for a bracket in the text"
REGEX_CASES = {
    "a lookahead that is not closed": (
        match("'^Failed (?=a'"),
        [f"p.yml:4:21: LM201 the regex cannot be compiled: missing ), unterminated subpattern; {BRACKET}"],
    ),
    "an open group": (
        match(r"'^Failed (\S+ for'"),
        [f"p.yml:4:21: LM201 the regex cannot be compiled: missing ), unterminated subpattern; {BRACKET}"],
    ),
    "an open group behind a doubled quote": (
        match("'^can''t (Failed'"),
        [f"p.yml:4:21: LM201 the regex cannot be compiled: missing ), unterminated subpattern; {BRACKET}"],
    ),
    "an open group in a block of one line": (
        match(">-\n  ^Failed (a"),
        [f"p.yml:5:15: LM201 the regex cannot be compiled: missing ), unterminated subpattern; {BRACKET}"],
    ),
    "an open group in double quotes": (
        match(r'"^Failed\\S (a"'),
        [f"p.yml:4:24: LM201 the regex cannot be compiled: missing ), unterminated subpattern; {BRACKET}"],
    ),
    "a bracket too many": (
        match(r"'^Failed \S+) for'"),
        [r"p.yml:4:24: LM201 the regex cannot be compiled: unbalanced parenthesis; write \) for a bracket in the text"],
    ),
    "an open set": (
        match("'^Failed [a-z for'"),
        [
            "p.yml:4:21: LM201 the regex cannot be compiled: unterminated character set; "
            r"close the set with ], or write \[ for a bracket in the text"
        ],
    ),
    "nothing to repeat": (
        match("'^*Failed'"),
        [r"p.yml:4:14: LM201 the regex cannot be compiled: nothing to repeat; write \* \+ \? for the sign itself"],
    ),
    "two repeats": (
        match("'^Failed a**'"),
        [r"p.yml:4:23: LM201 the regex cannot be compiled: multiple repeat; write \* \+ \? for the sign itself"],
    ),
    "an unknown escape": (
        match(r"'^Failed \y'"),
        [
            r"p.yml:4:21: LM201 the regex cannot be compiled: bad escape \y; "
            "escape only signs, and the letters that stand for classes (d w s b)"
        ],
    ),
    "a backwards range": (
        match("'^Failed [z-a]'"),
        ["p.yml:4:22: LM201 the regex cannot be compiled: bad character range z-a; put - first or last in the set"],
    ),
    "one group's name twice": (
        match("'^Failed (?P<a>x)(?P<a>y)'"),
        [
            "p.yml:4:33: LM201 the regex cannot be compiled: redefinition of group name 'a' as group 2; was group 1; "
            "give each group a name of its own"
        ],
    ),
    "an escape of text patterns": (
        match(r"'^Failed \u00e4'"),
        [r"p.yml:4:21: LM201 the regex cannot be compiled: bad escape \u; write the character itself"],
    ),
    "a possessive repeat": (
        match(r"'^Failed \S++ for'"),
        [
            "p.yml:4:24: LM202 a possessive quantifier needs Python 3.11, and RE2 has none; "
            "write the quantifier without its second +"
        ],
    ),
    "an atomic group": (
        match(r"'^Failed (?>\S+) for'"),
        ["p.yml:4:21: LM202 an atomic group needs Python 3.11, and RE2 has none; write (?:...)"],
    ),
    r"\z": (
        match(r"'^Failed .*ssh2\z'"),
        [r"p.yml:4:27: LM202 \z needs Python 3.14; write $ (a message holds no line feed)"],
    ),
    "flags in the middle": (
        match("'^Failed (?i)password'"),
        ["p.yml:4:21: LM202 Python 3.11 refuses the flags (?i) here; put them first, or write (?i:...)"],
    ),
    "a negative lookahead": (
        match("'^Failed (?!none)'"),
        [f"p.yml:4:21: LM203 RE2 has no negative lookahead; {NO_LOOK}"],
    ),
    "a lookahead": (match("'^(?=Failed)'"), [f"p.yml:4:14: LM203 RE2 has no lookahead; {NO_LOOK}"]),
    "a lookbehind": (
        match("'^Failed password(?<=word) '"),
        [f"p.yml:4:29: LM203 RE2 has no lookbehind; {NO_LOOK}"],
    ),
    "a negative lookbehind": (
        match("'^Failed password(?<!pass) '"),
        [f"p.yml:4:29: LM203 RE2 has no negative lookbehind; {NO_LOOK}"],
    ),
    "a back reference": (
        match(r"'^(F)ailed (?:x\1|p)'"),
        [r"p.yml:4:27: LM203 the back reference \1 is unknown to RE2; write out what it repeats"],
    ),
    "a back reference by name": (
        match("'^(?P<a>F)ailed (?:x(?P=a)|p)'"),
        ["p.yml:4:32: LM203 RE2 has no back references; write out what it repeats"],
    ),
    "a conditional": (
        match("'^(F)?ailed (?(1)p|b)'"),
        ["p.yml:4:24: LM203 RE2 has no conditionals; write both cases as alternatives: (?:a|b)"],
    ),
    "a comment in the regex": (
        match("'^Failed (?#method)'"),
        ["p.yml:4:21: LM203 RE2 has no comments; put it into a YAML comment"],
    ),
    r"\Z": (
        match(r"'^Failed .*ssh2\Z'"),
        [r"p.yml:4:27: LM203 \Z is unknown to RE2; write $ (a message holds no line feed)"],
    ),
    "an unknown flag": (
        match("'(?x)^Failed'"),
        ["p.yml:4:13: LM203 RE2 has no flag 'x'; leave it out (rules are bytes patterns, spaces count)"],
    ),
    "too many repeats": (
        match(r"'^Failed \S{1,2000} for'"),
        ["p.yml:4:23: LM203 {1,2000} repeats more often than RE2 allows; at most 1000 times"],
    ),
    "a POSIX class": (
        match(r"'^Failed (?:[[:alpha:]]+|\S+) for'"),
        ["p.yml:4:25: LM204 [:alpha:] is a class in RE2 and single characters in Python; write the range, as a-z"],
    ),
    "a repeat without its lower bound": (
        match(r"'^Failed \S{,9} for'"),
        ["p.yml:4:23: LM204 {,9} repeats in Python and is plain text in RE2; write {0,9}"],
    ),
    "an umlaut in a set": (
        match("'^Failed [ä]?password'"),
        [
            "p.yml:4:22: LM204 'ä' in a set: Python matches its bytes one by one, RE2 the character; "
            "use (?:ä|...) instead of a set"
        ],
    ),
    "a sign of sets to come": (
        match("'^Failed [a&&p]assword'"),
        [
            "p.yml:4:23: LM204 '&&' in a set will get a meaning of its own in Python; "
            "put a backslash before the second sign"
        ],
    ),
    "a repeat of a repeat": (
        match(r"'^Failed (?:\w+\s?)*from 192'"),
        [
            "p.yml:4:13: LM205 the regex backtracks without end on a line of 'Failed a' and then 'a' over and over; "
            f"{ENDLESS}"
        ],
    ),
    "two alternatives for one text": (
        match(r"'^Failed (?:\w+|\w\w)* for'"),
        [
            "p.yml:4:13: LM205 the regex backtracks without end on a line of 'Failed a' and then 'a' over and over; "
            f"{ENDLESS}"
        ],
    ),
    "a counted repeat of a counted one": (
        match(r"'^Failed (?:\w{1,20}){1,20} for'"),
        [
            "p.yml:4:13: LM205 the regex backtracks without end on a line of 'Failed a' and then 'a' over and over; "
            f"{ENDLESS}"
        ],
    ),
    "a chain of loops": (
        match("'^Failed.* .* .*ssh2$'"),
        [
            "p.yml:4:13: LM206 the regex takes over 1 s for a line of 16384 bytes "
            "of 'Faileda' and then ' a a' over and over; "
            "" + SLOW
        ],
    ),
    "an unanchored chain of loops": (
        match("'a.*b.*c.*ssh2$'", samples(("Nov 22 10:00:00 h sshd[7]: abc ssh2", 1), (FAILED, 0))),
        [
            "p.yml:4:13: LM206 the regex takes over 1 s for a line of 16384 bytes "
            "of 'a' and then 'aabaca' over and over; "
            ""
            "anchor it with ^, and " + SLOW
        ],
    ),
    "^ behind text": (
        match("'Failed ^password'"),
        ["p.yml:4:13: LM207 the regex can never match: ^ stands behind text that must come first; remove the anchor"],
    ),
    "$ before text": (
        match("'^Failed$ password'"),
        ["p.yml:4:13: LM207 the regex can never match: $ stands before text that must follow; remove the anchor"],
    ),
    "an alternative that cannot match": (
        match("'^(?:Failed|x^Refused) '"),
        [
            "p.yml:4:13: LM207 an alternative of the regex can never match: "
            "^ stands behind text that must come first; remove it"
        ],
    ),
    "everything": (
        match("'.*'"),
        ["p.yml:4:13: LM208 the regex matches every line, as it also matches nothing; name what the line must hold"],
    ),
    "the tag in the regex": (
        match(r"'^sshd\[\d+\]: Failed'"),
        [
            'p.yml:4:13: LM209 the regex begins with the tag "sshd", but a message begins after "tag[pid]: "; '
            "remove the tag from the regex, program: has compared it already"
        ],
    ),
    "the tag and anything": (
        match("'sshd.*Failed password'"),
        [
            'p.yml:4:13: LM209 the regex begins with the tag "sshd", but a message begins after "tag[pid]: "; '
            "remove the tag from the regex, program: has compared it already",
            UNANCHORED,
        ],
    ),
}

FAMILY_CASES = {
    "a group misspelt": (
        family("logs.x.{usr}", "'^Failed (?P<user>[a-z]{1,9}) '", "max_series: 5; only: accounts"),
        ['p.yml:2:13: LM301 the path names the group {usr}, which match does not have; did you mean "user"?'],
    ),
    "no group": (
        family("logs.x.{user}", "'^Failed '", "max_series: 5; only: accounts"),
        ["p.yml:2:13: LM301 the path names the group {user}, which match does not have; add (?P<user>...) to match"],
    ),
    "a sum without value": (
        family("logs.x", r"'^Failed .* port \d+'", "type: sum"),
        [
            "p.yml:4:12: LM302 a sum reads the group named value, which match does not have; "
            "put (?P<value>...) around the number"
        ],
    ),
    "a sum of another group": (
        family("logs.x", r"'^Failed .* port (?P<port>\d+)'", "type: sum"),
        [
            "p.yml:4:12: LM302 a sum reads the group named value, which match does not have; "
            'rename the group "port" to value'
        ],
    ),
    "a family without a cap": (
        family("logs.x.{m}", "'^Failed (?P<m>[a-z]{1,20}) '", ""),
        ["p.yml:2:13: LM303 the family has no limit; add max_series: 50 (beyond it _other counts)"],
    ),
    "a family of typed names": (
        family("logs.x.{user}", r"'^Failed \S+ for (?P<user>\S{1,64}) '", "max_series: 5"),
        [
            "p.yml:2:13: LM304 the family is named by {user}, and people type passwords as names; "
            "add only: accounts, which counts other names as _invalid"
        ],
    ),
    "a name of any length": (
        family("logs.x.{m}", r"'^Failed (?P<m>\S+) '", "max_series: 5"),
        ["p.yml:4:12: LM305 the group m names a series by text of any length; limit it, as (?P<m>[^ ]{1,64})"],
    ),
    "a name that can be missing": (
        family("logs.x.{bad}", r"'^Failed \S+ for (?P<bad>invalid)? ?'", "max_series: 5"),
        [
            "p.yml:4:12: LM306 the group bad can be empty or unset on a match, which then counts as _empty; "
            "let it take at least one character in every alternative"
        ],
    ),
    "a value that can be text": (
        family("logs.x", r"'^Failed .* port (?P<value>\w+)'", "type: sum"),
        [
            "p.yml:4:12: LM307 the group named value can be unset or hold text that is no number; "
            r"write (?P<value>\d+) or (?P<value>[\d.]+)"
        ],
    ),
    "an unused group": (
        match(r"'^Failed (?P<method>\S+) '"),
        ["p.yml:4:12: LM308 nothing uses the group method; write (?:...), or {method} in metric"],
    ),
}

TIMING = r"'^Failed .* port (?P<value>\d+)'"
BETWEEN_CASES = {
    "one series twice": (
        match("'^Failed '") + rule("metric: logs.x\nprogram: sshd\nmatch: '^Failed p'"),
        [
            "p.yml:10:13: LM401 logs.x is also written by the rule at p.yml:2:13, "
            "so that a line that both match counts twice; "
            "give it another path, or join both regexes with a|b in one rule"
        ],
    ),
    "a part of a timing": (
        family("logs.x.count", "'^Failed '", "")
        + rule(f"metric: logs.x\nprogram: sshd\nmatch: {TIMING}\ntype: timing"),
        [
            "p.yml:10:13: LM404 logs.x.count is also written by the rule at p.yml:2:13, "
            "and a counter and a timing cannot be one series; give it another path"
        ],
    ),
    "a family over a rule": (
        family("logs.x.{m}", "'^Failed (?P<m>[a-z]{1,20}) '", "max_series: 5")
        + rule("metric: logs.x.root\nprogram: sshd\nmatch: '^Failed '"),
        [
            "p.yml:2:13: LM402 the family can write logs.x.root of the rule at p.yml:11:13; "
            "give the family a level of its own, as logs.x.by_user.{user}"
        ],
    ),
    "the parser's own name": (
        family("logs.parser.lines", "'^Failed '", ""),
        ["p.yml:2:13: LM403 logs.parser.lines is a name of the parser's own metrics; choose another path"],
    ),
}

ANY_PROGRAM = (
    "LM501 any program's line counts, so that any user name or logger call can imitate the event; "
    "add program:, or source: with a file of this program alone"
)
IMITATION_CASES = {
    "no program": (pack("metric: logs.x\nmatch: '^Failed '"), [f"p.yml:2:5: {ANY_PROGRAM}"]),
    "a file that many programs write": (
        pack("metric: logs.x\nsource: /var/log/auth.log\nmatch: '^Failed '"),
        [f"p.yml:2:5: {ANY_PROGRAM}"],
    ),
    "no anchor": (match("'Failed password'"), [UNANCHORED]),
    "an anchor for one alternative": (
        match("'^Failed |Refused'"),
        ["p.yml:4:13: LM502 ^ binds its own alternative alone, 1 of 2 are not anchored; write ^(?:a|b)"],
    ),
    "a program with a pid": (
        pack("metric: logs.x\nprogram: 'sshd[7]'\nmatch: '^Failed '"),
        [
            'p.yml:3:14: LM503 the program "sshd[7]" is no syslog tag: '
            'a tag ends before "[" and ":" and holds no blank; '
            ""
            'write "sshd"'
        ],
    ),
    "a regex of programs": (
        program("sshd|sshd-session"),
        [
            'p.yml:3:14: LM503 the program "sshd|sshd-session" looks like a regex, but tags are compared exactly; '
            "list them: [sshd, sshd-session]"
        ],
    ),
    "a unit as program": (
        program("ssh.service"),
        [
            'p.yml:3:14: LM504 "ssh.service" is a unit; lines carry the program\'s tag (journald: SYSLOG_IDENTIFIER); '
            'write "ssh"'
        ],
    ),
    "a program misspelt": (
        program("sshdd"),
        ['p.yml:3:14: LM504 no known program writes as "sshdd"; did you mean "sshd"?'],
    ),
    "a program in capitals": (
        program("SSHD"),
        ['p.yml:3:14: LM504 no known program writes as "SSHD"; did you mean "sshd"?'],
    ),
}

TIMED = "metric: logs.x\nprogram: sshd\nmatch: '^took (?P<value>[\\d.]+) s'\ntype: timing"
OTHER = "Nov 22 10:00:00 h sshd[7]: other"
TEST_CASES = {
    "no tests": (
        match("'^Failed '", ""),
        ["p.yml:2:5: LM601 the rule logs.x has no tests; add a line that it must count and one that it must not"],
    ),
    "no positive": (
        match("'^Failed '", samples((ACCEPTED, 0))),
        ["p.yml:6:7: LM602 no test shows a line that the rule counts; add one with yields: 1"],
    ),
    "no negative": (
        match("'^Failed '", samples((FAILED, 1))),
        ["p.yml:6:7: LM603 no test shows a near miss; add a similar line with yields: 0"],
    ),
    "a near miss": (
        match(r"'^Failed \S+ for (?:invalid user )?admin from '"),
        [
            r"p.yml:6:15: LM604 logs.x counts 0, not 1: the regex matches up to ^Failed \S+ for (?:invalid user )? "
            'and then meets "root from 192.0.2.1 port 22 ssh2"; compare the two there'
        ],
    ),
    "another case": (
        match("'^failed '"),
        [
            "p.yml:6:15: LM604 logs.x counts 0, not 1: "
            'the regex finds no beginning in "Failed password for root from 192.0.2.1 port 22 ssh2"; '
            "compare it with the message, which begins after the tag"
        ],
    ),
    "another program": (
        match("'^Failed '", samples((FAILED.replace("sshd", "login"), 1), (ACCEPTED, 0))),
        [
            'p.yml:6:15: LM604 logs.x counts 0, not 1: the line was written by "login"; '
            "the rule reads sshd; add the tag or correct the test"
        ],
    ),
    "no header": (
        match("'^Failed '", samples(("Failed password for root", 1), (ACCEPTED, 0))),
        [
            "p.yml:6:15: LM604 logs.x counts 0, not 1: the line has no syslog header that tells its program; "
            'begin it like "Nov 22 10:00:00 host tag[1]: " (stamp, host, tag)'
        ],
    ),
    "a match too many": (
        match("'^(?:Failed|Accepted) '"),
        [
            "p.yml:8:15: LM604 logs.x counts 1, not 0: "
            'the regex matches "Accepted password for root from 192.0.2.1 port 22 ssh2"; '
            "make the regex stricter, or correct the test"
        ],
    ),
    "a line that stands for three": (
        match(
            "'^Failed '",
            samples(("Nov 22 10:00:00 h sshd[7]: message repeated 3 times: [ Failed password]", 1), (ACCEPTED, 0)),
        ),
        ["p.yml:6:15: LM604 logs.x counts 3, not 1: the line stands for another number of events; correct yields"],
    ),
    "another value": (
        pack(TIMED, samples((OTHER, 0), ("Nov 22 10:00:00 h sshd[7]: took 2.5 s", 1)) + "        value: 3\n"),
        ["p.yml:9:15: LM604 logs.x reads 2.5, not 3; correct the group named value, or the test"],
    ),
    "a value that is no number": (
        pack(TIMED, samples((OTHER, 0), ("Nov 22 10:00:00 h sshd[7]: took 1.2.3 s", 1))),
        ["p.yml:9:15: LM604 logs.x counts 0, not 1: the group named value holds no number; capture digits alone"],
    ),
    "another series": (
        pack(
            "metric: logs.x.{m}\nprogram: sshd\nmatch: '^Failed (?P<m>[^ ]{1,20}) '\nmax_series: 3",
            samples((OTHER, 0), ("Nov 22 10:00:00 h sshd[7]: Failed a/b for", 1)) + "        series: logs.x.a\n",
        ),
        ["p.yml:9:15: LM604 the series is logs.x.a_2fb, not logs.x.a; correct the group in the path, or the test"],
    ),
    "a name that is no account": (
        pack(
            "metric: logs.x.{user}\nprogram: sshd\nmatch: '^Failed (?P<user>[^ ]{1,20}) '\n"
            "max_series: 3\nonly: accounts",
            samples((OTHER, 0), ("Nov 22 10:00:00 h sshd[7]: Failed secret for", 1))
            + "        accounts: [root]\n        series: logs.x.secret\n",
        ),
        [
            "p.yml:10:15: LM604 the series is logs.x._invalid, not logs.x.secret; "
            "correct the group in the path, or the test"
        ],
    ),
}


def silenced(*comments: str) -> str:
    return "rules:\n" + "".join(f"  {comment}\n" for comment in comments) + match("'Failed '")[len("rules:\n") :]


HERE = UNANCHORED.replace(":4:", ":5:")
SILENCE_CASES = {
    "no reason": (
        silenced("# logmetrics: ignore LM502"),
        ["p.yml:2:3: LM701 the comment gives no reason; say behind the code why it is right here", HERE],
    ),
    "no code": (
        silenced("# logmetrics: ignore because"),
        ["p.yml:2:3: LM702 the comment names no code; write # logmetrics: ignore LM502 and the reason", HERE],
    ),
    "an unknown code": (
        silenced("# logmetrics: ignore LM592 why not"),
        ['p.yml:2:3: LM702 there is no code LM592; did you mean "LM502"?', HERE],
    ),
    "a code that cannot be silenced": (
        silenced("# logmetrics: ignore LM201 why not"),
        ["p.yml:2:3: LM702 LM201 cannot be silenced: the rule could not work; mend the rule", HERE],
    ),
    "nothing to silence": (
        silenced("# logmetrics: ignore LM502 wanted", "# logmetrics: ignore LM501 wanted, too"),
        ["p.yml:3:3: LM703 nothing here is LM501; remove the comment"],
    ),
    "a sound comment above the rule": (silenced("# logmetrics: ignore LM502 wanted here"), []),
    "a sound comment beside the regex": (match("'Failed '  # logmetrics: ignore LM502 wanted here"), []),
    "a sound key of the rule": (
        pack("metric: logs.x\nprogram: sshd\nmatch: 'Failed '\nignore: {LM502: wanted here}"),
        [],
    ),
    "a key without a reason": (
        pack("metric: logs.x\nprogram: sshd\nmatch: '^Failed '\nignore: {LM502: ''}"),
        ["p.yml:5:14: LM701 the comment gives no reason; say behind the code why it is right here"],
    ),
    "a key that is a list": (
        pack("metric: logs.x\nprogram: sshd\nmatch: '^Failed '\nignore: [LM502]"),
        ["p.yml:5:13: LM103 ignore is a mapping, not a list; write ignore: {LM502: the reason}"],
    ),
    "a key for nothing": (
        pack("metric: logs.x\nprogram: sshd\nmatch: '^Failed '\nignore: {LM502: wanted here}"),
        ["p.yml:5:14: LM703 nothing here is LM502; remove the comment"],
    ),
    "a comment's form in a sample line": (
        match(
            "'^Failed # logmetrics: ignore me'", samples((FAILED[:33] + " # logmetrics: ignore me", 1), (ACCEPTED, 0))
        ),
        [],
    ),
}

GROUPS = {
    "yaml": YAML_CASES,
    "form": FORM_CASES,
    "regex": REGEX_CASES,
    "family": FAMILY_CASES,
    "between": BETWEEN_CASES,
    "imitation": IMITATION_CASES,
    "test": TEST_CASES,
    "silence": SILENCE_CASES,
}
CASES = [pytest.param(*case, id=f"{group}: {name}") for group, cases in GROUPS.items() for name, case in cases.items()]


def findings(text: str) -> list[str]:
    return [str(finding) for finding in check.check([rulespec.parse_pack(text, "p.yml", "p")])]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_mistake_gets_its_message_at_its_place(text: str, expected: list[str]) -> None:
    assert findings(text) == expected


def test_a_sound_pack_gets_none() -> None:
    assert findings(match(r"'^Failed \S+ for '")) == []


def test_every_code_has_a_case() -> None:
    told = {
        re.findall(r"LM\d{3}", line)[0] for cases in GROUPS.values() for _, lines in cases.values() for line in lines
    }
    assert told == set(rulelint.CODES)


SILENCED = [
    pytest.param(text, code, int(expected[0].split(":")[1]), id=str(case.id))
    for case in CASES
    for text, expected in [case.values]
    for code in re.findall(r"LM\d{3}", "".join(expected))[:1]
    if not rulelint.CODES[code].fatal and not code.startswith("LM7") and len(expected) == 1
]


@pytest.mark.parametrize(("text", "code", "line"), SILENCED)
def test_a_finding_that_may_be_silenced_is_by_a_comment_with_a_reason(text: str, code: str, line: int) -> None:
    lines = text.split("\n")
    # Above the rule in which it stands.
    at = max(number for number in range(line) if lines[number].startswith("  - "))
    lines.insert(at, f"  # logmetrics: ignore {code} weighed, and right here")
    left = {finding.code for finding in check.check([rulespec.parse_pack("\n".join(lines), "p.yml", "p")])}
    # What it had explained may show now: a test that fails.
    assert left <= {"LM604"} - {code}


def test_each_code_that_may_be_silenced_was() -> None:
    wanted = {code for code, about in rulelint.CODES.items() if not about.fatal and not code.startswith("LM7")}
    assert {str(case.values[1]) for case in SILENCED} == wanted


def test_there_are_enough_kinds_of_mistakes() -> None:
    assert sum(bool(lines) for cases in GROUPS.values() for _, lines in cases.values()) >= 100
