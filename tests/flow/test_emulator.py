"""The emulated Luma API over real loopback HTTP: its documents' promises, and each freedom they leave open."""

import math
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from aiohttp import web
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from notifier.cli.check_online import check_providers
from notifier.config import load
from notifier.domain.ids import ProviderName
from notifier.domain.model import State
from notifier.domain.settings import ProviderSettings, Secret
from notifier.emulator.server import serve_emulator
from notifier.emulator.settings import (
    EmulatorSettings,
    FaultSettings,
    LongPoll,
    Order,
    RecordForm,
    RetryAfter,
    Shape,
    Unknown,
    WaitName,
)
from notifier.emulator.upstream import Emulator

_SINGLE = "/v2/generate/video/luma-ai/generation"
_MULTI = "/v2/generate/video/luma-ai/generations"
_KEY = {"Authorization": "Bearer emulator"}
_NOBODY = "00000000-0000-4000-8000-000000000000"


@asynccontextmanager
async def _served(settings: EmulatorSettings | None = None) -> AsyncIterator[tuple[Emulator, httpx.AsyncClient]]:
    async with (
        serve_emulator(settings) as emulator,
        httpx.AsyncClient(base_url=emulator.url, headers=_KEY, trust_env=False, verify=False, timeout=30) as client,
    ):
        yield emulator, client


async def _multi(client: httpx.AsyncClient, ids: list[str], **more: str) -> httpx.Response:
    return await client.get(_MULTI, params={"generation_ids[]": ids, **more})


async def _single(client: httpx.AsyncClient, id_: str, **more: str) -> httpx.Response:
    return await client.get(_SINGLE, params={"generation_id": id_, **more})


async def _until_held(emulator: Emulator, count: int) -> None:
    """Until so many requests are held: the other side is this same event loop, so turning it is enough."""
    while emulator.stats.long_polls_now != count:
        await anyio.lowlevel.checkpoint()


def _envelope(reply: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = reply.json()
    assert body.keys() == {"message", "path", "requestId", "statusCode", "timestamp"}
    assert body["statusCode"] == reply.status_code
    return body


async def test_create_answers_201_with_an_id_that_both_routes_know() -> None:
    """POST makes a generation, queued at first; its ID is then found by the single and the batch route."""
    async with _served() as (_, client):
        sent = {"prompt": "a fox", "aspect_ratio": "16:9", "loop": False, "model": "ray-flash-2", "duration": "5s"}
        made = await client.post(_SINGLE, json=sent)
        assert made.status_code == 201
        id_ = made.json()["id"]
        single, multi = await _single(client, id_), await _multi(client, [id_])
        assert single.json() == multi.json()[0]
        assert single.json()["state"] == "queued"
        assert single.json()["request"] == sent


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"prompt": 1}'])
async def test_create_refuses_what_is_no_request(body: bytes) -> None:
    """A body that is not an object with a prompt is 400, in the error envelope."""
    async with _served() as (_, client):
        refused = await client.post(_SINGLE, content=body)
        assert refused.status_code == 400
        assert _envelope(refused)["message"] == "Body validation error!"


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "emulator"}])
async def test_every_route_needs_the_key(header: dict[str, str]) -> None:
    """Without the key, or with another, all three routes answer 401."""
    async with serve_emulator() as emulator, httpx.AsyncClient(base_url=emulator.url, headers=header) as client:
        (id_,) = emulator.create()
        for reply in (
            await client.post(_SINGLE, json={"prompt": "x"}),
            await _single(client, id_),
            await _multi(client, [id_]),
        ):
            assert reply.status_code == 401
            _envelope(reply)


@pytest.mark.parametrize(
    "query",
    ["generation_ids[]={0}&generation_ids[]={1}", "generation_ids={0},{1}", "generation_ids={0}&generation_ids={1}"],
)
async def test_ids_come_as_arrays_and_commas(query: str) -> None:
    """Every way to write a list of IDs is answered alike."""
    async with _served() as (emulator, client):
        ids = emulator.create(2)
        reply = await client.get(f"{_MULTI}?{query.format(*ids)}")
        assert [record["id"] for record in reply.json()] == ids


async def test_an_id_is_found_without_case() -> None:
    """A UUID in capitals is the same ID, and comes back as the provider writes it."""
    async with _served() as (emulator, client):
        ids = emulator.create(1)
        assert [record["id"] for record in (await _multi(client, [ids[0].upper()])).json()] == ids


