"""How late the poller knows, at how many requests: in virtual time, with the planner that the daemon runs.

    python benchmarks/polling.py [--quick] [PART ...]

Parts: `single` (one ID a request, against a fixed interval), `multi` (100 IDs a request, against a round-robin of batch
polls), `young` (an ample budget, and nothing learned), `regime` (durations change), `storm` (429s, an outage), `cost`
(microseconds and bytes), `long_polls` (real time: the daemon as a process against an emulated API with long-polls).
Without a PART all of them. Each prints what it ran, against what, and the ratio. All but `cost` and `long_polls` print
the same numbers on every machine.
"""

import argparse
import asyncio
import gc
import heapq
import logging
import multiprocessing
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil, erfc, exp, inf, log, pi, sqrt
from pathlib import Path
from typing import Any

import httpx
import structlog
from _stations import KEY, Daemon
from aiohttp import web

from notifier.domain.errors import ProviderBusy
from notifier.domain.ids import Destination, GenerationId, ProviderName
from notifier.domain.model import Observation, OpenGeneration, State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.polling.batching.batch_plan import plan
from notifier.polling.provider_state import ProviderState
from notifier.polling.scheduling.open_generation import PollTimes, TrackedGeneration, see
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.providers.base import Capabilities
from notifier.runtime.health import Health
from notifier.runtime.rate_limiter import TokenBucket

START = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
EPOCH = START.timestamp()
SETTINGS = ProviderSettings(name=ProviderName("p"), kind="aimlapi-luma", base_url="http://x", api_key=Secret("k"))
DESTINATIONS = (Destination("studio"),)
MEDIAN = 100.0
WARM_UP = 200
_G = GenerationId("g")
RUNNING = Observation(id=_G, state=State.RUNNING, model="ray-2")
COMPLETED = Observation(id=_G, state=State.COMPLETED, model="ray-2")


def lognormal(rng: random.Random, sigma: float, median: float = MEDIAN) -> float:
    return median * exp(sigma * rng.gauss(0, 1))


# ---- virtual time -------------------------------------------------------------------------------------------------
class World:
    """A provider in virtual time, and the daemon in front of it: the open generations, plan and budget."""

    BEGIN = 1_000.0

    def __init__(self, *, rate: float, batch: int, every: float) -> None:
        self.generations = OpenGenerations(every)
        self.bucket = TokenBucket(rate)
        self.batch = batch
        self.now = self.BEGIN
        #: Polls made.
        self.taken = 0
        self.requests = 0
        #: ID -> when it is done.
        self.done_at: dict[GenerationId, float] = {}
        self.lags: list[float] = []
        #: IDs whose lags and polls count.
        self.of_interest: set[GenerationId] = set()
        self.polls = 0
        self.completed: Callable[[TrackedGeneration], None] = lambda _: None

    @property
    def open_of_interest(self) -> bool:
        return bool(self.of_interest)

    def register(self, number: int, duration: float, *, counts: bool = True) -> None:
        moment = START + timedelta(seconds=self.now)
        id_ = GenerationId(f"g-{number}")
        self.done_at[id_] = self.now + duration
        if counts:
            self.of_interest.add(id_)
        self.generations.add(
            OpenGeneration(
                provider=SETTINGS.name,
                id=id_,
                state=None,
                registered_at=moment,
                deadline=moment + timedelta(days=30),
                target=State.COMPLETED,
                destinations=DESTINATIONS,
            ),
            now=self.now,
        )

    def poll(self) -> None:
        """Everything that may be asked now."""
        room = self.bucket.available(self.now)
        if not room:
            return
        generations, now = self.generations, self.now
        generations.set_budget(
            self.bucket.rate * self.batch, now, idle=self.bucket.full(now), apart=1 / self.bucket.rate
        )
        taken = generations.queues.take(now, room * self.batch)
        if not taken:
            return
        multi = self.batch > 1
        planned = plan(taken, fit=len, batch_limit=self.batch, multi=multi, room=room, single_room=room)
        for entry in planned.rest:
            generations.poll_now(entry, now)
        for request in planned.requests:
            polls = list(request.entries)
            if multi and request is planned.requests[-1] and len(polls) < self.batch:
                polls += generations.fill_batch(now, self.batch - len(polls))
            self.bucket.take(now)
            self.requests += 1
            self.answer(polls)

    def answer(self, polls: Sequence[TrackedGeneration]) -> None:
        now = self.now
        moment = START + timedelta(seconds=now)
        times = PollTimes(asked_at=moment, answered_at=moment, sent=now, got=now)
        self.taken += len(polls)
        for entry in polls:
            counts = entry.id in self.of_interest
            self.polls += counts
            done = self.done_at[entry.id] <= now
            seen = COMPLETED if done else RUNNING
            self.generations.learn(entry, seen, times)
            transition = see(entry, seen, times, SETTINGS)
            if done:
                at = self.done_at.pop(entry.id)
                if counts:
                    self.lags.append(now - at)
                    self.of_interest.discard(entry.id)
                self.generations.remove(entry)
                self.completed(entry)
            else:
                if transition is not None:
                    entry.state, entry.not_before = seen.state, transition.observed_at
                self.generations.schedule_next(entry, polled=now, now=now, singly=self.batch == 1, wall=EPOCH + now)

    def wait(self) -> float:
        """When something can be done next."""
        earliest = self.generations.queues.earliest()
        return inf if earliest is None else max(self.now + 1e-4, earliest, self.now + self.bucket.wait(self.now))


