"""One POST, whatever comes of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import anyio
import httpx
import pytest
import structlog
from anyio.abc import SocketAttribute, SocketStream

from notifier import __version__
from notifier.delivery.sender import KEPT, READ_LIMIT, Sender, build
from notifier.domain.ids import Destination, EndpointIdentity, MessageId
from notifier.domain.model import Answer, Message, Verdict
from notifier.domain.settings import EndpointSettings, Secret
from notifier.domain.verdict import judge
from notifier.net.address_policy import Allow, refusal
from notifier.net.transport import AiohttpTransport
from notifier.net.transport_errors import (
    AddressRefused,
    ConnectionLost,
    DeadlinePassed,
    NameNotResolved,
    ProxyRefused,
    TlsFailed,
)
from notifier.net.urls import Address
from notifier.verify import verify

NOW = datetime(2026, 11, 22, 5, 14, 0, 900_000, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
MESSAGE = Message(id=MessageId("msg_a"), content_type="application/json", body='{"a":"é"}'.encode())


def policy(
    url: str = "http://hooks.example/a|b",
    *,
    timeout: float = 10.0,
    guarded: bool = False,
    headers: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (SECRET,),
) -> EndpointSettings:
    return EndpointSettings(
        identity=EndpointIdentity("studio"),
        destination=Destination("studio"),
        url=url,
        secrets=tuple(map(Secret, secrets)),
        timeout=timedelta(seconds=timeout),
        headers={name: Secret(value) for name, value in (headers or {}).items()},
        guarded=guarded,
    )


def unreachable(request: httpx.Request) -> httpx.Response:
    pytest.fail(f"{request.url} went over the wrong wire")


def sender(answer: Callable[[httpx.Request], object], *, guarded: bool = False) -> Sender:
    """Over a wire that answers by itself; the other wire fails the test."""
    this = httpx.MockTransport(answer)  # type: ignore[arg-type]  # it takes what returns an awaitable, too
    other = httpx.MockTransport(unreachable)
    return Sender(open_wire=other if guarded else this, guarded_wire=this if guarded else other)


async def answer_to(reply: Callable[[httpx.Request], object]) -> Answer:
    return await sender(reply).post(MESSAGE, policy(), now=NOW)


# ---- the request --------------------------------------------------------------------------------------------------
def test_the_request_is_signed_for_this_attempt_over_the_stored_bytes() -> None:
    """A receiver that knows any of the keys accepts it."""
    request = build(MESSAGE, policy(secrets=(OTHER, SECRET)), now=NOW)
    assert request.method == "POST"
    assert request.content == MESSAGE.body
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(len(MESSAGE.body))
    assert request.headers["host"] == "hooks.example"
    assert request.headers["user-agent"] == f"notifier/{__version__}"
    assert request.headers["webhook-id"] == "msg_a"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    for secret in (OTHER, SECRET):
        assert verify(request.content, request.headers, secret, now=NOW.timestamp()) == {"a": "é"}


def test_the_url_is_passed_on_letter_by_letter() -> None:
    """Beside the parsed one, for the wire."""
    assert build(MESSAGE, policy(), now=NOW).extensions["url"] == "http://hooks.example/a|b"


def test_headers_of_the_endpoint_are_sent_and_may_replace_ours() -> None:
    """Trap 3: a setting that is accepted acts."""
    request = build(MESSAGE, policy(headers={"Authorization": "Bearer x", "User-Agent": "mine"}), now=NOW)
    assert request.headers["authorization"] == "Bearer x"
    assert request.headers.get_list("user-agent") == ["mine"]


@pytest.mark.parametrize("guarded", [True, False], ids=["callback url", "endpoint"])
async def test_callback_urls_go_over_the_guarded_wire(guarded: bool) -> None:  # noqa: FBT001  a parameter
    """And the operator's endpoints over the open one."""
    wire = sender(lambda _: httpx.Response(200), guarded=guarded)
    assert (await wire.post(MESSAGE, policy(guarded=guarded), now=NOW)).status_code == 200


# ---- the answer ---------------------------------------------------------------------------------------------------
async def test_the_first_two_kib_of_the_answer_are_kept() -> None:
    """As bytes, undecoded."""
    short = await answer_to(lambda _: httpx.Response(200, content=b"\xffthanks"))
    assert (short.status_code, short.head, short.error, short.detail) == (200, b"\xffthanks", None, "")
    long = await answer_to(lambda _: httpx.Response(500, content=b"x" * (KEPT + 1)))
    assert long.head == b"x" * KEPT


