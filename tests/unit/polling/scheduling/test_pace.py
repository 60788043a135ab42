"""How far apart looks are, so that all of them fit in the budget."""

from random import Random

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.scheduling.pace import Pace
from tests.support.generations import lognormals, teach

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])


def learned(median: float, spread: float) -> HazardCurve:
    curve = HazardCurve()
    teach(curve, lognormals(Random(1), 120, median=median, spread=spread), every=median / 20)
    return curve


CURVES = [HazardCurve(), learned(5.0, 0.3), learned(100.0, 0.2), learned(100.0, 1.0), learned(2_000.0, 0.4)]
ANY_CURVE = st.sampled_from(CURVES)
AGES = st.floats(0, 700_000)
CROWDS = st.lists(st.tuples(ANY_CURVE, st.integers(1, 200_000)), max_size=4)
CORRECTIONS = st.lists(st.tuples(st.floats(0, 1_000), st.floats(0, 100), st.booleans()), max_size=20)


def paced(every: float, crowd: list[tuple[HazardCurve, int]], capacity: float) -> Pace:
    pace = Pace(every)
    pace.set(crowd, capacity)
    return pace


@STEADY
@given(st.floats(0.05, 3_600), ANY_CURVE, AGES, CROWDS, st.floats(0.01, 10_000), CORRECTIONS)
def test_a_wait_keeps_to_its_bounds(
    every: float,
    curve: HazardCurve,
    age: float,
    crowd: list[tuple[HazardCurve, int]],
    capacity: float,
    corrections: list[tuple[float, float, bool]],
) -> None:
    """Never below `poll_every`; never above four times that, eight even spreads or a fiftieth of the age."""
    pace, now = paced(every, crowd, capacity), 0.0
    for passed, late, idle in corrections:
        now += passed
        pace.correct(late, now, idle=idle)
        pace.set(crowd, capacity)
    assert every <= pace.wait(curve, age) <= max(4 * every, 8 * pace.even_interval, 0.02 * age) + 1e-6
    assert pace.first_wait(curve, 0.2) in (0.0, pace.wait(curve, 0.0))


@STEADY
@given(st.floats(0.05, 60), ANY_CURVE, AGES, CROWDS, st.floats(0.01, 10_000))
def test_a_larger_crowd_or_a_smaller_budget_never_shortens_a_wait(
    every: float, curve: HazardCurve, age: float, crowd: list[tuple[HazardCurve, int]], capacity: float
) -> None:
    """Twice as many wait as long as at half of the budget, and not less than before."""
    before = paced(every, crowd, capacity)
    doubled = paced(every, [(each, 2 * count) for each, count in crowd], capacity)
    halved = paced(every, crowd, capacity / 2)
    assert doubled.spacing == pytest.approx(halved.spacing) == pytest.approx(2 * before.spacing)
    assert doubled.even_interval == pytest.approx(halved.even_interval) == pytest.approx(2 * before.even_interval)
    assert doubled.wait(curve, age) >= before.wait(curve, age) - 1e-6
    assert doubled.wait(curve, age) == pytest.approx(halved.wait(curve, age))


def test_with_nobody_there_is_nothing_to_share_out() -> None:
    """The pace is that of an ample budget."""
    pace = paced(5.0, [], 100.0)
    assert (pace.even_interval, pace.spacing, pace.scarce) == (0.0, 0.0, False)
    assert pace.first_wait(HazardCurve(), 0.0) == 0.0


def test_the_budget_is_scarce_once_it_does_not_reach_for_a_look_at_each_every_time() -> None:
    """That is 500 of them at 100 IDs a second and five seconds."""
    assert not paced(5.0, [(HazardCurve(), 500)], 100.0).scarce
    assert paced(5.0, [(HazardCurve(), 501)], 100.0).scarce


