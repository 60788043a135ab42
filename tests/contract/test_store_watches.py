"""What registering a watch comes to, in every situation it can meet."""

import json
from datetime import timedelta
from typing import Any

import pytest

from notifier.domain.errors import InvalidWatch
from notifier.domain.ids import Destination, ProviderName, message_id
from notifier.domain.model import DeliveryStatus, Kind, Outcome, State, WatchStatus
from notifier.store.ports import Store
from tests.support.store_builders import (
    HOUR,
    NOW,
    SECOND,
    add,
    deliveries,
    ending,
    history,
    id_of,
    request,
    seen,
    still_open,
    take,
)


async def test_a_new_watch_makes_its_generation(store: Store) -> None:
    """A watch nobody registered before is CREATED, open, and its generation is there to be looked at."""
    (answer,) = await add(store, request("g-1"))
    assert (answer.outcome, answer.watch_id, answer.enqueued) == (Outcome.CREATED, id_of(request("g-1")), False)
    assert answer.open is not None
    assert (answer.open.id, answer.open.state) == ("g-1", None)
    assert (answer.open.registered_at, answer.open.deadline) == (NOW, NOW + HOUR)
    assert await still_open(store) == {"g-1"}


async def test_answers_come_in_the_order_of_the_requests(store: Store) -> None:
    """One answer for each request, in order, whatever each comes to."""
    await add(store, request("g-2"))
    answers = await add(store, request("g-3"), request("g-2"), request("g-1"))
    assert [answer.watch_id for answer in answers] == [id_of(request(name)) for name in ("g-3", "g-2", "g-1")]
    assert [answer.outcome for answer in answers] == [Outcome.CREATED, Outcome.EXISTING, Outcome.CREATED]


async def test_an_empty_list_is_answered_by_an_empty_list(store: Store) -> None:
    """Nothing asked for, nothing done."""
    assert await add(store) == []


async def test_a_repeated_watch_is_the_same_watch(store: Store) -> None:
    """Equal content: EXISTING, still one watch, and the deadline of the first registration is kept."""
    await add(store, request())
    (answer,) = await add(store, request(), now=NOW + SECOND)
    assert answer.outcome is Outcome.EXISTING
    assert answer.open is not None
    assert answer.open.deadline == NOW + HOUR
    assert len((await history(store)).watches) == 1


async def test_metadata_is_equal_whatever_the_order_of_its_keys(store: Store) -> None:
    """The same JSON object is the same content."""
    await add(store, request(metadata=b'{"a":1,"b":2}'))
    (answer,) = await add(store, request(metadata=b'{"b":2,"a":1}'))
    assert answer.outcome is Outcome.EXISTING


@pytest.mark.parametrize(
    ("content", "differs"),
    [
        ({"metadata": b'{"a":2}'}, ("metadata",)),
        ({"timeout": 2 * HOUR}, ("timeout",)),
        ({"metadata": b'{"a":true}', "timeout": 2 * HOUR}, ("metadata", "timeout")),
    ],
)
async def test_an_open_watch_with_other_content_is_refused(
    store: Store, content: dict[str, Any], differs: tuple[str, ...]
) -> None:
    """The fault at the entry's index names what differs; with `keep_first` the first one stays: KEPT."""
    await add(store, request(metadata=b'{"a":1}'))
    other = request(**{"metadata": b'{"a":1}'} | content)
    with pytest.raises(InvalidWatch) as refused:
        await add(store, request("g-2"), other)
    (fault,) = refused.value.faults
    assert fault.path == "[1]"
    assert all(word in fault.message for word in differs)
    (kept,) = await store.add_watches([other], now=NOW, keep_first=True)
    assert (kept.outcome, kept.differs) == (Outcome.KEPT, differs)
    assert kept.open is not None
    assert (await history(store)).watches[0].metadata == b'{"a":1}'


async def test_a_list_with_bad_entries_is_refused_whole(store: Store) -> None:
    """Every bad entry has its fault, and nothing of the list is registered."""
    await add(store, request("g-1"), request("g-2"))
    bad: dict[str, Any] = {"timeout": 9 * HOUR}
    with pytest.raises(InvalidWatch) as refused:
        await add(store, request("g-9"), request("g-1", **bad), request("g-8"), request("g-2", **bad))
    assert [fault.path for fault in refused.value.faults] == ["[1]", "[3]"]
    assert await still_open(store) == {"g-1", "g-2"}


async def test_the_same_watch_twice_in_one_list(store: Store) -> None:
    """The second entry meets the first: EXISTING with equal content, a fault with other content."""
    answers = await add(store, request("g-1"), request("g-1"))
    assert [answer.outcome for answer in answers] == [Outcome.CREATED, Outcome.EXISTING]
    with pytest.raises(InvalidWatch) as refused:
        await add(store, request("g-2"), request("g-2", timeout=2 * HOUR))
    assert [fault.path for fault in refused.value.faults] == ["[1]"]
    assert await still_open(store) == {"g-1"}


