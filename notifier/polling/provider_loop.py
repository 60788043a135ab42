"""One provider's loop: takes what is due and has it asked for. Steps 3 and 4 of the path; `exchange` does the rest.

Each provider has its own loop, budget and troubles, so one provider never slows another. No transaction is open while a
request is under way. While the store cannot write nothing is polled.

Parts of batches and IDs that stand alone get a fifth of the rate, and more only while the budget is not used up and
nothing else is due: good IDs in a batch that failed would wait for nobody's sake otherwise.

With the timer stopped nothing is looked at: a tick gives leave to look until a little after the next one is due.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier.domain.ids import EndpointIdentity, GenerationId
from notifier.domain.message import parked_because
from notifier.domain.model import EndpointDirectory, OpenGeneration, RereadResult
from notifier.domain.settings import ProviderSettings
from notifier.polling.batching.batch_plan import plan
from notifier.polling.batching.bisect import Bisection
from notifier.polling.exchange import Exchanges, Sent
from notifier.polling.long_poll.in_flight import LongPoll, LongPolls
from notifier.polling.notes import Notes
from notifier.polling.provider_state import ProviderState
from notifier.polling.recorder import Recorder
from notifier.polling.rejections import Rejections
from notifier.polling.rereads import Rereads
from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.providers.base import BeforeRepeat, Codec, PollRequest, Reply
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import PollStore

_log = structlog.get_logger()

#: Seconds a tick's leave lasts; ticks come every 0.25 s.
LEAVE: Final = 1.0
LONGEST_WAIT: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What every provider loop works with."""

    store: PollStore
    ask: Callable[[PollRequest, ProviderSettings, BeforeRepeat], Awaitable[Reply]]
    clock: Clock
    random: Callable[[], float]
    directory: Callable[[], EndpointDirectory]
    #: Rung when a delivery was made.
    deliveries: Wakeup
    health: Health
    heartbeat: Heartbeat
    readers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))


