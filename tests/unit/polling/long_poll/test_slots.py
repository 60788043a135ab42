"""Which generations long-polls wait for."""

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
    return entry(name, curve=CURVE, age_origin=1_000.0 - age)


@STEADY
@given(st.integers(1, 40), st.integers(0, 500), st.integers(1, 50))
def test_one_slot_is_for_polls_unless_everything_is_long_polled(in_flight: int, open_: int, per_long_poll: int) -> None:
    """All connections may be long-polls if these take all that is open; otherwise one never is."""
    slots = slots_for_long_polls(in_flight=in_flight, open_=open_, per_long_poll=per_long_poll)
    assert slots == (in_flight if open_ <= in_flight * per_long_poll else in_flight - 1)


def test_one_connection_polls_as_soon_as_two_are_open() -> None:
    """The only connection is never given to one ID while another is open."""
    assert [slots_for_long_polls(in_flight=1, open_=count) for count in (0, 1, 2)] == [1, 1, 0]


def test_the_likeliest_go_first() -> None:
    """By the hazard, each at its own age, and no more than asked."""
    young, ripe, riper = aged(YOUNG), aged(30.0), aged(RIPE)
    assert likelihood(young, 1_000.0) < likelihood(ripe, 1_000.0) < likelihood(riper, 1_000.0)
    assert likeliest([young, riper, ripe], 2, 1_000.0) == [riper, ripe]
    assert likeliest([], 2, 1_000.0) == []


def test_one_from_the_future_is_as_good_as_new() -> None:
    """A clock that was read a little earlier is no error."""
    assert likelihood(aged(-1.0), 1_000.0) == likelihood(aged(0.0), 1_000.0)


def test_a_long_poll_is_handed_over_to_one_that_is_much_likelier() -> None:
    """The least likely of those long-polled, to the first candidate."""
    assert likelihood(aged(RIPE), 1_000.0) > BETTER * likelihood(aged(YOUNG), 1_000.0)
    young, middle, ripe = aged(YOUNG), aged(60.0), aged(RIPE)
    assert to_hand_over([(middle, 900.0), (young, 900.0)], [ripe], 1_000.0) == (young, ripe)


def test_a_long_poll_is_left_alone_at_first() -> None:
    """A request that is cancelled was paid for."""
    young, ripe = aged(YOUNG), aged(RIPE)
    assert to_hand_over([(young, 1_000.1 - SETTLED)], [ripe], 1_000.0) is None
    assert to_hand_over([(young, 1_000.0 - SETTLED)], [ripe], 1_000.0) == (young, ripe)


def test_nothing_is_handed_over_for_little_or_for_nobody() -> None:
    """Not to one as likely, not without a candidate, not without a long-poll."""
    ripe, other = aged(RIPE), aged(RIPE - 1.0)
    assert to_hand_over([(other, 0.0)], [ripe], 1_000.0) is None
    assert to_hand_over([(other, 0.0)], [], 1_000.0) is None
    assert to_hand_over([], [ripe], 1_000.0) is None


@STEADY
@given(st.floats(1e-4, 1.0), st.floats(0.01, 100.0), st.floats(1, 100))
def test_a_long_poll_is_worth_no_more_if_its_requests_would_pay_for_more(
    rate: float, spacing: float, per_request: float
) -> None:
    """What is worth a request that could poll many is worth one that could poll fewer, at any patience."""
    if worthwhile(rate, spacing=spacing, per_request=per_request, patience=30.0):
        assert worthwhile(rate, spacing=spacing, per_request=per_request / 2, patience=30.0)
        assert worthwhile(rate, spacing=spacing, per_request=per_request, patience=60.0)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
def test_while_there_is_nearly_enough_for_all_a_long_poll_is_worth_it(rate: float) -> None:
    """If polls are close together a request saves little lag elsewhere; if they are far apart, much."""
    assert worthwhile(rate, spacing=0.01, per_request=100, patience=30.0)
    assert not worthwhile(rate, spacing=1_000.0, per_request=100, patience=30.0)


def test_if_requests_are_for_one_id_the_likelier_are_long_polled() -> None:
    """One that completes soon is waited for, and one that will not is polled; first the example of the docstring."""
    spacing = 3.0
    assert worthwhile(0.01, spacing=spacing, per_request=1, patience=30.0)
    assert not worthwhile(1e-6, spacing=spacing, per_request=1, patience=30.0)
