"""How an endpoint stands: THE table of its states, and what an attempt or a person makes of them. Pure.

What stands is a destination: a configured endpoint by its name, or an origin of callback URLs. Rules:

- *Failing* is a warning: no success since an attempt that failed a day ago or more, and at least five failed ones.
- *Disabled* is no success for five days and at least ten failed attempts. The warning always comes first, and by a
  day: an endpoint that is sent little may meet both conditions at once, and is warned of first all the same.
- 410 disables a configured endpoint at once. It never disables an origin, which serves other URLs too.
- Only attempts count, never time alone: an endpoint that was sent nothing has failed at nothing. An interrupted attempt
  is ours and does not count, nor does one of a time when nobody answered at all: `reach` keeps those away from here.
- A success makes a failing endpoint a working one. Disabled is left by a person alone: the answer to an attempt that
  was under way already does not undo it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from notifier.domain.ids import Destination
from notifier.domain.model import Verdict
from notifier.domain.times import iso

#: From the first failure after the last success to the warning, and how many failures that takes.
WARN_AFTER: Final = timedelta(days=1)
WARN_FAILURES: Final = 5
#: The same for disabling.
DISABLE_AFTER: Final = timedelta(days=5)
DISABLE_FAILURES: Final = 10
#: From the warning to disabling, at least.
WARNED_FOR: Final = timedelta(days=1)
#: A success is noted again after this: a busy endpoint is not written down with each of its answers.
SUCCESS_EVERY: Final = timedelta(minutes=1)


class EndpointState(StrEnum):
    WORKING = "working"
    FAILING = "failing"
    DISABLED = "disabled"


class EndpointSignal(StrEnum):
    #: 2xx.
    SUCCEED = "succeed"
    #: A failed attempt, and not yet a reason for more.
    FAIL = "fail"
    #: A failed attempt with which a warning is due.
    WARN = "warn"
    #: A failed attempt with which it was tried for long enough.
    GIVE_UP = "give up"
    #: A configured endpoint answered 410.
    GONE = "gone"
    #: A person took it out of use.
    DISABLE = "disable"
    #: A person put it into use again.
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
        EndpointSignal.ENABLE: EndpointState.FAILING,  # only a success shows that it is well
    },
    EndpointState.DISABLED: {
        **dict.fromkeys(EndpointSignal, EndpointState.DISABLED),
        EndpointSignal.ENABLE: EndpointState.WORKING,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """What is known of one destination."""

    destination: Destination
    state: EndpointState = EndpointState.WORKING
    #: The first attempt that failed after the last success; None where none did.
    first_failure: datetime | None = None
    last_failure: datetime | None = None
    #: Attempts that failed since the last success.
    failures: int = 0
    #: To the minute. None where there was none, and for an origin that began to fail: origins that work are not kept.
    last_success: datetime | None = None
    #: Since when it is failing; None where nobody was warned.
    warned_at: datetime | None = None
    disabled_at: datetime | None = None
    #: Why it is failing or disabled, in words; empty otherwise.
    reason: str = ""

    @property
    def worth_keeping(self) -> bool:
        """False for an origin of which nothing bad is known: there may be millions."""
        return named(self.destination) or self.state is not EndpointState.WORKING or self.failures > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A destination that stands otherwise than before, or what a person's wish came to: then both may be the same."""

    before: EndpointHealth
    after: EndpointHealth
    #: Deliveries that are kept back, those included that are going to be because of this.
    parked: int
    #: Where a destination is in use again: deliveries that were given up since it began to fail, one answered by 410
    #: too.
    given_up: int = 0
    #: When the first was made of those that are kept back by now and do not go on by themselves, or were given up; None
    #: without any.
    oldest: datetime | None = None

    @property
    def event(self) -> str:
        """What it is called in the log and in what the operator gets; empty where the state is the same."""
        return "" if self.before.state is self.after.state else _EVENTS[self.after.state]

    @property
    def telling(self) -> EndpointHealth:
        """The one that says why: of an endpoint that is well again, what it was."""
        return self.before if self.after.state is EndpointState.WORKING else self.after


_EVENTS: Final = {
    EndpointState.WORKING: "endpoint.recovered",
    EndpointState.FAILING: "endpoint.failing",
    EndpointState.DISABLED: "endpoint.disabled",
}


def named(destination: str) -> bool:
    """Whether it is a configured endpoint's and not an origin."""
    return "://" not in destination


def after_attempt(before: EndpointHealth, verdict: Verdict, *, now: datetime) -> EndpointHealth:
    """How the destination stands once an attempt came to `verdict`; `before` itself where that changes nothing."""
    if verdict is Verdict.INTERRUPTED or before.state is EndpointState.DISABLED:
        return before
    return _succeeded(before, now) if verdict is Verdict.DELIVERED else _failed(before, verdict, now)


def disabled(before: EndpointHealth, reason: str, *, now: datetime) -> EndpointHealth:
    """A person takes it out of use. One that is disabled already keeps its reason."""
    return _move(before, EndpointSignal.DISABLE, reason, now)


def enabled(before: EndpointHealth) -> EndpointHealth:
    """A person puts it into use again: it begins anew. `before` itself where it was not disabled."""
    if before.state is not EndpointState.DISABLED:
        return before
    state = TRANSITIONS[before.state][EndpointSignal.ENABLE]
    return EndpointHealth(destination=before.destination, state=state, last_success=before.last_success)


def parked_reason(destination: str, reason: str) -> str:
    """Why a delivery of a disabled destination is kept back, in words."""
    return f"endpoint {destination} is disabled: {reason}"


def _succeeded(before: EndpointHealth, now: datetime) -> EndpointHealth:
    last = before.last_success
    if not before.failures and last is not None and abs(now - last) < SUCCESS_EVERY:
        return before
    return EndpointHealth(
        destination=before.destination, state=TRANSITIONS[before.state][EndpointSignal.SUCCEED], last_success=now
    )


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
    """By the table; the time and the reason of a new state are noted."""
    state = TRANSITIONS[before.state][signal]
    if state is before.state:
        return before
    if state is EndpointState.DISABLED:
        return replace(before, state=state, disabled_at=now, reason=reason)
    return replace(before, state=state, warned_at=now, reason=reason)
