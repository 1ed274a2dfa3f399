"""Values and names that a regex captured, made exact: numbers as whole billionths, names as Graphite path parts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

#: Sums are kept in billionths, so that their order cannot change them; a tenth decimal is rounded away.
SCALE = 1_000_000_000
_DECIMALS = 9
_MAX_TEXT = 64
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_MAX_NAME = 120


def number(text: bytes) -> int | None:
    """A decimal number (`12`, `-0.25`, `.5`, `1e-3`) in billionths, or None where it is none."""
    text = text.strip()
    if not 0 < len(text) <= _MAX_TEXT:
        return None
    sign = -1 if text[:1] == b"-" else 1
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    whole, _, fraction = digits.partition(b".")
    if (whole + fraction).isdigit():
        scaled = int(whole or b"0") * SCALE
        if fraction:
            scaled += int(fraction[:_DECIMALS].ljust(_DECIMALS, b"0"))
            if fraction[_DECIMALS : _DECIMALS + 1] >= b"5":
                scaled += 1
        return sign * scaled
    try:
        value = float(text)
    except ValueError:
        return None
    if not abs(value) < 1e30:  # infinities and NaN too
        return None
    return round(value * SCALE)


def text(scaled: int) -> str:
    """A number of billionths as Graphite takes it, without a needless `.0`."""
    sign = "-" if scaled < 0 else ""
    whole, rest = divmod(abs(scaled), SCALE)
    if not rest:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:09d}".rstrip("0")


def escape(name: bytes) -> str:
    """A captured name as one part of a Graphite path, never the same for two names.

    Letters, digits and `-` stay; `_` is doubled; any other byte is `_` and its two hex digits. An empty name is
    `_empty`, a very long one is cut and ends in `_h` and a hash. (`_other` and `_invalid` cannot come out of this.)
    """
    if not name:
        return "_empty"
    found = "".join(chr(byte) if byte in _SAFE else "__" if byte == 0x5F else f"_{byte:02x}" for byte in name)
    if len(found) <= _MAX_NAME:
        return found
    from hashlib import sha256  # noqa: PLC0415 - rare, and slow to import

    return f"{found[:80].rstrip('_')}_h{sha256(name).hexdigest()[:24]}"
