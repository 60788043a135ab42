"""Whose turn it is to be claimed, apart from any database."""

from datetime import timedelta

from notifier.domain.ids import Destination
from notifier.store import turns
from notifier.store.records import Slots
from notifier.store.turns import Turns

NAMES = [f"d{number}" for number in range(5)]


def slots(total: int = 10, *, each: int = 2, **held: int) -> Slots:
    return Slots(
        total=total,
        free={},
        each=each,
        lease={},
        lease_each=timedelta(seconds=30),
        held={Destination(name): count for name, count in held.items()},
    )


def names(offer: turns.Offer) -> list[str]:
    return [each.destination for each in offer.pools.get("", [])]


def test_the_turn_goes_on_after_the_one_that_was_served_last() -> None:
    """All the way round, in the order of their names."""
    order = Turns()
    order.served("", ["d1", "d2"], newest=set())
    assert names(turns.offer(NAMES, [], slots(), order)) == ["d3", "d4", "d0", "d1", "d2"]


def test_the_newest_come_in_between_and_leave_the_turn_where_it_is() -> None:
    """Every second place is theirs; that they were served moves nobody's turn."""
    order = Turns()
    offer = turns.offer(NAMES, ["d4", "d3"], slots(), order)
    assert names(offer) == ["d0", "d4", "d1", "d3", "d2"]
    assert offer.newest == {"d4", "d3"}
    order.served("", ["d0", "d4"], newest=offer.newest)
    assert order.last[""] == "d0"


def test_a_destination_without_room_is_not_offered() -> None:
    """It holds as many slots as it may."""
    assert names(turns.offer(NAMES, [], slots(d1=2, d3=1), Turns())) == ["d0", "d2", "d3", "d4"]


def test_others_are_looked_for_until_the_pool_has_enough() -> None:
    """And whether these are all is said, so that nobody looks for more in vain."""
    assert turns.others(iter(NAMES), slots(3), Turns()) == (NAMES[:3], False)
    assert turns.others(iter(NAMES), slots(9), Turns()) == (NAMES, True)
    assert turns.others(iter(NAMES), slots(0), Turns()) == ([], True)
