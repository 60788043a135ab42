"""What holds for every test: it says in a sentence what must hold, and async ones run on the daemon's event loop.

No certificate that this machine trusts is read by any process: a test may not need one, and each reading takes 20 ms
and more.
"""

import gc
import importlib.util
import inspect
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
import trustme

# How long an example takes depends on what else the machine does: no test is about that.
hypothesis.settings.register_profile("notifier", deadline=None)
hypothesis.settings.load_profile("notifier")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The daemon's event loop. A module that names other `LOOPS` runs on each of them."""
    return "asyncio", {"use_uvloop": importlib.util.find_spec("uvloop") is not None}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    loops = getattr(metafunc.module, "LOOPS", ())
    if loops and "anyio_backend" in metafunc.fixturenames:
        values = [("asyncio", {"use_uvloop": loop == "uvloop"}) for loop in loops]
        metafunc.parametrize("anyio_backend", values, ids=loops)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory of the test's own: in memory where there is such a file system, so that no commit waits for a disk.

    A long run keeps too much for that.
    """
    in_memory = Path("/dev/shm")
    if os.environ.get("NOTIFIER_LONG") or not os.access(in_memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="notifier-tests-", dir=in_memory) as place:
        yield Path(place)


@pytest.fixture
async def store(memory: Path) -> AsyncIterator[Any]:
    """A real store in a file. The stores' own suites have theirs."""
    # Nothing of the product may be imported before `pytest_configure`.
    from notifier.store.sqlite import open_store  # noqa: PLC0415
    from tests.support.blank_store import lay  # noqa: PLC0415

    async with open_store(lay(memory / "notifier.db")) as opened:
        yield opened


def pytest_configure(config: pytest.Config) -> None:
    """Trust one authority that has signed nothing, before anything of the product is imported."""
    place = TemporaryDirectory(prefix="notifier-tests-")
    config.add_cleanup(place.cleanup)
    nobody = Path(place.name, "nobody.pem")
    trustme.CA().cert_pem.write_to_path(str(nobody))
    os.environ |= {"SSL_CERT_FILE": str(nobody), "SSL_CERT_DIR": place.name}
    # Workers must name each test alike, and some names are made of sets: the order of a set is drawn once for them all.
    os.environ.setdefault("PYTHONHASHSEED", str(random.randrange(2**32)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests that do not say what must hold."""
    silent = sorted({item.nodeid.partition("[")[0] for item in items if not _speaks(item)})
    if silent:
        raise pytest.UsageError(
            "These tests need a docstring, one sentence that says what must hold:\n" + "\n".join(silent)
        )


def pytest_collection_finish() -> None:
    """What was collected stays to the end; to look through it for garbage again and again took a tenth of the time."""
    gc.collect()
    gc.freeze()


def _speaks(item: pytest.Item) -> bool:
    """True where it is no function, or its docstring opens with a whole sentence."""
    if not isinstance(item, pytest.Function):
        return True
    first = (inspect.getdoc(item.function) or "").partition("\n\n")[0].strip()
    return " " in first and first.endswith((".", "?", "!", ":"))
