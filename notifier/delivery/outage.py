"""Whether a failed attempt affects its endpoint's health, or only shows an outage on our side. Pure.

While our own network is down every endpoint fails, and none of them is the cause: five days of that must not disable
them all. Rules:

- An attempt without an answer (no name, no connection, not in time, a proxy that refuses) counts only if anything
  answered within the hour before: another endpoint, a provider, or the same endpoint.
- An attempt with any answer counts, and so does one that we refused ourselves.
- If this machine had too few resources for an attempt, no request was sent: it never counts.

An attempt that does not count is otherwise like any other: it uses up a step of the schedule, and is shown.

Debt: if an app on this machine answers, that does not show that the network is up. And an endpoint that failed before
the outage and fails after it counts as failing for the whole time.
"""

from typing import Final

from notifier.domain.model import Verdict

#: Seconds after an answer in which silence counts against the endpoint. While there are open watches, providers are
#: polled more often than that.
CONNECTED: Final = 3600.0
#: There was no answer.
SILENT: Final = frozenset({Verdict.DNS_FAILED, Verdict.CONNECT_FAILED, Verdict.TIMED_OUT, Verdict.PROXY_REFUSED})
#: No request was sent.
_OURS: Final = frozenset({Verdict.ADDRESS_REFUSED, Verdict.INTERRUPTED})


class OutageDetector:
    """When anything last answered this daemon. Seconds include the time that the machine slept."""

    def __init__(self) -> None:
        self._answered_at = float("-inf")

    def answered(self, now: float) -> None:
        self._answered_at = now

    def affects_health(self, verdict: Verdict, now: float) -> bool:
        """Note the verdict of an attempt; True if it affects its endpoint's health."""
        if verdict is Verdict.OUT_OF_RESOURCES:
            return False
        if verdict in SILENT:
            return now - self._answered_at <= CONNECTED
        if verdict not in _OURS:
            self.answered(now)
        return True
