"""How much of a budget is used."""

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.aimd import LEAST, AdaptiveLimit

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def test_at_first_all_of_the_budget_is_used() -> None:
    """Nobody has said that it is too much."""
    limit = AdaptiveLimit(5.0, 9)
    assert (limit.rate, limit.in_flight) == (5.0, 9)


def test_a_cut_halves_what_is_used_down_to_a_sixteenth() -> None:
    """Multiplicative decrease: requests a second and requests at a time alike."""
    limit, seen = AdaptiveLimit(8.0, 16), []
    for _ in range(6):
        limit.cut()
        seen.append((limit.rate, limit.in_flight))
    assert seen == [(4.0, 8), (2.0, 4), (1.0, 2), (0.5, 1), (0.5, 1), (0.5, 1)]


def test_good_answers_give_it_back_by_equal_steps() -> None:
    """Additive increase: a twentieth of the budget for each second's worth of answers, however much is used."""
    limit = AdaptiveLimit(100.0, 9)
    limit.cut()
    gained = []
    while limit.share < 1.0:
        before, rate = limit.share, round(limit.rate)
        for _ in range(rate):
            limit.answered()
        gained.append(limit.share - before)
    assert gained[:-1] == pytest.approx([0.05] * (len(gained) - 1), rel=0.1)
    assert len(gained) in (10, 11)


def test_a_slow_budget_gains_no_faster_than_a_step_an_answer() -> None:
    """Below one request a second an answer is not worth more than a second's."""
    limit = AdaptiveLimit(0.1, 1)
    limit.cut()
    limit.answered()
    assert limit.share == pytest.approx(0.55)


@STEADY
@given(st.floats(0.01, 1_000), st.integers(1, 64), st.lists(st.booleans(), max_size=200))
def test_what_is_used_keeps_to_its_bounds(rate: float, in_flight: int, answers: list[bool]) -> None:
    """Never above the budget, never below a sixteenth of it, never less than one request at a time."""
    limit = AdaptiveLimit(rate, in_flight)
    for good in answers:
        before = limit.share
        if good:
            limit.answered()
            assert limit.share >= before
        else:
            limit.cut()
            assert limit.share <= before
        assert LEAST <= limit.share <= 1.0
        assert limit.rate == pytest.approx(rate * limit.share)
        assert 1 <= limit.in_flight <= in_flight


def test_who_share_a_key_settle_at_a_fair_share() -> None:
    """However unlike they began: both are cut together, and gain alike."""
    mine, other = AdaptiveLimit(100.0, 9), AdaptiveLimit(100.0, 9)
    for _ in range(3):
        other.cut()
    for _ in range(100):
        for each in (mine, other):
            for _ in range(round(each.rate)):
                each.answered()
        if mine.rate + other.rate > 100.0:
            mine.cut()
            other.cut()
    assert mine.share == pytest.approx(other.share, abs=0.05)
