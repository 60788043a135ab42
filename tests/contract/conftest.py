"""Fixtures of the conformance suites. A store differs from another here and nowhere else."""

from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest

from notifier.store.ports import Store
from notifier.store.sqlite import open_store
from tests.support.blank_store import lay
from tests.support.store_builders import Opening, OpeningCopy


@pytest.fixture(params=["sqlite"])
def opening(request: pytest.FixtureRequest, memory: Path) -> Opening:
    def sqlite() -> Opening:
        path = lay(memory / "notifier.db")
        return lambda: open_store(path)

    adapters: dict[str, Callable[[], Opening]] = {"sqlite": sqlite}
    return adapters[request.param]()


@pytest.fixture(params=["sqlite"])
def fresh(request: pytest.FixtureRequest, memory: Path) -> Callable[[], Opening]:
    """Each call answers a store of its own, empty at first, that may be opened again and again."""
    numbers = count()

    def sqlite() -> Opening:
        path = lay(memory / f"notifier-{next(numbers)}.db")
        return lambda: open_store(path)

    adapters: dict[str, Callable[[], Opening]] = {"sqlite": sqlite}
    return adapters[request.param]


@pytest.fixture(params=["sqlite"])
def opening_copy(request: pytest.FixtureRequest) -> OpeningCopy:
    adapters: dict[str, OpeningCopy] = {"sqlite": open_store}
    return adapters[request.param]


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    async with opening() as opened:
        yield opened
