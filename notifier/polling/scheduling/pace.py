"""How far apart polls are, so that all of them fit in the budget. Pure: monotonic seconds come as arguments.

One number rules a whole provider: the spacing s of polls (`hazard`, formula 3). With N(c) generations that go by curve
c, whose mean root is r̄(c) = mean of √λ over the time that they are open, all polls together are Σ N(c) r̄(c) / s per
second. The budget allows C polls (IDs) per second, so

    s = g Σ N(c) r̄(c) / C    (√seconds),    even interval = Σ N(c) / C    (seconds)

The even interval is the time between two polls of a generation if all polls were evenly spread. The budget is scarce if
that is more than `poll_every`. Then the correction g follows how late polls really are (else g = 1): for l seconds by
which the longest overdue poll is late, and t seconds since the last correction, with e the even interval,

    g ← g exp(0.5 · d · min(1, t / e)),    d = min(1, (l / e) / 0.05 - 1) / 4

and d = -1 if nothing is late and the budget is not used up. g stays between 0.05 and 4.

Example: 1,000 generations of a curve with r̄ = 0.1 and C = 10 IDs per second: the even interval is 100 s, and s = 10. At
an age with λ = 0.01/s polls are s / √λ = 100 s apart, and at one with λ = 0.04/s 50 s.

Two bounds:
- A generation is never polled more often than every `poll_every`. While the budget is ample this is the pace, but at
  ages at which hardly any complete: no poll is saved for another there, so only polls of little use are left out.
- No wait is longer than a few even intervals, or a small part of the generation's age: whatever was learned, no
  generation is forgotten.
"""

from collections import Counter
from math import exp
from typing import Final

from notifier.polling.learning.hazard import ENOUGH, HazardCurve
from notifier.polling.scheduling.open_generation import TrackedGeneration

#: Longest wait over `poll_every`, while the budget is ample.
_AMPLE_STRETCH: Final = 4.0
#: Longest wait over the even interval, while it is scarce.
_SCARCE_STRETCH: Final = 8.0
#: Longest wait over the age, whatever the others say.
_OF_AGE: Final = 0.02
#: Polls should be so late, as a part of the even interval: none is wasted, and none waits for long.
_LATE: Final = 0.05
#: Of the correction, in the time in which each generation could be polled once.
_GAIN: Final = 0.5
#: A part of it for lateness, which follows only after a while.
_LATE_GAIN: Final = 0.25
#: Bounds of g. Far down, for generations that are polled rarely for other reasons do not use their part of the budget.
_CORRECTION: Final = (0.05, 4.0)


class Pace:
    """Of one provider. `every` is `poll_every` in seconds."""

    def __init__(self, every: float) -> None:
        self.every = every
        #: N: how many generations go by each curve.
        self.demand: Counter[HazardCurve] = Counter()
        #: C; None before the first budget.
        self._capacity: float | None = None
        self.even_interval = 0.0
        self.spacing = 0.0
        #: Longest wait, but at a great age.
        self._longest = _AMPLE_STRETCH * every
        self._correction = 1.0
        self._corrected_at = 0.0

    # ---- demand ----
    def count(self, entry: TrackedGeneration, curve: HazardCurve) -> None:
        """From now on it goes by this curve, and has a part of the budget."""
        if curve is not entry.curve or not entry.counted:
            self.discount(entry)
            self.demand[curve] += 1
            entry.curve, entry.excluded, entry.counted = curve, False, True

    def discount(self, entry: TrackedGeneration) -> None:
        """It has no part of the budget."""
        if entry.counted:
            entry.counted = False
            self.demand[entry.curve] -= 1
            if not self.demand[entry.curve]:
                del self.demand[entry.curve]

    # ---- supply ----
    def set_capacity(self, capacity: float) -> None:
        """So many IDs can be polled per second."""
        self._capacity = capacity
        self.update()

    def update(self) -> None:
        """Compute the spacing anew: it must agree with the curves at every moment."""
        if self._capacity is None:
            return
        self.even_interval = sum(self.demand.values()) / self._capacity
        roots = sum(curve.mean_root * count for curve, count in self.demand.items())
        self.spacing = roots / self._capacity * self._correction
        self._longest = max(_AMPLE_STRETCH * self.every, _SCARCE_STRETCH * self.even_interval)

    @property
    def scarce(self) -> bool:
        """Whether the budget, and not `poll_every`, decides."""
        return self.even_interval > self.every

    def correct(self, late: float, now: float, *, idle: bool) -> None:
        """The longest overdue poll is `late` seconds late, 0 if none is; `idle`: the budget is not used up."""
        passed, self._corrected_at = now - self._corrected_at, now
        if not self.scarce:
            self._correction = 1.0
            return
        even = self.even_interval
        drift = -1.0 if idle and not late else min(1.0, late / even / _LATE - 1) * _LATE_GAIN
        low, high = _CORRECTION
        self._correction = max(low, min(high, self._correction * exp(_GAIN * drift * min(1.0, passed / even))))

    # ---- waits ----
    def wait(self, curve: HazardCurve, age: float) -> float:
        """Seconds from a poll at this age to the next."""
        every = self.every
        if self.scarce:
            wait = curve.density.next_age(age, max(every * curve.peak_root, self.spacing)) - age
        else:
            wait = curve.ample_density.next_age(age, every * curve.common_root) - age
        if wait > self._longest:
            return min(wait, max(self._longest, _OF_AGE * age))
        return max(wait, every)

    def first_wait(self, curve: HazardCurve, already_done: float) -> float:
        """Seconds from registration to the first poll: 0 if a poll right at the start is worth its price.

        A share q (`already_done`) of generations is done when they are registered, and would wait for nothing until the
        first regular poll, w seconds later. A poll of all of them costs s² / 2 seconds of lag each (`hazard`, formula
        3), so it is worth its price if q w ≥ s² / 2. While little is known, nothing says that it is not.
        """
        if curve.learned < ENOUGH:
            return 0.0
        wait = self.wait(curve, 0.0)
        return 0.0 if already_done * wait >= self.spacing**2 / 2 else wait
