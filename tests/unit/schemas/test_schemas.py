"""The shipped schemas, held to real bodies by a validator that is not ours, and real bodies to them."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

import notifier.schemas
from notifier.domain import message, operator_notice
from notifier.domain.body_refresh import refreshed
from notifier.domain.endpoint_health import Change, EndpointHealth, EndpointState
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, watch_id
from notifier.domain.message import event_type, new_delivery, schema_of
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
from notifier.domain.operator_notice import notice, trial_message
from notifier.domain.settings import EndpointSettings
from notifier.schemas.build import TYPES, any_schema, file_name, schema

SHIPPED = Path(notifier.schemas.__file__).parent
DOCS = Path(__file__).parents[3] / "docs" / "callbacks.md"
WRITTEN = [(type_, format_) for type_ in TYPES for format_ in Format]
REGISTERED = datetime(2026, 11, 22, 5, 10, tzinfo=UTC)


def _is_a_time(value: object) -> bool:
    """RFC 3339 in UTC with milliseconds, as every time of ours."""
    return not isinstance(value, str) or (
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None
        and datetime.fromisoformat(value).tzinfo is not None
    )


_formats = FormatChecker(formats=())
_formats.checks("date-time", raises=ValueError)(_is_a_time)


@cache
def validator(type_: str, format_: Format) -> Draft202012Validator:
    """Of the file that is shipped; of all of them for "any"."""
    text = json.loads((SHIPPED / file_name(type_, format_)).read_text()) if type_ != "any" else any_schema(format_)
    return Draft202012Validator(text, format_checker=_formats)


def watch(generation: GenerationId, **more: Any) -> Watch:
    facts: dict[str, Any] = {"provider": ProviderName("luma"), "target": State.COMPLETED}
    facts |= {key: more.pop(key) for key in list(more) if key in facts}
    fields: dict[str, Any] = {
        "round": 0,
        "metadata": b"{}",
        "registered_at": REGISTERED,
        "deadline": REGISTERED + timedelta(hours=24),
    }
    return Watch(
        id=watch_id(generation=generation, endpoint="studio", **facts),
        generation=generation,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        status=WatchStatus.OPEN,
        **facts,
        **(fields | more),
    )


def made(kind: Kind, of: Watch, seen: SeenGeneration, format_: Format, reason: str | None = None) -> NewDelivery:
    directory = EndpointDirectory(events={"studio": None}, callbacks=False, formats={"studio": format_})
    return new_delivery(of, seen, kind, now=REGISTERED + timedelta(minutes=4), directory=directory, reason=reason)


def sight(state: State | None, **more: Any) -> SeenGeneration:
    fields: dict[str, Any] = {
        "id": GenerationId("g-1"),
        "provider_state": state and str(state),
        "result": Result(),
        "failure": None,
        "record": None if state is None else b'{"id":"g-1"}',
        "record_omitted": False,
        "observed_at": state and REGISTERED,
        "not_before": None,
    }
    return SeenGeneration(provider=ProviderName("luma"), state=state, **(fields | more))


def operator(format_: Format) -> EndpointSettings:
    return EndpointSettings(
        identity=EndpointIdentity("ops"),
        destination=Destination("ops"),
        url="https://ops.example.com/",
        secrets=(),
        format=format_,
    )


def told(change: Change, format_: Format) -> tuple[str, dict[str, Any]]:
    """Type and body of what the operator gets."""
    message = notice(change, operator(format_), now=REGISTERED, token="0f" * 26)
    assert message is not None
    return message.type, orjson.loads(message.body)


def trial(format_: Format, random_bytes: bytes = b"random_bytes") -> dict[str, Any]:
    """What tries an endpoint out."""
    body: dict[str, Any] = orjson.loads(trial_message(operator(format_), random_bytes, now=REGISTERED).body)
    return body


def one(type_: str, format_: Format) -> dict[str, Any]:
    """A body of this type."""
    if type_ == "endpoint.test":
        return trial(format_)
    if type_ in operator_notice.TYPES:
        stands = [
            EndpointHealth(destination=Destination("studio"), state=state, reason="it failed")
            for state in EndpointState
        ]
        changes = [Change(before=one, after=other, parked=4) for one in stands for other in stands]
        return next(told(change, format_)[1] for change in changes if change.event == type_)
    cases = [(Kind.RESULT, state) for state in State] + [(Kind.EXPIRED, State.RUNNING), (Kind.UNKNOWN, None)]
    (kind, state) = next(case for case in cases if event_type(case[0], sight(case[1])) == type_)
    content: dict[str, Any] = orjson.loads(made(kind, watch(GenerationId("g-1")), sight(state), format_).body)
    return content


# ---- the files ----------------------------------------------------------------------------------------------------
def test_the_files_are_what_the_program_writes() -> None:
    """`python -m notifier.schemas` writes them anew; there is one for each type and format, and no other."""
    written = {file_name(*each): json.dumps(schema(*each), indent=2) + "\n" for each in WRITTEN}
    assert {file.name: file.read_text() for file in SHIPPED.glob("*.json")} == written


@pytest.mark.parametrize(("type_", "format_"), [*WRITTEN, *(("any", format_) for format_ in Format)])
def test_each_is_a_schema_of_its_draft(type_: str, format_: Format) -> None:
    """Judged by the draft's own schema."""
    text = validator(type_, format_).schema
    assert text["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(text)


def test_every_name_stands_for_one_schema() -> None:
    """And the `dataschema` of a CloudEvent names that of its `data`."""
    names = [validator(*each).schema["$id"] for each in WRITTEN]
    assert len(set(names)) == len(names)
    for type_ in TYPES:
        schemas = [validator(type_, format_).schema["properties"]["data"] for format_ in Format]
        assert schemas[0] == schemas[1]
        assert schemas[0]["$id"] == one(type_, Format.CLOUDEVENTS)["dataschema"] == schema_of(type_)


# ---- bodies -------------------------------------------------------------------------------------------------------
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=3).map(orjson.dumps)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  bounds are naive
URLS = TEXT.map(lambda text: f"https://cdn.example.com/{text}")
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=256).map(GenerationId)
WATCHES = st.builds(
    watch,
    IDS,
    provider=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True).map(ProviderName),
    target=st.sampled_from([State.QUEUED, State.RUNNING, State.COMPLETED]),
    round=st.integers(0, 5),
    metadata=OBJECTS,
    registered_at=TIMES,
    deadline=TIMES,
)
SIGHTS = st.builds(
    sight,
    st.sampled_from(State),
    provider_state=st.none() | TEXT,
    result=st.builds(Result, url=st.none() | URLS, urls=st.lists(URLS, max_size=3).map(tuple), text=st.none() | TEXT),
    failure=st.none() | TEXT,
    record=st.none() | OBJECTS,
    record_omitted=st.booleans(),
    observed_at=st.none() | TIMES,
    not_before=st.none() | TIMES,
)


