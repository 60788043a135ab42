"""What a curve learns, how soon it notices that it learned wrongly, and the ages that it plans."""

from collections.abc import Callable
from itertools import pairwise
from math import exp, inf, isfinite
from random import Random
from statistics import NormalDist
from typing import Any

import hypothesis
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.polling.learning.hazard import ENOUGH, MEMORY, HazardCurve
from notifier.polling.learning.poll_density import EDGES
from tests.support.generations import lognormals, teach

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
AGES = st.floats(0, 200_000)
SECONDS = st.floats(0.5, 3_000)
#: Generations: seconds that each was watched without the target, seconds of the poll that showed it, whether any did.
HISTORIES = st.lists(st.tuples(SECONDS, st.floats(0, 60), st.booleans()), max_size=25)


def taught_by(histories: list[tuple[float, float, bool]]) -> HazardCurve:
    """A curve that has learned from them, and is up to date."""
    curve = HazardCurve()
    for without, more, there in histories:
        curve.expose(0.0, without)
        if there:
            curve.reached(without, without + more)
    curve.expose(0.0, 1.0)
    curve.reached(1.0, 2.0)
    return curve


def until_noticed(curve: HazardCurve, stream: Callable[[], float], most: int, *, every: float = 5.0) -> int | None:
    """Completions of another stream until the curve notices; None if it does not within so many."""
    return next((count for count in range(1, most + 1) if teach(curve, [stream()], every=every)), None)


# ---- the model ----
def test_the_example_of_the_header() -> None:
    """Hazard, probability and spacing of the worked example, with its numbers."""
    exposure = [66.0 * (end - begin) for begin, end in pairwise(EDGES)] + [0.0]
    events = [0.02 * seconds for seconds in exposure]
    curve = HazardCurve.load({"form": 1, "learned": 100, "events": events, "exposure": exposure})
    begin, end = EDGES[42:44]
    assert (begin, end) == pytest.approx((60.3, 66.7), abs=0.05)
    assert curve.hazard_at(60.4) == pytest.approx(0.0199, abs=5e-5)
    assert curve.probability_between(begin, end) == pytest.approx(0.119, abs=5e-4)
    assert curve.density.next_age(61.0, 0.7) - 61.0 == pytest.approx(5.0, abs=0.05)


def test_the_probability_between_two_ages_is_that_of_those_open_at_the_first() -> None:
    """Of those that were open at the first age, the share that is there at the other; ages before 0 are 0."""
    curve = HazardCurve()
    median = curve.quantile(0.5)
    assert curve.probability_between(0.0, median) == pytest.approx(0.5)
    assert curve.probability_between(median, curve.quantile(0.75)) == pytest.approx(0.5)
    assert curve.probability_between(-5.0, median) == pytest.approx(0.5)
    assert curve.probability_between(7.0, 7.0) == 0.0
    assert curve.probability_between(0.0, 1e5) == pytest.approx(1 - exp(-curve.cumulative(1e5)))


def test_nothing_is_reached_between_an_age_and_an_earlier_one() -> None:
    """A poll for an earlier registration of the ID is older than this one: the probability is 0, and never less."""
    assert HazardCurve().probability_between(60.0, 40.0) == 0.0


# ---- learning ----
@pytest.mark.parametrize("spread", [0.3, 0.6])
@pytest.mark.parametrize("median", [20.0, 100.0, 600.0])
@pytest.mark.parametrize("every", [0.02, 0.1])
def test_what_is_learned_comes_near_the_truth(median: float, spread: float, every: float) -> None:
    """After some hundreds of completions its quantiles are those of the durations, though nobody saw the moment."""
    curve = HazardCurve()
    teach(curve, lognormals(Random(7), 600, median=median, spread=spread), every=every * median)
    for share in (0.25, 0.5, 0.75, 0.9):
        truth = median * exp(spread * NormalDist().inv_cdf(share))
        assert curve.quantile(share) == pytest.approx(truth, rel=0.15), share


