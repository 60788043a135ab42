"""What registering watches costs, counted in steps of SQLite's machine: the same on every computer."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from notifier.domain.errors import InvalidWatch
from notifier.domain.ids import Destination, EndpointIdentity, GenerationId, ProviderName
from notifier.domain.model import EndpointDirectory, Kind, Observation, Outcome, Result, State, Transition, WatchRequest
from notifier.store.records import Ending, WatchChoice
from notifier.store.sqlite import directories, polling, redelivery, watches
from notifier.store.sqlite.statements import migrations

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DIRECTORY = EndpointDirectory(events={}, callbacks=True)
PROVIDER, ONE = ProviderName("luma"), GenerationId("g-1")
#: Steps that are counted as one.
GRAIN = 10


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        for _, script in migrations():
            made.executescript(script)
        directories.apply(made, DIRECTORY, now=NOW)
        yield made


def request(number: int) -> WatchRequest:
    """Of one generation, for a callback URL of its own."""
    origin = f"https://{number}.example.com"
    return WatchRequest(
        provider=PROVIDER,
        generation=ONE,
        target=State.COMPLETED,
        endpoint=EndpointIdentity(f"{origin}/hook"),
        destination=Destination(origin),
        timeout=timedelta(hours=1),
    )


def register(conn: sqlite3.Connection, numbers: range, *, at_once: int) -> set[Outcome]:
    """The outcomes there were."""
    found = set()
    for begin in range(numbers.start, numbers.stop, at_once):
        some = [request(number) for number in range(begin, min(begin + at_once, numbers.stop))]
        conn.execute("BEGIN")
        found |= {answer.outcome for answer in watches.add(conn, some, now=NOW, keep_first=False)}
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
    polling.end(conn, [Ending(provider=PROVIDER, generation=ONE, kind=Kind.EXPIRED, observed_at=late)], now=late)
    first = steps(conn, lambda: register(conn, range(250), at_once=250))
    register(conn, range(250, 1_750), at_once=250)
    assert register(conn, range(1_750, 2_000), at_once=250) == {Outcome.REOPENED}
    assert steps(conn, lambda: register(conn, range(250), at_once=250)) < 2 * first


def test_to_join_a_generation_that_is_done_is_linear(conn: sqlite3.Connection) -> None:
    """Each is satisfied at once, and has a message of its own."""
    register(conn, range(1), at_once=1)
    done = Observation(id=ONE, state=State.COMPLETED, result=Result(url="https://cdn.example.com/v.mp4"))
    seen = Transition(provider=PROVIDER, observation=done, observed_at=NOW, not_before=None)
    polling.record(conn, [seen], now=NOW)
    first = steps(conn, lambda: register(conn, range(1, 251), at_once=250))
    register(conn, range(251, 2_000), at_once=250)
    assert steps(conn, lambda: register(conn, range(2_000, 2_250), at_once=250)) < 2 * first


def of(generation: str, *, timeout: int = 1) -> WatchRequest:
    return WatchRequest(
        provider=PROVIDER,
        generation=GenerationId(generation),
        target=State.COMPLETED,
        endpoint=EndpointIdentity("studio"),
        destination=Destination("studio"),
        timeout=timedelta(hours=timeout),
    )


def add(conn: sqlite3.Connection, *requests: WatchRequest, now: datetime = NOW) -> list[Outcome]:
    return [answer.outcome for answer in watches.add(conn, requests, now=now, keep_first=False)]


def expired(conn: sqlite3.Connection, now: datetime) -> None:
    ending = Ending(provider=PROVIDER, generation=ONE, kind=Kind.EXPIRED, observed_at=now)
    polling.end(conn, [ending], now=now)


def completed(conn: sqlite3.Connection) -> None:
    seen = Observation(id=ONE, state=State.COMPLETED, result=Result(url="https://cdn.example.com/v.mp4"))
    polling.record(
        conn,
        [Transition(provider=PROVIDER, observation=seen, observed_at=NOW, not_before=None)],
        now=NOW,
    )


def count(conn: sqlite3.Connection, table: str) -> int:
    (found,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found)


def test_a_list_of_thousands_takes_a_few_statements(conn: sqlite3.Connection) -> None:
    """Each gives the interpreter's lock away, and a busy event loop takes it; one for each watch took a minute so."""
    ran: list[str] = []
    conn.set_trace_callback(ran.append)
    add(conn, *(of(f"new-{number}") for number in range(2_048)))
    made, ran[:] = len(ran), []
    add(conn, *(of(f"new-{number}") for number in range(2_048)))
    conn.set_trace_callback(None)
    assert (count(conn, "generations"), count(conn, "watches")) == (2_048, 2_048)
    assert made < 100
    assert len(ran) < 100


