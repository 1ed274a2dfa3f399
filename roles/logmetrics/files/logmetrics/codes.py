"""Regexes kept compiled on disk: compiling a hundred takes longer than counting a typical minute does.

What is kept is the code of CPython's regex engine, as `re` makes it from a text. Loading it needs neither `re` nor its
parser. One file in the state directory, by the Python that wrote it; where it is missing, damaged, or of another Python
or another release of this package, the regexes are compiled anew. It is a cache: nothing is lost with it.
"""

from __future__ import annotations

import os
import sys
from zlib import crc32

from . import leanjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any

MADE = 2  # counts up with each change of what is made of the same rules
NAME = "regexes.cache"
_MAGIC = b"logmetrics-regexes"
_MOST = 24  # large regexes that are kept; those not used by the last run go first


def _python() -> str:
    version = sys.implementation
    return f"{MADE} {version.name} {sys.hexversion:x} {sys.maxsize.bit_length()} {sys.byteorder}"


class Codes:
    """The file `regexes.cache` of a folder; "" keeps nothing. Read when a regex is first wanted."""

    def __init__(self, folder: str = "") -> None:
        self._path = f"{folder}/{NAME}" if folder else ""
        self._known: dict[str, list[Any]] | None = None  # by key: flags, groups, group index, extra, words of code
        self._blob = b""
        self._used: dict[str, None] = {}
        self._changed = False
        self.compiled = 0  # regexes that were compiled in this run

    def pattern(self, text: bytes) -> re.Pattern[bytes]:
        """A regex. Raises re.error, OverflowError or RecursionError, as `re.compile` does."""
        key = "re " + text.decode("latin-1")
        found = self._load(key, text)
        if found is None:
            import re  # noqa: PLC0415 - not needed where the code is kept

            self.compiled += 1
            if not self._path:
                return re.compile(text)
            code = _code_of(text, ())
            if code is None:
                return re.compile(text)
            self._keep(key, code, None)
            found = self._make(self._all()[key], text)
        return found

    def numbered(self, key: str, text: bytes, numbers: tuple[int, ...], extra: Any) -> re.Pattern[bytes] | None:
        """A new regex in which the text's groups have these numbers (the last stands for all further groups).

        Several groups may have one number: the last that matched is what it captured. It is kept under `key` with
        `extra` (JSON). None where this Python does not offer the means.
        """
        self.compiled += 1
        code = _code_of(text, numbers)
        if code is None:
            return None
        self._keep(key, code, extra)
        return self._make(self._all()[key], b"")

    def find(self, key: str) -> tuple[re.Pattern[bytes], Any] | None:
        """A regex that `numbered` kept, and its extra."""
        found = self._load(key, b"")
        return None if found is None else (found, self._all()[key][3])

    def forget(self, key: str) -> None:
        """Do not keep it."""
        if self._all().pop(key, None) is not None:
            self._changed = True

    def save(self) -> None:
        """Write the file where something is new. What cannot be written is compiled again by the next run."""
        if not self._changed or not self._path:
            return
        known = self._all()
        large = [key for key in known if not key.startswith("re ")]
        for key in [key for key in large if key not in self._used][: max(0, len(large) - _MOST)]:
            del known[key]
        blob = bytearray()
        index = {}
        for key, (flags, groups, names, extra, words) in known.items():
            raw = words if isinstance(words, bytes) else self._blob[words[0] : words[1]]
            index[key] = [flags, groups, names, extra, [len(blob), len(blob) + len(raw)]]
            blob += raw
        head = leanjson.dumps(index)
        body = head + bytes(blob)
        try:
            with open(self._path + ".new", "wb") as file:
                file.write(b"%s %d %08x %s\n%s" % (_MAGIC, len(head), crc32(body), _python().encode(), body))
            os.rename(self._path + ".new", self._path)
        except OSError:
            return
        self._changed = False

    def _all(self) -> dict[str, list[Any]]:
        if self._known is None:
            self._known = self._read() if self._path else {}
        return self._known

    def _read(self) -> dict[str, list[Any]]:
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except OSError:
            return {}
        line, _, body = data.partition(b"\n")
        fields = line.split(b" ", 3)
        if len(fields) != 4 or fields[0] != _MAGIC or fields[3] != _python().encode() or not fields[1].isdigit():
            return {}
        if b"%08x" % crc32(body) != fields[2]:
            return {}
        length = int(fields[1])
        try:
            known: dict[str, list[Any]] = leanjson.loads(body[:length])
        except ValueError:
            return {}
        self._blob = body[length:]
        return known

    def _load(self, key: str, text: bytes) -> re.Pattern[bytes] | None:
        entry = self._all().get(key)
        if entry is None:
            return None
        self._used[key] = None
        return self._make(entry, text)

    def _make(self, entry: list[Any], text: bytes) -> re.Pattern[bytes]:
        import _sre  # type: ignore[import-not-found]  # noqa: PLC0415 - a run without new lines needs no regex

        flags, groups, names, _, words = entry
        raw = words if isinstance(words, bytes) else self._blob[words[0] : words[1]]
        by_number: list[str | None] = [None] * (groups + 1)
        for name, number in names.items():
            by_number[number] = name
        made: re.Pattern[bytes] = _sre.compile(
            text, flags, memoryview(raw).cast("I").tolist(), groups, names, tuple(by_number)
        )
        return made

    def _keep(self, key: str, code: tuple[int, int, dict[str, int], bytes], extra: Any) -> None:
        flags, groups, names, words = code
        self._all()[key] = [flags, groups, names, extra, words]
        self._used[key] = None
        self._changed = True


def _code_of(text: bytes, numbers: tuple[int, ...]) -> tuple[int, int, dict[str, int], bytes] | None:
    """(flags, groups, group index, the engine's code as native 32-bit words) of a regex.

    None where this Python's `re` is built otherwise. Raises what `re.compile` raises.
    """
    from array import array  # noqa: PLC0415 - not needed where the code is kept

    try:
        from re import _compiler, _parser  # type: ignore[attr-defined]  # noqa: PLC0415 - Python 3.11 and later
    except ImportError:
        import sre_compile as _compiler  # noqa: PLC0415
        import sre_parse as _parser  # noqa: PLC0415
    tree = _parser.parse(text)
    try:
        groups, names = tree.state.groups - 1, dict(tree.state.groupdict)
        if numbers:
            _renumber(tree, numbers)
            groups = max(numbers)
        code = _compiler._code(tree, 0)
        words = array("I", map(int, code)).tobytes()
    except (AttributeError, TypeError, ValueError):
        return None
    return int(tree.state.flags), groups, names, words


def _renumber(tree: Any, numbers: tuple[int, ...]) -> None:
    """Give the groups of a parsed regex these numbers, in the order of the text."""
    data = tree.data
    for at, (operation, argument) in enumerate(data):
        name = str(operation)
        if name == "SUBPATTERN":
            group, added, removed, inner = argument
            if group is not None:
                data[at] = (operation, (numbers[min(group, len(numbers)) - 1], added, removed, inner))
            _renumber(inner, numbers)
        elif name == "BRANCH":
            for one in argument[1]:
                _renumber(one, numbers)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _renumber(argument[2], numbers)
        elif name == "GROUPREF_EXISTS":
            for one in filter(None, argument[1:]):
                _renumber(one, numbers)
        elif name in ("ASSERT", "ASSERT_NOT"):
            _renumber(argument[1], numbers)
