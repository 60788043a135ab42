"""The first cadence, and the request budget."""

from datetime import timedelta

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.ids import ProviderName
from notifier.model import ProviderSettings, Secret
from notifier.polling.cadence import TokenBucket, next_look

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def settings(every: float) -> ProviderSettings:
    return ProviderSettings(
        name=ProviderName("luma"),
        kind="aimlapi-luma",
        base_url="https://api.example.com",
        api_key=Secret("k"),
        sweep_every=timedelta(seconds=every),
    )


def test_an_id_in_a_batch_is_looked_at_every_sweep_every() -> None:
    """Misses do not slow down an ID that rides with others: its look costs nothing."""
    assert [next_look(settings(5), now=100, misses=misses, alone=False) for misses in (0, 1, 9)] == [105, 105, 105]


def test_an_id_that_stands_alone_is_looked_at_less_and_less_often() -> None:
    """Each miss doubles the interval, up to two minutes."""
    waits = [next_look(settings(5), now=0, misses=misses, alone=True) for misses in range(7)]
    assert waits == [5, 10, 20, 40, 80, 120, 120]
    assert next_look(settings(5), now=0, misses=10_000, alone=True) == 120


def test_a_long_interval_is_never_shortened() -> None:
    """Where `sweep_every` is above two minutes, an ID that stands alone keeps it."""
    assert next_look(settings(600), now=0, misses=3, alone=True) == 600


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


def test_tokens_that_are_given_back_can_be_taken_again() -> None:
    """A request that was not made costs nothing, and nothing is gained beyond the burst."""
    bucket = TokenBucket(2)
    assert bucket.take(0, 2)
    assert not bucket.take(0)
    bucket.give_back()
    assert bucket.take(0)
    bucket.give_back(9)
    assert bucket.available(0) == 2


def test_a_clock_that_stands_still_or_steps_back_makes_no_tokens() -> None:
    """Time that was counted once is not counted again."""
    bucket = TokenBucket(1)
    assert bucket.take(10)
    assert not bucket.take(5)
    assert not bucket.take(10)
    assert bucket.take(11)
