"""One provider's loop: a turn, a pause, and so on. `turn` says what is asked for, `exchange` what comes of it.

Each provider has its own loop, budget and troubles, so one provider never slows another. No transaction is open while a
request is under way. While the store cannot write nothing is polled.

While the timer is stopped nothing is polled: a tick allows polls until a little after the next one is due.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskStatus

from notifier.domain.ids import GenerationId
from notifier.domain.model import EndpointDirectory, OpenGeneration, RereadResult
from notifier.domain.settings import ProviderSettings
from notifier.polling.exchange import Exchanges
from notifier.polling.long_poll.in_flight import LongPolls
from notifier.polling.notes import Notes
from notifier.polling.provider_state import ProviderState
from notifier.polling.recorder import Recorder
from notifier.polling.rejections import Rejections
from notifier.polling.rereads import Rereads
from notifier.polling.scheduling.open_generation import TrackedGeneration
from notifier.polling.scheduling.open_generations import OpenGenerations
from notifier.polling.turn import Turn
from notifier.polling.under_way import UnderWay
from notifier.providers.base import BeforeRepeat, Codec, PollRequest, Reply
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import PollStore

#: Seconds for which a tick allows polls; ticks come every 0.25 s.
TICK_LASTS: Final = 1.0
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
    """Polls the open generations of one provider."""

    def __init__(self, settings: ProviderSettings, codec: Codec, around: Dependencies) -> None:
        self._around = around
        self.settings = settings
        self._wakeup = Wakeup()
        self._may_poll_until = float("-inf")
        clock, health = around.clock, around.health
        generations = self._generations = OpenGenerations(settings.poll_every.total_seconds())
        provider = self._provider = ProviderState(
            settings, capabilities=codec.capabilities, clock=clock, random=around.random, health=health
        )
        rejections = Rejections(generations, provider, clock=clock)
        self._recorder = Recorder(
            settings=settings,
            generations=generations,
            provider=provider,
            store=around.store,
            clock=clock,
            deliveries=around.deliveries,
            health=health,
        )
        self._notes = Notes(
            generations=generations,
            provider=provider,
            rejections=rejections,
            store=around.store,
            clock=clock,
            health=health,
        )
        self._long_polls = LongPolls(
            generations, provider, fit=lambda ids: codec.fit(ids, self.settings, long_poll=True)
        )
        self._rereads = Rereads()
        under_way = UnderWay(generations, provider, rejections)
        self._exchanges = Exchanges(
            settings=settings,
            codec=codec,
            generations=generations,
            provider=provider,
            rejections=rejections,
            under_way=under_way,
            recorder=self._recorder,
            long_polls=self._long_polls,
            rereads=self._rereads,
            ask=around.ask,
            readers=around.readers,
            clock=clock,
            wakeup=self._wakeup,
        )
        self._turn = Turn(
            generations=generations,
            provider=provider,
            rejections=rejections,
            under_way=under_way,
            exchanges=self._exchanges,
            long_polls=self._long_polls,
            rereads=self._rereads,
        )

    # ---- for the poller ----
    @property
    def watched(self) -> int:
        return len(self._generations)

    def tick(self) -> None:
        self._may_poll_until = self._around.clock.monotonic() + TICK_LASTS
        self._wakeup.notify()

    def add(self, watched: Sequence[OpenGeneration]) -> None:
        """Watches were registered, each for one of these: poll them as soon as that is worth a poll."""
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
            self._long_polls.cancel(entry)  # it waits for a later state
        clock = self._around.clock
        self._generations.join(entry, open_, now=clock.monotonic(), wall=clock.now().timestamp())

    def remove(self, id_: GenerationId) -> None:
        """Nobody watches it any more."""
        if (entry := self._generations.get(id_)) is not None:
            self._generations.remove(entry)
            self._exchanges.forget([entry])

    def leave(self) -> None:
        """Its provider is not configured any more."""
        self._provider.clear_troubles()
        self._rereads.give_up()

    async def save(self) -> None:
        """Keep what was learned for the next run, if the store can write."""
        await self._recorder.save()

    async def reread(self, id_: GenerationId) -> RereadResult | None:
        """Read it again, watched or not; None if the provider does not show it."""
        self._wakeup.notify()
        return await self._rereads.show(id_, self._around.clock.monotonic())

    def apply(self, settings: ProviderSettings) -> None:
        """Use these from the next request on; a trouble of the old ones is forgotten."""
        self.settings = self._recorder.settings = self._exchanges.settings = settings
        self._provider.apply(settings)
        self._long_polls.cancel_all()
        # Those that are polled now, or in a bisection, come back by themselves.
        self._generations.set_poll_every(settings.poll_every.total_seconds(), now=self._around.clock.monotonic())
        self._wakeup.notify()

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the store's open generations are queued."""
        self._generations.curves.load(dict(await self._around.store.learned(self.settings.name)))
        await self._load()
        await self._notes.load()
        async with anyio.create_task_group() as self._exchanges.tasks:
            task_status.started()
            while True:
                self._around.heartbeat.beat()
                self._begin_due()
                await self._recorder.keep()
                await self._notes.keep()
                await self._wakeup.wait(self._pause())

    async def _load(self) -> None:
        async for chunk in self._around.store.open_generations(self.settings.name):
            now, wall = self._around.clock.monotonic(), self._around.clock.now()
            for open_ in chunk:
                if (entry := self._generations.get(open_.id)) is not None:  # a watch of it was registered meanwhile
                    self._join(entry, open_)
                else:
                    self._generations.load(open_, now=now, age=(wall - open_.registered_at).total_seconds())

    def _pause(self) -> float:
        """Seconds until something can be done that no wakeup announces."""
        now = self._around.clock.monotonic()
        queues = self._generations.queues
        due = [at for at in (queues.earliest(), queues.earliest_irregular()) if at is not None]
        if now >= self._may_poll_until or not self._around.health.store_up or not due:
            return LONGEST_WAIT
        wait = self._provider.wait(now)
        waits = [wait] if self._provider.probes else [max(at - now, wait) for at in due]
        # If something is due and the budget allows it, all places are taken; the end of a request wakes the loop.
        return min((each for each in waits if 0 < each < LONGEST_WAIT), default=LONGEST_WAIT)

    def _begin_due(self) -> None:
        """Steps 3 and 4: as many requests as the budget allows now."""
        clock = self._around.clock
        now = clock.monotonic()
        self._exchanges.repeat(now)
        if now < self._may_poll_until and self._around.health.store_up:
            self._turn.take(self._around.directory(), now, clock.now().timestamp())
