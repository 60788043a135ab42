"""What a store decides between its reads and its writes, in whatever database: a store writes SQL and asks here.

Each rule takes words of the model and `now`, and answers what is to be written. What a status may become is in the
tables of `lifecycle`, what a message says in `message`, what an attempt makes of its endpoint in `endpoint_health`;
whose turn it is to be claimed is in `turns`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import orjson

from notifier.domain import endpoint_health
from notifier.domain.endpoint_health import EndpointHealth, EndpointState, parked_reason
from notifier.domain.errors import Fault
from notifier.domain.ids import Destination, EndpointIdentity, ProviderName
from notifier.domain.lifecycle import DELIVERY, WATCH, DeliverySignal, WatchSignal, satisfies
from notifier.domain.message import RECORD_LIMIT, parked_because
from notifier.domain.model import (
    AttemptResult,
    DeliveryStatus,
    EndpointDirectory,
    Kind,
    Observation,
    Outcome,
    RereadResult,
    SeenGeneration,
    State,
    Transition,
    Verdict,
    WatchRequest,
    WatchStatus,
)
from notifier.store.records import Freshness

#: An attempt began at most so long before its answer.
_LONGEST_ATTEMPT: Final = timedelta(minutes=15)
#: What a kind of message means for its watch.
_SIGNALS: Final = {Kind.RESULT: WatchSignal.SATISFY, Kind.EXPIRED: WatchSignal.EXPIRE, Kind.UNKNOWN: WatchSignal.LOSE}
#: State -> the targets that it satisfies.
SATISFIED: Final = {state: frozenset(target for target in State if satisfies(state, target)) for state in State}
#: What a watch becomes when it ends, by the kind of its message.
ENDED: Final = {kind: WATCH[WatchStatus.OPEN][signal] for kind, signal in _SIGNALS.items()}
PARKED: Final = DELIVERY[DeliveryStatus.PENDING][DeliverySignal.PARK]


# ---- registering --------------------------------------------------------------------------------------------------
def outcome(
    request: WatchRequest,
    status: WatchStatus,
    metadata: bytes,
    timeout: timedelta,
    registered_at: datetime,
    *,
    keep_first: bool,
    now: datetime,
) -> tuple[Outcome, tuple[str, ...]]:
    """What becomes of a request for a watch that is recorded, as these say; for KEPT, what differs."""
    if status is WatchStatus.OPEN:
        differs: tuple[str, ...] = () if _same_json(metadata, request.metadata) else ("metadata",)
        if timeout != request.timeout:
            differs = (*differs, "timeout")
        return Outcome.KEPT if differs else Outcome.EXISTING, differs
    reopens = not keep_first and WatchSignal.REOPEN in WATCH[status]
    # Registered since it was put there: as far as can be told, it is what the watch was made of.
    same_request = request.put_at is not None and request.put_at <= registered_at <= now
    return Outcome.REOPENED if reopens and not same_request else Outcome.FINISHED, ()


def _same_json(one: bytes, other: bytes) -> bool:
    """The order of keys does not matter; `1` and `true` do."""
    if one == other:
        return True
    plain = (orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS) for text in (one, other))
    return next(plain) == next(plain)


def contradiction(index: int, request: WatchRequest, differs: Iterable[str]) -> Fault:
    """The endpoint is named without its query, which may carry a token: this ends up in logs."""
    what, endpoint = " and ".join(differs), request.endpoint.partition("?")[0]
    return Fault(
        path=f"[{index}]",
        message=f"generation {request.generation} is watched for {request.target} by {endpoint} already, with other"
        f" {what}: send the same {what}, or wait until that watch ends.",
    )


# ---- what was seen ------------------------------------------------------------------------------------------------
def batches(transitions: Iterable[Transition]) -> Iterator[Sequence[Transition]]:
    """The same in the same order, in batches (mostly one) that name no generation twice."""
    batch: dict[tuple[str, str], Transition] = {}
    for transition in transitions:
        name = (transition.provider, transition.observation.id)
        if name in batch:
            yield list(batch.values())
            batch = {}
        batch[name] = transition
    yield list(batch.values())


def seen_in(transition: Transition, state: State) -> SeenGeneration:
    """What is recorded of a generation that a transition raises to `state`."""
    return _seen(transition.observation, transition.provider, state, transition.observed_at, transition.not_before)


def seen_again(reread: RereadResult) -> SeenGeneration:
    """For a body that is brought up to date: the provider, and what else is not of the result, stay as in the body."""
    return _seen(reread.observation, ProviderName(""), reread.observation.state, reread.seen_at, None)


def _seen(
    observation: Observation,
    provider: ProviderName,
    state: State | None,
    observed_at: datetime,
    not_before: datetime | None,
) -> SeenGeneration:
    record = None if observation.record is None else orjson.dumps(dict(observation.record))
    omitted = record is not None and len(record) > RECORD_LIMIT
    return SeenGeneration(
        provider=provider,
        id=observation.id,
        state=state,
        provider_state=observation.provider_state,
        result=observation.result,
        failure=observation.failure,
        record=None if omitted else record,
        record_omitted=omitted,
        observed_at=observed_at,
        not_before=not_before,
    )


def ages(destinations: Iterable[str], freshness: Freshness) -> dict[str, timedelta]:
    """From which age on a result is too old to be sent, of those destinations that have such an age."""
    found = {each: freshness.after.get(Destination(each), freshness.each) for each in destinations}
    return {destination: age for destination, age in found.items() if age is not None}


# ---- attempts -----------------------------------------------------------------------------------------------------
class Moved(NamedTuple):
    """A delivery after an attempt."""

    status: DeliveryStatus
    reason: str
    resumes: bool
    failures: int
    due_at: datetime | None


def after_attempt(result: AttemptResult, destination: Destination, disabled: Mapping[Destination, str]) -> Moved:
    """ValueError for a move that no table allows.

    What would wait for a disabled destination is parked. A delivery that an attempt parks has lost its endpoint, and
    resumes when that is configured again.
    """
    if result.status not in DELIVERY[DeliveryStatus.PENDING].values():
        raise ValueError(f"no attempt makes a delivery {result.status}")
    if result.status is not DeliveryStatus.PENDING:
        lost_endpoint = result.status is DeliveryStatus.PARKED
        return Moved(result.status, result.detail if lost_endpoint else "", lost_endpoint, result.failures, None)
    if result.due_at is None:
        raise ValueError("a pending delivery needs a due_at")
    if (why := disabled.get(destination)) is not None:
        return Moved(PARKED, parked_reason(destination, why), False, result.failures, None)
    return Moved(result.status, "", False, result.failures, result.due_at)


def interrupted(result: AttemptResult, *, started_at: datetime, leased_until: datetime, now: datetime) -> AttemptResult:
    """`result` with what the store knows better: when the attempt began; it lasted no longer than its lease."""
    took = max(timedelta(0), min(now, leased_until) - started_at)
    return replace(result, started_at=started_at, took=took, verdict=Verdict.INTERRUPTED)


# ---- endpoints ----------------------------------------------------------------------------------------------------
class HealthChanges(NamedTuple):
    #: (before, after) of destinations of which something else is to be written down.
    noted: Sequence[tuple[EndpointHealth, EndpointHealth]]
    #: (before, after) of those that are in another state now.
    moved: Sequence[tuple[EndpointHealth, EndpointHealth]]
    #: Which of all are disabled now, and why.
    disabled: Mapping[Destination, str]


def health_changes(
    before: Mapping[Destination, EndpointHealth],
    attempts: Iterable[tuple[Destination, Verdict | None]],
    *,
    now: datetime,
) -> HealthChanges:
    """What attempts, in their order, make of their destinations; None: the verdict says nothing of its endpoint."""
    after = dict(before)
    for destination, verdict in attempts:
        if verdict is not None:
            after[destination] = endpoint_health.after_attempt(after[destination], verdict, now=now)
    noted = [(before[each], health) for each, health in after.items() if health is not before[each]]
    return HealthChanges(
        noted=noted,
        moved=[(old, new) for old, new in noted if new.state is not old.state],
        disabled={each: health.reason for each, health in after.items() if health.state is EndpointState.DISABLED},
    )


def given_up_since(health: EndpointHealth) -> datetime | None:
    """From when on the attempts began that a disabled destination's failure gave up, the one answered by 410 too."""
    if health.disabled_at is None:
        return None
    return min(health.first_failure or health.disabled_at, health.disabled_at) - _LONGEST_ATTEMPT


