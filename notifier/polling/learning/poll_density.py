"""Buckets of age, and the ages of polls that follow a given density. Pure.

Bucket k is the age from `EDGES[k]` to `EDGES[k + 1]` seconds. Its width grows by a tenth (in logarithm) from bucket to
bucket, up to about a day; the last bucket has no end.

A density gives polls per second at each age, up to a factor: q(t), one value above 0 for each bucket. Successive polls
of one generation are at ages a < b with

    Q(b) - Q(a) = s,    Q(t) = ∫₀ᵗ q(u) du

where s is the spacing: polls are close together where q is high. If q = √hazard, s is in √seconds (see `hazard`).
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import exp
from typing import Final

_FIRST: Final = 1.0
_STEP: Final = 0.1
#: Buckets with an end: the last bucket begins at about 24 hours.
BUCKETS: Final = 115
#: Where each bucket begins, seconds.
EDGES: Final = [0.0, *(_FIRST * exp(_STEP * k) for k in range(BUCKETS))]
#: Seconds that each bucket lasts, but the last one.
WIDTHS: Final = [EDGES[k + 1] - EDGES[k] for k in range(BUCKETS)]


class PollDensity:
    """One density: a value for each bucket, each above 0."""

    __slots__ = ("_density", "_sums")

    def __init__(self, density: Sequence[float]) -> None:
        self._density = density
        self._sums = [0.0, *accumulate(value * width for value, width in zip(density, WIDTHS, strict=False))]

    def next_age(self, age: float, spacing: float) -> float:
        """The age of the next poll after one at `age`."""
        bucket = bisect_right(EDGES, age) - 1
        sum_ = self._sums[bucket] + self._density[bucket] * (age - EDGES[bucket]) + spacing
        bucket = bisect_right(self._sums, sum_) - 1
        return EDGES[bucket] + (sum_ - self._sums[bucket]) / self._density[bucket]
