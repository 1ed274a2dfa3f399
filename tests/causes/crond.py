"""cron: jobs, their failures, crontabs edited and refused. Takes up to two minutes, as cron looks once a minute."""

from __future__ import annotations

import os
import pathlib
import time

from causes.ledger import Ledger
from causes.shell import sh, wait_for, write

RECORD = pathlib.Path("/var/tmp/proof-cron")  # noqa: S108 - written by root's own jobs
SENDMAIL = pathlib.Path("/usr/sbin/sendmail")


def set_up() -> None:
    """No jobs but ours; cron tells of jobs that failed; no program for mail, so that output is thrown away."""
    pathlib.Path("/etc/crontab").write_text("")
    for job in pathlib.Path("/etc/cron.d").iterdir():
        job.unlink()
    write("/etc/default/cron", 'EXTRA_OPTS="-L 5"\n')
    sh("systemctl", "restart", "cron")


def minutes_pass(count: int) -> None:
    """Wait until cron has begun this many minutes."""
    end = (int(time.time()) // 60 + count) * 60 + 2
    time.sleep(max(0, end - time.time()))


def cause(ledger: Ledger) -> None:
    """Jobs of /etc/cron.d and of a user's crontab."""
    # Not in a minute's last seconds: what is written then may be seen by cron now or a minute later.
    if time.time() % 60 > 50:
        time.sleep(12)
    SENDMAIL.rename("/usr/sbin/sendmail.away")
    RECORD.write_text("")
    write(
        "/etc/cron.d/proof",
        f"SHELL=/bin/sh\n* * * * * root echo good >> {RECORD}\n* * * * * root echo bad >> {RECORD}; exit 3\n",
    )
    write("/etc/cron.d/proof-talks", f"* * * * * root echo talks >> {RECORD}; echo into the void\n")
    write("/etc/cron.d/proof-open", "* * * * * root false\n", 0o666)
    write("/etc/cron.d/proof-wrong", "* * * * * root\n99 * * * * root true\n")
    os.chown("/etc/cron.d/proof-open", 0, 0)
    sh("crontab", "-u", "demo", "-", text="* * * * * true\n")
    ledger.add("cron", "crontab replaced", 1, cron__edit=1)
    minutes_pass(2)
    for name in ("proof", "proof-talks", "proof-open", "proof-wrong"):
        pathlib.Path("/etc/cron.d", name).unlink()
    sh("crontab", "-u", "demo", "-r")
    ledger.add("cron", "crontab removed", 1, cron__edit=1)
    wait_for("the jobs' ends", lambda: not sh("sh", "-c", "pgrep -c CRON || true").strip("0\n"))
    pathlib.Path("/usr/sbin/sendmail.away").rename(SENDMAIL)
    ran = RECORD.read_text().split()
    minutes = ran.count("good")
    ledger.add("cron", "job of root that succeeds (its own record)", minutes, cron__job=1)
    ledger.add("cron", "job of a user", minutes, cron__job=1)
    ledger.add("cron", "job that exits with 3 (its own record)", ran.count("bad"), cron__job=1, cron__job_failed=1)
    ledger.add("cron", "job that prints, without a mail program", ran.count("talks"), cron__job=1, cron__discarded=1)
    ledger.add("cron", "crontab that anybody may write, refused once a minute", minutes, cron__error=1)
    ledger.add("cron", "crontab with a wrong line", 1, cron__error=1)
