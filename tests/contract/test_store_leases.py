"""Attempts whose worker is gone: they leave a trace, and what becomes of their delivery is the judge's word."""

from datetime import timedelta

import pytest

from notifier.domain.model import AttemptResult, DeliveryStatus, Interruption, Verdict
from notifier.store.ports import Store
from tests.support.store_builders import (
    HOUR,
    ME,
    NOW,
    OTHER,
    SECOND,
    Opening,
    again_at,
    deliveries,
    enqueue,
    ids,
    messages,
    outcome,
    slots,
    take,
)


async def test_a_lapsed_lease_is_freed_and_not_a_moment_before(store: Store) -> None:
    """A delivery whose worker died is handed out again once its lease ran out."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    at_the_end = claim.leased_until
    assert await store.end_lapsed(again_at(at_the_end), now=at_the_end) == []
    over = at_the_end + timedelta(microseconds=1)
    (freed,) = await store.end_lapsed(again_at(over), now=over)
    assert freed == Interruption(
        message_id=claim.message_id, destination=claim.destination, number=1, failures=0, interruptions=1
    )
    (again,) = (await take(store, now=over)).claims
    assert (again.number, again.interruptions, again.failures) == (2, 1, 0)


async def test_a_worker_that_stops_releases_its_own_leases(store: Store) -> None:
    """All of them, however long they would last; those of another worker are left alone."""
    await enqueue(store, "g-1", "g-2", "g-3")
    claimed = await store.exchange(ME, [], slots(2), now=NOW)
    (other,) = (await store.exchange(OTHER, [], slots(2), now=NOW)).claims
    freed = await store.release(ME, again_at(NOW), now=NOW)
    assert sorted(entry.message_id for entry in freed) == sorted(messages(claimed))
    assert sorted(ids(await take(store))) == sorted(claim.generation for claim in claimed.claims)
    assert (await store.exchange(OTHER, [outcome(other)], slots(0), now=NOW)).lost == []


async def test_no_lease_of_an_earlier_run_is_anybodys(opening: Opening) -> None:
    """A store that one process at a time opens knows that: they end at once, by a clock that was set back too."""
    async with opening() as store:
        await enqueue(store, "g-1")
        (claim,) = (await take(store)).claims
    async with opening() as store:
        (freed,) = await store.end_lapsed(again_at(NOW - HOUR), now=NOW - HOUR, sparing=ME)
        assert freed.message_id == claim.message_id
        assert ids(await take(store)) == ["g-1"]


async def test_nothing_leased_nothing_freed(store: Store) -> None:
    """Waiting and finished deliveries are left alone."""
    await enqueue(store, "g-1", "g-2")
    (claim,) = (await store.exchange(ME, [], slots(1), now=NOW)).claims
    await store.exchange(ME, [outcome(claim)], slots(0), now=NOW)
    assert await store.release(ME, again_at(NOW), now=NOW + HOUR) == []


@pytest.mark.parametrize(("after", "took"), [(5 * SECOND, 5 * SECOND), (HOUR, 30 * SECOND)])
async def test_an_interrupted_attempt_becomes_a_row(store: Store, after: timedelta, took: timedelta) -> None:
    """The store knows when it started and that it lasted no longer than its lease, whatever the judge says of that."""
    await enqueue(store, "g-1")
    await take(store)
    await store.release(ME, again_at(NOW + after), now=NOW + after)
    ((attempt,),) = [line.attempts for line in await deliveries(store)]
    assert (attempt.number, attempt.verdict, attempt.status_code) == (1, Verdict.INTERRUPTED, None)
    assert (attempt.started_at, attempt.took, attempt.detail) == (NOW, took, "the worker is gone")


async def test_the_judge_decides_what_becomes_of_the_delivery(store: Store) -> None:
    """Its status, its next time and the steps used up are as the judge says."""
    await enqueue(store, "g-1", "g-2")
    await take(store)
    give_up = again_at(NOW, status=DeliveryStatus.EXHAUSTED)
    wait = again_at(NOW + HOUR, failures=3)
    freed: list[Interruption] = []

    def judge(interruption: Interruption) -> AttemptResult:
        freed.append(interruption)
        answer: AttemptResult = (give_up if len(freed) == 1 else wait)(interruption)
        return answer

    await store.release(ME, judge, now=NOW)
    assert (await store.counts()).deliveries == {DeliveryStatus.EXHAUSTED: 1, DeliveryStatus.PENDING: 1}
    assert (await take(store)).next_due == NOW + HOUR
    (claim,) = (await take(store, now=NOW + HOUR)).claims
    assert (claim.message_id, claim.failures) == (freed[1].message_id, 3)


async def test_a_judge_that_fails_changes_nothing(store: Store) -> None:
    """A call that raised changed nothing: the lease is kept."""
    await enqueue(store, "g-1", "g-2")
    claims = (await take(store)).claims

    def judge(interruption: Interruption) -> AttemptResult:
        if interruption.message_id == claims[1].message_id:
            raise LookupError("no such destination")
        answer: AttemptResult = again_at(NOW)(interruption)
        return answer

    with pytest.raises(LookupError):
        await store.release(ME, judge, now=NOW)
    assert (await take(store, *map(outcome, claims))).lost == []


async def test_a_result_after_its_lease_was_freed_is_lost(store: Store) -> None:
    """Even where the same owner took the delivery again: it is another attempt."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    await store.release(ME, again_at(NOW), now=NOW)
    assert (await store.exchange(ME, [outcome(claim)], slots(0), now=NOW)).lost == [claim.message_id]
    (again,) = (await take(store)).claims
    assert (await take(store, outcome(claim))).lost == [claim.message_id]
    assert (await take(store, outcome(again))).lost == []
    ((first, second),) = [line.attempts for line in await deliveries(store)]
    assert [first.verdict, second.verdict] == [Verdict.INTERRUPTED, Verdict.DELIVERED]


async def test_a_result_whose_lease_lapsed_still_counts_until_it_is_freed(store: Store) -> None:
    """Late is not lost while nobody else has the delivery."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    answer = await take(store, outcome(claim), now=claim.leased_until + HOUR)
    assert answer.lost == []


async def test_interruptions_count_in_a_row(store: Store) -> None:
    """Each one more, until an attempt has an outcome; then the count starts again."""
    await enqueue(store, "g-1")
    counted = []
    for _ in range(3):
        (claim,) = (await take(store)).claims
        counted.append((claim.number, claim.interruptions))
        (freed,) = await store.release(ME, again_at(NOW), now=NOW)
        assert freed.interruptions == claim.interruptions + 1
    (claim,) = (await take(store)).claims
    await store.exchange(ME, [outcome(claim, Verdict.RESET, due_at=NOW)], slots(0), now=NOW)
    (last,) = (await take(store)).claims
    assert [*counted, (claim.number, claim.interruptions)] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert (last.number, last.interruptions) == (5, 0)


async def test_an_interruption_that_its_own_worker_hands_in_counts_too(store: Store) -> None:
    """A result with verdict INTERRUPTED is one more in a row."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    (again,) = (await take(store, outcome(claim, Verdict.INTERRUPTED, failures=0, due_at=NOW))).claims
    assert (again.number, again.interruptions) == (2, 1)


async def test_a_worker_can_spare_its_own_leases(store: Store) -> None:
    """However long ago they ran out: it knows of its attempts, and may still hand them in."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    late = NOW + 24 * HOUR
    assert await store.end_lapsed(again_at(late), now=late, sparing=ME) == []
    assert list((await take(store, outcome(claim), now=late)).lost) == []
    assert [line.status for line in await deliveries(store)] == [DeliveryStatus.DELIVERED]
