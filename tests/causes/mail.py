"""Postfix and Dovecot: deliveries by their end, refusals, logins."""

from __future__ import annotations

import contextlib
import imaplib
import pathlib
import poplib
import re
import smtplib
import socket
import time

from causes.ledger import Ledger
from causes.shell import release, sh, wait_for, write
from causes.users import PASSWORD

SUBMISSION = """
submission inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=private/auth
"""
DOVECOT = """\
listen = 127.0.0.1
%(plaintext)s
%(mail)s
protocol imap {
  mail_max_userip_connections = 3
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
"""
TRANSPORTS = (
    "{away.example=smtp:[127.0.0.1]:2599}",
    "{sink.example=discard:}",
    "{pit.example=error:5.1.1 nobody here}",
)
MAIL = {
    11: "mail_location = mbox:~/mail:INBOX=/var/mail/%u",
    13: "mail_driver = mbox\nmail_path = ~/mail\nmail_inbox_path = /var/mail/%{user}",
}


def set_up() -> None:
    """Postfix for this host alone, Dovecot with PAM's accounts."""
    pathlib.Path("/etc/aliases").touch()
    sh("newaliases")
    settings = {
        "myhostname": "proof.example.org",
        "mydestination": "proof.example.org, localhost",
        "inet_interfaces": "loopback-only",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.1/32",
        "transport_maps": f"inline:{{{','.join(TRANSPORTS)}}}",
        "mailbox_command": "",
        "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
        "smtpd_tls_security_level": "none",
        "smtp_tls_security_level": "none",
        "maillog_file": "",
        "notify_classes": "",
        "biff": "no",
    }
    for key, value in settings.items():
        sh("postconf", "-e", f"{key}={value}")
    master = pathlib.Path("/etc/postfix/master.cf")
    master.write_text(master.read_text() + SUBMISSION)
    new = release() >= 13
    plaintext = "auth_allow_cleartext = yes" if new else "disable_plaintext_auth = no"
    text = DOVECOT % {"plaintext": plaintext, "mail": MAIL[13 if new else 11]}
    write("/etc/dovecot/local.conf" if not new else "/etc/dovecot/conf.d/99-proof.conf", text)
    sh("systemctl", "start", "postfix")
    sh("systemctl", "start", "dovecot")
    wait_for("Postfix", lambda: socket.socket().connect_ex(("127.0.0.1", 25)) == 0)
    wait_for("Dovecot", lambda: socket.socket().connect_ex(("127.0.0.1", 143)) == 0)
    time.sleep(1)


def sendmail(to: str, *options: str) -> None:
    """One message by the sendmail command, from root."""
    sh("sendmail", "-f", "root@localhost", *options, to, text=f"From: root\nTo: {to}\nSubject: proof\n\nhello\n")


def queue_is(empty: bool) -> bool:
    """Whether Postfix's queue is empty (or is not)."""
    return ("Mail queue is empty" in sh("postqueue", "-p")) == empty


def smtp(source: str = "127.0.0.1", port: int = 25) -> smtplib.SMTP:
    """A client that has said EHLO."""
    client = smtplib.SMTP("127.0.0.1", port, "client.example.org", 10, (source, 0))
    client.ehlo()
    return client


def by_sendmail(ledger: Ledger) -> None:
    """Messages of this host's own users."""
    for _ in range(2):
        sendmail("demo@localhost")
    wait_for("the deliveries", lambda: queue_is(True))
    ledger.add("postfix", "message to a user of this host", 2, postfix__queued=1, postfix__sent=1)
    sendmail("nobody-here@localhost")
    wait_for("the notice", lambda: queue_is(True))
    ledger.add(
        "postfix",
        "message to an unknown user, and its notice to root",
        1,
        postfix__queued=2,
        postfix__bounced=1,
        postfix__sent=1,
    )
    sendmail("x@sink.example")
    ledger.add("postfix", "message to a transport that discards", 1, postfix__queued=1, postfix__sent=1)
    sendmail("x@pit.example")
    wait_for("the notice", lambda: queue_is(True))
    ledger.add(
        "postfix",
        "message to a transport that refuses, and its notice",
        1,
        postfix__queued=2,
        postfix__bounced=1,
        postfix__sent=1,
    )
    sendmail("x@away.example")
    wait_for("the delay", lambda: "refused" in sh("postqueue", "-p"))
    ledger.add("postfix", "message to a server that is away", 1, postfix__queued=1, postfix__deferred=1)
    sh("postsuper", "-d", "ALL")
    sh("postconf", "-e", "maximal_queue_lifetime=0")
    sh("postfix", "reload")
    time.sleep(1)
    sendmail("x@away.example")
    wait_for("the notice", lambda: queue_is(True))
    sh("postconf", "-e", "maximal_queue_lifetime=5d")
    sh("postfix", "reload")
    ledger.add(
        "postfix",
        "the same, with no time to wait: expired, and its notice",
        1,
        postfix__queued=2,
        postfix__deferred=1,
        postfix__expired=1,
        postfix__sent=1,
    )
    sh("sendmail", "-f", "root@localhost", text="Subject: to nobody\n\n", fails=True)
    ledger.add("postfix", "sendmail without a recipient", 1, postfix__fatal=1)


