"""Which curve a generation goes by, and what first polls find."""

from collections.abc import Sequence
from random import Random
from typing import Any

import hypothesis
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.model import State
from notifier.polling.learning.by_model import AlreadyDone, CurvesByModel
from notifier.polling.learning.hazard import HazardCurve
from tests.support.generations import lognormals, teach

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
DONE, RUNNING = State.COMPLETED, State.RUNNING


def taught(
    curves: CurvesByModel, model: str | None, count: int, *, median: float = 100.0, target: State = DONE
) -> HazardCurve:
    curve = curves.of(model, target)
    teach(curve, lognormals(Random(count), count, median=median))
    curves.update_most_learned(target, curve)
    return curve


# ---- one for each model and target ----
def test_each_model_and_target_has_its_own_curve() -> None:
    """How long one takes says nothing about another; the same model and target is the same curve."""
    curves = CurvesByModel()
    found = {id(curves.of(model, target)) for model in ("ray-2", "ray-1", None) for target in (DONE, RUNNING)}
    assert len(found) == 6
    assert curves.of("ray-2", DONE) is curves.of("ray-2", DONE)
    taught(curves, "ray-2", 100, median=20.0)
    assert curves.of("ray-1", DONE).learned == 0


def test_a_curve_knows_its_model() -> None:
    """So that a generation keeps its model when its target changes."""
    curves = CurvesByModel()
    assert curves.model_of(curves.of("ray-2", RUNNING)) == "ray-2"
    assert curves.model_of(curves.of(None, RUNNING)) is None
    assert curves.model_of(HazardCurve()) is None


def test_before_its_record_is_seen_a_generation_goes_by_the_curve_that_learned_most() -> None:
    """Of its own target: of the model that has taught the most."""
    curves = CurvesByModel()
    assert curves.most_learned(DONE) is curves.of(None, DONE)
    taught(curves, "ray-1", 10)
    best = taught(curves, "ray-2", 50)
    taught(curves, "ray-3", 20)
    assert curves.most_learned(DONE) is best
    assert curves.most_learned(RUNNING).learned == 0


def test_a_new_model_begins_like_the_one_that_is_known_best() -> None:
    """It is much more like it than like a guess, and has learned nothing of its own."""
    curves = CurvesByModel()
    taught(curves, "ray-2", 200, median=400.0)
    young = curves.of("ray-3", DONE)
    assert young.learned == 0
    assert young.quantile(0.5) == pytest.approx(400.0, rel=0.3)


def test_there_are_never_too_many_curves() -> None:
    """A provider that names a model anew for each generation fills no memory: they share the unnamed one."""
    curves = CurvesByModel()
    found = {id(curves.of(f"model-{number}", DONE)): number for number in range(1_000)}
    assert len(found) <= 202
    assert curves.of("yet another", DONE) is curves.of(None, DONE)
    assert len(curves.dump()) <= 203


def test_a_long_name_is_cut() -> None:
    """What is behind the hundredth character tells no models apart."""
    curves = CurvesByModel()
    assert curves.of("m" * 100, DONE) is curves.of("m" * 5_000, DONE)


# ---- kept over a restart ----
@pytest.mark.parametrize("model", ["ray-2", None, "luma/ray-2/fast", "é…", ""])
def test_what_was_learned_is_kept(model: str | None) -> None:
    """Under whatever name, of each target, with what first polls found."""
    curves, again = CurvesByModel(), CurvesByModel()
    taught(curves, model, 40, median=50.0)
    taught(curves, model, 30, median=5.0, target=RUNNING)
    for _ in range(100):
        curves.already_done[DONE].first(done=True, probability=0.0)
    again.load(curves.dump())
    assert (again.of(model, DONE).learned, again.of(model, RUNNING).learned) == (40, 30)
    assert again.most_learned(DONE) is again.of(model, DONE)
    assert again.already_done[DONE].share == pytest.approx(curves.already_done[DONE].share, rel=0.01)
    assert again.dump().keys() == curves.dump().keys()


def test_the_curve_that_learned_most_is_so_after_a_restart() -> None:
    """In whatever order it is read."""
    curves = CurvesByModel()
    for model, count in (("a", 30), ("b", 60), ("c", 40)):
        taught(curves, model, count)
    for names in (sorted(curves.dump()), sorted(curves.dump(), reverse=True)):
        again = CurvesByModel()
        again.load({name: curves.dump()[name] for name in names})
        assert again.most_learned(DONE) is again.of("b", DONE)


