"""Due times that follow a clock of the store's own are left alone when the machine's is set."""

from datetime import timedelta

from notifier.delivery.clock_shift import ClockShift
from notifier.runtime.heartbeat import Heartbeat
from tests.support.fakes import HandClock


async def test_a_store_with_a_clock_of_its_own_is_not_shifted() -> None:
    """The jump is noticed for everything else, and nothing is kept for a store that has no such call."""
    clock = HandClock()
    shift = ClockShift(None, clock, Heartbeat("dispatcher", clock, limit=25))
    clock.set_wall(3600)
    assert shift.jumped() == timedelta(hours=1)
    await shift.follow()
    assert shift.jumped() == timedelta(0)
