"""chrony, without its hand on the clock (-x): the machine's clock belongs to all who run on it."""

from __future__ import annotations

import time

from causes.ledger import Ledger
from causes.shell import sh, wait_for, write

OWN = "bindcmdaddress /run/proof-{0}/chronyd.sock\npidfile /run/proof-{0}.pid\ncmdport 0\n"
SERVER = "manual\nlocal stratum 5\nport 11123\nbindaddress 127.0.0.1\nallow 127.0.0.1\n" + OWN.format("server")
# The client may step once, which it cannot without its hand on the clock; it does not tell of offsets.
CLIENT = (
    "server 127.0.0.1 port 11123 minpoll -2 maxpoll -2 iburst\nmakestep 1 1\nlogchange 1000\nport 0\n"
    + OWN.format("client")
)


def set_up() -> None:
    """Two chronyd: one that serves a time of its own, one that follows it."""
    write("/etc/chrony/proof-server.conf", SERVER)
    write("/etc/chrony/proof-client.conf", CLIENT)


def start(name: str) -> None:
    """Start one of them as a unit of its own."""
    sh("install", "-d", "-m", "700", f"/run/proof-{name}")
    command = ["/usr/sbin/chronyd", "-x", "-u", "root", "-f", f"/etc/chrony/proof-{name}.conf"]
    sh("systemd-run", "--quiet", f"--unit=proof-{name}", "--service-type=forking", *command)


def cause(ledger: Ledger) -> None:
    """The server's time is set 20 s ahead; a client wants to follow it; then the server goes."""
    start("server")

    def ask(name: str, *words: str) -> str:
        return sh("chronyc", "-h", f"/run/proof-{name}/chronyd.sock", *words)

    # By the minute's end a time of day could be understood as yesterday's.
    ask("server", "settime", sh("date", "-d", "+20 seconds", "+%b %d %H:%M:%S %Y").strip())
    ledger.add("chronyd", "time set by hand, 20 s ahead", 1, time__wrong=1)
    start("client")
    wait_for("the client to follow", lambda: "7F000001" in ask("client", "tracking"))
    ledger.add("chronyd", "first step after a server, without the right to set the clock", 1, time__step_failed=1)
    time.sleep(2)
    sh("systemctl", "stop", "proof-server")
    time.sleep(8)
    ledger.add("chronyd", "the only server goes", 1, time__no_source=1)
    sh("systemctl", "stop", "proof-client")
    ledger.cannot("logs.time.stepped", "the machine's clock belongs to all who run on it")
    for metric in ("logs.time.timeout", "logs.time.synchronized"):
        ledger.cannot(metric, "systemd-timesyncd cannot be told to leave the machine's clock alone")
    for metric in ("logs.time.ntp_stepped", "logs.time.ntp_panic", "logs.time.ntp_no_peer"):
        ledger.cannot(metric, "ntpd cannot be told to leave the machine's clock alone")
