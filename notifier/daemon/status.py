"""The line that `systemctl status` shows: what is wrong, what is watched and what waits.

Nothing depends on it: no fault in it ends anything.
"""

from typing import Final

import anyio
import structlog

from notifier.daemon.app import Daemon
from notifier.domain.errors import StoreUnavailable
from notifier.domain.model import DeliveryStatus
from notifier.runtime import log_events, systemd

_log = structlog.get_logger()

#: Seconds; all but the totals is in memory.
_EVERY: Final = 1.0
#: Totals are counted again after this many lines.
_COUNT_EVERY: Final = 30
_SHOWN: Final = (DeliveryStatus.PENDING, DeliveryStatus.PARKED, DeliveryStatus.EXHAUSTED)


async def tell_status(daemon: Daemon) -> None:
    """Send the line whenever it changes, for ever."""
    totals, turn, sent, failed = "", 0, "", ""
    while True:
        try:
            if turn % _COUNT_EVERY == 0:
                totals = await _totals(daemon)
            troubles = [f"{part}: {sentence}" for part, sentence in daemon.troubles.items()]
            watched = f"watching {_number(sum(daemon.watched.values()), 'generation')}"
            line = "; ".join([*troubles, watched, *filter(None, [totals])])
            if line != sent and systemd.notify(systemd.status(line)):
                sent = line
        except Exception as error:  # noqa: BLE001  even a lack of memory
            if type(error).__name__ != failed:  # once for each kind
                failed = type(error).__name__
                _log.exception(log_events.STATUS_FAILED)
        turn += 1
        await anyio.sleep(_EVERY)


async def _totals(daemon: Daemon) -> str:
    try:
        deliveries = (await daemon.counts()).deliveries
    except StoreUnavailable:  # it is among the troubles, or in the log
        return ""
    shown = [f"{_number(deliveries[status], 'callback')} {status}" for status in _SHOWN if deliveries.get(status)]
    files = await daemon.dropped()
    return ", ".join([*shown, *(f"{_number(count, 'drop file')} {place}" for place, count in files.items() if count)])


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
