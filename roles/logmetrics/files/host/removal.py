"""Take the role away: what was in its places before comes back. Its data is the playbook's to keep or to purge."""

from typing import Any, Dict, List

from . import activate, arm
from .store import NOTHING, Store


def remove(store: Store) -> Dict[str, Any]:
    """Stop the role's services, put back what was there, forget the releases in force."""
    state = store.load()
    arm.disarm()
    changed: List[str] = []
    problem = activate.carry_out(store, NOTHING, activate.touched(state, NOTHING), changed, False)
    if not problem:
        store.save({**state, **NOTHING, "history": [], "pending": None, "proven": False})
    return {"outcome": "failed" if problem else "removed", "problem": problem, "changed": changed, "journal": ""}
