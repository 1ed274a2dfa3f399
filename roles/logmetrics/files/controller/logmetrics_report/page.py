"""The report as one HTML page: nothing is loaded from anywhere, it reads on a phone, and without its script too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from . import summary
from .model import BAD

TEMPLATE = Path(__file__).with_name("page.html.j2")


def html(document: dict[str, Any]) -> str:
    """The page. Every text in it is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        run=document,
        bad=BAD,
        words=summary.WORDS,
        verdict=summary.verdict(document),
        sentence=summary.sentence(document),
        duration=summary.duration,
    )
