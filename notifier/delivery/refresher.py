"""Has results read again that are too old to be sent: links to what was made run out at the provider.

The claim finds them (`DeliveryStore.exchange`) and puts their attempts off by `HOLD`; here the poller is asked for one
more sight of each generation, and what it shows goes into the stored bodies in one transaction, which lets the attempts
go. Whatever goes wrong (provider, store, a crash), an attempt that was put off is made when its hold ends, with the
body that is stored.

Only a sight that is worth it replaces a body: completed still, with a URL. All else leaves the old one.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier import telemetry
from notifier.bell import Bell
from notifier.clock import Clock
from notifier.delivery.dispatcher import HOLD
from notifier.errors import StoreUnavailable
from notifier.health import Health
from notifier.ids import GenerationId, ProviderName
from notifier.model import Glimpse, Refresh, Stale, State
from notifier.store.base import DeliveryStore

_log = structlog.get_logger()

#: Deliveries under way at most: about what the share of a provider's budget that this may use shows within a hold.
MOST: Final = 1_000
#: So many stand or fall together.
TOGETHER: Final = 100

#: The poller's: what the provider shows of these IDs now, as far as it answers.
Glance = Callable[[ProviderName, Sequence[GenerationId]], Awaitable[Mapping[GenerationId, Glimpse]]]


class Refresher:
    """Owns the tasks; `deliveries` is rung when something may go."""

    def __init__(self, store: DeliveryStore, glance: Glance, *, clock: Clock, deliveries: Bell, health: Health) -> None:
        self._store = store
        self._glance = glance
        self._clock = clock
        self._deliveries = deliveries
        self._health = health
        self._under_way = 0
        self._tasks: TaskGroup | None = None

    @property
    def room(self) -> int:
        """How many deliveries may be held back now."""
        return 0 if self._tasks is None else MOST - self._under_way

    def take(self, stale: Sequence[Stale]) -> None:
        """Read the results of these again; returns at once."""
        assert self._tasks is not None, "there is no room before run"
        by_provider: dict[ProviderName, list[Stale]] = defaultdict(list)
        for each in stale:
            by_provider[each.provider].append(each)
        self._under_way += len(stale)
        for provider, some in by_provider.items():
            for begin in range(0, len(some), TOGETHER):
                self._tasks.start_soon(self._refresh, provider, some[begin : begin + TOGETHER])

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            task_status.started()
            await anyio.sleep_forever()

    async def _refresh(self, provider: ProviderName, stale: Sequence[Stale]) -> None:
        glimpses: Mapping[GenerationId, Glimpse] = {}
        try:
            with anyio.move_on_after(HOLD.total_seconds()):
                glimpses = await self._glance(provider, list(dict.fromkeys([each.generation for each in stale])))
            await self._write(provider, stale, glimpses)
        finally:
            self._under_way -= len(stale)

    async def _write(
        self, provider: ProviderName, stale: Sequence[Stale], glimpses: Mapping[GenerationId, Glimpse]
    ) -> None:
        fresh = {id_: glimpse for id_, glimpse in glimpses.items() if _worth_it(glimpse)}
        refreshes = [
            Refresh(message_id=each.message_id, number=each.number, glimpse=fresh.get(each.generation))
            for each in stale
        ]
        try:
            replaced = await self._store.refresh_bodies(refreshes, now=self._clock.now())
        except StoreUnavailable as error:  # nothing is sent now either, and the hold ends by itself
            self._health.store_failed(error)
            return
        self._deliveries.ring()
        _log.info(
            telemetry.DELIVERIES_REFRESHED,
            provider=provider,
            count=replaced,
            of=len(stale),
            first=stale[0].message_id,
            **({} if replaced == len(stale) else {"note": "the others go out with the result as it was stored"}),
        )


def _worth_it(glimpse: Glimpse) -> bool:
    return glimpse.observation.state is State.COMPLETED and glimpse.observation.result.url is not None
