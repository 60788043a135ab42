"""Endpoints that fail, end to end: real store, real dispatcher, receivers at the wire, a clock moved by hand."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import anyio
import httpx
import orjson
import pytest

from notifier.domain.endpoint_health import EndpointState
from notifier.domain.ids import Destination
from notifier.domain.model import DeliveryStatus
from notifier.domain.settings import CallbackSettings, Secret
from notifier.runtime.health import STORE
from notifier.store.records import EndpointSummary
from notifier.store.sqlite.store import SqliteStore
from notifier.verify import verify
from tests.support.fakes import SECRET, START, deliveries, endpoint, enqueue, heard, quiet, statuses
from tests.support.sending import Sending, policies, sending

HOUR = 3600.0
DAY = 24 * HOUR
STUDIO = Destination("studio")
#: Every hour, for ever: what the schedule of ten steps does to an endpoint with many messages.
HOURLY = (timedelta(0), *[timedelta(hours=1)] * 49)
CALLBACKS = CallbackSettings(secret=Secret(SECRET))


async def line(store: SqliteStore, destination: str = "studio") -> EndpointSummary:
    (found,) = [each for each in await store.endpoint_summaries() if each.health.destination == destination]
    return found


def told(stage: Sending) -> list[dict[str, Any]]:
    """What the operator received, each verified."""
    posts = [post for post in stage.callbacks.posts if post.url.host == "ops.example.com"]
    return [verify(post.content, post.headers, [SECRET], now=int(post.headers["webhook-timestamp"])) for post in posts]


def events(log: Sequence[Any], *, of: str = "endpoint.") -> list[str]:
    return [entry["event"] for entry in log if entry["event"].startswith(of)]


async def fail_for_days(stage: Sending, days: float) -> None:
    """A new message now and every four hours, and nothing arrives."""
    for number in range(round(days * 6)):
        await stage.enqueue(f"late-{stage.clock.seconds:.0f}-{number}")
        await stage.turn()
        await stage.turn(4 * HOUR)
        await quiet(stage.store)


# ---- gone ---------------------------------------------------------------------------------------------------------
async def test_gone_disables_at_once_and_parks_the_rest(store: SqliteStore) -> None:
    """One POST, and no other to that endpoint; what waited and what comes is kept, and the others go on."""
    async with sending(store, endpoint(concurrency=1), endpoint("audit")) as stage, heard() as log:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        await stage.enqueue("g-1", "g-2", "g-3")
        await stage.turn()
        await stage.enqueue("g-4")
        await stage.enqueue("other", to="audit")
        await stage.turn(DAY)
        assert stage.callbacks.to("studio.example.com") == 1
        assert stage.callbacks.to("audit.example.com") == 1
        assert await statuses(store) == {
            DeliveryStatus.EXHAUSTED: 1,
            DeliveryStatus.PARKED: 3,
            DeliveryStatus.DELIVERED: 1,
        }
        (late,) = await deliveries(store, "g-4")
        assert late.reason == "endpoint studio is disabled: it answered 410 Gone"
        (sentence,) = stage.health.troubles.values()
        assert list(stage.health.troubles) == ["endpoint studio"]
        assert sentence.startswith("disabled since 2026-11-22T05:00:00.000Z: it answered 410 Gone")
        assert "`notifier enable studio`" in sentence
        (entry,) = [entry for entry in log if entry["event"] == "endpoint.disabled"]
        assert (entry["endpoint"], entry["was"], entry["parked"], entry["log_level"]) == (
            "studio",
            "working",
            2,
            "error",
        )


async def test_gone_meets_attempts_that_are_under_way(store: SqliteStore) -> None:
    """They end as they may: delivered where they are, parked where they failed; nothing more begins."""
    async with sending(store, endpoint(concurrency=3)) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        stage.callbacks.answers["studio.example.com"] = [
            httpx.Response(410),
            httpx.Response(204),
            httpx.Response(503),
        ]
        await stage.enqueue(*(f"g-{number}" for number in range(5)))
        await stage.turn()
        gate.set()
        await stage.turn()
        await stage.turn(DAY)
        assert len(stage.callbacks.posts) == 3
        assert await statuses(store) == {
            DeliveryStatus.EXHAUSTED: 1,
            DeliveryStatus.DELIVERED: 1,
            DeliveryStatus.PARKED: 3,
        }


async def test_what_waits_to_be_parked_is_not_sent_meanwhile(store: SqliteStore) -> None:
    """Two thousand waited for an endpoint that is gone; upkeep parks those that the transaction left."""
    async with sending(store, endpoint(concurrency=1)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        await stage.enqueue(*(f"g-{number}" for number in range(2000)))
        await stage.turn()
        await stage.turn(DAY)
        assert len(stage.callbacks.posts) == 1
        assert await store.park_disabled() == 1999 - 500
        assert await statuses(store) == {DeliveryStatus.EXHAUSTED: 1, DeliveryStatus.PARKED: 1999}


# ---- five days ----------------------------------------------------------------------------------------------------
async def test_five_days_of_nothing_but_failure_disable(store: SqliteStore) -> None:
    """A warning came first, by four days; the operator has both, signed, and nothing is sent any more."""
    ops = endpoint("ops")
    async with sending(store, endpoint(retry=HOURLY), ops, operator="ops") as stage, heard() as log:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        await fail_for_days(stage, 0.9)
        assert told(stage) == []
        await fail_for_days(stage, 0.6)
        assert [event["type"] for event in told(stage)] == ["endpoint.failing"]
        assert stage.health.troubles == {}
        await fail_for_days(stage, 3.3)
        assert [event["type"] for event in told(stage)] == ["endpoint.failing"]
        await fail_for_days(stage, 0.6)
        failing, disabled = told(stage)
        assert disabled["type"] == "endpoint.disabled"
        assert failing["data"]["failing_since"] == disabled["data"]["failing_since"] == "2026-11-22T05:00:00.000Z"
        assert failing["data"]["reason"].startswith("no success since 2026-11-22T05:00:00.000Z, in ")
        assert (failing["data"]["state"], disabled["data"]["state"]) == ("failing", "disabled")
        assert events(log) == ["endpoint.failing", "endpoint.disabled"]
        health = (await line(store)).health
        warned_at, disabled_at = health.warned_at, health.disabled_at
        assert warned_at is not None
        assert disabled_at is not None
        assert START + timedelta(days=1) <= warned_at < START + timedelta(days=1.5)
        assert START + timedelta(days=5) <= disabled_at < START + timedelta(days=5.5)
        sent = stage.callbacks.to("studio.example.com")
        await fail_for_days(stage, 1)
        assert stage.callbacks.to("studio.example.com") == sent
        found = await line(store)
        assert (found.pending, found.parked) == (0, (await statuses(store))[DeliveryStatus.PARKED])


async def test_an_endpoint_that_succeeds_now_and_then_is_never_disabled(store: SqliteStore) -> None:
    """One success in two days is enough: the count begins anew; that it recovered is reported."""
    async with sending(store, endpoint(retry=HOURLY), endpoint("ops"), operator="ops") as stage:
        for _ in range(4):
            stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
            await fail_for_days(stage, 2)
            stage.callbacks.answers["studio.example.com"] = [httpx.Response(204)]
            await stage.turn(2 * HOUR)
            await stage.turn(2 * HOUR)
            assert (await line(store)).health.state is EndpointState.WORKING
        assert [event["type"] for event in told(stage)] == ["endpoint.failing", "endpoint.recovered"] * 4
        assert told(stage)[1]["data"]["failures"] >= 10
        assert len({post.headers["webhook-id"] for post in stage.callbacks.posts if "ops" in post.url.host}) == 8


async def test_an_origin_is_disabled_by_five_days_and_its_urls_with_it(store: SqliteStore) -> None:
    """Nothing more is sent to any URL of it, and readiness, which is of the configuration, does not mind."""
    async with sending(store, callbacks=CALLBACKS) as stage:
        stage.callbacks.answers["app.example.com"] = [httpx.Response(410)]
        for number in range(24):
            await stage.enqueue(f"g-{number}", to=f"https://app.example.com/{number}")
            await stage.turn(DAY / 4)
        sent = len(stage.callbacks.posts)
        assert (await line(store, "https://app.example.com")).health.state is EndpointState.DISABLED
        assert 20 <= sent < 24
        assert stage.health.troubles == {}
        await stage.enqueue("more", to="https://app.example.com/another")
        await stage.turn(DAY)
        assert len(stage.callbacks.posts) == sent


async def test_the_operators_own_endpoint_is_reported_in_the_log_alone(store: SqliteStore) -> None:
    """Nobody would read it there."""
    async with sending(store, endpoint("audit"), operator="audit") as stage, heard() as log:
        stage.callbacks.answers["audit.example.com"] = [httpx.Response(410)]
        await stage.enqueue("g-1", to="audit")
        await stage.turn()
        await stage.turn(DAY)
        assert len(stage.callbacks.posts) == 1
        assert events(log) == ["endpoint.disabled"]
        assert await statuses(store) == {DeliveryStatus.EXHAUSTED: 1}


async def test_a_message_to_the_operator_is_tried_like_any_other(store: SqliteStore) -> None:
    """By the schedule, under one webhook-id, and its line in the log names no generation."""
    async with sending(store, endpoint(), endpoint("ops"), operator="ops") as stage, heard() as log:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        stage.callbacks.answers["ops.example.com"] = [httpx.Response(500), httpx.Response(204)]
        await stage.enqueue("g-1")
        await stage.turn()
        await stage.turn(6)
        first, second = (post for post in stage.callbacks.posts if post.url.host == "ops.example.com")
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == "msg_random1"
        assert first.content == second.content
        attempts = [entry for entry in log if entry["event"] == "delivery.attempted" and entry["endpoint"] == "ops"]
        assert [(entry["type"], "generation" in entry) for entry in attempts] == [("endpoint.disabled", False)] * 2


# ---- over a restart, a reload, a store that fails -----------------------------------------------------------------
async def test_disabled_is_kept_over_a_restart(store: SqliteStore) -> None:
    """The next run sends nothing there, says so from the start, and parks what comes."""
    async with sending(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        await stage.enqueue("g-1", "g-2")
        await stage.turn()
    sent = len(stage.callbacks.posts)
    assert sent <= 2
    await enqueue(store, "g-3", at=START)
    async with sending(store) as stage:
        assert list(stage.health.troubles) == ["endpoint studio"]
        await stage.turn(DAY)
        assert stage.callbacks.posts == []
        assert (await deliveries(store, "g-3"))[0].status is DeliveryStatus.PARKED


async def test_readiness_follows_the_configuration(store: SqliteStore) -> None:
    """A disabled endpoint that is taken out is no trouble any more; its name returns, and it is."""
    async with sending(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        await stage.enqueue("g-1")
        await stage.turn()
        stage.dispatcher.apply(policies(endpoint("audit")))
        assert stage.health.troubles == {}
        stage.dispatcher.apply(policies(endpoint("studio")))
        assert list(stage.health.troubles) == ["endpoint studio"]


async def test_an_outcome_that_waits_for_the_store_counts_when_it_is_written(store: SqliteStore) -> None:
    """Nothing is said of it before it is durable."""
    async with sending(store, endpoint(concurrency=1)) as stage, heard() as log:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        await stage.enqueue("g-1", "g-2")
        await stage.turn()
        stage.port.down = True
        gate.set()
        await quiet(store)
        assert events(log) == []
        stage.port.down = False
        stage.health.clear(STORE)
        await quiet(store)
        assert events(log) == ["endpoint.disabled"]
        assert len(stage.callbacks.posts) == 1


async def test_the_last_write_of_a_stop_counts_too(store: SqliteStore) -> None:
    """An endpoint that was gone at the very end is disabled for the next run."""
    async with sending(store, endpoint(concurrency=1)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(410)]
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue("g-1", "g-2")
        await stage.turn()
        stage.port.down = True
        gate.set()
        await quiet(store)
        stage.tasks.cancel_scope.cancel()
    stage.port.down = False
    with_log: Any
    async with heard() as with_log:
        await stage.dispatcher.release()
    assert events(with_log) == ["endpoint.disabled"]
    assert (await line(store)).health.state is EndpointState.DISABLED


# ---- a network that is down ----------------------------------------------------------------------------------------
async def _unreachable_for_days(stage: Sending, days: float, *, others: str = "") -> None:
    """Nobody reaches studio; every four hours it has a message, and `others` just before."""
    stage.callbacks.answers["studio.example.com"] = [httpx.ConnectError("network is unreachable")]
    for number in range(round(days * 6)):
        if others:
            await stage.enqueue(f"other-{number}", to=others)
            await stage.turn()
        await stage.enqueue(f"late-{number}")
        await stage.turn()
        await stage.turn(4 * HOUR)
        await quiet(stage.store)


async def test_a_network_that_is_down_disables_nobody(store: SqliteStore) -> None:
    """Six days on which nothing was reached say nothing of the endpoint: when the network is back, so is it."""
    async with sending(store, endpoint(retry=HOURLY), endpoint("audit", retry=HOURLY)) as stage, heard() as log:
        stage.callbacks.answers["audit.example.com"] = [httpx.ConnectError("network is unreachable")]
        await _unreachable_for_days(stage, 6, others="audit")
        assert events(log) == []
        assert (await line(store)).health.failures == 0
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(204)]
        await stage.turn(HOUR)
        assert (await line(store)).health.state is EndpointState.WORKING
        assert (await statuses(store))[DeliveryStatus.DELIVERED] > 30


async def test_an_endpoint_that_is_not_there_is_disabled_while_others_answer(store: SqliteStore) -> None:
    """Then it is its own fault: five days, and the warning first."""
    async with sending(store, endpoint(retry=HOURLY), endpoint("audit")) as stage, heard() as log:
        await _unreachable_for_days(stage, 5.5, others="audit")
        assert events(log) == ["endpoint.failing", "endpoint.disabled"]


# ---- a clock that is set -------------------------------------------------------------------------------------------
async def test_a_clock_set_forward_disables_nothing(store: SqliteStore) -> None:
    """Nine failures this morning, and by the clock that is six days ago now: it is not even failing."""
    async with sending(store, endpoint(retry=HOURLY)) as stage, heard() as log:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        await stage.enqueue(*(f"g-{number}" for number in range(9)))
        await stage.turn()
        stage.clock.set_wall(6 * DAY)
        for _ in range(2):
            await stage.turn(2 * HOUR)
        assert events(log) == []
        health = (await line(store)).health
        assert health.failures >= 10
        assert health.first_failure == START + timedelta(days=6)


async def test_a_clock_set_back_spares_nothing(store: SqliteStore) -> None:
    """A month back in the middle: five days since the first failure are still five days."""
    async with sending(store, endpoint(retry=HOURLY)) as stage, heard() as log:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503)]
        await fail_for_days(stage, 3)
        stage.clock.set_wall(-30 * DAY)
        await fail_for_days(stage, 1.8)
        assert events(log) == ["endpoint.failing"]
        await fail_for_days(stage, 0.6)
        assert events(log) == ["endpoint.failing", "endpoint.disabled"]


# ---- a person -----------------------------------------------------------------------------------------------------
async def test_a_person_disables_and_enables(store: SqliteStore) -> None:
    """Nothing goes while it is disabled; afterwards what comes goes, what is parked stays, and the command is named."""
    async with sending(store, endpoint(), endpoint("ops"), operator="ops") as stage, heard() as log:
        monitor = stage.dispatcher.monitor
        await stage.enqueue("g-1")
        change = await monitor.disable(STUDIO, "the app moves")
        assert (change.before.state, change.parked) == (EndpointState.WORKING, 1)
        assert list(stage.health.troubles) == ["endpoint studio"]
        await stage.enqueue("g-2")
        await stage.turn()
        assert stage.callbacks.to("studio.example.com") == 0
        change = await monitor.enable(STUDIO)
        assert (change.before.reason, change.parked) == ("the app moves", 2)
        assert stage.health.troubles == {}
        await stage.enqueue("g-3")
        await stage.turn()
        assert stage.callbacks.to("studio.example.com") == 1
        assert orjson.loads(stage.callbacks.posts[-1].content)["data"]["generation_id"] == "g-3"
        assert [event["type"] for event in told(stage)] == ["endpoint.disabled", "endpoint.recovered"]
        assert [event["data"]["reason"] for event in told(stage)] == ["the app moves"] * 2
        note = log[[entry["event"] for entry in log].index("endpoint.recovered")]["note"]
        assert "notifier recover studio --since 2026-11-22T05:00:00.000Z" in note


@pytest.mark.parametrize("name", ["studio", "audit"])
async def test_to_ask_for_what_is_so_already_says_nothing(store: SqliteStore, name: str) -> None:
    """Disabled twice, or enabled while it works: the answer shows it, and neither log nor operator is troubled."""
    async with sending(store, endpoint(), endpoint("ops"), operator="ops") as stage:
        monitor = stage.dispatcher.monitor
        await monitor.disable(STUDIO, "the app moves")
        async with heard() as log:
            again = monitor.disable(STUDIO, "again") if name == "studio" else monitor.enable(Destination(name))
            change = await again
            assert change.before == change.after
            assert events(log) == []
            await stage.turn()
            assert len(told(stage)) == 1
