"""Peers that follow a file until they are told to stop: promtail and Telegraf."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tarfile
import tempfile
import urllib.request
from pathlib import Path

import yaml
from fleet import artifacts
from fleet.cache import cache_dir, key_of, lock
from fleet.progress import run_long

from bench.measure import Spawner, wait_until_read
from bench.peers.base import TIMEOUT, Job, Peer, Result, first_line, prometheus

PROMTAIL = "3.5.0"  # the last release of Loki whose modules hold promtail
PROMTAIL_PACKAGE = f"{artifacts.LOKI_MODULE}/clients/cmd/promtail"
GOMODS = Path(__file__).parents[1] / "gomods" / f"promtail-{PROMTAIL}"


def lock_promtail() -> None:
    """Write gomods/promtail-VERSION: go.mod and go.sum, so that a build is pinned and needs no resolving."""
    go = artifacts.go_command()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        text = artifacts.loki_go_mod(go, PROMTAIL, work)
        loki = f"tool {artifacts.LOKI_MODULE}/cmd/loki"
        (work / "go.mod").write_text(text.replace(loki, f"tool {PROMTAIL_PACKAGE}"))
        run_long([go, "mod", "tidy", "-C", scratch], f"resolving promtail {PROMTAIL}'s modules", artifacts.go_env(go))
        GOMODS.mkdir(parents=True, exist_ok=True)
        for name in ("go.mod", "go.sum"):
            shutil.copy(work / name, GOMODS / name)


def build_promtail() -> Path:
    """promtail from its locked modules, kept in the cache."""
    parts = [(GOMODS / name).read_bytes() for name in ("go.mod", "go.sum")]
    target = cache_dir() / "bench" / f"promtail-{PROMTAIL}-{key_of(*parts)}"
    with lock("bench"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        go = artifacts.go_command()
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            for name in ("go.mod", "go.sum"):
                shutil.copy(GOMODS / name, scratch)
            flags = f"-s -w -X {artifacts.LOKI_MODULE}/pkg/util/build.Version={PROMTAIL}"
            command = [
                go,
                "build",
                "-C",
                scratch,
                "-mod=readonly",
                "-ldflags",
                flags,
                "-o",
                "promtail",
                PROMTAIL_PACKAGE,
            ]
            run_long(command, f"building promtail {PROMTAIL} (4 minutes on two cores)", artifacts.go_env(go))
            (Path(scratch) / "promtail").rename(target)
    return target


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Promtail(Peer):
    """A match stage with a line filter a rule, a counter in it; then every line is dropped, so that nothing is sent."""

    key = "promtail"
    title = "promtail's metrics stage"
    how = "a match stage with a line filter and a counter a rule, then every line dropped, so that nothing is sent"

    def version(self) -> str:
        """Built from its Go module."""
        found = re.search(r"version (\S+)", first_line([str(build_promtail()), "-version"]))
        return f"promtail {(found.group(1) if found else PROMTAIL).rstrip(',')}"

    def config(self, job: Job, port: int) -> dict[str, object]:
        """promtail.yaml as a mapping."""
        stages: list[dict[str, object]] = []
        for rule, regex in zip(job.rules, job.regexes(), strict=True):
            counter: dict[str, object] = {"type": "Counter", "max_idle_duration": "24h", "prefix": "bench_"}
            counter["config"] = {"match_all": True, "action": "inc"}
            # (The strings of JSON are strings of LogQL.)
            match = {"selector": f'{{job="b"}} |~ {json.dumps(regex)}', "stages": [{"metrics": {rule.name: counter}}]}
            stages.append({"match": match})
        stages.append({"match": {"selector": '{job="b"}', "action": "drop"}})
        labels = {"job": "b", "__path__": str(job.corpus.path)}
        return {
            "server": {
                "http_listen_address": "127.0.0.1",
                "http_listen_port": port,
                "grpc_listen_port": 0,
                "log_level": "warn",
            },
            "positions": {"filename": str(job.work / "positions.yaml")},
            "clients": [{"url": "http://127.0.0.1:1/loki/api/v1/push"}],
            "scrape_configs": [
                {
                    "job_name": "b",
                    "pipeline_stages": stages,
                    "static_configs": [{"targets": ["localhost"], "labels": labels}],
                }
            ],
        }

    def run(self, spawner: Spawner, job: Job) -> Result:
        """Until the file is read and promtail rests; then its /metrics are asked for, and it is told to stop."""
        port = free_port()
        (job.work / "positions.yaml").unlink(missing_ok=True)
        (job.work / "promtail.yaml").write_text(yaml.safe_dump(self.config(job, port)))
        page = ""

        def read_and_asked(pid: int) -> None:
            nonlocal page
            wait_until_read(pid, job.corpus.path, TIMEOUT)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                page = answer.read().decode()

        command = [str(build_promtail()), f"-config.file={job.work / 'promtail.yaml'}"]
        usage, _ = spawner.run(command, read_and_asked)
        counts = prometheus(page, "bench_")
        return Result(
            usage, {r.metric: counts[r.name] for r in job.rules if r.name in counts}, job.corpus.totals(job.rules)
        )


class Telegraf(Peer):
    """A grok pattern a rule; each match becomes a metric, written as a line to a file, where they are counted."""

    key = "telegraf"
    title = "Telegraf, inputs.tail with grok"
    how = "a grok pattern a rule, each match a metric, written by outputs.file and counted there"
    deviation = "a line goes to the first pattern that matches, so rules that share lines lose"

    def _program(self) -> Path:
        """The release that the role installs, from the artifact builder's cache."""
        version = artifacts.TELEGRAF_VERSIONS[0]
        key = artifacts.recipe_key("telegraf", version)
        with lock("artifacts"):
            root = artifacts.assemble([("telegraf", version, artifacts.build_telegraf)], [key])
        target = cache_dir() / "bench" / f"telegraf-{version}-{key}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            [tarball] = (root / "telegraf").glob("*.tar.gz")
            with tarfile.open(tarball) as archive, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                archive.extractall(scratch, filter="data")
                [binary] = Path(scratch).glob("telegraf-*/usr/bin/telegraf")
                binary.rename(target)
        return target

    def version(self) -> str:
        """The release that the role installs."""
        return first_line([str(self._program()), "--version"]).split(" (")[0]

    def config(self, job: Job, out: Path) -> str:
        """telegraf.conf: each rule's pattern captures the tag under the rule's own name."""
        tags = "\n".join(f"T{number} {rule.tag_names}" for number, rule in enumerate(job.rules))
        patterns = ",\n".join(
            json.dumps(f"{job.corpus.style.header}%{{T{number}:{rule.name}}}{rule.after_tag}{rule.body_regex}")
            for number, rule in enumerate(job.rules)
        )
        return f"""[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 200000
  omit_hostname = true
  quiet = true
[[inputs.tail]]
  files = ["{job.corpus.path}"]
  initial_read_offset = "beginning"
  max_undelivered_lines = 20000
  path_tag = ""
  data_format = "grok"
  grok_custom_patterns = '''
{tags}
'''
  grok_patterns = [
{patterns}
  ]
[[outputs.file]]
  files = ["{out}"]
  data_format = "influx"
"""

    def run(self, spawner: Spawner, job: Job) -> Result:
        """Until the file is read and Telegraf rests; it writes what is left when it is told to stop."""
        out = job.work / "telegraf.out"
        out.unlink(missing_ok=True)
        config = job.work / "telegraf.conf"
        config.write_text(self.config(job, out))

        command = [str(self._program()), "--config", str(config)]
        usage, _ = spawner.run(command, lambda pid: wait_until_read(pid, job.corpus.path, TIMEOUT))
        fields: dict[str, int] = {}
        with out.open() as lines:
            for line in lines:
                name = line.partition(" ")[2].partition("=")[0]
                fields[name] = fields.get(name, 0) + 1
        out.unlink()
        counts = {rule.metric: fields[rule.name] for rule in job.rules if rule.name in fields}
        return Result(usage, counts, job.corpus.first_match_totals(job.rules))


if __name__ == "__main__":
    lock_promtail()
