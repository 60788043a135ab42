"""What the poller remembers of one open generation, and what one sight of it comes to. Pure, memory only.

A million of these must fit in memory: slots, and nothing for what is rarely there.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from notifier.lifecycle import advance
from notifier.model import Observation, OpenGeneration, State, Transition
from notifier.polling.trouble import Misses, is_unknown
from notifier.settings import ProviderSettings

NO_MISSES: Final = Misses()
#: An ID that was singled out this often is asked alone for good.
TRUSTED_ISOLATIONS: Final = 1


class Watched:
    """One open generation."""

    __slots__ = ("alone", "deadline", "isolations", "joined", "misses", "not_before", "registered_at", "state")

    def __init__(self, open_: OpenGeneration) -> None:
        self.state: State | None = open_.state
        self.registered_at = open_.registered_at
        #: The earliest deadline of its watches.
        self.deadline = open_.deadline
        #: The last look at which the next state was not there yet.
        self.not_before: datetime | None = None
        self.misses = NO_MISSES
        #: True where it must be asked by itself.
        self.alone = False
        self.isolations = 0
        #: Counts registrations that joined; a look that began before the last one must not drop it.
        self.joined = 0

    def join(self, open_: OpenGeneration) -> None:
        """Another watch waits for it."""
        self.deadline = min(self.deadline, open_.deadline)
        self.joined += 1

    def isolate(self) -> None:
        self.alone = True
        self.isolations += 1

    def acquit(self) -> None:
        """It was not the ID: it was the provider, its route or the batch's size."""
        if self.alone:
            self.alone = False
            self.isolations -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LookTimes:
    """When one look was sent and when its reply was complete, in wall time."""

    asked_at: datetime
    answered_at: datetime


def see(watched: Watched, seen: Observation, times: LookTimes, settings: ProviderSettings) -> Transition | None:
    """Take in a sight of it; the transition where it moved.

    It was "not there yet" when the look was *sent*: what the reply shows may be as old as that.
    """
    assert seen.state is not None, "an absent ID is a miss"
    watched.misses = NO_MISSES
    if watched.alone and watched.isolations <= TRUSTED_ISOLATIONS:
        watched.alone = False
    if advance(watched.state, seen.state) is None:
        watched.not_before = times.asked_at
        return None
    return Transition(
        provider=settings.name,
        observation=seen,
        observed_at=times.answered_at,
        not_before=watched.not_before,
    )


def miss(watched: Watched, now: float, *, single: bool) -> None:
    """Take in a reply without it. After some misses in batches it is asked alone: a multi route may leave IDs out."""
    watched.misses = watched.misses.missed(now, single=single)
    if watched.misses.to_confirm and not watched.alone:
        watched.isolate()


def unknown(watched: Watched, times: LookTimes, other_answered_at: float | None) -> bool:
    """Whether the provider does not know it."""
    return is_unknown(
        watched.misses,
        age=times.answered_at - watched.registered_at,
        seen=watched.state is not None,
        other_answered_at=other_answered_at,
    )


def overdue(watched: Watched, times: LookTimes) -> bool:
    """Whether this look allows its watches to expire: it was sent at or after the deadline."""
    return times.asked_at >= watched.deadline