async def test_a_hundred_ids_fit_in_one_request() -> None:
    """The longest request a client would send by default, and a longer one, are answered whole."""
    async with _served() as (emulator, client):
        ids = emulator.create(250)
        assert len((await _multi(client, ids)).json()) == 250
        assert emulator.stats.largest == 250


async def test_a_wait_is_held_until_the_state_is_reached() -> None:
    """A single request that waits returns when the generation completes, with its result."""
    async with _served() as (emulator, client):
        (id_,) = emulator.create(complete_at=math.inf)
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                assert (await _single(client, id_, state="completed")).json()["assets"]["video"]

            group.start_soon(wait)
            await _until_held(emulator, 1)
            emulator.move(id_, State.COMPLETED)
        assert emulator.stats.long_polls_now == 0


async def test_a_long_poll_ends_by_time_alone() -> None:
    """A generation that completes at an offset ends the long-poll on it with nobody touching anything."""
    async with _served() as (emulator, client):
        (id_,) = emulator.create(complete_at=0.05)
        assert (await _single(client, id_, state="completed")).json()["state"] == "completed"


@pytest.mark.parametrize("route", ["single", "multi"])
async def test_after_the_limit_the_current_state_is_a_normal_answer(route: str) -> None:
    """A long-poll that runs out is 200 with the state as it is: this polling allows to request it again."""
    async with _served(EmulatorSettings(long_poll_limit=0.05)) as (emulator, client):
        (id_,) = emulator.create(complete_at=math.inf)
        if route == "single":
            reply, record = (got := await _single(client, id_, state="completed")), got.json()
        else:
            reply, record = (got := await _multi(client, [id_], state="completed")), got.json()[0]
        assert reply.status_code == 200
        assert record["state"] == "dreaming"
        assert emulator.stats.long_polls_most == 1


@pytest.mark.parametrize("asked", ["queued", "dreaming", "completed"])
async def test_a_higher_state_returns_at_once(asked: str) -> None:
    """Whatever lower state one waits for, a failed generation answers at once with `failed`."""
    async with _served(EmulatorSettings(long_poll_limit=3600)) as (emulator, client):
        (id_,) = emulator.create(complete_at=0.0, outcome=State.FAILED)
        record = (await _single(client, id_, state=asked)).json()
        assert record["state"] == "failed"
        assert record["failure_reason"]


@pytest.mark.parametrize("name", ["state", "status"])
async def test_nobody_can_wait_for_failed(name: str) -> None:
    """Both routes refuse to wait for `failed`, with the documented sentence."""
    async with _served() as (emulator, client):
        (id_,) = emulator.create()
        for reply in (await _single(client, id_, **{name: "failed"}), await _multi(client, [id_], **{name: "failed"})):
            assert reply.status_code == 400
            assert _envelope(reply)["message"] == "You cannot wait for an failed state"


@pytest.mark.parametrize(("long_poll", "enough"), [(LongPoll.ANY, 1), (LongPoll.ALL, 2)])
async def test_a_multi_long_poll_waits_for_any_or_for_all(long_poll: LongPoll, enough: int) -> None:
    """`any` returns with the first of two that completes; `all` is still held then, and returns with the second."""
    async with _served(EmulatorSettings(long_poll=long_poll, long_poll_limit=3600)) as (emulator, client):
        ids = emulator.create(2, complete_at=math.inf)
        replies: list[httpx.Response] = []
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                replies.append(await _multi(client, ids, state="completed"))

            group.start_soon(wait)
            for id_ in ids[:enough]:
                await _until_held(emulator, 1)
                assert not replies
                emulator.move(id_, State.COMPLETED)
        assert sum(record["state"] == "completed" for record in replies[0].json()) == enough


async def test_a_multi_long_poll_may_be_ignored() -> None:
    """With `none`, and by the name that is not understood, a multi request answers at once."""
    async with _served(EmulatorSettings(long_poll=LongPoll.NONE, long_poll_limit=3600)) as (emulator, client):
        ids = emulator.create(1, complete_at=math.inf)
        assert (await _multi(client, ids, state="completed", status="completed")).status_code == 200
        emulator.change(long_poll=LongPoll.ANY, wait_name=WaitName.STATUS)
        assert (await _multi(client, ids, state="completed")).status_code == 200


