"""The API on a real socket: the daemon in process does what is asked for, and answers what it did."""

import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from notifier.admin.operations import STEP, Operations
from notifier.api.routes import application
from notifier.api.server import MOST, Server, most_connections
from notifier.api.socket_path import STORE_HEADER, mark_of
from notifier.cli.reports import _history
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.policies import Endpoints
from notifier.delivery.sender import Sender
from notifier.domain.errors import ConfigError, InvalidRequest, StoreUnavailable
from notifier.domain.ids import GenerationId, MessageId, WatchId
from notifier.domain.model import DeliveryStatus, Format, State, Trigger, WatchStatus
from notifier.emulator.receiver import ReceiverSettings, serve_receiver
from notifier.runtime.health import STORE, Health
from notifier.runtime.wakeup import Wakeup
from notifier.schemas.build import schema
from notifier.store.records import DeliverySummary, Selection, WatchChoice
from notifier.store.sqlite import open_reader
from notifier.store.sqlite.store import SqliteStore
from tests.support.daemon_rig import Caller, Site, caller, site, up
from tests.support.daemon_rig import endpoint as configured
from tests.support.fakes import SECRET, HandClock, Tripped, endpoint, enqueue, heard, quiet, request, watching


async def deliveries_of(place: Site, generation: str) -> list[DeliverySummary]:
    async with open_reader(str(place.directory / "notifier.db")) as store:
        histories = await store.histories(GenerationId(generation))
    return [line for history in histories for watch in history.watches for line in watch.deliveries]


async def delivered(place: Site, generation: str) -> bool:
    return {line.status for line in await deliveries_of(place, generation)} == {DeliveryStatus.DELIVERED}


# ---- the whole daemon ---------------------------------------------------------------------------------------------
async def test_a_message_is_sent_again(tmp_path: Path) -> None:
    """By its ID or how it begins: the same webhook-id, the same bytes, and an attempt that says a person asked."""
    async with up(tmp_path) as place, caller(place) as client:
        (id_,) = place.emulator.create(complete_at=0)
        place.drop("one.json", {"id": id_})
        (first,) = await place.receiver.wait_for(1)
        await place.until(lambda: delivered(place, id_))
        (line,) = await deliveries_of(place, id_)
        answer = await client.done("redeliver", message=line.message_id[:20])
        assert answer == {"taken": 1, "refused": {}}
        await place.receiver.wait_for_posts(2)
        await place.until(lambda: delivered(place, id_))
        (line,) = await deliveries_of(place, id_)
        assert [attempt.trigger for attempt in line.attempts] == [Trigger.SCHEDULE, Trigger.PERSON]
        assert line.message_id == first.message_id


async def test_what_was_kept_back_is_recovered(tmp_path: Path) -> None:
    """Disabled, its message is parked; enabled, it stays so until it is asked for, and new ones flow."""
    async with up(tmp_path) as place, caller(place) as client:
        first, second = place.emulator.create(2, complete_at=0)
        off = await client.done("endpoints/studio/disable", reason="too loud")
        assert (off["was"], off["state"], off["reason"], off["parked"]) == ("working", "disabled", "too loud", 0)
        assert "endpoint studio" in place.running.troubles
        place.drop("one.json", {"id": first})
        await place.until(lambda: _only(place, DeliveryStatus.PARKED))
        refused = await client.post("redeliver", message=(await deliveries_of(place, first))[0].message_id)
        assert (refused.status_code, "disabled: too loud" in refused.json()["error"]) == (409, True)

        on = await client.done("endpoints/studio/enable")
        assert (on["was"], on["state"], on["parked"]) == ("disabled", "working", 1)
        assert place.running.troubles == {}
        place.drop("two.json", {"id": second})
        await place.receiver.wait_for(1)
        assert await client.done("recover", endpoint="studio", since=on["oldest"]) == {"taken": 1, "refused": {}}
        calls = await place.receiver.wait_for(2)
        assert [call.generation_id for call in calls] == [second, first]


async def _only(place: Site, status: DeliveryStatus) -> bool:
    return set(await place.deliveries()) == {status}


