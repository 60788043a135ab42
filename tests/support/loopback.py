"""Receivers and a proxy on real sockets of this machine: what a wire with certificates and proxies meets."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSListener

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes = b""
    #: Number of the connection it came on, from 1.
    connection: int
    #: Common name of the certificate that was shown; empty for none.
    shown: str = ""


@dataclass(slots=True, kw_only=True)
class Station:
    """A server, and what it got."""

    port: int
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str = "/hook", *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


async def _head(stream: ByteStream) -> tuple[str, dict[str, str], bytes]:
    """Request line, headers by their names in lower case, and what came of the body already."""
    gathered = b""
    while b"\r\n\r\n" not in gathered:
        gathered += await stream.receive()
    head, _, rest = gathered.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    return line, {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}, rest


@asynccontextmanager
async def _serving(
    talk: Callable[[ByteStream, Station, int], Awaitable[None]], tls: ssl.SSLContext | None
) -> AsyncIterator[Station]:
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    station = Station(port=tcp.extra(SocketAttribute.local_port))

    async def connected(stream: ByteStream) -> None:
        station.connections += 1
        with suppress(*GONE):
            async with stream:
                await talk(stream, station, station.connections)

    listener = tcp if tls is None else TLSListener(tcp, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connected)
        yield station
        tasks.cancel_scope.cancel()


def _common_name(certificate: Any) -> str:
    for names in (certificate or {}).get("subject", ()):
        for name, value in names:
            if name == "organizationalUnitName":
                return str(value)
    return ""


@asynccontextmanager
async def receiver(
    *, tls: ssl.SSLContext | None = None, answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
) -> AsyncIterator[Station]:
    """Answers every request alike and keeps connections open."""

    async def talk(stream: ByteStream, station: Station, number: int) -> None:
        certificate = stream.extra(TLSAttribute.peer_certificate, None)
        while True:
            line, headers, body = await _head(stream)
            while len(body) < int(headers.get("content-length", "0")):
                body += await stream.receive()
            station.requests.append(
                Request(line=line, headers=headers, body=body, connection=number, shown=_common_name(certificate))
            )
            await stream.send(answer)

    async with _serving(talk, tls) as station:
        yield station


@asynccontextmanager
async def proxy(*, refuses: bytes = b"", accepts: bytes = b"200 Connection established") -> AsyncIterator[Station]:
    """Lets everything through, whatever the name, to this machine; or answers `refuses` (a status) to everything.

    `accepts` is the status, and may be more of the head, of its answer to CONNECT.
    """

    async def talk(stream: ByteStream, station: Station, number: int) -> None:
        line, headers, rest = await _head(stream)
        station.requests.append(Request(line=line, headers=headers, connection=number))
        if refuses:
            await stream.send(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % refuses)
            return
        method, target, version = line.split(" ")
        place = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
        async with await anyio.connect_tcp("127.0.0.1", int(place.rpartition(":")[2])) as beyond:
            if method == "CONNECT":
                await stream.send(b"HTTP/1.1 %b\r\n\r\n" % accepts)
            else:
                path = "/" + target.removeprefix("http://").partition("/")[2]
                kept = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
                lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in kept.items()), "", ""]
                await beyond.send("\r\n".join(lines).encode() + rest)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_pump, stream, beyond, tasks.cancel_scope)
                tasks.start_soon(_pump, beyond, stream, tasks.cancel_scope)

    async with _serving(talk, None) as station:
        yield station


async def _pump(source: ByteStream, sink: ByteStream, scope: anyio.CancelScope) -> None:
    with suppress(*GONE):
        async for chunk in source:
            await sink.send(chunk)
    scope.cancel()
