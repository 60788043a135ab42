"""The wire: aiohttp's engine under httpx's vocabulary, for the callback path and the poller alike.

Why: httpx's own pool is quadratic in waiting requests (78 posts a second at 64 in flight, against thousands here), and
its hooks come too late to choose the address. This transport owns
- the address: `guard` is asked about every address a name leads to, and one refused address refuses the name. It is
  asked again where the socket opens, about the very address connected to: literal addresses and surprises cannot pass
  either. What was resolved is what is connected to: there is no second look-up in between.
- the deadline: `extensions["timeout"]["total"]` in seconds, over everything from the look-up to the last byte of the
  body. httpx's own four numbers have no such word: without it the longest of them counts, and a None is no limit.
- the errors: whatever aiohttp raises becomes one httpx exception, by the table below.

It refuses to be clever: no redirects, cookies, decompression or headers of its own, no proxy of the environment's.
`extensions["url"]`, where given, is sent letter by letter (httpx.URL would re-encode some of it).

`extensions["tls"]`, a `TlsSettings`, chooses certificates: connections are kept by their context, and so none is shared
between two settings, or by an old and a renewed certificate. `extensions["proxy"]`, a `Secret`, names a proxy: http
requests are handed to it, https goes through a tunnel that it opens (CONNECT). Then the proxy resolves the name, so the
guard is asked about the proxy's own address and cannot be about the server's. Where the proxy itself says no, that is
`ProxyRefused`, which names it and never its password.

One thing is repeated: a request on a kept-alive connection that turns out to be lost before any answer. Most likely the
server closed it while it was idle and read nothing, and aiohttp repeats only idempotent methods. It is sent once more.
Should the server have read the first one after all, it sees the same `webhook-id` twice, which at-least-once allows.
"""

import socket
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from yarl import URL

from notifier.aiohttp_hooks import CheckedResolver, CountedAnswer, Guard, ask, install
from notifier.names import Names
from notifier.proxies import Proxy, read_proxy
from notifier.tls import Contexts, TlsUnusable
from notifier.transport_errors import MAPPED, ProxyRefused, TlsFailed, translate

