"""The store's contract, in prose. `tests/contract/` holds every store to it; a rule not tested there is no rule.

Rules for every store:
- A call that returned is durable; a call that raised changed nothing.
- Writes that wait at the same moment may share one commit; each is still all or nothing by itself.
- `now` is always an argument. The store reads no clock and draws no chance.
- What a status may become is asked of `lifecycle`; what a body holds, of `delivery.payload`.
- A store that cannot work now raises `StoreUnavailable`, in words for the operator; it may be called again later.
- Protocols are narrow, one per user. One object implements them all.
"""

from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from notifier.domain.endpoint_health import Change, EndpointHealth
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId, WorkerId
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    EndpointDirectory,
    Interruption,
    Kind,
    OpenGeneration,
    Refresh,
    Registration,
    Stale,
    State,
    Transition,
    Trigger,
    Verdict,
    WatchRequest,
    WatchStatus,
)
from notifier.domain.operator_notice import Notice


class WatchStore(Protocol):
    """The registrar's."""

    async def add_watches(
        self, requests: Sequence[WatchRequest], *, now: datetime, directory: EndpointDirectory, keep_first: bool = False
    ) -> list[Registration]:
        """Register all of `requests` in one transaction; one answer each, in their order.

        A watch is (provider, generation, target, endpoint). New: it is made, and its generation if need be. Open with
        equal metadata and timeout: EXISTING. Open with others: with `keep_first` the first one stays and the answer is
        KEPT; otherwise `InvalidWatch` with one fault for each such entry (its path is `[index]`), and nothing of the
        list is registered. Satisfied: FINISHED. Expired, cancelled or unknown: reopened with `round` + 1, new
        deadline, content of the request; with `keep_first` FINISHED, because a declaration that is only read again, at
        a restart, asks for nothing new. FINISHED too where the watch was registered since `put_at`: that was this very
        request, found again after a crash. Not where it was registered later than `now`, by a clock that was wrong. The
        same watch twice in one list follows the same rules.
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
    #: Why they expire, where it is not the deadline alone.
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a provider does not answer, about one generation or at all."""

    #: One word or two for a provider's, e.g. `refused`; `failing` for a generation's.
    kind: str
    #: One sentence: what it said last, and what to do where that is known.
    reason: str
    since: datetime
    #: When it was asked last, and how often since then.
    last: datetime
    times: int


