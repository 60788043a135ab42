"""How one provider is dealt with now: its budget, its troubles, what it taught us of batches.

The decisions are `trouble`'s, `plan`'s and `split`'s; here they are kept together, and told to log and readiness. What
is known of generations is the provider loop's.
"""

from collections import deque
from collections.abc import Callable, Sequence
from math import ceil
from typing import Final

import structlog

from notifier.domain.errors import BatchRejected, NotAsked, ProviderBusy, ProviderError
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.settings import ProviderSettings
from notifier.polling.aimd import AdaptiveLimit
from notifier.polling.backoff import SHORT_PROBES, ProviderHealth, Trouble, knows_none
from notifier.polling.batching.batch_limit import BatchLimit
from notifier.polling.batching.bisect import Bisection, Diagnosis
from notifier.polling.batching.blame import MOST_DOUBLED, Evidence
from notifier.polling.long_poll.support import QUICK, LongPollSupport, Mode, showed
from notifier.providers.base import Capabilities
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.rate_limiter import TokenBucket
from notifier.runtime.resource_backoff import ResourceBackoff
from notifier.store.records import Trouble as Noted

_log = structlog.get_logger()

#: Splits and IDs that stand alone get this share of the rate.
IRREGULAR_SHARE: Final = 0.2
#: An unusable multi route is tried again after this many seconds.
MULTI_RETRY: Final = 600.0
_NEVER: Final = float("-inf")
#: A doubt that was none is remembered for so many seconds.
FALSE_ALARM_COUNTS: Final = 600.0
#: Seconds for which IDs are missed one by one, until that speaks against the provider: a new one may not be readable
#: yet. As long as some were never asked about it takes longer. So many IDs are remembered.
PATIENT: Final = 10.0
LONG_ENOUGH: Final = 60.0
_REMEMBERED: Final = 1_000
#: A sweep without an answer is late after so many seconds, and after so many times as long as sweeps take lately.
_LATE: Final = 5.0
_PART_LATE: Final = 1.0
#: Doublings of the former; then it is longer than any request may take.
_HANGS_DOUBLED: Final = 8
_LATE_TIMES: Final = 4.0
#: IDs that are remembered as answered lately.
_TRUSTED: Final = 8
#: Weight of one request in what holds lately.
_LATELY: Final = 0.2


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
        self._capabilities = capabilities
        #: Requests under way that are answered at once, and those that wait.
        self._in_flight, self._long_polls = 0, 0
        #: Of the former, those about several IDs, and those that stand aside.
        self._batches, self._irregular = 0, 0
        #: When the multi route last answered, whatever it said.
        self._multi_spoke_at = _NEVER
        #: Of the former, those that are under way for so long that they keep no other from being made.
        self.hanging = 0
        #: Seconds that a request takes, lately.
        self._took = 0.0
        #: Seconds in which a sweep is answered, lately.
        self._answered_in = 0.0
        #: When any ID was last held by a reply; None where none ever was.
        self.answered_at: float | None = None
        #: Where this machine has too little to ask.
        self._backoff = ResourceBackoff()
        self._bucket, self._irregular_bucket = TokenBucket(settings.rate), TokenBucket(settings.rate * IRREGULAR_SHARE)
        self.settle(settings)

    def settle(self, settings: ProviderSettings) -> None:
        """Use these from now on; troubles under the old ones are forgotten."""
        self._settings = settings
        self._adaptive_limit = AdaptiveLimit(settings.rate, settings.in_flight)
        self._pace()
        self.long_poll_support = LongPollSupport(mode=Mode(settings.long_poll), patience=self._capabilities.long_poll)
        self._batch_limit = BatchLimit.of(min(settings.max_ids, self._capabilities.batch or 1))
        #: IDs that were held by replies lately.
        self.trusted: deque[GenerationId] = deque(maxlen=_TRUSTED)
        self._standing = ProviderHealth()
        #: The same for people; None while it answers, or was not asked yet.
        self.trouble: Noted | None = None
        self._remembered: Noted | None = None
        #: What failed since it last answered.
        self.evidence = Evidence()
        #: Batches in a row that failed while their halves did not.
        self._halved = 0
        #: Doubted troubles in a row that one of the first probes ended, and when the last one was.
        self._false_alarms, self._alarmed_at = 0, _NEVER
        #: IDs that requests about them alone missed since any was held -> when they first did.
        self._missed_alone: dict[GenerationId, float] = {}
        self._multi_again_at = _NEVER
        self.leave()

    def leave(self) -> None:
        """Take every trouble of this provider back."""
        self._health.clear(self._part)
        self._health.clear(self._route)

    @property
    def name(self) -> ProviderName:
        return self._settings.name

    @property
    def _part(self) -> str:
        return f"provider {self._settings.name}"

    @property
    def _route(self) -> str:
        return f"provider {self._settings.name} multi route"

    def remember(self, trouble: Noted) -> None:
        """The last run left it in this trouble: it goes on, unless it is answered now."""
        self._remembered = trouble

    @property
    def absent(self) -> bool:
        """Whether it answers, and knows none of the IDs."""
        return self._standing.trouble is Trouble.ABSENT

    @property
    def answers(self) -> bool:
        """Whether it answered in this run, and is in no trouble now."""
        return self._standing.ok and self.evidence.answered_at > _NEVER

    # ---- what may be asked ----
    def room(self, now: float) -> int:
        """Requests that may be made now."""
        asked = self._in_flight + self._long_polls
        free = min(self._adaptive_limit.in_flight - asked, self._bucket.available(now))
        if (allowed := self._backoff.room(now=now, in_flight=asked)) is not None:
            free = min(free, allowed)
        return self._standing.room(now, free=free, in_flight=self._in_flight - self.hanging)

    def room_for_batches(self, now: float) -> int:
        """The same for requests about several IDs: unless these are answered just now, they leave one place.

        If the route hangs, single requests show it, and are what is left.
        """
        answers = now - self._multi_spoke_at < self.part_late_after
        places = self.in_flight if answers else max(1, self.in_flight - 1)
        return max(0, min(self.room(now), places - self._batches))

    @property
    def in_flight(self) -> int:
        """Requests at a time."""
        return self._adaptive_limit.in_flight

    def crowded_out(self, now: float) -> bool:
        """Whether a look that is answered at once could be made now, if requests that wait left a place for it."""
        return self._long_polls >= self._adaptive_limit.in_flight and not self._in_flight and self.wait(now) <= 0

    def capacity(self, now: float) -> float:
        """IDs that can be looked at per second."""
        return self._adaptive_limit.rate * (self.batch if self.multi(now) else 1)

    @property
    def apart(self) -> float:
        """Seconds between two requests while the budget is used up."""
        return 1 / self._adaptive_limit.rate

    @property
    def places_for_polls(self) -> int:
        """Requests at a time that sweeps need to use up the budget, as long as they take lately."""
        return ceil(self._adaptive_limit.rate * self._took)

    def idle(self, now: float) -> bool:
        """Whether the budget is not used up."""
        return self._bucket.full(now)

    def well(self) -> bool:
        """Whether it is asked as usual."""
        return self._standing.asked_as_usual

    @property
    def troubled(self) -> bool:
        """Whether anything speaks against it, though it may be asked as usual."""
        return not self._standing.ok

    @property
    def probes(self) -> int | None:
        """How many requests found the provider in doubted trouble; None where it is not in such trouble."""
        return self._standing.strikes if self._standing.doubted else None

    @property
    def late_after(self) -> float:
        """Seconds after which a sweep is so late that one of its IDs may be why."""
        return max(_LATE, _LATE_TIMES * self._answered_in)

    @property
    def hangs_after(self) -> float:
        """Seconds after which a request keeps a provider in trouble from being asked about others no longer.

        With each failure twice as many: where everything hangs, not one probe more is made in the end.
        """
        return self.late_after * 2.0 ** min(self._standing.strikes, _HANGS_DOUBLED)

    @property
    def part_late_after(self) -> float:
        """The same for a part of a batch that failed or is late: that one of its IDs is why is likely."""
        return max(_PART_LATE, _LATE_TIMES * self._answered_in)

    def room_for_irregular(self, now: float) -> int:
        """Requests that may be made now for parts of refused batches and for IDs that stand alone."""
        return min(self._irregular_bucket.available(now), self.places_for_irregular)

    @property
    def places_for_irregular(self) -> int:
        """Of those at a time they get half, because what hangs is among them."""
        return max(0, max(1, self.in_flight // 2) - self._irregular)

    @property
    def batch(self) -> int:
        """IDs in one sweep at most, as far as we know."""
        return self._batch_limit.limit

    def multi(self, now: float) -> bool:
        """Whether many IDs can be asked for at once."""
        return self._settings.batch and self._capabilities.batch is not None and now >= self._multi_again_at

    def wait(self, now: float) -> float:
        """Seconds until a request may be made, as far as time decides it; 0 or less where it may."""
        return max(self._bucket.wait(now), self._standing.until - now, self._backoff.wait(now))

    def begin(self, now: float, *, irregular: bool = False, long_poll: bool = False, batch: bool = False) -> None:
        """A request is made."""
        self._bucket.take(now)
        if irregular:
            self._irregular_bucket.take(now)
        self._in_flight += not long_poll
        self._long_polls += long_poll
        self._batches += batch and not long_poll
        self._irregular += irregular

    def repeat(self, now: float) -> bool:
        """A request under way is made once more, if the budget allows it now."""
        return self._bucket.take(now)

    def end(self, *, took: float, irregular: bool = False, long_poll: bool = False, batch: bool = False) -> None:
        """A request is over after so many seconds, whatever came of it."""
        self._in_flight -= not long_poll
        self._long_polls -= long_poll
        self._batches -= batch and not long_poll
        self._irregular -= irregular
        if not long_poll:
            self._took += (took - self._took) * _LATELY

    def registered(self, now: float) -> None:
        """An ID was registered: a provider that knew none, or failed for the only ID there was, may know this one."""
        self._standing = self._standing.registered(now)

    # ---- what came back ----
    def knows_none(self, *, asked: int, held: int) -> bool:
        """Whether such a reply speaks against the provider and not against the IDs."""
        return knows_none(asked=asked, held=held, now=self._clock.monotonic(), answered_at=self.answered_at)

    def answered(self, *, sent_at: float, asked: int, held: int, multi: bool) -> float | None:
        """A reply to `asked` IDs held `held` of them. Since when there was an outage that it ended, if it ended one."""
        self._was_asked(sent_at)
        self.evidence.answered(sent_at=sent_at)
        if held:
            self.answered_at = self._clock.monotonic()
            self._missed_alone.clear()
        outage_since = None
        if not self.absent:
            outage_since = self._recover(sent_at)
        elif held:  # whenever it was asked: it knows one
            self._recover(self._clock.monotonic())
        if self._adaptive_limit.share < 1.0:
            self._adaptive_limit.answered()
            self._pace()
        if multi:
            self._answered_in += (self._clock.monotonic() - sent_at - self._answered_in) * _LATELY
            self._health.clear(self._route)
            self._batch_limit = self._batch_limit.proved(asked)
            if asked >= self.batch:
                self._halved = 0
        return outage_since

    def multi_spoke(self) -> None:
        """The multi route answered, whatever it said."""
        self._multi_spoke_at = self._clock.monotonic()

    def probing(self, sent_at: float) -> bool:
        """Whether a request that was sent then asked a provider in trouble whether it is over."""
        return not self._standing.ok and sent_at > self._standing.struck_at

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
        self._was_asked(sent_at)
        evidence = self.evidence
        evidence.failed(ids, sent_at=sent_at)
        lately = sent_at < self._alarmed_at + FALSE_ALARM_COUNTS
        known = evidence.against_provider(watched=watched, doubled=self._false_alarms if lately else 0)
        if not self._standing.ok or known or (at_once and not lately):
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
            self._backoff.failed(began=sent_at, now=now, in_flight=self._in_flight + self._long_polls)
            self._health.resources_exhausted(str(error), now)
            return
        self._was_asked(sent_at)
        if isinstance(error, ProviderBusy):
            hint, jitter = error.retry_after, self._random()
            struck = self._standing.busy(
                now, asked_at=sent_at, reason=reason, jitter=jitter, retry_after=hint, since=since, doubted=doubted
            )
            if error.overloaded and struck is not self._standing:  # many that fail together are one sign
                self._adaptive_limit.cut()
                self._pace()
            self._strike(struck)
        else:
            self._strike(self._standing.refused(now, asked_at=sent_at, reason=reason, since=since, doubted=doubted))

    def missed_alone(self, id_: GenerationId, *, sent_at: float, watched: int, untried: bool) -> None:
        """A request about it alone was answered without it: so it is said of several IDs, one after the other."""
        now = self._clock.monotonic()
        missed = self._missed_alone
        if len(missed) < _REMEMBERED:
            missed.setdefault(id_, now)
        since = now - next(iter(missed.values()))
        tried = len(missed) >= watched or since >= LONG_ENOUGH  # the next one may be known
        if since >= PATIENT and tried and self.knows_none(asked=len(missed), held=0):
            self.knew_none(
                f"none of the {len(missed)} IDs asked, such as {id_}, is there",
                sent_at=sent_at,
                untried=untried,
            )

    def knew_none(self, what: str, *, sent_at: float, untried: bool) -> None:
        """It answered, and about none of the IDs asked; `untried`: there are others, not asked about yet."""
        fix = "check this provider's api_key (is it the account that made them?), base_url and kind"
        standing = self._standing.absent(
            self._clock.monotonic(),
            asked_at=sent_at,
            reason=f"{what}: {fix}",
            untried=untried,
        )
        self._strike(standing)

    def refused(self, error: BatchRejected, *, sent_at: float, size: int) -> float | None:
        """A batch of `size` was refused: something in it is wrong, and the provider is there. As `answered`."""
        outage_since = None if error.foreign else self.replied(sent_at=sent_at)
        if error.too_large:
            self._batch_limit = self._batch_limit.refused(size)
        _log.info(log_events.POLL_FAILED, provider=self._settings.name, error=str(error), ids=size, batch=self.batch)
        return outage_since

    def replied(self, *, sent_at: float) -> float | None:
        """It answered, though not with what can be read of every ID: it is there. As `answered`."""
        self._was_asked(sent_at)
        self.evidence.answered(sent_at=sent_at)
        if self._standing.trouble in (Trouble.BUSY, Trouble.REFUSED):
            return self._recover(sent_at)
        return None

    def learn(self, split: Bisection, *, untried: bool) -> Diagnosis:
        """What a refused batch taught, once all its parts were answered; `untried` as in `knew_none`."""
        lesson = split.diagnosis()
        if lesson is Diagnosis.PROVIDER_KNOWS_NONE and not self.knows_none(asked=len(split.ids), held=0):
            lesson = Diagnosis.BAD_IDS  # it answered about others lately
        match lesson:
            case Diagnosis.TOO_LARGE:
                self._too_large(split)
            case Diagnosis.MULTI_UNUSABLE if split.failed and not self._halved:
                self._halved += 1  # by chance, perhaps: a batch that failed once may be taken the next time
                lesson = Diagnosis.TOO_LARGE
            case Diagnosis.MULTI_UNUSABLE:
                self.do_without_multi(split.reason)
            case Diagnosis.PROVIDER_KNOWS_NONE:
                what = f"{split.reason} Nor does it hold any of these {len(split.ids)} IDs alone"
                self.knew_none(what, sent_at=self._clock.monotonic(), untried=untried)
            case Diagnosis.BAD_IDS:
                pass  # they stand alone by now
        return lesson

    def _too_large(self, split: Bisection) -> None:
        """A batch that failed once, without a word about its size, may have failed by chance."""
        self._halved += 1
        if not split.failed or split.too_large or self._halved > 1:
            size = len(split.ids)
            self._batch_limit = self._batch_limit.refused(
                min(size, 2 * split.largest_answered) if split.too_large else size
            )
            self._halved = 0

    def do_without_multi(self, said: str) -> None:
        """Single requests work where the multi route refuses; `said` is its last word."""
        self._multi_again_at = self._clock.monotonic() + MULTI_RETRY
        reason = f"{said} Single requests work, so IDs are asked one by one for 10 minutes: set `batch: off`"
        if self._health.trouble(self._route, reason):
            _log.warning(log_events.POLL_FAILED, provider=self._settings.name, error=reason)

    # ---- holds ----
    def held(self, *, took: float, reached: int, asked: int) -> None:
        """A hold of `asked` IDs was answered after `took` seconds, with so many of them at the target."""
        now = self._clock.monotonic()
        if asked == 1:
            self._long_poll(self.long_poll_support.kept(took=took, reached=reached > 0).judged(now))
        else:
            patience = self._capabilities.long_poll or 0.0
            self._long_poll(
                self.long_poll_support.learned(showed(took=took, patience=patience, reached=reached, asked=asked), now)
            )

    def forgo_single_long_polls(self) -> None:
        """The single route fails for IDs about which the multi route answers."""
        self._long_poll(self.long_poll_support.without(self._clock.monotonic()))

    def long_poll_broke(self, error: ProviderBusy, *, took: float, asked: int) -> bool:
        """A hold failed; True where that speaks against holding, and not against the provider."""
        if took < QUICK or error.retry_after is not None:
            return False
        now = self._clock.monotonic()
        self._long_poll(self.long_poll_support.broke(asked=asked, since=now - took, now=now))
        return True

    def _long_poll(self, holding: LongPollSupport) -> None:
        before, self.long_poll_support = self.long_poll_support, holding
        now = self._clock.monotonic()
        if before.any(now) != holding.any(now):
            _log.info(log_events.LONG_POLL_LEARNED, provider=self._settings.name, many=holding.any(now))
        if before.single(now) and not holding.single(now):
            note = (
                "it answers at once, or its gateway cuts long requests off: "
                "tried again in 10 minutes, or set long_poll: off"
            )
            _log.info(log_events.LONG_POLL_LEARNED, provider=self._settings.name, single=False, note=note)

    # ---- how it stands ----
    def _was_asked(self, sent_at: float) -> None:
        """The machine had enough for a request that was sent then."""
        if self._backoff.succeeded(began=sent_at):
            self._health.resources_recovered()

    def _pace(self) -> None:
        """Go by what is allowed now; the bucket stays, for a new one would be a second burst."""
        self._bucket.pace(self._adaptive_limit.rate)
        self._irregular_bucket.pace(self._adaptive_limit.rate * IRREGULAR_SHARE)

    def _strike(self, standing: ProviderHealth) -> None:
        if standing is self._standing:  # of a request sent before the trouble began: nothing new
            return
        self._standing = standing
        wall, before = self._clock.now(), self.trouble or self._remembered
        self._remembered = None
        self.trouble = Noted(
            kind=standing.trouble.value,
            reason=standing.reason,
            since=before.since if before else wall,
            last=wall,
            times=before.times + 1 if before else 1,
        )
        fresh = self._health.trouble(self._part, standing.reason)
        if not fresh and not standing.strikes:  # the same trouble, with other IDs
            return
        log = _log.error if standing.paused else _log.warning
        log(
            log_events.PROVIDER_PAUSED,
            provider=self._settings.name,
            trouble=standing.trouble.value,
            error=standing.reason,
            again_in_s=round(max(0.0, standing.until - self._clock.monotonic()), 1),
        )

    def _recover(self, sent_at: float) -> float | None:
        standing = self._standing.answered(asked_at=sent_at)
        if standing.ok and not self._standing.ok:
            _log.info(log_events.PROVIDER_RESUMED, provider=self._settings.name, after=self._standing.trouble.value)
            self._health.clear(self._part)
        if standing.ok:
            self.trouble = self._remembered = None
        before, self._standing = self._standing, standing
        if not (standing.ok and before.doubted):
            return None
        self._alarmed_at = sent_at
        if before.strikes > SHORT_PROBES:
            self._false_alarms = 0
            return before.since
        self._false_alarms = min(MOST_DOUBLED, self._false_alarms + 1)
        return None


def _about(said: str, ids: Sequence[GenerationId]) -> str:
    """With the IDs that were asked for, where one of them may be the reason."""
    if not ids:
        return said
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"{said}{'' if said[-1:] in '.!?…' else '.'} Asked for: {ids[0]}{more}."