def cases() -> st.SearchStrategy[tuple[Kind, SeenGeneration]]:
    """Every pair of what happened and what was seen that can be: a generation that ended is never unknown."""
    ends = st.tuples(st.sampled_from([Kind.RESULT, Kind.EXPIRED]), SIGHTS)
    lost = st.tuples(st.just(Kind.UNKNOWN), SIGHTS.filter(lambda seen: seen.state in (State.QUEUED, State.RUNNING)))
    return ends | lost | st.sampled_from([Kind.EXPIRED, Kind.UNKNOWN]).map(lambda kind: (kind, sight(None)))


@given(
    WATCHES, cases(), st.sampled_from(Format), st.sampled_from([None, "provider_unreachable", "provider_error"]), TIMES
)
def test_every_body_is_as_its_schema_says(
    of: Watch, case: tuple[Kind, SeenGeneration], format_: Format, reason: str | None, refreshed_at: datetime
) -> None:
    """Whatever was registered and seen, when it is made and when it is brought up to date; and it says no more."""
    kind, seen = case
    message = made(kind, of, seen, format_, reason)
    later = refreshed(message.body, message.content_type, seen, refreshed_at=refreshed_at)
    for body in (orjson.loads(message.body), orjson.loads(later)):
        held_to_its_schema(message.type, body, format_)
        result = validator(message.type, format_).schema["properties"]["data"]["properties"]["result"]
        assert list(body["data"]["result"]) == list(result["properties"])


ENDS = st.builds(
    EndpointHealth,
    destination=st.sampled_from([Destination("studio"), Destination("https://app.example.com")]),
    state=st.sampled_from(EndpointState),
    first_failure=st.none() | TIMES,
    failures=st.integers(0, 10**6),
    reason=TEXT,
)


@given(ENDS, ENDS, st.integers(0, 10**9), st.sampled_from(Format))
def test_what_the_operator_is_told_is_as_its_schema_says(
    before: EndpointHealth, after: EndpointHealth, parked: int, format_: Format
) -> None:
    """However an endpoint stood and stands; and it says no more."""
    change = Change(before=before, after=after, parked=parked)
    assume(change.event)
    held_to_its_schema(*told(change, format_), format_)


@given(st.binary(max_size=16), st.sampled_from(Format))
def test_what_tries_an_endpoint_out_is_as_its_schema_says(random_bytes: bytes, format_: Format) -> None:
    """A receiver that checks what it gets takes the first message of all too."""
    held_to_its_schema("endpoint.test", trial(format_, random_bytes), format_)


