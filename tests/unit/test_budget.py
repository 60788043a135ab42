"""The request budget."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.budget import TokenBucket

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


@pytest.mark.parametrize(("rate", "burst"), [(5.0, 5), (0.2, 1), (1.5, 1), (1000.0, 1000)])
def test_a_bucket_starts_with_one_second_of_requests(rate: float, burst: int) -> None:
    """The burst is one second's worth, and at least one request."""
    bucket = TokenBucket(rate)
    assert sum(bucket.take(50.0) for _ in range(2_000)) == burst
    assert bucket.wait(50.0) > 0


@STEADY
@given(st.floats(0.01, 500), st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_the_rate_is_kept_over_any_time(rate: float, gaps: list[float]) -> None:
    """However the requests fall, there are never more than the burst and the rate allow."""
    bucket = TokenBucket(rate)
    now, made = 10.0, 0
    for gap in gaps:
        now += gap
        made += bucket.take(now)
        assert made <= max(1.0, rate) + (now - 10.0) * rate + 1e-3


@STEADY
@given(st.floats(0.01, 500), st.floats(0, 1e6))
def test_after_the_wait_there_is_a_token(rate: float, start: float) -> None:
    """A caller that sleeps as long as it was told gets its request."""
    bucket = TokenBucket(rate)
    while bucket.take(start):
        pass
    assert bucket.take(start + bucket.wait(start))


def test_a_clock_that_stands_still_or_steps_back_makes_no_tokens() -> None:
    """Time that was counted once is not counted again."""
    bucket = TokenBucket(1)
    assert bucket.take(10)
    assert not bucket.take(5)
    assert not bucket.take(10)
    assert bucket.take(11)
