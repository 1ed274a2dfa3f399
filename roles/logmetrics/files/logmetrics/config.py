"""`config.json`: what to read, how to count, where Loki is. Unknown and unfit keys are one clear line each."""

from __future__ import annotations

from . import leanjson
from .errors import Fault
from .shape import is_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/etc/logmetrics/config.json"
FORMAT = 1


class Loki:
    """Where `ship` pushes to, and the store's limits that it keeps to."""

    __slots__ = ("auth_file", "batch_bytes", "labels", "max_age_hours", "max_line", "tenant", "url")

    def __init__(self, values: dict[str, Any]) -> None:
        self.url: str = values["url"].rstrip("/")
        self.labels: dict[str, str] = values["labels"]
        self.tenant: str | None = values["tenant"]
        self.auth_file: str | None = values["auth_file"]
        self.batch_bytes: int = values["batch_bytes"]
        self.max_age_hours: float = values["max_age_hours"]
        self.max_line: int = values["max_line"]


class Config:
    """Settings of one host. Times are in seconds, sizes in bytes."""

    __slots__ = (
        "grace",
        "host",
        "interval",
        "keep_days",
        "late",
        "line_max",
        "loki",
        "path",
        "resend",
        "rule_budget",
        "rules",
        "run_budget",
        "sources",
        "start",
        "state_dir",
    )

    def __init__(self, values: dict[str, Any], path: str) -> None:
        self.path = path
        self.host: str = values["host"]
        self.interval: int = values["interval"]
        self.late: str = values["late"]
        self.start: str = values["start"]
        self.grace: float = values["grace"]
        self.resend: bool = values["resend"]
        self.run_budget: float = values["run_budget"]
        self.rule_budget: float = values["rule_budget"]
        self.keep_days: float = values["keep_days"]
        self.line_max: int = values["line_max"]
        self.state_dir: str = values["state_dir"]
        self.rules: str = values["rules"]
        self.sources: list[dict[str, str]] = values["sources"]
        self.loki: Loki | None = Loki(values["loki"]) if values["loki"] is not None else None


# key: (kind, default, least, most); a default of ... makes the key required.
_TOP: dict[str, tuple[str, Any, float, float]] = {
    "format": ("int", ..., 1, 1_000_000),
    "host": ("text", "", 0, 0),
    "interval": ("int", 60, 1, 86_400),
    "late": ("correct|next", "correct", 0, 0),
    "start": ("now|beginning", "now", 0, 0),
    "grace": ("number", 2, 0, 3600),
    "resend": ("bool", True, 0, 0),
    "run_budget": ("number", 10.0, 0.1, 86_400),
    "rule_budget": ("number", 1.0, 0.01, 3600),
    "keep_days": ("number", 3, 0.01, 366),
    "line_max": ("int", 65_536, 256, 16_777_216),
    "state_dir": ("path", "/var/lib/logmetrics", 0, 0),
    "rules": ("path", "/etc/logmetrics/rules.json", 0, 0),
    "sources": ("sources", ..., 0, 0),
    "loki": ("loki", None, 0, 0),
}
_LOKI: dict[str, tuple[str, Any, float, float]] = {
    "url": ("url", "http://127.0.0.1:3100", 0, 0),
    "labels": ("labels", ..., 0, 0),
    "tenant": ("text?", None, 0, 0),
    "auth_file": ("path?", None, 0, 0),
    "batch_bytes": ("int", 1_000_000, 1024, 67_108_864),
    "max_age_hours": ("number", 160, 0.01, 1_000_000),
    "max_line": ("int", 250_000, 256, 67_108_864),
}
_SOURCE_KEYS = {"file": {"type", "path"}, "journal": {"type", "directory"}}


