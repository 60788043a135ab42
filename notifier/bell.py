"""Wakes one loop early. Rings run together; a ring that is missed costs one interval, never a watch."""

import asyncio

import anyio


class Bell:
    """Rung from the event loop's own thread; one loop waits for it."""

    def __init__(self) -> None:
        self._rung = anyio.Event()
        self._soon: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        self._rung.set()

    def ring_within(self, seconds: float) -> None:
        """For what can wait a little, so that more of it is served at once."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(seconds, self._ring_now)

    def _ring_now(self) -> None:
        self._soon = None
        self.ring()

    async def wait(self, at_most: float) -> bool:
        """Until the bell is rung, but no longer than `at_most` seconds. True where it was rung."""
        with anyio.move_on_after(at_most):
            await self._rung.wait()
        rung = self._rung.is_set()
        if rung:
            self._rung = anyio.Event()
        return rung