class ProviderLoop:
    """Looks after the open generations of one provider."""

    def __init__(self, settings: ProviderSettings, codec: Codec, around: Dependencies) -> None:
        self._around = around
        self._wakeup = Wakeup()
        self._leave_until = float("-inf")
        self._codec = codec
        self._settings = settings
        self._generations = OpenGenerations(settings.poll_every.total_seconds())
        self._provider = ProviderState(
            settings,
            capabilities=codec.capabilities,
            clock=around.clock,
            random=around.random,
            health=around.health,
        )
        self._rejections = Rejections(self._generations, self._provider, clock=around.clock, back=self._call)
        self._provider.outage_over = self._rejections.outage_over
        self._provider.knew_one = self._generations.readmit
        self._recorder = Recorder(
            settings,
            self._generations,
            self._provider,
            store=around.store,
            clock=around.clock,
            deliveries=around.deliveries,
            health=around.health,
            forget=self._forget,
        )
        self._notes = Notes(
            self._generations,
            self._provider,
            self._rejections,
            store=around.store,
            clock=around.clock,
            health=around.health,
        )
        self._long_polls = LongPolls(self._generations, self._provider, begin=self._long_poll, fit=self._fit_long_poll)
        self._rereads = Rereads()
        self._exchanges = Exchanges(
            settings,
            codec,
            generations=self._generations,
            provider=self._provider,
            rejections=self._rejections,
            recorder=self._recorder,
            long_polls=self._long_polls,
            rereads=self._rereads,
            ask=around.ask,
            readers=around.readers,
            clock=around.clock,
            call=self._call,
            wakeup=self._wakeup,
        )
        self._looks: TaskGroup | None = None
        self._directory: EndpointDirectory | None = None

    # ---- for the poller ----
    @property
    def watched(self) -> int:
        return len(self._generations)

    @property
    def settings(self) -> ProviderSettings:
        return self._settings

    def tick(self) -> None:
        self._leave_until = self._around.clock.monotonic() + LEAVE
        self._wakeup.notify()

    def add(self, watched: Sequence[OpenGeneration]) -> None:
        """Watches were registered, each for one of these: look as soon as that is worth a look."""
        now, before = self._around.clock.monotonic(), len(self._generations)
        for open_ in watched:
            if (entry := self._generations.get(open_.id)) is not None:
                self._join(entry, open_)
            else:
                self._generations.add(open_, now=now)
        if len(self._generations) > before:
            self._provider.registered(now)
        self._wakeup.notify()

    def _join(self, entry: TrackedGeneration, open_: OpenGeneration) -> None:
        if entry.long_polled and open_.target.rank < entry.target.rank:
            self._long_polls.cancel(entry)  # it waits for what nobody wants first any more
        clock = self._around.clock
        self._generations.join(entry, open_, now=clock.monotonic(), wall=clock.now().timestamp())

    def remove(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        if (entry := self._generations.get(id_)) is not None:
            self._forget(entry)

    def leave(self) -> None:
        """Its provider is not configured any more."""
        self._provider.leave()
        self._rereads.give_up()

    async def save(self) -> None:
        """Keep what was learned for the next run, if the store can write."""
        await self._recorder.save()

    async def reread(self, id_: GenerationId) -> RereadResult | None:
        """One more sight of it, watched or not; None where the provider does not show it."""
        self._wakeup.notify()
        return await self._rereads.show(id_, self._around.clock.monotonic())

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from the next request on; a trouble of the old ones is forgotten."""
        self._settings = self._recorder.settings = self._exchanges.settings = settings
        self._provider.settle(settings)
        self._long_polls.cancel_all()
        # Those that are asked about now, or stand in a split, come back by themselves.
        self._generations.set_poll_every(settings.poll_every.total_seconds(), now=self._around.clock.monotonic())
        self._wakeup.notify()

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the store's open generations are on the agenda."""
        self._generations.curves.load(dict(await self._around.store.learned(self._settings.name)))
        await self._load()
        await self._notes.load()
        async with anyio.create_task_group() as self._looks:
            task_status.started()
            while True:
                self._around.heartbeat.beat()
                self._send_due()
                await self._recorder.keep()
                await self._notes.keep()
                await self._wakeup.wait(self._pause())

    async def _load(self) -> None:
        async for chunk in self._around.store.open_generations(self._settings.name):
            now, wall = self._around.clock.monotonic(), self._around.clock.now()
            for open_ in chunk:
                if (entry := self._generations.get(open_.id)) is not None:  # a watch of it was registered meanwhile
                    self._join(entry, open_)
                else:
                    self._generations.load(open_, now=now, age=(wall - open_.registered_at).total_seconds())

    def _pause(self) -> float:
        """Seconds until something can be done that no wakeup announces."""
        now = self._around.clock.monotonic()
        due = [
            at
            for at in (self._generations.queues.earliest(), self._generations.queues.earliest_irregular())
            if at is not None
        ]
        if now >= self._leave_until or not self._around.health.store_up or not due:
            return LONGEST_WAIT
        wait = self._provider.wait(now)
        waits = [wait] if self._provider.probes else [max(at - now, wait) for at in due]
        # Due, budget there, and still not sent: all places are taken, and whoever frees one rings.
        return min((each for each in waits if 0 < each < LONGEST_WAIT), default=LONGEST_WAIT)

    def _send_due(self) -> None:
        """Steps 3 and 4: as many requests as the budget allows now."""
        now = self._around.clock.monotonic()
        self._exchanges.repeat(now)
        if now >= self._leave_until or not self._around.health.store_up:
            return
        self._apply_endpoint_health(self._around.directory(), now)
        self._set_budget(now)
        self._exchanges.divide_late(now)
        if (probes := self._provider.probes) and probes % 2:
            self._send_probe(now)
        self._try_route(now)
        self._send_splits(now)
        self._long_polls.yield_slot(now)
        self._send_rereads(now)
        wall = self._around.clock.now().timestamp()
        if self._long_polls.come_first(now):
            self._long_polls.start_worthwhile(now, wall)
            self._send_polls(now)
        else:
            self._send_polls(now)
            self._long_polls.start_worthwhile(now, wall)
        if probes:
            self._send_probe(now)

    def _set_budget(self, now: float) -> None:
        provider = self._provider
        self._generations.set_budget(provider.capacity(now), now, idle=provider.idle(now), apart=provider.apart)

    def _send_probe(self, now: float) -> None:
        """Whether a provider that may be in trouble answers about one ID, asked for alone.

        Every second time; in between something that is due is asked for, for the single route may be what is wrong.
        """
        if self._provider.room(now) > 0 and (entry := self._rejections.to_probe(self._exchanges.asked_alone())):
            self._generations.take_out(entry)
            self._send((entry.id,), now, multi=False)

    def _try_route(self, now: float) -> None:
        """Whether batches hang because of the multi route; their IDs are looked after elsewhere."""
        if not self._exchanges.doubts_route(now):
            return
        if self._provider.room(now) <= 0:
            self._long_polls.free_slot(now)
        elif ids := self._exchanges.next_of_trial(now):
            self._send(ids, now, multi=len(ids) > 1, late=True)

    def _apply_endpoint_health(self, directory: EndpointDirectory, now: float) -> None:
        """Where nobody can be told it is looked rarely."""
        if directory != self._directory:
            self._directory = directory
            self._generations.apply_endpoint_health(
                lambda destination: parked_because(EndpointIdentity(destination), destination, directory) is not None,
                now=now,
            )

    def _send_polls(self, now: float) -> None:
        provider = self._provider
        multi = provider.multi(now)
        self._send_irregular(now, multi=multi)
        room = provider.room_for_batches(now) if multi and provider.batch > 1 else provider.room(now)
        if room <= 0 or not (taken := self._generations.queues.take(now, room * (provider.batch if multi else 1))):
            return
        planned = plan(
            taken,
            fit=self._fit,
            batch_limit=provider.batch,
            multi=multi,
            room=room,
            single_room=provider.room_for_irregular(now),
        )
        for entry in planned.rest:
            self._generations.poll_now(entry, now)
        for ask in planned.requests:
            last = ask is planned.requests[-1]
            if multi and last and ask.multi:
                self._send_filled(ask.ids, now)
            else:
                self._send(ask.ids, now, multi=ask.multi, irregular=multi and ask.poll_singly)

    def _send_irregular(self, now: float, *, multi: bool) -> None:
        """What is missed or asked alone: within its share, or while the budget is not used up.

        A provider in trouble is asked about one that it answered about before, if there is any.
        """
        if self._provider.troubled and self._generations.queues.earliest() is not None:
            return
        batch = self._provider.batch if multi else 1
        for taken in self._generations.queues.take_irregular(now, self._room_for_irregular(now), batch):
            planned = plan(taken, fit=self._fit, batch_limit=batch, multi=multi, room=1, single_room=1)
            for entry in planned.rest:
                self._generations.poll_now(entry, now)
            for ask in planned.requests:
                by_multi = ask.multi or (multi and self._rejections.by_multi(ask.ids))
                self._send(ask.ids, now, multi=by_multi, irregular=True)

    def _room_for_irregular(self, now: float) -> int:
        """Requests for what stands apart: within its share, or one while the budget is not used up."""
        provider = self._provider
        spare = 1 if provider.idle(now) and not self._generations.queues.is_due(now) else 0
        return min(provider.room(now), max(provider.room_for_irregular(now), spare), provider.places_for_irregular)

    def _send_filled(self, ids: tuple[GenerationId, ...], now: float) -> None:
        """A sweep with free seats takes rereads, then what falls due soonest: it costs no more."""
        piggybacked = self._rereads.piggyback(ids, self._provider.batch - len(ids), now, fit=self._fit)
        self._send(self._filled((*ids, *piggybacked), now), now, multi=True, piggybacked=self._unwatched(piggybacked))

    def _unwatched(self, ids: Iterable[GenerationId]) -> frozenset[GenerationId]:
        return frozenset([id_ for id_ in ids if self._generations.get(id_) is None])

    def _filled(self, ids: tuple[GenerationId, ...], now: float) -> tuple[GenerationId, ...]:
        """With what falls due soonest in the free seats."""
        free = self._provider.batch - len(ids)
        if free <= 0:
            return ids
        more = self._generations.fill_batch(
            now, free, fit=lambda some: max(0, self._fit((*ids, *[entry.id for entry in some])) - len(ids))
        )
        return tuple(dict.fromkeys((*ids, *[entry.id for entry in more])))  # one may be in it as a reread

    def _fit(self, ids: Sequence[GenerationId]) -> int:
        return self._codec.fit(ids, self._settings)

    def _fit_long_poll(self, ids: Sequence[GenerationId]) -> int:
        return self._codec.fit(ids, self._settings, long_poll=True)

    def _send_splits(self, now: float) -> None:
        """Parts of refused batches, within their share of the rate, or while the budget is not used up."""
        parts = self._rejections.parts(batches=lambda: self._provider.room_for_batches(now) > 0)
        while self._room_for_irregular(now) and (part := next(parts, None)):
            split, ids = part
            self._send(ids, now, multi=len(ids) > 1, irregular=True, part_of=split)

    def _send_rereads(self, now: float) -> None:
        """Requests of their own for those that found no seat."""
        rereads, provider = self._rereads, self._provider
        if not provider.well():
            rereads.give_up()
        while rereads.due(now, poll_at=self._generations.queues.earliest() if provider.multi(now) else None):
            if provider.room(now) <= 0:
                if self._long_polls.free_slot(now):
                    rereads.hurry()
                return
            if not (provider.room_for_irregular(now) or provider.idle(now)):
                return
            ids = rereads.next(provider.batch if provider.multi(now) else 1, self._fit)
            self._send(ids, now, multi=len(ids) > 1, irregular=True, piggybacked=self._unwatched(ids))

    def _send(
        self,
        ids: tuple[GenerationId, ...],
        now: float,
        *,
        multi: bool,
        irregular: bool = False,
        part_of: Bisection | None = None,
        piggybacked: frozenset[GenerationId] = frozenset(),
        late: bool = False,
    ) -> None:
        self._provider.begin(now, irregular=irregular, batch=len(ids) > 1)
        codec, settings = self._codec, self._settings
        request = codec.batch_poll(ids, settings) if multi else codec.poll(ids[0], settings)
        asked_at = self._around.clock.now()
        self._go(
            Sent(
                request=request,
                split=part_of,
                at=now,
                asked_at=asked_at,
                piggybacked=piggybacked,
                irregular=irregular,
                late=late,
            )
        )

    def _long_poll(self, long_poll: LongPoll) -> None:
        ids = [entry.id for entry in long_poll.entries]
        request = self._codec.long_poll(ids, long_poll.target, self._settings)
        self._provider.begin(long_poll.since, long_poll=True)
        self._go(
            Sent(
                request=request,
                at=long_poll.since,
                asked_at=self._around.clock.now(),
                long_poll=long_poll,
            )
        )

    def _go(self, sent: Sent) -> None:
        assert self._looks is not None, "it runs"
        self._looks.start_soon(self._exchanges.make, sent)

    # ---- what comes back ----
    def _call(self, ids: Iterable[GenerationId]) -> None:
        """Due at once, if they are watched still."""
        now = self._around.clock.monotonic()
        for id_ in ids:
            if (entry := self._generations.get(id_)) is not None and not entry.long_polled:
                self._generations.poll_now(entry, now)

    def _forget(self, entry: TrackedGeneration) -> None:
        self._long_polls.cancel(entry)
        self._generations.remove(entry)
        self._rejections.forget(entry.id)
