"""What a large recovery costs, and what it costs everybody else. Run it: `python benchmarks/recovery.py [MESSAGES]`.

One message in ten was given up; all of those are asked for again, step by step, while another caller writes all along.
"""

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import anyio

from notifier.admin.operations import STEP
from notifier.domain.ids import EndpointIdentity
from notifier.domain.model import DeliveryStatus, EndpointDirectory
from notifier.store.records import Selection
from notifier.store.sqlite import SqliteStore, open_store

NOW: Final = datetime(2026, 11, 22, tzinfo=UTC)
DIRECTORY: Final = EndpointDirectory(events={"studio": None, "audit": None}, callbacks=True)
LOST: Final = Selection(endpoint=EndpointIdentity("audit"), statuses=frozenset({DeliveryStatus.EXHAUSTED}))
FILL: Final = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?),
     owed (i, endpoint, status) AS (
         SELECT i, CASE i % 10 WHEN 0 THEN 'audit' ELSE 'studio' END,
                CASE i % 10 WHEN 0 THEN 'exhausted' ELSE 'delivered' END
         FROM n)
INSERT INTO deliveries (message_id, kind, type, endpoint, destination, status, reason, created_at)
SELECT 'msg_' || hex(randomblob(26)), 'result', 'generation.completed', endpoint, endpoint, status, '', i FROM owed
"""
BODIES: Final = "INSERT INTO bodies SELECT key, 'application/json', zeroblob(1000) FROM deliveries"


async def fill(store: SqliteStore, count: int) -> None:
    await store.writer.run(lambda conn: conn.execute(FILL, (count,)).rowcount)
    await store.writer.run(lambda conn: conn.execute(BODIES).rowcount)
    await store.checkpoint()


async def recover(store: SqliteStore) -> tuple[int, int]:
    """(messages, steps)."""
    taken, steps, mark = 0, 0, None
    while True:
        step = await store.redeliver_some(LOST, mark=mark, most=STEP, now=NOW)
        taken, steps, mark = taken + step.taken, steps + 1, step.mark
        if mark is None:
            return taken, steps


async def keep_writing(store: SqliteStore, waits: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await store.probe(now=NOW)
        waits.append(time.perf_counter() - begun)
        await anyio.sleep(0.01)


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with open_store(str(Path(directory) / "notifier.db")) as store, anyio.create_task_group() as others:
            await store.apply_directory(DIRECTORY, now=NOW)
            await fill(store, count)
            waits: list[float] = []
            others.start_soon(keep_writing, store, waits)
            begun = time.perf_counter()
            taken, steps = await recover(store)
            took = time.perf_counter() - begun
            others.cancel_scope.cancel()
    print(f"{taken:,} of {count:,} messages in {steps} steps: {took:.2f} s, {taken / took:,.0f}/s")
    print(f"other writes meanwhile: median {median(waits) * 1000:.1f} ms, longest {max(waits) * 1000:.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "messages", nargs="?", type=int, default=500_000, metavar="MESSAGES", help="500,000 unless said"
    )
    anyio.run(main, parser.parse_args().messages)
