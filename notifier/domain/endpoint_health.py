"""The health of an endpoint: THE table of its states, and how an attempt or a person changes them. Pure.

This is the circuit breaker: a disabled endpoint is sent nothing until a person enables it. Health is kept for each
destination: a configured endpoint by its name, or an origin of callback URLs. Rules:

- *Failing* is a warning: no success since an attempt that failed a day ago or more, and at least five failed ones.
- *Disabled* is no success for five days and at least ten failed attempts. The warning comes at least a day before: an
  endpoint that is sent little may meet both conditions at once, and then the warning comes first.
- 410 disables a configured endpoint at once. It never disables an origin, which serves other URLs too.
- Only attempts count, never time alone: an endpoint that was sent nothing did not fail. An interrupted attempt does not
  count, because the worker stopped, not the endpoint. Attempts during an outage on our side are not counted here:
  `delivery.outage` says which those are.
- A success makes a failing endpoint a working one. Only a person ends "disabled"; a late answer to an attempt that was
  already under way does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from notifier.domain.ids import Destination
from notifier.domain.model import Verdict
from notifier.domain.times import iso

#: Time from the first failure after the last success to the warning, and how many failures that takes.
WARN_AFTER: Final = timedelta(days=1)
WARN_FAILURES: Final = 5
#: The same for disabling.
DISABLE_AFTER: Final = timedelta(days=5)
DISABLE_FAILURES: Final = 10
#: The least time from the warning to disabling.
WARNED_FOR: Final = timedelta(days=1)
#: A success is stored again only after this time, so a busy endpoint does not cost a write for each answer.
SUCCESS_EVERY: Final = timedelta(minutes=1)


class EndpointState(StrEnum):
    WORKING = "working"
    FAILING = "failing"
    DISABLED = "disabled"


class EndpointSignal(StrEnum):
    #: 2xx.
    SUCCEED = "succeed"
    #: A failed attempt that changes nothing yet.
    FAIL = "fail"
    #: A failed attempt after which a warning is due.
    WARN = "warn"
    #: A failed attempt after which it has failed for long enough.
    GIVE_UP = "give up"
    #: A configured endpoint answered 410.
    GONE = "gone"
    #: A person disabled it.
    DISABLE = "disable"
    #: A person enabled it.
    ENABLE = "enable"


TRANSITIONS: Final[Mapping[EndpointState, Mapping[EndpointSignal, EndpointState]]] = {
    EndpointState.WORKING: {
        EndpointSignal.SUCCEED: EndpointState.WORKING,
        EndpointSignal.FAIL: EndpointState.WORKING,
        EndpointSignal.WARN: EndpointState.FAILING,
        EndpointSignal.GIVE_UP: EndpointState.FAILING,  # the warning comes first
        EndpointSignal.GONE: EndpointState.DISABLED,
        EndpointSignal.DISABLE: EndpointState.DISABLED,
        EndpointSignal.ENABLE: EndpointState.WORKING,
    },
    EndpointState.FAILING: {
        EndpointSignal.SUCCEED: EndpointState.WORKING,
        EndpointSignal.FAIL: EndpointState.FAILING,  # a clock was set back
        EndpointSignal.WARN: EndpointState.FAILING,
        EndpointSignal.GIVE_UP: EndpointState.DISABLED,
        EndpointSignal.GONE: EndpointState.DISABLED,
        EndpointSignal.DISABLE: EndpointState.DISABLED,
        EndpointSignal.ENABLE: EndpointState.FAILING,  # only a success shows that it works
    },
    EndpointState.DISABLED: {
        **dict.fromkeys(EndpointSignal, EndpointState.DISABLED),
        EndpointSignal.ENABLE: EndpointState.WORKING,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """What is known about the health of one destination."""

    destination: Destination
    state: EndpointState = EndpointState.WORKING
    #: The first attempt that failed after the last success; None if none did.
    first_failure: datetime | None = None
    last_failure: datetime | None = None
    #: Attempts that failed since the last success.
    failures: int = 0
    #: To the minute. None if there was none, and for an origin that began to fail: origins that work are not kept.
    last_success: datetime | None = None
    #: Since when it is failing; None if there was no warning.
    warned_at: datetime | None = None
    disabled_at: datetime | None = None
    #: Why it is failing or disabled, in words; empty otherwise.
    reason: str = ""

    @property
    def worth_keeping(self) -> bool:
        """False for an origin that did not fail: there may be millions."""
        return named(self.destination) or self.state is not EndpointState.WORKING or self.failures > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A destination whose health changed, or the result of a person's request: then both may be the same."""

    before: EndpointHealth
    after: EndpointHealth
    #: Parked deliveries, including those that this change is going to park.
    parked: int
    #: If a destination works again: deliveries given up since it began to fail, including one that got a 410.
    given_up: int = 0
    #: When the oldest of the deliveries was created that were given up, or are parked and do not resume by themselves;
    #: None if there are none.
    oldest: datetime | None = None

    @property
    def event(self) -> str:
        """Its name in the log and in the operator's message; empty if the state is the same."""
        return "" if self.before.state is self.after.state else _EVENTS[self.after.state]

    @property
    def explaining(self) -> EndpointHealth:
        """The health that has the reason: if an endpoint works again, the health before."""
        return self.before if self.after.state is EndpointState.WORKING else self.after

    def facts(self) -> dict[str, Any]:
        """The fields about it for the log and for the operator's message."""
        told = self.explaining
        return {
            "endpoint": self.after.destination,
            "reason": told.reason,
            "failing_since": None if told.first_failure is None else iso(told.first_failure),
            "failures": told.failures,
            "parked": self.parked,
        }


