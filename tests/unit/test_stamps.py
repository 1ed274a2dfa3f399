"""The time of a line: every form, the year that is missing, the hour that comes twice."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logmetrics import stamp
from logmetrics.lines import split

NOW = 1_795_452_017.5  # 2026-11-23 16:40:17.5 UTC


def utc(*fields: int) -> int:
    return calendar.timegm((*fields, 0, 0, 0))


@pytest.fixture
def zone() -> Iterator[object]:
    before = os.environ.get("TZ")

    def use(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()
        stamp._settled.clear()

    yield use
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()
    stamp._settled.clear()


@pytest.mark.parametrize(
    ("line", "seconds", "nanos", "resolution"),
    [
        (b"2026-11-22T10:00:00.123456+00:00 h a: b", utc(2026, 11, 22, 10, 0, 0), 123_456_000, 1000),
        (b"2026-11-22T10:00:00.5Z h a: b", utc(2026, 11, 22, 10, 0, 0), 500_000_000, 100_000_000),
        (b"2026-11-22T10:00:00Z x", utc(2026, 11, 22, 10, 0, 0), 0, 1_000_000_000),
        (b"2026-11-22T10:00:00-05:00 x", utc(2026, 11, 22, 15, 0, 0), 0, 1_000_000_000),
        (b"2026-11-22T10:00:00+0530 x", utc(2026, 11, 22, 4, 30, 0), 0, 1_000_000_000),
        (b"2026-11-22T10:00:00+05 x", utc(2026, 11, 22, 5, 0, 0), 0, 1_000_000_000),
        (b"2026-11-22 10:00:00,250 INFO x", utc(2026, 11, 22, 10, 0, 0), 250_000_000, 1_000_000),
        (b"[2026-11-22 10:00:00] x", utc(2026, 11, 22, 10, 0, 0), 0, 1_000_000_000),
        (b"2026/11/22 10:00:00 [error] 7#7: x", utc(2026, 11, 22, 10, 0, 0), 0, 1_000_000_000),
        (b"<34>1 2026-11-22T10:00:00.003Z h app 7 - - m", utc(2026, 11, 22, 10, 0, 0), 3_000_000, 1_000_000),
        (b"<34>Nov 22 10:00:00 h a: b", utc(2026, 11, 22, 10, 0, 0), 0, 1_000_000_000),
        (b"Nov 22 10:00:00 h a: b", utc(2026, 11, 22, 10, 0, 0), 0, 1_000_000_000),
        (b"Nov  2 10:00:59 h a: b", utc(2026, 11, 2, 10, 0, 59), 0, 1_000_000_000),
        (b"Nov 02 10:00:59 h a: b", utc(2026, 11, 2, 10, 0, 59), 0, 1_000_000_000),
        (b"1795452000 x", 1_795_452_000, 0, 1_000_000_000),
        (b"1795452000.25 x", 1_795_452_000, 250_000_000, 10_000_000),
        (b"1795452000250 x", 1_795_452_000, 250_000_000, 1_000_000),
        (b'192.0.2.1 - - [22/Nov/2026:10:00:00 +0100] "GET"', utc(2026, 11, 22, 9, 0, 0), 0, 1_000_000_000),
        (b'::1 - - [22/Nov/2026:10:00:00 -0230] "GET"', utc(2026, 11, 22, 12, 30, 0), 0, 1_000_000_000),
    ],
)
def test_forms(zone: object, line: bytes, seconds: int, nanos: int, resolution: int) -> None:
    assert callable(zone)
    zone("UTC")
    found = stamp.parse(line, NOW)
    assert found is not None
    assert found[:3] == (seconds, nanos, resolution)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"Nov",
        b"Nov 31x10:00:00 h",
        b"Nov 22 24:00:00 h",
        b"Nov 22 10:60:00 h",
        b"Nov 22 10:00:0x h",
        b"Nox 22 10:00:00 h",
        b"Feb 30 10:00:00 h",
        b"2026-13-22T10:00:00Z",
        b"2026-11-00T10:00:00Z",
        b"2026-11-22T10:00",
        b"2026-11-22X10:00:00Z",
        b"179545200",
        b"17954520001 x",
        b"<34>",
        b"<x>1 2026-11-22T10:00:00Z",
        b"[22/Nox/2026:10:00:00 +0000]",
        b"[22/Nov/2026:10:00:00 x0000]",
        b"[[[[[[",
    ],
)
def test_what_is_none(line: bytes) -> None:
    assert stamp.parse(line, NOW) is None


def test_the_year_is_the_nearest(zone: object) -> None:
    assert callable(zone)
    zone("UTC")
    new_year = utc(2026, 1, 1, 0, 0, 0)

    def at(line: bytes, ref: int) -> int:
        found = stamp.parse(line, ref)
        assert found is not None
        return found[0]

    assert at(b"Dec 31 23:59:59 h", new_year + 5) == new_year - 1
    assert at(b"Jan  1 00:00:01 h", new_year - 5) == new_year + 1
    assert at(b"Jan  1 00:00:01 h", new_year + 5) == new_year + 1
    assert at(b"Feb 29 10:00:00 h", utc(2028, 3, 1, 0, 0, 0)) == utc(2028, 2, 29, 10, 0, 0)
    # No year near has that day but the last leap year, or the next.
    assert at(b"Feb 29 10:00:00 h", utc(2027, 12, 1, 0, 0, 0)) == utc(2028, 2, 29, 10, 0, 0)


def test_the_hour_that_comes_twice(zone: object) -> None:
    """On 25 October 2026 at 01:00 UTC, Berlin's clocks go from 03:00 back to 02:00."""
    assert callable(zone)
    zone("Europe/Berlin")
    change = utc(2026, 10, 25, 1, 0, 0)
    line = b"Oct 25 02:30:00 h"

    def at(ref: int) -> int:
        stamp._settled.clear()
        found = stamp.parse(line, ref)
        assert found is not None
        return found[0]

    assert at(change - 1795) == change - 1800  # read before the change: the first 02:30
    assert at(change + 1805) == change + 1800  # after: the second
    assert at(change + 7200) == change + 1800


