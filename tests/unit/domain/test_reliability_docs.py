"""docs/reliability.md names the tests that hold each of its rows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "reliability.md").read_text()


def test_every_row_is_held_by_tests_that_exist() -> None:
    """Each row of the faults table names at least one test module, and each of them is there."""
    table = TEXT.partition("| what happens |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(table) > 10
    for row in table:
        named = re.findall(r"`([a-z_/]+)`", row.rpartition("|")[0].rpartition("|")[2])
        assert named, f"held by nothing: {row}"
        assert all((ROOT / "tests" / f"{name}.py").is_file() for name in named), row


def test_the_command_exists() -> None:
    """What the page tells to run is there."""
    assert (ROOT / "benchmarks" / "ledger.py").is_file()
    assert "python benchmarks/ledger.py" in TEXT
