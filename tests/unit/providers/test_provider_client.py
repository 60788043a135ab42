"""The client on real loopback HTTP, and what it makes of everything a wire can do."""

import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import httpx
import pytest
import respx
from anyio.abc import SocketAttribute, SocketStream

from notifier import __version__
from notifier.domain.errors import ProviderBusy, ProviderError, ProviderRefused, ReplyTooLarge
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.settings import ProviderSettings, Secret
from notifier.net.transport import AiohttpTransport
from notifier.providers import client as client_module
from notifier.providers.base import PollRequest, Reply
from notifier.providers.client import ProviderClient
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma

KEY = "sk-very-secret-key-0123456789"
NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def settings(base_url: str = "http://api.test", *, key: str = KEY, limit: float = 5.0) -> ProviderSettings:
    return ProviderSettings(
        name=ProviderName("luma"),
        kind="aimlapi-luma",
        base_url=base_url,
        api_key=Secret(key),
        request_timeout=timedelta(seconds=limit),
    )


async def asked(transport: httpx.AsyncBaseTransport, using: ProviderSettings | None = None) -> Reply:
    using = using or settings()
    async with ProviderClient(transport, clock=StillClock()) as client:
        request = PollRequest(ids=(GenerationId("a"),), url=using.base_url + "/x?ids%5B%5D=a", batch=True)
        return await client.ask(request, using)


async def failed(transport: httpx.AsyncBaseTransport, using: ProviderSettings | None = None) -> ProviderError:
    """The error it comes to, held to what holds for every message."""
    with pytest.raises((ProviderBusy, ProviderRefused)) as caught:
        await asked(transport, using)
    message = str(caught.value)
    assert message.isprintable()
    assert "luma" in message
    assert KEY not in message
    return caught.value


def api(
    answer: Callable[[httpx.Request], httpx.Response] | Exception,
) -> tuple[httpx.AsyncBaseTransport, respx.Route]:
    """The API's wire, and the one route that is asked: a GET below its address. Any other request would fail."""
    router = respx.Router()
    route = router.get(url__startswith="http://api.test/")
    route.side_effect = answer
    return httpx.MockTransport(router.async_handler), route