def load(path: str) -> Config:
    """Read and check the file. Raises Fault with the one line for the operator."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Fault(f"{path}: cannot be read: {error.strerror}; give another with --config, or run the role") from None
    try:
        doc = leanjson.loads(data)
    except ValueError as error:
        raise Fault(f"{path}: is no JSON: {error}; run the role, which writes it") from None
    return parse(doc, path)


def parse(doc: Any, path: str) -> Config:
    """A checked Config from the file's content. Raises Fault."""
    if not isinstance(doc, dict):
        raise Fault(f"{path}: must be one JSON object; run the role, which writes it")
    form = doc.get("format")
    if isinstance(form, int) and form > FORMAT:
        raise Fault(f"{path}: format {form} is newer than this parser's ({FORMAT}); install the parser that wrote it")
    return Config(_table(doc, _TOP, path, ""), path)


def _table(
    doc: dict[str, Any], known: dict[str, tuple[str, Any, float, float]], path: str, above: str
) -> dict[str, Any]:
    for key in doc:
        if key not in known:
            raise Fault(f'{path}: has no key "{above}{key}"; known are {", ".join(known)}')
    values = {}
    for key, (kind, default, least, most) in known.items():
        if key in doc:
            value = doc[key]
            wanted = _wrong(value, kind, least, most, path)
            if wanted:
                raise Fault(f'{path}: "{above}{key}" must be {wanted}, not {value!r}')
            values[key] = _table(value, _LOKI, path, "loki.") if kind == "loki" and value is not None else value
        elif default is ...:
            raise Fault(f'{path}: "{above}{key}" is missing; run the role, which writes it')
        else:
            values[key] = default
    return values


def _wrong(value: Any, kind: str, least: float, most: float, path: str) -> str:
    """What the value should have been, or "" where it fits."""
    optional = kind.endswith("?")
    if optional:
        kind = kind[:-1]
        if value is None:
            return ""
    wanted = ""
    if kind in ("int", "number"):
        types = (int,) if kind == "int" else (int, float)
        fits = isinstance(value, types) and not isinstance(value, bool) and least <= value <= most
        wanted = "" if fits else f"a{' whole' if kind == 'int' else ''} number from {least:g} to {most:g}"
    elif kind == "bool":
        wanted = "" if isinstance(value, bool) else "true or false"
    elif kind == "text":
        wanted = "" if isinstance(value, str) else "text"
    elif kind == "path":
        wanted = "" if is_word(value) and value.startswith("/") else "an absolute path"
    elif kind == "url":
        fits = isinstance(value, str) and value.startswith(("http://", "https://"))
        wanted = "" if fits else "a URL that begins with http:// or https://"
    elif kind == "labels":
        fits = isinstance(value, dict) and all(isinstance(v, str) for v in value.values()) and bool(value)
        wanted = "" if fits else "labels and their values as text"
    elif kind == "sources":
        wanted = _wrong_sources(value, path)
    elif kind == "loki":
        wanted = "" if value is None or isinstance(value, dict) else "an object"
    elif value not in kind.split("|"):
        wanted = " or ".join(kind.split("|"))
    return wanted


def _wrong_sources(value: Any, path: str) -> str:
    if not isinstance(value, list) or not value:
        return 'a list such as [{"type": "file", "path": "/var/log/auth.log"}] or [{"type": "journal"}]'
    seen = set()
    for source in value:
        kind = source.get("type") if isinstance(source, dict) else None
        if not isinstance(kind, str) or kind not in _SOURCE_KEYS:
            raise Fault(f'{path}: a source must have "type": "file" or "journal", not {source!r}')
        unknown = set(source) - _SOURCE_KEYS[kind]
        if unknown:
            raise Fault(f'{path}: a source of type {kind} has no key "{min(unknown)}"; remove it')
        where = source.get("path" if kind == "file" else "directory", "")
        if not is_word(where) or (not where.startswith("/") and (kind == "file" or where)):
            raise Fault(f"{path}: the source {source!r} needs an absolute path")
        if (kind, where) in seen:
            raise Fault(f"{path}: the source {where or kind} is named twice; keep one, or its lines count twice")
        seen.add((kind, where))
    return ""