class PollStore(Protocol):
    """The poller's."""

    def open_generations(self, provider: ProviderName) -> AsyncIterator[Sequence[OpenGeneration]]:
        """All generations of `provider` with an open watch, in chunks, from one consistent snapshot."""
        ...

    async def record_transitions(
        self, transitions: Sequence[Transition], *, now: datetime, directory: EndpointDirectory
    ) -> list[Recorded]:
        """Raise each generation's state, satisfy its watches and make what is owed: one transaction for all of it.

        A generation only moves by `lifecycle.advance`; a transition that does not move it changes nothing and is
        answered all the same. Which open watches are satisfied is selected inside the transaction, so that a watch
        which joins at the same moment is satisfied either here or in `add_watches`, never twice and never not at all.
        """
        ...

    async def end_watches(
        self, endings: Sequence[Ending], *, now: datetime, directory: EndpointDirectory
    ) -> list[Recorded]:
        """End open watches; each is owed its message, in the same transaction.

        EXPIRED: those whose deadline is at or before `observed_at`. UNKNOWN: all of them; the message carries the last
        state seen, if any.
        """
        ...

    async def learned(self, provider: ProviderName) -> Mapping[str, bytes]:
        """What `save_learned` saved last under each name; the store does not read it."""
        ...

    async def save_learned(self, provider: ProviderName, learned: Mapping[str, bytes], *, now: datetime) -> None:
        """Keep each of `learned` under its name, in place of what stood there; other names stay."""
        ...

    async def troubles(self, provider: ProviderName) -> Mapping[GenerationId | None, Trouble]:
        """What `save_troubles` saved last: of generations of this provider, and under None its own."""
        ...

    async def save_troubles(
        self, provider: ProviderName, changes: Mapping[GenerationId | None, Trouble | None]
    ) -> None:
        """Keep what is wrong now with generations of this provider, or under None with itself; None where nothing is.

        What is not named stays as it is. One that nobody ever watched is passed over.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Which results are too old to be sent before they were read again."""

    #: Deliveries that may be held back for it now.
    room: int
    #: How long one is held back at most.
    hold: timedelta
    #: The age from which a result is too old, by destination; None: never.
    after: Mapping[Destination, timedelta | None]
    #: Any other destination's.
    each: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How many attempts may begin now, and for how long each may take."""

    #: In all.
    total: int
    #: Free slots of destinations that are limited otherwise than by `each`; 0 is "none now".
    free: Mapping[Destination, int]
    #: Slots of any other destination, those that it holds included.
    each: int
    #: Length of a lease, by destination.
    lease: Mapping[Destination, timedelta]
    #: Length of any other destination's.
    lease_each: timedelta
    #: Slots that destinations hold already; 0 for any other.
    held: Mapping[Destination, int] = field(default_factory=dict)
    #: Destinations that take their slots from a pool of `pools`; any other takes them from the pool "". It is only
    #: asked with `get`, and may follow what happens meanwhile.
    pool_of: Mapping[Destination, str] = field(default_factory=dict)
    #: Free slots by pool, shared out by `delivery.shares`; empty is one pool of `total` that may be used up.
    pools: Mapping[str, int] = field(default_factory=dict)
    #: By pool: slots of which destinations that hold none may have one each, where the pool itself has none left.
    firsts: Mapping[str, int] = field(default_factory=dict)
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
    #: Destinations that stand otherwise because of the results.
    changed: Sequence[Change] = ()


#: Says what the operator is owed because of a change, inside its transaction; None is nothing.
Announce = Callable[[Change], Notice | None]


def silent(_: Change) -> Notice | None:
    """Nobody is told."""
    return None


#: How far a `shift_waits` has come, for the store alone to read.
Shifted = datetime | Destination


class DeliveryStore(Protocol):
    """The dispatcher's."""

    async def exchange(
        self,
        owner: WorkerId,
        results: Sequence[AttemptResult],
        slots: Slots,
        *,
        now: datetime,
        announce: Announce = silent,
    ) -> Exchange:
        """Hand in results and take new claims, in one transaction, results first.

        A result appends its attempt, moves its delivery and gives the lease back, if `owner` still has the lease on
        that very attempt; otherwise it is in `lost` and changes nothing. A result that counts also says how its
        destination stands from now on, by `delivery.standing`; what `announce` makes of a destination that stands
        otherwise is owed to the operator. Where that disables the destination, what waits for it is parked and does not
        go on by itself: a bounded number here, the rest by `park_disabled`. A delivery may be claimed if all of these
        hold: it is PENDING; due_at <= now; not leased; its destination is not disabled. Destinations take turns, each
        giving its longest overdue first, up to `slots`, and out of a pool as `delivery.shares` says. A claim numbers
        and opens its attempt. `slots.total` of 0 claims nothing. Where `slots.freshness` is given, a message about a
        completed generation whose result was seen, or last read again, at or before `now` less its destination's age is
        not claimed but stale: due again `hold` later, or as soon as `refresh_bodies` says what came of it, and claimed
        then, whatever that was. Up to `room` of them; the others are claimed. What a person asked for goes out as it is
        stored.
        """
        ...

    async def refresh_bodies(self, refreshes: Sequence[Refresh], *, now: datetime) -> int:
        """Let deliveries that were held back go at once, with the new body of each that has a reread: one transaction.

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

    async def park_deliveries(self, *, now: datetime, directory: EndpointDirectory) -> tuple[int, int]:
        """Park what is pending for endpoints that are not in `directory`, and resume what is parked for those that are.

        What is resumed is due at once. Answers (parked, resumed). A delivery under a lease is left alone. Disabled
        destinations are not looked at in `directory`: what waits for one is left to `park_disabled`, and what was
        parked because of one, or is parked while it is disabled, does not resume.
        """
        ...

    async def shift_waits(self, by: timedelta, *, now: datetime, done: Shifted | None) -> Shifted | None:
        """The wall clock was set forward by `by` (back, where it is below zero), and showed `now` just after.

        What is pending, not leased and was not due yet falls due as much later by the clock, so that it waits as long
        as it would have. Where the clock was set forward, what was made after that keeps its time, and so does what
        fell due by it in the 10 s before `now`: somebody may have asked for it since. Destinations that are not
        disabled have failed, and stand as they do, for as long as before: all their times move. Outcomes of attempts
        that are handed in by the new time come after that. One short transaction, for those that the calls before it,
        whose answer is `done`, have not moved; None is the beginning, and the end.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSummary:
    """One destination, as a person asks for it."""

    standing: EndpointHealth
    #: Deliveries that wait or are in flight.
    pending: int
    #: Deliveries that are kept back.
    parked: int
    #: Deliveries of a disabled destination that were given up since it began to fail, the one answered by 410 too.
    given_up: int = 0
    #: When the first was made of those that do not go on by themselves; None where there are none.
    oldest: datetime | None = None


