"""The one thread that writes, with group commit: calls that wait at the same moment share one commit.

Rules: each call runs inside its own savepoint, so one that fails is rolled back alone; a commit that fails, fails every
call of its batch and nothing of it is kept; the event loop is woken once for a batch, in the order the calls came.
A waiter that is cancelled leaves its call in the batch: the write may still happen. Nothing is written to a file that
does not stand under its name any more: the next start would not find it.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio.to_thread

from notifier.errors import StoreUnavailable
from notifier.store.sqlite import connection, trouble

T = TypeVar("T")
#: Calls that share one commit at most, so that nobody waits for a very long batch.
_MOST: Final = 1_000


@dataclass(slots=True)
class _Call:
    work: Callable[[sqlite3.Connection], Any]
    waiter: "asyncio.Future[Any]"
    answer: Any = None
    error: Exception | None = None


class Writer:
    """Runs closures on the writing connection. Made inside the event loop whose calls it serves."""

    def __init__(self, path: str, opened: sqlite3.Connection) -> None:
        self._path = path
        self._identity = trouble.identity(path)
        #: None after trouble that a connection may not survive; the next batch opens another.
        self._connection: sqlite3.Connection | None = opened
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closed = False
        #: Commits made; shows how many calls shared one.
        self.commits = 0
        # A daemon thread: a process told to stop at once does not wait for the disk.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The answer of `work`, once it is durable. What `work` raises is raised here and its changes are undone.

        StoreUnavailable where the store cannot be written now.
        """
        if self._closed:
            raise StoreUnavailable(f"store {self._path} is closed")
        call = _Call(work, self._loop.create_future())
        self._calls.put(call)
        answer: T = await call.waiter
        return answer

    def check_place(self) -> None:
        """StoreUnavailable where the file that is open does not stand under its name any more."""
        trouble.check_place(self._path, self._identity)

    async def close(self) -> None:
        """Finish what was asked for, then close the file."""
        self._closed = True
        self._calls.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._take()
            if batch:
                self._commit(batch)
                self._loop.call_soon_threadsafe(_settle, batch)
            del batch  # it may be large, and the next one may be hours away
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> tuple[list[_Call], bool]:
        """Everything that waits now, at least one; False where the end was asked for."""
        batch: list[_Call] = []
        try:
            call = self._calls.get()
            while call is not None:
                batch.append(call)
                if len(batch) == _MOST:
                    return batch, True
                call = self._calls.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _commit(self, batch: Sequence[_Call]) -> None:
        """One transaction for the batch."""
        try:
            self.check_place()
            opened = self._connection = self._connection or connection.writer(self._path)
            opened.execute("BEGIN IMMEDIATE")
            for call in batch:
                _attempt(opened, call)
            opened.execute("COMMIT")
            self.commits += 1
        except (sqlite3.Error, StoreUnavailable) as error:
            self._undo(error)
            for call in batch:
                call.error = self._told(error)
                call.error.__cause__ = error

    def _told(self, error: sqlite3.Error | StoreUnavailable) -> StoreUnavailable:
        """One for each waiter: all of them raise it."""
        if isinstance(error, sqlite3.Error):
            return trouble.unavailable(error, self._path)
        return StoreUnavailable(*error.args)

    def _undo(self, error: Exception) -> None:
        """Roll the batch back. A connection that met worse than a full or a busy file is given up."""
        if self._connection is None:
            return
        keep = trouble.passes(error)
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error:
            keep = False
        if not keep:
            self._connection.close()
            self._connection = None


def _attempt(opened: sqlite3.Connection, call: _Call) -> None:
    """Run one call so that it is undone alone if it fails. Trouble with the file is raised: it concerns them all."""
    opened.execute("SAVEPOINT one")
    try:
        call.answer = call.work(opened)
    except Exception as error:
        if trouble.concerns_storage(error) or not opened.in_transaction:
            raise
        call.error = error
        opened.execute("ROLLBACK TO one")
    opened.execute("RELEASE one")


def _settle(batch: Sequence[_Call]) -> None:
    """In the event loop: tell each waiter that still waits."""
    for call in batch:
        if call.waiter.done():
            continue
        if call.error is None:
            call.waiter.set_result(call.answer)
        else:
            call.waiter.set_exception(call.error)
