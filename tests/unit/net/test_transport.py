"""The wire, against real sockets on this machine that say what real servers say, and worse."""

import socket
import ssl
import threading
import zlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import aiohttp
import anyio
import httpx
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import HttpProcessingError

from notifier.net.transport import AiohttpTransport
from notifier.net.transport_errors import (
    AddressRefused,
    ConnectionLost,
    DeadlinePassed,
    NameNotResolved,
    TlsFailed,
    translate,
)
from notifier.net.urls import Address
from tests.support.peers import OK, Peer, Resolver, answering, exchange, post, serving, wired

#: Every test runs on each of these event loops.
LOOPS = ("asyncio", "uvloop")


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
    """Its body is not decoded, even if it says gzip and is garbage; headers are as sent."""
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


@pytest.mark.parametrize(
    "headers",
    [
        [b"X-Big: " + b"x" * 65_000],
        [b"X-%d: y" % number for number in range(498)],
        [b"X-%d: " % number + b"y" * 8_500 for number in range(100)],
    ],
    ids=["65,000 bytes", "500 headers", "many large ones"],
)
async def test_large_heads_are_read(headers: list[bytes]) -> None:
    """64 KiB a header and 500 of them are as many as anybody sends."""
    reply = b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"Content-Length: 2", b"Connection: keep-alive", b"", b"ok"])
    async with serving(answering(reply, reply)) as server, wired() as transport:
        for _ in range(2):
            response, body = await exchange(transport, post(server.url()))
            assert (response.status_code, body) == (200, b"ok")
        assert len(response.headers) == len(headers) + 2
        assert server.connections == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", 'the answer begins with "SSH-2.0-OpenSSH_9.2p1"'),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the answer is TLS: write https:// in the url, not http://"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), "the answer is HTTP/2"),
        (
            b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 100_000 + b"\r\n\r\n",
            'the header "X-Big" of the answer is above 64 KiB',
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 501 + b"\r\n", "the answer has more than 500 headers"),
        (b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 9_000 + b"\r\n") * 200, "are above 1 MiB together"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", 'malformed header: "Content-Length: many"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "Content-Length 2 times"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 'begins with "RTSP/1.0 200 OK": is this the right port?'),
        (b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n", 'the first line of the answer is "HTTP/1.1 000 X"'),
        (b"HTTP/1.1 099 X\r\n\r\n", 'the first line of the answer is "HTTP/1.1 099 X"'),
        (b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n", 'malformed header: "bad name: x"'),
    ],
    ids=lambda value: str(value[:30]),
)
@pytest.mark.parametrize("split", [False, True], ids=["at once", "in two parts"])
async def test_what_is_no_http_is_told_in_words(reply: bytes, said: str, split: bool) -> None:  # noqa: FBT001  a parameter
    """It names the line and shows what came; never as Python writes it."""

    async def talk(peer: Peer) -> None:
        await peer.request()
        first = 20 if split and reply.startswith(b"HTTP") else len(reply)
        await peer.send(reply[:first])
        await anyio.wait_all_tasks_blocked()
        await peer.send(reply[first:])
        await peer.gone()

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            await exchange(transport, post(server.url()))
    assert said in str(caught.value)
    assert not [mark for mark in ("b'", 'b"', "Errno", "_ssl.c", "Error") if mark in str(caught.value)]


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
    assert "its chunks do not have the form" in str(caught.value), "words for a person"


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
    """Literal addresses pass no resolver, and are refused too."""
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
    """Wherever it is in the list."""
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
def test_every_error_of_the_engine_has_a_translation_in_words() -> None:
    """Total: whatever class a new version adds, httpx's callers see a TransportError, and nothing of its text."""
    classes: list[Any] = [
        kind
        for kind in vars(client_exceptions).values()
        if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError)
    ]
    assert len(classes) > 20
    others = [OSError, TimeoutError, ConnectionResetError, BrokenPipeError, ValueError, RuntimeError, KeyError]
    raw = "[Errno 1] <b'raw'> (_ssl.c:1)"
    loud = {"__str__": lambda _: raw, "__repr__": lambda _: raw, "os_error": None, "message": raw}
    for kind in [*classes, *others, HttpProcessingError, http_exceptions.LineTooLong]:
        speaking: Any = type(kind.__name__, (kind,), loud)
        said = translate(speaking.__new__(speaking))
        assert isinstance(said, httpx.TransportError), kind
        assert str(said), kind
        assert "raw" not in str(said), kind
        assert kind.__name__ not in str(said), kind


@pytest.mark.parametrize(
    "cause",
    [
        OSError("raw b'x'"),
        OSError(111, "raw"),
        OSError(1234, "raw"),
        OSError(111, "raw ('127.0.0.1', 1)"),
        ssl.SSLError(1, "[SSL: RAW] raw (_ssl.c:1006)"),
        TimeoutError("raw"),
    ],
)
def test_what_a_connect_met_is_told_without_its_text(cause: OSError) -> None:
    """Whatever the system or a library put there."""
    key: Any = ConnectionKey("h", 443, True, True, None, None, None)
    for kind in (aiohttp.ClientConnectorError, aiohttp.ClientConnectorSSLError, aiohttp.ClientProxyConnectionError):
        said = str(translate(kind(key, cause)))
        assert said
        assert not [mark for mark in ("raw", "Errno", "_ssl.c", "b'", "Error(") if mark in said]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (aiohttp.ClientOSError(104, "Connection reset by peer"), "the server reset the connection"),
        (aiohttp.ClientOSError(32, "Broken pipe"), "the server closed the connection before the request was written"),
        (aiohttp.ClientOSError(110, "Connection timed out"), "confirmed nothing of what was sent"),
        (aiohttp.ClientOSError(5, "Input/output error"), "the connection broke before the answer was complete"),
        (ValueError("Forbidden control character b'x'"), "look for a line break or a control character in a header"),
        (aiohttp.InvalidURL("http://"), "write http:// or https:// and a host"),
        (KeyError("x"), "the exchange broke off"),
    ],
)
def test_what_breaks_off_is_told_in_words(error: BaseException, said: str) -> None:
    """Who did what, as far as that is known."""
    assert said in str(translate(error))


async def test_what_cannot_be_sent_is_an_error_of_the_same_family() -> None:
    """A scheme it does not speak, a header that would forge another."""
    async with wired() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await exchange(transport, post("ftp://127.0.0.1/"))
        with pytest.raises(httpx.TransportError):
            await exchange(transport, post("http://127.0.0.1/", headers={"x": "a\r\nb: c"}))
