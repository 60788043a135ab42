"""What a person asks for again or cancels.

Rules: what to touch is searched for on a reader, which holds up nobody; whether it may be touched is asked once more
inside the writing transaction, of the tables in `lifecycle`. A walk pages on the key that it sorts by, and that key is
unique and never changes: nothing is met twice and nothing is skipped, however many rows share a time.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from notifier.domain.ids import GenerationId, MessageId, ProviderName, WatchId
from notifier.domain.lifecycle import WATCH, WatchSignal
from notifier.domain.message import parked_because
from notifier.domain.model import DeliveryStatus, WatchStatus
from notifier.domain.times import from_micros, to_micros
from notifier.store import rules
from notifier.store.records import Cancelled, Kept, Mark, Redelivered, Selection, WatchChoice
from notifier.store.sqlite import bulk, directories, rows
from notifier.store.sqlite.statements import statements

_SQL: Final = statements("redelivery")


# ---- names --------------------------------------------------------------------------------------------------------
def messages_like(conn: sqlite3.Connection, beginning: str) -> list[MessageId]:
    return [MessageId(id_) for (id_,) in conn.execute(_SQL["messages_like"], {"beginning": beginning})]


def watches_like(conn: sqlite3.Connection, beginning: str) -> list[WatchId]:
    return [WatchId(id_) for (id_,) in conn.execute(_SQL["watches_like"], {"beginning": beginning})]


def _generations(conn: sqlite3.Connection, generation: str, provider: str | None) -> str:
    """Keys of the generations that are meant, as a JSON list."""
    asked = {"generation": generation, "provider": provider}
    found = bulk.read(conn, _SQL["generations"], asked)
    return bulk.listed(found or bulk.read(conn, _SQL["generations_without_case"], asked))


# ---- again --------------------------------------------------------------------------------------------------------
def page(
    conn: sqlite3.Connection, selection: Selection, mark: Mark | None, most: int
) -> tuple[Sequence[int], Mark | None]:
    """Keys of the next deliveries, and where the walk continues after them."""
    here = mark or Mark(after=0, last=conn.execute(_SQL["last"]).fetchone()[0] or 0)
    asked: dict[str, Any] = {
        "after": here.after,
        "last": here.last,
        "most": most,
        "endpoint": selection.endpoint,
        "destination": selection.destination,
        "type": selection.type,
        "since": rows.micros_or_none(selection.since),
        "until": rows.micros_or_none(selection.until),
        "statuses": bulk.listed(sorted(selection.statuses)) if selection.statuses else None,
    }
    if selection.message is not None:
        keys = bulk.read(conn, _SQL["page_of_message"], asked | {"message": selection.message})
    elif selection.generation is None:
        keys = bulk.read(conn, _SQL["page"], asked | {"provider": selection.provider})
    else:
        meant = _generations(conn, selection.generation, selection.provider)
        keys = bulk.read(conn, _SQL["page_of_generations"], asked | {"generations": meant})
    return keys, Mark(after=keys[-1], last=here.last) if len(keys) == most else None


def ask_again(
    conn: sqlite3.Connection, keys: Sequence[int], selection: Selection, mark: Mark | None, *, now: datetime
) -> Redelivered:
    """Make those of `keys` due that may be; the answer continues at `mark`."""
    taken: list[tuple[int, str, int]] = []
    refused: Counter[str] = Counter()
    found = bulk.read(conn, _SQL["state_of_deliveries"], {"keys": bulk.listed(keys)})
    directory = directories.current(conn, {destination for _, _, _, destination, _, _ in found})
    for key, word, endpoint, destination, leased, has_body in found:
        status = DeliveryStatus(word)
        if selection.statuses and status not in selection.statuses:
            continue
        parked = parked_because(endpoint, destination, directory)
        again, why = rules.redelivered(status, leased=leased, parked=parked, has_body=has_body)
        if again is None:
            refused[why] += 1
        else:
            taken.append((key, again.value, to_micros(now)))
    bulk.write(conn, _SQL["ask_again"], taken)
    return Redelivered(taken=len(taken), refused=refused, mark=mark)


def kept(conn: sqlite3.Connection, selection: Selection) -> Kept:
    """What there is for a selection, whatever its status and its time."""
    asked: dict[str, Any] = {
        "endpoint": selection.endpoint,
        "destination": selection.destination,
        "type": selection.type,
    }
    if selection.generation is None:
        rows_ = conn.execute(_SQL["kept"], asked | {"provider": selection.provider})
    else:
        meant = _generations(conn, selection.generation, selection.provider)
        rows_ = conn.execute(_SQL["kept_of_generations"], asked | {"generations": meant})
    counts, oldest, newest = {}, [], []
    for word, count, first, last in rows_:
        counts[DeliveryStatus(word)] = count
        oldest.append(first)
        newest.append(last)
    if not counts:
        return Kept(counts={}, oldest=None, newest=None)
    return Kept(counts=counts, oldest=from_micros(min(oldest)), newest=from_micros(max(newest)))


# ---- cancelled ----------------------------------------------------------------------------------------------------
def chosen(conn: sqlite3.Connection, choice: WatchChoice) -> list[int]:
    """Keys of the watches that are meant."""
    if choice.watch is not None:
        return bulk.read(conn, _SQL["chosen_watch"], {"watch": choice.watch})
    if choice.generation is None:
        raise ValueError("watches are chosen by their ID or by their generation's")
    meant = _generations(conn, choice.generation, choice.provider)
    asked = {"generations": meant, "endpoint": choice.endpoint, "destination": choice.destination}
    return bulk.read(conn, _SQL["chosen_watches"], asked)


def cancel(conn: sqlite3.Connection, keys: Sequence[int], *, now: datetime) -> Cancelled:
    """End those of `keys` that are open; there is no message for it."""
    ending: list[tuple[int, str, int]] = []
    ended: Counter[WatchStatus] = Counter()
    generations: set[int] = set()
    for key, word, generation in bulk.read(conn, _SQL["state_of_watches"], {"keys": bulk.listed(keys)}):
        status = WatchStatus(word)
        if (cancelled := WATCH[status].get(WatchSignal.CANCEL)) is None:
            ended[status] += 1
        else:
            ending.append((key, cancelled.value, to_micros(now)))
            generations.add(generation)
    bulk.write(conn, rows.SQL["end_watches"], ending)
    left = bulk.read(conn, _SQL["unwatched"], {"generations": bulk.listed(sorted(generations))})
    return Cancelled(
        cancelled=len(ending), ended=ended, left=[(ProviderName(provider), GenerationId(id_)) for provider, id_ in left]
    )
