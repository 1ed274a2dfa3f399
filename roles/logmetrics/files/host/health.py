"""How a host fares, in one answer: the point in force, what is not as it should be, and the parser's own status."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

from . import differences, disk, lease, look, prove
from .store import Fault, Store

PARSER = "/etc/telegraf/parse_loki_metrics.py"
PATIENCE = 120  # s that the parser is given


def health(store: Store, wish: Dict[str, Any]) -> Dict[str, Any]:
    """State, drift (managed things that differ, a line each), units, lease, the parser's status, faults.

    `wish`: intervals (how many finished ones the parser tells), costs (whether it times its rules).
    """
    faults: List[str] = []
    state = store.load()
    found: Dict[str, Any] = {key: state[key] for key in ("release", "rules", "pending", "last", "proven")}
    manifest = store.manifest(state["release"])
    found["versions"] = manifest.get("versions", {})
    found["drift"] = drift(store, manifest, state["rules"])
    found["units"] = {one["unit"]: prove.shown(one["unit"]).get("ActiveState") for one in manifest["services"]}
    found["lease"] = lease.read()
    found["parser"] = None
    if state["release"] is None:
        faults.append("no release of logmetrics is in force here; run site.yml")
    else:
        try:
            found["parser"] = ask(int(wish.get("intervals", 0)), bool(wish.get("costs")))
        except Fault as fault:
            faults.append(str(fault))
    return {"health": {**found, "faults": faults}}


def drift(store: Store, manifest: Dict[str, Any], rules: Any) -> List[str]:
    """Managed files and links that are not as the release in force has them, a line each."""
    items = list(manifest["files"])
    if manifest["rules"] and rules:
        try:
            items.append({**manifest["rules"], "sha256": disk.sha256(store.rules(rules))})
        except OSError as error:
            return [f"rule set {rules}: {error.strerror}"]
    lines = []
    for item in items:
        seen = look.look_at_path(Path(item["path"]))
        if differences.differs(item, seen, "file"):
            keys = ("owner", "group", "mode", "sha256")
            other = [key if key != "sha256" else "content" for key in keys if seen.get(key) != item[key]]
            lines.append(f"{item['path']}: {'missing' if seen['kind'] == 'absent' else ', '.join(other) + ' differ'}")
    for item in manifest["links"]:
        if disk.target_of(Path(item["path"])) != item["target"]:
            lines.append(f"{item['path']}: does not lead to {item['target']}")
    return lines


def ask(intervals: int, costs: bool = False) -> Dict[str, Any]:
    """What the parser's `status` says. Raises Fault with its own words."""
    return parser(["status", "--json", f"--intervals={intervals}", *(["--costs"] if costs else [])])


def parser(words: List[str], good: "tuple[int, ...]" = (0,)) -> Dict[str, Any]:
    """The JSON that a verb of the parser prints, at low priority. Raises Fault."""
    command = ["nice", "-n", "10", PARSER, *words]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
        if done.returncode in good:
            found: Dict[str, Any] = json.loads(done.stdout.decode("utf-8"))
            return found
    except subprocess.TimeoutExpired:
        raise Fault(f"{words[0]} took more than {PATIENCE} s: this host is too busy now; run it again later") from None
    except (OSError, ValueError) as error:
        raise Fault(f"{PARSER} {words[0]}: {error}") from None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise Fault(said[-1] if said else f"{PARSER} {words[0]}: exit {done.returncode}")
