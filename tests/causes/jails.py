"""fail2ban: its own counters say what a jail found and banned."""

from __future__ import annotations

import time
from functools import partial

from causes.ledger import Ledger
from causes.shell import release, sh, wait_for, write
from causes.sshd import by_password

JAILS = """\
[DEFAULT]
ignoreself = false
backend = polling
bantime = 3600
findtime = 600
[sshd]
enabled = true
backend = polling
logpath = /var/log/auth.log
maxretry = 3
banaction = proof-good
[proof-broken]
enabled = true
filter = sshd
backend = polling
logpath = /var/log/auth.log
maxretry = 1000
action = proof-bad
"""
ACTION = "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban = %s\nactionunban = /bin/true\n"


def is_banned(address: str) -> bool:
    """By fail2ban's own word."""
    return address in sh("fail2ban-client", "status", "sshd")


def set_up() -> None:
    """The jail sshd with an action that does nothing, and a jail whose action fails."""
    write("/etc/fail2ban/action.d/proof-good.conf", ACTION % "/bin/true")
    write("/etc/fail2ban/action.d/proof-bad.conf", ACTION % "/bin/false")
    write("/etc/fail2ban/jail.d/defaults-debian.conf", JAILS)
    sh("systemctl", "start", "fail2ban")
    wait_for("fail2ban", lambda: "sshd" in sh("sh", "-c", "fail2ban-client status || true"))
    time.sleep(2)


def counter(jail: str, what: str) -> int:
    """One of fail2ban's own counters (of all jails together: total failed, total banned)."""
    shown = sh("fail2ban-client", "status", jail)
    return int(shown.partition(what + ":")[2].split()[0])


def cause(ledger: Ledger) -> None:
    """Refused logins until the jail bans; bans and releases by hand."""
    for _ in range(4):
        by_password("nobody-at-all", "wrong")
    ledger.add("sshd", "unknown user, for fail2ban", 4, sshd__failure=1, sshd__invalid_user=1, sshd__preauth_closed=1)
    wait_for("the ban", lambda: counter("sshd", "Total banned") > 0)
    time.sleep(3)
    found = sum(counter(jail, "Total failed") for jail in ("sshd", "proof-broken"))
    ledger.add("fail2ban", "attempts that two jails found (fail2ban's own counters)", found, fail2ban__found=1)
    ledger.add(
        "fail2ban",
        "address banned by the jail (fail2ban's own counter)",
        counter("sshd", "Total banned"),
        fail2ban__ban=1,
    )
    for address in ("192.0.2.66", "2001:db8::66"):
        sh("fail2ban-client", "set", "sshd", "banip", address)
        wait_for("the ban", partial(is_banned, address))
    ledger.add("fail2ban", "address banned by hand", 2, fail2ban__ban=1)
    sh("fail2ban-client", "set", "sshd", "unbanip", "192.0.2.66")
    ledger.add("fail2ban", "address released by hand", 1, fail2ban__unban=1)
    sh("fail2ban-client", "set", "proof-broken", "banip", "192.0.2.67")
    time.sleep(3)
    ledger.add("fail2ban", "ban whose action fails", 1, fail2ban__ban=1, fail2ban__error=1)
    assert release()
