"""When a failed delivery is attempted again, and its status after an attempt. Pure: `now` and randomness are arguments.

The delay before attempt n is `max(retry[n - 1], hint) * (1 + JITTER * jitter)`, with `jitter` random in [0, 1] and
`hint` the endpoint's `Retry-After`, 24 hours at most. So a hint and the jitter only lengthen a step of the schedule.
`retry[0]` precedes the first attempt: a schedule of ten entries is ten attempts.

Two failures are ours and not the endpoint's, and use up no step. An interrupted attempt is due again at once; from the
third in a row it counts as a failure, so that a message which kills its worker cannot do so for ever. An attempt for
which this machine had too few resources is due again after a short wait, see `runtime.resource_backoff`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.model import Answer, AttemptResult, Claim, DeliveryStatus, Interruption, Verdict
from notifier.domain.verdict import explain, retryable

#: An endpoint's hint is at most this.
LONGEST_HINT: Final = timedelta(hours=24)
#: How long a destination that asked for fewer requests is sent nothing: the default if it does not say, and the
#: maximum.
PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(minutes=1)
#: Jitter adds this share of the wait at most.
JITTER: Final = 0.1
#: From this many interrupted attempts in a row on, each counts as a failure.
FORGIVEN: Final = 3
_ZERO: Final = timedelta(0)
#: An attempt is only open while its delivery is pending.
_MOVES: Final = DELIVERY[DeliveryStatus.PENDING]


def next_attempt_at(
    retry: Sequence[timedelta], failures: int, *, now: datetime, hint: timedelta, jitter: float
) -> datetime | None:
    """When to attempt it after `failures` failures (0: the first attempt); None if the schedule is used up."""
    if failures >= len(retry):
        return None
    return now + max(retry[failures], min(hint, LONGEST_HINT)) * (1 + JITTER * jitter)


def pause(answer: Answer, verdict: Verdict) -> timedelta:
    """How long no other attempt to the destination of this answer begins.

    For the message itself the hint counts, without this bound.
    """
    if verdict is not Verdict.THROTTLED:
        return _ZERO
    return min(max(timedelta(seconds=answer.retry_after or 0.0), PAUSE), LONGEST_PAUSE)


def settle(
    claim: Claim,
    answer: Answer,
    verdict: Verdict,
    *,
    affects_health: bool = True,
    retry: Sequence[timedelta],
    took: timedelta,
    now: datetime,
    jitter: float,
    resource_wait: timedelta = _ZERO,
) -> AttemptResult:
    """Close the attempt of `claim`, which ended with `answer` and so with `verdict`. `outage` decides `affects_health`.

    `resource_wait` is how long this machine begins no attempts, if it had too few resources.
    """
    ours = verdict is Verdict.OUT_OF_RESOURCES
    failures = claim.failures + (verdict is not Verdict.DELIVERED and not ours)
    due_at = now + resource_wait if ours else None
    if retryable(verdict) and not ours:
        hint = timedelta(seconds=answer.retry_after or 0.0)
        due_at = next_attempt_at(retry, failures, now=now, hint=hint, jitter=jitter)
    return AttemptResult(
        message_id=claim.message_id,
        number=claim.number,
        started_at=claim.started_at,
        took=took,
        verdict=verdict,
        status_code=answer.status_code,
        head=answer.head,
        detail=explain(answer, verdict),
        status=_MOVES[_signal(verdict, due_at)],
        failures=failures,
        due_at=due_at,
        affects_health=affects_health,
    )


def after_interruption(
    interruption: Interruption, retry: Sequence[timedelta], *, now: datetime, jitter: float
) -> AttemptResult:
    """Close an attempt of unknown outcome. `started_at` and `took` are placeholders: the store has the real ones."""
    failures, signal = interruption.failures, DeliverySignal.INTERRUPT
    due_at: datetime | None = now
    if interruption.interruptions >= FORGIVEN:
        failures += 1
        due_at = next_attempt_at(retry, failures, now=now, hint=_ZERO, jitter=jitter)
        signal = _signal(Verdict.INTERRUPTED, due_at)
    return AttemptResult(
        message_id=interruption.message_id,
        number=interruption.number,
        started_at=now,
        verdict=Verdict.INTERRUPTED,
        detail="the worker stopped before the answer came",
        status=_MOVES[signal],
        failures=failures,
        due_at=due_at,
    )


def not_configured(claim: Claim) -> AttemptResult:
    """Close an attempt that was not made: its endpoint was removed from the configuration after the claim."""
    return AttemptResult(
        message_id=claim.message_id,
        number=claim.number,
        started_at=claim.started_at,
        verdict=Verdict.INTERRUPTED,
        detail=f"endpoint {claim.destination} is not in the configuration any more: nothing was sent",
        status=_MOVES[DeliverySignal.PARK],
        failures=claim.failures,
    )


def _signal(verdict: Verdict, due_at: datetime | None) -> DeliverySignal:
    if verdict is Verdict.DELIVERED:
        return DeliverySignal.SUCCEED
    return DeliverySignal.GIVE_UP if due_at is None else DeliverySignal.RETRY
