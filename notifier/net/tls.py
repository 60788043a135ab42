"""TLS of one endpoint: its own certificate, and whose certificates are trusted. Reads the files and watches them.

Rules: one context for each setting, so that what is pooled under a context never serves another setting. A file that
changed (its time, its size, another file in its place) makes a new context at the next attempt, at most once a second:
a certificate may be renewed while the daemon runs, without a reload. While the files do not fit together, because one
of them is written and the other one not yet, the last ones that did go on. `TlsSettings()` is the machine's own trust,
for everybody who has no setting; it is watched likewise.
"""

import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from notifier.domain.settings import TlsSettings
from notifier.net.tls_context import context_for
from notifier.net.tls_files import paths, problems
from notifier.runtime import log_events

_log = structlog.get_logger()

#: Seconds between two looks at the files of one setting.
_LOOK_AGAIN: Final = 1.0

#: What tells one version of the files from another.
_Stamp = tuple[tuple[int, int, int] | None, ...]


class TlsUnusable(Exception):
    """The files of a setting cannot be used; the message says why."""


@dataclass(slots=True)
class _Kept:
    context: ssl.SSLContext
    stamp: _Stamp
    looked_at: float


class Contexts:
    """The context of each setting, as its files are now."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[TlsSettings, _Kept] = {}

    def context(self, tls: TlsSettings) -> ssl.SSLContext:
        """`TlsUnusable` where there never was a usable one."""
        now = self._monotonic()
        kept = self._kept.get(tls)
        if kept is None:
            stamp = _stamp(tls)
            kept = self._kept[tls] = _Kept(_made(tls), stamp, now)
        elif now - kept.looked_at >= _LOOK_AGAIN:
            kept.looked_at = now
            self._renew(tls, kept)
        return kept.context

    def _renew(self, tls: TlsSettings, kept: _Kept) -> None:
        stamp = _stamp(tls)
        if stamp == kept.stamp:
            return
        kept.stamp = stamp
        try:
            kept.context = _made(tls)
        except TlsUnusable as error:
            _log.warning(log_events.TLS_KEPT, error=str(error), note="what was read before goes on")
        else:
            _log.info(log_events.TLS_RENEWED, cert=tls.cert, ca=tls.ca)


def _stamp(tls: TlsSettings) -> _Stamp:
    watched = list(paths(tls).values())
    if tls.ca is None:
        system = ssl.get_default_verify_paths()
        watched += filter(None, (system.cafile, system.capath))
    return tuple(map(_stamp_of, watched))


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116  this is asked once a second for each setting
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


def _made(tls: TlsSettings) -> ssl.SSLContext:
    """`TlsUnusable` with the first thing that is wrong."""
    for _, sentence in problems(tls):
        raise TlsUnusable(sentence)
    return context_for(tls)
