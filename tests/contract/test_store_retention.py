"""What is forgotten, what never is, and that others get their turn meanwhile."""

import uuid
from collections.abc import Container
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import Destination, GenerationId, WatchId
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Kind, Outcome, State, Verdict, WatchStatus
from notifier.store.ports import Store
from notifier.store.records import Pruned, Selection
from tests.support.blank_store import lay
from tests.support.store_builders import (
    DIRECTORY,
    HOUR,
    ME,
    NOBODY,
    NOW,
    OpeningCopy,
    add,
    again_at,
    apply,
    deliveries,
    ending,
    enqueue,
    history,
    id_of,
    outcome,
    request,
    seen,
    slots,
    still_open,
    take,
)

DAY = 24 * HOUR
LATER = NOW + 60 * DAY
FILTERS = EndpointDirectory(events={"studio": frozenset({"watch.expired"}), "audit": None}, callbacks=True)


async def prune(
    store: Store, before: datetime = LATER, *, declared: Container[WatchId] | None = (), most: int = 100_000
) -> Pruned:
    return await store.prune(before=before, declared=declared, most=most)


async def deliver(store: Store, *, now: datetime = NOW) -> None:
    """Everything that is due."""
    while claims := (await take(store, now=now)).claims:
        assert (await store.exchange(ME, [outcome(claim) for claim in claims], slots(0), now=now)).lost == []


async def is_empty(store: Store) -> bool:
    counts = await store.counts()
    return not counts.watches and not counts.deliveries and not await store.generations(open_only=False, limit=9)


# ---- what goes ----------------------------------------------------------------------------------------------------
async def test_what_was_delivered_long_ago_goes_whole(store: Store) -> None:
    """Delivery, watch, history and generation; and what is left is sound."""
    await enqueue(store, "g-1", "g-2")
    await deliver(store)
    assert await prune(store) == Pruned(deliveries=2, watches=2, generations=2)
    assert await is_empty(store)
    assert await store.histories(GenerationId("g-1")) == []
    assert await store.problems(deep=True) == []


async def test_nothing_to_forget_is_nothing_done(store: Store) -> None:
    """An empty store, and one in which all is recent."""
    assert await prune(store) == Pruned()
    await enqueue(store, "g-1")
    await deliver(store)
    assert await prune(store, NOW) == Pruned()
    assert len(await deliveries(store)) == 1


async def test_what_was_given_up_and_what_was_filtered_go_too(store: Store) -> None:
    """Both are finished: nobody waits for them."""
    await enqueue(store, "g-1")
    await apply(store, FILTERS)
    await enqueue(store, "g-2")
    (claim,) = (await take(store)).claims
    given_up = outcome(claim, Verdict.GONE, status=DeliveryStatus.EXHAUSTED, due_at=None)
    await store.exchange(ME, [given_up], slots(0), now=NOW)
    assert (await store.counts()).deliveries == {DeliveryStatus.EXHAUSTED: 1, DeliveryStatus.FILTERED: 1}
    assert await prune(store) == Pruned(deliveries=2, watches=2, generations=2)


@pytest.mark.parametrize("kind", [Kind.EXPIRED, Kind.UNKNOWN])
async def test_watches_that_ended_without_their_target_go_too(store: Store, kind: Kind) -> None:
    """Once their message was delivered."""
    await add(store, request())
    await store.end_watches([ending("g-1", kind, at=NOW + HOUR)], now=NOW + HOUR)
    await deliver(store, now=NOW + HOUR)
    assert await prune(store) == Pruned(deliveries=1, watches=1, generations=1)


async def test_the_time_counts_from_the_last_attempt(store: Store) -> None:
    """What was made long ago and arrived today is not old."""
    await enqueue(store, "g-1")
    await deliver(store, now=NOW + 40 * DAY)
    assert await prune(store, NOW + 39 * DAY) == Pruned()
    assert len(await deliveries(store)) == 1
    assert (await prune(store, NOW + 41 * DAY)).deliveries == 1


# ---- what stays ---------------------------------------------------------------------------------------------------
async def test_an_open_watch_stays_however_old(store: Store) -> None:
    """It is a promise, and so is its generation."""
    await add(store, request("g-1"), request("g-1", target=State.RUNNING), request("g-2"))
    await store.record_transitions([seen("g-1", State.RUNNING)], now=NOW)
    await deliver(store)
    assert await prune(store) == Pruned(deliveries=1)
    assert await still_open(store) == {"g-1", "g-2"}
    (again,) = await add(store, request("g-1", target=State.RUNNING), now=LATER)
    assert again.outcome is Outcome.FINISHED, "a sibling's memory stays while the generation is watched"


