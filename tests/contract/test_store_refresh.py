"""Results that are too old to be sent as they are stored: what is held back, how long, and what a refresh writes."""

from datetime import datetime, timedelta

import orjson
import pytest

from notifier.domain.body_refresh import refreshed
from notifier.domain.ids import Destination, GenerationId
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    Observation,
    Refresh,
    RereadResult,
    Result,
    SeenGeneration,
    Stale,
    State,
    Verdict,
)
from notifier.store.ports import Store
from notifier.store.records import Exchange, Freshness, Selection, Slots
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    ME,
    NOBODY,
    NOW,
    OTHER,
    SECOND,
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
)

MINUTE = timedelta(minutes=1)
AGE = 15 * MINUTE
REFRESH_WAIT = 10 * SECOND
NEW = "https://cdn.example.com/new.mp4"


def fresh(room: int = 64, *, each: timedelta | None = AGE, total: int = 64, **after: timedelta | None) -> Slots:
    destinations = {Destination(destination): age for destination, age in after.items()}
    freshness = Freshness(room=room, wait=REFRESH_WAIT, after=destinations, each=each)
    plain = slots(total)
    return Slots(total=total, free={}, each=plain.each, lease={}, lease_each=plain.lease_each, freshness=freshness)


async def take(store: Store, *results: AttemptResult, now: datetime = NOW, wanted: Slots | None = None) -> Exchange:
    return await store.exchange(ME, results, wanted or fresh(), now=now)


async def failed_once(store: Store, *generations: str, due: datetime) -> list[Claim]:
    """One failed attempt of each at `NOW`, due again at `due`."""
    await enqueue(store, *generations)
    claims = list((await take(store)).claims)
    results = [outcome(claim, Verdict.SERVER_ERROR, due_at=due) for claim in claims]
    await take(store, *results, wanted=fresh(total=0))
    return claims


def reread(generation: str = "g-1", url: str | None = NEW, *, at: datetime = NOW + AGE) -> RereadResult:
    observation = Observation(
        id=GenerationId(generation),
        state=State.COMPLETED,
        provider_state="completed",
        result=Result(url=url, urls=(NEW,)),
        record={"id": generation, "again": True},
    )
    return RereadResult(observation=observation, seen_at=at)


def refresh(stale: Stale, found: RereadResult | None) -> Refresh:
    return Refresh(message_id=stale.message_id, number=stale.number, reread=found)


# ---- what is held back --------------------------------------------------------------------------------------------
async def test_an_old_result_is_held_back_once(store: Store) -> None:
    """At the very age it is; after the hold it is claimed with what is stored, and not held back for an age again."""
    (first,) = await failed_once(store, "g-1", due=NOW + MINUTE)
    answer = await take(store, now=NOW + AGE)
    assert answer.claims == []
    assert answer.stale == [
        Stale(message_id=first.message_id, number=2, provider=first.provider, generation=first.generation)
    ]
    assert answer.next_due == NOW + AGE + REFRESH_WAIT
    assert (await take(store, now=NOW + AGE + REFRESH_WAIT - timedelta(microseconds=1))).claims == []
    again = await take(store, now=NOW + AGE + REFRESH_WAIT)
    assert ([claim.number for claim in again.claims], again.stale) == ([2], [])
    assert again.claims[0].body == first.body
    await take(store, outcome(again.claims[0], Verdict.SERVER_ERROR, due_at=NOW + AGE + MINUTE))
    assert ids(await take(store, now=NOW + 2 * AGE - timedelta(microseconds=1))) == ["g-1"]


async def test_a_younger_result_is_claimed(store: Store) -> None:
    """A microsecond before its age there is nothing to be read again."""
    await failed_once(store, "g-1", due=NOW + MINUTE)
    answer = await take(store, now=NOW + AGE - timedelta(microseconds=1))
    assert (ids(answer), answer.stale) == (["g-1"], [])


async def test_a_first_attempt_may_be_late_too(store: Store) -> None:
    """A watch that joins a generation which was done long ago gets what was seen then."""
    await enqueue(store, "g-1")
    await take(store)
    await add(store, request("g-1", endpoint="audit"), now=NOW + AGE)
    answer = await take(store, now=NOW + AGE)
    assert (answer.claims, [stale.number for stale in answer.stale]) == ([], [1])