def test_the_hour_that_is_left_out(zone: object) -> None:
    """On 29 March 2026 Berlin's clocks go from 02:00 to 03:00; a stamp of 02:30 is taken as if they had not."""
    assert callable(zone)
    zone("Europe/Berlin")
    change = utc(2026, 3, 29, 1, 0, 0)
    found = stamp.parse(b"Mar 29 02:30:00 h", change + 1805)
    assert found is not None
    assert found[0] == change + 1800


@given(at=st.integers(946_684_800, 4_102_444_799), east=st.integers(-14 * 60, 14 * 60))
def test_rfc3339_at_any_time_and_offset(at: int, east: int) -> None:
    shown = time.gmtime(at + east * 60)
    sign = "-" if east < 0 else "+"
    text = time.strftime("%Y-%m-%dT%H:%M:%S", shown) + f"{sign}{abs(east) // 60:02d}:{abs(east) % 60:02d}"
    found = stamp.parse(text.encode() + b" x", NOW)
    assert found is not None
    assert found[0] == at
    assert found[3] == len(text)


@given(st.binary(max_size=80))
def test_any_bytes_have_a_stamp_or_none(line: bytes) -> None:
    found, program, start = split(line, NOW)
    assert found is None or len(found) == 4
    assert program is None or program
    assert 0 <= start <= len(line)


@pytest.mark.parametrize(
    ("line", "program", "message"),
    [
        (b"Nov 22 10:00:00 h sshd[7]: a", b"sshd", b"a"),
        (b"Nov 22 10:00:00 h sshd[7]:  a", b"sshd", b" a"),
        (b"Nov 22 10:00:00 h sshd: a", b"sshd", b"a"),
        (b"Nov 22 10:00:00 h sshd[7] a", b"sshd", b"a"),
        (b"Nov 22 10:00:00 h sshd(pam_unix)[7]: a", b"sshd(pam_unix)", b"a"),
        (b"Nov 22 10:00:00 h /usr/sbin/cron[7]: a", b"/usr/sbin/cron", b"a"),
        (b"Nov 22 10:00:00 h kernel: [ 1.0] a", b"kernel", b"[ 1.0] a"),
        (b"Nov 22 10:00:00 h sshd[7]:", b"sshd", b""),
        (b"Nov 22 10:00:00 h last message repeated 2 times", None, None),
        (b"Nov 22 10:00:00 h sshd[7 8]: a", None, None),
        (b"Nov 22 10:00:00 h : a", None, None),
        (b"Nov 22 10:00:00 h", None, None),
        (b"2026-11-22T10:00:00Z h sshd[7]: a", b"sshd", b"a"),
        (b"2026-11-22T10:00:00Z INFO started", None, None),
        (b"2026-11-22 10:00:00 h sshd[7]: a", None, None),
        (b'<34>1 2026-11-22T10:00:00Z h app 7 id [x y="]\\""][z] a', b"app", b"a"),
        (b"<34>1 2026-11-22T10:00:00Z h app 7 id - \xef\xbb\xbfa", b"app", b"a"),
        (b"<34>1 2026-11-22T10:00:00Z h - - - - a", None, b"a"),
        (b"no stamp sshd[7]: a", None, None),
    ],
)
def test_program_and_message(line: bytes, program: bytes | None, message: bytes | None) -> None:
    _, found, start = split(line, NOW)
    assert found == program
    assert line[start:] == (line if message is None else message)


def test_a_c_library_that_knows_no_summer_time_in_a_zone_without_one_stops_no_stamp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """glibc 2.31 (Debian 11): mktime(3) with tm_isdst 1 fails in UTC, which Python tells as OverflowError."""
    real = time.mktime

    def old(fields: time.struct_time) -> float:
        if fields[8] == 1:
            raise OverflowError("mktime argument out of range")
        return real(fields)

    monkeypatch.setattr(time, "mktime", old)
    at = real((2026, 11, 24, 8, 30, 0, 0, 0, -1))
    monkeypatch.setattr(stamp, "_settled", {})
    found = stamp.parse(b"Nov 24 08:30:07 h sshd[1]: x", at)
    assert found is not None and found[:1] == (int(at) + 7,)
