"""What registering watches costs, counted in steps of SQLite's machine: the same on every computer."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from notifier.ids import EndpointIdentity, GenerationId, Lane, ProviderName
from notifier.model import Book, Kind, Observation, Outcome, Result, State, Transition, WatchRequest
from notifier.store.base import Ending
from notifier.store.sqlite import polling, watches
from notifier.store.sqlite.statements import migrations

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BOOK = Book(events={}, callbacks=True)
PROVIDER, ONE = ProviderName("luma"), GenerationId("g-1")
#: Steps that are counted as one.
GRAIN = 10


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        for _, script in migrations():
            made.executescript(script)
        yield made


def request(number: int) -> WatchRequest:
    """Of one generation, for a callback URL of its own."""
    origin = f"https://{number}.example.com"
    return WatchRequest(
        provider=PROVIDER,
        generation=ONE,
        target=State.COMPLETED,
        endpoint=EndpointIdentity(f"{origin}/hook"),
        lane=Lane(origin),
        timeout=timedelta(hours=1),
    )


def register(conn: sqlite3.Connection, numbers: range, *, at_once: int) -> set[Outcome]:
    """The outcomes there were."""
    found = set()
    for begin in range(numbers.start, numbers.stop, at_once):
        some = [request(number) for number in range(begin, min(begin + at_once, numbers.stop))]
        conn.execute("BEGIN")
        found |= {answer.outcome for answer in watches.add(conn, some, now=NOW, book=BOOK, keep_first=False)}
        conn.execute("COMMIT")
    return found


def steps(conn: sqlite3.Connection, act: Callable[[], object]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    conn.set_progress_handler(step, GRAIN)
    act()
    conn.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("at_once", [1, 250], ids=["one a call", "many a call"])
def test_registering_many_watches_of_one_generation_is_linear(conn: sqlite3.Connection, at_once: int) -> None:
    """The last few hundred of thousands cost what the first few hundred did."""
    first = steps(conn, lambda: register(conn, range(250), at_once=at_once))
    register(conn, range(250, 2_000), at_once=250)
    last = steps(conn, lambda: register(conn, range(2_000, 2_250), at_once=at_once))
    assert last < 2 * first


def test_to_meet_many_open_watches_of_one_generation_is_linear(conn: sqlite3.Connection) -> None:
    """A file that is read again, for which nothing is new."""
    register(conn, range(250), at_once=250)
    first = steps(conn, lambda: register(conn, range(250), at_once=250))
    register(conn, range(250, 2_000), at_once=250)
    assert register(conn, range(250), at_once=250) == {Outcome.EXISTING}
    assert steps(conn, lambda: register(conn, range(250), at_once=250)) < 2 * first


def test_to_reopen_many_watches_of_one_generation_is_linear(conn: sqlite3.Connection) -> None:
    """All of them expired, and are asked for again."""
    register(conn, range(2_000), at_once=250)
    late = NOW + timedelta(hours=2)
    polling.end(
        conn, [Ending(provider=PROVIDER, generation=ONE, kind=Kind.EXPIRED, observed_at=late)], now=late, book=BOOK
    )
    first = steps(conn, lambda: register(conn, range(250), at_once=250))
    register(conn, range(250, 1_750), at_once=250)
    assert register(conn, range(1_750, 2_000), at_once=250) == {Outcome.REOPENED}
    assert steps(conn, lambda: register(conn, range(250), at_once=250)) < 2 * first


def test_to_join_a_generation_that_is_done_is_linear(conn: sqlite3.Connection) -> None:
    """Each is owed at once, and makes a message of its own."""
    register(conn, range(1), at_once=1)
    done = Observation(id=ONE, state=State.COMPLETED, result=Result(url="https://cdn.example.com/v.mp4"))
    seen = Transition(provider=PROVIDER, observation=done, observed_at=NOW, not_before=None)
    polling.record(conn, [seen], now=NOW, book=BOOK)
    first = steps(conn, lambda: register(conn, range(1, 251), at_once=250))
    register(conn, range(251, 2_000), at_once=250)
    assert steps(conn, lambda: register(conn, range(2_000, 2_250), at_once=250)) < 2 * first
