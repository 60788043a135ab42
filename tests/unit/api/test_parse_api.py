"""What the body of a request asks for: read whole, or refused in words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.admin.requests import Cancellation, Disabling, Nothing, Recovery, Redelivery
from notifier.api.parse import parse_body
from notifier.domain.errors import InvalidRequest
from notifier.domain.model import DeliveryStatus
from notifier.store.records import Selection, WatchChoice

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
DAY = timedelta(days=1)


def body(**keys: Any) -> bytes:
    return json.dumps(keys).encode()


def redelivery(data: bytes) -> Selection:
    return parse_body(Redelivery, data, now=NOW).selection()


def recovery(data: bytes) -> Selection:
    return parse_body(Recovery, data, now=NOW).selection()


def cancellation(data: bytes) -> WatchChoice:
    return parse_body(Cancellation, data, now=NOW).choice()


def reason(data: bytes) -> str:
    return parse_body(Disabling, data, now=NOW).reason or ""


def nothing(data: bytes) -> None:
    parse_body(Nothing, data, now=NOW)


def read_moment(text: str) -> datetime:
    since = redelivery(body(since=text)).since
    assert since is not None
    return since


ALL_THREE = {"generation": "g", "provider": "luma", "endpoint": "studio"}
RIGHT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"message": "msg_abc"}, {"message": "msg_abc"}),
    ({"generation": "-G3b3vVKdoC42"}, {"generation": "-G3b3vVKdoC42"}),
    (ALL_THREE, ALL_THREE),
    ({"endpoint": "HTTPS://App.Example.com:443/a?b=c"}, {"endpoint": "https://app.example.com/a?b=c"}),
    ({"endpoint": "https://App.Example.com"}, {"destination": "https://app.example.com"}),
    ({"endpoint": "https://app.example.com:8443/"}, {"destination": "https://app.example.com:8443"}),
    ({"endpoint": "https://app.example.com/?a"}, {"endpoint": "https://app.example.com/?a"}),
    ({"type": "generation.failed"}, {"type": "generation.failed"}),
    ({"status": "pending"}, {"statuses": frozenset({DeliveryStatus.PENDING})}),
    ({"status": "parked"}, {"statuses": frozenset({DeliveryStatus.PARKED})}),
    ({"status": ["delivered", "parked"]}, {"statuses": frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.PARKED})}),
    ({"since": "2d", "until": "36h"}, {"since": NOW - 2 * DAY, "until": NOW - 1.5 * DAY}),
]


@pytest.mark.parametrize(("keys", "fields"), RIGHT, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_redelivery_selects_what_it_names(keys: dict[str, Any], fields: dict[str, Any]) -> None:
    """Each key narrows, and what is not named does not."""
    assert redelivery(body(**keys)) == Selection(**fields)


WRONG: list[tuple[Callable[[bytes], Any], bytes, str]] = [
    (redelivery, b"", "Say which messages"),
    (redelivery, b"{}", "Say which messages"),
    (redelivery, b"[]", "a JSON object"),
    (redelivery, b"{", "not JSON"),
    (redelivery, b"\xff", "not JSON"),
    (redelivery, b'{"message": "msg_a", "message": "msg_b"}', "not JSON"),
    (redelivery, body(endpoints="studio"), 'Unknown key "endpoints". Did you mean "endpoint"?'),
    (redelivery, body(message="msg_a", endpoint="studio"), "give no other key with it"),
    (redelivery, body(message="g-1"), "g-1 is no message's ID, which begins with msg_"),
    (redelivery, body(message=""), "message is text, and not empty"),
    (redelivery, body(message=7), "message is text"),
    (redelivery, body(generation="a\x1b[31m"), "printable"),
    (redelivery, body(generation="g" * 3000), "at most 2,048"),
    (redelivery, body(endpoint="http://"), "endpoint: "),
    (redelivery, body(type="generation.complete"), 'Did you mean "generation.completed"?'),
    (redelivery, body(status="pendings"), 'Did you mean "pending"?'),
    (redelivery, body(status="exhaust"), 'Did you mean "exhausted"?'),
    (redelivery, body(status=[]), "selects nothing"),
    (redelivery, body(status=[["parked"]]), "is not a status"),
    (redelivery, body(status=None), "is not a status"),
    (redelivery, body(since=""), "since is text, and not empty"),
    (redelivery, body(since="yesterday"), "yesterday is no time"),
    (redelivery, body(since="2d", until="3d"), "until must be later than since"),
    (recovery, body(endpoint="studio"), "since when"),
    (recovery, body(since="2d"), "needs an endpoint"),
    (recovery, body(endpoint="studio", since="2d", status="filtered"), 'Unknown key "status"'),
    (recovery, body(endpoint="studio", since="2d", include_filtered="yes"), "true or false"),
    (cancellation, body(), "Say which"),
    (cancellation, body(endpoint="studio"), "Say which"),
    (cancellation, body(watch="wch_a", endpoint="studio"), "give no other key with it"),
    (cancellation, body(watch="msg_a"), "no watch's ID, which begins with wch_"),
    (reason, body(why="x"), 'Unknown key "why"'),
    (nothing, body(reason="x"), 'Unknown key "reason"'),
]


@pytest.mark.parametrize(("read", "data", "sentence"), WRONG, ids=lambda value: getattr(value, "__name__", str(value)))
def test_what_is_not_understood_is_refused(read: Callable[[bytes], Any], data: bytes, sentence: str) -> None:
    """With a sentence that says what is wrong; nothing is guessed and nothing is passed over."""
    with pytest.raises(InvalidRequest) as refused:
        read(data)
    assert sentence in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_recovery_is_of_what_did_not_succeed_so_far() -> None:
    """It waits for its next attempt, was given up or parked; what `events:` left out only if it is asked for."""
    pending = {DeliveryStatus.PENDING, DeliveryStatus.EXHAUSTED, DeliveryStatus.PARKED}
    keys = {"endpoint": "studio", "since": "2026-11-20"}
    since = datetime(2026, 11, 20, tzinfo=UTC)
    for more, statuses in (({}, pending), ({"include_filtered": True}, pending | {DeliveryStatus.FILTERED})):
        selection = recovery(body(**keys, **more))
        assert selection == Selection(endpoint=selection.endpoint, since=since, statuses=frozenset(statuses))
        assert selection.endpoint == "studio"


def test_a_cancellation_chooses_what_it_names() -> None:
    """One watch, or a generation's, of one provider and one endpoint where they are named."""
    assert cancellation(body(watch="wch_a")).watch == "wch_a"
    choice = cancellation(body(generation="g", provider="luma", endpoint="studio"))
    assert (choice.generation, choice.provider, choice.endpoint) == ("g", "luma", "studio")
    assert cancellation(body(generation="g")) == WatchChoice(generation=choice.generation)


