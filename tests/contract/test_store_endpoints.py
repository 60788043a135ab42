"""The health of endpoints, and what it does to their deliveries: disabled, enabled, parked, announced."""

from datetime import datetime, timedelta

import pytest

from notifier.domain.endpoint_health import Change, EndpointHealth, EndpointState
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Kind, NewDelivery, State, Verdict
from notifier.store.ports import Store
from notifier.store.records import EndpointSummary, Exchange
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    ME,
    NOBODY,
    NOW,
    Opening,
    add,
    again_at,
    apply,
    deliveries,
    enqueue,
    ids,
    messages,
    outcome,
    request,
    seen,
    slots,
    take,
)

STUDIO = Destination("studio")
URL = "https://app.example.com/done"
ORIGIN = Destination("https://app.example.com")
DAY = timedelta(days=1)


def some(count: int, prefix: str = "g") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def line(store: Store, destination: str = "studio") -> EndpointSummary:
    (found,) = [each for each in await store.endpoint_summaries() if each.health.destination == destination]
    return found


async def standing(store: Store, destination: str = "studio") -> EndpointHealth:
    return (await line(store, destination)).health


async def status(store: Store, generation: str = "g-1") -> tuple[DeliveryStatus, str]:
    (found,) = await deliveries(store, generation)
    return found.status, found.reason


async def gone(store: Store, *, now: datetime = NOW) -> Exchange:
    """One attempt is made, and the endpoint answers 410."""
    (claim,) = (await store.exchange(ME, [], slots(1), now=now)).claims
    result = outcome(claim, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None)
    return await store.exchange(ME, [result], slots(0), now=now)


async def fail(store: Store, times: int, *, at: datetime) -> list[Change]:
    """One delivery is attempted so often at `at`, each time in vain."""
    changed: list[Change] = []
    for _ in range(times):
        (claim,) = (await store.exchange(ME, [], slots(1), now=at)).claims
        result = outcome(claim, Verdict.SERVER_ERROR, due_at=at)
        changed += (await store.exchange(ME, [result], slots(0), now=at)).changed
    return changed


# ---- what attempts make of an endpoint ----------------------------------------------------------------------------
async def test_of_an_endpoint_that_was_sent_nothing_nothing_is_known(store: Store) -> None:
    """An empty store has no destinations; one that has a delivery and nothing more counts as working."""
    assert list(await store.endpoint_summaries()) == []
    await enqueue(store, "g-1")
    assert list(await store.endpoint_summaries()) == [
        EndpointSummary(health=EndpointHealth(destination=STUDIO), pending=1, parked=0)
    ]


async def test_a_success_is_noted(store: Store) -> None:
    """With its time, which is what a person asks first; nothing changed by it."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    answer = await take(store, outcome(claim), now=NOW + HOUR)
    assert list(answer.changed) == []
    assert await line(store) == EndpointSummary(
        health=EndpointHealth(destination=STUDIO, last_success=NOW + HOUR), pending=0, parked=0
    )


async def test_failures_are_counted_and_a_success_ends_the_count(store: Store) -> None:
    """Since when, and how many: then it is as if there were none."""
    await enqueue(store, "g-1")
    await fail(store, 2, at=NOW)
    await fail(store, 1, at=NOW + HOUR)
    found = await standing(store)
    assert (found.failures, found.first_failure, found.last_failure) == (3, NOW, NOW + HOUR)
    (claim,) = (await take(store, now=NOW + HOUR)).claims
    await take(store, outcome(claim), now=NOW + HOUR)
    assert await standing(store) == EndpointHealth(destination=STUDIO, last_success=NOW + HOUR)


async def test_an_attempt_without_an_outcome_does_not_count(store: Store) -> None:
    """A worker that died, one that was stopped, and a result that came too late say nothing of the endpoint."""
    await enqueue(store, "g-1", "g-2")
    first, second = (await take(store)).claims
    await take(store, outcome(first, Verdict.INTERRUPTED, due_at=NOW + HOUR))
    await store.release(ME, again_at(NOW + HOUR), now=NOW)
    late = await take(store, outcome(second, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None))
    assert late.lost == [second.message_id]
    assert await standing(store) == EndpointHealth(destination=STUDIO)


async def test_a_failure_that_does_not_count_is_an_attempt_all_the_same(store: Store) -> None:
    """While nobody could be reached: it is in the history and uses up its step, and the endpoint is not blamed."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    await take(store, outcome(claim, Verdict.CONNECT_FAILED, affects_health=False))
    assert await standing(store) == EndpointHealth(destination=STUDIO)
    (found,) = await deliveries(store)
    assert [attempt.verdict for attempt in found.attempts] == [Verdict.CONNECT_FAILED]
    assert (found.status, found.due_at) == (DeliveryStatus.PENDING, NOW + HOUR)


