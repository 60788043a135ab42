"""The current configuration, and what the parts ask it. A reload replaces it whole."""

from notifier.config import known, known_to_drop
from notifier.delivery.policies import Endpoints
from notifier.domain.model import EndpointDirectory
from notifier.domain.settings import Settings
from notifier.net.address_policy import refusal
from notifier.net.urls import Address


class Configured:
    """Parts hold this object or its methods, so each of them sees a reload at once."""

    def __init__(self, settings: Settings) -> None:
        self.take(settings)

    def take(self, settings: Settings) -> None:
        self.settings = settings
        #: What a watch may name; in a drop file the defaults of `drop:` count.
        self.known = known(settings)
        self.known_to_drop = known_to_drop(settings)
        self.endpoints = Endpoints(settings.endpoints, settings.callbacks, operator=settings.operator)

    def directory(self) -> EndpointDirectory:
        return self.endpoints.directory()

    def guard_named(self, address: Address) -> str | None:
        """Why nothing may be sent to `address` for a URL that the configuration names."""
        return refusal(address, guarded=False, allow=self.endpoints.allow)

    def guard_callbacks(self, address: Address) -> str | None:
        """Why nothing may be sent to `address` for a callback URL of a watch."""
        return refusal(address, guarded=True, allow=self.endpoints.allow)
