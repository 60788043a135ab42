"""What is remembered of one open generation, and what follows from one poll of it. Pure, memory only.

A million of these must fit in memory, at 400 bytes each with all that refers to them: slots, numbers rather than
datetimes, nothing for what is rarely there, and one object for what many share (a curve, destinations, the time of a
batch poll).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from notifier.domain.ids import Destination, GenerationId
from notifier.domain.lifecycle import advance
from notifier.domain.model import Observation, OpenGeneration, State, Transition
from notifier.domain.settings import ProviderSettings
from notifier.polling.backoff import Misses
from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.scheduling.poll_queue import Bucket

NO_MISSES: Final = Misses()
#: An ID that was isolated more often than this is polled singly for good.
TRUSTED_ISOLATIONS: Final = 1


@dataclass(slots=True, kw_only=True, eq=False)
class TrackedGeneration:
    """One open generation."""

    id: GenerationId
    state: State | None
    #: The lowest target that one of its watches still waits for.
    target: State
    #: Destinations of its watches; empty if these are too many to be told apart.
    destinations: tuple[Destination, ...]
    #: The earliest deadline of its watches, Unix seconds.
    deadline: float
    curve: HazardCurve
    #: When its age was 0, monotonic seconds: at registration, or before it by what `creation.lead` says.
    age_origin: float
    #: When it was registered, monotonic seconds; None if that was before this run.
    registered: float | None
    #: When the last poll was sent that found it short of its target, monotonic seconds; None if there was none.
    polled_at: float | None = None
    #: The same moment in wall time, for whatever state comes next.
    not_before: datetime | None = None
    #: The bucket of the queue that it waits in.
    bucket: Bucket | None = None
    misses: Misses = NO_MISSES
    #: Polls in a row that showed what is not believed yet.
    doubts: int = 0
    #: True if it must be asked for by itself.
    poll_singly: bool = False
    isolations: int = 0
    #: True while requests for it alone fail.
    failing: bool = False
    #: True while it is missed: it is polled by other rules then.
    excluded: bool = False
    #: True while it has a part of the budget (`pace`): not before its first poll, nor while it is missed.
    counted: bool = False
    #: How many registrations joined; a poll that began before the last one must not drop it.
    joined: int = 0
    #: True while a long-poll waits for it.
    long_polled: bool = False
    #: True once a record was seen, which shows its model and when it was made.
    model_known: bool = False
    #: True once its watchers were warned that it is stalled.
    stalled: bool = False

    @classmethod
    def of(cls, open_: OpenGeneration, curve: HazardCurve, *, age_origin: float, registered: float | None) -> Self:
        return cls(
            id=open_.id,
            state=open_.state,
            target=open_.target,
            destinations=open_.destinations,
            deadline=open_.deadline.timestamp(),
            curve=curve,
            age_origin=age_origin,
            registered=registered,
        )

    def join(self, open_: OpenGeneration) -> None:
        """Another watch waits for it."""
        self.deadline = min(self.deadline, open_.deadline.timestamp())
        self.joined += 1

    def isolate(self) -> None:
        self.poll_singly = True
        self.isolations += 1

    def clear_isolation(self) -> None:
        """The ID was not the reason: it was the provider, its route or the batch's size."""
        if self.poll_singly:
            self.poll_singly = False
            self.isolations -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PollTimes:
    """When one poll was sent and when its reply was complete."""

    #: In wall time.
    asked_at: datetime
    answered_at: datetime
    #: The same, monotonic seconds.
    sent: float
    got: float


def believes(entry: TrackedGeneration, seen: Observation, times: PollTimes) -> bool:
    """Take in a poll of it. Returns whether its result was seen so often that it counts.

    A result that says less than it should (see `Observation.confirmations`) counts once so many polls in a row said the
    same. A poll at or after the deadline is the last one: its result counts, whatever it lacks.
    """
    final = entry.state is not None and entry.state.final
    if seen.confirmations <= 1 or final or overdue(entry, times.asked_at.timestamp()):
        entry.doubts = 0
        return True
    entry.misses = NO_MISSES
    entry.doubts += 1
    return entry.doubts >= seen.confirmations


def see(entry: TrackedGeneration, seen: Observation, times: PollTimes, settings: ProviderSettings) -> Transition | None:
    """Take in a poll that found it. Returns the transition, if it moved.

    If it did not, it was "not there yet" when the poll was *sent*: what the reply shows may be as old as that.
    """
    assert seen.state is not None, "an absent ID is a miss"
    entry.misses = NO_MISSES
    if entry.poll_singly and entry.isolations <= TRUSTED_ISOLATIONS:
        entry.poll_singly = False
    if seen.state is entry.state or advance(entry.state, seen.state) is None:
        before = entry.not_before
        # A long-poll may be older than polls beside it; a bound in the future is of a clock that was set back.
        if before is None or not times.asked_at < before <= times.answered_at:
            entry.not_before = times.asked_at
        return None
    return Transition(
        provider=settings.name,
        observation=seen,
        observed_at=times.answered_at,
        not_before=entry.not_before,
    )


def miss(entry: TrackedGeneration, now: float, *, single: bool) -> None:
    """Take in a reply without it. After some misses in batches it is polled singly: a batch route may leave IDs out."""
    entry.misses = entry.misses.missed(now, single=single)
    if entry.misses.to_confirm and not entry.poll_singly:
        entry.isolate()


def overdue(entry: TrackedGeneration, asked_at: float) -> bool:
    """Whether a poll sent at this Unix second lets its watches expire: at or after the deadline."""
    return asked_at >= entry.deadline
