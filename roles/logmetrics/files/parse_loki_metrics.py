#!/usr/bin/python3 -IS
"""Entry point of the log parser: count log lines, ship them to Loki. `--help` names the verbs."""

import sys

HERE = __file__.rpartition("/")[0] or "."
INSTALLED = "/opt/logmetrics/parser/current"

# Isolated mode (-I) leaves this script's folder out of sys.path, so that nothing found there by chance is imported.
try:
    with open(HERE + "/logmetrics/__init__.py", "rb"):  # noqa: PTH123 - pathlib costs more than the whole idle run
        sys.path.insert(0, HERE)
except OSError:
    sys.path.insert(0, INSTALLED)

from logmetrics.cli import main  # noqa: E402 - the path must be set first

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
