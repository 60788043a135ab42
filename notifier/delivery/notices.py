"""What the operator is told of an endpoint that fails, is disabled or is well again. Pure.

A notice is a message like any other: signed, durable, tried by the schedule of the endpoint that `operator:` names. It
belongs to no watch, its ID is random, and `events:` of that endpoint, which speaks of generations, does not leave it
out. It is written in that endpoint's format; no schema of it is shipped, so a CloudEvent names none. Nobody is told of
the operator's own endpoint by a message to that endpoint: that stands in the log alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from notifier.clock import iso
from notifier.delivery.payload import CONTENT_TYPES, written
from notifier.delivery.standing import Change
from notifier.ids import EndpointIdentity, Lane, MessageId
from notifier.model import Format
from notifier.settings import EndpointSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message owed to the operator, before it is stored."""

    message_id: MessageId
    endpoint: EndpointIdentity
    lane: Lane
    #: `endpoint.failing`, `endpoint.disabled` or `endpoint.recovered`.
    type: str
    content_type: str
    body: bytes
    #: From now to the first attempt.
    wait: timedelta


def notice(change: Change, operator: EndpointSettings | None, *, now: datetime, token: str) -> Notice | None:
    """What `operator` is told of `change`; None where that is nothing. `token`, random, makes the ID."""
    if operator is None or not change.event or change.after.lane == operator.lane:
        return None
    message = MessageId(f"msg_{token}")
    return Notice(
        message_id=message,
        endpoint=operator.identity,
        lane=operator.lane,
        type=change.event,
        content_type=CONTENT_TYPES[operator.format],
        body=_body(change, operator.format, message, now),
        wait=operator.retry[0],
    )


def _body(change: Change, format_: Format, message: MessageId, now: datetime) -> bytes:
    told = change.telling
    data = {
        "endpoint": change.after.lane,
        "state": change.after.state,
        "reason": told.reason,
        "failing_since": None if told.first_failure is None else iso(told.first_failure),
        "failures": told.failures,
        "parked": change.parked,
    }
    return written(format_, message, change.event, iso(now), data, source="notifier", subject=change.after.lane)
