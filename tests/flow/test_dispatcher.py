"""Every due delivery attempted and every outcome written, on a real store, by a clock moved by hand."""

from datetime import timedelta

import anyio
import httpx
import orjson
import pytest

from notifier.delivery.capacity import LEASE_MARGIN
from notifier.delivery.signature import callback_secret
from notifier.domain import slot_sharing
from notifier.domain.ids import Destination, WorkerId
from notifier.domain.model import DeliveryStatus, EndpointDirectory, Observation, State, Transition, Verdict
from notifier.domain.settings import CallbackSettings, Secret
from notifier.runtime.health import STORE
from notifier.store.records import Slots
from notifier.store.sqlite import deliveries as store_deliveries
from notifier.store.sqlite.store import SqliteStore
from notifier.verify import InvalidSignature, verify
from tests.support.fakes import (
    LUMA,
    SECRET,
    START,
    deliveries,
    endpoint,
    enqueue,
    quiet,
    request,
    some,
    statuses,
    verdicts,
)
from tests.support.sending import Sending, policies, sending

SECOND = timedelta(seconds=1)


# ---- the usual way ------------------------------------------------------------------------------------------------
async def test_a_due_message_is_posted_signed_and_closed(store: SqliteStore) -> None:
    """The stored body goes out under its webhook-id, the receiver can verify it, and the delivery is done."""
    async with sending(store) as stage:
        await stage.enqueue("g-1")
        await stage.turn()
        (post,) = stage.callbacks.posts
        (line,) = await deliveries(store)
        event = verify(post.content, post.headers, [SECRET], now=stage.clock.now().timestamp())
        assert event["data"]["generation_id"] == "g-1"
        assert post.headers["webhook-id"] == line.message_id
        assert (line.status, verdicts(line)) == (DeliveryStatus.DELIVERED, [Verdict.DELIVERED])


async def test_what_the_last_run_left_pending_goes_out_at_once(store: SqliteStore) -> None:
    """A start needs no wakeup for it."""
    await enqueue(store, "g-1", at=START)
    async with sending(store) as stage:
        assert len(stage.callbacks.posts) == 1


async def test_only_the_first_attempt_may_go_by_a_kept_connection(store: SqliteStore) -> None:
    """What went wrong may have been the old connection, or the server that it leads to."""
    async with sending(store, endpoint(retry=(timedelta(0), timedelta(seconds=5), timedelta(seconds=5)))) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(500)]
        await stage.enqueue("g-1")
        for _ in range(3):
            await stage.turn(seconds=6)
        assert [post.extensions["fresh"] for post in stage.callbacks.posts] == [False, True, True]


async def test_a_callback_url_is_signed_with_its_origins_key(store: SqliteStore) -> None:
    """It goes to the very URL, and the master secret does not sign it."""
    async with sending(store, callbacks=CallbackSettings(secret=Secret(SECRET))) as stage:
        await stage.enqueue("g-1", to="https://app.example.com/done?order=7")
        await stage.turn()
        (post,) = stage.callbacks.posts
        assert str(post.url) == "https://app.example.com/done?order=7"
        now = stage.clock.now().timestamp()
        key = callback_secret(Secret(SECRET), Destination("https://app.example.com"))
        verify(post.content, post.headers, [key.reveal()], now=now)
        with pytest.raises(InvalidSignature):
            verify(post.content, post.headers, [SECRET], now=now)


# ---- how many at a time -------------------------------------------------------------------------------------------
async def test_no_more_than_concurrency_are_claimed(store: SqliteStore) -> None:
    """What has no slot is not leased, and each free slot is used at once."""
    async with sending(store, endpoint(concurrency=3)) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(10))
        await stage.turn()
        leased = "SELECT count(*) FROM deliveries WHERE leased_until IS NOT NULL"
        assert await store.writer.run(lambda conn: conn.execute(leased).fetchone()[0]) == 3
        assert len(stage.callbacks.posts) == 3
        gate.set()
        await stage.callbacks.until(10)
        await quiet(store)
        await quiet(store)
        assert stage.callbacks.most == {"studio.example.com": 3}
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 10}


