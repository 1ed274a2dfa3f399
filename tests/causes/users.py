"""The users of this host whom the others log in as. Nobody is counted for making them: it comes before the counting."""

from __future__ import annotations

from causes.ledger import Ledger
from causes.shell import sh

PASSWORD = "correct horse battery"  # noqa: S105 - a disposable host's test user, reachable from this machine alone
USERS = ("demo", "limited", "mallory", "denied")


def set_up() -> None:
    """Users, all with the same password."""
    for user in USERS:
        sh("useradd", "--create-home", "--shell", "/bin/sh", user)
        sh("chpasswd", text=f"{user}:{PASSWORD}\n")
        # Their managers run from now on; since systemd 256 each start of one would be a session of its own.
        sh("loginctl", "enable-linger", user)


def cause(ledger: Ledger) -> None:
    """Nothing: it is here for its users."""
