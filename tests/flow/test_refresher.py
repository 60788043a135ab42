"""A late attempt carries a fresh link: real store, dispatcher and poller, doubles of both wires, a clock by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import httpx
import orjson
import pytest

from notifier.delivery.dispatcher import Dispatcher
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.refresher import Refresher
from notifier.delivery.sender import Sender
from notifier.domain.ids import GenerationId, WorkerId
from notifier.domain.model import DeliveryStatus
from notifier.domain.settings import CallbackSettings, EndpointSettings, ProviderSettings, Secret
from notifier.polling.poller import Poller
from notifier.providers.catalogue import KINDS
from notifier.providers.client import ProviderClient
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.sqlite.store import SqliteStore
from notifier.verify import verify
from tests.support.dispatcher_rig import Posting
from tests.support.fakes import (
    SECRET,
    START,
    Callbacks,
    HandClock,
    Tripped,
    Upstream,
    around,
    deliveries,
    endpoint,
    error,
    luma,
    quiet,
    refuse_batches_with,
    request,
)
from tests.support.sending import policies

LATE = 16 * 60.0
HOUR = 3600.0
TRY_AGAIN_LATE = (timedelta(0), timedelta(seconds=LATE), timedelta(seconds=LATE), timedelta(seconds=LATE))
APP = "https://app.example.com/done"


class Moving(Upstream):
    """A provider whose links run out: each poll shows another, and `gone` what has none any more."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.without_url: set[str] = set()

    def _answer(self, asked: Any) -> httpx.Response:
        answer = super()._answer(asked)
        if answer.status_code != 200:
            return answer
        found = orjson.loads(answer.content)
        for each in found if isinstance(found, list) else [found]:
            if each["assets"] is not None:
                link = f"https://cdn.example.com/{each['id']}.mp4?at={asked.at - 1000:.0f}"
                each["assets"] = None if each["id"] in self.without_url else {"video": link}
        return httpx.Response(200, json=found)


@dataclass(slots=True, kw_only=True)
class Stage:
    """Everything that a late attempt meets."""

    store: SqliteStore
    clock: HandClock
    upstream: Moving
    callbacks: Callbacks
    poller: Poller
    health: Health
    wakeup: Wakeup
    port: Tripped
    dispatcher: Dispatcher

    async def watch(self, *generations: str, to: str = "studio") -> None:
        for answer in await self.store.add_watches(
            [request(name, endpoint=to) for name in generations], now=self.clock.now()
        ):
            if answer.open is not None:
                self.poller.add([answer.open])
        await quiet(self.store)

    async def complete(self, *generations: str, to: str = "studio") -> None:
        """Watched, done, and attempted once."""
        self.upstream.states |= dict.fromkeys(generations, "completed")
        await self.watch(*generations, to=to)
        await self.turn()

    async def turn(self, seconds: float = 0.0) -> None:
        """Let so much time pass, tick and notify, and wait until all that follows has happened."""
        self.clock.advance(seconds)
        self.poller.tick()
        self.wakeup.notify()
        for _ in range(3):  # claimed, looked at, claimed again
            await quiet(self.store)

    async def claim(self, seconds: float) -> None:
        """Let so much time pass, and have what is due claimed, while nothing may be looked at."""
        self.clock.advance(seconds)
        self.wakeup.notify()
        await quiet(self.store)

    def sent(self, number: int = -1) -> dict[str, Any]:
        """What a POST held, its signature checked."""
        post = self.callbacks.posts[number]
        return dict(
            verify(
                post.content,
                post.headers,
                [SECRET],
                now=(START + timedelta(seconds=self.callbacks.times[number])).timestamp(),
            )
        )

    def url(self, number: int = -1) -> str:
        return str(self.sent(number)["data"]["result"]["url"])


