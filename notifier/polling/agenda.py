"""When each key is looked at next, in buckets of equal width, in memory. Pure: monotonic seconds come as arguments.

Owns order and rounding only; what a look is and how often it should be is for `plan` and `cadence`. Buckets rather than
a heap: adding and taking cost the same at ten keys and at a million, and IDs looked at together stay together.
Rounding: a time at or before `now` is due at once, before everything later. A later time goes to the nearest bucket
edge after the bucket of `now`: it never becomes due immediately, and a look repeated every P seconds, with P a whole
number of widths, keeps the period P as long as it is added less than half a width after its edge. So add with the time
the keys were taken at, not with the time their reply arrived. Other periods keep to a whole number of widths near them.
"""

from collections import deque
from heapq import heappop, heappush
from math import floor
from typing import Final, Generic, TypeVar

K = TypeVar("K")
#: Entries left behind by moves and drops that are kept, beyond as many as there are keys, before they are swept out.
_SLACK: Final = 1_024


class _Bucket(Generic[K]):
    """Keys with the same edge, oldest first. An entry is stale unless the agenda says its key is in this bucket."""

    __slots__ = ("keys", "live", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.keys: deque[K] = deque()
        self.live = 0


class Agenda(Generic[K]):
    """Each key at most once. `width` is the buckets' width in seconds."""

    def __init__(self, width: float = 1.0) -> None:
        self._width = width
        self._where: dict[K, _Bucket[K]] = {}
        self._buckets: dict[int, _Bucket[K]] = {}
        #: Numbers of all buckets, as a heap.
        self._order: list[int] = []
        #: Entries in all buckets, stale ones included.
        self._entries = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: object) -> bool:
        return key in self._where

    def add(self, key: K, at: float, now: float) -> None:
        """Look at `key` next at `at`; a key that is there already is moved."""
        bucket = self._bucket(self._number(at, now))
        before = self._where.get(key)
        if before is bucket:
            return
        if before is not None:
            before.live -= 1
        self._where[key] = bucket
        bucket.live += 1
        bucket.keys.append(key)
        self._entries += 1
        if self._entries > 2 * len(self._where) + _SLACK:
            self._sweep_out()

    def drop(self, key: K) -> None:
        """Forget `key`; nothing happens where it is not there."""
        if (bucket := self._where.pop(key, None)) is not None:
            bucket.live -= 1

    def take(self, now: float, limit: int) -> list[K]:
        """Up to `limit` due keys, longest overdue first. They leave the agenda: add them again after the look."""
        taken: list[K] = []
        edge = floor(now / self._width)
        while len(taken) < limit and (bucket := self._first()) is not None and bucket.number <= edge:
            self._draw(bucket, taken, limit)
        return taken

    def earliest(self) -> float | None:
        """When the next key falls due; None where there is no key."""
        bucket = self._first()
        return None if bucket is None else bucket.number * self._width

    def _number(self, at: float, now: float) -> int:
        if at <= now:
            return floor(at / self._width)
        return max(floor(at / self._width + 0.5), floor(now / self._width) + 1)

    def _bucket(self, number: int) -> _Bucket[K]:
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket(number)
            heappush(self._order, number)
        return bucket

    def _first(self) -> _Bucket[K] | None:
        """The earliest bucket with a live key; emptied ones before it are let go."""
        while self._order:
            bucket = self._buckets[self._order[0]]
            if bucket.live:
                return bucket
            del self._buckets[heappop(self._order)]
            self._entries -= len(bucket.keys)
        return None

    def _draw(self, bucket: _Bucket[K], taken: list[K], limit: int) -> None:
        where, keys = self._where, bucket.keys
        while bucket.live and len(taken) < limit:
            key = keys.popleft()
            self._entries -= 1
            if where.get(key) is bucket:
                del where[key]
                bucket.live -= 1
                taken.append(key)

    def _sweep_out(self) -> None:
        """Drop every stale entry: keys that are moved again and again before they fall due would fill the memory."""
        for bucket in self._buckets.values():
            here = dict.fromkeys(key for key in bucket.keys if self._where.get(key) is bucket)
            bucket.keys = deque(here)
        self._entries = len(self._where)
