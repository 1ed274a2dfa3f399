"""`make lock` and the lock's use: only published sums get in, and what is locked is what is installed.

The pages are served on loopback under upstream's names. `signed/` holds a page signed by a key made for this test.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from role.scripts import TOP, load

SIGNED = Path(__file__).with_name("signed")
FINGERPRINT = "876B9C56AB38C07EE64C68A1201D3BA7292F0EFB"
FILTERS = load("filter_plugins/lock.py")
DIGESTS = "telegraf-1.39.3_linux_amd64.tar.gz.DIGESTS"


def load_tool() -> ModuleType:
    """tools/lock.py as a module."""
    spec = importlib.util.spec_from_file_location("lock_tool", TOP / "tools" / "lock.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_tool()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return module


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A mirror's folder with Loki 3.7.8 and Telegraf 1.39.3 as upstream lays them out."""
    root = tmp_path / "mirror"
    loki, telegraf = root / "loki" / "v3.7.8", root / "telegraf"
    loki.mkdir(parents=True)
    telegraf.mkdir()
    names = ["loki-linux-amd64.zip", "loki-linux-arm64.zip", "loki-windows-amd64.exe.zip"]
    loki.joinpath("SHA256SUMS").write_text("".join(f"{sum_of(name)}  {name}\n" for name in names))
    for name in ("telegraf-1.39.3_linux_amd64.tar.gz", "telegraf-1.39.3_linux_arm64.tar.gz"):
        telegraf.joinpath(f"{name}.DIGESTS").write_text(f"{sum_of(name)}  {name}\n")
    return root


@pytest.fixture
def mirror(pages: Path) -> Iterator[str]:
    """The pages' address."""
    handler = functools.partial(QuietHandler, directory=str(pages))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def sum_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def keyring(folder: Path, name: str) -> Path:
    """The binary keyring that gpgv wants, from an armored export (RFC 9580, section 6: base64 after a blank line)."""
    body = (SIGNED / name).read_text().split("\n\n", 1)[1].split("\n=", 1)[0].split("\n-----", 1)[0]
    path = folder / "keyring.gpg"
    path.write_bytes(base64.b64decode(body))
    return path


def test_the_committed_lock_is_sound_and_holds_upstreams_own_sums_alone() -> None:
    lock = TOP / "roles" / "logmetrics" / "files" / "lock.yml"
    assert FILTERS.lock_faults([str(lock)]) == []
    content = yaml.safe_load(lock.read_text())
    upstream = load_tool().UPSTREAM
    assert [entry["from"] for component in content for entry in content[component].values()] == [
        upstream[component] for component in content for _ in content[component]
    ]


def test_sums_are_taken_from_upstreams_pages(tool: ModuleType, mirror: str, tmp_path: Path) -> None:
    lock = tmp_path / "lock.yml"
    assert tool.main(["--loki", "3.7.8", "--telegraf", "1.39.3", "--mirror", mirror, "--output", str(lock)]) == 0
    assert FILTERS.lock_faults([str(lock)]) == []
    for arch in ("amd64", "arm64"):
        assert FILTERS.locked(str(lock), "loki", "3.7.8", arch) == sum_of(f"loki-linux-{arch}.zip")
        telegraf = f"telegraf-1.39.3_linux_{arch}.tar.gz"
        assert FILTERS.locked(str(lock), "telegraf", "1.39.3", arch) == sum_of(telegraf)
    assert FILTERS.locked(str(lock), "loki", "3.7.9", "amd64") == ""


def test_without_versions_the_defaults_are_locked(tool: ModuleType, mirror: str, tmp_path: Path) -> None:
    defaults = yaml.safe_load((TOP / "roles" / "logmetrics" / "defaults" / "main.yml").read_text())
    lock = tmp_path / "lock.yml"
    assert tool.main(["--mirror", mirror, "--output", str(lock)]) == 0
    assert list(yaml.safe_load(lock.read_text())["loki"]) == [defaults["logmetrics_loki_version"]]


def test_what_was_locked_stays_when_another_version_comes(
    tool: ModuleType, mirror: str, pages: Path, tmp_path: Path
) -> None:
    lock = tmp_path / "lock.yml"
    tool.main(["--loki", "3.7.8", "--mirror", mirror, "--output", str(lock)])
    (pages / "loki" / "v3.7.10").mkdir()
    (pages / "loki" / "v3.7.10" / "SHA256SUMS").write_text(f"{sum_of('new')}  loki-linux-amd64.zip\n")
    assert tool.main(["--loki", "3.7.10", "--arch", "amd64", "--mirror", mirror, "--output", str(lock)]) == 0
    assert list(yaml.safe_load(lock.read_text())["loki"]) == ["3.7.10", "3.7.8"]


