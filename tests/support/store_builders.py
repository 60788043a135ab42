"""Small builders of what the store is given, so that a test names only what matters to it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WorkerId, watch_id
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    EndpointDirectory,
    Interruption,
    Kind,
    Observation,
    Registration,
    Result,
    State,
    Transition,
    Verdict,
    WatchRequest,
)
from notifier.store.ports import Store
from notifier.store.records import DeliverySummary, Ending, Exchange, History, Slots

#: Opens the test's one store; after it was closed, opens the same one again.
Opening = Callable[[], AbstractAsyncContextManager[Store]]
#: Opens what `backup` has written.
OpeningCopy = Callable[[str], AbstractAsyncContextManager[Store]]

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LUMA = ProviderName("luma")
ME = WorkerId("worker-1")
OTHER = WorkerId("worker-2")
#: Every endpoint that tests name is configured and wants everything. Stores of `blank_store` were told this.
DIRECTORY = EndpointDirectory(events=dict.fromkeys(("studio", "audit", "slow")), callbacks=True)
NOBODY = EndpointDirectory(events={}, callbacks=False)


def request(
    generation: str = "g-1",
    *,
    endpoint: str = "studio",
    target: State = State.COMPLETED,
    provider: str = "luma",
    **more: Any,
) -> WatchRequest:
    destination = "https://app.example.com" if "://" in endpoint else endpoint
    fields: dict[str, Any] = {"timeout": HOUR, "metadata": b"{}", "destination": Destination(destination)} | more
    return WatchRequest(
        provider=ProviderName(provider),
        generation=GenerationId(generation),
        target=target,
        endpoint=EndpointIdentity(endpoint),
        **fields,
    )


def seen(
    generation: str = "g-1",
    state: State | None = State.COMPLETED,
    *,
    provider: str = "luma",
    at: datetime = NOW,
    not_before: datetime | None = None,
    **more: Any,
) -> Transition:
    fields: dict[str, Any] = {
        "provider_state": None if state is None else str(state),
        "result": Result(url="https://cdn.example.com/v.mp4", urls=("https://cdn.example.com/v.mp4",)),
        "record": {"id": generation},
    } | more
    observation = Observation(id=GenerationId(generation), state=state, **fields)
    return Transition(provider=ProviderName(provider), observation=observation, observed_at=at, not_before=not_before)


def ending(generation: str, kind: Kind, *, at: datetime = NOW) -> Ending:
    return Ending(provider=LUMA, generation=GenerationId(generation), kind=kind, observed_at=at)


def slots(total: int = 64, *, each: int | None = None, lease: timedelta = 30 * SECOND, **free: int) -> Slots:
    return Slots(
        total=total,
        free={Destination(destination): count for destination, count in free.items()},
        each=total if each is None else each,
        lease={},
        lease_each=lease,
    )


def outcome(claim: Claim, verdict: Verdict = Verdict.DELIVERED, **more: Any) -> AttemptResult:
    """How an attempt at `claim` ended; a failure is due again an hour after it began."""
    done = verdict is Verdict.DELIVERED
    fields: dict[str, Any] = {
        "status": DeliveryStatus.DELIVERED if done else DeliveryStatus.PENDING,
        "failures": claim.failures if done else claim.failures + 1,
        "due_at": None if done else claim.started_at + HOUR,
        "status_code": 200 if done else 503,
        "number": claim.number,
        "detail": "",
    } | more
    return AttemptResult(
        message_id=claim.message_id,
        started_at=claim.started_at,
        took=timedelta(milliseconds=412),
        verdict=verdict,
        head=b"thanks",
        **fields,
    )


def again_at(moment: datetime, *, failures: int | None = None, status: DeliveryStatus = DeliveryStatus.PENDING) -> Any:
    """A decision on interruptions: due at `moment`, nothing used up unless `failures` says so."""

    def decide(interruption: Interruption) -> AttemptResult:
        return AttemptResult(
            message_id=interruption.message_id,
            number=interruption.number,
            started_at=datetime(1999, 1, 1, tzinfo=UTC),  # the store knows better
            took=timedelta(days=9),
            verdict=Verdict.INTERRUPTED,
            status_code=None,
            head=b"",
            detail="the worker is gone",
            status=status,
            failures=interruption.failures if failures is None else failures,
            due_at=moment if status is DeliveryStatus.PENDING else None,
        )

    return decide


async def apply(store: Store, directory: EndpointDirectory = DIRECTORY, *, now: datetime = NOW) -> tuple[int, int]:
    """(parked, resumed)."""
    applied = await store.apply_directory(directory, now=now)
    return applied.parked, applied.resumed


async def add(store: Store, *requests: WatchRequest, now: datetime = NOW) -> list[Registration]:
    return await store.add_watches(requests, now=now)


async def enqueue(store: Store, *generations: str, endpoint: str = "studio", now: datetime = NOW) -> None:
    """Watch each generation at `endpoint` and complete it: one delivery each, due at `now`."""
    await add(store, *(request(name, endpoint=endpoint) for name in generations), now=now)
    await store.record_transitions([seen(name, at=now) for name in generations], now=now)


async def take(store: Store, *results: AttemptResult, now: datetime = NOW, **free: Any) -> Exchange:
    """Hand `results` in and claim up to 64."""
    return await store.exchange(ME, results, slots(**free), now=now)


async def history(store: Store, generation: str = "g-1") -> History:
    (found,) = await store.histories(GenerationId(generation))
    return found


async def deliveries(store: Store, generation: str = "g-1") -> list[DeliverySummary]:
    """All deliveries of one generation, by watch."""
    return [line for watch in (await history(store, generation)).watches for line in watch.deliveries]


async def still_open(store: Store, provider: str = "luma") -> set[str]:
    return {entry.id async for chunk in store.open_generations(ProviderName(provider)) for entry in chunk}


def ids(exchange: Exchange) -> list[str]:
    return [claim.generation for claim in exchange.claims]


def messages(exchange: Exchange) -> list[MessageId]:
    return [claim.message_id for claim in exchange.claims]


def id_of(wanted: WatchRequest) -> str:
    return watch_id(
        provider=wanted.provider, generation=wanted.generation, target=wanted.target, endpoint=wanted.endpoint
    )
