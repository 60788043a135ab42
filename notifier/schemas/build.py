"""What the schemas say. Pure; the files beside this one are its output.

A schema promises that every field which it names is there. It forbids no other, because fields may be added, and a
receiver that checks bodies must not break then. `data` has an `$id` of its own: the `dataschema` of a CloudEvent.
"""

from collections.abc import Mapping
from typing import Any, Final

from notifier.domain import message, operator_notice
from notifier.domain.endpoint_health import EndpointState
from notifier.domain.message import CONTENT_TYPES, schema_of
from notifier.domain.model import Format, State

Schema = Mapping[str, Any]

#: Every type a body may have.
TYPES: Final = (*message.TYPES, *operator_notice.TYPES)
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_TIME: Final = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_URL: Final = {"type": "string", "maxLength": 4096}
_COUNT: Final = {"type": "integer", "minimum": 0}
#: Type -> the state of the endpoint that it reports.
_STATES: Final[Mapping[str, EndpointState]] = {
    "endpoint.failing": EndpointState.FAILING,
    "endpoint.disabled": EndpointState.DISABLED,
    "endpoint.recovered": EndpointState.WORKING,
}


def schema(type_: str, format_: Format) -> Schema:
    """The schema of a whole body."""
    parts = _standard(type_) if format_ is Format.STANDARD else _cloudevent(type_)
    return {**_head(type_, type_, format_), **_object(parts)}


def any_schema(format_: Format) -> Schema:
    """The schema of a body of any type."""
    return {**_head("any", "Any callback", format_), "oneOf": [schema(type_, format_) for type_ in TYPES]}


def _head(type_: str, title: str, format_: Format) -> Schema:
    id_ = f"{schema_of(type_)}:{format_}"
    return {"$schema": _DRAFT, "$id": id_, "title": f"{title} ({CONTENT_TYPES[format_]})"}


def file_name(type_: str, format_: Format) -> str:
    return f"{type_}.{format_}.json"


def _standard(type_: str) -> Schema:
    return {
        "type": {"const": type_},
        "timestamp": _said(_TIME, "When this message was written down."),
        "data": _data(type_),
    }


def _cloudevent(type_: str) -> Schema:
    notice = type_ in operator_notice.TYPES
    id_ = "^msg_[a-z0-9]{52}$" if notice else "^msg_[a-z2-7]{52}$"  # a notice's is random
    source: Schema = {"const": "notifier"}
    if not notice:
        source = _said({"type": "string", "pattern": "^notifier/[a-z0-9_-]+$"}, "notifier/ and the provider's name.")
    subject = "The endpoint, as in data." if notice else "The generation's ID."
    return {
        "specversion": {"const": "1.0"},
        "id": _said({"type": "string", "pattern": id_}, "The webhook-id."),
        "source": source,
        "type": {"const": type_},
        "time": _said(_TIME, "When this message was written down."),
        "subject": _said({"type": "string", "minLength": 1}, subject),
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": schema_of(type_)},
        "data": _data(type_),
    }


def _data(type_: str) -> Schema:
    fields = _of_an_endpoint(type_) if type_ in operator_notice.TYPES else _of_a_generation(type_)
    return {"$id": schema_of(type_), **_object(fields)}


def _of_an_endpoint(type_: str) -> Schema:
    if type_ == operator_notice.ENDPOINT_TEST:
        return {"endpoint": _said({"type": "string", "minLength": 1}, "The name of the endpoint that is tested.")}
    return {
        "endpoint": _said({"type": "string", "minLength": 1}, "Its name, or the origin of callback URLs."),
        "state": _said({"const": _STATES[type_]}, "Its state now."),
        "reason": _said({"type": "string"}, "Why; of one that works again, why it did not."),
        "failing_since": _said(_TIME_OR_NULL, "The first failure after the last success; null if there was none."),
        "failures": _said(_COUNT, "Attempts that failed since the last success."),
        "parked": _said(_COUNT, "Callbacks that are parked."),
    }


def _of_a_generation(type_: str) -> Schema:
    fields: dict[str, Any] = {
        "generation_id": _said({"type": "string", "minLength": 1, "maxLength": 256}, "What was watched."),
        "provider": _said({"type": "string", "minLength": 1}, "The provider's name in the configuration."),
        "target": _said({"enum": [state for state in State if state is not State.FAILED]}, "What the watch waits for."),
        "state": _said(_state(type_), "The state of the generation; null if it was never seen."),
        "provider_state": _said(_TEXT_OR_NULL, "The provider's own word for it."),
        "result": _said(_result(), "What it produced. The URLs are the provider's, and may run out."),
        "failure": _said(_TEXT_OR_NULL, "Why it failed, in the provider's words."),
        "metadata": _said({"type": "object"}, "What the watch was registered with."),
        "watch_id": {"type": "string", "pattern": "^wch_[a-z2-7]{32}$"},
        "registered_at": _said(_TIME, "When the watch was registered."),
        "observed_at": _said(_TIME_OR_NULL, "When the reply arrived that showed the state."),
        "not_before": _said(_TIME_OR_NULL, "When the last poll was sent that did not show it yet."),
        "generation": _said({"type": ["object", "null"]}, "The provider's record, written anew as compact JSON."),
        "generation_omitted": _said({"type": "boolean"}, "Whether the record was too large and left out."),
    }
    if type_ == "watch.expired":
        fields["deadline"] = _said(_TIME, "When the watch had to have its target.")
        fields["reason"] = {"enum": ["deadline", "provider_unreachable", "provider_error"]}
    fields["refreshed_at"] = _said(_TIME_OR_NULL, "When the result was brought up to date; null if it is the first.")
    return fields


def _state(type_: str) -> Schema:
    match type_.split("."):
        case ["generation", "unknown"]:
            return {"enum": [State.QUEUED, State.RUNNING, None]}  # a generation that ended leaves no watch open
        case ["generation", reached]:
            return {"const": reached}
        case _:
            return {"enum": [*State, None]}


def _result() -> Schema:
    fields = {
        "url": {**_URL, "type": ["string", "null"]},
        "urls": {"type": "array", "items": _URL},
        "text": _TEXT_OR_NULL,
        "truncated": _said({"type": "boolean"}, "Whether links or text beyond the limits were left out."),
    }
    return _object(fields)


def _object(properties: Schema) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


def _said(part: Schema, words: str) -> Schema:
    return {"description": words, **part}
