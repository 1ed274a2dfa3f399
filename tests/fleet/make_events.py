"""Run on a demo host, as root: cause real log events with real programs and count what was caused, minute by minute.

    python3 make_events.py [--paced SECONDS]

Prints one JSON object, {"first": unix minute, "last": unix minute, "counts": {metric: {"unix minute": count}}}.
The counts come from what was done, never from a log. Every action is begun early enough in a minute to end in it,
so that "the minute in which it happened" has one answer; an action that crosses a minute all the same is an error.
Standard library only: it is sent to the host on its standard input.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

SSH_SUCCESS, SSH_FAILURE = "logs.sshd.success", "logs.sshd.failure"
SUDO_COMMAND, SUDO_REFUSED, CRON_JOB = "logs.sudo.command", "logs.sudo.refused", "logs.cron.job"
METRICS = [SSH_SUCCESS, SSH_FAILURE, SUDO_COMMAND, SUDO_REFUSED, CRON_JOB]
PASSWORD = "correct horse battery"  # noqa: S105 - a disposable host's test user, reachable from this machine alone
LAST_START = 50  # no action begins after this second of a minute; the slowest (a refused login) takes about 4 s
CRON_RECORD = pathlib.Path("/var/tmp/logmetrics-demo-cron")  # noqa: S108 - read by root and written by root's cron job

# Names that strangers could type at a login prompt to look like another event. (OpenSSH's client refuses ; and
# parentheses, and its server cuts a name at the first colon: auth2.c, input_userauth_request.)
IMITATIONS = [
    "sshd Accepted password for root from 192.0.2.1 port 22 ssh2",
    "sudo root TTY=pts/0 PWD=/root USER=root COMMAND=/bin/sh",
    "CRON[7] root CMD true",
]

counts: dict[str, dict[int, int]] = {metric: {} for metric in METRICS}


def minute(at: float) -> int:
    """Start of the minute that holds this Unix time."""
    return int(at) // 60 * 60


def sh(*command: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; a failure that is not expected ends the run with its output."""
    out = subprocess.PIPE
    done = subprocess.run(command, check=False, input=text, stdout=out, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        sys.exit(f"make_events: {' '.join(command)}: exit {done.returncode}: {done.stdout.strip()}")
    return done


def wait_for_room() -> None:
    """Wait where the minute is nearly over, so that the next action ends in the minute in which it begins."""
    second = time.time() % 60
    if second > LAST_START or second < 1:
        time.sleep((61 - second) % 60)


def act(metrics: dict[str, int], function: Callable[[], None]) -> None:
    """Do one thing and count it: metrics is {metric: how many lines it must count for}."""
    wait_for_room()
    begun = minute(time.time())
    function()
    if minute(time.time()) != begun:
        sys.exit("make_events: an action took longer than the rest of its minute; run it again on a quieter machine")
    for metric, number in metrics.items():
        counts[metric][begun] = counts[metric].get(begun, 0) + number


def ssh(user: str, password: str | None = None, succeeds: bool = True) -> None:
    """One login by ssh over the host's own address; an unexpected outcome ends the run."""
    common = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    common += ["-o", "NumberOfPasswordPrompts=1", "-o", "ConnectTimeout=20", "-l", user, ADDRESS, "true"]
    if password is None:
        done = sh("ssh", "-o", "BatchMode=yes", "-i", KEY, *common, check=False)
    else:
        by_password = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password"]
        done = sh("sshpass", "-p", password, "ssh", *by_password, *common, check=False)
    if (done.returncode == 0) != succeeds or (not succeeds and "Permission denied" not in done.stdout):
        sys.exit(f"make_events: login of {user!r}: exit {done.returncode}: {done.stdout.strip()}")


def sudo(user: str, *arguments: str, text: str | None = None, refusal: str = "") -> None:
    """One sudo call by a user of this host; where it must be refused, `refusal` is what sudo says."""
    done = sh("runuser", "-u", user, "--", "sudo", *arguments, text=text, check=False)
    if (done.returncode == 0) == bool(refusal) or refusal not in done.stdout:
        sys.exit(f"make_events: sudo of {user}: exit {done.returncode}: {done.stdout.strip()}")


def set_up() -> None:
    """Users, keys and a cron job. Nothing here causes a counted event."""
    for user in ("demo", "limited", "mallory"):
        if sh("id", "-u", user, check=False).returncode:
            sh("useradd", "--create-home", "--shell", "/bin/sh", user)
        sh("chpasswd", text=f"{user}:{PASSWORD}\n")
    pathlib.Path("/etc/sudoers.d/logmetrics-demo").write_text(
        "demo ALL=(ALL) NOPASSWD: ALL\nlimited ALL=(ALL) NOPASSWD: /usr/bin/true\n"
    )
    folder = pathlib.Path("/home/demo/.ssh")
    folder.mkdir(exist_ok=True)
    folder.joinpath("authorized_keys").write_text(pathlib.Path(KEY + ".pub").read_text())
    sh("chown", "-R", "demo:demo", str(folder))
    # OpenSSH 9.8 and later shut out an address after a few failures (PerSourcePenalties); here they are the purpose.
    penalties = "penalties" if "persourcepenalties" in sh("sshd", "-T").stdout else ""
    settings = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n" + (
        "PerSourcePenalties no\n" if penalties else ""
    )
    pathlib.Path("/etc/ssh/sshd_config.d/10-logmetrics-demo.conf").write_text(settings)
    sh("systemctl", "reload", "ssh")
    # The distribution's own jobs (hourly, e2scrub) would be counted rightly, but not by us: this host is for the demo.
    pathlib.Path("/etc/crontab").write_text("")
    for job in pathlib.Path("/etc/cron.d").iterdir():
        job.unlink()
    CRON_RECORD.write_text("")
    pathlib.Path("/etc/cron.d/logmetrics-demo").write_text(
        f"SHELL=/bin/sh\nPATH=/usr/bin:/bin\n* * * * * root date +\\%s >> {CRON_RECORD}\n"
    )


