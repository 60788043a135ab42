"""Durations and rates as people write them: `15s`, `1500ms`, `5m`, `2h`, `1d`; `5/s`, `300/m`, `1000/h`.

A number without a unit is refused: nobody can see whether seconds, minutes or milliseconds were meant.
"""

import re
from datetime import timedelta
from typing import Final

from notifier.text.printable import printable

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_PER: Final = {"s": 1, "m": 60, "h": 3_600}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|m|h)", re.ASCII)
#: The longest duration that is taken for meant.
_LONGEST: Final = timedelta(days=3_650)


def parse_duration(text: str) -> timedelta:
    """A length of time, 0 included, at most 3,650 days. `ValueError` with a sentence."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'"{printable(text, 40)}" is not a duration; write e.g. "1500ms", "15s", "5m", "2h" or "1d".')
    number, unit = found.groups()
    try:
        length = _UNITS[unit] * float(number)
    except OverflowError:
        length = timedelta.max
    if length > _LONGEST:
        raise ValueError(f'"{printable(text, 40)}" is too long; at most {_LONGEST.days}d.')
    return length


def parse_rate(text: str) -> float:
    """Events per second, more than 0. `ValueError` with a sentence."""
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) / _PER[found[2]] if found else 0.0
    if not rate:
        raise ValueError(f'"{printable(text, 40)}" is not a rate; write e.g. "5/s", "300/m" or "1000/h".')
    return rate
