"""The endpoint directory that was applied last decides, whoever writes and whoever starts."""

from dataclasses import replace

from notifier.domain.ids import Destination
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Format
from notifier.store.ports import Store
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    ME,
    NOBODY,
    NOW,
    Opening,
    again_at,
    apply,
    deliveries,
    enqueue,
    ids,
    take,
)

RICH = EndpointDirectory(
    events={"studio": frozenset({"generation.completed", "watch.expired"}), "audit": None},
    callbacks=True,
    first_wait={"audit": HOUR},
    formats={"studio": Format.CLOUDEVENTS},
    callback_format=Format.CLOUDEVENTS,
)


async def test_another_content_begins_another_epoch(store: Store) -> None:
    """The same one again does not; `disabled` is no part of it, since the store knows that itself."""
    first = (await store.apply_directory(DIRECTORY, now=NOW)).epoch
    same = replace(DIRECTORY, events=dict(DIRECTORY.events), disabled={Destination("studio"): "it said so"})
    assert (await store.apply_directory(same, now=NOW + HOUR)).epoch == first
    assert [(await store.apply_directory(each, now=NOW)).epoch for each in (RICH, DIRECTORY)] == [first + 1, first + 2]


async def test_it_survives_a_restart_whole(opening: Opening) -> None:
    """Before anybody applies it again, messages are made by it: events, format and first wait."""
    async with opening() as store:
        epoch = (await store.apply_directory(RICH, now=NOW)).epoch
    async with opening() as store:
        await enqueue(store, "g-1")
        await enqueue(store, "g-2", endpoint="audit")
        await enqueue(store, "g-3", endpoint="slow")
        answer = await take(store)
        assert ids(answer) == ["g-1"]
        assert "cloudevents" in answer.claims[0].content_type
        assert answer.next_due == NOW + HOUR
        assert (await deliveries(store, "g-3"))[0].reason == "endpoint slow is not in the configuration"
        assert (await store.apply_directory(RICH, now=NOW)).epoch == epoch


async def test_what_cannot_be_parked_while_it_is_sent_is_parked_when_it_is_applied_again(store: Store) -> None:
    """An unchanged directory settles what was under a lease when it was applied first."""
    await enqueue(store, "g-1")
    await take(store)
    assert await apply(store, NOBODY) == (0, 0)
    await store.release(ME, again_at(NOW), now=NOW)
    assert await apply(store, NOBODY) == (1, 0)
    assert (await deliveries(store))[0].status is DeliveryStatus.PARKED
