"""How often to look, and how many requests a second. Pure: monotonic seconds come as arguments.

The first, simple cadence, meant to be replaced by one that learns how long generations take: at once, then every
`sweep_every`. Only an ID that stands alone is looked at less and less often, because each of its looks costs a whole
request, which a bad ID takes for nothing.
"""

from typing import Final

from notifier.model import ProviderSettings

#: Longest time between two looks at an ID that stands alone, in seconds.
ALONE_LIMIT: Final = 120.0
#: Doublings after which `ALONE_LIMIT` is reached whatever `sweep_every` is; keeps the power small.
_DOUBLINGS: Final = 20
#: Of a token; what rounding may take away.
_GRAIN: Final = 1e-6


def next_look(settings: ProviderSettings, *, now: float, misses: int, alone: bool) -> float:
    """When to look again at an ID that was looked at `now`, after `misses` looks in a row that did not find it."""
    every = settings.sweep_every.total_seconds()
    if not alone:
        return now + every
    return now + max(every, min(ALONE_LIMIT, every * 2.0 ** min(misses, _DOUBLINGS)))


class TokenBucket:
    """At most `rate` requests a second over time, and one second's worth (at least one) at a time. Starts full."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate)
        self._tokens = self._capacity
        self._filled_at: float | None = None

    def available(self, now: float) -> int:
        """Whole requests that may be made now."""
        self._fill(now)
        return int(self._tokens + _GRAIN)

    def take(self, now: float, n: int = 1) -> bool:
        """Take `n` tokens, or none of them."""
        if self.available(now) < n:
            return False
        self._tokens = max(0.0, self._tokens - n)
        return True

    def give_back(self, n: int = 1) -> None:
        """Return tokens of requests that were not made."""
        self._tokens = min(self._capacity, self._tokens + n)

    def wait(self, now: float) -> float:
        """Seconds until there is one token; 0 where there is one now."""
        return 0.0 if self.available(now) else (1.0 - self._tokens) / self._rate

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now if self._filled_at is None else max(now, self._filled_at)
