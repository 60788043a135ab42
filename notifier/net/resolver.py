"""Looks names up by the system's resolver, so that a name whose look-up hangs costs only itself.

Why: event loops share a handful of threads among all look-ups (uvloop two), and `getaddrinfo` cannot be called back:
two names whose servers do not answer would keep every other one waiting, for half a minute. Here each look-up has a
thread of its own. There are never many: answers are kept for some seconds, connections longer, a name that is being
looked up is not looked up twice, and no more are asked for than there are attempts in flight.

A thread that still hangs when the daemon ends is not waited for.

`CheckedResolver` refuses a name whole if one of its addresses is refused (`Guard`; which addresses those are is decided
by `address_policy`). `localhost` is both 127.0.0.1 and ::1 (RFC 6761), even if the machine's files name only one of
them: a server of this machine is found at either. The one that is added is left out if it is refused, because nobody
wrote it.

Every address of a name is asked for, A and AAAA, whatever addresses this machine has: no AI_ADDRCONFIG. That flag
hides ::1 of most containers, so that a server of the same machine is not found. And of a name that has AAAA alone it
makes one that has none: the look-up then goes on through the search list, and may end at another host. What this
machine cannot reach the system puts last, so it costs nothing. (Where name servers never answer AAAA, `options no-aaaa`
in /etc/resolv.conf is the cure for every program.)
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        """`OSError` where the name leads nowhere."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def work() -> None:
            try:
                found = [_result(host, port, each) for each in self._look_up(host, port, family)]
            except Exception as error:  # noqa: BLE001  it is raised where the answer is awaited
                _tell(loop, answer, _lacking() or error)
            else:
                _tell(loop, answer, found)

        try:
            threading.Thread(target=work, name="name", daemon=True).start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        return await answer

    async def close(self) -> None:
        pass


def _lacking() -> OSError | None:
    """Why no look-up can work now: without a descriptor the system says only that there is no such name."""
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


def _tell(
    loop: asyncio.AbstractEventLoop,
    answer: "asyncio.Future[list[ResolveResult]]",
    said: list[ResolveResult] | Exception,
) -> None:
    """From the thread: nobody waits any more where the attempt, or the daemon, has ended."""

    def settle() -> None:
        if answer.done():
            return
        if isinstance(said, Exception):
            answer.set_exception(said)
        else:
            answer.set_result(said)

    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(settle)


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
        return [*found, *self._other_loopback(host, port, {ip_address(result["host"]).version for result in found})]

    def _other_loopback(self, host: str, port: int, versions: set[int]) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in _LOOPBACK.items()
            if ip_address(address).version not in versions and not (self._guard and self._guard(ip_address(address)))
        ]

    async def close(self) -> None:
        await self._resolver.close()


def check_address(guard: Guard | None, address: str) -> None:
    """`GuardRefusedError` if this address may not be connected to."""
    reason = guard(ip_address(address)) if guard else None
    if reason:
        raise GuardRefusedError(reason)
