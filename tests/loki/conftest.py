"""A real Loki for the tests of this folder; LOGMETRICS_LOKI is the path of a binary (3.x)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fleet import loki as service

fetch = service.fetch


@pytest.fixture(scope="session")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Loki that runs for these tests."""
    binary = os.environ.get("LOGMETRICS_LOKI")
    if not binary:
        pytest.fail("set LOGMETRICS_LOKI to the path of a Loki binary")
    with service.running(binary, tmp_path_factory.mktemp("loki")) as address:
        yield address