async def test_an_endpoint_that_hangs_does_not_hold_another(store: SqliteStore) -> None:
    """Its slots are its own: a thousand messages for it, and the other endpoint's go out at once."""
    async with sending(store, endpoint("studio", concurrency=2), endpoint("audit")) as stage:
        stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(1000, "stuck"))
        await stage.enqueue(*some(50, "free"), to="audit")
        await stage.turn()
        await stage.callbacks.until(52)
        await quiet(store)
        assert stage.callbacks.to("audit.example.com") == 50
        assert stage.callbacks.to("studio.example.com") == 2


@pytest.mark.parametrize(("hanging", "one_by_one"), [(20, False), (60, False), (60, True)])
async def test_a_crowd_of_endpoints_that_hang_leaves_slots_for_another(
    store: SqliteStore, hanging: int, *, one_by_one: bool
) -> None:
    """Together or one after the other they want more than all slots: the healthy one's messages all go out at once."""
    crowd = [endpoint(f"stuck{number}") for number in range(hanging)]
    directory = EndpointDirectory(events=dict.fromkeys([*(each.identity for each in crowd), "audit"]), callbacks=False)
    await store.apply_directory(directory, now=START)
    async with sending(store, *crowd, endpoint("audit")) as stage:
        for each in crowd:
            stage.callbacks.gates[f"{each.destination}.example.com"] = anyio.Event()
            await enqueue(store, *some(40, each.destination), at=stage.clock.now(), endpoint=each.identity)
            if one_by_one:
                await stage.turn()
        await stage.turn()
        held = stage.callbacks.under_way.total()
        assert held > slot_sharing.POOLS[slot_sharing.NAMED] * 0.9
        for turn in range(5):
            await stage.enqueue(*some(20, f"free-{turn}"), to="audit")
            stage.wakeup.notify()
            await stage.callbacks.until(held + 20 * (turn + 1))
            await quiet(store)
            assert stage.callbacks.to("audit.example.com") == 20 * (turn + 1)


async def test_what_hangs_gives_its_pool_back_when_it_is_known(store: SqliteStore) -> None:
    """After two seconds the endpoints that hang are slow: a healthy one has the whole pool, they have their own."""
    crowd = [endpoint(f"stuck{number}") for number in range(20)]
    directory = EndpointDirectory(events=dict.fromkeys([*(each.identity for each in crowd), "audit"]), callbacks=False)
    await store.apply_directory(directory, now=START)
    async with sending(store, *crowd, endpoint("audit", concurrency=200)) as stage:
        for each in crowd:
            stage.callbacks.gates[f"{each.destination}.example.com"] = anyio.Event()
            await enqueue(store, *some(60, each.destination), at=stage.clock.now(), endpoint=each.identity)
        await stage.turn()
        held = stage.callbacks.under_way.total()
        assert held > slot_sharing.POOLS[slot_sharing.SLOW]
        await stage.turn(slot_sharing.SLOW_AFTER + 0.1)
        assert stage.callbacks.under_way.total() == held
        gate = stage.callbacks.gates["audit.example.com"] = anyio.Event()
        await stage.enqueue(*some(300, "free"), to="audit")
        await stage.turn()
        assert stage.callbacks.under_way["audit.example.com"] == 200
        gate.set()
        await stage.callbacks.until(held + 300)


async def test_origins_that_hang_take_nothing_from_the_configured(store: SqliteStore) -> None:
    """Hundreds of them with dozens of messages each: an endpoint of the configuration has what it always has."""
    async with sending(store, endpoint(), callbacks=CallbackSettings(secret=Secret(SECRET))) as stage:
        origins = [f"stuck{number}.example.com" for number in range(400)]
        stage.callbacks.gates |= {origin: anyio.Event() for origin in origins}
        async with anyio.create_task_group() as tasks:  # at once: they share their commits
            for origin in origins:
                tasks.start_soon(lambda origin: stage.enqueue(*some(3, origin), to=f"https://{origin}/"), origin)
        await stage.turn()
        await stage.turn(slot_sharing.SLOW_AFTER + 0.1)
        held = stage.callbacks.under_way.total()
        assert held <= slot_sharing.IN_FLIGHT - 2 * slot_sharing.RESERVED
        stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(100))
        await stage.turn()
        assert stage.callbacks.under_way["studio.example.com"] == 32


async def strangers(stage: Sending, *hosts: str) -> None:
    """A message each for callback URLs of so many origins, due together."""
    now = stage.clock.now()
    requests = [request(host, endpoint=f"https://{host}/done") for host in hosts]
    await stage.store.add_watches(requests, now=now)
    seen = [Observation(id=each.generation, state=State.COMPLETED) for each in requests]
    told = [Transition(provider=LUMA, observation=each, observed_at=now, not_before=None) for each in seen]
    await stage.store.record_transitions(told, now=now)


async def until_sent(stage: Sending, host: str, *, steps: int) -> int:
    """Quarters of a second until it is sent something; `steps` at most."""
    for step in range(steps):
        if stage.callbacks.to(host):
            return step
        await stage.turn(0.25)
    raise AssertionError(f"{host} was sent nothing")


async def test_origins_that_hang_by_the_thousand_delay_no_other(store: SqliteStore) -> None:
    """Of one file: one among them is tried with them; one that comes later at once, and so is a proven one."""
    callbacks = CallbackSettings(secret=Secret(SECRET))
    async with sending(store, callbacks=callbacks) as stage:
        await strangers(stage, "known.example.com")
        await stage.turn()
        await stage.callbacks.until(1)
        hosts = [f"h{number:04}.example.com" for number in range(1500)]
        stage.callbacks.gates |= dict.fromkeys(hosts, anyio.Event())
        await strangers(stage, *hosts[:700], "among.example.com", *hosts[700:])
        await stage.turn()
        stage.clock.advance(0.1)
        await strangers(stage, "after.example.com")
        await stage.turn()
        assert await until_sent(stage, "after.example.com", steps=5) <= 4
        assert await until_sent(stage, "among.example.com", steps=20) <= 14
        await enqueue(store, "again", at=stage.clock.now(), endpoint="https://known.example.com/again")
        await stage.turn()
        assert stage.callbacks.to("known.example.com") == 2
        for _ in range(4):
            await stage.turn(0.5)
        assert stage.callbacks.under_way.total() == 1500, "each of them is tried meanwhile"


async def test_what_hangs_and_comes_back_delays_no_other(store: SqliteStore) -> None:
    """Their attempts fail and are due again: they are slow by then, and a new origin does not queue behind them."""
    async with sending(store, callbacks=CallbackSettings(secret=Secret(SECRET))) as stage:
        hosts = [f"h{number:04}.example.com" for number in range(600)]
        gate = anyio.Event()
        for host in hosts:
            stage.callbacks.answers[host] = [httpx.ReadTimeout("late")]
        stage.callbacks.gates |= dict.fromkeys(hosts, gate)
        await strangers(stage, *hosts)
        for _ in range(8):
            await stage.turn(0.5)
        gate.set()
        stage.callbacks.gates |= dict.fromkeys(hosts, anyio.Event())
        await stage.turn()
        await stage.turn(5.5)
        assert stage.callbacks.under_way.total() <= slot_sharing.POOLS[slot_sharing.SLOW]
        await strangers(stage, "after.example.com")
        await stage.turn()
        assert stage.callbacks.to("after.example.com") == 1


async def test_healthy_endpoints_are_sent_to_first(store: SqliteStore) -> None:
    """Of what is claimed together, messages for an endpoint that failed last go out after the others', though older."""
    async with sending(store, endpoint(), endpoint("audit")) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(500)]
        await stage.enqueue("first")
        await stage.turn()
        await stage.enqueue(*some(5))
        await stage.enqueue(*some(5, "other"), to="audit")
        await stage.turn()
        hosts = [post.url.host for post in stage.callbacks.posts]
        assert hosts == ["studio.example.com"] + 5 * ["audit.example.com"] + 5 * ["studio.example.com"]


