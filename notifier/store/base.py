"""The store's contract, in prose. `tests/contract/` holds every store to it; a rule not tested there is no rule.

Rules for every store:
- A call that returned is durable; a call that raised changed nothing.
- Writes that wait at the same moment may share one commit; each is still all or nothing by itself.
- `now` is always an argument. The store reads no clock and draws no chance.
- What a status may become is asked of `lifecycle`; what a body holds, of `delivery.payload`.
- A store that cannot work now raises `StoreUnavailable`, in words for the operator; it may be called again later.
- Protocols are narrow, one per user. One object implements them all.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from notifier.ids import EndpointIdentity, GenerationId, Lane, MessageId, ProviderName, WatchId, WorkerId
from notifier.model import (
    AttemptResult,
    Book,
    Claim,
    DeliveryStatus,
    Interruption,
    Kind,
    OpenGeneration,
    Refresh,
    Registration,
    Stale,
    State,
    Transition,
    Verdict,
    WatchRequest,
    WatchStatus,
)


class WatchStore(Protocol):
    """The registrar's."""

    async def add_watches(
        self, requests: Sequence[WatchRequest], *, now: datetime, book: Book, keep_first: bool = False
    ) -> list[Registration]:
        """Register all of `requests` in one transaction; one answer each, in their order.

        A watch is (provider, generation, target, endpoint). New: it is made, and its generation if need be. Open with
        equal metadata and timeout: EXISTING. Open with others: with `keep_first` the first one stays and the answer is
        KEPT; otherwise `InvalidWatch` with one fault for each such entry (its path is `[index]`), and nothing of the
        list is registered. Satisfied: FINISHED. Expired, cancelled or unknown: reopened with `round` + 1, new
        deadline, content of the request; with `keep_first` FINISHED, because a declaration that is only read again, at
        a restart, asks for nothing new. The same watch twice in one list follows the same rules.
        A watch that is made or reopened while the recorded state satisfies it is satisfied at once and its delivery
        made, in this transaction; `Registration.owed` says so.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one transition or ending did."""

    #: Messages made, those kept back included.
    owed: int
    #: The generation as it is still watched; None where no watch is open any more.
    open: OpenGeneration | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Open watches of one generation that end without their target."""

    provider: ProviderName
    generation: GenerationId
    #: EXPIRED or UNKNOWN.
    kind: Kind
    #: When the look that allows it was answered.
    observed_at: datetime


class PollStore(Protocol):
    """The poller's."""

    def open_generations(self, provider: ProviderName) -> AsyncIterator[Sequence[OpenGeneration]]:
        """All generations of `provider` with an open watch, in chunks, from one consistent snapshot."""
        ...

    async def record_transitions(
        self, transitions: Sequence[Transition], *, now: datetime, book: Book
    ) -> list[Recorded]:
        """Raise each generation's state, satisfy its watches and make what is owed: one transaction for all of it.

        A generation only moves by `lifecycle.advance`; a transition that does not move it changes nothing and is
        answered all the same. Which open watches are satisfied is selected inside the transaction, so that a watch
        which joins at the same moment is satisfied either here or in `add_watches`, never twice and never not at all.
        """
        ...

    async def end_watches(self, endings: Sequence[Ending], *, now: datetime, book: Book) -> list[Recorded]:
        """End open watches; each is owed its message, in the same transaction.

        EXPIRED: those whose deadline is at or before `observed_at`. UNKNOWN: all of them, if the generation was never
        seen; none otherwise.
        """
        ...

    async def learned(self, provider: ProviderName) -> Mapping[str, bytes]:
        """What `save_learned` saved last under each name; the store does not read it."""
        ...

    async def save_learned(self, provider: ProviderName, learned: Mapping[str, bytes], *, now: datetime) -> None:
        """Keep each of `learned` under its name, in place of what stood there; other names stay."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Which results are too old to be sent before they were read again."""

    #: Deliveries that may be held back for it now.
    room: int
    #: How long one is held back at most.
    hold: timedelta
    #: The age from which a result is too old, by lane; None: never.
    after: Mapping[Lane, timedelta | None]
    #: Any other lane's.
    each: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How many attempts may begin now, and for how long each may take."""

    #: In all.
    total: int
    #: Free slots of lanes that are limited otherwise than by `each`; 0 is "none now".
    free: Mapping[Lane, int]
    #: Free slots of any other lane.
    each: int
    #: Length of a lease, by lane.
    lease: Mapping[Lane, timedelta]
    #: Length of any other lane's.
    lease_each: timedelta
    #: None: everything is sent as it is stored.
    freshness: Freshness | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Answer of `DeliveryStore.exchange`."""

    claims: Sequence[Claim]
    #: The earliest time after `now` at which something more falls due; None where nothing will.
    next_due: datetime | None
    #: Results that were thrown away because their lease was lost.
    lost: Sequence[MessageId] = ()
    #: What was held back in place of being claimed.
    stale: Sequence[Stale] = ()


