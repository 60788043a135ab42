"""How many requests to one provider may be made now: its rate, its places, and what this machine has for them.

Owns the counts of requests under way, the token buckets, the adaptive limit and the pause after this machine had too
little for a request. Refuses to say whether the provider is well: that is `ProviderState`. Times are monotonic seconds.
"""

from math import ceil
from typing import Final

from notifier.domain.errors import NotAsked
from notifier.domain.settings import ProviderSettings
from notifier.polling.aimd import AdaptiveLimit
from notifier.runtime.health import Health
from notifier.runtime.rate_limiter import TokenBucket
from notifier.runtime.resource_backoff import ResourceBackoff

#: Irregular polls get this share of the rate: parts of batches that failed, IDs that are missed or polled singly.
IRREGULAR_SHARE: Final = 0.2
#: Weight of one request in the moving average of how long requests take.
_WEIGHT: Final = 0.2


class Budget:
    """Of one provider."""

    def __init__(self, settings: ProviderSettings, health: Health) -> None:
        self._health = health
        #: Requests under way that are answered at once, and long-polls.
        self.polls, self.long_polls = 0, 0
        #: Of the polls, those about several IDs, and the irregular ones.
        self.batches, self._irregular = 0, 0
        #: Of the polls, those that are under way for so long that they no longer keep others from being made.
        self.hanging = 0
        #: Seconds that a poll takes: a moving average.
        self._took = 0.0
        self._backoff = ResourceBackoff()
        self._bucket, self._irregular_bucket = TokenBucket(settings.rate), TokenBucket(settings.rate * IRREGULAR_SHARE)
        self.apply(settings)

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from now on."""
        self._limit = AdaptiveLimit(settings.rate, settings.in_flight)
        self._pace()

    def _pace(self) -> None:
        """Apply the current limit to the same buckets; new ones would start full and allow a second burst."""
        self._bucket.pace(self._limit.rate)
        self._irregular_bucket.pace(self._limit.rate * IRREGULAR_SHARE)

    # ---- what there is ----
    @property
    def rate(self) -> float:
        """Requests per second."""
        return self._limit.rate

    @property
    def in_flight(self) -> int:
        """Requests at a time."""
        return self._limit.in_flight

    @property
    def interval(self) -> float:
        """Seconds between two requests while the budget is used up."""
        return 1 / self._limit.rate

    def free(self, now: float) -> int:
        """Requests that may be made now, if the provider is well."""
        asked = self.polls + self.long_polls
        free = min(self.in_flight - asked, self._bucket.available(now))
        allowed = self._backoff.room(now=now, in_flight=asked)
        return free if allowed is None else min(free, allowed)

    def idle(self, now: float) -> bool:
        """Whether the budget is not used up."""
        return self._bucket.full(now)

    def wait(self, now: float) -> float:
        """Seconds until a request may be made, as far as time decides it; 0 or less if it may."""
        return max(self._bucket.wait(now), self._backoff.wait(now))

    def room_for_irregular(self, now: float) -> int:
        """Irregular polls that may be made now."""
        return min(self._irregular_bucket.available(now), self.places_for_irregular)

    @property
    def places_for_irregular(self) -> int:
        """Irregular polls at a time get half of the places, because what hangs is among them."""
        return max(0, max(1, self.in_flight // 2) - self._irregular)

    @property
    def places_for_polls(self) -> int:
        """Polls at a time that use up the rate, as long as they take lately (Little's law: rate x duration)."""
        return ceil(self._limit.rate * self._took)

    # ---- what is made ----
    def begin(self, now: float, *, irregular: bool = False, long_poll: bool = False, batch: bool = False) -> None:
        """A request is made."""
        self._bucket.take(now)
        if irregular:
            self._irregular_bucket.take(now)
        self.polls += not long_poll
        self.long_polls += long_poll
        self.batches += batch and not long_poll
        self._irregular += irregular

    def repeat(self, now: float) -> bool:
        """A request under way is made once more, if the budget allows it now."""
        return self._bucket.take(now)

    def end(self, *, took: float, irregular: bool = False, long_poll: bool = False, batch: bool = False) -> None:
        """A request is over after so many seconds, whatever came of it."""
        self.polls -= not long_poll
        self.long_polls -= long_poll
        self.batches -= batch and not long_poll
        self._irregular -= irregular
        if not long_poll:
            self._took += (took - self._took) * _WEIGHT

    # ---- what came of it ----
    def answered(self) -> None:
        """A request was answered as it should be."""
        if self._limit.share < 1.0:
            self._limit.answered()
            self._pace()

    def overloaded(self) -> None:
        """It was too much for the provider."""
        self._limit.cut()
        self._pace()

    def not_asked(self, error: NotAsked, *, sent_at: float, now: float) -> None:
        """A request was not made, because this machine had too little for it."""
        self._backoff.failed(began=sent_at, now=now, in_flight=self.polls + self.long_polls)
        self._health.resources_exhausted(str(error), now)

    def asked(self, sent_at: float) -> None:
        """A request that was sent then was made: this machine had enough for it."""
        if self._backoff.succeeded(began=sent_at):
            self._health.resources_recovered()
