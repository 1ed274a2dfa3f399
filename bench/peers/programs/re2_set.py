"""google-re2's Set: all regexes in one automaton, asked once a line.

usage: re2_set.py REGEXES.json LOG
"""

import json
import sys

import re2  # type: ignore[import-untyped] # it has no type stubs


def main(regexes: str, log: str) -> None:
    """Print how many lines each regex matches."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20  # the default of 8 MB makes its automaton start over again and again at 100 rules
    with open(regexes) as file:  # noqa: PTH123 - a short script as people write it
        patterns = json.load(file)
    one = re2.Set.SearchSet(options)
    for pattern in patterns:
        one.Add(pattern)
    one.Compile()
    counts = [0] * len(patterns)
    match = one.Match
    with open(log, "rb") as lines:  # noqa: PTH123
        for line in lines:
            for number in match(line.rstrip(b"\n")) or ():
                counts[number] += 1
    print(json.dumps(counts))


main(*sys.argv[1:])
