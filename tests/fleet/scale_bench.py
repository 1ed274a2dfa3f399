"""`make bench-scale`: what hosts cost the controller: playbooks/rules.yml on up to 1,000 hosts that are simulated.

The controller's part is the real one: inventory, variables, rules, plan, gate, report. A host's part is a program on
this machine that gives a real host's answer at once (scale/host), over the connection `local`; so what is measured is
the controller alone. With and without mitogen (strategy mitogen_linear), at two sizes, so that the slope can be seen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from fleet import proof
from fleet.cache import cache_dir, lock
from fleet.progress import FleetError, run_long, say

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).with_name("scale")
MITOGEN = "mitogen==0.3.54"
HEALTH: dict[str, dict[str, object]] = {
    "health": {
        "release": "d6046e5a5d48",
        "rules": "",
        "pending": None,
        "last": None,
        "proven": True,
        "lease": None,
        "versions": {},
        "drift": [],
        "units": {"loki.service": "active"},
        "parser": None,
        "faults": [],
    }
}


def mitogen() -> Path:
    """The folder of its strategy plugins, in the user's cache; installed where it is missing."""
    home = cache_dir() / MITOGEN.replace("==", "-")
    with lock("mitogen"):
        found = list(home.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"))
        if not found:
            venv.create(home, with_pip=True, clear=True)
            run_long([str(home / "bin" / "pip"), "install", "--quiet", MITOGEN], f"installing {MITOGEN}")
            found = list(home.glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"))
    if not found:
        raise FleetError(f"{home} holds no ansible_mitogen; remove it and run this again")
    return found[0]


def strategy(name: str) -> dict[str, str]:
    """Ansible's settings for a strategy."""
    if name == "linear":
        return {}
    plugins = mitogen()
    return {
        "ANSIBLE_STRATEGY_PLUGINS": str(plugins),
        "ANSIBLE_STRATEGY": name,
        "PYTHONPATH": f"{plugins.parents[2]}:{os.environ.get('PYTHONPATH', '')}",
    }


def inventory(folder: Path, count: int) -> Path:
    """So many hosts on this machine, all in the group that the playbooks play on."""
    names = {f"sim{number:04}": None for number in range(1, count + 1)}
    settings = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "logmetrics_graphite_host": "127.0.0.1",
    }
    path = folder / "hosts.json"
    path.write_text(json.dumps({"logmetrics": {"hosts": names, "vars": settings}}))
    return path


def measure(count: int, how: str, forks: int) -> dict[str, float]:
    """One run of rules.yml in which no host has anything to do: seconds, CPU seconds, peak memory of a process (MB)."""
    with tempfile.TemporaryDirectory(prefix="logmetrics-scale-") as scratch:
        folder = Path(scratch)
        program = folder / "host"
        program.write_text((HERE / "host").read_text())
        program.chmod(0o755)
        health = json.loads(json.dumps(HEALTH))
        health["health"]["rules"] = wanted(folder)
        (folder / "health.json").write_text(json.dumps(health))
        command = ["ansible-playbook", "-i", str(inventory(folder, count)), "playbooks/rules.yml", f"--forks={forks}"]
        command += ["-e", json.dumps({"__logmetrics_host_installed": [str(program)], "ansible_become": False})]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
            "LOGMETRICS_REPORTS": str(folder / "reports"),
            **strategy(how),
        }
        began = time.monotonic()
        with (folder / "output").open("w") as output:
            running = subprocess.Popen(command, cwd=TOP, env=environment, stdout=output, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(running.pid, 0)  # with all of its workers
        seconds = time.monotonic() - began
        told = (folder / "output").read_text()
        if status or f"{count} as wanted" not in told:
            raise FleetError(f"{how} on {count} hosts: status {status}: {told[-1500:]}")
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}


def wanted(folder: Path) -> str:
    """The hash of the default packs as the role compiles them."""
    from hashlib import sha256  # noqa: PLC0415 - here alone

    target = folder / "rules.json"
    command = [sys.executable, "-m", "logmetrics", "compile", "sshd", "sudo", "cron", "--output", str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return sha256(target.read_bytes()).hexdigest()[:12]


def main(arguments: list[str]) -> int:
    """Measure and write docs/proof/scale.md."""
    parser = argparse.ArgumentParser(prog="fleet.scale_bench", description=__doc__)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--forks", type=int, default=25)
    parser.add_argument("--dry", action="store_true", help="write no proof")
    options = parser.parse_args(arguments)
    sizes = [options.hosts // 10, options.hosts]
    rows = [
        "| strategy | hosts | seconds | CPU s | CPU ms a host | peak MB of a process |",
        "|---|---|---|---|---|---|",
    ]
    for how in ("linear", "mitogen_linear"):
        for count in sizes:
            found = measure(count, how, options.forks)
            say(f"{how}, {count} hosts: {found}")
            rows.append(
                f"| {how} | {count} | {found['seconds']:.0f} | {found['cpu']:.0f} | "
                f"{found['cpu'] / count * 1000:.0f} | {found['memory']:.0f} |"
            )
    text = f"rules.yml, nothing to do, {options.forks} forks, {os.cpu_count()} cores; hosts simulated ({MITOGEN}).\n\n"
    print("\n".join(rows))
    if not options.dry:
        proof.write("scale", f"make bench-scale HOSTS={options.hosts}", "measured", text + "\n".join(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"scale_bench: {problem}")
