"""2,000 watches complete at one moment: from the first callback to the last, by us and by the usual way.

The usual way: a stock `httpx.AsyncClient` that polls the same upstream in batches of 100, and for each completed
generation commits the new state, POSTs a signed callback and commits the outcome. One commit per change,
synchronous=FULL, in WAL mode, which spares it the second fsync of the default journal. At 1, 8 and 64 in flight.

Upstream and receiver are processes of their own, the same for both. Run it on a machine with nothing else to do:

    python benchmarks/burst.py [--watches 2000] [--rounds 3] [--directory /var/tmp]
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import platform
import sqlite3
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import httpx
from _stations import KEY, SECRET, Station, running

IN_FLIGHT = (1, 8, 64)
BATCH = 100


# ---- notifier -------------------------------------------------------------------------------------------------------
def by_notifier(directory: Path, upstream: Station, receiver: Station, ids: list[str]) -> float:
    """Seconds from the first callback to the last."""
    upstream.ask("forget")
    receiver.ask("forget")
    rounds = -(-len(ids) // BATCH)
    with running(
        directory,
        upstream=upstream.url,
        receiver=receiver.url,
        provider={"rate": "1000/s"},
        endpoint={"concurrency": 64},
    ) as daemon:
        daemon.put("all", ids)
        upstream.ask("seen", len(ids))
        asked = upstream.ask("requests")
        upstream.ask("flip at", (asked // rounds + 1) * rounds)
        first, last, _requests = receiver.ask("came", len(ids))
    return float(last - first)


# ---- the usual way --------------------------------------------------------------------------------------------------
class Usual:
    """What one writes on an afternoon: poll, commit, post, commit."""

    def __init__(self, store: Path, upstream: str, receiver: str, ids: list[str]) -> None:
        self._upstream, self._receiver, self._ids = upstream, receiver, ids
        self._key = base64.b64decode(SECRET.removeprefix("whsec_"))
        self._store = sqlite3.connect(store, isolation_level=None)
        self._store.execute("PRAGMA journal_mode = WAL")
        self._store.execute("PRAGMA synchronous = FULL")
        self._store.execute("CREATE TABLE watches (id TEXT PRIMARY KEY, state TEXT, delivered_at REAL) WITHOUT ROWID")
        self._store.execute("BEGIN")
        self._store.executemany("INSERT INTO watches (id) VALUES (?)", [(id_,) for id_ in ids])
        self._store.execute("COMMIT")

    async def run(self, in_flight: int) -> None:
        done: asyncio.Queue[dict[str, str] | None] = asyncio.Queue()
        async with httpx.AsyncClient() as http, asyncio.TaskGroup() as tasks:
            for _ in range(in_flight):
                tasks.create_task(self._worker(http, done))
            for start in range(0, len(self._ids), BATCH):
                batch = self._ids[start : start + BATCH]
                reply = await http.get(
                    f"{self._upstream}/v2/generate/video/luma-ai/generations",
                    params={"generation_ids[]": batch},
                    headers={"Authorization": f"Bearer {KEY}"},
                )
                for record in reply.json():
                    done.put_nowait(record)
            for _ in range(in_flight):
                done.put_nowait(None)

    async def _worker(self, http: httpx.AsyncClient, done: "asyncio.Queue[dict[str, str] | None]") -> None:
        while (record := await done.get()) is not None:
            id_ = record["id"]
            self._store.execute("UPDATE watches SET state = ? WHERE id = ?", (record["state"], id_))
            body = json.dumps(
                {"type": "generation.completed", "data": {"generation_id": id_, "generation": record}}
            ).encode()
            (
                await http.post(f"{self._receiver}/hook", content=body, headers=self._signed(id_, body))
            ).raise_for_status()
            self._store.execute("UPDATE watches SET delivered_at = ? WHERE id = ?", (time.monotonic(), id_))

    def _signed(self, id_: str, body: bytes) -> dict[str, str]:
        at = str(int(time.time()))  # noqa: TID251  the usual way
        mac = hmac.new(self._key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
        return {
            "Content-Type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        }


def _usual(store: Path, upstream: str, receiver: str, ids: list[str], in_flight: int) -> None:
    asyncio.run(Usual(store, upstream, receiver, ids).run(in_flight))


def by_the_usual_way(directory: Path, upstream: Station, receiver: Station, ids: list[str], in_flight: int) -> float:
    """Seconds from the first callback to the last, in a process of its own."""
    upstream.ask("forget")
    upstream.ask("flip")
    receiver.ask("forget")
    directory.mkdir()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_usual, args=(directory / "usual.db", upstream.url, receiver.url, ids, in_flight))
    process.start()
    first, last, _requests = receiver.ask("came", len(ids))
    process.join()
    return float(last - first)


# ---- the comparison -------------------------------------------------------------------------------------------------
def commit_ms(directory: Path) -> float:
    """What one durable commit costs here, in the middle of 50."""
    store = sqlite3.connect(directory / "commit.db", isolation_level=None)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA synchronous = FULL")
    store.execute("CREATE TABLE t (n)")
    took = []
    for number in range(50):
        began = time.monotonic()
        store.execute("INSERT INTO t VALUES (?)", (number,))
        took.append(time.monotonic() - began)
    store.close()
    return statistics.median(took) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watches", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="of notifier; the middle one counts")
    parser.add_argument("--directory", default=None, help="where the stores are made; a real disk")
    asked = parser.parse_args()
    ids = [str(uuid.uuid4()) for _ in range(asked.watches)]
    with (
        tempfile.TemporaryDirectory(dir=asked.directory, ignore_cleanup_errors=True) as made,
        Station("upstream") as upstream,
        Station("receiver") as receiver,
    ):
        place = Path(made)
        print(
            f"Python {platform.python_version()}, {os.cpu_count()} cores, httpx {httpx.__version__}; "
            f"a commit takes {commit_ms(place):.2f} ms"
        )
        print(f"{len(ids)} watches complete at one moment; seconds from the first callback to the last\n")
        ours = []
        for number in range(asked.rounds):
            ours.append(by_notifier(place / f"notifier-{number}", upstream, receiver, ids))
            name = f"notifier, 64 in flight (round {number + 1})"
            print(f"{name:46} {ours[-1]:7.2f} s  {len(ids) / ours[-1]:7.0f}/s", flush=True)
        theirs = {}
        for in_flight in IN_FLIGHT:
            took = theirs[in_flight] = by_the_usual_way(
                place / f"usual-{in_flight}", upstream, receiver, ids, in_flight
            )
            print(
                f"stock httpx, a commit a change, {in_flight:2} in flight {took:7.2f} s  {len(ids) / took:7.0f}/s",
                flush=True,
            )
        middle = statistics.median(ours)
        best = min(theirs.values())
        print(f"\nnotifier, the middle round: {middle:.2f} s")
        print(f"sooner than the usual way's best: {best / middle:5.1f} times (wanted: 2.5)")
        print(f"sooner than the usual way at 64:  {theirs[64] / middle:5.1f} times (wanted: 8)")


if __name__ == "__main__":
    main()
