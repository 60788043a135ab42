"""What is known of a provider's route for batch polls: whether it can be used, how many IDs it takes, how fast it is.

The decisions are pure (`batching/`); here they are kept together, and reported to log and readiness.
Times are monotonic seconds.
"""

from typing import Final

import structlog

from notifier.domain.settings import ProviderSettings
from notifier.polling.batching.batch_limit import BatchLimit
from notifier.polling.batching.bisect import Bisection, Diagnosis
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health

_log = structlog.get_logger()

#: Seconds after which an unusable route is tried again.
RETRY: Final = 600.0
#: A batch poll without an answer is late after so many seconds, and after so many times as long as they take lately; a
#: part of a batch that failed after fewer seconds.
_LATE: Final = 5.0
_PART_LATE: Final = 1.0
_LATE_TIMES: Final = 4.0
#: Weight of one answer in the moving average of how long they take.
_WEIGHT: Final = 0.2
_NEVER: Final = float("-inf")


class BatchRoute:
    """Of one provider. `most` is how many IDs the API takes in one request; None if it has no such route."""

    def __init__(self, settings: ProviderSettings, most: int | None, *, clock: Clock, health: Health) -> None:
        self._most = most
        self._clock = clock
        self._health = health
        #: When it last answered, whatever it said.
        self._replied_at = _NEVER
        #: Seconds in which a batch poll is answered: a moving average.
        self._answered_in = 0.0
        self.apply(settings)

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from now on; what was learned under the old ones is forgotten."""
        self._settings = settings
        self._limit = BatchLimit.of(min(settings.max_ids, self._most or 1))
        #: Batches in a row that failed while their halves did not.
        self._halved = 0
        self._again_at = _NEVER

    def clear_trouble(self) -> None:
        self._health.clear(self._part)

    @property
    def _part(self) -> str:
        return f"provider {self._settings.name} batch route"

    @property
    def limit(self) -> int:
        """IDs in one batch poll at most, as far as we know."""
        return self._limit.limit

    def usable(self, now: float) -> bool:
        """Whether several IDs can be asked for at once."""
        return self._settings.batch and self._most is not None and now >= self._again_at

    def answers(self, now: float) -> bool:
        """Whether it answered just now."""
        return now - self._replied_at < self.part_late_after

    @property
    def late_after(self) -> float:
        """Seconds after which a batch poll is so late that one of its IDs may be why."""
        return max(_LATE, _LATE_TIMES * self._answered_in)

    @property
    def part_late_after(self) -> float:
        """The same for a part of a batch that failed or is late: it is likely that one of its IDs is why."""
        return max(_PART_LATE, _LATE_TIMES * self._answered_in)

    # ---- what came back ----
    def replied(self) -> None:
        """It answered, whatever it said."""
        self._replied_at = self._clock.monotonic()

    def answered(self, asked: int, *, sent_at: float) -> None:
        """A batch poll of so many IDs was answered as it should be."""
        self._answered_in += (self._clock.monotonic() - sent_at - self._answered_in) * _WEIGHT
        self.clear_trouble()
        self._limit = self._limit.proved(asked)
        if asked >= self.limit:
            self._halved = 0

    def too_large(self, size: int) -> None:
        """The provider says that so many IDs are too many."""
        self._limit = self._limit.refused(size)

    def learn(self, bisection: Bisection) -> Diagnosis:
        """What a refused batch taught of the route, once all its parts were answered."""
        diagnosis = bisection.diagnosis()
        if diagnosis is Diagnosis.BATCH_ROUTE_UNUSABLE:
            if not bisection.failed or self._halved:
                self.do_without(bisection.reason)
                return diagnosis
            self._halved += 1  # by chance, perhaps: a batch that failed once may be taken the next time
            return Diagnosis.TOO_LARGE
        if diagnosis is Diagnosis.TOO_LARGE:
            self._halved += 1
            # One that failed once, without a word about its size, may have failed by chance.
            if not bisection.failed or bisection.too_large or self._halved > 1:
                size = len(bisection.ids)
                self.too_large(min(size, 2 * bisection.largest_answered) if bisection.too_large else size)
                self._halved = 0
        return diagnosis

    def do_without(self, said: str) -> None:
        """Single requests work, and this route refuses or hangs; `said` is its last word."""
        self._again_at = self._clock.monotonic() + RETRY
        reason = f"{said} Single requests work, so IDs are asked one by one for 10 minutes: set `batch: off`"
        if self._health.trouble(self._part, reason):
            _log.warning(log_events.POLL_FAILED, provider=self._settings.name, error=reason)