@pytest.mark.parametrize("curve", CURVES)
def test_while_the_budget_is_ample_looks_are_closest_where_most_get_there(curve: HazardCurve) -> None:
    """`poll_every` apart at such an age, and further, up to four times, where hardly any does."""
    pace = paced(1.0, [(curve, 10)], 1_000.0)
    # The likeliest age to get there in the next second.
    mode = max((curve.quantile(share / 100) for share in range(5, 96)), key=curve.hazard_at)
    assert pace.wait(curve, mode) == pytest.approx(1.0, rel=0.35)
    waits = [pace.wait(curve, curve.quantile(share / 100)) for share in range(1, 100)]
    assert min(waits) >= 1.0
    assert max(waits) <= max(4.0, 0.02 * curve.quantile(0.99))


def test_looks_of_everyone_together_cost_the_budget() -> None:
    """At the stride that is set, looks a second of a whole crowd come to what can be looked at."""
    curve, capacity, open_ = learned(100.0, 0.5), 10.0, 1_000
    pace = paced(0.01, [(curve, open_)], capacity)
    looks, seconds = 0, 0.0
    for took in lognormals(Random(9), 2_000):
        age = pace.first_wait(curve, 0.0)
        looks += 1
        while age < took:
            age += pace.wait(curve, age)
            looks += 1
        seconds += age
    assert looks / seconds * open_ == pytest.approx(capacity, rel=0.25)


# ---- correction ----
def scarce() -> tuple[Pace, list[tuple[HazardCurve, int]]]:
    crowd = [(CURVES[2], 10_000)]
    return paced(1.0, crowd, 100.0), crowd


def test_who_is_late_makes_the_stride_longer_and_who_is_idle_shorter() -> None:
    """Both within bounds: four times as long, and a twentieth."""
    pace, crowd = scarce()
    begun = pace.spacing
    strides = []
    for turn in range(100):
        pace.correct(10 * pace.even_interval, 1_000.0 * (turn + 1), idle=False)
        pace.set(crowd, 100.0)
        strides.append(pace.spacing)
    assert strides == sorted(strides)
    assert strides[-1] == pytest.approx(4 * begun)
    for turn in range(100):
        pace.correct(0.0, 1e6 + 1_000.0 * turn, idle=True)
        pace.set(crowd, 100.0)
    assert pace.spacing == pytest.approx(begun / 20)


def test_a_little_late_is_as_it_should_be() -> None:
    """A twentieth of an even spread: no look is wasted, and none waits for long."""
    pace, crowd = scarce()
    begun = pace.spacing
    for turn in range(50):
        pace.correct(0.05 * pace.even_interval, 1_000.0 * turn, idle=False)
        pace.set(crowd, 100.0)
    assert pace.spacing == pytest.approx(begun)


def test_to_correct_often_is_not_to_correct_more() -> None:
    """What counts is the time that passed, not how often it was asked."""
    strides = []
    for steps in (1, 50):
        pace, crowd = scarce()
        pace.correct(0.05 * pace.even_interval, 1_000.0, idle=False)
        for step in range(steps):
            pace.correct(100.0, 1_000.0 + 50.0 * (step + 1) / steps, idle=False)
        pace.set(crowd, 100.0)
        strides.append(pace.spacing)
    assert strides[0] == pytest.approx(strides[1])


def test_when_there_is_enough_again_the_correction_is_forgotten() -> None:
    """It spoke of a crowd that is gone."""
    pace, crowd = scarce()
    begun = pace.spacing
    pace.correct(1_000.0, 1_000.0, idle=False)
    pace.set([(CURVES[2], 1)], 100.0)
    pace.correct(0.0, 1_001.0, idle=False)
    pace.set(crowd, 100.0)
    assert pace.spacing == pytest.approx(begun)


# ---- the first look ----
@pytest.mark.parametrize("curve", CURVES)
def test_while_the_budget_is_ample_a_new_one_is_looked_at_at_once(curve: HazardCurve) -> None:
    """It may be there already, and the look costs nothing that anybody needs."""
    assert paced(5.0, [(curve, 10)], 500.0).first_wait(curve, 0.01) == 0.0


def test_while_it_is_scarce_only_where_many_are_there_already() -> None:
    """A look that finds nothing is taken from somebody else."""
    pace, _ = scarce()
    curve = CURVES[2]
    assert pace.first_wait(curve, 0.0) == pace.wait(curve, 0.0) > 0
    assert pace.first_wait(curve, 1.0) == 0.0
