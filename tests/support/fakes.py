"""What the flow tests of our own loops stand on: a clock moved by hand, doubles of the wire, ports that can fail.

The store is always a real one on disk. Nothing sleeps: a test waits for an event, or for `quiet`, when nothing moves
any more because every task waits and the store's writer has done what it was asked.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import anyio
import httpx
import structlog
from anyio.lowlevel import checkpoint

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import (
    DeliveryStatus,
    EndpointDirectory,
    Kind,
    Observation,
    Registration,
    Result,
    State,
    Transition,
    Verdict,
    WatchRequest,
)
from notifier.domain.settings import EndpointSettings, ProviderSettings, Secret
from notifier.intake.registrar import Registrar
from notifier.net.urls import origin
from notifier.polling.provider_loop import Dependencies, ProviderLoop
from notifier.providers.client import ProviderClient
from notifier.providers.kinds.aimlapi_luma import AimlapiLuma
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.records import DeliverySummary, History, WatchSummary
from notifier.store.sqlite.store import SqliteStore

START = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
LUMA = ProviderName("luma")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DIRECTORY = EndpointDirectory(events={"studio": None, "audit": None}, callbacks=True)
MINUTE = 60.0


def some(count: int, prefix: str = "g") -> list[str]:
    """So many names of generations, from 1."""
    return [f"{prefix}-{number}" for number in range(1, count + 1)]


class HandClock:
    """Time passes only when a test says so. Both of its times move together, until a test sets the wall clock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        #: Seconds that the wall clock was set forward in all.
        self.ahead = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds + self.ahead)

    def elapsed(self) -> float:
        return 500.0 + self.seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back where it is below zero."""
        self.ahead += seconds

    def monotonic(self) -> float:
        return 1_000.0 + self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


# ---- waiting ------------------------------------------------------------------------------------------------------
#: What reads long replies in a thread: while it does something moves.
READERS: Final = anyio.CapacityLimiter(1)


async def blocked() -> None:
    """Until every other task waits for something from outside it."""
    this = asyncio.current_task()
    while READERS.borrowed_tokens or any(task is not this and _can_move(task) for task in asyncio.all_tasks()):
        await checkpoint()


def _can_move(task: "asyncio.Task[Any]") -> bool:
    waiter = getattr(task, "_fut_waiter", None)
    return waiter is None or waiter.done()


async def quiet(store: SqliteStore) -> None:
    """Until nothing moves any more. A chain of writes, one after the other, may be four long."""
    for _ in range(4):
        await blocked()
        with contextlib.suppress(StoreUnavailable):  # it shared the commit of a write that failed: tried all the same
            await store.writer.run(lambda _: None)
    await blocked()


def changes(store: SqliteStore) -> Callable[[], Any]:
    """Asks how many rows this store's writer changed since it was opened."""
    return lambda: store.writer.run(lambda conn: conn.total_changes)


# ---- a port that can fail -----------------------------------------------------------------------------------------
class Tripped:
    """A store in front of the real one: while `down`, no call gets through."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.down = False
        #: Calls that were refused, by name.
        self.refused: Counter[str] = Counter()
        #: Called once after the named call is durable, before its caller knows.
        self.after: dict[str, Callable[[], object]] = {}
        #: Called in place of the named call.
        self.instead: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        real = self.instead.get(name) or getattr(self._store, name)
        if name == "open_generations":
            return self._generations
        if name == "due_times":
            return self

        async def call(*args: Any, **more: Any) -> Any:
            self._pass(name)
            answer = await real(*args, **more)
            if name in self.after:
                self.after.pop(name)()
            return answer

        return call

    def _pass(self, name: str) -> None:
        if self.down:
            self.refused[name] += 1
            raise StoreUnavailable("store: the disk is full")

    async def _generations(self, provider: ProviderName) -> AsyncIterator[Any]:
        self._pass("open_generations")
        async for chunk in self._store.open_generations(provider):
            yield chunk


# ---- the provider's side of the wire ------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as the provider saw it."""

    ids: tuple[str, ...]
    multi: bool
    #: By the test's clock.
    at: float
    #: The state it waits for, in the provider's word; None where it does not wait.
    wait: str | None = None