async def test_no_more_than_16_kib_of_an_answer_are_read() -> None:
    """The rest is never asked for, and what came counts."""
    given = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal given
            while True:
                given += 1024
                yield b"x" * 1024

    answer = await answer_to(lambda _: httpx.Response(200, stream=Endless()))
    assert (answer.status_code, answer.error, len(answer.head)) == (200, None, KEPT)
    assert given == READ_LIMIT


async def test_retry_after_and_location_are_read_where_they_mean_something() -> None:
    """A location only of a 3xx."""
    headers = {"Retry-After": "120", "Location": "https://new.example/"}
    busy = await answer_to(lambda _: httpx.Response(429, headers=headers))
    moved = await answer_to(lambda _: httpx.Response(301, headers=headers))
    assert (busy.retry_after, busy.location) == (120.0, None)
    assert (moved.retry_after, moved.location) == (120.0, "https://new.example/")


async def test_text_from_outside_is_made_printable() -> None:
    """It ends up in a terminal."""
    moved = await answer_to(lambda _: httpx.Response(302, headers=[(b"location", b"/\x1b[31m")]))
    assert moved.location is not None
    assert moved.location.isprintable()

    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("a\nb\x1b[31m" + "x" * 10_000)

    answer = await answer_to(fail)
    assert answer.detail.isprintable()
    assert len(answer.detail) <= 300


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (AddressRefused("10.0.0.1 is private"), Verdict.ADDRESS_REFUSED),
        (ProxyRefused("no"), Verdict.PROXY_REFUSED),
        (NameNotResolved("no"), Verdict.DNS_FAILED),
        (TlsFailed("no"), Verdict.TLS_FAILED),
        (httpx.ConnectError("no"), Verdict.CONNECT_FAILED),
        (DeadlinePassed("no"), Verdict.TIMED_OUT),
        (httpx.ConnectTimeout("no"), Verdict.TIMED_OUT),
        (httpx.ReadTimeout("no"), Verdict.TIMED_OUT),
        (ConnectionLost("no"), Verdict.RESET),
        (httpx.WriteError("no"), Verdict.RESET),
        (httpx.RemoteProtocolError("no"), Verdict.PROTOCOL_ERROR),
        (httpx.UnsupportedProtocol("no"), Verdict.PROTOCOL_ERROR),
    ],
)
async def test_every_failure_is_an_answer_with_its_own_verdict(error: Exception, verdict: Verdict) -> None:
    """Nothing is raised, not even what nobody thought of."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    answer = await answer_to(fail)
    assert (answer.status_code, answer.error) == (None, verdict)
    assert str(error) in answer.detail
    assert judge(answer) is verdict


@pytest.mark.parametrize("error", [RuntimeError("b'raw'"), KeyError("raw"), OSError(5, "raw"), httpx.InvalidURL("raw")])
async def test_an_unexpected_error_is_reported_without_its_text(error: Exception) -> None:
    """The text of an exception is for the log."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with structlog.testing.capture_logs() as logs:
        answer = await answer_to(fail)
    assert answer.error is Verdict.PROTOCOL_ERROR
    assert answer.detail == (
        "a fault in notifier itself ended this attempt; its log holds the details under attempt.crashed"
    )
    assert [(line["event"], line["message"], line["exc_info"]) for line in logs] == [("attempt.crashed", "msg_a", True)]


async def test_a_policy_that_cannot_be_used_is_an_answer_too() -> None:
    """A bad key or URL costs the attempt, and not the daemon."""
    wire = sender(unreachable)
    for bad in (policy(secrets=("whpk_x",)), policy("http://h/\n")):
        answer = await wire.post(MESSAGE, bad, now=NOW)
        assert answer.error is Verdict.PROTOCOL_ERROR
        assert answer.detail.startswith("nothing was sent: the endpoint's url, headers or secret make no request")


def test_a_fresh_attempt_asks_the_wire_for_a_connection_of_its_own() -> None:
    """Any other may go by a kept one."""
    assert build(MESSAGE, policy(), now=NOW).extensions["fresh"] is False
    assert build(MESSAGE, policy(), now=NOW, fresh=True).extensions["fresh"] is True


