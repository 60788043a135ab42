"""What a poll changes: states rise, watches are satisfied or end, messages are enqueued, all in one transaction."""

import json

import pytest

from notifier.domain.ids import ProviderName
from notifier.domain.message import RECORD_LIMIT
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Kind, OpenGeneration, Result, State, WatchStatus
from notifier.store.ports import Store
from tests.support.store_builders import (
    HOUR,
    LUMA,
    ME,
    NOW,
    SECOND,
    Opening,
    add,
    apply,
    deliveries,
    ending,
    enqueue,
    history,
    request,
    seen,
    slots,
    still_open,
    take,
)


async def test_a_transition_satisfies_its_watches(store: Store) -> None:
    """The state is recorded, every watch at or below it satisfied, with one message each; the others stay open."""
    await add(
        store,
        request(target=State.RUNNING),
        request(endpoint="audit", target=State.QUEUED),
        request(timeout=2 * HOUR),
    )
    (recorded,) = await store.record_transitions([seen(state=State.RUNNING)], now=NOW)
    assert recorded.enqueued == 2
    assert recorded.open is not None
    assert (recorded.open.state, recorded.open.deadline) == (State.RUNNING, NOW + 2 * HOUR)
    assert [watch.status for watch in (await history(store)).watches] == [
        WatchStatus.SATISFIED,
        WatchStatus.SATISFIED,
        WatchStatus.OPEN,
    ]
    assert {line.type for line in await deliveries(store)} == {"generation.running"}


async def test_failed_answers_who_waits_for_completed(store: Store) -> None:
    """A watch gets its message once the rank is at or above its target's; the message names the state reached."""
    await add(store, request())
    (recorded,) = await store.record_transitions([seen(state=State.FAILED, failure="nsfw")], now=NOW)
    assert (recorded.enqueued, recorded.open) == (1, None)
    (claim,) = (await take(store)).claims
    content = json.loads(claim.body)
    assert (content["type"], content["data"]["failure"]) == ("generation.failed", "nsfw")
    assert await still_open(store) == set()


async def test_one_step_back_changes_nothing(store: Store) -> None:
    """A provider may step back, we do not; the answer still tells what is open."""
    await add(store, request())
    await store.record_transitions([seen(state=State.RUNNING)], now=NOW)
    later = NOW + SECOND
    (recorded,) = await store.record_transitions([seen(state=State.QUEUED, at=later)], now=later)
    assert recorded.enqueued == 0
    assert recorded.open is not None
    assert recorded.open.state is State.RUNNING
    told = await history(store)
    assert (told.state, told.observed_at, len(told.states)) == (State.RUNNING, NOW, 1)


@pytest.mark.parametrize("state", list(State))
async def test_a_repeated_transition_changes_nothing(store: Store, state: State) -> None:
    """The same state again, in another call or in the same one, enqueues nothing more."""
    await add(store, request(target=State.QUEUED))
    first, second = await store.record_transitions([seen(state=state), seen(state=state)], now=NOW)
    (third,) = await store.record_transitions([seen(state=state, at=NOW + SECOND)], now=NOW + SECOND)
    assert [first.enqueued, second.enqueued, third.enqueued] == [1, 0, 0]
    assert (await history(store)).observed_at == NOW


async def test_a_final_state_stands(store: Store) -> None:
    """Completed does not become failed: nothing leaves a final state."""
    await enqueue(store, "g-1")
    await store.record_transitions([seen(state=State.FAILED)], now=NOW)
    assert (await history(store)).state is State.COMPLETED


async def test_states_are_remembered_in_order(store: Store) -> None:
    """Every recorded state leaves its line; one that was skipped leaves none."""
    await add(store, request())
    for number, state in enumerate((State.QUEUED, State.COMPLETED)):
        at = NOW + number * SECOND
        await store.record_transitions([seen(state=state, at=at, not_before=at - SECOND)], now=at)
    told = await history(store)
    assert list(told.states) == [(State.QUEUED, NOW), (State.COMPLETED, NOW + SECOND)]
    assert (told.observed_at, told.not_before) == (NOW + SECOND, NOW)


async def test_an_id_nobody_watches_is_answered_all_the_same(store: Store) -> None:
    """Neither a transition nor an ending of an unheard-of generation does anything, or fails."""
    await add(store, request("g-1"))
    answers = await store.record_transitions([seen("g-9"), seen("g-1", provider="other")], now=NOW)
    answers += await store.end_watches([ending("g-9", Kind.EXPIRED)], now=NOW)
    assert [(answer.enqueued, answer.open) for answer in answers] == [(0, None)] * 3
    assert await still_open(store) == {"g-1"}


async def test_an_absent_observation_changes_nothing(store: Store) -> None:
    """Absent is no state."""
    await add(store, request())
    (recorded,) = await store.record_transitions([seen(state=None)], now=NOW)
    assert recorded.enqueued == 0
    assert recorded.open is not None
    assert (await history(store)).state is None