def test_a_reason_is_one_short_line() -> None:
    """It ends up in terminals and logs; none is the empty one."""
    assert reason(b"") == ""
    assert reason(body(reason=" too loud ")) == "too loud"
    assert len(reason(body(reason="x" * 2000))) == 200


MOMENTS = [
    ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
    ("2026-11-22T05:14:00Z", datetime(2026, 11, 22, 5, 14, tzinfo=UTC)),
    ("2026-11-22T05:14:00.123Z", datetime(2026, 11, 22, 5, 14, 0, 123_000, tzinfo=UTC)),
    ("2026-11-22T05:14", datetime(2026, 11, 22, 5, 14, tzinfo=UTC)),
    ("2026-11-22 05:14", datetime(2026, 11, 22, 5, 14, tzinfo=UTC)),
    ("2026-11-22T07:14+02:00", datetime(2026, 11, 22, 5, 14, tzinfo=UTC)),
    ("0s", NOW),
    ("3h", NOW - timedelta(hours=3)),
    ("1.5d", NOW - 1.5 * DAY),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS)
def test_a_time_is_a_date_a_moment_or_how_long_ago(text: str, moment: datetime) -> None:
    """Without a zone it is UTC, as everything that is printed."""
    parsed = read_moment(text)
    assert (parsed, parsed.utcoffset()) == (moment, timedelta(0))


@pytest.mark.parametrize("text", ["2", "yesterday", "2026-13-01", "22.11.2026", "5 weeks", "0001-01-01T00:00+09:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With the three ways to write one."""
    with pytest.raises(InvalidRequest, match='how long ago: "2d"'):
        read_moment(text)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  the zone is beside it
def test_every_time_is_read_as_it_is_written(moment: datetime) -> None:
    """In whatever zone."""
    for zone in (UTC, timezone(timedelta(hours=-7))):
        assert read_moment(moment.astimezone(zone).isoformat()) == moment


@given(
    st.binary(max_size=200)
    | st.text(max_size=60).map(lambda text: json.dumps({"message": text, "since": text}).encode())
)
def test_no_body_whatever_breaks_a_reader(data: bytes) -> None:
    """It is understood, or it is wrong words."""
    for read in (redelivery, recovery, cancellation, reason, nothing):
        try:
            read(data)
        except InvalidRequest as error:
            assert str(error)
