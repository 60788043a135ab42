"""Where we reach into aiohttp: what it offers no setting for. A test names each part of it that we stand on.

What it gets wrong for us, and what is done here instead:
- An answer belongs to the request that waits for it. aiohttp takes whatever came on a kept connection as the answer to
  the next request. Here bytes that nobody waits for close the connection. Directly before a request is written, a kept
  connection must be silent. What arrives before any of the request could be read is refused, and `Exchange` says so.
- A connection serves for `longest_age` seconds at most, because the name may lead elsewhere by then. A request may ask
  for a new one, and a whole host's idle ones can be dropped.
- A connection whose peer confirms nothing of what was sent for some seconds is lost, not silent until the deadline.
  One whose peer confirms that it is there, and is slow to read, is not.
- A connection on which something came that nobody waits for is not closed at once. An answer before that may have been
  one too many as well, so the server may not have read all that it was sent, and closing while it still writes would
  be a reset, which takes from its machine what is unread. So nothing more is sent there, and what comes is thrown away
  for `LINGER` seconds at most.
- Interim answers are counted and skipped, heads are bounded, and what is malformed is told in words.
- Any 2xx opens a proxy's tunnel, not 200 alone.
- A GET whose connection is lost is made a second time, even on a new one, and nobody could count that.
"""

import asyncio
import errno
import os
import select
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from multidict import CIMultiDict

from notifier.net.malformed import HEAD_LIMIT, is_http, malformed
from notifier.net.socket_state import Exchange, Unconfirmed, deserted, exchange, queued
from notifier.net.transport_errors import MalformedError, StrayError

#: Interim (1xx) answers before the final one.
_INTERIM_LIMIT: Final = 16
_HEAD_END: Final = b"\r\n\r\n"
_FINAL: Final = 200
_SWITCHING: Final = 101
#: Stands for the length of a request without a body.
_UNKNOWN: Final = 1
#: Seconds, bytes and connections for which what comes is thrown away.
LINGER: Final = 2.0
_LINGER_BYTES: Final = 256 * 1024
_LINGERING: Final = 256


