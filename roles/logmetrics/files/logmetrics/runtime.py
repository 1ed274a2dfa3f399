"""What count and ship share: their sources, the user they run as, and who started them."""

from __future__ import annotations

import os

from .errors import Fault
from .sources.file import FileSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .config import Config
    from .sources.base import Source


def sources(config: Config, line_max: int, clock: Callable[[], float]) -> list[Source]:
    """The configured sources, each with the key of its cursor in `name`."""
    found: list[Source] = []
    claims: dict[object, tuple[str, str]] = {}
    for one in config.sources:
        if one["type"] == "file":
            found.append(FileSource(one["path"], line_max, clock, claims))
        else:
            from .sources.journal import JournalSource  # noqa: PLC0415 - not needed where files are read

            found.append(JournalSource(one.get("directory", ""), line_max))
    return found


def settle(cursors: dict[str, Any], sources: list[Source], start: Callable[[Source], object]) -> None:
    """Bring the saved cursors in line with the configuration: one for each source, in its order.

    A new source begins where `start` puts it; files that another one read until now it reads on from there. Cursors of
    sources that are configured no more go, so that one that is put back later begins anew.
    """
    names = [source.name for source in sources]
    if list(cursors) == names:
        return
    owners: dict[str, str] = {}
    for source in sources:
        if isinstance(source, FileSource):
            owners.update((path, source.name) for path in source.paths())
    before = dict(cursors)
    for source in sources:
        if source.name not in before:
            start(source)
    for holder, cursor in before.items():
        for path in list(cursor.get("paths", {})):
            into = cursors.get(owners.get(path, holder))
            if into is None or into is cursor:
                continue
            place = cursor["paths"].pop(path)
            if owners[path] not in before or path not in into["paths"]:
                into["paths"][path] = place
                if path in cursor.get("carried", {}):
                    into.setdefault("carried", {})[path] = cursor["carried"][path]
    kept = {name: cursors[name] for name in names if name in cursors}
    cursors.clear()
    cursors.update(kept)


def become_owner(folder: str) -> None:
    """Started by root (an operator by hand, the role): run as the owner of the state directory, with its groups.

    Otherwise root's files there would stop the runs that Telegraf starts. Raises Fault.
    """
    if os.geteuid() != 0:
        return
    try:
        owner = os.stat(folder)
    except OSError as error:
        raise Fault(f"{folder}: {error.strerror}; create it for the user of the runs (the role does)") from None
    if owner.st_uid == 0:
        return
    import pwd  # noqa: PLC0415 - never in a run that Telegraf starts

    try:
        name = pwd.getpwuid(owner.st_uid).pw_name
        os.initgroups(name, owner.st_gid)
    except KeyError:
        os.setgroups([owner.st_gid])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def as_runs_do(settings: Config | None, logs: object) -> None:
    """Started by root, read the configured logs with the rights of the runs; logs that are named, with the caller's."""
    if settings is not None and not logs and os.path.isdir(settings.state_dir):
        become_owner(settings.state_dir)


def identity() -> list[str]:
    """[boot id, parent's process id, parent's start time]: where one has changed, what the parent held may be lost."""
    parent = os.getppid()
    return [_read("/proc/sys/kernel/random/boot_id"), str(parent), _start_time(parent)]


def _start_time(pid: int) -> str:
    """Field 22 of /proc/PID/stat (proc(5)), counted after the command's closing bracket."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except OSError:
        return ""
