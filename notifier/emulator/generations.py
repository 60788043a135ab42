"""A generation's life as a function of time: no timer moves it, it is computed at each request. Pure.

So ten thousand generations cost nothing between requests. Times are seconds on one monotonic clock.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

from notifier.domain.model import State
from notifier.emulator.random_draws import draw, draw_uuid
from notifier.emulator.settings import EmulatorSettings, LongPoll

#: The provider's words for the canonical states.
WORDS: Final = {
    State.QUEUED: "queued",
    State.RUNNING: "dreaming",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
}
STATES: Final = {word: state for state, word in WORDS.items()}

_REASONS: Final = ("400: prompt is flagged by moderation", "Generation timed out", "Internal error, try again")
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """When one generation does what. It is queued, dreaming and then finished for good."""

    created: float
    #: Seconds after `created`.
    dreams_after: float
    #: Seconds after `created`, not less than `dreams_after`; infinity if it never ends.
    ends_after: float
    #: COMPLETED or FAILED.
    outcome: State

    def state(self, now: float) -> State:
        gone = now - self.created
        if gone < self.dreams_after:
            return State.QUEUED
        return State.RUNNING if gone < self.ends_after else self.outcome

    def reaches(self, target: State) -> float:
        """When its state is `target` or of higher rank for the first time; infinity if never."""
        if target is State.QUEUED:
            return self.created
        if target is State.RUNNING:
            return self.created + self.dreams_after
        ends = self.outcome.rank >= target.rank
        return self.created + self.ends_after if ends else math.inf


def draw_id(seed: int, number: int) -> str:
    """ID of the `number`-th generation."""
    return draw_uuid(seed, "id", number)


def draw_life(settings: EmulatorSettings, number: int, *, now: float) -> Life:
    """The life of the `number`-th generation, made at `now`: log-normal, cut at both ends, divided by the speed."""
    span = settings.longest if (drawn := _log_normal(settings, number)) > settings.longest else drawn
    ends = max(span, settings.shortest) / settings.speed
    fails = draw(settings.seed, "fails", number) < settings.failures
    return Life(
        created=now,
        dreams_after=ends * _queue_share(settings.seed, number),
        ends_after=ends,
        outcome=State.FAILED if fails else State.COMPLETED,
    )


def given_life(seed: int, number: int, *, now: float, ends_after: float, outcome: State) -> Life:
    """A life with a given end."""
    dreams = 0.0 if math.isinf(ends_after) else ends_after * _queue_share(seed, number)
    return Life(created=now, dreams_after=dreams, ends_after=ends_after, outcome=outcome)


def moved_life(life: Life, state: State, *, now: float) -> Life:
    """A life that is in `state` from `now` on and stays there, until it is moved again. It may step back."""
    gone = now - life.created
    if state is State.QUEUED:
        return replace(life, dreams_after=math.inf, ends_after=math.inf)
    if state is State.RUNNING:
        return replace(life, dreams_after=min(life.dreams_after, gone), ends_after=math.inf)
    return replace(life, dreams_after=min(life.dreams_after, gone), ends_after=gone, outcome=state)


def failure_reason(seed: int, id_: str) -> str:
    return _REASONS[int(draw(seed, "reason", id_) * len(_REASONS))]


def long_poll_ends(lives: list[Life], target: State, long_poll: LongPoll) -> float:
    """When a request that waits for `target` on all of `lives` may return, by what `long_poll` demands."""
    if long_poll is LongPoll.NONE or not lives:
        return -math.inf
    times = [life.reaches(target) for life in lives]
    return min(times) if long_poll is LongPoll.ANY else max(times)


def _queue_share(seed: int, number: int) -> float:
    """The part of its life a generation waits before it dreams: 2 to 20 %."""
    return 0.02 + 0.18 * draw(seed, "queue", number)


def _log_normal(settings: EmulatorSettings, number: int) -> float:
    # inv_cdf refuses 0, so the draw is moved off it
    place = min(max(draw(settings.seed, "duration", number), 1e-12), 1 - 1e-12)
    # beyond e**300 the cut decides anyway, and exp would overflow
    return settings.median * math.exp(min(settings.spread * _NORMAL.inv_cdf(place), 300.0))