@asynccontextmanager
async def at_work(
    store: SqliteStore,
    *endpoints: EndpointSettings,
    provider: ProviderSettings | None = None,
    clock: HandClock | None = None,
    callbacks: CallbackSettings | None = None,
    poller_first: bool = True,
) -> AsyncIterator[Stage]:
    """A receiver that fails once and then accepts, unless a test says otherwise."""
    hand, health, wakeup, port = clock or HandClock(), Health(), Wakeup(), Tripped(store)
    upstream = Moving(hand)
    receivers = Callbacks(clock=hand)
    answers = [httpx.Response(503), httpx.Response(204)]
    receivers.answers |= {"studio.example.com": list(answers), "app.example.com": list(answers)}
    wire = httpx.MockTransport(receivers)
    async with ProviderClient(httpx.MockTransport(upstream), clock=hand) as client:
        poller = Poller(around(port, client, clock=hand, health=health, deliveries=wakeup), KINDS.__getitem__)
        refresher = Refresher(port, poller.reread, clock=hand, deliveries=wakeup, health=health)
        configured = policies(*(endpoints or (endpoint(retry=TRY_AGAIN_LATE),)), callbacks=callbacks)
        dispatcher = Dispatcher(
            port,
            Posting(Sender(open_wire=wire, guarded_wire=wire)),
            configured,
            monitor=EndpointMonitor(port, configured, clock=hand, health=health, token=lambda: "test"),
            owner=WorkerId("worker-1"),
            clock=hand,
            random=lambda: 0.0,
            wakeup=wakeup,
            health=health,
            heartbeat=Heartbeat("dispatcher", hand, limit=25),
            refresher=refresher,
        )
        stage = Stage(
            store=store,
            clock=hand,
            upstream=upstream,
            callbacks=receivers,
            poller=poller,
            health=health,
            wakeup=wakeup,
            port=port,
            dispatcher=dispatcher,
        )
        settings = provider or luma()
        async with anyio.create_task_group() as tasks:
            await tasks.start(refresher.run)
            if poller_first:
                await tasks.start(poller.run, {settings.name: settings})
            await tasks.start(dispatcher.run)
            await quiet(store)
            if not poller_first:
                await tasks.start(poller.run, {settings.name: settings})
            yield stage
            tasks.cancel_scope.cancel()


# ---- what a late attempt carries ----------------------------------------------------------------------------------
async def test_a_late_attempt_carries_a_fresh_link(store: SqliteStore) -> None:
    """The same message and type, signed anew over the new bytes, which say when they were brought up to date."""
    async with at_work(store) as stage:
        await stage.complete("g-1")
        await stage.turn(LATE)
        first, late = stage.sent(0), stage.sent(1)
        assert late["data"]["result"]["url"] == f"https://cdn.example.com/g-1.mp4?at={LATE:.0f}"
        assert (first["data"]["refreshed_at"], late["data"]["refreshed_at"]) == (None, "2026-11-22T05:16:00.000Z")
        changed = {name for name in first["data"] if first["data"][name] != late["data"][name]}
        assert changed == {"result", "generation", "refreshed_at"}
        assert (first["type"], first["timestamp"]) == (late["type"], late["timestamp"])
        posts = stage.callbacks.posts
        assert posts[0].headers["webhook-id"] == posts[1].headers["webhook-id"]
        assert stage.callbacks.times == [0.0, LATE]
        (line,) = await deliveries(store)
        assert (line.status, len(line.attempts)) == (DeliveryStatus.DELIVERED, 2)


async def test_an_early_one_does_not(store: SqliteStore) -> None:
    """Nobody is asked where the result is young."""
    async with at_work(store, endpoint(retry=(timedelta(0), timedelta(minutes=5)))) as stage:
        await stage.complete("g-1")
        asked = len(stage.upstream.asked)
        await stage.turn(300)
        assert (stage.url(1), len(stage.upstream.asked)) == (stage.url(0), asked)


