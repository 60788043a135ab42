"""The wakeup that wakes a loop early."""

import anyio

from notifier.runtime.wakeup import Wakeup

#: Long enough that a test which waits for it has failed.
LONG = 30.0


async def test_a_ring_before_the_wait_is_not_lost() -> None:
    """A loop that was busy while it rang does not wait."""
    wakeup = Wakeup()
    wakeup.notify()
    assert await wakeup.wait(LONG)


async def test_a_ring_wakes_who_waits() -> None:
    """The loop turns at once, not after its interval."""
    wakeup = Wakeup()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wakeup.wait, LONG)
        await anyio.wait_all_tasks_blocked()
        wakeup.notify()


async def test_rings_run_together() -> None:
    """Many notifications wake once, and are then over."""
    wakeup = Wakeup()
    for _ in range(3):
        wakeup.notify()
    assert await wakeup.wait(LONG)
    assert not await wakeup.wait(0)


async def test_silence_ends_with_the_interval() -> None:
    """Nobody waits longer than the interval: a notification that is missed costs one of them."""
    assert not await Wakeup().wait(0.001)


async def test_a_wait_of_nothing_still_hears_a_ring() -> None:
    """A loop in a hurry does not swallow the notification, nor miss it."""
    wakeup = Wakeup()
    wakeup.notify()
    assert await wakeup.wait(0)
    wakeup.notify()
    assert await wakeup.wait(LONG)
