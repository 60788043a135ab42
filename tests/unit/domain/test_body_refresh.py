"""What a refresh may change of a stored body, and that nothing else moves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.body_refresh import refreshed
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, WatchId
from notifier.domain.message import CONTENT_TYPES, new_delivery
from notifier.domain.model import (
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
NOW = REGISTERED + timedelta(minutes=4)
LATER = NOW + timedelta(days=2)
NEW_RESULT = b'"result":{"url":"https://cdn.example.com/new.mp4","urls":["https://cdn.example.com/new.mp4"],"text":null,"truncated":false}'


def seen(url: str = "https://cdn.example.com/old.mp4", **more: Any) -> SeenGeneration:
    fields: dict[str, Any] = {
        "state": State.COMPLETED,
        "provider_state": "completed",
        "result": Result(url=url, urls=(url,)),
        "failure": None,
        "record": b'{"id":"g-1","seed":1.50,"note":"a \\"}],{ b"}',
        "record_omitted": False,
        "observed_at": NOW,
        "not_before": None,
    }
    return SeenGeneration(provider=ProviderName("luma"), id=GenerationId("g-1"), **(fields | more))


def delivery(format_: Format, metadata: bytes = b"{}", kind: Kind = Kind.RESULT) -> NewDelivery:
    watch = Watch(
        id=WatchId("wch_a"),
        provider=ProviderName("luma"),
        generation=GenerationId("g-1"),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        status=WatchStatus.OPEN,
        round=0,
        metadata=metadata,
        registered_at=REGISTERED,
        deadline=REGISTERED + timedelta(hours=24),
    )
    directory = EndpointDirectory(events={"studio": None}, callbacks=False, formats={"studio": format_})
    return new_delivery(watch, seen(), kind, now=NOW, directory=directory)


@pytest.mark.parametrize("format_", Format)
def test_only_the_result_the_record_and_the_time_of_the_refresh_change(format_: Format) -> None:
    """Every other byte stays where it was, even digits that a parser would write otherwise."""
    message = delivery(format_, b'{"a":1.50,"b":"\\u00e9 \xc3\xa9 \\\\","c":[{"result":{}},"]}"],"refreshed_at":null}')
    new = seen("https://cdn.example.com/new.mp4", record=b'{"id":"g-1","seed":2.00}')
    made = refreshed(message.body, message.content_type, new, refreshed_at=LATER)
    old_result = NEW_RESULT.replace(b"new.mp4", b"old.mp4")
    assert message.body.count(old_result) == 1
    expected = message.body.replace(old_result, NEW_RESULT)
    expected = expected.replace(
        b'"generation":{"id":"g-1","seed":1.50,"note":"a \\"}],{ b"}', b'"generation":{"id":"g-1","seed":2.00}'
    )
    before, mark, after = expected.rpartition(b'"refreshed_at":null')
    assert mark
    assert made == before + b'"refreshed_at":"2026-11-24T05:14:00.000Z"' + after


@pytest.mark.parametrize("format_", Format)
def test_a_record_that_has_grown_too_large_is_said_to_be_left_out(format_: Format) -> None:
    """As in a body that is made anew."""
    message = delivery(format_)
    made = refreshed(message.body, message.content_type, seen(record=None, record_omitted=True), refreshed_at=LATER)
    content = orjson.loads(made)["data"]
    assert (content["generation"], content["generation_omitted"]) == (None, True)


def test_a_body_of_an_older_version_gets_the_field() -> None:
    """It was stored before there was a refresh."""
    message = delivery(Format.STANDARD)
    older = message.body.replace(b',"refreshed_at":null', b"")
    assert older != message.body
    made = refreshed(older, message.content_type, seen(), refreshed_at=LATER)
    assert made == message.body.replace(b"null}}", b'"2026-11-24T05:14:00.000Z"}}')


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    format_=st.sampled_from(Format),
    kind=st.sampled_from([Kind.RESULT, Kind.EXPIRED, Kind.UNKNOWN]),
    metadata=st.dictionaries(TEXT, JSON, max_size=3),
    record=st.dictionaries(TEXT, JSON, max_size=3),
)
def test_a_refresh_is_the_body_that_would_be_made_and_no_other(
    format_: Format, kind: Kind, metadata: dict[str, Any], record: dict[str, Any]
) -> None:
    """Whatever is in it, it differs from the stored one in four fields, and a second refresh changes nothing more."""
    message = delivery(format_, orjson.dumps(metadata), kind)
    new = seen("https://cdn.example.com/new.mp4", record=orjson.dumps(record))
    made = refreshed(message.body, message.content_type, new, refreshed_at=LATER)
    expected = orjson.loads(message.body)
    expected["data"] |= {
        "result": {"url": new.result.url, "urls": [new.result.url], "text": None, "truncated": False},
        "generation": record,
        "refreshed_at": "2026-11-24T05:14:00.000Z",
    }
    assert made == orjson.dumps(expected)
    assert refreshed(made, message.content_type, new, refreshed_at=LATER) == made


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"type":"endpoint.test","data":{"note":"hello"}}', CONTENT_TYPES[Format.STANDARD]),
        (b'{"type":"x"}', CONTENT_TYPES[Format.STANDARD]),
        (b'{"data":[1]}', CONTENT_TYPES[Format.STANDARD]),
        (b'{"data":{"result":{}}', CONTENT_TYPES[Format.STANDARD]),
        (b'{"data":{"result":{}}} ', CONTENT_TYPES[Format.STANDARD]),
        (b'{ "data":{"result":{}}}', CONTENT_TYPES[Format.STANDARD]),
        (b"", CONTENT_TYPES[Format.CLOUDEVENTS]),
        (delivery(Format.STANDARD).body, "text/plain"),
    ],
)
def test_what_is_no_message_about_a_generation_is_not_touched(body: bytes, content_type: str) -> None:
    """`ValueError`: whoever asked sends the old bytes."""
    with pytest.raises(ValueError, match=r"refreshed|refresh\.|minified"):
        refreshed(body, content_type, seen(), refreshed_at=LATER)
