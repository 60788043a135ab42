"""If the wall clock was set, the due times of what waits move with it: once, and nothing else does."""

from datetime import datetime, timedelta

import pytest

from notifier.domain.endpoint_health import EndpointHealth, EndpointState
from notifier.domain.ids import Destination
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Verdict
from notifier.store.ports import Store
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    ME,
    NOBODY,
    NOW,
    SECOND,
    add,
    apply,
    deliveries,
    enqueue,
    ids,
    outcome,
    request,
    seen,
    slots,
    take,
)

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)


async def shift(store: Store, by: timedelta, *, now: datetime) -> int:
    """All of it; in how many steps."""
    if (due_times := store.due_times) is None:
        pytest.skip("its due times follow a clock of its own")
    done, steps = await due_times.shift(by, now=now, done=None), 1
    while done is not None:
        done, steps = await due_times.shift(by, now=now, done=done), steps + 1
    return steps


async def fail(store: Store, *generations: str, wait: timedelta) -> None:
    """Each has a delivery, and its first attempt failed: due again after `wait`."""
    await enqueue(store, *generations)
    claims = (await take(store)).claims
    results = [outcome(claim, Verdict.RESET, due_at=NOW + wait) for claim in claims]
    await store.exchange(ME, results, slots(0), now=NOW)


async def due_at(store: Store, generation: str = "g-1") -> datetime | None:
    (line,) = await deliveries(store, generation)
    return line.due_at


@pytest.mark.parametrize("by", [HOUR, -HOUR, timedelta(days=20_000)])
async def test_what_waits_waits_as_long_as_it_would_have(store: Store, by: timedelta) -> None:
    """Due in five seconds before the clock was set, due in five seconds after it."""
    await fail(store, "g-1", wait=5 * SECOND)
    assert await shift(store, by, now=NOW + by) == 2
    assert await due_at(store) == NOW + by + 5 * SECOND
    assert (await take(store, now=NOW + by + 5 * SECOND - MICROSECOND)).claims == []
    assert ids(await take(store, now=NOW + by + 5 * SECOND)) == ["g-1"]


async def test_what_was_due_is_due_still(store: Store) -> None:
    """Whichever way the clock was set, and before what fell due later."""
    await enqueue(store, "g-1")
    await enqueue(store, "g-2", now=NOW + 10 * SECOND)
    for by in (HOUR, -2 * HOUR):
        await shift(store, by, now=NOW + 60 * SECOND + by)
    assert ids(await take(store, now=NOW - HOUR + 60 * SECOND)) == ["g-1", "g-2"]


async def test_what_is_made_by_the_new_time_is_right_already(store: Store) -> None:
    """Between the moment the clock was set forward and the moment that is noticed: due at once stays due at once."""
    now = NOW + HOUR
    await enqueue(store, "g-1", now=now)
    patient = EndpointDirectory(events=DIRECTORY.events, callbacks=True, first_wait={"studio": 30 * SECOND})
    await apply(store, patient, now=now)
    await add(store, request("g-2"), now=now)
    await store.record_transitions([seen("g-2", at=now)], now=now)
    await shift(store, HOUR, now=now + 2 * SECOND)
    assert await due_at(store, "g-1") == now
    assert await due_at(store, "g-2") == now + 30 * SECOND


async def test_what_was_resumed_by_the_new_time_is_right_already(store: Store) -> None:
    """However long ago it was made: an endpoint that returned just before the jump was noticed gets it now."""
    await apply(store, NOBODY)
    await enqueue(store, "g-1")
    assert await apply(store, DIRECTORY, now=NOW + HOUR) == (0, 1)
    await shift(store, HOUR, now=NOW + HOUR + 3 * SECOND)
    assert ids(await take(store, now=NOW + HOUR + 3 * SECOND)) == ["g-1"]


