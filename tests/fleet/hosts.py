"""Start, stop and use the hosts of a fleet."""

from __future__ import annotations

import concurrent.futures
import io
import os
import resource
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from fleet import artifacts, images, keys, namespace, network, packages
from fleet.cache import key_of, lock
from fleet.fleets import MIRROR, Fleet, Host, named
from fleet.podman import command, podman, query, unpack
from fleet.progress import FleetError, reason_in, run, say
from fleet.recipes import ROOTFS

LABEL_FLEET = "logmetrics.fleet"
LABEL_MADE_OF = "logmetrics.made-of"
BOOT_SECONDS = 120  # a host needs 2 to 5 s; a busy machine with fifty of them longer
RUNNING = "running"
LOST = (
    "lost"  # podman has it as running, but it ended without podman's knowledge, as where the machine was switched off
)
SEED_TIME = 1577836800  # any fixed time: equal seeds are equal bytes


@dataclass(frozen=True)
class Plan:
    """How one container is created; a changed plan means a new container."""

    arguments: tuple[str, ...]
    seed: bytes

    @property
    def key(self) -> str:
        """Stands for the plan in the container's label."""
        return key_of("\0".join(self.arguments).encode(), self.seed)


def up(fleet: Fleet, mirror: bool = True) -> None:
    """Start what is not running yet and wait until every host is `running`.

    A host whose image, keys or settings have changed is made anew. Without `mirror` the artifacts are neither built
    nor served, and the mirror host is left out.
    """
    packages.ensure()
    with lock("fleet"):  # what can be refused is refused before anything is built
        namespace.ensure()
        network.ensure(fleet)
    served = (
        artifacts.mirror_root(fleet.old) if mirror and any(host.overlay == MIRROR for host in fleet.hosts) else None
    )
    wanted = [host for host in fleet.hosts if served or host.overlay != MIRROR]
    with lock("fleet"):
        namespace.ensure()  # again: the last of other fleets may have gone meanwhile, and the namespace with it
        images.ensure({host.recipe.name: host.recipe for host in wanted}.values())
        fleet.control_dir.mkdir(parents=True, exist_ok=True)
        keys.write_known_hosts(named(fleet.name))
        there = containers(fleet)
        fresh = [host for host in wanted if _start(host, plan(fleet, host, served), there)]
    if fresh:
        say(f"started {', '.join(host.name for host in fresh)}")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(wait_running, wanted))
    say(f"fleet {fleet.name}: {len(wanted)} hosts running on {fleet.subnet}")


def down(fleet: Fleet) -> None:
    """Remove the fleet's containers and network; with the last fleet also the mount namespace and kernel limits."""
    if not namespace.exists() or not shutil.which("podman"):
        say(f"fleet {fleet.name}: nothing to remove")
        return
    with lock("fleet"):
        close_connections(fleet)
        there = sorted(containers(fleet))
        if there:
            say(f"removing {len(there)} hosts of fleet {fleet.name}")
            podman("rm", "--force", "--volumes", "--time", "0", *there)
        network.remove(fleet)
        if not query("ps", "--all", "--filter", f"label={LABEL_FLEET}"):
            namespace.remove()
    say(f"fleet {fleet.name}: removed")


def plan(fleet: Fleet, host: Host, served: Path | None) -> Plan:
    """How this host's container is created."""
    # With --systemd podman would lay a tmpfs over the journal, which a real host keeps when it is switched off.
    volumes = ["--volume=/var/log/journal"]
    if host.overlay == MIRROR:
        volumes.append(f"--volume={served}:/srv/mirror:ro")
    # The limits must not be above the caller's own where root lacks CAP_SYS_RESOURCE.
    limits = [
        f"--ulimit={name}={limit}:{limit}"
        for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
        for limit in [_below(resource.getrlimit(kind)[1], 10000)]
    ]
    arguments = [
        *(f"--name={host.container}", f"--hostname={host.name}", f"--network={fleet.network}", f"--ip={host.address}"),
        # Privileged, or systemd could not confine its units (mount namespaces) as it does on a real host.
        *("--privileged", "--systemd=always", "--pids-limit=-1", "--log-driver=k8s-file", *limits),
        *("--tmpfs=/run", "--tmpfs=/tmp", "--no-hosts", *volumes, host.recipe.tag),
    ]
    return Plan(tuple(arguments), seed(fleet, host))


