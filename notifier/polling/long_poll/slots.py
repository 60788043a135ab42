"""Which generations a provider's long-polls wait for. Pure.

A long-poll takes one connection, and a request in half a minute, and shows the state without lag; a batch poll takes
one request for a hundred IDs, and shows it late. So long-polls go to the generations most likely to reach their target
next, and one that turns out less likely than another is handed over. Rules:
- If every open generation can be long-polled, every one is. Otherwise one slot is always for polls, and as many as
  these need.
- While the budget is scarce a long-poll must be worth more than the polls that its requests would pay for.
- A long-poll is handed over only to a candidate that is `BETTER` times as likely, and only after `SETTLED`: a request
  that is cancelled was paid for.
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from math import sqrt
from typing import Final

from notifier.polling.scheduling.open_generation import TrackedGeneration

BETTER: Final = 2.0
#: Seconds that a long-poll is left alone.
SETTLED: Final = 5.0


def slots_for_long_polls(*, in_flight: int, open_: int, per_long_poll: int = 1, polls: int = 1) -> int:
    """How many of `in_flight` connections may be long-polls of `per_long_poll` IDs each, if so many IDs are open.

    `polls` is how many connections the other polls need to use up their budget.
    """
    return in_flight if open_ <= in_flight * per_long_poll else max(0, in_flight - max(1, polls))


def likelihood(entry: TrackedGeneration, now: float) -> float:
    """Probability per second that it reaches its target now: its hazard λ, 1/s."""
    return entry.curve.hazard_at(max(0.0, now - entry.age_origin))


def likeliest(candidates: Iterable[TrackedGeneration], count: int, now: float) -> list[TrackedGeneration]:
    """The `count` candidates most likely to reach their target next."""
    return nlargest(count, candidates, key=lambda entry: likelihood(entry, now))


def worthwhile(hazard: float, *, spacing: float, per_request: float, patience: float) -> bool:
    """Whether a long-poll of one ID with this hazard λ is worth its requests, while the budget is scarce.

    All in seconds of lag per second (`learning.hazard`, formula 3, with the spacing s). A long-poll saves what the ID's
    own polls and its lag cost, at best √λ s. It costs 1 / patience + λ requests per second, each of which could have
    been a batch poll of `per_request` IDs, worth s² / 2 each:

        √λ s > (1 / patience + λ) per_request s² / 2

    Example: λ = 0.01/s, s = 3, one ID a request, 30 s of patience: 0.1 · 3 = 0.3 > (0.033 + 0.01) · 4.5 = 0.195.
    """
    return sqrt(hazard) * spacing > (1 / patience + hazard) * per_request * spacing**2 / 2


def to_hand_over(
    long_polled: Sequence[tuple[TrackedGeneration, float]], candidates: Sequence[TrackedGeneration], now: float
) -> tuple[TrackedGeneration, TrackedGeneration] | None:
    """A long-polled ID, and a better one to long-poll instead; None if there is none. `long_polled`: since when."""
    settled = [entry for entry, since in long_polled if now - since >= SETTLED]
    if not settled or not candidates:
        return None
    worst = min(settled, key=lambda entry: likelihood(entry, now))
    best = candidates[0]
    return (worst, best) if likelihood(best, now) >= BETTER * likelihood(worst, now) else None