# ---- one ID a request ---------------------------------------------------------------------------------------------
def fixed(durations: Sequence[float], interval: float) -> tuple[list[float], int]:
    """Lags and requests of a loop that polls every `interval` seconds from the registration on."""
    polls = [ceil(took / interval) for took in durations]
    return [n * interval - took for n, took in zip(polls, durations, strict=True)], sum(polls)


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
        world.poll()
    return world.lags, world.polls


class Known:
    """The schedule with the square root of the hazard, where the true distribution is known: what can be reached."""

    def __init__(self, sigma: float) -> None:
        self._ages = [0.0] + [exp(0.01 * step) for step in range(1_200)]
        efforts = [
            sqrt(_hazard((a + b) / 2, sigma)) * (b - a) for a, b in zip(self._ages, self._ages[1:], strict=False)
        ]
        self._efforts = [0.0]
        for sum_ in efforts:
            self._efforts.append(self._efforts[-1] + sum_)

    def lags(self, durations: Sequence[float], spacing: float) -> tuple[list[float], int]:
        polls = self._polls(spacing)
        found = [_first_after(polls, took) for took in durations]
        return [polls[n] - took for n, took in zip(found, durations, strict=True)], sum(n + 1 for n in found)

    def at(self, durations: Sequence[float], requests: int) -> list[float]:
        """Lags at this number of requests, by bisection of the spacing."""
        low, high = 1e-3, 1e3
        for _ in range(40):
            middle = sqrt(low * high)
            low, high = (middle, high) if self.lags(durations, middle)[1] > requests else (low, middle)
        return self.lags(durations, high)[0]

    def _polls(self, spacing: float) -> list[float]:
        polls, step = [], 0
        sum_ = spacing
        while sum_ < self._efforts[-1]:
            while self._efforts[step + 1] < sum_:
                step += 1
            part = (sum_ - self._efforts[step]) / (self._efforts[step + 1] - self._efforts[step])
            polls.append(self._ages[step] + part * (self._ages[step + 1] - self._ages[step]))
            sum_ += spacing
        return [*polls, self._ages[-1]]


def _hazard(age: float, sigma: float) -> float:
    z = log(age / MEDIAN) / sigma
    left = erfc(z / sqrt(2)) / 2
    return exp(-z * z / 2) / (sigma * age * sqrt(2 * pi)) / left if left > 1e-12 else z / (sigma * age)


def _first_after(polls: Sequence[float], age: float) -> int:
    low, high = 0, len(polls) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if polls[middle] < age else (low, middle)
    return low


def one_single(case: tuple[float, float, int, int]) -> tuple[float, float, float, float]:
    """Mean lags of the fixed interval, the planner and the limit, and requests of the planner over the fixed one's."""
    sigma, interval, seed, count = case
    rng = random.Random(seed)
    durations = [lognormal(rng, sigma) for _ in range(count)]
    theirs, requests = fixed(durations, interval)
    # 4 % less than they use: what is learned later must not be paid for by more requests.
    ours, used = learned(durations, 0.96 * requests / count, rng, sigma)
    best = Known(sigma).at(durations, requests)
    return statistics.mean(theirs), statistics.mean(ours[WARM_UP:]), statistics.mean(best), used / requests


