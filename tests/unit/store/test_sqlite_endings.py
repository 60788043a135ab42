"""A message is made once: its id says what it is."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import EndpointDirectory, Kind, State, WatchRequest
from notifier.store.sqlite import directories, endings, rows, watches
from notifier.store.sqlite.statements import migrations

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={"studio": None}, callbacks=False)


def request(generation: str) -> WatchRequest:
    return WatchRequest(
        provider=ProviderName("luma"),
        generation=GenerationId(generation),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        timeout=timedelta(hours=1),
    )


def test_a_message_that_is_there_already_is_not_made_again() -> None:
    """Beside one that is new, it is told apart and its row and body stay as they were."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        for _, script in migrations():
            conn.executescript(script)
        directories.apply(conn, DIRECTORY, now=NOW)
        watches.add(conn, [request("g-1"), request("g-2")], now=NOW, keep_first=False)
        ending = []
        for name in ("g-1", "g-2"):
            generation = rows.find_generation(conn, "luma", name)
            assert generation is not None
            ((row,),) = rows.open_watches(conn, [generation.key]).values()
            seen = rows.seen(generation)
            ending.append((row.key, rows.watch(row, seen.provider, seen.id), endings.Reason(Kind.EXPIRED, seen)))
        assert endings.end_many(conn, ending[:1], NOW) == [True]
        before = conn.execute("SELECT * FROM deliveries JOIN bodies ON delivery = key").fetchall()
        later = NOW + timedelta(hours=1)
        assert endings.end_many(conn, ending, later) == [False, True]
        after = conn.execute("SELECT * FROM deliveries JOIN bodies ON delivery = key ORDER BY key").fetchall()
        assert after[:1] == before
        assert len(after) == 2
