"""An operator at the controller: runs the project's playbooks on a fleet, and counts what goes over the wire.

Every remote execution is an ssh or sftp that Ansible starts; a wrapper in their place notes each (file `calls`), but
for those that only ask about the shared connection (ssh -O).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet import hosts, processes
from fleet.fleets import Fleet, Host
from fleet.progress import FleetError

TOP = Path(__file__).resolve().parents[2]
WRAPPER = """#!/bin/sh
case " $* " in *" -O "*) exec {real} "$@" ;; esac
for word in "$@"; do
    case $word in {subnet}*|root@{subnet}*|*[[]{subnet}*) echo "{name} ${{word##*[@[]}}" >> {calls}; break ;; esac
done
exec {real} "$@"
"""


@dataclass
class Ended:
    """A run that has ended: exit code, everything it printed, its report, remote executions by host."""

    code: int
    output: str
    report: dict[str, Any] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Operator:
    """Plays with one inventory made for a fleet; `home` is a folder of the caller's for its files."""

    def __init__(self, fleet: Fleet, home: Path, settings: Mapping[str, object], groups: Mapping[str, Any]) -> None:
        """`settings`: variables of all hosts. `groups`: name -> {hosts: names, vars: its variables}."""
        self.fleet = fleet
        self.home = home
        self.targets = [host for host in fleet.hosts if not host.overlay]
        self.settings = dict(settings)
        self.groups = dict(groups)
        self.host_settings: dict[str, dict[str, object]] = {}
        home.mkdir(parents=True, exist_ok=True)
        self.calls = home / "calls"
        for name in ("ssh", "sftp", "scp"):
            text = WRAPPER.format(
                real=shutil.which(name), name=name, calls=self.calls, subnet=fleet.subnet.rsplit(".", 1)[0] + "."
            )
            (home / name).write_text(text)
            (home / name).chmod(0o755)

    def inventory(self) -> Path:
        """Written anew for each run, so that settings may change between two."""
        fleet = self.fleet
        everyone: dict[str, object] = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": str(fleet.home / "id_ed25519"),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={fleet.home / 'known_hosts'} "
            "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
            "ansible_control_path": f"{self.home}/%%h",  # its own, so that two may play on one fleet
            "logmetrics_mirror": fleet.mirror_url,
            "logmetrics_lock": "",
            **self.settings,
        }
        members = {
            host.name: {"ansible_host": host.address, **self.host_settings.get(host.name, {})} for host in self.targets
        }
        children = {
            name: {"hosts": dict.fromkeys(group["hosts"]), "vars": group.get("vars", {})}
            for name, group in self.groups.items()
        }
        path = self.home / "hosts.json"
        path.write_text(
            json.dumps({"logmetrics": {"hosts": members, "vars": everyone, "children": children}}, indent=1)
        )
        return path

    def environment(self) -> dict[str, str]:
        """Ansible's, with the wrappers in place of ssh and sftp."""
        return dict(
            os.environ,
            ANSIBLE_CONFIG=str(TOP / "ansible.cfg"),
            ANSIBLE_FORCE_COLOR="0",
            ANSIBLE_SSH_EXECUTABLE=str(self.home / "ssh"),
            ANSIBLE_SFTP_EXECUTABLE=str(self.home / "sftp"),
            ANSIBLE_SCP_EXECUTABLE=str(self.home / "scp"),
            LOGMETRICS_REPORTS=str(self.home / "reports"),
        )

    def command(self, playbook: str, *words: str) -> list[str]:
        """The command line of a run."""
        return ["ansible-playbook", "-i", str(self.inventory()), f"playbooks/{playbook}.yml", *words]

    def play(self, playbook: str, *words: str, extra: Mapping[str, str] | None = None) -> Ended:
        """A whole run, whatever its end. `extra`: further environment."""
        self.calls.unlink(missing_ok=True)
        line = self.command(playbook, *words)
        environment = {**self.environment(), **(extra or {})}
        done = subprocess.run(line, check=False, cwd=TOP, env=environment, capture_output=True, text=True)
        (self.home / "output").write_text(done.stdout + done.stderr)
        report = self.last_report()
        return Ended(done.returncode, done.stdout + done.stderr, report, self.counted(), report.get("seconds", 0.0))

    def start(self, playbook: str, *words: str) -> subprocess.Popen[bytes]:
        """A run that goes on by itself, in a process group of its own; its output is in the file `output`."""
        self.calls.unlink(missing_ok=True)
        with (self.home / "output").open("wb") as output:
            return subprocess.Popen(
                self.command(playbook, *words),
                cwd=TOP,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @staticmethod
    def kill(running: subprocess.Popen[bytes]) -> None:
        """The controller is gone: the play and its workers, at once."""
        processes.kill(running.pid)
        running.wait()

    def good(self, playbook: str, *words: str) -> Ended:
        """A run that must come to a good end; FleetError with its last lines where it does not."""
        ended = self.play(playbook, *words)
        if ended.code:
            raise FleetError(f"{playbook}.yml: exit {ended.code}:\n{ended.output[-3000:]}")
        return ended

    def last_report(self) -> dict[str, Any]:
        """The newest report.json."""
        found = sorted((self.home / "reports").glob("*/report.json"), key=lambda path: path.stat().st_mtime_ns)
        return dict(json.loads(found[-1].read_text())) if found else {}

    def counted(self) -> Counter[str]:
        """Remote executions by host so far in this run."""
        names = {host.address: host.name for host in self.targets}
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return Counter(names[line.split()[1]] for line in lines if line.split()[1] in names)


def wire_bytes(host: Host) -> int:
    """What has gone over the host's network interface so far, both ways."""
    names = [f"/sys/class/net/eth0/statistics/{way}_bytes" for way in ("rx", "tx")]
    return sum(map(int, hosts.execute(host, "cat", *names).split()))


def on_all(targets: Sequence[Host], *words: str) -> dict[str, str]:
    """A command on some hosts at once; what each printed."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - the fleet's hosts.up has its own

    with ThreadPoolExecutor(8) as pool:
        return dict(zip([h.name for h in targets], pool.map(lambda h: hosts.execute(h, *words), targets), strict=True))