def single(*, quick: bool) -> None:
    seeds, count = (2, 3_000) if quick else (5, 20_000)
    wanted = {0.25: 1.85, 0.5: 1.22, 0.8: 0.97}
    title(
        "One ID a request",
        f"{count:,} generations one a second, median {MEDIAN:.0f} s, mean of {seeds} seeds; lag in s",
    )
    row("sigma", "interval", "fixed", "planner", "times lower", "wanted", "limit", "requests")
    cases = [(s, t, seed, count) for s in wanted for t in (2.0, 5.0, 10.0, 20.0) for seed in range(1, seeds + 1)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(one_single, cases, chunksize=1)
    for begin in range(0, len(cases), seeds):
        sigma, interval, _, _ = cases[begin]
        theirs, ours, best, used = (
            statistics.mean(column) for column in zip(*results[begin : begin + seeds], strict=True)
        )
        row(
            sigma,
            f"{interval:.0f} s",
            f"{theirs:.2f}",
            f"{ours:.2f}",
            f"{theirs / ours:.2f}",
            f"{wanted[sigma]:.2f}",
            f"{theirs / best:.2f}",
            f"{used:.3f}",
        )


# ---- many IDs a request -------------------------------------------------------------------------------------------
def round_robin(open_: int, total: int, sigma: float, *, rate: float, batch: int, rng: random.Random) -> list[float]:
    """Lags of batch polls that go round: always the IDs polled longest ago."""
    queue = deque((-rng.uniform(0, MEDIAN), lognormal(rng, sigma)) for _ in range(open_))
    now = 0.0
    lags: list[float] = []
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
        world.poll()
    return world


def one_multi(case: tuple[float, int, int]) -> tuple[float, float, float]:
    sigma, seed, total = case
    warm = total // 3
    robin = round_robin(10_000, total, sigma, rate=5, batch=100, rng=random.Random(seed))[warm:]
    world = crowd(10_000, total, sigma, rate=5, batch=100, rng=random.Random(seed))
    used = world.requests / (world.now - World.BEGIN) / 5
    return statistics.median(robin), statistics.median(world.lags[warm:]), used


def multi(*, quick: bool) -> None:
    seeds, total = (1, 45_000) if quick else (3, 90_000)
    title(
        "100 IDs a request", f"10,000 open, 5 requests/s, {total:,} completions of which two thirds count; p50 lag in s"
    )
    row("sigma", "round robin", "planner", "ratio", "wanted", "requests")
    wanted = {0.25: "0.48", 0.5: "0.78", 0.8: ""}
    cases = [(sigma, seed, total) for sigma in wanted for seed in range(1, seeds + 1)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(one_multi, cases, chunksize=1)
    for begin in range(0, len(cases), seeds):
        sigma = cases[begin][0]
        robin, ours, used = (statistics.mean(column) for column in zip(*results[begin : begin + seeds], strict=True))
        row(sigma, f"{robin:.2f}", f"{ours:.2f}", f"{ours / robin:.3f}", wanted[sigma], f"{used:.3f}")


# ---- nothing learned ----------------------------------------------------------------------------------------------
def at_once(durations: Sequence[float], *, waves: int) -> World:
    """All of these registered together, so many times 20 s apart, at 500 IDs a second."""
    world = World(rate=5, batch=100, every=1.0)
    arrivals = [(world.now + 20.0 * wave, took) for wave in range(waves) for took in durations]
    index = 0
    while index < len(arrivals) or world.open_of_interest:
        while index < len(arrivals) and arrivals[index][0] <= world.now:
            world.register(index, arrivals[index][1])
            index += 1
        world.poll()
        world.now = min(world.wait(), arrivals[index][0] if index < len(arrivals) else inf)
    return world


def young(*, quick: bool) -> None:
    del quick
    title(
        "Nothing learned", "registered together, 5 requests/s of 100 IDs, `poll_every: 1s`; a poll a second: 0.5, 0.9"
    )
    row("IDs", "take, s", "waves", "p50 in s", "p90 in s", "wanted p90", "requests")
    cases = [(300, ((1, 8),), 1), (300, ((1, 8),), 3), (450, ((1, 8),), 1), (300, ((1, 2), (20, 40)), 1)]
    for open_, spans, waves in cases:
        rng = random.Random(1)
        world = at_once([rng.uniform(*spans[number % len(spans)]) for number in range(open_)], waves=waves)
        lags = sorted(world.lags)
        p50, p90 = (f"{lags[int(part * len(lags))]:.2f}" for part in (0.5, 0.9))
        row(open_, ", ".join(f"{a} to {b}" for a, b in spans), waves, p50, p90, "1.30", world.requests)


# ---- another regime -----------------------------------------------------------------------------------------------
def one_regime(case: tuple[float, float, float, int]) -> list[float]:
    """Lags in the order of completion of what comes in after the change."""
    sigma, before, after, seed = case
    rng = random.Random(seed)
    world = World(rate=10, batch=1, every=0.1)
    arrival, index, old, new = world.now, 0, 1_500, 1_500
    while index < old + new or world.open_of_interest:
        world.now = min(arrival, world.wait())
        if arrival <= world.now:
            world.register(
                index, lognormal(rng, sigma, before if index < old else after), counts=old <= index < old + new
            )
            index += 1
            arrival += rng.expovariate(1.0)
        world.poll()
    return world.lags


def regime(*, quick: bool) -> None:
    seeds = 8 if quick else 24
    title("A change of regime", f"one ID a request, 10 requests/s, one generation a second; mean of {seeds} seeds")
    print("Mean lag of each 25 completions after the change, over that of the 700 to 1,200th (1 is recovered):")
    row("median", "sigma", *[f"..{n}" for n in range(25, 201, 25)])
    cases = [(s, a, b, n) for a, b in ((100.0, 40.0), (40.0, 100.0)) for s in (0.25, 0.5) for n in range(1, seeds + 1)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(one_regime, cases, chunksize=1)
    for begin in range(0, len(cases), seeds):
        sigma, before, after, _ = cases[begin]
        some = results[begin : begin + seeds]
        steady = statistics.mean(statistics.mean(lags[700:1_200]) for lags in some)
        parts = [
            statistics.mean(statistics.mean(lags[n : n + 25]) for lags in some) / steady for n in range(0, 200, 25)
        ]
        row(f"{before:.0f}>{after:.0f} s", sigma, *[f"{part:.2f}" for part in parts])


# ---- storms -------------------------------------------------------------------------------------------------------
class HandClock:
    """Virtual time."""

    def __init__(self) -> None:
        self.seconds = World.BEGIN

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Storm(World):
    """The same with the provider's state in front; requests take 0.2 s, or time out after 10 in an outage."""

    def __init__(self, *, rate: float, in_flight: int, batch: int) -> None:
        super().__init__(rate=rate, batch=batch, every=1.0)
        settings = ProviderSettings(
            name=SETTINGS.name,
            kind=SETTINGS.kind,
            base_url=SETTINGS.base_url,
            api_key=SETTINGS.api_key,
            rate=rate,
            in_flight=in_flight,
            max_ids=batch,
        )
        self.clock = HandClock()
        rng = random.Random(1)
        self.provider = ProviderState(
            settings,
            capabilities=Capabilities(batch=batch if batch > 1 else None),
            clock=self.clock,
            random=rng.random,
            health=Health(),
        )
        self.sent: list[float] = []
        #: (when it ends, number, sent at, IDs, the error or None)
        self.under_way: list[tuple[float, int, float, Sequence[TrackedGeneration], str | None]] = []
        self.weather: Callable[[float], str | None] = lambda _: None
        self.accepted: deque[float] = deque()

    def step(self) -> None:
        """Send what may be sent, then let time pass until something can happen."""
        self.clock.seconds = self.now
        self._end()
        self._send()
        ends = self.under_way[0][0] if self.under_way else inf
        earliest = self.generations.queues.earliest()
        due = inf if earliest is None else max(earliest, self.now + self.provider.wait(self.now))
        self.now = min(max(self.now + 0.01, min(ends, due)), self.now + 0.25)

    def until(self, moment: float) -> None:
        while self.now < moment:
            self.step()

    def _send(self) -> None:
        provider, now = self.provider, self.now
        self.generations.set_budget(
            provider.capacity(now), now, idle=provider.budget.idle(now), apart=provider.budget.interval
        )
        room = provider.room(now)
        if room <= 0 or not (taken := self.generations.queues.take(now, room * provider.batch_route.limit)):
            return
        planned = plan(taken, fit=len, batch_limit=provider.batch_route.limit, multi=True, room=room, single_room=room)
        for entry in planned.rest:
            self.generations.poll_now(entry, now)
        for request in planned.requests:
            provider.budget.begin(now, irregular=False)
            self.sent.append(now)
            self.requests += 1
            error = self.weather(now)
            heapq.heappush(
                self.under_way,
                (now + (10.0 if error == "timeout" else 0.2), self.requests, now, list(request.entries), error),
            )

    def _end(self) -> None:
        while self.under_way and self.under_way[0][0] <= self.now:
            _, _, sent, polls, error = heapq.heappop(self.under_way)
            self.provider.budget.end(took=self.now - sent)
            if error is None:
                self.provider.answered(sent_at=sent, asked=len(polls), held=len(polls), batch=True)
                self.answer(polls)
                continue
            hint = 2.0 if error == "429" else None
            self.provider.failed(ProviderBusy(error, retry_after=hint, overloaded=True), sent_at=sent)
            for entry in polls:
                self.generations.poll_now(entry, self.now)


def busiest_second(sent: Sequence[float]) -> int:
    """The most requests in any second, wherever it begins."""
    most, begin = 0, 0
    for end, at in enumerate(sent):
        while sent[begin] <= at - 1.0 + 1e-9:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def storm(*, quick: bool) -> None:
    del quick
    rate, open_ = 5, 1_000
    title("Storms", f"{open_:,} open, {rate} requests/s of 100 IDs, 9 at a time, in virtual time")
    row("weather", "requests", "busiest second", "budget", "p99 after, s", "all seen after")
    for name, lasts in (("fair", 0.0), ("429 above 1/s", 300.0), ("10 min outage", 600.0)):
        world = Storm(rate=rate, in_flight=9, batch=100)
        rng = random.Random(1)
        numbers = iter(range(10**9))

        def follow(
            _: TrackedGeneration, world: Storm = world, rng: random.Random = rng, numbers: Iterator[int] = numbers
        ) -> None:
            world.register(next(numbers), lognormal(rng, 0.5))

        for _ in range(open_):
            world.register(next(numbers), lognormal(rng, 0.5) * rng.random())
        world.completed = follow
        begin = World.BEGIN + 300.0
        end = begin + lasts
        world.weather = _weather(name, world.accepted, begin, end)
        world.until(end)
        waiting = {entry.id for entry in world.generations}
        before = len(world.lags)
        while waiting and world.now < end + 600.0:
            world.step()
            waiting = {id_ for id_ in waiting if _unseen(world, id_, end)}
        seen_after = world.now - end
        world.until(end + 300.0)
        lags = sorted(world.lags[before:])
        p99 = lags[int(0.99 * len(lags))]
        row(name, world.requests, busiest_second(world.sent), rate, f"{p99:.1f}", f"{seen_after:.1f} s")


def _unseen(world: World, id_: GenerationId, since: float) -> bool:
    entry = world.generations.get(id_)
    return entry is not None and (entry.polled_at is None or entry.polled_at < since)


def _weather(name: str, accepted: deque[float], begin: float, end: float) -> Callable[[float], str | None]:
    def outage(now: float) -> str | None:
        return "timeout" if begin <= now < end else None

    def limited(now: float) -> str | None:
        if not begin <= now < end:
            return None
        while accepted and accepted[0] <= now - 1.0:
            accepted.popleft()
        if accepted:
            return "429"
        accepted.append(now)
        return None

    return outage if name.endswith("outage") else limited if name.startswith("429") else lambda _: None


# ---- what it costs ------------------------------------------------------------------------------------------------
def cost(*, quick: bool) -> None:
    open_ = 200_000 if quick else 1_000_000
    title("Cost", f"{open_:,} open, polled 100 IDs a request: taking, planning, learning, the next poll")
    world = World(rate=1_000, batch=100, every=1.0)
    rng = random.Random(1)
    tracemalloc.start()
    for number in range(open_):
        age = rng.random() * 200
        begun = START - timedelta(seconds=age)
        world.generations.load(
            OpenGeneration(
                provider=SETTINGS.name,
                id=GenerationId(f"{number:08x}-d99b-4880-992b-f05244ddba61"),
                state=None,
                registered_at=begun,
                deadline=begun + timedelta(hours=24),
                target=State.COMPLETED,
                destinations=(Destination("studio"),),
            ),
            now=world.now,
            age=age,
        )
    each = tracemalloc.get_traced_memory()[0] / open_
    tracemalloc.stop()
    gc.freeze()
    world.done_at = _Never()  # type: ignore[assignment]  # as a mapping it is enough
    polls, used = [], []
    for _ in range(3):
        begin, before = time.process_time(), world.taken
        for _ in range(open_ // 10_000):
            world.now += 1.0
            world.poll()
        used.append(time.process_time() - begin)
        polls.append(world.taken - before)
    micros = min(1e6 * seconds / count for seconds, count in zip(used, polls, strict=True))
    row("", "measured", "wanted at most")
    row("microseconds a poll", f"{micros:.2f}", "6")
    row("bytes an open generation", f"{each:.0f}", "400")


class _Never:
    """Nothing is ever done."""

    def __getitem__(self, _: GenerationId) -> float:
        return inf


# ---- long-polls, in real time -------------------------------------------------------------------------------------
@contextmanager
def emulator(*options: str) -> Any:
    """An emulated API as a process; yields its address."""
    command = [sys.executable, "-m", "notifier", "emulate", "--port", "0", "--api-key", KEY, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield found[0]
                    break
        finally:
            process.terminate()


async def _long_poll_lags(upstream: str, count: int, at_once: int, **provider: Any) -> list[float]:
    """Seconds from the moment a generation was there until its callback arrived, with so many open all the time."""
    ends: dict[str, float] = {}
    lags: list[float] = []
    came = asyncio.Event()

    async def hook(request: web.Request) -> web.Response:
        id_ = (await request.json())["data"]["generation_id"]
        if id_ in ends:
            lags.append(time.monotonic() - ends.pop(id_))
            came.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as directory:
        daemon = await asyncio.to_thread(
            Daemon, Path(directory), upstream=upstream, receiver=f"http://{host}:{port}", provider=provider
        )
        try:
            async with httpx.AsyncClient(base_url=upstream) as client:
                made = 0
                while len(lags) < count:
                    came.clear()
                    while made < count and len(ends) < at_once:
                        takes = rng.uniform(3, 35)
                        answer = await client.post("/_emulator/generations", json=[{"complete_at": takes}])
                        (id_,) = answer.json()["ids"]
                        ends[id_] = time.monotonic() + takes
                        daemon.put(f"w{made}", [id_])
                        made += 1
                    await came.wait()
        finally:
            await asyncio.to_thread(daemon.stop)
            await runner.cleanup()
    return lags


def long_polls(*, quick: bool) -> None:
    count = 24 if quick else 80
    title(
        "Long-polls",
        f"{count} generations of 3 to 35 s, 8 open at a time, `in_flight: 9`, defaults otherwise; real time",
    )
    print("From the moment it is there to the arrival of the callback, the delivery included; loopback.")
    row("", "p50 in ms", "p99 in ms", "wanted")
    for name, options in (("long-polls", {"in_flight": 9}), ("long_poll: off", {"in_flight": 9, "long_poll": "off"})):
        with emulator() as upstream:
            lags = sorted(asyncio.run(_long_poll_lags(upstream, count, 8, **options)))
        p99 = lags[min(len(lags) - 1, int(0.99 * len(lags)))]
        row(name, f"{1e3 * statistics.median(lags):.0f}", f"{1e3 * p99:.0f}", "50, 250" if name == "long-polls" else "")


# ---- the table ----------------------------------------------------------------------------------------------------
def title(name: str, what: str) -> None:
    print(f"\n## {name}\n{what}\n")


def row(*cells: object) -> None:
    print("  ".join(f"{cell!s:>14}" for cell in cells), flush=True)


PARTS: dict[str, Callable[..., None]] = {
    "single": single,
    "multi": multi,
    "young": young,
    "regime": regime,
    "storm": storm,
    "cost": cost,
    "long_polls": long_polls,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer generations and seeds")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"Python {sys.version.split()[0]}; the planner, the curves and the budget are those of the daemon.")
    for name, part in PARTS.items():
        if not asked.parts or name in asked.parts:
            part(quick=asked.quick)


if __name__ == "__main__":
    main()
