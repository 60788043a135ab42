"""Group commit: who shares, who fails alone, who fails together, and how the writer goes on after trouble."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.store.sqlite import connection
from notifier.store.sqlite.writer import Writer

#: Every test runs on each of these event loops.
LOOPS = ("asyncio", "uvloop")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notifier.db")


@pytest.fixture
async def writer(path: str) -> AsyncIterator[Writer]:
    connection.create(path)
    opened = connection.writer(path)
    opened.execute("CREATE TABLE notes (text TEXT UNIQUE)")
    made = Writer(path, opened)
    yield made
    await made.close()


def note(text: str) -> Callable[[sqlite3.Connection], None]:
    def work(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO notes VALUES (?)", (text,))

    return work


def notes(path: str) -> list[str]:
    """What another connection sees."""
    conn = connection.reader(path)
    found = [text for (text,) in conn.execute("SELECT text FROM notes ORDER BY rowid")]
    conn.close()
    return found


def on_idle_connection(writer: Writer, statement: str) -> None:
    """Change a setting of the writing connection from outside, while nothing waits."""
    assert writer._connection is not None
    writer._connection.execute(statement)


async def note_all(writer: Writer, *texts: str) -> list[Exception]:
    """Ask for all of them at once; what failed."""
    failed: list[Exception] = []

    async def one(text: str) -> None:
        try:
            await writer.run(note(text))
        except (StoreUnavailable, sqlite3.IntegrityError) as error:
            failed.append(error)

    async with anyio.create_task_group() as asking:
        for text in texts:
            asking.start_soon(one, text)
    return failed


async def test_calls_that_wait_together_share_commits(writer: Writer, path: str) -> None:
    """Five hundred calls that came while one commit was made share the next, in the order they came."""
    texts = [f"{number:03}" for number in range(500)]
    gate = threading.Event()
    async with anyio.create_task_group() as asking:
        asking.start_soon(writer.run, lambda _: gate.wait())
        await anyio.wait_all_tasks_blocked()
        before = writer.commits
        for text in texts:
            asking.start_soon(note_all, writer, text)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert writer.commits - before <= 2
    assert notes(path) == texts


async def test_a_call_that_returned_is_seen_by_others(writer: Writer, path: str) -> None:
    """The answer comes after the commit, never before it."""
    for number in range(20):
        await writer.run(note(str(number)))
        assert len(notes(path)) == number + 1


async def test_a_failing_call_fails_alone(writer: Writer, path: str) -> None:
    """What it did is undone, its error is its own, and the others of the batch are kept."""

    def half(conn: sqlite3.Connection) -> None:
        note("half")(conn)
        raise LookupError("on purpose")

    async with anyio.create_task_group() as asking:
        for number in range(10):
            asking.start_soon(note_all, writer, str(number))
        with pytest.raises(LookupError, match="on purpose"):
            await writer.run(half)
    assert sorted(notes(path)) == [str(number) for number in range(10)]


async def test_a_statement_that_fails_is_no_trouble_of_the_store(writer: Writer) -> None:
    """A constraint is the call's own matter."""
    (error,) = await note_all(writer, "a", "a", "b")
    assert isinstance(error, sqlite3.IntegrityError)


async def test_a_cancelled_waiter_does_not_break_its_batch(writer: Writer, path: str) -> None:
    """The others get their answers, the writer goes on; the cancelled write may be there or not."""
    await writer.run(note("first"))
    async with anyio.create_task_group() as asking:
        for number in range(20):
            asking.start_soon(note_all, writer, f"kept {number}")
        with anyio.CancelScope() as impatient:
            impatient.cancel()
            await writer.run(note("cancelled"))
    await writer.run(note("last"))
    assert {"first", "last", *(f"kept {number}" for number in range(20))} <= set(notes(path))


async def test_a_waiter_cancelled_in_flight_does_not_break_its_batch(writer: Writer, path: str) -> None:
    """Cancelled while its call is inside the transaction: the write is kept and nobody else is hurt."""
    begun = anyio.Event()
    loop_token = anyio.lowlevel.current_token()

    def slow(conn: sqlite3.Connection) -> None:
        anyio.from_thread.run_sync(begun.set, token=loop_token)
        note("in flight")(conn)

    async with anyio.create_task_group() as asking:
        asking.start_soon(writer.run, slow)
        await begun.wait()
        asking.cancel_scope.cancel()
    await writer.run(note("after"))
    assert notes(path) == ["in flight", "after"]


async def test_a_full_disk_fails_the_batch_and_passes(writer: Writer, path: str) -> None:
    """Every caller hears it in the operator's words; nothing is kept; once there is room it works again."""
    on_idle_connection(writer, "PRAGMA max_page_count = 1")
    big = ["x" * 9_000 + str(number) for number in range(10)]
    failed = await note_all(writer, *big)
    assert len(failed) == 10
    for error in failed:
        assert isinstance(error, StoreUnavailable)
        assert path in str(error)
        assert "full" in str(error)
    assert notes(path) == []
    on_idle_connection(writer, "PRAGMA max_page_count = 1000000")
    assert await note_all(writer, *big) == []
    assert len(notes(path)) == 10


async def test_a_read_only_store_is_said_to_be_and_recovers(writer: Writer, path: str) -> None:
    """SQLite's refusal to write becomes StoreUnavailable; the next batch has a fresh connection."""
    on_idle_connection(writer, "PRAGMA query_only = ON")
    (error,) = await note_all(writer, "a")
    assert "cannot be written" in str(error)
    assert await note_all(writer, "b") == []
    assert notes(path) == ["b"]


