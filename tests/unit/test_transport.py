"""The wire, against real sockets on this machine that say what real servers say, and worse."""

import socket
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import aiohttp
import anyio
import httpx
import pytest
from aiohttp import client_exceptions
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from notifier.aiohttp_hooks import Address
from notifier.transport import AiohttpTransport
from notifier.transport_errors import (
    AddressRefused,
    ConnectionLost,
    DeadlinePassed,
    NameNotResolved,
    TlsFailed,
    translate,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


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


def no_loopback(address: Address) -> str | None:
    return f"{address} is this machine" if address.is_loopback else None


# ---- what goes out and what comes back ----------------------------------------------------------------------------
async def test_the_request_goes_out_as_it_was_built() -> None:
    """No header of the engine's own, and the body byte for byte."""
    heard = []

    async def talk(peer: Peer) -> None:
        heard.append(await peer.request())
        await peer.send(OK)

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url("/hooks"), headers={"x-one": "1"}))
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.split(b"\r\n")[0] == b"POST /hooks HTTP/1.1"
    names = sorted(line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:])
    assert names == [b"content-length", b"host", b"x-one"]


async def test_a_url_in_the_extensions_is_sent_letter_by_letter() -> None:
    """What was checked is what is sent, odd characters included."""
    heard = []

    async def talk(peer: Peer) -> None:
        heard.append(await peer.request())
        await peer.send(OK)

    path = "/a/../%2e%2E/b|c?d[]={e}&f=%zz"
    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url(path), extensions={"url": server.url(path)}))
    assert heard[0].split(b" ")[1] == path.encode()


async def test_the_answer_comes_back_raw() -> None:
    """Its body is not decoded, even where it says gzip and is garbage; headers stand as sent."""
    reply = b"HTTP/1.1 200 Fine\r\nContent-Encoding: gzip\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 7\r\n\r\ngarbage"
    async with serving(answering(reply)) as server, wired() as transport:
        response, body = await exchange(transport, post(server.url()))
    assert body == b"garbage"
    assert response.headers.get_list("x-a") == ["1", "2"]
    assert response.headers["content-encoding"] == "gzip"
    assert response.extensions["reason_phrase"] == b"Fine"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """Trap 7: it comes back as it is, and nothing else is asked for."""
    reply = b"HTTP/1.1 %d Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n" % status
    async with serving(answering(reply, OK)) as server, wired() as transport:
        response, _ = await exchange(transport, post(server.url()))
        assert server.connections == 1
    assert (response.status_code, response.headers["location"]) == (status, "/other")


async def test_cookies_are_not_kept() -> None:
    """One receiver's cookie never travels, not even back to it."""
    heard = []

    async def talk(peer: Peer) -> None:
        for _ in range(2):
            heard.append(await peer.request())
            await peer.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")

    async with serving(talk) as server, wired() as transport:
        for _ in range(2):
            await exchange(transport, post(server.url()))
    assert b"cookie" not in heard[1].lower()


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets a variable must not learn what we send."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(answering(OK)) as server, wired() as transport:
        assert (await exchange(transport, post(server.url())))[1] == b"ok"


async def test_an_ordinary_client_works_over_it() -> None:
    """The poller's: httpx decodes, this transport does not."""
    body = zlib.compress(b'{"a": 1}', wbits=31)
    reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with (
        serving(answering(reply, OK)) as server,
        httpx.AsyncClient(transport=AiohttpTransport(), timeout=10) as client,
    ):
        answer = await client.get(server.url("/x?ids[]=1&ids[]=2"))
        assert answer.json() == {"a": 1}
        assert (await client.get(server.url())).text == "ok"


# ---- connections --------------------------------------------------------------------------------------------------
async def test_a_connection_is_used_again() -> None:
    """Kept alive between requests that were read to their end."""
    async with serving(answering(OK, OK, OK)) as server, wired() as transport:
        for _ in range(3):
            await exchange(transport, post(server.url()))
        assert server.connections == 1


