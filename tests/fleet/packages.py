"""What the machine itself needs from its distribution, installed where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from fleet.cache import cache_dir, lock
from fleet.progress import FleetError, run, run_long, say

# iptables and nftables: netavark drives the one or the other, by its version.
NEEDED = (
    *("podman", "crun", "conmon", "netavark", "aardvark-dns", "iptables", "nftables", "uidmap"),
    *("mmdebstrap", "debian-archive-keyring", "ca-certificates", "openssh-client"),
)


def installed(names: Iterable[str]) -> set[str]:
    """Those of these packages that dpkg calls installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    lines = subprocess.run(query, check=False, capture_output=True, text=True).stdout.splitlines()
    return {name for name, _, status in (line.partition(" ") for line in lines) if status == "installed"}


def ensure(wanted: Sequence[str] = NEEDED) -> None:
    """Install what of it is missing. FleetError where that cannot be: no apt, or not as root."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        raise FleetError("this machine has no apt: the fleet needs Debian 12 or newer (or Ubuntu 24.04 or newer)")
    if os.geteuid() != 0:
        raise FleetError("the fleet's hosts need root (systemd in containers, a network bridge): run this as root")
    missing = sorted(set(wanted) - installed(wanted))
    if not missing:
        return
    say(f"this machine lacks {', '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run_long(["apt-get", "-q", "update"], "apt-get update", env)
    run_long(["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing], "installing packages", env)


def known(*names: str) -> list[str]:
    """Those of these packages that apt could install, in the order given; FleetError where there are none."""
    for again in (False, True) if shutil.which("apt-cache") else ():
        if again and os.geteuid() == 0:
            run(["apt-get", "-q", "update"], "apt-get update")  # a new machine has no lists
        shown = run(["apt-cache", "policy", *names], "reading apt's lists").splitlines()
        found = {line.removesuffix(":") for line, after in zip(shown, shown[2:], strict=False) if "(none)" not in after}
        if some := [name for name in names if name in found]:
            return some
    raise FleetError(f"apt knows none of {', '.join(names)}; run apt-get update")


def unpacked(*names: str) -> Path:
    """The files of these packages below a folder of the cache: nothing of the machine's own system is changed."""
    folder = cache_dir() / "unpacked" / "-".join(names)
    with lock("unpacked"):
        if folder.exists():
            return folder
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise FleetError(f"this machine has no apt, by which the tests get {', '.join(names)}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as new:
            debs = Path(new) / "debs"
            files = Path(new) / "files"
            debs.mkdir()
            download = ["sh", "-c", 'cd "$0" && exec apt-get -q download "$@"', str(debs), *names]
            run(download, f"downloading {', '.join(names)}")
            for deb in debs.glob("*.deb"):
                run(["dpkg-deb", "--extract", str(deb), str(files)], f"unpacking {deb.name}")
            files.rename(folder)
    return folder
