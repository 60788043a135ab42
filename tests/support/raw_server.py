"""A server of raw bytes on this machine, for tests of what servers do that no server should; and what it costs us."""

import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio.abc import SocketAttribute, SocketStream

BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@dataclass(slots=True, kw_only=True)
class Raw:
    """Who talks to us."""

    port: int
    connections: int = 0
    #: Set each time a connection is over on our side.
    over: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


#: What is done with a connection once a first part of a request has come.
Talk = Callable[[SocketStream], Awaitable[None]]


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[Raw]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    server = Raw(port=listener.extra(SocketAttribute.local_port))

    async def connected(stream: SocketStream) -> None:
        server.connections += 1
        with suppress(*BROKEN):
            async with stream:
                await stream.receive()
                await talk(stream)
        server.over.set()

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connected)
        yield server
        tasks.cancel_scope.cancel()


# ---- what servers do ----------------------------------------------------------------------------------------------
def saying(*parts: bytes) -> Talk:
    """These bytes, and the connection is closed."""

    async def talk(stream: SocketStream) -> None:
        for part in parts:
            await stream.send(part)

    return talk


def hanging_after(*parts: bytes) -> Talk:
    """These bytes, and nothing more until the other side goes away."""

    async def talk(stream: SocketStream) -> None:
        for part in parts:
            await stream.send(part)
        with suppress(*BROKEN):
            while True:
                await stream.receive()

    return talk


def flooding(part: bytes, *before: bytes) -> Talk:
    """The same bytes for ever, as fast as they are taken."""

    async def talk(stream: SocketStream) -> None:
        for each in before:
            await stream.send(each)
        while True:
            await stream.send(part)

    return talk


def dripping(part: bytes, *before: bytes) -> Talk:
    """The same bytes for ever, a little now and then: every one of them is progress."""

    async def talk(stream: SocketStream) -> None:
        for each in before:
            await stream.send(each)
        while True:
            await stream.send(part)
            await anyio.sleep(0.005)  # the server's own pace

    return talk


def resetting_after(*parts: bytes) -> Talk:
    """These bytes, and the connection is torn down."""

    async def talk(stream: SocketStream) -> None:
        for part in parts:
            await stream.send(part)
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return talk


# ---- what it costs, and where names lead --------------------------------------------------------------------------
@contextmanager
def held_below(limit: int) -> Iterator[None]:
    """Fails where more than `limit` bytes were held at any moment of the block, over those held before it."""
    tracemalloc.start()
    try:
        yield
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < limit, f"{most:,} bytes were held"


class Names(AbstractResolver):
    """Leads every name to this machine; none while it is `gone`."""

    def __init__(self) -> None:
        self.gone = False
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.gone:
            raise OSError(None, "Temporary failure in name resolution")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass
