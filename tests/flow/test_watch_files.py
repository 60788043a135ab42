"""Watch files on a real file system, with a registrar's port of the tests' own."""

import ctypes
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from notifier.domain.errors import Fault, InvalidWatch, StoreUnavailable
from notifier.domain.ids import WatchId
from notifier.domain.model import Outcome, Registration, WatchRequest
from notifier.intake.watch_files import WatchFiles
from notifier.runtime.wakeup import Wakeup
from tests.support.drop_rig import KNOWN
from tests.support.other_user import run_as_other_user


class Registrar:
    """Keeps what was registered, by source."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], bool]] = []
        self.transactions = 0
        self.refusing: set[str] = set()
        self.shut = False

    async def register(
        self, requests: Sequence[WatchRequest], *, source: str, keep_first: bool = False, origins: Sequence[str] = ()
    ) -> list[Registration]:
        if self.shut:
            raise StoreUnavailable("the disk is full")
        if self.refusing.intersection(request.generation for request in requests):
            raise InvalidWatch([Fault(path="[0]", message="This watch is refused.")])
        self.transactions += 1
        assert source.startswith(origins[0])
        for path, some in groupby(zip(origins, requests, strict=True), key=itemgetter(0)):
            self.calls.append((Path(path).name, [request.generation for _, request in some], keep_first))
        return [
            Registration(watch_id=WatchId(f"wch_{request.generation}"), outcome=Outcome.CREATED, open=None)
            for request in requests
        ]

    async def until(self, done: Callable[[], bool]) -> None:
        with anyio.fail_after(20):
            while not done():  # noqa: ASYNC110  a file system sets no event
                await anyio.sleep(0.01)


class Watched:
    """A directory of watch files that is watched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registrar = Registrar()
        self.wakeup = Wakeup()
        self.known = KNOWN
        self.files = WatchFiles(
            [f"{path}/*.yaml", f"{path}/*.json"], self.registrar, lambda: self.known, wakeup=self.wakeup
        )

    def write(self, name: str, text: str) -> None:
        temporary = self.path / f".{name}"
        temporary.write_text(text)
        temporary.rename(self.path / name)


@asynccontextmanager
async def watched(path: Path, **texts: str) -> AsyncIterator[Watched]:
    it = Watched(path)
    for name, text in texts.items():
        it.write(f"{name}.yaml", text)
    async with anyio.create_task_group() as tasks:
        await tasks.start(it.files.run)
        yield it
        tasks.cancel_scope.cancel()


async def test_every_file_is_read_before_it_counts_as_started(tmp_path: Path) -> None:
    """Declared watches are registered with the first content kept, file by file."""
    async with watched(tmp_path, b="- id: three", a="- id: one\n- id: two\n", c="# nothing yet") as it:
        assert it.registrar.calls == [("a.yaml", ["one", "two"], True), ("b.yaml", ["three"], True)]
        assert it.files.troubles() == {}
        assert len(it.files.declared()) == 3


async def test_what_is_declared_is_complete_only_once_every_file_is_known(tmp_path: Path) -> None:
    """Not before they were read, not while one is skipped for a fault, and not while one waits for the store."""
    assert Watched(tmp_path).files.incomplete
    async with watched(tmp_path, a="- id: one", b="- id: [") as it:
        assert it.files.incomplete
        it.write("b.yaml", "- id: two")
        await it.registrar.until(lambda: not it.files.incomplete)
        it.registrar.shut = True
        it.write("a.yaml", "- id: three")
        await it.registrar.until(lambda: it.files.incomplete)
        it.registrar.shut = False
        it.wakeup.notify()
        await it.registrar.until(lambda: not it.files.incomplete)
        assert it.files.troubles() == {}


async def test_a_changed_or_new_file_is_read_again_and_others_are_not(tmp_path: Path) -> None:
    """A change is noticed by itself."""
    async with watched(tmp_path, a="- id: one", b="- id: two") as it:
        it.write("a.yaml", "- id: one\n- id: more\n")
        it.write("c.json", '[{"id": "three"}]')
        await it.registrar.until(lambda: len(it.registrar.calls) >= 4)
        assert sorted(it.registrar.calls[2:]) == [("a.yaml", ["one", "more"], True), ("c.json", ["three"], True)]


async def test_a_directory_that_comes_later_tells_of_its_changes(tmp_path: Path) -> None:
    """Once a rescan found it; also one that took another's place, under its name or behind a link."""
    async with watched(tmp_path / "d") as it:
        for number in range(2):
            it.path.mkdir()
            it.wakeup.notify()
            await it.files.read_all()
            it.write("a.yaml", f"- id: made-{number}")
            await it.registrar.until(lambda: len(it.registrar.calls) == number + 1)  # noqa: B023  awaited in this turn
            shutil.rmtree(it.path)
            await it.registrar.until(lambda: not it.files.declared())
        for number in range(2):
            (tmp_path / f"target-{number}").mkdir()
            (tmp_path / "link").symlink_to(tmp_path / f"target-{number}")
            (tmp_path / "link").rename(it.path)
            await it.files.read_all()
            it.write("a.yaml", f"- id: linked-{number}")
            await it.registrar.until(lambda: len(it.registrar.calls) == number + 3)  # noqa: B023  awaited in this turn


