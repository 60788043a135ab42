"""One provider's loop on a real store, against a provider on the wire's double, by a clock moved by hand."""

from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import httpx
import pytest

from notifier.domain.model import DeliveryStatus, State, WatchStatus
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import (
    MINUTE,
    START,
    blocked,
    changes,
    error,
    luma,
    quiet,
    record,
    refuse_batches_with,
    request,
    some,
    watching,
)


# ---- when it polls ------------------------------------------------------------------------------------------------
async def test_nothing_is_polled_without_a_tick(store: SqliteStore) -> None:
    """With the timer stopped the loop is still, however much is due."""
    async with watching(store) as stage:
        await stage.watch(request())
        stage.clock.advance(3600)
        await quiet(store)
        assert stage.upstream.asked == []
        await stage.tick()
        assert len(stage.upstream.asked) == 1


async def test_a_ticks_leave_runs_out(store: SqliteStore) -> None:
    """A timer that stops later is obeyed too: a second after its last tick nothing is polled any more."""
    async with watching(store) as stage:
        await stage.tick()
        stage.clock.advance(1.0)
        await stage.watch(request())
        await quiet(store)
        assert stage.upstream.asked == []


async def test_a_new_watch_is_polled_at_once(store: SqliteStore) -> None:
    """It does not wait for the next tick, let alone for the cadence."""
    async with watching(store) as stage:
        await stage.tick()
        await stage.watch(request())
        await stage.upstream.until(1)


async def test_then_it_is_polled_every_poll_every_or_less_often(store: SqliteStore) -> None:
    """At ages at which few are done polls are further apart, though never more than four times as far."""
    async with watching(store, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.tick()
        await stage.watch(request())
        await stage.ticks(5 * MINUTE)
        times = [asked.at for asked in stage.upstream.asked]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) == 5.0
        assert max(gaps) == gaps[0] <= 20.0


async def test_all_ids_ride_in_one_request(store: SqliteStore) -> None:
    """A hundred IDs that are due together cost one request."""
    ids = some(100)
    async with watching(store) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await stage.watch(*map(request, ids))
        await stage.tick()
        assert stage.upstream.since(0) == [sorted(ids)]


async def test_two_watches_of_one_generation_cost_one_poll(store: SqliteStore) -> None:
    """However many wait for it, it is asked for once."""
    async with watching(store) as stage:
        await stage.watch(request(), request(endpoint="audit"), request(target=State.RUNNING))
        await stage.tick()
        assert stage.upstream.since(0) == [["g-1"]]


async def test_what_was_open_before_a_start_is_polled(store: SqliteStore) -> None:
    """The store is the memory: a restarted provider loop asks for everything that is open in it."""
    ids = some(3)
    async with watching(store) as before:
        await before.watch(*map(request, ids))
    async with watching(store) as stage:
        assert stage.loop.watched == 3
        await stage.tick()
        assert stage.upstream.since(0) == [ids]


async def test_rate_and_places_are_never_exceeded(store: SqliteStore) -> None:
    """At three a second and two at a time, forty singles never go faster, however long the wait before was."""
    ids = some(40)
    async with watching(store, batch=False, rate=3.0, in_flight=2) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.clock.advance(3600)
        await stage.watch(*map(request, ids))
        await stage.ticks(12)
        times = [asked.at for asked in stage.upstream.asked]
        assert stage.upstream.most == 2
        assert len(times) >= 36
        for first in times:
            assert sum(first <= at < first + 1 for at in times) <= 6  # a full bucket and what fills it meanwhile
        assert len(times) <= 3 + 3 * 12


async def test_a_request_that_hangs_takes_one_place(store: SqliteStore) -> None:
    """The others go on beside it, and never more than there are places."""
    async with watching(store, in_flight=3, max_ids=1) as stage:
        stage.upstream.gate = anyio.Event()
        await stage.watch(*map(request, some(9)))
        await stage.ticks(5)
        assert len(stage.upstream.asked) == 3
        stage.upstream.gate.set()
        await quiet(store)
        assert {id_ for asked in stage.upstream.asked for id_ in asked.ids} == set(some(9))
        assert stage.upstream.most == 3


