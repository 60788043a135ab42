"""Endpoints that misbehave, as bytes on real sockets: each fault has its verdict and costs one deadline at most."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from anyio.abc import SocketStream

from notifier.delivery.sender import KEPT, Sender
from notifier.domain.ids import Destination, EndpointIdentity
from notifier.domain.model import Answer, DeliveryStatus, Verdict
from notifier.domain.settings import EndpointSettings, Secret
from notifier.domain.verdict import judge
from notifier.store.sqlite.store import SqliteStore
from tests.support.dispatcher_rig import aiohttp_wire, worker
from tests.support.fakes import HandClock, deliveries, endpoint, enqueue, statuses, verdicts
from tests.support.messages import MESSAGE
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

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Seconds of an attempt here, and what only a deadline that does not hold would reach.
DEADLINE = 0.3
FAR = 20.0
#: Bytes that one attempt may hold, whatever comes: a few buffers of the socket's and of the parser's.
MOST = 2 * 2**20
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = OK + b"Content-Length: 10\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
LINE = b"x" * 65_536


def policy(url: str, seconds: float = DEADLINE) -> EndpointSettings:
    return EndpointSettings(
        identity=EndpointIdentity("studio"),
        destination=Destination("studio"),
        url=f"{url}/hook",
        secrets=(Secret(SECRET),),
        timeout=timedelta(seconds=seconds),
    )


@asynccontextmanager
async def real_sender() -> AsyncIterator[Sender]:
    async with aiohttp_wire() as wire:
        yield Sender(open_wire=wire, guarded_wire=wire)


async def answer_of(talk: Talk, *, within: float = DEADLINE) -> Answer:
    """Of one attempt; the connection ends with it, or with the wire."""
    async with raw_server(talk) as server:
        async with real_sender() as sender:
            with anyio.fail_after(FAR):
                answer = await sender.post(MESSAGE, policy(server.url, within), now=NOW)
        with anyio.fail_after(FAR):
            await server.over.wait()
    assert answer.detail.isprintable()
    assert len(answer.head) <= KEPT
    return answer


# ---- verdicts -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("talk", "status"),
    [
        pytest.param(hanging_after(), None, id="nothing"),
        pytest.param(hanging_after(OK), None, id="half a head"),
        pytest.param(dripping(b"x", OK + b"X: "), None, id="a head that drips"),
        pytest.param(dripping(b"\r\n"), None, id="blank lines that drip"),
        pytest.param(hanging_after(SIZED), 200, id="a head alone"),
        pytest.param(hanging_after(CHUNKED), 200, id="a head alone, chunked"),
        pytest.param(hanging_after(OK + b"\r\n"), 200, id="a head alone, until closed"),
        pytest.param(hanging_after(SIZED, b"part"), 200, id="half a body"),
        pytest.param(hanging_after(CHUNKED, b"5\r\nwhole\r\n0\r\n"), 200, id="all but the last line"),
        pytest.param(dripping(b"X: y\r\n", CHUNKED, b"0\r\n"), 200, id="trailers that drip"),
    ],
)
async def test_an_answer_that_is_not_complete_in_time_is_timed_out(talk: Talk, status: int | None) -> None:
    """Wherever it stops or drips; a good status that came before is kept and is no success."""
    answer = await answer_of(talk)
    assert (answer.status_code, judge(answer)) == (status, Verdict.TIMED_OUT)
    assert "within 0.3 s" in answer.detail


@pytest.mark.parametrize(
    ("talk", "status"),
    [
        pytest.param(saying(), None, id="closed before the head"),
        pytest.param(saying(OK + b"Content-Le"), None, id="closed within the head"),
        pytest.param(saying(SIZED, b"part"), 200, id="closed within the body"),
        pytest.param(saying(CHUNKED, b"5\r\npar"), 200, id="closed within a chunk"),
        pytest.param(saying(CHUNKED, b"5\r\nwhole\r\n"), 200, id="closed before the last chunk"),
        pytest.param(resetting_after(), None, id="reset before the head"),
        pytest.param(resetting_after(OK), None, id="reset within the head"),
        pytest.param(saying(OK + b"Content-Length: 1000000\r\n\r\n", b"short"), 200, id="shorter than it said"),
    ],
)
async def test_an_answer_that_breaks_off_is_reset(talk: Talk, status: int | None) -> None:
    """It is tried again: nobody knows what the rest would have said."""
    answer = await answer_of(talk, within=FAR)
    assert (answer.status_code, judge(answer)) == (status, Verdict.RESET)


@pytest.mark.parametrize(
    ("talk", "status"),
    [
        pytest.param(saying(b"hello\r\n\r\n"), None, id="not HTTP"),
        pytest.param(saying(b"<html>0.9</html>"), None, id="HTTP/0.9"),
        pytest.param(saying(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None, id="HTTP/2"),
        pytest.param(saying(b"HTTP/1.1 99999 What\r\n\r\n"), None, id="a status of five digits"),
        pytest.param(saying(OK + b"X: a\0b\r\n\r\n"), None, id="a NUL in a header"),
        pytest.param(saying(OK + b": no name\r\n\r\n"), None, id="a header without a name"),
        pytest.param(saying(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), None, id="two lengths"),
        pytest.param(saying(OK + b"Content-Length: -1\r\n\r\n"), None, id="a length below nothing"),
        pytest.param(hanging_after(CHUNKED, b"zz\r\nab\r\n"), 200, id="a chunk of no size"),
        pytest.param(saying(CHUNKED, b"2\r\nabcd\r\n"), 200, id="a chunk longer than its size"),
        pytest.param(saying(CHUNKED, b"f" * 40 + b"\r\n"), 200, id="a chunk without measure"),
        pytest.param(saying(OK + b"X: " + b"x" * 2**20 + b"\r\n\r\n"), None, id="a header of 1 MiB"),
        pytest.param(saying(OK + b"X: y\r\n" * 200_000 + b"\r\n"), None, id="headers of 1 MiB"),
        pytest.param(saying(b"HTTP/1.1 200 " + b"O" * 2**20 + b"\r\n\r\n"), None, id="a reason of 1 MiB"),
        pytest.param(dripping(b"HTTP/1.1 100 Continue\r\n\r\n"), None, id="interim answers that drip"),
        pytest.param(flooding(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"), None, id="interim answers in a flood"),
    ],
)
async def test_an_answer_that_is_not_http_is_a_protocol_error(talk: Talk, status: int | None) -> None:
    """Told at once, in words; the deadline is not waited for."""
    answer = await answer_of(talk, within=FAR)
    assert (answer.status_code, judge(answer)) == (status, Verdict.PROTOCOL_ERROR)
    assert answer.detail


@pytest.mark.parametrize(
    ("talk", "head"),
    [
        pytest.param(saying(b"HTTP/1.0 200 OK\r\n\r\nall"), b"all", id="until closed"),
        pytest.param(
            saying(OK + b"Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\n\x1f\x8b\x08bomb"),
            b"\x1f\x8b\x08bomb",
            id="packed",
        ),
        pytest.param(saying(CHUNKED, b"2\r\nok\r\n0\r\nX: y\r\n\r\n"), b"ok", id="with a trailer"),
        pytest.param(saying(OK + b"Content-Length: 2\r\n\r\nokmore"), b"ok", id="longer than it said"),
        pytest.param(saying(HINTS * 3 + b"HTTP/1.1 204 No Content\r\n\r\n"), b"", id="after hints"),
    ],
)
async def test_an_odd_answer_that_is_whole_is_a_success(talk: Talk, head: bytes) -> None:
    """Its bytes are kept as they came, and nothing is unpacked."""
    answer = await answer_of(talk, within=FAR)
    assert (judge(answer), answer.head, answer.detail) == (Verdict.DELIVERED, head, "")


# ---- what it costs ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(flooding(LINE, OK + b"Content-Length: 1073741824\r\n\r\n"), id="a body of 1 GiB"),
        pytest.param(flooding(LINE, OK + b"X: "), id="a header"),
        pytest.param(flooding(b"X: y\r\n" * 10_000, OK), id="headers"),
        pytest.param(flooding(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000), id="interim answers"),
        pytest.param(flooding(LINE, CHUNKED, b"5;"), id="a chunk's extension"),
        pytest.param(flooding(b"X: y\r\n" * 10_000, CHUNKED, b"0\r\n"), id="trailers"),
        pytest.param(flooding(b"1\r\nx\r\n" * 10_000, CHUNKED), id="chunks of one byte"),
        pytest.param(flooding(LINE, b"HTTP/1.1 200 "), id="a reason"),
        pytest.param(flooding(b"\r\n" * 30_000), id="blank lines"),
        pytest.param(
            flooding(LINE, OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"\0" * 10_000_000)),
            id="a packed bomb",
        ),
    ],
)
async def test_an_answer_without_end_holds_no_memory(talk: Talk) -> None:
    """However fast it comes: little of it is ever held, and the slot is free again at the deadline."""
    with held_below(MOST):
        answer = await answer_of(talk)
    assert judge(answer) in (Verdict.DELIVERED, Verdict.PROTOCOL_ERROR, Verdict.TIMED_OUT)


# ---- one endpoint's faults are its own ----------------------------------------------------------------------------
async def test_what_follows_an_answer_is_not_taken_for_the_next_one() -> None:
    """A second answer behind the first says nothing of a message that was not sent yet."""
    gone = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    twice = hanging_after(OK + b"Content-Length: 2\r\n\r\nok" + gone)
    async with raw_server(twice) as server, real_sender() as sender:
        for _ in range(2):
            answer = await sender.post(MESSAGE, policy(server.url, FAR), now=NOW)
            assert judge(answer) is Verdict.DELIVERED
    assert server.connections == 2


async def test_a_stray_410_disables_nothing() -> None:
    """It comes on the idle connection after a delivery, and the next callback is sent for all that."""
    told, gone, heard = anyio.Event(), anyio.Event(), 0

    async def talk(stream: SocketStream) -> None:
        nonlocal heard
        heard += 1
        await stream.send(OK + b"Content-Length: 2\r\n\r\nok")
        if heard == 1:
            await told.wait()
            await stream.send(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
            await hanging_after()(stream)
            gone.set()

    async with raw_server(talk) as server, real_sender() as sender:
        for _ in range(2):
            answer = await sender.post(MESSAGE, policy(server.url, FAR), now=NOW)
            assert judge(answer) is Verdict.DELIVERED
            told.set()
            with anyio.fail_after(FAR):
                await gone.wait()
    assert heard == 2


async def test_an_attempt_after_the_first_opens_a_connection_of_its_own() -> None:
    """Though one is kept: what failed may have been the connection, or where it leads."""

    async def talk(stream: SocketStream) -> None:
        while True:
            await stream.send(OK + b"Content-Length: 2\r\n\r\nok")
            await stream.receive()

    async with raw_server(talk) as server, real_sender() as sender:
        for number, connections in ((1, 1), (1, 1), (2, 2), (3, 3), (1, 3)):
            answer = await sender.post(MESSAGE, policy(server.url, FAR), now=NOW, fresh=number > 1)
            assert judge(answer) is Verdict.DELIVERED
            assert server.connections == connections


async def test_hanging_endpoints_do_not_hold_up_a_healthy_one() -> None:
    """Over the same wire, while dozens of attempts wait for their deadlines."""
    healthy = saying(OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok")
    hung = 0
    all_hang = anyio.Event()

    async def hang(stream: SocketStream) -> None:
        nonlocal hung
        hung += 1
        if hung == 64:
            all_hang.set()
        await hanging_after()(stream)

    async with (
        raw_server(hang) as bad,
        raw_server(healthy) as good,
        real_sender() as sender,
        anyio.create_task_group() as waiting,
    ):
        for _ in range(64):
            waiting.start_soon(_post, sender, policy(bad.url, 3 * FAR))
        with anyio.fail_after(FAR):
            await all_hang.wait()
            for _ in range(20):
                assert judge(await sender.post(MESSAGE, policy(good.url, FAR), now=NOW)) is Verdict.DELIVERED
        waiting.cancel_scope.cancel()


async def _post(sender: Sender, to: EndpointSettings) -> None:
    await sender.post(MESSAGE, to, now=NOW)


# ---- names that lead nowhere --------------------------------------------------------------------------------------
async def test_callbacks_wait_for_names_that_come_back(store: SqliteStore) -> None:
    """While names lead nowhere each attempt says so and is tried again; an endpoint at an address goes on."""
    names, clock = Names(), HandClock()
    await enqueue(store, "g-1", at=clock.now())
    await enqueue(store, "g-2", at=clock.now(), endpoint="audit")
    names.gone = True
    async with (
        raw_server(saying(OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n")) as server,
        aiohttp_wire(resolver=names) as wire,
        worker(
            store,
            wire,
            endpoint("studio", url=f"http://hooks.example:{server.port}/", retry=[timedelta(minutes=1)] * 10),
            endpoint("audit", url=f"{server.url}/"),
            clock=clock,
        ) as stage,
    ):
        for count in range(2, 5):
            await stage.turn(60)
            await until_attempts(store, "g-1", count)
        await until(store, DeliveryStatus.DELIVERED, 1)
        assert verdicts((await deliveries(store, "g-2"))[0]) == [Verdict.DELIVERED]
        names.gone = False
        await stage.turn(60)
        await until(store, DeliveryStatus.DELIVERED, 2)
    (line,) = await deliveries(store, "g-1")
    assert verdicts(line) == [Verdict.DNS_FAILED] * 4 + [Verdict.DELIVERED]


async def until_attempts(store: SqliteStore, generation: str, count: int) -> None:
    """Until so many attempts are closed: real sockets answer when they answer."""
    with anyio.fail_after(FAR):
        while sum(verdict is not None for verdict in verdicts((await deliveries(store, generation))[0])) < count:  # noqa: ASYNC110  a store sets no event
            await anyio.sleep(0.005)


async def until(store: SqliteStore, status: DeliveryStatus, count: int) -> None:
    with anyio.fail_after(FAR):
        while (await statuses(store)).get(status, 0) < count:  # noqa: ASYNC110  a store sets no event
            await anyio.sleep(0.005)
