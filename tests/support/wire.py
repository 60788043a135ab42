"""Receivers on real sockets of this machine, for what only the wire can show: a server that drips, floods or moves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import ByteStream, SocketAttribute

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@dataclass(slots=True, kw_only=True)
class Requested:
    """One request as it came over the wire."""

    #: Method and target, e.g. "POST /hooks".
    line: str
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream: ByteStream, number: int, heard: list[Requested]) -> None:
        self._stream = stream
        #: 1 for the first connection to this server.
        self.number = number
        self._heard = heard
        self._buffer = b""

    async def request(self) -> Requested:
        """One whole request."""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self._stream.receive()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        length = sum(lengths)
        while len(rest) < length:
            rest += await self._stream.receive()
        self._buffer = rest[length:]
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        self._heard.append(Requested(line=f"{method} {target}", body=rest[:length]))
        return self._heard[-1]

    async def send(self, content: bytes) -> None:
        await self._stream.send(content)

    async def answer_all(self, reply: bytes = NO_CONTENT) -> None:
        """The same reply to every request, until the client goes."""
        while True:
            await self.request()
            await self.send(reply)


@dataclass(slots=True, kw_only=True)
class Server:
    port: int
    host: str
    connections: int = 0
    heard: list[Requested] = field(default_factory=list)

    def url(self, path: str = "/hooks", *, host: str | None = None) -> str:
        return f"http://{host or self.host}:{self.port}{path}"


@asynccontextmanager
async def listening(
    talk: Callable[[Peer], Awaitable[None]], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Server]:
    """A server that gives each connection to `talk`."""
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    server = Server(port=listener.extra(SocketAttribute.local_port), host=host)

    async def connected(stream: ByteStream) -> None:
        server.connections += 1
        async with stream:
            with suppress(*_BROKEN):
                await talk(Peer(stream, server.connections, server.heard))

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connected)
        yield server
        tasks.cancel_scope.cancel()
