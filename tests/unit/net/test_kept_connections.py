"""An answer counts for the request that it answers alone; a connection is kept while nothing speaks against it."""

import ctypes
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import anyio
import httpx
import pytest
import trustme
from anyio.abc import SocketAttribute

from notifier.domain.settings import Secret, TlsSettings
from notifier.net import aiohttp_hooks
from notifier.net.aiohttp_hooks import Protocol
from notifier.net.transport import LONGEST_AGE, AiohttpTransport
from notifier.net.transport_errors import ConnectionLost, DeadlinePassed
from tests.support.peers import BROKEN, OK, Peer, Resolver, answering, exchange, post, serving, wired

#: Every test runs on each of these event loops.
LOOPS = ("asyncio", "uvloop")


def saying(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


TRUE = saying(200, b"true")
STRAYS = {
    "whole 200": saying(200, b"stray"),
    "410": saying(410),
    "408 and close": saying(408, b"", b"Connection: close"),
    "503": saying(503, b"", b"Retry-After: 3600"),
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "half": b"HTTP/1.1 410 Go",
    "one byte": b"H",
    "line end": b"\r\n",
    "garbage": b"\x00\xff\x00",
    "many": saying(200, b"stray") * 100,
}


def kept(transport: AiohttpTransport) -> list[Protocol]:
    """What lies in the pool."""
    assert transport._pool is not None
    return [each for queue in transport._pool._conns.values() for each, _ in queue]  # type: ignore[misc]  # ours alone


# ---- an answer that nobody asked for ------------------------------------------------------------------------------
@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
async def test_bytes_on_an_idle_connection_close_it(stray: bytes) -> None:
    """Whatever they are; the next request has a new connection and its own answer."""
    gone, send = anyio.Event(), anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(OK)
            await send.wait()
            await peer.send(stray)
            await peer.gone()
            gone.set()
        else:
            await peer.send(TRUE)

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url()))
        send.set()
        with anyio.fail_after(10):
            await gone.wait()
        response, body = await exchange(transport, post(server.url()))
        assert (response.status_code, body) == (200, b"true")
        assert server.connections == 2


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("stray", [STRAYS["whole 200"], STRAYS["410"], STRAYS["half"]], ids=["200", "410", "half"])
async def test_bytes_that_wait_in_the_kernel_are_not_the_next_answer(stray: bytes, method: str) -> None:
    """They came between two turns of the loop, directly before the request goes out: nothing goes out there."""
    heard: list[tuple[int, bytes]] = []
    peers: list[Peer] = []

    async def talk(peer: Peer) -> None:
        peers.append(peer)
        while True:
            heard.append((peer.number, await peer.request()))
            await peer.send(OK if peer.number == 1 else TRUE)

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url()))
        os.write(peers[0].stream.extra(SocketAttribute.raw_socket).fileno(), stray)
        request = post(server.url()) if method == "POST" else httpx.Request("GET", server.url("/1,2"))
        assert (await exchange(transport, request))[1] == b"true"
        assert [number for number, _ in heard] == [1, 2]


