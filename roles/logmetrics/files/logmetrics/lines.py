"""A line's parts: its stamp, its program (the syslog tag) and its message."""

from __future__ import annotations

from . import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from .stamp import Stamp

    # (stamp or None, program or None, index at which the message begins)
    Parts = Tuple[Optional[Stamp], Optional[bytes], int]

_TAG_MAX = 256


def split(line: bytes, ref: float) -> Parts:
    """Cut a line (without its newline) into parts; a line without a syslog header is all message.

    A syslog header is a stamp, a host and a tag that ends in `:` or `[pid]`, with or without a colon (RFC 3164 as
    rsyslog, syslog-ng and busybox write it to files), or the fields of RFC 5424.
    """
    found = stamp.parse(line, ref)
    if found is None or found[3] == 0:
        return found, None, 0
    end = found[3]
    if line[:1] == b"<" and line.find(b">1 ", 1, 7) > 0:
        return (found, *_rfc5424(line, end))
    # A blank before the time (`2026-11-22 10:00:00`) is an application's form, never a syslog daemon's.
    if line[end : end + 1] != b" " or (line[10:11] == b" " and line[:1].isdigit()):
        return found, None, 0
    program, start = tag(line, end + 1)
    return found, program, start


def tag(line: bytes, host_at: int) -> tuple[bytes | None, int]:
    """(program, index of the message) from where the host name stands; (None, 0) where there is no tag."""
    host_end = line.find(b" ", host_at, host_at + _TAG_MAX)
    if host_end <= host_at:
        return None, 0
    start = host_end + 1
    head = line[start : start + _TAG_MAX]
    end = min(at for at in (head.find(b"["), head.find(b":"), head.find(b" "), len(head)) if at >= 0)
    mark = head[end : end + 1]
    if end == 0 or mark not in (b"[", b":"):
        return None, 0
    after = end
    if mark == b"[":
        close = head.find(b"]", end)
        if close < 0 or b" " in head[end:close]:
            return None, 0
        after = close + 1
        if head[after : after + 1] not in (b":", b" ", b""):
            return None, 0
    if head[after : after + 1] == b":":
        after += 1
    if head[after : after + 1] == b" ":
        after += 1
    return head[:end], start + after


def _rfc5424(line: bytes, at: int) -> tuple[bytes | None, int]:
    """(program, index of the message) of `<34>1 STAMP HOST APP PROCID MSGID SD MSG` (RFC 5424, section 6)."""
    fields = line[at + 1 :].split(b" ", 4)
    if len(fields) < 5:
        return None, 0
    program = fields[1]
    start = at + 1 + sum(len(field) + 1 for field in fields[:4])
    if line[start : start + 1] == b"-":
        start += 1
    else:
        while line[start : start + 1] == b"[":
            start = _element_end(line, start)
            if start < 0:
                return None, 0
    if line[start : start + 1] == b" ":
        start += 1
    if line[start : start + 3] == b"\xef\xbb\xbf":
        start += 3
    return (None if program == b"-" else program), start


def _element_end(line: bytes, at: int) -> int:
    """Index after the structured data element that begins at `at`, or -1; `]` inside quotes is escaped or quoted."""
    quoted = False
    while at < len(line):
        char = line[at : at + 1]
        if char == b"\\" and quoted:
            at += 1
        elif char == b'"':
            quoted = not quoted
        elif char == b"]" and not quoted:
            return at + 1
        at += 1
    return -1
