"""pygtail gives the new lines, a loop tries each regex on each: the usual script of one's own.

usage: pygtail_loop.py REGEXES.json LOG
"""

import json
import re
import sys

from pygtail import Pygtail  # type: ignore[import-not-found] # installed by the run, see packages.py


def main(regexes: str, log: str) -> None:
    """Print how many lines each regex matches."""
    with open(regexes) as file:  # noqa: PTH123 - a short script as people write it
        patterns = [re.compile(regex) for regex in json.load(file)]
    counts = [0] * len(patterns)
    for line in Pygtail(log, offset_file=f"{log}.offset"):
        for number, pattern in enumerate(patterns):
            if pattern.search(line):
                counts[number] += 1
    print(json.dumps(counts))


main(*sys.argv[1:])