async def test_targets_endpoints_and_providers_make_different_watches(store: Store) -> None:
    """A watch is (provider, generation, target, endpoint): one other part, another watch."""
    wanted = [
        request(),
        request(target=State.RUNNING),
        request(endpoint="audit"),
        request(endpoint="https://app.example.com/hook"),
        request(provider="other"),
    ]
    answers = await add(store, *wanted)
    assert {answer.outcome for answer in answers} == {Outcome.CREATED}
    assert len({answer.watch_id for answer in answers}) == len(wanted)


async def test_ids_with_different_case_are_different(store: Store) -> None:
    """The store compares IDs exactly: what a case means is the provider's matter."""
    answers = await add(store, request("G-1"), request("g-1"))
    assert [answer.outcome for answer in answers] == [Outcome.CREATED, Outcome.CREATED]


async def test_an_answer_holds_what_this_watch_asks_for(store: Store) -> None:
    """Its own deadline, target, time and destination, whatever others of its generation ask for; met again as well."""
    await add(store, request(timeout=3 * HOUR))
    joined = request(endpoint="audit", target=State.RUNNING)
    (answer,) = await add(store, joined, now=NOW + SECOND)
    (again,) = await add(store, joined, now=NOW + HOUR / 2)
    for each in (answer, again):
        assert each.open is not None
        assert (each.open.registered_at, each.open.deadline) == (NOW + SECOND, NOW + SECOND + HOUR)
        assert (each.open.target, each.open.destinations) == (State.RUNNING, (Destination("audit"),))


async def test_the_earliest_deadline_counts(store: Store) -> None:
    """A generation is open since its first watch, until the earliest deadline, for the lowest target."""
    await add(store, request(timeout=3 * HOUR))
    await add(store, request(endpoint="audit", target=State.RUNNING), now=NOW + SECOND)
    ((open_,),) = [chunk async for chunk in store.open_generations(ProviderName("luma"))]
    assert (open_.registered_at, open_.deadline) == (NOW, NOW + SECOND + HOUR)
    assert (open_.target, open_.destinations) == (State.RUNNING, (Destination("audit"), Destination("studio")))


async def test_a_satisfied_watch_is_finished(store: Store) -> None:
    """Registering it again posts nothing, with whatever content."""
    await add(store, request())
    await store.record_transitions([seen()], now=NOW)
    (answer,) = await add(store, request(metadata=b'{"new":1}'))
    assert (answer.outcome, answer.open, answer.enqueued) == (Outcome.FINISHED, None, False)
    assert len(await deliveries(store)) == 1


@pytest.mark.parametrize(("state", "target"), [(s, t) for s in State for t in State if s.rank >= t.rank])
async def test_a_watch_that_joins_at_its_target_is_owed_at_once(store: Store, state: State, target: State) -> None:
    """The recorded state satisfies it, so its delivery is made by the call that registers it."""
    await add(store, request(endpoint="audit", target=State.FAILED))
    await store.record_transitions([seen(state=state)], now=NOW)
    (answer,) = await add(store, request(target=target), now=NOW + SECOND)
    assert (answer.outcome, answer.open, answer.enqueued) == (Outcome.CREATED, None, True)
    exchange = await take(store, now=NOW + SECOND, audit=0)
    (claim,) = exchange.claims
    assert (claim.type, claim.endpoint, claim.watch_id) == (f"generation.{state}", "studio", answer.watch_id)
    assert json.loads(claim.body)["data"]["result"]["url"] == "https://cdn.example.com/v.mp4"


async def test_a_watch_that_joins_below_its_target_waits(store: Store) -> None:
    """A recorded state below the target is answered with the open generation, and nothing is enqueued."""
    await add(store, request(endpoint="audit"))
    await store.record_transitions([seen(state=State.RUNNING)], now=NOW)
    (answer,) = await add(store, request())
    assert answer.open is not None
    assert (answer.open.state, answer.enqueued) == (State.RUNNING, False)


async def test_an_expired_watch_is_reopened(store: Store) -> None:
    """It starts again with the new request's content, a new deadline and, in its next message's ID, the next round."""
    await add(store, request())
    late = NOW + 2 * HOUR
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=late)], now=late)
    (answer,) = await add(store, request(metadata=b'{"a":2}', timeout=timedelta(minutes=5)), now=late)
    assert answer.outcome is Outcome.REOPENED
    assert answer.open is not None
    assert (answer.open.registered_at, answer.open.deadline) == (late, late + timedelta(minutes=5))
    (line,) = (await history(store)).watches
    assert (line.status, line.round, line.metadata, line.ended_at) == (WatchStatus.OPEN, 1, b'{"a":2}', None)
    await store.record_transitions([seen(at=late)], now=late)
    expired, result = await deliveries(store)
    facts = {"provider": "luma", "generation": "g-1", "target": "completed", "endpoint": "studio"}
    assert expired.message_id == message_id(**facts, kind="expired", round_=0)
    assert result.message_id == message_id(**facts, kind="result", round_=1)


