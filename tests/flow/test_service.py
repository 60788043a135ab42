"""Signals in, in process: what the service makes of them before, during and after the daemon's life."""

import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
import yaml
from anyio.lowlevel import checkpoint

from notifier.cli.main import cause_of
from notifier.config import load
from notifier.daemon import service, status
from notifier.daemon.app import Daemon
from notifier.domain.errors import ConfigError, Fault, StoreRefused, StoreUnavailable
from notifier.domain.settings import Settings
from notifier.runtime import log_events, systemd
from notifier.store.sqlite import SqliteStore, open_store
from tests.support.fakes import SECRET, heard


@pytest.fixture(autouse=True)
def _deaf() -> Iterator[None]:
    """A signal that nobody has a handler for yet must not end the tests."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def configuration(directory: Path) -> Settings:
    content = {
        "store": "sqlite:notifier.db",
        "providers": {"luma": {"kind": "aimlapi-luma", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789"}},
        "endpoints": {"studio": {"url": "http://127.0.0.1:9/hooks", "secret": SECRET}},
    }
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return load(str(path), environ={})


async def _until_listening() -> None:
    while signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        await checkpoint()


async def _until_said(said: list[Any], event: str, count: int = 1) -> None:
    while [line["event"] for line in said].count(event) < count:  # noqa: ASYNC110  a log has no event to wait for
        await anyio.sleep(0.01)


async def test_sigterm_ends_it(tmp_path: Path) -> None:
    """Started, stopped by SIGTERM, and gone with both of its last words."""
    settings = configuration(tmp_path)
    async with heard() as said:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve, settings, lambda: settings, {})
            await _until_said(said, log_events.DAEMON_STARTED)
            os.kill(os.getpid(), signal.SIGTERM)
        assert [line["event"] for line in said] == [
            log_events.DAEMON_STARTED,
            log_events.DAEMON_STOPPING,
            log_events.DAEMON_STOPPED,
        ]


async def test_sigterm_during_the_start_is_heeded(tmp_path: Path) -> None:
    """It is not lost because the sources were not open yet."""
    settings = configuration(tmp_path)
    async with heard() as said:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve, settings, lambda: settings, {})
            await _until_listening()
            os.kill(os.getpid(), signal.SIGTERM)
        assert said[-1]["event"] == log_events.DAEMON_STOPPED


@pytest.mark.parametrize("harm", ["removed", "moved", "replaced"])
async def test_a_store_that_fails_during_the_start_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """Opened, and gone a moment later: what was not started yet does not put its own error in the place of that."""
    settings = configuration(tmp_path)

    @asynccontextmanager
    async def opened(path: str) -> AsyncIterator[SqliteStore]:
        async with open_store(path) as store:
            if harm == "removed":
                Path(path).unlink()
            else:
                Path(path).rename(f"{path}.aside")
            if harm == "replaced":
                Path(path).touch()
            yield store

    monkeypatch.setattr("notifier.daemon.app.open_store", opened)
    async with heard() as said:
        with pytest.raises(BaseExceptionGroup) as failed:
            await service.serve(settings, lambda: settings, {})
    cause = cause_of(failed.value)
    assert isinstance(cause, StoreUnavailable)
    assert "while it is in use" in str(cause)
    assert said == []


def test_of_several_errors_the_one_to_act_on_is_told() -> None:
    """Loops that fail together raise together; what is none of ours is no sentence for the operator."""
    busy, refused = StoreUnavailable("busy"), StoreRefused("newer")
    assert cause_of(busy) is busy
    assert cause_of(BaseExceptionGroup("", [BaseExceptionGroup("", [busy]), StoreUnavailable("busy")])) is busy
    assert cause_of(BaseExceptionGroup("", [busy, refused])) is refused
    whole = BaseExceptionGroup("", [busy, BaseExceptionGroup("", [ValueError("a bug")])])
    assert cause_of(whole) is whole


async def test_sighup_before_the_start_is_done_after_it(tmp_path: Path) -> None:
    """It waits from the moment the process began, as the command sees to."""
    settings = configuration(tmp_path)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)  # other threads of a test's process do not block it
    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(service.serve, settings, lambda: settings, {})
        await _until_said(said, log_events.CONFIG_RELOADED)
        os.kill(os.getpid(), signal.SIGTERM)
    assert said[0]["event"] == log_events.DAEMON_STARTED


async def test_sighup_during_the_start_breaks_nothing(tmp_path: Path) -> None:
    """A reload that comes too early is made when the daemon is up, or is needless; it does not end it."""
    settings = configuration(tmp_path)
    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(service.serve, settings, lambda: settings, {})
        await _until_listening()
        os.kill(os.getpid(), signal.SIGHUP)
        await _until_said(said, log_events.DAEMON_STARTED)
        os.kill(os.getpid(), signal.SIGTERM)


async def test_a_bad_configuration_is_refused_and_the_old_one_goes_on(tmp_path: Path) -> None:
    """Every fault is in the log, and a good reload after it is taken."""
    settings = configuration(tmp_path)
    replies: list[Settings | ConfigError] = [
        ConfigError([Fault(message="One."), Fault(message="Two.")]),
        settings,
    ]

    def reread() -> Settings:
        reply = replies.pop(0)
        if isinstance(reply, ConfigError):
            raise reply
        return reply

    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(service.serve, settings, reread, {})
        await _until_said(said, log_events.DAEMON_STARTED)
        os.kill(os.getpid(), signal.SIGHUP)
        await _until_said(said, log_events.CONFIG_REFUSED)
        os.kill(os.getpid(), signal.SIGHUP)
        await _until_said(said, log_events.CONFIG_RELOADED)
        os.kill(os.getpid(), signal.SIGTERM)
    (refused,) = [line for line in said if line["event"] == log_events.CONFIG_REFUSED]
    assert refused["faults"] == ["One.", "Two."]


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where a service manager would listen; it does not read yet."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.bind(str(tmp_path / "notify"))
        wire.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield wire


def _read_all(wire: socket.socket) -> list[str]:
    read: list[str] = []
    with suppress(BlockingIOError):
        while True:
            read.append(wire.recv(4096).decode())
    return read


@pytest.mark.parametrize("faults", [1, 3])
async def test_a_refused_reload_is_a_trouble_until_the_next_good_one(
    tmp_path: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch, faults: int
) -> None:
    """With file and line in STATUS: `systemctl reload` itself says only that it is done."""
    monkeypatch.setattr(status, "_EVERY", 0.01)
    settings = configuration(tmp_path)
    config = tmp_path / "config.yaml"
    good = config.read_text()
    last = ""

    async def until_status(has: bool, words: str) -> None:  # noqa: FBT001  short
        nonlocal last
        with anyio.fail_after(30):
            while (words in last) is not has or not last:
                await anyio.sleep(0.01)
                told = [line for notice in _read_all(listening) for line in notice.splitlines()]
                last = next((line for line in reversed(told) if "watching" in line), last)

    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(service.serve, settings, lambda: load(str(config), environ={}), {})
        await _until_said(said, log_events.DAEMON_STARTED)
        await until_status(False, "refused")
        config.write_text(good + "".join(f"wrong{number}: 1\n" for number in range(faults)))
        os.kill(os.getpid(), signal.SIGHUP)
        line = good.count("\n") + 1
        await until_status(True, "configuration: the last reload was refused, and the old configuration stays: ")
        assert f'{config}:{line}: wrong0: Unknown key "wrong0".' in last
        assert ("(2 more in the log)" in last) is (faults == 3)
        config.write_text(good)
        os.kill(os.getpid(), signal.SIGHUP)
        await until_status(False, "refused")
        os.kill(os.getpid(), signal.SIGTERM)


async def test_ready_is_said_until_it_is_sent(
    tmp_path: Path, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manager's queue is full at that moment, at the start and after a reload: it hears of both later."""
    monkeypatch.setattr(service, "_SEND_EVERY", 0.01)
    settings = configuration(tmp_path)
    read: list[str] = []

    async def until_ready() -> None:
        _read_all(listening)
        while not any(notice.startswith(systemd.READY) for notice in read):
            await anyio.sleep(0.01)
            read.extend(_read_all(listening))

    async with heard() as said, anyio.create_task_group() as tasks:
        _fill()
        tasks.start_soon(service.serve, settings, lambda: settings, {})
        await _until_said(said, log_events.DAEMON_STARTED)
        with anyio.fail_after(30):
            await until_ready()
        read.clear()
        _fill()
        os.kill(os.getpid(), signal.SIGHUP)
        await _until_said(said, log_events.CONFIG_RELOADED)
        with anyio.fail_after(30):
            await until_ready()
        os.kill(os.getpid(), signal.SIGTERM)


