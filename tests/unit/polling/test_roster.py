"""The roster in virtual time: who is looked at when, whatever happens."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from math import ceil
from random import Random

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from watching import AUDIT, LUMA, NOW, STUDIO, lognormals, opened, sight, teach, times, wall

from notifier.budget import TokenBucket
from notifier.ids import GenerationId, Lane
from notifier.model import State
from notifier.polling.plan import plan
from notifier.polling.roster import ALONE_LIMIT, FIRST, OLDEST, RARELY, Roster
from notifier.polling.watched import Watched, miss, see

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
SLOW = hypothesis.settings(STEADY, max_examples=25)
FOR_EVER = 1e9


class World:
    """A provider in virtual time that answers at once, and the roster, plan and budget in front of it."""

    def __init__(self, *, rate: float, batch: int, every: float) -> None:
        self.roster = Roster(every)
        self.bucket = TokenBucket(rate)
        self.batch = batch
        self.now = 1_000.0
        #: When each request was made.
        self.requests: list[float] = []
        #: ID -> when it is done, and when it was registered and then looked at.
        self.done_at: dict[GenerationId, float] = {}
        self.looks: dict[GenerationId, list[float]] = {}
        self.completed: Callable[[Watched], None] = lambda _: None

    def register(self, name: str, took: float, *, deadline: float = FOR_EVER, lanes: tuple[Lane, ...] = STUDIO) -> None:
        id_ = GenerationId(name)
        self.done_at[id_], self.looks[id_] = self.now + took, [self.now]
        self.roster.welcome(opened(name, deadline=self.now + deadline, lanes=lanes), now=self.now)

    def run(self, seconds: float, step: float) -> None:
        """A tick every `step` seconds."""
        until = self.now + seconds
        while self.now < until:
            self.look()
            self.now += step

    def look(self) -> None:
        """Everything that may be asked now."""
        roster, now, room = self.roster, self.now, self.bucket.available(self.now)
        roster.budget(self.bucket.rate * self.batch, now, idle=self.bucket.full(now))
        taken = roster.take(now, room * self.batch)
        if not taken:
            return
        multi = self.batch > 1
        planned = plan(taken, fit=len, batch_limit=self.batch, multi=multi, room=room, single_room=room)
        for entry in planned.rest:
            roster.call(entry, now)
        for ask in planned.asks:
            looks = list(ask.looks)
            if multi and ask is planned.asks[-1]:
                looks += roster.fill(now, self.batch - len(looks))
            assert len(set(looks)) == len(looks) <= self.batch
            assert self.bucket.take(now)
            self.requests.append(now)
            for entry in looks:
                self.answer(entry)

    def answer(self, entry: Watched) -> None:
        now = self.now
        self.looks[entry.id].append(now)
        done = self.done_at[entry.id] <= now
        seen = sight(entry.id, State.COMPLETED if done else State.RUNNING)
        self.roster.learn(entry, seen, times(now))
        see(entry, seen, times(now), LUMA)
        if done:
            self.roster.leave(entry)
            self.completed(entry)
        else:
            self.roster.look_again(entry, looked=now, now=now, alone=self.batch == 1, wall=wall(now))

    def gaps(self) -> list[float]:
        """Seconds from each look at each generation, or its registration, to the next look or to now."""
        looks = [[*each, self.now] if id_ in self.open else each for id_, each in self.looks.items()]
        return [later - earlier for each in looks for earlier, later in pairwise(each)]

    @property
    def open(self) -> set[GenerationId]:
        return {entry.id for entry in self.roster}


def crowd(count: int, *, rate: float, batch: int, every: float = 1.0, seed: int = 1) -> World:
    """So many open at all times: each that is done is followed by a new one. Warmed up."""
    world, rng = World(rate=rate, batch=batch, every=every), Random(seed)
    durations = iter(lambda: lognormals(rng, 1, median=100.0, spread=0.4)[0], None)
    teach(world.roster.curves.of("ray-2", State.COMPLETED), lognormals(rng, 100, spread=0.4))
    numbers = iter(range(10**9))
    for _ in range(count):
        world.register(f"g-{next(numbers)}", next(durations) * rng.random())
    world.completed = lambda _: world.register(f"g-{next(numbers)}", next(durations))
    world.run(max(60.0, 4 * count / (rate * batch)), 1 / rate)
    world.looks = {id_: [world.now] for id_ in world.open}
    world.requests.clear()
    return world


# ---- budgets ----
@SLOW
@given(
    st.floats(0.3, 12),
    st.sampled_from([1, 3, 20]),
    st.floats(0.2, 5),
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 40)), min_size=1, max_size=6),
    st.floats(0.05, 0.9),
)
def test_the_budget_is_never_exceeded(
    rate: float, batch: int, every: float, arrivals: list[tuple[float, int]], step: float
) -> None:
    """However many come at once: no second with more requests than the rate, over any time the rate and one burst."""
    world, rng = World(rate=rate, batch=batch, every=every), Random(2)
    numbers = iter(range(10**9))
    for seconds, count in arrivals:
        for took in lognormals(rng, count, median=30.0):
            world.register(f"g-{next(numbers)}", took)
        world.run(seconds, step)
    made = world.requests
    for index, begin in enumerate(made):
        assert sum(at < begin + 1.0 - 1e-5 for at in made[index:]) <= ceil(max(1.0, rate))
        assert len(made) - index <= rate * (world.now - begin) + max(1.0, rate) + 1e-3


# ---- nobody starves ----
@SLOW
@given(
    st.floats(0.5, 8),
    st.sampled_from([1, 5, 50]),
    st.floats(0.2, 5),
    st.lists(st.tuples(st.floats(1, 60), st.integers(0, 150)), min_size=1, max_size=5),
)
def test_nobody_waits_longer_than_the_crowd_makes_it(
    rate: float, batch: int, every: float, arrivals: list[tuple[float, int]]
) -> None:
    """A look comes within eight even spreads, four times `sweep_every` or a fiftieth of the age, and a round of all."""
    world, rng = World(rate=rate, batch=batch, every=every), Random(3)
    numbers = iter(range(10**9))
    for seconds, count in arrivals:
        for _ in range(count):
            world.register(f"g-{next(numbers)}", rng.choice([40.0, FOR_EVER]))
        world.run(seconds, 0.5)
    world.run(200.0, 0.5)
    even = len(world.looks) / (rate * batch)
    assert max(world.gaps(), default=0.0) <= max(4 * every, 8 * even, 0.02 * (world.now - 1_000.0)) + 2 * even + 5.0


@pytest.mark.parametrize("times_over", [5, 20])
@pytest.mark.parametrize("batch", [1, 20])
def test_under_overload_the_lag_grows_evenly(batch: int, times_over: int) -> None:
    """Many more than can be looked at every `sweep_every`: all wait longer, and nobody many times as long as most."""
    rate = 4.0
    world = crowd(int(times_over * rate * batch), rate=rate, batch=batch)
    even = times_over
    world.run(20.0 * even, 1 / rate)
    gaps = world.gaps()
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(even, rel=0.5)
    assert max(gaps) <= 10 * mean
    assert len(world.requests) >= 0.9 * rate * 20.0 * even


def test_those_that_nobody_hears_of_for_long_are_looked_at_still() -> None:
    """A crowd of them that never gets there does not take the looks of those that do, nor the other way round."""
    world = crowd(200, rate=4.0, batch=10)
    for number in range(200):
        world.register(f"stuck-{number}", FOR_EVER)
    world.run(600.0, 0.25)
    stuck = [look for id_, look in world.looks.items() if id_.startswith("stuck")]
    assert all(len(looks) > 10 for looks in stuck)
    assert max(later - earlier for looks in stuck for earlier, later in pairwise([*looks, world.now])) <= 8 * 10 + 10


# ---- deadlines ----
@SLOW
@given(
    st.lists(st.floats(3, 900), min_size=1, max_size=40),
    st.sampled_from([0.2, 1.0, 5.0]),
    st.sampled_from([STUDIO, AUDIT]),
)
def test_a_look_comes_at_a_deadline_or_soon_after_it(deadlines: list[float], every: float, lanes: tuple[Lane, ...]) -> None:
    """Wherever it falls between looks, also where nobody can be told: that look is what its watches expire by."""
    world = World(rate=50.0, batch=100, every=every)
    world.roster.hear(lambda lane: lane in AUDIT, now=world.now)
    for number, seconds in enumerate(deadlines):
        world.register(f"g-{number}", FOR_EVER, deadline=seconds, lanes=lanes)
    world.run(1_000.0, 0.1)
    for number, seconds in enumerate(deadlines):
        after = [look for look in world.looks[GenerationId(f"g-{number}")] if look >= 1_000.0 + seconds]
        assert after[0] <= 1_000.0 + seconds + 2 * min(1.0, every / 5) + 0.2


# ---- whom nobody can tell ----
def deaf_world(*, everybody: bool = False) -> World:
    world = World(rate=20.0, batch=10, every=1.0)
    for number in range(5):
        world.register(f"heard-{number}", FOR_EVER)
        world.register(f"unheard-{number}", FOR_EVER, lanes=AUDIT)
        world.register(f"both-{number}", FOR_EVER, lanes=(*AUDIT, *STUDIO))
    world.run(5.0, 0.25)
    world.roster.hear(lambda lane: everybody or lane in AUDIT, now=world.now)
    return world


def test_where_nobody_can_be_told_it_is_looked_at_rarely() -> None:
    """Once in ten minutes; one of whose lanes any can be told at is looked at as usual."""
    world = deaf_world()
    world.run(60.0, 0.25)
    world.looks = {id_: [world.now] for id_ in world.looks}
    world.run(3 * RARELY, 0.25)
    counts = {id_: len(looks) - 1 for id_, looks in world.looks.items()}
    assert all(2 <= count <= 4 for id_, count in counts.items() if id_.startswith("unheard"))
    assert all(count > 60 for id_, count in counts.items() if not id_.startswith("unheard"))


def test_what_can_be_told_again_is_looked_at_at_once() -> None:
    """And from then on as usual; what could be told all the time is not looked at for that."""
    world = deaf_world()
    world.run(60.0, 0.25)
    world.roster.hear(lambda _: False, now=world.now)
    before = world.now
    world.run(1.0, 0.25)
    assert all(looks[-1] >= before for id_, looks in world.looks.items() if id_.startswith("unheard"))
    world.run(60.0, 0.25)
    assert all(looks[-1] >= world.now - 10.0 for looks in world.looks.values())


def test_a_new_one_that_nobody_can_be_told_of_waits_after_its_first_look() -> None:
    """Lanes that are seen for the first time are judged like those that are known."""
    world = World(rate=20.0, batch=10, every=1.0)
    world.roster.hear(lambda lane: lane in AUDIT, now=world.now)
    world.register("g-1", FOR_EVER, lanes=AUDIT)
    world.run(RARELY - 10.0, 0.25)
    assert len(world.looks[GenerationId("g-1")]) == 2


def test_one_that_is_told_of_elsewhere_too_is_looked_at_at_once() -> None:
    """A watch that joins brings a lane that can be told at: it does not wait until ten minutes are over."""
    world = deaf_world()
    world.run(60.0, 0.25)
    entry = world.roster.get(GenerationId("unheard-1"))
    assert entry is not None
    world.roster.join(entry, opened("unheard-1", lanes=(*AUDIT, *STUDIO)), now=world.now, wall=wall(world.now))
    before = world.now
    world.run(1.0, 0.25)
    assert world.looks[entry.id][-1] >= before
