"""How long generations take, learned, and how often it is worth looking. Pure: ages in seconds come as arguments.

A `HazardCurve` belongs to one kind of generation (provider, model, target). It keeps, for each step of age, how many
reached the target there and how long others were watched there without: events over exposure is the hazard rate, the
chance of getting there in the next second. Exposure is what lets generations that are still open count too. Both fade
with every completion, to 1/e after `MEMORY` of them. Before anything is learned, and at ages that nobody reaches, a
prior stands: 11 s to 9 min, mostly 1 to 3 min.

A change of regime is noticed where completions come that nobody expected, or fail to come (two cumulative sums of
log-likelihood). Then nearly all that was known is dropped, and the new regime is learned in some tens of completions.

The classic optimum for inspections puts looks with a density proportional to the square root of the hazard.
`HazardCurve` sums that root up over age (`effort`); looks that lie one `stride` of effort apart are optimal, whatever
the stride. What the stride is, the budget says (`pace`). Until `ENOUGH` completions were seen the root is the same at
every age: the prior is a guess, and if it is wrong it would keep looks away from the very ages at which they complete.

While the budget is ample looks may be rare only where it is known that few get there: at an age that so many were
watched at without, that several would have got there if it were one of the common ages (`ample`).

What is known of one step of age is shared with its neighbours, for a few hundred completions do not fill them smoothly.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import erfc, exp, inf, log, pi, sqrt
from typing import Any, Final

from notifier.polling.learning.poll_density import EDGES, STEPS, WIDTHS, PollDensity

#: Completions after which what was learned before counts 1/e.
MEMORY: Final = 500.0
#: Completions before a curve's own quantiles mean anything.
ENOUGH: Final = 30
#: Seconds; stands for the width of the last step where one is needed.
_LAST_WIDTH: Final = 100_000.0
_MEDIAN: Final = 90.0
_SPREAD: Final = 0.9
#: Generations that the prior counts for.
_PRIOR: Final = 2.0
#: Completions between two reckonings.
_REBUILD_EVERY: Final = 12
#: Completions that a seeded_copy is given.
_SEED: Final = 3.0
_SCALE_LIMIT: Final = 1e9
#: What was kept and is above this was not learned: thirty years for each of a million generations.
_SANE: Final = 1e15
_FORM: Final = 1
#: A change of regime makes completions so many times more, or less, frequent than expected.
_CHANGE: Final = 3.0
_LOG_CHANGE: Final = log(_CHANGE)
#: Of it, as a logarithm of likelihoods: nine completions that nobody expected, or twice as many that fail to come.
_EVIDENCE: Final = 10.0
#: Of hazard summed up: one in twenty is not there by then.
_STUCK: Final = 3.0
#: Of all completions, those at ages that are not common.
_UNCOMMON: Final = 0.05
#: Completions that would have been seen at an age if it were a common one: with none of them it hardly is.
_KNOWN: Final = 3.0
#: Part of a completion that is spread evenly over the time in which it may have happened.
_EVEN: Final = 0.05


def _prior_hazard(age: float) -> float:
    """Of a log-normal with the prior's median and spread."""
    z = log(age / _MEDIAN) / _SPREAD
    density = exp(-z * z / 2) / (_SPREAD * age * sqrt(2 * pi))
    return density / (erfc(z / sqrt(2)) / 2)


_MIDDLES: Final = [*((age + width / 2) for age, width in zip(EDGES, WIDTHS, strict=False)), EDGES[-1]]
_PRIOR_HAZARD: Final = [_prior_hazard(age) for age in _MIDDLES]
_PRIOR_EXPOSURE: Final = [_PRIOR * width for width in [*WIDTHS, _LAST_WIDTH]]
_PRIOR_EVENTS: Final = [rate * long for rate, long in zip(_PRIOR_HAZARD, _PRIOR_EXPOSURE, strict=True)]


def _shared(numbers: Sequence[float]) -> list[float]:
    """Each step's with its neighbours': 1/9, 2/9, 3/9, 2/9, 1/9. Events and exposure alike, so that rates stay."""
    once = _with_next(numbers)
    return [number / 3 for number in _with_next(once)]


def _with_next(numbers: Sequence[float]) -> list[float]:
    before, after = [0.0, *numbers[:-1]], [*numbers[1:], 0.0]
    return [one + two + three for one, two, three in zip(before, numbers, after, strict=True)]


