"""The judge of the ledger: compares what was accepted, what the store's rows say and what receivers wrote down.

Imports nothing of the product and believes nothing it says: it reads the files in done/, the database by SQL, and the
receivers' logs. All of it is read as it lies there after a kill, from a copy, so that looking changes nothing.
"""

import json
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

#: A watch: generation, endpoint.
Watch = tuple[str, str]
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What lay there at one moment."""

    #: Watches in files that were moved to done/: acknowledged.
    accepted: set[Watch]
    #: Receivers' entries, in order.
    entries: list[Entry]
    #: Watch -> its status.
    watches: dict[Watch, str] = field(default_factory=dict)
    #: Generation -> its state.
    states: dict[str, str | None] = field(default_factory=dict)
    #: Message -> (watch, status, attempts counted, leased, has a body, who asked for what is owed now).
    deliveries: dict[str, tuple[Watch, str, int, bool, bool, str]] = field(default_factory=dict)
    #: Message -> (number, verdict, who asked for it) of its closed attempts, in order.
    attempts: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    #: Attempts that were begun at an endpoint after it was disabled: (endpoint, message).
    forbidden: list[tuple[str, str]] = field(default_factory=list)
    #: What is wrong with it, in words.
    faults: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> set[str]:
        return {message for message, row in self.deliveries.items() if row[1] == "delivered"}

    @property
    def leased(self) -> int:
        return sum(row[3] for row in self.deliveries.values())

    @property
    def arrivals(self) -> Counter[str]:
        """Message -> how often a receiver took it."""
        return Counter(entry["id"] for entry in self.entries if entry["answer"] == "200")

    @property
    def repeated(self) -> int:
        """Times that a message which a receiver had taken already came again and was taken again."""
        return sum(count - 1 for count in self.arrivals.values())


# ---- reading ------------------------------------------------------------------------------------------------------
def look(store: Path, drop: Path, logs: Mapping[str, Path]) -> Seen:
    """Everything as it is now, and what breaks a rule that must hold at every moment."""
    entries: list[Entry] = [{**entry, "endpoint": endpoint} for endpoint, log in logs.items() for entry in _lines(log)]
    accepted = {watch for file in (drop / "done").glob("*.json") for watch in _watches(file)}
    if not store.exists():  # killed before it was made
        return Seen(accepted=accepted, entries=entries)
    with closing(sqlite3.connect(_copied(store))) as rows:
        problems = [row[0] for row in rows.execute("PRAGMA integrity_check") if row[0] != "ok"]
        if not rows.execute(_WHOLE).fetchone()[0]:  # killed while its schema was made
            return Seen(accepted=accepted, entries=entries, faults=problems)
        seen = Seen(
            accepted=accepted,
            watches={(row[0], row[1]): row[2] for row in rows.execute(_WATCHES)},
            states=dict(rows.execute("SELECT id, state FROM generations")),
            deliveries={row[0]: ((row[1], row[2]), *row[3:]) for row in rows.execute(_DELIVERIES)},
            attempts=_attempts(rows),
            forbidden=rows.execute(_FORBIDDEN).fetchall(),
            entries=entries,
            faults=problems,
        )
    seen.faults.extend(_at_every_moment(seen))
    return seen


_WHOLE = "SELECT count(*) FROM pragma_table_info('deliveries') WHERE name = 'read_again_at'"
_WATCHES = """SELECT g.id, w.endpoint, w.status FROM watches AS w JOIN generations AS g ON g.key = w.generation"""
_DELIVERIES = """
SELECT d.message_id, g.id, d.endpoint, d.status, d.attempts, d.leased_until IS NOT NULL,
       EXISTS (SELECT 1 FROM bodies AS b WHERE b.delivery = d.key), d.trigger
FROM deliveries AS d JOIN watches AS w ON w.key = d.watch JOIN generations AS g ON g.key = w.generation
"""
_ATTEMPTS = """
SELECT d.message_id, a.number, a.verdict, a.trigger FROM attempts AS a JOIN deliveries AS d ON d.key = a.delivery
ORDER BY a.delivery, a.number
"""
_FORBIDDEN = """
SELECT e.destination, d.message_id FROM endpoints AS e JOIN deliveries AS d ON d.destination = e.destination
WHERE e.state = 'disabled' AND (d.claimed_at > e.disabled_at OR EXISTS (
    SELECT 1 FROM attempts AS a WHERE a.delivery = d.key AND a.started_at > e.disabled_at))
