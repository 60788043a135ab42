"""Who may hold how many of the send slots, so that nobody starves a healthy endpoint. Pure.

A slot is held until the attempt is answered, by an endpoint that hangs for its whole timeout, and cannot be taken back.
So what keeps a way open is what is *not* given out. The rules:

1. There are three pools, by what the operator knows of a lane: endpoints of the configuration, origins of callback
   URLs, and lanes that are slow. A lane takes from its own pool only.
2. A lane is slow while one of its attempts in flight is older than `PATIENCE`, and after an attempt that took longer,
   until one is quick again. Attempts of a lane that turns slow count in the slow pool from then on: so whatever hangs,
   and however much of it, gives the pools of the others back after `PATIENCE`.
3. In a pool no lane is given more than is left free beside it: one alone may have half of the pool, twenty that hang
   at once have 24 of 512 each, and as many wait for whoever comes. Unused slots are lent, never all of them.
4. A lane that is not slow and holds none may have one, even where those before it have used its pool up one after the
   other. With fewer slots than lanes they take turns.
5. Lanes that are poor give way: their last attempt was slow or failed, or one in flight makes them slow. Of what one
   look has shown, what becomes owed to them is written down `GIVE_WAY` after the rest; of what is claimed together
   theirs is sent last. So what completes for all at once costs a healthy lane little more than its own part.
6. The last slots of all are for endpoints of the configuration: what goes to others ends before them.

What it does not promise: more than one slot within `PATIENCE` of the moment at which dozens of endpoints begin to hang
one after the other, or any at all where hundreds do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from notifier.ids import Lane, MessageId

#: The pools. Lanes that are not listed anywhere are origins of callback URLs.
NAMED: Final = "named"
ORIGINS: Final = ""
SLOW: Final = "slow"
#: Slots of each.
POOLS: Final[Mapping[str, int]] = {NAMED: 512, ORIGINS: 256, SLOW: 256}
#: Attempts in flight over everything, and how many of these only endpoints of the configuration may have.
IN_FLIGHT: Final = 1024
KEPT_FOR_NAMED: Final = 256
#: Seconds after which an attempt that has no answer makes its lane slow.
PATIENCE: Final = 2.0
#: Seconds by which poor lanes come after the others: a burst of dozens of messages is on its way by then.
GIVE_WAY: Final = 0.02
#: Slow lanes, and failing ones, that are remembered while nothing of theirs is in flight.
_REMEMBERED: Final = 1024


# ---- how many -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A lane that has something due."""

    lane: str
    #: Slots it holds, and how many more it may use by its own limits.
    held: int
    room: int


def allot(asking: Sequence[Asking], left: int, *, firsts: int = 0, spare: int = 1) -> dict[str, int]:
    """Slots for each lane of one pool that has `left` free ones; who stands first has the turn.

    `spare` times what a lane then holds is still free; 0 gives all of them out. Lanes that hold none may have one
    beyond `left`, until `firsts` are given out in all.
    """
    level = _level(asking, left, spare)
    given = {each.lane: _up_to(level, each) for each in asking}
    free = left - sum(given.values())
    beyond = max(0, firsts - left)
    for each in sorted(asking, key=lambda each: each.held + given[each.lane]):
        holds = each.held + given[each.lane] + 1
        if given[each.lane] == each.room or (free <= 0 and (holds > 1 or beyond == 0)):
            continue
        if free <= 0:
            beyond -= 1
        elif holds > 1 and holds * spare >= free:
            continue
        given[each.lane] += 1
        free -= 1
    return {lane: count for lane, count in given.items() if count}


def _level(asking: Sequence[Asking], left: int, spare: int) -> int:
    """The most that every lane may be brought up to alike, by rule 3."""
    low, high = 0, max((each.held + each.room for each in asking), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(_up_to(middle, each) for each in asking) + middle * spare <= left:
            low = middle
        else:
            high = middle - 1
    return low


def _up_to(level: int, each: Asking) -> int:
    return min(each.room, max(0, level - each.held))


def left_in_pools(held: Mapping[str, int]) -> dict[str, int]:
    """Free slots of each pool, where its lanes hold so many now."""
    open_ = _open_to(held)
    return {pool: max(0, min(size - held.get(pool, 0), open_[pool])) for pool, size in POOLS.items()}


def firsts_in_pools(held: Mapping[str, int]) -> dict[str, int]:
    """How many slots lanes may have that hold none, by rule 4."""
    return _open_to(held) | {SLOW: 0}


def _open_to(held: Mapping[str, int]) -> dict[str, int]:
    """Slots that are free over everything, as far as lanes of each pool may have them, by rule 6."""
    open_ = IN_FLIGHT - sum(held.values())
    return {pool: max(0, open_ - (0 if pool == NAMED else KEPT_FOR_NAMED)) for pool in POOLS}


# ---- who is slow --------------------------------------------------------------------------------------------------
#: A message and the number of the attempt.
Attempt = tuple[MessageId, int]


class Paces:
    """Which lanes are slow. Times are monotonic seconds."""

    def __init__(self) -> None:
        #: Lane -> when each of its open attempts began, the oldest first.
        self._open: dict[Lane, dict[Attempt, float]] = {}
        #: Lanes whose last attempt was slow, or failed; the one that was so longest ago first.
        self._known: dict[Lane, None] = {}
        self._failed: dict[Lane, None] = {}

    def begin(self, lane: Lane, attempt: Attempt, now: float) -> None:
        self._open.setdefault(lane, {})[attempt] = now

    def drop(self, lane: Lane, attempt: Attempt) -> float:
        """It ended, and says nothing of its lane. When it began."""
        began = self._open[lane].pop(attempt)
        if not self._open[lane]:
            del self._open[lane]
        return began

    def end(self, lane: Lane, attempt: Attempt, now: float, *, delivered: bool) -> None:
        began = self.drop(lane, attempt)
        _note(self._known, lane, now - began > PATIENCE)
        _note(self._failed, lane, not delivered)

    def poor(self, lane: Lane, now: float) -> bool:
        """Whether it gives way to others, by rule 5."""
        return lane in self._known or lane in self._failed or self._drags(lane, now)

    def slow(self, now: float) -> set[Lane]:
        return self._known.keys() | {lane for lane in self._open if self._drags(lane, now)}

    def wait(self, now: float) -> float | None:
        """Seconds until one more lane turns slow if nothing is answered; None where none can."""
        waits = [PATIENCE - (now - _oldest(attempts)) for attempts in self._open.values()]
        return min((wait for wait in waits if wait >= 0), default=None)

    def _drags(self, lane: Lane, now: float) -> bool:
        attempts = self._open.get(lane)
        return attempts is not None and now - _oldest(attempts) > PATIENCE


def _oldest(attempts: Mapping[Attempt, float]) -> float:
    return next(iter(attempts.values()))


def _note(lanes: dict[Lane, None], lane: Lane, so: bool) -> None:  # noqa: FBT001  a fact, not a switch
    lanes.pop(lane, None)
    if so:
        lanes[lane] = None
        if len(lanes) > _REMEMBERED:
            del lanes[next(iter(lanes))]
