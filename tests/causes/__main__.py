"""python3 -m causes set-up|cause GROUP...: prints what was caused as one JSON object."""

from __future__ import annotations

import argparse
import importlib
import json

from causes.ledger import Ledger


def main() -> None:
    """Set up or cause the groups named, in this order."""
    parser = argparse.ArgumentParser(prog="causes")
    parser.add_argument("verb", choices=("set-up", "cause"))
    parser.add_argument("groups", nargs="+")
    options = parser.parse_args()
    ledger = Ledger()
    for group in options.groups:
        module = importlib.import_module(f"causes.{group}")
        if options.verb == "set-up":
            module.set_up()
        else:
            module.cause(ledger)
    print(json.dumps(ledger.document()))


if __name__ == "__main__":
    main()
