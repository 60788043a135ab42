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


class _Rig:
    def __init__(self, store: SqliteStore) -> None:
        self.clock = HandClock()
        self.port = Tripped(store)
        self.health, self.wakeup, self.deliveries = Health(), Wakeup(), Wakeup()
        #: How often lapsed attempts were ended.
        self.ended = 0
        #: What the next pruning clears away.
        self.old_files = 0
        self.prunings = 0
        self.retained = 0
        #: How long it slept before it probed the store; it wakes when a test says so.
        self.sleeps: list[float] = []
        self.waking = anyio.Event()
        self.upkeep = Upkeep(
            self.port,
            end_lapsed=self.end_lapsed,
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

    async def end_lapsed(self) -> int:
        self.ended += 1
        return 0

    async def prune(self) -> int:
        self.prunings += 1
        return self.old_files


async def test_nothing_to_do_is_silence(store: SqliteStore) -> None:
    """If there is nothing to do, nothing is logged and nobody is notified."""
    rig = _Rig(store)
    async with heard() as said:
        await rig.upkeep.run_once()
    assert said == []
    assert (rig.ended, rig.retained) == (1, 1)
    assert not await rig.deliveries.wait(0)


async def test_a_watch_nobody_could_look_for_expires_a_day_late(store: SqliteStore) -> None:
    """Not at its deadline and not before a day more; the callback says that the provider could not be asked."""
    rig = _Rig(store)
    await store.add_watches([request(timeout=timedelta(hours=1))], now=START)
    rig.clock.advance(25 * 3600)
    await rig.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.OPEN: 1}
    rig.clock.advance(1)
    async with heard() as said:
        await rig.upkeep.run_once()
    (line,) = await deliveries(store)
    assert line.type == "watch.expired"
    body = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchone()[0])
    assert orjson.loads(body)["data"]["reason"] == "provider_unreachable"
    assert await rig.deliveries.wait(0)
    assert [(event["event"], event["count"]) for event in said] == [(log_events.WATCHES_ENDED, 1)]


async def test_being_down_ourselves_makes_no_provider_unreachable(store: SqliteStore) -> None:
    """What fell overdue while nobody polled has an hour of this run to be polled before it expires."""
    await store.add_watches([request(timeout=timedelta(hours=1))], now=START - timedelta(days=3))
    rig = _Rig(store)
    rig.clock.advance(3599)
    await rig.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.OPEN: 1}
    rig.clock.advance(1)
    await rig.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.EXPIRED: 1}


async def test_a_clock_that_is_set_makes_no_provider_unreachable(store: SqliteStore) -> None:
    """What fell overdue by it has an hour to be polled."""
    rig = _Rig(store)
    rig.clock.advance(3600)
    await store.add_watches([request(timeout=timedelta(hours=1))], now=rig.clock.now())
    await rig.upkeep.run_once()
    rig.clock.set_wall(48 * 3600)
    await rig.upkeep.run_once()
    rig.clock.advance(3599)
    await rig.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.OPEN: 1}
    rig.clock.advance(1)
    await rig.upkeep.run_once()
    assert (await store.counts()).watches == {WatchStatus.EXPIRED: 1}


async def test_a_store_that_came_back_is_known_to_all(store: SqliteStore) -> None:
    """One durable write that works ends the trouble and wakes every loop."""
    rig = _Rig(store)
    rig.health.trouble(STORE, "full")
    rig.port.down = True
    with pytest.raises(StoreUnavailable):
        await rig.upkeep.run_once()
    assert not rig.health.store_up
    rig.port.down = False
    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(rig.health.wait_for_store, 30.0)
        await rig.upkeep.run_once()
    assert not rig.health.troubles
    assert [event["event"] for event in said] == [log_events.STORE_RECOVERED]


async def test_the_loop_survives_a_store_that_fails(store: SqliteStore) -> None:
    """It is logged once, probed after 1, 2, 4 s whoever notifies meanwhile, and logged again when it works."""
    rig = _Rig(store)
    rig.clock.advance(3600)
    rig.port.down = True
    async with heard() as said, anyio.create_task_group() as tasks:
        await tasks.start(rig.upkeep.run)
        rig.wakeup.notify()
        for number in range(1, 4):
            while len(rig.sleeps) < number:
                await quiet(store)
            for _ in range(3):
                rig.wakeup.notify()
                await quiet(store)
            assert rig.port.refused["probe"] == number - 1
            rig.waking.set()
        while len(rig.sleeps) < 4:
            await quiet(store)
        assert STORE in rig.health.troubles
        rig.port.down = False
        rig.waking.set()
        while STORE in rig.health.troubles:
            await quiet(store)
        tasks.cancel_scope.cancel()
    assert [event["event"] for event in said] == [log_events.STORE_UNAVAILABLE, log_events.STORE_RECOVERED]
    assert rig.sleeps == [1, 2, 4, 8]


async def test_a_store_that_fails_as_soon_as_it_is_used_is_not_asked_every_second(store: SqliteStore) -> None:
    """A probe works and the chores do not: the waits still grow."""
    rig = _Rig(store)
    rig.clock.advance(3600)
    rig.port.instead["park_disabled"] = _fail
    async with heard() as said, anyio.create_task_group() as tasks:
        await tasks.start(rig.upkeep.run)
        rig.wakeup.notify()
        for number in range(1, 7):
            while len(rig.sleeps) < number:
                await quiet(store)
            rig.waking.set()
        tasks.cancel_scope.cancel()
    assert rig.sleeps[:6] == [1, 2, 4, 8, 16, 30]
    assert len(said) <= 2 * 7


async def _fail() -> int:
    raise StoreUnavailable("store: the file is damaged")


async def test_accepted_files_are_cleared_away_now_and_then(store: SqliteStore) -> None:
    """At a start and then seldom, not at every round; what was cleared is said."""
    rig = _Rig(store)
    rig.old_files = 3
    async with heard() as said:
        await rig.upkeep.run_once()
        await rig.upkeep.run_once()
    assert rig.prunings == 1
    assert [(event["event"], event["count"]) for event in said] == [(log_events.DROP_PRUNED, 3)]
    rig.clock.advance(24 * 3600)
    await rig.upkeep.run_once()
    assert rig.prunings == 2


async def test_the_log_is_moved_into_the_main_file(store: SqliteStore, memory: Path) -> None:
    """The write-ahead log does not grow for ever."""
    await store.add_watches([request(f"g-{number}") for number in range(200)], now=START)
    main = memory / "notifier.db"
    before = main.stat().st_size
    await _Rig(store).upkeep.run_once()
    assert main.stat().st_size > before


async def test_what_was_left_to_be_parked_is_parked(store: SqliteStore) -> None:
    """More waited for an endpoint that was disabled than one transaction parks; it is said once, with the number."""
    rig = _Rig(store)
    names = [f"g-{number}" for number in range(1200)]
    await enqueue(store, *names, at=START)
    change = await store.disable_endpoint(Destination("studio"), now=START, reason="the app moves")
    async with heard() as said:
        await rig.upkeep.run_once()
        await rig.upkeep.run_once()
    assert change.parked == 1200
    assert [(line["event"], line["count"]) for line in said] == [("deliveries.parked", 700)]
    assert await statuses(store) == {DeliveryStatus.PARKED: 1200}
