"""`compile`: chosen packs become the one `rules.json` that a host reads (verb of the controller).

The same rules give the same bytes, whatever the order in which packs were named: rules are sorted by metric, and
`hash` is the SHA-256 of the canonical JSON of `rules` alone, so that two hosts with one hash count alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterable, Sequence

from . import logql
from .errors import Fault
from .rulelint import fatal
from .rulespec import Finding, Pack, Rule, did_you_mean, find_pack, load_pack, pack_names

FORMAT = 1
#: files/rules of a checkout, four folders above this package.
DEFAULT_PACKS_DIR = Path(__file__).resolve().parents[4] / "files" / "rules"


def canonical(rules: Sequence[dict[str, Any]]) -> bytes:
    """The bytes that are hashed: JSON, keys sorted, no blanks, ASCII alone."""
    return json.dumps(rules, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def document(rules: Iterable[Rule]) -> dict[str, Any]:
    """rules.json as a mapping: format, hash, and the rules sorted by metric."""
    compiled = sorted((rule.to_json() for rule in rules), key=lambda rule: canonical([rule]))
    compiled.sort(key=lambda rule: str(rule["metric"]))
    return {"format": FORMAT, "hash": hashlib.sha256(canonical(compiled)).hexdigest(), "rules": compiled}


def to_bytes(doc: dict[str, Any]) -> bytes:
    """The file's bytes: one rule a line, so that a diff of two rule sets can be read."""
    rules = ",\n".join("  " + json.dumps(rule, sort_keys=True) for rule in doc["rules"])
    body = f"[\n{rules}\n ]" if rules else "[]"
    return f'{{"format": {doc["format"]},\n "hash": "{doc["hash"]}",\n "rules": {body}}}\n'.encode("ascii")


def read_packs(names: Sequence[str], folders: Sequence[Path], extra: Sequence[str] = ()) -> list[Pack]:
    """The packs named, then the files of extra rules, each file once.

    Raises Fault for a pack that is not there or cannot be read.
    """
    files: list[tuple[Path, str | None]] = []
    for name in names:
        path = find_pack(name, folders)
        if path is None:
            where = ", ".join(str(folder) for folder in folders)
            if "/" in name or name.endswith((".yml", ".yaml")):
                raise Fault(f"{name}: there is no such file; give a pack's name or its path")
            known = pack_names(folders)
            hint = did_you_mean(name, known) if known else "that folder holds no packs"
            raise Fault(f"{name}: there is no such pack in {where}; {hint}")
        files.append((path, None))
    files.extend((Path(name), "extra") for name in extra)
    packs: list[Pack] = []
    seen = set()
    for path, name_ in files:
        key = os.path.realpath(path)
        if key in seen:
            continue
        seen.add(key)
        try:
            packs.append(load_pack(path, name_))
        except OSError as error:
            raise Fault(f"{path}: cannot be read: {error.strerror}; check its path and mode") from None
        except UnicodeDecodeError as error:
            raise Fault(f"{path}: byte {error.start} is not UTF-8; save the pack as UTF-8") from None
    return packs


def add_pack_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `check` and `compile` share: which packs, and where they are."""
    parser.add_argument("packs", nargs="*", metavar="PACK", help="a pack's name, or the path of a YAML file")
    parser.add_argument(
        "--packs-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="where packs named without a path are; may be repeated, the first that has the pack wins",
    )
    parser.add_argument(
        "--extra", action="append", default=[], metavar="FILE", help="further rules, a list as in inventory variables"
    )


def folders(args: argparse.Namespace) -> list[Path]:
    """The folders to look for packs in."""
    return list(args.packs_dir) if args.packs_dir else [DEFAULT_PACKS_DIR]


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` in one step, so that no reader sees half a file."""
    handle, temporary = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def main(argv: Sequence[str]) -> int:
    """Run the verb; 0 written, 1 the packs have faults (each on a line of stderr), 2 wrong use or unreadable input."""
    parser = argparse.ArgumentParser(prog="logmetrics compile", description="Merge rule packs into one rules.json.")
    add_pack_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write here instead of to stdout")
    parser.add_argument("--logql", action="store_true", help="write each series' query for Loki (JSON) instead")
    parser.add_argument("--host", default="", help="ask for this host's lines alone ($host: Grafana's variable)")
    parser.add_argument("--json", action="store_true", help="print JSON, as it does in any case")
    parser.add_argument("--window", default="1m", help="the queries' window, the interval (default: %(default)s)")
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    if not args.packs and not args.extra:
        sys.stderr.write("logmetrics compile: no packs; name at least one, or --extra FILE\n")
        return 2
    try:
        packs = read_packs(args.packs, folders(args), args.extra)
    except Fault as error:
        sys.stderr.write(f"logmetrics compile: {error}\n")
        return 2
    rules = [rule for pack in packs for rule in pack.rules]
    findings: list[Finding] = sorted([finding for pack in packs for finding in pack.findings] + fatal(rules))
    if findings:
        sys.stderr.write("".join(f"{finding}\n" for finding in findings))
        return 1
    if args.logql:
        data = (json.dumps(logql.document(rules, args.host, args.window), indent=1) + "\n").encode("ascii")
    else:
        data = to_bytes(document(rules))
    if args.output is None:
        sys.stdout.write(data.decode("ascii"))
        return 0
    try:
        write_atomically(args.output, data)
    except OSError as error:
        sys.stderr.write(f"logmetrics compile: {args.output}: cannot be written: {error.strerror}; check the path\n")
        return 2
    return 0
