"""dpkg, apt and unattended-upgrades, with packages of our own from an archive on the host itself."""

from __future__ import annotations

import hashlib
import pathlib

from causes.ledger import Ledger
from causes.shell import quietly, sh, write

ARCHIVE = pathlib.Path("/srv/archive")
LISTS = "/etc/apt/proof.list"
SETTINGS = """\
Dir::Etc::sourcelist "/etc/apt/proof.list";
Dir::Etc::sourceparts "/dev/null";
Unattended-Upgrade::Origins-Pattern { "origin=proof"; };
Unattended-Upgrade::Package-Blacklist {};
Unattended-Upgrade::Automatic-Reboot "%s";
Unattended-Upgrade::Automatic-Reboot-Time "23:59";
Unattended-Upgrade::OnlyOnACPower "false";
Unattended-Upgrade::Skip-Updates-On-Metered-Connections "false";
"""


def build(name: str, version: str, postinst: str = "") -> pathlib.Path:
    """A package with nothing in it."""
    folder = pathlib.Path(f"/srv/build/{name}")
    write(
        str(folder / "DEBIAN/control"),
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: proof\nDescription: proof\n",
    )
    script = folder / "DEBIAN/postinst"
    script.unlink(missing_ok=True)
    if postinst:
        write(str(script), f"#!/bin/sh\n{postinst}\n", 0o755)
    target = ARCHIVE / f"{name}_{version}_all.deb"
    sh("dpkg-deb", "--build", "--root-owner-group", str(folder), str(target))
    return target


def publish() -> None:
    """Write the archive's indexes."""
    entries = []
    for deb in sorted(ARCHIVE.glob("*.deb")):
        control = sh("dpkg-deb", "--field", str(deb))
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        entries.append(f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    packages = "\n".join(entries).encode()
    (ARCHIVE / "Packages").write_bytes(packages)
    digest = hashlib.sha256(packages).hexdigest()
    head = "Origin: proof\nLabel: proof\nSuite: stable\nArchitectures: all amd64 arm64\n"
    date = "Date: Sat, 22 Nov 2025 10:00:00 UTC\n"
    write(str(ARCHIVE / "Release"), f"{head}{date}SHA256:\n {digest} {len(packages)} Packages\n")
    sh("apt-get", "-q", "update")


def set_up() -> None:
    """apt knows our archive alone."""
    ARCHIVE.mkdir(parents=True)
    write(LISTS, f"deb [trusted=yes] file:{ARCHIVE} ./\n")
    write("/etc/apt/apt.conf.d/99-proof", SETTINGS % "false")
    write("/etc/apt/apt.conf.d/20auto-upgrades", "")


def cause(ledger: Ledger) -> None:
    """Install, upgrade, remove; then upgrades that nobody attends to: one that works, one that fails."""
    for name in ("proof-a", "proof-b", "proof-c"):
        sh("dpkg", "--install", str(build(name, "1.0")))
    ledger.add("dpkg", "package installed", 3, packages__installed=1)
    sh("apt-get", "-q", "install", "-y", str(build("proof-a", "1.1")))
    ledger.add("apt", "package upgraded", 1, packages__upgraded=1)
    sh("dpkg", "--remove", "proof-c")
    ledger.add("dpkg", "package removed", 1, packages__removed=1)
    build("proof-a", "1.2")
    publish()
    sh("unattended-upgrade", "--verbose")
    ledger.add("unattended-upgrades", "upgrade that works", 1, packages__upgraded=1, packages__unattended_done=1)
    write("/etc/apt/apt.conf.d/99-proof", SETTINGS % "true")
    write("/run/reboot-required", "")
    build("proof-a", "1.3")
    publish()
    sh("unattended-upgrade", "--verbose")
    quietly("shutdown", "-c")
    pathlib.Path("/run/reboot-required").unlink()
    ledger.add(
        "unattended-upgrades",
        "upgrade that asks for a reboot",
        1,
        packages__upgraded=1,
        packages__unattended_done=1,
        packages__unattended_reboot=1,
    )
    write("/etc/apt/apt.conf.d/99-proof", SETTINGS % "false")
    build("proof-b", "1.1", "exit 1")
    publish()
    quietly("unattended-upgrade", "--verbose")
    ledger.add(
        "unattended-upgrades", "upgrade whose script fails", 1, packages__upgraded=1, packages__unattended_error=1
    )
    sh("dpkg", "--force-all", "--purge", "proof-b")
    ledger.add("dpkg", "broken package removed", 1, packages__removed=1)
