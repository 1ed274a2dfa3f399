"""Debian's Chromium, without a window: what a page logs, and pictures of it at the width of a phone and of a desk.

python3 -m fleet.browser PAGE.html PICTURE     writes PICTURE-phone.png and PICTURE-desktop.png
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fleet import packages
from fleet.progress import FleetError

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    # A page that asks for anything beyond this machine gets no answer.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
WIDTHS = {"phone": 500, "desktop": 1200}  # 500 is the least that a headless window takes
CONSOLE = re.compile(r"CONSOLE[^\]]*\] \"(.*)\", source:")


def chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a file in a fresh profile; FleetError where the browser does not come to an end by itself."""
    packages.ensure(("chromium",))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *FLAGS, "--enable-logging=stderr", f"--user-data-dir={profile}", *options, page.as_uri()]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise FleetError(f"chromium: exit {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return done


def load(page: Path, width: int = WIDTHS["desktop"]) -> tuple[str, list[str]]:
    """(the document after its scripts ran, what it said on its console)."""
    done = chromium(page, "--dump-dom", f"--window-size={width},900")
    return done.stdout, CONSOLE.findall(done.stderr)


def picture(page: Path, target: Path, width: int, height: int) -> None:
    """A PNG of the page's upper part."""
    chromium(page, f"--screenshot={target.resolve()}", f"--window-size={width},{height}")


def main(page: str, target: str) -> int:
    """Both pictures."""
    for name, width in WIDTHS.items():
        picture(Path(page).resolve(), Path(f"{target}-{name}.png"), width, 1100)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