async def test_an_endpoint_that_fails_for_five_days_is_warned_of_and_then_disabled(store: Store) -> None:
    """Each change is answered once, with what was before."""
    await enqueue(store, "g-1")
    assert await fail(store, 9, at=NOW) == []
    (warned,) = await fail(store, 1, at=NOW + DAY)
    assert (warned.event, warned.before.failures, warned.after.failures) == ("endpoint.failing", 9, 10)
    assert await fail(store, 1, at=NOW + 4 * DAY) == []
    (disabled,) = await fail(store, 1, at=NOW + 5 * DAY)
    assert (disabled.event, disabled.before.state) == ("endpoint.disabled", EndpointState.FAILING)
    assert await standing(store) == disabled.after
    assert (disabled.after.warned_at, disabled.after.disabled_at) == (NOW + DAY, NOW + 5 * DAY)


async def test_a_failing_endpoint_that_succeeds_has_recovered(store: Store) -> None:
    """That is a change like any other, and is kept."""
    await enqueue(store, "g-1")
    await fail(store, 9, at=NOW)
    await fail(store, 1, at=NOW + DAY)
    (claim,) = (await take(store, now=NOW + DAY)).claims
    (change,) = (await take(store, outcome(claim), now=NOW + DAY)).changed
    assert (change.event, change.before.failures) == ("endpoint.recovered", 10)
    assert await standing(store) == EndpointHealth(destination=STUDIO, last_success=NOW + DAY)


async def test_an_origin_is_kept_only_while_something_is_wrong_with_it(store: Store) -> None:
    """There may be millions of them."""
    await enqueue(store, "g-1", endpoint=URL)
    await fail(store, 1, at=NOW)
    assert (await standing(store, ORIGIN)).failures == 1
    (claim,) = (await take(store)).claims
    await take(store, outcome(claim))
    assert list(await store.endpoint_summaries()) == []


async def test_origins_that_failed_long_ago_are_forgotten(store: Store) -> None:
    """Unless they are disabled; an endpoint of the configuration is never forgotten."""
    other = Destination("https://other.example.com")
    await store.disable_endpoint(other, now=NOW, reason="no more")
    await enqueue(store, "g-1", endpoint=URL)
    await enqueue(store, "g-2")
    await take(store, *[outcome(claim, Verdict.RESET) for claim in (await take(store)).claims])
    assert await store.forget_endpoints(before=NOW) == 0
    assert await store.forget_endpoints(before=NOW + timedelta(microseconds=1)) == 1
    assert (await standing(store, ORIGIN)).failures == 0
    assert (await standing(store)).failures == 1
    assert (await standing(store, other)).state is EndpointState.DISABLED


async def test_endpoints_of_one_call_stand_each_for_itself(store: Store) -> None:
    """One is gone, one fails, one succeeds; what changed is answered in the order of the results."""
    names = ("slow", "studio", "audit", "ops")
    await apply(store, EndpointDirectory(events=dict.fromkeys(names), callbacks=True))
    for name in names:
        await enqueue(store, f"to-{name}", endpoint=name)
    claims = {claim.destination: claim for claim in (await take(store)).claims}
    results = [
        outcome(claims[Destination("studio")], Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None),
        outcome(claims[Destination("slow")], Verdict.TIMED_OUT),
        outcome(claims[Destination("ops")]),
        outcome(claims[Destination("audit")], Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None),
    ]
    answer = await take(store, *results)
    assert [change.after.destination for change in answer.changed] == ["studio", "audit"]
    found = [each.health for each in await store.endpoint_summaries()]
    assert [(each.destination, each.state.value, each.failures) for each in found] == [
        ("audit", "disabled", 1),
        ("ops", "working", 0),
        ("slow", "working", 1),
        ("studio", "disabled", 1),
    ]


