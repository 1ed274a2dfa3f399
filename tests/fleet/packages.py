"""What the machine itself needs from its distribution, installed where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from fleet.progress import FleetError, run_long, say

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


def ensure() -> None:
    """Install what is missing. FleetError on machines other than Debian's family, and for users other than root."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        raise FleetError("this machine has no apt: the fleet needs Debian 12 or newer (or Ubuntu 24.04 or newer)")
    if os.geteuid() != 0:
        raise FleetError("the fleet's hosts need root (systemd in containers, a network bridge): run this as root")
    missing = sorted(set(NEEDED) - installed(NEEDED))
    if not missing:
        return
    say(f"this machine lacks {', '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run_long(["apt-get", "-q", "update"], "apt-get update", env)
    run_long(["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing], "installing packages", env)
