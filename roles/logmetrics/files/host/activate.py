"""One change of the point in force, as a transaction: switch, prove, else go back and prove the old one.

The order that makes it safe at any cut: what stood in the places before is kept; the intent is on disk (state.json,
`pending`); the return is armed; only then is anything switched. A switch is repeated, not resumed: it writes what
differs.
"""

import syslog
import time
from typing import Any, Dict, List, Optional

from . import adopt, arm, before, prove, switch, units
from .store import Fault, Point, Store

AGAIN = 300.0  # s after which a return that did not work is tried again


def say(text: str) -> None:
    """A line in the host's own syslog."""
    syslog.openlog("logmetrics-rollout", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_NOTICE, text)
    syslog.closelog()


def point_of(state: Dict[str, Any]) -> Point:
    """The point in force."""
    return {"release": state["release"], "rules": state["rules"]}


def base_of(state: Dict[str, Any]) -> Point:
    """The last confirmed point: what to go back to."""
    return dict(state["pending"]["from"]) if state["pending"] else point_of(state)


def touched(state: Dict[str, Any], new: Point) -> List[Optional[str]]:
    """Releases that may have something in place beside the new one."""
    pending = state["pending"]
    points = [point_of(state)] + ([pending["from"], pending["to"]] if pending else [])
    return sorted({point["release"] for point in points if point["release"] and point["release"] != new["release"]})


def activate(store: Store, new: Point, wish: Dict[str, Any]) -> Dict[str, Any]:
    """Bring a staged point into force.

    `wish`: minutes until it must be confirmed, confirm (at once, when proven), run, who; alone: the rules are all that
    is to change. Then the parser takes them over at its next run: no service is started anew, nothing else is touched,
    and whether they do is seen in the self-metrics (rules_soak.py).

    Returns outcome (`activated`, `confirmed`, `rolled_back`, `failed`), problem, journal, changed, from, to, seconds.
    """
    began = time.time()
    state = store.load()
    base, others = base_of(state), touched(state, new)
    # Where a change of more than rules was cut off, there may be more to put right.
    before_it = state["pending"] or {"alone": True, "proven": state["proven"]}
    rules_alone = bool(wish.get("alone") and before_it.get("alone")) and base["release"] == new["release"]
    proven = bool(before_it.get("proven"))  # of the base
    manifest = store.manifest(new["release"])
    before.keep(store, switch.places(manifest), [service["unit"] for service in manifest["services"]])
    deadline = began + wish["minutes"] * 60
    intent = {"from": base, "to": new, "phase": "switching", "since": began, "deadline": deadline}
    state["pending"] = {**intent, "run": wish["run"], "who": wish["who"], "alone": rules_alone, "proven": proven}
    state["proven"] = False
    store.save(state)
    changed: List[str] = []
    problem = arm.arm(deadline) or take_over(store, wish.get("adopt"), changed)
    problem = problem or carry_out(store, new, others, changed, rules_alone)
    result: Dict[str, Any] = {
        "from": base,
        "to": new,
        "changed": changed,
        "problem": problem,
        "journal": "",
        "old": "",
        "undone": [],
    }
    if problem:
        result["journal"] = units.journal([service["unit"] for service in manifest["services"]], began)
        result.update(go_back(store, state, problem, "rolled_back"))
    else:
        state.update(new)
        state["proven"] = proven or not rules_alone
        state["pending"]["phase"] = "unconfirmed"
        store.save(state)
        result["outcome"] = "activated"
        if wish["confirm"]:
            confirm(store, state)
            result["outcome"] = "confirmed"
    result["seconds"] = round(time.time() - began, 1)
    return result


def take_over(store: Store, adopt_wish: Optional[Dict[str, Any]], changed: List[str]) -> str:
    """What somebody set up before becomes the role's (adopt.py); the problem in one line, empty where all is well."""
    try:
        changed += adopt.take(store, adopt_wish) if adopt_wish else []
    except Exception as error:  # as in carry_out
        return f"could not take over what was there: {error}"
    return ""


def carry_out(store: Store, new: Point, others: List[Optional[str]], changed: List[str], rules_alone: bool) -> str:
    """Switch and prove; the problem in one line, empty where all is well. `changed` grows while it goes on."""
    try:
        if rules_alone:
            changed += switch.switch_rules(store, new)
            return ""
        leaving = switch.leaving(store, new, others)
        changed += switch.stop_units(store, leaving)
        changed += switch.switch(store, new, others)
        changed += switch.begin(store, new)
        changed += switch.run_units(store, new, leaving, changed)
        if new["release"] is None:
            changed += adopt.give_back(store)
        proof = store.manifest(new["release"])["proof"]
        return prove.prove(proof) if proof else ""
    except Exception as error:  # whatever it is, also a fault of ours: the host goes back
        kind = "" if isinstance(error, (Fault, OSError)) else f"{type(error).__name__}: "
        return f"could not be switched: {kind}{error}"


