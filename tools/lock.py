#!/usr/bin/env python3
"""Write the sha256 of upstream's artifacts into the role's lock file, as upstream publishes them.

tools/lock.py                                      the versions that the role's defaults name
tools/lock.py --loki 3.7.9 --telegraf 1.39.4       these versions
tools/lock.py --mirror URL                         read from a mirror that is laid out like upstream's release pages
tools/lock.py --keyring FILE                       believe Telegraf's digests only with a good signature (gpgv)

Loki publishes one SHA256SUMS a release; Telegraf publishes FILE.DIGESTS, FILE.DIGESTS.asc and FILE.asc beside each file
(its scripts/release.sh). What is locked already and has changed upstream is an error: a release is never replaced.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
ROLE = TOP / "roles" / "logmetrics"
LOCK = ROLE / "files" / "lock.yml"
ARCHITECTURES = ("amd64", "arm64")
VERSION = re.compile(r"\d+\.\d+\.\d+")
LINE = re.compile(r"^([0-9a-fA-F]{64})[ \t]+\*?(?:\S*/)?(\S+)$", re.MULTILINE)
UPSTREAM = {
    "loki": "https://github.com/grafana/loki/releases/download",
    "telegraf": "https://dl.influxdata.com/telegraf/releases",
}
HEAD = """---
# sha256 of upstream's artifacts by component, version and architecture. Written by `make lock` from the sums that
# upstream publishes; an artifact that differs from what stands here is not installed. A version that is not here is
# held against the sums published beside it at the time of the run.
"""
TIMEOUT = 30  # s for one page
Lock = dict[str, dict[str, dict[str, str]]]


class LockError(Exception):
    """One line: what, where, what to do."""


@dataclass(frozen=True)
class Wanted:
    """One artifact and the page with its sum."""

    component: str
    version: str
    arch: str
    base: str

    @property
    def file(self) -> str:
        """Upstream's name of it."""
        if self.component == "loki":
            return f"loki-linux-{self.arch}.zip"
        return f"telegraf-{self.version}_linux_{self.arch}.tar.gz"

    @property
    def page(self) -> str:
        """Where its sum is published."""
        if self.component == "loki":
            return f"{self.base}/v{self.version}/SHA256SUMS"
        return f"{self.base}/{self.file}.DIGESTS"


def fetch(url: str) -> bytes:
    """A page's bytes; LockError where there is none. 404 is told apart, by `missing`."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - upstream's or the operator's own address
            return bytes(answer.read())
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        code = getattr(error, "code", None)
        raise LockError(
            f"{url}: {f'{code} ' if code else ''}{reason}; check the version, the network, or give --mirror"
        ) from None


def signer(data: bytes, signature: bytes, keyring: Path, what: str) -> str:
    """Fingerprint of the key that signed these bytes; LockError where no key of the keyring did (gpgv(1))."""
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / "data.asc", Path(scratch) / "data"]
        for path, content in zip(files, (signature, data), strict=True):
            path.write_bytes(content)
        command = ["gpgv", "--status-fd", "1", "--keyring", str(keyring.resolve()), *map(str, files)]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        except OSError as error:
            raise LockError(f"gpgv cannot be run: {error.strerror}; install it (Debian: apt install gpgv)") from None
    good = re.search(r"^\[GNUPG:\] VALIDSIG (?:\S+ ){9}(\S+)$", done.stdout, re.MULTILINE)
    if done.returncode or not good:
        words = [line.removeprefix("gpgv: ") for line in done.stderr.splitlines() if line.strip()]
        raise LockError(f"{what}: no good signature by {keyring}: {words[-1] if words else 'gpgv says nothing'}")
    return good.group(1)


def sum_of(wanted: Wanted, keyring: Path | None) -> tuple[str, str]:
    """(sha256 as published, fingerprint of who signed it or "")."""
    data = fetch(wanted.page)
    sums = {name: total.lower() for total, name in LINE.findall(data.decode("utf-8", "replace"))}
    if wanted.file not in sums:
        raise LockError(f"{wanted.page}: does not name {wanted.file}; is it upstream's own page?")
    if keyring is None or wanted.component != "telegraf":
        return sums[wanted.file], ""
    return sums[wanted.file], signer(data, fetch(wanted.page + ".asc"), keyring, wanted.page)


def entry_of(component: str, version: str, base: str, keyring: Path | None, arches: tuple[str, ...]) -> dict[str, str]:
    """A version's entry: where its sums come from, who signed them (where that was asked), the sums."""
    entry = {"from": base}
    for arch in arches:
        entry[arch], by = sum_of(Wanted(component, version, arch, base), keyring)
        if by:
            entry["signed_by"] = by
    return entry


