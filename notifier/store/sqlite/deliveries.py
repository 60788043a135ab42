"""Claims deliveries and takes their outcomes, inside a transaction: the dispatcher's part of the store.

The claim is the lease on the delivery's row and the opening of its attempt; the attempt gets a row of its own when it
is closed. Rules: a result counts only as long as its lease is there; destinations take turns, by `turns`, and each
gives its longest overdue first.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from notifier.domain.endpoint_health import Change
from notifier.domain.ids import Destination, MessageId, WorkerId
from notifier.domain.model import AttemptResult, Claim, Interruption, Stale, Trigger, Verdict
from notifier.domain.slot_sharing import Demand, allot
from notifier.domain.times import from_micros, to_micros
from notifier.store import rules
from notifier.store import turns as turn
from notifier.store.records import Announce, Decide, Exchange, Slots
from notifier.store.sqlite import bulk, endpoints, refresh
from notifier.store.sqlite.rows import moment
from notifier.store.sqlite.statements import statements
from notifier.store.turns import Turns

_SQL: Final = statements("deliveries")
#: Of a claim with its due time and key.
_DUE: Final = itemgetter(0, 1)
#: Words as they are stored -> words of the model.
_TRIGGERS: Final = {trigger.value: trigger for trigger in Trigger}
_MICROSECOND: Final = timedelta(microseconds=1)
#: Up to so many due deliveries, their destinations are found by reading them all; above it, by stepping from
#: destination to destination.
_FEW: Final = 128
#: So many deliveries are looked at that fell due last, beside those whose turn it is.
_NEWEST: Final = 128


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
    """Take results: messages whose lease is lost, and destinations that are in another state because of the rest."""
    asked = {"owner": owner, "messages": bulk.listed([result.message_id for result in results])}
    leases = {(row[0], row[1]): _Lease(*row[2:]) for row in bulk.read(conn, _SQL["open_attempts"], asked)}
    closed, lost = [], []
    for result in results:
        lease = leases.pop((result.message_id, result.number), None)
        if lease is None:
            lost.append(result.message_id)
        else:
            closed.append((lease, result))
    verdicts = [(lease.destination, result.verdict if result.affects_health else None) for lease, result in closed]
    changes = endpoints.note(conn, verdicts, now=now)
    _write(conn, closed, changes.disabled)
    return lost, [endpoints.act(conn, before, after, announce, now=now) for before, after in changes.moved]


class _Lease(NamedTuple):
    """What is known of an open attempt that its result does not say."""

    key: int
    destination: Destination
    trigger: str


def _write(
    conn: sqlite3.Connection, closed: Sequence[tuple[_Lease, AttemptResult]], disabled: Mapping[Destination, str]
) -> None:
    """Close attempts: each moves its delivery, gives the lease back and gets a row of its own."""
    moves, attempts = [], []
    for lease, result in closed:
        moved = rules.after_attempt(result, lease.destination, disabled)
        due_at = None if moved.due_at is None else to_micros(moved.due_at)
        interrupted = result.verdict is Verdict.INTERRUPTED
        moves.append((lease.key, moved.status.value, moved.reason, moved.resumes, moved.failures, due_at, interrupted))
        attempts.append(
            (
                lease.key,
                result.number,
                lease.trigger,
                to_micros(result.started_at),
                result.took // _MICROSECOND,
                result.verdict.value,
                result.status_code,
                result.head,
                result.detail,
            )
        )
    bulk.write(conn, _SQL["close_attempts"], moves)
    bulk.write(conn, _SQL["add_attempts"], attempts)


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
    due, newest = _due_destinations(conn, turns, slots, now)
    offer = turn.offer(due, newest, slots, turns)
    for pool, destinations in offer.pools.items():
        first_slots = min(left, slots.first_slots.get(pool, 0))
        reserve = 1 if slots.pools else 0
        free = min(left, turn.left(slots, pool))
        found = _share_pool(conn, destinations, free, first_slots, reserve=reserve, now=now)
        left -= sum(map(len, found.values()))
        taken |= found
        turns.served(pool, list(found), newest=offer.newest)
    return taken, offer.yielded


def _share_pool(
    conn: sqlite3.Connection, destinations: Sequence[Demand], left: int, first_slots: int, *, reserve: int, now: int
) -> dict[str, list[int]]:
    """What a destination does not use of its share, because it has less due, is shared again."""
    taken: dict[str, list[int]] = {}
    while given := allot(destinations, left, first_slots=first_slots, reserve=reserve):
        again = []
        for each in destinations:
            asked = given.get(each.destination, 0)
            found = []
            if asked:
                before = len(taken.get(each.destination, ()))
                wanted = {"destination": each.destination, "most": asked, "taken": before, "now": now}
                found = bulk.read(conn, _SQL["due_in_destination"], wanted)
            if found:
                taken.setdefault(each.destination, []).extend(found)
                left = max(0, left - len(found))  # first slots may have gone beyond it
                first_slots -= len(found)
            if len(found) == asked and each.room > asked:
                again.append(replace(each, held=each.held + asked, room=each.room - asked))
        destinations = again
    return taken


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
    others, all_of_them = turn.others(_round(conn, turns.last[""], now), slots, turns)
    newest: list[str] = []
    if not all_of_them:
        last = bulk.read(conn, _SQL["last_due_destinations"], {"now": now, "looked": turn.LOOKED_AT, "limit": _NEWEST})
        newest = [destination for destination in last if destination not in known]
    return list(dict.fromkeys([*destinations, *newest, *others])), newest


def _round(conn: sqlite3.Connection, last: str, now: int) -> Iterator[str]:
    """Every destination with something due, in order, from the one after `last` all the way round."""
    for (destination,) in conn.execute(_SQL["due_destinations_after"], {"after": last, "now": now}):
        yield destination
    for (destination,) in conn.execute(_SQL["due_destinations_after"], {"after": "", "now": now}):
        if destination > last:
            return
        yield destination


def _claims(conn: sqlite3.Connection, keys: Sequence[int]) -> list[Claim]:
    """What was just leased, longest overdue first."""
    listed, bodies = conn.execute(_SQL["claimed"], {"keys": bulk.listed(keys)}).fetchone()
    claims, begin = [], 0
    for (
        due_at,
        key,
        length,
        message_id,
        endpoint,
        destination,
        type_,
        content_type,
        number,
        failures,
        interruptions,
        claimed_at,
        leased_until,
        provider,
        generation,
        watch_id,
        trigger,
    ) in orjson.loads(listed):
        claim = Claim(
            message_id=message_id,
            endpoint=endpoint,
            destination=destination,
            type=type_,
            content_type=content_type,
            body=bodies[begin : begin + length],
            number=number,
            failures=failures,
            interruptions=interruptions,
            started_at=moment(claimed_at),
            leased_until=moment(leased_until),
            provider=provider,
            generation=generation,
            watch_id=watch_id,
            trigger=_TRIGGERS[trigger],
        )
        claims.append((due_at, key, claim))
        begin += length
    claims.sort(key=_DUE)
    return [claim for _, _, claim in claims]


# ---- attempts without an outcome ----------------------------------------------------------------------------------
def end_lapsed(
    conn: sqlite3.Connection, decide: Decide, *, now: datetime, sparing: WorkerId | None
) -> list[Interruption]:
    lapsed = conn.execute(_SQL["leases_that_lapsed"], {"now": to_micros(now), "sparing": sparing}).fetchall()
    return [_interrupt(conn, row, decide, now) for row in lapsed]


def release(conn: sqlite3.Connection, owner: WorkerId, decide: Decide, *, now: datetime) -> list[Interruption]:
    own = conn.execute(_SQL["leases_of"], {"owner": owner}).fetchall()
    return [_interrupt(conn, row, decide, now) for row in own]


def disown_leases(conn: sqlite3.Connection) -> None:
    """At open: the lock shows that every worker of the last run is gone."""
    conn.execute(_SQL["disown_leases"])


def _interrupt(conn: sqlite3.Connection, row: tuple[Any, ...], decide: Decide, now: datetime) -> Interruption:
    key, message_id, destination, number, failures, interruptions, claimed_at, leased_until, trigger = row
    interruption = Interruption(
        message_id=message_id,
        destination=destination,
        number=number,
        failures=failures,
        interruptions=interruptions + 1,
    )
    result = decide(interruption)
    if (result.message_id, result.number) != (message_id, number):
        raise ValueError("the decision is about another attempt")
    started_at, until = from_micros(claimed_at), from_micros(leased_until)
    known = rules.interrupted(result, started_at=started_at, leased_until=until, now=now)
    _write(conn, [(_Lease(key, destination, trigger), known)], endpoints.disabled_among(conn, [destination]))
    return interruption
