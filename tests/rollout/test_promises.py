"""What a run costs where nothing changes, how hard the units are, and that a secret stays one."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from fleet import hosts
from fleet.fleets import Host

from rollout.common import INVENTORY, TARGETS, TOP, environment, site, works

TASKS_MOST = 15
EXPOSURE_MOST = {"loki.service": 1.5, "telegraf.service": 2.0}  # of systemd-analyze security, 0 to 10
SECRET = "k3y-0f-H0sted-Gr4phite-5ecret"  # noqa: S105 - the test's own


def readable(host: Host, text: str) -> str:
    """Files that every user can read and lines of the journal in which a text is."""
    script = f"""
    find / -xdev -type f -perm /o=r -not -path '/proc/*' -exec grep -laF '{text}' {{}} + || true
    find /run /tmp -type f -perm /o=r -exec grep -laF '{text}' {{}} + || true
    journalctl --quiet --output=json | grep -F '{text}' || true
    """
    return hosts.execute(host, "sh", "-c", script)


def test_a_run_without_a_change_is_a_few_tasks_a_host_and_changes_nothing() -> None:
    site()
    done = site()
    for host in TARGETS:
        (line,) = done.lines(rf"^{host.name} +: ok=")
        counts = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
        assert counts["changed"] == counts["failed"] == counts["unreachable"] == 0
        assert counts["ok"] <= TASKS_MOST, line


@pytest.mark.parametrize("host", TARGETS, ids=lambda host: host.name)
def test_the_units_are_hardened_and_do_their_work(host: Host) -> None:
    for unit, most in EXPOSURE_MOST.items():
        said = hosts.execute(host, "systemd-analyze", "security", "--no-pager", unit)
        found = re.search(r"Overall exposure level for \S+ (\d+\.\d+)", said)
        assert found, said[-500:]
        assert float(found.group(1)) <= most, f"{unit}: {found.group(1)}"
    assert works(host) == ""


class Processes(threading.Thread):
    """Looks at the command lines of all processes, the hosts' too, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.looks = 0
        self.found: set[str] = set()

    def run(self) -> None:
        """See the class."""
        while not self.over.wait(0.1):
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if SECRET in words:
                    self.found.add(words)


def test_a_secret_is_in_no_output_process_list_report_journal_or_readable_file(tmp_path: Path) -> None:
    variables = tmp_path / "vault.json"
    mirror = "{{ logmetrics_graphite_host }}"  # nobody answers there, on TLS
    variables.write_text(
        json.dumps({"logmetrics_hosted_graphite_key": SECRET, "logmetrics_hosted_graphite_host": mirror})
    )
    words = ["ansible-playbook", *INVENTORY, "playbooks/site.yml", "--diff", "-vvv", "-e", f"@{variables}"]
    watch = Processes()
    watch.start()
    said = ""
    for more in (["--check"], [], ["-e", "logmetrics_outage_hours=23"]):
        done = subprocess.run(
            [*words, *more], cwd=TOP, env=environment(LOGMETRICS_REPORTS=str(tmp_path / "reports")),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:].replace(SECRET, "SECRET")
        said += done.stdout + done.stderr
    watch.over.set()
    watch.join()
    assert len(said) > 100_000
    places = [line[:200].replace(SECRET, "SECRET") for line in said.splitlines() if SECRET in line]
    assert places == []
    assert watch.looks > 10
    assert not watch.found
    reports = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert len(reports) >= 4
    assert [path for path in reports if SECRET in path.read_text()] == []
    for host in TARGETS:
        # It is there, where root alone can read it: else this would have searched for nothing.
        assert SECRET in hosts.execute(host, "cat", "/etc/logmetrics/telegraf.env")
        assert readable(host, SECRET) == ""
        planted = f"planted-{time.time_ns()}"  # the search would have found it
        hosts.execute(host, "sh", "-c", f"echo {planted} | tee /srv/planted | logger -t x; sleep 1")
        found = readable(host, planted)
        assert "/srv/planted\n" in found and "_TRANSPORT" in found
        hosts.execute(host, "rm", "/srv/planted")
    site()