async def test_no_more_connections_to_a_host_are_open_than_allowed() -> None:
    """Requests wait for each other then."""
    async with serving(answering(OK, OK, OK)) as server, wired(connections=1) as transport:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(exchange, transport, post(server.url()))
        assert server.connections == 1


async def test_closing_an_answer_early_drops_its_connection() -> None:
    """Nobody reads on only to be polite."""
    gone = anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nfirst")
        await peer.gone()
        gone.set()

    async with serving(talk) as server, wired() as transport:
        response = await transport.handle_async_request(post(server.url()))
        await response.aclose()
        with anyio.fail_after(10):
            await gone.wait()


async def test_a_kept_connection_that_turns_out_lost_is_replaced_once() -> None:
    """The server closed it while it was idle: the request goes out again on another one."""

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 1:
            await peer.request()  # and close without an answer

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url()))
        assert (await exchange(transport, post(server.url())))[1] == b"ok"
        assert server.connections == 2


async def test_a_new_connection_that_is_lost_is_not_tried_again() -> None:
    """That is the endpoint's failure, and the schedule's business."""

    async def talk(peer: Peer) -> None:
        await peer.request()

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(ConnectionLost):
            await exchange(transport, post(server.url()))
        assert server.connections == 1


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", b"HTTP/1.1 200 OK\r\nX"])
async def test_a_kept_connection_that_breaks_inside_an_answer_is_not_tried_again(part: bytes) -> None:
    """The server has read the request."""
    asked = []

    async def talk(peer: Peer) -> None:
        asked.append(await peer.request())
        await peer.send(OK)
        asked.append(await peer.request())
        await peer.send(part)

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url()))
        with pytest.raises(ConnectionLost):
            await exchange(transport, post(server.url()))
    assert len(asked) == 2


# ---- the deadline -------------------------------------------------------------------------------------------------
async def test_a_server_that_never_answers_meets_the_deadline() -> None:
    """Before the head."""

    async def talk(peer: Peer) -> None:
        await peer.gone()

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(DeadlinePassed, match="no complete answer in time"):
            await exchange(transport, post(server.url(), total=0.05))


async def test_a_body_that_drips_meets_the_same_deadline() -> None:
    """Trap 1: every byte is progress, and no progress moves the deadline."""

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"1\r\nx\r\n")
            await anyio.sleep(0.005)

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(DeadlinePassed):
            await exchange(transport, post(server.url(), total=0.1))


async def test_without_a_total_the_longest_of_httpx_numbers_is_the_deadline() -> None:
    """A client's `timeout=` means what it says, roughly."""

    async def talk(peer: Peer) -> None:
        await peer.gone()

    async with serving(talk) as server, httpx.AsyncClient(transport=AiohttpTransport(), timeout=0.05) as client:
        with pytest.raises(httpx.TimeoutException):
            await client.get(server.url())


async def test_cancelling_drops_the_connection() -> None:
    """A caller's own deadline works as well."""
    asked, gone = anyio.Event(), anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        gone.set()

    async with serving(talk) as server, wired() as transport, anyio.create_task_group() as tasks:
        tasks.start_soon(exchange, transport, post(server.url()))
        await asked.wait()
        tasks.cancel_scope.cancel()
        with anyio.move_on_after(10, shield=True):
            await gone.wait()
    assert gone.is_set()


# ---- servers that are no servers ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", ConnectionLost),
        (b"HTTP/1.1 20", ConnectionLost),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart", ConnectionLost),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npar", ConnectionLost),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n-5\r\nabc\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000 + OK, httpx.RemoteProtocolError),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else value.__name__,
)
async def test_an_answer_that_breaks_off_or_is_not_http_has_its_own_error(reply: bytes, error: type[Exception]) -> None:
    """Lost and malformed are told apart; nothing is read without bound."""
    async with serving(answering(reply)) as server, wired() as transport:
        with pytest.raises(error) as caught:
            await exchange(transport, post(server.url()))
    assert type(caught.value) is error
    assert not set("<>\n") & set(str(caught.value)), "words for a person"
    assert caught.value.request is not None  # type: ignore[attr-defined]  # all of them are httpx's


