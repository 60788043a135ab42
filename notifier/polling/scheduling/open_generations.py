"""The open generations of one provider: who they are, and when each is looked at next. Pure, memory only.

Owns the agenda, the curves and the pace; every open generation that is not asked about at the moment is on the agenda.
Refuses to ask, to decide what a reply means for its watches, and to write.

What a look costs here is what bounds a daemon with a million open generations: no allocation, and no loop over all of
them, in what is done for each look.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from notifier.domain.ids import Destination, GenerationId
from notifier.domain.model import Observation, OpenGeneration, State
from notifier.polling.learning.by_model import CurvesByModel
from notifier.polling.learning.creation import lead
from notifier.polling.learning.hazard import HazardCurve
from notifier.polling.scheduling.open_generation import PollTimes, TrackedGeneration
from notifier.polling.scheduling.pace import Pace
from notifier.polling.scheduling.queues import FIRST, Queues
from notifier.polling.scheduling.review import Review

#: Longest time between two looks at an ID that stands alone, seconds.
ALONE_LIMIT: Final = 120.0
#: Seconds from the first look that missed it to the next; then twice as many each time.
_MISSED: Final = 5.0
#: Doublings after which `ALONE_LIMIT` is reached whatever `poll_every` is; keeps the power small.
_DOUBLINGS: Final = 20
#: From one look to the next where nobody can be told now, seconds.
RARELY: Final = 600.0
#: A generation this many times as old as 99 of 100 get is stalled.
_STALLED: Final = 3.0
#: Destinations of one generation that are told apart. Whoever has more of them counts as one that somebody can be told
#: of: it is likely, and thousands of watches with callback URLs of their own must not cost time that grows with each.
_MOST_LANES: Final = 64
#: Tuples of destinations kept beyond what open generations have.
_SPARE_LANES: Final = 1_024
#: Of `poll_every`, or of an even spread: who is overdue by more is late.
_LATE: Final = 2.0
#: Of `poll_every`: who was looked at more than this ago fills a free seat, so that sweeps which go beside each other
#: become one.
_JUST_NOW: Final = 0.5
#: A request that was held ended less than this many seconds after the state was there.
_HOLD_GRAIN: Final = 0.5


class OpenGenerations:
    """Of one provider. Times are monotonic seconds unless they say otherwise."""

    def __init__(self, every: float) -> None:
        self.curves = CurvesByModel()
        self.pace = Pace(every)
        #: Whether nothing can be sent to a destination now, and the tuples of destinations that are all so.
        self._deaf: Callable[[Destination], bool] = lambda _: False
        self._unheard: set[tuple[Destination, ...]] = set()
        self._entries: dict[GenerationId, TrackedGeneration] = {}
        self._crowds: Counter[HazardCurve] = Counter()
        #: IDs that can be looked at per second; None before the first budget.
        self._capacity: float | None = None
        self._review: Review[TrackedGeneration] = Review()
        self.queues = Queues(_width(every))
        #: Those that were missed since they were last seen; some are seen by now, or gone.
        self._missing: dict[GenerationId, TrackedGeneration] = {}
        #: The same few tuples stand in many entries.
        self._destinations: dict[tuple[Destination, ...], tuple[Destination, ...]] = {}

    # ---- who is there ----
    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[TrackedGeneration]:
        return iter(self._entries.values())

    def get(self, id_: GenerationId) -> TrackedGeneration | None:
        return self._entries.get(id_)

    def tracks(self, entry: TrackedGeneration) -> bool:
        return self._entries.get(entry.id) is entry

    def add(self, open_: OpenGeneration, *, now: float) -> TrackedGeneration:
        """A generation that was registered just now."""
        entry = self._enter(open_, age_origin=now, registered=now)
        wait = self.pace.first_wait(entry.curve, self.curves.already_done(entry.target).share)
        if wait:
            at = self._by_deadline(entry, now + wait, now=now, wall=open_.registered_at.timestamp())
            self.queues.add(entry, at, now)
        else:
            self._leave_curve(entry)
            self.queues.add(entry, FIRST, now)
        return entry

    def join(self, entry: TrackedGeneration, open_: OpenGeneration, *, now: float, wall: float) -> None:
        """Another watch waits for it (`open_` is what it asks): for less, for a shorter time, or told elsewhere."""
        unheard = self.undeliverable(entry)
        entry.join(open_)
        if entry.destinations and not set(open_.destinations).issubset(entry.destinations):
            self.set_destinations(entry, tuple(sorted({*entry.destinations, *open_.destinations})))
        if open_.target.rank < entry.target.rank:
            self.retarget(entry, open_.target)
        if unheard and not self.undeliverable(entry) and entry.bucket is not None:
            self.queues.add(entry, now, now)
        if (due := self.queues.due(entry)) is not None and due > now:
            self.queues.add(entry, self._by_deadline(entry, due, now=now, wall=wall), now)

    def load(self, open_: OpenGeneration, *, now: float, age: float) -> None:
        """One that was open before this run: what happened meanwhile nobody knows, so it is due at once."""
        entry = self._enter(open_, age_origin=now - max(0.0, age), registered=None)
        self.queues.add(entry, now, now)

    def _enter(self, open_: OpenGeneration, *, age_origin: float, registered: float | None) -> TrackedGeneration:
        curve = self.curves.most_learned(open_.target)
        entry = self._entries[open_.id] = TrackedGeneration(open_, curve, age_origin=age_origin, registered=registered)
        self.set_destinations(entry, open_.destinations)
        self._crowds[curve] += 1
        entry.counted = True
        return entry

    def remove(self, entry: TrackedGeneration) -> None:
        del self._entries[entry.id]
        self._leave_curve(entry)
        self.queues.drop(entry)

    def exclude(self, entry: TrackedGeneration) -> None:
        """A look did not find it: until one does it is looked at by other rules, and does not count."""
        if not entry.excluded:
            self._leave_curve(entry)
            entry.excluded = True
        self._missing[entry.id] = entry

    def missing(self) -> Iterable[TrackedGeneration]:
        """Those that the last look did not find."""
        if self._missing:
            self._missing = {
                id_: entry for id_, entry in self._missing.items() if entry.excluded and self.tracks(entry)
            }
        return self._missing.values()

    def exclude_all(self, ids: Iterable[GenerationId]) -> None:
        """A reply that speaks against the provider held none of these: others are asked about first."""
        for id_ in ids:
            if (entry := self.get(id_)) is not None:
                self.exclude(entry)

    def readmit(self) -> None:
        """It knows one: those that were asked about in vain, and are not to blame, are as good as new."""
        for entry in self:
            if entry.excluded and not entry.misses.count and not entry.failing:
                entry.excluded = False
                if entry.bucket is not None:
                    self.queues.add(entry, FIRST, FIRST)

    @property
    def untried(self) -> bool:
        """Whether there are some that were not asked about in vain."""
        return self.queues.earliest() is not None

    def _leave_curve(self, entry: TrackedGeneration) -> None:
        """It has no part in how the budget is shared out."""
        if not entry.counted:
            return
        entry.counted = False
        self._crowds[entry.curve] -= 1
        if not self._crowds[entry.curve]:
            del self._crowds[entry.curve]

    def _join_curve(self, entry: TrackedGeneration, curve: HazardCurve) -> None:
        if curve is not entry.curve or not entry.counted:
            self._leave_curve(entry)
            self._crowds[curve] += 1
            entry.curve, entry.excluded, entry.counted = curve, False, True

    # ---- when each is looked at ----
    def set_poll_every(self, every: float, *, now: float) -> None:
        """Go by another `poll_every`: all that wait are due at once."""
        waiting = [entry for entry in self if entry.bucket is not None]
        for entry in waiting:
            self.queues.drop(entry)
        self.queues = Queues(_width(every))
        self.pace.every = every
        self.readmit()  # under other settings they may be known
        for entry in waiting:
            self.queues.add(entry, now, now)

    def apply_endpoint_health(self, deaf: Callable[[Destination], bool], *, now: float) -> None:
        """From now on this says to which destinations nothing can be sent. What can be told again is due at once."""
        before, self._deaf = self._unheard, deaf
        self._unheard = {
            destinations for destinations in self._destinations if destinations and all(map(deaf, destinations))
        }
        if back := before - self._unheard:
            for entry in self:
                if entry.bucket is not None and entry.destinations in back:
                    self.queues.add(entry, now, now)

    def set_destinations(self, entry: TrackedGeneration, destinations: tuple[Destination, ...]) -> None:
        """Its watches are told at these."""
        destinations = destinations if len(destinations) <= _MOST_LANES else ()
        if destinations and destinations not in self._destinations and all(map(self._deaf, destinations)):
            self._unheard.add(destinations)
        entry.destinations = self._destinations.setdefault(destinations, destinations)
        if len(self._destinations) > 2 * len(self._entries) + _SPARE_LANES:  # of origins that came and went
            self._destinations = {each.destinations: each.destinations for each in self} | {destinations: destinations}
            self._unheard &= self._destinations.keys()

    def set_budget(self, capacity: float, now: float, *, idle: bool, apart: float = 0.0) -> None:
        """So many IDs can be looked at per second now; `idle`: of the budget for the last second nothing was used.

        `apart` is how many seconds lie between two requests: who falls due waits for the next one, and is not late.
        """
        earliest = self.queues.earliest()
        if earliest != FIRST:  # what is new says nothing of how late the others are
            late = 0.0 if earliest is None else max(0.0, now - earliest - apart)
            self.pace.correct(late, now, idle=idle)
        self._capacity = capacity
        self._spread()
        if self._review.due(self.pace.even_interval, self.pace.every):
            self._review.begin(self, self.pace.even_interval)
        self._go_on(now)

    def _spread(self) -> None:
        """What is known of a kind and how far apart looks are must agree at every moment."""
        if self._capacity is not None:
            self.pace.set(self._crowds.items(), self._capacity)

    def fill_batch(
        self, now: float, limit: int, *, fit: Callable[[Sequence[TrackedGeneration]], int] = len
    ) -> list[TrackedGeneration]:
        """For free seats of a sweep: what falls due soonest and was not looked at just now; then what is missed.

        It leaves the agenda.
        `fit` says how many of some, from the first, it takes; the others stay where they are.
        """
        fresh = now - _JUST_NOW * self.pace.every
        found = [
            entry
            for entry in dict.fromkeys(self.queues.soonest_usual(limit))
            if (entry.polled_at is None or entry.polled_at <= fresh)
            and not entry.poll_singly
            and not self.undeliverable(entry)
        ]
        if len(found) < limit:
            found += [entry for entry in self.queues.overdue_missed(now, limit - len(found)) if not entry.poll_singly]
        taken = found[: fit(found)]
        for entry in taken:
            self.queues.drop(entry)
        return taken

    def late(self, now: float) -> bool:
        """Whether something waits for longer than looks that are only queued up do."""
        new = self.queues.first_new()
        waiting = (self.queues.earliest_known(), new.registered if new else None)
        begun = [at for at in waiting if at is not None]
        return self._is_late(min(begun, default=now), now)

    def late_irregular(self, now: float) -> bool:
        """The same of what is missed or asked alone."""
        earliest = self.queues.earliest_irregular()
        return earliest is not None and self._is_late(earliest, now)

    def _is_late(self, due: float, now: float) -> bool:
        return now - due > _LATE * max(self.pace.every, self.pace.even_interval)

    def poll_now(self, entry: TrackedGeneration, now: float) -> None:
        """Due at once."""
        self.queues.add(entry, now, now)

    def requeue(self, ids: Iterable[GenerationId], now: float) -> None:
        """Those that are tracked still, and that no long-poll waits for, are due at once."""
        for id_ in ids:
            if (entry := self.get(id_)) is not None and not entry.long_polled:
                self.poll_now(entry, now)

    def start_long_poll(self, entry: TrackedGeneration) -> None:
        """A request waits for it: it is off the agenda until that ends."""
        self.queues.drop(entry)
        entry.long_polled = True

    def schedule_next(self, entry: TrackedGeneration, *, looked: float, now: float, alone: bool, wall: float) -> None:
        """It was looked at `looked`, and stays; `alone` where that costs a request. `wall` is now in Unix seconds."""
        wait = self.pace.wait(entry.curve, looked - entry.age_origin)
        if entry.doubts:  # whether it is there is known with the next look
            wait = min(wait, self.pace.every)
        if alone and entry.misses.count:
            doubled = max(self.pace.every, _MISSED) * 2.0 ** min(entry.misses.count - 1, _DOUBLINGS)
            wait = max(wait, min(ALONE_LIMIT, doubled))
        if self.undeliverable(entry):
            wait = max(wait, RARELY)
        self.queues.add(entry, self._by_deadline(entry, looked + wait, now=now, wall=wall), now)

    def postpone(self, entry: TrackedGeneration, wait: float, *, now: float, wall: float) -> None:
        """A request about it alone failed: it waits so long, and has no part in how the budget is shared out."""
        self.exclude(entry)
        overdue = entry.deadline <= wall
        at = now + max(wait, RARELY if self.undeliverable(entry) else 0.0)
        self.queues.add(entry, at if overdue else self._by_deadline(entry, at, now=now, wall=wall), now)

    def take_out(self, entry: TrackedGeneration) -> None:
        """It is asked about now, whenever it is due."""
        self.queues.drop(entry)

    def _by_deadline(self, entry: TrackedGeneration, at: float, *, now: float, wall: float) -> float:
        """`at`, or the first moment that is after its deadline however the agenda rounds, where that is earlier."""
        left = entry.deadline - wall
        return now + max(0.0, left) + _width(self.pace.every) if left < at - now else at

    def undeliverable(self, entry: TrackedGeneration) -> bool:
        """Whether nothing can be sent to any destination of its watches."""
        return bool(self._unheard) and entry.destinations in self._unheard

    # ---- what looks teach ----
    def learn(self, entry: TrackedGeneration, seen: Observation, times: PollTimes, *, held: bool = False) -> bool:
        """Take in a sight of it. True where it has just become one to warn of: stalled.

        `held`: the provider kept the request until it was there, or its patience ended.
        """
        assert seen.state is not None, "an absent ID teaches nothing"
        if not entry.model_known:
            self._tell(entry, seen, times)
        if not entry.counted:
            self._join_curve(entry, entry.curve)
        there = seen.state is not entry.state and seen.state.rank >= entry.target.rank
        short = times.got - _HOLD_GRAIN if held else times.sent
        since = entry.polled_at
        if since is None:
            since = self._first_sight(entry, short, there=there and not held)  # it would not have been kept
        curve, begun = entry.curve, entry.age_origin
        if since is not None and (held or not there) and short > since:
            curve.expose(since - begun, short - begun)
            since = short
        if there:
            self._reached(entry, since, times.got)
            return False
        if entry.polled_at is None or short > entry.polled_at:
            entry.polled_at = short
        return self._has_stalled(entry, short)

    @staticmethod
    def _has_stalled(entry: TrackedGeneration, at: float) -> bool:
        """Whether it is stalled just now. A `created_at` that was believed before anything was learned is no reason."""
        limit = _STALLED * entry.curve.p99
        if entry.stalled or at - entry.age_origin <= limit:
            return False
        if entry.registered is not None and at - entry.registered <= limit:
            entry.age_origin = entry.registered
            return False
        entry.stalled = True
        return True

    def _first_sight(self, entry: TrackedGeneration, at: float, *, there: bool) -> float | None:
        """When it was not there for sure, by the first look at it; None where that is not known."""
        told = entry.registered
        if told is None:
            return None
        probability = entry.curve.probability_between(told - entry.age_origin, at - entry.age_origin)
        since = self.curves.already_done(entry.target).first(done=there, probability=probability)
        return told if since or not there else None

    def _reached(self, entry: TrackedGeneration, since: float | None, got: float) -> None:
        entry.polled_at = got
        if since is None:
            return
        curve = entry.curve
        before = curve.density
        changed = curve.reached(max(0.0, since - entry.age_origin), got - entry.age_origin)
        self.curves.update_most_learned(entry.target, curve)
        if curve.density is not before:
            self._spread()
        if changed:  # what waits for an age at which nothing is expected any more waits no longer
            self._review.begin(self, self.pace.even_interval)
            self._go_on(got)

    def _go_on(self, now: float) -> None:
        for entry in self._review.some():
            self._bring_forward(entry, now)

    def _bring_forward(self, entry: TrackedGeneration, now: float) -> None:
        """Look at it sooner, if that is what would be decided now."""
        due = self.queues.due(entry)
        if due is None or due <= now or not self.tracks(entry):
            return
        if entry.misses.count or entry.failing or self.undeliverable(entry):
            return
        looked = entry.age_origin if entry.polled_at is None else entry.polled_at
        at = looked + self.pace.wait(entry.curve, max(0.0, looked - entry.age_origin))
        if at < due:
            self.queues.add(entry, at, now)

    def _tell(self, entry: TrackedGeneration, seen: Observation, times: PollTimes) -> None:
        """The first record of it tells its model, and when it was made."""
        entry.model_known = True
        self._join_curve(entry, self.curves.of(seen.model, entry.target))
        if seen.created_at is not None:
            registered = times.answered_at.timestamp() - (times.got - entry.age_origin)
            patience, usual = entry.deadline - registered, _STALLED * entry.curve.p99
            entry.age_origin -= lead(seen.created_at, registered=registered, patience=patience, usual=usual)

    def retarget(self, entry: TrackedGeneration, target: State) -> None:
        """Its watches wait for another target now."""
        if target is not entry.target:
            entry.target = target
            curve = self.curves.of(self.curves.model_of(entry.curve), target)
            if entry.counted:
                self._join_curve(entry, curve)
            else:  # what waits for it says nothing of whether it is there
                entry.curve = curve


def _width(every: float) -> float:
    """Buckets of a second, or finer where looks may come more often than every five."""
    return min(1.0, every / 5)
