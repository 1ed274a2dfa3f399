"""Put a release and its rules into their folders and try them, touching nothing that is in force."""

import subprocess
from pathlib import Path
from typing import Any, Dict, List

from . import disk, look
from .said import reason
from .store import Fault, Store

CHECK = """
import sys
sys.path.insert(0, sys.argv[1])
from logmetrics.errors import Fault
from logmetrics.rules import RuleSet
try:
    with open(sys.argv[2], "rb") as file:
        RuleSet.from_bytes(file.read(), sys.argv[2])
except Fault as fault:
    sys.exit(str(fault))
"""


def stage(store: Store, wish: Dict[str, Any]) -> Dict[str, Any]:
    """Put it there and try it; Fault where a part is not fit for use.

    `wish`: id, manifest, contents (path -> text), rules {hash, content}.
    """
    fresh = store.put_release(wish["id"], wish["manifest"], wish["contents"])
    fresh = store.put_rules(wish["rules"]["hash"], wish["rules"]["content"]) or fresh
    manifest = store.manifest(wish["id"])
    for item in manifest["files"]:
        place = Path(item["path"])
        same = look.look_at_path(place).get("sha256") == item["sha256"]
        if item.get("validate") and not same:
            validate(item["validate"], store.place(store.root / "releases" / wish["id"], item["path"]), item["path"])
    check_rules(store, manifest, wish["rules"]["hash"])
    return {"staged": wish["id"], "fresh": fresh}


def validate(command: List[str], candidate: Path, path: str) -> None:
    """Let the program that will read a file read the candidate. Raises Fault with the program's own words."""
    words = [word.replace("%s", str(candidate)) for word in command]
    try:
        done = subprocess.run(
            words,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Fault(f"{words[0]} does not run: {error}") from None
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").replace(str(candidate), path)
        raise Fault(f"{path} is refused by {words[0]}: {reason(said) or f'exit {done.returncode}'}")


def check_rules(store: Store, manifest: Dict[str, Any], total: str) -> None:
    """Let the release's own parser load the rules. Raises Fault with its words."""
    parser = next((link["target"] for link in manifest["links"] if link["path"].endswith("/parser/current")), None)
    if parser is None:
        return
    rules = store.root / "rules" / f"{total}.json"
    command = ["/usr/bin/python3", "-I", "-c", CHECK, parser, str(rules)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    if done.returncode:
        raise Fault(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])


def put_rules(store: Store, wish: Dict[str, Any]) -> str:
    """Stage a rule set alone for the release in force; its hash. Raises Fault."""
    state = store.load()
    if state["release"] is None:
        raise Fault("no release is in force on this host; run site.yml first")
    if "content" in wish:
        store.put_rules(wish["hash"], wish["content"])
    elif not (store.root / "rules" / f"{wish['hash']}.json").is_file():
        raise Fault(f"there is no rule set {wish['hash']} on this host; send its content")
    check_rules(store, store.manifest(state["release"]), wish["hash"])
    disk.sync_folder(store.root / "rules")
    return str(wish["hash"])