async def test_an_interrupted_attempt_is_late_as_well(store: Store) -> None:
    """A daemon that was down for long repeats what was under way, and that is old by then."""
    await enqueue(store, "g-1")
    await take(store)
    await store.release(ME, again_at(NOW + AGE), now=NOW + AGE)
    assert [stale.number for stale in (await take(store, now=NOW + AGE)).stale] == [2]


async def test_what_a_person_asks_for_goes_out_as_it_is_stored(store: Store) -> None:
    """The schedule that follows reads it again."""
    (first,) = await failed_once(store, "g-1", due=NOW + HOUR)
    (claim,) = (await take(store, now=NOW + HOUR, wanted=slots())).claims
    await take(store, outcome(claim), now=NOW + HOUR)
    asked = Selection(message=first.message_id)
    assert (await store.redeliver_some(asked, mark=None, most=9, now=NOW + HOUR)).taken == 1
    answer = await take(store, now=NOW + HOUR)
    assert (messages(answer), answer.stale) == ([first.message_id], [])
    failed = outcome(answer.claims[0], Verdict.SERVER_ERROR, due_at=NOW + HOUR + SECOND)
    await take(store, failed, now=NOW + HOUR)
    assert [stale.number for stale in (await take(store, now=NOW + HOUR + SECOND)).stale] == [4]


@pytest.mark.parametrize("state", [State.RUNNING, State.FAILED])
async def test_only_completed_generations_have_something_to_be_read_again(store: Store, state: State) -> None:
    """Other messages go out as they are, however late."""
    await add(store, request(target=State.RUNNING))
    await store.record_transitions([seen(state=state)], now=NOW)
    assert ids(await take(store, now=NOW + HOUR)) == ["g-1"]


async def test_each_destination_has_its_age(store: Store) -> None:
    """And where it is off, or nothing is asked for, nothing is held back."""
    await enqueue(store, "g-1", endpoint="studio")
    await enqueue(store, "g-2", endpoint="audit")
    await enqueue(store, "g-3", endpoint="https://app.example.com/done")
    wanted = fresh(studio=None, audit=HOUR)
    answer = await take(store, now=NOW + AGE, wanted=wanted)
    assert (sorted(ids(answer)), [stale.generation for stale in answer.stale]) == (["g-1", "g-2"], ["g-3"])
    await enqueue(store, "g-4")
    assert sorted(ids(await take(store, now=NOW + HOUR, wanted=slots()))) == ["g-3", "g-4"]


async def test_no_more_are_held_back_than_there_is_room_for(store: Store) -> None:
    """The others are claimed: nothing waits for room."""
    await enqueue(store, "g-1", "g-2", "g-3")
    answer = await take(store, now=NOW + AGE, wanted=fresh(room=1))
    assert (len(answer.claims), len(answer.stale)) == (2, 1)
    await enqueue(store, "g-4")
    assert "g-4" in ids(await take(store, now=NOW + AGE + MINUTE, wanted=fresh(room=0)))


# ---- what a refresh writes ----------------------------------------------------------------------------------------
async def test_a_refresh_replaces_the_body_and_lets_the_attempt_go(store: Store) -> None:
    """The very bytes of `delivery.refresh`, under the same message, with the same number."""
    (first,) = await failed_once(store, "g-1", due=NOW + MINUTE)
    (stale,) = (await take(store, now=NOW + AGE)).stale
    later = NOW + AGE + SECOND
    assert await store.refresh_bodies([refresh(stale, reread())], now=later) == 1
    (claim,) = (await take(store, now=later)).claims
    assert (claim.message_id, claim.type, claim.number, claim.failures) == (first.message_id, first.type, 2, 1)
    found = SeenGeneration(
        provider=first.provider,
        id=first.generation,
        state=State.COMPLETED,
        provider_state="completed",
        result=Result(url=NEW, urls=(NEW,)),
        failure=None,
        record=b'{"id":"g-1","again":true}',
        record_omitted=False,
        observed_at=None,
        not_before=None,
    )
    assert claim.body == refreshed(first.body, first.content_type, found, refreshed_at=NOW + AGE)
    assert orjson.loads(claim.body)["data"]["result"]["url"] == NEW


