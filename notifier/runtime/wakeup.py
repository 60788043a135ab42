"""Wakes one loop early. Rings run together; a ring that is missed costs one interval, never a watch."""

import anyio


class Wakeup:
    """Rung from the event loop's own thread; one loop waits for it."""

    def __init__(self) -> None:
        self._notified = anyio.Event()

    def notify(self) -> None:
        self._notified.set()

    async def wait(self, at_most: float) -> bool:
        """Until the wakeup is rung, but no longer than `at_most` seconds. True where it was rung."""
        with anyio.move_on_after(at_most):
            await self._notified.wait()
        rung = self._notified.is_set()
        if rung:
            self._notified = anyio.Event()
        return rung
