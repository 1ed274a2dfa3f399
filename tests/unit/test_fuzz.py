"""Good input, spoilt at random, as logs, state, rules and configuration: nothing gets out. A second of `make fuzz`."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import inputs, targets
from logmetrics import count, diag

EACH = 60


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[targets.Sandbox]:
    # What the sandbox puts there itself is put back.
    for module, name in ((diag, "say"), (diag, "stderr"), (count, "where")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(count.Run.__init__, "__defaults__", count.Run.__init__.__defaults__)
    memory = Path("/dev/shm")  # noqa: S108 - fsync costs nothing there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield targets.Sandbox(Path(folder))


@pytest.mark.parametrize("name", targets.TARGETS)
def test_spoilt_input(name: str, box: targets.Sandbox) -> None:
    rng = random.Random(name)  # noqa: S311 - the same ones each time
    good = inputs.seeds(name, box)
    for data in good:
        targets.TARGETS[name](box, data)
    for _ in range(EACH):
        targets.TARGETS[name](box, inputs.spoil(rng.choice(good), rng, name in inputs.STRUCTURED))
