"""Dropped files that are made to do harm, or meet a file system that fails: a clear reason each, the rest goes on."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from notifier.intake.drop.acceptance import move_all
from notifier.intake.drop.inspect_file import Complete, Waiting, inspect_file
from notifier.intake.drop.spool import Spool
from notifier.intake.parse import MAX_BYTES
from tests.support.drop_rig import KNOWN, Box, drop_box
from tests.support.raw_server import held_below

NOW = datetime(2026, 11, 22, 5, 14, 0, 123456, tzinfo=UTC)


async def goes_on(box: Box) -> None:
    """A good file that comes now is taken."""
    count = len(box.registrar.ids)
    box.rename_in(f"good-{count}.json", f'{{"id": "good-{count}"}}')
    assert (await box.registrar.registered(count + 1))[-1] == f"good-{count}"


# ---- contents -----------------------------------------------------------------------------------------------------
LAUGHS = "a: &a [x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
ID = '{"id": "one"}'


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "laughs.yaml",
            LAUGHS.encode(),
            (
                "line 2: b[0]: Aliases (*name) are not supported; write the value out. "
                "Text that begins with * goes in quotes."
            ),
        ),
        ("deep.json", b"[" * 100_000, "Lists and objects are more than 64 deep."),
        ("deep.yaml", b"[" * 100_000, "Lists and mappings are more than 64 deep here."),
        ("deep.yml", b"- " * 100_000, "Lists and mappings are more than 64 deep here."),
        ("tags.yaml", b"%TAG !a! b\n" * 100_000, "line 17: More than 16 lines begin with %, as directives do;"),
        (
            "digits.yaml",
            b"id: " + b"0123" * 500_000,
            "is read as different numbers by different YAML parsers; quote it",
        ),
        ("utf16.json", ID.encode("utf-16"), "line 1: The file is UTF-16 or UTF-32. Save it as UTF-8."),
        ("utf32.yaml", ID.encode("utf-32-be"), "line 1: The file holds NUL bytes, as UTF-16 does. Save it as UTF-8."),
        (
            "utf16.txt",
            "one\n".encode("utf-16-be"),
            "line 1: The file holds NUL bytes, as UTF-16 does. Save it as UTF-8.",
        ),
        ("bare.json", ID.encode("utf-16-le"), "line 1: The file holds NUL bytes, as UTF-16 does. Save it as UTF-8."),
        ("nul.yaml", b"id: one\n\0\n", "line 2: The file holds NUL bytes, as UTF-16 does. Save it as UTF-8."),
        ("latin1.yaml", "id: one\n# é\n".encode("latin-1"), "line 2: Byte 0xe9 is not UTF-8. Save the file as UTF-8."),
        ("latin1.txt", "é\n".encode("latin-1"), "line 1: Byte 0xe9 is not UTF-8. Save the file as UTF-8."),
        ("escape.json", b'{"id": "\\u001b[31m"}', '"\\x1b[31m" is not an ID: 1 to 256 printable ASCII characters.'),
        ("page.json", b"<html>", "line 1: Not JSON: Expecting value (column 1)."),
        ("blank.json", b" \n", "Not JSON: Expecting value"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
async def test_a_harmful_content_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    """In one line that can be shown, at little cost; a good file after it is taken."""
    async with drop_box(tmp_path / "d", settle=0.02) as box:
        with held_below(16 * len(content) + 2**21):
            (box.path / name).write_bytes(content)
            why = await box.why(name)
        assert words in why
        assert all(line.isprintable() for line in why.splitlines())
        assert box.registrar.tries == 0
        await goes_on(box)


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".txt"])
async def test_no_more_of_a_file_is_read_than_may_be(tmp_path: Path, suffix: str) -> None:
    """A file of 1 GiB, sparse so that it costs its sender nothing, costs us the limit at most."""
    async with drop_box(tmp_path / "d", settle=0.02) as box:
        with held_below(3 * MAX_BYTES):
            with (box.path / "huge.tmp").open("wb") as file:
                file.truncate(2**30)
            (box.path / "huge.tmp").rename(box.path / f"huge{suffix}")
            assert "larger than 16 MiB; split it" in await box.why(f"huge{suffix}")
        await goes_on(box)


# ---- what is no file ----------------------------------------------------------------------------------------------
async def test_what_is_no_regular_file_is_refused_unopened(tmp_path: Path) -> None:
    """A socket, a device, a FIFO and a link that leads nowhere; a directory is nobody's mistake, and stays."""
    async with drop_box(tmp_path / "d", settle=0.02) as box:
        names = ["socket.json", "fifo.json"]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(box.path / "socket.json"))
        os.mkfifo(box.path / "fifo.json")
        (box.path / "nowhere.json").symlink_to(tmp_path / "nothing")
        (box.path / "folder.json").mkdir()
        if os.geteuid() == 0:
            try:
                os.mknod(box.path / "zero.json", 0o600 | 0o020000, os.makedev(1, 5))
                names.append("zero.json")
            except PermissionError:  # not in this container
                pass
        for name in names:
            assert "This is not a regular file." in await box.why(name)
        assert "symbolic link" in await box.why("nowhere.json")
        await goes_on(box)
        await box.until_moved("done", "good-0.json")
        assert box.here() == ["folder.json"]


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.csv",
        "\x1b]0;title\x07.csv",
        "\u202egnp.csv",
        "x" * 251 + ".csv",
        "é" * 125 + ".csv",
        os.fsdecode(b"\xff" * 251 + b".csv"),
        "-rf.csv",
        "a.error",
        "a.json.error",
        " ",
        "%s%n.csv",
        "…",
    ],
    ids=ascii,
)
async def test_a_refused_name_is_shown_harmlessly(tmp_path: Path, name: str) -> None:
    """Its .error file is beside it under a name that fits, and no line end or escape of it reaches a terminal."""
    async with drop_box(tmp_path / "d", settle=0.02) as box:
        with capture_logs() as logs:
            (box.path / name).write_bytes(b"x")
            await goes_on(box)
            with anyio.fail_after(20):
                while box.here() or not logs or logs[-1]["event"] != "drop.rejected":  # noqa: ASYNC110  a file system sets no event
                    await anyio.sleep(0.005)
        kept, error = sorted((box.path / "rejected").iterdir(), key=lambda path: len(os.fsencode(path)))
        assert error.name == f"{kept.name}.error"
        assert kept.read_bytes() == b"x"
        assert all(line.isprintable() for line in error.read_text().splitlines())
        (told,) = (log for log in logs if log["event"] == "drop.rejected")
        assert told["file"].isprintable()
        assert told["to"].isprintable()