def record(id_: str, state: str, **more: Any) -> dict[str, Any]:
    assets = {"video": f"https://cdn.example.com/{id_}.mp4"} if state == "completed" else None
    return {"id": id_, "state": state, "assets": assets, **more}


def error(status: int, message: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"statusCode": status, "message": message}, headers=headers)


class Upstream:
    """A provider on `httpx.MockTransport`. `states` is what it knows; `script` answers first, a reply a request."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        #: ID -> the provider's word.
        self.states: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.script: deque[httpx.Response | Exception] = deque()
        #: Judges every request before `states` does; None lets it pass.
        self.judge: Callable[[Asked], httpx.Response | None] = lambda _: None
        #: When a request with a wait parameter is answered: `any`, `all`, or at once (None).
        self.long_polls: str | None = None
        #: Answers in place of the states where a request has waited for so many seconds.
        self.cut: tuple[float, httpx.Response] | None = None
        #: Requests about any of these are given up after half a minute.
        self.hangs: set[str] = set()
        #: Whether all requests by the batch route are.
        self.multi_hangs = False
        #: Connections that are lost before anything is answered: so many requests are made again.
        self.lost = 0
        #: While set and not rung, requests hang.
        self.gate: anyio.Event | None = None
        self.under_way = 0
        self.most = 0
        self._moved = anyio.Event()
        self._changed = anyio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        multi = request.url.path.endswith("generations")
        ids = tuple(query.get_list("generation_ids[]") if multi else [query["generation_id"]])
        asked = Asked(ids=ids, multi=multi, at=self._clock.monotonic(), wait=query.get("state"))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.asked.append(asked)
        self._moved.set()
        self._moved = anyio.Event()
        try:
            if self.lost:
                self.lost -= 1
                await request.extensions["before_repeat"]()
                self.asked.append(replace(asked, at=self._clock.monotonic()))
            await checkpoint()  # so that requests of one moment are under way together
            if self.gate is not None:
                await self.gate.wait()
            while not self.hangs.isdisjoint(ids) or (multi and self.multi_hangs):
                if self._clock.monotonic() - asked.at >= 30:
                    raise httpx.ReadTimeout("too late")
                await self._changed.wait()
            if asked.wait and self.long_polls and (cut := await self._hold(asked)):
                return cut
            return self._answer(asked)
        finally:
            self.under_way -= 1

    async def _hold(self, asked: Asked) -> httpx.Response | None:
        """Keep it as the API says it does: until the state is there, for 30 seconds at most."""
        until = any if self.long_polls == "any" else all
        while not until(self._reached(id_, asked.wait) for id_ in asked.ids):
            waited = self._clock.monotonic() - asked.at
            if self.cut and waited >= self.cut[0]:
                return self.cut[1]
            if waited >= 30:
                break
            await self._changed.wait()
        return None

    def _reached(self, id_: str, word: str | None) -> bool:
        """An ID that nobody knows is not waited for."""
        order = ["queued", "dreaming", "completed", "failed"]
        return id_ not in self.states or order.index(self.states[id_]) >= order.index(word or "queued")

    def notify(self) -> None:
        """Requests that wait look again."""
        self._changed.set()
        self._changed = anyio.Event()

    def move(self, id_: str, word: str) -> None:
        """A generation gets there now."""
        self.states[id_] = word
        self.notify()

    def _answer(self, asked: Asked) -> httpx.Response:
        if self.script:
            scripted = self.script.popleft()
            if isinstance(scripted, Exception):
                raise scripted
            return scripted
        if (judged := self.judge(asked)) is not None:
            return judged
        found = [record(id_, self.states[id_]) for id_ in asked.ids if id_ in self.states]
        if asked.multi:
            return httpx.Response(200, json=found)
        return httpx.Response(200, json=found[0]) if found else error(404, "Generation not found")

    async def until(self, count: int) -> None:
        """Until there were so many requests."""
        while len(self.asked) < count:
            await self._moved.wait()

    def since(self, count: int) -> list[list[str]]:
        """IDs of the requests after the first `count`."""
        return [sorted(asked.ids) for asked in self.asked[count:]]


def refuse_batches_with(bad: Iterable[str], status: int = 404) -> Callable[[Asked], httpx.Response | None]:
    """Any multi request that holds a bad ID is refused whole."""
    known = set(bad)
    return lambda asked: error(status, "not found") if asked.multi and not known.isdisjoint(asked.ids) else None


# ---- the provider loop's stage ----------------------------------------------------------------------------------
def luma(name: str = "luma", **more: Any) -> ProviderSettings:
    fields: dict[str, Any] = {
        "base_url": f"https://{name}.example.com",
        "api_key": Secret("sk-0123456789abcdef"),
        "rate": 50.0,
        "long_poll": "off",
    } | more
    return ProviderSettings(name=ProviderName(name), kind="aimlapi-luma", **fields)


def request(generation: str = "g-1", *, endpoint: str = "studio", provider: str = "luma", **more: Any) -> WatchRequest:
    destination = origin(endpoint) if "://" in endpoint else endpoint
    fields: dict[str, Any] = {"target": State.COMPLETED, "timeout": timedelta(hours=24)} | more
    return WatchRequest(
        provider=ProviderName(provider),
        generation=GenerationId(generation),
        endpoint=EndpointIdentity(endpoint),
        destination=Destination(destination),
        **fields,
    )


@dataclass(slots=True, kw_only=True)
class Watching:
    """One provider loop at work, and all that a test moves or reads."""

    store: SqliteStore
    clock: HandClock
    upstream: Upstream
    loop: ProviderLoop
    registrar: Registrar
    health: Health
    deliveries: Wakeup
    #: Open it to see the store fail.
    port: Tripped

    async def watch(self, *requests: WatchRequest) -> list[Registration]:
        """Register, and wait until all that follows has happened."""
        answers = await self.registrar.register(requests, source="a test")
        await quiet(self.store)
        return answers

    async def tick(self, seconds: float = 0.0) -> None:
        """Let so much time pass, allow polls, and wait until all that follows has happened."""
        self.clock.advance(seconds)
        self.upstream.notify()
        self.loop.tick()
        await quiet(self.store)

    async def ticks(self, seconds: float, step: float = 0.25) -> None:
        """As the timer does it, for so long."""
        for _ in range(round(seconds / step)):
            await self.tick(step)

    async def history(self, generation: str = "g-1") -> History:
        (found,) = await self.store.histories(GenerationId(generation))
        return found

    async def watches(self, generation: str = "g-1") -> Sequence[WatchSummary]:
        return (await self.history(generation)).watches

    async def enqueued(self, generation: str = "g-1") -> list[DeliverySummary]:
        return [line for watch in await self.watches(generation) for line in watch.deliveries]

    async def rung(self) -> bool:
        """Whether the dispatcher's wakeup was rung since this was last asked."""
        return await self.deliveries.wait(0)


