"""What differs between what is wanted and what a look found; why a service must be started anew.

Used on the controller, for the plan (filter_plugins/plan.py), and on the host, after a switch: one place for the rule
that a service restarts by what its process has read, not by what this run changed. So no restart is ever stranded.
"""

from typing import Any, Dict, List, Optional


def user_differs(user: Dict[str, Any], found: Optional[Dict[str, Any]]) -> bool:
    """Whether an account is missing or lacks a group."""
    return found is None or not set(user["groups"]) <= set(found["groups"])


def differs(item: Dict[str, Any], found: Dict[str, Any], kind: str) -> bool:
    """Whether a directory or file is missing, of another kind, owner, group, mode or content (`sha256`)."""
    if found["kind"] != kind or any(found[key] != item[key] for key in ("owner", "group", "mode")):
        return True
    return kind == "file" and bool(found["sha256"] != item["sha256"])


def tree_stands(tree: Dict[str, Any], found: Dict[str, Any]) -> bool:
    """Whether what was unpacked comes from the wanted archive and is as it was."""
    return bool(found["intact"]) and bool(found["archive"] == tree["sha256"])


def reasons_to_restart(
    service: Dict[str, Any],
    found: Dict[str, Any],
    paths: Dict[str, Any],
    changing: Optional[Dict[str, List[str]]] = None,
) -> List[str]:
    """Why a service must be started anew; none where its process is the wanted one.

    `service`: program or None, user, groups, reads (paths); `found` and `paths` as look.py tells them; `changing`:
    files and trees that are yet to be changed.
    """
    soon = changing or {"files": [], "trees": []}
    process = found["process"]
    if not found["there"] or not found["active"] or not process:
        return ["not running"]
    reasons = []
    if not found["enabled"]:
        reasons.append("not enabled at boot")
    if found["reload"]:
        reasons.append("systemd has not read its unit file as it is now")
    program = service["program"]
    if process["exe"].endswith(" (deleted)") or (program and process["exe"] != program):
        reasons.append(f"runs {process['exe']}")
    elif program and any(program.startswith(tree + "/") for tree in soon["trees"]):
        reasons.append(f"{program} changes")
    for path in service["reads"]:
        if path in soon["files"]:
            reasons.append(f"{path} changes")
        elif paths[path].get("changed", 0) > process["start"]:
            reasons.append(f"{path} changed after its start")
    lacking = sorted(set(service["groups"]) - set(process["groups"]))
    if lacking and service["user"] != "root":
        reasons.append(f"its process lacks the group {', '.join(lacking)}")
    return reasons
