"""Times as they are stored and shown."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.times import from_micros, iso, to_micros
from notifier.runtime.clock import SystemClock

ZONES = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001  hypothesis gives them zones


@given(MOMENTS)
def test_a_stored_time_comes_back_exactly(moment: datetime) -> None:
    """No microsecond is lost on the way to the store and back, whatever zone it was told in; it comes back in UTC."""
    back = from_micros(to_micros(moment))
    assert back == moment
    assert back.tzinfo is UTC


@given(MOMENTS, MOMENTS)
def test_stored_times_keep_their_order(one: datetime, other: datetime) -> None:
    """The store may compare the numbers in place of the times."""
    assert (to_micros(one) < to_micros(other)) == (one < other)


@given(MOMENTS)
def test_a_shown_time_reads_as_the_same_moment(moment: datetime) -> None:
    """What a callback says can be parsed again, to the millisecond, and is always in UTC."""
    shown = iso(moment)
    assert shown.endswith("Z")
    assert timedelta(0) <= moment - datetime.fromisoformat(shown) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (datetime(2026, 11, 22, 5, 14, 0, 123_456, tzinfo=UTC), "2026-11-22T05:14:00.123Z"),
        (datetime(2026, 11, 22, 5, 14, tzinfo=UTC), "2026-11-22T05:14:00.000Z"),
        (datetime(2026, 11, 22, 6, 14, tzinfo=timezone(timedelta(hours=1))), "2026-11-22T05:14:00.000Z"),
    ],
)
def test_how_a_time_is_written(moment: datetime, shown: str) -> None:
    """Always milliseconds, always Z: one form for every receiver to parse."""
    assert iso(moment) == shown


def test_the_real_clock_gives_aware_times_that_do_not_run_back() -> None:
    """Wall time is aware and in UTC; monotonic time never falls."""
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
