"""Every private hook of aiohttp that is used, because it has no setting for it. A test fails if one of them disappears.

No other module uses a private name of aiohttp. What it does wrong for us, and what is done here instead:
- aiohttp takes any bytes that came on a kept connection as the answer to the next request. Here unexpected bytes close
  the connection, a kept connection must be silent directly before a request is written, and an answer that began before
  any of the request could be read is refused (`Exchange` says so).
- A connection is used for `longest_age` seconds at most, because the name may lead elsewhere by then. A request may ask
  for a new one, and all idle connections to a host can be dropped.
- A connection whose peer confirms nothing of what was sent for some seconds is lost at once, not silent until the
  deadline. If the peer confirms that it is there, and is only slow to read, the connection is not lost.
- A connection on which unexpected bytes came is not closed at once. The answer before them may have been unexpected
  too, so the server may not have read all that it was sent. Closing while it still writes would be a reset, which makes
  its machine drop what is unread. So nothing more is sent there, and what comes is thrown away for `LINGER` seconds at
  most.
- Interim answers are counted and skipped, heads are bounded, and malformed answers are described in words.
- Any 2xx opens a proxy's tunnel, not 200 alone.
- aiohttp repeats a GET whose connection is lost, even a new one, and no budget would count that: it is turned off.
"""

import asyncio
import errno
import os
import select
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from multidict import CIMultiDict

from notifier.net.malformed import HEAD_LIMIT, is_http, malformed
from notifier.net.socket_state import Exchange, Unconfirmed, exchange, queued, unresponsive
from notifier.net.transport_errors import MalformedError, StrayError

#: Interim (1xx) answers before the final one.
_INTERIM_LIMIT: Final = 16
_HEAD_END: Final = b"\r\n\r\n"
_FINAL: Final = 200
_SWITCHING: Final = 101
#: In place of the length of a request without a body.
_UNKNOWN: Final = 1
#: On a connection that is given up, what comes is thrown away: the limits in seconds, bytes and connections.
LINGER: Final = 2.0
_LINGER_BYTES: Final = 256 * 1024
_LINGERING: Final = 256


