"""DNS: looks names up by the system's resolver, and refuses a name that leads to a refused address.

Each look-up has a thread of its own, so that one that hangs delays only its own name. Event loops share a few threads
among all look-ups (uvloop two), and `getaddrinfo` cannot be cancelled: two names whose servers do not answer would keep
every other name waiting, for half a minute. There are never many threads: connections are kept, a name that is being
looked up is not looked up twice, and no more are asked for than there are attempts in flight. A thread that still hangs
when the daemon ends is not waited for.

Every address of a name is asked for, A and AAAA, even if this machine has only one kind: no AI_ADDRCONFIG. That flag
hides ::1 in most containers, so that a server of the same machine is not found. And with it a name that has only AAAA
has no address: the look-up then continues through the search list, and may end at another host. The system sorts
addresses that this machine cannot reach last, so they cost nothing. (If name servers never answer AAAA, `options
no-aaaa` in /etc/resolv.conf is the cure for every program.)

`CheckedResolver` refuses a name as a whole if one of its addresses is refused; `address_policy` decides which are.
`localhost` is both 127.0.0.1 and ::1 (RFC 6761), even if the machine's files name only one of them: a server of this
machine is found at either. The added address is left out if it is refused, because no configuration names it.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.net.transport_errors import GuardRefusedError
from notifier.net.urls import Address

#: As `socket.getaddrinfo` answers: (family, kind, protocol, canonical name, address).
Found = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]
LookUp = Callable[[str, int, int], Found]
#: Why an address may not be connected to, as one line; None if it may.
Guard = Callable[[Address], str | None]

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_SHOWN: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def look_up(host: str, port: int, family: int) -> Found:
    """The system's answer."""
    # Resolvers do not find this name in /etc/hosts with its final dot; no search list acts on it (RFC 6761).
    name = "localhost" if host == "localhost." else host
    return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)


class SystemResolver(AbstractResolver):
    """Any number of look-ups at a time. `look_up` takes the place of the system's resolver; it may block."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """`OSError` if the name leads nowhere."""
        answer: Future[list[ResolveResult]] = Future()
        answer.set_running_or_notify_cancel()  # whoever waits may be cancelled, the thread cannot be

        def work() -> None:
            try:
                answer.set_result([_result(host, port, each) for each in self._look_up(host, port, family)])
            except Exception as error:  # noqa: BLE001  it is raised where the answer is awaited
                answer.set_exception(_no_descriptor() or error)

        try:
            threading.Thread(target=work, name="name", daemon=True).start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        return await asyncio.wrap_future(answer)

    async def close(self) -> None:
        pass


def _no_descriptor() -> OSError | None:
    """Why no look-up can work now: without a free descriptor the system says only that there is no such name."""
    try:
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error
    return None


def _result(host: str, port: int, found: tuple[int, int, int, str, tuple[Any, ...]]) -> ResolveResult:
    family, _, protocol, _, address = found
    shown = address[0]
    if family == socket.AF_INET6 and address[3]:  # a link-local address counts on one interface only
        shown, _ = socket.getnameinfo(address, _SHOWN)
    return ResolveResult(hostname=host, host=shown, port=port, family=family, proto=protocol, flags=_NUMERIC)


# ---- which addresses may be connected to --------------------------------------------------------------------------
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
            check_address(self._guard, result["host"])
        if host.removesuffix(".") != "localhost" or family != socket.AF_UNSPEC:
            return found
        versions = {ip_address(result["host"]).version for result in found}
        return found + [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in _LOOPBACK.items()
            if ip_address(address).version not in versions and not (self._guard and self._guard(ip_address(address)))
        ]

    async def close(self) -> None:
        await self._resolver.close()


def check_address(guard: Guard | None, address: str) -> None:
    """`GuardRefusedError` if this address may not be connected to."""
    if guard and (reason := guard(ip_address(address))):
        raise GuardRefusedError(reason)