@pytest.mark.parametrize("behind", [STRAYS["whole 200"], STRAYS["half"], STRAYS["one byte"], STRAYS["garbage"]])
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
    ids=["length", "empty", "chunked"],
)
async def test_what_comes_in_one_packet_with_an_answer_is_no_answer_either(answer: bytes, behind: bytes) -> None:
    """The answer itself counts; its connection is not used again."""

    async def talk(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(answer + behind if peer.number == 1 else TRUE)

    async with serving(talk) as server, wired() as transport:
        response, body = await exchange(transport, post(server.url()))
        assert (response.status_code, body) in ((200, b"ok"), (204, b""))
        assert (await exchange(transport, post(server.url())))[1] == b"true"
        assert server.connections == 2


async def test_an_answer_is_refused_that_was_sent_before_the_request_was_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the other machine has confirmed nothing of a request, it cannot have answered it."""
    heard = []

    async def talk(peer: Peer) -> None:
        while True:
            heard.append((peer.number, await peer.request()))
            await peer.send(TRUE if peer.number > 1 else OK if len(heard) == 1 else saying(410))

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url()))
        monkeypatch.setattr(aiohttp_hooks, "queued", lambda _: 1_000_000 if server.connections == 1 else 0)
        assert (await exchange(transport, post(server.url())))[1] == b"true"
    assert [number for number, _ in heard] == [1, 1, 2]


@pytest.mark.parametrize("through", ["https", "proxy"])
async def test_a_stray_answer_is_none_behind_tls_and_proxies_either(
    through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule belongs to every connection."""
    monkeypatch.setattr(aiohttp_hooks, "LINGER", 0.1)
    authority = trustme.CA()
    context = None
    if through == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    gone, send = anyio.Event(), anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(OK)
            await send.wait()
            await peer.send(saying(410))
            await peer.gone()
            gone.set()
        else:
            await peer.send(TRUE)

    with authority.cert_pem.tempfile() as file:
        async with serving(talk, tls=context) as server, wired() as transport:
            extensions = {"tls": TlsSettings(ca=file)} if context else {"proxy": Secret(server.url("").rstrip("/"))}
            url = server.url(scheme="https") if context else "http://app.example.test/"
            await exchange(transport, post(url, extensions=extensions))
            send.set()
            with anyio.fail_after(10):
                await gone.wait()
            assert (await exchange(transport, post(url, extensions=extensions)))[1] == b"true"


async def test_what_a_server_has_not_read_yet_when_it_sends_too_much_is_left_to_it() -> None:
    """Each of its answers is one too early, so two requests wait unread at the end: no reset takes them away."""
    gone, done, unread = threading.Event(), threading.Event(), bytearray()

    def talk(connection: socket.socket) -> None:
        size = len(connection.recv(65_536))
        connection.sendall(OK)
        for waiting in (size, 2 * size):
            while len(connection.recv(65_536, socket.MSG_PEEK)) < waiting:
                pass
            connection.sendall(OK)
        connection.sendall(saying(410))
        gone.wait(10)
        for _ in range(2):
            unread.extend(connection.recv(size))
            with suppress(OSError):
                connection.sendall(OK)  # if nobody takes it, the second one fails
                connection.sendall(OK)
                continue
            break
        done.set()

    with blocking_server(talk) as url:
        async with wired() as transport:
            for _ in range(3):
                await exchange(transport, post(url))
            with anyio.fail_after(10):
                while any(each.is_connected() for each in kept(transport)):
                    await anyio.wait_all_tasks_blocked()
            gone.set()
            await anyio.to_thread.run_sync(done.wait, 10)
    assert unread.count(b'{"a":1}') == 2


async def test_a_connection_that_sends_without_end_is_closed_all_the_same() -> None:
    """What comes there is thrown away, but not for ever."""
    broken = anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        try:
            while True:
                await peer.send(saying(200) * 100)
        except BROKEN:
            broken.set()

    async with serving(talk) as server, wired() as transport:
        await exchange(transport, post(server.url()))
        with anyio.fail_after(10):
            await broken.wait()


@pytest.mark.parametrize("status", [408, 410, 421])
async def test_what_may_be_said_of_a_connection_is_asked_again(status: int) -> None:
    """On a new connection, where the second answer counts; on the first one of all it counts at once."""
    heard = []

    async def talk(peer: Peer) -> None:
        while True:
            heard.append((peer.number, await peer.request()))
            await peer.send(saying(status) if len(heard) == 2 or peer.number > 2 else TRUE)

    async with serving(talk) as server, wired() as transport:
        assert (await exchange(transport, post(server.url())))[0].status_code == 200
        assert (await exchange(transport, post(server.url())))[0].status_code == 200
        assert [number for number, _ in heard] == [1, 1, 2]
        await transport.aclose()
    async with serving(answering(saying(status), TRUE)) as server, wired() as transport:
        assert (await exchange(transport, post(server.url())))[0].status_code == status
        assert server.connections == 1


# ---- an answer before the whole request ---------------------------------------------------------------------------
def large(url: str, size: int = 1_000_000) -> httpx.Request:
    return httpx.Request("POST", url, content=b"x" * size, extensions={"timeout": {"total": 20}})


class Narrow(AiohttpTransport):
    """Its kernel takes little of a request at a time."""

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        made = super()._open_socket(address)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return made


async def test_success_before_the_whole_request_was_sent_is_no_delivery() -> None:
    """The server read the head and nothing more."""

    async def talk(peer: Peer) -> None:
        await peer.stream.receive()
        await peer.send(OK)
        await peer.stream.receive()

    async with serving(talk) as server, Narrow() as transport:
        with pytest.raises(ConnectionLost, match="answered 200 before the whole request was sent"):
            await exchange(transport, large(server.url()))
        assert kept(transport) == []


@pytest.mark.parametrize("status", [410, 413, 503])
async def test_a_refusal_before_the_whole_request_was_sent_is_one(status: int) -> None:
    """Of a new connection: what was read of the request sufficed to refuse it."""

    async def talk(peer: Peer) -> None:
        await peer.stream.receive()
        await peer.send(saying(status))
        await peer.stream.receive()

    async with serving(talk) as server, Narrow() as transport:
        response, _ = await exchange(transport, large(server.url()))
        assert response.status_code == status
        assert kept(transport) == []


async def test_an_early_410_on_a_kept_connection_is_asked_again() -> None:
    """It may be an answer to nothing."""

    async def talk(peer: Peer) -> None:
        if peer.number == 1:
            await peer.request()
            await peer.send(OK)
            await peer.stream.receive()
            await peer.send(saying(410))
            await peer.stream.receive()
        else:
            await peer.request()
            await peer.send(TRUE)

    async with serving(talk) as server, Narrow() as transport:
        await exchange(transport, post(server.url()))
        assert (await exchange(transport, large(server.url())))[1] == b"true"


async def test_an_interim_answer_may_come_early() -> None:
    """100 and 103 are meant to; what follows is judged by itself."""

    async def talk(peer: Peer) -> None:
        peer._buffer += await peer.stream.receive()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
        await peer.request()
        await peer.send(TRUE)

    async with serving(talk) as server, Narrow() as transport:
        assert (await exchange(transport, large(server.url())))[1] == b"true"


@contextmanager
def blocking_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """In a thread, with a small window: what is not read stays with the client's machine. Its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)
        assert not thread.is_alive()


async def test_a_server_that_closes_without_the_whole_request_got_no_delivery() -> None:
    """All of it was with our kernel, and the rest never arrives."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(OK)

    with blocking_server(talk) as url:
        async with wired() as transport:
            with pytest.raises(ConnectionLost, match=r"answered 200 .*the whole request"):
                await exchange(transport, large(url, 300_000))


@pytest.mark.parametrize("header", [b"X: y", b"Connection: close"])
async def test_a_server_that_answers_first_and_reads_on_got_a_delivery(header: bytes) -> None:
    """Workers at the edge of a network do so. The answer counts when their machine has confirmed the last byte."""
    answered = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(saying(200, b"ok", header))
        answered.wait(10)
        while connection.recv(65_536):
            pass

    with blocking_server(talk) as url:
        async with wired() as transport, anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, time.sleep, 0.05)  # the server's pause
            tasks.start_soon(_set_after_a_turn, answered)
            assert (await exchange(transport, large(url, 300_000)))[1] == b"ok"


