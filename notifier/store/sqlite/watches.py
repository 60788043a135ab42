"""Registers watches inside a transaction: the registrar's part of the store.

A watch is (provider, generation, target, endpoint). Whether a request makes it, meets it or reopens it is decided here,
by what is recorded and by the table in `lifecycle`; a list with one bad entry is refused whole.

Requests are decided one by one, in their order, but looked up and written many at a time, see `bulk`: a list may hold
100,000, and everybody else's writes wait for it.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import orjson

from notifier.domain.errors import MAX_FAULTS, Fault, InvalidWatch
from notifier.domain.ids import Destination, WatchId, watch_id
from notifier.domain.lifecycle import WATCH, WatchSignal, satisfies
from notifier.domain.model import (
    Kind,
    OpenGeneration,
    Outcome,
    Registration,
    State,
    Watch,
    WatchRequest,
    WatchStatus,
)
from notifier.domain.times import to_micros
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.endings import Cause, end_many
from notifier.store.sqlite.rows import SQL, WatchRow

_MICROSECOND: Final = timedelta(microseconds=1)
#: Requests that are looked up and written together.
_TOGETHER: Final = 256
_OPEN: Final = WatchStatus.OPEN.value
#: What a watch is at once that opens while the recorded state satisfies it.
_SATISFIED: Final = WATCH[WatchStatus.OPEN][WatchSignal.SATISFY].value


def add(
    conn: sqlite3.Connection,
    requests: Sequence[WatchRequest],
    *,
    now: datetime,
    keep_first: bool,
) -> list[Registration]:
    """One answer for each request, in order. InvalidWatch has a fault for each that contradicts an open watch.

    The first so many of them, in a list of thousands.
    """
    # asked once: most stores never forgot a watch that was reopened, and a list may hold 100,000.
    forgotten = bool(conn.execute(SQL["any_round"]).fetchall())
    answers: list[Registration] = []
    faults: list[Fault] = []
    for begin in range(0, len(requests), _TOGETHER):
        some = requests[begin : begin + _TOGETHER]
        for request, answer in zip(
            some, _register(conn, some, now, reopen=not keep_first, forgotten=forgotten), strict=True
        ):
            if answer.outcome is Outcome.KEPT and not keep_first:
                faults.append(_contradiction(len(answers), request, answer))
            answers.append(answer)
        if len(faults) >= MAX_FAULTS:  # nothing of it will stand: everybody else's writes wait for this
            faults[MAX_FAULTS:] = [Fault(message="There may be more of these; looking for them ended here.")]
            break
    if faults:
        raise InvalidWatch(faults)
    return answers


def _register(
    conn: sqlite3.Connection, requests: Sequence[WatchRequest], now: datetime, *, reopen: bool, forgotten: bool
) -> list[Registration]:
    together = _Together(conn, requests, now, reopen=reopen, forgotten=forgotten)
    answers = [together.register(request) for request in requests]
    together.write()
    return answers


class _Together:
    """What is recorded of the things that some requests name, and what becomes of it."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        requests: Sequence[WatchRequest],
        now: datetime,
        *,
        reopen: bool,
        forgotten: bool,
    ) -> None:
        self._conn = conn
        self._now, self._micros = now, to_micros(now)
        self._may_reopen = reopen
        #: Whether any watch was forgotten that had been reopened.
        self._forgotten = forgotten
        #: Provider and ID -> key and recorded state.
        self._generations = rows.find_states(conn, dict.fromkeys((each.provider, each.generation) for each in requests))
        self._watches = self._find_watches(requests)
        self._generation_key, self._watch_key = conn.execute(SQL["last_keys"]).fetchone()
        self._new_generations: list[tuple[int, str, str, int]] = []
        #: Rows as in `_watches`, each with its generation's key behind it.
        self._new_watches: list[tuple[object, ...]] = []
        self._reopened: list[WatchRow] = []
        #: Those that open satisfied: key, itself, its generation's key.
        self._ending: list[tuple[int, Watch, int]] = []

    def _find_watches(self, requests: Sequence[WatchRequest]) -> dict[tuple[int, str, str], WatchRow]:
        """Generation's key, target and endpoint -> row; of generations that are recorded."""
        asked = [
            (generation[0], each.target.value, each.endpoint)
            for each in requests
            if (generation := self._generations.get((each.provider, each.generation))) is not None
        ]
        found = bulk.read(self._conn, SQL["find_watches"], {"asked": bulk.listed(asked)}) if asked else ()
        return {(row[0], row[3], row[4]): (*row[1:8], row[8].encode(), *row[9:]) for row in found}

    # ---- one request
    def register(self, request: WatchRequest) -> Registration:
        generation, state = self._generation(request)
        found = self._watches.get((generation, request.target.value, request.endpoint))
        if found is None:
            return self._make(request, generation, state)
        status = WatchStatus(found[5])
        if status is WatchStatus.OPEN:
            return _meet(request, state, found)
        reopens = self._may_reopen and WatchSignal.REOPEN in WATCH[status]
        if not reopens or _registered_before(request, found, self._micros):
            return Registration(watch_id=WatchId(found[1]), outcome=Outcome.FINISHED, open=None)
        row = self._row(request, found[0], WatchId(found[1]), found[6] + 1)
        self._reopened.append(row)
        return self._begin(request, row, generation, state, Outcome.REOPENED)

    def _generation(self, request: WatchRequest) -> tuple[int, State | None]:
        """Its key and recorded state; one that nobody ever watched is made."""
        name = (request.provider, request.generation)
        found = self._generations.get(name)
        if found is None:
            self._generation_key += 1
            self._new_generations.append((self._generation_key, *name, self._micros))
            found = self._generations[name] = (self._generation_key, None)
        return found

    def _make(self, request: WatchRequest, generation: int, state: State | None) -> Registration:
        made = watch_id(
            provider=request.provider, generation=request.generation, target=request.target, endpoint=request.endpoint
        )
        self._watch_key += 1
        row = self._row(request, self._watch_key, made, _round_before(self._conn, made) if self._forgotten else 0)
        self._new_watches.append((*row, generation))
        return self._begin(request, row, generation, state, Outcome.CREATED)

    def _row(self, request: WatchRequest, key: int, id_: WatchId, round_: int) -> WatchRow:
        timeout, micros = request.timeout // _MICROSECOND, self._micros
        return (
            key,
            id_,
            request.target.value,
            request.endpoint,
            request.destination,
            _OPEN,
            round_,
            request.metadata,
            timeout,
            micros,
            micros + timeout,
        )

    def _begin(
        self, request: WatchRequest, row: WatchRow, generation: int, state: State | None, outcome: Outcome
    ) -> Registration:
        """A watch that opens while the recorded state satisfies it is satisfied at once."""
        now = self._now
        if state is None or not satisfies(state, request.target):
            self._watches[generation, row[2], row[3]] = row
            asked = _asked(request, state, request.destination, now, now + request.timeout)
            return Registration(watch_id=row[1], outcome=outcome, open=asked)
        self._watches[generation, row[2], row[3]] = (*row[:5], _SATISFIED, *row[6:])
        self._ending.append((row[0], _watch(request, row, now), generation))
        return Registration(watch_id=row[1], outcome=outcome, open=None, enqueued=True)

    # ---- all of them
    def write(self) -> None:
        bulk.write(self._conn, SQL["add_generations"], self._new_generations)
        bulk.write(self._conn, SQL["add_watches"], self._new_watches)
        bulk.write(self._conn, SQL["reopen_watches"], [(row[0], row[4], *row[5:]) for row in self._reopened])
        causes = {
            key: Cause(Kind.RESULT, rows.seen(rows.generation_by_key(self._conn, key))) for _, _, key in self._ending
        }
        end_many(self._conn, [(key, watch, causes[of]) for key, watch, of in self._ending], self._now)