async def test_a_watch_is_taken_back(tmp_path: Path) -> None:
    """It is cancelled, the poller lets its generation go at once, and a second try says that it has ended."""
    async with up(tmp_path) as place, caller(place) as client:
        (id_,) = place.emulator.create(complete_at=float("inf"))
        place.drop("one.json", {"id": id_})
        await place.until(lambda: place.running.watched == {"luma": 1})
        assert await client.done("cancel", generation=id_) == {"cancelled": 1, "ended": {}}
        assert place.running.watched == {"luma": 0}
        assert await place.statuses(id_) == [WatchStatus.CANCELLED]
        again = await client.post("cancel", generation=id_)
        assert (again.status_code, "1 cancelled" in again.json()["error"]) == (409, True)
        place.emulator.move(id_, State.COMPLETED)
        place.drop("again.json", {"id": id_})  # the same watch, reopened, is served as ever
        await place.receiver.wait_for(1)


async def test_watches_that_have_ended_are_counted_by_how(tmp_path: Path) -> None:
    """One is satisfied, the other still open: that one is cancelled, and the first is counted."""
    async with up(tmp_path) as place, caller(place) as client:
        (id_,) = place.emulator.create(complete_at=float("inf"))
        place.drop("one.json", {"id": id_, "state": ["queued", "completed"]})
        await place.receiver.wait_for(1)
        assert await client.done("cancel", generation=id_) == {"cancelled": 1, "ended": {"satisfied": 1}}
        assert place.running.watched == {"luma": 0}


async def test_an_endpoint_is_tried_out(tmp_path: Path) -> None:
    """One signed message that is stored nowhere, and what became of it."""
    rude = ReceiverSettings(secrets=(SECRET,), status=500)
    async with site(tmp_path) as place, serve_receiver(rude) as bad:
        place.config["endpoints"] = {"studio": configured(place.receiver), "bad": configured(bad)}
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            async with caller(place) as client:
                good = await client.done("endpoints/studio/test")
                assert (good["delivered"], good["verdict"], good["status"]) == (True, "delivered", 204)
                (call,) = await place.receiver.wait_for(1)
                assert (call.type, call.message_id) == ("endpoint.test", good["message"])
                failed = await client.done("endpoints/bad/test")
                assert (failed["delivered"], failed["verdict"], failed["status"]) == (False, "server error", 500)
                unknown = await client.post("endpoints/studoi/test")
                assert (unknown.status_code, 'Did you mean "studio"?' in unknown.json()["error"]) == (404, True)
            assert await place.deliveries() == {}
            await place.stop()


async def test_an_endpoint_is_tried_out_in_its_format(tmp_path: Path) -> None:
    """As every other message to it: a test that came otherwise would say little."""
    async with site(tmp_path) as place:
        place.config["endpoints"] = {"studio": configured(place.receiver) | {"format": "cloudevents"}}
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)
            async with caller(place) as client:
                good = await client.done("endpoints/studio/test")
            (call,) = await place.receiver.wait_for(1)
            assert call.verified
            assert {name: value for name, value in call.event.items() if name != "time"} == {
                "specversion": "1.0",
                "id": good["message"],
                "source": "notifier",
                "type": "endpoint.test",
                "subject": "studio",
                "datacontenttype": "application/json",
                "dataschema": "urn:notifier:schema:endpoint.test",
                "data": {"endpoint": "studio"},
            }
            Draft202012Validator(schema("endpoint.test", Format.CLOUDEVENTS)).validate(call.event)
            await place.stop()


async def test_a_stop_does_not_wait_for_a_command(tmp_path: Path) -> None:
    """One that would take half a minute is let go; the socket is gone when the daemon is."""
    slow = ReceiverSettings(secrets=(SECRET,), delay=3600)
    async with site(tmp_path) as place, serve_receiver(slow) as late:
        place.config["endpoints"] = {"studio": configured(late, timeout="30s")}
        async with anyio.create_task_group() as tasks:
            await tasks.start(place.run)

            async def ask() -> None:
                async with caller(place) as client:
                    with pytest.raises(httpx.TransportError):
                        await client.post("endpoints/studio/test")

            tasks.start_soon(ask)
            await late.wait_for_posts(1)
            await place.stop()
        assert not (tmp_path / "api.sock").exists()