"""


def _attempts(rows: sqlite3.Connection) -> dict[str, list[tuple[int, str, str]]]:
    found: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for message, *attempt in rows.execute(_ATTEMPTS):
        found[message].append((*attempt,))
    return found


def _copied(store: Path) -> Path:
    """A copy of the database with its log, so that the original stays as the kill left it."""
    copy = store.with_name("copy.db")
    for end in ("", "-wal", "-shm"):
        copy.with_name(copy.name + end).unlink(missing_ok=True)
        source = store.with_name(store.name + end)
        if source.exists() and end != "-shm":
            shutil.copy(source, copy.with_name(copy.name + end))
    return copy


def _lines(log: Path) -> Iterator[Entry]:
    if log.exists():
        yield from (json.loads(line) for line in log.read_text().splitlines())


def _watches(file: Path) -> Iterator[Watch]:
    told = json.loads(file.read_text())
    for one in told if isinstance(told, list) else [told]:
        for endpoint in one["notify"]:
            yield one["id"], endpoint


# ---- rules --------------------------------------------------------------------------------------------------------
def _at_every_moment(seen: Seen) -> Iterator[str]:
    """What must hold whenever somebody looks, right after a kill too."""
    yield from _of_watches(seen)
    for endpoint, message in seen.forbidden:
        yield f"{message} was attempted at {endpoint} after that was disabled"
    for message, (watch, _, _, _, has_body, _) in seen.deliveries.items():
        if not has_body:
            yield f"{message} for {watch} has no body"
        yield from _of_attempts(seen, message)
    yield from _of_receivers(seen)


def _of_watches(seen: Seen) -> Iterator[str]:
    """What is acknowledged is there; what a state owes stands beside it, in the same transaction."""
    owed = Counter(row[0] for row in seen.deliveries.values())
    for watch in seen.accepted - set(seen.watches):
        yield f"acknowledged and not in the store: {watch}"
    for watch, status in seen.watches.items():
        if owed[watch] != (status == "satisfied"):
            yield f"{watch} is {status} and is owed {owed[watch]} messages"
        if status == "open" and seen.states[watch[0]] in ("completed", "failed"):
            yield f"{watch} is open, and its generation is {seen.states[watch[0]]}"


def _of_attempts(seen: Seen, message: str) -> Iterator[str]:
    """Each attempt is a row or the lease, in order; none was begun after a success, unless a person asked for it."""
    _, status, counted, leased, _, trigger = seen.deliveries[message]
    closed = seen.attempts.get(message, [])
    if [number for number, _, _ in closed] != list(range(1, counted + (not leased))):
        yield f"{message}: {counted} attempts, {'one' if leased else 'none'} of them open, and the rows {closed}"
    if leased and status != "pending":
        yield f"{message} is {status} and somebody works on it"
    arrived = bool(closed) and closed[-1][1] == "delivered"
    if (status == "delivered") != (arrived and trigger != "person"):
        yield f"{message} is {status} after {closed}, and what is owed was asked for by the {trigger}"
    for (_, verdict, _), (number, _, by) in pairwise(closed):
        if verdict == "delivered" and by != "person":
            yield f"attempt {number} of {message} was made after it was recorded as delivered: {closed}"


def _of_receivers(seen: Seen) -> Iterator[str]:
    """What the receivers' own logs must agree with."""
    of_message: dict[str, list[Entry]] = defaultdict(list)
    messages: dict[Watch, set[str]] = defaultdict(set)
    for entry in seen.entries:
        of_message[entry["id"]].append(entry)
        messages[entry["generation"], entry["endpoint"]].add(entry["id"])
    for message, entries in of_message.items():
        yield from _of_one(seen, message, entries)
    for watch, ids in messages.items():
        if len(ids) != 1:
            yield f"{watch} was told under several ids: {ids}"
    for message in seen.delivered - set(seen.arrivals):
        yield f"{message} is recorded as delivered and no receiver took it"


def _of_one(seen: Seen, message: str, entries: Sequence[Entry]) -> Iterator[str]:
    if not all(entry["verified"] for entry in entries):
        yield f"{message} came with a signature that is not good"
    if len({entry["body"] for entry in entries}) != 1:
        yield f"{message} came with different bytes"
    if message not in seen.deliveries:
        yield f"{message} came and the store does not know it"
        return
    # Within one attempt a connection lost before any answer is tried once more, and so is a 410 over a kept one.
    attempts, came = seen.deliveries[message][2], sum(entry["answer"] not in ("close", "410") for entry in entries)
    if came > attempts:
        yield f"{message} came {came} times in {attempts} attempts"


def sent_after_success(before: Seen, after: Seen) -> list[str]:
    """Messages recorded as delivered in `before` that came again between the two looks; nobody asked for any."""
    known = len(before.entries)
    counted = Counter(entry["id"] for entry in before.entries)
    later = Counter(entry["id"] for entry in after.entries)
    assert known <= len(after.entries), "a receiver's log only grows"
    return sorted(message for message in before.delivered if later[message] > counted[message])


def at_the_end(seen: Seen, dropped: Sequence[Watch]) -> Iterator[str]:
    """What must hold once nothing is owed any more: everything that was dropped was taken in, and arrived."""
    for watch in set(dropped) - seen.accepted:
        yield f"dropped and never acknowledged: {watch}"
    for message, (watch, status, *_) in seen.deliveries.items():
        if status != "delivered":
            yield f"{message} for {watch} is {status}"
    for watch, status in seen.watches.items():
        if status != "satisfied":
            yield f"{watch} is {status}"


def lost(seen: Seen, dropped: Sequence[Watch]) -> int:
    """Watches that were dropped and of which no receiver ever took the message."""
    taken = {
        seen.deliveries[message][0] for message, count in seen.arrivals.items() if count and message in seen.deliveries
    }
    return len(set(dropped) - taken)
