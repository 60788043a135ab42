"""Polling in bad weather: a provider that holds, ignores, refuses and breaks off at random."""

from datetime import timedelta
from random import Random
from typing import Any

import httpx
import pytest

from notifier.domain.model import State, WatchStatus
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import Asked, Watching, error, luma, request, watching

#: Seconds after which everything is known, once the provider is well: its longest pause, a long-poll, and a few polls.
BOUND = 180
GENERATIONS = 40


class Storm:
    """Moves a stage at random; all chance comes from the seed."""

    def __init__(self, stage: Watching, chance: Random) -> None:
        self.stage = stage
        self.chance = chance
        self.bad = 0.0
        self.open: list[str] = []
        stage.upstream.judge = self._judge

    def _judge(self, asked: Asked) -> httpx.Response | None:
        if self.chance.random() >= self.bad:
            return None
        size = 413 if asked.multi else 502
        status = self.chance.choice([429, 500, 502, 503, 504, 400, 404, size])
        return error(status, **({"retry-after": "7"} if status == 429 and self.chance.random() < 0.5 else {}))

    async def blow(self, seconds: int) -> None:
        for _ in range(seconds):
            await self._weather()
            if self.open and self.chance.random() < 0.15:
                id_ = self.chance.choice(self.open)
                order = ["queued", "dreaming", "completed"]
                self.stage.upstream.move(id_, order[order.index(self.stage.upstream.states[id_]) + 1])
                if self.stage.upstream.states[id_] == "completed":
                    self.open.remove(id_)
            await self.stage.tick(self.chance.choice([0.25, 0.5, 1.0]))

    async def _weather(self) -> None:
        chance, upstream = self.chance, self.stage.upstream
        if chance.random() < 0.1:
            self.bad = chance.choice([0.0, 0.0, 0.1, 0.5, 1.0])
            upstream.long_polls = chance.choice(["any", "all", None])
            upstream.cut = chance.choice([None, None, (3.0, error(504)), (0.0, error(502))])
        if chance.random() < 0.02:
            self.stage.loop.apply(luma(long_poll=chance.choice(["auto", "single", "any", "off"]), **self._settings()))
        self.store(down=chance.random() < 0.1)

    def store(self, *, down: bool) -> None:
        self.stage.port.down = down
        if not down:
            self.stage.health.clear("store")

    def _settings(self) -> dict[str, Any]:
        settings = self.stage.loop.settings
        return {"rate": settings.rate, "in_flight": settings.in_flight, "max_ids": settings.max_ids}

    async def clear(self) -> None:
        """The weather is fine again; everything gets there."""
        self.bad, self.stage.upstream.cut = 0.0, None
        self.store(down=False)
        for id_ in self.stage.upstream.states:
            self.stage.upstream.move(id_, "completed")
        await self.stage.ticks(BOUND, step=0.5)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_weather_everything_is_delivered_and_the_budget_kept(store: SqliteStore, seed: int) -> None:
    """Soon after the provider is well every generation is known to be done; no second had too many requests."""
    chance = Random(seed)
    rate, in_flight = chance.choice([0.5, 2.0, 5.0]), chance.choice([1, 2, 4, 9])
    mode, most = chance.choice(["auto", "single", "any"]), chance.choice([1, 7, 100])
    async with watching(store, long_poll=mode, rate=rate, in_flight=in_flight, max_ids=most) as stage:
        storm = Storm(stage, chance)
        await stage.tick()
        for number in range(GENERATIONS):
            id_ = f"g-{number}"
            stage.upstream.states[id_] = "queued"
            storm.open.append(id_)
            target = chance.choice([State.COMPLETED, State.RUNNING])
            storm.store(down=False)  # while it is, nothing is accepted
            await stage.watch(request(id_, target=target, timeout=timedelta(hours=24)))
            await storm.blow(chance.choice([0, 1, 10]))
        await storm.clear()
        assert (await store.counts()).watches == {WatchStatus.SATISFIED: GENERATIONS}
        assert stage.loop.watched == 0
        assert stage.upstream.most <= in_flight
        times = [each.at for each in stage.upstream.asked]
        assert all(sum(first <= at < first + 1 for at in times) <= max(1, rate) for first in times)
