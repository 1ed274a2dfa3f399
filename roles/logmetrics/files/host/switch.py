"""Make a host's managed places those of a point: files, links, the rule set; what another point had goes away."""

import grp
import pwd
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

from . import before, disk, look, units
from .differences import differs
from .store import Fault, Point, Store


def owner_of(item: Dict[str, Any]) -> "tuple[int, int]":
    """uid and gid of an item. Raises Fault where the host has no such account."""
    try:
        return pwd.getpwnam(item["owner"]).pw_uid, grp.getgrnam(item["group"]).gr_gid
    except KeyError as error:
        raise Fault(f"{item['path']}: {str(error).strip(chr(34))}; run site.yml") from None


def places(manifest: Dict[str, Any]) -> List[str]:
    """Paths that a release manages."""
    rules = [manifest["rules"]] if manifest["rules"] else []
    return [item["path"] for item in manifest["files"] + manifest["links"] + rules]


def switch(store: Store, new: Point, others: List[Optional[str]]) -> List[str]:
    """Put the point's files and links in place, and what was there before where only `others` had something.

    Returns what changed. Raises Fault or OSError. Doing it again after a cut does what is left to do.
    """
    manifest = store.manifest(new["release"])
    changed = []
    for one in [new["release"], *others]:
        for path in places(store.manifest(one)):
            disk.clear(disk.beside(Path(path)))
    for item in manifest["files"]:
        changed += put_file(item, store.content(str(new["release"]), item["path"]))
    changed += switch_rules(store, new)
    for item in manifest["links"]:
        if disk.target_of(Path(item["path"])) != item["target"]:
            disk.link(Path(item["path"]), item["target"])
            changed.append(f"link {item['path']}")
    index = before.load(store)
    # The host's own part stays until the role's folder is deleted: without it nobody could go back, or remove, again.
    mine = {*places(manifest), str(store.root / "host" / "current")}
    for other in others:
        for path in places(store.manifest(other)):
            if path not in mine and before.put_back(store, path, index):
                changed.append(f"restored {path}")
    return changed


def switch_rules(store: Store, new: Point) -> List[str]:
    """Put the point's rule set in its place; what changed."""
    item = store.manifest(new["release"])["rules"]
    if not item or not new["rules"]:
        return []
    data = store.rules(new["rules"])
    return put_file({**item, "sha256": disk.sha256(data)}, data)


def put_file(item: Dict[str, Any], data: bytes) -> List[str]:
    """Write a managed file where it differs."""
    if disk.sha256(data) != item["sha256"]:
        raise Fault(f"the release's copy of {item['path']} is damaged; run site.yml")
    path = Path(item["path"])
    if not differs(item, look.look_at_path(path), "file"):
        return []
    uid, gid = owner_of(item)
    disk.write(path, data, int(item["mode"], 8), uid, gid)
    return [f"file {item['path']}"]


def begin(store: Store, new: Point) -> List[str]:
    """Run the release's first command where what it creates is not there; Fault with its words where it fails."""
    first = store.manifest(new["release"]).get("begin")
    if not first or Path(first["creates"]).exists():
        return []
    done = subprocess.run(
        first["command"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip().splitlines()
        raise Fault(f"{' '.join(first['command'])}: {said[-1] if said else f'exit {done.returncode}'}")
    return [f"began {first['creates']}"]


def leaving(store: Store, new: Point, others: List[Optional[str]]) -> List[str]:
    """Units that other points had and the new one has not."""
    wanted = {service["unit"] for service in store.manifest(new["release"])["services"]}
    return sorted({s["unit"] for other in others for s in store.manifest(other)["services"]} - wanted)


def stop_units(store: Store, names: List[str]) -> List[str]:
    """Stop and disable units while their files are still there; those that were there before the role go on later."""
    was = before.load(store)["units"]
    gone = [name for name in names if not was.get(name, {}).get("there")]
    units.take_down(gone)
    return [f"stop {name}" for name in gone]


def run_units(store: Store, new: Point, names: List[str], changed: List[str]) -> List[str]:
    """Let systemd and the processes follow the switched files; what was restarted. `names`: units that leave."""
    services = store.manifest(new["release"])["services"]
    units.reload_if_needed([service["unit"] for service in services], any("/etc/systemd/" in line for line in changed))
    was = before.load(store)["units"]
    done = []
    for name in names:
        old = was.get(name, {})
        if old.get("there"):
            units.systemctl("enable" if old["enabled"] else "disable", name)
            units.systemctl("restart" if old["active"] else "stop", name)
            done.append(f"restored {name}")
    restarted = units.bring_up(services)
    return done + [f"restart {unit}: {'; '.join(why)}" for unit, why in restarted.items()]
