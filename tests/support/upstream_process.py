"""An upstream of our own: speaks the Luma API, in a process by itself, with every freedom its document leaves open.

It shares no code with the product or its emulator, so that a mistake of ours is not made twice. Started by itself it
prints its port. Each *case* is an API of its own under `/<case>/`, with generations and a habit that a test sets
through `/_/<case>`:

    PUT  /_/CASE                {"habit": {...}, "states": {id: word}}        begin anew
    POST /_/CASE                {"states": {id: word}} or {"all": word}       generations move on
    GET  /_/CASE?asked=N&ids=M  answers once N requests came and M IDs were looked at, with what was seen

What a habit may hold is written at `Habit`.
"""

import asyncio
import gzip
import json
import random
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

KEY = "sk-upstream-0123456789abcdef"
PATIENCE = 20.0


@dataclass(kw_only=True)
class Habit:
    """How one case answers."""

    #: Of a multi reply: array, generations, data, items, map, object (one ID alone: the record; several: an array).
    shape: str = "array"
    #: asked, reversed or shuffled.
    order: str = "asked"
    #: Records of others among ours.
    foreign: bool = False
    #: IDs come back in capitals.
    upper: bool = False
    #: omit, null, error, or a status with which the whole batch is refused.
    unknown: str | int = "omit"
    #: The batch route answers 404.
    no_multi: bool = False
    #: Forms of several IDs that are understood.
    ids_as: tuple[str, ...] = ("array", "comma")
    #: More IDs are refused with the second number.
    max_ids: tuple[int, int] | None = None
    gzip: bool = False
    #: luma (`assets.video`) or universal (`status`, `video.url`).
    record: str = "luma"
    #: Requests are held for so long before they are answered, seconds.
    hang: float = 0.0
    #: What happens to the next requests, one each; see `_misbehave`.
    faults: list[dict[str, Any]] = field(default_factory=list)


class Case:
    def __init__(self, habit: Habit, states: dict[str, str]) -> None:
        self.habit = habit
        self.faults = deque(habit.faults)
        self.states = {id_.lower(): word for id_, word in states.items()}
        self.requests: list[dict[str, Any]] = []
        self.looked_at: set[str] = set()
        self.moved = asyncio.Condition()

    async def note(self, request: web.Request, ids: list[str]) -> None:
        async with self.moved:
            self.requests.append(
                {"path": request.path, "ids": len(ids), "query": request.raw_path.partition("?")[2][:300]}
            )
            self.looked_at.update(ids)
            self.moved.notify_all()


