"""The requests of one provider that wait: which are under way, which begin now, which is let go for a better one.

The decisions are `seats`' and `holding`'s; here they are kept together with what is under way. How a request is sent
and what its answer means is the provider loop's.
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

#: IDs of a trial at most.
_TRIAL: Final = 20
#: Candidates looked at, at the least.
_SOME: Final = 64
#: Seconds between two looks for a better candidate.
_REVIEW_EVERY: Final = 1.0


@dataclass(slots=True, eq=False)
class LongPoll:
    """One request that waits."""

    entries: Sequence[TrackedGeneration]
    target: State
    #: Monotonic seconds.
    since: float
    #: True where its IDs are looked at beside it, because nobody knows yet what it does.
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
        #: Not kept to the end, for they were let go or answered at once -> when that was. These wait a little.
        self._over: dict[TrackedGeneration, float] = {}
        #: LongPollOutcome before anybody had seen them, and not found.
        self._unfound: set[TrackedGeneration] = set()
        self._review_at = 0.0

    def ended(self, hold: LongPoll, now: float, *, kept: bool) -> None:
        """It was answered, let go, or failed; `kept`: the provider did hold it."""
        self._under_way.remove(hold)
        for entry in hold.entries:
            if not hold.trial:
                entry.long_polled = False
                if not kept:
                    self._over[entry] = now

    def unfound(self, entries: Iterable[TrackedGeneration]) -> bool:
        """These were never seen, and a hold did not find them either: look without a wish first. True where any is.

        They may not be readable yet; the answer came at once for that, and says nothing of holds.
        """
        before = len(self._unfound)
        self._unfound.update(entries)
        return len(self._unfound) > before

    def come_first(self, now: float) -> bool:
        """Whether holds go before sweeps: all can be held, and nobody waits in vain for it."""
        late = self._generations.late(now) or (
            self._generations.late_irregular(now) and self._provider.budget.room_for_irregular(now) > 0
        )
        return self._all(now) and not late

    def yield_slot(self, now: float) -> None:
        """Where all places wait, and something else is to be looked at, the hold least likely to end gives its place.

        What can be held in a moment is no reason; it becomes one when that does not come: its target is another, it
        stands alone, or it is missing.
        """
        if not self._provider.crowded_out(now) or not self._generations.queues.waiting or self.come_first(now):
            return
        self.free_slot(now)

    def cancel(self, entry: TrackedGeneration) -> None:
        """Let go of the request that waits for this one, if there is one."""
        if not entry.long_polled:
            return
        for hold in self._under_way:
            if not hold.trial and any(each is entry for each in hold.entries):
                hold.scope.cancel()

    def cancel_all(self) -> None:
        """Of all of them."""
        for hold in self._under_way:
            hold.scope.cancel()

    def start_worthwhile(self, now: float, wall: float) -> Sequence[LongPoll]:
        """What is worth it and allowed now; it counts as under way, and is to be sent. `wall`: Unix seconds."""
        provider, many = self._provider, self._many(now)
        if not provider.well() or not (many or provider.long_poll.support.single(now)):
            return ()
        per_hold = provider.batch_route.limit if many else 1
        seats = slots_for_long_polls(
            in_flight=provider.budget.in_flight,
            open_=len(self._generations),
            per_hold=per_hold,
            sweeps=provider.budget.places_for_polls,
        )
        free = seats - len(self._under_way)
        room = min(free, provider.room(now) - self._kept_for_sweeps(now))
        if room <= 0 and (free > 0 or now < self._review_at):
            return ()
        candidates = self._candidates(now, wall, max(_SOME, (max(free, 0) + 1) * per_hold))
        begun: list[LongPoll] = []
        if many and room > 0:
            begun = self._several(candidates, room, per_hold, now)
        elif room > 0:
            begun = self._trial(candidates[room - 1 :], now)
            begun += self._singles(candidates[: room - len(begun)], now)
        elif candidates:
            self._review_at = now + _REVIEW_EVERY
            self._review(candidates, per_hold, now)
        fresh = now - self._generations.pace.every
        self._over = {entry: at for entry, at in self._over.items() if at > fresh}
        self._unfound = {entry for entry in self._unfound if self._generations.tracks(entry) and entry.state is None}
        for each in begun:
            if not each.trial:
                for entry in each.entries:
                    self._generations.start_long_poll(entry)
        self._under_way += begun
        return begun

    def free_slot(self, now: float) -> bool:
        """Something must be asked now: if no place is free, the hold for the least likely is let go."""
        full = len(self._under_way) + self._provider.budget.hanging >= self._provider.budget.in_flight
        if not (self._under_way and full) or any(hold.scope.cancel_called for hold in self._under_way):
            return False
        min(self._under_way, key=lambda hold: sum(likelihood(entry, now) for entry in hold.entries)).scope.cancel()
        return True

    # ---- what there is ----
    def _all(self, now: float) -> bool:
        """Whether there are places enough to hold everything."""
        per_hold = self._provider.batch_route.limit if self._many(now) else 1
        return len(self._generations) <= self._provider.budget.in_flight * per_hold

    def _kept_for_sweeps(self, now: float) -> int:
        """Requests that holds leave for the next sweep of everybody, while the budget is ample."""
        if self._all(now) or self._generations.pace.scarce:
            return 0
        per_request = self._provider.batch_route.limit if self._provider.batch_route.usable(now) else 1
        rate = self._provider.capacity(now) / per_request
        return min(len(self._generations) // per_request, max(0, int(rate) - 1))

    def _many(self, now: float) -> bool:
        """Whether one request holds many IDs."""
        return self._provider.batch_route.usable(now) and self._provider.long_poll.support.any(now)

    def _candidates(self, now: float, wall: float, count: int) -> list[TrackedGeneration]:
        """What can be held, likeliest first. Not what has its deadline meanwhile: a look comes then."""
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

    # ---- beginning ----
    def _singles(self, candidates: Sequence[TrackedGeneration], now: float) -> list[LongPoll]:
        pace, patience = self._generations.pace, self._provider.long_poll.support.patience or 1.0
        per_request = self._provider.batch_route.limit if self._provider.batch_route.usable(now) else 1
        begun = []
        for entry in candidates:
            if pace.scarce and not worthwhile(
                likelihood(entry, now), stride=pace.spacing, per_request=per_request, patience=patience
            ):
                break  # the others are less likely still
            begun.append(LongPoll([entry], entry.target, now))
        return begun

    def _several(self, candidates: Sequence[TrackedGeneration], room: int, per_hold: int, now: float) -> list[LongPoll]:
        begun: list[LongPoll] = []
        left = [entry for entry in candidates if not entry.poll_singly]
        while left and len(begun) < room:
            target = left[0].target
            some = [entry for entry in left if entry.target is target][:per_hold]
            some = some[: self._fit([entry.id for entry in some])]
            begun.append(LongPoll(some, target, now))
            taken = set(some)
            left = [entry for entry in left if entry not in taken]
        return begun

    def _trial(self, candidates: Sequence[TrackedGeneration], now: float) -> list[LongPoll]:
        """One to see what a long-poll of several IDs does, if more are open than can be long-polled one by one."""
        provider = self._provider
        if self._all(now) or not (provider.batch_route.usable(now) and provider.long_poll.support.trial(now)):
            return []
        few = [entry for entry in candidates if not entry.poll_singly and entry.target is candidates[0].target][:_TRIAL]
        few = few[: self._fit([entry.id for entry in few])] if few else few
        if len(few) < 2:  # noqa: PLR2004  one ID shows nothing
            return []
        provider.long_poll.support = provider.long_poll.support.tried(now)
        return [LongPoll(few, few[0].target, now, trial=True)]

    # ---- handing over ----
    def _review(self, candidates: Sequence[TrackedGeneration], per_hold: int, now: float) -> None:
        mine = [hold for hold in self._under_way if not hold.trial]
        if per_hold > 1:
            more = Counter(entry.target for entry in candidates if not entry.poll_singly)
            roomy = [
                hold
                for hold in mine
                if len(hold.entries) + more[hold.target] <= per_hold and more[hold.target] and now - hold.since > 1
            ]
            if roomy:
                min(roomy, key=lambda hold: len(hold.entries)).scope.cancel()
            return
        pair = to_hand_over([(hold.entries[0], hold.since) for hold in mine], candidates, now)
        if pair is not None:
            next(hold for hold in mine if hold.entries[0] is pair[0]).scope.cancel()