@asynccontextmanager
async def watching(store: SqliteStore, **settings: Any) -> AsyncIterator[Watching]:
    """A provider loop that runs; nothing is polled before the first tick."""
    clock, health, deliveries, port = HandClock(), Health(), Wakeup(), Tripped(store)
    upstream = Upstream(clock)
    async with ProviderClient(httpx.MockTransport(upstream), clock=clock) as client:
        loop = ProviderLoop(
            luma(**settings),
            AimlapiLuma(),
            around(port, client, clock=clock, health=health, deliveries=deliveries),
        )
        registrar = Registrar(store, clock=clock, add_open=loop.add, deliveries=deliveries, health=health)
        async with anyio.create_task_group() as tasks:
            await tasks.start(loop.run)
            yield Watching(
                store=store,
                clock=clock,
                upstream=upstream,
                loop=loop,
                registrar=registrar,
                health=health,
                deliveries=deliveries,
                port=port,
            )
            tasks.cancel_scope.cancel()


def around(
    port: Any,
    client: ProviderClient,
    *,
    clock: HandClock,
    health: Health,
    deliveries: Wakeup,
) -> Dependencies:
    """What provider loops work with in tests: no chance, and everything configured."""
    return Dependencies(
        store=port,
        ask=client.ask,
        readers=READERS,
        clock=clock,
        random=lambda: 0.0,
        directory=lambda: DIRECTORY,
        deliveries=deliveries,
        health=health,
        heartbeat=Heartbeat("poller", clock, limit=25),
    )


