"""The time in which a line was written, from its own stamp.

Forms: RFC 3164 (`Nov 22 10:00:00`: no year, the host's zone), RFC 3339 and ISO 8601 (T or blank, dot or comma, any
offset, none is the host's zone), RFC 5424 (`<34>1 2026-...`), Unix time, nginx's error log (`2026/11/22 10:00:00`),
and, anywhere in a line's first bytes, the access logs of nginx and Apache (`[22/Nov/2026:10:00:00 +0000]`).
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

    # (Unix seconds, nanoseconds, resolution in nanoseconds, index of the first byte after the stamp)
    Stamp = Tuple[int, int, int, int]

SECOND = 1_000_000_000
MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_YEAR = 366 * 86_400
_ACCESS_LOG_REACH = 512  # how far into a line an access log's time is looked for


def parse(line: bytes, ref: float) -> Stamp | None:
    """The stamp at the line's start, or None; `ref` (Unix time) settles a missing year and a repeated hour."""
    first = line[:1]
    if first.isalpha():
        # A virtual host or an IPv6 address may begin a line of an access log.
        return rfc3164(line, ref) or _access(line)
    if first.isdigit():
        if line[4:5] == b"-" or line[4:5] == b"/":
            return iso(line, 0, ref)
        return _unix(line, ref) or _access(line)
    if first == b"<":
        return _after_priority(line, ref)
    if first == b"[":
        inner = iso(line, 1, ref) if line[5:6] in (b"-", b"/") else None
        if inner:
            return (*inner[:3], inner[3] + (line[inner[3] : inner[3] + 1] == b"]"))
    return _access(line)


def days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 (proleptic Gregorian calendar); month 1 to 12, day not checked."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def local(year: int, month: int, day: int, hour: int, minute: int, second: int, ref: float) -> int | None:
    """Unix time of a local time; of two (a repeated hour) the later that is not past `ref`, else the earlier one.

    A time that the clocks skipped is taken as if they had not been changed yet.
    """
    found = []
    for dst in (0, 1):
        try:
            at = int(time.mktime((year, month, day, hour, minute, second, 0, 0, dst)))
        except (OverflowError, ValueError):
            continue  # before glibc 2.32 (Debian 11) mktime(3) knows no summer time in a zone that has none
        if time.localtime(at)[:5] == (year, month, day, hour, minute) and at not in found:
            found.append(at)
    if not found:
        try:
            return int(time.mktime((year, month, day, hour, minute, second, 0, 0, 0)))
        except (OverflowError, ValueError):
            return None
    past = [at for at in found if at <= ref + 60]
    return max(past) if past else min(found)


# Minutes of RFC 3164 stamps that were settled already (mktime(3) is slow), good for one minute of `ref`.
_settled: dict[bytes, int | None] = {}
_settled_for = [-1]
_SETTLED_MOST = 5000


