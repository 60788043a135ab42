"""When the certificates of `tls:` files expire, and whether this machine trusts any CA: reported before attempts fail.

At the start and at each reload every file is reported. While the daemon runs, only changes are: a file that will expire
soon, one that expired, one that was renewed. A file that is of no use now is a trouble of the daemon's until it is
replaced.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from notifier.domain.settings import Settings, TlsSettings
from notifier.net.certificates import from_pem
from notifier.net.tls import no_trust
from notifier.net.tls_files import MAX_BYTES, paths
from notifier.runtime import log_events
from notifier.runtime.health import Health
from notifier.text.reader import FileRefused, read_regular_file

_log = structlog.get_logger()

_TRUST: Final = "CA certificates"
#: Days before its expiry from which a file is warned of.
_SOON: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
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
        left = f", in {days} day{'' if days == 1 else 's'}" if days < 2 * _SOON else ""
        return f"ends on {self.ends:%Y-%m-%d}{left}"

    def usable(self, now: datetime) -> bool:
        return self.starts <= now < self.ends

    def ends_soon(self, now: datetime) -> bool:
        return (self.ends - now).days < _SOON


def validities(tls: TlsSettings) -> list[Validity]:
    """Of each file of `tls` that has certificates. A file that cannot be read is left out: `tls_files.problems` has it.

    `cert` is of use while all of its chain is, `ca` while one of its certificates is.
    """
    found = []
    for key, path in paths(tls).items():
        with suppress(FileRefused, ValueError):
            if key != "key" and (certificates := from_pem(read_regular_file(path, MAX_BYTES))):
                latest, earliest = (max, min) if key == "cert" else (min, max)
                starts, ends = (each.starts for each in certificates), (each.ends for each in certificates)
                found.append(Validity(key=key, path=path, starts=latest(starts), ends=earliest(ends)))
    return found


def certificate_files(settings: Settings) -> Iterator[tuple[str, str, Validity]]:
    """Endpoint, place in the configuration and validity of each file."""
    for name, endpoint in settings.endpoints.items():
        for validity in validities(endpoint.tls) if endpoint.tls else ():
            yield name, f"endpoints.{name}.tls.{validity.key}", validity


def lacking_trust(settings: Settings) -> str:
    """Why https requests of the configuration cannot be verified; empty if they can."""
    wanted = any(each.base_url.startswith("https:") for each in settings.providers.values()) or any(
        each.url.startswith("https:") and not (each.tls and each.tls.ca) for each in settings.endpoints.values()
    )
    return no_trust(os.environ) if wanted or settings.callbacks else ""


class ExpiryReports:
    """Reports each change once."""

    def __init__(self, health: Health) -> None:
        self._health = health
        #: What each file was reported as, by its place in the configuration.
        self._reported: dict[str, tuple[bool, bool, datetime]] = {}

    def report_all(self, settings: Settings, now: datetime) -> None:
        """Report every file, and whether any CA is trusted."""
        for place in self._reported:
            self._health.clear(place)
        self._reported.clear()
        if why := lacking_trust(settings):
            self._health.trouble(_TRUST, why)
            _log.error(log_events.TLS_NO_CA_CERTIFICATES, error=why)
        else:
            self._health.clear(_TRUST)
        self.report_changes(settings, now)

    def report_changes(self, settings: Settings, now: datetime) -> None:
        """The files that are not any more as they were reported."""
        for name, place, file in certificate_files(settings):
            usable, soon = file.usable(now), file.ends_soon(now)
            if self._reported.get(place) == (usable, soon, file.ends):
                continue
            self._reported[place] = (usable, soon, file.ends)
            if usable:
                self._health.clear(place)
            else:
                self._health.trouble(place, f"{file.path} {file.says(now)}")
            log = _log.error if not usable else _log.warning if soon else _log.info
            log(log_events.TLS_EXPIRY, endpoint=name, file=file.key, path=file.path, note=file.says(now))
