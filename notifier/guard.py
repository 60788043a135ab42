"""The guard of addresses: no name is connected to that leads to a refused one, and no address unasked."""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.transport_errors import GuardRefusedError

Address = IPv4Address | IPv6Address
#: Why an address may not be connected to, as one line; None where it may.
Guard = Callable[[Address], str | None]


class CheckedResolver(AbstractResolver):
    """Looks a name up and refuses it whole if one of its addresses is refused."""

    def __init__(self, resolver: AbstractResolver, guard: Guard | None) -> None:
        self._resolver = resolver
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            ask(self._guard, result["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def ask(guard: Guard | None, address: str) -> None:
    reason = guard(ip_address(address)) if guard else None
    if reason:
        raise GuardRefusedError(reason)
