"""The form of the SQL that ships in the package, and the words for trouble."""

import errno
import sqlite3
from importlib.resources import files
from typing import Any

import pytest

from notifier.store.sqlite import errors
from notifier.store.sqlite.statements import migrations, parse, statements

#: Values for statements with named parameters.
NAMED: dict[str, Any] = dict.fromkeys(
    ("owner", "sparing", "destination", "after", "provider", "beginning", "generation", "watch"), ""
)
NAMED |= dict.fromkeys(("asked", "ids", "generations", "messages", "keys", "destinations", "due"), "[]")
NAMED |= dict.fromkeys(
    (
        "now",
        "limit",
        "most",
        "taken",
        "before",
        "at",
        "key",
        "above",
        "below",
        "by",
        "made",
        "fresh",
        "last",
        "room",
        "looked",
    ),
    0,
)
NAMED |= dict.fromkeys(("endpoint", "type", "since", "until", "statuses", "message"))
SUBJECTS = sorted(entry.name.removesuffix(".sql") for entry in (files("notifier.store.sqlite") / "sql").iterdir())


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_statement_is_valid_on_the_schema(subject: str) -> None:
    """Each named statement prepares on a store of the newest schema, so a typo never waits for its day."""
    conn = sqlite3.connect(":memory:")
    for _, script in migrations():
        conn.executescript(script)
    for name, statement in statements(subject).items():
        values: Any = ("[]",) * statement.count("?") or NAMED
        try:
            conn.execute("EXPLAIN " + statement, values)
        except sqlite3.Error as error:
            pytest.fail(f"{subject}.{name}: {error}")
    conn.close()


def test_migrations_have_no_gaps() -> None:
    """They are numbered 1, 2, 3 and so on."""
    numbers = [number for number, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers


def test_a_statement_has_a_name_and_a_purpose() -> None:
    """Comments inside a statement stay with it."""
    assert parse("-- name: one\n-- Says why.\nSELECT 1;\n\n-- name: two\n-- Says it.\n-- more\nSELECT 2;\n") == {
        "one": "SELECT 1;",
        "two": "-- more\nSELECT 2;",
    }


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "-- name: one\nSELECT 1;",
        "-- name: one\n-- Why.\nSELECT 1;\n-- name: two\nSELECT 2;",
        "-- name: one\n-- Why.\nSELECT 1;\n-- name: one\n-- Why.\nSELECT 2;",
    ],
)
def test_another_form_is_refused(text: str) -> None:
    """No name, no purpose, or one name twice."""
    with pytest.raises(ValueError, match="statement"):
        parse(text)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "cannot be written"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked"),
        (sqlite3.SQLITE_IOERR_FSYNC, "dmesg"),
        (sqlite3.SQLITE_CORRUPT, "backup"),
        (sqlite3.SQLITE_MISUSE, "cannot be used"),
    ],
)
def test_each_trouble_has_its_sentence(code: int, word: str) -> None:
    """By its primary code, with the path; an unheard-of one still has a sentence."""
    error = sqlite3.OperationalError("their words")
    error.sqlite_errorcode = code
    sentence = str(errors.unavailable(error, "/var/lib/notifier/notifier.db"))
    assert word in sentence
    assert "/var/lib/notifier/notifier.db" in sentence
    assert "their words" in sentence


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "full"), (errno.EROFS, "written"), (errno.EIO, "dmesg"), (errno.EMFILE, "used")]
)
def test_the_systems_troubles_have_theirs(number: int, word: str) -> None:
    """The operating system's own errors are told in the same words."""
    assert word in str(errors.unavailable(OSError(number, "their words"), "/x"))
