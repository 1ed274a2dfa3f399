"""Images from Debian's packages: mmdebstrap makes a tar, the cache keeps it, podman imports it."""

from __future__ import annotations

import io
import shlex
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fleet.cache import cache_dir
from fleet.podman import podman, query
from fleet.progress import run, run_long, say
from fleet.recipes import ROOTFS, Recipe

DEBIAN = {
    "Debian": "",
    "Debian-Security": "-security",
}  # label of an archive: what its suites add to the release's name


def sources(suite: str) -> list[str]:
    """Lines of sources.list for this suite, from the archives that this machine's own apt uses.

    Empty where its apt knows no Debian archive (Ubuntu): then mmdebstrap's default applies.
    """
    wanted = "$(LABEL) $(REPO_URI)"
    found = run(["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"], "reading apt's sources")
    sites = {label: site for label, _, site in (line.partition(" ") for line in found.splitlines()) if label in DEBIAN}
    lines = []
    for label, site in sorted(sites.items()):
        suites = [suite, f"{suite}-updates"] if label == "Debian" else [f"{suite}{DEBIAN[label]}"]
        lines += [f"deb {site} {name} main" for name in suites]
    return lines if "Debian" in sites else []


def proxies() -> list[str]:
    """This machine's apt settings for proxies, as options for mmdebstrap, which starts apt without them."""
    settings = run(["apt-config", "dump", "--format", "%F %v%n"], "reading apt's settings").splitlines()
    pairs = [line.partition(" ") for line in settings]
    return [f'--aptopt={name} "{value}"' for name, _, value in pairs if name.startswith("Acquire::http") and value]


def build(recipe: Recipe, target: Path) -> None:
    """Make the image's tar with mmdebstrap. Package downloads are shared by all images and kept in the cache."""
    debs = cache_dir() / "packages"
    target.parent.mkdir(parents=True, exist_ok=True)
    (debs / recipe.suite).mkdir(parents=True, exist_ok=True)
    store = debs / recipe.suite
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        result = Path(scratch) / "image.tar"
        overlay = Path(scratch) / "overlay.tar"
        overlay.write_bytes(overlay_tar(recipe))
        run_long(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(recipe.packages)}",
                *proxies(),
                "--skip=download/empty,essential/unlink",
                '--setup-hook=mkdir -p "$1"/var/cache/apt/archives',
                f"--setup-hook=sync-in {shlex.quote(str(store))} /var/cache/apt/archives",
                f"--customize-hook=sync-out /var/cache/apt/archives {shlex.quote(str(store))}",
                f"--customize-hook=tar-in {shlex.quote(str(overlay))} /",
                *(f'--customize-hook=chroot "$1" sh -euc {shlex.quote(line)}' for line in recipe.commands),
                recipe.suite,
                str(result),
                *sources(recipe.suite),
            ],
            f"building image {recipe.name} (half a minute to two)",
        )
        result.rename(target)


def overlay_tar(recipe: Recipe) -> bytes:
    """The overlay's files as a tar, owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in recipe.files():
            info = tarfile.TarInfo(str(path.relative_to(ROOTFS / recipe.overlay)))
            info.size, info.mode = path.stat().st_size, 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(info, content)
    return buffer.getvalue()


def tar_of(recipe: Recipe) -> Path:
    """Where the cache keeps this image."""
    return cache_dir() / "images" / f"{recipe.name}-{recipe.key}.tar"


def imported() -> set[str]:
    """Full names of the images in podman's store."""
    return {name for image in query("images") for name in image.get("Names") or []}


def ensure(recipes: Iterable[Recipe]) -> None:
    """Build and import those of these images that are missing; drop what older recipes left behind."""
    there = imported()
    for recipe in recipes:
        target = tar_of(recipe)
        if not target.exists():
            build(recipe, target)
        if recipe.tag not in there:
            say(f"importing image {recipe.name}")
            podman(
                "import", "--change", 'CMD ["/sbin/init"]', "--change", "STOPSIGNAL SIGRTMIN+3", str(target), recipe.tag
            )
        prune(recipe, there)


def prune(recipe: Recipe, there: set[str]) -> None:
    """Remove tars and imported images of this recipe's older versions, but for images that a host still uses."""
    for old in target_siblings(recipe):
        old.unlink()
    used = {container["Image"] for container in query("ps", "--all")}
    for tag in there:
        if tag.startswith(f"localhost/logmetrics-{recipe.name}:") and tag != recipe.tag and tag not in used:
            podman("rmi", tag)


def target_siblings(recipe: Recipe) -> list[Path]:
    """Tars of this recipe under other keys (12 hex digits)."""
    return [
        path for path in tar_of(recipe).parent.glob(f"{recipe.name}-{'[0-9a-f]' * 12}.tar") if path != tar_of(recipe)
    ]