def go_back(store: Store, state: Dict[str, Any], why: str, outcome: str) -> Dict[str, Any]:
    """Return to the point before the pending change, prove it, and note how it ended.

    Returns outcome (as given, or `failed` where the old point does not work either), `undone`, and `old`: what is wrong
    with the old point. Then the change stays pending, and the armed timer tries again.
    """
    pending = state["pending"]
    base: Point = pending["from"]
    if base == pending["to"]:  # a repair: there is nothing else to go back to
        state["pending"] = None
        state.update(base)  # what was in force before may be a point that was never confirmed
        end = {"outcome": "failed", "undone": [], "old": why}
        arm.disarm()
    else:
        pending["phase"] = "returning"
        store.save(state)
        undone: List[str] = []
        alone = pending.get("alone", False)
        fault = carry_out(store, base, touched(state, base), undone, alone)
        end = {"outcome": "failed" if fault else outcome, "undone": undone, "old": fault}
        if not fault:
            state["pending"] = None
            state.update(base)
            state["proven"] = base["release"] is not None and (not alone or pending["proven"])
            arm.disarm()
    note = {"at": time.time(), "problem": why, "from": base, "to": pending["to"], "run": pending["run"]}
    state["last"] = {"outcome": end["outcome"], **note}
    store.save(state)
    if base["release"] is None and state["pending"] is None:
        adopt.forget(store)
    tail = f", which does not work: {end['old']}" if end["old"] else ""
    say(f"{name_of(pending['to'])}: {why}; went back to {name_of(base)}{tail}")
    return end


def name_of(point: Point) -> str:
    """A point in words."""
    return f"release {point['release']} with rules {point['rules']}" if point["release"] else "what was there before"


def confirm(store: Store, state: Dict[str, Any]) -> None:
    """Keep the pending point for good."""
    pending = state["pending"]
    origin, new = pending["from"], pending["to"]
    if origin != new:
        state["history"] = [origin, *(point for point in state["history"] if point not in (origin, new))]
    state["pending"] = None
    state["last"] = {"outcome": "confirmed", "at": time.time(), "problem": "", "from": origin, "to": new}
    state["last"]["run"] = pending["run"]
    store.save(state)
    arm.disarm()


def rollback(store: Store, what: str, wish: Dict[str, Any]) -> Dict[str, Any]:
    """Go back on request: what is not confirmed, else to the last point with another `release` or other `rules`.

    The point that is left is dropped from the history, so that going back again goes further back. With `unconfirmed`
    in the wish (a rollout's gate) nothing that is confirmed is given up: the host may have gone back by itself.
    Raises Fault where there is nothing to go back to. The result is that of activate().
    """
    began = time.time()
    state = store.load()
    here = point_of(state)
    if state["pending"]:
        pending = state["pending"]
        done = go_back(store, state, wish.get("why") or "asked to go back", "rolled_back")
        result = {"from": pending["to"], "to": pending["from"], "changed": done["undone"], "problem": done["old"]}
        result["outcome"] = "failed" if done["old"] else "confirmed"
        return {**result, "journal": "", "old": "", "undone": [], "seconds": round(time.time() - began, 1)}
    if wish.get("unconfirmed"):
        there = {"from": here, "to": here, "changed": [], "problem": "", "journal": "", "old": "", "undone": []}
        return {**there, "outcome": "confirmed", "seconds": round(time.time() - began, 1)}
    place = next((n for n, p in enumerate(state["history"]) if p["release"] and p[what] != here[what]), None)
    if place is None:
        raise Fault(f"this host has no earlier {what} to go back to; change the inventory and run site.yml")
    aim, rest = state["history"][place], state["history"][place + 1 :]
    new = aim
    if what == "rules":  # the releases of before stay what can be gone back to
        new = {"release": here["release"], "rules": aim["rules"]}
        rest = state["history"][:place] + rest
    result = activate(store, new, {**wish, "confirm": True, "alone": what == "rules"})
    if result["outcome"] == "confirmed":
        store.save({**store.load(), "history": rest})
        say(f"asked to go back: from {name_of(here)} to {name_of(new)}")
    return result


def return_if_due(store: Store, at_boot: bool) -> str:
    """What the armed units call: go back where a change was cut off, or was not confirmed in time; what was done.

    At boot only files and links are put back, as no service runs yet; the next run of the role proves the host.
    """
    state = store.load()
    pending = state["pending"]
    if not pending:
        arm.disarm()
        return "nothing is pending"
    if at_boot:
        if pending["phase"] == "unconfirmed":
            return "proven, and may still be confirmed"
        base = pending["from"]
        switch.switch(store, base, touched(state, base))
        if base["release"] is None:
            adopt.restore_execs(store)
        state.update(base)
        state["pending"], state["proven"] = None, False
        why = "the host went down in the middle of a switch"
        note = {"at": time.time(), "problem": why, "from": base, "to": pending["to"], "run": pending["run"]}
        state["last"] = {"outcome": "repaired", **note}
        store.save(state)
        arm.disarm()
        say(f"{why}; went back to {name_of(base)}")
        return "repaired"
    minutes = (time.time() - pending["since"]) / 60
    try:
        done = go_back(store, state, f"not confirmed within {minutes:.0f} minutes", "returned")
    finally:  # also where a full disk takes not even the note
        if store.load()["pending"]:
            # The timer has run out: without this nobody would try again until the next run of the role.
            arm.arm(time.time() + AGAIN)
    return str(done["outcome"])