async def test_who_failed_yields_until_the_others_are_claimed(store: SqliteStore) -> None:
    """Not only to what is claimed in the same turn: an endpoint of one slot is sent all that is due before."""
    async with sending(store, endpoint(), endpoint("audit", concurrency=1)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(500)]
        await stage.enqueue("first")
        await stage.turn()
        await stage.enqueue("second")
        await stage.enqueue(*some(3), to="audit")
        await stage.turn()
        hosts = [post.url.host for post in stage.callbacks.posts]
        assert hosts == ["studio.example.com"] + 3 * ["audit.example.com"] + ["studio.example.com"]


async def test_who_failed_yields_for_a_moment_only(store: SqliteStore) -> None:
    """However much is due to others: after `YIELD` it is sent to beside them."""
    async with sending(store, endpoint(), endpoint("audit", concurrency=1)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(500)]
        await stage.enqueue("first")
        await stage.turn()
        later = anyio.Event()
        stage.callbacks.gates["audit.example.com"] = later
        await stage.enqueue(*some(3), to="audit")
        await stage.enqueue("second")
        await stage.turn()
        stage.clock.advance(slot_sharing.YIELD)
        later.set()
        await stage.turn()
        hosts = [post.url.host for post in stage.callbacks.posts]
        assert hosts[-1] == "audit.example.com"
        assert hosts.count("studio.example.com") == 2


async def test_callback_urls_of_one_origin_share_its_slots(store: SqliteStore) -> None:
    """However many URLs an app invents, its origin is one destination of thirty-two."""
    async with sending(store, callbacks=CallbackSettings(secret=Secret(SECRET))) as stage:
        stage.callbacks.gates["app.example.com"] = anyio.Event()
        for number in range(40):
            await stage.enqueue(f"g-{number}", to=f"https://app.example.com/{number}")
        await stage.turn()
        assert stage.callbacks.under_way["app.example.com"] == 32


async def test_a_rate_is_kept_and_used(store: SqliteStore) -> None:
    """Two a second: two at once, then two for each second, and an unlimited endpoint is not slowed by it."""
    async with sending(store, endpoint(rate=2.0), endpoint("audit")) as stage:
        await stage.enqueue(*some(9))
        await stage.enqueue(*some(9, "other"), to="audit")
        await stage.turn()
        assert stage.callbacks.to("audit.example.com") == 9
        for expected in (2, 4, 6, 8, 9):
            assert stage.callbacks.to("studio.example.com") == expected
            await stage.turn(1)


async def test_a_rate_that_changes_is_kept_too(store: SqliteStore) -> None:
    """Ten reloads within one second, each with another rate: no more than twenty leave in it, then it flows."""
    async with sending(store, endpoint(rate=20.0)) as stage:
        await stage.enqueue(*some(100))
        await stage.turn()
        for rate in (19.0, 20.0, 1.0, 20.0, 18.0) * 2:
            stage.dispatcher.apply(policies(endpoint(rate=rate)))
            await stage.turn(0.05)
        assert stage.callbacks.to("studio.example.com") <= 20
        stage.dispatcher.apply(policies(endpoint(rate=20.0)))
        await stage.turn(1.5)
        assert 20 < stage.callbacks.to("studio.example.com") <= 40


# ---- again, and no more -------------------------------------------------------------------------------------------
async def test_the_schedule_is_followed_to_its_end(store: SqliteStore) -> None:
    """Each failure waits its step, all attempts carry one id, and after the last one it is given up."""
    retry = (timedelta(0), 5 * SECOND, 60 * SECOND)
    async with sending(store, endpoint(retry=retry)) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(500, text="oh no")]
        await stage.enqueue("g-1")
        for seconds in (0, 4.75, 0.25, 59.75, 0.25, 3600):
            await stage.turn(seconds)
        assert stage.callbacks.times == [0, 5, 65]
        assert len({post.headers["webhook-id"] for post in stage.callbacks.posts}) == 1
        assert len({post.content for post in stage.callbacks.posts}) == 1
        (line,) = await deliveries(store)
        assert (line.status, line.due_at) == (DeliveryStatus.EXHAUSTED, None)
        assert [attempt.head for attempt in line.attempts] == [b"oh no"] * 3