def replying(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> httpx.AsyncBaseTransport:
    return api(lambda _: httpx.Response(status, content=content, headers=headers))[0]


class Chunks(httpx.AsyncByteStream):
    """A body that arrives piece by piece."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def streaming(*chunks: bytes, encoding: str | None = None, status: int = 200) -> httpx.AsyncBaseTransport:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    return api(lambda _: httpx.Response(status, stream=Chunks(*chunks), headers=headers))[0]


@asynccontextmanager
async def serving(answer: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A loopback server that reads one request head and lets `answer` do the rest; gives its base URL."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await answer(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        group.cancel_scope.cancel()


@pytest.mark.parametrize(("status", "times"), [(200, 1), (503, 1), (302, 0), (None, 0)])
async def test_who_waits_for_a_sign_of_life_is_told_of_each_complete_answer(status: int | None, times: int) -> None:
    """Whatever its status but a redirect's; an error of the wire shows nothing."""
    seen: list[None] = []
    wire, _ = api(httpx.ConnectError("no route") if status is None else lambda _: httpx.Response(status))
    async with ProviderClient(wire, clock=StillClock(), answered=lambda: seen.append(None)) as client:
        with suppress(ProviderBusy, ProviderRefused):
            await client.ask(
                PollRequest(ids=(GenerationId("a"),), url=settings().base_url + "/x", batch=False), settings()
            )
    assert len(seen) == times


# ---- what is sent -------------------------------------------------------------------------------------------------
async def test_a_request_carries_the_key_and_says_what_it_takes() -> None:
    """One GET of exactly the URL given, with the key, our name and version, gzip only, no cookies."""
    wire, route = api(lambda _: httpx.Response(200, json=[], headers={"Set-Cookie": "a=b", "Retry-After": "3"}))
    async with ProviderClient(wire, clock=StillClock()) as client:
        request = PollRequest(
            ids=(GenerationId("a"),), url="http://api.test/x?generation_ids%5B%5D=a%2Fb&c=d,e", batch=True
        )
        for _ in range(2):
            reply = await client.ask(request, settings())
    assert reply == Reply(status=200, body=b"[]", retry_after=3.0)
    assert route.call_count == 2
    for request, _ in route.calls:
        assert (request.method, str(request.url)) == ("GET", request.url)
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["accept"] == "application/json"
        assert request.headers["accept-encoding"] == "gzip"
        assert request.headers["user-agent"] == f"notifier/{__version__}"
        assert "cookie" not in request.headers


class Searching(AimlapiLuma):
    """A kind that polls by POST, and has its key in a header of its own."""

    kind = "searching"

    def authenticate(self, settings: ProviderSettings) -> dict[str, str]:
        return {"X-Api-Key": settings.api_key.reveal()}


async def test_method_headers_body_and_authentication_are_the_kinds() -> None:
    """What is sent is as the codec says it: no bearer token is added to it."""
    got: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(200, json=[])

    using = replace(settings(), kind=Searching.kind)
    request = PollRequest(
        ids=(GenerationId("a"),),
        url="http://api.test/search",
        method="POST",
        headers={"Content-Type": "application/json", "Accept": "application/vnd.jobs+json"},
        body=b'{"ids":["a"]}',
        batch=True,
    )
    kinds = {Searching.kind: Searching()}
    async with ProviderClient(httpx.MockTransport(answer), clock=StillClock(), kinds=kinds) as client:
        await client.ask(request, using)
    (sent,) = got
    assert (sent.method, str(sent.url), sent.content) == ("POST", request.url, request.body)
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept"] == "application/vnd.jobs+json"
    assert "authorization" not in sent.headers


@pytest.mark.parametrize("key", ["", "abc\ndef-secret", "schlüssel", " padded", "tab\tbed"])
async def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    """The operator is told what to look for, and the key is not in the message."""
    error = await failed(replying(200), settings(key=key))
    assert isinstance(error, ProviderRefused)
    assert "api_key" in str(error)
    assert not key or key not in str(error)


@pytest.fixture(params=[AiohttpTransport, httpx.AsyncHTTPTransport])
def wire(request: pytest.FixtureRequest) -> httpx.AsyncBaseTransport:
    """The daemon's own transport, and httpx's: the client is the same over both."""
    transport: httpx.AsyncBaseTransport = request.param()
    return transport


# ---- over a real socket -------------------------------------------------------------------------------------------
async def test_a_packed_reply_arrives_unpacked(wire: httpx.AsyncBaseTransport) -> None:
    """Real HTTP, gzip, the body sent in pieces."""
    packed = gzip.compress(b'[{"id": "a"}]' * 500)

    async def answer(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed))
        for start in range(0, len(packed), 7):
            await stream.send(packed[start : start + 7])

    async with serving(answer) as url:
        reply = await asked(wire, settings(url))
    assert reply.body == b'[{"id": "a"}]' * 500


