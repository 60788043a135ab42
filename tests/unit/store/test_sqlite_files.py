"""Whatever becomes of the store's files while it is open: what was told to be durable is found by the next start."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.store.sqlite import connection, space
from notifier.store.sqlite.writer import Writer

Harm = Callable[[Path], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notifier.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    connection.create(str(path))
    opened = connection.writer(str(path))
    opened.execute("CREATE TABLE notes (text TEXT)")
    made = Writer(str(path), opened)
    yield made
    await made.close()


class Notes:
    """Writes, and knows what it was told to be durable."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.durable: list[str] = []

    async def write(self, text: str, before: Callable[[sqlite3.Connection], object] | None = None) -> None:
        def work(conn: sqlite3.Connection) -> None:
            conn.execute("INSERT INTO notes VALUES (?)", (text,))
            if before is not None:
                before(conn)

        await self._writer.run(work)
        self.durable.append(text)

    async def insist(self, text: str) -> list[str]:
        """Write until it is taken; what was said meanwhile."""
        said: list[str] = []
        for _ in range(5):
            try:
                await self.write(text)
            except StoreUnavailable as error:
                said.append(str(error))
            else:
                return said
        raise AssertionError(said)


def after_a_kill(path: Path) -> list[str]:
    """What a start would find if the process died now: the files that have names, as they are."""
    place = path.with_name("after")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), place / name)
    with closing(sqlite3.connect(place / path.name)) as conn:
        return [text for (text,) in conn.execute("SELECT text FROM notes ORDER BY rowid")]


