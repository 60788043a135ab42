"""Takes replies in: learns from what was seen, writes what changed, queues the rest for its next poll. Steps 7 and 8.

An unchanged observation writes nothing. While the store cannot write, what was seen waits here, in the task of its
reply, until it is written.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import structlog

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import GenerationId
from notifier.domain.model import Kind, Observation, State, Transition
from notifier.domain.settings import ProviderSettings
from notifier.polling.backoff import is_unknown
from notifier.polling.learning.lag_histogram import LagHistogram
from notifier.polling.provider_state import ProviderState
from notifier.polling.scheduling.open_generation import (
    PollTimes,
    TrackedGeneration,
    believes,
    miss,
    overdue,
    see,
)
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.providers.state_words import NO_RESULT, how_to_teach
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import PollStore
from notifier.store.records import Ending, Recorded

_log = structlog.get_logger()
T = TypeVar("T")

#: Seconds between two tries of a write that the store could not make, without a wakeup.
LONGEST_WAIT: Final = 5.0
#: Why a watch of an ID expires if the provider does not answer about that ID.
PROVIDER_ERROR: Final = "provider_error"
#: Unknown words for states that are warned of, at most.
MOST_WORDS: Final = 100
#: Seconds between two saves of what was learned, and between two lines on how late we knew.
SAVE_EVERY: Final = 60.0
TELL_EVERY: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollContext:
    """How a reply came to be."""

    times: PollTimes
    #: True if it used the batch route.
    batch: bool
    #: True if it was part of a refused batch.
    part: bool = False
    #: True if it was a long-poll that the provider kept.
    kept: bool = False


@dataclass(slots=True, kw_only=True)
class _Round:
    """One reply on its way from what was seen to what is written."""

    context: PollContext
    #: Entry -> how often it was joined when the reply came.
    entries: dict[TrackedGeneration, int] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class Recorder:
    """Of one provider."""

    settings: ProviderSettings
    generations: OpenGenerations
    provider: ProviderState
    store: PollStore
    clock: Clock
    deliveries: Wakeup
    health: Health
    _warned_of: set[str] = field(default_factory=set)
    _lags: LagHistogram = field(default_factory=LagHistogram)
    #: Whether something was learned since the last save.
    _unsaved: bool = False
    _save_at: float = field(init=False)
    _tell_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._save_at = self._tell_at = self.clock.monotonic() + SAVE_EVERY

    async def take_in(self, context: PollContext, observations: Sequence[Observation]) -> Sequence[TrackedGeneration]:
        """Learn from what was seen, write what changed, and say when to poll again. What nobody watches any more."""
        round_ = _Round(context=context)
        for seen in observations:
            if (entry := self.generations.get(seen.id)) is not None:
                round_.entries[entry] = entry.joined
                self._sight(entry, seen, round_)
        gone = [*await self._record(round_), *await self._end(round_)]
        self._again(round_)
        return gone

    def _sight(self, entry: TrackedGeneration, seen: Observation, round_: _Round) -> None:
        context = round_.context
        if seen.absent:
            miss(entry, context.times.got, single=not context.batch)
            self.generations.exclude(entry)
            if context.part and not context.batch and not entry.poll_singly:
                entry.isolate()  # now, not when the bisection is done: it would rejoin a batch meanwhile
            return
        if seen.unmapped:
            self._warn_unmapped(seen)
        if not believes(entry, seen, context.times):
            return
        if self.generations.learn(entry, seen, context.times, kept=context.kept):
            _log.warning(
                log_events.GENERATION_STALLED,
                provider=self.settings.name,
                generation=entry.id,
                age_s=round(context.times.got - entry.age_origin),
                usual_s=round(entry.curve.p99),
                note="99 of 100 of its kind are there sooner: it may be stuck at the provider; its watches go on",
            )
        if transition := see(entry, seen, context.times, self.settings):
            round_.transitions.append(transition)

    def _again(self, round_: _Round) -> None:
        """When to poll again what stays."""
        context = round_.context
        now, wall = self.clock.monotonic(), self.clock.now().timestamp()
        for entry in round_.entries:
            if not self.generations.tracks(entry) or entry.long_polled:
                continue
            polled = context.times.sent if entry.polled_at is None else max(entry.polled_at, context.times.sent)
            self.generations.schedule_next(
                entry, polled=polled, now=now, singly=entry.poll_singly or not context.batch, wall=wall
            )

    async def _record(self, round_: _Round) -> Sequence[TrackedGeneration]:
        if not (transitions := round_.transitions):
            return ()
        recorded = await self._insist(lambda: self.store.record_transitions(transitions, now=self.clock.now()))
        self._unsaved = True
        for transition, outcome in zip(transitions, recorded, strict=True):
            seen = transition.observation
            if seen.state is State.COMPLETED and seen.confirmations == NO_RESULT:
                _log.warning(  # the callback goes out, with the record as it came
                    log_events.RESULT_MISSING,
                    provider=self.settings.name,
                    generation=seen.id,
                    word=seen.provider_state,
                    note=f"{NO_RESULT} polls showed it completed, and no URL or text where results are looked for",
                )
            before = transition.not_before
            late = None if before is None else (transition.observed_at - before).total_seconds()
            self._lags.add(late, long_polled=round_.context.kept)
            _log.debug(  # the attempt that follows has its own line
                log_events.GENERATION_ADVANCED,
                provider=transition.provider,
                generation=seen.id,
                state=seen.state,
                provider_state=seen.provider_state,
                enqueued=outcome.enqueued,
                not_before=before and before.isoformat(),
            )
            if (entry := self.generations.get(seen.id)) is not None:
                entry.state = seen.state
                entry.not_before = transition.observed_at
        return self._follow([transition.observation.id for transition in transitions], recorded, round_.entries)

    async def _end(self, round_: _Round) -> Sequence[TrackedGeneration]:
        """End watches whose deadline has passed, and those of IDs that the provider does not know."""
        times = round_.context.times
        asked_at = times.asked_at.timestamp()
        endings = []
        for entry in round_.entries:
            late = overdue(entry, asked_at)
            if not (late or entry.misses.count) or not self.generations.tracks(entry):
                continue
            gone = is_unknown(entry.misses, other_answered_at=self.provider.answered_at)
            if gone or late:
                kind = Kind.UNKNOWN if gone else Kind.EXPIRED
                endings.append(
                    Ending(provider=self.settings.name, generation=entry.id, kind=kind, observed_at=times.asked_at)
                )
        return await self._end_watches(endings, round_.entries)

    async def expire_failing(self, id_: GenerationId, asked_at: datetime) -> Sequence[TrackedGeneration]:
        """Requests about this ID fail, and only these: end its watches if their deadline has passed. As `take_in`."""
        entry = self.generations.get(id_)
        if entry is None or not overdue(entry, asked_at.timestamp()):
            return ()
        ending = Ending(
            provider=self.settings.name,
            generation=id_,
            kind=Kind.EXPIRED,
            observed_at=asked_at,
            reason=PROVIDER_ERROR,
        )
        return await self._end_watches([ending], {entry: entry.joined})

    async def _end_watches(
        self, endings: Sequence[Ending], entries: Mapping[TrackedGeneration, int]
    ) -> Sequence[TrackedGeneration]:
        if not endings:
            return ()
        recorded = await self._insist(lambda: self.store.end_watches(endings, now=self.clock.now()))
        for ending, outcome in zip(endings, recorded, strict=True):
            _log.info(
                log_events.WATCHES_ENDED,
                provider=ending.provider,
                generation=ending.generation,
                kind=ending.kind,
                enqueued=outcome.enqueued,
            )
        return self._follow([ending.generation for ending in endings], recorded, entries)

    def _follow(
        self, ids: Sequence[GenerationId], recorded: Sequence[Recorded], entries: Mapping[TrackedGeneration, int]
    ) -> Sequence[TrackedGeneration]:
        """Stop tracking what nobody watches any more, unless a watch joined during the poll. What that is."""
        gone = []
        if any(outcome.enqueued for outcome in recorded):
            self.deliveries.notify()
        for id_, outcome in zip(ids, recorded, strict=True):
            entry = self.generations.get(id_)
            if entry is None:
                continue
            as_before = entries.get(entry) == entry.joined
            if outcome.open is not None:
                known = outcome.open.deadline.timestamp()
                entry.deadline = known if as_before else min(known, entry.deadline)
                if as_before:
                    self.generations.retarget(entry, outcome.open.target)
                    self.generations.set_destinations(entry, outcome.open.destinations)
            elif as_before or (entry.state is not None and entry.state.final):
                self.generations.remove(entry)
                gone.append(entry)
        return gone

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Try until it is written: what was seen would cost requests to see again."""
        while True:
            try:
                return await write()
            except StoreUnavailable as error:
                self.health.store_failed(error)
                await self.health.wait_for_store(LONGEST_WAIT)

    # ---- what was learned ----
    async def keep(self) -> None:
        """Save it now and then, and log how late states were known; what a crash loses is learned again."""
        now = self.clock.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY
            lags, self._lags = self._lags, LagHistogram()
            if lags.count:
                _log.info(
                    log_events.OBSERVED,
                    provider=self.settings.name,
                    count=lags.count,
                    long_polled=lags.long_polled,
                    within_s_50=lags.within(0.5),
                    within_s_99=lags.within(0.99),
                )
        if now >= self._save_at and self.health.store_up:
            await self.save()

    async def save(self) -> None:
        """Save what was learned since the last time; if the store cannot write, it stays unsaved."""
        if not self._unsaved:
            return
        self._save_at, self._unsaved = self.clock.monotonic() + SAVE_EVERY, False
        try:
            learned = self.generations.curves.dump()
            await self.store.save_learned(self.settings.name, learned, now=self.clock.now())
        except StoreUnavailable as error:
            self._unsaved = True
            self.health.store_failed(error)

    def _warn_unmapped(self, seen: Observation) -> None:
        """Once for each word: it counts as running until somebody says what it means."""
        word = seen.provider_state or ""
        if word in self._warned_of or len(self._warned_of) >= MOST_WORDS:
            return
        self._warned_of.add(word)
        _log.warning(
            log_events.STATE_UNMAPPED,
            provider=self.settings.name,
            generation=seen.id,
            word=word,
            taken_as="running",
            fix=how_to_teach(word) if word else "its record has no word for its state, and no result yet",
        )