def merge(lock: Lock, component: str, version: str, entry: dict[str, str]) -> None:
    """Put an entry into the lock; LockError where it contradicts what is locked."""
    held = lock[component].get(version, {})
    for arch in ARCHITECTURES:
        if arch in held and arch in entry and held[arch] != entry[arch]:
            raise LockError(
                f"{component} {version} {arch}: {held[arch]} is locked, {entry['from']} says {entry[arch]}; "
                "a release is never replaced: find out why before you take the old entry out"
            )
    lock[component][version] = {**held, **entry}


def load(path: Path) -> Lock:
    """What is locked already; an empty lock where there is no file."""
    if not path.exists():
        return {component: {} for component in UPSTREAM}
    content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or set(content) != set(UPSTREAM):
        raise LockError(f"{path}: holds other keys than {' and '.join(UPSTREAM)}; remove it, or give --output")
    return content


def text_of(lock: Lock) -> str:
    """The lock file's text: versions newest first."""
    lines = [HEAD.rstrip("\n")]
    for component in UPSTREAM:
        versions = lock[component]
        lines.append(f"{component}:" if versions else f"{component}: {{}}")
        for version in sorted(versions, key=lambda one: tuple(map(int, one.split("."))), reverse=True):
            lines.append(f'  "{version}":')
            lines += [f"    {key}: {value}" for key, value in sorted(versions[version].items())]
    return "\n".join(lines) + "\n"


def default_versions() -> dict[str, list[str]]:
    """The versions that the role's defaults name."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    return {component: [str(defaults[f"logmetrics_{component}_version"])] for component in UPSTREAM}


def versions(words: list[str]) -> list[str]:
    """Exact versions out of `3.7.8 3.7.9` or `3.7.8,3.7.9`."""
    found = [one for word in words for one in re.split(r"[ ,]+", word) if one]
    wrong = [one for one in found if not VERSION.fullmatch(one)]
    if wrong:
        raise LockError(f"{wrong[0]!r} is no exact version; write all three numbers, such as 3.7.8")
    return found


def main(arguments: list[str]) -> int:
    """0 written, 1 a sum cannot be had or contradicts (nothing is written), 2 wrong use."""
    parser = argparse.ArgumentParser(prog="lock.py", description="Lock upstream's artifacts by their published sha256.")
    for component in UPSTREAM:
        parser.add_argument(f"--{component}", nargs="*", default=[], metavar="VERSION", help="exact versions")
    parser.add_argument("--mirror", default="", metavar="URL", help="instead of upstream's release pages")
    parser.add_argument("--keyring", type=Path, metavar="FILE", help="InfluxData's public key, binary (gpg --export)")
    parser.add_argument("--arch", nargs="*", default=ARCHITECTURES, choices=ARCHITECTURES, help="default: both")
    parser.add_argument("--output", type=Path, default=LOCK, metavar="FILE", help="default: the role's files/lock.yml")
    options = parser.parse_args(arguments)
    try:
        wanted = {component: versions(getattr(options, component)) for component in UPSTREAM}
        wanted = wanted if any(wanted.values()) else default_versions()
        lock = load(options.output)
        for component, upstream in UPSTREAM.items():
            base = f"{options.mirror.rstrip('/')}/{component}" if options.mirror else upstream
            for version in wanted[component]:
                merge(lock, component, version, entry_of(component, version, base, options.keyring, options.arch))
                sys.stdout.write(f"{component} {version}: {lock[component][version]}\n")
    except LockError as error:
        sys.stderr.write(f"lock: {error}\n")
        return 1
    options.output.write_text(text_of(lock), encoding="utf-8")
    sys.stdout.write(f"wrote {options.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
