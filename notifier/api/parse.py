"""What the body of a request asks for. Pure: bytes in; a selection, a choice or `InvalidRequest` out.

A request says every key that it has a meaning for and no other: a misspelt filter would select more than was meant.
Times are `2026-11-22`, `2026-11-22T05:14:00Z` (UTC where no zone is said), or how long ago: `3h`, `2d`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from notifier.api.socket_path import LIST_MOST
from notifier.domain.errors import InvalidRequest
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.message import TYPES
from notifier.domain.model import DeliveryStatus
from notifier.net.urls import is_origin, normalise_url, origin
from notifier.store.records import Selection, WatchChoice
from notifier.text.document import TextError
from notifier.text.printable import did_you_mean, printable
from notifier.text.quantity import parse_duration
from notifier.text.strict_json import read_json

#: Characters of a text in a request, at most: callback URLs are the longest.
_LONGEST: Final = 2_048
#: Characters of a reason, at most.
_REASON: Final = 200
#: Statuses that a person may ask to be sent again.
_AGAIN: Final = tuple(DeliveryStatus)
#: Beginnings of IDs, so that one kind is not taken for another.
_MESSAGE, _WATCH = "msg_", "wch_"
#: What did not succeed so far and was not meant to be left out.
_OWED: Final = frozenset({DeliveryStatus.PENDING, DeliveryStatus.EXHAUSTED, DeliveryStatus.PARKED})


# ---- the requests -------------------------------------------------------------------------------------------------
def redelivery(body: bytes, *, now: datetime) -> Selection:
    """`message`; or `generation`; or any of `endpoint`, `provider`, `type`, `status`, `since`, `until` that narrows."""
    asked = _read(body, ("message", "generation", "provider", "endpoint", "type", "status", "since", "until"))
    if not asked:
        _refuse("Say which messages: message, generation, endpoint, provider, type, status, since or until.")
    if "message" in asked:
        if len(asked) > 1:
            _refuse("A message is one: nothing else may stand beside it.")
        return Selection(message=MessageId(_id(asked, "message", _MESSAGE)))
    since, until = _moment(asked, "since", now), _moment(asked, "until", now)
    if since is not None and until is not None and since >= until:
        _refuse("until must be later than since: nothing lies between them.")
    return Selection(
        generation=_generation(asked),
        provider=_provider(asked),
        type=_type(asked),
        statuses=_statuses(asked),
        since=since,
        until=until,
        **_endpoint(asked),
    )


def recovery(body: bytes, *, now: datetime) -> Selection:
    """All that is owed to `endpoint` since `since` and did not succeed so far; with `include_filtered` that too."""
    asked = _read(body, ("endpoint", "since", "include_filtered"))
    endpoint, since = _endpoint(asked), _moment(asked, "since", now)
    if not endpoint or since is None:
        _refuse("A recovery needs an endpoint and since when.")
    filtered = asked.get("include_filtered", False)
    if not isinstance(filtered, bool):
        _refuse("include_filtered is true or false.")
    statuses = _OWED | {DeliveryStatus.FILTERED} if filtered else _OWED
    return Selection(since=since, statuses=statuses, **endpoint)


def cancellation(body: bytes) -> WatchChoice:
    """`watch`; or `generation`, narrowed by `provider` and `endpoint`."""
    asked = _read(body, ("watch", "generation", "provider", "endpoint"))
    if "watch" in asked:
        if len(asked) > 1:
            _refuse("A watch is one: nothing else may stand beside it.")
        return WatchChoice(watch=WatchId(_id(asked, "watch", _WATCH)))
    if "generation" not in asked:
        _refuse("Say which: watch, or generation.")
    return WatchChoice(generation=_generation(asked), provider=_provider(asked), **_endpoint(asked))


def reason(body: bytes) -> str:
    """`reason`, on one line; empty where none is given."""
    asked = _read(body, ("reason",))
    return printable(_text(asked, "reason"), _REASON) if "reason" in asked else ""


def nothing(body: bytes) -> None:
    """A request that has nothing to say."""
    _read(body, ())


# ---- what is only read --------------------------------------------------------------------------------------------
def listing(query: Mapping[str, str]) -> tuple[bool, int]:
    """`all`, 1 for finished generations too, and `limit`: whether open ones only, and how many at most."""
    _only(query, ("all", "limit"))
    limit = query.get("limit", "100")
    if not re.fullmatch(r"[1-9][0-9]{0,5}", limit, re.ASCII) or int(limit) > LIST_MOST:
        _refuse(f"limit is a whole number from 1 to {LIST_MOST:,}.")
    if query.get("all", "0") not in ("0", "1"):
        _refuse("all is 0 or 1.")
    return query.get("all", "0") == "0", int(limit)


def history(query: Mapping[str, str]) -> GenerationId:
    """`id`: a generation's."""
    _only(query, ("id",))
    if not query.get("id"):
        _refuse("Say which: id.")
    return GenerationId(query["id"])


