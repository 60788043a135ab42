"""One provider's loop: takes what is due, asks, and hands on what came back. Steps 3 to 6 of the path.

A lookout has its own roster, budget and troubles, so one provider's never slow another. No transaction is open while a
request is under way. While the store cannot write nothing is asked.

With the metronome stopped nothing is looked at: a tick gives leave to look until a little after the next one is due.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier.bell import Bell
from notifier.clock import Clock
from notifier.delivery.payload import parked_because
from notifier.errors import BatchRejected, ProviderBusy, ProviderError, ReplyTooLarge
from notifier.health import Health, Pulse
from notifier.ids import EndpointIdentity, GenerationId, Lane
from notifier.model import Book, Glimpse, Observation, OpenGeneration
from notifier.polling.conduct import Conduct
from notifier.polling.glances import Glances
from notifier.polling.holding import QUICK
from notifier.polling.holds import Hold, Holds
from notifier.polling.notes import Notes
from notifier.polling.plan import plan
from notifier.polling.recorder import Look, Recorder
from notifier.polling.refusals import Refusals
from notifier.polling.roster import Roster
from notifier.polling.split import Split
from notifier.polling.watched import LookTimes, Watched
from notifier.providers.base import Ask, Codec, Reply
from notifier.providers.masked import decode
from notifier.settings import ProviderSettings
from notifier.store.base import PollStore

_log = structlog.get_logger()

#: A body of so many bytes is read in a thread, one at a time: many that come together would stop the loop for the sum
#: of them. What one stops it for all the same, while orjson parses, is bounded by `providers.reply_text`.
LONG: Final = 32 * 1024
#: Seconds a tick's leave lasts; ticks come every 0.25 s.
LEAVE: Final = 1.0
LONGEST_WAIT: Final = 5.0


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
    #: Whether what a lane is owed gives way to what others are owed.
    poor: Callable[[Lane], bool]
    health: Health
    pulse: Pulse
    readers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))


@dataclass(slots=True, kw_only=True, eq=False)
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
    #: True once it was not answered for long, and its halves are asked for too.
    late: bool = False

    @property
    def divisible(self) -> bool:
        return self.hold is None and len(self.ask.ids) > 1 and not (self.late or self.guests)


class Lookout:
    """Looks after the open generations of one provider."""

    def __init__(self, settings: ProviderSettings, codec: Codec, around: Surroundings) -> None:
        self._around = around
        self._bell = Bell()
        self._leave_until = float("-inf")
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
        self._refusals = Refusals(self._roster, self._conduct, clock=around.clock, back=self._call)
        self._conduct.outage_over = self._refusals.outage_over
        self._recorder = Recorder(
            settings,
            self._roster,
            self._conduct,
            store=around.store,
            clock=around.clock,
            book=around.book,
            deliveries=around.deliveries,
            health=around.health,
            forget=self._forget,
            poor=around.poor,
        )
        self._notes = Notes(
            settings.name,
            self._roster,
            self._conduct,
            self._refusals,
            store=around.store,
            clock=around.clock,
            health=around.health,
        )
        self._holds = Holds(self._roster, self._conduct, begin=self._hold, fit=self._fit_hold)
        self._glances = Glances()
        self._looks: TaskGroup | None = None
        self._under_way: list[_Sent] = []
        self._book: Book | None = None

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
            self._join(entry, open_)
            self._bell.ring()
            return
        self._roster.welcome(open_, now=now)
        self._conduct.welcome(now)
        self._bell.ring()

    def _join(self, entry: Watched, open_: OpenGeneration) -> None:
        if entry.held and open_.target.rank < entry.target.rank:
            self._holds.release(entry)  # it waits for what nobody wants first any more
        clock = self._around.clock
        self._roster.join(entry, open_, now=clock.monotonic(), wall=clock.now().timestamp())

    def farewell(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        if (entry := self._roster.get(id_)) is not None:
            self._forget(entry)

    def leave(self) -> None:
        """Its provider is not configured any more."""
        self._conduct.leave()
        self._glances.give_up()

    async def save(self) -> None:
        """Keep what was learned for the next run, if the store can write."""
        await self._recorder.save()

    async def glance(self, id_: GenerationId) -> Glimpse | None:
        """One more sight of it, watched or not; None where the provider does not show it."""
        self._bell.ring()
        return await self._glances.show(id_, self._around.clock.monotonic())

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from the next request on; a trouble of the old ones is forgotten."""
        self._settings = self._recorder.settings = settings
        self._conduct.settle(settings)
        self._holds.let_go()
        # Those that are asked about now, or stand in a split, come back by themselves.
        self._roster.settle(settings.sweep_every.total_seconds(), now=self._around.clock.monotonic())
        self._bell.ring()

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the store's open generations are on the agenda."""
        self._roster.curves.load(dict(await self._around.store.learned(self._settings.name)))
        await self._load()
        await self._notes.load()
        async with anyio.create_task_group() as self._looks:
            task_status.started()
            while True:
                self._around.pulse.beat()
                self._send_due()
                await self._recorder.keep()
                await self._notes.keep()
                await self._bell.wait(self._pause())

    async def _load(self) -> None:
        async for chunk in self._around.store.open_generations(self._settings.name):
            now, wall = self._around.clock.monotonic(), self._around.clock.now()
            for open_ in chunk:
                if (entry := self._roster.get(open_.id)) is not None:  # a watch of it was registered meanwhile
                    self._join(entry, open_)
                else:
                    self._roster.load(open_, now=now, age=(wall - open_.registered_at).total_seconds())

    def _pause(self) -> float:
        """Seconds until something can be done that no bell announces."""
        now = self._around.clock.monotonic()
        due = [at for at in (self._roster.earliest(), self._roster.earliest_apart()) if at is not None]
        if now >= self._leave_until or not self._around.health.store_up or not due:
            return LONGEST_WAIT
        wait = self._conduct.wait(now)
        waits = [wait] if self._conduct.probes else [max(at - now, wait) for at in due]
        # Due, budget there, and still not sent: all places are taken, and whoever frees one rings.
        return min((each for each in waits if 0 < each < LONGEST_WAIT), default=LONGEST_WAIT)

    def _send_due(self) -> None:
        """Steps 3 and 4: as many requests as the budget allows now."""
        now = self._around.clock.monotonic()
        if now >= self._leave_until or not self._around.health.store_up:
            return
        self._heed(self._around.book(), now)
        self._roster.budget(self._conduct.capacity(now), now, idle=self._conduct.idle(now))
        self._divide_late(now)
        if (probes := self._conduct.probes) and probes % 2:
            self._send_probe(now)
        self._send_splits(now)
        self._holds.make_way(now)
        self._send_glances(now)
        wall = self._around.clock.now().timestamp()
        if self._holds.first(now):
            self._holds.plan(now, wall)
            self._send_sweeps(now)
        else:
            self._send_sweeps(now)
            self._holds.plan(now, wall)
        if probes:
            self._send_probe(now)

    def _divide_late(self, now: float) -> None:
        """A sweep that hangs may do so for one ID: the others do not wait until it is given up."""
        if not self._conduct.well():
            return
        for sent in self._under_way:
            if sent.divisible and now - sent.at >= self._conduct.late_after:
                split = self._refusals.late(sent.ask.ids, sent.split, sent_at=sent.at)
                sent.late, sent.split = split is not None, split or sent.split

    def _send_probe(self, now: float) -> None:
        """Whether a provider that may be in trouble answers about one ID, asked for alone.

        Every second time; in between something that is due is asked for, for the single route may be what is wrong.
        """
        if self._conduct.room(now) > 0 and (entry := self._refusals.to_probe()) is not None:
            self._roster.probe(entry)
            self._conduct.begin(now, aside=False)
            self._send((entry.id,), now, multi=False)

    def _heed(self, book: Book, now: float) -> None:
        """Where nobody can be told it is looked rarely."""
        if book != self._book:
            self._book = book
            self._roster.hear(lambda lane: parked_because(EndpointIdentity(lane), lane, book) is not None, now=now)

    def _send_sweeps(self, now: float) -> None:
        conduct = self._conduct
        multi = conduct.multi(now)
        self._send_apart(now, multi=multi)
        room = conduct.room(now)
        if room <= 0 or not (taken := self._roster.take(now, room * (conduct.batch if multi else 1))):
            return
        planned = plan(
            taken, fit=self._fit, batch_limit=conduct.batch, multi=multi, room=room, single_room=conduct.room_aside(now)
        )
        for entry in planned.rest:
            self._roster.again(entry, now)
        for ask in planned.asks:
            conduct.begin(now, aside=multi and ask.alone)
            last = ask is planned.asks[-1]
            if multi and last and ask.multi:
                self._send_filled(ask.ids, now)
            else:
                self._send(ask.ids, now, multi=ask.multi)

    def _send_apart(self, now: float, *, multi: bool) -> None:
        """What is missed or asked alone: within its share, or while the budget is not used up.

        A provider in trouble is asked about one that it answered about before, if there is any.
        """
        if not self._conduct.well() and self._roster.earliest() is not None:
            return
        conduct, batch = self._conduct, self._conduct.batch if multi else 1
        spare = 1 if conduct.idle(now) and not self._roster.is_due(now) else 0
        requests = min(conduct.room(now), max(conduct.room_aside(now), spare))
        for taken in self._roster.take_apart(now, requests, batch):
            planned = plan(taken, fit=self._fit, batch_limit=batch, multi=multi, room=1, single_room=1)
            for entry in planned.rest:
                self._roster.again(entry, now)
            for ask in planned.asks:
                conduct.begin(now, aside=True)
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
        more = self._roster.fill(
            now, free, fit=lambda some: max(0, self._fit((*ids, *[entry.id for entry in some])) - len(ids))
        )
        return tuple(dict.fromkeys((*ids, *[entry.id for entry in more])))  # one may be in it as a glance

    def _fit(self, ids: Sequence[GenerationId]) -> int:
        return self._codec.fit(ids, self._settings)

    def _fit_hold(self, ids: Sequence[GenerationId]) -> int:
        return self._codec.fit(ids, self._settings, hold=True)

    def _send_splits(self, now: float) -> None:
        """Parts of refused batches, within their share of the rate."""
        parts = self._refusals.parts()
        while self._conduct.room(now) > 0 and self._conduct.room_aside(now) and (part := next(parts, None)):
            split, ids = part
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
        self._under_way.append(sent)
        try:
            if sent.hold is None:
                await self._ask(sent)
            else:
                await self._ask_and_wait(sent, sent.hold)
        finally:
            took = self._around.clock.monotonic() - sent.at
            self._under_way.remove(sent)
            self._conduct.end(took=took, hold=sent.hold is not None)
            self._bell.ring()

    async def _ask(self, sent: _Sent) -> None:
        try:
            observations = await self._observe(sent)
        except BatchRejected as error:
            if sent.guests:
                self._refused_with_guests(sent, error)
            elif sent.late:
                self._conduct.refused(error, sent_at=sent.at, size=len(sent.ask.ids))
            else:
                self._refusals.refused(sent.ask.ids, sent.split, error, sent_at=sent.at)
        except ProviderError as error:
            await self._failed(sent, error)
        else:
            await self._learn(sent, observations)

    async def _failed(self, sent: _Sent, error: ProviderError) -> None:
        """It was not answered: whose failure that is, `refusals` finds out."""
        if sent.guests and not error.any_id and len(sent.ask.ids) > 1:
            self._part_from_guests(sent)
            return
        self._glances.failed(sent.ask.ids)
        if sent.late:
            self._refusals.failed_late(sent.ask.ids, error, sent_at=sent.at)
            return
        self._refusals.failed(sent.ask, sent.split, error, sent_at=sent.at)
        if len(sent.ask.ids) == 1 and self._refusals.may_expire(sent.ask.ids[0]):
            await self._recorder.expire_failing(sent.ask.ids[0], sent.asked_at)

    async def _observe(self, sent: _Sent) -> Sequence[Observation]:
        reply = await self._around.ask(sent.ask, self._settings)
        read = partial(decode, self._codec, sent.ask, reply, self._settings)
        if len(reply.body) < LONG:
            return read()
        return await anyio.to_thread.run_sync(read, limiter=self._around.readers)

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
        kept = failure is None and bool(observations) and took >= QUICK
        self._holds.ended(hold, sent.at + took, kept=kept)
        if failure is not None and self._hold_failed(sent, failure, took):
            return
        if not observations:
            self._put_back(hold)
            return
        held = [seen for seen in observations if not seen.absent]
        reached = sum(seen.state is not None and seen.state.rank >= hold.target.rank for seen in held)
        absent = {seen.id for seen in observations if seen.absent}
        if not self._holds.unfound(entry for entry in hold.entries if entry.id in absent and entry.state is None):
            self._conduct.held(took=took, reached=reached, asked=len(observations))
        if not held:  # whether they are unknown, a look without a wish will tell
            if len(observations) == 1:
                self._conduct.missed_alone(observations[0].id, sent_at=sent.at, watched=self.watched)
            self._put_back(hold)
            return
        self._conduct.answered(sent_at=sent.at, asked=len(observations), held=len(held), multi=False)
        await self._recorder.take_in(self._seen_by(sent, kept=kept and not hold.trial), held)
        self._call(seen.id for seen in observations if seen.absent)

    def _hold_failed(self, sent: _Sent, error: ProviderError, took: float) -> bool:
        """True where its IDs are on the agenda, or in a split, again."""
        asked = len(sent.ask.ids)
        trial = sent.hold is not None and sent.hold.trial
        if isinstance(error, BatchRejected) or (trial and not error.any_id):
            self._conduct.held(took=0.0, reached=0, asked=asked)
        elif isinstance(error, ReplyTooLarge) or not (
            isinstance(error, ProviderBusy) and self._conduct.hold_broke(error, took=took, asked=asked)
        ):
            if trial:
                self._conduct.failed(error, sent_at=sent.at)
            else:
                self._refusals.failed(sent.ask, None, error, sent_at=sent.at)
            return True
        return False

    async def _learn(self, sent: _Sent, observations: Sequence[Observation]) -> None:
        self._glances.answered(observations, self._around.clock.now())
        asked, held = len(observations), [seen.id for seen in observations if not seen.absent]
        # A guest that is gone is an old one: that says nothing of the provider.
        ours = asked - sum(seen.absent and seen.id in sent.guests for seen in observations)
        if sent.split is None and self._conduct.knows_none(asked=ours, held=len(held)):
            what = f"none of the {ours} IDs asked, such as {sent.ask.ids[0]}, is in the reply"
            self._conduct.knew_none(what, sent_at=sent.at, asked=asked, watched=self.watched)
            self._call(sent.ask.ids)
            return
        self._refusals.seen(sent.ask.ids)
        self._conduct.answered(sent_at=sent.at, asked=asked, held=len(held), multi=sent.ask.multi)
        self._conduct.trusted.extend(held)
        self._refusals.weigh_multi(sent.ask, held)
        await self._recorder.take_in(self._seen_by(sent), observations)
        if ours == 1 and not held:
            self._conduct.missed_alone(sent.ask.ids[0], sent_at=sent.at, watched=self.watched)
        if sent.split is not None and sent.late:
            self._refusals.answered_late(sent.ask.ids, sent.split)
        elif sent.split is not None:
            self._refusals.answered(sent.split, sent.ask.ids, held)

    def _refused_with_guests(self, sent: _Sent, error: BatchRejected) -> None:
        """They may be to blame: the others are asked for again without them."""
        self._conduct.refused(error, sent_at=sent.at, size=len(sent.ask.ids))
        self._part_from_guests(sent)

    def _part_from_guests(self, sent: _Sent) -> None:
        self._glances.refused(sent.guests, self._around.clock.monotonic())
        self._call(sent.ask.ids)

    def _seen_by(self, sent: _Sent, *, kept: bool = False) -> Look:
        clock = self._around.clock
        times = LookTimes(asked_at=sent.asked_at, answered_at=clock.now(), sent=sent.at, got=clock.monotonic())
        return Look(times=times, multi=sent.ask.multi, part=sent.split is not None, kept=kept)

    # ---- what comes back ----
    def _put_back(self, hold: Hold) -> None:
        """Its IDs are due at once; those of a trial are on the agenda."""
        if not hold.trial:
            self._call(entry.id for entry in hold.entries)

    def _call(self, ids: Iterable[GenerationId]) -> None:
        """Due at once, if they are watched still."""
        now = self._around.clock.monotonic()
        for id_ in ids:
            if (entry := self._roster.get(id_)) is not None and not entry.held:
                self._roster.call(entry, now)

    def _forget(self, entry: Watched) -> None:
        self._holds.release(entry)
        self._roster.leave(entry)
        self._refusals.forget(entry.id)
