"""The filters that make a release of what is wanted, and compare it with what files/host/look.py saw.

Whether a service restarts is a matter of what its process read, not of what this run changed
(files/host/differences.py).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

SHORT = 12  # hex digits of a release's or rule set's name


def _load(path: Path) -> Any:
    """A module of the role by its path: a filter plugin is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"logmetrics_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ADOPT = _load(Path(__file__).with_name("adopt.py"))
DIFFERENCES = _load(Path(__file__).parents[1] / "files" / "host" / "differences.py")


def sha256(text: str) -> str:
    """SHA-256 of a text's UTF-8 as hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def release(wanted: dict[str, Any]) -> dict[str, Any]:
    """A release of what is wanted: id, manifest, contents (path -> text), rules (hash, content).

    The id is a hash of the manifest, which has the sums of all that a release consists of: equal ids, equal hosts.
    Rules are no part of it, as they change without a release; the sums of secrets are, and the manifest is
    root's alone.
    """
    files = [
        {**{k: v for k, v in one.items() if k != "content"}, "sha256": sha256(one["content"])}
        for one in wanted["files"]
    ]
    manifest = {
        "format": 1,
        "files": files,
        "rules": {key: wanted["rules"][key] for key in ("path", "owner", "group", "mode")},
        "trees": [{"dest": tree["dest"], "sha256": tree["sha256"]} for tree in wanted["trees"]],
        **{key: wanted[key] for key in ("versions", "directories", "links", "services", "begin", "proof")},
    }
    return {
        "id": sha256(json.dumps(manifest, sort_keys=True))[:SHORT],
        "manifest": manifest,
        "contents": {one["path"]: one["content"] for one in wanted["files"]},
        "rules": {"hash": sha256(wanted["rules"]["content"])[:SHORT], "content": wanted["rules"]["content"]},
    }


def plan(wanted: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """What is to be done on a host.

    `wanted`: download (controller, host), found (whether Telegraf is), users (name, groups), directories (path, owner,
    group, mode), files (the same and content, secret), rules (the same), links (path, target), trees (dest, url,
    source, sha256, members), services (unit, program or None, user, groups, reads: paths).
    Returns those that differ: names of users, paths of directories, files, links, trees; service -> reasons to restart;
    `lines` for people; `due`: whether there is anything; `fetch`: what the controller must download; `release` and
    `rules`: their names, `from`: the point in force; `checks`: configs that the controller can try, `unchecked`: those
    it cannot.
    """
    made = release(wanted)
    paths, state = seen["paths"], seen["state"] or {}
    rules = {**wanted["rules"], "secret": False, "sha256": sha256(wanted["rules"]["content"])}
    todo: dict[str, Any] = {
        "users": [u["name"] for u in wanted["users"] if DIFFERENCES.user_differs(u, seen["users"].get(u["name"]))],
        "directories": [
            d["path"] for d in wanted["directories"] if DIFFERENCES.differs(d, paths[d["path"]], "directory")
        ],
        "files": [
            f["path"] for f in [*made["manifest"]["files"], rules] if DIFFERENCES.differs(f, paths[f["path"]], "file")
        ],
        "links": [k["path"] for k in wanted["links"] if paths[k["path"]].get("target") != k["target"]],
        "trees": [t["dest"] for t in wanted["trees"] if not DIFFERENCES.tree_stands(t, seen["trees"][t["dest"]])],
    }
    todo["services"] = {}
    for service in wanted["services"]:
        reasons = DIFFERENCES.reasons_to_restart(service, seen["services"][service["unit"]], paths, todo)
        if reasons:
            todo["services"][service["unit"]] = reasons
    todo["lines"] = [f"{kind}: {path}" for kind in todo if kind not in ("services", "lines") for path in todo[kind]]
    todo["lines"] += [f"restart {unit}: {'; '.join(why)}" for unit, why in todo["services"].items()]
    todo["lines"] += ADOPT.lines(wanted["adopt"])
    todo["lines"] += point_lines(made, state)
    todo["due"] = bool(todo["lines"])
    todo["notes"] = notes(wanted, seen) if todo["due"] else []
    missing = [t for t in wanted["trees"] if t["dest"] in todo["trees"] and t["url"]]
    keys = ("url", "source", "sha256")
    todo["fetch"] = [{key: tree[key] for key in keys} for tree in missing] if wanted["download"] == "controller" else []
    todo["checks"], todo["unchecked"] = checks(wanted, todo["files"])
    todo["release"], todo["rules"] = made["id"], made["rules"]["hash"]
    todo["from"] = {"release": state.get("release"), "rules": state.get("rules")}
    return todo


def point_lines(made: dict[str, Any], state: dict[str, Any]) -> list[str]:
    """What the release, the rules, or an end that was never reached make necessary."""
    lines = []
    for what, new in (("release", made["id"]), ("rules", made["rules"]["hash"])):
        if state.get(what) != new:
            lines.append(f"{what}: {new} instead of {state.get(what) or 'none'}")
    if state.get("pending"):
        lines.append(f"prove: the last change ended before it was confirmed ({state['pending']['phase']})")
    elif not lines and not state.get("proven"):
        lines.append("prove: the last run ended before this host was proven to work")
    return lines


def checks(wanted: dict[str, Any], paths: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Of the files that change: those that the controller can try with the program that reads them, and the others."""
    can, cannot = [], []
    for one in wanted["files"]:
        if one["path"] not in paths or not one.get("validate"):
            continue
        program = one["validate"][0]
        tree = next((t for t in wanted["trees"] if t["url"] and program.startswith(t["dest"] + "/")), None)
        if tree is None or one["secret"]:
            cannot.append(one["path"])
            continue
        member = next(name for name, target in tree["members"].items() if f"{tree['dest']}/{target}" == program)
        archive = {"archive": tree["source"], "sha256": tree["sha256"], "member": member}
        can.append({**archive, "path": one["path"], "content": one["content"], "arguments": one["validate"][1:]})
    return can, cannot


def notes(wanted: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """What people should know where something changes."""
    if wanted["found"] and not seen["services"]["telegraf.service"]["disk"]:
        return [
            "note: the Telegraf found here holds unsent points in memory alone, a restart during an outage of Graphite "
            "loses them; set buffer_strategy and metric_buffer_limit in its [agent]"
        ]
    return []


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {"logmetrics_plan": plan, "logmetrics_release": release}
