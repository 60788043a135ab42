"""The chore that forgets, on a real store: how often, how much at a time, and whom it asks."""

from collections.abc import Container
from datetime import timedelta
from typing import Any

import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import WatchId, WorkerId, watch_id
from notifier.domain.model import AttemptResult, Claim, DeliveryStatus, Outcome, Verdict, WatchStatus
from notifier.runtime import log_events
from notifier.store.records import Slots
from notifier.store.sqlite.store import SqliteStore
from notifier.upkeep.retention import PASS_EVERY, ROUND, SETTLING, Retention
from tests.support.fakes import START, HandClock, Tripped, enqueue, heard, request

DAY = 24 * 3600.0


class _Rig:
    def __init__(self, store: SqliteStore, declared: Container[WatchId] | None = ()) -> None:
        self.store = store
        self.clock = HandClock()
        self.port = Tripped(store)
        self.keep = timedelta(days=30)
        self.declared = declared
        self.retention = Retention(self.port, clock=self.clock, keep=lambda: self.keep, declared=lambda: self.declared)

    async def rounds(self, count: int = 1) -> list[Any]:
        """So many rounds of chores at this moment; what was said."""
        async with heard() as said:
            for _ in range(count):
                await self.retention.run_once()
        return said

    async def kept(self) -> tuple[int, int]:
        """(deliveries, watches)."""
        counts = await self.store.counts()
        return sum(counts.deliveries.values()), sum(counts.watches.values())


async def delivered(store: SqliteStore, *generations: str) -> None:
    """Watched, completed, and their callbacks delivered, at the start."""
    await enqueue(store, *generations, at=START)
    slots = Slots(total=len(generations), free={}, each=len(generations), lease={}, lease_each=timedelta(minutes=1))
    claims = (await store.exchange(WorkerId("me"), [], slots, now=START)).claims
    await store.exchange(WorkerId("me"), [_outcome(claim) for claim in claims], slots, now=START)


def _outcome(claim: Claim) -> AttemptResult:
    return AttemptResult(
        message_id=claim.message_id,
        number=claim.number,
        started_at=START,
        took=timedelta(0),
        verdict=Verdict.DELIVERED,
        status_code=200,
        head=b"",
        detail="",
        status=DeliveryStatus.DELIVERED,
        failures=0,
        due_at=None,
    )


async def test_what_is_finished_goes_after_the_set_time(store: SqliteStore) -> None:
    """Not before it; and a reload that shortens the time acts at the next pass."""
    rig = _Rig(store)
    await delivered(store, "g-1")
    rig.clock.advance(30 * DAY)
    await rig.rounds()
    assert await rig.kept() == (1, 1)
    rig.keep = timedelta(days=29)
    rig.clock.advance(PASS_EVERY)
    await rig.rounds()
    assert await rig.kept() == (0, 0)


async def test_a_pass_an_hour_and_one_line_for_it(store: SqliteStore) -> None:
    """The line says what went and what the store takes, even where nothing went; no round in between says anything."""
    rig = _Rig(store)
    await delivered(store, "g-1", "g-2")
    rig.clock.advance(31 * DAY)
    (line,) = await rig.rounds(3)
    assert (line["event"], line["deliveries_pruned"], line["watches_pruned"]) == (log_events.STORE_SIZE, 2, 2)
    assert line["file"] + line["log"] > 0
    rig.clock.advance(PASS_EVERY - 1)
    assert await rig.rounds(3) == []
    rig.clock.advance(1)
    (line,) = await rig.rounds(3)
    assert line["deliveries_pruned"] == 0


async def test_much_is_forgotten_a_little_at_each_round(store: SqliteStore) -> None:
    """So that a long backlog keeps no other chore waiting; the one line comes at the end and counts all of it."""
    rig = _Rig(store)
    count = ROUND + 700
    await delivered(store, *(f"g-{number}" for number in range(count)))
    rig.clock.advance(31 * DAY)
    assert await rig.rounds() == []
    deliveries, _ = await rig.kept()
    assert 0 < deliveries < count
    (line,) = await rig.rounds(5)
    assert (line["deliveries_pruned"], line["watches_pruned"], line["generations_pruned"]) == (count,) * 3
    assert await rig.kept() == (0, 0)


async def test_much_free_space_is_given_back_a_little_at_each_round(store: SqliteStore) -> None:
    """Until there is none to give, and not once an hour; the line comes after that."""
    rig = _Rig(store)
    pages = [ROUND, ROUND, ROUND, 10]

    async def give_back(*, most: int) -> int:
        assert most == ROUND
        return pages.pop(0)

    rig.port.instead["give_back"] = give_back
    assert await rig.rounds(3) == []
    (line,) = await rig.rounds(3)
    assert (line["event"], pages) == (log_events.STORE_SIZE, [])


async def test_declared_watches_are_asked_for_each_time(store: SqliteStore) -> None:
    """One that is declared stays; where that is not known, all stay."""
    rig = _Rig(store)
    await delivered(store, "g-1", "g-2")
    rig.clock.advance(31 * DAY)
    rig.declared = None
    await rig.rounds()
    assert await rig.kept() == (0, 2)
    wanted = request("g-1")
    rig.declared = {
        watch_id(provider=wanted.provider, generation=wanted.generation, target=wanted.target, endpoint=wanted.endpoint)
    }
    rig.clock.advance(PASS_EVERY)
    await rig.rounds()
    assert await rig.kept() == (0, 1)
    (again,) = await store.add_watches([wanted], now=rig.clock.now(), keep_first=True)
    assert (again.outcome, again.enqueued) == (Outcome.FINISHED, False)


async def test_a_run_leaves_every_watch_in_its_first_hour(store: SqliteStore) -> None:
    """Whoever declares watches may come a little later than we do; deliveries are forgotten at once."""
    await delivered(store, "g-1")
    rig = _Rig(store)
    rig.keep = timedelta(hours=-1)  # as if everything were old
    rig.clock.advance(SETTLING - 1)
    await rig.rounds()
    assert await rig.kept() == (0, 1)
    rig.clock.advance(PASS_EVERY)
    await rig.rounds()
    assert (await store.counts()).watches == {}


async def test_a_clock_that_is_set_makes_nothing_old_for_an_hour(store: SqliteStore) -> None:
    """A wrong year can be set right before all that is finished is forgotten for it."""
    rig = _Rig(store)
    await delivered(store, "g-1")
    await rig.rounds()
    rig.clock.set_wall(400 * DAY)
    rig.clock.advance(PASS_EVERY - 1)
    assert await rig.rounds() == []
    rig.clock.set_wall(-400 * DAY)
    rig.clock.advance(PASS_EVERY)
    assert await rig.rounds() == []
    rig.clock.advance(PASS_EVERY)
    await rig.rounds()
    assert await rig.kept() == (1, 1)


async def test_a_store_that_fails_is_reported_and_asked_again(store: SqliteStore) -> None:
    """The pass goes on when it can write."""
    rig = _Rig(store)
    await delivered(store, "g-1")
    rig.clock.advance(31 * DAY)
    rig.port.down = True
    with pytest.raises(StoreUnavailable):
        await rig.retention.run_once()
    rig.port.down = False
    (line,) = await rig.rounds()
    assert line["deliveries_pruned"] == 1
    assert WatchStatus.SATISFIED not in (await store.counts()).watches
