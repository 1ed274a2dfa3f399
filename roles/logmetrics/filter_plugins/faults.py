"""Filters that judge settings and what files/host/look.py saw on a host: one line per fault, with what to do."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any


def _load(path: Path) -> Any:
    """A module of the role by its path: a filter plugin is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"logmetrics_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ADOPT = _load(Path(__file__).with_name("adopt.py"))
INTERVAL_MIN, INTERVAL_MAX = 10, 3600
PYTHON_MIN = (3, 8)
OWN_PORTS = ("logmetrics_loki_port", "logmetrics_loki_grpc_port", "logmetrics_probe_port")  # listened on
VERSION = re.compile(r"\d+\.\d+\.\d+")


def setting_faults(settings: dict[str, Any]) -> list[str]:
    """What is wrong with a host's settings taken together; types and choices were checked by the argument spec."""
    lines = []
    interval, timeout = int(settings["interval"]), int(settings["exec_timeout"])
    if not INTERVAL_MIN <= interval <= INTERVAL_MAX or INTERVAL_MAX % interval:
        lines.append(
            f"logmetrics_interval {interval} does not fit; take a divisor of 3600 from {INTERVAL_MIN} to "
            f"{INTERVAL_MAX}, such as 10, 30, 60 or 300"
        )
    elif not 0 < timeout < interval:
        lines.append(f"logmetrics_exec_timeout {timeout} does not fit; it must be below logmetrics_interval {interval}")
    for name in ("loki_version", "telegraf_version"):
        if not VERSION.fullmatch(str(settings[name])):
            lines.append(f"logmetrics_{name} {settings[name]!r} is not exact; write all three numbers, such as 3.7.8")
    if int(settings["loki_retention_hours"]) < 24:
        lines.append("logmetrics_loki_retention_hours is below 24, Loki's shortest retention; raise it")
    if not settings["outputs"]:
        lines.append(
            "the numbers go nowhere; set logmetrics_graphite_host, logmetrics_hosted_graphite_key or logmetrics_outputs"
        )
    lines += [
        f"{name} {port} is no port; take one from 1 to 65535"
        for name, port in settings["ports"].items()
        if not 0 < int(port) < 65536
    ]
    own = [f"{name} {settings['ports'][name]}" for name in OWN_PORTS]
    if len({line.split()[1] for line in own}) < len(own):
        lines.append(f"{', '.join(own)}: each must be a port of its own")
    bad = [source for source in settings["sources"] if source not in ("auto", "journal") and source[:1] != "/"]
    if bad or not settings["sources"] or ("auto" in settings["sources"] and len(settings["sources"]) > 1):
        lines.append("logmetrics_sources must be [auto], or a list of absolute paths, globs and journal")
    return lines


def result_faults(result: dict[str, Any]) -> list[str]:
    """Why a host could not be looked at; none where it could."""
    if result.get("unreachable"):
        reason = " ".join(str(result.get("msg", "")).split()).rstrip(".").replace("Task failed: ", "")
        return [f"unreachable: {reason}; check its address, ssh and key, or leave it out by --limit"]
    if result.get("rc") != 0 or not result.get("stdout"):
        words = result.get("module_stderr") or result.get("stderr") or result.get("msg") or "no answer"
        last = str(words).strip().splitlines()[-1]
        return [f"python3 on the host could not look around: {last}; check /usr/bin/python3 (3.8 or newer) and become"]
    return []


