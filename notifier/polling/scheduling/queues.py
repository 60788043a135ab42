"""Where each open generation of one provider waits for its next look. Pure: monotonic seconds come as arguments.

Four agendas, so that IDs that are new, are missed, or are asked alone, stand in nobody's way:
- `usual`: everybody else.
- `new`: their first look is due at once. Of each take they get half, and more if nobody else is due. If they are many,
  half of that is for those that were registered last: thousands that come together make neither the others late nor a
  few that come after them. The other half is for the oldest: nobody is forgotten while more come in than can be looked
  at.
- `missed`: the last look did not find them. Many of them fit in one request.
- `alone`: a batch was refused or failed because of them, or they are to be confirmed as unknown: a request for each.

The last two are taken only as far as there are requests set apart for them. What they are short of they wait for here,
longest overdue first; in one agenda with the others, thousands of them would fill every take and be put back again.

An entry may change its nature while it waits: it stays where it is, and goes to its own place the next time.
"""

from typing import Final

from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.poll_queue import PollQueue

#: When a new ID falls due that is worth a look at once: before all that is overdue, however much that is.
FIRST: Final = 0.0
#: New ones are many if there are more than so many takes.
_FEW: Final = 4
#: Of those asked alone, seen by who looks for candidates of holds.
_SOME: Final = 64


class Queues:
    """`width` is that of the agendas' buckets, seconds."""

    def __init__(self, width: float) -> None:
        self._usual: PollQueue[TrackedGeneration] = PollQueue(width)
        self._new: PollQueue[TrackedGeneration] = PollQueue(width)
        self._missed: PollQueue[TrackedGeneration] = PollQueue(width)
        self._alone: PollQueue[TrackedGeneration] = PollQueue(width)
        #: Whose turn it is if there is one place for two: new ones, and of these the newest.
        self._new_next, self._newest_next = True, True

    def add(self, entry: TrackedGeneration, at: float, now: float) -> None:
        """Look at it next at `at`; one that waits already is moved."""
        self._agenda(entry, at).add(entry, at, now)

    def _agenda(self, entry: TrackedGeneration, at: float) -> PollQueue[TrackedGeneration]:
        if entry.poll_singly:
            return self._alone
        if entry.excluded:
            return self._missed
        return self._new if at == FIRST else self._usual

    def drop(self, entry: TrackedGeneration) -> None:
        self._usual.drop(entry)  # wherever it is

    def due(self, entry: TrackedGeneration) -> float | None:
        return self._usual.due(entry)

    # ---- those that are neither missed nor asked alone ----
    def take(self, now: float, limit: int) -> list[TrackedGeneration]:
        """Those that are due, new ones first, and of the others the longest overdue."""
        others = self.earliest_known()
        half = limit
        if self._new.live and others is not None and others <= now:
            half, self._new_next = _share(limit, first=self._new_next)
        taken = self._take_new(now, half)
        taken += self._usual.take(now, limit - len(taken))
        return taken + self._take_new(now, limit - len(taken))

    def earliest(self) -> float | None:
        return FIRST if self._new.live else self._usual.earliest()

    def is_due(self, now: float) -> bool:
        """Whether something that is neither missed nor polled singly is due."""
        earliest = self.earliest()
        return earliest is not None and earliest <= now

    @property
    def waiting(self) -> bool:
        """Whether anything is queued."""
        return self.earliest() is not None or self.earliest_irregular() is not None

    def earliest_known(self) -> float | None:
        """Of those that are not new."""
        return self._usual.earliest()

    def first_new(self) -> TrackedGeneration | None:
        """The new one that was registered first."""
        return next(iter(self._new.soonest(1)), None)

    def soonest_usual(self, limit: int) -> list[TrackedGeneration]:
        """What falls due next; it stays."""
        found = self._new.soonest(limit)
        return found + self._usual.soonest(limit - len(found)) if len(found) < limit else found

    def soonest(self, limit: int) -> list[TrackedGeneration]:
        """Of those that are not missed, what falls due next; it stays."""
        return self.soonest_usual(limit) + self._alone.soonest(min(limit, _SOME))

    def _take_new(self, now: float, limit: int) -> list[TrackedGeneration]:
        if self._new.live <= _FEW * limit:
            return self._new.take(now, limit)
        half, self._newest_next = _share(limit, first=self._newest_next)
        return self._new.take_newest(now, half) + self._new.take(now, limit - half)

    # ---- the others ----
    def earliest_irregular(self) -> float | None:
        """When the next one falls due that is missed or asked alone; None where there is none."""
        heads = (self._missed.earliest(), self._alone.earliest())
        return min((at for at in heads if at is not None), default=None)

    def take_irregular(self, now: float, requests: int, batch: int) -> list[list[TrackedGeneration]]:
        """Those that are due, longest overdue first, for so many requests at most: each for one, or for many missed."""
        taken: list[list[TrackedGeneration]] = []
        while len(taken) < requests and (agenda := self._longest_overdue(now)) is not None:
            taken.append(agenda.take(now, batch if agenda is self._missed else 1))
        return taken

    def overdue_missed(self, now: float, limit: int) -> list[TrackedGeneration]:
        """Missed ones that are due, for free seats; they stay."""
        found = dict.fromkeys(self._missed.soonest(limit))
        return [entry for entry in found if (at := self.due(entry)) is not None and at <= now]

    def _longest_overdue(self, now: float) -> PollQueue[TrackedGeneration] | None:
        heads = [
            (at, agenda)
            for agenda in (self._missed, self._alone)
            if (at := agenda.earliest()) is not None and at <= now
        ]
        return min(heads, key=lambda head: head[0])[1] if heads else None


def _share(places: int, *, first: bool) -> tuple[int, bool]:
    """Half of these places for the first of two, and whether it is first the next time that there is an odd one."""
    return (places + first) // 2, first != bool(places % 2)
