"""sshd: logins, refusals and connections that end before a login."""

from __future__ import annotations

import pathlib
import socket
import threading
import time

from causes.ledger import Ledger
from causes.shell import release, sh, wait_for, write
from causes.users import PASSWORD

KEY = "/root/proof-key"
GRACE = 15  # seconds to log in; a refused password takes about two
IMITATIONS = [
    "sshd Accepted password for root from 192.0.2.1 port 22 ssh2",
    "CRON[7] root CMD true",
]


def address() -> str:
    """This host's own address on the fleet's network."""
    return sh("hostname", "-I").split()[0]


def set_up() -> None:
    """A key, and an sshd that gives up soon; a second one, on port 2222, that takes one connection at a time."""
    sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    write("/home/demo/.ssh/authorized_keys", pathlib.Path(KEY + ".pub").read_text(), 0o600)
    sh("chown", "-R", "demo:demo", "/home/demo/.ssh")
    # OpenSSH 9.8 and later shut out an address after a few failures (PerSourcePenalties); here they are the purpose.
    penalties = "PerSourcePenalties no\n" if "persourcepenalties" in sh("sshd", "-T") else ""
    common = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nDenyUsers denied\nMaxAuthTries 3\n"
    write("/etc/ssh/sshd_config.d/10-proof.conf", f"{common}LoginGraceTime {GRACE}\n{penalties}")
    sh("systemctl", "reload", "ssh")
    base = "Port 2222\nPidFile none\nUsePAM yes\nHostKey /etc/ssh/ssh_host_ed25519_key\nLoginGraceTime 30\n"
    write("/etc/ssh/proof_sshd_config", f"{base}MaxStartups 1\n{penalties}")
    sh("systemd-run", "--quiet", "--unit=proof-sshd", "/usr/sbin/sshd", "-D", "-f", "/etc/ssh/proof_sshd_config")
    wait_for("the second sshd", lambda: banner(2222))


def banner(port: int) -> bool:
    """Whether an sshd answers there."""
    try:
        with socket.create_connection((address(), port), 2) as client:
            client.sendall(b"SSH-2.0-probe\r\n")
            return client.recv(8).startswith(b"SSH-2.0-")
    except OSError:
        return False


def ssh(user: str, *options: str, fails: bool = True) -> None:
    """One login by ssh over the host's own address."""
    base = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    sh("ssh", *base, *options, "-l", user, address(), "true", fails=fails)


def by_password(user: str, password: str, fails: bool = True) -> None:
    """One login by one password."""
    one = [
        "-o",
        "NumberOfPasswordPrompts=1",
        "-o",
        "PubkeyAuthentication=no",
        "-o",
        "PreferredAuthentications=password",
    ]
    base = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    says = "Permission denied" if fails else ""
    sh("sshpass", "-p", password, "ssh", *base, *one, "-l", user, address(), "true", fails=fails, says=says)


def talk(words: bytes, port: int = 22, wait: float = 1) -> None:
    """Connect, say something (or nothing), and go after a while."""
    with socket.create_connection((address(), port), 5) as client:
        client.sendall(words)
        client.settimeout(wait)
        try:
            while client.recv(4096):
                pass
        except OSError:
            pass


def cause(ledger: Ledger) -> None:
    """All of sshd's events that a host can cause to itself."""
    waiting = threading.Thread(target=talk, args=(b"SSH-2.0-proof\r\n", 22, GRACE + 12))
    waiting.start()
    for _ in range(3):
        ssh("demo", "-o", "BatchMode=yes", "-i", KEY, fails=False)
    ledger.add(
        "sshd",
        "login by public key",
        3,
        sshd__success=1,
        sshd__accepted__publickey=1,
        sshd__session=1,
        systemd__session=1,
    )
    for _ in range(2):
        by_password("demo", PASSWORD, fails=False)
    ledger.add(
        "sshd", "login by password", 2, sshd__success=1, sshd__accepted__password=1, sshd__session=1, systemd__session=1
    )
    for _ in range(2):
        by_password("demo", "wrong")
    ledger.add("sshd", "wrong password, then the client goes", 2, sshd__failure=1, sshd__preauth_closed=1)
    for name in ("nobody-here", *IMITATIONS):
        by_password(name, "wrong")
    ledger.add(
        "sshd", "unknown user, also with a name that imitates a login", 1 + len(IMITATIONS),
        sshd__failure=1, sshd__invalid_user=1, sshd__preauth_closed=1,
    )  # fmt: skip
    by_password("denied", PASSWORD)
    ledger.add("sshd", "user in DenyUsers", 1, sshd__not_allowed=1, sshd__failure=1, sshd__preauth_closed=1)
    write("/root/askpass", "#!/bin/sh\necho wrong\n", 0o700)
    command = [
        *("env", "DISPLAY=:0", "SSH_ASKPASS=/root/askpass", "SSH_ASKPASS_REQUIRE=force", "setsid", "ssh"),
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no"),
        *("-o", "NumberOfPasswordPrompts=9", "-l", "demo", address(), "true"),
    ]
    sh(*command, fails=True, says="Too many authentication failures")
    ledger.add(
        "sshd", "MaxAuthTries (3) wrong passwords", 1, sshd__failure=3, sshd__max_tries=1, sshd__preauth_closed=1
    )
    for _ in range(2):
        talk(b"GET / HTTP/1.0\r\n\r\n")
    ledger.add("sshd", "HTTP spoken to sshd", 2, sshd__no_handshake=1)
    talk(b"", wait=0.2)
    # OpenSSH 10 (Debian 13) writes nothing about a client that says nothing.
    ledger.add("sshd", "a client that connects and goes", 1, sshd__no_handshake=1 if release() < 13 else 0)
    waiting.join()
    # Debian's repair of CVE-2024-6387 in older releases made this end silent.
    ledger.add("sshd", "a client that stays beyond LoginGraceTime", 1, sshd__timeout=1 if release() > 12 else 0)
    with socket.create_connection((address(), 2222), 5) as first:
        first.sendall(b"SSH-2.0-proof\r\n")
        time.sleep(0.5)
        talk(b"SSH-2.0-proof\r\n", 2222)
        talk(b"SSH-2.0-proof\r\n", 2222)
    ledger.add("sshd", "a client that speaks SSH and goes", 1, sshd__preauth_closed=1)
    # Of a burst sshd writes the first; 10.0 (Debian 13) both of these two.
    ledger.add("sshd", "two connections beyond MaxStartups", 1, sshd__dropped=2 if release() > 12 else 1)
    sh("systemctl", "stop", "proof-sshd")
