"""Wakes one loop early. Rings run together; a ring that is missed costs one interval, never a watch."""

import anyio


class Bell:
    """Rung from the event loop's own thread; one loop waits for it."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, at_most: float) -> bool:
        """Until the bell is rung, but no longer than `at_most` seconds. True where it was rung."""
        with anyio.move_on_after(at_most):
            await self._rung.wait()
        rung = self._rung.is_set()
        if rung:
            self._rung = anyio.Event()
        return rung
