"""What may be asked of a running daemon. Each request is declared once, with every key that it may have.

The command line takes its options from here (`cli.options`) and the API its parsing (`api.parse`), so no filter can be
known to one of them and not to the other. Any other key is refused: a misspelt filter would select more than was meant.

Times are `2026-11-22`, `2026-11-22T05:14:00Z` (UTC if no zone is given), or how long ago: `3h`, `2d`. Pure.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, get_type_hints

from notifier.domain.errors import InvalidRequest
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.message import TYPES
from notifier.domain.model import DeliveryStatus
from notifier.net.urls import is_origin, normalise_url, origin
from notifier.text.command_line import Option
from notifier.text.printable import did_you_mean, printable
from notifier.text.quantity import parse_duration

if TYPE_CHECKING:
    from notifier.store.records import Selection, WatchChoice

#: Generations in one list, at most.
LIST_MOST: Final = 100_000
#: Characters of a text in a request, at most: callback URLs are the longest.
_LONGEST: Final = 2_048
#: Characters of a reason, at most.
_REASON: Final = 200
#: What did not succeed so far and was not meant to be left out.
_PENDING: Final = frozenset({DeliveryStatus.PENDING, DeliveryStatus.EXHAUSTED, DeliveryStatus.PARKED})


@dataclass(frozen=True, slots=True)
class Key(Option):
    """How one key is read, and how the command line offers it."""

    type: Any = str
    #: From the value, the key's name and the time now; `InvalidRequest` says what to write instead.
    read: Callable[[Any, str, datetime], Any] = field(kw_only=True)


class Request:
    """A request: its fields are keys, and those without a default are required."""

    __slots__ = ()

    #: The sentence if a required key is missing.
    incomplete: ClassVar[str] = ""


def keys_of(request: type) -> Mapping[str, tuple[Key, Any]]:
    """The keys that a request may have, in their order, each with its default; `MISSING` if it is required."""
    hints = get_type_hints(request, include_extras=True)
    return {each.name: (hints[each.name].__metadata__[0], each.default) for each in fields(request)}


# ---- how keys are read --------------------------------------------------------------------------------------------
def _text(value: Any, key: str, _: datetime) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{key} is text, and not empty.")
    if len(value) > _LONGEST or not value.isprintable():
        raise InvalidRequest(f"{key} is at most {_LONGEST:,} printable characters.")
    return value.strip()


def _id_with(beginning: str) -> Callable[[Any, str, datetime], str]:
    """An ID with this beginning, so that one kind of ID is not taken for another."""

    def read(value: Any, key: str, now: datetime) -> str:
        text = _text(value, key, now)
        if not text.startswith(beginning):
            shown = printable(text, 100)
            raise InvalidRequest(
                f"{shown} is no {key}'s ID, which begins with {beginning}; "
                f"for a generation's write --generation {shown}"
            )
        return text

    return read


@dataclass(frozen=True, slots=True)
class Recipient:
    """An endpoint by its name or by one callback URL; or all callback URLs of one origin."""

    endpoint: EndpointIdentity | None = None
    destination: Destination | None = None


def _recipient(value: Any, key: str, now: datetime) -> Recipient:
    """A URL without a path selects all callback URLs of its origin."""
    text = _text(value, key, now)
    if "://" not in text:
        return Recipient(endpoint=EndpointIdentity(text))
    try:
        url = normalise_url(text)
    except ValueError as error:
        raise InvalidRequest(f"{key}: {error}") from None
    return Recipient(destination=Destination(origin(url))) if is_origin(url) else Recipient(EndpointIdentity(url))


def _type(value: Any, key: str, now: datetime) -> str:
    text = _text(value, key, now)
    if text not in TYPES:
        raise InvalidRequest(f"{printable(text, 64)} is not an event type.{did_you_mean(text, TYPES)}")
    return text


def _statuses(value: Any, _key: str, _now: datetime) -> frozenset[DeliveryStatus]:
    """One status, or a list of them."""
    words = value if isinstance(value, list) else [value]
    if not words:
        raise InvalidRequest("An empty list of statuses selects nothing: take status out for all of them.")
    for word in words:
        if word not in tuple(DeliveryStatus):
            shown = printable(str(word), 64)
            raise InvalidRequest(
                f"{shown} is not a status that can be sent again.{did_you_mean(shown, DeliveryStatus)}"
            )
    return frozenset(DeliveryStatus(word) for word in words)


def _moment(value: Any, key: str, now: datetime) -> datetime:
    """A date, a time, or how long before `now`."""
    text = _text(value, key, now)
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f'{printable(text, 40)} is no time. Write "2026-11-22", "2026-11-22T05:14:00Z", or how long ago: "2d".'
        ) from None


def _true_or_false(value: Any, key: str, _: datetime) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{key} is true or false.")
    return value


def _one_or_zero(value: Any, key: str, _: datetime) -> bool:
    """As a query has it."""
    if value not in ("0", "1"):
        raise InvalidRequest(f"{key} is 0 or 1.")
    return bool(value == "1")


def _count(value: Any, key: str, _: datetime) -> int:
    """As a query has it."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}", value, re.ASCII) or int(value) > LIST_MOST:
        raise InvalidRequest(f"{key} is a whole number from 1 to {LIST_MOST:,}.")
    return int(value)


