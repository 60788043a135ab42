"""The drop directory on a real file system, with a registrar's port of the tests' own."""

import errno
import json
import mmap
import os
import stat
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from notifier.domain.errors import ConfigError
from notifier.intake.drop.inspect_file import Complete, Nothing, Waiting, inspect_file
from notifier.intake.drop.safe_open import examine
from notifier.intake.drop.spool import Spool
from notifier.intake.parse import MAX_BYTES
from tests.support.drop_rig import KNOWN, Box, drop_box
from tests.support.other_user import run_as_other_user

NOW = datetime(2026, 11, 22, 5, 14, 0, 123456, tzinfo=UTC)
#: Longer than any test: with it, nothing is ever taken for settled.
NEVER = 3_600.0


# ---- arriving -----------------------------------------------------------------------------------------------------
async def test_files_that_are_renamed_in_are_taken_at_once(tmp_path: Path) -> None:
    """Renamed in is complete, whatever the kind: it does not wait to settle."""
    async with drop_box(tmp_path / "d", settle=NEVER) as box:
        box.rename_in("a.yaml", "- id: one\n- id: two\n")
        box.rename_in("b.txt", "three\n")
        box.rename_in("c.json", '{"id": "four"}')
        assert sorted(await box.registrar.registered(4)) == ["four", "one", "three", "two"]
        await box.until_moved("done", "a.yaml", "b.txt", "c.json")
        assert box.here() == []


async def test_json_written_in_place_is_taken_as_soon_as_it_is_closed(tmp_path: Path) -> None:
    """Neither half of it nor what happens to parse is believed while its writer has it open; then at once."""
    async with drop_box(tmp_path / "d", settle=NEVER) as box:
        with (box.path / "a.json").open("w") as file:
            for part in ('[{"id": "one"}', ', {"id": "two"}]', "\n", "  "):
                file.write(part)
                file.flush()
                box.wakeup.notify()
                box.rename_in("other.txt", "other\n")
                await box.until_moved("done", "other.txt")
                assert "two" not in box.registrar.ids
                clear(box.path / "done")
        await box.until_moved("done", "a.json")
        assert box.registrar.ids[-2:] == ["one", "two"]