class Parking(NamedTuple):
    """What another endpoint directory does to deliveries, by their keys."""

    #: Parked now, and why; they resume by themselves.
    gone: Sequence[tuple[int, str]]
    #: Parked already, and do not resume any more, because their destination is disabled; why.
    stuck: Sequence[tuple[int, str]]
    #: Pending again.
    back: Sequence[int]


#: A delivery's key, endpoint and destination.
_Addressed = tuple[int, EndpointIdentity, Destination]


def parking(waiting: Iterable[_Addressed], parked: Iterable[_Addressed], directory: EndpointDirectory) -> Parking:
    """By `directory`, of what is pending and nobody works on, and of what is parked and may resume."""
    parked = list(parked)
    why = {key: parked_because(endpoint, destination, directory) for key, endpoint, destination in parked}
    return Parking(
        gone=[
            (key, reason)
            for key, endpoint, destination in waiting
            if destination not in directory.disabled and (reason := parked_because(endpoint, destination, directory))
        ],
        stuck=[(key, why[key] or "") for key, _, destination in parked if destination in directory.disabled],
        back=[key for key, reason in why.items() if reason is None],
    )


def redelivered(
    status: DeliveryStatus, *, leased: bool, parked: str | None, has_body: bool
) -> tuple[DeliveryStatus | None, str]:
    """A delivery's status once a person asked for it again; or None, and why it stays as it is.

    `parked` says why it would only be parked again.
    """
    again = DELIVERY[status].get(DeliverySignal.REDELIVER)
    if leased or again is None:
        return None, "being sent now"
    if parked:
        return None, parked
    return (again, "") if has_body else (None, "its body is not kept any more")
