"""Steps of age, and where looks lie that are equal efforts apart. Pure.

Steps are a tenth wide (in logarithm), up to about a day; the last one has no end. `PollDensity` sums a root up over
age, one value for each step: looks that lie one stride of that sum apart are close together where the root is high.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import exp
from typing import Final

_FIRST: Final = 1.0
_STEP: Final = 0.1
#: Steps: the last one begins at about 24 hours.
STEPS: Final = 115
#: Where each step of age begins, seconds.
EDGES: Final = [0.0, *(_FIRST * exp(_STEP * k) for k in range(STEPS))]
#: How long each but the last one is, seconds.
WIDTHS: Final = [EDGES[k + 1] - EDGES[k] for k in range(STEPS)]


class PollDensity:
    """Of one root for each step, each above 0."""

    __slots__ = ("_roots", "_sums")

    def __init__(self, roots: Sequence[float]) -> None:
        self._roots = roots
        self._sums = [0.0, *accumulate(root * width for root, width in zip(roots, WIDTHS, strict=False))]

    def next_age(self, age: float, spacing: float) -> float:
        """The age that lies one `stride` of effort after `age`."""
        step = bisect_right(EDGES, age) - 1
        effort = self._sums[step] + self._roots[step] * (age - EDGES[step]) + spacing
        step = bisect_right(self._sums, effort) - 1
        return EDGES[step] + (effort - self._sums[step]) / self._roots[step]