def test_before_anything_is_learned_most_take_one_to_three_minutes() -> None:
    """The prior: one in a hundred sooner than 11 s, one in a hundred later than 12 min."""
    curve = HazardCurve()
    assert curve.quantile(0.01) == pytest.approx(11, rel=0.15)
    assert 30 < curve.quantile(0.25) < curve.quantile(0.75) < 200
    assert curve.quantile(0.99) == pytest.approx(730, rel=0.15)
    assert curve.p99 == inf


@pytest.mark.parametrize("until", [50.0, 150.0, 400.0])
def test_those_that_are_still_open_count_too(until: float) -> None:
    """To be watched without it lowers the hazard at every age up to there, and at none far beyond."""
    durations = lognormals(Random(3), 240)
    sure, unsure = HazardCurve(), HazardCurve()
    for count, took in enumerate(durations):
        teach(sure, [took])
        if count % 2:
            unsure.expose(0.0, until)
        teach(unsure, [took])
    assert unsure.hazard_at(until * 0.7) < sure.hazard_at(until * 0.7)
    assert unsure.hazard_at(until * 2) == pytest.approx(sure.hazard_at(until * 2), rel=0.02)


def test_what_was_watched_in_parts_counts_once() -> None:
    """Ten polls of one generation teach what one poll after the same time would have taught."""
    often, once = HazardCurve(), HazardCurve()
    for part in range(10):
        often.expose(part * 7.0, (part + 1) * 7.0)
    once.expose(0.0, 70.0)
    for curve in (often, once):
        curve.reached(70.0, 75.0)
    assert often.hazard == pytest.approx(once.hazard)


def test_what_was_learned_long_ago_counts_less() -> None:
    """After `MEMORY` completions it counts a third, so a slow drift is followed."""
    curve = HazardCurve()
    rng = Random(5)
    for step in range(40):  # each time a little slower, never enough to be a change
        teach(curve, lognormals(rng, 100, median=100.0 * 1.03**step))
    assert curve.learned == 4_000
    assert MEMORY < 1_000
    assert curve.quantile(0.5) == pytest.approx(100.0 * 1.03**37, rel=0.15)


def test_numbers_stay_sound_for_ever() -> None:
    """The weight that makes old things count less grows, and is brought back before it overflows."""
    curve = HazardCurve()
    for took in lognormals(Random(11), 12_000):
        teach(curve, [took])
    assert all(map(isfinite, curve.hazard))
    assert curve.quantile(0.5) == pytest.approx(100, rel=0.15)


def test_one_in_a_hundred_is_late_once_enough_is_known() -> None:
    """Not before: a few completions say nothing of the hundredth."""
    curve = HazardCurve()
    durations = lognormals(Random(2), ENOUGH + 12)
    teach(curve, durations[: ENOUGH - 1])
    assert curve.p99 == inf
    teach(curve, durations[ENOUGH - 1 :])
    assert max(durations) < curve.p99 < inf


# ---- changes of regime ----
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("before", "after"), [(100.0, 20.0), (100.0, 500.0), (30.0, 300.0), (300.0, 30.0)])
def test_a_change_of_regime_is_noticed_within_tens_of_completions(before: float, after: float, seed: int) -> None:
    """Both ways: when they become several times faster, and when they become several times slower."""
    rng, curve = Random(seed), HazardCurve()
    assert teach(curve, lognormals(rng, 300, median=before)) == 0
    noticed = until_noticed(curve, lambda: rng.lognormvariate(0.0, 0.5) * after, 40)
    assert noticed is not None
    teach(curve, lognormals(rng, 40, median=after))
    assert curve.quantile(0.5) == pytest.approx(after, rel=0.35)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("every", [1.0, 5.0, 20.0])
@pytest.mark.parametrize(("median", "spread"), [(100.0, 0.1), (100.0, 0.5), (100.0, 1.0), (5.0, 0.4), (900.0, 0.4)])
def test_a_steady_stream_is_no_change(median: float, spread: float, every: float, seed: int) -> None:
    """Whatever its shape, however often it is polled: nothing that is known is forgotten."""
    curve = HazardCurve()
    assert teach(curve, lognormals(Random(seed), 1_000, median=median, spread=spread), every=every) == 0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2])
