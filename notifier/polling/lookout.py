"""One provider's loop: takes what is due, asks, learns, and writes down what changed. Steps 3 to 8 of the path.

A lookout has its own agenda, budget and troubles, so one provider's never slow another. No transaction is open while a
request is under way, and an unchanged observation writes nothing. While the store cannot write nothing is asked, and
what was seen waits in its task until it is written.

With the metronome stopped nothing is looked at: a tick gives leave to look until a little after the next one is due.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier import telemetry
from notifier.bell import Bell
from notifier.clock import Clock
from notifier.delivery.payload import parked_because
from notifier.errors import BatchRejected, ProviderBusy, ProviderError, StoreUnavailable
from notifier.health import Health, Pulse
from notifier.ids import GenerationId
from notifier.model import Book, Glimpse, Kind, Observation, OpenGeneration, Transition
from notifier.polling.conduct import Conduct
from notifier.polling.glances import Glances
from notifier.polling.holding import QUICK
from notifier.polling.holds import Hold, Holds
from notifier.polling.lags import Lags
from notifier.polling.plan import plan
from notifier.polling.roster import Roster
from notifier.polling.split import Lesson, Split
from notifier.polling.watched import LookTimes, Watched, miss, overdue, see, unknown
from notifier.providers.base import Ask, Codec, Reply
from notifier.settings import ProviderSettings
from notifier.store.base import Ending, PollStore, Recorded

_log = structlog.get_logger()
T = TypeVar("T")

#: Seconds a tick's leave lasts; ticks come every 0.25 s.
LEAVE: Final = 1.0
LONGEST_WAIT: Final = 5.0
#: IDs that the multi route refuses and the single route holds, until the multi route counts as unusable.
PROOF: Final = 2
#: Words of states that are warned of, at most.
MOST_WORDS: Final = 100
#: Seconds between two saves of what was learned, and between two lines on how late we knew.
SAVE_EVERY: Final = 60.0
TELL_EVERY: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every lookout works with."""

    store: PollStore
    ask: Callable[[Ask, ProviderSettings], Awaitable[Reply]]
    clock: Clock
    chance: Callable[[], float]
    book: Callable[[], Book]
    #: Rung when a delivery was made.
    deliveries: Bell
    health: Health
    pulse: Pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A request under way."""

    ask: Ask
    #: Monotonic.
    at: float
    asked_at: datetime
    #: What it is part of, if anything.
    split: Split | None = None
    hold: Hold | None = None
    #: Those of its IDs that nobody watches, asked for because somebody wants to see them once more.
    guests: frozenset[GenerationId] = frozenset()


class Lookout:
    """Looks after the open generations of one provider."""

    def __init__(self, settings: ProviderSettings, codec: Codec, around: Surroundings) -> None:
        self._around = around
        self._bell = Bell()
        self._splits: deque[Split] = deque()
        #: ID -> what the multi route said when it refused that one ID.
        self._refused_alone: dict[GenerationId, str] = {}
        #: Those of them that the single route holds.
        self._held_alone: set[GenerationId] = set()
        self._leave_until = float("-inf")
        self._warned_of: set[str] = set()
        self._codec = codec
        self._settings = settings
        self._roster = Roster(settings.sweep_every.total_seconds())
        self._conduct = Conduct(
            settings,
            multi=codec.multi,
            patience=codec.patience,
            clock=around.clock,
            chance=around.chance,
            health=around.health,
        )
        self._holds = Holds(self._roster, self._conduct, begin=self._hold, fit=self._fit_hold)
        self._glances = Glances()
        self._looks: TaskGroup | None = None
        self._book: Book | None = None
        self.lags = Lags()
        #: Completions learned from since the last save.
        self._unsaved = False
        self._save_at = self._tell_at = around.clock.monotonic() + SAVE_EVERY

    # ---- for the poller ----
    @property
    def watched(self) -> int:
        return len(self._roster)

    @property
    def settings(self) -> ProviderSettings:
        return self._settings

    def tick(self) -> None:
        self._leave_until = self._around.clock.monotonic() + LEAVE
        self._bell.ring()

    def welcome(self, open_: OpenGeneration) -> None:
        """A watch was registered: look as soon as that is worth a look."""
        now = self._around.clock.monotonic()
        if (entry := self._roster.get(open_.id)) is not None:
            entry.join(open_)
            self._roster.tell(entry, open_.lanes)
            self._roster.aim(entry, open_.target)
            return
        self._roster.welcome(open_, now=now)
        self._conduct.welcome(now)
        self._bell.ring()

    def farewell(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        if (entry := self._roster.get(id_)) is not None:
            self._forget(entry)

    def leave(self) -> None:
        """Its provider is not configured any more."""
        self._conduct.leave()
        self._glances.give_up()

    async def glance(self, id_: GenerationId) -> Glimpse | None:
        """One more sight of it, watched or not; None where the provider does not show it."""
        self._bell.ring()
        return await self._glances.show(id_, self._around.clock.monotonic())

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from the next request on; a trouble of the old ones is forgotten."""
        self._settings = settings
        self._conduct.settle(settings)
        # Those that are asked about now, or stand in a split, come back by themselves.
        self._roster.settle(settings.sweep_every.total_seconds(), now=self._around.clock.monotonic())
        self._bell.ring()

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the store's open generations are on the agenda."""
        self._roster.curves.load(dict(await self._around.store.learned(self._settings.name)))
        await self._load()
        async with anyio.create_task_group() as self._looks:
            task_status.started()
            while True:
                self._around.pulse.beat()
                self._send_due()
                await self._keep()
                await self._bell.wait(self._pause())

    async def _load(self) -> None:
        async for chunk in self._around.store.open_generations(self._settings.name):
            now, wall = self._around.clock.monotonic(), self._around.clock.now()
            for open_ in chunk:
                if self._roster.get(open_.id) is None:
                    self._roster.load(open_, now=now, age=(wall - open_.registered_at).total_seconds())

    def _pause(self) -> float:
        """Seconds until something can be done that no bell announces."""
        now = self._around.clock.monotonic()
        earliest = self._roster.earliest()
        if now >= self._leave_until or not self._around.health.store_up or earliest is None:
            return LONGEST_WAIT
        soonest = max(earliest - now, self._conduct.wait(now))
        # Due, budget there, and still not sent: all places are taken, and whoever frees one rings.
        return min(LONGEST_WAIT, soonest) if soonest > 0 else LONGEST_WAIT

    def _send_due(self) -> None:
        """Steps 3 and 4: as many requests as the budget allows now."""
        now = self._around.clock.monotonic()
        if now >= self._leave_until or not self._around.health.store_up:
            return
        self._heed(self._around.book(), now)
        self._roster.budget(self._conduct.capacity(now), now, idle=self._conduct.idle(now))
        self._send_splits(now)
        self._send_glances(now)
        if self._holds.first(now):
            self._holds.plan(now)
            self._send_sweeps(now)
        else:
            self._send_sweeps(now)
            self._holds.plan(now)

    def _heed(self, book: Book, now: float) -> None:
        """Where nobody can be told it is looked rarely."""
        if book != self._book:
            self._book = book
            self._roster.hear(lambda lane: parked_because(lane, book) is not None, now=now)

    def _send_sweeps(self, now: float) -> None:
        conduct = self._conduct
        room, multi = conduct.room(now), conduct.multi(now)
        if room <= 0:
            return
        taken = self._roster.take(now, room * (conduct.batch if multi else 1))
        if not taken:
            return
        planned = plan(
            taken, fit=self._fit, batch_limit=conduct.batch, multi=multi, room=room, single_room=conduct.room_aside(now)
        )
        for entry in planned.rest:
            self._roster.call(entry, now)
        for ask in planned.asks:
            conduct.begin(now, aside=multi and ask.alone)
            last = ask is planned.asks[-1]
            if multi and last and ask.multi:
                self._send_filled(ask.ids, now)
            else:
                self._send(ask.ids, now, multi=ask.multi)

    def _send_filled(self, ids: tuple[GenerationId, ...], now: float) -> None:
        """A sweep with free seats takes glances, then what falls due soonest: it costs no more."""
        guests = self._glances.riding(ids, self._conduct.batch - len(ids), now, fit=self._fit)
        self._send(self._filled((*ids, *guests), now), now, multi=True, guests=self._unwatched(guests))

    def _unwatched(self, ids: Iterable[GenerationId]) -> frozenset[GenerationId]:
        return frozenset([id_ for id_ in ids if self._roster.get(id_) is None])

    def _filled(self, ids: tuple[GenerationId, ...], now: float) -> tuple[GenerationId, ...]:
        """With what falls due soonest in the free seats."""
        free = self._conduct.batch - len(ids)
        if free <= 0:
            return ids
        there = set(ids)  # one may be in it as a glance
        more = [entry for entry in self._roster.fill(now, free) if entry.id not in there]
        whole = (*ids, *[entry.id for entry in more])
        fitting = self._fit(whole)
        for entry in more[max(0, fitting - len(ids)) :]:
            self._roster.call(entry, now)
        return whole[: max(fitting, len(ids))]

    def _fit(self, ids: Sequence[GenerationId]) -> int:
        return self._codec.fit(ids, self._settings)

    def _fit_hold(self, ids: Sequence[GenerationId]) -> int:
        return self._codec.fit(ids, self._settings, hold=True)

    def _send_splits(self, now: float) -> None:
        """Parts of refused batches, within their share of the rate."""
        for split in list(self._splits):
            while self._conduct.room(now) > 0 and self._conduct.room_aside(now) and (ids := split.next()):
                self._conduct.begin(now, aside=True)
                self._send(ids, now, multi=len(ids) > 1, part_of=split)

    def _send_glances(self, now: float) -> None:
        """Requests of their own for those that found no seat."""
        glances, conduct = self._glances, self._conduct
        if not conduct.well():
            glances.give_up()
        while glances.due(now, sweep_at=self._roster.earliest() if conduct.multi(now) else None):
            if conduct.room(now) <= 0:
                if self._holds.make_room(now):
                    glances.hurry()
                return
            if not (conduct.room_aside(now) or conduct.idle(now)):
                return
            ids = glances.next(conduct.batch if conduct.multi(now) else 1, self._fit)
            conduct.begin(now, aside=True)
            self._send(ids, now, multi=len(ids) > 1, guests=self._unwatched(ids))

    def _send(
        self,
        ids: tuple[GenerationId, ...],
        now: float,
        *,
        multi: bool,
        part_of: Split | None = None,
        guests: frozenset[GenerationId] = frozenset(),
    ) -> None:
        ask = self._codec.sweep(ids, self._settings) if multi else self._codec.single(ids[0], self._settings)
        self._go(_Sent(ask=ask, split=part_of, at=now, asked_at=self._around.clock.now(), guests=guests))

    def _hold(self, hold: Hold) -> None:
        ids = [entry.id for entry in hold.entries]
        ask = self._codec.hold(ids, hold.target, self._settings)
        self._conduct.begin(hold.since, aside=False, hold=True)
        self._go(_Sent(ask=ask, at=hold.since, asked_at=self._around.clock.now(), hold=hold))

    def _go(self, sent: _Sent) -> None:
        assert self._looks is not None, "it runs"
        self._looks.start_soon(self._exchange, sent)

    # ---- one request ----
    async def _exchange(self, sent: _Sent) -> None:
        """Steps 5 to 8. Every ID asked is back on the agenda, in a split, or not watched any more, when this ends."""
        try:
            if sent.hold is None:
                await self._ask(sent)
            else:
                await self._ask_and_wait(sent, sent.hold)
        finally:
            self._conduct.end(hold=sent.hold is not None)
            self._bell.ring()

    async def _ask(self, sent: _Sent) -> None:
        try:
            observations = await self._observe(sent)
        except BatchRejected as error:
            self._refused_batch(sent, error)
        except ProviderError as error:
            self._conduct.failed(error, sent_at=sent.at)
            self._glances.failed(sent.ask.ids)
            self._put_back(sent)
        else:
            await self._learn(sent, observations)

    async def _observe(self, sent: _Sent) -> Sequence[Observation]:
        reply = await self._around.ask(sent.ask, self._settings)
        return self._codec.decode(sent.ask, reply)

    async def _ask_and_wait(self, sent: _Sent, hold: Hold) -> None:
        """A request that waits. It may be let go, and it may fail in ways that say nothing of the provider."""
        observations: Sequence[Observation] = ()
        failure: ProviderError | None = None
        with hold.scope:
            try:
                observations = await self._observe(sent)
            except ProviderError as error:
                failure = error
        took = self._around.clock.monotonic() - sent.at
        self._holds.ended(hold, kept=failure is None and bool(observations) and took >= QUICK)
        if failure is not None:
            self._hold_failed(sent, failure, took)
        if not observations:
            self._put_back(sent)
            return
        held = [seen for seen in observations if not seen.absent]
        reached = sum(seen.state is not None and seen.state.rank >= hold.target.rank for seen in held)
        self._conduct.held(took=took, reached=reached, asked=len(observations))
        if not held:  # whether they are unknown, a look without a wish will tell
            self._put_back(sent)
            return
        self._conduct.answered(sent_at=sent.at, asked=len(observations), held=len(held), multi=False)
        await self._take_in(sent, held, kept=took >= QUICK)
        self._put_back_ids([seen.id for seen in observations if seen.absent])

    def _hold_failed(self, sent: _Sent, error: ProviderError, took: float) -> None:
        asked = len(sent.ask.ids)
        if isinstance(error, BatchRejected):
            self._conduct.held(took=0.0, reached=0, asked=asked)
        elif not (isinstance(error, ProviderBusy) and self._conduct.hold_broke(error, took=took, asked=asked)):
            self._conduct.failed(error, sent_at=sent.at)

    async def _learn(self, sent: _Sent, observations: Sequence[Observation]) -> None:
        self._glances.answered(observations, self._around.clock.now())
        asked, held = len(observations), [seen.id for seen in observations if not seen.absent]
        # A guest that is gone is an old one: that says nothing of the provider.
        ours = asked - sum(seen.absent and seen.id in sent.guests for seen in observations)
        if sent.split is None and self._conduct.knows_none(asked=ours, held=len(held)):
            what = f"none of the {ours} IDs asked, such as {sent.ask.ids[0]}, is in the reply"
            self._conduct.knew_none(what, sent_at=sent.at, asked=asked, watched=self.watched)
            self._put_back(sent)
            return
        self._conduct.answered(sent_at=sent.at, asked=asked, held=len(held), multi=sent.ask.multi)
        self._weigh_multi(sent.ask, held)
        await self._take_in(sent, observations)
        if sent.split is not None:
            sent.split.answered(sent.ask.ids, held)
            self._finish_split(sent.split)

    async def _take_in(self, sent: _Sent, observations: Sequence[Observation], *, kept: bool = False) -> None:
        """Steps 7 and 8: what was seen, what to write, when to look again. `kept`: the provider held the request."""
        times = LookTimes(
            asked_at=sent.asked_at,
            answered_at=self._around.clock.now(),
            sent=sent.at,
            got=self._around.clock.monotonic(),
        )
        round_ = _Round(times=times, kept=kept)
        for seen in observations:
            if (entry := self._roster.get(seen.id)) is not None:
                round_.entries[entry] = entry.joined
                self._sight(entry, seen, sent, round_)
        await self._record(round_)
        await self._end(round_)
        self._again(sent, round_)

    def _sight(self, entry: Watched, seen: Observation, sent: _Sent, round_: "_Round") -> None:
        if seen.absent:
            miss(entry, round_.times.got, single=not sent.ask.multi)
            self._roster.missed(entry)
            if sent.split is not None and not sent.ask.multi and not entry.alone:
                entry.isolate()  # now, not when the split is done: it would rejoin a batch meanwhile
            return
        if seen.unmapped:
            self._warn_unmapped(seen)
        if self._roster.learn(entry, seen, round_.times, held=round_.kept):
            self._warn_stalled(entry, round_.times)
        if transition := see(entry, seen, round_.times, self._settings):
            round_.transitions.append(transition)

    def _again(self, sent: _Sent, round_: "_Round") -> None:
        """When to look again at what stays."""
        now, wall = self._around.clock.monotonic(), round_.times.answered_at.timestamp()
        single = not sent.ask.multi
        for entry in round_.entries:
            if not self._roster.here(entry) or entry.held:
                continue
            looked = entry.looked if round_.kept and entry.looked is not None else sent.at
            self._roster.look_again(entry, looked=looked, now=now, alone=entry.alone or single, wall=wall)

    async def _record(self, round_: "_Round") -> None:
        transitions = round_.transitions
        if not transitions:
            return
        around = self._around
        recorded = await self._insist(
            lambda: around.store.record_transitions(transitions, now=around.clock.now(), book=around.book())
        )
        self._unsaved = True
        for transition, outcome in zip(transitions, recorded, strict=True):
            seen = transition.observation
            self._tell_lag(transition, held=round_.kept)
            _log.debug(  # the attempt that follows has its own line
                telemetry.GENERATION_ADVANCED,
                provider=transition.provider,
                generation=seen.id,
                state=seen.state,
                provider_state=seen.provider_state,
                owed=outcome.owed,
                not_before=transition.not_before and transition.not_before.isoformat(),
            )
            if (entry := self._roster.get(seen.id)) is not None:
                entry.state = seen.state
                entry.not_before = transition.observed_at
        self._follow([transition.observation.id for transition in transitions], recorded, round_)

    async def _end(self, round_: "_Round") -> None:
        """Watches whose deadline has passed, and IDs that the provider does not know."""
        asked_at = round_.times.asked_at.timestamp()
        endings = [
            Ending(provider=self._settings.name, generation=entry.id, kind=kind, observed_at=round_.times.asked_at)
            for entry in round_.entries
            if (entry.misses.count or overdue(entry, asked_at))
            and self._roster.here(entry)
            and (kind := self._ended(entry, round_.times, asked_at)) is not None
        ]
        if not endings:
            return
        around = self._around
        recorded = await self._insist(
            lambda: around.store.end_watches(endings, now=around.clock.now(), book=around.book())
        )
        for ending, outcome in zip(endings, recorded, strict=True):
            _log.info(
                telemetry.WATCHES_ENDED,
                provider=ending.provider,
                generation=ending.generation,
                kind=ending.kind,
                owed=outcome.owed,
            )
        self._follow([ending.generation for ending in endings], recorded, round_)

    def _ended(self, entry: Watched, times: LookTimes, asked_at: float) -> Kind | None:
        if unknown(entry, times, self._conduct.answered_at):
            return Kind.UNKNOWN
        return Kind.EXPIRED if overdue(entry, asked_at) else None

    def _follow(self, ids: Sequence[GenerationId], recorded: Sequence[Recorded], round_: "_Round") -> None:
        """Let go of what nobody waits for any more, unless a watch joined while the look was under way."""
        if any(outcome.owed for outcome in recorded):
            self._around.deliveries.ring()
        for id_, outcome in zip(ids, recorded, strict=True):
            entry = self._roster.get(id_)
            if entry is None:
                continue
            as_before = entry.joined == round_.entries.get(entry, entry.joined)
            if outcome.open is not None:
                known = outcome.open.deadline.timestamp()
                entry.deadline = known if as_before else min(known, entry.deadline)
                if as_before:
                    self._roster.aim(entry, outcome.open.target)
                    self._roster.tell(entry, outcome.open.lanes)
            elif as_before or (entry.state is not None and entry.state.final):
                self._forget(entry)

    def _forget(self, entry: Watched) -> None:
        self._roster.leave(entry)
        self._refused_alone.pop(entry.id, None)

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Until it is written: what was seen is not seen again for free."""
        while True:
            try:
                return await write()
            except StoreUnavailable as error:
                self._around.health.store_failed(error)
                await self._around.health.wait_for_store(LONGEST_WAIT)

    # ---- what was learned ----
    async def _keep(self) -> None:
        """Save it now and then; what is lost with a crash is learned again."""
        now, around = self._around.clock.monotonic(), self._around
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY
            self._tell_lags()
        if not self._unsaved or now < self._save_at or not around.health.store_up:
            return
        self._save_at, self._unsaved = now + SAVE_EVERY, False
        try:
            learned = self._roster.curves.dump()
            await around.store.save_learned(self._settings.name, learned, now=around.clock.now())
        except StoreUnavailable as error:
            self._unsaved = True
            around.health.store_failed(error)

    def _tell_lag(self, transition: Transition, *, held: bool) -> None:
        before = transition.not_before
        self.lags.add(None if before is None else (transition.observed_at - before).total_seconds(), held=held)

    def _tell_lags(self) -> None:
        """How late we knew, lately: bounds that evidence gives."""
        lags, self.lags = self.lags, Lags()
        if lags.count:
            _log.info(
                telemetry.OBSERVED,
                provider=self._settings.name,
                count=lags.count,
                held=lags.held,
                within_s_50=lags.within(0.5),
                within_s_99=lags.within(0.99),
            )

    def _warn_stalled(self, entry: Watched, times: LookTimes) -> None:
        _log.warning(
            telemetry.GENERATION_STALLED,
            provider=self._settings.name,
            generation=entry.id,
            age_s=round(times.got - entry.begun),
            usual_s=round(entry.curve.late),
            note="99 of 100 of its kind are there sooner: it may be stuck at the provider; its watches go on",
        )

    # ---- what went wrong ----
    def _put_back(self, sent: _Sent) -> None:
        """These were not answered: due at once, when the provider is asked again."""
        if sent.split is not None and sent.split in self._splits:
            sent.split.unasked(sent.ask.ids)
        elif sent.hold is None or not sent.hold.trial:  # those of a trial are on the agenda
            self._put_back_ids(sent.ask.ids)

    def _put_back_ids(self, ids: Sequence[GenerationId]) -> None:
        now = self._around.clock.monotonic()
        for id_ in ids:
            if (entry := self._roster.get(id_)) is not None and not entry.held:
                self._roster.call(entry, now)

    def _refused_batch(self, sent: _Sent, error: BatchRejected) -> None:
        ids = sent.ask.ids
        self._conduct.refused(error, sent_at=sent.at, size=len(ids))
        if sent.guests:  # they may be to blame
            self._glances.refused(sent.guests, self._around.clock.monotonic())
            self._put_back(sent)
        elif len(ids) == 1:
            if (entry := self._roster.get(ids[0])) is not None and not entry.alone:
                entry.isolate()  # the single route decides
            self._refused_alone[ids[0]] = str(error)
            self._put_back(sent)
        elif sent.split is not None and sent.split in self._splits:
            sent.split.refused(ids)
        elif error.too_large or sent.split is not None:
            self._put_back(sent)
        else:
            self._splits.append(Split(ids, str(error)))

    def _weigh_multi(self, ask: Ask, held: Sequence[GenerationId]) -> None:
        """A multi route that refuses one ID by itself, which the single route then holds, and another, is unusable.

        One that answers is usable; an ID that the single route does not hold either may be new, and speaks for neither.
        """
        if ask.multi:
            self._refused_alone.clear()
            self._held_alone.clear()
        elif ask.ids[0] in self._refused_alone:
            self._doubt_multi(ask.ids[0], held=bool(held))

    def _doubt_multi(self, id_: GenerationId, *, held: bool) -> None:
        said = self._refused_alone.pop(id_)
        if not held:
            return
        self._held_alone.add(id_)
        if len(self._held_alone) >= PROOF:
            self._conduct.do_without_multi(said)
            self._held_alone.clear()
            self._acquit(self._roster)

    def _acquit(self, entries: Iterable[Watched]) -> None:
        for entry in entries:
            entry.acquit()

    def _finish_split(self, split: Split) -> None:
        """Learn from it once it has taught something; what it has not asked about goes back on the agenda."""
        if not split.done or split not in self._splits:
            return
        lesson = self._conduct.learn(split, watched=self.watched)
        if lesson is Lesson.MULTI_UNUSABLE:
            blamed, over = list(self._roster), list(self._splits)  # the others would only teach the same
        else:
            named = [] if lesson is Lesson.BAD_IDS else map(self._roster.get, split.ids)
            blamed, over = [entry for entry in named if entry is not None], [split]
        for each in over:
            self._splits.remove(each)
            self._put_back_ids(each.abandon())
        self._acquit(blamed)

    def _warn_unmapped(self, seen: Observation) -> None:
        """Once for each word: it is taken as running until the codec learns it."""
        word = seen.provider_state or ""
        if word not in self._warned_of and len(self._warned_of) < MOST_WORDS:
            self._warned_of.add(word)
            _log.warning(telemetry.STATE_UNMAPPED, provider=self._settings.name, word=word, taken_as="running")


@dataclass(slots=True, kw_only=True)
class _Round:
    """One reply on its way from what was seen to what is written."""

    times: LookTimes
    #: True where the provider held the request.
    kept: bool
    #: Entry -> how often it was joined when the reply came.
    entries: dict[Watched, int] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
