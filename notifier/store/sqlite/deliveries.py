"""Claims deliveries and takes their outcomes, inside a transaction: the dispatcher's part of the store.

The claim is the lease on the delivery's row and the opening of its attempt; the attempt gets a row of its own when it
is closed. Rules: a result counts only while its lease stands; lanes take turns, each giving its longest overdue first;
the turn goes on where the last call ended, so that no lane waits because of its name.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from notifier.clock import from_micros, to_micros
from notifier.delivery.payload import parked_because
from notifier.ids import EndpointIdentity, GenerationId, Lane, MessageId, ProviderName, WatchId, WorkerId
from notifier.lifecycle import DELIVERY, DeliverySignal
from notifier.model import AttemptResult, Book, Claim, DeliveryStatus, Interruption, Stale, Verdict
from notifier.store.base import Exchange, Slots
from notifier.store.sqlite import bulk, refresh
from notifier.store.sqlite.rows import moment
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("deliveries")
_MICROSECOND: Final = timedelta(microseconds=1)
#: Up to so many due deliveries, their lanes are found by reading them all; above it, by stepping from lane to lane.
_FEW: Final = 128
#: Later than any time that is stored.
_NEVER: Final = 2**62


class Turns:
    """Whose turn it is: kept in memory, a restart begins anywhere."""

    def __init__(self) -> None:
        #: The lane that was served last.
        self.last = ""


def exchange(
    conn: sqlite3.Connection,
    turns: Turns,
    owner: WorkerId,
    results: Sequence[AttemptResult],
    slots: Slots,
    *,
    now: datetime,
) -> Exchange:
    lost = _close(conn, owner, results) if results else []
    micros = to_micros(now)
    claims, stale = _claim(conn, turns, owner, slots, micros) if slots.total > 0 else ([], [])
    next_due = conn.execute(_SQL["next_due"], (micros,)).fetchone()[0]
    return Exchange(claims=claims, next_due=None if next_due is None else from_micros(next_due), lost=lost, stale=stale)


# ---- results ------------------------------------------------------------------------------------------------------
def _close(conn: sqlite3.Connection, owner: WorkerId, results: Sequence[AttemptResult]) -> list[MessageId]:
    """Take results; the messages of those whose lease is lost."""
    asked = {"owner": owner, "messages": bulk.listed([result.message_id for result in results])}
    standing = {
        (message_id, number): key for message_id, number, key in bulk.read(conn, _SQL["standing_leases"], asked)
    }
    moved, lost = [], []
    for result in results:
        moves = _moves(result)
        key = standing.pop((result.message_id, result.number), None)
        if key is None:
            lost.append(result.message_id)
        else:
            moved.append((key, *moves, result.verdict is Verdict.INTERRUPTED, result))
    bulk.write(conn, _SQL["close_attempts"], [row[:-1] for row in moved])
    bulk.write(conn, _SQL["add_attempts"], [_attempt(row[0], row[-1]) for row in moved])
    return lost


def _moves(result: AttemptResult) -> tuple[str, str, int, int | None]:
    """(status, reason, failures, due_at) after the result; ValueError for a move that no table allows."""
    if result.status not in DELIVERY[DeliveryStatus.PENDING].values():
        raise ValueError(f"no attempt makes a delivery {result.status}")
    reason = result.detail if result.status is DeliveryStatus.PARKED else ""
    if result.status is not DeliveryStatus.PENDING:
        return result.status.value, reason, result.failures, None
    if result.due_at is None:
        raise ValueError("a pending delivery needs a due_at")
    return result.status.value, reason, result.failures, to_micros(result.due_at)


def _attempt(key: int, result: AttemptResult) -> tuple[Any, ...]:
    return (
        key,
        result.number,
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
) -> tuple[list[Claim], list[Stale]]:
    """Lease up to `slots`; what was claimed, longest overdue first, and what was held back instead."""
    taken = _share(conn, turns, slots, now)
    stale = refresh.hold_back(conn, taken, slots.freshness, now) if taken and slots.freshness else {}
    leases = [
        (key, owner, now, now + slots.lease.get(Lane(lane), slots.lease_each) // _MICROSECOND)
        for lane, keys in taken.items()
        for key in keys
        if key not in stale
    ]
    if not leases:
        return [], list(stale.values())
    bulk.write(conn, _SQL["lease"], leases)
    return _claims(conn, [lease[0] for lease in leases]), list(stale.values())


def _share(conn: sqlite3.Connection, turns: Turns, slots: Slots, now: int) -> dict[str, list[int]]:
    """Lane -> keys of its deliveries to claim. Each round gives every lane an equal share of what is left."""
    left = slots.total
    room = _lanes_with_room(conn, turns, slots, now)
    taken: dict[str, list[int]] = {lane: [] for lane in room}
    while room and left > 0:
        share = max(1, left // len(room))
        for lane in list(room):
            asked = min(share, room[lane], left)
            found = _due_in_lane(conn, lane, asked, len(taken[lane]), now)
            taken[lane] += found
            left -= len(found)
            room[lane] -= len(found)
            if found:
                turns.last = lane
            if len(found) < asked or room[lane] == 0:
                del room[lane]
            if left == 0:
                break
    return {lane: keys for lane, keys in taken.items() if keys}


def _lanes_with_room(conn: sqlite3.Connection, turns: Turns, slots: Slots, now: int) -> dict[str, int]:
    """Lanes with something due -> their free slots, from the one whose turn it is; no more lanes than slots."""
    room: dict[str, int] = {}
    for lane in _due_lanes(conn, turns.last, now):
        free = slots.free.get(Lane(lane), slots.each)
        if free > 0:
            room[lane] = free
            if len(room) == slots.total:
                break
    return room


def _due_lanes(conn: sqlite3.Connection, last: str, now: int) -> Iterator[str]:
    """Every lane with something due, in order, from the one after `last` all the way round."""
    count, listed = conn.execute(_SQL["first_due_lanes"], {"now": now, "limit": _FEW}).fetchone()
    if count < _FEW:
        lanes = sorted(orjson.loads(listed))
        yield from (lane for lane in lanes if lane > last)
        yield from (lane for lane in lanes if lane <= last)
        return
    for (lane,) in conn.execute(_SQL["due_lanes_after"], {"after": last, "now": now}):
        yield lane
    for (lane,) in conn.execute(_SQL["due_lanes_after"], {"after": "", "now": now}):
        if lane > last:
            return
        yield lane


def _due_in_lane(conn: sqlite3.Connection, lane: str, most: int, taken: int, now: int) -> list[int]:
    return bulk.read(conn, _SQL["due_in_lane"], {"lane": lane, "most": most, "taken": taken, "now": now})


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
        lane=Lane(row[4]),
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
    )


# ---- attempts without an outcome ----------------------------------------------------------------------------------
def free(
    conn: sqlite3.Connection,
    judge: Callable[[Interruption], AttemptResult],
    *,
    now: datetime,
    lapsed_only: bool,
    sparing: WorkerId | None,
) -> list[Interruption]:
    micros = to_micros(now)
    leases = conn.execute(_SQL["leases"], (micros if lapsed_only else _NEVER, sparing)).fetchall()
    return [_interrupt(conn, lease, judge, micros) for lease in leases]


def _interrupt(
    conn: sqlite3.Connection, lease: tuple[Any, ...], judge: Callable[[Interruption], AttemptResult], now: int
) -> Interruption:
    key, message_id, lane, number, failures, interruptions, claimed_at, leased_until = lease
    interruption = Interruption(
        message_id=MessageId(message_id),
        lane=Lane(lane),
        number=number,
        failures=failures,
        interruptions=interruptions + 1,
    )
    result = judge(interruption)
    if (result.message_id, result.number) != (message_id, number):
        raise ValueError("the judge answered for another attempt")
    bulk.write(conn, _SQL["close_attempts"], [(key, *_moves(result), True)])
    took = max(0, min(now, leased_until) - claimed_at) * _MICROSECOND
    known = replace(result, started_at=from_micros(claimed_at), took=took, verdict=Verdict.INTERRUPTED)
    bulk.write(conn, _SQL["add_attempts"], [_attempt(key, known)])
    return interruption


# ---- deliveries whose endpoint went or came back ------------------------------------------------------------------
def park(conn: sqlite3.Connection, *, now: datetime, book: Book) -> tuple[int, int]:
    """(parked, resumed)."""
    parked = DELIVERY[DeliveryStatus.PENDING][DeliverySignal.PARK].value
    pending = DELIVERY[DeliveryStatus.PARKED][DeliverySignal.RESUME].value
    due_at = to_micros(now)
    waiting = conn.execute(_SQL["waiting"]).fetchall()
    kept = conn.execute(_SQL["parked"]).fetchall()
    gone = [(parked, why, key) for key, endpoint in waiting if (why := parked_because(endpoint, book))]
    back = [(pending, due_at, key) for key, endpoint in kept if not parked_because(endpoint, book)]
    conn.executemany(_SQL["park"], gone)
    conn.executemany(_SQL["resume"], back)
    return len(gone), len(back)
