"""look.py on this machine: real sockets, processes, files, users."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from role.scripts import load

LOOK = load("files/host/look.py")


def test_a_listener_is_named_where_loopback_reaches_it_and_only_there() -> None:
    with socket.socket() as one, socket.socket(socket.AF_INET) as other:
        one.bind(("127.0.0.1", 0))
        one.listen()
        other.bind(("127.0.0.2", 0))
        other.listen()
        port, elsewhere = one.getsockname()[1], other.getsockname()[1]
        found = LOOK.listeners([port, elsewhere])
        assert list(found) == [str(port)]
        assert f"pid {os.getpid()}" in found[str(port)] or found[str(port)].endswith(".service")
    assert LOOK.listeners([port]) == {}


def test_a_process_start_is_known_to_the_hundredth_of_a_second() -> None:
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        after = time.time()
        assert before - 0.05 <= LOOK.process_start(child.pid) <= after + 0.05
        assert LOOK.look_at_process(child.pid)["exe"] == os.path.realpath(sys.executable)
        child.communicate(b"\n")
    assert LOOK.look_at_process(child.pid) == {}


def test_a_path_is_described_by_kind_mode_and_content(tmp_path: Path) -> None:
    file, link = tmp_path / "f", tmp_path / "l"
    file.write_bytes(b"abc")
    file.chmod(0o640)
    link.symlink_to("f")
    seen = LOOK.look_at_path(file)
    assert (seen["kind"], seen["mode"]) == ("file", "0640")
    assert seen["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    assert LOOK.look_at_path(link)["target"] == "f"
    assert LOOK.look_at_path(tmp_path)["kind"] == "directory"
    assert LOOK.look_at_path(tmp_path / "none") == {"kind": "absent"}


def test_a_change_of_content_by_rename_moves_the_time_of_change(tmp_path: Path) -> None:
    """What tells a stranded restart: cp -p and mv keep the content's time (mtime), not the time of change (ctime)."""
    config, backup = tmp_path / "config", tmp_path / "backup"
    config.write_text("a")
    os.utime(config, (1, 1))
    config.rename(backup)
    middle = time.time()
    time.sleep(0.05)
    backup.rename(config)
    assert LOOK.look_at_path(config)["changed"] > middle
    assert config.stat().st_mtime == 1


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("a: 1\nschema_config:\n  configs:\n  - from: 2024-01-01\n\n    store: tsdb\nb: 2\n", 5),
        ("schema_config:\n- odd\n", 2),
        ("a: 1\n", 0),
    ],
)
def test_the_schema_block_is_cut_out_whole(tmp_path: Path, text: str, block: int) -> None:
    config = tmp_path / "loki.yaml"
    config.write_text(text)
    cut = LOOK.schema_block(config)
    assert len(cut.splitlines()) == block
    assert cut in text
    assert LOOK.schema_block(tmp_path / "none") == ""


def test_a_source_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    readable, locked = tmp_path / "a.log", tmp_path / "b.log"
    readable.write_text("x")
    assert LOOK.fault_of(str(readable)) == ""
    assert LOOK.fault_of(str(tmp_path / "*.txt")) == "there is no such file"
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:-1]):
            folder.chmod(folder.stat().st_mode | 0o055)
        readable.chmod(0o644)
        locked.touch(mode=0o600)
        assert LOOK.unreadable([str(tmp_path / "a.log"), str(locked)], None) == {str(locked): "Permission denied"}


def test_a_file_is_watched_from_its_end_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    watch = LOOK.FileWatch(log)
    assert watch.added() == ""
    with log.open("a") as file:
        file.write("after\n")
    assert watch.added() == "after\n"
    log.unlink()
    assert watch.added() == ""


def test_auto_is_resolved_and_a_list_is_kept() -> None:
    assert LOOK.resolve(["auto"]) in (["journal"], list(LOOK.SYSLOG_FILES))
    assert LOOK.resolve(["/var/log/x", "journal"]) == ["/var/log/x", "journal"]


CONF = """[agent]
  interval = "10s"

[[inputs.cpu]]

[[inputs.exec]]
  commands = ["/etc/telegraf/parse_loki_metrics.py"]
  name_prefix = "syslog-metrics."
  [inputs.exec.tags]
    a = "b"

[[outputs.file]]
"""


def test_an_exec_of_the_parser_in_telegraf_s_own_files_is_found(tmp_path: Path) -> None:
    (tmp_path / "telegraf.d").mkdir()
    (tmp_path / "telegraf.conf").write_text(CONF)
    (tmp_path / "telegraf.d" / "logmetrics.conf").write_text(CONF)
    (tmp_path / "telegraf.d" / "other.conf").write_text("[[inputs.exec]]\n  commands = ['/bin/true']\n")
    assert LOOK.foreign_execs(tmp_path) == [str(tmp_path / "telegraf.conf")]
    (tmp_path / "telegraf.conf").write_text("".join(f"# {line}\n" for line in CONF.splitlines()))
    assert LOOK.foreign_execs(tmp_path) == []


def test_a_configuration_is_cut_at_its_plugins_and_nothing_is_lost() -> None:
    blocks = LOOK.toml_blocks(CONF)
    assert "".join(line for block in blocks for line in block) == CONF
    assert [LOOK.runs_parser(block) for block in blocks] == [False, False, False, True, False]
    assert len(blocks[3]) == 6


def test_a_loki_that_is_not_the_role_s_is_found_by_its_configuration(tmp_path: Path) -> None:
    none = {"ours": False, "there": False, "command": ""}
    config = tmp_path / "loki-config.yaml"
    assert LOOK.foreign_loki(none, config) is None
    config.write_text("# Role logmetrics\na: 1\n")
    assert LOOK.foreign_loki(none, config) is None
    config.write_text("auth_enabled: false\n")
    found = LOOK.foreign_loki(none, config)
    assert (found["pid"], found["config"], found["text"]) == (0, str(config), "auth_enabled: false\n")
    assert LOOK.foreign_loki({**none, "ours": True, "there": True}, config) is None


def test_a_foreign_loki_s_secrets_stay_on_its_host() -> None:
    text = (
        "storage_config:\n  aws:\n    s3: s3://key:hush@region/bucket\n    secret_access_key: hush\n"
        "    insecure: false\n  filesystem:\n    directory: /var/loki\npassword: 'hush'\n"
    )
    shown = LOOK.veiled(text)
    assert "hush" not in shown
    assert "directory: /var/loki" in shown and "insecure: false" in shown