async def test_what_is_owed_stays_however_old(store: Store) -> None:
    """Pending, under a lease or parked: it may be sent still, with the bytes it was made with."""
    await enqueue(store, "pending", endpoint="slow")
    await enqueue(store, "leased")
    await enqueue(store, "parked", endpoint="gone")
    (claim,) = (await take(store, slow=0)).claims
    assert await prune(store) == Pruned()
    assert (await store.exchange(ME, [outcome(claim)], slots(0), now=NOW)).lost == []
    returned = EndpointDirectory(events={**DIRECTORY.events, "gone": None}, callbacks=True)
    assert await apply(store, returned, now=LATER) == (0, 1)
    sent = (await take(store, now=LATER)).claims
    assert sorted(claim.generation for claim in sent) == ["parked", "pending"]
    assert all(b'"generation.completed"' in claim.body for claim in sent)


async def test_a_finished_delivery_goes_although_its_sibling_is_parked(store: Store) -> None:
    """The sibling keeps its own watch and the generation."""
    await apply(store, EndpointDirectory(events={"audit": None}, callbacks=False))
    await enqueue(store, "g-1")
    await add(store, request("g-1", endpoint="audit"))
    await deliver(store)
    assert await prune(store) == Pruned(deliveries=1, watches=1)
    (line,) = await deliveries(store)
    assert line.status is DeliveryStatus.PARKED


async def test_a_declared_watch_is_remembered(store: Store) -> None:
    """Its body and attempts go; a restart weeks later reads the same declaration and posts nothing."""
    await enqueue(store, "g-1", "g-2")
    await deliver(store)
    declared = {WatchId(id_of(request("g-1")))}
    assert await prune(store, declared=declared) == Pruned(deliveries=2, watches=1, generations=1)
    assert await prune(store, declared=declared) == Pruned()
    (again,) = await store.add_watches([request("g-1")], now=LATER, keep_first=True)
    assert (again.outcome, again.enqueued) == (Outcome.FINISHED, False)
    assert (await history(store)).state is State.COMPLETED
    assert await store.problems(deep=True) == []


async def test_without_knowledge_of_declarations_every_watch_stays(store: Store) -> None:
    """A watch file that cannot be read now may declare any of them; deliveries go nevertheless."""
    await enqueue(store, "g-1")
    await deliver(store)
    assert await prune(store, declared=None) == Pruned(deliveries=1)
    assert (await store.counts()).watches == {WatchStatus.SATISFIED: 1}
    assert await prune(store) == Pruned(watches=1, generations=1)


async def test_a_forgotten_watch_is_a_new_one(store: Store) -> None:
    """Registered again it posts again, under the webhook-id it had: a receiver that remembers IDs can tell."""
    await enqueue(store, "g-1")
    (before,) = (await take(store)).claims
    await store.exchange(ME, [outcome(before)], slots(0), now=NOW)
    await prune(store)
    await enqueue(store, "g-1", now=LATER)
    (after,) = (await take(store, now=LATER)).claims
    assert after.message_id == before.message_id


@pytest.mark.parametrize("reopened", [1, 3])
@pytest.mark.parametrize("last", [Kind.RESULT, Kind.EXPIRED])
async def test_a_forgotten_watch_that_was_reopened_keeps_its_webhook_id(
    store: Store, reopened: int, last: Kind
) -> None:
    """However often it was reopened, and forgotten; whatever its last message was, it would have the same ID now."""
    for _ in range(reopened):
        await add(store, request())
        await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + DAY)], now=NOW + DAY)
    await add(store, request())
    await _end_as(store, last, NOW + DAY)
    for times in (1, 2):
        (*_, before) = await deliveries(store)
        await deliver(store, now=NOW + times * DAY)
        await prune(store, NOW + times * DAY + HOUR)
        assert await is_empty(store)
        (answer,) = await add(store, request(), now=NOW + times * DAY)
        assert answer.outcome is Outcome.CREATED
        await _end_as(store, last, NOW + (times + 1) * DAY)
        (after,) = await deliveries(store)
        assert after.message_id == before.message_id


