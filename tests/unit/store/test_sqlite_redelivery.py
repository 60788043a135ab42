"""What only this store can come to: rows that retention has emptied, and a walk that holds nobody up."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from notifier.domain.model import DeliveryStatus, EndpointDirectory
from notifier.store.records import Selection
from notifier.store.sqlite import directories, redelivery
from notifier.store.sqlite.statements import migrations, statements

NOW = datetime(2026, 11, 22, 5, 14, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={"studio": None}, callbacks=True)


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    """A store with one delivered message, without its body."""
    with closing(sqlite3.connect(":memory:")) as opened:
        for _, script in migrations():
            opened.executescript(script)
        directories.apply(opened, DIRECTORY, now=NOW)
        opened.execute(
            "INSERT INTO deliveries (message_id, watch, kind, type, endpoint, destination, status, reason, created_at)"
            " VALUES ('msg_a', 1, 'result', 'generation.completed', 'studio', 'studio', 'delivered', '', 0)"
        )
        yield opened


def test_a_message_without_its_body_is_refused(conn: sqlite3.Connection) -> None:
    """It would be claimed again and again, and never sent."""
    answer = redelivery.ask_again(conn, [1], Selection(), None, now=NOW)
    assert (answer.taken, answer.refused) == (0, {"its body is not kept any more": 1})
    assert conn.execute("SELECT status, due_at FROM deliveries").fetchone() == ("delivered", None)


def test_what_lost_its_place_in_the_selection_is_skipped(conn: sqlite3.Connection) -> None:
    """Found as exhausted and delivered by now: it is not what was asked for, and no refusal either."""
    selection = Selection(statuses=frozenset({DeliveryStatus.EXHAUSTED}))
    answer = redelivery.ask_again(conn, [1], selection, None, now=NOW)
    assert (answer.taken, answer.refused) == (0, {})


def test_a_page_walks_along_the_key(conn: sqlite3.Connection) -> None:
    """No page sorts what it has found, and each begins where the last one ended."""
    values = dict.fromkeys(("endpoint", "destination", "type", "since", "until", "statuses", "provider"))
    steps = conn.execute(
        "EXPLAIN QUERY PLAN " + statements("redelivery")["page"], values | {"after": 0, "last": 9, "most": 2}
    )
    plan = " ".join(row[3] for row in steps)
    assert "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan
    assert "TEMP B-TREE" not in plan
