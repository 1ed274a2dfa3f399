"""Look at a host and say what is there, as one JSON object on stdout. Changes nothing.

The role sends this file to the host's python3 on stdin, so that a preflight costs one remote call. The one argument is
a JSON object, see `main`. Judging what is found is the controller's part (filter_plugins of the role).

The one trace it leaves: a probe line per syslog facility, tag `logmetrics-preflight`, which no rule counts.
"""

import grp
import hashlib
import importlib.util
import json
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import syslog
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

LOG_GROUPS = ("adm", "systemd-journal")
SYSLOG_FILES = ("/var/log/auth.log", "/var/log/syslog")
PROBE_TAG = "logmetrics-preflight"
PROBE_PATIENCE = 5.0  # s until a probe line that is not there counts as lost
PROBE_CREATES = 1.0  # s that a syslog daemon has to make a file for a line
PROBE_SETTLE = 0.3  # s in which a second copy of it may still come
NOBODY = 65534
# A line of YAML whose key says that its value is a secret.
SECRET = re.compile(
    r"(?im)^(.*\b[\w-]*(?:secret|passw|token|credential|api_key|access_key|account_key)[\w-]*\"?:)[ \t].*$"
)


def run(command: List[str]) -> str:
    """stdout of a command, empty where there is no such command or it fails."""
    try:
        output = subprocess.check_output(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return output.decode("utf-8", "replace")


def sha256(path: Path) -> str:
    """SHA-256 of a file as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def name_of(entry: int, table: Any) -> str:
    """Name of a uid or gid, its number where it has none."""
    try:
        return str(table(entry)[0])
    except KeyError:
        return str(entry)


def look_at_path(path: Path) -> Dict[str, Any]:
    """Kind, owner, group, mode, time of change, and what it holds (sha256, or a link's target)."""
    try:
        status = path.lstat()
    except OSError:
        return {"kind": "absent"}
    found: Dict[str, Any] = {
        "kind": "other",
        "owner": name_of(status.st_uid, pwd.getpwuid),
        "group": name_of(status.st_gid, grp.getgrgid),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "changed": status.st_ctime,
    }
    if stat.S_ISLNK(status.st_mode):
        found.update(kind="link", target=os.readlink(str(path)))
    elif stat.S_ISDIR(status.st_mode):
        found["kind"] = "directory"
    elif stat.S_ISREG(status.st_mode):
        found.update(kind="file", sha256=sha256(path))
    return found


def look_at_tree(path: Path) -> Dict[str, Any]:
    """What unpack.py left in SHA256SUMS there: the archive's sum; whether every file is still as it was unpacked."""
    found: Dict[str, Any] = {"archive": None, "intact": False}
    try:
        sums = [line.split("  ", 1) for line in (path / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
        found["archive"] = sums[0][0]
        found["intact"] = all(intact(path / name, total) for total, name in sums[1:])
    except (OSError, ValueError, IndexError):
        return found  # not there, or damaged: it will be unpacked again
    return found


def intact(path: Path, total: str) -> bool:
    """Whether a file is root's, readable by all, writable by no other, of that sum, and, if a module, compiled."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022 or not status.st_mode & 0o004:
        return False
    if path.suffix == ".py" and not Path(importlib.util.cache_from_source(str(path))).exists():
        return False
    return sha256(path) == total


def look_at_user(name: str) -> Optional[Dict[str, Any]]:
    """Groups of an account, None where there is none."""
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        return None
    gids = os.getgrouplist(name, account.pw_gid)
    return {
        "uid": account.pw_uid,
        "gid": account.pw_gid,
        "group": name_of(account.pw_gid, grp.getgrgid),
        "groups": sorted({name_of(gid, grp.getgrgid) for gid in gids}),
    }


def proc(pid: int, name: str) -> str:
    """A file of a process (proc(5))."""
    return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")


def ticks_at_start(pid: int) -> int:
    """When a process began, in ticks since boot (proc(5): stat's field 22); 0 where it has ended."""
    try:
        return int(proc(pid, "stat").rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def process_start(pid: int) -> float:
    """When a process began, as Unix time by the present clock."""
    ticks = int(proc(pid, "stat").rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def look_at_process(pid: int) -> Dict[str, Any]:
    """Program, start and groups of a service's main process; empty where it has just ended."""
    try:
        groups = re.findall(r"^Groups:[ \t]*(.*)$", proc(pid, "status"), re.MULTILINE)[0].split()
        return {
            "exe": os.readlink(f"/proc/{pid}/exe"),
            "start": process_start(pid),
            "groups": [name_of(int(gid), grp.getgrgid) for gid in groups],
        }
    except (OSError, IndexError, ValueError):
        return {}


def first_line(path: str) -> str:
    """A file's first line, empty where there is none. The role's units end theirs with its name."""
    try:
        return Path(path).read_text(encoding="utf-8").split("\n", 1)[0]
    except (OSError, UnicodeDecodeError):
        return ""


def look_at_service(unit: str) -> Dict[str, Any]:
    """What systemd knows of a unit, and its main process."""
    keys = "LoadState,ActiveState,UnitFileState,FragmentPath,MainPID,NeedDaemonReload,User,ExecStart"
    text = run(["systemctl", "show", unit, "-p", keys])
    shown = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    pid = int(shown.get("MainPID") or 0)
    program = re.search(r"\bpath=(\S+)", shown.get("ExecStart", ""))
    return {
        "there": shown.get("LoadState") == "loaded",
        "active": shown.get("ActiveState") == "active",
        "enabled": shown.get("UnitFileState") in ("enabled", "static", "alias", "indirect"),
        "reload": shown.get("NeedDaemonReload") == "yes",
        "ours": first_line(shown.get("FragmentPath", "")).endswith("logmetrics"),
        "user": shown.get("User") or "root",
        "program": program.group(1) if program else "",
        "command": shown.get("ExecStart", ""),
        "process": look_at_process(pid) if pid else {},
    }


def version_of(program: str) -> str:
    """`Telegraf 1.39.3 (git: ...)` -> 1.39.3; empty where it does not say."""
    found = re.search(r"\b(\d+\.\d+\.\d+)", run([program, "--version"])) if program else None
    return found.group(1) if found else ""


def buffers_on_disk(folder: Path) -> bool:
    """Whether a Telegraf whose configuration is in a folder keeps unsent points on disk."""
    files = [folder / "telegraf.conf", *(folder / "telegraf.d").glob("*.conf")]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()]
    return any(re.search(r"^\s*buffer_strategy\s*=\s*[\"']disk", text, re.MULTILINE) for text in texts)


def listeners(ports: List[int]) -> Dict[str, str]:
    """Who listens on these TCP ports of 127.0.0.1 or of all addresses: port -> unit, or program (proc(5), net/tcp)."""
    inodes: Dict[str, int] = {}
    local = {"0100007F", "00000000", "0" * 32, "0000000000000000FFFF00000100007F"}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            continue
        for row in rows:
            address, _, port = row[1].partition(":")
            if row[3] == "0A" and address in local and int(port, 16) in ports:
                inodes[f"socket:[{row[9]}]"] = int(port, 16)
    if not inodes:
        return {}
    owners = {str(port): "a process that cannot be seen" for port in inodes.values()}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(str(link))
        except OSError:
            continue
        if target in inodes:
            owners[str(inodes[target])] = holder(int(link.parts[2]))
    return owners


def holder(pid: int) -> str:
    """A process by its systemd service, else by name and pid."""
    try:
        unit = re.search(r"/([^/\n]+\.service)$", proc(pid, "cgroup"), re.MULTILINE)
        return unit.group(1) if unit else f"{proc(pid, 'comm').strip()} (pid {pid})"
    except OSError:
        return f"pid {pid}"


def free_mb(path: Path) -> int:
    """Megabytes free where a path is or will be."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(str(there)).free // (1 << 20)


def schema_block(path: Path) -> str:
    """The `schema_config:` block of a Loki config as text, empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    block = re.search(r"^schema_config:.*\n(?:(?:[ \t#-].*)?\n)*", text, re.MULTILINE)
    return block.group(0) if block else ""


def toml_blocks(text: str) -> List[List[str]]:
    """A Telegraf configuration cut at its `[[plugin]]` lines (and at `[agent]` and its like); lines keep their ends."""
    blocks: List[List[str]] = [[]]
    for line in text.splitlines(keepends=True):
        # A plugin's own tables, `[inputs.exec.tags]`, belong to it.
        if re.match(r"\s*(\[\[[\w.]+\]\]|\[(agent|global_tags|secretstores)\b)", line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def runs_parser(block: List[str]) -> bool:
    """Whether a block is an exec input that runs the log parser."""
    live = [line for line in block if not line.lstrip().startswith("#")]
    return bool(live) and "inputs.exec]]" in live[0] and any("parse_loki_metrics" in line for line in live)


def foreign_execs(folder: Path) -> List[str]:
    """Files of Telegraf's, not the role's, that run the log parser."""
    files = [folder / "telegraf.conf", *sorted((folder / "telegraf.d").glob("*.conf"))]
    found = []
    for path in files:
        if path.is_file() and path.name != "logmetrics.conf":
            text = path.read_text(encoding="utf-8", errors="replace")
            if any(runs_parser(block) for block in toml_blocks(text)):
                found.append(str(path))
    return found


def foreign_loki(service: Dict[str, Any], config: Path) -> Optional[Dict[str, Any]]:
    """A Loki that is not the role's: pid (0: it does not run), unit (empty: started by hand), its configuration.

    `service` is loki.service as seen; `config` where a Loki's configuration is looked for when none runs.
    """
    pid, unit, command = 0, "", ""
    if service["ours"]:
        return None
    if service["there"]:
        unit, command = "loki.service", service["command"]
        pid = int(run(["systemctl", "show", unit, "-p", "MainPID", "--value"]).strip() or 0)
    here = os.readlink("/proc/self/ns/pid")
    for folder in [] if unit else Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(str(folder / "ns/pid")) != here:
                continue  # a container's is not this host's
            if Path(os.readlink(str(folder / "exe"))).name.startswith("loki"):
                pid, command = int(folder.name), proc(int(folder.name), "cmdline").replace("\0", " ")
        except OSError:
            continue
    named = re.search(r"-config\.file[= ](\S+)", command)
    path = Path(named.group(1)) if named else config
    if not unit and not pid and (not path.is_file() or first_line(str(path)).endswith("logmetrics")):
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    return {"pid": pid, "started": ticks_at_start(pid), "unit": unit, "config": str(path), "text": veiled(text)}


def veiled(text: str) -> str:
    """A configuration without its secrets: nobody needs them, and what is seen of a host may be shown."""
    text = re.sub(r"(?<=//)[^/@\s]+:[^/@\s]+(?=@)", "veiled", text)
    return SECRET.sub(r"\1 veiled", text)


def json_file(path: Path) -> Optional[Dict[str, Any]]:
    """A JSON object of the role's own; None where there is none, or it cannot be read."""
    try:
        found: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def syslog_daemon() -> bool:
    """Whether a syslog daemon is installed, running or not (`syslog.service` is the alias that each of them takes)."""
    return run(["systemctl", "show", "syslog.service", "-p", "LoadState"]).strip() == "LoadState=loaded"


def resolve(sources: List[str]) -> List[str]:
    """`auto` becomes the syslog files where a daemon is to write them, else the journal; others stay.

    A daemon that is down changes nothing here: its probe lines will not arrive, and that is told.
    """
    if sources != ["auto"]:
        return sources
    if syslog_daemon() and syslog_files_there():
        return list(SYSLOG_FILES)
    return ["journal"]


def syslog_files_there() -> bool:
    """Whether the files exist, once lines for them were written.

    rsyslog makes a file with its first line: on a new host, and after each rotation, auth.log is missing until somebody
    logs in, and a look at such a moment must not find another source than the look before.
    """
    deadline = time.monotonic() + PROBE_CREATES
    for code in (syslog.LOG_AUTH, syslog.LOG_USER):
        if not all(Path(path).exists() for path in SYSLOG_FILES):
            syslog.openlog(PROBE_TAG, 0, code)
            syslog.syslog(code | syslog.LOG_INFO, "is there a file for this facility?")
            syslog.closelog()
    while not all(Path(path).exists() for path in SYSLOG_FILES):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def expand(source: str) -> List[Path]:
    """Files that a path or glob names now."""
    return sorted(Path("/").glob(source.lstrip("/")))


class FileWatch:
    """What is written to a file from now on."""

    def __init__(self, path: Path) -> None:
        """Remember where the file ends."""
        self.path = str(path)
        self.size = path.stat().st_size

    def added(self) -> str:
        """What was added; empty where the file cannot be read any more."""
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.size)
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


class JournalWatch:
    """The journal's probe lines."""

    path = "journal"

    def added(self) -> str:
        """Those of the last minutes."""
        return run(["journalctl", "-q", "-o", "cat", "-t", PROBE_TAG, "--since=-5min"])


def probe(sources: List[str], facilities: List[str]) -> Dict[str, Dict[str, int]]:
    """Write one line per facility; facility -> source -> how often it arrived (sources without it left out)."""
    watches: List[Any] = []
    for source in sources:
        if source == "journal":
            watches.append(JournalWatch())
        else:
            watches.extend(FileWatch(path) for path in expand(source) if path.is_file())
    ident = os.urandom(8).hex()
    marks = {facility: f"probe={ident}-{facility}." for facility in facilities}
    for facility, mark in marks.items():
        code = getattr(syslog, "LOG_" + facility.upper())
        syslog.openlog(PROBE_TAG, 0, code)
        syslog.syslog(code | syslog.LOG_INFO, mark)
    syslog.closelog()

    def arrived() -> Dict[str, Dict[str, int]]:
        texts = {watch.path: watch.added() for watch in watches}
        return {
            f: {path: text.count(mark) for path, text in texts.items() if mark in text} for f, mark in marks.items()
        }

    deadline = time.monotonic() + PROBE_PATIENCE
    while watches and not all(arrived().values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(PROBE_SETTLE)
    return arrived()


def become(account: Optional[Dict[str, Any]]) -> None:
    """Take a reader's identity for good: the account where it exists, the groups of logs in any case."""
    groups = [] if account is None else os.getgrouplist(pwd.getpwuid(account["uid"]).pw_name, account["gid"])
    for name in LOG_GROUPS:
        try:
            groups.append(grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    os.setgroups(sorted(set(groups)))
    os.setgid(NOBODY if account is None else account["gid"])
    os.setuid(NOBODY if account is None else account["uid"])


def unreadable(sources: List[str], account: Optional[Dict[str, Any]]) -> Dict[str, str]:
    """Sources that the parser's user could not read, tried as that user: source -> why."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        faults: Dict[str, str] = {}
        try:
            become(account)
            for source in sources:
                fault = fault_of(source)
                if fault:
                    faults[source] = fault
        except OSError as error:
            faults["*"] = str(error)
        os.write(writer, json.dumps(faults).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    result: Dict[str, str] = json.loads(data or b'{"*": "the check did not end"}')
    return result


def fault_of(source: str) -> str:
    """Why this process cannot read a source, empty where it can."""
    if source == "journal":
        return "" if run(["journalctl", "-q", "-n", "1", "-o", "cat"]) else "no entry can be read"
    paths = expand(source)
    if not paths:
        return "there is no such file"
    for path in paths:
        try:
            os.close(os.open(str(path), os.O_RDONLY | os.O_NONBLOCK))
        except OSError as error:
            return str(error.strerror)
    return ""


def look_at_sources(wanted: Dict[str, Any], account: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """Resolved sources, which of them cannot be read, and how the facilities' probe lines arrived."""
    sources = resolve(wanted["sources"])
    faults = unreadable(sources, account)
    return {"resolved": sources, "faults": faults, "probes": probe(sources, wanted["facilities"])}


def main(argument: str) -> int:
    """Print what is found.

    Argument (JSON): now (controller's Unix time), telegraf (unit), telegraf_user (the role's own), telegraf_folder (its
    configuration), services, users, paths, trees (folders that unpack.py makes), state and lease (the
    rollout's own files), schema (Loki's config), ports, space
    (paths), sources, facilities.
    Always ends with 0.
    """
    wanted = json.loads(argument)
    found: Dict[str, Any] = {
        "asked": wanted["now"],
        "clock": time.time(),
        "root": os.geteuid() == 0,
        "machine": platform.machine(),
        "hostname": socket.gethostname(),
        "python": list(sys.version_info[:3]),
        "systemd": Path("/run/systemd/system").is_dir(),
    }
    if found["root"] and found["systemd"]:
        services = {unit: look_at_service(unit) for unit in wanted["services"]}
        telegraf = services[wanted["telegraf"]]
        telegraf["version"] = version_of(telegraf["program"])
        telegraf["disk"] = buffers_on_disk(Path(wanted["telegraf_folder"]))
        users = {name: look_at_user(name) for name in set(wanted["users"]) | {telegraf["user"]}}
        reader = telegraf["user"] if telegraf["there"] and not telegraf["ours"] else wanted["telegraf_user"]
        found.update(
            services=services,
            users=users,
            log_groups=[name for name in LOG_GROUPS if group_exists(name)],
            paths={path: look_at_path(Path(path)) for path in wanted["paths"]},
            trees={path: look_at_tree(Path(path)) for path in wanted["trees"]},
            state=json_file(Path(wanted["state"])),
            lease=json_file(Path(wanted["lease"])),
            foreign={
                "loki": foreign_loki(services["loki.service"], Path(wanted["schema"])),
                "execs": foreign_execs(Path(wanted["telegraf_folder"])),
            },
            schema=schema_block(Path(wanted["schema"])),
            listeners=listeners(wanted["ports"]),
            free_mb={path: free_mb(Path(path)) for path in wanted["space"]},
            sources=dict(look_at_sources(wanted, users.get(reader)), reader=reader),
        )
    sys.stdout.write(json.dumps(found))
    return 0


def group_exists(name: str) -> bool:
    """Whether the host has a group of that name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
