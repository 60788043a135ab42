"""How far apart looks are, so that all of them fit in the budget. Pure: monotonic seconds come as arguments.

One number rules a whole provider: the stride of effort (`cadence`) between two looks at a generation. Everyone's looks
together cost the sum of the roots of all hazards over the stride. What that sum is, the curves tell, so the stride for
a given budget is known at once when many are registered or end. A correction follows how late looks really are.

Two bounds: a generation is never looked at more often than every `poll_every`, which is also the pace while the budget
is ample, but for ages at which hardly any get there (there nobody's look is taken from another's, so none is saved at
an age of which that is not known). And no wait is longer than a few times what it would be if all looks were
evenly spread, or a small part of the generation's age: learned or not, nobody is forgotten.
"""

from collections.abc import Iterable
from math import exp
from typing import Final

from notifier.polling.learning.hazard import ENOUGH, HazardCurve

#: Longest wait over `poll_every`, while the budget is ample.
_AMPLE_STRETCH: Final = 4.0
#: Longest wait over an even spread, while it is not.
_SCARCE_STRETCH: Final = 8.0
#: Longest wait over the age, whatever the others say.
_OF_AGE: Final = 0.02
#: Looks should run so late, as a part of an even spread: none is wasted, and none waits for long.
_LATE: Final = 0.05
#: Of the correction, in the time in which everyone could be looked at once.
_GAIN: Final = 0.5
#: Less for lateness, which follows only by and by.
_LATE_GAIN: Final = 0.25
#: Far down, for those that are looked at rarely for reasons of their own do not use their part of the budget.
_CORRECTION: Final = (0.05, 4.0)


class Pace:
    """Of one provider. `every` is `poll_every` in seconds."""

    def __init__(self, every: float) -> None:
        self.every = every
        #: Seconds between two looks at a generation if all looks were evenly spread.
        self.even_interval = 0.0
        #: Of effort; what the budget allows.
        self.spacing = 0.0
        #: Longest wait, at any age but a great one.
        self._longest = _AMPLE_STRETCH * every
        self._correction = 1.0
        self._corrected_at = 0.0

    def set(self, crowds: Iterable[tuple[HazardCurve, int]], capacity: float) -> None:
        """Reckon anew: so many generations go by each curve, so many IDs can be looked at per second."""
        roots, open_ = 0.0, 0
        for curve, count in crowds:
            roots += curve.mean_root * count
            open_ += count
        self.even_interval = open_ / capacity
        self.spacing = roots / capacity * self._correction
        self._longest = max(_AMPLE_STRETCH * self.every, _SCARCE_STRETCH * self.even_interval)

    @property
    def scarce(self) -> bool:
        """Whether the budget, and not `poll_every`, decides."""
        return self.even_interval > self.every

    def correct(self, late: float, now: float, *, idle: bool) -> None:
        """The longest overdue look is `late` seconds late, 0 where none is; `idle`: the budget is not used up."""
        passed, self._corrected_at = now - self._corrected_at, now
        if not self.scarce:
            self._correction = 1.0
            return
        drift = -1.0 if idle and not late else min(1.0, late / self.even_interval / _LATE - 1) * _LATE_GAIN
        low, high = _CORRECTION
        self._correction = max(
            low, min(high, self._correction * exp(_GAIN * drift * min(1.0, passed / self.even_interval)))
        )

    def wait(self, curve: HazardCurve, age: float) -> float:
        """Seconds from a look at this age to the next."""
        every = self.every
        if self.scarce:
            wait = curve.density.next_age(age, max(every * curve.peak_root, self.spacing)) - age
        else:
            wait = curve.ample_density.next_age(age, every * curve.common_root) - age
        if wait > self._longest:
            return min(wait, max(self._longest, _OF_AGE * age))
        return max(wait, every)

    def first_wait(self, curve: HazardCurve, met: float) -> float:
        """Seconds from registration to the first look: 0 where that is worth a look of its own.

        A share `met` of generations is there already when we are told of them, and would wait for nothing until the
        first regular look. While little is known nothing says that this is not so. One look more for everybody costs
        half a stride squared for each (the price of a look, in seconds of lag that it would save elsewhere).
        """
        if curve.learned < ENOUGH:
            return 0.0
        wait = self.wait(curve, 0.0)
        return 0.0 if met * wait >= self.spacing**2 / 2 else wait