class DeliveryStore(Protocol):
    """The dispatcher's."""

    async def exchange(
        self, owner: WorkerId, results: Sequence[AttemptResult], slots: Slots, *, now: datetime
    ) -> Exchange:
        """Hand in results and take new claims, in one transaction, results first.

        A result appends its attempt, moves its delivery and gives the lease back, if `owner` still has the lease on
        that very attempt; otherwise it is in `lost` and changes nothing.
        A delivery may be claimed if all of these hold: it is PENDING; due_at <= now; not leased. Lanes take turns, each
        giving its longest overdue first, up to `slots`. A claim numbers and opens its attempt.
        `slots.total` of 0 claims nothing.
        Where `slots.freshness` is given, a message about a completed generation whose result was seen, or last read
        again, at or before `now` less its lane's age is not claimed but stale: due again `hold` later, or as soon as
        `refresh_bodies` says what came of it, and claimed then, whatever that was. Up to `room` of them; the others are
        claimed. What a person asked for again (attempted, with neither a failure nor an interruption since) goes out
        as it is stored.
        """
        ...

    async def refresh_bodies(self, refreshes: Sequence[Refresh], *, now: datetime) -> int:
        """Let deliveries that were held back go at once, with the new body of each that has a glimpse: one transaction.

        One that is not waiting for that very attempt any more (claimed, parked, ended) is left alone. A body is
        replaced whole, by `delivery.refresh`, and nothing else is; one that is not ours to change stays. Answers how
        many bodies were replaced.
        """
        ...

    async def free_leases(
        self,
        judge: Callable[[Interruption], AttemptResult],
        *,
        now: datetime,
        lapsed_only: bool,
        sparing: WorkerId | None = None,
    ) -> list[Interruption]:
        """End attempts whose worker is gone: those whose lease ran out before `now`, or (not `lapsed_only`) every one.

        Leases of `sparing` are left alone: a worker knows of its own attempts, and may wait to hand them in.
        Each becomes an attempt row with verdict INTERRUPTED and leaves its delivery as `judge` says. `judge` sees only
        the interruption; the store fills in when the attempt was started and how long it lasted, and ignores those two
        of its answer.
        """
        ...

    async def park_deliveries(self, *, now: datetime, book: Book) -> tuple[int, int]:
        """Park what is pending for endpoints that are not in `book`, and resume what is parked for those that are.

        What is resumed is due at once. Answers (parked, resumed). A delivery under a lease is left alone.
        """
        ...


class UpkeepStore(Protocol):
    """The housekeeper's."""

    async def expire_unreachable(self, *, now: datetime, book: Book) -> int:
        """End open watches whose deadline passed a day ago without a look; how many.

        The reason they give is `provider_unreachable`. In small transactions, so that nothing else waits for long.
        """
        ...

    async def probe(self, *, now: datetime) -> None:
        """Make one small durable write of no consequence: `StoreUnavailable` where the store cannot write now."""
        ...

    async def checkpoint(self) -> None:
        """Move what the log has gathered into the main file, off the commit path."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    number: int
    started_at: datetime
    took: timedelta | None
    #: None while it is open.
    verdict: Verdict | None
    status_code: int | None
    detail: str
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    message_id: MessageId
    type: str
    status: DeliveryStatus
    reason: str
    created_at: datetime
    due_at: datetime | None
    attempts: Sequence[AttemptLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLine:
    id: WatchId
    target: State
    endpoint: EndpointIdentity
    status: WatchStatus
    round: int
    metadata: bytes
    registered_at: datetime
    deadline: datetime
    ended_at: datetime | None
    deliveries: Sequence[DeliveryLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
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
    watches: Sequence[WatchLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLine:
    """One line of `notifier list`."""

    provider: ProviderName
    id: GenerationId
    state: State | None
    registered_at: datetime
    watches: Mapping[WatchStatus, int]
    deliveries: Mapping[DeliveryStatus, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Totals for status lines."""

    #: Generations with an open watch.
    open_generations: int
    watches: Mapping[WatchStatus, int]
    deliveries: Mapping[DeliveryStatus, int]


class ReportStore(Protocol):
    """Readers: beside a running daemon too, without its lock."""

    async def counts(self) -> Counts: ...

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationLine]:
        """The newest registrations first."""
        ...

    async def stories(self, generation: GenerationId) -> Sequence[Story]:
        """One for each provider that has a generation of this ID; compared without case where no exact match exists."""
        ...

    async def problems(self, *, deep: bool) -> Sequence[str]:
        """What an integrity check finds; empty when all is well."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy to `path`, which must not exist yet."""
        ...


class Store(WatchStore, PollStore, DeliveryStore, UpkeepStore, ReportStore, Protocol):
    """All of it."""