def log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def index(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _replaced_by_an_older_one(path: Path) -> None:
    older = path.with_name("older")
    shutil.copy(log(path), older)
    with older.open("ab") as file:
        file.write(b"x" * 4096)
    older.rename(log(path))


def _both_removed(path: Path) -> None:
    log(path).unlink()
    index(path).unlink()


def _a_directory(path: Path) -> None:
    log(path).unlink()
    log(path).mkdir()


def _found_empty(path: Path) -> None:
    log(path).unlink()
    log(path).touch()


UNNAMED: dict[str, Harm] = {
    "log removed": lambda path: log(path).unlink(),
    "log moved": lambda path: log(path).rename(path.with_name("aside")),
    "log replaced": _replaced_by_an_older_one,
    "log empty": _found_empty,
    "log a directory": _a_directory,
    "index removed": lambda path: index(path).unlink(),
    "index moved": lambda path: index(path).rename(path.with_name("aside")),
    "both removed": _both_removed,
}


@pytest.mark.parametrize("harm", UNNAMED.values(), ids=UNNAMED)
async def test_a_log_without_its_name_is_saved(writer: Writer, path: Path, harm: Harm) -> None:
    """It is said once, what was durable stays so, and the store goes on with another log."""
    notes = Notes(writer)
    await notes.write("before")
    harm(path)
    (said,) = await notes.insist("after")
    assert "while it is in use" in said
    assert path.name + "-" in said
    assert after_a_kill(path) == notes.durable == ["before", "after"]
    assert await notes.insist("more") == []
    assert after_a_kill(path) == notes.durable


@pytest.mark.parametrize("harm", UNNAMED.values(), ids=UNNAMED)
async def test_a_log_that_loses_its_name_inside_a_commit_is_saved(writer: Writer, path: Path, harm: Harm) -> None:
    """After the last check and before the commit's end: what a call wrote is durable nevertheless."""
    notes = Notes(writer)

    def at_commit(statement: str) -> None:
        if statement == "COMMIT" and not done:
            done.append(statement)
            harm(path)

    done: list[str] = []
    await notes.write("before")
    await notes.write("meanwhile", before=lambda conn: conn.set_trace_callback(at_commit))
    assert done
    assert after_a_kill(path) == notes.durable == ["before", "meanwhile"]
    (said,) = await notes.insist("after")
    assert "while it is in use" in said
    assert after_a_kill(path) == notes.durable


async def test_what_stood_in_the_logs_place_is_kept_aside(writer: Writer, path: Path) -> None:
    """Replayed, it would put old pages into the store; removed, it would be missed by whoever put it there."""
    notes = Notes(writer)
    await notes.write("before")
    _replaced_by_an_older_one(path)
    content = log(path).read_bytes()
    await notes.insist("after")
    (aside,) = path.parent.glob("*.aside-*")
    assert aside.read_bytes() == content


async def test_a_log_that_is_missed_while_nobody_writes_is_saved_too(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer looks by itself; the next call is told."""
    monkeypatch.setattr("notifier.store.sqlite.writer._CHECK_EVERY", 0.01)
    notes = Notes(writer)
    await notes.write("before")
    log(path).unlink()
    while not log(path).exists():
        os.sched_yield()
    assert after_a_kill(path) == ["before"]
    (said,) = await notes.insist("after")
    assert "was removed while it is in use" in said


async def test_a_log_that_is_read_by_another_program_is_saved_later(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody reads an old state nothing is told to be durable; then all goes on."""
    monkeypatch.setattr("notifier.store.sqlite.writer._SAVE_BUSY_MS", 10)
    notes = Notes(writer)
    await notes.write("before")
    with closing(connection.reader(str(path))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        await notes.write("more")
        log(path).unlink()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="was removed"):
                await notes.write("refused")
        reader.rollback()
    await notes.insist("after")
    assert after_a_kill(path) == notes.durable == ["before", "more", "after"]


def moved(path: Path) -> None:
    """The log is moved into the main file, as every ten seconds."""
    with closing(connection.writer(str(path))) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _empty(file: Path) -> None:
    os.truncate(file, 0)


def _copied_over(file: Path) -> None:
    """As long as it was, and of another run."""
    content = bytearray(file.read_bytes())
    content[16:24] = b"another."
    with file.open("r+b") as opened:
        opened.write(content)


@pytest.mark.parametrize("which", ["log", "file"])
@pytest.mark.parametrize("harm", [_cut, _empty, _copied_over])
async def test_a_file_that_was_cut_or_written_over_takes_nothing_any_more(
    writer: Writer, path: Path, which: str, harm: Harm
) -> None:
    """What it held is lost: it is said, until the next start, and nothing more is told to be durable."""
    notes = Notes(writer)
    await notes.write("before")
    if which == "file":
        moved(path)
    await notes.write("more")
    harmed = log(path) if which == "log" else path
    harm(harmed)
    content = harmed.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=rf"{harmed.name} was cut short or written over .* stop notifier"):
            await notes.write("refused")
    assert harmed.read_bytes() == content


async def test_a_main_file_whose_time_alone_changed_is_as_it_was(writer: Writer, path: Path) -> None:
    """Touched, and not written."""
    notes = Notes(writer)
    await notes.write("before")
    moved(path)
    await notes.write("more")
    path.touch()
    await notes.write("after")
    assert after_a_kill(path) == notes.durable


async def test_checkpoints_and_given_back_space_are_nobodys_doing(writer: Writer, path: Path) -> None:
    """A log that was moved and cut by us, and a file that became shorter, are as they should be."""
    notes = Notes(writer)
    for number in range(50):
        await notes.write(f"{number}" + "x" * 9_000)
    await writer.run(lambda conn: conn.execute("DELETE FROM notes WHERE rowid > 1").rowcount)
    moved(path)
    before = path.stat().st_size
    assert await writer.run(lambda conn: space.give_back(conn, kept=0)) > 0
    moved(path)
    await notes.write("after")
    assert path.stat().st_size < before


@pytest.mark.parametrize("moved", [["notifier.db"], ["notifier.db", "notifier.db-wal", "notifier.db-shm"]])
async def test_files_that_come_back_go_on(writer: Writer, path: Path, moved: list[str]) -> None:
    """The file alone, or all of them, as with a directory: refused meanwhile, and nothing is lost."""
    notes = Notes(writer)
    await notes.write("before")
    away = path.with_name("away")
    away.mkdir()
    for name in moved:
        path.with_name(name).rename(away / name)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="put it back"):
            await notes.write("refused")
    for name in moved:
        (away / name).rename(path.with_name(name))
    await notes.write("after")
    assert after_a_kill(path) == notes.durable == ["before", "after"]


async def test_the_next_start_finds_what_a_log_without_its_name_held_at_the_end(path: Path) -> None:
    """Removed a moment before the daemon stops: closing the store saves it."""
    connection.create(str(path))
    opened = connection.writer(str(path))
    opened.execute("CREATE TABLE notes (text TEXT)")
    writer = Writer(str(path), opened)
    notes = Notes(writer)
    await notes.write("before")
    log(path).unlink()
    await writer.close()
    assert after_a_kill(path) == ["before"]


async def test_a_file_that_goes_away_while_it_is_looked_at_was_not_cut(writer: Writer, path: Path) -> None:
    """Moved between two looks of one check, and back: that is over when the file is back."""
    notes = Notes(writer)
    await notes.write("before")
    opened = writer._files
    assert opened is not None

    path.rename(path.with_name("aside"))
    assert opened._cut() is None
    path.with_name("aside").rename(path)
    assert opened.lost() is None
    await notes.write("after")
