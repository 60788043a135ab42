"""How late we knew: the bounds that evidence gives, in a histogram. Pure.

Between the last look without a state and the one that showed it lies the moment at which it was reached: their distance
bounds the lag. What a held request told is counted apart: the provider answered it when it was there, and nothing
that we saw bounds it closer than when it was sent.
"""

from bisect import bisect_left
from typing import Final

#: Upper edges of the histogram, seconds.
EDGES: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_BEYOND: Final = float("inf")


class LagHistogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES) + 1)
        #: Told by a request that was held.
        self.held = 0
        #: Nothing is known of the time before: no bound.
        self.unbounded = 0

    def add(self, seconds: float | None, *, held: bool) -> None:
        """One transition; `seconds` from the last look without it to the one with it, None where there was none."""
        if held:
            self.held += 1
        elif seconds is None:
            self.unbounded += 1
        else:
            self._counts[bisect_left(EDGES, max(0.0, seconds))] += 1

    @property
    def count(self) -> int:
        return sum(self._counts) + self.held + self.unbounded

    def within(self, share: float) -> float | None:
        """The edge below which this share of the bounded ones is, seconds; None where there is none."""
        wanted = share * sum(self._counts)
        if not wanted:
            return None
        passed = 0
        for edge, count in zip((*EDGES, _BEYOND), self._counts, strict=True):
            passed += count
            if passed >= wanted:
                return edge
        return _BEYOND