async def test_the_deadline_is_over_the_whole_exchange(wire: httpx.AsyncBaseTransport) -> None:
    """A server that drips one byte after another is given up at the deadline, whatever it sends."""

    async def drip(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with anyio.move_on_after(30):
            while True:
                await stream.send(b" ")
                await anyio.sleep(0.01)

    async def swallow(stream: SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the client hung up
            await drip(stream)

    async with serving(swallow) as url:
        error = await failed(wire, settings(url, limit=0.2))
    assert isinstance(error, ProviderBusy)
    assert "within 0.2 s" in str(error)


async def test_a_closed_port_is_busy(wire: httpx.AsyncBaseTransport) -> None:
    """Nobody listens: the host is named."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    await listener.aclose()
    error = await failed(wire, settings(f"http://127.0.0.1:{port}"))
    assert isinstance(error, ProviderBusy)
    assert f"could not connect to 127.0.0.1:{port}" in str(error)


@pytest.mark.parametrize(
    "sent",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut", b"HTTP/1.1 \x00 OK\r\n\r\n"],
)
async def test_what_is_not_http_or_is_cut_off_is_busy(wire: httpx.AsyncBaseTransport, sent: bytes) -> None:
    """A connection that ends early or speaks another protocol never crashes a poll."""

    async def answer(stream: SocketStream) -> None:
        await stream.send(sent)

    async with serving(answer) as url:
        assert isinstance(await failed(wire, settings(url)), ProviderBusy)


# ---- bodies -------------------------------------------------------------------------------------------------------
async def test_a_body_above_the_limit_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain, packed, or read already by the transport: never more than the limit is kept."""
    monkeypatch.setattr(client_module, "BODY_ONE", 1_000)
    assert len((await asked(streaming(b"x" * 400, b"x" * 600))).body) == 1_000
    assert len((await asked(streaming(gzip.compress(b"x" * 1_000), encoding="gzip"))).body) == 1_000
    for wire in (
        streaming(b"x" * 400, b"x" * 601),
        replying(200, b"x" * 1_001),
        streaming(gzip.compress(b"x" * 1_001), encoding="gzip"),
        streaming(gzip.compress(b"x" * 50_000_000), encoding="gzip"),
    ):
        assert isinstance(await failed(wire), ReplyTooLarge)
    error = await failed(streaming(gzip.compress(b"")[:10], *[b"\0\0\0\xff\xff"] * 1_000, encoding="gzip"))
    assert "the packed reply is longer than what is in it may be" in str(error)


async def test_the_limits_follow_the_ids_asked() -> None:
    """One ID may have a record of 4 MiB, and in a batch it never costs those beside it; beyond, the ID is named."""
    using = settings()
    many = PollRequest(
        ids=tuple(GenerationId(f"{number}") for number in range(100)), url=using.base_url + "/x", batch=True
    )
    one = PollRequest(ids=(GenerationId("g-7"),), url=using.base_url + "/x", batch=False)
    for request, limit, said in (
        (one, 4 * 2**20, "Provider luma: The answer about g-7 is above 4 MiB: more than is read of one ID."),
        (many, 8 * 2**20, "Provider luma: The answer about 100 IDs is above 8 MiB, so fewer are asked for at a time."),
    ):
        fits = b'["' + b"x" * (limit - 4) + b'"]'
        async with ProviderClient(replying(200, fits), clock=StillClock()) as client:
            assert (await client.ask(request, using)).body == fits
        async with ProviderClient(replying(200, fits + b" "), clock=StillClock()) as client:
            with pytest.raises(ReplyTooLarge) as caught:
                await client.ask(request, using)
        assert said in str(caught.value)
        assert "max_ids" not in str(caught.value)


async def test_of_an_error_the_beginning_is_enough() -> None:
    """However long its page is, plain or packed, the status says what to do."""
    page = b"<html>" * 1_000_000
    for wire in (
        replying(403, page),
        streaming(*[page[:9_000]] * 600, status=403),
        streaming(gzip.compress(page), encoding="gzip", status=403),
    ):
        reply = await asked(wire)
        assert (reply.status, len(reply.body), reply.body[:6]) == (403, 65_536, b"<html>")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " x-gzip "])
async def test_gzip_is_known_by_its_names(encoding: str) -> None:
    """The header is compared without case and blanks."""
    assert (await asked(streaming(gzip.compress(b"[]"), encoding=encoding))).body == b"[]"


