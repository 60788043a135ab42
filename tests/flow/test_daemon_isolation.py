"""One bad ID in the whole daemon, over real HTTP: an API that breaks off every request which holds it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from notifier.domain.ids import GenerationId
from notifier.emulator.upstream import Emulator
from notifier.store.records import Trouble
from notifier.store.sqlite import open_reader
from tests.support.daemon_rig import provider, up

GOOD = 20


@asynccontextmanager
async def in_front_of(emulator: Emulator, bad: set[str], *, how: str) -> AsyncIterator[str]:
    """The emulated API at another address, where requests with a bad ID fail."""
    async with aiohttp.ClientSession() as onward:

        async def answer(request: web.Request) -> web.StreamResponse:
            if bad.isdisjoint(request.query.values()):
                async with onward.get(emulator.url + request.path_qs, headers=_key(request)) as reply:
                    body = await reply.read()
                    return web.Response(status=reply.status, body=body, content_type="application/json")
            if how == "cut":
                assert request.transport is not None
                request.transport.abort()
            return web.json_response({"message": "boom"}, status=500)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def _key(request: web.Request) -> dict[str, str]:
    return {"Authorization": request.headers["Authorization"]}


@pytest.mark.parametrize("how", ["500", "cut"])
async def test_one_bad_id_costs_nobody_else_a_callback(tmp_path: Path, how: str) -> None:
    """All others of its batch are told, the provider is in no trouble, and the store says what is wrong with the ID."""
    bad: set[str] = set()
    async with up(tmp_path) as place, in_front_of(place.emulator, bad, how=how) as url:
        bad.add("bad-1")
        luma = provider(place.emulator, base_url=url, rate="50/s")
        await place.running.reload(place.settings(providers={"luma": luma}))
        good = place.emulator.create(GOOD, complete_at=0)
        place.drop("all.json", *[{"id": id_} for id_ in [*good[:7], "bad-1", *good[7:]]])
        calls = await place.receiver.wait_for(GOOD)
        assert {call.generation_id for call in calls} == set(good)

        async def trouble() -> Trouble | None:
            async with open_reader(str(tmp_path / "notifier.db")) as store:
                (history,) = await store.histories(GenerationId("bad-1"))
                return history.trouble

        await place.until(trouble)
        told = await trouble()
        assert told is not None
        assert ("500: boom" if how == "500" else "broke off") in told.reason
        assert place.running.troubles == {}