async def test_an_unknown_watch_is_reopened_each_time(store: Store) -> None:
    """Every round that ends has a message of its own."""
    for round_ in range(3):
        (answer,) = await add(store, request())
        assert answer.outcome is (Outcome.REOPENED if round_ else Outcome.CREATED)
        await store.end_watches([ending("g-1", Kind.UNKNOWN)], now=NOW)
    assert len({line.message_id for line in await deliveries(store)}) == 3


@pytest.mark.parametrize("kind", [Kind.EXPIRED, Kind.UNKNOWN])
async def test_what_a_watch_was_made_of_does_not_reopen_it(store: Store, kind: Kind) -> None:
    """Put down before the watch was registered: found again after a crash, it asks for nothing new."""
    asked = request(put_at=NOW - SECOND)
    await add(store, asked)
    await store.end_watches([ending("g-1", kind, at=NOW + HOUR)], now=NOW + HOUR)
    (answer,) = await add(store, asked, now=NOW + 2 * HOUR)
    assert (answer.outcome, answer.open) == (Outcome.FINISHED, None)
    assert len(await deliveries(store)) == 1


async def test_what_was_put_down_later_reopens_a_watch(store: Store) -> None:
    """Also if the watch was still open when it was: nobody who asks is skipped."""
    await add(store, request())
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + HOUR)], now=NOW + HOUR)
    (answer,) = await add(store, request(put_at=NOW + SECOND), now=NOW + 2 * HOUR)
    assert answer.outcome is Outcome.REOPENED


async def test_a_watch_of_a_clock_that_was_wrong_is_reopened(store: Store) -> None:
    """Registered by a time that has not come yet: that says nothing of what was first."""
    await add(store, request(), now=NOW + 9 * HOUR)
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + 10 * HOUR)], now=NOW + 10 * HOUR)
    (answer,) = await add(store, request(put_at=NOW), now=NOW + SECOND)
    assert answer.outcome is Outcome.REOPENED


async def test_a_watch_reopened_at_its_target_is_owed_at_once(store: Store) -> None:
    """Expired, then the generation got there for another watch: reopening finds it there."""
    await add(store, request(), request(endpoint="audit", timeout=9 * HOUR))
    late = NOW + 2 * HOUR
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=late)], now=late)
    await store.record_transitions([seen(at=late)], now=late)
    (answer,) = await add(store, request(), now=late)
    assert (answer.outcome, answer.open, answer.enqueued) == (Outcome.REOPENED, None, True)
    assert [line.type for line in (await history(store)).watches[0].deliveries] == [
        "watch.expired",
        "generation.completed",
    ]


async def test_a_callback_url_is_an_endpoint(store: Store) -> None:
    """Its identity is the URL, its destination the origin; without `callbacks:` the message is parked, not lost."""
    url = "https://app.example.com/hook?job=1"
    await add(store, request(endpoint=url))
    await store.record_transitions([seen()], now=NOW)
    (claim,) = (await take(store)).claims
    assert (claim.endpoint, claim.destination, claim.number) == (url, "https://app.example.com", 1)
    assert (await deliveries(store))[0].status is DeliveryStatus.PENDING


async def test_a_declaration_that_is_read_again_reopens_nothing(store: Store) -> None:
    """With `keep_first` an ended watch stays ended, so that a restart does not post again."""
    await add(store, request())
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + 2 * HOUR)], now=NOW + 2 * HOUR)
    (answer,) = await store.add_watches([request()], now=NOW + 3 * HOUR, keep_first=True)
    assert (answer.outcome, answer.open) == (Outcome.FINISHED, None)
    assert len(await deliveries(store)) == 1


async def test_a_fault_shows_no_query_of_a_callback_url(store: Store) -> None:
    """It may carry a token, and faults end up in logs."""
    url = "https://app.example.com/hook?token=hunter2"
    await add(store, request(endpoint=url))
    with pytest.raises(InvalidWatch) as refused:
        await add(store, request(endpoint=url, metadata=b'{"a":1}'))
    assert "hunter2" not in str(refused.value)


async def test_thousands_of_contradictions_are_not_all_told(store: Store) -> None:
    """A list that is refused whole ends early: the first two hundred are told, and that there may be more."""
    wanted = [request(f"g-{number}") for number in range(1_000)]
    await store.add_watches(wanted, now=NOW)
    with pytest.raises(InvalidWatch) as refused:
        await store.add_watches([request(f"g-{number}", metadata=b'{"a":1}') for number in range(1_000)], now=NOW)
    assert len(refused.value.faults) == 201
    assert "may be more" in refused.value.faults[-1].message