# ---- 410 ----------------------------------------------------------------------------------------------------------
async def test_gone_disables_a_configured_endpoint_and_parks_what_waits_for_it(store: Store) -> None:
    """The one that met it is ended; every other is kept, says why, and is due no more."""
    await enqueue(store, "g-1", "g-2", "g-3")
    await enqueue(store, "other", endpoint="audit", now=NOW + HOUR)
    answer = await gone(store)
    (change,) = answer.changed
    assert (change.after.state, change.after.disabled_at) == (EndpointState.DISABLED, NOW)
    assert (change.parked, (await line(store)).parked) == (2, 2)
    states = [await status(store, name) for name in ("g-1", "g-2", "g-3")]
    reason = "endpoint studio is disabled: it answered 410 Gone"
    assert sorted(states) == [(DeliveryStatus.EXHAUSTED, ""), *[(DeliveryStatus.PARKED, reason)] * 2]
    assert ids(await take(store, now=NOW + HOUR)) == ["other"]


async def test_gone_ends_one_callback_and_never_an_origin(store: Store) -> None:
    """An origin serves other URLs too; 410 there counts as a failure and no more."""
    await enqueue(store, "g-1", "g-2", endpoint=URL)
    answer = await gone(store)
    assert list(answer.changed) == []
    assert (await standing(store, ORIGIN)).state is EndpointState.WORKING
    assert len((await take(store)).claims) == 1


async def test_a_disabled_endpoint_is_disabled_after_a_restart(opening: Opening) -> None:
    """It is in the store, not in a worker's memory."""
    async with opening() as store:
        await enqueue(store, "g-1", "g-2")
        await gone(store)
        before = await standing(store)
    async with opening() as store:
        assert await standing(store) == before
        assert (await take(store, now=NOW + HOUR)).claims == []


async def test_attempts_under_way_when_it_is_disabled_end_as_they_may(store: Store) -> None:
    """One succeeds and is done, one fails and is parked, one is never heard of and is parked too."""
    await enqueue(store, "g-1", "g-2", "g-3", "g-4")
    first, *rest = (await take(store)).claims
    await take(store, outcome(first, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None))
    answer = await take(store, outcome(rest[0]), outcome(rest[1], Verdict.TIMED_OUT))
    await store.release(ME, again_at(NOW), now=NOW)
    assert list(answer.changed) == []
    assert [(await status(store, claim.generation))[0] for claim in rest] == [
        DeliveryStatus.DELIVERED,
        DeliveryStatus.PARKED,
        DeliveryStatus.PARKED,
    ]
    assert (await standing(store)).state is EndpointState.DISABLED
    assert (await take(store, now=NOW + 2 * HOUR)).claims == []


async def test_what_is_parked_is_counted_whole(store: Store) -> None:
    """What waited, and what failed together with the attempt that disabled it."""
    await enqueue(store, "g-1", "g-2", "g-3", "g-4")
    first, second = (await store.exchange(ME, [], slots(2), now=NOW)).claims
    ended = outcome(first, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None)
    (change,) = (await take(store, outcome(second, Verdict.RESET), ended)).changed
    assert change.parked == (await line(store)).parked == 3


# ---- nothing goes to a disabled endpoint --------------------------------------------------------------------------
async def test_nothing_of_a_disabled_endpoint_is_claimed_while_it_waits_to_be_parked(store: Store) -> None:
    """A thousand waited: a bounded number is parked at once, none is claimed, and others are served meanwhile."""
    await enqueue(store, *some(1000))
    await enqueue(store, "other", endpoint="audit", now=NOW + HOUR)
    (change,) = (await gone(store)).changed
    found = await line(store)
    assert change.parked == found.pending + found.parked == 999
    assert 0 < found.parked < 999
    assert ids(await take(store, now=NOW + HOUR)) == ["other"]
    assert await store.park_disabled() == found.pending
    assert (await line(store)).parked == 999
    assert await store.park_disabled() == 0


