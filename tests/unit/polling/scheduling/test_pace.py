"""How far apart polls are, so that all of them fit in the budget."""

from random import Random

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.learning.poll_density import EDGES, PollDensity
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
    demand(pace, crowd)
    pace.set_capacity(capacity)
    return pace


def demand(pace: Pace, crowd: list[tuple[HazardCurve, int]]) -> None:
    """So many generations go by each curve."""
    pace.demand.clear()
    for curve, count in crowd:
        pace.demand[curve] += count


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
    """Never below `poll_every`; never above four times that, eight even intervals or a fiftieth of the age."""
    pace, now = paced(every, crowd, capacity), 0.0
    for passed, late, idle in corrections:
        now += passed
        pace.correct(late, now, idle=idle)
        pace.set_capacity(capacity)
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


def test_the_example_of_the_header() -> None:
    """1,000 generations of a mean root of 0.1, 10 IDs per second: a spacing of 10, and 100 s or 50 s between polls."""
    curve = HazardCurve()
    curve.mean_root = 0.1
    pace = paced(1.0, [(curve, 1_000)], 10.0)
    assert (pace.even_interval, pace.spacing) == pytest.approx((100.0, 10.0))
    for hazard, wait in ((0.01, 100.0), (0.04, 50.0)):
        curve.density = PollDensity([hazard**0.5] * len(EDGES))
        curve.peak_root = hazard**0.5
        assert pace.wait(curve, 100.0) == pytest.approx(wait)


def test_with_nobody_there_is_nothing_to_share_out() -> None:
    """The pace is that of an ample budget."""
    pace = paced(5.0, [], 100.0)
    assert (pace.even_interval, pace.spacing, pace.scarce) == (0.0, 0.0, False)
    assert pace.first_wait(HazardCurve(), 0.0) == 0.0


def test_the_budget_is_scarce_once_it_does_not_reach_for_a_poll_of_each_every_time() -> None:
    """That is 500 of them at 100 IDs a second and five seconds."""
    assert not paced(5.0, [(HazardCurve(), 500)], 100.0).scarce
    assert paced(5.0, [(HazardCurve(), 501)], 100.0).scarce


@pytest.mark.parametrize("curve", CURVES)
def test_while_the_budget_is_ample_polls_are_closest_at_the_ages_at_which_most_complete(curve: HazardCurve) -> None:
    """`poll_every` apart at such an age, and up to four times as far at ages at which hardly any does."""
    pace = paced(1.0, [(curve, 10)], 1_000.0)
    # The age at which completion in the next second is likeliest.
    mode = max((curve.quantile(share / 100) for share in range(5, 96)), key=curve.hazard_at)
    assert pace.wait(curve, mode) == pytest.approx(1.0, rel=0.35)
    waits = [pace.wait(curve, curve.quantile(share / 100)) for share in range(1, 100)]
    assert min(waits) >= 1.0
    assert max(waits) <= max(4.0, 0.02 * curve.quantile(0.99))


def test_all_polls_together_cost_the_budget() -> None:
    """At the spacing that is set, the polls per second of all generations are the capacity."""
    curve, capacity, open_ = learned(100.0, 0.5), 10.0, 1_000
    pace = paced(0.01, [(curve, open_)], capacity)
    polls, seconds = 0, 0.0
    for took in lognormals(Random(9), 2_000):
        age = pace.first_wait(curve, 0.0)
        polls += 1
        while age < took:
            age += pace.wait(curve, age)
            polls += 1
        seconds += age
    assert polls / seconds * open_ == pytest.approx(capacity, rel=0.25)


# ---- correction ----
def scarce() -> tuple[Pace, list[tuple[HazardCurve, int]]]:
    crowd = [(CURVES[2], 10_000)]
    return paced(1.0, crowd, 100.0), crowd


def test_who_is_late_makes_the_spacing_larger_and_who_is_idle_smaller() -> None:
    """Both within bounds: four times as much, and a twentieth."""
    pace, _ = scarce()
    before = pace.spacing
    spacings = []
    for turn in range(100):
        pace.correct(10 * pace.even_interval, 1_000.0 * (turn + 1), idle=False)
        pace.set_capacity(100.0)
        spacings.append(pace.spacing)
    assert spacings == sorted(spacings)
    assert spacings[-1] == pytest.approx(4 * before)
    for turn in range(100):
        pace.correct(0.0, 1e6 + 1_000.0 * turn, idle=True)
        pace.set_capacity(100.0)
    assert pace.spacing == pytest.approx(before / 20)


def test_a_little_late_is_as_it_should_be() -> None:
    """A twentieth of an even interval: no poll is wasted, and none waits for long."""
    pace, _ = scarce()
    before = pace.spacing
    for turn in range(50):
        pace.correct(0.05 * pace.even_interval, 1_000.0 * turn, idle=False)
        pace.set_capacity(100.0)
    assert pace.spacing == pytest.approx(before)


def test_to_correct_often_is_not_to_correct_more() -> None:
    """What counts is the time that passed, not how often it was asked."""
    spacings = []
    for steps in (1, 50):
        pace, _ = scarce()
        pace.correct(0.05 * pace.even_interval, 1_000.0, idle=False)
        for step in range(steps):
            pace.correct(100.0, 1_000.0 + 50.0 * (step + 1) / steps, idle=False)
        pace.set_capacity(100.0)
        spacings.append(pace.spacing)
    assert spacings[0] == pytest.approx(spacings[1])


def test_when_there_is_enough_again_the_correction_is_forgotten() -> None:
    """It was for generations that are gone."""
    pace, crowd = scarce()
    before = pace.spacing
    pace.correct(1_000.0, 1_000.0, idle=False)
    demand(pace, [(CURVES[2], 1)])
    pace.set_capacity(100.0)
    pace.correct(0.0, 1_001.0, idle=False)
    demand(pace, crowd)
    pace.set_capacity(100.0)
    assert pace.spacing == pytest.approx(before)


# ---- the first poll ----
@pytest.mark.parametrize("curve", CURVES)
def test_while_the_budget_is_ample_a_new_one_is_polled_at_once(curve: HazardCurve) -> None:
    """It may be done already, and the poll costs nothing that another needs."""
    assert paced(5.0, [(curve, 10)], 500.0).first_wait(curve, 0.01) == 0.0


def test_while_it_is_scarce_only_if_many_are_done_already() -> None:
    """A poll that finds nothing is taken from another."""
    pace, _ = scarce()
    curve = CURVES[2]
    assert pace.first_wait(curve, 0.0) == pace.wait(curve, 0.0) > 0
    assert pace.first_wait(curve, 1.0) == 0.0
