"""Formats on the wire: what goes out is what a CloudEvents library of somebody else's reads, signed as a whole."""

from datetime import UTC
from importlib import resources
from pathlib import Path

import anyio
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator

from notifier.config import load
from notifier.delivery.policies import Endpoints
from notifier.domain.message import CONTENT_TYPES
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Format
from notifier.domain.settings import CallbackSettings, Secret
from notifier.store.sqlite.store import SqliteStore
from notifier.verify import InvalidSignature, verify
from tests.support.dispatcher_rig import taking, worker
from tests.support.fakes import DIRECTORY, SECRET, START, Callbacks, deliveries, endpoint, enqueue, quiet
from tests.support.sending import policies
from tests.support.store_builders import apply

EVENTS = EndpointDirectory(
    events={"studio": None},
    callbacks=True,
    formats={"studio": Format.CLOUDEVENTS},
    callback_format=Format.CLOUDEVENTS,
)
APP = "https://app.example.com/done"


def as_cloudevent(callbacks: Callbacks, number: int = -1) -> CloudEvent:
    post = callbacks.posts[number]
    event = from_http_event(HTTPMessage(headers=dict(post.headers), body=post.content))
    assert isinstance(event, CloudEvent)
    return event


@pytest.mark.parametrize("to", ["studio", APP])
async def test_a_cloudevents_library_reads_what_goes_out(store: SqliteStore, to: str) -> None:
    """In structured mode, with every attribute that it asks for, and the standard form's `data`."""
    await apply(store, EVENTS)
    await enqueue(store, "g-1", at=START, endpoint=to)
    callbacks, wire = taking()
    async with worker(store, wire, callbacks=CallbackSettings(secret=Secret(SECRET))):
        (line,) = await deliveries(store)
        event = as_cloudevent(callbacks)
        assert (event.get_specversion(), event.get_id()) == ("1.0", line.message_id)
        assert (event.get_source(), event.get_type()) == ("notifier/luma", "generation.completed")
        assert (event.get_subject(), event.get_datacontenttype()) == ("g-1", "application/json")
        assert event.get_dataschema() == "urn:notifier:schema:generation.completed"
        time = event.get_time()
        assert time is not None
        assert time.astimezone(UTC) == START
        content = event.get_data()
        assert isinstance(content, dict)
        assert (content["generation_id"], content["state"]) == ("g-1", "completed")
        assert line.status is DeliveryStatus.DELIVERED


CONFIG = f"""\
store: sqlite:unused.db
providers: {{luma: {{kind: aimlapi-luma, api_key: k-123}}}}
endpoints:
  studio: {{url: "https://studio.example.com/hooks", secret: {SECRET}, format: cloudevents}}
  audit: {{url: "https://audit.example.com/hooks", secret: {SECRET}}}
callbacks: {{secret: {SECRET}, format: cloudevents}}
"""


async def test_what_the_configuration_says_of_formats_reaches_the_wire(store: SqliteStore, tmp_path: Path) -> None:
    """Each endpoint in the form that it asks for, and callback URLs in that of their section."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    settings = load(str(tmp_path / "config.yaml"), environ={})
    await apply(store, Endpoints(settings.endpoints, settings.callbacks).directory())
    for number, to in enumerate(("studio", "audit", APP)):
        await enqueue(store, f"g-{number}", at=START, endpoint=to)
    callbacks, wire = taking()
    async with worker(store, wire, *settings.endpoints.values(), callbacks=settings.callbacks):
        forms = {post.url.host: post.headers["content-type"] for post in callbacks.posts}
    assert forms == {
        "studio.example.com": CONTENT_TYPES[Format.CLOUDEVENTS],
        "audit.example.com": CONTENT_TYPES[Format.STANDARD],
        "app.example.com": CONTENT_TYPES[Format.CLOUDEVENTS],
    }


@pytest.mark.parametrize("format_", Format)
async def test_what_goes_out_is_as_the_shipped_schema_says(store: SqliteStore, format_: Format) -> None:
    """Judged on the bytes that a receiver gets."""
    await apply(store, EVENTS if format_ is Format.CLOUDEVENTS else DIRECTORY)
    await enqueue(store, "g-1", at=START)
    callbacks, wire = taking()
    async with worker(store, wire):
        (post,) = callbacks.posts
    file = resources.files("notifier.schemas") / f"generation.completed.{format_}.json"
    Draft202012Validator(orjson.loads(file.read_bytes())).validate(orjson.loads(post.content))


async def test_the_signature_covers_the_attributes(store: SqliteStore) -> None:
    """Whoever changes one on the way is found out: they are in the body."""
    await apply(store, EVENTS)
    await enqueue(store, "g-1", at=START)
    callbacks, wire = taking()
    async with worker(store, wire) as stage:
        (post,) = callbacks.posts
        assert post.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        now = stage.clock.now().timestamp()
        assert verify(post.content, post.headers, [SECRET], now=now)["id"] == post.headers["webhook-id"]
        other = post.content.replace(b'"subject":"g-1"', b'"subject":"g-2"')
        with pytest.raises(InvalidSignature):
            verify(other, post.headers, [SECRET], now=now)


async def test_a_changed_format_holds_for_new_messages(store: SqliteStore) -> None:
    """What was made before goes out as it was made, and again as such."""
    callbacks, wire = taking()
    async with worker(store, wire) as stage:
        callbacks.gates["studio.example.com"] = gate = anyio.Event()
        await enqueue(store, "before", at=START)
        stage.dispatcher.apply(policies(endpoint(format=Format.CLOUDEVENTS)))
        await apply(store, EVENTS)
        await enqueue(store, "after", at=START)
        await stage.turn()
        gate.set()
        await quiet(store)
        sent = {orjson.loads(post.content)["data"]["generation_id"]: post for post in callbacks.posts}
        assert sent["before"].headers["content-type"] == "application/json"
        assert sent["after"].headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert "specversion" not in orjson.loads(sent["before"].content)