# ---- what it writes -----------------------------------------------------------------------------------------------
async def test_an_unchanged_observation_writes_nothing(store: SqliteStore) -> None:
    """Disk work grows with changes, never with polls."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.watch(request())
        await stage.tick()
        count = changes(store)
        before = await count()
        await stage.ticks(30)
        assert len(stage.upstream.asked) > 5
        assert await count() == before


async def test_a_transition_and_its_delivery_are_one(store: SqliteStore) -> None:
    """Completed: the state, the satisfied watch and the owed callback are there together, and the wakeup is rung."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.watch(request())
        await stage.tick()
        assert not await stage.rung()
        stage.upstream.states["g-1"] = "completed"
        await stage.tick(5)
        history = await stage.history()
        assert history.state is State.COMPLETED
        assert [watch.status for watch in history.watches] == [WatchStatus.SATISFIED]
        assert [line.type for line in await stage.enqueued()] == ["generation.completed"]
        assert await stage.rung()


async def test_nobody_is_polled_once_nobody_waits(store: SqliteStore) -> None:
    """The last satisfied watch ends the polls."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "completed"
        await stage.watch(request())
        await stage.tick()
        await stage.ticks(30)
        assert len(stage.upstream.asked) == 1
        assert stage.loop.watched == 0


async def test_a_watch_for_running_is_answered_on_the_way(store: SqliteStore) -> None:
    """One watch is satisfied by running, the other waits on, and polls go on for it."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        await stage.watch(request(target=State.RUNNING), request())
        await stage.tick()
        assert [line.type for line in await stage.enqueued()] == ["generation.running"]
        stage.upstream.states["g-1"] = "failed"
        await stage.tick(5)
        assert sorted(line.type for line in await stage.enqueued()) == ["generation.failed", "generation.running"]


async def test_not_before_is_when_the_poll_before_was_sent(store: SqliteStore) -> None:
    """The callback brackets the moment: after the last poll that did not show it, before the one that did."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.watch(request())
        await stage.tick()
        sent = stage.clock.now() + timedelta(seconds=5)
        await stage.tick(5)
        stage.upstream.states["g-1"] = "completed"
        await stage.tick(5)
        history = await stage.history()
        assert history.not_before == sent
        assert history.observed_at == stage.clock.now()


async def test_a_record_above_the_limit_is_left_out_of_the_callback(store: SqliteStore) -> None:
    """Sixteen KiB of a provider's record ride along, and not a byte more."""
    async with watching(store) as stage:
        big = record("g-1", "completed", note="x" * 17_000)
        stage.upstream.script.append(httpx.Response(200, json=[big]))
        await stage.watch(request())
        await stage.tick()
        body = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchone()[0])
        assert b'"generation":null,"generation_omitted":true' in body
        assert b"https://cdn.example.com/g-1.mp4" in body


async def test_a_watch_that_joins_while_a_poll_is_under_way_is_not_dropped(store: SqliteStore) -> None:
    """It is answered by that very poll or stays watched: never neither."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        stage.upstream.gate = anyio.Event()
        await stage.watch(request(target=State.RUNNING))
        await stage.tick()
        await stage.watch(request(endpoint="audit"))
        stage.upstream.gate.set()
        await quiet(store)
        assert stage.loop.watched == 1
        stage.upstream.states["g-1"] = "completed"
        await stage.tick(5)
        assert sorted(line.type for line in await stage.enqueued()) == ["generation.completed", "generation.running"]


async def test_a_watch_that_joins_while_its_sight_is_written_is_not_dropped(store: SqliteStore) -> None:
    """The write has ended the last watch and its answer is on the way when another one comes."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        await stage.watch(request(target=State.RUNNING))
        async with anyio.create_task_group() as tasks:
            join = partial(stage.registrar.register, [request()], source="a test")
            stage.port.after["record_transitions"] = lambda: tasks.start_soon(join)
            stage.upstream.gate = anyio.Event()
            await stage.tick()
            stage.upstream.gate.set()
            await quiet(store)
        assert stage.loop.watched == 1
        stage.upstream.states["g-1"] = "completed"
        await stage.tick(5)
        assert len(await stage.enqueued()) == 2


