"""The content of a message, in the format of its endpoint. Pure.

This is what goes into the outbox: a message is made in the transaction that records its event, and does not change
afterwards, except for what `body_refresh` may replace. `standard` is Standard Webhooks' `{"type", "timestamp",
"data"}`, minified. `cloudevents` is CloudEvents 1.0 in its structured JSON mode: the attributes are in the body, where
the signature covers them. `data` and the type are the same in both formats. The types are the words of `events:`;
CloudEvents recommends a domain before them, but we own none. `id` is the `webhook-id`, so a message has the same ID in
any format.

`timestamp`, or `time`, is the time of the event (when we recorded it), not of an attempt. One type, one schema, for
ever: fields may be added at the end of `data`, but never renamed or removed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import orjson

from notifier.domain.endpoint_health import parked_reason
from notifier.domain.ids import Destination, EndpointIdentity, MessageId, message_id
from notifier.domain.model import (
    DeliveryStatus,
    EndpointDirectory,
    Format,
    Kind,
    Message,
    NewDelivery,
    SeenGeneration,
    Watch,
)
from notifier.domain.times import iso

#: The parser of npm's `cloudevents` compares the charset case-sensitively; all parsers accept lower case.
CONTENT_TYPES: Final[Mapping[Format, str]] = {
    Format.STANDARD: "application/json",
    Format.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8",
}
_NO_WAIT: Final = timedelta(0)
#: Bytes of a control character as JSON writes it, `\\u0001`; no other character takes more.
_LONGEST_IN_JSON: Final = 6
#: Many bodies have the same few times.
_iso: Final = lru_cache(maxsize=1_024)(iso)
#: A provider's record above this many bytes is left out of the body.
RECORD_LIMIT: Final = 16 * 1024
#: Limits for links (bytes) and text (characters, and bytes) in a body. With the record and the metadata a body stays
#: below 100 kB: common web frameworks refuse more by default. Bytes are counted as in JSON: a control character is six.
LINKS_LIMIT: Final = 20_000
TEXT_LIMIT: Final = 10_000
TEXT_BYTES_LIMIT: Final = 32_000
#: Every type of a message about a generation; what `events:` of an endpoint may name.
TYPES: Final = (
    "generation.queued",
    "generation.running",
    "generation.completed",
    "generation.failed",
    "generation.unknown",
    "watch.expired",
)


def new_delivery(
    watch: Watch,
    seen: SeenGeneration,
    kind: Kind,
    *,
    now: datetime,
    directory: EndpointDirectory,
    reason: str | None = None,
) -> NewDelivery:
    """The message for `watch` about `kind`; `reason` says why a watch expired, if not by its deadline."""
    type_ = event_type(kind, seen)
    status, why = _status(watch, type_, directory)
    callback = "://" in watch.endpoint
    format_ = directory.callback_format if callback else directory.formats.get(watch.endpoint, Format.STANDARD)
    message = message_id(
        provider=watch.provider,
        generation=watch.generation,
        target=watch.target,
        endpoint=watch.endpoint,
        kind=kind,
        round_=watch.round,
    )
    source = f"notifier/{watch.provider}"
    content = _content(type_, watch, seen, reason)
    made = encoded(format_, message, type_, _iso(now), content, source=source, subject=watch.generation)
    return NewDelivery(
        message_id=message,
        endpoint=watch.endpoint,
        destination=watch.destination,
        kind=kind,
        type=type_,
        content_type=made.content_type,
        body=made.body,
        status=status,
        reason=why,
        resumes=status is DeliveryStatus.PARKED and watch.destination not in directory.disabled,
        wait=directory.first_wait.get(watch.endpoint, _NO_WAIT),
    )


def parked_if_disabled(delivery: NewDelivery, disabled: Mapping[Destination, str]) -> NewDelivery:
    """`delivery`, parked if its destination is among those that are disabled (destination -> why)."""
    if (why := disabled.get(delivery.destination)) is None:
        return delivery
    return replace(delivery, status=DeliveryStatus.PARKED, reason=parked_reason(delivery.destination, why))


def parked_because(endpoint: EndpointIdentity, destination: Destination, directory: EndpointDirectory) -> str | None:
    """Why messages to this endpoint are parked; None if they may go out.

    A disabled destination is the first reason: messages parked for it do not resume by themselves.
    """
    if (why := directory.disabled.get(destination)) is not None:
        return parked_reason(destination, why)
    if "://" in endpoint:
        return None if directory.callbacks else "the configuration has no callbacks: section"
    return None if endpoint in directory.events else f"endpoint {endpoint} is not in the configuration"


def schema_of(type_: str) -> str:
    """The URI that names the schema of `data` in a message of this type."""
    return f"urn:notifier:schema:{type_}"


def event_type(kind: Kind, seen: SeenGeneration) -> str:
    """A result is named by the state that was reached."""
    if kind is Kind.RESULT:
        assert seen.state is not None, "a message about a result is made only for a state that was seen"
        return f"generation.{seen.state}"
    return {Kind.EXPIRED: "watch.expired", Kind.UNKNOWN: "generation.unknown"}[kind]


def encoded(
    format_: Format,
    message: MessageId,
    type_: str,
    time: str,
    content: Mapping[str, Any],
    *,
    source: str,
    subject: str,
) -> Message:
    """Any message, in its format. `source` and `subject` are for CloudEvents alone."""
    standard = {"type": type_, "timestamp": time, "data": content}
    if format_ is Format.STANDARD:
        return Message(id=message, content_type=CONTENT_TYPES[format_], body=orjson.dumps(standard))
    event = {
        "specversion": "1.0",
        "id": message,
        "source": source,
        "type": type_,
        "time": time,
        "subject": subject,
        "datacontenttype": "application/json",
        "dataschema": schema_of(type_),
        "data": content,
    }
    return Message(id=message, content_type=CONTENT_TYPES[format_], body=orjson.dumps(event))


def _status(watch: Watch, type_: str, directory: EndpointDirectory) -> tuple[DeliveryStatus, str]:
    """Whether the message may go out, and if not, why."""
    endpoint = watch.endpoint
    if reason := parked_because(endpoint, watch.destination, directory):
        return DeliveryStatus.PARKED, reason
    wanted = directory.events.get(endpoint)
    if wanted is None or type_ in wanted:
        return DeliveryStatus.PENDING, ""
    return DeliveryStatus.FILTERED, f"events of endpoint {endpoint} leaves out {type_}"


def _content(type_: str, watch: Watch, seen: SeenGeneration, reason: str | None) -> dict[str, Any]:
    content = {
        "generation_id": watch.generation,
        "provider": watch.provider,
        "target": watch.target,
        "state": seen.state,
        "provider_state": seen.provider_state,
        "result": result_data(seen),
        "failure": seen.failure,
        "metadata": orjson.Fragment(watch.metadata),
        "watch_id": watch.id,
        "registered_at": _iso(watch.registered_at),
        "observed_at": None if seen.observed_at is None else _iso(seen.observed_at),
        "not_before": None if seen.not_before is None else _iso(seen.not_before),
        "generation": record_data(seen),
        "generation_omitted": seen.record_omitted,
    }
    if type_ == "watch.expired":
        content |= {"deadline": _iso(watch.deadline), "reason": reason or "deadline"}
    content["refreshed_at"] = None
    return content


def result_data(seen: SeenGeneration) -> dict[str, Any]:
    """`data.result`, within its limits."""
    result = seen.result
    urls = _first_within(result.urls, LINKS_LIMIT)
    text = result.text and "".join(_first_within(result.text[:TEXT_LIMIT], TEXT_BYTES_LIMIT))
    return {
        "url": result.url,
        "urls": urls,
        "text": text,
        "truncated": text != result.text or len(urls) < len(result.urls),
    }


def _first_within(texts: Sequence[str], limit: int) -> Sequence[str]:
    """The first of them that take `limit` bytes at most together, counted as JSON without its quotes."""
    if sum(map(len, texts)) * _LONGEST_IN_JSON <= limit:
        return texts
    sizes = accumulate(len(orjson.dumps(text)) - 2 for text in texts)
    return texts[: sum(size <= limit for size in sizes)]


def record_data(seen: SeenGeneration) -> orjson.Fragment | None:
    """`data.generation`."""
    return None if seen.record is None else orjson.Fragment(seen.record)
