"""IDs that a provider does not know, or does not know any more: how long it takes to be sure, and what is told."""

from datetime import timedelta

import orjson
import pytest

from notifier.domain.model import State, WatchStatus
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import MINUTE, START, Asked, Watching, error, request, watching

#: Ten minutes, and the longest time between two polls of an ID that is not found.
SURE = 12 * MINUTE


async def stands(stage: Watching, generation: str) -> WatchStatus:
    (watch,) = await stage.watches(generation)
    return watch.status


async def body_of(store: SqliteStore) -> dict[str, object]:
    ((body,),) = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchall())
    held: dict[str, object] = orjson.loads(body)
    return held


async def begin(stage: Watching, **states: str) -> None:
    """Watch `other`, which runs for ever, and those in `states`, which are seen so once."""
    stage.upstream.states |= {"other": "dreaming"} | states
    await stage.watch(request("other"), *map(request, states))
    await stage.ticks(10, step=1)


async def test_an_id_that_was_seen_and_is_gone_for_ever_is_unknown(store: SqliteStore) -> None:
    """It was deleted, or has run out there: whoever waits hears so, with the state that was seen last."""
    async with watching(store) as stage:
        await begin(stage, gone="dreaming")
        del stage.upstream.states["gone"]
        await stage.ticks(SURE, step=2)
        assert await stands(stage, "gone") is WatchStatus.UNKNOWN
        body = await body_of(store)
        assert body["type"] == "generation.unknown"
        data = body["data"]
        assert isinstance(data, dict)
        assert (data["generation_id"], data["state"], data["provider_state"]) == ("gone", "running", "dreaming")
        assert stage.loop.watched == 1


async def test_it_is_unknown_where_each_id_is_asked_for_alone_too(store: SqliteStore) -> None:
    """A provider without batches answers 404 for it, and 200 for another one."""
    async with watching(store, batch=False) as stage:
        await begin(stage, gone="queued")
        del stage.upstream.states["gone"]
        await stage.ticks(SURE, step=2)
        assert await stands(stage, "gone") is WatchStatus.UNKNOWN


async def test_it_is_unknown_where_requests_wait_for_it_too(store: SqliteStore) -> None:
    """A request that waits is answered at once for an ID that is gone: it is asked no more often for that."""
    async with watching(store, long_poll="single", rate=5.0) as stage:
        stage.upstream.long_polls = "any"
        await stage.tick()
        await begin(stage, gone="dreaming")
        del stage.upstream.states["gone"]
        before = len(stage.upstream.asked)
        await stage.ticks(SURE, step=2)
        assert await stands(stage, "gone") is WatchStatus.UNKNOWN
        assert sum("gone" in asked.ids for asked in stage.upstream.asked[before:]) < 40
        assert any(asked.wait for asked in stage.upstream.asked[-20:]), "the other one is held still"


async def test_one_that_is_seen_again_begins_anew(store: SqliteStore) -> None:
    """Missing for nine minutes, there, missing for nine minutes: never ten in a row."""
    async with watching(store) as stage:
        await begin(stage, blinks="dreaming")
        for _ in range(2):
            del stage.upstream.states["blinks"]
            await stage.ticks(9 * MINUTE, step=2)
            stage.upstream.states["blinks"] = "dreaming"
            await stage.ticks(3 * MINUTE, step=2)
        assert await stands(stage, "blinks") is WatchStatus.OPEN
        stage.upstream.states["blinks"] = "completed"
        await stage.ticks(30, step=1)
        assert [line.type for line in await stage.enqueued("blinks")] == ["generation.completed"]


async def test_one_that_only_batches_leave_out_is_not_unknown(store: SqliteStore) -> None:
    """It is there when it is asked for alone."""
    async with watching(store) as stage:
        await begin(stage, shy="dreaming")
        answer = stage.upstream._answer

        def without_shy(asked: Asked) -> object:
            if not asked.multi:
                return answer(asked)
            return answer(Asked(ids=tuple(set(asked.ids) - {"shy"}), multi=True, at=asked.at))

        stage.upstream._answer = without_shy  # type: ignore[method-assign,assignment]  # the wire's double, not ours
        await stage.ticks(2 * SURE, step=2)
        assert await stands(stage, "shy") is WatchStatus.OPEN


