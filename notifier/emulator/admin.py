"""The emulator's own routes under `/_emulator/`, for tests and benchmarks that drive it as another process.

They ask for no key and meet no faults. `docs/emulator.md` lists them.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

import orjson
from aiohttp import web

from notifier.emulator.generations import STATES, WORDS
from notifier.emulator.specs import read_specs
from notifier.emulator.upstream import Emulator, Generation

Handler = Callable[[web.Request], Awaitable[web.Response]]
BASE: Final = "/_emulator"


class Admin:
    """Lets another process do what `Emulator` offers in this one."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def add_to(self, app: web.Application) -> None:
        for method, path, handler in (
            ("POST", "/generations", self._create),
            ("GET", "/generations", self._list),
            ("POST", "/generations/{id}", self._move),
            ("DELETE", "/generations/{id}", self._forget),
            ("POST", "/faults", self._faults),
            ("GET", "/stats", self._stats),
        ):
            app.router.add_route(method, BASE + path, _answered(handler))

    async def _create(self, request: web.Request) -> tuple[int, Any]:
        return 201, {"ids": self._emulator.create_all(read_specs(orjson.loads(await request.read())))}

    async def _list(self, request: web.Request) -> tuple[int, Any]:  # noqa: ARG002  a handler's shape
        """Where each generation is and when it is there: seconds from now, null for never or not again."""
        now = self._emulator.clock.monotonic()
        return 200, {"generations": [_life(generation, now) for generation in self._emulator.generations]}

    async def _move(self, request: web.Request) -> tuple[int, Any]:
        sent = orjson.loads(await request.read())
        if not isinstance(sent, dict) or sent.get("state") not in [*STATES]:
            raise ValueError(f'Send {{"state": …}} with one of: {", ".join(STATES)}.')
        self._emulator.move(request.match_info["id"], STATES[sent["state"]])
        return 200, {"id": request.match_info["id"], "state": sent["state"]}

    async def _forget(self, request: web.Request) -> tuple[int, Any]:
        self._emulator.forget(request.match_info["id"])
        return 204, None

    async def _faults(self, request: web.Request) -> tuple[int, Any]:
        sent = orjson.loads(await request.read())
        if not isinstance(sent, dict):
            raise ValueError("Send a JSON object.")  # noqa: TRY004  answered like every other wrong body
        return 200, asdict(self._emulator.change_faults(**sent))

    async def _stats(self, request: web.Request) -> tuple[int, Any]:  # noqa: ARG002  a handler's shape
        return 200, {**self._emulator.stats.as_json(), "generations": self._emulator.states()}


def _answered(handler: Callable[[web.Request], Awaitable[tuple[int, Any]]]) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        try:
            status, value = await handler(request)
        except ValueError as bad:  # orjson's error is one too
            status, value = 400, {"message": str(bad)}
        except KeyError:
            status, value = 404, {"message": "There is no such generation."}
        if value is None:
            return web.Response(status=status)
        body = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
        return web.Response(status=status, body=body, content_type="application/json")

    return answer


def _life(generation: Generation, now: float) -> dict[str, Any]:
    life = generation.life
    left = life.created + life.ends_after - now
    return {
        "id": generation.id,
        "state": WORDS[life.state(now)],
        "outcome": WORDS[life.outcome],
        "ends_in": None if math.isinf(left) else round(left, 3),
    }
