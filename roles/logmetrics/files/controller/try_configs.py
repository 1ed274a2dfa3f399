"""Try configurations on the controller with the very programs that will read them on the hosts.

    try_configs.py CACHE_DIR < JSON

JSON: a list of {archive, sha256, member, path, content, arguments, arch, hosts}. Prints a list of {path, hosts, fault,
tried}: `fault` is the program's own words, empty where it takes the file; `tried` is false, with the reason as `fault`,
where the program is not for this machine or its archive is not here (the host will try it itself before any switch).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from host.said import reason

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def extract(archive: Path, member: str) -> bytes:
    """One member of a zip or tar. Raises KeyError where it is not there."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            return packed.read(member)
    with tarfile.open(archive) as tar:
        for one in tar:
            content = tar.extractfile(one) if one.name.removeprefix("./") == member else None
            if content is not None:
                return content.read()
    raise KeyError(member)


def program(cache: Path, check: dict[str, Any]) -> Path:
    """The program of an archive, unpacked once. Raises OSError, KeyError or ValueError."""
    target: Path = cache / "programs" / check["sha256"][:16] / Path(check["member"]).name
    if not target.exists():
        data = Path(check["archive"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != check["sha256"]:
            raise ValueError("the archive on the controller has another sum")
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_suffix(f".{os.getpid()}")
        new.write_bytes(extract(Path(check["archive"]), check["member"]))
        new.chmod(0o755)
        new.replace(target)
    return target


def attempt(cache: Path, check: dict[str, Any]) -> tuple[bool, str]:
    """Whether a file could be tried, and what speaks against it."""
    if MACHINES.get(platform.machine()) != check["arch"] or platform.system() != "Linux":
        return False, f"its program is for linux/{check['arch']}"
    try:
        command = program(cache, check)
    except (OSError, KeyError, ValueError) as error:
        return False, str(error)
    with tempfile.NamedTemporaryFile("w", suffix=Path(check["path"]).suffix) as file:
        file.write(check["content"])
        file.flush()
        words = [str(command), *(word.replace("%s", file.name) for word in check["arguments"])]
        try:
            done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120, cwd="/")
        except (OSError, subprocess.TimeoutExpired) as error:
            return True, f"{Path(check['archive']).name} does not run: {error}"
    said = (done.stdout + done.stderr).replace(file.name, check["path"])
    return True, (reason(said) or f"exit {done.returncode}") if done.returncode else ""


def main(cache: str) -> int:
    """See the module; always ends with 0."""
    verdicts = []
    for check in json.load(sys.stdin):
        tried, fault = attempt(Path(cache), check)
        verdicts.append({"path": check["path"], "hosts": check["hosts"], "tried": tried, "fault": fault})
    sys.stdout.write(json.dumps(verdicts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