class HazardCurve:
    """What is known of one kind. `hazard` and the rest are as of the last few completions."""

    def __init__(self) -> None:
        #: Completions learned from, ever.
        self.learned = 0
        #: The weight of what is added now: it grows, and what is older counts less beside it.
        self._weight = 1.0
        self._events = [0.0] * (STEPS + 1)
        #: Exposure as flows: begun minus ended in each step. Whole steps in between cost nothing to add.
        self._flow = [0.0] * (STEPS + 1)
        self._partial = [0.0] * (STEPS + 1)
        self._since_rebuild = 0
        #: Evidence that generations have become faster, or slower, by `_CHANGE`: cumulative sums of log-likelihood.
        self._faster, self._slower = 0.0, 0.0
        #: Completions since the last change of regime.
        self._since_change = 0
        self._rebuild()

    # ---- learning ----
    def expose(self, since: float, until: float) -> None:
        """It was watched from age `since` to age `until` and was not there."""
        begin, end = bisect_right(EDGES, since) - 1, bisect_right(EDGES, until) - 1
        begun, ended, weight = since - EDGES[begin], until - EDGES[end], self._weight
        self._flow[begin] += weight
        self._flow[end] -= weight
        self._partial[begin] -= weight * begun
        self._partial[end] += weight * ended
        cumulative, hazard = self._cumulative, self.hazard
        self._expect(cumulative[begin] + hazard[begin] * begun, cumulative[end] + hazard[end] * ended)

    def reached(self, since: float, until: float) -> bool:
        """It got there after age `since` (the last look without) and by age `until` (the look that showed it).

        True where that was one surprise too many: what was known of this kind is mostly forgotten now.
        """
        for step, share, middle in self._spread(since, until):
            weight = self._weight * share
            self._events[step] += weight
            self._expose(since, middle, weight)
        self._expect(self.cumulative(since), self.cumulative((since + until) / 2))
        self.learned += 1
        self._since_change += 1
        self._fade()
        return self._surprised()

    def _expose(self, since: float, until: float, weight: float) -> None:
        begin, end = bisect_right(EDGES, since) - 1, bisect_right(EDGES, until) - 1
        self._flow[begin] += weight
        self._flow[end] -= weight
        self._partial[begin] -= weight * (since - EDGES[begin])
        self._partial[end] += weight * (until - EDGES[end])

    def _expect(self, begun: float, ended: float) -> None:
        """Its hazard, summed up, grew from one to the other: so many completions were to be expected, perhaps in vain.

        A single generation that never gets there shows that it is stuck, and no more: what it says of the others ends
        at `_STUCK`. While little is known nothing can be expected.
        """
        if self._since_change < ENOUGH:
            return
        self._faster = max(0.0, self._faster - (_CHANGE - 1) * (ended - begun))
        if begun < _STUCK:
            self._slower += (1 - 1 / _CHANGE) * (min(ended, _STUCK) - begun)

    def _surprised(self) -> bool:
        """After a completion: whether there are far more, or fewer, than what is known lets expect."""
        if self._since_change < ENOUGH:
            return False
        self._faster += _LOG_CHANGE
        self._slower = max(0.0, self._slower - _LOG_CHANGE)
        if max(self._faster, self._slower) < _EVIDENCE:
            return False
        self._take(*self._share(_SEED), self.learned)
        return True

    def _spread(self, since: float, until: float) -> list[tuple[int, float, float]]:
        """(step, share of one completion, its age there). Nobody saw when it happened.

        By what is known, in part; evenly for the rest, and wholly so while little is known: otherwise what was learned
        once would explain away whatever contradicts it.
        """
        begin, end = bisect_right(EDGES, since) - 1, bisect_right(EDGES, until) - 1
        if begin == end:
            return [(begin, 1.0, (since + until) / 2)]
        parts = []
        for step in range(begin, end + 1):
            low, high = max(since, EDGES[step]), min(until, EDGES[step + 1]) if step < end else until
            known = (high - low) * self.hazard[step] * exp(-self._cumulative[step])
            parts.append((step, known, high - low, (low + high) / 2))
        whole, even = sum(known for _, known, _, _ in parts), self._even_part / (until - since)
        scale = (1 - self._even_part) / whole if whole > 0.0 else 0.0
        return [
            (step, known * scale + long * (even if scale else 1 / (until - since)), middle)
            for step, known, long, middle in parts
        ]

    @property
    def _even_part(self) -> float:
        return 1.0 if self._since_change < ENOUGH else _EVEN

    def _fade(self) -> None:
        self._weight *= 1 + 1 / MEMORY
        if self._weight > _SCALE_LIMIT:
            scale, self._weight = 1 / self._weight, 1.0
            for numbers in (self._events, self._flow, self._partial):
                numbers[:] = [number * scale for number in numbers]
        self._since_rebuild += 1
        if self._since_rebuild >= _REBUILD_EVERY or self.learned < ENOUGH:
            self._rebuild()

    # ---- what it comes to ----
    def _rebuild(self) -> None:
        self._since_rebuild = 0
        exposure = self._exposure()
        watched, events = _shared(exposure), _shared([number / self._weight for number in self._events])
        #: Chance per second of getting there, by step.
        shared = zip(events, watched, _PRIOR_EVENTS, _PRIOR_EXPOSURE, strict=True)
        self.hazard = [(seen + prior) / (time + long) for seen, time, prior, long in shared]
        self._cumulative = [0.0, *accumulate(rate * width for rate, width in zip(self.hazard, WIDTHS, strict=False))]
        self._weigh(exposure)
        self._space(watched)
        #: The age that one in a hundred exceeds, seconds; infinite until enough is known.
        self.p99 = self.quantile(0.99) if self.learned >= ENOUGH else inf

    def _exposure(self) -> list[float]:
        """Seconds watched in each step, faded."""
        flows = accumulate(self._flow)
        widths = [*WIDTHS, 0.0]
        return [
            max(0.0, (flow * width + partial) / self._weight)
            for flow, width, partial in zip(flows, widths, self._partial, strict=True)
        ]

    def _weigh(self, exposure: Sequence[float]) -> None:
        """Its square root, weighed.

        `mean_root`: over the time that generations are open. `peak_root`: over the moments they get there.
        `common_root`: what it is at least when they get there, but for a few.
        """
        self.root = [sqrt(rate) for rate in self.hazard]
        alive = [exp(-sum_) for sum_ in self._cumulative]
        weights = [seen + prior * left for seen, prior, left in zip(exposure, _PRIOR_EXPOSURE, alive, strict=True)]
        self.mean_root = sum(map(float.__mul__, weights, self.root)) / sum(weights)
        arrivals = [weight * rate for weight, rate in zip(weights, self.hazard, strict=True)]
        self.peak_root = sum(map(float.__mul__, arrivals, self.root)) / sum(arrivals)
        least = sorted(zip(self.root, arrivals, strict=True))
        passed = list(accumulate(weight for _, weight in least))
        self.common_root = least[bisect_right(passed, _UNCOMMON * passed[-1])][0]

    def _space(self, watched: Sequence[float]) -> None:
        """`effort` where the budget decides, `ample` where it does not; `watched` is shared exposure."""
        if self.learned < ENOUGH:
            self.root = [self.mean_root] * len(self.root)
            self.peak_root = self.common_root = self.mean_root
        common = self.common_root
        self.density = PollDensity(self.root)
        known = _KNOWN / common**2
        self.ample_density = PollDensity(
            [root if time >= known else max(root, common) for root, time in zip(self.root, watched, strict=True)]
        )

    def hazard_at(self, age: float) -> float:
        """Chance per second of getting there at this age."""
        return self.hazard[bisect_right(EDGES, age) - 1]

    def cumulative(self, age: float) -> float:
        """The hazard summed up to this age: a share of exp(-cumulative) is still open then."""
        step = bisect_right(EDGES, age) - 1
        return self._cumulative[step] + self.hazard[step] * (age - EDGES[step])

    def quantile(self, share: float) -> float:
        """The age by which this share is there, seconds; beyond what is known as the prior has it."""
        wanted = -log(1 - share)
        step = bisect_right(self._cumulative, wanted) - 1
        return EDGES[step] + (wanted - self._cumulative[step]) / self.hazard[step]

    # ---- kept over a restart ----
    def dump(self) -> dict[str, Any]:
        """All that was learned, as JSON takes it."""
        return {
            "form": _FORM,
            "learned": self.learned,
            "events": [round(number / self._weight, 6) for number in self._events],
            "exposure": [round(number, 3) for number in self._exposure()],
        }

    @classmethod
    def load(cls, dumped: Any) -> "HazardCurve":
        """The inverse of `dump`; a form that is not known, or makes no sense, is learned anew."""
        curve = cls()
        try:
            events, exposure = ([float(number) for number in dumped[name]] for name in ("events", "exposure"))
            learned = int(dumped["learned"])
            sound = dumped["form"] == _FORM and len(events) == len(exposure) == STEPS + 1
        except (TypeError, KeyError, ValueError, OverflowError):
            return curve
        if sound and all(0 <= number < _SANE for number in (*events, *exposure, learned)):
            curve._take(events, exposure, learned)
            curve._since_change = learned
        return curve

    def seeded_copy(self) -> "HazardCurve":
        """A curve for a kind that nothing is known of yet: much like this one, and quick to change its mind."""
        young = HazardCurve()
        young._take(*self._share(_SEED), 0)
        return young

    def _share(self, completions: float) -> tuple[list[float], list[float]]:
        """Events and exposure of that many completions at most."""
        share = min(1.0, completions * self._weight / max(1e-9, sum(self._events)))
        events = [number / self._weight * share for number in self._events]
        return events, [number * share for number in self._exposure()]

    def _take(self, events: list[float], exposure: list[float], learned: int) -> None:
        self._weight, self._faster, self._slower, self._since_change = 1.0, 0.0, 0.0, 0
        self._events, self._partial, self.learned = events, exposure, learned
        self._flow = [0.0] * (STEPS + 1)
        self._rebuild()
