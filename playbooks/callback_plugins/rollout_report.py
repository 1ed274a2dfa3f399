"""Writes the report of a run: report.json and report.html in a folder of the run's own, and a summary at the end.

A callback, not a task, as a run that fails or is cut off must have its report too: the files are written again at every
batch, failure and few seconds, so that also a killed controller leaves what was known. Loaded by itself with the
playbooks beside it; with playbooks of your own, set `callback_plugins` in ansible.cfg to this folder.
"""

from __future__ import annotations

import atexit
import getpass
import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "logmetrics" / "files" / "controller"))
from logmetrics_report import model, page, secrets, summary

DOCUMENTATION = """
name: rollout_report
type: notification
short_description: writes the report of a logmetrics run
description:
  - Writes C(report.json) and C(report.html) for each run, and a summary line at its end.
options:
  folder:
    description: Where the reports go, each run in a folder of its own (a str, as Ansible makes a path of an empty one).
    type: str
    env: [{name: LOGMETRICS_REPORTS}]
    ini: [{section: logmetrics, key: reports}]
    default: ''
  keep:
    description: How many reports stay.
    type: int
    env: [{name: LOGMETRICS_REPORTS_KEEP}]
    ini: [{section: logmetrics, key: reports_keep}]
    default: 50
"""

READ_ONLY = ("status.yml",)  # a playbook that changes nothing and has a report of its own
GATE = "Nothing was changed on any host."  # how the gate's verdict begins (filter_plugins/gate.py)
PAUSE = 2.0  # s between two versions of a report that is still growing


class CallbackModule(CallbackBase):
    """Feeds Ansible's events to the report."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "rollout_report"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        self.report: model.Report | None = None
        self.folder = Path()
        self.written = 0.0
        self.secrets: set[str] = set()
        self.play: Any = None
        self.pid = os.getpid()

    # What Ansible calls.

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """A run begins."""
        name = Path(str(playbook._file_name)).name
        if name in READ_ONLY:
            return
        check = bool(context.CLIARGS.get("check"))
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        self.report = model.Report(name, check, who, clean=self.clean)
        self.folder = self.new_folder(name.removesuffix(".yml"))
        atexit.register(self.cut_off)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play begins, or its next batch."""
        if self.report is None:
            return
        self.play = play
        manager = play.get_variable_manager()
        hosts = [host.name for host in manager._inventory.get_hosts(play.hosts, order=play.order)]
        if play.hosts != ["localhost"]:  # the controller's own part
            self.report.batch(play.get_name(), hosts, bool(play.serial))
        self.write()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task begins on a host."""
        if self.report is not None:
            self.report.started(host.name, task._uuid)

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task came to a good end."""
        self.ended(result, True)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A task was skipped."""
        self.ended(result, False)

    def ended(self, result: Any, ran: bool) -> None:
        """Any end but a failure."""
        if self.report is None:
            return
        told = self.report.ended(result._host.name, result._task._uuid, result._result, ran)
        if told or time.monotonic() > self.written + PAUSE:
            self.write()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        if self.report is None or ignore_errors:
            return
        found = result._result
        if "__logmetrics_gate" in result._task.tags or str(found.get("msg", "")).startswith(
            "Nothing was changed on any"
        ):
            self.report.stopped(str(found.get("msg", "")).splitlines())
        else:
            self.report.failed(result._host.name, result._task._uuid, result._task.get_name(), found)
        self.write()

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host is unreachable."""
        if self.report is not None:
            self.report.lost(result._host.name, result._task._uuid, result._task.get_name(), result._result)
            self.write()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run is over."""
        if self.report is None:
            return
        self.report.finish(model.FINISHED)
        self.write()
        for line in summary.lines(self.report.document(), str(self.folder / "report.html")):
            self._display.display(line)
        self.report = None

    # The files.

    def cut_off(self) -> None:
        """The process ends without a last word: Ctrl-C, a fault of Ansible's own."""
        if self.report is not None and os.getpid() == self.pid:
            self.report.finish(model.INTERRUPTED)
            self.write()
            for line in summary.lines(self.report.document(), str(self.folder / "report.html")):
                sys.stderr.write(f"{line}\n")

    def new_folder(self, name: str) -> Path:
        """The folder of this run; the oldest beyond the number to keep go."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "logmetrics" / "reports"
        top = Path(self.get_option("folder") or cache).expanduser()
        try:
            runs = sorted(path.parent for path in top.glob("*/report.json"))
            for old in runs[: max(0, len(runs) - self.get_option("keep") + 1)]:
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            self._display.warning(f"{top}: {error}; old reports stay")
        return top / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{os.getpid()}"

    def write(self) -> None:
        """Put both files on disk; a fault there is told once and stops nothing."""
        if self.report is None:
            return
        document = self.report.document()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.replace("report.json", json.dumps(document, indent=1) + "\n")
            self.replace("report.html", page.html(document))
        except OSError as error:
            self._display.warning(f"no report can be written: {error}; set LOGMETRICS_REPORTS to a folder of yours")
            self.report = None
        self.written = time.monotonic()

    def replace(self, name: str, text: str) -> None:
        """One file in one step."""
        fresh = self.folder / f".{name}"
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(self.folder / name)

    def clean(self, text: str) -> str:
        """A text without the secrets of this run's variables, which are read only when there is a text to clean."""
        if not text:
            return text
        if not self.secrets and self.play is not None:
            manager = self.play.get_variable_manager()
            for host in manager._inventory.get_hosts(self.play.hosts):
                self.secrets |= secrets.secrets_in(self.variables(manager.get_vars(play=self.play, host=host)))
            self.secrets.add("")  # so that they are not read again where there is none
        return secrets.black_out(text, self.secrets - {""})

    def variables(self, found: dict[str, Any]) -> dict[str, Any]:
        """Those that may hold a secret, with their templates resolved where that is possible."""
        templar = Templar(loader=self.play.get_loader(), variables=found)
        wanted = {
            name: value for name, value in found.items() if secrets.NAME.match(name) or name == "logmetrics_outputs"
        }
        resolved = {}
        for name, value in wanted.items():
            try:
                resolved[name] = templar.template(value)
            except Exception:  # noqa: S112 - a template of another play's variables; its value is in no result
                continue
        return resolved
