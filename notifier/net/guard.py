"""The guard of addresses: no name is connected to that leads to a refused one, and no address unasked.

`localhost` is both 127.0.0.1 and ::1 (RFC 6761), even if the machine's files name only one of them: a server of this
machine is found at either. The one that is added is left out if it is refused, because nobody wrote it.
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.net.transport_errors import GuardRefusedError

Address = IPv4Address | IPv6Address
#: Why an address may not be connected to, as one line; None where it may.
Guard = Callable[[Address], str | None]


_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


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
        if host.removesuffix(".") != "localhost" or family != socket.AF_UNSPEC:
            return found
        return [*found, *self._other_loopback(host, port, {ip_address(result["host"]).version for result in found})]

    def _other_loopback(self, host: str, port: int, versions: set[int]) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in _LOOPBACK.items()
            if ip_address(address).version not in versions and not (self._guard and self._guard(ip_address(address)))
        ]

    async def close(self) -> None:
        await self._resolver.close()


def ask(guard: Guard | None, address: str) -> None:
    reason = guard(ip_address(address)) if guard else None
    if reason:
        raise GuardRefusedError(reason)
