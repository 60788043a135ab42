"""Which generations a provider's connections wait for. Pure.

A hold costs one connection and a request in half a minute, and knows without lag; a sweep costs one request for a
hundred IDs, and knows late. So holds go to the generations most likely to get there next, and one that turns out less
likely than another is handed over. Rules:
- When everything can be held, everything is. Otherwise one seat is always for sweeps, and as many as they need.
- While the budget is scarce a hold must be worth more than the sweep that its requests would pay for.
- A hold is handed over only to a candidate that is `BETTER` times as likely, and only after `SETTLED`: a request that
  is let go was paid for.
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from math import sqrt
from typing import Final

from notifier.polling.scheduling.open_generation import TrackedGeneration

BETTER: Final = 2.0
#: Seconds that a hold is left alone.
SETTLED: Final = 5.0


def slots_for_long_polls(*, in_flight: int, open_: int, per_hold: int = 1, sweeps: int = 1) -> int:
    """How many of `in_flight` connections may be holds of `per_hold` IDs each, where so many IDs are open.

    `sweeps` is how many connections the sweeps need to use up their budget.
    """
    return in_flight if open_ <= in_flight * per_hold else max(0, in_flight - max(1, sweeps))


def likelihood(entry: TrackedGeneration, now: float) -> float:
    """Chance per second that it gets there now."""
    return entry.curve.hazard_at(max(0.0, now - entry.age_origin))


def likeliest(candidates: Iterable[TrackedGeneration], count: int, now: float) -> list[TrackedGeneration]:
    """The `count` candidates most likely to get there next."""
    return nlargest(count, candidates, key=lambda entry: likelihood(entry, now))


def worthwhile(rate: float, *, stride: float, per_request: float, patience: float) -> bool:
    """Whether to hold an ID that gets there with this chance per second, while the budget is scarce.

    A hold saves the ID's own looks and its lag: the root of the rate times the stride, in seconds of lag a second. Its
    requests are taken from sweeps of `per_request` IDs, of which each look is worth half a stride squared.
    """
    return sqrt(rate) * stride > (1 / patience + rate) * per_request * stride**2 / 2


def to_hand_over(
    holds: Sequence[tuple[TrackedGeneration, float]], candidates: Sequence[TrackedGeneration], now: float
) -> tuple[TrackedGeneration, TrackedGeneration] | None:
    """A held ID and the one to hold in its place; None where that would not be better. `holds` tell since when."""
    settled = [entry for entry, since in holds if now - since >= SETTLED]
    if not settled or not candidates:
        return None
    worst = min(settled, key=lambda entry: likelihood(entry, now))
    best = candidates[0]
    return (worst, best) if likelihood(best, now) >= BETTER * likelihood(worst, now) else None
