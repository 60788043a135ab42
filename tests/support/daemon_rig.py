"""The whole daemon in process, with what it talks to: an emulated API, a verifying receiver, a client of its socket."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.lowlevel
import httpx
import orjson
import yaml

from notifier.config import load
from notifier.daemon.app import Daemon
from notifier.domain.ids import GenerationId
from notifier.domain.model import DeliveryStatus, WatchStatus
from notifier.domain.settings import Settings
from notifier.emulator.receiver import Receiver, ReceiverSettings, serve_receiver
from notifier.emulator.server import serve_emulator
from notifier.emulator.settings import EmulatorSettings
from notifier.emulator.upstream import Emulator
from notifier.store.sqlite import open_reader
from tests.support.blank_store import lay
from tests.support.fakes import SECRET

KEY = "sk-0123456789abcdef"


_NAP = 0.01


@dataclass(slots=True, kw_only=True)
class Site:
    """A machine with a configuration to change, and what it talks to."""

    directory: Path
    emulator: Emulator
    receiver: Receiver
    config: dict[str, Any]
    daemon: Daemon | None = None
    _ended: anyio.Event = field(default_factory=anyio.Event)

    def settings(self, **change: Any) -> Settings:
        """The configuration with `change`; None takes a section away."""
        self.config |= change
        written = {key: value for key, value in self.config.items() if value is not None}
        path = self.directory / "config.yaml"
        path.write_text(yaml.safe_dump(written))
        return load(str(path), environ={"KEY": KEY, "SECRET": SECRET})

    def drop(self, name: str, *entries: dict[str, Any]) -> None:
        aside = self.directory / "drop" / f"{name}.tmp"
        aside.write_text(json.dumps(entries))
        aside.rename(aside.with_suffix(""))

    async def until(self, holds: Callable[[], Any]) -> None:
        """Until `holds`; the test's own time limit ends it where it never does."""
        while not await _answer(holds()):  # noqa: ASYNC110  what it waits for is in files and in other parts' memory
            await anyio.sleep(_NAP)

    async def deliveries(self) -> dict[DeliveryStatus, int]:
        async with open_reader(str(self.directory / "notifier.db")) as store:
            return dict((await store.counts()).deliveries)

    async def statuses(self, id_: str) -> list[WatchStatus]:
        async with open_reader(str(self.directory / "notifier.db")) as store:
            return [watch.status for history in await store.histories(GenerationId(id_)) for watch in history.watches]

    @property
    def running(self) -> Daemon:
        assert self.daemon is not None
        return self.daemon

    async def stop(self) -> None:
        self.running.stop()
        await self._ended.wait()

    async def run(self, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        self.daemon, self._ended = Daemon(self.settings()), anyio.Event()
        await self.daemon.run(task_status=task_status)
        self._ended.set()


async def _answer(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


def endpoint(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"url": f"{receiver.url}/hooks", "secret": "${SECRET}", **more}


def provider(emulator: Emulator, **more: Any) -> dict[str, Any]:
    return {
        "kind": "aimlapi-luma",
        "base_url": emulator.url,
        "api_key": "${KEY}",
        "poll_every": "1s",
        **more,
    }


@asynccontextmanager
async def site(directory: Path, **config: Any) -> AsyncIterator[Site]:
    """Everything but the daemon is up."""
    (directory / "drop").mkdir()
    if not (store := directory / "notifier.db").exists():
        lay(store)
    async with (
        serve_emulator(EmulatorSettings(api_key=KEY)) as emulator,
        serve_receiver(ReceiverSettings(secrets=(SECRET,))) as receiver,
    ):
        base = {
            "store": "sqlite:notifier.db",
            "providers": {"luma": provider(emulator)},
            "endpoints": {"studio": endpoint(receiver)},
            "drop": {"directory": "drop"},
        }
        yield Site(directory=directory, emulator=emulator, receiver=receiver, config=base | config)


@asynccontextmanager
async def up(directory: Path, **config: Any) -> AsyncIterator[Site]:
    """The daemon runs; it is stopped at the end."""
    async with site(directory, **config) as place, anyio.create_task_group() as tasks:
        await tasks.start(place.run)
        yield place
        await place.stop()


class Caller:
    """A client of one socket."""

    def __init__(self, path: Path) -> None:
        self._client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://notifier")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, route: str, **asked: Any) -> httpx.Response:
        return await self.raw("POST", f"/v1/{route}", content=orjson.dumps(asked))

    async def raw(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = await self._client.request(method, path, **more)
        assert answer.headers["content-type"] == "application/json"
        assert answer.is_success or list(answer.json()) == ["error"]
        return answer

    async def done(self, route: str, **asked: Any) -> dict[str, Any]:
        answer = await self.post(route, **asked)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content


def caller(place: Site) -> Caller:
    return Caller(place.directory / "api.sock")
