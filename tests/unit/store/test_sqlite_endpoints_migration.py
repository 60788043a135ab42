"""A store of before endpoints had a health is brought up to date with all that is pending."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, MessageId, WorkerId
from notifier.domain.model import DeliveryStatus, EndpointDirectory
from notifier.store.records import Slots
from notifier.store.sqlite import connection, open_store
from notifier.store.sqlite.statements import migrations
from tests.support.store_builders import apply

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={"studio": None}, callbacks=False)
ROWS = """
INSERT INTO generations (key, provider, id, state, registered_at) VALUES (7, 'luma', 'g-1', 'completed', 1);
INSERT INTO watches (key, id, generation, target, endpoint, lane, status, metadata, timeout, registered_at, deadline)
VALUES (5, 'wch_1', 7, 'completed', 'studio', 'studio', 'satisfied', x'7b7d', 1, 1, 2);
INSERT INTO deliveries
    (key, message_id, watch, kind, type, endpoint, lane, status, reason, created_at, due_at, attempts)
VALUES (1, 'msg_1', 5, 'result', 'generation.completed', 'studio', 'studio', 'pending', '', 1, 1, 3),
       (2, 'msg_2', 5, 'result', 'generation.completed', 'studio', 'studio', 'parked', 'not there', 1, NULL, 0),
       (3, 'msg_3', 5, 'result', 'generation.completed', 'studio', 'studio', 'delivered', '', 1, NULL, 1);
INSERT INTO bodies (delivery, content_type, body) SELECT key, 'application/json', x'7b7d' FROM deliveries;
"""


def before_endpoints(path: str) -> None:
    """A store of the schema just before, with a few rows."""
    with closing(sqlite3.connect(path)) as conn:
        for number, script in migrations():
            if "CREATE TABLE endpoints" in script:
                break
            conn.executescript(script)
            conn.execute(f"PRAGMA user_version = {number}")
        conn.execute(f"PRAGMA application_id = {connection.APPLICATION_ID}")
        conn.executescript(ROWS)


async def test_what_was_owed_is_owed_still(tmp_path: Path) -> None:
    """Every delivery keeps its watch, its number of attempts and its body; nothing points to nowhere."""
    path = str(tmp_path / "notifier.db")
    before_endpoints(path)
    async with open_store(path) as store:
        (history,) = await store.histories(GenerationId("g-1"))
        (watch,) = history.watches
        assert [line.message_id for line in watch.deliveries] == ["msg_1", "msg_2", "msg_3"]
        slots = Slots(total=9, free={}, each=9, lease={}, lease_each=NOW - NOW)
        (claim,) = (await store.exchange(WorkerId("me"), [], slots, now=NOW)).claims
        assert (claim.message_id, claim.number, claim.body) == (MessageId("msg_1"), 4, b"{}")
        assert (claim.endpoint, claim.watch_id) == (EndpointIdentity("studio"), "wch_1")
        assert list(await store.problems(deep=True)) == []


async def test_what_was_parked_resumes_as_it_would_have(tmp_path: Path) -> None:
    """Until then deliveries were parked for want of a configured name alone."""
    path = str(tmp_path / "notifier.db")
    before_endpoints(path)
    async with open_store(path) as store:
        (line,) = await store.endpoint_summaries()
        assert (line.health.destination, line.parked, line.oldest) == (Destination("studio"), 1, None)
        assert await apply(store, DIRECTORY, now=NOW) == (0, 1)
        assert (await store.counts()).deliveries == {DeliveryStatus.PENDING: 2, DeliveryStatus.DELIVERED: 1}