# ---- what is refused ----------------------------------------------------------------------------------------------
REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/v1/redeliver", {"content": b"{"}, 400, "not JSON"),
    ("POST", "/v1/redeliver", {"json": {"message": "msg_none"}}, 404, "There is no message msg_none"),
    ("POST", "/v1/redeliver", {"json": {"generation": "none"}}, 404, "No message for generation none is kept"),
    ("POST", "/v1/redeliver", {"json": {"endpoint": "studoi"}}, 404, 'Did you mean "studio"? Known: studio.'),
    ("POST", "/v1/redeliver", {"json": {"provider": "lumma"}}, 404, 'Did you mean "luma"? Known: luma.'),
    (
        "POST",
        "/v1/redeliver",
        {"json": {"provider": "x", "generation": "none"}},
        404,
        "not in the configuration. Known: luma.",
    ),
    ("POST", "/v1/redeliver", {"json": {"endpoint": "studio"}}, 404, "No message to studio is kept."),
    ("POST", "/v1/recover", {"json": {"endpoint": "studoi", "since": "2d"}}, 404, 'Did you mean "studio"?'),
    ("POST", "/v1/cancel", {"json": {"generation": "none", "provider": "lumma"}}, 404, 'Did you mean "luma"?'),
    ("POST", "/v1/cancel", {"json": {"generation": "none", "endpoint": "studoi"}}, 404, 'Did you mean "studio"?'),
    ("POST", "/v1/redeliver", {"content": b" " * 70_000}, 413, "at most 64 KiB"),
    ("POST", "/v1/cancel", {"json": {"watch": "wch_none"}}, 404, "There is no watch wch_none"),
    ("POST", "/v1/cancel", {"json": {"generation": "none"}}, 404, "no watch of generation none"),
    ("POST", "/v1/endpoints/nobody/enable", {}, 404, "Endpoint nobody is not in the configuration"),
    ("POST", "/v1/endpoints/ftp%3A%2F%2Fx/disable", {}, 400, "ftp://x"),
    ("GET", "/v1/redeliver", {}, 405, "answers POST only"),
    ("GET", "/v2", {}, 404, "There is nothing at /v2"),
    ("POST", "/v1/cancel", {"headers": {STORE_HEADER: "/other.db"}}, 421, "keeps another store"),
]


async def test_what_cannot_be_done_is_said_in_one_form(tmp_path: Path) -> None:
    """Every error is a status and a sentence, and the server goes on."""
    async with up(tmp_path) as place, caller(place) as client:
        for method, path, more, status, sentence in REFUSED:
            answer = await client.raw(method, path, **more)
            assert (answer.status_code, sentence in answer.json()["error"]) == (status, True), answer.text
        about = await client.raw("GET", "/v1", headers={STORE_HEADER: mark_of(str(tmp_path / "notifier.db"))})
        assert about.json()["store"] == str(tmp_path / "notifier.db")


GARBAGE = [
    b"garbage\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01" * 50 + b"\r\n\r\n",
    b"POST /v1/redeliver HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
    b"POST /v1/redeliver HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
    b"POST /v1/redeliver HTTP/1.1\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n0123456789",
]


