"""The how-to's algorithm in words of our own: the last 500 lines of the file, each regex sought in each line.

usage: howto.py REGEXES.json LOG
"""

import json
import re
import sys
from collections import deque

LAST = 500


def main(regexes: str, log: str) -> None:
    """Print {index of the regex: lines that it matches among the last 500}."""
    with open(regexes) as file:  # noqa: PTH123 - as plain as the original
        patterns = [re.compile(regex) for regex in json.load(file)]
    with open(log) as file:  # noqa: PTH123
        lines = deque(file, maxlen=LAST)
    print(json.dumps([sum(1 for line in lines if pattern.search(line)) for pattern in patterns]))


main(*sys.argv[1:])
