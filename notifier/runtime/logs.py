"""The form of log lines: for a person on a terminal, JSON elsewhere, with journald's priority prefix under systemd.

Events and their fields are an interface, because operators grep for them. `log_events` has the names of the events.

A JSON line has at most `LINE_LIMIT` bytes: journald cuts longer ones, and a line that was cut is not JSON any more. If
a list is too long for one line, it is written as several lines, each whole and numbered (`part`). If a text is too
long, its middle is left out.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final, TextIO

import orjson
import structlog

from notifier.runtime.systemd import journal_prefix, under_journal

#: These fields come first.
_FIRST: Final = ("at", "level", "event")
#: Bytes of one line. Journald cuts at 48 KiB, and syslog daemons and log shippers sooner.
LINE_LIMIT: Final = 16 * 1024
#: Bytes of a line that are reserved for the number of a part and the priority's prefix.
_RESERVED: Final = 64
#: Characters: one takes four bytes at most.
_SURELY_FITS: Final = (LINE_LIMIT - _RESERVED) // 4
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(*, level: str, environ: Mapping[str, str], stream: TextIO = sys.stderr) -> None:
    """Configure structlog for the whole process. `level` is one of `LEVELS`."""
    rendering = _journal_lines if under_journal(environ, stream) else _json_lines
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            _without_none,
            structlog.dev.ConsoleRenderer(colors=True, pad_event_to=24) if stream.isatty() else rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_IntoStructlog()], level=logging.WARNING, force=True)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it warns of every late call


def _without_none(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave out empty fields."""
    return {key: value for key, value in event.items() if value is not None and value != ""}


def _json_lines(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return _lines(event, "")


def _journal_lines(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """The journal adds the time and takes the priority from the prefix."""
    event.pop("at", None)
    return _lines(event, journal_prefix(str(event.get("level", "info"))))


def _lines(event: Mapping[str, Any], prefix: str) -> str:
    """The event as one line or, if it is too long, as several."""
    line = _json(event)
    if len(line) <= _SURELY_FITS:
        return prefix + line
    parts = list(_fitting(event))
    if len(parts) > 1:
        parts = [{**part, "part": f"{number} of {len(parts)}"} for number, part in enumerate(parts, 1)]
    return "\n".join(prefix + _json(part) for part in parts)


def _json(event: Mapping[str, Any]) -> str:
    ordered = {key: event[key] for key in _FIRST if key in event}
    line = {**ordered, **event}
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        plain = {key: str(value).encode(errors="backslashreplace").decode() for key, value in line.items()}
        return orjson.dumps(plain).decode()


def _fitting(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The event with its longest field cut until it fits: a list into halves, which all stay, a text by its middle."""
    excess = len(_json(event).encode()) - LINE_LIMIT + _RESERVED
    if excess <= 0:
        yield event
        return
    key = max(event.keys() - set(_FIRST), key=lambda key: len(str(event[key])))
    value = event[key]
    if isinstance(value, list | tuple) and len(value) > 1:
        middle = len(value) // 2
        for half in (value[:middle], value[middle:]):
            yield from _fitting({**event, key: half})
    else:
        text = str(value[0] if isinstance(value, list | tuple) and value else value)
        cut = _without_middle(text, max(len(text) // 4, len(text) - excess - _RESERVED))
        yield from _fitting(
            {**event, key: cut} if len(cut) < len(text) else {key: event[key] for key in _FIRST if key in event}
        )


def _without_middle(text: str, length: int) -> str:
    """About `length` characters of it: three quarters from its beginning and one from its end."""
    tail = length // 4
    return f"{text[: length - tail]} … {len(text) - length} characters left out … {text[len(text) - tail :]}"


class _IntoStructlog(logging.Handler):
    """Lines that libraries write through `logging`, in our form: from "warning" on."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  a library's mistake must not end what the library was doing
            self.handleError(record)
            return
        structlog.get_logger().warning("library.warned", library=record.name, message=message, exc_info=record.exc_info)
