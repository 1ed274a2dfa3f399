"""The host's transaction on real files: what it switches, what it gives back, and a crash at every step of it.

Without systemd (units, timers and the proof are tests/rollout's, on real hosts): the releases here have no services.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from host import __main__ as verbs
from host import activate, adopt, arm, before, disk, removal, stage
from host.store import Fault, Store

USER, GROUP = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
WISH = {"minutes": 5, "run": "test", "who": "test", "confirm": False}
STEPS = ("replace", "rename", "fsync", "symlink", "unlink", "open")  # what a switch consists of, in the os module


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm, "arm", lambda _: "")
    monkeypatch.setattr(arm, "disarm", lambda: None)
    monkeypatch.setattr(activate, "say", lambda _: None)


class Machine:
    """A host's managed places and its store below one folder."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.etc = top / "etc"
        self.store = Store(top / "opt")
        self.etc.mkdir(parents=True)

    def release(self, name: str, files: dict[str, str], links: dict[str, str], rules: str) -> dict[str, str]:
        """Stage a release; its point."""
        sums = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in files.items()}
        own = {"owner": USER, "group": GROUP}
        manifest: dict[str, Any] = {
            "files": [{"path": str(self.etc / f), "mode": "0640", "sha256": sums[f], **own} for f in files],
            "links": [{"path": str(self.etc / link), "target": target} for link, target in links.items()],
            "rules": {"path": str(self.etc / "rules.json"), "mode": "0640", **own},
            "services": [],
            "trees": [{"dest": str(self.store.root / "artifacts" / name)}],
            "proof": None,
        }
        (self.store.root / "artifacts" / name).mkdir(parents=True, exist_ok=True)
        total = hashlib.sha256(rules.encode()).hexdigest()[:12]
        contents = {str(self.etc / file): text for file, text in files.items()}
        wish = {"id": name, "manifest": manifest, "contents": contents, "rules": {"hash": total, "content": rules}}
        stage.stage(self.store, wish)
        return {"release": name, "rules": total}

    def go(self, point: dict[str, str], confirm: bool = True, **wish: object) -> dict[str, Any]:
        """Activate."""
        return activate.activate(self.store, dict(point), {**WISH, "confirm": confirm, **wish})

    def rules(self, text: str) -> str:
        """Put a rule set by; its name."""
        total = hashlib.sha256(text.encode()).hexdigest()[:12]
        return stage.put_rules(self.store, {"hash": total, "content": text})

    def picture(self) -> dict[str, str]:
        """Managed places: content and mode, or target."""
        found = {}
        for path in sorted(self.etc.iterdir()):
            if path.is_symlink():
                found[path.name] = str(path.readlink())
            else:
                found[path.name] = f"{path.stat().st_mode & 0o777:o} {path.read_text()}"
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "m")


def two(machine: Machine) -> tuple[dict[str, str], dict[str, str]]:
    """Two releases: one file changes, one goes, one comes, a link moves, rules change."""
    old = machine.release("a", {"x.conf": "x1", "old.conf": "o"}, {"prog": "/a/prog"}, '{"a": 1}')
    new = machine.release("b", {"x.conf": "x2", "new.conf": "n"}, {"prog": "/b/prog"}, '{"b": 1}')
    return old, new


OLD = {"x.conf": "640 x1", "old.conf": "640 o", "prog": "/a/prog", "rules.json": '640 {"a": 1}'}
NEW = {"x.conf": "640 x2", "new.conf": "640 n", "prog": "/b/prog", "rules.json": '640 {"b": 1}'}


