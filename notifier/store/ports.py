"""The store's contract, in prose. `tests/contract/` holds every store to it; a rule not tested there is no rule.

Rules for every store:
- A call that returned is durable; a call that raised changed nothing.
- Writes that wait at the same moment may share one commit; each is still all or nothing by itself.
- `now` is always an argument. The store reads no clock and draws nothing at random.
- What a status may become is in the tables of `lifecycle`, what a body holds in `message`; what else every store
  decides is in `rules` and `turns`.
- Several processes may use a store at a time, unless its adapter keeps them apart by a lock, as SQLite's does. So no
  call speaks for all of them: a worker ends its own leases or those that lapsed, and no call takes a configuration but
  `apply_directory`.
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
    """For the registrar."""

    async def add_watches(
        self, requests: Sequence[WatchRequest], *, now: datetime, keep_first: bool = False
    ) -> list[Registration]:
        """Register all of `requests` in one transaction; one answer each, in their order.

        A watch is (provider, generation, target, endpoint). A new one is made, and its generation if need be. One that
        is recorded, by its status:
        - open, with equal metadata and timeout: EXISTING;
        - open, with others: KEPT if `keep_first`, and the first one stays; otherwise `InvalidWatch` with one fault for
          each such entry (its path is `[index]`), and nothing of the list is registered;
        - satisfied: FINISHED;
        - expired, cancelled or unknown: reopened with `round` + 1, a new deadline and the content of the request. But
          FINISHED if `keep_first`, because a declaration that is only read again, at a restart, asks for nothing new;
          and FINISHED if the watch was registered since `put_at` (and not later than `now`, by a clock that was wrong):
          that was this very request, found again after a crash.
        The same watch twice in one list follows the same rules. A watch that is made or reopened while the recorded
        state satisfies it is satisfied at once, and its delivery is enqueued in this transaction:
        `Registration.enqueued` says so.
        """


class PollStore(Protocol):
    """For the poller."""

    def open_generations(self, provider: ProviderName) -> AsyncIterator[Sequence[OpenGeneration]]:
        """All generations of `provider` with an open watch, in chunks, from one consistent snapshot."""

    async def record_transitions(self, transitions: Sequence[Transition], *, now: datetime) -> list[Recorded]:
        """Raise each generation's state, satisfy its watches and enqueue their messages: one transaction for all of it.

        A generation moves by `lifecycle.advance` only; a transition that does not move it changes nothing, and has an
        answer too. Which open watches are satisfied is selected inside the transaction, so that a watch which is
        registered at the same moment is satisfied either here or in `add_watches`: once, not twice and not never.
        """

    async def end_watches(self, endings: Sequence[Ending], *, now: datetime) -> list[Recorded]:
        """End open watches and enqueue a message for each, in the same transaction.

        EXPIRED: those whose deadline is at or before `observed_at`. UNKNOWN: all of them; the message carries the last
        state seen, if any.
        """

    async def learned(self, provider: ProviderName) -> Mapping[str, bytes]:
        """What `save_learned` saved last under each name; the store does not read it."""

    async def save_learned(self, provider: ProviderName, learned: Mapping[str, bytes], *, now: datetime) -> None:
        """Keep each of `learned` under its name, in place of what it had; other names stay."""

    async def troubles(self, provider: ProviderName) -> Mapping[GenerationId | None, Trouble]:
        """What `save_troubles` saved last: of generations of this provider, and under None its own."""

    async def save_troubles(
        self, provider: ProviderName, changes: Mapping[GenerationId | None, Trouble | None]
    ) -> None:
        """Keep what is wrong now with generations of this provider, or under None with itself; None if nothing is.

        What is not named stays as it is. A generation that nobody ever watched is skipped.
        """


class DeliveryStore(Protocol):
    """For the dispatcher."""

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
        that very attempt; otherwise it is in `lost` and changes nothing. If it affects the health of its destination,
        that changes by `endpoint_health`, and the message that `announce` makes of a new state is enqueued. Deliveries
        of a destination that is disabled by it are parked and do not resume by themselves: a bounded number here, the
        rest by `park_disabled`.

        A delivery may be claimed if it is PENDING, due at or before `now` and not leased, and its destination is not
        disabled. Destinations take turns, by `turns`, and each gives its longest overdue first, up to `slots` and out
        of a pool as `slot_sharing` says; those that yield get nothing if another one can have a slot. A claim numbers
        and opens its attempt. If `slots.total` is 0, nothing is claimed.

        If `slots.freshness` is given, up to `room` messages are not claimed but stale: those about a completed
        generation whose result was seen, or last read again, at or before `now` less its destination's age. They are
        due again `hold` later, or as soon as `refresh_bodies` says what came of it, and are claimed then, whatever that
        was. What a person asked for goes out as it is stored.
        """

    async def refresh_bodies(self, refreshes: Sequence[Refresh], *, now: datetime) -> int:
        """Make deliveries that were held back due now, with a new body if their result was read again. One transaction.

        One that does not wait for that very attempt any more (claimed, parked, ended) is left alone. A body is replaced
        whole, by `body_refresh`, and nothing else is; one that is not ours to change stays. Answers how many bodies
        were replaced.
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

        The due times of what is pending, not leased and was not due yet move by as much, so that it waits as long as it
        would have. If the clock was set forward, two kinds keep their due time: what was made after that, and what fell
        due by it in the 10 s before `now`, because somebody may have asked for it since. The times of destinations that
        are not disabled move too, so that they have failed for as long as before. Results of attempts are handed in by
        the new time after that. One call is one short transaction. It continues after `done`, the answer of the call
        before; None is the beginning, and the end.
        """


