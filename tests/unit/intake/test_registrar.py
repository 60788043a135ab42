"""The registrar on a real store: nothing is acknowledged before it is durable, and all who must know it learn of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import structlog

from notifier.domain.errors import InvalidWatch, StoreUnavailable
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import (
    Kind,
    Observation,
    OpenGeneration,
    Outcome,
    State,
    Transition,
    WatchRequest,
)
from notifier.intake.registrar import Registrar
from notifier.runtime import log_events
from notifier.runtime.health import STORE, Health
from notifier.runtime.wakeup import Wakeup
from notifier.store.records import Ending
from notifier.store.sqlite import open_store
from notifier.store.sqlite.store import SqliteStore
from tests.support.blank_store import lay

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
LUMA = ProviderName("luma")
G1 = GenerationId("g-1")


class _Still:
    """A clock that does not go on."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass(slots=True, kw_only=True)
class Rig:
    store: SqliteStore
    wakeup: Wakeup = field(default_factory=Wakeup)
    health: Health = field(default_factory=Health)
    opened: list[OpenGeneration] = field(default_factory=list)

    async def register(self, *requests: WatchRequest, keep_first: bool = False) -> list[Outcome]:
        registrar = Registrar(
            self.store,
            clock=_Still(),
            add_open=self.opened.extend,
            deliveries=self.wakeup,
            health=self.health,
        )
        answers = await registrar.register(requests, source="a test", keep_first=keep_first)
        return [answer.outcome for answer in answers]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_store(lay(tmp_path / "notifier.db")) as store:
        yield Rig(store=store)


def request(generation: str = "g-1", **more: Any) -> WatchRequest:
    fields: dict[str, Any] = {"target": State.COMPLETED, "timeout": timedelta(hours=1)} | more
    return WatchRequest(
        provider=LUMA,
        generation=GenerationId(generation),
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        **fields,
    )


async def finish(store: SqliteStore) -> None:
    sight = Transition(
        provider=LUMA, observation=Observation(id=G1, state=State.COMPLETED), observed_at=NOW, not_before=None
    )
    await store.record_transitions([sight], now=NOW)


async def test_a_new_watch_is_durable_and_the_poller_is_told(rig: Rig) -> None:
    """By the time it is acknowledged the store has it, and the poller knows what to look at."""
    assert await rig.register(request()) == [Outcome.CREATED]
    assert (await rig.store.counts()).open_generations == 1
    assert [(open_.id, open_.deadline) for open_ in rig.opened] == [("g-1", NOW + timedelta(hours=1))]
    assert not await rig.wakeup.wait(0)


async def test_the_same_watch_again_disturbs_nobody(rig: Rig) -> None:
    """A restart that declares its watches again makes nothing new and hurries no look."""
    await rig.register(request())
    rig.opened.clear()
    with structlog.testing.capture_logs() as said:
        assert await rig.register(request()) == [Outcome.EXISTING]
    assert rig.opened == []
    assert [line["log_level"] for line in said] == ["debug"]


async def test_a_finished_watch_is_not_asked_for_again(rig: Rig) -> None:
    """Registering it posts nothing and looks at nothing."""
    await rig.register(request())
    await finish(rig.store)
    rig.opened.clear()
    assert await rig.register(request()) == [Outcome.FINISHED]
    assert rig.opened == []
    assert not await rig.wakeup.wait(0)


async def test_a_watch_that_comes_late_is_owed_its_callback_at_once(rig: Rig) -> None:
    """The generation is at its target already: the dispatcher is woken, and nobody looks again."""
    await rig.register(request(target=State.RUNNING))
    await finish(rig.store)
    rig.opened.clear()
    assert await rig.register(request()) == [Outcome.CREATED]
    assert await rig.wakeup.wait(0)
    assert rig.opened == []


