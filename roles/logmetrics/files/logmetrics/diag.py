"""Words for the operator, in syslog under the tag `logmetrics`; stdout belongs to the points alone."""

from __future__ import annotations

import os

TAG = "logmetrics"


def say(messages: list[str], level: str = "err") -> None:
    """One syslog line each; where there is no syslog, stderr (Telegraf logs it). Never raises."""
    if not messages:
        return
    messages = [one_line(message) for message in messages]
    if os.path.exists("/dev/log"):
        try:
            import syslog  # noqa: PLC0415 - an error is rare

            syslog.openlog(TAG, syslog.LOG_PID, syslog.LOG_DAEMON)
            for message in messages:
                syslog.syslog(syslog.LOG_ERR if level == "err" else syslog.LOG_WARNING, message)
            return
        except (ImportError, OSError):
            pass
    stderr(messages)


def one_line(message: str) -> str:
    """The message with `\\n` and the like for what cannot be printed: names of files and rules may hold anything."""
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in message)


def stderr(messages: list[str]) -> None:
    """One line each on stderr, for who is at the terminal. Never raises."""
    try:
        os.write(2, "".join(f"{TAG}: {one_line(message)}\n" for message in messages).encode("utf-8", "replace"))
    except OSError:
        pass
