"""IDs that the provider does not hold, by the hundred: what they cost those that it does."""

from collections.abc import Iterable
from datetime import timedelta
from statistics import median

import pytest

from notifier.domain.model import WatchStatus
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import Watching, request, some, watching


async def lag(
    stage: Watching, good: list[str], others: Iterable[str], *, warm: float, gone: Iterable[str] = ()
) -> float:
    """Median seconds from the moment a good one is there to the poll that finds it, one after the other."""
    stage.upstream.states |= dict.fromkeys(good, "queued")
    await stage.watch(*map(request, [*others, *good]))
    await stage.ticks(warm / 2, step=0.5)
    for id_ in gone:
        del stage.upstream.states[id_]
    await stage.ticks(warm, step=0.5)
    lags = []
    for id_ in good:
        stage.upstream.states[id_] = "completed"
        done, begun = len(stage.upstream.asked), stage.clock.monotonic()
        while not any(id_ in asked.ids for asked in stage.upstream.asked[done:]):
            await stage.tick(0.25)
        lags.append(stage.clock.monotonic() - begun)
    return median(lags)


@pytest.mark.parametrize("known", [0.0, 0.5, 1.0], ids=["all dead", "half dead", "seen, then gone"])
async def test_dead_ids_leave_others_the_budget(store: SqliteStore, known: float) -> None:
    """Two thousand, for which the budget of 200 IDs a second does not reach if they are asked for like others."""
    ids, good = some(2_000), [f"good-{number}" for number in range(20)]
    there = ids[: round(len(ids) * known)]
    async with watching(store, rate=2.0, long_poll="off", poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(there, "queued")
        found = await lag(stage, good, ids, warm=60.0, gone=there if known == 1.0 else ())
    # Beside a thousand that live everybody's turn comes every five seconds, at four fifths of the budget every six.
    assert found <= (8.0 if known == 0.5 else 1.5)


async def test_dead_ids_leave_others_the_requests_where_each_has_its_own(store: SqliteStore) -> None:
    """With one ID a request a hundred dead ones beside five get a fifth of the rate, and not nineteen in twenty."""
    good = [f"good-{number}" for number in range(5)]
    async with watching(store, rate=4.0, batch=False, poll_every=timedelta(seconds=1)) as stage:
        found = await lag(stage, good, some(100), warm=120.0)
        asked = [id_ for each in stage.upstream.asked[-100:] for id_ in each.ids]
    assert found <= 2.0
    assert sum(id_ in good for id_ in asked) > 60


@pytest.mark.parametrize("first", ["dead ones", "good ones"])
async def test_good_ids_do_not_wait_for_dead_ones_whichever_came_first(store: SqliteStore, first: str) -> None:
    """The provider has held no ID yet: the good ones have their first poll, and are told, as beside live ones."""
    dead, good = some(2_000), [f"good-{number}" for number in range(20)]
    async with watching(store, rate=5.0, long_poll="off", poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(good, "queued")
        await stage.tick()
        for ids in (dead, good) if first == "dead ones" else (good, dead):
            await stage.watch(*map(request, ids))
        await stage.ticks(5)
        assert set(good) <= {id_ for asked in stage.upstream.asked for id_ in asked.ids}
        assert not stage.health.troubles
        stage.upstream.states |= dict.fromkeys(good, "completed")
        await stage.ticks(5)
        assert (await store.counts()).watches[WatchStatus.SATISFIED] == len(good)


async def test_an_id_that_is_not_readable_yet_is_polled_as_soon_as_others(store: SqliteStore) -> None:
    """It fills a place of the next batch poll: there half a second after its registration, it is known two later."""
    async with watching(store, rate=1.0, long_poll="off", poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(some(10), "queued")
        await stage.watch(*map(request, some(10)))
        await stage.ticks(10)
        await stage.watch(request("new"))
        await stage.ticks(0.5)
        assert any("new" in asked.ids for asked in stage.upstream.asked)
        stage.upstream.states["new"] = "completed"
        await stage.ticks(2.5)
        assert await stage.enqueued("new")
