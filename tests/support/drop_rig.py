"""A registrar's port and a drop directory for tests: what was registered is kept, and may be waited for."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio

from notifier.domain.errors import Fault, InvalidWatch, StoreUnavailable
from notifier.domain.ids import GenerationId, WatchId
from notifier.domain.model import Outcome, Registration, State, WatchRequest
from notifier.domain.settings import DropSettings, WatchDefaults
from notifier.intake.drop.directory import DropDirectory
from notifier.intake.entry import Known, KnownProvider
from notifier.runtime.clock import SystemClock
from notifier.runtime.wakeup import Wakeup

KNOWN = Known(
    providers={
        "luma": KnownProvider(normalise_id=GenerationId, words={"dreaming": State.RUNNING}, timeout=timedelta(hours=24))
    },
    endpoints=["studio"],
)


class FakeRegistrar:
    """Takes watches as the registrar does: durable, refused (`refusing`), or not now (`shut`)."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.tries = 0
        self.shut = False
        self.refusing: set[str] = set()
        #: Generations that are registered only once `released` is set.
        self.holding: set[str] = set()
        self.released = anyio.Event()
        #: Awaited before anything is registered, if set.
        self.before: anyio.Event | None = None
        self._changed = anyio.Event()

    async def register(
        self, requests: Sequence[WatchRequest], *, source: str, keep_first: bool = False, origins: Sequence[str] = ()
    ) -> list[Registration]:
        del keep_first, origins
        self.tries += 1
        self._notify()
        if self.before is not None:
            await self.before.wait()
        if self.holding.intersection(request.generation for request in requests):
            await self.released.wait()
        if self.shut:
            raise StoreUnavailable("the disk is full")
        if self.refusing.intersection(request.generation for request in requests):
            raise InvalidWatch([Fault(path="[0]", message="This watch is open with other metadata.")])
        self.ids += [request.generation for request in requests]
        self.sources.append(source)
        self._notify()
        return [Registration(watch_id=WatchId("wch_x"), outcome=Outcome.CREATED, open=None) for _ in requests]

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def registered(self, count: int) -> list[str]:
        """Wait until that many watches were registered."""
        with anyio.fail_after(20):
            while len(self.ids) < count:
                await self._changed.wait()
        return self.ids

    async def tried(self, count: int) -> None:
        """Wait until registering was tried that often."""
        with anyio.fail_after(20):
            while self.tries < count:
                await self._changed.wait()


class Box:
    """A drop directory that is watched, and what lies in it."""

    def __init__(self, path: Path, *, settle: float) -> None:
        path.mkdir(exist_ok=True)
        path.chmod(0o770)
        self.path = path
        self.registrar = FakeRegistrar()
        self.wakeup = Wakeup()
        self.drop = DropDirectory(
            DropSettings(directory=str(path), defaults=WatchDefaults()),
            self.registrar,
            lambda: KNOWN,
            wakeup=self.wakeup,
            clock=SystemClock(),
            settle=settle,
        )

    def rename_in(self, name: str, text: str) -> Path:
        """The documented way: written under a temporary name, then renamed."""
        temporary = self.path / f"{name}.tmp"
        temporary.write_text(text)
        return temporary.rename(self.path / name)

    def here(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if path.name not in ("done", "rejected"))

    def moved(self, where: str) -> list[str]:
        """Names in done/ or rejected/ without their stamps; none while it is not there."""
        if not (self.path / where).is_dir():
            return []
        return sorted(path.name.partition("Z")[2].partition("-")[2] for path in (self.path / where).iterdir())

    async def until_moved(self, where: str, *names: str) -> None:
        """Wait until exactly these lie in done/ or rejected/, the .error files not counted."""
        with anyio.fail_after(20):
            while [n for n in self.moved(where) if not n.endswith(".error")] != sorted(names):  # noqa: ASYNC110  a file system sets no event
                await anyio.sleep(0.005)

    async def why(self, name: str) -> str:
        """The text of a rejected file's .error."""
        with anyio.fail_after(20):
            while not (found := self._rejected(name)):  # noqa: ASYNC110  a file system sets no event
                await anyio.sleep(0.005)
        return found[0].read_text()

    def _rejected(self, name: str) -> list[Path]:
        """Its .error file, once the file itself is there too."""
        found = list((self.path / "rejected").glob(f"*Z*-{name}"))
        return [Path(f"{path}.error") for path in found]


@asynccontextmanager
async def drop_box(path: Path, *, settle: float = 1.0, start: bool = True) -> AsyncIterator[Box]:
    """A Box, running for as long as the block."""
    box = Box(path, settle=settle)
    async with anyio.create_task_group() as tasks:
        if start:
            await tasks.start(box.drop.run)
        yield box
        tasks.cancel_scope.cancel()
