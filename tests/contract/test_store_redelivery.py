"""What a person asks for again, and what a person takes back."""

from collections import Counter

import anyio
import pytest

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.model import DeliveryStatus, EndpointDirectory, State, Trigger, Verdict, WatchStatus
from notifier.store.ports import Store
from notifier.store.records import Mark, Redelivered, Selection, WatchChoice
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    LUMA,
    ME,
    NOBODY,
    NOW,
    SECOND,
    add,
    apply,
    deliveries,
    enqueue,
    history,
    id_of,
    ids,
    outcome,
    request,
    seen,
    still_open,
    take,
)

LATER = NOW + 2 * HOUR


async def end(store: Store, status: DeliveryStatus, *generations: str, endpoint: str = "studio") -> None:
    """A delivery of each generation that came to `status`, with one attempt behind it where it had one."""
    filters = EndpointDirectory(events={**DIRECTORY.events, "studio": frozenset({"watch.expired"})}, callbacks=True)
    await apply(store, filters if status is DeliveryStatus.FILTERED else DIRECTORY)
    await enqueue(store, *generations, endpoint=endpoint)
    if status is DeliveryStatus.FILTERED:
        return
    if status is DeliveryStatus.PENDING:
        return
    claims = (await take(store)).claims
    done = status is DeliveryStatus.DELIVERED
    verdict = Verdict.DELIVERED if done else Verdict.SERVER_ERROR
    await take(
        store, *(outcome(claim, verdict, status=status, failures=0 if done else 3, due_at=None) for claim in claims)
    )


async def walk(store: Store, selection: Selection, *, most: int = 200) -> tuple[int, Counter[str], int]:
    """All steps of a redelivery: taken, refused, and how many steps there were."""
    taken, refused, steps, mark = 0, Counter[str](), 0, None
    while True:
        step = await store.redeliver_some(selection, mark=mark, most=most, now=LATER)
        taken, steps, mark = taken + step.taken, steps + 1, step.mark
        refused.update(step.refused)
        if mark is None:
            return taken, refused, steps


async def one(store: Store, selection: Selection) -> Redelivered:
    return await store.redeliver_some(selection, mark=None, most=200, now=LATER)


@pytest.mark.parametrize("status", [each for each in DeliveryStatus if each is not DeliveryStatus.PENDING])
async def test_what_has_ended_is_due_again(store: Store, status: DeliveryStatus) -> None:
    """The same message and the same bytes, at once, with the whole schedule before it; the attempt is a person's."""
    await end(store, status, "g-1")
    (before,) = await deliveries(store)
    answer = await one(store, Selection(message=before.message_id))
    assert answer == Redelivered(taken=1, refused={}, mark=None)
    (line,) = await deliveries(store)
    assert (line.status, line.due_at, line.reason) == (DeliveryStatus.PENDING, LATER, "")
    (claim,) = (await take(store, now=LATER)).claims
    assert (claim.message_id, claim.failures, claim.interruptions) == (before.message_id, 0, 0)
    assert (claim.number, claim.trigger) == (len(before.attempts) + 1, Trigger.PERSON)
    assert b'"generation_id":"g-1"' in claim.body


async def test_the_bytes_are_the_stored_ones(store: Store) -> None:
    """A second delivery of one message carries the very body of the first."""
    await enqueue(store, "g-1")
    (first,) = (await take(store)).claims
    await take(store, outcome(first))
    await one(store, Selection(message=first.message_id))
    (second,) = (await take(store, now=LATER)).claims
    assert (second.body, second.content_type) == (first.body, first.content_type)


