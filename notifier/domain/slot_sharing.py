"""How the send slots are shared between destinations, so that no destination starves a healthy endpoint. Pure.

A slot is in use until its attempt is answered: if an endpoint hangs, for its whole timeout. It cannot be taken back. So
slots for healthy endpoints are those that are *not* given out. The rules:

1. There are four pools, by what is known about a destination: endpoints of the configuration; proven origins of
   callback URLs, which took their last message in time; other origins; and slow destinations. A destination takes slots
   from its own pool only.
2. A destination is slow while one of its attempts in flight is older than `SLOW_AFTER`, and after an attempt that took
   longer, until one is quick again. The attempts of a destination that turns slow count in the slow pool from then on.
   So attempts that hang, however many, return the slots of the other pools after `SLOW_AFTER`.
3. In a pool a destination gets no more slots than remain free: one alone may have half of the pool, twenty that hang at
   once have 24 of 512 each, and as many remain free for the next one. Unused slots are lent, but never all of them.
4. A destination that is not slow and has no slot may have a first one, even if those before it have used up its pool
   one after the other. If there are fewer slots than destinations, they take turns.
5. Destinations are deprioritised if their last attempt was slow or failed, or one in flight makes them slow. They
   yield: none of their messages is claimed while others claim, nor while what these claimed is in flight, for `YIELD`
   at most. Among messages claimed together, theirs are sent last. So if many generations complete at once, a healthy
   destination waits little longer than for its own messages.
6. The last slots of all are reserved for endpoints of the configuration, and those before them for these and proven
   origins.
7. At most `UNPROVEN_AT_ONCE` attempts to origins that are not proven may have begun within `UNPROVEN_WINDOW`, and no
   more than a quarter of the slots that are free for them. So thousands of origins that hang can have one slot each,
   and the last slots are given out ever more slowly: the next origin is always tried.
8. If more destinations have something due than can be looked at, every second slot of a pool goes to those whose
   messages fell due last: a new destination does not queue behind thousands that hang.

Not promised: more than one slot within `SLOW_AFTER` of the moment at which dozens of endpoints begin to hang one after
the other; nor a first attempt within seconds to one of several thousand new origins that come together, if most of them
hang.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from notifier.domain.ids import Destination, MessageId

#: The pools. A destination in no list is an origin that is not proven.
NAMED: Final = "named"
PROVEN: Final = "proven"
ORIGINS: Final = ""
SLOW: Final = "slow"
#: Slots of each.
POOLS: Final[Mapping[str, int]] = {NAMED: 512, PROVEN: 256, ORIGINS: 256, SLOW: 256}
#: Attempts in flight in all: an attempt that hangs costs a socket and some 20 KB.
IN_FLIGHT: Final = 4096
#: How many of these only endpoints of the configuration may have, and how many more only these and proven origins; a
#: quarter each if there are few.
RESERVED: Final = 256
#: How many attempts to origins that are not proven may have begun within the window, and its seconds.
UNPROVEN_AT_ONCE: Final = 256
UNPROVEN_WINDOW: Final = 0.5
#: Seconds after which an attempt that has no answer makes its destination slow.
SLOW_AFTER: Final = 2.0
#: Seconds for which deprioritised destinations yield at most: a burst of dozens of messages is on its way by then.
YIELD: Final = 0.02
#: How many slow, failing and proven destinations each are remembered while they have nothing in flight.
REMEMBERED: Final = 16_384


# ---- how many slots -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A destination that has something due."""

    destination: str
    #: Slots it uses, and how many more its own limits allow.
    held: int
    room: int


def allot(asking: Sequence[Demand], left: int, *, first_slots: int = 0, reserve: int = 1) -> dict[str, int]:
    """Slots for each destination of one pool that has `left` free ones; the first destination is the next in turn.

    At least `reserve` times the slots of any one destination stay free; 0 gives all slots out. Destinations that use
    none may have one beyond `left`, until `first_slots` are given out in all.
    """
    level = _fair_level(asking, left, reserve)
    given = {each.destination: _up_to(level, each) for each in asking}
    free = left - sum(given.values())
    beyond = max(0, first_slots - left)
    for each in sorted(asking, key=lambda each: each.held + given[each.destination]):
        holds = each.held + given[each.destination] + 1
        if given[each.destination] == each.room or (free <= 0 and (holds > 1 or beyond == 0)):
            continue
        if free <= 0:
            beyond -= 1
        elif holds > 1 and holds * reserve >= free:
            continue
        given[each.destination] += 1
        free -= 1
    return {destination: count for destination, count in given.items() if count}


def _fair_level(asking: Sequence[Demand], left: int, reserve: int) -> int:
    """The highest number of slots that every destination may have alike, by rule 3."""
    low, high = 0, max((each.held + each.room for each in asking), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_up_to(middle, each) for each in asking) + middle * reserve <= left:
            low = middle
        else:
            high = middle - 1
    return low


def _up_to(level: int, each: Demand) -> int:
    return min(each.room, max(0, level - each.held))


