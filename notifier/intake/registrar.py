"""Registers watches, of every source: nothing is acknowledged before it is durable.

After the commit, and only then, the poller learns which generations are watched now, and the dispatcher that deliveries
are pending if some could be made at once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import anyio
import anyio.lowlevel
import structlog

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import WatchId
from notifier.domain.model import OpenGeneration, Outcome, Registration, WatchRequest
from notifier.runtime import log_events
from notifier.runtime.clock import Clock
from notifier.runtime.health import STORE, Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import WatchStore

_log = structlog.get_logger()

#: Watches of one call that are logged by name; of more it says how many.
_NAMED: Final = 20
#: Watches that are handed to the poller before others have a turn: a list may hold 100,000.
_AT_ONCE: Final = 1_000
_FIRST_STAYS: Final = "this watch is open already with other content; the first one stays"


class RegistrarPort(Protocol):
    """What the sources need of the registrar."""

    async def register(
        self, requests: Sequence[WatchRequest], *, source: str, keep_first: bool = False, origins: Sequence[str] = ()
    ) -> list[Registration]:
        """All of `requests`, durably, or none: raises `InvalidWatch` or `StoreUnavailable`.

        `origins` says of each request where it was written, if `source` names several places.
        """
        ...


class Registrar:
    """Registers watches in `store`; `add_open` gets the generations that are watched from now on."""

    def __init__(
        self,
        store: WatchStore,
        *,
        clock: Clock,
        add_open: Callable[[Sequence[OpenGeneration]], None],
        deliveries: Wakeup,
        health: Health,
    ) -> None:
        self._store = store
        self._clock = clock
        self._add_open = add_open
        self._deliveries = deliveries
        self._health = health
        self._declared: set[WatchId] = set()

    @property
    def declared(self) -> AbstractSet[WatchId]:
        """What the operator's own files hold, or held in this run: retention leaves these identities."""
        return self._declared

    async def register(
        self, requests: Sequence[WatchRequest], *, source: str, keep_first: bool = False, origins: Sequence[str] = ()
    ) -> list[Registration]:
        """All of `requests` in one transaction, or none.

        `InvalidWatch` lists every conflict; after `StoreUnavailable` try again later.

        With `keep_first` (the operator's own files) a watch that is open with other content stays, and is logged; what
        they declare is remembered for as long as this run lasts. `origins` says of each request where it was written,
        if `source` names several places.
        """
        with anyio.CancelScope(
            shield=True
        ):  # poller and dispatcher learn of what is committed, whoever gave up waiting for it
            answers = await self._add(requests, keep_first=keep_first)
            if any(answer.enqueued for answer in answers):
                self._deliveries.notify()
            for begin in range(0, len(answers), _AT_ONCE):
                if begin:
                    await anyio.lowlevel.checkpoint()
                some = answers[begin : begin + _AT_ONCE]
                if keep_first:
                    self._declared.update([each.watch_id for each in some])
                if opened := [each.open for each in some if each.open and each.outcome is not Outcome.EXISTING]:
                    self._add_open(opened)
        self._log(requests, answers, source, origins or [source] * len(requests))
        return answers

    async def _add(self, requests: Sequence[WatchRequest], *, keep_first: bool) -> list[Registration]:
        """While the store cannot write, nothing is accepted from others, even if this write would work."""
        if not keep_first and not self._health.store_up:
            raise StoreUnavailable(self._health.troubles[STORE])
        try:
            return await self._store.add_watches(requests, now=self._clock.now(), keep_first=keep_first)
        except StoreUnavailable as error:
            self._health.store_failed(error)
            raise

    @staticmethod
    def _log(
        requests: Sequence[WatchRequest], answers: Sequence[Registration], source: str, origins: Sequence[str]
    ) -> None:
        kept = [index for index, answer in enumerate(answers) if answer.outcome is Outcome.KEPT]
        for index in kept[:_NAMED]:
            _log.warning(
                log_events.WATCH_KEPT,
                source=origins[index],
                generation=requests[index].generation,
                watch=answers[index].watch_id,
                differs=answers[index].differs,
                note=_FIRST_STAYS,
            )
        if (more := len(kept) - _NAMED) > 0:
            _log.warning(log_events.WATCH_KEPT, source=source, count=more, note=f"so many more: {_FIRST_STAYS}")
        outcomes = Counter(answer.outcome for answer in answers)
        fresh = outcomes[Outcome.CREATED] + outcomes[Outcome.REOPENED]
        log = _log.info if fresh else _log.debug
        log(
            log_events.WATCHES_REGISTERED,
            source=source,
            generation=requests[0].generation if len(requests) == 1 else None,
            **{outcome.name.lower(): count for outcome, count in outcomes.items()},
        )
