"""ssh keys of a fleet: one to log in with, and a host key for each host, so that every connection is verified."""

from __future__ import annotations

from pathlib import Path

from fleet.fleets import Fleet, Host
from fleet.progress import run


def login_key(fleet: Fleet) -> Path:
    """The private key for root on every host of the fleet; the public one lies beside it."""
    return _key(fleet.home / "id_ed25519", f"logmetrics fleet {fleet.name}")


def host_key(fleet: Fleet, host: Host) -> Path:
    """The private host key of one host."""
    return _key(fleet.home / "host_keys" / host.name, host.name)


def public(key: Path) -> str:
    """The public key that belongs to a private one."""
    return key.with_name(key.name + ".pub").read_text()


def write_known_hosts(fleet: Fleet) -> Path:
    """Write the fleet's known_hosts from the keys that its hosts were given (format: sshd(8))."""
    lines = [
        f"{host.address},{host.name} {' '.join(public(host_key(fleet, host)).split()[:2])}\n" for host in fleet.hosts
    ]
    target = fleet.home / "known_hosts"
    target.write_text("".join(lines))
    return target


def _key(path: Path, comment: str) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], "making an ssh key")
    return path
