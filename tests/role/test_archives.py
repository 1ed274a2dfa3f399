"""bundle.py packs, unpack.py unpacks whole or not at all, look.py sees whether what was unpacked is still so."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from role.scripts import ROLE, load

BUNDLE = load("files/controller/bundle.py")
UNPACK = load("files/host/unpack.py")
LOOK = load("files/host/look.py")


def zipped(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tarred(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unpack(archive: Path, total: str, dest: Path, members: dict[str, str], modules: bool = False) -> int:
    wanted = {"archive": str(archive), "sha256": total, "dest": str(dest), "members": members, "compile": modules}
    return int(UNPACK.main(json.dumps(wanted)))


def test_the_bundle_is_the_same_wherever_and_whenever_it_is_made(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "pkg", tmp_path / "b" / "pkg"
    for package, order in ((first, ("x.py", "sub/y.py")), (second, ("sub/y.py", "x.py"))):
        for name in order:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(f"# {name}\n")
    os.utime(first / "x.py", (1, 1))
    (first / "x.py").chmod(0o600)
    (first / "__pycache__").mkdir()
    (first / "__pycache__" / "x.pyc").write_bytes(b"junk")
    assert BUNDLE.pack(first) == BUNDLE.pack(second)
    (second / "x.py").write_text("# other\n")
    assert BUNDLE.pack(first) != BUNDLE.pack(second)


def test_the_parser_as_shipped_is_seen_as_intact_and_any_change_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BUNDLE.main(str(ROLE / "files" / "logmetrics"), str(tmp_path)) == 0
    bundle = json.loads(capsys.readouterr().out)
    dest = tmp_path / "tree"
    assert unpack(Path(bundle["path"]), bundle["sha256"], dest, {}, modules=True) == 0
    assert not Path(bundle["path"]).exists()
    if os.geteuid() != 0:  # look.py wants root's files, and the rest of this test has none
        pytest.skip("not root")
    assert LOOK.look_at_tree(dest) == {"archive": bundle["sha256"], "intact": True}

    module = dest / "logmetrics" / "cli.py"
    compiled = next((module.parent / "__pycache__").glob("cli.*.pyc"))
    for spoil, mend in (
        (lambda: module.chmod(0o666), lambda: module.chmod(0o644)),
        (lambda: module.chmod(0o600), lambda: module.chmod(0o644)),
        (lambda: compiled.rename(dest / "gone"), lambda: (dest / "gone").rename(compiled)),
        (lambda: module.rename(dest / "gone"), lambda: (dest / "gone").rename(module)),
        (lambda: module.write_bytes(module.read_bytes() + b"\n"), lambda: None),
    ):
        spoil()
        assert not LOOK.look_at_tree(dest)["intact"]
        mend()


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_only_the_named_member_is_unpacked_executable_and_under_its_new_name(
    tmp_path: Path, pack: Callable[[Path, dict[str, bytes]], str]
) -> None:
    archive = tmp_path / "a"
    total = pack(archive, {"./t-1/usr/bin/t" if pack is tarred else "t-1/usr/bin/t": b"program", "t-1/etc/t": b"no"})
    assert unpack(archive, total, tmp_path / "new" / "t-1", {"t-1/usr/bin/t": "t"}) == 0
    dest = tmp_path / "new" / "t-1"
    assert sorted(path.name for path in dest.iterdir()) == ["SHA256SUMS", "t"]
    assert (dest / "t").read_bytes() == b"program"
    assert (dest / "t").stat().st_mode & 0o777 == 0o755
    sums = (dest / "SHA256SUMS").read_text().splitlines()
    assert sums == [f"{total}  a", f"{hashlib.sha256(b'program').hexdigest()}  t"]


@pytest.mark.parametrize(
    ("files", "members", "says"),
    [
        ({"other": b"x"}, {"t": "t"}, "does not hold t"),
        ({}, {}, "does not hold any file"),
        ({"../evil": b"x"}, {}, "unsafe name: ../evil"),
        ({"/evil": b"x"}, {}, "unsafe name: /evil"),
    ],
)
def test_a_bad_archive_leaves_what_was_there(
    tmp_path: Path,
    files: dict[str, bytes],
    members: dict[str, str],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "old").write_text("old")
    archive = tmp_path / "a"
    assert unpack(archive, tarred(archive, files), dest, members) == 1
    assert says in capsys.readouterr().err
    assert [path.name for path in dest.iterdir()] == ["old"]
    assert not list(tmp_path.glob(".new-*"))


def test_a_wrong_sum_and_a_module_that_does_not_compile_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "a"
    total = tarred(archive, {"p/m.py": b"def broken(:\n"})
    assert unpack(archive, "0" * 64, tmp_path / "dest", {}) == 1
    assert f"its sha256 is {total}, not {'0' * 64}" in capsys.readouterr().err
    assert unpack(archive, total, tmp_path / "dest", {}, modules=True) == 1
    assert "do not compile" in capsys.readouterr().err
    assert not (tmp_path / "dest").exists()


def test_unpacking_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    archive, dest = tmp_path / "a", tmp_path / "dest"
    for files in ({"one": b"1", "two": b"2"}, {"one": b"new"}):
        assert unpack(archive, zipped(archive, files), dest, {}) == 0
    assert sorted(path.name for path in dest.iterdir()) == ["SHA256SUMS", "one"]
    assert (dest / "one").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dest"]
