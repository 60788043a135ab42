"""What the SQLite store costs: registering, recording, claiming. Run it: `python benchmarks/store.py [DIRECTORY]`.

The directory decides which disk is measured; every figure includes durable commits (`synchronous=FULL`).
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Final

import anyio
from _rows import LUMA, NOW, completed, delivered, watched

from notifier.domain.ids import WorkerId
from notifier.domain.model import AttemptResult, EndpointDirectory, WatchRequest
from notifier.store.records import Slots
from notifier.store.sqlite import SqliteStore, open_store

DIRECTORY: Final = EndpointDirectory(events={}, callbacks=True)


def for_one_of(destinations: int, number: int) -> WatchRequest:
    destination = f"https://{number % destinations}.example.com"
    return watched(number, endpoint=f"{destination}/hook", destination=destination)


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    took = time.perf_counter() - begun
    print(f"{what:<58} {took:8.3f} s {count / took:12,.0f}/s")


async def register(store: SqliteStore) -> None:
    before = store.writer.commits
    with timed("10,000 calls of one watch, all waiting at once", 10_000):
        async with anyio.create_task_group() as callers:
            for number in range(10_000):
                callers.start_soon(add, store, number)
    print(f"    in {store.writer.commits - before} commits")
    with timed("one call with 100,000 watches", 100_000):
        await store.add_watches([for_one_of(1, number) for number in range(100_000, 200_000)], now=NOW)
    with timed("64 callers, each waiting for its commit", 64 * 100):
        async with anyio.create_task_group() as callers:
            for caller in range(64):
                callers.start_soon(add_in_turn, store, 300_000 + caller * 100)
    count = 0
    with timed("reading all open generations", 116_400):
        async for chunk in store.open_generations(LUMA):
            count += len(chunk)
    assert count == 116_400


async def add(store: SqliteStore, number: int, destinations: int = 1) -> None:
    await store.add_watches([for_one_of(destinations, number)], now=NOW)


async def add_in_turn(store: SqliteStore, first: int) -> None:
    for number in range(first, first + 100):
        await add(store, number)


async def deliver(store: SqliteStore, what: str, numbers: range, *, destinations: int) -> None:
    """Complete and deliver them all, 64 at a time."""
    await store.add_watches([for_one_of(destinations, number) for number in numbers], now=NOW)
    with timed(f"recording {len(numbers):,} transitions, 100 at a time", len(numbers)):
        for first in range(numbers.start, numbers.stop, 100):
            seen = [completed(first + more, url=200, frames=range(60)) for more in range(100)]
            await store.record_transitions(seen, now=NOW)
    limits = Slots(total=64, free={}, each=64, lease={}, lease_each=timedelta(seconds=30))
    results: list[AttemptResult] = []
    took: list[float] = []
    while not took or results:
        begun = time.perf_counter()
        exchanged = await store.exchange(WorkerId("benchmark"), results, limits, now=NOW)
        took.append((time.perf_counter() - begun) * 1_000)
        results = [delivered(claim) for claim in exchanged.claims]
    print(f"{what:<58} {median(took):8.2f} ms, at most {max(took):.2f} ms")


async def main(directory: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as place:
        async with open_store(str(Path(place) / "notifier.db")) as store:
            await store.apply_directory(DIRECTORY, now=NOW)
            await register(store)
            await deliver(store, "exchange of 64, one destination", range(400_000, 402_000), destinations=1)
            await deliver(store, "exchange of 64, 10,000 destinations", range(500_000, 510_000), destinations=10_000)
            with timed("checkpoint", 1):
                await store.checkpoint()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", nargs="?", metavar="DIRECTORY", help="on the disk to measure")
    anyio.run(main, parser.parse_args().directory, backend_options={"use_uvloop": True})
