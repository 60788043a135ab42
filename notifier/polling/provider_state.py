"""Whether one provider is well, as far as requests about its IDs tell, and what that lets us ask it.

The decisions are pure (`backoff`, `batching.blame`); here they are kept together, and reported to log and readiness.
Three parts of it are public, and callers ask the part that knows: `budget` (what may be asked), `batch_route` and
`long_poll` (what is known of these two kinds of request).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from notifier.domain.errors import BatchRejected, NotAsked, ProviderBusy, ProviderError
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.settings import ProviderSettings
from notifier.polling.backoff import SHORT_PROBES, ProviderHealth, Trouble, knows_none
from notifier.polling.batch_route import BatchRoute
from notifier.polling.batching.bisect import Bisection, Diagnosis
from notifier.polling.batching.blame import MOST_DOUBLED, Evidence
from notifier.polling.budget import Budget
from notifier.polling.long_poll.route import LongPollRoute
from notifier.providers.base import Capabilities
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.store.records import Trouble as Noted

_log = structlog.get_logger()

_NEVER: Final = float("-inf")
#: Seconds for which it is remembered that the provider was doubted and was well.
FALSE_ALARM_COUNTS: Final = 600.0
#: Seconds for which IDs are missed one by one, until that speaks against the provider: a new one may not be readable
#: yet. As long as some were never asked about it takes longer. So many IDs are remembered.
PATIENT: Final = 10.0
LONG_ENOUGH: Final = 60.0
_REMEMBERED: Final = 1_000
#: Doublings of `hangs_after`; then it is longer than any request may take.
_HANGS_DOUBLED: Final = 8
#: IDs that are remembered as answered lately.
_TRUSTED: Final = 8


class ProviderState:
    """Of one provider. Times are monotonic seconds."""

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        capabilities: Capabilities,
        clock: Clock,
        random: Callable[[], float],
        health: Health,
    ) -> None:
        self._clock = clock
        self._random = random
        self._health = health
        self.budget = Budget(settings, health)
        self.batch_route = BatchRoute(settings, capabilities.batch, clock=clock, health=health)
        self.long_poll = LongPollRoute(settings, capabilities.long_poll, clock)
        #: When a reply last held any ID; None if none ever did.
        self.answered_at: float | None = None
        self._forget(settings)

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from now on; troubles under the old ones are forgotten."""
        self.budget.apply(settings)
        self.batch_route.apply(settings)
        self.long_poll.apply(settings)
        self._forget(settings)

    def _forget(self, settings: ProviderSettings) -> None:
        self.name: ProviderName = settings.name
        #: IDs that replies held lately.
        self.trusted: deque[GenerationId] = deque(maxlen=_TRUSTED)
        self._provider_health = ProviderHealth()
        #: The same for people; None while it answers, or was not asked yet.
        self.trouble: Noted | None = None
        self._remembered: Noted | None = None
        #: What failed since it last answered.
        self.evidence = Evidence()
        #: Doubted troubles in a row that one of the first probes ended, and when the last one was.
        self._false_alarms, self._alarmed_at = 0, _NEVER
        #: IDs that single polls missed since a reply last held any -> when the first of these polls was answered.
        self._missed_singly: dict[GenerationId, float] = {}
        self.clear_troubles()

    def clear_troubles(self) -> None:
        """Take every trouble of this provider back."""
        self._health.clear(self._part)
        self.batch_route.clear_trouble()

    @property
    def _part(self) -> str:
        return f"provider {self.name}"

    def remember(self, trouble: Noted) -> None:
        """The last run left it in this trouble: it goes on, unless it is answered now."""
        self._remembered = trouble

    @property
    def absent(self) -> bool:
        """Whether it answers, and knows none of the IDs."""
        return self._provider_health.trouble is Trouble.ABSENT

    @property
    def answers(self) -> bool:
        """Whether it answered in this run, and is in no trouble now."""
        return self._provider_health.ok and self.evidence.answered_at > _NEVER

    # ---- what may be asked ----
    def room(self, now: float) -> int:
        """Requests that may be made now."""
        budget = self.budget
        return self._provider_health.room(now, free=budget.free(now), in_flight=budget.polls - budget.hanging)

    def room_for_batches(self, now: float) -> int:
        """The same for batch polls: unless these are answered just now, they leave one place.

        If the route hangs, single requests show it, and are what is left.
        """
        most = self.budget.in_flight
        places = most if self.batch_route.answers(now) else max(1, most - 1)
        return max(0, min(self.room(now), places - self.budget.batches))

    def crowded_out(self, now: float) -> bool:
        """Whether a poll could be made now if long-polls left a place for it."""
        return self.budget.long_polls >= self.budget.in_flight and not self.budget.polls and self.wait(now) <= 0

    def capacity(self, now: float) -> float:
        """IDs that can be polled per second."""
        return self.budget.rate * (self.batch_route.limit if self.batch_route.usable(now) else 1)

    def wait(self, now: float) -> float:
        """Seconds until a request may be made, as far as time decides it; 0 or less if it may."""
        return max(self.budget.wait(now), self._provider_health.until - now)

    def well(self) -> bool:
        """Whether it is asked as usual."""
        return self._provider_health.asked_as_usual

    @property
    def troubled(self) -> bool:
        """Whether anything speaks against it, though it may be asked as usual."""
        return not self._provider_health.ok

    @property
    def probes(self) -> int | None:
        """How many requests found the provider in doubted trouble; None if it is not in such trouble."""
        return self._provider_health.failures if self._provider_health.doubted else None

    @property
    def hangs_after(self) -> float:
        """Seconds after which a request keeps a provider in trouble from being asked about others no longer.

        With each failure twice as many: if everything hangs, not one probe more is made in the end.
        """
        return self.batch_route.late_after * 2.0 ** min(self._provider_health.failures, _HANGS_DOUBLED)

    def registered(self, now: float) -> None:
        """An ID was registered: a provider that knew none, or failed for the only ID there was, may know this one."""
        self._provider_health = self._provider_health.registered(now)

    # ---- what came back ----
    def knows_none(self, *, asked: int, held: int) -> bool:
        """Whether such a reply speaks against the provider and not against the IDs."""
        return knows_none(asked=asked, held=held, now=self._clock.monotonic(), answered_at=self.answered_at)

    def answered(self, *, sent_at: float, asked: int, held: int, batch: bool) -> float | None:
        """A reply to `asked` IDs held `held` of them. Since when there was an outage that it ended, if it ended one."""
        self.budget.asked(sent_at)
        self.evidence.answered(sent_at=sent_at)
        if held:
            self.answered_at = self._clock.monotonic()
            self._missed_singly.clear()
        outage_since = None
        if not self.absent:
            outage_since = self._recover(sent_at)
        elif held:  # whenever it was asked: it knows one
            self._recover(self._clock.monotonic())
        self.budget.answered()
        if batch:
            self.batch_route.answered(asked, sent_at=sent_at)
        return outage_since

    def probing(self, sent_at: float) -> bool:
        """Whether a request that was sent then asked a provider in trouble whether it is over."""
        return not self._provider_health.ok and sent_at > self._provider_health.failed_at

    def doubt(
        self,
        ids: Sequence[GenerationId],
        error: ProviderError,
        *,
        sent_at: float,
        watched: int,
        at_once: bool = False,
    ) -> None:
        """A request about these failed, perhaps because of one of them.

        `watched` is how many IDs there are that are not known to be bad; `at_once`: one failure is
        enough, unless the provider was found to be well after such a one lately.
        """
        self.budget.asked(sent_at)
        evidence = self.evidence
        evidence.failed(ids, sent_at=sent_at)
        lately = sent_at < self._alarmed_at + FALSE_ALARM_COUNTS
        known = evidence.against_provider(watched=watched, doubled=self._false_alarms if lately else 0)
        if not self._provider_health.ok or known or (at_once and not lately):
            since = evidence.since if evidence else None
            others = not evidence.of_all(watched=watched)
            self.failed(error, sent_at=sent_at, since=since, doubted=others, asked=ids)

    def failed(
        self,
        error: ProviderError,
        *,
        sent_at: float,
        since: float | None = None,
        doubted: bool = False,
        asked: Sequence[GenerationId] = (),
    ) -> None:
        """Nobody can be asked about for a time, or until the operator acts. `since`, `doubted`: `ProviderHealth`."""
        now, reason = self._clock.monotonic(), _about(str(error), asked)
        if isinstance(error, NotAsked):
            self.budget.not_asked(error, sent_at=sent_at, now=now)
            return
        self.budget.asked(sent_at)
        busy = isinstance(error, ProviderBusy)
        health = self._provider_health.failed(
            Trouble.BUSY if busy else Trouble.REFUSED,
            now,
            asked_at=sent_at,
            reason=reason,
            jitter=self._random() if busy else 0.0,
            retry_after=error.wait if busy else None,
            since=since,
            doubted=doubted,
        )
        if isinstance(error, ProviderBusy) and error.overloaded and health is not self._provider_health:
            self.budget.overloaded()  # many that fail together are one sign
        self._note(health)

    def missed_singly(self, id_: GenerationId, *, sent_at: float, watched: int, untried: bool) -> None:
        """A single poll of it was answered without it; that may be so for several IDs, one after the other."""
        now = self._clock.monotonic()
        missed = self._missed_singly
        if len(missed) < _REMEMBERED:
            missed.setdefault(id_, now)
        since = now - next(iter(missed.values()))
        tried = len(missed) >= watched or since >= LONG_ENOUGH  # the next one may be known
        if since >= PATIENT and tried and self.knows_none(asked=len(missed), held=0):
            what = f"none of the {len(missed)} IDs asked, such as {id_}, is there"
            self.knew_none(what, sent_at=sent_at, untried=untried)

    def knew_none(self, what: str, *, sent_at: float, untried: bool) -> None:
        """It answered, and about none of the IDs asked; `untried`: there are others, not asked about yet."""
        fix = "check this provider's api_key (is it the account that made them?), base_url and kind"
        now, reason = self._clock.monotonic(), f"{what}: {fix}"
        self._note(self._provider_health.absent(now, asked_at=sent_at, reason=reason, untried=untried))

    def refused(self, error: BatchRejected, *, sent_at: float, size: int) -> float | None:
        """A batch of `size` was refused: something in it is wrong, and the provider is there. As `answered`."""
        outage_since = None if error.foreign else self.replied(sent_at=sent_at)
        if error.too_large:
            self.batch_route.too_large(size)
        _log.info(log_events.POLL_FAILED, provider=self.name, error=str(error), ids=size, batch=self.batch_route.limit)
        return outage_since

    def replied(self, *, sent_at: float) -> float | None:
        """It answered, though not with what can be read of every ID: it is there. As `answered`."""
        self.budget.asked(sent_at)
        self.evidence.answered(sent_at=sent_at)
        if self._provider_health.trouble in (Trouble.BUSY, Trouble.REFUSED):
            return self._recover(sent_at)
        return None

    def learn(self, bisection: Bisection, *, untried: bool) -> Diagnosis:
        """What a refused batch taught, once all its parts were answered; `untried` as in `knew_none`."""
        diagnosis = self.batch_route.learn(bisection)
        if diagnosis is not Diagnosis.PROVIDER_KNOWS_NONE:
            return diagnosis
        if not self.knows_none(asked=len(bisection.ids), held=0):
            return Diagnosis.BAD_IDS  # it answered about others lately
        what = f"{bisection.reason} Nor does it hold any of these {len(bisection.ids)} IDs alone"
        self.knew_none(what, sent_at=self._clock.monotonic(), untried=untried)
        return diagnosis

    # ---- its health ----
    def _note(self, health: ProviderHealth) -> None:
        if health is self._provider_health:  # of a request sent before the trouble began: nothing new
            return
        self._provider_health = health
        wall, before = self._clock.now(), self.trouble or self._remembered
        self._remembered = None
        self.trouble = Noted(
            kind=health.trouble.value,
            reason=health.reason,
            since=before.since if before else wall,
            last=wall,
            times=before.times + 1 if before else 1,
        )
        fresh = self._health.trouble(self._part, health.reason)
        if not fresh and not health.failures:  # the same trouble, with other IDs
            return
        log = _log.error if health.paused else _log.warning
        log(
            log_events.PROVIDER_PAUSED,
            provider=self.name,
            trouble=health.trouble.value,
            error=health.reason,
            again_in_s=round(max(0.0, health.until - self._clock.monotonic()), 1),
        )

    def _recover(self, sent_at: float) -> float | None:
        health = self._provider_health.answered(asked_at=sent_at)
        if health.ok and not self._provider_health.ok:
            _log.info(log_events.PROVIDER_RESUMED, provider=self.name, after=self._provider_health.trouble.value)
            self._health.clear(self._part)
        if health.ok:
            self.trouble = self._remembered = None
        before, self._provider_health = self._provider_health, health
        if not (health.ok and before.doubted):
            return None
        self._alarmed_at = sent_at
        if before.failures > SHORT_PROBES:
            self._false_alarms = 0
            return before.since
        self._false_alarms = min(MOST_DOUBLED, self._false_alarms + 1)
        return None


def _about(said: str, ids: Sequence[GenerationId]) -> str:
    """With the IDs that were asked for, if one of them may be the reason."""
    if not ids:
        return said
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"{said}{'' if said[-1:] in '.!?…' else '.'} Asked for: {ids[0]}{more}."
