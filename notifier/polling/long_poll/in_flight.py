"""The long-polls of one provider: which are under way, which begin now, which is cancelled for a better one.

`slots` and `support` decide; here what they need is kept beside what is under way. How a request is sent, and what its
answer means, is for `exchange`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from notifier.domain.ids import GenerationId
from notifier.domain.model import State
from notifier.polling.long_poll.slots import likeliest, likelihood, slots_for_long_polls, to_hand_over, worthwhile
from notifier.polling.provider_state import ProviderState
from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.open_generations import OpenGenerations

#: IDs of a trial at most, and at least: one ID shows nothing.
_TRIAL: Final = 20
_SEVERAL: Final = 2
#: Candidates that are considered, at least.
_SOME: Final = 64
#: Seconds between two searches for a better candidate.
_REVIEW_EVERY: Final = 1.0


@dataclass(slots=True, eq=False)
class LongPoll:
    """One long-poll under way."""

    entries: Sequence[TrackedGeneration]
    target: State
    #: Monotonic seconds.
    since: float
    #: True if its IDs are polled beside it, because nobody knows yet what the provider does with it.
    trial: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class LongPolls:
    """Of one provider. `fit` says how many of some IDs one request takes."""

    def __init__(
        self,
        generations: OpenGenerations,
        provider: ProviderState,
        *,
        fit: Callable[[Sequence[GenerationId]], int],
    ) -> None:
        self._generations = generations
        self._provider = provider
        self._fit = fit
        self._under_way: list[LongPoll] = []
        #: Not kept to the end, because it was cancelled or answered at once -> when that was. These wait a little.
        self._over: dict[TrackedGeneration, float] = {}
        #: Long-polled before any poll had found them, and not found.
        self._unfound: set[TrackedGeneration] = set()
        self._review_at = 0.0

    # ---- what ends ----
    def ended(self, long_poll: LongPoll, now: float, *, kept: bool) -> None:
        """It was answered, cancelled, or failed; `kept`: the provider did keep it."""
        self._under_way.remove(long_poll)
        for entry in long_poll.entries:
            if not long_poll.trial:
                entry.long_polled = False
                if not kept:
                    self._over[entry] = now

    def unfound(self, entries: Iterable[TrackedGeneration]) -> bool:
        """No poll ever found these, and a long-poll did not either: poll them first. True if any is new to us.

        They may not be readable yet. The answer came at once because of that, and says nothing about long-polls.
        """
        before = len(self._unfound)
        self._unfound.update(entries)
        return len(self._unfound) > before

    def cancel(self, entry: TrackedGeneration) -> None:
        """Cancel the long-poll that waits for this one, if there is one."""
        if not entry.long_polled:
            return
        for long_poll in self._under_way:
            if not long_poll.trial and any(each is entry for each in long_poll.entries):
                long_poll.scope.cancel()

    def cancel_all(self) -> None:
        for long_poll in self._under_way:
            long_poll.scope.cancel()

    def yield_slot(self, now: float) -> None:
        """If long-polls have all slots, and something else is to be polled, the least likely to end gives its slot.

        What can be long-polled in a moment is no reason. It becomes one if that does not happen: its target is another,
        it is polled singly, or it is missed.
        """
        if self._provider.crowded_out(now) and self._generations.queues.waiting and not self.come_first(now):
            self.free_slot(now)

    def free_slot(self, now: float) -> bool:
        """Something must be polled now: if no slot is free, cancel the long-poll for the least likely. True if so."""
        full = len(self._under_way) + self._provider.budget.hanging >= self._provider.budget.in_flight
        if not (self._under_way and full) or any(each.scope.cancel_called for each in self._under_way):
            return False
        min(self._under_way, key=lambda each: sum(likelihood(entry, now) for entry in each.entries)).scope.cancel()
        return True

    # ---- what begins ----
    def come_first(self, now: float) -> bool:
        """Whether long-polls go before polls: every ID can be long-polled, and none waits in vain for it."""
        room = self._provider.budget.room_for_irregular(now) > 0
        return self._room_for_all(now) and not self._generations.late(now, irregular=room)

    def start_worthwhile(self, now: float, wall: float) -> Sequence[LongPoll]:
        """What is worth it and allowed now; it counts as under way, and is to be sent. `wall`: Unix seconds."""
        provider, several = self._provider, self._takes_several(now)
        if not provider.well() or not (several or provider.long_poll.support.single(now)):
            return ()
        per_long_poll = self._per_long_poll(now)
        slots = slots_for_long_polls(
            in_flight=provider.budget.in_flight,
            open_=len(self._generations),
            per_long_poll=per_long_poll,
            polls=provider.budget.places_for_polls,
        )
        free = slots - len(self._under_way)
        room = min(free, provider.room(now) - self._reserved_for_polls(now))
        if room <= 0 and (free > 0 or now < self._review_at):
            return ()
        candidates = self._candidates(now, wall, max(_SOME, (max(free, 0) + 1) * per_long_poll))
        started: list[LongPoll] = []
        if several and room > 0:
            started = self._several(candidates, room, per_long_poll, now)
        elif room > 0:
            started = self._trial(candidates[room - 1 :], now)
            started += self._singles(candidates[: room - len(started)], now)
        elif candidates:
            self._review_at = now + _REVIEW_EVERY
            self._hand_over(candidates, per_long_poll, now)
        fresh = now - self._generations.pace.every
        self._over = {entry: at for entry, at in self._over.items() if at > fresh}
        self._unfound = {entry for entry in self._unfound if self._generations.tracks(entry) and entry.state is None}
        for each in started:
            if not each.trial:
                for entry in each.entries:
                    self._generations.start_long_poll(entry)
        self._under_way += started
        return started

    def _takes_several(self, now: float) -> bool:
        """Whether one long-poll may have several IDs, and ends with the first of them."""
        return self._provider.batch_route.usable(now) and self._provider.long_poll.support.any(now)

    def _per_long_poll(self, now: float) -> int:
        """IDs in one long-poll at most."""
        return self._provider.batch_route.limit if self._takes_several(now) else 1

    def _per_request(self, now: float) -> int:
        """IDs in one poll at most."""
        return self._provider.batch_route.limit if self._provider.batch_route.usable(now) else 1

    def _room_for_all(self, now: float) -> bool:
        """Whether there are slots enough to long-poll every open generation."""
        return len(self._generations) <= self._provider.budget.in_flight * self._per_long_poll(now)

    def _reserved_for_polls(self, now: float) -> int:
        """Requests that long-polls leave for the next poll of every generation, while the budget is ample."""
        if self._room_for_all(now) or self._generations.pace.scarce:
            return 0
        return min(len(self._generations) // self._per_request(now), max(0, int(self._provider.budget.rate) - 1))

    def _candidates(self, now: float, wall: float, count: int) -> list[TrackedGeneration]:
        """Those that can be long-polled, likeliest first. Not if the deadline is meanwhile: a poll must come then."""
        fresh = now - self._generations.pace.every
        soon = wall + (self._provider.long_poll.support.patience or 0.0)
        found = {
            id(entry): entry
            for entry in self._generations.queues.soonest(count)
            if self._over.get(entry, fresh) <= fresh
            and not (entry.misses.count or entry.failing)
            and not (entry.state is None and entry in self._unfound)
            and entry.deadline >= soon
            and entry.destinations not in self._generations.undeliverable
        }
        return likeliest(found.values(), count, now)

    def _singles(self, candidates: Sequence[TrackedGeneration], now: float) -> list[LongPoll]:
        pace, patience = self._generations.pace, self._provider.long_poll.support.patience or 1.0
        started = []
        for entry in candidates:
            if pace.scarce and not worthwhile(
                likelihood(entry, now), spacing=pace.spacing, per_request=self._per_request(now), patience=patience
            ):
                break  # the others are less likely still
            started.append(LongPoll([entry], entry.target, now))
        return started

    def _several(self, candidates: Sequence[TrackedGeneration], room: int, most: int, now: float) -> list[LongPoll]:
        started: list[LongPoll] = []
        left = [entry for entry in candidates if not entry.poll_singly]
        while left and len(started) < room:
            target = left[0].target
            some = [entry for entry in left if entry.target is target][:most]
            some = some[: self._fit([entry.id for entry in some])]
            started.append(LongPoll(some, target, now))
            taken = set(some)
            left = [entry for entry in left if entry not in taken]
        return started

    def _trial(self, candidates: Sequence[TrackedGeneration], now: float) -> list[LongPoll]:
        """One to see what a long-poll of several IDs does, if more are open than can be long-polled one by one."""
        provider = self._provider
        if self._room_for_all(now) or not (provider.batch_route.usable(now) and provider.long_poll.support.trial(now)):
            return []
        few = [entry for entry in candidates if not entry.poll_singly and entry.target is candidates[0].target][:_TRIAL]
        few = few[: self._fit([entry.id for entry in few])] if few else few
        if len(few) < _SEVERAL:
            return []
        provider.long_poll.support = provider.long_poll.support.tried(now)
        return [LongPoll(few, few[0].target, now, trial=True)]

    def _hand_over(self, candidates: Sequence[TrackedGeneration], per_long_poll: int, now: float) -> None:
        """Cancel a long-poll in whose place a better one can begin, if there is one."""
        mine = [each for each in self._under_way if not each.trial]
        if per_long_poll == 1:
            pair = to_hand_over([(each.entries[0], each.since) for each in mine], candidates, now)
            if pair is not None:
                self.cancel(pair[0])
            return
        more = Counter(entry.target for entry in candidates if not entry.poll_singly)
        roomy = [
            each
            for each in mine
            if len(each.entries) + more[each.target] <= per_long_poll and more[each.target] and now - each.since > 1
        ]
        if roomy:
            min(roomy, key=lambda each: len(each.entries)).scope.cancel()
