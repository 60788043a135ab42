"""When each entry is polled next, in buckets of equal width, in memory. Pure: monotonic seconds come as arguments.

Owns order and rounding only. Which entries share a request is decided by `batch_plan`, how often each is polled by
`pace`. Buckets rather than a heap: adding and taking cost the same for ten entries and for a million, and IDs polled
together stay together. An entry knows its bucket itself: a table of that would be a third of an open generation's
memory.

Rounding: a time at or before `now` is due at once, before everything later. A later time goes to the nearest bucket
edge after the bucket of `now`. So it is never due immediately, and a poll repeated every P seconds, with P a whole
number of widths, keeps the period P if it is added less than half a width after its edge. So add with the time at which
the entries were taken, not with the time at which their reply arrived. Other periods become a whole number of widths.
"""

from collections import deque
from heapq import heappop, heappush
from itertools import islice
from math import floor
from typing import Any, Final, Generic, Protocol, TypeVar


class Placed(Protocol):
    """An entry of a queue; it is in one queue at most. Entries are told apart by identity."""

    #: Written by the queue only; None if it is in no queue.
    bucket: "Bucket | None"


K = TypeVar("K", bound=Placed)
#: Stale places, left behind by moves and drops, that are kept beyond as many as there are entries.
_SLACK: Final = 1_024


class Bucket:
    """Entries with the same edge, oldest first. A place is stale unless its entry says that it is in this bucket."""

    __slots__ = ("live", "number", "places", "queue")

    def __init__(self, queue: "PollQueue[Any]", number: int) -> None:
        self.queue = queue
        self.number = number
        self.places: deque[Placed] = deque()
        self.live = 0


class PollQueue(Generic[K]):
    """Each entry at most once. `width` is the buckets' width in seconds, the same in queues that share entries."""

    def __init__(self, width: float = 1.0) -> None:
        self._width = width
        self._buckets: dict[int, Bucket] = {}
        #: Numbers of all buckets, as a heap.
        self._order: list[int] = []
        #: How many entries there are.
        self.live = 0
        #: Places in all buckets, stale ones included.
        self._places = 0

    def add(self, entry: K, at: float, now: float) -> None:
        """Poll `entry` next at `at`; an entry that is in this queue already, or in another, is moved."""
        if at <= now:
            number = floor(at / self._width)
        else:
            number = max(floor(at / self._width + 0.5), floor(now / self._width) + 1)
        if (bucket := self._buckets.get(number)) is None:
            bucket = self._buckets[number] = Bucket(self, number)
            heappush(self._order, number)
        before = entry.bucket
        if before is bucket:
            return
        if before is not None:
            before.live -= 1
            before.queue.live -= 1
        self.live += 1
        entry.bucket = bucket
        bucket.live += 1
        bucket.places.append(entry)
        self._places += 1
        if self._places > 2 * self.live + _SLACK:
            self._compact()

    def drop(self, entry: K) -> None:
        """Take `entry` out of the queue that it is in, if any."""
        if (bucket := entry.bucket) is not None:
            bucket.live -= 1
            bucket.queue.live -= 1
            entry.bucket = None

    def take(self, now: float, limit: int, *, newest: bool = False) -> list[K]:
        """Up to `limit` due entries, longest overdue first. They leave the queue: add them again after the poll.

        Of entries in one bucket the first added comes first, or the last added (`newest`).
        """
        taken: list[K] = []
        edge = floor(now / self._width)
        while len(taken) < limit and (bucket := self._first()) is not None and bucket.number <= edge:
            places = bucket.places
            while bucket.live and len(taken) < limit:
                entry = places.pop() if newest else places.popleft()
                self._places -= 1
                if entry.bucket is bucket:
                    entry.bucket = None
                    bucket.live -= 1
                    self.live -= 1
                    taken.append(entry)  # type: ignore[arg-type]  # only add() puts entries there, and they are K
        return taken

    def soonest(self, limit: int) -> list[K]:
        """Up to `limit` entries that fall due next; they stay. One that was moved and moved back may be there twice."""
        found: list[K] = []
        self._order.sort()  # a sorted list is a heap too
        for number in self._order:
            bucket = self._buckets[number]
            live = (entry for entry in bucket.places if entry.bucket is bucket)
            found += islice(live, limit - len(found))  # type: ignore[arg-type]  # as in take
            if len(found) >= limit:
                break
        return found

    def due(self, entry: K) -> float | None:
        """When it falls due; None if it is in no queue."""
        return None if entry.bucket is None else entry.bucket.number * self._width

    def earliest(self) -> float | None:
        """When the next entry falls due; None if there is none."""
        bucket = self._first()
        return None if bucket is None else bucket.number * self._width

    def _first(self) -> Bucket | None:
        """The earliest bucket with a live entry; empty ones before it are removed."""
        while self._order:
            bucket = self._buckets[self._order[0]]
            if bucket.live:
                return bucket
            del self._buckets[heappop(self._order)]
            self._places -= len(bucket.places)
        return None

    def _compact(self) -> None:
        """Remove all stale places: entries that are moved often before they fall due would fill the memory."""
        for bucket in self._buckets.values():
            here = {id(entry): entry for entry in bucket.places if entry.bucket is bucket}
            bucket.places = deque(here.values())
        self._places = self.live
