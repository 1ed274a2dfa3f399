"""What the tests of the rollout share: the fleet "rollout", plays on it as users run them, and what its hosts say."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import hosts
from fleet.fleets import FLEETS, Host

TOP = Path(__file__).resolve().parents[2]
ROLLOUT = FLEETS["rollout"]
ONE, TWO, THREE = (ROLLOUT.host(name) for name in ("one", "two", "three"))
TARGETS = [ONE, TWO, THREE]
HOST_SCRIPT = ("python3", "-I", "/opt/logmetrics/host/current/host")


@dataclass(frozen=True)
class Run:
    """How a play ended."""

    code: int
    text: str

    def lines(self, pattern: str) -> list[str]:
        """Distinct lines in which a pattern is found."""
        return sorted({line.strip() for line in self.text.splitlines() if re.search(pattern, line)})


INVENTORY = ("-i", "tests/rollout/inventory")


def command_on(inventory: tuple[str, ...], playbook: str, *arguments: str, **settings: object) -> list[str]:
    """The command line of a play on an inventory."""
    return ["ansible-playbook", *inventory, f"playbooks/{playbook}.yml", "-e", json.dumps(settings), *arguments]


def command(playbook: str, *arguments: str, **settings: object) -> list[str]:
    """The command line of a play on the fleet "rollout"."""
    return command_on(INVENTORY, playbook, *arguments, **settings)


def environment(**more: str) -> dict[str, str]:
    """The environment of a play: the project's ansible.cfg, plain text."""
    return dict(os.environ, ANSIBLE_CONFIG=str(TOP / "ansible.cfg"), ANSIBLE_FORCE_COLOR="0", **more)


def play_on(inventory: tuple[str, ...], playbook: str, *arguments: str, **settings: object) -> Run:
    """Run a playbook on an inventory, with these settings on top of it."""
    words = command_on(inventory, playbook, *arguments, **settings)
    done = subprocess.run(words, check=False, cwd=TOP, env=environment(), capture_output=True, text=True)
    return Run(done.returncode, done.stdout + done.stderr)


def play(playbook: str, *arguments: str, **settings: object) -> Run:
    """Run a playbook on the fleet "rollout"."""
    return play_on(INVENTORY, playbook, *arguments, **settings)


def site(*arguments: str, **settings: object) -> Run:
    """Run site.yml; an AssertionError with its output's end where it fails."""
    done = play("site", *arguments, **settings)
    assert done.code == 0, done.text[-6000:]
    return done


def state(host: Host) -> dict[str, Any]:
    """The host's state.json."""
    found: dict[str, Any] = json.loads(hosts.execute(host, "cat", "/opt/logmetrics/state.json"))
    return found


def point(host: Host) -> tuple[str | None, str | None]:
    """Release and rules in force."""
    now = state(host)
    return now["release"], now["rules"]


def processes(host: Host) -> str:
    """Main processes of the services and when they became active: equal texts, nothing restarted."""
    keys = "--property=Id,MainPID,ActiveState,ActiveEnterTimestampMonotonic"
    return hosts.execute(host, "systemctl", "show", keys, "loki", "telegraf")


def files(host: Host) -> str:
    """Sums, owners and modes of what is managed in /etc, and where the links point."""
    places = "/etc/loki /etc/telegraf /etc/logmetrics /etc/systemd/system"
    script = (
        f"find {places} -type f -exec stat -c '%n %U:%G %a' {{}} + -exec sha256sum {{}} + | sort; "
        "readlink /usr/local/bin/loki /usr/local/bin/telegraf /opt/logmetrics/*/current"
    )
    return hosts.execute(host, "sh", "-c", script)


def told(run: Run, host: Host) -> list[str]:
    """The lines that a run gave under `Change` for a host."""
    part = run.text.partition("TASK [logmetrics : Change]")[2].partition("\nTASK [")[0].partition("\nPLAY [")[0]
    block = re.search(rf"\[{host.name}\] => ?\n    msg:\n((?:    [- ].*\n)+)", part + "\n")
    text = re.sub(r"\n        +", " ", block.group(1)) if block else ""
    return [line.strip(" -'\"") for line in text.splitlines()]


def script(host: Host, verb: str, **wish: object) -> dict[str, Any]:
    """Call the host's own script as the plays do."""
    words = ["sh", "-c", f"{' '.join(HOST_SCRIPT)} {verb} || true"]
    found: dict[str, Any] = json.loads(hosts.execute(host, *words, stdin=json.dumps(wish)))
    return found


def works(host: Host, seconds: int = 90) -> str:
    """Send a probe line through the host and wait for its point; what does not work, empty where all does."""
    code = (
        "import json, sys; sys.path.insert(0, '/opt/logmetrics/host/current'); from host import prove, store; "
        "s = store.Store(); proof = s.manifest(s.load()['release'])['proof']; "
        f"print(prove.prove({{**proof, 'patience': {seconds}}}))"
    )
    return hosts.execute(host, "python3", "-c", code).strip()
