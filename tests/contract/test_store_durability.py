"""What returned is there after the store was closed and opened again."""

from notifier.domain.model import DeliveryStatus, Outcome, State, Verdict
from tests.support.store_builders import (
    HOUR,
    ME,
    NOW,
    SECOND,
    Opening,
    add,
    again_at,
    deliveries,
    enqueue,
    history,
    ids,
    outcome,
    request,
    seen,
    slots,
    still_open,
    take,
)


async def test_watches_and_states_survive(opening: Opening) -> None:
    """A registered watch is open, a recorded state recorded, after the store was opened again."""
    async with opening() as store:
        await add(store, request("g-1"), request("g-2"))
        await store.record_transitions([seen("g-1", State.RUNNING)], now=NOW)
    async with opening() as store:
        assert await still_open(store) == {"g-1", "g-2"}
        assert (await history(store, "g-1")).state is State.RUNNING
        (answer,) = await add(store, request("g-1"), now=NOW + SECOND)
        assert answer.outcome is Outcome.EXISTING


async def test_deliveries_attempts_and_bodies_survive(opening: Opening) -> None:
    """Scheduled times, numbers and bytes are those of before."""
    async with opening() as store:
        await enqueue(store, "g-1", "g-2")
        first, second = (await take(store)).claims
        await store.exchange(ME, [outcome(first), outcome(second, Verdict.RESET)], slots(0), now=NOW)
    async with opening() as store:
        assert (await take(store)).next_due == NOW + HOUR
        (again,) = (await take(store, now=NOW + HOUR)).claims
        assert (again.message_id, again.number, again.body) == (second.message_id, 2, second.body)
        (line,) = await deliveries(store, first.generation)
        assert (line.status, len(line.attempts)) == (DeliveryStatus.DELIVERED, 1)


async def test_a_claim_survives_as_an_open_attempt(opening: Opening) -> None:
    """A worker that died between POST and record leaves its trace: the next run frees the lease and sends again."""
    async with opening() as store:
        await enqueue(store, "g-1")
        (claim,) = (await take(store)).claims
    async with opening() as store:
        assert (await take(store)).claims == []
        (freed,) = await store.end_lapsed(again_at(NOW), now=NOW)
        assert freed.message_id == claim.message_id
        assert ids(await take(store)) == ["g-1"]


async def test_a_probe_is_of_no_consequence(opening: Opening) -> None:
    """It may be made again and again, and nobody sees it."""
    async with opening() as store:
        await enqueue(store, "g-1")
        before = await store.counts()
        for number in range(3):
            await store.probe(now=NOW + number * SECOND)
        assert await store.counts() == before
        assert await store.problems(deep=True) == []


async def test_a_checkpoint_loses_nothing(opening: Opening) -> None:
    """Moving the log is seen by nobody."""
    async with opening() as store:
        await add(store, request("g-1"))
        await store.checkpoint()
        await add(store, request("g-2"))
        await store.checkpoint()
        assert await still_open(store) == {"g-1", "g-2"}
    async with opening() as store:
        assert await still_open(store) == {"g-1", "g-2"}