@pytest.mark.parametrize("hangs", [False, True], ids=["closes", "hangs"])
async def test_a_malformed_body_that_comes_after_its_head_is_told_at_once(hangs: bool) -> None:  # noqa: FBT001  a parameter
    """Whether its server closes or hangs: aiohttp by itself would let the reader wait until the deadline."""
    opened = anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await opened.wait()
        await peer.send(b"nothex\r\n")
        if hangs:
            await peer.gone()

    async with serving(talk) as server, wired() as transport:
        response = await transport.handle_async_request(post(server.url(), total=30))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = aiter(response.stream)
        assert await anext(chunks) == b"a"
        opened.set()
        with pytest.raises(httpx.RemoteProtocolError) as caught, anyio.fail_after(10):
            await anext(chunks)
    assert str(caught.value) == "Invalid character in chunk size", "words for a person"


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (OK + b"more", 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, b""),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n<p>gone</p>", 410, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore", 200, b"ok"),
    ],
    ids=["counted letters, not bytes", "204 with a body", "410 with a body", "chunked"],
)
async def test_what_follows_a_whole_answer_takes_nothing_from_it(reply: bytes, status: int, body: bytes) -> None:
    """It is the same answer whether the rest comes in one packet with it or later; its connection is not used again."""
    async with serving(answering(reply)) as server, wired() as transport:
        for _ in range(2):
            answer, content = await exchange(transport, post(server.url()))
            assert (answer.status_code, content) == (status, body)
    assert server.connections == 2


async def test_interim_answers_without_end_are_cut_off() -> None:
    """A flood of 1xx costs no more than a handful."""

    async def talk(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(httpx.RemoteProtocolError, match="interim"):
            await exchange(transport, post(server.url()))


async def test_a_few_interim_answers_are_skipped() -> None:
    """Early hints are HTTP."""
    reply = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 3 + OK
    async with serving(answering(reply)) as server, wired() as transport:
        assert (await exchange(transport, post(server.url())))[1] == b"ok"


async def test_a_port_where_nobody_listens_refuses() -> None:
    """Told apart from a name that does not resolve."""
    async with serving(answering(OK)) as server:
        port = server.port
    async with wired() as transport:
        with pytest.raises(httpx.ConnectError, match="refused") as caught:
            await exchange(transport, post(f"http://127.0.0.1:{port}/"))
    assert type(caught.value) is httpx.ConnectError


async def test_a_name_without_addresses_is_not_resolved() -> None:
    """The resolver's word is kept."""
    resolver = Resolver([])
    async with wired(resolver=resolver) as transport:
        with pytest.raises(NameNotResolved, match="no such name"):
            await exchange(transport, post("http://hooks.example/"))
    assert resolver.calls == 1


async def test_names_that_hang_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent name servers take neither the threads that connects need, nor those of other names."""
    looked_up, released = threading.Semaphore(0), threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(host, str) and host.endswith(".silent.example"):
            looked_up.release()
            released.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with serving(answering(OK)) as server, wired() as transport, anyio.create_task_group() as tasks:
        for number in range(16):
            tasks.start_soon(_in_vain, transport, post(f"http://{number}.silent.example/", total=30))
        for _ in range(16):
            await anyio.to_thread.run_sync(looked_up.acquire)
        for host in ("127.0.0.1", "localhost"):
            assert (await exchange(transport, post(server.url(host=host))))[1] == b"ok"
        released.set()


async def _in_vain(transport: AiohttpTransport, request: httpx.Request) -> None:
    with pytest.raises(NameNotResolved, match="Temporary failure"):
        await exchange(transport, request)


async def test_a_name_that_hangs_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport is closed, and the deadline of an exchange holds, whatever the name server does."""
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])
    with anyio.fail_after(10):
        async with wired() as transport:
            with pytest.raises(DeadlinePassed):
                await exchange(transport, post("http://silent.example/", total=0.05))
    released.set()


