"""A receiver of our own, in a process by itself: verifies with `standardwebhooks`, keeps a ledger, fails as it is told.

It shares no code with the product. `python receiver_station.py` prints its port. Each *box* is an endpoint of its own
at `/hook/<box>`, and told what to do through `/_/<box>`:

    PUT   {"secrets": [...], "one_in": 5, "seed": 1, "script": [...], "log": path}   begin anew, with an empty ledger
    POST  answer what is held; or {"pid", "when", "number"}: kill that process at the callback of this number from now
    GET   ?CONDITION=N: answers once `entries`, `distinct` (IDs), `delivered` (IDs answered 200) or `held` is N, with
          the ledger; 408 after a while, 404 where nothing was begun

`GET /settled` answers once nobody but the asker is connected: what a caller that is gone now had sent is in the ledger.

An entry of the ledger is {"id", "at", "timestamp", "answer", "verified", "type", "generation", "url", "metadata",
"body", "authorization"}, in the order in which callbacks came; `at` is seconds on this machine's monotonic clock and
`answer` what was given: a status, "hang" (until the caller goes away), "close" (without an answer) or "hold" (until
told, then 200). With a `log` each entry is a line of that file too, on the disk before the callback is answered.

A process that is to be killed dies when its callback is "read" whole, "noted" in the ledger, "half" answered or
"answered".
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

PATIENCE = 30.0
_CALM = 3
_WAYS_TO_FAIL = ("500", "hang", "close")


class Box:
    def __init__(self, told: Mapping[str, Any]) -> None:
        self.keys = [Webhook(secret) for secret in told.get("secrets", [])]
        self.one_in: int = told.get("one_in", 0)
        self.seed: int = told.get("seed", 0)
        self.script: list[str] = list(told.get("script", []))
        self.ledger: list[dict[str, Any]] = []
        self.seen: dict[str, int] = {}
        self.delivered: set[str] = set()
        self.moved = asyncio.Condition()
        self.released = asyncio.Event()
        self.held = 0
        self.log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if "log" in told else None
        #: Who is to be killed, when, and after how many callbacks.
        self.doom: dict[str, Any] = {}

    def note(self, entry: Mapping[str, Any]) -> None:
        if self.log is not None:
            os.write(self.log, json.dumps(entry).encode() + b"\n")
            os.fsync(self.log)

    def reached(self, when: str) -> None:
        if self.doom.get("when") == when:
            self.doom["number"] -= 1
            if self.doom["number"] == 0:
                with suppress(ProcessLookupError):
                    os.kill(self.doom["pid"], signal.SIGKILL)

    def answer(self, id_: str) -> str:
        """By the script while it lasts; then one in `one_in` fails, by seed, ID and number of the attempt alone."""
        number = self.seen[id_] = self.seen.get(id_, 0) + 1
        if self.script:
            return self.script.pop(0)
        if not self.one_in:
            return "200"
        drawn = int.from_bytes(hashlib.sha256(f"{self.seed}/{id_}/{number}".encode()).digest()[:8], "big")
        return _WAYS_TO_FAIL[drawn // self.one_in % 3] if drawn % self.one_in == 0 else "200"

    def verified(self, body: bytes, headers: Mapping[str, str]) -> bool:
        for key in self.keys:
            try:
                key.verify(body, dict(headers))
            except WebhookVerificationError:
                continue
            return True
        return False

    def count(self, what: str) -> int:
        return {
            "entries": len(self.ledger),
            "distinct": len(self.seen),
            "delivered": len(self.delivered),
            "held": self.held,
        }[what]


class Station:
    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        #: Asks who is connected.
        self.connected: Callable[[], Sequence[object]] = list

    async def begin(self, request: web.Request) -> web.Response:
        self.boxes[request.match_info["box"]] = Box(await request.json())
        return web.json_response({})

    async def tell(self, request: web.Request) -> web.Response:
        box = self.boxes[request.match_info["box"]]
        if request.can_read_body:
            box.doom = await request.json()
        else:
            box.released.set()
        return web.json_response({})

    async def wait(self, request: web.Request) -> web.Response:
        if request.match_info["box"] not in self.boxes:
            raise web.HTTPNotFound
        box = self.boxes[request.match_info["box"]]
        asked = {what: int(number) for what, number in request.query.items()}
        async with box.moved:
            try:
                await asyncio.wait_for(
                    box.moved.wait_for(lambda: all(box.count(what) >= number for what, number in asked.items())),
                    PATIENCE,
                )
            except TimeoutError:
                return web.json_response(box.ledger, status=408)
        return web.json_response(box.ledger)

    async def hook(self, request: web.Request) -> web.StreamResponse:
        box = self.boxes[request.match_info["box"]]
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        box.reached("read")
        entry = await self._note(box, body, headers)
        answer = entry["answer"]
        box.reached("noted")
        if answer == "hang":
            await asyncio.sleep(3600)
        if answer == "hold":
            await box.released.wait()
        if answer == "close":
            assert request.transport is not None
            request.transport.abort()
        status = int(answer) if answer.isdecimal() else 200
        response = web.StreamResponse(status=status, headers={"Content-Length": "7"})
        with suppress(ConnectionResetError):  # the caller is gone
            await self._answer(request, box, response)
        return response

    async def _answer(self, request: web.Request, box: Box, response: web.StreamResponse) -> None:
        await response.prepare(request)
        await response.write(b"as ")
        box.reached("half")
        await response.write(b"told")
        await response.write_eof()
        box.reached("answered")

    async def settled(self, _request: web.Request) -> web.Response:
        """A connection that waits to be accepted is there one turn of the loop later, so it is asked some times."""
        calm = 0
        while calm < _CALM:
            await asyncio.sleep(0.005)
            calm = calm + 1 if len(self.connected()) <= 1 else 0
        return web.json_response({})

    async def _note(self, box: Box, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        id_ = headers.get("webhook-id", "")
        told = json.loads(body)
        entry = {
            "id": id_,
            "at": time.monotonic(),
            "timestamp": int(headers.get("webhook-timestamp", "0")),
            "answer": box.answer(id_),
            "verified": box.verified(body, headers),
            "type": told.get("type"),
            "generation": told.get("data", {}).get("generation_id"),
            "url": ((told.get("data") or {}).get("result") or {}).get("url"),
            "metadata": (told.get("data") or {}).get("metadata"),
            "body": hashlib.sha256(body).hexdigest(),
            "authorization": headers.get("authorization"),
        }
        async with box.moved:
            box.ledger.append(entry)
            box.note(entry)
            box.held += entry["answer"] == "hold"
            if entry["answer"] == "200":
                box.delivered.add(id_)
            box.moved.notify_all()
        return entry


async def serve() -> None:
    station = Station()
    app = web.Application()
    app.router.add_put("/_/{box}", station.begin)
    app.router.add_post("/_/{box}", station.tell)
    app.router.add_get("/_/{box}", station.wait)
    app.router.add_post("/hook/{box}", station.hook)
    app.router.add_get("/settled", station.settled)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    server = runner.server
    assert server is not None
    station.connected = lambda: server.connections
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started us goes away


if __name__ == "__main__":
    asyncio.run(serve())
