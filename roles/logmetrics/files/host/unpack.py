"""Unpack an archive into a folder of its own, whole or not at all, and note the sum of every file there.

Sent to the host's python3 on stdin. The one argument is a JSON object: archive (path of a .zip or tar), sha256 (hex),
dest (folder, replaced where it exists), members (name in the archive -> name in dest; empty: every file, as named),
compile (byte-compile the Python modules). The archive is deleted after use.

SHA256SUMS in dest is what sha256sum(1) writes: first the archive's line, then one line a file. look.py reads it.
"""

import compileall
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any, Callable, Dict


def sha256(path: Path) -> str:
    """SHA-256 of a file as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def each_file(archive: Path, take: Callable[[str, IO[bytes]], None]) -> None:
    """Call `take` with name (without a leading ./) and content of every regular file of a zip or tar."""
    if zipfile.is_zipfile(str(archive)):
        with zipfile.ZipFile(str(archive)) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    with packed.open(info) as file:
                        take(info.filename, file)
        return
    with tarfile.open(str(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                take(member.name[2:] if member.name.startswith("./") else member.name, content)


def write(source: IO[bytes], path: Path, mode: int) -> None:
    """Copy to a new file that is on disk when this returns."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with path.open("xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        target.flush()
        os.fchmod(target.fileno(), mode)
        os.fsync(target.fileno())


def fill(folder: Path, archive: Path, members: Dict[str, str]) -> Dict[str, str]:
    """Unpack what is wanted into a folder; name -> sha256. Raises ValueError where a member is missing or unsafe."""
    sums: Dict[str, str] = {}

    def take(name: str, content: IO[bytes]) -> None:
        target = members.get(name) if members else name
        if target is None:
            return
        if Path(target).is_absolute() or ".." in Path(target).parts:
            raise ValueError(f"it holds an unsafe name: {target}")
        write(content, folder / target, 0o755 if members else 0o644)
        sums[target] = sha256(folder / target)

    each_file(archive, take)
    missing = sorted(set(members.values()) - set(sums))
    if missing or not sums:
        raise ValueError(f"it does not hold {', '.join(missing) or 'any file'}")
    return sums


def replace(new: Path, dest: Path) -> None:
    """Put a folder in another's place; a program that runs from the old one goes on."""
    old = new.with_name(new.name + ".old")
    if dest.exists() or dest.is_symlink():
        dest.rename(old)
    new.rename(dest)
    shutil.rmtree(str(old), ignore_errors=True)


def unpack(archive: Path, total: str, dest: Path, members: Dict[str, str], modules: bool) -> None:
    """See the module. Raises ValueError, OSError or the archive readers' errors; dest is untouched then."""
    found = sha256(archive)
    if found != total:
        raise ValueError(f"its sha256 is {found}, not {total}")
    dest.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=str(dest.parent)))
    try:
        new.chmod(0o755)  # mkdtemp makes 0700; programs of other users run from here
        sums = fill(new, archive, members)
        lines = [f"{total}  {archive.name}", *(f"{sums[name]}  {name}" for name in sorted(sums))]
        (new / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if modules and not compileall.compile_dir(str(new), ddir=str(dest), quiet=1):
            raise ValueError("its modules do not compile with this host's Python")
        os.sync()
        replace(new, dest)
    finally:
        shutil.rmtree(str(new), ignore_errors=True)
    archive.unlink()


def main(argument: str) -> int:
    """Unpack; 0 done, 1 the archive is not what it should be, or there is no room (one line on stderr)."""
    wanted: Dict[str, Any] = json.loads(argument)
    os.umask(0o022)
    archive = Path(wanted["archive"])
    try:
        unpack(archive, wanted["sha256"], Path(wanted["dest"]), wanted["members"], wanted["compile"])
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"{archive}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