_EVENTS: Final = {
    EndpointState.WORKING: "endpoint.recovered",
    EndpointState.FAILING: "endpoint.failing",
    EndpointState.DISABLED: "endpoint.disabled",
}


def named(destination: str) -> bool:
    """Whether it is the destination of a configured endpoint, not an origin."""
    return "://" not in destination


def after_attempt(before: EndpointHealth, verdict: Verdict, *, now: datetime) -> EndpointHealth:
    """The destination's health after an attempt with this `verdict`; `before` itself if that changes nothing."""
    if verdict is Verdict.INTERRUPTED or before.state is EndpointState.DISABLED:
        return before
    if verdict is not Verdict.DELIVERED:
        return _failed(before, verdict, now)
    last = before.last_success
    if not before.failures and last is not None and abs(now - last) < SUCCESS_EVERY:
        return before
    state = TRANSITIONS[before.state][EndpointSignal.SUCCEED]
    return EndpointHealth(destination=before.destination, state=state, last_success=now)


def disabled(before: EndpointHealth, reason: str, *, now: datetime) -> EndpointHealth:
    """A person disables it. If it is disabled already, it keeps its reason."""
    return _move(before, EndpointSignal.DISABLE, reason, now)


def enabled(before: EndpointHealth) -> EndpointHealth:
    """A person enables it: its failures are forgotten. `before` itself if it was not disabled."""
    if before.state is not EndpointState.DISABLED:
        return before
    state = TRANSITIONS[before.state][EndpointSignal.ENABLE]
    return EndpointHealth(destination=before.destination, state=state, last_success=before.last_success)


def parked_reason(destination: str, reason: str) -> str:
    """Why a delivery to a disabled destination is parked, in words."""
    return f"endpoint {destination} is disabled: {reason}"


def _failed(before: EndpointHealth, verdict: Verdict, now: datetime) -> EndpointHealth:
    since = before.first_failure or now
    counted = replace(before, first_failure=since, last_failure=now, failures=before.failures + 1)
    if verdict is Verdict.GONE and named(before.destination):
        return _move(counted, EndpointSignal.GONE, "it answered 410 Gone", now)
    why = f"no success since {iso(since)}, in {counted.failures} failed attempts; the last one: {verdict}"
    return _move(counted, _signal(counted, now), why, now)


def _signal(counted: EndpointHealth, now: datetime) -> EndpointSignal:
    assert counted.first_failure is not None, "a failure was just counted"
    lasts, failures = now - counted.first_failure, counted.failures
    warned = counted.warned_at is None or now - counted.warned_at >= WARNED_FOR
    if lasts >= DISABLE_AFTER and failures >= DISABLE_FAILURES and warned:
        return EndpointSignal.GIVE_UP
    if lasts >= WARN_AFTER and failures >= WARN_FAILURES:
        return EndpointSignal.WARN
    return EndpointSignal.FAIL


def _move(before: EndpointHealth, signal: EndpointSignal, reason: str, now: datetime) -> EndpointHealth:
    """The next health by the table; a new state has its time and its reason."""
    state = TRANSITIONS[before.state][signal]
    if state is before.state:
        return before
    if state is EndpointState.DISABLED:
        return replace(before, state=state, disabled_at=now, reason=reason)
    return replace(before, state=state, warned_at=now, reason=reason)
