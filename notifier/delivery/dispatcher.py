"""Gets every due delivery attempted, and every outcome written down. Steps 9 to 13 of the path.

One loop takes turns with the store: each turn hands in the attempts that finished since the last one and claims as many
as there are free slots, in one transaction (`DeliveryStore.exchange`). Posts run beside it, a task each. So one commit
serves many attempts, a claim is never made without a slot, and what finished is written before anything is claimed.
How slots are shared, so that an endpoint that hangs costs only itself, `delivery.shares` says.

While the store cannot write, finished attempts wait here (no more than were in flight) and nothing is claimed. Where
the wall clock was set, what waits follows it before anything is handed in or claimed.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier import telemetry
from notifier.bell import Bell
from notifier.clock import JumpClock
from notifier.delivery import schedule, shares
from notifier.delivery.endpoints import Endpoints
from notifier.delivery.keeper import Keeper
from notifier.delivery.rates import Rates
from notifier.delivery.reach import Reach
from notifier.delivery.verdict import judge
from notifier.delivery.waits import Waits
from notifier.errors import StoreUnavailable
from notifier.health import Health, Pulse
from notifier.ids import Lane, WorkerId
from notifier.model import Answer, AttemptResult, Claim, DeliveryStatus, Interruption, Stale, Verdict
from notifier.settings import DEFAULT_RETRY, EndpointSettings
from notifier.store.base import DeliveryStore, Freshness, Slots

_log = structlog.get_logger()

#: A lease outlives the attempt it is for by this, so that no second worker sends beside the first.
LEASE_MARGIN: Final = timedelta(seconds=15)
#: An attempt waits no longer for its result to be read again.
HOLD: Final = timedelta(seconds=10)
#: The loop looks again after this, whatever the clock was set to meanwhile.
LONGEST_WAIT: Final = 5.0
#: Lanes at rest that are remembered at a time.
_RESTING: Final = 1024
#: Seconds past the moment at which a lane turns slow.
_GRAIN: Final = 0.01


class Posts(Protocol):
    """The sender."""

    async def post(self, claim: Claim, policy: EndpointSettings, *, now: datetime) -> Answer: ...


class Refreshes(Protocol):
    """The refresher."""

    @property
    def room(self) -> int: ...

    def take(self, stale: Sequence[Stale]) -> None: ...


class Dispatcher:
    """Owns the loop; `bell` wakes it when something was owed or a configuration changed."""

    def __init__(
        self,
        store: DeliveryStore,
        sender: Posts,
        endpoints: Endpoints,
        *,
        keeper: Keeper,
        owner: WorkerId,
        clock: JumpClock,
        chance: Callable[[], float],
        bell: Bell,
        health: Health,
        pulse: Pulse,
        refresher: Refreshes | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._store = store
        self._sender = sender
        self._endpoints = endpoints
        self._keeper = keeper
        self._owner = owner
        self._clock = clock
        self._chance = chance
        self._bell = bell
        self._health = health
        self._pulse = pulse
        self._refresher = refresher
        self._reach = reach or Reach()
        self._waits = Waits(store, clock, pulse)
        self._finished: list[AttemptResult] = []
        self._in_flight: Counter[Lane] = Counter()
        #: Claims whose attempt no task has taken up yet: there is one on its way for each.
        self._begun: deque[tuple[Claim, EndpointSettings | None]] = deque()
        #: Tasks without an attempt.
        self._resting: list[anyio.Event] = []
        self._rates = Rates()
        self._rates.apply(self._named_lanes(), clock.monotonic())
        #: Lanes that want less -> until when nothing more begins there, by the monotonic clock.
        self._rests: dict[Lane, float] = {}
        self._paces = shares.Paces()
        self._taking = True
        self._idle = anyio.Event()

    # ---- for the app ----
    def apply(self, endpoints: Endpoints) -> None:
        """Use these from the next attempt on."""
        self._endpoints = endpoints
        self._rates.apply(self._named_lanes(), self._clock.monotonic())
        self._keeper.apply(endpoints)
        self._bell.ring()

    def poor(self, lane: Lane) -> bool:
        """Whether what it is owed gives way to what others are owed."""
        return self._paces.poor(lane, self._clock.monotonic())

    def stop_taking(self) -> None:
        """Claim nothing more; `idle` is reached when what is in flight has been written down."""
        self._taking = False
        self._bell.ring()

    async def idle(self) -> None:
        await self._idle.wait()

    async def hand_back(self) -> None:
        """The last write: what finished is recorded, what is still open is interrupted and due at once."""
        now = self._clock.now()
        announce = self._keeper.announcing(now)
        exchange = await self._store.exchange(self._owner, self._finished, _none(), now=now, announce=announce)
        self._finished = []
        self._keeper.tell(exchange.changed)
        await self._free(lapsed_only=False)

    async def free_lapsed(self) -> int:
        """End attempts of other workers whose lease ran out; how many.

        Our own are in flight, or wait to be handed in: a clock set forward, or a store that could not write for long,
        does not make them anybody else's.
        """
        freed = await self._free(lapsed_only=True, sparing=self._owner)
        if freed:
            self._bell.ring()
        return len(freed)

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the attempts that the last run left open are interrupted."""
        await self._keeper.begin()
        await self._free(lapsed_only=False)
        async with anyio.create_task_group() as posts:
            task_status.started()
            while True:
                self._pulse.beat()
                await self._bell.wait(await self._turn(posts))

    async def _turn(self, posts: TaskGroup) -> float:
        """One exchange with the store; seconds until the next turn is due without a bell."""
        self._follow_clock()
        now = self._clock.now()
        results, self._finished = self._finished, []
        try:
            await self._waits.keep()
            exchange = await self._store.exchange(
                self._owner, results, self._slots(), now=now, announce=self._keeper.announcing(now)
            )
        except StoreUnavailable as error:
            self._finished = results + self._finished
            self._health.store_failed(error)
            if not self._taking and not self._in_flight:
                self._idle.set()  # nobody stays for a store that cannot write: what finished is made again
            await self._health.wait_for_store(LONGEST_WAIT)
            return 0
        self._keeper.tell(exchange.changed)
        for claim in sorted(exchange.claims, key=lambda claim: self.poor(claim.lane)):
            self._begin(posts, claim)
        if exchange.stale and self._refresher is not None:
            self._refresher.take(exchange.stale)
            return 0  # others may have the slots meanwhile
        if not self._taking and not self._finished and not self._in_flight.total():
            self._idle.set()
        return self._wait(exchange.next_due, now)

    def _follow_clock(self) -> None:
        """Outcomes from before the clock was set were reckoned by the old time."""
        if by := self._waits.jumped():
            self._finished = [
                replace(result, due_at=result.due_at + by) if result.due_at else result for result in self._finished
            ]

    def _wait(self, next_due: datetime | None, now: datetime) -> float:
        waits = [LONGEST_WAIT]
        if next_due is not None:
            waits.append(max(0.0, (next_due - now).total_seconds()))
        monotonic = self._clock.monotonic()
        if (patience := self._paces.wait(monotonic)) is not None:
            waits.append(patience + _GRAIN)  # a lane that turns slow leaves its pool to the others
        waits += [until - monotonic for until in self._rests.values() if until > monotonic]
        waits += self._rates.waits(monotonic)
        return min(waits)

    # ---- slots ----
    def _slots(self) -> Slots:
        """What may begin now. Lanes named, busy or at rest are listed; any other has a callback URL's share."""
        if not self._taking:
            return _none()
        lanes = self._named_lanes()
        self._rests = {lane: until for lane, until in self._rests.items() if until > self._clock.monotonic()}
        busy = {lane: self._endpoints.plain(lane) for lane in (*self._in_flight, *self._rests) if lane not in lanes}
        policies = lanes | busy
        each = self._endpoints.plain(Lane(""))
        pool_of = self._pool_of(lanes)
        return Slots(
            total=shares.IN_FLIGHT - self._in_flight.total(),
            free={lane: self._room(lane, policy) for lane, policy in policies.items()},
            each=each.concurrency,
            lease={lane: policy.timeout + LEASE_MARGIN for lane, policy in lanes.items()},
            lease_each=each.timeout + LEASE_MARGIN,
            held=dict(self._in_flight),
            pool_of=pool_of,
            pools=shares.left_in_pools(held := self._held(pool_of)),
            firsts=shares.firsts_in_pools(held),
            freshness=self._freshness(lanes, each),
        )

    def _freshness(self, lanes: Mapping[Lane, EndpointSettings], each: EndpointSettings) -> Freshness | None:
        if self._refresher is None:
            return None
        return Freshness(
            room=self._refresher.room,
            hold=HOLD,
            after={lane: policy.refresh_after for lane, policy in lanes.items()},
            each=each.refresh_after,
        )

    def _pool_of(self, named: Iterable[Lane]) -> dict[Lane, str]:
        slow = self._paces.slow(self._clock.monotonic())
        return dict.fromkeys(named, shares.NAMED) | dict.fromkeys(slow, shares.SLOW)

    def _held(self, pool_of: Mapping[Lane, str]) -> Counter[str]:
        """Slots in use, by pool."""
        held: Counter[str] = Counter()
        for lane, count in self._in_flight.items():
            held[pool_of.get(lane, shares.ORIGINS)] += count
        return held

    def _room(self, lane: Lane, policy: EndpointSettings) -> int:
        if lane in self._rests:
            return 0
        room = policy.concurrency - self._in_flight[lane]
        allowed = self._rates.room(lane, self._clock.monotonic())
        return max(0, room if allowed is None else min(room, allowed))

    def _named_lanes(self) -> dict[Lane, EndpointSettings]:
        return {policy.lane: policy for policy in self._endpoints.named.values()}

    # ---- one attempt ----
    def _begin(self, posts: TaskGroup, claim: Claim) -> None:
        self._in_flight[claim.lane] += 1
        self._paces.begin(claim.lane, (claim.message_id, claim.number), self._clock.monotonic())
        self._rates.begin(claim.lane, self._clock.monotonic())
        self._begun.append((claim, self._endpoints.policy(claim.endpoint)))
        if self._resting:
            self._resting.pop().set()
        else:
            posts.start_soon(self._work)

    async def _work(self) -> None:
        """One attempt after the other. A task that stays costs a quarter of a new one for each attempt."""
        while True:
            while self._begun:
                await self._attempt(*self._begun.popleft())
            rest = anyio.Event()
            self._resting.append(rest)
            await rest.wait()

    async def _attempt(self, claim: Claim, policy: EndpointSettings | None) -> None:
        began = self._clock.monotonic()
        if policy is None:
            result = _unmade(claim)
        else:
            answer = await self._sender.post(claim, policy, now=self._clock.now())
            took = timedelta(seconds=self._clock.monotonic() - began)
            self._follow_clock()
            verdict = judge(answer)
            self._let_rest(claim.lane, schedule.rest(answer, verdict).total_seconds())
            result = schedule.settle(
                claim,
                answer,
                verdict,
                counts=self._reach.counts(verdict, self._clock.elapsed()),
                retry=policy.retry,
                took=took,
                now=self._clock.now(),
                jitter=self._chance(),
            )
            _tell(claim, result, len(policy.retry))
        self._finished.append(result)
        delivered = result.verdict is Verdict.DELIVERED
        self._paces.end(claim.lane, (claim.message_id, claim.number), self._clock.monotonic(), delivered=delivered)
        self._in_flight[claim.lane] -= 1
        if not self._in_flight[claim.lane]:
            del self._in_flight[claim.lane]
        self._bell.ring()

    def _let_rest(self, lane: Lane, seconds: float) -> None:
        if not seconds:
            return
        self._rests[lane] = max(self._rests.get(lane, 0.0), self._clock.monotonic() + seconds)
        if len(self._rests) > _RESTING:  # whoever may name callback URLs may name thousands of origins
            del self._rests[next(iter(self._rests))]

    # ---- attempts that nobody closed ----
    async def _free(self, *, lapsed_only: bool, sparing: WorkerId | None = None) -> list[Interruption]:
        freed = await self._store.free_leases(
            self._after_interruption, now=self._clock.now(), lapsed_only=lapsed_only, sparing=sparing
        )
        if freed:
            _log.warning(
                telemetry.ATTEMPTS_INTERRUPTED,
                count=len(freed),
                first=freed[0].message_id,
                note="the outcome of these attempts is not known; each is made again with the same webhook-id",
            )
        return freed

    def _after_interruption(self, interruption: Interruption) -> AttemptResult:
        policy = self._endpoints.named.get(interruption.lane)
        retry = DEFAULT_RETRY if policy is None else policy.retry
        return schedule.after_interruption(interruption, retry, now=self._clock.now(), jitter=self._chance())