# ---- one request --------------------------------------------------------------------------------------------------
class Request(aiohttp.ClientRequest):
    """Asks the connection directly before it writes, and tells it when everything was handed to the kernel."""

    #: aiohttp looks here whether it may add a Content-Type.
    _skip_auto_headers = CIMultiDict({"Content-Type": None})

    def update_auto_headers(self, _: object) -> None:
        """No headers of its own: told by a setting, aiohttp works that out for each request anew."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if self.body:
            return await super().send(conn)
        protocol = _ours(conn)
        if not protocol.ready():
            raise protocol.exception() or StrayError()
        response = await super().send(conn)
        protocol.written(_UNKNOWN)  # without a body nobody answers before the whole of it has come
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
class Protocol(ResponseHandler):
    """Reads one answer for each request, and nothing that nobody waits for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        now: Callable[[], float],
        unconfirmed: float,
        leaving: set[asyncio.Transport],
    ) -> None:
        super().__init__(loop=loop)
        self._now = now
        self._patience = unconfirmed
        self._leaving = leaving
        #: Where nothing more is sent, and how much came there and was thrown away.
        self._left: asyncio.Transport | None = None
        self._thrown_away = 0
        #: When the request was begun, by the loop's clock; and the next look whether anybody confirms it.
        self._asked_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._descriptor = -1
        self._tls = False
        self._readable = select.poll()
        self.opened_at = now()
        self._exchange: Exchange | None = None
        self._requests = 0
        #: An answer is due. Between requests, and from the end of an answer on, none is.
        self._due = False
        #: The request was begun while nothing had come.
        self._begun = False
        self._length: int | None = None
        #: The head of the answer as it came, until it is complete.
        self._head: bytes | bytearray = b""
        self._interim = 0
        self._headed = False
        self._body: Any = None
        #: Something came behind the answer.
        self._stray = False

    # ---- for the connector ----
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._readable.register(self._descriptor, select.POLLIN)
        assert self.transport is not None
        self._tls = transport.get_extra_info("sslcontext") is not None
        # What was written is then what the kernel has. (Of TLS, 0 would stand for a buffer that is always full.)
        self.transport.set_write_buffer_limits(high=1 if self._tls else 0)

    def set_response_params(self, **options: Any) -> None:
        """Called for each request, before it is sent."""
        self._exchange = mine = exchange.get()
        mine.begin()
        self._requests += 1
        self._due, self._begun, self._length = True, False, None
        self._headed = self._stray = False
        self._body, self._interim = None, 0
        self._head = b""
        super().set_response_params(**options)

    # ---- for the request ----
    def ready(self) -> bool:
        """Whether the request may be written now. Where not, the connection is over and who waits is told."""
        if self._exception is not None:
            return False
        self._begun = not self._readable.poll(0)
        if self._requests > 1 and not self._begun:
            self._fail(StrayError())
            return False
        self._begun = self._begun or self._tls  # what a handshake leaves behind is no answer
        if self._tls and self._requests == 1 and self._exchange is not None:
            self._exchange.keep(self._descriptor)
        self._asked_at = self._loop.time()
        if self._look is None:
            self._look = self._loop.call_later(self._patience, self._look_again)
        return True

    def written(self, length: int) -> None:
        """All of it, `length` bytes or more, is with the kernel."""
        self._length = length

    def _look_again(self) -> None:
        """Whether the peer's machine is there; until something of an answer came."""
        self._look = None
        if not self._due or self._head or self._headed or self.transport is None:
            return
        left = self._asked_at + self._patience - self._loop.time()
        if left <= 0 and deserted(self.transport.get_extra_info("socket"), self._patience):
            self._fail(aiohttp.ClientOSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
        else:
            self._look = self._loop.call_later(max(left, self._patience / 10), self._look_again)

    # ---- what arrives ----
    def data_received(self, data: bytes) -> None:
        if self._left is not None:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:
                self._left.abort()
            return
        if not self._due and self._requests:
            if data:
                self._drop()
            return
        if self._due and not self._headed:
            rest = self._heads(data)
            if rest is None:
                return
            data, self._stray = rest, bool(rest) and self._body.is_eof()
        if not self._stray:
            super().data_received(data)
        if self._headed and self._body.is_eof():
            self._end()

    def _heads(self, data: bytes) -> bytes | None:
        """Read heads; what is behind the final one, None while that is not complete.

        A head goes in alone: what came in one packet with something malformed is lost otherwise, whole or not.
        """
        while data and not self._headed:
            end = data.find(_HEAD_END) + len(_HEAD_END)
            part, data = (data[:end], data[end:]) if end >= len(_HEAD_END) else (data, b"")
            if self._head:
                self._head = bytearray(self._head) if isinstance(self._head, bytes) else self._head
                self._head += part
            elif self._begins():
                self._head = part
            else:
                return None
            if len(self._head) > HEAD_LIMIT:
                self._fail(MalformedError(malformed(bytes(self._head))))
            else:
                super().data_received(part)
            if self._exception is not None:
                return None
        return data if self._headed else None

    def _begins(self) -> bool:
        """Whether the message whose first byte has come may be an answer to our request."""
        assert self._exchange is not None
        mine = self._exchange
        mine.answer_began = True
        waiting = queued(self._descriptor)
        # Of what the peer's machine has not got, nothing was read.
        unread = self._length is None or waiting >= self._length
        mine.early = self._length is None
        mine.unasked = not self._begun or (unread and not mine.early and self._length != _UNKNOWN)
        if mine.early:
            self._should_close = True  # a request of which a part is written leaves no connection for the next
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
        if self._headed:
            self._stray = True  # a second answer, in one packet with the first
            return
        if not is_http(bytes(self._head)):
            self._fail(MalformedError(malformed(bytes(self._head))))
            return
        self._head = b""
        if message.code < _FINAL and message.code != _SWITCHING:
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                self._fail(MalformedError("interim answers (1xx) without end, and no final one"))
            return
        self._headed, self._body = True, body
        super().feed_data(data, size)

    def _end(self) -> None:
        """The answer is complete. What was read behind it, even in part, is no answer to anything."""
        self._due, self._exchange = False, None
        parser, self._parser = self._parser, None
        try:
            begun = parser is not None and parser.feed_eof() is not None
        except Exception:  # noqa: BLE001  what is behind the answer is malformed too
            begun = True
        if begun or self._stray:
            self._drop()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """In words where it is malformed. aiohttp tells it who waits for a head; a body's reader waits for ever."""
        if isinstance(exc, aiohttp.http.HttpProcessingError):
            exc = MalformedError(malformed(None if self._headed else bytes(self._head)))
        super().set_exception(exc, *cause)
        body = self._body
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc)

    def _fail(self, error: BaseException) -> None:
        self.set_exception(error)
        self._drop()

    def _drop(self) -> None:
        """To the pool it is closed at once; see the header for what becomes of it."""
        self._should_close = True
        transport = self.transport
        if transport is None:
            return
        used = self._requests > 1 or not self._due
        if not used or transport.is_closing() or len(self._leaving) >= _LINGERING:
            transport.abort()
            return
        self._left, self.transport = transport, None
        self._leaving.add(transport)
        if transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                transport.write_eof()
        self._loop.call_later(LINGER, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._left is not None:
            self._leaving.discard(self._left)
        super().connection_lost(exc)


# ---- the pool -----------------------------------------------------------------------------------------------------
class Connector(aiohttp.TCPConnector):
    """Keeps connections no longer than `longest_age` seconds by `now`."""

    def __init__(self, *, now: Callable[[], float], longest_age: float, unconfirmed: float, **options: Any) -> None:
        super().__init__(**options)
        self._now = now
        self._longest_age = longest_age
        #: Nothing is sent there any more.
        self._leaving: set[asyncio.Transport] = set()
        make: Callable[[], ResponseHandler] = partial(
            Protocol, self._loop, now=now, unconfirmed=unconfirmed, leaving=self._leaving
        )
        self._factory = make  # type: ignore[assignment]  # aiohttp declares what it puts there itself

    async def _get(self, key: ConnectionKey, traces: Any) -> Connection | None:
        asked = exchange.get()
        asked.key = key
        while (kept := await super()._get(key, traces)) is not None:
            if not asked.fresh and not self._old(_ours(kept)):
                return kept
            kept.close()
            if asked.fresh:  # its own takes this one's place: attempts without end do not keep connections without end
                return None
        return None

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        old = isinstance(protocol, Protocol) and self._old(protocol)
        super()._release(key, protocol, should_close=should_close or old)

    def _old(self, protocol: Protocol) -> bool:
        return self._now() - protocol.opened_at >= self._longest_age

    def drop_idle(self, key: ConnectionKey | None = None) -> None:
        """Close all that is kept to the same host, or through the same proxy; without a key, all that is kept."""
        for other in [each for each in self._conns if key is None or _peer(each) == _peer(key)]:
            for protocol, _ in self._conns.pop(other):
                protocol.close()

    def end_leaving(self) -> None:
        """Before the connector is closed."""
        for transport in self._leaving:
            transport.abort()
        self._leaving.clear()

    def _update_proxy_auth_header_and_build_proxy_req(self, req: aiohttp.ClientRequest) -> aiohttp.ClientRequest:
        asking = super()._update_proxy_auth_header_and_build_proxy_req(req)
        asking.response_class = _Tunnel
        return asking


def repeat_nothing(session: aiohttp.ClientSession) -> None:
    """What is made a second time, and when, the transport decides."""
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
