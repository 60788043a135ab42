"""HTTP on the wire: aiohttp's engine behind httpx's interface, for callbacks and for requests to providers alike.

Why not httpx's own pool: it is quadratic in waiting requests (78 posts a second at 64 in flight, against thousands
here), and its hooks come too late to choose the address. This transport owns
- the address: `guard` is asked about every address that a name leads to, and one refused address refuses the name. It
  is asked again when the socket is opened, about the very address that is connected to, so a literal address cannot
  pass either. What was resolved is what is connected to: there is no second look-up in between.
- the deadline: `extensions["timeout"]["total"]` in seconds, over everything from the look-up to the last byte of the
  body. httpx's own four numbers have no such word: without "total" the longest of them counts, and a None is no limit.
- the errors: every exception of aiohttp becomes one of httpx, by the tables in `transport_errors`.

It adds nothing: no redirects, cookies, decompression, headers or proxies of the environment.
`extensions["url"]`, if given, is sent letter by letter (httpx.URL would re-encode some of it).

`extensions["tls"]`, a `TlsSettings`, chooses certificates. Connections are kept by their TLS context, so none is shared
between two settings, or by an old and a renewed certificate. None is the trust of this machine. If the key is there at
all, the operator could write a `tls:` setting. Any failure of TLS, at any point of the exchange, is `TlsFailed`, with a
sentence of `tls_errors`.

`extensions["proxy"]`, a `Secret`, names a proxy: http requests are handed to it, https goes through a tunnel that it
opens (CONNECT). The proxy then resolves the name, so the guard is asked about the proxy's own address and cannot be
asked about the server's. If the proxy itself refuses, that is `ProxyRefused`, which names it and never its password.

`extensions["connection_attempt"]`, a `ConnectionAttempt`, notes the addresses while they are tried: a caller who ends
the exchange because its own time runs out can name them.

What is kept, and what is repeated:
- A connection is used for a minute at most, because the name may lead elsewhere by then. `extensions["fresh"]` asks for
  a new one. A new connection has a new look-up: nothing here remembers where a name led.
- A request on a kept connection that is lost before any answer is sent once more, on a new connection, and the idle
  connections to that host are closed: they are most likely lost too. (aiohttp would repeat a GET by itself, on the next
  kept one; that is off.) A request that got 408, 410 or 421 on a kept connection is repeated in the same way: these may
  be about the connection, or come from a server that the name has left. If the server has read the first request after
  all, it sees the same `webhook-id` twice, which at-least-once allows.
- `extensions["before_repeat"]`, if there is one, is awaited before: a repeat counts in the caller's budget as any
  request does.

An answer is refused if it cannot be the answer to this request (see `aiohttp_hooks`): one that came before anything of
the request was sent, and a 2xx that came before all of it was sent and the peer's machine confirmed it.
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
from notifier.net.proxy import WANTS_PASSWORD, Proxy, read_proxy
from notifier.net.resolver import CheckedResolver, Guard, SystemResolver, check_address
from notifier.net.socket_state import Exchange, exchange
from notifier.net.tls import no_trust
from notifier.net.tls_errors import Side
from notifier.net.tls_files import TlsContexts, TlsUnusable
from notifier.net.transport_errors import MAPPED, ProxyRefused, StrayError, TlsFailed, UnreadError, translate
from notifier.runtime.clock import SystemClock

#: Bytes of an answer's body, about, that wait in memory for their reader.
_BUFFER: Final = 16 * 1024
#: Seconds; below the usual idle time after which servers close.
_KEEP_ALIVE: Final = 15.0
#: Seconds after which a connection is not used again.
LONGEST_AGE: Final = 60.0
#: Seconds after which a connection is lost if its peer has confirmed nothing of what was sent.
_UNCONFIRMED: Final = 5.0
#: Seconds between two checks whether it has.
_CHECK_EVERY: Final = 0.005
_SUCCESS: Final = 2
#: 408 Request Timeout and 421 Misdirected Request may be about the connection, not the request. And 410 Gone ends
#: deliveries for good, so it is asked for again if it came from a server that the name may have left.
_ASKED_AGAIN: Final = frozenset({408, 410, 421})
#: What a request meets on a kept connection that was lost while it was idle.
_LOST: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError, StrayError)


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

    `connections` is how many may be open to one host, 0 for no limit: callers have limits of their own. `resolver`
    takes the place of the system's, `now` that of the event loop's clock for the age of connections. It raises
    httpx.TransportError and its subclasses, nothing else. `aclose` is final.
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
        named = request.extensions.get("proxy")
        proxy = None if named is None else read_proxy(named)
        mine = Exchange(fresh=bool(request.extensions.get("fresh")))
        exchange.set(mine)
        seen = request.extensions.get("connection_attempt") or ConnectionAttempt()
        connection_attempt.set(seen)
        try:
            arguments = self._arguments(request, body, proxy)
            answer = await self._exchange(mine, arguments, request.extensions.get("before_repeat"))
        except TlsUnusable as error:
            raise TlsFailed(str(error), request=request) from error
        except MAPPED as error:
            silent = mine.opened and not mine.answer_began
            if seen.tls.done and seen.tls.failure is None and seen.tls.take_rest:
                seen.tls.take_rest(mine.rest())
            raise translate(error, request, proxy=proxy, attempt=seen, side=_side(request), silent=silent) from error
        finally:
            mine.end()
        if proxy and request.url.scheme == "http" and answer.status == WANTS_PASSWORD:
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
            self._pool.end_lingering()
        if self._session is not None:
            await self._session.close()

    def _arguments(self, request: httpx.Request, body: bytes, proxy: Proxy | None) -> dict[str, Any]:
        """The request as aiohttp's arguments."""
        headers = _headers(request)
        arguments: dict[str, Any] = {
            "method": request.method,
            "url": URL(request.extensions.get("url") or str(request.url), encoded=True),
            "headers": headers,
            "data": body or None,
            "timeout": _timeout(request.extensions.get("timeout")),
            "allow_redirects": False,
        }
        https = request.url.scheme == "https"
        if https:
            arguments["ssl"] = self._contexts.context(request.extensions.get("tls") or _NO_SETTING)
        if https and (host := request.url.raw_host).endswith(b"."):
            arguments["server_hostname"] = host.decode().removesuffix(".")  # aiohttp leaves the dot in a tunnel
        if proxy is not None:
            arguments["proxy"] = URL(proxy.url)
            login = proxy.authorization()
            if login and https:  # the tunnel is opened with these headers
                arguments["proxy_headers"] = {"Proxy-Authorization": login}
            elif login:
                headers.append(("Proxy-Authorization", login))
        return arguments

    async def _exchange(
        self, mine: Exchange, arguments: dict[str, Any], before_repeat: Callable[[], Awaitable[None]] | None
    ) -> aiohttp.ClientResponse:
        """The answer to the request; by a kept connection only if that leaves no doubt."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = None
        if not mine.fresh and (answer := await self._try_kept(mine, arguments)) is None and before_repeat:
            await before_repeat()
        if answer is None:
            mine.fresh = True
            if (total := arguments["timeout"].total) is not None:
                arguments["timeout"] = _deadline(max(0.0, total - (loop.time() - began)))
            answer = await self._session_now().request(**arguments)
        if mine.unasked or mine.early or mine.unconfirmed is not None:
            try:
                await _believe(answer, mine)
            except BaseException:
                answer.close()
                raise
        return answer

    async def _try_kept(self, mine: Exchange, arguments: dict[str, Any]) -> aiohttp.ClientResponse | None:
        """By a kept connection if there is one, else by a new one; None if it must be repeated by a new one."""
        answer = None
        try:
            answer = await self._session_now().request(**arguments)
        except _LOST as error:
            stale = isinstance(error, StrayError) or not mine.answer_began
            if mine.opened or not stale or isinstance(error, aiohttp.ClientConnectorError):
                raise
        except (TimeoutError, asyncio.CancelledError):
            if not mine.opened and not mine.answer_began:
                self._drop_idle(mine)  # or the next request would wait for another connection as dead as this one
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
        """Opened at the first request, because aiohttp needs the running event loop."""
        if self._session is not None:
            return self._session
        self._pool = Connector(
            now=self._now or asyncio.get_running_loop().time,
            longest_age=LONGEST_AGE,
            unconfirmed=self._unconfirmed,
            resolver=CheckedResolver(self._resolver or SystemResolver(), self._guard),
            ttl_dns_cache=0,  # a look-up is shared by those who wait for it, and is not kept
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
        """The decisive check: nothing else opens a socket, and this one is for this address."""
        family, kind, protocol, _, target = address
        exchange.get().opened = True
        check_address(self._guard, target[0])
        try:
            return ReportingSocket(family, kind, protocol, target)
        except OSError:
            if self._pool is not None:
                self._pool.drop_idle()  # so that descriptors or memory are free a second later
            raise


def _side(request: httpx.Request) -> Side:
    """What this side brings to the TLS of this request."""
    tls = request.extensions.get("tls") or _NO_SETTING
    return Side(
        host=request.url.raw_host.decode().removesuffix("."),
        now=SystemClock().now(),
        tls=tls,
        configurable="tls" in request.extensions,
        no_trust=lambda: "" if tls.ca else no_trust(os.environ),
    )


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """As they were given, but for a final dot of the host, which is for the look-up and not for Host."""
    headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
    if not request.url.raw_host.endswith(b"."):
        return headers
    dotted = request.url.netloc.decode()
    bare = dotted.replace(".:", ":").removesuffix(".")
    return [(name, bare if name.lower() == "host" and value == dotted else value) for name, value in headers]


async def _believe(answer: aiohttp.ClientResponse, mine: Exchange) -> None:
    """`UnreadError` if it cannot be the answer to the whole request."""
    if mine.unasked:
        raise UnreadError(f"the server answered {answer.status} before anything of the request was sent")
    if answer.status // 100 != _SUCCESS:
        return
    if mine.early:
        raise UnreadError(f"the server answered {answer.status} before the whole request was sent")
    # Wait until the peer's machine has all of the request; the caller's deadline ends it.
    while mine.unconfirmed is not None and mine.unconfirmed.left():
        if mine.unconfirmed.lost():
            raise UnreadError(f"the server answered {answer.status} and closed before it had the whole request")
        await asyncio.sleep(_CHECK_EVERY)


def _timeout(asked: Mapping[str, float | None] | None) -> aiohttp.ClientTimeout:
    """By the rule in the header."""
    if not asked or "total" in asked:
        return _deadline((asked or {}).get("total"))
    numbers = [number for number in asked.values() if number is not None]
    return _deadline(max(numbers) if len(numbers) == len(asked) else None)


def _deadline(total: float | None) -> aiohttp.ClientTimeout:
    """With `ceil_threshold` off: aiohttp would round longer times up to whole seconds."""
    return aiohttp.ClientTimeout(total=total, ceil_threshold=86_400)


_NO_SETTING: Final = TlsSettings()
