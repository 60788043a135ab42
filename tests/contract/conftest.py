"""Fixtures of the conformance suites. A store differs from another here and nowhere else."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from notifier.store.base import Store
from notifier.store.sqlite import open_store

#: Opens the test's one store; after it was closed, opens the same one again.
Opening = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    adapters: dict[str, Opening] = {"sqlite": lambda: open_store(str(tmp_path / "notifier.db"))}
    return adapters[request.param]


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    async with opening() as opened:
        yield opened
