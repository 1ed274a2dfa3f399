"""Whether a decoded state has the shape that this package writes; one that has not is treated as damaged.

A checksum tells that the bytes are those that were written, not that whoever wrote them (another release, a person)
meant the same by them. A shape is a type, a predicate, a tuple of alternatives, ["of", item] for a list of any length,
["is", first, second ...] for one of that length, {KEY: value} with a predicate as the only key for a table of any
length, or a table of named keys, in which one that ends in "?" may be missing and others are let through.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Collection

_LATEST = 1 << 36  # Unix seconds, some thousand years from now: what comes after has no calendar
_LARGEST = 1 << 64


def _any(value: Any) -> bool:
    return isinstance(value, str)


def is_word(value: Any) -> bool:
    """What the system takes as a path or an argument: no NUL (execve(2), open(2)), nothing that has no bytes."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeError:
        return False


def _whole(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _LARGEST


def _time(value: Any) -> bool:
    return isinstance(value, (int, float)) and -_LATEST < value < _LATEST


def _second(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _LATEST


def _digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdigit() and value.isascii() and len(value) < 20


def _at(key: str) -> bool:
    return key.isdigit() and key.isascii() and int(key) < _LATEST


def _day(key: str) -> bool:
    return len(key) == 8 and key.isdigit() and key.isascii()


def _digest(value: Any) -> bool:
    return isinstance(value, str) and value.isalnum() and value.isascii()


def _copy(value: Any) -> bool:
    """The name of a copy of a rule set (see `rulebook`)."""
    return is_word(value) and value.startswith("rules-") and "/" not in value


def _name(value: Any) -> bool:
    """A Graphite path: no blank, nothing that cannot be printed."""
    return isinstance(value, str) and value != "" and " " not in value and value.isprintable()


def _lines(value: Any) -> bool:
    """The parser's own metrics, as they were printed."""
    if not isinstance(value, str) or (value and not value.endswith("\n")):
        return False
    for line in value.split("\n")[:-1]:
        parts = line.split(" ")
        if len(parts) != 3 or not _name(parts[0]) or not all(part.isdigit() and part.isascii() for part in parts[1:]):
            return False
    return True


def _interval(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= 86_400


def _value(value: Any) -> bool:
    """What a bucket holds for one series (see `buckets`, `sketch`)."""
    if isinstance(value, int):
        return True
    if not isinstance(value, list) or not value:
        return False
    kind, *numbers = value
    if kind in ("s", "g"):
        return len(numbers) == (1 if kind == "s" else 2) and all(isinstance(one, int) for one in numbers)
    if kind != "t" or len(numbers) != 6 or not all(isinstance(one, int) for one in numbers[:4]):
        return False
    count, exact, classes = numbers[0], numbers[4], numbers[5]
    if classes is None:
        return isinstance(exact, list) and len(exact) == count and all(isinstance(one, int) for one in exact)
    return (
        exact is None
        and isinstance(classes, dict)
        and all(isinstance(number, int) and number > 0 for number in classes.values())
        and sum(classes.values()) == count
        and all(key == "0" or (key[:1] in ("+", "-") and len(key) < 7 and _at(key[1:])) for key in classes)
    )


_BUCKET = {_name: _value}
_TRACK = {
    **dict.fromkeys(("dev", "head", "head_length", "ino", "mtime", "offset", "size", "tail"), _whole),
    "scanned": int,
    "path": is_word,
}
_PLACE = {
    "live": (_TRACK, None),
    "old": ["of", _TRACK],
    "looked": _time,
    "passed?": _time,
    "gone?": _time,
    "olddirs?": ["of", is_word],
    "judged?": ["of", ["is", _whole, _whole, _whole, _whole]],
}
_CURSOR = {
    "paths?": {is_word: _PLACE},
    "twins?": ["of", is_word],
    "cursor?": (is_word, None),
    "carried?": {is_word: int},
    "read_to?": _time,
    "passed?": _time,
    "looked?": _time,
}
_NUMBERS = {"lost?": _whole, "lost_bytes?": _whole, "ran?": _second}

COUNT = {
    "seq": _whole,
    "interval": _interval,
    "first": _second,
    "closed": _second,
    "open": {_at: _BUCKET},
    "late?": {_at: _BUCKET},
    "recent": ["of", ["is", _second, _second, str, _BUCKET, int]],
    "catalogs": {_any: ["of", _name]},
    "families": {_any: {_name: _second}},
    "sources": {_any: _CURSOR},
    "identity": ["of", str],
    "matched": {_any: _second},
    "points": {_day: _whole},
    "timeline": ["of", ["is", _second, _digest]],
    "again?": ["of", _second],
    "waiting?": ["of", ["is", _second, _second, int]],
    "dropped?": ["of", _copy],
    "aside?": {_any: ["is", _second, str]},
    "accounts?": {_any: _second},
    "intervals?": ["of", ["is", _second, _interval]],
    "pauses?": ["of", ["is", _second, _second]],
    "late_lines?": _whole,
    "rules_file?": ["of", int],
    "self?": _lines,
    **{key + "?": _second for key in ("leapt", "sent", "interval_since", "rules_since")},
    **_NUMBERS,
}
SHIP = {
    "sources": {_any: _CURSOR},
    "times?": {_any: ["of", ["is", _whole, _whole, _second]]},
    "sent?": {_any: ["of", ["is", _whole, _whole, _whole, _digits, _whole, bool]]},
    "totals?": {_name: _whole},
    "totals_at?": _second,
    "rejected?": _whole,
    **_NUMBERS,
}


def is_count(content: Any) -> bool:
    """Whether this is a state of `count`, whole in itself."""
    if not fits(content, COUNT) or not content["timeline"]:
        return False
    return all(one[2] in content["catalogs"] for one in content["recent"])


def is_names(record: Any) -> bool:
    """Whether this is a line of `history` that names the series which send zeros."""
    return fits(record, ["is", str, str, ["of", _name]]) and record[0] == "names"


def is_interval(record: Any) -> bool:
    """Whether this is a line of `history` that holds a finished interval."""
    return fits(record, ["is", _second, str, _BUCKET, _second])


def fits(value: Any, shape: Any) -> bool:
    """Whether the value has the shape."""
    if isinstance(shape, type):
        return isinstance(value, shape)
    if callable(shape):
        return bool(shape(value))
    if shape is None:
        return value is None
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return False
        if shape[0] == "of":
            return _all_fit(value, shape[1])
        return len(value) == len(shape) - 1 and all(map(fits, value, shape[1:]))
    return isinstance(value, dict) and _table_fits(value, shape)


def _all_fit(some: Collection[Any], shape: Any) -> bool:
    """Whether each has the shape. Most of a state are names and plain counts: those are looked at together."""
    if shape is _value and set(map(type, some)) <= {int}:
        return True
    if shape is _name and set(map(type, some)) <= {str}:
        together = " ".join(some)
        return "" not in some and together.isprintable() and together.count(" ") == max(0, len(some) - 1)
    return (
        all(map(shape, some))
        if callable(shape) and not isinstance(shape, type)
        else all(fits(one, shape) for one in some)
    )


def _table_fits(value: dict[str, Any], shape: dict[Any, Any]) -> bool:
    for key, inner in shape.items():
        if callable(key):
            return _all_fit(value, key) and _all_fit(value.values(), inner)
        name = key.rstrip("?")
        if name in value:
            if not fits(value[name], inner):
                return False
        elif name == key:
            return False
    return True
