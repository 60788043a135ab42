"""Who may send what, and when: claims, turns, results, and what is due next."""

import dataclasses
from datetime import datetime, timedelta

import pytest

from notifier.domain.ids import Destination
from notifier.domain.model import DeliveryStatus, EndpointDirectory, State, Verdict
from notifier.store.ports import Store
from notifier.store.records import Slots
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    ME,
    NOBODY,
    NOW,
    OTHER,
    SECOND,
    add,
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


async def test_a_claim_opens_and_numbers_the_attempt(store: Store) -> None:
    """It carries all that the sender needs; the open attempt shows in the history without an outcome."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store, now=NOW + SECOND)).claims
    assert (claim.number, claim.failures, claim.interruptions) == (1, 0, 0)
    assert (claim.started_at, claim.leased_until) == (NOW + SECOND, NOW + 31 * SECOND)
    assert (claim.provider, claim.generation, claim.endpoint, claim.destination) == ("luma", "g-1", "studio", "studio")
    assert (claim.type, claim.content_type) == ("generation.completed", "application/json")
    (line,) = await deliveries(store)
    (attempt,) = line.attempts
    assert (attempt.number, attempt.started_at, attempt.verdict, attempt.took) == (1, NOW + SECOND, None, None)


async def test_what_is_claimed_is_not_claimed_again(store: Store) -> None:
    """A lease keeps everybody off, a lapsed one too: only `end_lapsed` ends it."""
    await enqueue(store, "g-1")
    await take(store)
    assert (await take(store)).claims == []
    assert (await store.exchange(OTHER, [], slots(), now=NOW + HOUR)).claims == []


async def test_nothing_is_claimed_before_it_is_due(store: Store) -> None:
    """`due_at` at `now` is due; a microsecond later is not."""
    await enqueue(store, "g-1")
    early = await take(store, now=NOW - timedelta(microseconds=1))
    assert (early.claims, early.next_due) == ([], NOW)
    assert ids(await take(store)) == ["g-1"]


async def test_no_slots_no_claims(store: Store) -> None:
    """`total` of 0 claims nothing and still takes results."""
    await enqueue(store, "g-1", "g-2")
    (claim,) = (await store.exchange(ME, [], slots(1), now=NOW)).claims
    answer = await store.exchange(ME, [outcome(claim)], slots(0), now=NOW)
    assert (answer.claims, answer.lost) == ([], [])
    assert (await store.counts()).deliveries == {DeliveryStatus.DELIVERED: 1, DeliveryStatus.PENDING: 1}


async def test_a_success_is_final(store: Store) -> None:
    """The attempt is a row, the delivery delivered, and it is never due again."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    answer = await take(store, outcome(claim), now=NOW + HOUR)
    assert (answer.claims, answer.next_due, answer.lost) == ([], None, [])
    (line,) = await deliveries(store)
    assert (line.status, line.due_at) == (DeliveryStatus.DELIVERED, None)
    (attempt,) = line.attempts
    assert (attempt.verdict, attempt.status_code, attempt.head) == (Verdict.DELIVERED, 200, b"thanks")
    assert (attempt.started_at, attempt.took) == (claim.started_at, timedelta(milliseconds=412))


async def test_a_failure_is_due_again(store: Store) -> None:
    """At the time the result says, with the next number and the steps used up; not before."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    answer = await take(store, outcome(claim, Verdict.SERVER_ERROR))
    assert (answer.claims, answer.next_due) == ([], NOW + HOUR)
    (again,) = (await take(store, now=NOW + HOUR)).claims
    assert (again.number, again.failures, again.message_id) == (2, 1, claim.message_id)
    assert again.body == claim.body


async def test_a_failure_due_at_once_is_claimed_by_the_same_exchange(store: Store) -> None:
    """Results come first."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    (again,) = (await take(store, outcome(claim, Verdict.RESET, due_at=NOW))).claims
    assert again.number == 2


