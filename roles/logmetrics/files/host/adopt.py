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
    """What changed; Fault or OSError. `wish`: execs (Telegraf's files), loki {pid, started, unit, port, chunks} or
    None."""
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
        if loki["pid"] and not loki["unit"] and look.ticks_at_start(int(loki["pid"])) == loki["started"]:
            noted["loki"] = started_by_hand(int(loki["pid"])) or noted["loki"]
            save(store, index)
        stop(loki)
        if loki["chunks"] and copy_data(Path(loki["chunks"]), data):
            noted["copied"] = str(data / "chunks")
            save(store, index)
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
    """How a process was started and as whom, so that it can be again; empty where it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        status = dict(line.split(":", 1) for line in look.proc(pid, "status").splitlines() if ":" in line)
        # proc(5): the real id comes first.
        ids = {"uid": int(status["Uid"].split()[0]), "gid": int(status["Gid"].split()[0])}
        groups = [int(one) for one in status["Groups"].split()]
        command = [os.fsdecode(word) for word in words]
        return {"command": command, "cwd": os.readlink(f"/proc/{pid}/cwd"), "boot": boot, **ids, "groups": groups}
    except (OSError, KeyError):
        return {}


def name_of(uid: int) -> str:
    """A user's name, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


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
    elif look.ticks_at_start(pid) != loki["started"]:
        return  # it has ended, and another process has its number
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
    os.sync()  # what has its final name is taken for whole
    new.rename(target)
    disk.sync_folder(data)
    return True


def restore_execs(store: Store) -> List[str]:
    """Undo what was done to Telegraf's files."""
    noted = before.load(store).get("adopted")
    paths = [Path(path) for path in noted["execs"]] if noted else []
    return [f"restored {path}" for path in paths if path.exists() and comment_in(path)]


def forget(store: Store) -> None:
    """The host is what it was before: the next attempt looks anew at what is there, and copies a Loki's data anew."""
    noted = before.load(store).get("adopted")
    if noted and noted.get("copied"):
        disk.clear(Path(noted["copied"]))
    disk.clear(before.folder(store))


def give_back(store: Store) -> List[str]:
    """Undo what was taken over: Telegraf's lines, and a Loki that ran by hand since this boot is started again."""
    noted = before.load(store).get("adopted")
    done = restore_execs(store)
    loki = noted["loki"] if noted else None
    if loki and loki["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"):
        # As who it was, never as root for somebody else.
        user = name_of(loki["uid"])

        def as_before() -> None:
            os.setgroups(loki["groups"])
            os.setgid(loki["gid"])
            os.setuid(loki["uid"])

        subprocess.Popen(
            loki["command"],
            preexec_fn=as_before,  # noqa: PLW1509 - no threads here; Popen's own user= is of Python 3.9
            cwd=loki["cwd"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        done.append(f"started {' '.join(loki['command'])} as {user}")
    return done
