"""How log lines look: for a person on a terminal, JSON elsewhere, with journald's priority prefix under systemd.

Events and their fields are the product's interface to an operator's grep; their names stand in `telemetry`.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import orjson
import structlog

from notifier.systemd import journal_prefix, under_journal

#: These open a line.
_FIRST: Final = ("at", "level", "event")
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(*, level: str, environ: Mapping[str, str], stream: TextIO = sys.stderr) -> None:
    """Configure structlog for the whole process. `level` is one of `LEVELS`."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            _without_none,
            *_rendering(environ, stream),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    _take_in_libraries()


def _rendering(environ: Mapping[str, str], stream: TextIO) -> list[structlog.types.Processor]:
    if stream.isatty():
        return [structlog.dev.ConsoleRenderer(colors=True, pad_event_to=24)]
    if under_journal(environ, stream):
        return [_journal_line]
    return [_json_line]


def _without_none(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A field that has nothing to say is left out."""
    return {key: value for key, value in event.items() if value is not None and value != ""}


def _json_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    ordered = {key: event[key] for key in _FIRST if key in event}
    line = {**ordered, **event}
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        plain = {key: str(value).encode(errors="backslashreplace").decode() for key, value in line.items()}
        return orjson.dumps(plain).decode()


def _journal_line(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """The journal keeps the time and takes the priority from the prefix."""
    event.pop("at", None)
    return journal_prefix(str(event.get("level", "info"))) + _json_line(logger, method, event)


class _IntoStructlog(logging.Handler):
    """What libraries say through `logging`, in our own form: only what an operator must know comes through."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  the library's mistake must not end what the library was doing
            self.handleError(record)
            return
        structlog.get_logger().warning("library.warned", library=record.name, message=message, exc_info=record.exc_info)


def _take_in_libraries() -> None:
    logging.basicConfig(handlers=[_IntoStructlog()], level=logging.WARNING, force=True)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it warns of every beat that comes late