# ---- one request --------------------------------------------------------------------------------------------------
class Request(aiohttp.ClientRequest):
    """Asks the connection whether it may write, and reports to it that everything was handed to the kernel."""

    #: Keeps aiohttp from adding a Content-Type.
    _skip_auto_headers = CIMultiDict({"Content-Type": None})

    def update_auto_headers(self, _: object) -> None:
        """No headers of aiohttp's own. With a setting it would work that out anew for each request."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if self.body:
            return await super().send(conn)
        protocol = _ours(conn)
        if not protocol.ready():
            raise protocol.exception() or StrayError()
        response = await super().send(conn)
        protocol.written(_UNKNOWN)  # without a body no server answers before all of it has come
        return response

    async def write_bytes(self, writer: AbstractStreamWriter, conn: Connection, *rest: Any, **more: Any) -> None:
        protocol = _ours(conn)
        if protocol.ready():
            await super().write_bytes(writer, conn, *rest, **more)
            protocol.written(writer.output_size)


def _ours(conn: Connection) -> "Protocol":
    protocol = conn.protocol
    assert isinstance(protocol, Protocol), "the connector makes no other"
    return protocol


# ---- one connection -----------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Answer:
    """What was read of the answer to one request."""

    #: Nothing had come when the request was begun.
    silent_before: bool = False
    #: Bytes of the request, once all of it is with the kernel.
    request_length: int | None = None
    #: The head as it came, until it is complete.
    head: bytes | bytearray = b""
    interim: int = 0
    headed: bool = False
    body: Any = None
    #: Something came behind the answer.
    stray: bool = False

    @property
    def complete(self) -> bool:
        return self.headed and bool(self.body.is_eof())


class Protocol(ResponseHandler):
    """Reads one answer for each request, and nothing else."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        now: Callable[[], float],
        unconfirmed: float,
        lingering: set[asyncio.Transport],
    ) -> None:
        super().__init__(loop=loop)
        self._unconfirmed = unconfirmed
        self._lingering = lingering
        #: The transport on which nothing more is sent, and how many bytes that came there were thrown away.
        self._given_up: asyncio.Transport | None = None
        self._thrown_away = 0
        #: When the request was begun, by the loop's clock; and the next check whether the peer confirms it.
        self._asked_at = 0.0
        self._check: asyncio.TimerHandle | None = None
        self._descriptor = -1
        self._tls = False
        self._readable = select.poll()
        self.opened_at = now()
        self._exchange: Exchange | None = None
        self._requests = 0
        #: An answer is due. Between requests, and from the end of an answer on, none is.
        self._due = False
        self._answer = _Answer()

    # ---- for the connector ----
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._readable.register(self._descriptor, select.POLLIN)
        assert self.transport is not None
        self._tls = transport.get_extra_info("sslcontext") is not None
        # So that what was written is what the kernel has. (For TLS, 0 would mean a buffer that is always full.)
        self.transport.set_write_buffer_limits(high=1 if self._tls else 0)

    def set_response_params(self, **options: Any) -> None:
        """Called for each request, before it is sent."""
        self._exchange = mine = exchange.get()
        mine.begin()
        self._requests += 1
        self._due, self._answer = True, _Answer()
        super().set_response_params(**options)

    # ---- for the request ----
    def ready(self) -> bool:
        """Whether the request may be written now. If not, the connection is over and the request has failed."""
        if self._exception is not None:
            return False
        silent = not self._readable.poll(0)
        if self._requests > 1 and not silent:
            self._fail(StrayError())
            return False
        self._answer.silent_before = silent or self._tls  # what a handshake leaves behind is no answer
        if self._tls and self._requests == 1 and self._exchange is not None:
            self._exchange.keep(self._descriptor)
        self._asked_at = self._loop.time()
        if self._check is None:
            self._check = self._loop.call_later(self._unconfirmed, self._check_peer)
        return True

    def written(self, length: int) -> None:
        """All of it, `length` bytes or more, is with the kernel."""
        self._answer.request_length = length

    def _check_peer(self) -> None:
        """Whether the peer's machine is there; again and again, until some bytes of an answer came."""
        self._check = None
        if not self._due or self._answer.head or self._answer.headed or self.transport is None:
            return
        left = self._asked_at + self._unconfirmed - self._loop.time()
        if left <= 0 and unresponsive(self.transport.get_extra_info("socket"), self._unconfirmed):
            self._fail(aiohttp.ClientOSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
        else:
            self._check = self._loop.call_later(max(left, self._unconfirmed / 10), self._check_peer)

    # ---- what arrives ----
    def data_received(self, data: bytes) -> None:
        if self._given_up is not None:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:
                self._given_up.abort()
            return
        if not self._due and self._requests:
            if data:
                self._drop()
            return
        answer = self._answer
        if self._due and not answer.headed:
            rest = self._heads(data)
            if rest is None:
                return
            data, answer.stray = rest, bool(rest) and answer.complete
        if not answer.stray:
            super().data_received(data)
        if answer.complete:
            self._end()

    def _heads(self, data: bytes) -> bytes | None:
        """Read heads; the bytes behind the final one, None while that is not complete.

        Each head is fed to the parser alone: it loses what came in one packet with something malformed.
        """
        answer = self._answer
        while data and not answer.headed:
            end = data.find(_HEAD_END) + len(_HEAD_END)
            part, data = (data[:end], data[end:]) if end >= len(_HEAD_END) else (data, b"")
            if answer.head:
                answer.head = bytearray(answer.head) if isinstance(answer.head, bytes) else answer.head
                answer.head += part
            elif self._begins():
                answer.head = part
            else:
                return None
            if len(answer.head) > HEAD_LIMIT:
                self._fail(MalformedError(malformed(bytes(answer.head))))
            else:
                super().data_received(part)
            if self._exception is not None:
                return None
        return data if answer.headed else None

    def _begins(self) -> bool:
        """Whether the message whose first byte has come may be an answer to this request."""
        assert self._exchange is not None
        mine, length = self._exchange, self._answer.request_length
        mine.answer_began = True
        waiting = queued(self._descriptor)
        # The peer has read nothing of the request if its machine has confirmed nothing of it.
        unread = length is None or waiting >= length
        mine.early = length is None
        mine.unasked = not self._answer.silent_before or (unread and not mine.early and length != _UNKNOWN)
        if mine.early:
            self._should_close = True  # a request that was written in part leaves no connection for the next
        if self._requests > 1 and unread:
            self._fail(StrayError())
            return False
        if waiting and mine.unconfirmed is None:
            with suppress(OSError):  # no descriptor is left: then the answer is believed
                mine.unconfirmed = Unconfirmed(self._descriptor)
        return True

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Called for each message whose head was parsed."""
        message, body = data
        answer = self._answer
        if answer.headed:
            answer.stray = True  # a second answer, in one packet with the first
            return
        if not is_http(bytes(answer.head)):
            self._fail(MalformedError(malformed(bytes(answer.head))))
            return
        answer.head = b""
        if message.code < _FINAL and message.code != _SWITCHING:
            answer.interim += 1
            if answer.interim > _INTERIM_LIMIT:
                self._fail(MalformedError("interim answers (1xx) without end, and no final one"))
            return
        answer.headed, answer.body = True, body
        super().feed_data(data, size)

    def _end(self) -> None:
        """The answer is complete. Bytes that were read behind it, even some of them, answer nothing."""
        self._due, self._exchange = False, None
        parser, self._parser = self._parser, None
        try:
            begun = parser is not None and parser.feed_eof() is not None
        except Exception:  # noqa: BLE001  what is behind the answer is malformed too
            begun = True
        if begun or self._answer.stray:
            self._drop()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """In words if it is malformed, for the body's reader too: aiohttp reports it only to the reader of a head."""
        if isinstance(exc, aiohttp.http.HttpProcessingError):
            exc = MalformedError(malformed(None if self._answer.headed else bytes(self._answer.head)))
        super().set_exception(exc, *cause)
        body = self._answer.body
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc)

    def _fail(self, error: BaseException) -> None:
        self.set_exception(error)
        self._drop()

    def _drop(self) -> None:
        """For the pool it is closed at once; what becomes of it is in this module's header."""
        self._should_close = True
        transport = self.transport
        if transport is None:
            return
        used = self._requests > 1 or not self._due
        if not used or transport.is_closing() or len(self._lingering) >= _LINGERING:
            transport.abort()
            return
        self._given_up, self.transport = transport, None
        self._lingering.add(transport)
        if transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                transport.write_eof()
        self._loop.call_later(LINGER, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._given_up is not None:
            self._lingering.discard(self._given_up)
        super().connection_lost(exc)


# ---- the pool -----------------------------------------------------------------------------------------------------
class Connector(aiohttp.TCPConnector):
    """Keeps connections no longer than `longest_age` seconds by `now`."""

    def __init__(self, *, now: Callable[[], float], longest_age: float, unconfirmed: float, **options: Any) -> None:
        super().__init__(**options)
        self._now = now
        self._longest_age = longest_age
        #: Transports on which nothing is sent any more.
        self._lingering: set[asyncio.Transport] = set()
        make: Callable[[], ResponseHandler] = partial(
            Protocol, self._loop, now=now, unconfirmed=unconfirmed, lingering=self._lingering
        )
        self._factory = make  # type: ignore[assignment]  # aiohttp declares the class that it puts there itself

    async def _get(self, key: ConnectionKey, traces: Any) -> Connection | None:
        asked = exchange.get()
        asked.key = key
        while (kept := await super()._get(key, traces)) is not None:
            if not asked.fresh and not self._old(_ours(kept)):
                return kept
            kept.close()
            if asked.fresh:  # the new one takes this one's place, so endless attempts do not keep endless connections
                return None
        return None

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        old = isinstance(protocol, Protocol) and self._old(protocol)
        super()._release(key, protocol, should_close=should_close or old)

    def _old(self, protocol: Protocol) -> bool:
        return self._now() - protocol.opened_at >= self._longest_age

    def drop_idle(self, key: ConnectionKey | None = None) -> None:
        """Close all kept connections to the same host, or through the same proxy; without a key, all of them."""
        for other in [each for each in self._conns if key is None or _peer(each) == _peer(key)]:
            for protocol, _ in self._conns.pop(other):
                protocol.close()

    def end_lingering(self) -> None:
        """Called before the connector is closed."""
        for transport in self._lingering:
            transport.abort()
        self._lingering.clear()

    def _update_proxy_auth_header_and_build_proxy_req(self, req: aiohttp.ClientRequest) -> aiohttp.ClientRequest:
        asking = super()._update_proxy_auth_header_and_build_proxy_req(req)
        asking.response_class = _Tunnel
        return asking


def repeat_nothing(session: aiohttp.ClientSession) -> None:
    """The transport decides what is made a second time, and when."""
    session._retry_connection = False  # noqa: SLF001  there is no setting


def _peer(key: ConnectionKey) -> object:
    return key.proxy or (key.host, key.port)


class _Tunnel(aiohttp.ClientResponse):
    """A proxy's answer to CONNECT: any 2xx opens the tunnel, and aiohttp takes 200 alone."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = _ours(connection)
        if protocol.ready():
            protocol.written(_UNKNOWN)
        answer = await super().start(connection)
        if self.status // 100 == _FINAL // 100:
            self.status = _FINAL
        return answer