# ---- a provider in trouble ----------------------------------------------------------------------------------------
async def test_retry_after_is_obeyed(store: SqliteStore) -> None:
    """A provider that asks for thirty seconds gets them, to the second, and nothing is lost meanwhile."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "completed"
        stage.upstream.script.append(error(429, **{"retry-after": "30"}))
        await stage.watch(request())
        await stage.ticks(29.5)
        assert len(stage.upstream.asked) == 1
        assert "429" in stage.health.troubles["provider luma"]
        await stage.ticks(1)
        assert len(await stage.enqueued()) == 1
        assert not stage.health.troubles


@pytest.mark.parametrize(
    "trouble",
    [error(500), error(503), httpx.Response(200, text="<html>"), httpx.ConnectError("refused"), httpx.ReadError("x")],
    ids=lambda each: each.__class__.__name__ + str(getattr(each, "status_code", "")),
)
async def test_a_broken_provider_is_asked_less_and_less(
    store: SqliteStore, trouble: httpx.Response | Exception
) -> None:
    """Pauses double while it fails; one good answer and all is as before."""
    async with watching(store, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states["g-1"] = "queued"
        again: Any = trouble
        stage.upstream.script.extend(
            again if isinstance(again, Exception) else httpx.Response(again.status_code, content=again.content)
            for _ in range(5)
        )
        await stage.watch(request())
        await stage.ticks(31.5)
        times = [asked.at for asked in stage.upstream.asked]
        gaps = [later - earlier for earlier, later in pairwise(times[:6])]
        assert gaps == [1, 2, 4, 8, 16]
        assert not stage.health.troubles
        before = len(stage.upstream.asked)
        await stage.ticks(4)
        assert len(stage.upstream.asked) == before + 4


async def test_trouble_lets_one_request_through_at_a_time(store: SqliteStore) -> None:
    """Nine requests that fail together are one failure, and a sick provider gets a single probe."""
    async with watching(store, max_ids=1) as stage:
        stage.upstream.judge = lambda _: error(500)
        stage.upstream.gate = anyio.Event()
        await stage.watch(*map(request, some(9)))
        await stage.tick()
        assert len(stage.upstream.asked) == 9
        stage.clock.advance(0.5)
        stage.upstream.gate.set()
        await quiet(store)
        for seconds, requests in ((0.75, 9), (0.25, 10), (1.75, 10), (0.25, 11)):
            await stage.tick(seconds)
            assert len(stage.upstream.asked) == requests


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refused_key_pauses_the_provider(store: SqliteStore, status: int) -> None:
    """It is not hammered, readiness names it and what to do, and it is tried again slowly until it is mended."""
    async with watching(store) as stage:
        stage.upstream.judge = lambda _: error(status, "Unauthorized")
        stage.upstream.states["g-1"] = "completed"
        await stage.watch(request())
        await stage.ticks(29, step=1)
        assert len(stage.upstream.asked) == 1
        assert str(status) in stage.health.troubles["provider luma"]
        await stage.ticks(2, step=1)
        assert len(stage.upstream.asked) == 2
        stage.upstream.judge = lambda _: None
        await stage.ticks(61, step=1)
        assert not stage.health.troubles
        assert len(await stage.enqueued()) == 1


async def test_new_settings_end_a_pause(store: SqliteStore) -> None:
    """The operator who has mended the key and reloads does not have to wait for the pause to end."""
    async with watching(store) as stage:
        stage.upstream.script.append(error(401))
        stage.upstream.states["g-1"] = "completed"
        await stage.watch(request())
        await stage.tick()
        stage.loop.apply(luma(rate=10.0))
        await stage.tick(0.25)
        assert len(await stage.enqueued()) == 1
        assert not stage.health.troubles


# ---- refused batches ----------------------------------------------------------------------------------------------
async def test_a_refused_batch_is_split_within_a_fifth_of_the_rate(store: SqliteStore) -> None:
    """Five a second leave one a second for the parts while others are due, however urgent they seem."""
    ids, others = some(32), some(20, "o")
    async with watching(store, rate=5.0, max_ids=32, long_poll="off", poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids[1:], "queued") | dict.fromkeys(others, "queued")
        stage.upstream.judge = refuse_batches_with([ids[0]])
        await stage.watch(*map(request, [*ids, *others]))
        await stage.ticks(15)
        parts = [asked.at for asked in stage.upstream.asked[1:] if ids[0] in asked.ids]
        assert all(later - earlier >= 0.25 for earlier, later in pairwise(parts))
        assert max(later - earlier for earlier, later in pairwise(parts)) < 10
        assert len(stage.upstream.asked) <= 5 * 16


async def test_a_refused_batch_is_split_at_once_while_the_budget_is_not_used(store: SqliteStore) -> None:
    """Nothing else is due: the good IDs do not wait for a fifth of the rate, which would take ten seconds."""
    ids = some(32)
    async with watching(store, rate=5.0, poll_every=timedelta(minutes=10)) as stage:
        stage.upstream.states |= dict.fromkeys(ids[1:], "completed")
        stage.upstream.judge = refuse_batches_with([ids[0]])
        await stage.watch(*map(request, ids))
        await stage.ticks(6)
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: 31, WatchStatus.OPEN: 1}
        assert len(stage.upstream.asked) == 11


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_bad_id_never_rejoins_a_batch(store: SqliteStore, status: int) -> None:
    """Once found it is asked by itself, so that a batch is refused because of it once and never again."""
    ids = some(8)
    async with watching(store) as stage:
        stage.upstream.states |= dict.fromkeys(ids[1:], "queued")
        stage.upstream.judge = refuse_batches_with([ids[0]], status)
        await stage.watch(*map(request, ids))
        await stage.ticks(10)
        found = len(stage.upstream.asked)
        await stage.ticks(5 * MINUTE, step=1)
        later = stage.upstream.asked[found:]
        assert [asked.ids for asked in later if asked.multi and ids[0] in asked.ids] == []
        assert any(asked.ids == (ids[0],) for asked in later)
        assert all(len(asked.ids) == 7 for asked in later if asked.multi)


async def test_a_refused_batch_of_one_speaks_of_its_id(store: SqliteStore) -> None:
    """The only ID watched is not readable yet: it is asked alone, and the provider is not paused for it."""
    async with watching(store) as stage:
        stage.upstream.judge = refuse_batches_with(["g-1"])
        await stage.watch(request())
        await stage.ticks(8)
        assert not stage.health.troubles
        stage.upstream.judge = lambda _: None
        stage.upstream.states["g-1"] = "completed"
        await stage.ticks(30)
        assert len(await stage.enqueued()) == 1


async def test_batches_shrink_to_what_the_provider_takes(store: SqliteStore) -> None:
    """A 413 is a lesson about size: no ID is suspected, and later batches fit."""
    ids = some(20)
    async with watching(store, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.judge = lambda asked: error(413) if asked.multi and len(asked.ids) > 6 else None
        await stage.watch(*map(request, ids))
        await stage.ticks(5)
        learned = len(stage.upstream.asked)
        await stage.ticks(20)
        assert all(asked.multi and len(asked.ids) <= 6 for asked in stage.upstream.asked[learned:])
        assert not stage.health.troubles


async def test_a_multi_route_that_is_gone_is_done_without(store: SqliteStore) -> None:
    """IDs are asked one by one, readiness names the fix, and the route is tried again later; then all is well."""
    ids = some(4)
    async with watching(store, poll_every=timedelta(seconds=30)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.judge = lambda asked: error(404, "Cannot GET") if asked.multi else None
        await stage.watch(*map(request, ids))
        await stage.ticks(20)
        assert any("batch: off" in sentence for sentence in stage.health.troubles.values())
        found = len(stage.upstream.asked)
        await stage.ticks(2 * MINUTE, step=1)
        assert not any(asked.multi for asked in stage.upstream.asked[found:])
        assert {id_ for asked in stage.upstream.asked[found:] for id_ in asked.ids} == set(ids)
        stage.upstream.judge = lambda _: None
        await stage.ticks(10 * MINUTE, step=5)
        assert stage.upstream.asked[-1].multi
        assert not stage.health.troubles


# ---- a provider that knows nothing --------------------------------------------------------------------------------
async def test_a_reply_without_any_of_the_ids_pauses_the_provider(store: SqliteStore) -> None:
    """None of two: the account or the address is wrong, says readiness; the IDs are not blamed."""
    async with watching(store) as stage:
        await stage.watch(*map(request, some(2)))
        await stage.ticks(4)
        assert len(stage.upstream.asked) == 1
        assert "api_key" in stage.health.troubles["provider luma"]
        stage.upstream.states |= dict.fromkeys(some(2), "completed")
        await stage.ticks(3)
        assert not stage.health.troubles
        assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: 2}


async def test_one_such_reply_means_nothing_of_a_provider_that_answered_lately(store: SqliteStore) -> None:
    """Two new IDs that it does not hold yet, seconds after it held others, pause nobody."""
    async with watching(store, max_ids=2) as stage:
        stage.upstream.states |= dict.fromkeys(some(2), "queued")
        await stage.watch(*map(request, some(2)))
        await stage.tick()
        await stage.watch(request("new-1"), request("new-2"))
        await stage.ticks(20)
        assert not stage.health.troubles


async def test_a_new_watch_ends_that_pause(store: SqliteStore) -> None:
    """A provider that knew none of the IDs may know this one, and is asked at once."""
    async with watching(store) as stage:
        await stage.watch(*map(request, some(2)))
        await stage.tick()
        stage.upstream.states["g-3"] = "completed"
        await stage.watch(request("g-3"))
        await stage.tick(0.25)
        assert len(await stage.enqueued("g-3")) == 1
        assert not stage.health.troubles


# ---- endings ------------------------------------------------------------------------------------------------------
async def test_an_id_nobody_knows_ends_as_unknown(store: SqliteStore) -> None:
    """After ten minutes, three misses and a confirming single request, while another ID was answered: not before."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.watch(request(), request("typo"))
        await stage.ticks(10 * MINUTE - 1, step=1)
        assert [watch.status for watch in await stage.watches("typo")] == [WatchStatus.OPEN]
        assert any(asked.ids == ("typo",) and not asked.multi for asked in stage.upstream.asked)
        await stage.ticks(3 * MINUTE, step=1)
        assert [watch.status for watch in await stage.watches("typo")] == [WatchStatus.UNKNOWN]
        assert [line.type for line in await stage.enqueued("typo")] == ["generation.unknown"]
        assert [watch.status for watch in await stage.watches()] == [WatchStatus.OPEN]
        assert stage.loop.watched == 1


