"""The routes of the API, as its documents and samples have them, with the faults that are set.

Luma's three, and the universal endpoint's two, which serve the same generations one at a time, never wait, and have
words of their own.

In order, as a request would meet it: the connection and the gateway, the key, the rate, then the route itself. Errors
have the API's envelope. The state is looked up when the reply is made, after any long-poll.
"""

import hmac
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Final

import orjson
from aiohttp import web

from notifier.domain.model import State
from notifier.emulator.faults import FaultKind, draw_fault
from notifier.emulator.generations import WORDS
from notifier.emulator.parse import INVALID, BadQuery, parse_multi, parse_single
from notifier.emulator.random_draws import draw_uuid
from notifier.emulator.settings import LongPoll, RecordForm, RetryAfter
from notifier.emulator.shapes import BAD_GATEWAY, envelope, in_order, multi_reply
from notifier.emulator.specs import Spec
from notifier.emulator.upstream import Emulator, Generation

SINGLE: Final = "/v2/generate/video/luma-ai/generation"
MULTI: Final = "/v2/generate/video/luma-ai/generations"
VIDEO: Final = "/v2/video/generations"

#: Luma's words -> those of the universal endpoint, if they differ.
_VIDEO_WORDS: Final = {WORDS[State.RUNNING]: "generating", WORDS[State.FAILED]: "error"}

_NOT_FOUND: Final = "Generation not found"
_REFUSALS: Final = {
    401: "Unauthorized: use a valid API key",
    403: "You've run out of credits. Please top up your balance",
}

_Route = Callable[[web.Request, int], Awaitable[tuple[int, Any]]]


