"""The wire: aiohttp's engine under httpx's vocabulary, for the callback path and the poller alike.

Why: httpx's own pool is quadratic in waiting requests (78 posts a second at 64 in flight, against thousands here), and
its hooks come too late to choose the address. This transport owns
- the address: `guard` is asked about every address a name leads to, and one refused address refuses the name. It is
  asked again where the socket opens, about the very address connected to: literal addresses and surprises cannot pass
  either. What was resolved is what is connected to: there is no second look-up in between.
- the deadline: `extensions["timeout"]["total"]` in seconds, over everything from the look-up to the last byte of the
  body. httpx's own four numbers have no such word: without it the longest of them counts, and a None is no limit.
- the errors: whatever aiohttp raises becomes one httpx exception, by the tables in transport_errors.

It refuses to be clever: no redirects, cookies, decompression or headers of its own, no proxy of the environment's.
`extensions["url"]`, where given, is sent letter by letter (httpx.URL would re-encode some of it).

`extensions["tls"]`, a `TlsSettings`, chooses certificates: connections are kept by their context, and so none is shared
between two settings, or by an old and a renewed certificate. None is the trust of this machine; that the key is there
at all says that the operator could write a `tls:` setting. Any failure of TLS, at any point of the exchange, is
`TlsFailed`, with a sentence of `tls_errors`.

`extensions["proxy"]`, a `Secret`, names a proxy: http requests are handed to it, https goes through a tunnel that it
opens (CONNECT). Then the proxy resolves the name, so the guard is asked about the proxy's own address and cannot be
about the server's. Where the proxy itself says no, that is `ProxyRefused`, which names it and never its password.

`extensions["connection_attempt"]`, a `ConnectionAttempt`, notes the addresses while they are tried: a caller who ends
the exchange because its own time runs out can name them.

What is kept, and what is repeated:
- A connection serves for a minute at most: the name may lead elsewhere by then. `extensions["fresh"]` asks for a new
  one. A new one goes with a new look-up: nothing here remembers where a name led.
- A request on a kept connection that is lost before any answer is sent once more, on a new connection, and the idle
  ones to that host are closed: what happened to one has most likely happened to all. (aiohttp would repeat a GET by
  itself, on the next kept one; that is off.) A request that got 408, 410 or 421 on a kept connection is repeated
  likewise: these may speak of the connection, or come from a server that the name has left. Should the server have read
  the first one after all, it sees the same `webhook-id` twice, which at-least-once allows.
  `extensions["before_repeat"]`, if there is one, is awaited before: a repeat counts in the caller's budget as any
  request does.

An answer counts only for a request that was there to be answered (see aiohttp_hooks): none that came before anything of
it was sent, and no 2xx before the whole of it was handed over and the peer's machine has confirmed it.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from yarl import URL

from notifier.domain.settings import TlsSettings
from notifier.net.aiohttp_hooks import Connector, Request, repeat_nothing
from notifier.net.connection_attempt import ConnectionAttempt, ReportingSocket, connection_attempt
from notifier.net.malformed import HEADERS_LIMIT, LINE_LIMIT
from notifier.net.proxy import Proxy, read_proxy
from notifier.net.resolver import CheckedResolver, Guard, SystemResolver, check_address
from notifier.net.socket_state import Exchange, Unconfirmed, exchange
from notifier.net.tls import no_trust
from notifier.net.tls_errors import Side
from notifier.net.tls_files import TlsContexts, TlsUnusable
from notifier.net.transport_errors import MAPPED, ProxyRefused, StrayError, TlsFailed, UnreadError, translate
from notifier.runtime.clock import SystemClock

#: Bytes of an answer's body that wait in memory for their reader, about.
_BUFFER: Final = 16 * 1024
#: Seconds; below the usual idle time after which servers close.
_KEEP_ALIVE: Final = 15.0
#: Seconds after which a connection is not used again.
LONGEST_AGE: Final = 60.0
#: Seconds after which a connection is lost if its peer has confirmed nothing of what was sent.
_UNCONFIRMED: Final = 5.0
#: Seconds between two looks whether it has.
_LOOK: Final = 0.005
_SUCCESS: Final = 2
#: What may be said of the connection rather than of the request: 408 Request Timeout, 421 Misdirected Request. And 410
#: Gone ends deliveries for good, so it is asked for again where it came from a server that the name may have left.
_ASKED_AGAIN: Final = frozenset({408, 410, 421})
#: What a kept connection meets that was lost while it was idle.
_LOST: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError, StrayError)
#: As a status of a request that was handed to a proxy: only a proxy says so.
_PROXY_WANTS_PASSWORD: Final = 407


class _Body(httpx.AsyncByteStream):
    """Raw chunks as they come. Closing it before its end drops the connection."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request
        transport = answer.connection and answer.connection.transport
        self._tls = transport and transport.get_extra_info("ssl_object")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._answer.content.readany()
        except MAPPED as error:
            self._answer.close()
            seen = ConnectionAttempt()
            seen.tls.failure = getattr(self._tls, "failure", None)
            raise translate(error, self._request, attempt=seen, side=_side(self._request)) from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        if not self._answer.closed:  # it was not read to its end
            self._answer.close()