async def test_the_only_id_is_never_called_unknown(store: SqliteStore) -> None:
    """With nothing else answered it may be the provider that knows nothing; the watch expires in time."""
    async with watching(store) as stage:
        await stage.watch(request(timeout=timedelta(minutes=30)))
        await stage.ticks(29 * MINUTE, step=5)
        assert [watch.status for watch in await stage.watches()] == [WatchStatus.OPEN]
        await stage.ticks(5 * MINUTE, step=5)
        assert [line.type for line in await stage.enqueued()] == ["watch.expired"]


async def test_a_watch_expires_by_a_poll_at_its_deadline_or_later(store: SqliteStore) -> None:
    """A poll that was sent before the deadline lets nothing expire; the next one does, and rings the wakeup."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        await stage.watch(request(timeout=timedelta(seconds=12)))
        await stage.ticks(11.75)
        assert [watch.status for watch in await stage.watches()] == [WatchStatus.OPEN]
        await stage.ticks(4)
        (line,) = await stage.enqueued()
        assert line.type == "watch.expired"
        assert timedelta(seconds=12) <= line.created_at - START <= timedelta(seconds=12.5)
        assert await stage.rung()
        assert stage.loop.watched == 0


async def test_nothing_expires_while_the_provider_cannot_be_asked(store: SqliteStore) -> None:
    """It may have been finished long before the deadline: the first good poll decides."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "completed"
        stage.upstream.judge = lambda _: error(503)
        await stage.watch(request(timeout=timedelta(minutes=1)))
        await stage.ticks(5 * MINUTE, step=1)
        assert [watch.status for watch in await stage.watches()] == [WatchStatus.OPEN]
        stage.upstream.judge = lambda _: None
        await stage.ticks(2 * MINUTE, step=1)
        assert [line.type for line in await stage.enqueued()] == ["generation.completed"]


