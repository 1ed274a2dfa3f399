"""Take over what somebody set up before: the log parser's exec in Telegraf's own files, a Loki with its data.

Nothing is deleted. Lines of Telegraf's files are commented out, a Loki is flushed and stopped, its chunks (with them
its index) are copied. What was done is noted in before/index.json and undone when the role goes.
"""

import contextlib
import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List

from . import before, disk, look, units
from .store import Fault, Store

MARK = "#logmetrics# "
STOPS = 120.0  # s that a Loki is given to stop; it writes what it holds


def take(store: Store, wish: Dict[str, Any], data: Path = Path("/var/lib/loki")) -> List[str]:
    """What changed; Fault or OSError. `wish`: execs (Telegraf's files), loki {pid, unit, port, chunks} or None."""
    index = before.load(store)
    noted = index.setdefault("adopted", {"execs": [], "loki": None})
    changed = []
    for path in wish["execs"]:
        noted["execs"] = sorted({*noted["execs"], path})
        save(store, index)
        if comment_out(Path(path)):
            changed.append(f"adopt {path}")
    loki = wish["loki"]
    if loki:
        if loki["pid"] and not loki["unit"]:
            noted["loki"] = started_by_hand(int(loki["pid"])) or noted["loki"]
            save(store, index)
        stop(loki)
        if loki["chunks"] and copy_data(Path(loki["chunks"]), data):
            changed.append(f"adopt {loki['chunks']}")
    return changed


def save(store: Store, index: Dict[str, Any]) -> None:
    """Keep the index."""
    store.make(before.folder(store), 0o700)
    disk.write(before.folder(store) / "index.json", (json.dumps(index, indent=1) + "\n").encode())


def rewrite(path: Path, text: str) -> bool:
    """Write a file of somebody else's anew, its owner and mode kept; whether it changed."""
    if text == path.read_text(encoding="utf-8"):
        return False
    status = path.stat()
    disk.write(path, text.encode(), status.st_mode & 0o7777, status.st_uid, status.st_gid)
    return True


def comment_out(path: Path) -> bool:
    """Comment out the blocks that run the parser; whether there was one."""
    out = []
    for block in look.toml_blocks(path.read_text(encoding="utf-8")):
        out += [MARK + line if look.runs_parser(block) else line for line in block]
    return rewrite(path, "".join(out))


def comment_in(path: Path) -> bool:
    """Undo it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return rewrite(path, "".join(line[len(MARK) :] if line.startswith(MARK) else line for line in lines))


def started_by_hand(pid: int) -> Dict[str, Any]:
    """How a process was started, so that it can be again; empty where it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return {"command": [os.fsdecode(word) for word in words], "cwd": os.readlink(f"/proc/{pid}/cwd"), "boot": boot}
    except OSError:
        return {}


def stop(loki: Dict[str, Any]) -> None:
    """Let a Loki write what it holds, and stop it. Raises Fault where it goes on."""
    pid = int(loki["pid"])
    if not pid:
        return
    connection = http.client.HTTPConnection("127.0.0.1", int(loki["port"]), timeout=STOPS)
    # One behind another port writes at its end, or at its next start from its WAL.
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("POST", "/ingester/shutdown?flush=true&terminate=false")
        connection.getresponse().read()
    connection.close()
    if loki["unit"]:
        units.systemctl("stop", loki["unit"])
    else:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
    deadline = time.monotonic() + STOPS
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise Fault(f"the Loki that is to be taken over (pid {pid}) does not stop; stop it and run site.yml again")
        time.sleep(0.2)


def copy_data(chunks: Path, data: Path) -> bool:
    """Copy a Loki's chunks and index into the role's folder, where there is none yet."""
    target = data / "chunks"
    if not chunks.is_dir() or chunks.resolve() == target.resolve() or (target.is_dir() and any(target.iterdir())):
        return False
    new = data / ".adopted"
    disk.clear(new)
    shutil.copytree(str(chunks), str(new), symlinks=True)
    owner = data.stat()
    for top, _, files in os.walk(str(new)):
        for name in [".", *files]:
            os.chown(str(Path(top) / name), owner.st_uid, owner.st_gid, follow_symlinks=False)
    disk.clear(target)
    new.rename(target)
    disk.sync_folder(data)
    return True


def give_back(store: Store) -> List[str]:
    """Undo what was taken over: Telegraf's lines, and a Loki that ran by hand since this boot is started again."""
    noted = before.load(store).get("adopted")
    done = []
    for path in noted["execs"] if noted else []:
        if Path(path).exists() and comment_in(Path(path)):
            done.append(f"restored {path}")
    loki = noted["loki"] if noted else None
    if loki and loki["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"):
        user = pwd.getpwuid(os.geteuid()).pw_name
        subprocess.Popen(
            loki["command"],
            cwd=loki["cwd"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        done.append(f"started {' '.join(loki['command'])} as {user}")
    return done
