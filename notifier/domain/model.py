"""The words of the product as frozen, keyword-only records: what is passed from one step to the next.

They have no behaviour beyond what a word means; the tables of what may follow what are in `lifecycle`. Before its
insert a thing has another type (`WatchRequest`, `NewDelivery`). Times are aware and in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId


# ---- states -------------------------------------------------------------------------------------------------------
class State(StrEnum):
    """Where a generation is. Members are in order of rank; rank 0 means "not seen yet"."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        return _RANKS[self]

    @property
    def final(self) -> bool:
        return self in (State.COMPLETED, State.FAILED)


_RANKS: Final = {state: number for number, state in enumerate(State, start=1)}


class WatchStatus(StrEnum):
    """Our record of one watch."""

    OPEN = "open"
    SATISFIED = "satisfied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class DeliveryStatus(StrEnum):
    """Our record of one delivery. `PENDING` is waiting, or being sent if it has a lease."""

    PENDING = "pending"
    DELIVERED = "delivered"
    #: The dead letters: every attempt of the schedule failed.
    EXHAUSTED = "exhausted"
    PARKED = "parked"
    FILTERED = "filtered"


class Kind(StrEnum):
    """Why there is a message; part of its identity."""

    RESULT = "result"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    #: A message to the operator about an endpoint: it belongs to no watch.
    OPERATOR = "operator"


class Format(StrEnum):
    """How the body of a message is written."""

    STANDARD = "standard"
    CLOUDEVENTS = "cloudevents"


class Verdict(StrEnum):
    """The result of one attempt. The same word is in the attempt's row and in the log."""

    DELIVERED = "delivered"
    GONE = "endpoint gone"
    REDIRECTED = "redirected"
    THROTTLED = "endpoint asked to slow down"
    CLIENT_ERROR = "endpoint refused the message"
    SERVER_ERROR = "server error"
    TIMED_OUT = "timed out"
    DNS_FAILED = "name not resolved"
    CONNECT_FAILED = "connection refused"
    TLS_FAILED = "TLS failed"
    RESET = "connection lost"
    PROTOCOL_ERROR = "not HTTP"
    ADDRESS_REFUSED = "address refused"
    PROXY_REFUSED = "proxy refused"
    #: This machine had too few resources for it: see `net.resources`.
    OUT_OF_RESOURCES = "out of resources here"
    INTERRUPTED = "interrupted"


class Trigger(StrEnum):
    """Who asked for an attempt."""

    SCHEDULE = "schedule"
    #: Somebody asked for the message again.
    PERSON = "person"


# ---- what is asked for --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """A watch before it is registered: one generation, one target, one endpoint."""

    provider: ProviderName
    generation: GenerationId
    target: State
    endpoint: EndpointIdentity
    #: The endpoint's name, or the callback URL's origin.
    destination: Destination
    #: From registration to the deadline.
    timeout: timedelta
    #: Compact JSON object in UTF-8, as it comes back in `data.metadata`.
    metadata: bytes = b"{}"
    #: When the file appeared, if the request is a file that stays until it is registered; None for any other.
    put_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGeneration:
    """A generation with an open watch: all that the poller needs to know of it."""

    provider: ProviderName
    id: GenerationId
    #: The highest state recorded; None until the first one.
    state: State | None
    #: When the first of its open watches was registered.
    registered_at: datetime
    #: The earliest deadline of its open watches.
    deadline: datetime
    #: The lowest target of its open watches.
    target: State
    #: The destinations of its open watches, each once, in order.
    destinations: tuple[Destination, ...]


class Outcome(StrEnum):
    """The result of registering one watch."""

    CREATED = "created"
    REOPENED = "reopened"
    #: The same watch is open already, with the same content.
    EXISTING = "already watched"
    #: The same watch is open with other metadata or timeout, and the first one was kept.
    KEPT = "already watched, with other content"
    FINISHED = "already finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The answer to one `WatchRequest`."""

    watch_id: WatchId
    outcome: Outcome
    #: If the watch is open now: what the poller needs to know of this one watch. Other watches of the generation may
    #: ask for more, and the poller got them when they were registered.
    open: OpenGeneration | None
    #: True if a delivery was made at once, because the generation was at its target already.
    enqueued: bool = False
    #: For KEPT: what differs, e.g. ("metadata", "timeout").
    differs: tuple[str, ...] = ()


