"""A dispatcher seen by its receivers, whatever happens to it: bad answers, stops, kills and reloads, in any order.

The dispatcher, the sender and the store are the real ones; the wire is a script and the clock is moved by hand. What is
compared is what the receivers have seen, what they have answered, and what the store says in the end. A new kind of
answer is one more row of `ANSWERS`; what else may keep an endpoint's messages back belongs in `Scene.may_send`.
"""

import itertools
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import hypothesis
import hypothesis.strategies as st
import orjson
import pytest
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from notifier.delivery.dispatcher import Dispatcher
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.policies import Endpoints
from notifier.delivery.sender import Sender
from notifier.domain.ids import Destination, WorkerId
from notifier.domain.model import DeliveryStatus, Verdict
from notifier.domain.times import to_micros
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.records import Selection
from notifier.store.sqlite import open_store
from notifier.verify import verify
from tests.support.blank_store import lay
from tests.support.fakes import SECRET, HandClock, endpoint, enqueue, quiet
from tests.support.store_builders import apply

LONG = bool(os.environ.get("NOTIFIER_LONG"))
STEADY = hypothesis.settings(
    max_examples=2_000 if LONG else 30,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

SECOND: Final = timedelta(seconds=1)
RETRY: Final = (timedelta(0), 5 * SECOND, 60 * SECOND, 600 * SECOND)
NAMES: Final = ("studio", "audit")
OVER: Final = (DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED)
HINT: Final = 60


@dataclass(frozen=True, slots=True)
class Given:
    """One way to answer, and what must follow from it."""

    answer: httpx.Response | Exception
    #: The delivery is over.
    final: DeliveryStatus | None = None
    #: Seconds until the next attempt at least.
    hint: int = 0


ANSWERS: Final[Mapping[str, Given]] = {
    "ok": Given(httpx.Response(204), DeliveryStatus.DELIVERED),
    "error": Given(httpx.Response(500)),
    "moved": Given(httpx.Response(301, headers={"location": "https://other.example.com/"})),
    "busy": Given(httpx.Response(429, headers={"retry-after": str(HINT)}), hint=HINT),
    "gone": Given(httpx.Response(410), DeliveryStatus.EXHAUSTED),
    "refused": Given(httpx.ConnectError("refused")),
    "lost": Given(httpx.ReadError("lost")),
}


@dataclass(slots=True, kw_only=True)
class Post:
    """One callback as its receiver saw it."""

    message: str
    host: str
    body: bytes
    at: datetime
    #: None while the caller waits, and for ever where the caller went away.
    given: Given | None = None
    answered_at: datetime | None = None
    over: bool = False
    #: It was answered, and a kill may have come before the record.
    unsure: bool = False

    @property
    def least(self) -> timedelta:
        """How long the next callback waits at least; nothing where it may not be known how this one ended."""
        if self.given is None or self.unsure:
            return timedelta(0)
        return max(RETRY[1], timedelta(seconds=self.given.hint))


class Receivers:
    """The wire. Every host answers as it is told to, or lets callers wait until it is told."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.posts: list[Post] = []
        self.habits: dict[str, str] = dict.fromkeys(NAMES, "ok")
        self._told = anyio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host.partition(".")[0]
        now = self._clock.now()
        verify(request.content, request.headers, [SECRET], now=now.timestamp())
        post = Post(message=request.headers["webhook-id"], host=name, body=request.content, at=now)
        self.posts.append(post)
        try:
            while self.habits[name] == "hang":
                await self._told.wait()
            post.given = ANSWERS[self.habits[name]]
            post.answered_at = self._clock.now()
            if isinstance(post.given.answer, Exception):
                raise post.given.answer
            return httpx.Response(post.given.answer.status_code, headers=post.given.answer.headers)
        finally:
            post.over = True

    def answer(self, name: str, habit: str) -> None:
        self.habits[name] = habit
        self._told.set()
        self._told = anyio.Event()

    def waiting(self, name: str) -> int:
        return sum(post.host == name and not post.over for post in self.posts)


@dataclass(frozen=True, slots=True)
class Line:
    """What the store says of one message."""

    endpoint: str
    status: str
    #: Microseconds since 1970.
    due_at: int | None
    leased: bool
    #: (verdict, detail) of closed attempts.
    closed: list[tuple[str, str]]

    @property
    def made(self) -> int:
        """Attempts that may have reached the receiver."""
        return self.leased + sum("nothing was sent" not in detail for _, detail in self.closed)


_LINES: Final = """
SELECT message_id, endpoint, status, due_at, leased_until IS NOT NULL,
       (SELECT json_group_array(json_array(verdict, detail))
        FROM (SELECT verdict, detail FROM attempts WHERE delivery = key ORDER BY number))
FROM deliveries
"""


class Scene:
    """One store, and one dispatcher after the other on it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.clock = HandClock()
        self.receivers = Receivers(self.clock)
        #: Name -> concurrency; who is not here is not configured.
        self.configured: dict[str, int] = dict.fromkeys(NAMES, 3)
        self.generations: list[tuple[str, str]] = []
        self._wakeup = Wakeup()
        self._dispatching = anyio.CancelScope()
        self._runs = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """A run of the dispatcher. It ends without a last write, as one that is killed, unless `stop` comes before."""
        self._wakeup = Wakeup()
        wire = httpx.MockTransport(self.receivers)
        self._runs += 1
        async with open_store(self._path) as self.store, anyio.create_task_group() as tasks:
            endpoints, health = self._endpoints(), Health()
            self.dispatcher = Dispatcher(
                self.store,
                Sender(open_wire=wire, guarded_wire=wire),
                endpoints,
                monitor=EndpointMonitor(
                    self.store, endpoints, clock=self.clock, health=health, token=lambda: secrets.token_hex(26)
                ),
                owner=WorkerId(f"run-{self._runs}"),
                clock=self.clock,
                random=lambda: 0.0,
                wakeup=self._wakeup,
                health=health,
                heartbeat=Heartbeat("dispatcher", self.clock, limit=25),
            )
            await self._settle_parked()
            await tasks.start(self._dispatch)
            await self.turn()
            yield
            tasks.cancel_scope.cancel()

    async def _dispatch(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.CancelScope() as self._dispatching:
            await self.dispatcher.run(task_status=task_status)

    def _endpoints(self) -> Endpoints:
        made = [endpoint(name, concurrency=most, retry=RETRY) for name, most in self.configured.items()]
        return Endpoints({each.identity: each for each in made}, None)

    async def _settle_parked(self) -> None:
        await apply(self.store, self._endpoints().directory(), now=self.clock.now())

    async def turn(self) -> None:
        """Until nothing moves any more, however long a chain of claims and answers that is."""
        self._wakeup.notify()
        before = -1
        while (moved := sum(1 + post.over for post in self.receivers.posts)) != before:
            before = moved
            await quiet(self.store)
            await quiet(self.store)

    async def enqueue(self, name: str, count: int) -> None:
        made = [f"g-{len(self.generations) + number}" for number in range(count)]
        self.generations += [(generation, name) for generation in made]
        await enqueue(self.store, *made, at=self.clock.now(), endpoint=name)
        await self.turn()

    async def answer(self, name: str, habit: str) -> None:
        self.receivers.answer(name, habit)
        await self.turn()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.turn()

    async def end_lapsed(self) -> None:
        assert await self.dispatcher.end_lapsed() == 0, "a run ends its own attempts itself"
        await self.turn()

    async def reload(self, configured: Mapping[str, int]) -> None:
        self.configured = dict(configured)
        self.dispatcher.apply(self._endpoints())
        await self._settle_parked()
        await self.turn()

    async def recover(self, name: str) -> None:
        """A person puts an endpoint into use again, and asks for what was kept back meanwhile."""
        now = self.clock.now()
        await self.store.enable_endpoint(Destination(name), now=now)
        kept = Selection(destination=Destination(name), statuses=frozenset({DeliveryStatus.PARKED}))
        await self.store.redeliver_some(kept, mark=None, most=10_000, now=now)
        await self.turn()

    async def stop(self) -> None:
        """The first half of a stop, and the last write; what hangs is given up."""
        self.dispatcher.stop_claiming()
        await self.turn()
        self._dispatching.cancel()
        await quiet(self.store)
        await self.dispatcher.release()

    async def answer_and_forget(self, name: str, habit: str) -> None:
        """Answers are given, and nobody has the time to write down what they were: a kill follows."""
        self.receivers.answer(name, habit)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()

    async def lines(self) -> dict[str, "Line"]:
        """What the store says of each message."""
        rows = await self.store.writer.run(lambda conn: conn.execute(_LINES).fetchall())
        return {row[0]: Line(row[1], row[2], row[3], bool(row[4]), orjson.loads(row[5])) for row in rows}

    def may_send(self, name: str) -> bool:
        """Whether what is due for this endpoint must have gone out by now."""
        return self.receivers.waiting(name) < self.configured.get(name, 0) and not self._rests(name)

    def _rests(self, name: str) -> bool:
        """Whether it may be left alone because it asked for less."""
        since = self.clock.now() - timedelta(seconds=HINT)
        asked = (post for post in self.receivers.posts if post.host == name and post.given and post.given.hint)
        return any(post.answered_at is not None and post.answered_at > since for post in asked)


class DispatcherMachine(RuleBasedStateMachine):
    def __init__(self, portal: BlockingPortal, path: str) -> None:
        super().__init__()
        self.portal = portal
        self.scene = portal.call(_made, path)
        self.running = ExitStack()
        #: Messages that were recorded as over -> how many of their callbacks there were.
        self.over: dict[str, int] = {}
        self.bodies: dict[str, bytes] = {}
        #: Messages that were parked, and how many of their callbacks there were then: what is resumed is due at once.
        self.parked: set[tuple[str, int]] = set()
        self.start()

    def start(self) -> None:
        self.running.enter_context(self.portal.wrap_async_context_manager(self.scene.run()))

    def ask(self, call: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return self.portal.call(call, *args)

    def teardown(self) -> None:
        """Nothing is lost: with receivers that answer, and time, every message arrives or was given up by the rules."""
        try:
            self.ask(self.scene.reload, dict.fromkeys(NAMES, 3))
            for name in NAMES:
                self.ask(self.scene.answer, name, "ok")
                self.ask(self.scene.recover, name)
            for _ in range(len(RETRY) + 1):
                self.ask(self.scene.pass_time, 700.0)
            self.each_message_is_where_the_receivers_know_it_to_be()
            for message, line in self.ask(self.scene.lines).items():
                assert line.status in OVER, f"{message} is {line.status}"
        finally:
            self.running.close()

    # ---- rules ----
    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 4))
    def enqueue(self, name: str, count: int) -> None:
        self.ask(self.scene.enqueue, name, count)

    @rule(name=st.sampled_from(NAMES), habit=st.sampled_from([*ANSWERS, "hang", "hang"]))
    def receiver_changes(self, name: str, habit: str) -> None:
        self.ask(self.scene.answer, name, habit)

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, 5.0, 55.0, 60.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        self.ask(self.scene.pass_time, seconds)

    @rule(
        name=st.sampled_from(NAMES),
        habit=st.sampled_from([*ANSWERS, "hang", "hang"]),
        seconds=st.sampled_from([4.0, 5.0, 60.0]),
    )
    def a_message_meets(self, name: str, habit: str, seconds: float) -> None:
        """What happens most, in one step, so that there is always something under way."""
        self.receiver_changes(name, habit)
        self.enqueue(name, 1)
        self.time_passes(seconds)

    @rule()
    def upkeep(self) -> None:
        self.ask(self.scene.end_lapsed)

    @rule(configured=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 4), min_size=1))
    def reload(self, configured: dict[str, int]) -> None:
        self.ask(self.scene.reload, configured)

    @rule(name=st.sampled_from(NAMES))
    def a_person_recovers(self, name: str) -> None:
        """After a 410, which takes an endpoint out of use."""
        self.ask(self.scene.recover, name)

    @rule()
    def stop_and_start(self) -> None:
        self.ask(self.scene.stop)
        self.running.close()
        self.start()

    @rule(name=st.sampled_from(NAMES), habit=st.none() | st.sampled_from([*ANSWERS]))
    def kill_and_start(self, name: str, habit: str | None) -> None:
        """At rest, or between an answer and its record."""
        sure = [post for post in self.scene.receivers.posts if post.over]
        if habit is not None:
            self.ask(self.scene.answer_and_forget, name, habit)
        self.running.close()
        for post in self.scene.receivers.posts:  # one may have begun, and been answered, in the run's last moment
            post.unsure |= not any(post is each for each in sure)
        self.start()

    # ---- what holds after each of them ----
    @invariant()
    def a_repeat_is_the_same_message(self) -> None:
        """One id, the same bytes; never twice at once; never after it was recorded as over."""
        for post in self.scene.receivers.posts:
            assert self.bodies.setdefault(post.message, post.body) == post.body
        under_way = Counter(post.message for post in self.scene.receivers.posts if not post.over)
        assert all(count == 1 for count in under_way.values()), "two attempts of one message at once"
        counted = Counter(post.message for post in self.scene.receivers.posts)
        for message, count in self.over.items():
            assert counted[message] == count, f"{message} was over and came again"

    @invariant()
    def each_message_is_where_the_receivers_know_it_to_be(self) -> None:
        lines = self.ask(self.scene.lines)
        assert len(lines) == len(self.scene.generations), "each watch has one message"
        came: dict[str, list[Post]] = {message: [] for message in lines}
        for post in self.scene.receivers.posts:
            came[post.message].append(post)
        for message, line in lines.items():
            posts = came[message]
            self._compare(message, line, posts)
            self._left_nothing_undone(message, line)
            if line.status in OVER:
                self.over[message] = len(posts)
            elif line.status == DeliveryStatus.PARKED:
                self.parked.add((message, len(posts)))

    def _compare(self, message: str, line: Line, posts: list[Post]) -> None:
        """The store's rows of one message, beside what its receiver saw."""
        ends = [post.given.final for post in posts if post.given is not None]
        verdicts = [verdict for verdict, _ in line.closed]
        assert len(posts) <= line.made, f"{message}: a callback without an attempt"
        assert line.status != DeliveryStatus.DELIVERED or verdicts[-1] == Verdict.DELIVERED
        assert Verdict.DELIVERED not in verdicts[:-1], f"{message} was attempted after a success"
        if line.status == DeliveryStatus.DELIVERED:
            assert DeliveryStatus.DELIVERED in ends, f"{message}: no receiver took it"
        if line.status == DeliveryStatus.EXHAUSTED:
            assert DeliveryStatus.EXHAUSTED in ends or line.made >= len(RETRY), f"{message}: given up too soon"
        for number, (post, after) in enumerate(pairwise(posts), start=1):
            too_soon = after.at < post.at + post.least
            assert not too_soon or (message, number) in self.parked, f"{message}: came again too soon"

    def _left_nothing_undone(self, message: str, line: Line) -> None:
        """What is due goes out while there is a slot for it."""
        if line.status == DeliveryStatus.PENDING and not line.leased:
            assert line.due_at is not None
            if line.due_at <= to_micros(self.scene.clock.now()):
                assert not self.scene.may_send(line.endpoint), f"{message} is due, there is a slot, and nothing happens"


async def _made(path: str) -> Scene:
    return Scene(path)


@pytest.mark.timeout(0 if LONG else 420)  # a failure is shortened for up to five minutes
def test_whatever_happens_receivers_see_what_was_promised(memory: Path) -> None:
    """At least once, the same bytes each time, never after it is recorded, never too soon, and nothing due is left."""
    with start_blocking_portal() as portal:
        numbers = itertools.count()

        class Machine(DispatcherMachine):
            def __init__(self) -> None:
                super().__init__(portal, lay(memory / f"notifier-{next(numbers)}.db"))

        run_state_machine_as_test(Machine, settings=STEADY)