def test_generations_that_are_stuck_are_no_change(share: float) -> None:
    """Some never complete: what is known of the others is not forgotten for them, but once by chance."""
    changes = 0
    for seed in range(3):
        rng, curve = Random(seed), HazardCurve()
        for took in lognormals(rng, 600):
            while rng.random() < share:
                for poll in range(100):
                    curve.expose(poll * 60.0, (poll + 1) * 60.0)
            changes += teach(curve, [took])
        assert curve.quantile(0.5 * (1 - share)) == pytest.approx(100.0, rel=0.2)
    assert changes <= 1


def test_after_a_change_it_is_not_taken_for_another_at_once() -> None:
    """Enough must be known again before anything can be a surprise."""
    rng, curve = Random(1), HazardCurve()
    teach(curve, lognormals(rng, 300))
    assert until_noticed(curve, lambda: rng.lognormvariate(0.0, 0.3) * 10.0, 60) is not None
    assert until_noticed(curve, lambda: rng.lognormvariate(0.0, 0.3) * 1_000.0, ENOUGH - 1) is None


def test_a_curve_that_knows_little_is_not_surprised() -> None:
    """The prior is a guess: that it was wrong is no change."""
    for median in (2.0, 5_000.0):
        assert teach(HazardCurve(), lognormals(Random(4), ENOUGH - 1, median=median)) == 0


# ---- planning ----
@STEADY
@given(HISTORIES, AGES, st.floats(1e-3, 100), st.floats(1.05, 10))
def test_polls_go_forward_and_further_apart_for_a_larger_spacing(
    histories: list[tuple[float, float, bool]], age: float, spacing: float, longer: float
) -> None:
    """The next poll is later than this one; a larger spacing makes it later still."""
    curve = taught_by(histories)
    assert age < curve.density.next_age(age, spacing) < curve.density.next_age(age, spacing * longer)


@STEADY
@given(HISTORIES, AGES, st.floats(0.01, 10_000), st.floats(1e-3, 100))
def test_who_is_older_is_polled_later(
    histories: list[tuple[float, float, bool]], age: float, more: float, spacing: float
) -> None:
    """The next poll is at a later age for one that is older now."""
    curve = taught_by(histories)
    assert curve.density.next_age(age, spacing) < curve.density.next_age(age + more, spacing)


@STEADY
@given(HISTORIES, AGES, st.floats(1e-3, 10))
def test_two_spacings_are_one_of_twice_the_size(
    histories: list[tuple[float, float, bool]], age: float, spacing: float
) -> None:
    """The density adds up: nothing is lost or gained between two buckets of age."""
    curve = taught_by(histories)
    assert curve.density.next_age(curve.density.next_age(age, spacing), spacing) == pytest.approx(
        curve.density.next_age(age, 2 * spacing)
    )


@STEADY
@given(HISTORIES, st.floats(0.001, 0.999))
def test_a_quantile_is_the_age_by_which_that_share_is_there(
    histories: list[tuple[float, float, bool]], share: float
) -> None:
    """One says what the other does."""
    curve = taught_by(histories)
    assert 1 - exp(-curve.cumulative(curve.quantile(share))) == pytest.approx(share)


@STEADY
@given(HISTORIES, AGES, st.floats(0, 10_000))
def test_the_share_that_is_there_only_grows(
    histories: list[tuple[float, float, bool]], age: float, more: float
) -> None:
    """The hazard is above 0 at every age."""
    curve = taught_by(histories)
    assert all(rate > 0 for rate in curve.hazard)
    assert curve.cumulative(age + more) >= curve.cumulative(age)
    assert curve.cumulative(0.0) == 0.0


def test_polls_are_closest_at_the_ages_at_which_most_complete() -> None:
    """By the root of the hazard: polls are rare at ages at which few complete."""
    curve = HazardCurve()
    teach(curve, lognormals(Random(8), 400, median=100.0, spread=0.2))
    early, ripe = (curve.density.next_age(age, 0.5) - age for age in (10.0, 100.0))
    assert ripe < early / 2