async def test_every_attempt_is_signed_anew(store: SqliteStore) -> None:
    """The signature's time is the attempt's, so that a late retry is not refused as old."""
    async with sending(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503), httpx.Response(204)]
        await stage.enqueue("g-1")
        await stage.turn()
        await stage.turn(6)
        for post, at in zip(stage.callbacks.posts, (0, 6), strict=True):
            assert int(post.headers["webhook-timestamp"]) == START.timestamp() + at
            verify(post.content, post.headers, [SECRET], now=START.timestamp() + at)


async def test_retry_after_makes_the_wait_longer_and_never_shorter(store: SqliteStore) -> None:
    """Five seconds by the schedule, a minute by the endpoint: a minute. One second by the endpoint: five."""
    async with sending(store, endpoint(retry=(timedelta(0), 5 * SECOND, 5 * SECOND))) as stage:
        stage.callbacks.answers["studio.example.com"] = [
            httpx.Response(429, headers={"retry-after": "60"}),
            httpx.Response(503, headers={"retry-after": "1"}),
            httpx.Response(204),
        ]
        await stage.enqueue("g-1")
        for seconds in (0, 59, 1, 4, 1):
            await stage.turn(seconds)
        assert stage.callbacks.times == [0, 60, 65]


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        (httpx.Response(429, headers={"retry-after": "20"}), 20),
        (httpx.Response(429, headers={"retry-after": "3600"}), 60),
        (httpx.Response(502), 1),
        (httpx.Response(504), 1),
    ],
    ids=["as long as asked", "a minute at most", "502", "504"],
)
async def test_an_endpoint_that_wants_less_is_sent_nothing_else_for_a_while(
    store: SqliteStore, answer: httpx.Response, rest: int
) -> None:
    """Its other messages wait as well, and go by themselves after it; another endpoint's do not wait."""
    async with sending(store, endpoint("studio", concurrency=1), endpoint("audit")) as stage:
        stage.callbacks.answers["studio.example.com"] = [answer, httpx.Response(204)]
        await stage.enqueue("g-1", "g-2")
        await stage.turn()
        await stage.enqueue("g-3")
        await stage.enqueue("g-4", to="audit")
        for seconds in (0, rest - 0.5, 0.5):
            await stage.turn(seconds)
        seen = zip(stage.callbacks.posts, stage.callbacks.times, strict=True)
        at = [(post.url.host.partition(".")[0], when) for post, when in seen]
        assert at[:2] == [("studio", 0), ("audit", 0)]
        assert len(at) >= 4
        assert set(at[2:]) == {("studio", rest)}


async def test_gone_is_final_for_a_callback_url(store: SqliteStore) -> None:
    """410 ends this delivery at once, whatever the schedule has left, and no other of its origin."""
    url = "https://app.example.com/done"
    async with sending(store, callbacks=CallbackSettings(secret=Secret(SECRET))) as stage:
        stage.callbacks.answers["app.example.com"] = [httpx.Response(410), httpx.Response(204)]
        await stage.enqueue("g-1", to=url)
        await stage.turn()
        await stage.enqueue("g-2", to=url)
        await stage.turn(3600)
        assert len(stage.callbacks.posts) == 2
        (line,) = await deliveries(store)
        assert (line.status, verdicts(line)) == (DeliveryStatus.EXHAUSTED, [Verdict.GONE])
        assert (await deliveries(store, "g-2"))[0].status is DeliveryStatus.DELIVERED


async def test_what_breaks_on_the_wire_is_retried(store: SqliteStore) -> None:
    """No connection, no answer, nonsense: each is an attempt with its verdict."""
    async with sending(store, endpoint(retry=(timedelta(0), SECOND, SECOND, SECOND))) as stage:
        stage.callbacks.answers["studio.example.com"] = [
            httpx.ConnectError("refused"),
            httpx.ReadTimeout("slow"),
            httpx.RemoteProtocolError("nonsense"),
            httpx.Response(204),
        ]
        await stage.enqueue("g-1")
        for _ in range(4):
            await stage.turn(1)
        (line,) = await deliveries(store)
        assert verdicts(line) == [
            Verdict.CONNECT_FAILED,
            Verdict.TIMED_OUT,
            Verdict.PROTOCOL_ERROR,
            Verdict.DELIVERED,
        ]


