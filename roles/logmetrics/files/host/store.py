"""The releases and rule sets on a host, and the one file that says which of them are in force.

    /opt/logmetrics/
      state.json            which release and rules are in force, which were before, what is not confirmed yet
      releases/<id>/        manifest.json and the rendered files; root alone may read it
      rules/<hash>.json     compiled rule sets
      artifacts/, parser/, host/   unpacked programs, one folder a version (unpack.py)
      before/               what stood in the places that the role has taken (before.py)
      current, previous     links to releases, for people; state.json is what counts

A release and a rule set together are a *point*: {"release": id or None, "rules": hash or None}; None is a host before
the role. state.json: format, release, rules (the point in force), history (confirmed points before it, newest first),
pending (what is not confirmed yet: from, to, phase, since, deadline, run), last (how the last change ended), proven.
"""

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set

from . import disk

FORMAT = 1
Point = Dict[str, Optional[str]]
NOTHING: Point = {"release": None, "rules": None}


class Fault(Exception):  # noqa: N818 - as in the parser
    """Something that a person must mend; its text is one line that says what, where and what to do."""


class Store:
    """The role's own folder on a host."""

    def __init__(self, root: Path = Path("/opt/logmetrics")) -> None:
        """Look at nothing yet."""
        self.root = root
        self.state_path = root / "state.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other verb is at work here (flock(2): it ends with its holder)."""
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def load(self) -> Dict[str, Any]:
        """The state; that of a host without a release where there is none. Raises Fault."""
        empty: Dict[str, Any] = {
            **NOTHING,
            "format": FORMAT,
            "history": [],
            "pending": None,
            "last": None,
            "proven": False,
        }
        try:
            state = json.loads(self.state_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return empty
        except (OSError, ValueError) as error:
            raise Fault(f"{self.state_path}: {error}; move it away and run site.yml") from None
        if state.get("format") != FORMAT:
            raise Fault(f"{self.state_path}: format {state.get('format')} is not known here; use the newer role")
        return {**empty, **state}

    def save(self, state: Dict[str, Any]) -> None:
        """Put the state on disk, then the links that show it to people."""
        disk.write(self.state_path, (json.dumps(state, indent=1) + "\n").encode(), 0o644)
        previous = next((p["release"] for p in state["history"] if p["release"] != state["release"]), None)
        for name, release in (("current", state["release"]), ("previous", previous)):
            if release is None:
                disk.clear(self.root / name)
            elif disk.target_of(self.root / name) != f"releases/{release}":
                disk.link(self.root / name, f"releases/{release}")

    def manifest(self, release: Optional[str]) -> Dict[str, Any]:
        """What a release consists of; that of nothing for None. Raises Fault."""
        if release is None:
            return {
                "files": [],
                "links": [],
                "services": [],
                "trees": [],
                "directories": [],
                "rules": None,
                "proof": None,
            }
        path = self.root / "releases" / release / "manifest.json"
        try:
            found: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Fault(f"{path}: {error}; run site.yml") from None
        return found

    def content(self, release: str, path: str) -> bytes:
        """A file of a release. Raises OSError."""
        return self.place(self.root / "releases" / release, path).read_bytes()

    def rules(self, total: str) -> bytes:
        """A rule set's bytes. Raises OSError."""
        return (self.root / "rules" / f"{total}.json").read_bytes()

    @staticmethod
    def place(folder: Path, path: str) -> Path:
        """Where a release's folder keeps the file for a path."""
        return folder / "files" / path.lstrip("/")

    def put_release(self, release: str, manifest: Dict[str, Any], contents: Dict[str, str]) -> bool:
        """Stage a release, whole or not at all; False where it is there already as it should be."""
        folder = self.root / "releases" / release
        if self.holds(folder, manifest):
            return False
        self.make(folder.parent, 0o700)
        new = folder.with_name(f".new-{release}")
        disk.clear(new)
        self.make(new, 0o700)
        for item in manifest["files"]:
            target = self.place(new, item["path"])
            for parent in reversed(target.relative_to(new).parents):
                self.make(new / parent, 0o700)
            disk.write(target, contents[item["path"]].encode())
        disk.write(new / "manifest.json", (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
        disk.clear(folder)
        new.rename(folder)
        disk.sync_folder(folder.parent)
        return True

    def holds(self, folder: Path, manifest: Dict[str, Any]) -> bool:
        """Whether a release's folder is complete."""
        try:
            if json.loads((folder / "manifest.json").read_text(encoding="utf-8")) != manifest:
                return False
            return all(
                disk.sha256(self.place(folder, f["path"]).read_bytes()) == f["sha256"] for f in manifest["files"]
            )
        except (OSError, ValueError):
            return False

    def put_rules(self, total: str, content: str) -> bool:
        """Stage a rule set; False where it is there. Raises Fault where it is not what its name says."""
        data = content.encode()
        if disk.sha256(data)[: len(total)] != total:
            raise Fault(f"rule set {total}: its content has another sum; send it again")
        path = self.root / "rules" / f"{total}.json"
        if path.is_file() and path.read_bytes() == data:
            return False
        self.make(path.parent, 0o700)
        disk.write(path, data)
        return True

    @staticmethod
    def make(folder: Path, mode: int) -> None:
        """A folder of root's own."""
        folder.mkdir(mode=mode, parents=True, exist_ok=True)

    def prune(self, state: Dict[str, Any], keep: int, budget_mb: int) -> List[str]:
        """Drop old points beyond `keep` releases or the space budget, then all that no point needs; what went.

        The point in force, what is pending and one point to go back to always stay.
        """
        points: List[Point] = [{"release": state["release"], "rules": state["rules"]}]
        pending = state["pending"]
        points += [pending["from"], pending["to"]] if pending else []
        fixed = len(points)
        points += state["history"]
        while len(points) > fixed + 1 and (
            len({point["release"] for point in points} - {None}) > keep or self.megabytes(points) > budget_mb
        ):
            points.pop()
        state["history"] = points[fixed:]
        self.save(state)
        return self.sweep(points)

    def needed(self, points: List[Point]) -> Set[Path]:
        """What some points consist of, below the root."""
        paths: Set[Path] = set()
        for point in points:
            if point["rules"]:
                paths.add(self.root / "rules" / f"{point['rules']}.json")
            if point["release"]:
                paths.add(self.root / "releases" / point["release"])
                with contextlib.suppress(Fault):
                    paths.update(Path(tree["dest"]) for tree in self.manifest(point["release"])["trees"])
        return paths

    def megabytes(self, points: List[Point]) -> int:
        """Space on disk of some points."""
        return sum(size_of(path) for path in self.needed(points)) >> 20

    def sweep(self, points: List[Point]) -> List[str]:
        """Remove what no point needs."""
        wanted = self.needed(points)
        gone = []
        for name in ("releases", "rules", "artifacts", "parser", "host"):
            for path in sorted((self.root / name).glob("*")) + sorted((self.root / name).glob(".new-*")):
                if path not in wanted and not path.is_symlink():
                    shutil.rmtree(str(path)) if path.is_dir() else path.unlink()
                    gone.append(str(path))
        return gone


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum((Path(top) / name).lstat().st_size for top, _, names in os.walk(str(path)) for name in names)
