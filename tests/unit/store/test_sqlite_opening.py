"""What may be opened, by whom, and what the operator reads where it may not."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from notifier.domain.errors import StoreError, StoreRefused, StoreUnavailable
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import State, WatchRequest
from notifier.store.sqlite import SqliteStore, connection, lock, open_reader, open_store, store_exists
from notifier.store.sqlite.statements import migrations
from tests.support.other_user import run_as_other_user

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notifier.db")


async def refusal(path: str) -> str:
    """The sentence with which `path` is refused."""
    with pytest.raises(StoreRefused) as refused:
        async with open_store(path):
            pass
    return str(refused.value)


async def add_one(store: SqliteStore, generation: str = "g-1") -> None:
    wanted = WatchRequest(
        provider=ProviderName("luma"),
        generation=GenerationId(generation),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        timeout=timedelta(hours=1),
    )
    await store.add_watches([wanted], now=NOW)


async def add_many(store: SqliteStore, count: int) -> None:
    for number in range(count):
        await add_one(store, f"f-{number}")


def fill(filler: Path) -> None:
    """Write until the disk has no room left."""
    with filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def mark(path: str, statement: str) -> None:
    conn = sqlite3.connect(path)
    conn.execute(statement)
    conn.commit()
    conn.close()


async def test_a_second_daemon_is_refused(path: str) -> None:
    """It reads who has the store; the first goes on."""
    async with open_store(path) as first:
        sentence = await refusal(path)
        assert "in use by another notifier" in sentence
        assert f"pid {os.getpid()}" in sentence
        await add_one(first)
    async with open_store(path) as second:
        assert (await second.counts()).open_generations == 1


async def test_the_lock_is_the_processs_not_the_files(path: str) -> None:
    """A lock file that a dead process left behind stops nobody."""
    Path(f"{path}.lock").write_text("999999\n")
    async with open_store(path):
        assert Path(f"{path}.lock").read_text() == f"{os.getpid()}\n"


async def test_another_process_holds_the_lock_until_it_dies(path: str) -> None:
    """Killed without a chance to tidy up, it leaves the store free."""
    script = (
        "import sys, time\nfrom notifier.store.sqlite import lock\n"
        "with lock.owned(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert f"pid {other.pid}" in await refusal(path)
        other.kill()
        other.wait()
    async with open_store(path):
        pass


@pytest.mark.parametrize("other", ["lock removed", "hard link", "link", "link elsewhere"])
async def test_a_second_daemon_is_refused_whatever_it_calls_the_store(path: str, tmp_path: Path, other: str) -> None:
    """The lock is on the file itself; a lock file of another name, or one that is gone, lets nobody in."""
    name = tmp_path / "other.db"
    async with open_store(path) as first:
        await add_one(first)
        match other:
            case "lock removed":
                Path(f"{path}.lock").unlink()
                name = Path(path)
            case "hard link":
                name.hardlink_to(path)
            case "link":
                name.symlink_to(path)
            case _:
                (tmp_path / "elsewhere").mkdir()
                name = tmp_path / "elsewhere" / "store"
                name.symlink_to("../notifier.db")
        assert "in use by another notifier" in await refusal(str(name))
        await add_one(first, "g-2")
        assert (await first.counts()).open_generations == 2
    async with open_store(str(name)) as second:
        assert (await second.counts()).open_generations == 2


async def test_the_lock_on_the_file_leaves_sqlites_alone(path: str) -> None:
    """Another program that uses SQLite reads and writes beside it, and still waits for our transactions."""
    script = (
        "import sqlite3, sys\nconn = sqlite3.connect(sys.argv[1], timeout=0.01)\n"
        "print(conn.execute('SELECT count(*) FROM generations').fetchone()[0])\n"
        "try:\n    conn.execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError as error:\n    print(error)\n"
    )
    async with open_store(path) as store:
        await add_one(store)

        def beside(_: sqlite3.Connection) -> str:
            return subprocess.run(
                [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
            ).stdout

        assert await store.writer.run(beside) == "1\ndatabase is locked\n"


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_store_that_is_named_by_a_link_is_the_real_one(path: str, tmp_path: Path, *, fresh: bool) -> None:
    """Made and opened by it; read by either name it tells the same, and everything is beside the real file."""
    link = tmp_path / "links" / "store.db"
    link.parent.mkdir()
    link.symlink_to(path)
    if not fresh:
        async with open_store(path) as store:
            await add_one(store, "g-0")
    async with open_store(str(link)) as store:
        await add_one(store)
        for name in (str(link), path):
            async with open_reader(name) as reader:
                assert (await reader.counts()).open_generations == (1 if fresh else 2)
    assert list(link.parent.iterdir()) == [link]
    assert Path(f"{path}.lock").exists()


async def test_a_link_that_names_another_file_now_is_missed(path: str, tmp_path: Path) -> None:
    """The next start would open the other one: nothing more is taken until the link is as it was."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with open_store(str(link)) as store:
        link.unlink()
        link.symlink_to("other.db")
        with pytest.raises(StoreUnavailable, match="was removed while it is in use"):
            await add_one(store)
        link.unlink()
        link.symlink_to(path)
        await add_one(store)


