"""What callbacks say, byte by byte: their form is a promise to every receiver."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, message_id, watch_id
from notifier.domain.message import RECORD_LIMIT, TEXT_LIMIT, TYPES, event_type, new_delivery
from notifier.domain.model import (
    DeliveryStatus,
    EndpointDirectory,
    Format,
    Kind,
    NewDelivery,
    Result,
    SeenGeneration,
    State,
    Watch,
    WatchStatus,
)

REGISTERED = datetime(2026, 11, 22, 5, 10, tzinfo=UTC)
NOT_BEFORE = datetime(2026, 11, 22, 5, 13, 55, tzinfo=UTC)
OBSERVED = datetime(2026, 11, 22, 5, 14, 0, 123_456, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 5, 14, 0, 200_000, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={"studio": None}, callbacks=True)
VIDEO = "https://cdn.example.com/v.mp4"


def watch(**more: Any) -> Watch:
    facts = {"provider": "luma", "generation": "g-1", "target": State.COMPLETED, "endpoint": "studio"}
    facts |= {key: more.pop(key) for key in list(more) if key in facts}
    fields: dict[str, Any] = {
        "destination": Destination("studio"),
        "status": WatchStatus.OPEN,
        "round": 0,
        "metadata": b'{"order":1234}',
        "registered_at": REGISTERED,
        "deadline": REGISTERED + timedelta(hours=24),
    }
    return Watch(
        id=watch_id(**facts),
        provider=ProviderName(facts["provider"]),
        generation=GenerationId(facts["generation"]),
        target=State(facts["target"]),
        endpoint=EndpointIdentity(facts["endpoint"]),
        **(fields | more),
    )


def seen(state: State | None = State.COMPLETED, **more: Any) -> SeenGeneration:
    fields: dict[str, Any] = {
        "provider_state": state and {State.RUNNING: "dreaming"}.get(state, str(state)),
        "result": Result(url=VIDEO, urls=(VIDEO,)) if state is State.COMPLETED else Result(),
        "failure": "no cats allowed" if state is State.FAILED else None,
        "record": b'{"id":"g-1","model":"ray-2"}' if state else None,
        "record_omitted": False,
        "observed_at": OBSERVED if state else None,
        "not_before": NOT_BEFORE if state else None,
    }
    return SeenGeneration(provider=ProviderName("luma"), id=GenerationId("g-1"), state=state, **(fields | more))


def delivery(kind: Kind = Kind.RESULT, state: State | None = State.COMPLETED, **more: Any) -> NewDelivery:
    return new_delivery(watch(**more), seen(state), kind, now=NOW, directory=DIRECTORY)


HEAD = '"generation_id":"g-1","provider":"luma","target":"completed"'
TIMES = '"watch_id":"wch_co5fznner6ahjd23ptljqtdrv3ibabau","registered_at":"2026-11-22T05:10:00.000Z"'
SIGHT = '"observed_at":"2026-11-22T05:14:00.123Z","not_before":"2026-11-22T05:13:55.000Z"'
NO_SIGHT = '"observed_at":null,"not_before":null'
RECORD = '"generation":{"id":"g-1","model":"ray-2"},"generation_omitted":false'
NO_RECORD = '"generation":null,"generation_omitted":false'
EMPTY = '"result":{"url":null,"urls":[],"text":null,"truncated":false}'


def golden(type_: str, middle: str, seen_: str, record: str, tail: str = "") -> bytes:
    return (
        f'{{"type":"{type_}","timestamp":"2026-11-22T05:14:00.200Z","data":{{{HEAD},{middle},'
        f'"metadata":{{"order":1234}},{TIMES},{seen_},{record}{tail},"refreshed_at":null}}}}'
    ).encode()


@pytest.mark.parametrize(
    ("kind", "state", "body"),
    [
        (
            Kind.RESULT,
            State.QUEUED,
            golden(
                "generation.queued", f'"state":"queued","provider_state":"queued",{EMPTY},"failure":null', SIGHT, RECORD
            ),
        ),
        (
            Kind.RESULT,
            State.RUNNING,
            golden(
                "generation.running",
                f'"state":"running","provider_state":"dreaming",{EMPTY},"failure":null',
                SIGHT,
                RECORD,
            ),
        ),
        (
            Kind.RESULT,
            State.COMPLETED,
            golden(
                "generation.completed",
                '"state":"completed","provider_state":"completed",'
                f'"result":{{"url":"{VIDEO}","urls":["{VIDEO}"],"text":null,"truncated":false}},"failure":null',
                SIGHT,
                RECORD,
            ),
        ),
        (
            Kind.RESULT,
            State.FAILED,
            golden(
                "generation.failed",
                f'"state":"failed","provider_state":"failed",{EMPTY},"failure":"no cats allowed"',
                SIGHT,
                RECORD,
            ),
        ),
        (
            Kind.UNKNOWN,
            None,
            golden(
                "generation.unknown",
                f'"state":null,"provider_state":null,{EMPTY},"failure":null',
                NO_SIGHT,
                NO_RECORD,
            ),
        ),
        (
            Kind.EXPIRED,
            State.RUNNING,
            golden(
                "watch.expired",
                f'"state":"running","provider_state":"dreaming",{EMPTY},"failure":null',
                SIGHT,
                RECORD,
                ',"deadline":"2026-11-23T05:10:00.000Z","reason":"deadline"',
            ),
        ),
    ],
)
def test_each_type_has_its_one_form(kind: Kind, state: State | None, body: bytes) -> None:
    """Byte for byte what receivers were promised; a field may be added at the end of `data`, and nothing else."""
    assert delivery(kind, state).body == body


def test_a_cloudevent_has_its_one_form_too() -> None:
    """The attributes are in the body, and `data` is that of the standard form, byte for byte."""
    directory = EndpointDirectory(events={"studio": None}, callbacks=True, formats={"studio": Format.CLOUDEVENTS})
    made = new_delivery(watch(), seen(), Kind.RESULT, now=NOW, directory=directory)
    data = delivery().body.partition(b',"data":')[2].removesuffix(b"}")
    assert made.content_type == "application/cloudevents+json; charset=utf-8"
    assert made.body == (
        b'{"specversion":"1.0","id":"%b","source":"notifier/luma","type":"generation.completed",'
        b'"time":"2026-11-22T05:14:00.200Z","subject":"g-1","datacontenttype":"application/json",'
        b'"dataschema":"urn:notifier:schema:generation.completed","data":%b}' % (made.message_id.encode(), data)
    )


@pytest.mark.parametrize("named", [True, False], ids=["named", "callback url"])
def test_the_format_is_not_in_the_message_id(named: bool) -> None:  # noqa: FBT001  a parameter
    """An endpoint that changes its format gets a message made again under the same ID."""
    endpoint = "studio" if named else "https://app.example.com/x"
    formats = EndpointDirectory(
        events={"studio": None},
        callbacks=True,
        formats={"studio": Format.CLOUDEVENTS} if named else {},
        callback_format=Format.STANDARD if named else Format.CLOUDEVENTS,
    )
    one, other = (
        new_delivery(watch(endpoint=endpoint), seen(), Kind.RESULT, now=NOW, directory=directory)
        for directory in (DIRECTORY, formats)
    )
    assert one.message_id == other.message_id
    assert (one.content_type, other.content_type) == (
        "application/json",
        "application/cloudevents+json; charset=utf-8",
    )


def test_each_kind_of_endpoint_has_the_format_of_its_own() -> None:
    """What is said for callback URLs does not reach the endpoints with names, nor the other way round."""
    urls = EndpointDirectory(events={"studio": None}, callbacks=True, callback_format=Format.CLOUDEVENTS)
    names = EndpointDirectory(events={"studio": None}, callbacks=True, formats={"studio": Format.CLOUDEVENTS})
    for endpoint, directory in (("studio", urls), ("https://app.example.com/x", names)):
        made = new_delivery(watch(endpoint=endpoint), seen(), Kind.RESULT, now=NOW, directory=directory)
        assert made.content_type == "application/json"


def test_the_types_are_those_that_can_be_made() -> None:
    """What `events:` may name is what `new_delivery` can say, no more and no less."""
    made = {event_type(Kind.RESULT, seen(state)) for state in State}
    assert made | {event_type(Kind.EXPIRED, seen()), event_type(Kind.UNKNOWN, seen(None))} == set(TYPES)


def test_failure_names_the_state_reached() -> None:
    """Who waits for completed and meets failed is told so at once, under its own type."""
    assert delivery(Kind.RESULT, State.FAILED).type == "generation.failed"


def test_an_expiry_nobody_could_look_for_says_so() -> None:
    """The reason tells a late generation from a provider that could not be asked."""
    made = new_delivery(watch(), seen(None), Kind.EXPIRED, now=NOW, directory=DIRECTORY, reason="provider_unreachable")
    assert orjson.loads(made.body)["data"]["reason"] == "provider_unreachable"
    assert orjson.loads(made.body)["data"]["state"] is None


@pytest.mark.parametrize(
    "metadata", [b"{}", b'{"a":1.50,"b":[null,"\xc3\xa9"],"c":9007199254740992}', b'{"z":1,"a":2}']
)
def test_metadata_comes_back_as_it_was_sent(metadata: bytes) -> None:
    """Neither sorted nor rewritten: numbers keep their digits and keys their order."""
    assert b'"metadata":' + metadata + b"," in delivery(metadata=metadata).body


def test_a_record_that_was_left_out_is_said_to_be() -> None:
    """A receiver can tell "too large" from "there was none"."""
    content = orjson.loads(
        new_delivery(watch(), seen(record=None, record_omitted=True), Kind.RESULT, now=NOW, directory=DIRECTORY).body
    )
    assert content["data"]["generation"] is None
    assert content["data"]["generation_omitted"] is True


def test_the_message_id_is_of_its_facts() -> None:
    """The same watch in another round, or of another kind, is another message; what was seen plays no part."""
    facts: dict[str, Any] = {
        "provider": "luma",
        "generation": "g-1",
        "target": "completed",
        "endpoint": "studio",
        "round_": 0,
    }
    assert delivery().message_id == message_id(**facts, kind="result")
    assert delivery(Kind.RESULT, State.FAILED).message_id == delivery().message_id
    assert delivery(Kind.EXPIRED).message_id == message_id(**facts, kind="expired")
    assert delivery(round=2).message_id == message_id(**(facts | {"round_": 2}), kind="result")


def test_metadata_and_time_are_not_in_the_message_id() -> None:
    """A rebuilt store that makes the message later, with other metadata, repeats the same ID."""
    later = new_delivery(
        watch(metadata=b'{"b":2}'), seen(), Kind.RESULT, now=NOW + timedelta(days=1), directory=DIRECTORY
    )
    assert later.message_id == delivery().message_id


@pytest.mark.parametrize(
    ("endpoint", "directory", "status", "words"),
    [
        ("studio", EndpointDirectory(events={"studio": None}, callbacks=False), DeliveryStatus.PENDING, ""),
        (
            "studio",
            EndpointDirectory(events={"studio": frozenset({"generation.completed"})}, callbacks=False),
            DeliveryStatus.PENDING,
            "",
        ),
        (
            "studio",
            EndpointDirectory(events={"studio": frozenset({"generation.failed"})}, callbacks=False),
            DeliveryStatus.FILTERED,
            "studio leaves out generation.completed",
        ),
        (
            "studio",
            EndpointDirectory(events={"studio": frozenset()}, callbacks=False),
            DeliveryStatus.FILTERED,
            "leaves out",
        ),
        (
            "studio",
            EndpointDirectory(events={}, callbacks=True),
            DeliveryStatus.PARKED,
            "studio is not in the configuration",
        ),
        ("https://app.example.com/x", EndpointDirectory(events={}, callbacks=True), DeliveryStatus.PENDING, ""),
        (
            "https://app.example.com/x",
            EndpointDirectory(events={}, callbacks=False),
            DeliveryStatus.PARKED,
            "no callbacks: section",
        ),
    ],
)
def test_a_message_that_may_not_leave_says_why(
    endpoint: str, directory: EndpointDirectory, status: DeliveryStatus, words: str
) -> None:
    """What `events` leaves out is filtered, what has no endpoint is parked, and all else goes."""
    made = new_delivery(watch(endpoint=endpoint), seen(), Kind.RESULT, now=NOW, directory=directory)
    assert made.status is status
    assert words in made.reason
    assert bool(made.reason) == (status is not DeliveryStatus.PENDING)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    kind=st.sampled_from([Kind.RESULT, Kind.EXPIRED, Kind.UNKNOWN]),
    state=st.sampled_from(State),
    metadata=st.dictionaries(TEXT, JSON, max_size=3),
    record=st.dictionaries(TEXT, JSON, max_size=3),
    failure=st.none() | TEXT,
    word=TEXT,
)
def test_every_body_is_minified_json_that_says_what_was_seen(
    kind: Kind, state: State, metadata: dict[str, Any], record: dict[str, Any], failure: str | None, word: str
) -> None:
    """Whatever comes from outside, the body parses, holds it unchanged and wastes no byte."""
    facts = seen(state, record=orjson.dumps(record), failure=failure, provider_state=word)
    made = new_delivery(watch(metadata=orjson.dumps(metadata)), facts, kind, now=NOW, directory=DIRECTORY)
    body = orjson.loads(made.body)
    assert body["type"] == made.type
    assert made.type in TYPES
    assert body["data"]["metadata"] == metadata
    assert body["data"]["generation"] == record
    assert (body["data"]["failure"], body["data"]["provider_state"]) == (failure, word)
    assert orjson.dumps(body) == made.body


@pytest.mark.parametrize(
    ("urls", "kept"),
    [
        ([f"https://cdn.example.com/{number:03}/{'s' * 4_000}" for number in range(60)], 4),
        ([f"https://cdn.example.com/{number:04}" for number in range(2_000)], 714),
        ([f"https://cdn.example.com/{'é' * 2_000}/{number}" for number in range(9)], 4),
        ([f"https://cdn.example.com/{number}" for number in range(9)], 9),
        ([], 0),
    ],
)
def test_links_beyond_what_a_body_holds_are_left_out_and_that_is_said(urls: list[str], kept: int) -> None:
    """60 long links made a body of 246 kB, which web frameworks refuse: the first ones stay, in their order."""
    result = Result(url=urls[0] if urls else None, urls=tuple(urls))
    body = orjson.loads(new_delivery(watch(), seen(result=result), Kind.RESULT, now=NOW, directory=DIRECTORY).body)
    told = body["data"]["result"]
    assert told == {"url": result.url, "urls": urls[:kept], "text": None, "truncated": kept < len(urls)}


@pytest.mark.parametrize("format_", Format)
@pytest.mark.parametrize("link", ["s" * 4_000, '"' * 4_000, "\\" * 1_000, "é" * 4_000, "😀" * 4_000])
@pytest.mark.parametrize("text", ["😀", "\x01", '"', "\n", "é漢", "\ufffe"])
def test_no_body_is_larger_than_web_frameworks_take(text: str, link: str, format_: Format) -> None:
    """All fields at their limits together stay below 100 kB, which Express refuses, whatever JSON makes of them."""
    links = tuple(f"https://cdn.example.com/{number}/{link}" for number in range(60))
    made: dict[str, Any] = {"result": Result(url=links[0], urls=links, text=text * 50_000), "failure": "😀" * 1_000}
    record = orjson.dumps({"x": "y" * (RECORD_LIMIT - 10)})
    metadata = orjson.dumps({"m": "m" * 4_000})
    directory = replace(DIRECTORY, formats={"studio": format_})
    owed_ = new_delivery(
        watch(metadata=metadata), seen(record=record, **made), Kind.RESULT, now=NOW, directory=directory
    )
    assert len(owed_.body) < 100_000
    assert orjson.loads(owed_.body)["data"]["result"]["truncated"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("t" * TEXT_LIMIT, TEXT_LIMIT),
        ("t" * (TEXT_LIMIT + 1), TEXT_LIMIT),
        ("漢" * TEXT_LIMIT, TEXT_LIMIT),
        ("😀" * 8_000, 8_000),
        ("😀" * 8_001, 8_000),
        ("ab\x01" * 5_000, TEXT_LIMIT),
        ("\x01" * 10_000, 5_333),
        ("", 0),
    ],
)
def test_a_long_text_is_cut_and_that_is_said(text: str, kept: int) -> None:
    """A text up to the limits is whole: 10,000 characters, and 32 kB as JSON has them."""
    made = new_delivery(watch(), seen(result=Result(text=text)), Kind.RESULT, now=NOW, directory=DIRECTORY)
    told = orjson.loads(made.body)["data"]["result"]
    assert (told["text"], told["truncated"]) == (text[:kept], kept < len(text))
