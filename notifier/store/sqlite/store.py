"""The store on one SQLite file: every protocol of `store.ports`, each call handed to the writing thread or to a reader.

What a call does inside its transaction is in the module of its subject; here is only where it runs.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

import anyio.to_thread

from notifier.domain.endpoint_health import Change
from notifier.domain.ids import Destination, GenerationId, MessageId, ProviderName, WatchId, WorkerId
from notifier.domain.model import (
    AttemptResult,
    EndpointDirectory,
    Interruption,
    OpenGeneration,
    Refresh,
    Registration,
    Transition,
    WatchRequest,
)
from notifier.domain.times import to_micros
from notifier.store.ports import DueTimeStore, ShiftProgress
from notifier.store.records import (
    Announce,
    AppliedDirectory,
    Cancelled,
    Decide,
    Ending,
    Exchange,
    Kept,
    Mark,
    Pruned,
    Recorded,
    Redelivered,
    Selection,
    Size,
    Slots,
    Trouble,
    WatchChoice,
    silent,
)
from notifier.store.sqlite import (
    checkpoints,
    connection,
    deliveries,
    directories,
    endpoints,
    errors,
    polling,
    redelivery,
    refresh,
    retention,
    shifts,
    space,
    troubles,
    watches,
)
from notifier.store.sqlite.reports import SqliteReports
from notifier.store.sqlite.statements import statements
from notifier.store.sqlite.writer import Writer
from notifier.store.turns import Turns

T = TypeVar("T")
_SQL: Final = statements("upkeep")
#: How long after its deadline a watch is kept while its provider cannot be polled.
_UNREACHABLE: Final = timedelta(hours=24)
#: Watches ended in one transaction by `expire_unreachable`.
_SOME: Final = 200


class SqliteStore(SqliteReports):
    """`Store` on one file. Made by `open_store`."""

    def __init__(self, path: str, writer: Writer) -> None:
        super().__init__(path)
        self.writer = writer
        self._turns = Turns()
        #: How far retention has come: kept in memory, a restart begins anew.
        self._pruned_to = retention.START

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.writer.check_files()  # a reader would make another log if ours has lost its name
        return await super()._read(work)

    async def add_watches(
        self, requests: Sequence[WatchRequest], *, now: datetime, keep_first: bool = False
    ) -> list[Registration]:
        return await self.writer.run(lambda conn: watches.add(conn, requests, now=now, keep_first=keep_first))

    async def open_generations(self, provider: ProviderName) -> AsyncIterator[Sequence[OpenGeneration]]:
        self.writer.check_files()
        try:
            with closing(connection.reader(self.path)) as conn:
                cursor = await anyio.to_thread.run_sync(polling.begin_open_generations, conn, provider)
                while chunk := await anyio.to_thread.run_sync(polling.next_open_generations, cursor, provider):
                    yield chunk
        except sqlite3.Error as error:
            raise errors.unavailable(error, self.path) from error

    async def learned(self, provider: ProviderName) -> Mapping[str, bytes]:
        return await self.writer.run(lambda conn: polling.learned(conn, provider))

    async def save_learned(self, provider: ProviderName, learned: Mapping[str, bytes], *, now: datetime) -> None:
        await self.writer.run(lambda conn: polling.save_learned(conn, provider, learned, now=now))

    async def troubles(self, provider: ProviderName) -> Mapping[GenerationId | None, Trouble]:
        return await self.writer.run(lambda conn: troubles.load(conn, provider))

    async def save_troubles(
        self, provider: ProviderName, changes: Mapping[GenerationId | None, Trouble | None]
    ) -> None:
        await self.writer.run(lambda conn: troubles.save(conn, provider, changes))

    async def record_transitions(self, transitions: Sequence[Transition], *, now: datetime) -> list[Recorded]:
        return await self.writer.run(lambda conn: polling.record(conn, transitions, now=now))

    async def end_watches(self, endings: Sequence[Ending], *, now: datetime) -> list[Recorded]:
        return await self.writer.run(lambda conn: polling.end(conn, endings, now=now))

    async def exchange(
        self,
        owner: WorkerId,
        results: Sequence[AttemptResult],
        slots: Slots,
        *,
        now: datetime,
        announce: Announce = silent,
    ) -> Exchange:
        return await self.writer.run(
            lambda conn: deliveries.exchange(conn, self._turns, owner, results, slots, now=now, announce=announce)
        )

    async def refresh_bodies(self, refreshes: Sequence[Refresh], *, now: datetime) -> int:
        return await self.writer.run(lambda conn: refresh.refresh(conn, refreshes, now=now))

    async def end_lapsed(self, decide: Decide, *, now: datetime, sparing: WorkerId | None = None) -> list[Interruption]:
        return await self.writer.run(lambda conn: deliveries.end_lapsed(conn, decide, now=now, sparing=sparing))

    async def release(self, owner: WorkerId, decide: Decide, *, now: datetime) -> list[Interruption]:
        return await self.writer.run(lambda conn: deliveries.release(conn, owner, decide, now=now))

    @property
    def due_times(self) -> DueTimeStore:
        return self

    async def shift(self, by: timedelta, *, now: datetime, done: ShiftProgress | None) -> ShiftProgress | None:
        return await self.writer.run(lambda conn: shifts.step(conn, by, now=now, done=done))

    async def apply_directory(self, directory: EndpointDirectory, *, now: datetime) -> AppliedDirectory:
        return await self.writer.run(lambda conn: directories.apply(conn, directory, now=now))

    async def disable_endpoint(
        self, destination: Destination, *, now: datetime, reason: str, announce: Announce = silent
    ) -> Change:
        return await self.writer.run(lambda conn: endpoints.disable(conn, destination, reason, announce, now=now))

    async def enable_endpoint(self, destination: Destination, *, now: datetime, announce: Announce = silent) -> Change:
        while await self.writer.run(lambda conn: endpoints.park_waiting(conn, destination)):
            pass  # in small transactions first, so that the last one is small too
        return await self.writer.run(lambda conn: endpoints.enable(conn, destination, announce, now=now))

    async def park_disabled(self) -> int:
        parked = 0
        while some := await self.writer.run(endpoints.park_next):
            parked += some
        return parked

    async def forget_endpoints(self, *, before: datetime) -> int:
        return await self.writer.run(lambda conn: endpoints.forget(conn, before))

    async def messages_like(self, beginning: str) -> Sequence[MessageId]:
        return await self._read(lambda conn: redelivery.messages_like(conn, beginning))

    async def watches_like(self, beginning: str) -> Sequence[WatchId]:
        return await self._read(lambda conn: redelivery.watches_like(conn, beginning))

    async def redeliver_some(self, selection: Selection, *, mark: Mark | None, most: int, now: datetime) -> Redelivered:
        keys, after = await self._read(lambda conn: redelivery.page(conn, selection, mark, most))
        return await self.writer.run(lambda conn: redelivery.ask_again(conn, keys, selection, after, now=now))

    async def kept(self, selection: Selection) -> Kept:
        return await self._read(lambda conn: redelivery.kept(conn, selection))

    async def cancel_watches(self, choice: WatchChoice, *, now: datetime) -> Cancelled:
        keys = await self._read(lambda conn: redelivery.chosen(conn, choice))
        return await self.writer.run(lambda conn: redelivery.cancel(conn, keys, now=now))

    async def expire_unreachable(self, *, now: datetime) -> int:
        before = to_micros(now - _UNREACHABLE)
        ended = 0
        while some := await self.writer.run(lambda conn: polling.expire_some(conn, before, _SOME, now=now)):
            ended += some
        return ended

    async def probe(self, *, now: datetime) -> None:
        await self.writer.try_again()

        def write(conn: sqlite3.Connection) -> None:
            conn.execute(_SQL["probe"], (to_micros(now),))

        await self.writer.run(write)

    async def checkpoint(self) -> None:
        self.writer.check_files()  # our log does not belong to another file
        await anyio.to_thread.run_sync(checkpoints.move, self.path)

    async def prune(self, *, before: datetime, declared: Container[WatchId] | None, most: int) -> Pruned:
        micros, pruned, looked = to_micros(before), Pruned(), 0
        while looked < most:
            step = await self.writer.run(lambda conn: retention.step(conn, self._pruned_to, micros, declared))
            self._pruned_to = step.next
            pruned += step.pruned
            looked += step.looked
            if step.next == retention.START:
                return pruned
        return replace(pruned, more=True)

    async def give_back(self, *, most: int) -> int:
        given = 0
        while given < most and (some := await self.writer.run(space.give_back)):
            given += some
        return given

    async def size(self) -> Size:
        return await self._read(lambda conn: space.measure(conn, self.path))
