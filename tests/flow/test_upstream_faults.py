"""Providers that misbehave, as bytes on real sockets: an error that names the provider, one deadline, little memory."""

import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import orjson
import pytest
from anyio.abc import SocketStream

from notifier.domain.errors import ProviderBusy, ProviderError, ProviderRefused
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Observation
from notifier.domain.settings import ProviderSettings, Secret
from notifier.net.transport import AiohttpTransport
from notifier.providers.client import BODY_MANY, ProviderClient
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma
from tests.support.fakes import HandClock
from tests.support.raw_server import (
    Names,
    Talk,
    dripping,
    flooding,
    hanging_after,
    held_below,
    raw_server,
    resetting_after,
    saying,
)

LUMA = AimlapiLuma()
IDS = [GenerationId(f"g-{number}") for number in range(100)]
#: Bytes of a reply about them at most.
LIMIT = BODY_MANY
#: Bytes that one poll may take: the body as it grows and as it is handed on, what is parsed of it, and some buffers.
MOST = 4 * LIMIT
#: Seconds of a poll here, and what only a deadline that does not hold would reach.
DEADLINE = 0.4
FAR = 20.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LINE = b"x" * 65_536


def settings(url: str, seconds: float) -> ProviderSettings:
    return ProviderSettings(
        name=ProviderName("luma"),
        kind="aimlapi-luma",
        base_url=url,
        api_key=Secret("sk-very-secret-key-0123456789"),
        request_timeout=timedelta(seconds=seconds),
    )


@asynccontextmanager
async def real_client() -> AsyncIterator[ProviderClient]:
    async with AiohttpTransport() as wire, ProviderClient(wire, clock=HandClock()) as client:
        yield client


async def poll(client: ProviderClient, url: str, *, within: float = FAR) -> list[Observation]:
    """What one sweep sees of all IDs."""
    using = settings(url, within)
    ask = LUMA.batch_poll(IDS, using)
    with anyio.fail_after(2 * FAR):
        return LUMA.decode(ask, await client.ask(ask, using))


async def seen(talk: Talk) -> list[Observation]:
    async with raw_server(talk) as server, real_client() as client:
        return await poll(client, server.url)


async def failed(talk: Talk, *, within: float = FAR) -> ProviderError:
    """The error that a poll comes to; one printable line without the key. The connection is over."""
    async with raw_server(talk) as server:
        async with real_client() as client:
            with pytest.raises((ProviderBusy, ProviderRefused)) as caught:
                await poll(client, server.url, within=within)
        with anyio.fail_after(FAR):
            await server.over.wait()
    assert str(caught.value).isprintable()
    assert "very-secret" not in str(caught.value)
    return caught.value


def sized(body: bytes, *headers: bytes) -> bytes:
    return b"".join((OK, *headers, b"Content-Length: %d\r\n\r\n" % len(body), body))


def packed(body: bytes) -> bytes:
    return sized(body, b"Content-Encoding: gzip\r\n")


# ---- too much -----------------------------------------------------------------------------------------------------
BOMB = gzip.compress(b"\0" * 200_000_000)
MANY = LIMIT // 3 - 1


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        pytest.param(flooding(LINE, OK + b"Content-Length: 10737418240\r\n\r\n"), "above 8 MiB", id="10 GiB"),
        pytest.param(flooding(LINE, OK + b"\r\n"), "above 8 MiB", id="a reply without end"),
        pytest.param(flooding(b"10000\r\n" + LINE + b"\r\n", CHUNKED), "above 8 MiB", id="chunks without end"),
        pytest.param(saying(packed(BOMB)), "above 8 MiB", id="a packed bomb"),
        pytest.param(saying(packed(gzip.compress(BOMB))), "not the JSON", id="a bomb packed twice"),
        pytest.param(
            saying(packed(gzip.compress(b"[") * 50_000)), "more follows after the end", id="packed many times"
        ),
        pytest.param(
            flooding(b"\0\0\0\xff\xff" * 9_000, OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB[:10]),
            "longer than what is in it",
            id="packed nothing without end",
        ),
        pytest.param(saying(sized(zlib.compress(b"[]"), b"Content-Encoding: deflate\r\n")), "deflate", id="deflate"),
        pytest.param(saying(sized(BOMB, b"Content-Encoding: gzip, gzip\r\n")), "gzip, gzip", id="two encodings"),
        pytest.param(saying(sized(b"[" + b"{}," * MANY + b"0]")), "values", id="many small records"),
        pytest.param(saying(sized(b"[" * 100_000)), "lists and objects", id="100,000 brackets"),
        pytest.param(saying(sized(b"[" * 40_000)), "not the JSON", id="40,000 brackets"),
        pytest.param(saying(sized(b'{"data":' * 12_000)), "not the JSON", id="12,000 wrappers"),
        pytest.param(saying(sized(b"\xff" * 100_000)), "not the JSON", id="garbage"),
        pytest.param(
            flooding(LINE, OK + b"X: "), 'header "X" of the answer is above 64 KiB', id="a header without end"
        ),
        pytest.param(saying(OK + b"X: y\r\n" * 200_000), "more than 500 headers", id="headers of 1 MiB"),
        pytest.param(flooding(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000), "interim", id="interim answers without end"),
        pytest.param(flooding(b"X: y\r\n" * 10_000, CHUNKED, b"0\r\n"), "broke off", id="trailers without end"),
    ],
)
async def test_a_reply_that_is_too_much_is_given_up(talk: Talk, says: str) -> None:
    """As soon as it is seen to be, and little of it is ever held; time may mend it."""
    with held_below(MOST):
        error = await failed(talk)
    assert isinstance(error, ProviderBusy)
    assert says in str(error)


