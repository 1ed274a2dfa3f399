"""A host set up by the how-to, with a Telegraf of the vendor's, is taken over with its data, and given back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from fleet import hosts

from rollout.common import ROLLOUT, TWO, play, site, works

LOKI_CONFIG = """
auth_enabled: false
server: {http_listen_port: 3100}
common:
  instance_addr: 127.0.0.1
  replication_factor: 1
  path_prefix: /tmp/loki
  ring: {kvstore: {store: inmemory}}
schema_config:
  configs:
    - from: 2024-01-01
      store: boltdb-shipper
      object_store: filesystem
      schema: v13
      index: {prefix: index_, period: 24h}
storage_config:
  boltdb_shipper: {active_index_directory: /tmp/loki/index, cache_location: /tmp/loki/cache, cache_ttl: 24h}
  filesystem: {directory: /tmp/loki/chunks}
compactor: {working_directory: /tmp/loki/compactor, shared_store: filesystem}
limits_config: {max_entries_limit_per_query: 5000, reject_old_samples: false}
"""
PARSER = '#!/bin/sh\necho "logs.old.marker 1 $(date +%s)"\n'
TELEGRAF_CONF = """
[agent]
  interval = "5s"
  flush_interval = "5s"
  hostname = "the-agents-own-name"

[[inputs.internal]]

# The log parser.
[[inputs.exec]]
  commands = ["/etc/telegraf/parse_loki_metrics.py"]
  timeout = "15s"
  data_format = "graphite"
  name_prefix = "syslog-metrics."

[[outputs.file]]
  files = ["/var/log/telegraf-points"]
  data_format = "influx"
"""
UNIT = """
[Unit]
Description=Telegraf of the vendor
[Service]
User=telegraf
ExecStart=/usr/bin/telegraf --config /etc/telegraf/telegraf.conf --config-directory /etc/telegraf/telegraf.d
Restart=always
[Install]
WantedBy=multi-user.target
"""
POINTS = "/var/log/telegraf-points"
VENDORS_UNIT = "/usr/lib/systemd/system/telegraf.service"
KEPT = f"find /etc/loki /etc/telegraf /usr/local/bin/loki {VENDORS_UNIT} -type f -exec sha256sum {{}} + | sort"


def sh(text: str, stdin: str | None = None) -> str:
    """A shell script on host two."""
    return hosts.execute(TWO, "sh", "-euc", text, stdin=stdin)


def put(path: str, text: str, mode: str = "0644") -> None:
    """A file on host two."""
    sh(f"mkdir -p $(dirname {path}); cat > {path}; chmod {mode} {path}", text)


def set_up_as_the_howto_says() -> None:
    """Loki 2.9.3 by hand as root, data in /tmp; Telegraf as its package leaves it, the exec in telegraf.conf."""
    fetch = "python3 -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])'"
    url = ROLLOUT.mirror_url
    sh(f"cd /usr/local/bin; {fetch} {url}/loki/v2.9.3/loki-linux-amd64.zip l.zip; "
       "python3 -m zipfile -e l.zip .; rm l.zip; mv loki-linux-amd64 loki; chmod 0755 loki")  # fmt: skip
    sh(f"cd /root; {fetch} {url}/telegraf/telegraf-1.39.3_linux_amd64.tar.gz t.tgz; tar xf t.tgz; rm t.tgz; "
       "mv telegraf-1.39.3/usr/bin/telegraf /usr/bin/telegraf; rm -r telegraf-1.39.3; "
       "useradd --system --no-create-home telegraf; "
       f"install -o telegraf -m 0644 /dev/null {POINTS}; install -d /etc/telegraf/telegraf.d")  # fmt: skip
    put("/etc/loki/loki-config.yaml", LOKI_CONFIG)
    put("/etc/telegraf/parse_loki_metrics.py", PARSER, "0755")
    put("/etc/telegraf/telegraf.conf", TELEGRAF_CONF)
    put(VENDORS_UNIT, UNIT)
    sh(
        "cd /root; "
        "setsid nohup /usr/local/bin/loki -config.file=/etc/loki/loki-config.yaml > /dev/null 2>&1 < /dev/null &"
    )
    sh("systemctl daemon-reload; systemctl enable --quiet --now telegraf")


def take_away() -> None:
    """All of it; a test that failed may have left no service and no Loki."""
    sh(
        "systemctl disable --quiet --now telegraf || true; pkill -KILL -x loki || true; sleep 1; "
        "userdel telegraf || true; rm -rf /tmp/loki /etc/loki /etc/telegraf /usr/local/bin/loki /usr/bin/telegraf "
        f"{POINTS} {VENDORS_UNIT}; systemctl daemon-reload"
    )


def loki(path: str, body: str = "") -> str:
    """An answer of the host's Loki."""
    code = (
        "import sys, urllib.request as ask; body = sys.stdin.buffer.read() or None; "
        "wish = ask.Request(sys.argv[1], body, {'Content-Type': 'application/json'}); "
        "print(ask.urlopen(wish, timeout=20).read().decode())"
    )
    return hosts.execute(TWO, "python3", "-c", code, f"http://127.0.0.1:3100{path}", stdin=body)


