"""`make pictures`: docs/report-phone.png and docs/report-desktop.png, of a report with the usual ends of a rollout."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from logmetrics_report import model, page

from fleet import browser
from fleet.progress import say

TOP = Path(__file__).resolve().parents[2]

JOURNAL = """\
Nov 24 08:10:02 web07 systemd[1]: Started loki.service - Loki, logmetrics.
Nov 24 08:10:02 web07 loki[2211]: level=error caller=main.go msg="error running loki" err="listen tcp 127.0.0.1:3100: \
bind: address already in use"
Nov 24 08:10:02 web07 systemd[1]: loki.service: Main process exited, code=exited, status=1/FAILURE
Nov 24 08:10:02 web07 systemd[1]: loki.service: Failed with result 'exit-code'."""


def example() -> str:
    """A rollout to twelve hosts whose second batch stopped it."""
    now = [1_795_507_800.0]
    report = model.Report("site.yml", check=False, who="ann@desk", clock=lambda: now[0])
    names = [f"web{number:02}" for number in range(1, 13)]
    report.batch("Look", names)
    for name in names:
        plan = {"due": True, "lines": ["files: /etc/loki/loki-config.yaml", "restart loki.service: its file changes"]}
        report.ended(name, "look", {"ansible_facts": {"__logmetrics_plan": plan}})
    point = {
        "from": {"release": "5ab91c03d2e7", "rules": "9f2c" * 16},
        "to": {"release": "e04d77a1b9c6", "rules": "9f2c" * 16},
    }
    changed = ["file /etc/loki/loki-config.yaml", "restart loki.service: /etc/loki/loki-config.yaml changes"]
    for batch in (["web01"], ["web02", "web07", "web08"]):
        report.batch("Activate", batch, serial=True)
        for name in batch:
            report.started(name, "activate")
        now[0] += 31
        for name in batch:
            bad = (
                {"problem": "loki.service does not start: its state is failed", "journal": JOURNAL}
                if name == "web07"
                else {}
            )
            end = "rolled_back" if bad else "activated"
            report.ended(name, "activate", {"stdout": json.dumps({**point, "outcome": end, "changed": changed, **bad})})
    report.finish(model.FINISHED)
    return page.html(report.document())


def main() -> int:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "report.html"
        path.write_text(example(), encoding="utf-8")
        browser.main(str(path), str(TOP / "docs" / "report"))
    say("wrote docs/report-phone.png and docs/report-desktop.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
