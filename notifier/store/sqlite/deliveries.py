"""Claims deliveries and takes their outcomes, inside a transaction: the dispatcher's part of the store.

The claim is the lease on the delivery's row and the opening of its attempt; the attempt gets a row of its own when it
is closed. Rules: a result counts only while its lease stands; destinations take turns, each giving its longest overdue
first, and as many as `delivery.shares` gives it; the turn goes on where the last call ended, so that no destination
waits because of its name.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from notifier.domain.endpoint_health import Change, parked_reason
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, ProviderName, WatchId, WorkerId
from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    Interruption,
    Stale,
    Trigger,
    Verdict,
)
from notifier.domain.slot_sharing import Demand, allot
from notifier.domain.times import from_micros, to_micros
from notifier.store.records import Announce, Exchange, Slots
from notifier.store.sqlite import bulk, endpoints, refresh
from notifier.store.sqlite.rows import moment
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("deliveries")
_MICROSECOND: Final = timedelta(microseconds=1)
#: Up to so many due deliveries, their destinations are found by reading them all; above it, by stepping from
#: destination to destination.
_FEW: Final = 128
#: Destinations stepped over in one call at most, some microseconds each.
_LOOKED_AT: Final = 512
#: So many deliveries are looked at that fell due last, beside those whose turn it is.
_NEWEST: Final = 128


class Turns:
    """Whose turn it is: kept in memory, a restart begins anywhere."""

    def __init__(self) -> None:
        #: By pool of slots: the destination that was served last.
        self.last: defaultdict[str, str] = defaultdict(str)


def exchange(
    conn: sqlite3.Connection,
    turns: Turns,
    owner: WorkerId,
    results: Sequence[AttemptResult],
    slots: Slots,
    *,
    now: datetime,
    announce: Announce,
) -> Exchange:
    lost, changed = _close(conn, owner, results, announce, now) if results else ([], [])
    micros = to_micros(now)
    claims, stale, yielded = _claim(conn, turns, owner, slots, micros) if slots.total > 0 else ([], [], False)
    next_due = conn.execute(_SQL["next_due"], (micros,)).fetchone()[0]
    due = None if next_due is None else from_micros(next_due)
    return Exchange(claims=claims, next_due=due, lost=lost, changed=changed, stale=stale, yielded=yielded)


# ---- results ------------------------------------------------------------------------------------------------------
def _close(
    conn: sqlite3.Connection, owner: WorkerId, results: Sequence[AttemptResult], announce: Announce, now: datetime
) -> tuple[list[MessageId], list[Change]]:
    """Take results: messages whose lease is lost, and destinations that stand otherwise because of the rest."""
    asked = {"owner": owner, "messages": bulk.listed([result.message_id for result in results])}
    leases = {
        (message_id, number): (key, Destination(destination), trigger)
        for message_id, number, key, destination, trigger in bulk.read(conn, _SQL["standing_leases"], asked)
    }
    moved, lost = [], []
    for result in results:
        lease = leases.pop((result.message_id, result.number), None)
        if lease is None:
            lost.append(result.message_id)
        else:
            moved.append((*lease, result))
    told = [(destination, result.verdict if result.affects_health else None) for _, destination, _, result in moved]
    changed, disabled = endpoints.note(conn, told, now=now)
    closed = [
        (key, *_moves(result, destination, disabled), result.verdict is Verdict.INTERRUPTED)
        for key, destination, _, result in moved
    ]
    bulk.write(conn, _SQL["close_attempts"], closed)
    bulk.write(conn, _SQL["add_attempts"], [_attempt(key, trigger, result) for key, _, trigger, result in moved])
    return lost, [endpoints.act(conn, before, after, announce, now=now) for before, after in changed]


def _moves(
    result: AttemptResult, destination: Destination, disabled: Mapping[Destination, str]
) -> tuple[str, str, bool, int, int | None]:
    """(status, reason, resumes, failures, due_at) after the result; ValueError for a move that no table allows.

    What would wait for a destination that is disabled is parked. What an attempt parks by itself has lost its endpoint,
    and goes on when that is configured again.
    """
    if result.status not in DELIVERY[DeliveryStatus.PENDING].values():
        raise ValueError(f"no attempt makes a delivery {result.status}")
    if result.status is not DeliveryStatus.PENDING:
        lost_endpoint = result.status is DeliveryStatus.PARKED
        return result.status.value, result.detail if lost_endpoint else "", lost_endpoint, result.failures, None
    if result.due_at is None:
        raise ValueError("a pending delivery needs a due_at")
    if (why := disabled.get(destination)) is not None:
        parked = DELIVERY[DeliveryStatus.PENDING][DeliverySignal.PARK]
        return parked.value, parked_reason(destination, why), False, result.failures, None
    return result.status.value, "", False, result.failures, to_micros(result.due_at)


def _attempt(key: int, trigger: str, result: AttemptResult) -> tuple[Any, ...]:
    return (
        key,
        result.number,
        trigger,
        to_micros(result.started_at),
        result.took // _MICROSECOND,
        result.verdict.value,
        result.status_code,
        result.head,
        result.detail,
    )


# ---- claims -------------------------------------------------------------------------------------------------------
def _claim(
    conn: sqlite3.Connection, turns: Turns, owner: WorkerId, slots: Slots, now: int
) -> tuple[list[Claim], list[Stale], bool]:
    """Lease up to `slots`; what was claimed, longest overdue first, what was held back, and whether some yielded."""
    taken, yielded = _share(conn, turns, slots, now)
    stale = refresh.hold_back(conn, taken, slots.freshness, now) if taken and slots.freshness else {}
    leases = [
        (key, owner, now, now + slots.lease.get(Destination(destination), slots.lease_each) // _MICROSECOND)
        for destination, keys in taken.items()
        for key in keys
        if key not in stale
    ]
    if not leases:
        return [], list(stale.values()), yielded
    bulk.write(conn, _SQL["lease"], leases)
    return _claims(conn, [lease[0] for lease in leases]), list(stale.values()), yielded


def _share(conn: sqlite3.Connection, turns: Turns, slots: Slots, now: int) -> tuple[dict[str, list[int]], bool]:
    """Destination -> keys of its deliveries to claim; and whether some destinations yielded to these."""
    left = slots.total
    taken: dict[str, list[int]] = {}
    pools, hurried, yielded = _destinations_with_room(conn, turns, slots, now)
    for pool, destinations in pools.items():
        first_slots = min(left, slots.first_slots.get(pool, 0))
        reserve = 1 if slots.pools else 0
        found = _share_pool(conn, destinations, min(left, _left(slots, pool)), first_slots, reserve=reserve, now=now)
        left -= sum(map(len, found.values()))
        taken |= found
        turns.last[pool] = next(
            (destination for destination in reversed(found) if destination not in hurried), turns.last[pool]
        )
    return taken, yielded


def _share_pool(
    conn: sqlite3.Connection, destinations: Sequence[Demand], left: int, first_slots: int, *, reserve: int, now: int
) -> dict[str, list[int]]:
    """What a destination does not use of its share, because it has less due, is shared again."""
    taken: dict[str, list[int]] = {}
    while given := allot(destinations, left, first_slots=first_slots, reserve=reserve):
        again = []
        for each in destinations:
            asked = given.get(each.destination, 0)
            found = (
                _due_in_destination(conn, each.destination, asked, len(taken.get(each.destination, ())), now)
                if asked
                else []
            )
            if found:
                taken.setdefault(each.destination, []).extend(found)
                left = max(0, left - len(found))  # first slots may have gone beyond it
                first_slots -= len(found)
            if len(found) == asked and each.room > asked:
                again.append(replace(each, held=each.held + asked, room=each.room - asked))
        destinations = again
    return taken


def _destinations_with_room(
    conn: sqlite3.Connection, turns: Turns, slots: Slots, now: int
) -> tuple[dict[str, list[Demand]], AbstractSet[str], bool]:
    """Destinations that may begin something, by pool; which of them are new and go first; whether others yield."""
    found: dict[str, list[Demand]] = {}
    due, newest = _due_destinations(conn, turns, slots, now)
    for destination in due:
        pool = _pool(slots, destination)
        held = slots.held.get(Destination(destination), 0)
        room = slots.free.get(Destination(destination), slots.each - held)
        if room > 0 and (_left(slots, pool) > 0 or (held == 0 and slots.first_slots.get(pool, 0) > 0)):
            found.setdefault(pool, []).append(Demand(destination=destination, held=held, room=room))
    first = {
        pool: some
        for pool, all_ in found.items()
        if (some := [each for each in all_ if not slots.yields(Destination(each.destination))])
    }
    if not first and not slots.yields_always:
        first = found
    in_turn = {pool: _in_turn(destinations, turns.last[pool]) for pool, destinations in first.items()}
    hurried: set[str] = set()
    alternating = {pool: _alternating(destinations, newest, hurried) for pool, destinations in in_turn.items()}
    return alternating, hurried, first != found


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


def _pool(slots: Slots, destination: str) -> str:
    return slots.pool_of(Destination(destination))


def _left(slots: Slots, pool: str) -> int:
    return slots.pools.get(pool, 0) if slots.pools else slots.total


def _due_destinations(
    conn: sqlite3.Connection, turns: Turns, slots: Slots, now: int
) -> tuple[list[str], Sequence[str]]:
    """Destinations with something due: all that are listed, and of the others as many as their pools can serve.

    However many there are, only so many are looked at in one call; the next one goes on from there. Those whose
    deliveries fell due last are among them, and named apart, the last one first: a new one does not wait for thousands.
    """
    count, listed = conn.execute(_SQL["first_due_destinations"], {"now": now, "limit": _FEW}).fetchone()
    if count < _FEW:
        return list(orjson.loads(listed)), ()
    known = slots.free.keys()
    destinations = bulk.read(
        conn, _SQL["due_of_destinations"], {"destinations": bulk.listed(sorted(known)), "now": now}
    )
    others, all_of_them = _due_others(conn, turns, slots, now)
    newest: list[str] = []
    if not all_of_them:
        last = bulk.read(conn, _SQL["last_due_destinations"], {"now": now, "looked": _LOOKED_AT, "limit": _NEWEST})
        newest = [destination for destination in last if destination not in known]
    return list(dict.fromkeys([*destinations, *newest, *others])), newest


def _due_others(conn: sqlite3.Connection, turns: Turns, slots: Slots, now: int) -> tuple[list[str], bool]:
    """Destinations that are not listed, from the one whose turn it is, until the pool that takes any has enough.

    Whether these are all that may begin something.
    """
    wanted = {pool: max(_left(slots, pool), slots.first_slots.get(pool, 0)) for pool in slots.pools or ("",)}
    destinations: dict[str, None] = {}
    if max(wanted.values(), default=0) <= 0:
        return [], True
    looked, cut = 0, False
    for destination in _round(conn, turns.last[""], now):
        if destination in destinations:
            break
        pool = _pool(slots, destination)
        if destination not in slots.free and wanted.get(pool, 0) > 0:
            destinations[destination] = None
            wanted[pool] -= 1
        looked += 1
        if cut := looked == _LOOKED_AT or (pool == "" and wanted[""] <= 0):
            break
    if looked == _LOOKED_AT and not any(_pool(slots, each) == "" for each in destinations):
        turns.last[""] = destination
    return list(destinations), not cut


def _round(conn: sqlite3.Connection, last: str, now: int) -> Iterator[str]:
    """Every destination with something due, in order, from the one after `last` all the way round."""
    for (destination,) in conn.execute(_SQL["due_destinations_after"], {"after": last, "now": now}):
        yield destination
    for (destination,) in conn.execute(_SQL["due_destinations_after"], {"after": "", "now": now}):
        if destination > last:
            return
        yield destination


def _due_in_destination(conn: sqlite3.Connection, destination: str, most: int, taken: int, now: int) -> list[int]:
    return bulk.read(
        conn, _SQL["due_in_destination"], {"destination": destination, "most": most, "taken": taken, "now": now}
    )


def _claims(conn: sqlite3.Connection, keys: Sequence[int]) -> list[Claim]:
    listed, bodies = conn.execute(_SQL["claimed"], {"keys": bulk.listed(keys)}).fetchone()
    cut, begin = [], 0
    for row in orjson.loads(listed):
        end = begin + row[7]
        cut.append((row, bodies[begin:end]))
        begin = end
    cut.sort(key=lambda claimed: claimed[0][:2])
    return [_claimed(row, body) for row, body in cut]


def _claimed(row: Sequence[Any], body: bytes) -> Claim:
    return Claim(
        message_id=MessageId(row[2]),
        endpoint=EndpointIdentity(row[3]),
        destination=Destination(row[4]),
        type=row[5],
        content_type=row[6],
        body=body,
        number=row[8],
        failures=row[9],
        interruptions=row[10],
        started_at=moment(row[11]),
        leased_until=moment(row[12]),
        provider=ProviderName(row[13]),
        generation=GenerationId(row[14]),
        watch_id=WatchId(row[15]),
        trigger=Trigger(row[16]),
    )


# ---- attempts without an outcome ----------------------------------------------------------------------------------
Decide = Callable[[Interruption], AttemptResult]


def end_lapsed(
    conn: sqlite3.Connection, decide: Decide, *, now: datetime, sparing: WorkerId | None
) -> list[Interruption]:
    micros = to_micros(now)
    leases = conn.execute(_SQL["leases_that_lapsed"], {"now": micros, "sparing": sparing}).fetchall()
    return [_interrupt(conn, lease, decide, micros) for lease in leases]


def release(conn: sqlite3.Connection, owner: WorkerId, decide: Decide, *, now: datetime) -> list[Interruption]:
    leases = conn.execute(_SQL["leases_of"], {"owner": owner}).fetchall()
    return [_interrupt(conn, lease, decide, to_micros(now)) for lease in leases]


def disown_leases(conn: sqlite3.Connection) -> None:
    """At open: the lock shows that every worker of the last run is gone."""
    conn.execute(_SQL["disown_leases"])


def _interrupt(conn: sqlite3.Connection, lease: tuple[Any, ...], decide: Decide, now: int) -> Interruption:
    key, message_id, destination, number, failures, interruptions, claimed_at, leased_until, trigger = lease
    interruption = Interruption(
        message_id=MessageId(message_id),
        destination=Destination(destination),
        number=number,
        failures=failures,
        interruptions=interruptions + 1,
    )
    result = decide(interruption)
    if (result.message_id, result.number) != (message_id, number):
        raise ValueError("the decision is about another attempt")
    disabled = endpoints.disabled_among(conn, [destination])
    bulk.write(conn, _SQL["close_attempts"], [(key, *_moves(result, destination, disabled), True)])
    took = max(0, min(now, leased_until) - claimed_at) * _MICROSECOND
    known = replace(result, started_at=from_micros(claimed_at), took=took, verdict=Verdict.INTERRUPTED)
    bulk.write(conn, _SQL["add_attempts"], [_attempt(key, trigger, known)])
    return interruption
