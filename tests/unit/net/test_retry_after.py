"""What a `Retry-After` header asks for."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.net.retry_after import LONGEST_HINT, retry_after

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("99999999", LONGEST_HINT),
        ("9" * 400, LONGEST_HINT),
        ("1" * 5_000, LONGEST_HINT),
        ("nan", None),
        ("Sun, 22 Nov 99999999999 05:15:00 GMT", None),
        ("Sun, 22 Nov 2026 05:15:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 05:15:00 -0000", 60.0),
        ("Sunday, 22-Nov-26 05:15:00 GMT", 60.0),
        ("Sun Nov 22 05:15:00 2026", 60.0),
        ("Sun, 22 Nov 2026 05:13:00 GMT", 0.0),
        ("Sun, 22 Nov 2076 05:13:00 GMT", LONGEST_HINT),
        ("Sun, 99 Nov 2026 05:13:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """Capped at 24 h; what makes no sense is no hint."""
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_at_all_is_survived(value: str) -> None:
    """The header comes from outside."""
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_HINT