# ---- attempts that nobody closed ----------------------------------------------------------------------------------
async def _left_open(store: SqliteStore, *generations: str) -> None:
    """A worker claimed these and died."""
    await enqueue(store, *generations, at=START)
    slots = Slots(total=9, free={}, each=9, lease={}, lease_each=30 * SECOND)
    exchange = await store.exchange(WorkerId("dead"), [], slots, now=START)
    assert len(exchange.claims) == len(generations)


async def test_attempts_left_open_are_interrupted_at_start_and_made_again(store: SqliteStore) -> None:
    """The new run does not wait for the lease: at once, with the same webhook-id, and no step is used up."""
    await _left_open(store, "g-1")
    await store.writer.run(store_deliveries.disown_leases)  # as at open
    async with sending(store) as stage:
        await stage.turn()
        (line,) = await deliveries(store)
        assert verdicts(line) == [Verdict.INTERRUPTED, Verdict.DELIVERED]
        assert stage.callbacks.posts[0].headers["webhook-id"] == line.message_id


async def test_a_lapsed_lease_is_ended_and_its_message_goes_again(store: SqliteStore) -> None:
    """Upkeep finds it, not a moment before it lapses, and wakes the loop."""
    async with sending(store) as stage:
        await _left_open(store, "g-1")
        stage.clock.advance(30)
        assert await stage.dispatcher.end_lapsed() == 0
        stage.clock.advance(1)
        assert await stage.dispatcher.end_lapsed() == 1
        await quiet(store)
        assert len(stage.callbacks.posts) == 1


async def test_a_lease_outlives_the_attempt(store: SqliteStore) -> None:
    """It is the endpoint's timeout and a margin, so no second worker sends beside the first."""
    async with sending(store, endpoint(timeout=20 * SECOND)) as stage:
        stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue("g-1")
        await stage.turn()
        until = await store.writer.run(
            lambda conn: conn.execute("SELECT leased_until - claimed_at FROM deliveries").fetchone()[0]
        )
        assert timedelta(microseconds=until) == 20 * SECOND + LEASE_MARGIN


async def test_release_leaves_nothing_open(store: SqliteStore) -> None:
    """After a stop in the middle of attempts each is an interrupted row, due at once for the next run."""
    async with sending(store, endpoint(), endpoint("audit")) as stage:
        stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(3))
        await stage.enqueue("done", to="audit")
        await stage.turn()
        stage.tasks.cancel_scope.cancel()
    await stage.dispatcher.release()
    for name in some(3):
        (line,) = await deliveries(store, name)
        assert verdicts(line) == [Verdict.INTERRUPTED]
        assert (line.status, line.due_at) == (DeliveryStatus.PENDING, stage.clock.now())
    assert (await deliveries(store, "done"))[0].status is DeliveryStatus.DELIVERED


async def test_stopping_takes_no_more_and_waits_for_what_is_in_flight(store: SqliteStore) -> None:
    """Nothing new is claimed, what is under way is finished and written, and then it is idle."""
    async with sending(store, endpoint(concurrency=2)) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(5))
        await stage.turn()
        stage.dispatcher.stop_claiming()
        await quiet(store)
        assert not stage.dispatcher._drained.is_set()
        gate.set()
        await stage.dispatcher.drained()
        assert len(stage.callbacks.posts) == 2
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 2, DeliveryStatus.PENDING: 3}


async def test_stopping_with_nothing_in_flight_is_at_once(store: SqliteStore) -> None:
    """An idle daemon does not use up its grace."""
    async with sending(store) as stage:
        stage.dispatcher.stop_claiming()
        await stage.dispatcher.drained()