@pytest.mark.parametrize(("endpoint", "destination"), [("studio", STUDIO), (URL, ORIGIN)])
async def test_a_new_message_for_a_disabled_endpoint_is_parked(
    store: Store, endpoint: str, destination: Destination
) -> None:
    """Whoever makes it: a look that completes a generation, or a watch that joins a completed one."""
    await store.disable_endpoint(destination, now=NOW, reason="the app moves")
    await enqueue(store, "g-1", endpoint=endpoint)
    await enqueue(store, "g-2", endpoint="audit")
    await add(store, request("g-2", endpoint=endpoint))
    reason = f"endpoint {destination} is disabled: the app moves"
    assert await status(store, "g-1") == (DeliveryStatus.PARKED, reason)
    joined = (await deliveries(store, "g-2"))[1]
    assert (joined.status, joined.reason) == (DeliveryStatus.PARKED, reason)


async def test_a_message_that_events_leaves_out_is_parked_all_the_same(store: Store) -> None:
    """Disabled comes before filtered, as not configured does."""
    directory = EndpointDirectory(events={"studio": frozenset({"watch.expired"})}, callbacks=False)
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    await apply(store, directory)
    await enqueue(store, "g-1")
    assert (await status(store))[0] is DeliveryStatus.PARKED


# ---- by a person --------------------------------------------------------------------------------------------------
async def test_a_person_disables_an_endpoint(store: Store) -> None:
    """The answer says what it was; what is pending is parked, with the person's words."""
    await enqueue(store, "g-1")
    change = await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    assert (change.before, change.parked) == (EndpointHealth(destination=STUDIO), 1)
    assert (change.after.state, change.after.reason) == (EndpointState.DISABLED, "the app moves")
    assert await status(store) == (DeliveryStatus.PARKED, "endpoint studio is disabled: the app moves")


async def test_a_disabled_endpoint_keeps_its_first_reason(store: Store) -> None:
    """To disable it again changes nothing, and says so."""
    await enqueue(store, "g-1")
    await gone(store)
    change = await store.disable_endpoint(STUDIO, now=NOW + HOUR, reason="the app moves")
    assert (change.event, change.before) == ("", change.after)
    assert (await standing(store)).reason == "it answered 410 Gone"


async def test_after_enabling_only_new_messages_flow(store: Store) -> None:
    """What was parked stays, is counted in the answer, and does not go on at the next start either."""
    await enqueue(store, "g-1", "g-2")
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    change = await store.enable_endpoint(STUDIO, now=NOW + HOUR)
    assert (change.event, change.before.reason, change.parked) == ("endpoint.recovered", "the app moves", 2)
    assert await apply(store, DIRECTORY, now=NOW + HOUR) == (0, 0)
    await enqueue(store, "g-3", now=NOW + HOUR)
    assert ids(await take(store, now=NOW + HOUR)) == ["g-3"]
    assert await standing(store) == EndpointHealth(destination=STUDIO)


async def test_what_was_given_up_is_counted_and_dated_with_what_is_parked(store: Store) -> None:
    """The message that got the 410 too, though it is not pending any more; not one that was given up long before."""
    await enqueue(store, "old")
    old = (await store.exchange(ME, [], slots(1), now=NOW)).claims[0]
    ended = outcome(old, Verdict.SERVER_ERROR, status=DeliveryStatus.EXHAUSTED, due_at=None)
    await store.exchange(ME, [ended], slots(0), now=NOW)
    await enqueue(store, "well", now=NOW + DAY)
    well = (await store.exchange(ME, [], slots(1), now=NOW + DAY)).claims[0]
    delivered = outcome(well, Verdict.DELIVERED, status=DeliveryStatus.DELIVERED, due_at=None)
    await store.exchange(ME, [delivered], slots(0), now=NOW + DAY)
    await enqueue(store, "gone", now=NOW + 2 * DAY)
    await gone(store, now=NOW + 2 * DAY)
    await enqueue(store, "parked", now=NOW + 3 * DAY)
    shown = await line(store)
    assert (shown.given_up, shown.parked, shown.oldest) == (1, 1, NOW + 2 * DAY)
    change = await store.enable_endpoint(STUDIO, now=NOW + 4 * DAY, announce=lambda _: None)
    assert (change.given_up, change.parked, change.oldest) == (1, 1, NOW + 2 * DAY)