async def test_ten_minutes_since_registration_are_not_ten_minutes_of_being_asked(store: SqliteStore) -> None:
    """The provider is down from the start: its first answers about a new ID come a quarter of an hour later."""
    async with watching(store, rate=5.0) as stage:
        stage.upstream.states["other"] = "dreaming"
        stage.upstream.judge = lambda _: error(503)
        await stage.watch(request("other"), request("new"))
        await stage.ticks(15 * MINUTE, step=5)
        stage.upstream.judge = lambda _: None
        await stage.ticks(9 * MINUTE, step=2)
        assert await stands(stage, "new") is WatchStatus.OPEN
        stage.upstream.states["new"] = "completed"
        await stage.ticks(2 * MINUTE, step=2)
        assert [line.type for line in await stage.enqueued("new")] == ["generation.completed"]


async def test_an_outage_between_two_polls_is_no_time_of_being_asked(store: SqliteStore) -> None:
    """Two misses, an hour of 503, two misses: it was asked for during two minutes."""
    async with watching(store, rate=5.0) as stage:
        await begin(stage, gone="dreaming")
        del stage.upstream.states["gone"]
        await stage.ticks(MINUTE, step=2)
        stage.upstream.judge = lambda _: error(503)
        await stage.ticks(60 * MINUTE, step=10)
        stage.upstream.judge = lambda _: None
        await stage.ticks(6 * MINUTE, step=2)
        assert await stands(stage, "gone") is WatchStatus.OPEN
        await stage.ticks(SURE, step=2)
        assert await stands(stage, "gone") is WatchStatus.UNKNOWN


async def test_a_restart_begins_anew(store: SqliteStore) -> None:
    """What is open for hours when the daemon starts is asked for ten minutes before anything is told."""
    async with watching(store) as stage:
        await begin(stage, gone="dreaming")
    async with watching(store) as stage:
        stage.clock.advance(3 * 3600)
        stage.upstream.states["other"] = "dreaming"
        await stage.ticks(9 * MINUTE, step=2)
        assert await stands(stage, "gone") is WatchStatus.OPEN
        await stage.ticks(4 * MINUTE, step=2)
        assert await stands(stage, "gone") is WatchStatus.UNKNOWN
        assert (await stage.history("gone")).state is State.RUNNING


async def test_a_clock_that_is_set_forward_makes_nothing_unknown(store: SqliteStore) -> None:
    """By an hour, in the first seconds of a new ID: minutes of being asked are no wall time."""
    async with watching(store) as stage:
        await begin(stage)
        await stage.watch(request("new"))
        await stage.ticks(10, step=1)
        stage.clock.set_wall(3600)
        await stage.ticks(5 * MINUTE, step=2)
        assert await stands(stage, "new") is WatchStatus.OPEN


async def test_a_watch_that_is_reopened_has_its_ten_minutes(store: SqliteStore) -> None:
    """Registered again after `generation.unknown`, it may be readable by now: it is asked for as a new one is."""
    async with watching(store) as stage:
        await begin(stage)
        await stage.watch(request("new"))
        await stage.ticks(SURE, step=2)
        assert await stands(stage, "new") is WatchStatus.UNKNOWN
        await stage.watch(request("new"))
        await stage.ticks(9 * MINUTE, step=2)
        assert await stands(stage, "new") is WatchStatus.OPEN
        told = [line.created_at - START for line in await stage.enqueued("new")]
        assert len(told) == 1
        assert told[0] >= timedelta(minutes=10)


@pytest.mark.parametrize("batch", [True, False])
async def test_an_outage_and_a_restart_in_it_tell_nothing_twice(store: SqliteStore, *, batch: bool) -> None:
    """Seen, missed for eight minutes, an outage, a restart in it: after ten minutes more each watch is told once."""
    async with watching(store, batch=batch) as stage:
        await begin(stage, gone="dreaming")
        await stage.watch(request("gone", endpoint="audit"))
        del stage.upstream.states["gone"]
        await stage.ticks(8 * MINUTE, step=4)
        stage.upstream.judge = lambda _: error(503)
        await stage.ticks(10 * MINUTE, step=10)
        ended = stage.clock.seconds
    async with watching(store, batch=batch) as stage:
        stage.clock.advance(ended + 10 * MINUTE)
        stage.upstream.states["other"] = "dreaming"
        stage.upstream.judge = lambda _: error(503)
        await stage.ticks(5 * MINUTE, step=10)
        stage.upstream.judge = lambda _: None
        await stage.ticks(9 * MINUTE, step=4)
        assert await stage.enqueued("gone") == []
        await stage.ticks(5 * MINUTE, step=4)
        assert [line.type for line in await stage.enqueued("gone")] == ["generation.unknown"] * 2
        assert (await stage.history("gone")).state is State.RUNNING
        ended = stage.clock.seconds
    async with watching(store, batch=batch) as stage:
        stage.clock.advance(ended)
        stage.upstream.states["other"] = "dreaming"
        await stage.ticks(SURE, step=10)
        assert len(await stage.enqueued("gone")) == 2
