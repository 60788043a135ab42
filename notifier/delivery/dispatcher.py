"""Has every due delivery attempted and every outcome recorded: it drains the outbox. Steps 9 to 13 of the path.

One loop takes turns with the store: each turn hands in the attempts that finished since the last one and claims as many
deliveries as there are free slots, in one transaction (`DeliveryStore.exchange`). Attempts run beside it, each in a
task. So one commit serves many attempts, nothing is claimed without a slot, and outcomes are recorded before anything
new is claimed. `delivery.capacity` says how many attempts may begin, and where, so that an endpoint that hangs costs
only itself.

While the store cannot write, finished attempts wait here (no more than were in flight) and nothing is claimed. If the
wall clock was set, due times follow it before anything is handed in or claimed.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier.delivery.capacity import Capacity
from notifier.delivery.clock_shift import ClockShift
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.outage import OutageDetector
from notifier.delivery.policies import Endpoints
from notifier.delivery.refresher import Refresher
from notifier.domain import retry
from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import Destination, WorkerId
from notifier.domain.model import Answer, AttemptResult, Claim, Interruption, Message, Verdict
from notifier.domain.settings import DEFAULT_RETRY, EndpointSettings
from notifier.domain.slot_sharing import IN_FLIGHT
from notifier.domain.verdict import judge
from notifier.runtime import log_events
from notifier.runtime.clock import JumpClock
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.ports import DeliveryStore
from notifier.store.records import Slots

_log = structlog.get_logger()

#: Seconds after which the loop takes another turn, even if the clock is set.
LONGEST_WAIT: Final = 5.0
_NO_SLOTS: Final = Slots(total=0, free={}, each=0, lease={}, lease_each=timedelta(0))


class MessageSender(Protocol):
    """The part of `delivery.sender` that its users call."""

    async def post(
        self, message: Message, policy: EndpointSettings, *, now: datetime, fresh: bool = False
    ) -> Answer: ...


@dataclass(slots=True, eq=False)
class Dispatcher:
    """Owns the loop; `wakeup` wakes it when a message is due or the configuration changed."""

    store: DeliveryStore
    sender: MessageSender
    endpoints: Endpoints
    _: KW_ONLY
    monitor: EndpointMonitor
    owner: WorkerId
    clock: JumpClock
    random: Callable[[], float]
    wakeup: Wakeup
    health: Health
    heartbeat: Heartbeat
    refresher: Refresher | None = None
    outage: OutageDetector = field(default_factory=OutageDetector)
    in_flight: InitVar[int] = IN_FLIGHT
    _clock_shift: ClockShift = field(init=False)
    _capacity: Capacity = field(init=False)
    _finished: list[AttemptResult] = field(default_factory=list)
    #: Claims that no task works on yet: a task is on its way for each.
    _queue: deque[tuple[Claim, EndpointSettings | None]] = field(default_factory=deque)
    #: Tasks without an attempt.
    _idle_tasks: list[anyio.Event] = field(default_factory=list)
    _claiming: bool = True
    _drained: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self, in_flight: int) -> None:
        self._clock_shift = ClockShift(self.store.due_times, self.clock, self.heartbeat)
        self._capacity = Capacity(self.endpoints, self.clock.monotonic(), in_flight=in_flight)

    # ---- for the composition root and upkeep ----
    def apply(self, endpoints: Endpoints) -> None:
        """Use these from the next attempt on."""
        self.endpoints = endpoints
        self._capacity.apply(endpoints, self.clock.monotonic())
        self.monitor.apply(endpoints)
        self.wakeup.notify()

    def deprioritised(self, destination: Destination) -> bool:
        """Whether its messages yield to those of others."""
        return self._capacity.deprioritised(destination)

    def stop_claiming(self) -> None:
        """Claim nothing more. `drained` returns once every attempt in flight is recorded."""
        self._claiming = False
        self.wakeup.notify()

    async def drained(self) -> None:
        await self._drained.wait()

    async def release(self) -> None:
        """The last write: what finished is recorded, and what is still open is interrupted and due at once."""
        now = self.clock.now()
        announce = self.monitor.announcing(now)
        exchange = await self.store.exchange(self.owner, self._finished, _NO_SLOTS, now=now, announce=announce)
        self._finished = []
        self.monitor.tell(exchange.changed)
        _log_interrupted(await self.store.release(self.owner, self._after_interruption, now=self.clock.now()))

    async def end_lapsed(self) -> int:
        """End attempts of other workers whose lease expired; how many.

        Our own are in flight, or wait to be handed in, even if the clock was set forward or the store could not write
        for long.
        """
        ended = await self.store.end_lapsed(self._after_interruption, now=self.clock.now(), sparing=self.owner)
        _log_interrupted(ended)
        if ended:
            self.wakeup.notify()
        return len(ended)

    def _after_interruption(self, interruption: Interruption) -> AttemptResult:
        policy = self.endpoints.named.get(interruption.destination)
        schedule = DEFAULT_RETRY if policy is None else policy.retry
        return retry.after_interruption(interruption, schedule, now=self.clock.now(), jitter=self.random())

    # ---- the loop ----
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Started once the attempts that the last run left open are interrupted."""
        await self.monitor.begin()
        await self.end_lapsed()
        async with anyio.create_task_group() as attempts:
            task_status.started()
            while True:
                self.heartbeat.beat()
                await self.wakeup.wait(await self._turn(attempts))

    async def _turn(self, attempts: TaskGroup) -> float:
        """One exchange with the store; seconds until the next turn is due without a wakeup."""
        self._follow_clock()
        now = self.clock.now()
        results, self._finished = self._finished, []
        try:
            await self._clock_shift.follow()
            slots = _NO_SLOTS
            if self._claiming:
                room = None if self.refresher is None else self.refresher.room
                slots = self._capacity.slots(self.clock.monotonic(), room_to_refresh=room)
            exchange = await self.store.exchange(
                self.owner, results, slots, now=now, announce=self.monitor.announcing(now)
            )
        except StoreUnavailable as error:
            self._finished = results + self._finished
            self.health.store_failed(error)
            if not self._claiming and not self._capacity.in_flight:
                self._drained.set()  # a stop does not wait for a store that cannot write: the attempts are made again
            await self.health.wait_for_store(LONGEST_WAIT)
            return 0
        self.monitor.tell(exchange.changed)
        self._capacity.yielded(self.clock.monotonic(), some=exchange.yielded)
        for claim in sorted(exchange.claims, key=lambda claim: self.deprioritised(claim.destination)):
            self._begin(attempts, claim)
        if exchange.stale and self.refresher is not None:
            self.refresher.take(exchange.stale)
            return 0  # other deliveries may have the slots meanwhile
        if not self._claiming and not self._finished and not self._capacity.in_flight:
            self._drained.set()
        waits = [LONGEST_WAIT, *self._capacity.waits(self.clock.monotonic())]
        if exchange.next_due is not None:
            waits.append(max(0.0, (exchange.next_due - now).total_seconds()))
        return min(waits)

    def _follow_clock(self) -> None:
        """Move the due times of outcomes from before the clock was set."""
        if by := self._clock_shift.jumped():
            self._finished = [
                replace(result, due_at=result.due_at + by) if result.due_at else result for result in self._finished
            ]

    # ---- one attempt ----
    def _begin(self, attempts: TaskGroup, claim: Claim) -> None:
        self._capacity.begin(claim, self.clock.monotonic())
        self._queue.append((claim, self.endpoints.policy(claim.endpoint)))
        if self._idle_tasks:
            self._idle_tasks.pop().set()
        else:
            attempts.start_soon(self._work)

    async def _work(self) -> None:
        """Make one attempt after the other. Reusing a task costs a quarter of starting one for each attempt."""
        while True:
            while self._queue:
                claim, policy = self._queue.popleft()
                result = retry.not_configured(claim) if policy is None else await self._post(claim, policy)
                self._finished.append(result)
                self._capacity.end(claim, result.verdict, self.clock.monotonic())
                self.wakeup.notify()
            more = anyio.Event()
            self._idle_tasks.append(more)
            await more.wait()

    async def _post(self, claim: Claim, policy: EndpointSettings) -> AttemptResult:
        began = self.clock.monotonic()
        message = Message(id=claim.message_id, content_type=claim.content_type, body=claim.body)
        answer = await self.sender.post(message, policy, now=self.clock.now(), fresh=claim.number > 1)
        ended = self.clock.monotonic()
        self._follow_clock()
        verdict = judge(answer)
        self._capacity.pause(claim.destination, retry.pause(answer, verdict).total_seconds(), ended)
        self._note_resources(answer, verdict, began, ended)
        result = retry.settle(
            claim,
            answer,
            verdict,
            affects_health=self.outage.affects_health(verdict, self.clock.elapsed()),
            retry=policy.retry,
            took=timedelta(seconds=ended - began),
            now=self.clock.now(),
            jitter=self.random(),
            resource_wait=timedelta(seconds=max(0.0, self._capacity.backoff.wait(ended))),
        )
        _log_attempt(claim, result, len(policy.retry))
        return result

    def _note_resources(self, answer: Answer, verdict: Verdict, began: float, ended: float) -> None:
        """Note whether this machine has resources for another attempt, for readiness and for the next turns."""
        backoff = self._capacity.backoff
        if verdict is Verdict.OUT_OF_RESOURCES:
            backoff.failed(began=began, now=ended, in_flight=self._capacity.in_flight.total())
            self.health.resources_exhausted(answer.detail, ended)
        elif backoff.succeeded(began=began):
            self.health.resources_recovered()


def _log_interrupted(attempts: Sequence[Interruption]) -> None:
    if attempts:
        _log.warning(
            log_events.ATTEMPTS_INTERRUPTED,
            count=len(attempts),
            first=attempts[0].message_id,
            note="the outcome of these attempts is not known; each is made again with the same webhook-id",
        )


def _log_attempt(claim: Claim, result: AttemptResult, steps: int) -> None:
    """One wide line that answers: why did this not arrive?"""
    delivered = result.verdict is Verdict.DELIVERED
    log = _log.info if delivered else _log.warning
    generation = {"generation": claim.generation, "provider": claim.provider, "watch": claim.watch_id}
    log(
        log_events.DELIVERY_ATTEMPTED,
        message=claim.message_id,
        type=claim.type,
        **(generation if claim.watch_id else {}),  # a message to the operator is about none
        endpoint=claim.destination,
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
