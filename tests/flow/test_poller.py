"""All provider loops together: started and ended as the configuration changes, none in another's way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import DeliveryStatus
from notifier.domain.settings import ProviderSettings
from notifier.polling.poller import Poller
from notifier.providers.catalogue import KINDS
from notifier.providers.client import ProviderClient
from notifier.runtime.health import STORE, Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import LUMA, START, HandClock, Tripped, Upstream, around, error, luma, quiet, request


@dataclass(slots=True, kw_only=True)
class Polling:
    store: SqliteStore
    clock: HandClock
    health: Health
    poller: Poller
    port: Tripped
    #: By provider.
    upstreams: dict[str, Upstream]
    ended: anyio.Event = field(default_factory=anyio.Event)

    async def ticks(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            self.poller.tick()
            await quiet(self.store)

    async def watch(self, *generations: str, provider: str = "luma") -> None:
        requests = [request(name, provider=provider) for name in generations]
        for answer in await self.store.add_watches(requests, now=self.clock.now()):
            if answer.open is not None:
                self.poller.add([answer.open])
        await quiet(self.store)

    def asked(self, provider: str) -> int:
        return len(self.upstreams[provider].asked)


@asynccontextmanager
async def polling(store: SqliteStore, *providers: ProviderSettings) -> AsyncIterator[Polling]:
    clock, health, port = HandClock(), Health(), Tripped(store)
    upstreams = {name: Upstream(clock) for name in ("luma", "other")}

    async def route(asked: httpx.Request) -> httpx.Response:
        return await upstreams[asked.url.host.partition(".")[0]](asked)

    async with ProviderClient(httpx.MockTransport(route), clock=clock) as client:
        poller = Poller(around(port, client, clock=clock, health=health, deliveries=Wakeup()), KINDS.__getitem__)
        stage = Polling(store=store, clock=clock, health=health, poller=poller, port=port, upstreams=upstreams)

        async def run(*, task_status: Any) -> None:
            await poller.run({each.name: each for each in providers or (luma(),)}, task_status=task_status)
            stage.ended.set()

        async with anyio.create_task_group() as tasks:
            await tasks.start(run)
            yield stage
            tasks.cancel_scope.cancel()


def by_name(*providers: ProviderSettings) -> dict[str, ProviderSettings]:
    return {each.name: each for each in providers}


async def test_one_provider_in_trouble_does_not_slow_another(store: SqliteStore) -> None:
    """While one hangs with every place taken and is refused later, the other is polled on time."""
    async with polling(store, luma(in_flight=1), luma("other")) as stage:
        stage.upstreams["luma"].gate = anyio.Event()
        stage.upstreams["luma"].script.append(error(401))
        stage.upstreams["other"].states["g-9"] = "queued"
        await stage.watch("g-1")
        await stage.watch("g-9", provider="other")
        await stage.ticks(20)
        assert stage.asked("luma") == 1
        assert 5 <= (on_time := stage.asked("other")) <= 20
        stage.upstreams["luma"].gate.set()
        await stage.ticks(10)
        assert set(stage.health.troubles) == {"provider luma"}
        assert on_time + 2 <= stage.asked("other") <= on_time + 10


async def test_a_generation_is_asked_of_its_own_provider(store: SqliteStore) -> None:
    """The same ID at two providers is two generations."""
    async with polling(store, luma(), luma("other")) as stage:
        stage.upstreams["luma"].states["g-1"] = "completed"
        stage.upstreams["other"].states["g-1"] = "queued"
        await stage.watch("g-1")
        await stage.watch("g-1", provider="other")
        await stage.ticks(1)
        assert stage.poller.watched == {"luma": 0, "other": 1}
        assert len(await store.histories(GenerationId("g-1"))) == 2


async def test_a_provider_that_is_added_is_polled(store: SqliteStore) -> None:
    """What the store holds open for it is loaded, and asked for at the next tick."""
    await store.add_watches([request("g-9", provider="other")], now=START)
    async with polling(store) as stage:
        await stage.ticks(1)
        await stage.poller.apply(by_name(luma(), luma("other")))
        assert stage.poller.watched == {"luma": 0, "other": 1}
        await stage.ticks(1)
        assert stage.asked("other") == 1


async def test_a_provider_that_is_removed_is_not_asked_any_more(store: SqliteStore) -> None:
    """Its generations stay in the store, its trouble is forgotten, and they are watched again when it returns."""
    async with polling(store, luma(), luma("other")) as stage:
        stage.upstreams["other"].script.append(error(401))
        await stage.watch("g-9", provider="other")
        await stage.ticks(1)
        assert stage.health.troubles
        await stage.poller.apply(by_name(luma()))
        assert not stage.health.troubles
        await stage.ticks(60)
        assert stage.asked("other") == 1
        assert stage.poller.watched == {"luma": 0}
        stage.upstreams["other"].states["g-9"] = "completed"
        await stage.poller.apply(by_name(luma(), luma("other")))
        await stage.ticks(1)
        assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: 1}


async def test_a_provider_whose_settings_stay_is_left_alone(store: SqliteStore) -> None:
    """A reload that changes something else neither hurries its polls nor forgets its trouble."""
    async with polling(store) as stage:
        stage.upstreams["luma"].script.append(error(401))
        await stage.watch("g-1")
        await stage.ticks(1)
        await stage.poller.apply(by_name(luma()))
        await stage.ticks(5)
        assert stage.asked("luma") == 1
        assert stage.health.troubles


async def test_a_watch_for_a_provider_that_is_not_there_waits_in_the_store(store: SqliteStore) -> None:
    """It is told to nobody and lost by nobody."""
    async with polling(store) as stage:
        await stage.watch("g-9", provider="gone")
        await stage.ticks(1)
        assert stage.poller.watched == {"luma": 0}
        assert (await store.counts()).open_generations == 1


async def test_stop_lets_a_request_under_way_go(store: SqliteStore) -> None:
    """A provider that hangs does not hold up the end."""
    async with polling(store) as stage:
        stage.upstreams["luma"].gate = anyio.Event()
        await stage.watch("g-1")
        await stage.ticks(0.25)
        stage.poller.stop()
        await stage.ended.wait()
        assert stage.upstreams["luma"].under_way == 0


async def _one_done(stage: Polling) -> None:
    """It is seen to run, then to be done: something to learn from, and less than a minute after the start."""
    stage.upstreams["luma"].states["g-1"] = "dreaming"
    await stage.watch("g-1")
    await stage.ticks(5)
    stage.upstreams["luma"].states["g-1"] = "completed"
    await stage.ticks(10)


async def test_what_was_learned_is_saved_at_a_stop(store: SqliteStore) -> None:
    """The last minute too, and of each provider; the next run knows it."""
    async with polling(store, luma(), luma("other")) as stage:
        await _one_done(stage)
        assert await store.learned(LUMA) == {}
        stage.poller.stop()
        await stage.ended.wait()
        await stage.poller.save()
        saved = await store.learned(LUMA)
        assert saved
        await store.save_learned(LUMA, dict.fromkeys(saved, b"another's"), now=START)
        await stage.poller.save()
        assert set((await store.learned(LUMA)).values()) == {b"another's"}, "nothing new: nothing is written"
        assert await store.learned(ProviderName("other")) == {}


async def test_a_stop_does_not_fail_for_what_was_learned(store: SqliteStore) -> None:
    """A store that cannot write costs the last minute, which is learned again."""
    async with polling(store) as stage:
        await _one_done(stage)
        stage.port.down = True
        await stage.poller.save()
        assert stage.port.refused == {"save_learned": 1}
        assert set(stage.health.troubles) == {STORE}


async def test_a_provider_that_could_not_be_loaded_is_begun_by_the_next_reload(store: SqliteStore) -> None:
    """The store fails in the middle of a reload; once it works the same configuration must act whole."""
    await store.add_watches([request("g-9", provider="other")], now=START)
    async with polling(store) as stage:
        stage.port.down = True
        with pytest.raises(StoreUnavailable):
            await stage.poller.apply(by_name(luma(), luma("other")))
        stage.port.down = False
        await stage.poller.apply(by_name(luma(), luma("other")))
        await stage.ticks(1)
        assert stage.asked("other") == 1


async def test_new_settings_keep_what_is_watched(store: SqliteStore) -> None:
    """Another rate or address is taken over without reading the store again, and everything is polled."""
    async with polling(store) as stage:
        stage.upstreams["luma"].states["g-1"] = "queued"
        await stage.watch("g-1")
        await stage.ticks(1)
        stage.port.down = True
        await stage.poller.apply(by_name(luma(poll_every=timedelta(seconds=1))))
        stage.port.down = False
        before = stage.asked("luma")
        await stage.ticks(9)
        assert 2 <= stage.asked("luma") - before <= 9
