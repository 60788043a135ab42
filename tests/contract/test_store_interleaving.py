"""A watch that is registered at the very moment its generation gets there gets one message, whoever comes first."""

import anyio
import pytest

from notifier.domain.errors import InvalidWatch
from notifier.domain.model import DeliveryStatus, Kind, Outcome, Registration, State
from notifier.store.ports import Store
from notifier.store.records import Ending, Recorded
from tests.support.store_builders import (
    NOW,
    add,
    deliveries,
    enqueue,
    ids,
    outcome,
    request,
    seen,
    still_open,
    take,
)

ROUNDS = 150


@pytest.mark.parametrize("watch_first", [True, False])
async def test_a_joining_watch_races_the_transition_that_satisfies_it(store: Store, *, watch_first: bool) -> None:
    """Both orders, many times, all in flight at once: one delivery for each watch, and no open watch left."""
    names = [f"g-{number}" for number in range(ROUNDS)]
    await add(store, *map(request, names))
    joined: dict[str, Registration] = {}
    recorded: dict[str, Recorded] = {}

    async def join(name: str) -> None:
        (joined[name],) = await add(store, request(name, endpoint="audit"))

    async def complete(name: str) -> None:
        (recorded[name],) = await store.record_transitions([seen(name)], now=NOW)

    async with anyio.create_task_group() as racing:
        for name in names:
            for step in (join, complete) if watch_first else (complete, join):
                racing.start_soon(step, name)
    for name in names:
        assert recorded[name].enqueued + joined[name].enqueued == 2, name
        assert [line.status for line in await deliveries(store, name)] == [DeliveryStatus.PENDING] * 2
    assert await still_open(store) == set()


async def test_the_same_watch_registered_many_times_at_once(store: Store) -> None:
    """One makes it, all others meet it."""
    answers: list[Registration] = []

    async def join() -> None:
        answers.extend(await add(store, request()))

    async with anyio.create_task_group() as racing:
        for _ in range(100):
            racing.start_soon(join)
    outcomes = [answer.outcome for answer in answers]
    assert (outcomes.count(Outcome.CREATED), outcomes.count(Outcome.EXISTING)) == (1, 99)


async def test_the_same_transition_recorded_many_times_at_once(store: Store) -> None:
    """Two pollers that overlap for a moment do no harm: one of them moves it."""
    await add(store, request(target=State.RUNNING))
    enqueued: list[int] = []

    async def complete(state: State) -> None:
        (recorded,) = await store.record_transitions([seen(state=state)], now=NOW)
        enqueued.append(recorded.enqueued)

    async with anyio.create_task_group() as racing:
        for number in range(50):
            racing.start_soon(complete, State.COMPLETED if number % 2 else State.RUNNING)
    assert sum(enqueued) == 1
    assert len(await deliveries(store)) == 1


async def test_an_ending_races_a_transition(store: Store) -> None:
    """A watch ends once: by its target or without it."""
    names = [f"g-{number}" for number in range(ROUNDS)]
    await add(store, *map(request, names))
    enqueued: list[int] = []

    async def lose(name: str) -> None:
        entry = Ending(
            provider=request().provider, generation=request(name).generation, kind=Kind.UNKNOWN, observed_at=NOW
        )
        enqueued.extend(recorded.enqueued for recorded in await store.end_watches([entry], now=NOW))

    async def complete(name: str) -> None:
        enqueued.extend(recorded.enqueued for recorded in await store.record_transitions([seen(name)], now=NOW))

    async with anyio.create_task_group() as racing:
        for number, name in enumerate(names):
            for step in (lose, complete) if number % 2 else (complete, lose):
                racing.start_soon(step, name)
    assert sum(enqueued) == ROUNDS
    for name in names:
        assert len(await deliveries(store, name)) == 1


async def test_exchanges_at_once_claim_each_delivery_once(store: Store) -> None:
    """Whoever asks first gets it; the others get others."""
    names = [f"g-{number}" for number in range(300)]
    await enqueue(store, *names)
    claimed: list[str] = []

    async def work() -> None:
        answer = await take(store)
        while answer.claims:
            claimed.extend(ids(answer))
            answer = await take(store, *map(outcome, answer.claims))
            assert answer.lost == []

    async with anyio.create_task_group() as racing:
        for _ in range(8):
            racing.start_soon(work)
    assert sorted(claimed) == sorted(names)


async def test_a_failing_call_is_undone_alone(store: Store) -> None:
    """Calls that wait at the same moment may share a commit; one that is refused takes none of the others along."""
    await add(store, request("g-0"))
    refused: list[int] = []

    async def join(number: int) -> None:
        bad = number % 3 == 0
        wanted = [request(f"g-{number}"), request("g-0", metadata=b'{"other":1}' if bad else b"{}")]
        try:
            await add(store, *wanted)
        except InvalidWatch:
            refused.append(number)

    async with anyio.create_task_group() as racing:
        for number in range(1, 100):
            racing.start_soon(join, number)
    assert sorted(refused) == list(range(3, 100, 3))
    assert await still_open(store) == {f"g-{number}" for number in range(100) if number % 3 or number == 0}
