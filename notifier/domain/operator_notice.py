"""Messages about an endpoint: to the operator, that it fails, is disabled or works again; and the test message. Pure.

An operator notice is a message like any other: signed, durable, and attempted by the schedule of the endpoint that
`operator:` names. It belongs to no watch and its ID is random. `events:` of that endpoint does not filter it, because
`events:` is about generations. It has that endpoint's format. No message reports the health of the operator's own
endpoint to that endpoint: only the log has it. A test message is not stored.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from notifier.domain.endpoint_health import Change
from notifier.domain.ids import MessageId, trial_message_id
from notifier.domain.message import encoded
from notifier.domain.model import DeliveryStatus, Format, Kind, Message, NewDelivery
from notifier.domain.settings import EndpointSettings
from notifier.domain.times import iso

#: The type of a message that tries an endpoint out.
ENDPOINT_TEST: Final = "endpoint.test"
#: Every type of a message about an endpoint; `events:` has none of them.
TYPES: Final = ("endpoint.failing", "endpoint.disabled", "endpoint.recovered", ENDPOINT_TEST)


def notice(change: Change, operator: EndpointSettings | None, *, now: datetime, token: str) -> NewDelivery | None:
    """The message to `operator` about `change`; None if there is none. `token`, random, makes the ID."""
    if operator is None or not change.event or change.after.destination == operator.destination:
        return None
    facts = {"endpoint": change.after.destination, "state": change.after.state} | change.facts()
    message = _message(change.event, operator.format, MessageId(f"msg_{token}"), facts, now=now)
    return NewDelivery(
        message_id=message.id,
        endpoint=operator.identity,
        destination=operator.destination,
        kind=Kind.OPERATOR,
        type=change.event,
        content_type=message.content_type,
        body=message.body,
        status=DeliveryStatus.PENDING,
        wait=operator.retry[0],
    )


def trial_message(endpoint: EndpointSettings, random_bytes: bytes, *, now: datetime) -> Message:
    """The test message for `endpoint`, in its format; `random_bytes` make its ID."""
    facts = {"endpoint": endpoint.identity}
    return _message(ENDPOINT_TEST, endpoint.format, trial_message_id(random_bytes), facts, now=now)


def _message(type_: str, format_: Format, id_: MessageId, facts: Mapping[str, Any], *, now: datetime) -> Message:
    return encoded(format_, id_, type_, iso(now), facts, source="notifier", subject=facts["endpoint"])
