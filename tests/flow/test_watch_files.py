"""Watch files on a real file system, with a registrar's port of the tests' own."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import anyio
import pytest
from drop_door import KNOWN
from structlog.testing import capture_logs

from notifier.bell import Bell
from notifier.errors import StoreUnavailable
from notifier.ids import WatchId
from notifier.intake.sources import WatchFiles
from notifier.model import Outcome, Registration, WatchRequest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Door:
    """Keeps what was registered, by source."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], bool]] = []
        self.transactions = 0
        self.shut = False

    async def register(
        self, requests: Sequence[WatchRequest], *, source: str, keep_first: bool = False, origins: Sequence[str] = ()
    ) -> list[Registration]:
        if self.shut:
            raise StoreUnavailable("the disk is full")
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


class Desk:
    """A directory of watch files that is watched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.door = Door()
        self.bell = Bell()
        self.known = KNOWN
        self.files = WatchFiles([f"{path}/*.yaml", f"{path}/*.json"], self.door, lambda: self.known, bell=self.bell)

    def write(self, name: str, text: str) -> None:
        temporary = self.path / f".{name}"
        temporary.write_text(text)
        temporary.rename(self.path / name)


@asynccontextmanager
async def desk(path: Path, **texts: str) -> AsyncIterator[Desk]:
    desk = Desk(path)
    for name, text in texts.items():
        desk.write(f"{name}.yaml", text)
    async with anyio.create_task_group() as tasks:
        await tasks.start(desk.files.run)
        yield desk
        tasks.cancel_scope.cancel()


async def test_every_file_is_read_before_it_counts_as_started(tmp_path: Path) -> None:
    """Declared watches are registered with the first content kept, file by file."""
    async with desk(tmp_path, b="- id: three", a="- id: one\n- id: two\n", c="# nothing yet") as it:
        assert it.door.calls == [("a.yaml", ["one", "two"], True), ("b.yaml", ["three"], True)]
        assert it.files.troubles() == {}
        assert len(it.files.declared()) == 3


async def test_what_is_declared_is_complete_only_once_every_file_is_known(tmp_path: Path) -> None:
    """Not before they were read, not while one is skipped for a fault, and not while one waits for the store."""
    assert Desk(tmp_path).files.incomplete
    async with desk(tmp_path, a="- id: one", b="- id: [") as it:
        assert it.files.incomplete
        it.write("b.yaml", "- id: two")
        await it.door.until(lambda: not it.files.incomplete)
        it.door.shut = True
        it.write("a.yaml", "- id: three")
        await it.door.until(lambda: it.files.incomplete)
        it.door.shut = False
        it.bell.ring()
        await it.door.until(lambda: not it.files.incomplete)
        assert it.files.troubles() == {}


async def test_a_changed_or_new_file_is_read_again_and_others_are_not(tmp_path: Path) -> None:
    """A change is noticed by itself."""
    async with desk(tmp_path, a="- id: one", b="- id: two") as it:
        it.write("a.yaml", "- id: one\n- id: more\n")
        it.write("c.json", '[{"id": "three"}]')
        await it.door.until(lambda: len(it.door.calls) >= 4)
        assert sorted(it.door.calls[2:]) == [("a.yaml", ["one", "more"], True), ("c.json", ["three"], True)]


async def test_a_faulty_file_is_skipped_whole_and_said(tmp_path: Path) -> None:
    """All its faults are logged, readiness can tell, and a correction ends it."""
    with capture_logs() as logs:
        async with desk(tmp_path, a="- id: one\n- id: 0123\n- {id: x, stat: y}\n", b="- id: two") as it:
            assert it.door.calls == [("b.yaml", ["two"], True)]
            assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml"]
            (told,) = (log for log in logs if log["event"] == "watch_file.skipped")
            assert told["count"] == 2
            assert told["faults"][1] == (
                f'{tmp_path}/a.yaml:3: [2].stat: "stat" is not a part of a watch. Did you mean "state"?'
            )
            it.write("a.yaml", "- id: one")
            await it.door.until(lambda: len(it.door.calls) == 2)
            await it.door.until(lambda: it.files.troubles() == {})


async def test_a_watch_that_is_taken_out_is_not_cancelled_and_that_is_said_once(tmp_path: Path) -> None:
    """Neither where its line goes nor where the file goes; but not where it stands in another file."""
    with capture_logs() as logs:
        async with desk(tmp_path, a="- id: one\n- id: two\n- id: both\n", b="- id: both") as it:
            it.write("a.yaml", "- id: one")
            await it.door.until(lambda: len(it.door.calls) == 3)
            (tmp_path / "a.yaml").unlink()
            it.bell.ring()
            await it.door.until(lambda: len(it.files.declared()) == 1)
    assert [log["generation"] for log in logs if log["event"] == "watch.undeclared"] == ["two", "one"]


async def test_a_faulty_change_undeclares_nothing(tmp_path: Path) -> None:
    """While a file cannot be read, what it declared before still counts."""
    with capture_logs() as logs:
        async with desk(tmp_path, a="- id: one") as it:
            it.write("a.yaml", "- id: [")
            await it.door.until(lambda: it.files.troubles() != {})
            assert len(it.files.declared()) == 1
    assert not [log for log in logs if log["event"] == "watch.undeclared"]


async def test_files_wait_for_a_store_that_cannot_write(tmp_path: Path) -> None:
    """They are read again until it can, and are not called faulty."""
    async with desk(tmp_path) as it:
        it.door.shut = True
        with capture_logs() as logs:
            it.write("a.yaml", "- id: one")
            await it.door.until(lambda: bool(logs))
        assert [log["event"] for log in logs] == ["store.unavailable"]
        assert it.files.troubles() == {}
        it.door.shut = False
        await it.door.until(lambda: it.door.calls == [("a.yaml", ["one"], True)])


async def test_other_configuration_makes_the_same_text_mean_more(tmp_path: Path) -> None:
    """After a reload, files are judged by the names that are configured now."""
    async with desk(tmp_path, a="- {id: one, notify: lab}") as it:
        assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml"]
        it.known = replace(KNOWN, endpoints=["studio", "lab"])
        it.bell.ring()
        await it.door.until(lambda: it.door.calls == [("a.yaml", ["one"], True)])
        await it.door.until(lambda: it.files.troubles() == {})


async def test_what_is_no_file_does_not_stop_anything(tmp_path: Path) -> None:
    """A FIFO, a directory and a dangling link among them are skipped."""
    os.mkfifo(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").mkdir()
    (tmp_path / "c.yaml").symlink_to(tmp_path / "nowhere")
    async with desk(tmp_path, d="- id: one") as it:
        assert it.door.calls == [("d.yaml", ["one"], True)]
        assert list(it.files.troubles()) == [f"{tmp_path}/a.yaml", f"{tmp_path}/c.yaml"]
