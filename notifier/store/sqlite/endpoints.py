"""How endpoints stand, inside a transaction, and what that does to what they are owed.

What to make of an attempt is asked of `delivery.standing`. Rules: what an attempt makes of its lane is written with the
attempt; what waits for a disabled lane is parked, a bounded number in one transaction and the rest by and by, and is
not claimed meanwhile; what was parked because of it does not go on by itself.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from notifier.domain import endpoint_health
from notifier.domain.endpoint_health import Change, EndpointState, Standing, parked_reason
from notifier.domain.ids import Lane
from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.model import Book, DeliveryStatus, Verdict
from notifier.domain.operator_notice import Notice
from notifier.domain.times import from_micros, to_micros
from notifier.store.ports import Announce, EndpointLine
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("endpoints")
#: Deliveries parked in one transaction, so that nobody waits for long. Measured: 500 take 4-10 ms.
SOME: Final = 500
#: What a notice is to the table of deliveries, beside the kinds of what a watch is owed.
_KIND: Final = "operator"
#: An attempt began at most so long before its answer.
_LONGEST_ATTEMPT: Final = timedelta(minutes=15)
_PARKED: Final = DELIVERY[DeliveryStatus.PENDING][DeliverySignal.PARK].value


# ---- after attempts -----------------------------------------------------------------------------------------------
def note(
    conn: sqlite3.Connection, attempts: Sequence[tuple[Lane, Verdict | None]], *, now: datetime
) -> tuple[list[tuple[Standing, Standing]], Mapping[Lane, str]]:
    """Take (lane, verdict) of attempts, in their order; None for a verdict that does not count.

    Answers (before, after) of lanes that are in another state now, and which of all these lanes are disabled and why.
    """
    before = _standings(conn, dict.fromkeys(lane for lane, _ in attempts))
    after = dict(before)
    for lane, verdict in attempts:
        if verdict is None:
            continue
        after[lane] = endpoint_health.after_attempt(after[lane], verdict, now=now)
    save(conn, [(before[lane], after[lane]) for lane in after if after[lane] is not before[lane]])
    moved = [(before[lane], after[lane]) for lane in after if after[lane].state is not before[lane].state]
    return moved, {lane: each.reason for lane, each in after.items() if each.state is EndpointState.DISABLED}


def act(conn: sqlite3.Connection, before: Standing, after: Standing, announce: Announce, *, now: datetime) -> Change:
    """What follows from a new standing: deliveries are parked, the operator is told."""
    if after.state is EndpointState.DISABLED:
        park_some(conn, after.lane, after.reason)
    parked, oldest = conn.execute(_SQL["count_parked"], {"lane": after.lane}).fetchone()
    if after.state is EndpointState.DISABLED:
        parked += conn.execute(_SQL["count_waiting"], (after.lane,)).fetchone()[0]
    given_up, first = _given_up(conn, before) if after.state is EndpointState.WORKING else (0, None)
    change = Change(
        before=before, after=after, parked=parked, given_up=given_up, oldest=_moment(_earlier(oldest, first))
    )
    if (told := announce(change)) is not None:
        _owe(conn, told, now)
    return change


def _given_up(conn: sqlite3.Connection, disabled: Standing) -> tuple[int, int | None]:
    """How many deliveries were given up while this lane was failing, the one whose 410 disabled it too; since when."""
    if disabled.disabled_at is None:
        return 0, None
    since = min(disabled.first_failure or disabled.disabled_at, disabled.disabled_at) - _LONGEST_ATTEMPT
    count, first = conn.execute(_SQL["count_given_up"], {"lane": disabled.lane, "since": to_micros(since)}).fetchone()
    return count, first


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _owe(conn: sqlite3.Connection, told: Notice, now: datetime) -> None:
    """Store a message that belongs to no watch; parked where its own endpoint is disabled."""
    why = disabled_among(conn, [told.lane]).get(told.lane)
    status, reason, due_at = DeliveryStatus.PENDING.value, "", to_micros(now + told.wait)
    row: tuple[Any, ...] = (status, reason, to_micros(now), due_at)
    if why is not None:
        row = (_PARKED, parked_reason(told.lane, why), to_micros(now), None)
    identity = (told.message_id, None, _KIND, told.type, told.endpoint, told.lane)
    conn.execute(rows.SQL["add_deliveries"], (*identity, *row, False))
    conn.execute(rows.SQL["add_bodies"], (told.message_id, told.content_type, told.body))


# ---- by a person --------------------------------------------------------------------------------------------------
def disable(conn: sqlite3.Connection, lane: Lane, reason: str, announce: Announce, *, now: datetime) -> Change:
    before = _standings(conn, [lane])[lane]
    return _settle(conn, before, endpoint_health.disabled(before, reason, now=now), announce, now)


def enable(conn: sqlite3.Connection, lane: Lane, announce: Announce, *, now: datetime) -> Change:
    """What still waits is parked first, so that only what comes from now on flows."""
    before = _standings(conn, [lane])[lane]
    if before.state is EndpointState.DISABLED:
        while park_some(conn, lane, before.reason):
            pass
    return _settle(conn, before, endpoint_health.enabled(before), announce, now)


def _settle(conn: sqlite3.Connection, before: Standing, after: Standing, announce: Announce, now: datetime) -> Change:
    if after is not before:
        save(conn, [(before, after)])
    return act(conn, before, after, announce, now=now)


# ---- what is owed to disabled lanes -------------------------------------------------------------------------------
def disabled_among(conn: sqlite3.Connection, lanes: Iterable[str]) -> Mapping[Lane, str]:
    """Which of these lanes are disabled, and why."""
    return dict(bulk.read(conn, _SQL["disabled_among"], {"lanes": bulk.listed(list(lanes))}))


def informed(conn: sqlite3.Connection, book: Book, lanes: Iterable[Lane]) -> Book:
    """`book` that knows which of these lanes are disabled now."""
    return replace(book, disabled=disabled_among(conn, lanes))


def all_disabled(conn: sqlite3.Connection) -> Mapping[Lane, str]:
    """Every disabled lane, and why."""
    return dict(conn.execute(_SQL["all_disabled"]).fetchall())


def park_some(conn: sqlite3.Connection, lane: str, reason: str) -> int:
    """Park some of what waits for a disabled lane; how many."""
    parked = conn.execute(_SQL["park_some"], (_PARKED, parked_reason(lane, reason), lane, SOME))
    return parked.rowcount


def park_next(conn: sqlite3.Connection) -> int:
    """Park some of what waits for some disabled lane; 0 where nothing does."""
    found = conn.execute(_SQL["disabled_and_owed"]).fetchone()
    return 0 if found is None else park_some(conn, *found)


def park_waiting(conn: sqlite3.Connection, lane: Lane) -> int:
    """Park some of what waits for this lane, if it is disabled; how many."""
    reason = disabled_among(conn, [lane]).get(lane)
    return 0 if reason is None else park_some(conn, lane, reason)


def forget(conn: sqlite3.Connection, before: datetime) -> int:
    """Forget origins that have not failed since; how many. Those that are disabled stay."""
    return conn.execute(_SQL["forget_origins"], (to_micros(before),)).rowcount


# ---- for people ---------------------------------------------------------------------------------------------------
def report(conn: sqlite3.Connection) -> list[EndpointLine]:
    """Every lane of which anything is known or to which anything is owed, by name."""
    known = {each.lane: each for each in map(_standing, conn.execute(_SQL["all_standings"]))}
    owed: dict[tuple[str, str], int] = {}
    oldest: dict[str, int] = {}
    for lane, status, count, first in conn.execute(_SQL["owed_by_lane"]):
        owed[lane, status] = owed.get((lane, status), 0) + count
        if first is not None:
            oldest[lane] = first
    lanes = sorted({*known, *(Lane(lane) for lane, _ in owed)})
    standings = {lane: known.get(lane) or Standing(lane=lane) for lane in lanes}
    given_up = {lane: _given_up(conn, standing) for lane, standing in standings.items()}
    return [
        EndpointLine(
            standing=standings[lane],
            pending=owed.get((lane, DeliveryStatus.PENDING.value), 0),
            parked=owed.get((lane, DeliveryStatus.PARKED.value), 0),
            given_up=given_up[lane][0],
            oldest=_moment(_earlier(oldest.get(lane), given_up[lane][1])),
        )
        for lane in lanes
    ]


# ---- rows ---------------------------------------------------------------------------------------------------------
def _standings(conn: sqlite3.Connection, lanes: Iterable[Lane]) -> dict[Lane, Standing]:
    found = {lane: Standing(lane=lane) for lane in lanes}
    for row in bulk.read(conn, _SQL["standings_of"], {"lanes": bulk.listed(list(found))}):
        found[Lane(row[0])] = _standing(row)
    return found


def _standing(row: Sequence[Any]) -> Standing:
    return Standing(
        lane=Lane(row[0]),
        state=EndpointState(row[1]),
        first_failure=_moment(row[2]),
        last_failure=_moment(row[3]),
        failures=row[4],
        last_success=_moment(row[5]),
        warned_at=_moment(row[6]),
        disabled_at=_moment(row[7]),
        reason=row[8],
    )


def save(conn: sqlite3.Connection, changed: Sequence[tuple[Standing, Standing]]) -> None:
    """Write (before, after) of lanes down; those of which nothing bad is known any more are forgotten."""
    bulk.write(conn, _SQL["save_standings"], [_row(after) for _, after in changed if after.worth_keeping])
    well = [(after.lane,) for before, after in changed if before.worth_keeping and not after.worth_keeping]
    conn.executemany(_SQL["forget_standing"], well)


def _row(each: Standing) -> tuple[Any, ...]:
    first, last, success = map(_micros, (each.first_failure, each.last_failure, each.last_success))
    warned, disabled = map(_micros, (each.warned_at, each.disabled_at))
    return (each.lane, each.state.value, first, last, each.failures, success, warned, disabled, each.reason)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