async def test_a_long_reply_within_the_limits_is_read() -> None:
    """A hundred records of 60 KiB each: the limits are for those who mean harm."""
    records = [{"id": id_, "state": "completed", "request": {"prompt": "word " * 12_000}} for id_ in IDS]
    body = orjson.dumps(records)
    assert 5 * 2**20 < len(body) < LIMIT
    observations = await seen(saying(sized(body)))
    assert [one.id for one in observations] == IDS
    assert {one.provider_state for one in observations} == {"completed"}


# ---- too little ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(hanging_after(), id="nothing"),
        pytest.param(hanging_after(OK), id="half a head"),
        pytest.param(hanging_after(OK + b"Content-Length: 9\r\n\r\n[]"), id="half a body"),
        pytest.param(dripping(b" ", OK + b"Content-Length: 1000000\r\n\r\n"), id="a body that drips"),
        pytest.param(dripping(b"1\r\n \r\n", CHUNKED), id="chunks that drip"),
        pytest.param(
            dripping(b"\0\0\0\xff\xff", OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB[:10]), id="packed nothing"
        ),
    ],
)
async def test_a_reply_that_is_not_complete_in_time_is_given_up(talk: Talk) -> None:
    """One deadline over all of it, whatever progress there is."""
    error = await failed(talk, within=DEADLINE)
    assert isinstance(error, ProviderBusy)
    assert "within 0.4 s" in str(error)


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(saying(), id="closed at once"),
        pytest.param(saying(OK + b"Content-Le"), id="closed within the head"),
        pytest.param(saying(OK + b"Content-Length: 9\r\n\r\n[]"), id="closed within the body"),
        pytest.param(saying(CHUNKED, b"2\r\n[]\r\n"), id="closed before the last chunk"),
        pytest.param(hanging_after(CHUNKED, b"zz\r\n"), id="a chunk of no size"),
        pytest.param(saying(packed(gzip.compress(b"[]")[:-4])), id="packed, and cut off"),
        pytest.param(resetting_after(), id="reset"),
        pytest.param(saying(b"[]"), id="HTTP/0.9"),
        pytest.param(saying(b"SSH-2.0-x\r\n"), id="not HTTP"),
        pytest.param(saying(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[] "), id="two lengths"),
        pytest.param(saying(sized(b"")), id="an empty body"),
        pytest.param(
            saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), id="an upgrade"
        ),
    ],
)
async def test_a_reply_that_breaks_off_or_is_none_is_busy(talk: Talk) -> None:
    """It is asked again later; nothing is concluded of any ID."""
    assert isinstance(await failed(talk), ProviderBusy)


# ---- of something else --------------------------------------------------------------------------------------------
async def test_a_reply_about_others_says_nothing_of_ours() -> None:
    """Each ID asked is absent, whatever is said of strangers."""
    others = [{"id": f"other-{number}", "state": "completed"} for number in range(200)]
    observations = await seen(saying(sized(orjson.dumps(others))))
    assert observations == [Observation(id=id_, state=None) for id_ in IDS]


async def test_a_reply_that_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    """It lies on the kept connection when the next poll goes out, and would tell states that nobody asked for."""
    told, gone = anyio.Event(), anyio.Event()
    stray = sized(orjson.dumps([{"id": id_, "state": "failed"} for id_ in IDS]))
    true = sized(orjson.dumps([{"id": id_, "state": "queued"} for id_ in IDS]))

    async def talk(stream: SocketStream) -> None:
        await stream.send(true)
        if not told.is_set():
            await told.wait()
            await stream.send(stray)
            await hanging_after()(stream)
            gone.set()

    async with raw_server(talk) as server, real_client() as client:
        first = await poll(client, server.url)
        told.set()
        with anyio.fail_after(FAR):
            await gone.wait()
        assert await poll(client, server.url) == first
    assert server.connections == 2


@pytest.mark.parametrize("status", [b"301", b"302", b"307", b"308"])
async def test_a_redirect_to_itself_is_asked_once(status: bytes) -> None:
    """No loop is entered, and the operator reads where it leads."""
    moved = b"HTTP/1.1 " + status + b" Moved\r\nLocation: /v2/again\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(hanging_after(moved)) as server, real_client() as client:
        with pytest.raises(ProviderRefused, match="moved to /v2/again"):
            await poll(client, server.url)
    assert server.connections == 1


@pytest.mark.parametrize("status", [b"401", b"403"])
async def test_a_refusal_counts_however_long_its_page_is(status: bytes) -> None:
    """A page without end does not hide that the operator must act."""
    head = b"HTTP/1.1 " + status + b" No\r\n\r\n<html>"
    with held_below(MOST):
        assert isinstance(await failed(flooding(LINE, head)), ProviderRefused)


# ---- names that lead nowhere --------------------------------------------------------------------------------------
async def test_a_provider_whose_name_is_gone_is_asked_again_when_it_is_back() -> None:
    """Each poll in between says so and costs no connection; a provider at an address goes on."""
    names = Names()
    answer = saying(OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n[]")
    async with (
        raw_server(answer) as server,
        AiohttpTransport(resolver=names) as wire,
        ProviderClient(wire, clock=HandClock()) as client,
    ):
        named = f"http://api.example:{server.port}"
        names.gone = True
        for _ in range(20):
            with pytest.raises(ProviderBusy, match=r"could not connect to api\.example"):
                await poll(client, named)
        assert server.connections == 0
        assert await poll(client, server.url)
        names.gone = False
        assert await poll(client, named)
    assert (server.connections, names.asked) == (2, 21)
