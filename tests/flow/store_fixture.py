"""A real store in a file for every flow test that asks for one: `pytest_plugins = ("store_fixture",)`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blank_store import lay

from notifier.store.sqlite import open_store
from notifier.store.sqlite.store import SqliteStore


@pytest.fixture
async def store(memory: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(lay(memory / "notifier.db")) as opened:
        yield opened