# ---- TLS ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    from cryptography import x509  # noqa: PLC0415  for these tests alone
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  likewise
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  likewise

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_that_nobody_vouches_for_fails(self_signed: ssl.SSLContext) -> None:
    """And the request never leaves."""
    heard: list[bytes] = []

    async def talk(peer: Peer) -> None:
        heard.append(await peer.request())

    async with serving(talk, tls=self_signed) as server, wired() as transport:
        with pytest.raises(TlsFailed, match=r"self.signed"):
            await exchange(transport, post(server.url(scheme="https")))
    assert heard == []


async def test_a_server_that_speaks_no_tls_fails() -> None:
    """The scheme says https, the port is plain."""

    async def talk(peer: Peer) -> None:
        await peer.stream.receive()
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(TlsFailed):
            await exchange(transport, post(server.url(scheme="https")))


# ---- the guard ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_refused_address_is_never_connected_to(host: str) -> None:
    """Literal addresses pass no resolver, and are refused all the same."""
    async with serving(answering(OK)) as server, wired(guard=no_loopback) as transport:
        with pytest.raises(AddressRefused, match="is this machine"):
            await exchange(transport, post(server.url(host=host)))
        assert server.connections == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001"])
async def test_an_odd_spelling_of_an_address_slips_past_nothing(host: str) -> None:
    """Should one ever get here: whatever it means, it is not connected to unasked."""
    async with serving(answering(OK)) as server, wired(guard=no_loopback) as transport:
        request = post("http://placeholder/", extensions={"url": server.url(host=host)})
        with pytest.raises(httpx.TransportError):
            await exchange(transport, request)
        assert server.connections == 0


@pytest.mark.parametrize("addresses", [["127.0.0.1", "192.0.2.1"], ["192.0.2.1", "127.0.0.1"], ["::1", "192.0.2.1"]])
async def test_a_name_is_refused_if_any_of_its_addresses_is(addresses: list[str]) -> None:
    """Wherever it stands in the list."""
    async with serving(answering(OK)) as server, wired(guard=no_loopback, resolver=Resolver(addresses)) as transport:
        with pytest.raises(AddressRefused):
            await exchange(transport, post(server.url(host="hooks.example")))
        assert server.connections == 0


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name that answers otherwise the next time is not looked up a next time for this connection."""
    checked: list[Address] = []

    def guard(address: Address) -> str | None:
        checked.append(address)
        return None

    resolver = Resolver(["127.0.0.1"], ["192.0.2.1"])
    async with serving(answering(OK)) as server, wired(guard=guard, resolver=resolver) as transport:
        await exchange(transport, post(server.url(host="hooks.example")))
        assert server.connections == 1
    assert resolver.calls == 1
    assert checked == [ip_address("127.0.0.1")] * 2  # when it was resolved, and when the socket opened


async def test_a_guard_that_allows_is_no_hindrance() -> None:
    """It answers None."""
    async with serving(answering(OK)) as server, wired(guard=lambda _: None) as transport:
        assert (await exchange(transport, post(server.url())))[1] == b"ok"


# ---- translation --------------------------------------------------------------------------------------------------
def test_every_error_of_the_engine_has_a_translation() -> None:
    """Total: whatever class a new version adds, httpx's callers see a TransportError."""
    classes: list[Any] = [
        kind
        for kind in vars(client_exceptions).values()
        if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError)
    ]
    assert len(classes) > 20
    for kind in [*classes, OSError, TimeoutError, ValueError, ssl.SSLError, RuntimeError, KeyError]:
        speaking: Any = type(kind.__name__, (kind,), {"__str__": lambda _: "said", "os_error": None})
        assert isinstance(translate(speaking.__new__(speaking)), httpx.TransportError), kind


async def test_what_cannot_be_sent_is_an_error_of_the_same_family() -> None:
    """A scheme it does not speak, a header that would forge another."""
    async with wired() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await exchange(transport, post("ftp://127.0.0.1/"))
        with pytest.raises(httpx.TransportError):
            await exchange(transport, post("http://127.0.0.1/", headers={"x": "a\r\nb: c"}))