class NoneLeft:
    """The C library of a user who has no inotify instance left, or no watch."""

    def __init__(self, name: str) -> None:
        self._name, self._libc = name, ctypes.CDLL(None, use_errno=True)

    def __call__(self, name: None, *, use_errno: bool) -> "NoneLeft":
        del name, use_errno
        return self

    def __getattr__(self, name: str) -> Callable[..., int]:
        return self._refuse if name == self._name else getattr(self._libc, name)

    @staticmethod
    def _refuse(*_: object) -> int:
        ctypes.set_errno(errno.ENOSPC)
        return -1


@pytest.mark.parametrize("name", ["inotify_init1", "inotify_add_watch"])
async def test_without_inotify_the_rescan_finds_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its limit is named with its cure, once."""
    monkeypatch.setattr("ctypes.CDLL", NoneLeft(name))
    with capture_logs() as logs:
        async with watched(tmp_path, a="- id: one") as it:
            for number in range(3):
                it.write("a.yaml", f"- id: next-{number}")
                it.wakeup.notify()
                await it.registrar.until(lambda: len(it.registrar.calls) == number + 2)  # noqa: B023  awaited in this turn
    (told,) = (log for log in logs if log["event"] == "inotify.unavailable")
    assert told["source"] == "watch_files"
    assert "fs.inotify.max_user_watches" in told["why"]


async def test_a_faulty_file_is_skipped_whole_and_said(tmp_path: Path) -> None:
    """All its faults are logged, readiness can tell, and a correction ends it."""
    with capture_logs() as logs:
        async with watched(tmp_path, a="- id: one\n- id: 0123\n- {id: x, stat: y}\n", b="- id: two") as it:
            assert it.registrar.calls == [("b.yaml", ["two"], True)]
            assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml"]
            (told,) = (log for log in logs if log["event"] == "watch_file.skipped")
            assert told["count"] == 2
            assert told["faults"][1] == (
                f'{tmp_path}/a.yaml:3: [2].stat: "stat" is not a part of a watch. Did you mean "state"?'
            )
            it.write("a.yaml", "- id: one")
            await it.registrar.until(lambda: len(it.registrar.calls) == 2)
            await it.registrar.until(lambda: it.files.troubles() == {})


async def test_a_watch_that_is_taken_out_is_not_cancelled_and_that_is_said_once(tmp_path: Path) -> None:
    """Neither where its line goes nor where the file goes; but not if it is in another file."""
    with capture_logs() as logs:
        async with watched(tmp_path, a="- id: one\n- id: two\n- id: both\n", b="- id: both") as it:
            it.write("a.yaml", "- id: one")
            await it.registrar.until(lambda: len(it.registrar.calls) == 3)
            (tmp_path / "a.yaml").unlink()
            it.wakeup.notify()
            await it.registrar.until(lambda: len(it.files.declared()) == 1)
    assert [log["generation"] for log in logs if log["event"] == "watch.undeclared"] == ["two", "one"]


async def test_a_faulty_change_undeclares_nothing(tmp_path: Path) -> None:
    """While a file cannot be read, what it declared before still counts."""
    with capture_logs() as logs:
        async with watched(tmp_path, a="- id: one") as it:
            it.write("a.yaml", "- id: [")
            await it.registrar.until(lambda: it.files.troubles() != {})
            assert len(it.files.declared()) == 1
    assert not [log for log in logs if log["event"] == "watch.undeclared"]


async def test_files_wait_for_a_store_that_cannot_write(tmp_path: Path) -> None:
    """They are read again until it can, and are not called faulty."""
    async with watched(tmp_path) as it:
        it.registrar.shut = True
        with capture_logs() as logs:
            it.write("a.yaml", "- id: one")
            await it.registrar.until(lambda: bool(logs))
        assert [log["event"] for log in logs] == ["store.unavailable"]
        assert it.files.troubles() == {}
        it.registrar.shut = False
        await it.registrar.until(lambda: it.registrar.calls == [("a.yaml", ["one"], True)])


async def test_other_configuration_makes_the_same_text_mean_more(tmp_path: Path) -> None:
    """After a reload, files are judged by the names that are configured now."""
    async with watched(tmp_path, a="- {id: one, notify: lab}") as it:
        assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml"]
        it.known = replace(KNOWN, endpoints=["studio", "lab"])
        it.wakeup.notify()
        await it.registrar.until(lambda: it.registrar.calls == [("a.yaml", ["one"], True)])
        await it.registrar.until(lambda: it.files.troubles() == {})


async def test_what_is_no_file_does_not_stop_anything(tmp_path: Path) -> None:
    """A FIFO, a directory and a dangling link among them are skipped."""
    os.mkfifo(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").mkdir()
    (tmp_path / "c.yaml").symlink_to(tmp_path / "nowhere")
    async with watched(tmp_path, d="- id: one") as it:
        assert it.registrar.calls == [("d.yaml", ["one"], True)]
        assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml", f"{tmp_path}/c.yaml"]


async def test_many_files_are_one_transaction_and_one_line(tmp_path: Path) -> None:
    """Also what is taken out of them: a few by name, and how many more."""
    texts = {f"f{number:03}": f"- id: a{number}\n- id: b{number}\n" for number in range(300)}
    with capture_logs() as logs:
        async with watched(tmp_path, **texts) as it:
            assert len(it.registrar.calls) == 300
            assert it.registrar.transactions == 1
            assert len(it.files.declared()) == 600
            for name in texts:
                (tmp_path / f"{name}.yaml").unlink()
            it.wakeup.notify()
            await it.registrar.until(lambda: it.files.declared() == set())
    (told,) = (log for log in logs if log["event"] == "watch_file.read" and log["log_level"] == "info")
    assert (told["files"], told["watches"]) == (300, 600)
    gone = [log for log in logs if log["event"] == "watch.undeclared"]
    assert len(gone) == 21
    assert gone[-1]["count"] == 580


async def test_a_watch_that_moves_to_another_file_was_not_taken_out(tmp_path: Path) -> None:
    """Neither to an earlier nor to a later one, as long as both are read in one look."""
    with capture_logs() as logs:
        async with watched(tmp_path, a="- id: one\n", b="- id: two\n- id: three") as it:
            it.write("a.yaml", "- id: two")
            it.write("b.yaml", "- id: one\n- id: three")
            await it.files.read_all()
            assert len(it.files.declared()) == 3
    assert not [log for log in logs if log["event"] == "watch.undeclared"]


async def test_a_refused_file_among_many_is_found(tmp_path: Path) -> None:
    """Files that are registered together and refused are registered one by one."""
    async with watched(tmp_path) as it:
        it.registrar.refusing = {"two"}
        for name, id_ in (("a", "one"), ("b", "two"), ("c", "three")):
            it.write(f"{name}.yaml", f"- id: {id_}")
        await it.files.read_all()
        assert sorted(it.registrar.calls) == [("a.yaml", ["one"], True), ("c.yaml", ["three"], True)]
        assert list(it.files.troubles()) == [f"{tmp_path}/b.yaml"]


async def test_what_cannot_be_looked_at_stops_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    """A link that is too long, or leads in a circle: degraded, incomplete, said once; nothing is taken out yet."""
    with capture_logs() as logs:
        async with watched(tmp_path, a="- id: one", b="- id: two") as it:
            (tmp_path / "c.yaml").symlink_to("x" * 300)
            (tmp_path / "a.yaml").unlink()
            (tmp_path / "a.yaml").symlink_to("a.yaml")
            (tmp_path / "b.yaml").unlink()
            for _ in range(3):
                await it.files.read_all()
            assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml", f"{tmp_path}/c.yaml"]
            assert "longer than the system allows" in it.files.troubles()[f"{tmp_path}/c.yaml"]
            assert it.files.incomplete
            assert len(it.files.declared()) == 2
            assert [log["file"] for log in logs if log["event"] == "watch_file.skipped"] == [
                f"{tmp_path}/a.yaml",
                f"{tmp_path}/c.yaml",
            ]
            (tmp_path / "c.yaml").unlink()
            it.write("a.yaml", "- id: one")
            await it.files.read_all()
            await it.registrar.until(lambda: not it.files.incomplete)
            assert it.files.troubles() == {}
            assert len(it.files.declared()) == 1


SHUT = """
import pytest
from tests.flow.test_watch_files import watched