async def test_every_late_attempt_is_fresh(store: SqliteStore) -> None:
    """What was refreshed once grows old as well."""
    async with at_work(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        await stage.complete("g-1")
        for _ in range(3):
            await stage.turn(LATE)
        assert [stage.url(number).rpartition("=")[2] for number in range(4)] == ["0", "960", "1920", "2880"]


async def test_off_by_a_setting(store: SqliteStore) -> None:
    """`refresh_after: off` sends what is stored, however old."""
    async with at_work(store, endpoint(retry=TRY_AGAIN_LATE, refresh_after=None)) as stage:
        await stage.complete("g-1")
        asked = len(stage.upstream.asked)
        await stage.turn(LATE)
        assert (stage.url(1), len(stage.upstream.asked)) == (stage.url(0), asked)


@pytest.mark.parametrize("after", [timedelta(hours=1), None, timedelta(minutes=2)])
async def test_callback_urls_have_an_age_of_their_own(store: SqliteStore, after: timedelta | None) -> None:
    """That of the callbacks section; the default schedule's third attempt comes after five minutes."""
    settings = CallbackSettings(secret=Secret("whsk_" + "A" * 43 + "="), refresh_after=after)
    async with at_work(store, callbacks=settings) as stage:
        stage.callbacks.answers["app.example.com"] = [httpx.Response(503)]
        await stage.complete("g-1", to=APP)
        await stage.turn(5)
        await stage.turn(300)
        urls = [orjson.loads(post.content)["data"]["result"]["url"] for post in stage.callbacks.posts]
        assert len(urls) == 3
        assert (urls[2] != urls[0]) is (after == timedelta(minutes=2))


async def test_a_watch_that_joins_late_gets_a_fresh_link_at_once(store: SqliteStore) -> None:
    """Its message was seen long ago."""
    async with at_work(store, endpoint(), endpoint("audit")) as stage:
        stage.callbacks.answers.clear()
        await stage.complete("g-1")
        stage.clock.advance(HOUR)
        await stage.watch("g-1", to="audit")
        await stage.turn()
        assert stage.url().endswith("?at=3600")
        assert stage.callbacks.times == [0.0, HOUR]


# ---- what it costs ------------------------------------------------------------------------------------------------
async def test_old_results_ride_in_free_seats_of_a_sweep(store: SqliteStore) -> None:
    """However many they are, they cost no request where one is due anyway; and are watched by nobody after."""
    async with at_work(store, endpoint(retry=TRY_AGAIN_LATE)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        old = [f"old-{number}" for number in range(20)]
        await stage.complete(*old)
        stage.upstream.states["new"] = "queued"
        await stage.watch("new")
        await stage.turn()
        asked = len(stage.upstream.asked)
        await stage.claim(LATE)
        await stage.turn()
        assert stage.upstream.since(asked) == [sorted(["new", *old])]
        assert {post.url.host for post in stage.callbacks.posts[20:]} == {"studio.example.com"}
        fresh = [stage.url(number) for number in range(20, 40)]
        assert all(url.endswith("?at=960") for url in fresh)
        assert stage.poller.watched == {"luma": 1}


async def test_old_results_cost_one_request_together_where_no_sweep_is_due(store: SqliteStore) -> None:
    """Two messages about one generation ask for it once."""
    async with at_work(store, endpoint(retry=TRY_AGAIN_LATE), endpoint("audit", retry=TRY_AGAIN_LATE)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        stage.callbacks.answers["audit.example.com"] = [httpx.Response(503)]
        await stage.complete("g-1", "g-2")
        await stage.complete("g-1", to="audit")
        asked = len(stage.upstream.asked)
        await stage.turn(LATE)
        assert stage.upstream.since(asked) == [["g-1", "g-2"]]
        assert all(stage.url(number).endswith("?at=960") for number in (-1, -2, -3))


async def test_a_provider_that_answers_about_one_id_at_a_time(store: SqliteStore) -> None:
    """Each has a request of its own, within the budget; nobody waits longer than `REFRESH_WAIT`."""
    async with at_work(store, provider=luma(batch=False, rate=5.0)) as stage:
        old = [f"old-{number}" for number in range(8)]
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        stage.upstream.states |= dict.fromkeys(old, "completed")
        await stage.watch(*old)
        for _ in range(20):
            await stage.turn(0.25)
        await stage.turn(LATE)
        for _ in range(48):
            await stage.turn(0.25)
        assert len(stage.callbacks.posts) == 16
        late = stage.callbacks.times[8:]
        assert max(late) - min(late) <= 10.5
        assert all("?at=9" in stage.url(number) for number in range(8, 16))


async def test_what_the_budget_cannot_show_in_time_goes_out_as_it_is(store: SqliteStore) -> None:
    """Each that was seen goes at once with what was seen; the others after `REFRESH_WAIT`."""
    async with at_work(store, provider=luma(batch=False, rate=1.0)) as stage:
        old = [f"old-{number}" for number in range(20)]
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        stage.upstream.states |= dict.fromkeys(old, "completed")
        await stage.watch(*old)
        for _ in range(30):
            await stage.turn(1)
        assert len(stage.callbacks.posts) == 20
        begun = 30 + LATE
        await stage.turn(LATE)
        for _ in range(12):
            await stage.turn(1)
        assert len(stage.callbacks.posts) == 40
        refreshed = [stage.sent(number)["data"]["refreshed_at"] for number in range(40)]
        fresh = [at for at, said in zip(stage.callbacks.times, refreshed, strict=True) if said is not None]
        assert 8 <= len(fresh) <= 11
        assert fresh[:4] == [begun, begun + 1, begun + 2, begun + 3]
        assert max(stage.callbacks.times) == begun + 10


# ---- what goes wrong ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [500, 429, 401])
async def test_a_provider_in_trouble_delays_nothing(store: SqliteStore, status: int) -> None:
    """The stored bytes go out as soon as it has failed, or at once where it failed before."""
    async with at_work(store) as stage:
        await stage.complete("g-1")
        stage.upstream.judge = lambda _: error(status)
        await stage.turn(LATE)
        assert (stage.url(1), stage.sent(1)["data"]["refreshed_at"]) == (stage.url(0), None)
        assert stage.callbacks.posts[0].content == stage.callbacks.posts[1].content


async def test_a_provider_that_hangs_delays_ten_seconds(store: SqliteStore) -> None:
    """Not a moment more; and its answer, when it comes, changes nothing of what is sent then."""
    async with at_work(store) as stage:
        await stage.complete("g-1")
        stage.upstream.gate = anyio.Event()
        await stage.turn(LATE)
        await stage.turn(9.9)
        assert len(stage.callbacks.posts) == 1
        await stage.turn(0.1)
        assert (len(stage.callbacks.posts), stage.url(1)) == (2, stage.url(0))
        stage.upstream.gate.set()
        await stage.turn()
        (line,) = await deliveries(store)
        assert (line.status, len(line.attempts)) == (DeliveryStatus.DELIVERED, 2)


@pytest.mark.parametrize("state", ["failed", "queued", None])
async def test_what_is_not_completed_any_more_leaves_the_old_body(store: SqliteStore, state: str | None) -> None:
    """Nor does it move the generation: type and state never change."""
    async with at_work(store) as stage:
        await stage.complete("g-1")
        stage.upstream.states = {} if state is None else {"g-1": state}
        await stage.turn(LATE)
        assert stage.callbacks.posts[0].content == stage.callbacks.posts[1].content
        (history,) = await store.histories(GenerationId("g-1"))
        assert history.state == "completed"
        assert stage.health.troubles == {}


async def test_a_link_that_is_gone_leaves_the_old_body(store: SqliteStore) -> None:
    """An old link is better than none."""
    async with at_work(store) as stage:
        await stage.complete("g-1")
        stage.upstream.without_url.add("g-1")
        await stage.turn(LATE)
        assert stage.callbacks.posts[0].content == stage.callbacks.posts[1].content


async def test_generations_that_are_gone_say_nothing_of_the_provider(store: SqliteStore) -> None:
    """It forgets old ones: many that are missed together are no reason to pause it."""
    async with at_work(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        await stage.complete("g-1", "g-2", "g-3")
        stage.upstream.states = {"new": "queued"}
        await stage.turn(LATE)
        assert len(stage.callbacks.posts) == 6
        assert stage.health.troubles == {}
        await stage.watch("new")
        await stage.turn()
        assert stage.upstream.asked[-1].ids == ("new",)


async def test_a_guest_that_has_a_batch_refused_harms_nobody(store: SqliteStore) -> None:
    """What is watched is asked for again without it, the guests by themselves; the good ones of them are fresh."""
    async with at_work(store, endpoint(retry=TRY_AGAIN_LATE)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        await stage.complete("bad", "good")
        stage.upstream.states = {"new": "queued", "newer": "queued", "good": "completed"}
        stage.upstream.judge = refuse_batches_with(["bad"])
        await stage.watch("new", "newer")
        await stage.turn()
        asked = len(stage.upstream.asked)
        await stage.claim(LATE)
        for _ in range(8):
            await stage.turn(0.25)
        since = stage.upstream.since(asked)
        assert since[0] == ["bad", "good", "new", "newer"]
        assert ["bad"] in since
        assert ["good"] in since
        assert all(ids == ["new", "newer"] for ids in since[1:] if len(ids) > 1)
        sent = {orjson.loads(post.content)["data"]["generation_id"]: post for post in stage.callbacks.posts[2:]}
        assert b"?at=96" in sent["good"].content
        assert b"?at=0" in sent["bad"].content


async def test_a_store_that_cannot_write_loses_nothing(store: SqliteStore) -> None:
    """The refresh is lost with it, and the attempt is made after `REFRESH_WAIT`."""
    async with at_work(store) as stage:
        await stage.complete("g-1")

        async def fail(*_: Any, **__: Any) -> None:
            stage.port.down = True
            stage.port._pass("refresh_bodies")

        stage.port.instead["refresh_bodies"] = fail
        await stage.turn(LATE)
        assert (len(stage.callbacks.posts), stage.health.store_up) == (1, False)
        stage.port.down = False
        stage.health.clear("store")
        await stage.turn(10)
        assert (len(stage.callbacks.posts), stage.url(1)) == (2, stage.url(0))


async def test_a_crash_between_costs_ten_seconds(store: SqliteStore) -> None:
    """Whoever starts next makes the attempt with the bytes that are stored."""
    async with at_work(store) as before:
        await before.complete("g-1")
        before.upstream.gate = anyio.Event()
        await before.turn(LATE)
        assert len(before.upstream.asked) == 2
    async with at_work(store, clock=before.clock) as stage:
        stage.callbacks.answers.clear()
        await stage.turn(9.9)
        assert stage.callbacks.posts == []
        await stage.turn(0.1)
        (post,) = stage.callbacks.posts
        assert post.content == before.callbacks.posts[0].content


async def test_after_a_long_stop_what_is_due_at_once_is_fresh(store: SqliteStore) -> None:
    """The dispatcher is there before the poller: what it claims first waits for that one."""
    async with at_work(store) as before:
        await before.complete("g-1")
        before.clock.advance(5 * HOUR)
    clock = before.clock
    async with at_work(store, clock=clock, poller_first=False) as stage:
        stage.callbacks.answers.clear()
        stage.upstream.states["g-1"] = "completed"
        assert stage.callbacks.posts == []
        await stage.turn(0.25)
        assert stage.url().endswith(f"?at={clock.seconds:.0f}")


async def test_connections_that_all_wait_let_one_go(store: SqliteStore) -> None:
    """If all slots are long-polls there is none for a batch poll, but an old result still gets one."""
    async with at_work(store, provider=luma(long_poll="single", in_flight=2)) as stage:
        await stage.complete("g-1")
        stage.upstream.states |= {"a": "queued", "b": "queued"}
        await stage.watch("a", "b")
        await stage.turn(0.25)
        stage.upstream.gate = anyio.Event()
        for _ in range(8):
            await stage.turn(1)
        assert stage.upstream.under_way == 2
        stage.clock.advance(LATE)
        asked = len(stage.upstream.asked)
        for _ in range(4):
            await stage.turn(0.25)
        assert "g-1" in [id_ for ids in stage.upstream.since(asked) for id_ in ids]
        assert stage.upstream.most <= 2
