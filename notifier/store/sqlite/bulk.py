"""Runs one named statement for many rows, in as few steps as possible. Owns no rule of the store.

Why: each step of a statement releases the interpreter's lock and takes it again, and a busy event loop gives it back
only after 5 ms. Measured beside a thread that never rests, two inserts of 100 rows each took 407 ms with
`executemany`, which steps once a row, and 8 ms with one step each; alone they take the same time.

How: a statement that writes holds one row of question marks, `VALUES (?, ?)`, which is repeated for each row. One that
reads answers one JSON list of rows.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import orjson

_ROW: Final = re.compile(r"VALUES (\(\?(?:, \?)*\))")
#: Rows in one step: powers of two, so that few forms of a statement are kept prepared whatever the number of rows.
_WIDTHS: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)


def write(conn: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run `statement` for all of `rows`, in their order."""
    begin = 0
    for width in _WIDTHS:
        while len(rows) - begin >= width:
            values = [value for row in rows[begin : begin + width] for value in row]
            conn.execute(_widened(statement, width), values)
            begin += width


def read(conn: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows that `statement` answers as one JSON list."""
    (text,) = conn.execute(statement, values).fetchone()
    rows: list[Any] = orjson.loads(text)
    return rows


def listed(words: Sequence[Any]) -> str:
    """Words or keys as a JSON list, for `json_each`."""
    return orjson.dumps(words).decode()


@cache
def _widened(statement: str, width: int) -> str:
    widened, found = _ROW.subn(lambda row: "VALUES " + ", ".join([row[1]] * width), statement)
    if found != 1:
        raise ValueError("a statement for many rows has one row of question marks")
    return widened