async def test_what_waits_for_its_next_attempt_is_due_now(store: Store) -> None:
    """One attempt now instead of in five hours, and the whole schedule before it again; the attempt is a person's."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    await take(store, outcome(claim, Verdict.SERVER_ERROR, failures=5, due_at=NOW + 5 * HOUR))
    assert (await take(store, now=LATER)).claims == []
    answer = await one(store, Selection(statuses=frozenset({DeliveryStatus.PENDING})))
    assert (answer.taken, answer.refused) == (1, {})
    (again,) = (await take(store, now=LATER)).claims
    assert (again.message_id, again.failures, again.number) == (claim.message_id, 0, 2)
    assert again.trigger is Trigger.PERSON
    await take(store, outcome(again, Verdict.SERVER_ERROR, failures=1, due_at=LATER + SECOND), now=LATER)
    (line,) = await deliveries(store)
    assert [attempt.trigger for attempt in line.attempts] == [Trigger.SCHEDULE, Trigger.PERSON]


async def test_what_waits_for_its_first_attempt_is_due_now(store: Store) -> None:
    """A schedule that begins with a wait is no reason to wait for a person."""
    await apply(store, EndpointDirectory(events={"studio": None}, callbacks=True, first_wait={"studio": 3 * HOUR}))
    await enqueue(store, "g-1")
    assert (await one(store, Selection(endpoint=EndpointIdentity("studio")))).taken == 1
    assert ids(await take(store, now=LATER)) == ["g-1"]


async def test_what_is_due_already_keeps_its_turn(store: Store) -> None:
    """Asked for by a person or not, the longest overdue goes first."""
    await enqueue(store, "g-1")
    await enqueue(store, "g-2", now=NOW + SECOND)
    await one(store, Selection(generation=GenerationId("g-1")))
    assert ids(await take(store, now=LATER)) == ["g-1", "g-2"]


async def test_what_is_being_sent_is_refused(store: Store) -> None:
    """No second attempt beside the first."""
    await enqueue(store, "g-1")
    (claim,) = (await take(store)).claims
    answer = await one(store, Selection(message=claim.message_id))
    assert answer.refused == {"being sent now": 1}
    assert (await take(store, now=LATER)).claims == []
    assert (await take(store, outcome(claim))).lost == []


async def test_what_would_only_be_parked_again_is_refused(store: Store) -> None:
    """With the configuration's own reason; it stays parked and resumes when the name returns."""
    await apply(store, NOBODY)
    await enqueue(store, "g-1")
    answer = await one(store, Selection(generation=GenerationId("g-1")))
    assert answer.refused == {"endpoint studio is not in the configuration": 1}
    (line,) = await deliveries(store)
    assert line.status is DeliveryStatus.PARKED


async def test_what_a_disabled_endpoint_is_owed_comes_back_when_a_person_asks(store: Store) -> None:
    """Refused while it is disabled, with the reason; after it is enabled it is sent, and may be parked again later."""
    await enqueue(store, "g-1")
    await store.disable_endpoint(Destination("studio"), now=NOW, reason="too loud")
    refused = await one(store, Selection(generation=GenerationId("g-1")))
    assert refused.refused == {"endpoint studio is disabled: too loud": 1}
    await store.enable_endpoint(Destination("studio"), now=NOW)
    assert (await take(store, now=LATER)).claims == []
    assert (await one(store, Selection(generation=GenerationId("g-1")))).taken == 1
    assert ids(await take(store, now=LATER)) == ["g-1"]


async def test_who_an_attempt_was_made_for_is_recorded(store: Store) -> None:
    """The person's attempt is one; the retries after it are the schedule's again."""
    await end(store, DeliveryStatus.EXHAUSTED, "g-1")
    await one(store, Selection(generation=GenerationId("g-1")))
    (claim,) = (await take(store, now=LATER)).claims
    (line,) = await deliveries(store)
    assert [attempt.trigger for attempt in line.attempts] == [Trigger.SCHEDULE, Trigger.PERSON]
    await take(store, outcome(claim, Verdict.RESET, due_at=LATER), now=LATER)
    (line,) = await deliveries(store)
    assert [attempt.trigger for attempt in line.attempts] == [Trigger.SCHEDULE, Trigger.PERSON, Trigger.SCHEDULE]


async def test_an_interrupted_attempt_of_a_person_is_recorded_as_one(store: Store) -> None:
    """The crash leaves its trace under the right name; the repeat is the schedule's."""
    await end(store, DeliveryStatus.DELIVERED, "g-1")
    await one(store, Selection(generation=GenerationId("g-1")))
    (claim,) = (await take(store, now=LATER)).claims
    await store.release(
        ME,
        lambda left: outcome(claim, Verdict.INTERRUPTED, failures=left.failures, due_at=LATER),
        now=LATER,
    )
    (again,) = (await take(store, now=LATER)).claims
    (line,) = await deliveries(store)
    assert [attempt.trigger for attempt in line.attempts] == [Trigger.SCHEDULE, Trigger.PERSON, Trigger.SCHEDULE]
    assert again.trigger is Trigger.SCHEDULE


