"""A loop's heartbeat: systemd's watchdog must be able to tell a loop that hangs from one that waits."""

from notifier.runtime.clock import Clock


class Heartbeat:
    """The heartbeat of one loop. A loop that has not called `beat` for `limit` seconds hangs."""

    def __init__(self, name: str, clock: Clock, *, limit: float) -> None:
        self.name = name
        self._clock = clock
        self._limit = limit
        self._last = clock.monotonic()

    def beat(self) -> None:
        self._last = self._clock.monotonic()

    def excuse(self, seconds: float) -> None:
        """Allow for the time for which the whole process was stopped: no loop could turn then."""
        self._last = min(self._last + seconds, self._clock.monotonic())

    @property
    def alive(self) -> bool:
        return self._clock.monotonic() - self._last < self._limit


class Heartbeats:
    """The heartbeats of all loops."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: list[Heartbeat] = []

    def add(self, name: str, *, limit: float) -> Heartbeat:
        made = Heartbeat(name, self._clock, limit=limit)
        self._all.append(made)
        return made

    @property
    def hanging(self) -> list[str]:
        """Names of the loops that do not turn any more."""
        return [each.name for each in self._all if not each.alive]

    def excuse(self, seconds: float) -> None:
        for each in self._all:
            each.excuse(seconds)
