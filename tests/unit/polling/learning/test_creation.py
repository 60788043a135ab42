"""Whether a provider's `created_at` agrees with what we know ourselves."""

from datetime import UTC, datetime, timedelta, timezone
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.learning.creation import lead

NOW = datetime(2026, 11, 22, 5, 14, 7, tzinfo=UTC)
DAY = 86_400.0


def lead_of(before: float, *, patience: float = DAY, usual: float = inf) -> float:
    """Of one that was made so many seconds before it was registered."""
    return lead(NOW - timedelta(seconds=before), registered=NOW.timestamp(), patience=patience, usual=usual)


@pytest.mark.parametrize("before", [0.5, 40.0, 8 * 60.0, 13 * 60.0, 25 * 60.0, 68 * 60.0, 5.1 * 3_600])
def test_minutes_and_hours_before_the_registration_are_believed(before: float) -> None:
    """An ID may be registered long after its generation was begun."""
    assert lead_of(before) == pytest.approx(before)


@pytest.mark.parametrize("zone", [0.25, 0.5, 1.0, 2.0, 5.5, 5.75, 8.0, 9.5, 12.75, 14.0])
@pytest.mark.parametrize("made", [-20.0, 0.0, 3.0, 150.0])
def test_a_time_zone_that_was_left_out_is_not_believed(zone: float, made: float) -> None:
    """Whole quarters of an hour, and the seconds that it was really made before its registration."""
    assert lead_of(3_600 * zone + made) == 0.0


@pytest.mark.parametrize(
    "created_at",
    [
        NOW - timedelta(days=8),
        NOW - timedelta(days=1, minutes=7),
        NOW + timedelta(hours=3, minutes=5),
        datetime(1970, 1, 1, 0, 29, 55, tzinfo=UTC),
        datetime(1, 1, 1, 4, 4, 4, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12))),
        datetime(2026, 11, 22, tzinfo=UTC),
        datetime(2026, 11, 22, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_what_a_clock_or_a_program_got_wrong_is_not_believed(created_at: datetime) -> None:
    """Days ago, in the future, seconds read as milliseconds, the ends of the calendar, a bare date."""
    assert lead(created_at, registered=NOW.timestamp(), patience=30 * DAY, usual=inf) == 0.0


def test_what_our_own_limits_contradict_is_not_believed() -> None:
    """Longer ago than its watch waits at all, or than one of its kind takes that is stuck."""
    assert lead_of(500.0, patience=499.0) == lead_of(500.0, usual=499.0) == 0.0
    assert lead_of(500.0, patience=501.0, usual=501.0) == pytest.approx(500.0)


@given(st.datetimes(timezones=st.just(UTC)), st.floats(0, 1e10), st.floats(-1e9, 1e9), st.floats(0, inf))
def test_nobody_is_ever_younger_than_its_registration_or_much_older(
    created_at: datetime, registered: float, patience: float, usual: float
) -> None:
    """Whatever it says: between nothing and the least of the limits."""
    before = lead(created_at, registered=registered, patience=patience, usual=usual)
    assert 0.0 <= before <= max(0.0, min(patience, usual, DAY))
