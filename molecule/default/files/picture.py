"""Print what a host is, one line per thing: each file's type, mode, owner, size and content, and systemd's units.

What changes by itself (logs, the journal, stamps of timers) and what Ansible and this test need is left out.
Python 3.8 and later, standard library only: it runs on the hosts.
"""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

LEFT_OUT = {
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"),  # noqa: S108 - named to be left out, not to be written
    *("/var/log", "/var/lib/systemd", "/var/lib/logrotate", "/root/.ansible", "/opt/molecule"),
}
BY_ITSELF = ("user@", "user-runtime-dir@", "systemd-tmpfiles-clean", "logrotate", "dpkg-db-backup", "e2scrub", "fstrim")


def content(path: Path, mode: int) -> str:
    """Digest of a regular file, target of a link, else nothing."""
    if stat.S_ISLNK(mode):
        return os.readlink(str(path))  # noqa: PTH115 - Path.readlink came with Python 3.9
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else "-"


for top, folders, files in os.walk("/"):
    here = Path(top)
    folders[:] = sorted(name for name in folders if str(here / name) not in LEFT_OUT and name != "__pycache__")
    for path in [here / name for name in sorted(files) + folders]:
        info = path.lstat()
        size = info.st_size if stat.S_ISREG(info.st_mode) else "-"
        print(path, oct(info.st_mode), info.st_uid, info.st_gid, size, content(path, info.st_mode))

units = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=service,timer,socket"]
for line in sorted(subprocess.check_output(units, universal_newlines=True).splitlines()):
    name, _, active = line.split()[:3]
    if not name.startswith(BY_ITSELF):
        print("unit", name, active)