def host_faults(seen: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What on a host is in the way. `seen` is what look.py printed; `wanted` the settings that it is held against."""
    if not seen["root"]:
        return ["not root on the host; use become: true (and --ask-become-pass where sudo asks)"]
    if not seen["systemd"]:
        return ["systemd is not its init; logmetrics needs it, leave this host out"]
    lines = []
    if seen["machine"] not in wanted["machines"]:
        known = ", ".join(sorted(wanted["machines"]))
        lines.append(f"architecture {seen['machine']} is not known here (only {known}); leave this host out")
    if tuple(seen["python"]) < PYTHON_MIN:
        lines.append(f"/usr/bin/python3 is {'.'.join(map(str, seen['python']))}; the parser needs 3.8 or newer")
    off = skew(seen, wanted["now"])
    if abs(off) > wanted["clock_skew_max"]:
        way = "ahead of" if off > 0 else "behind"
        lines.append(f"its clock is {abs(off):.0f} s {way} the controller's; start a time service (chrony)")
    lines += port_faults(seen, wanted["ports"])
    if not seen["trees"][wanted["tree"]]["intact"]:  # it is yet to be installed
        for path, free in sorted(seen["free_mb"].items()):
            if free < wanted["space_min_mb"]:
                lines.append(f"{path} has {free} MB free, {wanted['space_min_mb']} are needed; make room")
    return (
        lines
        + telegraf_faults(seen, wanted)
        + ADOPT.faults(seen, wanted["adopt"])
        + source_faults(seen["sources"], wanted)
    )


def skew(seen: dict[str, Any], now: float) -> float:
    """Seconds by which a host's clock is off for certain (positive: ahead), 0 where it may be right.

    `seen` has its clock, and `asked`, the controller's time before the look; `now` is that after it.
    A right clock lies between: what the controller's queue, ssh and the look itself took is no skew.
    """
    return float(min(seen["clock"] - seen["asked"], 0) or max(seen["clock"] - now, 0))


def port_faults(seen: dict[str, Any], ports: dict[str, dict[str, str]]) -> list[str]:
    """Ports that another program holds; `ports` is port -> {variable, unit}."""
    lines = []
    taken = taken_over(seen)
    for port, holder in sorted(seen["listeners"].items()):
        use = ports[port]
        if holder != use["unit"] and not (taken and holder.endswith(taken)):
            lines.append(f"port {port} is in use by {holder}; stop that or set {use['variable']}")
    return lines


def taken_over(seen: dict[str, Any]) -> str:
    """How the listeners name a Loki that was started by hand; empty where there is none."""
    loki = seen["foreign"]["loki"]
    return f"(pid {loki['pid']})" if loki and loki["pid"] and not loki["unit"] else ""


def telegraf_faults(seen: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Where the wish for an own or a found Telegraf does not go with what is there."""
    service = seen["services"]["telegraf.service"]
    found = service["there"] and not service["ours"]
    if wanted["telegraf"] == "own" and found:
        return ["a Telegraf that is not the role's is installed; set logmetrics_telegraf: found, or remove it"]
    if wanted["telegraf"] == "found" and not found:
        return ["there is no telegraf.service to use; install Telegraf, or set logmetrics_telegraf: own"]
    if wanted["telegraf"] != "own" and found:
        if not service["version"]:
            return [f"{service['program'] or 'the installed Telegraf'} does not say its version; repair it"]
        if "telegraf.d" not in service["command"]:
            return ["the installed telegraf.service does not read /etc/telegraf/telegraf.d; add --config-directory"]
    return []


def source_faults(sources: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Sources that are missing or unreadable; facilities whose probe line came never, or more than once."""
    named = ", ".join(sources["resolved"])
    if sources["faults"]:
        return [
            f"log source {source}: {why} (as user {sources['reader']}); correct logmetrics_sources or the rights"
            for source, why in sorted(sources["faults"].items())
        ]
    lines = []
    lost = sorted(facility for facility, arrived in sources["probes"].items() if not arrived)
    if lost:
        lines.append(
            f"lines of facility {', '.join(lost)} do not arrive in {named}; start the syslog daemon, mend its rules or "
            "logmetrics_sources, or take them out of logmetrics_probe_facilities"
        )
    places: dict[str, list[str]] = {}
    for facility, arrived in sorted(sources["probes"].items()):
        if sum(arrived.values()) > 1:
            where = " and ".join(f"{path} ({times} times)" if times > 1 else path for path, times in arrived.items())
            places.setdefault(where, []).append(facility)
    lines += [
        f"lines of facility {', '.join(facilities)} arrive in {where} and would count more than once; "
        "keep one of them in logmetrics_sources"
        for where, facilities in places.items()
    ]
    return lines


class FilterModule:
    """What ansible-core asks a filter plugin for."""

    def filters(self) -> dict[str, object]:
        """Filter names as used in templates."""
        return {
            "logmetrics_setting_faults": setting_faults,
            "logmetrics_result_faults": result_faults,
            "logmetrics_host_faults": host_faults,
        }