async def test_enabling_parks_what_was_still_to_be_parked(store: Store) -> None:
    """An endpoint that is enabled at once is not flooded with what waited for it."""
    await enqueue(store, *some(1200))
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    assert (await store.enable_endpoint(STUDIO, now=NOW)).parked == 1200
    assert (await take(store, now=NOW + HOUR)).claims == []


async def test_enabling_what_is_not_disabled_changes_nothing(store: Store) -> None:
    """A failing one is failing still: only a success shows that it is well."""
    await enqueue(store, "g-1")
    await fail(store, 9, at=NOW)
    await fail(store, 1, at=NOW + DAY)
    change = await store.enable_endpoint(STUDIO, now=NOW + DAY)
    assert (change.event, change.before) == ("", change.after)
    assert (await standing(store)).state is EndpointState.FAILING


# ---- not configured, and disabled ---------------------------------------------------------------------------------
async def test_what_is_parked_for_a_disabled_endpoint_does_not_resume_when_its_name_returns(store: Store) -> None:
    """Taken out of the configuration and put back, while disabled and after it was enabled."""
    await enqueue(store, "g-1")
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    for directory in (NOBODY, DIRECTORY):
        assert await apply(store, directory, now=NOW) == (0, 0)
    await store.enable_endpoint(STUDIO, now=NOW)
    for directory in (NOBODY, DIRECTORY):
        assert await apply(store, directory, now=NOW) == (0, 0)
    assert (await status(store))[0] is DeliveryStatus.PARKED


async def test_what_was_parked_for_want_of_a_name_stays_when_that_is_disabled(store: Store) -> None:
    """The name returns while the endpoint is disabled: parked it is, for that reason from now on."""
    await enqueue(store, "g-1")
    assert await apply(store, NOBODY, now=NOW) == (1, 0)
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    assert await apply(store, DIRECTORY, now=NOW) == (0, 0)
    assert await status(store) == (DeliveryStatus.PARKED, "endpoint studio is disabled: the app moves")
    await store.enable_endpoint(STUDIO, now=NOW)
    assert await apply(store, DIRECTORY, now=NOW) == (0, 0)


async def test_what_lost_its_endpoint_resumes_beside_what_was_disabled(store: Store) -> None:
    """The one resumes by itself; the other does not."""
    await enqueue(store, "g-1")
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves")
    await store.enable_endpoint(STUDIO, now=NOW)
    (claim,) = (await _owed_to(store, "g-3")).claims
    await apply(store, NOBODY)
    await enqueue(store, "g-2")
    await take(store, outcome(claim, Verdict.INTERRUPTED, status=DeliveryStatus.PARKED, due_at=None, detail="left out"))
    assert await apply(store, DIRECTORY, now=NOW) == (0, 2)
    assert sorted(ids(await take(store))) == ["g-2", "g-3"]


async def _owed_to(store: Store, generation: str) -> Exchange:
    await enqueue(store, generation)
    return await take(store)