def push_yesterday(count: int) -> tuple[int, int]:
    """Lines of yesterday in the old Loki; the times between which they lie, in ns."""
    begin = (int(time.time()) - 86400) * 10**9
    values = [[str(begin + number * 10**6), f"old line {number}"] for number in range(count)]
    deadline = time.monotonic() + 60
    while True:
        try:
            loki("/loki/api/v1/push", json.dumps({"streams": [{"stream": {"job": "old"}, "values": values}]}))
            return begin, begin + count * 10**6
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)


def seen(begin: int, end: int) -> int:
    """How many of them Loki shows."""
    query = f"/loki/api/v1/query_range?query=%7Bjob%3D%22old%22%7D&start={begin}&end={end}&limit=1000"
    return sum(len(one["values"]) for one in json.loads(loki(query))["data"]["result"])


def points(name: str, since: float) -> int:
    """Points of a name that Telegraf's own output got since a time."""
    lines = sh(f"cat {POINTS}").splitlines()
    return sum(1 for line in lines if name in line and int(line.rsplit(" ", 1)[1]) / 1e9 > since)


def wait_for_points(name: str) -> None:
    """Until one of a name arrives from now on."""
    since, deadline = time.time(), time.monotonic() + 60
    while not points(name, since):
        assert time.monotonic() < deadline, f"no point of {name}"
        time.sleep(1)


@pytest.fixture
def howto() -> Iterator[None]:
    """Host two as somebody set it up by the how-to, and as the fleet has it, afterwards."""
    assert play("remove", "--limit", "two", logmetrics_purge=True).code == 0
    set_up_as_the_howto_says()
    yield
    play("remove", "--limit", "two", logmetrics_purge=True)
    take_away()
    site("--limit", "two")


def test_a_host_of_the_howto_is_taken_over_with_its_data_and_given_back(howto: None) -> None:
    begin, end = push_yesterday(50)
    wait_for_points("marker")
    before = sh(KEPT)
    refused = play("site", "--limit", "two")
    assert refused.code != 0
    assert refused.lines(r"two: a Loki that is not the role's is here \(pid \d+\); set logmetrics_adopt: true")
    assert refused.lines(
        "two: /etc/telegraf/telegraf.conf runs the log parser already, its metrics would come out twice"
    )
    assert sh(KEPT) == before

    done = play("site", "--limit", "two", logmetrics_adopt=True)
    assert done.code == 0, done.text[-5000:]
    assert works(TWO) == ""
    assert seen(begin, end) == 50
    assert json.loads(loki("/loki/api/v1/status/buildinfo"))["version"].lstrip("v") == "3.7.8"
    # Its agent, its unit and its inputs go on, the old parser does not, and the new one's points come once.
    now = sh("cat /etc/telegraf/telegraf.conf")
    assert now.replace("#logmetrics# ", "") == TELEGRAF_CONF
    assert VENDORS_UNIT.endswith(sh("systemctl show telegraf -p FragmentPath --value").strip())
    assert sh("systemctl show telegraf -p User --value").strip() == "telegraf"
    wait_for_points("internal_agent")
    assert "the-agents-own-name" in sh(f"grep internal_agent {POINTS} | tail -1")
    began = time.time()
    time.sleep(25)
    assert points("marker", began) == 0
    assert points("internal_agent", began) > 0
    nothing = play("site", "--limit", "two", logmetrics_adopt=True)
    assert nothing.lines("nothing to change on any host"), nothing.text[-3000:]

    gone = play("remove", "--limit", "two", logmetrics_purge=True)
    assert gone.code == 0, gone.text[-3000:]
    assert sh(KEPT) == before
    assert sh("pgrep -x loki").strip()
    wait_for_points("marker")
    push_yesterday(1)  # the old Loki takes lines again, once it is ready
