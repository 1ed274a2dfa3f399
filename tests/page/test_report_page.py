"""The report's page in a real browser: no console error, nothing loaded, readable at a phone's width."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fleet import browser
from logmetrics_report import model, page

HOSTILE = '</pre><script>console.error("came through")</script><img src=x onerror=console.error(1)>'
# What the page is asked about itself once it is laid out (Element.scrollWidth: wider than the window scrolls sideways).
MEASURE = """<script>addEventListener("load", () => {
  const root = document.documentElement;
  document.title = JSON.stringify({wide: root.scrollWidth, window: innerWidth,
    hidden: document.querySelectorAll("#hosts tbody tr:not([hidden])").length});
});</script></body>"""


def made() -> dict[str, Any]:
    """A report in which every state occurs."""
    report = model.Report("site.yml", check=False, who="ann@desk", clock=lambda: 1_800_000_000.0)
    names = [f"web{number:02}.example.com" for number in range(30)]
    report.batch("Activate", names)
    for number, name in enumerate(names):
        good = {"outcome": "activated", "from": {"release": "r1", "rules": "a" * 64}, "to": {"release": "r2"}}
        bad = {**good, "outcome": "rolled_back", "problem": HOSTILE, "journal": HOSTILE + "\n" + "x" * 500}
        report.ended(name, "1", {"stdout": json.dumps(bad if number == 3 else {**good, "changed": ["file /etc/x"]})})
    report.lost(names[5], "2", "Look at the host", {"msg": "ssh: no route to host"})
    report.finish(model.FINISHED)
    return report.document()


def open_page(folder: Path, text: str, width: int) -> tuple[dict[str, int], list[str]]:
    """(what the page says of its own layout, its console)."""
    path = folder / "report.html"
    path.write_text(text.replace("</body>", MEASURE))
    document, console = browser.load(path, width)
    title = re.search(r"<title>(.*?)</title>", document)
    assert title, document[:500]
    return json.loads(title.group(1)), console


@pytest.mark.parametrize("width", browser.WIDTHS.values())
def test_the_page_loads_without_an_error_and_fits(tmp_path: Path, width: int) -> None:
    layout, console = open_page(tmp_path, page.html(made()), width)
    assert console == []
    assert layout["wide"] <= layout["window"]
    assert layout["hidden"] == 30


def test_an_error_on_the_console_would_be_seen(tmp_path: Path) -> None:
    broken = page.html(made()).replace('getElementById("filter")', 'getElementById("nothing")')
    _, console = open_page(tmp_path, broken, 1200)
    assert any("TypeError" in line for line in console), console


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    loads = page.html(made()).replace("</body>", '<img src="http://198.51.100.1/x.png"></body>')
    _, console = open_page(tmp_path, loads, 1200)
    assert any("Content Security Policy" in line for line in console), console


def test_the_filter_hides_rows(tmp_path: Path) -> None:
    html = page.html(made()).replace(
        "</body>",
        '<script>filter.value = "web07"; filter.dispatchEvent(new Event("input"));</script></body>',
    )
    layout, console = open_page(tmp_path, html, 1200)
    assert console == []
    assert layout["hidden"] == 1
