"""The daemon as a service: signals in, systemd's notices out.

READY when the doors are open, and again until it was sent; STATUS as things change; WATCHDOG only while every loop
turns and the scheduler beats; RELOADING around a reload; STOPPING at the first signal to stop. SIGHUP rereads the
configuration, and a bad one changes nothing; that it was refused is a trouble until the next good one.

A process that stood still (SIGSTOP, a debugger, a machine that was paused) finds every loop late when it goes on. That
is seen by the watchdog's own sleep, and the loops are excused for it: each may turn before it is judged.
"""

import ctypes
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from notifier import __version__
from notifier.daemon.app import Daemon
from notifier.domain.errors import ConfigError, StoreUnavailable
from notifier.domain.model import DeliveryStatus
from notifier.domain.settings import Settings
from notifier.runtime import log_events, systemd
from notifier.runtime.clock import SystemClock
from notifier.text.printable import printable

_log = structlog.get_logger()

#: Seconds; what it is drawn from is in memory.
_STATUS_EVERY: Final = 1.0
#: Totals are counted anew after this many looks.
_COUNT_EVERY: Final = 30
#: Seconds between two tries to send a notice that may not be lost.
_SEND_EVERY: Final = 0.5
#: The part whose trouble is that the last reload was refused.
_CONFIGURATION: Final = "configuration"
#: glibc's number of that option.
_M_ARENA_MAX: Final = -8
#: A sleep that took so many seconds longer than it should says that the process stood still.
_STALL: Final = 2.0


