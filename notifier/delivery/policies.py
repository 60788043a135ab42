"""The policy of an endpoint: the configured one, or one derived for a callback URL. Pure.

A callback URL's destination is its origin, and each origin has a key of its own, so that no receiver can sign for
another; a `whsk_` secret signs for all, because its public half may be known to everybody. A URL whose host and port
the operator lists in `callbacks.allow` is as trusted as a configured endpoint: it is not guarded, to whichever address
its name resolves. For every other URL the full list of refused addresses holds.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final

from notifier.delivery.signature import callback_secret
from notifier.domain.ids import Destination, EndpointIdentity
from notifier.domain.model import EndpointDirectory, Format
from notifier.domain.settings import CallbackSettings, EndpointSettings, Secret
from notifier.net.address_policy import Allow, parse_allow
from notifier.net.urls import origin

#: Derived policies and keys that are cached; deriving one more costs microseconds.
_KEPT: Final = 4096
_NO_CALLBACKS: Final = "a policy is derived only if callbacks are configured"


class Endpoints:
    """Every endpoint of one configuration. A reload makes a new one."""

    def __init__(
        self,
        endpoints: Mapping[str, EndpointSettings],
        callbacks: CallbackSettings | None,
        *,
        operator: str | None = None,
    ) -> None:
        #: The configured ones, by name.
        self.named: Mapping[str, EndpointSettings] = dict(endpoints)
        #: The endpoint that gets notices about the health of the others; None if there is none.
        self.operator = None if operator is None else self.named[operator]
        self._callbacks = callbacks
        self.allow: Allow = parse_allow(() if callbacks is None else callbacks.allow)
        self._key = lru_cache(maxsize=_KEPT)(self._derive_key)
        self._derived = lru_cache(maxsize=_KEPT)(self._derive)

    def policy(self, identity: EndpointIdentity) -> EndpointSettings | None:
        """The policy of this endpoint now; None if it is not configured (any more)."""
        if "://" in identity:
            return None if self._callbacks is None else self._derived(identity)
        return self.named.get(identity)

    def plain(self, destination: Destination) -> EndpointSettings:
        """The policy of every callback URL's destination: the defaults, and what `callbacks:` says."""
        defaults = EndpointSettings(identity=EndpointIdentity(destination), destination=destination, url="", secrets=())
        return defaults if self._callbacks is None else replace(defaults, refresh_after=self._callbacks.refresh_after)

    def directory(self) -> EndpointDirectory:
        """The part that decides whether and how a message is sent."""
        events = {name: settings.events for name, settings in self.named.items()}
        waits = {name: settings.retry[0] for name, settings in self.named.items() if settings.retry[0]}
        formats = {name: each.format for name, each in self.named.items() if each.format is not Format.STANDARD}
        return EndpointDirectory(
            events=events,
            callbacks=self._callbacks is not None,
            first_wait=waits,
            formats=formats,
            callback_format=Format.STANDARD if self._callbacks is None else self._callbacks.format,
        )

    def _derive(self, identity: EndpointIdentity) -> EndpointSettings:
        assert self._callbacks is not None, _NO_CALLBACKS
        destination = Destination(origin(identity))
        return EndpointSettings(
            identity=identity,
            destination=destination,
            url=identity,
            secrets=(self._key(destination),),
            guarded=not self.allow.names(identity),
            refresh_after=self._callbacks.refresh_after,
        )

    def _derive_key(self, destination: Destination) -> Secret:
        assert self._callbacks is not None, _NO_CALLBACKS
        master = self._callbacks.secret
        return master if master.reveal().startswith("whsk_") else callback_secret(master, destination)
