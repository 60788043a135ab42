"""A wall clock that was set, and one that is only slewed."""

from datetime import UTC, datetime, timedelta

import pytest

from notifier.runtime.clock_jumps import TOLERANCE, ClockJumps

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
NONE = timedelta(0)


@pytest.mark.parametrize("by", [HOUR, -HOUR, timedelta(days=20_000), TOLERANCE * 1.01])
def test_a_clock_that_was_set_is_reported_once(by: timedelta) -> None:
    """With how far it was set, however much time went by in between; then it is as right as any."""
    jumps = ClockJumps(NOW, 100.0)
    assert jumps.since_last(NOW + 5 * HOUR + by, 100.0 + 5 * 3600) == by
    assert jumps.since_last(NOW + 6 * HOUR + by, 100.0 + 6 * 3600) == NONE


def test_time_that_goes_by_is_no_jump() -> None:
    """A second or a year: both of the times tell it."""
    jumps = ClockJumps(NOW, 100.0)
    for seconds in (0.0, 1.0, 365 * 86_400.0):
        assert jumps.since_last(NOW + timedelta(seconds=seconds), 100.0 + seconds) == NONE


def test_a_clock_that_is_steered_is_not_set() -> None:
    """Half a second in each of a thousand: never reported, however much it adds up to."""
    jumps = ClockJumps(NOW, 0.0)
    for number in range(1, 1_000):
        assert jumps.since_last(NOW + timedelta(seconds=number * 1_000.5), number * 1_000.0) == NONE
