"""The machine's own kernel: processes that crash, memory that runs out, disks and file systems that break (loop devices
of our own), packets that are logged. Every host on this machine reads the same kernel log: one host causes for all.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from causes.ledger import Ledger
from causes.shell import ENV, quietly, sh

SCRATCH = pathlib.Path("/srv/scratch")
TRAP = (
    "import ctypes, mmap; m = mmap.mmap(-1, 4096, prot=7); m.write(bytes.fromhex('{code}')); "
    "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()"
)
EATS = "b = bytearray(200_000_000); b[::4096] = b'x' * len(b[::4096])"
DIVIDE, INVALID = "31c931d2b801000000f7f1c3", "0f0bc3"  # x86-64: div by zero; ud2


def set_up() -> None:
    """A folder for images."""
    SCRATCH.mkdir(parents=True, exist_ok=True)


def python(code: str) -> int:
    """Run Python code that is to crash; the signal it died of."""
    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL, env=ENV)
    return -done.returncode


def by_crashes(ledger: Ledger) -> None:
    """Processes that crash."""
    for _ in range(2):
        if python("import ctypes; ctypes.string_at(0)") != signal.SIGSEGV:
            raise SystemExit("causes: no segmentation fault")
    ledger.add("kernel", "process that reads at address 0", 2, kernel__segfault=1)
    if os.uname().machine == "x86_64":
        for code, died_of in ((DIVIDE, signal.SIGFPE), (INVALID, signal.SIGILL)):
            if python(TRAP.format(code=code)) != died_of:
                raise SystemExit(f"causes: no {died_of.name}")
        ledger.add("kernel", "process that divides by zero, one with an invalid instruction", 2, kernel__trap=1)
    else:
        ledger.cannot("logs.kernel.trap", "x86's message; this machine has another processor")


def by_memory(ledger: Ledger) -> None:
    """A process beyond its control group's memory (cgroup v1 or v2, as the machine has it)."""
    top = pathlib.Path("/srv/memory")
    if "memory" in pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text().split():
        limits = ("--property=MemoryMax=20M", "--property=MemorySwapMax=0")
        quietly("systemd-run", "--wait", "--quiet", *limits, sys.executable, "-c", EATS)
        ledger.add("systemd", "service beyond MemoryMax", 1, systemd__oom=1, systemd__failed=1)
    else:
        top.mkdir()
        sh("mount", "-t", "cgroup", "-o", "memory", "cgroup", str(top))
        group = top / "proof-memory"
        try:
            group.mkdir()
            (group / "memory.limit_in_bytes").write_text("20000000")
            if python(f"open('{group}/cgroup.procs', 'w').write('0'); {EATS}") != signal.SIGKILL:
                raise SystemExit("causes: nobody was killed for want of memory")
            time.sleep(0.5)
            group.rmdir()
        finally:
            sh("umount", str(top))
        why = "this machine's memory controller is that of cgroup v1, which systemd does not ask"
        ledger.cannot("logs.systemd.oom", why)
    ledger.add("kernel", "process beyond its control group's memory", 1, kernel__oom_kill=1)


@contextlib.contextmanager
def loop(name: str, megabytes: int) -> Iterator[tuple[pathlib.Path, str]]:
    """An image file and a loop device of it."""
    image = SCRATCH / name
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    device = sh("losetup", "--find", "--show", str(image)).strip()
    try:
        yield image, device
    finally:
        quietly("umount", "/mnt")
        sh("losetup", "--detach", device)
        image.unlink()


def by_disks(ledger: Ledger) -> None:
    """A disk that lost its end; file systems that find damage in themselves."""
    with loop("io", 4) as (image, device):
        os.truncate(image, 1 << 20)
        page = mmap.mmap(-1, 4096)
        disk = os.open(device, os.O_RDONLY | os.O_DIRECT)
        for _ in range(2):
            with contextlib.suppress(OSError):
                os.preadv(disk, [page], 2 << 20)
                raise SystemExit("causes: what is not there could be read")
        image.open("r+b").truncate(4 << 20)  # before anybody else looks at the end of it
        os.close(disk)
    ledger.add("kernel", "block read from a loop device whose file was cut", 2, kernel__io_error=1)
    with loop("ext4", 16) as (image, device):
        sh("mkfs.ext4", "-q", "-b", "1024", "-e", "remount-ro", device)
        sh("mount", device, "/mnt")
        pathlib.Path("/mnt/folder").mkdir()
        sh("umount", "/mnt")
        inode = sh("debugfs", "-R", "stat /folder", device)
        block = int(inode.partition("(0):")[2].split()[0])
        with pathlib.Path(device).open("r+b") as file:
            file.seek(block * 1024)
            file.write(b"\xff" * 1024)
        sh("blockdev", "--flushbufs", device)
        sh("mount", device, "/mnt")
        quietly("ls", "/mnt/folder")
    ledger.add(
        "kernel", "ext4 with a broken directory (errors=remount-ro)", 1, kernel__fs_error=1, kernel__fs_readonly=1
    )


def by_network(ledger: Ledger) -> None:
    """Packets that a rule logs; a listener that gets more connections than it can take."""
    rules = (
        'iif lo tcp dport 7001 log prefix "nft drop: " drop',
        "iif lo tcp dport 7002 tcp flags & (syn|ack) == ack drop",
        "iif lo tcp sport 7002 tcp flags & (syn|ack) == (syn|ack) drop",
    )
    chain = "\n".join(("type filter hook input priority 0;", *rules))
    pathlib.Path("/srv/nft").write_text(f"table inet proof {{\nchain in {{\n{chain}\n}}\n}}\n")
    sh("nft", "-f", "/srv/nft")
    for _ in range(3):
        with contextlib.suppress(OSError), socket.socket() as client:
            client.settimeout(0.3)
            client.connect(("127.0.0.1", 7001))
    ledger.add("kernel", "packet that an nftables rule logs and drops", 3, firewall__drop=1)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 7002))
        server.listen(1)
        clients = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", 7002))
            clients.append(client)
        time.sleep(0.5)
        for client in clients:
            client.close()
    ledger.add("kernel", "eight half-open connections to a listener for one", 1, kernel__syn_flood=1)
    sh("nft", "delete", "table", "inet", "proof")


def cause(ledger: Ledger) -> None:
    """All that this machine's kernel can be made to say without harm to others."""
    by_crashes(ledger)
    by_memory(ledger)
    by_disks(ledger)
    by_network(ledger)
    for metric, why in {
        "logs.kernel.hardware_error": "needs broken hardware",
        "logs.kernel.throttled": "needs an overheated processor",
        "logs.kernel.ata_error": "needs a SATA disk",
        "logs.kernel.link_down": "needs a network card (virtual ones are silent)",
        "logs.kernel.lockup": "would stop the machine",
        "logs.kernel.bug": "would need a broken kernel",
        "logs.kernel.conntrack_full": "the table is the machine's",
    }.items():
        ledger.cannot(metric, why)
