"""The health of endpoints, inside a transaction, and which deliveries it parks.

What an attempt makes of its destination is decided in `endpoint_health`. Rules: it is written with the attempt; what is
pending for a disabled destination is parked, a bounded number in one transaction and the rest in later ones, and is not
claimed meanwhile; what was parked because of it does not resume by itself.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from notifier.domain import endpoint_health
from notifier.domain.endpoint_health import Change, EndpointHealth, EndpointState, parked_reason
from notifier.domain.ids import Destination
from notifier.domain.message import parked_if_disabled
from notifier.domain.model import DeliveryStatus, Verdict
from notifier.domain.times import to_micros
from notifier.store import rules
from notifier.store.records import Announce, EndpointSummary
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.rows import micros_or_none, moment_or_none
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("endpoints")
#: Deliveries parked in one transaction, so that nobody waits for long. Measured: 500 take 4-10 ms.
SOME: Final = 500


# ---- after attempts -----------------------------------------------------------------------------------------------
def note(
    conn: sqlite3.Connection, attempts: Sequence[tuple[Destination, Verdict | None]], *, now: datetime
) -> rules.HealthChanges:
    """Take (destination, verdict) of attempts, in their order; None for a verdict that does not count."""
    before = _health_of(conn, dict.fromkeys(destination for destination, _ in attempts))
    changes = rules.health_changes(before, attempts, now=now)
    save(conn, changes.noted)
    return changes


def act(
    conn: sqlite3.Connection, before: EndpointHealth, after: EndpointHealth, announce: Announce, *, now: datetime
) -> Change:
    """What follows from another state: deliveries are parked, the operator is told."""
    if after.state is EndpointState.DISABLED:
        park_some(conn, after.destination, after.reason)
    parked, oldest = conn.execute(_SQL["count_parked"], {"destination": after.destination}).fetchone()
    if after.state is EndpointState.DISABLED:
        parked += conn.execute(_SQL["count_pending"], (after.destination,)).fetchone()[0]
    given_up, first = _given_up(conn, before) if after.state is EndpointState.WORKING else (0, None)
    change = Change(
        before=before, after=after, parked=parked, given_up=given_up, oldest=moment_or_none(_earlier(oldest, first))
    )
    if (notice := announce(change)) is not None:
        rows.add_deliveries(conn, [(None, parked_if_disabled(notice, disabled_among(conn, [notice.destination])))], now)
    return change


def _given_up(conn: sqlite3.Connection, disabled: EndpointHealth) -> tuple[int, int | None]:
    """How many were given up while this destination failed, and when the first of them was made."""
    if (since := rules.given_up_since(disabled)) is None:
        return 0, None
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
    before = _health_of(conn, [destination])[destination]
    return _settle(conn, before, endpoint_health.disabled(before, reason, now=now), announce, now)


def enable(conn: sqlite3.Connection, destination: Destination, announce: Announce, *, now: datetime) -> Change:
    """What is still pending is parked first, so that only what is enqueued from now on is sent."""
    before = _health_of(conn, [destination])[destination]
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


# ---- disabled destinations ----------------------------------------------------------------------------------------
def disabled_among(conn: sqlite3.Connection, destinations: Iterable[str]) -> Mapping[Destination, str]:
    """Which of these destinations are disabled, and why."""
    return dict(bulk.read(conn, _SQL["disabled_among"], {"destinations": bulk.listed(list(destinations))}))


def all_disabled(conn: sqlite3.Connection) -> Mapping[Destination, str]:
    """Every disabled destination, and why."""
    return dict(conn.execute(_SQL["all_disabled"]).fetchall())


def park_some(conn: sqlite3.Connection, destination: str, reason: str) -> int:
    """Park some of what is pending for a disabled destination; how many."""
    parked = conn.execute(
        _SQL["park_some"], (rules.PARKED.value, parked_reason(destination, reason), destination, SOME)
    )
    return parked.rowcount


def park_next(conn: sqlite3.Connection) -> int:
    """Park some of what is pending for some disabled destination; 0 if nothing is."""
    found = conn.execute(_SQL["disabled_with_pending"]).fetchone()
    return 0 if found is None else park_some(conn, *found)


def park_waiting(conn: sqlite3.Connection, destination: Destination) -> int:
    """Park some of what is pending for this destination, if it is disabled; how many."""
    reason = disabled_among(conn, [destination]).get(destination)
    return 0 if reason is None else park_some(conn, destination, reason)


def forget(conn: sqlite3.Connection, before: datetime) -> int:
    """Forget origins that have not failed since; how many. Those that are disabled stay."""
    return conn.execute(_SQL["forget_origins"], (to_micros(before),)).rowcount


# ---- for people ---------------------------------------------------------------------------------------------------
def report(conn: sqlite3.Connection) -> list[EndpointSummary]:
    """Every destination of which anything is known or that has anything pending or parked, by name."""
    known = {row[0]: _read(EndpointRow(*row)) for row in conn.execute(_SQL["all_health"])}
    counts: dict[tuple[str, str], int] = {}
    oldest: dict[str, int] = {}
    for destination, status, count, first in conn.execute(_SQL["unfinished_by_destination"]):
        counts[destination, status] = counts.get((destination, status), 0) + count
        if first is not None:
            oldest[destination] = first
    summaries = []
    for destination in sorted({*known, *(Destination(name) for name, _ in counts)}):
        health = known.get(destination) or EndpointHealth(destination=destination)
        given_up, first = _given_up(conn, health)
        summaries.append(
            EndpointSummary(
                health=health,
                pending=counts.get((destination, DeliveryStatus.PENDING.value), 0),
                parked=counts.get((destination, DeliveryStatus.PARKED.value), 0),
                given_up=given_up,
                oldest=moment_or_none(_earlier(oldest.get(destination), first)),
            )
        )
    return summaries


# ---- rows ---------------------------------------------------------------------------------------------------------
class EndpointRow(NamedTuple):
    destination: Destination
    state: str
    first_failure: int | None
    last_failure: int | None
    failures: int
    last_success: int | None
    warned_at: int | None
    disabled_at: int | None
    reason: str


def _health_of(conn: sqlite3.Connection, destinations: Iterable[Destination]) -> dict[Destination, EndpointHealth]:
    found = {destination: EndpointHealth(destination=destination) for destination in destinations}
    for row in bulk.read(conn, _SQL["health_of"], {"destinations": bulk.listed(list(found))}):
        found[row[0]] = _read(EndpointRow(*row))
    return found


def _read(row: EndpointRow) -> EndpointHealth:
    return EndpointHealth(
        destination=row.destination,
        state=EndpointState(row.state),
        first_failure=moment_or_none(row.first_failure),
        last_failure=moment_or_none(row.last_failure),
        failures=row.failures,
        last_success=moment_or_none(row.last_success),
        warned_at=moment_or_none(row.warned_at),
        disabled_at=moment_or_none(row.disabled_at),
        reason=row.reason,
    )


def save(conn: sqlite3.Connection, changed: Sequence[tuple[EndpointHealth, EndpointHealth]]) -> None:
    """Write (before, after) of destinations; the rows of those of which nothing bad is known any more are deleted."""
    bulk.write(conn, _SQL["save_health"], [_row(after) for _, after in changed if after.worth_keeping])
    well = [(after.destination,) for before, after in changed if before.worth_keeping and not after.worth_keeping]
    conn.executemany(_SQL["forget_health"], well)


def _row(each: EndpointHealth) -> EndpointRow:
    first, last, success = map(micros_or_none, (each.first_failure, each.last_failure, each.last_success))
    warned, disabled = map(micros_or_none, (each.warned_at, each.disabled_at))
    state = each.state.value
    return EndpointRow(each.destination, state, first, last, each.failures, success, warned, disabled, each.reason)
