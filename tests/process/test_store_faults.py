"""A store that cannot be written, for real: nothing is begun, nothing is lost, and it goes on by itself.

Each fault is one that an operator meets: the disk is full, the file may not grow, another program has the file locked,
the file system is read-only. What must hold is the same for all of them.
"""

import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.process_rig import Daemon, Receiver, Stage, Upstream, by_message, some_ids, staged

pytestmark = pytest.mark.timeout(60)
#: Turns a fault off again.
Heal = Callable[[], None]
#: What a watchdog is told this often, in microseconds.
WATCHDOG = "300000"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(["mount", *options], check=False, capture_output=True).returncode != 0:
        pytest.skip("only who may mount can have a disk of its own")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class Case:
    """A daemon with one callback in flight that hangs, and whatever happens to its store meanwhile."""

    def __init__(self, stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
        self.stage, self.upstream, self.receiver = stage, upstream, receiver
        self.first, self.open, self.late = some_ids(1), some_ids(1), some_ids(2)
        upstream.begin("api", {**dict.fromkeys([*self.first, *self.late], "completed"), self.open[0]: "queued"})
        receiver.begin("app", script=["hold"])
        stage.provider("api", upstream)
        stage.endpoint("app", receiver)
        self.daemon: Daemon = stage.start(WATCHDOG_USEC=WATCHDOG).ready()
        stage.put_watches("first", self.first + self.open)
        receiver.wait("app", held=1)
        self.file: Path | None = None

    def breaks(self, sentence: str) -> None:
        """The store fails when something is to be accepted: that file stays, and it is said."""
        self.file = self.stage.put_watches("late", self.late)
        self.daemon.log.wait('"level":"error"', "store.unavailable", sentence)
        self.daemon.notices.heard.wait("STATUS=", "store: store ", sentence)

    def stands_still(self) -> None:
        """While it lasts: no look, no callback, nothing accepted, an outcome waits; and the watchdog is fed."""
        self.upstream.move("api", "completed", self.open)
        self.receiver.release("app")
        asked = len(self.upstream.wait("api"))
        for _ in range(4):
            self.daemon.notices.heard.wait("WATCHDOG=1", after=len(self.daemon.notices.heard))
        assert len(self.upstream.wait("api")) <= asked + 1, "one look may have been under way"
        assert len(self.receiver.ledger("app")) == 1
        assert self.file is not None
        assert self.file.exists()

    def recovers(self) -> None:
        """All that was owed arrives, once each; all that waits is accepted."""
        self.daemon.log.wait("store.recovered")
        self.receiver.wait("app", entries=4)
        done = self.stage.drop / "done"
        assert self.daemon.stop() == 0
        assert [file.name.endswith("late.json") for file in sorted(done.iterdir())] == [False, True]
        messages = by_message(self.receiver.ledger("app"))
        assert sorted(entries[0]["generation"] for entries in messages.values()) == sorted(
            self.first + self.open + self.late
        )
        assert {len(entries) for entries in messages.values()} == {1}, "a callback was made twice"


def fill(filler: Path) -> Heal:
    """Write until the disk has no room left."""
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return filler.unlink


@contextmanager
def locked(store: Path) -> Iterator[Heal]:
    """Another program holds the file."""
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other.rollback


def test_a_full_disk_stops_everything_and_loses_nothing(
    small_disk: Path, tmp_path: Path, upstream: Upstream, receiver: Receiver
) -> None:
    """No room is left at all: what is in flight ends, its outcome waits, and with room again it is written first."""
    with staged(tmp_path) as stage:
        stage.store = small_disk / "store.db"
        stage.settings["store"] = f"sqlite:{stage.store}"
        case = Case(stage, upstream, receiver)
        heal = fill(small_disk / "filler")
        case.breaks("the disk is full")
        case.stands_still()
        heal()
        case.recovers()


def test_a_file_that_may_not_grow_is_no_loss_either(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """A limit on the size of files, as a service manager may set it, is met and taken away again."""
    case = Case(stage, upstream, receiver)
    _, hard = resource.prlimit(case.daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(case.daemon.pid, resource.RLIMIT_FSIZE, (4096, hard))
    case.breaks("a limit on the size of files is reached")
    case.stands_still()
    resource.prlimit(case.daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))
    case.recovers()


def test_a_file_locked_by_another_program_is_waited_for(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Longer than one try waits: each fails in words that say what to look for, and then it goes on."""
    case = Case(stage, upstream, receiver)
    with locked(stage.store) as heal:
        case.breaks("another program keeps it locked")
        case.stands_still()
        heal()
        case.recovers()


def test_files_that_became_read_only_are_told_from_a_broken_disk(
    stage: Stage, upstream: Upstream, receiver: Receiver
) -> None:
    """Made immutable while they are open: the words end at what the operator can see and change."""
    case = Case(stage, upstream, receiver)
    files = [str(stage.store), f"{stage.store}-wal"]
    if shutil.which("chattr") is None:
        pytest.skip("there is no chattr on this machine, which makes files immutable")
    if subprocess.run(["chattr", "+i", *files], check=False, capture_output=True).returncode != 0:
        pytest.skip("this file system has no immutable files, or we may not make them so")
    try:
        case.breaks("it cannot be written: check its mode")
        case.stands_still()
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
    case.recovers()


def test_a_file_that_was_moved_away_is_missed(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """Nothing more is put into a file that no start would find; it goes on once the file is back."""
    case = Case(stage, upstream, receiver)
    aside = stage.store.rename(stage.store.with_name("aside.db"))
    case.breaks("was removed while it is in use")
    case.stands_still()
    aside.rename(stage.store)
    case.recovers()


def test_a_log_that_is_removed_loses_nothing(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """It is said, files that come later are accepted, and after a kill all that was accepted is there."""
    ids = some_ids(6)
    upstream.begin("api", dict.fromkeys(ids, "dreaming"))
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    stage.put_watches("before", ids[:3])
    daemon.log.wait("watches.registered", "before.json")
    Path(f"{stage.store}-wal").unlink()
    stage.put_watches("after", ids[3:])
    daemon.log.wait("store.unavailable", f"{stage.store.name}-wal was removed while it is in use")
    daemon.log.wait("store.recovered")
    daemon.log.wait("watches.registered", "after.json")
    daemon.kill()
    upstream.move("api", "completed")
    stage.start().ready()
    receiver.wait("app", delivered=6)


def test_the_commands_tell_the_truth_through_a_link(stage: Stage, upstream: Upstream, receiver: Receiver) -> None:
    """The daemon has the store by its real name, the commands by a link in another directory."""
    (id_,) = some_ids(1)
    upstream.begin("api", {id_: "dreaming"})
    receiver.begin("app")
    stage.provider("api", upstream)
    stage.endpoint("app", receiver)
    daemon = stage.start().ready()
    stage.put_watches("one", [id_])
    daemon.log.wait("watches.registered")
    link = stage.directory / "links" / "store"
    link.parent.mkdir()
    link.symlink_to(stage.store)
    stage.settings["store"] = f"sqlite:{link}"
    stage.write()
    for words in (("list",), ("show", id_)):
        assert id_ in stage.command(*words, "--config", "{config}").stdout
    assert "1 generation watched" in stage.command("check", "--config", "{config}").stdout
    second = stage.start()
    assert second.ended() == os.EX_CONFIG
    second.log.wait("in use by another notifier")
    assert stage.command("cancel", "--generation", id_, "--config", "{config}").returncode == 0


def test_a_start_on_a_read_only_disk_says_so(
    small_disk: Path, tmp_path: Path, upstream: Upstream, receiver: Receiver
) -> None:
    """It ends with the sentence, to be started again; and once the disk can be written it starts."""
    with staged(tmp_path) as stage:
        stage.store = small_disk / "store.db"
        stage.settings["store"] = f"sqlite:{stage.store}"
        upstream.begin("api", {})
        receiver.begin("app")
        stage.provider("api", upstream)
        stage.endpoint("app", receiver)
        assert stage.start().ready().stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        refused = stage.start()
        assert refused.ended() == os.EX_TEMPFAIL
        refused.log.wait("store.db", "how its disk is mounted")
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        assert stage.start().ready().stop() == 0


def test_a_start_on_a_full_disk_says_so(
    small_disk: Path, tmp_path: Path, upstream: Upstream, receiver: Receiver
) -> None:
    """It ends with the sentence, to be started again; with room it starts, and what was left open is interrupted."""
    with staged(tmp_path) as stage:
        stage.store = small_disk / "store.db"
        stage.settings["store"] = f"sqlite:{stage.store}"
        case = Case(stage, upstream, receiver)
        case.daemon.kill()
        heal = fill(small_disk / "filler")
        refused = stage.start()
        assert refused.ended() == os.EX_TEMPFAIL
        refused.log.wait("the disk is full")
        heal()
        receiver.release("app")
        case.daemon = stage.start().ready()
        receiver.wait("app", entries=2)
