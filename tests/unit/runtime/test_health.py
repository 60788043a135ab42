"""What is wrong now, and whether loops turn."""

from datetime import UTC, datetime

import anyio
from structlog.testing import capture_logs

from notifier.domain.errors import StoreUnavailable
from notifier.runtime.health import STORE, Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup

LONG = 30.0


class _Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def test_no_trouble_is_readiness() -> None:
    """A new Health has nothing to tell."""
    health = Health()
    assert not health.troubles
    assert health.store_up


def test_a_trouble_is_fresh_once() -> None:
    """Only the first mention of a trouble is to be logged; later ones replace its sentence."""
    health = Health()
    assert health.trouble("provider luma", "401")
    assert not health.trouble("provider luma", "403")
    assert health.troubles == {"provider luma": "403"}


def test_a_trouble_is_taken_back_once() -> None:
    """Only a part that had a trouble is reported as clear."""
    health = Health()
    health.trouble("provider luma", "401")
    health.trouble("provider other", "busy")
    assert health.clear("provider luma")
    assert not health.clear("provider luma")
    assert health.troubles == {"provider other": "busy"}


def test_only_the_store_stops_the_store() -> None:
    """A provider in trouble does not make anybody wait for the store."""
    health = Health()
    health.trouble("provider luma", "401")
    assert health.store_up
    health.trouble(STORE, "full")
    assert not health.store_up


def test_each_cause_of_a_store_that_fails_is_logged_once() -> None:
    """However often it is asked; and again in the next outage."""
    health = Health()
    with capture_logs() as said:
        for sentence in ("disk failed", "read-only", "disk failed", "read-only"):
            health.store_failed(StoreUnavailable(sentence))
            assert health.troubles == {STORE: sentence}
        assert [event["error"] for event in said] == ["disk failed", "read-only"]
        health.clear(STORE)
        health.store_failed(StoreUnavailable("read-only"))
    assert len(said) == 3


def test_what_could_not_be_read_stops_nobody() -> None:
    """It is logged once for each reason, and the store still counts as working."""
    health = Health()
    with capture_logs() as said:
        for sentence in ("no descriptors", "no descriptors", "damaged"):
            health.store_failed(StoreUnavailable(sentence, reading=True))
    assert health.store_up
    assert [event["error"] for event in said] == ["no descriptors", "damaged"]


async def test_a_store_that_begins_to_fail_calls_upkeep_once() -> None:
    """Whoever asks it again begins to wait for that now, not at its next round; further failures change nothing."""
    upkeep = Wakeup()
    health = Health(upkeep)
    health.trouble("provider luma", "401")
    assert not await upkeep.wait(0)
    for _ in range(2):
        health.store_failed(StoreUnavailable("full"))
    assert await upkeep.wait(0)
    health.store_failed(StoreUnavailable("full"))
    assert not await upkeep.wait(0)


async def test_who_waits_for_the_store_is_woken_by_its_recovery() -> None:
    """All loops go on the moment it can write again, and a second trouble stops them again."""
    health = Health()
    for _ in range(2):
        health.trouble(STORE, "full")
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(health.wait_for_store, LONG)
            await anyio.wait_all_tasks_blocked()
            health.trouble(STORE, "still full")
            health.clear(STORE)


async def test_what_is_registered_is_called_at_the_recovery() -> None:
    """Each wakeup, when the store was in trouble and is not any more."""
    health, bells = Health(), [Wakeup(), Wakeup()]
    for wakeup in bells:
        health.at_recovery(wakeup.notify)
    health.store_failed(StoreUnavailable("full"))
    health.clear("checkpoint")
    assert not any([await wakeup.wait(0) for wakeup in bells])
    health.clear(STORE)
    assert all([await wakeup.wait(0) for wakeup in bells])


async def test_the_wait_for_the_store_has_an_end() -> None:
    """A loop that waits must still turn now and then, to feed the watchdog."""
    health = Health()
    health.trouble(STORE, "full")
    await health.wait_for_store(0.001)
    assert not health.store_up


async def test_nobody_waits_for_a_store_that_works() -> None:
    """With no trouble the wait is over at once."""
    await Health().wait_for_store(LONG)


def test_a_heartbeat_ends_when_it_is_not_beaten() -> None:
    """A loop lives until its limit has passed since the last beat, and comes back with the next one."""
    clock = _Hand()
    heartbeat = Heartbeat("poller", clock, limit=25)
    signs = []
    for seconds in (0, 24.9, 0.1):
        clock.seconds += seconds
        signs.append(heartbeat.alive)
    heartbeat.beat()
    signs.append(heartbeat.alive)
    assert signs == [True, True, False, True]


def test_a_heartbeat_is_excused_for_what_stopped_the_whole_process() -> None:
    """It has the time that it had left before, and no more."""
    clock = _Hand()
    heartbeat = Heartbeat("poller", clock, limit=25)
    clock.seconds += 10 + 3600
    signs = [heartbeat.alive]
    heartbeat.excuse(3600)
    signs.append(heartbeat.alive)
    clock.seconds += 15
    signs.append(heartbeat.alive)
    assert signs == [False, True, False]
