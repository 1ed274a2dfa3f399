"""A callback of the tests: it kills the whole play with -9 before or during its N-th task, or notes all tasks' names.

Environment: LOGMETRICS_KILL_AT (from 1; 0: never), LOGMETRICS_KILL_AFTER (seconds after the task's start; 0: before
it), LOGMETRICS_TASKS (a file for the names, one a line).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]  # ansible has no types
from fleet import processes

DOCUMENTATION = """
    name: kill_at
    type: aggregate
    short_description: kill the play at its N-th task
    description: For tests of what an interrupted rollout leaves.
"""


def kill() -> None:
    """End this play, its workers and their ssh clients as a power cut of the controller would."""
    processes.kill(os.getpid())


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    """See the module."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.at = int(os.environ.get("LOGMETRICS_KILL_AT", "0"))
        self.after = float(os.environ.get("LOGMETRICS_KILL_AFTER", "0"))
        self.list = os.environ.get("LOGMETRICS_TASKS")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Called in the main process before a task goes to its hosts."""
        self.number += 1
        if self.list:
            with Path(self.list).open("a", encoding="utf-8") as file:
                file.write(f"{task.get_name().removeprefix('logmetrics : ')}\n")
        if self.number != self.at:
            return
        if not self.after:
            kill()
        timer = threading.Timer(self.after, kill)
        timer.daemon = True
        timer.start()

    v2_playbook_on_handler_task_start = v2_playbook_on_task_start
    v2_playbook_on_cleanup_task_start = v2_playbook_on_task_start