def test_what_has_learned_nothing_is_not_kept() -> None:
    """A curve that was only looked up costs no row."""
    curves = CurvesByModel()
    curves.of("ray-2", DONE)
    assert list(curves.dump()) == ["met"]


NAMES = st.one_of(st.text(max_size=12), st.sampled_from(["met", "completed/ray-2", "running/", "completed", "gone/x"]))
JSON = st.recursive(
    st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=5), st.sampled_from(list(map(str, State)))), inner, max_size=4),
    ),
).map(orjson.dumps)


@STEADY
@given(st.dictionaries(NAMES, st.one_of(JSON, st.binary(max_size=30)), max_size=6))
def test_whatever_was_kept_can_be_read(dumped: dict[str, bytes]) -> None:
    """Whatever makes no sense is skipped, as if it had never been there."""
    curves = CurvesByModel()
    curves.load(dumped)
    for target in State:
        assert 0 < curves.already_done[target].share <= 1
        assert curves.of("ray-2", target).density.next_age(10.0, 1.0) > 10.0
        assert curves.most_learned(target).density.next_age(10.0, 1.0) > 10.0


def test_too_many_that_were_kept_are_skipped() -> None:
    """The bound holds for what is read, too."""
    curves, again = CurvesByModel(), CurvesByModel()
    body = orjson.dumps(taught(curves, "m", 5).dump())
    again.load({f"completed/{number}": body for number in range(1_000)})
    assert len(again.dump()) <= 201


# ---- the already-done share ----
def test_the_example_of_the_header() -> None:
    """One first poll that finds its generation done, which may have become so since with a probability of 0.25."""
    shares = AlreadyDone()
    assert not shares.first(done=True, probability=0.25)
    assert shares.dump() == [1.0, 0.5]
    assert shares.share == pytest.approx(0.25)


def test_at_first_one_in_five_may_be_done_already() -> None:
    """Enough that a poll right at the start is worth it while nothing is known."""
    assert AlreadyDone().share == pytest.approx(0.2)


@pytest.mark.parametrize("truth", [0.0, 0.3, 1.0])
def test_the_already_done_share_is_learned(truth: float) -> None:
    """From first polls right at the registration."""
    shares, rng = AlreadyDone(), Random(1)
    for _ in range(2_000):
        shares.first(done=rng.random() < truth, probability=0.0)
    assert shares.share == pytest.approx(truth, abs=0.06)


def test_what_was_hardly_done_before_became_so_since() -> None:
    """A first poll long after: if nothing is done at the start, finding it done says nothing about the start."""
    shares = AlreadyDone()
    for _ in range(500):
        shares.first(done=False, probability=0.01)
    assert shares.share < 0.01
    assert shares.first(done=True, probability=0.9)
    assert not shares.first(done=False, probability=0.9)


def test_what_cannot_have_become_done_since_was_so_before() -> None:
    """A first poll right at the start that finds it done teaches nothing about how long it takes."""
    assert not AlreadyDone().first(done=True, probability=0.0)


@STEADY
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=60))
def test_the_share_is_a_share_whatever_is_found(polls: Sequence[tuple[bool, float]]) -> None:
    """Above 0 and at most 1, and the same again after a restart."""
    shares = AlreadyDone()
    for done, probability in polls:
        shares.first(done=done, probability=probability)
        assert 0 < shares.share < 1
    assert AlreadyDone.load(orjson.loads(orjson.dumps(shares.dump()))).share == pytest.approx(shares.share, abs=1e-3)


@STEADY
@given(
    st.one_of(
        st.none(),
        st.text(max_size=3),
        st.integers(),
        st.lists(st.one_of(st.floats(), st.integers(), st.none())),
        st.dictionaries(st.text(max_size=2), st.floats()),
    )
)
def test_whatever_was_kept_of_first_polls_can_be_read(dumped: Any) -> None:
    """What makes no sense is forgotten."""
    assert 0 < AlreadyDone.load(dumped).share <= 1


@pytest.mark.parametrize("dumped", [[10**400, 1], [5, 6], [-1, -1], [float("nan"), 0], [1e9, 1]])
def test_numbers_that_make_no_sense_are_forgotten(dumped: list[float]) -> None:
    """More done than polled, or more than can have been polled."""
    assert AlreadyDone.load(dumped).share == AlreadyDone().share
