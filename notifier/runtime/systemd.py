"""The daemon's interface to systemd: the notify protocol, watchdog, credentials, journal.

Owns the words of sd_notify(3) and the variables that systemd sets. Does not decide when a notice is sent:
`daemon.service` does. No dependency, and no I/O but one datagram: the protocol is eight lines of text, and a library
would hide the one rule that matters here: *nothing that systemd does or fails to do may stop the daemon*. So a notice
that cannot be sent raises nothing, and the socket never blocks: a full queue must not stop the loop that feeds the
watchdog. The sender learns whether it was sent, because READY must not be lost: without it systemd waits for the end of
a start or a reload.

All but the last two functions are pure: the caller passes `os.environ` and the clock's time.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import IO, Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"

#: STATUS is one line of `systemctl status`; longer ones only fill the datagram.
_STATUS_LIMIT: Final = 400

#: Log levels as journald's priorities (sd-daemon(3)).
_PRIORITIES: Final[Mapping[str, int]] = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


def status(text: str) -> str:
    """`STATUS=…` for one line of free text. A line break would begin another variable, so it becomes a space."""
    return "STATUS=" + " ".join(text.split())[:_STATUS_LIMIT]


def reloading(monotonic: float) -> tuple[str, str]:
    """The two lines that open a reload; `READY` closes it. `monotonic` is `Clock.monotonic()`, in seconds.

    systemd 253 and later (Type=notify-reload) compares the time with its own; older versions ignore it.
    """
    return "RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}"


def watchdog_interval(environ: Mapping[str, str], *, pid: int | None = None) -> float | None:
    """Seconds between two `WATCHDOG` notices: half of what systemd allows. None if systemd does not watch this process.

    `pid` is this process unless given. A child process inherits the variables, and must not feed its parent's watchdog.
    """
    if environ.get("WATCHDOG_PID", own := str(os.getpid() if pid is None else pid)) != own:
        return None
    allowed = environ.get("WATCHDOG_USEC", "")
    if not (allowed.isascii() and allowed.isdecimal()) or int(allowed) == 0:
        return None
    return int(allowed) / 2 / 1_000_000


def journal_prefix(level: str) -> str:
    """The prefix with which journald stores a line at this log level: `<6>` for "info", and for an unknown level."""
    return f"<{_PRIORITIES.get(level, _PRIORITIES['info'])}>"


def is_journal(environ: Mapping[str, str], opened: os.stat_result) -> bool:
    """Whether the opened file is the socket that journald reads.

    $JOURNAL_STREAM alone is not enough: children and shells inherit it though their output goes elsewhere.
    """
    return environ.get("JOURNAL_STREAM") == f"{opened.st_dev}:{opened.st_ino}"


def notify_address(environ: Mapping[str, str]) -> str | None:
    """The address in $NOTIFY_SOCKET as Python connects to it ("@name" is abstract); None without the variable."""
    named = environ.get("NOTIFY_SOCKET", "")
    if named.startswith("@"):
        return "\0" + named[1:]
    return named if named.startswith("/") else None


def under_journal(environ: Mapping[str, str], stream: IO[str]) -> bool:
    """`is_journal` of an open stream, e.g. `sys.stderr`. A stream without a file descriptor is not the journal."""
    try:
        return is_journal(environ, os.fstat(stream.fileno()))
    except (OSError, ValueError):  # ValueError: the stream is closed
        return False


def notify(*lines: str) -> bool:
    """Send these lines as one notice. False if it was not sent; never blocks and never raises.

    True without $NOTIFY_SOCKET: no service manager waits for it.
    """
    address = notify_address(os.environ)
    if address is None:
        return True
    message = "\n".join(lines).encode(errors="replace")
    with (
        contextlib.suppress(OSError, ValueError),  # ValueError: a NUL inside the path
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as wire,
    ):
        wire.sendto(message, address)
        return True
    return False
