"""The files of a `tls:` setting: what is wrong with them, and the TLS context that is made of them. Reads the files.

One context for each setting, so that connections under one context never serve another setting. When a file changes
(its time, its size, another file in its place), the next attempt makes a new context, at most once a second: a
certificate may be renewed while the daemon runs, without a reload. While the files do not fit together, because one of
them is written and the other is not yet, the last context that worked is used. `TlsSettings()` is the machine's own
trust, for everybody who has no setting; its files are watched too.
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
from notifier.net.tls import context_for, trusting
from notifier.runtime import log_events
from notifier.text.printable import printable
from notifier.text.reader import FileRefused, read_regular_file

_log = structlog.get_logger()

#: Bytes of a file at most; the largest bundles have a quarter of it.
MAX_BYTES: Final = 1024 * 1024
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_LOCKED: Final = b"ENCRYPTED"
#: Seconds between two checks whether the files of one setting changed.
_CHECK_EVERY: Final = 1.0

#: The identity of one version of the files.
_Stamp = tuple[tuple[int, int, int] | None, ...]


def paths(tls: TlsSettings) -> dict[str, str]:
    """The files that it names, by key."""
    return {name: path for name in ("cert", "key", "ca") if (path := getattr(tls, name)) is not None}


# ---- what is wrong ------------------------------------------------------------------------------------------------
def problems(tls: TlsSettings) -> list[tuple[str, str]]:
    """What is wrong with the files of `tls`: (cert, key or ca; a sentence). Empty if a context can be made."""
    wrong: list[tuple[str, str]] = []
    for name, path in paths(tls).items():
        shown = printable(path, 200)
        noun, mark = ("private key", _KEY) if name == "key" else ("certificate", _CERTIFICATE)
        try:
            content = read_regular_file(path, MAX_BYTES)
        except FileRefused as error:
            wrong.append((name, f"{shown} {error}."))
            continue
        if mark not in content:
            wrong.append((name, f"There is no {noun} in PEM form in {shown}. It begins with -----BEGIN."))
        elif name == "key" and _LOCKED in content:
            needs = f"The key in {shown} needs a password. Write it without one, for notifier alone to read."
            wrong.append((name, needs))
    if not wrong:
        try:
            context_for(tls)
        except (OSError, ValueError) as error:
            wrong.append(_unfit(tls, error))
    return wrong


def _unfit(tls: TlsSettings, error: Exception) -> tuple[str, str]:
    """Which file does not do, though each of them is there and looks right."""
    if tls.ca is not None:
        try:
            trusting(tls.ca)
        except (OSError, ValueError):
            return "ca", f"The certificates in {printable(tls.ca, 200)} are damaged."
    key, cert = (printable(path or "", 200) for path in (tls.key, tls.cert))
    if "MISMATCH" in str(error):
        return "key", f"The key in {key} does not belong to the certificate in {cert}."
    return "cert", f"The certificate in {cert} or the key in {key} is damaged."


# ---- contexts made of them ----------------------------------------------------------------------------------------
class TlsUnusable(Exception):
    """The files of a setting cannot be used; the message says why."""


@dataclass(slots=True)
class _Kept:
    context: ssl.SSLContext
    stamp: _Stamp
    checked_at: float


class TlsContexts:
    """The context of each setting, as its files are now."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[TlsSettings, _Kept] = {}

    def context(self, tls: TlsSettings) -> ssl.SSLContext:
        """`TlsUnusable` if there never was a usable one."""
        now = self._monotonic()
        kept = self._kept.get(tls)
        if kept is None:
            stamp = _stamp(tls)
            kept = self._kept[tls] = _Kept(_made(tls), stamp, now)
        elif now - kept.checked_at >= _CHECK_EVERY:
            kept.checked_at = now
            if (stamp := _stamp(tls)) != kept.stamp:
                kept.stamp = stamp
                self._renew(tls, kept)
        return kept.context

    def _renew(self, tls: TlsSettings, kept: _Kept) -> None:
        try:
            kept.context = _made(tls)
        except TlsUnusable as error:
            _log.warning(log_events.TLS_RELOAD_FAILED, error=str(error), note="the files as read before stay in use")
        else:
            _log.info(log_events.TLS_RELOADED, cert=tls.cert, ca=tls.ca)


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
