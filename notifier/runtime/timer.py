"""The timer: APScheduler, and its only importer. Its jobs ring bells; no work, state or cancellation in them.

One job per recurring duty, never one per watch. A beat that comes late is made up by one, not by many.
"""

from collections.abc import Callable
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler


class Timer:
    """Calls plain, quick functions at fixed intervals, in the event loop's own thread."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def every(self, seconds: float, beat: Callable[[], None], *, name: str) -> None:
        async def job() -> None:  # a coroutine, so that the scheduler does not take a thread for it
            beat()

        self._scheduler.add_job(job, "interval", seconds=seconds, id=name, name=name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Whether it was started or not: a start that failed is told by its own error."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
