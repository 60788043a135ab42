"""One bad ID among good ones, and a bad provider: which of the two it is, and what each costs the others."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.domain.model import WatchStatus
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import START, Asked, Watching, error, heard, record, request, some, watching

MINUTE = 60.0
Failure = Callable[[], httpx.Response | Exception]


def broken(*bad: str, by: Failure) -> Callable[[Asked], httpx.Response | None]:
    """Every request that holds a bad ID fails so, whatever else is in it."""

    def judge(asked: Asked) -> httpx.Response | None:
        if set(bad).isdisjoint(asked.ids):
            return None
        answer = by()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return judge


FAILURES: dict[str, Failure] = {
    "500": lambda: error(500, "boom"),
    "502": lambda: httpx.Response(502, text="<html>bad gateway</html>"),
    "503": lambda: error(503, "no backend"),
    "403": lambda: error(403, "not yours"),
    "410": lambda: error(410, "gone"),
    "302": lambda: httpx.Response(302, headers={"location": "https://cdn.example.com/x"}),
    "no JSON": lambda: httpx.Response(200, text="<html>"),
    "empty": lambda: httpx.Response(200),
    "cut": lambda: httpx.ReadError("connection lost"),
    "no answer": lambda: httpx.ReadTimeout("too late"),
}
each_failure = pytest.mark.parametrize("by", FAILURES.values(), ids=FAILURES)


async def told(stage: Watching) -> dict[WatchStatus, int]:
    return dict((await stage.store.counts()).watches)


async def register(stage: Watching, ids: Iterable[str], **more: Any) -> None:
    await stage.watch(*[request(id_, **more) for id_ in ids])


# ---- one bad ID ---------------------------------------------------------------------------------------------------
@each_failure
async def test_a_batch_that_fails_for_one_id_costs_the_others_seconds(store: SqliteStore, by: Failure) -> None:
    """59 of 60 are told within the time that a fifth of the rate needs for the halves; the provider is not paused."""
    ids = some(60)
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = broken("g-17", by=by)
        await register(stage, ids)
        await stage.ticks(16, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 59, WatchStatus.OPEN: 1}
        assert not stage.health.troubles


async def test_a_batch_that_hangs_for_one_id_is_not_waited_for(store: SqliteStore) -> None:
    """Its halves are asked beside it after seconds, while others are answered; the bad ID has a wait of its own."""
    ids = some(60)
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.hangs = {"g-17"}
        await register(stage, ids)
        await stage.ticks(10, step=0.5)
        assert (await told(stage))[WatchStatus.SATISFIED] >= 30
        await stage.ticks(25, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 59, WatchStatus.OPEN: 1}
        await stage.ticks(2 * MINUTE, step=1)
        assert not stage.health.troubles
        told_of = (await stage.history("g-17")).trouble
        assert told_of is not None
        assert "no complete answer" in told_of.reason
        stage.upstream.hangs.clear()
        await stage.ticks(3 * MINUTE, step=1)
        assert await told(stage) == {WatchStatus.SATISFIED: 60}


async def test_a_slow_answer_ends_the_questions_about_its_halves(store: SqliteStore) -> None:
    """A batch that is answered in the end, however late, teaches nothing about its IDs or its size."""
    ids = some(60)
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await register(stage, ids)
        await stage.ticks(10, step=0.5)
        stage.upstream.hangs = {"g-17"}
        await stage.ticks(18, step=0.5)
        stage.upstream.hangs.clear()
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(8, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 60}
        assert not stage.health.troubles


async def test_an_api_that_hangs_for_everybody_is_asked_for_two_halves_and_one_id(store: SqliteStore) -> None:
    """Nothing is answered: no part is divided further before it has failed, and the single route is asked once."""
    ids = some(60)
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await register(stage, ids)
        await stage.ticks(10, step=0.5)
        stage.upstream.hangs = set(ids)
        before = len(stage.upstream.asked)
        await stage.ticks(30, step=0.5)
        assert len(stage.upstream.asked) - before <= 1 + 2 + 1
        await stage.ticks(9 * MINUTE, step=1)
        assert len(stage.upstream.asked) - before <= 20
        assert "provider luma" in stage.health.troubles
        stage.upstream.hangs.clear()
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(2 * MINUTE, step=1)
        assert await told(stage) == {WatchStatus.SATISFIED: 60}


@each_failure
async def test_ids_that_fail_one_by_one_slow_nobody(store: SqliteStore, by: Failure) -> None:
    """Four bad IDs of twenty, one ID a request: the good ones are told in seconds, those that come later too."""
    ids = some(20)
    async with watching(store, batch=False, rate=5.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = broken(*ids[:4], by=by)
        await register(stage, ids)
        await stage.ticks(8, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 16, WatchStatus.OPEN: 4}
        for number in range(12):
            late = f"late-{number}"
            stage.upstream.states[late] = "completed"
            await register(stage, [late])
            await stage.ticks(4, step=0.5)
            assert len(await stage.enqueued(late)) == 1
        assert not stage.health.troubles


async def test_a_bad_id_is_asked_less_and_less_and_rejoins_when_it_is_well(store: SqliteStore) -> None:
    """Its own waits double to five minutes; once it is answered it is polled as the others are."""
    ids = some(10)
    async with watching(store, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.judge = broken("g-3", by=FAILURES["500"])
        await register(stage, ids)
        await stage.ticks(6 * MINUTE, step=1)
        await stage.ticks(20 * MINUTE, step=5)
        alone = [asked.at for asked in stage.upstream.asked if asked.ids == ("g-3",)]
        gaps = [round(later - earlier) for earlier, later in pairwise(alone)]
        assert gaps[:6] == [5, 10, 20, 40, 80, 160]
        assert all(300 <= gap <= 305 for gap in gaps[6:])
        assert len(gaps) > 8
        stage.upstream.judge = lambda _: None
        await stage.ticks(6 * MINUTE, step=2)
        before = len(stage.upstream.asked)
        stage.upstream.states["g-3"] = "completed"
        await stage.ticks(21, step=1)
        assert len(await stage.enqueued("g-3")) == 1
        assert all(asked.multi for asked in stage.upstream.asked[before:])


async def test_many_bad_ids_before_the_first_good_one_do_not_hide_it(store: SqliteStore) -> None:
    """Seven of ten are bad, and asked about first: short pauses, then the good ones are found and told."""
    ids = some(10)
    async with watching(store, batch=False, rate=5.0, in_flight=9) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = broken(*ids[:7], by=FAILURES["410"])
        await register(stage, ids)
        await stage.ticks(20, step=0.5)
        assert (await told(stage))[WatchStatus.SATISFIED] == 3
        assert not stage.health.troubles


async def test_ten_bad_ids_of_sixty_do_not_hide_the_good_ones(store: SqliteStore) -> None:
    """Every half holds a bad one. Each time that looks like the provider, and only the first times it is waited for."""
    ids = some(60)
    async with watching(store, rate=10.0, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        bad = ids[::6]
        stage.upstream.judge = broken(*bad, by=FAILURES["500"])
        await register(stage, ids)
        await stage.ticks(25)
        assert await told(stage) == {WatchStatus.SATISFIED: 50, WatchStatus.OPEN: 10}
        assert not stage.health.troubles


async def test_a_probe_that_hangs_does_not_keep_others_from_being_asked_about(store: SqliteStore) -> None:
    """The provider seems to be down, and the one ID that is asked about hangs: others are asked about beside it."""
    ids = some(40)
    async with watching(store, batch=False, rate=10.0, in_flight=9, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = broken(*ids[:9], by=FAILURES["500"])
        stage.upstream.hangs = {"g-10"}
        await register(stage, ids)
        await stage.ticks(20)
        assert (await told(stage))[WatchStatus.SATISFIED] == 30


@pytest.mark.parametrize("batch", [True, False])
async def test_one_id_that_asks_to_wait_makes_nobody_wait_twice(store: SqliteStore, *, batch: bool) -> None:
    """503 with `Retry-After` is obeyed once; when others are answered then, it is the word of a backend of that ID."""
    ids = some(60)
    async with watching(store, batch=batch, rate=20.0, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        bad = broken("g-1", by=lambda: error(503, "later", **{"retry-after": "20"}))
        stage.upstream.judge = bad
        await register(stage, ids, timeout=timedelta(seconds=90))
        await stage.ticks(19, step=0.5)
        before = len(stage.upstream.asked)
        assert before == 1 or not batch
        await stage.ticks(30, step=0.5)
        assert (await told(stage))[WatchStatus.SATISFIED] == 59
        await stage.ticks(2 * MINUTE, step=1)
        assert [line.type for line in await stage.enqueued("g-1")] == ["watch.expired"]


async def test_one_bad_id_in_each_of_two_batches(store: SqliteStore) -> None:
    """Both batches fail at the same moment, which looks like an outage: one question about one ID shows otherwise."""
    ids = some(40)
    async with watching(store, max_ids=20, rate=10.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = broken("g-1", "g-21", by=FAILURES["500"])
        await register(stage, ids)
        await stage.ticks(25, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 38, WatchStatus.OPEN: 2}
        assert not stage.health.troubles


async def test_a_bad_id_of_a_long_poll_is_isolated_too(store: SqliteStore) -> None:
    """Requests that wait fail for it at once, and no other is let go for that."""
    async with watching(store, long_poll="single", rate=5.0) as stage:
        stage.upstream.long_polls = "any"
        stage.upstream.states |= dict.fromkeys(some(3), "dreaming")
        stage.upstream.judge = broken("g-2", by=FAILURES["500"])
        await stage.tick()
        await register(stage, some(3))
        await stage.ticks(60, step=0.5)
        assert sum("g-2" in asked.ids for asked in stage.upstream.asked) < 15
        stage.upstream.move("g-1", "completed")
        await stage.ticks(4, step=0.5)
        assert len(await stage.enqueued("g-1")) == 1
        assert not stage.health.troubles


# ---- its deadline -------------------------------------------------------------------------------------------------
@each_failure
async def test_a_bad_id_expires_at_its_deadline(store: SqliteStore, by: Failure) -> None:
    """The provider answers about others and never about it: whoever waits hears so, with the reason."""
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(some(3), "queued")
        stage.upstream.judge = broken("g-2", by=by)
        await register(stage, some(3), timeout=timedelta(minutes=2))
        await stage.watch(request("g-2", endpoint="audit"))
        await stage.ticks(119, step=1)
        assert await stage.enqueued("g-2") == []
        await stage.ticks(5, step=1)
        (line,) = await stage.enqueued("g-2")
        assert line.type == "watch.expired"
        assert timedelta(minutes=2) <= line.created_at - START <= timedelta(minutes=2, seconds=3)
        assert await reason(store) == "provider_error"
        assert [watch.status for watch in await stage.watches("g-2")] == [WatchStatus.EXPIRED, WatchStatus.OPEN]


async def reason(store: SqliteStore) -> str:
    bodies = await store.writer.run(lambda conn: conn.execute("SELECT body FROM bodies").fetchall())
    (said,) = {data["reason"] for (body,) in bodies if (data := orjson.loads(body)["data"])["generation_id"] == "g-2"}
    return str(said)


async def test_a_bad_id_expires_when_the_others_are_long_done(store: SqliteStore) -> None:
    """They were answered since its first failure: that it is left alone is no reason to doubt the provider."""
    async with watching(store, rate=5.0) as stage:
        stage.upstream.states |= dict.fromkeys(some(5), "completed")
        stage.upstream.judge = broken("g-2", by=FAILURES["500"])
        await register(stage, some(5), timeout=timedelta(minutes=30))
        await stage.ticks(30 * MINUTE + 2, step=2)
        assert [line.type for line in await stage.enqueued("g-2")] == ["watch.expired"]
        assert not stage.health.troubles


async def test_one_failure_at_the_deadline_is_no_reason_to_expire(store: SqliteStore) -> None:
    """It was well until then, and the next poll may show it completed."""
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(some(2), "queued")
        await register(stage, ["g-1"])
        await register(stage, ["g-2"], timeout=timedelta(seconds=30))
        await stage.ticks(28, step=1)
        stage.upstream.judge = broken("g-2", by=FAILURES["500"])
        stage.upstream.states["g-2"] = "completed"
        await stage.ticks(5, step=1)
        assert await stage.enqueued("g-2") == []
        stage.upstream.judge = lambda _: None
        await stage.ticks(12, step=1)
        assert [line.type for line in await stage.enqueued("g-2")] == ["generation.completed"]


async def test_a_single_route_that_only_fails_is_done_without(store: SqliteStore) -> None:
    """The batch route answers about IDs that fail alone, so nothing is held, and no ID is taken for a bad one."""
    ids = some(40)
    async with watching(store, rate=10.0, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.judge = lambda asked: None if asked.multi else error(500)
        await register(stage, ids)
        await stage.ticks(30)
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(4)
        assert await told(stage) == {WatchStatus.SATISFIED: 40}
        assert not stage.health.troubles


# ---- a bad provider -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("by", [FAILURES["500"], FAILURES["403"]], ids=["500", "403"])
async def test_an_outage_multiplies_no_requests(store: SqliteStore, by: Failure, *, batch: bool) -> None:
    """Whatever fails for everybody: a few requests more than before the pauses double, and readiness says so."""
    ids = some(200)
    async with watching(store, batch=batch, rate=5.0, in_flight=4, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await register(stage, ids)
        await stage.ticks(20, step=1)
        stage.upstream.judge = broken(*ids, by=by)
        before = len(stage.upstream.asked)
        await stage.ticks(MINUTE, step=1)
        await stage.ticks(9 * MINUTE, step=3)
        assert len(stage.upstream.asked) - before <= 4 + 4 + 6 + 10
        assert "provider luma" in stage.health.troubles
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.judge = lambda _: None
        await stage.ticks(5 * MINUTE + 60, step=2)
        assert await told(stage) == {WatchStatus.SATISFIED: 200}
        assert not stage.health.troubles


async def test_an_outage_leaves_no_id_with_waits_of_its_own(store: SqliteStore) -> None:
    """When it is over everybody is polled as before: what failed meanwhile was not the ID."""
    ids = some(60)
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await register(stage, ids)
        await stage.ticks(20, step=0.5)
        stage.upstream.judge = broken(*ids, by=FAILURES["500"])
        await stage.ticks(15 * MINUTE, step=3)
        stage.upstream.judge = lambda _: None
        await stage.ticks(70, step=0.5)
        before = len(stage.upstream.asked)
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(9, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 60}
        assert all(asked.multi for asked in stage.upstream.asked[before:])


@pytest.mark.parametrize("status", [401, 402, 429])
async def test_what_no_id_can_cause_is_the_providers_at_once(store: SqliteStore, status: int) -> None:
    """A wrong key, no credits, too many requests: no halves are asked for."""
    async with watching(store, rate=5.0) as stage:
        stage.upstream.judge = lambda _: error(status, "no")
        await register(stage, some(60))
        await stage.ticks(0.75)
        assert len(stage.upstream.asked) == 1
        assert str(status) in stage.health.troubles["provider luma"]


async def test_a_provider_that_asks_us_to_wait_is_waited_for(store: SqliteStore) -> None:
    """503 with `Retry-After` is its word about itself, whatever was asked."""
    async with watching(store, rate=5.0) as stage:
        stage.upstream.judge = lambda _: error(503, "maintenance", **{"retry-after": "20"})
        await register(stage, some(60))
        await stage.ticks(19, step=0.5)
        assert len(stage.upstream.asked) == 1


async def test_one_batch_that_fails_by_chance_teaches_nothing(store: SqliteStore) -> None:
    """Its halves are answered: no batch is smaller for it, and no ID stands alone."""
    ids = some(60)
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await register(stage, ids)
        await stage.ticks(10)
        stage.upstream.script.append(error(500))
        await stage.ticks(40, step=0.5)
        later = [f"later-{number}" for number in range(40)]
        stage.upstream.states |= dict.fromkeys(later, "queued")
        before = len(stage.upstream.asked)
        await register(stage, later)
        await stage.ticks(2, step=0.5)
        assert max(len(asked.ids) for asked in stage.upstream.asked[before:]) >= 40
        assert all(asked.multi for asked in stage.upstream.asked[before:])
        assert not stage.health.troubles


async def test_two_ids_that_fail_together_by_chance_are_asked_together_again(store: SqliteStore) -> None:
    """A pair that failed once and whose IDs are held alone does not mean that the batch route is gone."""
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(some(2), "queued")
        stage.upstream.script.append(error(500))
        await register(stage, some(2))
        await stage.ticks(60, step=0.5)
        assert stage.upstream.asked[-1].multi
        assert not stage.health.troubles


async def test_a_multi_route_that_only_fails_is_done_without(store: SqliteStore) -> None:
    """500 to every batch while single requests are answered: IDs are asked one by one, and readiness says why."""
    ids = some(20)
    async with watching(store, rate=10.0, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.judge = lambda asked: error(500, "boom") if asked.multi else None
        await register(stage, ids)
        await stage.ticks(2 * MINUTE, step=1)
        assert any("batch: off" in sentence for sentence in stage.health.troubles.values())
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(30, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 20}


@pytest.mark.parametrize(("places", "seconds"), [(9, 20), (2, 25), (1, 55)])
async def test_a_multi_route_that_hangs_is_done_without(store: SqliteStore, places: int, seconds: int) -> None:
    """No batch is ever answered: two IDs that are there alone and not together prove it, and all are told."""
    ids = some(60)
    async with watching(store, rate=10.0, in_flight=places, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.multi_hangs = True
        await register(stage, ids)
        await stage.ticks(seconds, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 60}
        assert "asked one by one for 10 minutes" in stage.health.troubles["provider luma batch route"]
        assert stage.upstream.under_way == 0


async def test_a_multi_route_that_begins_to_hang_leaves_a_place(store: SqliteStore) -> None:
    """Of many IDs, in many batches: one place is left to find out, and the route is tried again after 10 minutes."""
    ids = some(200)
    async with watching(store, max_ids=10, rate=20.0, in_flight=8, poll_every=timedelta(seconds=5)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        await register(stage, ids)
        await stage.ticks(4)
        stage.upstream.multi_hangs = True
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(35, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 200}
        stage.upstream.multi_hangs = False
        later = some(40, "later")
        stage.upstream.states |= dict.fromkeys(later, "queued")
        await register(stage, later)
        await stage.ticks(10 * MINUTE, step=5)
        assert stage.upstream.asked[-1].multi
        assert not stage.health.troubles


async def test_two_ids_that_hang_do_not_prove_that_the_multi_route_does(store: SqliteStore) -> None:
    """Both halves hang for an ID of theirs: two others are answered together, and nobody is asked one by one."""
    ids = some(60)
    async with watching(store, rate=10.0, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        stage.upstream.hangs = {"g-3", "g-50"}
        await register(stage, ids)
        await stage.ticks(25, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 58, WatchStatus.OPEN: 2}
        assert not stage.health.troubles


async def test_ids_that_hang_alone_leave_places_for_the_others(store: SqliteStore) -> None:
    """A dozen of them take half of the places at most, again and again."""
    bad, good = some(12, "bad"), some(20)
    async with watching(store, batch=False, rate=20.0, in_flight=6, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys([*bad, *good], "queued")
        stage.upstream.hangs = set(bad)
        await register(stage, [*good, *bad])
        await stage.ticks(4 * MINUTE, step=1)
        stage.upstream.states |= dict.fromkeys(good, "completed")
        await stage.ticks(10, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 20, WatchStatus.OPEN: 12}


async def test_a_reply_above_the_limit_is_the_trouble_of_its_id(store: SqliteStore) -> None:
    """One record that is too large: the others are told, and nobody is advised to lower `max_ids`."""
    ids = some(8)
    async with watching(store, rate=5.0) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        huge = httpx.Response(200, json=[record("g-5", "completed", note=["x"] * 300_000)])
        stage.upstream.judge = broken("g-5", by=lambda: httpx.Response(200, content=huge.content))
        await register(stage, ids)
        await stage.ticks(12, step=0.5)
        assert await told(stage) == {WatchStatus.SATISFIED: 7, WatchStatus.OPEN: 1}
        assert not stage.health.troubles


async def test_the_only_id_fails_and_the_next_one_is_asked_at_once(store: SqliteStore) -> None:
    """With one ID nobody can tell whose failure it is; a second one tells, and does not wait for the pause to end."""
    async with watching(store, rate=5.0) as stage:
        stage.upstream.states |= {"g-1": "completed", "g-2": "completed"}
        stage.upstream.judge = broken("g-1", by=FAILURES["410"])
        await register(stage, ["g-1"])
        await stage.ticks(20, step=0.5)
        assert "410" in stage.health.troubles["provider luma"]
        assert "g-1" in stage.health.troubles["provider luma"]
        await register(stage, ["g-2"])
        await stage.ticks(1)
        assert len(await stage.enqueued("g-2")) == 1
        await stage.ticks(30, step=0.5)
        assert not stage.health.troubles


async def test_the_log_names_the_bad_id_and_not_every_time(store: SqliteStore) -> None:
    """Once, and then after twice as many failures each time."""
    async with watching(store, rate=5.0) as stage, heard() as events:
        stage.upstream.states |= dict.fromkeys(some(3), "queued")
        stage.upstream.judge = broken("g-2", by=FAILURES["500"])
        await register(stage, some(3))
        await stage.ticks(15 * MINUTE, step=3)
        lines = [event for event in events if event["event"] == "poll.failed" and "generation" in event]
        assert [(event["generation"], event["times"]) for event in lines] == [
            ("g-2", 1),
            ("g-2", 2),
            ("g-2", 4),
            ("g-2", 8),
        ]
        assert "500: boom" in lines[0]["error"]


# ---- lost connections -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batch", [True, False])
async def test_a_request_that_is_made_again_counts_in_the_budget(store: SqliteStore, *, batch: bool) -> None:
    """Every kept connection is lost: each request is made twice, no second has more than `rate`, and all are told."""
    ids = some(40)
    async with watching(store, batch=batch, rate=10.0, poll_every=timedelta(seconds=1)) as stage:
        stage.upstream.states |= dict.fromkeys(ids, "queued")
        stage.upstream.lost = 1_000
        await register(stage, ids)
        await stage.ticks(10)
        stage.upstream.states |= dict.fromkeys(ids, "completed")
        await stage.ticks(12)
        assert await told(stage) == {WatchStatus.SATISFIED: 40}
        at = [asked.at for asked in stage.upstream.asked]
        assert len(at) > 20
        assert max(sum(each <= other < each + 1 for other in at) for each in at) <= 10
        assert not stage.health.troubles


async def test_a_long_poll_that_is_made_again_counts_in_the_budget(store: SqliteStore) -> None:
    """It waits for its place in the budget as a poll does, and is kept then."""
    async with watching(store, long_poll="single", rate=2.0) as stage:
        stage.upstream.long_polls = "any"
        stage.upstream.states |= dict.fromkeys(some(4), "queued")
        stage.upstream.lost = 100
        await register(stage, some(4))
        await stage.ticks(20, step=0.5)
        stage.upstream.move("g-1", "completed")
        await stage.ticks(3, step=0.5)
        assert len(await stage.enqueued("g-1")) == 1
        at = [asked.at for asked in stage.upstream.asked]
        assert max(sum(each <= other < each + 1 for other in at) for each in at) <= 2
        assert not stage.health.troubles


# ---- what people are told -----------------------------------------------------------------------------------------
async def test_show_tells_how_often_one_id_failed_and_that_it_is_well(store: SqliteStore) -> None:
    """The sentence has no advice about the provider, which is well; a few rows are written, not one a poll."""
    async with watching(store, rate=5.0, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(some(3), "queued")
        stage.upstream.judge = broken("g-2", by=FAILURES["410"])
        await register(stage, some(3))
        await stage.ticks(5, step=0.5)
        told = (await stage.history("g-2")).trouble
        assert told is not None
        assert (told.reason, told.times) == ("The provider answered 410: gone.", 1)
        await stage.ticks(10, step=0.5)
        told = (await stage.history("g-2")).trouble
        assert told is not None
        assert told.times == 2
        await stage.ticks(20 * MINUTE, step=2)
        told = (await stage.history("g-2")).trouble
        assert told is not None
        assert told.times >= 8
        assert told.since - START < timedelta(seconds=5)
        assert (await stage.history("g-2")).provider_trouble is None
        stage.upstream.judge = lambda _: None
        await stage.ticks(6 * MINUTE, step=2)
        assert (await stage.history("g-2")).trouble is None


async def test_show_tells_that_the_provider_does_not_know_an_id(store: SqliteStore) -> None:
    """From the second poll on, with how often, over a restart, until it is there; nobody asks it alone for that."""
    async with watching(store, poll_every=timedelta(seconds=2)) as stage:
        stage.upstream.states |= dict.fromkeys(some(2), "queued")
        await register(stage, some(3))
        await stage.ticks(MINUTE, step=1)
        told = (await stage.history("g-3")).trouble
        assert told is not None
        assert told.reason == "The provider does not know this ID: is it right, and one of this provider's?"
        assert told.times >= 2
        assert told.since - START < timedelta(seconds=5)
        assert (await stage.history("g-1")).trouble is None
    async with watching(store, poll_every=timedelta(seconds=2)) as stage:
        stage.clock.advance(MINUTE)
        stage.upstream.states |= dict.fromkeys(some(3), "queued")
        await stage.ticks(MINUTE, step=1)
        assert (await stage.history("g-3")).trouble is None


async def test_show_tells_that_the_provider_refuses_us(store: SqliteStore) -> None:
    """From its first refusal, over a restart, until it answers."""
    async with watching(store) as stage:
        stage.upstream.judge = lambda _: error(401, "bad key")
        await register(stage, some(3))
        await stage.ticks(3 * MINUTE, step=1)
        told = (await stage.history()).provider_trouble
        assert told is not None
        assert (told.kind, told.times) == ("refused", 3)
        assert "401: bad key" in told.reason
        assert "api_key" in told.reason
    async with watching(store) as stage:
        stage.clock.advance(3600)
        assert (await stage.history()).provider_trouble == told
        stage.upstream.judge = lambda _: error(401, "bad key")
        await stage.ticks(2, step=1)
        again = (await stage.history()).provider_trouble
        assert again is not None
        assert (again.since, again.times) == (told.since, 4)
        stage.upstream.judge = lambda _: None
        stage.upstream.states |= dict.fromkeys(some(3), "queued")
        await stage.ticks(MINUTE, step=1)
        assert (await stage.history()).provider_trouble is None


async def test_a_bad_id_is_known_over_a_restart(store: SqliteStore) -> None:
    """It is asked alone, and expires at its deadline though no other one is watched any more."""
    async with watching(store, rate=5.0) as stage:
        stage.upstream.states |= dict.fromkeys(some(3), "completed")
        stage.upstream.judge = broken("g-2", by=FAILURES["500"])
        await register(stage, some(3), timeout=timedelta(hours=1))
        await stage.ticks(5 * MINUTE, step=1)
    async with watching(store, rate=5.0) as stage:
        stage.clock.advance(50 * MINUTE)
        stage.upstream.judge = broken("g-2", by=FAILURES["500"])
        await stage.ticks(10 * MINUTE + 2, step=2)
        assert [line.type for line in await stage.enqueued("g-2")] == ["watch.expired"]
        assert not stage.health.troubles


async def test_a_trouble_is_told_once_the_store_can_write(store: SqliteStore) -> None:
    """What could not be written is written later."""
    async with watching(store) as stage:
        stage.upstream.judge = lambda _: error(401, "bad key")
        await register(stage, some(1))
        stage.port.instead["save_troubles"] = full
        await stage.ticks(3, step=1)
        assert stage.health.troubles["store"] == "store: the disk is full"
        stage.port.instead.clear()
        stage.health.clear("store")
        await stage.ticks(3, step=1)
        assert (await stage.history()).provider_trouble is not None


async def full(*_: Any) -> None:
    raise StoreUnavailable("store: the disk is full")