async def test_a_file_locked_by_another_program_is_said_to_be(writer: Writer, path: str) -> None:
    """Whoever holds the write lock longer than we wait is named as the cause; then it passes."""
    on_idle_connection(writer, "PRAGMA busy_timeout = 10")
    other = connection.writer(path)
    other.execute("BEGIN IMMEDIATE")
    (error,) = await note_all(writer, "a")
    assert "locked" in str(error)
    other.rollback()
    other.close()
    assert await note_all(writer, "a") == []


async def test_a_connection_that_cannot_be_used_is_replaced(writer: Writer, path: str) -> None:
    """A connection in ruins fails its batch; the next batch opens another."""
    with pytest.raises(StoreUnavailable):
        await writer.run(lambda conn: conn.close())
    assert await note_all(writer, "kept") == []
    assert "kept" in notes(path)


async def test_a_closed_writer_takes_nothing(path: str) -> None:
    """What was asked for before is finished; what comes after is refused."""
    connection.create(path)
    opened = connection.writer(path)
    opened.execute("CREATE TABLE notes (text TEXT)")
    writer = Writer(path, opened)
    async with anyio.create_task_group() as asking:
        asking.start_soon(writer.run, note("in time"))
        await anyio.lowlevel.checkpoint()
        asking.start_soon(writer.close)
    assert notes(path) == ["in time"]
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.run(note("late"))


@contextmanager
def damaged(path: str, table: str) -> Iterator[None]:
    """One page of the file is written over, as a bad disk does it, and whole again afterwards."""
    with closing(connection.writer(path)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with Path(path).open("r+b") as file:  # not closed before SQLite is: see the header of `files`
        file.seek((root - 1) * 4096)
        page = file.read(4096)
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
        file.flush()
        yield
        file.seek((root - 1) * 4096)
        file.write(page)


async def test_what_failed_must_work_before_the_store_is_well(path: str) -> None:
    """One page is damaged: that other writes work is no recovery; nothing of a trial is kept."""
    connection.create(path)
    with closing(connection.writer(path)) as conn:
        conn.execute("CREATE TABLE notes (text TEXT)")
        conn.execute("CREATE TABLE others (text TEXT)")
        conn.execute("INSERT INTO notes VALUES ('before')")
    writer = Writer(path, connection.writer(path))
    await writer.try_again()
    with damaged(path, "notes"):
        (error,) = await note_all(writer, "a")
        assert "the file is damaged" in str(error)
        for _ in range(3):
            await writer.run(lambda conn: conn.execute("INSERT INTO others VALUES ('works')").rowcount)
            with pytest.raises(StoreUnavailable, match="the file is damaged"):
                await writer.try_again()
    await writer.try_again()
    assert notes(path) == ["before"]
    await note_all(writer, "a")
    assert notes(path) == ["before", "a"]
    await writer.close()


async def test_what_needs_much_room_must_find_it_before_the_store_is_well(writer: Writer, path: str) -> None:
    """A small write fits into what is left of a disk, and the one that failed does not."""
    many = [f"{number}" + "x" * 4_000 for number in range(100)]
    written: list[bool] = []

    def write(conn: sqlite3.Connection) -> None:
        conn.executemany("INSERT INTO notes VALUES (?)", [(text,) for text in many])
        if not written:
            raise sqlite3_error(sqlite3.SQLITE_FULL)

    with pytest.raises(StoreUnavailable, match="full"):
        await writer.run(write)
    before = Path(f"{path}-wal").stat().st_size
    written.append(True)
    await writer.try_again()
    assert Path(f"{path}-wal").stat().st_size - before > 300_000
    assert notes(path) == []


def sqlite3_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = code
    return error


async def test_of_each_kind_the_newest_failure_is_tried(writer: Writer) -> None:
    """However many fail while the store is down; one that failed for reasons of its own meanwhile hinders nobody."""
    tried: list[str] = []
    broken = [True]

    def failing(text: str) -> Callable[[sqlite3.Connection], None]:
        def work(_: sqlite3.Connection) -> None:
            tried.append(text)
            if broken:
                raise sqlite3_error(sqlite3.SQLITE_IOERR)
            raise LookupError("on purpose")

        return work

    for text in ("a", "b", "c"):
        with pytest.raises(StoreUnavailable):
            await writer.run(failing(text))
    tried.clear()
    with pytest.raises(StoreUnavailable):
        await writer.try_again()
    broken.clear()
    await writer.try_again()
    await writer.try_again()
    assert tried == ["c", "c"]


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_not_there_any_more_takes_nothing(writer: Writer, path: str, *, replaced: bool) -> None:
    """SQLite would go on in the file that has no name; we say so, and go on once it is where it was."""
    await writer.run(note("before"))
    aside = Path(path).rename(f"{path}.aside")
    if replaced:
        connection.create(path)
    (error,) = await note_all(writer, "lost")
    with pytest.raises(StoreUnavailable):
        writer.check_files()
    assert isinstance(error, StoreUnavailable)
    assert ("was replaced" if replaced else "was removed") in str(error)
    aside.rename(path)
    assert await note_all(writer, "after") == []
    assert notes(path) == ["before", "after"]