async def test_only_the_watch_whose_time_is_up_expires(store: SqliteStore) -> None:
    """Another watch of the same generation with more patience waits on."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        await stage.watch(request(timeout=timedelta(seconds=7)), request(endpoint="audit"))
        await stage.ticks(11)
        statuses = {watch.endpoint: watch.status for watch in await stage.watches()}
        assert statuses == {"studio": WatchStatus.EXPIRED, "audit": WatchStatus.OPEN}
        stage.upstream.states["g-1"] = "completed"
        await stage.ticks(5)
        assert sorted(line.type for line in await stage.enqueued()) == ["generation.completed", "watch.expired"]


async def test_a_nearer_deadline_that_joins_while_a_sight_is_written_counts(store: SqliteStore) -> None:
    """A watch with less patience, registered in the very moment of a write, expires in its own time."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "queued"
        await stage.watch(request())
        impatient = request(endpoint="audit", timeout=timedelta(seconds=7))
        known = (await store.add_watches([request()], now=START))[0].open
        assert known is not None

        def join() -> None:
            (answer,) = registered
            assert answer.open is not None
            stage.loop.add([answer.open])

        registered: list[Any] = []
        real = stage.port._store.record_transitions

        async def write_then_register(*args: Any, **more: Any) -> Any:
            recorded = await real(*args, **more)
            registered.extend(await store.add_watches([impatient], now=stage.clock.now()))
            join()
            return recorded

        stage.port.instead["record_transitions"] = write_then_register
        await stage.tick()
        stage.port.instead.clear()
        await stage.ticks(11)
        statuses = {watch.endpoint: watch.status for watch in await stage.watches()}
        assert statuses == {"studio": WatchStatus.OPEN, "audit": WatchStatus.EXPIRED}