# ---- what is seen -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a generation produced; URLs are http(s), at most 4,096 characters each, and never fetched by us."""

    url: str | None = None
    urls: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one poll saw of one ID that it asked for. `state` is None if the reply did not have the ID: absent."""

    id: GenerationId
    state: State | None
    #: The provider's own word for the state.
    provider_state: str | None = None
    #: True if `provider_state` is a word that the codec does not know; it counts as running.
    unmapped: bool = False
    #: Polls in a row that must show this before it is recorded; above 1 if the reply says less than it should.
    confirmations: int = 1
    result: Result = Result()
    failure: str | None = None
    #: Which model makes it; None if the record does not say.
    model: str | None = None
    #: When it was submitted, by the provider's clock; None if the record does not say.
    created_at: datetime | None = None
    #: The provider's record as it came.
    record: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def absent(self) -> bool:
        return self.state is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A generation seen at a higher state than recorded: step 7's answer and step 8's input."""

    provider: ProviderName
    observation: Observation
    #: When the reply that showed it was complete.
    observed_at: datetime
    #: The last poll at which it was not there yet; None if there was none since the start.
    not_before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenGeneration:
    """The recorded facts of a generation, from which bodies are made."""

    provider: ProviderName
    id: GenerationId
    state: State | None
    provider_state: str | None
    result: Result
    failure: str | None
    #: The provider's record as compact JSON; None if there is none or it was left out.
    record: bytes | None
    #: True if the record was above 16 KiB and was left out.
    record_omitted: bool
    observed_at: datetime | None
    not_before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RereadResult:
    """What a re-read showed of its ID."""

    observation: Observation
    #: When the reply that showed it was complete.
    seen_at: datetime


# ---- what is delivered --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A registered watch."""

    id: WatchId
    provider: ProviderName
    generation: GenerationId
    target: State
    endpoint: EndpointIdentity
    destination: Destination
    status: WatchStatus
    #: How often it was reopened.
    round: int
    #: Compact JSON.
    metadata: bytes
    registered_at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is signed and sent: the same bytes at every attempt, but for what a refresh may change."""

    #: The `webhook-id`.
    id: MessageId
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """One message to one endpoint, before it is stored. Only a refresh changes `body` after."""

    message_id: MessageId
    endpoint: EndpointIdentity
    destination: Destination
    kind: Kind
    #: E.g. `generation.completed`.
    type: str
    content_type: str
    body: bytes
    #: PENDING, FILTERED or PARKED.
    status: DeliveryStatus
    #: Why it is filtered or parked, in words; empty for PENDING.
    reason: str = ""
    #: For PARKED: whether it resumes by itself once its endpoint is configured.
    resumes: bool = False
    #: The wait from now to the first attempt.
    wait: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to make one attempt until the lease expires. The claim opened the attempt."""

    message_id: MessageId
    endpoint: EndpointIdentity
    destination: Destination
    type: str
    content_type: str
    body: bytes
    #: 1 for the first attempt, counting interrupted ones.
    number: int
    #: Steps of the schedule used up by failures.
    failures: int
    #: Interrupted attempts in a row, just before this one.
    interruptions: int
    started_at: datetime
    leased_until: datetime
    #: For the log line; empty if the message belongs to no watch.
    provider: ProviderName
    generation: GenerationId
    watch_id: WatchId
    trigger: Trigger = Trigger.SCHEDULE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """A delivery whose attempt is postponed for a moment: its result is old, and is read again first."""

    message_id: MessageId
    #: Of the attempt that is postponed.
    number: int
    provider: ProviderName
    generation: GenerationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """The result of the re-read for a `Stale` delivery."""

    message_id: MessageId
    #: Of the attempt that is postponed.
    number: int
    #: What to write into its body; None leaves the body as it is stored.
    reread: RereadResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of one POST, before its verdict."""

    status_code: int | None = None
    #: The first 2 KiB of the answer's body.
    head: bytes = b""
    #: Seconds by `Retry-After`; None if it was not sent or made no sense.
    retry_after: float | None = None
    #: Target of a redirect, as sent.
    location: str | None = None
    #: The verdict if the exchange failed; a status may have arrived before the body broke off.
    error: Verdict | None = None
    #: One printable line on what went wrong.
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """One closed attempt, and the status of its delivery after it."""

    message_id: MessageId
    number: int
    started_at: datetime
    took: timedelta = timedelta(0)
    verdict: Verdict
    status_code: int | None = None
    head: bytes = b""
    detail: str
    #: The delivery's status from now on.
    status: DeliveryStatus
    #: Steps of the schedule used up, this attempt included.
    failures: int
    #: When to try again; None unless `status` is PENDING.
    due_at: datetime | None = None
    #: False if it says nothing about its endpoint's health, see `delivery.outage`.
    affects_health: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """An attempt whose outcome is unknown: its worker died or was stopped."""

    message_id: MessageId
    destination: Destination
    number: int
    failures: int
    #: In a row, this one included.
    interruptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDirectory:
    """The part of the endpoints' configuration that decides whether and how a message is sent."""

    #: Name -> event types it wants; None is all. A name that is not here is not configured.
    events: Mapping[str, frozenset[str] | None]
    #: Whether `callbacks:` is configured.
    callbacks: bool
    #: Name -> wait before the first attempt, if there is one: the first step of the schedule.
    first_wait: Mapping[str, timedelta] = field(default_factory=dict)
    #: Name -> format of its bodies, if it is not the standard one.
    formats: Mapping[str, Format] = field(default_factory=dict)
    #: Format of the bodies for callback URLs.
    callback_format: Format = Format.STANDARD
    #: Disabled destinations -> why. Not from the configuration: the store fills it in, inside the transaction that
    #: asks.
    disabled: Mapping[Destination, str] = field(default_factory=dict)
