"""How often to look. Pure: monotonic seconds come as arguments.

The first, simple cadence, meant to be replaced by one that learns how long generations take: at once, then every
`sweep_every`. Only an ID that stands alone is looked at less and less often, because each of its looks costs a whole
request, which a bad ID takes for nothing.
"""

from typing import Final

from notifier.settings import ProviderSettings

#: Longest time between two looks at an ID that stands alone, in seconds.
ALONE_LIMIT: Final = 120.0
#: Doublings after which `ALONE_LIMIT` is reached whatever `sweep_every` is; keeps the power small.
_DOUBLINGS: Final = 20


def next_look(settings: ProviderSettings, *, now: float, misses: int, alone: bool) -> float:
    """When to look again at an ID that was looked at `now`, after `misses` looks in a row that did not find it."""
    every = settings.sweep_every.total_seconds()
    if not alone:
        return now + every
    return now + max(every, min(ALONE_LIMIT, every * 2.0 ** min(misses, _DOUBLINGS)))