def _reason(value: Any, key: str, now: datetime) -> str:
    """On one line."""
    return printable(_text(value, key, now), _REASON)


def _generation_id(value: Any, key: str, _: datetime) -> GenerationId:
    if not value:
        raise InvalidRequest(f"Say which: {key}.")
    return GenerationId(value)


_TIMES: Final = 'A date or a time in UTC, or how long ago: "2026-11-22", "2026-11-22T05:14:00Z", "2d".'
_STATUSES: Final = "pending, delivered, exhausted, parked or filtered; repeat it. By default all."

_Generation = Annotated[GenerationId | None, Key("All of this generation.", "ID", read=_text)]
_Provider = Annotated[ProviderName | None, Key("Of this provider only.", "NAME", read=_text)]
_Endpoint = Annotated[Recipient | None, Key("Of this endpoint only.", "NAME", read=_recipient)]


# ---- the requests -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing(Request):
    """A request that has no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery(Request):
    """Send messages again: one, or all that fit every other key which is given."""

    incomplete = "Say which messages: message, generation, endpoint, provider, type, status, since or until."

    message: Annotated[
        MessageId | None,
        Key("msg_…, or how it begins; `show` lists them.", "MESSAGE", positional=True, read=_id_with("msg_")),
    ] = None
    generation: _Generation = None
    provider: _Provider = None
    endpoint: _Endpoint = None
    type: Annotated[str | None, Key("Of this event type.", "TYPE", read=_type)] = None
    status: Annotated[frozenset[DeliveryStatus] | None, Key(_STATUSES, "STATUS", type=list[str], read=_statuses)] = None
    since: Annotated[datetime | None, Key(f"Created since then. {_TIMES}", "TIME", read=_moment)] = None
    until: Annotated[datetime | None, Key("Created before then.", "TIME", read=_moment)] = None

    def __post_init__(self) -> None:
        given = [each.name for each in fields(self) if getattr(self, each.name) is not None]
        if not given:
            raise InvalidRequest(self.incomplete)
        if self.message is not None and len(given) > 1:
            raise InvalidRequest("message selects one message: give no other key with it.")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InvalidRequest("until must be later than since: there is no time between them.")

    def selection(self) -> "Selection":
        from notifier.store.records import Selection  # noqa: PLC0415  a command line needs the keys only

        return Selection(
            message=self.message,
            type=self.type,
            statuses=self.status or frozenset(),
            since=self.since,
            until=self.until,
            **_filters(self),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery(Request):
    """Send what an endpoint did not get since a time."""

    incomplete = "A recovery needs an endpoint and since when."

    endpoint: Annotated[Recipient, Key("Its name, or a callback URL.", "ENDPOINT", positional=True, read=_recipient)]
    since: Annotated[datetime, Key(_TIMES, "TIME", read=_moment)]
    include_filtered: Annotated[
        bool, Key("Also what `events:` of the endpoint left out.", type=bool, read=_true_or_false)
    ] = False

    def selection(self) -> "Selection":
        statuses = _PENDING | {DeliveryStatus.FILTERED} if self.include_filtered else _PENDING
        return Redelivery(endpoint=self.endpoint, since=self.since, status=statuses).selection()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation(Request):
    """Take back one watch, or the open ones of a generation."""

    incomplete = "Say which: watch, or generation."

    watch: Annotated[
        WatchId | None,
        Key("wch_…, or how it begins; `show` lists them.", "WATCH", positional=True, read=_id_with("wch_")),
    ] = None
    generation: _Generation = None
    provider: _Provider = None
    endpoint: _Endpoint = None

    def __post_init__(self) -> None:
        if self.watch is not None and (self.generation or self.provider or self.endpoint):
            raise InvalidRequest("watch selects one watch: give no other key with it.")
        if self.watch is None and self.generation is None:
            raise InvalidRequest(self.incomplete)

    def choice(self) -> "WatchChoice":
        from notifier.store.records import WatchChoice  # noqa: PLC0415  as above

        return WatchChoice(watch=self.watch, **_filters(self))


def _filters(request: Redelivery | Cancellation) -> dict[str, Any]:
    """The filters that messages and watches share, as the store has them."""
    recipient = {} if request.endpoint is None else asdict(request.endpoint)
    return {"generation": request.generation, "provider": request.provider, **recipient}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disabling(Request):
    """Disable an endpoint."""

    reason: Annotated[str | None, Key("Why; it is shown with the endpoint.", "TEXT", read=_reason)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Request):
    """List the generations that were registered last."""

    all: Annotated[bool, Key("Finished ones too.", type=bool, read=_one_or_zero)] = False
    limit: Annotated[int, Key("Lines at most.", "COUNT", type=int, least=1, most=LIST_MOST, read=_count)] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryOf(Request):
    """Tell the whole history of one generation."""

    incomplete = "Say which: id."

    id: Annotated[GenerationId, Key("The generation's ID.", "ID", positional=True, read=_generation_id)]
