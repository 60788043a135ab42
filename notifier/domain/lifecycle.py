"""THE state tables. Nothing else changes a status: every caller asks here, and a signal without a row is refused.

A row says which status each signal leads to. No *automatic* signal leaves a final status, but a person's signal may:
`redeliver`, `reopen`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from notifier.domain.model import DeliveryStatus, State, WatchStatus


class WatchSignal(StrEnum):
    #: The generation's rank is at or above the target's.
    SATISFY = "satisfy"
    #: A poll at or after the deadline was answered, or failed for this ID alone; or none came within a day after it.
    EXPIRE = "expire"
    #: The provider does not know the ID, or not any more.
    LOSE = "lose"
    #: A person cancelled it.
    CANCEL = "cancel"
    #: The same watch was registered again.
    REOPEN = "reopen"


class DeliverySignal(StrEnum):
    #: 2xx.
    SUCCEED = "succeed"
    #: A failed attempt, and there is a next one.
    RETRY = "retry"
    #: A failed attempt, and there is no next one.
    GIVE_UP = "give up"
    #: The worker died or was stopped with the attempt open.
    INTERRUPT = "interrupt"
    #: The endpoint is not configured, or disabled.
    PARK = "park"
    #: The endpoint is configured again.
    RESUME = "resume"
    #: A person asked for it again: the same message, the whole schedule from its start.
    REDELIVER = "redeliver"


WATCH: Final[Mapping[WatchStatus, Mapping[WatchSignal, WatchStatus]]] = {
    WatchStatus.OPEN: {
        WatchSignal.SATISFY: WatchStatus.SATISFIED,
        WatchSignal.EXPIRE: WatchStatus.EXPIRED,
        WatchSignal.LOSE: WatchStatus.UNKNOWN,
        WatchSignal.CANCEL: WatchStatus.CANCELLED,
    },
    WatchStatus.SATISFIED: {},  # final: registering it again posts nothing
    WatchStatus.EXPIRED: {WatchSignal.REOPEN: WatchStatus.OPEN},
    WatchStatus.CANCELLED: {WatchSignal.REOPEN: WatchStatus.OPEN},
    WatchStatus.UNKNOWN: {WatchSignal.REOPEN: WatchStatus.OPEN},
}

DELIVERY: Final[Mapping[DeliveryStatus, Mapping[DeliverySignal, DeliveryStatus]]] = {
    DeliveryStatus.PENDING: {
        DeliverySignal.SUCCEED: DeliveryStatus.DELIVERED,
        DeliverySignal.RETRY: DeliveryStatus.PENDING,
        DeliverySignal.GIVE_UP: DeliveryStatus.EXHAUSTED,
        DeliverySignal.INTERRUPT: DeliveryStatus.PENDING,
        DeliverySignal.PARK: DeliveryStatus.PARKED,
        DeliverySignal.REDELIVER: DeliveryStatus.PENDING,  # it waits no longer; not while an attempt is open
    },
    DeliveryStatus.PARKED: {
        DeliverySignal.RESUME: DeliveryStatus.PENDING,
        DeliverySignal.REDELIVER: DeliveryStatus.PENDING,
    },
    DeliveryStatus.DELIVERED: {DeliverySignal.REDELIVER: DeliveryStatus.PENDING},
    DeliveryStatus.EXHAUSTED: {DeliverySignal.REDELIVER: DeliveryStatus.PENDING},
    DeliveryStatus.FILTERED: {DeliverySignal.REDELIVER: DeliveryStatus.PENDING},
}


def advance(recorded: State | None, seen: State) -> State | None:
    """The state to record, or None if there is nothing new: a provider may step back, we do not."""
    if recorded is None:
        return seen
    return seen if not recorded.final and seen.rank > recorded.rank else None


def satisfies(state: State | None, target: State) -> bool:
    """Whether a watch for `target` gets its delivery once the generation is at `state`."""
    return state is not None and state.rank >= target.rank