class EndpointStore(Protocol):
    """Theirs who take endpoints out of use and put them into use again.

    A destination need not be known: whether the configuration has it is for the caller to ask.
    """

    async def standings(self) -> Sequence[EndpointSummary]:
        """Every destination of which anything is known or to which anything is owed, by name."""
        ...

    async def disable_endpoint(
        self, destination: Destination, *, now: datetime, reason: str, announce: Announce = silent
    ) -> Change:
        """Take a destination out of use: nothing of it is claimed any more, and what waits for it is parked.

        As with `exchange`, a bounded number is parked here and the rest by `park_disabled`; `Change.parked` counts all
        of it. Attempts under way end as they may. A destination that is disabled already keeps its reason.
        """
        ...

    async def enable_endpoint(self, destination: Destination, *, now: datetime, announce: Announce = silent) -> Change:
        """Put a destination into use again: what is owed to it from now on flows.

        What is parked because it was disabled stays parked, and what waited for it still is parked now; it comes back
        by redelivery alone. `Change.before` is what it was: a destination that was not disabled is left as it is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Rows that were forgotten."""

    deliveries: int = 0
    watches: int = 0
    generations: int = 0
    #: True where the pass is not at its end yet.
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
    """What the store takes on the disk, in bytes but for `free_pages`."""

    file: int
    #: Changes that are not in the main file yet.
    log: int
    #: Pages of the file that hold nothing, and are used again.
    free_pages: int
    page: int


