"""Requests that the provider keeps: a provider loop on a real store, a provider that holds, a clock moved by hand."""

from datetime import timedelta

import pytest

from notifier.domain.model import State, WatchStatus
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import MINUTE, begin, error, long_polls, luma, quiet, request, some, watching


async def test_a_handful_is_held_and_known_at_the_moment_it_is_there(store: SqliteStore) -> None:
    """With eight open and nine places each has a request that waits; none is swept, and the news takes no time."""
    ids = some(8)
    async with watching(store, long_poll="auto", in_flight=9) as stage:
        await begin(stage, ids)
        assert [(each.ids, each.multi, each.wait) for each in stage.upstream.asked] == [
            ((id_,), False, "completed") for id_ in ids
        ]
        stage.upstream.move("g-3", "completed")
        await quiet(store)
        assert [line.type for line in await stage.enqueued("g-3")] == ["generation.completed"]
        assert await stage.rung()
        assert len(stage.upstream.asked) == 8


async def test_a_long_poll_that_ends_without_news_is_followed_by_the_next(store: SqliteStore) -> None:
    """After the provider's 30 seconds the ID is held again at once: two minutes of waiting cost about five requests."""
    async with watching(store, long_poll="auto") as stage:
        await begin(stage, ["g-1"])
        await stage.ticks(2 * MINUTE)
        assert [each.at - stage.upstream.asked[0].at for each in stage.upstream.asked] == [0, 30, 60, 90, 120]
        assert stage.upstream.asked == long_polls(stage.upstream.asked)
        stage.upstream.move("g-1", "completed")
        await quiet(store)
        assert len(await stage.enqueued()) == 1


async def test_one_place_is_always_for_batch_polls(store: SqliteStore) -> None:
    """With more open than places, two of three are long-polls, and the third polls all the others."""
    ids = some(10)
    async with watching(store, long_poll="single", in_flight=3) as stage:
        await begin(stage, ids)
        await stage.ticks(20)
        assert stage.upstream.most <= 3
        waiting = {each.ids[0] for each in long_polls(stage.upstream.asked)}
        assert len(waiting) == 2
        swept = {id_ for each in stage.upstream.asked if not each.wait for id_ in each.ids}
        assert set(ids) - waiting <= swept
        stage.upstream.move(next(iter(set(ids) - waiting)), "completed")
        await stage.ticks(8)
        assert (await store.counts()).watches[WatchStatus.SATISFIED] == 1


async def test_a_provider_that_ignores_the_wait_is_not_asked_again_and_again(store: SqliteStore) -> None:
    """It answers at once: after three such its IDs are polled as usual, and long-polls are tried again later."""
    async with watching(store, long_poll="auto") as stage:
        await begin(stage, some(4), long_polls=None)
        await stage.ticks(5 * MINUTE, step=0.5)
        assert 3 <= len(long_polls(stage.upstream.asked)) <= 3 + 4
        assert len(stage.upstream.asked) < 5 * MINUTE * 1.5
        assert not stage.health.troubles
        stage.upstream.long_polls = "any"
        before = len(stage.upstream.asked)
        await stage.ticks(6 * MINUTE, step=0.5)
        assert long_polls(stage.upstream.asked[before:])


async def test_a_gateway_that_cuts_long_polls_off_is_no_trouble_of_the_provider(store: SqliteStore) -> None:
    """A 504 after 20 seconds of waiting says that requests cannot wait, not that the provider is down."""
    async with watching(store, long_poll="auto") as stage:
        stage.upstream.cut = (20.0, error(504, "Gateway timeout"))
        await begin(stage, ["g-1"])
        await stage.ticks(2 * MINUTE, step=0.5)
        assert not stage.health.troubles
        assert len(long_polls(stage.upstream.asked)) == 3
        stage.upstream.move("g-1", "completed")
        await stage.ticks(5)
        assert len(await stage.enqueued()) == 1


async def test_a_long_poll_that_is_refused_at_once_pauses_the_provider(store: SqliteStore) -> None:
    """A key that was withdrawn is the operator's to mend, whatever kind of request finds it out."""
    async with watching(store, long_poll="auto") as stage:
        stage.upstream.judge = lambda asked: error(401) if asked.wait else None
        await begin(stage, ["g-1"], long_polls=None)
        assert "provider luma" in stage.health.troubles


async def test_an_id_that_a_long_poll_does_not_find_is_polled_at_once(store: SqliteStore) -> None:
    """A 404 to a hold may be about the wish; the ID counts as missed only by an ordinary poll."""
    async with watching(store, long_poll="auto") as stage:
        await stage.tick()
        await stage.watch(request())
        await stage.ticks(11 * MINUTE, step=1)
        ordinary = [each for each in stage.upstream.asked if not each.wait]
        assert len(ordinary) >= 3
        assert [watch.status for watch in await stage.watches()] == [WatchStatus.OPEN]  # nobody else was answered


async def test_the_long_poll_waits_for_the_lowest_target_that_somebody_wants(store: SqliteStore) -> None:
    """A watch for running that joins replaces the request that waits for completed; after it that one comes back."""
    async with watching(store, long_poll="auto") as stage:
        stage.upstream.states["g-1"] = "queued"
        stage.upstream.long_polls = "any"
        await stage.tick()
        await stage.watch(request())
        assert [each.wait for each in long_polls(stage.upstream.asked)] == ["completed"]
        await stage.watch(request(target=State.RUNNING))
        await stage.tick(1)
        assert long_polls(stage.upstream.asked)[-1].wait == "dreaming"
        stage.upstream.move("g-1", "dreaming")
        await quiet(store)
        assert [line.type for line in await stage.enqueued()] == ["generation.running"]
        await stage.ticks(2)
        assert long_polls(stage.upstream.asked)[-1].wait == "completed"


