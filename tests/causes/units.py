"""systemd: units that fail, restart, miss their watchdog, take too long; timers."""

from __future__ import annotations

from causes.ledger import Ledger
from causes.shell import quietly, sh, wait_for, write

UNITS = {
    "proof-fails": "[Service]\nType=oneshot\nExecStart=/bin/false\n",
    "proof-loops": "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=60\n"
    "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n",
    "proof-dog": "[Service]\nType=notify\nNotifyAccess=all\nWatchdogSec=1\nLimitCORE=0\n"
    "ExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep 60'\n",
    "proof-starts": "[Service]\nType=notify\nTimeoutStartSec=1\nExecStart=/bin/sleep 60\n",
    # Ready when it has set its trap, or a stop that comes before would end it.
    "proof-stays": "[Service]\nType=notify\nNotifyAccess=all\nTimeoutStopSec=1\n"
    "ExecStart=/bin/sh -c 'trap \"\" TERM; systemd-notify --ready; while :; do sleep 1; done'\n",
    "proof-needs": "[Unit]\nRequires=proof-fails.service\nAfter=proof-fails.service\n"
    "[Service]\nExecStart=/bin/sleep 1\n",
}
TIMERS = ("systemd-tmpfiles-clean", "fstrim", "logrotate")


def set_up() -> None:
    """Units that go wrong, each in its own way."""
    for name, text in UNITS.items():
        write(f"/etc/systemd/system/{name}.service", text)
    # The distribution's own timers and services, at once instead of at night, and with nothing to do.
    for name in TIMERS:
        write(
            f"/etc/systemd/system/{name}.timer.d/proof.conf",
            "[Unit]\nConditionVirtualization=\n[Timer]\nOnCalendar=\nOnBootSec=\nOnUnitActiveSec=\nOnActiveSec=1\nAccuracySec=1ms\nRandomizedDelaySec=0\nPersistent=false\n",
        )
        write(
            f"/etc/systemd/system/{name}.service.d/proof.conf",
            "[Unit]\nConditionVirtualization=\nConditionACPower=\n[Service]\nExecStart=\nExecStart=/bin/true\n",
        )
    for name in ("apt-daily", "apt-daily-upgrade"):
        write(
            f"/etc/systemd/system/{name}.service.d/proof.conf",
            "[Unit]\nConditionACPower=\n[Service]\nExecStartPre=\nExecStart=\nExecStart=/bin/true\n",
        )
    for name in TIMERS:
        quietly("systemctl", "stop", f"{name}.timer")
    write(
        "/etc/systemd/system/rescue.service.d/proof.conf",
        "[Service]\nStandardInput=null\nExecStartPre=\nExecStart=\nExecStart=/bin/true\n",
    )
    sh("systemctl", "daemon-reload")


def state(name: str, what: str) -> str:
    """A property of a unit."""
    return sh("systemctl", "show", "--property", what, "--value", f"{name}.service").strip()


def has_failed(name: str, result: str) -> None:
    """Wait until a unit has failed for this reason."""
    wait_for(f"{name} to fail", lambda: state(name, "ActiveState") == "failed")
    if state(name, "Result") != result:
        raise SystemExit(f"causes: {name} failed with {state(name, 'Result')}, not {result}")


def has_run(name: str) -> None:
    """Wait until a service has run to its end."""
    wait_for(f"{name} to have run", lambda: state(name, "ExecMainExitTimestampMonotonic") not in ("", "0"))


def cause(ledger: Ledger) -> None:
    """Start them."""
    for _ in range(2):
        sh("systemctl", "start", "proof-fails", fails=True)
    ledger.add("systemd", "service that exits with 1", 2, systemd__failed=1)
    sh("systemctl", "start", "proof-loops")
    has_failed("proof-loops", "exit-code")
    restarts = int(state("proof-loops", "NRestarts"))
    ledger.add(
        "systemd",
        "service started again by itself (systemd's own count)",
        restarts,
        systemd__restarted=1,
        systemd__failed=1,
    )
    ledger.add("systemd", "the same, given up after StartLimitBurst", 1, systemd__given_up=1, systemd__failed=1)
    sh("systemctl", "start", "proof-dog")
    has_failed("proof-dog", "watchdog")
    ledger.add("systemd", "service that misses its watchdog", 1, systemd__watchdog=1, systemd__failed=1)
    sh("systemctl", "start", "proof-starts", fails=True)
    has_failed("proof-starts", "timeout")
    ledger.add("systemd", "service that is never ready", 1, systemd__timeout=1, systemd__failed=1)
    sh("systemctl", "start", "proof-stays")
    sh("systemctl", "stop", "proof-stays")
    has_failed("proof-stays", "timeout")
    ledger.add("systemd", "service that does not stop", 1, systemd__timeout=1, systemd__failed=1)
    sh("systemctl", "start", "proof-needs", fails=True)
    ledger.add("systemd", "service whose requirement fails", 1, systemd__dependency_failed=1, systemd__failed=1)
    # Not emergency.target: it would stop rsyslog.
    sh("systemctl", "start", "rescue.target")
    sh("systemctl", "stop", "rescue.target")
    ledger.add("systemd", "rescue target reached", 1, systemd__rescue=1)
    for name in TIMERS:
        sh("systemctl", "start", f"{name}.timer")
        has_run(name)
        sh("systemctl", "stop", f"{name}.timer")
    ledger.add("systemd", "systemd-tmpfiles-clean and fstrim started by their timers", 2, timers__other=1)
    ledger.add("systemd", "logrotate started by its timer", 1, timers__logrotate=1)
    sh("systemctl", "start", "apt-daily.service")
    ledger.add("systemd", "apt-daily started", 1, timers__apt_update=1)
    sh("systemctl", "start", "apt-daily-upgrade.service")
    ledger.add("systemd", "apt-daily-upgrade started", 1, timers__apt_upgrade=1)
    write(
        "/etc/systemd/system/logrotate.service.d/proof.conf",
        "[Unit]\nConditionACPower=\n[Service]\nExecStart=\nExecStart=/bin/false\n",
    )
    sh("systemctl", "daemon-reload")
    sh("systemctl", "start", "logrotate.service", fails=True)
    ledger.add("systemd", "logrotate that fails", 1, timers__logrotate=1, timers__failed=1, systemd__failed=1)
    ledger.cannot("logs.systemd.coredump", "the pattern for core dumps is the machine's, not a container's")
    ledger.cannot("logs.systemd.boot", 'a container\'s start has no kernel part ("Startup finished in 801ms.")')
