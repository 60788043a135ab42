"""How long before its registration a generation was made, as far as the provider's time for that is believed. Pure.

That time is a hint, from a clock that nobody checked and a program that may leave out the zone, the time of day or
a factor of 1,000. To believe a wrong time makes a new generation look old, and its polls rare; not to believe a right
one costs a few polls. So the time counts only if it agrees with what we know ourselves.
"""

from datetime import datetime, time
from typing import Final

#: Offsets of time zones are multiples of this, seconds.
_ZONE: Final = 900.0
#: Seconds by which a multiple may be missed: clocks differ, and some time passes between creation and registration.
_BELOW: Final = 60.0
_ABOVE: Final = 180.0
#: Ages beyond this are one bucket (`poll_density`), seconds.
_DAY: Final = 86_400.0
_MIDNIGHT: Final = time()


def lead(created_at: datetime, *, registered: float, patience: float, usual: float) -> float:
    """Seconds from its creation to its registration (Unix seconds); 0 if the two do not agree.

    They agree if all of this holds:
    - it was made before it was registered;
    - by no more than its watch waits at all (`patience`, seconds), and by no more than a day;
    - by no more than `usual`, the age at which one of its kind is called stalled: it would be stalled from the start;
    - not by whole quarters of an hour, or a little more: that is a time zone that was left out;
    - the time is not midnight, which is what a bare date becomes.
    """
    before = registered - created_at.timestamp()
    if not 0.0 < before <= min(patience, usual, _DAY) or created_at.time() == _MIDNIGHT:
        return 0.0
    is_zone = before >= _ZONE - _BELOW and (before + _BELOW) % _ZONE <= _BELOW + _ABOVE
    return 0.0 if is_zone else before