@pytest.mark.parametrize("apart", [1, 300])
def test_what_stands_twice_in_a_list_is_made_once(conn: sqlite3.Connection, apart: int) -> None:
    """Beside each other, or too far apart to be looked up together."""
    between = [of(f"g-{number}") for number in range(2, apart + 1)]
    outcomes = add(conn, of("g-1"), *between, of("g-1"))
    assert outcomes == [Outcome.CREATED] * apart + [Outcome.EXISTING]
    assert (count(conn, "generations"), count(conn, "watches")) == (apart, apart)


@pytest.mark.parametrize("apart", [1, 300])
def test_a_list_that_contradicts_itself_is_refused_with_the_place(conn: sqlite3.Connection, apart: int) -> None:
    """The first one of the list counts, as if it had been registered before."""
    between = [of(f"g-{number}") for number in range(2, apart + 1)]
    with pytest.raises(InvalidWatch) as caught:
        add(conn, of("g-1"), *between, of("g-1", timeout=2))
    assert [fault.path for fault in caught.value.faults] == [f"[{apart}]"]


def test_a_watch_that_opens_satisfied_is_satisfied_for_the_rest_of_the_list(conn: sqlite3.Connection) -> None:
    """One message, however often the list says it."""
    register(conn, range(1), at_once=1)
    completed(conn)
    before = count(conn, "deliveries")
    assert add(conn, of("g-1"), of("g-1"), of("g-2")) == [Outcome.CREATED, Outcome.FINISHED, Outcome.CREATED]
    assert count(conn, "deliveries") == before + 1


def test_a_watch_that_is_reopened_is_met_by_the_rest_of_the_list(conn: sqlite3.Connection) -> None:
    """It has the new content at once, and one round more."""
    late = NOW + timedelta(hours=2)
    add(conn, of("g-1"))
    expired(conn, late)
    assert add(conn, of("g-1", timeout=3), of("g-1", timeout=3), now=late) == [Outcome.REOPENED, Outcome.EXISTING]
    row = conn.execute("SELECT status, round, timeout, ended_at FROM watches").fetchall()
    assert row == [("open", 1, 3 * 3_600_000_000, None)]


def test_a_watch_that_is_reopened_satisfied_is_finished_for_the_rest_of_the_list(conn: sqlite3.Connection) -> None:
    """It expired before its generation was done; asked for again it is answered once."""
    late = NOW + timedelta(hours=2)
    add(conn, of("g-1"))
    expired(conn, late)
    completed(conn)
    assert add(conn, of("g-1"), of("g-1"), now=late) == [Outcome.REOPENED, Outcome.FINISHED]
    assert conn.execute("SELECT kind, count(*) FROM deliveries GROUP BY kind ORDER BY kind").fetchall() == [
        ("expired", 1),
        ("result", 1),
    ]


def test_to_cancel_many_watches_of_one_generation_is_linear(conn: sqlite3.Connection) -> None:
    """All at once, or one by one while thousands are open or were."""
    register(conn, range(250), at_once=250)
    choice = WatchChoice(generation=ONE)
    keys = redelivery.chosen(conn, choice)
    first = steps(conn, lambda: redelivery.cancel(conn, keys[:50], now=NOW))
    register(conn, range(250, 2_250), at_once=250)
    keys = redelivery.chosen(conn, choice)
    assert steps(conn, lambda: redelivery.cancel(conn, keys[50:1_050], now=NOW)) < 2 * 20 * first
    one = steps(conn, lambda: redelivery.cancel(conn, keys[1_050:1_051], now=NOW))
    assert one < first
    assert redelivery.cancel(conn, keys, now=NOW).left == [(PROVIDER, ONE)]