async def test_what_is_no_request_leaves_the_server_running(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Broken off in the middle, or no HTTP: it is no bug of ours, and fills nobody's log."""
    async with up(tmp_path) as place, caller(place) as client, heard() as events:
        for data in GARBAGE:
            async with await anyio.connect_unix(tmp_path / "api.sock") as raw:
                await raw.send(data)
                await raw.send_eof()
                with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        await raw.receive()
        answer = await client.raw("POST", "/v1/redeliver", content=b"0123456789", headers={"content-encoding": "gzip"})
        assert (answer.status_code, "body broke off" in answer.json()["error"]) == (400, True)
    assert {event["event"] for event in events} <= {"api.request"}
    assert caplog.records == []


async def test_who_asked_for_what_is_in_the_log(tmp_path: Path) -> None:
    """Whatever came of it, and whoever is at the other end of the socket."""
    async with up(tmp_path) as place, caller(place) as client, heard() as events:
        await client.done("endpoints/studio/disable")
        await client.post("redeliver")
        asked = [(event["path"], event["status"], event["uid"]) for event in events if event["event"] == "api.request"]
    assert asked == [("/v1/endpoints/studio/disable", 200, os.geteuid()), ("/v1/redeliver", 400, os.geteuid())]


async def test_an_origin_is_taken_out_of_use_by_its_url(tmp_path: Path) -> None:
    """Whatever path the URL has."""
    async with up(tmp_path, callbacks={"secret": SECRET}) as place, caller(place) as client:
        off = await client.done("endpoints/https%3A%2F%2FApp.example.com%2Fhooks/disable")
        assert (off["endpoint"], off["state"], off["reason"]) == (
            "https://app.example.com",
            "disabled",
            "a person disabled it",
        )


SECRET_URL = "https://app.example.com/done?token=s3cr3t-t0k3n"


async def test_the_query_of_a_callback_url_is_nowhere_to_be_read(tmp_path: Path) -> None:
    """It may carry a token: `show`, the log of what was asked for and the answers say "?…", whoever named the URL."""
    async with up(tmp_path, callbacks={"secret": SECRET}) as place, caller(place) as client, heard() as events:
        (id_,) = place.emulator.create(complete_at=0)
        place.drop("one.json", {"id": id_, "callback_url": SECRET_URL})
        await client.done(f"endpoints/{quote(SECRET_URL, safe='')}/disable")
        await place.until(lambda: _any_callback(place, id_))
        answers = [
            await client.post("recover", endpoint=SECRET_URL, since="2d"),
            await client.post("redeliver", endpoint=SECRET_URL, status="filtered"),
            await client.post("redeliver", endpoint=SECRET_URL, type="watch.expired"),
            await client.post("cancel", generation=id_, endpoint=SECRET_URL),
        ]
        assert [answer.status_code for answer in answers[1:]] == [404, 404, 409], [each.text for each in answers]
        async with open_reader(str(place.directory / "notifier.db")) as store:
            (history,) = await store.histories(GenerationId(id_))
    shown = "\n".join(_history(history))
    assert "completed -> https://app.example.com/done?…" in shown
    assert "s3cr3t" not in shown
    assert "s3cr3t" not in repr(events)
    assert "s3cr3t" not in "".join(answer.text for answer in answers)


async def _any_callback(place: Site, id_: str) -> bool:
    return bool(await deliveries_of(place, id_))


# ---- the socket ---------------------------------------------------------------------------------------------------
async def test_the_socket_is_there_for_as_long_as_the_daemon_runs(tmp_path: Path) -> None:
    """For its user and group alone; one that a killed daemon left behind is taken over."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with up(tmp_path) as place, caller(place) as client:
        found = path.lstat()
        assert (stat.S_ISSOCK(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o660)
        assert (await client.raw("GET", "/v1")).status_code == 200
    assert not path.exists()


async def test_the_configuration_says_where_it_is(tmp_path: Path) -> None:
    """There and nowhere else; a reload does not move it."""
    async with up(tmp_path, api={"listen": "here.sock"}) as place, Caller(tmp_path / "here.sock") as client:
        assert (await client.raw("GET", "/v1")).status_code == 200
        assert not (tmp_path / "api.sock").exists()
        with pytest.raises(ConfigError, match=r"api\.listen: needs a restart to change"):
            await place.running.reload(place.settings(api={"listen": "there.sock"}))
        await place.running.reload(place.settings(api={"listen": "here.sock"}))
        assert (await client.raw("GET", "/v1")).status_code == 200


def _live(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


BLOCKED: list[tuple[str, Callable[[Path], Any], str]] = [
    ("a.sock", _live, "Something listens at"),
    ("a.sock", lambda path: path.write_text("mine"), "is no socket"),
    ("no/a.sock", lambda _: None, "does not exist"),
    ("a" * 120, lambda _: None, "longer than a socket's path may be"),
]


@pytest.mark.parametrize(("name", "block", "sentence"), BLOCKED, ids=[case[2] for case in BLOCKED])
async def test_a_place_that_was_named_must_be_free(
    tmp_path: Path, name: str, block: Callable[[Path], Any], sentence: str
) -> None:
    """What lives there, or is no socket, is never replaced: the start is refused and says why."""
    kept = block(tmp_path / name)
    async with site(tmp_path, api={"listen": name}) as place:
        with pytest.raises(BaseExceptionGroup) as refused:
            await place.run()
        (error,) = _leaves(refused.value)
        assert isinstance(error, ConfigError)
        assert sentence in str(error)
    if isinstance(kept, socket.socket):
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(tmp_path / name))
        kept.close()


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


async def test_without_its_usual_path_callbacks_go_out_nevertheless(tmp_path: Path) -> None:
    """Nobody asked for the socket: readiness says that it is missing, and the next reload opens it."""
    (tmp_path / "api.sock").write_text("mine")
    async with up(tmp_path) as place:
        (id_,) = place.emulator.create(complete_at=0)
        place.drop("one.json", {"id": id_})
        await place.receiver.wait_for(1)
        assert "is no socket" in place.running.troubles["api"]
        (tmp_path / "api.sock").unlink()
        await place.running.reload(place.settings())
        assert place.running.troubles == {}
        async with caller(place) as client:
            assert (await client.raw("GET", "/v1")).status_code == 200


UNFINISHED = (
    b"",
    b"POST /v1/redeliver HTTP/1.1\r\nhost: a\r\n",
    b"POST /v1/redeliver HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{",
)


@pytest.mark.parametrize("begun", UNFINISHED, ids=["nothing", "head", "body"])
async def test_requests_that_are_never_finished_shut_nobody_out(tmp_path: Path, begun: bytes) -> None:
    """However many there are: no more than the limit is kept open, and whoever asks in earnest is answered."""
    async with up(tmp_path) as place, AsyncExitStack() as opened:
        before = open_sockets()
        for _ in range(300):
            stream = await opened.enter_async_context(await anyio.connect_unix(tmp_path / "api.sock"))
            with suppress(anyio.BrokenResourceError):  # it was closed for another meanwhile
                await stream.send(begun)
        async with caller(place) as client:
            assert (await client.raw("GET", "/v1")).status_code == 200
            # ours, and of theirs those that are accepted or wait for it
            assert open_sockets() - before <= 300 + MOST + 5


def open_sockets() -> int:
    return sum(os.path.realpath(file).startswith("/proc/self/fd/socket:") for file in Path("/proc/self/fd").iterdir())


async def test_a_request_has_its_time_until_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is answered and closed; one of which nothing came is closed."""
    monkeypatch.setattr("notifier.api.routes.WHOLE_WITHIN", 0.05)
    monkeypatch.setattr("notifier.api.server.WHOLE_WITHIN", 0.05)
    async with up(tmp_path):
        for begun, word in zip(UNFINISHED, (b"", b"", b"was not all here after"), strict=True):
            async with await anyio.connect_unix(tmp_path / "api.sock") as stream:
                await stream.send(begun)
                got = b""
                with anyio.fail_after(30), suppress(anyio.EndOfStream):
                    while True:
                        got += await stream.receive()
                assert word in got
                assert got or not word


async def test_more_than_can_be_carried_out_are_told_to_come_again(store: SqliteStore, tmp_path: Path) -> None:
    """Nothing that is under way is given up for them."""
    gate, asked, answered = anyio.Event(), anyio.Event(), anyio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.set()
        await gate.wait()
        return web.Response(body=b"{}", content_type="application/json")

    path = tmp_path / "api.sock"

    async def ask_slowly() -> None:
        async with Caller(path) as caller:
            assert (await caller.raw("GET", "/slow")).status_code == 200
        answered.set()

    async with operations_on(store) as (operations, _, _), anyio.create_task_group() as tasks:
        app = application(operations, clock=HandClock(), store="notifier.db", reports=store)
        app.router.add_get("/slow", slow)
        await tasks.start(Server(app, str(path), most=1).run)
        tasks.start_soon(ask_slowly)
        await asked.wait()
        async with Caller(path) as other:
            refused = await other.raw("GET", "/v1")
        assert (refused.status_code, "ask again" in refused.json()["error"]) == (503, True)
        gate.set()
        await answered.wait()
        async with Caller(path) as other:
            assert (await other.raw("GET", "/v1")).status_code == 200
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("files", "most"), [(-1, MOST), (65_536, MOST), (256, 32), (3, 1)])
def test_the_store_and_the_callbacks_keep_most_descriptors(files: int, most: int) -> None:
    """A small limit on open files leaves the socket an eighth of it."""
    assert most_connections(files) == most


# ---- the operations alone, on a store that can fail ---------------------------------------------------------------
@asynccontextmanager
async def operations_on(store: SqliteStore, port: Any = None) -> AsyncIterator[tuple[Operations, Health, Wakeup]]:
    clock, health, wakeup = HandClock(), Health(), Wakeup()
    named = Endpoints({"studio": endpoint()}, None)
    wire = httpx.MockTransport(lambda _: httpx.Response(204))
    yield (
        Operations(
            port or store,
            Sender(open_wire=wire, guarded_wire=wire),
            lambda: named,
            EndpointMonitor(port or store, named, clock=clock, health=health, token=lambda: "t"),
            clock=clock,
            random_bytes=lambda: b"random_bytes",
            remove_open=lambda *_: None,
            deliveries=wakeup,
            health=health,
        ),
        health,
        wakeup,
    )


async def finished(store: SqliteStore, count: int) -> None:
    """So many messages that were given up, all created at one moment."""
    await enqueue(store, *(f"g-{number}" for number in range(count)), at=HandClock().now())
    await store.writer.run(
        lambda conn: conn.execute("UPDATE deliveries SET status = 'exhausted', due_at = NULL").rowcount
    )


async def test_a_large_recovery_goes_in_steps_and_holds_nobody_up(store: SqliteStore) -> None:
    """Every message is taken; what others write meanwhile is written between two steps."""
    count = 3 * STEP + 7
    await finished(store, count)
    port, between, go_on = Tripped(store), anyio.Event(), anyio.Event()

    async def step(*args: Any, **more: Any) -> Any:
        answer = await store.redeliver_some(*args, **more)
        port.instead["redeliver_some"] = later
        return answer

    async def later(*args: Any, **more: Any) -> Any:
        between.set()
        await go_on.wait()
        return await store.redeliver_some(*args, **more)

    port.instead["redeliver_some"] = step
    async with operations_on(store, port) as (operations, _, wakeup), anyio.create_task_group() as tasks:
        tasks.start_soon(operations.redeliver, Selection(statuses=frozenset({DeliveryStatus.EXHAUSTED})))
        await between.wait()
        assert await wakeup.wait(0)  # the dispatcher need not wait for the end
        assert (await store.counts()).deliveries == {
            DeliveryStatus.PENDING: STEP,
            DeliveryStatus.EXHAUSTED: count - STEP,
        }
        await enqueue(store, "g-new", at=HandClock().now())
        go_on.set()
    assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: count + 1}


async def test_a_store_that_fails_halfway_says_how_far_it_came(store: SqliteStore) -> None:
    """What was taken stays taken; asked again, the rest is."""
    await finished(store, STEP + 5)
    port = Tripped(store)
    async with operations_on(store, port) as (operations, health, _):
        steps = iter([False, True])

        async def step(*args: Any, **more: Any) -> Any:
            if next(steps):
                raise StoreUnavailable("the disk is full")
            return await store.redeliver_some(*args, **more)

        port.instead["redeliver_some"] = step
        with pytest.raises(StoreUnavailable, match=f"full; {STEP} messages were taken before that"):
            await operations.redeliver(Selection(statuses=frozenset({DeliveryStatus.EXHAUSTED})))
        assert STORE in health.troubles
        del port.instead["redeliver_some"]
        assert (await operations.redeliver(Selection(statuses=frozenset({DeliveryStatus.EXHAUSTED})))).taken == 5


async def test_a_change_of_an_endpoint_wakes_the_dispatcher(store: SqliteStore) -> None:
    """The operator's message about it, and what flows again, wait for no interval."""
    async with operations_on(store) as (operations, _, wakeup):
        await operations.disable("studio", "")
        assert await wakeup.wait(0)
        await operations.enable("studio")
        assert await wakeup.wait(0)


async def test_a_store_that_cannot_write_is_told_to_everybody(store: SqliteStore) -> None:
    """Whatever was asked for: nothing is done, and readiness says why."""
    port = Tripped(store)
    async with operations_on(store, port) as (operations, health, _):
        port.down = True
        for ask in (
            lambda: operations.redeliver(Selection(message=MessageId("msg_a"))),
            lambda: operations.cancel(WatchChoice(watch=WatchId("wch_a"))),
            lambda: operations.enable("studio"),
            lambda: operations.disable("studio", ""),
        ):
            health.clear(STORE)
            with pytest.raises(StoreUnavailable):
                await ask()
            assert STORE in health.troubles


async def test_the_beginning_of_several_ids_is_refused(store: SqliteStore) -> None:
    """Nobody guesses which one was meant."""
    await finished(store, 2)
    async with operations_on(store) as (operations, _, _):
        with pytest.raises(InvalidRequest, match="More than one message begins with msg_"):
            await operations.redeliver(Selection(message=MessageId("msg_")))
        with pytest.raises(InvalidRequest, match="More than one watch begins with wch_"):
            await operations.cancel(WatchChoice(watch=WatchId("wch_")))


async def test_a_bug_behind_one_request_leaves_the_server_running(store: SqliteStore, tmp_path: Path) -> None:
    """It is answered as an error like any other, and the next one is answered."""
    port = Tripped(store)
    path = tmp_path / "a.sock"
    async with operations_on(store, port) as (operations, _, _), anyio.create_task_group() as tasks:
        await tasks.start(
            Server(application(operations, clock=HandClock(), store="/n.db", reports=store), str(path)).run
        )
        async with Caller(path) as asking:
            port.instead["messages_like"] = lambda _: 1 / 0
            answer = await asking.post("redeliver", message="msg_a")
            assert (answer.status_code, "its log says what" in answer.json()["error"]) == (500, True)
            del port.instead["messages_like"]
            assert (await asking.post("redeliver", message="msg_a")).status_code == 404
            port.down = True
            answer = await asking.post("redeliver", message="msg_a")
            assert (answer.status_code, answer.json()) == (503, {"error": "store: the disk is full"})
        tasks.cancel_scope.cancel()


# ---- what the poller lets go ----------------------------------------------------------------------------------------
async def test_a_generation_that_nobody_watches_is_not_asked_about(store: SqliteStore) -> None:
    """Neither on the agenda nor in a look that was under way: its answer changes nothing."""
    async with watching(store, rate=50.0) as stage:
        stage.upstream.states |= {"g-1": "dreaming", "g-2": "dreaming"}
        await stage.watch(request("g-1"), request("g-2"))
        stage.upstream.gate = anyio.Event()
        stage.loop.tick()
        await stage.upstream.until(1)
        await store.cancel_watches(WatchChoice(generation=GenerationId("g-1")), now=stage.clock.now())
        stage.loop.remove(GenerationId("g-1"))
        stage.loop.remove(GenerationId("g-1"))  # once more does no harm
        stage.upstream.states["g-1"] = "completed"
        stage.upstream.gate.set()
        await quiet(store)
        before = len(stage.upstream.asked)
        await stage.ticks(20)
        assert {id_ for asked in stage.upstream.since(before) for id_ in asked} == {"g-2"}
        assert stage.loop.watched == 1
        assert await stage.enqueued("g-1") == []
