"""What a poll of one generation teaches: about its age, its model, its hazard curve, and whether it is stalled. Pure.

Owns which polls count as "watched without the target" and which as "reached". The estimators are in `learning`.
"""

from enum import Enum, auto
from typing import Final

from notifier.domain.model import Observation
from notifier.polling.learning.by_model import CurvesByModel
from notifier.polling.learning.creation import lead
from notifier.polling.scheduling.open_generation import PollTimes, TrackedGeneration
from notifier.polling.scheduling.pace import Pace

#: A generation this many times as old as 99 of 100 get is stalled.
_STALLED: Final = 3.0
#: A long-poll ended less than this many seconds after the state was reached.
_LONG_POLL_GRAIN: Final = 0.5


class Finding(Enum):
    """What is rarely found; a poll that finds neither gives None."""

    #: It has just become stalled: its watchers are warned once.
    STALLED = auto()
    #: Generations of its kind take much longer, or much less long, than before.
    REGIME_CHANGED = auto()


class Learner:
    """Of one provider."""

    def __init__(self, curves: CurvesByModel, pace: Pace) -> None:
        self._curves = curves
        self._pace = pace

    def learn(self, entry: TrackedGeneration, seen: Observation, times: PollTimes, *, kept: bool) -> Finding | None:
        """Take in a poll. `kept`: a long-poll, kept until the target was reached or the provider's patience ended."""
        assert seen.state is not None, "an absent ID teaches nothing"
        if not entry.model_known:
            self._note_record(entry, seen, times)
        if not entry.counted:
            self._pace.count(entry, entry.curve)
        there = seen.state is not entry.state and seen.state.rank >= entry.target.rank
        #: The last moment at which it had not reached the target.
        short = times.got - _LONG_POLL_GRAIN if kept else times.sent
        since = entry.polled_at
        if since is None:
            since = self._first_poll(entry, short, there=there and not kept)  # it would not have been kept
        curve, origin = entry.curve, entry.age_origin
        if since is not None and (kept or not there) and short > since:
            curve.expose(since - origin, short - origin)
            since = short
        if there:
            entry.polled_at = times.got
            return None if since is None else self._reached(entry, since, times.got)
        if entry.polled_at is None or short > entry.polled_at:
            entry.polled_at = short
        if entry.stalled or short - entry.age_origin <= _STALLED * entry.curve.p99:
            return None
        return self._note_stalled(entry, short)

    def _note_record(self, entry: TrackedGeneration, seen: Observation, times: PollTimes) -> None:
        """Its first record shows its model, and when it was made."""
        entry.model_known = True
        self._pace.count(entry, self._curves.of(seen.model, entry.target))
        if seen.created_at is not None:
            registered = times.answered_at.timestamp() - (times.got - entry.age_origin)
            patience, usual = entry.deadline - registered, _STALLED * entry.curve.p99
            entry.age_origin -= lead(seen.created_at, registered=registered, patience=patience, usual=usual)

    def _first_poll(self, entry: TrackedGeneration, at: float, *, there: bool) -> float | None:
        """When it certainly had not reached the target, by its first poll; None if that is not known."""
        if (registered := entry.registered) is None:
            return None
        probability = entry.curve.probability_between(registered - entry.age_origin, at - entry.age_origin)
        since = self._curves.already_done[entry.target].first(done=there, probability=probability)
        return registered if since or not there else None

    def _reached(self, entry: TrackedGeneration, since: float, got: float) -> Finding | None:
        curve = entry.curve
        before = curve.density
        changed = curve.reached(max(0.0, since - entry.age_origin), got - entry.age_origin)
        self._curves.update_most_learned(entry.target, curve)
        if curve.density is not before:
            self._pace.update()
        return Finding.REGIME_CHANGED if changed else None

    @staticmethod
    def _note_stalled(entry: TrackedGeneration, at: float) -> Finding | None:
        """A `created_at` that was believed before anything was learned is no reason to call it stalled."""
        if entry.registered is not None and at - entry.registered <= _STALLED * entry.curve.p99:
            entry.age_origin = entry.registered
            return None
        entry.stalled = True
        return Finding.STALLED