async def test_a_client_that_goes_away_is_not_held_any_more() -> None:
    """A long-poll ends with the connection that asked for it."""
    async with _served(EmulatorSettings(long_poll_limit=3600)) as (emulator, client):
        (id_,) = emulator.create(complete_at=math.inf)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: _single(client, id_, state="completed"))
            await _until_held(emulator, 1)
            group.cancel_scope.cancel()
        await _until_held(emulator, 0)


async def test_held_requests_are_answered_when_the_server_ends() -> None:
    """The end of the server lets a held request go with the state as it is."""
    states: list[str] = []
    async with anyio.create_task_group() as group, httpx.AsyncClient(headers=_KEY) as client:
        async with serve_emulator(EmulatorSettings(long_poll_limit=3600)) as emulator:
            (id_,) = emulator.create(complete_at=math.inf)
            url = f"{emulator.url}{_SINGLE}?generation_id={id_}&state=completed"
            answered = anyio.Event()

            async def wait() -> None:
                states.append((await client.get(url)).json()["state"])
                answered.set()

            group.start_soon(wait)
            await _until_held(emulator, 1)
        await answered.wait()
    assert states == ["dreaming"]


@pytest.mark.parametrize(
    ("shape", "ids_of"),
    [
        (Shape.ARRAY, lambda body: [record["id"] for record in body]),
        (Shape.GENERATIONS, lambda body: [record["id"] for record in body["generations"]]),
        (Shape.DATA, lambda body: [record["id"] for record in body["data"]]),
        (Shape.ITEMS, lambda body: [record["id"] for record in body["items"]]),
        (Shape.MAP, list),
    ],
)
async def test_multi_replies_have_the_shape_and_order_asked_for(shape: Shape, ids_of: Any) -> None:
    """Each shape carries all records, here in reverse."""
    async with _served(EmulatorSettings(shape=shape, order=Order.REVERSED)) as (emulator, client):
        ids = emulator.create(3)
        assert ids_of((await _multi(client, ids)).json()) == ids[::-1]


async def test_one_id_may_answer_as_one_object() -> None:
    """Shape `object`: a multi request of one ID answers the bare record."""
    async with _served(EmulatorSettings(shape=Shape.OBJECT)) as (emulator, client):
        ids = emulator.create(1)
        assert (await _multi(client, ids)).json()["id"] == ids[0]


@pytest.mark.parametrize(
    ("unknown", "single", "multi"),
    [
        (Unknown.OMIT, 404, 200),
        (Unknown.NULL, 404, 200),
        (Unknown.ERROR, 404, 200),
        (Unknown.ANONYMOUS, 404, 200),
        (Unknown.REJECT400, 400, 400),
        (Unknown.REJECT404, 404, 404),
        (Unknown.REJECT422, 422, 422),
    ],
)
async def test_unknown_ids(unknown: Unknown, single: int, multi: int) -> None:
    """An unknown ID is an error by itself; among known ones it is left out, marked, or rejects the whole batch."""
    async with _served(EmulatorSettings(unknown=unknown)) as (emulator, client):
        ids = emulator.create(1)
        assert (await _single(client, _NOBODY)).status_code == single
        reply = await _multi(client, [_NOBODY, *ids])
        assert reply.status_code == multi
        if multi == 200:
            assert len(reply.json()) == (1 if unknown is Unknown.OMIT else 2)
            assert reply.json()[-1]["id"] == ids[0]
        else:
            _envelope(reply)


async def test_a_new_id_may_not_be_readable_yet() -> None:
    """With `readable_after` an ID that was just made is unknown, and known once the setting is gone."""
    async with _served(EmulatorSettings(readable_after=3600)) as (emulator, client):
        (id_,) = emulator.create()
        assert (await _single(client, id_)).status_code == 404
        emulator.change(readable_after=0.0)
        assert (await _single(client, id_)).status_code == 200


@pytest.mark.parametrize("status", [400, 413, 414])
async def test_too_many_ids_are_refused(status: int) -> None:
    """As many as the limit pass; one more is refused with the status that was set."""
    async with _served(EmulatorSettings(max_ids=2, max_ids_status=status)) as (emulator, client):
        ids = emulator.create(3)
        assert (await _multi(client, ids[:2])).status_code == 200
        assert (await _multi(client, ids)).status_code == status


