"""Servers of this machine that say byte for byte what a test wants, and a transport that talks to them."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from notifier.net.transport import AiohttpTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream: ByteStream, number: int) -> None:
        self.stream = stream
        #: 1 for the first connection to this server.
        self.number = number
        self._buffer = b""

    async def request(self) -> bytes:
        """One whole request; EndOfStream where the client has gone."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self.stream.receive()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        length = lengths[0] if lengths else 0
        while len(rest) < length:
            rest += await self.stream.receive()
        self._buffer = rest[length:]
        return head + b"\r\n\r\n" + rest[:length]

    async def send(self, content: bytes) -> None:
        await self.stream.send(content)

    async def gone(self) -> None:
        """Wait until the client drops the connection."""
        with suppress(*BROKEN):
            while True:
                await self.stream.receive()


Talk = Callable[[Peer], Awaitable[None]]


class Server:
    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0

    def url(self, path: str = "/", *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@asynccontextmanager
async def serving(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    server = Server(tcp.extra(SocketAttribute.local_port))

    async def connected(stream: ByteStream) -> None:
        server.connections += 1
        with suppress(*BROKEN):
            async with stream:
                await talk(Peer(stream, server.connections))

    listener = tcp if tls is None else TLSListener(tcp, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connected)
        yield server
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def wired(**options: Any) -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(**options)
    try:
        yield transport
    finally:
        await transport.aclose()


def answering(*replies: bytes) -> Talk:
    """Each request on a connection gets the next reply; then the connection is closed."""

    async def talk(peer: Peer) -> None:
        for reply in replies:
            await peer.request()
            await peer.send(reply)

    return talk


def post(url: str, *, total: float = 10.0, **options: Any) -> httpx.Request:
    extensions = {"timeout": {"total": total}} | options.pop("extensions", {})
    return httpx.Request("POST", url, content=b'{"a":1}', extensions=extensions, **options)


async def exchange(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> tuple[httpx.Response, bytes]:
    response = await transport.handle_async_request(request)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        return response, b"".join([chunk async for chunk in response.stream])
    finally:
        await response.aclose()


class Resolver(AbstractResolver):
    """Answers with the next list of addresses each time; the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.calls = 0

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.calls += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not addresses:
            raise OSError(None, "no such name")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass
