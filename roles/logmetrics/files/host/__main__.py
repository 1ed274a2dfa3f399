"""The rollout's part on a host: python3 -I .../host VERB [JSON], without the JSON it is read from stdin.

| verb | JSON | does |
|---|---|---|
| stage | id, manifest, contents, rules {hash, content} | puts a release into its folder, tries its configs |
| activate | release, rules, minutes, run, who, lease | switches to it, proves it, else goes back |
| rules-activate | hash, content, minutes, run, who, lease | the same for a rule set alone; no service restarts |
| confirm | release, rules, run, keep, budget_mb, lease | keeps what this run activated, drops what is too old |
| rollback | what (release, rules), minutes, run, who, unconfirmed | goes back by what is on the host, proves it |
| soak | metrics, interval, intervals, limits, units | watches the self-metrics for some intervals |
| return, repair | | called by systemd: not confirmed in time; cut off by a reboot |
| remove | | puts back what was there before the role |
| status | | prints the state |
| health | intervals, costs | the state, drift, and what the parser says of itself |
| rules-preview | content, hours, max_bytes, max_seconds | what these rules would count on this host's own logs |
| rules-soak | document, interval, intervals, limits | watches a canary whose rules were changed |

With a `lease` (lease.py) activate and rules-activate take the host for their run, or go on holding it; confirm and
rollback give it back.

Prints one JSON object. 0 done, 1 not done (`problem` says why), 2 wrong use.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Dict

if not __package__:  # started by its folder's path; isolated mode looks nowhere else
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from host import activate, health, lease, removal, rules_preview, rules_soak, soak, stage
from host.store import Fault, Store

Wish = Dict[str, Any]


def do_activate(store: Store, wish: Wish) -> Wish:
    """See the table."""
    hold(wish)
    return activate.activate(store, {"release": wish["release"], "rules": wish["rules"]}, {"confirm": False, **wish})


def hold(wish: Wish) -> None:
    """Take the host for this run, or go on holding it: a rollout may take longer than a lease. Raises Fault."""
    holder = lease.settle({**wish["lease"], "verb": "take"}) if wish.get("lease") else None
    if holder:
        raise Fault(f"{holder['who']} has begun to roll out here meanwhile (run {holder['run']})")


def do_rules(store: Store, wish: Wish) -> Wish:
    """See the table."""
    hold(wish)
    total = stage.put_rules(store, wish)
    state = store.load()
    if state["rules"] == total and not state["pending"]:
        return {"outcome": "unchanged", "problem": "", "changed": [], "to": activate.point_of(state)}
    wish = {"confirm": False, **wish, "alone": True}
    return activate.activate(store, {"release": state["release"], "rules": total}, wish)


def do_confirm(store: Store, wish: Wish) -> Wish:
    """See the table."""
    state = store.load()
    wanted = {"release": wish["release"], "rules": wish["rules"]}
    if activate.point_of(state) != wanted:
        last = state["last"] or {}
        raise Fault(f"it does not run what is to be confirmed: {last.get('outcome')}: {last.get('problem')}")
    if state["pending"]:
        if state["pending"]["phase"] != "unconfirmed":
            raise Fault(f"it is {state['pending']['phase']}, so there is nothing to confirm")
        if state["pending"]["run"] != wish["run"]:
            raise Fault(f"what waits here to be confirmed is of run {state['pending']['run']}")
        activate.confirm(store, state)
    gone = store.prune(state, int(wish["keep"]), int(wish["budget_mb"]))
    return {"outcome": "confirmed", "problem": "", "pruned": gone}


VERBS: Dict[str, Callable[[Store, Wish], Wish]] = {
    "stage": stage.stage,
    "activate": do_activate,
    "rules-activate": do_rules,
    "confirm": do_confirm,
    "rollback": lambda store, wish: activate.rollback(store, wish["what"], wish),
    "return": lambda store, _: {"outcome": activate.return_if_due(store, at_boot=False)},
    "repair": lambda store, _: {"outcome": activate.return_if_due(store, at_boot=True)},
    "remove": lambda store, _: removal.remove(store),
    "soak": lambda _, wish: soak.soak(wish, wish.get("before")),
    "status": lambda store, _: store.load(),
    "health": health.health,
    "rules-preview": rules_preview.preview,
    "rules-soak": rules_soak.soak,
}
FREE = ("soak", "status", "health", "rules-preview", "rules-soak")  # they only look, so they wait for nobody
WITHOUT_JSON = ("return", "repair", "remove", "status")


def main(arguments: "list[str]") -> int:
    """Run one verb."""
    if not arguments or arguments[0] not in VERBS:
        sys.stderr.write(f"use: host {' | '.join(VERBS)} [JSON]\n")
        return 2
    # A lost ssh connection must not cut a switch or a return in half.
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o022)
    verb = arguments[0]
    text = arguments[1] if len(arguments) > 1 else "{}" if verb in WITHOUT_JSON else sys.stdin.read()
    store = Store()
    try:
        wish = json.loads(text)
        if verb in FREE:
            result = VERBS[verb](store, wish)
        else:
            with store.lock():
                result = VERBS[verb](store, wish)
        if verb in ("confirm", "rollback") and wish.get("lease"):
            lease.settle({**wish["lease"], "verb": "give"})
    except (Fault, OSError) as fault:
        result = {"outcome": "failed", "problem": str(fault), "journal": "", "changed": []}
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    return 1 if result.get("problem") or result.get("outcome") == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
