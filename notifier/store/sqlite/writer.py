"""The one thread that writes, with group commit: calls that wait at the same moment share one commit.

Rules: each call runs inside its own savepoint, so one that fails is rolled back alone; a commit that fails, fails every
call of its batch and nothing of it is kept; the event loop is woken once for a batch, in the order the calls came.
A waiter that is cancelled leaves its call in the batch: the write may still happen.

Nobody is told that a write is durable unless the next start would find it. So the names of all files are looked at
before a commit, and it is undone if one of them is missing; and after it, before anybody is told. A log that lost its
name meanwhile still is in our descriptor: it is moved into the main file, and another one is begun. So what was
committed is durable after all, and what follows is refused once, so that it is said.
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
#: Seconds between two looks at the files while nobody writes.
_LOOK_EVERY: Final = 0.1
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
        self._place = files.Place(path, named or path)
        #: None after trouble that a connection may not survive; the next batch opens another.
        self._connection: sqlite3.Connection | None = opened
        #: What the connection has open; None without one, and while one is exchanged.
        self._files: files.OpenFiles | None = files.OpenFiles(self._place)
        #: Earlier ones, of which a reader of this process may still have SQLite's locks.
        self._left_open: list[files.OpenFiles] = []
        #: What happened to the files and is not told yet; the next call is refused with it.
        self._untold: str | None = None
        #: Why nothing can be written until the next start.
        self._over: str | None = None
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

        StoreUnavailable where the store cannot be written now.
        """
        if self._closed:
            raise StoreUnavailable(f"store {self._path} is closed")
        call = _Call(work, self._loop.create_future())
        self._calls.put(call)
        answer: T = await call.waiter
        return answer

    async def try_again(self) -> None:
        """StoreUnavailable unless all works that the store could not do lately; nothing of it is kept.

        Their callers do it again when they are told that it works, or nobody needs it any more.
        """
        await self.run(self._rehearse)
        self._failed.clear()

    def check_place(self) -> None:
        """StoreUnavailable where a file that is open does not stand under its name any more, or was cut short."""
        if self._over is not None:
            raise StoreUnavailable(self._over)
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
                self._look_after_files()
            del batch  # it may be large, and the next one may be hours away
        self._close()

    def _take(self) -> tuple[list[_Call], bool]:
        """Everything that waits now; nothing after a while without a call. False where the end was asked for."""
        batch: list[_Call] = []
        try:
            call = self._calls.get(timeout=_LOOK_EVERY)
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
            self._tell()
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
            if isinstance(error, sqlite3.Error):
                self._remember([doing] if doing else batch)
            told = self._told(error)
            self._undo(error)
            self._look_after_files(told=True)
            for call in batch:
                call.error = StoreUnavailable(told)
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

    def _tell(self) -> None:
        """StoreUnavailable with what happened to the files and was mended meanwhile, once; or cannot be mended."""
        sentence, self._untold = self._over or self._untold, None
        if sentence is not None:
            raise StoreUnavailable(sentence)

    def _told(self, error: sqlite3.Error | StoreUnavailable) -> str:
        """A file that is missing explains whatever SQLite says."""
        if not isinstance(error, sqlite3.Error):
            return str(error)
        lost = self._lost()
        return lost.sentence if lost else str(errors.unavailable(error, self._path))

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
        return self._place.lost() if opened is None or self._connection is None else opened.lost()

    def _open(self) -> sqlite3.Connection:
        """A connection that has used its log, so that all files are there to be looked at."""
        files.check(self._place.lost())
        self._connection = connection.writer(self._path)
        self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        self._note_files()
        return self._connection

    def _note_files(self) -> None:
        if self._files is not None:
            self._left_open.append(self._files)
        if len(self._left_open) > _LEFT_OPEN:
            self._left_open.pop(0).close()
        self._files = files.OpenFiles(self._place)

    def _make_sure(self) -> None:
        """After a commit: it can be told, for the next start finds it. StoreUnavailable where that is not so.

        A main file that has no name any more may have lost it a moment later just as well: the next call meets that.
        """
        lost = self._lost()
        if lost is None or lost.damage is files.Damage.GONE:
            return
        if not self._mend(lost):
            self._over = self._over or f"{lost.sentence}. It could not be saved: stop notifier and start it again"
            raise StoreUnavailable(self._over)
        self._untold = lost.sentence

    def _look_after_files(self, *, told: bool = False) -> None:
        """Mend what can be mended; `told` where the calls of this moment are refused with it."""
        if self._over is not None or self._connection is None or (lost := self._lost()) is None:
            return
        if lost.damage is not files.Damage.GONE and self._mend(lost) and not told:
            self._untold = lost.sentence

    def _mend(self, lost: files.Lost) -> bool:
        """Save what a log without a name holds, and begin another one. False where that cannot be done now, or ever."""
        if lost.damage is files.Damage.CUT:
            self._over = lost.sentence
            return False
        try:
            saved = self._save_log()
        except sqlite3.Error:
            return False
        if saved:
            with contextlib.suppress(sqlite3.Error, OSError):  # tried again at the next look
                self._exchange_connection()
        return saved

    def _save_log(self) -> bool:
        """Move all of the log into the main file, through the descriptors that are open; it is empty after that."""
        if self._connection is None:
            return False
        self._connection.execute(f"PRAGMA busy_timeout = {_SAVE_BUSY_MS}")
        busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout = {connection.BUSY_MS}")
        return not busy

    def _exchange_connection(self) -> None:
        """Another connection, with a log that has a name. What stands under that name now is not ours."""
        if self._connection is None or self._files is None:
            return
        for name in self._files.strangers():
            files.set_aside(name)
        self._connection.close()
        self._connection = None
        self._open()

    def _close(self) -> None:
        """The last connection moves the log into the main file and removes it, by its name."""
        if self._connection is not None:
            self._look_after_files(told=True)
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
    """In the event loop: tell each waiter that still waits."""
    for call in batch:
        if call.waiter.done():
            continue
        if call.error is None:
            call.waiter.set_result(call.answer)
        else:
            call.waiter.set_exception(call.error)
