"""Claims deliveries and takes their outcomes, inside a transaction: the dispatcher's part of the store.

The claim is the lease on the delivery's row and the opening of its attempt; the attempt gets a row of its own when it
is closed. Rules: a result counts only while its lease stands; lanes take turns, each giving its longest overdue first;
the turn goes on where the last call ended, so that no lane waits because of its name.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from notifier.clock import from_micros, to_micros
from notifier.delivery.payload import parked_because
from notifier.ids import EndpointIdentity, GenerationId, Lane, MessageId, ProviderName, WatchId, WorkerId
from notifier.lifecycle import DELIVERY, DeliverySignal
from notifier.model import AttemptResult, Book, Claim, DeliveryStatus, Interruption, Verdict
from notifier.store.base import Exchange, Slots
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("deliveries")
_MICROSECOND: Final = timedelta(microseconds=1)
#: Up to so many due deliveries, their lanes are found by reading them all; above it, by stepping from lane to lane.
_FEW: Final = 512
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
    lost = [result.message_id for result in results if not _close(conn, owner, result)]
    micros = to_micros(now)
    keys = _claim(conn, turns, owner, slots, micros) if slots.total > 0 else []
    next_due = conn.execute(_SQL["next_due"], (micros,)).fetchone()[0]
    return Exchange(
        claims=_claims(conn, keys) if keys else [],
        next_due=None if next_due is None else from_micros(next_due),
        lost=lost,
    )


# ---- results ------------------------------------------------------------------------------------------------------
def _close(conn: sqlite3.Connection, owner: WorkerId, result: AttemptResult) -> bool:
    """Take one result; False where its lease is lost."""
    moved = conn.execute(
        _SQL["close_attempt"],
        (
            *_moves(result),
            result.verdict is Verdict.INTERRUPTED,
            result.message_id,
            owner,
            result.number,
        ),
    ).fetchone()
    if moved is None:
        return False
    _append(conn, moved[0], result, to_micros(result.started_at), result.took // _MICROSECOND, result.verdict)
    return True


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


def _append(
    conn: sqlite3.Connection, key: int, result: AttemptResult, started_at: int, took: int, verdict: Verdict
) -> None:
    row: tuple[Any, ...] = (
        key,
        result.number,
        started_at,
        took,
        verdict.value,
        result.status_code,
        result.head,
        result.detail,
    )
    conn.execute(_SQL["add_attempt"], row)


# ---- claims -------------------------------------------------------------------------------------------------------
def _claim(conn: sqlite3.Connection, turns: Turns, owner: WorkerId, slots: Slots, now: int) -> list[int]:
    """Lease up to `slots` and answer the keys. Each round gives every lane an equal share of what is left."""
    left = slots.total
    room = _lanes_with_room(conn, turns, slots, now)
    keys: list[int] = []
    while room and left > 0:
        share = max(1, left // len(room))
        for lane in list(room):
            asked = min(share, room[lane], left)
            taken = _claim_in_lane(conn, owner, slots, lane, asked, now)
            keys += taken
            left -= len(taken)
            room[lane] -= len(taken)
            if taken:
                turns.last = lane
            if len(taken) < asked or room[lane] == 0:
                del room[lane]
            if left == 0:
                break
    return keys


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
    overdue = [lane for (lane,) in conn.execute(_SQL["first_due_lanes"], (now, _FEW))]
    if len(overdue) < _FEW:
        lanes = sorted(set(overdue))
        yield from (lane for lane in lanes if lane > last)
        yield from (lane for lane in lanes if lane <= last)
        return
    for (lane,) in conn.execute(_SQL["due_lanes_after"], {"after": last, "now": now}):
        yield lane
    for (lane,) in conn.execute(_SQL["due_lanes_after"], {"after": "", "now": now}):
        if lane > last:
            return
        yield lane


def _claim_in_lane(
    conn: sqlite3.Connection, owner: WorkerId, slots: Slots, lane: str, most: int, now: int
) -> list[int]:
    lease = slots.lease.get(Lane(lane), slots.lease_each)
    named = {"owner": owner, "now": now, "until": now + lease // _MICROSECOND, "lane": lane, "most": most}
    return [key for (key,) in conn.execute(_SQL["claim_in_lane"], named)]


def _claims(conn: sqlite3.Connection, keys: Sequence[int]) -> list[Claim]:
    """What was just claimed, longest overdue first."""
    return [
        Claim(
            message_id=MessageId(row[0]),
            endpoint=EndpointIdentity(row[1]),
            lane=Lane(row[2]),
            type=row[3],
            content_type=row[4],
            body=row[5],
            number=row[6],
            failures=row[7],
            interruptions=row[8],
            started_at=from_micros(row[9]),
            leased_until=from_micros(row[10]),
            provider=ProviderName(row[11]),
            generation=GenerationId(row[12]),
            watch_id=WatchId(row[13]),
        )
        for row in conn.execute(_SQL["claimed"], (orjson.dumps(keys).decode(),))
    ]


# ---- attempts without an outcome ----------------------------------------------------------------------------------
def free(
    conn: sqlite3.Connection, judge: Callable[[Interruption], AttemptResult], *, now: datetime, lapsed_only: bool
) -> list[Interruption]:
    micros = to_micros(now)
    leases = conn.execute(_SQL["leases"], (micros if lapsed_only else _NEVER,)).fetchall()
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
    conn.execute(_SQL["free_lease"], (*_moves(result), key))
    took = max(0, min(now, leased_until) - claimed_at)
    _append(conn, key, result, claimed_at, took, Verdict.INTERRUPTED)
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
