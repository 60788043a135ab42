"""The daemon as a service: signals in, systemd's notices out.

READY when the sources are open, repeated until it was sent; STATUS as things change; WATCHDOG only while every loop
turns and the scheduler beats; RELOADING around a reload; STOPPING at the first signal to stop. SIGHUP rereads the
configuration. A bad one changes nothing, and its refusal is a trouble until the next good one.

After a process was stopped (SIGSTOP, a debugger, a paused machine) every loop is late. The watchdog notices that by the
length of its own sleep, and allows each loop one turn before it counts as hanging.
"""

import ctypes
import math
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Final

import anyio
import structlog
from anyio.abc import TaskStatus

from notifier import __version__
from notifier.daemon.app import Daemon
from notifier.daemon.status import tell_status
from notifier.domain.errors import ConfigError, StoreUnavailable
from notifier.domain.settings import Settings
from notifier.runtime import log_events, systemd
from notifier.runtime.clock import SystemClock
from notifier.runtime.heartbeat import Heartbeats
from notifier.runtime.wakeup import Wakeup
from notifier.text.printable import printable

_log = structlog.get_logger()

#: Seconds between two tries to send a notice that may not be lost.
_SEND_EVERY: Final = 0.5
#: The part whose trouble is that the last reload was refused.
_CONFIGURATION: Final = "configuration"
#: glibc's number of that option.
_M_ARENA_MAX: Final = -8
#: If a sleep took this many seconds longer than it should, the process was stopped.
_STALL: Final = 2.0


async def serve(settings: Settings, reread: Callable[[], Settings], environ: Mapping[str, str]) -> None:
    """Run the daemon until SIGTERM or SIGINT. `reread` gives the configuration anew, or raises `ConfigError`."""
    # glibc gives each thread memory of its own, and what a large file took in one helps no other: all share two arenas
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    daemon, reload = Daemon(settings), Wakeup()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # from the start of the process on it waited for us
        async with anyio.create_task_group() as service:

            async def run(*, task_status: TaskStatus[None]) -> None:
                await daemon.run(task_status=task_status)
                service.cancel_scope.cancel()

            service.start_soon(_obey, signals, daemon, reload, service.cancel_scope)
            await service.start(run, name="daemon")
            service.start_soon(_say_ready, daemon, systemd.status("running"))
            _log.info(log_events.DAEMON_STARTED, version=__version__, config=settings.source, store=settings.store)
            service.start_soon(_reload_when_asked, reload, daemon, reread)
            service.start_soon(tell_status, daemon)
            if (interval := systemd.watchdog_interval(environ)) is not None:
                service.start_soon(_feed_watchdog, daemon.heartbeats, interval)
    _log.info(log_events.DAEMON_STOPPED)


async def _obey(
    signals: AsyncIterator[signal.Signals], daemon: Daemon, reload: Wakeup, service: anyio.CancelScope
) -> None:
    stopping = False
    async for received in signals:
        if received == signal.SIGHUP:
            reload.notify()
        elif stopping:
            _log.warning(log_events.DAEMON_STOPPING, note="asked twice: at once")
            service.cancel()
        else:
            stopping = True
            systemd.notify(systemd.STOPPING, systemd.status("stopping: attempts in flight have 20 s"))
            _log.info(log_events.DAEMON_STOPPING, signal=received.name)
            daemon.stop()


async def _reload_when_asked(asked: Wakeup, daemon: Daemon, reread: Callable[[], Settings]) -> None:
    """One reload at a time; several requests that come during one are one more."""
    while True:
        await asked.wait(math.inf)
        if not daemon.stopping:
            await _reload(daemon, reread)


async def _reload(daemon: Daemon, reread: Callable[[], Settings]) -> None:
    """Reload between RELOADING and READY, also if it fails."""
    systemd.notify(*systemd.reloading(SystemClock().monotonic()))
    try:
        await daemon.reload(await anyio.to_thread.run_sync(reread, abandon_on_cancel=True))
        daemon.health.clear(_CONFIGURATION)
    except ConfigError as error:
        faults = [str(fault) for fault in error.faults]
        others = f" ({len(faults) - 1} more in the log)" if faults[1:] else ""
        first = f"the last reload was refused, and the old configuration stays: {printable(faults[0], 400)}{others}"
        daemon.health.trouble(_CONFIGURATION, first)
        _log.error(log_events.CONFIG_REFUSED, note="the old configuration stays", faults=faults)
    except StoreUnavailable as error:
        note = "the old configuration stays; reload again when the store can write"
        daemon.health.trouble(_CONFIGURATION, f"the last reload was refused, because the store cannot write: {note}")
        _log.error(log_events.STORE_UNAVAILABLE, error=str(error), note=note)
    finally:
        await _say_ready(daemon)


async def _say_ready(daemon: Daemon, *more: str) -> None:
    """Try until it is sent: nothing else says to systemd that the start, or a reload, is over."""
    while not daemon.stopping and not systemd.notify(systemd.READY, *more):  # noqa: ASYNC110  there is no event for it
        await anyio.sleep(_SEND_EVERY)


async def _feed_watchdog(heartbeats: Heartbeats, interval: float) -> None:
    clock = SystemClock()
    while True:
        if hanging := heartbeats.hanging:
            _log.error(log_events.LOOP_HANGS, loops=hanging, note="the watchdog is not fed any more")
        else:
            systemd.notify(systemd.WATCHDOG)
        until = clock.monotonic() + interval
        await anyio.sleep(interval)
        if (late := clock.monotonic() - until) > _STALL:
            _log.warning(log_events.PROCESS_STALLED, seconds=round(late, 1))
            heartbeats.excuse(late)
