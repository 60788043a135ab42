"""Where we reach into aiohttp: what it offers no setting for. Each hook names what it relies on."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from notifier.transport_errors import EndlessInterimError, GuardRefusedError

Address = IPv4Address | IPv6Address
#: Why an address may not be connected to, as one line; None where it may.
Guard = Callable[[Address], str | None]

#: Interim (1xx) answers before the final one.
_INTERIM_LIMIT: Final = 16
_HEAD_END: Final = b"\r\n\r\n"


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


class CountedAnswer(aiohttp.ClientResponse):
    """aiohttp skips interim answers without end, and looks here at each of them for someone who waits for a 100."""

    _interim = 0

    @property
    def _continue(self) -> None:
        self._interim += 1
        if self._interim > _INTERIM_LIMIT:
            raise EndlessInterimError("interim answers without end")

    @_continue.setter
    def _continue(self, waiter: object) -> None:
        assert waiter is None, "nothing here sends Expect"


class _Protocol(ResponseHandler):
    """Two things that aiohttp gets wrong of answers that are malformed somewhere."""

    def data_received(self, data: bytes) -> None:
        """A head goes in alone: what came in one packet with something malformed is lost otherwise, whole or not."""
        end = data.find(_HEAD_END) + len(_HEAD_END)
        if len(_HEAD_END) <= end < len(data):
            super().data_received(data[:end])
            data = data[end:]
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """A malformed body is told to who waits for a head; its reader would wait for ever."""
        super().set_exception(exc, *cause)
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc)


def install(connector: aiohttp.TCPConnector) -> None:
    """Its connections are read by the protocol above; needs the running loop."""
    protocol: type[ResponseHandler] = _Protocol
    connector._factory = partial(protocol, loop=asyncio.get_running_loop())  # noqa: SLF001  there is no other way in
