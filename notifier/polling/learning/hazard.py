"""How long generations take, learned from polls, and at which ages it is worth polling. Pure: ages come as arguments.

A `HazardCurve` belongs to one kind of generation (provider, model, target state). Symbols: t is an age in seconds, from
`age_origin`; bucket k of age (`poll_density`) begins at e(k) and is w(k) seconds wide.

1. Hazard: events over exposure (the piecewise-constant, or piecewise-exponential, hazard of survival analysis: Cox and
   Oakes, "Analysis of Survival Data", 1984). For each bucket, in 1/s:

       λ(k) = (d(k) + λ₀(k) x₀(k)) / (x(k) + x₀(k))

   d is the number of generations that reached the target in the bucket; x is the exposure, the seconds for which
   generations were watched there without it. Because of x, generations that are still open count too. Both decay: the
   i-th completion before the last counts (1 + 1/MEMORY)⁻ⁱ, so about 1/e after `MEMORY`. A few hundred completions do
   not fill the buckets smoothly: so d and x are those of five buckets, with the weights 1/3, 2/3, 1, 2/3 and 1/3, and
   each generation counts three times. x₀(k) = 2 w(k) and λ₀ are the prior: the hazard of a log-normal duration (median
   90 s, σ 0.9: 11 s to 12 min, mostly 1 to 3 min). It decides until something is learned, and at ages that no
   generation reaches.

2. Probability to reach the target between the ages a < b, for a generation that has not reached it at a:

       p(a, b) = 1 - exp(-(H(b) - H(a))),    H(t) = ∫₀ᵗ λ(u) du    (no unit)

   Its quantiles are q(p) = H⁻¹(-ln(1 - p)).

3. Spacing of polls: the density of polls that minimises the sum of lag and of what polls cost is proportional to the
   square root of the hazard (J. B. Keller, "Optimum Checking Schedules for Systems Subject to Random Failure",
   Management Science 21(3), 1974). If one poll costs c seconds of lag, at age t the rate of cost is

       n c + λ / (2 n)    with its minimum √(2 c λ) at    n(t) = √λ(t) / s,    s = √(2 c)

   n is polls per second and s the spacing (√seconds), which `pace` computes from the budget. So the poll after one at
   age a is at age b with ∫ √λ(u) du = s from a to b.

Example. 66 generations were watched in each bucket, so x = 198 w, and 2 of 100 reached the target in each second, so
d = 0.02 x. In the bucket from 60.3 s to 66.7 s the prior is 0.00995/s. So λ = (198 · 0.02 + 2 · 0.00995) / (198 + 2) =
0.0199/s. A generation that is open at 60.3 s is done at 66.7 s with p = 1 - exp(-0.0199 · 6.35) = 0.119. With s = 0.7
polls are 0.7 / √0.0199 = 5.0 s apart: the lag is 2.5 s on average, and one poll is worth s² / 2 = 0.245 s of lag.

Two exceptions to formula 3:
- Until `ENOUGH` completions were seen the density is the same at every age: the prior is a guess, and if it is wrong it
  would keep polls away from the very ages at which generations complete.
- While the budget is ample, polls may be rare only at ages of which it is known that few generations complete there: so
  many were watched that several would have completed if it were a common age (`ample_density`).

A change of regime is noticed by two cumulative sums of log-likelihood (CUSUM: E. S. Page, "Continuous Inspection
Schemes", Biometrika 41, 1954), for a hazard that is `_CHANGE` = 3 times as high (S⁺) or a third (S⁻). While a
generation is watched and its cumulative hazard grows by h, and then at each completion:

    S⁺ ← max(0, S⁺ - (3 - 1) h)        S⁻ ← S⁻ + (1 - 1/3) h
    S⁺ ← S⁺ + ln 3                     S⁻ ← max(0, S⁻ - ln 3)

If either reaches `_EVIDENCE`, nearly all that was learned is dropped, and the new regime is learned in some tens of
completions.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import erfc, exp, inf, log, pi, sqrt
from typing import Any, Final

from notifier.polling.learning.poll_density import BUCKETS, EDGES, WIDTHS, PollDensity

#: Completions after which what was learned before counts 1/e.
MEMORY: Final = 500.0
#: Completions before a curve's own quantiles mean anything.
ENOUGH: Final = 30
#: Seconds; the width of the last bucket, for the exposure of the prior.
_LAST_WIDTH: Final = 100_000.0
#: Of the log-normal prior: its median in seconds, its σ, and how many generations it counts for (each of the others
#: counts three times).
_MEDIAN: Final = 90.0
_SIGMA: Final = 0.9
_PRIOR: Final = 2.0
#: Completions between two computations of the curve.
_REBUILD_EVERY: Final = 12
#: Completions that a seeded copy is given, and that are left after a change of regime.
_SEED: Final = 3.0
_WEIGHT_LIMIT: Final = 1e9
#: A stored number above this was not learned: thirty years for each of a million generations.
_SANE: Final = 1e15
#: Version of the stored form.
_FORM: Final = 1
#: How many times higher, or lower, the hazard is after a change of regime.
_CHANGE: Final = 3.0
_LOG_CHANGE: Final = log(_CHANGE)
#: Log-likelihood that shows a change: nine completions that nobody expected, or twice as many that fail to come.
_EVIDENCE: Final = 10.0
#: Cumulative hazard up to which one generation is evidence: one in twenty is still open then.
_STUCK: Final = 3.0
#: Share of all completions that are at ages which are not common.
_UNCOMMON: Final = 0.05
#: Completions that would have been seen at an age if it were a common one (each counts three times, formula 1).
_KNOWN: Final = 3.0
#: Part of a completion that is spread evenly over the time in which it may have happened.
_EVEN: Final = 0.05


def _prior_hazard(age: float) -> float:
    """Density over survival of the log-normal prior."""
    z = log(age / _MEDIAN) / _SIGMA
    density = exp(-z * z / 2) / (_SIGMA * age * sqrt(2 * pi))
    return density / (erfc(z / sqrt(2)) / 2)


_MIDDLES: Final = [*((age + width / 2) for age, width in zip(EDGES, WIDTHS, strict=False)), EDGES[-1]]
_PRIOR_EXPOSURE: Final = [_PRIOR * width for width in [*WIDTHS, _LAST_WIDTH]]
_PRIOR_EVENTS: Final = [_prior_hazard(age) * long for age, long in zip(_MIDDLES, _PRIOR_EXPOSURE, strict=True)]


def _with_neighbours(numbers: Sequence[float]) -> list[float]:
    """Each bucket's number, 2/3 of its neighbours' and 1/3 of theirs: of events and exposure alike, so rates stay."""
    for _ in range(2):
        before, after = [0.0, *numbers[:-1]], [*numbers[1:], 0.0]
        numbers = [one + two + three for one, two, three in zip(before, numbers, after, strict=True)]
    return [number / 3 for number in numbers]


class HazardCurve:
    """What is known of one kind. `hazard` and all that follows from it are as of the last few completions."""

    def __init__(self) -> None:
        self._restart([0.0] * (BUCKETS + 1), [0.0] * (BUCKETS + 1), learned=0)

    def _restart(self, events: list[float], exposure: list[float], *, learned: int) -> None:
        #: Completions learned from, ever.
        self.learned = learned
        #: The weight of what is added now. It grows, so that what was added before counts less.
        self._weight = 1.0
        self._events = events
        #: Exposure, as flow and rest: generations that begin minus those that end in each bucket, and the seconds by
        #: which they begin later or end later than the bucket does. Whole buckets in between cost nothing to add.
        self._flow, self._rest = [0.0] * (BUCKETS + 1), exposure
        self._since_rebuild = 0
        #: Log-likelihood that generations have become faster, or slower, by `_CHANGE`.
        self._faster, self._slower = 0.0, 0.0
        #: Completions since the last change of regime.
        self._since_change = 0
        self._rebuild()

    # ---- learning ----
    def expose(self, since: float, until: float) -> None:
        """It was watched from age `since` to age `until` and did not reach the target."""
        begin, end = self._add_exposure(since, until, self._weight)
        cumulative, hazard = self._cumulative, self.hazard
        self._note_expected(
            cumulative[begin] + hazard[begin] * (since - EDGES[begin]),
            cumulative[end] + hazard[end] * (until - EDGES[end]),
        )

    def reached(self, since: float, until: float) -> bool:
        """It reached the target after age `since` (the last poll without it) and by age `until` (the poll with it).

        True if that shows a change of regime: most of what was learned of this kind is forgotten now.
        """
        for bucket, share, middle in self._spread(since, until):
            weight = self._weight * share
            self._events[bucket] += weight
            self._add_exposure(since, middle, weight)
        self._note_expected(self.cumulative(since), self.cumulative((since + until) / 2))
        self.learned += 1
        self._since_change += 1
        self._decay()
        return self._has_changed()

    def _add_exposure(self, since: float, until: float, weight: float) -> tuple[int, int]:
        """Returns the buckets of both ages."""
        begin, end = bisect_right(EDGES, since) - 1, bisect_right(EDGES, until) - 1
        self._flow[begin] += weight
        self._flow[end] -= weight
        self._rest[begin] -= weight * (since - EDGES[begin])
        self._rest[end] += weight * (until - EDGES[end])
        return begin, end

    def _note_expected(self, begin: float, end: float) -> None:
        """A watched generation's cumulative hazard grew from `begin` to `end`: so many completions were expected.

        A single generation that never completes is stuck, and shows no more: what it says about the others ends at
        `_STUCK`. While little is known nothing can be expected.
        """
        if self._since_change < ENOUGH:
            return
        self._faster = max(0.0, self._faster - (_CHANGE - 1) * (end - begin))
        if begin < _STUCK:
            self._slower += (1 - 1 / _CHANGE) * (min(end, _STUCK) - begin)

    def _has_changed(self) -> bool:
        """After a completion: whether there are so many more, or fewer, than expected that the regime has changed."""
        if self._since_change < ENOUGH:
            return False
        self._faster += _LOG_CHANGE
        self._slower = max(0.0, self._slower - _LOG_CHANGE)
        if max(self._faster, self._slower) < _EVIDENCE:
            return False
        self._restart(*self._scaled_to(_SEED), learned=self.learned)
        return True

    def _spread(self, since: float, until: float) -> list[tuple[int, float, float]]:
        """(bucket, share of one completion, its age there), for nobody saw when it happened.

        In part by what is known, the rest evenly, and all of it evenly while little is known: otherwise what was once
        learned would explain away whatever contradicts it.
        """
        begin, end = bisect_right(EDGES, since) - 1, bisect_right(EDGES, until) - 1
        if begin == end:
            return [(begin, 1.0, (since + until) / 2)]
        edges = [since, *EDGES[begin + 1 : end + 1], until]
        parts = [(begin + part, edges[part], edges[part + 1]) for part in range(len(edges) - 1)]
        known = [(high - low) * self.hazard[at] * exp(-self._cumulative[at]) for at, low, high in parts]
        total = sum(known)
        even = 1.0 if self._since_change < ENOUGH or total <= 0.0 else _EVEN
        scale = 0.0 if even == 1.0 else (1 - even) / total
        return [
            (at, part * scale + even * (high - low) / (until - since), (low + high) / 2)
            for part, (at, low, high) in zip(known, parts, strict=True)
        ]

    def _decay(self) -> None:
        self._weight *= 1 + 1 / MEMORY
        if self._weight > _WEIGHT_LIMIT:
            scale, self._weight = 1 / self._weight, 1.0
            for numbers in (self._events, self._flow, self._rest):
                numbers[:] = [number * scale for number in numbers]
        self._since_rebuild += 1
        if self._since_rebuild >= _REBUILD_EVERY or self.learned < ENOUGH:
            self._rebuild()

    # ---- what follows ----
    def _rebuild(self) -> None:
        self._since_rebuild = 0
        exposure = self._exposure()
        watched, events = _with_neighbours(exposure), _with_neighbours([each / self._weight for each in self._events])
        counts = zip(events, _PRIOR_EVENTS, watched, _PRIOR_EXPOSURE, strict=True)
        #: λ(k), 1/s.
        self.hazard = [(seen + prior) / (time + long) for seen, prior, time, long in counts]
        #: H(e(k)).
        self._cumulative = [0.0, *accumulate(rate * width for rate, width in zip(self.hazard, WIDTHS, strict=False))]
        self._place_polls(exposure, watched)
        #: The age that one in a hundred exceeds, seconds; infinite until enough is known.
        self.p99 = self.quantile(0.99) if self.learned >= ENOUGH else inf

    def _exposure(self) -> list[float]:
        """x(k) before it is shared with neighbours: seconds watched in each bucket, decayed."""
        flows = accumulate(self._flow)
        return [
            max(0.0, (flow * width + rest) / self._weight)
            for flow, width, rest in zip(flows, [*WIDTHS, 0.0], self._rest, strict=True)
        ]

    def _place_polls(self, exposure: Sequence[float], watched: Sequence[float]) -> None:
        """Both densities of polls, and the means of √λ(t) that `pace` computes with; `watched` is shared exposure.

        `mean_root`: over the time that generations are open. `peak_root`: over the moments at which they complete.
        `common_root`: the least when they complete, but for `_UNCOMMON` of them.
        """
        root = [sqrt(rate) for rate in self.hazard]
        alive = [exp(-sum_) for sum_ in self._cumulative]
        weights = [seen + prior * left for seen, prior, left in zip(exposure, _PRIOR_EXPOSURE, alive, strict=True)]
        self.mean_root = sum(map(float.__mul__, weights, root)) / sum(weights)
        if self.learned < ENOUGH:
            root = [self.mean_root] * len(root)
            self.peak_root = self.common_root = self.mean_root
        else:
            arrivals = [weight * rate for weight, rate in zip(weights, self.hazard, strict=True)]
            self.peak_root = sum(map(float.__mul__, arrivals, root)) / sum(arrivals)
            least = sorted(zip(root, arrivals, strict=True))
            passed = list(accumulate(weight for _, weight in least))
            self.common_root = least[bisect_right(passed, _UNCOMMON * passed[-1])][0]
        common, known = self.common_root, _KNOWN / self.common_root**2
        #: For a budget that decides how often to poll, and for one that is ample.
        self.density = PollDensity(root)
        self.ample_density = PollDensity(
            [each if time >= known else max(each, common) for each, time in zip(root, watched, strict=True)]
        )

    def hazard_at(self, age: float) -> float:
        """λ at this age: the probability per second to reach the target, 1/s."""
        return self.hazard[bisect_right(EDGES, age) - 1]

    def cumulative(self, age: float) -> float:
        """H at this age: a share of exp(-H) is still open then."""
        bucket = bisect_right(EDGES, age) - 1
        return self._cumulative[bucket] + self.hazard[bucket] * (age - EDGES[bucket])

    def probability_between(self, since: float, until: float) -> float:
        """p: that it has reached the target at age `until`, if it had not at age `since`; 0 if that is not before."""
        return 1 - exp(min(0.0, self.cumulative(max(0.0, since)) - self.cumulative(max(0.0, until))))

    def quantile(self, share: float) -> float:
        """The age at which this share has reached the target, seconds; beyond what is known, by the prior."""
        wanted = -log(1 - share)
        bucket = bisect_right(self._cumulative, wanted) - 1
        return EDGES[bucket] + (wanted - self._cumulative[bucket]) / self.hazard[bucket]

    # ---- kept over a restart ----
    def dump(self) -> dict[str, Any]:
        """All that was learned, for JSON."""
        return {
            "form": _FORM,
            "learned": self.learned,
            "events": [round(number / self._weight, 6) for number in self._events],
            "exposure": [round(number, 3) for number in self._exposure()],
        }

    @classmethod
    def load(cls, dumped: Any) -> "HazardCurve":
        """The inverse of `dump`. If the form is not known, or a number makes no sense, all is learned anew."""
        curve = cls()
        try:
            events, exposure = ([float(number) for number in dumped[name]] for name in ("events", "exposure"))
            learned = int(dumped["learned"])
            sound = dumped["form"] == _FORM and len(events) == len(exposure) == BUCKETS + 1
        except (TypeError, KeyError, ValueError, OverflowError):
            return curve
        if sound and all(0 <= number < _SANE for number in (*events, *exposure, learned)):
            curve._restart(events, exposure, learned=learned)
            curve._since_change = learned
        return curve

    def seeded_copy(self) -> "HazardCurve":
        """A curve for a kind of which nothing is known yet: much like this one, and quick to change."""
        copy = HazardCurve()
        copy._restart(*self._scaled_to(_SEED), learned=0)
        return copy

    def _scaled_to(self, completions: float) -> tuple[list[float], list[float]]:
        """Events and exposure, of that many completions at most."""
        share = min(1.0, completions * self._weight / max(1e-9, sum(self._events)))
        events = [number / self._weight * share for number in self._events]
        return events, [number * share for number in self._exposure()]
