"""The traps that good webhook senders fell into, each as one statement about the whole of ours.

The real dispatcher on a real store; real sockets where the trap is at the wire, a clock moved by hand where it is time.
Those about settings that do nothing (3 and 8) go on in `tests/unit/config/test_trap_settings.py`, and the one about
a recovery that skips messages (11) is in `tests/contract/test_store_redelivery.py`.
"""

import sqlite3
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest

from notifier.config import load
from notifier.delivery.sender import KEPT
from notifier.domain.ids import GenerationId
from notifier.domain.model import DeliveryStatus, Observation, State, Transition, Verdict
from notifier.domain.settings import DEFAULT_RETRY, EndpointSettings
from notifier.runtime.health import STORE
from notifier.runtime.log_events import STORE_UNAVAILABLE
from notifier.store.sqlite import open_store
from notifier.store.sqlite.store import SqliteStore
from tests.support.dispatcher_rig import aiohttp_wire, taking, worker
from tests.support.fakes import (
    DIRECTORY,
    LUMA,
    START,
    HandClock,
    deliveries,
    endpoint,
    enqueue,
    heard,
    quiet,
    request,
    statuses,
    verdicts,
)
from tests.support.wire import NO_CONTENT, Peer, listening

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


# ---- 1: answers without an end ------------------------------------------------------------------------------------
async def test_trap_01_a_receiver_that_drips_its_answer_costs_one_timeout_and_no_slot(store: SqliteStore) -> None:
    """A byte now and then for ever: at the timeout the attempt has failed, and the only slot serves the next."""
    dropped = anyio.Event()

    async def drip(peer: Peer) -> None:
        await peer.request()
        if peer.number > 1:
            await peer.send(NO_CONTENT)
            return
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while True:
                await peer.send(b".")
                await anyio.sleep(0.01)  # the drip itself; nothing waits for it
        finally:
            dropped.set()

    async with listening(drip) as server, aiohttp_wire() as wire:
        slow = endpoint(url=server.url(), concurrency=1, timeout=0.3 * SECOND)
        await enqueue(store, "first", at=START - SECOND)
        await enqueue(store, "second", at=START)
        async with worker(store, wire, slow) as stage:
            await stage.posting.until(2)
            await dropped.wait()
            await quiet(store)
            (first,), (second,) = await deliveries(store, "first"), await deliveries(store, "second")
        assert (verdicts(first), first.status) == ([Verdict.TIMED_OUT], DeliveryStatus.PENDING)
        assert (verdicts(second), second.status) == ([Verdict.DELIVERED], DeliveryStatus.DELIVERED)
        assert stage.posting.answers[0].status_code == 200


async def test_trap_01_a_receiver_that_answers_without_end_is_cut_off(store: SqliteStore) -> None:
    """However fast it comes: 16 KiB are read and 2 KiB kept, and its connection is dropped."""
    dropped = anyio.Event()

    async def flood(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        finally:
            dropped.set()

    async with listening(flood) as server, aiohttp_wire() as wire:
        await enqueue(store, "g-1", at=START)
        async with worker(store, wire, endpoint(url=server.url(), timeout=30 * SECOND)) as stage:
            await stage.posting.until(1)
            await dropped.wait()
            await quiet(store)
            (line,) = await deliveries(store)
        assert line.status is DeliveryStatus.DELIVERED
        assert [len(attempt.head) for attempt in line.attempts] == [KEPT]


# ---- 2: hints undercut --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("hint", "wait"),
    [("3600", HOUR), ("1", 5 * SECOND), ("99999999", 24 * HOUR), ("Sun, 22 Nov 2026 07:00:00 GMT", 2 * HOUR)],
)
async def test_trap_02_a_hint_is_kept_whole_and_chance_only_adds_to_it(
    store: SqliteStore, hint: str, wait: timedelta, chance: float
) -> None:
    """If the step is five seconds, an hour is an hour at least; no hint shortens a step; a day is the most."""
    callbacks, wire = taking(httpx.Response(429, headers={"retry-after": hint}), httpx.Response(204))
    await enqueue(store, "g-1", at=START)
    async with worker(store, wire, chance=chance) as stage:
        (line,) = await deliveries(store)
        assert line.due_at == START + wait * (1 + 0.1 * chance)
        await stage.turn((line.due_at - START).total_seconds() - 0.001)
        assert len(callbacks.posts) == 1
        await stage.turn(0.001)
        assert len(callbacks.posts) == 2


# ---- 3: settings that do nothing ----------------------------------------------------------------------------------
CONFIG = """\
store: sqlite:unused.db
providers: {luma: {kind: aimlapi-luma, api_key: k-123}}
endpoints:
  studio: {url: "https://studio.example.com/hooks", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, %s}
"""


def configured(directory: Path, words: str) -> EndpointSettings:
    """The endpoint that somebody writes with `words`."""
    (directory / "config.yaml").write_text(CONFIG % words)
    return load(str(directory / "config.yaml"), environ={}).endpoints["studio"]


