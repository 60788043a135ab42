"""The requests of one provider that are under way: which are late, and whether the batch route hangs. No I/O.

A batch poll may hang because of one of its IDs, or because of the route. In the first case its halves are asked for
beside it (`Rejections.late`); for the second, `RouteTrial` says what to ask for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from notifier.domain.ids import GenerationId
from notifier.polling.batching.bisect import Bisection
from notifier.polling.batching.route_trial import RouteTrial
from notifier.polling.long_poll.in_flight import LongPoll
from notifier.polling.provider_state import ProviderState
from notifier.polling.rejections import Rejections
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.providers.base import PollRequest


@dataclass(slots=True, kw_only=True, eq=False)
class Sent:
    """A request under way."""

    request: PollRequest
    #: Monotonic seconds.
    at: float
    asked_at: datetime
    #: The bisection of which it asks for a part, if it does.
    part_of: Bisection | None = None
    long_poll: LongPoll | None = None
    #: Those of its IDs that nobody watches: somebody wants to read them again.
    piggybacked: frozenset[GenerationId] = frozenset()
    #: True once it was not answered for long, and its halves are asked for too.
    late: bool = False
    #: True if it is paid from the share for irregular polls.
    irregular: bool = False
    #: To give it up.
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def ids(self) -> tuple[GenerationId, ...]:
        return self.request.ids

    @property
    def several(self) -> bool:
        return len(self.request.ids) > 1

    @property
    def divisible(self) -> bool:
        return self.long_poll is None and self.several and not (self.late or self.piggybacked)


class UnderWay:
    """Of one provider."""

    def __init__(self, generations: OpenGenerations, provider: ProviderState, rejections: Rejections) -> None:
        self._generations = generations
        self._provider = provider
        self._rejections = rejections
        self._requests: list[Sent] = []
        self._trial = RouteTrial()

    def begin(self, sent: Sent) -> None:
        self._requests.append(sent)

    def end(self, sent: Sent) -> None:
        self._requests.remove(sent)
        self._provider.budget.hanging = 0  # it is counted anew before anything is asked

    def _polls(self) -> Iterator[Sent]:
        return (sent for sent in self._requests if sent.long_poll is None)

    def polled_singly(self) -> set[GenerationId]:
        """IDs that are asked about by themselves now."""
        return {sent.ids[0] for sent in self._polls() if not sent.several}

    def bisect_late(self, now: float) -> None:
        """A batch poll that hangs may do so for one ID: the others do not wait until it is given up."""
        provider, route = self._provider, self._provider.batch_route
        hangs = provider.hangs_after
        provider.budget.hanging = sum(now - sent.at >= hangs for sent in self._polls())
        if not provider.well():
            return
        for sent in self._requests:
            part = sent.part_of is not None
            if not sent.divisible or now - sent.at < (route.part_late_after if part else route.late_after):
                continue
            if bisection := self._rejections.late(sent.ids, sent.part_of, sent_at=sent.at):
                sent.late, sent.part_of = True, bisection
                if part:  # others are answered, so one of its IDs is why: its place is for its halves
                    sent.scope.cancel()

    # ---- whether the batch route hangs ----
    def doubts_route(self, now: float) -> bool:
        """Whether something is to be asked for now, to find out."""
        route = self._provider.batch_route
        if not (self._provider.well() and route.usable(now)):
            return False
        hangs = route.late_after + route.part_late_after  # its halves would be answered by then
        for sent in self._polls():
            if sent.several and now - sent.at >= hangs:
                self._trial.late(sent.ids, now, sent_at=sent.at)
        if self._trial.proved(now, route.late_after):
            self._trial.answered(now)
            self._rejections.route_hangs()
            for sent in self._requests:  # they keep places; their IDs are asked for one by one
                if sent.request.batch:
                    (sent.scope if sent.long_poll is None else sent.long_poll.scope).cancel()
        return self._trial.pending

    def next_of_trial(self, now: float) -> tuple[GenerationId, ...] | None:
        generations = self._generations
        return self._trial.next(now, fit=lambda id_: (entry := generations.get(id_)) is not None and not entry.failing)

    def tried(self, sent: Sent, now: float, *, answered: bool, found: bool) -> None:
        """What a poll that is over tells of the batch route; `found`: the reply held an ID."""
        if not sent.request.batch:
            self._trial.single_answered(sent.ids[0], found=found)
        elif answered or now - sent.at < self._provider.batch_route.late_after:
            self._trial.answered(now)
            self._provider.batch_route.replied()
        elif sent.several:
            self._trial.late(sent.ids, now, sent_at=sent.at)
