"""Fixtures of the process tests: the two stations, started once, and a stage of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process_rig import Receiver, Stage, Upstream, staged


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream() as station:
        yield station


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with Receiver() as station:
        yield station


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as made:
        yield made