async def test_trap_03_a_throttle_that_is_written_is_kept(store: SqliteStore, tmp_path: Path) -> None:
    """From the text of the configuration to the wire: so many at one time, and so many in a second."""
    callbacks, wire = taking()
    gate = callbacks.gates["studio.example.com"] = anyio.Event()
    await enqueue(store, *(f"g-{number}" for number in range(12)), at=START)
    async with worker(store, wire, configured(tmp_path, "concurrency: 2, rate: 3/s")) as stage:
        assert len(callbacks.posts) == 2
        await stage.turn(60)
        assert len(callbacks.posts) == 2
        gate.set()
        await quiet(store)
        counts = [len(callbacks.posts)]
        for _ in range(3):
            await stage.turn(1)
            counts.append(len(callbacks.posts))
        assert counts == [5, 8, 11, 12]  # the two, and a full second's worth
        assert callbacks.most == {"studio.example.com": 2}


async def test_trap_03_what_else_is_written_of_an_endpoint_acts(store: SqliteStore, tmp_path: Path) -> None:
    """Its schedule and its headers, from the text of the configuration to the wire."""
    callbacks, wire = taking(httpx.Response(500))
    written = configured(tmp_path, 'retry: [0s, 7s], headers: {X-Tenant: "7"}')
    await enqueue(store, "g-1", at=START)
    async with worker(store, wire, written) as stage:
        for seconds in (6.5, 0.5, HOUR.total_seconds()):
            await stage.turn(seconds)
        assert [post.headers["x-tenant"] for post in callbacks.posts] == ["7", "7"]
        (line,) = await deliveries(store)
        assert line.status is DeliveryStatus.EXHAUSTED


async def test_trap_03_a_timeout_that_is_written_is_kept(store: SqliteStore, tmp_path: Path) -> None:
    """A receiver that never answers is left after it, by the real clock."""

    async def mute(peer: Peer) -> None:
        await peer.request()
        await peer.request()  # never comes

    async with listening(mute) as server, aiohttp_wire() as wire:
        await enqueue(store, "g-1", at=START)
        written = configured(tmp_path, "timeout: 1s")
        local = endpoint(url=server.url(), timeout=written.timeout)
        async with worker(store, wire, local) as stage:
            await stage.posting.until(1)
            await quiet(store)
            (line,) = await deliveries(store)
        assert verdicts(line) == [Verdict.TIMED_OUT]
        assert "within 1 s" in line.attempts[0].detail


# ---- 4: commit, then enqueue --------------------------------------------------------------------------------------
def completed(name: str = "g-1") -> Transition:
    seen = Observation(id=GenerationId(name), state=State.COMPLETED, provider_state="completed")
    return Transition(provider=LUMA, observation=seen, observed_at=START, not_before=None)


async def test_trap_04_a_crash_right_after_the_state_is_recorded_loses_no_message(tmp_path: Path) -> None:
    """Nobody was woken: the next process that opens the store finds it pending, and sends it."""
    path = str(tmp_path / "crashed.db")
    async with open_store(path) as store:
        await store.apply_directory(DIRECTORY, now=START)
        await store.add_watches([request()], now=START)
        await store.record_transitions([completed()], now=START)
    callbacks, wire = taking()
    async with open_store(path) as store, worker(store, wire):
        assert len(callbacks.posts) == 1
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 1}


@pytest.mark.parametrize("table", ["deliveries", "bodies"])
async def test_trap_04_a_state_whose_message_cannot_be_written_is_not_recorded(store: SqliteStore, table: str) -> None:
    """Both or neither; and when it can be written, the same look makes both."""
    await store.add_watches([request()], now=START)
    trigger = f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END"
    await store.writer.run(lambda conn: conn.execute(trigger))
    with pytest.raises(sqlite3.IntegrityError, match="broken"):
        await store.record_transitions([completed()], now=START)
    (history,) = await store.histories(GenerationId("g-1"))
    assert (history.state, [watch.deliveries for watch in history.watches]) == (None, [[]])
    await store.writer.run(lambda conn: conn.execute("DROP TRIGGER broken"))
    await store.record_transitions([completed()], now=START)
    assert await statuses(store) == {DeliveryStatus.PENDING: 1}


# ---- 5: a lease shorter than the attempt --------------------------------------------------------------------------
async def test_trap_05_no_second_worker_sends_while_the_first_may_still_be_sending(store: SqliteStore) -> None:
    """For as long as an attempt may last, and some: nobody else's upkeep frees it, nobody else's turn claims it."""
    (callbacks, wire), clock = taking(), HandClock()
    callbacks.gates["studio.example.com"] = anyio.Event()
    slow = endpoint(timeout=20 * SECOND)
    async with (
        worker(store, wire, slow, clock=clock) as first,
        worker(store, wire, slow, clock=clock, owner="worker-2") as second,
    ):
        await enqueue(store, "g-1", at=START)
        await first.turn()
        assert len(callbacks.posts) == 1
        for seconds in (1, 18.9, 0.2, 10):  # past the timeout by 10.1 s
            clock.advance(seconds)
            assert await second.dispatcher.end_lapsed() == 0
            await second.turn()
            assert len(callbacks.posts) == 1
        clock.advance(5)
        assert await second.dispatcher.end_lapsed() == 1


