"""What stood in a place before the role took it: kept once, put back when the role goes.

/opt/logmetrics/before/index.json: path -> {kind: absent, file or link; uid, gid, mode; target; kept: file in before/},
and units -> whether they were enabled and active.
"""

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Dict, Iterable

from . import disk, units
from .store import Store

# First line of what the role writes, and the parser's folder, which its entry point names.
OURS = (b"Written by Ansible, changes here are lost. Role logmetrics", b"/opt/logmetrics/parser/current")


def folder(store: Store) -> Path:
    """Where it is kept."""
    return store.root / "before"


def load(store: Store) -> Dict[str, Any]:
    """The index; an empty one where nothing was kept yet."""
    try:
        found: Dict[str, Any] = json.loads((folder(store) / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"paths": {}, "units": {}}
    return found


def keep(store: Store, paths: Iterable[str], services: Iterable[str]) -> None:
    """Note what stands in these places, of those that were not noted before."""
    index = load(store)
    paths = [path for path in paths if path not in index["paths"]]
    services = [unit for unit in services if unit not in index["units"]]
    if not paths and not services:
        return
    store.make(folder(store), 0o700)
    for path in paths:
        index["paths"][path] = describe(store, Path(path))
    for unit in services:
        index["units"][unit] = units.state(unit)
    disk.write(folder(store) / "index.json", (json.dumps(index, indent=1) + "\n").encode())


def describe(store: Store, path: Path) -> Dict[str, Any]:
    """One place; a file's content goes into the folder."""
    try:
        status = path.lstat()
    except OSError:
        return {"kind": "absent"}
    found = {"uid": status.st_uid, "gid": status.st_gid, "mode": stat.S_IMODE(status.st_mode)}
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(str(path))
        return {"kind": "absent"} if target.startswith(str(store.root)) else {**found, "kind": "link", "target": target}
    if not stat.S_ISREG(status.st_mode):
        return {"kind": "absent"}
    data = path.read_bytes()
    if any(mark in data[:4096] for mark in OURS):
        return {"kind": "absent"}
    kept = disk.sha256(str(path).encode())[:16]
    disk.write(folder(store) / kept, data)
    return {**found, "kind": "file", "kept": kept}


def put_back(store: Store, path: str, index: Dict[str, Any]) -> bool:
    """Make one place what it was; whether something changed."""
    was = index["paths"].get(path, {"kind": "absent"})
    place = Path(path)
    if was["kind"] == "file":
        data = (folder(store) / was["kept"]).read_bytes()
        with contextlib.suppress(OSError):
            if not place.is_symlink() and place.read_bytes() == data:
                return False
        disk.write(place, data, was["mode"], was["uid"], was["gid"])
    elif was["kind"] == "link":
        if disk.target_of(place) == was["target"]:
            return False
        disk.link(place, was["target"])
    else:
        return disk.clear(place)
    return True
