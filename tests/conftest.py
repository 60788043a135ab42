"""What holds for every test: it says in a sentence what must hold, and async ones run on the daemon's event loop."""

import importlib.util
import inspect
from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": importlib.util.find_spec("uvloop") is not None}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests that do not say what must hold."""
    silent = sorted({item.nodeid.partition("[")[0] for item in items if not _speaks(item)})
    if silent:
        raise pytest.UsageError(
            "These tests need a docstring, one sentence that says what must hold:\n" + "\n".join(silent)
        )


def _speaks(item: pytest.Item) -> bool:
    """True where it is no function, or its docstring opens with a whole sentence."""
    if not isinstance(item, pytest.Function):
        return True
    first = (inspect.getdoc(item.function) or "").partition("\n\n")[0].strip()
    return " " in first and first.endswith((".", "?", "!", ":"))