# ---- files that move under our eyes -------------------------------------------------------------------------------
async def test_a_file_that_is_written_again_and_again_is_read_as_it_was_left(tmp_path: Path) -> None:
    """Whatever was seen of it in between was whole, and the last content is registered in the end."""
    async with drop_box(tmp_path / "d", settle=0.05) as box:

        def storm() -> None:
            for number in range(300):
                whole = "".join(f"- id: id{number}-{part}\n" for part in range(50))
                with (box.path / "a.yaml").open("w") as file:  # in place, cut to nothing before
                    file.write(whole)

        writer = threading.Thread(target=storm)
        writer.start()
        last = {f"id299-{part}" for part in range(50)}
        with anyio.fail_after(20):
            while not last <= set(box.registrar.ids):  # noqa: ASYNC110  another thread and a file system set no event
                await anyio.sleep(0.005)
        await anyio.to_thread.run_sync(writer.join)
        assert len(box.registrar.ids) % 50 == 0
        assert box.moved("rejected") == []
        await goes_on(box)


async def test_files_that_vanish_are_forgotten(tmp_path: Path) -> None:
    """Before they are read, or between their commit and their move: what was committed stays so, and that is logged."""
    async with drop_box(tmp_path / "d", settle=0.05) as box:
        (box.path / "gone.yaml").write_text("id: never")
        (box.path / "gone.yaml").unlink()
        box.registrar.before = anyio.Event()
        with capture_logs() as logs:
            late = box.rename_in("late.json", '{"id": "late"}')
            await box.registrar.tried(1)
            late.unlink()
            box.registrar.before.set()
            assert await box.registrar.registered(1) == ["late"]
            await goes_on(box)
        (told,) = (log for log in logs if log["event"] == "drop.stuck")
        assert (told["file"], told["why"]) == ("late.json", "no such file or directory")


# ---- a file system that fails -------------------------------------------------------------------------------------
@contextmanager
def no_room_for_files() -> Iterator[None]:
    """Not a byte can be written to any file by this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_a_refused_file_where_it_is(tmp_path: Path) -> None:
    """Its reason cannot be written, so it is not moved; no half of an .error file is left, and later it goes."""
    tmp_path.chmod(0o770)
    spool = Spool(str(tmp_path))
    try:
        (tmp_path / "bad.json").write_text("[1]")
        (tmp_path / "good.json").write_text(ID)
        for name, room in (("bad.json", False), ("good.json", False), ("bad.json", True)):
            one = inspect_file(spool, name, Waiting(renamed=True), KNOWN, now=0.0, settle=1.0)
            assert isinstance(one, Complete)
            if room:
                (moved,) = move_all(spool, [(one, one.faults)], NOW)
            else:
                with no_room_for_files():
                    (moved,) = move_all(spool, [(one, one.faults)], NOW)
            assert isinstance(moved, OSError) == (name == "bad.json" and not room)
            assert one.fd is not None
            os.close(one.fd)
            assert len(list((tmp_path / "rejected").iterdir())) == (2 if room else 0)
    finally:
        spool.close()
    assert not (tmp_path / "good.json").exists()


async def test_files_that_cannot_be_moved_stop_no_watch(tmp_path: Path) -> None:
    """A full disk under rejected/: the file stays, is logged once, readiness says why; later it goes."""
    async with drop_box(tmp_path / "d", settle=0.01) as box:
        with capture_logs() as logs:
            with no_room_for_files():
                (box.path / "bad.json").touch()  # nothing can be written into it, either
                box.wakeup.notify()
                with anyio.fail_after(20):
                    while not box.drop.troubles():  # noqa: ASYNC110  a file system sets no event
                        await anyio.sleep(0.005)
                for _ in range(3):
                    box.wakeup.notify()
                    await anyio.sleep(0.02)
            assert box.drop.troubles() == {"drop": "bad.json cannot be moved away: file too large"}
            box.wakeup.notify()
            assert "Not JSON" in await box.why("bad.json")
        assert len([log for log in logs if log["event"] == "drop.stuck"]) == 1
        await goes_on(box)
        assert box.drop.troubles() == {}