# ---- 6: sent, and not written down --------------------------------------------------------------------------------
async def test_trap_06_an_outcome_that_cannot_be_written_down_is_kept_and_not_sent_again(store: SqliteStore) -> None:
    """The store fails a dozen times after the POST, for hours: it is one POST, and one delivered message."""
    callbacks, wire = taking()
    gate = callbacks.gates["studio.example.com"] = anyio.Event()
    await enqueue(store, "g-1", at=START)
    async with worker(store, wire) as stage:
        stage.port.down = True
        gate.set()
        await quiet(store)
        for _ in range(12):
            stage.clock.advance(600)
            stage.health.clear(STORE)
            await quiet(store)
        assert stage.port.refused["exchange"] >= 12
        stage.port.down = False
        stage.health.clear(STORE)
        await stage.turn(3600)
        assert len(callbacks.posts) == 1
        (line,) = await deliveries(store)
        assert (line.status, verdicts(line)) == (DeliveryStatus.DELIVERED, [Verdict.DELIVERED])


# ---- 7: redirects -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_trap_07_a_redirect_is_a_failure_and_is_not_followed(store: SqliteStore, status: int) -> None:
    """One POST to the endpoint's own URL, no GET anywhere, and the message is due again."""

    async def moved(peer: Peer) -> None:
        await peer.answer_all(b"HTTP/1.1 %d Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n" % status)

    async with listening(moved) as server, aiohttp_wire() as wire:
        await enqueue(store, "g-1", at=START)
        async with worker(store, wire, endpoint(url=server.url())) as stage:
            await stage.posting.until(1)
            await quiet(store)
            (line,) = await deliveries(store)
            assert (verdicts(line), line.status) == ([Verdict.REDIRECTED], DeliveryStatus.PENDING)
            assert line.due_at == START + DEFAULT_RETRY[1]
            assert "change the url" in line.attempts[0].detail
            await stage.turn(5)
            await stage.posting.until(2)
        assert [asked.line for asked in server.heard] == ["POST /hooks", "POST /hooks"]


# ---- 9: given up after a quarter of an hour -----------------------------------------------------------------------
async def test_trap_09_an_endpoint_that_is_down_for_three_days_gets_its_message(store: SqliteStore) -> None:
    """By the default schedule: ten attempts over 75 h 35 m, the last of them answered."""
    callbacks, wire = taking(*[httpx.ConnectError("refused")] * 9, httpx.Response(204))
    callbacks.clock = clock = HandClock()
    await enqueue(store, "g-1", at=START)
    async with worker(store, wire, clock=clock) as stage:
        for delay in DEFAULT_RETRY[1:]:
            await stage.turn(delay.total_seconds())
        (line,) = await deliveries(store)
        assert (len(line.attempts), line.status) == (10, DeliveryStatus.DELIVERED)
        assert timedelta(seconds=callbacks.times[-1]) == timedelta(hours=75, minutes=35, seconds=5)


# ---- 10: dropped for being asked to wait --------------------------------------------------------------------------
async def test_trap_10_an_endpoint_that_asks_for_less_gets_its_message_later(store: SqliteStore) -> None:
    """429 is retried like any failure, and to the end of the schedule if it never stops."""
    _, wire = taking(*[httpx.Response(429)] * 9, httpx.Response(204))
    await enqueue(store, "g-1", at=START)
    async with worker(store, wire) as stage:
        for delay in DEFAULT_RETRY[1:]:
            await stage.turn(delay.total_seconds())
        (line,) = await deliveries(store)
        assert verdicts(line) == [Verdict.THROTTLED] * 9 + [Verdict.DELIVERED]


# ---- 12: given up on the store, or asked without rest -------------------------------------------------------------
async def test_trap_12_a_store_that_fails_is_neither_given_up_nor_asked_without_rest(store: SqliteStore) -> None:
    """While it is down it is asked once and said once, however often the loop is woken; fifty failures are no end."""
    callbacks, wire = taking()
    async with worker(store, wire) as stage, heard() as events:
        stage.port.down = True
        await enqueue(store, "g-1", at=START)
        for _ in range(20):
            await stage.turn()
        assert stage.port.refused["exchange"] == 1
        assert [event["event"] for event in events] == [STORE_UNAVAILABLE]
        for number in range(2, 51):
            stage.health.clear(STORE)
            await quiet(store)
            assert stage.port.refused["exchange"] == number
        assert callbacks.posts == []
        stage.port.down = False
        stage.health.clear(STORE)
        await quiet(store)
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 1}
