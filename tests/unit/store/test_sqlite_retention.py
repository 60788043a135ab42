"""What retention costs on SQLite: no table is read through, no transaction is long, and the file can shrink."""

import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notifier.domain.errors import StoreUnavailable
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName, WorkerId
from notifier.domain.lifecycle import DELIVERY, DeliverySignal
from notifier.domain.model import (
    AttemptResult,
    Claim,
    DeliveryStatus,
    EndpointDirectory,
    Observation,
    State,
    Transition,
    Verdict,
)
from notifier.domain.model import WatchRequest as Request
from notifier.domain.times import to_micros
from notifier.store.records import Slots
from notifier.store.sqlite import SqliteStore, checkpoints, connection, open_store, retention, space
from notifier.store.sqlite.statements import migrations, statements

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LATER = NOW + timedelta(days=60)
DIRECTORY = EndpointDirectory(events={"studio": None}, callbacks=False)
LUMA = ProviderName("luma")
NAMES = ("at", "key", "before", "most", "above", "below", "by", "made", "fresh", "now", "last")
MANY = 1_000
NO_SLOTS = Slots(total=0, free={}, each=0, lease={}, lease_each=timedelta(0))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notifier.db")


@pytest.fixture
async def store(path: str) -> AsyncIterator[SqliteStore]:
    async with open_store(path) as opened:
        yield opened


async def finish(store: SqliteStore, count: int) -> None:
    """So many generations, each completed and its callback delivered."""
    ids = [GenerationId(f"g-{number}") for number in range(count)]
    destination = Destination("studio")
    requests = [
        Request(
            provider=LUMA,
            generation=id_,
            target=State.COMPLETED,
            endpoint=EndpointIdentity("studio"),
            destination=destination,
            timeout=timedelta(hours=1),
        )
        for id_ in ids
    ]
    await store.apply_directory(DIRECTORY, now=NOW)
    await store.add_watches(requests, now=NOW)
    sights = [
        Transition(
            provider=LUMA,
            observation=Observation(id=id_, state=State.COMPLETED, record={"prompt": "x" * 2_000}),
            observed_at=NOW,
            not_before=None,
        )
        for id_ in ids
    ]
    await store.record_transitions(sights, now=NOW)
    me, slots = WorkerId("me"), Slots(total=count, free={}, each=count, lease={}, lease_each=timedelta(minutes=1))
    claims = (await store.exchange(me, [], slots, now=NOW)).claims
    assert len(claims) == count
    await store.exchange(me, [_delivered(claim) for claim in claims], slots, now=NOW)


def _delivered(claim: Claim) -> AttemptResult:
    return AttemptResult(
        message_id=claim.message_id,
        number=claim.number,
        started_at=NOW,
        took=timedelta(milliseconds=4),
        verdict=Verdict.DELIVERED,
        status_code=200,
        head=b"",
        detail="",
        status=DeliveryStatus.DELIVERED,
        failures=0,
        due_at=None,
    )


@pytest.mark.parametrize(
    ("subject", "name"), [(subject, name) for subject in ("retention", "shifts") for name in statements(subject)]
)
def test_no_statement_reads_a_table_through(subject: str, name: str) -> None:
    """Every row is found by an index: only what an index gave, or the given list, is gone through."""
    conn = sqlite3.connect(":memory:")
    for _, script in migrations():
        conn.executescript(script)
    values = dict.fromkeys(NAMES, 0) | dict.fromkeys(("keys", "generations"), "[]")
    plan = [row[3] for row in conn.execute("EXPLAIN QUERY PLAN " + statements(subject)[name], values)]
    conn.close()
    tables = "generations|states|watches|deliveries|bodies|attempts|endpoints|rounds"
    assert not [line for line in plan if re.match(rf"SCAN ({tables}|[adgow])\b", line)], plan
    assert any(line.startswith("SEARCH") for line in plan)


def test_only_finished_deliveries_are_walked() -> None:
    """The words in the index and its query are those that no automatic signal leaves, and parked is not one."""
    automatic = set(DeliverySignal) - {DeliverySignal.RESUME, getattr(DeliverySignal, "REDELIVER", None)}
    finished = {status for status in DeliveryStatus if automatic.isdisjoint(DELIVERY[status])} - {DeliveryStatus.PARKED}
    listed = ", ".join(f"'{status}'" for status in DeliveryStatus if status in finished)
    assert statements("retention")["finished_deliveries"].count(f"status IN ({listed})") == 2
    assert any(f"WHERE status IN ({listed})" in script for _, script in migrations())


async def test_a_step_is_small(store: SqliteStore) -> None:
    """No transaction forgets more than a step's rows, and each has a commit of its own: others write in between."""
    await finish(store, MANY)
    before, position, changed = to_micros(LATER), retention.START, []

    def measured(conn: sqlite3.Connection) -> retention.Step:
        begun = conn.total_changes
        step = retention.step(conn, position, before, ())
        changed.append(conn.total_changes - begun)
        return step

    commits = store.writer.commits
    while (step := await store.writer.run(measured)).next != retention.START:
        position = step.next
    assert max(changed) <= 3 * retention.STEP
    assert store.writer.commits - commits == len(changed) >= 2 * MANY / retention.STEP
    assert not (await store.counts()).watches


async def test_free_space_goes_back_in_small_steps(store: SqliteStore, path: str) -> None:
    """A file made by this program shrinks, to what is used and a little more, and stays sound."""
    await finish(store, MANY)
    await store.checkpoint()
    full = Path(path).stat().st_size
    assert (await store.prune(before=LATER, declared=(), most=10**6)).deliveries == MANY
    free = (await store.size()).free_pages
    commits, given = store.writer.commits, 0
    while some := await store.writer.run(lambda conn: space.give_back(conn, kept=100)):
        assert some <= space.STEP
        given += some
    await store.checkpoint()
    assert 2 < store.writer.commits - commits < free
    assert given >= free - 100 - 1
    assert Path(path).stat().st_size < full / 2
    assert await store.problems(deep=True) == []


async def test_a_file_that_was_made_otherwise_keeps_its_size(path: str) -> None:
    """Its free pages are used again; nothing is copied behind the operator's back."""
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.close()
    async with open_store(path) as store:
        await finish(store, 300)
        await store.prune(before=LATER, declared=(), most=10**6)
        assert (await store.size()).free_pages > 100
        assert await store.writer.run(lambda conn: space.give_back(conn, kept=10)) == 0


def test_a_new_file_can_shrink(path: str) -> None:
    """It is made so: later it could not be switched on without copying the whole file."""
    connection.create(path)
    conn = connection.writer(path)
    connection.migrate(conn, path)
    assert conn.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    conn.close()


async def test_a_log_that_a_reader_keeps_from_being_cut_is_said(
    store: SqliteStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while it is short; then in words that say what to look for; and it is cut once the reader is done."""
    reader = connection.reader(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM watches").fetchone()
    await finish(store, 300)
    checkpoints.move(path)
    monkeypatch.setattr(connection, "LOG_LIMIT", 64 * 1024)
    with pytest.raises(StoreUnavailable, match="keeps reading an old state"):
        checkpoints.move(path)
    assert len((await store.exchange(WorkerId("me"), [], NO_SLOTS, now=NOW)).claims) == 0, "it stops nobody"
    reader.close()
    checkpoints.move(path)
    assert Path(f"{path}-wal").stat().st_size == 0