def _none() -> Slots:
    return Slots(total=0, free={}, each=0, lease={}, lease_each=timedelta(0))


def _unmade(claim: Claim) -> AttemptResult:
    """The endpoint was taken out of the configuration between the claim and the attempt."""
    return AttemptResult(
        message_id=claim.message_id,
        number=claim.number,
        started_at=claim.started_at,
        took=timedelta(0),
        verdict=Verdict.INTERRUPTED,
        status_code=None,
        head=b"",
        detail=f"endpoint {claim.lane} is not in the configuration any more: nothing was sent",
        status=DeliveryStatus.PARKED,
        failures=claim.failures,
        due_at=None,
    )


def _about(claim: Claim) -> dict[str, str]:
    """The generation it is about; a message to the operator is about none."""
    if not claim.watch_id:
        return {}
    return {"generation": claim.generation, "provider": claim.provider, "watch": claim.watch_id}


def _tell(claim: Claim, result: AttemptResult, steps: int) -> None:
    """The wide line: why did this not arrive?"""
    delivered = result.verdict is Verdict.DELIVERED
    log = _log.info if delivered else _log.warning
    log(
        telemetry.DELIVERY_ATTEMPTED,
        message=claim.message_id,
        type=claim.type,
        **_about(claim),
        endpoint=claim.lane,
        attempt=claim.number,
        trigger=claim.trigger.value,
        step=result.failures if not delivered else claim.failures + 1,
        of=steps,
        verdict=result.verdict.value,
        status=result.status_code,
        took_ms=round(result.took / timedelta(milliseconds=1)),
        detail=result.detail,
        delivery=result.status.value,
        next_attempt_at=result.due_at and result.due_at.isoformat(),
    )