def _registered_before(request: WatchRequest, found: WatchRow, now: int) -> bool:
    """Whether it is what the watch was made of, as far as can be told."""
    return request.put_at is not None and to_micros(request.put_at) <= found[9] <= now


def _round_before(conn: sqlite3.Connection, made: WatchId) -> int:
    """The round of a watch that was forgotten: its messages keep their IDs, as for one that was never reopened."""
    found = conn.execute(
        SQL["take_round"], (made,)
    ).fetchall()  # to the end: a statement half run holds the transaction
    return int(found[0][0]) if found else 0


def _asked(
    request: WatchRequest, state: State | None, destination: Destination, registered_at: datetime, deadline: datetime
) -> OpenGeneration:
    """What one watch asks of the poller. Not what its whole generation does: summed up each time, that is quadratic."""
    return OpenGeneration(
        provider=request.provider,
        id=request.generation,
        state=state,
        registered_at=registered_at,
        deadline=deadline,
        target=request.target,
        destinations=(destination,),
    )


def _meet(request: WatchRequest, state: State | None, found: WatchRow) -> Registration:
    """The same watch is open already: with the same content, or not."""
    differs = []
    if not _same_metadata(found[7], request.metadata):
        differs.append("metadata")
    if found[8] != request.timeout // _MICROSECOND:
        differs.append("timeout")
    return Registration(
        watch_id=WatchId(found[1]),
        outcome=Outcome.KEPT if differs else Outcome.EXISTING,
        open=_asked(request, state, Destination(found[4]), rows.moment(found[9]), rows.moment(found[10])),
        differs=tuple(differs),
    )


def _watch(request: WatchRequest, row: WatchRow, now: datetime) -> Watch:
    return Watch(
        id=row[1],
        provider=request.provider,
        generation=request.generation,
        target=State(request.target),
        endpoint=request.endpoint,
        destination=request.destination,
        status=WatchStatus.OPEN,
        round=row[6],
        metadata=request.metadata,
        registered_at=now,
        deadline=now + request.timeout,
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