# ---- changes ------------------------------------------------------------------------------------------------------
async def test_a_new_policy_acts_from_the_next_attempt(store: SqliteStore) -> None:
    """A changed URL and secret are used for what is pending already."""
    other = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
    async with sending(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(404)]
        await stage.enqueue("g-1")
        await stage.turn()
        stage.dispatcher.apply(policies(endpoint(url="https://new.example.com/x", secrets=(Secret(other),))))
        await stage.turn(6)
        post = stage.callbacks.posts[-1]
        assert post.url.host == "new.example.com"
        verify(post.content, post.headers, [other], now=stage.clock.now().timestamp())


async def test_an_endpoint_removed_after_the_claim_parks_the_message(store: SqliteStore) -> None:
    """Nothing is sent to a place that is not in the configuration any more, and nothing is lost."""
    async with sending(store, endpoint(), endpoint("audit")) as stage:
        stage.port.after["exchange"] = lambda: stage.dispatcher.apply(policies(endpoint("audit")))
        await stage.enqueue("g-1")
        await stage.turn()
        await stage.turn()
        assert stage.callbacks.posts == []
        (line,) = await deliveries(store)
        assert line.status is DeliveryStatus.PARKED
        assert "studio is not in the configuration" in line.reason


# ---- a store that cannot write ------------------------------------------------------------------------------------
async def test_nothing_is_sent_while_the_store_cannot_write(store: SqliteStore) -> None:
    """No claim, no POST; when it can, everything goes out."""
    async with sending(store) as stage:
        stage.port.down = True
        await stage.enqueue("g-1")
        await stage.turn()
        assert stage.health.troubles == {STORE: "store: the disk is full"}
        assert stage.callbacks.posts == []
        stage.port.down = False
        stage.health.clear(STORE)
        await quiet(store)
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 1}


async def test_outcomes_wait_for_the_store_and_come_before_new_claims(store: SqliteStore) -> None:
    """Attempts that finish while it is down are kept, written first, and not made again."""
    async with sending(store, endpoint(concurrency=2)) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(4))
        await stage.turn()
        stage.port.down = True
        gate.set()
        await quiet(store)
        assert stage.port.refused["exchange"] >= 1
        assert await statuses(store) == {DeliveryStatus.PENDING: 4}
        assert len(stage.callbacks.posts) == 2
        stage.port.down = False
        stage.health.clear(STORE)
        await stage.callbacks.until(4)
        await quiet(store)
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 4}
        sent = [orjson.loads(post.content)["data"]["generation_id"] for post in stage.callbacks.posts]
        assert sorted(sent) == some(4)


async def test_outcomes_outlive_their_leases(store: SqliteStore) -> None:
    """A store that could not write for an hour, and upkeep first when it can: no callback is posted twice."""
    async with sending(store) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(3))
        await stage.turn()
        stage.port.down = True
        gate.set()
        await quiet(store)
        stage.clock.advance(3600)
        stage.port.down = False
        assert await stage.dispatcher.end_lapsed() == 0
        stage.health.clear(STORE)
        await stage.turn()
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 3}
        assert len(stage.callbacks.posts) == 3


async def test_release_writes_outcomes_that_waited(store: SqliteStore) -> None:
    """A stop right after the store came back loses no outcome either."""
    async with sending(store) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue("g-1")
        await stage.turn()
        stage.port.down = True
        gate.set()
        await quiet(store)
        stage.tasks.cancel_scope.cancel()
    stage.port.down = False
    await stage.dispatcher.release()
    assert await statuses(store) == {DeliveryStatus.DELIVERED: 1}


async def test_a_destination_is_forgotten_when_it_is_empty(store: SqliteStore) -> None:
    """A million callback origins do not stay in memory."""
    async with sending(store, callbacks=CallbackSettings(secret=Secret(SECRET))) as stage:
        for number in range(5):
            await stage.enqueue(f"g-{number}", to=f"https://app{number}.example.com/")
        await stage.turn()
        assert len(stage.callbacks.posts) == 5
        assert Destination("https://app.example.com") not in stage.dispatcher._capacity.in_flight
        assert not stage.dispatcher._capacity.in_flight