def test_a_point_is_switched_whole_and_back(machine: Machine) -> None:
    old, new = two(machine)
    assert machine.go(old)["outcome"] == "confirmed"
    assert machine.picture() == dict(sorted(OLD.items()))
    result = machine.go(new)
    assert sorted(result["changed"]) == sorted(
        [f"file {machine.etc}/{name}" for name in ("x.conf", "new.conf", "rules.json")]
        + [f"link {machine.etc}/prog", f"restored {machine.etc}/old.conf"]
    )
    assert machine.picture() == dict(sorted(NEW.items()))
    assert (machine.store.root / "current").readlink() == Path("releases/b")
    assert (machine.store.root / "previous").readlink() == Path("releases/a")
    assert machine.go(new)["changed"] == []
    assert activate.rollback(machine.store, "release", WISH)["outcome"] == "confirmed"
    assert machine.picture() == dict(sorted(OLD.items()))
    with pytest.raises(Fault, match="no earlier release"):
        activate.rollback(machine.store, "release", WISH)


def test_a_return_that_does_not_work_is_tried_again_until_it_does(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with no time to spare, or a full disk, proves nothing; later it does."""
    armed: list[float] = []
    monkeypatch.setattr(arm, "arm", lambda deadline: armed.append(deadline) or "")
    old, new = two(machine)
    machine.go(old)
    machine.go(new, confirm=False)
    armed.clear()
    works = activate.carry_out
    monkeypatch.setattr(activate, "carry_out", lambda *_: "no probe line came out")
    began = time.time()
    assert activate.return_if_due(machine.store, at_boot=False) == "failed"
    assert machine.store.load()["pending"]["phase"] == "returning"
    assert len(armed) == 1
    assert began + 60 <= armed[0] <= time.time() + 3600
    monkeypatch.setattr(activate, "carry_out", works)
    assert activate.return_if_due(machine.store, at_boot=False) == "returned"
    assert len(armed) == 1
    assert machine.store.load()["pending"] is None
    assert machine.picture() == dict(sorted(OLD.items()))


def test_rules_alone_touch_one_file(machine: Machine) -> None:
    old, _ = two(machine)
    machine.go(old)
    (machine.etc / "x.conf").write_text("edited by hand")
    result = machine.go({"release": "a", "rules": machine.rules('{"c": 1}')}, alone=True)
    assert result["changed"] == [f"file {machine.etc}/rules.json"]
    back = activate.rollback(machine.store, "rules", WISH)
    assert back["to"] == old and (machine.etc / "rules.json").read_text() == '{"a": 1}'
    assert (machine.etc / "x.conf").read_text() == "edited by hand"


def test_other_rules_by_a_whole_rollout_put_all_right(machine: Machine) -> None:
    old, _ = two(machine)
    machine.go(old)
    (machine.etc / "x.conf").write_text("edited by hand")
    machine.go({"release": "a", "rules": machine.rules('{"c": 1}')})
    assert machine.picture() == dict(sorted({**OLD, "rules.json": '640 {"c": 1}'}.items()))


def test_rules_after_a_switch_that_was_cut_off_put_all_right(machine: Machine) -> None:
    old, new = two(machine)
    machine.go(old)
    machine.go(new, confirm=False)
    result = machine.go({"release": "a", "rules": machine.rules('{"c": 1}')}, alone=True)
    assert result["outcome"] == "confirmed"
    assert machine.picture() == dict(sorted({**OLD, "rules.json": '640 {"c": 1}'}.items()))


def test_rules_prove_nothing_of_a_host_that_was_not_proven(machine: Machine) -> None:
    old, _ = two(machine)
    machine.go(old)
    machine.store.save({**machine.store.load(), "proven": False})
    machine.go({"release": "a", "rules": machine.rules('{"c": 1}')}, alone=True)
    assert machine.store.load()["proven"] is False
    machine.go({"release": "a", "rules": machine.rules('{"d": 1}')})
    assert machine.store.load()["proven"] is True


def test_other_rules_again_leave_the_releases_to_go_back_to(machine: Machine) -> None:
    old, new = two(machine)
    machine.go(old)
    machine.go({**new, "rules": machine.rules('{"a": 1}')})
    machine.go({**new, "rules": machine.rules('{"c": 1}')}, alone=True)
    activate.rollback(machine.store, "rules", WISH)
    assert activate.rollback(machine.store, "release", WISH)["to"] == old


def test_a_point_that_was_never_confirmed_does_not_become_so_by_a_failure(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = two(machine)
    machine.go(old)
    machine.go(new, confirm=False)
    monkeypatch.setattr(activate, "carry_out", lambda *_: "no probe line came out")
    assert machine.go(old)["outcome"] == "failed"
    state = machine.store.load()
    assert (activate.point_of(state), state["proven"]) == (old, False)


def test_only_the_run_that_activated_a_point_confirms_it(machine: Machine) -> None:
    old, new = two(machine)
    machine.go(old)
    machine.go(new, confirm=False)
    keep = {**new, "keep": 3, "budget_mb": 1000}
    with pytest.raises(Fault, match="is of run test"):
        verbs.do_confirm(machine.store, {**keep, "run": "another"})
    assert verbs.do_confirm(machine.store, {**keep, "run": "test"})["outcome"] == "confirmed"


def test_the_host_s_own_part_stays_until_the_role_s_folder_goes(machine: Machine) -> None:
    own = machine.store.root / "host" / "current"
    old = machine.release("a", {"x.conf": "x1"}, {str(own): "/elsewhere"}, '{"a": 1}')
    own.parent.mkdir()
    machine.go(old, confirm=False)
    assert activate.return_if_due(machine.store, at_boot=False) == "returned"
    assert own.is_symlink() and machine.picture() == {}
    assert removal.remove(machine.store)["problem"] == ""
    assert own.is_symlink()


def test_a_first_attempt_that_went_back_leaves_nothing_to_the_second(machine: Machine) -> None:
    mine = machine.etc / "x.conf"
    mine.write_text("mine")
    old, _ = two(machine)
    machine.go(old, confirm=False)
    activate.return_if_due(machine.store, at_boot=False)
    assert mine.read_text() == "mine"
    mine.write_text("mine, edited")
    machine.go(old)
    removal.remove(machine.store)
    assert mine.read_text() == "mine, edited"


def test_a_power_cut_in_a_first_switch_gives_telegraf_s_lines_back(machine: Machine) -> None:
    conf = machine.top / "telegraf.conf"
    text = "[[inputs.exec]]\n  commands = ['/etc/telegraf/parse_loki_metrics.py']\n"
    conf.write_text(text)
    old, _ = two(machine)
    machine.go(old, confirm=False, adopt={"execs": [str(conf)], "loki": None})
    state = machine.store.load()
    state["pending"]["phase"] = "switching"
    machine.store.save(state)
    assert conf.read_text() != text
    assert activate.return_if_due(machine.store, at_boot=True) == "repaired"
    assert conf.read_text() == text


def test_the_copy_of_a_loki_s_data_goes_with_the_attempt_that_made_it(machine: Machine) -> None:
    chunks, data = machine.top / "chunks", machine.top / "data"
    chunks.mkdir()
    (chunks / "one").write_text("1")
    data.mkdir()
    wish = {"execs": [], "loki": {"pid": 0, "started": 0, "unit": "", "port": 1, "chunks": str(chunks)}}
    assert adopt.take(machine.store, wish, data)
    (chunks / "two").write_text("2")
    adopt.forget(machine.store)
    assert adopt.take(machine.store, wish, data)
    assert (data / "chunks" / "two").exists()


def test_a_process_is_started_again_as_who_it_was() -> None:
    noted = adopt.started_by_hand(os.getpid())
    assert (noted["uid"], noted["gid"]) == (os.getuid(), os.getgid())
    assert set(noted["groups"]) == set(os.getgroups())


def test_a_gate_that_comes_after_the_host_s_own_return_gives_up_nothing_more(machine: Machine) -> None:
    old, new = two(machine)
    machine.go(old)
    machine.go(new)
    third = machine.release("c", {"x.conf": "x3"}, {}, '{"c": 1}')
    machine.go(third, confirm=False)
    gate = {**WISH, "unconfirmed": True, "why": "the rollout was stopped"}
    assert activate.return_if_due(machine.store, at_boot=False) == "returned"
    assert activate.rollback(machine.store, "release", gate)["outcome"] == "confirmed"
    assert machine.picture() == dict(sorted(NEW.items()))
    # Before it, the gate itself brings the host back.
    machine.go(third, confirm=False)
    assert activate.rollback(machine.store, "release", gate)["to"] == new
    assert machine.picture() == dict(sorted(NEW.items()))


def test_what_was_there_before_comes_back_at_the_end(machine: Machine) -> None:
    (machine.etc / "x.conf").write_text("somebody's own")
    (machine.etc / "x.conf").chmod(0o604)
    (machine.etc / "prog").symlink_to("/usr/bin/own")
    first = machine.picture()
    old, new = two(machine)
    machine.go(old)
    machine.go(new)
    assert removal.remove(machine.store)["problem"] == ""
    assert machine.picture() == first
    assert machine.store.load()["release"] is None


def test_what_the_role_wrote_itself_is_not_kept_as_somebody_s(machine: Machine) -> None:
    (machine.etc / "x.conf").write_text("# Written by Ansible, changes here are lost. Role logmetrics\nx")
    old, _ = two(machine)
    machine.go(old)
    assert before.load(machine.store)["paths"][str(machine.etc / "x.conf")] == {"kind": "absent"}


def test_a_failed_proof_goes_back(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = two(machine)
    machine.go(old)
    (machine.store.root / "releases/b/files" / str(machine.etc).lstrip("/") / "new.conf").write_text("damaged")
    result = machine.go(new)
    assert result["outcome"] == "rolled_back" and "is damaged" in result["problem"]
    assert machine.picture() == dict(sorted(OLD.items()))
    state = machine.store.load()
    assert (state["release"], state["pending"], state["last"]["outcome"]) == ("a", None, "rolled_back")


def crash(machine: Machine, point: dict[str, str], at: int) -> bool:
    """Activate in a child that ends without a word at the at-th step; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def planted(name: str) -> Any:
            real = getattr(os, name)

            def step(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    os._exit(9)
                return real(*arguments, **named)

            return step

        for name in STEPS:
            setattr(os, name, planted(name))
        machine.go(point, confirm=False)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_crash_at_every_step_is_mended_by_the_boot_and_by_the_next_run(tmp_path: Path) -> None:
    origin = Machine(tmp_path / "m")
    old, new = two(origin)
    origin.go(old)
    saved = tmp_path / "saved"
    shutil.copytree(origin.top, saved, symlinks=True)

    def fresh() -> None:
        shutil.rmtree(origin.top)
        shutil.copytree(saved, origin.top, symlinks=True)

    seen = set()
    for at in range(1, 1000):
        fresh()
        if not crash(origin, new, at):
            break
        pending = origin.store.load()["pending"]
        seen.add(pending and pending["phase"])
        done = activate.return_if_due(origin.store, at_boot=True)
        unconfirmed = pending is not None and pending["phase"] == "unconfirmed"
        assert origin.picture() == dict(sorted((NEW if unconfirmed else OLD).items())), (at, done)
        fresh()
        crash(origin, new, at)
        assert origin.go(new)["outcome"] == "confirmed", at
        assert origin.picture() == dict(sorted(NEW.items())), at
        state = origin.store.load()
        assert (state["release"], state["pending"], state["history"][0]) == ("b", None, old), at
        assert not list(origin.etc.glob(f".*{disk.NEW}")), at
    else:
        pytest.fail("the child never came to its end")
    assert at > 20 and seen == {None, "switching", "unconfirmed"}


def test_pruning_keeps_a_point_to_go_back_to_and_what_it_needs(machine: Machine) -> None:
    points = [machine.release(name, {"x.conf": name}, {}, json.dumps({name: 1})) for name in "abcd"]
    for point in points:
        machine.go(point)
    state = machine.store.load()
    gone = machine.store.prune(state, 3, 10**6)
    assert sorted(path.name for path in (machine.store.root / "releases").iterdir()) == ["b", "c", "d"]
    assert sorted(path.name for path in (machine.store.root / "artifacts").iterdir()) == ["b", "c", "d"]
    assert len(list((machine.store.root / "rules").iterdir())) == 3 and len(gone) == 3
    with (machine.store.root / "artifacts/b/big").open("wb") as file:
        file.truncate(3 << 20)
    machine.store.prune(machine.store.load(), 9, 2)
    assert sorted(path.name for path in (machine.store.root / "releases").iterdir()) == ["c", "d"]
    machine.store.prune(machine.store.load(), 1, 0)
    assert sorted(path.name for path in (machine.store.root / "releases").iterdir()) == ["c", "d"]


def test_a_release_is_staged_whole_or_not_at_all_and_a_damaged_one_again(machine: Machine) -> None:
    old, _ = two(machine)
    manifest = machine.store.manifest("a")
    contents = {str(machine.etc / "x.conf"): "x1", str(machine.etc / "old.conf"): "o"}
    assert machine.store.put_release("a", manifest, contents) is False
    machine.store.place(machine.store.root / "releases/a", str(machine.etc / "x.conf")).write_text("damaged")
    assert machine.store.put_release("a", manifest, contents) is True
    assert machine.go(old)["outcome"] == "confirmed"
    with pytest.raises(Fault, match="another sum"):
        machine.store.put_rules("0" * 12, "{}")


def test_a_config_that_its_program_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    config = tmp_path / "c.conf"
    config.write_text("x")
    with pytest.raises(Fault, match=r"/etc/c.conf is refused by sh: /etc/c.conf: no good"):
        stage.validate(["sh", "-c", "echo %s: no good; exit 1"], config, "/etc/c.conf")
    lines = "2026-11-24T13:40:32Z W! Strict\n2026-11-24T13:40:33Z I! Loading\n2026-11-24T13:40:33Z E! no such x"
    with pytest.raises(Fault, match=r"^/etc/c.conf is refused by sh: no such x$"):
        stage.validate(["sh", "-c", f"echo '{lines}'; exit 1"], config, "/etc/c.conf")
    with pytest.raises(Fault, match=r"^/etc/c.conf is refused by sh: exit 3$"):
        stage.validate(["sh", "-c", "exit 3"], config, "/etc/c.conf")
    with pytest.raises(Fault, match=r"/nowhere/prog does not run"):
        stage.validate(["/nowhere/prog"], config, "/etc/c.conf")


def test_a_state_of_a_newer_role_is_left_alone(machine: Machine) -> None:
    machine.store.root.mkdir()
    machine.store.state_path.write_text('{"format": 2}')
    with pytest.raises(Fault, match="use the newer role"):
        machine.store.load()
    machine.store.state_path.write_text("{")
    with pytest.raises(Fault, match="move it away"):
        machine.store.load()


def test_what_is_taken_over_is_given_back(machine: Machine) -> None:
    conf = machine.top / "telegraf.conf"
    text = "[agent]\n[[inputs.exec]]\n  commands = ['/etc/telegraf/parse_loki_metrics.py']\n\n[[outputs.file]]\n"
    conf.write_text(text)
    conf.chmod(0o604)
    chunks, data = machine.top / "chunks", machine.top / "data"
    (chunks / "index").mkdir(parents=True)
    (chunks / "index" / "table").write_text("t")
    data.mkdir()
    loki = {"pid": 0, "started": 0, "unit": "", "port": 1, "chunks": str(chunks)}
    wish = {"execs": [str(conf)], "loki": loki}
    assert adopt.take(machine.store, wish, data) == [f"adopt {conf}", f"adopt {chunks}"]
    assert (data / "chunks/index/table").read_text() == "t" and (chunks / "index/table").exists()
    lines = conf.read_text().splitlines()
    assert lines[0] == "[agent]" and lines[4] == "[[outputs.file]]"
    assert all(line.startswith(adopt.MARK) for line in lines[1:4])
    assert adopt.take(machine.store, wish, data) == []
    assert adopt.give_back(machine.store) == [f"restored {conf}"]
    assert conf.read_text() == text and conf.stat().st_mode & 0o777 == 0o604
