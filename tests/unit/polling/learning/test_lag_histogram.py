"""How late we knew."""

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.learning.lag_histogram import EDGES, LagHistogram

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def lags(*seconds: float | None) -> LagHistogram:
    found = LagHistogram()
    for each in seconds:
        found.add(each, long_polled=False)
    return found


def test_the_example_of_the_header() -> None:
    """Nine bounds of 0.8 s and one of 7 s."""
    found = lags(*[0.8] * 9, 7.0)
    assert (found.within(0.5), found.within(0.99)) == (1.0, 10.0)


def test_nothing_is_known_of_nothing() -> None:
    """Without a bounded transition there is no share."""
    assert lags().within(0.5) is None
    assert lags().count == 0
    assert lags(None).within(0.5) is None


def test_a_lag_counts_below_the_edge_that_it_does_not_exceed() -> None:
    """An edge belongs to what is below it."""
    assert lags(5.0).within(1.0) == 5.0
    assert lags(5.001).within(1.0) == 10.0
    assert lags(0.0).within(1.0) == EDGES[0]
    assert lags(-3.0).within(1.0) == EDGES[0]


def test_what_is_beyond_all_edges_is_infinite() -> None:
    """It is not said to be within an hour if it was not."""
    assert lags(10_000.0).within(0.99) == float("inf")


def test_shares_are_those_of_the_bounded_ones() -> None:
    """Long-polls, and transitions without a bound, are counted apart and move no share."""
    found = lags(1.0, 1.0, 1.0, 20.0, None)
    for _ in range(9):
        found.add(3_000.0, long_polled=True)
    assert (found.within(0.5), found.within(0.75), found.within(0.76), found.within(1.0)) == (1.0, 1.0, 20.0, 20.0)
    assert (found.count, found.long_polled, found.unbounded) == (14, 9, 1)


@STEADY
@given(st.lists(st.floats(0, 3_600), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_so_many_are_within_what_is_said(seconds: list[float], share: float) -> None:
    """The edge holds at least this share, and the edge below it holds less."""
    edge = lags(*seconds).within(share)
    assert edge is not None
    assert sum(each <= edge for each in seconds) >= share * len(seconds)
    below = [other for other in EDGES if other < edge][-1:]
    assert all(sum(each <= other for each in seconds) < share * len(seconds) for other in below)
