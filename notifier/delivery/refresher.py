"""Has results that are too old to be sent read again: the provider's links to them expire.

The claim finds them (`DeliveryStore.exchange`) and postpones their attempts by `REFRESH_WAIT`. Meanwhile the poller
reads each generation again; the stored bodies are replaced in one transaction, which makes the attempts due. If
anything goes wrong (provider, store, a crash), a postponed attempt is made after `REFRESH_WAIT` with the stored body.

A body is replaced only if the generation is still completed and has a URL.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier.delivery.capacity import REFRESH_WAIT
from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import GenerationId, ProviderName
from notifier.domain.model import Refresh, RereadResult, Stale, State
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import DeliveryStore

_log = structlog.get_logger()

#: Deliveries under way at most: about what the re-reads' share of a provider's budget can read within `REFRESH_WAIT`.
MOST: Final = 1_000

#: The poller's: what the provider shows of an ID now; None if it does not answer.
Reread = Callable[[ProviderName, GenerationId], Awaitable[RereadResult | None]]


@dataclass(slots=True, eq=False)
class Refresher:
    """Owns the tasks; `deliveries` is notified when something may go out."""

    store: DeliveryStore
    reread: Reread
    _: KW_ONLY
    clock: Clock
    deliveries: Wakeup
    health: Health
    _under_way: int = 0
    _tasks: TaskGroup | None = None

    @property
    def room(self) -> int:
        """How many deliveries may be postponed now."""
        return 0 if self._tasks is None else MOST - self._under_way

    def take(self, stale: Sequence[Stale]) -> None:
        """Read the results of these again; returns at once."""
        assert self._tasks is not None, "there is no room before run"
        self._under_way += len(stale)
        by_generation: dict[tuple[ProviderName, GenerationId], list[Stale]] = defaultdict(list)
        for each in stale:
            by_generation[each.provider, each.generation].append(each)
        for name, some in by_generation.items():
            self._tasks.start_soon(self._refresh, *name, some)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            task_status.started()
            await anyio.sleep_forever()

    async def _refresh(self, provider: ProviderName, generation: GenerationId, stale: Sequence[Stale]) -> None:
        """Deliveries of one generation go out as soon as it was read; polls and commits are shared if they coincide."""
        try:
            reread: RereadResult | None = None
            with anyio.move_on_after(REFRESH_WAIT.total_seconds()):
                reread = await self.reread(provider, generation)
            seen = None if reread is None else reread.observation
            if seen is None or seen.state is not State.COMPLETED or seen.result.url is None:
                reread = None
            refreshes = [Refresh(message_id=each.message_id, number=each.number, reread=reread) for each in stale]
            replaced = await self.store.refresh_bodies(refreshes, now=self.clock.now())
        except StoreUnavailable as error:  # nothing is sent now either, and `REFRESH_WAIT` ends by itself
            self.health.store_failed(error)
            return
        finally:
            self._under_way -= len(stale)
        self.deliveries.notify()
        _log.info(
            log_events.DELIVERIES_REFRESHED,
            provider=provider,
            generation=generation,
            count=replaced,
            of=len(stale),
            **({} if replaced else {"note": "they go out with the result as it was stored"}),
        )
