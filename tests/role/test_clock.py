"""The controller's clock goes to the host as Unix time, whatever zone the controller is in."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

LOOK = Path(__file__).resolve().parents[2] / "roles" / "logmetrics" / "tasks" / "look.yml"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_the_time_sent_is_unix_time_in_every_zone(zone: str) -> None:
    found = re.search(r"'now': ([^}]+)}", LOOK.read_text())
    assert found
    command = ["ansible", "localhost", "-m", "ansible.builtin.debug", "-a", f"msg=<{{{{ {found.group(1)} }}}}>"]
    environment = dict(os.environ, TZ=zone, ANSIBLE_LOCALHOST_WARNING="0")
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    sent = re.search(r"<([0-9.]+)>", done.stdout)
    assert sent, done.stdout
    assert abs(float(sent.group(1)) - time.time()) < 120