async def test_too_long_a_request_is_414() -> None:
    """A request target above `max_url` is refused with 414."""
    async with _served(EmulatorSettings(max_url=512)) as (emulator, client):
        assert (await _multi(client, emulator.create(20))).status_code == 414


@pytest.mark.parametrize("form", [RecordForm.LEGACY, RecordForm.UNIVERSAL])
async def test_the_single_route_may_use_other_field_names(form: RecordForm) -> None:
    """The single route's fields change by setting while the batch route's stay."""
    async with _served(EmulatorSettings(single_record=form)) as (emulator, client):
        ids = emulator.create(1, complete_at=0.0)
        assert "assets" not in (await _single(client, ids[0])).json()
        assert (await _multi(client, ids)).json()[0]["assets"]["video"]


@pytest.mark.parametrize("retry_after", RetryAfter)
async def test_the_rate_is_kept(retry_after: RetryAfter) -> None:
    """Above the rate comes 429, with the hint that was set: none, seconds or a date."""
    faults = FaultSettings(rate=0.01, retry_after=retry_after)
    async with _served(EmulatorSettings(faults=faults)) as (emulator, client):
        ids = emulator.create(1)
        assert (await _multi(client, ids)).status_code == 200
        refused = await _multi(client, ids)
        assert refused.status_code == 429
        hint = refused.headers.get("Retry-After")
        if retry_after is RetryAfter.NONE:
            assert hint is None
        elif retry_after is RetryAfter.SECONDS:
            assert 0 < int(hint) <= 100
        else:
            assert parsedate_to_datetime(hint) > emulator.clock.now()


async def test_each_fault() -> None:
    """500 in the envelope, 502 in HTML, 200 with JSON that does not parse, a connection lost; changed live."""
    async with _served() as (emulator, client):
        (id_,) = emulator.create()
        emulator.change_faults(server_error=1)
        assert _envelope(await _single(client, id_))["statusCode"] == 500
        emulator.change_faults(server_error=0, bad_gateway=1)
        assert "<html>" in (await _single(client, id_)).text
        emulator.change_faults(bad_gateway=0, truncated=1)
        half = await _single(client, id_)
        assert half.status_code == 200
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            half.json()
        emulator.change_faults(truncated=0, dropped=1)
        with pytest.raises(httpx.TransportError):
            await _single(client, id_)
        assert emulator.stats.statuses == {500: 1, 502: 1, 200: 1, 0: 1}


async def test_a_slow_reply_still_comes() -> None:
    """A slow reply is late and otherwise whole."""
    async with _served(EmulatorSettings(faults=FaultSettings(slow=1.0, slow_by=0.02))) as (emulator, client):
        ids = emulator.create(1)
        assert (await _multi(client, ids)).json()[0]["id"] == ids[0]
        assert emulator.stats.faults == {"slow": 1}


async def test_the_multi_route_may_be_gone() -> None:
    """Without it, multi requests are 404 and single ones go on."""
    async with _served(EmulatorSettings(faults=FaultSettings(batch=False))) as (emulator, client):
        ids = emulator.create(1)
        assert _envelope(await _multi(client, ids))["message"] == f"Cannot GET {_MULTI}"
        assert (await _single(client, ids[0])).status_code == 200


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_everything_may_be_refused(status: int) -> None:
    """A key that was withdrawn, or credits that ran out, refuse every request until it is changed back."""
    async with _served() as (emulator, client):
        ids = emulator.create(1)
        emulator.change_faults(refuse=status)
        assert (await _multi(client, ids)).status_code == status
        emulator.change_faults(refuse=0)
        assert (await _multi(client, ids)).status_code == 200


async def _history(seed: int) -> list[tuple[int, bytes]]:
    faults = FaultSettings(server_error=0.2, bad_gateway=0.2, truncated=0.2)
    settings = EmulatorSettings(seed=seed, order=Order.SHUFFLED, faults=faults)
    async with _served(settings) as (emulator, client):
        ids = emulator.create(4, complete_at=math.inf)
        replies = [await client.get(_MULTI, params={"generation_ids": ",".join(ids)}) for _ in range(20)]
    return [(reply.status_code, bytes(id_ in reply.text for id_ in ids)) for reply in replies]


