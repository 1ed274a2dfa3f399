"""Every public variable stands in defaults, in argument_specs and in the README's table, and means the same there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[2]
ROLE = TOP / "roles" / "logmetrics"


def load_tool() -> ModuleType:
    """tools/variables.py as a module."""
    spec = importlib.util.spec_from_file_location("variables", TOP / "tools" / "variables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()
PYTHON_TYPES = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict}


def test_defaults_and_argument_specs_name_the_same_variables_in_the_same_order() -> None:
    assert list(TOOL.defaults()) == list(TOOL.options())


@pytest.mark.parametrize("name", TOOL.options())
def test_an_option_has_a_type_a_description_and_a_default_that_fits(name: str) -> None:
    option, default = TOOL.options()[name], TOOL.defaults()[name]
    assert name.startswith("logmetrics_")
    assert option["description"].endswith(".")
    assert isinstance(default, PYTHON_TYPES[option["type"]])
    assert option["type"] != "int" or not isinstance(default, bool)
    if option["type"] == "list":
        assert all(isinstance(item, PYTHON_TYPES[option["elements"]]) for item in default)
    if "choices" in option:
        assert set(default if option["type"] == "list" else [default]) <= set(option["choices"])


def test_the_readme_holds_the_table_that_the_tool_writes() -> None:
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    assert TOOL.START + TOOL.table() + TOOL.END in readme, "run tools/variables.py --write"


def used_names() -> set[str]:
    """Public variables that the role, the playbooks and the inventories mention."""
    folders = [ROLE / part for part in ("tasks", "vars", "templates")] + [TOP / "playbooks", TOP / "inventories"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".py"]
    return {name for path in files for name in re.findall(r"\blogmetrics_\w+", path.read_text(encoding="utf-8"))}


def test_no_variable_is_unused_and_none_that_is_used_is_unknown() -> None:
    filters = set()
    for path in (ROLE / "filter_plugins").glob("*.py"):
        filters |= set(re.findall(r'"(logmetrics_\w+)":', path.read_text(encoding="utf-8")))
    assert used_names() - filters == set(TOOL.options())


def test_the_tool_refuses_a_readme_without_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing", encoding="utf-8")
    monkeypatch.setattr(TOOL, "README", readme)
    assert TOOL.main(["--write"]) == 2
    assert readme.read_text(encoding="utf-8") == "nothing"