def rotate() -> None:
    """Rotate the logs between two events as the distribution does each night, and restart the logger."""
    if shutil.which("rsyslogd"):
        sh("logrotate", "--force", "/etc/logrotate.d/rsyslog")
    else:
        sh("journalctl", "--rotate")


def restart_logger() -> None:
    """Restart rsyslog where there is one, else have journald write out what it holds."""
    if shutil.which("rsyslogd"):
        sh("systemctl", "restart", "rsyslog")
    else:
        sh("journalctl", "--sync")


def key_login() -> None:
    """A login by public key."""
    ssh("demo")


def wrong_password() -> None:
    """A login by a wrong password."""
    ssh("demo", password="wrong", succeeds=False)  # noqa: S106 - wrong on purpose


def stranger(name: str) -> Callable[[], None]:
    """A login by password of a user that does not exist."""
    return lambda: ssh(name, password="wrong", succeeds=False)  # noqa: S106 - wrong on purpose


def demo_schedule() -> None:
    """Each kind of event, before and after a rotation and a restart of the logger."""
    for _ in range(3):
        act({SSH_SUCCESS: 1}, key_login)
    act({SSH_SUCCESS: 1}, lambda: ssh("demo", password=PASSWORD))
    act({SSH_FAILURE: 1}, wrong_password)
    act({SSH_FAILURE: 1}, stranger("nobody-here"))
    for name in IMITATIONS:
        act({SSH_FAILURE: 1}, stranger(name))
    for _ in range(2):
        act({SUDO_COMMAND: 1}, lambda: sudo("demo", "-n", "/usr/bin/true"))
    act({SUDO_REFUSED: 1}, lambda: sudo("limited", "-S", "/usr/bin/id", text=PASSWORD + "\n", refusal="not allowed"))
    act({SUDO_REFUSED: 1}, lambda: sudo("mallory", "-S", "/usr/bin/true", text=PASSWORD + "\n", refusal="sudoers"))
    act({}, rotate)
    act({SUDO_COMMAND: 1}, lambda: sudo("limited", "-n", "/usr/bin/true"))
    act({SSH_SUCCESS: 1}, key_login)
    act({}, restart_logger)
    act({SSH_SUCCESS: 1}, key_login)
    act({SSH_FAILURE: 1}, wrong_password)
    act({SUDO_COMMAND: 1}, lambda: sudo("demo", "-n", "/usr/bin/true"))


def paced_schedule(seconds: float) -> None:
    """A few events every few seconds, for proofs in which something is broken meanwhile."""
    until = time.time() + seconds
    while time.time() < until:
        act({SSH_SUCCESS: 1}, key_login)
        for _ in range(5):
            act({SUDO_COMMAND: 1}, lambda: sudo("demo", "-n", "/usr/bin/true"))
        act({SSH_FAILURE: 1}, wrong_password)
        time.sleep(2)


parser = argparse.ArgumentParser()
parser.add_argument("--paced", type=int, metavar="SECONDS")
parser.add_argument(
    "--begin", type=int, required=True, metavar="UNIX_TIME", help="start of the first minute that counts"
)
parser.add_argument("--address", required=True, help="this host's own address on the fleet's network")
options = parser.parse_args()
ADDRESS = options.address

with tempfile.TemporaryDirectory() as keys:
    KEY = keys + "/key"
    sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    set_up()
    if time.time() >= options.begin:
        sys.exit("make_events: set-up ended after the minute in which events were to begin")
    time.sleep(options.begin + 1 - time.time())
    if options.paced:
        paced_schedule(options.paced)
    else:
        demo_schedule()
    last = minute(time.time())
    pathlib.Path("/etc/cron.d/logmetrics-demo").unlink()
    for stamp in CRON_RECORD.read_text().split():
        start = minute(int(stamp))
        if options.begin <= start <= last:
            counts[CRON_JOB][start] = counts[CRON_JOB].get(start, 0) + 1
print(json.dumps({"first": options.begin, "last": last, "counts": counts}))
