"""The store's contract, in prose. `tests/contract/` holds every store to it; a rule not tested there is no rule.

Rules for every store:
- A call that returned is durable; a call that raised changed nothing.
- Writes that wait at the same moment may share one commit; each is still all or nothing by itself.
- `now` is always an argument. The store reads no clock and draws no chance.
- What a status may become is asked of `lifecycle`; what a body holds, of `delivery.payload`.
- A store that cannot work now raises `StoreUnavailable`, in words for the operator; it may be called again later.
- Protocols are narrow, one per user. One object implements them all.
"""

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from notifier.domain.endpoint_health import Change
from notifier.domain.ids import Destination, GenerationId, MessageId, ProviderName, WatchId, WorkerId
from notifier.domain.model import (
    AttemptResult,
    EndpointDirectory,
    Interruption,
    OpenGeneration,
    Refresh,
    Registration,
    Transition,
    WatchRequest,
)
from notifier.store.records import (
    Announce,
    AppliedDirectory,
    Cancelled,
    Counts,
    Decide,
    Ending,
    EndpointSummary,
    Exchange,
    GenerationSummary,
    History,
    Kept,
    Mark,
    Pruned,
    Recorded,
    Redelivered,
    Selection,
    Size,
    Slots,
    Trouble,
    WatchChoice,
    silent,
)


