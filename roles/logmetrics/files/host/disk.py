"""Changes of the file system that are there whole or not at all, and on disk when the call returns."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Optional

NEW = ".logmetrics-new"


def beside(path: Path) -> Path:
    """Where a path's next content is written; a cut-off write leaves it behind."""
    return path.with_name(f".{path.name}{NEW}")


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk (fsync(2) on a file does not do that for its name)."""
    handle = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, data: bytes, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Put a file in place by rename(2), with its owner (-1: this process's) and mode; a reader sees old or new."""
    new = beside(path)
    clear(new)
    handle = os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchown(handle, uid, gid)
        os.fchmod(handle, mode)
        os.fsync(handle)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    new.replace(path)
    sync_folder(path.parent)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, or point it elsewhere, by rename(2)."""
    new = beside(path)
    clear(new)
    new.symlink_to(target)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    new.replace(path)
    sync_folder(path.parent)


def clear(path: Path) -> bool:
    """Remove a file, link or folder; whether there was one."""
    if path.is_symlink() or path.exists():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(str(path))
        else:
            path.unlink()
        sync_folder(path.parent)
        return True
    return False


def target_of(path: Path) -> Optional[str]:
    """Where a link points; None where there is none."""
    return os.readlink(str(path)) if path.is_symlink() else None


def sha256(data: bytes) -> str:
    """SHA-256 as hex."""
    return hashlib.sha256(data).hexdigest()