async def test_what_is_leased_or_parked_is_left_alone(store: Store) -> None:
    """An open attempt's outcome says when it is due again; what is parked is not due at all."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    await apply(store, NOBODY)
    await enqueue(store, "g-2")
    await shift(store, -HOUR, now=NOW - HOUR)
    assert await due_at(store, "g-2") is None
    assert (await store.exchange(ME, [outcome(claim)], slots(0), now=NOW)).lost == []


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_much_is_moved_in_steps_and_once(store: Store, by: timedelta) -> None:
    """More than a step's worth, spread over as long as the clock was set: each moved once, in its order."""
    names = [f"g-{number}" for number in range(900)]
    await enqueue(store, *names)
    results = []
    while claims := (await take(store)).claims:
        results = [
            outcome(claim, Verdict.RESET, due_at=NOW + (1 + int(claim.generation[2:])) * 7 * SECOND) for claim in claims
        ]
        await store.exchange(ME, results, slots(0), now=NOW)
    assert await shift(store, by, now=NOW + by) > 3
    for number in (0, 1, 511, 515, 899):  # 3,600 s would be 513
        assert await due_at(store, f"g-{number}") == NOW + by + (1 + number) * 7 * SECOND


async def test_nothing_that_waits_is_nothing_to_move(store: Store) -> None:
    """One look, and it is done."""
    assert await shift(store, HOUR, now=NOW) == 1


# ---- the health of endpoints --------------------------------------------------------------------------------------
async def fail_at(store: Store, *times: datetime) -> None:
    """The one delivery of `g-1` is attempted at each, in vain."""
    await enqueue(store, "g-1", now=times[0])
    for at in times:
        (claim,) = (await store.exchange(ME, [], slots(1), now=at)).claims
        await store.exchange(ME, [outcome(claim, Verdict.RESET, due_at=at)], slots(0), now=at)


async def standing(store: Store, destination: str = "studio") -> EndpointHealth:
    (found,) = [line.health for line in await store.endpoint_summaries() if line.health.destination == destination]
    return found


@pytest.mark.parametrize("by", [5 * DAY, -5 * DAY])
async def test_an_endpoint_stands_as_long_as_it_stood(store: Store, by: timedelta) -> None:
    """A minute since the first failure, or since the warning, is a minute still; nothing else is another."""
    await fail_at(store, *[NOW] * 4, NOW + DAY)
    before = await standing(store)
    assert before.state is EndpointState.FAILING
    await shift(store, by, now=NOW + DAY + by + 60 * SECOND)
    assert await standing(store) == EndpointHealth(
        destination=before.destination,
        state=EndpointState.FAILING,
        first_failure=NOW + by,
        last_failure=NOW + DAY + by,
        failures=5,
        warned_at=NOW + DAY + by,
        reason=before.reason,
    )


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_when_an_endpoint_last_succeeded_follows_too(store: Store, by: timedelta) -> None:
    """A person who asks compares it with the clock as it goes now."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    await take(store, outcome(claim))
    await shift(store, by, now=NOW + by)
    assert await standing(store) == EndpointHealth(destination=Destination("studio"), last_success=NOW + by)


async def test_a_disabled_endpoint_keeps_its_times(store: Store) -> None:
    """Nothing is reckoned from them any more, and what people were told of it stays true."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    await take(store, outcome(claim, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None))
    before = await standing(store)
    await shift(store, HOUR, now=NOW + HOUR)
    assert await standing(store) == before


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_many_destinations_are_moved_in_steps_and_once(store: Store, by: timedelta) -> None:
    """More origins than a step moves, and their deliveries: each moved once."""
    origins = [f"https://app-{number}.example.com" for number in range(600)]
    requests = [
        request(f"g-{number}", endpoint=f"{origin}/done", destination=Destination(origin))
        for number, origin in enumerate(origins)
    ]
    await add(store, *requests)
    await store.record_transitions([seen(f"g-{number}") for number in range(600)], now=NOW)
    while claims := (await take(store)).claims:
        results = [outcome(claim, Verdict.RESET, due_at=NOW + DAY) for claim in claims]
        await store.exchange(ME, results, slots(0), now=NOW)
    assert await shift(store, by, now=NOW + by) > 2
    assert [line.health.first_failure for line in await store.endpoint_summaries()] == [NOW + by] * 600
    assert await due_at(store, "g-599") == NOW + by + DAY