class UpkeepStore(Protocol):
    """The housekeeper's."""

    async def expire_unreachable(self, *, now: datetime, directory: EndpointDirectory) -> int:
        """End open watches whose deadline passed a day ago without a look; how many.

        The reason they give is `provider_unreachable`. In small transactions, so that nothing else waits for long.
        """
        ...

    async def park_disabled(self) -> int:
        """Park what waits for disabled destinations and nobody works on; how many. In small transactions."""
        ...

    async def forget_endpoints(self, *, before: datetime) -> int:
        """Forget origins of callback URLs whose last failure was before then; how many.

        Disabled ones stay, and so does every configured endpoint: there are few.
        """
        ...

    async def probe(self, *, now: datetime) -> None:
        """`StoreUnavailable` where the store cannot write now, or cannot do what it failed to do since the last probe.

        Makes one small durable write of no consequence; what failed is tried and not kept.
        """
        ...

    async def checkpoint(self) -> None:
        """Move what the log has gathered into the main file, off the commit path."""
        ...

    async def prune(self, *, before: datetime, declared: Container[WatchId] | None, most: int) -> Pruned:
        """Forget what was finished before `before`: looks at about `most` rows, from where the last call stopped.

        A delivery goes with its body and attempts once it was finished (delivered, exhausted or filtered, with its
        last attempt) before then; one that is pending or parked never does. A watch goes once it ended before then,
        has no delivery left and no watch is open for its generation, unless it is in `declared`; None, where that is
        not known now, keeps every watch. A generation goes with its last watch. What remains for another year of a
        watch that was reopened is its round: registered again, its messages have the IDs that they had. In small
        transactions, so that no other write waits for long.
        """
        ...

    async def give_back(self, *, most: int) -> int:
        """Give free space back to the disk, as far as there is much and the store can; about `most` pages. How many."""
        ...

    async def size(self) -> Size: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Deliveries that a person means: those that every field which is set fits."""

    message: MessageId | None = None
    generation: GenerationId | None = None
    provider: ProviderName | None = None
    endpoint: EndpointIdentity | None = None
    #: All that goes to one origin, or to one name.
    destination: Destination | None = None
    type: str | None = None
    #: Any of these; empty is every status.
    statuses: frozenset[DeliveryStatus] = frozenset()
    #: NewDelivery at or after this time.
    since: datetime | None = None
    #: NewDelivery before this time.
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a walk through a selection has come. Only the store that made it can read it."""

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
    #: Where the next step goes on; None where this was the last one.
    mark: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the store holds for a selection that asked for less."""

    counts: Mapping[DeliveryStatus, int]
    #: When the first and the last of them came to be owed; None where there is none.
    oldest: datetime | None
    newest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchChoice:
    """Watches that a person means: those that every field which is set fits."""

    watch: WatchId | None = None
    generation: GenerationId | None = None
    provider: ProviderName | None = None
    endpoint: EndpointIdentity | None = None
    #: All that goes to one origin, or to one name.
    destination: Destination | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What taking back watches did."""

    #: Watches that were open and are cancelled.
    cancelled: int
    #: Statuses of those that had ended before -> how many.
    ended: Mapping[WatchStatus, int]
    #: Generations that nobody watches any more.
    left: Sequence[tuple[ProviderName, GenerationId]]


class OperationStore(Protocol):
    """The operations's: what a person asks for."""

    async def messages_like(self, beginning: str) -> Sequence[MessageId]:
        """Messages whose ID begins so; two of them at most. Each has an ID of the same length."""
        ...

    async def watches_like(self, beginning: str) -> Sequence[WatchId]:
        """The same of watches."""
        ...

    async def redeliver_some(
        self, selection: Selection, *, mark: Mark | None, most: int, now: datetime, directory: EndpointDirectory
    ) -> Redelivered:
        """Make up to `most` deliveries of `selection` due at `now`, in one transaction; each with its schedule unused.

        `mark` is None at first, then what the last step answered: a walk meets every delivery once that there was when
        it began, and no other. The search holds up no writer. What is pending, and waits for its next attempt, does not
        wait any longer. Refused, and left as it is: what is being sent, what `directory` would only park again, and
        what has no body any more. What lost its place in the selection between the search and the transaction is passed
        over. A generation's ID is compared without case where no exact match exists. The next attempt is a PERSON's.
        """
        ...

    async def kept(self, selection: Selection) -> Kept:
        """How many deliveries there are for `selection`, its `statuses`, `since` and `until` left aside."""
        ...

    async def cancel_watches(self, choice: WatchChoice, *, now: datetime) -> Cancelled:
        """Cancel open watches, in one transaction; no message is made. A generation's ID is compared as above."""
        ...


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


class ReportStore(Protocol):
    """Readers: beside a running daemon too, without its lock."""

    async def counts(self) -> Counts: ...

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationSummary]:
        """The newest registrations first."""
        ...

    async def histories(self, generation: GenerationId) -> Sequence[History]:
        """One for each provider that has a generation of this ID; compared without case where no exact match exists."""
        ...

    async def provider_troubles(self) -> Mapping[ProviderName, Trouble]:
        """Why providers do not answer; those that do are not in it."""
        ...

    async def standings(self) -> Sequence[EndpointSummary]:
        """Every destination of which anything is known or to which anything is owed, by name."""
        ...

    async def problems(self, *, deep: bool) -> Sequence[str]:
        """What an integrity check finds; empty when all is well."""
        ...

    async def backup(self, path: str) -> None:
        """Write a consistent copy to `path`, which must not exist yet."""
        ...


class Store(WatchStore, PollStore, DeliveryStore, EndpointStore, UpkeepStore, OperationStore, ReportStore, Protocol):
    """All of it."""