async def test_many_transitions_are_one_transaction(store: Store) -> None:
    """One answer for each, in order."""
    await add(store, *(request(f"g-{number}") for number in range(5)))
    answers = await store.record_transitions(
        [seen(f"g-{number}", State.COMPLETED if number % 2 else State.QUEUED) for number in range(5)],
        now=NOW,
    )
    assert [answer.enqueued for answer in answers] == [0, 1, 0, 1, 0]
    assert await still_open(store) == {"g-0", "g-2", "g-4"}


async def test_one_call_may_raise_a_generation_twice(store: Store) -> None:
    """Each rise leaves its line and satisfies its own watches, as if it had come in a call of its own."""
    await add(store, request(target=State.RUNNING), request(), request("g-2"))
    answers = await store.record_transitions([seen(state=State.RUNNING), seen("g-2"), seen(at=NOW + SECOND)], now=NOW)
    assert [answer.enqueued for answer in answers] == [1, 1, 1]
    assert [answer.open and answer.open.state for answer in answers] == [State.RUNNING, None, None]
    assert list((await history(store)).states) == [(State.RUNNING, NOW), (State.COMPLETED, NOW + SECOND)]
    assert [line.type for line in await deliveries(store)] == ["generation.running", "generation.completed"]


async def test_one_call_may_raise_the_same_id_of_two_providers(store: Store) -> None:
    """They are two generations; one that nobody watches between them is answered in its place."""
    await add(store, request(), request(provider="other", target=State.RUNNING))
    both = [seen(state=State.RUNNING), seen("g-9"), seen(provider="other", state=State.RUNNING)]
    answers = await store.record_transitions(both, now=NOW)
    assert [answer.enqueued for answer in answers] == [0, 0, 1]
    assert [answer.open and answer.open.provider for answer in answers] == ["luma", None, None]


async def test_a_long_call_keeps_every_generation_apart(store: Store) -> None:
    """Hundreds of transitions in one call: each watch gets its own generation's message, byte for byte its own."""
    names = [f"g-{number}" for number in range(700)]
    await add(store, *(request(name, metadata=f'{{"of":"{name} é"}}'.encode()) for name in names))
    answers = await store.record_transitions([seen(name, failure="ü" * len(name)) for name in names], now=NOW)
    assert [(answer.enqueued, answer.open) for answer in answers] == [(1, None)] * 700
    claims = [*(await take(store)).claims, *(await store.exchange(ME, [], slots(700), now=NOW)).claims]
    told = [json.loads(claim.body)["data"] for claim in claims]
    assert sorted(claim.generation for claim in claims) == sorted(names)
    for claim, content in zip(claims, told, strict=True):
        assert content["generation_id"] == content["generation"]["id"] == claim.generation
        assert content["metadata"] == {"of": f"{claim.generation} é"}


async def test_a_transition_that_cannot_be_recorded_undoes_its_whole_call(store: Store) -> None:
    """A call that raised changed nothing: not even the transitions before the bad one."""
    await add(store, request("g-1"), request("g-2"))
    with pytest.raises(TypeError):
        await store.record_transitions([seen("g-1"), seen("g-2", record={"odd": object()})], now=NOW)
    assert await still_open(store) == {"g-1", "g-2"}
    assert (await history(store)).state is None


async def test_the_record_travels_untouched(store: Store) -> None:
    """The provider's record is in the body as it came; joining later gets the same one."""
    await add(store, request())
    record = {"id": "g-1", "x": [1, 2.5, None, "é"], "state": "completed"}
    await store.record_transitions([seen(record=record)], now=NOW)
    await add(store, request(endpoint="audit"))
    claims = (await take(store)).claims
    assert [json.loads(claim.body)["data"]["generation"] for claim in claims] == [record, record]


async def test_a_large_record_is_left_out(store: Store) -> None:
    """Above the limit the body says that it was left out, now and for whoever joins later."""
    await add(store, request())
    await store.record_transitions([seen(record={"pad": "x" * RECORD_LIMIT})], now=NOW)
    await add(store, request(endpoint="audit"))
    for claim in (await take(store)).claims:
        content = json.loads(claim.body)["data"]
        assert (content["generation"], content["generation_omitted"]) == (None, True)


async def test_a_record_at_the_limit_is_kept(store: Store) -> None:
    """The limit is the compact form's length, itself included."""
    await add(store, request())
    await store.record_transitions([seen(record={"p": "x" * (RECORD_LIMIT - 8)})], now=NOW)
    (claim,) = (await take(store)).claims
    assert json.loads(claim.body)["data"]["generation_omitted"] is False