#: Bytes of an answer's body that wait in memory for their reader, about.
_BUFFER: Final = 16 * 1024
#: Seconds; below the usual idle time after which servers close.
_KEEP_ALIVE: Final = 15.0
#: As a status of a request that was handed to a proxy: only a proxy says so.
_PROXY_WANTS_PASSWORD: Final = 407
_NO_HEADERS_OF_ITS_OWN: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _Body(httpx.AsyncByteStream):
    """Raw chunks as they come. Closing it before its end drops the connection."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._answer.content.readany()
        except MAPPED as error:
            self._answer.close()
            raise translate(error, self._request) from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._answer.close()


@dataclass(slots=True)
class _Trip:
    """One request on its way."""

    #: A socket was opened for it: it does not ride on a kept connection.
    opened: bool = False
    repeated: bool = False


#: Tells for which request a socket opens. Hooks of aiohttp's would tell it too, and slow every request down.
_trip: ContextVar[_Trip] = ContextVar("_trip")


# ---- the transport ------------------------------------------------------------------------------------------------
class AiohttpTransport(httpx.AsyncBaseTransport):
    """Speaks HTTP/1.1 for httpx, with kept-alive connections.

    `connections` is how many may be open to one host, 0 for no limit: limits live with the callers. `resolver`
    takes the place of the system's. Raises httpx.TransportError and its kinds, nothing else. `aclose` is final.
    """

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        connections: int = 0,
        resolver: AbstractResolver | None = None,
        contexts: Contexts | None = None,
    ) -> None:
        self._guard = guard
        self._connections = connections
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._contexts = contexts or Contexts()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session or self._open()
        body = await request.aread()
        proxy = _proxy(request)
        try:
            answer = await self._send(session, request, body, proxy)
        except TlsUnusable as error:
            raise TlsFailed(str(error), request=request) from error
        except MAPPED as error:
            raise translate(error, request, proxy=proxy) from error
        if proxy and request.url.scheme == "http" and answer.status == _PROXY_WANTS_PASSWORD:
            answer.close()
            raise ProxyRefused(proxy.refusal(answer.status), request=request)
        return httpx.Response(
            answer.status,
            headers=list(answer.raw_headers),
            stream=_Body(answer, request),
            extensions={"reason_phrase": (answer.reason or "").encode(errors="replace")},
            request=request,
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _way(self, request: httpx.Request, proxy: Proxy | None) -> dict[str, Any]:
        """What aiohttp is told beside the request itself: certificates and proxy, where there are any."""
        way: dict[str, Any] = {}
        if request.url.scheme == "https" and (host := request.url.raw_host).endswith(b"."):
            way["server_hostname"] = host.decode().removesuffix(".")  # in a tunnel aiohttp does not see to it
        if (tls := request.extensions.get("tls")) is not None:
            way["ssl"] = self._contexts.context(tls)
        if proxy is not None:
            way["proxy"] = URL(proxy.url)
            # A tunnel is opened with these headers; a request that is handed over carries them itself, see `_send`.
            if (login := proxy.authorization()) and request.url.scheme == "https":
                way["proxy_headers"] = {"Proxy-Authorization": login}
        return way

    async def _send(
        self, session: aiohttp.ClientSession, request: httpx.Request, body: bytes, proxy: Proxy | None
    ) -> aiohttp.ClientResponse:
        trip = _Trip()
        _trip.set(trip)
        headers = _headers(request)
        if proxy and request.url.scheme == "http" and (login := proxy.authorization()):
            headers.append(("Proxy-Authorization", login))
        way = self._way(request, proxy)
        url = URL(request.extensions.get("url") or str(request.url), encoded=True)
        timeout = _timeout(request.extensions.get("timeout"))
        while True:
            try:
                return await session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=body or None,
                    timeout=timeout,
                    allow_redirects=False,
                    **way,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError) as error:
                if trip.opened or trip.repeated or not _went_stale(error):
                    raise
                trip.repeated = True

    def _open(self) -> aiohttp.ClientSession:
        """At the first request: aiohttp wants the running loop."""
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._resolver or Names(), self._guard),
            socket_factory=self._open_socket,
            limit=0,
            limit_per_host=self._connections,
            keepalive_timeout=_KEEP_ALIVE,
        )
        install(connector)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_BUFFER,
            skip_auto_headers=_NO_HEADERS_OF_ITS_OWN,
            response_class=CountedAnswer,
        )
        return self._session

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """The true check: nothing else opens a socket, and it is for this address."""
        family, kind, protocol, _, target = address
        _trip.get().opened = True
        ask(self._guard, target[0])
        return socket.socket(family, kind, protocol)


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """As they were given; a final dot of the host is for the look-up, not for Host."""
    headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
    if not request.url.raw_host.endswith(b"."):
        return headers
    dotted = request.url.netloc.decode()
    bare = dotted.replace(".:", ":").removesuffix(".")
    return [(name, bare if name.lower() == "host" and value == dotted else value) for name, value in headers]


def _proxy(request: httpx.Request) -> Proxy | None:
    named = request.extensions.get("proxy")
    return None if named is None else read_proxy(named)


def _went_stale(error: Exception) -> bool:
    """Whether a kept connection was lost before any answer; of a part that came, aiohttp's message is not a text."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)
    return not isinstance(error, aiohttp.ClientConnectorError)


def _timeout(asked: Mapping[str, float | None] | None) -> aiohttp.ClientTimeout:
    """By the rule in the header; `ceil_threshold` off, for aiohttp rounds longer times up to whole seconds."""
    if not asked:
        return _NO_DEADLINE
    if "total" in asked:
        total = asked["total"]
    else:
        numbers = list(asked.values())
        total = None if None in numbers else max(number for number in numbers if number is not None)
    return aiohttp.ClientTimeout(total=total, ceil_threshold=86_400)


_NO_DEADLINE: Final = aiohttp.ClientTimeout(total=None)
