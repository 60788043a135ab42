"""How watches end without their target: deadlines, IDs nobody knows, providers nobody can ask."""

import json
from dataclasses import replace
from datetime import timedelta

from notifier.domain.model import DeliveryStatus, Kind, State, WatchStatus
from notifier.store.ports import Store
from tests.support.store_builders import (
    HOUR,
    NOW,
    SECOND,
    add,
    deliveries,
    ending,
    history,
    request,
    seen,
    still_open,
    take,
)

DAY = timedelta(days=1)


async def test_a_look_at_the_deadline_expires_the_watch(store: Store) -> None:
    """At or before `observed_at` is over; a later deadline stays open and is the generation's new one."""
    await add(store, request(), request(endpoint="audit", timeout=HOUR + SECOND))
    late = NOW + HOUR
    (recorded,) = await store.end_watches([ending("g-1", Kind.EXPIRED, at=late)], now=late)
    assert recorded.enqueued == 1
    assert recorded.open is not None
    assert recorded.open.deadline == late + SECOND
    first, second = (await history(store)).watches
    assert (first.status, first.ended_at, second.status) == (WatchStatus.EXPIRED, late, WatchStatus.OPEN)


async def test_a_look_before_the_deadline_ends_nothing(store: Store) -> None:
    """The look's own time decides, not when it is written down."""
    await add(store, request())
    before = NOW + HOUR - timedelta(microseconds=1)
    (recorded,) = await store.end_watches([ending("g-1", Kind.EXPIRED, at=before)], now=NOW + 9 * HOUR)
    assert recorded.enqueued == 0
    assert await still_open(store) == {"g-1"}


async def test_an_expired_message_carries_the_last_state_seen(store: Store) -> None:
    """Type `watch.expired`, the deadline, the reason and the state."""
    await add(store, request())
    await store.record_transitions([seen(state=State.RUNNING)], now=NOW)
    late = NOW + HOUR
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=late)], now=late)
    (claim,) = (await take(store, now=late)).claims
    content = json.loads(claim.body)
    assert (content["type"], content["data"]["state"], content["data"]["reason"]) == (
        "watch.expired",
        "running",
        "deadline",
    )


async def test_an_unknown_id_ends_all_its_watches(store: Store) -> None:
    """Whatever their deadlines; each gets a `generation.unknown`."""
    await add(store, request(), request(endpoint="audit", timeout=9 * HOUR))
    (recorded,) = await store.end_watches([ending("g-1", Kind.UNKNOWN)], now=NOW)
    assert (recorded.enqueued, recorded.open) == (2, None)
    assert {line.type for line in await deliveries(store)} == {"generation.unknown"}
    assert {watch.status for watch in (await history(store)).watches} == {WatchStatus.UNKNOWN}


async def test_an_id_once_seen_may_be_unknown_later(store: Store) -> None:
    """The message carries the last state that was seen."""
    await add(store, request())
    await store.record_transitions([seen(state=State.QUEUED)], now=NOW)
    (recorded,) = await store.end_watches([ending("g-1", Kind.UNKNOWN)], now=NOW)
    assert (recorded.enqueued, recorded.open) == (1, None)
    (claim,) = (await take(store, now=NOW)).claims
    content = json.loads(claim.body)
    assert (content["type"], content["data"]["state"]) == ("generation.unknown", "queued")


async def test_an_expired_message_says_that_requests_about_the_id_failed(store: Store) -> None:
    """Whoever ends a watch may give a reason other than the deadline."""
    await add(store, request())
    late = NOW + HOUR
    failing = replace(ending("g-1", Kind.EXPIRED, at=late), reason="provider_error")
    await store.end_watches([failing], now=late)
    (claim,) = (await take(store, now=late)).claims
    assert json.loads(claim.body)["data"]["reason"] == "provider_error"


async def test_a_watch_ends_once(store: Store) -> None:
    """The same ending again, or another kind after it, enqueues nothing more."""
    await add(store, request())
    late = NOW + HOUR
    again = [ending("g-1", kind, at=late) for kind in (Kind.EXPIRED, Kind.EXPIRED, Kind.UNKNOWN)]
    answers = await store.end_watches(again, now=late)
    assert [answer.enqueued for answer in answers] == [1, 0, 0]
    (recorded,) = await store.record_transitions([seen(at=late)], now=late)
    assert recorded.enqueued == 0
    assert len(await deliveries(store)) == 1


async def test_an_ended_watch_is_parked_or_filtered_like_any_other(store: Store) -> None:
    """The configuration decides about every kind of message."""
    await add(store, request(endpoint="gone"))
    await store.end_watches([ending("g-1", Kind.UNKNOWN)], now=NOW)
    (line,) = await deliveries(store)
    assert line.status is DeliveryStatus.PARKED


async def test_a_watch_expires_unlooked_at_a_day_after_its_deadline(store: Store) -> None:
    """Not a moment before; the message says `provider_unreachable`."""
    await add(store, request("g-1"), request("g-2", timeout=2 * HOUR))
    over = NOW + HOUR + DAY
    assert await store.expire_unreachable(now=over - SECOND) == 0
    assert await store.expire_unreachable(now=over + SECOND) == 1
    assert await store.expire_unreachable(now=over + SECOND) == 0
    assert await still_open(store) == {"g-2"}
    (claim,) = (await take(store, now=over + SECOND)).claims
    assert json.loads(claim.body)["data"]["reason"] == "provider_unreachable"


async def test_many_unreachable_watches_all_expire(store: Store) -> None:
    """More than one small transaction's worth, several watches to a generation among them."""
    await add(store, *(request(f"g-{number}") for number in range(450)))
    await add(store, *(request(f"g-{number}", endpoint="audit") for number in range(100)))
    assert await store.expire_unreachable(now=NOW + 2 * DAY) == 550
    assert await still_open(store) == set()
    assert (await store.counts()).watches == {WatchStatus.EXPIRED: 550}
