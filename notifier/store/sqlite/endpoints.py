"""How endpoints stand, inside a transaction, and what that does to what they are owed.

What to make of an attempt is asked of `delivery.health`. Rules: what an attempt makes of its destination is written
with the attempt; what waits for a disabled destination is parked, a bounded number in one transaction and the rest by
and by, and is not claimed meanwhile; what was parked because of it does not go on by itself.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from notifier.domain import endpoint_health
from notifier.domain.endpoint_health import Change, EndpointHealth, EndpointState, parked_reason
from notifier.domain.ids import Destination
from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.message import parked_if_disabled
from notifier.domain.model import DeliveryStatus, Verdict
from notifier.domain.times import from_micros, to_micros
from notifier.store.records import Announce, EndpointSummary
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("endpoints")
#: Deliveries parked in one transaction, so that nobody waits for long. Measured: 500 take 4-10 ms.
SOME: Final = 500
#: An attempt began at most so long before its answer.
_LONGEST_ATTEMPT: Final = timedelta(minutes=15)
_PARKED: Final = DELIVERY[DeliveryStatus.PENDING][DeliverySignal.PARK].value


# ---- after attempts -----------------------------------------------------------------------------------------------
def note(
    conn: sqlite3.Connection, attempts: Sequence[tuple[Destination, Verdict | None]], *, now: datetime
) -> tuple[list[tuple[EndpointHealth, EndpointHealth]], Mapping[Destination, str]]:
    """Take (destination, verdict) of attempts, in their order; None for a verdict that does not count.

    Answers (before, after) of destinations that are in another state now, and which of all these destinations are
    disabled and why.
    """
    before = _standings(conn, dict.fromkeys(destination for destination, _ in attempts))
    after = dict(before)
    for destination, verdict in attempts:
        if verdict is None:
            continue
        after[destination] = endpoint_health.after_attempt(after[destination], verdict, now=now)
    save(
        conn,
        [
            (before[destination], after[destination])
            for destination in after
            if after[destination] is not before[destination]
        ],
    )
    moved = [
        (before[destination], after[destination])
        for destination in after
        if after[destination].state is not before[destination].state
    ]
    return moved, {
        destination: each.reason for destination, each in after.items() if each.state is EndpointState.DISABLED
    }


def act(
    conn: sqlite3.Connection, before: EndpointHealth, after: EndpointHealth, announce: Announce, *, now: datetime
) -> Change:
    """What follows from a new standing: deliveries are parked, the operator is told."""
    if after.state is EndpointState.DISABLED:
        park_some(conn, after.destination, after.reason)
    parked, oldest = conn.execute(_SQL["count_parked"], {"destination": after.destination}).fetchone()
    if after.state is EndpointState.DISABLED:
        parked += conn.execute(_SQL["count_waiting"], (after.destination,)).fetchone()[0]
    given_up, first = _given_up(conn, before) if after.state is EndpointState.WORKING else (0, None)
    change = Change(
        before=before, after=after, parked=parked, given_up=given_up, oldest=_moment(_earlier(oldest, first))
    )
    if (told := announce(change)) is not None:
        rows.add_deliveries(conn, [(None, parked_if_disabled(told, disabled_among(conn, [told.destination])))], now)
    return change


def _given_up(conn: sqlite3.Connection, disabled: EndpointHealth) -> tuple[int, int | None]:
    """How many were given up while this destination failed, the one whose 410 disabled it too, since when."""
    if disabled.disabled_at is None:
        return 0, None
    since = min(disabled.first_failure or disabled.disabled_at, disabled.disabled_at) - _LONGEST_ATTEMPT
    count, first = conn.execute(
        _SQL["count_given_up"], {"destination": disabled.destination, "since": to_micros(since)}
    ).fetchone()
    return count, first


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


# ---- by a person --------------------------------------------------------------------------------------------------
def disable(
    conn: sqlite3.Connection, destination: Destination, reason: str, announce: Announce, *, now: datetime
) -> Change:
    before = _standings(conn, [destination])[destination]
    return _settle(conn, before, endpoint_health.disabled(before, reason, now=now), announce, now)


def enable(conn: sqlite3.Connection, destination: Destination, announce: Announce, *, now: datetime) -> Change:
    """What still waits is parked first, so that only what comes from now on flows."""
    before = _standings(conn, [destination])[destination]
    if before.state is EndpointState.DISABLED:
        while park_some(conn, destination, before.reason):
            pass
    return _settle(conn, before, endpoint_health.enabled(before), announce, now)


def _settle(
    conn: sqlite3.Connection, before: EndpointHealth, after: EndpointHealth, announce: Announce, now: datetime
) -> Change:
    if after is not before:
        save(conn, [(before, after)])
    return act(conn, before, after, announce, now=now)


# ---- what is owed to disabled destinations
# -------------------------------------------------------------------------------
def disabled_among(conn: sqlite3.Connection, destinations: Iterable[str]) -> Mapping[Destination, str]:
    """Which of these destinations are disabled, and why."""
    return dict(bulk.read(conn, _SQL["disabled_among"], {"destinations": bulk.listed(list(destinations))}))


def all_disabled(conn: sqlite3.Connection) -> Mapping[Destination, str]:
    """Every disabled destination, and why."""
    return dict(conn.execute(_SQL["all_disabled"]).fetchall())


def park_some(conn: sqlite3.Connection, destination: str, reason: str) -> int:
    """Park some of what waits for a disabled destination; how many."""
    parked = conn.execute(_SQL["park_some"], (_PARKED, parked_reason(destination, reason), destination, SOME))
    return parked.rowcount


def park_next(conn: sqlite3.Connection) -> int:
    """Park some of what waits for some disabled destination; 0 where nothing does."""
    found = conn.execute(_SQL["disabled_and_owed"]).fetchone()
    return 0 if found is None else park_some(conn, *found)


def park_waiting(conn: sqlite3.Connection, destination: Destination) -> int:
    """Park some of what waits for this destination, if it is disabled; how many."""
    reason = disabled_among(conn, [destination]).get(destination)
    return 0 if reason is None else park_some(conn, destination, reason)


def forget(conn: sqlite3.Connection, before: datetime) -> int:
    """Forget origins that have not failed since; how many. Those that are disabled stay."""
    return conn.execute(_SQL["forget_origins"], (to_micros(before),)).rowcount


# ---- for people ---------------------------------------------------------------------------------------------------
def report(conn: sqlite3.Connection) -> list[EndpointSummary]:
    """Every destination of which anything is known or to which anything is owed, by name."""
    known = {each.destination: each for each in map(_standing, conn.execute(_SQL["all_standings"]))}
    owed: dict[tuple[str, str], int] = {}
    oldest: dict[str, int] = {}
    for destination, status, count, first in conn.execute(_SQL["owed_by_destination"]):
        owed[destination, status] = owed.get((destination, status), 0) + count
        if first is not None:
            oldest[destination] = first
    destinations = sorted({*known, *(Destination(destination) for destination, _ in owed)})
    standings = {
        destination: known.get(destination) or EndpointHealth(destination=destination) for destination in destinations
    }
    given_up = {destination: _given_up(conn, standing) for destination, standing in standings.items()}
    return [
        EndpointSummary(
            health=standings[destination],
            pending=owed.get((destination, DeliveryStatus.PENDING.value), 0),
            parked=owed.get((destination, DeliveryStatus.PARKED.value), 0),
            given_up=given_up[destination][0],
            oldest=_moment(_earlier(oldest.get(destination), given_up[destination][1])),
        )
        for destination in destinations
    ]


# ---- rows ---------------------------------------------------------------------------------------------------------
def _standings(conn: sqlite3.Connection, destinations: Iterable[Destination]) -> dict[Destination, EndpointHealth]:
    found = {destination: EndpointHealth(destination=destination) for destination in destinations}
    for row in bulk.read(conn, _SQL["standings_of"], {"destinations": bulk.listed(list(found))}):
        found[Destination(row[0])] = _standing(row)
    return found


def _standing(row: Sequence[Any]) -> EndpointHealth:
    return EndpointHealth(
        destination=Destination(row[0]),
        state=EndpointState(row[1]),
        first_failure=_moment(row[2]),
        last_failure=_moment(row[3]),
        failures=row[4],
        last_success=_moment(row[5]),
        warned_at=_moment(row[6]),
        disabled_at=_moment(row[7]),
        reason=row[8],
    )


def save(conn: sqlite3.Connection, changed: Sequence[tuple[EndpointHealth, EndpointHealth]]) -> None:
    """Write (before, after) of destinations down; those of which nothing bad is known any more are forgotten."""
    bulk.write(conn, _SQL["save_standings"], [_row(after) for _, after in changed if after.worth_keeping])
    well = [(after.destination,) for before, after in changed if before.worth_keeping and not after.worth_keeping]
    conn.executemany(_SQL["forget_standing"], well)


def _row(each: EndpointHealth) -> tuple[Any, ...]:
    first, last, success = map(_micros, (each.first_failure, each.last_failure, each.last_success))
    warned, disabled = map(_micros, (each.warned_at, each.disabled_at))
    return (each.destination, each.state.value, first, last, each.failures, success, warned, disabled, each.reason)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
