"""When each entry is looked at next, in buckets of equal width, in memory. Pure: monotonic seconds come as arguments.

Owns order and rounding only; what a look is and how often it should be is for `plan` and `cadence`. Buckets rather than
a heap: adding and taking cost the same at ten entries and at a million, and IDs looked at together stay together. An
entry says itself in which bucket it is: a table of that would be a third of the memory that an open generation takes.
Rounding: a time at or before `now` is due at once, before everything later. A later time goes to the nearest bucket
edge after the bucket of `now`: it never becomes due immediately, and a look repeated every P seconds, with P a whole
number of widths, keeps the period P as long as it is added less than half a width after its edge. So add with the time
the keys were taken at, not with the time their reply arrived. Other periods keep to a whole number of widths near them.
"""

from collections import deque
from heapq import heappop, heappush
from itertools import islice
from math import floor
from typing import Any, Final, Generic, Protocol, TypeVar


class Placed(Protocol):
    """What an agenda can hold; it stands in one agenda at most. Entries are told apart by identity."""

    #: The agenda's own; None where it is not on it.
    bucket: "Bucket | None"


K = TypeVar("K", bound=Placed)
#: Places left behind by moves and drops that are kept, beyond as many as there are entries, before they are swept out.
_SLACK: Final = 1_024


class Bucket:
    """Entries with the same edge, oldest first. A place is stale unless its entry says that it is in this bucket."""

    __slots__ = ("agenda", "live", "number", "places")

    def __init__(self, agenda: "PollQueue[Any]", number: int) -> None:
        self.agenda = agenda
        self.number = number
        self.places: deque[Placed] = deque()
        self.live = 0


class PollQueue(Generic[K]):
    """Each entry at most once. `width` is the buckets' width in seconds, and that of agendas that share entries."""

    def __init__(self, width: float = 1.0) -> None:
        self._width = width
        self._buckets: dict[int, Bucket] = {}
        #: Numbers of all buckets, as a heap.
        self._order: list[int] = []
        #: How many entries there are.
        self.live = 0
        #: Places in all buckets, stale ones included.
        self._places = 0

    def __len__(self) -> int:
        return self.live

    def add(self, entry: K, at: float, now: float) -> None:
        """Look at `entry` next at `at`; one that is there already, or on another agenda, is moved."""
        number = self._number(at, now)
        bucket = self._buckets.get(number) or self._bucket(number)
        before = entry.bucket
        if before is bucket:
            return
        if before is not None:
            before.live -= 1
            before.agenda.live -= 1
        self.live += 1
        entry.bucket = bucket
        bucket.live += 1
        bucket.places.append(entry)
        self._places += 1
        if self._places > 2 * self.live + _SLACK:
            self._sweep_out()

    def drop(self, entry: K) -> None:
        """Forget `entry`, whichever agenda it is on; nothing happens where it is on none."""
        if (bucket := entry.bucket) is not None:
            bucket.live -= 1
            bucket.agenda.live -= 1
            entry.bucket = None

    def take(self, now: float, limit: int) -> list[K]:
        """Up to `limit` due entries, longest overdue first. They leave the agenda: add them again after the look."""
        taken: list[K] = []
        edge = floor(now / self._width)
        while len(taken) < limit and (bucket := self._first()) is not None and bucket.number <= edge:
            self._draw(bucket, taken, limit)
        return taken

    def take_newest(self, now: float, limit: int) -> list[K]:
        """The same of the earliest bucket, that which was added last first."""
        taken: list[K] = []
        if (bucket := self._first()) is not None and bucket.number <= floor(now / self._width):
            self._draw(bucket, taken, limit, newest=True)
        return taken

    def soonest(self, limit: int) -> list[K]:
        """Up to `limit` entries that fall due next; they stay. One that was moved and moved back may stand twice."""
        found: list[K] = []
        self._order.sort()  # a sorted list is a heap too
        for number in self._order:
            bucket = self._buckets[number]
            live = (entry for entry in bucket.places if entry.bucket is bucket)
            found += islice(live, limit - len(found))  # type: ignore[arg-type]  # as in _draw
            if len(found) >= limit:
                break
        return found

    def due(self, entry: K) -> float | None:
        """When it falls due; None where it is not there."""
        return None if entry.bucket is None else entry.bucket.number * self._width

    def earliest(self) -> float | None:
        """When the next entry falls due; None where there is none."""
        bucket = self._first()
        return None if bucket is None else bucket.number * self._width

    def _number(self, at: float, now: float) -> int:
        if at <= now:
            return floor(at / self._width)
        return max(floor(at / self._width + 0.5), floor(now / self._width) + 1)

    def _bucket(self, number: int) -> Bucket:
        bucket = self._buckets[number] = Bucket(self, number)
        heappush(self._order, number)
        return bucket

    def _first(self) -> Bucket | None:
        """The earliest bucket with a live entry; emptied ones before it are let go."""
        while self._order:
            bucket = self._buckets[self._order[0]]
            if bucket.live:
                return bucket
            del self._buckets[heappop(self._order)]
            self._places -= len(bucket.places)
        return None

    def _draw(self, bucket: Bucket, taken: list[K], limit: int, *, newest: bool = False) -> None:
        places = bucket.places
        while bucket.live and len(taken) < limit:
            entry = places.pop() if newest else places.popleft()
            self._places -= 1
            if entry.bucket is bucket:
                entry.bucket = None
                bucket.live -= 1
                self.live -= 1
                taken.append(entry)  # type: ignore[arg-type]  # only add() puts entries there, and they are K

    def _sweep_out(self) -> None:
        """Drop every stale place: entries that are moved again and again before they fall due would fill the memory."""
        for bucket in self._buckets.values():
            here = {id(entry): entry for entry in bucket.places if entry.bucket is bucket}
            bucket.places = deque(here.values())
        self._places = self.live
