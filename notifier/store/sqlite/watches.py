"""Registers watches inside a transaction: the registrar's part of the store.

A watch is (provider, generation, target, endpoint). Whether a request makes it, meets it or reopens it is decided here,
by what is recorded and by the table in `lifecycle`; a list with one bad entry is refused whole.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from notifier.clock import to_micros
from notifier.errors import Fault, InvalidWatch
from notifier.ids import GenerationId, Lane, ProviderName, WatchId, watch_id
from notifier.intake.document import MAX_FAULTS
from notifier.lifecycle import WATCH, WatchSignal, satisfies
from notifier.model import (
    Book,
    Kind,
    OpenGeneration,
    Outcome,
    Registration,
    State,
    Watch,
    WatchRequest,
    WatchStatus,
)
from notifier.store.sqlite import rows
from notifier.store.sqlite.endings import Cause, Terms, end_one, terms
from notifier.store.sqlite.rows import SQL, GenerationRow, WatchRow

_MICROSECOND = timedelta(microseconds=1)


def add(
    conn: sqlite3.Connection, requests: Sequence[WatchRequest], *, now: datetime, book: Book, keep_first: bool
) -> list[Registration]:
    """One answer for each request, in order. InvalidWatch has a fault for each that contradicts an open watch.

    The first so many of them, in a list of thousands.
    """
    held = terms(now, book)
    # asked once: most stores never forgot a watch that was reopened, and a list may hold 100,000.
    forgotten = bool(conn.execute(SQL["any_round"]).fetchall())
    answers: list[Registration] = []
    faults: list[Fault] = []
    for index, request in enumerate(requests):
        answers.append(_register(conn, request, held, reopen=not keep_first, forgotten=forgotten))
        if answers[-1].outcome is Outcome.KEPT and not keep_first:
            faults.append(_contradiction(index, request, answers[-1]))
            if len(faults) == MAX_FAULTS:  # nothing of it will stand: everybody else's writes wait for this
                faults.append(Fault(message="There may be more of these; looking for them ended here."))
                break
    if faults:
        raise InvalidWatch(faults)
    return answers


def _register(
    conn: sqlite3.Connection, request: WatchRequest, held: Terms, *, reopen: bool, forgotten: bool
) -> Registration:
    generation = rows.find_generation(conn, request.provider, request.generation)
    if generation is None:
        return _make(conn, request, _make_generation(conn, request, held), held, forgotten=forgotten)
    found = conn.execute(SQL["find_watch"], (generation[0], request.target.value, request.endpoint)).fetchone()
    if found is None:
        return _make(conn, request, generation, held, forgotten=forgotten)
    status = WatchStatus(found[5])
    if status is WatchStatus.OPEN:
        return _meet(request, generation, found)
    if reopen and WatchSignal.REOPEN in WATCH[status] and not _registered_before(request, found, held):
        return _reopen(conn, request, generation, found, held)
    return Registration(watch_id=WatchId(found[1]), outcome=Outcome.FINISHED, open=None)


def _registered_before(request: WatchRequest, found: WatchRow, held: Terms) -> bool:
    """Whether it is what the watch was made of, as far as can be told."""
    return request.put_at is not None and to_micros(request.put_at) <= found[9] <= held.micros


def _make_generation(conn: sqlite3.Connection, request: WatchRequest, held: Terms) -> GenerationRow:
    made = conn.execute(SQL["add_generation"], (request.provider, request.generation, held.micros))
    nothing_seen = (None, None, None, None, None, 0)
    return (made.lastrowid, request.provider, request.generation, *nothing_seen, held.micros, None, None)


def _make(
    conn: sqlite3.Connection, request: WatchRequest, generation: GenerationRow, held: Terms, *, forgotten: bool
) -> Registration:
    made = watch_id(
        provider=request.provider, generation=request.generation, target=request.target, endpoint=request.endpoint
    )
    timeout, round_ = request.timeout // _MICROSECOND, _round_before(conn, made) if forgotten else 0
    row = (
        made,
        generation[0],
        request.target.value,
        request.endpoint,
        request.lane,
        round_,
        request.metadata,
        timeout,
        held.micros,
        held.micros + timeout,
    )
    key = conn.execute(SQL["add_watch"], row).lastrowid
    assert key is not None, "an insert has a row id"
    if rows.recorded_state(generation) is None:  # nothing satisfies it: thousands of new ones are registered so
        asked = _asked(generation, request.target, request.lane, held.now, held.now + request.timeout)
        return Registration(watch_id=made, outcome=Outcome.CREATED, open=asked)
    return _begin(conn, key, _watch(made, request, round_, held), generation, Outcome.CREATED, held)


def _round_before(conn: sqlite3.Connection, made: WatchId) -> int:
    """The round of a watch that was forgotten: its messages keep their IDs, as for one that was never reopened."""
    found = conn.execute(
        SQL["take_round"], (made,)
    ).fetchall()  # to the end: a statement half run holds the transaction
    return int(found[0][0]) if found else 0


def _reopen(
    conn: sqlite3.Connection, request: WatchRequest, generation: GenerationRow, found: WatchRow, held: Terms
) -> Registration:
    status = WATCH[WatchStatus(found[5])][WatchSignal.REOPEN]
    round_ = found[6] + 1
    timeout = request.timeout // _MICROSECOND
    row = (
        status.value,
        round_,
        request.lane,
        request.metadata,
        timeout,
        held.micros,
        held.micros + timeout,
        found[0],
    )
    conn.execute(SQL["reopen_watch"], row)
    watch = _watch(WatchId(found[1]), request, round_, held)
    return _begin(conn, found[0], watch, generation, Outcome.REOPENED, held)


def _begin(
    conn: sqlite3.Connection, key: int, watch: Watch, generation: GenerationRow, outcome: Outcome, held: Terms
) -> Registration:
    """A watch that opens while the recorded state satisfies it is satisfied at once."""
    if satisfies(rows.recorded_state(generation), watch.target):
        end_one(conn, key, watch, Cause(Kind.RESULT, rows.seen(generation)), held)
        return Registration(watch_id=watch.id, outcome=outcome, open=None, owed=True)
    asked = _asked(generation, watch.target, watch.lane, watch.registered_at, watch.deadline)
    return Registration(watch_id=watch.id, outcome=outcome, open=asked)


def _asked(
    generation: GenerationRow, target: State, lane: Lane, registered_at: datetime, deadline: datetime
) -> OpenGeneration:
    """What one watch asks of the poller. Not what its whole generation does: summed up each time, that is quadratic."""
    return OpenGeneration(
        provider=ProviderName(generation[1]),
        id=GenerationId(generation[2]),
        state=rows.recorded_state(generation),
        registered_at=registered_at,
        deadline=deadline,
        target=target,
        lanes=(lane,),
    )


def _meet(request: WatchRequest, generation: GenerationRow, found: WatchRow) -> Registration:
    """The same watch is open already: with the same content, or not."""
    differs = []
    if not _same_metadata(found[7], request.metadata):
        differs.append("metadata")
    if found[8] != request.timeout // _MICROSECOND:
        differs.append("timeout")
    return Registration(
        watch_id=WatchId(found[1]),
        outcome=Outcome.KEPT if differs else Outcome.EXISTING,
        open=_asked(generation, rows.STATES[found[2]], Lane(found[4]), rows.moment(found[9]), rows.moment(found[10])),
        differs=tuple(differs),
    )


def _watch(made: WatchId, request: WatchRequest, round_: int, held: Terms) -> Watch:
    return Watch(
        id=made,
        provider=request.provider,
        generation=request.generation,
        target=State(request.target),
        endpoint=request.endpoint,
        lane=request.lane,
        status=WatchStatus.OPEN,
        round=round_,
        metadata=request.metadata,
        registered_at=held.now,
        deadline=held.now + request.timeout,
    )


def _same_metadata(one: bytes, other: bytes) -> bool:
    """The order of keys does not matter; `1` and `true` do."""
    if one == other:
        return True
    plain = (orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS) for text in (one, other))
    return next(plain) == next(plain)


def _contradiction(index: int, request: WatchRequest, answer: Registration) -> Fault:
    what = " and ".join(answer.differs)
    return Fault(
        path=f"[{index}]",
        message=f"generation {request.generation} is watched for {request.target} by {_shown(request.endpoint)}"
        f" already, with other {what}: send the same {what}, or wait until that watch ends.",
    )


def _shown(endpoint: str) -> str:
    """Without a query, which may carry a token: this ends up in logs."""
    return endpoint.partition("?")[0]
