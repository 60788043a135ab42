"""Secrets that come back in answers are nowhere to be read: not in the store, not in the log, not in readiness."""

import base64
import json
from collections.abc import Callable

import httpx
import pytest

from notifier.cli.reports import _history
from notifier.delivery.sender import KEPT
from notifier.domain.ids import GenerationId
from notifier.domain.settings import CallbackSettings, Secret
from notifier.store.sqlite.store import SqliteStore
from tests.support.dispatcher_rig import worker
from tests.support.fakes import deliveries, endpoint, enqueue, heard, request, watching

TOKEN = "tok/en-0123456789abcdef"
LOGIN = "proxyuser:pr0xy-passw0rd"
HEADERS = {"authorization": Secret(f"Bearer {TOKEN}"), "cookie": Secret("sid=c00kie-va1ue; lang=en")}
PROXY = Secret(f"http://{LOGIN}@proxy.example.com:3128")
SECRETS = (TOKEN, "c00kie-va1ue", "pr0xy-passw0rd", base64.b64encode(LOGIN.encode()).decode(), "url-t0ken-123")


def echoed(status: int, write: Callable[[str], str]) -> httpx.MockTransport:
    """A receiver that is being debugged: it answers with all that it got."""

    def answer(asked: httpx.Request) -> httpx.Response:
        got = "\n".join(f"{name}: {value}" for name, value in asked.headers.items())
        login = base64.b64encode(LOGIN.encode()).decode()
        return httpx.Response(
            status, text=write(f"POST {asked.url}\n{got}\nProxy-Authorization: Basic {login}\n{LOGIN}")
        )

    return httpx.MockTransport(answer)


WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda got: json.dumps({"got": got}).replace("/", "\\/").replace("-", "\\u002d"),
    "at the end of what is kept": lambda got: "x" * (KEPT - got.index(TOKEN) - 9) + got,
    "HTML": lambda got: got.replace("-", "&#45;").replace("/", "&#x2F;"),
}


@pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("status", [200, 500])
async def test_what_an_endpoint_was_sent_is_not_kept(
    store: SqliteStore, status: int, write: Callable[[str], str]
) -> None:
    """Its headers, its URL's query and the login at the proxy; in `show`, in the store's file and in the log."""
    studio = endpoint(url="https://studio.example.com/hook?token=url-t0ken-123", headers=HEADERS, proxy=PROXY)
    async with heard() as events, worker(store, echoed(status, write), studio) as stage:
        await enqueue(store, "g-1", at=stage.clock.now(), endpoint="studio")
        await stage.turn()
        await stage.posting.until(1)
        await stage.turn()
        (line,) = await deliveries(store)
        (history,) = await store.histories(GenerationId("g-1"))
    head = line.attempts[0].head.decode()
    kept = head + repr(events) + "\n".join(_history(history)) + repr(line)
    assert "***" in head or "at the end" in write.__name__
    assert len(head) <= KEPT + 3
    for secret in SECRETS:
        assert secret not in kept
        assert json.dumps(secret)[1:-1].replace("/", "\\/") not in kept
    assert TOKEN[:8] not in kept


async def test_the_query_of_a_callback_url_is_not_kept(store: SqliteStore) -> None:
    """A page that names the URL which it does not have."""
    wire = httpx.MockTransport(lambda asked: httpx.Response(404, text=f"Cannot POST {asked.url.raw_path.decode()}"))
    callbacks = CallbackSettings(secret=Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    async with worker(store, wire, endpoint(), callbacks=callbacks) as stage:
        await enqueue(
            store, "g-1", at=stage.clock.now(), endpoint="https://app.example.com/done?token=url-t0ken-123&n=1"
        )
        await stage.turn()
        await stage.posting.until(1)
        await stage.turn()
        (line,) = await deliveries(store)
    assert line.attempts[0].head == b"Cannot POST /done?***"


KEY = "key-0000000000/0000"
REPLIES = {
    "401 with an escaped slash": httpx.Response(401, text=json.dumps({"message": f"bad {KEY}"}).replace("/", "\\/")),
    "401 with an escaped dash": httpx.Response(401, text=json.dumps({"message": f"bad {KEY}"}).replace("-", "\\u002d")),
    "403 in a URL": httpx.Response(403, json={"message": "see /login?key=key-0000000000%2F0000"}),
    "200 that is no JSON": httpx.Response(200, text=f"<html>{KEY}</html>"),
    "200 that is no JSON, escaped": httpx.Response(200, text=f"<p>{KEY}".replace("-", "&#45;").replace("/", "\\/")),
    "302 that leads to a path with it": httpx.Response(302, headers={"location": f"https://x.example.com/{KEY}/a"}),
    "200 that is no JSON, cut in an escape": httpx.Response(
        200, text="<p>It is " + "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    ),
    "200 that is no JSON, cut": httpx.Response(200, text="<html>" + " " * 60 + KEY),
    "500 with a login": httpx.Response(500, text=json.dumps({"error": base64.b64encode(f"{KEY}:".encode()).decode()})),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_a_providers_key_is_not_shown(store: SqliteStore, reply: httpx.Response) -> None:
    """Neither by the log nor by readiness, in whichever reply it comes back."""
    async with heard() as events, watching(store, api_key=Secret(KEY)) as stage:
        await stage.watch(request())
        stage.upstream.script.extend([reply] * 4)
        await stage.ticks(3)
        told = repr(events) + repr(stage.health.troubles)
    assert stage.upstream.asked
    for secret in (KEY, KEY.replace("/", "\\/"), "key-0000", base64.b64encode(KEY.encode()).decode()[:16]):
        assert secret not in told


async def test_a_failure_that_names_the_key_is_shown_without_it(store: SqliteStore) -> None:
    """It goes to the receivers of callbacks too."""
    async with watching(store, api_key=Secret(KEY)) as stage:
        await stage.watch(request())
        record = {"id": "g-1", "state": "failed", "failure_reason": f"no credit left for {KEY}"}
        stage.upstream.script.append(httpx.Response(200, text=json.dumps(record).replace("/", "\\/")))
        await stage.ticks(1)
        assert (await stage.history()).failure == "no credit left for ***"


@pytest.mark.parametrize("escaped", [("/", "\\/"), ("k", "\\u006b"), ("-", "\\u002D")])
async def test_a_record_with_the_key_is_shown_without_it(store: SqliteStore, escaped: tuple[str, str]) -> None:
    """It is the body of a callback: whoever receives that may not use the provider."""
    async with watching(store, api_key=Secret(KEY)) as stage:
        await stage.watch(request())
        video = f"https://cdn.example.com/{KEY}.mp4"
        record = {
            "id": "g-1",
            "state": "completed",
            "assets": {"video": video},
            "debug": {"headers": [f"Bearer {KEY}"]},
        }
        stage.upstream.script.append(httpx.Response(200, text=json.dumps(record).replace(*escaped)))
        await stage.ticks(1)
        body = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchone()[0])
    data = json.loads(body)["data"]
    assert data["generation"]["debug"] == {"headers": ["Bearer ***"]}
    assert data["result"]["url"] == "https://cdn.example.com/***.mp4"
    assert KEY not in json.dumps(data)