async def test_a_long_poll_is_handed_over_to_who_is_likelier_to_be_next(store: SqliteStore) -> None:
    """One that is half an hour old, and likely stuck, gives its place to one of the usual age, and is swept."""
    async with watching(store, long_poll="single", in_flight=2) as stage:
        await begin(stage, ["stuck"])
        await stage.ticks(30 * MINUTE, step=5)
        stage.upstream.states |= {"g-1": "dreaming", "g-2": "dreaming"}
        await stage.watch(request("g-1"), request("g-2"))
        before = len(stage.upstream.asked)
        await stage.ticks(MINUTE)
        assert {each.ids[0] for each in long_polls(stage.upstream.asked[before:])} & {"g-1", "g-2"}
        assert any("stuck" in each.ids for each in stage.upstream.asked[before:] if not each.wait)
        stage.upstream.move(long_polls(stage.upstream.asked)[-1].ids[0], "completed")
        await quiet(store)
        assert (await store.counts()).watches[WatchStatus.SATISFIED] == 1


async def test_a_multi_request_that_returns_for_any_covers_them_all(store: SqliteStore) -> None:
    """Found out by trials beside the batch polls, and believed after three of them; then there are no batch polls."""
    ids = some(40)
    async with watching(store, long_poll="auto", in_flight=3) as stage:
        await begin(stage, ids)
        for number, id_ in enumerate(ids[:12]):
            await stage.ticks(11)
            if number < 3:
                assert sum(each.multi for each in long_polls(stage.upstream.asked)) <= number + 1
            stage.upstream.move(id_, "completed")
            await stage.tick()
        proofs = [each for each in long_polls(stage.upstream.asked) if each.multi]
        assert len(proofs) > 3
        await stage.ticks(5)
        before = len(stage.upstream.asked)
        stage.upstream.move(ids[20], "completed")
        await quiet(store)
        assert len(await stage.enqueued(ids[20])) == 1
        await stage.ticks(20)
        assert all(each.wait for each in stage.upstream.asked[before:])


async def test_a_multi_request_that_waits_for_all_is_never_relied_on(store: SqliteStore) -> None:
    """Its trials are few, and what is done meanwhile is known from batch polls."""
    ids = some(40)
    async with watching(store, long_poll="auto", in_flight=3) as stage:
        await begin(stage, ids, long_polls="all")
        for id_ in ids[:10]:
            await stage.ticks(10)
            stage.upstream.move(id_, "completed")
        await stage.ticks(10)
        assert (await store.counts()).watches[WatchStatus.SATISFIED] == 10
        assert sum(each.multi for each in long_polls(stage.upstream.asked)) <= 6


async def test_any_is_used_at_once_where_the_operator_says_so(store: SqliteStore) -> None:
    """`long_poll: any` needs no trial; a new ID gets a request of its own, and is joined with others later."""
    ids = some(30)
    async with watching(store, long_poll="any", in_flight=3) as stage:
        await begin(stage, ids)
        assert [len(each.ids) for each in long_polls(stage.upstream.asked)] == [30]
        await stage.ticks(3)
        stage.upstream.move("g-7", "completed")
        await quiet(store)
        assert len(await stage.enqueued("g-7")) == 1
        assert sorted(map(len, stage.upstream.since(1))) == [29]


async def test_off_is_off(store: SqliteStore) -> None:
    """`long_poll: off` sends no request that waits."""
    async with watching(store, long_poll="off") as stage:
        await begin(stage, ["g-1"])
        await stage.ticks(MINUTE)
        assert long_polls(stage.upstream.asked) == []
        assert len(stage.upstream.asked) > 10


async def test_a_deadline_is_kept_though_the_id_is_held(store: SqliteStore) -> None:
    """What expires within a long-poll's patience is polled at its deadline instead."""
    async with watching(store, long_poll="auto") as stage:
        stage.upstream.long_polls = "any"
        stage.upstream.states["g-1"] = "dreaming"
        await stage.tick()
        await stage.watch(request(timeout=timedelta(seconds=100)))
        await stage.ticks(102)
        assert [line.type for line in await stage.enqueued()] == ["watch.expired"]


async def test_a_reload_lets_go_of_what_waits(store: SqliteStore) -> None:
    """Requests under the old settings end, nothing is lost, and the new settings hold from the next request on."""
    async with watching(store, long_poll="auto") as stage:
        await begin(stage, some(3))
        stage.loop.apply(luma(long_poll="off"))
        await stage.ticks(5)
        assert len(long_polls(stage.upstream.asked)) == 3
        stage.upstream.move("g-1", "completed")
        await stage.ticks(5)
        assert len(await stage.enqueued("g-1")) == 1


@pytest.mark.parametrize("rate", [1.0, 5.0])
async def test_long_polls_and_batch_polls_share_one_budget(store: SqliteStore, rate: float) -> None:
    """However many completions end holds, no second has more requests than `rate`."""
    ids = some(60)
    async with watching(store, long_poll="any", rate=rate, in_flight=4, max_ids=20) as stage:
        await begin(stage, ids)
        for id_ in ids:
            stage.upstream.move(id_, "completed")
            await stage.tick(0.25)
        await stage.ticks(20)
        times = [each.at for each in stage.upstream.asked]
        assert all(sum(first <= at < first + 1 for at in times) <= rate for first in times)
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: 60}
