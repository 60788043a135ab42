"""Whose turn it is when deliveries are claimed, in whatever database.

Destinations take turns in the order of their names. The turn goes on where the last call ended, so that no destination
waits because of its name. How many slots each is given is decided in `slot_sharing`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from notifier.domain.ids import Destination
from notifier.domain.slot_sharing import Demand
from notifier.store.records import Slots

#: Destinations stepped over in one call at most, some microseconds each.
LOOKED_AT: Final = 512


class Turns:
    """Kept in memory: after a restart the turn begins anywhere."""

    def __init__(self) -> None:
        #: By pool of slots: the destination that was served last.
        self.last: defaultdict[str, str] = defaultdict(str)

    def served(self, pool: str, destinations: Sequence[str], *, newest: AbstractSet[str]) -> None:
        """`destinations` were served, in this order; those of `newest` came before their turn."""
        in_turn = (each for each in reversed(destinations) if each not in newest)
        self.last[pool] = next(in_turn, self.last[pool])


class Offer(NamedTuple):
    """Destinations that may begin something."""

    #: By pool, who has the turn first.
    pools: dict[str, list[Demand]]
    #: Those among them that come before their turn, because they are new.
    newest: AbstractSet[str]
    #: Whether others yield to them.
    yielded: bool


def left(slots: Slots, pool: str) -> int:
    """Free slots of a pool."""
    return slots.pools.get(pool, 0) if slots.pools else slots.total


def offer(due: Iterable[str], newest: Sequence[str], slots: Slots, turns: Turns) -> Offer:
    """Of destinations that have something due, those with room; `newest` are those whose deliveries fell due last."""
    found: dict[str, list[Demand]] = {}
    for destination in map(Destination, due):
        pool = slots.pool_of(destination)
        held = slots.held.get(destination, 0)
        room = slots.free.get(destination, slots.each - held)
        if room > 0 and (left(slots, pool) > 0 or (held == 0 and slots.first_slots.get(pool, 0) > 0)):
            found.setdefault(pool, []).append(Demand(destination=destination, held=held, room=room))
    first = {
        pool: some
        for pool, all_ in found.items()
        if (some := [each for each in all_ if not slots.yields(Destination(each.destination))])
    }
    if not first and not slots.yields_always:
        first = found
    hurried: set[str] = set()
    pools = {
        pool: _alternating(_in_turn(destinations, turns.last[pool]), newest, hurried)
        for pool, destinations in first.items()
    }
    return Offer(pools, hurried, first != found)


def _in_turn(destinations: Sequence[Demand], last: str) -> list[Demand]:
    """In order, from the one after `last` all the way round."""
    ordered = sorted(destinations, key=lambda each: each.destination)
    return [each for each in ordered if each.destination > last] + [
        each for each in ordered if each.destination <= last
    ]


def _alternating(in_turn: Sequence[Demand], newest: Sequence[str], hurried: set[str]) -> list[Demand]:
    """One whose turn it is, one of the newest, and so on; the latter are added to `hurried`."""
    turns = {each.destination: each for each in in_turn}
    first = [destination for destination in newest if destination in turns]
    if not first:
        return list(in_turn)
    ordered: list[Demand] = []
    for destination in list(turns):
        if destination in turns:
            ordered.append(turns.pop(destination))
        while first and (new := first.pop(0)):
            if new in turns:
                ordered.append(turns.pop(new))
                hurried.add(new)
                break
    return ordered


def others(walk: Iterable[str], slots: Slots, turns: Turns) -> tuple[list[str], bool]:
    """Destinations that are not listed in `slots`, until the pool that takes any has enough.

    `walk` gives every destination with something due, from the one whose turn it is all the way round. Answers also
    whether these are all that may begin something.
    """
    wanted = {pool: max(left(slots, pool), slots.first_slots.get(pool, 0)) for pool in slots.pools or ("",)}
    found: dict[str, None] = {}
    if max(wanted.values(), default=0) <= 0:
        return [], True
    looked, cut = 0, False
    for destination in map(Destination, walk):
        if destination in found:
            break
        pool = slots.pool_of(destination)
        if destination not in slots.free and wanted.get(pool, 0) > 0:
            found[destination] = None
            wanted[pool] -= 1
        looked += 1
        if cut := looked == LOOKED_AT or (pool == "" and wanted[""] <= 0):
            break
    if looked == LOOKED_AT and not any(slots.pool_of(Destination(each)) == "" for each in found):
        turns.last[""] = destination
    return list(found), not cut