def held_to_its_schema(type_: str, body: dict[str, Any], format_: Format) -> None:
    """It is valid, and has no field that its schema does not name."""
    validator(type_, format_).validate(body)
    validator("any", format_).validate(body)
    said = validator(type_, format_).schema["properties"]
    assert list(body) == list(said)
    assert list(body["data"]) == list(said["data"]["properties"])


def renamed(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`body` with one of its own fields under another name, each in turn."""
    for path in ((), ("data",), *([("data", "result")] if "result" in body["data"] else [])):
        for name in _at(body, path):
            other = copy.deepcopy(body)
            place = _at(other, path)
            place[f"{name}_"] = place.pop(name)
            yield other


def _at(body: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for step in path:
        body = body[step]
    return body


@pytest.mark.parametrize(("type_", "format_"), WRITTEN)
def test_a_body_with_a_renamed_field_is_refused(type_: str, format_: Format) -> None:
    """The promise that no field is renamed or taken away is one that a receiver can check."""
    body = one(type_, format_)
    assert validator(type_, format_).is_valid(body)
    others = list(renamed(body))
    assert len(others) == len(body) + len(body["data"]) + len(body["data"].get("result", ()))
    assert not [other for other in others if validator(type_, format_).is_valid(other)]
    assert not [other for other in others if validator("any", format_).is_valid(other)]


@pytest.mark.parametrize(("type_", "format_"), WRITTEN)
def test_a_body_is_of_one_type_and_one_format(type_: str, format_: Format) -> None:
    """No other schema takes it."""
    body = one(type_, format_)
    assert [each for each in WRITTEN if validator(*each).is_valid(body)] == [(type_, format_)]


def test_a_field_that_is_added_later_does_no_harm() -> None:
    """A receiver that checks bodies with the schema of today takes those of tomorrow."""
    body = one("generation.completed", Format.STANDARD)
    body["later"] = body["data"]["later"] = body["data"]["result"]["later"] = 1
    validator("generation.completed", Format.STANDARD).validate(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [("state", "failed"), ("state", None), ("target", "failed"), ("registered_at", "yesterday"), ("metadata", [])],
)
def test_a_value_of_the_wrong_kind_is_refused(field: str, value: object) -> None:
    """A type says which state was reached, and times are times."""
    body = one("generation.completed", Format.STANDARD)
    body["data"][field] = value
    assert not validator("generation.completed", Format.STANDARD).is_valid(body)


@pytest.mark.parametrize(
    ("field", "value"), [("state", "failing"), ("endpoint", ""), ("failing_since", "yesterday"), ("failures", None)]
)
def test_a_notice_with_a_value_of_the_wrong_kind_is_refused(field: str, value: object) -> None:
    """The type says how the endpoint stands, and a count is never missing."""
    body = one("endpoint.disabled", Format.STANDARD)
    body["data"][field] = value
    assert not validator("endpoint.disabled", Format.STANDARD).is_valid(body)


# ---- the documentation --------------------------------------------------------------------------------------------
def examples() -> list[tuple[str, str, str]]:
    """(type, format, text) of each `<!-- example: TYPE FORMAT -->`."""
    return re.findall(r"<!-- example: (\S+) (\S+) -->\n```json\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_there_is_an_example_of_every_type_and_format() -> None:
    """Every type in the standard form, and what it looks like in the other one."""
    shown = {(type_, format_) for type_, format_, _ in examples()}
    assert {type_ for type_, format_ in shown if format_ == Format.STANDARD} == set(TYPES)
    for types in (message.TYPES, operator_notice.TYPES):
        assert {format_ for type_, format_ in shown if type_ in types} == set(Format)


@pytest.mark.parametrize(("type_", "format_", "text"), examples())
def test_the_examples_of_the_documentation_are_right(type_: str, format_: str, text: str) -> None:
    """Each is valid by its schema and has every field, in the order of a real body."""
    body = json.loads(text)
    validator(type_, Format(format_)).validate(body)
    real = one(type_, Format(format_))
    assert (list(body), list(body["data"])) == (list(real), list(real["data"]))
    assert list(body["data"].get("result", ())) == list(real["data"].get("result", ()))


@pytest.mark.parametrize(
    ("heading", "types"), [("The body", message.TYPES), ("Messages about an endpoint", operator_notice.TYPES)]
)
def test_the_documentation_names_every_field(heading: str, types: tuple[str, ...]) -> None:
    """No field is known to the program alone."""
    section = DOCS.read_text().partition(f"## {heading}\n")[2].partition("<!-- example")[0]
    there = {name for type_ in types for name in one(type_, Format.STANDARD)["data"]}
    assert there <= set(re.findall(r"`([a-z_]+)", section))
