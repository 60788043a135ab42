"""What a test asks the emulator to make: the JSON of `POST /_emulator/generations`, read strictly. Pure."""

import math
from dataclasses import dataclass
from typing import Any, Final

from notifier.domain.model import State
from notifier.emulator.generations import STATES

#: Generations in one request at most, so that a typing error does not use up the machine's memory.
MOST: Final = 1_000_000
_KEYS: Final = frozenset({"count", "id", "complete_at", "duration", "outcome"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Some generations that are alike."""

    count: int = 1
    #: Only if `count` is 1; None draws one.
    id: str | None = None
    #: Seconds from now to the end, infinity for never; None draws a duration.
    ends_after: float | None = None
    #: COMPLETED or FAILED; None is COMPLETED if the end is given, and is drawn with it if not.
    outcome: State | None = None


def read_specs(value: Any) -> list[Spec]:
    """One spec or a list of them; `ValueError` with a sentence if it is neither."""
    specs = [_spec(item) for item in (value if isinstance(value, list) else [value])]
    if sum(spec.count for spec in specs) > MOST:
        raise ValueError(f"That is more than {MOST} generations.")
    return specs


def _spec(value: Any) -> Spec:
    if not isinstance(value, dict) or not value.keys() <= _KEYS:
        raise ValueError(f"A spec is a JSON object with some of: {', '.join(sorted(_KEYS))}.")
    count, id_ = value.get("count", 1), value.get("id")
    if type(count) is not int or count < 1:
        raise ValueError("count is a whole number from 1.")
    if id_ is not None and (not isinstance(id_, str) or not id_ or count != 1):
        raise ValueError("id is a string, and allowed only if count is 1.")
    return Spec(count=count, id=id_, ends_after=_ends_after(value), outcome=_outcome(value.get("outcome")))


def _ends_after(value: dict[str, Any]) -> float | None:
    given = [value[name] for name in ("complete_at", "duration") if value.get(name) is not None]
    if not given:
        return None
    if given == ["never"]:
        return math.inf
    if len(given) > 1 or type(given[0]) not in (int, float) or given[0] < 0:
        raise ValueError('complete_at (or duration, not both) is in seconds from now, 0 or more, or "never".')
    return float(given[0])


def _outcome(word: Any) -> State | None:
    if word is None:
        return None
    if word not in ("completed", "failed"):
        raise ValueError("outcome is completed or failed.")
    return STATES[word]
