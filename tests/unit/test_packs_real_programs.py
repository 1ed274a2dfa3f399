"""Lines that the real programs of Debian 11, 12 and 13 wrote count what they counted in `make proof-programs`.

That proof causes events on purpose and compares numbers; where all were equal it keeps one line of each shape, with
the metrics it counts for. A rule that reads one of them otherwise fails here within seconds.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from fleet import programs_report
from logmetrics.compile import DEFAULT_PACKS_DIR, document, read_packs
from logmetrics.rules import RuleSet
from logmetrics.rulespec import pack_names

HOSTS = ("deb11", "deb12", "deb13")
RULES = [rule for pack in read_packs(pack_names([DEFAULT_PACKS_DIR]), [DEFAULT_PACKS_DIR]) for rule in pack.rules]


def kept(host: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (programs_report.LINES / f"{host}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("host", HOSTS)
def test_each_line_counts_what_it_counted(host: str) -> None:
    ruleset = RuleSet.from_document(document(RULES), "packs")
    differing = {}
    for one in kept(host):
        source, line = str(one["source"]), str(one["line"])
        found = programs_report.hits(ruleset, source, line.encode())
        if found != one["counts"]:
            differing[line] = (found, one["counts"])
    assert differing == {}


@pytest.mark.parametrize("host", HOSTS)
def test_the_lines_are_of_many_programs(host: str) -> None:
    """Else nothing would be compared."""
    packs = Counter(str(metric).split(".")[1] for one in kept(host) for metric in one["counts"])
    web = {"nginx", "apache", "haproxy", "phpfpm"}
    stores = {"postgresql", "mariadb", "postfix", "dovecot"}
    machine = {"systemd", "timers", "time", "packages", "docker"}
    people = {"sshd", "sudo", "accounts", "cron", "fail2ban"}
    assert web | stores | machine | people <= set(packs)
