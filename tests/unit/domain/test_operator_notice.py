"""What the operator reads of an endpoint: its form is a promise, as with every other message."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson

from notifier.domain.endpoint_health import Change, EndpointHealth, EndpointState
from notifier.domain.ids import Destination, EndpointIdentity
from notifier.domain.model import Format
from notifier.domain.operator_notice import notice
from notifier.domain.settings import EndpointSettings

NOW = datetime(2026, 11, 27, 5, 14, tzinfo=UTC)
SINCE = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
OPS = EndpointSettings(
    identity=EndpointIdentity("ops"),
    destination=Destination("ops"),
    url="https://ops.example.com/",
    secrets=(),
    events=frozenset({"generation.failed"}),
    retry=(timedelta(seconds=3),),
)
WORKING = EndpointHealth(destination=Destination("studio"))
DISABLED = EndpointHealth(
    destination=Destination("studio"),
    state=EndpointState.DISABLED,
    first_failure=SINCE,
    failures=12,
    disabled_at=NOW,
    reason="no success",
)


def test_the_operator_is_told_what_and_why() -> None:
    """All that the one who is woken needs; `events:`, which is of generations, does not leave it out."""
    told = notice(Change(before=WORKING, after=DISABLED, parked=40), OPS, now=NOW, token="abc")
    assert told is not None
    assert (told.message_id, told.endpoint, told.destination) == ("msg_abc", "ops", "ops")
    assert (told.type, told.content_type, told.wait) == (
        "endpoint.disabled",
        "application/json",
        timedelta(seconds=3),
    )
    assert orjson.loads(told.body) == {
        "type": "endpoint.disabled",
        "timestamp": "2026-11-27T05:14:00.000Z",
        "data": {
            "endpoint": "studio",
            "state": "disabled",
            "reason": "no success",
            "failing_since": "2026-11-22T05:14:00.000Z",
            "failures": 12,
            "parked": 40,
        },
    }


def test_the_operator_is_told_in_the_format_of_their_endpoint() -> None:
    """A `format:` that acts on every other message acts on this one: the attributes around the same data."""
    change = Change(before=WORKING, after=DISABLED, parked=40)
    plain = notice(change, OPS, now=NOW, token="abc")
    told = notice(change, replace(OPS, format=Format.CLOUDEVENTS), now=NOW, token="abc")
    assert plain is not None
    assert told is not None
    assert told.content_type == "application/cloudevents+json; charset=utf-8"
    assert orjson.loads(told.body) == {
        "specversion": "1.0",
        "id": "msg_abc",
        "source": "notifier",
        "type": "endpoint.disabled",
        "time": "2026-11-27T05:14:00.000Z",
        "subject": "studio",
        "datacontenttype": "application/json",
        "dataschema": "urn:notifier:schema:endpoint.disabled",
        "data": orjson.loads(plain.body)["data"],
    }


def test_a_recovered_endpoint_is_reported_with_what_it_was() -> None:
    """Otherwise the message would say nothing."""
    told = notice(Change(before=DISABLED, after=WORKING, parked=40), OPS, now=NOW, token="abc")
    assert told is not None
    data = orjson.loads(told.body)["data"]
    assert (told.type, data["state"]) == ("endpoint.recovered", "working")
    assert (data["reason"], data["failures"], data["failing_since"]) == (
        "no success",
        12,
        "2026-11-22T05:14:00.000Z",
    )


def test_there_is_no_notice_without_an_operator_or_a_change() -> None:
    """No operator, no change of state, or the operator's own endpoint."""
    own = EndpointHealth(destination=Destination("ops"), state=EndpointState.DISABLED, disabled_at=NOW, reason="gone")
    changes = {
        "no operator": (Change(before=WORKING, after=DISABLED, parked=0), None),
        "no change": (Change(before=DISABLED, after=DISABLED, parked=0), OPS),
        "its own": (Change(before=EndpointHealth(destination=Destination("ops")), after=own, parked=0), OPS),
    }
    for case, (change, operator) in changes.items():
        assert notice(change, operator, now=NOW, token="abc") is None, case
