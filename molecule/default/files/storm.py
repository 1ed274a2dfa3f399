"""Write LINES lines of sudo through /dev/log while the logs are rotated and Telegraf is killed with -9; prints LINES.

    python3 storm.py LINES SECONDS files|journal

Python 3.8 and later, standard library only: it runs on the hosts.
"""

import socket
import subprocess
import sys
import time

LINES, SECONDS, KIND = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
TEXT = "sudo: root : PWD=/ ; USER=root ; COMMAND=/usr/bin/true # {}"
AUTH = 10 * 8 + 5  # authpriv.notice, as sudo's own (RFC 3164, 4.1.1)
ROTATE = ["logrotate --force /etc/logrotate.d/rsyslog"]
KILL = ["systemctl kill --signal=KILL telegraf"]
if KIND == "journal":
    ROTATE = ["journalctl --rotate"]
# By the part of the lines that are written; the journal is moved to /run, as at a boot, and flushed back to /var.
# No more rotations than Debian's logrotate keeps files: what is deleted unread is lost.
STEPS = [(0.15, ROTATE), (0.2, KILL), (0.5, ROTATE), (0.75, KILL), (0.9, ROTATE)]
if KIND == "journal":
    STEPS += [(0.3, ["rm /run/systemd/journal/flushed; systemctl restart systemd-journald"])]
    STEPS += [(0.8, ["journalctl --flush"])]

log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.connect("/dev/log")
steps = sorted(STEPS)
begun = time.monotonic()
for number in range(LINES):
    time.sleep(max(0.0, begun + SECONDS * number / LINES - time.monotonic()))
    stamp = time.strftime("%b %e %H:%M:%S")
    log.send(f"<{AUTH}>{stamp} {TEXT.format(number)}".encode())
    while steps and number >= steps[0][0] * LINES:
        subprocess.run(["sh", "-c", *steps.pop(0)[1]], check=True, stdout=subprocess.DEVNULL)
print(LINES)