async def test_a_generation_without_result_has_none(store: Store) -> None:
    """No result, no record, no provider's word: nulls in the body of a watch that joins later."""
    await add(store, request(target=State.FAILED, endpoint="audit"))
    await store.record_transitions(
        [seen(state=State.RUNNING, result=Result(), record=None, provider_state=None)], now=NOW
    )
    await add(store, request(target=State.RUNNING))
    (claim,) = (await take(store)).claims
    content = json.loads(claim.body)["data"]
    assert content["result"] == {"url": None, "urls": [], "text": None, "truncated": False}
    assert (content["generation"], content["generation_omitted"], content["provider_state"]) == (None, False, None)


async def test_messages_are_filtered_or_parked_when_they_are_made(store: Store) -> None:
    """What `events` leaves out is FILTERED, what has no configured endpoint PARKED: kept, but never claimed."""
    directory = EndpointDirectory(events={"studio": frozenset({"generation.failed"}), "audit": None}, callbacks=False)
    await apply(store, directory)
    wanted = ("studio", "audit", "gone", "https://app.example.com/hook")
    await add(store, *(request(endpoint=endpoint) for endpoint in wanted))
    (recorded,) = await store.record_transitions([seen()], now=NOW)
    assert recorded.enqueued == 4
    found = await deliveries(store)
    assert [line.status for line in found] == [
        DeliveryStatus.FILTERED,
        DeliveryStatus.PENDING,
        DeliveryStatus.PARKED,
        DeliveryStatus.PARKED,
    ]
    assert [bool(line.reason) for line in found] == [True, False, True, True]
    assert [line.due_at for line in found] == [None, NOW, None, None]
    exchange = await take(store)
    assert [claim.endpoint for claim in exchange.claims] == ["audit"]
    assert exchange.next_due is None


async def test_open_generations_are_those_of_one_provider_with_an_open_watch(store: Store) -> None:
    """With state, registration and earliest deadline; each once, however many watches it has."""
    await add(store, request("g-1"), request("g-1", endpoint="audit", timeout=HOUR / 2), request("g-2"))
    await add(store, request("g-3", provider="other"))
    await store.record_transitions([seen("g-1", State.RUNNING), seen("g-2")], now=NOW)
    found = [entry async for chunk in store.open_generations(LUMA) for entry in chunk]
    (only,) = found
    assert (only.provider, only.id, only.state) == ("luma", "g-1", State.RUNNING)
    assert (only.registered_at, only.deadline) == (NOW, NOW + HOUR / 2)


async def test_open_generations_come_in_chunks_from_one_moment(store: Store) -> None:
    """What is registered or ends while the chunks are read is not seen; every generation comes exactly once."""
    names = [f"g-{number}" for number in range(12_000)]
    await add(store, *map(request, names))
    found: list[str] = []
    chunks = 0
    async for chunk in store.open_generations(LUMA):
        if not chunks:
            await add(store, request("late"))
            await store.record_transitions([seen("g-11999")], now=NOW)
        chunks += 1
        found += [entry.id for entry in chunk]
    assert chunks > 1
    assert sorted(found) == sorted(names)


async def test_reading_open_generations_may_stop_early(store: Store) -> None:
    """Whoever stops in the middle leaves nothing behind that holds up the store."""
    await add(store, *(request(f"g-{number}") for number in range(6_000)))
    reading = store.open_generations(LUMA)
    await anext(reading)
    await reading.aclose()  # type: ignore[attr-defined]  # it is a generator; the contract promises an iterator
    await store.checkpoint()
    await add(store, request("late"))
    assert "late" in await still_open(store)


async def test_no_open_generation_is_no_chunk(store: Store) -> None:
    """An empty store has nothing to look at."""
    assert await still_open(store) == set()


# ---- what the poller goes by --------------------------------------------------------------------------------------
STEPS = (("studio", State.COMPLETED), ("audit", State.RUNNING), ("audit", State.COMPLETED), ("slow", State.QUEUED))


async def read_open(store: Store, generation: str = "g-1") -> OpenGeneration:
    (found,) = [entry async for chunk in store.open_generations(LUMA) for entry in chunk if entry.id == generation]
    return found


async def test_an_open_generation_tells_its_lowest_target_and_each_destination_once(store: Store) -> None:
    """Every watch that joins may bring the target down and adds its destination."""
    wanted = [
        (State.COMPLETED, ("studio",)),
        (State.RUNNING, ("audit", "studio")),
        (State.RUNNING, ("audit", "studio")),
        (State.QUEUED, ("audit", "slow", "studio")),
    ]
    for (endpoint, target), expected in zip(STEPS, wanted, strict=True):
        await add(store, request(endpoint=endpoint, target=target))
        found = await read_open(store)
        assert (found.target, found.destinations) == expected


