"""`make lifecycle`: what a host goes through in its life, on Debian 11, 12 and 13; writes docs/proof/lifecycle.md.

    python3 -m rollout.lifecycle

Each step is a run on all three hosts, once from each controller (rollout/controllers.py). Before it, check mode says
what will change; the run must then change exactly that, end with exit 0, and leave a host that works by function. At
the end the role is removed, and the file system is held against what it was before the first step.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

from fleet import hosts, proof
from fleet.fleets import FLEETS, Host
from fleet.progress import say

from rollout import common
from rollout.controllers import Controller, controllers

LIFECYCLE = FLEETS["lifecycle"]
HOSTS = [LIFECYCLE.host(name) for name in ("deb11", "deb12", "deb13")]
PICTURE = (common.TOP / "molecule/default/files/picture.py").read_text()
OLD: dict[str, object] = {"logmetrics_loki_version": "2.9.3", "logmetrics_telegraf_version": "1.37.2"}
PACKS = {"logmetrics_rule_packs": ["sshd", "sudo", "cron", "kernel"]}
CONFIG = {"logmetrics_outage_hours": 23, "logmetrics_loki_log_level": "error"}
TELEGRAF = {"logmetrics_telegraf_version": "1.37.2"}
BOTH = {"loki.service", "telegraf.service"}
# Step, settings, and what must restart.
STEPS: list[tuple[str, dict[str, object], set[str]]] = [
    ("install, Loki 2.9.3 and Telegraf 1.37.2", OLD, BOTH),
    ("no change", OLD, set()),
    ("upgrade, Loki 3.7.8 and Telegraf 1.39.3", {}, BOTH),
    ("configuration only", CONFIG, BOTH),
    ("rules only", {**CONFIG, **PACKS}, set()),
    (
        "binary only, Telegraf 1.37.2",
        {**CONFIG, **PACKS, **TELEGRAF},
        {"telegraf.service"},
    ),
    ("downgrade, Loki 2.9.3", OLD, BOTH),
    ("upgrade again", {}, BOTH),
]
# What remove.yml leaves where nothing is purged: data, and the accounts that own it.
KEPT = (
    *("/var/lib/loki", "/var/lib/logmetrics", "/var/lib/telegraf"),
    *(f"/etc/{name} " for name in ("passwd", "group", "shadow", "gshadow")),
)


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


def step(settings: dict[str, object], must: set[str], inventory_path: str) -> tuple[dict[str, str], float]:
    """One step; host -> verdict, and the seconds that the run took."""
    where = ("-i", inventory_path)
    check = common.play_on(where, "site", "--check", "--diff", **settings)
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
        elif moved != must:
            verdicts[host.name] = f"restarted: {', '.join(sorted(moved)) or 'nothing'}"
        else:
            verdicts[host.name] = common.works(host) or "ok"
    return verdicts, took


def back(where: str) -> dict[str, str]:
    """rollback.yml goes to the release before, which works."""
    points = {host.name: common.point(host) for host in HOSTS}
    run = common.play_on(("-i", where), "rollback", "-e", "what=release")
    if run.code:
        say(run.text[-3000:])
        return {host.name: f"exit {run.code}" for host in HOSTS}
    return {
        host.name: "not back" if common.point(host) == points[host.name] else common.works(host) or "ok"
        for host in HOSTS
    }


def removed(where: str, virgin: dict[str, str], kept: tuple[str, ...]) -> dict[str, str]:
    """remove.yml, purging where nothing is to be kept; what is left beyond that is told."""
    run = common.play_on(("-i", where), "remove", logmetrics_purge=not kept)
    if run.code:
        say(run.text[-3000:])
    verdicts = {}
    for host in HOSTS:
        left = sorted(set(picture(host).splitlines()) ^ set(virgin[host.name].splitlines()))
        left = [line for line in left if not (kept and line.startswith(kept))]
        verdicts[host.name] = f"exit {run.code}; differs: {left[:6]}" if run.code or left else "ok"
    return verdicts


def life(controller: Controller, where: str) -> list[tuple[str, dict[str, str], float]]:
    """All steps from one controller, on hosts that have none of it: (step, host -> verdict, seconds)."""
    os.environ["PATH"] = f"{controller.bin}:{os.environ['PATH']}"
    common.play_on(("-i", where), "remove", logmetrics_purge=True)
    virgin = {host.name: picture(host) for host in HOSTS}
    rows = []

    def note(name: str, verdicts: dict[str, str], took: float) -> None:
        rows.append((name, verdicts, took))
        say(f"ansible-core {controller.version}: {name}: {verdicts} ({took:.0f} s)")

    def timed(name: str, begin: Callable[[], dict[str, str]]) -> None:
        began = time.monotonic()
        note(name, begin(), time.monotonic() - began)

    for name, settings, must in STEPS:
        note(name, *step(settings, must, where))
    timed("rollback, release", lambda: back(where))
    timed("remove: data and its owners stay, nothing else", lambda: removed(where, virgin, KEPT))
    note("install again, on the kept data", *step({}, BOTH, where))
    timed("remove and purge: the file system is what it was", lambda: removed(where, virgin, ()))
    return rows


def main() -> int:
    """Run all steps from all controllers; 0 only where every one is well on every host."""
    hosts.up(LIFECYCLE)
    where = inventory()
    lives = {controller.version: life(controller, where) for controller in controllers()}
    good = all(verdict == "ok" for rows in lives.values() for _, verdicts, _ in rows for verdict in verdicts.values())
    columns = [(version, host.name) for version in lives for host in HOSTS]
    lines = [
        "| step | " + " | ".join(f"{name}, ansible-core {version}" for version, name in columns) + " | s |",
        "|---|" + "---|" * (len(columns) + 1),
    ]
    for rows in zip(*lives.values(), strict=True):
        cells = [verdicts[host.name] for _, verdicts, _ in rows for host in HOSTS]
        took = " / ".join(f"{seconds:.0f}" for _, _, seconds in rows)
        lines.append(f"| {rows[0][0]} | {' | '.join(cells)} | {took} |")
    table = "\n".join(lines)
    print(table)
    text = (
        f"{table}\n\nThe hosts are Debian 11, 12 and 13. In every step of site.yml, `--check` told the same changes as "
        "the run then made,\nthe services that the step concerns restarted and no other, and a probe line's point came "
        "out of Telegraf afterwards.\n"
    )
    proof.write("lifecycle", "make lifecycle", "all well" if good else "NOT all well", text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