async def _set_after_a_turn(event: threading.Event) -> None:
    await anyio.sleep(0.05)  # the server's pause
    event.set()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_server_that_is_slow_to_read_is_waited_for(*, tls: bool) -> None:
    """Its machine takes no more for a while, and confirms that it is there: that is no dead connection."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def talk(connection: socket.socket) -> None:
        stream = context.wrap_socket(connection, server_side=True) if tls else connection
        for busy in (tls, not tls):
            time.sleep(0.8 * busy)  # many times as long as a dead connection is given
            read = b""
            while not read.endswith(b"xEND"):
                read += stream.recv(65_536)
            stream.sendall(OK)
        stream.close()

    with authority.cert_pem.tempfile() as file, blocking_server(talk) as url:
        async with wired(unconfirmed=0.05) as transport:
            for _ in range(2):  # a new connection, and a kept one
                request = httpx.Request(
                    "POST",
                    url.replace("http:", "https:") if tls else url,
                    content=b"x" * 300_000 + b"END",
                    extensions={"timeout": {"total": 20}, "tls": TlsSettings(ca=file) if tls else None},
                )
                assert (await exchange(transport, request))[1] == b"ok"


async def test_a_new_server_answers_nothing_that_its_machine_has_not_got(monkeypatch: pytest.MonkeyPatch) -> None:
    """It spoke first, and the request crossed its word on the way: a 410 is none, and a 200 no delivery."""
    for status in (200, 410):
        async with serving(answering(saying(status))) as server, wired() as transport:
            monkeypatch.setattr(aiohttp_hooks, "queued", lambda _: 1_000_000)
            with pytest.raises(ConnectionLost, match=f"answered {status} before anything of the request was sent"):
                await exchange(transport, post(server.url()))


async def test_an_answer_before_anything_was_sent_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its status: a server that speaks first cannot know what it will be asked."""
    made = Protocol.connection_made

    def slowly(protocol: Protocol, transport: Any) -> None:
        made(protocol, transport)
        time.sleep(0.1)  # the loop is blocked until the server has spoken

    monkeypatch.setattr(Protocol, "connection_made", slowly)

    def talk(connection: socket.socket) -> None:
        connection.sendall(saying(410))
        connection.recv(1024)

    with blocking_server(talk) as url:
        async with wired() as transport:
            with pytest.raises(ConnectionLost, match="answered 410 before anything of the request was sent"):
                await exchange(transport, post(url))