class WatchStore(Protocol):
    """The registrar's."""

    async def add_watches(
        self, requests: Sequence[WatchRequest], *, now: datetime, keep_first: bool = False
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
        made, in this transaction; `Registration.enqueued` says so.
        """


class PollStore(Protocol):
    """The poller's."""

    def open_generations(self, provider: ProviderName) -> AsyncIterator[Sequence[OpenGeneration]]:
        """All generations of `provider` with an open watch, in chunks, from one consistent snapshot."""

    async def record_transitions(self, transitions: Sequence[Transition], *, now: datetime) -> list[Recorded]:
        """Raise each generation's state, satisfy its watches and make what is owed: one transaction for all of it.

        A generation only moves by `lifecycle.advance`; a transition that does not move it changes nothing and is
        answered all the same. Which open watches are satisfied is selected inside the transaction, so that a watch
        which joins at the same moment is satisfied either here or in `add_watches`, never twice and never not at all.
        """

    async def end_watches(self, endings: Sequence[Ending], *, now: datetime) -> list[Recorded]:
        """End open watches; each is owed its message, in the same transaction.

        EXPIRED: those whose deadline is at or before `observed_at`. UNKNOWN: all of them; the message carries the last
        state seen, if any.
        """

    async def learned(self, provider: ProviderName) -> Mapping[str, bytes]:
        """What `save_learned` saved last under each name; the store does not read it."""

    async def save_learned(self, provider: ProviderName, learned: Mapping[str, bytes], *, now: datetime) -> None:
        """Keep each of `learned` under its name, in place of what stood there; other names stay."""

    async def troubles(self, provider: ProviderName) -> Mapping[GenerationId | None, Trouble]:
        """What `save_troubles` saved last: of generations of this provider, and under None its own."""

    async def save_troubles(
        self, provider: ProviderName, changes: Mapping[GenerationId | None, Trouble | None]
    ) -> None:
        """Keep what is wrong now with generations of this provider, or under None with itself; None where nothing is.

        What is not named stays as it is. One that nobody ever watched is passed over.
        """


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
        destination stands from now on, by `delivery.health`; what `announce` makes of a destination that stands
        otherwise is owed to the operator. Where that disables the destination, what waits for it is parked and does not
        go on by itself: a bounded number here, the rest by `park_disabled`. A delivery may be claimed if all of these
        hold: it is PENDING; due_at <= now; not leased; its destination is not disabled. Destinations take turns, each
        giving its longest overdue first, up to `slots`, and out of a pool as `delivery.shares` says; those that yield
        get nothing if another one can have a slot, as `Slots` says. A claim numbers and opens its attempt.
        `slots.total` of 0 claims nothing. Where `slots.freshness` is given, a message about a completed generation
        whose result was seen, or last read again, at or before `now` less its destination's age is not claimed but
        stale: due again `hold` later, or as soon as `refresh_bodies` says what came of it, and claimed then, whatever
        that was. Up to `room` of them; the others are claimed. What a person asked for goes out as it is stored.
        """

    async def refresh_bodies(self, refreshes: Sequence[Refresh], *, now: datetime) -> int:
        """Let deliveries that were held back go at once, with the new body of each that has a reread: one transaction.

        One that is not waiting for that very attempt any more (claimed, parked, ended) is left alone. A body is
        replaced whole, by `delivery.refresh`, and nothing else is; one that is not ours to change stays. Answers how
        many bodies were replaced.
        """

    async def end_lapsed(self, decide: Decide, *, now: datetime, sparing: WorkerId | None = None) -> list[Interruption]:
        """End attempts whose worker is gone: their lease ran out before `now`, or the store knows that nobody has it.

        A store that one process at a time can open knows it of every lease that it finds when it is opened. Leases of
        `sparing` are left alone: a worker knows of its own attempts, and may wait to hand them in. Each becomes an
        attempt row with verdict INTERRUPTED and leaves its delivery as `decide` says. `decide` sees only the
        interruption; the store fills in when the attempt was started and how long it lasted, and ignores those two of
        its answer.
        """

    async def release(self, owner: WorkerId, decide: Decide, *, now: datetime) -> list[Interruption]:
        """End every attempt that `owner` has open, as `end_lapsed` does; of other workers none."""

    @property
    def due_times(self) -> "DueTimeStore | None":
        """None if due times follow a clock of the store's own, such as a database server's."""


#: How far a `shift` has come, for the store alone to read.
ShiftProgress = datetime | Destination


class DueTimeStore(Protocol):
    """A store whose due times follow the wall clock of the one process that uses it: they move when that is set."""

    async def shift(self, by: timedelta, *, now: datetime, done: ShiftProgress | None) -> ShiftProgress | None:
        """The wall clock was set forward by `by` (back, if it is below zero), and showed `now` just after.

        What is pending, not leased and was not due yet falls due as much later by the clock, so that it waits as long
        as it would have. If the clock was set forward, what was made after that keeps its time, and so does what fell
        due by it in the 10 s before `now`: somebody may have asked for it since. Destinations that are not disabled
        have failed, and have been in their state, for as long as before: all their times move. Outcomes of attempts
        that are handed in by the new time come after that. One short transaction, for those that the calls before it,
        whose answer is `done`, have not moved; None is the beginning, and the end.
        """


class DirectoryStore(Protocol):
    """For the part that reads the configuration."""

    async def apply_directory(self, directory: EndpointDirectory, *, now: datetime) -> AppliedDirectory:
        """Take over what the configuration says of endpoints; it holds for everybody until another one is applied.

        Which messages leave, and in which format, is decided by the directory that was applied last and not by the
        configuration of the process that writes them; before the first one no endpoint is configured. Another content
        than before begins another epoch. Pending deliveries for endpoints that are not in `directory` are parked, and
        those parked for endpoints that are in it resume: they are due at once. A delivery under a lease is left alone.
        Of disabled destinations nothing is looked up in `directory`: what waits for one is left to `park_disabled`, and
        what was parked because of one, or is parked while it is disabled, does not resume. `disabled` of `directory`
        is ignored: the store knows it.
        """


class EndpointStore(Protocol):
    """Theirs who take endpoints out of use and put them into use again.

    A destination need not be known: whether the configuration has it is for the caller to ask.
    """

    async def endpoint_summaries(self) -> Sequence[EndpointSummary]:
        """Every destination of which anything is known or to which anything is owed, by name."""

    async def disable_endpoint(
        self, destination: Destination, *, now: datetime, reason: str, announce: Announce = silent
    ) -> Change:
        """Take a destination out of use: nothing of it is claimed any more, and what waits for it is parked.

        As with `exchange`, a bounded number is parked here and the rest by `park_disabled`; `Change.parked` counts all
        of it. Attempts under way end as they may. A destination that is disabled already keeps its reason.
        """

    async def enable_endpoint(self, destination: Destination, *, now: datetime, announce: Announce = silent) -> Change:
        """Put a destination into use again: what is owed to it from now on flows.

        What is parked because it was disabled stays parked, and what waited for it still is parked now; it comes back
        by redelivery alone. `Change.before` is what it was: a destination that was not disabled is left as it is.
        """


class UpkeepStore(Protocol):
    """The housekeeper's."""

    async def expire_unreachable(self, *, now: datetime) -> int:
        """End open watches whose deadline passed a day ago without a look; how many.

        The reason they give is `provider_unreachable`. In small transactions, so that nothing else waits for long.
        """

    async def park_disabled(self) -> int:
        """Park what waits for disabled destinations and nobody works on; how many. In small transactions."""

    async def forget_endpoints(self, *, before: datetime) -> int:
        """Forget origins of callback URLs whose last failure was before then; how many.

        Disabled ones stay, and so does every configured endpoint: there are few.
        """

    async def probe(self, *, now: datetime) -> None:
        """`StoreUnavailable` where the store cannot write now, or cannot do what it failed to do since the last probe.

        Makes one small durable write of no consequence; what failed is tried and not kept.
        """

    async def checkpoint(self) -> None:
        """Move what the log has gathered into the main file, off the commit path."""

    async def prune(self, *, before: datetime, declared: Container[WatchId] | None, most: int) -> Pruned:
        """Forget what was finished before `before`: looks at about `most` rows, from where the last call stopped.

        A delivery goes with its body and attempts once it was finished (delivered, exhausted or filtered, with its
        last attempt) before then; one that is pending or parked never does. A watch goes once it ended before then,
        has no delivery left and no watch is open for its generation, unless it is in `declared`; None, where that is
        not known now, keeps every watch. A generation goes with its last watch. What remains for another year of a
        watch that was reopened is its round: registered again, its messages have the IDs that they had. In small
        transactions, so that no other write waits for long.
        """

    async def give_back(self, *, most: int) -> int:
        """Give free space back to the disk, as far as there is much and the store can; about `most` pages. How many."""

    async def size(self) -> Size: ...


class OperationStore(Protocol):
    """The operations's: what a person asks for."""

    async def messages_like(self, beginning: str) -> Sequence[MessageId]:
        """Messages whose ID begins so; two of them at most. Each has an ID of the same length."""

    async def watches_like(self, beginning: str) -> Sequence[WatchId]:
        """The same of watches."""

    async def redeliver_some(self, selection: Selection, *, mark: Mark | None, most: int, now: datetime) -> Redelivered:
        """Make up to `most` deliveries of `selection` due at `now`, in one transaction; each with its schedule unused.

        `mark` is None at first, then what the last step answered: a walk meets every delivery once that there was when
        it began, and no other. The search holds up no writer. What is pending, and waits for its next attempt, does not
        wait any longer. Refused, and left as it is: what is being sent, what would only be parked again, and
        what has no body any more. What lost its place in the selection between the search and the transaction is passed
        over. A generation's ID is compared without case where no exact match exists. The next attempt is a PERSON's.
        """

    async def kept(self, selection: Selection) -> Kept:
        """How many deliveries there are for `selection`, its `statuses`, `since` and `until` left aside."""

    async def cancel_watches(self, choice: WatchChoice, *, now: datetime) -> Cancelled:
        """Cancel open watches, in one transaction; no message is made. A generation's ID is compared as above."""


class ReportStore(Protocol):
    """Readers: beside a running daemon too, without its lock."""

    async def counts(self) -> Counts: ...

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationSummary]:
        """The newest registrations first."""

    async def histories(self, generation: GenerationId) -> Sequence[History]:
        """One for each provider that has a generation of this ID; compared without case where no exact match exists."""

    async def provider_troubles(self) -> Mapping[ProviderName, Trouble]:
        """Why providers do not answer; those that do are not in it."""

    async def endpoint_summaries(self) -> Sequence[EndpointSummary]:
        """Every destination of which anything is known or to which anything is owed, by name."""

    async def problems(self, *, deep: bool) -> Sequence[str]:
        """What an integrity check finds; empty when all is well."""

    async def backup(self, path: str) -> None:
        """Write a consistent copy to `path`, which must not exist yet."""


class Store(
    WatchStore,
    PollStore,
    DeliveryStore,
    DirectoryStore,
    EndpointStore,
    UpkeepStore,
    OperationStore,
    ReportStore,
    Protocol,
):
    """All of it."""
