"""Holds at their edges: places that run out, IDs that nobody knows yet, connections that break together."""

from datetime import timedelta

import anyio
import pytest

from notifier.domain.model import State
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import DIRECTORY, MINUTE, begin, error, long_polls, quiet, request, some, watching


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_one_more_than_there_are_places_is_polled_at_once(store: SqliteStore, in_flight: int) -> None:
    """All places wait; then one more ID comes: a long-poll is let go, so that a batch poll has a place."""
    async with watching(store, long_poll="auto", in_flight=in_flight) as stage:
        await begin(stage, some(in_flight))
        await stage.ticks(3)
        stage.upstream.states["late"] = "completed"
        await stage.watch(request("late"))
        await stage.ticks(1)
        assert len(await stage.enqueued("late")) == 1
        assert stage.upstream.most <= in_flight


async def test_a_new_id_that_cannot_be_read_yet_says_nothing_of_long_polls(store: SqliteStore) -> None:
    """It is asked about without a wish until it is there; then it is held like any other, and so are the rest."""
    async with watching(store, long_poll="auto") as stage:
        await begin(stage, ["g-1"])
        await stage.watch(request("new"))
        await stage.ticks(3)
        stage.upstream.states["new"] = "dreaming"
        await stage.ticks(20)
        assert "new" in long_polls(stage.upstream.asked)[-1].ids
        await stage.ticks(MINUTE)
        before = len(stage.upstream.asked)
        await stage.ticks(MINUTE)
        assert len(long_polls(stage.upstream.asked[before:])) == len(stage.upstream.asked[before:]) > 0


async def test_an_id_that_is_missing_is_polled_beside_multi_long_polls(store: SqliteStore) -> None:
    """With one place for a hundred IDs, the one that the provider does not know is asked about all the same."""
    async with watching(store, long_poll="any", in_flight=1) as stage:
        await begin(stage, some(5))
        await stage.watch(request("nobody"))
        await stage.ticks(5 * MINUTE, step=0.5)
        polls = [each for each in stage.upstream.asked if "nobody" in each.ids and not each.wait]
        assert len(polls) >= 3
        assert len(stage.upstream.asked) < 5 * MINUTE
        assert len(long_polls(stage.upstream.asked)) > 3


async def test_one_place_serves_two_targets(store: SqliteStore) -> None:
    """A request waits for one target; who waits for another is not forgotten."""
    async with watching(store, long_poll="any", in_flight=1) as stage:
        stage.upstream.long_polls = "any"
        stage.upstream.states |= {"a": "dreaming", "b": "queued"}
        await stage.tick()
        await stage.watch(request("a"), request("b", target=State.RUNNING))
        await stage.ticks(MINUTE)
        stage.upstream.move("b", "dreaming")
        await stage.ticks(15)
        assert len(await stage.enqueued("b")) == 1
        stage.upstream.move("a", "completed")
        await stage.ticks(15)
        assert len(await stage.enqueued("a")) == 1
        assert len(stage.upstream.asked) < 75


@pytest.mark.parametrize("long_poll", ["single", "any"])
async def test_nobody_starves_where_long_polls_would_use_up_the_rate(store: SqliteStore, long_poll: str) -> None:
    """Likelier ones come again and again, and end holds; an old one that is there at last is known soon."""
    async with watching(store, long_poll=long_poll, rate=0.1, in_flight=4, max_ids=4) as stage:
        await begin(stage, ["old"])
        await stage.ticks(20 * MINUTE, step=5)
        for number in range(60):
            id_ = f"young-{number}"
            stage.upstream.states[id_] = "dreaming"
            await stage.watch(request(id_))
            await stage.ticks(10, step=1)
            if number == 20:
                stage.upstream.move("old", "completed")
            if number > 10:
                stage.upstream.move(f"young-{number - 10}", "completed")
        assert len(await stage.enqueued("old")) == 1


async def test_long_polls_that_break_together_are_one_sign(store: SqliteStore) -> None:
    """The provider's gateway restarts, and five requests that waited are cut off: they are held again."""
    async with watching(store, long_poll="auto") as stage:
        await begin(stage, some(5))
        await stage.ticks(10)
        stage.upstream.cut = (5.0, error(502, "Bad gateway"))
        await stage.tick(0.25)
        stage.upstream.cut = None
        before = len(stage.upstream.asked)
        await stage.ticks(40)
        assert {id_ for each in long_polls(stage.upstream.asked[before:]) for id_ in each.ids} == set(some(5))


async def test_a_batch_poll_that_is_full_by_its_length_leaves_the_rest_where_it_is(store: SqliteStore) -> None:
    """Free seats by number that the URL has no room for pull nobody forward: polls stay as rare as they are."""
    ids = some(20)
    counts = []
    for max_url in (8_000, 330):
        async with watching(store, max_url=max_url, poll_every=timedelta(seconds=2)) as stage:
            await begin(stage, [f"{id_}-{max_url}" for id_ in ids], long_polls=None)
            await stage.ticks(2 * MINUTE)
            counts.append(sum(len(each.ids) for each in stage.upstream.asked))
            stage.upstream.states = dict.fromkeys(stage.upstream.states, "completed")
            await stage.ticks(60)
    assert counts[1] <= counts[0] * 1.1


async def test_who_can_be_told_again_by_a_watch_that_joins_is_polled_at_once(store: SqliteStore) -> None:
    """A generation that is polled rarely, for its endpoint is gone, is polled as usual once another wants it."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        await stage.tick()
        await stage.watch(request(endpoint="gone"))
        await stage.ticks(30)
        polls = len(stage.upstream.asked)
        assert "gone" not in DIRECTORY.events
        assert polls <= 2
        stage.upstream.states["g-1"] = "completed"
        await stage.watch(request(endpoint="studio"))
        await stage.ticks(1)
        assert len(stage.upstream.asked) == polls + 1


async def test_what_passes_its_deadline_within_a_poll_expires_soon(store: SqliteStore) -> None:
    """A poll that was sent before the deadline, and answered after it, is followed by one that may let it expire."""
    async with watching(store) as stage:
        stage.upstream.states["g-1"] = "dreaming"
        await stage.tick()
        stage.upstream.gate = anyio.Event()
        await stage.watch(request(endpoint="gone", timeout=timedelta(seconds=5)))
        await stage.tick(10)
        stage.upstream.gate.set()
        await quiet(store)
        await stage.ticks(3)
        assert [line.type for line in await stage.enqueued()] == ["watch.expired"]
