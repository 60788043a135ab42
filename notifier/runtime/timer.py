"""The timer: APScheduler, and its only importer. Its jobs notify wakeups; they do no work and have no state.

There is one job for each recurring duty, never one for each watch. One call makes up for all that were missed.
"""

from collections.abc import Callable
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler


class Timer:
    """Calls plain, quick functions at fixed intervals, in the event loop's thread."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, call: Callable[[], None], *, name: str) -> None:
        async def job() -> None:  # a coroutine, so that the scheduler does not take a thread for it
            call()

        self._scheduler.add_job(job, "interval", seconds=seconds, id=name, name=name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """May be called without a start: a failed start reports its own error."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