async def test_the_same_seed_tells_the_same_history() -> None:
    """Two servers of one seed answer the same requests with the same statuses and cut replies; another seed differs."""
    assert await _history(1) == await _history(1)
    assert await _history(1) != await _history(2)


async def test_another_process_drives_it_by_its_own_routes() -> None:
    """Generations are made, listed, moved and forgotten, faults changed and counts read over HTTP, without a key."""
    async with serve_emulator() as emulator, httpx.AsyncClient(base_url=emulator.url) as client:
        made = await client.post("/_emulator/generations", json={"count": 3, "complete_at": "never"})
        assert made.status_code == 201
        ids = made.json()["ids"]
        chosen = await client.post(
            "/_emulator/generations", json=[{"id": "mine", "duration": 0, "outcome": "failed"}, {"complete_at": 3600}]
        )
        assert chosen.json()["ids"][0] == "mine"
        assert (await client.post(f"/_emulator/generations/{ids[0]}", json={"state": "completed"})).status_code == 200
        assert (await client.delete(f"/_emulator/generations/{ids[1]}")).status_code == 204
        listed = (await client.get("/_emulator/generations")).json()["generations"]
        assert [one["id"] for one in listed[:3]] == [ids[0], ids[2], "mine"]
        assert [one["state"] for one in listed[:3]] == ["completed", "dreaming", "failed"]
        assert listed[1]["ends_in"] is None
        changed = await client.post("/_emulator/faults", json={"server_error": 1})
        assert changed.json()["server_error"] == 1.0
        assert (await _multi(client, [ids[0]])).status_code == 401
        stats = (await client.get("/_emulator/stats")).json()
        assert stats["requests"] == {"multi": 1}
        assert stats["generations"] == {"completed": 1, "running": 1, "failed": 1, "queued": 1}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("generations", b"{", 400),
        ("generations", b'{"count": 0}', 400),
        ("generations", b'[{"id": "a"}, {"id": "A"}]', 400),
        ("generations/nobody", b'{"state": "completed"}', 404),
        ("generations/nobody", b'{"state": "running"}', 400),
        ("generations/nobody", b"[]", 400),
        ("faults", b"[]", 400),
        ("faults", b'{"slow": 2}', 400),
        ("faults", b"{", 400),
    ],
)
async def test_its_own_routes_refuse_nonsense(path: str, body: bytes, status: int) -> None:
    """A wrong body is refused with a sentence and changes nothing."""
    async with serve_emulator() as emulator, httpx.AsyncClient(base_url=emulator.url) as client:
        refused = await client.post(f"/_emulator/{path}", content=body)
        assert refused.status_code == status
        assert refused.json()["message"]
        assert not emulator.ids
        assert emulator.faults == FaultSettings()


async def test_an_id_is_never_made_twice() -> None:
    """A list with an ID that exists makes nothing at all."""
    async with serve_emulator() as emulator:
        (id_,) = emulator.create()
        with pytest.raises(ValueError, match="taken"):
            emulator.create(id_=id_.upper())
        assert emulator.ids == [id_]


async def test_a_generation_may_step_back_or_be_forgotten() -> None:
    """Moved by hand a generation goes back to `queued`; forgotten, its ID is unknown."""
    async with _served() as (emulator, client):
        (id_,) = emulator.create(complete_at=math.inf)
        assert (await _single(client, id_)).json()["state"] == "dreaming"
        emulator.move(id_, State.QUEUED)
        assert (await _single(client, id_)).json()["state"] == "queued"
        emulator.forget(id_)
        assert (await _single(client, id_)).status_code == 404


async def _line(out: BufferedByteReceiveStream) -> str:
    return (await out.receive_until(b"\n", 4096)).decode()


@asynccontextmanager
async def _command(*words: str) -> AsyncIterator[tuple[Process, BufferedByteReceiveStream]]:
    async with await anyio.open_process([sys.executable, "-m", "notifier", *words], stderr=None) as process:
        assert process.stdout is not None
        try:
            yield process, BufferedByteReceiveStream(process.stdout)
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_prints_a_whole_configuration_and_ends_cleanly(stop: signal.Signals, tmp_path: Path) -> None:
    """`notifier emulate` prints what can be saved as it is, with its URL and IDs, serves, and exits 0 by a signal."""
    async with _command("emulate", "--port", "0", "--create", "1", "--shape", "data", "--no-batch") as (process, out):
        told = [await _line(out) for _ in range(14)]
        (tmp_path / "config.yaml").write_text("\n".join(told))
        settings = load(str(tmp_path / "config.yaml"), environ={})
        url, id_ = settings.providers["luma"].base_url, settings.watches[0].generation
        assert f"API at {url}. " in told[0]
        assert told[1].split()[-1] == settings.endpoints["studio"].secrets[0].reveal()
        async with httpx.AsyncClient(base_url=url, headers=_KEY) as client:
            assert (await _single(client, id_)).json()["id"] == id_
            assert (await _multi(client, [id_])).status_code == 404
        process.send_signal(stop)
        assert await process.wait() == 0