def by_smtp(ledger: Ledger) -> None:
    """Clients on port 25 and on the submission port."""
    for _ in range(2):
        with smtp() as client:
            client.sendmail("root@localhost", ["demo@localhost"], "Subject: proof\n\nhello\n")
    wait_for("the deliveries", lambda: queue_is(True))
    ledger.add("postfix", "message by SMTP", 2, postfix__connect=1, postfix__queued=1, postfix__sent=1)
    with smtp("127.0.0.2") as client:
        client.docmd("MAIL FROM:<spam@example.net>")
        for _ in range(2):
            if client.docmd("RCPT TO:<victim@example.com>")[0] not in (454, 554):
                raise SystemExit("causes: Postfix relayed")
    ledger.add("postfix", "client that may not relay, with two recipients", 1, postfix__connect=1, postfix__rejected=2)
    with smtp("127.0.0.2") as client:
        client.docmd("MAIL FROM:<spam@example.net>")
        client.docmd("RCPT TO:<nobody-here@localhost>")
    ledger.add("postfix", "recipient that does not exist", 1, postfix__connect=1, postfix__rejected=1)
    for _ in range(2):
        with smtp("127.0.0.2", 587) as client:
            try:
                client.login("demo", "wrong")
            except smtplib.SMTPAuthenticationError:
                continue
            raise SystemExit("causes: Postfix took a wrong password")
    ledger.add("postfix", "wrong password on the submission port", 2, postfix__connect=1, postfix__auth_failure=1)
    with smtp("127.0.0.2", 587) as client:
        client.login("demo", PASSWORD)
        client.sendmail("demo@localhost", ["demo@localhost"], "Subject: proof\n\nhello\n")
    wait_for("the delivery", lambda: queue_is(True))
    ledger.add("postfix", "message of a user who logged in", 1, postfix__connect=1, postfix__queued=1, postfix__sent=1)


def imap(password: str) -> bool:
    """One login by IMAP, logged out again; whether it was let in."""
    client = imaplib.IMAP4("127.0.0.1")
    try:
        client.login("demo", password)
    except imaplib.IMAP4.error:
        client.shutdown()
        return False
    client.select()
    client.logout()
    return True


def by_dovecot(ledger: Ledger) -> None:
    """IMAP, POP3 (where the release has it) and the delivery agent."""
    for _ in range(3):
        if not imap(PASSWORD):
            raise SystemExit("causes: Dovecot did not let demo in")
    ledger.add("dovecot", "IMAP session", 3, dovecot__login=1, dovecot__session_end=1)
    for _ in range(2):
        if imap("wrong"):
            raise SystemExit("causes: Dovecot took a wrong password")
    ledger.add("dovecot", "IMAP with a wrong password", 2, dovecot__auth_failure=1)
    if release() > 11:
        pop = poplib.POP3("127.0.0.1")
        pop.user("demo")
        pop.pass_(PASSWORD)
        pop.quit()
        ledger.add("dovecot", "POP3 session", 1, dovecot__login=1, dovecot__session_end=1)
    imaplib.IMAP4("127.0.0.1").shutdown()
    ledger.add("dovecot", "IMAP client that goes without logging in", 1, dovecot__no_auth=1)
    text = "From: root\nTo: demo\nSubject: proof\nMessage-ID: <1@proof>\n\nhello\n"
    sh("/usr/lib/dovecot/dovecot-lda", "-d", "demo", text=text)
    ledger.add("dovecot", "message by dovecot-lda", 1, dovecot__delivered=1)
    clients = []
    for _ in range(3):
        clients.append(imaplib.IMAP4("127.0.0.1"))
        clients[-1].login("demo", PASSWORD)
    if imap(PASSWORD):
        raise SystemExit("causes: Dovecot let one in too many")
    for client in clients:
        client.logout()
    ledger.add("dovecot", "IMAP session", 3, dovecot__login=1, dovecot__session_end=1)
    ledger.add("dovecot", "IMAP session beyond mail_max_userip_connections", 1, dovecot__limit=1)
    home = pathlib.Path("/home/mallory")
    home.chmod(0)
    sh("chown", "root:root", str(home))
    before = errors()
    client = imaplib.IMAP4("127.0.0.1")
    client.login("mallory", PASSWORD)
    for command in (client.select, client.list):
        with contextlib.suppress(imaplib.IMAP4.error):
            command()
    with contextlib.suppress(imaplib.IMAP4.error, OSError):
        client.logout()
    time.sleep(1)
    ledger.add("dovecot", "IMAP session whose mail is out of reach", 1, dovecot__login=1, dovecot__session_end=1)
    ledger.add("dovecot", "errors of it (doveadm log errors)", errors() - before, dovecot__error=1)


def errors() -> int:
    """How many errors Dovecot itself remembers."""
    return len(re.findall(r"^\w+ \d+ [\d:.]+ (?:Error|Fatal|Panic): ", sh("doveadm", "log", "errors"), re.M))


def cause(ledger: Ledger) -> None:
    """Postfix, then Dovecot."""
    by_sendmail(ledger)
    by_smtp(ledger)
    by_dovecot(ledger)
