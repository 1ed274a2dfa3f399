"""sudo, su, login and the programs that change accounts."""

from __future__ import annotations

import os
import pty
import select
import sys
import time

from causes.ledger import Ledger
from causes.shell import sh, write
from causes.users import PASSWORD


def set_up() -> None:
    """Who may what; sudo's own mails (to postfix) are switched off, as they would be events of their own."""
    write(
        "/etc/sudoers.d/proof",
        "Defaults !mail_badpass, !mail_no_user, !mail_no_perms\n"
        "demo ALL=(ALL) NOPASSWD: ALL\nlimited ALL=(ALL) NOPASSWD: /usr/bin/id, PASSWD: /usr/bin/whoami\n",
        0o440,
    )


def sudo(user: str, *arguments: str, text: str | None = None, says: str = "") -> None:
    """One sudo call by a user of this host; where it must be refused, `says` is what sudo says."""
    sh("runuser", "-u", user, "--", "sudo", *arguments, text=text, fails=bool(says), says=says)


def by_sudo(ledger: Ledger) -> None:
    """sudo: run, refused, not proven."""
    for _ in range(3):
        sudo("demo", "-n", "/usr/bin/id")
    sudo("demo", "-n", "--user=mallory", "/usr/bin/id")
    sudo("limited", "-n", "/usr/bin/id")
    ledger.add("sudo", "command that was allowed", 5, sudo__command=1)
    sudo("demo", "-n", "--list")
    ledger.add("sudo", "sudo -l", 1)
    for _ in range(2):
        sudo("mallory", "-S", "/usr/bin/id", text=PASSWORD + "\n", says="not")
    ledger.add("sudo", "user not in sudoers", 2, sudo__refused=1)
    sudo("limited", "-S", "/usr/bin/env", text=PASSWORD + "\n", says="not allowed")
    ledger.add("sudo", "command that is not allowed", 1, sudo__refused=1)
    sudo("limited", "-k", "-S", "/usr/bin/whoami", text="wrong\nwrong\nwrong\n", says="incorrect password")
    ledger.add("sudo", "three wrong passwords", 1, sudo__auth_failure=1)
    sudo("limited", "-k", "-n", "/usr/bin/whoami", says="password is required")
    ledger.add("sudo", "a password is needed and cannot be asked for (-n)", 1, sudo__auth_failure=1)


def by_shadow(ledger: Ledger) -> None:
    """Accounts made, changed, removed."""
    for user in ("proof1", "proof2"):
        sh("useradd", "--create-home", user)
    ledger.add("useradd", "user made, with a group of its own", 2, accounts__user_added=1, accounts__group_added=1)
    sh("groupadd", "proofers")
    ledger.add("groupadd", "group made", 1, accounts__group_added=1)
    sh("usermod", "--append", "--groups", "proofers", "proof1")
    ledger.add("usermod", "user put into a group", 1, accounts__group_joined=1)
    sh("gpasswd", "--add", "proof2", "proofers")
    ledger.add("gpasswd", "user put into a group", 1, accounts__group_joined=1)
    sh("chpasswd", text=f"proof1:{PASSWORD}\nproof2:{PASSWORD}\n")
    ledger.add("chpasswd", "password set", 2, accounts__password_changed=1)
    sh("passwd", "proof1", text=f"{PASSWORD}\n{PASSWORD}\n")
    ledger.add("passwd", "password changed", 1, accounts__password_changed=1)
    sh("gpasswd", "--delete", "proof2", "proofers")
    ledger.add("gpasswd", "user taken out of a group", 1, accounts__group_left=1)
    sh("passwd", "--lock", "proof2")
    ledger.add("passwd", "account locked", 1, accounts__password_state=1)
    sh("userdel", "--remove", "proof2")
    ledger.add("userdel", "user removed, with its group", 1, accounts__user_removed=1, accounts__group_removed=1)
    sh("groupdel", "proofers")
    ledger.add("groupdel", "group removed", 1, accounts__group_removed=1)


def by_su(ledger: Ledger) -> None:
    """su: root to a user, a user to another with and without the right password."""
    for _ in range(2):
        sh("su", "--command", "true", "demo")
    sh("runuser", "-u", "demo", "--", "su", "--command", "true", "mallory", text=PASSWORD + "\n")
    ledger.add("su", "user became another", 3, accounts__su=1)
    sh("runuser", "-u", "demo", "--", "su", "--command", "true", "mallory", text="wrong\n", fails=True)
    ledger.add("su", "wrong password", 1, accounts__su_failure=1)


def login(user: str, password: str) -> str:
    """One login at a terminal of its own; what stood on it."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv("/bin/login", ["/bin/login"])  # noqa: S606 - a fixed command
    shown = b""
    answers = [(b"login: ", user), (b"assword: ", password), (b"$ ", "exit"), (b"login: ", None)]
    end = time.monotonic() + 40
    while answers and time.monotonic() < end:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # login hangs the terminal up and opens it anew (vhangup(2)): nobody has it for a moment
            if os.waitpid(child, os.WNOHANG)[0]:
                os.close(terminal)
                return shown.decode(errors="replace")
            time.sleep(0.1)
            continue
        for number, (prompt, answer) in enumerate(answers):
            if shown.endswith(prompt):
                if answer is None:
                    answers = []
                    break
                os.write(terminal, answer.encode() + b"\n")
                shown += b"\n"
                del answers[: number + 1]
                break
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode(errors="replace")


def by_login(ledger: Ledger) -> None:
    """login: at a terminal."""
    shown = login("demo", PASSWORD)
    if "$ " not in shown:
        sys.exit(f"causes: login did not let demo in: {shown!r}")
    ledger.add("login", "login at a terminal", 1, accounts__console_login=1, systemd__session=1)
    shown = login("demo", "wrong")
    if "incorrect" not in shown:
        sys.exit(f"causes: login did not refuse: {shown!r}")
    ledger.add("login", "wrong password at a terminal", 1, accounts__console_failure=1)


def cause(ledger: Ledger) -> None:
    """All of them."""
    by_sudo(ledger)
    by_shadow(ledger)
    by_su(ledger)
    by_login(ledger)
