"""Answers of endpoints, and replies of providers, as bytes on a real socket: always an Answer, or a ProviderError."""

import gzip
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import strategies as st

from notifier.delivery.sender import KEPT, Sender
from notifier.domain.errors import ProviderBusy, ProviderRefused
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import Answer, Verdict
from notifier.domain.settings import EndpointSettings, ProviderSettings, Secret
from notifier.domain.verdict import judge
from notifier.net.transport import AiohttpTransport
from notifier.providers.base import PollRequest
from notifier.providers.client import ProviderClient
from notifier.runtime.clock import SystemClock
from tests.support.bounds import PATIENCE, fuzzed, mutated
from tests.support.messages import MESSAGE

pytestmark = PATIENCE

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SEEDS = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\nServer: x\r\nRetry-After: 120\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nto the end",
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n[{"a"\r\n2\r\n:1\r\n0\r\nX: y\r\n\r\n',
    b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /a?b\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"[]"),
    b"<html><h1>HTTP/0.9</h1>\r\n",
]
TOKENS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b":",
    b" ",
    b"\0",
    b"\xff",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/2.0 200\r\n",
    b"HTTP/1.1 999999 \r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Connection: keep-alive\r\n",
    b"Set-Cookie: a=b\r\n",
    b"Retry-After: 1e9\r\n",
    b"X: y\r\n",
    b" folded\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"-1\r\n",
]
ENDS = st.sampled_from(["close", "close", "reset", "half", "open"])


class Mouth:
    """A server that reads a request, says the bytes it was given, and ends as it was told."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._says, self._end = b"", "close"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        for peer in self._open:
            peer.close()
        self._open.clear()

    def say(self, content: bytes, end: str) -> None:
        self.hang_up()
        self._says, self._end = content, end

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                peer.settimeout(5)
                with suppress(OSError):
                    self._talk(peer, self._says, self._end)

    def _talk(self, peer: socket.socket, says: bytes, end: str) -> None:
        if end == "open":
            self._open.append(peer)
        try:
            head = b""
            while b"\r\n\r\n" not in head and (more := peer.recv(65_536)):
                head += more
            peer.sendall(says)
            if end == "half":
                peer.shutdown(socket.SHUT_WR)
                peer.recv(1)
        finally:
            if end == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if end != "open":
                peer.close()


class Line:
    """The daemon's own wire in a loop of its own; each exchange has a short deadline."""

    def __init__(self, portal: BlockingPortal, port: int) -> None:
        self._portal = portal
        self._url = f"http://127.0.0.1:{port}"
        self._wire = AiohttpTransport()
        self._sender = Sender(open_wire=self._wire, guarded_wire=self._wire)
        self._client = ProviderClient(self._wire, clock=SystemClock())

    def close(self) -> None:
        self._portal.call(self._wire.aclose)

    def post(self) -> Answer:
        policy = EndpointSettings(
            identity=EndpointIdentity("a"),
            destination=Destination("a"),
            url=f"{self._url}/hook",
            secrets=(Secret(SECRET),),
            timeout=timedelta(seconds=DEADLINE),
        )

        async def ask() -> Answer:
            with anyio.fail_after(FAR):
                return await self._sender.post(MESSAGE, policy, now=NOW)

        return self._portal.call(ask)

    def ask(self) -> int:
        """The size of the reply's body."""
        settings = ProviderSettings(
            name=ProviderName("luma"),
            kind="aimlapi-luma",
            base_url=self._url,
            api_key=Secret("sk-0123456789abcdef"),
            request_timeout=timedelta(seconds=DEADLINE),
        )

        async def ask() -> int:
            with anyio.fail_after(FAR):
                url = f"{self._url}/v2/x?generation_ids%5B%5D=a"
                reply = await self._client.ask(PollRequest(ids=(GenerationId("a"),), url=url, batch=False), settings)
                return len(reply.body)

        return self._portal.call(ask)


#: Seconds of one exchange, and what only a deadline that does not hold would reach.
DEADLINE = 0.3
FAR = 20.0


@contextmanager
def talking() -> Iterator[tuple[Mouth, Line]]:
    mouth = Mouth()
    try:
        with start_blocking_portal(backend_options={"use_uvloop": True}) as portal:
            line = Line(portal, mouth.port)
            try:
                yield mouth, line
            finally:
                mouth.hang_up()
                line.close()
    finally:
        mouth.close()


def test_any_bytes_are_an_answer() -> None:
    """With a verdict, a bounded head and a printable line; nothing is raised, and the deadline holds."""
    with talking() as (mouth, line):

        @fuzzed(mutated(SEEDS, TOKENS), ENDS, examples=250)
        def tried(content: bytes, end: str) -> None:
            mouth.say(content, end)
            answer = line.post()
            assert judge(answer) in Verdict
            assert len(answer.head) <= KEPT
            assert answer.detail.isprintable()
            assert judge(answer) is not Verdict.DELIVERED or b" 2" in content

        tried()


def test_any_bytes_are_a_reply_or_a_provider_error() -> None:
    """A body within its bound, or one printable line that names the provider and never the key."""
    with talking() as (mouth, line):

        @fuzzed(mutated(SEEDS, TOKENS), ENDS, examples=250)
        def tried(content: bytes, end: str) -> None:
            mouth.say(content, end)
            try:
                assert line.ask() <= 2**21
            except (ProviderBusy, ProviderRefused) as error:
                assert str(error).isprintable()
                assert "luma" in str(error)
                assert "sk-0123" not in str(error)

        tried()
