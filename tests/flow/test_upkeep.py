"""Housekeeping on a real store: what it does, and that it is silent when there is nothing to do."""

from datetime import timedelta
from pathlib import Path

import anyio
import orjson
import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import Destination
from notifier.domain.model import DeliveryStatus, WatchStatus
from notifier.runtime import log_events
from notifier.runtime.health import STORE, Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.sqlite.store import SqliteStore
from notifier.upkeep.loop import Upkeep
from tests.support.fakes import START, HandClock, Tripped, deliveries, enqueue, heard, quiet, request, statuses


class _Leases:
    """The dispatcher's side: counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def end_lapsed(self) -> int:
        self.calls += 1
        return 0


class _House:
    def __init__(self, store: SqliteStore) -> None:
        self.clock = HandClock()
        self.port = Tripped(store)
        self.health, self.wakeup, self.deliveries, self.leases = Health(), Wakeup(), Wakeup(), _Leases()
        #: What the next pruning clears away.
        self.old_files = 0
        self.prunings = 0
        self.retained = 0
        #: How long it slept before it asked the store again; it wakes when it is told to.
        self.sleeps: list[float] = []
        self.waking = anyio.Event()
        self.upkeep = Upkeep(
            self.port,
            self.leases,
            clock=self.clock,
            wakeup=self.wakeup,
            prune=self.prune,
            retain=self.retain,
            deliveries=self.deliveries,
            health=self.health,
            heartbeat=Heartbeat("upkeep", self.clock, limit=25),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await self.waking.wait()
        self.waking = anyio.Event()

    async def retain(self) -> None:
        self.retained += 1

    async def prune(self) -> int:
        self.prunings += 1
        return self.old_files


async def test_nothing_to_do_is_silence(store: SqliteStore) -> None:
    """A clean house writes no line, and rings nobody."""
    house = _House(store)
    async with heard() as said:
        await house.upkeep.run_once()
    assert said == []
    assert (house.leases.calls, house.retained) == (1, 1)
    assert not await house.deliveries.wait(0)


async def test_a_watch_nobody_could_look_for_expires_a_day_late(store: SqliteStore) -> None:
    """Not at its deadline and not before a day more; the callback says that the provider could not be asked."""
    house = _House(store)
    await store.add_watches([request(timeout=timedelta(hours=1))], now=START)
    house.clock.advance(25 * 3600)
    await house.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.OPEN: 1}
    house.clock.advance(1)
    async with heard() as said:
        await house.upkeep.run_once()
    (line,) = await deliveries(store)
    assert line.type == "watch.expired"
    body = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchone()[0])
    assert orjson.loads(body)["data"]["reason"] == "provider_unreachable"
    assert await house.deliveries.wait(0)
    assert [(event["event"], event["count"]) for event in said] == [(log_events.WATCHES_ENDED, 1)]


async def test_being_down_ourselves_makes_no_provider_unreachable(store: SqliteStore) -> None:
    """What fell overdue while nobody looked has an hour of this run for its looks before it expires unseen."""
    await store.add_watches([request(timeout=timedelta(hours=1))], now=START - timedelta(days=3))
    house = _House(store)
    house.clock.advance(3599)
    await house.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.OPEN: 1}
    house.clock.advance(1)
    await house.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.EXPIRED: 1}


async def test_a_clock_that_is_set_makes_no_provider_unreachable(store: SqliteStore) -> None:
    """What fell overdue by it has an hour for its looks."""
    house = _House(store)
    house.clock.advance(3600)
    await store.add_watches([request(timeout=timedelta(hours=1))], now=house.clock.now())
    await house.upkeep.run_once()
    house.clock.set_wall(48 * 3600)
    await house.upkeep.run_once()
    house.clock.advance(3599)
    await house.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.OPEN: 1}
    house.clock.advance(1)
    await house.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.EXPIRED: 1}


async def test_a_store_that_came_back_is_told_to_all(store: SqliteStore) -> None:
    """One durable write that works ends the trouble and wakes every loop."""
    house = _House(store)
    house.health.trouble(STORE, "full")
    house.port.down = True
    with pytest.raises(StoreUnavailable):
        await house.upkeep.run_once()
    assert not house.health.store_up
    house.port.down = False
    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(house.health.wait_for_store, 30.0)
        await house.upkeep.run_once()
    assert not house.health.troubles
    assert [event["event"] for event in said] == [log_events.STORE_RECOVERED]


async def test_the_loop_survives_a_store_that_fails(store: SqliteStore) -> None:
    """It is said once, asked again after 1, 2, 4 s whoever rings meanwhile, and said again when it works."""
    house = _House(store)
    house.clock.advance(3600)
    house.port.down = True
    async with heard() as said, anyio.create_task_group() as tasks:
        await tasks.start(house.upkeep.run)
        house.wakeup.notify()
        for number in range(1, 4):
            while len(house.sleeps) < number:
                await quiet(store)
            for _ in range(3):
                house.wakeup.notify()
                await quiet(store)
            assert house.port.refused["probe"] == number - 1
            house.waking.set()
        while len(house.sleeps) < 4:
            await quiet(store)
        assert STORE in house.health.troubles
        house.port.down = False
        house.waking.set()
        while STORE in house.health.troubles:
            await quiet(store)
        tasks.cancel_scope.cancel()
    assert [event["event"] for event in said] == [log_events.STORE_UNAVAILABLE, log_events.STORE_RECOVERED]
    assert house.sleeps == [1, 2, 4, 8]


async def test_a_store_that_fails_as_soon_as_it_is_used_is_not_asked_every_second(store: SqliteStore) -> None:
    """A probe works and the chores do not: the waits grow all the same."""
    house = _House(store)
    house.clock.advance(3600)
    house.port.instead["park_disabled"] = _fail
    async with heard() as said, anyio.create_task_group() as tasks:
        await tasks.start(house.upkeep.run)
        house.wakeup.notify()
        for number in range(1, 7):
            while len(house.sleeps) < number:
                await quiet(store)
            house.waking.set()
        tasks.cancel_scope.cancel()
    assert house.sleeps[:6] == [1, 2, 4, 8, 16, 30]
    assert len(said) <= 2 * 7


async def _fail() -> int:
    raise StoreUnavailable("store: the file is damaged")


async def test_accepted_files_are_cleared_away_now_and_then(store: SqliteStore) -> None:
    """At a start and then seldom, not at every round; what was cleared is said."""
    house = _House(store)
    house.old_files = 3
    async with heard() as said:
        await house.upkeep.run_once()
        await house.upkeep.run_once()
    assert house.prunings == 1
    assert [(event["event"], event["count"]) for event in said] == [(log_events.DROP_PRUNED, 3)]
    house.clock.advance(24 * 3600)
    await house.upkeep.run_once()
    assert house.prunings == 2


async def test_the_log_is_moved_into_the_main_file(store: SqliteStore, memory: Path) -> None:
    """The write-ahead log does not grow for ever."""
    await store.add_watches([request(f"g-{number}") for number in range(200)], now=START)
    main = memory / "notifier.db"
    before = main.stat().st_size
    await _House(store).upkeep.run_once()
    assert main.stat().st_size > before


async def test_what_was_left_to_be_parked_is_parked(store: SqliteStore) -> None:
    """More waited for an endpoint that was disabled than one transaction parks; it is said once, with the number."""
    house = _House(store)
    names = [f"g-{number}" for number in range(1200)]
    await enqueue(store, *names, at=START)
    change = await store.disable_endpoint(Destination("studio"), now=START, reason="the app moves")
    async with heard() as said:
        await house.upkeep.run_once()
        await house.upkeep.run_once()
    assert change.parked == 1200
    assert [(line["event"], line["count"]) for line in said] == [("deliveries.parked", 700)]
    assert await statuses(store) == {DeliveryStatus.PARKED: 1200}
