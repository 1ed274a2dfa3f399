"""The fleet is up, and the hosts run what the inventory says, before the first test."""

from __future__ import annotations

import pytest
from fleet import hosts

from rollout.common import ROLLOUT, site


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Bring the fleet and the role up."""
    hosts.up(ROLLOUT)
    site()