def free_in_pools(held: Mapping[str, int], in_flight: int = IN_FLIGHT) -> dict[str, int]:
    """Free slots of each pool, given how many are in use now; `in_flight` is the limit of all attempts."""
    open_ = _free_for(held, in_flight)
    return {pool: max(0, min(size - held.get(pool, 0), open_[pool])) for pool, size in POOLS.items()}


def first_slots_in_pools(held: Mapping[str, int], in_flight: int = IN_FLIGHT, *, recent: int = 0) -> dict[str, int]:
    """How many first slots may be given out, to destinations that use none, by rules 4 and 7."""
    open_ = _free_for(held, in_flight)
    return open_ | {ORIGINS: max(0, min(open_[ORIGINS] // 4, UNPROVEN_AT_ONCE) - recent), SLOW: 0}


def _free_for(held: Mapping[str, int], in_flight: int) -> dict[str, int]:
    """How many of all free slots the destinations of each pool may have, by rule 6."""
    open_, kept = in_flight - sum(held.values()), min(RESERVED, in_flight // 4)
    less = {NAMED: 0, PROVEN: kept}
    return {pool: max(0, open_ - less.get(pool, 2 * kept)) for pool in POOLS}


# ---- who is slow --------------------------------------------------------------------------------------------------
#: A message and the number of the attempt.
Attempt = tuple[MessageId, int]


class LatencyTracker:
    """Which destinations are slow, failing or proven. Times are monotonic seconds."""

    def __init__(self) -> None:
        #: Open attempts to origins that are not proven -> when they began, the oldest first, while they are recent.
        self._recent: dict[Attempt, float] = {}
        #: Open attempts -> destination, and when they began, the oldest first, until they are slow.
        self._open: dict[Attempt, tuple[Destination, float]] = {}
        #: Destination -> its open attempts that are older than `SLOW_AFTER`.
        self._slow_open: dict[Destination, set[Attempt]] = {}
        #: Destinations whose last attempt was slow, or failed, or neither; the one noted longest ago is first.
        self._slow: dict[Destination, None] = {}
        self._failed: dict[Destination, None] = {}
        self._proven: dict[Destination, None] = {}

    def pool(self, destination: Destination, usual: str) -> str:
        """The pool it takes slots from, as of the last call with a time; `usual` if nothing is known about it."""
        if destination in self._slow or destination in self._slow_open:
            return SLOW
        return PROVEN if usual == ORIGINS and destination in self._proven else usual

    def begin(self, destination: Destination, attempt: Attempt, now: float, *, origin: bool = False) -> None:
        """`origin` says that the destination is no endpoint of the configuration."""
        self._open[attempt] = destination, now
        if origin and destination not in self._proven:
            self._recent[attempt] = now

    def discard(self, destination: Destination, attempt: Attempt) -> bool:
        """End an attempt that says nothing about its destination; True if it was slow at the last call with a time."""
        self._recent.pop(attempt, None)
        if self._open.pop(attempt, None) is not None:
            return False
        self._slow_open[destination].discard(attempt)
        if not self._slow_open[destination]:
            del self._slow_open[destination]
        return True

    def end(self, destination: Destination, attempt: Attempt, now: float, *, delivered: bool) -> None:
        self._age(now)
        slow = self.discard(destination, attempt)
        _note(self._slow, destination, slow)
        _note(self._failed, destination, not delivered)
        _note(self._proven, destination, delivered and not slow)

    def deprioritised(self, destination: Destination) -> bool:
        """Whether it yields to others, by rule 5, as of the last call with a time."""
        return destination in self._slow or destination in self._failed or destination in self._slow_open

    def recent(self, now: float) -> int:
        """Attempts to origins that are not proven, begun within `UNPROVEN_WINDOW`."""
        self._age(now)
        while self._recent and now - next(iter(self._recent.values())) >= UNPROVEN_WINDOW:
            del self._recent[next(iter(self._recent))]
        return len(self._recent)

    def wait(self, now: float) -> float | None:
        """Seconds until an attempt turns slow, or is no longer recent, if none is answered; None if none can."""
        self._age(now)
        if not self._open:
            return None
        _, began = next(iter(self._open.values()))
        slow = SLOW_AFTER - (now - began)
        return min(slow, UNPROVEN_WINDOW - (now - next(iter(self._recent.values())))) if self.recent(now) else slow

    def _age(self, now: float) -> None:
        """Make the destinations slow that have an attempt older than `SLOW_AFTER`."""
        while self._open:
            attempt, (destination, began) = next(iter(self._open.items()))
            if now - began <= SLOW_AFTER:
                return
            del self._open[attempt]
            self._slow_open.setdefault(destination, set()).add(attempt)


def _note(destinations: dict[Destination, None], destination: Destination, so: bool) -> None:  # noqa: FBT001  a fact, not a switch
    destinations.pop(destination, None)
    if so:
        destinations[destination] = None
        if len(destinations) > REMEMBERED:
            del destinations[next(iter(destinations))]
