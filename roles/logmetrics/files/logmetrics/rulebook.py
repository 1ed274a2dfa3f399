"""Which rule set is in force when. A new one takes over at the next interval's start, saved before its first use.

Each set in use is copied into the state directory, so that late lines still go to the set of their interval, and a
broken rules.json stops nothing.
"""

from __future__ import annotations

import os
from zlib import crc32

from .errors import Fault
from .rules import RuleSet
from .state import sync_folder, write_durably
from .tally import Timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .codes import Codes


PREFIX = "rules-"


def _name(digest: str) -> str:
    return f"{PREFIX}{digest}.json"


def _copy(folder: str, digest: str) -> str:
    return f"{folder}/{_name(digest)}"


def digest_of(data: bytes) -> str:
    """A short name of a rule set's bytes, whatever they claim about themselves."""
    return f"{crc32(data):08x}{len(data):x}"


def update(state: dict[str, Any], path: str, folder: str, now: float, interval: int, faults: list[str]) -> None:
    """Note in the state that `path` holds a new rule set, in force from the next interval on.

    Raises Fault only where there is no rule set at all, neither there nor from before.
    """
    timeline: list[list[Any]] = state.setdefault("timeline", [])
    try:
        stat = os.stat(path)
        seen = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        if timeline and state.get("rules_file") == seen:
            return
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        _go_on(timeline, faults, f"{path}: cannot be read: {error.strerror}; run the role, which writes it")
        return
    digest = digest_of(data)
    if not timeline or timeline[-1][1] != digest:
        try:
            RuleSet.from_bytes(data, path)
        except Fault as fault:
            _go_on(timeline, faults, str(fault))
            return
        try:
            write_durably(_copy(folder, digest) + ".new", data)
            os.rename(_copy(folder, digest) + ".new", _copy(folder, digest))
            sync_folder(folder)
        except OSError as error:
            _go_on(timeline, faults, f"{folder}: no room for the new rule set: {error.strerror}; check the disk")
            return
        start = 0 if not timeline else (int(now) // interval + 1) * interval
        # A set that was replaced before its first interval never came into force.
        timeline[:] = [one for one in timeline if one[0] < start or not start]
        timeline.append([start, digest])
        _drop(state, _strays(folder))
    state["rules_file"] = seen
    state["rules_since"] = int(stat.st_mtime)


def _go_on(timeline: list[list[Any]], faults: list[str], what: str) -> None:
    if not timeline:
        raise Fault(what)
    faults.append(f"{what} (counting goes on by the last good rules)")


def load(state: dict[str, Any], folder: str, codes: Codes | None = None) -> Timeline:
    """The rule sets that the state names, from their copies. Raises Fault."""
    sets = []
    for start, digest in state["timeline"]:
        path = _copy(folder, digest)
        try:
            with open(path, "rb") as file:
                sets.append((start, RuleSet.from_bytes(file.read(), path, codes, digest)))
        except OSError as error:
            raise Fault(
                f"{path}: cannot be read: {error.strerror}; put it back, or remove the state to begin anew"
            ) from None
    return Timeline(sets)


def forget(state: dict[str, Any], before: int) -> None:
    """Drop sets whose last interval began before this Unix time."""
    timeline = state["timeline"]
    gone = []
    while len(timeline) > 1 and timeline[1][0] < before:
        gone.append(_name(timeline.pop(0)[1]))
    _drop(state, gone)


def _drop(state: dict[str, Any], names: list[str]) -> None:
    """Note copies that are needed no more, by this generation of the state: the one before it may still name them."""
    used = {_name(digest) for _, digest in state["timeline"]}
    gone = [name for name in names if name not in used]
    if gone:
        state["dropped"] = sorted({*state.get("dropped", ()), *gone})


def _strays(folder: str) -> list[str]:
    """All copies that are there: of sets in force, of replaced ones, of runs that were cut off."""
    return [name for name in os.listdir(folder) if name.startswith(PREFIX)]


def pending(state: dict[str, Any], folder: str) -> list[str]:
    """Copies that the loaded generation dropped and that are still there; no other are noted as dropped now."""
    used = {_name(digest) for _, digest in state["timeline"]}
    names = [name for name in state.get("dropped", ()) if name not in used and os.path.exists(f"{folder}/{name}")]
    if "dropped" in state:
        state["dropped"] = names
    return names


def remove(names: list[str], state: dict[str, Any], folder: str) -> None:
    """Remove copies that neither the saved generation nor the one before it names."""
    used = {_name(digest) for _, digest in state["timeline"]}
    for name in names:
        try:
            if name not in used:
                os.unlink(f"{folder}/{name}")
        except OSError:
            pass  # the next run tries again