class Station:
    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.chance = random.Random(7)

    # ---- what a test says ----
    async def begin(self, request: web.Request) -> web.Response:
        told = await request.json()
        self.cases[request.match_info["case"]] = Case(Habit(**told.get("habit", {})), told.get("states", {}))
        return web.json_response({})

    async def move(self, request: web.Request) -> web.Response:
        told, case = await request.json(), self.cases[request.match_info["case"]]
        if "all" in told:
            case.states = dict.fromkeys(case.states, told["all"])
        case.states.update({id_.lower(): word for id_, word in told.get("states", {}).items()})
        return web.json_response({})

    async def seen(self, request: web.Request) -> web.Response:
        case = self.cases[request.match_info["case"]]
        asked, ids = int(request.query.get("asked", 0)), int(request.query.get("ids", 0))

        def enough() -> bool:
            return len(case.requests) >= asked and len(case.looked_at) >= ids

        async with case.moved:
            try:
                await asyncio.wait_for(case.moved.wait_for(enough), PATIENCE)
            except TimeoutError:
                return web.json_response({"requests": case.requests, "ids": len(case.looked_at)}, status=408)
        return web.json_response({"requests": case.requests, "ids": len(case.looked_at)})

    # ---- the API ----
    async def single(self, request: web.Request) -> web.StreamResponse:
        case = self.cases[request.match_info["case"]]
        id_ = request.query["generation_id"]
        await case.note(request, [id_.lower()])
        refusal = await self._gate(request, case)
        if refusal is not None:
            return refusal
        if id_.lower() not in case.states:
            return _error(404, "Not Found")
        return await self._send(request, case, _record(case, id_))

    async def multi(self, request: web.Request) -> web.StreamResponse:
        case = self.cases[request.match_info["case"]]
        arrays = request.query.getall("generation_ids[]", [])
        joined = [id_ for part in request.query.getall("generation_ids", []) for id_ in part.split(",")]
        ids = arrays + joined
        await case.note(request, [id_.lower() for id_ in ids])
        refusal = await self._gate(request, case) or self._refuse_batch(case, arrays, joined)
        if refusal is not None:
            return refusal
        return await self._send(request, case, self._shape(case, ids))

    async def _gate(self, request: web.Request, case: Case) -> web.StreamResponse | None:
        if case.habit.hang:
            await asyncio.sleep(case.habit.hang)
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "This endpoint requires a valid API key.")
        return await self._misbehave(request, case.faults.popleft()) if case.faults else None

    async def _misbehave(self, request: web.Request, fault: dict[str, Any]) -> web.StreamResponse | None:
        """One fault, or none for {}.

        {"status", "retry_after" (seconds), "as_date", "html"}; {"cut": true}: the connection ends in the body;
        {"half": true}: half of the JSON, as a whole reply; {"drip": seconds}: so long for the body.
        """
        if "status" in fault:
            headers = {}
            if "retry_after" in fault:
                until = datetime.now(UTC) + timedelta(seconds=fault["retry_after"])  # noqa: TID251  a server's own clock
                headers["Retry-After"] = (
                    format_datetime(until, usegmt=True) if fault.get("as_date") else str(fault["retry_after"])
                )
            if fault.get("html"):
                page = "<html><body><h1>Bad Gateway</h1></body></html>"
                return web.Response(status=fault["status"], text=page, content_type="text/html", headers=headers)
            return _error(fault["status"], "Sorry.", headers)
        if fault.get("half"):
            return web.Response(text='[{"id": "0000', content_type="application/json")
        if fault.get("cut"):
            response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(b'[{"id": "')
            assert request.transport is not None
            request.transport.abort()
            return response
        request["drip"] = fault.get("drip", 0.0)
        return None

    def _refuse_batch(self, case: Case, arrays: list[str], joined: list[str]) -> web.Response | None:
        habit, ids = case.habit, arrays + joined
        if habit.no_multi:
            return _error(404, "Cannot GET")
        if (arrays and "array" not in habit.ids_as) or (joined and "comma" not in habit.ids_as) or not ids:
            return _error(400, "Body validation error!")
        if habit.max_ids is not None and len(ids) > habit.max_ids[0]:
            return _error(habit.max_ids[1], "Too many.")
        if isinstance(habit.unknown, int) and any(id_.lower() not in case.states for id_ in ids):
            return _error(habit.unknown, "Body validation error!")
        return None

    def _shape(self, case: Case, ids: list[str]) -> Any:
        habit = case.habit
        entries = [(id_, _record(case, id_)) for id_ in ids]
        if habit.unknown == "omit":
            entries = [entry for entry in entries if entry[1] is not None]
        if habit.unknown == "error":
            entries = [(id_, found or {"statusCode": 404, "message": "Not Found"}) for id_, found in entries]
        if habit.foreign:
            entries += [(f"foreign-{n}", {"id": f"foreign-{n}", "state": "failed"}) for n in range(3)]
        if habit.order == "reversed":
            entries.reverse()
        if habit.order == "shuffled":
            self.chance.shuffle(entries)
        if habit.shape == "map":
            return dict(entries)
        if habit.shape == "object" and len(entries) == 1:
            return entries[0][1]
        records = [found for _, found in entries]
        return {habit.shape: records} if habit.shape in ("generations", "data", "items") else records

    async def _send(self, request: web.Request, case: Case, value: Any) -> web.StreamResponse:
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json"}
        if case.habit.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        if not request.get("drip"):
            return web.Response(body=body, headers=headers)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for start in range(0, len(body), len(body) // 10 + 1):
            await response.write(body[start : start + len(body) // 10 + 1])
            await asyncio.sleep(request["drip"] / 10)
        return response


def _record(case: Case, id_: str) -> dict[str, Any] | None:
    word = case.states.get(id_.lower())
    if word is None:
        return None
    shown = id_.upper() if case.habit.upper else id_
    url = f"https://cdn.example.com/{id_}.mp4" if word == "completed" else None
    if case.habit.record == "universal":
        return {"id": shown, "status": word, "video": {"url": url} if url else None}
    failure = "moderation" if word == "failed" else None
    return {"id": shown, "generation_type": "video", "state": word, "failure_reason": failure, "assets": {"video": url}}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    told = {"message": message, "path": "/v2", "requestId": "798b860e", "statusCode": status}
    return web.json_response(told, status=status, headers=headers)


async def serve() -> None:
    station = Station()
    app = web.Application()
    app.router.add_put("/_/{case}", station.begin)
    app.router.add_post("/_/{case}", station.move)
    app.router.add_get("/_/{case}", station.seen)
    app.router.add_get("/{case}/v2/generate/video/luma-ai/generation", station.single)
    app.router.add_get("/{case}/v2/generate/video/luma-ai/generations", station.multi)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, max_line_size=65_536)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started us goes away


if __name__ == "__main__":
    asyncio.run(serve())
