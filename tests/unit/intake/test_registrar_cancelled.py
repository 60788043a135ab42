"""A registration whose caller gave up while the store was committing."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import anyio

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import OpenGeneration, Registration, State, WatchRequest
from notifier.intake.registrar import Registrar
from notifier.runtime.clock import SystemClock
from notifier.runtime.health import Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.sqlite import open_store


class _Slow:
    """A port that lets its caller be cancelled while the store works."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.begun = anyio.Event()

    async def add_watches(self, requests: Sequence[WatchRequest], **more: Any) -> list[Registration]:
        self.begun.set()
        answers: list[Registration] = await self._store.add_watches(requests, **more)
        return answers


async def test_what_was_committed_is_told_to_the_poller(tmp_path: Any) -> None:
    """A reload that ends the caller at that moment costs no watch: what is durable is watched."""
    opened: list[OpenGeneration] = []
    request = WatchRequest(
        provider=ProviderName("luma"),
        generation=GenerationId("g-1"),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        timeout=timedelta(hours=1),
    )
    async with open_store(str(tmp_path / "n.db")) as store, anyio.create_task_group() as tasks:
        port = _Slow(store)
        registrar = Registrar(
            port,
            clock=SystemClock(),
            add_open=opened.extend,
            deliveries=Wakeup(),
            health=Health(),
        )

        async def register() -> None:
            await registrar.register([request], source="a test")

        tasks.start_soon(register)
        await port.begun.wait()
        tasks.cancel_scope.cancel()
    assert [each.id for each in opened] == ["g-1"]
