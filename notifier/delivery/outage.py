"""Whether a failed attempt affects its endpoint's health, or only shows an outage on our side. Pure.

While our own network is down every endpoint fails, and none of them is to blame: five days of that must not disable
them all. Rules:

- An attempt that nobody answered (no name, no connection, not in time, a proxy that refuses) counts only if somebody
  answered within the hour before: another endpoint, a provider, or the same endpoint earlier.
- An attempt that was answered counts, whatever the answer was, and so does one that we refused ourselves.
- If this machine had too few resources for an attempt, nobody was asked: it never counts.

An attempt that does not count is otherwise like any other: it uses up a step of the schedule, and is shown.

Debt: an app on this machine that answers shows that somebody answers, not that the network is up. And an endpoint that
failed before the outage and fails after it has failed for the whole time.
"""

from typing import Final

from notifier.domain.model import Verdict

#: Seconds after an answer in which silence counts against the endpoint. While there are open watches, providers are
#: polled more often than that.
CONNECTED: Final = 3600.0
#: Nobody answered.
SILENT: Final = frozenset({Verdict.DNS_FAILED, Verdict.CONNECT_FAILED, Verdict.TIMED_OUT, Verdict.PROXY_REFUSED})
#: Nobody was asked.
_OURS: Final = frozenset({Verdict.ADDRESS_REFUSED, Verdict.INTERRUPTED})


class OutageDetector:
    """When anybody last answered this daemon. Seconds include the time that the machine slept."""

    def __init__(self) -> None:
        self._answered_at = float("-inf")

    def answered(self, now: float) -> None:
        self._answered_at = now

    def affects_health(self, verdict: Verdict, now: float) -> bool:
        """Take in the verdict of an attempt; whether it affects its endpoint's health."""
        if verdict is Verdict.OUT_OF_RESOURCES:
            return False
        if verdict in SILENT:
            return now - self._answered_at <= CONNECTED
        if verdict not in _OURS:
            self.answered(now)
        return True
