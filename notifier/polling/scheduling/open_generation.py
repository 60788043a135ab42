"""What the poller remembers of one open generation, and what one sight of it comes to. Pure, memory only.

A million of these must fit in memory, at 400 bytes each with all that refers to them: slots, numbers rather than
datetimes, nothing for what is rarely there, and what many share (a curve, destinations, the time of a sweep) is one
object.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from notifier.domain.lifecycle import advance
from notifier.domain.model import Observation, OpenGeneration, State, Transition
from notifier.domain.settings import ProviderSettings
from notifier.polling.backoff import Misses, is_unknown
from notifier.polling.learning.hazard import HazardCurve

if TYPE_CHECKING:
    from notifier.domain.ids import Destination, GenerationId
    from notifier.polling.scheduling.poll_queue import Bucket

NO_MISSES: Final = Misses()
#: An ID that was singled out this often is asked alone for good.
TRUSTED_ISOLATIONS: Final = 1


class TrackedGeneration:
    """One open generation."""

    __slots__ = (
        "age_origin",
        "bucket",
        "counted",
        "curve",
        "deadline",
        "destinations",
        "doubts",
        "excluded",
        "failing",
        "id",
        "isolations",
        "joined",
        "long_polled",
        "misses",
        "model_known",
        "not_before",
        "poll_singly",
        "polled_at",
        "registered",
        "stalled",
        "state",
        "target",
    )

    def __init__(
        self, open_: OpenGeneration, curve: HazardCurve, *, age_origin: float, registered: float | None
    ) -> None:
        self.id: GenerationId = open_.id
        self.state: State | None = open_.state
        #: The lowest target that one of its watches still waits for.
        self.target = open_.target
        #: Destinations of its watches; empty where these are too many to be told apart.
        self.destinations: tuple[Destination, ...] = open_.destinations
        #: When its age was 0, monotonic seconds: at registration, or before it as far as `lead` goes.
        self.age_origin = age_origin
        #: When it was registered, monotonic seconds; None where that was before this run.
        self.registered = registered
        #: The earliest deadline of its watches, Unix seconds.
        self.deadline = open_.deadline.timestamp()
        #: When the last look was sent that found it short of its target, monotonic seconds; None where there was none.
        self.polled_at: float | None = None
        #: The same moment in wall time, for whatever state comes next.
        self.not_before: datetime | None = None
        self.curve = curve
        #: The agenda's.
        self.bucket: Bucket | None = None
        self.misses = NO_MISSES
        #: Looks in a row that showed what is not believed yet.
        self.doubts = 0
        #: True where it must be asked by itself.
        self.poll_singly = False
        self.isolations = 0
        #: True while requests about it alone fail.
        self.failing = False
        #: True while it is missed.
        self.excluded = False
        #: True while it has a part in how the budget is shared out: not before its first look, nor while it is missed.
        self.counted = False
        #: Counts registrations that joined; a look that began before the last one must not drop it.
        self.joined = 0
        #: True while a request waits for it.
        self.long_polled = False
        #: True once a record was seen, which told its model and when it was made.
        self.model_known = False
        #: True once it was warned of.
        self.stalled = False

    def join(self, open_: OpenGeneration) -> None:
        """Another watch waits for it."""
        self.deadline = min(self.deadline, open_.deadline.timestamp())
        self.joined += 1

    def isolate(self) -> None:
        self.poll_singly = True
        self.isolations += 1

    def clear_isolation(self) -> None:
        """It was not the ID: it was the provider, its route or the batch's size."""
        if self.poll_singly:
            self.poll_singly = False
            self.isolations -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PollTimes:
    """When one look was sent and when its reply was complete."""

    #: In wall time.
    asked_at: datetime
    answered_at: datetime
    #: The same, monotonic seconds.
    sent: float
    got: float


def believes(watched: TrackedGeneration, seen: Observation, times: PollTimes) -> bool:
    """Take in a sight of it; whether it has been seen so often that it counts.

    What says less than it should (see `Observation.confirmations`) counts once so many polls in a row said the same. A
    poll at or after the deadline is the last one: what it shows counts, whatever it lacks.
    """
    final = watched.state is not None and watched.state.final
    if seen.confirmations <= 1 or final or overdue(watched, times.asked_at.timestamp()):
        watched.doubts = 0
        return True
    watched.misses = NO_MISSES
    watched.doubts += 1
    return watched.doubts >= seen.confirmations


def see(
    watched: TrackedGeneration, seen: Observation, times: PollTimes, settings: ProviderSettings
) -> Transition | None:
    """Take in a sight of it; the transition where it moved.

    It was "not there yet" when the look was *sent*: what the reply shows may be as old as that.
    """
    assert seen.state is not None, "an absent ID is a miss"
    watched.misses = NO_MISSES
    if watched.poll_singly and watched.isolations <= TRUSTED_ISOLATIONS:
        watched.poll_singly = False
    if seen.state is watched.state or advance(watched.state, seen.state) is None:
        before = watched.not_before
        # A kept request may be older than looks beside it; a bound in the future is of a clock that was set back.
        if before is None or not times.asked_at < before <= times.answered_at:
            watched.not_before = times.asked_at
        return None
    return Transition(
        provider=settings.name,
        observation=seen,
        observed_at=times.answered_at,
        not_before=watched.not_before,
    )


def miss(watched: TrackedGeneration, now: float, *, single: bool) -> None:
    """Take in a reply without it. After some misses in batches it is asked alone: a multi route may leave IDs out."""
    watched.misses = watched.misses.missed(now, single=single)
    if watched.misses.to_confirm and not watched.poll_singly:
        watched.isolate()


def unknown(watched: TrackedGeneration, other_answered_at: float | None) -> bool:
    """Whether the provider does not know it, or does not know it any more."""
    return is_unknown(watched.misses, other_answered_at=other_answered_at)


def overdue(watched: TrackedGeneration, asked_at: float) -> bool:
    """Whether a look sent at this Unix second allows its watches to expire: at or after the deadline."""
    return asked_at >= watched.deadline
