"""One table of routes: what may be asked where, and who answers. JSON in, JSON out.

Every answer that is no success is `{"error": SENTENCE}`: 400 cannot be understood, 404 names nothing, 409 not now, 413
too large, 421 another daemon is meant, 503 the store cannot write. What is answered with 200 is durable.
"""

import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import orjson
import structlog
from aiohttp import hdrs, web
from pydantic import TypeAdapter

from notifier import __version__
from notifier.admin.operations import Operations
from notifier.admin.requests import Cancellation, Disabling, HistoryOf, Listing, Nothing, Recovery, Redelivery, Request
from notifier.api import render
from notifier.api.parse import parse_body, parse_query
from notifier.api.socket_path import STORE_HEADER, mark_of
from notifier.domain.endpoint_health import Change
from notifier.domain.errors import DaemonRefused, InvalidRequest, NotifierError
from notifier.domain.model import Verdict
from notifier.domain.times import iso
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.store.ports import ReportStore
from notifier.store.records import GenerationSummary
from notifier.text.masking import without_query
from notifier.text.printable import printable

T = TypeVar("T")
_log = structlog.get_logger()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: From the parsed request, and what the path names.
Answer = Callable[..., Awaitable[web.Response]]

#: Bytes of a request's body, at most.
LARGEST: Final = 64 * 1024
#: Seconds that a request has until all of it is here.
WHOLE_WITHIN: Final = 10.0
#: Connections whose request is all here and carried out now. Others may be closed to make room.
IN_PROGRESS: Final = web.AppKey("in_progress", set[object])


def application(operations: Operations, *, clock: Clock, store: str, reports: ReportStore) -> web.Application:
    """What the server serves; `store` is the path of the daemon's own, and `reports` what it knows."""
    routes = _Routes(operations, clock, store, reports)
    app = web.Application(
        client_max_size=LARGEST, middlewares=[_log_commands, _errors_as_json, _read_whole, routes.refuse_other_store]
    )
    app[IN_PROGRESS] = set()
    app.add_routes([route(path, routes.handler(model, answer)) for route, path, model, answer in routes.table()])
    return app


