"""JSON without importing the json package, whose decoder pulls in `re`: an idle run needs neither.

CPython's C accelerator `_json` (3.8 to 3.14) is used directly; where it is missing or differs, the package steps in.
"""

from __future__ import annotations

from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

GROUP = 512  # members of a large object that `parts` encodes at a time


class _Context:
    """The attributes that `_json.make_scanner` reads from a JSONDecoder."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str]

    def __init__(self) -> None:
        self.memo = {}


def loads(data: bytes) -> Any:
    """A JSON text in UTF-8; ValueError where it is none."""
    text = data.decode("utf-8").strip()
    try:
        from _json import make_scanner  # noqa: PLC0415 - see the module's docstring

        context: Any = _Context()
        scan: Any = make_scanner(context)
    except (ImportError, TypeError, AttributeError):
        import json  # noqa: PLC0415

        return json.loads(text)
    try:
        value, end = scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if end != len(text):
        raise ValueError(f"more text after the JSON value at character {end}")
    return value


def _refuse(value: object) -> object:
    raise TypeError(f"no JSON for {type(value).__name__}")


def dumps(value: Any) -> bytes:
    """Compact JSON, ASCII alone."""
    return "".join(_encoder()(value, 0)).encode("ascii")


def parts(content: dict[str, Any]) -> Iterator[bytes]:
    """What `dumps` makes of an object, in pieces: members that are large objects go GROUP of their members at a time.

    The encoder holds what it makes as text in pieces, as one text and as bytes: three times the size of a piece.
    """
    encode = _encoder()
    lead = "{"
    for key, member in content.items():
        lead += "".join(encode(key, 0)) + ":"
        if isinstance(member, dict) and len(member) > GROUP:
            lead += "{"
            members = iter(member.items())
            group = dict(islice(members, GROUP))
            while group:
                yield (lead + "".join(encode(group, 0))[1:-1]).encode("ascii")
                lead = ","
                group = dict(islice(members, GROUP))
            lead = "},"
        else:
            lead += "".join(encode(member, 0)) + ","
    # The comma behind the last member goes; an object without members has none.
    yield ((lead[:-1] if content else lead) + "}").encode("ascii")


def _encoder() -> Any:
    """A function (value, 0) that gives pieces of text."""
    try:
        from _json import encode_basestring_ascii, make_encoder  # noqa: PLC0415

        return make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)
    except (ImportError, TypeError):
        import json  # noqa: PLC0415

        encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
        return lambda value, _: encoder.iterencode(value)
