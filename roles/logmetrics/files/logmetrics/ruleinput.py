"""Rules as the verbs that look at logs are given them: a compiled `rules.json`, or packs (controller)."""

from __future__ import annotations

import os

from . import leanjson
from .errors import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

    Document = dict[str, Any]  # the content of a rules.json

NONE = "none"


def documents(spec: str, packs_dirs: Sequence[str] = ()) -> Document:
    """The compiled rules that `spec` names. Raises Fault.

    `spec` is the path of a rules.json, or packs (names, paths of YAML files, a folder of packs) with commas between, or
    `none` for no rules at all.
    """
    if spec == NONE:
        return {"format": 1, "hash": "", "rules": []}
    if spec.endswith(".json"):
        try:
            with open(spec, "rb") as file:
                data = file.read()
        except OSError as error:
            raise Fault(f"{spec}: cannot be read: {error.strerror}; give a rules.json, or packs") from None
        try:
            doc = leanjson.loads(data)
        except ValueError as error:
            raise Fault(f"{spec}: is no JSON: {error}; compile it again") from None
        if not isinstance(doc, dict) or not isinstance(doc.get("rules"), list):
            raise Fault(f"{spec}: is no compiled rule set; make it with the compile verb")
        return doc
    return _from_packs(spec, packs_dirs)


def _from_packs(spec: str, packs_dirs: Sequence[str]) -> Document:
    try:
        from pathlib import Path  # noqa: PLC0415 - on the controller alone

        from .compile import DEFAULT_PACKS_DIR, document, read_packs  # noqa: PLC0415
        from .rulelint import fatal  # noqa: PLC0415
        from .rulespec import pack_names  # noqa: PLC0415
    except ImportError as error:
        if error.name != "yaml":
            raise
        raise Fault(f"{spec}: packs need PyYAML, which this host lacks; give a rules.json") from None
    names: list[str] = []
    folders = [Path(one) for one in packs_dirs] or [DEFAULT_PACKS_DIR]
    for part in spec.split(","):
        if os.path.isdir(part):
            names += [os.path.join(part, name) for name in sorted(os.listdir(part)) if name.endswith((".yml", ".yaml"))]
        else:
            names.append(part)
    packs = read_packs(names or pack_names(folders), folders)
    rules = [rule for pack in packs for rule in pack.rules]
    faults = sorted([finding for pack in packs for finding in pack.findings] + fatal(rules))
    if faults:
        raise Fault(f"{faults[0]}" + (f" (and {len(faults) - 1} more; run check)" if len(faults) > 1 else ""))
    return document(rules)
