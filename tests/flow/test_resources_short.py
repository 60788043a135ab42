"""What happens where this machine has too little for another connection: nobody is blamed, and nothing is lost."""

import errno
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from notifier.domain.model import DeliveryStatus, State, Verdict
from notifier.domain.settings import CallbackSettings, Secret, TlsSettings
from notifier.net.connection_attempt import ConnectionAttempt
from notifier.net.tls_errors import Side
from notifier.net.transport_errors import AddressRefused, OutOfResources, translate
from notifier.runtime.health import RESOURCES
from notifier.store.sqlite.store import SqliteStore
from tests.support.dispatcher_rig import aiohttp_wire
from tests.support.fakes import START, deliveries, endpoint, heard, request, some, statuses, verdicts, watching
from tests.support.sending import sending

NO_FILES = translate(OSError(errno.EMFILE, "x"))
LACKS = {name: translate(OSError(getattr(errno, name), "x")) for name in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")}


# ---- callbacks ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("error", LACKS.values(), ids=LACKS)
async def test_no_step_of_the_schedule_is_used_up(store: SqliteStore, error: httpx.TransportError) -> None:
    """Far more often than the schedule has steps; then it is delivered, and no endpoint stands worse for it."""
    async with sending(store, endpoint(retry=())) as stage:
        stage.callbacks.answers["studio.example.com"] = [*[error] * 7, httpx.Response(204)]
        await stage.enqueue("g-1")
        for seconds in (0, 1, 2, 4, 8, 16, 30):
            await stage.turn(seconds)
        (line,) = await deliveries(store)
        assert (line.status, verdicts(line)) == (DeliveryStatus.PENDING, [Verdict.OUT_OF_RESOURCES] * 7)
        assert "nothing is lost" in stage.health.troubles[RESOURCES]
        assert "Errno" not in line.attempts[0].detail
        assert [each for each in await store.endpoint_summaries() if each.health.failures] == []
        await stage.turn(30)
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 1}
        assert stage.health.troubles == {}


async def test_many_that_fail_for_it_are_one_line_and_no_storm(store: SqliteStore) -> None:
    """Two hundred messages of three destinations: one round, one line in the log, then half, a second later."""
    callbacks = CallbackSettings(secret=Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    async with heard() as events, sending(store, endpoint(), endpoint("audit"), callbacks=callbacks) as stage:
        for host in ("studio", "audit", "app"):
            stage.callbacks.answers[f"{host}.example.com"] = [NO_FILES]
        await stage.enqueue(*some(90))
        await stage.enqueue(*some(90, "a"), to="audit")
        await stage.enqueue(*some(20, "u"), to="https://app.example.com/done")
        await stage.turn()
        first = len(stage.callbacks.posts)
        for _ in range(5):
            await stage.turn(0.1)
        assert len(stage.callbacks.posts) == first
        await stage.turn(1)
        assert first < len(stage.callbacks.posts) <= first * 3 / 2
        assert [event["event"] for event in events if event["event"].startswith("resources")] == ["resources.exhausted"]
        for host in ("studio", "audit", "app"):
            stage.callbacks.answers[f"{host}.example.com"] = [httpx.Response(204)]
        for _ in range(90):
            await stage.turn(1)
        assert await statuses(store) == {DeliveryStatus.DELIVERED: 200}
        told = [event["event"] for event in events if event["event"].startswith("resources")]
        assert told[-1] == "resources.recovered"


async def test_a_destination_is_not_slow_or_failed_for_it(store: SqliteStore) -> None:
    """What others are owed does not go before what it is owed."""
    async with sending(store) as stage:
        stage.callbacks.answers["studio.example.com"] = [NO_FILES, httpx.Response(204)]
        await stage.enqueue("g-1")
        await stage.turn()
        assert not stage.dispatcher.deprioritised(endpoint().destination)


# ---- polls --------------------------------------------------------------------------------------------------------
async def test_a_provider_is_not_blamed_for_it(store: SqliteStore) -> None:
    """It is not in readiness and is not paused; what is wrong is, and goes when a poll works again."""
    async with watching(store) as stage:
        await stage.watch(request())
        stage.upstream.states["g-1"] = "completed"
        stage.upstream.script.extend([NO_FILES] * 3)
        await stage.tick()
        assert list(stage.health.troubles) == [RESOURCES]
        asked = len(stage.upstream.asked)
        await stage.ticks(0.75)
        assert len(stage.upstream.asked) == asked
        await stage.ticks(8)
        assert stage.health.troubles == {}
        assert (await stage.history()).state is State.COMPLETED


# ---- the wire itself ----------------------------------------------------------------------------------------------
@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The process may open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(used, 3), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/", "https://127.0.0.1:9/"]
)
async def test_a_process_without_descriptors_says_so(url: str) -> None:
    """By number, by name, with TLS: it is never the name or the server that is to blame."""
    async with aiohttp_wire() as wire:
        with pytest.raises(httpx.TransportError):
            await wire.handle_async_request(httpx.Request("POST", "http://127.0.0.1:9/", content=b"x"))
        with no_descriptor_left(), pytest.raises(OutOfResources, match="LimitNOFILE="):
            await wire.handle_async_request(httpx.Request("POST", url, content=b"x"))


async def test_a_rule_of_this_machine_is_no_lack_and_no_refusal_of_the_server() -> None:
    """A firewall, or `IPAddressDeny=` of the unit: it does not pass by itself, and the sentence says where to look."""
    attempt = ConnectionAttempt(tried={"192.0.2.1:443": errno.EPERM, "[2001:db8::1]:443": errno.EACCES})
    side = Side(host="app.example.com", tls=TlsSettings(), configurable=False, no_trust=str, now=START)
    said = translate(OSError("Multiple exceptions"), attempt=attempt, side=side)
    assert isinstance(said, AddressRefused)
    assert "IPAddressDeny=" in str(said)
    attempt.tried["192.0.2.2:443"] = errno.ECONNREFUSED
    assert not isinstance(translate(OSError("Multiple exceptions"), attempt=attempt, side=side), AddressRefused)


async def test_a_look_up_without_a_thread_is_a_lack_too() -> None:
    """A limit on tasks: neither the name nor its server is to blame."""

    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(threading, "Thread", NoThread)
        async with aiohttp_wire() as wire:
            with pytest.raises(OutOfResources, match="TasksMax="):
                await wire.handle_async_request(httpx.Request("POST", "http://app.example.com:9/", content=b"x"))