def _fill() -> None:
    while systemd.notify("X=1"):
        pass


class _Faulty(Daemon):
    """Its state cannot be shown: there is no memory for it."""

    @property
    def watched(self) -> Mapping[str, int]:
        raise MemoryError


async def test_a_status_that_cannot_be_told_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged once, and tried again."""
    monkeypatch.setattr(service, "Daemon", _Faulty)
    monkeypatch.setattr(status, "_EVERY", 0.001)
    settings = configuration(tmp_path)
    async with heard() as said:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.serve, settings, lambda: settings, {})
            await _until_said(said, log_events.STATUS_FAILED)
            for _ in range(10):
                await anyio.sleep(0.002)
            os.kill(os.getpid(), signal.SIGTERM)
        assert [line["event"] for line in said].count(log_events.STATUS_FAILED) == 1
        assert said[-1]["event"] == log_events.DAEMON_STOPPED


class _Watched:
    """What the watchdog asks of loops that turned last before the process stood still."""

    def __init__(self) -> None:
        self.excused = 0.0

    @property
    def hanging(self) -> list[str]:
        return []

    def excuse(self, seconds: float) -> None:
        self.excused += seconds


async def test_loops_are_excused_for_a_process_that_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped and continued: the watchdog sees it by its own sleep, before it judges anybody."""
    monkeypatch.setattr(service, "_STALL", 0.1)
    heartbeats = _Watched()
    async with heard() as said, anyio.create_task_group() as tasks:
        tasks.start_soon(service._feed_watchdog, cast("Any", heartbeats), 0.001)
        await checkpoint()
        time.sleep(0.3)  # noqa: ASYNC251  nothing of this process turns meanwhile
        await _until_said(said, log_events.PROCESS_STALLED)
        tasks.cancel_scope.cancel()
    assert heartbeats.excused > 0.2