# ---- dead connections ---------------------------------------------------------------------------------------------
@contextmanager
def deaf(protocols: list[Protocol]) -> Iterator[None]:
    """These sockets hear nothing meanwhile, as if the cable were cut: the kernel drops what arrives for them."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0 bytes of the packet
    filter_ = struct.pack("HL", 1, ctypes.addressof(program))
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket(fileno=os.dup(each._descriptor))) for each in protocols]
        for each in sockets:
            try:
                each.setsockopt(socket.SOL_SOCKET, 26, filter_)  # SO_ATTACH_FILTER
            except PermissionError:
                pytest.skip("this user may not filter what a socket hears")
        yield
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER


async def _fill(transport: AiohttpTransport, url: str, count: int) -> None:
    """Keep so many connections."""
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(exchange, transport, post(url))
    assert len(kept(transport)) == count


def together(count: int) -> tuple[Callable[[Peer], Any], anyio.Event]:
    """Answers the first request of each connection once `count` have come; resets those connections when told."""
    waiting, all_here, die = 0, anyio.Event(), anyio.Event()

    async def talk(peer: Peer) -> None:
        nonlocal waiting
        await peer.request()
        if peer.number > count:
            await peer.send(TRUE)
            return
        waiting += 1
        if waiting == count:
            all_here.set()
        await all_here.wait()
        await peer.send(OK)
        await die.wait()
        raw = peer.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return talk, die


async def test_dead_kept_connections_cost_no_request() -> None:
    """32 died without a word: each request is repeated on a new connection, not on the next dead one."""
    talk, die = together(32)
    async with serving(talk) as server, wired() as transport:
        await _fill(transport, server.url(), 32)
        dead = kept(transport)
        with deaf(dead):
            die.set()
            await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(_told, transport, server.url())
        assert server.connections == 32 + 8
        assert not set(dead) & set(kept(transport))


async def _told(transport: AiohttpTransport, url: str) -> None:
    with anyio.fail_after(10):
        assert (await exchange(transport, post(url)))[1] == b"true"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_is_repeated_once_it_is_allowed(method: str) -> None:
    """The caller counts it; until then nothing is sent."""
    talk, die = together(1)
    asked, granted = anyio.Event(), anyio.Event()

    async def allowed() -> None:
        asked.set()
        await granted.wait()

    async def repeated() -> None:
        answers.append(
            await exchange(transport, httpx.Request(method, server.url(), extensions={"before_repeat": allowed}))
        )

    answers: list[Any] = []
    async with serving(talk) as server, wired() as transport:
        await _fill(transport, server.url(), 1)
        with deaf(kept(transport)):
            die.set()
            await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(repeated)
            await asked.wait()
            assert server.connections == 1
            granted.set()
        assert answers[0][1] == b"true"
        assert server.connections == 2


async def test_a_request_whose_own_connection_is_lost_is_made_once() -> None:
    """Whatever its method: what a new connection meets is the caller's to judge."""

    async def talk(peer: Peer) -> None:
        await peer.request()

    async with serving(talk) as server, wired() as transport:
        with pytest.raises(ConnectionLost):
            await exchange(transport, httpx.Request("GET", server.url()))
        assert server.connections == 1


