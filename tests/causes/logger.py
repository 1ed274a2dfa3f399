"""rsyslog reads the kernel's log too, in the way that takes nothing from the others on this machine (imkmsg)."""

from __future__ import annotations

from causes.ledger import Ledger
from causes.shell import sh, write


def set_up() -> None:
    """One module more. (imklog reads /proc/kmsg, which gives each line to one reader alone.)"""
    # Debian 13 hides /dev/kmsg from rsyslog.
    write("/etc/systemd/system/rsyslog.service.d/proof.conf", "[Service]\nPrivateDevices=no\nProtectKernelLogs=no\n")
    sh("systemctl", "daemon-reload")
    write("/etc/rsyslog.d/00-proof.conf", 'module(load="imkmsg")\n')
    sh("systemctl", "restart", "rsyslog")


def cause(ledger: Ledger) -> None:
    """Nothing: it is here for its setting."""