# ---- a store that cannot write ------------------------------------------------------------------------------------
async def test_nothing_is_polled_while_the_store_cannot_write(store: SqliteStore) -> None:
    """What could not be written down is not asked for; when it can, polls go on."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "completed"
        await stage.watch(request())
        stage.health.trouble("store", "the disk is full")
        await stage.ticks(10)
        assert stage.upstream.asked == []
        stage.health.clear("store")
        await stage.tick()
        assert len(await stage.enqueued()) == 1


async def test_what_was_seen_is_kept_until_it_is_written(store: SqliteStore) -> None:
    """A sight that the store could not take waits for it, is not asked for again, and is written once."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "completed"
        await stage.watch(request())
        stage.port.down = True
        stage.loop.tick()
        await stage.upstream.until(1)
        await blocked()
        assert stage.health.troubles["store"] == "store: the disk is full"
        assert stage.port.refused == {"record_transitions": 1}
        await stage.ticks(10)
        assert len(stage.upstream.asked) == 1
        stage.port.down = False
        stage.health.clear("store")
        await quiet(store)
        assert len(await stage.enqueued()) == 1
        assert await stage.rung()
        assert len(stage.upstream.asked) == 1


async def test_a_full_disk_is_met_as_trouble_and_survived(store: SqliteStore) -> None:
    """The real store at its size limit: nothing is lost, and what was seen is owed once there is room again."""
    ids = some(200)
    async with watching(store) as stage:
        await stage.watch(*map(request, ids))
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        limit = await store.writer.run(
            lambda conn: conn.execute(
                f"PRAGMA max_page_count = {conn.execute('PRAGMA page_count').fetchone()[0]}"
            ).fetchone()[0]
        )
        assert limit > 0
        stage.loop.tick()
        await stage.upstream.until(2)
        await quiet(store)
        assert "store" in stage.health.troubles
        assert (await store.counts()).deliveries == {}
        await store.writer.run(lambda conn: conn.execute("PRAGMA max_page_count = 1000000").fetchone())
        stage.health.clear("store")
        await stage.ticks(2)
        assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: 200}


