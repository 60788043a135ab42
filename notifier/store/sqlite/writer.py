"""The one thread that writes, with group commit: calls that wait at the same moment share one commit.

Rules: each call runs inside its own savepoint, so one that fails is rolled back alone; a commit that fails, fails every
call of its batch and nothing of it is kept; the event loop is woken once for a batch, in the order the calls came.
A waiter that is cancelled leaves its call in the batch: the write may still happen.

A call returns only if the next start would find what it wrote. So the names of all files are checked before a commit,
which is undone if one of them is missing, and after it, before its calls return. A log that lost its name meanwhile can
still be reached by our descriptor: it is moved into the main file, and another one is begun. So what was committed is
durable after all; the next call is refused once, to report what happened.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio.to_thread

from notifier.domain.errors import StoreUnavailable
from notifier.store.sqlite import connection, errors, files

T = TypeVar("T")
#: Calls that share one commit at most, so that nobody waits for a very long batch.
_MOST: Final = 1_000
#: Seconds between two checks of the files while nobody writes.
_CHECK_EVERY: Final = 0.1
#: Milliseconds that the saving of a log waits for others who read it.
_SAVE_BUSY_MS: Final = 1_000
#: Sets of files that were exchanged and are kept open: no reader lives for so many exchanges.
_LEFT_OPEN: Final = 8
#: Connections that are never closed: SQLite would move a log that was cut short into the main file, or remove files
#: that are not ours.
_ABANDONED: Final[list[sqlite3.Connection]] = []


Work = Callable[[sqlite3.Connection], Any]


@dataclass(slots=True)
class _Call:
    work: Work
    waiter: "asyncio.Future[Any]"
    answer: Any = None
    error: Exception | None = None


class Writer:
    """Runs closures on the writing connection. Made inside the event loop whose calls it serves."""

    def __init__(self, path: str, opened: sqlite3.Connection, *, named: str = "") -> None:
        """`path` is the file's real path; `named` is the one by which it is configured, if that is another."""
        self._path = path
        self._main_file = files.MainFile(path, named or path)
        #: None after trouble that a connection may not survive; the next batch opens another.
        self._connection: sqlite3.Connection | None = opened
        #: What the connection has open; None without one, and while one is exchanged.
        self._files: files.OpenFiles | None = files.OpenFiles(self._main_file)
        #: Earlier ones, of which a reader of this process may still have SQLite's locks.
        self._left_open: list[files.OpenFiles] = []
        #: What happened to the files and was not reported yet; the next call is refused with it.
        self._unreported: str | None = None
        #: Why nothing can be written until the next start.
        self._final: str | None = None
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closed = False
        #: What the store could not do, the newest of each kind (one line of `store` makes one kind).
        self._failed: dict[object, Work] = {}
        #: Commits made; shows how many calls shared one.
        self.commits = 0
        # A daemon thread: a process told to stop at once does not wait for the disk.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The answer of `work`, once it is durable. What `work` raises is raised here and its changes are undone.

        StoreUnavailable if the store cannot be written now.
        """
        if self._closed:
            raise StoreUnavailable(f"store {self._path} is closed")
        call = _Call(work, self._loop.create_future())
        self._calls.put(call)
        answer: T = await call.waiter
        return answer

    async def try_again(self) -> None:
        """StoreUnavailable unless all works that the store could not do lately; nothing of it is kept.

        Their callers do it again once the store works, or nobody needs it any more.
        """
        await self.run(self._rehearse)
        self._failed.clear()

    def check_files(self) -> None:
        """StoreUnavailable if a file that is open does not have its name any more, or was cut short."""
        if self._final is not None:
            raise StoreUnavailable(self._final)
        files.check(self._lost())

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
            else:
                self._mend_files()
            del batch  # it may be large, and the next one may be hours away
        self._close()

    def _take(self) -> tuple[list[_Call], bool]:
        """Everything that waits now; nothing after a while without a call. False if the writer is to end."""
        batch: list[_Call] = []
        try:
            call = self._calls.get(timeout=_CHECK_EVERY)
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
        doing: _Call | None = None
        try:
            self._report()
            opened = self._connection or self._open()
            opened.execute("BEGIN IMMEDIATE")
            for call in batch:
                doing = call
                _attempt(opened, call)
            doing = None
            files.check(self._lost())
            opened.execute("COMMIT")
            self.commits += 1
            self._make_sure()
        except (sqlite3.Error, StoreUnavailable) as error:
            sentence = str(error)
            if isinstance(error, sqlite3.Error):
                self._remember([doing] if doing else batch)
                lost = self._lost()  # a file that is missing explains whatever SQLite says
                sentence = lost.sentence if lost else str(errors.unavailable(error, self._path))
            self._undo(error)
            self._mend_files(reported=True)
            for call in batch:
                call.error = StoreUnavailable(sentence)
                call.error.__cause__ = error

    def _remember(self, failed: Sequence[_Call]) -> None:
        for call in failed:
            if call.work != self._rehearse:
                self._failed[getattr(call.work, "__code__", call.work)] = call.work

    def _rehearse(self, opened: sqlite3.Connection) -> None:
        """Do again what failed, and undo it. Pages go to the log as they are made: there must be room for them."""
        opened.execute("PRAGMA cache_size = 10")
        try:
            for work in list(self._failed.values()):
                opened.execute("SAVEPOINT rehearsal")
                try:
                    work(opened)
                except Exception as error:
                    if errors.concerns_storage(error) or not opened.in_transaction:
                        raise
                opened.execute("ROLLBACK TO rehearsal")
                opened.execute("RELEASE rehearsal")
        finally:
            with contextlib.suppress(sqlite3.Error):
                opened.execute(f"PRAGMA cache_size = {connection.CACHE}")

    def _report(self) -> None:
        """StoreUnavailable if something happened to the files: once if it was mended, always if it cannot be."""
        sentence, self._unreported = self._final or self._unreported, None
        if sentence is not None:
            raise StoreUnavailable(sentence)

    def _undo(self, error: Exception) -> None:
        """Roll the batch back. A connection that met worse than a full or a busy file is given up."""
        if self._connection is None:
            return
        keep = errors.passes(error)
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.ProgrammingError:  # it is closed
            self._connection = None
            return
        except sqlite3.Error:
            keep = False
        if not keep and self._lost() is None:  # else its log may be reached by nobody but this connection
            self._connection.close()
            self._connection = None

    # ---- the files ----
    def _lost(self) -> files.Lost | None:
        opened = self._files
        return self._main_file.lost() if opened is None or self._connection is None else opened.lost()

    def _open(self) -> sqlite3.Connection:
        """A connection that has used its log, so that all files are there to be looked at."""
        files.check(self._main_file.lost())
        self._connection = connection.writer(self._path)
        self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if self._files is not None:
            self._left_open.append(self._files)
        if len(self._left_open) > _LEFT_OPEN:
            self._left_open.pop(0).close()
        self._files = files.OpenFiles(self._main_file)
        return self._connection

    def _make_sure(self) -> None:
        """After a commit: check that the next start would find it. StoreUnavailable if not.

        A main file that has no name any more may have lost it a moment later just as well: the next call reports that.
        """
        lost = self._lost()
        if lost is None or lost.damage is files.Damage.GONE:
            return
        if not self._mend(lost):
            self._final = self._final or f"{lost.sentence}. It could not be saved: stop notifier and start it again"
            raise StoreUnavailable(self._final)
        self._unreported = lost.sentence

    def _mend_files(self, *, reported: bool = False) -> None:
        """Mend what can be mended; `reported` if the calls of this moment are refused with it."""
        if self._final is not None or self._connection is None or (lost := self._lost()) is None:
            return
        if lost.damage is not files.Damage.GONE and self._mend(lost) and not reported:
            self._unreported = lost.sentence

    def _mend(self, lost: files.Lost) -> bool:
        """Save what a log without a name holds, and begin another one. False if that cannot be done now, or ever."""
        if lost.damage is files.Damage.CUT:
            self._final = lost.sentence
            return False
        if self._connection is None or self._files is None:
            return False
        try:  # through the descriptors that are open; the log is empty after that
            self._connection.execute(f"PRAGMA busy_timeout = {_SAVE_BUSY_MS}")
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._connection.execute(f"PRAGMA busy_timeout = {connection.BUSY_MS}")
        except sqlite3.Error:
            return False
        if busy:
            return False
        with contextlib.suppress(sqlite3.Error, OSError):  # tried again at the next check
            for name in self._files.strangers():  # the file that has that name now is not ours
                files.set_aside(name)
            self._connection.close()
            self._connection = None
            self._open()
        return True

    def _close(self) -> None:
        """The last connection moves the log into the main file and removes it, by its name."""
        if self._connection is not None:
            self._mend_files(reported=True)
            if self._lost() is None:
                self._connection.close()
            else:
                _ABANDONED.append(self._connection)
                return
        for opened in (*self._left_open, self._files):
            if opened is not None:
                opened.close()


def _attempt(opened: sqlite3.Connection, call: _Call) -> None:
    """Run one call so that it is undone alone if it fails. Trouble with the file is raised: it concerns them all."""
    opened.execute("SAVEPOINT one")
    try:
        call.answer = call.work(opened)
    except Exception as error:
        if errors.concerns_storage(error) or not opened.in_transaction:
            raise
        call.error = error
        opened.execute("ROLLBACK TO one")
    opened.execute("RELEASE one")


def _settle(batch: Sequence[_Call]) -> None:
    """In the event loop: answer each waiter that still waits."""
    for call in batch:
        if call.waiter.done():
            continue
        if call.error is None:
            call.waiter.set_result(call.answer)
        else:
            call.waiter.set_exception(call.error)