# ---- selections ---------------------------------------------------------------------------------------------------
async def test_a_generation_is_all_that_it_was_owed(store: Store) -> None:
    """Every endpoint's message, and no other generation's; capitals do not matter where no ID fits exactly."""
    await end(store, DeliveryStatus.DELIVERED, "g-1", "g-2")
    await end(store, DeliveryStatus.DELIVERED, "g-1", endpoint="audit")
    assert (await one(store, Selection(generation=GenerationId("G-1")))).taken == 2
    assert ids(await take(store, now=LATER)) == ["g-1", "g-1"]


async def test_a_generation_of_one_provider(store: Store) -> None:
    """Two providers may have the same ID; naming one leaves the other alone, with and without the ID."""
    for provider in ("luma", "second"):
        await add(store, request(provider=provider))
        await store.record_transitions([seen(provider=provider)], now=NOW)
    await take(store, *(outcome(claim) for claim in (await take(store)).claims))
    second = ProviderName("second")
    assert (await one(store, Selection(generation=GenerationId("g-1"), provider=second))).taken == 1
    assert (await one(store, Selection(provider=second))).taken == 1
    assert (await one(store, Selection(provider=LUMA))).taken == 1


FILTERS: list[tuple[Selection, set[str]]] = [
    (Selection(), {"s-0", "s-1", "a-0", "a-1"}),
    (Selection(endpoint=EndpointIdentity("audit")), {"a-0", "a-1"}),
    (Selection(destination=Destination("studio")), {"s-0", "s-1"}),
    (Selection(type="generation.completed"), {"s-0", "s-1", "a-0", "a-1"}),
    (Selection(type="watch.expired"), set()),
    (Selection(statuses=frozenset({DeliveryStatus.EXHAUSTED})), {"s-1", "a-1"}),
    (Selection(statuses=frozenset({DeliveryStatus.EXHAUSTED, DeliveryStatus.DELIVERED})), {"s-0", "s-1", "a-0", "a-1"}),
    (Selection(since=NOW), {"s-0", "s-1", "a-0", "a-1"}),
    (Selection(since=NOW + SECOND), {"s-1", "a-1"}),
    (Selection(until=NOW + SECOND), {"s-0", "a-0"}),
    (Selection(since=NOW, until=NOW), set()),
    (Selection(endpoint=EndpointIdentity("audit"), since=NOW + SECOND), {"a-1"}),
    (Selection(endpoint=EndpointIdentity("audit"), statuses=frozenset({DeliveryStatus.DELIVERED})), {"a-0"}),
]


@pytest.mark.parametrize(("selection", "expected"), FILTERS, ids=str)
async def test_a_filter_takes_what_fits_all_of_it(store: Store, selection: Selection, expected: set[str]) -> None:
    """Endpoint, type, status and time, each alone and together; `since` is inclusive and `until` is not."""
    for number, status in enumerate((DeliveryStatus.DELIVERED, DeliveryStatus.EXHAUSTED)):
        for endpoint in ("studio", "audit"):
            await enqueue(store, f"{endpoint[0]}-{number}", endpoint=endpoint, now=NOW + number * SECOND)
        claims = (await take(store, now=NOW + number * SECOND)).claims
        await take(store, *(outcome(claim, status=status, due_at=None) for claim in claims))
    answer = await one(store, selection)
    assert (answer.taken, answer.mark) == (len(expected), None)
    assert set(ids(await take(store, now=LATER))) == expected


# ---- many ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("selection", [Selection(), Selection(endpoint=EndpointIdentity("studio"))], ids=str)
async def test_trap_11_a_walk_of_many_steps_skips_nothing(store: Store, selection: Selection) -> None:
    """All rows share one time, and there are more than two pages of them: each is taken, none twice."""
    await enqueue(store, *(f"g-{number}" for number in range(57)))
    for _ in range(2):
        await take(store, *(outcome(claim) for claim in (await take(store)).claims))
    assert await walk(store, selection, most=10) == (57, Counter(), 6)
    assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: 57}


async def test_a_walk_through_one_generation_skips_nothing(store: Store) -> None:
    """It pages in the same way."""
    await add(store, *(request(endpoint=f"https://app.example.com/{number}") for number in range(25)))
    await store.record_transitions([seen()], now=NOW)
    await take(store, *(outcome(claim) for claim in (await take(store)).claims))
    assert (await walk(store, Selection(generation=GenerationId("g-1")), most=10))[0] == 25


async def test_a_full_last_page_ends_the_walk(store: Store) -> None:
    """A page that ends just where the rows do is followed by one empty step."""
    await end(store, DeliveryStatus.DELIVERED, *(f"g-{number}" for number in range(20)))
    assert await walk(store, Selection(), most=10) == (20, Counter(), 3)


