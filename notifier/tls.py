"""TLS of one endpoint: its own certificate, and whose certificates are trusted. Reads the files and watches them.

Rules: one context for each setting, so that what is pooled under a context never serves another setting. A file that
changed (its time, its size, another file in its place) makes a new context at the next attempt, at most once a second:
a certificate may be renewed while the daemon runs, without a reload. While the files do not fit together, because one
of them is written and the other one not yet, the last ones that did go on.

`problems` says in sentences for the operator what is wrong with a setting; the context's own check stands behind it.
"""

import os
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from notifier import telemetry
from notifier.intake.text import printable
from notifier.settings import TlsSettings

_log = structlog.get_logger()

#: Bytes of a file at most; the largest bundles have a quarter of it.
_LIMIT: Final = 1024 * 1024
#: Seconds between two looks at the files of one setting.
_LOOK_AGAIN: Final = 1.0
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_LOCKED: Final = (b"ENCRYPTED",)

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
            _log.warning(telemetry.TLS_KEPT, error=str(error), note="what was read before goes on")
        else:
            _log.info(telemetry.TLS_RENEWED, cert=tls.cert, ca=tls.ca)


def _stamp(tls: TlsSettings) -> _Stamp:
    return tuple(map(_stamp_of, _paths(tls).values()))


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116  this is asked once a second for each setting
        return found.st_mtime_ns, found.st_size, found.st_ino
    return None


def _paths(tls: TlsSettings) -> dict[str, str]:
    named = {"cert": tls.cert, "key": tls.key, "ca": tls.ca}
    return {name: path for name, path in named.items() if path is not None}


def _made(tls: TlsSettings) -> ssl.SSLContext:
    """`TlsUnusable` with the first thing that is wrong."""
    for _, sentence in problems(tls):
        raise TlsUnusable(sentence)
    return _context(tls)


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert is not None:
        # Without any password OpenSSL would ask the terminal for one.
        context.load_cert_chain(tls.cert, tls.key, password="")
    return context


def problems(tls: TlsSettings) -> list[tuple[str, str]]:
    """What is wrong with the files of `tls`: (cert, key or ca; a sentence). Empty where a context can be made."""
    wrong = list(_wrong_files(tls))
    if wrong:
        return wrong
    try:
        _context(tls)
    except (OSError, ValueError) as error:
        return [_unfit(tls, error)]
    return []


def _wrong_files(tls: TlsSettings) -> Iterator[tuple[str, str]]:
    for name, path in _paths(tls).items():
        shown = printable(path, 200)
        try:
            content = _content(path)
        except (OSError, ValueError) as error:
            yield name, f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}."
            continue
        if name == "key" and any(word in content for word in _LOCKED) and _KEY in content:
            yield name, f"The key in {shown} needs a password. Write it without one, for notifier alone to read."
        elif (_KEY if name == "key" else _CERTIFICATE) not in content:
            noun = "private key" if name == "key" else "certificate"
            yield name, f"There is no {noun} in PEM form in {shown}. It begins with -----BEGIN."


def _content(path: str) -> bytes:
    """Only a regular file is read: a pipe could wait for ever."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  as above
        raise ValueError("it is not a regular file")
    with open(path, "rb") as opened:  # noqa: PTH123  as above
        content = opened.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise ValueError(f"it is larger than {_LIMIT // 1024} KiB")
    return content


def _unfit(tls: TlsSettings, error: Exception) -> tuple[str, str]:
    """Every file is there and looks right."""
    if tls.ca is not None:
        try:
            ssl.create_default_context(cafile=tls.ca)
        except (OSError, ValueError):
            return "ca", f"The certificates in {printable(tls.ca, 200)} are damaged."
    key, cert = (printable(path or "", 200) for path in (tls.key, tls.cert))
    if "MISMATCH" in str(error):
        return "key", f"The key in {key} does not belong to the certificate in {cert}."
    return "cert", f"The certificate in {cert} or the key in {key} is damaged."
