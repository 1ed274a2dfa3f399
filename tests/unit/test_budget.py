"""What a run costs, in things that can be counted: modules imported, regexes compiled, files opened."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARSER = Path(__file__).parents[2] / "roles" / "logmetrics" / "files"
HEAVY = {"re", "enum", "json", "signal", "argparse", "collections", "typing", "logging", "datetime", "subprocess"}
PROGRAM = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
sys.path.insert(0, {parser!r})
from logmetrics.cli import main
main(["count", "--config", {config!r}])
names = sorted(sys.modules)
import json
sys.stderr.write(json.dumps([names, [str(name) for name in opened]]))
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    rules = [
        {"metric": f"m.a{number}", "type": "counter", "program": [f"app{number % 9}"], "match": f"^event {number} "}
        for number in range(100)
    ]
    (tmp_path / "rules.json").write_text(json.dumps({"format": 1, "hash": "x", "rules": rules}))
    (tmp_path / "state").mkdir()
    (tmp_path / "x.log").touch()
    config = {
        "format": 1,
        "start": "beginning",
        "state_dir": str(tmp_path / "state"),
        "rules": str(tmp_path / "rules.json"),
        "sources": [{"type": "file", "path": str(tmp_path / "x.log")}],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def run(host: Path) -> tuple[set[str], list[str], str]:
    """(modules, files opened but for modules, points) of one run."""
    program = PROGRAM.format(parser=str(PARSER), config=str(host / "config.json"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    modules, opened = json.loads(done.stderr)
    return set(modules), [name for name in opened if str(host) in name or name.startswith("/proc")], done.stdout


def write(host: Path, number: int) -> None:
    """Lines of the last minutes that rules count."""
    now = time.time() - 100
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    with (host / "x.log").open("a") as log:
        for at in range(number):
            log.write(f"{stamp}.{at:06d}+00:00 web1 app{at % 9}[17]: event {at % 100} happened\n")


def test_an_idle_run_imports_and_opens_little(host: Path) -> None:
    for _ in range(3):
        modules, opened, points = run(host)
    assert "logs.script_error 0" in points
    assert not modules & HEAVY
    assert not modules & {f"logmetrics.{name}" for name in ("sweep", "sweepregex", "regextree", "ship", "check")}
    assert len([name for name in modules if name.startswith("logmetrics")]) <= 27
    assert len(opened) <= 12, opened


def test_a_typical_minute_compiles_nothing(host: Path) -> None:
    write(host, 3000)
    first, _, _ = run(host)
    assert "re" in first
    kept = (host / "state" / "regexes.cache").stat().st_mtime_ns
    write(host, 3000)
    modules, _, points = run(host)
    assert "logs.script_error 0" in points
    assert "logs.parser.lines 3000" in points
    assert not modules & HEAVY
    assert not modules & {"logmetrics.sweepregex", "logmetrics.regextree"}
    assert (host / "state" / "regexes.cache").stat().st_mtime_ns == kept
