"""What the store is given and what it answers, as frozen records. Pure: no protocol, no rule of a store.

The words of the product itself are in `domain.model`; here is only what some call of `store.ports` needs beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from notifier.domain.endpoint_health import Change, EndpointHealth
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    Interruption,
    Kind,
    NewDelivery,
    OpenGeneration,
    Stale,
    State,
    Trigger,
    Verdict,
    WatchStatus,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedDirectory:
    """What applying an endpoint directory did."""

    #: How many times the content changed, the first directory included.
    epoch: int
    parked: int
    resumed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one transition or ending did."""

    #: Messages enqueued, parked and filtered ones included.
    enqueued: int
    #: The generation with the watches that are still open; None if none is.
    open: OpenGeneration | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Open watches of one generation that end without their target."""

    provider: ProviderName
    generation: GenerationId
    #: EXPIRED or UNKNOWN.
    kind: Kind
    #: When the poll that allows it was answered.
    observed_at: datetime
    #: Why they expire, if it is not the deadline alone.
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a provider does not answer, about one generation or at all."""

    #: One word or two for a provider's, e.g. `refused`; `failing` for a generation's.
    kind: str
    #: One sentence: what it said last, and what to do if that is known.
    reason: str
    since: datetime
    #: When it was asked last, and how often since then.
    last: datetime
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Which results are too old to be sent without reading them again."""

    #: Deliveries that may be held back for it now.
    room: int
    #: How long one is held back at most.
    wait: timedelta
    #: The age from which a result is too old, by destination; None: never.
    after: Mapping[Destination, timedelta | None]
    #: Any other destination's.
    each: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How many attempts may begin now, and for how long each may take."""

    #: In all.
    total: int
    #: Free slots of destinations with a limit other than `each`; 0 is "none now".
    free: Mapping[Destination, int]
    #: Slots of any other destination, those that it holds included.
    each: int
    #: Length of a lease, by destination.
    lease: Mapping[Destination, timedelta]
    #: Length of any other destination's.
    lease_each: timedelta
    #: Slots that destinations hold already; 0 for any other.
    held: Mapping[Destination, int] = field(default_factory=dict)
    #: The pool of `pools` that a destination takes its slots from.
    pool_of: Callable[[Destination], str] = lambda _: ""
    #: Free slots by pool, shared out by `domain.slot_sharing`; empty is one pool of `total` that may be used up.
    pools: Mapping[str, int] = field(default_factory=dict)
    #: By pool: slots of which destinations that hold none may have one each, if the pool itself has none left.
    first_slots: Mapping[str, int] = field(default_factory=dict)
    #: Whether a destination yields: it gets nothing in this call if one that does not yield can have a slot; or nothing
    #: whatever, if `yields_always`.
    yields: Callable[[Destination], bool] = lambda _: False
    yields_always: bool = False
    #: None: everything is sent as it is stored.
    freshness: Freshness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Answer of `DeliveryStore.exchange`."""

    claims: Sequence[Claim]
    #: The earliest time after `now` at which something more falls due; None if nothing will.
    next_due: datetime | None
    #: Results that were thrown away because their lease was lost.
    lost: Sequence[MessageId] = ()
    #: What was held back instead of being claimed.
    stale: Sequence[Stale] = ()
    #: True if destinations have something due, and got nothing because they yield.
    yielded: bool = False
    #: Destinations that are in another state because of the results.
    changed: Sequence[Change] = ()


#: Says what becomes of a delivery whose attempt was interrupted.
Decide = Callable[[Interruption], AttemptResult]
#: The message to the operator about a change, enqueued in the same transaction; None: no message.
Announce = Callable[[Change], NewDelivery | None]


def silent(_: Change) -> NewDelivery | None:
    """No message."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSummary:
    """One destination, for people."""

    health: EndpointHealth
    #: Deliveries that wait or are in flight.
    pending: int
    #: Parked deliveries.
    parked: int
    #: Deliveries of a disabled destination that were given up since it began to fail, the one answered by 410 too.
    given_up: int = 0
    #: When the first was made of those that do not resume by themselves; None if there are none.
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Rows that were forgotten."""

    deliveries: int = 0
    watches: int = 0
    generations: int = 0
    #: True if the pass is not at its end yet.
    more: bool = False

    def __add__(self, other: "Pruned") -> "Pruned":
        """Both; what comes later decides on `more`."""
        return Pruned(
            deliveries=self.deliveries + other.deliveries,
            watches=self.watches + other.watches,
            generations=self.generations + other.generations,
            more=other.more,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What the store takes on the disk; in bytes, except `free_pages`."""

    file: int
    #: The write-ahead log: changes that are not in the main file yet.
    log: int
    #: Pages of the file that hold nothing and are used again.
    free_pages: int
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Deliveries that a person selects: those that match every field that is set."""

    message: MessageId | None = None
    generation: GenerationId | None = None
    provider: ProviderName | None = None
    endpoint: EndpointIdentity | None = None
    #: All that goes to one origin, or to one name.
    destination: Destination | None = None
    type: str | None = None
    #: Any of these; empty is every status.
    statuses: frozenset[DeliveryStatus] = frozenset()
    #: Enqueued at or after this time.
    since: datetime | None = None
    #: Enqueued before this time.
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a walk through a selection has come. Only the store that made it reads it."""

    after: int
    #: Where the walk ends, whatever was added since it began.
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivered:
    """What one step through a selection did."""

    #: Messages that are due now.
    taken: int
    #: Why others stay as they are -> how many.
    refused: Mapping[str, int]
    #: Where the next step continues; None if this was the last one.
    mark: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the store holds for a selection that asked for less."""

    counts: Mapping[DeliveryStatus, int]
    #: When the first and the last of them were enqueued; None if there is none.
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchChoice:
    """Watches that a person selects: those that match every field that is set."""

    watch: WatchId | None = None
    generation: GenerationId | None = None
    provider: ProviderName | None = None
    endpoint: EndpointIdentity | None = None
    #: All that goes to one origin, or to one name.
    destination: Destination | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What cancelling watches did."""

    #: Watches that were open and are cancelled.
    cancelled: int
    #: Statuses of those that had ended before -> how many.
    ended: Mapping[WatchStatus, int]
    #: Generations that nobody watches any more.
    left: Sequence[tuple[ProviderName, GenerationId]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSummary:
    number: int
    started_at: datetime
    took: timedelta | None
    #: None while it is open.
    verdict: Verdict | None
    status_code: int | None
    detail: str
    head: bytes
    trigger: Trigger = Trigger.SCHEDULE


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySummary:
    message_id: MessageId
    type: str
    status: DeliveryStatus
    reason: str
    created_at: datetime
    due_at: datetime | None
    attempts: Sequence[AttemptSummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSummary:
    id: WatchId
    target: State
    endpoint: EndpointIdentity
    status: WatchStatus
    round: int
    metadata: bytes
    registered_at: datetime
    deadline: datetime
    ended_at: datetime | None
    deliveries: Sequence[DeliverySummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that is recorded of one generation."""

    provider: ProviderName
    id: GenerationId
    state: State | None
    provider_state: str | None
    failure: str | None
    result_url: str | None
    registered_at: datetime
    observed_at: datetime | None
    not_before: datetime | None
    #: (state, observed_at) for every state recorded, oldest first.
    states: Sequence[tuple[State, datetime]]
    watches: Sequence[WatchSummary]
    #: Why the provider does not answer about it, or did not when its watches ended.
    trouble: Trouble | None = None
    #: Why the provider does not answer at all.
    provider_trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSummary:
    """One line of `notifier list`."""

    provider: ProviderName
    id: GenerationId
    state: State | None
    registered_at: datetime
    watches: Mapping[WatchStatus, int]
    deliveries: Mapping[DeliveryStatus, int]
    #: As in `History`.
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Totals for status lines."""

    #: Generations with an open watch.
    open_generations: int
    watches: Mapping[WatchStatus, int]
    deliveries: Mapping[DeliveryStatus, int]
