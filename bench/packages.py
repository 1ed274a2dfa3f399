"""Gets the peers: Debian's packages, unpacked into the cache and not installed, and pygtail from PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fleet.cache import cache_dir, key_of
from fleet.progress import FleetError, run, run_long

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def debian(name: str) -> Path:
    """The root below which a Debian package's files are. Installing it would start its service, and needs root."""
    home = cache_dir() / "bench" / "debian"
    home.mkdir(parents=True, exist_ok=True)
    found = sorted(home.glob(f"{name}_*"))
    if found:
        return found[-1]
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=", "download", name]
        fetched = subprocess.run(command, check=False, cwd=scratch, capture_output=True)
        if fetched.returncode and os.geteuid() == 0:
            run_long(["apt-get", "-q", "update"], "apt-get update")
            fetched = subprocess.run(command, check=False, cwd=scratch, capture_output=True)
        packages = list(Path(scratch).glob("*.deb"))
        if fetched.returncode or not packages:
            raise FleetError(f"Debian's package {name} cannot be had; check apt-get download {name}")
        target = home / packages[0].name.removesuffix(".deb")
        part = Path(scratch) / "root"
        run(["dpkg", "-x", str(packages[0]), str(part)], f"unpacking {packages[0].name}")
        part.rename(target)
    return target


def pypi() -> Path:
    """The folder with the packages of requirements.txt, for PYTHONPATH."""
    target = cache_dir() / "bench" / f"pypi-{key_of(REQUIREMENTS.read_bytes(), sys.version.encode())}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            run_long([*pip, "--no-deps", "--target", f"{scratch}/all", "-r", str(REQUIREMENTS)], "installing pygtail")
            (Path(scratch) / "all").rename(target)
    return target
