"""Wakes one loop early. Notifications before it wakes count as one; a lost one costs an interval, never a watch."""

import anyio


class Wakeup:
    """Notified from the event loop's thread; one loop waits for it."""

    def __init__(self) -> None:
        self._notified = anyio.Event()

    def notify(self) -> None:
        self._notified.set()

    async def wait(self, at_most: float) -> bool:
        """Wait until it is notified, but no longer than `at_most` seconds. True if it was notified."""
        with anyio.move_on_after(at_most):
            await self._notified.wait()
        notified = self._notified.is_set()
        if notified:
            self._notified = anyio.Event()
        return notified
