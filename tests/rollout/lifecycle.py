"""`make lifecycle`: what a host goes through in its life, on Debian 11, 12 and 13; writes docs/proof/lifecycle.md.

    python3 -m rollout.lifecycle

Each step is a run on all three hosts. Before it, check mode says what will change; the run must then change exactly
that, end with exit 0, and leave a host that works by function. At the end the role is removed, and the file system is
held against what it was before the first step.
"""

from __future__ import annotations

import json
import sys
import time

from fleet import hosts, proof
from fleet.fleets import FLEETS, Host
from fleet.progress import say

from rollout import common

LIFECYCLE = FLEETS["lifecycle"]
HOSTS = [LIFECYCLE.host(name) for name in ("deb11", "deb12", "deb13")]
PICTURE = (common.TOP / "molecule/default/files/picture.py").read_text()
OLD: dict[str, object] = {"logmetrics_loki_version": "2.9.3", "logmetrics_telegraf_version": "1.37.2"}
PACKS = {"logmetrics_rule_packs": ["sshd", "sudo", "cron", "kernel"]}
CONFIG = {"logmetrics_outage_hours": 23, "logmetrics_loki_log_level": "error"}
TELEGRAF = {"logmetrics_telegraf_version": "1.37.2"}
# Step, settings, and what must restart (None: whatever does).
STEPS: list[tuple[str, dict[str, object], set[str] | None]] = [
    ("install, Loki 2.9.3 and Telegraf 1.37.2", OLD, {"loki.service", "telegraf.service"}),
    ("no change", OLD, set()),
    ("upgrade, Loki 3.7.8 and Telegraf 1.39.3", {}, {"loki.service", "telegraf.service"}),
    ("configuration only", CONFIG, {"loki.service", "telegraf.service"}),
    ("rules only", {**CONFIG, **PACKS}, set()),
    (
        "binary only, Telegraf 1.37.2",
        {**CONFIG, **PACKS, **TELEGRAF},
        {"telegraf.service"},
    ),
    ("downgrade, Loki 2.9.3", OLD, None),
    ("upgrade again", {}, None),
]


def inventory() -> str:
    """An inventory of these hosts, beside the fleet's keys."""
    home = LIFECYCLE.home
    common_args = f"-o UserKnownHostsFile={home}/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    every = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": f"{home}/id_ed25519",
        "ansible_ssh_common_args": common_args,
        "ansible_control_path": f"{LIFECYCLE.control_dir}/%%h",
        "logmetrics_mirror": LIFECYCLE.mirror_url,
        "logmetrics_interval": 10,
        "logmetrics_exec_timeout": 8,
        "logmetrics_batches": ["100%"],
        "logmetrics_graphite_host": LIFECYCLE.host("mirror").address,
    }
    group = {"hosts": {host.name: {"ansible_host": host.address} for host in HOSTS}, "vars": every}
    path = home / "inventory.json"
    path.write_text(json.dumps({"all": {"children": {"logmetrics": group}}}))
    return str(path)


def changes(run: common.Run) -> dict[str, list[str]]:
    """What a run said would change, host by host."""
    return {host.name: common.told(run, host) for host in HOSTS}


def restarted(before: str, after: str) -> set[str]:
    """Units whose main process is another one."""

    def pids(text: str) -> dict[str, str]:
        blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
        return {block["Id"]: block["MainPID"] for block in blocks}

    old, new = pids(before), pids(after)
    return {unit for unit in new if new[unit] != old.get(unit)}


def picture(host: Host) -> str:
    """The host's file system and units, without what the account tools copy aside."""
    lines = hosts.execute(host, "python3", "-", stdin=PICTURE).splitlines()
    copies = tuple(f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"))
    return "\n".join(line for line in lines if not line.startswith(copies))


def step(settings: dict[str, object], must: set[str] | None, inventory_path: str) -> tuple[dict[str, str], float]:
    """One step; host -> verdict, and the seconds that the run took."""
    where = ("-i", inventory_path)
    check = common.play_on(where, "site", "--check", **settings)
    before = {host.name: common.processes(host) for host in HOSTS}
    began = time.monotonic()
    run = common.play_on(where, "site", **settings)
    took = time.monotonic() - began
    verdicts = {}
    for host in HOSTS:
        told, done = changes(check)[host.name], changes(run)[host.name]
        moved = restarted(before[host.name], common.processes(host))
        if check.code or run.code:
            verdicts[host.name] = f"exit {check.code} in check mode, {run.code} for real"
            say(run.text[-3000:])
        elif told != done:
            verdicts[host.name] = f"check mode told {told}, the run {done}"
        elif must is not None and moved != must:
            verdicts[host.name] = f"restarted: {', '.join(sorted(moved)) or 'nothing'}"
        else:
            verdicts[host.name] = common.works(host) or "ok"
    return verdicts, took


def main() -> int:
    """Run all steps; 0 only where every one is well on every host."""
    hosts.up(LIFECYCLE)
    where = inventory()
    common.play_on(("-i", where), "remove", "-e", "logmetrics_purge=true")
    virgin = {host.name: picture(host) for host in HOSTS}
    rows = []
    for name, settings, must in STEPS:
        verdicts, took = step(settings, must, where)
        rows.append((name, verdicts, took))
        say(f"{name}: {verdicts} ({took:.0f} s)")
    points = {host.name: common.point(host) for host in HOSTS}
    began = time.monotonic()
    back = common.play_on(("-i", where), "rollback", "-e", "what=release")
    verdicts = {
        host.name: common.works(host)
        or ("ok" if not back.code and common.point(host) != points[host.name] else "not back")
        for host in HOSTS
    }
    rows.append(("rollback, release", verdicts, time.monotonic() - began))
    began = time.monotonic()
    gone = common.play_on(("-i", where), "remove", "-e", "logmetrics_purge=true")
    verdicts = {}
    for host in HOSTS:
        left = sorted(set(picture(host).splitlines()) ^ set(virgin[host.name].splitlines()))
        verdicts[host.name] = "ok" if not gone.code and not left else f"exit {gone.code}; differs: {left[:6]}"
    rows.append(("remove and purge: the file system is what it was", verdicts, time.monotonic() - began))
    verdicts, took = step({}, {"loki.service", "telegraf.service"}, where)
    rows.append(("install again", verdicts, took))
    good = all(verdict == "ok" for _, verdicts, _ in rows for verdict in verdicts.values())
    head = "| step | " + " | ".join(f"{host.name}" for host in HOSTS) + " | s |\n|---|---|---|---|---|\n"
    table = head + "\n".join(
        f"| {name} | {' | '.join(verdicts[host.name] for host in HOSTS)} | {took:.0f} |"
        for name, verdicts, took in rows
    )
    print(table)
    text = f"{table}\n\nBefore every step check mode told the same changes as the run then made.\n"
    proof.write("lifecycle", "make lifecycle", "all well" if good else "NOT all well", text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
