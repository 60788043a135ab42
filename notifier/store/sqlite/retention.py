"""Deletes what was finished long ago, one short transaction at a time.

A delivery is finished if it is delivered, exhausted or filtered: it goes whole, with its body and attempts, because one
without a body could neither be sent again nor explained. What is pending or parked is not finished, however old it is:
nothing that never arrived disappears by itself. An ended watch goes if it has no delivery left and its generation is
not watched any more, unless somebody still declares it: that row keeps a restart from posting again. A generation goes
with its last watch. The round of a watch that was reopened is kept for a year longer: the IDs of messages depend on it,
and a watch that is registered again must have the IDs that it had.

Rule: a step looks at `STEP` rows at most, in an index in the order of time that has nothing pending, parked or watched,
and continues where the last one stopped. A row that a step must leave is looked at once in a pass.
"""

import sqlite3
from collections.abc import Container
from typing import Any, Final, NamedTuple

from notifier.domain.ids import WatchId
from notifier.store.records import Pruned
from notifier.store.sqlite import bulk
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("retention")
#: Rows that one transaction looks at; others wait for it, and every message's ID is on a page of its own.
STEP: Final = 100
#: For how much longer than a watch its round is kept, microseconds: a year.
ROUNDS_KEPT: Final = 365 * 86_400 * 1_000_000
#: Before any time that is stored.
_BEGINNING: Final = -(2**62)


class Position(NamedTuple):
    """How far a pass has come: deliveries first, then watches, each in order of (time, key)."""

    in_watches: bool = False
    at: int = _BEGINNING
    key: int = 0


#: Where a pass begins.
START: Final = Position()
_WATCHES: Final = Position(in_watches=True)


class Step(NamedTuple):
    """What one step came to."""

    pruned: Pruned
    #: Rows it looked at.
    looked: int
    #: Where the next one begins; `START` once everything was walked through.
    next: Position


def step(conn: sqlite3.Connection, position: Position, before: int, declared: Container[WatchId] | None) -> Step:
    """Delete a little of what was finished before `before` (microseconds), from `position` on."""
    if not position.in_watches:
        return _deliveries(conn, position, before)
    if declared is None:
        return Step(Pruned(), 0, START)
    return _watches(conn, position, before, declared)


def _deliveries(conn: sqlite3.Connection, position: Position, before: int) -> Step:
    found = _next(conn, "finished_deliveries", position, before)
    keys = [key for _, key, finished_at in found if finished_at < before]
    listed = {"keys": bulk.listed(keys)}
    for name in ("drop_attempts", "drop_bodies", "drop_deliveries"):
        conn.execute(_SQL[name], listed)
    return Step(Pruned(deliveries=len(keys)), len(found), _after(found, position, then=_WATCHES))


def _watches(conn: sqlite3.Connection, position: Position, before: int, declared: Container[WatchId]) -> Step:
    found = _next(conn, "ended_watches", position, before)
    going = [(key, generation) for _, key, id_, generation, held in found if not held and id_ not in declared]
    keys = {"keys": bulk.listed([key for key, _ in going])}
    for name in ("keep_rounds", "drop_watches"):
        conn.execute(_SQL[name], keys)
    conn.execute(_SQL["drop_rounds"], {"before": before - ROUNDS_KEPT, "most": STEP})
    left = {"generations": bulk.listed(list({generation for _, generation in going}))}
    conn.execute(_SQL["drop_states"], left)
    generations = conn.execute(_SQL["drop_generations"], left).rowcount
    return Step(Pruned(watches=len(going), generations=generations), len(found), _after(found, position, then=START))


def _next(conn: sqlite3.Connection, name: str, position: Position, before: int) -> list[tuple[Any, ...]]:
    asked = {"at": position.at, "key": position.key, "before": before, "most": STEP}
    return conn.execute(_SQL[name], asked).fetchall()


def _after(found: list[tuple[Any, ...]], position: Position, *, then: Position) -> Position:
    return then if len(found) < STEP else Position(position.in_watches, *max((at, key) for at, key, *_ in found))
