"""How late the poller knows, at how many requests: in virtual time, deterministic, with the planner that the daemon runs.

    python benchmarks/polling.py [--quick] [PART ...]

Parts: `single` (one ID a request, against a fixed interval), `multi` (100 IDs a request, against a round-robin sweep),
`regime` (durations change), `storm` (429s and an outage), `cost` (microseconds and bytes), `holds` (real time, against
the emulator). Each prints what it ran, against what, and the ratio.
"""

import argparse
import heapq
import json
import random
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, erfc, exp, inf, log, pi, sqrt

from notifier.budget import TokenBucket
from notifier.ids import GenerationId, Lane, ProviderName
from notifier.model import Observation, OpenGeneration, State
from notifier.polling.cadence import EDGES, Curve
from notifier.polling.plan import plan
from notifier.polling.roster import Roster
from notifier.polling.watched import LookTimes, Watched, see
from notifier.settings import ProviderSettings, Secret

START = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
EPOCH = START.timestamp()
SETTINGS = ProviderSettings(name=ProviderName("p"), kind="aimlapi-luma", base_url="http://x", api_key=Secret("k"))
LANES = (Lane("studio"),)
MEDIAN = 100.0
WARM_UP = 200
_G = GenerationId("g")
RUNNING = Observation(id=_G, state=State.RUNNING, model="ray-2")
COMPLETED = Observation(id=_G, state=State.COMPLETED, model="ray-2")


def lognormal(rng: random.Random, sigma: float, median: float = MEDIAN) -> float:
    return median * exp(sigma * rng.gauss(0, 1))


# ---- virtual time -------------------------------------------------------------------------------------------------
class World:
    """A provider in virtual time, and the daemon's roster, plan and budget in front of it. Replies take no time."""

    def __init__(self, *, rate: float, batch: int, every: float) -> None:
        self.roster = Roster(every)
        self.bucket = TokenBucket(rate)
        self.batch = batch
        self.now = 1_000.0
        self.requests = 0
        #: ID -> when it is done.
        self.done_at: dict[GenerationId, float] = {}
        self.lags: list[float] = []
        #: IDs whose lags and looks count.
        self.of_interest: set[GenerationId] = set()
        self.looks = 0
        self.completed: Callable[[Watched], None] = lambda _: None

    @property
    def open_of_interest(self) -> bool:
        return bool(self.of_interest)

    def register(self, number: int, duration: float, *, counts: bool = True) -> None:
        moment = START + timedelta(seconds=self.now)
        id_ = GenerationId(f"g-{number}")
        self.done_at[id_] = self.now + duration
        if counts:
            self.of_interest.add(id_)
        self.roster.welcome(
            OpenGeneration(
                provider=SETTINGS.name,
                id=id_,
                state=None,
                registered_at=moment,
                deadline=moment + timedelta(days=30),
                target=State.COMPLETED,
                lanes=LANES,
            ),
            now=self.now,
        )

    def look(self) -> None:
        """Everything that may be asked now."""
        room = self.bucket.available(self.now)
        if not room:
            return
        roster, now = self.roster, self.now
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
            if multi and ask is planned.asks[-1] and len(looks) < self.batch:
                looks += roster.fill(now, self.batch - len(looks))
            self.bucket.take(now)
            self.requests += 1
            self.answer(looks)

    def answer(self, looks: Sequence[Watched]) -> None:
        now = self.now
        moment = START + timedelta(seconds=now)
        times = LookTimes(asked_at=moment, answered_at=moment, sent=now, got=now)
        for entry in looks:
            counts = entry.id in self.of_interest
            self.looks += counts
            done = self.done_at[entry.id] <= now
            seen = COMPLETED if done else RUNNING
            self.roster.learn(entry, seen, times)
            transition = see(entry, seen, times, SETTINGS)
            if done:
                at = self.done_at.pop(entry.id)
                if counts:
                    self.lags.append(now - at)
                    self.of_interest.discard(entry.id)
                self.roster.leave(entry)
                self.completed(entry)
            else:
                if transition is not None:
                    entry.state, entry.not_before = seen.state, transition.observed_at
                self.roster.look_again(entry, looked=now, now=now, alone=self.batch == 1, wall=EPOCH + now)

    def wait(self) -> float:
        """When something can be done next."""
        earliest = self.roster.earliest()
        return inf if earliest is None else max(self.now + 1e-4, earliest, self.now + self.bucket.wait(self.now))


# ---- one ID a request ---------------------------------------------------------------------------------------------
def fixed(durations: Sequence[float], interval: float) -> tuple[list[float], int]:
    """Lags and requests of a loop that looks every `interval` seconds from the registration on."""
    looks = [ceil(took / interval) for took in durations]
    return [n * interval - took for n, took in zip(looks, durations, strict=True)], sum(looks)


def learned(durations: Sequence[float], rate: float, rng: random.Random, sigma: float) -> tuple[list[float], int]:
    """Lags and requests for these generations, of the daemon's planner at this budget.

    One a second comes in, at random, and others like them go on coming until the last of these is done: so the budget
    is shared among as many at the end as in the middle.
    """
    world = World(rate=rate, batch=1, every=0.1)
    index, count, arrival = 0, len(durations), world.now
    while world.open_of_interest or index < count:
        world.now = min(arrival, world.wait())
        if arrival <= world.now:
            world.register(index, durations[index] if index < count else lognormal(rng, sigma), counts=index < count)
            index += 1
            arrival += rng.expovariate(1.0)
        world.look()
    return world.lags, world.looks


# ---- many IDs a request -------------------------------------------------------------------------------------------
def round_robin(open_: int, total: int, sigma: float, *, rate: float, batch: int, rng: random.Random) -> list[float]:
    """Lags of a sweep that goes round: the IDs looked at longest ago, always."""
    queue = deque((-rng.uniform(0, MEDIAN), lognormal(rng, sigma)) for _ in range(open_))
    now, lags = 0.0, []
    while len(lags) < total:
        now += 1 / rate
        for _ in range(batch):
            begun, took = queue.popleft()
            if now - begun >= took:
                lags.append(now - begun - took)
                queue.append((now, lognormal(rng, sigma)))
            else:
                queue.append((begun, took))
    return lags


def crowd(open_: int, total: int, sigma: float, *, rate: float, batch: int, rng: random.Random) -> World:
    """The daemon's planner with so many open all the time; each that is done is followed by a new one."""
    world = World(rate=rate, batch=batch, every=1.0)
    numbers = iter(range(10**9))
    for _ in range(open_):
        world.register(next(numbers), lognormal(rng, sigma) * rng.random())
    world.completed = lambda _: world.register(next(numbers), lognormal(rng, sigma))
    while len(world.lags) < total:
        world.now += 1 / rate
        world.look()
    return world
