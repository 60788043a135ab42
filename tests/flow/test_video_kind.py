"""The second kind of provider, end to end: the universal video endpoint, one ID a request, IDs that are no uuids."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from anyio import create_task_group, sleep

from notifier.config import load
from notifier.daemon.app import Daemon
from notifier.domain.model import State
from notifier.emulator.receiver import Receiver, ReceiverSettings, serve_receiver
from notifier.emulator.server import serve_emulator
from notifier.emulator.settings import EmulatorSettings
from notifier.emulator.upstream import Emulator
from tests.support.fakes import SECRET

KEY = "sk-0123456789abcdef"
NEVER = float("inf")
ROUTE = "/v2/video/generations"
DASHED = "-G3b3vVKdoC42fMNeK1T5"
SORA = "video_68e5:openai/sora-2-t2v"
LISTED = "349872201343396:minimax/hailuo-2.3-fast,v2"


@asynccontextmanager
async def daemon(directory: Path, emulator: Emulator, receiver: Receiver) -> AsyncIterator[Daemon]:
    """It runs on a configuration that says nothing of batches."""
    (directory / "drop").mkdir()
    written = {
        "store": "sqlite:notifier.db",
        "providers": {
            "video": {
                "kind": "aimlapi-video",
                "base_url": emulator.url,
                "api_key": KEY,
                "poll_every": "100ms",
                "rate": "50/s",
            }
        },
        "endpoints": {"studio": {"url": f"{receiver.url}/hooks", "secret": SECRET}},
        "drop": {"directory": "drop"},
    }
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(written))
    running = Daemon(load(str(path), environ={}))
    async with create_task_group() as tasks:
        await tasks.start(running.run)
        yield running
        running.stop()


def drop(directory: Path, *entries: dict[str, Any]) -> None:
    aside = directory / "drop" / "all.json.tmp"
    aside.write_text(json.dumps(entries))
    aside.rename(aside.with_suffix(""))


async def test_generations_of_the_universal_endpoint_are_watched_to_their_end(tmp_path: Path) -> None:
    """Each by its own ID to the letter, a failure that is called `error` included, and none in a batch."""
    async with (
        serve_emulator(EmulatorSettings(api_key=KEY)) as emulator,
        serve_receiver(ReceiverSettings(secrets=(SECRET,))) as receiver,
        daemon(tmp_path, emulator, receiver) as running,
    ):
        for id_ in (DASHED, SORA, LISTED):
            emulator.create(id_=id_, complete_at=NEVER)
        drop(
            tmp_path,
            {"id": DASHED, "state": ["generating", "completed"]},
            {"id": SORA, "metadata": {"order": 7}},
            {"id": LISTED},
        )
        (begun,) = await receiver.wait_for(1)
        assert (begun.type, begun.generation_id) == ("generation.running", DASHED)
        assert begun.content["provider_state"] == "generating"
        emulator.move(DASHED, State.COMPLETED)
        emulator.move(SORA, State.FAILED)
        emulator.move(LISTED, State.COMPLETED)
        ended = {call.generation_id: call for call in (await receiver.wait_for(4))[1:]}
        assert {id_: call.type for id_, call in ended.items()} == {
            DASHED: "generation.completed",
            SORA: "generation.failed",
            LISTED: "generation.completed",
        }
        for id_ in (DASHED, LISTED):
            assert ended[id_].content["result"]["url"] == f"https://storage.example.com/emulator/{id_}.mp4"
        failed = ended[SORA].content
        assert (failed["provider_state"], failed["metadata"]) == ("error", {"order": 7})
        assert failed["failure"] == failed["generation"]["error"]["message"]
        assert running.troubles == {}
        assert emulator.stats.requests.keys() == {"single"}


async def test_nobody_can_wait_for_error(tmp_path: Path) -> None:
    """The endpoint's own word for failed is refused like any other, with a sentence beside the file."""
    async with (
        serve_emulator(EmulatorSettings(api_key=KEY)) as emulator,
        serve_receiver(ReceiverSettings(secrets=(SECRET,))) as receiver,
        daemon(tmp_path, emulator, receiver) as running,
    ):
        drop(tmp_path, {"id": SORA, "state": "error"})
        while not any(said := [file.read_text() for file in tmp_path.glob("drop/rejected/*.error")]):  # noqa: ASYNC110  what it waits for is a file
            await sleep(0.01)
        assert "A watch cannot wait for error" in said[0]
        assert running.watched == {"video": 0}


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Emulator, httpx.AsyncClient]]:
    headers = {"Authorization": "Bearer emulator"}
    async with (
        serve_emulator() as emulator,
        httpx.AsyncClient(base_url=emulator.url, headers=headers, trust_env=False, verify=False) as client,
    ):
        yield emulator, client


async def test_the_emulated_endpoint_makes_generations_and_shows_them() -> None:
    """An ID ends with the model that was asked for, and leads to the record in the endpoint's own words."""
    async with served() as (emulator, client):
        made = await client.post(ROUTE, json={"model": "luma/ray-2", "prompt": "a fox"})
        assert made.status_code == 201
        id_ = made.json()["id"]
        assert id_.endswith(":luma/ray-2")
        words = {}
        for state in State:
            emulator.move(id_, state)
            reply = await client.get(ROUTE, params={"generation_id": id_})
            assert reply.json()["id"] == id_
            words[state] = reply.json()["status"]
        assert words == {
            State.QUEUED: "queued",
            State.RUNNING: "generating",
            State.COMPLETED: "completed",
            State.FAILED: "error",
        }
        assert (await client.post(ROUTE, json={"prompt": "a fox"})).status_code == 400


@pytest.mark.parametrize(("id_", "status"), [(DASHED, 200), (DASHED.lower(), 404), ("nobody", 404), ("", 400)])
async def test_the_emulated_endpoint_knows_an_id_to_the_letter(id_: str, status: int) -> None:
    """Anything else is the error envelope."""
    async with served() as (emulator, client):
        emulator.create(id_=DASHED)
        reply = await client.get(ROUTE, params={"generation_id": id_})
        assert reply.status_code == status
        assert reply.json().get("statusCode", 200) == status


async def test_such_ids_are_moved_and_forgotten_over_http_too() -> None:
    """Percent-encoded, colon, slash and comma pass the emulator's own routes."""
    async with served() as (emulator, client):
        made = await client.post("/_emulator/generations", json=[{"id": id_} for id_ in (DASHED, SORA, LISTED)])
        assert made.json()["ids"] == [DASHED, SORA, LISTED]
        for id_ in (DASHED, SORA, LISTED):
            path = f"/_emulator/generations/{quote(id_, safe='')}"
            assert (await client.post(path, json={"state": "completed"})).json()["id"] == id_
            assert (await client.delete(path)).status_code == 204
        assert emulator.ids == []
