"""Replies above the limit: whose trouble they are, and what they cost the others."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from notifier.domain.model import Observation, WatchStatus
from notifier.polling import exchange
from notifier.providers import client
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import Asked, Watching, heard, quiet, record, request, some, watching

#: Bytes of a reply in these tests, about one ID and about several.
ONE, MANY = 4_000, 8_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BODY_ONE", ONE)
    monkeypatch.setattr(client, "BODY_MANY", MANY)


def weighing(weights: dict[str, int], usual: int = 10) -> Callable[[Asked], httpx.Response]:
    """Completed, each with a note of so many bytes."""

    def answer(asked: Asked) -> httpx.Response:
        found = [record(id_, "completed", note="x" * weights.get(id_, usual)) for id_ in asked.ids]
        return httpx.Response(200, json=found if asked.multi else found[0])

    return answer


async def told(stage: Watching) -> dict[WatchStatus, int]:
    return dict((await stage.store.counts()).watches)


async def test_one_reply_that_is_too_large_is_its_ids_own_trouble(store: SqliteStore) -> None:
    """The others are told at once and in batches, nobody is paused, and the log names the ID and what it is above."""
    ids = some(60)
    async with watching(store, rate=20.0) as stage, heard() as events:
        stage.upstream.judge = weighing({"g-7": 9_000})
        await stage.watch(*map(request, ids))
        await stage.ticks(10, step=0.25)
        assert await told(stage) == {WatchStatus.SATISFIED: 59, WatchStatus.OPEN: 1}
        assert not stage.health.troubles
        assert len(stage.upstream.asked) < 30
    (named, *_) = [each for each in events if each["event"] == "poll.failed" and "generation" in each]
    assert (named["generation"], named["log_level"]) == ("g-7", "warning")
    assert "The answer about g-7 is above 0 MiB: more than is read of one ID." in named["error"]
    assert not [each for each in events if "max_ids" in str(each)]


async def test_three_such_ids_do_not_speak_against_the_provider(store: SqliteStore) -> None:
    """However many there are, it answers: new IDs are asked for as usual."""
    async with watching(store, rate=20.0) as stage:
        stage.upstream.judge = weighing(dict.fromkeys(some(4), 9_000))
        await stage.watch(*map(request, some(4)))
        await stage.ticks(10, step=0.25)
        assert (await told(stage), stage.health.troubles) == ({WatchStatus.OPEN: 4}, {})
        await stage.watch(request("g-new"))
        await stage.ticks(1, step=0.25)
        assert (await told(stage))[WatchStatus.SATISFIED] == 1


@pytest.mark.parametrize("long_poll", ["off", "single"])
async def test_the_only_id_expires_at_its_deadline(store: SqliteStore, long_poll: str) -> None:
    """Its reply is an answer, so the deadline tells, and it is asked for more and more rarely until then."""
    async with watching(store, rate=20.0, long_poll=long_poll) as stage:
        stage.upstream.judge = weighing({"g-1": 9_000})
        await stage.watch(request(timeout=timedelta(minutes=10)))
        await stage.ticks(900, step=5.0)
        assert [line.type for line in await stage.enqueued()] == ["watch.expired"]
        assert not stage.health.troubles
        assert len(stage.upstream.asked) < 40


async def test_a_large_record_beside_small_ones_is_just_read(store: SqliteStore) -> None:
    """A batch may be as much longer as one record is at most, so that such a record costs nobody a request."""
    async with watching(store) as stage:
        stage.upstream.judge = weighing({"g-3": 3_700})
        await stage.watch(*map(request, some(20)))
        await stage.ticks(2)
        assert await told(stage) == {WatchStatus.SATISFIED: 20}
        assert len(stage.upstream.asked) == 1


async def test_a_batch_of_long_records_is_made_smaller(store: SqliteStore) -> None:
    """Each is fine by itself: all are told, in smaller batches from then on, and the batch route stays in use."""
    async with watching(store, rate=20.0) as stage:
        stage.upstream.judge = weighing({}, usual=1_500)
        await stage.watch(*map(request, some(40)))
        await stage.ticks(10, step=0.25)
        assert await told(stage) == {WatchStatus.SATISFIED: 40}
        assert (stage.health.troubles, stage.loop._provider.batch_route.limit) == ({}, 5)


async def test_pairs_that_are_too_long_say_nothing_of_the_multi_route(store: SqliteStore) -> None:
    """Two of the longest records fit in no reply together; the API takes batches all the same."""
    async with watching(store, rate=20.0) as stage:
        stage.upstream.judge = weighing(dict.fromkeys(("g-4", "g-5", "g-6", "g-7"), 3_800), usual=1_000)
        await stage.watch(*map(request, some(16)))
        await stage.ticks(20, step=0.25)
        assert await told(stage) == {WatchStatus.SATISFIED: 16}
        assert not stage.health.troubles


async def test_long_bodies_are_read_in_one_thread_beside_the_loop(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns meanwhile, and two are never read at the same time; short ones are read where they came."""
    threads: list[tuple[int, int]] = []
    under_way = 0
    read = AimlapiLuma.decode

    def decode(self: AimlapiLuma, *arguments: Any) -> list[Observation]:
        nonlocal under_way
        under_way += 1
        threads.append((threading.get_ident(), under_way))
        try:
            return read(self, *arguments)
        finally:
            under_way -= 1

    monkeypatch.setattr(AimlapiLuma, "decode", decode)
    monkeypatch.setattr(exchange, "LONG", 2_000)
    async with watching(store, max_ids=1, batch=False) as stage:
        stage.upstream.judge = weighing(dict.fromkeys(some(4), 3_000))
        await stage.watch(*map(request, some(4)))
        await stage.tick()
        await quiet(store)
        assert len(threads) == 4
        loop = threading.get_ident()
        assert loop not in {thread for thread, _ in threads}
        assert {many for _, many in threads} == {1}
        await stage.watch(request("short"))
        await stage.ticks(2)
        assert threads[-1][0] == loop
