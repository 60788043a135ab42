"""Which generations connections wait for."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.long_poll.slots import (
    BETTER,
    SETTLED,
    likeliest,
    likelihood,
    slots_for_long_polls,
    to_hand_over,
    worthwhile,
)
from notifier.polling.scheduling.open_generation import TrackedGeneration
from tests.support.generations import entry

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
CURVE = HazardCurve()
#: Seconds; ages at which the prior's hazard is low, and many times higher.
YOUNG, RIPE = 5.0, 90.0


def aged(age: float, name: str = "g") -> TrackedGeneration:
    """At second 1,000."""
    return entry(name, curve=CURVE, begun=1_000.0 - age)


@STEADY
@given(st.integers(1, 40), st.integers(0, 500), st.integers(1, 50))
def test_one_seat_is_for_sweeps_unless_everything_is_held(in_flight: int, open_: int, per_hold: int) -> None:
    """All connections may be holds where they hold all that is open; otherwise one never is."""
    seats = slots_for_long_polls(in_flight=in_flight, open_=open_, per_hold=per_hold)
    assert seats == (in_flight if open_ <= in_flight * per_hold else in_flight - 1)


def test_one_connection_sweeps_as_soon_as_there_are_two() -> None:
    """The only connection is never given to one ID while another is open."""
    assert [slots_for_long_polls(in_flight=1, open_=count) for count in (0, 1, 2)] == [1, 1, 0]


def test_the_likeliest_go_first() -> None:
    """By the chance of getting there now, each at its own age, and no more than asked."""
    young, ripe, riper = aged(YOUNG), aged(30.0), aged(RIPE)
    assert likelihood(young, 1_000.0) < likelihood(ripe, 1_000.0) < likelihood(riper, 1_000.0)
    assert likeliest([young, riper, ripe], 2, 1_000.0) == [riper, ripe]
    assert likeliest([], 2, 1_000.0) == []


def test_one_from_the_future_is_as_good_as_new() -> None:
    """A clock that was read a little earlier is no error."""
    assert likelihood(aged(-1.0), 1_000.0) == likelihood(aged(0.0), 1_000.0)


def test_a_hold_is_handed_over_to_one_that_is_much_likelier() -> None:
    """The least likely of those held, to the first candidate."""
    assert likelihood(aged(RIPE), 1_000.0) > BETTER * likelihood(aged(YOUNG), 1_000.0)
    young, middle, ripe = aged(YOUNG), aged(60.0), aged(RIPE)
    assert to_hand_over([(middle, 900.0), (young, 900.0)], [ripe], 1_000.0) == (young, ripe)


def test_a_hold_is_left_alone_at_first() -> None:
    """A request that is let go was paid for."""
    young, ripe = aged(YOUNG), aged(RIPE)
    assert to_hand_over([(young, 1_000.1 - SETTLED)], [ripe], 1_000.0) is None
    assert to_hand_over([(young, 1_000.0 - SETTLED)], [ripe], 1_000.0) == (young, ripe)


def test_nothing_is_handed_over_for_little_or_for_nobody() -> None:
    """Not to one as likely, not without a candidate, not without a hold."""
    ripe, other = aged(RIPE), aged(RIPE - 1.0)
    assert to_hand_over([(other, 0.0)], [ripe], 1_000.0) is None
    assert to_hand_over([(other, 0.0)], [], 1_000.0) is None
    assert to_hand_over([], [ripe], 1_000.0) is None


@STEADY
@given(st.floats(1e-4, 1.0), st.floats(0.01, 100.0), st.floats(1, 100))
def test_a_hold_is_worth_no_more_where_its_requests_would_pay_for_more(
    rate: float, stride: float, per_request: float
) -> None:
    """What is worth a request that could sweep many is worth one that could sweep fewer, at any patience."""
    if worthwhile(rate, stride=stride, per_request=per_request, patience=30.0):
        assert worthwhile(rate, stride=stride, per_request=per_request / 2, patience=30.0)
        assert worthwhile(rate, stride=stride, per_request=per_request, patience=60.0)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
def test_while_there_is_nearly_enough_for_all_a_hold_is_worth_it(rate: float) -> None:
    """Where looks lie close together a single request buys little lag elsewhere; where they lie far apart, much."""
    assert worthwhile(rate, stride=0.01, per_request=100, patience=30.0)
    assert not worthwhile(rate, stride=1_000.0, per_request=100, patience=30.0)


def test_where_requests_are_for_one_id_the_likelier_are_held() -> None:
    """The worth of a hold is in its chance: one that gets there soon is waited for, one that will not is looked at."""
    stride = 3.0
    assert worthwhile(0.01, stride=stride, per_request=1, patience=30.0)
    assert not worthwhile(1e-6, stride=stride, per_request=1, patience=30.0)
