"""Each managed thing altered singly on a host: the next run reports exactly that, repairs it, and the host works."""

from __future__ import annotations

from dataclasses import dataclass

from fleet import hosts

from rollout.common import TARGETS, files, site, state, told, works


@dataclass(frozen=True)
class Alteration:
    """A shell command on the host, and the lines that the next run tells (beginnings)."""

    command: str
    lines: tuple[str, ...]


TELEGRAF_CONF = "/etc/telegraf/telegraf.d/logmetrics.conf"
RESTART = "restart telegraf.service: "
ALTERATIONS = [
    Alteration(
        "echo '# x' >> /etc/loki/loki-config.yaml", ("files: /etc/loki/loki-config.yaml", "restart loki.service: ")
    ),
    Alteration("chmod 0644 /etc/logmetrics/config.json", ("files: /etc/logmetrics/config.json",)),
    Alteration("chown daemon /etc/logmetrics/rules.json", ("files: /etc/logmetrics/rules.json",)),
    Alteration(
        "echo '# x' >> /etc/systemd/system/loki.service",
        ("files: /etc/systemd/system/loki.service", "restart loki.service: "),
    ),
    Alteration("systemctl stop telegraf", (RESTART + "not running",)),
    Alteration("systemctl disable --quiet telegraf", (RESTART + "not enabled at boot",)),
    Alteration("ln -sfn /bin/true /usr/local/bin/loki", ("links: /usr/local/bin/loki",)),
    Alteration(f"rm {TELEGRAF_CONF}", (f"files: {TELEGRAF_CONF}", RESTART)),
    Alteration("gpasswd -d telegraf systemd-journal > /dev/null", ("users: telegraf",)),
    Alteration("chmod 0700 /etc/loki", ("directories: /etc/loki",)),
    Alteration("touch /etc/telegraf/telegraf.conf", (RESTART + "/etc/telegraf/telegraf.conf changed after its start",)),
    Alteration("rm /opt/logmetrics/parser/current/logmetrics/count.py", ("trees: /opt/logmetrics/parser/",)),
]


def test_each_thing_altered_singly_is_reported_alone_and_repaired() -> None:
    """Three hosts at a time, each with an alteration of its own."""
    wanted = {host.name: files(host) for host in TARGETS}
    for first in range(0, len(ALTERATIONS), len(TARGETS)):
        some = list(zip(TARGETS, ALTERATIONS[first:], strict=False))
        for host, alteration in some:
            hosts.execute(host, "sh", "-c", alteration.command)
        done = site(logmetrics_batches=["100%"])
        for host, alteration in some:
            lines = told(done, host)
            assert len(lines) == len(alteration.lines), (alteration, lines)
            assert all(line.startswith(start) for line, start in zip(lines, alteration.lines, strict=True)), lines
            assert files(host) == wanted[host.name], alteration
            assert state(host)["proven"] and state(host)["pending"] is None
        assert [works(host) for host, _ in some] == [""] * len(some)
    assert "nothing to change on any host" in site().text
