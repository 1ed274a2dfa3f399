"""What programs write to a syslog file, and which rules each message is for (the table is messages.yml).

The twenty counters of the project's own packs (sshd, sudo, cron) are taken from the packs; the other eighty, twenty
services with four rules each, stand in the table. `{name}` in a message is a placeholder that `fill` replaces.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text())
FOUR = ("logs.sshd.success", "logs.sshd.failure", "logs.sudo.command", "logs.cron.job")
TWENTY = tuple(dict.fromkeys([*FOUR, *(metric for one in TABLE["packs"] for metric in one["metrics"])]))


@dataclass(frozen=True)
class Message:
    """A kind of line: its program (the syslog tag), its text, and the metrics that must count it (none: noise)."""

    program: str
    text: str
    metrics: tuple[str, ...] = ()
    forks: bool = True  # whether each line has another process id; else the program is a daemon (kernel: no id at all)


def metric(program: str, part: str) -> str:
    """A service's metric; a tag such as postfix/smtpd becomes one part of the path."""
    return f"logs.{re.sub('[^a-z0-9]+', '_', program.lower())}.{part}"


def counted() -> list[Message]:
    """The messages that rules count."""
    packed = [Message(one["program"], one["text"], tuple(one["metrics"])) for one in TABLE["packs"]]
    return packed + [
        Message(service["program"], rule["text"], (metric(service["program"], part),), service["forks"])
        for service in TABLE["services"]
        for part, rule in service["rules"].items()
    ]


def noise() -> list[Message]:
    """The messages that no rule counts."""
    others = [Message(one["program"], one["text"], (), one.get("forks", True)) for one in TABLE["noise"]]
    return others + [
        Message(service["program"], text, (), service["forks"])
        for service in TABLE["services"]
        for text in service["noise"]
    ]


USERS = ("root", "deploy", "alice", "bob", "backup", "www-data", "carol", "postgres", "dave", "git", "erin", "jenkins")
GUESSED = ("admin", "test", "oracle", "ubuntu", "pi", "user", "guest", "ftpuser", "minecraft", "support", "hadoop")
WORDS = ("accounts", "billing", "search", "metrics", "orders", "images", "sessions", "reports", "catalog", "queue")
UNITS = (
    "nginx.service",
    "apt-daily.service",
    "logrotate.service",
    "docker.service",
    "php8.2-fpm.service",
    "man-db.service",
)

PLACEHOLDERS: dict[str, Callable[[random.Random], str]] = {
    # Documentation's networks: RFC 5737 for addresses, RFC 2606 for names.
    "ip": lambda rng: f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}",
    "domain": lambda rng: f"{rng.choice(WORDS)}{rng.randrange(100)}.example.{rng.choice(('com', 'net', 'org'))}",
    "mail": lambda rng: f"{rng.choice(USERS)}{rng.randrange(100)}@{rng.choice(WORDS)}.example.org",
    "port": lambda rng: str(rng.randrange(1024, 65536)),
    "user": lambda rng: rng.choice(USERS),
    "bad": lambda rng: rng.choice(GUESSED),
    "word": lambda rng: rng.choice(WORDS),
    "unit": lambda rng: rng.choice(UNITS),
    "digit": lambda rng: str(rng.randrange(1, 10)),
    "letter": lambda rng: rng.choice("abcdef"),
    "n": lambda rng: str(rng.randrange(100, 255)),
    "nn": lambda rng: f"{rng.randrange(60):02}",
    "n5": lambda rng: str(rng.randrange(10000, 100000)),
    "up": lambda rng: f"{rng.randrange(1000, 999999):6}.{rng.randrange(1000000):06}",
    "hex": lambda rng: f"{rng.randrange(16**8):08x}",
    "qid": lambda rng: f"{rng.randrange(16**10):010X}",
    "mac": lambda rng: ":".join(f"{rng.randrange(256):02x}" for _ in range(6)),
    "key": lambda rng: base64.b64encode(rng.randbytes(32)).decode().rstrip("="),
}
_NAMES = re.compile("{(" + "|".join(PLACEHOLDERS) + ")}")


def fill(text: str, rng: random.Random) -> str:
    """The text with each placeholder replaced by a value of its kind."""
    return _NAMES.sub(lambda found: PLACEHOLDERS[found.group(1)](rng), text)
