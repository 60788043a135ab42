"""Registers watches inside a transaction: the registrar's part of the store.

A watch is (provider, generation, target, endpoint). What becomes of a request for one that is recorded is decided in
`rules`; a list with one bad entry is refused whole.

Requests are decided one by one, in their order, but looked up and written many at a time, see `bulk`: a list may hold
100,000, and all other writes wait for it.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from notifier.domain.errors import MAX_FAULTS, Fault, InvalidWatch
from notifier.domain.ids import Destination, WatchId, watch_id
from notifier.domain.lifecycle import satisfies
from notifier.domain.model import Kind, OpenGeneration, Outcome, Registration, State, Watch, WatchRequest, WatchStatus
from notifier.domain.times import to_micros
from notifier.store import rules
from notifier.store.sqlite import bulk, rows
from notifier.store.sqlite.endings import Reason, end_many
from notifier.store.sqlite.rows import SQL, WatchRow

_MICROSECOND: Final = timedelta(microseconds=1)
#: Requests that are looked up and written batch.
_BATCH: Final = 256
_OPEN: Final = WatchStatus.OPEN.value
#: What a watch is at once that opens while the recorded state satisfies it.
_SATISFIED: Final = rules.ENDED[Kind.RESULT].value


def add(
    conn: sqlite3.Connection, requests: Sequence[WatchRequest], *, now: datetime, keep_first: bool
) -> list[Registration]:
    """One answer for each request, in order. InvalidWatch has a fault for each that contradicts an open watch.

    The first so many of them, in a list of thousands.
    """
    # asked once: most stores never forgot a watch that was reopened, and a list may hold 100,000.
    forgotten = bool(conn.execute(SQL["any_round"]).fetchall())
    answers: list[Registration] = []
    faults: list[Fault] = []
    for begin in range(0, len(requests), _BATCH):
        some = requests[begin : begin + _BATCH]
        batch = _Batch(conn, some, now, keep_first=keep_first, forgotten=forgotten)
        for request in some:
            answer = batch.register(request)
            if answer.outcome is Outcome.KEPT and not keep_first:
                faults.append(rules.contradiction(len(answers), request, answer.differs))
            answers.append(answer)
        batch.write()
        if len(faults) >= MAX_FAULTS:  # nothing of it will be kept, and all other writes wait for this
            faults[MAX_FAULTS:] = [Fault(message="There may be more of these; looking for them ended here.")]
            break
    if faults:
        raise InvalidWatch(faults)
    return answers


class _Batch:
    """Some requests, what is recorded of the watches that they name, and what becomes of these."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        requests: Sequence[WatchRequest],
        now: datetime,
        *,
        keep_first: bool,
        forgotten: bool,
    ) -> None:
        self._conn = conn
        self._now, self._micros = now, to_micros(now)
        self._keep_first = keep_first
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
        return {
            (generation, (watch := WatchRow._make(row)).target, watch.endpoint): watch for generation, *row in found
        }

    # ---- one request
    def register(self, request: WatchRequest) -> Registration:
        generation, state = self._generation(request)
        found = self._watches.get((generation, request.target.value, request.endpoint))
        if found is None:
            return self._make(request, generation, state)
        status, registered_at = rows.WATCH_STATUSES[found.status], rows.moment(found.registered_at)
        timeout = found.timeout * _MICROSECOND
        outcome, differs = rules.outcome(
            request, status, rows.metadata(found), timeout, registered_at, keep_first=self._keep_first, now=self._now
        )
        if outcome is Outcome.REOPENED:
            row = self._row(request, found.key, found.id, found.round + 1)
            self._reopened.append(row)
            return self._begin(request, row, generation, state, outcome)
        still = None
        if status is WatchStatus.OPEN:
            still = _poll_for(request, state, found.destination, registered_at, rows.moment(found.deadline))
        return Registration(watch_id=found.id, outcome=outcome, open=still, differs=differs)

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
        target, timeout, micros = request.target.value, request.timeout // _MICROSECOND, self._micros
        return WatchRow(
            key,
            id_,
            target,
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
        name = (generation, row.target, row.endpoint)
        if state is None or not satisfies(state, request.target):
            self._watches[name] = row
            deadline = self._now + request.timeout
            still = _poll_for(request, state, request.destination, self._now, deadline)
            return Registration(watch_id=row.id, outcome=outcome, open=still)
        self._watches[name] = row._replace(status=_SATISFIED)
        self._ending.append((row.key, rows.watch(row, request.provider, request.generation), generation))
        return Registration(watch_id=row.id, outcome=outcome, open=None, enqueued=True)

    # ---- all of them
    def write(self) -> None:
        bulk.write(self._conn, SQL["add_generations"], self._new_generations)
        bulk.write(self._conn, SQL["add_watches"], self._new_watches)
        bulk.write(self._conn, SQL["reopen_watches"], self._reopened)
        reasons = {
            key: Reason(Kind.RESULT, rows.seen(rows.generation_by_key(self._conn, key))) for _, _, key in self._ending
        }
        end_many(self._conn, [(key, watch, reasons[of]) for key, watch, of in self._ending], self._now)


def _round_before(conn: sqlite3.Connection, made: WatchId) -> int:
    """The round of a watch that was forgotten: its messages keep their IDs, as for one that was never reopened."""
    found = conn.execute(
        SQL["take_round"], (made,)
    ).fetchall()  # to the end: a statement half run holds the transaction
    return int(found[0][0]) if found else 0


def _poll_for(
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
