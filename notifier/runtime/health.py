"""The troubles of the process, by part. In memory only; readiness and STATUS are made from it.

A part reports its trouble in a sentence that says what to do, and clears it when it is over. The store is special:
while it cannot write, nothing is polled, claimed or accepted, so loops wait here for it.
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
#: The part whose trouble is that this machine has too few resources for another connection.
RESOURCES = "resources"
#: Seconds between two lines in the log about that.
_RESOURCES_LOGGED_EVERY: Final = 60.0


class Health:
    """Troubles by part, e.g. `provider luma` -> "401: …". The process is ready if there is none.

    `upkeep` is notified when the store begins to fail, because upkeep probes it.
    """

    def __init__(self, upkeep: Wakeup | None = None) -> None:
        self._upkeep = upkeep
        self._troubles: dict[str, str] = {}
        #: When it was last logged that this machine has too few resources.
        self._resources_logged = float("-inf")
        #: Sentences on why the store cannot write that were logged since it last could.
        self._write_errors: set[str] = set()
        #: The last sentence that was logged on why something could not be read.
        self._read_error = ""
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
        """Note a part's trouble; True if that part had none before."""
        fresh = part not in self._troubles
        self._troubles[part] = sentence
        if part == STORE and fresh:
            self._store_up = anyio.Event()
            if self._upkeep is not None:
                self._upkeep.notify()
        return fresh

    def store_failed(self, error: StoreUnavailable) -> None:
        """The store cannot write: each reason is logged once, until it can again. A later one is often clearer.

        A failed read for a person is reported to that person and logged, but is no trouble: the store is probed by a
        write, which would clear it at once.
        """
        if error.reading:
            if str(error) != self._read_error:
                self._read_error = str(error)
                _log.error(log_events.STORE_UNAVAILABLE, error=str(error), note="something could not be read")
            return
        self.trouble(STORE, str(error))
        if str(error) not in self._write_errors:
            self._write_errors.add(str(error))
            _log.error(log_events.STORE_UNAVAILABLE, error=str(error))

    def resources_exhausted(self, sentence: str, now: float) -> None:
        """The machine has too few resources for another connection; `now` is monotonic seconds.

        It is logged once a minute at most: requests on kept connections still work, and seem to end the trouble.
        """
        if self.trouble(RESOURCES, sentence) and now - self._resources_logged >= _RESOURCES_LOGGED_EVERY:
            self._resources_logged = now
            _log.error(log_events.RESOURCES_EXHAUSTED, error=sentence)

    def resources_recovered(self) -> None:
        """Note that a connection could be made again."""
        if self.clear(RESOURCES):
            _log.info(log_events.RESOURCES_RECOVERED)

    def clear(self, part: str) -> bool:
        """The part has no trouble any more; True if it had one."""
        had = self._troubles.pop(part, None) is not None
        if part == STORE:
            self._store_up.set()
            self._write_errors.clear()
            for act in self._recovery:
                act()
        return had

    def at_recovery(self, act: Callable[[], None]) -> None:
        """Have `act` called as soon as the store can write again."""
        self._recovery.append(act)

    async def wait_for_store(self, at_most: float) -> None:
        """Wait until the store can write again, but no longer than `at_most` seconds."""
        with anyio.move_on_after(at_most):
            await self._store_up.wait()