def rfc3164(line: bytes, ref: float) -> Stamp | None:
    """`Nov 22 10:00:00`, the day padded with a blank or a zero; the year is the one that brings it nearest to `ref`."""
    if line[3:4] != b" " or line[9:10] != b":" or line[12:13] != b":":
        return None
    seconds = line[13:15]
    if not seconds.isdigit() or len(seconds) < 2 or seconds >= b"70":
        return None
    if _settled_for[0] != ref // 60 or len(_settled) > _SETTLED_MOST:
        _settled.clear()
        _settled_for[0] = int(ref // 60)
    minute = line[:12]
    if minute not in _settled:
        _settled[minute] = _minute(minute, ref)
    start = _settled[minute]
    return None if start is None else (start + int(seconds), 0, SECOND, 15)


def _minute(text: bytes, ref: float) -> int | None:
    """Unix time of `Nov 22 10:00`."""
    month = MONTHS.get(text[:3])
    day_text = text[4:6].strip()
    if month is None or not (day_text.isdigit() and text[7:9].isdigit() and text[10:12].isdigit()):
        return None
    day, hour, minute = int(day_text), int(text[7:9]), int(text[10:12])
    if not (0 < day <= _DAYS[month - 1] and hour < 24 and minute < 60):
        return None
    year = time.localtime(ref)[0]
    best = None
    for candidate in (year, year - 1, year + 1):
        if day == 29 and month == 2 and (candidate % 4 or (candidate % 100 == 0 and candidate % 400)):
            continue
        at = local(candidate, month, day, hour, minute, 0, ref)
        if at is not None and (best is None or abs(at - ref) < abs(best - ref)):
            best = at
    return best


def iso(line: bytes, start: int, ref: float) -> Stamp | None:
    """`2026-11-22T10:00:00.123456+01:00` and its kin, from index `start` on."""
    try:
        year, month, day = (
            int(line[start : start + 4]),
            int(line[start + 5 : start + 7]),
            int(line[start + 8 : start + 10]),
        )
        hour, minute = int(line[start + 11 : start + 13]), int(line[start + 14 : start + 16])
        second = int(line[start + 17 : start + 19])
    except ValueError:
        return None
    if line[start + 7 : start + 8] not in (b"-", b"/") or line[start + 10 : start + 11] not in (b"T", b" ", b"t"):
        return None
    if line[start + 13 : start + 14] != b":" or line[start + 16 : start + 17] != b":":
        return None
    if not (0 < month < 13 and 0 < day <= _DAYS[month - 1] and hour < 24 and minute < 60 and second < 70):
        return None
    end = start + 19
    nanos, resolution = 0, SECOND
    if line[end : end + 1] in (b".", b","):
        stop = end + 1
        while line[stop : stop + 1].isdigit():
            stop += 1
        digits = line[end + 1 : stop][:9]
        if digits:
            resolution = 10 ** (9 - len(digits))
            nanos = int(digits) * resolution
            end = stop
    shift_and_end = offset(line, end)
    if shift_and_end is None:
        at = local(year, month, day, hour, minute, second, ref)
        return None if at is None else (at, nanos, resolution, end)
    shift, end = shift_and_end
    at = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - shift
    return at, nanos, resolution, end


def offset(line: bytes, at: int) -> tuple[int, int] | None:
    """(seconds east of UTC, index after it) of `Z`, `+01:00`, `+0100` or `+01`, or None."""
    sign = line[at : at + 1]
    if sign in (b"Z", b"z"):
        return 0, at + 1
    if sign not in (b"+", b"-") or not line[at + 1 : at + 3].isdigit():
        return None
    hours = int(line[at + 1 : at + 3])
    end = at + 3
    minutes = 0
    rest = end + (line[end : end + 1] == b":")
    if line[rest : rest + 2].isdigit() and len(line[rest : rest + 2]) == 2:
        minutes, end = int(line[rest : rest + 2]), rest + 2
    seconds = hours * 3600 + minutes * 60
    return (-seconds if sign == b"-" else seconds), end


def _unix(line: bytes, ref: float) -> Stamp | None:
    """Ten digits of seconds with an optional fraction, or thirteen of milliseconds, then a blank or the end.

    A number that is more than a year away from `ref` is some other number.
    """
    digits = line[:10]
    if not (digits.isdigit() and abs(int(digits) - ref) < _YEAR):
        return None
    stop = 0
    while stop < 14 and line[stop : stop + 1].isdigit():
        stop += 1
    if stop == 13 and line[13:14] in (b" ", b"\t", b""):
        return int(line[:10]), int(line[10:13]) * 1_000_000, 1_000_000, 13
    if stop != 10:
        return None
    nanos, resolution = 0, SECOND
    if line[10:11] in (b".", b","):
        stop = 11
        while line[stop : stop + 1].isdigit():
            stop += 1
        digits = line[11:stop][:9]
        if digits:
            resolution = 10 ** (9 - len(digits))
            nanos = int(digits) * resolution
    if line[stop : stop + 1] not in (b" ", b"\t", b"", b":"):
        return None
    return int(line[:10]), nanos, resolution, stop


def _after_priority(line: bytes, ref: float) -> Stamp | None:
    """What follows `<34>` (RFC 3164 with its priority) or `<34>1 ` (RFC 5424)."""
    close = line.find(b">", 1, 6)
    if close < 0 or not line[1:close].isdigit():
        return None
    start = close + 1
    if line[start : start + 2] == b"1 ":
        start += 2
    found = parse(line[start : start + 64], ref) if line[start : start + 1] != b"<" else None
    return None if found is None else (*found[:3], found[3] + start)


def _access(line: bytes) -> Stamp | None:
    """`[22/Nov/2026:10:00:00 +0000]` in the line's first bytes; the whole line stays the message (index 0)."""
    head = line[:_ACCESS_LOG_REACH]
    at = head.find(b"[")
    while at >= 0:
        text = head[at + 1 : at + 27]
        month = MONTHS.get(text[3:6])
        if month is not None and text[2:3] == b"/" and text[6:7] == b"/" and text[11:12] == b":":
            try:
                day, year = int(text[:2]), int(text[7:11])
                hour, minute, second = int(text[12:14]), int(text[15:17]), int(text[18:20])
            except ValueError:
                return None
            east = offset(text, 21)
            if east is None or not (0 < day <= _DAYS[month - 1] and hour < 24 and minute < 60 and second < 70):
                return None
            return days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - east[0], 0, SECOND, 0
        at = head.find(b"[", at + 1)
    return None
