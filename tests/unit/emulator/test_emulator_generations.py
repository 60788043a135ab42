"""A generation's life as a function of time."""

import math
import uuid
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.model import State
from notifier.emulator.generations import Life, draw_id, draw_life, given_life, long_poll_ends, moved_life
from notifier.emulator.random_draws import draw
from notifier.emulator.settings import EmulatorSettings, LongPoll

_seconds = st.floats(min_value=0, max_value=10_000, allow_nan=False)


@st.composite
def _lives(draw: st.DrawFn) -> Life:
    dreams = draw(_seconds)
    ends = draw(st.one_of(_seconds.map(lambda more: dreams + more), st.just(math.inf)))
    outcome = draw(st.sampled_from((State.COMPLETED, State.FAILED)))
    return Life(created=draw(_seconds), dreams_after=dreams, ends_after=ends, outcome=outcome)


@given(_lives(), st.lists(_seconds, min_size=2))
def test_a_life_never_steps_back(life: Life, after: list[float]) -> None:
    """However often and whenever one looks, the state's rank only grows with time."""
    ranks = [life.state(life.created + seconds).rank for seconds in sorted(after)]
    assert ranks == sorted(ranks)


@given(_lives(), st.sampled_from((State.QUEUED, State.RUNNING, State.COMPLETED)), _seconds)
def test_a_target_is_reached_when_it_says(life: Life, target: State, after: float) -> None:
    """At any moment well away from the edge, the state is at the target or above exactly if `reaches` has passed."""
    now, reaches = life.created + after, life.reaches(target)
    if abs(now - reaches) > 1e-6:
        assert (life.state(now).rank >= target.rank) == (now > reaches)


@given(_lives(), st.sampled_from(State), _seconds, _seconds)
def test_a_moved_life_stays_where_it_was_put(life: Life, state: State, at: float, later: float) -> None:
    """A generation moved by hand is in that state from then on, also where that is a step back."""
    now = life.created + at
    moved = moved_life(life, state, now=now)
    assert moved.state(now) is state
    assert moved.state(now + later) is state


@given(st.integers(), st.integers(min_value=1), st.floats(min_value=0.001, max_value=1_000))
def test_drawn_durations_stay_within_their_bounds(seed: int, number: int, speed: float) -> None:
    """No drawn generation is shorter or longer than the settings say by its speed, and it dreams before it ends."""
    settings = EmulatorSettings(seed=seed, speed=speed)
    life = draw_life(settings, number, now=5.0)
    assert settings.shortest <= life.ends_after * speed * (1 + 1e-9)
    assert life.ends_after * speed <= settings.longest * (1 + 1e-9)
    assert 0 < life.dreams_after < life.ends_after


def test_durations_are_spread_as_the_provider_prints_them() -> None:
    """Half of the generations take less than 100 s, most one to three minutes, about one in ten fails."""
    lives = [draw_life(EmulatorSettings(), number, now=0.0) for number in range(2_000)]
    durations = [life.ends_after for life in lives]
    assert 90 < median(durations) < 110
    assert sum(60 <= seconds <= 180 for seconds in durations) > 1_000
    assert 120 < sum(life.outcome is State.FAILED for life in lives) < 280


def test_a_spread_without_end_is_cut() -> None:
    """A spread so wide that the exponential would overflow gives the bounds, not an error."""
    settings = EmulatorSettings(spread=1e6)
    ends = {draw_life(settings, number, now=0.0).ends_after for number in range(50)}
    assert ends == {settings.shortest, settings.longest}


def test_the_same_seed_makes_the_same_generations() -> None:
    """IDs and lives are functions of seed and number: equal for one seed, different for another."""
    one, other = EmulatorSettings(seed=1), EmulatorSettings(seed=2)
    assert draw_life(one, 7, now=0.0) == draw_life(one, 7, now=0.0)
    assert draw_life(one, 7, now=0.0) != draw_life(other, 7, now=0.0)
    assert draw_id(1, 7) == draw_id(1, 7) != draw_id(2, 7)
    assert uuid.UUID(draw_id(1, 7)).version == 4


def test_a_given_end_is_kept_exactly() -> None:
    """A life with a given end ends there, and one without an end is dreaming for ever."""
    life = given_life(1, 1, now=100.0, ends_after=5.0, outcome=State.COMPLETED)
    assert life.reaches(State.COMPLETED) == 105.0
    never = given_life(1, 1, now=100.0, ends_after=math.inf, outcome=State.COMPLETED)
    assert never.state(1e12) is State.RUNNING


def test_a_long_poll_ends_with_the_first_or_the_last() -> None:
    """`any` returns with the first of the generations, `all` with the last, `none` and an empty list at once."""
    soon = given_life(1, 1, now=0.0, ends_after=5.0, outcome=State.FAILED)
    late = given_life(1, 2, now=0.0, ends_after=9.0, outcome=State.COMPLETED)
    assert long_poll_ends([soon, late], State.COMPLETED, LongPoll.ANY) == 5.0
    assert long_poll_ends([soon, late], State.COMPLETED, LongPoll.ALL) == 9.0
    assert long_poll_ends([soon, late], State.COMPLETED, LongPoll.NONE) == -math.inf
    assert long_poll_ends([], State.COMPLETED, LongPoll.ALL) == -math.inf


@given(st.integers(), st.text(), st.integers())
def test_a_draw_is_a_share(seed: int, word: str, number: int) -> None:
    """A draw is at least 0 and below 1, so that a share of 0 never hits and a share of 1 always does."""
    assert 0 <= draw(seed, word, number) < 1