async def test_a_link_to_itself_is_refused(path: str) -> None:
    """With a sentence, by the daemon and by a reader."""
    Path(path).symlink_to(path)
    assert "cannot open" in await refusal(path)
    with pytest.raises(StoreRefused, match="cannot be looked at"):
        async with open_reader(path):
            pass


async def test_a_reader_is_not_told_an_old_state(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a running daemon was moved away: without it the file says what was so before."""
    monkeypatch.setattr("notifier.store.sqlite.opening._LOG_LOOKS", 2)
    log = Path(f"{path}-wal")
    with lock.owned(path):
        mark(path, "CREATE TABLE t (x)")
        with pytest.raises(StoreUnavailable, match=r"its log, notifier.db-wal, was removed or moved"):
            async with open_reader(path):
                pass
    assert not log.exists()


@contextmanager
def nobody() -> Iterator[None]:
    """What an ordinary user may: root may enter every directory."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


async def test_a_store_that_nobody_can_look_at_is_not_one_that_is_not_there() -> None:
    """The sentence names the directory that this user may not enter, for a reader and for the daemon."""
    with TemporaryDirectory(prefix="notifier-tests-") as place:
        shut = Path(place, "shut")
        path = str(shut / "deep" / "notifier.db")
        Path(path).parent.mkdir(parents=True)
        Path(place).chmod(0o755)
        shut.chmod(0o600)
        with nobody():
            with pytest.raises(StoreRefused, match=f"may not enter {shut}: run this as"):
                async with open_reader(path):
                    pass
            assert f"may not enter {shut}: give it to" in await refusal(path)
        shut.chmod(0o700)


async def test_files_are_for_their_owner_alone(path: str, tmp_path: Path) -> None:
    """Whatever the umask: the store, its log and its lock are 0600."""
    before = os.umask(0)
    try:
        async with open_store(path) as store:
            await add_one(store)
            modes = {entry.name: entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"notifier.db", "notifier.db-wal", "notifier.db.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The sentence says which directory to make."""
    assert f"directory {tmp_path / 'no'} does not exist" in await refusal(str(tmp_path / "no" / "notifier.db"))


async def test_a_directory_is_refused_before_a_lock_is_made(tmp_path: Path) -> None:
    """By the daemon and by a reader, with what to do about it."""
    path = tmp_path / "store"
    path.mkdir()
    assert "is a directory: name a file in it" in await refusal(str(path))
    with pytest.raises(StoreRefused, match="is a directory"):
        async with open_reader(str(path)):
            pass
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("beside", ["-wal", "-shm", ".lock"])
async def test_a_directory_in_the_place_of_a_file_of_the_store_is_named(path: str, beside: str) -> None:
    """SQLite would say that the disk fails."""
    Path(f"{path}{beside}").mkdir()
    assert await refusal(path) == (
        f"{path}{beside} is a directory, and notifier keeps a file of the store there: move it away"
    )


@pytest.mark.parametrize("lost", ["removed", "emptied", "removed behind a link"])
async def test_a_log_without_its_file_is_left_alone(path: str, tmp_path: Path, lost: str) -> None:
    """SQLite would remove it, and with it what was acknowledged last: neither a start nor a reader may let it."""
    script = (
        "import anyio, os, sys\nfrom notifier.store.sqlite.opening import open_store\n"
        "async def main():\n    async with open_store(sys.argv[1]):\n        os._exit(0)\nanyio.run(main)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, path], check=True, env=environment)
    kept, log = Path(path).read_bytes(), Path(f"{path}-wal").read_bytes()
    assert log
    named = path
    if lost == "removed behind a link":
        (tmp_path / "link.db").symlink_to(path)
        named = str(tmp_path / "link.db")
    Path(path).unlink() if "removed" in lost else Path(path).write_bytes(b"")

    said = "is empty" if lost == "emptied" else "is not there"
    assert f"store {path} {said}, but its log, {Path(path).name}-wal, is: what was written last" in await refusal(named)
    with pytest.raises(StoreRefused, match="Put the file back beside it"):
        async with open_reader(named):
            pass
    if "removed" in lost:
        with pytest.raises(StoreRefused, match="is not there, but its log"):
            store_exists(named)
    assert Path(f"{path}-wal").read_bytes() == log
    Path(path).write_bytes(kept)
    async with open_store(named) as store:
        assert (await store.counts()).open_generations == 0


async def test_a_newer_schema_is_refused_and_left_alone(path: str) -> None:
    """By the daemon and by a reader, with both numbers and what to do."""
    async with open_store(path):
        pass
    mark(path, "PRAGMA user_version = 99")
    sentence = await refusal(path)
    assert "is of schema 99" in sentence
    assert "upgrade notifier" in sentence
    with pytest.raises(StoreRefused, match="schema 99"):
        async with open_reader(path):
            pass


def older(path: str) -> None:
    """A store of the first schema, as another program left it."""
    number, script = migrations()[0]
    connection.create(path)
    conn = connection.writer(path)
    conn.executescript(script)
    conn.execute(f"PRAGMA application_id = {connection.APPLICATION_ID}")
    conn.execute(f"PRAGMA user_version = {number}")
    conn.close()


async def test_a_store_of_an_older_schema_is_backed_up(path: str, tmp_path: Path) -> None:
    """Before an upgrade, by the new program: whole, of the old schema, and without a change to the store."""
    older(path)
    before, names = Path(path).read_bytes(), sorted(tmp_path.iterdir())
    with pytest.raises(StoreRefused, match="is of schema 1"):
        async with open_reader(path):
            pass
    target = tmp_path / "copy.db"
    async with open_reader(path, older=True) as reader:
        await reader.backup(str(target))
    assert Path(path).read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([*names, target])
    conn = connection.reader(str(target))
    assert connection.schema_of(conn, path) == 1
    conn.close()
    async with open_store(str(target)) as store:
        await add_one(store)


@pytest.mark.parametrize("foreign", ["newer", "theirs"])
async def test_what_is_no_older_store_is_not_backed_up(path: str, foreign: str) -> None:
    """A newer one, and another program's file, are refused as ever."""
    mark(path, "PRAGMA user_version = 99" if foreign == "newer" else "CREATE TABLE theirs (x)")
    if foreign == "newer":
        mark(path, f"PRAGMA application_id = {connection.APPLICATION_ID}")
    with pytest.raises(StoreRefused, match=r"schema 99|no notifier store"):
        async with open_reader(path, older=True):
            pass


@pytest.mark.parametrize("foreign", ["sqlite", "text"])
async def test_a_file_of_another_program_is_refused_unchanged(path: str, foreign: str) -> None:
    """No notifier store: neither the daemon nor a reader touches a byte of it."""
    if foreign == "sqlite":
        mark(path, "CREATE TABLE theirs (x)")
    else:
        Path(path).write_text("my diary, " * 1_000)
    before = Path(path).read_bytes()
    assert "no notifier store" in await refusal(path)
    with pytest.raises(StoreRefused, match="no notifier store"):
        async with open_reader(path):
            pass
    assert Path(path).read_bytes() == before


async def test_an_empty_file_becomes_a_store(path: str) -> None:
    """A run that died between making the file and its first schema left no more than that."""
    Path(path).touch()
    async with open_store(path) as store:
        await add_one(store)


async def test_a_migration_that_fails_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step is one transaction: the next start finds the schema of before."""
    async with open_store(path) as store:
        await add_one(store)
    steps = migrations()
    broken = (len(steps) + 1, "CREATE TABLE fresh (x);\nINSERT INTO nowhere VALUES (1);")
    with monkeypatch.context() as patched:
        patched.setattr(connection, "migrations", lambda: [*steps, broken])
        with pytest.raises(StoreError):
            async with open_store(path):
                pass
    async with open_store(path) as store:
        assert (await store.counts()).open_generations == 1


async def test_a_reader_works_beside_the_daemon(path: str) -> None:
    """Without its lock, and sees what was recorded a moment ago."""
    async with open_store(path) as store, open_reader(path) as reader:
        await add_one(store)
        assert (await reader.counts()).open_generations == 1
        await add_one(store, "g-2")
        assert (await reader.counts()).open_generations == 2


async def test_a_reader_works_without_the_daemon(path: str) -> None:
    """The last run's store can be read while nothing runs."""
    async with open_store(path) as store:
        await add_one(store)
    async with open_reader(path) as reader:
        assert [line.id for line in await reader.generations(open_only=True, limit=5)] == ["g-1"]


async def test_a_reader_makes_no_file(path: str, tmp_path: Path) -> None:
    """While nothing runs there is no log, and reading makes none."""
    async with open_store(path) as store:
        await add_one(store)
    before = sorted(tmp_path.iterdir())
    async with open_reader(path) as reader:
        assert (await reader.counts()).open_generations == 1
        assert await reader.problems(deep=True) == []
    assert sorted(tmp_path.iterdir()) == before


async def test_a_look_that_was_overtaken_looks_again(path: str) -> None:
    """A daemon that starts and writes while the store is read as unwritten is not missed."""
    async with open_store(path) as store:
        await add_one(store)
    calls: list[str] = []

    def look(conn: sqlite3.Connection) -> int:
        calls.append("look")
        if len(calls) == 1:
            mark(path, "CREATE TABLE more (x)")
        return int(conn.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone()[0])

    assert connection.read_only(path, look) == 1
    assert len(calls) == 2


async def test_a_reader_of_nothing_says_so(path: str) -> None:
    """A path without a file is refused and stays without one."""
    with pytest.raises(StoreRefused, match="there is no store"):
        async with open_reader(path):
            pass
    assert not Path(path).exists()


async def test_a_reader_cannot_write(path: str) -> None:
    """Its connections are read-only in the file system's sense."""
    async with open_store(path):
        conn = connection.reader(path)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            conn.execute("DELETE FROM watches")
        conn.close()


async def test_odd_names_of_files_are_names_of_files(tmp_path: Path) -> None:
    """A question mark, a percent sign or a hash in a path is part of it."""
    odd = tmp_path / "a?b%20c#d.db"
    async with open_store(str(odd)) as store:
        await add_one(store)
    assert odd.exists()


async def test_a_damaged_file_is_reported(path: str) -> None:
    """`problems` finds what a bad disk has done; it is not healthy, and nothing crashes."""
    async with open_store(path) as store:
        for number in range(200):
            await add_one(store, f"g-{number}")
    size = Path(path).stat().st_size
    with Path(path).open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 8192)
    try:
        async with open_reader(path) as reader:
            assert await reader.problems(deep=True)
    except StoreUnavailable as error:
        assert "damaged" in str(error)


async def test_an_orphan_is_a_problem(path: str) -> None:
    """References are not enforced at each write; the check looks for rows without a parent."""
    async with open_store(path) as store:
        await add_one(store)
        await store.writer.run(lambda conn: conn.execute("DELETE FROM generations").rowcount)
        (problem,) = await store.problems(deep=False)
    assert "watches" in problem


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a small disk")
async def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """On a really full file system calls fail in the operator's words, and succeed once there is room."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        async with open_store(str(tmp_path / "notifier.db")) as store:
            await add_one(store)
            filler = tmp_path / "filler"
            with pytest.raises(OSError, match="No space"):
                fill(filler)
            with pytest.raises(StoreUnavailable, match="full"):
                await add_many(store, 2_000)
            filler.unlink()
            await add_one(store, "after")
            assert await store.problems(deep=True) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


async def test_a_probe_says_whether_the_store_can_write(path: str) -> None:
    """StoreUnavailable while it cannot, silence once it can again."""
    async with open_store(path) as store:
        opened = store.writer._connection
        assert opened is not None
        opened.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            await store.probe(now=NOW)
        await store.probe(now=NOW)


async def test_a_long_log_is_cut(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint brings a log above the limit back to nothing."""
    monkeypatch.setattr(connection, "LOG_LIMIT", 1)
    async with open_store(path) as store:
        await add_one(store)
        assert Path(f"{path}-wal").stat().st_size > 0
        await store.checkpoint()
        assert Path(f"{path}-wal").stat().st_size == 0
        await add_one(store, "g-2")
        assert (await store.counts()).open_generations == 2


MAY_NOT_WRITE = """
from notifier.domain.errors import StoreRefused
from notifier.store.sqlite import open_store, write_obstacles

async def opened(path):
    try:
        async with open_store(str(path)):
            return "opened"
    except StoreRefused as error:
        return str(error)

async def main(root):
    for shut in ("", "notifier.db", "notifier.db.lock"):
        directory = root / f"without-{shut}"
        directory.mkdir()
        harmed = directory / shut
        if shut:
            harmed.touch(0o444)
        else:
            harmed.chmod(0o555)
        store = directory / "notifier.db"
        (checked,) = write_obstacles(str(store))
        told = await opened(store)
        assert told == checked, (told, checked)
        assert f"{harmed} cannot be written by this user: be the user that runs notifier, or root" in told, told
        harmed.chmod(0o755)

# What opening a store imports late is imported now: the interpreter's own files may be root's.
with tempfile.TemporaryDirectory() as directory:
    anyio.run(opened, Path(directory) / "first.db")
"""


def test_a_user_who_may_not_write_the_store_is_told_so() -> None:
    """The start says what `check` says of it, and names no file that is not there."""
    run_as_other_user(MAY_NOT_WRITE)