@pytest.mark.parametrize("status", [DeliveryStatus.EXHAUSTED, DeliveryStatus.PARKED])
async def test_an_attempt_may_end_its_delivery(store: Store, status: DeliveryStatus) -> None:
    """Exhausted or parked: not due any more."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    answer = await take(store, outcome(claim, Verdict.GONE, status=status, due_at=None))
    assert answer.next_due is None
    assert [(line.status, line.due_at) for line in await deliveries(store)] == [(status, None)]


async def test_a_move_that_the_table_does_not_allow_is_refused(store: Store) -> None:
    """No attempt makes a delivery FILTERED; the whole exchange is undone."""
    await enqueue(store, "g-1", "g-2")
    first, second = (await take(store)).claims
    with pytest.raises(ValueError, match="filtered"):
        await take(store, outcome(first), outcome(second, status=DeliveryStatus.FILTERED))
    assert (await take(store, outcome(first), outcome(second))).lost == []


async def test_a_result_without_its_lease_is_lost(store: Store) -> None:
    """Another owner's, another attempt's, given twice or never claimed: it changes nothing; the others count."""
    await enqueue(store, "g-1", "g-2")
    first, second = (await take(store)).claims
    foreign = await store.exchange(OTHER, [outcome(first)], slots(0), now=NOW)
    assert foreign.lost == [first.message_id]

    answer = await take(store, outcome(first), outcome(second, Verdict.RESET), outcome(first))
    assert answer.lost == [first.message_id]
    assert [len(line.attempts) for name in ("g-1", "g-2") for line in await deliveries(store, name)] == [1, 1]


async def test_many_results_in_one_call(store: Store) -> None:
    """Hundreds at once: each that still has its lease closes its own attempt, each lost one changes nothing."""
    await enqueue(store, *(f"g-{number}" for number in range(300)))
    claims = (await store.exchange(ME, [], slots(300), now=NOW)).claims
    results = [
        outcome(claim, Verdict.RESET, detail=claim.generation, number=claim.number + (index % 7 == 0))
        for index, claim in enumerate(claims)
    ]
    lost = {claim.message_id for index, claim in enumerate(claims) if index % 7 == 0}
    assert set((await store.exchange(ME, results, slots(0), now=NOW)).lost) == lost
    for claim in claims:
        (line,) = await deliveries(store, claim.generation)
        expected = (None, "") if claim.message_id in lost else (Verdict.RESET, claim.generation)
        assert [(attempt.verdict, attempt.detail) for attempt in line.attempts] == [expected]


async def test_destinations_take_turns(store: Store) -> None:
    """A backlog of one endpoint does not keep the others waiting, however old it is."""
    await enqueue(store, *(f"s-{number}" for number in range(50)), endpoint="slow", now=NOW - HOUR)
    await enqueue(store, "g-1", "g-2")
    await enqueue(store, "a-1", endpoint="audit")
    claimed = (await store.exchange(ME, [], slots(6), now=NOW)).claims
    assert sorted(claim.destination for claim in claimed) == ["audit", "slow", "slow", "slow", "studio", "studio"]


async def test_a_destination_gives_its_longest_overdue_first(store: Store) -> None:
    """Oldest first within one destination."""
    for number in (2, 0, 1):
        await enqueue(store, f"g-{number}", now=NOW + number * SECOND)
    claimed = [
        claim.generation for _ in range(3) for claim in (await store.exchange(ME, [], slots(1), now=NOW + HOUR)).claims
    ]
    assert claimed == ["g-0", "g-1", "g-2"]


@pytest.mark.parametrize("backlog", [3, 300])
async def test_one_slot_at_a_time_goes_round_the_destinations(store: Store, backlog: int) -> None:
    """With fewer slots than destinations the turn goes on where the last call ended: no name starves."""
    for endpoint in ("audit", "slow", "studio"):
        await enqueue(store, *(f"{endpoint}-{number}" for number in range(backlog)), endpoint=endpoint)
    destinations = [
        claim.destination for _ in range(9) for claim in (await store.exchange(ME, [], slots(1), now=NOW)).claims
    ]
    assert [sorted(destinations[turn : turn + 3]) for turn in (0, 3, 6)] == [["audit", "slow", "studio"]] * 3


async def test_a_destination_takes_no_more_than_its_free_slots(store: Store) -> None:
    """`free` by destination, `each` for the rest; what one destination leaves, the others get."""
    for endpoint in ("audit", "slow", "studio"):
        await enqueue(store, *(f"{endpoint}-{number}" for number in range(10)), endpoint=endpoint)
    answer = await store.exchange(ME, [], slots(12, each=3, audit=0, studio=7), now=NOW)
    destinations = [claim.destination for claim in answer.claims]
    assert {destination: destinations.count(destination) for destination in set(destinations)} == {
        "slow": 3,
        "studio": 7,
    }


async def test_leases_are_as_long_as_the_destination_says(store: Store) -> None:
    """`lease` by destination, `lease_each` for the rest."""
    await enqueue(store, "g-1")
    await enqueue(store, "a-1", endpoint="audit")
    limits = slots(2)
    claims = (
        await store.exchange(
            ME,
            [],
            type(limits)(
                total=2, free={}, each=2, lease={request().destination: 5 * SECOND}, lease_each=limits.lease_each
            ),
            now=NOW,
        )
    ).claims
    assert {claim.destination: claim.leased_until - NOW for claim in claims} == {
        "studio": 5 * SECOND,
        "audit": 30 * SECOND,
    }


async def owe_each(store: Store, *urls: str, now: datetime = NOW) -> None:
    """One delivery for each URL, in a destination of its own, of a generation of its own."""
    await add(store, *(request(url, endpoint=url, destination=url) for url in urls))
    await store.record_transitions([seen(url) for url in urls], now=now)


async def test_many_destinations_with_one_delivery_each(store: Store) -> None:
    """Every one is claimed exactly once, and each exchange is filled while there are any."""
    urls = [f"https://{number}.example.com" for number in range(1_500)]
    await owe_each(store, *urls)
    sizes, found = [], []
    while claims := (await take(store)).claims:
        sizes.append(len(claims))
        found += [claim.endpoint for claim in claims]
    assert sorted(found) == sorted(urls)
    assert set(sizes[:-1]) == {64}


async def test_turns_reach_every_destination_behind_a_long_backlog(store: Store) -> None:
    """A thousand overdue messages of one destination hide none of the others."""
    await enqueue(store, *(f"s-{number}" for number in range(1_000)), endpoint="slow", now=NOW - HOUR)
    await enqueue(store, "a-1", endpoint="audit")
    await enqueue(store, "g-1", endpoint="studio")
    answer = await take(store, slow=2)
    assert sorted(claim.destination for claim in answer.claims) == ["audit", "slow", "slow", "studio"]
    assert (await take(store, slow=0)).claims == []


def pooled(destinations: str, *, held: int, named: int, others: int = 0) -> Slots:
    """Two pools: `named` of these destinations, which hold so many each, and of everybody else."""
    names = [Destination(destination) for destination in destinations.split()]
    return dataclasses.replace(
        slots(1024, each=32),
        held=dict.fromkeys(names, held),
        pool_of=lambda destination: "named" if destination in names else "",
        pools={"named": named, "": others},
    )


@pytest.mark.parametrize("backlog", [5, 300])
async def test_a_pool_is_shared_out_by_its_rules(store: Store, backlog: int) -> None:
    """One leaves as many free as it takes, one that holds none is served first, and pools lend nothing."""
    for endpoint in ("audit", "slow"):
        await enqueue(store, *(f"{endpoint}-{number}" for number in range(backlog)), endpoint=endpoint)
    first = await store.exchange(ME, [], pooled("slow", held=3, named=7), now=NOW)
    assert [claim.destination for claim in first.claims] == ["slow", "slow"]
    second = await store.exchange(ME, [], pooled("slow", held=3, named=2, others=2), now=NOW)
    assert [claim.destination for claim in second.claims] == ["audit"]
    third = await store.exchange(ME, [], pooled("slow", held=0, named=1), now=NOW)
    assert [claim.destination for claim in third.claims] == ["slow"]
    assert (await store.exchange(ME, [], pooled("slow audit", held=0, named=0, others=64), now=NOW)).claims == []


@pytest.mark.parametrize("backlog", [5, 300])
async def test_first_slots_go_to_destinations_that_hold_none(store: Store, backlog: int) -> None:
    """One each, if the pool has none left, while so many are free in all; a destination that holds some gets none."""
    for endpoint in ("audit", "slow", "studio"):
        await enqueue(store, *(f"{endpoint}-{number}" for number in range(backlog)), endpoint=endpoint)
    full = pooled("audit slow studio", held=0, named=0)
    busy = dataclasses.replace(full, held={Destination("slow"): 30}, first_slots={"named": 9})
    claims = (await store.exchange(ME, [], busy, now=NOW)).claims
    assert sorted(claim.destination for claim in claims) == ["audit", "studio"]
    one = dataclasses.replace(full, first_slots={"named": 1})
    assert len((await store.exchange(ME, [], one, now=NOW)).claims) == 1
    assert (await store.exchange(ME, [], full, now=NOW)).claims == []


async def test_destinations_that_yield_come_after_the_others(store: Store) -> None:
    """They get nothing while another one has something due and room for it, and the answer says so."""
    for endpoint in ("audit", "slow"):
        await enqueue(store, f"{endpoint}-1", f"{endpoint}-2", endpoint=endpoint)
    one_each = dataclasses.replace(slots(9, each=1), yields=lambda destination: destination == "slow")
    first = await store.exchange(ME, [], one_each, now=NOW)
    assert (ids(first), first.yielded) == (["audit-1"], True)
    full = dataclasses.replace(one_each, held={Destination("audit"): 1})
    always = await store.exchange(ME, [], dataclasses.replace(full, yields_always=True), now=NOW)
    assert (ids(always), always.yielded) == ([], True)
    second = await store.exchange(ME, [], full, now=NOW)
    assert (ids(second), second.yielded) == (["slow-1"], False)


async def test_a_crowd_of_strangers_hides_no_configured_destination(store: Store) -> None:
    """Thousands of origins are due since long ago and their pool is empty: the endpoint is found nevertheless."""
    await owe_each(store, *(f"https://{number}.example.com" for number in range(3_000)))
    await enqueue(store, "late", endpoint="studio", now=NOW + SECOND)
    answer = await store.exchange(ME, [], pooled("studio", held=0, named=64), now=NOW + SECOND)
    assert ids(answer) == ["late"]


async def test_a_crowd_of_slow_destinations_hides_no_other(store: Store) -> None:
    """Origins that are known to be slow and have no slot are skipped, in as many calls as it takes."""
    urls = [f"https://{number:04}.example.com" for number in range(2_500)]
    await owe_each(store, *urls, "https://quick.example.com")
    limits = dataclasses.replace(pooled(" ".join(urls), held=0, named=0, others=9))
    claims = [claim.destination for _ in range(3) for claim in (await store.exchange(ME, [], limits, now=NOW)).claims]
    assert claims == ["https://quick.example.com"]


async def test_a_newcomer_does_not_stand_behind_a_crowd(store: Store) -> None:
    """Every second slot goes to who fell due last; the others have their turn too, what failed is not new."""
    crowd = [f"https://{number:04}.example.com" for number in range(1_200)]
    await owe_each(store, *crowd)
    await owe_each(store, "https://zz.example.com", now=NOW + SECOND)
    few = dataclasses.replace(pooled("", held=0, named=0, others=0), first_slots={"": 2})
    later = NOW + 2 * SECOND
    first = (await store.exchange(ME, [], few, now=later)).claims
    assert sorted(claim.destination for claim in first) == ["https://0000.example.com", "https://zz.example.com"]
    failed = [outcome(claim, Verdict.RESET, due_at=later + SECOND, failures=1) for claim in first]
    second = (await store.exchange(ME, failed, few, now=later + 2 * SECOND)).claims
    assert {claim.destination for claim in second} < set(crowd)
    assert "https://0001.example.com" in {claim.destination for claim in second}


async def test_an_unlisted_destination_has_what_it_does_not_hold(store: Store) -> None:
    """`each` is all that it may hold at a time."""
    await enqueue(store, *(f"g-{number}" for number in range(9)))
    holding = dataclasses.replace(slots(9, each=3), held={Destination("studio"): 2})
    assert len((await store.exchange(ME, [], holding, now=NOW)).claims) == 1


async def test_next_due_is_the_earliest_time_after_now(store: Store) -> None:
    """What is due already but found no slot does not count; None if nothing will fall due."""
    assert (await take(store)).next_due is None
    await enqueue(store, "g-1", "g-2")
    answer = await store.exchange(ME, [], slots(1), now=NOW)
    assert (len(answer.claims), answer.next_due) == (1, None)
    (claim,) = answer.claims
    answer = await store.exchange(ME, [outcome(claim, Verdict.RESET, due_at=NOW + SECOND)], slots(0), now=NOW)
    assert answer.next_due == NOW + SECOND


async def test_parking_and_resuming(store: Store) -> None:
    """Deliveries of a removed endpoint are parked, and due at once when the name returns; a lease is left alone."""
    await enqueue(store, "g-1", "g-2")
    await add(store, request("g-3", endpoint="https://app.example.com/hook"))
    await store.record_transitions([seen("g-3")], now=NOW)
    (claim,) = (await store.exchange(ME, [], slots(1, studio=1, each=0), now=NOW)).claims
    assert await apply(store, NOBODY, now=NOW) == (2, 0)
    assert await apply(store, NOBODY, now=NOW) == (0, 0)
    waiting = await take(store)
    assert (waiting.claims, waiting.next_due) == ([], None)
    (line,) = await deliveries(store, "g-3")
    assert (line.status, line.due_at) == (DeliveryStatus.PARKED, None)
    assert "callbacks" in line.reason
    later = NOW + HOUR
    only_names = EndpointDirectory(events={"studio": None}, callbacks=False)
    assert await apply(store, only_names, now=later) == (0, 1)
    assert await apply(store, DIRECTORY, now=later) == (0, 1)
    answer = await take(store, outcome(claim), now=later)
    assert sorted(ids(answer)) == sorted({"g-1", "g-2", "g-3"} - {claim.generation})
    (line,) = await deliveries(store, "g-3")
    assert (line.reason, line.due_at) == ("", later)


async def test_parked_at_creation_resumes_too(store: Store) -> None:
    """A message made while its endpoint was not configured is sent when it is; a filtered one stays."""
    await apply(store, EndpointDirectory(events={"studio": frozenset()}, callbacks=True))
    await enqueue(store, "g-2")
    await apply(store, NOBODY)
    await enqueue(store, "g-1")
    assert await apply(store, DIRECTORY, now=NOW) == (0, 1)
    assert ids(await take(store)) == ["g-1"]


async def test_message_ids_are_stable(store: Store) -> None:
    """The same id on every attempt."""
    await enqueue(store, "g-1")
    first = await take(store)
    again = await take(store, outcome(first.claims[0], Verdict.TIMED_OUT, due_at=NOW))
    assert messages(first) == messages(again)


async def test_the_first_step_of_the_schedule_precedes_the_first_attempt(store: Store) -> None:
    """A message for an endpoint whose schedule begins with a wait falls due after it, however it was enqueued."""
    directory = EndpointDirectory(events={"studio": None}, callbacks=False, first_wait={"studio": HOUR})
    await apply(store, directory)
    await enqueue(store, "g-1")
    assert (await take(store)).next_due == NOW + HOUR
    await add(store, request("g-1", endpoint="studio", target=State.RUNNING), now=NOW)
    assert ids(await take(store, now=NOW + HOUR)) == ["g-1", "g-1"]