async def test_what_was_refreshed_is_old_an_age_later(store: Store) -> None:
    """Not before: the result was read again meanwhile."""
    await failed_once(store, "g-1", due=NOW + MINUTE)
    (stale,) = (await take(store, now=NOW + AGE)).stale
    await store.refresh_bodies([refresh(stale, reread())], now=NOW + AGE)
    (claim,) = (await take(store, now=NOW + AGE)).claims
    due = NOW + 2 * AGE
    await take(store, outcome(claim, Verdict.SERVER_ERROR, due_at=due), now=NOW + AGE)
    assert [stale.number for stale in (await take(store, now=due)).stale] == [3]


async def test_a_refresh_without_a_reread_lets_the_stored_body_go(store: Store) -> None:
    """At once: whoever could not see anything need not wait."""
    (first,) = await failed_once(store, "g-1", due=NOW + MINUTE)
    (stale,) = (await take(store, now=NOW + AGE)).stale
    assert await store.refresh_bodies([refresh(stale, None)], now=NOW + AGE) == 0
    (claim,) = (await take(store, now=NOW + AGE)).claims
    assert claim.body == first.body


async def test_a_refresh_comes_too_late_for_an_attempt_that_was_made(store: Store) -> None:
    """Neither its body nor the time of the next attempt is touched."""
    (first,) = await failed_once(store, "g-1", due=NOW + MINUTE)
    (stale,) = (await take(store, now=NOW + AGE)).stale
    later = NOW + AGE + REFRESH_WAIT
    (claim,) = (await take(store, now=later)).claims
    assert await store.refresh_bodies([refresh(stale, reread())], now=later) == 0
    await take(store, outcome(claim, Verdict.SERVER_ERROR, due_at=later + AGE / 2), now=later)
    assert await store.refresh_bodies([refresh(stale, reread())], now=later) == 0
    answer = await take(store, now=later)
    assert (answer.claims, answer.next_due) == ([], later + AGE / 2)
    (third,) = (await take(store, now=later + AGE / 2)).claims
    assert third.body == first.body


async def test_what_was_parked_meanwhile_is_left_alone(store: Store) -> None:
    """Its endpoint is gone; it goes on with the body that is stored."""
    (first,) = await failed_once(store, "g-1", due=NOW + MINUTE)
    (stale,) = (await take(store, now=NOW + AGE)).stale
    await apply(store, NOBODY, now=NOW + AGE)
    assert await store.refresh_bodies([refresh(stale, reread())], now=NOW + AGE) == 0
    (line,) = await deliveries(store)
    assert line.status is DeliveryStatus.PARKED
    await apply(store, DIRECTORY, now=NOW + AGE)
    (claim,) = (await take(store, now=NOW + AGE)).claims
    assert claim.body == first.body


async def test_nothing_is_lost_by_a_stop_while_something_is_held_back(opening: Opening) -> None:
    """It is due when its hold ends, for whoever is there then, and is not held back again."""
    async with opening() as store:
        (first,) = await failed_once(store, "g-1", due=NOW + MINUTE)
        assert len((await take(store, now=NOW + AGE)).stale) == 1
    async with opening() as store:
        answer = await store.exchange(OTHER, [], fresh(), now=NOW + AGE + REFRESH_WAIT)
        assert (messages(answer), answer.stale) == ([first.message_id], [])


async def test_a_refresh_of_many_is_one_for_each(store: Store) -> None:
    """Two messages about one generation have a body each, and what nobody knows is skipped."""
    await enqueue(store, "g-1")
    await enqueue(store, "g-2")
    await add(store, request("g-1", endpoint="audit"))
    held = (await take(store, now=NOW + AGE)).stale
    assert len(held) == 3
    found = {"g-1": reread("g-1"), "g-2": None}
    refreshes = [refresh(stale, found[stale.generation]) for stale in held]
    unknown = Refresh(message_id=held[0].message_id, number=7, reread=reread())
    assert await store.refresh_bodies([*refreshes, unknown], now=NOW + AGE) == 2
    claims = (await take(store, now=NOW + AGE)).claims
    urls = sorted((claim.generation, orjson.loads(claim.body)["data"]["result"]["url"]) for claim in claims)
    assert urls == [("g-1", NEW), ("g-1", NEW), ("g-2", "https://cdn.example.com/v.mp4")]