# ---- the operator is told -----------------------------------------------------------------------------------------
class Announcer:
    """Tells `ops` of every change."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __call__(self, change: Change) -> NewDelivery:
        self.changes.append(change)
        return NewDelivery(
            message_id=MessageId(f"msg_{len(self.changes)}"),
            endpoint=EndpointIdentity("ops"),
            destination=Destination("ops"),
            kind=Kind.OPERATOR,
            type=change.event,
            status=DeliveryStatus.PENDING,
            content_type="application/json",
            body=b'{"type":"%s"}' % change.event.encode(),
            wait=timedelta(seconds=7),
        )


async def test_a_change_owes_the_operator_a_message(store: Store) -> None:
    """It is a delivery like any other that belongs to no watch: due after its wait, claimed, attempted, closed."""
    await enqueue(store, "g-1", "g-2")
    (claim,) = (await store.exchange(ME, [], slots(1), now=NOW)).claims
    result = outcome(claim, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None)
    told = Announcer()
    answer = await store.exchange(ME, [result], slots(), now=NOW, announce=told)
    assert (told.changes, answer.claims) == ([*answer.changed], [])
    assert answer.next_due == NOW + timedelta(seconds=7)
    (claim,) = (await take(store, now=NOW + timedelta(seconds=7))).claims
    assert (claim.message_id, claim.endpoint, claim.destination, claim.type) == (
        "msg_1",
        "ops",
        "ops",
        "endpoint.disabled",
    )
    assert (claim.body, claim.generation, claim.watch_id) == (b'{"type":"endpoint.disabled"}', "", "")
    await take(store, outcome(claim))
    assert (await store.counts()).deliveries[DeliveryStatus.DELIVERED] == 1
    assert list(await store.problems(deep=True)) == []


async def test_a_person_is_told_of_too(store: Store) -> None:
    """Disabled and enabled by hand: a message each, for others may ask who did it."""
    told = Announcer()
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves", announce=told)
    await store.enable_endpoint(STUDIO, now=NOW, announce=told)
    assert [change.event for change in told.changes] == ["endpoint.disabled", "endpoint.recovered"]
    assert messages(await take(store, now=NOW + HOUR)) == ["msg_1", "msg_2"]


async def test_what_cannot_be_told_does_not_happen(store: Store) -> None:
    """The message and the change are one transaction."""

    def fails(_: Change) -> NewDelivery:
        raise ZeroDivisionError

    await enqueue(store, "g-1", "g-2")
    (claim,) = (await store.exchange(ME, [], slots(1), now=NOW)).claims
    result = outcome(claim, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None)
    with pytest.raises(ZeroDivisionError):
        await store.exchange(ME, [result], slots(), now=NOW, announce=fails)
    assert (await standing(store)).state is EndpointState.WORKING
    assert (await take(store, result)).lost == []


async def test_a_message_for_an_operator_who_is_disabled_is_parked(store: Store) -> None:
    """Nothing vanishes: it is kept with the others."""
    await store.disable_endpoint(Destination("ops"), now=NOW, reason="on holiday")
    await store.disable_endpoint(STUDIO, now=NOW, reason="the app moves", announce=Announcer())
    assert (await take(store, now=NOW + HOUR)).claims == []
    assert (await line(store, "ops")).parked == 1


async def test_messages_of_no_watch_stand_in_no_history_and_in_the_counts(store: Store) -> None:
    """A list and a history are of generations; totals are of everything."""
    await enqueue(store, "g-1")
    await store.disable_endpoint(Destination("audit"), now=NOW, reason="the app moves", announce=Announcer())
    (found,) = await store.generations(open_only=False, limit=9)
    assert found.deliveries == {DeliveryStatus.PENDING: 1}
    assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: 2}
    assert len(await store.histories(GenerationId("g-1"))) == 1


async def test_destinations_are_listed_by_name(store: Store) -> None:
    """Each once, whatever is known of it: its health, what is pending or in flight, what is parked."""
    await enqueue(store, "g-1", "g-2", endpoint="slow")
    await store.exchange(ME, [], slots(1), now=NOW)
    await enqueue(store, "g-3", endpoint=URL)
    await store.disable_endpoint(ORIGIN, now=NOW, reason="no more")
    await store.disable_endpoint(Destination("audit"), now=NOW, reason="no more")
    await store.record_transitions([seen("g-9", State.COMPLETED)], now=NOW)
    found = await store.endpoint_summaries()
    assert [(each.health.destination, each.pending, each.parked) for each in found] == [
        ("audit", 0, 0),
        (ORIGIN, 0, 1),
        ("slow", 2, 0),
    ]
