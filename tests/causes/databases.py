"""PostgreSQL and MariaDB: statements that fail, refused logins, slow statements."""

from __future__ import annotations

import subprocess

from causes.ledger import Ledger
from causes.shell import ENV, quietly, sh, wait_for

MARIADBD = "/usr/sbin/mariadbd"
PG_AUTH = "password authentication failed"


def set_up() -> None:
    """Both started, each with a user and a password."""
    sh("systemctl", "start", "postgresql")
    wait_for(
        "PostgreSQL",
        lambda: (
            subprocess.run(
                ["runuser", "-u", "postgres", "--", "psql", "-qc", "select 1"], check=False, capture_output=True
            ).returncode
            == 0
        ),
    )
    psql(
        "create role app login password 'secret'",
        "create database shop owner app",
        "create table t (id int primary key, n int)",
        "insert into t values (1, 1), (2, 2)",
    )
    # None but the one that is asked for, however long all of this takes.
    settings = ("log_checkpoints = on", "checkpoint_timeout = '1d'")
    psql(*(f"alter system set {one}" for one in settings), "select pg_reload_conf()")
    sh("install", "-d", "-o", "mysql", "/var/log/mysql")
    sh("systemctl", "start", "mariadb")
    wait_for(
        "MariaDB", lambda: subprocess.run(["mysql", "-e", "select 1"], check=False, capture_output=True).returncode == 0
    )
    sh("mysql", "-e", "create user app@localhost identified by 'secret'")


def psql(*statements: str, fails: bool = False, says: str = "", options: str = "", user: str = "") -> str:
    """Statements of the superuser over the socket, or of a user over TCP (user:password@database)."""
    commands = [part for statement in statements for part in ("-c", statement)]
    if user:
        return sh("psql", f"postgresql://{user}", *commands, fails=fails, says=says)
    words = [
        "runuser",
        "-u",
        "postgres",
        "--",
        "env",
        f"PGOPTIONS={options}",
        "psql",
        "-v",
        "ON_ERROR_STOP=1",
        *commands,
    ]
    return sh(*words, fails=fails, says=says)


def by_postgresql(ledger: Ledger) -> None:
    """PostgreSQL."""
    for _ in range(3):
        psql("select 1/0", fails=True, says="division by zero")
    ledger.add("postgresql", "statement that fails", 3, postgresql__error=1)
    for _ in range(2):
        psql("select 1", user="app:wrong@127.0.0.1/shop", fails=True, says=PG_AUTH)
    # libpq tries with TLS first and, where the server refuses, once more without: two refused logins of the server's.
    ledger.add(
        "postgresql",
        "wrong password (libpq tries with and without TLS)",
        2,
        postgresql__fatal=2,
        postgresql__auth_failure=2,
    )
    psql("select 1", user="app:secret@127.0.0.1/nothing?sslmode=disable", fails=True, says="does not exist")
    ledger.add("postgresql", "database that does not exist", 1, postgresql__fatal=1)
    sleeper = subprocess.Popen(
        ["runuser", "-u", "postgres", "--", "psql", "-c", "select pg_sleep(60)"],
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(
        "the sleeper",
        lambda: (
            "1" in psql("copy (select count(*) from pg_stat_activity where query = 'select pg_sleep(60)') to stdout")
        ),
    )
    psql("select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'")
    sleeper.wait(20)
    ledger.add("postgresql", "session ended by an administrator", 1, postgresql__fatal=1)
    sessions = []
    for first, second in ((1, 2), (2, 1)):
        update = "update t set n = n + 1 where id = {};\n"
        script = f"begin;\n{update.format(first)}select pg_sleep(1);\n{update.format(second)}commit;\n"
        words = ["runuser", "-u", "postgres", "--", "psql", "-v", "ON_ERROR_STOP=1"]
        session = subprocess.Popen(
            words, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
        )
        assert session.stdin
        session.stdin.write(script)
        session.stdin.close()
        sessions.append(session)
    ends = sorted(session.wait(30) for session in sessions)
    if ends != [0, 3]:
        raise SystemExit(f"causes: no deadlock: {ends}")
    ledger.add("postgresql", "deadlock of two transactions", 1, postgresql__error=1, postgresql__deadlock=1)
    for _ in range(4):
        psql("select pg_sleep(0.01)", options="-c log_min_duration_statement=0")
    ledger.add("postgresql", "statement whose duration is logged", 4, postgresql__duration_ms__count=1)
    psql("checkpoint")
    ledger.add("postgresql", "checkpoint", 1, postgresql__checkpoint=1)
    ledger.cannot("logs.postgresql.panic", "would need a broken disk")


def by_mariadb(ledger: Ledger) -> None:
    """MariaDB; MySQL is not in Debian."""
    for _ in range(3):
        sh("mysql", "--user=app", "--password=wrong", "-e", "select 1", fails=True, says="Access denied")
    ledger.add("mariadb", "wrong password", 3, mariadb__access_denied=1)
    sh(
        "mysql",
        "-e",
        "set global slow_query_log_file = '/var/log/mysql/mariadb-slow.log'; set global slow_query_log = 1",
    )
    sh("mysql", "-e", "set session long_query_time = 0.2; select sleep(0.5)")
    ledger.add("mariadb", "slow statement", 1, mariadb__slow_seconds__count=1)
    sh("systemctl", "restart", "mariadb")
    ledger.add("mariadb", "server restarted", 1, mariadb__started=1)
    # Before it would want the locks that the running server has.
    unit = ["systemd-run", "--quiet", "--wait", "--unit=proof-mariadb", "--property=User=mysql"]
    if not quietly(*unit, MARIADBD, "--datadir=/nonexistent"):
        raise SystemExit("causes: MariaDB started without data")
    ledger.add("mariadb", 'start without data ("Aborting")', 1, mariadb__error=1, systemd__failed=1)


def cause(ledger: Ledger) -> None:
    """One after the other."""
    by_postgresql(ledger)
    by_mariadb(ledger)