async def _end_as(store: Store, kind: Kind, now: datetime) -> None:
    if kind is Kind.RESULT:
        await store.record_transitions([seen(at=now)], now=now)
    else:
        await store.end_watches([ending("g-1", kind, at=now)], now=now)


async def test_a_forgotten_watch_that_is_reopened_again_has_a_new_webhook_id(store: Store) -> None:
    """Its rounds go on where they were: no message ever has the ID of another round's."""
    made = set()
    for day in range(4):
        now = NOW + day * DAY
        await add(store, request(), now=now)
        await store.end_watches([ending("g-1", Kind.EXPIRED, at=now + HOUR)], now=now + HOUR)
        if day == 1:
            made |= {line.message_id for line in await deliveries(store)}
            await deliver(store, now=now + HOUR)
            await prune(store, now + 2 * HOUR)
    made |= {line.message_id for line in await deliveries(store)}
    assert len(made) == 3  # of four: the first round after it was forgotten is the last one before


async def test_what_is_kept_of_a_forgotten_watch_goes_after_a_year(store: Store) -> None:
    """Then it is as new, from its first round on."""
    for _ in range(2):
        await add(store, request())
        await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + HOUR)], now=NOW + HOUR)
    first, _ = await deliveries(store)
    await deliver(store, now=NOW + HOUR)
    await prune(store, NOW + DAY)
    await prune(store, NOW + 367 * DAY)
    await add(store, request(), now=NOW + 367 * DAY)
    await store.end_watches([ending("g-1", Kind.EXPIRED, at=NOW + 368 * DAY)], now=NOW + 368 * DAY)
    (line,) = await deliveries(store)
    assert line.message_id == first.message_id


# ---- how it goes --------------------------------------------------------------------------------------------------
async def test_a_pass_goes_on_where_it_stopped(store: Store) -> None:
    """Each call looks at no more than it may, says that there is more, and in the end all is gone."""
    names = [f"g-{number}" for number in range(1_100)]
    await enqueue(store, *names)
    await deliver(store)
    done, calls, more = Pruned(), 0, True
    while more:
        some = await prune(store, most=300)
        assert some.deliveries + some.watches <= 600
        done, calls, more = done + some, calls + 1, some.more
    assert calls > 3
    assert (done.deliveries, done.watches, done.generations) == (1_100, 1_100, 1_100)
    assert await is_empty(store)


async def test_a_pass_gets_past_what_must_stay(store: Store) -> None:
    """Old watches that are declared, all of one moment, do not hide younger ones behind them."""
    kept = [f"kept-{number}" for number in range(700)]
    await enqueue(store, *kept)
    await enqueue(store, "g-1", now=NOW + HOUR)
    await deliver(store, now=NOW + HOUR)
    declared = {WatchId(id_of(request(name))) for name in kept}
    done = await prune(store, declared=declared)
    while done.more:
        done += await prune(store, declared=declared, most=300)
    assert (done.deliveries, done.watches) == (701, 1)
    assert (await store.counts()).watches == {WatchStatus.SATISFIED: 700}


async def test_others_write_while_much_is_forgotten(store: Store) -> None:
    """Whoever writes meanwhile waits for a small step at most, never for the whole."""
    await enqueue(store, *(f"g-{number}" for number in range(3_000)))
    await deliver(store)
    written = 0

    async def write() -> None:
        nonlocal written
        while True:
            await store.probe(now=NOW)
            written += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        assert (await prune(store)).deliveries == 3_000
        tasks.cancel_scope.cancel()
    assert written >= 10


async def test_the_size_is_told_and_space_given_back(store: Store) -> None:
    """What was freed shows as free; a little of it is kept, so a small store gives nothing back."""
    await enqueue(store, *(f"g-{number}" for number in range(200)))
    await deliver(store)
    await prune(store)
    size = await store.size()
    assert size.free_pages > 0
    assert size.page > 0
    assert size.file + size.log >= size.free_pages * size.page // 2
    assert await store.give_back(most=1_000) == 0


# ---- whatever happens ---------------------------------------------------------------------------------------------
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["declare", "register", "see", "expire", "attempt", "retry", "give up", "interrupt", "park", "resume"]
        ),
        st.sampled_from(["g-1", "g-2", "g-3"]),
        st.sampled_from(["studio", "audit"]),
        st.sampled_from([State.RUNNING, State.COMPLETED]),
        st.booleans(),
    ),
    max_size=25,
)


