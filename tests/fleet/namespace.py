"""The mount namespace in which podman runs, and the kernel's limits for many systemd hosts.

systemd in a container needs a cgroup v2 hierarchy. Where the machine has the older, hybrid one (cgroups(7)), every
podman call runs in a private mount namespace that has cgroup v2 at its usual place. Containers live and die with the
namespace that they were started in (their network namespaces are mounts in it), so there is one, kept by name.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from fleet.progress import FleetError, run, say

RUN_DIR = Path("/run/logmetrics-fleet")
MOUNT = RUN_DIR / "mnt"
SAVED_LIMITS = RUN_DIR / "sysctl.json"
# Each systemd takes several inotify instances; the kernel's 128 a user are gone at the 27th host.
LIMITS = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 524288}

_ENTER = "mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup"


def unified() -> bool:
    """Whether this machine has the plain cgroup v2 hierarchy; then no namespace is needed."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def mounted(path: Path) -> bool:
    """Whether something is mounted at exactly this path (the fifth field of /proc/self/mountinfo, proc(5))."""
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def prefix() -> list[str]:
    """What to put before a podman command, so that it runs in the right namespace (working directory: /)."""
    return [] if unified() else ["nsenter", f"--mount={MOUNT}", "--"]


def exists() -> bool:
    """Whether podman can be called as `prefix()` says."""
    return unified() or mounted(MOUNT)


def ensure() -> None:
    """Make the namespace where it is needed and missing, and raise the kernel's limits (never lower them)."""
    RUN_DIR.mkdir(mode=0o700, exist_ok=True)
    _raise_limits()
    if exists():
        return
    say("making a mount namespace with cgroup v2 (this machine's own cgroups are of the older, hybrid kind)")
    if not mounted(RUN_DIR):
        # A namespace can be kept only at a mount that is private (unshare(1), --mount=file).
        run(["mount", "--bind", str(RUN_DIR), str(RUN_DIR)], "mount namespace")
        run(["mount", "--make-private", str(RUN_DIR)], "mount namespace")
    MOUNT.touch()
    keep(MOUNT, _ENTER)


def keep(mount: Path, script: str) -> None:
    """Make a mount namespace, run a script in it and keep it at a file; FleetError where no processor can.

    A kernel lets a namespace be mounted only in one with a lower number, so that no two hold each other. Linux 6.18
    numbers from a range for each processor: where the namespace that we are in was made on another processor, ours may
    get a lower number, and the mount is an EINVAL. The processor that made it will do, so each is tried.
    """
    for processor in range(os.cpu_count() or 1):
        try:
            run(["taskset", "-c", str(processor), "unshare", f"--mount={mount}", "sh", "-c", script], "mount namespace")
        except FleetError as error:
            refused = error
        else:
            return
    raise refused


def remove() -> None:
    """Remove the namespace and put the kernel's limits back. Only where no host runs any more."""
    if mounted(MOUNT):
        run(["umount", str(MOUNT)], "removing the mount namespace")
    _restore_limits()
    if mounted(RUN_DIR):
        run(["umount", str(RUN_DIR)], "removing the mount namespace")
    shutil.rmtree(RUN_DIR, ignore_errors=True)


def _raise_limits() -> None:
    saved: dict[str, int] = json.loads(SAVED_LIMITS.read_text()) if SAVED_LIMITS.exists() else {}
    for name, wanted in LIMITS.items():
        path = Path("/proc/sys") / name
        now = int(path.read_text())
        if now >= wanted:
            continue
        try:
            path.write_text(str(wanted))
        except OSError as error:
            raise FleetError(f"{path}: cannot be raised from {now} to {wanted}: {error.strerror}") from error
        saved.setdefault(name, now)
    SAVED_LIMITS.write_text(json.dumps(saved))


def _restore_limits() -> None:
    if SAVED_LIMITS.exists():
        for name, value in json.loads(SAVED_LIMITS.read_text()).items():
            (Path("/proc/sys") / name).write_text(str(value))