async def test_a_walk_does_not_run_after_what_comes_meanwhile(store: Store) -> None:
    """What is enqueued after it began is not part of it, however late it ends."""
    await end(store, DeliveryStatus.DELIVERED, *(f"g-{number}" for number in range(3)))
    step = await store.redeliver_some(Selection(), mark=None, most=2, now=LATER)
    await enqueue(store, "g-new")
    assert isinstance(step.mark, Mark)
    last = await store.redeliver_some(Selection(), mark=step.mark, most=2, now=LATER)
    assert last == Redelivered(taken=1, refused={}, mark=None)


async def test_a_walk_counts_what_it_refuses_by_reason(store: Store) -> None:
    """Over all steps: being sent, and not configured."""
    await end(store, DeliveryStatus.DELIVERED, "g-1")
    await apply(store, EndpointDirectory(events={"audit": None}, callbacks=True))
    await enqueue(store, "g-2")
    await enqueue(store, "g-3", endpoint="audit")
    await take(store)
    await enqueue(store, "g-4")
    await enqueue(store, "g-5", endpoint="audit")
    taken, refused, _ = await walk(store, Selection(), most=2)
    assert taken == 1
    assert refused == {"being sent now": 1, "endpoint studio is not in the configuration": 3}


async def test_nothing_to_walk_through(store: Store) -> None:
    """An empty store, and a message that is not there: no one is taken, no one refused."""
    for selection in (Selection(), Selection(message=MessageId("msg_none")), Selection(generation=GenerationId("no"))):
        assert await walk(store, selection) == (0, Counter(), 1)


KEPT: list[tuple[Selection, dict[DeliveryStatus, int]]] = [
    (Selection(), {DeliveryStatus.DELIVERED: 2, DeliveryStatus.EXHAUSTED: 1, DeliveryStatus.PENDING: 1}),
    (Selection(endpoint=EndpointIdentity("audit")), {DeliveryStatus.EXHAUSTED: 1}),
    (Selection(destination=Destination("audit"), since=LATER), {DeliveryStatus.EXHAUSTED: 1}),
    (Selection(type="watch.expired"), {}),
    (Selection(provider=ProviderName("lumma")), {}),
    (Selection(provider=LUMA, statuses=frozenset({DeliveryStatus.PENDING}), endpoint=EndpointIdentity("no")), {}),
    (Selection(generation=GenerationId("G-1")), {DeliveryStatus.DELIVERED: 1}),
    (Selection(generation=GenerationId("g-1"), endpoint=EndpointIdentity("audit")), {}),
]


@pytest.mark.parametrize(("selection", "counts"), KEPT, ids=str)
async def test_what_is_kept_is_counted_by_status(
    store: Store, selection: Selection, counts: dict[DeliveryStatus, int]
) -> None:
    """Whose messages and of which type counts; their status and their time do not."""
    await end(store, DeliveryStatus.DELIVERED, "g-1", "g-2")
    await end(store, DeliveryStatus.EXHAUSTED, "g-3", endpoint="audit")
    await enqueue(store, "g-4", now=NOW + HOUR)
    kept = await store.kept(selection)
    assert kept.counts == counts
    assert (kept.oldest is None) == (not counts)
    if DeliveryStatus.PENDING in counts:
        assert (kept.oldest, kept.newest) == (NOW, NOW + HOUR)


# ---- names --------------------------------------------------------------------------------------------------------
async def test_a_message_is_found_by_its_beginning(store: Store) -> None:
    """The whole ID, and a beginning of one alone, lead to it; a beginning of several shows two."""
    await enqueue(store, *(f"g-{number}" for number in range(40)))
    whole = (await deliveries(store, "g-7"))[0].message_id
    assert await store.messages_like(whole) == [whole]
    assert await store.messages_like(whole[:20]) == [whole]
    assert len(await store.messages_like("msg_")) == 2
    assert await store.messages_like(whole + "a") == []
    assert await store.messages_like("msg_%") == []


async def test_a_watch_is_found_by_its_beginning(store: Store) -> None:
    """As a message is."""
    await add(store, *(request(f"g-{number}") for number in range(40)))
    whole = id_of(request("g-7"))
    assert await store.watches_like(whole) == [whole]
    assert await store.watches_like(whole[:16]) == [whole]
    assert len(await store.watches_like("wch_")) == 2
    assert await store.watches_like("wch_0") == []


