"""Which request meets which fault, and whether one comes too soon. Pure: the number of the request and `now` are given.

Deterministic by seed: the n-th request to the API meets the same fault in every run with the same shares.
"""

from dataclasses import fields, replace
from enum import StrEnum
from typing import Any, Final, get_type_hints

from notifier.emulator.random_draws import draw
from notifier.emulator.settings import FaultSettings


class FaultKind(StrEnum):
    """The values are the names of the shares in `FaultSettings`."""

    DROPPED = "dropped"
    BAD_GATEWAY = "bad_gateway"
    SERVER_ERROR = "server_error"
    TRUNCATED = "truncated"
    SLOW = "slow"


def draw_fault(settings: FaultSettings, seed: int, number: int) -> FaultKind | None:
    """What the `number`-th request meets; None for nothing."""
    drawn = draw(seed, "fault", number)
    for kind in FaultKind:
        drawn -= getattr(settings, kind.value)
        if drawn < 0:
            return kind
    return None


class Bucket:
    """A token bucket: one second's worth may come at once, the rest at `rate` a second."""

    def __init__(self) -> None:
        self._tokens: float | None = None
        self._at = 0.0

    def wait(self, rate: float, *, now: float) -> float:
        """0 if a request may pass at `now`, and it is counted; else the seconds until one may."""
        size = max(rate, 1.0)
        tokens = size if self._tokens is None else min(size, self._tokens + (now - self._at) * rate)
        self._at = now
        if tokens < 1:
            self._tokens = tokens
            return (1 - tokens) / rate
        self._tokens = tokens - 1
        return 0.0


_TYPES: Final = get_type_hints(FaultSettings)


def changed_faults(settings: FaultSettings, change: Any) -> FaultSettings:
    """`settings` with the fields that `change` names; `ValueError` with a sentence if it makes no sense."""
    known = [field.name for field in fields(FaultSettings)]
    if not isinstance(change, dict) or not change.keys() <= set(known):
        raise ValueError(f"Send a JSON object with some of: {', '.join(known)}.")
    return replace(settings, **{name: _typed(name, value) for name, value in change.items()})


def _typed(name: str, value: Any) -> Any:
    """`value` as the field holds it. A whole number is taken for a fraction, and nothing else is converted."""
    wanted = _TYPES[name]
    if wanted is float and type(value) is int:
        return float(value)
    if isinstance(value, str) and issubclass(wanted, StrEnum):
        return wanted(value)
    if type(value) is not wanted:
        raise ValueError(f"{name} is of type {wanted.__name__}.")
    return value