async def test_what_is_satisfied_counts_no_more(store: Store) -> None:
    """Target and destinations are those of the watches still open, in the answer to a transition and afterwards."""
    await add(store, *(request(endpoint=endpoint, target=target) for endpoint, target in STEPS))
    for state, expected in (
        (State.QUEUED, (State.RUNNING, ("audit", "studio"))),
        (State.RUNNING, (State.COMPLETED, ("audit", "studio"))),
    ):
        (recorded,) = await store.record_transitions([seen(state=state)], now=NOW)
        assert recorded.open is not None
        assert (recorded.open.target, recorded.open.destinations) == expected
        assert await read_open(store) == recorded.open


async def test_what_expired_counts_no_more(store: Store) -> None:
    """The answer to an ending tells the target and the destinations that are left."""
    await add(store, request(endpoint="audit", target=State.RUNNING, timeout=SECOND), request(endpoint="studio"))
    (recorded,) = await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + 2 * SECOND)], now=NOW)
    assert recorded.open is not None
    assert (recorded.open.target, recorded.open.destinations) == (State.COMPLETED, ("studio",))
    assert await read_open(store) == recorded.open


async def test_a_transition_that_changes_nothing_tells_target_and_destinations_too(store: Store) -> None:
    """A repeated state, one step back and an absent one are answered with what is open."""
    await add(store, request(endpoint="audit", target=State.COMPLETED), request(endpoint="studio"))
    await store.record_transitions([seen(state=State.RUNNING)], now=NOW)
    for state in (State.RUNNING, State.QUEUED, None):
        (recorded,) = await store.record_transitions([seen(state=state)], now=NOW)
        assert recorded.open == await read_open(store)
        assert recorded.open.destinations == ("audit", "studio")


async def test_callback_urls_of_one_origin_are_one_destination(store: Store) -> None:
    """An open generation tells where its watches are told, and not each of them."""
    urls = [f"https://app.example.com/hook/{number}" for number in range(5)]
    await add(store, *(request(endpoint=url) for url in urls), request())
    assert (await read_open(store)).destinations == ("https://app.example.com", "studio")


async def test_destinations_of_one_generation_are_not_those_of_another(store: Store) -> None:
    """However many are read together."""
    names = [f"g-{number}" for number in range(30)]
    endpoints = ("studio", "audit", "slow")
    await add(store, *(request(name, endpoint=endpoints[number % 3]) for number, name in enumerate(names)))
    found = {entry.id: entry.destinations async for chunk in store.open_generations(LUMA) for entry in chunk}
    assert found == {name: (endpoints[number % 3],) for number, name in enumerate(names)}


# ---- what was learned ---------------------------------------------------------------------------------------------
LESSONS = {"completed/ray-2": b'{"form":1}', "running/": b"\x00\xff not JSON", "completed/luma/\xe9": b""}
OTHER_PROVIDER = ProviderName("other")


async def test_nothing_is_learned_at_first(store: Store) -> None:
    """A provider that nothing was saved of has no row."""
    assert dict(await store.learned(LUMA)) == {}


async def test_what_was_learned_is_kept_as_it_came(store: Store) -> None:
    """Any bytes under any name: the store does not read them. Of each provider apart."""
    await store.save_learned(LUMA, LESSONS, now=NOW)
    assert dict(await store.learned(LUMA)) == LESSONS
    assert dict(await store.learned(OTHER_PROVIDER)) == {}


async def test_a_later_lesson_replaces_the_earlier_one_of_its_name(store: Store) -> None:
    """Other names stay, and so do other providers'."""
    for provider in (LUMA, OTHER_PROVIDER):
        await store.save_learned(provider, LESSONS, now=NOW)
    await store.save_learned(LUMA, {"running/": b"2", "completed/new": b"3"}, now=NOW + SECOND)
    assert dict(await store.learned(LUMA)) == LESSONS | {"running/": b"2", "completed/new": b"3"}
    assert dict(await store.learned(OTHER_PROVIDER)) == LESSONS


async def test_to_save_nothing_changes_nothing(store: Store) -> None:
    """An empty lesson is no error."""
    await store.save_learned(LUMA, LESSONS, now=NOW)
    await store.save_learned(LUMA, {}, now=NOW + SECOND)
    assert dict(await store.learned(LUMA)) == LESSONS


async def test_many_lessons_are_saved_together(store: Store) -> None:
    """Some hundreds of models, each with its own curve."""
    many = {f"completed/model-{number}": b"x" * 2_000 + str(number).encode() for number in range(500)}
    await store.save_learned(LUMA, many, now=NOW)
    assert dict(await store.learned(LUMA)) == many


async def test_what_was_learned_survives_a_restart(opening: Opening) -> None:
    """That is what it is saved for."""
    async with opening() as store:
        await store.save_learned(LUMA, LESSONS, now=NOW)
    async with opening() as store:
        assert dict(await store.learned(LUMA)) == LESSONS
