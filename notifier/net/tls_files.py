"""The files of a `tls:` setting: what is wrong with them, and when they end. Reads them.

`problems` says in sentences for the operator what is wrong; the check of the context itself stands behind it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from notifier.domain.settings import TlsSettings
from notifier.net.certificates import Certificate, from_pem
from notifier.net.tls_context import context_for, trusting
from notifier.text.printable import printable

#: Bytes of a file at most; the largest bundles have a quarter of it.
_LIMIT: Final = 1024 * 1024
_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_LOCKED: Final = (b"ENCRYPTED",)
#: Days before its end from which a file is warned of.
_SOON: Final = 30


def paths(tls: TlsSettings) -> dict[str, str]:
    """The files that it names, by key."""
    named = {"cert": tls.cert, "key": tls.key, "ca": tls.ca}
    return {name: path for name, path in named.items() if path is not None}


# ---- what is wrong ------------------------------------------------------------------------------------------------
def problems(tls: TlsSettings) -> list[tuple[str, str]]:
    """What is wrong with the files of `tls`: (cert, key or ca; a sentence). Empty where a context can be made."""
    wrong = list(_wrong_files(tls))
    if wrong:
        return wrong
    try:
        context_for(tls)
    except (OSError, ValueError) as error:
        return [_unfit(tls, error)]
    return []


def _wrong_files(tls: TlsSettings) -> Iterator[tuple[str, str]]:
    for name, path in paths(tls).items():
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
            trusting(tls.ca)
        except (OSError, ValueError):
            return "ca", f"The certificates in {printable(tls.ca, 200)} are damaged."
    key, cert = (printable(path or "", 200) for path in (tls.key, tls.cert))
    if "MISMATCH" in str(error):
        return "key", f"The key in {key} does not belong to the certificate in {cert}."
    return "cert", f"The certificate in {cert} or the key in {key} is damaged."


# ---- when the files end -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """From when to when one file of a setting is of use."""

    #: cert or ca.
    key: str
    path: str
    starts: datetime
    ends: datetime

    def says(self, now: datetime) -> str:
        """When it ends or ended, as the end of a sentence."""
        if now < self.starts:
            return f"not valid before {self.starts:%Y-%m-%d %H:%M} UTC"
        if now >= self.ends:
            return f"expired on {self.ends:%Y-%m-%d}: renew it"
        days = (self.ends - now).days
        return f"ends on {self.ends:%Y-%m-%d}" + (
            f", in {days} day{'' if days == 1 else 's'}" if days < 2 * _SOON else ""
        )

    def usable(self, now: datetime) -> bool:
        return self.starts <= now < self.ends

    def ends_soon(self, now: datetime) -> bool:
        return (self.ends - now).days < _SOON


def terms(tls: TlsSettings) -> list[Term]:
    """Of each file of `tls` that holds certificates. What cannot be read is left out: `problems` tells of it.

    `cert` is of use while all of its chain is, `ca` while one of its certificates is.
    """
    found = []
    for key, path in paths(tls).items():
        if key != "key" and (held := _certificates(path)):
            latest, earliest = (max, min) if key == "cert" else (min, max)
            starts, ends = latest(each.starts for each in held), earliest(each.ends for each in held)
            found.append(Term(key=key, path=path, starts=starts, ends=ends))
    return found


def _certificates(path: str) -> list[Certificate]:
    with suppress(OSError, ValueError):
        return from_pem(_content(path))
    return []
