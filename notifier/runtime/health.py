"""What is wrong now, part by part, and whether every loop turns. Memory only; readiness and STATUS are drawn from it.

A part names its trouble in a sentence that says what to do, and takes it back when it is over. The store is special:
while it cannot write, nobody looks, claims or accepts, so loops wait here for it.
"""

from collections.abc import Callable, Mapping
from typing import Final

import anyio
import structlog

from notifier.domain.errors import StoreUnavailable
from notifier.runtime import log_events
from notifier.runtime.wakeup import Wakeup

_log = structlog.get_logger()

STORE = "store"
#: The part whose trouble is that this machine has too little for another connection.
RESOURCES = "resources"
#: Seconds.
_TOLD_AGAIN: Final = 60.0


class Health:
    """Troubles by part, e.g. `provider luma` -> "401: …". No trouble at all is readiness.

    `upkeep` is rung when the store begins to fail: upkeep asks it again, and not only when its round comes.
    """

    def __init__(self, upkeep: Wakeup | None = None) -> None:
        self._upkeep = upkeep
        self._troubles: dict[str, str] = {}
        #: When it was last said that this machine has too little.
        self._short_told = float("-inf")
        #: Why the store cannot write, as it was logged since it last could.
        self._said: set[str] = set()
        #: Why something could not be read, as it was logged last.
        self._said_of_reading = ""
        self._store_up = anyio.Event()
        self._store_up.set()
        self._recovery: list[Callable[[], None]] = []

    @property
    def troubles(self) -> Mapping[str, str]:
        return self._troubles

    @property
    def store_up(self) -> bool:
        return STORE not in self._troubles

    def trouble(self, part: str, sentence: str) -> bool:
        """Note a part's trouble; True where that part had none before."""
        fresh = part not in self._troubles
        self._troubles[part] = sentence
        if part == STORE and fresh:
            self._store_up = anyio.Event()
            if self._upkeep is not None:
                self._upkeep.notify()
        return fresh

    def store_failed(self, error: StoreUnavailable) -> None:
        """The store cannot write: each cause is said once, until it can again. A later one is often the clearer.

        What could not be read for a person is said to that person, and in the log, and stops nobody: the store is asked
        again by writing, and would be said to be well at once.
        """
        if error.reading:
            if str(error) != self._said_of_reading:
                self._said_of_reading = str(error)
                _log.error(log_events.STORE_UNAVAILABLE, error=str(error), note="something could not be read")
            return
        self.trouble(STORE, str(error))
        if str(error) not in self._said:
            self._said.add(str(error))
            _log.error(log_events.STORE_UNAVAILABLE, error=str(error))

    def resources_exhausted(self, sentence: str, now: float) -> None:
        """The machine has too little for another connection; `now` is monotonic seconds.

        It is not told again within a minute: what rides on a kept connection works meanwhile, and seems to end it.
        """
        if self.trouble(RESOURCES, sentence) and now - self._short_told >= _TOLD_AGAIN:
            self._short_told = now
            _log.error(log_events.RESOURCES_EXHAUSTED, error=sentence)

    def resources_recovered(self) -> None:
        """A connection was made again."""
        if self.clear(RESOURCES):
            _log.info(log_events.RESOURCES_RECOVERED)

    def clear(self, part: str) -> bool:
        """The part has no trouble any more; True where it had one."""
        had = self._troubles.pop(part, None) is not None
        if part == STORE:
            self._store_up.set()
            self._said.clear()
            for act in self._recovery:
                act()
        return had

    def at_recovery(self, act: Callable[[], None]) -> None:
        """For who has something to do as soon as the store can write again, and does other things meanwhile."""
        self._recovery.append(act)

    async def wait_for_store(self, at_most: float) -> None:
        """Until the store can write again, but no longer than `at_most` seconds."""
        with anyio.move_on_after(at_most):
            await self._store_up.wait()


class StoreBackoff:
    """Seconds until a store that failed is asked again: 1, 2, 4, … 30.

    They begin anew only when it was well for a while: one that fails again as soon as it is used is not asked every
    second.
    """

    _FIRST: Final = 1.0
    _LONGEST: Final = 30.0
    #: Seconds without trouble after which the next trouble is another one.
    _STEADY: Final = 60.0

    def __init__(self) -> None:
        self._wait = 0.0
        self._succeeded_at: float | None = None

    def next(self, now: float) -> float:
        """It failed, before or again; `now` is on a clock that is never set."""
        if self._succeeded_at is not None and now - self._succeeded_at >= self._STEADY:
            self._wait = 0.0
        self._succeeded_at = None
        self._wait = min(max(self._FIRST, 2 * self._wait), self._LONGEST)
        return self._wait

    def succeeded(self, now: float) -> None:
        self._succeeded_at = now