# ---- a wall clock that is set -------------------------------------------------------------------------------------
async def _failed_once(stage: Sending, *generations: str, after: float) -> None:
    """Their first attempts failed; the next is due `after` seconds later, and will succeed."""
    stage.callbacks.answers["studio.example.com"] = [*[httpx.Response(503)] * len(generations), httpx.Response(204)]
    await stage.enqueue(*generations)
    await stage.turn()
    await stage.turn()
    assert len(stage.callbacks.posts) == len(generations)
    (line,) = await deliveries(stage.store, generations[0])
    assert line.due_at == stage.clock.now() + after * SECOND


@pytest.mark.parametrize("hour", [3600, -3600])
async def test_a_wait_is_as_long_as_it_was_meant_to_be(store: SqliteStore, hour: float) -> None:
    """The clock is set an hour forward or back: what was due in five seconds goes out after five seconds, once."""
    async with sending(store, endpoint(retry=(timedelta(0), 5 * SECOND))) as stage:
        await _failed_once(stage, "g-1", after=5)
        stage.clock.set_wall(hour)
        for seconds in (0, 4.75, 0.25, 60, 3600):
            await stage.turn(seconds)
        assert stage.callbacks.times == [0, 5]
        signed_at = int(stage.callbacks.posts[-1].headers["webhook-timestamp"])
        assert signed_at == START.timestamp() + 5 + hour, "a receiver goes by the wall clock"


async def test_a_clock_set_forward_lets_loose_no_storm(store: SqliteStore) -> None:
    """A hundred retries that are due over the next hour do not all go out now."""
    async with sending(store, endpoint(retry=(timedelta(0), 1800 * SECOND), concurrency=100)) as stage:
        await _failed_once(stage, *some(100), after=1800)
        stage.clock.set_wall(3600)
        await stage.turn()
        await stage.turn(60)
        assert len(stage.callbacks.posts) == 100
        await stage.turn(1740)
        await stage.callbacks.until(200)


async def test_attempts_in_flight_are_not_made_twice_by_a_clock(store: SqliteStore) -> None:
    """An hour forward runs past every lease; the attempts are ours, and their outcomes count."""
    async with sending(store) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        await stage.enqueue(*some(3))
        await stage.turn()
        stage.clock.set_wall(3600)
        assert await stage.dispatcher.end_lapsed() == 0
        await stage.turn(60)
        gate.set()
        await quiet(store)
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 3}
        assert len(stage.callbacks.posts) == 3


@pytest.mark.parametrize("hour", [3600, -3600])
async def test_outcomes_that_wait_in_memory_follow_the_clock_too(store: SqliteStore, hour: float) -> None:
    """A failure that could not be written down yet is tried again in its time, not an hour off."""
    async with sending(store, endpoint(retry=(timedelta(0), 60 * SECOND))) as stage:
        gate = stage.callbacks.gates["studio.example.com"] = anyio.Event()
        stage.callbacks.answers["studio.example.com"] = [httpx.Response(503), httpx.Response(204)]
        await stage.enqueue("g-1")
        await stage.turn()
        stage.port.down = True
        gate.set()
        await quiet(store)
        stage.clock.set_wall(hour)
        await stage.turn(1)
        stage.port.down = False
        stage.health.clear(STORE)
        for seconds in (1, 57.75):
            await stage.turn(seconds)
            assert len(stage.callbacks.posts) == 1
        await stage.turn(0.25)
        assert len(stage.callbacks.posts) == 2


async def test_a_store_that_cannot_write_follows_the_clock_when_it_can(store: SqliteStore) -> None:
    """Set twice meanwhile: what waits is moved by both before anything is claimed."""
    async with sending(store, endpoint(retry=(timedelta(0), 5 * SECOND))) as stage:
        await _failed_once(stage, "g-1", after=5)
        stage.port.down = True
        for hours in (3, -1):
            stage.clock.set_wall(hours * 3600)
            await stage.turn(1)
        stage.port.down = False
        stage.health.clear(STORE)
        await stage.turn(2.75)
        assert len(stage.callbacks.posts) == 1
        await stage.turn(0.25)
        assert stage.callbacks.times == [0, 5]
