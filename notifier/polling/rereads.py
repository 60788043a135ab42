"""IDs that somebody wants to see once more, at one provider: which wait, which are asked for, what is answered to whom.

They are in no queue, teach no curve and make no transition. `turn` sends the requests. Rules:
- A re-read is piggybacked on a batch poll that has a free place, if one is expected within `PATIENCE` seconds.
  Otherwise it has a request of its own, out of the share of the budget that is set apart for exceptions.
- Each is asked for once. If a batch poll is refused on which it was piggybacked, it is polled singly, and for
  `MISTRUST` seconds none is piggybacked: ordinary polls must not be refused again and again because of these.
- Who asked is answered, whatever happens; two who want the same are answered together.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import anyio

from notifier.domain.ids import GenerationId
from notifier.domain.model import Observation, RereadResult

PATIENCE: Final = 1.0
MISTRUST: Final = 60.0


class _Waiter:
    """One ID that is wanted, by one or several."""

    def __init__(self) -> None:
        self.askers = 0
        self.reread: RereadResult | None = None
        self.settled = anyio.Event()


class Rereads:
    """Of one provider. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._waiters: dict[GenerationId, _Waiter] = {}
        #: Those that were not asked for yet -> since when.
        self._waiting: dict[GenerationId, float] = {}
        #: The same, and they must be asked for by themselves.
        self._alone: dict[GenerationId, float] = {}
        self._piggyback_from = float("-inf")

    # ---- for those who want to see ----
    async def show(self, id_: GenerationId, now: float) -> RereadResult | None:
        """What the provider shows of `id_`; None if it does not answer about it. May be cancelled at any time."""
        waiter = self._waiters.get(id_)
        if waiter is None:
            waiter = self._waiters[id_] = _Waiter()
            self._waiting[id_] = now
        waiter.askers += 1
        try:
            await waiter.settled.wait()
        finally:
            waiter.askers -= 1
            if not waiter.askers and not waiter.settled.is_set():
                self._settle(id_, None)
        return waiter.reread

    # ---- what to ask for ----
    def due(self, now: float, *, poll_at: float | None) -> bool:
        """Whether some are to be asked for by themselves now; `poll_at` is when the next poll is due, if any."""
        if self._alone:
            return True
        if not self._waiting:
            return False
        rides = poll_at is not None and poll_at <= now + PATIENCE and now >= self._piggyback_from
        return not rides or now >= next(iter(self._waiting.values())) + PATIENCE

    def hurry(self) -> None:
        """A connection was freed for them: none waits for a batch poll any more."""
        self._waiting = dict.fromkeys(self._waiting, float("-inf"))

    def next(self, most: int, fit: Callable[[Sequence[GenerationId]], int]) -> tuple[GenerationId, ...]:
        """What to ask for in the next request of their own: several, or one that must be polled singly."""
        if self._alone:
            id_ = next(iter(self._alone))
            del self._alone[id_]
            return (id_,)
        ids = list(self._waiting)[:most]
        return self._take(ids[: fit(ids)])

    def piggyback(
        self, ids: Sequence[GenerationId], free: int, now: float, *, fit: Callable[[Sequence[GenerationId]], int]
    ) -> tuple[GenerationId, ...]:
        """What is piggybacked on a batch poll of `ids` with so many free places; what is in it anyway needs none."""
        if not self._waiting:
            return ()
        self._take([id_ for id_ in ids if id_ in self._waiting])
        piggybacked = list(self._waiting)[: max(0, free)]
        if not piggybacked or now < self._piggyback_from:
            return ()
        return self._take(piggybacked[: max(0, fit([*ids, *piggybacked]) - len(ids))])

    def _take(self, ids: Sequence[GenerationId]) -> tuple[GenerationId, ...]:
        for id_ in ids:
            del self._waiting[id_]
        return tuple(ids)

    # ---- what came of it ----
    def answered(self, observations: Iterable[Observation], seen_at: datetime) -> None:
        """A reply held these, wanted or not."""
        if not self._waiters:
            return
        for seen in observations:
            self._settle(seen.id, None if seen.absent else RereadResult(observation=seen, seen_at=seen_at))

    def refused(self, ids: Iterable[GenerationId], now: float) -> None:
        """A request was refused on which these were piggybacked."""
        self._piggyback_from = now + MISTRUST
        self._alone |= {id_: now for id_ in ids if id_ in self._waiters}

    def failed(self, ids: Iterable[GenerationId]) -> None:
        """A request for these was not answered: nor are they."""
        for id_ in ids:
            self._settle(id_, None)

    def give_up(self) -> None:
        """The provider cannot be asked."""
        if self._waiters:
            self.failed(list(self._waiters))

    def _settle(self, id_: GenerationId, reread: RereadResult | None) -> None:
        self._waiting.pop(id_, None)
        self._alone.pop(id_, None)
        if (waiter := self._waiters.pop(id_, None)) is not None:
            waiter.reread = reread
            waiter.settled.set()
