"""When to try again, and where an attempt leaves its delivery. Pure: `now` and chance come as arguments.

`retry[0]` precedes the first attempt, so a schedule of ten entries is ten attempts. A step is the least wait: an
endpoint's hint can only lengthen it, and jitter only adds (up to a tenth), so neither is ever undercut. An
interrupted attempt is ours, not the endpoint's: it uses up no step and is due at once. From the third in a row it
counts as a failure, so that a message which kills its worker cannot do so for ever. An attempt for which this machine
had too little is ours as well: it uses up no step either, and is due again after a short rest, see `backoff`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.model import Answer, AttemptResult, Claim, DeliveryStatus, Interruption, Verdict
from notifier.domain.verdict import explain, retryable

#: An endpoint's hint counts as this at most.
LONGEST_HINT: Final = timedelta(hours=24)
#: How long an endpoint that wants less is sent nothing else, where it does not say, and at most.
REST: Final = timedelta(seconds=1)
LONGEST_REST: Final = timedelta(minutes=1)
#: Jitter adds this share of the wait at most.
JITTER: Final = 0.1
#: Interrupted attempts in a row, from which on each counts as a failure.
FORGIVEN: Final = 3
_NO_HINT: Final = timedelta(0)


def next_attempt_at(
    retry: Sequence[timedelta], failures: int, *, now: datetime, hint: timedelta, jitter: float
) -> datetime | None:
    """When to try after `failures` failures (0: the first attempt), or None when the schedule is used up.

    `jitter` is in [0, 1].
    """
    if failures >= len(retry):
        return None
    return now + max(retry[failures], min(hint, LONGEST_HINT)) * (1 + JITTER * jitter)


def rest(answer: Answer, verdict: Verdict) -> timedelta:
    """How long nothing more begins at the destination of this answer.

    Its hint binds the message itself without this bound.
    """
    if verdict is not Verdict.THROTTLED:
        return _NO_HINT
    return min(max(timedelta(seconds=answer.retry_after or 0.0), REST), LONGEST_REST)


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
    rest: timedelta = _NO_HINT,
) -> AttemptResult:
    """Close the attempt of `claim`, which came to `answer` and so to `verdict`. `outage` says what `affects_health`.

    `rest` is how long nothing begins where this machine had too little.
    """
    ours = verdict is Verdict.OUT_OF_RESOURCES
    failures = claim.failures + (verdict is not Verdict.DELIVERED and not ours)
    due_at = now + rest if ours else None
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
        status=_move(_signal(verdict, due_at)),
        failures=failures,
        due_at=due_at,
        affects_health=affects_health,
    )


def after_interruption(
    interruption: Interruption, retry: Sequence[timedelta], *, now: datetime, jitter: float
) -> AttemptResult:
    """Close an attempt whose outcome nobody knows.

    `started_at` and `took` are placeholders: only the store knows them.
    """
    failures, signal = interruption.failures, DeliverySignal.INTERRUPT
    due_at: datetime | None = now
    if interruption.interruptions >= FORGIVEN:
        failures += 1
        due_at = next_attempt_at(retry, failures, now=now, hint=_NO_HINT, jitter=jitter)
        signal = _signal(Verdict.INTERRUPTED, due_at)
    return AttemptResult(
        message_id=interruption.message_id,
        number=interruption.number,
        started_at=now,
        took=timedelta(0),
        verdict=Verdict.INTERRUPTED,
        status_code=None,
        head=b"",
        detail="the worker stopped before the answer came",
        status=_move(signal),
        failures=failures,
        due_at=due_at,
    )


def _signal(verdict: Verdict, due_at: datetime | None) -> DeliverySignal:
    if verdict is Verdict.DELIVERED:
        return DeliverySignal.SUCCEED
    return DeliverySignal.GIVE_UP if due_at is None else DeliverySignal.RETRY


def _move(signal: DeliverySignal) -> DeliveryStatus:
    """An attempt is only ever open on a pending delivery."""
    return DELIVERY[DeliveryStatus.PENDING][signal]
