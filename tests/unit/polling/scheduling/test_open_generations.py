"""The open generations in virtual time: which is polled when, whatever happens."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from math import ceil
from random import Random

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from notifier.domain.ids import Destination, GenerationId
from notifier.domain.model import State
from notifier.polling.batching.batch_plan import plan
from notifier.polling.scheduling.open_generation import TrackedGeneration, miss, see
from notifier.polling.scheduling.open_generations import RARELY, SINGLE_LIMIT, OpenGenerations
from notifier.polling.scheduling.queues import FIRST
from notifier.runtime.rate_limiter import TokenBucket
from tests.support.generations import AUDIT, LUMA, NOW, STUDIO, lognormals, opened, sight, teach, times, wall

#: A busy machine is no failure.
STEADY = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
SLOW = hypothesis.settings(STEADY, max_examples=25)
FOR_EVER = 1e9


class World:
    """A provider in virtual time that answers at once, and the generations, plan and budget in front of it."""

    def __init__(self, *, rate: float, batch: int, every: float) -> None:
        self.generations = OpenGenerations(every)
        self.bucket = TokenBucket(rate)
        self.batch = batch
        self.now = 1_000.0
        #: When each request was made.
        self.requests: list[float] = []
        #: ID -> when it is done, and when it was registered and then polled.
        self.done_at: dict[GenerationId, float] = {}
        self.polls: dict[GenerationId, list[float]] = {}
        self.completed: Callable[[TrackedGeneration], None] = lambda _: None

    def register(
        self, name: str, took: float, *, deadline: float = FOR_EVER, destinations: tuple[Destination, ...] = STUDIO
    ) -> None:
        id_ = GenerationId(name)
        self.done_at[id_], self.polls[id_] = self.now + took, [self.now]
        self.generations.add(
            opened(name, deadline=self.now + deadline, destinations=destinations, registered=self.now), now=self.now
        )

    def run(self, seconds: float, step: float) -> None:
        """A tick every `step` seconds."""
        until = self.now + seconds
        while self.now < until:
            self.poll()
            self.now += step

    def poll(self) -> None:
        """Everything that may be asked now."""
        generations, now, room = self.generations, self.now, self.bucket.available(self.now)
        generations.set_budget(self.bucket.rate * self.batch, now, idle=self.bucket.full(now))
        taken = generations.queues.take(now, room * self.batch)
        if not taken:
            return
        multi = self.batch > 1
        planned = plan(taken, fit=len, batch_limit=self.batch, multi=multi, room=room, single_room=room)
        for entry in planned.rest:
            generations.poll_now(entry, now)
        for request in planned.requests:
            polls = list(request.entries)
            if multi and request is planned.requests[-1]:
                polls += generations.fill_batch(now, self.batch - len(polls))
            assert len(set(polls)) == len(polls) <= self.batch
            assert self.bucket.take(now)
            self.requests.append(now)
            for entry in polls:
                self.answer(entry)

    def answer(self, entry: TrackedGeneration) -> None:
        now = self.now
        self.polls[entry.id].append(now)
        done = self.done_at[entry.id] <= now
        seen = sight(entry.id, State.COMPLETED if done else State.RUNNING)
        self.generations.learn(entry, seen, times(now))
        see(entry, seen, times(now), LUMA)
        if done:
            self.generations.remove(entry)
            self.completed(entry)
        else:
            self.generations.schedule_next(entry, polled=now, now=now, singly=self.batch == 1, wall=wall(now))

    def gaps(self) -> list[float]:
        """Seconds from each poll of a generation, or its registration, to the next poll or to now."""
        polls = [[*each, self.now] if id_ in self.open else each for id_, each in self.polls.items()]
        return [later - earlier for each in polls for earlier, later in pairwise(each)]

    @property
    def open(self) -> set[GenerationId]:
        return {entry.id for entry in self.generations}


def crowd(count: int, *, rate: float, batch: int, every: float = 1.0, seed: int = 1) -> World:
    """So many open at all times: each that is done is followed by a new one. Warmed up."""
    world, rng = World(rate=rate, batch=batch, every=every), Random(seed)
    durations = iter(lambda: lognormals(rng, 1, median=100.0, spread=0.4)[0], None)
    teach(world.generations.curves.of("ray-2", State.COMPLETED), lognormals(rng, 100, spread=0.4))
    numbers = iter(range(10**9))
    for _ in range(count):
        world.register(f"g-{next(numbers)}", next(durations) * rng.random())
    world.completed = lambda _: world.register(f"g-{next(numbers)}", next(durations))
    world.run(max(60.0, 4 * count / (rate * batch)), 1 / rate)
    world.polls = {id_: [world.now] for id_ in world.open}
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
    """A poll comes within eight even intervals, four times `poll_every` or a fiftieth of the age, and a round."""
    world, rng = World(rate=rate, batch=batch, every=every), Random(3)
    numbers = iter(range(10**9))
    for seconds, count in arrivals:
        for _ in range(count):
            world.register(f"g-{next(numbers)}", rng.choice([40.0, FOR_EVER]))
        world.run(seconds, 0.5)
    world.run(200.0, 0.5)
    even = len(world.polls) / (rate * batch)
    assert max(world.gaps(), default=0.0) <= max(4 * every, 8 * even, 0.02 * (world.now - 1_000.0)) + 2 * even + 5.0


@pytest.mark.parametrize("times_over", [5, 20])
@pytest.mark.parametrize("batch", [1, 20])
def test_under_overload_the_lag_grows_evenly(batch: int, times_over: int) -> None:
    """Many more than can be polled every `poll_every`: all wait longer, and nobody many times as long as most."""
    rate = 4.0
    world = crowd(int(times_over * rate * batch), rate=rate, batch=batch)
    even = times_over
    world.run(20.0 * even, 1 / rate)
    gaps = world.gaps()
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(even, rel=0.5)
    assert max(gaps) <= 10 * mean
    assert len(world.requests) >= 0.9 * rate * 20.0 * even


def test_those_that_take_very_long_are_still_polled() -> None:
    """Many that never complete do not take the polls of those that do, nor the other way round."""
    world = crowd(200, rate=4.0, batch=10)
    for number in range(200):
        world.register(f"stuck-{number}", FOR_EVER)
    world.run(600.0, 0.25)
    stuck = [poll for id_, poll in world.polls.items() if id_.startswith("stuck")]
    assert all(len(polls) > 10 for polls in stuck)
    assert max(later - earlier for polls in stuck for earlier, later in pairwise([*polls, world.now])) <= 8 * 10 + 10


# ---- deadlines ----
@SLOW
@given(
    st.lists(st.floats(3, 900), min_size=1, max_size=12),  # the budget is never scarce here: more meet nothing new
    st.sampled_from([0.2, 1.0, 5.0]),
    st.sampled_from([STUDIO, AUDIT]),
)
def test_a_poll_comes_at_a_deadline_or_soon_after_it(
    deadlines: list[float], every: float, destinations: tuple[Destination, ...]
) -> None:
    """Wherever it falls between polls, and also if it is undeliverable: by that poll its watches expire."""
    world = World(rate=50.0, batch=100, every=every)
    world.generations.apply_endpoint_health(lambda destination: destination in AUDIT, now=world.now)
    for number, seconds in enumerate(deadlines):
        world.register(f"g-{number}", FOR_EVER, deadline=seconds, destinations=destinations)
    world.run(max(deadlines) + 3.0, 0.1)
    for number, seconds in enumerate(deadlines):
        after = [poll for poll in world.polls[GenerationId(f"g-{number}")] if poll >= 1_000.0 + seconds]
        assert after[0] <= 1_000.0 + seconds + 2 * min(1.0, every / 5) + 0.2


# ---- before anything is learned ----
def spread(count: int, *spans: tuple[float, float]) -> list[float]:
    """Durations over these spans in turn."""
    rng = Random(4)
    return [rng.uniform(*spans[number % len(spans)]) for number in range(count)]


@pytest.mark.parametrize(
    ("rate", "batch", "every", "durations"),
    [
        pytest.param(5.0, 100, 1.0, spread(300, (1, 8)), id="all take seconds"),
        pytest.param(5.0, 100, 1.0, spread(450, (1, 8)), id="the budget just reaches"),
        pytest.param(5.0, 100, 1.0, spread(300, (1, 2), (20, 40)), id="half of them take far longer"),
        pytest.param(5.0, 100, 1.0, spread(20, (1, 8)), id="too few to learn from"),
        pytest.param(5.0, 100, 1.0, spread(101, (60, 90)), id="a minute or more"),
        pytest.param(100.0, 1, 1.0, spread(60, (1, 8)), id="one ID a request"),
        pytest.param(5.0, 100, 5.0, spread(300, (1, 30)), id="another interval"),
    ],
)
@pytest.mark.parametrize("waves", [1, 3])
def test_an_ample_budget_is_used_before_anything_is_learned_and_after(
    rate: float, batch: int, every: float, durations: list[float], waves: int
) -> None:
    """Nine of ten are known within `poll_every` and 0.3 s, however long they take: no poll is saved on a guess."""
    world = World(rate=rate, batch=batch, every=every)
    for wave in range(waves):
        for number, took in enumerate(durations):
            world.register(f"{wave}-{number}", took)
        world.run(max(durations) + 2 * every, 0.1)
    assert not world.open
    lags = sorted(polls[-1] - world.done_at[id_] for id_, polls in world.polls.items())
    assert lags[int(0.9 * len(lags))] <= every + 0.3


def test_polls_are_saved_at_ages_at_which_experience_says_that_none_completes() -> None:
    """Once it is learned that all take a minute or two the first half minute costs less than half of the requests."""
    rng, used = Random(3), []
    world = World(rate=50.0, batch=1, every=1.0)
    for wave in range(6):
        for number, took in enumerate(lognormals(rng, 40, median=90.0, spread=0.3)):
            world.register(f"{wave}-{number}", took)
        before = len(world.requests)
        world.run(30.0, 0.25)
        used.append(len(world.requests) - before)
        world.run(250.0, 0.25)
    assert used[0] == 40 * 30
    assert used[-1] < used[0] / 2


# ---- undeliverable ones ----
def undeliverable_world(*, everybody: bool = False) -> World:
    world = World(rate=20.0, batch=10, every=1.0)
    for number in range(5):
        world.register(f"deliverable-{number}", FOR_EVER)
        world.register(f"undeliverable-{number}", FOR_EVER, destinations=AUDIT)
        world.register(f"both-{number}", FOR_EVER, destinations=(*AUDIT, *STUDIO))
    world.run(5.0, 0.25)
    world.generations.apply_endpoint_health(lambda destination: everybody or destination in AUDIT, now=world.now)
    return world


def test_what_is_undeliverable_is_polled_rarely() -> None:
    """Once in ten minutes; one with any deliverable destination is polled as usual."""
    world = undeliverable_world()
    world.run(60.0, 0.25)
    world.polls = {id_: [world.now] for id_ in world.polls}
    world.run(3 * RARELY, 0.25)
    counts = {id_: len(polls) - 1 for id_, polls in world.polls.items()}
    assert all(2 <= count <= 4 for id_, count in counts.items() if id_.startswith("undeliverable"))
    assert all(count > 60 for id_, count in counts.items() if not id_.startswith("undeliverable"))


def test_what_is_deliverable_again_is_polled_at_once() -> None:
    """And from then on as usual; what was deliverable all the time is not polled for that."""
    world = undeliverable_world()
    world.run(60.0, 0.25)
    world.generations.apply_endpoint_health(lambda _: False, now=world.now)
    before = world.now
    world.run(1.0, 0.25)
    assert all(polls[-1] >= before for id_, polls in world.polls.items() if id_.startswith("undeliverable"))
    world.run(60.0, 0.25)
    assert all(polls[-1] >= world.now - 10.0 for polls in world.polls.values())


def test_a_new_one_that_is_undeliverable_waits_after_its_first_poll() -> None:
    """Destinations that are seen for the first time are judged like those that are known."""
    world = World(rate=20.0, batch=10, every=1.0)
    world.generations.apply_endpoint_health(lambda destination: destination in AUDIT, now=world.now)
    world.register("g-1", FOR_EVER, destinations=AUDIT)
    world.run(RARELY - 10.0, 0.25)
    assert len(world.polls[GenerationId("g-1")]) == 2


def test_one_that_becomes_deliverable_by_a_watch_is_polled_at_once() -> None:
    """A watch that joins brings a deliverable destination: it does not wait until ten minutes are over."""
    world = undeliverable_world()
    world.run(60.0, 0.25)
    entry = world.generations.get(GenerationId("undeliverable-1"))
    assert entry is not None
    world.generations.join(
        entry, opened("undeliverable-1", destinations=(*AUDIT, *STUDIO)), now=world.now, wall=wall(world.now)
    )
    before = world.now
    world.run(1.0, 0.25)
    assert world.polls[entry.id][-1] >= before


def test_thousands_of_watches_with_destinations_of_their_own_join_at_a_bounded_cost() -> None:
    """Few tuples of destinations are kept, none of them long; with so many it counts as deliverable."""
    generations = OpenGenerations(1.0)
    generations.apply_endpoint_health(lambda _: True, now=1_000.0)
    entry = generations.add(opened("a", destinations=(Destination("https://first.example.com"),)), now=1_000.0)
    assert entry.destinations in generations.undeliverable
    for number in range(3_000):
        generations.join(
            entry,
            opened("a", destinations=(Destination(f"https://{number}.example.com"),)),
            now=1_000.0,
            wall=wall(1_000.0),
        )
    assert entry.destinations not in generations.undeliverable
    assert len(generations.undeliverable._known) < 100
    assert sum(map(len, generations.undeliverable._known)) < 5_000


def test_what_joins_never_takes_back_what_others_wait_for() -> None:
    """A watch that asks for more, longer and elsewhere leaves target, deadline and destinations as they were."""
    generations = OpenGenerations(1.0)
    entry = generations.add(opened("a", target=State.RUNNING, deadline=100.0), now=0.0)
    generations.join(entry, opened("a", deadline=900.0, destinations=AUDIT), now=1.0, wall=wall(1.0))
    assert (entry.target, entry.deadline) == (State.RUNNING, wall(100.0))
    assert entry.destinations == tuple(sorted((*AUDIT, *STUDIO)))


# ---- any sequence of events ----
STATES = st.sampled_from([State.QUEUED, State.RUNNING, State.COMPLETED])
DESTINATIONS = st.sampled_from([STUDIO, AUDIT, (*AUDIT, *STUDIO)])
PICKS = st.integers(0, 10**6)


class OpenGenerationsMachine(RuleBasedStateMachine):
    """What the provider loop does, in any order: every open generation always has a next poll."""

    def __init__(self) -> None:
        super().__init__()
        self.generations = OpenGenerations(1.0)
        self.now = 1_000.0
        self.numbers = iter(range(10**9))
        #: Requests that are answered at once, and those that wait, under way: since when, and about what.
        self.asked: list[tuple[float, TrackedGeneration]] = []
        self.long_polled: list[tuple[float, TrackedGeneration]] = []
        self.undeliverable: set[Destination] = set()

    def pick(self, number: int) -> TrackedGeneration | None:
        entries = list(self.generations)
        return entries[number % len(entries)] if entries else None

    # ---- who is there ----
    @rule(wanted=STATES, destinations=DESTINATIONS, deadline=st.floats(1, 2_000))
    def add(self, wanted: State, destinations: tuple[Destination, ...], deadline: float) -> None:
        name = f"g-{next(self.numbers)}"
        generation = opened(
            name, target=wanted, destinations=destinations, deadline=self.now + deadline, registered=self.now
        )
        self.generations.add(generation, now=self.now)

    @rule(wanted=STATES, destinations=DESTINATIONS, age=st.floats(-5, 30 * 86_400))
    def load(self, wanted: State, destinations: tuple[Destination, ...], age: float) -> None:
        generation = opened(
            f"g-{next(self.numbers)}", target=wanted, destinations=destinations, registered=self.now - age
        )
        self.generations.load(generation, now=self.now, age=age)

    @rule(number=PICKS, wanted=STATES, destinations=DESTINATIONS, deadline=st.floats(1, 2_000))
    def join(self, number: int, wanted: State, destinations: tuple[Destination, ...], deadline: float) -> None:
        if (entry := self.pick(number)) is not None:
            lower = min(wanted, entry.target, key=lambda state: state.rank)
            generation = opened(entry.id, target=lower, destinations=destinations, deadline=self.now + deadline)
            self.generations.join(entry, generation, now=self.now, wall=wall(self.now))

    @rule(number=PICKS)
    def remove(self, number: int) -> None:
        if (entry := self.pick(number)) is not None:
            self.generations.remove(entry)

    @rule(seconds=st.floats(0, 300))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # ---- what is asked ----
    @rule(capacity=st.floats(0.1, 1_000), idle=st.booleans())
    def budget(self, capacity: float, *, idle: bool) -> None:
        self.generations.set_budget(capacity, self.now, idle=idle)

    @rule(limit=st.integers(1, 5), more=st.integers(0, 5))
    def ask(self, limit: int, more: int) -> None:
        due = [entry for request in self.generations.queues.take_irregular(self.now, limit, 2) for entry in request]
        assert all(entry.poll_singly or entry.excluded for entry in due)
        usual = self.generations.queues.take(self.now, limit)
        due += usual
        if usual:
            due += self.generations.fill_batch(self.now, more)
        self.asked += [(self.now, entry) for entry in due]

    @rule()
    def start_long_poll(self) -> None:
        for entry in self.generations.queues.soonest(1):
            self.generations.start_long_poll(entry)
            self.long_polled.append((self.now, entry))

    # ---- what comes back ----
    @precondition(lambda self: self.asked)
    @rule(
        number=PICKS,
        state=st.one_of(st.none(), STATES),
        model=st.sampled_from([None, "ray-2", "ray-1"]),
        age=st.one_of(st.none(), st.floats(-1e6, 1e7)),
        took=st.floats(0, 60),
        destinations=st.one_of(st.none(), DESTINATIONS),
    )
    def answer(
        self,
        number: int,
        state: State | None,
        model: str | None,
        age: float | None,
        took: float,
        destinations: tuple[Destination, ...] | None,
    ) -> None:
        sent, entry = self.asked.pop(number % len(self.asked))
        self.now += took
        if not self.generations.tracks(entry):
            return
        if state is None:
            miss(entry, self.now, single=entry.poll_singly)
            self.generations.exclude(entry)
        else:
            self.take_in(sent, entry, state, model, age, kept=False)
        if self.generations.tracks(entry):
            if destinations is not None:
                self.generations.set_destinations(entry, destinations)
            self.schedule_next(sent, entry)

    @precondition(lambda self: self.asked)
    @rule(number=PICKS)
    def put_back(self, number: int) -> None:
        _, entry = self.asked.pop(number % len(self.asked))
        if self.generations.tracks(entry) and not entry.long_polled:
            self.generations.poll_now(entry, self.now)

    @precondition(lambda self: self.long_polled)
    @rule(number=PICKS, state=st.one_of(st.none(), STATES), took=st.floats(2, 31))
    def answer_long_poll(self, number: int, state: State | None, took: float) -> None:
        since, entry = self.long_polled.pop(number % len(self.long_polled))
        self.now = max(self.now, since + took)
        entry.long_polled = False
        if not self.generations.tracks(entry):
            return
        if state is None:
            self.generations.poll_now(entry, self.now)
        else:
            self.take_in(since, entry, state, "ray-2", None, kept=True)
            if self.generations.tracks(entry):
                self.schedule_next(since if entry.polled_at is None else entry.polled_at, entry)

    def take_in(
        self, sent: float, entry: TrackedGeneration, state: State, model: str | None, age: float | None, *, kept: bool
    ) -> None:
        made = None if age is None else NOW + timedelta(seconds=self.now - age)
        seen = sight(entry.id, state, model=model, created_at=made)
        self.generations.learn(entry, seen, times(sent, self.now), kept=kept)
        if (transition := see(entry, seen, times(sent, self.now), LUMA)) is not None:
            entry.state = transition.observation.state
        if entry.state is not None and entry.state.rank >= entry.target.rank:
            self.generations.remove(entry)

    def schedule_next(self, polled: float, entry: TrackedGeneration) -> None:
        self.generations.schedule_next(
            entry, polled=polled, now=self.now, singly=entry.poll_singly, wall=wall(self.now)
        )

    # ---- what changes for all ----
    @rule(every=st.sampled_from([0.1, 1.0, 5.0, 60.0]))
    def set_poll_every(self, every: float) -> None:
        self.generations.set_poll_every(every, now=self.now)

    @rule(undeliverable=st.sets(st.sampled_from([*AUDIT, *STUDIO])))
    def apply_endpoint_health(self, undeliverable: set[Destination]) -> None:
        before = {entry: entry.destinations in self.generations.undeliverable for entry in self.generations}
        self.undeliverable = undeliverable
        self.generations.apply_endpoint_health(lambda destination: destination in undeliverable, now=self.now)
        for entry in self.generations:
            if before[entry] and entry.destinations not in self.generations.undeliverable and entry.bucket is not None:
                assert entry in self.due_now()

    def due_now(self) -> Sequence[TrackedGeneration]:
        return [
            entry
            for entry in self.generations
            if (due := self.generations.queues.due(entry)) is not None and due <= self.now
        ]

    # ---- what must hold ----
    @invariant()
    def every_open_generation_has_a_next_poll(self) -> None:
        """It is in a queue, or a request for it is under way: exactly one of the three, and none is there twice."""
        asked, long_polled = [entry for _, entry in self.asked], [entry for _, entry in self.long_polled]
        for entry in self.generations:
            assert (entry.bucket is not None) + (entry in asked) + (entry in long_polled) == 1
            assert entry.long_polled is (entry in long_polled)
        waiting = [entry for entry in self.generations if entry.bucket is not None]
        assert (
            {entry for entry in waiting if not entry.excluded}
            <= set(self.generations.queues.soonest(10**6))
            <= set(waiting)
        )
        nothing = self.generations.queues.earliest() is None and self.generations.queues.earliest_irregular() is None
        assert nothing is (not waiting)

    @invariant()
    def no_next_poll_is_far_away(self) -> None:
        """Ten minutes, eight even spreads as they were when it was planned, or a fiftieth of a greatest age."""
        for entry in self.generations:
            if (due := self.generations.queues.due(entry)) is not None:
                age = max(0.0, self.now - entry.age_origin)
                assert due <= self.now + max(RARELY, SINGLE_LIMIT, 8 * self.most_even(), 4 * 60.0, 0.02 * age) + 2.0

    def most_even(self) -> float:
        return len(list(self.generations)) / 0.1 + 1_000.0

    @invariant()
    def a_deadline_is_not_slept_over(self) -> None:
        """What waits falls due soon after the deadline that is to come, wherever its next poll would have been."""
        for entry in self.generations:
            left = entry.deadline - wall(self.now)
            if (due := self.generations.queues.due(entry)) is not None and left > 0:
                assert due <= self.now + left + 3 * min(1.0, self.generations.pace.every / 5)

    @invariant()
    def what_is_undeliverable_is_known(self) -> None:
        """By the destinations of its watches, and what is said of them now."""
        for entry in self.generations:
            undeliverable = entry.destinations in self.generations.undeliverable
            assert undeliverable is all(destination in self.undeliverable for destination in entry.destinations)

    @invariant()
    def the_demand_is_that_of_those_that_are_there(self) -> None:
        """Everybody counts once, in the curve that it goes by; those that are missed, or were never seen, do not."""
        demand: dict[int, int] = {}
        for entry in self.generations:
            assert entry.counted + entry.excluded <= 1
            assert entry.counted or entry.excluded or not entry.model_known
            if entry.counted:
                demand[id(entry.curve)] = demand.get(id(entry.curve), 0) + 1
        assert {id(curve): count for curve, count in self.generations.pace.demand.items()} == demand


def test_every_open_generation_always_has_a_next_poll() -> None:
    """Whatever happens, in any order; and all that the machine says must hold, holds."""
    run_state_machine_as_test(
        OpenGenerationsMachine, settings=hypothesis.settings(STEADY, max_examples=60, stateful_step_count=50)
    )


# ---- one by one ----
def scarce(every: float = 1.0, *, even: float = 100.0) -> OpenGenerations:
    """Open generations whose polls are far apart, and whose curve is known."""
    generations = OpenGenerations(every)
    teach(generations.curves.of("ray-2", State.COMPLETED), lognormals(Random(1), 200, spread=0.3))
    for _ in range(100):
        generations.curves.already_done[State.COMPLETED].first(done=False, probability=0.0)
    polled(generations, 1, now=1_000.0)
    generations.set_budget(1 / even, 1_000.0, idle=False)
    return generations


def test_a_new_one_goes_first_if_that_is_worth_a_poll() -> None:
    """Before all that is overdue, for it may be done already; while polls are scarce it waits like the others."""
    generations = OpenGenerations(1.0)
    generations.load(opened("old"), now=900.0, age=0.0)
    new = generations.add(opened("new", registered=1_000.0), now=1_000.0)
    assert generations.queues.due(new) == FIRST
    assert generations.queues.take(1_000.0, 1) == [new]
    young = scarce().add(opened("young", registered=1_000.0), now=1_000.0)
    assert young.bucket is not None
    assert young.bucket.number > 1_000


def test_what_was_open_before_this_run_is_due_at_once() -> None:
    """Nobody knows what happened meanwhile; its age is that since its registration, and never below 0."""
    generations = OpenGenerations(1.0)
    generations.load(opened("a"), now=1_000.0, age=250.0)
    generations.load(opened("b"), now=1_000.0, age=-3.0)
    assert [(entry.age_origin, entry.registered) for entry in generations.queues.take(1_000.0, 9)] == [
        (750.0, None),
        (1_000.0, None),
    ]


def test_a_new_one_is_polled_by_its_deadline_though_polls_are_scarce() -> None:
    """Its first regular poll would be far beyond."""
    generations = scarce()
    entry = generations.add(opened("young", registered=1_000.0, deadline=1_020.0), now=1_000.0)
    due = generations.queues.due(entry)
    assert due is not None
    assert 1_020.0 < due <= 1_022.0


def test_a_watch_that_joins_with_a_nearer_deadline_brings_the_poll_forward() -> None:
    """To that deadline; one that joins with a later one leaves it where it is."""
    generations = scarce()
    entry = generations.add(opened("young", registered=1_000.0), now=1_000.0)
    before = generations.queues.due(entry)
    generations.join(entry, opened("young", deadline=90_000.0), now=1_001.0, wall=wall(1_001.0))
    assert generations.queues.due(entry) == before
    generations.join(entry, opened("young", deadline=1_020.0), now=1_001.0, wall=wall(1_001.0))
    due = generations.queues.due(entry)
    assert due is not None
    assert 1_020.0 < due <= 1_022.0


def test_a_watch_that_joins_waits_for_its_own_target_by_its_own_curve() -> None:
    """The same model, and what is known of that target."""
    generations = OpenGenerations(1.0)
    entry = generations.add(opened("a"), now=1_000.0)
    generations.learn(entry, sight("a", State.QUEUED), times(1_000.0))
    generations.join(entry, opened("a", target=State.RUNNING), now=1_001.0, wall=wall(1_001.0))
    assert entry.target is State.RUNNING
    assert entry.curve is generations.curves.of("ray-2", State.RUNNING)


def test_who_is_twice_in_its_bucket_fills_one_slot() -> None:
    """One that was moved and moved back leaves places behind; a batch poll asks for it once."""
    generations = OpenGenerations(1.0)
    entry = generations.add(opened("a"), now=1_000.0)
    generations.queues.take(1_000.0, 1)
    for at in (1_050.0, 1_080.0, 1_050.0):
        generations.schedule_next(entry, polled=at, now=1_000.0, singly=False, wall=wall(1_000.0))
    assert generations.fill_batch(1_040.0, 9) == [entry]


def test_what_passed_its_deadline_during_a_poll_is_polled_soon() -> None:
    """The poll was sent before it, and lets nothing expire; nor does what is polled rarely wait for ten minutes."""
    generations = OpenGenerations(1.0)
    generations.apply_endpoint_health(lambda destination: destination in AUDIT, now=1_000.0)
    entry = generations.add(opened(destinations=AUDIT, deadline=1_010.0, registered=1_000.0), now=1_000.0)
    (taken,) = generations.queues.take(1_005.0, 1)
    generations.schedule_next(taken, polled=1_005.0, now=1_015.0, singly=False, wall=wall(1_015.0))
    assert (due := generations.queues.due(entry)) is not None
    assert due <= 1_017.0


def test_a_free_seat_is_taken_by_what_fits_and_by_nothing_else() -> None:
    """What the request has no room for stays where it was."""
    generations = OpenGenerations(1.0)
    entries = [generations.add(opened(name), now=1_000.0) for name in "abc"]
    generations.queues.take(1_000.0, 3)
    for entry in entries:
        generations.schedule_next(entry, polled=1_010.0, now=1_000.0, singly=False, wall=wall(1_000.0))
    before = generations.queues.due(entries[2])
    assert generations.fill_batch(1_005.0, 3, fit=lambda some: min(1, len(some))) == entries[:1]
    assert [generations.queues.due(entry) for entry in entries] == [None, before, before]


def test_who_waits_behind_new_ones_is_late_nevertheless() -> None:
    """New ones are polled before all that is overdue, and do not hide it."""
    generations = OpenGenerations(1.0)
    old = generations.add(opened("old", registered=1_000.0), now=1_000.0)
    generations.queues.take(1_000.0, 1)
    generations.poll_now(old, 1_000.0)
    assert not generations.late(1_001.0, irregular=False)
    generations.add(opened("new", registered=1_010.0), now=1_010.0)
    assert generations.late(1_010.0, irregular=False)


def test_a_free_slot_is_not_for_what_was_polled_just_now() -> None:
    """Nor for one that is polled singly, nor for one that is undeliverable."""
    generations = OpenGenerations(5.0)
    generations.apply_endpoint_health(lambda destination: destination in AUDIT, now=1_000.0)
    fresh, alone, undeliverable, old = (
        generations.add(opened(name, destinations=AUDIT if name == "undeliverable" else STUDIO), now=1_000.0)
        for name in ("fresh", "alone", "undeliverable", "old")
    )
    alone.isolate()
    fresh.polled_at, old.polled_at, undeliverable.polled_at = 1_007.0, 1_001.0, 1_001.0
    assert generations.fill_batch(1_009.0, 9) == [old]
    assert alone.bucket is not None


@pytest.mark.parametrize(("every", "longest"), [(1.0, SINGLE_LIMIT), (600.0, 2_400.0)])
def test_an_id_that_is_polled_singly_is_polled_less_and_less_often(every: float, longest: float) -> None:
    """Each miss doubles the interval, up to two minutes; an interval that is longer than that is never shortened."""
    generations = OpenGenerations(every)
    entry = generations.add(opened("a"), now=1_000.0)
    waits = []
    for _ in range(40):
        miss(entry, 1_000.0, single=True)
        generations.schedule_next(entry, polled=1_000.0, now=1_000.0, singly=True, wall=wall(1_000.0))
        due = generations.queues.due(entry)
        assert due is not None
        waits.append(due - 1_000.0)
    assert waits == sorted(waits)
    assert waits[0] >= every
    assert waits[-1] <= longest + 1.0
    assert every > SINGLE_LIMIT or waits[-1] == SINGLE_LIMIT


def test_what_is_missed_has_no_part_in_the_budget_until_it_is_seen() -> None:
    """IDs that nobody knows do not make the polls of the others rarer."""
    generations = OpenGenerations(1.0)
    entries = polled(generations, 10, now=1_000.0)
    for entry in entries[1:]:
        generations.exclude(entry)
        generations.exclude(entry)
    generations.set_budget(1.0, 1_000.0, idle=False)
    assert generations.pace.even_interval == 1.0
    for entry in entries:
        generations.learn(entry, sight(entry.id), times(1_001.0))
    generations.set_budget(1.0, 1_001.0, idle=False)
    assert generations.pace.even_interval == 10.0


@pytest.mark.parametrize("older", [8 * 86_400.0, 3_605.0, 19_800.0, -7_200.0, 56 * 365 * 86_400.0, 40_000.0])
def test_a_creation_that_does_not_agree_slows_no_poll_and_warns_of_nobody(older: float) -> None:
    """Eight days, a time zone, the year 1970 or what no other takes: who is new is polled like anyone who is."""
    world = World(rate=5.0, batch=100, every=1.0)
    teach(world.generations.curves.of("ray-2", State.COMPLETED), lognormals(Random(1), 200, spread=0.3))
    for number in range(50):
        world.register(f"g-{number}", 100.0)
    created_at, stalled = NOW + timedelta(seconds=world.now - older), 0
    for entry in world.generations:
        stalled += world.generations.learn(entry, sight(entry.id, created_at=created_at), times(world.now))
    world.run(100.0, 0.25)
    assert not stalled
    assert not any(entry.stalled for entry in world.generations)
    ripe = [[poll for poll in polls if poll >= 1_060.0] for polls in world.polls.values()]
    assert max(later - earlier for polls in ripe for earlier, later in pairwise(polls)) <= 1.5


def test_a_change_of_regime_brings_polls_forward_and_no_poll_back() -> None:
    """What waits for an age that nobody reaches any more waits no longer; what is undeliverable goes on waiting."""
    generations = OpenGenerations(0.1)
    rng, now = Random(5), 1_000.0
    generations.apply_endpoint_health(lambda destination: destination in AUDIT, now=now)
    waiting = [generations.add(opened(f"w-{number}"), now=now) for number in range(20)]
    undeliverable = generations.add(opened("undeliverable", destinations=AUDIT), now=now)
    teach(generations.curves.of("ray-2", State.COMPLETED), lognormals(rng, 300, median=600.0, spread=0.1))
    generations.queues.take(now, 99)
    for entry in (*waiting, undeliverable):
        generations.learn(entry, sight(entry.id), times(now))
    for entry in (*waiting, undeliverable):
        generations.set_budget(0.1, now, idle=False)
        generations.schedule_next(entry, polled=now, now=now, singly=False, wall=wall(now))
    before = {entry: generations.queues.due(entry) or 0.0 for entry in (*waiting, undeliverable)}
    for number in range(30):
        entry = generations.add(opened(f"g-{number}"), now=now)
        generations.queues.take(now, 1)
        generations.learn(entry, sight(entry.id), times(now + 0.1))
        now += 1.0
        generations.learn(entry, sight(entry.id, State.COMPLETED), times(now + 10.0))
        generations.remove(entry)
        after = {entry: generations.queues.due(entry) or 0.0 for entry in before}
        assert all(after[entry] <= due for entry, due in before.items())
    assert after[undeliverable] == before[undeliverable]
    assert all(after[entry] < before[entry] for entry in waiting)


def test_a_change_of_regime_takes_nobody_past_a_deadline() -> None:
    """They have become slower, and polls go further apart: the poll that is planned for a deadline stays."""
    generations, rng, now = OpenGenerations(0.1), Random(5), 1_000.0
    curve = generations.curves.of("ray-2", State.COMPLETED)
    teach(curve, lognormals(rng, 300, median=10.0, spread=0.1), every=0.5)
    entry = generations.add(opened("a", deadline=1_003.0), now=now)
    generations.queues.take(now, 1)
    generations.learn(entry, sight("a"), times(now))
    generations.set_budget(0.01, now, idle=False)
    generations.schedule_next(entry, polled=now, now=now, singly=False, wall=wall(now))
    before = generations.queues.due(entry)
    learned = curve.quantile(0.5)
    for number in range(60):
        slow = generations.add(opened(f"g-{number}"), now=now)
        generations.queues.take(now, 1)
        for later, state in ((0.0, State.RUNNING), (590.0, State.RUNNING), (610.0, State.COMPLETED)):
            generations.learn(slow, sight(slow.id, state), times(now + later))
        generations.remove(slow)
        assert generations.queues.due(entry) == before
    assert curve.quantile(0.5) > 10 * learned


def test_new_generations_say_nothing_of_how_late_polls_are() -> None:
    """While a flood of new IDs waits for its first polls the pace of all the others is left as it is."""
    generations = OpenGenerations(1.0)
    for number in range(200):
        generations.add(opened(f"g-{number}"), now=1_000.0)
    generations.set_budget(1.0, 1_000.0, idle=False)
    before = generations.pace.spacing
    for second in range(1_001, 1_100):
        generations.set_budget(1.0, float(second), idle=True)
    assert generations.pace.spacing == before


def test_who_waits_for_room_of_its_own_makes_nobody_late() -> None:
    """IDs that are polled singly or are missed wait in queues of their own, and slow the polls of no others down."""
    generations = OpenGenerations(1.0)
    lonely, missed, other = (generations.add(opened(id_), now=1_000.0) for id_ in ("lonely", "missed", "other"))
    generations.queues.take(1_000.0, 3)
    lonely.isolate()
    generations.exclude(missed)
    for entry in (lonely, missed, other):
        generations.poll_now(entry, 1_000.0)
    assert generations.queues.take(1_100.0, 9) == [other]
    assert not generations.late(1_100.0, irregular=False)
    assert generations.late(1_100.0, irregular=True)
    assert generations.queues.take_irregular(1_100.0, 9, 100) == [[missed], [lonely]]
    assert generations.queues.earliest_irregular() is None


# ---- waits that agree with what is known, and with the budget ----
def polled(generations: OpenGenerations, count: int, *, now: float) -> list[TrackedGeneration]:
    """So many that were polled just now, and are short of their target."""
    entries = [generations.add(opened(f"g-{number}"), now=now) for number in range(count)]
    generations.queues.take(now, count)
    for entry in entries:
        generations.learn(entry, sight(entry.id), times(now))
    return entries


@pytest.mark.parametrize("ends", [1, 29, 40])
def test_completions_in_a_reply_leave_nobody_of_that_reply_behind(ends: int) -> None:
    """What one completion teaches of thousands that still run changes how far apart polls are at once, for all."""
    generations, now = OpenGenerations(1.0), 1_000.0
    entries = polled(generations, 1_000, now=now)
    generations.set_budget(100.0, now, idle=False)
    now += 30.0
    for entry in entries[:ends]:
        generations.learn(entry, sight(entry.id, State.COMPLETED), times(now))
        generations.remove(entry)
    waits = []
    for entry in entries[ends:]:
        generations.learn(entry, sight(entry.id), times(now))
        generations.schedule_next(entry, polled=now, now=now, singly=False, wall=wall(now))
        waits.append((generations.queues.due(entry) or 0.0) - now)
    if ends < 30:  # nothing is known yet: all are polled alike, in ten seconds
        assert max(waits) <= 12.0
    generations.set_budget(100.0, now, idle=False)
    assert max(waits) <= 1.5 * generations.pace.wait(entries[-1].curve, 30.0)


@pytest.mark.parametrize("count", [50, 5_000])
def test_once_there_is_budget_again_nobody_waits_as_long_as_in_the_storm(count: int) -> None:
    """Waits that were fixed at a tenth of the budget are computed anew, some thousand at a time."""
    generations, now = OpenGenerations(1.0), 1_000.0
    entries = polled(generations, count, now=now)
    generations.set_budget(count / 100, now, idle=False)
    for entry in entries:
        generations.schedule_next(entry, polled=now, now=now, singly=False, wall=wall(now))
    before = [generations.queues.due(entry) or 0.0 for entry in entries]
    assert min(before) >= now + 90.0
    for _ in range(3):
        generations.set_budget(count / 10, now + 1.0, idle=False)
    assert all((generations.queues.due(entry) or 0.0) <= now + 12.0 for entry in entries)


def test_a_budget_that_eases_brings_nobody_forward_who_waits_for_other_reasons() -> None:
    """What is undeliverable, and what is missed, waits on."""
    generations, now = OpenGenerations(1.0), 1_000.0
    generations.apply_endpoint_health(lambda destination: destination in AUDIT, now=now)
    undeliverable = generations.add(opened("undeliverable", destinations=AUDIT), now=now)
    missed, other = polled(generations, 2, now=now)
    miss(missed, now, single=True)
    generations.exclude(missed)
    generations.set_budget(0.01, now, idle=False)
    for entry in (undeliverable, missed, other):
        generations.schedule_next(entry, polled=now, now=now, singly=entry is missed, wall=wall(now))
    before = [generations.queues.due(entry) for entry in (undeliverable, missed)]
    generations.set_budget(100.0, now + 1.0, idle=False)
    assert [generations.queues.due(entry) for entry in (undeliverable, missed)] == before
    assert (generations.queues.due(other) or 0.0) < now + 10.0


@pytest.mark.parametrize(("rate", "batch"), [(5.0, 100), (0.5, 100), (1.0, 10)])
def test_to_wait_for_the_next_request_is_not_to_be_late(rate: float, batch: int) -> None:
    """Who falls due between two requests waits for the second: that makes no spacing larger, however few there are."""
    generations, now, apart = OpenGenerations(1.0), 1_000.0, 1 / rate
    for entry in polled(generations, 4 * batch, now=now):
        generations.poll_now(entry, now)
    generations.set_budget(rate * batch, now, idle=False, apart=apart)
    before = generations.pace.spacing
    for turn in range(200):
        for entry in generations.queues.take(now, 4 * batch):
            generations.schedule_next(entry, polled=now, now=now, singly=False, wall=wall(now))
        earliest = generations.queues.earliest()
        assert earliest is not None
        now = earliest + apart
        generations.set_budget(rate * batch, now, idle=False, apart=apart)
        assert generations.pace.spacing <= before, turn


def test_a_flood_of_new_ones_counts_only_as_far_as_it_was_polled() -> None:
    """Until then polls of the others stay as close together as before."""
    generations, now = OpenGenerations(1.0), 1_000.0
    entries = polled(generations, 10, now=now)
    flood = [generations.add(opened(f"new-{number}"), now=now) for number in range(1_000)]
    generations.set_budget(1.0, now, idle=False)
    assert generations.pace.even_interval == 10.0
    for entry in (entries[0], *flood[:90]):
        generations.learn(entry, sight(entry.id), times(now))
    generations.set_budget(1.0, now, idle=False)
    assert generations.pace.even_interval == 100.0


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_a_flood_of_new_ones_takes_half_and_lets_a_few_that_come_after_it_go_first(limit: int) -> None:
    """Those that are overdue have the other half; and the oldest of the flood are not forgotten."""
    generations, now = OpenGenerations(1.0), 1_000.0
    known = polled(generations, 10, now=now)
    flood = [generations.add(opened(f"flood-{number}"), now=now) for number in range(1_000)]
    late = [generations.add(opened(f"late-{number}"), now=now) for number in range(5)]
    taken: list[TrackedGeneration] = []
    while len(taken) < 400:
        for entry in known:
            generations.poll_now(entry, now)
        some = generations.queues.take(now, limit)
        assert len(some) == limit
        taken += some
    assert set(late) <= set(taken[: max(30, limit)])
    assert 0.45 <= sum(entry in known for entry in taken[:20]) / 20 <= 0.55 or limit == 100
    assert flood[0] in taken[: max(4, limit)]
    assert set(flood[:80]) <= set(taken)


def test_what_was_asked_about_in_vain_waits_behind_what_was_not_until_the_provider_knows_one() -> None:
    """Then it is as good as new, but for what was missed for its own sake."""
    generations, now = OpenGenerations(1.0), 1_000.0
    first, second, missed = (generations.add(opened(id_), now=now) for id_ in ("a", "b", "c"))
    assert len(generations.queues.take(now, 3)) == 3
    third = generations.add(opened("d"), now=now)
    miss(missed, now, single=True)
    generations.exclude_all([first.id, second.id, missed.id, GenerationId("gone")])
    for entry in (first, second, missed):
        generations.poll_now(entry, now)
    assert generations.queues.earliest() == FIRST
    assert generations.queues.take(now, 9) == [third]
    assert generations.queues.earliest() is None
    generations.readmit()
    assert generations.queues.take(now, 9) == [first, second]
    assert generations.queues.take_irregular(now, 9, 9) == [[missed]]
