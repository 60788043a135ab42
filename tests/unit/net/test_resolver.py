"""Look-ups of names: one that hangs costs only itself."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import ByteStream, SocketAttribute

from notifier.net.resolver import Found, SystemResolver, look_up
from notifier.net.transport import AiohttpTransport
from notifier.net.transport_errors import NameNotResolved

LOCAL: Found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


class Servers:
    """Name servers of the test's: names that begin with "stuck" are answered when it says so."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked: list[str] = []

    def look_up(self, host: str, _port: int, _family: int) -> Found:
        self.asked.append(host)
        if host.startswith("stuck"):
            self.open.wait(30)
        if host.startswith("none"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return LOCAL


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.open.set()


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """A server that answers one request on each connection."""

    async def talk(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def status(wire: AiohttpTransport, url: str, found: list[Any] | None = None) -> int:
    response = await wire.handle_async_request(httpx.Request("GET", url))
    await response.aclose()
    if found is not None:
        found.append(url)
    return response.status_code


async def test_names_that_hang_keep_no_other_waiting(servers: Servers) -> None:
    """A hundred of them are being looked up; another name is answered at once, and they are when they can be."""
    found: list[str] = []
    async with listening() as port, AiohttpTransport(resolver=SystemResolver(servers.look_up)) as wire:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(status, wire, f"http://stuck{number}.example.test:{port}/", found)
            while len(servers.asked) < 100:  # noqa: ASYNC110  threads ring no event
                await anyio.sleep(0.001)
            assert await status(wire, f"http://well.example.test:{port}/") == 204
            assert not found
            servers.open.set()
        assert len(found) == 100


async def test_a_name_that_leads_nowhere_says_so(servers: Servers) -> None:
    """The error of the system's resolver is the answer."""
    async with AiohttpTransport(resolver=SystemResolver(servers.look_up)) as wire:
        with pytest.raises(NameNotResolved, match="Name or service not known"):
            await status(wire, "http://none.example.test/")


async def test_a_look_up_that_nobody_waits_for_does_no_harm(servers: Servers) -> None:
    """Its attempt was given up; the late answer, or error, is thrown away."""
    for name in ("stuck.example.test", "stuck-none.example.test"):
        with anyio.move_on_after(0.01) as scope:
            await SystemResolver(servers.look_up).resolve(name, 80)
        assert scope.cancelled_caught
    servers.open.set()
    assert await SystemResolver(servers.look_up).resolve("well.example.test", 80)


@pytest.mark.parametrize(
    ("host", "asked"), [("localhost", "localhost"), ("localhost.", "localhost"), ("app.test.", "app.test."), ("a", "a")]
)
def test_every_address_is_asked_for(monkeypatch: pytest.MonkeyPatch, host: str, asked: str) -> None:
    """No flag hides ::1 of a machine without another IPv6 address; a final dot is kept, but of localhost."""
    calls: list[tuple[Any, ...]] = []

    def system(host: str, port: int, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0) -> Found:
        calls.append((host, port, family, kind, proto, flags))
        return LOCAL

    monkeypatch.setattr(socket, "getaddrinfo", system)
    assert look_up(host, 80, socket.AF_UNSPEC) == LOCAL
    assert calls == [(asked, 80, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, 0)]


async def test_the_systems_resolver_is_asked() -> None:
    """By default, for both kinds of addresses; what is answered is numeric."""
    found = await SystemResolver().resolve("localhost", 80)
    assert {result["host"] for result in found} <= {"127.0.0.1", "::1"}
    assert all(result["port"] == 80 and result["hostname"] == "localhost" for result in found)