# ---- the deadline -------------------------------------------------------------------------------------------------
async def test_the_deadline_holds_before_the_head() -> None:
    """Whatever wire it is."""

    async def hang(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    answer = await sender(hang).post(MESSAGE, policy(timeout=0.02), now=NOW)
    assert (answer.status_code, answer.error) == (None, Verdict.TIMED_OUT)
    assert answer.detail == "no answer within 0.02 s"


async def test_the_deadline_holds_inside_the_body_and_keeps_what_came() -> None:
    """The status is in the attempt row, and the verdict is not success."""

    class Hanging(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"part"
            await anyio.sleep_forever()

    wire = sender(lambda _: httpx.Response(200, stream=Hanging()))
    answer = await wire.post(MESSAGE, policy(timeout=0.02), now=NOW)
    assert (answer.status_code, answer.error, answer.head) == (200, Verdict.TIMED_OUT, b"part")
    assert judge(answer) is Verdict.TIMED_OUT


async def test_cancellation_passes_through() -> None:
    """The daemon stops when it is told to."""
    asked, answers = anyio.Event(), []

    async def hang(_: httpx.Request) -> httpx.Response:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def attempt() -> None:
        answers.append(await sender(hang).post(MESSAGE, policy(), now=NOW))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(attempt)
        await asked.wait()
        tasks.cancel_scope.cancel()
    assert answers == []


# ---- over real sockets --------------------------------------------------------------------------------------------
@asynccontextmanager
async def receiver(talk: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A server on this machine; its URL. `talk` begins once something of a request was read."""

    async def connected(stream: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            async with stream:
                await stream.receive()
                await talk(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, connected)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/hooks"
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def real_sender() -> AsyncIterator[Sender]:
    def guard(address: Address) -> str | None:
        return refusal(address, guarded=True, allow=Allow())

    async with AiohttpTransport() as open_wire, AiohttpTransport(guard=guard) as guarded_wire:
        yield Sender(open_wire=open_wire, guarded_wire=guarded_wire)


async def test_a_receiver_that_drips_its_body_does_not_keep_the_slot() -> None:
    """Trap 1: neither progress nor a good status moves the deadline, and the connection is dropped."""
    gone = anyio.Event()

    async def talk(stream: SocketStream) -> None:
        try:
            await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await stream.send(b"1\r\nx\r\n")
                await anyio.sleep(0.005)
        finally:
            gone.set()

    async with receiver(talk) as url, real_sender() as wire:
        answer = await wire.post(MESSAGE, policy(url, timeout=0.1), now=NOW)
        with anyio.fail_after(10):
            await gone.wait()
    assert (answer.status_code, answer.error) == (200, Verdict.TIMED_OUT)


async def test_an_answer_without_end_is_cut_at_16_kib() -> None:
    """Trap 1: the size has a limit, too, and the connection is dropped."""
    gone = anyio.Event()

    async def talk(stream: SocketStream) -> None:
        try:
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            while True:
                await stream.send(b"x" * 65_536)
        finally:
            gone.set()

    async with receiver(talk) as url, real_sender() as wire:
        answer = await wire.post(MESSAGE, policy(url), now=NOW)
        with anyio.fail_after(10):
            await gone.wait()
    assert (answer.status_code, answer.error, len(answer.head)) == (200, None, KEPT)


async def test_a_redirect_is_an_answer_and_nothing_follows_it() -> None:
    """Trap 7: 3xx and 304 fail, and no GET goes anywhere."""
    connections = 0

    async def talk(stream: SocketStream) -> None:
        nonlocal connections
        connections += 1
        await stream.send(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with receiver(talk) as url, real_sender() as wire:
        answer = await wire.post(MESSAGE, policy(url), now=NOW)
    assert (answer.status_code, answer.location, judge(answer)) == (302, "/other", Verdict.REDIRECTED)
    assert connections == 1


async def test_a_guarded_url_that_names_this_machine_is_refused_with_the_reason() -> None:
    """And an operator's endpoint at the same place is served."""

    async def talk(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with receiver(talk) as url, real_sender() as wire:
        refused = await wire.post(MESSAGE, policy(url, guarded=True), now=NOW)
        served = await wire.post(MESSAGE, policy(url), now=NOW)
    assert (refused.error, refused.detail) == (Verdict.ADDRESS_REFUSED, f"{ip_address('127.0.0.1')} is this machine")
    assert (served.status_code, served.error) == (204, None)