async def main(root):
    place = root / "watches.d"
    place.mkdir()
    async with watched(place, a="- id: one", b="- id: two") as it:
        for mode, many in ((0o644, 2), (0o311, 1), (0, 1)):
            place.chmod(mode)
            await it.files.read_all()
            await it.files.read_all()
            assert it.files.incomplete and len(it.files.declared()) == 2, mode
            assert len(it.files.troubles()) == many, (mode, it.files.troubles())
            print(oct(mode), *it.files.troubles().values(), sep="|", file=sys.stderr)
            place.chmod(0o755)
            await it.files.read_all()
            assert not it.files.incomplete and it.files.troubles() == {}
        shut = root / "shut"
        shut.mkdir()
        (shut / "c.yaml").write_text("- id: three")
        (place / "c.yaml").symlink_to(shut / "c.yaml")
        shut.chmod(0)
        await it.files.read_all()
        assert it.files.incomplete and len(it.registrar.calls) == 2
        print(*it.files.troubles().values(), file=sys.stderr)
        shut.chmod(0o755)
        await it.files.read_all()
        assert it.registrar.calls[-1] == ("c.yaml", ["three"], True)
"""


def test_a_directory_that_is_shut_is_not_an_empty_one() -> None:
    """Not entered, not listed, or a link into one: what was declared stays, and the reason names what is shut."""
    lines = run_as_other_user(SHUT)
    assert "cannot be looked at: this user may not enter /" in lines[0]
    assert lines[0].endswith("/watches.d")
    assert lines[1:3] == ["0o311|cannot be listed: permission denied", "0o0|cannot be listed: permission denied"]
    assert lines[3] == "cannot be looked at: its link leads into a directory that this user may not enter"
