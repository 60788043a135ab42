"""The request budget."""

from math import ceil

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.runtime.rate_limiter import TokenBucket

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


def crowded(taken: list[float]) -> int:
    """The most requests in any one second, wherever it begins."""
    return max(sum(begin <= at < begin + 1.0 - 1e-5 for at in taken) for begin in taken)


@STEADY
@given(
    st.floats(0.01, 30),
    st.lists(st.tuples(st.floats(0, 1.5), st.integers(1, 12)), min_size=1, max_size=60),
)
def test_no_second_has_more_than_the_rate(rate: float, steps: list[tuple[float, int]]) -> None:
    """Wherever the second begins, after a pause too: what the bucket held and what fills it meanwhile do not add up."""
    bucket = TokenBucket(rate)
    now, taken = 10.0, list[float]()
    for gap, wanted in steps:
        now += gap
        taken += [now for _ in range(wanted) if bucket.take(now)]
    assert crowded(taken) <= ceil(max(1.0, rate))


@STEADY
@given(st.lists(st.tuples(st.floats(0, 1.5), st.floats(0.05, 30)), min_size=1, max_size=60))
def test_another_rate_makes_no_second_burst(steps: list[tuple[float, float]]) -> None:
    """However often the rate changes, no second has more than the highest of its rates allows."""
    bucket = TokenBucket(steps[0][1])
    now, taken = 10.0, list[float]()
    rates = list[tuple[float, float]]()
    for gap, rate in steps:
        now += gap
        bucket.pace(rate)
        rates.append((now, rate))
        while bucket.take(now):
            taken.append(now)
        within = [at for at in taken if at > now - 1.0 + 1e-5]
        highest = max(rate for at, rate in rates if at > now - 1.0)
        assert len(within) <= ceil(max(1.0, highest))


def test_a_lower_rate_counts_what_was_taken_before() -> None:
    """After a cut nothing is left of the burst, and what was taken in the last second speaks against more."""
    bucket = TokenBucket(10)
    assert bucket.take(50.0, 10)
    bucket.pace(1)
    assert not bucket.take(50.9)
    assert bucket.take(51.0)
    assert not bucket.take(51.9)


def test_the_same_rate_again_changes_nothing() -> None:
    """To go by the rate that it goes by gives no token and takes none."""
    bucket = TokenBucket(5)
    bucket.take(50.0, 3)
    bucket.pace(5)
    assert bucket.available(50.0) == 2


@STEADY
@given(st.floats(0.05, 30), st.floats(0.05, 30), st.lists(st.floats(0, 0.3), max_size=30))
def test_after_the_wait_there_is_a_token_at_another_rate_too(before: float, after: float, gaps: list[float]) -> None:
    """A cut does not make the wait shorter than it is."""
    bucket = TokenBucket(before)
    now = 50.0
    for gap in gaps:
        now += gap
        bucket.take(now)
    bucket.pace(after)
    assert bucket.take(now + bucket.wait(now))


def test_all_or_nothing_is_taken() -> None:
    """A caller that wants more than there is gets none, and leaves the others theirs."""
    bucket = TokenBucket(3)
    assert not bucket.take(50.0, 4)
    assert bucket.take(50.0, 3)


def test_a_bucket_is_full_until_something_is_taken_and_once_it_has_filled_again() -> None:
    """That is how one knows that the budget is not used up."""
    bucket = TokenBucket(2)
    assert bucket.full(50.0)
    bucket.take(50.0)
    assert not bucket.full(50.4)
    assert bucket.full(50.5)
