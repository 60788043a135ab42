"""The emulator's own routes under `/_emulator/`, for tests and benchmarks that drive it as another process.

They ask for no key and meet no faults. `docs/emulator.md` lists them.
"""

import math
from dataclasses import asdict
from typing import Any, Final

import orjson
from aiohttp import web

from notifier.emulator.generations import STATES, WORDS
from notifier.emulator.specs import read_specs
from notifier.emulator.upstream import Emulator, Generation

BASE: Final = "/_emulator"


class Admin:
    """Lets another process do what `Emulator` offers in this one."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def add_to(self, app: web.Application) -> None:
        app.router.add_post(f"{BASE}/generations", self._create)
        app.router.add_get(f"{BASE}/generations", self._list)
        app.router.add_post(f"{BASE}/generations/{{id}}", self._move)
        app.router.add_delete(f"{BASE}/generations/{{id}}", self._forget)
        app.router.add_post(f"{BASE}/faults", self._faults)
        app.router.add_get(f"{BASE}/stats", self._stats)

    async def _create(self, request: web.Request) -> web.Response:
        try:
            ids = self._emulator.create_all(read_specs(await _sent(request)))
        except ValueError as bad:
            return _json(400, {"message": str(bad)})
        return _json(201, {"ids": ids})

    async def _list(self, request: web.Request) -> web.Response:  # noqa: ARG002  a handler's shape
        """Where each generation is and when it is there: seconds from now, null for never or not again."""
        now = self._emulator.clock.monotonic()
        return _json(200, {"generations": [_life(generation, now) for generation in self._emulator.generations]})

    async def _move(self, request: web.Request) -> web.Response:
        try:
            sent = await _sent(request)
            state = STATES[sent["state"]]
        except (ValueError, KeyError, TypeError):
            return _json(400, {"message": f'Send {{"state": …}} with one of: {", ".join(STATES)}.'})
        try:
            self._emulator.move(request.match_info["id"], state)
        except KeyError:
            return _json(404, {"message": "There is no such generation."})
        return _json(200, {"id": request.match_info["id"], "state": sent["state"]})

    async def _forget(self, request: web.Request) -> web.Response:
        try:
            self._emulator.forget(request.match_info["id"])
        except KeyError:
            return _json(404, {"message": "There is no such generation."})
        return web.Response(status=204)

    async def _faults(self, request: web.Request) -> web.Response:
        try:
            sent = await _sent(request)
            if not isinstance(sent, dict):
                raise ValueError("Send a JSON object.")  # noqa: TRY004, TRY301  answered like every other wrong body
            faults = self._emulator.change_faults(**sent)
        except ValueError as bad:
            return _json(400, {"message": str(bad)})
        return _json(200, asdict(faults))

    async def _stats(self, request: web.Request) -> web.Response:  # noqa: ARG002  a handler's shape
        counts = self._emulator.stats.as_json()
        return _json(200, {**counts, "generations": self._emulator.states()})


def _life(generation: Generation, now: float) -> dict[str, Any]:
    life = generation.life
    left = life.created + life.ends_after - now
    return {
        "id": generation.id,
        "state": WORDS[life.state(now)],
        "outcome": WORDS[life.outcome],
        "ends_in": None if math.isinf(left) else round(left, 3),
    }


async def _sent(request: web.Request) -> Any:
    # orjson's error is a ValueError
    return orjson.loads(await request.read())


def _json(status: int, value: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
