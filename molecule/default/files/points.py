"""Add up what arrived at a sink: argv is its file, a host's name, a time and metrics; stdin the API key or nothing.

Prints one JSON object: {"sums": {metric: sum over slots from that time on}, "odd": first lines that no Graphite line
of that host looks like, "lines": their number in all}. Of several points for a slot the last counts, as in carbon.
Python 3.8 and later, standard library only: it runs on the hosts.
"""

import json
import re
import sys
from pathlib import Path

path, host, since, metrics = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
key = sys.stdin.read().strip()
prefix = re.escape((f"{key}." if key else "") + f"telegraf.{host}.syslog-metrics.")
shape = re.compile(prefix + r"(logs(?:\.[A-Za-z0-9_%-]+)+) (-?\d+(?:\.\d+)?(?:e[+-]\d+)?) (\d{10})")

lines = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
slots = {}
odd = []
for line in lines:
    found = shape.fullmatch(line)
    if not found:
        odd.append(line.replace(key, "KEY") if key else line)
    elif found.group(1) in metrics and int(found.group(3)) >= since:
        slots[found.group(1), int(found.group(3))] = float(found.group(2))
sums = {metric: sum(value for (name, _), value in slots.items() if name == metric) for metric in metrics}
print(json.dumps({"sums": sums, "odd": odd[:5], "lines": len(lines)}))