# ---- kept over a restart ----
@STEADY
@given(HISTORIES, AGES, st.floats(0.01, 10))
def test_a_curve_that_was_kept_plans_as_before(
    histories: list[tuple[float, float, bool]], age: float, spacing: float
) -> None:
    """Through JSON and back, it polls at the same ages."""
    curve = taught_by(histories)
    again = HazardCurve.load(orjson.loads(orjson.dumps(curve.dump())))
    assert again.learned == curve.learned
    assert again.density.next_age(age, spacing) == pytest.approx(curve.density.next_age(age, spacing), rel=1e-3)


def test_what_a_million_generations_taught_is_kept() -> None:
    """Together they were watched for thousands of millions of seconds: no reason to learn anew at a restart."""
    curve = HazardCurve()
    teach(curve, [100.0] * 40)
    for _ in range(1_000):
        curve.expose(0.0, 3_000_000.0)
    assert max(curve.dump()["exposure"]) > 1e9
    assert HazardCurve.load(curve.dump()).learned == 40


@pytest.mark.parametrize("seed", range(3))
def test_a_curve_that_was_kept_is_surprised_as_before(seed: int) -> None:
    """A restart neither makes a change nor hides one."""
    rng, curve = Random(seed), HazardCurve()
    teach(curve, lognormals(rng, 300))
    again = HazardCurve.load(curve.dump())
    assert teach(again, lognormals(rng, 300)) == 0
    assert until_noticed(again, lambda: rng.lognormvariate(0.0, 0.5) * 500.0, 40) is not None


NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=5))
JSON = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=8), inner, max_size=5)),
)
ROWS = st.one_of(JSON, st.builds(lambda number: [number] * len(EDGES), NUMBERS))
DUMPS = st.one_of(
    JSON,
    st.fixed_dictionaries({"form": st.one_of(st.just(1), JSON), "learned": NUMBERS, "events": ROWS, "exposure": ROWS}),
)


@STEADY
@given(DUMPS, AGES)
def test_whatever_was_kept_gives_a_curve(dumped: Any, age: float) -> None:
    """A form that is not known, or makes no sense, is learned anew; what is read plans, and learns on."""
    curve = HazardCurve.load(dumped)
    assert curve.learned >= 0
    assert age < curve.density.next_age(age, 1.0)
    for _ in range(3):
        curve.expose(0.0, 50.0)
        curve.reached(50.0, 60.0)
    assert all(rate > 0 for rate in curve.hazard)
    assert age < curve.density.next_age(age, 1.0)


def test_another_form_is_not_read() -> None:
    """What a later version writes is learned anew, and not taken for what it is not."""
    curve = HazardCurve()
    teach(curve, lognormals(Random(1), 50))
    assert HazardCurve.load(curve.dump()).learned == 50
    assert HazardCurve.load(curve.dump() | {"form": 2}).learned == 0


# ---- seeded copies ----
def test_a_seeded_copy_is_like_its_parent_and_soon_itself() -> None:
    """It begins with what is known of another kind, has learned nothing of its own, and takes little to change."""
    parent = HazardCurve()
    teach(parent, lognormals(Random(6), 400, median=300.0, spread=0.3))
    young = parent.seeded_copy()
    assert young.learned == 0
    assert young.p99 == inf
    assert young.quantile(0.5) == pytest.approx(300.0, rel=0.25)
    teach(young, lognormals(Random(7), 29, median=60.0, spread=0.3))
    assert young.quantile(0.5) == pytest.approx(60.0, rel=0.35)
    assert parent.quantile(0.5) == pytest.approx(300.0, rel=0.1)


def test_a_seeded_copy_of_one_that_knows_nothing_is_as_good_as_new() -> None:
    """There is nothing to inherit but the prior."""
    assert HazardCurve().seeded_copy().hazard == pytest.approx(HazardCurve().hazard)
