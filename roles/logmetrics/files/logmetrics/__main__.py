"""`python3 -m logmetrics`: the same program as the installed entry point."""

import sys

from .cli import main

sys.exit(main(sys.argv[1:]))