@pytest.mark.parametrize(
    ("chunks", "encoding"),
    [
        ((b"not gzip",), "gzip"),
        ((gzip.compress(b"[1,2,3]")[:-9],), "gzip"),
        ((gzip.compress(b"[") + gzip.compress(b"]"),), "gzip"),
        ((gzip.compress(b"[]"), b"more"), "gzip"),
        ((gzip.compress(b"[]") + b"more",), "gzip"),
        ((), "gzip"),
        ((b"[]",), "br"),
        ((zlib.compress(b"[]"),), "deflate"),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_busy(chunks: tuple[bytes, ...], encoding: str) -> None:
    """Broken, truncated, or packed in a way nobody asked for."""
    assert isinstance(await failed(streaming(*chunks, encoding=encoding)), ProviderBusy)


async def test_a_header_does_not_repeat_the_key() -> None:
    """An API that echoes headers may put it anywhere; masked before its case is changed."""
    error = await failed(streaming(b"{}", encoding="Key-ABCDEF-0123456789"), settings(key="Key-ABCDEF-0123456789"))
    assert "packed as ***, and" in str(error)


async def test_an_error_body_does_not_repeat_the_key() -> None:
    """Error texts end up in logs; a provider that quotes the key does not bring it there."""
    reply = await asked(replying(401, b'{"message":"bad key ' + KEY.encode() + b'"}'))
    assert reply.body == b'{"message":"bad key ***"}'


async def test_a_long_error_body_does_not_repeat_it_either() -> None:
    """It is masked beside the loop: escapes by the thousand take their time."""
    page = b"&amp;%41" * 4_000
    reply = await asked(replying(500, page + KEY.encode() + page))
    assert reply.body == page + b"***" + page


# ---- redirects ----------------------------------------------------------------------------------------------------
async def test_a_redirect_is_not_followed() -> None:
    """The operator reads where it leads and what to change; no second request is made, no query shown."""
    wire, route = api(lambda _: httpx.Response(301, headers={"Location": "https://elsewhere.test/v3?token=hidden"}))
    error = await failed(wire)
    assert isinstance(error, ProviderRefused)
    assert "moved to https://elsewhere.test/v3. Change its base_url, which is http://api.test." in str(error)
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("location", "right"),
    [
        ("https://api.test/x", "Write base_url: https://api.test in place of http://api.test."),
        ("https://api.other.test/gateway/x?y=1", "Write base_url: https://api.other.test/gateway in place of"),
        ("https://api.test/login", "Change its base_url, which is http://api.test."),
        ("/x/", "Change its base_url, which is http://api.test."),
        (f"https://api.test/{KEY}/login", "moved to https://api.test/***/login."),
    ],
)
async def test_a_redirect_to_the_same_route_names_the_right_base_url(location: str, right: str) -> None:
    """Mostly it is https in place of http; what cannot be told from it is left to the operator."""
    assert right in str(await failed(replying(308, headers={"Location": location})))


# ---- nothing is left untranslated ---------------------------------------------------------------------------------
def family(root: type[BaseException]) -> list[type[BaseException]]:
    return [root, *(kind for child in root.__subclasses__() for kind in family(child))]


def made(kind: type[BaseException]) -> BaseException:
    """One such error whose text holds the key and control characters, as far as its constructor takes a text."""
    text = f"went wrong\n\x1b[31m Bearer {KEY}"
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("GET", "http://api.test")
        return httpx.HTTPStatusError(text, request=request, response=httpx.Response(500, request=request))
    try:
        return kind(text)
    except TypeError:  # it takes no text
        return kind()


WIRE_ERRORS = sorted(
    {
        kind
        for root in (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, TimeoutError)
        for kind in family(root)
        if kind.__module__.partition(".")[0] in ("httpx", "builtins", "asyncio", "anyio")
    }
    | {ConnectionResetError, BrokenPipeError, OSError, ssl.SSLError, ssl.SSLCertVerificationError},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", WIRE_ERRORS)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "in the body"])
async def test_every_error_of_the_wire_is_translated(kind: type[BaseException], *, late: bool) -> None:
    """No subclass of httpx's errors, no timeout and no socket error passes as itself, before the head or after it."""
    error = made(kind)
    assert isinstance(error, Exception)

    class Breaking(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"["
            raise error

    wire = api((lambda _: httpx.Response(200, stream=Breaking())) if late else error)[0]
    ours = ProviderRefused if kind in (httpx.InvalidURL, httpx.UnsupportedProtocol) else ProviderBusy
    assert type(await failed(wire)) is ours


@pytest.mark.parametrize("base_url", ["http://[::1", "nonsense", "ftp://api.test"])
async def test_a_base_url_that_is_none_is_an_error_of_ours(wire: httpx.AsyncBaseTransport, base_url: str) -> None:
    """Whatever passed the configuration, the operator is told that it is the base_url."""
    error = await failed(wire, settings(base_url))
    assert isinstance(error, ProviderRefused)
    assert base_url in str(error)
