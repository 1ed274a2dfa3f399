"""What is fed: good input to begin with, and ways to spoil it."""

from __future__ import annotations

import json
import random
import struct
import time
from pathlib import Path
from typing import Any

from logmetrics import leanjson, state

from fuzz.targets import RULES, SAMPLE, Sandbox, points

STRUCTURED = ("state", "ship-state", "rules", "config")
_ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**31,
        2**63,
        2**64,
        10**30,
        1e308,
        -0.5,
        "",
        " ",
        "a b",
        "\n",
        "\0",
        "é",
        "{",
        "{}",
    ),
    *(
        "{x}",
        "(",
        "(?P<value>",
        "(a+)+$",
        "/",
        "..",
        [],
        [[]],
        {},
        {"": 0},
        "9" * 40,
        "\ud800",
        ["s", 1],
        ["t", 0, 0, 0, 0, [], None],
    ),
]
LINES = [
    b'<34>1 2026-11-22T10:00:00.5Z host app 7 ID [a@1 b="c]"] event 5',
    b"2026-11-22T10:00:00.123456+01:00 host app[7]: user x from y",
    b"2026/11/22 10:00:00 [error] 12#0: *1 open() failed",
    b'1.2.3.4 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 t=0.1',
    b"1795000000.25 event",
    b"<13>Feb 29 23:59:60 host app: message repeated 999999999 times: [ event]",
    b"Nov 22 10:00:00 host sshd-session[7]: Failed x\r",
    b"\0\0\0Nov 22 10:00:00 host app: t=1e-3 bytes=+1e25 level=nan",
]


def seeds(target: str, box: Sandbox) -> list[bytes]:
    """Good input for a target."""
    text = b"\n".join(LINES) + b"\n"
    if target in ("logs", "pieces"):
        return [b"\1" + SAMPLE * 40, b"\2" + text, b"\3" + text * 30 + SAMPLE, b"\0half a line"]
    if target == "journal":
        return [_export({"MESSAGE": b"event 1", "SYSLOG_IDENTIFIER": b"app"}), _export({"MESSAGE": b"a\nb\xff"}) * 2]
    if target == "config":
        box.clean()
        doc = {**box.settings(), "interval": 60, "late": "next", "resend": False, "grace": 2, "run_budget": 10}
        doc["loki"] = {"url": "http://127.0.0.1:9", "labels": {"a": "b"}}
        return [_portable(leanjson.dumps(doc), box), _portable(leanjson.dumps(box.settings()), box)]
    if target == "rules":
        return [leanjson.dumps(RULES), b'{"format":1,"rules":[]}']
    return _states(target, box)


def _states(target: str, box: Sandbox) -> list[bytes]:
    box.clean()
    if target == "ship-state":
        loki = {"url": "http://127.0.0.1:9", "labels": {"host": "h"}}
        box.config.write_bytes(leanjson.dumps(box.settings(loki=loki)))
    found = []
    for _ in range(3):
        with box.log.open("ab") as file:
            file.write(SAMPLE)
        box.command("ship" if target == "ship-state" else "count")
        path = box.state / ("ship.state" if target == "ship-state" else "count.state")
        content = state.decode(path.read_bytes())
        assert content is not None
        found += [bytes([kind]) + _portable(leanjson.dumps(content), box) for kind in (0x50, 0x90)]
        found.append(b"\0" + path.read_bytes())
    found += [b"\xf0" + path.read_bytes() for path in box.state.glob("points-*")]
    assert target == "ship-state" or points(box.count()) is not None
    return found


def _portable(data: bytes, box: Sandbox) -> bytes:
    return data.replace(str(box.folder).encode(), b"@FOLDER@")


def _export(fields: dict[str, bytes]) -> bytes:
    micros = int(time.time() * 1e6)
    out = f"__CURSOR=s=a;i=1f;b=c;m=1;t={micros:x};x=0\n__REALTIME_TIMESTAMP={micros}\n".encode()
    for name, value in fields.items():
        plain = (
            b"=" + value if value.isascii() and b"\n" not in value else b"\n" + struct.pack("<Q", len(value)) + value
        )
        out += name.encode() + plain + b"\n"
    return out + b"\n"


def spoil(data: bytes, rng: random.Random, structured: bool) -> bytes:
    """One good input, spoilt: somewhere in its JSON, or in its bytes."""
    if structured and rng.random() < 0.7:
        head = b"" if data[:1] in (b"{", b"[") else data[:1]
        try:
            doc = json.loads(data[len(head) :])
        except ValueError:
            pass
        else:
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                doc = _spoil_json(doc, rng)
            return head + json.dumps(doc).encode("utf-8", "surrogatepass")
    return _spoil_bytes(data, rng)


def _spoil_json(doc: Any, rng: random.Random) -> Any:
    """One value, key or item somewhere in it replaced, dropped or doubled."""
    if rng.random() < 0.12 or not isinstance(doc, (dict, list)) or not doc:
        return _other(doc, rng)
    if isinstance(doc, list):
        at = rng.randrange(len(doc))
        way = rng.random()
        if way < 0.1:
            return [*doc[:at], *doc[at + 1 :]]
        if way < 0.2:
            return [*doc, doc[at]]
        return [*doc[:at], _spoil_json(doc[at], rng), *doc[at + 1 :]]
    key = rng.choice(list(doc))
    way = rng.random()
    found = {name: value for name, value in doc.items() if name != key or way >= 0.15}
    if 0.15 <= way < 0.25:
        found[str(rng.choice(_ODD))] = found.pop(key)
    elif way >= 0.25:
        found[key] = _spoil_json(found[key], rng)
    return found


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice((-1, 1, 60, -60, 3600, 86_400, -(2**40)))
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return value[:at] + str(rng.choice(_ODD)) + value[at + rng.randrange(3) :]
    return rng.choice(_ODD)


def _spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(found) + 1)
        way = rng.randrange(6)
        if way == 0:
            del found[at : at + rng.choice((1, 2, 30, 1000))]
        elif way == 1:
            found[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 3, 20))))
        elif way == 2 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif way == 3:
            found[at:at] = found[rng.randrange(len(found) + 1) :][:100]
        elif way == 4:
            found[at:at] = rng.choice((b"\n", b"\0", b"\r\n", b" ", b"[", b"]: ", b":", b"\xff\xfe", b"9" * 30, *LINES))
        else:
            del found[at:]
    return bytes(found)


def corpus(target: str, folder: Path, box: Sandbox) -> None:
    """Write a target's good inputs as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(target, box)):
        (folder / f"seed-{number}").write_bytes(data)
