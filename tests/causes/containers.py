"""Docker and containerd, from Debian, in a privileged container: vfs storage, no network, an image of busybox alone."""

from __future__ import annotations

import io
import pathlib
import subprocess
import tarfile
import time

from causes.ledger import Ledger
from causes.shell import ENV, quietly, sh, wait_for, write

RUN = ("docker", "run", "--network", "none", "--pull", "never")


def set_up() -> None:
    """Docker started, the image imported."""
    write(
        "/etc/docker/daemon.json",
        '{"storage-driver": "vfs", "iptables": false, "ip6tables": false, "bridge": "none"}\n',
    )
    sh("systemctl", "start", "docker")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add("/bin/busybox", "bin/busybox", filter=lambda info: info)
        for name in ("sh", "true", "false", "sleep"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    subprocess.run(
        ["docker", "import", "-", "box"], input=buffer.getvalue(), check=True, stdout=subprocess.DEVNULL, env=ENV
    )
    sh(*RUN, "--rm", "box", "/bin/true")


def cause(ledger: Ledger) -> None:
    """Containers that end, one that must be killed, requests that fail, the daemon restarted."""
    for _ in range(3):
        sh(*RUN, "--rm", "box", "/bin/true")
    sh(*RUN, "--rm", "box", "/bin/false", fails=True)
    ledger.add("docker", "container that ends by itself", 4, docker__container_exit=1, containerd__shim_exit=1)
    name = sh(*RUN, "--detach", "box", "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done").strip()
    time.sleep(1)
    sh("docker", "stop", "--time", "1", name)
    ledger.add(
        "docker",
        "container that does not stop when told",
        1,
        docker__container_exit=1,
        docker__killed=1,
        containerd__shim_exit=1,
    )
    sh(*RUN, "nothing-like-it", fails=True)
    ledger.add("docker", "image that does not exist (the client's fault)", 1)
    for _ in range(2):
        sh("docker", "pull", "127.0.0.1:5/nothing", fails=True)
    ledger.add("docker", "registry that does not answer", 2, docker__request_failed=1, docker__error=1)
    sh("systemctl", "restart", "docker")
    wait_for("Docker", lambda: quietly("docker", "ps") == 0)
    ledger.add("docker", "dockerd restarted", 1, docker__started=1)
    for metric in ("logs.containerd.oom", "logs.containerd.pull_failed"):
        ledger.cannot(metric, "written for Kubernetes (CRI) alone")
    ledger.cannot("logs.docker.health_error", "a race of Docker's own: seen once, its line is the rule's test")
    ledger.leave_open("logs.containerd.error", "on cgroup v1 containerd complains of each container")
    assert pathlib.Path("/run/docker.sock").exists()
