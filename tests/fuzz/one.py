"""One target under atheris (libFuzzer): python -m fuzz.one TARGET [libFuzzer's options] CORPUS. Only for __main__."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]  # installed by __main__ in an environment of its own

with atheris.instrument_imports(include=["logmetrics"]):
    from fuzz import inputs, targets


def main(argv: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    name = argv.pop(1)
    folder = tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)  # noqa: S108
    box = targets.Sandbox(Path(folder))
    structured = name in inputs.STRUCTURED

    def spoil(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311
        found = atheris.Mutate(data, most) if rng.random() < 0.3 else inputs.spoil(data, rng, structured)
        return bytes(found[:most])

    atheris.Setup(argv, lambda data: targets.TARGETS[name](box, data), custom_mutator=spoil)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