class DirectoryStore(Protocol):
    """For the part that reads the configuration."""

    async def apply_directory(self, directory: EndpointDirectory, *, now: datetime) -> AppliedDirectory:
        """Take over what the configuration says of endpoints; it holds for everybody until another one is applied.

        Which messages leave, and in which format, is decided by the directory that was applied last and not by the
        configuration of the process that writes them; before the first one no endpoint is configured. A content that
        differs from the one before begins another epoch. Pending deliveries for endpoints that are not in `directory`
        are parked, and those parked for endpoints that are in it resume: they are due at once. A delivery under a lease
        is left alone. Disabled destinations are not looked up in `directory`: their pending deliveries are left to
        `park_disabled`, and what was parked because of one, or is parked while it is disabled, does not resume.
        `directory.disabled` is ignored, because the store knows it.
        """


class EndpointStore(Protocol):
    """For disabling and enabling endpoints.

    A destination need not be known: the caller checks whether the configuration has it.
    """

    async def endpoint_summaries(self) -> Sequence[EndpointSummary]:
        """Every destination of which anything is known or that has anything pending or parked, by name."""

    async def disable_endpoint(
        self, destination: Destination, *, now: datetime, reason: str, announce: Announce = silent
    ) -> Change:
        """Disable a destination: nothing of it is claimed any more, and its pending deliveries are parked.

        As with `exchange`, a bounded number is parked here and the rest by `park_disabled`; `Change.parked` counts all
        of them. Attempts in flight are not ended. A destination that is disabled already keeps its reason.
        """

    async def enable_endpoint(self, destination: Destination, *, now: datetime, announce: Announce = silent) -> Change:
        """Enable a destination: what is enqueued for it from now on is sent.

        What is parked because it was disabled stays parked, and what is still pending is parked now; only a redelivery
        sends it. `Change.before` is what it was: a destination that was not disabled is left as it is.
        """


class UpkeepStore(Protocol):
    """For the chores of upkeep."""

    async def expire_unreachable(self, *, now: datetime) -> int:
        """End open watches whose deadline passed a day ago and that could not be polled since; how many.

        Their messages give the reason `provider_unreachable`. In small transactions, so that no other write waits for
        long.
        """

    async def park_disabled(self) -> int:
        """Park what is pending for disabled destinations and not leased; how many. In small transactions."""

    async def forget_endpoints(self, *, before: datetime) -> int:
        """Forget origins of callback URLs whose last failure was before then; how many.

        Disabled ones stay, and so does every configured endpoint, because there are few.
        """

    async def probe(self, *, now: datetime) -> None:
        """`StoreUnavailable` if the store cannot write now, or cannot do what it failed to do since the last probe.

        Makes one small durable write of no consequence; what failed before is tried again and undone.
        """

    async def checkpoint(self) -> None:
        """Move what the log has gathered into the main file, off the commit path."""

    async def prune(self, *, before: datetime, declared: Container[WatchId] | None, most: int) -> Pruned:
        """Delete what was finished before `before`: looks at about `most` rows, from where the last call stopped.

        A delivery goes with its body and attempts if it was finished (delivered, exhausted or filtered, with its last
        attempt) before then; one that is pending or parked never does. A watch goes if it ended before then, has no
        delivery left, no watch is open for its generation and it is not in `declared`; None, if that is not known now,
        keeps every watch. A generation goes with its last watch. The round of a watch that was reopened is kept for
        another year: if it is registered again, its messages have the IDs that they had. In small transactions, so that
        no other write waits for long.
        """

    async def give_back(self, *, most: int) -> int:
        """Give free pages back to the disk, about `most`, if there are many and the store can; how many."""

    async def size(self) -> Size: ...


class OperationStore(Protocol):
    """For what a person asks for."""

    async def messages_like(self, beginning: str) -> Sequence[MessageId]:
        """Messages whose ID begins so, two of them at most. All IDs have the same length."""

    async def watches_like(self, beginning: str) -> Sequence[WatchId]:
        """The same of watches."""

    async def redeliver_some(self, selection: Selection, *, mark: Mark | None, most: int, now: datetime) -> Redelivered:
        """Make up to `most` deliveries of `selection` due at `now`, in one transaction; each with its schedule unused.

        `mark` is None at first, then what the last step answered: a walk visits once every delivery that there was when
        it began, and no other. The search holds up no writer. What waits for its next attempt is due now too. Refused,
        and left as it is: what is being sent, what would only be parked again, and what has no body any more. What left
        the selection between the search and the transaction is skipped. A generation's ID is compared without case if
        no exact match exists. The trigger of the next attempt is PERSON.
        """

    async def kept(self, selection: Selection) -> Kept:
        """How many deliveries there are for `selection`, its `statuses`, `since` and `until` left aside."""

    async def cancel_watches(self, choice: WatchChoice, *, now: datetime) -> Cancelled:
        """Cancel open watches, in one transaction; no message is made. A generation's ID is compared as above."""


class ReportStore(Protocol):
    """For readers; beside a running daemon too, without its lock."""

    async def counts(self) -> Counts: ...

    async def generations(self, *, open_only: bool, limit: int) -> Sequence[GenerationSummary]:
        """The newest registrations first."""

    async def histories(self, generation: GenerationId) -> Sequence[History]:
        """One for each provider that has a generation of this ID; compared without case if no exact match exists."""

    async def provider_troubles(self) -> Mapping[ProviderName, Trouble]:
        """Why providers do not answer; those that do are not in it."""

    async def endpoint_summaries(self) -> Sequence[EndpointSummary]:
        """Every destination of which anything is known or that has anything pending or parked, by name."""

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
