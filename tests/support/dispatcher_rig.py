"""A dispatcher at work on a real store, over any wire, real sockets too: its answers can be waited for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio
import httpx

from notifier.delivery.dispatcher import Dispatcher, MessageSender
from notifier.delivery.sender import Sender
from notifier.domain.ids import WorkerId
from notifier.domain.model import Answer, Message
from notifier.domain.settings import CallbackSettings, EndpointSettings
from notifier.net.transport import AiohttpTransport
from notifier.runtime.health import Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.sqlite.store import SqliteStore
from tests.support.fakes import Callbacks, HandClock, Tripped, endpoint, quiet
from tests.support.sending import dispatcher_on, policies


class Posting:
    """A sender whose answers can be waited for."""

    def __init__(self, sender: MessageSender) -> None:
        self._sender = sender
        self.answers: list[Answer] = []
        self._answered = anyio.Event()

    async def post(self, message: Message, policy: EndpointSettings, *, now: datetime, fresh: bool = False) -> Answer:
        answer = await self._sender.post(message, policy, now=now, fresh=fresh)
        self.answers.append(answer)
        self._answered.set()
        self._answered = anyio.Event()
        return answer

    async def until(self, count: int) -> None:
        """Until so many attempts have an answer."""
        while len(self.answers) < count:
            await self._answered.wait()


@dataclass(slots=True, kw_only=True)
class Worker:
    """One dispatcher at work, and what a test moves or reads."""

    store: SqliteStore
    clock: HandClock
    dispatcher: Dispatcher
    posting: Posting
    health: Health
    wakeup: Wakeup
    port: Tripped

    async def turn(self, seconds: float = 0.0) -> None:
        """Let so much time pass, notify, and wait until nothing moves but the wire."""
        self.clock.advance(seconds)
        self.wakeup.notify()
        await quiet(self.store)


@asynccontextmanager
async def worker(
    store: SqliteStore,
    wire: httpx.AsyncBaseTransport,
    *endpoints: EndpointSettings,
    clock: HandClock | None = None,
    chance: float = 0.0,
    owner: str = "worker-1",
    callbacks: CallbackSettings | None = None,
) -> AsyncIterator[Worker]:
    """A dispatcher over `wire`, which is both of the sender's."""
    hand, wakeup, health, port = clock or HandClock(), Wakeup(), Health(), Tripped(store)
    posting = Posting(Sender(open_wire=wire, guarded_wire=wire))
    configured = policies(*(endpoints or (endpoint(),)), callbacks=callbacks)
    dispatcher = dispatcher_on(
        port,
        posting,
        hand,
        configured,
        owner=WorkerId(owner),
        random=lambda: chance,
        wakeup=wakeup,
        health=health,
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(dispatcher.run)
        await quiet(store)
        yield Worker(
            store=store, clock=hand, dispatcher=dispatcher, posting=posting, health=health, wakeup=wakeup, port=port
        )
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def aiohttp_wire(**options: Any) -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport(**options)
    try:
        yield transport
    finally:
        await transport.aclose()


def taking(*answers: httpx.Response | Exception) -> tuple[Callbacks, httpx.MockTransport]:
    """A receiver that answers one after the other, the last one for ever, or 204; and the wire to it."""
    callbacks = Callbacks(clock=HandClock(), answers={"studio.example.com": list(answers)})
    return callbacks, httpx.MockTransport(callbacks)