async def test_a_setting_without_sense_stops_the_command() -> None:
    """A share above 1 is refused on the command line with exit code 2."""
    ended = await anyio.run_process([sys.executable, "-m", "notifier", "emulate", "--slow", "2"], check=False)
    assert ended.returncode == 2
    assert b"share" in ended.stderr


async def _checked(capsys: pytest.CaptureFixture[str], **more: str) -> tuple[bool, list[str]]:
    """What `check --online` says of an emulated API."""
    async with serve_emulator() as emulator:
        chosen = {"base_url": emulator.url, "key": "emulator", **more}
        settings = ProviderSettings(
            name=ProviderName("luma"),
            kind="aimlapi-luma",
            base_url=chosen["base_url"],
            api_key=Secret(chosen["key"]),
        )
        return await check_providers([settings]), capsys.readouterr().out.splitlines()


async def test_a_healthy_provider_is_told_as_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    """The 404 for a made-up ID is said to be right, with the API's own words: who reads them knows whose they are."""
    well, lines = await _checked(capsys)
    assert well
    right = "single route: answers (404, as it should: the ID is made up; it says: Generation not found)"
    assert lines[0].endswith(right)
    assert lines[1].endswith("batch route: answers (200)")


@pytest.mark.parametrize("path", ["/v1", "/v2/", "/v2/generate/video", "/nothing/here"])
async def test_a_path_with_no_api_behind_it_is_told(capsys: pytest.CaptureFixture[str], path: str) -> None:
    """What the server says of a path that it does not have is no API's "not found", and `batch: off` would not help."""
    async with serve_emulator() as emulator:
        settings = ProviderSettings(
            name=ProviderName("luma"), kind="aimlapi-luma", base_url=emulator.url + path, api_key=Secret("emulator")
        )
        assert not await check_providers([settings])
    said = capsys.readouterr().out
    assert "answered 404, saying that it has no such route (Cannot GET /…): no API answers here." in said
    assert "batch: off" not in said


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (404, "<!DOCTYPE html><title>Nothing</title>", "answered 404, with a page for people: no API answers here."),
        (404, '{"message":"Cannot GET /v2/v2/x","statusCode":404}', "saying that it has no such route (Cannot GET /"),
        (200, "<html><form>Sign in to this network</form>", "is a page for people, not the JSON of an API"),
        (404, "404 page not found", "answered 404, with the text 404 page not found: no API answers here."),
        (200, "Welcome", "is not the JSON of its API. It begins: Welcome"),
        (302, "", "moved to http://login.example/. Change its base_url"),
    ],
)
async def test_what_answers_in_place_of_an_api_is_told(
    capsys: pytest.CaptureFixture[str], status: int, body: str, says: str
) -> None:
    """A page, a sign-in of the network, a redirect to a login: none of them is taken for the API."""
    async with answering(status, body, location="http://login.example/?token=x") as url:
        settings = ProviderSettings(
            name=ProviderName("luma"), kind="aimlapi-video", base_url=url, api_key=Secret("emulator")
        )
        assert not await check_providers([settings])
    assert says in capsys.readouterr().out


@asynccontextmanager
async def answering(status: int, body: str, **headers: str) -> AsyncIterator[str]:
    """A server on this machine that answers everything so."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("wrong", [{"key": "of-somebody-else"}, {"base_url": "http://127.0.0.1:1"}])
async def test_what_both_routes_say_is_said_once(capsys: pytest.CaptureFixture[str], wrong: dict[str, str]) -> None:
    """A wrong key, or a host that does not answer, is one line."""
    well, lines = await _checked(capsys, **wrong)
    assert not well
    assert len(lines) == 1
    assert "single and batch routes: " in lines[0]