def long_polls(asked: Sequence[Asked]) -> list[Asked]:
    """Those that the provider was asked to keep."""
    return [each for each in asked if each.wait]


async def begin(stage: Watching, ids: Sequence[str], *, long_polls: str | None = "any") -> None:
    """Watch them all while they run, at a provider that keeps such requests."""
    stage.upstream.long_polls = long_polls
    stage.upstream.states |= dict.fromkeys(ids, "dreaming")
    await stage.tick()
    await stage.watch(*map(request, ids))
    await stage.tick()


# ---- the receiver's side of the wire ------------------------------------------------------------------------------
@dataclass(slots=True, kw_only=True)
class Callbacks:
    """Receivers on `httpx.MockTransport`, by host."""

    clock: HandClock
    #: Host -> what it answers; a list answers one after the other, its last for ever.
    answers: dict[str, list[httpx.Response | Exception]] = field(default_factory=dict)
    #: Host -> while it is not set, requests to it hang.
    gates: dict[str, anyio.Event] = field(default_factory=dict)
    posts: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)
    most: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _moved: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.posts.append(request)
        self.times.append(self.clock.seconds)
        self.under_way[host] += 1
        self.most[host] = max(self.most[host], self.under_way[host])
        self._moved.set()
        self._moved = anyio.Event()
        try:
            if (gate := self.gates.get(host)) is not None:
                await gate.wait()
            return self._answer(host)
        finally:
            self.under_way[host] -= 1

    def _answer(self, host: str) -> httpx.Response:
        script = self.answers.get(host) or [httpx.Response(204)]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def until(self, count: int) -> None:
        """Until there were so many POSTs."""
        while len(self.posts) < count:
            await self._moved.wait()

    def to(self, host: str) -> int:
        return sum(post.url.host == host for post in self.posts)


def endpoint(name: str = "studio", **more: Any) -> EndpointSettings:
    fields: dict[str, Any] = {"url": f"https://{name}.example.com/hooks", "secrets": (Secret(SECRET),)} | more
    return EndpointSettings(identity=EndpointIdentity(name), destination=Destination(name), **fields)


async def enqueue(store: SqliteStore, *generations: str, at: datetime, endpoint: str = "studio") -> None:
    """One finished generation each, and so one delivery each, due at `at`."""
    await store.add_watches([request(name, endpoint=endpoint) for name in generations], now=at)
    sights = [
        Transition(
            provider=LUMA,
            observation=Observation(
                id=GenerationId(name), state=State.COMPLETED, provider_state="completed", result=Result()
            ),
            observed_at=at,
            not_before=None,
        )
        for name in generations
    ]
    await store.record_transitions(sights, now=at)


async def deliveries(store: SqliteStore, generation: str = "g-1") -> list[DeliverySummary]:
    (history,) = await store.histories(GenerationId(generation))
    return [line for watch in history.watches for line in watch.deliveries]


async def statuses(store: SqliteStore) -> dict[DeliveryStatus, int]:
    return {status: count for status, count in (await store.counts()).deliveries.items() if count}


def verdicts(line: DeliverySummary) -> list[Verdict | None]:
    return [attempt.verdict for attempt in line.attempts]


KINDS = {Kind.RESULT: "generation.completed", Kind.EXPIRED: "watch.expired", Kind.UNKNOWN: "generation.unknown"}


@asynccontextmanager
async def heard() -> AsyncIterator[list[Any]]:
    """Log events of this block, as structlog sees them."""
    with structlog.testing.capture_logs() as events:
        yield events