@pytest.mark.parametrize(
    ("arguments", "page", "told"),
    [
        (["--loki", "3.7.9"], None, "/loki/v3.7.9/SHA256SUMS: 404 File not found; check the version"),
        (["--loki", "latest"], None, "'latest' is no exact version; write all three numbers"),
        (["--loki", "3.7.8"], ("loki/v3.7.8/SHA256SUMS", "<html>no sums</html>"), "does not name loki-linux-amd64.zip"),
        (
            ["--telegraf", "1.39.3"],
            (f"telegraf/{DIGESTS}", "0" * 64 + "  telegraf-1.39.4_linux_amd64.tar.gz\n"),
            "does not name telegraf-1.39.3_linux_amd64.tar.gz",
        ),
    ],
)
def test_a_sum_that_cannot_be_had_is_one_line_and_writes_nothing(
    tool: ModuleType,
    mirror: str,
    pages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    page: tuple[str, str] | None,
    told: str,
) -> None:
    if page:
        (pages / page[0]).write_text(page[1])
    lock = tmp_path / "lock.yml"
    assert tool.main([*arguments, "--mirror", mirror, "--output", str(lock)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not lock.exists()


def test_a_release_that_changed_upstream_is_refused(
    tool: ModuleType, mirror: str, pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock.yml"
    tool.main(["--loki", "3.7.8", "--mirror", mirror, "--output", str(lock)])
    before = lock.read_text()
    sums = pages / "loki" / "v3.7.8" / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(sum_of("loki-linux-arm64.zip"), sum_of("other")))
    assert tool.main(["--loki", "3.7.8", "--mirror", mirror, "--output", str(lock)]) == 1
    assert f"loki 3.7.8 arm64: {sum_of('loki-linux-arm64.zip')} is locked" in capsys.readouterr().err
    assert lock.read_text() == before


def sign(pages: Path) -> None:
    """Put the signed page of the amd64 tarball among the others."""
    for path in SIGNED.glob("telegraf*"):
        (pages / "telegraf" / path.name).write_bytes(path.read_bytes())


def lock_signed(tool: ModuleType, mirror: str, lock: Path, keys: Path) -> int:
    """Run the tool for the signed tarball alone."""
    words = ["--telegraf", "1.39.3", "--arch", "amd64", "--mirror", mirror, "--output", str(lock)]
    return int(tool.main([*words, "--keyring", str(keys)]))


def test_a_signature_by_a_key_of_the_keyring_is_noted(
    tool: ModuleType, mirror: str, pages: Path, tmp_path: Path
) -> None:
    sign(pages)
    lock = tmp_path / "lock.yml"
    assert lock_signed(tool, mirror, lock, keyring(tmp_path, "key.asc")) == 0
    entry = yaml.safe_load(lock.read_text())["telegraf"]["1.39.3"]
    assert entry["signed_by"] == FINGERPRINT
    assert entry["amd64"] == hashlib.sha256(b"amd64").hexdigest()


def test_digests_that_nobody_of_the_keyring_signed_are_refused(
    tool: ModuleType, mirror: str, pages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(pages)
    lock = tmp_path / "lock.yml"
    assert lock_signed(tool, mirror, lock, keyring(tmp_path, "other.asc")) == 1
    assert "no good signature by" in capsys.readouterr().err
    digests = pages / "telegraf" / DIGESTS
    digests.write_text(digests.read_text().replace(hashlib.sha256(b"amd64").hexdigest(), sum_of("forged")))
    assert lock_signed(tool, mirror, lock, keyring(tmp_path, "key.asc")) == 1
    assert "BAD signature" in capsys.readouterr().err
    (pages / "telegraf" / f"{DIGESTS}.asc").unlink()
    assert lock_signed(tool, mirror, lock, keyring(tmp_path, "key.asc")) == 1
    assert f"{DIGESTS}.asc: 404" in capsys.readouterr().err
    assert not lock.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("loki: {}\n", "holds other keys than loki and telegraf"),
        ("loki: []\ntelegraf: {}\n", "loki is no mapping of versions"),
        ("loki: {3.7: {amd64: x}}\ntelegraf: {}\n", "loki 3.7 is no quoted version"),
        ('loki: {"3.7.8": {amd64: abc}}\ntelegraf: {}\n', "loki 3.7.8 amd64 is no sha256"),
        ("loki: {\n", "is no YAML"),
    ],
)
def test_a_damaged_lock_is_one_line_and_locks_nothing(tmp_path: Path, text: str, told: str) -> None:
    lock = tmp_path / "lock.yml"
    lock.write_text(text)
    (fault,) = FILTERS.lock_faults([str(lock), str(lock)])
    assert told in fault
    assert fault.startswith(f"{lock}: ")
    assert "\n" not in fault
    assert FILTERS.locked(str(lock), "loki", "3.7.8", "amd64") == ""


def test_no_lock_is_no_fault_but_a_missing_file_is(tmp_path: Path) -> None:
    assert FILTERS.lock_faults([""]) == []
    assert FILTERS.locked("", "loki", "3.7.8", "amd64") == ""
    assert "logmetrics_lock" in FILTERS.lock_faults([str(tmp_path / "none.yml")])[0]