def clear(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


async def test_a_truncated_yaml_list_is_not_believed(tmp_path: Path) -> None:
    """YAML written in place, which parses when half there, waits until it stood still."""
    async with drop_box(tmp_path / "d", settle=0.3) as box:
        with (box.path / "a.yaml").open("w") as file:
            for number in range(8):
                file.write(f"- id: id{number}\n")
                file.flush()
                await anyio.sleep(0.1)  # the writer's own pace, three times within the settling time
            assert box.registrar.ids == []
        assert await box.registrar.registered(8) == [f"id{number}" for number in range(8)]
        assert len(box.registrar.sources) == 1


async def test_json_that_never_parses_is_judged_once_it_stood_still(tmp_path: Path) -> None:
    """It is rejected then, with the line."""
    async with drop_box(tmp_path / "d", settle=0.05) as box:
        (box.path / "a.json").write_text('[{"id": "one"},\n')
        assert "line 2: Not JSON" in await box.why("a.json")


async def test_what_lay_there_before_the_start_is_found(tmp_path: Path) -> None:
    """A scan at the start takes what came while nothing was running."""
    async with drop_box(tmp_path / "d", start=False) as box:
        (box.path / "a.json").write_text('{"id": "one"}')
    async with drop_box(tmp_path / "d") as box:
        assert await box.registrar.registered(1) == ["one"]


class NoInotify:
    """A C library on a machine whose inotify instances are used up."""

    def __init__(self, name: None, *, use_errno: bool) -> None:
        del name, use_errno

    def inotify_init1(self, flags: int) -> int:
        del flags
        return -1


async def test_the_wakeup_calls_for_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no event can tell of a file, it is found when the wakeup is rung."""
    monkeypatch.setattr("ctypes.CDLL", NoInotify)
    async with drop_box(tmp_path / "d", settle=NEVER) as box:
        for number in range(3):
            box.rename_in(f"{number}.json", json.dumps({"id": f"id{number}"}))
            box.wakeup.notify()
            assert len(await box.registrar.registered(number + 1)) == number + 1


async def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Hidden and temporary files, editors' files and directories stay where they are."""
    names = [".hidden.json", "a.json.tmp", "b.json.part", "c.json~", ".d.json.swp", "#e.json#", "~$f.yaml", "Thumbs.db"]
    names += [
        "desktop.ini",
        "4913",
        "g.json.bak",
        "h.yaml.orig",
        "i.json.crdownload",
        ".~lock.j.txt#",
        ".k.json.AbCdEf",
    ]
    async with drop_box(tmp_path / "d", settle=0.01) as box:
        for name in names:
            (box.path / name).write_text('{"id": "x"}')
        (box.path / "sub.json").mkdir()
        box.rename_in("ok.json", '{"id": "one"}')
        box.wakeup.notify()
        await box.until_moved("done", "ok.json")
        assert await box.registrar.registered(1) == ["one"]
        assert box.here() == sorted([*names, "sub.json"])


async def test_many_files_are_one_line_of_the_log(tmp_path: Path) -> None:
    """A lone file is logged by its name; of many that are taken together, how many; their names for debugging."""
    async with drop_box(tmp_path / "d", start=False) as box:
        for number in range(20):
            (box.path / f"{number}.json").write_text(json.dumps({"id": f"id{number}"}))
    with capture_logs() as logs:
        async with drop_box(tmp_path / "d", settle=NEVER) as box:
            await box.until_moved("done", *(f"{number}.json" for number in range(20)))
            box.rename_in("alone.txt", "one\n")
            await box.until_moved("done", "alone.txt", *(f"{number}.json" for number in range(20)))
            await box.registrar.registered(21)
            with anyio.fail_after(20):
                while logs[-1].get("file") != "alone.txt":  # noqa: ASYNC110  a log sets no event
                    await anyio.sleep(0.005)
    told = [log for log in logs if log["event"] == "drop.accepted"]
    assert {log["file"] for log in told if log["log_level"] == "debug"} == {f"{number}.json" for number in range(20)}
    many, alone = (log for log in told if log["log_level"] == "info")
    assert (many["files"], many["watches"], many["to"]) == (20, 20, "done")
    assert (alone["file"], alone["watches"]) == ("alone.txt", 1)


async def test_thousands_of_files_are_all_taken(tmp_path: Path) -> None:
    """More files than one batch holds are registered and moved, each once."""
    async with drop_box(tmp_path / "d", start=False) as box:
        for number in range(1_500):
            (box.path / f"{number}.json").write_text(json.dumps({"id": f"id{number}"}))
    async with drop_box(tmp_path / "d") as box:
        assert sorted(await box.registrar.registered(1_500)) == sorted(f"id{number}" for number in range(1_500))
        await box.until_moved("done", *(f"{number}.json" for number in range(1_500)))
        assert await box.drop.counts() == {"done": 1_500, "rejected": 0, "waiting": 0}


# ---- refusing -----------------------------------------------------------------------------------------------------
async def test_a_refused_file_says_why_beside_it(tmp_path: Path) -> None:
    """Every fault is in the .error file, with its line; nothing of the file was registered."""
    async with drop_box(tmp_path / "d") as box:
        box.rename_in("a.yaml", "- id: good\n- id: 0123\n- {id: x, notify: studoi}\n")
        assert await box.why("a.yaml") == textwrap.dedent("""\
            a.yaml was not accepted, and nothing in it was registered.

            line 2: [1].id: 0123 is read as different numbers by different YAML parsers; quote it: "0123".
            line 3: [2].notify: Endpoint "studoi" is not configured. Did you mean "studio"?

            Correct the file and drop it again.
            """)
        assert box.registrar.tries == 0
        (kept,) = (path for path in (box.path / "rejected").iterdir() if path.suffix == ".yaml")
        assert kept.read_text().startswith("- id: good")


async def test_a_conflict_that_the_store_finds_is_told_the_same_way(tmp_path: Path) -> None:
    """What registering refuses is refused to the sender."""
    async with drop_box(tmp_path / "d") as box:
        box.registrar.refusing = {"one"}
        box.rename_in("a.json", '{"id": "one"}')
        assert "[0]: This watch is open with other metadata." in await box.why("a.json")


async def test_a_refused_file_takes_no_other_with_it(tmp_path: Path) -> None:
    """Of many files that are registered together, only the one that conflicts is rejected."""
    async with drop_box(tmp_path / "d", start=False) as box:
        for name in ("a", "b", "c"):
            (box.path / f"{name}.json").write_text(json.dumps({"id": name}))
    async with drop_box(tmp_path / "d", start=False) as box:
        box.registrar.refusing = {"b"}
        async with anyio.create_task_group() as tasks:
            await tasks.start(box.drop.run)
            assert sorted(await box.registrar.registered(2)) == ["a", "c"]
            assert "open with other metadata" in await box.why("b.json")
            await box.until_moved("done", "a.json", "c.json")
            tasks.cancel_scope.cancel()


async def test_tricks_are_refused_and_nothing_is_read_through_them(tmp_path: Path) -> None:
    """Links, hard links, FIFOs, unknown kinds and empty or too large files go to rejected/ with their reason."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"id": "secret"}')
    async with drop_box(tmp_path / "d", settle=0.02) as box:
        (box.path / "link.json").symlink_to(secret)
        os.link(secret, box.path / "hard.json")
        os.mkfifo(box.path / "fifo.json")
        (box.path / "notes.csv").write_text("x")
        (box.path / "empty.yaml").write_text("")
        with (box.path / "large.txt").open("wb") as file:
            file.truncate(MAX_BYTES + 1)
        assert "symbolic link" in await box.why("link.json")
        assert "hard links" in await box.why("hard.json")
        assert "not a regular file" in await box.why("fifo.json")
        assert "must end in .json, .yaml, .yml, .txt" in await box.why("notes.csv")
        assert "holds no watch" in await box.why("empty.yaml")
        assert "larger than 16 MiB" in await box.why("large.txt")
        assert box.registrar.tries == 0
        assert secret.read_text() == '{"id": "secret"}'


async def test_odd_names_do_no_harm(tmp_path: Path) -> None:
    """Line ends, terminal escapes, bytes that are no text and very long names are moved, and printed harmlessly."""
    names = ["a\nb\x1b[31m.json", os.fsdecode(b"\xff\xfe.json"), "-rf.json", "x" * 250 + ".json"]
    async with drop_box(tmp_path / "d", settle=NEVER) as box:
        with capture_logs() as logs:
            for name in names:
                (box.path / name).write_text(json.dumps({"id": "one"}))
            await box.registrar.registered(len(names))
            with anyio.fail_after(20):
                while box.here() or not logs:  # noqa: ASYNC110  a file system sets no event
                    await anyio.sleep(0.005)
        told = [log["file"] for log in logs if log["event"] == "drop.accepted" and "file" in log]
        assert len(told) == len(names)
        assert all(name.isprintable() for name in told)
        assert all(path.suffix == ".json" for path in (box.path / "done").iterdir())


# ---- never losing a file ------------------------------------------------------------------------------------------
async def test_a_file_waits_for_a_store_that_cannot_write(tmp_path: Path) -> None:
    """It stays where it is, is never rejected, and is registered once the store can write again."""
    async with drop_box(tmp_path / "d") as box:
        box.registrar.shut = True
        with capture_logs() as logs:
            box.rename_in("a.yaml", "id: one")
            await box.registrar.tried(2)
        assert (box.here(), box.moved("rejected"), box.moved("done")) == (["a.yaml"], [], [])
        assert [log["event"] for log in logs] == ["store.unavailable"]
        box.registrar.shut = False
        assert await box.registrar.registered(1) == ["one"]
        await box.until_moved("done", "a.yaml")


async def test_a_file_that_changes_while_it_is_registered_is_put_back(tmp_path: Path) -> None:
    """What was written after the reading is read too."""
    async with drop_box(tmp_path / "d", settle=0.05) as box:
        box.registrar.before = anyio.Event()
        path = box.rename_in("a.txt", "one\n")
        await box.registrar.tried(1)
        with path.open("a") as file:
            file.write("two\n")
        box.registrar.before.set()
        assert await box.registrar.registered(3) == ["one", "one", "two"]
        await box.until_moved("done", "a.txt")
        assert box.here() == []


async def test_another_file_of_that_name_is_not_moved_unread(tmp_path: Path) -> None:
    """A file that took the name meanwhile is read as a new one."""
    async with drop_box(tmp_path / "d", settle=0.05) as box:
        box.registrar.before = anyio.Event()
        box.rename_in("a.json", '{"id": "one"}')
        await box.registrar.tried(1)
        box.rename_in("a.json", '{"id": "other"}')
        box.registrar.before.set()
        assert await box.registrar.registered(2) == ["one", "other"]
        await box.until_moved("done", "a.json")


async def test_the_directory_may_be_made_anew(tmp_path: Path) -> None:
    """Where the directory is moved away and another takes its path, that one is served."""
    async with drop_box(tmp_path / "d", settle=0.05) as box:
        box.path.rename(tmp_path / "old")
        box.path.mkdir(mode=0o770)
        (box.path / "a.json").write_text('{"id": "one"}')
        box.wakeup.notify()
        assert await box.registrar.registered(1) == ["one"]
        assert box.drop.troubles() == {}


async def test_a_directory_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    """Readiness can tell, the log says so once, and nothing stops."""
    async with drop_box(tmp_path / "d") as box:
        with capture_logs() as logs:
            box.path.rename(tmp_path / "old")
            with anyio.fail_after(20):
                while not box.drop.troubles():  # noqa: ASYNC110  a file system sets no event
                    await anyio.sleep(0.005)
            box.wakeup.notify()
        assert [log["event"] for log in logs] == ["drop.unreadable"]
        (tmp_path / "old").rename(box.path)
        box.rename_in("a.json", '{"id": "one"}')
        box.wakeup.notify()
        assert await box.registrar.registered(1) == ["one"]


UNREADABLE = """
from structlog.testing import capture_logs
from tests.support.drop_rig import drop_box

async def main(directory):
    async with drop_box(directory / "d") as box:
        with capture_logs() as logs:
            hidden = box.path / ".sealed"
            hidden.write_text('{"id": "one"}')
            hidden.chmod(0)
            hidden.rename(box.path / "sealed.json")
            for number in range(3):
                box.rename_in(f"{number}.json", '{"id": "x"}')
                box.wakeup.notify()
                await box.registrar.registered(number + 1)
            while sum(log["event"] == "drop.unreadable" for log in logs) == 0:
                await anyio.sleep(0.01)
        told = [log for log in logs if log["event"] == "drop.unreadable"]
        await box.until_moved("done", "0.json", "1.json", "2.json")
        assert len(told) == 1, told
        assert told[0]["help"] == f"chmod g+r {box.path}/sealed.json", told
        assert box.here() == ["sealed.json"]
        assert box.moved("rejected") == []
        (box.path / "sealed.json").chmod(0o640)
        assert (await box.registrar.registered(4))[-1] == "one"
        for shut, mode in ((box.path, 0), (box.path / "done", 0o500), (box.path / "rejected", 0o660)):
            while box.here():
                await anyio.sleep(0.005)
            shut.chmod(mode)
            while not box.drop.troubles():
                box.wakeup.notify()
                await anyio.sleep(0.005)
            assert f"{shut}: " in box.drop.troubles()["drop"], box.drop.troubles()
            assert "Errno" not in box.drop.troubles()["drop"]
            shut.chmod(0o770)
            box.rename_in(f"a{mode}.json", '{"id": "again"}')
            while box.here():
                box.wakeup.notify()
                await anyio.sleep(0.005)
            assert box.drop.troubles() == {}
"""


def test_a_file_that_may_not_be_read_stays_and_is_logged_once() -> None:
    """It is not refused: the log says once which chmod helps, and after that it is taken. A directory likewise."""
    run_as_other_user(UNREADABLE)


# ---- the directory itself -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.chmod(0o777), "d: every user may write to it; chmod o-w /"),
        (lambda path: path.rmdir(), "d: there is no such directory; make it"),
        (lambda path: (path.rmdir(), path.write_text("")), "d: it is no directory, or a link to one"),
        (lambda path: (path.rmdir(), path.symlink_to("/tmp")), "d: it is no directory, or a link to one"),
        (lambda path: (path.rmdir(), path.symlink_to(path)), "d: it is no directory, or a link to one"),
        (lambda path: (path / "done").symlink_to("/tmp"), "done: it is no directory, or a link to one"),
        (lambda path: (path / "rejected").symlink_to("done"), "rejected: it is no directory, or a link to one"),
        (
            lambda path: (path / "done").touch(),
            "done: it is no directory, or a link to one; links are not followed. Rem",
        ),
        (lambda path: os.mkfifo(path / "done"), "done: it is no directory"),
        (lambda path: ((path / "done").mkdir(), (path / "done").chmod(0o777)), "done: every user may write to it"),
    ],
)
@pytest.mark.parametrize("running", [False, True])
async def test_a_directory_that_is_not_safe_stops_this_source_alone(
    tmp_path: Path, spoil: Callable[[Path], object], words: str, *, running: bool
) -> None:
    """At the start and later: it is started, says once what to do, takes nothing, and goes on once that is done."""
    path = tmp_path / "d"
    async with drop_box(path, start=False) as box, anyio.create_task_group() as tasks:
        with capture_logs() as logs:
            if running:
                await tasks.start(box.drop.run)
                clear_away(path)
            spoil(path)
            if not running:
                await tasks.start(box.drop.run)
            with anyio.fail_after(20):
                while not box.drop.troubles():
                    box.wakeup.notify()
                    await anyio.sleep(0.005)
            for _ in range(3):
                box.wakeup.notify()
                await anyio.lowlevel.checkpoint()
        assert words in box.drop.troubles()["drop"]
        assert [log["event"] for log in logs if log["log_level"] == "error"] == ["drop.unreadable"]
        path.unlink() if path.is_symlink() or path.is_file() else path.rename(
            tmp_path / "bad"
        ) if path.exists() else None
        path.mkdir(mode=0o770)
        box.rename_in("a.json", '{"id": "one"}')
        box.wakeup.notify()
        assert await box.registrar.registered(1) == ["one"]
        await box.until_moved("done", "a.json")
        assert box.drop.troubles() == {}
        tasks.cancel_scope.cancel()


def clear_away(path: Path) -> None:
    """What a member of the group may do: the daemon's own directories are gone."""
    (path / "done").rmdir()
    (path / "rejected").rmdir()


@pytest.mark.parametrize("gone", [["done"], ["rejected"], ["done", "rejected"]])
async def test_directories_that_are_taken_away_are_made_again(tmp_path: Path, gone: list[str]) -> None:
    """Removed, or moved elsewhere; what is dropped then is accepted or refused as ever."""
    async with drop_box(tmp_path / "d") as box:
        for number in range(2):
            for name in gone:
                (box.path / name).rename(tmp_path / f"{name}{number}") if number else (box.path / name).rmdir()
            with anyio.fail_after(20):  # a pass that is under way may still move files to where these are now
                while number and not all((box.path / name).is_dir() for name in gone):
                    box.wakeup.notify()
                    await anyio.sleep(0.01)
            box.rename_in(f"good{number}.json", f'{{"id": "id{number}"}}')
            box.rename_in(f"bad{number}.json", "{}")
            with anyio.fail_after(20):
                while box.here():
                    box.wakeup.notify()
                    await anyio.sleep(0.01)
            await box.until_moved("done", f"good{number}.json")
            assert "holds no watch" in await box.why(f"bad{number}.json")
            clear(box.path / "done")
            clear(box.path / "rejected")
        assert box.drop.troubles() == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.rename(path.with_name("elsewhere")),
        lambda path: path.chmod(0o777),
        lambda path: ((path / "done").rmdir(), (path / "done").write_text("")),
    ],
)
async def test_upkeep_and_status_outlive_the_directory(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """Where it is gone or not safe any more, nothing is pruned or counted, and nothing is raised."""
    async with drop_box(tmp_path / "d", start=False) as box:
        assert await box.drop.counts() == {"done": 0, "rejected": 0, "waiting": 0}
        spoil(box.path)
        assert await box.drop.prune(NOW) == 0
        assert await box.drop.counts() == {}


def test_subdirectories_are_made_like_their_parent(tmp_path: Path) -> None:
    """Those who may drop files may read what became of them."""
    tmp_path.chmod(0o3770)
    Spool(str(tmp_path)).close()
    for name in ("done", "rejected"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o3770


@pytest.mark.parametrize("name", ["done", "rejected"])
async def test_a_subdirectory_on_another_file_system_is_found_by_check_and_stops_the_source(
    tmp_path: Path, name: str
) -> None:
    """A file cannot be moved there at once; also if it is the same file system, mounted twice."""
    path, other = tmp_path / "d", tmp_path / "other"
    (path / name).mkdir(parents=True)
    other.mkdir()
    path.chmod(0o770)
    mounted = subprocess.run(["mount", "--bind", other, path / name], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with pytest.raises(ConfigError, match=f"{name}: it is on another file system than the drop directory; unmount"):
            examine(str(path))
        async with drop_box(path) as box:
            assert f"{name}: it is on another file system" in box.drop.troubles()["drop"]
    finally:
        subprocess.run(["umount", path / name], check=True)
    examine(str(path))


# ---- moves --------------------------------------------------------------------------------------------------------
@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    tmp_path.chmod(0o770)
    spool = Spool(str(tmp_path))
    yield spool
    spool.close()


def take(spool: Spool, name: str) -> Complete:
    sighting = inspect_file(spool, name, Waiting(renamed=True), KNOWN, now=0.0, settle=1.0)
    assert isinstance(sighting, Complete)
    return sighting


def test_no_move_ever_replaces_a_file(spool: Spool, tmp_path: Path) -> None:
    """Files of one name that are accepted in the same microsecond lie side by side."""
    for text in ('{"id": "one"}', '{"id": "two"}'):
        (tmp_path / "a.json").write_text(text)
        one = take(spool, "a.json")
        assert spool.move("a.json", one.fd, one.key, now=NOW).same
        assert one.fd is not None
        os.close(one.fd)
    stamp = "20261122T051400.123456Z"
    assert {path.name: path.read_text() for path in (tmp_path / "done").iterdir()} == {
        f"{stamp}-a.json": '{"id": "one"}',
        f"{stamp}.2-a.json": '{"id": "two"}',
    }


def test_an_error_file_is_never_written_through_a_link(spool: Spool, tmp_path: Path) -> None:
    """Where somebody guessed the name of the .error file, another is taken."""
    target = tmp_path / "precious"
    target.write_text("kept")
    (tmp_path / "rejected" / "20261122T051400.123456Z-a.json.error").symlink_to(target)
    (tmp_path / "a.json").write_text("{}")
    one = take(spool, "a.json")
    assert spool.move("a.json", one.fd, one.key, "why", now=NOW).to == "rejected/20261122T051400.123456Z.2-a.json"
    assert one.fd is not None
    os.close(one.fd)
    assert target.read_text() == "kept"


def test_moves_work_where_the_file_system_cannot_keep_from_replacing(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without renameat2 a placeholder holds the name, and still nothing is replaced."""
    monkeypatch.setattr("notifier.intake.drop.spool._renameat2", None)
    test_no_move_ever_replaces_a_file(spool, tmp_path)


class Swapping(Spool):
    """A directory in which somebody puts another file under the name just before it is opened."""

    def open(self, name: str) -> int:
        other = Path(self.directory) / "b"
        other.write_text('{"id": "two"}')
        other.rename(Path(self.directory) / name)
        return super().open(name)


def test_a_file_that_is_swapped_between_look_and_open_is_looked_at_again(tmp_path: Path) -> None:
    """A name is judged by what was opened, never by what it was before."""
    tmp_path.chmod(0o770)
    (tmp_path / "a.json").write_text('{"id": "one"}')
    waiting = Waiting()
    swapping = Swapping(str(tmp_path))
    try:
        assert inspect_file(swapping, "a.json", waiting, KNOWN, now=0.0, settle=1.0) == Nothing.INCOMPLETE
    finally:
        swapping.close()


def test_done_is_pruned_after_a_week_and_rejected_never(spool: Spool, tmp_path: Path) -> None:
    """Only what we moved there ourselves is deleted, by the time in its name."""
    old, new = "20261101T000000.000000Z-a.json", "20261121T000000.000000Z.2-a.json"
    for name in (old, new, "theirs.json"):
        (tmp_path / "done" / name).write_text("x")
        (tmp_path / "rejected" / name).write_text("x")
    assert spool.prune(now=NOW) == 1
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == sorted([new, "theirs.json"])
    assert (spool.count("done"), spool.count("rejected")) == (2, 3)
    assert spool.prune(now=NOW + timedelta(days=30)) == 1


# ---- a writer that is not done ------------------------------------------------------------------------------------
def foreign(fd: int) -> bool | None:
    """What the kernel says of another user's file."""
    return None if fd else False


@pytest.fixture
def leases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr("notifier.intake.drop.inspect_file.has_writer", foreign)
        monkeypatch.setattr("notifier.intake.drop.spool.has_writer", foreign)
    return bool(request.param)


async def passes(box: Box, seconds: float) -> None:
    """The daemon looks around for so long."""
    until = anyio.current_time() + seconds
    while anyio.current_time() < until:
        box.wakeup.notify()
        await anyio.sleep(0.01)


@pytest.mark.parametrize("leases", [True, False], ids=["ours", "theirs"], indirect=True)
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("x.txt", ["a\n", "b\n"]),
        ("x.txt", ["755f9bbb-d99b", "-4880-992b-f05244ddba61\n"]),
        ("x.yaml", ["- id: one\n", "- id: two\n"]),
        ("x.yaml", ["- id: on", "e\n"]),
        ("x.json", ['[{"id": "one"}]', "\n\n"]),
        ("x.json", ['{"id": "one"}', " "]),
        ("x.txt", ["", "a\n"]),
    ],
)
async def test_a_file_is_taken_once_its_writer_closed_it(
    tmp_path: Path, name: str, parts: list[str], *, leases: bool
) -> None:
    """However long it rests in between, nothing of it is registered before; then all of it, in one file."""
    del leases
    async with drop_box(tmp_path / "d", settle=0.03) as box:
        with (box.path / name).open("w") as file:
            for part in parts:
                file.write(part)
                file.flush()
                await passes(box, 0.06)
                assert (box.registrar.tries, box.here()) == (0, [name])
        await box.until_moved("done", name)
        (kept,) = (box.path / "done").iterdir()
        assert kept.read_text() == "".join(parts)
        assert len(box.registrar.sources) == 1


async def test_a_file_that_is_still_written_when_notifier_starts_is_waited_for(tmp_path: Path) -> None:
    """No event says so; the kernel does."""
    path = tmp_path / "d"
    path.mkdir()
    with (path / "x.txt").open("w") as file:
        file.write("a\n")
        file.flush()
        async with drop_box(path, settle=0.03) as box:
            await passes(box, 0.1)
            assert box.registrar.tries == 0
            file.write("b\n")
            file.close()
            assert await box.registrar.registered(2) == ["a", "b"]


async def test_a_file_of_which_nobody_can_say_rests_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's, found at the start: whoever still writes has ten times the settling time from line to line."""
    monkeypatch.setattr("notifier.intake.drop.inspect_file.has_writer", foreign)
    path = tmp_path / "d"
    path.mkdir()
    (path / "x.txt").write_text("a\n")
    async with drop_box(path, start=False) as box:
        waiting, spool = Waiting(), Spool(str(path))
        try:
            seen = [inspect_file(spool, "x.txt", waiting, KNOWN, now=now, settle=1.0) for now in (0.0, 1.5, 9.5)]
            assert seen == [Nothing.INCOMPLETE] * 3
            last = inspect_file(spool, "x.txt", waiting, KNOWN, now=10.5, settle=1.0)
            assert isinstance(last, Complete)
            assert last.fd is not None
            os.close(last.fd)
        finally:
            spool.close()
        assert box.registrar.tries == 0


@pytest.mark.parametrize("leases", [True, False], ids=["ours", "theirs"], indirect=True)
async def test_a_writer_that_never_closes_is_not_waited_for_for_ever(tmp_path: Path, *, leases: bool) -> None:
    """After sixty times the settling time without change it is taken, and that is logged."""
    del leases
    async with drop_box(tmp_path / "d", settle=0.004) as box:
        with capture_logs() as logs, (box.path / "x.txt").open("w") as file:
            file.write("a\n")
            file.flush()
            assert await box.registrar.registered(1) == ["a"]
            await box.until_moved("done", "x.txt")
            with anyio.fail_after(20):
                while not logs:  # noqa: ASYNC110  a log sets no event
                    await anyio.sleep(0.005)
        (said,) = (log for log in logs if log["event"] == "drop.accepted")
        assert "kept it open for a minute" in said["note"]


async def test_half_a_line_of_a_writer_that_never_closes_is_refused(tmp_path: Path) -> None:
    """It may be half an ID, so it is not watched; the sentence says what to do."""
    async with drop_box(tmp_path / "d", settle=0.004) as box:
        with (box.path / "x.txt").open("w") as file:
            file.write("a\n755f9bbb")
            file.flush()
            assert "its last line has no end: it may be half an ID. Close the file" in await box.why("x.txt")
        assert box.registrar.tries == 0


@pytest.mark.parametrize("leases", [True, False], ids=["ours", "theirs"], indirect=True)
@pytest.mark.parametrize("first", ["a\n", ""])
async def test_renamed_in_while_it_is_still_written_is_not_complete(
    tmp_path: Path, first: str, *, leases: bool
) -> None:
    """`mv` of a file that a program holds open: what it writes after the rename belongs to it."""
    del leases
    async with drop_box(tmp_path / "d", settle=0.03) as box:
        with (box.path / "x.tmp").open("w") as file:
            file.write(first)
            file.flush()
            (box.path / "x.tmp").rename(box.path / "x.txt")
            await passes(box, 0.1)
            assert box.registrar.tries == 0
            file.write("b\n")
            file.flush()
            await passes(box, 0.1)
        assert await box.registrar.registered(len(first.split()) + 1) == [*first.split(), "b"]


async def test_a_mapped_file_is_still_written(tmp_path: Path) -> None:
    """A program that closed its descriptor, and writes through memory: no event tells of that."""
    async with drop_box(tmp_path / "d", settle=0.03) as box:
        with (box.path / "x.txt").open("w+b") as file:
            file.write(b"a" * 8 + b"\n")
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0)
        await passes(box, 0.1)
        assert box.registrar.tries == 0
        mapped[4:8] = b"bbbb"
        mapped.close()
        assert await box.registrar.registered(1) == ["aaaabbbb"]


async def test_a_writer_that_comes_while_the_file_is_registered_is_noticed_after_the_move(tmp_path: Path) -> None:
    """It has written nothing yet: the file is put back, and taken again once it is closed."""
    async with drop_box(tmp_path / "d", settle=0.03) as box:
        box.registrar.before = anyio.Event()
        path = box.rename_in("a.txt", "one\n")
        await box.registrar.tried(1)
        with capture_logs() as logs, path.open("a") as file:
            box.registrar.before.set()
            with anyio.fail_after(20):
                while not any(log["event"] == "drop.returned" for log in logs):  # noqa: ASYNC110  a log sets no event
                    await anyio.sleep(0.005)
            file.write("two\n")
        assert await box.registrar.registered(3) == ["one", "one", "two"]
        await box.until_moved("done", "a.txt")


# ---- turns --------------------------------------------------------------------------------------------------------
async def test_large_files_do_not_stop_small_ones(tmp_path: Path) -> None:
    """Two that take for ever, noticed first of all: small ones are through meanwhile, and the large ones one by one."""
    async with drop_box(tmp_path / "d", settle=NEVER) as box:
        box.registrar.holding = {"a", "b"}
        for name in ("a", "b"):
            box.rename_in(f"{name}.txt", f"{name}\n" + "#" * 300_000)
        await box.registrar.tried(1)
        for number in range(50):
            box.rename_in(f"{number:02}.json", json.dumps({"id": f"id{number}"}))
        await box.until_moved("done", *(f"{number:02}.json" for number in range(50)))
        assert box.here() == ["a.txt", "b.txt"]
        box.registrar.released.set()
        await box.until_moved("done", *(f"{number:02}.json" for number in range(50)), "a.txt", "b.txt")
        assert box.registrar.ids[-2:] == ["a", "b"]


async def test_a_large_file_that_changes_while_it_waits_for_its_turn_is_read_as_it_is(tmp_path: Path) -> None:
    """What happened to it meanwhile is not forgotten."""
    async with drop_box(tmp_path / "d", settle=0.03) as box:
        box.registrar.holding = {"a"}
        box.rename_in("a.txt", "a\n" + "#" * 300_000)
        await box.registrar.tried(1)
        waits = box.rename_in("b.txt", "b\n" + "#" * 300_000)
        await passes(box, 0.1)
        with waits.open("a") as file:
            file.write("\nc\n")
            file.flush()
            box.registrar.released.set()
            await box.until_moved("done", "a.txt")
            await passes(box, 0.1)
            assert box.registrar.ids == ["a"]
        assert await box.registrar.registered(3) == ["a", "b", "c"]


# ---- what comes afterwards ----------------------------------------------------------------------------------------
def opened_before_its_rename(box: Box) -> TextIO:
    (box.path / "x.tmp").write_text("a\n")
    file = (box.path / "x.tmp").open("a")
    (box.path / "x.tmp").rename(box.path / "x.txt")
    return file


def kept_open(box: Box) -> TextIO:
    file = (box.path / "x.txt").open("a")
    file.write("a\n")
    file.flush()
    return file


def opened_in_done(box: Box) -> TextIO | None:
    box.rename_in("x.txt", "a\n")
    return None


@pytest.mark.parametrize("leases", [False], ids=["theirs"], indirect=True)
@pytest.mark.parametrize("begin", [opened_before_its_rename, kept_open, opened_in_done])
async def test_what_is_written_to_an_accepted_file_is_logged(
    tmp_path: Path, begin: Callable[[Box], TextIO | None], *, leases: bool
) -> None:
    """Nobody could know that its writer was not done. It is not read, and that is logged, once."""
    del leases
    async with drop_box(tmp_path / "d", settle=0.004) as box:
        file = begin(box)
        await box.until_moved("done", "x.txt")
        (there,) = (box.path / "done").iterdir()
        with capture_logs() as logs, file or there.open("a") as late:
            for line in ("b\n", "c\n"):
                late.write(line)
                late.flush()
                with anyio.fail_after(20):
                    while not any(log["event"] == "drop.changed" for log in logs):  # noqa: ASYNC110  a log sets no event
                        await anyio.sleep(0.005)
            await passes(box, 0.05)
        (said,) = (log for log in logs if log["event"] == "drop.changed")
        assert said["file"] == f"done/{there.name}"
        assert "what it wrote is not watched" in said["note"]
        assert box.registrar.ids == ["a"]


@pytest.mark.parametrize("name", ["tmp.aB3dE5gH7j", "rmlpX0Eq", "upload"])
async def test_an_empty_file_of_no_kind_is_given_time(tmp_path: Path, name: str) -> None:
    """`mktemp` makes such a file, closes it, and whoever called it has not written yet."""
    async with drop_box(tmp_path / "d", settle=0.03) as box:
        (box.path / name).touch()
        await passes(box, 0.1)
        assert box.here() == [name]
        (box.path / name).write_text("a\n")
        (box.path / name).rename(box.path / "x.txt")
        assert await box.registrar.registered(1) == ["a"]
        (box.path / name).touch()
        assert "What kind of file is this?" in await box.why(name)


@pytest.mark.parametrize("name", ["tmp.aB3dE5gH7j", "x.yaml", "x.json"])
async def test_a_file_settles_from_its_close_on(tmp_path: Path, name: str) -> None:
    """However long it was kept open before: whoever closed it may be about to rename it."""
    async with drop_box(tmp_path / "d", settle=0.4) as box:
        with (box.path / name).open("w") as file:
            file.write("[")
            file.flush()
            await passes(box, 0.5)
        await passes(box, 0.1)
        assert box.here() == [name]
        (box.path / name).write_text("a\n")
        (box.path / name).rename(box.path / "x.txt")
        assert await box.registrar.registered(1) == ["a"]
        assert not box.moved("rejected")


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
async def test_files_that_cannot_be_opened_for_want_of_descriptors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """It is said of the directory, not of each file; and they are read as soon as there are some."""

    def short(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    async with drop_box(tmp_path / "d", settle=0.03) as box:
        with capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(Spool, "open", short)
            for number in range(5):
                box.rename_in(f"{number}.txt", f"g{number}\n")
            with anyio.fail_after(20):
                while not logs:  # noqa: ASYNC110  a log sets no event
                    await anyio.sleep(0.005)
            await anyio.sleep(0.1)  # several looks at each
        assert len(logs) == 1, logs
        said = logs[0]
        assert (said["event"], said["file"]) == ("drop.unreadable", str(box.path))
        assert "too many files are open" in said["help"]
        assert sorted(await box.registrar.registered(5)) == [f"g{number}" for number in range(5)]
