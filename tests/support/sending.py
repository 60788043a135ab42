"""One dispatcher on a real store, with an answering wire and a clock moved by hand."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from notifier.delivery.dispatcher import Dispatcher, MessageSender
from notifier.delivery.endpoint_monitor import EndpointMonitor
from notifier.delivery.policies import Endpoints
from notifier.delivery.sender import Sender
from notifier.domain.ids import WorkerId
from notifier.domain.settings import CallbackSettings, EndpointSettings
from notifier.runtime.health import Health
from notifier.runtime.heartbeat import Heartbeat
from notifier.runtime.wakeup import Wakeup
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import (
    Callbacks,
    HandClock,
    Tripped,
    endpoint,
    enqueue,
    quiet,
)


@dataclass(slots=True, kw_only=True)
class Sending:
    """One dispatcher, and all that a test moves or reads."""

    store: SqliteStore
    clock: HandClock
    callbacks: Callbacks
    dispatcher: Dispatcher
    health: Health
    wakeup: Wakeup
    port: Tripped
    tasks: anyio.abc.TaskGroup

    async def turn(self, seconds: float = 0.0) -> None:
        """Let so much time pass, notify, and wait until all that follows has happened."""
        self.clock.advance(seconds)
        self.wakeup.notify()
        await quiet(self.store)

    async def enqueue(self, *generations: str, to: str = "studio") -> None:
        await enqueue(self.store, *generations, at=self.clock.now(), endpoint=to)


def policies(
    *endpoints: EndpointSettings, callbacks: CallbackSettings | None = None, operator: str | None = None
) -> Endpoints:
    return Endpoints({each.identity: each for each in endpoints}, callbacks, operator=operator)


def dispatcher_on(port: Any, sender: MessageSender, clock: HandClock, endpoints: Endpoints, **more: Any) -> Dispatcher:
    parts: dict[str, Any] = {
        "owner": WorkerId("worker-1"),
        "clock": clock,
        "random": lambda: 0.0,
        "wakeup": Wakeup(),
        "health": Health(),
        "heartbeat": Heartbeat("dispatcher", clock, limit=25),
    } | more
    tokens = (f"random{number}" for number in itertools.count(1))
    monitor = EndpointMonitor(port, endpoints, clock=clock, health=parts["health"], token=lambda: next(tokens))
    return Dispatcher(port, sender, endpoints, monitor=monitor, **parts)


@asynccontextmanager
async def sending(store: SqliteStore, *endpoints: EndpointSettings, **more: Any) -> AsyncIterator[Sending]:
    clock, wakeup, health, port = HandClock(), Wakeup(), Health(), Tripped(store)
    callbacks = Callbacks(clock=clock)
    configured = policies(*(endpoints or (endpoint(),)), **more)
    wire = httpx.MockTransport(callbacks)
    sender = Sender(open_wire=wire, guarded_wire=wire)
    dispatcher = dispatcher_on(port, sender, clock, configured, wakeup=wakeup, health=health)
    async with anyio.create_task_group() as tasks:
        await tasks.start(dispatcher.run)
        await quiet(store)
        yield Sending(
            store=store,
            clock=clock,
            callbacks=callbacks,
            dispatcher=dispatcher,
            health=health,
            wakeup=wakeup,
            port=port,
            tasks=tasks,
        )
        tasks.cancel_scope.cancel()
