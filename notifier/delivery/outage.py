"""Whether a failed attempt says something of its endpoint, or only that we are cut off. Pure: seconds are arguments.

While our own network is down every endpoint fails, and none of them is to blame: five days of that must not disable
them all. Rules:

- An attempt that nobody answered (no name, no connection, not in time, a proxy that says no) counts only where anybody
  answered within the hour before: another endpoint, a provider, or the same endpoint earlier.
- What was answered counts, whatever the answer was, and so does what we refused ourselves.
- Where this machine had too little for an attempt, nobody was asked: it never counts.

What does not count is an attempt like any other otherwise: it uses up a step of the schedule, and is shown.

Debt: an app on this very machine that answers shows that somebody answers, not that the network is up. And an endpoint
that failed before the network did, and fails when it is back, has failed all the while.
"""

from typing import Final

from notifier.domain.model import Verdict

#: Seconds after an answer in which silence is the endpoint's. Providers are asked more often while anything is watched.
PRESUMED: Final = 3600.0
#: Nobody answered.
SILENT: Final = frozenset({Verdict.DNS_FAILED, Verdict.CONNECT_FAILED, Verdict.TIMED_OUT, Verdict.PROXY_REFUSED})
#: Nobody was asked.
_OURS: Final = frozenset({Verdict.ADDRESS_REFUSED, Verdict.INTERRUPTED})


class OutageDetector:
    """Of one daemon: when anybody last answered. Seconds include the time that the machine slept."""

    def __init__(self) -> None:
        self._answered_at = float("-inf")

    def answered(self, now: float) -> None:
        self._answered_at = now

    def affects_health(self, verdict: Verdict, now: float) -> bool:
        """Take what an attempt came to; whether its endpoint is held to it."""
        if verdict is Verdict.OUT_OF_RESOURCES:
            return False
        if verdict in SILENT:
            return now - self._answered_at <= PRESUMED
        if verdict not in _OURS:
            self.answered(now)
        return True
