"""The command: one program with verbs. Without a verb it counts."""

from __future__ import annotations

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

# Verbs with a parser of their own, each the module of its name.
OWN_PARSER = {
    "check": "lint rule packs and run their tests (controller)",
    "compile": "merge rule packs into one rules.json (controller)",
    "explain": "for each line of a file: what matches, what counts, and why near misses do not",
    "backfill": "history for a rule from old logs, as points with their own times",
    "new-rule": "propose a tested rule for a line (controller)",
    "preview": "what new rules count on real logs beside the old ones, and what they cost",
}


def main(argv: list[str]) -> int:
    """Run a verb. 0 is success, 1 a finding, 2 wrong use or unreadable input."""
    # A run is short and makes no cycles to speak of; looking for them doubles the time of matching.
    gc.disable()
    # Telegraf's ways, without argparse: it takes longer to import than an idle run takes.
    verb, path = _plain(argv)
    if verb == "count":
        from . import count  # noqa: PLC0415

        return count.main(path)
    if verb == "ship":
        from . import ship  # noqa: PLC0415

        return ship.main(path)
    if argv[0] in OWN_PARSER:
        return _own_parser(argv)
    return _verb(argv)


def _plain(argv: list[str]) -> tuple[str, str]:
    """(verb, configuration) of a call as Telegraf makes it: [count|ship] [--config FILE]; ("", "") of any other."""
    from .config import DEFAULT_PATH  # noqa: PLC0415

    verb, rest = (argv[0], argv[1:]) if argv and argv[0] in ("count", "ship") else ("count", argv)
    if not rest:
        return verb, DEFAULT_PATH
    if len(rest) == 2 and rest[0] == "--config":
        return verb, rest[1]
    return "", ""


def _own_parser(argv: list[str]) -> int:
    """Verbs that are asked by hand or by a playbook. Those of the controller read YAML, which a host does not."""
    import sys  # noqa: PLC0415
    from importlib import import_module  # noqa: PLC0415

    try:
        verb = import_module(f".{argv[0].replace('-', '')}", __package__)
    except ImportError as error:
        if error.name != "yaml":
            raise
        sys.stderr.write(f"logmetrics {argv[0]}: needs PyYAML; run it on the controller (pip install PyYAML)\n")
        return 2
    status: int = verb.main(argv[1:])
    return status


def _parser() -> ArgumentParser:
    from argparse import ArgumentParser  # noqa: PLC0415

    from .config import DEFAULT_PATH  # noqa: PLC0415

    parser = ArgumentParser(
        prog="logmetrics",
        description="Counts what rules name in log lines and prints Graphite points; ships the lines to Loki.",
        epilog="Without a verb it counts. Exit status: 0 success, 1 a finding, 2 wrong use or unreadable input.",
    )
    common = ArgumentParser(add_help=False)
    common.add_argument("--config", default=DEFAULT_PATH, metavar="FILE", help="settings (default: %(default)s)")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    verb = verbs.add_parser("count", parents=[common], help="one run: print finished intervals, save cursors")
    verb.add_argument("--init", action="store_true", help="only make the state where there is none, and print nothing")
    verb.add_argument("--json", action="store_true", help="print the points as one JSON object")
    verbs.add_parser("ship", parents=[common], help="one run: send what is new to Loki")
    verb = verbs.add_parser("status", parents=[common], help="cursors, lag, rules, last matches, what was lost")
    verb.add_argument("--json", action="store_true", help="print it as one JSON object")
    verb.add_argument("--intervals", type=int, default=0, metavar="N", help="and what the last N intervals counted")
    verb.add_argument("--costs", action="store_true", help="and the costliest rules, timed on the logs' ends")
    verb = verbs.add_parser("replay", parents=[common], help="print finished points of a time range again")
    verb.add_argument(
        "--since", required=True, metavar="TIME", help="Unix seconds, 2026-11-22T10:00, or 90m, 12h, 2d ago"
    )
    verb.add_argument("--until", default="", metavar="TIME", help="the same (default: all that is there)")
    verb.add_argument("--metric", default="", metavar="NAME", help="only names that begin with this")
    verb.add_argument("--json", action="store_true", help="print the points as one JSON object")
    for name, about in OWN_PARSER.items():
        verbs.add_parser(name, help=about, add_help=False)
    return parser


def _verb(argv: list[str]) -> int:
    # `--config FILE` alone counts, too.
    if argv[0].startswith("--config"):
        argv = ["count", *argv]
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    if args.verb == "ship":
        from . import ship  # noqa: PLC0415

        return ship.main(args.config)
    if args.verb == "status":
        from . import status  # noqa: PLC0415

        return status.main(args.config, args.json, args.intervals, args.costs)
    if args.verb == "replay":
        from . import replay  # noqa: PLC0415

        return replay.main(args.config, args.since, args.until, args.metric, args.json)
    from . import count  # noqa: PLC0415

    return count.init(args.config) if args.init else count.main(args.config, args.json)
