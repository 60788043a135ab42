"""The queues in which the open generations of one provider wait for their next poll. Pure: monotonic seconds.

Four queues, so that IDs that are new, missed or polled singly do not stand in the way of the others:
- `regular`: all others.
- `new`: their first poll is due at once. They get half of each take, and more if nothing else is due. If they are many,
  half of that is for those registered last: thousands that come together make neither the others late nor a few that
  come after them. The other half is for the oldest: none is forgotten while more come in than can be polled.
- `missed`: the last poll did not find them. Many of them fit in one request.
- `single`: a batch was refused or failed because of them, or they are to be confirmed as unknown: one request each.

Regular and new ones together are called regular, the last two irregular. Irregular ones are taken only as far as there
are requests reserved for them. The others wait here, longest overdue first: in one queue with the regular ones,
thousands of them would fill every take and be put back again.

If an entry changes its kind while it waits, it stays where it is, and goes to its own queue the next time.
"""

from typing import Final

from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.poll_queue import PollQueue

#: When a new ID falls due that is worth a poll at once: before all that is overdue, however much that is.
FIRST: Final = 0.0
#: New ones are many if they are more than so many takes.
_FEW: Final = 4
#: Of those polled singly, candidates for long-polls at most.
_SOME: Final = 64


class Queues:
    """`width` is that of the queues' buckets, seconds."""

    def __init__(self, width: float) -> None:
        self._regular: PollQueue[TrackedGeneration] = PollQueue(width)
        self._new: PollQueue[TrackedGeneration] = PollQueue(width)
        self._missed: PollQueue[TrackedGeneration] = PollQueue(width)
        self._single: PollQueue[TrackedGeneration] = PollQueue(width)
        #: Whose turn it is if there is one place for two: new ones, and of these the newest.
        self._new_next, self._newest_next = True, True

    def add(self, entry: TrackedGeneration, at: float, now: float) -> None:
        """Poll it next at `at`; an entry that waits already is moved."""
        if entry.poll_singly:
            queue = self._single
        elif entry.excluded:
            queue = self._missed
        else:
            queue = self._new if at == FIRST else self._regular
        queue.add(entry, at, now)

    def drop(self, entry: TrackedGeneration) -> None:
        self._regular.drop(entry)  # whichever queue it is in

    def due(self, entry: TrackedGeneration) -> float | None:
        """When it is polled next; None if it does not wait."""
        return self._regular.due(entry)

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return self.earliest() is not None or self.earliest_irregular() is not None

    def soonest(self, limit: int) -> list[TrackedGeneration]:
        """Those that fall due next, but for missed ones; they stay."""
        return self.soonest_regular(limit) + self._single.soonest(min(limit, _SOME))

    # ---- regular ones ----
    def take(self, now: float, limit: int) -> list[TrackedGeneration]:
        """Those that are due, new ones first, and of the others the longest overdue. They must be put back."""
        others = self.earliest_known()
        half = limit
        if self._new.live and others is not None and others <= now:
            half, self._new_next = _share(limit, first=self._new_next)
        taken = self._take_new(now, half)
        taken += self._regular.take(now, limit - len(taken))
        return taken + self._take_new(now, limit - len(taken))

    def earliest(self) -> float | None:
        """When the next one falls due; None if there is none."""
        return FIRST if self._new.live else self._regular.earliest()

    @property
    def untried(self) -> bool:
        """Whether there are IDs that the provider may know: they were not polled in vain."""
        return self.earliest() is not None

    def is_due(self, now: float) -> bool:
        earliest = self.earliest()
        return earliest is not None and earliest <= now

    def earliest_known(self) -> float | None:
        """The same of those that are not new."""
        return self._regular.earliest()

    def first_new(self) -> TrackedGeneration | None:
        """The new one that was registered first."""
        return next(iter(self._new.soonest(1)), None)

    def soonest_regular(self, limit: int) -> list[TrackedGeneration]:
        """Those that fall due next; they stay."""
        found = self._new.soonest(limit)
        return found + self._regular.soonest(limit - len(found)) if len(found) < limit else found

    def _take_new(self, now: float, limit: int) -> list[TrackedGeneration]:
        if self._new.live <= _FEW * limit:
            return self._new.take(now, limit)
        half, self._newest_next = _share(limit, first=self._newest_next)
        return self._new.take(now, half, newest=True) + self._new.take(now, limit - half)

    # ---- irregular ones ----
    def earliest_irregular(self) -> float | None:
        """When the next one falls due; None if there is none."""
        heads = (self._missed.earliest(), self._single.earliest())
        return min((at for at in heads if at is not None), default=None)

    def take_irregular(self, now: float, requests: int, batch: int) -> list[list[TrackedGeneration]]:
        """Those that are due, longest overdue first, in at most so many requests: each has one ID, or many missed."""
        taken: list[list[TrackedGeneration]] = []
        while len(taken) < requests:
            heads = [
                (at, queue is self._single, queue)
                for queue in (self._missed, self._single)
                if (at := queue.earliest()) is not None and at <= now
            ]
            if not heads:
                break
            _, single, queue = min(heads, key=lambda head: head[:2])
            taken.append(queue.take(now, 1 if single else batch))
        return taken

    def overdue_missed(self, now: float, limit: int) -> list[TrackedGeneration]:
        """Missed ones that are due, for the free slots of a batch poll; they stay."""
        found = dict.fromkeys(self._missed.soonest(limit))
        return [entry for entry in found if (at := self.due(entry)) is not None and at <= now]


def _share(places: int, *, first: bool) -> tuple[int, bool]:
    """Half of these places for the first of two, and whether it is first the next time that there is an odd one."""
    return (places + first) // 2, first != bool(places % 2)
