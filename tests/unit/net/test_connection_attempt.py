"""That nothing could be connected to: every address that was tried is named, with what came of it."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from notifier.net.connection_attempt import ConnectionAttempt, not_connected
from notifier.net.transport import AiohttpTransport
from notifier.net.transport_errors import DeadlinePassed

#: Every test runs on each of these event loops.
LOOPS = ("asyncio", "uvloop")


class Resolver(AbstractResolver):
    """Every name leads to these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def free_port() -> int:
    """One at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@contextmanager
def hanging() -> Iterator[int]:
    """A port of 127.0.0.1 whose queue is full: a connect to it is never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


def post(
    port: int, *, host: str = "app.example.test", attempt: ConnectionAttempt | None = None, total: float = 10.0
) -> httpx.Request:
    extensions = {"timeout": {"total": total}, "connection_attempt": attempt or ConnectionAttempt()}
    return httpx.Request("POST", f"http://{host}:{port}/", content=b"{}", extensions=extensions)


async def test_every_address_that_refused_is_named() -> None:
    """Not only the last one."""
    port = free_port()
    async with AiohttpTransport(resolver=Resolver("127.0.0.1", "127.0.0.2", "127.0.0.3")) as wire:
        with pytest.raises(httpx.ConnectError) as caught:
            await wire.handle_async_request(post(port))
    assert str(caught.value) == f"connection refused: 127.0.0.1:{port}, 127.0.0.2:{port}, 127.0.0.3:{port}"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("addresses", [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
@pytest.mark.parametrize("place", ["127.0.0.1", "::1"])
async def test_of_two_kinds_of_addresses_the_one_that_answers_is_taken(addresses: tuple[str, str], place: str) -> None:
    """Whichever it is, and in whichever order they are found; without any, both are named."""
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.create_server((place, 0), family=family) as listening:
        port = listening.getsockname()[1]
        async with AiohttpTransport(resolver=Resolver(*addresses)) as wire, anyio.create_task_group() as tasks:
            tasks.start_soon(answer, listening)
            assert (await wire.handle_async_request(post(port))).status_code == 204
    async with AiohttpTransport(resolver=Resolver(*addresses)) as wire:
        with pytest.raises(httpx.ConnectError) as caught:
            await wire.handle_async_request(post(port))
    shown = {"127.0.0.1": f"127.0.0.1:{port}", "::1": f"[::1]:{port}"}
    assert str(caught.value) == f"connection refused: {shown[addresses[0]]}, {shown[addresses[1]]}"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize(("named", "place"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
@pytest.mark.parametrize("host", ["localhost", "localhost."])
async def test_localhost_is_both_loopback_addresses(named: str, place: str, host: str) -> None:
    """Though /etc/hosts has one of them alone; if nobody listens, both are named."""
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.create_server((place, 0), family=family) as listening:
        port = listening.getsockname()[1]
        async with AiohttpTransport(resolver=Resolver(named)) as wire, anyio.create_task_group() as tasks:
            tasks.start_soon(answer, listening)
            assert (await wire.handle_async_request(post(port, host=host))).status_code == 204
    async with AiohttpTransport(resolver=Resolver(named)) as wire:
        with pytest.raises(httpx.ConnectError) as caught:
            await wire.handle_async_request(post(port, host=host))
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert f"[::1]:{port}" in str(caught.value)


async def test_a_loopback_address_that_nobody_wrote_is_left_out_where_it_is_refused() -> None:
    """What the name leads to is allowed, and the other address is not connected to."""
    with hanging() as port:
        listed = AiohttpTransport(
            resolver=Resolver("127.0.0.1"), guard=lambda each: "no" if each.version == 6 else None
        )
        async with listed as wire:
            with pytest.raises(DeadlinePassed) as caught:
                await wire.handle_async_request(post(port, host="localhost", total=0.05))
    assert str(caught.value) == f"no connection in time: 127.0.0.1:{port}"


async def answer(listening: socket.socket) -> None:
    def talk() -> None:
        with listening.accept()[0] as one:
            one.recv(65_536)
            one.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    await anyio.to_thread.run_sync(talk)


async def test_an_address_that_hangs_is_named_when_time_runs_out() -> None:
    """By the transport's own deadline, and to a caller whose time ends first."""
    with hanging() as port:
        async with AiohttpTransport(resolver=Resolver("127.0.0.1")) as wire:
            with pytest.raises(DeadlinePassed) as caught:
                await wire.handle_async_request(post(port, total=0.05))
            assert str(caught.value) == f"no connection in time: 127.0.0.1:{port}"
            seen = ConnectionAttempt()
            with anyio.move_on_after(0.05):
                await wire.handle_async_request(post(port, attempt=seen))
            assert seen.waits
            assert seen.tried == {f"127.0.0.1:{port}": None}


async def test_an_address_that_hangs_holds_up_no_other() -> None:
    """The next one is tried beside it."""
    with hanging() as port, socket.create_server(("127.0.0.2", port)) as listening:
        resolver = Resolver("127.0.0.1", "127.0.0.2")
        async with AiohttpTransport(resolver=resolver) as wire, anyio.create_task_group() as tasks:
            tasks.start_soon(answer, listening)
            assert (await wire.handle_async_request(post(port))).status_code == 204


@pytest.mark.parametrize(
    ("tried", "says"),
    [
        (
            {"127.0.0.1:80": errno.ECONNREFUSED, "[::1]:80": errno.ECONNREFUSED},
            "connection refused: 127.0.0.1:80, [::1]:80",
        ),
        (
            {"[::1]:80": errno.EADDRNOTAVAIL, "127.0.0.1:80": errno.ECONNREFUSED},
            "connection refused: 127.0.0.1:80; no IPv6 on this machine: [::1]:80",
        ),
        ({"[2001:db8::1]:80": errno.EAFNOSUPPORT}, "no IPv6 on this machine: [2001:db8::1]:80"),
        (
            {"192.0.2.1:80": errno.EHOSTUNREACH, "192.0.2.2:80": None},
            "no route to the host: 192.0.2.1:80; no connection in time: 192.0.2.2:80",
        ),
        ({"192.0.2.1:80": 9999}, "the connect failed: 192.0.2.1:80"),
        (
            {f"192.0.2.{number}:80": errno.ETIMEDOUT for number in range(10)},
            "no answer to the connect: " + ", ".join(f"192.0.2.{number}:80" for number in range(8)) + " and 2 more",
        ),
    ],
)
def test_what_came_of_each_address_is_told(tried: dict[str, int | None], says: str) -> None:
    """By what the system said, without its numbers; what this machine lacks comes last."""
    assert not_connected(tried) == says