# ---- settings -----------------------------------------------------------------------------------------------------
async def test_new_settings_act_from_the_next_request_on(store: SqliteStore) -> None:
    """Another cadence and another batch size after a reload, with everything still watched."""
    ids = some(4)
    async with watching(store) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await stage.watch(*map(request, ids))
        await stage.tick()
        stage.loop.apply(luma(max_ids=2, poll_every=timedelta(seconds=20)))
        await stage.tick(0.25)
        assert sorted(map(len, stage.upstream.since(1))) == [2, 2]
        await stage.ticks(18)
        assert len(stage.upstream.asked) == 3
        await stage.ticks(62)
        assert {id_ for asked in stage.upstream.since(3) for id_ in asked} == set(ids)


async def test_new_settings_while_a_request_is_under_way_lose_nothing(store: SqliteStore) -> None:
    """Its answer is still taken, and its ID is polled by the new cadence."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "queued"
        stage.upstream.gate = anyio.Event()
        await stage.watch(request())
        await stage.tick()
        stage.loop.apply(luma(poll_every=timedelta(seconds=2)))
        stage.upstream.gate.set()
        await quiet(store)
        stage.upstream.states["g-1"] = "completed"
        await stage.ticks(8)
        assert len(await stage.enqueued()) == 1


async def test_a_split_survives_new_settings(store: SqliteStore) -> None:
    """IDs that were on their way through a split when the configuration changed are still polled."""
    ids = some(8)
    async with watching(store, rate=5.0) as stage:
        stage.upstream.states |= dict.fromkeys(ids[1:], "queued")
        stage.upstream.judge = refuse_batches_with([ids[0]])
        await stage.watch(*map(request, ids))
        await stage.ticks(2)
        stage.loop.apply(luma(rate=10.0))
        stage.upstream.states |= dict.fromkeys(ids[1:], "completed")
        await stage.ticks(40)
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: 7, WatchStatus.OPEN: 1}


async def test_new_settings_while_what_was_asked_is_finished_trip_nobody(store: SqliteStore) -> None:
    """An ID that leaves the watch while a reload has it on a new agenda is not polled, and nothing breaks."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "completed"
        stage.upstream.gate = anyio.Event()
        await stage.watch(request())
        await stage.tick()
        stage.loop.apply(luma(poll_every=timedelta(seconds=2)))
        stage.upstream.gate.set()
        await stage.ticks(5)
        assert len(stage.upstream.asked) == 1
        assert stage.loop.watched == 0


