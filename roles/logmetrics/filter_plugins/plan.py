"""The filter that compares what is wanted with what files/host/look.py saw: what is to change, what is to restart.

Whether a service restarts is a matter of what its process read, not of what this run changed: a run that failed between
a change and the restart leaves a process that is older than its files, and the next run sees it.
"""

from __future__ import annotations

import hashlib
from typing import Any


def plan(wanted: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """What is to be done on a host.

    `wanted`: download (controller, host), found (whether Telegraf is), users (name, groups), directories (path, owner,
    group, mode), files (the same and content), links (path, target), trees (dest, url, source, sha256), services (unit,
    program or None, user, groups, reads: paths), unproven (a path that exists where the last run came to no good end).
    Returns those that differ: names of users, paths of directories, files, links, trees; service -> reasons to restart;
    `lines` for people; `due`: whether there is anything; `fetch`: what the controller must download.
    """
    paths = seen["paths"]
    todo: dict[str, Any] = {
        "users": [user["name"] for user in wanted["users"] if user_differs(user, seen["users"].get(user["name"]))],
        "directories": [d["path"] for d in wanted["directories"] if differs(d, paths[d["path"]], "directory")],
        "files": [f["path"] for f in wanted["files"] if differs(f, paths[f["path"]], "file")],
        "links": [k["path"] for k in wanted["links"] if paths[k["path"]].get("target") != k["target"]],
        "trees": [t["dest"] for t in wanted["trees"] if not tree_stands(t, seen["trees"][t["dest"]])],
    }
    todo["services"] = {}
    for service in wanted["services"]:
        reasons = reasons_to_restart(service, seen["services"][service["unit"]], paths, todo)
        if reasons:
            todo["services"][service["unit"]] = reasons
    missing = [t for t in wanted["trees"] if t["dest"] in todo["trees"] and t["url"]]
    keys = ("url", "source", "sha256")
    fetch = [{key: tree[key] for key in keys} for tree in missing] if wanted["download"] == "controller" else []
    todo["lines"] = [f"{kind}: {', '.join(todo[kind])}" for kind in todo if kind != "services" and todo[kind]]
    todo["lines"] += [f"restart {unit}: {'; '.join(why)}" for unit, why in todo["services"].items()]
    if paths[wanted["unproven"]]["kind"] != "absent":
        todo["lines"].append("prove: the last run ended before this host was proven to work")
    todo["due"] = bool(todo["lines"])
    if todo["due"] and wanted["found"] and not seen["services"]["telegraf.service"]["disk"]:
        todo["lines"].append(
            "note: the Telegraf found here holds unsent points in memory alone, a restart during an outage of Graphite "
            "loses them; set buffer_strategy and metric_buffer_limit in its [agent]"
        )
    todo["fetch"] = fetch
    return todo


def user_differs(user: dict[str, Any], found: dict[str, Any] | None) -> bool:
    """Whether an account is missing or lacks a group."""
    return found is None or not set(user["groups"]) <= set(found["groups"])


def differs(item: dict[str, Any], found: dict[str, Any], kind: str) -> bool:
    """Whether a directory or file is missing, of another kind, owner, group, mode or content."""
    if found["kind"] != kind or any(found[key] != item[key] for key in ("owner", "group", "mode")):
        return True
    return kind == "file" and found["sha256"] != hashlib.sha256(item["content"].encode()).hexdigest()


def tree_stands(tree: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether what was unpacked comes from the wanted archive and is as it was."""
    return bool(found["intact"]) and found["archive"] == tree["sha256"]


def reasons_to_restart(
    service: dict[str, Any], found: dict[str, Any], paths: dict[str, Any], todo: dict[str, Any]
) -> list[str]:
    """Why a service must be started anew; none where its process is the wanted one."""
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
    elif program and any(program.startswith(tree + "/") for tree in todo["trees"]):
        reasons.append(f"{program} changes")
    for path in service["reads"]:
        if path in todo["files"]:
            reasons.append(f"{path} changes")
        elif paths[path].get("changed", 0) > process["start"]:
            reasons.append(f"{path} changed after its start")
    lacking = sorted(set(service["groups"]) - set(process["groups"]))
    if lacking and service["user"] != "root":
        reasons.append(f"its process lacks the group {', '.join(lacking)}")
    return reasons


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {"logmetrics_plan": plan}
