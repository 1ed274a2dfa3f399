#!/usr/bin/env python3
"""Write the README's table of variables from the role's argument_specs.yml and defaults.

tools/variables.py           print the table
tools/variables.py --write   put it between README.md's markers
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[1]
ROLE = TOP / "roles" / "logmetrics"
README = TOP / "README.md"
START, END = "<!-- variables:start -->\n", "<!-- variables:end -->\n"
MARKED = re.compile(f"({re.escape(START)}).*?({re.escape(END)})", re.DOTALL)


def options() -> dict[str, Any]:
    """The role's options as argument_specs.yml has them: name -> type, description, choices, elements."""
    spec = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return dict(spec["argument_specs"]["main"]["options"])


def defaults() -> dict[str, Any]:
    """The role's defaults: name -> value."""
    return dict(yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")))


def kind(option: dict[str, Any]) -> str:
    """A type as people read it: `list of str`, or the choices."""
    if "choices" in option and option["type"] != "list":
        return ", ".join(f"`{choice}`" for choice in option["choices"])
    return f"list of {option['elements']}" if option["type"] == "list" else str(option["type"])


def shown(value: Any) -> str:
    """A default as one would write it in YAML; a template's outcome is told in the variable's meaning."""
    if "{{" in str(value):
        return "computed"
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`".replace('"', "'")


def table() -> str:
    """The table as Markdown."""
    values = defaults()
    rows = ["| variable | type or choices | default | meaning |", "|---|---|---|---|"]
    for name, option in options().items():
        meaning = re.sub(r"C\(([^)]*)\)", r"`\1`", option["description"]).replace("|", "\\|")
        rows.append(f"| `{name}` | {kind(option)} | {shown(values[name])} | {meaning} |")
    return "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    """0 done, 2 wrong use or a README without its markers."""
    if arguments not in ([], ["--write"]):
        sys.stderr.write("variables.py: the only argument is --write\n")
        return 2
    if not arguments:
        sys.stdout.write(table())
        return 0
    text, times = MARKED.subn(
        lambda marks: marks.group(1) + table() + marks.group(2), README.read_text(encoding="utf-8")
    )
    if times != 1:
        sys.stderr.write(f"variables.py: README.md must hold the two markers once: {START.strip()}, {END.strip()}\n")
        return 2
    README.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
