"""What the sources need of the registrar."""

from collections.abc import Sequence
from typing import Protocol

from notifier.domain.model import Registration, WatchRequest


class Registers(Protocol):
    async def register(
        self, requests: Sequence[WatchRequest], *, source: str, keep_first: bool = False, origins: Sequence[str] = ()
    ) -> list[Registration]:
        """All of `requests`, durably, or none: raises `InvalidWatch` or `StoreUnavailable`.

        `origins` says of each where it stands, where `source` is many places.
        """
        ...
