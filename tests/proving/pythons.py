"""`make pythons`: the parser's unit tests and 500 schedules on each Python from 3.8 on; writes docs/proof/pythons.md.

    python3 -m proving.pythons [VERSION...]

An interpreter is the machine's own (PATH, pyenv), or comes with the Go module go-embed-python, pinned by its checksum,
unpacked into the user's cache.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet import artifacts, proof
from fleet.cache import cache_dir, key_of
from fleet.progress import FleetError, run_long, say

from proving import UNIT

TOP = UNIT.parents[1]
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
SCHEDULES = 500
AT_ONCE = 3
MODULE = "github.com/kluctl/go-embed-python"
# Whole interpreters for Linux on x86_64, and the modules' sums as in go.sum.
EMBEDDED = {
    "3.10": ("v0.0.0-3.10.16-20241219-1", "h1:bfJRrtWlbdrPtwXXXZzA95yj2Pr9AvSbxDEm8YvbaP0="),
    "3.11": ("v0.0.0-3.11.11-20241219-1", "h1:yVXFTxa6cvhLC6TwkDEHmNaiWlDyaFEGiXd1DQdoeOU="),
    "3.13": ("v0.0.0-3.13.1-20241219-1", "h1:x1cSEj4Ug5mpuZgUHLvUmlc5r//KHFn6iYiRSrRcVy4="),
    "3.14": ("v0.0.0-3.14.6-20260610-1", "h1:oGUS7++Wm3LgxUfD6AmJgKbKQD2wdQFO9PzyJv6T+E4="),
}
# The last releases that run on Python 3.8; all versions are tested with these.
PACKAGES = (
    *("pytest==8.3.5", "hypothesis==6.113.0", "attrs==25.3.0", "sortedcontainers==2.4.0", "iniconfig==2.1.0"),
    *("packaging==25.0", "pluggy==1.5.0", "exceptiongroup==1.3.0", "tomli==2.2.1", "typing-extensions==4.13.2"),
    "PyYAML==6.0.3",  # preview and explain take packs, too
)
# What runs on the controller alone (YAML packs, RE2, TLS of a test server, the machine's packages): make test runs it.
CONTROLLER = re.compile(
    r"^(?:import|from) (?:yaml|re2|fleet|cryptography)"
    r"|logmetrics(?:\.| import .*)(?:check|compile|rulelint|rulespec|newrule)",
    re.M,
)


def own(version: str) -> Path | None:
    """The machine's interpreter of this version."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which(f"python{version}") or "", *sorted(map(str, root.glob(f"{version}.*/bin/python3")))]
    for path in filter(None, found):
        code = "import sys, zlib, lzma, bz2; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return Path(path)
    return None


def embedded(version: str) -> Path | None:
    """The interpreter of the Go module, unpacked into the cache; None where it has none for this version or machine."""
    if version not in EMBEDDED or platform.machine() != "x86_64":
        return None
    release, checksum = EMBEDDED[version]
    home = cache_dir() / "pythons" / release
    python = home / "bin" / f"python{version}"
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        done = subprocess.run(
            [artifacts.go_command(), "mod", "download", "-json", f"{MODULE}@{release}"],
            capture_output=True, text=True, check=False, env={**os.environ, "GOFLAGS": "-mod=mod"},
        )  # fmt: skip
        about = json.loads(done.stdout or "{}")
        if about.get("Sum") != checksum:
            raise FleetError(f"{MODULE}@{release}: {about.get('Error', 'has another checksum')}")
        unpack(Path(about["Dir"]) / "python" / "internal" / "data" / "linux-amd64", home)
        (home / ".complete").touch()
    return python


def unpack(source: Path, target: Path) -> None:
    """Lay the module's files out as an installation; its large ones are compressed."""
    for entry in json.loads((source / "files.json").read_text())["files"]:
        name = entry["name"]
        packed, place = source / f"{name}.gz", target / name
        if (source / name).is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.get("symlink"):
            place.symlink_to(entry["symlink"])
            continue
        place.write_bytes(gzip.decompress(packed.read_bytes()) if packed.exists() else (source / name).read_bytes())
        place.chmod(entry["perm"] & 0o777 | 0o600)


def packages(version: str) -> Path:
    """A folder with pytest and Hypothesis for this version."""
    target = cache_dir() / "pythons" / f"packages-{version}-{key_of(repr(PACKAGES).encode())}"
    if not (target / ".complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "--no-deps"]
        run_long(
            [*pip, "--only-binary=:all:", f"--python-version={version}", *PACKAGES], f"packages for Python {version}"
        )
        (target / ".complete").touch()
    return target


def tests() -> list[Path]:
    """The tests of what runs on hosts."""
    return [path for path in sorted(UNIT.glob("test_*.py")) if not CONTROLLER.search(path.read_text())]


def run(version: str) -> tuple[str, bool]:
    """(a row of the table, whether all passed)."""
    python = own(version) or embedded(version)
    if python is None:
        return f"| {version} | not to be had on this machine | | |", False
    full = subprocess.run([str(python), "-VV"], capture_output=True, text=True, check=True).stdout.split("(")[0].strip()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": f"{packages(version)}:{TOP}/tests:{TOP}/roles/logmetrics/files",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOGMETRICS_BATCH": str(SCHEDULES // 4),
    }
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, tests())]
    began = time.monotonic()
    # A session of its own has its own share of the processors.
    done = subprocess.run(
        command, cwd=TOP, env=env, capture_output=True, text=True, check=False, start_new_session=True
    )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
    if done.returncode:
        print(done.stdout[-5000:], done.stderr[-2000:])
    verdict = re.sub(r" in .*", "", last.strip("= "))
    say(f"{full}: {verdict}, {time.monotonic() - began:.0f} s")
    return (
        f"| {full} | {verdict} | {SCHEDULES} | {'all passed' if not done.returncode else 'FAILED'} |",
        not done.returncode,
    )


def main(argv: list[str]) -> int:
    """0 where all passed on every version."""
    rows, good = [], True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for row, passed in pool.map(run, argv or VERSIONS):
            rows.append(row)
            good = good and passed
    if argv:
        return 0 if good else 1
    text = [
        "The unit tests of all that runs on a host, the chaos schedules among them (seed 1, two late modes, with and",
        "without lines destroyed). Tests of the controller's verbs need YAML and RE2 and run with the project's own",
        "Python: " + ", ".join(path.name for path in sorted(UNIT.glob("test_*.py")) if path not in tests()) + ".",
        "",
        "| Python | unit tests | schedules | verdict |",
        "|---|---|---|---|",
        *rows,
    ]
    proof.write("pythons", "make pythons", "all passed" if good else "NOT all passed", "\n".join(text))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
