"""An empty store of this schema that knows the endpoints of tests, made once in a run.

To open a copy takes a third of the time that a new one takes.

How a store is made, and brought from one schema to the next, is the matter of the tests of its opening; they begin
with nothing.
"""

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from notifier.store.sqlite import directories
from notifier.store.sqlite.opening import _open_writer
from tests.support.store_builders import DIRECTORY, NOW


def lay(path: Path) -> str:
    """Put one at `path`, where nothing is; the path, as stores are opened by."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_content())
    return str(path)


@cache
def _content() -> bytes:
    with TemporaryDirectory(prefix="notifier-tests-") as place:
        path = Path(place, "notifier.db")
        connection = _open_writer(str(path))
        directories.apply(connection, DIRECTORY, now=NOW)
        connection.close()
        return path.read_bytes()