def _share_arenas() -> None:
    """Have all threads take memory from the same two arenas.

    glibc gives each thread one of its own, and what a large file took in one of them helps no other thread.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


async def serve(settings: Settings, reread: Callable[[], Settings], environ: Mapping[str, str]) -> None:
    """Run the daemon until SIGTERM or SIGINT. `reread` gives the configuration anew, or raises `ConfigError`."""
    _share_arenas()
    daemon = Daemon(settings)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # from the start of the process on it waited for us
        async with anyio.create_task_group() as service:
            reload = _Reload(daemon, reread)
            service.start_soon(_obey, signals, daemon, reload, service)
            await service.start(_run, daemon, service.cancel_scope)
            service.start_soon(_say_ready, daemon, systemd.status("running"))
            _log.info(log_events.DAEMON_STARTED, version=__version__, config=settings.source, store=settings.store)
            service.start_soon(reload.open)
            service.start_soon(_tell_status, daemon)
            if (interval := systemd.watchdog_interval(environ)) is not None:
                service.start_soon(_feed_watchdog, daemon, interval)
    _log.info(log_events.DAEMON_STOPPED)


async def _run(
    daemon: Daemon, service: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    await daemon.run(task_status=task_status)
    service.cancel()


async def _obey(
    signals: AsyncIterator[signal.Signals],
    daemon: Daemon,
    reload: "_Reload",
    service: TaskGroup,
) -> None:
    stopping = False
    async for received in signals:
        if received == signal.SIGHUP:
            service.start_soon(reload.ask)  # beside: a signal to stop does not wait for it
        elif stopping:
            _log.warning(log_events.DAEMON_STOPPING, note="asked twice: at once")
            service.cancel_scope.cancel()
        else:
            stopping = True
            systemd.notify(systemd.STOPPING, systemd.status("stopping: attempts in flight have 20 s"))
            _log.info(log_events.DAEMON_STOPPING, signal=received.name)
            daemon.stop()


class _Reload:
    """Reloads when it is asked to, one at a time; what was asked for during the start is done after it."""

    def __init__(self, daemon: Daemon, reread: Callable[[], Settings]) -> None:
        self._daemon = daemon
        self._reread = reread
        self._open = False
        self._wanted = False
        self._lock = anyio.Lock()

    async def ask(self) -> None:
        self._wanted = True
        if self._open:
            await self._carry_out()

    async def open(self) -> None:
        """The start is over."""
        self._open = True
        await self._carry_out()

    async def _carry_out(self) -> None:
        async with self._lock:
            if self._wanted and not self._daemon.stopping:
                self._wanted = False
                await _reload(self._daemon, self._reread)


async def _reload(daemon: Daemon, reread: Callable[[], Settings]) -> None:
    """Between RELOADING and READY, whatever comes of it."""
    systemd.notify(*systemd.reloading(SystemClock().monotonic()))
    try:
        await daemon.reload(await anyio.to_thread.run_sync(reread, abandon_on_cancel=True))
        daemon.health.clear(_CONFIGURATION)
    except ConfigError as error:
        daemon.health.trouble(_CONFIGURATION, _refused(error))
        _log.error(
            log_events.CONFIG_REFUSED,
            note="the configuration that was running goes on",
            faults=[str(fault) for fault in error.faults],
        )
    except StoreUnavailable as error:
        note = "the configuration that was running goes on; reload again when the store can write"
        daemon.health.trouble(_CONFIGURATION, f"the last reload was refused, because the store cannot write: {note}")
        _log.error(log_events.STORE_UNAVAILABLE, error=str(error), note=note)
    finally:
        await _say_ready(daemon)


def _refused(error: ConfigError) -> str:
    """The first fault, with its file and line; the log has all."""
    first, *more = (str(fault) for fault in error.faults)
    others = f" ({len(more)} more in the log)" if more else ""
    return f"the last reload was refused, and what ran before goes on: {printable(first, 400)}{others}"


async def _say_ready(daemon: Daemon, *more: str) -> None:
    """Until it is sent: nothing else tells systemd that the start, or a reload, is over."""
    while not daemon.stopping and not systemd.notify(systemd.READY, *more):  # noqa: ASYNC110  no event tells of room
        await anyio.sleep(_SEND_EVERY)


async def _feed_watchdog(daemon: Daemon, interval: float) -> None:
    clock = SystemClock()
    while True:
        if hanging := daemon.hanging:
            _log.error(log_events.LOOP_HANGS, loops=hanging, note="the watchdog is not fed any more")
        else:
            systemd.notify(systemd.WATCHDOG)
        until = clock.monotonic() + interval
        await anyio.sleep(interval)
        if (late := clock.monotonic() - until) > _STALL:
            _log.warning(log_events.PROCESS_STALLED, seconds=round(late, 1))
            daemon.excuse(late)


async def _tell_status(daemon: Daemon) -> None:
    """One line of what it does now, troubles first. Nobody is worse off without it: no fault in it ends anything."""
    counted, turn, said, failed = "", 0, "", ""
    while True:
        try:
            if turn % _COUNT_EVERY == 0:
                counted = await _counted(daemon)
            line = _status_line(daemon, counted)
            if line != said and systemd.notify(systemd.status(line)):
                said = line
        except Exception as error:  # noqa: BLE001  even for want of memory
            if type(error).__name__ != failed:  # once for each kind
                failed = type(error).__name__
                _log.exception(log_events.STATUS_FAILED)
        turn += 1
        await anyio.sleep(_STATUS_EVERY)


def _status_line(daemon: Daemon, counted: str) -> str:
    watched = sum(daemon.watched.values())
    troubles = [f"{part}: {sentence}" for part, sentence in daemon.troubles.items()]
    return "; ".join([*troubles, f"watching {_number(watched, 'generation')}", *([counted] if counted else [])])


async def _counted(daemon: Daemon) -> str:
    try:
        deliveries = (await daemon.counts()).deliveries
    except StoreUnavailable:  # it is among the troubles, or in the log
        return ""
    shown = [f"{_number(deliveries[status], 'callback')} {status}" for status in _SHOWN if deliveries.get(status)]
    files = await daemon.dropped()
    return ", ".join([*shown, *(f"{_number(count, 'drop file')} {place}" for place, count in files.items() if count)])


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_SHOWN: Final = (DeliveryStatus.PENDING, DeliveryStatus.PARKED, DeliveryStatus.EXHAUSTED)
