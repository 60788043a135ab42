"""What a message says, in the format its endpoint wants. Pure.

It is made inside the transaction that owes it, and never changed after, but for what `refresh` may bring up to date.
`standard` is Standard Webhooks' `{"type", "timestamp", "data"}`, minified. `cloudevents` is CloudEvents 1.0 in its
structured JSON mode: the attributes stand in the body, where the signature covers them. `data` is the same in both, and
so is the type: its words are those of `events:`, and we own no domain to put before them, which CloudEvents only
recommends. `id` is the `webhook-id`, so the format plays no part in what a message *is*.

`timestamp`, or `time`, is the time of the event (when we wrote it down), not of an attempt. One type, one schema, for
ever: fields may be added at the end of `data`, never renamed or taken away.
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

#: A parser of npm's `cloudevents` compares the charset letter by letter; lower case is read by all.
CONTENT_TYPES: Final[Mapping[Format, str]] = {
    Format.STANDARD: "application/json",
    Format.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8",
}
_NO_WAIT: Final = timedelta(0)
#: Bytes of a control character as JSON writes it, `\\u0001`; no other character takes more.
_LONGEST_IN_JSON: Final = 6
#: The same few moments stand in many bodies.
_iso: Final = lru_cache(maxsize=1_024)(iso)
#: A provider's record above this many bytes is left out of the body.
RECORD_LIMIT: Final = 16 * 1024
#: What a body holds of links (bytes) and of text (characters, and bytes) at most: together with the record and the
#: metadata it stays below 100 kB, which common web frameworks refuse unless told otherwise. Bytes are counted as JSON
#: has them: a control character is six.
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
    """The message that `watch` is owed because of `kind`; `reason` says why a watch expired, if not by its deadline."""
    type_ = event_type(kind, seen)
    status, why = _standing(watch, type_, directory)
    format_ = _format(watch.endpoint, directory)
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
    made = written(format_, message, type_, _iso(now), content, source=source, subject=watch.generation)
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
    """`delivery`, kept back if its destination is among those that are disabled (destination -> why)."""
    if (why := disabled.get(delivery.destination)) is None:
        return delivery
    return replace(delivery, status=DeliveryStatus.PARKED, reason=parked_reason(delivery.destination, why))


def parked_because(endpoint: EndpointIdentity, destination: Destination, directory: EndpointDirectory) -> str | None:
    """Why what is owed to this endpoint is kept back; None where it may go out.

    That its destination is disabled counts before anything else: what is kept back for that does not go on by itself.
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
    """The state actually reached names a result."""
    if kind is Kind.RESULT:
        assert seen.state is not None, "a message about a result is made only for a state that was seen"
        return f"generation.{seen.state}"
    return {Kind.EXPIRED: "watch.expired", Kind.UNKNOWN: "generation.unknown"}[kind]


def written(
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


def _standing(watch: Watch, type_: str, directory: EndpointDirectory) -> tuple[DeliveryStatus, str]:
    """Whether the message may leave, and if not, why."""
    endpoint = watch.endpoint
    if reason := parked_because(endpoint, watch.destination, directory):
        return DeliveryStatus.PARKED, reason
    wanted = directory.events.get(endpoint)
    if wanted is None or type_ in wanted:
        return DeliveryStatus.PENDING, ""
    return DeliveryStatus.FILTERED, f"events of endpoint {endpoint} leaves out {type_}"


def _format(endpoint: EndpointIdentity, directory: EndpointDirectory) -> Format:
    return directory.callback_format if "://" in endpoint else directory.formats.get(endpoint, Format.STANDARD)


def _content(type_: str, watch: Watch, seen: SeenGeneration, reason: str | None) -> dict[str, Any]:
    content = {
        "generation_id": watch.generation,
        "provider": watch.provider,
        "target": watch.target,
        "state": seen.state,
        "provider_state": seen.provider_state,
        "result": produced(seen),
        "failure": seen.failure,
        "metadata": orjson.Fragment(watch.metadata),
        "watch_id": watch.id,
        "registered_at": _iso(watch.registered_at),
        "observed_at": None if seen.observed_at is None else _iso(seen.observed_at),
        "not_before": None if seen.not_before is None else _iso(seen.not_before),
        "generation": record(seen),
        "generation_omitted": seen.record_omitted,
    }
    if type_ == "watch.expired":
        content |= {"deadline": _iso(watch.deadline), "reason": reason or "deadline"}
    content["refreshed_at"] = None
    return content


def produced(seen: SeenGeneration) -> dict[str, Any]:
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
    """The first of them that have no more than `limit` bytes together, as JSON has them between its quotes."""
    if sum(map(len, texts)) * _LONGEST_IN_JSON <= limit:
        return texts
    sizes = accumulate(len(orjson.dumps(text)) - 2 for text in texts)
    return texts[: sum(size <= limit for size in sizes)]


def record(seen: SeenGeneration) -> orjson.Fragment | None:
    """`data.generation`."""
    return None if seen.record is None else orjson.Fragment(seen.record)
