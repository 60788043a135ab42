"""Tells when the files of `tls:` end, and that this machine trusts nobody: before attempts fail for it.

At the start and at each reload every file is told of. While the daemon runs, only what changes: a file that comes near
its end, that ends, or that was renewed. What is of no use any more is a trouble of the daemon's until it is mended.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from notifier.domain.settings import Settings, TlsSettings
from notifier.net.certificates import Certificate, from_pem
from notifier.net.tls import no_trust
from notifier.net.tls_files import MAX_BYTES, paths
from notifier.runtime import log_events
from notifier.runtime.health import Health
from notifier.text.reader import FileRefused, read_regular_file

_log = structlog.get_logger()

_TRUST: Final = "CA certificates"
#: Days before its end from which a file is warned of.
_SOON: Final = 30


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
    with suppress(FileRefused, ValueError):
        return from_pem(read_regular_file(path, MAX_BYTES))
    return []


def files(settings: Settings) -> Iterator[tuple[str, str, Term]]:
    """Endpoint, place in the configuration and term of each file."""
    for name, endpoint in settings.endpoints.items():
        for term in terms(endpoint.tls) if endpoint.tls else ():
            yield name, f"endpoints.{name}.tls.{term.key}", term


def lacking_trust(settings: Settings) -> str:
    """Why some https of the configuration can reach nobody; empty where all is well."""
    wanted = any(each.base_url.startswith("https:") for each in settings.providers.values()) or any(
        each.url.startswith("https:") and not (each.tls and each.tls.ca) for each in settings.endpoints.values()
    )
    return no_trust(os.environ) if wanted or settings.callbacks else ""


class Terms:
    """What was told, so that it is told once."""

    def __init__(self, health: Health) -> None:
        self._health = health
        #: How each file stood when it was told of, by its place.
        self._told: dict[str, str] = {}

    def tell_all(self, settings: Settings, now: datetime) -> None:
        """Every file, and whether anybody is trusted."""
        for part in self._told:
            self._health.clear(part)
        self._told.clear()
        if why := lacking_trust(settings):
            self._health.trouble(_TRUST, why)
            _log.error(log_events.TLS_NO_CA_CERTIFICATES, error=why)
        else:
            self._health.clear(_TRUST)
        self.tell_changes(settings, now)

    def tell_changes(self, settings: Settings, now: datetime) -> None:
        """The files that stand otherwise than when they were told of."""
        for name, place, term in files(settings):
            standing = _standing(term, now)
            if self._told.get(place) != standing:
                self._told[place] = standing
                self._tell(name, place, term, now)

    def _tell(self, name: str, place: str, term: Term, now: datetime) -> None:
        if term.usable(now):
            self._health.clear(place)
            log = _log.warning if term.ends_soon(now) else _log.info
        else:
            self._health.trouble(place, f"{term.path} {term.says(now)}")
            log = _log.error
        log(log_events.TLS_EXPIRY, endpoint=name, file=term.key, path=term.path, note=term.says(now))


def _standing(term: Term, now: datetime) -> str:
    word = "over" if not term.usable(now) else "soon" if term.ends_soon(now) else "well"
    return f"{word} {term.ends.isoformat()}"