class _Refusal(Exception):
    """An answer with the error envelope."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Routes:
    """Answers requests to the API from an `Emulator`."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._number = 0

    def add_to(self, app: web.Application) -> None:
        """The API's routes, and an API-like 404 for everything else: add it last."""
        app.router.add_post(SINGLE, self._handler("create", self._create))
        app.router.add_get(SINGLE, self._handler("single", self._single))
        app.router.add_get(MULTI, self._handler("multi", self._multi))
        app.router.add_post(VIDEO, self._handler("create", self._create_video))
        app.router.add_get(VIDEO, self._handler("single", self._video))
        app.router.add_route("*", "/{rest:.*}", self._handler("other", self._other))

    def _handler(self, name: str, route: _Route) -> Callable[[web.Request], Awaitable[web.Response]]:
        stats = self._emulator.stats

        async def handle(request: web.Request) -> web.Response:
            stats.requests[name] += 1
            self._number += 1
            response = await self._answer(request, route, self._number)
            stats.statuses[0 if _is_cut(request) else response.status] += 1
            return response

        return handle

    async def _answer(self, request: web.Request, route: _Route, number: int) -> web.Response:
        fault = draw_fault(self._emulator.faults, self._emulator.settings.seed, number)
        if fault is not None:
            self._emulator.stats.faults[fault.value] += 1
        if fault is FaultKind.DROPPED:
            return _dropped(request)
        if fault is FaultKind.BAD_GATEWAY:
            return web.Response(status=502, body=BAD_GATEWAY, content_type="text/html")
        if fault is FaultKind.SLOW:
            await self._emulator.linger(self._emulator.faults.slow_by)
        try:
            self._admit(request, fault)
            status, value = await route(request, number)
        except _Refusal as refusal:
            return self._refused(request, refusal, number)
        except BadQuery as bad:
            return self._refused(request, _Refusal(400, str(bad)), number)
        body = orjson.dumps(value)
        return _json(status, body[: len(body) // 2] if fault is FaultKind.TRUNCATED else body)

    def _admit(self, request: web.Request, fault: FaultKind | None) -> None:
        """Refuse by the key, the length, the rate or an injected error, in this order."""
        faults = self._emulator.faults
        if faults.refuse:
            raise _Refusal(faults.refuse, _REFUSALS.get(faults.refuse, "Refused"))
        if not _has_key(request.headers.get("Authorization", ""), self._emulator.settings.api_key):
            raise _Refusal(401, _REFUSALS[401])
        if len(request.raw_path) > self._emulator.settings.max_url:
            raise _Refusal(414, "URI Too Long")
        if faults.rate:
            wait = self._emulator.bucket.wait(faults.rate, now=self._emulator.clock.monotonic())
            if wait:
                raise _Refusal(429, "Too Many Requests", self._come_again(wait))
        if fault is FaultKind.SERVER_ERROR:
            raise _Refusal(500, "Internal server error")

    def _come_again(self, wait: float) -> dict[str, str]:
        how, seconds = self._emulator.faults.retry_after, max(1, math.ceil(wait))
        if how is RetryAfter.NONE:
            return {}
        if how is RetryAfter.SECONDS:
            return {"Retry-After": str(seconds)}
        # a date has whole seconds only: round up, or it would name a moment that is too early
        at = self._emulator.clock.now() + timedelta(seconds=seconds + 1)
        return {"Retry-After": format_datetime(at, usegmt=True)}

    def _refused(self, request: web.Request, refusal: _Refusal, number: int) -> web.Response:
        body = envelope(
            refusal.status,
            str(refusal),
            path=request.raw_path,
            request_id=draw_uuid(self._emulator.settings.seed, "request", number),
            at=self._emulator.clock.now(),
        )
        return _json(refusal.status, orjson.dumps(body), refusal.headers)

    # ---- the routes -----------------------------------------------------------------------------------------------
    async def _create(self, request: web.Request, number: int) -> tuple[int, Any]:  # noqa: ARG002  a route's shape
        made = self._emulator.add(Spec(), await _order(request, "prompt"))
        return 201, self._shown_alone(made)

    async def _create_video(self, request: web.Request, number: int) -> tuple[int, Any]:
        sent = await _order(request, "model")
        id_ = f"{draw_uuid(self._emulator.settings.seed, 'video', number)}:{sent['model']}"
        return 201, self._shown_video(self._emulator.add(Spec(id=id_), sent))

    async def _video(self, request: web.Request, number: int) -> tuple[int, Any]:  # noqa: ARG002  a route's shape
        (id_,) = parse_single(request.rel_url.raw_query_string).ids
        self._emulator.stats.ids_asked += 1
        found = self._emulator.found(id_)
        if found is None or found.id != id_:  # case counts here
            raise _Refusal(self._emulator.settings.unknown.status or 404, _NOT_FOUND)
        return 200, self._shown_video(found)

    async def _single(self, request: web.Request, number: int) -> tuple[int, Any]:  # noqa: ARG002  a route's shape
        query = parse_single(request.rel_url.raw_query_string)
        self._emulator.stats.ids_asked += 1
        found = self._emulator.found(query.ids[0])
        if found is None:
            raise _Refusal(self._emulator.settings.unknown.status or 404, _NOT_FOUND)
        if query.wait is not None:
            await self._emulator.long_poll([found], query.wait, LongPoll.ANY)
        return 200, self._shown_alone(found)

    async def _multi(self, request: web.Request, number: int) -> tuple[int, Any]:
        if not self._emulator.faults.batch:
            return await self._other(request, number)
        emulator, settings = self._emulator, self._emulator.settings
        query = parse_multi(request.rel_url.raw_query_string, settings.wait_name)
        emulator.stats.count_ids(len(query.ids))
        if settings.max_ids and len(query.ids) > settings.max_ids:
            raise _Refusal(settings.max_ids_status, f"generation_ids must contain at most {settings.max_ids} items")
        found = {id_: emulator.found(id_) for id_ in query.ids}
        known = [generation for generation in found.values() if generation is not None]
        if settings.unknown.status is not None and len(known) < len(found):
            raise _Refusal(settings.unknown.status, _NOT_FOUND)
        if query.wait is not None:
            await emulator.long_poll(known, query.wait, settings.long_poll)
        ordered = in_order(query.ids, settings.order, seed=settings.seed, number=number)
        return 200, multi_reply(settings.shape, settings.unknown, self._records([(id_, found[id_]) for id_ in ordered]))

    def _records(self, found: list[tuple[str, Generation | None]]) -> dict[str, dict[str, Any] | None]:
        """ID as the provider writes it -> its record now, None if it is not known."""
        now, form = self._emulator.clock.monotonic(), self._emulator.settings.record
        return {
            id_ if one is None else one.id: None if one is None else self._emulator.shown(one, form, now=now)
            for id_, one in found
        }

    def _shown_alone(self, generation: Generation) -> dict[str, Any]:
        form = self._emulator.settings.single_record
        return self._emulator.shown(generation, form, now=self._emulator.clock.monotonic())

    def _shown_video(self, generation: Generation) -> dict[str, Any]:
        shown = self._emulator.shown(generation, RecordForm.UNIVERSAL, now=self._emulator.clock.monotonic())
        return shown | {"status": _VIDEO_WORDS.get(shown["status"], shown["status"])}

    async def _other(self, request: web.Request, number: int) -> tuple[int, Any]:  # noqa: ARG002  a route's shape
        raise _Refusal(404, f"Cannot {request.method} {request.path}")


async def _order(request: web.Request, needed: str) -> dict[str, Any]:
    """What was sent to create a generation: an object with at least the text `needed`."""
    try:
        sent = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise _Refusal(400, INVALID) from None
    if not isinstance(sent, dict) or not isinstance(sent.get(needed), str):
        raise _Refusal(400, INVALID)
    return sent


def _has_key(authorization: str, key: str) -> bool:
    scheme, _, sent = authorization.partition(" ")
    sent = sent.strip()
    if scheme.lower() != "bearer" or not sent:
        return False
    return not key or hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), key.encode())


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, headers=headers, content_type="application/json", charset="utf-8")


def _is_cut(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _dropped(request: web.Request) -> web.Response:
    """Cut the connection; the returned answer is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
