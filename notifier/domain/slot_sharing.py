"""Who may hold how many of the send slots, so that nobody starves a healthy endpoint. Pure.

A slot is held until the attempt is answered, by an endpoint that hangs for its whole timeout, and cannot be taken back.
So what keeps a way open is what is *not* given out. The rules:

1. There are four pools, by what is known of a destination: endpoints of the configuration, origins of callback URLs
   that took their last message well, other origins, and destinations that are slow. A destination takes from its own
   pool only.
2. A destination is slow while one of its attempts in flight is older than `PATIENCE`, and after an attempt that took
   longer, until one is quick again. Attempts of a destination that turns slow count in the slow pool from then on: so
   whatever hangs, and however much of it, gives the pools of the others back after `PATIENCE`.
3. In a pool no destination is given more than is left free beside it: one alone may have half of the pool, twenty that
   hang at once have 24 of 512 each, and as many wait for whoever comes. Unused slots are lent, never all of them.
4. A destination that is not slow and holds none may have one, even where those before it have used its pool up one
   after the other. With fewer slots than destinations they take turns.
5. Destinations are deprioritised if their last attempt was slow or failed, or one in flight makes them slow. They
   yield: nothing of theirs is claimed while others claim, nor while what these claimed is in flight, for `YIELD` at
   most; of what is claimed together theirs is sent last. So what completes for all at once costs a healthy destination
   little more than its own part.
6. The last slots of all are for endpoints of the configuration, and those before them for origins that did well: what
   goes to others ends before them.
7. Of origins of which nothing good is known, `AT_ONCE` at most are in an attempt that began within `YOUNG`, and no more
   than a quarter of what they may have in all. There are so many slots that thousands that hang hold one each, and the
   last ones are given out ever more slowly: the next one that comes is tried all the same.
8. Where more destinations wait than can be looked at, every second slot of a pool goes to those whose messages fell due
   last: a new one does not stand behind thousands that hang.

What it does not promise: more than one slot within `PATIENCE` of the moment at which dozens of endpoints begin to hang
one after the other; or a first attempt within seconds to one of several thousand new origins that come together, where
most of them hang.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from notifier.domain.ids import Destination, MessageId

#: The pools. Destinations that are not listed anywhere are origins of which nothing good is known.
NAMED: Final = "named"
WELL: Final = "well"
ORIGINS: Final = ""
SLOW: Final = "slow"
#: Slots of each.
POOLS: Final[Mapping[str, int]] = {NAMED: 512, WELL: 256, ORIGINS: 256, SLOW: 256}
#: Attempts in flight over everything: an attempt that hangs is a socket and some 20 KB.
IN_FLIGHT: Final = 4096
#: How many of these only endpoints of the configuration may have, and how many more only these and origins that did
#: well; a quarter each where there are few.
KEPT: Final = 256
#: First attempts of origins of which nothing good is known that may be so young, and how many seconds that is.
AT_ONCE: Final = 256
YOUNG: Final = 0.5
#: Seconds after which an attempt that has no answer makes its destination slow.
PATIENCE: Final = 2.0
#: Seconds for which deprioritised destinations yield at most: a burst of dozens of messages is on its way by then.
YIELD: Final = 0.02
#: Slow destinations, failing ones, and those that did well, that are remembered while nothing of theirs is in flight.
REMEMBERED: Final = 16_384


# ---- how many -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A destination that has something due."""

    destination: str
    #: Slots it holds, and how many more it may use by its own limits.
    held: int
    room: int


