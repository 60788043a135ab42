"""How send slots are shared: properties of every load, and the numbers of the header."""

from hypothesis import given
from hypothesis import strategies as st

from notifier.domain.ids import Destination, MessageId
from notifier.domain.slot_sharing import (
    IN_FLIGHT,
    NAMED,
    ORIGINS,
    POOLS,
    PROVEN,
    REMEMBERED,
    RESERVED,
    SLOW,
    SLOW_AFTER,
    UNPROVEN_AT_ONCE,
    UNPROVEN_WINDOW,
    Demand,
    LatencyTracker,
    allot,
    first_slots_in_pools,
    free_in_pools,
)

ROOMS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1024)), max_size=60)


def destinations(*rooms: tuple[int, int]) -> list[Demand]:
    return [
        Demand(destination=f"destination-{number}", held=held, room=room) for number, (held, room) in enumerate(rooms)
    ]


# ---- what is given ------------------------------------------------------------------------------------------------
@given(ROOMS, st.integers(0, 600), st.sampled_from([0, 1, 3]))
def test_never_more_than_there_is(rooms: list[tuple[int, int]], left: int, reserve: int) -> None:
    """Neither than the pool has left, nor than a destination may use."""
    asking = destinations(*rooms)
    given_out = allot(asking, left, reserve=reserve)
    assert sum(given_out.values()) <= left
    assert all(0 < given_out[each.destination] <= each.room for each in asking if each.destination in given_out)


@given(ROOMS, st.integers(0, 600))
def test_what_a_destination_is_given_stays_free_beside_it(rooms: list[tuple[int, int]], left: int) -> None:
    """A destination that has more than its first slot leaves as many free for the next."""
    asking = destinations(*rooms)
    given_out = allot(asking, left)
    free = left - sum(given_out.values())
    for each in asking:
        uses = each.held + given_out.get(each.destination, 0)
        assert each.destination not in given_out or uses == 1 or uses <= free


@given(ROOMS, st.integers(0, 20))
def test_who_has_none_comes_before_who_has_some(rooms: list[tuple[int, int]], left: int) -> None:
    """Nobody is given a slot while a destination that has none and wants one gets none."""
    asking = destinations(*rooms)
    given_out = allot(asking, left)
    without = [each for each in asking if each.room and not each.held and each.destination not in given_out]
    if without:
        assert sum(given_out.values()) == left
        assert set(given_out.values()) <= {1}
        assert all(not each.held for each in asking if each.destination in given_out)


@given(ROOMS, st.integers(0, 600))
def test_equals_are_served_alike(rooms: list[tuple[int, int]], left: int) -> None:
    """Of two destinations with the same slots and demand, one gets one more at most: the one whose turn it was."""
    asking = destinations(*rooms)
    given_out = allot(asking, left)
    for first in asking:
        for second in asking[asking.index(first) + 1 :]:
            if (first.held, first.room) == (second.held, second.room):
                assert 0 <= given_out.get(first.destination, 0) - given_out.get(second.destination, 0) <= 1


@given(ROOMS, st.integers(0, 600))
def test_nothing_is_held_back_without_a_rule(rooms: list[tuple[int, int]], left: int) -> None:
    """Whoever is given less than it wants has come up to what is left free, to one slot."""
    asking = destinations(*rooms)
    given_out = allot(asking, left)
    free = left - sum(given_out.values())
    for each in asking:
        uses = each.held + given_out.get(each.destination, 0)
        assert given_out.get(each.destination, 0) == each.room or free == 0 or uses + 1 >= free


@given(ROOMS, st.integers(0, 600))
def test_without_a_spare_all_of_it_is_used(rooms: list[tuple[int, int]], left: int) -> None:
    """As long as somebody has room for it."""
    asking = destinations(*rooms)
    assert sum(allot(asking, left, reserve=0).values()) == min(left, sum(each.room for each in asking))


@given(ROOMS, st.integers(0, 60), st.integers(0, 60))
def test_first_slots_go_beyond_the_pool_and_no_further(
    rooms: list[tuple[int, int]], left: int, first_slots: int
) -> None:
    """Only to destinations that have none, one each, and never above what there is in all."""
    asking = destinations(*rooms)
    within, beyond = allot(asking, left), allot(asking, left, first_slots=first_slots)
    assert sum(beyond.values()) <= max(left, first_slots)
    for each in asking:
        more = beyond.get(each.destination, 0) - within.get(each.destination, 0)
        assert more == 0 or (more == 1 and each.held == 0 and each.destination not in within)
    without = [each for each in asking if each.room and not each.held and each.destination not in beyond]
    assert not without or sum(beyond.values()) >= max(left, first_slots)