def seed(fleet: Fleet, host: Host) -> bytes:
    """A tar of what makes this host itself: its ssh host key, the login key, the overlay's files."""
    private = keys.host_key(fleet, host)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(name: str, mode: int, content: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.mode, info.size, info.mtime = mode, len(content), SEED_TIME
            archive.addfile(info, io.BytesIO(content))

        folder = tarfile.TarInfo("root/.ssh")
        folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o700, SEED_TIME
        archive.addfile(folder)
        add("etc/hosts", 0o644, etc_hosts(named(fleet.name)).encode())
        add("root/.ssh/authorized_keys", 0o600, keys.public(keys.login_key(fleet)).encode())
        add("etc/ssh/ssh_host_ed25519_key", 0o600, private.read_bytes())
        add("etc/ssh/ssh_host_ed25519_key.pub", 0o644, keys.public(private).encode())
        top = ROOTFS / host.overlay
        for path in sorted(top.rglob("*")) if host.overlay else []:
            name = str(path.relative_to(top))
            if path.is_symlink():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(link)
            elif path.is_file():
                add(name, 0o644, path.read_bytes())
    return buffer.getvalue()


def etc_hosts(fleet: Fleet) -> str:
    """The hosts of a fleet know each other by name, and nothing of this machine's own /etc/hosts."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "".join(f"{line}\n" for line in [*lines, *(f"{host.address} {host.name}" for host in fleet.hosts)])


def containers(fleet: Fleet) -> dict[str, dict[str, str]]:
    """The fleet's containers by name, each with `state` and `made-of`."""
    found = query("ps", "--all", "--filter", f"label={LABEL_FLEET}={fleet.name}")
    return {
        one["Names"][0]: {
            "state": LOST if one["State"] == RUNNING and not _lives(one["Pid"], one["Id"]) else one["State"],
            "made-of": one["Labels"].get(LABEL_MADE_OF, ""),
        }
        for one in found
    }


def _lives(pid: int, container: str) -> bool:
    """Whether the process is still the container's init: another may have its number."""
    own = Path("/proc") / str(pid)
    try:
        named = (own / "comm").read_text(encoding="utf-8").strip() == "systemd"
        # Not every layout of control groups has the container's name in it.
        return named or container in (own / "cgroup").read_text(encoding="utf-8")
    except OSError:
        return False


def system_state(host: Host) -> str:
    """What systemd says of itself (`systemctl is-system-running`), or "" where it does not answer yet."""
    ask = command("exec", host.container, "systemctl", "is-system-running")
    return subprocess.run(ask, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def wait_running(host: Host) -> None:
    """Wait until systemd says `running`, by which sshd listens too (its unit is Type=notify).

    FleetError with the failed units, or with the last state where the host takes too long.
    """
    deadline = time.monotonic() + BOOT_SECONDS
    state = system_state(host)
    while state != RUNNING:
        if state == "degraded":
            units = execute(host, "systemctl", "list-units", "--failed", "--plain", "--no-legend").splitlines()
            raise FleetError(f"host {host.name} is degraded; failed: {', '.join(line.split()[0] for line in units)}")
        if time.monotonic() > deadline:
            raise FleetError(
                f"host {host.name} is not running after {BOOT_SECONDS} s (its state: {state or 'no answer'})"
            )
        time.sleep(0.2)
        state = system_state(host)


def execute(host: Host, *words: str, stdin: str | None = None) -> str:
    """Run a command on the host as root, without ssh, and return its stdout; FleetError where it fails."""
    options = ["--interactive"] if stdin is not None else []
    return run(
        command("exec", *options, host.container, *words),
        f"{words[0]} on {host.name}",
        stdin.encode() if stdin is not None else None,
    )


def become(host: Host, words: list[str]) -> None:
    """Replace this process by a command on the host, with this terminal where there is one."""
    options = ["--interactive", *(["--tty"] if os.isatty(0) and os.isatty(1) else [])]
    line = command("exec", *options, host.container, *words)
    os.execvp(line[0], line)  # noqa: S606 - a fixed argument list; there is no shell to leave out


def close_connections(fleet: Fleet) -> None:
    """End the ssh connections that Ansible keeps open to these hosts; to a new host they would be dead."""
    for path in fleet.control_dir.glob("*") if fleet.control_dir.is_dir() else []:
        subprocess.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit", "any"], check=False, capture_output=True)
        path.unlink(missing_ok=True)


def _start(host: Host, wanted: Plan, there: dict[str, dict[str, str]]) -> bool:
    """Bring one host to life; True where something had to be done."""
    now = there.get(host.container)
    why = ""
    if now and now["state"] == LOST:
        why = "it was not shut down"
    elif now and now["made-of"] != wanted.key:
        why = "its image or settings have changed"
    if why:
        say(f"{host.name}: {why}, it is made anew")
        podman("rm", "--force", "--volumes", "--time", "0", host.container)
        now = None
    if not now:
        labels = [f"--label={LABEL_FLEET}={host.fleet}", f"--label={LABEL_MADE_OF}={wanted.key}"]
        podman("create", *labels, *wanted.arguments)
        unpack(host.container, wanted.seed)
    elif now["state"] == RUNNING:
        return False
    try:
        podman("start", host.container)
    except FleetError as error:
        raise FleetError(f"host {host.name} does not start: {error}; last words: {last_words(host)}") from error
    return True


def last_words(host: Host) -> str:
    """The end of what the host's init printed."""
    shown = subprocess.run(command("logs", "--tail", "3", host.container), check=False, capture_output=True, text=True)
    return reason_in(shown.stdout + shown.stderr, 3)


def _below(limit: int, most: int) -> int:
    return most if limit == resource.RLIM_INFINITY else min(limit, most)
