"""The store's contract once more, in memory and as plainly as it can be said: what `test_store_machine` compares with.

Owns no file, no SQL and no clock. What a status may become it asks `lifecycle`, as every store must. It decides
everything but one thing: which deliveries an exchange claims. There the contract leaves a choice (whose turn it is),
so the model is told what was claimed, and says whether that was allowed.

A call that the contract gains is one more method here and one more rule in the machine. Not in it yet, and held by
tests of their own: bodies that are refreshed, due times that follow the clock, pools of slots.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from notifier.domain import endpoint_health
from notifier.domain.endpoint_health import EndpointHealth, EndpointState
from notifier.domain.ids import (
    Destination,
    EndpointIdentity,
    GenerationId,
    MessageId,
    ProviderName,
    WorkerId,
    message_id,
)
from notifier.domain.lifecycle import DELIVERY, WATCH, DeliverySignal, WatchSignal, advance, satisfies
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    EndpointDirectory,
    Interruption,
    Kind,
    OpenGeneration,
    Outcome,
    State,
    Transition,
    Trigger,
    Verdict,
    WatchRequest,
    WatchStatus,
)
from notifier.store.records import Ending, Selection, Slots, WatchChoice
from tests.support.store_builders import DIRECTORY, id_of

UNREACHABLE: Final = timedelta(hours=24)
FINISHED: Final = {DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED, DeliveryStatus.FILTERED}
_SIGNALS: Final = {
    Kind.RESULT: WatchSignal.SATISFY,
    Kind.EXPIRED: WatchSignal.EXPIRE,
    Kind.UNKNOWN: WatchSignal.LOSE,
}

#: Provider and ID.
GenerationKey = tuple[ProviderName, GenerationId]
#: What a watch is.
WatchKey = tuple[ProviderName, GenerationId, State, EndpointIdentity]


@dataclass(slots=True, kw_only=True)
class ModelWatch:
    request: WatchRequest
    registered_at: datetime
    status: WatchStatus = WatchStatus.OPEN
    round: int = 0
    ended_at: datetime | None = None

    @property
    def deadline(self) -> datetime:
        return self.registered_at + self.request.timeout

    @property
    def open(self) -> bool:
        return self.status is WatchStatus.OPEN


@dataclass(slots=True, kw_only=True)
class Lease:
    #: None once the store was opened again.
    owner: WorkerId | None
    since: datetime
    until: datetime

    def ended_for(self, sparing: WorkerId | None, now: datetime) -> bool:
        """Whether `end_lapsed` ends it."""
        return self.owner is None or (self.owner != sparing and self.until < now)


@dataclass(slots=True, kw_only=True)
class ModelDelivery:
    watch: WatchKey
    type: str
    destination: Destination
    status: DeliveryStatus
    created_at: datetime
    due_at: datetime | None
    lease: Lease | None = None
    #: Who wants the next attempt, or the one that is open.
    trigger: Trigger = Trigger.SCHEDULE
    #: When the last attempt was closed.
    closed_at: datetime | None = None
    #: Number of the latest attempt.
    number: int = 0
    failures: int = 0
    interruptions: int = 0
    #: (number, when it was begun, verdict) of closed attempts.
    closed: list[tuple[int, datetime, Verdict]] = field(default_factory=list)
    #: Parked, and resumes by itself once its endpoint is configured.
    resumes: bool = False
    #: As the first claim showed it; it never changes after.
    body: bytes | None = None

    def claimable(self, now: datetime) -> bool:
        waits = self.status is DeliveryStatus.PENDING and self.lease is None
        return waits and self.due_at is not None and self.due_at <= now

    def finished_before(self, moment: datetime) -> bool:
        return self.status in FINISHED and max(self.created_at, self.closed_at or self.created_at) < moment

    def held_by(self, attempt: Claim | AttemptResult, owner: WorkerId) -> bool:
        """Whether it is of the attempt that is open now, and that is `owner`'s."""
        return self.lease is not None and self.lease.owner == owner and self.number == attempt.number

    @property
    def attempts(self) -> list[tuple[int, datetime, Verdict | None]]:
        """All of them, the open one last."""
        open_ = [] if self.lease is None else [(self.number, self.lease.since, None)]
        return [*self.closed, *open_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the contract fixes of a `Registration`."""

    outcome: Outcome
    enqueued: bool
    open: OpenGeneration | None


class Refused(Exception):
    """The paths of the entries that contradict an open watch."""


class Model:
    """What a store knows."""

    def __init__(self) -> None:
        self.generations: dict[GenerationKey, State | None] = {}
        self.watches: dict[WatchKey, ModelWatch] = {}
        self.deliveries: dict[MessageId, ModelDelivery] = {}
        self.directory = DIRECTORY
        self.endpoint_health: dict[Destination, EndpointHealth] = {}

    def reopen(self) -> None:
        """The store knows that nobody has any lease that the last run left."""
        for delivery in self.deliveries.values():
            if delivery.lease is not None:
                delivery.lease.owner = None

    # ---- watches ----
    def add_watches(self, requests: Sequence[WatchRequest], *, now: datetime, keep_first: bool) -> list[Registered]:
        before = deepcopy((self.generations, self.watches, self.deliveries))
        answers = [self._register(request, now, keep_first=keep_first) for request in requests]
        refused = [f"[{index}]" for index, answer in enumerate(answers) if answer.outcome is Outcome.KEPT]
        if refused and not keep_first:
            self.generations, self.watches, self.deliveries = before
            raise Refused(*refused)
        return answers

    def _register(self, request: WatchRequest, now: datetime, *, keep_first: bool) -> Registered:
        self.generations.setdefault((request.provider, request.generation), None)
        key = (request.provider, request.generation, request.target, request.endpoint)
        watch = self.watches.get(key)
        if watch is None:
            watch = self.watches[key] = ModelWatch(request=request, registered_at=now)
            return self._begin(key, watch, Outcome.CREATED, now)
        if watch.open:
            mine, theirs = watch.request, request
            same = (mine.metadata, mine.timeout) == (theirs.metadata, theirs.timeout)
            return Registered(
                outcome=Outcome.EXISTING if same else Outcome.KEPT, enqueued=False, open=self.open_of(key[:2], watch)
            )
        if keep_first or WatchSignal.REOPEN not in WATCH[watch.status]:
            return Registered(outcome=Outcome.FINISHED, enqueued=False, open=None)
        watch.status = WATCH[watch.status][WatchSignal.REOPEN]
        watch.round += 1
        watch.request, watch.registered_at, watch.ended_at = request, now, None
        return self._begin(key, watch, Outcome.REOPENED, now)

    def _begin(self, key: WatchKey, watch: ModelWatch, outcome: Outcome, now: datetime) -> Registered:
        if satisfies(self.generations[key[:2]], watch.request.target):
            self._end(key, Kind.RESULT, now)
            return Registered(outcome=outcome, enqueued=True, open=None)
        return Registered(outcome=outcome, enqueued=False, open=self.open_of(key[:2], watch))

    def open_of(self, generation: GenerationKey, *only: ModelWatch) -> OpenGeneration | None:
        """The generation as it is watched, or by these only; None if no watch is open."""
        watches = only or [watch for key, watch in self.watches.items() if key[:2] == generation and watch.open]
        if not watches:
            return None
        return OpenGeneration(
            provider=generation[0],
            id=generation[1],
            state=self.generations[generation],
            registered_at=min(watch.registered_at for watch in watches),
            deadline=min(watch.deadline for watch in watches),
            target=min((watch.request.target for watch in watches), key=lambda target: target.rank),
            destinations=tuple(sorted({watch.request.destination for watch in watches})),
        )

    # ---- looks ----
    def record_transitions(
        self, transitions: Sequence[Transition], *, now: datetime
    ) -> list[tuple[int, OpenGeneration | None]]:
        return [self._raise(transition, now) for transition in transitions]

    def _raise(self, transition: Transition, now: datetime) -> tuple[int, OpenGeneration | None]:
        generation, seen = (transition.provider, transition.observation.id), transition.observation.state
        if generation not in self.generations or seen is None:
            return 0, self.open_of(generation)
        state = advance(self.generations[generation], seen)
        if state is None:
            return 0, self.open_of(generation)
        self.generations[generation] = state
        return self._end_some(generation, Kind.RESULT, lambda w: satisfies(state, w.request.target), now)

    def end_watches(self, endings: Sequence[Ending], *, now: datetime) -> list[tuple[int, OpenGeneration | None]]:
        return [self._end_by(ending, now) for ending in endings]

    def _end_by(self, ending: Ending, now: datetime) -> tuple[int, OpenGeneration | None]:
        generation = (ending.provider, ending.generation)
        over: Callable[[ModelWatch], bool] = lambda watch: watch.deadline <= ending.observed_at  # noqa: E731
        chosen = over if ending.kind is Kind.EXPIRED else lambda _: True
        return self._end_some(generation, ending.kind, chosen, now)

    def expire_unreachable(self, *, now: datetime) -> int:
        over = [key for key, watch in self.watches.items() if watch.open and watch.deadline < now - UNREACHABLE]
        for key in over:
            self._end(key, Kind.EXPIRED, now)
        return len(over)

    def _end_some(
        self,
        generation: GenerationKey,
        kind: Kind,
        chosen: Callable[[ModelWatch], bool],
        now: datetime,
    ) -> tuple[int, OpenGeneration | None]:
        ending = [key for key, watch in self.watches.items() if key[:2] == generation and watch.open and chosen(watch)]
        for key in ending:
            self._end(key, kind, now)
        return len(ending), self.open_of(generation)

    def _end(self, key: WatchKey, kind: Kind, now: datetime) -> None:
        """A watch ends and its one message is enqueued."""
        provider, generation, target, endpoint = key
        watch = self.watches[key]
        watch.status, watch.ended_at = WATCH[watch.status][_SIGNALS[kind]], now
        message = message_id(
            provider=provider, generation=generation, target=target, endpoint=endpoint, kind=kind, round_=watch.round
        )
        assert message not in self.deliveries, "one message for each identity and round"
        words = {Kind.EXPIRED: "watch.expired", Kind.UNKNOWN: "generation.unknown"}
        type_ = words.get(kind, f"generation.{self.generations[key[:2]]}")
        destination = watch.request.destination
        status = DeliveryStatus.PARKED if self._disabled(destination) else _standing(endpoint, type_, self.directory)
        wait = self.directory.first_wait.get(endpoint, timedelta(0))
        self.deliveries[message] = ModelDelivery(
            watch=key,
            type=type_,
            destination=destination,
            status=status,
            created_at=now,
            resumes=status is DeliveryStatus.PARKED and not self._disabled(destination),
            due_at=now + wait if status is DeliveryStatus.PENDING else None,
        )

    # ---- deliveries ----
    def hand_in(self, owner: WorkerId, results: Iterable[AttemptResult], *, now: datetime) -> list[MessageId]:
        """Messages of results whose lease is lost."""
        lost = []
        for result in results:
            delivery = self.deliveries.get(result.message_id)
            if delivery is None or not delivery.held_by(result, owner):
                lost.append(result.message_id)
            else:
                self._close(delivery, result)
                if not result.affects_health:
                    continue
                self._note(
                    delivery.destination,
                    endpoint_health.after_attempt(self._stands(delivery.destination), result.verdict, now=now),
                )
        self._park_disabled()
        return lost

    def claim(self, owner: WorkerId, claims: Sequence[Claim], slots: Slots, *, now: datetime) -> None:
        """Take over what a store has claimed, having checked that it was allowed to, and that it was enough."""
        due = self._due_by_destination(now)
        room = {destination: max(0, slots.free.get(destination, slots.each)) for destination in due}
        taken = Counter(claim.destination for claim in claims)
        assert len({claim.message_id for claim in claims}) == len(claims), "claimed twice in one exchange"
        assert len(claims) == min(
            max(0, slots.total), sum(min(room[destination], len(due[destination])) for destination in due)
        )
        for destination, count in taken.items():
            assert count <= room[destination], f"{count} of {destination}, which has {room[destination]} slots"
        with_something = [destination for destination in due if room[destination]]
        if slots.total >= len(with_something):
            assert set(taken) == set(with_something), "a destination was skipped"
        for claim in claims:
            self._lease(owner, claim, slots, now)
        for destination, in_order in due.items():
            times = [(delivery.due_at, delivery.lease is None) for delivery in in_order]
            latest = max((at for at, waits in times if not waits and at), default=now)
            assert all(at >= latest for at, waits in times if waits and at and taken[destination]), (
                f"not oldest first: {destination}"
            )

    def _due_by_destination(self, now: datetime) -> Mapping[Destination, list[ModelDelivery]]:
        due: dict[Destination, list[ModelDelivery]] = {}
        for delivery in self.deliveries.values():
            if delivery.claimable(now):
                due.setdefault(delivery.destination, []).append(delivery)
        return due

    def _lease(self, owner: WorkerId, claim: Claim, slots: Slots, now: datetime) -> None:
        delivery = self.deliveries[claim.message_id]
        assert delivery.status is DeliveryStatus.PENDING, f"claimed while {delivery.status}"
        assert delivery.lease is None, "two live leases on one delivery"
        assert delivery.claimable(now), "claimed before it is due"
        delivery.number += 1
        until = now + slots.lease.get(delivery.destination, slots.lease_each)
        delivery.lease = Lease(owner=owner, since=now, until=until)
        delivery.body = delivery.body or claim.body
        provider, generation, _, endpoint = delivery.watch
        assert claim == replace(
            claim,
            endpoint=endpoint,
            destination=delivery.destination,
            type=delivery.type,
            body=delivery.body,
            number=delivery.number,
            failures=delivery.failures,
            interruptions=delivery.interruptions,
            started_at=now,
            leased_until=until,
            provider=provider,
            generation=generation,
            trigger=delivery.trigger,
        )

    def next_due(self, now: datetime) -> datetime | None:
        waiting = (each for each in self.deliveries.values() if each.lease is None)
        return min((each.due_at for each in waiting if each.due_at is not None and each.due_at > now), default=None)

    def ended(
        self, *, now: datetime, sparing: WorkerId | None = None, owner: WorkerId | None = None
    ) -> list[tuple[ModelDelivery, Interruption]]:
        """What `end_lapsed` ends, or `release` of `owner`, in no order."""
        return [
            (
                delivery,
                Interruption(
                    message_id=message,
                    destination=delivery.destination,
                    number=delivery.number,
                    failures=delivery.failures,
                    interruptions=delivery.interruptions + 1,
                ),
            )
            for message, delivery in self.deliveries.items()
            if (lease := delivery.lease) and (lease.owner == owner if owner else lease.ended_for(sparing, now))
        ]

    def interrupt(self, delivery: ModelDelivery, result: AttemptResult, *, now: datetime) -> None:
        assert delivery.lease is not None, "only an open attempt is interrupted"
        took = max(timedelta(0), min(now, delivery.lease.until) - delivery.lease.since)
        self._close(delivery, replace(result, verdict=Verdict.INTERRUPTED, took=took))
        self._park_disabled()

    def apply(self, directory: EndpointDirectory, *, now: datetime) -> tuple[int, int]:
        """How many are parked, of what nobody works on, and how many resume."""
        self.directory = directory
        waiting = [
            each for each in self.deliveries.values() if each.status is DeliveryStatus.PENDING and not each.lease
        ]
        parked = [each for each in self.deliveries.values() if each.status is DeliveryStatus.PARKED and each.resumes]
        for each in parked:
            each.resumes = not self._disabled(each.destination)
        back = [each for each in parked if each.resumes and _configured(each.watch[3], directory)]
        for each in back:
            each.status, each.due_at = DELIVERY[each.status][DeliverySignal.RESUME], now
        gone = [each for each in waiting if not _configured(each.watch[3], directory)]
        for each in gone:
            _park(each, resumes=True)
        return len(gone), len(back)

    # ---- what a person asks for ----
    def redeliver(self, selection: Selection, *, now: datetime) -> tuple[int, int]:
        """How many are due now, and how many stay as they are for a reason."""
        meant = [each for message, each in self.deliveries.items() if _means(selection, message, each)]
        taken = [each for each in meant if self._again(each, now)]
        return len(taken), len(meant) - len(taken)

    def _again(self, delivery: ModelDelivery, now: datetime) -> bool:
        again = DELIVERY[delivery.status].get(DeliverySignal.REDELIVER)
        if (
            again is None
            or delivery.lease
            or not _configured(delivery.watch[3], self.directory)
            or self._disabled(delivery.destination)
        ):
            return False
        delivery.status, delivery.due_at, delivery.trigger = again, min(delivery.due_at or now, now), Trigger.PERSON
        delivery.failures = delivery.interruptions = 0
        delivery.resumes = False
        return True

    def cancel(self, choice: WatchChoice, *, now: datetime) -> tuple[int, Counter[WatchStatus], set[GenerationKey]]:
        """How many are cancelled, the status of those that had ended, and generations that nobody watches any more."""
        meant = {key: watch for key, watch in self.watches.items() if _chosen(choice, key, watch)}
        ended = Counter(watch.status for watch in meant.values() if not watch.open)
        cancelled = {key: watch for key, watch in meant.items() if watch.open}
        for watch in cancelled.values():
            watch.status, watch.ended_at = WATCH[watch.status][WatchSignal.CANCEL], now
        return len(cancelled), ended, {key[:2] for key in cancelled if self.open_of(key[:2]) is None}

    # ---- retention ----
    def prune(self, *, before: datetime, declared: Container[str] | None) -> tuple[int, int, int]:
        """Deliveries, watches and generations that are forgotten."""
        gone = [message for message, each in self.deliveries.items() if each.finished_before(before)]
        for message in gone:
            del self.deliveries[message]
        watches = [] if declared is None else [key for key in self.watches if self._over(key, before, declared)]
        for key in watches:
            del self.watches[key]
        left = {key[:2] for key in watches} - {key[:2] for key in self.watches}
        for generation in left:
            del self.generations[generation]
        return len(gone), len(watches), len(left)

    def _over(self, key: WatchKey, before: datetime, declared: Container[str]) -> bool:
        watch = self.watches[key]
        kept = any(delivery.watch == key for delivery in self.deliveries.values())
        ended = watch.ended_at is not None and watch.ended_at < before
        return ended and not kept and self.open_of(key[:2]) is None and id_of(watch.request) not in declared

    # ---- endpoints ----
    def disable(self, destination: Destination, reason: str, *, now: datetime) -> tuple[EndpointHealth, EndpointHealth]:
        before = self._stands(destination)
        self._note(destination, endpoint_health.disabled(before, reason, now=now))
        self._park_disabled()
        return before, self._stands(destination)

    def enable(self, destination: Destination) -> tuple[EndpointHealth, EndpointHealth]:
        """What was parked stays so."""
        before = self._stands(destination)
        self._note(destination, endpoint_health.enabled(before))
        return before, self._stands(destination)

    def _stands(self, destination: Destination) -> EndpointHealth:
        return self.endpoint_health.get(destination) or EndpointHealth(destination=destination)

    def _note(self, destination: Destination, after: EndpointHealth) -> None:
        """What is worth keeping is kept, so that what is not begins anew."""
        self.endpoint_health.pop(destination, None)
        if after.worth_keeping and after != EndpointHealth(destination=destination):
            self.endpoint_health[destination] = after

    def _disabled(self, destination: Destination) -> bool:
        return self._stands(destination).state is EndpointState.DISABLED

    def _park_disabled(self) -> None:
        """What is pending for a disabled destination is parked, and does not resume by itself."""
        for each in self.deliveries.values():
            if each.status is DeliveryStatus.PENDING and not each.lease and self._disabled(each.destination):
                _park(each, resumes=False)

    @staticmethod
    def _close(delivery: ModelDelivery, result: AttemptResult) -> None:
        assert delivery.lease is not None, "only an open attempt is closed"
        delivery.closed.append((delivery.number, delivery.lease.since, result.verdict))
        delivery.closed_at = delivery.lease.since + result.took
        delivery.lease, delivery.trigger = None, Trigger.SCHEDULE
        delivery.status, delivery.failures, delivery.due_at = result.status, result.failures, result.due_at
        delivery.resumes = result.status is DeliveryStatus.PARKED
        delivery.interruptions = delivery.interruptions + 1 if result.verdict is Verdict.INTERRUPTED else 0


def _means(selection: Selection, message: MessageId, delivery: ModelDelivery) -> bool:
    provider, generation, _, endpoint = delivery.watch
    pairs = [
        (selection.message, message),
        (selection.generation, generation),
        (selection.provider, provider),
        (selection.endpoint, endpoint),
        (selection.destination, delivery.destination),
        (selection.type, delivery.type),
    ]
    since = selection.since is None or delivery.created_at >= selection.since
    until = selection.until is None or delivery.created_at < selection.until
    status = not selection.statuses or delivery.status in selection.statuses
    return since and until and status and all(wanted in (None, found) for wanted, found in pairs)


def _chosen(choice: WatchChoice, key: WatchKey, watch: ModelWatch) -> bool:
    pairs = [
        (choice.watch, id_of(watch.request)),
        (choice.provider, key[0]),
        (choice.generation, key[1]),
        (choice.endpoint, key[3]),
        (choice.destination, watch.request.destination),
    ]
    return all(wanted in (None, found) for wanted, found in pairs)


def _park(delivery: ModelDelivery, *, resumes: bool) -> None:
    delivery.status, delivery.due_at = DELIVERY[delivery.status][DeliverySignal.PARK], None
    delivery.resumes = resumes


def _configured(endpoint: EndpointIdentity, directory: EndpointDirectory) -> bool:
    return directory.callbacks if "://" in endpoint else endpoint in directory.events


def _standing(endpoint: EndpointIdentity, type_: str, directory: EndpointDirectory) -> DeliveryStatus:
    if not _configured(endpoint, directory):
        return DeliveryStatus.PARKED
    wanted = directory.events.get(endpoint)
    return DeliveryStatus.PENDING if wanted is None or type_ in wanted else DeliveryStatus.FILTERED


def reachable(status: WatchStatus | DeliveryStatus) -> set[WatchStatus | DeliveryStatus]:
    """Where a status may be some calls later."""
    table: Mapping[object, Mapping[object, WatchStatus | DeliveryStatus]] = {**WATCH, **DELIVERY}  # type: ignore[dict-item]  # both at once
    found, fresh = {status}, {status}
    while fresh:
        fresh = {after for each in fresh for after in table[each].values()} - found
        found |= fresh
    return found