@given(st.lists(st.integers(1, 256), max_size=500))
def test_a_newcomer_finds_a_slot_whatever_hangs(hanging: list[int]) -> None:
    """Hundreds of endpoints begin to hang one after the other, and take what they can: the next one gets one."""
    held: dict[str, int] = {}

    def give(name: str, room: int) -> int:
        pools = {NAMED: sum(held.values())}
        asking = [Demand(destination=name, held=held.get(name, 0), room=room)]
        got = allot(asking, free_in_pools(pools)[NAMED], first_slots=first_slots_in_pools(pools)[NAMED]).get(name, 0)
        held[name] = held.get(name, 0) + got
        return got

    for number, room in enumerate(hanging):
        give(f"hangs-{number}", room)
    assert give("healthy", 32) >= 1


def test_the_numbers_of_the_header() -> None:
    """Alone: half of the pool, give or take one. Twenty at once: 24 or 25 each, and as many are left."""
    assert allot(destinations((0, 1024)), 512) == {"destination-0": 256}
    twenty = allot(destinations(*[(0, 32)] * 20), 512)
    assert set(twenty.values()) <= {24, 25}
    assert 512 - sum(twenty.values()) >= 24


# ---- pools --------------------------------------------------------------------------------------------------------
@given(st.fixed_dictionaries(dict.fromkeys(POOLS, st.integers(0, IN_FLIGHT))))
def test_pools_never_promise_what_is_not_there(held: dict[str, int]) -> None:
    """No pool is given out above its size or above what is open at all, and the last slots are for the configured."""
    left = free_in_pools(held)
    open_ = max(0, IN_FLIGHT - sum(held.values()))
    assert all(0 <= left[pool] <= max(0, POOLS[pool] - held[pool]) for pool in POOLS)
    assert left[NAMED] <= open_
    assert left[PROVEN] <= max(0, open_ - RESERVED)
    assert max(left[ORIGINS], left[SLOW]) <= max(0, open_ - 2 * RESERVED)
    first_slots = first_slots_in_pools(held)
    assert (first_slots[NAMED], first_slots[PROVEN], first_slots[SLOW]) == (open_, max(0, open_ - RESERVED), 0)
    assert first_slots[ORIGINS] == min(UNPROVEN_AT_ONCE, max(0, open_ - 2 * RESERVED) // 4)


@given(st.integers(0, 400), st.integers(4, IN_FLIGHT))
def test_strangers_are_tried_so_many_at_once(recent: int, in_flight: int) -> None:
    """And if few attempts may be made at all, each kind of destination still has some of them."""
    first_slots = first_slots_in_pools({}, in_flight, recent=recent)
    assert first_slots[ORIGINS] <= max(0, UNPROVEN_AT_ONCE - recent)
    assert free_in_pools({}, in_flight)[ORIGINS] >= min(POOLS[ORIGINS], in_flight // 2)
    assert first_slots[NAMED] == in_flight


def test_what_hangs_for_others_costs_the_configured_nothing() -> None:
    """Origins and slow destinations at their limits: the pool of the endpoints is whole."""
    assert free_in_pools({ORIGINS: POOLS[ORIGINS], SLOW: POOLS[SLOW]})[NAMED] == POOLS[NAMED]


# ---- latency --------------------------------------------------------------------------------------------------------
STUDIO, AUDIT = Destination("studio"), Destination("audit")


def slow(latency: LatencyTracker, now: float, *destinations: Destination) -> set[Destination]:
    """Those of these destinations that take their slots from the slow pool now."""
    latency.recent(now)
    return {each for each in destinations or (STUDIO, AUDIT) if latency.pool(each, NAMED) == SLOW}


def test_a_destination_is_slow_while_an_attempt_waits_and_after_a_slow_one() -> None:
    """From the moment its patience is over; a quick answer ends it."""
    latency = LatencyTracker()
    latency.begin(STUDIO, (MessageId("m-1"), 1), 0.0)
    assert slow(latency, SLOW_AFTER) == set()
    assert slow(latency, SLOW_AFTER + 0.1) == {STUDIO}
    latency.end(STUDIO, (MessageId("m-1"), 1), 15.0, delivered=True)
    assert slow(latency, 1000.0) == {STUDIO}
    latency.begin(STUDIO, (MessageId("m-2"), 1), 2000.0)
    latency.end(STUDIO, (MessageId("m-2"), 1), 2000.1, delivered=True)
    assert slow(latency, 3000.0) == set()


def test_one_quick_answer_does_not_excuse_attempts_that_still_wait() -> None:
    """The oldest in flight counts, not the last."""
    latency = LatencyTracker()
    latency.begin(STUDIO, (MessageId("m-1"), 1), 0.0)
    latency.begin(STUDIO, (MessageId("m-2"), 1), 9.0)
    latency.end(STUDIO, (MessageId("m-2"), 1), 9.1, delivered=True)
    assert slow(latency, 9.1) == {STUDIO}


def test_it_says_when_the_next_destination_turns_slow() -> None:
    """So that the slots of its pool are shared anew then; None where nothing is in flight that could."""
    latency = LatencyTracker()
    assert latency.wait(0.0) is None
    latency.begin(STUDIO, (MessageId("m-1"), 1), 1.0)
    latency.begin(AUDIT, (MessageId("m-2"), 1), 2.0)
    assert latency.wait(2.0) == SLOW_AFTER - 1.0
    assert latency.wait(1.5 + SLOW_AFTER) == 0.5
    assert latency.wait(9.0) is None


def test_who_failed_or_was_slow_comes_after_the_others() -> None:
    """Until an attempt is delivered in time."""
    latency = LatencyTracker()
    for took, delivered, yields in ((0.1, False, True), (15.0, True, True), (0.1, True, False)):
        latency.begin(STUDIO, (MessageId("m-1"), 1), 0.0)
        latency.end(STUDIO, (MessageId("m-1"), 1), took, delivered=delivered)
        assert latency.deprioritised(STUDIO) is yields
        assert not latency.deprioritised(AUDIT)


def test_who_keeps_an_attempt_waiting_comes_after_the_others() -> None:
    """From the moment its patience is over, though nothing of it has failed."""
    latency = LatencyTracker()
    latency.begin(STUDIO, (MessageId("m-1"), 1), 0.0)
    assert slow(latency, SLOW_AFTER) == set()
    assert not latency.deprioritised(STUDIO)
    assert slow(latency, SLOW_AFTER + 0.1) == {STUDIO}
    assert latency.deprioritised(STUDIO)


def test_slow_destinations_are_not_remembered_without_end() -> None:
    """A million origins that hang do not stay in memory: the oldest are forgotten."""
    latency = LatencyTracker()
    origins = [Destination(f"https://{number}") for number in range(REMEMBERED + 100)]
    for origin in origins:
        latency.begin(origin, (MessageId("m"), 1), 0.0)
        latency.end(origin, (MessageId("m"), 1), 15.0, delivered=True)
    found = slow(latency, 99.0, *origins)
    assert len(found) == REMEMBERED
    assert origins[-1] in found


def test_a_proven_origin_has_slots_of_its_own() -> None:
    """Once a message was delivered in time, until one was not; while an attempt hangs it is slow like any other."""
    latency = LatencyTracker()
    for took, delivered, pool in ((0.1, True, PROVEN), (15.0, True, SLOW), (0.1, True, PROVEN), (0.1, False, ORIGINS)):
        latency.begin(STUDIO, (MessageId("m-1"), 1), 0.0, origin=True)
        latency.end(STUDIO, (MessageId("m-1"), 1), took, delivered=delivered)
        assert latency.pool(STUDIO, ORIGINS) == pool
        assert latency.pool(STUDIO, NAMED) == (SLOW if pool == SLOW else NAMED)
    assert latency.pool(AUDIT, ORIGINS) == ORIGINS


def test_an_attempt_is_young_for_a_moment() -> None:
    """At an origin of which nothing good is known; until it is answered, and half a second at most."""
    latency = LatencyTracker()
    for number, destination in enumerate((STUDIO, AUDIT)):
        latency.begin(destination, (MessageId(f"m-{number}"), 1), number * 0.1, origin=True)
    latency.begin(Destination("named"), (MessageId("m-2"), 1), 0.1)
    assert latency.recent(0.2) == 2
    assert latency.wait(0.2) == UNPROVEN_WINDOW - 0.2
    latency.end(STUDIO, (MessageId("m-0"), 1), 0.2, delivered=True)
    assert latency.recent(0.2) == 1
    assert latency.recent(0.1 + UNPROVEN_WINDOW) == 0
    latency.begin(STUDIO, (MessageId("m-3"), 1), 1.0, origin=True)
    assert latency.recent(1.0) == 0