async def test_one_split_that_proves_the_multi_route_gone_ends_them_all(store: SqliteStore) -> None:
    """However many batches were refused, their IDs are asked one by one at the whole rate from then on."""
    ids = some(60)
    async with watching(store, max_ids=10, rate=20.0, poll_every=timedelta(minutes=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = lambda asked: error(404, "Cannot GET") if asked.multi else None
        await stage.watch(*map(request, ids))
        await stage.ticks(8)
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: 60}


async def test_dead_ids_do_not_starve_good_ones(store: SqliteStore) -> None:
    """A new ID is asked about before all that is overdue; hundreds of dead ones do not delay the good ones."""
    dead, good = some(900), ["good-1", "good-2", "good-3"]
    async with watching(store, rate=5.0) as stage:
        await stage.watch(*map(request, dead))
        await stage.ticks(6)
        assert "api_key" in stage.health.troubles["provider luma"]
        stage.upstream.states |= dict.fromkeys(good, "queued")
        before = len(stage.upstream.asked)
        await stage.watch(*map(request, good))
        await stage.tick(0.25)
        assert set(good) <= set(stage.upstream.asked[before].ids)
        assert not stage.health.troubles
        stage.upstream.states |= dict.fromkeys(good, "completed")
        await stage.ticks(15)
        assert (await store.counts()).watches[WatchStatus.SATISFIED] == 3


async def test_ids_that_were_not_tried_are_tried_without_long_pauses(store: SqliteStore) -> None:
    """One known ID among hundreds of dead ones is found at the usual rate, however often none was held."""
    ids = some(1_900)
    async with watching(store, rate=5.0) as stage:
        await stage.watch(*map(request, ids))
        stage.upstream.states[ids[1_000]] = "completed"
        await stage.ticks(2)
        assert "api_key" in stage.health.troubles["provider luma"]
        await stage.ticks(4)
        assert (await store.counts()).watches[WatchStatus.SATISFIED] == 1
        assert not stage.health.troubles


async def test_once_all_were_asked_about_a_provider_that_knows_none_is_given_pauses(store: SqliteStore) -> None:
    """Nine batches at the usual rate, and then hardly any: it is the wrong account."""
    async with watching(store, rate=5.0) as stage:
        await stage.watch(*map(request, some(900)))
        await stage.ticks(60, step=0.5)
        assert {id_ for asked in stage.upstream.asked[:9] for id_ in asked.ids} == set(some(900))
        assert len(stage.upstream.asked) <= 9 + 7


async def test_a_multi_route_that_refuses_even_one_id_is_done_without(store: SqliteStore) -> None:
    """413 to whatever is asked: the size is not what is wrong; IDs are asked one by one, at the whole rate."""
    ids = some(40)
    async with watching(store, rate=10.0) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.judge = lambda asked: error(413, "too large") if asked.multi else None
        await stage.watch(*map(request, ids))
        await stage.ticks(20)
        assert any("batch: off" in sentence for sentence in stage.health.troubles.values())
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(35)
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: 40}


async def test_a_new_id_does_not_wait_for_what_was_open_at_the_start(store: SqliteStore) -> None:
    """However many generations a start loads, what is registered after it is asked about next."""
    await store.add_watches(list(map(request, some(300))), now=START)
    async with watching(store, batch=False, rate=5.0) as stage:
        stage.upstream.states |= dict.fromkeys([*some(300), "new"], "queued")
        await stage.ticks(2)
        before = len(stage.upstream.asked)
        await stage.watch(request("new"))
        await stage.ticks(1)
        assert ["new"] in stage.upstream.since(before)[:3]


async def test_dead_ids_cost_less_and_less_without_batches(store: SqliteStore) -> None:
    """With `batch: off` each poll is a request of its own; IDs that are not there leave room for those that are."""
    dead, good = some(100), [f"good-{number}" for number in range(10)]
    async with watching(store, batch=False, rate=5.0) as stage:
        stage.upstream.states |= dict.fromkeys(good, "queued")
        await stage.watch(*map(request, dead + good))
        await stage.ticks(3 * MINUTE, step=1)
        asked = [id_ for ids in stage.upstream.since(0) for id_ in ids]
        assert sum(id_ in good for id_ in asked) > sum(id_ in dead for id_ in asked) / 2


async def test_ids_that_are_not_readable_yet_do_not_speak_against_the_multi_route(store: SqliteStore) -> None:
    """Refused by themselves and missed alone, then there: new IDs, one after the other; the route is used as before."""
    async with watching(store) as stage:
        stage.upstream.judge = lambda asked: (
            error(404, "not found") if asked.multi and not set(asked.ids) <= stage.upstream.states.keys() else None
        )
        for id_ in ("new-1", "new-2", "new-3"):
            await stage.watch(request(id_))
            await stage.ticks(12)
            stage.upstream.states[id_] = "completed"
            await stage.ticks(60, step=1)
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: 3}
        assert not stage.health.troubles
