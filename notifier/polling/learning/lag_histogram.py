"""How late we knew: upper bounds of the lag, in a histogram. Pure.

A generation reached a state after the last poll without it was sent, and before the reply that showed it was complete:
the seconds between the two are an upper bound of the lag. States that a long-poll showed are counted apart: the
provider answers a long-poll when the state is reached, and no poll of ours gives a closer bound than its start.

Quantiles are by nearest rank: with c(i) bounds in bucket i, of n in all, the p-quantile is the upper edge of the first
bucket with c(1) + … + c(i) ≥ p n. Example: of ten bounds nine are 0.8 s and one is 7 s: half are within 1 s, and 99 of
100 within 10 s, the upper edges of their buckets.
"""

from bisect import bisect_left
from itertools import accumulate
from typing import Final

#: Upper edges of the buckets, seconds.
EDGES: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class LagHistogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES) + 1)
        #: Transitions that a long-poll showed.
        self.long_polled = 0
        #: Transitions without a bound: no poll was made before.
        self.unbounded = 0

    def add(self, seconds: float | None, *, long_polled: bool) -> None:
        """One transition; `seconds` from the last poll without the state to that with it, None if there was none."""
        if long_polled:
            self.long_polled += 1
        elif seconds is None:
            self.unbounded += 1
        else:
            self._counts[bisect_left(EDGES, max(0.0, seconds))] += 1

    @property
    def count(self) -> int:
        return sum(self._counts) + self.long_polled + self.unbounded

    def within(self, share: float) -> float | None:
        """The edge at or below which this share of the bounds is, seconds; None if there is no bound."""
        if not any(self._counts):
            return None
        passed = list(accumulate(self._counts))
        return (*EDGES, float("inf"))[bisect_left(passed, share * passed[-1])]