def allot(asking: Sequence[Asking], left: int, *, first_slots: int = 0, reserve: int = 1) -> dict[str, int]:
    """Slots for each destination of one pool that has `left` free ones; who stands first has the turn.

    `reserve` times what a destination then holds is still free; 0 gives all of them out. Destinations that hold none
    may have one beyond `left`, until `first_slots` are given out in all.
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


def _fair_level(asking: Sequence[Asking], left: int, reserve: int) -> int:
    """The most that every destination may be brought up to alike, by rule 3."""
    low, high = 0, max((each.held + each.room for each in asking), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_up_to(middle, each) for each in asking) + middle * reserve <= left:
            low = middle
        else:
            high = middle - 1
    return low


def _up_to(level: int, each: Asking) -> int:
    return min(each.room, max(0, level - each.held))


def left_in_pools(held: Mapping[str, int], in_flight: int = IN_FLIGHT) -> dict[str, int]:
    """Free slots of each pool, where its destinations hold so many now; `in_flight` is how many there may be in all."""
    open_ = _open_to(held, in_flight)
    return {pool: max(0, min(size - held.get(pool, 0), open_[pool])) for pool, size in POOLS.items()}


def first_slots_in_pools(held: Mapping[str, int], in_flight: int = IN_FLIGHT, *, young: int = 0) -> dict[str, int]:
    """How many slots destinations may have that hold none, by rules 4 and 7."""
    open_ = _open_to(held, in_flight)
    return open_ | {ORIGINS: max(0, min(open_[ORIGINS] // 4, AT_ONCE) - young), SLOW: 0}


def _open_to(held: Mapping[str, int], in_flight: int) -> dict[str, int]:
    """Slots that are free over everything, as far as destinations of each pool may have them, by rule 6."""
    open_, kept = in_flight - sum(held.values()), min(KEPT, in_flight // 4)
    less = {NAMED: 0, WELL: kept}
    return {pool: max(0, open_ - less.get(pool, 2 * kept)) for pool in POOLS}


# ---- who is slow --------------------------------------------------------------------------------------------------
#: A message and the number of the attempt.
Attempt = tuple[MessageId, int]


class Paces:
    """Which destinations are slow, and which did well.

    Times are monotonic seconds; what hangs costs nothing while it does.
    """

    def __init__(self) -> None:
        #: Open attempts -> destination and beginning, the oldest first: until they are young no more, and until they
        #: are slow.
        self._young: dict[Attempt, float] = {}
        self._waiting: dict[Attempt, tuple[Destination, float]] = {}
        #: Destination -> its open attempts that are older than `PATIENCE`.
        self._dragging: dict[Destination, set[Attempt]] = {}
        #: Destinations whose last attempt was slow, or failed, or neither; the one that was so longest ago first.
        self._known: dict[Destination, None] = {}
        self._failed: dict[Destination, None] = {}
        self._well: dict[Destination, None] = {}

    def pool(self, destination: Destination, usual: str) -> str:
        """Where it takes its slots from, as of the last time that was told; `usual` where nothing is known of it."""
        if destination in self._known or destination in self._dragging:
            return SLOW
        return WELL if usual == ORIGINS and destination in self._well else usual

    def begin(self, destination: Destination, attempt: Attempt, now: float, *, origin: bool = False) -> None:
        """`origin` says that it is none of the configuration."""
        self._waiting[attempt] = destination, now
        if origin and destination not in self._well:
            self._young[attempt] = now

    def drop(self, destination: Destination, attempt: Attempt) -> bool:
        """It ended, and says nothing of its destination. Whether it was slow, as far as that was asked for."""
        self._young.pop(attempt, None)
        if self._waiting.pop(attempt, None) is not None:
            return False
        self._dragging[destination].discard(attempt)
        if not self._dragging[destination]:
            del self._dragging[destination]
        return True

    def end(self, destination: Destination, attempt: Attempt, now: float, *, delivered: bool) -> None:
        self._age(now)
        slow = self.drop(destination, attempt)
        _note(self._known, destination, slow)
        _note(self._failed, destination, not delivered)
        _note(self._well, destination, delivered and not slow)

    def deprioritised(self, destination: Destination) -> bool:
        """Whether it yields to others, by rule 5, as of the last time that was told."""
        return destination in self._known or destination in self._failed or destination in self._dragging

    def slow(self, now: float) -> set[Destination]:
        self._age(now)
        return self._known.keys() | self._dragging.keys()

    def young(self, now: float) -> int:
        """Attempts at origins that did not do well before, begun within `YOUNG`."""
        self._age(now)
        while self._young and now - next(iter(self._young.values())) >= YOUNG:
            del self._young[next(iter(self._young))]
        return len(self._young)

    def wait(self, now: float) -> float | None:
        """Seconds until an attempt is slow, or young no more, if nothing is answered; None where none can be."""
        self._age(now)
        if not self._waiting:
            return None
        _, began = next(iter(self._waiting.values()))
        slow = PATIENCE - (now - began)
        return min(slow, YOUNG - (now - next(iter(self._young.values())))) if self.young(now) else slow

    def _age(self, now: float) -> None:
        """Attempts that are older than `PATIENCE` by now make their destinations slow."""
        while self._waiting:
            attempt, (destination, began) = next(iter(self._waiting.items()))
            if now - began <= PATIENCE:
                return
            del self._waiting[attempt]
            self._dragging.setdefault(destination, set()).add(attempt)


def _note(destinations: dict[Destination, None], destination: Destination, so: bool) -> None:  # noqa: FBT001  a fact, not a switch
    destinations.pop(destination, None)
    if so:
        destinations[destination] = None
        if len(destinations) > REMEMBERED:
            del destinations[next(iter(destinations))]