def _only(query: Mapping[str, str], known: Sequence[str]) -> None:
    for key in query:
        if key not in known:
            _refuse(f'Unknown parameter "{printable(key, 64)}".{did_you_mean(key, known)}')


# ---- their parts --------------------------------------------------------------------------------------------------
def _refuse(sentence: str) -> NoReturn:
    raise InvalidRequest(sentence)


def _read(body: bytes, known: Sequence[str]) -> Mapping[str, Any]:
    """The keys and values of an object; no body at all is an empty one."""
    try:
        value = read_json(body).value if body.strip() else {}
    except TextError as error:
        _refuse(f"The request is not JSON: {error.faults[0].message}")
    if not isinstance(value, dict):
        _refuse("The request is a JSON object.")
    for key in value:
        if key not in known:
            _refuse(f'Unknown key "{printable(key, 64)}".{did_you_mean(key, known)}')
    return value


def _text(asked: Mapping[str, Any], key: str) -> str:
    value = asked[key]
    if not isinstance(value, str) or not value.strip():
        _refuse(f"{key} is text, and not empty.")
    if len(value) > _LONGEST or not value.isprintable():
        _refuse(f"{key} is at most {_LONGEST:,} printable characters.")
    return value.strip()


def _id(asked: Mapping[str, Any], key: str, beginning: str) -> str:
    text = _text(asked, key)
    if not text.startswith(beginning):
        shown = printable(text, 100)
        _refuse(
            f"{shown} is no {key}'s ID, which begins with {beginning}; for a generation's write --generation {shown}"
        )
    return text


def _generation(asked: Mapping[str, Any]) -> GenerationId | None:
    return GenerationId(_text(asked, "generation")) if "generation" in asked else None


def _provider(asked: Mapping[str, Any]) -> ProviderName | None:
    return ProviderName(_text(asked, "provider")) if "provider" in asked else None


def _endpoint(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """A name, or a callback URL in its one form; a URL that goes no further than its origin is all of that origin."""
    if "endpoint" not in asked:
        return {}
    text = _text(asked, "endpoint")
    if "://" not in text:
        return {"endpoint": EndpointIdentity(text)}
    try:
        url = normalise_url(text)
    except ValueError as error:
        _refuse(f"endpoint: {error}")
    return {"destination": Destination(origin(url))} if is_origin(url) else {"endpoint": EndpointIdentity(url)}


def _type(asked: Mapping[str, Any]) -> str | None:
    if "type" not in asked:
        return None
    text = _text(asked, "type")
    if text not in TYPES:
        _refuse(f"{printable(text, 64)} is not an event type.{did_you_mean(text, TYPES)}")
    return text


def _statuses(asked: Mapping[str, Any]) -> frozenset[DeliveryStatus]:
    """One or a list of those that may be sent again; none is all of them."""
    given = asked.get("status", [])
    words = given if isinstance(given, list) else [given]
    if "status" in asked and not words:
        _refuse("An empty list of statuses selects nothing: take status out for all of them.")
    for word in words:
        if word not in _AGAIN:
            shown = printable(str(word), 64)
            _refuse(f"{shown} is not a status that can be sent again.{did_you_mean(shown, _AGAIN)}")
    return frozenset(DeliveryStatus(word) for word in words)


def _moment(asked: Mapping[str, Any], key: str, now: datetime) -> datetime | None:
    return parse_moment(_text(asked, key), now=now) if key in asked else None


def parse_moment(text: str, *, now: datetime) -> datetime:
    """A date, a time, or how long before `now`. `InvalidRequest` says what to write."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse(f'{printable(text, 40)} is no time. Write "2026-11-22", "2026-11-22T05:14:00Z", or how long ago: "2d".')
