"""Drift repair from the host itself: the units of docs/scale.md, Debian's own ansible-core, a real repository."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from fleet import hosts
from fleet.podman import unpack

from rollout.common import ONE, TOP, files, point, processes, site, state, works

SERVICE = "logmetrics-repair-drift.service"
REPOSITORY = "/srv/logmetrics"


def documented_units() -> dict[str, str]:
    """The units as docs/scale.md shows them, with this repository and this inventory: path -> text."""
    text = (TOP / "docs/scale.md").read_text()
    blocks = re.findall(r"^    # (/etc/systemd/system/\S+)\n((?:    .*\n)+)", text, re.MULTILINE)
    units = {path: re.sub(r"^    ", "", body, flags=re.MULTILINE) for path, body in blocks}
    return {
        path: body.replace("https://git.example.com/ops/logmetrics.git", REPOSITORY).replace("%H", ONE.name)
        for path, body in units.items()
    }


def put(content: dict[str, bytes]) -> None:
    """Write files on host one, as root's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in content.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    unpack(ONE.container, buffer.getvalue())


def sh(text: str) -> str:
    """A shell script on host one."""
    return hosts.execute(ONE, "sh", "-euc", text)


def commit(**settings: object) -> None:
    """The branch that hosts pull, with these settings in its inventory."""
    variables = yaml.safe_load((TOP / "tests/rollout/inventory/group_vars/logmetrics.yml").read_text())
    group = {"hosts": {ONE.name: {"ansible_connection": "local"}}, "vars": {**variables, **settings}}
    put({f"{REPOSITORY}/inventories/mine/hosts.json": json.dumps({"logmetrics": group}).encode()})
    git = f"git -C {REPOSITORY} -c user.name=test -c user.email=test@example.com"
    sh(f"{git} add -A; {git} commit --quiet --allow-empty --message change; git -C {REPOSITORY} branch -f deployed")


def pull() -> tuple[int, str]:
    """Start the unit as its timer would, and wait for its end: exit code of the start, and what it said."""
    begun = sh("date +%s.%N").strip()
    code = sh(f"systemctl start {SERVICE} && echo 0 || echo $?").strip()
    return int(code), sh(f"journalctl --quiet --output=cat --since=@{begun} --unit={SERVICE}")


@pytest.fixture(scope="module", autouse=True)
def repository() -> None:
    """Debian's ansible-core and git on host one, a repository there, the units."""
    sh("export DEBIAN_FRONTEND=noninteractive; apt-get -q update; "
       "apt-get -q install --yes --no-install-recommends ansible-core git")  # fmt: skip
    known = subprocess.run(
        ["git", "ls-files", "roles", "playbooks", "files", "ansible.cfg"],
        cwd=TOP, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    put({f"{REPOSITORY}/{name}": Path(TOP, name).read_bytes() for name in known})
    sh(f"cd {REPOSITORY}; git init --quiet")
    put({path: body.encode() for path, body in documented_units().items()})
    sh("systemctl daemon-reload")


def test_the_documented_units_are_units() -> None:
    assert sorted(documented_units()) == [
        "/etc/systemd/system/logmetrics-repair-drift.service",
        "/etc/systemd/system/logmetrics-repair-drift.timer",
    ]
    said = sh(f"systemd-analyze verify {' '.join(documented_units())} 2>&1")
    assert "logmetrics-repair" not in said, said


def test_a_host_repairs_itself_and_is_never_ahead_of_the_rollout() -> None:
    commit()
    wanted, now = files(ONE), point(ONE)
    before = processes(ONE)
    code, said = pull()
    assert code == 0, said[-3000:]
    assert (files(ONE), point(ONE), processes(ONE)) == (wanted, now, before)
    sh("echo '# drift' >> /etc/loki/loki-config.yaml")
    code, said = pull()
    assert code == 0, said[-3000:]
    assert (files(ONE), point(ONE)) == (wanted, now)
    assert state(ONE)["pending"] is None and works(ONE) == ""
    # The repository is ahead of the rollout: another release, other rules. Not even drift is repaired then.
    for ahead in ({"logmetrics_loki_log_level": "error"}, {"logmetrics_rule_packs": ["sshd"]}):
        commit(**ahead)
        before = processes(ONE)
        code, said = pull()
        assert code == 0, said[-3000:]
        assert (files(ONE), point(ONE), processes(ONE)) == (wanted, now, before)
    assert sh("ls -d /.cache 2>/dev/null || true") == ""
    site()