async def test_a_reopened_watch_is_looked_at_again(rig: Rig) -> None:
    """What expired is watched anew, with a new deadline."""
    await rig.register(request(timeout=timedelta(0)))
    await rig.store.end_watches([Ending(provider=LUMA, generation=G1, kind=Kind.EXPIRED, observed_at=NOW)], now=NOW)
    rig.opened.clear()
    assert await rig.register(request()) == [Outcome.REOPENED]
    assert [open_.deadline for open_ in rig.opened] == [NOW + timedelta(hours=1)]


async def test_other_content_is_refused_whole(rig: Rig) -> None:
    """One conflict in a list and nothing of the list is registered; nobody learns of it."""
    await rig.register(request())
    rig.opened.clear()
    with pytest.raises(InvalidWatch) as refused:
        await rig.register(request("g-2"), request(metadata=b'{"a":1}'))
    assert [fault.path for fault in refused.value.faults] == ["[1]"]
    assert "metadata" in str(refused.value)
    assert rig.opened == []
    assert (await rig.store.counts()).open_generations == 1


async def test_the_operators_own_files_keep_the_first_and_say_so(rig: Rig) -> None:
    """Other content from YAML is a warning that names what differs, and the watch that is open stays."""
    await rig.register(request())
    with structlog.testing.capture_logs() as said:
        assert await rig.register(request(metadata=b'{"a":1}'), keep_first=True) == [Outcome.KEPT]
    (kept,) = [line for line in said if line["event"] == log_events.WATCH_KEPT]
    assert kept["differs"] == ("metadata",)
    assert kept["generation"] == "g-1"


async def test_a_store_that_cannot_write_accepts_nothing_and_is_told_of(rig: Rig) -> None:
    """The sender may try again, readiness says why, and nobody learned of a watch that is not there."""
    await rig.store.writer.run(lambda conn: conn.execute("PRAGMA query_only = on").close())
    with pytest.raises(StoreUnavailable):
        await rig.register(request())
    assert STORE in rig.health.troubles
    assert rig.opened == []
    await rig.store.writer.run(lambda conn: conn.execute("PRAGMA query_only = off").close())
    assert (await rig.store.counts()).open_generations == 0


async def test_one_line_tells_of_a_whole_list(rig: Rig) -> None:
    """A thousand watches are one line of log with their outcomes counted."""
    await rig.register(request())
    with structlog.testing.capture_logs() as said:
        await rig.register(*(request(f"g-{number}") for number in range(1, 5)))
    (line,) = said
    assert (line["created"], line["existing"], line["source"]) == (3, 1, "a test")


async def test_what_is_declared_is_remembered_for_the_run(rig: Rig) -> None:
    """Also if it was finished already or is taken out later; what others register is not declared."""
    registrar = Registrar(
        rig.store,
        clock=_Still(),
        add_open=rig.opened.extend,
        deliveries=rig.wakeup,
        health=rig.health,
    )
    await registrar.register([request("g-2")], source="a drop file")
    assert registrar.declared == set()
    await rig.register(request())
    await finish(rig.store)
    (answer,) = await registrar.register([request()], source="config.yaml", keep_first=True)
    assert answer.outcome is Outcome.FINISHED
    await registrar.register([request("g-3")], source="watches.yaml", keep_first=True)
    assert answer.watch_id in registrar.declared
    assert len(registrar.declared) == 2


async def test_others_have_turns_while_the_poller_is_told_of_many(rig: Rig) -> None:
    """A list may hold 100,000 watches: what is handed on at once is bounded, and all are handed on in order."""
    turns: list[int] = []
    told: list[str] = []
    stop = anyio.Event()

    async def others() -> None:
        while not stop.is_set():
            turns.append(len(told))
            await anyio.lowlevel.checkpoint()

    registrar = Registrar(
        rig.store,
        clock=_Still(),
        add_open=lambda watched: told.extend(each.id for each in watched),
        deliveries=rig.wakeup,
        health=rig.health,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        await registrar.register([request(f"g-{number}") for number in range(3_500)], source="a test")
        stop.set()
    assert told == [f"g-{number}" for number in range(3_500)]
    assert sorted({*turns}) == [0, 1_000, 2_000, 3_000]
