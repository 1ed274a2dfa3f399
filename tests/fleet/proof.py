"""Write a proof's table to docs/proof/, with commit, date and versions: only a run does that."""

from __future__ import annotations

import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from fleet import artifacts
from fleet.progress import say

TOP = Path(__file__).resolve().parents[2]
PROOFS = TOP / "docs" / "proof"


def commit() -> str:
    """The commit that was run, marked where the work tree differed from it (the proofs themselves aside)."""
    git = ["git", "-C", str(TOP)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
    status = [*git, "status", "--porcelain", "--", ".", ":!docs/proof"]
    changed = subprocess.run(status, check=True, capture_output=True, text=True)
    return head.stdout.strip() + (" with uncommitted changes" if changed.stdout.strip() else "")


def write(name: str, command: str, verdict: str, text: str) -> Path:
    """Write docs/proof/NAME.md: what was run, of what, when, the verdict and the text (Markdown)."""
    versions = [
        f"Loki {artifacts.LOKI_VERSIONS[0]}",
        f"Telegraf {artifacts.TELEGRAF_VERSIONS[0]}",
        f"ansible-core {version('ansible-core')}",
        f"Python {platform.python_version()} on the controller",
    ]
    head = [
        f"# {name}",
        "",
        f"- command: `{command}`",
        f"- commit: {commit()}",
        f"- date: {time.strftime('%Y-%m-%d %H:%M %Z')}",
        f"- versions: {', '.join(versions)}",
        f"- verdict: {verdict}",
    ]
    PROOFS.mkdir(parents=True, exist_ok=True)
    target = PROOFS / f"{name}.md"
    target.write_text("\n".join(head) + "\n\n" + text.rstrip() + "\n")
    say(f"wrote {target.relative_to(TOP)}")
    return target