# ---- the transport ------------------------------------------------------------------------------------------------
class AiohttpTransport(httpx.AsyncBaseTransport):
    """Speaks HTTP/1.1 for httpx, with kept-alive connections.

    `connections` is how many may be open to one host, 0 for no limit: limits live with the callers. `resolver`
    takes the place of the system's, `now` that of the loop's clock for the age of connections. Raises
    httpx.TransportError and its kinds, nothing else. `aclose` is final.
    """

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        connections: int = 0,
        resolver: AbstractResolver | None = None,
        contexts: TlsContexts | None = None,
        now: Callable[[], float] | None = None,
        unconfirmed: float = _UNCONFIRMED,
    ) -> None:
        self._guard = guard
        self._connections = connections
        self._resolver = resolver
        self._now = now
        self._unconfirmed = unconfirmed
        self._pool: Connector | None = None
        self._session: aiohttp.ClientSession | None = None
        self._contexts = contexts or TlsContexts()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        proxy = _proxy(request)
        mine = Exchange(fresh=bool(request.extensions.get("fresh")))
        exchange.set(mine)
        seen = request.extensions.get("connection_attempt") or ConnectionAttempt()
        connection_attempt.set(seen)
        try:
            answer = await self._exchange(
                mine, self._asked(request, body, proxy), request.extensions.get("before_repeat")
            )
        except TlsUnusable as error:
            raise TlsFailed(str(error), request=request) from error
        except MAPPED as error:
            unheard = mine.opened and not mine.heard
            if seen.tls.done and seen.tls.failure is None and seen.tls.take_rest:
                seen.tls.take_rest(mine.rest())
            raise translate(error, request, proxy=proxy, attempt=seen, side=_side(request), unheard=unheard) from error
        finally:
            mine.end()
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
        if self._pool is not None:
            self._pool.end_leaving()
        if self._session is not None:
            await self._session.close()

    def _way(self, request: httpx.Request, proxy: Proxy | None) -> dict[str, Any]:
        """What aiohttp is told beside the request itself: certificates and proxy, where there are any."""
        way: dict[str, Any] = {}
        if request.url.scheme == "https" and (host := request.url.raw_host).endswith(b"."):
            way["server_hostname"] = host.decode().removesuffix(".")  # in a tunnel aiohttp does not see to it
        if request.url.scheme == "https":
            way["ssl"] = self._contexts.context(request.extensions.get("tls") or _NO_SETTING)
        if proxy is not None:
            way["proxy"] = URL(proxy.url)
            # A tunnel is opened with these headers; a request that is handed over carries them itself, see `_asked`.
            if (login := proxy.authorization()) and request.url.scheme == "https":
                way["proxy_headers"] = {"Proxy-Authorization": login}
        return way

    def _asked(self, request: httpx.Request, body: bytes, proxy: Proxy | None) -> dict[str, Any]:
        """The request in aiohttp's words, but for its deadline."""
        headers = _headers(request)
        if proxy and request.url.scheme == "http" and (login := proxy.authorization()):
            headers.append(("Proxy-Authorization", login))
        return {
            "method": request.method,
            "url": URL(request.extensions.get("url") or str(request.url), encoded=True),
            "headers": headers,
            "data": body or None,
            "timeout": _timeout(request.extensions.get("timeout")),
            "allow_redirects": False,
            **self._way(request, proxy),
        }

    async def _exchange(
        self, mine: Exchange, asked: dict[str, Any], before_repeat: Callable[[], Awaitable[None]] | None
    ) -> aiohttp.ClientResponse:
        """The answer to the request; by a kept connection only where that leaves no doubt."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = None
        if not mine.fresh and (answer := await self._try_kept(mine, asked)) is None and before_repeat:
            await before_repeat()
        if answer is None:
            mine.fresh = True
            if (total := asked["timeout"].total) is not None:
                asked["timeout"] = _deadline(max(0.0, total - (loop.time() - began)))
            answer = await self._session_now().request(**asked)
        if mine.unasked or mine.early or mine.unconfirmed is not None:
            try:
                await _believe(answer, mine)
            except BaseException:
                answer.close()
                raise
        return answer

    async def _try_kept(self, mine: Exchange, asked: dict[str, Any]) -> aiohttp.ClientResponse | None:
        """By a kept connection if there is one, else by a new one; None where it is to be repeated by a new one."""
        answer = None
        try:
            answer = await self._session_now().request(**asked)
        except _LOST as error:
            stale = isinstance(error, StrayError) or not mine.heard
            if mine.opened or not stale or isinstance(error, aiohttp.ClientConnectorError):
                raise
        except (TimeoutError, asyncio.CancelledError):
            if not mine.opened and not mine.heard:
                self._drop_idle(mine)  # the next request does not wait for another connection as dead as this one
            raise
        if answer is not None:
            if mine.opened or answer.status not in _ASKED_AGAIN:
                return answer
            answer.close()
        self._drop_idle(mine)
        return None

    def _drop_idle(self, mine: Exchange) -> None:
        if self._pool is not None and mine.key is not None:
            self._pool.drop_idle(mine.key)

    def _session_now(self) -> aiohttp.ClientSession:
        """Opened at the first request: aiohttp wants the running loop."""
        if self._session is not None:
            return self._session
        self._pool = Connector(
            now=self._now or asyncio.get_running_loop().time,
            longest_age=LONGEST_AGE,
            unconfirmed=self._unconfirmed,
            resolver=CheckedResolver(self._resolver or SystemResolver(), self._guard),
            ttl_dns_cache=0,  # a look-up is shared by those who wait for it, and by no one after
            socket_factory=self._open_socket,
            limit=0,
            limit_per_host=self._connections,
            keepalive_timeout=_KEEP_ALIVE,
        )
        self._session = aiohttp.ClientSession(
            connector=self._pool,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_BUFFER,
            request_class=Request,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            max_headers=HEADERS_LIMIT,
        )
        repeat_nothing(self._session)
        return self._session

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """The true check: nothing else opens a socket, and it is for this address."""
        family, kind, protocol, _, target = address
        exchange.get().opened = True
        check_address(self._guard, target[0])
        try:
            return ReportingSocket(family, kind, protocol, target)
        except OSError:
            if self._pool is not None:
                self._pool.drop_idle()  # a second later there is something to go on with
            raise


def _side(request: httpx.Request) -> Side:
    """What we bring to the TLS of this request."""
    tls = request.extensions.get("tls") or _NO_SETTING
    return Side(
        host=request.url.raw_host.decode().removesuffix("."),
        now=SystemClock().now(),
        tls=tls,
        configurable="tls" in request.extensions,
        no_trust=lambda: "" if tls.ca else no_trust(os.environ),
    )


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


async def _believe(answer: aiohttp.ClientResponse, mine: Exchange) -> None:
    """`UnreadError` where it cannot be the answer to the whole request."""
    if mine.unasked:
        raise UnreadError(f"the server answered {answer.status} before anything of the request was sent")
    if answer.status // 100 != _SUCCESS:
        return
    if mine.early:
        raise UnreadError(f"the server answered {answer.status} before the whole request was sent")
    if mine.unconfirmed is not None:
        await _confirmed(mine.unconfirmed, answer.status)


async def _confirmed(rest: Unconfirmed, status: int) -> None:
    """Wait until the peer's machine has all of the request; the caller's deadline ends it."""
    while rest.left():
        if rest.lost():
            raise UnreadError(f"the server answered {status} and closed before it had the whole request")
        await asyncio.sleep(_LOOK)


def _timeout(asked: Mapping[str, float | None] | None) -> aiohttp.ClientTimeout:
    """By the rule in the header; `ceil_threshold` off, for aiohttp rounds longer times up to whole seconds."""
    if not asked:
        return _NO_DEADLINE
    if "total" in asked:
        total = asked["total"]
    else:
        numbers = list(asked.values())
        total = None if None in numbers else max(number for number in numbers if number is not None)
    return _deadline(total)


def _deadline(total: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, ceil_threshold=86_400)


_NO_SETTING: Final = TlsSettings()
_NO_DEADLINE: Final = aiohttp.ClientTimeout(total=None)