async def test_one_dead_connection_drops_its_idle_neighbours() -> None:
    """And those of no other host."""
    talk, die = together(4)
    async with serving(talk) as server, serving(answering(OK, OK)) as other, wired() as transport:
        await _fill(transport, server.url(), 4)
        await exchange(transport, post(other.url()))
        with deaf(kept(transport)[:4]):
            die.set()
            await anyio.wait_all_tasks_blocked()
        await _told(transport, server.url())
        assert server.connections == 5
        await exchange(transport, post(other.url()))
        assert other.connections == 1


async def test_a_connection_into_the_dark_is_given_up_long_before_the_deadline() -> None:
    """Nothing of the request is confirmed: it is repeated on a new one."""
    heard: list[int] = []

    async def talk(peer: Peer) -> None:
        while True:
            await peer.request()
            heard.append(peer.number)
            await peer.send(TRUE)

    async with serving(talk) as server, wired(unconfirmed=0.1) as transport:
        await exchange(transport, post(server.url()))
        with deaf(kept(transport)):
            await _told(transport, server.url())
        assert server.connections == 2
    assert heard[-1] == 2


async def test_a_silent_kept_connection_takes_its_neighbours_with_it() -> None:
    """The request has met its deadline; the next one does not wait for another dead connection."""
    talk, _ = together(4)
    async with serving(talk) as server, wired() as transport:
        await _fill(transport, server.url(), 4)
        with pytest.raises(DeadlinePassed):
            await exchange(transport, post(server.url(), total=0.05))
        assert kept(transport) == []
        await _told(transport, server.url())


# ---- age ----------------------------------------------------------------------------------------------------------
async def test_a_connection_is_kept_for_a_minute_at_most() -> None:
    """However busy it is: the name may lead elsewhere by then."""
    now = 100.0
    resolver = Resolver(["127.0.0.1"])
    async with serving(answering(*[OK] * 9)) as server, wired(now=lambda: now, resolver=resolver) as transport:
        url = server.url(host="hooks.example")
        for _ in range(5):
            await exchange(transport, post(url))
            now += 14.9
        assert (server.connections, resolver.calls) == (1, 1)
        now = 100.0 + LONGEST_AGE
        await exchange(transport, post(url))
        assert (server.connections, resolver.calls) == (2, 2)


async def test_a_connection_that_grew_old_under_a_request_is_closed_after_it() -> None:
    """It is not kept for anybody."""
    now, go_on = 0.0, anyio.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK[:-2])
        await go_on.wait()
        await peer.send(OK[-2:])
        await peer.gone()

    async with serving(talk) as server, wired(now=lambda: now) as transport:
        response = await transport.handle_async_request(post(server.url()))
        now = LONGEST_AGE
        go_on.set()
        assert await response.aread() == b"ok"
        assert kept(transport) == []


async def test_a_fresh_request_has_a_new_connection_and_a_new_look_up() -> None:
    """Where a name led a moment ago is not remembered."""
    resolver = Resolver(["127.0.0.1"])
    async with serving(answering(OK, OK)) as server, wired(resolver=resolver) as transport:
        url = server.url(host="hooks.example")
        await exchange(transport, post(url))
        for connections in (2, 3):
            await exchange(transport, post(url, extensions={"fresh": True}))
            assert (server.connections, resolver.calls) == (connections, connections)
        await exchange(transport, post(url))
        assert server.connections == 3


async def test_fresh_requests_do_not_pile_up_connections() -> None:
    """Each takes the place of a kept one: thousands of retries hold as many descriptors as run at a time."""
    async with serving(answering(OK, OK)) as server, wired() as transport:
        for _ in range(20):
            await exchange(transport, post(server.url(), extensions={"fresh": True}))
        assert server.connections == 20
        assert len(kept(transport)) == 1


async def test_the_410_of_a_server_that_the_name_has_left_does_not_count() -> None:
    """The name leads to another server by now, which is well."""
    resolver = Resolver(["127.0.0.1"], ["::1"])

    async def retired(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(saying(410))

    async with serving(retired) as old, wired(resolver=resolver) as transport:
        listener = await anyio.create_tcp_listener(local_host="::1", local_port=old.port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, _new_server)
            for expected in (b"ok", b"true"):
                response, body = await exchange(transport, post(old.url(host="hooks.example")))
                assert (response.status_code, body) == (200, expected)
            tasks.cancel_scope.cancel()


async def _new_server(stream: anyio.abc.ByteStream) -> None:
    async with stream:
        await Peer(stream, 1).request()
        await stream.send(TRUE)