# ---- taken back ---------------------------------------------------------------------------------------------------
async def test_a_cancelled_watch_is_owed_nothing(store: Store) -> None:
    """It ends by the table, nobody is told, and its generation is not polled any more."""
    await add(store, request())
    answer = await store.cancel_watches(WatchChoice(watch=WatchId(id_of(request()))), now=LATER)
    assert (answer.cancelled, answer.ended, answer.left) == (1, {}, [(LUMA, "g-1")])
    (watch,) = (await history(store)).watches
    assert (watch.status, watch.ended_at, watch.deliveries) == (WatchStatus.CANCELLED, LATER, [])
    assert await still_open(store) == set()
    await store.record_transitions([seen()], now=LATER)
    assert await deliveries(store) == []


async def test_a_generation_is_left_when_its_last_watch_is(store: Store) -> None:
    """One of two endpoints', then the other's; what is open stays open."""
    await add(store, request(), request(endpoint="audit"))
    choice = WatchChoice(generation=GenerationId("G-1"), endpoint=EndpointIdentity("audit"))
    first = await store.cancel_watches(choice, now=NOW)
    assert (first.cancelled, first.left) == (1, [])
    assert await still_open(store) == {"g-1"}
    rest = await store.cancel_watches(WatchChoice(generation=GenerationId("g-1")), now=NOW)
    assert (rest.cancelled, rest.ended, rest.left) == (1, {WatchStatus.CANCELLED: 1}, [(LUMA, "g-1")])


async def test_what_has_ended_is_not_cancelled(store: Store) -> None:
    """A satisfied watch stays satisfied, its delivery stays pending."""
    await enqueue(store, "g-1")
    answer = await store.cancel_watches(WatchChoice(generation=GenerationId("g-1")), now=NOW)
    assert (answer.cancelled, answer.ended, answer.left) == (0, {WatchStatus.SATISFIED: 1}, [])
    assert ids(await take(store)) == ["g-1"]


async def test_an_origin_is_every_url_of_it(store: Store) -> None:
    """Of a generation, and of all; to redeliver and to cancel."""
    urls = [f"https://app.example.com/{number}" for number in range(3)]
    await add(store, *(request(endpoint=url) for url in urls), request(), request("g-2", endpoint=urls[0]))
    await store.record_transitions([seen()], now=NOW)
    await take(store, *(outcome(claim) for claim in (await take(store)).claims))
    origin = Destination("https://app.example.com")
    assert (await one(store, Selection(destination=origin, generation=GenerationId("g-1")))).taken == 3
    assert (await one(store, Selection(endpoint=EndpointIdentity(urls[0])))).taken == 1
    choice = WatchChoice(generation=GenerationId("g-2"), destination=origin)
    assert (await store.cancel_watches(choice, now=NOW)).cancelled == 1


async def test_a_choice_of_one_provider_leaves_the_others_alone(store: Store) -> None:
    """Two providers may have the same ID."""
    await add(store, request(), request(provider="second"))
    choice = WatchChoice(generation=GenerationId("g-1"), provider=ProviderName("second"))
    assert (await store.cancel_watches(choice, now=NOW)).left == [("second", "g-1")]
    assert await still_open(store) == {"g-1"}


async def test_a_cancelled_watch_is_reopened_by_registering_it_again(store: Store) -> None:
    """With a new round, and so with a new message of its own."""
    await add(store, request())
    await store.cancel_watches(WatchChoice(generation=GenerationId("g-1")), now=NOW)
    await add(store, request())
    await store.record_transitions([seen(state=State.COMPLETED)], now=NOW)
    (watch,) = (await history(store)).watches
    assert (watch.round, watch.status, len(watch.deliveries)) == (1, WatchStatus.SATISFIED, 1)


async def test_two_people_who_ask_at_once_are_given_one_attempt(store: Store) -> None:
    """Both are told that it is due now, and it is: once."""
    await end(store, DeliveryStatus.DELIVERED, "g-1")
    (line,) = await deliveries(store)
    answers: list[Redelivered] = []

    async def ask() -> None:
        answers.append(await one(store, Selection(message=line.message_id)))

    async with anyio.create_task_group() as people:
        people.start_soon(ask)
        people.start_soon(ask)
    assert [answer.taken for answer in answers] == [1, 1]
    assert ids(await take(store, now=LATER)) == ["g-1"]
