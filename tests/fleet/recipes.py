"""What each image is made of: a Debian release, its packages, files laid over it and commands run in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleet.cache import key_of

ROOTFS = Path(__file__).parent / "rootfs"

# A server as Debian's installer leaves it (systemd, ssh, cron, sudo, logrotate; on minbase nothing comes by itself),
# Python for Ansible, and sshpass for the makers of real login events.
BASE = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "iproute2", "procps", "tzdata"),
    *("cron", "logrotate", "sudo", "openssh-server", "openssh-client", "sshpass", "ca-certificates", "python3"),
)

# Privileged containers share the machine's kernel: its modules and settings are not theirs to change. (On Debian 13
# systemd-modules-load fails besides.) Fifty hosts fetching package lists at once would be a nuisance.
MASKED = (
    *("systemd-modules-load.service", "systemd-sysctl.service", "console-getty.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer"),
)

# Every host gets an ssh host key of its own when it is created.
COMMON = (
    f"systemctl mask {' '.join(MASKED)}",
    "rm -f /etc/ssh/ssh_host_*",
)


@dataclass(frozen=True)
class Recipe:
    """One image. `overlay` names a folder below rootfs/ whose files are laid over the installed system."""

    name: str
    suite: str
    packages: tuple[str, ...]
    overlay: str = ""
    commands: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """12 hex digits: equal recipes, equal keys. What Debian publishes meanwhile is no part of it."""
        files = [
            part
            for path in self.files()
            for part in (
                str(path.relative_to(ROOTFS)).encode(),
                path.read_bytes(),
                b"%o" % (path.stat().st_mode & 0o111),
            )
        ]
        text = "\n".join([self.suite, *self.packages, "", *self.commands])
        return key_of(text.encode(), *files)

    @property
    def tag(self) -> str:
        """The image's full name in podman's store."""
        return f"localhost/logmetrics-{self.name}:{self.key}"

    def files(self) -> list[Path]:
        """The overlay's files, sorted."""
        if not self.overlay:
            return []
        return sorted(path for path in (ROOTFS / self.overlay).rglob("*") if path.is_file())


def _host(name: str, suite: str, *extra: str) -> Recipe:
    return Recipe(name, suite, (*BASE, *extra), commands=COMMON)


_GRAPHITE_COMMANDS = (
    # Debian's carbon-cache takes 50 new series a minute; a fleet that comes to life makes hundreds at once.
    "sed -i 's/^MAX_CREATES_PER_MINUTE = .*/MAX_CREATES_PER_MINUTE = inf/' /etc/carbon/carbon.conf",
    "grep -qx 'MAX_CREATES_PER_MINUTE = inf' /etc/carbon/carbon.conf",
    "sed -i 's/^CARBON_CACHE_ENABLED=.*/CARBON_CACHE_ENABLED=true/' /etc/default/graphite-carbon",
    "printf \"SECRET_KEY = 'a disposable test host, reachable from this machine alone'\\nTIME_ZONE = 'UTC'\\n\" "
    ">> /etc/graphite/local_settings.py",
    "runuser -u _graphite -- graphite-manage migrate --run-syncdb --noinput",
    "runuser -u _graphite -- touch /var/lib/graphite/search_index",
    # Debian's own site for mod_wsgi, with fewer processes than the five meant for a server of many users.
    "sed 's/processes=5 threads=5/processes=1 threads=8/' /usr/share/graphite-web/apache2-graphite.conf "
    "> /etc/apache2/sites-available/graphite.conf",
    # Debian's graphite.wsgi asks for graphite.local_settings, while the package keeps local_settings in /etc/graphite.
    "echo 'export GRAPHITE_SETTINGS_MODULE=local_settings' >> /etc/apache2/envvars",
    "echo 'ServerName graphite' > /etc/apache2/conf-available/servername.conf",
    "a2enconf --quiet servername",
    "a2dissite --quiet 000-default",
    "a2ensite --quiet graphite",
)

# The programs whose lines the rule packs count (fleet.programs), none of them started by itself.
_PROGRAMS = (
    *("rsyslog", "curl", "nginx", "apache2", "haproxy", "php-fpm", "libfcgi-bin", "fail2ban", "chrony"),
    *("postfix", "dovecot-imapd", "postgresql", "mariadb-server", "docker.io", "busybox-static"),
    *("mdadm", "smartmontools", "ufw", "nftables", "unattended-upgrades", "xfsprogs", "btrfs-progs", "e2fsprogs"),
)
_UNSTARTED = (
    *("nginx", "apache2", "haproxy", "php*-fpm", "fail2ban", "chrony", "postfix", "dovecot", "dovecot.socket"),
    *("postgresql", "mariadb", "docker", "docker.socket", "containerd", "ufw", "nftables", "smartmontools", "smartd"),
    *("unattended-upgrades", "e2scrub_reap", "e2scrub_all.timer", "fstrim.timer", "logrotate.timer", "man-db.timer"),
    *("dpkg-db-backup.timer", "phpsessionclean.timer", "mdmonitor", "mdmonitor-oneshot.timer", "mdcheck_start.timer"),
    *("mdcheck_continue.timer", "chrony-wait", "apache-htcacheclean", "blk-availability"),
)
_PROGRAMS_COMMANDS = (
    *COMMON,
    # What one of the releases does not have is not there to be disabled.
    "cd /lib/systemd/system; for unit in "
    + " ".join(_UNSTARTED)
    + "; do for file in $unit $unit.service; do if [ -e $file ]; then systemctl disable --quiet $file; fi; done; done",
    # Real kernel lines reach the host by journald, which does not take them away from the others on this machine.
    "sed -i 's/^module(load=\"imklog\")/#&/' /etc/rsyslog.conf",
)


def _programs(suite: str, *extra: str) -> Recipe:
    return Recipe(f"{suite}-programs", suite, (*BASE, *_PROGRAMS, *extra), commands=_PROGRAMS_COMMANDS)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        _host("bookworm", "bookworm", "rsyslog"),
        _host("bookworm-journal", "bookworm"),
        _host("trixie", "trixie"),
        _host("bullseye", "bullseye", "rsyslog"),
        _programs("bullseye"),
        _programs("bookworm", "dovecot-pop3d"),
        _programs("trixie", "dovecot-pop3d", "docker-cli"),
        Recipe(
            "graphite",
            "bookworm",
            (*BASE, "graphite-carbon", "graphite-web", "apache2", "libapache2-mod-wsgi-py3"),
            "graphite",
            (*COMMON, *_GRAPHITE_COMMANDS),
        ),
    )
}
