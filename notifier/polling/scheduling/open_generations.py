"""The open generations of one provider: which there are, and when each is polled next. Pure, memory only.

Owns the queues, the curves and the pace. Every open generation that no request is under way for is in a queue. Refuses
to send requests, to decide what a reply means for watches, and to write.

A daemon with a million open generations is bounded by what is done here for each poll: nothing is allocated for it, and
no loop goes over all generations.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from notifier.domain.ids import Destination, GenerationId
from notifier.domain.model import Observation, OpenGeneration, State
from notifier.polling.learning.by_model import CurvesByModel
from notifier.polling.scheduling.learner import Finding, Learner
from notifier.polling.scheduling.open_generation import PollTimes, TrackedGeneration
from notifier.polling.scheduling.pace import Pace
from notifier.polling.scheduling.queues import FIRST, Queues
from notifier.polling.scheduling.review import Review
from notifier.polling.scheduling.undeliverable import Undeliverable

#: Longest time between two polls of an ID that costs a request of its own, seconds.
SINGLE_LIMIT: Final = 120.0
#: Seconds from the first poll that missed an ID to the next; then twice as many each time.
_MISSED: Final = 5.0
#: Doublings after which `SINGLE_LIMIT` is reached whatever `poll_every` is; keeps the power small.
_DOUBLINGS: Final = 20
#: Seconds between two polls of a generation that no callback can be sent for now.
RARELY: Final = 600.0
#: Late is who is overdue by more than this, in `poll_every` or in even intervals.
_LATE: Final = 2.0
#: In `poll_every`: who was polled longer ago than this may fill a free slot, so that batch polls which go side by side
#: become one.
_JUST_NOW: Final = 0.5


class OpenGenerations:
    """Of one provider. Times are monotonic seconds unless they say otherwise."""

    def __init__(self, every: float) -> None:
        self.curves = CurvesByModel()
        self.pace = Pace(every)
        self.queues = Queues(_width(every))
        self.undeliverable = Undeliverable()
        self._learner = Learner(self.curves, self.pace)
        self._review: Review[TrackedGeneration] = Review()
        self._entries: dict[GenerationId, TrackedGeneration] = {}
        #: Those that were missed since they were last seen; some are seen by now, or gone.
        self._missing: dict[GenerationId, TrackedGeneration] = {}

    # ---- which there are ----
    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[TrackedGeneration]:
        return iter(self._entries.values())

    def get(self, id_: GenerationId) -> TrackedGeneration | None:
        return self._entries.get(id_)

    def tracked(self, ids: Iterable[GenerationId]) -> Iterator[TrackedGeneration]:
        """Those of these that are tracked."""
        return (entry for entry in map(self.get, ids) if entry is not None)

    def tracks(self, entry: TrackedGeneration) -> bool:
        return self._entries.get(entry.id) is entry

    def add(self, open_: OpenGeneration, *, now: float) -> TrackedGeneration:
        """A generation was registered just now."""
        entry = self._enter(open_, age_origin=now, registered=now)
        wait = self.pace.first_wait(entry.curve, self.curves.already_done[entry.target].share)
        if wait:
            at = self._by_deadline(entry, now + wait, now=now, wall=open_.registered_at.timestamp())
            self.queues.add(entry, at, now)
        else:
            self.pace.discount(entry)
            self.queues.add(entry, FIRST, now)
        return entry

    def load(self, open_: OpenGeneration, *, now: float, age: float) -> None:
        """A generation was open before this run: nobody knows what happened meanwhile, so it is due at once."""
        entry = self._enter(open_, age_origin=now - max(0.0, age), registered=None)
        self.queues.add(entry, now, now)

    def _enter(self, open_: OpenGeneration, *, age_origin: float, registered: float | None) -> TrackedGeneration:
        curve = self.curves.most_learned(open_.target)
        entry = self._entries[open_.id] = TrackedGeneration.of(
            open_, curve, age_origin=age_origin, registered=registered
        )
        self.set_destinations(entry, open_.destinations)
        self.pace.count(entry, curve)
        return entry

    def join(self, entry: TrackedGeneration, open_: OpenGeneration, *, now: float, wall: float) -> None:
        """Another watch waits for it, as `open_` says: for an earlier target, a shorter time, or another endpoint."""
        undeliverable = entry.destinations in self.undeliverable
        entry.join(open_)
        if entry.destinations and not set(open_.destinations).issubset(entry.destinations):
            self.set_destinations(entry, tuple(sorted({*entry.destinations, *open_.destinations})))
        if open_.target.rank < entry.target.rank:
            self.retarget(entry, open_.target)
        if undeliverable and entry.destinations not in self.undeliverable and entry.bucket is not None:
            self.poll_now(entry, now)
        if (due := self.queues.due(entry)) is not None and due > now:
            self.queues.add(entry, self._by_deadline(entry, due, now=now, wall=wall), now)

    def retarget(self, entry: TrackedGeneration, target: State) -> None:
        """Its watches wait for another target now."""
        if target is not entry.target:
            entry.target = target
            curve = self.curves.of(self.curves.model_of(entry.curve), target)
            if entry.counted:
                self.pace.count(entry, curve)
            else:  # another target does not show whether it can be found
                entry.curve = curve

    def set_destinations(self, entry: TrackedGeneration, destinations: tuple[Destination, ...]) -> None:
        """The callbacks of its watches go to these."""
        entry.destinations = self.undeliverable.add(destinations)
        if self.undeliverable.has_unused(len(self)):
            self.undeliverable.keep([each.destinations for each in self])

    def remove(self, entry: TrackedGeneration) -> None:
        del self._entries[entry.id]
        self.pace.discount(entry)
        self.queues.drop(entry)

    # ---- those that were missed ----
    def exclude(self, entry: TrackedGeneration) -> None:
        """A poll did not find it: until one does, it is polled by other rules and has no part of the budget."""
        if not entry.excluded:
            self.pace.discount(entry)
            entry.excluded = True
        self._missing[entry.id] = entry

    def exclude_all(self, ids: Iterable[GenerationId]) -> None:
        """A reply that speaks against the provider had none of these: others are polled first."""
        for id_ in ids:
            if (entry := self.get(id_)) is not None:
                self.exclude(entry)

    def missing(self) -> Iterable[TrackedGeneration]:
        """Those that the last poll did not find."""
        if self._missing:
            self._missing = {
                id_: entry for id_, entry in self._missing.items() if entry.excluded and self.tracks(entry)
            }
        return self._missing.values()

    def readmit(self) -> None:
        """The provider knows an ID: those that were only excluded because it knew none are polled like new ones."""
        for entry in self:
            if entry.excluded and not entry.misses.count and not entry.failing:
                entry.excluded = False
                if entry.bucket is not None:
                    self.queues.add(entry, FIRST, FIRST)

    # ---- when each is polled ----
    def set_poll_every(self, every: float, *, now: float) -> None:
        """Use another `poll_every`: all that wait are due at once."""
        waiting = [entry for entry in self if entry.bucket is not None]
        for entry in waiting:
            self.queues.drop(entry)
        self.queues = Queues(_width(every))
        self.pace.every = every
        self.readmit()  # under other settings the provider may know them
        for entry in waiting:
            self.poll_now(entry, now)

    def apply_endpoint_health(self, is_undeliverable: Callable[[Destination], bool], *, now: float) -> None:
        """From now on this says which destinations are undeliverable. Whose are so no longer is due at once."""
        if deliverable := self.undeliverable.apply(is_undeliverable):
            for entry in self:
                if entry.bucket is not None and entry.destinations in deliverable:
                    self.poll_now(entry, now)

    def set_budget(self, capacity: float, now: float, *, idle: bool, apart: float = 0.0) -> None:
        """So many IDs can be polled per second now; `idle`: nothing of the budget for the last second was used.

        `apart` is the seconds between two requests: who falls due waits for the next request, and is not late.
        """
        earliest = self.queues.earliest()
        if earliest != FIRST:  # a new ID does not show how late the others are
            late = 0.0 if earliest is None else max(0.0, now - earliest - apart)
            self.pace.correct(late, now, idle=idle)
        self.pace.set_capacity(capacity)
        if self._review.due(self.pace.even_interval, self.pace.every):
            self._review.begin(self, self.pace.even_interval)
        self._review_some(now)

    def fill_batch(
        self, now: float, limit: int, *, fit: Callable[[Sequence[TrackedGeneration]], int] = len
    ) -> list[TrackedGeneration]:
        """For the free slots of a batch poll: what falls due next and was not polled just now; then missed IDs.

        They leave their queues. `fit` says how many of some, from the first, fit; the others stay.
        """
        fresh = now - _JUST_NOW * self.pace.every
        found = [
            entry
            for entry in dict.fromkeys(self.queues.soonest_regular(limit))
            if (entry.polled_at is None or entry.polled_at <= fresh)
            and not entry.poll_singly
            and entry.destinations not in self.undeliverable
        ]
        if len(found) < limit:
            found += [entry for entry in self.queues.overdue_missed(now, limit - len(found)) if not entry.poll_singly]
        taken = found[: fit(found)]
        for entry in taken:
            self.queues.drop(entry)
        return taken

    def late(self, now: float, *, irregular: bool) -> bool:
        """Whether anything waits for longer than polls that are only queued up do; `irregular`: of all queues."""
        new = self.queues.first_new()
        since = (
            self.queues.earliest_known(),
            new.registered if new else None,
            self.queues.earliest_irregular() if irregular else None,
        )
        first = min((at for at in since if at is not None), default=now)
        return now - first > _LATE * max(self.pace.every, self.pace.even_interval)

    def poll_now(self, entry: TrackedGeneration, now: float) -> None:
        """It is due at once."""
        self.queues.add(entry, now, now)

    def requeue(self, ids: Iterable[GenerationId], now: float) -> None:
        """Those that are tracked still, and that no long-poll waits for, are due at once."""
        for entry in self.tracked(ids):
            if not entry.long_polled:
                self.poll_now(entry, now)

    def start_long_poll(self, entry: TrackedGeneration) -> None:
        """A long-poll waits for it: it is in no queue until that ends."""
        self.queues.drop(entry)
        entry.long_polled = True

    def schedule_next(self, entry: TrackedGeneration, *, polled: float, now: float, singly: bool, wall: float) -> None:
        """It was polled at `polled`, and stays. `singly` if that cost a request; `wall` is now in Unix seconds."""
        wait = self.pace.wait(entry.curve, polled - entry.age_origin)
        if entry.doubts:  # the next poll shows whether the last one was right
            wait = min(wait, self.pace.every)
        if singly and entry.misses.count:
            doubled = max(self.pace.every, _MISSED) * 2.0 ** min(entry.misses.count - 1, _DOUBLINGS)
            wait = max(wait, min(SINGLE_LIMIT, doubled))
        if entry.destinations in self.undeliverable:
            wait = max(wait, RARELY)
        self.queues.add(entry, self._by_deadline(entry, polled + wait, now=now, wall=wall), now)

    def postpone(self, entry: TrackedGeneration, wait: float, *, now: float, wall: float) -> None:
        """A request for it alone failed: it waits so long, and has no part of the budget."""
        self.exclude(entry)
        overdue = entry.deadline <= wall
        at = now + max(wait, RARELY if entry.destinations in self.undeliverable else 0.0)
        self.queues.add(entry, at if overdue else self._by_deadline(entry, at, now=now, wall=wall), now)

    def _by_deadline(self, entry: TrackedGeneration, at: float, *, now: float, wall: float) -> float:
        """`at`, or if that is earlier the first moment that is after its deadline however the queue rounds."""
        left = entry.deadline - wall
        return now + max(0.0, left) + _width(self.pace.every) if left < at - now else at

    # ---- what polls teach ----
    def learn(self, entry: TrackedGeneration, seen: Observation, times: PollTimes, *, kept: bool = False) -> bool:
        """Take in a poll. True if it has just become stalled, which is to be warned of.

        `kept`: a long-poll, which the provider kept until the target was reached or its patience ended.
        """
        if (finding := self._learner.learn(entry, seen, times, kept=kept)) is None:
            return False
        if finding is Finding.REGIME_CHANGED:  # some wait for an age at which nothing is expected any more
            self._review.begin(self, self.pace.even_interval)
            self._review_some(times.got)
        return finding is Finding.STALLED

    def _review_some(self, now: float) -> None:
        """Of the generations that are reviewed: bring forward those that would be polled sooner if decided now."""
        for entry in self._review.some():
            due = self.queues.due(entry)
            if due is None or due <= now or not self.tracks(entry):
                continue
            if entry.misses.count or entry.failing or entry.destinations in self.undeliverable:
                continue
            polled = entry.age_origin if entry.polled_at is None else entry.polled_at
            at = polled + self.pace.wait(entry.curve, max(0.0, polled - entry.age_origin))
            if at < due:
                self.queues.add(entry, at, now)


def _width(every: float) -> float:
    """Buckets of a second, or finer if polls may come more often than every five seconds."""
    return min(1.0, every / 5)