class _World:
    """Does what a daemon's days bring, a step a day, and prunes what is older than three days after each."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW
        self.declared: set[WatchId] = set()
        self.configured = True

    async def live(self, what: str, generation: str, endpoint: str, state: State, *, filtered: bool) -> None:
        self.configured = what == "resume" or (self.configured and what != "park")
        await apply(self.store, NOBODY if not self.configured else FILTERS if filtered else DIRECTORY, now=self.now)
        wanted = request(generation, endpoint=endpoint, target=state)
        match what:
            case "declare" | "register":
                keep = what == "declare"
                await self.store.add_watches([wanted], now=self.now, keep_first=keep)
                if keep:
                    self.declared.add(WatchId(id_of(wanted)))
            case "see":
                await self.store.record_transitions([seen(generation, state, at=self.now)], now=self.now)
            case "expire":
                await self.store.end_watches([ending(generation, Kind.EXPIRED, at=self.now)], now=self.now)
            case "interrupt":
                await take(self.store, now=self.now)
                await self.store.release(ME, again_at(self.now), now=self.now)
            case "park" | "resume":
                pass
            case _:
                await self._attempt(what)

    async def _attempt(self, what: str) -> None:
        ends: dict[str, dict[str, Any]] = {
            "attempt": {},
            "retry": {"verdict": Verdict.RESET},
            "give up": {"verdict": Verdict.GONE, "status": DeliveryStatus.EXHAUSTED, "due_at": None},
        }
        claims = (await take(self.store, now=self.now)).claims
        results = [outcome(claim, **ends[what]) for claim in claims]
        await self.store.exchange(ME, results, slots(0), now=self.now)

    async def standing(self) -> tuple[object, ...]:
        """What must outlive any pruning: open watches, unfinished messages, declared identities."""
        lines = [
            (watch, line)
            for name in ("g-1", "g-2", "g-3")
            for found in await self.store.histories(GenerationId(name))
            for watch in found.watches
            for line in [*watch.deliveries, None]
        ]
        unfinished = (DeliveryStatus.PENDING, DeliveryStatus.PARKED)
        return (
            {watch.id for watch, _ in lines if watch.status is WatchStatus.OPEN},
            {
                (line.message_id, line.status, len(line.attempts))
                for _, line in lines
                if line and line.status in unfinished
            },
            {watch.id for watch, _ in lines} & self.declared,
        )

    async def prune(self) -> None:
        before = await self.standing()
        await prune(self.store, self.now - 3 * DAY, declared=self.declared)
        assert await self.standing() == before

    async def end(self) -> None:
        """Every promise is kept, and a month passes."""
        for generation in ("g-1", "g-2", "g-3"):
            await self.store.record_transitions([seen(generation, at=self.now)], now=self.now)
        await apply(self.store, DIRECTORY, now=self.now)
        await self._recover()
        await deliver(self.store, now=self.now + DAY)
        assert not await still_open(self.store)

    async def _recover(self) -> None:
        """A 410 disables an endpoint: what is parked for it waits for a person."""
        for destination in (Destination("studio"), Destination("audit")):
            await self.store.enable_endpoint(destination, now=self.now)
            kept = Selection(destination=destination, statuses=frozenset({DeliveryStatus.PARKED}))
            await self.store.redeliver_some(kept, mark=None, most=10_000, now=self.now)


@given(steps=STEPS)
@hypothesis.settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
def test_no_promise_is_ever_forgotten_and_all_else_is(
    steps: list[tuple[str, str, str, State, bool]], opening_copy: OpeningCopy, memory: Path
) -> None:
    """Open watches, unfinished deliveries and declared identities stay; in the end everything else is gone."""

    async def live() -> None:
        async with opening_copy(lay(memory / f"{uuid.uuid4()}.db")) as store:
            world = _World(store)
            for what, generation, endpoint, state, filtered in steps:
                await world.live(what, generation, endpoint, state, filtered=filtered)
                world.now += DAY
                await world.prune()
            await world.end()
            await prune(store, world.now + 30 * DAY, declared=world.declared)
            left = await store.counts()
            assert (sum(left.watches.values()), left.deliveries) == (len(world.declared), {})
            await prune(store, world.now + 30 * DAY)
            assert await is_empty(store)
            assert await store.problems(deep=False) == []

    anyio.run(live)
