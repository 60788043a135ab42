"""What is said of an endpoint: that it fails, is disabled or is well again; and what is sent to try one out. Pure.

A notice, to the operator, is a message like any other: signed, durable, tried by the schedule of the endpoint that
`operator:` names. It belongs to no watch, its ID is random, and `events:` of that endpoint, which speaks of
generations, does not leave it out. It is written in that endpoint's format. Nobody is told of the operator's own
endpoint by a message to that endpoint: that stands in the log alone. A test is stored nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from notifier.domain.endpoint_health import Change
from notifier.domain.ids import Destination, EndpointIdentity, MessageId
from notifier.domain.message import CONTENT_TYPES, written
from notifier.domain.model import Format
from notifier.domain.settings import EndpointSettings
from notifier.domain.times import iso

#: The type of a message that tries an endpoint out.
ENDPOINT_TEST: Final = "endpoint.test"
#: Every type of a message about an endpoint; `events:` speaks of none of them.
TYPES: Final = ("endpoint.failing", "endpoint.disabled", "endpoint.recovered", ENDPOINT_TEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message owed to the operator, before it is stored."""

    message_id: MessageId
    endpoint: EndpointIdentity
    destination: Destination
    #: `endpoint.failing`, `endpoint.disabled` or `endpoint.recovered`.
    type: str
    content_type: str
    body: bytes
    #: From now to the first attempt.
    wait: timedelta


def notice(change: Change, operator: EndpointSettings | None, *, now: datetime, token: str) -> Notice | None:
    """What `operator` is told of `change`; None where that is nothing. `token`, random, makes the ID."""
    if operator is None or not change.event or change.after.destination == operator.destination:
        return None
    message = MessageId(f"msg_{token}")
    return Notice(
        message_id=message,
        endpoint=operator.identity,
        destination=operator.destination,
        type=change.event,
        content_type=CONTENT_TYPES[operator.format],
        body=_body(change.event, operator.format, message, _facts(change), now=now),
        wait=operator.retry[0],
    )


def trial_body(endpoint: EndpointSettings, message: MessageId, *, now: datetime) -> bytes:
    """What tries `endpoint` out, in its format."""
    return _body(ENDPOINT_TEST, endpoint.format, message, {"endpoint": endpoint.identity}, now=now)


def _facts(change: Change) -> dict[str, Any]:
    told = change.telling
    return {
        "endpoint": change.after.destination,
        "state": change.after.state,
        "reason": told.reason,
        "failing_since": None if told.first_failure is None else iso(told.first_failure),
        "failures": told.failures,
        "parked": change.parked,
    }


def _body(type_: str, format_: Format, message: MessageId, facts: Mapping[str, Any], *, now: datetime) -> bytes:
    return written(format_, message, type_, iso(now), facts, source="notifier", subject=facts["endpoint"])
