"""Wrong input stops in the preflight: one line that says what, where and what to do, and no host is changed.

Real hosts: the fleet "test" is started by the run (tools/test) before and removed after it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet import hosts
from fleet.fleets import FLEETS, Host

TOP = Path(__file__).resolve().parents[2]
TEST = FLEETS["test"]
TARGETS = [TEST.host(name) for name in ("trixie", "bookworm", "bookworm-journal")]
MARKER = "/run/logmetrics-test-marker"
# What a look at a host may leave: Ansible's folder for modules, the logs of the login itself, systemd's own records.
LEFT_OUT = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/log", "/root/.ansible", "/var/lib/systemd"]  # noqa: S108 - left out
ZEROS = "0" * 64


def changed_files(host: Host) -> list[str]:
    """Files and directories whose inode has changed since the marker was set (find(1): -cnewer)."""
    prune = " -o ".join(f"-path {path}" for path in LEFT_OUT)
    found = hosts.execute(host, "sh", "-c", rf"find / -xdev \( {prune} \) -prune -o -cnewer {MARKER} -print")
    # A login touches the home directory's own entry when Ansible makes its folder there for the first time.
    return [path for path in found.splitlines() if path not in ("/", "/root")]


def play(**settings: object) -> subprocess.CompletedProcess[str]:
    """Run site.yml on the test fleet with these settings on top of its inventory's."""
    extra = {"logmetrics_mirror": TEST.mirror_url, **settings}
    command = ["ansible-playbook", "-i", "molecule/default/inventory", "playbooks/site.yml", "-e", json.dumps(extra)]
    environment = dict(os.environ, ANSIBLE_CONFIG=str(TOP / "ansible.cfg"), ANSIBLE_FORCE_COLOR="0")
    return subprocess.run(command, check=False, cwd=TOP, env=environment, capture_output=True, text=True)


def lines_that_match(text: str, pattern: str) -> list[str]:
    """The distinct lines of the output in which the pattern is found."""
    return sorted({line.strip() for line in text.splitlines() if re.search(pattern, line)})


def assert_refused(pattern: str, **settings: object) -> None:
    """The run fails, says it in a line that matches, and no host has a changed file."""
    for host in TARGETS:
        hosts.execute(host, "touch", MARKER)
    done = play(**settings)
    assert done.returncode != 0, done.stdout[-3000:]
    assert lines_that_match(done.stdout + done.stderr, pattern), done.stdout[-3000:] + done.stderr[-1000:]
    assert "Traceback" not in done.stdout + done.stderr
    assert {host.name: changed_files(host) for host in TARGETS} == {host.name: [] for host in TARGETS}


@contextmanager
def unit(host: Host, name: str, *command: str) -> Iterator[None]:
    """A program that runs on a host for a while, as a transient unit."""
    hosts.execute(host, "systemd-run", "--quiet", f"--unit={name}", *command)
    try:
        yield
    finally:
        hosts.execute(host, "systemctl", "stop", name)


def test_wrong_sha256() -> None:
    assert_refused(
        r"telegraf-[\d.]+_linux_\w+\.tar\.gz.*sha256.*logmetrics_checksums",
        logmetrics_checksums={"telegraf-1.39.3_linux_amd64.tar.gz": ZEROS, "telegraf-1.39.3_linux_arm64.tar.gz": ZEROS},
    )


def test_an_artifact_that_is_not_the_locked_one(tmp_path: Path) -> None:
    lock = tmp_path / "lock.yml"
    lock.write_text(json.dumps({"loki": {"3.7.8": {"amd64": ZEROS, "arm64": ZEROS}}, "telegraf": {}}))
    assert_refused(
        r"loki-linux-\w+\.zip: its sha256 is [0-9a-f]{64}, not 0{64}; check .*logmetrics_lock",
        logmetrics_lock=str(lock),
    )


def test_a_lock_that_cannot_be_read() -> None:
    assert_refused(r"/nowhere/lock\.yml: cannot be read.*logmetrics_lock", logmetrics_lock="/nowhere/lock.yml")


def test_unreachable_mirror() -> None:
    nobody = TEST.subnet.rsplit(".", 1)[0] + ".99:8080"
    assert_refused(rf"http://{nobody}.*logmetrics_mirror", logmetrics_mirror=f"http://{nobody}")


def test_port_in_use() -> None:
    with unit(TEST.host("trixie"), "squatter", "python3", "-m", "http.server", "--bind", "127.0.0.1", "3100"):
        assert_refused(r"trixie.*port 3100 is in use by .*logmetrics_loki_port")


def test_no_log_source() -> None:
    assert_refused(r"/var/log/nothing\.log.*logmetrics_sources", logmetrics_sources=["/var/log/nothing.log"])


def test_unknown_architecture() -> None:
    """The kernel tells everything that sshd starts that this is an i686 (systemd.exec(5), Personality=)."""
    host = TEST.host("bookworm")
    drop_in = "/run/systemd/system/ssh.service.d/personality.conf"
    hosts.execute(host, "mkdir", "-p", str(Path(drop_in).parent))
    hosts.execute(host, "tee", drop_in, stdin="[Service]\nPersonality=x86\n")
    restart = "systemctl daemon-reload && systemctl restart ssh"
    hosts.execute(host, "sh", "-c", restart)
    hosts.close_connections(TEST)
    try:
        assert_refused(r"bookworm.*architecture i686")
    finally:
        hosts.execute(host, "sh", "-c", f"rm {drop_in} && {restart}")
        hosts.close_connections(TEST)


@pytest.mark.parametrize(("name", "meant"), [("logmetrics_intervall", "logmetrics_interval"), ("logmetrics_packs", "")])
def test_misspelt_variable(name: str, meant: str) -> None:
    assert_refused(rf"{name}\b.*{meant}", **{name: 30})


@pytest.mark.parametrize("interval", [7, 7200])
def test_interval_that_does_not_fit(interval: int) -> None:
    assert_refused(rf"logmetrics_interval {interval} does not fit.*3600", logmetrics_interval=interval)


def test_wrong_type() -> None:
    assert_refused(r"logmetrics_interval.*", logmetrics_interval="often")


def test_nowhere_to_send() -> None:
    assert_refused(
        r"the numbers go nowhere.*logmetrics_graphite_host",
        logmetrics_graphite_host="",
        logmetrics_hosted_graphite_key="",
        logmetrics_outputs=[],
    )


def test_one_unreachable_host_stops_all() -> None:
    host = TEST.host("bookworm-journal")
    hosts.execute(host, "systemctl", "stop", "ssh")
    hosts.close_connections(TEST)
    try:
        assert_refused(r"bookworm-journal.*unreachable")
    finally:
        hosts.execute(host, "systemctl", "start", "ssh")
