"""What forgetting costs those who write meanwhile. Run it: `python benchmarks/retention.py [DIRECTORY]`.

50,000 delivered callbacks with bodies of about 1 KB go, while somebody else makes one small durable write after
another; the same writes are measured alone, before. The directory decides which disk is measured.
"""

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import anyio
from _rows import NOW, completed, delivered, watched

from notifier.domain.ids import WorkerId
from notifier.domain.model import EndpointDirectory
from notifier.store.records import Slots
from notifier.store.sqlite import SqliteStore, open_store

COUNT: Final = 50_000
DIRECTORY: Final = EndpointDirectory(events={"studio": None}, callbacks=False)
ME: Final = WorkerId("benchmark")
SLOTS: Final = Slots(total=1_000, free={}, each=1_000, lease={}, lease_each=timedelta(seconds=30))


async def fill(store: SqliteStore) -> None:
    for first in range(0, COUNT, 1_000):
        numbers = range(first, first + 1_000)
        await store.add_watches([watched(number) for number in numbers], now=NOW)
        await store.record_transitions([completed(number, url=400) for number in numbers], now=NOW)
        claims = (await store.exchange(ME, [], SLOTS, now=NOW)).claims
        await store.exchange(ME, [delivered(claim) for claim in claims], SLOTS, now=NOW)
    await store.checkpoint()


async def write(store: SqliteStore, took: list[float]) -> None:
    """One small write after another, until cancelled; milliseconds each."""
    while True:
        begun = time.perf_counter()
        await store.probe(now=NOW)
        took.append((time.perf_counter() - begun) * 1_000)


def tell(what: str, took: list[float]) -> None:
    took.sort()
    median, late = took[len(took) // 2], took[len(took) * 99 // 100]
    print(f"{what:<40} {len(took):7,} writes: median {median:6.2f} ms, p99 {late:6.2f} ms, most {took[-1]:6.2f} ms")


async def main(directory: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as place:
        async with open_store(str(Path(place) / "notifier.db")) as store:
            await store.apply_directory(DIRECTORY, now=NOW)
            await fill(store)
            alone: list[float] = []
            with anyio.move_on_after(3):
                await write(store, alone)
            tell("writes alone", alone)
            beside: list[float] = []
            begun, commits = time.perf_counter(), store.writer.commits
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, store, beside)
                done = await store.prune(before=NOW + timedelta(days=60), declared=(), most=10**9)
                tasks.cancel_scope.cancel()
            took = time.perf_counter() - begun
            tell("writes while it forgets", beside)
            rows = done.deliveries + done.watches
            print(
                f"forgot {rows:,} deliveries and watches in {took:.1f} s, in {store.writer.commits - commits:,} commits"
            )
            print(await store.size())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", nargs="?", metavar="DIRECTORY", help="on the disk to measure")
    anyio.run(main, parser.parse_args().directory)
