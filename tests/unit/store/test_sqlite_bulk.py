"""One statement for many rows: every row is written once, in order, whatever their number."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from notifier.store.sqlite import bulk


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.execute("CREATE TABLE t (n INTEGER, word TEXT)")
        yield opened


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 255, 256, 257, 1_000])
def test_every_row_is_written_once(conn: sqlite3.Connection, count: int) -> None:
    """Wide steps first, then narrower ones, and no row between them is left out."""
    rows = [(number, f"word {number}") for number in range(count)]
    bulk.write(conn, "INSERT INTO t (n, word) VALUES (?, ?)", rows)
    assert conn.execute("SELECT n, word FROM t ORDER BY rowid").fetchall() == rows


def test_a_statement_that_changes_rows_takes_many_too(conn: sqlite3.Connection) -> None:
    """The rows are a table of their own in it."""
    bulk.write(conn, "INSERT INTO t (n, word) VALUES (?, ?)", [(number, "old") for number in range(10)])
    statement = """WITH new (n, word) AS (
        VALUES (?, ?)
    )
    UPDATE t SET word = new.word FROM new WHERE t.n = new.n"""
    bulk.write(conn, statement, [(number, f"new {number}") for number in range(0, 10, 3)])
    assert [row[0] for row in conn.execute("SELECT n FROM t WHERE word = 'new ' || n ORDER BY n")] == [0, 3, 6, 9]


@pytest.mark.parametrize("statement", ["DELETE FROM t", "INSERT INTO t (word) VALUES ('?')"])
def test_a_statement_without_a_row_of_question_marks_is_refused(conn: sqlite3.Connection, statement: str) -> None:
    """It would run once for many rows, or mean something else."""
    with pytest.raises(ValueError, match="question marks"):
        bulk.write(conn, statement, [(1,)])


def test_rows_are_read_as_one_list(conn: sqlite3.Connection) -> None:
    """None is null, whole numbers stay whole however long, and no row is an empty list."""
    statement = "SELECT json_group_array(json_array(n, word)) FROM t WHERE n IN (SELECT value FROM json_each(:keys))"
    bulk.write(conn, "INSERT INTO t (n, word) VALUES (?, ?)", [(2**62, 'é "quoted" \U0001f600'), (2, None), (3, "x")])
    assert bulk.read(conn, statement, {"keys": bulk.listed([2, 2**62])}) == [
        [2**62, 'é "quoted" \U0001f600'],
        [2, None],
    ]
    assert bulk.read(conn, statement, {"keys": bulk.listed([])}) == []