class _Routes:
    def __init__(self, operations: Operations, clock: Clock, store: str, reports: ReportStore) -> None:
        self._operations = operations
        self._clock = clock
        self._store = store
        self._reports = reports
        self._mark = mark_of(os.path.realpath(store))

    @web.middleware
    async def refuse_other_store(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get(STORE_HEADER) not in (None, self._mark):
            sentence = f"The daemon that answers here keeps another store, {self._store}: name yours with --socket."
            raise DaemonRefused(sentence)
        return await handler(request)

    def table(self) -> Sequence[tuple[Callable[[str, Handler], web.RouteDef], str, type[Request], Answer]]:
        """Method, path, what may be asked there, and who answers it."""
        reports = self._reports

        def listed(params: Listing) -> Awaitable[Sequence[GenerationSummary]]:
            return reports.generations(open_only=not params.all, limit=params.limit)

        return [
            (web.get, "/v1", Nothing, self._about),
            (web.get, "/v1/generations", Listing, _report(render.GENERATIONS, listed)),
            (
                web.get,
                "/v1/histories",
                HistoryOf,
                _report(render.HISTORIES, lambda asked: reports.histories(asked.id)),
            ),
            (web.get, "/v1/troubles", Nothing, _report(render.TROUBLES, lambda _: reports.provider_troubles())),
            (web.get, "/v1/endpoints", Nothing, _report(render.ENDPOINTS, lambda _: reports.endpoint_summaries())),
            (web.post, "/v1/redeliver", Redelivery, self._redeliver),
            (web.post, "/v1/recover", Recovery, self._redeliver),
            (web.post, "/v1/cancel", Cancellation, self._cancel),
            (web.post, "/v1/endpoints/{name}/enable", Nothing, self._enable),
            (web.post, "/v1/endpoints/{name}/disable", Disabling, self._disable),
            (web.post, "/v1/endpoints/{name}/test", Nothing, self._test),
        ]

    def handler(self, model: type[Request], answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            now = self._clock.now()
            if request.method == hdrs.METH_POST:
                params = parse_body(model, await _body(request), now=now)
            else:
                params = parse_query(model, request.query, now=now)
            return await answer(params, **request.match_info)

        return handle

    async def _about(self, _: Nothing) -> web.Response:
        return _answer({"version": __version__, "store": self._store})

    async def _redeliver(self, params: Redelivery | Recovery) -> web.Response:
        return _answer(asdict(await self._operations.redeliver(params.selection())))

    async def _cancel(self, params: Cancellation) -> web.Response:
        done = await self._operations.cancel(params.choice())
        return _answer({"cancelled": done.cancelled, "ended": {str(status): n for status, n in done.ended.items()}})

    async def _enable(self, _: Nothing, name: str) -> web.Response:
        return _changed(await self._operations.enable(name))

    async def _disable(self, params: Disabling, name: str) -> web.Response:
        return _changed(await self._operations.disable(name, params.reason or ""))

    async def _test(self, _: Nothing, name: str) -> web.Response:
        tested = await self._operations.test(name)
        return _answer(
            {
                "message": tested.message_id,
                "delivered": tested.verdict is Verdict.DELIVERED,
                "verdict": tested.verdict,
                "status": tested.status_code,
                "took_ms": round(tested.took.total_seconds() * 1000),
                "detail": tested.detail,
                "head": tested.head.decode(errors="replace"),
            }
        )


async def _body(request: web.Request) -> bytes:
    """The body is read once; a later call returns it at once."""
    try:
        with anyio.fail_after(WHOLE_WITHIN):
            return await request.read()
    except TimeoutError:
        raise InvalidRequest(f"The request's body was not all here after {WHOLE_WITHIN:.0f} seconds.") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise InvalidRequest("The request's body broke off, or is not in the encoding that it says.") from error


def _report(form: TypeAdapter[T], ask: Callable[[Any], Awaitable[T]]) -> Answer:
    async def answer(params: Request) -> web.Response:
        # in a thread, so that the loops continue: the list of a full store is long
        body = await anyio.to_thread.run_sync(form.dump_json, await ask(params))
        return web.Response(body=body, content_type="application/json")

    return answer


def _changed(change: Change) -> web.Response:
    return _answer(
        {
            "endpoint": change.after.destination,
            "was": change.before.state,
            "state": change.after.state,
            "reason": change.after.reason,
            "parked": change.parked,
            "given_up": change.given_up,
            "oldest": None if change.oldest is None else iso(change.oldest),
        }
    )


def _answer(content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def _failed(status: HTTPStatus, sentence: str) -> web.Response:
    return _answer({"error": sentence}, status)


@web.middleware
async def _log_commands(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log who asked for what: it shows later why an endpoint is disabled."""
    uid = _uid(request)
    answer = await handler(request)
    if request.method == "POST":
        _log.info(
            log_events.API_REQUEST, path=printable(without_query(request.path), 200), status=answer.status, uid=uid
        )
    return answer


@web.middleware
async def _read_whole(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No request is carried out before all of it is here."""
    await _body(request)
    in_progress = request.app[IN_PROGRESS]
    in_progress.add(request.protocol)
    try:
        return await handler(request)
    finally:
        in_progress.discard(request.protocol)


def _uid(request: web.Request) -> int | None:
    """The user at the other end of the socket (SO_PEERCRED, unix(7)); None if it is gone already."""
    opened = None if request.transport is None else request.transport.get_extra_info("socket")
    if opened is None:
        return None
    _, uid, _ = struct.unpack("3i", opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in the same form."""
    try:
        return await handler(request)
    except NotifierError as error:
        return _failed(render.status_of(error), str(error))
    except web.HTTPException as error:
        return _failed(HTTPStatus(error.status), _sentence(error, printable(request.path, 200)))
    except Exception:  # noqa: BLE001  a bug behind one request may not stop the server for the next
        _log.exception(log_events.API_FAILED, path=printable(without_query(request.path), 200))
        return _failed(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong inside notifier: its log says what.")


def _sentence(error: web.HTTPException, path: str) -> str:
    """In place of aiohttp's own."""
    match error:
        case web.HTTPRequestEntityTooLarge():
            return f"A request is at most {LARGEST // 1024} KiB."
        case web.HTTPMethodNotAllowed():
            return f"{path} answers {', '.join(sorted(error.allowed_methods))} only."
        case web.HTTPNotFound():
            return f"There is nothing at {path}."
        case _:
            return error.reason
